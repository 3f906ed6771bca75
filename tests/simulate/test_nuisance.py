"""What is no expression is spotted as none, each nuisance by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aumer.config import load_settings
from aumer.errors import UsageError
from aumer.face.mean_face import MEAN_FACE
from aumer.mdmo import ROIS
from aumer.simulate import nuisance
from aumer.simulate.anatomy import ACTION_UNITS
from aumer.simulate.features import Subject, render
from aumer.simulate.timeline import Timeline
from aumer.spotting.rules import RuleSpotter
from aumer.types import Features

AVERAGE = Subject(dict.fromkeys(ACTION_UNITS, (1.0, 1.0)), 1.0)


def alone(*names: str, seed: int = 0, seconds: float = 60.0) -> Features:
    return render(Timeline(seconds, ()), AVERAGE, nuisance.load(names), seed=seed)


@pytest.mark.parametrize("name", nuisance.USUAL)
def test_alone_it_is_no_expression(name: str) -> None:
    """In at least 95 of 100 minutes, at the spotter's default threshold."""
    spotter = RuleSpotter(load_settings().rules)
    minutes = {
        (seed, int(e.apex_s // 60))
        for seed in range(10)
        for e in spotter(alone(name, seed=seed, seconds=600.0))[1]
    }
    assert len(minutes) <= 5


@pytest.mark.parametrize("name", [n for n in nuisance.USUAL if n != "lost_faces"])
def test_it_moves_something_and_is_switched_by_itself(name: str) -> None:
    one = alone(name, seconds=120.0).values
    assert np.abs(one).max() > 0
    rest = [n for n in nuisance.USUAL if n not in (name, "lost_faces")]
    with_it, without = alone(*rest, name, seconds=120.0).values, alone(*rest, seconds=120.0).values
    np.testing.assert_allclose(with_it - without, one, atol=1e-5)


def test_flow_noise_has_the_measured_spread_and_correlation() -> None:
    noise = nuisance.load(["flow_noise"])["flow_noise"]
    rows = alone("flow_noise", seconds=600.0).values
    np.testing.assert_allclose(rows[..., 0].std(axis=0), noise.x_px, rtol=0.06)
    np.testing.assert_allclose(rows[..., 1].std(axis=0), noise.y_px, rtol=0.06)
    correlation = np.corrcoef(rows[..., 1].T)
    assert correlation[0, 1] == pytest.approx(noise.same_brow, abs=0.04)
    assert correlation[1, 4] == pytest.approx(noise.brows, abs=0.05)
    assert correlation[8, 11] == pytest.approx(noise.mouth, abs=0.05)
    assert correlation[1, 8] == pytest.approx(noise.brow_mouth, abs=0.05)
    normed = rows / rows.std(axis=0)
    assert 3.3 < (normed**4).mean() < 6  # heavier than a Gaussian's 3


def test_flow_noise_spreads_alike_at_any_rate() -> None:
    """It is a walk: after a second it is as far at 30 rows a second as at 200."""
    for name in ("flow_noise", "head_sway"):
        reach = []
        for rate in (30.0, 200.0):
            made = render(Timeline(400.0, ()), AVERAGE, nuisance.load([name]), rate=rate)
            path = np.cumsum(made.values[:, 1, 1], dtype=np.float64)[:: round(rate)]
            reach.append(np.diff(path).std())
        assert reach[1] == pytest.approx(reach[0], rel=0.15), name


def test_landmark_jitter_comes_back() -> None:
    rows = alone("landmark_jitter", seconds=300.0).values[..., 1]
    lag = (rows[1:] * rows[:-1]).mean() / rows.var()
    assert lag == pytest.approx(-0.5, abs=0.03)


def test_talking_is_in_the_band_of_speech_and_strongest_at_the_lower_lip() -> None:
    rows = alone("talking", seconds=600.0).values.astype(np.float64)
    spread = rows.std(axis=0)
    assert spread[:, 1].argmax() == list(ROIS).index("lip_lower")
    power = np.abs(np.fft.rfft(rows[:, 11, 1])) ** 2
    hz = np.fft.rfftfreq(len(rows), 1 / 30)
    low, high = nuisance.load(["talking"])["talking"].band_hz
    assert power[(hz > 0.7 * low) & (hz < 1.3 * high)].sum() > 0.9 * power.sum()


def test_talking_is_as_strong_as_it_was_measured() -> None:
    talking = nuisance.load(["talking"])["talking"]
    always = replace(talking, per_min=600.0, length_s=(1000.0, 1000.0))
    path = always.path(np.random.default_rng(0), np.arange(9001) / 30)[300:]
    found = np.diff(path, axis=0).std(axis=0) * 64
    expected = [np.hypot.reduce(modes) for modes in (talking.modes_x_px, talking.modes_y_px)]
    # A row is the motion over its length, a little less than the velocity at its middle.
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=0.15)


def test_a_misfit_of_the_head_is_rigid_about_the_nose_and_goes_with_the_lids() -> None:
    misfit = replace(nuisance.load(["head_misfit"])["head_misfit"], per_min=2.0)
    times = np.arange(9001) / 30
    path = misfit.path(np.random.default_rng(0), times)
    # Scale and roll in the plane, yaw and pitch in proportion to depth: four numbers a row say all.
    x, y, z = (MEAN_FACE[list(ROIS.values())] - MEAN_FACE[[28, 30]].mean(axis=0)).T
    none = np.zeros(12)
    columns = [[x, y], [-y, x], [z, none], [none, z]]
    rigid = np.stack([np.stack(c, axis=-1).ravel() for c in columns], axis=-1)
    rows = path.reshape(len(times), -1)
    left = rows - rows @ np.linalg.pinv(rigid).T @ rigid.T
    np.testing.assert_allclose(left, 0, atol=1e-12)
    nose = [list(ROIS).index(name) for name in ("nose_bridge", "nose_tip")]
    np.testing.assert_allclose(path[:, nose].mean(axis=1), 0, atol=1e-12)
    size = np.abs(path).max(axis=(1, 2))
    moving = np.diff(np.flatnonzero(np.diff((size > 0).astype(int))))[::2]
    assert len(moving) >= 3 and np.median(moving) / 30 == pytest.approx(0.30, abs=0.05)
    assert 0.002 < np.median(size[size > 0.5 * size.max()]) < 0.03
    assert "head_misfit" not in nuisance.USUAL  # the levels are set without


def test_lost_faces_are_nan_and_invalid() -> None:
    made = alone("flow_noise", "lost_faces", seconds=600.0)
    assert 0 < (~made.valid).mean() < 0.05
    assert np.isnan(made.values[~made.valid]).all() and np.isfinite(made.values[made.valid]).all()


def test_quantisation_leaves_whole_steps() -> None:
    made = alone("flow_noise", "quantisation")
    step = nuisance.load(["quantisation"])["quantisation"].step_px
    np.testing.assert_allclose(made.values / step, np.rint(made.values / step), atol=1e-3)
    assert "quantisation" not in nuisance.USUAL


def test_an_unknown_nuisance_is_named() -> None:
    with pytest.raises(UsageError, match="Did you mean 'blinks'"):
        nuisance.load(["blink"])
