"""Which intervals survive a change of a film, and by how much its motion changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from aumer.types import Features, Kind
from benchmarks.truth import IOU

#: Sigmas in seconds: what is slower than the second and not quicker than the first is a movement.
QUICK_S, SLOW_S = 0.05, 0.67
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Film:
    """Frames (T, H, W, 3) uint8 RGB of a video, from `start_s` of it on."""

    frames: Images
    rate: float
    start_s: float = 0.0

    @property
    def end_s(self) -> float:
        """Where the last frame ends, in seconds of the video."""
        return self.start_s + len(self.frames) / self.rate


@dataclass(frozen=True)
class Spotted:
    """An interval in seconds of the video as it is; the last frame's duration included."""

    kind: Kind
    onset_s: float
    offset_s: float

    def within(self, film: Film) -> Spotted | None:
        """What is left of it in a film; `None` where that is less than half."""
        onset, offset = max(self.onset_s, film.start_s), min(self.offset_s, film.end_s)
        if offset - onset < 0.5 * (self.offset_s - self.onset_s):
            return None
        return Spotted(self.kind, onset, offset)

    def __str__(self) -> str:
        return f"{self.kind} {self.onset_s:.2f}-{self.offset_s:.2f}"

    def like(self, other: Spotted) -> bool:
        """Whether the two are one expression."""
        shared = min(self.offset_s, other.offset_s) - max(self.onset_s, other.onset_s)
        union = max(self.offset_s, other.offset_s) - min(self.onset_s, other.onset_s)
        return self.kind == other.kind and shared >= IOU * union


@dataclass(frozen=True)
class Compared:
    """Of the intervals that a changed film still holds, how many there are and which are lost; and
    which appear beside them."""

    there: int
    lost: tuple[Spotted, ...]
    new: tuple[Spotted, ...]

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many there are, how many survive, how many appear."""
        return self.there, self.there - len(self.lost), len(self.new)


def compared(before: Iterable[Spotted], after: list[Spotted], film: Film) -> Compared:
    before = list(before)
    here = [left for one in before if (left := one.within(film)) is not None]
    lost = [one for one in here if not any(one.like(other) for other in after)]
    # Another kind in the same place is a loss, and no second fault.
    new = [one for one in after if not any(meet(one, other) for other in before)]
    return Compared(len(here), tuple(lost), tuple(new))


def meet(one: Spotted, other: Spotted) -> bool:
    return one.onset_s < other.offset_s and other.onset_s < one.offset_s


def differs(before: Features, after: Features, start_s: float) -> float:
    """By what share of what moves the two motions of one film differ, root mean square.

    Args:
        start_s: where what was changed begins, in seconds of the film as it is.

    Returns:
        Of movements slower than `QUICK_S` and quicker than `SLOW_S`, over the time in which both
        were measured; NaN where nothing moves in it.
    """
    steps, others = (
        np.where(f.valid[:, None, None], f.values, 0).reshape(len(f), -1).astype(np.float64)
        for f in (before, after)
    )
    # Read at the instants of the film as it is: rows of another beginning lie between its rows.
    instants = np.append(before.times, before.times[-1] + 1 / before.rate)
    own = start_s + np.append(after.times, after.times[-1] + 1 / after.rate)
    path = np.pad(np.cumsum(others, axis=0), ((1, 0), (0, 0)))
    again = np.diff([np.interp(instants, own, column) for column in path.T], axis=1).T
    within = (instants[:-1] >= own[0] - 1e-6) & (instants[1:] <= own[-1] + 1e-6)
    known = before.valid & within & (np.interp(before.times, own[:-1], after.valid) > 1 - 1e-6)
    quick, slow = QUICK_S * before.rate, SLOW_S * before.rate
    both = [np.cumsum(moved * known[:, None], axis=0) for moved in (steps, again)]
    one, other = (
        gaussian_filter1d(p, quick, axis=0) - gaussian_filter1d(p, slow, axis=0) for p in both
    )
    moving = float((one[known] ** 2).sum())
    return float(np.sqrt(((other - one)[known] ** 2).sum() / moving)) if moving else float("nan")
