"""Which action units act from onset to apex: what an AU reader takes, says, and keeps in a file.

An AU reader stands beside the recognizers (`aumer.recognition.interface`): it reads the same
flow maps, and says of each action unit (AU) how probable it is that it acts, and on which side of
the face where that can be told.
"""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from aumer import registry, weights
from aumer.arguments import require_path
from aumer.config import MotionSettings, RuleSettings
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.graph import au
from aumer.process import use_threads
from aumer.recognition.clips import ClipMaker, Keeper
from aumer.recognition.interface import as_inputs
from aumer.recognition.labeler import at_rest
from aumer.recognition.place import BY_LANDMARKS, Floats, Place
from aumer.types import SIDES, ActingUnit, BoolArray, FaceTrack, Features, FloatArray, Moment, Side
from aumer.video import Source

if TYPE_CHECKING:
    from typing_extensions import Self

_FORMAT = weights.ArrayFormat(
    "aumer-au-reader-1", "an AU reader", "a file that an AU reader's `save` wrote"
)
_NOTHING: Mapping[str, Any] = MappingProxyType({})
#: What `AUClips.sides` holds: `aumer.types.SIDES` by its place there.
BOTH, LEFT, RIGHT = range(3)


@dataclass(frozen=True, eq=False)
class AUClips:
    """Flow maps of which coders say which AUs act.

    Shapes:
        inputs (N, 28, 28, 3) float32, as `aumer.recognition.interface.Clips`; acted (N, K) bool;
        sides (N, K) int64: `BOTH`, `LEFT` or `RIGHT`, the subject's; `BOTH` where it does not act.

    Attributes:
        aus: numbers of the AUs, in the order of the columns.
        subjects: whose each clip is; clips of one subject are alike and are never parted.
        sources: the data set of each clip; empty where that is not known.

    Raises:
        UsageError: the shapes do not go together, or an input is of another shape or not finite.
    """

    inputs: FloatArray
    aus: tuple[int, ...]
    acted: BoolArray
    sides: npt.NDArray[np.int64]
    subjects: tuple[str, ...]
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", as_inputs(self.inputs))
        shape = (len(self.inputs), len(self.aus))
        if self.acted.shape != shape or self.sides.shape != shape:
            raise UsageError(
                f"{shape[0]} clips and {shape[1]} AUs need acted and sides of shape {shape}; found "
                f"{self.acted.shape} and {self.sides.shape}"
            )
        if len(self.subjects) != shape[0] or len(self.sources) not in (0, shape[0]):
            raise UsageError(
                f"{shape[0]} clips need as many subjects, and sources or none; found "
                f"{len(self.subjects)} and {len(self.sources)}"
            )

    @classmethod
    def coded(
        cls,
        inputs: FloatArray,
        texts: Sequence[str],
        subjects: Sequence[str],
        sources: Sequence[str] = (),
        *,
        aus: Sequence[int],
    ) -> Self:
        """By what coders wrote of each clip, as `aumer.graph.au.read` reads it: "4+L7".

        Raises:
            UsageError: as the class.
        """
        acted, sides = coded_units(texts, aus)
        return cls(inputs, tuple(aus), acted, sides, tuple(subjects), tuple(sources))

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: npt.NDArray[Any]) -> Self:
        """Those of a boolean mask (N,), or of indices in their order."""
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        return replace(
            self,
            inputs=self.inputs[index],
            acted=self.acted[index],
            sides=self.sides[index],
            subjects=tuple(self.subjects[i] for i in index),
            sources=tuple(self.sources[i] for i in index) if self.sources else (),
        )


def coded_units(
    texts: Iterable[str], aus: Sequence[int]
) -> tuple[BoolArray, npt.NDArray[np.int64]]:
    """What coders wrote -> acted (N, K) bool and sides (N, K), as `AUClips` has them.

    Of alternatives the first counts, and an AU that another carried along does not.
    """
    rows = [[u for u in au.read(text).units if u.made and u.kind == "AU"] for text in texts]
    acted = np.zeros((len(rows), len(aus)), bool)
    sides = np.zeros(acted.shape, np.int64)
    for k, units in enumerate(rows):
        for column, number in enumerate(aus):
            own = {u.side for u in units if u.number == number}
            acted[k, column] = bool(own)
            if len(own) == 1:  # made left and right is made on both
                sides[k, column] = SIDES.index(own.pop())
    return acted, sides


class AUReader(ABC):
    """One way to read AUs off flow maps. The same clips give the same numbers.

    A reader of your own derives from this class, defines `name`, `fit`, `predict_proba`, `save` and
    `load`, and is registered as a class (``@aumer.register("au-reader", "mine")``) or handed over
    as an object. `aumer.testing.AUReaderSuite` checks that it keeps this contract.

    Attributes:
        name: of the registry.
        aus: what the columns of `predict_proba` stand for; empty before `fit`.
        thresholds: (K,) from which probability an AU is said to act.
        place: where maps must show the face.
        card: what the file it was loaded from says of it; empty for one just fitted.
        digest: SHA-256 (hex) of that file; `None` for one just fitted.

    Example:
        >>> from aumer.recognition import action_units
        >>> reader = action_units.load("graph")  # the one that ships
        >>> isinstance(reader, AUReader)
        True
        >>> reader.predict_proba(np.zeros((1, 28, 28, 3), np.float32)).shape == (1, len(reader.aus))
        True
    """

    name: ClassVar[str]

    aus: tuple[int, ...] = ()
    thresholds: Floats = np.empty(0)
    place: Place = BY_LANDMARKS
    card: Mapping[str, Any] = _NOTHING
    digest: str | None = None

    # -- required ----------------------------------------------------------------------------------

    @abstractmethod
    def fit(self, clips: AUClips) -> Self:
        """Learn, and return itself. Whatever is chosen is chosen within these clips.

        Raises:
            UsageError: there is too little to learn from.
        """

    @abstractmethod
    def predict_proba(self, inputs: FloatArray, sources: Sequence[str] = ()) -> Floats:
        """(N, 28, 28, 3) maps -> (N, K) float64: how probable it is that each AU acts.

        Args:
            sources: as `aumer.recognition.interface.Recognizer.predict_proba`.
        """

    @abstractmethod
    def save(self, path: StrPath, card: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Everything that prediction needs, and the card, in one safetensors file.

        Raises:
            UsageError: it is not fitted, the card is not plain values, or as for
                `aumer.files.atomic_write`.
        """

    @classmethod
    @abstractmethod
    def load(cls, path: StrPath) -> Self:
        """Read what `save` wrote. No code in the file is run.

        Raises:
            WeightsError: no such file, damaged, or not of this reader.
        """

    # -- optional ----------------------------------------------------------------------------------

    def sides(self, inputs: FloatArray, sources: Sequence[str] = ()) -> list[list[Side | None]]:
        """(N lists of K): on which side each AU acts if it does, one of `aumer.types.SIDES`; `None`
        where the reader cannot tell."""
        return [[None] * len(self.aus) for _ in range(len(inputs))]

    def read(self, inputs: FloatArray, sources: Sequence[str] = ()) -> list[tuple[ActingUnit, ...]]:
        """Every AU of each map, in the order of their numbers."""
        shares = self.predict_proba(inputs, sources)
        if not np.isfinite(shares).all():
            raise WeightsError(
                f"the AU reader {self.name!r} gives probabilities that are NaN or infinite: its "
                "weights are damaged. Give other weights"
            )
        order = np.argsort(self.aus)
        return [
            tuple(
                ActingUnit(
                    self.aus[k],
                    float(np.clip(own[k], 0, 1)),
                    acts := bool(own[k] >= self.thresholds[k]),
                    sides[k] if acts else None,
                )
                for k in order
            )
            for own, sides in zip(shares, self.sides(inputs, sources), strict=True)
        ]


def resolve(name: str | type[AUReader]) -> type[AUReader]:
    """The registered AU reader of a name: a class that keeps the contract.

    Raises:
        UsageError: there is none of that name, or it is none.
    """
    part = registry.resolve("au-reader", name)
    if not (inspect.isclass(part) and issubclass(part, AUReader) and not part.__abstractmethods__):
        raise _none(repr(name), f"{part!r} is not a class derived from it that defines them all")
    return part


def _none(what: str, why: str) -> UsageError:
    return UsageError(
        f"the AU reader {what} cannot be used: AU readers derive from "
        "aumer.recognition.action_units.AUReader and define name, fit, predict_proba, save and "
        f"load, and {why}"
    )


def fitted(reader: AUReader) -> None:
    """Complain unless it is an AU reader that has been fitted or loaded.

    Raises:
        UsageError: it keeps another contract, or reads no AU yet.
    """
    if not isinstance(reader, AUReader):
        raise _none(f"{reader!r}", "this one does not")
    if not reader.aus:
        raise UsageError(f"the AU reader {reader.name!r} is not trained: fit or load it first")


def write_reader(
    path: StrPath,
    reader: AUReader,
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
    fitted(reader)
    text = {
        "reader": reader.name,
        "aus": list(reader.aus),
        "about": dict(about),
        "card": dict(card),
    }
    _FORMAT.write(path, arrays, text, overwrite=overwrite)


@dataclass(frozen=True)
class SavedReader:
    """What `write_reader` wrote."""

    reader: str
    aus: tuple[int, ...]
    about: dict[str, Any]
    card: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]


def read_reader(path: StrPath, name: str | None = None) -> SavedReader:
    """Read a file of `write_reader`.

    Args:
        name: the reader it must be of.

    Raises:
        WeightsError: no such file, damaged, or not of that reader.
    """
    text, arrays = _FORMAT.read(path)
    with foreign(path, "the card of an AU reader", WeightsError):
        found = SavedReader(
            str(text["reader"]),
            tuple(int(number) for number in text["aus"]),
            dict(text["about"]),
            dict(text["card"]),
            arrays,
        )
    if name is not None and found.reader != name:
        raise WeightsError(
            f"{path} holds an AU reader {found.reader!r}, not {name!r}; load it by that name"
        )
    return found


#: Where the weights lie that ship with aumer.
_SHIPPED = Path(__file__).parent / "weights" / "aus"
#: The reader where none is asked for.
DEFAULT = "graph"


def shipped() -> tuple[str, ...]:
    """Names of the AU readers whose weights ship with aumer."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.safetensors")))


def load(which: StrPath | AUReader = DEFAULT) -> AUReader:
    """A trained AU reader: shipped, by its name; from a file of `save`; or itself.

    Raises:
        WeightsError: no weights of that name ship, or the file is not an AU reader's.
        UsageError: an object that is not trained.
    """
    if isinstance(which, AUReader):
        fitted(which)
        return which
    require_path("aus", which, "an AU reader, the name of one that ships or a file of weights")
    path = Path(DEFAULT if str(which) == "default" else which)
    if path.suffix != ".safetensors":
        if str(path) not in shipped():
            raise WeightsError(
                f"no trained AU reader is called {str(which)!r}; there are "
                f"{', '.join(shipped()) or 'none'}. Give one of them, or the path of a "
                ".safetensors file of your own"
            )
        path = _SHIPPED / f"{path}.safetensors"
    with foreign(path, "the card of an AU reader", WeightsError):
        kind = resolve(read_reader(path).reader)
    found = kind.load(path)
    found.digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


class ActionUnits:
    """The stage that reads AUs off moments of videos.

    Args:
        rules: what moves less than they ask for (`aumer.recognition.labeler.at_rest`) does not
            move, and no AU acts in it; by default everything moves.

    Raises:
        UsageError: the reader is not trained, or there is no such flow.
    """

    def __init__(
        self, reader: AUReader, settings: MotionSettings, rules: RuleSettings | None = None
    ) -> None:
        fitted(reader)
        self.reader, self._rules = reader, rules
        self.maker = ClipMaker("flow-map", settings, reader.place)
        self.maker.check()

    def __call__(
        self,
        source: Source,
        moments: Sequence[Moment],
        track: FaceTrack,
        features: Features | None = None,
        *,
        fps: float | None = None,
        kept: Keeper | None = None,
    ) -> list[tuple[ActingUnit, ...] | None]:
        """Every AU of each moment; none at all where nothing moves, and `None` where no face or no
        motion of one was seen.

        Args: as `aumer.recognition.clips.ClipMaker`.

        Raises:
            UsageError: the source is a camera.
            VideoError: the source cannot be read.
        """
        use_threads()
        found: list[tuple[ActingUnit, ...] | None] = [None] * len(moments)
        for made in self.maker(source, moments, track, fps=fps, kept=kept):
            if isinstance(made.clip, np.ndarray):
                found[made.number] = self.reader.read(made.clip[None])[0]
        still = at_rest(features, self._rules, moments)
        return [() if s and one else one for one, s in zip(found, still, strict=True)]
