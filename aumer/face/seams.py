"""The two seams of the face stage. One conformance suite (tests/face) runs every back end.

A registered back end is a factory: called without arguments (or with `weights=` where it has any)
it returns an object that keeps one of these contracts.
"""

from __future__ import annotations

from typing import Protocol

from aumer.types import FloatArray, ImageArray


class Detector(Protocol):
    """Finds faces in one image. Holds no state: equal images give equal boxes."""

    def __call__(self, image: ImageArray) -> FloatArray:
        """(H, W, 3) uint8 RGB -> (N, 5) float32: x0, y0, x1, y1 in px and a score in [0, 1].

        Boxes are finite with x1 > x0 and y1 > y0, and may reach over the image's edge. No face
        gives (0, 5).
        """
        ...


class Landmarker(Protocol):
    """Finds the 68 landmarks of the face in a box. May use earlier frames until `reset`."""

    def __call__(self, image: ImageArray, box: FloatArray) -> FloatArray | None:
        """(H, W, 3) uint8 RGB and a (4,) box x0, y0, x1, y1 -> (68, 2) float32 px, iBUG-68 order.

        `None` where the box holds no face. All values are finite.
        """
        ...

    def reset(self) -> None:
        """Forget every earlier frame: what follows is as from a new object."""
        ...
