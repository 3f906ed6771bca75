"""How far two coders agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from aumer.evaluation.agreement import Coded, agreement
from aumer.types import KINDS, Counts, Interval

TIMES = np.arange(100) / 25


@st.composite
def coder(draw: st.DrawFn) -> list[Coded]:
    found: list[Coded] = []
    for _ in range(draw(st.integers(0, 4))):
        onset, offset = sorted(draw(st.integers(0, 99)) for _ in range(2))
        found.append((draw(st.sampled_from(KINDS)), Interval(onset, offset)))
    return found


def labels(coded: list[Coded]) -> list[str]:
    found = ["none"] * 100
    for kind in ("macro", "micro"):
        for one, interval in coded:
            if one == kind:
                found[interval.onset : interval.offset + 1] = [kind] * len(interval)
    return found


@given(coder(), coder())
def test_kappa_is_the_usual_one(a: list[Coded], b: list[Coded]) -> None:
    found = agreement(a, b, TIMES)
    for name, one in found.items():
        sides = [labels(x) for x in (a, b)]
        if name != "all":
            sides = [[str(v == name) for v in side] for side in sides]
        if len({*sides[0], *sides[1]}) == 1:
            assert one.kappa is None and one.frames == 1
        else:
            assert one.kappa == pytest.approx(cohen_kappa_score(*sides))
    assert found["all"].counts == found["micro"].counts + found["macro"].counts
    back = agreement(b, a, TIMES)
    assert back["all"].kappa == pytest.approx(found["all"].kappa) or found["all"].kappa is None
    assert back["all"].counts.tp == found["all"].counts.tp
    assert back["all"].counts.fp == found["all"].counts.fn
    for name in ("onset_s", "offset_s"):
        there, here = (sorted(getattr(one["all"], name)) for one in (found, back))
        assert there == pytest.approx([-d for d in reversed(here)])


@given(coder())
def test_with_oneself(a: list[Coded]) -> None:
    found = agreement(a, a, TIMES)["all"]
    assert found.kappa in (None, pytest.approx(1))
    assert (found.counts.fp, found.counts.fn) == (0, 0)
    assert set(found.onset_s) <= {0.0}


def test_of_equally_good_matchings_the_same_is_taken() -> None:
    """Whoever is the first: here either of a's intervals could be b's."""
    a: list[Coded] = [("macro", Interval(13, 15)), ("macro", Interval(7, 30))]
    b: list[Coded] = [("macro", Interval(14, 29)), ("macro", Interval(13, 33))]
    there, back = agreement(a, b, TIMES)["all"], agreement(b, a, TIMES)["all"]
    assert there.counts.tp == 1
    assert there.onset_s == tuple(-d for d in back.onset_s)
    assert there.offset_s == tuple(-d for d in back.offset_s)


def test_differences_are_second_less_first() -> None:
    a: list[Coded] = [("micro", Interval(10, 19)), ("macro", Interval(40, 80))]
    b: list[Coded] = [
        ("micro", Interval(12, 19)),
        ("macro", Interval(36, 80)),
        ("micro", Interval(90, 93)),
    ]
    found = agreement(a, b, TIMES)
    assert found["all"].counts == Counts(tp=2, fp=1, fn=0)
    assert found["micro"].onset_s == pytest.approx((0.08,))
    assert found["macro"].onset_s == pytest.approx((-0.16,))
    said = found["all"].to_dict()
    assert said["onset_s"]["mean"] == pytest.approx(-0.04)
    assert said["onset_s"]["mean_abs"] == pytest.approx(0.12)
    assert said["offset_s"]["max_abs"] == 0
    assert said["f1"] == pytest.approx(4 / 5)
    # Another kind is no hit, however well it lies.
    other: list[Coded] = [("macro", Interval(10, 19))]
    assert agreement(a[:1], other, TIMES)["all"].counts == Counts(fp=1, fn=1)


def test_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="beyond the 100 frames"):
        agreement([("micro", Interval(90, 100))], [], TIMES)
    with pytest.raises(ValueError, match="frames"):
        agreement([], [], TIMES[:0])
