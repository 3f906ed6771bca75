"""Presentation times from OpenCV's time of each frame."""

from __future__ import annotations

#: Shortest gap, longest gap that is kept, and largest sum of kept gaps (s).
GAP_S, LONGEST_S, MOST_S = 10.0, 3600.0, 4 * 3600.0
#: A longer gap is shortened to this (s): more than motion is measured over.
PART_S = 1.0


class Clock:
    """Presentation times, 0 at the first frame and rising, from what OpenCV says of each frame.

    OpenCV's time (CAP_PROP_POS_MSEC, seconds here) is right for nearly all files. The exceptions:

    - It is the decode time for a frame at presentation time 0, so that .mov files with B-frames
      seem to begin up to 30 ms early. The second frame shows this: its time is then above 0.
    - AVI and raw streams have no presentation times: readings begin late, or are 0 for the last
      frames or for all. If a reading is missing or stuck, the time is the previous plus `step`.
    - Joined and restarted recordings jump back: times continue from the previous time plus `step`.
    - They also jump ahead by hours, or the recorder was paused: a gap of an hour (`LONGEST_S`), or
      gaps above four hours in total (`MOST_S`), split the video. Times continue `PART_S` after the
      previous time, as every second in between costs memory.
    - Readings out of order by a few frames add half a step, so that the times catch up with them.

    Attributes:
        time: the latest time, in seconds.
        filled: number of times that were filled in, not read.
        parts: the times at which a gap splits the video.
        parted_s: the total length of those gaps beyond `PART_S`.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._origin: float | None = None
        self._reading = 0.0
        self.time = 0.0
        self.filled = 0
        self.parts: list[float] = []
        self.parted_s = 0.0
        self._gaps = 0.0

    def at(self, reading: float) -> float:
        """The time of the next frame, for OpenCV's time `reading` in seconds."""
        known = abs(reading) < 1e9  # no timestamp is -2**63 ticks, or not a number
        if self._origin is None:
            self._origin = self._reading = reading if known else 0.0
            return self.time
        if not known or reading == 0:
            reading = self._reading
        if self._origin < 0 < reading and self.time == 0:
            self._origin = 0.0
        previous, self._reading = self._reading, reading
        ahead = reading - self._origin - self.time
        self._gaps += ahead if GAP_S < ahead < LONGEST_S else 0.0
        if 0 < ahead < (LONGEST_S if self._gaps <= MOST_S else GAP_S):
            self.time = reading - self._origin
            return self.time
        if ahead > 0 and self.time > 0:  # only the first frame may be at 0, for lack of a time
            self.parts.append(self.time)
            self.parted_s += ahead - PART_S
            self.time += PART_S
            self._origin = reading - self.time
            return self.time
        self.filled += 1
        if reading == previous:
            self.time += self._step
        elif -8 * self._step < ahead <= 0:
            self.time += self._step / 2
        else:
            self.time += self._step
            self._origin = reading - self.time
        return self.time
