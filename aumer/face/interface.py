"""The two interfaces of the face stage. One conformance suite (tests/face) runs every back end.

A registered back end is a factory: called without arguments (or with `weights=` where it has any)
it returns an object that keeps one of these contracts, derived from its class here; any other is
refused. Only what is abstract must be written.
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
    """Finds faces in one image. Holds no state: equal images give equal boxes.

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

        Boxes are finite with x1 > x0 and y1 > y0, and may reach over the image's edge. No face
        gives (0, 5).
        """

    def close(self) -> None:
        """Give back what the operating system lent (threads, memory); no call comes after it."""
        return


class Landmarker(ABC):
    """Finds the 68 landmarks of the face in a box. May use earlier frames until `reset`.

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

        `None` where the box holds no face; of a landmarker with a memory, also where it holds
        another than the face before. All values are finite.
        """

    def near(self, image: ImageArray, landmarks: FloatArray) -> FloatArray | None:
        """The same of a face whose landmarks (68, 2) are roughly known, from the frame before."""
        return self(image, box_round(landmarks))

    def reset(self) -> None:
        """Forget every earlier frame: what follows is as from a new object."""
        return

    def memory(self) -> Memory:
        """What of the earlier frames goes into the next piece of a video, beside the landmarks."""
        return {}

    def resume(
        self, image: ImageArray, landmarks: FloatArray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Forget, then know that `image` shows the face with these landmarks (68, 2).

        Args:
            memory: what `memory` gave on that frame, read back from a file perhaps.
        """
        self.reset()

    def close(self) -> None:
        """Give back what the operating system lent (threads, memory); no call comes after it."""
        return
