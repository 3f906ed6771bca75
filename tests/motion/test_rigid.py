"""The motion of a head as a rigid body, against motions that are known."""

from __future__ import annotations

import numpy as np
import pytest

from aumer.motion.rigid import fit_rigid, rigid_basis

SIDE = 128
RIDGE = np.full(6, 1e-6)
#: (x, y) px of points beside the nose, and of some on it.
BESIDE = [(40, 60), (88, 60), (36, 76), (92, 76), (44, 70), (84, 70), (30, 56), (98, 56), (48, 82)]
TIP = [(64, 74), (64, 84)]


def basis() -> np.ndarray:
    x, y = np.array([*BESIDE, *TIP]).T
    return rigid_basis(SIDE)[y, x].astype(np.float64)


def shares(of_tip: float) -> np.ndarray:
    return np.array([[1.0] * len(BESIDE) + [of_tip] * len(TIP)])


@pytest.mark.parametrize("which", range(6))
@pytest.mark.parametrize("of_tip", [0.0, 0.5, 1.0])
def test_a_rigid_motion_is_found_whole_whoever_is_asked(which: int, of_tip: float) -> None:
    true = np.zeros(6)
    true[which] = 0.8
    found, apart = fit_rigid(
        basis(), basis() @ true, RIDGE, power=2, rest=(1.0, 1e-2), shares=shares(of_tip)
    )
    # Turns out of the plane are held back a little: by 1 / (1 + (.8 / .01)^2) of all.
    np.testing.assert_allclose(found, [true], atol=0.02)
    assert apart.shape == (1,)
    assert apart[0] < 0.01


def test_at_rest_what_moves_where_nobody_asks_is_not_the_heads() -> None:
    motion = np.zeros((len(BESIDE) + len(TIP), 2))
    motion[len(BESIDE) :] = (0.02, 0.05)
    asked, _ = fit_rigid(basis(), motion, RIDGE, rest=(1.0, 0.1))
    not_asked, _ = fit_rigid(basis(), motion, RIDGE, rest=(1.0, 0.1), shares=shares(0.0))
    at_tip = np.abs(basis()[len(BESIDE) :] @ asked[0]).max()
    assert np.abs(basis()[len(BESIDE) :] @ not_asked[0]).max() < 0.1 * at_tip


def test_a_head_that_turns_is_read_from_all() -> None:
    rng = np.random.default_rng(0)
    true = np.array([0.1, 0.0, 0.0, 0.0, 1.5, -0.7])
    motion = basis() @ true + 0.02 * rng.standard_normal((len(BESIDE) + len(TIP), 2))
    all_, _ = fit_rigid(basis(), motion, RIDGE, rest=(1.0, 1e-3))
    some, _ = fit_rigid(basis(), motion, RIDGE, rest=(1.0, 1e-3), shares=shares(0.0))
    np.testing.assert_allclose(some, all_, atol=1e-4)


def test_many_fits_at_once_are_those_of_one_after_the_other() -> None:
    rng = np.random.default_rng(1)
    motion = 0.05 * rng.standard_normal((len(BESIDE) + len(TIP), 2))
    motion[2] = (1.0, -2.0)
    each = rng.uniform(0, 1, (5, len(motion)))
    found, apart = fit_rigid(basis(), motion, RIDGE, power=2, rest=(1.0, 0.1), shares=each)
    for k in range(5):
        one, misfit = fit_rigid(
            basis(), motion, RIDGE, power=2, rest=(1.0, 0.1), shares=each[k : k + 1]
        )
        np.testing.assert_array_equal(found[k], one[0])
        assert apart[k] == misfit[0]
