"""Seeks in a video file to a frame by number, each checked by the decoder's times.

The landing frame of a seek depends on container and decoder, and the frames after it may be wrong
until what they refer to is decoded. So a seek needs the decoder's time of every frame up to its
target, from an earlier pass: it aims before the target, these times identify the landing frame, and
each following step must reach the next frame. If a time is not unique or a step is unexpected, the
position is uncertain, and the caller decodes from the first frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from aumer.types import ImageArray, TimeArray

#: Frames ahead that are reached by decoding instead of a seek.
WALK = 48
#: How far before a frame a seek aims, in decoder ms; the next one is tried if a seek lands behind
#: the frame.
_MARGINS = (400.0, 3000.0, 20000.0)


class Seekable(Protocol):
    """A decoder with a position. Its times are not presentation times, but identify frames."""

    @property
    def position_ms(self) -> float:
        """The decoder's time of the current frame."""

    def jump(self, position_ms: float) -> bool:
        """Seek near a decoder time; whether there is a frame."""

    def step(self) -> bool:
        """Go to the next frame; whether there is one."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a pass over a file knows of its first frames, so that a later one need not decode them.

    Attributes:
        marks: (N,) float64, the decoder's time in ms of each.
        picture: `picture_digest` of the last. A later pass that has reached it by a seek compares:
            times can agree where pictures are still damaged.
        still: for `aumer.video.file`: since when (s) that picture is the same, for how many
            images, and 1 if that was told; None if it is unknown.
    """

    marks: TimeArray
    picture: str
    still: tuple[float, float, float] | None = None


def picture_digest(image: ImageArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()


def can_seek(marks: TimeArray) -> bool:
    """Whether the times tell all frames apart, and seeking among them is worth it."""
    return len(np.unique(marks)) == len(marks) > WALK


class Jumps:
    """Seeks in one file.

    Args:
        source: whose current frame is its first.
        marks: decoder time (ms) of the frames from the first on.

    Attributes:
        at: the number of the current frame; -1 if it is uncertain.
    """

    def __init__(self, source: Seekable, marks: TimeArray) -> None:
        self._source, self._marks = source, marks
        self._order = np.argsort(marks)
        self.at = -1 if self._here() != 0 else 0

    def to(self, number: int, first: int, see: Callable[[int], object] = lambda _: None) -> bool:
        """Go to frame `number`, and call `see` at each from `first` on; False if the position is
        uncertain.
        """
        if not self.at < number or not self.at >= 0 or number > self.at + WALK:
            for margin in _MARGINS:
                aim = self._marks[first] - margin
                if not self._source.jump(max(aim, 0.0)):
                    continue
                self.at = self._here()
                # The landing frame of a seek may be wrong, as its reference frames may not be
                # decoded.
                if 0 <= self.at < first or self.at == first == 0:
                    break
            else:
                self.at = -1
                return False
        if self.at == first:
            see(self.at)
        while self.at < number:
            if not self._source.step() or self._here() != self.at + 1:
                self.at = -1
                return False
            self.at += 1
            if self.at >= first:
                see(self.at)
        return True

    def _here(self) -> int:
        """The decoder's current frame; -1 if it is unknown."""
        mark = self._source.position_ms
        index = int(np.searchsorted(self._marks, mark, sorter=self._order))
        for near in (index - 1, index):
            if 0 <= near < len(self._order):
                found = int(self._order[near])
                if abs(self._marks[found] - mark) < 1e-3:
                    return found
        return -1
