"""Tracking of points from one picture to others: inverse-compositional Lucas-Kanade.

Each point has a window in its reference picture. In another picture the window is matched by
Gauss-Newton steps on the sum of squared differences (Lucas and Kanade, IJCAI 1981), in the
inverse-compositional form of Baker and Matthews, "Lucas-Kanade 20 Years On", IJCV 2004: gradients
and normal equations belong to the first picture and are computed once for any number of pictures.

Gain and offset of brightness in the window have no effect: both are projected out of the gradients
("project out", ibidem, part 3). There is no smoothness term, so motion is not shrunk.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from aumer.compiled import compiled, inlined
from aumer.types import FloatArray

Points = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: Most steps on each level; it stops after a step shorter than this (px).
_STEPS, _SHORT = 20, 0.01
#: Least eigenvalue of the normal equations, per pixel and squared gray level; below it the window
#: lacks texture.
_LEAST_TEXTURE = 0.03
# float32, so that no expression below turns into double precision.
_ONE = np.float32(1)
#: SIMD width.
_LANES = 8
#: A window is lost if its center is this far outside, px.
_BEYOND = 8
#: Longest step as a share of half the window.
_LONGEST = 0.5


class Pyramid:
    """An image pyramid with padding, for windows that extend beyond the edge.

    Args:
        image: (H, W), uint8 or float32.
        levels: how many times it is halved.
        rim: px that are repeated beyond each edge, on every level: half the side of the windows
            that are to be found up to the edge, at least.
    """

    def __init__(self, image: npt.NDArray[Any], levels: int, rim: int) -> None:
        self.rim = rim + _BEYOND
        self.images: list[FloatArray] = []
        level: Any = np.asarray(image, np.float32)
        for _ in range(levels + 1):
            border = (self.rim, self.rim, self.rim, self.rim + _LANES)
            wide = cv2.copyMakeBorder(level, *border, cv2.BORDER_REFLECT_101)
            self.images.append(np.asarray(wide, np.float32))
            level = cv2.pyrDown(level)


class Windows:
    """Windows around points, each from its reference picture.

    Args:
        count: of the points.
        side: of the window, px, odd; the same on every level.
        levels: of the pyramids, beside the picture itself.
        sigma: px, on every level; Gaussian weights of a window's pixels. `None` means equal
            weights.

    Attributes:
        points: (N, 2) float64 px, positions of the points in their reference pictures; x to the
            right and y down, integers at pixel centers.
    """

    def __init__(self, count: int, side: int, levels: int, sigma: float | None = None) -> None:
        self.points = np.zeros((count, 2))
        off = np.arange(side) - side // 2
        bell = np.ones(side) if sigma is None else np.exp(-(off**2) / (2 * sigma**2))
        self._weights = np.outer(bell, bell).astype(np.float32)
        width = -(-side // _LANES) * _LANES  # rows padded to whole vectors with 0
        self._levels = [
            (
                np.zeros((count, side, side), np.float32),
                np.zeros((count, 2, side, width), np.float32),
                np.zeros((count, 3), np.float32),
            )
            for _ in range(levels + 1)
        ]

    def take(self, picture: Pyramid, points: Points, which: Index) -> None:
        """Cut the windows `which` (M,) around `points` (M, 2) px of this picture."""
        self.points[which] = points
        for level, kept in enumerate(self._levels):
            at = self.points / 2**level + picture.rim
            _take(*kept, self._weights, which, picture.images[level], at)

    def copy(self, other: Windows, which: Index) -> None:
        """Copy the windows `which` from `other`, which has the same sizes."""
        self.points[which] = other.points[which]
        for mine, theirs in zip(self._levels, other._levels, strict=True):
            for a, b in zip(mine, theirs, strict=True):
                a[which] = b[which]

    def contrast(self, which: Index) -> FloatArray:
        """(M,) the standard deviation of each window, in gray levels."""
        return np.asarray(self._levels[0][0][which].std(axis=(1, 2)), np.float32)

    def find(
        self, picture: Pyramid, guess: Points, which: Index, *, first: int = -1, last: int = 0
    ) -> tuple[Points, FloatArray]:
        """Find windows in another picture of the same size.

        Args:
            guess: (M, 2) px, initial positions.
            which: (M,) which windows.
            first, last: levels of the pyramid, from the coarsest to the finest; by default all.

        Returns:
            (M, 2) float64 px, and (M,) the mean absolute difference of each window, in gray levels:
            infinite if the window has no texture or its center left the picture; the position is
            then that in the reference picture.
        """
        moved, misfit = guess.astype(np.float64), np.empty(len(which), np.float32)
        for level in reversed(range(last, first % len(self._levels) + 1)):
            image, scale = picture.images[level], 2.0**level
            _find(*self._levels[level], which, image, moved, misfit, scale, picture.rim)
        lost = ~np.isfinite(misfit)
        if lost.any():
            moved[lost] = self.points[which[lost]]
        return moved, misfit


@inlined
def _inside(image: FloatArray, x: float, y: float, half: int) -> tuple[float, float]:
    """The nearest center for which the window lies in the padded picture."""
    height, width = image.shape
    low = half + 1.0
    # Rows are read as whole vectors, beyond the window's edge.
    return min(max(x, low), width - low - 2.0 - _LANES), min(max(y, low), height - low - 2.0)


@inlined
def _apart(window: FloatArray, image: FloatArray, x: float, y: float) -> float:
    """Mean absolute difference of a window and the picture around x, y."""
    side = window.shape[0]
    half = side // 2
    x, y = _inside(image, x, y, half)
    left, top = int(np.floor(x)), int(np.floor(y))
    fx, fy = np.float32(x - left), np.float32(y - top)
    a, b = (_ONE - fx) * (_ONE - fy), fx * (_ONE - fy)
    c, d = (_ONE - fx) * fy, fx * fy
    apart = np.float32(0)
    first = left - half
    for i in range(side):
        upper = image[top - half + i, first : first + side + 1]
        lower = image[top - half + i + 1, first : first + side + 1]
        for j in range(side):
            seen = a * upper[j] + b * upper[j + 1] + c * lower[j] + d * lower[j + 1]
            apart += abs(seen - window[i, j])
    return float(apart / (side * side))


@compiled
def _take(
    windows: FloatArray,
    steepest: FloatArray,
    normal: FloatArray,
    weights: FloatArray,
    which: Index,
    image: FloatArray,
    points: Points,
) -> None:
    """Cut the windows, with gradients (changes of light projected out) and normal equations."""
    half = windows.shape[1] // 2
    side = 2 * half + 1
    wide = np.empty((side + 2, side + 2), np.float32)
    for n in which:
        x, y = _inside(image, points[n, 0], points[n, 1], half + 1)
        left, top = int(np.floor(x)), int(np.floor(y))
        fx, fy = np.float32(x - left), np.float32(y - top)
        a, b = (_ONE - fx) * (_ONE - fy), fx * (_ONE - fy)
        c, d = (_ONE - fx) * fy, fx * fy
        first = left - half - 1
        for i in range(side + 2):
            upper = image[top - half - 1 + i, first : first + side + 3]
            lower = image[top - half + i, first : first + side + 3]
            for j in range(side + 2):
                wide[i, j] = a * upper[j] + b * upper[j + 1] + c * lower[j] + d * lower[j + 1]
        window, across, down = windows[n], steepest[n, 0], steepest[n, 1]
        count, total, square = np.float32(0), np.float32(0), np.float32(0)
        sum_x, sum_y = np.float32(0), np.float32(0)
        with_x, with_y = np.float32(0), np.float32(0)
        for i in range(side):
            for j in range(side):
                # Scharr's derivative.
                gx = np.float32(3 / 32) * (
                    wide[i, j + 2] - wide[i, j] + wide[i + 2, j + 2] - wide[i + 2, j]
                ) + np.float32(10 / 32) * (wide[i + 1, j + 2] - wide[i + 1, j])
                gy = np.float32(3 / 32) * (
                    wide[i + 2, j] - wide[i, j] + wide[i + 2, j + 2] - wide[i, j + 2]
                ) + np.float32(10 / 32) * (wide[i + 2, j + 1] - wide[i, j + 1])
                value, weight = wide[i + 1, j + 1], weights[i, j]
                window[i, j], across[i, j], down[i, j] = value, gx, gy
                count += weight
                total += weight * value
                sum_x += weight * gx
                sum_y += weight * gy
        mean, mean_x, mean_y = total / count, sum_x / count, sum_y / count
        for i in range(side):
            for j in range(side):
                value, weight = window[i, j] - mean, weights[i, j]
                square += weight * value * value
                with_x += weight * value * across[i, j]
                with_y += weight * value * down[i, j]
        gain_x = with_x / max(square, np.float32(1e-6))
        gain_y = with_y / max(square, np.float32(1e-6))
        xx, xy, yy = np.float32(0), np.float32(0), np.float32(0)
        for i in range(side):
            for j in range(side):
                value, weight = window[i, j] - mean, weights[i, j]
                gx = across[i, j] - mean_x - gain_x * value
                gy = down[i, j] - mean_y - gain_y * value
                across[i, j], down[i, j] = weight * gx, weight * gy
                xx += weight * gx * gx
                xy += weight * gx * gy
                yy += weight * gy * gy
        normal[n, 0], normal[n, 1], normal[n, 2] = xx, xy, yy


@compiled
def _find(
    windows: FloatArray,
    steepest: FloatArray,
    normal: FloatArray,
    which: Index,
    image: FloatArray,
    moved: Points,
    misfit: FloatArray,
    scale: float,
    rim: int,
) -> None:
    """One level: moves `moved` and sets `misfit`."""
    side, width = steepest.shape[2:]
    half = side // 2
    rows, columns = image.shape
    for m in range(len(which)):
        n = which[m]
        window, across, down = windows[n], steepest[n, 0], steepest[n, 1]
        xx, xy, yy = normal[n, 0], normal[n, 1], normal[n, 2]
        least = (xx + yy - np.sqrt((xx - yy) ** 2 + 4 * xy * xy)) / 2
        x, y = moved[m, 0] / scale + rim, moved[m, 1] / scale + rim
        if not least > _LEAST_TEXTURE * side * side:
            misfit[m] = np.inf
            continue
        determinant = xx * yy - xy * xy
        for _ in range(_STEPS):
            x, y = _inside(image, x, y, half)
            left, top = int(np.floor(x)), int(np.floor(y))
            fx, fy = np.float32(x - left), np.float32(y - top)
            a, b = (_ONE - fx) * (_ONE - fy), fx * (_ONE - fy)
            c, d = (_ONE - fx) * fy, fx * fy
            to_x, to_y = np.float32(0), np.float32(0)
            first = left - half
            for i in range(side):
                upper = image[top - half + i, first : first + width + 1]
                lower = image[top - half + i + 1, first : first + width + 1]
                for j in range(width):
                    # The window itself is orthogonal to these gradients.
                    seen = a * upper[j] + b * upper[j + 1] + c * lower[j] + d * lower[j + 1]
                    to_x += seen * across[i, j]
                    to_y += seen * down[i, j]
            right = -(yy * to_x - xy * to_y) / determinant
            below = -(xx * to_y - xy * to_x) / determinant
            length = np.sqrt(right * right + below * below)
            if length > _LONGEST * half:
                right *= _LONGEST * half / length
                below *= _LONGEST * half / length
            x += right
            y += below
            if length < _SHORT:
                break
        misfit[m] = _apart(window, image, x, y)
        x0, y0 = x - rim, y - rim
        wide, high = columns - 2 * rim - _LANES, rows - 2 * rim
        # A pixel extends half a pixel beyond its center.
        if not (-0.5 <= x0 <= wide - 0.5 and -0.5 <= y0 <= high - 0.5):
            misfit[m] = np.inf
        moved[m, 0], moved[m, 1] = x0 * scale, y0 * scale
