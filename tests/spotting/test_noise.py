"""A movement's noise, the dial that is told in it, and what results say of what could be seen."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import aumer
from aumer.config import RuleSettings, load_settings
from aumer.errors import ConfigError, UsageError
from aumer.motion.mdmo import ROIS
from aumer.spotting import noise
from aumer.spotting.movements import MOVEMENTS
from aumer.spotting.rules import RuleSpotter
from aumer.types import Expression, Features, Scores
from tests.cost import cpu_seconds

RULES = load_settings().rules
NAMES = tuple(ROIS)
#: Thresholds are noise alone, however small it is.
BARE = replace(RULES, min_height=1e-6)
LOUD = 0.004  # outer-eye distances


def still(seconds: float, rate: float = 30.0, seed: int = 0, loud: float = LOUD) -> Features:
    """A face that is measured with noise, each frame's own."""
    n = round(seconds * rate)
    path = np.random.default_rng(seed).normal(size=(n + 1, 12, 2)) * loud * 64
    return of(np.diff(path, axis=0), rate)


def of(values: np.ndarray, rate: float = 30.0) -> Features:
    n = len(values)
    return Features(
        values=values.astype(np.float32),
        times=np.arange(n) / rate,
        frames=np.arange(n),
        valid=np.ones(n, bool),
        rois=NAMES,
        rate=rate,
    )


def bases(given: Features, settings: RuleSettings = BARE) -> np.ndarray:
    """(8, N) thresholds at sensitivity "normal" of a run."""
    ((_, _, movements),) = noise.followed(given, settings)
    return np.stack([m.base for m in movements])


def at(sensitivity: str | float) -> RuleSettings:
    return load_settings(overrides={"rules": {"sensitivity": sensitivity}}).rules


# -- the noise so far ------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [25.0, 30.0, 100.0])
def test_a_run_within_the_window_is_judged_as_a_whole(rate: float) -> None:
    whole = replace(BARE, noise_window_s=0.0)
    for seconds in (0.5, 12.0, RULES.noise_window_s):
        given = still(seconds, rate)
        np.testing.assert_array_equal(bases(given), bases(given, whole))
        assert (bases(given) == bases(given)[:, :1]).all()
        assert RuleSpotter(BARE)(given)[1] == RuleSpotter(whole)(given)[1]
    longer = still(RULES.noise_window_s + 1 / rate, rate)
    assert not np.array_equal(bases(longer), bases(longer, whole))


def test_a_threshold_is_of_the_window_before() -> None:
    """Every second anew, from the window that ends where the look-ahead and the filters allow."""
    given = still(50.0)
    window, found = round(RULES.noise_window_s * 30), bases(given)
    ((_, _, movements),) = noise.followed(given, BARE)
    for movement, base in zip(movements, found, strict=True):
        for row in (0, 29, 30, 31, 930, 959, 960, 1200, 1499, 1500):
            end = min(max(row // 30 * 30 + 60 - 36 - 5 + 1, window + 1), 1501)
            # Filters see the run's end where it is, so the part is judged with what is round it.
            part = movement.smooth[end - window - 1 : end]
            rough = movement.smooth - noise.gaussian_filter1d(movement.smooth, 9, mode="nearest")
            quick = np.median(np.abs(rough[end - window - 1 : end])) / 0.6745
            slow = np.quantile(np.abs(part[30:] - part[:-30]), 0.1) / 0.12566 / math.sqrt(2)
            least = max(RULES.noise_factor * quick, RULES.drift_factor * slow)
            assert base[row] == pytest.approx(least, rel=1e-9)


def test_a_threshold_knows_nothing_of_what_comes_after_the_look_ahead() -> None:
    given = still(60.0)
    before = bases(given)
    for row in (960, 1000, 1400):
        values = given.values.copy()
        later = row + round(RULES.lookahead_s * 30) + 1
        values[later:] *= 9
        after = bases(replace(given, values=values))
        np.testing.assert_allclose(after[:, : row + 1], before[:, : row + 1], rtol=1e-9)
        assert (after[:, -1] > 1.2 * before[:, -1]).all()


def test_a_face_that_becomes_restless_asks_for_more() -> None:
    calm, restless = still(60.0, loud=0.001), still(60.0, seed=1, loud=0.006)
    given = of(np.concatenate([calm.values, restless.values]))
    found = bases(given)
    assert (found[:, 3570] > 3 * found[:, 900]).all()
    whole = bases(given, replace(BARE, noise_window_s=0.0))
    assert (found[:, 900] < whole[:, 0]).all() and (found[:, 3570] > whole[:, 0]).all()


def test_the_cost_is_linear_in_the_length() -> None:
    def cost(minutes: float) -> float:
        given = still(60 * minutes)
        assert bases(given).shape == (len(MOVEMENTS), 1800 * minutes + 1)
        return cpu_seconds(lambda: bases(given))

    assert cost(30) < 20 * cost(5)  # 6 times as long


# -- the dial --------------------------------------------------------------------------------------


def test_the_dial_by_name_and_by_number() -> None:
    assert noise.factor("normal") == noise.NORMAL == RULES.noise_factor
    assert noise.factor("high") < noise.factor("normal") < noise.factor("low")
    for units, rate in noise.FALSE_ALARMS:
        assert noise.factor(f"{rate:g}") == pytest.approx(units)
        assert noise.false_alarms(units) == pytest.approx(rate)
    between = [noise.factor(f"{rate:g}") for rate in np.geomspace(0.45, 29, 50)]
    assert between == sorted(between, reverse=True)
    for rate in (1.3, 6.1, 20.0):
        assert noise.false_alarms(noise.factor(f"{rate:g}")) == pytest.approx(rate)


@pytest.mark.parametrize("rate", ["0.3", "42", "1000"])
def test_a_number_that_was_not_measured_is_refused_with_the_range(rate: str) -> None:
    with pytest.raises(ConfigError, match=rf"from 0\.45 to 29.* false alarms .*found {rate}"):
        RuleSpotter(at(rate))
    with pytest.raises(ConfigError, match=r"0\.45 to 29"):
        aumer.spot(still(2.0), model="rules", sensitivity=float(rate))


def test_every_threshold_moves_by_one_factor() -> None:
    given = still(4.0)
    for name, units in noise.NAMED.items():
        limit, regions = noise.limits(given, at(name))
        normal, by_region = noise.limits(given, RULES)
        assert limit == pytest.approx(normal * units / noise.NORMAL)
        assert regions == pytest.approx({k: v * units / noise.NORMAL for k, v in by_region.items()})


def test_spot_takes_a_sensitivity() -> None:
    given = still(20.0, loud=0.003)
    found = {
        how: aumer.spot(given, model="rules", sensitivity=how)
        for how in ("low", "normal", "high", 25)
    }
    numbers = [len(r.expressions) for r in found.values()]
    assert numbers == sorted(numbers) and numbers[0] < numbers[-1]
    assert found["normal"] == aumer.spot(given, model="rules")
    assert found[25].settings["rules"]["sensitivity"] == "25"
    by_setting = {"rules": {"sensitivity": "high"}}
    assert aumer.spot(given, model="rules", settings=by_setting) == found["high"]


def test_a_sensitivity_that_would_move_nothing_is_refused() -> None:
    given = still(2.0)
    with pytest.raises(UsageError, match="the false alarms of its threshold were not measured"):
        aumer.spot(given, model="network", sensitivity="high")
    with pytest.raises(UsageError, match="was made with normal"):
        aumer.spot(given, model=RuleSpotter(RULES), sensitivity="high")
    aumer.spot(given, model=RuleSpotter(at("high")), sensitivity="high")
    low = aumer.spot(given, model="rules", sensitivity="low")
    assert low.limit > aumer.spot(given, model="rules").limit


# -- peaks and limits ------------------------------------------------------------------------------


def bump(height: float, rois: tuple[str, ...], seconds: float = 6.0) -> Features:
    """At 2.5 to 3.3 s these ROIs go up by `height` outer-eye distances, and return."""
    given = still(seconds, loud=0.0002)
    instants = np.arange(len(given) + 1) / 30
    level = 0.5 - 0.5 * np.cos(2 * np.pi * np.clip((instants - 2.5) / 0.8, 0, 1))
    values = given.values.copy()
    for roi in rois:
        values[:, NAMES.index(roi), 1] -= np.diff(level) * height * 64
    return replace(given, values=values)


BROWS = tuple(name for name in NAMES if name.startswith("brow"))


def test_a_peak_is_told_in_units_of_noise() -> None:
    """Of a quiet face a unit is a fifth of the least height."""
    unit = RULES.min_height / 5
    for height in (0.012, 0.03):
        (e,) = RuleSpotter(RULES)(bump(height, BROWS))[1]
        assert e.peak == pytest.approx(height / unit, rel=0.05)
    for how in ("low", "high"):  # whatever is asked for, the unit is the same
        (other,) = RuleSpotter(at(how))(bump(height, BROWS))[1]
        assert other.peak == e.peak
    noisy = still(20.0, loud=0.003)
    found = RuleSpotter(at("high"))(noisy)[1]
    assert found and min(e.peak for e in found) >= 3.5


def test_what_another_spotter_finds_gets_its_peak_of_the_same_noise() -> None:
    given = bump(0.03, BROWS)
    (own,) = RuleSpotter(RULES)(given)[1]
    there = replace(own, peak=None)
    elsewhere = Expression("micro", 10, 15, 20, 10 / 30, 15 / 30, 20 / 30, 0.5)
    known, none, kept = noise.with_peaks([there, elsewhere, replace(own, peak=1.5)], given, RULES)
    assert known.peak == pytest.approx(own.peak)
    assert none.peak < 1
    assert kept.peak == 1.5
    lost = replace(
        given,
        valid=np.zeros(len(given), bool),
        values=np.full_like(given.values, np.nan),
        confidence=np.zeros_like(given.confidence),
    )
    assert noise.with_peaks([there], lost, RULES) == (there,)


def test_where_rois_are_missing_nothing_is_said() -> None:
    given = bump(0.03, BROWS)
    fewer = Features(
        given.values[:, :5], given.times, given.frames, given.valid, NAMES[:5], given.rate
    )
    e = Expression("macro", 75, 87, 99, 2.5, 2.9, 3.3, 0.5)
    assert noise.limits(fewer, RULES) == (None, {})
    assert noise.with_peaks([e], fewer, RULES) == (e,)


def test_a_limit_is_the_smallest_movement_that_is_found() -> None:
    limit, regions = noise.limits(bump(0.0, BROWS), RULES)
    assert limit == RULES.min_height
    assert regions == {"brow": RULES.min_height, "mouth": RULES.min_height}
    for height, found in ((0.8, 0), (1.2, 1)):
        assert len(RuleSpotter(RULES)(bump(height * limit, BROWS))[1]) == found
    # A restless mouth is seen less of, and says nothing of the brows.
    quiet, loud = still(6.0, loud=0.0002), still(6.0, loud=0.02)
    values = quiet.values.copy()
    mouth = [k for k, name in enumerate(NAMES) if name.startswith(("mouth", "lip"))]
    values[:, mouth] = loud.values[:, mouth]
    _, regions = noise.limits(replace(quiet, values=values), RULES)
    assert regions["brow"] == RULES.min_height
    assert regions["mouth"] > 2 * RULES.min_height


class Always:
    """A spotter that spots the same, whatever it is given."""

    name = "always"

    def __call__(self, features: Features) -> tuple[Scores, tuple[Expression, ...]]:
        scores = Scores(
            np.zeros((len(features), 1), np.float32),
            features.times,
            features.frames,
            features.valid,
            ("nothing",),
        )
        return scores, (Expression("macro", 75, 87, 99, 2.5, 2.9, 3.3, 0.5),)


def test_a_result_says_what_could_have_been_seen() -> None:
    given = bump(0.03, BROWS)
    for model in ("rules", "network", "combined", Always()):
        result = aumer.spot(given, model=model)
        own = replace(RULES, min_height=0.625 * RULES.min_height) if model == "combined" else RULES
        assert (result.limit, result.limits) == noise.limits(given, own)
        assert all(e.peak is not None for e in result.expressions)
    (e,) = result.expressions
    assert e.peak == pytest.approx(0.03 / (RULES.min_height / 5), rel=0.05)
    assert (e.duration_sd_s, e.micro_probability) == (None, None)  # nobody measured this spotter's


# -- durations and kinds ---------------------------------------------------------------------------


def test_a_duration_comes_with_its_error() -> None:
    (e,) = RuleSpotter(RULES)(bump(0.03, BROWS))[1]
    assert e.duration_sd_s == pytest.approx(noise.duration_sd(e.duration_s))
    assert e.duration_bias_s == noise.DURATION_BIAS_S
    assert e.micro_probability is not None and 0 <= e.micro_probability <= 1
    assert noise.duration_sd(0.1) is None and noise.duration_sd(2.0) is None
    for duration, sd in noise.DURATION_SD:
        assert noise.duration_sd(duration) == sd


@pytest.mark.parametrize("model", ["rules", "combined", "always"])
def test_a_limit_of_ones_own_tells_kinds_anew(model: str) -> None:
    given = bump(0.03, BROWS)
    chosen = Always() if model == "always" else model
    plain = aumer.spot(given, model=chosen)
    assert plain.expressions and "kind" not in plain.settings
    lasts = plain.expressions[0].duration_s
    for limit, kind in ((lasts - 0.01, "macro"), (lasts, "micro"), (lasts + 0.1, "micro")):
        result = aumer.spot(given, model=chosen, micro_max_s=limit)
        e = result.expressions[0]
        assert (e.kind, e.micro_max_s) == (kind, limit)
        assert result.settings["kind"] == {"micro_max_s": limit}
    for wrong in (0, -1.0, math.inf, math.nan):
        with pytest.raises(UsageError, match="micro_max_s must be a number of seconds above 0"):
            aumer.spot(given, model=chosen, micro_max_s=wrong)
