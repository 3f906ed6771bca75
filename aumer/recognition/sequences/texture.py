"""Texture of gray frames: equalized histograms, local binary patterns. numpy and cv2."""

from __future__ import annotations

import cv2
import numpy as np

from aumer.types import ImageArray


def equalized(gray: ImageArray) -> ImageArray:
    """(T, H, W) uint8: histogram equalization of each frame."""
    return np.stack([cv2.equalizeHist(frame) for frame in gray]).astype(np.uint8)


def local_binary_patterns(gray: ImageArray) -> ImageArray:
    """(T, H, W) uint8: each pixel's pattern (Ojala et al. 2002, 8 neighbors at 1 px).

    A bit is set where the neighbor is at least as bright, clockwise from the upper left one as the
    highest bit; the border is replicated.
    """
    height, width = gray.shape[1:]
    wide = np.pad(gray, ((0, 0), (1, 1), (1, 1)), mode="edge")
    code: ImageArray = np.zeros_like(gray)
    for row, column in ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)):
        neighbor = wide[:, row : row + height, column : column + width]
        code = (2 * code + (neighbor >= gray)).astype(np.uint8)
    return code
