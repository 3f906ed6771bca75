"""A face whose every point is known: texture on the mean face's plane."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from aumer.face.mean_face import MEAN_FACE

UNIT = 200  # px of the texture per outer-eye distance
MIDDLE = 3.0  # where in the texture the mean face's origin lies, in outer-eye distances


def painted(grain: float) -> np.ndarray:
    """(1200, 1200, 3) uint8 texture, its detail `grain` px wide."""
    rng = np.random.default_rng(0)
    side = round(2 * MIDDLE * UNIT)
    noise = np.stack([gaussian_filter(rng.normal(size=(side, side)), grain) for _ in "rgb"], -1)
    scaled = (noise - noise.min()) / np.ptp(noise)
    return (255 * scaled).astype(np.uint8)


def shown(
    skin: np.ndarray,
    eyes: float,
    *,
    turn: float = 0.0,
    at: tuple[float, float] | None = None,
    size: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """An image of the painted face, its outer eye corners `eyes` px apart, and its landmarks."""
    size = size or round(3.2 * eyes)
    shift = np.array(at if at else (size / 2, size / 2))
    linear = eyes * np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
    if eyes < UNIT:
        skin = cv2.GaussianBlur(skin, (0, 0), 0.5 * np.sqrt((UNIT / eyes) ** 2 - 1))
    transform = np.column_stack([linear / UNIT, shift - linear @ (MIDDLE, MIDDLE)])
    image = cv2.warpAffine(skin, transform, (size, size), borderMode=cv2.BORDER_REFLECT)
    return image, (MEAN_FACE[:, :2] @ linear.T + shift).astype(np.float32)
