"""The rule-based spotter on movements whose onset, apex and offset are known exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from aumer.config import load_settings
from aumer.errors import EXIT_USAGE, UsageError
from aumer.motion.mdmo import ROIS
from aumer.registry import resolve
from aumer.spotting.rules import MOVEMENTS, RuleSpotter
from aumer.types import Expression, Features, Interval, runs

NAMES = tuple(ROIS)
RULES = load_settings().rules
SPOT = RuleSpotter(RULES)
#: px: how far a ROI at rest is reported from where it is, afresh in each row, and as much again
#: that lasts half a second. Over .5 s that makes 2 / 1000 outer-eye distances, as real faces have
#: it (benchmarks/accuracy/motion.py, part c). It does not add up.
NOISE = 0.05
RATES = [15.0, 30.0, 60.0, 100.0]
#: What `Features` hold a row of.
BY_ROW = ("values", "times", "frames", "valid", "confidence", "eyelids", "head")

Curve = Callable[[np.ndarray], np.ndarray]
Directions = Mapping[str, tuple[float, float]]

SMILE = {"mouth_r": (-0.6, -0.8), "mouth_l": (0.6, -0.8)}
BROW_RAISE = {name: (0.0, -1.0) for name in NAMES if name.startswith("brow")}
JAW_DROP = {"lip_lower": (0.0, 1.0)}
FROWN = {
    "brow_r_mid_inner": (0.8, 0.6),
    "brow_l_mid_inner": (-0.8, 0.6),
    "brow_r_mid": (0.3, 0.6),
    "brow_l_mid": (-0.3, 0.6),
}
ONE_CORNER = {"mouth_l": (0.5, -1.0)}
MOVES: dict[str, Directions] = {
    "smile": SMILE,
    "brow raise": BROW_RAISE,
    "jaw drop": JAW_DROP,
    "frown": FROWN,
    "one corner": ONE_CORNER,
}

#: Rise, hold and fall in seconds. Micro: at most half a second.
MICRO = [(0.13, 0.04, 0.17), (0.16, 0.05, 0.20)]
MACRO = [(0.3, 0.2, 0.4), (0.4, 0.8, 0.6), (0.6, 2.0, 0.8)]


def rise(onset: float, duration: float) -> Curve:
    """0 before, 1 after, a raised cosine between."""
    return lambda t: 0.5 - 0.5 * np.cos(np.pi * np.clip((t - onset) / duration, 0, 1))


def bump(onset: float, shape: tuple[float, float, float]) -> Curve:
    """Rises, holds and returns."""
    up, hold, down = shape
    return lambda t: rise(onset, up)(t) - rise(onset + up + hold, down)(t)


def features(
    seconds: float,
    rate: float,
    *parts: tuple[Curve, Directions, float],
    noise: float = 0.0,
    seed: int = 0,
    eyes: float = 64.0,
) -> Features:
    """ROI motion whose sum is each curve times its directions times its height (in eye distances).

    `noise` is in px, in every ROI; see `NOISE`.
    """
    n = round(seconds * rate)
    instants = np.arange(n + 1) / rate
    white, driven = np.random.default_rng(seed).normal(size=(2, n + 1, 12, 2)) * noise
    kept = np.exp(-1 / (0.5 * rate))
    slow = lfilter([np.sqrt(1 - kept**2)], [1, -kept], driven, axis=0)
    values = np.diff(white + slow, axis=0)
    for curve, directions, height in parts:
        step = np.diff(curve(instants)) * height * eyes
        for roi, direction in directions.items():
            values[:, NAMES.index(roi)] += step[:, None] * np.array(direction)
    return Features(
        values=values.astype(np.float32),
        times=np.arange(n) / rate,
        frames=np.arange(n),
        valid=np.ones(n, bool),
        rois=NAMES,
        rate=rate,
        eye_distance=eyes,
    )


def spot(given: Features) -> tuple[Expression, ...]:
    return SPOT(given)[1]


def truth(onset: float, shape: tuple[float, float, float], rate: float) -> Interval:
    return Interval(round(onset * rate), round((onset + sum(shape)) * rate))


def cut(given: Features, *gaps: tuple[int, int]) -> Features:
    """The same features with rows begin to end (half-open) invalid."""
    valid, values = given.valid.copy(), given.values.copy()
    for begin, end in gaps:
        valid[begin:end] = False
        values[begin:end] = np.nan
    return replace(given, valid=valid, values=values)


def of_rois(given: Features, kept: list[int]) -> Features:
    return replace(
        given,
        values=given.values[:, kept],
        rois=tuple(NAMES[k] for k in kept),
        confidence=given.confidence[:, kept],
    )


# What is there is found


@pytest.mark.parametrize("noise", [0.0, NOISE], ids=["clean", "noisy"])
@pytest.mark.parametrize(
    ("name", "rate"),
    [(n, r) for n in MOVES for r in RATES if n in ("smile", "brow raise", "jaw drop") or r == 30.0],
)
def test_a_movement_is_found_where_it_was(name: str, rate: float, noise: float) -> None:
    for shape in MICRO + MACRO:
        for height in (0.03, 0.1):
            given = features(6, rate, (bump(2, shape), MOVES[name], height), noise=noise)
            (found,) = spot(given)  # one movement of many ROIs is one expression
            assert found.interval.iou(truth(2, shape, rate)) >= 0.5
            # The foot of a low movement drowns in noise, and with it the exact duration.
            if not noise or height == 0.1:
                assert found.kind == ("micro" if shape in MICRO else "macro")
            # The apex lies in the hold, or near its ends.
            near = 0.05 + 1 / rate + (0.05 if noise else 0)
            assert 2 + shape[0] - near <= found.apex_s <= 2 + shape[0] + shape[1] + near


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("shape", [(0.16, 0.05, 0.16), (0.3, 0.2, 0.3), (0.4, 0.8, 0.4)])
def test_a_symmetrical_movement_is_found_in_its_middle(
    rate: float, shape: tuple[float, float, float]
) -> None:
    """To the row: a shift by one would be 33 ms at 30 per second, a fifth of a micro's rise."""
    (found,) = spot(features(6, rate, (bump(2, shape), SMILE, 0.08)))
    middle = 2 + sum(shape) / 2
    assert abs((found.onset_s + found.offset_s) / 2 - middle) < 0.55 / rate
    assert abs(found.apex_s - middle) < 0.55 / rate


def test_a_higher_movement_scores_higher() -> None:
    heights = (0.03, 0.05, 0.1, 0.3)
    scores = [spot(features(8, 30.0, (bump(3, MACRO[0]), SMILE, h)))[0].score for h in heights]
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)
    assert all(0.5 < score < 1 for score in scores)  # .5 is the threshold


def test_what_stays_under_the_least_height_is_not_reported() -> None:
    for height in (0.004, 0.0075):
        given = features(8, 30.0, (bump(3, MACRO[0]), BROW_RAISE, height))
        scores, found = SPOT(given)
        assert found == ()
        assert 0.2 < np.nanmax(scores.channel("brow")) < 0.5  # but the score shows it


def test_what_comes_with_a_blink_or_a_turn_must_be_larger_than_these_leave() -> None:
    seconds, shape = 8, MACRO[0]
    rows = np.arange(seconds * 30)
    during = (rows >= 95) & (rows < 105)
    lids = np.where(during, 0.03, 0.08)[:, None].repeat(2, 1).astype(np.float32)
    head = np.zeros((len(rows), 3), np.float32)
    head[:, 1] = 0.15 * during
    for height, left in ((0.0095, False), (0.04, True)):
        alone = features(seconds, 30.0, (bump(3, shape), BROW_RAISE, height))
        assert len(SPOT(alone)[1]) == 1
        still = replace(alone, eyelids=np.full_like(lids, 0.08), head=np.zeros_like(head))
        assert SPOT(still)[1] == SPOT(alone)[1]
        for moved in (replace(still, eyelids=lids), replace(still, head=head)):
            assert bool(SPOT(moved)[1]) == left
        # A blink at another time changes nothing.
        before = replace(still, eyelids=np.roll(lids, -60, axis=0))
        assert SPOT(before)[1] == SPOT(alone)[1]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("shape", [MICRO[1], MACRO[1]])
@pytest.mark.parametrize("rest", [0.4, 1.5])
def test_two_movements_with_a_rest_between_are_two(
    shape: tuple[float, float, float], rest: float, rate: float
) -> None:
    for move in (SMILE, BROW_RAISE):
        second = 2 + sum(shape) + rest
        found = spot(
            features(10, rate, (bump(2, shape), move, 0.06), (bump(second, shape), move, 0.06))
        )
        assert len(found) == 2
        for one, onset in zip(found, (2, second), strict=True):
            assert one.interval.iou(truth(onset, shape, rate)) >= 0.5


def test_brows_and_mouth_that_move_at_once_are_one_expression() -> None:
    """Surprise is not two expressions."""
    shape = MACRO[0]
    (found,) = spot(
        features(8, 30.0, (bump(3, shape), JAW_DROP, 0.1), (bump(3, shape), BROW_RAISE, 0.08))
    )
    assert found.interval.iou(truth(3, shape, 30.0)) >= 0.5


def test_a_micro_movement_of_the_brows_is_found_while_the_smile_is_another() -> None:
    found = spot(
        features(
            12,
            30.0,
            (rise(2, 0.5), SMILE, 0.15),  # a smile that stays
            (bump(7, MICRO[1]), BROW_RAISE, 0.04),
            noise=NOISE,
        )
    )
    assert [e.kind for e in found] == ["micro"]
    assert found[0].interval.iou(truth(7, MICRO[1], 30.0)) >= 0.5


# What is not there is not found


@pytest.mark.parametrize("rate", RATES)
def test_silence_where_nothing_moves(rate: float) -> None:
    scores, found = SPOT(features(20, rate))
    assert found == ()
    np.testing.assert_array_equal(scores.values, 0)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seed", range(3))
def test_silence_in_noise(rate: float, seed: int) -> None:
    scores, found = SPOT(features(20, rate, noise=NOISE, seed=seed))
    assert found == ()
    assert np.nanmedian(scores.channel("expression")) < 0.4


def everywhere(curve: Curve, height: float) -> list[tuple[Curve, Directions, float]]:
    """All movements at once, each in its own amount."""
    return [(curve, SMILE, height), (curve, BROW_RAISE, -0.7 * height), (curve, JAW_DROP, height)]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("noise", [0.0, NOISE], ids=["clean", "noisy"])
def test_silence_in_slow_drift(rate: float, noise: float) -> None:
    """Landmarks creep, and summed flow drifts."""
    for curve in (lambda t: t / 30, lambda t: np.sin(2 * np.pi * t / 40)):
        for height in (-0.2, 0.2):
            assert spot(features(30, rate, *everywhere(curve, height), noise=noise)) == ()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("duration", [0.2, 0.6, 1.5])
def test_silence_where_a_movement_never_returns(rate: float, duration: float) -> None:
    """Posture: a head that was turned, a mouth that was opened and stays so."""
    for height in (0.05, -0.05, 0.2, -0.2):
        assert spot(features(12, rate, *everywhere(rise(5, duration), height))) == ()


def test_a_movement_that_comes_back_by_a_fifth_is_posture() -> None:
    def curve(share: float) -> Curve:
        return lambda t: rise(3, 0.3)(t) - share * rise(3.6, 0.4)(t)

    assert spot(features(10, 30.0, (curve(0.2), SMILE, 0.1))) == ()
    assert len(spot(features(10, 30.0, (curve(0.8), SMILE, 0.1)))) == 1


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [3.0, 4.0, 5.0])
@pytest.mark.parametrize("noise", [0.0, NOISE], ids=["clean", "noisy"])
def test_silence_while_somebody_talks(rate: float, hertz: float, noise: float) -> None:
    for height in (0.05, 0.1):
        given = features(
            8,
            rate,
            (lambda t: 0.5 - 0.5 * np.cos(2 * np.pi * hertz * t), JAW_DROP, height),
            noise=noise,
        )
        assert spot(given) == ()


def syllables(seed: int, begin: float, end: float) -> Curve:
    """As people talk: 3 to 5 syllables a second, each of its own height; silence around."""
    rng = np.random.default_rng(seed)
    ends = begin + np.cumsum(rng.uniform(1 / 5, 1 / 3, 100))
    ends = ends[ends < end]
    heights = rng.uniform(0.5, 1.0, len(ends))

    def curve(t: np.ndarray) -> np.ndarray:
        k = np.searchsorted(ends, t).clip(max=len(ends) - 1)
        start = np.concatenate([[begin], ends])[k]
        one = heights[k] * (0.5 - 0.5 * np.cos(2 * np.pi * (t - start) / (ends[k] - start)))
        return np.where((t > begin) & (t < ends[-1]), one, 0.0)

    return curve


@pytest.mark.parametrize("rate", [30.0, 60.0])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("end", [8.0, 14.0])
def test_silence_while_somebody_says_something(rate: float, seed: int, end: float) -> None:
    """A sentence in a long silence too, where talking is no part of the usual noise."""
    given = features(15, rate, (syllables(seed, 3.0, end), JAW_DROP, 0.08), noise=NOISE, seed=seed)
    assert spot(given) == ()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("rest", "expressions"), [(0.1, 0), (0.3, 2)])
def test_two_syllables_are_no_expressions_but_two_movements_are(
    rate: float, rest: float, expressions: int
) -> None:
    """What tells them apart is a rest of `rest_s`, in seconds."""
    assert 0.1 < RULES.rest_s < 0.3
    second = 3 + sum(MICRO[1]) + rest
    given = features(
        8, rate, (bump(3, MICRO[1]), JAW_DROP, 0.08), (bump(second, MICRO[1]), JAW_DROP, 0.08)
    )
    assert [e.kind for e in spot(given)] == ["micro"] * expressions


def test_a_smile_is_found_after_talking_and_a_brow_raise_within_it() -> None:
    def talk(t: np.ndarray) -> np.ndarray:
        return np.where((t > 3) & (t < 8), 0.5 - 0.5 * np.cos(8 * np.pi * t), 0.0)

    shape = MACRO[0]
    for onset, move in ((10.0, SMILE), (5.0, BROW_RAISE)):
        found = spot(features(15, 30.0, (talk, JAW_DROP, 0.06), (bump(onset, shape), move, 0.1)))
        assert len(found) == 1
        assert found[0].interval.iou(truth(onset, shape, 30.0)) >= 0.5


# Rows without a face


def test_no_expression_spans_a_gap() -> None:
    given = features(8, 30.0, (bump(3, MACRO[1]), SMILE, 0.1))
    (whole,) = spot(given)
    for gap in range(whole.onset + 2, whole.offset - 2, 5):
        for found in spot(cut(given, (gap, gap + 1))):
            assert gap not in found.interval


def test_a_gap_beside_an_expression_does_not_touch_it() -> None:
    given = features(10, 30.0, (bump(3, MACRO[0]), SMILE, 0.1), (bump(7, MICRO[1]), SMILE, 0.1))
    before = spot(given)
    after = spot(cut(given, (0, 20), (150, 180), (260, 300)))
    assert [(e.kind, e.onset, e.apex, e.offset) for e in after] == [
        (e.kind, e.onset, e.apex, e.offset) for e in before
    ]


def test_runs_are_spotted_each_for_itself() -> None:
    """What lies beyond a gap changes nothing on this side of it."""
    given = cut(
        features(
            12,
            30.0,
            (bump(1, MACRO[0]), SMILE, 0.1),
            (bump(4, MICRO[0]), BROW_RAISE, 0.05),
            (bump(9, MACRO[1]), JAW_DROP, 0.2),
            noise=NOISE,
        ),
        (80, 81),
        (170, 200),
    )
    scores, found = SPOT(given)
    assert len(found) == 3
    apart: list[Expression] = []
    for begin, end in runs(given.valid):
        part = replace(
            given,
            **{name: getattr(given, name)[begin:end] for name in BY_ROW},
        )
        part_scores, part_found = SPOT(part)
        np.testing.assert_array_equal(part_scores.values, scores.values[begin:end])
        apart += part_found
    assert tuple(apart) == found


@st.composite
def any_features(draw: st.DrawFn) -> Features:
    """Wandering, jumping, interrupted: no face moves so, but flow that failed may."""
    rate = draw(st.sampled_from([5.0, 15.0, 30.0, 100.0]))
    n = draw(st.integers(0, 300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.normal(size=(n, 12, 2)) * draw(st.sampled_from([0.0, 0.03, 0.3, 30.0]))
    for _ in range(draw(st.integers(0, 4)) if n else 0):
        values[rng.integers(n), rng.integers(12)] += rng.normal(size=2) * 10
    # As of a video faster or slower than the grid: frames repeat or are left out.
    frames = np.floor(np.arange(n) * draw(st.sampled_from([0.4, 1.0, 2.7]))).astype(np.int64)
    given = Features(
        values=values.astype(np.float32),
        times=17.0 + np.arange(n) / rate,
        frames=frames + 400,
        valid=np.ones(n, bool),
        rois=NAMES,
        rate=rate,
    )
    gaps = draw(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40)), max_size=4))
    return cut(given, *[(begin, begin + length) for begin, length in gaps])


@given(any_features())
@settings(max_examples=60, deadline=None)
def test_whatever_comes_in_what_comes_out_is_sound(given: Features) -> None:
    before = given.values.copy()
    scores, found = SPOT(given)
    np.testing.assert_array_equal(given.values, before)

    assert scores.channels == ("brow", "mouth", "expression")
    assert scores.values.shape == (len(given), 3)
    assert scores.values.dtype == np.float32
    for name in ("times", "frames", "valid"):
        np.testing.assert_array_equal(getattr(scores, name), getattr(given, name))
    assert np.isnan(scores.values[~given.valid]).all()
    seen = scores.values[given.valid]
    assert ((seen >= 0) & (seen <= 1)).all()  # hence not NaN
    np.testing.assert_array_equal(seen[:, 2], seen[:, :2].max(axis=1))

    assert [e.onset for e in found] == sorted(e.onset for e in found)
    inside = runs(given.valid)
    for e in found:
        rows = [int(np.flatnonzero(given.times == t)[0]) for t in (e.onset_s, e.apex_s, e.offset_s)]
        assert [given.frames[r] for r in rows] == [e.onset, e.apex, e.offset]
        assert any(begin <= rows[0] <= rows[1] <= rows[2] < end for begin, end in inside)
        # One row may be missing where a run was cut.
        assert RULES.min_s - 1.01 / given.rate <= e.duration_s <= RULES.max_s + 1e-9
        assert (e.kind == "micro") or e.duration_s > RULES.micro_max_s - 1.01 / given.rate
        assert (e.kind == "macro") or e.duration_s <= RULES.micro_max_s + 1e-9
        assert 0.5 <= e.score < 1


@pytest.mark.parametrize("n", range(7))
def test_a_few_rows_or_none(n: int) -> None:
    given = features(n / 30, 30.0, noise=1.0)
    assert len(given) == n
    scores, found = SPOT(given)
    assert len(scores) == n
    assert scores.values.shape == (n, 3)
    assert scores.values.dtype == np.float32
    assert np.isfinite(scores.values).all()
    assert all(0 <= e.onset <= e.offset < n for e in found)


def test_a_video_without_any_face() -> None:
    scores, found = SPOT(cut(features(2, 30.0), (0, 60)))
    assert found == ()
    assert np.isnan(scores.values).all()


# What must not matter


def some_scene(rate: float = 30.0, eyes: float = 64.0) -> Features:
    return features(
        16,
        rate,
        (bump(3, MACRO[1]), SMILE, 0.1),
        (bump(7, MICRO[1]), BROW_RAISE, 0.05),
        (bump(9.5, MACRO[0]), FROWN, 0.06),
        (bump(12, MICRO[0]), ONE_CORNER, 0.05),
        eyes=eyes,
    )


def facts(found: tuple[Expression, ...]) -> list[tuple[Any, ...]]:
    return [(e.kind, e.onset, e.apex, e.offset) for e in found]


def test_the_scene_has_four_expressions() -> None:
    """Or the comparisons below would compare nothing."""
    assert [e.kind for e in spot(some_scene())] == ["macro", "micro", "macro", "micro"]


@pytest.mark.parametrize("factor", [0.5, 4.0, 0.3, 7.7])
def test_the_size_of_the_crop_does_not_matter(factor: float) -> None:
    given = some_scene()
    scaled = replace(
        given,
        values=given.values * np.float32(factor),
        eye_distance=given.eye_distance * factor,
    )
    scores, found = SPOT(given)
    other, other_found = SPOT(scaled)
    assert facts(other_found) == facts(found)
    np.testing.assert_allclose(other.values, scores.values, atol=1e-5)
    np.testing.assert_allclose([e.score for e in other_found], [e.score for e in found], atol=1e-5)
    if factor in (0.5, 4.0):  # exact in binary
        assert other_found == found


@pytest.mark.parametrize("rows", [1, 17, 90])
def test_what_comes_later_is_found_later(rows: int) -> None:
    given = some_scene()
    still = np.zeros((rows, 12, 2), np.float32)
    assert not given.values[-rows:].any()  # it ends in silence, which moves to the front
    later = replace(given, values=np.concatenate([still, given.values[:-rows]]))
    scores, found = SPOT(given)
    later_scores, later_found = SPOT(later)
    assert facts(later_found) == [(k, a + rows, b + rows, c + rows) for k, a, b, c in facts(found)]
    np.testing.assert_allclose(later_scores.values[rows:], scores.values[:-rows], atol=1e-6)


def test_where_the_clock_begins_does_not_matter() -> None:
    given = some_scene()
    frames, times = given.frames * 2 + 500, given.times + 1000.0
    moved = spot(replace(given, frames=frames, times=times))
    before = spot(given)
    assert facts(moved) == [(k, *(2 * f + 500 for f in rest)) for k, *rest in facts(before)]
    np.testing.assert_allclose(
        [e.onset_s for e in moved], [e.onset_s + 1000 for e in before], atol=1e-9
    )


def test_a_mirrored_face_has_the_same_expressions() -> None:
    given = some_scene()
    swapped = [name.replace("_r", "_#").replace("_l", "_r").replace("_#", "_l") for name in NAMES]
    # "lip_lower" and "nose_bridge" have no other side.
    swapped = [name if name in NAMES else own for name, own in zip(swapped, NAMES, strict=True)]
    assert sorted(swapped) == sorted(NAMES)
    assert swapped.count("mouth_l") == 1
    assert swapped[NAMES.index("mouth_r")] == "mouth_l"
    columns = [NAMES.index(name) for name in swapped]
    mirrored = replace(given, values=given.values[:, columns] * np.float32([-1, 1]))
    assert facts(spot(mirrored)) == facts(spot(given))
    np.testing.assert_allclose(SPOT(mirrored)[0].values, SPOT(given)[0].values, atol=1e-6)


def test_rois_are_known_by_name_and_not_by_place() -> None:
    given = some_scene()
    order = np.random.default_rng(0).permutation(12)
    wild = np.random.default_rng(1).normal(size=(len(given), 1, 2)).astype(np.float32) * 9
    other = replace(
        given,
        values=np.concatenate([wild, given.values[:, order]], axis=1),
        rois=("cheek", *(NAMES[k] for k in order)),
        confidence=np.ones((len(given), 13), np.float32),
    )
    assert facts(spot(other)) == facts(spot(given))


def test_the_same_again_is_the_same() -> None:
    """A spotter keeps nothing of the video before."""
    given = some_scene()
    spotter = RuleSpotter(RULES)
    first = spotter(given)[1]
    spotter(features(5, 60.0, noise=3.0))
    assert spotter(given)[1] == first == SPOT(given)[1]


@pytest.mark.parametrize("rate", [15.0, 60.0, 100.0])
def test_the_rate_moves_ends_by_little(rate: float) -> None:
    """Half a second is half a second: no constant is in rows."""
    reference, other = spot(some_scene()), spot(some_scene(rate))
    assert [e.kind for e in other] == [e.kind for e in reference]
    for a, b in zip(reference, other, strict=True):
        # Two rows of either rate.
        near = 2 / min(rate, 30.0) + 1e-9
        assert abs(a.onset_s - b.onset_s) <= near
        assert abs(a.offset_s - b.offset_s) <= near
        assert abs(a.score - b.score) < 0.06


# Arguments


@pytest.mark.parametrize("missing", ["mouth_r", "brow_l_mid", "lip_lower"])
def test_an_roi_that_is_missing_is_named(missing: str) -> None:
    given = features(2, 30.0)
    kept = [k for k, name in enumerate(NAMES) if name != missing]
    lacking = of_rois(given, kept)
    with pytest.raises(UsageError, match=missing) as caught:
        SPOT(lacking)
    assert caught.value.exit_code == EXIT_USAGE
    assert "trained spotter" in str(caught.value)  # and what to do
    nothing = replace(
        lacking,
        **{name: getattr(lacking, name)[:0] for name in BY_ROW},
    )
    with pytest.raises(UsageError, match=missing):
        SPOT(nothing)


def test_the_nose_is_not_needed() -> None:
    given = some_scene()
    kept = [k for k, name in enumerate(NAMES) if "nose" not in name]
    lacking = of_rois(given, kept)
    assert facts(spot(lacking)) == facts(spot(given))


def test_the_movements_are_made_of_published_rois_and_no_region_is_unknown() -> None:
    for movement in MOVEMENTS.values():
        assert set(movement.weights) <= set(ROIS)
        assert movement.region in ("brow", "mouth")
        assert all(
            name.startswith("brow") == (movement.region == "brow") for name in movement.weights
        )
        assert 0 < movement.back <= 1


def test_it_is_made_by_its_name_with_the_settings_in_force() -> None:
    given = features(8, 30.0, (bump(3, MICRO[1]), SMILE, 0.05))
    spotter = resolve("spotter", "rules").from_settings(load_settings())
    assert spotter.name == "rules"
    assert spotter(given)[1] == spot(given)
    for changes, kinds in (
        ({"min_height": 0.1}, []),
        ({"micro_max_s": 0.2}, ["macro"]),
        ({"min_s": 1.0}, []),
    ):
        changed = resolve("spotter", "rules").from_settings(
            load_settings(overrides={"rules": changes})
        )
        assert [e.kind for e in changed(given)[1]] == kinds


def test_what_is_measured_without_confidence_moves_nothing() -> None:
    given = features(6, 30.0, (bump(2, MACRO[0]), JAW_DROP, 0.1))
    (found,) = spot(given)
    doubtful = given.confidence.copy()
    doubtful[found.onset : found.offset, NAMES.index("lip_lower")] = RULES.trust - 0.01
    assert spot(replace(given, confidence=doubtful)) == ()
    others = np.where(given.confidence == doubtful, RULES.trust - 0.01, 1).astype(np.float32)
    assert facts(spot(replace(given, confidence=others))) == facts((found,))
