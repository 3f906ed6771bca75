from __future__ import annotations

import dataclasses
import itertools
import math
import pickle
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aumer.types import (
    KINDS,
    ActingUnit,
    Counts,
    Expression,
    FaceTrack,
    Features,
    Frame,
    Interval,
    Moment,
    Scores,
    VideoInfo,
    by_kind,
    runs,
)


@st.composite
def intervals(draw: st.DrawFn, largest: int = 60) -> Interval:
    return Interval(*sorted(draw(st.tuples(*[st.integers(0, largest)] * 2))))


def frames_of(interval: Interval) -> set[int]:
    return set(range(interval.onset, interval.offset + 1))


# Interval


@given(intervals(), intervals())
def test_interval_algebra_is_that_of_sets_of_frames(a: Interval, b: Interval) -> None:
    both, either = frames_of(a) & frames_of(b), frames_of(a) | frames_of(b)
    assert len(a) == len(frames_of(a))
    assert a.overlap(b) == len(both)
    assert a.iou(b) == pytest.approx(len(both) / len(either), abs=1e-15)
    assert all((frame in a) == (frame in frames_of(a)) for frame in range(-1, 62))


@given(intervals(), intervals())
def test_iou_is_symmetric_and_one_only_for_the_same_interval(a: Interval, b: Interval) -> None:
    assert a.iou(b) == b.iou(a)
    assert 0.0 <= a.iou(b) <= 1.0
    assert (a.iou(b) == 1.0) == (a == b)
    assert (a.iou(b) == 0.0) == frames_of(a).isdisjoint(frames_of(b))


@given(intervals(), intervals(), st.integers(0, 10**9))
def test_iou_does_not_depend_on_where_the_intervals_lie(a: Interval, b: Interval, by: int) -> None:
    moved = [Interval(i.onset + by, i.offset + by) for i in (a, b)]
    assert moved[0].iou(moved[1]) == a.iou(b)


def test_interval_is_closed_at_both_ends() -> None:
    assert len(Interval(5, 5)) == 1
    assert len(Interval(0, 9)) == 10
    assert 5 in Interval(5, 7)
    assert 7 in Interval(5, 7)
    assert 8 not in Interval(5, 7)
    assert Interval(0, 5).overlap(Interval(5, 9)) == 1  # neighbors that share a frame overlap
    assert Interval(0, 4).overlap(Interval(5, 9)) == 0
    # Half-open arithmetic would say 4/8 or 5/10 for these.
    assert Interval(0, 9).iou(Interval(5, 14)) == pytest.approx(5 / 15)


def test_interval_takes_numpy_numbers() -> None:
    interval = Interval(np.int64(3), np.int64(8))  # type: ignore[arg-type]
    assert interval == Interval(3, 8)
    assert len(interval) == 6
    assert np.int64(8) in interval


@pytest.mark.parametrize("other", [3.0, "3", None])
def test_only_whole_frames_lie_in_an_interval(other: object) -> None:
    assert other not in Interval(0, 9)


@pytest.mark.parametrize(("onset", "offset"), [(-1, 5), (-3, -1), (6, 5), (0, math.nan)])
def test_interval_refuses_what_is_none(onset: Any, offset: Any) -> None:
    with pytest.raises(ValueError, match="0 <= onset <= offset") as caught:
        Interval(onset, offset)
    assert f"onset {onset}" in str(caught.value)
    assert f"offset {offset}" in str(caught.value)


def test_intervals_are_frozen_hashable_and_ordered_by_onset() -> None:
    interval = Interval(2, 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        interval.onset = 1  # type: ignore[misc]
    assert {interval, Interval(2, 3)} == {interval}
    assert sorted([Interval(2, 9), Interval(1, 50), Interval(2, 3)]) == [
        Interval(1, 50),
        Interval(2, 3),
        Interval(2, 9),
    ]


def test_a_moment_is_an_interval_with_its_apex() -> None:
    assert len(Moment(10, 20, 14)) == 11
    assert Moment(10, 20, 14).iou(Interval(10, 20)) == 1
    assert sorted([Moment(2, 9, 4), Moment(1, 9, 9), Moment(2, 9, 3)])[0].apex == 9
    for onset, offset, apex in ((10, 20, 9), (10, 20, 21), (-1, 20, 14), (10, 9, 9)):
        with pytest.raises(ValueError, match=f"found {onset}, {apex}, {offset}"):
            Moment(onset, offset, apex)


# Expression


def expression(**changes: Any) -> Expression:
    values = {
        "kind": "micro", "onset": 10, "apex": 14, "offset": 20,
        "onset_s": 0.5, "apex_s": 0.7, "offset_s": 1.0, "score": 0.8,
    }  # fmt: skip
    return Expression(**(values | changes))


def test_expression_in_frames_and_seconds() -> None:
    e = expression()
    assert e.interval == Interval(10, 20)
    assert len(e.interval) == 11
    assert e.moment == Moment(10, 20, apex=14)
    assert e.duration_s == pytest.approx(0.5)
    assert e.label is None
    assert e.probs is None
    assert pickle.loads(pickle.dumps(e)) == e
    with pytest.raises(dataclasses.FrozenInstanceError):
        e.onset = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        {"onset": 14},
        {"offset": 14},
        {"onset": 14, "offset": 14},
        {"onset_s": 0.7, "offset_s": 0.7},
        {"onset": 0, "onset_s": -0.25},  # a container may start its clock below zero
        {"score": 0.0},
        {"score": 1.0},
        {"kind": "macro"},
        {"label": "positive", "probs": {"positive": 0.9, "negative": 0.1}},
        {"peak": 0.0, "duration_sd_s": 0.01, "duration_bias_s": -0.1, "micro_max_s": 0.2},
    ],
    ids=str,
)
def test_expression_allows(changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        assert getattr(expression(**changes), name) == value


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "Micro"}, "micro, macro; found 'Micro'"),
        ({"kind": "me"}, "micro, macro; found 'me'"),
        ({"onset": -1}, "-1, 14, 20"),
        ({"apex": 9}, "10, 9, 20"),
        ({"apex": 21}, "10, 21, 20"),
        ({"offset": 9}, "onset <= apex <= offset"),
        ({"apex_s": 0.4}, "0.5, 0.4, 1.0"),
        ({"apex_s": 1.1}, "onset_s <= apex_s <= offset_s"),
        ({"apex_s": math.nan}, "onset_s <= apex_s <= offset_s"),
        ({"onset_s": math.nan}, "onset_s <= apex_s <= offset_s"),
        ({"offset_s": math.nan}, "onset_s <= apex_s <= offset_s"),
        ({"score": -0.01}, "found -0.01"),
        ({"score": 1.01}, "found 1.01"),
        ({"score": math.nan}, "found nan"),
        ({"score": math.inf}, "found inf"),
        ({"peak": -1.0}, "peak must be >= 0 and finite; found -1.0"),
        ({"peak": math.inf}, "found inf"),
        ({"duration_sd_s": 0.0}, "duration_sd_s must be > 0 and finite; found 0.0"),
        ({"duration_bias_s": math.nan}, "duration_bias_s must be finite"),
        ({"micro_max_s": -0.5}, "micro_max_s must be > 0 and finite; found -0.5"),
    ],
    ids=str,
)
def test_expression_refuses(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        expression(**changes)


def test_how_probably_an_expression_is_micro() -> None:
    assert expression().micro_probability is None
    even = expression(duration_sd_s=0.1)
    assert even.micro_probability == pytest.approx(0.5)
    # What is spotted .04 s too long in the mean is, at .5 s, likely shorter.
    shorter = dataclasses.replace(even, duration_bias_s=0.04)
    assert shorter.micro_probability == pytest.approx(0.6554, abs=1e-4)  # a normal's cdf at .4
    assert expression(duration_sd_s=0.1, micro_max_s=0.4).micro_probability == pytest.approx(
        0.1587, abs=1e-4
    )


def test_a_kind_by_another_limit() -> None:
    e = expression(kind="macro")
    assert e.duration_s == pytest.approx(0.5)
    assert [e.limited(s).kind for s in (0.4, 0.5, 0.6)] == ["macro", "micro", "micro"]
    assert e.limited(0.6).micro_max_s == 0.6
    # .5 s in frames of a second's thirtieth, which sum to a little more.
    longer = expression(onset_s=0.1, apex_s=0.3, offset_s=0.1 + 0.5000000001)
    assert longer.limited(0.5).kind == "micro"


def test_by_kind_keeps_the_order() -> None:
    mixed = [
        expression(kind=kind, score=k / 10)
        for k, kind in enumerate(["macro", "micro", "macro", "micro", "macro"])
    ]
    assert [e.score for e in by_kind(mixed, "macro")] == [0.0, 0.2, 0.4]
    assert [e.score for e in by_kind(mixed, "micro")] == [0.1, 0.3]
    assert by_kind([], "micro") == ()
    assert KINDS == ("micro", "macro")


# Counts


counts = st.builds(Counts, *[st.integers(0, 10**6)] * 3)


@given(st.lists(counts, max_size=5))
def test_counts_add(parts: list[Counts]) -> None:
    total = Counts.total(parts)
    for name in ("tp", "fp", "fn"):
        assert getattr(total, name) == sum(getattr(part, name) for part in parts)
    assert Counts.total(reversed(parts)) == total
    assert Counts.total(iter(parts)) == total  # a generator does as well as a list


@given(counts)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(c: Counts) -> None:
    for ratio in (c.precision, c.recall, c.f1):
        assert 0.0 <= ratio <= 1.0
    if c.tp:
        assert c.f1 == pytest.approx(2 / (1 / c.precision + 1 / c.recall))
    else:
        assert c.f1 == c.precision == c.recall == 0.0
    assert c.f1 == pytest.approx(Counts(c.tp, c.fn, c.fp).f1)  # the roles may be swapped
    assert c.precision == Counts(c.tp, c.fn, c.fp).recall


def test_f1_is_divided_once_and_not_per_part() -> None:
    easy, hard = Counts(tp=9, fp=1, fn=0), Counts(tp=1, fp=0, fn=30)
    pooled = easy + hard
    assert pooled == Counts(10, 1, 30)
    assert pooled.f1 == 20 / 51
    assert pooled.f1 != pytest.approx((easy.f1 + hard.f1) / 2, abs=0.1)
    assert (pooled.precision, pooled.recall) == (10 / 11, 10 / 40)


def test_a_fold_without_anything_changes_no_pooled_ratio() -> None:
    some = Counts(3, 2, 1)
    assert some + Counts() == some
    assert Counts().f1 == Counts().precision == Counts().recall == 0.0
    # But a video without truth still counts its false positives.
    assert (some + Counts(fp=6)).f1 < some.f1


def test_published_counts_give_the_published_f1() -> None:
    """The independent AUW-GCN run on CAS(ME)^2 (field.md, section 3)."""
    macro, micro = Counts(136, 189, 164), Counts(6, 34, 51)
    assert macro.f1 == pytest.approx(0.4352, abs=5e-5)
    assert micro.f1 == pytest.approx(0.1237, abs=5e-5)
    assert (macro + micro).f1 == pytest.approx(0.3934, abs=5e-5)


# Arrays with their axes


def track(n: int = 4, **changes: Any) -> FaceTrack:
    values = {
        "times": np.arange(n) / 30,
        "frames": np.arange(n),
        "valid": np.ones(n, bool),
        "boxes": np.zeros((n, 4), np.float32),
        "landmarks": np.zeros((n, 68, 2), np.float32),
    }
    return FaceTrack(**(values | changes))


def features(n: int = 4, **changes: Any) -> Features:
    values = {
        "values": np.zeros((n, 3, 2), np.float32),
        "times": np.arange(n) / 30,
        "frames": np.arange(n),
        "valid": np.ones(n, bool),
        "rois": ("a", "b", "c"),
        "rate": 30.0,
    }
    return Features(**(values | changes))


def scores(n: int = 4, **changes: Any) -> Scores:
    values = {
        "values": np.arange(2 * n, dtype=np.float32).reshape(n, 2) / 100,
        "times": np.arange(n) / 30,
        "frames": np.arange(n),
        "valid": np.ones(n, bool),
        "channels": ("brow", "mouth"),
    }
    return Scores(**(values | changes))


@pytest.mark.parametrize("make", [track, features, scores])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_arrays_of_one_length_are_taken(make: Any, n: int) -> None:
    assert len(make(n)) == n


@pytest.mark.parametrize(
    ("make", "name"),
    [
        *itertools.product([track], ["frames", "valid", "boxes", "landmarks"]),
        *itertools.product([features, scores], ["frames", "valid", "values"]),
    ],
)
@pytest.mark.parametrize("rows", [0, 3, 5])
def test_an_array_of_another_length_is_named(make: Any, name: str, rows: int) -> None:
    other = getattr(make(rows), name)
    with pytest.raises(ValueError, match="needs 4 rows") as caught:
        make(4, **{name: other})
    assert name in str(caught.value)
    assert str(other.shape) in str(caught.value)
    assert type(make()).__name__ in str(caught.value)


@pytest.mark.parametrize(
    ("make", "name", "shape"),
    [
        (track, "boxes", (4, 5)),
        (track, "boxes", (4,)),
        (track, "landmarks", (4, 67, 2)),
        (track, "landmarks", (4, 68, 3)),
        (track, "landmarks", (4, 136)),
        (features, "values", (4, 2, 2)),
        (features, "values", (4, 3, 3)),
        (features, "values", (4, 6)),
        (scores, "values", (4, 3)),
        (scores, "values", (4,)),
    ],
)
def test_an_array_of_another_shape_is_refused(make: Any, name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be") as caught:
        make(**{name: np.zeros(shape, np.float32)})
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_features_marked_valid_are_finite(bad: float) -> None:
    values = np.zeros((4, 3, 2), np.float32)
    values[2, 1, 0] = bad
    with pytest.raises(ValueError, match="valid"):
        features(values=values)
    valid = np.array([True, True, False, True])
    kept = features(values=values, valid=valid)
    assert kept.valid is valid
    assert len(kept) == 4  # an invalid row is never dropped


def test_coverage_is_the_share_of_rows_with_a_face() -> None:
    assert track(4, valid=np.array([True, False, True, True])).coverage == 0.75
    assert track(3, valid=np.zeros(3, bool)).coverage == 0.0
    assert track(0).coverage == 0.0


def test_scores_by_channel() -> None:
    s = scores()
    np.testing.assert_array_equal(s.channel("mouth"), s.values[:, 1])
    np.testing.assert_array_equal(s.channel("brow"), s.values[:, 0])
    with pytest.raises(KeyError, match="no channel 'nose'; there are brow, mouth"):
        s.channel("nose")


def test_values_that_hold_arrays_compare_by_identity() -> None:
    """Elementwise equality of arrays has no truth value; such a comparison must not raise."""
    assert features() != features()
    assert track() != track()
    assert scores() != scores()


def test_video_info_to_dict_is_a_copy() -> None:
    info = VideoInfo("a.mp4", "file", 640, 480, None)
    values = info.to_dict()
    assert VideoInfo(**values) == info
    values["width"] = 1
    assert info.width == 640


def test_a_frame_is_frozen() -> None:
    frame = Frame(0, 0.0, np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame.index = 1  # type: ignore[misc]


# runs


@given(st.lists(st.booleans(), max_size=40))
def test_runs_are_the_unbroken_stretches_of_true(flags: list[bool]) -> None:
    found = runs(np.array(flags, bool))
    again = np.zeros(len(flags), bool)
    for begin, end in found:
        assert type(begin) is type(end) is int
        assert begin < end  # none is empty
        again[begin:end] = True
    assert again.tolist() == flags
    assert all(a_end < b_begin for (_, a_end), (b_begin, _) in itertools.pairwise(found))


def test_runs_reach_both_ends() -> None:
    assert runs(np.array([True, True, False, True])) == [(0, 2), (3, 4)]
    assert runs(np.ones(3, bool)) == [(0, 3)]
    assert runs(np.zeros(3, bool)) == []
    assert runs(np.zeros(0, bool)) == []


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1, np.inf])
def test_confidence_is_a_share(bad: float) -> None:
    confidence = np.ones((4, 3), np.float32)
    confidence[1, 2] = bad
    with pytest.raises(ValueError, match=r"confidence must lie in \[0, 1\]"):
        features(values=np.zeros((4, 3, 2), np.float32), confidence=confidence)


def test_motion_without_confidence_is_not_trusted() -> None:
    confidence = np.full((4, 3), 0.6, np.float32)
    confidence[1, 2] = 0.4
    valid = np.array([True, True, False, True])
    values = np.where(valid[:, None, None], np.ones((4, 3, 2)), np.nan).astype(np.float32)
    trusted = features(values=values, valid=valid, confidence=confidence).trusted(0.5)
    assert (trusted[1, 2] == 0).all() and np.isnan(trusted[2]).all()
    assert trusted[valid].sum() == 2 * (3 * 3 - 1)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ((0, 0.5, True), "numbered from 1; found 0"),
        ((12, 1.5, True), "probability must lie"),
        ((12, 0.5, False, "left"), "of an AU that acts"),
    ],
)
def test_what_is_no_acting_unit(members: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ActingUnit(*members)
