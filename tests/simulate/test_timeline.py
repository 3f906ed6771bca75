"""Performances are timed as the tables say: drawn with their distributions, replayed exactly."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from aumer.errors import UsageError
from aumer.simulate import timeline
from aumer.simulate.statistics import load
from aumer.simulate.tables import read_lengths, read_table
from aumer.simulate.timeline import (
    REST_S,
    Event,
    Timeline,
    draw,
    draw_event,
    replay,
)
from aumer.types import KINDS, Annotation, Kind

SMILE = Event("macro", ((12, "both"),), 1.0, 1.4, 2.0, 2.6, 0.8)


def test_an_event_rises_holds_and_falls() -> None:
    t = np.linspace(0, 3, 3001)
    level = SMILE.level(t)
    assert level[(t <= 1.0) | (t >= 2.6)].max() < 1e-9
    assert t[level.argmax()] == pytest.approx(1.4, abs=2e-3) and level.max() == pytest.approx(0.8)
    assert (np.diff(level)[(t[1:] > 1.0) & (t[1:] <= 1.4)] > 0).all()
    assert (np.diff(level)[(t[1:] > 1.401) & (t[1:] < 2.6)] <= 0).all()
    assert level[np.searchsorted(t, 2.0)] == pytest.approx(0.72, abs=1e-3)
    assert np.abs(np.diff(level)).max() < 0.01  # no jump


def test_events_add_up_to_one() -> None:
    both = Timeline(
        5.0, (SMILE, Event("micro", ((12, "both"), (1, "left")), 1.2, 1.5, 1.5, 1.7, 0.5))
    )
    assert both.intensities(1.5) == {(12, "both"): 1.0, (1, "left"): pytest.approx(0.5)}
    assert both.intensities(4.0) == {}
    levels = both.levels(np.array([1.5, 4.0]))
    assert levels[12, "both"].tolist() == [1.0, 0.0]


def test_truth_in_frames() -> None:
    for fps in (25.0, 30.0, 200.0):
        (truth,) = Timeline(3.0, (SMILE,)).expressions(fps)
        assert (truth.onset, truth.apex, truth.offset) == (fps, round(1.4 * fps), round(2.6 * fps))
        assert (truth.kind, truth.score, truth.onset_s) == ("macro", 1.0, 1.0)


@lru_cache(maxsize=4)
def drawn(kind: Kind, count: int = 400) -> tuple[Event, ...]:
    rng = np.random.default_rng(11)
    return tuple(draw_event(rng, kind, load()) for _ in range(count))


@pytest.mark.parametrize("kind", KINDS)
def test_durations_rises_and_falls_are_those_of_the_tables(kind: Kind) -> None:
    """Told by the largest distance of the distribution functions, which hardly changes with what is
    drawn: of 2000 no more than .066 with twelve seeds, and .12 or more where times are a quarter
    longer."""
    events, k = drawn(kind, 800), load().kinds[kind]
    for values, quantiles in (
        ([e.offset_s for e in events], k.duration_s),
        ([e.apex_s for e in events], k.rise_s),
        ([e.offset_s - e.apex_s for e in events], k.fall_s),
    ):
        ranks = np.linspace(0, 1, len(quantiles))
        distance, of_longer = (
            stats.kstest(scale * np.array(values), np.interp, (quantiles, ranks)).statistic
            for scale in (1.0, 1.25)
        )
        assert distance < 0.1 < of_longer


@pytest.mark.parametrize("kind", KINDS)
def test_combinations_are_those_of_the_tables(kind: Kind) -> None:
    expected = load().kinds[kind].combinations
    found = Counter(e.aus for e in drawn(kind))
    assert set(found) <= set(expected)
    common = [c for c, n in expected.items() if n >= 5]
    total, count = sum(expected.values()), sum(found.values())
    cells = np.array([expected[c] / total * count for c in common])
    seen = np.array([found[c] for c in common])
    rest = count - cells.sum(), count - seen.sum()
    result = stats.chisquare([*seen, rest[1]], [*cells, rest[0]])
    assert result.pvalue > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_rates_are_those_of_the_tables(kind: Kind) -> None:
    minutes = 300
    lines = [draw(np.random.default_rng([3, k]), 180.0) for k in range(minutes // 3)]
    count = sum(e.kind == kind for line in lines for e in line.events)
    expected = load().kinds[kind].rate_per_min * minutes
    assert stats.poisson(expected).cdf(count) == pytest.approx(0.5, abs=0.4999)


def test_a_rate_that_was_asked_for() -> None:
    lines = [draw(np.random.default_rng([5, k]), 60.0, rate_per_min=10.0) for k in range(60)]
    assert sum(len(line.events) for line in lines) / 60 == pytest.approx(10, abs=1.2)


def test_some_micro_expressions_lie_in_macro_expressions_and_others_apart() -> None:
    lines = [draw(np.random.default_rng([7, k]), 180.0, load("samm_lv")) for k in range(60)]
    nested = micro = 0
    for line in lines:
        for e in line.events:
            hosts = [h for h in line.events if h is not e and h.onset_s <= e.onset_s < h.offset_s]
            if hosts:
                assert e.kind == "micro" and e.offset_s <= hosts[0].offset_s
                assert not {au for au, _ in e.aus} & {au for au, _ in hosts[0].aus}
            nested += bool(hosts)
            micro += e.kind == "micro"
        apart = [e for e in line.events if e.kind == "macro"]
        for a, b in pairwise(apart):
            assert b.onset_s - a.offset_s >= REST_S - 1e-9
    assert nested / micro == pytest.approx(load("samm_lv").nested, abs=0.06)


def test_more_expressions_than_fit_leave_the_longest_out() -> None:
    line = draw(np.random.default_rng(0), 5.0, rate_per_min=600.0)
    assert line.events and line.events[-1].offset_s <= 5.0


@pytest.mark.parametrize(
    ("table", "fps", "count", "videos"),
    [("casme_sq_auwgcn.csv", 30, 357, 95), ("samm_lv_25fps_auwgcn.csv", 25, 502, 147)],
)
def test_replay_gives_the_tables_intervals(
    shared_data: Callable[[str], Path], table: str, fps: int, count: int, videos: int
) -> None:
    path = shared_data(f"annotations/{table}")
    lines = replay(read_table(path), fps)
    assert len(lines) == videos and sum(len(line.events) for line in lines.values()) == count
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected, found = Counter[Any](), Counter[Any]()
    for row in rows:
        onset, apex, offset = (int(row[k]) for k in ("start_frame", "apex_frame", "end_frame"))
        kind = "macro" if row["type_idx"] == "1" else "micro"
        expected[row["video_name"], kind, max(0, onset), offset or 2 * apex - onset] += 1
    for name, line in lines.items():
        for e in line.expressions(fps):
            found[name, e.kind, e.onset, e.offset] += 1
    assert found == expected


def test_replayed_videos_are_as_long_as_the_real_ones(shared_data: Callable[[str], Path]) -> None:
    rows = read_table(shared_data("annotations/casme_sq_auwgcn.csv"))
    lengths = read_lengths(shared_data("annotations/casme_sq_offsets_filled.csv"))
    listed = read_lengths(shared_data("annotations/casme_sq_video_lengths.csv"))
    assert {name: listed[name] for name in lengths} == lengths
    lines = replay(rows, 30, lengths=lengths)
    assert {name: round(line.duration_s * 30) for name, line in lines.items()} == {
        name: max(lengths[name], max(e.offset for e in line.expressions(30)))
        for name, line in lines.items()
    }


def test_rows_with_faults_are_replayed_by_rule() -> None:
    rows = [
        Annotation("", "v_1", "macro", 10, 15, None, "12"),  # a missing offset
        Annotation("", "v_1", "micro", 60, 90, 70, "54"),  # an apex outside; no skin moves
        Annotation("", "v_2", "micro", 0, None, 9, "L4"),  # no apex
    ]
    lines = replay(rows, 30)
    first, second = lines["v_1"].expressions(30)
    assert (first.onset, first.apex, first.offset) == (10, 15, 20)
    assert (second.onset, second.apex, second.offset) == (60, 70, 70)
    assert lines["v_1"].events[1].aus  # drawn
    (third,) = lines["v_2"].events
    assert third.onset_s == 0 and third.aus == ((4, "left"),)
    alone = replay(rows[2:], 30)
    assert alone["v_2"] == lines["v_2"]
    assert lines["v_1"].duration_s == 36.0


def test_what_a_table_leaves_out_is_missing(tmp_path: Path) -> None:
    columns = "video_name,start_frame,apex_frame,end_frame,type_idx,au"
    text = f"{columns}\nv_1,10,15,0,1,12\nv_2,-3,-1,9,2,L4\n"
    assert read_table(bad_table(tmp_path, text)) == [
        Annotation("", "v_1", "macro", 10, 15, None, "12", row=2),
        Annotation("", "v_2", "micro", 0, None, 9, "L4", row=3),
    ]


def test_the_readers_that_moved_say_where_to() -> None:
    for name, where in (("read_table", "simulate.tables"), ("TableRow", "types.Annotation")):
        with pytest.raises(ImportError, match=where):
            getattr(timeline, name)


TABLE = "video_name,start_frame,apex_frame,end_frame,type_idx,au\n"


def bad_table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def test_bad_arguments_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for call, message in (
        (lambda: draw(rng, 0.0), "duration_s"),
        (lambda: draw(rng, 60.0, rate_per_min=0.0), "rate_per_min"),
        (lambda: replay([], 0), "fps"),
        (lambda: Timeline(1.0, (SMILE,)), "must end within the timeline"),
        (lambda: Timeline(0.0, ()), "duration_s"),
        (lambda: Timeline(3.0, (SMILE,)).expressions(0), "fps"),
        (lambda: Event("macro", ((12, "both"),), 1.0, 0.5, 2.0, 2.5, 0.8), "onset_s"),
        (lambda: Event("macro", ((12, "both"),), 1.0, 1.5, 2.0, 2.5, 1.8), "intensity"),
        (lambda: Event("macro", ((99, "both"),), 1.0, 1.5, 2.0, 2.5, 0.8), "99"),
        (lambda: Event("mini", ((12, "both"),), 1.0, 1.5, 2.0, 2.5, 0.8), "mini"),
        (lambda: read_table(tmp_path / "none.csv"), "none"),
        (lambda: read_table(bad_table(tmp_path, "video_name\n")), "no column 'kind'"),
        (lambda: read_table(bad_table(tmp_path, TABLE)), "no rows"),
        (lambda: read_table(bad_table(tmp_path, TABLE + "v,5,,,1,\n")), "neither apex nor offset"),
        (lambda: read_table(bad_table(tmp_path, TABLE + "v,5,x,,1,\n")), "line 2"),
        (lambda: read_lengths(bad_table(tmp_path, "video\nv\n")), "n_frames"),
    ):
        with pytest.raises(UsageError, match=message):
            call()
