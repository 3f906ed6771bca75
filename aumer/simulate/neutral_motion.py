"""Moves the skin of a real face in its pictures: displacement fields of action units, and warping.

Lengths are outer-eye distances of the mean face fitted to the rigid landmarks, that is 64 px of the
128 px crop. (A person's own outer eye corners lie .96 to 1.11 of that apart.) x is to the image's
right and y down, in the face's upright frame. Images are (H, W, 3) uint8 RGB.

A frame is warped by inverting p -> p + d(p) and sampling it at p with a cubic B-spline in floating
point. Values between two gray levels are rounded up or down at random, in proportion (dithering),
since plain rounding would leave the frame unchanged where motion changes it by less than half a
gray level. Pixels that do not move are unchanged. The skin is one sheet: lips and lids stretch, but
do not open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import RBFInterpolator, RectBivariateSpline
from scipy.ndimage import gaussian_filter1d, map_coordinates, spline_filter

from aumer.face.crop import Matrix, applied, inverse, similarity
from aumer.face.mean_face import MEAN_FACE, RIGID
from aumer.graph.rois import roi_set
from aumer.simulate.anatomy import Action, displacement
from aumer.types import ImageArray

Array = npt.NDArray[np.float64]
#: Displacement (N, 2) at points (N, 2), both in the face's frame.
Shift = Callable[[Array], Array]

#: The ROIs of a field's truth: the 12 published ones, in their order.
ROIS = roi_set("published")
_ROI, _RIGID = list(ROIS.landmarks), list(RIGID)

#: The grid on which a field is tabulated; outside nothing moves.
_X, _Y = np.arange(-1.4, 1.4, 1 / 40), np.arange(-1.2, 1.9, 1 / 40)
#: Displacements below this share of the largest one are set to 0.
_STILL = 1e-3
#: Tolerance of the inversion in px, and the largest number of steps. Every AU is a contraction
#: (each step halves the error, roughly), and so are most sums.
_MET_PX, _STEPS = 1e-4, 200


@dataclass(frozen=True, eq=False)
class Field:
    """Displacement of the skin at level 1, and the box (x0, y0, x1, y1) in the face's frame that
    contains all motion. `truth` (12, 2): at the ROIs' landmarks.
    """

    shift: Shift
    box: tuple[float, float, float, float]
    truth: Array

    def scaled(self, by: float) -> Field:
        """The field scaled by `by`."""
        return Field(lambda points: by * self.shift(points), self.box, by * self.truth)

    @property
    def reach(self) -> float:
        """Displacement of the ROI that moves furthest."""
        return float(np.hypot(*self.truth.T).max())


@dataclass(frozen=True, eq=False)
class Skin:
    """Position of a real face in each frame of a recording.

    Attributes:
        landmarks: (T, 68, 2) px.
        to_face: (T, 2, 3), image to the face's frame: the similarity from the rigid landmarks to
            the mean face, smoothed over about three frames. Rendered motion follows it.
        mean: (68, 2): the landmarks' median in the face's frame.
    """

    landmarks: Array
    to_face: Array
    mean: Array

    @classmethod
    def of(cls, landmarks: npt.NDArray[np.floating[Any]]) -> Skin:
        """From landmarks (T, 68, 2) px without missing ones."""
        marks: Array = landmarks.astype(np.float64)
        to_face = _to_face(marks)
        upright = [applied(t, points) for t, points in zip(to_face, marks, strict=True)]
        return cls(marks, to_face, np.median(upright, axis=0))

    @property
    def rois(self) -> Array:
        """(12, 2): the ROIs' landmarks in the face's frame."""
        return self.mean[_ROI]

    def field(self, actions: Sequence[Action]) -> Field:
        """The simulator's field of AUs on this face, each at intensity 1.

        The face's landmarks are mapped to the mean face by a thin-plate spline, as in the
        simulator.

        Raises:
            UsageError: unknown AU or side.
        """
        moved = displacement(dict.fromkeys(actions, 1.0), self._nodes).reshape(len(_Y), len(_X), 2)
        size = np.hypot(moved[..., 0], moved[..., 1])
        moving = np.argwhere(size > _STILL * size.max())
        (top, left), (bottom, right) = moving.min(axis=0), moving.max(axis=0)
        splines = [RectBivariateSpline(_Y, _X, moved[..., k]) for k in range(2)]

        def shift(points: Array) -> Array:
            return np.stack([s.ev(points[..., 1], points[..., 0]) for s in splines], axis=-1)

        box = (float(_X[left]), float(_Y[top]), float(_X[right]), float(_Y[bottom]))
        return Field(shift, box, shift(self.rois))

    @cached_property
    def _nodes(self) -> Array:
        """Positions of the table's nodes on the mean face."""
        interpolate = RBFInterpolator(
            self.mean, MEAN_FACE[:, :2], kernel="thin_plate_spline", smoothing=1e-3
        )
        nodes: Array = interpolate(np.stack(np.meshgrid(_X, _Y), axis=-1).reshape(-1, 2))
        return nodes


class Fields(dict[tuple[Action, ...], Field]):
    """The field of every combination of actions on one face, computed at first use."""

    def __init__(self, skin: Skin) -> None:
        super().__init__()
        self._skin = skin

    def __missing__(self, actions: tuple[Action, ...]) -> Field:
        field = self[actions] = self._skin.field(actions)
        return field

    def at(self, levels: Mapping[Action, float]) -> list[tuple[Field, float]]:
        """Fields and levels for actions at these intensities; actions of equal intensity share a
        field.
        """
        alike: dict[float, tuple[Action, ...]] = {}
        for action, level in levels.items():
            alike[level] = (*alike.get(level, ()), action)
        return [(self[actions], level) for level, actions in alike.items() if level]


def _to_face(landmarks: Array) -> Array:
    """(T, 68, 2) px -> (T, 2, 3)."""
    target = MEAN_FACE[_RIGID, :2]
    each = np.stack([similarity(points[_RIGID], target) for points in landmarks])
    # The inverse is smoothed, since its translation is a position within the image.
    back = np.stack([inverse(t) for t in each])
    back = gaussian_filter1d(back, 1.0, axis=0, mode="nearest")
    return np.stack([inverse(t) for t in back])


def moved(
    image: ImageArray, to_face: Matrix, motions: Sequence[tuple[Field, float]], seed: Sequence[int]
) -> ImageArray:
    """The image with the skin moved by the sum of fields, each scaled by its level.

    Args:
        to_face: (2, 3), image to the face's frame.
        seed: draws the direction of rounding of each value.

    Returns:
        The image itself if all levels are 0; else a copy.
    """
    active = [(number, field, level) for number, (field, level) in enumerate(motions) if level]
    if not active:
        return image
    back = inverse(to_face)
    unit = float(np.hypot(*back[:, 0]))
    boxes = np.array([field.box for _, field, _ in active])
    (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    corners = applied(back, np.array([(x0, y0), (x1, y0), (x0, y1), (x1, y1)]))
    height, width = image.shape[:2]
    low = np.clip(np.floor(corners.min(axis=0)), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 1, low + 1, (width, height)).astype(int)

    def shift(points: Array) -> Array:
        there = applied(to_face, points)
        total = sum(level * field.shift(there) for _, field, level in active)
        pixels: Array = total @ back[:, :2].T
        return pixels

    # The inverse displacement on a lattice, which is fine enough for these smooth fields, and
    # refined.
    step = max(1.5, unit / 40)
    x, y = (np.arange(a - step, b + 2 * step, step) for a, b in zip(low, high, strict=True))
    q = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    p = q
    for _ in range(_STEPS):
        last, p = p, q - shift(p)
        if np.abs(p - last).max() <= _MET_PX:
            break
    lattice = (p - q).reshape(len(y), len(x), 2)
    columns, rows = np.arange(low[0], high[0]), np.arange(low[1], high[1])
    dx, dy = (RectBivariateSpline(y, x, lattice[..., k])(rows, columns) for k in range(2))

    # Sampled with a margin beyond the influence of the spline's ends.
    reach = 12 + int(np.ceil(np.abs(lattice).max()))
    left, top = np.maximum(low - reach, 0)
    right, bottom = np.minimum(high + reach, (width, height))
    where = np.stack([rows[:, None] - top + dy, columns[None] - left + dx])
    patch = image[top:bottom, left:right].astype(np.float64)
    planes = [
        map_coordinates(
            spline_filter(patch[..., c], order=3, mode="mirror"),
            where, order=3, mode="mirror", prefilter=False,
        )
        for c in range(3)
    ]  # fmt: skip
    out: ImageArray = image.copy()
    out[low[1] : high[1], low[0] : high[0]] = dithered(
        np.stack(planes, axis=-1), [*seed, active[0][0]]
    )
    return out


def dithered(values: npt.NDArray[Any], seed: Sequence[int]) -> ImageArray:
    """Gray levels rounded up or down at random, with an unchanged mean."""
    chance = np.random.default_rng(list(seed)).random(values.shape, np.float32)
    # A tolerance of 1e-6: a whole number with a rounding error is not changed.
    rounded = np.floor(values + chance * (1 - 2e-6) + 1e-6)
    return np.asarray(np.clip(rounded, 0, 255), np.uint8)
