"""Targets: equal to the published ones, and ours without their faults."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aumer.errors import UsageError
from aumer.spotting.auwgcn.features import published_normalization
from aumer.spotting.auwgcn.targets import (
    published_labels,
    published_segments,
    published_targets,
)
from aumer.spotting.channels import column
from aumer.spotting.targets import (
    TargetEvent,
    Targets,
    TargetSettings,
    events,
    filled_offset,
    targets,
)
from aumer.testing.decoding import read_events
from aumer.types import KINDS, Annotation, Expression, Kind

SharedData = Callable[[str], Path]
Golden = dict[str, np.ndarray]
LENGTH, RATE = 300, 30.0


@pytest.fixture(scope="module")
def golden(shared_data: SharedData) -> Golden:
    with np.load(shared_data("golden/auwgcn.npz")) as file:
        return {k.removeprefix("targets/"): file[k] for k in file if k.startswith("targets/")}


def _annotation(onset: int, apex: int | None, offset: int | None) -> Annotation:
    return Annotation("s", "v", "macro", onset, apex, offset)


# As published


@pytest.mark.parametrize("kind", KINDS)
def test_published_targets_are_the_golden_ones(golden: Golden, kind: Kind) -> None:
    found = published_targets(golden["labels"])
    for part in ("apex", "action"):
        assert np.allclose(found[..., column(kind, part)], golden[f"{kind}_{part}"], atol=1e-7)
    classes = found[..., [column(kind, part) for part in ("onset", "offset", "neither")]]
    assert (classes.argmax(axis=-1) == golden[f"{kind}_start_end"]).all()
    assert (classes.sum(axis=-1) == 1).all()


def test_published_labels_are_the_golden_ones(golden: Golden) -> None:
    for sample, labels in enumerate(golden["labels"]):
        inside = [
            TargetEvent(onset, offset, apex, "macro" if kind == 1 else "micro")
            for s, onset, apex, offset, kind in golden["events"].tolist()
            if s == sample
        ]
        assert inside
        assert (published_labels(inside, 0) == labels).all()


def test_published_normalization_is_the_golden_one(golden: Golden) -> None:
    assert np.allclose(published_normalization(golden["raw_feature"]), golden["feature"], atol=1e-6)


@pytest.mark.parametrize(
    ("table", "rows", "lost"),
    [("casme_sq_auwgcn.csv", 313, 23), ("samm_lv_25fps_auwgcn.csv", 502, 47)],
)
def test_published_cutting_loses_what_lies_across(
    shared_data: SharedData, table: str, rows: int, lost: int
) -> None:
    videos = read_events(shared_data(f"annotations/{table}"))
    kept = 0
    for inside in videos.values():
        length = max(e.offset for e in inside) + 10
        kept += sum(len(s.events) for s in published_segments(np.zeros((length, 1, 2)), inside))
        ours = targets(inside, length, RATE)
        assert all(ours.action[e.onset : e.offset + 1, KINDS.index(e.kind)].all() for e in inside)
    assert sum(map(len, videos.values())) == rows
    assert rows - kept == lost


def test_published_segments_have_context_and_normalized_padding() -> None:
    values = np.arange(300 * 2, dtype=np.float64).reshape(300, 1, 2)
    inside = (TargetEvent(10, 40, 20, "macro"), TargetEvent(258, 266, 262, "micro"))
    first, second = published_segments(values, inside)
    assert (first.first, second.first) == (0, 256)
    assert first.events == inside[:1] and second.events == inside[1:]
    padding, normal = published_normalization(np.zeros((1, 1, 2))), published_normalization(values)
    assert (first.features[:7] == padding).all()
    assert np.array_equal(first.features[7:], normal[:263])
    assert np.array_equal(second.features[:51], normal[249:])
    assert (second.features[51:] == padding).all()
    assert np.flatnonzero(second.targets[:, column("micro", "action")]).tolist() == [*range(2, 11)]
    assert published_segments(values, ()) == ()


def test_published_end_overwrites_start_and_ours_shares() -> None:
    touching = (TargetEvent(20, 40, 30, "macro"), TargetEvent(40, 80, 60, "macro"))
    onset, offset = column("macro", "onset"), column("macro", "offset")
    published = published_targets(published_labels(touching, -7))
    assert published[40, onset] == 0 and published[40, offset] == 1
    ours = targets(touching, LENGTH, RATE).values
    assert ours[40, onset] == pytest.approx(0.5) and ours[40, offset] == pytest.approx(0.5)


def _laid_one_after_another(marks: np.ndarray, width: int) -> np.ndarray:
    """The published apex track of (270,) marks as it is described: mark by mark, in their order."""
    track = np.zeros(270)
    for row in np.flatnonzero(marks):
        track[row] = 1
        for k in range(1, width + 1):
            height = np.exp(-(k**2) / 32)
            if row - k >= 0:
                track[row - k] = height
            if row + k < 256:
                track[row + k] = height
    return track[7:263]


@pytest.mark.parametrize(("kind", "width"), [("micro", 1), ("macro", 3)])
def test_a_later_published_apex_overwrites_one_before_it(kind: Kind, width: int) -> None:
    """Also its peak, where it is nearer than the widening."""
    rng = np.random.default_rng(0)
    crowded = 0
    for _ in range(200):
        labels = np.zeros((270, 8), np.uint8)
        labels[rng.choice(270, rng.integers(1, 30), replace=False), 1 if kind == "micro" else 5] = 1
        marks = labels[:, 1 if kind == "micro" else 5]
        found = published_targets(labels)[:, column(kind, "apex")]
        assert np.allclose(found, _laid_one_after_another(marks, width), atol=1e-7)
        crowded += bool((np.diff(np.flatnonzero(marks)) <= width).any())
    assert crowded > 50
    labels[:] = 0
    labels[[100, 101], 5] = 1
    apex = published_targets(labels)[:, column("macro", "apex")]
    assert apex[100 - 7] == pytest.approx(np.exp(-1 / 32)) and apex[101 - 7] == 1


def test_other_shapes_of_labels_are_refused() -> None:
    with pytest.raises(UsageError, match=r"270.*found \(256, 8\)"):
        published_targets(np.zeros((256, 8)))


# Ours


@st.composite
def _events(draw: st.DrawFn) -> list[TargetEvent]:
    found = []
    for _ in range(draw(st.integers(0, 6))):
        rows = sorted(draw(st.lists(st.integers(0, LENGTH - 1), min_size=3, max_size=3)))
        found.append(TargetEvent(rows[0], rows[2], rows[1], draw(st.sampled_from(KINDS))))
    return found


def test_events_keep_the_action_units_of_coders() -> None:
    """For an objective that learns them; an expression that was spotted has none of coders."""
    coded = Annotation("s1", "v1", "micro", 3, 5, 8, aus="L4+12")
    spotted = Expression("macro", 12, 14, 18, 0.4, 0.5, 0.6, 0.9)
    found = events((coded, spotted), np.arange(30))
    assert [(e.onset, e.aus) for e in found] == [(3, "L4+12"), (12, "")]


@given(_events(), st.randoms())
def test_ours_whatever_overlaps(found: list[TargetEvent], random: object) -> None:
    ours = targets(found, LENGTH, RATE)
    assert ours.values.shape == (LENGTH, 10) and ours.values.dtype == np.float32
    assert ours.values.min() >= 0 and ours.values.max() <= 1
    for kind in KINDS:
        classes = ours.values[:, [column(kind, p) for p in ("onset", "offset", "neither")]]
        assert np.allclose(classes.sum(axis=1), 1, atol=1e-6)
    for e in found:
        assert ours.values[e.apex, column(e.kind, "apex")] == 1
        assert ours.values[e.onset, column(e.kind, "onset")] >= 0.5 - 1e-6
        assert ours.values[e.offset, column(e.kind, "offset")] >= 0.5 - 1e-6
    random.shuffle(found)  # type: ignore[attr-defined]
    assert np.array_equal(targets(found, LENGTH, RATE).values, ours.values)


@given(_events(), st.integers(1, 50))
def test_ours_move_with_the_events(found: list[TargetEvent], by: int) -> None:
    moved = [TargetEvent(e.onset + by, e.offset + by, e.apex + by, e.kind) for e in found]
    ours, later = targets(found, LENGTH, RATE), targets(moved, LENGTH + by, RATE)
    assert np.array_equal(later.values[by:], ours.values)


def test_no_event_means_neither_everywhere() -> None:
    ours = targets((), 5, RATE)
    assert (ours.boundary == 2).all() and not ours.apex.any() and not ours.action.any()
    assert ours.weight.tolist() == [1] * 5


def test_views_are_micro_then_macro() -> None:
    ours = targets((TargetEvent(10, 20, 14, "micro"),), 40, RATE)
    assert ours.apex[14].tolist() == [1, 0] and ours.action[10].tolist() == [1, 0]
    assert ours.boundary[[10, 20, 30]].tolist() == [[0, 2], [1, 2], [2, 2]]


@pytest.mark.parametrize("kind", KINDS)
def test_widths_are_in_seconds(kind: Kind) -> None:
    """At twice the rate a bump has twice the rows."""
    slow = targets((TargetEvent(100, 150, 120, kind),), 200, 30.0)
    fast = targets((TargetEvent(200, 300, 240, kind),), 400, 60.0)
    k = KINDS.index(kind)
    assert np.allclose(fast.apex[::2, k], slow.apex[:, k], atol=1e-6)


def test_an_uncertain_event_weighs_nothing_and_is_no_negative() -> None:
    ours = targets((TargetEvent(100, 120, 110, "macro", certain=False),), 200, RATE)
    assert not ours.action.any()
    assert (ours.weight[100:121] == 0).all() and ours.weight[:90].all() and ours.weight[140:].all()


def test_an_event_beyond_the_rows_is_refused() -> None:
    with pytest.raises(UsageError, match="beyond the last of 50 rows"):
        targets((TargetEvent(10, 50, 20, "macro"),), 50, RATE)


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan")])
def test_widths_must_be_positive(width: float) -> None:
    with pytest.raises(UsageError, match="positive number of seconds"):
        TargetSettings(micro_apex_sigma_s=width)


# Events from annotations


@pytest.mark.parametrize(
    ("policy", "offset"),
    [
        ("mirror", 130),
        ("ignore", 130),
        ("drop", None),
        ("apex", 120),
        ("apex+20", 140),
        ("onset+20", 130),
    ],
)
def test_policies_for_a_missing_offset(policy: str, offset: int | None) -> None:
    apex = 120
    assert filled_offset(110, apex, policy) == offset


@pytest.mark.parametrize("policy", ["mirrored", "apex+", "apex+-3", ""])
def test_other_policies_are_refused(policy: str) -> None:
    with pytest.raises(UsageError, match="mirror, ignore, drop"):
        events([], np.arange(9), missing_offset_policy=policy)


def test_other_policies_for_the_apex_are_refused() -> None:
    with pytest.raises(UsageError, match="middle or drop"):
        events([], np.arange(9), missing_apex_policy="mean")


def test_events_of_annotations() -> None:
    frames = np.arange(100)
    assert events([_annotation(10, 15, 30)], frames) == (TargetEvent(10, 30, 15, "macro"),)
    assert events([_annotation(10, None, 30)], frames) == (TargetEvent(10, 30, 20, "macro"),)
    assert events([_annotation(10, 40, 30)], frames) == (TargetEvent(10, 30, 20, "macro"),)
    assert events([_annotation(10, None, 30)], frames, missing_apex_policy="drop") == ()
    assert events([_annotation(10, 15, None)], frames) == (TargetEvent(10, 20, 15, "macro", False),)
    mirrored = events([_annotation(10, 15, None)], frames, missing_offset_policy="mirror")
    assert mirrored == (TargetEvent(10, 20, 15, "macro"),)
    assert events([_annotation(10, None, None)], frames) == ()
    assert events([_annotation(10, 5, None)], frames) == ()


def test_events_on_another_grid_and_at_its_ends() -> None:
    frames = np.arange(100, 200, 4)  # 25 rows of every fourth frame
    assert events([_annotation(109, 117, 130)], frames) == (TargetEvent(2, 7, 4, "macro"),)
    assert events([_annotation(50, 120, 500)], frames) == (TargetEvent(0, 24, 5, "macro"),)
    assert events([_annotation(0, 5, 90), _annotation(300, 310, 320)], frames) == ()
    assert events([_annotation(0, 5, 90)], frames[:0]) == ()
    repeated = np.repeat(np.arange(10), 2)  # a grid finer than the frames
    assert events([_annotation(2, 3, 4)], repeated) == (TargetEvent(4, 8, 6, "macro"),)


@pytest.mark.parametrize("rows", [(5, 9, 4), (-1, 3, 2), (1, 8, 9)])
def test_events_are_in_order(rows: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="0 <= onset <= apex <= offset"):
        TargetEvent(*rows, "micro")


def test_targets_have_a_length() -> None:
    assert isinstance(targets((), 7, RATE), Targets) and len(targets((), 7, RATE)) == 7


def test_published_names_say_where_they_are_now() -> None:
    with pytest.raises(ImportError, match=r"published_targets is no more: see aumer.*auwgcn"):
        from aumer.spotting.targets import published_targets as _  # noqa: F401
    for module, name in (
        ("aumer.spotting.losses", "published_loss"),
        ("aumer.spotting.decode", "PublishedDecoder"),
        ("aumer.motion.mdmo", "PUBLISHED_MEAN"),
    ):
        with pytest.raises(ImportError, match=rf"{name} is no more: see aumer.*auwgcn"):
            getattr(import_module(module), name)
