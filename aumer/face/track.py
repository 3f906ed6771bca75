"""One face followed through a video: detector where needed, landmarker on every frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aumer.face.interface import Detector, Landmarker
from aumer.types import FloatArray, ImageArray

#: Outer eye corners.
_EYES = (36, 45)


@dataclass(frozen=True, eq=False)
class Face:
    """A face in one frame: box (4,) and landmarks (68, 2), float32 px."""

    box: FloatArray
    landmarks: FloatArray


class FaceTracker:
    """Follows the largest face, and stays with it while it can be followed.

    The detector runs on the first frame and whenever the face is lost; between, the box comes from
    the previous frame's landmarks.

    Args:
        detector: finds the face to follow.
        landmarker: finds its 68 points.
        min_eye_distance: faces whose outer eye corners lie closer than this (px) are not usable.
    """

    def __init__(
        self, detector: Detector, landmarker: Landmarker, *, min_eye_distance: float
    ) -> None:
        self._detect = detector
        self._landmark = landmarker
        self._min_eye_distance = min_eye_distance
        self._box: FloatArray | None = None

    def reset(self) -> None:
        """Forget the face: the next frame is treated as the first of a video."""
        self._landmark.reset()
        self._box = None

    def __call__(self, image: ImageArray) -> Face | None:
        """(H, W, 3) uint8 RGB -> the face, or `None` where there is none that can be used."""
        face = self._follow(image, self._box) if self._box is not None else None
        if face is None:
            face = self._follow(image, self._largest(image))
        self._box = None if face is None else face.box
        return face

    def _largest(self, image: ImageArray) -> FloatArray | None:
        boxes = self._detect(image)
        if not len(boxes):
            return None
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        return boxes[int(areas.argmax()), :4]

    def _follow(self, image: ImageArray, box: FloatArray | None) -> Face | None:
        if box is None:
            return None
        landmarks = self._landmark(image, box)
        if landmarks is None or not self._usable(landmarks, image.shape):
            self._landmark.reset()
            return None
        return Face(np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)]), landmarks)

    def _usable(self, landmarks: FloatArray, shape: tuple[int, ...]) -> bool:
        right, left = landmarks[list(_EYES)]
        centre = landmarks.mean(axis=0)
        inside = bool((centre >= 0).all() and centre[0] < shape[1] and centre[1] < shape[0])
        return inside and float(np.hypot(*(left - right))) >= self._min_eye_distance
