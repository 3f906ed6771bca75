"""UF1, UAR and accuracy from one confusion matrix, and the spot-then-recognize score."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics

from aumer.errors import UsageError
from aumer.evaluation.recognition import METRICS, Recognized, evaluate_recognition
from aumer.evaluation.rows import PredictedInterval, SpottingSettings, Truth, Video
from aumer.evaluation.strs import evaluate_strs
from aumer.types import Counts

CLASSES = ("negative", "positive", "surprise")


def drawn(seed: int, subjects: int = 12, clips: int = 10, skill: float = 0.6) -> list[Recognized]:
    rng = np.random.default_rng(seed)
    rows = []
    for s in range(subjects):
        for _ in range(clips):
            truth = str(rng.choice(CLASSES, p=[0.6, 0.25, 0.15]))
            predicted = truth if rng.random() < skill else str(rng.choice(CLASSES))
            rows.append(Recognized(f"s{s:02d}", truth, predicted))
    return rows


#: Truth by row: negative 3 1 0, positive 0 2 0, surprise 1 0 1.
BY_HAND = [
    *[Recognized("a", "negative", "negative")] * 3,
    Recognized("b", "negative", "positive"),
    *[Recognized("b", "positive", "positive")] * 2,
    Recognized("c", "surprise", "negative"),
    Recognized("c", "surprise", "surprise"),
]


def test_by_hand() -> None:
    report = evaluate_recognition(BY_HAND, classes=CLASSES)
    assert report.confusion.tolist() == [[3, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert report.per_class() == {
        "negative": Counts(3, 1, 1),
        "positive": Counts(2, 1, 0),
        "surprise": Counts(1, 0, 1),
    }
    assert report.uf1 == pytest.approx((6 / 8 + 4 / 5 + 2 / 3) / 3)
    assert report.uar == pytest.approx((3 / 4 + 1 + 1 / 2) / 3)
    assert report.accuracy == 6 / 8
    assert report.mean_precision == pytest.approx((3 / 4 + 2 / 3 + 1) / 3)


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_scikit_learn_s(seed: int) -> None:
    rows = drawn(seed)
    report = evaluate_recognition(rows)
    true, predicted = [r.truth for r in rows], [r.predicted for r in rows]
    assert report.confusion.tolist() == metrics.confusion_matrix(true, predicted).tolist()
    assert report.uf1 == pytest.approx(metrics.f1_score(true, predicted, average="macro"))
    assert report.uar == pytest.approx(metrics.balanced_accuracy_score(true, predicted))
    assert report.accuracy == pytest.approx(metrics.accuracy_score(true, predicted))
    precision = metrics.precision_score(true, predicted, average="macro")
    assert report.mean_precision == pytest.approx(precision)


def test_swapping_truth_and_prediction_makes_precision_of_uar() -> None:
    """The published slip: UF1 and accuracy do not show it, UAR does."""
    report = evaluate_recognition(BY_HAND, classes=CLASSES)
    swapped = evaluate_recognition(
        [Recognized(r.subject, r.predicted, r.truth) for r in BY_HAND], classes=CLASSES
    )
    assert swapped.uar == report.mean_precision != report.uar
    assert (swapped.uf1, swapped.accuracy) == pytest.approx((report.uf1, report.accuracy))


def test_pooled_is_not_the_mean_of_folds() -> None:
    report = evaluate_recognition(BY_HAND, classes=CLASSES)
    folds = [
        evaluate_recognition([r for r in BY_HAND if r.subject == s], classes=CLASSES).uf1
        for s in report.subjects
    ]
    assert np.mean(folds) != pytest.approx(report.uf1, abs=0.01)


def test_a_class_without_a_truth_is_left_out_of_the_means() -> None:
    rows = [Recognized("a", "negative", "negative"), Recognized("a", "negative", "surprise")]
    report = evaluate_recognition(rows, classes=CLASSES)
    assert (report.uf1, report.uar) == (2 / 3, 1 / 2)


def test_every_subject_needs_its_fold() -> None:
    evaluate_recognition(BY_HAND, subjects=["c", "b", "a"])
    with pytest.raises(UsageError, match="without one: d;"):
        evaluate_recognition(BY_HAND, subjects=["a", "b", "c", "d"])
    with pytest.raises(UsageError, match="unknown: c"):
        evaluate_recognition(BY_HAND, subjects=["a", "b"])


def test_a_clip_that_two_folds_scored_is_refused() -> None:
    once = [Recognized("a", "x", "x", "clip1"), Recognized("b", "x", "x", "clip1")]
    assert evaluate_recognition(once).accuracy == 1.0
    with pytest.raises(UsageError, match="'clip1' of subject b is there 2 times"):
        evaluate_recognition([*once, Recognized("b", "x", "y", "clip1")])


def test_labels_that_are_no_class_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'positve' is none of .*Did you mean 'positive'"):
        evaluate_recognition([Recognized("a", "negative", "positve")], classes=CLASSES)
    with pytest.raises(UsageError, match="nothing to score"):
        evaluate_recognition([])


@pytest.mark.parametrize("metric", METRICS)
def test_the_bootstrap_draws_subjects(metric: str) -> None:
    report = evaluate_recognition(drawn(1))
    e = report.bootstrap(metric, replicates=500, seed=2)
    assert e.value == pytest.approx(getattr(report, metric))
    assert e.low < e.value < e.high
    assert e == report.bootstrap(metric, replicates=500, seed=2)


def test_subjects_that_are_alike_leave_no_doubt() -> None:
    rows = [Recognized(s, r.truth, r.predicted) for s in "abcdef" for r in BY_HAND]
    e = evaluate_recognition(rows).bootstrap("uar")
    assert e.low == pytest.approx(e.value) == e.high


def test_paired_differences() -> None:
    rows = drawn(3)
    report = evaluate_recognition(rows, classes=CLASSES)
    # In each subject the first error is put right.
    seen: set[str] = set()
    better_rows = []
    for r in rows:
        wrong = r.truth != r.predicted and r.subject not in seen
        better_rows.append(Recognized(r.subject, r.truth, r.truth) if wrong else r)
        seen |= {r.subject} if wrong else set()
    better = evaluate_recognition(better_rows[::-1], classes=CLASSES)  # subjects in another order
    d = better.compare(report, "accuracy")
    assert d.value == pytest.approx(better.accuracy - report.accuracy)
    assert d.low == pytest.approx(d.high) == pytest.approx(0.1)  # one clip of ten in each subject
    assert d.p < 0.01
    assert better.compare(report).low > 0
    with pytest.raises(UsageError, match="different truths"):
        report.compare(evaluate_recognition(drawn(4), classes=CLASSES))
    with pytest.raises(UsageError, match="different classes or subjects"):
        report.compare(evaluate_recognition(drawn(3, subjects=3), classes=CLASSES))
    with pytest.raises(UsageError, match="Did you mean 'uf1'"):
        report.bootstrap("uf")


def test_what_is_told() -> None:
    report = evaluate_recognition(BY_HAND, classes=CLASSES)
    told = report.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert (told["clips"], told["subjects"], told["uf1"]) == (8, 3, report.uf1)
    assert told["per_class"]["negative"]["fp"] == 1
    assert "| negative | 3 | 1 | 0 | 3 | 1 | 1 | 0.7500 |" in report.to_markdown()
    table = report.per_subject()
    assert list(table["clips"]) == [3, 3, 2] and list(table["hits"]) == [3, 2, 1]


# -- spot, then recognize -------------------------------------------------------------------------


def micro(make: type, onset: int, label: str, video: str = "v") -> object:
    return make("s", video, "micro", onset, onset + 9, label=label)


def test_strs_is_the_product_over_the_spotted_only() -> None:
    """Spotted 3 of 4 with one false: F1 6/8. Of the 3, negative 1 of 2 and positive 1 of 1."""
    truths = [
        micro(Truth, 0, "negative"),
        micro(Truth, 100, "negative"),
        micro(Truth, 200, "positive"),
        micro(Truth, 300, "surprise"),
        Truth("s", "v", "macro", 0, 99),  # neither its miss nor its missing label counts
    ]
    predictions = [
        micro(PredictedInterval, 0, "negative"),
        micro(PredictedInterval, 100, "positive"),
        micro(PredictedInterval, 200, "positive"),
        micro(PredictedInterval, 500, "surprise"),
    ]
    report = evaluate_strs(predictions, truths)  # type: ignore[arg-type]
    assert report.spotting_f1 == 6 / 8
    assert report.recognition is not None
    assert report.recognition.classes == ("negative", "positive")
    assert report.recognition_f1 == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert report.strs == pytest.approx(6 / 8 * 2 / 3)
    assert report.to_dict()["strs"] == report.strs
    assert f"STRS {report.strs:.4f}" in report.to_markdown()
    # Classes that were not asked for are spotted but not recognized.
    only = evaluate_strs(predictions[:1], truths, classes=["positive", "surprise"])  # type: ignore[arg-type]
    assert only.recognition is None and only.strs == 0.0 and only.spotting_f1 == 2 / 5


def test_strs_of_nothing_spotted_is_zero() -> None:
    report = evaluate_strs([], [micro(Truth, 0, "negative")], [Video("s", "v")])  # type: ignore[list-item]
    assert (report.strs, report.recognition) == (0.0, None)


def test_strs_needs_labels() -> None:
    for p, t in (("", "negative"), ("negative", "")):
        with pytest.raises(UsageError, match="has no label"):
            evaluate_strs([micro(PredictedInterval, 0, p)], [micro(Truth, 0, t)])  # type: ignore[list-item]


def test_strs_follows_the_settings() -> None:
    rows = (
        [micro(PredictedInterval, 0, "x"), micro(PredictedInterval, 0, "x", "w")],
        [micro(Truth, 0, "x")],
    )
    assert evaluate_strs(*rows).strs == 2 / 3  # type: ignore[arg-type]
    settings = SpottingSettings(videos_without_truth="drop")
    assert evaluate_strs(*rows, settings=settings).strs == 1.0  # type: ignore[arg-type]


def test_averages_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import classification_report

    rng = np.random.default_rng(3)
    classes = ("a", "b", "c")
    truths = [classes[k] for k in rng.choice(3, 60, p=[0.7, 0.2, 0.1])]
    said = [t if rng.random() < 0.6 else classes[rng.integers(3)] for t in truths]
    rows = [
        Recognized(f"s{k % 5}", t, p) for k, (t, p) in enumerate(zip(truths, said, strict=True))
    ]
    found = evaluate_recognition(rows, classes=classes)
    expected = classification_report(truths, said, output_dict=True)
    for average, (precision, recall, f1) in {
        "macro avg": (found.mean_precision, found.uar, found.uf1),
        "weighted avg": (found.weighted_precision, found.accuracy, found.weighted_f1),
    }.items():
        whole = expected[average]
        wanted = [whole["precision"], whole["recall"], whole["f1-score"]]
        assert [precision, recall, f1] == pytest.approx(wanted)
    assert found.weighted_f1 != pytest.approx(found.uf1)
    assert found.to_dict()["weighted_f1"] == found.weighted_f1
