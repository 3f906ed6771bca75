"""Which differences can be found: against the closed form, and against trials."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aumer.errors import ConfigError, UsageError
from aumer.evaluation.bootstrap import Difference, Estimate, difference
from aumer.evaluation.power import Power, few_subjects, holds
from aumer.evaluation.spotting import f1_of
from aumer.testing.two_methods import two_methods

#: Two-sided .05, chance .8: 1.959964 + .841621.
REACH = 2.8015852


def test_the_closed_form() -> None:
    power = Power(subjects=25, clips=100, error=0.02)
    assert power.detectable() == pytest.approx(REACH * 0.02, abs=1e-6)
    assert power.detectable(100) == pytest.approx(REACH * 0.01, abs=1e-6)  # four times as many
    assert power.needed(REACH * 0.02 + 1e-6) == 25
    assert power.needed(-REACH * 0.01 - 1e-6) == 100
    assert power.needed(0.0) is None
    assert power.chance_of(REACH * 0.02) == pytest.approx(0.8, abs=1e-3)
    assert power.chance_of(0.0) == pytest.approx(0.05, abs=1e-9)
    assert power.chance_of(REACH * 0.01, 100) == pytest.approx(0.8, abs=1e-3)


def test_the_error_is_read_off_the_interval() -> None:
    paired = Difference(0.1, 0.1 - 1.959964 * 0.03, 0.1 + 1.959964 * 0.03, 0.95, 2000, 0, 0.01)
    alone = Estimate(0.5, 0.5 - 1.644854 * 0.03, 0.5 + 1.644854 * 0.03, 0.90, 2000, 0)
    one, two = Power.of(paired, 9, 30), Power.of(alone, 9, 30, chance=0.9)
    of_nine = 0.03 * math.sqrt(9 / 8)  # resamples of nine have 8 / 9 of the variance
    assert (one.error, one.paired) == (pytest.approx(of_nine, abs=1e-7), True)
    assert (two.error, two.paired) == (pytest.approx(of_nine * math.sqrt(2), abs=1e-7), False)
    assert two.chance == 0.9


@pytest.mark.parametrize("subjects", [5, 22])
def test_the_error_of_few_subjects_is_not_told_too_small(subjects: int) -> None:
    """The mean of what pilots say, against what the difference does from pilot to pilot."""
    rng = np.random.default_rng(7)
    pilots = [
        difference(*two_methods(rng, subjects, 0.06), f1_of, replicates=300, level=0.95, seed=k)
        for k in range(250)
    ]
    said = np.mean([Power.of(p, subjects, 1).error for p in pilots])
    true = np.std([p.value for p in pilots], ddof=1)
    assert 0.92 < said / true < 1.1


@pytest.mark.parametrize("subjects", [2, 5, 30])
def test_how_often_an_interval_holds_the_truth(subjects: int) -> None:
    """Of methods that are alike the truth is 0, by symmetry."""
    rng = np.random.default_rng(8)
    pilots = [
        difference(*two_methods(rng, subjects), f1_of, replicates=200, level=0.95, seed=k)
        for k in range(300)
    ]
    held = np.mean([p.low <= 0 <= p.high for p in pilots])
    assert held == pytest.approx(holds(subjects) or 0.94, abs=0.06)


def test_few_subjects_are_told_of() -> None:
    assert holds(1) is None and holds(7) == holds(6) and holds(12) is None
    (told,) = few_subjects([22, 3, 3])
    assert "as few as 3 subjects are too narrow" in told and f"{holds(3):.0%}" in told
    assert not few_subjects([22])


def test_where_nothing_moves_nothing_is_known() -> None:
    same = Difference(0.0, 0.0, 0.0, 0.95, 2000, 0, 1.0)
    power = Power.of(same, 22, 300)
    assert power.error == 0
    assert (power.detectable(), power.needed(0.05), power.chance_of(0.05)) == (None,) * 3
    assert power.to_dict()["detectable"] is None


def test_what_is_promised_is_what_trials_find() -> None:
    """Accuracy of two methods on subjects of ten clips, the second better by a known amount."""
    rng = np.random.default_rng(3)

    def trial(subjects: int, better: float) -> tuple[np.ndarray, np.ndarray]:
        level = rng.uniform(0.3, 0.7, subjects)
        first = rng.binomial(10, level)
        second = rng.binomial(10, np.clip(level + better, 0, 1))
        return (np.stack([right, np.full(subjects, 10)], 1) for right in (second, first))

    def accuracy(counts: np.ndarray) -> np.ndarray:
        return counts[:, 0] / counts[:, 1]

    pilot = difference(*trial(400, 0.1), accuracy, replicates=2000, level=0.95, seed=0)
    asked = Power.of(pilot, 400, 4000)
    needed = asked.needed(0.1)
    assert needed is not None and 10 < needed < 80
    found = 0
    for seed in range(80):
        seen = difference(*trial(needed, 0.1), accuracy, replicates=200, level=0.95, seed=seed)
        found += not seen.low <= 0 <= seen.high
    assert 0.65 < found / 80 < 0.95


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"subjects": 1}, "two subjects or more"),
        ({"error": math.nan}, "a standard error"),
        ({"error": -1.0}, "a standard error"),
        ({"alpha": 0.0}, "between 0 and 1"),
        ({"chance": 1.0}, "less than 1"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises((UsageError, ConfigError), match=words):
        Power(**{"subjects": 5, "clips": 9, "error": 0.1, **options})  # type: ignore[arg-type]
