"""TV-L1 optical flow in compiled numpy: the same as OpenCV's DualTVL1, many times faster.

The method is Zach, Pock and Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow",
DAGM 2007, with the numerical scheme of Sanchez, Meinhardt-Llopis and Facciolo, "TV-L1 Optical Flow
Estimation", IPOL 2013 (equation numbers below are theirs in meaning: V is the thresholding step, U
the primal and P the dual one). Of images I0, I1 with gray values in [0, 255] it finds the flow u
that minimizes the sum over pixels of

    |grad u1| + |grad u2| + lambda |I1(x + u) - I0(x)|.

I1(x + u) is linearized around the present u (a *warp*), and the two terms are coupled through an
auxiliary v by (u - v)^2 / (2 theta), after which v has a closed form at each pixel and u follows
from the dual variables p by gradient steps.

All constants and implementation choices are those of OpenCV's `DualTVL1OpticalFlow` with its
defaults, because features and thresholds of the field are based on it: bilinear pyramid without
smoothing; bicubic (a = -.75) warp at 1/32 px of I1 and its central differences, 0 outside the
image; a 5 x 5 median before each round of 30 iterations; iterating until the flow changes by less
than epsilon (root mean square). The flow then agrees within a few thousandths of a pixel, including
the effect of the early stop: flow is a sixth too short.

Optimizations:

- An iteration is two sweeps over ten planes, V with U and P, without a branch: thresholding is a
  clamp, planes have a rim of one pixel, and the two divisions of P share one. At 128 x 128 px the
  planes stay in the second-level cache.
- The warp's 4 x 4 taps start at arbitrary pixels, which prevents vectorization. Neighbors move
  alike, so for a stretch of a row whose motion spans less than two pixels the taps of all pixels
  lie in one 5 x 5 window, with weights 0 outside a pixel's own taps.
- Only the part of a face around its ROIs is computed (`Tvl1.within`), at every level. The images
  are also read outside this box, so that its edge is not an image edge, which would cost accuracy
  and iterations.

All functions are pure. Compiled code holds no lock (`nogil`) and starts no thread: callers run
pairs in parallel, as `aumer.motion.analysis` and `tvl1_pairs` do.
"""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from aumer.compiled import compiled, inlined
from aumer.flow import Flow, Region
from aumer.types import FloatArray, ImageArray

_log = logging.getLogger("aumer")

# OpenCV's defaults. float32, so that no expression below turns into double precision.
TAU = 0.25  # step of the dual ascent
LAMBDA = 0.15  # weight of the data term
THETA = 0.3  # coupling of u and v
SCALES = 5
SCALE_STEP = 0.8
MIN_SIDE = 16  # no pyramid level is smaller, but for the image itself
WARPS = 5
OUTER_ITERATIONS = 10  # rounds of a median filter and ...
INNER_ITERATIONS = 30  # ... this many iterations
EPSILON = 0.01  # px; an iteration that changes the flow by less is the warp's last

_THETA = np.float32(THETA)
_THRESHOLD = np.float32(LAMBDA * THETA)
_STEP = np.float32(TAU / THETA)
_FLAT = np.float32(1.1920929e-07)  # squared gradient below which a pixel says nothing
_ZERO, _ONE, _TWO, _HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
_GRAINS = np.float32(32)  # positions are rounded to 1/32 px before interpolation
_FOUR, _FIVE, _EIGHT = np.float32(4), np.float32(5), np.float32(8)
_CUBIC = np.float32(-0.75)  # slope of the cubic kernel at distance 1
_INNER = np.float32(_CUBIC + 2)
_STRETCH = 64  # pixels of a row that are warped together
_MARGIN = 8  # zeros around the image that is warped; at least 4


@dataclass(frozen=True)
class Tvl1(Flow):
    """The flow "tvl1".

    Attributes:
        region: the part of the image in which flow is computed; `None` for all.
    """

    region: Region | None = None

    def __call__(self, previous: ImageArray, following: ImageArray) -> FloatArray:
        """TV-L1 flow of one pair.

        Shapes:
            previous, following (H, W) gray in [0, 255], uint8 or float; returns (H, W, 2) float32
            px, x to the right and y down, from `previous` to `following`; 0 outside the region.

        Raises:
            ValueError: the images differ in shape, or the region exceeds them.
        """
        a, b = _gray(previous), _gray(following)
        if a.shape != b.shape or a.ndim != 2:
            raise ValueError(
                f"a flow needs two images of one shape (H, W), found {a.shape} and {b.shape}"
            )
        left, top, right, bottom = checked_region(self.region, a.shape[0], a.shape[1])
        _ready()
        return _flow(a, b, top, bottom, left, right)

    def within(self, region: Region) -> Tvl1:
        """A flow computed only in `region`; see `aumer.flow.Flow.within`.

        Near the region's edge it is less accurate than on the whole image; 12 px further inside it
        is equally good (benchmarks/studies/flow_shortcuts.py).
        """
        return Tvl1(region)


#: The flow "tvl1" in the registry.
tvl1 = Tvl1()


def tvl1_pairs(
    previous: npt.NDArray[Any], following: npt.NDArray[Any], *, workers: int | None = None
) -> FloatArray:
    """TV-L1 flow of many pairs on all cores, with the same results as `tvl1`.

    Args:
        workers: threads; they never change the result.

    Shapes:
        previous, following (N, H, W) as in `tvl1`; returns (N, H, W, 2) float32 px.
    """
    if previous.shape != following.shape or previous.ndim != 3:
        raise ValueError(
            "flows need two stacks of images of one shape (N, H, W), found "
            f"{previous.shape} and {following.shape}"
        )
    flows = np.empty((*previous.shape, 2), np.float32)

    def one(k: int) -> None:
        flows[k] = tvl1(previous[k], following[k])

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for _ in pool.map(one, range(len(flows))):
            pass
    return flows


def checked_region(region: Region | None, height: int, width: int) -> Region:
    """The region itself, or the whole image for `None`.

    Raises:
        ValueError: it is empty or exceeds the image.
    """
    if region is None:
        return 0, 0, width, height
    left, top, right, bottom = region
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(
            "a flow's region (left, top, right, bottom) must hold a pixel at least and lie in the "
            f"image of {width} x {height} px, found {tuple(region)}"
        )
    return region


def _gray(image: npt.NDArray[Any]) -> FloatArray:
    # Read-only arrays are copied, since numba would compile a second version for them.
    return np.require(image, np.float32, ["C", "W"])


_lock = threading.Lock()


def _ready() -> None:
    """Compile once per process, or load code compiled earlier; logs a message before a long
    compilation.
    """
    kernel = cast(Any, _flow)
    if kernel.signatures:
        return
    with _lock:
        folder = kernel.stats.cache_path
        if folder is None or not any(Path(folder).glob("tvl1._flow-*.nbc")):
            # A level between information and warning, since the user has to wait.
            _log.log(25, "compiling TV-L1 for this machine (once, some ten seconds)")
            if folder is not None and sys.executable:
                # Freshly compiled code rounds slightly differently from code read from the cache,
                # as in every later process. So a separate process compiles it.
                here = str(Path(__file__).resolve().parents[2])  # this aumer, wherever we are
                code = f"import sys; sys.path.insert(0, {here!r}); import aumer.flow.tvl1 as t"
                words = [sys.executable, "-c", f"{code}; t.compile_now()"]
                subprocess.run(words, check=False, capture_output=True)
        compile_now()


def compile_now() -> None:
    """Compile TV-L1 in this process, or load compiled code."""
    image = np.zeros((1, 1), np.float32)
    _flow(image, image, 0, 1, 0, 1)


# Pyramid


@compiled
def _flow(
    previous: FloatArray, following: FloatArray, top: int, bottom: int, left: int, right: int
) -> FloatArray:
    """Coarse to fine: each level starts from the flow of the coarser one."""
    height, width = previous.shape
    firsts, seconds = [previous], [following]
    for _ in range(1, SCALES):
        h, w = firsts[-1].shape
        h, w = int(np.rint(h * SCALE_STEP)), int(np.rint(w * SCALE_STEP))
        if h < MIN_SIDE or w < MIN_SIDE:
            break
        firsts.append(_resized(firsts[-1], h, w, 1 / SCALE_STEP, 1 / SCALE_STEP, 0.0, 0.0))
        seconds.append(_resized(seconds[-1], h, w, 1 / SCALE_STEP, 1 / SCALE_STEP, 0.0, 0.0))
    u = np.zeros((2, 0, 0), np.float32)
    above, beside = 0, 0  # of the coarser level's box
    for level in range(len(firsts) - 1, -1, -1):
        h, w = firsts[level].shape
        y0, y1 = _covering(top, bottom, height, h)
        x0, x1 = _covering(left, right, width, w)
        coarse, u = u, np.zeros((2, y1 - y0 + 2, x1 - x0 + 2), np.float32)
        if level + 1 < len(firsts):
            down, across = firsts[level + 1].shape[0] / h, firsts[level + 1].shape[1] / w
            for k in range(2):
                inner = coarse[k, 1:-1, 1:-1]
                fine = _resized(
                    inner, y1 - y0, x1 - x0, down, across, y0 * down - above, x0 * across - beside
                )
                for y in range(y1 - y0):
                    for x in range(x1 - x0):
                        u[k, y + 1, x + 1] = fine[y, x] * np.float32(1 / SCALE_STEP)
        above, beside = y0, x0
        p = np.zeros((4, y1 - y0 + 2, x1 - x0 + 2), np.float32)
        u = _solve_level(firsts[level], seconds[level], u, p, y0, x0)
    flow = np.zeros((height, width, 2), np.float32)
    for y in range(top, bottom):
        for x in range(left, right):
            flow[y, x, 0] = u[0, y - top + 1, x - left + 1]
            flow[y, x, 1] = u[1, y - top + 1, x - left + 1]
    return flow


@compiled
def _covering(begin: int, end: int, size: int, coarse: int) -> tuple[int, int]:
    """The pixels of a level `coarse` long that cover begin..end of an image `size` long."""
    if size == 0:
        return 0, 0
    return begin * coarse // size, -(-end * coarse // size)


@compiled
def _resized(
    image: FloatArray,
    height: int,
    width: int,
    down: float,
    across: float,
    above: float,
    beside: float,
) -> FloatArray:
    """Bilinear samples at (i + .5) step - .5 + first, held at the edges.

    The steps are `down` and `across`, the first places `above` and `beside`.
    """
    h, w = image.shape
    left = np.empty(width, np.int64)
    share = np.empty(width, np.float32)
    for x in range(width):
        at = min(max((x + 0.5) * across - 0.5 + beside, 0.0), w - 1.0)
        left[x] = min(int(at), max(w - 2, 0))
        share[x] = at - left[x]
    step = min(1, w - 1)
    row = np.empty(w, np.float32)
    out = np.empty((height, width), np.float32)
    for y in range(height):
        at = min(max((y + 0.5) * down - 0.5 + above, 0.0), h - 1.0)
        top = min(int(at), max(h - 2, 0))
        low = min(top + 1, h - 1)
        part = np.float32(at - top)
        for x in range(w):
            row[x] = image[top, x] + part * (image[low, x] - image[top, x])
        for x in range(width):
            k = left[x]
            out[y, x] = row[k] + share[x] * (row[k + step] - row[k])
    return out


# One level. Planes of it have a rim of one pixel: pixel (y, x) is at [y + 1, x + 1].


@compiled
def _solve_level(
    previous: FloatArray,
    following: FloatArray,
    u: FloatArray,
    p: FloatArray,
    top: int,
    left: int,
) -> FloatArray:
    """The flow in a box of one level that begins at pixel (top, left).

    It starts from `u` (2, h + 2, w + 2) and the dual variables `p` (4, h + 2, w + 2: p11, p12, p21,
    p22, the rim 0), which are overwritten; the box has h x w px, the images have more.
    """
    h, w = u.shape[1] - 2, u.shape[2] - 2
    enough = np.float32(EPSILON * EPSILON * h * w)
    moving = _with_gradient(following)
    still = np.zeros((h + 2, w + 2), np.float32)
    for y in range(h):
        for x in range(w):
            still[y + 1, x + 1] = previous[y + top, x + left]
    spare = np.zeros_like(u)  # its rims are read, as those of u
    columns = np.empty((5, w + 4), np.float32)
    data = np.zeros((4, h + 2, w + 2), np.float32)
    for _ in range(WARPS):
        _linearize(moving, still, u, data, top, left)
        change = np.float32(np.inf)
        for _ in range(OUTER_ITERATIONS):
            _median5(u[0], spare[0], columns)
            _median5(u[1], spare[1], columns)
            u, spare = spare, u
            for _ in range(INNER_ITERATIONS):
                change = _iterate(u, p, data)
                if change <= enough:
                    break
            if change <= enough:
                break
    return u


@compiled
def _iterate(u: FloatArray, p: FloatArray, data: FloatArray) -> Any:
    """Steps V, U and P once; returns the squared change of u, summed over pixels.

    Both sweeps run over the pixels as one line, rims between the rows included: starting a loop
    costs as much as a row does. The rims of p are 0 and those of u repeat the last pixel, so that
    a backward difference at the first pixel and a forward one at the last need no branch.
    """
    h, w = u.shape[1] - 2, u.shape[2] - 2
    stride = w + 2
    begin, end = stride + 1, (h + 1) * stride - 1
    u1, u2 = u[0].ravel(), u[1].ravel()
    p11, p12, p21, p22 = p[0].ravel(), p[1].ravel(), p[2].ravel(), p[3].ravel()
    gx, gy, rho, inverse = data[0].ravel(), data[1].ravel(), data[2].ravel(), data[3].ravel()
    change = _primal(
        u1[begin:end],
        u2[begin:end],
        p11[begin - 1 : end],
        p12[begin:end],
        p12[begin - stride : end - stride],
        p21[begin - 1 : end],
        p22[begin:end],
        p22[begin - stride : end - stride],
        gx[begin:end],
        gy[begin:end],
        rho[begin:end],
        inverse[begin:end],
    )
    for y in range(1, h + 1):
        u[0, y, w + 1], u[1, y, w + 1] = u[0, y, w], u[1, y, w]
    for x in range(stride):
        u[0, h + 1, x], u[1, h + 1, x] = u[0, h, x], u[1, h, x]
    _dual(
        u1[begin : end + 1],
        u2[begin : end + 1],
        u1[begin + stride : end + stride],
        u2[begin + stride : end + stride],
        p11[begin:end],
        p12[begin:end],
        p21[begin:end],
        p22[begin:end],
    )
    for k in range(4):
        for y in range(1, h + 1):
            p[k, y, 0] = p[k, y, w + 1] = _ZERO
    return change


@compiled
def _primal(
    u1: FloatArray,
    u2: FloatArray,
    p11: FloatArray,
    p12: FloatArray,
    p12_above: FloatArray,
    p21: FloatArray,
    p22: FloatArray,
    p22_above: FloatArray,
    gx: FloatArray,
    gy: FloatArray,
    rho: FloatArray,
    inverse: FloatArray,
) -> Any:
    """V: v = u + clamp(-rho / |g|^2, +-lambda theta) g; U: u = v + theta div p.

    All are (n,), but p11 and p21 begin one pixel before and are (n + 1,).
    """
    change = _ZERO
    for i in range(len(u1)):
        a, b = u1[i], u2[i]
        residual = rho[i] + gx[i] * a + gy[i] * b
        d = min(max(-residual * inverse[i], -_THRESHOLD), _THRESHOLD)
        da = d * gx[i] + _THETA * (p11[i + 1] - p11[i] + p12[i] - p12_above[i])
        db = d * gy[i] + _THETA * (p21[i + 1] - p21[i] + p22[i] - p22_above[i])
        u1[i] = a + da
        u2[i] = b + db
        change += da * da + db * db
    return change


@compiled
def _dual(
    u1: FloatArray,
    u2: FloatArray,
    u1_below: FloatArray,
    u2_below: FloatArray,
    p11: FloatArray,
    p12: FloatArray,
    p21: FloatArray,
    p22: FloatArray,
) -> None:
    """P: p = (p + tau/theta grad u) / (1 + tau/theta |grad u|), for either component of u.

    All are (n,), but u1 and u2 go one pixel further and are (n + 1,).
    """
    for i in range(len(p11)):
        ax, ay = u1[i + 1] - u1[i], u1_below[i] - u1[i]
        bx, by = u2[i + 1] - u2[i], u2_below[i] - u2[i]
        a = _ONE + _STEP * math.sqrt(ax * ax + ay * ay)
        b = _ONE + _STEP * math.sqrt(bx * bx + by * by)
        both = _ONE / (a * b)
        a, b = b * both, a * both  # 1/a and 1/b for one division
        p11[i] = (p11[i] + _STEP * ax) * a
        p12[i] = (p12[i] + _STEP * ay) * a
        p21[i] = (p21[i] + _STEP * bx) * b
        p22[i] = (p22[i] + _STEP * by) * b


# Warp


@compiled
def _with_gradient(image: FloatArray) -> FloatArray:
    """The image and its central differences in x and y inside a margin of 0: (3, h', w')."""
    h, w = image.shape
    out = np.zeros((3, h + 2 * _MARGIN, w + 2 * _MARGIN), np.float32)
    for y in range(h):
        row, up, down = image[y], image[max(y - 1, 0)], image[min(y + 1, h - 1)]
        here = out[0, y + _MARGIN, _MARGIN : _MARGIN + w]
        gx = out[1, y + _MARGIN, _MARGIN : _MARGIN + w]
        gy = out[2, y + _MARGIN, _MARGIN : _MARGIN + w]
        for x in range(w):
            here[x] = row[x]
            gy[x] = _HALF * (down[x] - up[x])
        for x in range(w - 2):
            gx[x + 1] = _HALF * (row[x + 2] - row[x])
        gx[0] = _HALF * (row[min(1, w - 1)] - row[0])
        gx[w - 1] = _HALF * (row[w - 1] - row[max(w - 2, 0)])
    return out


@compiled
def _linearize(
    moving: FloatArray, still: FloatArray, u: FloatArray, data: FloatArray, top: int, left: int
) -> None:
    """I1(x + u) to first order around the present u, in a box that begins at pixel (top, left).

    Writes into `data` the gradient (gx, gy), the part of rho that u has no share in, and
    1 / |g|^2 (0 where the image is flat), from `moving`, the planes of `_with_gradient` of the
    whole image; `still`, `u` and `data` are the box's.
    """
    height, width = moving.shape[1], moving.shape[2]
    h, w = u.shape[1] - 2, u.shape[2] - 2
    gx, gy, rho, inverse = data[0], data[1], data[2], data[3]
    image, slope_x, slope_y = moving[0], moving[1], moving[2]
    across, down = np.empty((5, _STRETCH), np.float32), np.empty((5, _STRETCH), np.float32)
    for y in range(h):
        for begin in range(0, w, _STRETCH):
            end = min(begin + _STRETCH, w)
            stretch = slice(begin + 1, end + 1)
            right, narrow = _window(u[0, y + 1, stretch])
            below, flat = _window(u[1, y + 1, stretch])
            row = top + y + below - 1 + _MARGIN
            first, last = left + begin + right - 1 + _MARGIN, left + end + right + 3 + _MARGIN
            inside = row >= 0 and row + 4 < height and first >= 0 and last <= width
            if narrow and flat and inside:
                _weigh(u[0, y + 1, stretch], left + begin, 1, right, across)
                _weigh(u[1, y + 1, stretch], top + y, 0, below, down)
                reach = slice(first, last)
                _warp_stretch(image, row, reach, across, down, rho[y + 1, stretch])
                _warp_stretch(slope_x, row, reach, across, down, gx[y + 1, stretch])
                _warp_stretch(slope_y, row, reach, across, down, gy[y + 1, stretch])
            else:
                for x in range(begin, end):
                    _warp_pixel(moving, u, data, y, x, top, left)
        _residual_row(still, u, gx, gy, rho, inverse, y + 1, w)


@compiled
def _residual_row(
    still: FloatArray,
    u: FloatArray,
    gx: FloatArray,
    gy: FloatArray,
    rho: FloatArray,
    inverse: FloatArray,
    y: int,
    w: int,
) -> None:
    for x in range(1, w + 1):
        a, b = gx[y, x], gy[y, x]
        square = a * a + b * b
        rho[y, x] -= a * u[0, y, x] + b * u[1, y, x] + still[y, x]
        inverse[y, x] = _ONE / max(square, _FLAT) if square > _FLAT else _ZERO


@inlined
def _grain(at: Any, displacement: Any) -> Any:
    """The displacement of the pixel at `at` that leads to the nearest multiple of 1/32 px.

    Rounded as OpenCV rounds: the position is a float32 first. A tie that falls to the other side
    moves the result by a hundredth of a pixel in the end, because later warps amplify it.
    """
    return np.rint((at + displacement) * _GRAINS) / _GRAINS - at


@compiled
def _window(u: FloatArray) -> tuple[int, bool]:
    """Least whole displacement of a stretch (n,), and whether none is two px above it."""
    low = high = u[0]
    for x in range(len(u)):
        low, high = min(low, u[x]), max(high, u[x])
    # Rounding to 1/32 px moves either by half a grain.
    first = np.floor(low - _HALF / _GRAINS)
    return int(first), high + _HALF / _GRAINS - first < _TWO


@inlined
def _cubic(t: Any) -> tuple[Any, Any, Any, Any]:
    """Weights of the samples at -1, 0, 1, 2 for a point at t in [0, 1) (Keys 1981)."""
    near, far, other = t + _ONE, _TWO - t, _ONE - t
    first = _CUBIC * (((near - _FIVE) * near + _EIGHT) * near - _FOUR)
    second = (_INNER * t - _INNER - _ONE) * t * t + _ONE
    third = (_INNER * other - _INNER - _ONE) * other * other + _ONE
    fourth = _CUBIC * (((far - _FIVE) * far + _EIGHT) * far - _FOUR)
    return first, second, third, fourth


@inlined
def _five(t: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Weights of the samples at -1, 0, 1, 2, 3 for a point at t in [0, 2)."""
    later = t >= _ONE
    a, b, c, d = _cubic(t - _ONE if later else t)
    return (
        _ZERO if later else a,
        a if later else b,
        b if later else c,
        c if later else d,
        d if later else _ZERO,
    )


@compiled
def _weigh(u: FloatArray, at: int, step: int, first: int, weights: FloatArray) -> None:
    """Weights (5, n) of the window's samples for the displacements (n,) of a stretch.

    The pixels are at `at`, `at + step` ...; the window begins `first` - 1 px from each.
    """
    start = np.float32(first)
    for x in range(len(u)):
        a, b, c, d, e = _five(_grain(np.float32(at + step * x), u[x]) - start)
        weights[0, x] = a
        weights[1, x] = b
        weights[2, x] = c
        weights[3, x] = d
        weights[4, x] = e


@compiled
def _warp_stretch(
    image: FloatArray, y: int, reach: Any, across: FloatArray, down: FloatArray, out: FloatArray
) -> None:
    """Warp a stretch (n,) from columns `reach` (n + 4 of them) of rows y..y + 4 of `image`."""
    # One contiguous array a row: numba would not know that the last axis of a block is.
    p, q, r = image[y, reach], image[y + 1, reach], image[y + 2, reach]
    s, t = image[y + 3, reach], image[y + 4, reach]
    for x in range(len(out)):
        a, b, c, d, e = across[0, x], across[1, x], across[2, x], across[3, x], across[4, x]
        out[x] = (
            down[0, x] * _across(p, x, a, b, c, d, e)
            + down[1, x] * _across(q, x, a, b, c, d, e)
            + down[2, x] * _across(r, x, a, b, c, d, e)
            + down[3, x] * _across(s, x, a, b, c, d, e)
            + down[4, x] * _across(t, x, a, b, c, d, e)
        )


@inlined
def _across(row: FloatArray, x: int, a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
    return a * row[x] + b * row[x + 1] + c * row[x + 2] + d * row[x + 3] + e * row[x + 4]


@compiled
def _warp_pixel(
    moving: FloatArray, u: FloatArray, data: FloatArray, y: int, x: int, top: int, left: int
) -> None:
    """Warp one pixel, whose taps may lie outside the image."""
    at_x = _grain(np.float32(left + x), u[0, y + 1, x + 1])
    at_y = _grain(np.float32(top + y), u[1, y + 1, x + 1])
    right, below = np.floor(at_x), np.floor(at_y)
    across, down = _cubic(at_x - right), _cubic(at_y - below)
    # Further out there are only zeros.
    column = min(max(left + x + int(right) - 1 + _MARGIN, 0), moving.shape[2] - 4)
    row = min(max(top + y + int(below) - 1 + _MARGIN, 0), moving.shape[1] - 4)
    for k in range(3):
        total = _ZERO
        for i in range(4):
            for j in range(4):
                total += down[i] * across[j] * moving[k, row + i, column + j]
        data[(k + 2) % 3, y + 1, x + 1] = total


# Median of 5 x 5


@compiled
def _median5(plane: FloatArray, out: FloatArray, columns: FloatArray) -> None:
    """Median of 5 x 5 pixels, edges held; `columns` (5, w + 4) is scratch.

    Columns of five are sorted once and shared by the five windows that they are part of.
    """
    h, w = plane.shape[0] - 2, plane.shape[1] - 2
    for y in range(1, h + 1):
        high, up, down, low = max(y - 2, 1), max(y - 1, 1), min(y + 1, h), min(y + 2, h)
        for x in range(1, w + 1):
            a, b, c, d, e = _sorted5(
                plane[high, x], plane[up, x], plane[y, x], plane[down, x], plane[low, x]
            )
            columns[0, x + 1] = a
            columns[1, x + 1] = b
            columns[2, x + 1] = c
            columns[3, x + 1] = d
            columns[4, x + 1] = e
        for k in range(5):
            columns[k, 0] = columns[k, 1] = columns[k, 2]
            columns[k, w + 2] = columns[k, w + 3] = columns[k, w + 1]
        for x in range(w):
            out[y, x + 1] = _median_of_sorted_columns(columns, x)


@inlined
def _order(a: Any, b: Any) -> tuple[Any, Any]:
    return min(a, b), max(a, b)


@inlined
def _sorted5(a: Any, b: Any, c: Any, d: Any, e: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Five values in order, by nine exchanges; the compiler drops what nobody asks for."""
    a, d = _order(a, d)
    b, e = _order(b, e)
    a, c = _order(a, c)
    b, d = _order(b, d)
    a, b = _order(a, b)
    c, e = _order(c, e)
    b, c = _order(b, c)
    d, e = _order(d, e)
    c, d = _order(c, d)
    return a, b, c, d, e


@inlined
def _sorted_row(columns: FloatArray, k: int, x: int) -> tuple[Any, Any, Any, Any, Any]:
    return _sorted5(
        columns[k, x],
        columns[k, x + 1],
        columns[k, x + 2],
        columns[k, x + 3],
        columns[k, x + 4],
    )


@inlined
def _median_of_sorted_columns(columns: FloatArray, x: int) -> Any:
    """Median of columns x..x + 4.

    With the rows sorted as well, the value in row i, column j has (i + 1)(j + 1) - 1 values that
    are no larger and (5 - i)(5 - j) - 1 that are no smaller. Where either passes 12 it is not the
    median; six fall away on each side and 13 are left. The network that follows is the shortest
    that a search found to be right on all 0-1 matrices with sorted rows and columns, hence on all.
    """
    _, _, _, a, b = _sorted_row(columns, 0, x)
    _, _, c, d, e = _sorted_row(columns, 1, x)
    _, f, g, h, _ = _sorted_row(columns, 2, x)
    i, j, k, _, _ = _sorted_row(columns, 3, x)
    m, n, _, _, _ = _sorted_row(columns, 4, x)
    a, i = _order(a, i)
    g, i = _order(g, i)
    i, n = _order(i, n)
    e, i = _order(e, i)
    e, g = _order(e, g)
    c, j = _order(c, j)
    h, j = _order(h, j)
    d, k = _order(d, k)
    d, h = _order(d, h)
    d, e = _order(d, e)
    e, f = _order(e, f)
    g, h = _order(g, h)
    b, m = _order(b, m)
    b, f = _order(b, f)
    h, m = _order(h, m)
    f, h = _order(f, h)
    f, g = _order(f, g)
    g, h = _order(g, h)
    return g
