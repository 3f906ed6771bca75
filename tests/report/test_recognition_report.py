"""A report on recognition: its figures are the evaluation's, and what is missing says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from results.pages import Page

from aumer.errors import UsageError
from aumer.evaluation.calibration import reliability
from aumer.evaluation.recognition import RecognitionReport, Recognized, evaluate_recognition
from aumer.report import page as html
from aumer.report.curves import roc
from aumer.report.figures import Curve
from aumer.report.recognition import mean_curve
from aumer.report.report import ReportPage, is_report, report
from aumer.report.runs import About, Clip, RecognitionRun, Training

CLASSES = ("negative", "positive", "surprise")
ROIS = ("brow_r_mid", "nose_tip", "mouth_l")
TITLES = [
    "Scores",
    "Confusion matrix",
    "ROC curves",
    "Calibration",
    "Embeddings (t-SNE)",
    "Attribution on the face",
    "Attribution in the picture and in time",
    "Training curves",
    "Misclassified clips",
    "How this was made",
]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made, and not written as SVG, which takes most of the time."""
    monkeypatch.setattr(html, "figure_bytes", lambda figure, kind: b"<svg/>")


pytestmark = pytest.mark.usefixtures("undrawn")


def made(seeds: int = 1, *, sources: bool = True, embeddings: bool = False) -> RecognitionRun:
    """Five subjects of two data sets; embeddings part by class, attribution too."""
    rng = np.random.default_rng(0)
    clips = []
    for seed in range(seeds):
        for number in range(40):
            truth = int(number % 7 % 3)
            shares = rng.dirichlet(1 + 4 * np.eye(3)[truth])
            predicted = int(shares.argmax())
            clips.append(
                Clip(
                    subject=f"s{number % 5}",
                    name=f"clip{number}",
                    truth=CLASSES[truth],
                    predicted=CLASSES[predicted],
                    probabilities=tuple(np.round(shares, 6).tolist()),
                    embedding=tuple((6 * np.eye(3, 4)[truth] + rng.normal(0, 1, 4)).tolist())
                    if embeddings
                    else (),
                    attribution=tuple((0.1 * np.eye(3)[predicted]).tolist()),
                    space=tuple((0.1 * np.eye(49)[10 + predicted]).tolist()) if embeddings else (),
                    time=tuple((0.2 * np.eye(8)[2 + predicted]).tolist()) if embeddings else (),
                    seed=seed,
                    source=("one", "two")[number % 5 % 2] if sources else "",
                )
            )
    log = tuple(
        {
            "epoch": k,
            "lr": 0.1 / (k + 1),
            "loss": 1 / (k + 1),
            "inner_loss": 1 / (k + 2),
            "accuracy": k / 4,
            "inner_accuracy": k / 5,
        }
        for k in range(4)
    )
    return RecognitionRun(
        About(
            "Title", "net", "aumer bench x", {"aumer": "0.1.0"}, (), ("A note.",), {"a": {"b": 1}}
        ),
        CLASSES,
        tuple(clips),
        tuple(Training(f"s{k}", 0, log) for k in range(5)),
        ROIS,
        tuple({"gamma": k % 2} for k in range(5)),
    )


def scored(run: RecognitionRun, seed: int = 0, source: str = "") -> RecognitionReport:
    rows = [
        Recognized(c.subject, c.truth, c.predicted, c.name)
        for c in run.clips
        if c.seed == seed and source in ("", c.source)
    ]
    return evaluate_recognition(rows, classes=run.classes)


@pytest.fixture(scope="module")
def whole() -> tuple[RecognitionRun, ReportPage, Page]:
    """Drawn in full: it is made before anything is left undrawn."""
    run = made(embeddings=True)
    done = report(run)
    return run, done, Page(done.html)


def test_every_section_and_every_figure(whole: tuple[RecognitionRun, ReportPage, Page]) -> None:
    _, done, found = whole
    assert found.headings == TITLES and "Left out" not in found.text
    assert list(done.figures) == [
        *("confusion", "roc", "calibration", "embeddings", "attribution", "saliency"),
        *("losses", "accuracies", "rates"),
    ]
    assert len([alt for alt, _ in found.images if alt]) == len(done.figures)
    assert min(len(source) for _, source in found.images) > 10_000
    assert all(len(caption) > 30 for caption in found.captions)


def test_scores_are_the_evaluation_s(whole: tuple[RecognitionRun, ReportPage, Page]) -> None:
    run, _, found = whole
    evaluated = scored(run)
    rows = {row[0].split()[0]: row[1:] for row in found.table("", "value")}
    for name, metric in (("UF1", "uf1"), ("UAR", "uar"), ("accuracy", "accuracy")):
        estimate = evaluated.bootstrap(metric)
        interval = f"{estimate.low:.4f} to {estimate.high:.4f}"
        assert rows[name] == [f"{estimate.value:.4f}", interval]
    for row in found.table("class", "clips"):
        c = evaluated.per_class()[row[0]]
        assert row[1:5] == [
            str(c.tp + c.fn),
            *(f"{x:.4f}" for x in (c.precision, c.recall, c.f1)),
        ]
        k = CLASSES.index(row[0])
        low, high = (float(x) for x in row[5].split(" to "))
        assert low <= c.f1 <= high and low < high
        area = roc(
            [c.probabilities[k] for c in run.clips],
            [c.truth == row[0] for c in run.clips],
            [c.subject for c in run.clips],
        ).area
        assert row[6] == f"{area:.4f}"
    for row in found.table("data set", "clips"):
        part = scored(run, source=row[0])
        assert row[1:3] == [str(part.table.sum()), str(len(part.subjects))]
        assert row[3] == str(part.bootstrap("uf1")) and row[4] == str(part.bootstrap("uar"))
        assert row[5] == f"{part.accuracy:.4f}"
    table = evaluated.per_subject().set_index("subject")
    rows_of = found.table("subject", "data set")
    assert len(rows_of) == 5 and [r[3] for r in rows_of] == sorted(r[3] for r in rows_of)
    for row in rows_of:
        assert row[2:4] == [str(table.clips[row[0]]), f"{table.accuracy[row[0]]:.4f}"]


def test_averages_are_the_evaluation_s(whole: tuple[RecognitionRun, ReportPage, Page]) -> None:
    run, _, found = whole
    evaluated = scored(run)
    macro, weighted = found.table("average of the classes", "precision")
    of = {"macro": macro, "weighted": weighted}
    names = {
        "macro": ("mean_precision", "uar", "uf1"),
        "weighted": ("weighted_precision", "accuracy", "weighted_f1"),
    }
    for name, metrics in names.items():
        assert of[name] == [name, *(str(evaluated.bootstrap(metric)) for metric in metrics)]


def test_where_and_when_is_the_mean_of_the_clips(
    whole: tuple[RecognitionRun, ReportPage, Page],
) -> None:
    _, done, found = whole
    text = " ".join(found.captions)
    said = "negative: 3/4 to apex; positive: 4/4 to apex; surprise: 1/4 to offset"
    assert f"Most for it: {said}." in text
    pictures = [axes.images[0].get_array() for axes in done.figures["saliency"].axes if axes.images]
    for k, picture in enumerate(pictures[:3]):
        expected = np.zeros(49)
        expected[10 + k] = 0.1
        assert np.allclose(picture, expected.reshape(7, 7))
    without = Page(report(made()).html).text
    assert "recognizers of sequences say where and when" in without


def test_training_curves_say_where_they_begin_and_end(
    whole: tuple[RecognitionRun, ReportPage, Page],
) -> None:
    _, _, found = whole
    text = " ".join(found.captions)
    assert "Mean loss of training subjects: from 1 to 0.25" in text
    assert "Mean accuracy of training subjects: from 0 to 0.75; inner subjects" in text
    assert "Mean learning rate of all folds, at the end of an epoch: from 0.1 to 0.025" in text


def test_calibration_is_the_evaluation_s(whole: tuple[RecognitionRun, ReportPage, Page]) -> None:
    run, _, found = whole
    sure = [max(c.probabilities) for c in run.clips]
    right = [c.truth == c.predicted for c in run.clips]
    expected = reliability(sure, right, [c.subject for c in run.clips])
    assert any(str(expected) in caption for caption in found.captions)
    rows = found.table("probability", "clips")
    assert sum(int(row[1]) for row in rows) == len(run.clips)
    assert [float(row[3]) for row in rows] == pytest.approx(
        expected.accuracy[expected.counts > 0], abs=1e-4
    )
    for row in found.table("abstain below", "clips that keep a label"):
        kept = [hit for p, hit in zip(sure, right, strict=True) if p >= float(row[0])]
        assert row[1] == f"{len(kept) / len(sure):.1%}"
        if kept:
            assert float(row[2]) == pytest.approx(np.mean(kept), abs=1e-4)


def test_mistakes_begin_with_the_surest(whole: tuple[RecognitionRun, ReportPage, Page]) -> None:
    run, _, found = whole
    wrong = [c for c in run.clips if c.truth != c.predicted]
    rows = found.table("data set", "subject", "clip")
    assert len(rows) == len(wrong) > 3
    sure = [max(c.probabilities) for c in wrong]
    assert [float(max(row[5:])) for row in rows] == pytest.approx(
        sorted(sure, reverse=True), abs=1e-3
    )
    (first,) = [c for c in wrong if max(c.probabilities) == max(sure)]
    assert rows[0][:5] == [first.source, first.subject, first.name, first.truth, first.predicted]


def test_pictures_of_mistakes_and_the_rest_on_a_click() -> None:
    run = made(sources=False)
    bad = tuple(replace(c, predicted=CLASSES[CLASSES.index(c.truth) - 1]) for c in run.clips)
    image = np.zeros((3, 3, 3), np.uint8)
    images = {("s0", c.name): image for c in bad}
    found = Page(report(replace(run, clips=bad, images=images, picture="gray squares")).html)
    tables = [t for t in found.tables if t[0][:2] == ["picture", "subject"]]
    assert [len(t) - 1 for t in tables] == [20, 20]
    assert sum(row[0] == "–" for t in tables for row in t[1:]) == sum(
        c.subject != "s0" for c in bad
    )
    assert "gray squares" in found.text and "The other 20" in found.text
    assert "By data set: left out" in found.text


def test_seeds_are_averaged_and_pooled() -> None:
    run = made(seeds=2, embeddings=True)
    found = Page(report(run).html)
    first, second = (scored(run, seed) for seed in (0, 1))
    rows = {row[0].split()[0]: row for row in found.table("", "value")}
    assert rows["UF1"][1] == f"{(first.uf1 + second.uf1) / 2:.4f}"
    for row in found.table("class", "clips"):
        f1 = [r.per_class()[row[0]].f1 for r in (first, second)]
        assert row[4] == f"{np.mean(f1):.4f}"
    wrong: dict[str, int] = {}
    for c in run.clips:
        wrong[c.name] = wrong.get(c.name, 0) + (c.truth != c.predicted)
    said = {row[2]: row[5] for t in found.tables if "wrong in seeds" in t[0] for row in t[1:]}
    assert said == {name: f"{n} of 2" for name, n in wrong.items() if n}
    assert "Seed 0 alone is shown" in found.text


@pytest.mark.parametrize(
    ("missing", "section", "why"),
    [
        ({"probabilities": ()}, "roc", "kept no probabilities"),
        ({"attribution": ()}, "attribution", "kept no attribution"),
    ],
)
def test_what_is_missing_says_why(missing: dict[str, tuple[()]], section: str, why: str) -> None:
    run = made()
    done = report(replace(run, clips=tuple(replace(c, **missing) for c in run.clips)))  # type: ignore[arg-type]
    found = Page(done.html)
    # Without probabilities there is no calibration either.
    assert section not in done.figures and len(done.figures) == (5 if section == "roc" else 6)
    assert why in found.text and found.headings == TITLES
    assert "kept no embeddings; net may have none" in found.text
    if section == "roc":
        assert "how sure the model was of each is not known" in found.text


def test_more_that_may_be_missing() -> None:
    run = made(sources=False, embeddings=True)
    half = tuple(
        replace(c, embedding=c.embedding[: 3 if c.subject == "s1" else 4]) for c in run.clips
    )
    bare = replace(
        run, clips=half, training=(), rois=("a", "b", "c"), chosen=(), about=About("T", "m")
    )
    done = report(bare)
    found = Page(done.html)
    assert list(done.figures) == ["confusion", "roc", "calibration", "saliency"]
    for why in ("different lengths: [3, 4]", "'a' is no landmark", "kept no losses"):
        assert why in found.text
    assert found.table("ROI") and not any(t[0][0] == "setting" for t in found.tables)


def test_a_class_that_nobody_is_of() -> None:
    """It has no curve, and the others' figures are as without it."""
    run = made()
    none = replace(
        run,
        classes=(*CLASSES, "fear"),
        clips=tuple(replace(c, probabilities=(*c.probabilities, 0.0)) for c in run.clips),
    )
    found = Page(report(none).html)
    assert "Without clips to compare: fear" in found.text
    assert [row[-1] for row in found.table("class", "clips")][-1] == "–"
    assert found.table("", "value")[0][1] == f"{scored(run).uf1:.4f}"


def test_clips_that_nobody_saw_are_scored_and_not_laid_out() -> None:
    run = made(embeddings=True)
    blind = tuple(
        replace(c, seen=False, embedding=(0.0,) * 4, attribution=(0.0,) * 3)
        if c.name == "clip0"
        else c
        for c in run.clips
    )
    found = Page(report(replace(run, clips=blind)).html)
    assert found.table("", "value")[0][1] == f"{scored(run).uf1:.4f}"
    alt = next(alt for alt, _ in found.images if alt.startswith("t-SNE"))
    assert alt.startswith("t-SNE of 39 clips")


def test_all_right_and_one_subject() -> None:
    run = made()
    one = tuple(replace(c, subject="s0", predicted=c.truth, source="one") for c in run.clips)
    found = Page(report(replace(run, clips=one)).html)
    assert "None: every clip was recognized." in found.text
    assert found.table("", "value")[0][1:] == ["1.0000", "–"]


def test_nothing_and_the_wrong_labels() -> None:
    run = made()
    with pytest.raises(UsageError, match="nothing to report"):
        report(replace(run, clips=()))
    with pytest.raises(UsageError, match="none of the classes"):
        report(replace(run, classes=("a", "b")))
    with pytest.raises(UsageError, match="must be there once"):
        report(replace(run, clips=(*run.clips, run.clips[0])))


def test_names_are_escaped_everywhere() -> None:
    nasty = "<b>$x$</b>"
    run = made()
    changed = replace(
        run,
        about=About(nasty, nasty, nasty, {nasty: nasty}, (nasty,), (nasty,), {nasty: nasty}),
        classes=(nasty, "positive", "_surprise"),
        clips=tuple(
            replace(
                c,
                subject=nasty if c.subject == "s0" else c.subject,
                name=nasty + c.name,
                source=nasty if c.source == "one" else c.source,
                truth={"negative": nasty, "surprise": "_surprise"}.get(c.truth, c.truth),
                predicted={"negative": nasty, "surprise": "_surprise"}.get(
                    c.predicted, c.predicted
                ),
            )
            for c in run.clips
        ),
    )
    done = report(changed)
    found = Page(done.html)
    for name in ("confusion", "roc"):  # "$x$" is no mathematics: it would fail or vanish
        done.figures[name].canvas.draw()
    assert found.text.count(nasty) > 20
    assert found.tags.count("b") == len(found.captions)  # only the numbers are bold


def test_the_mean_of_losses_ends_where_half_of_the_folds_have_ended() -> None:
    def curve(*values: float) -> Curve:
        return Curve(np.arange(len(values), dtype=float), np.array(values))

    mean = mean_curve([curve(4, 2, 1), curve(2, 2), curve(3)])
    assert mean.epochs.tolist() == [0, 1] and mean.values.tolist() == [3, 2]


# Files


def test_a_page_of_ours_is_replaced_and_another_s_is_not(tmp_path: Path) -> None:
    done = report(made())
    path = tmp_path / "report.html"
    path.write_text("<html>mine</html>")
    with pytest.raises(UsageError, match="exists already"):
        done.save(path)
    assert path.read_text() == "<html>mine</html>" and not is_report(path)
    done.save(path, overwrite=True)
    assert is_report(path) and done.save(path) == (path,)
    assert path.read_text(encoding="utf-8") == done.html


def test_figures_for_a_paper(tmp_path: Path) -> None:
    done = report(replace(made(), training=(), rois=()))
    written = done.save(tmp_path / "r.html", figures=tmp_path / "new" / "figures")
    assert len(written) == 1 + 2 * len(done.figures)
    heads = {p.suffix: p.read_bytes()[:5] for p in written}
    assert heads[".png"] == b"\x89PNG\r" and heads[".svg"] == b"<?xml"
    with pytest.raises(UsageError, match="exists already"):
        done.save(tmp_path / "s.html", figures=tmp_path / "new" / "figures")
    assert not (tmp_path / "s.html").exists()
    with pytest.raises(UsageError, match=r"ends in \.html"):
        done.save(tmp_path / "r.pdf")
