"""The demo: what it draws, what it writes, what it says."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from aumer import demo
from aumer.errors import UsageError
from aumer.simulate import amplitude
from aumer.simulate.timeline import Event, Timeline
from aumer.types import Counts, by_kind


@pytest.mark.parametrize("seed", range(20))
def test_a_performance_holds_both_kinds(seed: int) -> None:
    timeline = demo.performance(seed)
    assert timeline == demo.performance(seed)
    assert timeline.duration_s == 20.0 and {e.kind for e in timeline.events} == {"micro", "macro"}
    at = 0.0
    for e in timeline.events:
        assert e.onset_s >= at + demo.REST_S - 1e-9 and e.offset_s <= 20.0
        assert (e.offset_s - e.onset_s <= demo.MICRO_MAX_S + 1e-9) == (e.kind == "micro")
        shown = e.intensity * amplitude.reach(e.aus)
        if e.kind == "micro":  # as small as real ones
            assert demo.MICRO_SHOWN[0] <= shown <= demo.MICRO_SHOWN[1] < 0.032
        else:
            low, high = demo.MACRO_INTENSITY
            assert low <= e.intensity <= high
        at = e.offset_s


def test_performances_differ() -> None:
    assert len({demo.performance(seed) for seed in range(10)}) == 10


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> demo.DemoReport:
    """A demo of three seconds with one brow raise."""
    event = Event("macro", ((1, "both"), (2, "both")), 0.8, 1.2, 1.6, 2.0, 0.8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "performance", lambda seed: Timeline(3.0, (event,)))
        patch.setattr(demo, "SIZE", (320, 240))
        told: list[str] = []
        made = demo.run(
            seed=1,
            folder=tmp_path_factory.mktemp("demo") / "new",
            progress=lambda what, done, of: told.append(what),
        )
    assert set(told) == {"film", "spot"} and told == sorted(told)
    return made


def test_everything_is_written(report: demo.DemoReport) -> None:
    names = {p.name for p in report.video.parent.iterdir()}
    assert names == {
        *("face.mp4", "truth.csv", "predictions.csv", "timeline.png"),
        *("face.json", "face.mp4.truth.annotations"),
    }
    assert report.picture.read_bytes().startswith(b"\x89PNG")
    with report.truth_csv.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["file"], row["au"], row["onset"], row["offset"]) == ("face.mp4", "1+2", "24", "60")
    with report.predictions_csv.open(newline="", encoding="utf-8") as file:
        predicted = list(csv.DictReader(file))
    assert [int(r["onset"]) for r in predicted] == [e.onset for e in report.result.expressions]


def test_the_brow_raise_is_found(report: demo.DemoReport) -> None:
    assert report.counts.tp == 1 and len(by_kind(report.truth, "macro")) == 1
    text = demo.format_report(report)
    assert "1 of 1 found" in text and " 1+2" in text and "hit" in text
    for path in (report.video, report.truth_csv, report.predictions_csv, report.picture):
        assert str(path) in text


def test_a_report_names_every_fate(report: demo.DemoReport) -> None:
    (true,) = report.truth
    (found,) = report.result.expressions
    other = replace(found, kind="micro", onset=0, apex=1, offset=2, onset_s=0, apex_s=0, offset_s=0)
    lost = replace(report, hits=(), counts=Counts(0, 1, 1))
    assert "IoU < 0.5" in demo.format_report(lost)
    assert f"{true.onset_s:5.2f}-{true.offset_s:5.2f} macro" in demo.format_report(lost)
    other_kind = replace(report.result, expressions=(replace(found, kind="micro"),))
    assert "other kind" in demo.format_report(replace(lost, result=other_kind))
    far = replace(report.result, expressions=(other,))
    text = demo.format_report(replace(lost, result=far))
    assert "false alarm" in text and "miss" in text and "F1 0.00" in text


def test_files_are_not_overwritten_unasked(report: demo.DemoReport) -> None:
    before = {p: p.read_bytes() for p in report.video.parent.iterdir()}
    with pytest.raises(UsageError, match="exists already"):
        demo.run(folder=report.video.parent)
    assert {p: p.read_bytes() for p in report.video.parent.iterdir()} == before


def test_arguments(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="seed must be"):
        demo.run(seed=-1, folder=tmp_path / "no")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot make the folder"):
        demo.run(folder=tmp_path / "file")
