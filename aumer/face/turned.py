"""Detection of rotated videos, from the orientation of faces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aumer.face.interface import Detector, Landmarker, box_round
from aumer.face.looks import Landmarkers, agree, is_usable, stands
from aumer.face.people import JITTER_S
from aumer.types import FloatArray, ImageArray

#: Seconds between two tests of rotated pictures while no face is visible.
_TURN_S = 1.0
#: The same if faces appear in a picture that was taken for rotated.
_AGAIN_S = 0.1
#: A picture is taken for rotated if, turned back, it shows a face with this score that exceeds by
#: this much any score in the original. Only boxes with landmarks whose eyes are above the mouth
#: count: boxes alone score up to .78 in wrong orientation, faces from .7.
_CLEAR, _CLEARER = 0.65, 0.1
#: With a face of this score the picture needs no comparison. (Boxes of faces on their side score up
#: to .88, but have no upright landmarks.)
_PLAIN = 0.85


class Turned:
    """Determines the rotation of a video's pictures and corrects it.

    Args:
        detect: finds faces.
        landmarkers: find landmarks in them.
        min_eye_distance: of usable faces, px.

    Attributes:
        turns: counterclockwise quarter turns that make a picture upright.
        since: seconds since rotated pictures were tested.
    """

    def __init__(self, detect: Detector, landmarkers: Landmarkers, min_eye_distance: float) -> None:
        self._detect, self._landmarkers = detect, landmarkers
        self._min_eye_distance = min_eye_distance
        #: The last tested box of this frame, the landmarker, and the result.
        self._looked: tuple[FloatArray, Landmarker, FloatArray] | None = None
        self.turns, self.since = 0, np.inf

    def reset(self) -> None:
        """Reset for a new video."""
        self.forget()
        self.turns, self.since = 0, np.inf

    def upright(self, image: ImageArray) -> ImageArray:
        """The picture rotated upright."""
        return image if not self.turns else np.ascontiguousarray(np.rot90(image, self.turns))

    def is_due(self, boxes: FloatArray, unseen_s: float) -> bool:
        """Whether to test rotated pictures.

        This is due if no face has been visible for some time (`unseen_s`), and if one appears in a
        picture that was taken for rotated, which may have been wrong because of a photo that stood
        upside down.
        """
        if self.turns and len(boxes) and self.since >= _AGAIN_S - JITTER_S:
            return True
        return min(unseen_s, self.since) >= _TURN_S - JITTER_S

    def find(
        self,
        image: ImageArray,
        boxes: FloatArray,
        order: Callable[[FloatArray], Callable[[int], float]],
    ) -> tuple[FloatArray, ImageArray]:
        """Boxes and picture, rotated if a face is visible only in that orientation, or more
        clearly.

        Args:
            image: the original picture.
            boxes: faces in the picture in the assumed orientation.
            order: returns the boxes in order of priority.
        """
        self.since, upright = 0.0, self.upright(image)
        if self._is_plain(upright, boxes, order):
            return boxes, upright
        now = self.turns
        wanted = max(_CLEAR, self._clearest(upright, boxes) + _CLEARER)
        for turns in (t for t in range(4) if t != now):
            other = np.ascontiguousarray(np.rot90(image, turns))
            found = self._detect(other)
            score = self._clearest(other, found)
            if score >= wanted:
                self.turns, boxes, upright, wanted = turns, found, other, score
        return boxes, upright

    def seen_in(self, box: FloatArray) -> tuple[Landmarker, FloatArray] | None:
        """The stored landmarks and landmarker of this box, if it was tested; they are handed
        over.
        """
        if self._looked is None or not np.array_equal(self._looked[0][:4], box[:4]):
            return None
        _, landmarker, landmarks = self._looked
        self._looked = None
        return landmarker, landmarks

    def forget(self) -> None:
        """Discard stored landmarks that were not used."""
        if self._looked is not None:
            self._landmarkers.give_back(self._looked[1])
            self._looked = None

    def _is_plain(
        self,
        image: ImageArray,
        boxes: FloatArray,
        order: Callable[[FloatArray], Callable[[int], float]],
    ) -> bool:
        """Whether a box of high score contains an upright face.

        The landmarks are stored, since this mostly is the face to follow.
        """
        plain = np.flatnonzero(boxes[:, 4] >= _PLAIN).tolist()
        if not plain:
            return False
        box = boxes[min(plain, key=order(boxes))]
        landmarker = self._landmarkers.take()
        landmarks = landmarker(image, box[:4])
        if landmarks is None or not (self._usable(landmarks, image) and stands(landmarks)):
            self._landmarkers.give_back(landmarker)
            return False
        self._looked = box, landmarker, landmarks
        return True

    def _clearest(self, image: ImageArray, boxes: FloatArray) -> float:
        """The best score of a box with upright landmarks; else 0.

        Landmarks invented for a face on its side look plausible, but a second estimate at their
        position does not confirm them.
        """
        landmarker = self._landmarkers.take()
        best = 0.0
        for box in boxes[np.argsort(-boxes[:, 4], kind="stable")]:
            landmarker.reset()
            landmarks = landmarker(image, box[:4])
            if landmarks is None or not self._usable(landmarks, image):
                continue
            landmarker.reset()
            if stands(landmarks) and agree(landmarks, landmarker(image, box_round(landmarks))):
                best = float(box[4])
                break
        self._landmarkers.give_back(landmarker)
        return best

    def _usable(self, landmarks: FloatArray, image: ImageArray) -> bool:
        return is_usable(landmarks, image.shape, self._min_eye_distance)


def turned_back(points: FloatArray, turns: int, shape: tuple[int, ...]) -> FloatArray:
    """Points of an image rotated by `turns` quarter turns, in coordinates of the original image."""
    height, width = shape[:2]
    x, y = points[:, 0], points[:, 1]
    if turns == 1:
        return np.stack([width - 1 - y, x], axis=1)
    if turns == 2:
        return np.stack([width - 1 - x, height - 1 - y], axis=1)
    if turns == 3:
        return np.stack([y, height - 1 - x], axis=1)
    return points
