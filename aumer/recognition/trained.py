"""What is trained on clips, kept in a file and used by name: recognizers and AU readers alike.

A `Trained` part learns from labeled clips and says something of each clip. A `Sort` is what all
parts of a kind have in common: their kind in the registry, what a file of them is, where those lie
that ship.
"""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from aumer import registry
from aumer.arguments import require_path
from aumer.config import MotionSettings
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath, TemporaryFolder
from aumer.foreign import foreign
from aumer.recognition import apex as ways
from aumer.recognition.face_position import BY_LANDMARKS, FacePosition
from aumer.strict import build
from aumer.weights import ArrayFormat

if TYPE_CHECKING:
    from typing_extensions import Self

    from aumer.recognition.sequences.inputs import SequenceSettings

#: What may be read of a clip.
Reads = Literal["flow-map", "sequence", "motion"]
#: Called after every epoch with its record.
Callback = Callable[[dict[str, Any]], object]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Trained(ABC):
    """A part that learns from labeled clips. The same clips and seed give the same numbers.

    Attributes:
        name: of the registry.
        reads: what it reads of a clip, which `aumer.recognition.clips.ClipMaker` makes. The first
            is what it learns from and what a video's clips are given as: "flow-map"
            ((28, 28, 3) float32; see `aumer.recognition.interface.Clips`), "sequence" (a
            `ClipSequence`), or "motion" ((R, 2) float32, by how much each of `rois` moved from
            onset to apex, outer-eye distances).
        options: the arguments of its constructor that users may set, by name. It is given a seed
            where "seed" is among them.
        default_inputs: of sequences, how they are made of frames; `None` for the usual way.
        reads_to: of sequences, the last frame that is read; flow beyond it is not worth its time.

        rois: of motion, the rows.
        card: what the file it was loaded from says of it; empty for one just fitted.
        apex: how one is found that nobody gives (`aumer.recognition.apex.names`); of one that has
            learnt, as it was for its clips.
        position: of flow maps, where they must show the face.
        inputs: of sequences, how those were made that it has learned from.
        motion: of flow maps, the same: they are made so again, whatever the settings of the motion
            that is spotted in. `None` where nobody knows: then as the settings say.
        chosen: what `fit` chose of its settings.
        log: a record of each epoch of `fit`.
    """

    name: ClassVar[str]
    reads: ClassVar[tuple[Reads, ...]] = ("flow-map",)
    options: ClassVar[tuple[str, ...]] = ()
    default_inputs: ClassVar[SequenceSettings | None] = None
    reads_to: ClassVar[Literal["apex", "offset"]] = "offset"

    rois: tuple[str, ...] = ()
    card: Mapping[str, Any] = _NOTHING
    apex: str = ways.DEFAULT
    position: FacePosition = BY_LANDMARKS
    inputs: SequenceSettings | None = None
    motion: MotionSettings | None = None
    chosen: Mapping[str, Any] = _NOTHING
    log: tuple[dict[str, Any], ...] = ()

    @abstractmethod
    def fit(
        self,
        clips: Any,
        *,
        checkpoint: StrPath | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Learn, and return itself. Whatever is chosen is chosen within these clips.

        Args:
            clips: labeled clips of what it `reads`.
            checkpoint: where a long training keeps how far it is, and goes on from if it is there.
            callbacks: called after each epoch with its record. One that learns at once needs
                neither.

        Raises:
            UsageError: there is too little to learn from.
        """

    def to(self, device: str) -> bool:
        """Run there from now on.

        Args:
            device: as torch names it, or "auto": a GPU if there is one.

        Returns:
            False for one that runs on the CPU alone, whatever is asked.
        """
        return False

    def stopping(self) -> dict[str, Any]:
        """What decides when `fit` ends: ``epochs``, if it counts them; the ``inner_share`` of its
        subjects on which the epoch is chosen, and the ``patience`` in epochs."""
        return {"epochs": None, "patience": 0, "inner_share": 0.0}

    def subjects_needed(self) -> int:
        """Of how many subjects it needs clips to learn from, at least."""
        return 2 if self.stopping()["inner_share"] else 1

    @classmethod
    def has_file(cls) -> bool:
        """Whether it defines `save` and `load`."""
        return cls.save is not Trained.save

    def save(self, path: StrPath, card: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Everything that prediction needs, and the card, in one safetensors file.

        Raises:
            UsageError: it is not fitted, the card is not plain values, it cannot be saved, or as
                for `aumer.files.atomic_write`.
        """
        raise _no_file(self.name)

    @classmethod
    def load(cls, path: StrPath) -> Self:
        """Read what `save` wrote. No code in the file is run.

        Raises:
            WeightsError: no such file, damaged, or not of this part.
        """
        raise _no_file(cls.name)


def _no_file(name: str) -> UsageError:
    return UsageError(f"{name!r} cannot be saved: it defines no save and load")


def digest(part: Trained) -> str | None:
    """SHA-256 (hex) of the file that its `save` writes, which holds all that its numbers depend on;
    `None` for one that cannot be saved."""
    if not part.has_file():
        return None
    with TemporaryFolder() as folder:
        path = folder / "part.safetensors"
        part.save(path, part.card)
        return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Saved:
    """What `Sort.write` wrote.

    Attributes:
        name: of the registry.
        columns: what the columns of its probabilities stand for.
    """

    name: str
    columns: tuple[Any, ...]
    about: dict[str, Any]
    card: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]
    motion: MotionSettings | None = None
    apex: str = ways.DEFAULT

    @property
    def classes(self) -> tuple[str, ...]:
        """The columns of a recognizer."""
        return self.columns

    @property
    def aus(self) -> tuple[int, ...]:
        """The columns of an AU reader."""
        return self.columns


P = TypeVar("P", bound=Trained)


@dataclass(frozen=True)
class Sort(Generic[P]):
    """A sort of trained parts: how they are looked up, written, read and used by name.

    Attributes:
        kind: of the registry.
        base: what they derive from.
        define: what they must define, for messages.
        called: one of them, as messages call it: "recognizer".
        format: of their files; it holds "a recognizer".
        names: the key of a file under which the part's name stands.
        columns: the attribute that says what the columns of its probabilities stand for, empty
            before it has learned; and the key of it in a file.
        of_column: the type of one of these.
        fewest: how many of them there are at least.
        folder: where those lie that ship.
        default: the one of these where none is asked for.
        argument: what `load` is given, as messages call it.
    """

    kind: str
    base: type[P]
    define: str
    called: str
    format: ArrayFormat
    names: str
    columns: str
    of_column: type
    fewest: int
    folder: Path
    default: str = "graph"
    argument: str = "which"

    def resolve(self, name: str | type[P]) -> type[P]:
        """The registered part of a name: a class that keeps the contract.

        Raises:
            UsageError: there is none of that name, or it is none.
        """
        part = registry.resolve(self.kind, name)
        if not (inspect.isclass(part) and issubclass(part, self.base)):
            raise self._none(f"{name!r}", f"{part!r} is not a class derived from it")
        if lacking := sorted(part.__abstractmethods__):
            raise self._none(f"{name!r}", f"{part!r} does not define {', '.join(lacking)}")
        return part

    def _none(self, what: str, why: str) -> UsageError:
        where = f"{self.base.__module__}.{self.base.__qualname__}"
        return UsageError(
            f"the {self.called} {what} cannot be used: {self.called}s derive from {where} and "
            f"define {self.define}, and {why}. What else they may do is inherited; "
            f"aumer.testing.{self.base.__qualname__}Suite checks them"
        )

    def fitted(self, part: P) -> None:
        """Complain unless it is one that has been fitted or loaded.

        Raises:
            UsageError: it keeps another contract, or has no columns yet.
        """
        if not isinstance(part, self.base):
            raise self._none(f"{part!r}", "this one does not")
        if not getattr(part, self.columns):
            raise UsageError(
                f"the {self.called} {part.name!r} is not trained: fit or load it first"
            )

    def write(
        self,
        path: StrPath,
        part: P,
        arrays: Mapping[str, npt.NDArray[Any]],
        about: Mapping[str, Any],
        card: Mapping[str, Any],
        *,
        overwrite: bool,
    ) -> None:
        """Arrays, settings and card in one safetensors file.

        Raises:
            UsageError: it is not fitted, the card is not plain values, or as for `atomic_write`.
        """
        self.fitted(part)
        text = {
            self.names: part.name,
            self.columns: list(getattr(part, self.columns)),
            "about": dict(about),
            "card": dict(card),
        }
        if part.motion is not None:
            text["motion"] = asdict(part.motion)
        if part.apex != ways.DEFAULT:
            text["apex"] = part.apex
        self.format.write(path, arrays, text, overwrite=overwrite)

    def read(self, path: StrPath, name: str | None = None) -> Saved:
        """Read a file of `write`.

        Args:
            name: the part it must be of.

        Raises:
            WeightsError: no such file, damaged, or not of that part.
        """
        text, arrays = self.format.read(path)
        with foreign(path, f"the card of {self.format.holds}", WeightsError):
            found = Saved(
                str(text[self.names]),
                self._columns(text[self.columns]),
                dict(text["about"]),
                dict(text["card"]),
                arrays,
                build(MotionSettings, text["motion"], "motion") if "motion" in text else None,
                # So it is of files of before, too: there was no other way.
                str(text.get("apex", ways.DEFAULT)),
            )
        if name is not None and found.name != name:
            raise WeightsError(
                f"{path} holds {self.format.holds} {found.name!r}, not {name!r}; load it by that "
                "name"
            )
        return found

    def _columns(self, found: Any) -> tuple[Any, ...]:
        """Those of a file, which anybody may have written."""
        what = self.of_column
        if not (
            isinstance(found, list)
            and len(found) >= self.fewest
            and all(type(one) is what for one in found)
            and len(set(found)) == len(found)
        ):
            raise ValueError(
                f"{self.columns} must be a list of {self.fewest} or more different "
                f"{'texts' if what is str else 'whole numbers'}; found {found!r}"[:300]
            )
        return tuple(found)

    def shipped(self) -> tuple[str, ...]:
        """Names of those whose weights ship with aumer."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.safetensors")))

    def load(self, which: StrPath | P = "default") -> P:
        """A trained part: shipped, by its name; from a file of `save`; or itself.

        Raises:
            WeightsError: no weights of that name ship, or the file is not of this sort.
            UsageError: an object that is not trained.
        """
        if isinstance(which, self.base):
            self.fitted(which)
            return which
        wanted = f"{self.format.holds}, the name of one that ships or a file of weights"
        require_path(self.argument, which, wanted)
        path = Path(self.default if str(which) == "default" else str(which))
        if path.suffix != ".safetensors":
            if str(path) not in self.shipped():
                raise WeightsError(
                    f"no trained {self.called} is called {str(which)!r}; there are "
                    f"{', '.join(self.shipped()) or 'none'}. Give one of them, or the path of a "
                    ".safetensors file of your own"
                )
            path = self.folder / f"{path}.safetensors"
        kept = self.read(path)
        with foreign(path, f"the card of {self.format.holds}", WeightsError):
            kind = self.resolve(kept.name)
        made = kind.load(path)
        made.motion, made.apex = kept.motion, kept.apex
        return made

    def checked(self, part: P, shares: npt.NDArray[Any], clips: int) -> npt.NDArray[np.float64]:
        """What a part says of some clips, if it can be: a row for each, and in it a share of 1 for
        each of its columns.

        Raises:
            WeightsError: it is of another shape, or no number from 0 to 1.
        """
        found = np.asarray(shares, np.float64)
        width = len(getattr(part, self.columns))
        again = "Train it again, or give other weights"
        if found.shape != (clips, width):
            raise WeightsError(
                f"the {self.called} {part.name!r} gives probabilities of the shape {found.shape} "
                f"for {clips} clips and {width} {self.columns}: its weights are damaged, or those "
                f"of another one. {again}"
            )
        if not np.isfinite(found).all():
            raise WeightsError(
                f"the {self.called} {part.name!r} gives probabilities that are NaN or infinite: "
                f"its weights are damaged, or its training failed. {again}"
            )
        if ((found < -_LOOSE) | (found > 1 + _LOOSE)).any():
            raise WeightsError(
                f"the {self.called} {part.name!r} gives probabilities from {found.min():.3g} to "
                f"{found.max():.3g}, which must lie from 0 to 1: its weights are damaged, or "
                f"its code is wrong. {again}"
            )
        return found


#: By how much rounding may take a probability, or a sum of all, out of bounds.
_LOOSE = 1e-3
