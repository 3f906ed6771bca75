"""Motion of ROIs by matching windows, without shrinkage.

Smoothness constraints of dense flow shrink local motion: TV-L1 reports half of a micro-expression
(benchmarks/accuracy/motion.py). Here no constraint pulls motion toward its surroundings or toward
zero:

- A window around each ROI's landmark is matched by Lucas-Kanade, in crops at the video's
  resolution, invariant to gain and offset of brightness. It may stretch and bend
  (`aumer.flow.bent_windows`): brows and lips have little texture along them, so windows must be
  large, and large windows do not move rigidly.
- The result is the mean motion of the ROI, the same square as in MDMO, not that of its center.
- Each frame is matched with frames of several earlier instants, and the path that fits all of these
  best is computed (weighted least squares): so errors of slow movements do not accumulate from
  frame to frame, and an occlusion in one frame does not end the path.
- Head motion is estimated from windows on the nose and beside eyes and cheeks, where expressions
  move little, as a rigid body in weak perspective, with robust weights. A head that hardly turns is
  taken to be at rest; then the tip of the nose, which indicates rotation by its depth, is ignored,
  and for each ROI so are the windows near it: what moves an ROI moves the skin around it, too, and
  would in part be taken for head motion.
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
from aumer.flow.bent_windows import BentWindows
from aumer.flow.lucas_kanade import Pyramid, Windows
from aumer.graph.rois import roi_set
from aumer.motion.rigid import fit_rigid, rigid_basis
from aumer.types import FloatArray, ImageArray

Array = npt.NDArray[np.float64]

#: Seconds between a frame and those that it is matched with; the shortest means the frame before.
#: Longer ones have no further effect.
_BACK_S = (0.0, 0.1, 0.3, 0.9)
#: Range of the distance of the outer eye corners in the crop, px; within it the face's own size is
#: used. More than this adds no detail in most videos; less leaves windows without texture.
_LEAST_EYES, _MOST_EYES = 80, 112
#: Sides of the windows in outer-eye distances: at an ROI, and for the head; and of the ROI.
_SIDE, _HEAD, _REGION = 0.26, 0.36, 11 / 64
#: Halvings of the crop.
_LEVELS = 1
#: Typical motion of a window's edges relative to its center (outer-eye distances).
_GIVE = 0.008
#: Largest motion of an ROI relative to its window (outer-eye distances); beyond it the bending fit
#: has failed.
_ASTRAY = 0.04
#: Difference of a matched window, as a share of its contrast and in gray levels, at which its
#: weight is one half.
_MISFIT, _LEAST_MISFIT = 0.3, 3.0
#: Difference of the head's windows, as a share of contrast and in gray levels, beyond which they
#: show something else; for unrelated pictures it is .8.
_LOST, _LEAST_LOST = 0.5, 1.0
#: Ridge penalties of translations, scale, roll, and rotations out of the plane; the latter follow
#: from small, individual differences of depth and are mostly noise.
_RIDGE = np.array((1e-6, 1e-6, 1e-6, 1e-6, 3e-3, 3e-3))
#: Additional penalty of rotations out of the plane at rest, and the angle above which it decreases.
_REST, _TURNS = 1.0, 1e-3
#: Geman-McClure weights; with Cauchy weights a nose that moves by itself has too much influence.
_POWER = 2
#: A tiny weight for undetermined positions.
_UNKNOWN = 1e-9


#: Points for estimating head motion, in units of the mean face: the bridge of the nose; its tip;
#: skin beside eyes and cheeks. Only few lie on the nose; with many, its own motion would be taken
#: for head motion.
_BRIDGE, _TIP = ((0.0, -0.15),), ((0.0, 0.08), (0.0, 0.3))
_BESIDE = (
    (0.20, 0.02), (0.30, 0.16), (0.36, 0.28), (0.45, 0.16), (0.50, 0.00), (0.52, 0.25),
    (0.58, 0.06), (0.60, 0.36), (0.62, -0.05), (0.64, 0.20),
)  # fmt: skip
_HEAD_POINTS = np.array([*_BRIDGE, *_TIP, *((side * x, y) for side in (-1, 1) for x, y in _BESIDE)])
#: Distance from an ROI, in outer-eye distances, within which they are ignored while the head is at
#: rest, and how sharply.
_NEAR, _SHARP = 0.5, 4


@dataclass(frozen=True, eq=False)
class _Sight:
    """One frame: windows, positions of its ROIs in the crop, and allowed differences."""

    rois: BentWindows
    head: Windows
    at: Array
    limits: FloatArray
    head_limit: float


@dataclass(frozen=True, eq=False)
class _Shift:
    """Motion of the ROIs (R, 2) crop px from one frame to another, and its weights (R,)."""

    before: int
    after: int
    motion: Array
    weight: Array


class WindowMotion:
    """The motion of one face in one run. Interface: `aumer.motion.runs.RunMotion`."""

    def __init__(self, pool: Executor, settings: MotionSettings) -> None:
        self._pool, self._settings = pool, settings
        self._rois = list(roi_set(settings.rois).landmarks)
        self._shares = _head_shares(self._rois)
        self._backs = _backs(settings.rate)
        self._eyes = 0
        self._count = 0
        self._sights: deque[Future[_Sight]] = deque(maxlen=max(self._backs))
        self._measured: list[Future[list[_Shift]]] = []

    def add(self, image: ImageArray, landmarks: FloatArray) -> None:
        self._eyes = self._eyes or _eyes(landmarks)
        crop, at = _cut(image, landmarks, self._rois, self._eyes)
        seen: Future[_Sight] = Future()
        before = [
            (self._count - back, self._sights[-back])
            for back in self._backs
            if back <= len(self._sights)
        ]
        # A task only waits for tasks of earlier frames, which the pool started before.
        task = self._pool.submit(self._measure, crop, at, seen, before, self._count)
        self._measured.append(task)
        self._sights.append(seen)
        self._count += 1
        if len(self._measured) > 16:  # bounds the pool's queue
            self._measured[-16].result()

    def steps(self) -> tuple[FloatArray, FloatArray]:
        shifts = [shift for task in self._measured for shift in task.result()]
        scale = self._settings.crop / 2 / self._eyes if self._eyes else 1.0
        return _steps(self._count, len(self._rois), shifts, scale)

    def _measure(
        self,
        crop: FloatArray,
        at: Array,
        seen: Future[_Sight],
        before: list[tuple[int, Future[_Sight]]],
        number: int,
    ) -> list[_Shift]:
        """The motion to this frame from each of those before."""
        try:
            eyes = self._eyes
            head = _head_at(eyes)
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
        """Motion and weights from a frame to a picture; `None` if they show different faces."""
        eyes = self._eyes
        moved, misfit = before.head.find(picture, head, np.arange(len(head)))
        good = np.isfinite(misfit)
        if 2 * good.sum() < len(head) or misfit[good].mean() > before.head_limit:
            return None
        basis = _head_basis(2 * eyes)
        turns, apart = fit_rigid(
            basis[good],
            (moved - head)[good],
            _RIDGE,
            power=_POWER,
            rest=(_REST, _TURNS * eyes),
            shares=self._shares[:, good],
        )
        if apart[0] * (self._settings.crop / 2) > self._settings.max_head_residual * eyes:
            return None
        moved, weight = self._found(before, picture, at)
        carried = np.einsum("rik,rk->ri", _basis_at(2 * eyes, before.at), turns[1:])
        return moved - before.at - carried, weight

    def _found(self, before: _Sight, picture: Pyramid, at: Array) -> tuple[Array, Array]:
        """Positions of a frame's ROIs in a picture, and weights."""
        moved, whole, misfit = before.rois.find(picture, at)
        astray = np.hypot(*(moved - whole).T) > _ASTRAY * self._eyes
        moved[astray] = whole[astray]
        weight = np.where(np.isfinite(misfit), 1 / (1 + (misfit / before.limits) ** 4), 0.0)
        return moved, np.where(astray, 0.5 * weight, weight)


def _backs(rate: float) -> tuple[int, ...]:
    """Distances in frames between matched frames, at this rate of analyzed frames."""
    return tuple(sorted({max(1, round(s * rate)) for s in _BACK_S}))


def _eyes(landmarks: FloatArray) -> int:
    """Distance of the outer eye corners in the crop in px, for a face of this size."""
    rigid = list(RIGID)
    size = similarity(MEAN_FACE[rigid, :2], landmarks[rigid].astype(np.float64))[:, 0]
    return int(np.clip(round(float(np.hypot(*size))), _LEAST_EYES, _MOST_EYES))


def _cut(
    image: ImageArray, landmarks: FloatArray, rois: list[int], eyes: int
) -> tuple[FloatArray, Array]:
    """The crop of a frame, normalized to a fixed mean brightness, and the positions of its ROIs."""
    rigid, side, marks = list(RIGID), 2 * eyes, landmarks.astype(np.float64)
    template = MEAN_FACE[rigid, :2] * eyes + np.array(CROP_ORIGIN) * side
    transform = similarity(marks[rigid], template)
    crop = Cutting(image, transform, side).cut(transform, side).astype(np.float32)
    inner = crop[side // 5 : -side // 4, side // 4 : -side // 4]
    return crop - inner.mean(dtype=np.float32), applied(transform, marks[rois])


def _head_at(eyes: int) -> Array:
    """Points in the crop for estimating head motion."""
    return np.asarray(_HEAD_POINTS * eyes + np.array(CROP_ORIGIN) * 2 * eyes, np.float64)


def _head_shares(rois: list[int]) -> Array:
    """(1 + R, N) factors of the head points' weights at rest: of the head alone, and for each ROI.

    Args:
        rois: the ROIs' landmarks.
    """
    apart = np.linalg.norm(MEAN_FACE[rois, None, :2] - _HEAD_POINTS, axis=-1)
    shares = np.vstack([np.ones(len(_HEAD_POINTS)), 1 - np.exp(-((apart / _NEAR) ** _SHARP))])
    shares[:, len(_BRIDGE) :][:, : len(_TIP)] = 0
    return shares


def _sight(picture: Pyramid, at: Array, head: Array, eyes: int) -> _Sight:
    rois = BentWindows(picture, at, _side(_SIDE, eyes), _GIVE * eyes, _REGION * eyes)
    every = np.arange(len(head))
    around = Windows(len(head), _side(_HEAD, eyes), _LEVELS)
    around.take(picture, head, every)
    limits = np.maximum(_LEAST_MISFIT, _MISFIT * rois.contrast())
    head_limit = _LOST * float(around.contrast(every).mean()) + _LEAST_LOST
    return _Sight(rois, around, at, limits, head_limit)


def _side(share: float, eyes: int) -> int:
    return round(share * eyes) | 1


@lru_cache(maxsize=64)
def _head_basis(side: int) -> Array:
    return _basis_at(side, _head_at(side // 2))


def _basis_at(side: int, points: Array) -> Array:
    x, y = np.rint(points).astype(int).clip(0, side - 1).T
    return np.asarray(rigid_basis(side)[y, x], np.float64)


def _steps(
    count: int, rois: int, shifts: list[_Shift], scale: float
) -> tuple[FloatArray, FloatArray]:
    """The value of `RunMotion.steps` for a run of `count` frames.

    Args:
        scale: px of the canonical crop per px of the shifts.
    """
    path, known = _path(count, rois, shifts)
    steps = np.diff(path, axis=0) * scale
    steps[~known] = np.nan
    # Confidence of the best shift across the step, so that a further one that fails (an ROI
    # occluded later) does not lower it.
    confidence = np.zeros(steps.shape[:2])
    for shift in shifts:
        over = confidence[shift.before : shift.after]
        np.maximum(over, shift.weight, out=over)
    confidence[~known] = 0
    return steps.astype(np.float32), confidence.astype(np.float32)


def _path(count: int, rois: int, shifts: list[_Shift]) -> tuple[Array, npt.NDArray[np.bool_]]:
    """The path (T, R, 2) that fits all shifts best, and the steps for which it is known.

    A step is known if its two frames are connected by shifts, directly or indirectly.
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
