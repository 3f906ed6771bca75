"""Cropping of faces by a similarity transform, for networks, landmarks and motion."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from aumer.types import ImageArray

Matrix = npt.NDArray[np.float64]


def similarity(source: Matrix, target: Matrix, weight: Matrix | None = None) -> Matrix:
    """(2, 3) rotation, scale and shift that maps `source` onto `target` in least squares.

    Shapes: source and target (N, 2); weight (N,), default all 1.
    """
    w = np.ones(len(source)) if weight is None else weight
    middle_s, middle_t = w @ source / w.sum(), w @ target / w.sum()
    s, t = source - middle_s, target - middle_t
    norm = (w[:, None] * s**2).sum()
    a = (w[:, None] * s * t).sum() / norm
    b = (w * (s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0])).sum() / norm
    linear = np.array([(a, -b), (b, a)])
    return np.column_stack([linear, middle_t - linear @ middle_s])


def applied(transform: Matrix, points: npt.NDArray[np.floating[Any]]) -> Matrix:
    """Points (N, 2) transformed by a (2, 3) matrix."""
    moved: Matrix = points @ transform[:, :2].T + transform[:, 2]
    return moved


def inverse(transform: Matrix) -> Matrix:
    """The inverse (2, 3) transform."""
    # In closed form, since LAPACK takes a tenth of a millisecond on some machines.
    (a, b), (c, d) = transform[:, :2]
    linear = np.array([(d, -b), (-c, a)]) / (a * d - b * c)
    return np.column_stack([linear, -linear @ transform[:, 2]])


def chained(second: Matrix, first: Matrix) -> Matrix:
    """The (2, 3) transform that does `first`, then `second`."""
    linear = second[:, :2] @ first[:, :2]
    return np.column_stack([linear, applied(second, first[None, :, 2])[0]])


class Cutting:
    """The part of an image for cropping squares, downsampled once without aliasing.

    Args:
        image: (H, W, 3) uint8 RGB.
        transform: (2, 3), image to square.
        side: of the square, px.
        room: margin on every side as a share of the square, for slightly displaced squares.
        gray: convert to gray.
    """

    def __init__(
        self,
        image: ImageArray,
        transform: Matrix,
        side: int,
        *,
        room: float = 0.0,
        gray: bool = True,
    ) -> None:
        linear = transform[:, :2]
        low, high = -room * side, (1 + room) * side
        corners = np.array([(low, low), (high, low), (low, high), (high, high)], np.float64)
        there = applied(inverse(transform), corners)
        first = np.floor(there.min(axis=0)).astype(int) - 2
        last = np.ceil(there.max(axis=0)).astype(int) + 3
        height, width = image.shape[:2]
        x0, y0 = np.clip(first, 0, (width - 1, height - 1))
        x1, y1 = np.clip(last, (x0 + 1, y0 + 1), (width, height))
        patch: npt.NDArray[Any] = np.ascontiguousarray(image[y0:y1, x0:x1])
        if gray:
            patch = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)
        scale = float(np.hypot(*linear[:, 0]))
        self._pixel = 1  # pixel size of the patch, in px of the image
        if gray and scale < 1:
            # Anti-aliasing by a Gaussian as wide as a pixel of the crop.
            patch = cv2.GaussianBlur(patch, (0, 0), max(0.1, 0.5 * np.sqrt(scale**-2 - 1)))
        while not gray and scale * self._pixel < 0.5 and min(patch.shape[:2]) > 1:
            # For networks area averaging is sufficient and five times faster.
            high, wide = patch.shape[0] // 2, patch.shape[1] // 2
            even = patch[: 2 * high, : 2 * wide]
            patch = cv2.resize(even, (wide, high), interpolation=cv2.INTER_AREA)
            self._pixel *= 2
        self._patch, self._corner = patch, np.array([x0, y0], np.float64)

    def cut(self, transform: Matrix, side: int, *, black_outside: bool = False) -> ImageArray:
        """The square of `side` px that `transform` maps the image onto: (side, side[, 3]) uint8.

        Outside the image the border is replicated, or black.
        """
        linear, shift = transform[:, :2], transform[:, 2]
        # Pixel coordinates refer to pixel centers.
        first = self._corner + (self._pixel - 1) / 2
        warped = cv2.warpAffine(
            self._patch,
            np.column_stack([linear * self._pixel, shift + linear @ first]),
            (side, side),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT if black_outside else cv2.BORDER_REPLICATE,
        )
        return np.asarray(warped, np.uint8)


def cut_out(
    image: ImageArray, transform: Matrix, side: int, *, gray: bool, black_outside: bool = False
) -> ImageArray:
    """Crop one square from an image; see `Cutting`."""
    return Cutting(image, transform, side, gray=gray).cut(
        transform, side, black_outside=black_outside
    )
