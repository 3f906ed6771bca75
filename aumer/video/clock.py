"""Presentation times, from what OpenCV says of each frame."""

from __future__ import annotations


class Clock:
    """Presentation times, 0 at the first frame and rising, from what OpenCV says of each frame.

    What it says (CAP_PROP_POS_MSEC, seconds here) is right for nearly all files. The exceptions:

    - It gives the decode time for a frame at presentation time 0, so that .mov files with B-frames
      seem to begin up to 30 ms early. The second frame tells: after such a start it is past 0.
    - AVI and raw streams hold no presentation times: readings begin late, or are 0 for the last
      frames or for all. Where a reading is missing or stuck, the time is the previous plus `step`.
    - Joined and restarted recordings jump back, or ahead by hours: counting goes on from the
      previous time plus `step`.
    - Readings out of order by a few frames get half a step, so that the times catch up with them.

    Attributes:
        time: the latest time, in seconds.
        filled: how many times were not read but filled in.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._origin: float | None = None
        self._reading = 0.0
        self.time = 0.0
        self.filled = 0

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
        if 0 < ahead < 3600:
            self.time = reading - self._origin
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
