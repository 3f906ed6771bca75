"""Which frames of a video are analyzed.

At most one per step of the time grid, within a range that may be given in frames: the time of a
frame is known only when it is decoded.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from aumer.arguments import whole
from aumer.errors import UsageError
from aumer.types import Frame, IntArray, TimeArray

#: Tolerance in seconds of differences of timestamps.
SAME_TIME_S = 1e-6


@dataclass(frozen=True)
class FrameRange:
    """The part of a video to analyze, in frames: an expression with a margin.

    Not an `aumer.types.Interval`, since either end may be open. One step of the analysis is added
    at either end.

    Attributes:
        onset, offset: frames, or `None` for the first and the last.
        margin: further frames at either end, if they exist.
    """

    onset: int | None = None
    offset: int | None = None
    margin: int = 0

    def __post_init__(self) -> None:
        for name in ("onset", "offset"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), "a frame, which is a whole number")
            if (getattr(self, name) or 0) < 0:
                raise UsageError(f"frames are counted from 0; found {name} {getattr(self, name)}")

    @property
    def first(self) -> int:
        """The first required frame."""
        return max(0, (self.onset or 0) - self.margin)

    @property
    def last(self) -> int | None:
        """The last requested frame."""
        return None if self.offset is None else self.offset + self.margin

    def check(self, frames: int) -> None:
        """Raise an error for frames outside a video of this length.

        Raises:
            UsageError: names them.
        """
        for name, frame in (("onset", self.onset), ("offset", self.offset)):
            if frame is not None and frame >= frames:
                raise UsageError(
                    f"the clip has frames 0 to {frames - 1}; found {name} {frame}. Frames are "
                    "counted from 0"
                )


class FrameGrid:
    """Chooses the frames to analyze: at most one per step of the time grid.

    A frame is assigned to the nearest instant of the grid, with a small tolerance, so that jitter
    of timestamps never drops a frame of a video at the grid's rate.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._slot = -(10**9)
        self.kept = 0
        # Arrays for all frames of ten hours need an eighth of the memory of lists. They grow in the
        # decoder's thread.
        self._indices = array("q")
        self._times = array("d")
        self._lock = threading.Lock()

    @classmethod
    def of(cls, rate: float, indices: IntArray, times: TimeArray) -> FrameGrid:
        """The grid after it has seen these decoded frames; for `seen` alone."""
        grid = cls(rate)
        grid._indices.frombytes(indices.tobytes())
        grid._times.frombytes(times.tobytes())
        return grid

    def seen(self) -> tuple[IntArray, TimeArray]:
        """Ordinals and times of the decoded frames, except forgotten ones."""
        with self._lock:
            return np.array(self._indices, np.int64), np.array(self._times, np.float64)

    def forget(self, before_s: float) -> None:
        """Drop the frames before this time."""
        with self._lock:
            count = bisect_left(self._times, before_s)
            del self._indices[:count], self._times[:count]

    def tick(self, index: int, time_s: float) -> bool:
        with self._lock:
            self._indices.append(index)
            self._times.append(time_s)
        slot = int(np.floor(time_s * self._rate + 0.45))
        if slot <= self._slot:
            return False
        self._slot = slot
        self.kept += 1
        return True


class Lead:
    """Converts a range of frames to times while the video is decoded.

    The time of a frame is known only when it is decoded, and analysis begins one step before the
    first: so earlier frames are held while they are within one step of the latest.
    """

    def __init__(self, frames: FrameRange, rate: float) -> None:
        self._frames, self._step = frames, 1 / rate
        self._before: list[tuple[int, float]] = []
        self._end = np.inf
        self._seen = 0
        self._over = -1

    def asks(self, index: int, time_s: float) -> bool:
        """Whether a frame must be decoded to be held, or as the end of the range."""
        if index < self._frames.first:
            return True
        if time_s >= self._end - SAME_TIME_S and self._over < 0:
            self._over = index
            return True
        return False

    def ready(self, index: int, time_s: float) -> list[tuple[int, float]]:
        """Ordinals and times of frames of the range, as soon as known."""
        self._seen = index + 1
        if time_s >= self._end - SAME_TIME_S:
            return []
        if index < self._frames.first:
            self._before.append((index, time_s))
            while self._before[0][1] < time_s - self._step - SAME_TIME_S:
                del self._before[0]
            return []
        if index == self._frames.last:
            self._end = time_s + 1.5 * self._step
        start = max(0.0, time_s - self._step)
        held = [(k, t) for k, t in self._before if t >= start - SAME_TIME_S]
        self._before = []
        return [*held, (index, time_s)]

    def through(self, decoded: Iterator[Frame]) -> Iterator[Frame]:
        """The frames without those that were held unnecessarily; stops at the end of the range."""
        held: list[Frame] = []
        for frame in decoded:
            if frame.index < self._frames.first:
                held.append(frame)
                while held[0].time_s < frame.time_s - self._step - SAME_TIME_S:
                    del held[0]
                continue
            if frame.index == self._over:
                break
            yield from held
            held = []
            yield frame
        yield from held  # the range ends with them

    def check(self) -> None:
        """Raise an error if requested frames did not exist."""
        self._frames.check(self._seen)
