"""Eulerian video magnification of motion (Wu et al., SIGGRAPH 2012), streaming.

Each level of a Laplacian pyramid is band-passed in time by the difference of two first-order
low-passes, multiplied and added back. The filter is causal and recursive (IIR): one frame out for
each frame in, two pyramids in memory, with the delay of the filter; at the begin of a clip only the
change since the first frame is visible.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from aumer.strict import require
from aumer.types import FloatArray

#: Smallest size of a level that is split further, px.
_MIN_SIDE = 8


@dataclass(frozen=True)
class Magnification:
    """Settings, with the published defaults for motion.

    Attributes:
        alpha: factor by which the band-passed signal is multiplied.
        cutoff_px: lambda_c: spatial wavelengths below it get a smaller factor than `alpha`.
        low_hz, high_hz: the temporal band (-3 dB of each low-pass). The defaults equal the
            published filter coefficients (.05 and .4 per frame) at 200 fps.

    Raises:
        ConfigError: a value out of range.
    """

    alpha: float = 10.0
    cutoff_px: float = 16.0
    low_hz: float = 1.6
    high_hz: float = 16.6

    def __post_init__(self) -> None:
        require(self.alpha >= 0, "alpha", self.alpha, ">= 0")
        require(self.cutoff_px > 0, "cutoff_px", self.cutoff_px, "> 0 px")
        require(
            0 < self.low_hz < self.high_hz,
            "low_hz",
            self.low_hz,
            f"> 0 and below high_hz ({self.high_hz:g})",
        )

    def alphas(self, height: int, width: int) -> tuple[float, ...]:
        """Factor of every level, finest first; the first and the last level are not magnified.

        Between, min(alpha, lambda / (8 delta) - 1), at least 0, where lambda is the level's
        wavelength, a third of the image's diagonal at the coarsest and half as long at each finer
        one, and delta = lambda_c / (8 (1 + alpha)): beyond it the method's first-order expansion is
        invalid.
        """
        levels = level_count(height, width)
        coarsest = math.hypot(height, width) / 3
        delta = self.cutoff_px / (8 * (1 + self.alpha))
        bounds = [coarsest / 2 ** (levels - 1 - k) / (8 * delta) - 1 for k in range(levels)]
        ends = (0, levels - 1)
        return tuple(
            0.0 if k in ends else min(self.alpha, max(0.0, bound)) for k, bound in enumerate(bounds)
        )


def level_count(height: int, width: int) -> int:
    """Number of levels of the pyramid, including the low-pass residual; 1 for a very small
    image.
    """
    return max(1, int(math.log2(max(1.0, min(height, width) / _MIN_SIDE))) + 1)


def smoothing(cutoff_hz: float, fps: float) -> float:
    """The r of y += r (x - y) whose gain falls to 1 / sqrt(2) at `cutoff_hz`.

    |H|^2 = r^2 / (r^2 + 2 (1 - r)(1 - cos w)) = 1/2 solved for r. Cut-offs above half the frame
    rate count as half the frame rate.
    """
    rest = 1 - math.cos(2 * math.pi * min(cutoff_hz / fps, 0.5))
    return math.sqrt(rest * rest + 2 * rest) - rest


def band_gain(hz: float, fps: float, settings: Magnification) -> complex:
    """Complex gain (amplitude and phase) of the band-pass at a frequency."""
    z = np.exp(-2j * np.pi * hz / fps)
    gains = [r / (1 - (1 - r) * z) for r in _rates(settings, fps)]
    return complex(gains[1] - gains[0])


class EulerianMagnifier:
    """Magnifies a video frame by frame.

    Args:
        fps: frame rate of the frames, from which the coefficients follow.

    Raises:
        ConfigError: fps is not above twice the band's lower end.
    """

    def __init__(self, fps: float, settings: Magnification | None = None) -> None:
        self.settings = settings or Magnification()
        require(
            fps > 2 * self.settings.low_hz,
            "fps",
            fps,
            f"above {2 * self.settings.low_hz:g}, twice the band's lower end",
        )
        self._rates = _rates(self.settings, fps)
        self._alphas: tuple[float, ...] = ()
        self._slow: list[FloatArray] = []
        self._fast: list[FloatArray] = []

    def __call__(self, frame: npt.NDArray[np.generic]) -> FloatArray:
        """(H, W) of any number type -> (H, W) float32 on the same scale, not clipped."""
        image = np.asarray(frame, np.float32)
        levels = laplacian_pyramid(image)
        if not self._slow:
            self._alphas = self.settings.alphas(*image.shape)
            self._slow, self._fast = [x.copy() for x in levels], [x.copy() for x in levels]
            first: FloatArray = image.copy()
            return first
        slow_rate, fast_rate = self._rates
        boosted = []
        for x, slow, fast, alpha in zip(levels, self._slow, self._fast, self._alphas, strict=True):
            slow += np.float32(slow_rate) * (x - slow)
            fast += np.float32(fast_rate) * (x - fast)
            boosted.append(np.float32(alpha) * (fast - slow))
        return image + collapse(boosted)


def magnify(
    frames: Iterable[npt.NDArray[np.generic]], fps: float, settings: Magnification | None = None
) -> Iterator[FloatArray]:
    """Magnifies (H, W) frames in order, one at a time."""
    magnifier = EulerianMagnifier(fps, settings)
    for frame in frames:
        yield magnifier(frame)


def laplacian_pyramid(image: FloatArray) -> list[FloatArray]:
    """(H, W) float32 -> levels, finest first, the low-pass residual last (Burt, Adelson 1983)."""
    levels = []
    for _ in range(level_count(*image.shape) - 1):
        smaller = cv2.pyrDown(image)
        levels.append(np.asarray(image - _expanded(smaller, image), np.float32))
        image = np.asarray(smaller, np.float32)
    return [*levels, image]


def collapse(levels: list[FloatArray]) -> FloatArray:
    """The inverse of `laplacian_pyramid`."""
    image = levels[-1]
    for level in reversed(levels[:-1]):
        image = level + _expanded(image, level)
    return image


def _expanded(image: npt.NDArray[np.generic], to: FloatArray) -> FloatArray:
    height, width = to.shape
    return np.asarray(cv2.pyrUp(np.asarray(image, np.float32), dstsize=(width, height)), np.float32)


def _rates(settings: Magnification, fps: float) -> tuple[float, float]:
    return smoothing(settings.low_hz, fps), smoothing(settings.high_hz, fps)
