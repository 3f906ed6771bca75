"""What one look at a face says: whether its landmarks can be used, and whether two looks agree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aumer.face.backend import CheckedLandmarker
from aumer.face.interface import Landmarker
from aumer.types import FloatArray

#: Outer eye corners.
EYES = (36, 45)
#: How far the nose's tip may lie from the middle of the eyes, along their line, in outer-eye
#: distances, times how much higher than wide the face looks (eyes to mouth by outer-eye distance).
#: Of heads turned by 45 degrees, as the mesh sees them, it is .44 at most, by 60 it is .52 to .61,
#: by 90 it is .71 and more; between, half of the face is hidden, and what a network says of it is
#: invented (benchmarks/accuracy/landmarks.py, poor pictures).
_NOSE_TIP, _ASIDE = 30, 0.64
#: Landmarks that two looks see further apart than this (mean, in outer-eye distances) are made up.
#: Of 192 upright faces (plain, dark, blurred and small) it is .009 at most; of 53 that lie on their
#: side or head, and have landmarks the right way up, 47 are further apart, or are not seen again.
_MADE_UP = 0.03


def is_usable(landmarks: FloatArray, shape: tuple[int, ...], min_eye_distance: float) -> bool:
    """Whether a face lies in a picture of that shape, is large enough and not turned too far."""
    right, left = landmarks[list(EYES)].astype(np.float64)
    center = landmarks.mean(axis=0)
    if not ((center >= 0).all() and center[0] < shape[1] and center[1] < shape[0]):
        return False
    wide = float(np.hypot(*(left - right))) >= min_eye_distance
    return wide and turned_aside(landmarks) <= _ASIDE


def turned_aside(landmarks: FloatArray) -> float:
    """How far the nose's tip lies from the middle of the face, as `_ASIDE` measures it."""
    right, left = landmarks[list(EYES)].astype(np.float64)
    # Along the line of the eyes the nose's tip is in the middle of a frontal face.
    eyes, middle = left - right, (right + left) / 2
    width = max(float(np.hypot(*eyes)), 1e-9)
    height = float(np.hypot(*(landmarks[48:68].mean(axis=0) - middle)))
    return abs(float((landmarks[_NOSE_TIP] - middle) @ eyes)) / width**2 * (height / width)


def stands(landmarks: FloatArray) -> bool:
    """Whether a face's eyes are above its mouth."""
    down = landmarks[48:68].mean(axis=0) - landmarks[36:48].mean(axis=0)
    return bool(down[1] > abs(down[0]))


def agree(landmarks: FloatArray, again: FloatArray | None) -> bool:
    """Whether another look at a face found the same landmarks."""
    if again is None:
        return False
    right, left = landmarks[list(EYES)].astype(np.float64)
    off = np.hypot(*(again - landmarks).astype(np.float64).T).mean()
    return bool(off <= _MADE_UP * np.hypot(*(left - right)))


class Landmarkers:
    """One landmarker for each face that is seen at the same time; who lost theirs leaves it.

    Args:
        make: makes another.
    """

    def __init__(self, make: Callable[[], Landmarker]) -> None:
        self._make = make
        self._made: list[Landmarker] = []  # all of them; a failure may leave one in nobody's hands
        self._spare: list[Landmarker] = []

    def add(self, landmarker: Landmarker) -> None:
        """One that is there already."""
        self._made.append(landmarker)
        self._spare.append(landmarker)

    def take(self) -> Landmarker:
        """One that nobody has."""
        if not self._spare:
            self._made.append(CheckedLandmarker(self._make()))
            return self._made[-1]
        return self._spare.pop()

    def give_back(self, landmarker: Landmarker) -> None:
        """It forgets whom it saw."""
        landmarker.reset()
        self._spare.append(landmarker)

    def close(self) -> None:
        """Give back what they hold."""
        made, self._made, self._spare = self._made, [], []
        for landmarker in made:
            landmarker.close()
