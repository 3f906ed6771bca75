"""Boxes round faces: how far apart they are, and where one goes that was seen before."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Box = npt.NDArray[np.floating[Any]]

#: Two boxes may be one face if their middles lie nearer than this (in face sizes) and neither is
#: larger than the other by more than this factor. A face that is not seen may be further off ...
NEAR, LARGER = 0.7, 1.8
#: ... by this much a second, up to this; and one that was seen but once may be under way.
_DRIFT, _FURTHEST, _UNDER_WAY = 1.2, 1.5, 0.5
#: Seconds that a face which is not seen is thought to go on moving.
COASTS_S = 2 / 3
#: Velocity and size are means over about so many seconds.
_MEAN_S, _SIZE_S = 0.15, 1.0
#: A detector's box is larger than that of landmarks by this factor. One that is smaller than so
#: much of the face's is squeezed: the face is partly hidden.
_DETECTED, _SQUEEZED = 1.15, 0.85
#: Share of the smaller of two boxes in the other from which on one face hides the other.
HIDES = 0.12


class FaceLocation:
    """Where a face was last, and where it was going.

    Attributes:
        box: (4,) float64 px, when it was last seen.
        velocity: (2,) px a second.
        away: seconds since.
        sightings: how often it was seen without a pause.
        whole: the longer side of its landmarks' box, px, as it mostly was.
        exact: whether the box is that of landmarks. A detector draws others, so the step from one
            kind to the other is no movement.
    """

    def __init__(self, box: Box, *, exact: bool = False) -> None:
        self.box = box[:4].astype(np.float64)
        self.velocity = np.zeros(2)
        self.away = 0.0
        self.sightings = 1
        self.whole = _side(box, exact)
        self.exact = exact

    def copy(self) -> FaceLocation:
        other = FaceLocation(self.box, exact=self.exact)
        other.velocity, other.away = self.velocity.copy(), self.away
        other.sightings, other.whole = self.sightings, self.whole
        return other

    @property
    def size(self) -> float:
        """The longer side, px."""
        return float(max(self.box[2:] - self.box[:2]))

    @property
    def predicted(self) -> npt.NDArray[np.float64]:
        """Where the box is by now, if it went on as it was going."""
        return self.box + np.tile(self.velocity, 2) * min(self.away, COASTS_S)

    @property
    def reach(self) -> float:
        """How far from there the face may be by now, in face sizes."""
        drift = min(_DRIFT * self.away, _FURTHEST)
        return NEAR + drift + (_UNDER_WAY if self.sightings == 1 else 0.0)

    def squeezed(self, box: Box, *, exact: bool = False) -> bool:
        """Whether a box is too small for the face: only part of it shows."""
        return _side(box, exact) < _SQUEEZED * self.whole

    def seen(self, box: Box, *, exact: bool = False, steer: bool = True) -> None:
        """It is in this box now; without `steer` that says nothing of where it goes."""
        if not steer:
            pass
        elif self.away > COASTS_S:
            self.velocity[:], self.sightings = 0, 1
        elif self.away > 0 and exact == self.exact:
            moved = (box[:2] + box[2:4] - self.box[:2] - self.box[2:]) / 2
            # The first steps count in full: who comes into view fast must be known to be fast.
            share = max(1 - float(np.exp(-self.away / _MEAN_S)), 1 / self.sightings)
            self.velocity += share * (moved / self.away - self.velocity)
            self.sightings += 1
        side = _side(box, exact)
        gone = self.away > COASTS_S
        self.whole += (1.0 if gone else 1 - float(np.exp(-self.away / _SIZE_S))) * (
            side - self.whole
        )
        self.box, self.away, self.exact = box[:4].astype(np.float64), 0.0, exact

    # -- in an array ----------------------------------------------------------------------------

    def row(self) -> tuple[float, ...]:
        """Ten numbers that say it all."""
        return (self.away, self.sightings, self.exact, self.whole, *self.velocity, *self.box)

    @classmethod
    def from_row(cls, row: npt.NDArray[np.float64]) -> FaceLocation:
        """The location that gave this `row`."""
        location = cls(row[6:10], exact=bool(row[2]))
        location.away, location.sightings, location.whole = (
            float(row[0]),
            int(row[1]),
            float(row[3]),
        )
        location.velocity = row[4:6].copy()
        return location


def _side(box: Box, exact: bool) -> float:
    """The longer side of a box, px, as the landmarks' would be."""
    return float(max(box[2:4] - box[:2])) / (1.0 if exact else _DETECTED)


def apart(box: Box, other: Box) -> float | None:
    """Distance of two boxes' middles in face sizes; `None` where their sizes are too different."""
    sizes = float(max(box[2:4] - box[:2])), float(max(other[2:4] - other[:2]))
    if not min(sizes) > 0 or max(sizes) > LARGER * min(sizes):
        return None
    middles = (box[:2] + box[2:4] - other[:2] - other[2:4]) / 2
    return float(np.hypot(*middles)) / max(sizes)


def within(box: Box, other: Box, limit: float) -> bool:
    """Whether two boxes of about one size lie no further apart than so many face sizes."""
    distance = apart(box, other)
    return distance is not None and distance <= limit


def gap(box: Box, other: Box) -> float:
    """px between two boxes, along the axis in which they are further apart; 0 if they meet."""
    between = np.maximum(box[:2] - other[2:4], other[:2] - box[2:4])
    return max(0.0, float(between.max()))


def overlap(box: Box, other: Box) -> float:
    """What two boxes share, as a share of the smaller one."""
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:4], other[2:4])
    areas = [float(np.prod(b[2:4] - b[:2])) for b in (box, other)]
    return float(np.clip(high - low, 0, None).prod()) / max(min(areas), 1e-9)


def hides(box: Box, other: Box) -> bool:
    """Whether faces in these two boxes hide each other."""
    return overlap(box, other) > HIDES
