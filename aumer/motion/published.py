"""The features of AUW-GCN (Yin et al., ICME 2023), measured as its published code measures them.

After ``feature_extraction/`` of github.com/xjtupanda/AUW-GCN:

- The crop is the face's box in the first frame, in pixels of the video: it is neither resized nor
  rotated, and does not move with the head.
- Dense flow from each frame of the crop to the next, TV-L1.
- Head motion is one vector, the nose's (`aumer.motion.mdmo.published_mdmo`); no rigid motion is
  fitted, so the effects of rotation and approach of the head on brows and mouth remain. There is no
  limit of motion: ``motion.max_head_residual`` is not used.
- ROIs are squares of 11 px of the video, however large the face.

Unavoidable differences: landmarks come from aumer's landmarker, not from SAN; the box is computed
from them, not by RetinaFace; and the published TV-L1 is OpenCV's CUDA version, without the median
filter of OpenCV's CPU version and of aumer's.

Runs are those of `aumer.motion.analysis`, so the crop is chosen again at least every
``face.restart_s``. The published values are px / 20 of the video; here they are converted to px of
the canonical crop, so that faces of different size can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from aumer.config import MotionSettings
from aumer.errors import ConfigError
from aumer.face.crop import similarity
from aumer.face.mean_face import MEAN_FACE, RIGID
from aumer.flow import Flow, FlowFunction, Region
from aumer.flow import resolve as resolve_flow
from aumer.graph.rois import DEFAULT_ROIS, roi_set
from aumer.motion.mdmo import published_mdmo
from aumer.types import FloatArray, ImageArray

#: Range of flow in px, on either side of 0, in an 8-bit image (denseflow's ``-b=10``).
_BOUND = 10.0
#: Half side of the published ROIs, px.
_RADIUS = 5
#: A detector's box extends above the brows by this share of the landmarks' height.
_FOREHEAD = 0.3
#: Landmarks that must lie in the crop: those of the ROIs and the nose's box.
_NEEDED = [*DEFAULT_ROIS.landmarks, 29]

Points = npt.NDArray[np.integer[Any]]


class PublishedMotion:
    """The motion of one face through one run. Interface: `aumer.motion.runs.RunMotion`.

    A step is NaN if an ROI's landmark has left the crop of the run's first frame. Confidence is 1
    wherever there is motion, since the published code has none.

    Raises:
        ConfigError: as `check`.
    """

    def __init__(self, pool: Executor, settings: MotionSettings, flow: Flow | FlowFunction) -> None:
        check(settings)
        self._pool, self._settings, self._flow = pool, settings, resolve_flow(flow)
        self._crop: Region | None = None
        self._scale = 1.0
        self._last: ImageArray | None = None
        self._pairs: list[tuple[ImageArray, ImageArray, Points]] = []
        self._size = self._flow.batch
        self._measured: list[Future[FloatArray]] = []

    def add(self, image: ImageArray, landmarks: FloatArray) -> None:
        if self._crop is None:
            self._crop = face_box(landmarks, *image.shape[:2])
            rigid = list(RIGID)
            size = similarity(MEAN_FACE[rigid, :2], landmarks[rigid].astype(np.float64))[:, 0]
            self._scale = self._settings.crop / 2 / float(np.hypot(*size))
        left, top, right, bottom = self._crop
        gray = np.asarray(cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_RGB2GRAY), np.uint8)
        if self._last is not None:
            points = np.rint(landmarks).astype(np.int64) - (left, top)
            self._pairs.append((self._last, gray, points))
            if len(self._pairs) >= self._size:
                self._measure()
        self._last = gray

    def _measure(self) -> None:
        pairs, self._pairs = self._pairs, []
        stored = self._settings.published_8bit
        self._measured.append(self._pool.submit(_features, pairs, self._flow, stored))
        if len(self._measured) > 16:  # bounds the pool's queue
            self._measured[-16].result()

    def steps(self) -> tuple[FloatArray, FloatArray]:
        if self._pairs:
            self._measure()
        none = np.empty((0, len(DEFAULT_ROIS), 2), np.float32)
        found = np.concatenate([none, *(task.result() for task in self._measured)])
        steps: FloatArray = found * np.float32(2 * _BOUND * self._scale)
        return steps, np.asarray(np.isfinite(steps).all(axis=2), np.float32)


def check(settings: MotionSettings) -> None:
    """Refuse settings that the published code does not support.

    Raises:
        ConfigError: names the setting, what was found, and what is needed.
    """
    if (found := roi_set(settings.rois)) != DEFAULT_ROIS:
        raise ConfigError(
            "motion.rois must be 'published', the 12 ROIs of AUW-GCN, where motion.preset is "
            f"'published'; found {settings.rois!r}, {len(found)} ROIs. Other ROIs are measured by "
            "the presets 'windows' and 'flow'"
        )
    if settings.roi_radius != _RADIUS:
        raise ConfigError(
            f"motion.roi_radius must be {_RADIUS} where motion.preset is 'published', whose ROIs "
            f"are 11 x 11 px of the video; found {settings.roi_radius}. The preset 'flow' reads "
            "ROIs of other sizes"
        )


def face_box(landmarks: FloatArray, height: int, width: int) -> Region:
    """A face box like a detector's, from ear to ear and from chin to hair, clipped to the image.

    Args:
        landmarks: (68, 2) px.
        height, width: of the image, px.
    """
    low, high = np.floor(landmarks.min(axis=0)), np.floor(landmarks.max(axis=0)) + 1
    low[1] -= round(_FOREHEAD * float(high[1] - low[1]))
    left, top = low.clip(0, (width - 1, height - 1)).astype(int).tolist()
    right, bottom = high.clip((left + 1, top + 1), (width, height)).astype(int).tolist()
    return left, top, right, bottom


def as_stored(flow: FloatArray) -> FloatArray:
    """A flow (H, W, 2) px after conversion to 8-bit images and back, as published.

    The range of 10 px on either side has 256 levels of .078 px, with 0 half-way between two of
    them; OpenCV's JPEG at default quality adds errors. Larger values are clipped.
    """
    levels = np.rint(255 * (flow.astype(np.float64) / (2 * _BOUND) + 0.5).clip(0, 1))
    images = [_through_jpeg(levels[..., axis].astype(np.uint8)) for axis in range(2)]
    shares = np.stack(images, axis=-1).astype(np.float32) / 255 - np.float32(0.5)
    return np.asarray(shares * np.float32(2 * _BOUND))


def _through_jpeg(image: ImageArray) -> ImageArray:
    _, written = cv2.imencode(".jpg", image)
    return np.asarray(cv2.imdecode(written, cv2.IMREAD_GRAYSCALE), np.uint8)


def _features(
    pairs: Sequence[tuple[ImageArray, ImageArray, Points]], flow: Flow, stored: bool
) -> FloatArray:
    """(n, 12, 2) float32 in the published unit, px / 20; NaN if a face has left the crop."""
    found = np.full((len(pairs), len(DEFAULT_ROIS), 2), np.nan, np.float32)
    held = [k for k, (_, gray, points) in enumerate(pairs) if _holds(gray, points)]
    if not held:
        return found
    images = [pairs[k][:2] for k in held]
    for k, field in zip(held, flow.many(images), strict=True):
        if stored:
            field = as_stored(field)
        found[k] = published_mdmo(field / np.float32(2 * _BOUND), pairs[k][2])
    return found


def _holds(gray: ImageArray, points: Points) -> bool:
    """Whether the landmarks of ROIs and nose lie in the image."""
    needed = points[_NEEDED]
    return bool((needed >= 0).all() and (needed < gray.shape[::-1]).all())
