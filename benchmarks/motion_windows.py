"""A prototype of the next motion stage, for `motion.py --estimator motion_windows:estimate`.

What the default chain loses (see `results/motion-before.txt`), this one keeps, by three means:

- A window at the ROI's landmark is looked for by `aumer.lucas_kanade`, which has no smoothness to
  shrink a small movement by, on a crop as fine as the video is.
- Each frame is measured against those 1, 2, 4, 8 and 16 frames before, and the path that agrees
  best with all of it is taken (weighted least squares over the film), so that errors of neighbours
  do not add up.
- Head motion is read from windows on the lower nose and beside the eyes and cheeks. On the whole
  nose, as now, frowns are taken for the head: they move its root.

It keeps a whole film's measurements in memory and takes the 12 published ROIs; that, confidence and
the rigid fit's part in `aumer.motion` are what it lacks to take the default's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import solveh_banded

from aumer.face.crop import Cutting, applied, similarity
from aumer.face.mean_face import CROP_ORIGIN, MEAN_FACE, RIGID
from aumer.lucas_kanade import Pyramid, Windows
from aumer.motion.rigid import rigid_basis as _rigid_basis
from aumer.rois import roi_set
from aumer.types import ImageArray

Array = npt.NDArray[np.float64]

#: Frames back that each frame is measured against.
LAGS = (1, 2, 4, 8, 16)
#: Sides of the windows in outer-eye distances: of ROIs, and of what head motion is read from.
WINDOW, HEAD_WINDOW = 0.10, 0.24
#: px between the outer eye corners in the crop: the face's own within these.
EYES = (64, 112)
#: A window that differs by this share of its contrast weighs half.
MISFIT, LEAST_MISFIT = 0.15, 3.0


def _head_points() -> Array:
    """(N, 2) in the mean face's units: the lower nose, and skin beside eyes and cheeks."""
    x, y = np.meshgrid(np.linspace(-0.17, 0.17, 5), np.linspace(-0.1, 0.34, 6))
    beside = ((0.45, 0.16), (0.58, 0.06), (0.52, 0.25), (0.36, 0.28), (0.30, 0.16))
    both = [(side * a, b) for side in (-1, 1) for a, b in beside]
    return np.concatenate([np.stack([x.ravel(), y.ravel()], axis=1), both])


HEAD = _head_points()


@dataclass(frozen=True, eq=False)
class _Kept:
    """One frame's windows, where its ROIs are in the crop, and by how much each may differ."""

    rois: Windows
    head: Windows
    at: Array
    limits: Array


def estimate(images: Sequence[ImageArray], landmarks: npt.NDArray[Any]) -> Array:
    """Images, landmarks (T, 68, 2) px -> motion (T - 1, 12, 2) in outer-eye distances."""
    count, rigid, rois = len(images), list(RIGID), list(roi_set("published").landmarks)
    marks = np.asarray(landmarks, np.float64)
    seen = np.isfinite(marks[:, 0, 0])
    mean = MEAN_FACE[rigid, :2]
    sizes = [np.hypot(*similarity(mean, m[rigid])[:, 0]) for m in marks[seen]]
    eyes = int(np.clip(round(float(np.median(sizes))), *EYES))
    side = 2 * eyes
    template = MEAN_FACE[:, :2] * eyes + np.array(CROP_ORIGIN) * side
    head = HEAD * eyes + np.array(CROP_ORIGIN) * side
    basis = _rigid_basis(side)
    small, large = round(WINDOW * eyes) | 1, round(HEAD_WINDOW * eyes) | 1
    every_roi, everywhere = np.arange(len(rois)), np.arange(len(head))

    def rigid_at(points: Array) -> Array:
        x, y = np.rint(points).astype(int).clip(0, side - 1).T
        return basis[y, x].astype(np.float64)

    kept: dict[int, _Kept] = {}
    measured: list[tuple[int, int, Array, Array]] = []
    for k in np.flatnonzero(seen):
        place = similarity(marks[k, rigid], template[rigid])
        picture = Pyramid(Cutting(images[k], place, side).cut(place, side), 1, large // 2)
        at = applied(place, marks[k])[rois]
        for j in (k - lag for lag in LAGS if k - lag in kept):
            before = kept[j]
            moved, misfit = before.head.find(picture, head, everywhere)
            good = np.isfinite(misfit)
            turn = _rigid_motion(rigid_at(head[good]), (moved - head)[good])
            moved, misfit = before.rois.find(picture, at, every_roi)
            motion = moved - before.at - rigid_at(before.at) @ turn
            weight = np.where(np.isfinite(misfit), 1 / (1 + (misfit / before.limits) ** 4), 1e-6)
            measured.append((j, int(k), motion, weight))
        windows = Windows(len(rois), small, 1), Windows(len(head), large, 1)
        windows[0].take(picture, at, every_roi)
        windows[1].take(picture, head, everywhere)
        contrast = windows[0].contrast(every_roi)
        kept[int(k)] = _Kept(*windows, at, np.maximum(LEAST_MISFIT, MISFIT * contrast))
        kept.pop(int(k) - max(LAGS), None)
    steps = np.diff(_path(count, len(rois), measured), axis=0) / eyes
    steps[~(seen[1:] & seen[:-1])] = np.nan
    return steps


def _rigid_motion(basis: Array, motion: Array) -> Array:
    """(6,) the head's motion, letting go of what moves against the rest (Cauchy weights)."""
    ridge = 1e-6 * len(motion) * np.eye(basis.shape[-1])
    weight = np.ones(len(motion))
    for _ in range(6):
        weighted = basis * weight[:, None, None]
        normal = np.einsum("nik,nil->kl", basis, weighted) + ridge
        found: Array = np.linalg.solve(normal, np.einsum("nik,ni->k", weighted, motion))
        misfit = np.linalg.norm(motion - basis @ found, axis=1)
        weight = 1 / (1 + (misfit / (1.48 * np.median(misfit) + 1e-3)) ** 2)
    return found


def _path(count: int, rois: int, measured: list[tuple[int, int, Array, Array]]) -> Array:
    """(T, R, 2): the path that agrees best with motions from frame j to frame k."""
    path = np.zeros((count, rois, 2))
    for r in range(rois):
        bands, right = np.zeros((max(LAGS) + 1, count)), np.zeros((count, 2))
        bands[0] = 1e-9
        for j, k, motion, weight in measured:
            bands[0, [j, k]] += weight[r]
            bands[k - j, j] -= weight[r]
            right[k] += weight[r] * motion[r]
            right[j] -= weight[r] * motion[r]
        path[:, r] = solveh_banded(bands, right, lower=True)
    return path
