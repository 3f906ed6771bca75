"""A real portrait in motion with known displacements: head motion and expressions.

The portrait is scikit-image's public-domain astronaut. Motion is continuous in time, so one
performance can be rendered at any frame rate and size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
#: (x shift px, y shift px, scale - 1, rotation in degrees) of the head at a time in seconds.
HeadMotion = Callable[[float], tuple[float, float, float, float]]


@dataclass(frozen=True)
class Bump:
    """A patch of skin that moves: the displacement falls off as a Gaussian around its center.

    Lengths are in px of the 512 px portrait, in which the face is about 95 px wide and the outer
    eye corners lie 63 px apart; `course` gives the share of `shift` at a time in seconds.
    """

    center: tuple[float, float]
    shift: tuple[float, float]
    course: Callable[[float], float]
    width: float = 9.0


#: Positions in the portrait (x, y).
MOUTH_R, MOUTH_L = (201.0, 139.0), (246.0, 142.0)
BROW_R, BROW_L = (198.0, 88.0), (253.0, 89.0)


def pulse(onset: float, apex: float, offset: float) -> Callable[[float], float]:
    """Raised-cosine rise from onset to apex and fall to offset; 0 outside."""

    def course(t: float) -> float:
        if not onset < t < offset:
            return 0.0
        share = (t - onset) / (apex - onset) if t < apex else (offset - t) / (offset - apex)
        return 0.5 - 0.5 * float(np.cos(np.pi * share))

    return course


@lru_cache(maxsize=1)
def portrait() -> Image:
    """(512, 512, 3) uint8 RGB."""
    from skimage.data import astronaut

    return np.asarray(astronaut(), np.uint8)  # type: ignore[no-untyped-call]


def film(
    times: npt.NDArray[np.float64],
    *,
    bumps: tuple[Bump, ...] = (),
    head: HeadMotion | None = None,
    scale: float = 1.0,
    window: tuple[int, int, int, int] = (100, 0, 356, 256),
    noise: float = 0.0,
    seed: int = 0,
) -> Image:
    """Frames at the given times: (T, H, W, 3) uint8 RGB.

    Args:
        scale: px of the video per px of the portrait.
        window: visible part of the portrait, x0, y0, x1, y1.
        noise: standard deviation of the sensor's noise, gray levels.
    """
    x0, y0, x1, y1 = window
    width, height = round((x1 - x0) * scale), round((y1 - y0) * scale)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    face = np.array([225.0, 115.0])
    rng = np.random.default_rng(seed)
    source = portrait().astype(np.float32)
    if scale < 1:  # as a lens
        sigma = 0.5 * float(np.sqrt(scale**-2 - 1)) + 1e-3
        source = np.asarray(cv2.GaussianBlur(source, (0, 0), sigma), np.float32)
    frames = np.empty((len(times), height, width, 3), np.uint8)
    for k, t in enumerate(times):
        # A pixel has the color of the portrait's point that the motion has moved there.
        x = (columns + 0.5) / scale + x0 - 0.5
        y = (rows + 0.5) / scale + y0 - 0.5
        if head is not None:
            dx, dy, growth, turn = head(float(t))
            x, y = x - dx - face[0], y - dy - face[1]
            cos, sin = np.cos(np.radians(-turn)), np.sin(np.radians(-turn))
            x, y = (cos * x - sin * y) / (1 + growth), (sin * x + cos * y) / (1 + growth)
            x, y = x + face[0], y + face[1]
        moved_x, moved_y = x.copy(), y.copy()
        for bump in bumps:
            # Inverse of the small displacement: one fixed-point step is exact enough.
            course = bump.course(float(t))
            for _ in range(3):
                near = np.exp(
                    -((moved_x - bump.center[0]) ** 2 + (moved_y - bump.center[1]) ** 2)
                    / (2 * bump.width**2)
                )
                moved_x = x - course * bump.shift[0] * near
                moved_y = y - course * bump.shift[1] * near
            x, y = moved_x, moved_y
        image = cv2.remap(
            source,
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        if noise:
            image = image + noise * rng.standard_normal(image.shape, dtype=np.float32)
        frames[k] = np.clip(np.rint(image), 0, 255)
    return frames


def smile(onset: float, apex: float, offset: float, px: float = 3.0) -> tuple[Bump, ...]:
    """Mouth corners up and out by `px` of the portrait."""
    course = pulse(onset, apex, offset)
    up = px / np.sqrt(2)
    return Bump(MOUTH_R, (-up, -up), course), Bump(MOUTH_L, (up, -up), course)


def brow_raise(onset: float, apex: float, offset: float, px: float = 3.0) -> tuple[Bump, ...]:
    """Both brows up by `px` of the portrait."""
    course = pulse(onset, apex, offset)
    return Bump(BROW_R, (0.0, -px), course, 14.0), Bump(BROW_L, (0.0, -px), course, 14.0)
