"""Windows that are found again: against closed forms, known motion and OpenCV's own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from textures import POINTS, texture

from aumer.flow.lucas_kanade import Pyramid, Windows

ALL = np.arange(len(POINTS))


def taken(image: np.ndarray, side: int = 31, levels: int = 2) -> Windows:
    windows = Windows(len(POINTS), side, levels)
    windows.take(Pyramid(image, levels, side // 2), POINTS, ALL)
    return windows


def found(windows: Windows, image: np.ndarray, side: int = 31) -> tuple[np.ndarray, np.ndarray]:
    return windows.find(Pyramid(image, 2, side // 2), POINTS, ALL)


@pytest.mark.parametrize(
    "shift", [(0.0, 0.0), (0.02, -0.01), (0.5, 0.25), (-3.2, 2.7), (9.0, -7.0)]
)
def test_finds_a_known_shift_of_any_size(shift: tuple[float, float]) -> None:
    moved, misfit = found(taken(texture()), texture(*shift))
    np.testing.assert_allclose(moved, POINTS + shift, atol=0.01)
    assert (misfit < 1).all()


def test_no_share_of_a_small_movement_is_lost() -> None:
    for size in (0.03, 0.1, 0.3, 1.0):
        moved, _ = found(taken(texture()), texture(size, 0.0))
        assert (moved - POINTS)[:, 0].mean() == pytest.approx(size, rel=0.02)


@pytest.mark.parametrize(("gain", "offset"), [(1.1, 0.0), (0.9, 20.0), (1.0, -15.0)])
def test_light_does_not_move_a_window(gain: float, offset: float) -> None:
    moved, _ = found(taken(texture()), gain * texture(0.4, -0.3) + offset)
    np.testing.assert_allclose(moved, POINTS + np.array((0.4, -0.3)), atol=0.01)


def test_agrees_with_opencv() -> None:
    rng = np.random.default_rng(1)
    before, after = (
        np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
        for image in (texture(), texture(1.3, -0.8))
    )
    ours, ours_misfit = found(taken(before), after)
    start = POINTS.astype(np.float32).reshape(-1, 1, 2)
    theirs, _, misfit = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        start,
        start.copy(),
        winSize=(31, 31),
        maxLevel=2,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 0.001),
    )
    np.testing.assert_allclose(ours, theirs[:, 0], atol=0.03)
    np.testing.assert_allclose(ours_misfit, misfit[:, 0], rtol=0.05)


def test_a_window_without_texture_is_lost() -> None:
    image = texture()
    image[110:, 120:] = 90.0  # round the last point
    moved, misfit = found(taken(image), image)
    assert np.isinf(misfit).tolist() == [False] * 4 + [True]
    np.testing.assert_array_equal(moved[4], POINTS[4])


def test_a_point_that_leaves_the_picture_does_not_fit() -> None:
    windows = Windows(1, 31, 0)
    edge = np.array([(186.0, 100.0)])
    windows.take(Pyramid(texture(), 0, 15), edge, ALL[:1])
    _, misfit = windows.find(
        Pyramid(texture(8.0, 0.0), 0, 15), edge + np.array((8.0, 0.0)), ALL[:1]
    )
    assert (misfit > 10).all()  # its window holds 30 gray levels of contrast


@pytest.mark.parametrize("point", [(0.0, 0.0), (191.0, 191.0), (0.0, 100.0), (191.0, 3.0)])
def test_windows_reach_over_the_edge(point: tuple[float, float]) -> None:
    windows = Windows(1, 31, 2)
    picture = Pyramid(texture(), 2, 15)
    windows.take(picture, np.array([point]), ALL[:1])
    moved, misfit = windows.find(picture, np.array([point]), ALL[:1])
    np.testing.assert_allclose(moved, [point], atol=0.02)
    assert misfit[0] < 1


def test_windows_are_taken_and_copied_one_by_one() -> None:
    windows, other = taken(texture()), Windows(len(POINTS), 31, 2)
    shifted = texture(2.0, 0.0)
    windows.take(Pyramid(shifted, 2, 15), POINTS[1:2] + np.array((2.0, 0.0)), ALL[1:2])
    moved, _ = windows.find(Pyramid(shifted, 2, 15), POINTS, ALL)
    np.testing.assert_allclose(moved, POINTS + np.array((2.0, 0.0)), atol=0.01)
    other.copy(windows, ALL)
    again, _ = other.find(Pyramid(shifted, 2, 15), POINTS, ALL)
    np.testing.assert_array_equal(again, moved)


def test_what_is_found_does_not_depend_on_who_else_is_sought() -> None:
    windows, picture = taken(texture()), Pyramid(texture(1.0, 1.0), 2, 15)
    together, _ = windows.find(picture, POINTS, ALL)
    for k in ALL:
        alone, _ = windows.find(picture, POINTS[[k]], ALL[[k]])
        np.testing.assert_array_equal(alone[0], together[k])
