"""A texture that moves by a known amount, and points in it."""

from __future__ import annotations

import numpy as np

SIDE = 192
POINTS = np.array([(60.3, 70.8), (100.0, 90.5), (130.6, 60.2), (90.4, 130.7), (150.2, 140.1)])


def texture(right: float = 0.0, down: float = 0.0) -> np.ndarray:
    """Waves in all directions, moved: (192, 192) float32 gray."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    x, y = x - right, y - down
    rng = np.random.default_rng(0)
    gray = np.full((SIDE, SIDE), 128.0)
    for _ in range(24):
        turn, length = rng.uniform(0, 2 * np.pi, 2), rng.uniform(10, 40)
        wave = 2 * np.pi * (x * np.cos(turn[0]) + y * np.sin(turn[0])) / length
        gray += 8 * np.sin(wave + turn[1])
    return gray.astype(np.float32)
