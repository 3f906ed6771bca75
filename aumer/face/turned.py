"""Pictures that lie on their side or stand on their head: which way up faces show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aumer.face.interface import Detector, Landmarker, box_round
from aumer.face.looks import Landmarkers, agree, is_usable, stands
from aumer.face.people import JITTER_S
from aumer.types import FloatArray, ImageArray

#: Seconds from one try of the picture turned to the next, while no face is seen.
_TURN_S = 1.0
#: The same where faces come into a picture that was taken to be turned.
_AGAIN_S = 0.1
#: A picture is taken to be turned where it shows, turned back, a face of this score that is
#: clearer by this much than any it shows as it is. Scores are those of boxes that hold landmarks,
#: eyes above the mouth: boxes alone score up to .78 on pictures turned the wrong way, faces .7 up.
_CLEAR, _CLEARER = 0.65, 0.1
#: A face of this score in the picture as it is needs no comparison. (Boxes of faces that lie on
#: their side score up to .88, but hold no landmarks that stand.)
_PLAIN = 0.85


class Turned:
    """Finds out which way up a video's pictures are, and turns them.

    Args:
        detect: finds faces.
        landmarkers: find landmarks in them.
        min_eye_distance: of faces that can be used, px.

    Attributes:
        turns: quarter turns, counterclockwise, that put a picture upright.
        since: seconds since the turned pictures were looked at.
    """

    def __init__(self, detect: Detector, landmarkers: Landmarkers, min_eye_distance: float) -> None:
        self._detect, self._landmarkers = detect, landmarkers
        self._min_eye_distance = min_eye_distance
        #: A box of this frame that was looked at, by what, and what that found.
        self._looked: tuple[FloatArray, Landmarker, FloatArray] | None = None
        self.turns, self.since = 0, np.inf

    def reset(self) -> None:
        """The next picture is the first of a video."""
        self.forget()
        self.turns, self.since = 0, np.inf

    def upright(self, image: ImageArray) -> ImageArray:
        """The picture as it is taken to be meant."""
        return image if not self.turns else np.ascontiguousarray(np.rot90(image, self.turns))

    def is_due(self, boxes: FloatArray, unseen_s: float) -> bool:
        """Whether it is time to compare the picture with itself turned, where no face is seen.

        That is where none has been seen for a while (`unseen_s`), and where one comes into a
        picture that was taken to be turned: it may have been so for a photo alone that stood on its
        head.
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
        """The boxes and the picture, turned if it shows a face that way alone, or more clearly.

        Args:
            image: as it came.
            boxes: of faces in it as it was taken to be meant.
            order: of boxes, which of them comes first.
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
        """What was seen in this box when it was looked at, and by what, if it was: taken over."""
        if self._looked is None or not np.array_equal(self._looked[0][:4], box[:4]):
            return None
        _, landmarker, landmarks = self._looked
        self._looked = None
        return landmarker, landmarks

    def forget(self) -> None:
        """Let go of what was seen in a box, and nobody was read from."""
        if self._looked is not None:
            self._landmarkers.give_back(self._looked[1])
            self._looked = None

    def _is_plain(
        self,
        image: ImageArray,
        boxes: FloatArray,
        order: Callable[[FloatArray], Callable[[int], float]],
    ) -> bool:
        """Whether a box of a high score holds a face that is the right way up.

        What was seen there is kept: it mostly is the face to follow.
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
        """The score of the clearest box that holds landmarks, eyes above the mouth; else 0.

        Those that a network makes up for a face that lies on its side look like any others, but
        another look, at where they are, does not find them again.
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
    """Points of an image that was turned by so many quarters, in the image as it was."""
    height, width = shape[:2]
    x, y = points[:, 0], points[:, 1]
    if turns == 1:
        return np.stack([width - 1 - y, x], axis=1)
    if turns == 2:
        return np.stack([width - 1 - x, height - 1 - y], axis=1)
    if turns == 3:
        return np.stack([y, height - 1 - x], axis=1)
    return points
