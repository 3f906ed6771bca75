"""A clip as a sequence, and labelled clips to learn from. numpy only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.types import FloatArray, ImageArray, IntArray


@dataclass(frozen=True, eq=False)
class ClipSequence:
    """One clip: an aligned face, frame by frame.

    Shapes:
        grey (T, S, S) uint8; landmarks (T, 68, 2) float32, iBUG-68, in sides of the crop from its
        middle, x to the image's right and y down (inside the crop: from -.5 to .5); flow
        (T - 1, S, S, 2) float32 px of the crop, at t from frame t to frame t + 1, or `None` where
        nobody asked for it.

    Attributes:
        onset, apex, offset: frames of the sequence, 0-based, ends included.
        fps: frames per second.

    Raises:
        UsageError: shapes that do not fit, or onset <= apex <= offset < T violated.
    """

    grey: ImageArray
    landmarks: FloatArray
    flow: FloatArray | None
    onset: int
    apex: int
    offset: int
    fps: float

    def __post_init__(self) -> None:
        shape = self.grey.shape
        if len(shape) != 3 or not shape[0] or shape[1] != shape[2] or self.grey.dtype != np.uint8:
            raise UsageError(f"grey frames are (T, S, S) uint8; found {shape} {self.grey.dtype}")
        if self.landmarks.shape != (shape[0], 68, 2):
            raise UsageError(
                f"{shape[0]} frames need landmarks ({shape[0]}, 68, 2); found "
                f"{self.landmarks.shape}"
            )
        wanted = (shape[0] - 1, *shape[1:], 2)
        if self.flow is not None and self.flow.shape != wanted:
            raise UsageError(f"{shape[0]} frames need flow {wanted}; found {self.flow.shape}")
        if not 0 <= self.onset <= self.apex <= self.offset < shape[0]:
            raise UsageError(
                f"a clip of {shape[0]} frames needs 0 <= onset <= apex <= offset < {shape[0]}; "
                f"found {self.onset}, {self.apex}, {self.offset}"
            )

    def __len__(self) -> int:
        return len(self.grey)

    @property
    def size(self) -> int:
        """Side of the crop, px."""
        return int(self.grey.shape[1])

    def flow_fields(self) -> FloatArray:
        """The flow.

        Raises:
            UsageError: there is none.
        """
        if self.flow is None:
            raise UsageError(
                "this recogniser reads optical flow, and the clip was made without; make it with "
                "flow = a name (`sequence_inputs`)"
            )
        return self.flow


@dataclass(frozen=True, eq=False)
class SequenceClips:
    """Labelled clips to learn from: what `aumer.recognition.seam.Clips` is to flow maps.

    Shapes:
        labels (N,) int64, indices of `classes`.

    Attributes:
        subjects: whose each clip is; clips of one subject are alike and are never parted.
        classes: names, in the order of the probabilities.
        names: of the clips, unique within a subject; empty where they have none.
        sources: the data set of each clip; empty where that is not known.

    Raises:
        UsageError: the lengths differ, crops of different sizes, fewer than two classes, or a label
            is the index of no class.
    """

    inputs: tuple[ClipSequence, ...]
    labels: IntArray
    subjects: tuple[str, ...]
    classes: tuple[str, ...]
    names: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        labels = np.asarray(self.labels, np.int64)
        for what, found in (
            ("labels", len(labels)),
            ("subjects", len(self.subjects)),
            ("names", len(self.names) or len(self.inputs)),
            ("sources", len(self.sources) or len(self.inputs)),
        ):
            if found != len(self.inputs):
                raise UsageError(f"{len(self.inputs)} clips need as many {what}; found {found}")
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise UsageError(f"there must be two different classes or more; found {self.classes}")
        if ((labels < 0) | (labels >= len(self.classes))).any():
            raise UsageError(
                f"labels are indices of {len(self.classes)} classes; found "
                f"{labels.min()} to {labels.max()}"
            )
        sizes = {clip.size for clip in self.inputs}
        if len(sizes) > 1:
            raise UsageError(f"all crops must be of one size; found sides of {sorted(sizes)} px")
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: npt.NDArray[Any]) -> SequenceClips:
        """Those of a boolean mask (N,), or of indices in their order."""
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        return replace(
            self,
            inputs=tuple(self.inputs[i] for i in index),
            labels=self.labels[index],
            subjects=tuple(self.subjects[i] for i in index),
            names=tuple(self.names[i] for i in index) if self.names else (),
            sources=tuple(self.sources[i] for i in index) if self.sources else (),
        )

    def of_subject(self, subject: str) -> npt.NDArray[np.bool_]:
        """(N,) mask of one subject's clips."""
        return np.array([s == subject for s in self.subjects])


def without_rare(clips: SequenceClips, least: int = 10) -> SequenceClips:
    """Only the classes with `least` clips or more, renumbered in their order.

    Call it on all clips, before they are split: a class that some folds know and others do not
    cannot be scored.

    Raises:
        UsageError: fewer than two classes are left.
    """
    counts = np.bincount(clips.labels, minlength=len(clips.classes))
    kept = np.flatnonzero(counts >= least)
    if len(kept) < 2:
        told = ", ".join(f"{c} {n}" for c, n in zip(clips.classes, counts, strict=True))
        raise UsageError(f"of these classes fewer than two have {least} clips: {told}")
    some = clips.take(np.isin(clips.labels, kept))
    return replace(
        some,
        labels=np.searchsorted(kept, some.labels).astype(np.int64),
        classes=tuple(clips.classes[k] for k in kept),
    )
