"""Common base of recognizers and AU readers: training on clips, files, and use by name.

A `Trained` part learns from labeled clips and predicts from clips. A `Sort` describes all parts of
one kind: their kind in the registry, the format of their files, and the folder of the shipped ones.
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
    import torch
    from typing_extensions import Self

    from aumer.recognition.sequences.inputs import SequenceSettings

#: Possible inputs.
Reads = Literal["flow-map", "sequence", "motion"]
#: Called with the record of every epoch.
Callback = Callable[[dict[str, Any]], object]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Trained(ABC):
    """Base class of parts that learn from labeled clips. The same clips and seed give the same
    results.

    Attributes:
        name: its name in the registry.
        reads: inputs that it can read, made by `aumer.recognition.clips.ClipMaker`. The first is
            used for training and for clips of videos: "flow-map" ((28, 28, 3) float32; see
            `aumer.recognition.interface.Clips`), "sequence" (a `ClipSequence`), or "motion" ((R, 2)
            float32, displacement of each of `rois` from onset to apex, in outer-eye distances).
        options: names of the constructor's arguments that users may set. If "seed" is one of them,
            a seed is passed.
        default_inputs: for sequences: how they are made from frames; `None` for the default.
        reads_to: for sequences: the last frame that is read; no flow is computed after it.

        rois: for motion: the rows.
        card: card of the file that it was loaded from; empty if just fitted.
        apex: method to find a missing apex (`aumer.recognition.apex.names`); after training the one
            used for its clips.
        position: for flow maps: required position of the face.
        inputs: for sequences: settings of its training clips.
        motion: for flow maps: motion settings of its training clips, used again whatever the
            settings for spotting. `None` if unknown: then those of the settings.
        chosen: settings chosen by `fit`.
        log: records of the epochs of `fit`.
        device: where it runs.
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
    device: torch.device | str = "cpu"

    @abstractmethod
    def fit(
        self,
        clips: Any,
        *,
        checkpoint: StrPath | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Train, and return itself. All choices are made within these clips.

        Args:
            clips: labeled clips of the first input in `reads`.
            checkpoint: file for the state of a long training, which continues from it if it exists.
            callbacks: called with the record of each epoch. A part without epochs may ignore both.

        Raises:
            UsageError: too few training data.
        """

    def to(self, device: str) -> bool:
        """Run on this device from now on.

        Args:
            device: a torch device, or "auto": a GPU if there is one.

        Returns:
            False if it supports only the CPU.
        """
        return False

    def stopping(self) -> dict[str, Any]:
        """The stopping rule of `fit`: ``epochs``, if any; the ``inner_share`` of subjects on which
        the epoch is chosen, and the ``patience`` in epochs.
        """
        return {"epochs": None, "patience": 0, "inner_share": 0.0}

    def subjects_needed(self) -> int:
        """Least number of subjects in the training clips."""
        return 2 if self.stopping()["inner_share"] else 1

    @classmethod
    def has_file(cls) -> bool:
        """Whether it defines `save` and `load`."""
        return cls.save is not Trained.save

    def save(self, path: StrPath, card: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Write everything that prediction needs, and the card, to one safetensors file.

        Raises:
            UsageError: it is not fitted, the card holds other than plain values, it cannot be
                saved, or as for `aumer.files.atomic_write`.
        """
        raise _no_file(self.name)

    @classmethod
    def load(cls, path: StrPath) -> Self:
        """Load a file of `save`. No code in the file is run.

        Raises:
            WeightsError: the file is missing, damaged, or of another part.
        """
        raise _no_file(cls.name)


def _no_file(name: str) -> UsageError:
    return UsageError(f"{name!r} cannot be saved: it defines no save and load")


def digest(part: Trained) -> str | None:
    """SHA-256 (hex) of the file that `save` writes, which contains everything that predictions
    depend on; `None` if it cannot be saved.
    """
    if not part.has_file():
        return None
    with TemporaryFolder() as folder:
        path = folder / "part.safetensors"
        part.save(path, part.card)
        return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Saved:
    """Content of a file of `Sort.write`.

    Attributes:
        name: name in the registry.
        columns: names of the columns of its probabilities.
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
        """The classes of a recognizer."""
        return self.columns

    @property
    def aus(self) -> tuple[int, ...]:
        """The AUs of an AU reader."""
        return self.columns


P = TypeVar("P", bound=Trained)


@dataclass(frozen=True)
class Sort(Generic[P]):
    """Description of one kind of trained parts: lookup, files and use by name.

    Attributes:
        kind: kind in the registry.
        base: their base class.
        define: required members, for messages.
        called: word for one of them in messages: "recognizer".
        format: format of their files.
        names: key of the part's name in a file.
        columns: attribute with the names of the probabilities' columns (empty before training), and
            its key in a file.
        of_column: type of a column's name.
        fewest: least number of columns.
        folder: folder of the shipped files.
        default: name of the default one.
        argument: name of the argument of `load` in messages.
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
        """The registered class of that name.

        Raises:
            UsageError: unknown name, or an object that is not such a class.
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
        """Raise an error unless the part has been fitted or loaded.

        Raises:
            UsageError: it is of another kind, or has no columns yet.
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
        """Write arrays, settings and card to one safetensors file.

        Raises:
            UsageError: it is not fitted, the card holds other than plain values, or as for
                `atomic_write`.
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
            name: name of the expected part.

        Raises:
            WeightsError: the file is missing, damaged, or of another part.
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
                # Old files have no entry, since there was only this method.
                str(text.get("apex", ways.DEFAULT)),
            )
        if name is not None and found.name != name:
            raise WeightsError(
                f"{path} holds {self.format.holds} {found.name!r}, not {name!r}; load it by that "
                "name"
            )
        return found

    def _columns(self, found: Any) -> tuple[Any, ...]:
        """The columns of a file, validated."""
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
        """Names of the parts whose weights ship with aumer."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.safetensors")))

    def load(self, which: StrPath | P = "default") -> P:
        """A trained part: a shipped one by name, one from a file of `save`, or the object itself.

        Raises:
            WeightsError: no shipped weights have that name, or the file is of another kind.
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
        what = f"the card of {self.format.holds}"
        with foreign(path, what, WeightsError, registry.REGISTERED_ELSEWHERE):
            kind = self.resolve(kept.name)
        made = kind.load(path)
        made.motion, made.apex = kept.motion, kept.apex
        return made

    def checked(self, part: P, shares: npt.NDArray[Any], clips: int) -> npt.NDArray[np.float64]:
        """A part's predictions for clips, validated: one row per clip with a value in [0, 1] for
        each column.

        Raises:
            WeightsError: wrong shape, or values outside [0, 1].
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


#: Tolerance of probabilities and of their sums.
_LOOSE = 1e-3
