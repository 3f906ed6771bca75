"""What is no expression is spotted as none, each nuisance by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aumer.config import load_settings
from aumer.errors import UsageError
from aumer.face.mean_face import MEAN_FACE
from aumer.motion.mdmo import ROIS
from aumer.simulate import disturbances, nuisance
from aumer.simulate.anatomy import ACTION_UNITS
from aumer.simulate.disturbances import Move, moved
from aumer.simulate.features import Subject, render
from aumer.simulate.timeline import Timeline
from aumer.spotting.rules import RuleSpotter
from aumer.types import Features

AVERAGE = Subject(dict.fromkeys(ACTION_UNITS, (1.0, 1.0)), 1.0)


def alone(*names: str, seed: int = 0, seconds: float = 60.0) -> Features:
    return render(Timeline(seconds, ()), AVERAGE, nuisance.load(names), seed=seed)


#: Minutes of 100 in which something may be spotted. The motion stage leaves a tenth of a turn out
#: of the plane (`head_turns`): .012 that comes and goes in a second or two, as a small expression
#: does, and nothing in the features tells them apart. So with a tenth of all bouts of speech
#: (`talking`), whose syllables take .3 s. What a blink leaves of the head's fit (`head_misfit`, 17
#: a minute) and the lips of somebody who swallows move as far as a small micro-expression and
#: return: rules that see the one report the other, no more than one a minute or so. To tell them
#: apart takes more than a threshold.
MOST = {"head_turns": 60, "talking": 25, "head_misfit": 80, "swallowing": 75}


@pytest.mark.parametrize("name", nuisance.USUAL)
def test_alone_it_is_no_expression(name: str) -> None:
    """In at least 95 of 100 minutes, at the spotter's default threshold, but for `MOST`."""
    spotter = RuleSpotter(load_settings().rules)
    minutes = {
        (seed, int(e.apex_s // 60))
        for seed in range(10)
        for e in spotter(alone(name, seed=seed, seconds=600.0))[1]
    }
    assert len(minutes) <= MOST.get(name, 5)


@pytest.mark.parametrize("name", [n for n in nuisance.USUAL if n != "lost_faces"])
def test_it_moves_something_and_is_switched_by_itself(name: str) -> None:
    one = alone(name, seconds=120.0).values
    assert np.abs(one).max() > 0
    rest = [n for n in nuisance.USUAL if n not in (name, "lost_faces")]
    with_it, without = alone(*rest, name, seconds=120.0).values, alone(*rest, seconds=120.0).values
    np.testing.assert_allclose(with_it - without, one, atol=1e-5)


def noise() -> nuisance.MotionNoise:
    made = nuisance.load(["motion_noise"])["motion_noise"]
    assert isinstance(made, nuisance.MotionNoise)
    return made


def test_motion_noise_has_the_measured_spread_and_correlation() -> None:
    made = noise()
    path = made.path(np.random.default_rng(0), np.arange(30 * 1200) / 30)
    white, slow = (
        np.stack([getattr(made, f"{part}_{axis}") for axis in "xy"], axis=1)
        for part in ("white", "slow")
    )
    np.testing.assert_allclose(path.std(axis=0), np.hypot(white, slow), rtol=0.08)
    keep = np.exp(-1 / 30 / made.correlation_s)
    rows = np.diff(path, axis=0)
    expected = np.sqrt(2 * white**2 + 2 * (1 - keep) * slow**2)
    np.testing.assert_allclose(rows.std(axis=0), expected, rtol=0.06)
    correlation = np.corrcoef(rows[..., 1].T)
    assert correlation[0, 2] == pytest.approx(made.same_brow, abs=0.06)
    assert correlation[1, 4] == pytest.approx(made.brows, abs=0.06)
    assert correlation[8, 11] == pytest.approx(made.mouth, abs=0.06)
    assert correlation[1, 8] == pytest.approx(made.brow_mouth, abs=0.06)
    normed = rows / rows.std(axis=0)
    assert 3.2 < (normed**4).mean() < 6  # heavier than a Gaussian's 3


def test_a_still_face_moves_as_the_settings_claim() -> None:
    """rms of the displacement over some seconds, of the median ROI of the mean subject."""
    claim = nuisance.settings()["still"]
    causes = nuisance.load(nuisance.STILL)
    squares = []
    for seed in range(20):
        made = render(Timeline(20.0, ()), AVERAGE, causes, seed=seed)
        path = np.cumsum(made.values, axis=0, dtype=np.float64) / made.eye_distance
        lags = [round(s * made.rate) for s in claim["over_s"]]
        squares.append([((path[k:] - path[:-k]) ** 2).sum(axis=2).mean(axis=0) for k in lags])
    shown = np.median(np.sqrt(np.mean(squares, axis=0)), axis=1)
    np.testing.assert_allclose(shown, claim["shown"], rtol=0.06)


def test_motion_noise_does_not_add_up() -> None:
    """Over ten seconds a face is no further off than over two."""
    path = noise().path(np.random.default_rng(1), np.arange(30 * 1200) / 30)
    near, far = (np.std(path[k:] - path[:-k], axis=0) for k in (60, 300))
    np.testing.assert_allclose(far, near, rtol=0.05)


def test_slow_noise_spreads_alike_at_any_rate() -> None:
    """After a second it is as far at 30 rows a second as at 200."""
    silent = (0.0,) * 12
    slow = replace(noise(), white_x=silent, white_y=silent)
    for cause in (slow, nuisance.load(["head_sway"])["head_sway"]):
        reach = []
        for rate in (30, 200):
            path = cause.path(np.random.default_rng(2), np.arange(400 * rate) / rate)[:, 1, 1]
            reach.append(np.std(path[rate:] - path[:-rate]) / (path.std() + 1e-12))
        assert reach[1] == pytest.approx(reach[0], rel=0.15), cause


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


def test_lost_faces_are_nan_and_invalid() -> None:
    made = alone("motion_noise", "lost_faces", seconds=600.0)
    assert 0 < (~made.valid).mean() < 0.05
    assert np.isnan(made.values[~made.valid]).all() and np.isfinite(made.values[made.valid]).all()


def test_quantization_leaves_whole_steps() -> None:
    made = alone("motion_noise", "quantization")
    step = nuisance.load(["quantization"])["quantization"].step_px
    np.testing.assert_allclose(made.values / step, np.rint(made.values / step), atol=1e-3)
    assert "quantization" not in nuisance.USUAL


def test_an_unknown_nuisance_is_named() -> None:
    with pytest.raises(UsageError, match="Did you mean 'blinks'"):
        nuisance.load(["blink"])


def test_a_blink_is_one_curve_of_a_moment_and_of_many() -> None:
    """Films ask for a moment at a time, features for all rows: to the last bit."""
    times = 0.001 + np.arange(400) / 400
    blink = disturbances.Blink(0.2, 0.08, 0.03, 0.17)
    closed = blink.closure(times)
    assert closed.tolist() == [float(blink.closure(t)) for t in times.tolist()]
    under_way = (times > blink.start_s) & (times < blink.end_s)
    assert not closed[~under_way].any() and (closed[under_way] > 0).all()
    assert (closed[(times > 0.28) & (times < 0.31)] == 1.0).all()


def test_a_move_stays_or_comes_back_at_a_time_or_at_many() -> None:
    times = np.linspace(-1, 9, 101)
    stays = Move(1.0, 2.0, np.array([0.5, -1.0]))
    returns = Move(1.0, 2.0, np.array([0.5, -1.0]), stay_s=3.0, back_s=1.0)
    assert stays.at(1.0).tolist() == [0, 0] and stays.at(9.0).tolist() == [0.5, -1]
    assert returns.at(3.0).tolist() == [0.5, -1] and returns.at(7.0).tolist() == [0, 0]
    np.testing.assert_allclose(returns.at(6.5), [0.25, -0.5])
    both = moved([stays, returns], times, 2)
    assert both.shape == (101, 2) and moved([], 0.0, 2).tolist() == [0, 0]
    assert [moved([stays, returns], t, 2).tolist() for t in times.tolist()] == both.tolist()


def test_the_covariance_of_slow_errors_is_that_of_their_paths() -> None:
    slow = replace(noise(), white_x=(0.0,) * 12, white_y=(0.0,) * 12, degrees=1e6)
    times = 3.0 * np.arange(20000)  # ten times as far apart as they are correlated
    path = slow.path(np.random.default_rng(0), times).reshape(len(times), 24)
    size = np.sqrt(np.diag(slow.slow_covariance()))
    expected = slow.slow_covariance() / np.outer(size, size)
    np.testing.assert_allclose(np.cov(path.T) / np.outer(size, size), expected, atol=0.05)
