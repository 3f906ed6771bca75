"""Interface of AU readers: which action units act from onset to apex.

An AU reader reads the same flow maps as recognizers (`aumer.recognition.interface`), and gives for
each action unit (AU) the probability that it acts and, if possible, the side of the face.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from aumer import weights
from aumer._moved import moved
from aumer.config import MotionSettings, RuleSettings
from aumer.errors import UsageError
from aumer.graph import au
from aumer.recognition.clips import Clip
from aumer.recognition.face_position import Floats
from aumer.recognition.interface import as_inputs
from aumer.recognition.labeled import SubjectClips
from aumer.recognition.stage import Stage
from aumer.recognition.trained import Sort, Trained
from aumer.types import SIDES, ActingUnit, BoolArray, FloatArray, Side

if TYPE_CHECKING:
    from typing_extensions import Self

#: Values of `AUClips.sides`: indices of `aumer.types.SIDES`.
BOTH, LEFT, RIGHT = range(3)


@dataclass(frozen=True, eq=False)
class AUClips(SubjectClips):
    """Flow maps with coded AUs.

    Shapes:
        inputs (N, 28, 28, 3) float32, as `aumer.recognition.interface.Clips`; acted (N, K) bool;
        sides (N, K) int64: `BOTH`, `LEFT` or `RIGHT`, of the subject's face; `BOTH` if it does not
        act.

    Attributes:
        aus: numbers of the AUs, in the order of the columns.
        subjects: subject of each clip; clips of one subject are similar and are never split.
        sources: the data set of each clip; empty if unknown.

    Raises:
        UsageError: the shapes do not fit together, or an input has a wrong shape or is not finite.
    """

    each: ClassVar[tuple[str, ...]] = ("inputs", "acted", "sides", "subjects", "sources")

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
        """From the coders' text for each clip, in the notation of `aumer.graph.au.read`: "4+L7".

        Raises:
            UsageError: as the class.
        """
        acted, sides = coded_units(texts, aus)
        return cls(inputs, tuple(aus), acted, sides, tuple(subjects), tuple(sources))


def coded_units(
    texts: Iterable[str], aus: Sequence[int]
) -> tuple[BoolArray, npt.NDArray[np.int64]]:
    """Coders' texts -> acted (N, K) bool and sides (N, K), as in `AUClips`.

    Of alternatives the first counts; an AU that only moves along with another does not.
    """
    rows = [[u for u in au.read(text).units if u.made and u.kind == "AU"] for text in texts]
    acted = np.zeros((len(rows), len(aus)), bool)
    sides = np.zeros(acted.shape, np.int64)
    for k, units in enumerate(rows):
        for column, number in enumerate(aus):
            own = {u.side for u in units if u.number == number}
            acted[k, column] = bool(own)
            if len(own) == 1:  # left and right means both
                sides[k, column] = SIDES.index(own.pop())
    return acted, sides


class AUReader(Trained):
    """Base class of AU readers for flow maps; see also `Trained`.

    A reader of your own derives from this class, defines `name`, `fit` (of `AUClips`) and
    `predict_proba`, and overrides the optional methods that it supports; it is registered as a
    class (``@aumer.register("au-reader", "mine")``) or passed as an object.
    `aumer.testing.AUReaderSuite` checks this contract.

    Attributes:
        aus: AUs of the columns of `predict_proba`; empty before `fit`.
        thresholds: (K,) least probability at which each AU counts as acting.
        known: AUs that it can learn to read; `None` for any.

    Example:
        >>> from aumer.recognition import action_units
        >>> reader = action_units.load("graph")  # the one that ships
        >>> isinstance(reader, AUReader)
        True
        >>> reader.predict_proba(np.zeros((1, 28, 28, 3), np.float32)).shape == (1, len(reader.aus))
        True
    """

    known: ClassVar[frozenset[int] | None] = None

    aus: tuple[int, ...] = ()
    thresholds: Floats = np.empty(0)

    # -- required ----------------------------------------------------------------------------------

    @abstractmethod
    def predict_proba(self, inputs: FloatArray, sources: Sequence[str] = ()) -> Floats:
        """(N, 28, 28, 3) maps -> (N, K) float64: probability that each AU acts.

        Args:
            sources: as `aumer.recognition.interface.Recognizer.predict_proba`.
        """

    # -- optional ----------------------------------------------------------------------------------

    @classmethod
    def check(cls, aus: Sequence[int]) -> None:
        """Raise an error for AUs that it cannot learn to read.

        Raises:
            UsageError: one is not in `known`.
        """
        if cls.known is not None and (strange := sorted(set(aus) - cls.known)):
            raise UsageError(
                f"the AU reader {cls.name!r} cannot read AU{strange[0]}; it reads "
                f"{', '.join(map(str, sorted(cls.known)))}"
            )

    def sides(self, inputs: FloatArray, sources: Sequence[str] = ()) -> list[list[Side | None]]:
        """(N lists of K): the side of each AU if it acts, one of `aumer.types.SIDES`; `None` if the
        reader cannot tell.
        """
        return [[None] * len(self.aus) for _ in range(len(inputs))]

    def read(self, inputs: FloatArray, sources: Sequence[str] = ()) -> list[tuple[ActingUnit, ...]]:
        """All AUs of each map, in order of their numbers."""
        shares = checked(self, self.predict_proba(inputs, sources), len(inputs))
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


_SORT = Sort(
    kind="au-reader",
    base=AUReader,  # type: ignore[type-abstract]
    define="name, fit and predict_proba",
    called="AU reader",
    format=weights.ArrayFormat(
        "aumer-au-reader-1",
        "an AU reader",
        "a file that `aumer train` or an AU reader's `save` wrote",
    ),
    names="reader",
    columns="aus",
    of_column=int,
    fewest=1,
    folder=Path(__file__).parent / "weights" / "aus",
    argument="aus",
)
resolve, fitted, checked = _SORT.resolve, _SORT.fitted, _SORT.checked
write_weights, read_weights = _SORT.write, _SORT.read
shipped, load = _SORT.shipped, _SORT.load

__getattr__ = moved(  # for one release
    __name__,
    {
        "write_reader": "aumer.recognition.action_units.write_weights",
        "read_reader": "aumer.recognition.action_units.read_weights",
    },
)


class ActionUnits(Stage[AUReader, tuple[ActingUnit, ...]]):
    """The stage that reads the AUs of moments of videos.

    Args: as `Stage`.

    Raises:
        UsageError: the reader is not trained, or the flow is unknown.
    """

    def __init__(
        self, reader: AUReader, settings: MotionSettings, rules: RuleSettings | None = None
    ) -> None:
        fitted(reader)
        super().__init__(reader, settings, rules)

    @property
    def reader(self) -> AUReader:
        """The AU reader."""
        return self.part

    def judge(self, clip: Clip) -> tuple[ActingUnit, ...]:
        """See `Stage`."""
        assert isinstance(clip, np.ndarray)  # a flow map
        return self.reader.read(clip[None])[0]

    def unmoved(self, answer: tuple[ActingUnit, ...]) -> tuple[ActingUnit, ...]:
        """No AUs."""
        return ()
