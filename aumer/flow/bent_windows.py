"""Windows that stretch and bend: the mean motion of a region, estimated from a larger window.

A window that is only translated (`aumer.flow.lucas_kanade`) gives the motion of its texture. A
small window has little texture; a large one follows its strongest edges, which may move differently
from its center, for example the surroundings of a brow that moves along itself. Here the motion of
a large window is a quadratic polynomial in position: translation, stretch and bend are estimated
together, from all texture, and undetermined coefficients are as smooth as possible. The result is
the mean of the polynomial over the center of the window.

Gauss-Newton in the inverse-compositional manner, on the full-resolution picture, starting from the
translation of the window. Gain and offset of brightness are projected out, as there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from aumer.compiled import compiled
from aumer.flow.lucas_kanade import _LANES, Index, Points, Pyramid, Windows, _inside
from aumer.types import FloatArray

#: Terms of the polynomial: 1, u, v, uu, uv, vv, with u to the right and v down, 1 at the edges.
TERMS = 6
#: Gauss-Newton steps after the translation.
STEPS = 2
#: Noise of a compressed video in gray levels. Relative to `give` it weights texture against
#: smoothness.
NOISE = 4.0
#: A small ridge for undetermined translations.
_UNTOLD = 1e-3
_ZERO = np.float32(0)


class BentWindows:
    """Windows around points of one picture, matched in others with bending.

    Args:
        picture: the source of the windows.
        points: (N, 2) float64 px, their middles; x to the right and y down.
        side: px, odd.
        give: typical motion of a window's edges by stretching and bending, px.
        region: side of the central square over which motion is averaged and the misfit is computed,
            px.
    """

    def __init__(
        self, picture: Pyramid, points: Points, side: int, give: float, region: float
    ) -> None:
        count = len(points)
        self._every = np.arange(count)
        self._whole = Windows(count, side, len(picture.images) - 1)
        self._whole.take(picture, points, self._every)
        self._gray = np.empty((count, side * side), np.float32)
        self._steepest = np.empty((count, 2 * TERMS, side * side), np.float32)
        self._terms = terms_of(side)
        normal = np.empty((count, 2 * TERMS, 2 * TERMS))
        at = points + picture.rim
        _take(self._gray, self._steepest, normal, self._terms, picture.images[0], at)
        self._held = held(give)
        self._inverse: Any = np.linalg.inv(normal + np.diag(self._held))
        self._mean, self._judged = mean_terms(side, region), judged(side, region)

    def contrast(self) -> FloatArray:
        """(N,) the standard deviation of each region, in gray levels."""
        return np.asarray(self._gray[:, self._judged].std(axis=1), np.float32)

    def find(self, picture: Pyramid, guess: Points) -> tuple[Points, Points, FloatArray]:
        """Find the windows in another picture of the same size.

        Args:
            guess: (N, 2) px, initial positions.

        Returns:
            (N, 2) float64 px, mean positions of the central regions; (N, 2) float64 px, positions
            of the translated windows; and (N,) float32 the mean absolute difference of each bent
            region in gray levels: infinite for lost windows (see `Windows.find`), whose positions
            are then unchanged.
        """
        whole, misfit = self._whole.find(picture, guess, self._every)
        bent = np.zeros((len(whole), 2 * TERMS))
        image, at = picture.images[0], whole + picture.rim
        seen = np.flatnonzero(np.isfinite(misfit))
        own, solved = (self._gray, self._steepest, self._judged), (self._inverse, self._held)
        _bend(*own, *solved, self._terms, image, at, seen, bent, misfit)
        return whole + np.einsum("k,nkc->nc", self._mean, bent.reshape(-1, TERMS, 2)), whole, misfit


def held(give: float) -> Points:
    """(2 * TERMS,) ridge penalty of each coefficient (px; x and y alternating)."""
    free = np.full(TERMS, (NOISE / give) ** 2)
    free[0] = _UNTOLD
    return np.repeat(free, 2)


def judged(side: int, region: float) -> Index:
    """Mask of a window's pixels, row by row, in the central square of `region` px."""
    off = abs(np.arange(side) - side // 2) <= region / 2
    return np.flatnonzero(np.outer(off, off))


def mean_terms(side: int, region: float) -> Points:
    """(TERMS,) means of the terms over the central square of `region` px."""
    square = (region / 2 / (side // 2)) ** 2 / 3
    return np.array([1, 0, 0, square, 0, square])


@lru_cache(maxsize=16)
def terms_of(side: int) -> FloatArray:
    """(TERMS, side * side) the polynomial's terms at the pixels of a window, row by row."""
    v, u = (np.mgrid[0:side, 0:side] - side // 2).reshape(2, -1) / (side // 2)
    terms: FloatArray = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v]).astype(np.float32)
    return terms


@compiled
def _take(
    gray: FloatArray,
    steepest: FloatArray,
    normal: Points,
    terms: FloatArray,
    image: FloatArray,
    points: Points,
) -> None:
    """Cut the windows and compute their derivatives by the coefficients, without changes of light,
    and normal equations.
    """
    count, size, pixels = steepest.shape
    side = int(np.sqrt(pixels) + 0.5)
    half = side // 2
    wide = np.empty((side + 2, side + 2), np.float32)
    right, down = np.empty(pixels, np.float32), np.empty(pixels, np.float32)
    value = np.empty(pixels, np.float32)
    for n in range(count):
        x, y = _inside(image, points[n, 0], points[n, 1], half + 1)
        left, top = int(np.floor(x)), int(np.floor(y))
        fx, fy = np.float32(x - left), np.float32(y - top)
        first = left - half - 1
        for i in range(side + 2):
            upper = image[top - half - 1 + i, first : first + side + 3]
            lower = image[top - half + i, first : first + side + 3]
            for j in range(side + 2):
                above = upper[j] + fx * (upper[j + 1] - upper[j])
                below = lower[j] + fx * (lower[j + 1] - lower[j])
                wide[i, j] = above + fy * (below - above)
        total = np.float32(0)
        for i in range(side):
            for j in range(side):
                # Scharr's derivative.
                right[i * side + j] = np.float32(3 / 32) * (
                    wide[i, j + 2] - wide[i, j] + wide[i + 2, j + 2] - wide[i + 2, j]
                ) + np.float32(10 / 32) * (wide[i + 1, j + 2] - wide[i + 1, j])
                down[i * side + j] = np.float32(3 / 32) * (
                    wide[i + 2, j] - wide[i, j] + wide[i + 2, j + 2] - wide[i, j + 2]
                ) + np.float32(10 / 32) * (wide[i + 2, j + 1] - wide[i, j + 1])
                gray[n, i * side + j] = wide[i + 1, j + 1]
                total += wide[i + 1, j + 1]
        mean, square = total / np.float32(pixels), np.float32(0)
        for at in range(pixels):
            value[at] = gray[n, at] - mean
            square += value[at] * value[at]
        square = max(square, np.float32(1e-6))
        for a in range(size):
            found, term = steepest[n, a], terms[a // 2]
            gradient = down if a % 2 else right
            total, along = np.float32(0), np.float32(0)
            for at in range(pixels):
                found[at] = gradient[at] * term[at]
                total += found[at]
                along += found[at] * value[at]
            mean, gain = total / np.float32(pixels), along / square
            for at in range(pixels):
                found[at] -= mean + gain * value[at]
            for b in range(a + 1):
                product, other = np.float32(0), steepest[n, b]
                for at in range(pixels):
                    product += found[at] * other[at]
                normal[n, a, b] = product
                normal[n, b, a] = product


@compiled
def _bend(
    gray: FloatArray,
    steepest: FloatArray,
    judged: Index,
    inverse: Points,
    held: Points,
    terms: FloatArray,
    image: FloatArray,
    points: Points,
    which: Index,
    bent: Points,
    misfit: FloatArray,
) -> None:
    """Sets the coefficients `bent` (N, 2 * TERMS) px and the misfit of the windows `which`."""
    size, pixels = steepest.shape[1:]
    side = int(np.sqrt(pixels) + 0.5)
    half = side // 2
    # Padding on the right allows reading whole vectors.
    last_x, last_y = np.float32(image.shape[1] - _LANES - 2), np.float32(image.shape[0] - 2)
    apart, slope = np.empty(pixels, np.float32), np.empty(size)
    xs, ys = np.empty(side, np.float32), np.empty(side, np.float32)
    for n in which:
        c = bent[n]
        for _ in range(STEPS):
            for i in range(side):
                v = (i - half) / half
                x0 = np.float32(points[n, 0] - half + c[0] + (c[4] + c[10] * v) * v)
                y0 = np.float32(points[n, 1] - half + i + c[1] + (c[5] + c[11] * v) * v)
                x1, x2 = np.float32(c[2] + c[8] * v), np.float32(c[6])
                y1, y2 = np.float32(c[3] + c[9] * v), np.float32(c[7])
                across = terms[1]
                for j in range(side):
                    u = across[j]
                    xs[j] = min(max(x0 + np.float32(j) + (x1 + x2 * u) * u, _ZERO), last_x)
                    ys[j] = min(max(y0 + (y1 + y2 * u) * u, _ZERO), last_y)
                for j in range(side):
                    left, top = np.uint32(xs[j]), np.uint32(ys[j])
                    fx, fy = xs[j] - np.float32(left), ys[j] - np.float32(top)
                    upper, lower = image[top], image[top + np.uint32(1)]
                    next_ = left + np.uint32(1)
                    a = upper[left] + fx * (upper[next_] - upper[left])
                    b = lower[left] + fx * (lower[next_] - lower[left])
                    apart[i * side + j] = a + fy * (b - a)
            total, own = np.float32(0), gray[n]
            for at in range(pixels):
                apart[at] -= own[at]
            for at in judged:
                total += abs(apart[at])
            misfit[n] = total / np.float32(len(judged))
            for k in range(size):
                along, row = np.float32(0), steepest[n, k]
                for at in range(pixels):
                    along += apart[at] * row[at]
                slope[k] = along + held[k] * c[k]
            for k in range(size):
                for m in range(size):
                    c[k] -= inverse[n, k, m] * slope[m]
