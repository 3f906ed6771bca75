"""Checks of landmarks: whether they are usable, and whether two estimates agree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aumer.face.backend import CheckedLandmarker
from aumer.face.interface import Landmarker
from aumer.types import FloatArray

#: Outer eye corners.
EYES = (36, 45)
#: Largest distance of the nose's tip from the middle of the eyes along their line, in outer-eye
#: distances, times the ratio of height (eyes to mouth) to outer-eye distance. With the mesh it is
#: at most .44 for heads turned by 45 degrees, .52 to .61 for 60, .71 and more for 90; in between
#: half of the face is hidden, and a network invents its landmarks
#: (benchmarks/accuracy/landmarks.py, poor pictures).
_NOSE_TIP, _ASIDE = 30, 0.64
#: Mean difference of two estimates of landmarks (outer-eye distances) above which they are
#: invented. For 192 upright faces (plain, dark, blurred and small) it is at most .009; for 53 faces
#: on their side or upside down with upright landmarks it is larger in 47, or the second estimate
#: fails.
_MADE_UP = 0.03


def is_usable(landmarks: FloatArray, shape: tuple[int, ...], min_eye_distance: float) -> bool:
    """Whether a face lies in a picture of this shape, is large enough and not turned too far."""
    right, left = landmarks[list(EYES)].astype(np.float64)
    center = landmarks.mean(axis=0)
    if not ((center >= 0).all() and center[0] < shape[1] and center[1] < shape[0]):
        return False
    wide = float(np.hypot(*(left - right))) >= min_eye_distance
    return wide and turned_aside(landmarks) <= _ASIDE


def turned_aside(landmarks: FloatArray) -> float:
    """Distance of the nose's tip from the middle of the face, in the measure of `_ASIDE`."""
    right, left = landmarks[list(EYES)].astype(np.float64)
    # In a frontal face the nose's tip is in the middle along the line of the eyes.
    eyes, middle = left - right, (right + left) / 2
    width = max(float(np.hypot(*eyes)), 1e-9)
    height = float(np.hypot(*(landmarks[48:68].mean(axis=0) - middle)))
    return abs(float((landmarks[_NOSE_TIP] - middle) @ eyes)) / width**2 * (height / width)


def stands(landmarks: FloatArray) -> bool:
    """Whether a face's eyes are above its mouth."""
    down = landmarks[48:68].mean(axis=0) - landmarks[36:48].mean(axis=0)
    return bool(down[1] > abs(down[0]))


def agree(landmarks: FloatArray, again: FloatArray | None) -> bool:
    """Whether two estimates of landmarks agree."""
    if again is None:
        return False
    right, left = landmarks[list(EYES)].astype(np.float64)
    off = np.hypot(*(again - landmarks).astype(np.float64).T).mean()
    return bool(off <= _MADE_UP * np.hypot(*(left - right)))


class Landmarkers:
    """A pool of landmarkers, one for each simultaneously visible face.

    Args:
        make: makes a landmarker.
    """

    def __init__(self, make: Callable[[], Landmarker]) -> None:
        self._make = make
        self._made: list[Landmarker] = []  # all of them, so that all are closed after a failure
        self._spare: list[Landmarker] = []

    def add(self, landmarker: Landmarker) -> None:
        """Add an existing landmarker."""
        self._made.append(landmarker)
        self._spare.append(landmarker)

    def take(self) -> Landmarker:
        """Get a free landmarker."""
        if not self._spare:
            self._made.append(CheckedLandmarker(self._make()))
            return self._made[-1]
        return self._spare.pop()

    def give_back(self, landmarker: Landmarker) -> None:
        """Reset and return a landmarker."""
        landmarker.reset()
        self._spare.append(landmarker)

    def close(self) -> None:
        """Close all landmarkers."""
        made, self._made, self._spare = self._made, [], []
        for landmarker in made:
            landmarker.close()
