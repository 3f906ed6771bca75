"""Each action unit moves the face as its muscle pulls, on its side, without folding the skin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from aumer.errors import UsageError
from aumer.face.mean_face import MEAN_FACE
from aumer.simulate.anatomy import ACTION_UNITS, Action, displacement
from aumer.simulate.statistics import load
from aumer.types import KINDS

FACE = np.asarray(MEAN_FACE[:, :2])
GRID = np.stack(np.meshgrid(np.linspace(-1.0, 1.0, 61), np.linspace(-0.8, 1.4, 67)), axis=-1)


def moved(au: int, side: str = "both") -> npt.NDArray[np.float64]:
    return displacement({(au, side): 1.0}, FACE)


def least_jacobian(actions: tuple[Action, ...]) -> float:
    """The least determinant of the warp that the actions make at intensity 1."""
    shift = displacement(dict.fromkeys(actions, 1.0), GRID.reshape(-1, 2)).reshape(GRID.shape)
    step_x, step_y = GRID[0, 1, 0] - GRID[0, 0, 0], GRID[1, 0, 1] - GRID[0, 0, 1]
    dy = np.gradient(shift, step_y, axis=0)
    dx = np.gradient(shift, step_x, axis=1)
    return float(((1 + dx[..., 0]) * (1 + dy[..., 1]) - dx[..., 1] * dy[..., 0]).min())


# Landmark (subject's right side), and the sign of its motion in x (image right) and y (down).
@pytest.mark.parametrize(
    ("au", "landmark", "x", "y"),
    [
        (1, 21, 0, -1),  # inner brow up
        (2, 18, 0, -1),  # outer brow up
        (4, 21, 1, 1),  # inner brow down and toward the other
        (5, 37, 0, -1),  # upper lid up
        (6, 41, 0, -1),  # lower lid pushed up by the cheek
        (7, 40, 1, -1),  # lower lid up and in
        (9, 31, 1, -1),  # wing of the nose up
        (10, 50, 0, -1),  # upper lip up
        (12, 48, -1, -1),  # mouth corner out and up
        (13, 48, 0, -1),
        (14, 48, -1, 0),
        (15, 48, 0, 1),  # mouth corner down
        (16, 57, 0, 1),  # lower lip down
        (17, 57, 0, -1),  # lower lip and chin up
        (18, 48, 1, 0),  # mouth corner in
        (20, 48, -1, 0),  # mouth corner out
        (23, 57, 0, -1),
        (24, 51, 0, 1),  # lips on one another
        (24, 57, 0, -1),
        (25, 57, 0, 1),  # lips apart
        (25, 51, 0, -1),
        (26, 8, 0, 1),  # chin down
        (27, 8, 0, 1),
        (43, 37, 0, 1),  # upper lid down
        (45, 37, 0, 1),
    ],
)
def test_it_moves_as_its_muscle_pulls(au: int, landmark: int, x: int, y: int) -> None:
    shift = moved(au)[landmark]
    assert np.hypot(*shift) > 0.005
    for value, sign in zip(shift, (x, y), strict=True):
        if sign:
            assert value * sign > 0.002
        else:
            assert abs(value) < 0.6 * np.abs(shift).max()


def test_inner_and_outer_brow_raisers_differ() -> None:
    inner, outer = moved(1), moved(2)
    assert inner[21, 1] < 3 * inner[17, 1] < 0
    assert outer[18, 1] < 3 * outer[21, 1]


@pytest.mark.parametrize("au", sorted(ACTION_UNITS))
def test_both_sides_are_mirror_images_and_add_up(au: int) -> None:
    mirror = FACE * (-1, 1)
    right = displacement({(au, "right"): 1.0}, FACE)
    left = displacement({(au, "left"): 1.0}, mirror) * (-1, 1)
    np.testing.assert_allclose(left, right, atol=1e-12)
    if all(push.at[0] for push in ACTION_UNITS[au]):
        both = displacement({(au, "both"): 1.0}, FACE)
        np.testing.assert_allclose(both, right + moved(au, "left"), atol=1e-12)


@pytest.mark.parametrize("au", [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 20])
def test_one_side_leaves_the_other(au: int) -> None:
    left = np.hypot(*moved(au, "left").T)
    on_the_left = FACE[:, 0] > 0
    assert left[on_the_left].max() > 0.01
    # Skin that lies near the midline is drawn along.
    assert left[FACE[:, 0] < -0.15].max() < 0.1 * left.max()


def test_it_is_linear_in_intensity() -> None:
    together = displacement({(12, "both"): 0.5, (1, "left"): 0.2}, FACE)
    np.testing.assert_allclose(together, 0.5 * moved(12) + 0.2 * moved(1, "left"), atol=1e-12)
    assert not displacement({}, FACE).any()


def test_the_nose_that_head_motion_is_read_from_stays() -> None:
    for au in set(ACTION_UNITS) - {9, 10, 11, 38, 39}:
        assert np.hypot(*moved(au)[28:31].T).max() < 0.01, au


@pytest.mark.parametrize("side", ["both", "left"])
@pytest.mark.parametrize("au", sorted(ACTION_UNITS))
def test_no_action_unit_folds_the_skin(au: int, side: str) -> None:
    assert least_jacobian(((au, side),)) > 0.2


def test_no_combination_that_was_seen_folds_the_skin() -> None:
    seen = {c for kind in KINDS for c in load().kinds[kind].combinations}
    worst = min(seen, key=least_jacobian)
    assert least_jacobian(worst) > 0, worst


@pytest.mark.parametrize("action", [(3, "both"), (12, "middle")])
def test_an_unknown_action_is_named(action: Action) -> None:
    with pytest.raises(UsageError, match=str(action[0]) if action[0] == 3 else "middle"):
        displacement({action: 1.0}, FACE)
