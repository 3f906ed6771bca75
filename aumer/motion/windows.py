"""The motion of ROIs by windows that are looked for in other frames: no share of it is lost.

Dense flow is smooth, and what makes it smooth shrinks what an ROI does by itself: of a
micro-expression TV-L1 reports half (benchmarks/accuracy/motion.py). Here nothing pulls a movement
toward its surroundings or toward zero:

- A window round each ROI's landmark is looked for by Lucas-Kanade, in crops as fine as the video
  is, gain and offset of light left out. It may stretch and bend (`aumer.flow.bent_windows`): along
  a brow or a lip there is little to see, so it must be large, and what is large does not move as
  one.
- What is told is the mean motion of the ROI, the square that MDMO has, and not of its middle.
- Each frame is measured against frames of several earlier instants, and the path that agrees best
  with all of it is taken (weighted least squares): slow movements do not drown in errors that add
  up from frame to frame, and what one frame hides does not end the path.
- The head is read from windows on the nose and beside eyes and cheeks, where expressions move
  little, as a rigid body in weak perspective; what moves against the rest is let go of. A head that
  hardly turns is taken to be at rest, and then the tip of the nose, which tells turns by its depth,
  is not asked: what moves there would pass for the head.
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

#: Seconds before a frame that it is measured against; the shortest is the frame before, whenever
#: that was. Longer ones change nothing any more.
_BACK_S = (0.0, 0.1, 0.3, 0.9)
#: px between the outer eye corners in the crop: the face's own size within these bounds. More shows
#: no more than most videos do, less leaves windows without texture.
_LEAST_EYES, _MOST_EYES = 64, 112
#: Sides of the windows in outer-eye distances: at an ROI, and for the head; and of the ROI.
_SIDE, _HEAD, _REGION = 0.26, 0.36, 11 / 64
#: Halvings of the crop.
_LEVELS = 1
#: By how much a window's edges typically move against its middle (outer-eye distances).
_GIVE = 0.006
#: An ROI moves no further than this (outer-eye distances) from its window as a whole, or bending
#: has gone astray.
_ASTRAY = 0.04
#: A window that differs from itself by this share of its contrast, or by so many gray levels,
#: weighs half.
_MISFIT, _LEAST_MISFIT = 0.3, 3.0
#: Where the head's windows differ by this share of their contrast and so many gray levels, they
#: show something else: of what they do not resemble at all it is .8.
_LOST, _LEAST_LOST = 0.5, 1.0
#: How the rigid fit holds back shifts, growth, turn, and turns out of the plane: these are read
#: from small differences of depth that are another on every face, and are noise for the most part.
_RIDGE = np.array((1e-6, 1e-6, 1e-6, 1e-6, 3e-3, 3e-3))
#: By how much more a turn out of the plane is held back, and the angle from which it is less.
_REST, _TURNS = 1.0, 1e-3
#: Geman and McClure's weights: Cauchy's hold on to a nose that moves by itself.
_POWER = 2
#: A weight that fixes what nothing is known of.
_UNKNOWN = 1e-9


#: Where the head is read, in the mean face's units: the bridge of the nose; its tip; skin beside
#: eyes and cheeks. Few lie on the nose: of many, what moves there alone would pass for the head.
_BRIDGE, _TIP = ((0.0, -0.15),), ((0.0, 0.08), (0.0, 0.3))
_BESIDE = (
    (0.20, 0.02), (0.30, 0.16), (0.36, 0.28), (0.45, 0.16), (0.50, 0.00), (0.52, 0.25),
    (0.58, 0.06), (0.60, 0.36), (0.62, -0.05), (0.64, 0.20),
)  # fmt: skip
_HEAD_POINTS = np.array([*_BRIDGE, *_TIP, *((side * x, y) for side in (-1, 1) for x, y in _BESIDE)])
#: Of their weights while the head is at rest.
_HEAD_SHARE = np.ones(len(_HEAD_POINTS))
_HEAD_SHARE[len(_BRIDGE) :][: len(_TIP)] = 0.0


@dataclass(frozen=True, eq=False)
class _Sight:
    """One frame: windows, where its ROIs are in the crop, and by how much they may differ."""

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
    """The motion of one face through one run. Interface: `aumer.motion.runs.RunMotion`."""

    def __init__(self, pool: Executor, settings: MotionSettings) -> None:
        self._pool, self._settings = pool, settings
        self._rois = list(roi_set(settings.rois).landmarks)
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
        # A task waits for those of earlier frames alone, which the pool began before it.
        task = self._pool.submit(self._measure, crop, at, seen, before, self._count)
        self._measured.append(task)
        self._sights.append(seen)
        self._count += 1
        if len(self._measured) > 16:  # bounds what the pool holds
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
        """Motion and weights from a frame to a picture, or `None`: they are not of one face."""
        eyes = self._eyes
        moved, misfit = before.head.find(picture, head, np.arange(len(head)))
        good = np.isfinite(misfit)
        if 2 * good.sum() < len(head) or misfit[good].mean() > before.head_limit:
            return None
        basis = _head_basis(2 * eyes)
        turn, apart = fit_rigid(
            basis[good],
            (moved - head)[good],
            _RIDGE,
            power=_POWER,
            rest=(_REST, _TURNS * eyes),
            share=_HEAD_SHARE[good],
        )
        if apart * (self._settings.crop / 2) > self._settings.max_head_residual * eyes:
            return None
        moved, weight = self._found(before, picture, at)
        return moved - before.at - _basis_at(2 * eyes, before.at) @ turn, weight

    def _found(self, before: _Sight, picture: Pyramid, at: Array) -> tuple[Array, Array]:
        """Where the ROIs of a frame are in a picture, and the weights of that."""
        moved, whole, misfit = before.rois.find(picture, at)
        astray = np.hypot(*(moved - whole).T) > _ASTRAY * self._eyes
        moved[astray] = whole[astray]
        weight = np.where(np.isfinite(misfit), 1 / (1 + (misfit / before.limits) ** 4), 0.0)
        return moved, np.where(astray, 0.5 * weight, weight)


def _backs(rate: float) -> tuple[int, ...]:
    """How many frames back each frame is measured against, at so many analyzed frames a second."""
    return tuple(sorted({max(1, round(s * rate)) for s in _BACK_S}))


def _eyes(landmarks: FloatArray) -> int:
    """px between the outer eye corners in the crop, for a face of this size."""
    rigid = list(RIGID)
    size = similarity(MEAN_FACE[rigid, :2], landmarks[rigid].astype(np.float64))[:, 0]
    return int(np.clip(round(float(np.hypot(*size))), _LEAST_EYES, _MOST_EYES))


def _cut(
    image: ImageArray, landmarks: FloatArray, rois: list[int], eyes: int
) -> tuple[FloatArray, Array]:
    """The crop of a frame, brought to one mean brightness, and where its ROIs are in it."""
    rigid, side, marks = list(RIGID), 2 * eyes, landmarks.astype(np.float64)
    template = MEAN_FACE[rigid, :2] * eyes + np.array(CROP_ORIGIN) * side
    transform = similarity(marks[rigid], template)
    crop = Cutting(image, transform, side).cut(transform, side).astype(np.float32)
    inner = crop[side // 5 : -side // 4, side // 4 : -side // 4]
    return crop - inner.mean(dtype=np.float32), applied(transform, marks[rois])


def _head_at(eyes: int) -> Array:
    """Where in the crop the head is read from."""
    return np.asarray(_HEAD_POINTS * eyes + np.array(CROP_ORIGIN) * 2 * eyes, np.float64)


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
    """What `RunMotion.steps` gives for a run of `count` frames.

    Args:
        scale: px of the canonical crop in a px of the shifts.
    """
    path, known = _path(count, rois, shifts)
    steps = np.diff(path, axis=0) * scale
    steps[~known] = np.nan
    # As good as the best of the shifts that reach over the step: one more that fails (because the
    # ROI is covered later) takes nothing from it.
    confidence = np.zeros(steps.shape[:2])
    for shift in shifts:
        over = confidence[shift.before : shift.after]
        np.maximum(over, shift.weight, out=over)
    confidence[~known] = 0
    return steps.astype(np.float32), confidence.astype(np.float32)


def _path(count: int, rois: int, shifts: list[_Shift]) -> tuple[Array, npt.NDArray[np.bool_]]:
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
