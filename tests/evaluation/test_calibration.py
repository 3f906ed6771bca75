"""Reliability and coverage: by hand, and that a calibrated model's error is chance alone."""

from __future__ import annotations

import numpy as np
import pytest

from aumer.errors import UsageError
from aumer.evaluation.calibration import coverage, reliability
from aumer.recognition.calibration import SHARPEST, groups_left_out, sharpness, soft_max


def test_a_curve_by_hand() -> None:
    found = reliability([0.5, 0.45, 0.9, 0.95], [True, False, True, True], ["a", "a", "b", "b"])
    assert found.counts.tolist() == [0, 0, 0, 0, 2, 0, 0, 0, 1, 1]
    assert found.confidence[4] == pytest.approx(0.475) and found.accuracy[4] == 0.5
    assert np.isnan(found.accuracy[0])
    assert found.error == pytest.approx((2 * 0.025 + 0.1 + 0.05) / 4)
    assert 0 <= found.low <= found.error <= found.high
    assert np.isnan(reliability([0.5], [True], ["a"]).low)


def test_probabilities_that_mean_what_they_say_and_such_that_do_not() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.4, 1, 4000)
    subjects = [f"s{k % 50}" for k in range(4000)]
    honest = reliability(sure, rng.random(4000) < sure, subjects)
    boasting = reliability(sure, rng.random(4000) < sure - 0.2, subjects)
    assert honest.error < 0.03 and 0.15 < boasting.low < boasting.error < boasting.high < 0.25


def test_what_abstaining_buys() -> None:
    sure, right = [0.4, 0.6, 0.8, 0.9], [False, False, True, True]
    found = coverage(sure, right, (0.0, 0.5, 0.8, 0.95))
    assert found.coverage.tolist() == [1, 0.75, 0.5, 0]
    assert found.accuracy[:3] == pytest.approx([0.5, 2 / 3, 1]) and np.isnan(found.accuracy[3])
    assert coverage(sure, right).thresholds.tolist() == sure


@pytest.mark.parametrize(
    ("sure", "right", "subjects", "says"),
    [
        ([], [], [], "found 0, 0 and 0"),
        ([0.5], [True, False], ["a"], "found 1, 2 and 1"),
        ([1.5], [True], ["a"], "outside 0 to 1"),
        ([float("nan")], [True], ["a"], "outside 0 to 1"),
    ],
)
def test_answers_that_are_none(
    sure: list[float], right: list[bool], subjects: list[str], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        reliability(sure, right, subjects)


def test_the_sharpness_of_scores_whose_probabilities_are_known() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(20_000, 3))
    shares = soft_max(2.5 * scores).cumsum(1)
    labels = (rng.random((20_000, 1)) > shares).sum(1).clip(0, 2)
    assert sharpness(scores, labels) == pytest.approx(2.5, rel=0.05)
    assert sharpness(scores, rng.integers(0, 3, 20_000)) < 0.1
    assert sharpness(scores, scores.argmax(1)) == pytest.approx(SHARPEST[1], rel=0.05)


def test_every_clip_is_left_out_once_with_its_subject() -> None:
    subjects = [*"aaaabbbccdefgg"]
    masks = list(groups_left_out(subjects))
    assert len(masks) == 5 and (np.sum(masks, 0) == 1).all()
    for mask in masks:
        inside = {s for s, out in zip(subjects, mask, strict=True) if out}
        assert not inside & {s for s, out in zip(subjects, mask, strict=True) if not out}
    assert len(list(groups_left_out(["a", "b"]))) == 2
