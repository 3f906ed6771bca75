"""Labeled clips of any kind: flow maps, motion or sequences of aligned faces. numpy only."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.types import IntArray

if TYPE_CHECKING:
    from typing_extensions import Self

Inputs = TypeVar("Inputs", bound=Sized)


class SubjectClips:
    """Clips to learn from: whose they are, and a choice of them. A base of frozen dataclasses.

    Attributes:
        each: names of the fields with a value for each clip, arrays or tuples; a tuple may be
            empty.
        inputs: the clips.
        subjects: subject of each clip; clips of one subject are similar and are never split.
    """

    each: ClassVar[tuple[str, ...]] = ("inputs", "subjects")

    inputs: Any
    subjects: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: npt.NDArray[Any]) -> Self:
        """The clips of a boolean mask (N,), or of indices, in the given order."""
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        chosen = {name: _at(getattr(self, name), index) for name in self.each}
        return replace(self, **chosen)  # type: ignore[type-var]

    def of_subject(self, subject: str) -> npt.NDArray[np.bool_]:
        """(N,) mask of one subject's clips."""
        return np.array([s == subject for s in self.subjects])


def _at(values: Any, index: npt.NDArray[Any]) -> Any:
    if isinstance(values, np.ndarray):
        return values[index]
    return tuple(values[i] for i in index) if values else ()


@dataclass(frozen=True, eq=False)
class LabeledClips(SubjectClips, Generic[Inputs]):
    """Base class of labeled clips for training.

    Shapes:
        labels (N,) int64, indices into `classes`.

    Attributes:
        inputs: the clips.
        subjects: subject of each clip; clips of one subject are similar and are never split.
        classes: names, in the order of the probabilities.
        names: names of the clips, unique within a subject; may be empty.
        sources: the data set of each clip; empty if unknown.

    Raises:
        UsageError: the lengths differ, there are fewer than two classes, or a label is out of
            range.
    """

    each: ClassVar[tuple[str, ...]] = ("inputs", "labels", "subjects", "names", "sources")

    inputs: Inputs
    labels: IntArray
    subjects: tuple[str, ...]
    classes: tuple[str, ...]
    names: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        labels = np.asarray(self.labels, np.int64)
        lengths = {
            "labels": len(labels),
            "subjects": len(self.subjects),
            "names": len(self.names) or len(self),
            "sources": len(self.sources) or len(self),
        }
        for what, found in lengths.items():
            if found != len(self):
                raise UsageError(f"{len(self)} clips need as many {what}; found {found}")
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise UsageError(f"there must be two different classes or more; found {self.classes}")
        if ((labels < 0) | (labels >= len(self.classes))).any():
            raise UsageError(
                f"labels are indices of {len(self.classes)} classes; found "
                f"{labels.min()} to {labels.max()}"
            )
        object.__setattr__(self, "labels", labels)


#: Any subclass of `LabeledClips`.
C = TypeVar("C", bound=LabeledClips[Any])


def frequent(labels: IntArray, classes: Sequence[str], least: int) -> IntArray:
    """Indices of the classes with at least `least` clips.

    Raises:
        UsageError: fewer than two.
    """
    counts = np.bincount(labels, minlength=len(classes))
    kept = np.flatnonzero(counts >= least)
    if len(kept) < 2:
        listed = ", ".join(f"{c} {n}" for c, n in zip(classes, counts, strict=True))
        raise UsageError(f"two classes or more must have {least} clips or more; found {listed}")
    return kept


def without_rare(clips: C, least: int = 10) -> C:
    """Keep only the classes with at least `least` clips, renumbered in order.

    Call it on all clips before splitting, since a class that is missing in some folds cannot be
    scored.

    Raises:
        UsageError: fewer than two classes are left.
    """
    kept = frequent(clips.labels, clips.classes, least)
    some = clips.take(np.isin(clips.labels, kept))
    return replace(
        some,
        labels=np.searchsorted(kept, some.labels).astype(np.int64),
        classes=tuple(clips.classes[k] for k in kept),
    )
