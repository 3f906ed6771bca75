"""Curves against brute force, closed forms, and the evaluator itself."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from aumer.errors import UsageError
from aumer.evaluation.rows import PredictedInterval, SpottingSettings, Truth, Video, prepare
from aumer.evaluation.spotting import evaluate
from aumer.report.curves import embed, neighbors_alike, precision_recall, roc

# ROC


def brute(scores: list[float], positive: list[bool]) -> float:
    """Pairs in the right order, one by one."""
    pairs = [
        (a > b) + (a == b) / 2
        for (a, p), (b, q) in product(zip(scores, positive, strict=True), repeat=2)
        if p and not q
    ]
    return sum(pairs) / len(pairs)


@pytest.mark.parametrize("seed", range(4))
def test_the_area_is_the_share_of_pairs_in_order_and_the_area_below_the_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(60), 1).tolist()  # ties, too
    positive = (rng.random(60) < 0.3 + 0.4 * np.array(scores)).tolist()
    found = roc(scores, positive, rng.integers(0, 7, 60).tolist(), replicates=50)
    assert found.area == pytest.approx(brute(scores, positive), abs=1e-12)
    below = np.sum(np.diff(found.false) * (found.true[1:] + found.true[:-1]) / 2)
    assert below == pytest.approx(found.area, abs=1e-12)
    assert (found.false[0], found.true[0], found.false[-1], found.true[-1]) == (0, 0, 1, 1)
    for threshold in np.unique(scores):  # a point of the curve for each threshold, as counted
        passed = np.array(scores) >= threshold
        true, false = (passed[np.array(positive) == p].mean() for p in (True, False))
        assert ((np.abs(found.true - true) < 1e-12) & (np.abs(found.false - false) < 1e-12)).any()


@pytest.mark.parametrize(("sign", "area"), [(1, 1.0), (-1, 0.0), (0, 0.5)])
def test_closed_forms(sign: int, area: float) -> None:
    positive = [True, True, False, False, False]
    found = roc([sign * float(p) for p in positive], positive, list("abcde"))
    assert found.area == area


def test_two_normal_classes() -> None:
    """Scores of N(1, 1) against N(0, 1): the area is Phi(1 / sqrt 2) = .7602."""
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(1, 1, 2000), rng.normal(0, 1, 2000)])
    positive = [True] * 2000 + [False] * 2000
    found = roc(scores.tolist(), positive, (np.arange(4000) // 40).tolist(), replicates=200)
    assert found.area == pytest.approx(0.7602, abs=0.015)
    assert found.low < 0.7602 < found.high and found.high - found.low < 0.06


def test_the_interval_is_over_subjects() -> None:
    """Brute force: the clips of the subjects drawn, each as often as drawn."""
    from aumer.evaluation.bootstrap import draws

    rng = np.random.default_rng(3)
    scores, positive = rng.random(30), rng.random(30) < 0.5
    whose = rng.integers(0, 5, 30)
    found = roc(scores.tolist(), positive.tolist(), whose.tolist(), replicates=40, seed=7)
    order = list(dict.fromkeys(whose.tolist()))
    areas = []
    for drawn in draws(5, 40, 7):
        rows = [
            k
            for s, n in zip(order, drawn, strict=True)
            for k in np.flatnonzero(whose == s).tolist() * n
        ]
        if len({bool(positive[k]) for k in rows}) == 2:
            areas.append(brute(scores[rows].tolist(), positive[rows].tolist()))
    assert (found.low, found.high) == pytest.approx(np.quantile(areas, [0.025, 0.975]).tolist())


def test_one_subject_has_no_interval_and_one_class_no_curve() -> None:
    assert np.isnan(roc([1.0, 0.0], [True, False], ["a", "a"]).low)
    with pytest.raises(UsageError, match="clips of other classes"):
        roc([1.0, 0.0], [True, True], ["a", "b"])


# Precision and recall


@pytest.mark.parametrize("comparison", [">=", ">"])
def test_every_point_is_what_the_evaluator_counts(comparison: str) -> None:
    rng = np.random.default_rng(5)
    videos = [Video("s", f"v{k}") for k in range(3)]
    truths, predictions = [], []
    for video in videos:
        for begin in rng.integers(0, 300, 9).tolist():
            kind = ("micro", "macro")[begin % 2]
            truths.append(Truth("s", video.name, kind, begin, begin + 19))  # type: ignore[arg-type]
        for begin in rng.integers(0, 300, 14).tolist():
            predictions.append(
                PredictedInterval(
                    *("s", video.name, ("micro", "macro")[begin % 2], begin, begin + 19),  # type: ignore[arg-type]
                    score=round(float(rng.random()), 1),
                )
            )
    rules = SpottingSettings(iou=0.4, comparison=comparison)  # type: ignore[arg-type]
    cases = prepare(predictions, truths, videos, rules).cases
    curve = precision_recall(cases, iou=0.4, comparison=comparison, ends="closed")
    assert curve.thresholds.tolist() == sorted({p.score for p in predictions}, reverse=True)
    for threshold, precision, recall in zip(
        curve.thresholds, curve.precision, curve.recall, strict=True
    ):
        kept = [p for p in predictions if p.score >= threshold]
        counts = evaluate(kept, truths, videos, rules).counts()
        assert (precision, recall) == pytest.approx((counts.precision, counts.recall))
    last = evaluate(predictions, truths, videos, rules)
    assert curve.f1[-1] == pytest.approx(last.f1()) and 0 < last.f1() < 1
    assert curve.truths == len(truths)


def test_no_curve_of_nothing() -> None:
    rules = SpottingSettings()
    cases = prepare([], [Truth("s", "v", "micro", 0, 9)], None, rules).cases
    with pytest.raises(UsageError, match="a prediction and a truth"):
        precision_recall(cases, iou=0.5, comparison=">=", ends="closed")


# t-SNE


def clusters(apart: float, each: int = 20) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(0)
    centers = apart * np.eye(3, 10)
    labels = [k for k in range(3) for _ in range(each)]
    return centers[labels] + rng.normal(0, 1, (3 * each, 10)), labels


def test_clusters_stay_apart_and_a_seed_fixes_the_places() -> None:
    points, labels = clusters(apart=15)
    places = embed(points, seed=1)
    assert places.shape == (60, 2) and neighbors_alike(places, labels)[0] == 1.0
    means = np.array([places[np.array(labels) == k].mean(0) for k in range(3)])
    spread = max(
        np.linalg.norm(places[np.array(labels) == k] - means[k], axis=1).max() for k in range(3)
    )
    between = min(np.linalg.norm(means[i] - means[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert between > 2 * spread
    assert (embed(points, seed=1) == places).all()


def test_what_has_no_clusters_gets_none() -> None:
    points, labels = clusters(apart=0)
    assert neighbors_alike(embed(points), labels)[0] < 0.6


@pytest.mark.parametrize("points", [np.zeros((3, 5)), np.full((9, 2), np.nan), np.zeros(9)])
def test_what_cannot_be_laid_out(points: np.ndarray) -> None:
    with pytest.raises(UsageError, match="four finite points"):
        embed(points)


def test_points_that_are_all_alike_are_laid_out_too() -> None:
    assert np.isfinite(embed(np.ones((6, 3)))).all()


def test_nearest_neighbors() -> None:
    points = np.array([[0.0], [1.0], [10.0], [11.0]])
    assert neighbors_alike(points, list("aabb")) == (1.0, pytest.approx(1 / 3))
    assert neighbors_alike(points, list("abab"))[0] == 0.0
    assert neighbors_alike(points, list("aabc")) == (0.5, pytest.approx(1 / 6))
