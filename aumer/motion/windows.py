"""The motion of ROIs by windows that are looked for in other frames, so that no share of it is lost.

Dense flow is smooth, and what makes it smooth shrinks what an ROI does by itself: of a
micro-expression TV-L1 reports half (benchmarks/motion.py). Here nothing pulls a movement towards
its surroundings or towards zero:

- A window at each ROI's landmark is looked for by Lucas-Kanade (`aumer.lucas_kanade`), in crops as
  fine as the video is, gain and offset of light left out.
- Along a brow or a lip there is little to see. Where a small window's texture does not tell, a
  larger one does: the two are joined by how well the small one knows each direction.
- Each frame is measured against frames of several earlier instants, and the path that agrees best
  with all of it is taken (weighted least squares): slow movements do not drown in errors that add
  up from frame to frame, and what one frame hides does not end the path.
- The head is read from windows on the nose and beside eyes and cheeks, where expressions move
  little, as a rigid body in weak perspective; what moves against the rest is let go of.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.linalg import solveh_banded
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from aumer.config import MotionSettings
from aumer.face.crop import Cutting, applied, similarity
from aumer.face.mean_face import CROP_ORIGIN, MEAN_FACE, RIGID
from aumer.lucas_kanade import Pyramid, Windows
from aumer.motion.rigid import fit_rigid, rigid_basis
from aumer.rois import roi_set
from aumer.types import FloatArray, ImageArray

Array = npt.NDArray[np.float64]

#: Seconds before a frame that it is measured against; the shortest is the frame before, whenever
#: that was. Longer ones change nothing any more.
_BACK_S = (0.0, 0.1, 0.3, 0.9)
#: px between the outer eye corners in the crop: the face's own size within these bounds. More shows
#: no more than most videos do, less leaves windows without texture.
_LEAST_EYES, _MOST_EYES = 64, 112
#: Sides of the windows in outer-eye distances: at an ROI, round it, and for the head. A window sees
#: a movement's mean over it: of a bump as wide as a brow's part the small one keeps .95.
_SMALL, _LARGE, _HEAD = 0.08, 0.16, 0.36
#: Halvings of the crop.
_LEVELS = 1
#: Summed squared gradients (at `_MOST_EYES`) in a direction in which the small window knows as much
#: as it is told by the large one: the noise of a compressed video (4 grey levels) over what the two
#: may differ by (.003 outer-eye distances), squared.
_KNOWN = 200.0
#: Small and large window agree within this (outer-eye distances), or the small one has slipped.
_SLIP = 0.04
#: A window that differs from itself by this share of its contrast, or by so many grey levels,
#: weighs half.
_MISFIT, _LEAST_MISFIT = 0.15, 3.0
#: How the rigid fit holds back shifts, growth, turn, and turns out of the plane: these are read
#: from small differences of depth that are another on every face, and are noise for the most part.
_RIDGE = np.array((1e-6, 1e-6, 1e-6, 1e-6, 3e-2, 3e-2))
#: A weight that fixes what nothing is known of.
_UNKNOWN = 1e-9


def _head_points() -> Array:
    """(N, 2) in the mean face's units: down the nose, and skin beside eyes and cheeks.

    Few lie on the nose: of many, what moves on the nose alone would pass for the head.
    """
    nose = ((0.0, -0.15), (0.0, 0.08), (0.0, 0.3))
    beside = (
        (0.20, 0.02), (0.30, 0.16), (0.36, 0.28), (0.45, 0.16), (0.50, 0.00), (0.52, 0.25),
        (0.58, 0.06), (0.60, 0.36), (0.62, -0.05), (0.64, 0.20),
    )  # fmt: skip
    return np.array([*nose, *((side * x, y) for side in (-1, 1) for x, y in beside)])


_HEAD_POINTS = _head_points()


@dataclass(frozen=True, eq=False)
class _Sight:
    """One frame: windows, where its ROIs are in the crop, and by how much each may differ."""

    small: Windows
    large: Windows
    head: Windows
    at: Array
    limits: FloatArray


@dataclass(frozen=True, eq=False)
class _Shift:
    """Motion of the ROIs (R, 2) crop px from one frame to another, and its weights (R,)."""

    before: int
    after: int
    motion: Array
    weight: Array


class WindowMotion:
    """The motion of one face through one run. Interface: `aumer.motion.runs.RunMotion`."""

    def __init__(self, pool: Executor, settings: MotionSettings) -> None:
        self._pool, self._settings = pool, settings
        self._rois = list(roi_set(settings.rois).landmarks)
        backs = sorted({max(1, round(s * settings.rate)) for s in _BACK_S})
        self._backs = tuple(backs)
        self._eyes = 0
        self._count = 0
        self._sights: deque[Future[_Sight]] = deque(maxlen=max(backs))
        self._measured: list[Future[list[_Shift]]] = []

    def add(self, image: ImageArray, landmarks: FloatArray) -> None:
        rigid = list(RIGID)
        marks = landmarks.astype(np.float64)
        if not self._eyes:
            size = np.hypot(*similarity(MEAN_FACE[rigid, :2], marks[rigid])[:, 0])
            self._eyes = int(np.clip(round(float(size)), _LEAST_EYES, _MOST_EYES))
        side = 2 * self._eyes
        template = MEAN_FACE[rigid, :2] * self._eyes + np.array(CROP_ORIGIN) * side
        place = similarity(marks[rigid], template)
        crop = Cutting(image, place, side).cut(place, side)
        at = applied(place, marks[self._rois])
        seen: Future[_Sight] = Future()
        before = [
            (self._count - back, self._sights[-back])
            for back in self._backs
            if back <= len(self._sights)
        ]
        # A task waits for those of earlier frames alone, which the pool began before it.
        task = self._pool.submit(self._measure, crop, at, seen, before, self._count)
        self._measured.append(task)
        self._sights.append(seen)
        self._count += 1
        if len(self._measured) > 16:  # bounds what the pool holds
            self._measured[-16].result()

    def steps(self) -> tuple[FloatArray, FloatArray]:
        shifts = [shift for task in self._measured for shift in task.result()]
        path, known = _path(self._count, len(self._rois), shifts)
        scale = self._settings.crop / 2 / self._eyes if self._eyes else 1.0
        steps = np.diff(path, axis=0) * scale
        steps[~known] = np.nan
        weight, count = np.zeros((self._count, len(self._rois))), np.zeros((self._count, 1))
        for shift in shifts:
            for frame in (shift.before, shift.after):
                weight[frame] += shift.weight
                count[frame] += 1
        trust = weight / np.maximum(count, 1)
        confidence = np.minimum(trust[1:], trust[:-1])
        confidence[~known] = 0
        return steps.astype(np.float32), confidence.astype(np.float32)

    def _measure(
        self,
        crop: ImageArray,
        at: Array,
        seen: Future[_Sight],
        before: list[tuple[int, Future[_Sight]]],
        number: int,
    ) -> list[_Shift]:
        """The motion to this frame from each of those before."""
        try:
            eyes = self._eyes
            head = _HEAD_POINTS * eyes + np.array(CROP_ORIGIN) * 2 * eyes
            picture = Pyramid(crop, _LEVELS, _side(_HEAD, eyes) // 2)
            sight = _sight(picture, at, head, eyes)
            seen.set_result(sight)
        except BaseException as error:
            seen.set_exception(error)
            raise
        found = []
        for earlier, task in before:
            shift = self._shift(task.result(), picture, at, head)
            if shift is not None:
                found.append(_Shift(earlier, number, *shift))
        return found

    def _shift(
        self, before: _Sight, picture: Pyramid, at: Array, head: Array
    ) -> tuple[Array, Array] | None:
        """Motion and weights from a frame to a picture, or `None`: they are not of one face."""
        eyes = self._eyes
        moved, misfit = before.head.find(picture, head, np.arange(len(head)))
        good = np.isfinite(misfit)
        if good.sum() < len(head) // 2:
            return None
        basis = _head_basis(2 * eyes)
        turn, apart = fit_rigid(basis[good], (moved - head)[good], _RIDGE)
        if apart * (self._settings.crop / 2) > self._settings.max_head_residual * eyes:
            return None
        every = np.arange(len(at))
        moved, misfit = before.small.find(picture, at, every)
        round_it, difference = before.large.find(picture, at, every)
        texture = before.small.texture(every)
        known = _KNOWN * (_MOST_EYES / eyes) ** 2
        share = texture @ np.linalg.inv(texture + known * np.eye(2))
        apart_from = moved - round_it
        slipped = ~np.isfinite(misfit) | (np.hypot(*apart_from.T) > _SLIP * eyes)
        share[slipped] = 0
        joined = round_it + np.einsum("nij,nj->ni", share, apart_from)
        alone = ~np.isfinite(difference)
        joined[alone] = moved[alone]
        worse = np.where(slipped, difference, misfit)
        weight = np.where(np.isfinite(worse), 1 / (1 + (worse / before.limits) ** 4), 0.0)
        weight[slipped] *= 0.5
        return joined - before.at - _basis_at(2 * eyes, before.at) @ turn, weight


def _sight(picture: Pyramid, at: Array, head: Array, eyes: int) -> _Sight:
    every = np.arange(len(at))
    small, large = (Windows(len(at), _side(s, eyes), _LEVELS) for s in (_SMALL, _LARGE))
    around = Windows(len(head), _side(_HEAD, eyes), _LEVELS)
    small.take(picture, at, every)
    large.take(picture, at, every)
    around.take(picture, head, np.arange(len(head)))
    limits = np.maximum(_LEAST_MISFIT, _MISFIT * small.contrast(every))
    return _Sight(small, large, around, at, limits)


def _side(share: float, eyes: int) -> int:
    return round(share * eyes) | 1


@lru_cache(maxsize=64)
def _head_basis(side: int) -> Array:
    return _basis_at(side, _HEAD_POINTS * (side / 2) + np.array(CROP_ORIGIN) * side)


def _basis_at(side: int, points: Array) -> Array:
    x, y = np.rint(points).astype(int).clip(0, side - 1).T
    return rigid_basis(side)[y, x].astype(np.float64)


def _path(
    count: int, rois: int, shifts: list[_Shift]
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """The path (T, R, 2) that agrees best with all shifts, and between which frames it is known.

    A step is known where its two frames are joined by shifts, whichever way round.
    """
    path = np.zeros((count, rois, 2))
    if not shifts:
        return path, np.zeros(max(0, count - 1), np.bool_)
    before, after = (np.array([getattr(s, n) for s in shifts]) for n in ("before", "after"))
    motion = np.stack([s.motion for s in shifts])
    weight = np.maximum(np.stack([s.weight for s in shifts]), 1e-6)
    links = coo_array((np.ones(len(shifts)), (before, after)), shape=(count, count))
    part = connected_components(links, directed=False)[1]
    reach = int((after - before).max())
    for roi in range(rois):
        bands, right = np.zeros((reach + 1, count)), np.zeros((count, 2))
        bands[0] = _UNKNOWN
        w, pushed = weight[:, roi], weight[:, roi, None] * motion[:, roi]
        np.add.at(bands[0], before, w)
        np.add.at(bands[0], after, w)
        np.add.at(bands, (after - before, before), -w)
        np.add.at(right, after, pushed)
        np.add.at(right, before, -pushed)
        path[:, roi] = solveh_banded(bands, right, lower=True)
    return path, part[1:] == part[:-1]
