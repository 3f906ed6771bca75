"""Windows that stretch and bend: against polynomials that are known, and by torch as by numba."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates, spline_filter
from textures import POINTS, SIDE, texture

from aumer.flow.bent_windows import BentWindows
from aumer.flow.bent_windows_torch import BentStack
from aumer.flow.lucas_kanade import Pyramid
from aumer.flow.lucas_kanade_torch import Pyramids

WINDOW, REGION, GIVE = 31, 19.0, 0.7
#: px of the middle, the right edge's and the lower edge's against it, and how far edges bend.
SHIFT, STRETCH, BEND = np.array((0.8, -0.6)), np.array(((0.5, 0.2), (-0.3, 0.4))), (-0.6, 0.5)


def picture(image: np.ndarray) -> Pyramid:
    return Pyramid(image, 1, WINDOW // 2)


def bent(image: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """The picture with the polynomial round a point, which dies away outside of the window."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    smooth, there = spline_filter(image.astype(np.float64)), np.stack([x, y], -1)
    for _ in range(12):  # p + d(p) = q, solved for p
        u, v = np.moveaxis((there - middle) / (WINDOW // 2), -1, 0)
        fades = np.exp(-np.maximum(u * u + v * v - 2.5, 0))[..., None]
        square = (u * u + v * v)[..., None]
        moved = SHIFT + u[..., None] * STRETCH[0] + v[..., None] * STRETCH[1] + square * BEND
        there = np.stack([x, y], -1) - fades * moved
    return map_coordinates(smooth, np.moveaxis(there[..., ::-1], -1, 0), prefilter=False)


def test_the_mean_over_a_region_is_told() -> None:
    image = texture()
    for middle in POINTS:
        windows = BentWindows(picture(image), middle[None], WINDOW, GIVE, REGION)
        place, whole, misfit = windows.find(picture(bent(image, middle)), middle[None])
        true = SHIFT + 2 * (REGION / 2 / (WINDOW // 2)) ** 2 / 3 * np.array(BEND)
        np.testing.assert_allclose(place[0] - middle, true, atol=0.03)
        # What only shifts tells something else.
        assert np.hypot(*(whole[0] - middle - true)) > 0.06
        assert misfit < 0.1 * windows.contrast()


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (0.9, 0.0), (1.1, 15.0)])
def test_shifts_are_found_in_any_light(gain: float, offset: float) -> None:
    windows = BentWindows(picture(texture()), POINTS, WINDOW, GIVE, REGION)
    place, whole, _ = windows.find(picture(gain * texture(2.3, -1.4) + offset), POINTS)
    for found in (place, whole):
        np.testing.assert_allclose(found - POINTS, np.tile((2.3, -1.4), (5, 1)), atol=0.02)


def test_what_is_plain_stays_where_it_was() -> None:
    image = texture()
    image[:, :80] = 90
    windows = BentWindows(picture(image), POINTS, WINDOW, GIVE, REGION)
    place, whole, misfit = windows.find(picture(texture(1.0, 0.0)), POINTS + 0.5)
    assert np.isinf(misfit).tolist() == [True, False, False, False, False]
    np.testing.assert_array_equal(place[0], POINTS[0])
    np.testing.assert_array_equal(whole[0], POINTS[0])


def test_torch_finds_the_same() -> None:
    images = np.stack([texture(), bent(texture(), POINTS[1]), texture(-1.2, 0.7)])
    images[0][:, 140:] = 77  # without texture, and over an edge
    images = images.astype(np.float32)
    points = np.vstack([POINTS, [(3.0, 90.0), (SIDE - 2.0, 4.0)]])
    stack = Pyramids(torch.from_numpy(images), 1, WINDOW // 2)
    at = torch.from_numpy(points).expand(3, -1, -1)
    taken = BentStack.cut(stack, at, WINDOW, GIVE, REGION)
    of, into = (0, 1, 2, 1), (1, 2, 0, 0)
    found = taken.find(torch.tensor(of), stack, torch.tensor(into), at[[0, 0, 0, 0]] + 0.4)
    pictures = [picture(image) for image in images]
    for pair, (a, b) in enumerate(zip(of, into, strict=True)):
        windows = BentWindows(pictures[a], points, WINDOW, GIVE, REGION)
        place, whole, misfit = windows.find(pictures[b], points + 0.4)
        np.testing.assert_allclose(found[0][pair], place, atol=1e-3)
        np.testing.assert_allclose(found[1][pair], whole, atol=1e-3)
        np.testing.assert_allclose(found[2][pair], misfit, atol=1e-2)
        np.testing.assert_allclose(taken.contrast()[a], windows.contrast(), rtol=1e-4)
    again = taken.last(2).followed_by(taken.last(1))
    np.testing.assert_array_equal(again.contrast(), taken.contrast()[[1, 2, 2]])
