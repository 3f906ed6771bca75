"""Presentation times, from what OpenCV says of each frame."""

from __future__ import annotations

#: A gap from which on it is one, the longest that a video keeps, and all that it keeps (s).
GAP_S, LONGEST_S, MOST_S = 10.0, 3600.0, 4 * 3600.0
#: What is left of a longer one (s): more than motion is measured over.
PART_S = 1.0


class Clock:
    """Presentation times, 0 at the first frame and rising, from what OpenCV says of each frame.

    What it says (CAP_PROP_POS_MSEC, seconds here) is right for nearly all files. The exceptions:

    - It gives the decode time for a frame at presentation time 0, so that .mov files with B-frames
      seem to begin up to 30 ms early. The second frame tells: after such a start it is past 0.
    - AVI and raw streams hold no presentation times: readings begin late, or are 0 for the last
      frames or for all. Where a reading is missing or stuck, the time is the previous plus `step`.
    - Joined and restarted recordings jump back: counting goes on from the previous time plus
      `step`.
    - They jump ahead by hours, too, or a recorder was at rest: a gap of an hour (`LONGEST_S`), or
      beyond four in all (`MOST_S`), parts the video. Counting goes on `PART_S` after the previous
      time, as every second between costs memory.
    - Readings out of order by a few frames get half a step, so that the times catch up with them.

    Attributes:
        time: the latest time, in seconds.
        filled: how many times were not read but filled in.
        parts: the times at which a gap parts the video.
        parted_s: how much longer than `PART_S` those gaps are, in all.
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
        """The time of the next frame, for which OpenCV says `reading` seconds."""
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
        if ahead > 0 and self.time > 0:  # the first frame alone may be at 0, for want of a time
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
