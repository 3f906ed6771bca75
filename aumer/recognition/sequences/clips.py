"""A clip as a sequence, and labeled sequences for training. numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aumer._moved import moved
from aumer.errors import UsageError
from aumer.recognition.labeled import LabeledClips
from aumer.types import FloatArray, ImageArray, Moment


@dataclass(frozen=True, eq=False)
class ClipSequence:
    """One clip: an aligned face, frame by frame.

    Shapes:
        gray (T, S, S) uint8; landmarks (T, 68, 2) float32, iBUG-68, in units of the crop's side,
        relative to its center, x to the image's right and y down (inside the crop: from -.5 to .5);
        flow (T - 1, S, S, 2) float32 px of the crop, at t from frame t to frame t + 1, or `None` if
        not computed.

    Attributes:
        onset, apex, offset: frames of the sequence, 0-based, ends included.
        fps: frames per second.

    Raises:
        UsageError: shapes that do not fit together, or onset <= apex <= offset < T violated.
    """

    gray: ImageArray
    landmarks: FloatArray
    flow: FloatArray | None
    onset: int
    apex: int
    offset: int
    fps: float

    def __post_init__(self) -> None:
        shape = self.gray.shape
        if len(shape) != 3 or not shape[0] or shape[1] != shape[2] or self.gray.dtype != np.uint8:
            raise UsageError(f"gray frames are (T, S, S) uint8; found {shape} {self.gray.dtype}")
        if self.landmarks.shape != (shape[0], 68, 2):
            raise UsageError(
                f"{shape[0]} frames need landmarks ({shape[0]}, 68, 2); found "
                f"{self.landmarks.shape}"
            )
        wanted = (shape[0] - 1, *shape[1:], 2)
        if self.flow is not None and self.flow.shape != wanted:
            raise UsageError(f"{shape[0]} frames need flow {wanted}; found {self.flow.shape}")
        try:
            _ = Moment(self.onset, self.offset, self.apex)
        except ValueError as error:
            raise UsageError(f"a clip of {shape[0]} frames: {error}") from None
        if self.offset >= shape[0]:
            raise UsageError(
                f"a clip of {shape[0]} frames has no frame {self.offset}, its offset; frames are "
                f"counted from 0, and offset is at most {shape[0] - 1}"
            )

    def __len__(self) -> int:
        return len(self.gray)

    @property
    def size(self) -> int:
        """Side of the crop, px."""
        return int(self.gray.shape[1])

    def flow_fields(self) -> FloatArray:
        """The flow.

        Raises:
            UsageError: there is none.
        """
        if self.flow is None:
            raise UsageError(
                "this recognizer reads optical flow, and the clip was made without; make it with "
                "flow = a name (`sequence_inputs`)"
            )
        return self.flow


@dataclass(frozen=True, eq=False)
class SequenceClips(LabeledClips[tuple[ClipSequence, ...]]):
    """Labeled sequences; see also `LabeledClips`.

    Raises:
        UsageError: as `LabeledClips`, or crops of different sizes.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = {clip.size for clip in self.inputs}
        if len(sizes) > 1:
            raise UsageError(f"all crops must be of one size; found sides of {sorted(sizes)} px")


if not TYPE_CHECKING:  # unknown names must stay errors for mypy
    __getattr__ = moved(__name__, {"without_rare": "aumer.recognition.labeled"})
