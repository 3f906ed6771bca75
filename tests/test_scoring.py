"""`aumer.evaluate`: files, results and data sets as they come."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aumer
from aumer import registry
from aumer.errors import UsageError
from aumer.evaluation import legacy
from aumer.evaluation.interface import Report
from aumer.evaluation.rows import PredictedInterval, SpottingSettings, Truth, Video
from aumer.evaluation.spotting import SpottingReport
from aumer.scoring import evaluators
from aumer.types import Annotation, Counts, Kind, VideoInfo, VideoRecord

TRUTH = "subject,video,kind,onset,offset\na,a/film.mp4,macro,0,99\nb,b/other.mp4,micro,10,19\n"


def result(name: str, *spans: tuple[Kind, int, int]) -> aumer.SpotResult:
    expressions = tuple(
        aumer.Expression(kind, on, on, off, on / 30, on / 30, off / 30, score=0.5)
        for kind, on, off in spans
    )
    empty = np.zeros(0, np.int64)
    return aumer.SpotResult(
        video=VideoInfo(name, "file", 64, 64, 30.0, 200),
        expressions=expressions,
        scores=aumer.Scores(
            np.zeros((0, 1), np.float32),
            np.zeros(0),
            empty,
            np.zeros(0, np.bool_),
            ("micro",),
        ),
        coverage=1.0,
        spotter="test",
        settings={},
        digests={},
        versions={},
    )


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "truth.csv"
    path.write_text(TRUTH)
    return path


def test_results_find_their_video_in_the_truth(truth: Path) -> None:
    results = [result("film.mp4", ("macro", 5, 99)), result("other.avi", ("micro", 50, 60))]
    report = aumer.evaluate(results, truth)
    assert report.counts("macro") == Counts(1, 0, 0)
    assert report.counts("micro") == Counts(0, 1, 1)
    table = report.per_video().set_index("video")
    assert table.loc["a/film.mp4", ["subject", "macro_tp", "overall_f1"]].tolist() == ["a", 1, 1.0]
    assert table.loc["b/other.mp4", ["micro_fp", "micro_fn"]].tolist() == [1, 1]
    assert table["macro_f1"].isna().tolist() == [False, True]  # nothing of the kind is undefined
    one = aumer.evaluate(results[0], truth, fps=30.0)
    assert one.counts() == Counts(1, 0, 1)
    assert one.boundary_errors("macro", unit="ms")["onset"].bias == pytest.approx(5 / 0.03)


def test_a_result_of_two_videos_of_one_name_is_refused() -> None:
    truths = [Truth(s, f"{s}/film.mp4", "micro", 0, 9) for s in "ab"]
    with pytest.raises(UsageError, match=r"name of 2 videos, 'a/film.mp4' and 'b/film.mp4'"):
        aumer.evaluate(result("film.mp4", ("micro", 0, 9)), truths)


def test_saved_results_score_as_they_are(tmp_path: Path) -> None:
    found = result("film.mp4", ("macro", 5, 99), ("micro", 120, 129))
    found.save(tmp_path / "film.json")
    truths = [Truth("a", "film.mp4", "macro", 0, 99)]
    reports = [aumer.evaluate(p, truths) for p in (found, tmp_path / "film.json")]
    assert [r.counts() for r in reports] == [Counts(1, 1, 0)] * 2


def test_a_data_set_counts_its_videos_without_expressions_too() -> None:
    a = Annotation("a", "v", "micro", 10, 15, 19)
    records = [VideoRecord("mine", "a", "v", 30.0, annotations=(a,))]
    records.append(VideoRecord("mine", "b", "w", 30.0))
    report = aumer.evaluate(PredictedInterval("a", "v", "micro", 10, 19), records)
    assert report.counts() == Counts(1, 0, 0)
    assert [v.key for v in report.videos] == [("a", "v"), ("b", "w")]
    assert report.videos[0].fps == 30.0
    with pytest.raises(UsageError, match="not among the evaluated videos"):
        aumer.evaluate(PredictedInterval("c", "x", "micro", 1, 2), records)


def test_every_evaluator_is_asked_by_name(truth: Path) -> None:
    rows = [PredictedInterval("a", "a/film.mp4", "macro", 5, 99)]
    assert evaluators() == ("aumer", *legacy.EVALUATORS)
    for name in evaluators():
        report = aumer.evaluate(rows, truth, evaluator=name)
        assert isinstance(report, Report) and report.to_dict()["evaluator"] == name
        assert report.counts("macro").tp == 1
        text = report.to_markdown()
        if name == "mult":  # which divides by 282
            assert "| macro | 1 | 0 | 281 | 1.0000 | 0.0035 | 0.0071 |" in text
            continue
        assert "| macro | 1 | 0 | 0 | 1.0000 | 1.0000 | 1.0000 |" in text
        assert "missing offset: " in text  # the rules stand beside the score
    with pytest.raises(UsageError, match="Did you mean 'softnet'"):
        aumer.evaluate(rows, truth, evaluator="softnt")
    with pytest.raises(UsageError, match="megc2020 has rules of its own"):
        aumer.evaluate(rows, truth, evaluator="megc2020", settings=SpottingSettings(iou=0.3))


def test_rules_of_ours_and_lists_of_videos(truth: Path, tmp_path: Path) -> None:
    rows = [PredictedInterval("b", "b/other.mp4", "micro", 13, 22)]
    assert aumer.evaluate(rows, truth).counts("micro") == Counts(1, 0, 0)
    strict = aumer.evaluate(rows, truth, settings=SpottingSettings(iou=0.6))
    assert strict.counts("micro") == Counts(0, 1, 1)
    (tmp_path / "videos.csv").write_text("subject,video\na,a/film.mp4\nb,b/other.mp4\nc,c/x.mp4\n")
    listed = aumer.evaluate(rows, truth, videos=tmp_path / "videos.csv")
    assert listed.subjects == ("a", "b", "c")
    given = aumer.evaluate(
        rows, truth, videos=[Video("b", "b/other.mp4"), Video("a", "a/film.mp4")]
    )
    assert given.subjects == ("b", "a")


def test_a_function_that_returns_a_report_will_do(
    truth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_parts", {k: dict(v) for k, v in registry._parts.items()})

    def lenient(predictions: Any, truths: Any, videos: Any = None) -> SpottingReport:
        return aumer.evaluate(
            predictions, truths, videos=videos, settings=SpottingSettings(iou=0.1)
        )

    rows = [PredictedInterval("b", "b/other.mp4", "micro", 17, 26)]
    assert aumer.evaluate(rows, truth, evaluator=lenient).counts("micro").tp == 1
    aumer.register("evaluator", "lenient")(lenient)
    assert evaluators()[-1] == "lenient"
    assert aumer.evaluate(rows, truth, evaluator="lenient").counts("micro").tp == 1
    with pytest.raises(UsageError, match=r"must return an .*Report"):
        aumer.evaluate(rows, truth, evaluator=lambda *rows: None)  # type: ignore[arg-type,return-value]


def test_guessed_subjects_are_told(
    truth: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "p.csv"
    path.write_text("video,kind,onset,offset\nc_1,micro,1,9\n")
    with caplog.at_level(logging.WARNING, "aumer"):
        aumer.evaluate(path, truth)
    assert "'c_1' is of 'c'" in caplog.text
    caplog.clear()
    aumer.evaluate(PredictedInterval("c", "c_1", "micro", 1, 9), truth)
    assert not caplog.text


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda t: aumer.evaluate(3, t),
            "path of a file, or of SpotResult, PredictedInterval; found 3",
        ),
        (lambda t: aumer.evaluate([None], t), "found None"),
        (lambda t: aumer.evaluate([], [object()]), "or of VideoRecord, Truth"),
        (lambda t: aumer.evaluate([], t, fps=0), "`fps` must be above 0"),
        (lambda t: aumer.evaluate("none.csv", t), "cannot read a table from none.csv"),
        (lambda t: aumer.evaluate([], t, evaluator=3), "an evaluator is a function"),
        (lambda t: aumer.evaluate([], t, settings={"iou": 1}), "`settings` must be SpottingSett"),
        (lambda t: aumer.evaluate([], t, videos=3), "`videos` must be several Video, .*; found 3"),
        (lambda t: aumer.evaluate([], t, videos=[("c", "c_1")]), r"`videos` .* found .*'c', 'c_1'"),
    ],
)
def test_what_cannot_be_scored_is_named(call: Callable[[Any], Any], says: str, truth: Path) -> None:
    with pytest.raises(UsageError, match=says):
        call(truth)


def test_a_table_s_rows_are_what_they_were(truth: Path) -> None:
    row = PredictedInterval("a", "a/film.mp4", "macro", 5, 99)
    assert aumer.evaluate(replace(row, onset=60), truth).counts("macro") == Counts(0, 1, 1)
