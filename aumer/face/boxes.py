"""Face boxes: distances, and prediction of their motion."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Box = npt.NDArray[np.floating[Any]]

#: Two boxes may belong to one face if their centers are nearer than this (in face sizes) and their
#: sizes differ by less than this factor. For a face that is not visible the distance may be larger
#: ...
NEAR, LARGER = 0.7, 1.8
#: ... by this much per second, up to this; also for a face that was seen only once, which may be
#: moving.
_DRIFT, _FURTHEST, _UNDER_WAY = 1.2, 1.5, 0.5
#: Seconds for which an invisible face is assumed to continue its motion.
COASTS_S = 2 / 3
#: Time constant of the means of velocity and size, seconds.
_MEAN_S, _SIZE_S = 0.15, 1.0
#: Ratio of the size of a detector's box to that of landmarks; and the share of the face's size
#: below which a box shows a partly hidden face.
_DETECTED, _SQUEEZED = 1.15, 0.85
#: Least overlap, as a share of the smaller box, at which one face hides the other.
HIDES = 0.12


class FaceLocation:
    """Last known position and velocity of a face.

    Attributes:
        box: (4,) float64 px, when it was last seen.
        velocity: (2,) px a second.
        away: seconds since.
        sightings: number of consecutive sightings.
        whole: typical longer side of its landmarks' box, px.
        exact: whether the box is from landmarks. Detector boxes differ, so a change between the two
            is not motion.
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
        """Predicted box at constant velocity."""
        return self.box + np.tile(self.velocity, 2) * min(self.away, COASTS_S)

    @property
    def reach(self) -> float:
        """Largest distance of the face from the prediction, in face sizes."""
        drift = min(_DRIFT * self.away, _FURTHEST)
        return NEAR + drift + (_UNDER_WAY if self.sightings == 1 else 0.0)

    def squeezed(self, box: Box, *, exact: bool = False) -> bool:
        """Whether a box is too small for the face, so that only part of it is visible."""
        return _side(box, exact) < _SQUEEZED * self.whole

    def seen(self, box: Box, *, exact: bool = False, steer: bool = True) -> None:
        """Update with a box; without `steer` the velocity is unchanged."""
        if not steer:
            pass
        elif self.away > COASTS_S:
            self.velocity[:], self.sightings = 0, 1
        elif self.away > 0 and exact == self.exact:
            moved = (box[:2] + box[2:4] - self.box[:2] - self.box[2:]) / 2
            # The first steps have full weight, for faces that enter fast.
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
        """The state as ten numbers."""
        return (self.away, self.sightings, self.exact, self.whole, *self.velocity, *self.box)

    @classmethod
    def from_row(cls, row: npt.NDArray[np.float64]) -> FaceLocation:
        """The inverse of `row`."""
        location = cls(row[6:10], exact=bool(row[2]))
        location.away, location.sightings, location.whole = (
            float(row[0]),
            int(row[1]),
            float(row[3]),
        )
        location.velocity = row[4:6].copy()
        return location


def _side(box: Box, exact: bool) -> float:
    """The longer side in px that a landmarks' box would have."""
    return float(max(box[2:4] - box[:2])) / (1.0 if exact else _DETECTED)


def apart(box: Box, other: Box) -> float | None:
    """Distance of two boxes' centers in face sizes; `None` if their sizes differ too much."""
    sizes = float(max(box[2:4] - box[:2])), float(max(other[2:4] - other[:2]))
    if not min(sizes) > 0 or max(sizes) > LARGER * min(sizes):
        return None
    middles = (box[:2] + box[2:4] - other[:2] - other[2:4]) / 2
    return float(np.hypot(*middles)) / max(sizes)


def within(box: Box, other: Box, limit: float) -> bool:
    """Whether two boxes of similar size are at most `limit` face sizes apart."""
    distance = apart(box, other)
    return distance is not None and distance <= limit


def gap(box: Box, other: Box) -> float:
    """Gap between two boxes in px, the larger of both axes; 0 if they touch."""
    between = np.maximum(box[:2] - other[2:4], other[:2] - box[2:4])
    return max(0.0, float(between.max()))


def overlap(box: Box, other: Box) -> float:
    """Intersection of two boxes as a share of the smaller one."""
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:4], other[2:4])
    areas = [float(np.prod(b[2:4] - b[:2])) for b in (box, other)]
    return float(np.clip(high - low, 0, None).prod()) / max(min(areas), 1e-9)


def hides(box: Box, other: Box) -> bool:
    """Whether faces in these two boxes hide each other."""
    return overlap(box, other) > HIDES
