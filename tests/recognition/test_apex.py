"""Apexes: closed forms on made-up motion, and the ways on films whose apex is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from acted import APEX_S, LENGTH_S, OFFSET_S, ONSET_S, RELEASE_S, SMILE, aligned, film

from aumer import registry
from aumer.errors import UsageError
from aumer.recognition import apex as apexes
from aumer.recognition.apex import (
    both_ends,
    difference_cells,
    flow_peak,
    midpoint,
    rise_and_fall,
    roi_difference,
    rows_between,
)
from aumer.recognition.course import thinned
from aumer.simulate import nuisance
from aumer.simulate.features import Subject, render
from aumer.simulate.timeline import Timeline
from aumer.types import Features, FloatArray


def features(steps: FloatArray, frames_per_row: int = 1) -> Features:
    rows = len(steps)
    return Features(
        values=steps.astype(np.float32),
        times=np.arange(rows) / 30,
        frames=np.arange(rows, dtype=np.int64) * frames_per_row,
        valid=np.isfinite(steps).all(axis=(1, 2)),
        rois=tuple("abcdefghijkl"[: steps.shape[1]]),
        rate=30.0,
    )


def there_and_back(rise: int, fall: int, before: int = 5, after: int = 5) -> FloatArray:
    up = np.concatenate([np.zeros(before), np.full(rise, 1.0 / rise), np.full(fall, -1.0 / fall)])
    steps = np.concatenate([up, np.zeros(after)])
    return np.stack([np.stack([steps, -steps], -1)] * 2, axis=1)


def test_midpoint() -> None:
    assert (midpoint(4, 10), midpoint(4, 11), midpoint(3, 3)) == (7, 7, 3)


@pytest.mark.parametrize("frames_per_row", [1, 7])
def test_the_flow_peaks_where_the_way_turns(frames_per_row: int) -> None:
    motion = features(there_and_back(rise=4, fall=9), frames_per_row)
    assert flow_peak(motion, 2 * frames_per_row, 20 * frames_per_row) == 9 * frames_per_row
    # What moved before the onset does not count.
    assert flow_peak(motion, 6 * frames_per_row, 17 * frames_per_row) == 9 * frames_per_row
    # A clip that ends at the apex, or on the way back.
    assert flow_peak(motion, 2 * frames_per_row, 9 * frames_per_row) == 9 * frames_per_row
    assert flow_peak(motion, 2 * frames_per_row, 12 * frames_per_row) == 9 * frames_per_row


def test_drift_does_not_move_the_peak() -> None:
    """Half as much drift as expression, against it and with it."""
    for sign in (-1, 1):
        steps = there_and_back(rise=4, fall=9) + sign * 0.5 / 18
        assert flow_peak(features(steps), 2, 20) == 9


def test_a_peak_lies_within_the_interval() -> None:
    """Frames between rows: 200 fps, 30 rows a second."""
    motion = features(there_and_back(rise=4, fall=9), 7)
    assert flow_peak(motion, 38, 61) == 61
    assert 38 <= flow_peak(motion, 38, 90) <= 90


def test_unknown_motion_counts_as_rest() -> None:
    steps = there_and_back(rise=4, fall=9)
    steps[6] = np.nan
    assert flow_peak(features(steps), 2, 20) == 9


@pytest.mark.parametrize("interval", [(90, 99), (5, 5)])
def test_no_motion_known(interval: tuple[int, int]) -> None:
    motion = features(there_and_back(4, 9))
    with pytest.raises(UsageError, match=r"frames 0 to 22, 30 rows a second"):
        rows_between(motion, *interval)


def course(knots: tuple[float, float, float, float], rows: int, frames_per_row: int) -> Features:
    """Rest, rise, hold, fall and rest of two ROIs; knots are shares of the `rows` steps."""
    level = np.interp(np.linspace(0, 1, rows + 1), knots, [0, 1, 1, 0])
    steps = np.append(np.diff(level), 0)
    return features(np.stack([np.stack([steps, -2 * steps], -1)] * 2, axis=1), frames_per_row)


@pytest.mark.parametrize(("rows", "frames_per_row"), [(20, 1), (20, 7), (140, 1)])
@pytest.mark.parametrize(
    ("knots", "middle"),
    [
        ((0.0, 0.35, 0.35, 1.0), 0.35),  # a triangle's tip
        ((0.0, 0.2, 0.6, 1.0), 0.4),  # a trapezoid's middle
        ((0.2, 0.3, 0.9, 1.0), 0.6),
        ((0.0, 0.15, 0.15, 0.5), 0.15),
    ],
)
def test_the_middle_of_a_hold(
    knots: tuple[float, float, float, float], middle: float, rows: int, frames_per_row: int
) -> None:
    """Whatever the rates: to 2 % of the interval, or the nearest frame."""
    motion = course(knots, rows, frames_per_row)
    last = rows * frames_per_row
    near = max(0.5, 0.02 * last) + 1e-9
    assert abs(rise_and_fall(motion, 0, last) - middle * last) <= near
    for size in (1e-3, 1e-30):
        small = features(motion.values * size, frames_per_row)
        assert rise_and_fall(small, 0, last) == rise_and_fall(motion, 0, last)
    reach = (knots[2] - knots[1]) / 2 * last
    assert abs(both_ends(motion, 0, last) - middle * last) <= max(1, reach)


def test_both_ends_takes_the_middle_of_a_plateau() -> None:
    assert both_ends(course((0, 0.2, 0.6, 1), 20, 5), 0, 100) == 40
    assert both_ends(features(np.zeros((21, 2, 2)), 5), 0, 100) == 50


def test_a_ripple_of_a_hold_is_not_its_apex() -> None:
    rows, ripple = 100, np.zeros((101, 2, 2))
    ripple[74], ripple[75] = (0.2, -0.4), (-0.2, 0.4)  # the highest frame, late in the hold
    motion = course((0, 0.2, 0.8, 1), rows, 1)
    late = features(motion.values + ripple)
    assert abs(rise_and_fall(late, 0, rows) - 50) <= 2
    assert flow_peak(late, 0, rows) >= 70


def test_without_signal_the_apex_is_the_middle() -> None:
    assert rise_and_fall(features(np.zeros((21, 2, 2)), 5), 0, 100) == 50
    rng = np.random.default_rng(0)
    shaken = [
        rise_and_fall(features(np.diff(noise, axis=0, append=noise[-1:]), 1), 0, 60)
        for noise in rng.normal(size=(40, 61, 12, 2))
    ]
    assert abs(np.mean(shaken) - 30) <= 1
    assert np.abs(np.array(shaken) - 30).max() <= 6


def test_a_clip_played_backwards_peaks_at_the_same_instant() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        path = np.interp(np.arange(61), [0, 12, 20, 60], [0, 1, 1, 0])[:, None, None]
        path = path + rng.normal(0, 0.2, (61, 12, 2))
        there, back = (features(np.diff(p, axis=0, append=p[-1:]), 1) for p in (path, path[::-1]))
        assert abs(rise_and_fall(there, 0, 60) + rise_and_fall(back, 0, 60) - 60) <= 1


def test_a_clip_that_ends_at_its_apex() -> None:
    motion = features(there_and_back(rise=4, fall=9))
    assert rise_and_fall(motion, 5, 9) == 9
    assert rise_and_fall(motion, 2, 9) == 9


def landmarks() -> FloatArray:
    return aligned(film(SMILE), ONSET_S).landmarks


def test_cells_are_half_as_wide_as_the_mouth_and_on_the_face() -> None:
    points = landmarks()
    cells = difference_cells(points, (128, 128))
    assert cells.shape == (10, 4)
    half_mouth = (points[54, 0] - points[48, 0]) / 2
    sides = cells[:, 2:] - cells[:, :2]
    assert np.abs(sides - half_mouth).max() <= 1
    corners = (cells[:2, :2] + cells[:2, 2:]) / 2
    np.testing.assert_allclose(corners, points[[48, 54]], atol=1)
    assert cells[2, 3] == pytest.approx(points[8, 1], abs=1)  # ends at the chin
    assert (cells[3, 2], cells[4, 0]) == pytest.approx([points[30, 0]] * 2, abs=1)


def test_cells_are_cut_at_the_image() -> None:
    cells = difference_cells(landmarks() + 60, (128, 128))
    assert (cells[:, 2:] > cells[:, :2]).all()
    assert cells.min() >= 0
    assert cells.max() <= 128


@pytest.mark.parametrize("lag", [1, 3])
def test_roi_difference_by_hand(lag: int) -> None:
    """Gray levels alone: every pixel of every cell is alike, so the score has a closed form."""
    levels = np.array([10, 10, 20, 50, 52, 30, 12], np.float64)
    grays = np.broadcast_to(levels[:, None, None], (7, 128, 128)).astype(np.uint8)
    scores = roi_difference(grays, landmarks(), lag)
    for t, found in enumerate(scores):
        if t < lag:
            assert found == 0
            continue
        changed = abs(levels[t] - levels[t - lag]) + 1
        far = abs(levels[t] - levels[0]) + 1 + abs(levels[t] - levels[-1]) + 1
        assert found == pytest.approx(far / changed)
    if lag == 1:
        assert scores.argmax() == 4  # far from both ends, and hardly moving


@pytest.mark.parametrize("lag", [0, 7])
def test_a_lag_that_does_not_fit(lag: int) -> None:
    with pytest.raises(UsageError, match="lag must be 1 or more and less than the 7 frames"):
        roi_difference(np.zeros((7, 128, 128), np.uint8), landmarks(), lag)


def test_the_apex_of_a_film() -> None:
    """It rises in .3 s, holds for .2 s and fades a little: the apex lies in the hold."""
    acted, fps = film(SMILE), 30
    first, last = round(ONSET_S * fps), round(OFFSET_S * fps)
    faces = [aligned(acted, k / fps) for k in range(round(LENGTH_S * fps))]
    grays = np.stack([f.gray for f in faces[first : last + 1]])
    apex = first + int(roi_difference(grays, faces[first].landmarks).argmax())
    assert round(APEX_S * fps) - 2 <= apex <= round(RELEASE_S * fps) + 2


# By name


def span(onset: int, offset: int) -> apexes.Span:
    def none() -> Any:
        raise AssertionError("nobody asked for this")

    return apexes.Span(onset, offset, none, none)


def test_a_way_of_one_s_own_is_asked_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {k: dict(v) for k, v in registry._parts.items()}
    monkeypatch.setattr(registry, "_parts", parts)
    for said, apex in ((3, 3), (10, 10), (2, 3)):  # never the onset itself
        parts["apex"]["given"] = lambda where, said=said: said
        assert apexes.find("given", span(2, 10)) == apex
    for said in (1, 11):
        parts["apex"]["given"] = lambda where, said=said: said
        with pytest.raises(UsageError, match=f"from the onset 2 to the offset 10; found {said}"):
            apexes.find("given", span(2, 10))
    apexes.check("given")
    with pytest.raises(UsageError, match="Did you mean 'given'"):
        apexes.check("gven")


@pytest.mark.parametrize(
    "way", ["roi-difference:0", "roi-difference:", "roi-difference:x", "midpoint:3"]
)
def test_a_lag_that_there_is_not(way: str) -> None:
    with pytest.raises(UsageError, match="only 'roi-difference' takes a number"):
        apexes.check(way)


def test_a_lag_is_asked_for_by_name() -> None:
    levels = np.array([10, 10, 20, 50, 52, 30, 12], np.float64)
    grays = np.broadcast_to(levels[:, None, None], (7, 128, 128)).astype(np.uint8)
    marks = np.stack([landmarks()] * 7)

    def none() -> Any:
        raise AssertionError("nobody asked for this")

    where = apexes.Span(20, 26, none, lambda: (np.arange(20, 27), grays, marks))
    found = {n: apexes.find(f"roi-difference{n}", where) for n in ("", ":1", ":3")}
    assert found[""] == found[":1"] == 24
    assert found[":3"] == 20 + roi_difference(grays, marks[0], 3).argmax() != 24


@pytest.mark.parametrize("way", apexes.names())
def test_the_shortest_intervals_peak_at_their_end(way: str) -> None:
    assert apexes.find(way, span(4, 5)) == 5
    assert apexes.find(way, span(4, 4)) == 4


# In noise


def test_the_apex_in_noise_as_of_still_faces() -> None:
    """A smile of .6 px at an outer-eye distance of 64 px, in errors as measured on still faces and
    three times that: nearer than the middle of the interval, and nearer the less noise there is.
    """
    subject, causes = Subject.draw(np.random.default_rng(3)), nuisance.load(("motion_noise",))
    shown = subject.shown((12, "both"))
    shown *= 0.6 / np.hypot(*shown.T).max()
    wrong: dict[int, list[float]] = {1: [], 3: []}
    middle = []
    for k in range(24):
        rng = np.random.default_rng(k)
        apex = float(rng.uniform(0.25, 0.75))
        level = np.interp(np.arange(13) / 12, [0, apex - 0.1, apex + 0.1, 1], [0, 1, 1, 0])
        middle.append(abs(apex - 0.5))
        for loud, found in wrong.items():
            noise = render(Timeline(0.4, ()), subject, causes, seed=k, loudness=loud)
            moved = noise.values + (np.diff(level)[:, None, None] * shown).astype(np.float32)
            motion = replace(noise, values=moved, frames=10 * np.arange(12))
            found.append(abs(rise_and_fall(motion, 0, 110) / 120 - apex))
    assert np.mean(wrong[1]) < 0.5 * np.mean(wrong[3]) + 0.02
    assert np.mean(wrong[1]) < 0.4 * np.mean(middle)
    assert np.mean(wrong[3]) < 0.9 * np.mean(middle)


def test_many_rows_are_read_as_means_of_neighbors() -> None:
    path = np.arange(257.0)[:, None, None] * np.ones((1, 2, 2))
    thin = thinned(path, 65)
    np.testing.assert_allclose(thin[1:-1, 0, 0], np.arange(1, 64) * 4)
    assert thinned(thin, 65) is thin
    noise = np.random.default_rng(0).normal(size=(257, 12, 2))
    assert thinned(noise, 65).std() == pytest.approx(np.sqrt(44) / 16, rel=0.05)
