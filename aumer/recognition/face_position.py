"""Where the face lies in a flow map: from landmarks alone, or found in maps of known classes.

Whoever cuts faces out of videos by landmarks knows. The images of MEGC 2019 do not say: there the
place is read off the class means of the *training* clips, by where simulated action units would
move them. numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from aumer.face.mean_face import MEAN_FACE
from aumer.graph.rois import LANDMARK_NAMES
from aumer.simulate.anatomy import displacement
from aumer.types import FloatArray, IntArray

Floats = npt.NDArray[np.float64]
#: Rows and columns of a flow map.
SIDE = 28
_MIDDLE = (SIDE - 1) / 2
#: How far a canonical crop (`aumer.motion.align`) shows the mean face above its origin and below,
#: in outer-eye distances; half a distance and a half to either side.
CROP_UP, CROP_DOWN, CROP_ASIDE = 0.72, 1.28, 1.0


@dataclass(frozen=True)
class FacePosition:
    """Where the mean face lies in a map of 28 x 28.

    Attributes:
        across: px of the map per outer-eye distance, along x.
        down: the same along y; crops that were higher than wide have been pressed.
        row: of the mean face's origin, the middle of the nose; 0 is the first row's center.
    """

    across: float
    down: float
    row: float

    def of(self, points: npt.NDArray[np.float64]) -> Floats:
        """Points (N, 2) of the mean face -> px of the map (x, y)."""
        placed: Floats = points * (self.across, self.down) + (_MIDDLE, self.row)
        return placed

    def region(self) -> tuple[float, float, float, float]:
        """The part of the canonical crop that the map shows: left, top, right, bottom in shares."""
        half = SIDE / (2 * self.across)
        top, bottom = (-0.5 - self.row) / self.down, (SIDE - 0.5 - self.row) / self.down
        height = CROP_UP + CROP_DOWN
        return (
            (CROP_ASIDE - half) / (2 * CROP_ASIDE),
            (CROP_UP + top) / height,
            (CROP_ASIDE + half) / (2 * CROP_ASIDE),
            (CROP_UP + bottom) / height,
        )

    def landmarks(self) -> dict[str, tuple[float, float]]:
        """(x, y) px of the map by the name of a landmark."""
        placed = self.of(MEAN_FACE[:, :2])
        return {
            name: (float(x), float(y)) for name, (x, y) in zip(LANDMARK_NAMES, placed, strict=True)
        }


def _by_landmarks() -> FacePosition:
    """As wide as the brows, from the top of the canonical crop to the chin."""
    x, y = MEAN_FACE[:, 0], MEAN_FACE[:, 1]
    down = SIDE / (CROP_UP + y[LANDMARK_NAMES.index("chin")])
    return FacePosition(
        SIDE / (x[LANDMARK_NAMES.index("brow_l_outer")] - x[LANDMARK_NAMES.index("brow_r_outer")]),
        down,
        CROP_UP * down - 0.5,
    )


#: Where maps show the face unless a recognizer asks for another place. No clip has been looked at.
BY_LANDMARKS = _by_landmarks()

#: What moves in the mean of a class, for `find`: the AUs that MEGC 2019's classes are mostly of,
#: each as a share of its strongest (`anatomy`). The shares are those that the recognizers which
#: ship were made with: cheeks and lids move more beside mouth and brows than in a posed face.
KNOWN: dict[str, dict[int, float]] = {
    "positive": {6: 1.0, 12: 1 / 1.3},
    "surprise": {1: 1 / 1.15, 2: 1 / 1.15, 5: 1.0},
    "negative": {4: 1.0},
}
#: What `find` tries: every place that leaves the map within the canonical crop.
_ACROSS, _DOWN, _ROW = (
    np.arange(14.0, 30.0, 2),
    np.arange(12.0, 20.5, 0.5),
    np.arange(8.0, 12.5, 0.5),
)
#: Places that agree by so much less than the best are as good: subjects left out move it by more.
_PLATEAU = 0.01


def find(maps: FloatArray, labels: IntArray, classes: Sequence[str]) -> FacePosition | None:
    """Where the face must lie for known classes to move as they do on average.

    For every place of a grid, the AUs of `KNOWN` give a flow map of each class; how it agrees with
    the mean of the class's maps is their correlation, channel by channel, u and v weighing as much
    as the AUs move along them. The surface is flat at its top: the mean of all places that agree
    within .01 of the best is returned.

    Args:
        maps: (N, 28, 28, 3) about zero, each clip's channels of like size.

    Returns:
        `None` where no class is known.
    """
    known = [k for k, name in enumerate(classes) if name in KNOWN and (labels == k).any()]
    if not known:
        return None
    places, templates, weights = _expected(tuple(classes[k] for k in known))
    means = _unit(np.stack([maps[labels == k].mean(0, dtype=np.float64) for k in known]))
    alike = (templates * means).sum((2, 3))  # (places, classes, channels)
    agreement = (alike * weights).sum((1, 2)) / weights.sum((1, 2))
    best = places[agreement >= agreement.max() - _PLATEAU].mean(0)
    return FacePosition(*(round(float(x), 2) for x in best))


@lru_cache(maxsize=4)
def _expected(classes: tuple[str, ...]) -> tuple[Floats, Floats, Floats]:
    """Of every place (P, 3): unit maps (P, C, 28, 28, 3); what each channel weighs (P, C, 3)."""
    tried = [FacePosition(*(float(x) for x in p)) for p in product(_ACROSS, _DOWN, _ROW)]
    within = [p for p in tried if min(p.region()[:2]) >= 0 and p.region()[3] <= 1]
    places = np.array([(p.across, p.down, p.row) for p in within])
    across, down, row = (x[:, None, None] for x in places.T)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    shape = (len(places), SIDE, SIDE)
    points = np.stack(
        [
            np.broadcast_to((columns - _MIDDLE) / across, shape),
            np.broadcast_to((rows - row) / down, shape),
        ],
        axis=-1,
    )
    maps, weights = [], []
    for name in classes:
        actions = {(au, "both"): share for au, share in KNOWN[name].items()}
        moved = displacement(actions, points.reshape(-1, 2))
        u, v = (moved.reshape(points.shape) * places[:, None, None, :2]).transpose(3, 0, 1, 2)
        (u_y, u_x), (v_y, v_x) = (np.gradient(c, axis=(1, 2)) for c in (u, v))
        strain = np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2)
        size = np.stack([u.std((1, 2)), v.std((1, 2))], axis=1)
        weights.append(np.column_stack([size / size.max(1, keepdims=True), np.ones(len(size))]))
        maps.append(_unit(np.stack([u, v, strain], axis=-1)))
    return places, np.stack(maps, axis=1), np.stack(weights, axis=1)


def _unit(maps: Floats) -> Floats:
    """Each channel of (N, 28, 28, 3) less its median, which is skin at rest, and of norm 1."""
    still = maps - np.median(maps, axis=(1, 2), keepdims=True)
    unit: Floats = still / np.maximum(np.sqrt((still**2).sum((1, 2), keepdims=True)), 1e-12)
    return unit
