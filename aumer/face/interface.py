"""The two interfaces of the face stage.

One conformance suite (tests/face) tests every back end. A registered back end is a factory: called
without arguments (or with `weights=` if it has any) it returns an object of a subclass of these
classes; others are refused. Only abstract methods must be implemented.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.types import FloatArray, ImageArray

#: Arrays by name, for a file.
Memory = dict[str, npt.NDArray[Any]]


def box_round(landmarks: FloatArray) -> FloatArray:
    """The box (4,) x0, y0, x1, y1 of landmarks (N, 2)."""
    return np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)])


class Detector(ABC):
    """Detects faces in one image. Stateless: equal images give equal boxes.

    Example:
        >>> class Middle(Detector):
        ...     def __call__(self, image):
        ...         height, width = image.shape[:2]
        ...         box = (width / 4, height / 4, width * 3 / 4, height * 3 / 4, 0.9)
        ...         return np.array([box], np.float32)
        >>> Middle()(np.zeros((120, 160, 3), np.uint8))[0, :4].tolist()
        [40.0, 30.0, 120.0, 90.0]
    """

    @abstractmethod
    def __call__(self, image: ImageArray) -> FloatArray:
        """(H, W, 3) uint8 RGB -> (N, 5) float32: x0, y0, x1, y1 in px and a score in [0, 1].

        Boxes are finite with x1 > x0 and y1 > y0, and may extend beyond the image. Without a face
        it is (0, 5).
        """

    def close(self) -> None:
        """Give back what the operating system lent (threads, memory); no call comes after it."""
        return


class Landmarker(ABC):
    """Locates the 68 landmarks of the face in a box. May use earlier frames until `reset`.

    Example:
        >>> from aumer.face.mean_face import MEAN_FACE
        >>> class Mean(Landmarker):
        ...     def __call__(self, image, box):
        ...         middle, width = (box[:2] + box[2:]) / 2, box[2] - box[0]
        ...         return (MEAN_FACE[:, :2] * width / 2 + middle).astype(np.float32)
        >>> box = np.array([40, 30, 120, 90], np.float32)
        >>> Mean()(np.zeros((120, 160, 3), np.uint8), box).shape
        (68, 2)
    """

    @abstractmethod
    def __call__(self, image: ImageArray, box: FloatArray) -> FloatArray | None:
        """(H, W, 3) uint8 RGB and a (4,) box x0, y0, x1, y1 -> (68, 2) float32 px, iBUG-68 order.

        `None` if the box contains no face, or, for a landmarker with memory, another face than
        before. All values are finite.
        """

    def near(self, image: ImageArray, landmarks: FloatArray) -> FloatArray | None:
        """The same for a face whose approximate landmarks (68, 2) are known from the frame
        before.
        """
        return self(image, box_round(landmarks))

    def reset(self) -> None:
        """Forget all earlier frames; the next call behaves like that of a new object."""
        return

    def memory(self) -> Memory:
        """The state besides the landmarks, for continuing with the next chunk of a video."""
        return {}

    def resume(
        self, image: ImageArray, landmarks: FloatArray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Reset, then continue from `image`, which shows the face with these landmarks (68, 2).

        Args:
            memory: the value of `memory` at that frame, possibly read from a file.
        """
        self.reset()

    def close(self) -> None:
        """Give back what the operating system lent (threads, memory); no call comes after it."""
        return
