"""A report on spotting: its figures are the evaluation's, and what is missing says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from results.pages import Page

from aumer.errors import UsageError
from aumer.evaluation.recognition import Recognized, evaluate_recognition
from aumer.evaluation.rows import PredictedInterval, SpottingSettings, Truth, Video
from aumer.evaluation.spotting import evaluate
from aumer.report import figures as report_figures
from aumer.report import page as html
from aumer.report.report import report
from aumer.report.runs import About, Spotted, SpottingRun
from aumer.report.spotting import outcomes

FIGURES = ["precision-recall", "overlap", "errors", "lengths", "videos"]
HONEST, ORACLE = "last epoch", "best epoch on the test subject"
VIDEOS = tuple(Video(f"s{k}", f"v{k}", 30.0) for k in range(4))
#: A hit three frames late, a near miss, a miss; a micro-expression that is found exactly.
TRUTHS = (
    Truth("s0", "v0", "macro", 100, 129, 110),
    Truth("s0", "v0", "macro", 200, 229, 210),
    Truth("s1", "v1", "macro", 300, 329, 310),
    Truth("s1", "v1", "micro", 50, 59, 55),
)
FOUND = (
    PredictedInterval("s0", "v0", "macro", 103, 132, 110, 0.9),
    PredictedInterval("s0", "v0", "macro", 212, 241, 215, 0.8),
    PredictedInterval("s1", "v1", "micro", 50, 59, 55, 0.7),
    PredictedInterval("s2", "v2", "micro", 10, 19, 15, 0.6),
)


def one(
    predictions: Sequence[PredictedInterval] = FOUND,
    truths: Sequence[Truth] = TRUTHS,
    *,
    videos: Sequence[Video] = VIDEOS,
    settings: SpottingSettings | None = None,
    **more: object,
) -> Spotted:
    made = evaluate(predictions, truths, videos, settings)
    known: dict[str, object] = {"dataset": "set", "seed": 0, "selection": HONEST, "honest": True}
    return Spotted(
        **{**known, **more}, predictions=tuple(predictions), truths=tuple(truths), report=made
    )  # type: ignore[arg-type]


def run(*spotted: Spotted) -> SpottingRun:
    return SpottingRun(About("Title", "rules", notes=("A note.",)), spotted, ({"epochs": 3},))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "figure_bytes", lambda figure, kind: b"<svg/>")


def test_every_figure_is_drawn_and_the_tables_are_the_evaluation_s() -> None:
    done = report(run(one()))
    found = Page(done.html)
    assert list(done.figures) == FIGURES and "Left out" not in found.text
    assert min(len(source) for _, source in found.images) > 10_000
    evaluated = one().report
    assert evaluated is not None
    for row in found.table("kind", "TP"):
        c = evaluated.counts(None if row[0] == "overall" else row[0])  # type: ignore[arg-type]
        assert row[1:4] == [str(c.tp), str(c.fp), str(c.fn)]
        assert row[4:7] == [f"{x:.4f}" for x in (c.precision, c.recall, c.f1)]
        assert row[7] == "nothing"
    (overall,) = [r for r in found.table("kind", "precision [95 %]") if r[0] == "overall"]
    e = evaluated.bootstrap()
    assert overall[3] == f"{e.value:.4f} [{e.low:.4f}, {e.high:.4f}]"
    assert "F1 macro 0.4000 [" in found.text
    rows = {row[0]: row[1:] for row in found.table("subject")}
    assert rows["s0"] == ["1 / 1 / 1", "0.5000", "0 / 0 / 0", "–", "1 / 1 / 1", "0.5000"]
    assert list(rows) == ["s2", "s0", "s1", "s3"] and rows["s3"][-1] == "–"


@pytest.mark.usefixtures("undrawn")
def test_what_is_left_out_stands_beside_what_is_scored() -> None:
    rules = SpottingSettings(videos_without_truth="drop")
    page = Page(report(run(one(settings=rules))).html)
    rows = {row[0]: row for row in page.table("kind", "TP")}
    known = one(settings=rules).report
    assert known is not None and known.dropped_predictions
    assert rows["overall"][-1] == known.left_out() == f"{known.dropped_predictions} predictions"
    assert f"left out: {known.left_out()}" in page.text


@pytest.mark.usefixtures("undrawn")
def test_what_is_undefined_is_not_nought() -> None:
    """Neither a micro-expression nor a prediction of one: no figure says how well it went."""
    only = [t for t in TRUTHS if t.kind == "macro"]
    found = [p for p in FOUND if p.kind == "macro"]
    page = Page(report(run(one(found, only))).html)
    assert ["micro", "0", "0", "0", "–", "–", "–", "nothing"] in page.table("kind", "TP")
    assert ["micro", "–", "–", "–"] in page.table("kind", "precision [95 %]")
    assert "micro undefined" in page.text


@pytest.mark.usefixtures("undrawn")
def test_what_the_figures_are_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers that reach each figure, against the rows above, by hand."""
    given: dict[str, tuple[object, ...]] = {}
    for name in ("overlaps", "errors", "lengths", "strips"):
        drawn = getattr(report_figures, name)

        def watched(*args: object, _name: str = name, _drawn: object = drawn) -> object:
            given[_name] = args
            return _drawn(*args)  # type: ignore[operator]

        monkeypatch.setattr(report_figures, name, watched)
    report(run(one()))
    hits, misses, threshold, sweep = given["overlaps"]
    assert hits["macro"].tolist() == [pytest.approx(27 / 33)] and hits["micro"].tolist() == [1.0]  # type: ignore[index]
    assert misses["macro"].tolist() == [pytest.approx(18 / 42), 0.0] and threshold == 0.5  # type: ignore[index]
    assert sweep["macro"][0.4] == pytest.approx(0.8) and sweep["macro"][0.5] == pytest.approx(0.4)  # type: ignore[index]
    ends, unit, frame = given["errors"]
    assert (unit, frame) == ("ms", pytest.approx(1000 / 30))
    assert ends["onset"]["macro"].tolist() == [pytest.approx(100.0)]  # type: ignore[index]
    assert ends["offset"]["micro"].tolist() == [0.0]  # type: ignore[index]
    right, missed, unit, frame = given["lengths"]
    assert (unit, frame) == ("s", pytest.approx(1 / 30))
    assert right["macro"].tolist() == [1.0] and missed["macro"].tolist() == [1.0, 1.0]  # type: ignore[index]
    assert right["micro"].tolist() == [pytest.approx(1 / 3)]  # type: ignore[index]
    strips, unit = given["strips"]
    assert [(s.name, s.score) for s in strips] == [  # type: ignore[attr-defined]
        ("s0 / v0", "1 TP  1 FP  1 FN"),
        ("s2 / v2", "0 TP  1 FP  0 FN"),
        ("s1 / v1", "1 TP  0 FP  1 FN"),
    ]
    first = strips[0]  # type: ignore[index]
    assert [b.matched for b in first.truths] == [True, False]
    assert (first.truths[0].begin, first.truths[0].end) == pytest.approx((100 / 30, 130 / 30))


@pytest.mark.usefixtures("undrawn")
def test_frames_where_no_rate_is_known() -> None:
    found = Page(report(run(one(videos=[replace(v, fps=None) for v in VIDEOS]))).html)
    assert "onset of macro +3 frames" in found.text


@pytest.mark.usefixtures("undrawn")
def test_the_oracle_s_figure_is_labeled_and_not_drawn() -> None:
    perfect = one(
        [
            PredictedInterval(t.subject, t.video, t.kind, t.onset, t.offset or 0, score=k / 9)
            for k, t in enumerate(TRUTHS)
        ],
        selection=ORACLE,
        honest=False,
    )
    done = report(run(perfect, one()))
    found = Page(done.html)
    assert "CHOSEN ON THE TEST SUBJECT" in found.text
    assert found.text.index("last epoch") < found.text.index(ORACLE)
    assert list(done.figures) == FIGURES  # once, of the honest figure
    assert "macro 1 of 3 found" in found.text and "macro 3 of 3 found" not in found.text


@pytest.mark.usefixtures("undrawn")
def test_seeds_are_averaged_and_data_sets_stand_apart() -> None:
    better = one([*FOUND, PredictedInterval("s1", "v1", "macro", 300, 329, score=0.5)], seed=1)
    other = one(dataset="other")
    done = report(run(one(), better, other))
    found = Page(done.html)
    assert list(done.figures) == [f"{f}-{d}" for d in ("set", "other") for f in FIGURES]
    tables = [t for t in found.tables if t[0][:2] == ["kind", "precision [95 %]"]]
    assert tables[0][1][3].startswith(f"{(0.4 + 2 / 3) / 2:.4f} [")
    assert "The 2 seeds are pooled" in found.text


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("predictions", "why", "drawn"),
    [
        ([], "nothing was spotted", ["overlap", "lengths", "videos"]),
        ([replace(p, score=1.0) for p in FOUND], "the same score", FIGURES[1:]),
        ([FOUND[3]], "there is no hit whose ends", ["overlap", "lengths", "videos"]),
    ],
)
def test_what_is_missing_says_why(
    predictions: list[PredictedInterval], why: str, drawn: list[str]
) -> None:
    done = report(run(one(predictions)))
    said = [line for line in Page(done.html).text.splitlines() if line.startswith("Left out")]
    assert list(done.figures) == drawn and any(why in line for line in said)


@pytest.mark.usefixtures("undrawn")
def test_no_truth_to_compare_with() -> None:
    done = report(run(Spotted("set", 0, HONEST, True, FOUND)))
    found = Page(done.html)
    assert not done.figures and "4 (seed 0) expressions spotted" in found.text
    assert "the truth of these videos is not known" in found.text


@pytest.mark.usefixtures("undrawn")
def test_all_found() -> None:
    right = [
        PredictedInterval(t.subject, t.video, t.kind, t.onset, t.offset or 0, score=0.1 * k)
        for k, t in enumerate(TRUTHS)
    ]
    done = report(run(one(right)))
    assert "every expression was found, and nothing else" in Page(done.html).text
    assert "videos" not in done.figures


@pytest.mark.usefixtures("undrawn")
def test_policies_of_the_score_hold_in_the_figures() -> None:
    """A filled offset makes a hit and no offset error; dropped predictions are in no figure."""
    truths = [*TRUTHS, Truth("s3", "v3", "macro", 10, None, 20)]
    predictions = [*FOUND, PredictedInterval("s3", "v3", "macro", 10, 30, score=0.3)]
    rules = SpottingSettings(missing_offset="mirror", videos_without_truth="drop", expect_macro=4)
    made = one(predictions, truths, settings=rules)
    found = outcomes(made)
    assert sum(map(len, found.hits)) == made.report.counts().tp == 3  # type: ignore[union-attr]
    assert sum(len(c.predictions) for c in found.cases) == 4  # that of v2 is dropped
    text = Page(report(run(made)).html).text
    assert "macro 2 of 4 found" in text


def test_rows_of_another_report_are_refused() -> None:
    with pytest.raises(UsageError, match="score the run again"):
        outcomes(replace(one(), predictions=FOUND[:1]))
    with pytest.raises(UsageError, match="nothing to report"):
        report(run())


@pytest.mark.usefixtures("undrawn")
def test_what_was_spotted_and_recognized() -> None:
    rows = [Recognized("s0", "a", "a"), Recognized("s1", "b", "a")]
    made = one(recognition=evaluate_recognition(rows, classes=("a", "b")), strs=0.25)
    done = report(run(made))
    found = Page(done.html)
    assert found.table("data set", "seed", "selection", "STRS")[0][3:] == [
        *("0.2500", "0.3333", "0.5000"),
        "2",
    ]
    assert "confusion-set-seed-0" in done.figures


@pytest.mark.usefixtures("undrawn")
def test_names_are_escaped() -> None:
    nasty = "<b>$x$</b>"
    videos = [replace(v, name=nasty + v.name) for v in VIDEOS]
    rows = [[replace(r, video=nasty + r.video) for r in some] for some in (FOUND, TRUTHS)]
    done = report(run(one(*rows, videos=videos, dataset=nasty)))  # type: ignore[arg-type]
    found = Page(done.html)
    assert found.tags.count("b") == len(found.captions) and found.text.count(nasty) > 3
    done.figures["videos"].canvas.draw()  # "$x$" is no mathematics: it would fail or vanish


def test_bars_hold_whole_frames() -> None:
    """Edges lie between the frames, and every value has its bar."""
    for low, high in ((3, 3), (1, 40), (10, 17)):
        edges = report_figures._edges(low / 30, high / 30, 1 / 30, 12) * 30
        assert len(edges) <= 13 and edges[0] < low and edges[-1] > high
        np.testing.assert_allclose(edges % 1, 0.5)
        assert len(set(np.round(np.diff(edges)))) <= 1
