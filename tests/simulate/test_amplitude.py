"""Drawn expressions are as large as real ones."""

from __future__ import annotations

import numpy as np
import pytest

from aumer.simulate import amplitude, nuisance
from aumer.simulate.anatomy import Action
from aumer.simulate.features import Subject
from aumer.simulate.statistics import load
from aumer.simulate.timeline import draw_event, replay
from aumer.types import Annotation, Kind

CODES = tuple(nuisance.settings()["micro"]["shown"])


def both(code: str) -> tuple[Action, ...]:
    return tuple((int(unit), "both") for unit in code.split("+"))


def shown(subject: Subject, aus: tuple[Action, ...]) -> float:
    """Displacement of the ROI that moves furthest at intensity 1."""
    return float(np.hypot(*np.sum([subject.shown(a) for a in aus], axis=0).T).max())


@pytest.mark.parametrize("code", CODES)
def test_micro_expressions_of_known_aus_have_the_measured_median(code: str) -> None:
    rng, aus = np.random.default_rng(0), both(code)
    sizes = [amplitude.micro(rng, aus) * shown(Subject.draw(rng), aus) for _ in range(1000)]
    measured = nuisance.settings()["micro"]["shown"][code]
    assert np.median(sizes) == pytest.approx(measured, rel=0.1)


def test_drawn_micro_expressions_are_spread_as_those_of_casme_ii() -> None:
    """Of AUs that move any ROI. The tables' AUs are others, and more of them smile (.004)."""
    rng, statistics = np.random.default_rng(0), load()
    events = [draw_event(rng, "micro", statistics) for _ in range(2000)]
    sizes = [
        e.intensity * shown(Subject.draw(rng), e.aus)
        for e in events
        if amplitude.reach(e.aus) > 0.01
    ]
    found = np.quantile(sizes, (0.1, 0.25, 0.5, 0.75, 0.9))
    np.testing.assert_allclose(found, (0.0038, 0.0078, 0.0136, 0.0225, 0.0312), rtol=0.3)


def test_drawn_micro_expressions_rise_as_those_of_casme_ii() -> None:
    rng, statistics = np.random.default_rng(1), load()
    rises = [draw_event(rng, "micro", statistics).apex_s for _ in range(2000)]
    found = np.quantile(rises, (0.1, 0.5, 0.9))
    np.testing.assert_allclose(found, (0.09, 0.165, 0.275), rtol=0.15)


def test_macro_expressions_are_larger_and_posed_ones_the_strongest() -> None:
    """AU by AU; the shared videos' smiles carry the corners .166, brow raises the brow .102."""
    rng, statistics = np.random.default_rng(2), load()
    levels = statistics.kinds["macro"].levels
    usual = np.median([amplitude.graded(rng, levels) for _ in range(2000)])
    for code in CODES:
        if code != "14":  # the dimpler's micro-expressions are as large as graded macro ones
            assert usual > amplitude.micro_median(both(code)), code
    assert amplitude.reach(both("6+12")) == pytest.approx(0.166, rel=0.1)
    assert amplitude.reach(both("1+2")) == pytest.approx(0.102, rel=0.1)


def test_a_combination_moves_as_its_largest_known_part() -> None:
    known = amplitude.micro_median(both("1+2"))
    assert amplitude.micro_median(both("1+2+5")) == known
    assert amplitude.micro_median(((1, "both"), (2, "left"))) == known
    assert amplitude.micro_median(both("1+4")) == amplitude.micro_median(both("4"))
    two = (amplitude.micro_median(both("12")) + amplitude.micro_median(both("17"))) / 2
    assert amplitude.micro_median(both("12+17")) == pytest.approx(two)
    # Others move as far as the median clip, or as far as they can.
    other = amplitude.micro_median(both("20")) * amplitude.reach(both("20"))
    assert other == pytest.approx(nuisance.settings()["micro"]["other"], rel=0.1)
    lids = amplitude.micro_median(both("7"))
    assert lids == max(amplitude.micro_median(both(code)) for code in CODES)


def test_an_intensity_is_one_at_most() -> None:
    rng = np.random.default_rng(3)
    drawn = [amplitude.micro(rng, both("14")) for _ in range(3000)]
    assert min(drawn) > 0 and max(drawn) == 1.0


@pytest.mark.parametrize(("kind", "expected"), [("micro", 0.03), ("macro", 0.2)])
def test_replayed_rows_are_as_large_as_drawn_ones(kind: Kind, expected: float) -> None:
    rows = [Annotation("", f"v_{k}", kind, 10, 15, 20, "12") for k in range(400)]
    sizes = [line.events[0].intensity for line in replay(rows, 30).values()]
    if kind == "micro":
        assert np.median(sizes) == pytest.approx(amplitude.micro_median(both("12")), rel=0.15)
    assert np.median(sizes) < 0.1 if kind == "micro" else np.median(sizes) > expected
