"""Position of the face in a flow map: known from landmarks, or estimated from maps of known
classes.

If faces are cut out of videos by landmarks, it is known. For the images of MEGC 2019 it is unknown;
there it is estimated by comparing class means of the *training* clips with the motion of simulated
action units. numpy only.
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
#: Extent of a canonical crop (`aumer.motion.align`) above and below the origin of the mean face, in
#: outer-eye distances.
CROP_UP, CROP_DOWN, CROP_ASIDE = 0.72, 1.28, 1.0


@dataclass(frozen=True)
class FacePosition:
    """Position of the mean face in a map of 28 x 28.

    Attributes:
        across: px of the map per outer-eye distance, along x.
        down: the same along y; differs if the crop was not square.
        row: row of the mean face's origin, the middle of the nose; 0 is the center of the first
            row.
    """

    across: float
    down: float
    row: float

    def of(self, points: npt.NDArray[np.float64]) -> Floats:
        """Points (N, 2) of the mean face -> px of the map (x, y)."""
        placed: Floats = points * (self.across, self.down) + (_MIDDLE, self.row)
        return placed

    def region(self) -> tuple[float, float, float, float]:
        """The part of the canonical crop in the map: left, top, right, bottom as shares."""
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
        """(x, y) px of the map by name of landmark."""
        placed = self.of(MEAN_FACE[:, :2])
        return {
            name: (float(x), float(y)) for name, (x, y) in zip(LANDMARK_NAMES, placed, strict=True)
        }


def _by_landmarks() -> FacePosition:
    """The region from brow to brow and from the top of the canonical crop to the chin."""
    x, y = MEAN_FACE[:, 0], MEAN_FACE[:, 1]
    down = SIDE / (CROP_UP + y[LANDMARK_NAMES.index("chin")])
    return FacePosition(
        SIDE / (x[LANDMARK_NAMES.index("brow_l_outer")] - x[LANDMARK_NAMES.index("brow_r_outer")]),
        down,
        CROP_UP * down - 0.5,
    )


#: Default position of the face in maps; chosen without looking at any clip.
BY_LANDMARKS = _by_landmarks()

#: Mean motion of a class for `find`: the most frequent AUs of MEGC 2019's classes, each as a share
#: of its full amplitude (`anatomy`). The shipped recognizers were made with these shares; relative
#: to mouth and brows, cheeks and lids move more than in posed faces.
KNOWN: dict[str, dict[int, float]] = {
    "positive": {6: 1.0, 12: 1 / 1.3},
    "surprise": {1: 1 / 1.15, 2: 1 / 1.15, 5: 1.0},
    "negative": {4: 1.0},
}
#: Candidates of `find`: all positions that leave the map within the canonical crop.
_ACROSS, _DOWN, _ROW = (
    np.arange(14.0, 30.0, 2),
    np.arange(12.0, 20.5, 0.5),
    np.arange(8.0, 12.5, 0.5),
)
#: Positions whose agreement is within this of the best count as equally good: leaving out subjects
#: changes it by more.
_PLATEAU = 0.01


def find(maps: FloatArray, labels: IntArray, classes: Sequence[str]) -> FacePosition | None:
    """The position of the face that explains the mean motion of known classes.

    For every place of a grid, the AUs of `KNOWN` give a flow map of each class; agreement is its
    correlation with the mean of the class's maps, by channel, with u and v weighted by the AUs'
    motion along them. The surface is flat at its top: the mean of all places that agree within .01
    of the best is returned.

    Args:
        maps: (N, 28, 28, 3) centered at zero, with channels of similar size in each clip.

    Returns:
        `None` if no class is known.
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
    """For every position (P, 3): unit maps (P, C, 28, 28, 3), and weights of the channels (P, C,
    3).
    """
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
    """Each channel of (N, 28, 28, 3) minus its median (skin at rest), normalized to norm 1."""
    still = maps - np.median(maps, axis=(1, 2), keepdims=True)
    unit: Floats = still / np.maximum(np.sqrt((still**2).sum((1, 2), keepdims=True)), 1e-12)
    return unit
