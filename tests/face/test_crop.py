"""Squares cut out of images: where a pixel of the square lies, however much it is shrunk."""

from __future__ import annotations

import numpy as np
import pytest

from aumer.face.crop import chained, cut_out, inverse


def ramp(axis: int) -> np.ndarray:
    """(255, 255, 3) uint8, a gray level a pixel along one axis."""
    return np.repeat(np.indices((255, 255))[axis][..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("gray", [True, False])
@pytest.mark.parametrize("scale", [2.0, 1.0, 0.6, 0.45, 0.3, 0.2, 0.1])
def test_a_pixel_shows_the_place_it_is_mapped_from(scale: float, gray: bool) -> None:
    side = 20
    transform = np.array([(scale, 0.0, 10 - scale * 130.3), (0.0, scale, 10 - scale * 120.7)])
    for axis, middle in ((1, 130.3), (0, 120.7)):
        square = cut_out(ramp(axis), transform, side, gray=gray)
        square = square if gray else square[..., 1]
        shown = square.astype(float).mean(axis=1 - axis)[5:16]
        there = middle + (np.arange(5, 16) - 10) / scale
        np.testing.assert_allclose(shown, there, atol=1.5)
        assert abs((shown - there).mean()) < 0.75


@pytest.mark.parametrize("scale", [0.45, 0.3, 0.12])
def test_no_pixel_is_missed_in_color(scale: float) -> None:
    """A board of single pixels becomes even gray."""
    board = ((np.indices((400, 400)).sum(axis=0) % 2) * 200).astype(np.uint8)
    transform = np.array([(scale, 0.0, 20 - scale * 200), (0.0, scale, 20 - scale * 200)])
    square = cut_out(np.repeat(board[..., None], 3, axis=2), transform, 40, gray=False)
    inner = square[8:32, 8:32].astype(float)
    assert inner.mean() == pytest.approx(100, abs=2)
    assert inner.std() < 8


def test_inverse_takes_a_transform_back() -> None:
    transform = np.array([(1.3, -0.4, 12.0), (0.4, 1.3, -7.0)])
    np.testing.assert_allclose(
        chained(inverse(transform), transform), np.eye(3)[:2], rtol=0, atol=1e-12
    )
