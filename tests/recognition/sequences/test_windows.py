"""Where windows are cut, balancing, and splits that keep a clip's windows together."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aumer.errors import ConfigError, UsageError
from aumer.recognition.labeled import without_rare
from aumer.recognition.sequences.clips import ClipSequence, SequenceClips
from aumer.recognition.sequences.splits import check_apart, hold_out, k_fold
from aumer.recognition.sequences.windows import (
    balanced_windows,
    centered_start,
    cut,
    further_start,
)


def clip(frames: int, onset: int, apex: int, offset: int) -> ClipSequence:
    """Frame t is t gray, its landmarks are t, and its flow to the next is t."""
    t = np.arange(frames)
    return ClipSequence(
        np.broadcast_to(t[:, None, None].astype(np.uint8), (frames, 2, 2)).copy(),
        np.broadcast_to(t[:, None, None].astype(np.float32), (frames, 68, 2)).copy(),
        np.broadcast_to(t[:-1, None, None, None].astype(np.float32), (frames - 1, 2, 2, 2)).copy(),
        onset,
        apex,
        offset,
        200.0,
    )


@st.composite
def clips(draw: st.DrawFn) -> ClipSequence:
    frames = draw(st.integers(2, 120))
    marks = sorted(draw(st.lists(st.integers(0, frames - 1), min_size=3, max_size=3)))
    return clip(frames, *marks)


@given(clips(), st.integers(1, 64), st.integers(0, 99))
def test_starts_keep_the_rules(one: ClipSequence, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = sorted((0, len(one) - length))
    centered, further = centered_start(one, length), further_start(one, length, rng)
    assert low <= centered <= high and low <= further <= high
    middle = one.apex - length // 2
    assert centered == middle or middle < low or middle > high
    if one.offset - one.onset + 1 >= length:
        assert one.onset <= further <= one.offset - length + 1
        return
    # Algorithm 1: as far to either side as leaves onset and offset inside whichever it is.
    room = min(length // 4, one.onset - middle, middle + length - one.offset - 1)
    if room > 0:
        assert min(max(middle - room, low), high) <= further <= min(max(middle + room, low), high)
    else:
        assert further == centered


def test_further_windows_reach_every_place() -> None:
    long, short = clip(100, 10, 30, 50), clip(100, 45, 50, 55)
    rng = np.random.default_rng(0)
    assert {further_start(long, 32, rng) for _ in range(400)} == set(range(10, 20))
    assert {further_start(short, 32, rng) for _ in range(400)} == set(range(34 - 8, 34 + 9))
    late = clip(100, 40, 50, 63)  # of which the middle window misses two frames at most
    assert {further_start(late, 32, rng) for _ in range(99)} == {32, 33, 34, 35, 36}


def test_a_window_is_cut_and_padded() -> None:
    one = clip(10, 2, 4, 6)
    inside = cut(one, 3, 4)
    assert inside.gray[:, 0, 0].tolist() == [3, 4, 5, 6]
    assert inside.flow is not None and inside.flow[:, 0, 0, 0].tolist() == [3, 4, 5]
    beyond = cut(one, -2, 14)
    assert beyond.gray[:, 0, 0].tolist() == [0, 0, *range(10), 9, 9]
    assert beyond.landmarks[:, 0, 0].tolist() == [0, 0, *range(10), 9, 9]
    assert beyond.flow is not None
    assert beyond.flow[:, 0, 0, 0].tolist() == [0, 0, *range(9), 0, 0]


def test_classes_are_balanced() -> None:
    labels = np.array([0] * 7 + [1] * 3)
    some = [clip(60, 10, 20, 40)] * 10
    places = balanced_windows(some, labels, 32, 20, np.random.default_rng(0))
    per_clip = np.bincount([p.clip for p in places], minlength=10)
    assert per_clip.tolist() == [math.ceil(20 / 7)] * 7 + [math.ceil(20 / 3)] * 3
    first = {p.clip: p.start for p in reversed(places)}
    assert set(first.values()) == {centered_start(some[0], 32)}
    assert len(balanced_windows(some, labels, 32, 0, np.random.default_rng(0))) == 10
    with pytest.raises(ConfigError, match="target"):
        balanced_windows(some, labels, 32, -1, np.random.default_rng(0))


def test_rare_classes_are_left_out() -> None:
    labels = np.array([0, 0, 1, 2, 2])
    every = SequenceClips(
        tuple(clip(5, 0, 1, 2) for _ in labels), labels, tuple("abcde"), ("x", "y", "z")
    )
    kept = without_rare(every, 2)
    assert kept.classes == ("x", "z")
    assert kept.labels.tolist() == [0, 0, 1, 1] and kept.subjects == tuple("abde")
    with pytest.raises(UsageError, match="x 2, y 1, z 2"):
        without_rare(every, 3)


def test_windows_of_one_clip_are_never_on_both_sides() -> None:
    labels = np.array([0] * 9 + [1] * 4)
    some = [clip(60, 10, 20, 40)] * 13
    places = balanced_windows(some, labels, 32, 30, np.random.default_rng(1))
    of_clip = [p.clip for p in places]
    folds = k_fold(of_clip, 4, seed=3)
    for train, test in (*folds, hold_out(of_clip, 0.3, seed=3)):
        assert not {of_clip[i] for i in train} & {of_clip[i] for i in test}
        assert sorted([*train, *test]) == list(range(len(places)))
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == list(range(len(places)))


def test_a_random_split_of_windows_is_refused() -> None:
    of_clip = ["a", "a", "b", "b"]
    with pytest.raises(UsageError, match=r"2 groups are in training and in test, for instance 'a'"):
        check_apart(of_clip, np.array([0, 2]), np.array([1, 3]))
    check_apart(of_clip, np.array([0, 1]), np.array([2, 3]))


@given(st.lists(st.integers(0, 8), min_size=4), st.integers(0, 9))
def test_folds_cover_all_and_differ_in_rows_by_a_group_at_most(
    groups: list[int], seed: int
) -> None:
    distinct = len(set(groups))
    if distinct < 2:
        with pytest.raises(UsageError, match="number of groups"):
            k_fold(groups, 2, seed)
        return
    sizes = [len(test) for _, test in k_fold(groups, 2, seed)]
    assert sum(sizes) == len(groups)
    assert abs(sizes[0] - sizes[1]) <= max(np.bincount(groups))


def test_hold_out_takes_about_its_share() -> None:
    groups = [k // 5 for k in range(100)]
    train, test = hold_out(groups, 0.25, seed=1)
    assert len(test) == 25 and len(train) == 75
    assert test.tolist() != hold_out(groups, 0.25, seed=2)[1].tolist()
    with pytest.raises(UsageError, match="share"):
        hold_out(groups, 1.0)
    with pytest.raises(UsageError, match="one group"):
        hold_out([1, 1], 0.5)
