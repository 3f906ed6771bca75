from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aumer.evaluation.matching import Judged, count, match
from aumer.types import Counts, Interval


@st.composite
def some_intervals(draw: st.DrawFn, most: int = 4, largest: int = 30) -> list[Interval]:
    ends = st.tuples(st.integers(0, largest), st.integers(0, largest))
    return [Interval(*sorted(pair)) for pair in draw(st.lists(ends, max_size=most))]


thresholds = st.sampled_from([0.1, 0.5, 0.75, 1.0])


def best_by_trial(
    predictions: list[Interval], truths: list[Interval], iou: float
) -> tuple[int, float]:
    """Size and sum of IoU of the best of all one-to-one matchings, tried one by one."""
    swapped = len(predictions) > len(truths)
    few, many = (truths, predictions) if swapped else (predictions, truths)
    best = (0, 0.0)
    for partners in itertools.permutations(many, len(few)):
        overlaps = [a.iou(b) for a, b in zip(few, partners, strict=True)]
        good = [overlap for overlap in overlaps if overlap >= iou]
        best = max(best, (len(good), sum(good)))
    return best


def test_what_is_left_out_adds_with_the_counts() -> None:
    one, other = Judged(1, 2, 3, left_out=2), Judged(left_out=1)
    assert one + other == Judged(1, 2, 3, left_out=3)
    assert one + Counts(1) == Counts(1) + one == Judged(2, 2, 3, left_out=2)
    assert Counts.total([one, Counts(0, 1), other]) == Judged(1, 3, 3, left_out=3)
    assert Judged(1, 1, 0, left_out=9).f1 == Counts(1, 1, 0).f1


@given(some_intervals(), some_intervals(), thresholds)
def test_no_matching_is_better(
    predictions: list[Interval], truths: list[Interval], iou: float
) -> None:
    pairs = match(predictions, truths, iou=iou)
    size, overlap = best_by_trial(predictions, truths, iou)
    assert len(pairs) == size
    found = sum(predictions[p].iou(truths[t]) for p, t in pairs)
    assert found == pytest.approx(overlap, abs=1e-9)


@given(some_intervals(8), some_intervals(8), thresholds)
def test_every_pair_is_good_and_nobody_is_in_two(
    predictions: list[Interval], truths: list[Interval], iou: float
) -> None:
    pairs = match(predictions, truths, iou=iou)
    assert len({p for p, _ in pairs}) == len({t for _, t in pairs}) == len(pairs)
    for p, t in pairs:
        assert type(p) is type(t) is int
        assert predictions[p].iou(truths[t]) >= iou


@given(some_intervals(8), some_intervals(8), thresholds)
def test_counts_add_up(predictions: list[Interval], truths: list[Interval], iou: float) -> None:
    counts = count(predictions, truths, iou=iou)
    assert counts.tp + counts.fp == len(predictions)
    assert counts.tp + counts.fn == len(truths)
    assert min(counts.tp, counts.fp, counts.fn) >= 0


@given(some_intervals(7), some_intervals(7), thresholds, st.randoms())
def test_counts_do_not_depend_on_any_order(
    predictions: list[Interval], truths: list[Interval], iou: float, random: object
) -> None:
    shuffled = list(predictions), list(truths)
    for one in shuffled:
        random.shuffle(one)  # type: ignore[attr-defined]
    assert count(*shuffled, iou=iou) == count(predictions, truths, iou=iou)


@given(some_intervals(7), some_intervals(7), thresholds)
def test_the_roles_may_be_swapped(
    predictions: list[Interval], truths: list[Interval], iou: float
) -> None:
    one, other = count(predictions, truths, iou=iou), count(truths, predictions, iou=iou)
    assert one == Counts(other.tp, other.fn, other.fp)


@given(some_intervals(6), some_intervals(6), some_intervals(1))
def test_one_prediction_more_never_loses_a_hit(
    predictions: list[Interval], truths: list[Interval], more: list[Interval]
) -> None:
    before = count(predictions, truths).tp
    assert before <= count(predictions + more, truths).tp <= before + len(more)


@given(some_intervals(6), some_intervals(6))
def test_a_stricter_iou_never_finds_more(
    predictions: list[Interval], truths: list[Interval]
) -> None:
    hits = [count(predictions, truths, iou=iou).tp for iou in (0.05, 0.3, 0.5, 0.8, 1.0)]
    assert hits == sorted(hits, reverse=True)


@given(some_intervals(8))
def test_the_truth_finds_itself(truths: list[Interval]) -> None:
    assert count(truths, truths, iou=1.0) == Counts(tp=len(truths))


@given(some_intervals(5), some_intervals(5), st.integers(0, 10**7))
def test_where_the_video_begins_changes_nothing(
    predictions: list[Interval], truths: list[Interval], by: int
) -> None:
    def later(intervals: list[Interval]) -> list[Interval]:
        return [Interval(i.onset + by, i.offset + by) for i in intervals]

    assert match(later(predictions), later(truths)) == match(predictions, truths)


def test_greedy_would_miss_one() -> None:
    truths = [Interval(0, 99), Interval(50, 149)]
    # The first is nearest to truth 0, but the second can have only truth 0.
    predictions = [Interval(20, 119), Interval(0, 60)]
    ious = np.array([[p.iou(t) for t in truths] for p in predictions])
    assert ious[0, 0] > ious[1, 0] >= 0.5  # the best pair of all: greedy takes it
    assert ious[0, 1] >= 0.5 > ious[1, 1]
    assert match(predictions, truths) == [(0, 1), (1, 0)]
    assert count(predictions, truths) == Counts(tp=2)
    assert count(predictions[::-1], truths[::-1]) == Counts(tp=2)


def test_of_two_matchings_of_one_size_the_closer_is_taken() -> None:
    truths = [Interval(0, 9), Interval(2, 11)]
    predictions = [Interval(2, 11), Interval(0, 9)]
    assert sorted(match(predictions, truths)) == [(0, 1), (1, 0)]


@pytest.mark.parametrize(
    ("prediction", "truth", "hit"),
    [
        ((0, 9), (0, 19), True),  # 10 / 20
        ((5, 5), (5, 6), True),  # 1 / 2
        ((0, 8), (0, 17), True),  # 9 / 18; with open ends 8 / 17
        ((0, 9), (0, 20), False),  # 10 / 21
        ((0, 5), (3, 8), False),  # 3 / 9
        ((0, 8), (3, 11), True),  # 6 / 12
        ((0, 7), (3, 10), False),  # 5 / 11
    ],
)
def test_an_iou_of_exactly_a_half_counts(
    prediction: tuple[int, int], truth: tuple[int, int], hit: bool
) -> None:
    assert len(match([Interval(*prediction)], [Interval(*truth)])) == hit


def test_a_truth_is_found_once_and_a_prediction_finds_one() -> None:
    once = Interval(10, 20)
    assert count([once] * 3, [once]) == Counts(tp=1, fp=2)
    assert count([once], [once] * 3) == Counts(tp=1, fn=2)


def test_a_video_without_truths_keeps_its_false_positives() -> None:
    assert count([Interval(0, 9), Interval(20, 30)], []) == Counts(fp=2)
    assert count([], [Interval(0, 9)]) == Counts(fn=1)
    assert count([], []) == Counts()
    assert match([], []) == match([Interval(0, 1)], []) == match([], [Interval(0, 1)]) == []


@pytest.mark.parametrize("iou", [0.0, -0.5, 1.01, math.nan])
@pytest.mark.parametrize("some", [[], [Interval(0, 9)]])
def test_an_iou_that_means_nothing_is_refused(iou: float, some: list[Interval]) -> None:
    with pytest.raises(ValueError, match=r"iou must be in \(0, 1\]"):
        match(some, some, iou=iou)
    with pytest.raises(ValueError, match=r"iou must be in \(0, 1\]"):
        count(some, some, iou=iou)


def test_a_thousand_expressions() -> None:
    truths = [Interval(100 * k, 100 * k + 50) for k in range(1000)]
    predictions = [Interval(t.onset + 10, t.offset + 10) for t in reversed(truths[::2])]
    assert count(predictions, truths) == Counts(tp=500, fn=500)
