"""Which differences can be found: against the closed form, and against trials."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aumer.errors import ConfigError, UsageError
from aumer.evaluation.bootstrap import Difference, Estimate, difference
from aumer.evaluation.power import Power

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
    assert (one.error, one.paired) == (pytest.approx(0.03, abs=1e-7), True)
    assert (two.error, two.paired) == (pytest.approx(0.03 * math.sqrt(2), abs=1e-7), False)
    assert two.chance == 0.9


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
