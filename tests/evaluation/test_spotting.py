"""Our evaluator against trial of every matching, and cases counted by hand."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from aumer.errors import ConfigError, UsageError
from aumer.evaluation.rows import (
    CHOICES,
    PredictedInterval,
    SpottingSettings,
    Truth,
    Video,
    iou_matrix,
    rows_of,
)
from aumer.evaluation.spotting import (
    SWEEP,
    EvaluationError,
    SpottingReport,
    SubjectPredictions,
    check,
    evaluate,
    merge_folds,
)
from aumer.types import KINDS, Annotation, Counts, Expression, Kind, VideoRecord


def truth(
    onset: int,
    offset: int | None,
    kind: Kind = "macro",
    video: str = "v",
    subject: str = "s",
    **more: object,
) -> Truth:
    return Truth(subject, video, kind, onset, offset, **more)  # type: ignore[arg-type]


def spotted(
    onset: int,
    offset: int,
    kind: Kind = "macro",
    video: str = "v",
    subject: str = "s",
    **more: object,
) -> PredictedInterval:
    return PredictedInterval(subject, video, kind, onset, offset, **more)  # type: ignore[arg-type]


Rows = tuple[list[PredictedInterval], list[Truth], list[Video]]


def random_rows(rng: np.random.Generator) -> Rows:
    """A few subjects with a few videos each, some without truths, some without predictions."""
    predictions, truths, videos = [], [], []
    for s in range(int(rng.integers(1, 4))):
        for v in range(int(rng.integers(1, 3))):
            videos.append(Video(f"s{s}", f"v{v}"))
            for rows, make in ((predictions, PredictedInterval), (truths, Truth)):
                for kind in KINDS:
                    for _ in range(int(rng.integers(0, 5))):
                        onset, length = int(rng.integers(-5, 25)), int(rng.integers(0, 15))
                        rows.append(make(f"s{s}", f"v{v}", kind, onset, onset + length))
    return predictions, truths, videos


def best_by_trial(
    ps: Sequence[PredictedInterval], ts: Sequence[Truth], settings: SpottingSettings
) -> int:
    """Most hits of any one-to-one assignment; overlaps counted frame by frame."""

    def hit(p: PredictedInterval, t: Truth) -> bool:
        last = int(settings.ends == "closed")
        assert t.offset is not None
        a, b = set(range(p.onset, p.offset + last)), set(range(t.onset, t.offset + last))
        share = len(a & b) / len(a | b) if a | b else 0.0
        return share >= settings.iou if settings.comparison == ">=" else share > settings.iou

    if len(ps) < len(ts):
        ways = itertools.permutations(ts, len(ps))
        return max(sum(hit(p, t) for p, t in zip(ps, way, strict=True)) for way in ways)
    ways_p = itertools.permutations(ps, len(ts))
    return max(sum(hit(p, t) for p, t in zip(way, ts, strict=True)) for way in ways_p)


@pytest.mark.parametrize("ends", ["closed", "open"])
@pytest.mark.parametrize("comparison", [">=", ">"])
@pytest.mark.parametrize("drop", ["keep", "drop"])
def test_counts_equal_the_best_of_all_matchings(ends: str, comparison: str, drop: str) -> None:
    """200 data sets of several videos for each combination of rules: thousands of cases in all."""
    rng = np.random.default_rng([len(ends), len(comparison), len(drop)])
    cases = 0
    for _ in range(200):
        predictions, truths, videos = random_rows(rng)
        settings = SpottingSettings(
            iou=float(rng.choice([0.3, 0.5, 0.7])),
            comparison=comparison,  # type: ignore[arg-type]
            ends=ends,  # type: ignore[arg-type]
            videos_without_truth=drop,  # type: ignore[arg-type]
        )
        report = evaluate(predictions, truths, videos, settings)
        for kind in KINDS:
            tp = fp = fn = 0
            for video in videos:
                ps = [p for p in predictions if (p.key, p.kind) == (video.key, kind)]
                ts = [t for t in truths if (t.key, t.kind) == (video.key, kind)]
                if drop == "drop" and not ts:
                    continue
                hits = best_by_trial(ps, ts, settings)
                tp, fp, fn = tp + hits, fp + len(ps) - hits, fn + len(ts) - hits
                cases += 1
            assert report.counts(kind) == Counts(tp, fp, fn)
        assert report.counts() == report.counts("macro") + report.counts("micro")
    assert cases > 500


def test_no_order_of_rows_videos_or_subjects_changes_a_count() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        predictions, truths, videos = random_rows(rng)
        before = evaluate(predictions, truths, videos)
        shuffled = [
            [rows[i] for i in rng.permutation(len(rows))] for rows in (predictions, truths, videos)
        ]
        after = evaluate(*shuffled)  # type: ignore[arg-type]
        for kind in (*KINDS, None):
            assert after.counts(kind) == before.counts(kind)
            for subject in before.subjects:
                assert after.counts(kind, subject=subject) == before.counts(kind, subject=subject)


# -- cases by hand --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("predictions", "truths", "expected"),
    [
        pytest.param([(0, 9)], [(10, 19)], Counts(0, 1, 1), id="disjoint"),
        pytest.param([(0, 9)], [(9, 18)], Counts(0, 1, 1), id="one frame shared"),
        pytest.param([(0, 9)], [(0, 19)], Counts(1, 0, 0), id="an IoU of exactly one half"),
        pytest.param([(0, 9)], [(0, 20)], Counts(0, 1, 1), id="10 of 21"),
        pytest.param([(0, 9), (1, 10)], [(0, 10)], Counts(1, 1, 0), id="two on one truth"),
        pytest.param([(0, 19)], [(0, 9), (10, 19)], Counts(1, 0, 1), id="one over two truths"),
        pytest.param([], [(0, 9)], Counts(0, 0, 1), id="nothing spotted"),
        pytest.param([(0, 9)], [], Counts(0, 1, 0), id="nothing there"),
        pytest.param([], [], Counts(), id="empty video"),
    ],
)
def test_by_hand(
    predictions: list[tuple[int, int]], truths: list[tuple[int, int]], expected: Counts
) -> None:
    for kind in KINDS:
        report = evaluate(
            [spotted(*p, kind) for p in predictions],
            [truth(*t, kind) for t in truths],
            [Video("s", "v")],
        )
        assert report.counts(kind) == report.counts() == expected
        assert report.counts("micro" if kind == "macro" else "macro") == Counts()


def test_a_micro_prediction_on_a_macro_truth_is_a_false_positive_and_a_miss() -> None:
    report = evaluate([spotted(0, 9, "micro")], [truth(0, 9, "macro")])
    assert report.counts("micro") == Counts(fp=1)
    assert report.counts("macro") == Counts(fn=1)
    assert report.counts() == Counts(fp=1, fn=1)


def test_the_same_frames_in_another_video_or_subject_are_no_hit() -> None:
    videos = [Video("s", "v"), Video("s", "w"), Video("r", "v")]
    for elsewhere in ({"video": "w"}, {"subject": "r"}):
        report = evaluate([spotted(0, 9, **elsewhere)], [truth(0, 9)], videos)  # type: ignore[arg-type]
        assert report.counts() == Counts(fp=1, fn=1)


def test_a_subject_without_truth_keeps_its_false_positives_and_its_row() -> None:
    videos = [Video("a", "v"), Video("b", "w"), Video("c", "x")]
    report = evaluate(
        [spotted(0, 9, subject="a"), spotted(0, 9, video="w", subject="b")],
        [truth(0, 9, subject="a")],
        videos,
    )
    assert report.counts(subject="b") == Counts(fp=1)
    assert report.counts(subject="c") == Counts()
    table = report.per_subject()
    assert list(table["subject"]) == ["a", "b", "c"]
    assert list(table["overall_fp"]) == [0, 1, 0]
    assert np.array_equal(table["macro_f1"], [1.0, 0.0, np.nan], equal_nan=True)
    assert list(table["videos"]) == [1, 1, 1]


def test_a_prediction_may_begin_before_the_video() -> None:
    """Published files hold such; cut at frame 0 its IoU would be 10/10, as it is 10/20."""
    report = evaluate([spotted(-10, 9)], [truth(0, 9)])
    assert report.counts() == Counts(tp=1)
    assert report.pairs[0].iou == 0.5


# -- the traps, each a setting --------------------------------------------------------------------


def test_ends_and_comparison() -> None:
    """Frames 0-8 in 0-17: 9/18 with both ends, 8/17 without; 0-8 in 0-16: 8/16 without."""

    def tp(offset: int, **rules: str) -> int:
        return (
            evaluate(
                [spotted(0, 8)],
                [truth(0, offset)],
                settings=SpottingSettings(**rules),  # type: ignore[arg-type]
            )
            .counts()
            .tp
        )

    assert tp(17, ends="closed") == 1
    assert tp(17, ends="open") == 0
    assert tp(16, ends="open") == 1
    assert tp(17, ends="closed", comparison=">") == 0
    assert tp(16, ends="open", comparison=">") == 0
    assert tp(16, ends="closed", comparison=">") == 1  # 9/17


def test_half_open_files_score_with_open_ends_as_closed_ones_do() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        predictions, truths, videos = random_rows(rng)
        half = [
            [dataclasses.replace(r, offset=r.offset + 1) for r in rows]  # type: ignore[operator]
            for rows in (predictions, truths)
        ]
        opened = evaluate(half[0], half[1], videos, SpottingSettings(ends="open"))  # type: ignore[arg-type]
        assert opened.counts() == evaluate(predictions, truths, videos).counts()


#: Onset 100, apex 112, no offset; the prediction that has exactly the interval of the policy.
FILLED = {"apex": 112, "apex+20": 132, "onset+20": 120, "mirror": 124}


@pytest.mark.parametrize("policy", FILLED)
def test_missing_offsets_are_filled(policy: str) -> None:
    settings = SpottingSettings(iou=1.0, missing_offset=policy)  # type: ignore[arg-type]
    missing = truth(100, None, apex=112)
    for name, offset in FILLED.items():
        report = evaluate([spotted(100, offset)], [missing], settings=settings)
        assert report.counts() == (Counts(tp=1) if name == policy else Counts(fp=1, fn=1))
    # Whatever a policy says, it is no measurement of an offset.
    report = evaluate([spotted(100, FILLED[policy])], [missing], settings=settings)
    assert report.boundary_errors()["onset"].pairs == 1
    assert report.boundary_errors()["offset"].pairs == 0


def test_missing_offsets_are_refused_dropped_or_kept_as_misses() -> None:
    rows = [spotted(100, 120)], [truth(100, None, apex=112, row=7), truth(0, 9)]
    with pytest.raises(UsageError, match=r"line 7 .*no offset.*unmatchable"):
        evaluate(*rows)
    dropped = evaluate(*rows, settings=SpottingSettings(missing_offset="drop"))
    assert dropped.counts() == Counts(fp=1, fn=1)
    assert dropped.dropped_truths == 1
    lines = dropped.to_markdown().splitlines()
    assert lines[2].endswith("| 1 truths |") and lines[3].endswith("| undefined | nothing |")
    assert dropped.left_out() == "1 truths" and dropped.left_out("micro") == "nothing"
    kept = evaluate(*rows, settings=SpottingSettings(missing_offset="unmatchable"))
    assert kept.counts() == Counts(fp=1, fn=2)
    # Even a prediction of the one frame that is known does not match it.
    exact = evaluate(
        [spotted(100, 100)],
        [truth(100, None)],
        settings=SpottingSettings(missing_offset="unmatchable"),
    )
    assert exact.counts() == Counts(fp=1, fn=1)


def test_an_offset_that_cannot_be_filled_is_refused() -> None:
    for policy in ("apex", "apex+20", "mirror"):
        settings = SpottingSettings(missing_offset=policy)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="neither offset nor apex"):
            evaluate([], [truth(100, None)], settings=settings)
        with pytest.raises(UsageError, match="before its onset"):
            evaluate([], [truth(100, None, apex=50)], settings=settings)
    onset = SpottingSettings(missing_offset="onset+20")
    assert evaluate([], [truth(100, None)], settings=onset).counts() == Counts(fn=1)


def test_dropping_videos_without_truth_hides_their_false_positives() -> None:
    rows = (
        [spotted(0, 9), spotted(0, 9, video="w"), spotted(0, 9, "micro")],
        [truth(0, 9)],
        [Video("s", "v"), Video("s", "w")],
    )
    assert evaluate(*rows).counts() == Counts(tp=1, fp=2)
    dropped = evaluate(*rows, SpottingSettings(videos_without_truth="drop"))
    assert dropped.counts() == Counts(tp=1)
    assert dropped.dropped_predictions == 2
    assert dropped.left_out() == "2 predictions"
    assert "2 predictions dropped" in dropped.describe()


def test_the_mean_of_subjects_is_not_the_pooled_score() -> None:
    videos = [Video("a", "v"), Video("b", "v")]
    truths = [truth(0, 9, subject="a"), *(truth(20 * k, 20 * k + 9, subject="b") for k in range(9))]
    report = evaluate([spotted(0, 9, subject="a")], truths, videos)
    assert report.f1() == 2 * 1 / (2 * 1 + 9)
    assert report.mean_subject_f1() == (1.0 + 0.0) / 2
    assert report.mean_subject_f1("micro") == 0.0


def test_other_denominators_are_refused() -> None:
    with pytest.raises(UsageError, match=r"2 macro truths where 343 are expected"):
        evaluate([], [truth(0, 9), truth(20, 29)], settings=SpottingSettings(expect_macro=343))
    with pytest.raises(UsageError, match=r"1 micro truths where 0 are expected"):
        evaluate([], [truth(0, 9, "micro")], settings=SpottingSettings(expect_micro=0))
    settings = SpottingSettings(expect_macro=1, expect_micro=0)
    assert evaluate([], [truth(0, 9)], settings=settings).truths["macro"] == 1


def test_a_fold_that_is_missing_twice_or_strange_is_an_error() -> None:
    videos = [Video("a", "v"), Video("b", "v")]
    a, b = SubjectPredictions("a", (spotted(0, 9, subject="a"),)), SubjectPredictions("b", ())
    assert merge_folds([b, a], videos) == [*a.predictions]
    for folds, message in (
        ([a], "no fold.* b"),
        ([a, b, b], "more than one fold for b"),
        ([a, b, SubjectPredictions("c", ())], "without videos for c"),
        ([a, SubjectPredictions("b", a.predictions)], "fold of subject b predicts for subject a"),
    ):
        with pytest.raises(UsageError, match=message):
            merge_folds(folds, videos)


@pytest.mark.parametrize("name", CHOICES)
def test_a_word_that_is_no_rule_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} must be one of .*found 'close'"):
        SpottingSettings(**{name: "close"})  # type: ignore[arg-type]


@pytest.mark.parametrize("iou", [0.0, -1.0, 1.5, float("nan")])
def test_an_iou_that_means_nothing_is_refused(iou: float) -> None:
    with pytest.raises(ConfigError, match=r"\(0, 1\]"):
        SpottingSettings(iou=iou)


def test_every_rule_is_printed() -> None:
    report = evaluate([], [truth(0, 9)])
    assert set(report.to_dict()["settings"]) == {
        "matching",
        *(field.name for field in dataclasses.fields(SpottingSettings)),
    }
    for word in ("one-to-one", ">= 0.5", "closed ends", "offset: refuse", "truth: keep"):
        assert word in report.to_markdown()


# -- counts that must add up ----------------------------------------------------------------------


def test_counts_that_do_not_add_up_are_never_returned() -> None:
    predictions, truths = [spotted(0, 9), spotted(20, 29)], [truth(0, 9), truth(50, 59, "micro")]
    good = evaluate(predictions, truths)
    check(good, predictions, truths)

    def broken(change: Callable[[np.ndarray], None]) -> SpottingReport:
        table = good.table.copy()
        change(table)
        return dataclasses.replace(good, table=table)

    def hit_twice(t: np.ndarray) -> None:
        t[0, KINDS.index("macro"), 0] += 1

    def swap_kinds(t: np.ndarray) -> None:
        t[:] = t[:, ::-1].copy()

    def lose_a_miss(t: np.ndarray) -> None:
        t[0, KINDS.index("micro"), 2] -= 1

    for change in (hit_twice, swap_kinds, lose_a_miss):
        with pytest.raises(EvaluationError):
            check(broken(change), predictions, truths)
    with pytest.raises(EvaluationError):
        check(good, predictions[:1], truths)
    with pytest.raises(EvaluationError):
        check(good, predictions, truths * 2)
    with pytest.raises(EvaluationError):
        check(dataclasses.replace(good, pairs=()), predictions, truths)


def test_the_check_is_not_optimized_away() -> None:
    code = (
        "import dataclasses\n"
        "from aumer.evaluation.rows import Truth\n"
        "from aumer.evaluation.spotting import EvaluationError, check, evaluate\n"
        "report = evaluate([], [Truth('s', 'v', 'macro', 0, 9)])\n"
        "try: check(report, [], [])\n"
        "except EvaluationError: print('raised', __debug__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["raised", "False"]


def test_rows_of_a_video_that_was_not_evaluated_are_refused() -> None:
    videos = [Video("s", "clip_1")]
    with pytest.raises(UsageError, match=r"prediction of line 4 .*'clip_2'.*Did you mean 'clip_1'"):
        evaluate([spotted(0, 9, video="clip_2", row=4)], [], videos)
    with pytest.raises(UsageError, match="truth is of video 'clip_1' of subject 'r'"):
        evaluate([], [truth(0, 9, video="clip_1", subject="r")], videos)
    with pytest.raises(UsageError, match="clip_1 of subject s is listed twice"):
        evaluate([], [], videos * 2)


# -- more about a score ---------------------------------------------------------------------------


def test_the_sweep_finds_less_and_less() -> None:
    """IoU of the four pairs: 3/10, 5/10, 6/10 and 1; every threshold of the sweep is exact."""
    truths = [truth(100 * k, 100 * k + 9) for k in range(4)]
    lengths = (3, 5, 6, 10)
    predictions = [spotted(100 * k, 100 * k + n - 1) for k, n in enumerate(lengths)]
    report = evaluate(predictions, truths)
    assert [c.tp for c in report.sweep().values()] == [4, 4, 3, 3, 2, 1]
    assert report.counts(iou=0.5) == report.counts()
    assert tuple(report.sweep("macro")) == SWEEP
    with pytest.raises(UsageError, match="kept at an IoU of"):
        report.counts(iou=0.55)


def test_errors_of_the_ends_in_frames_and_ms() -> None:
    videos = [Video("s", "v", fps=200.0), Video("s", "w")]
    truths = [truth(100, 199, apex=150), truth(100, 199, video="w")]
    predictions = [spotted(96, 205, apex=151), spotted(110, 199, video="w", apex=3)]
    report = evaluate(predictions, truths, videos)
    frames, ms = report.boundary_errors(), report.boundary_errors("macro", unit="ms")
    assert (frames["onset"].pairs, frames["onset"].bias, frames["onset"].mae) == (2, 3.0, 7.0)
    assert (frames["offset"].bias, frames["offset"].median) == (3.0, 3.0)
    assert (frames["apex"].pairs, frames["apex"].bias) == (1, 1.0)
    assert (ms["onset"].pairs, ms["onset"].bias, ms["onset"].mae) == (1, -20.0, 20.0)
    assert (ms["offset"].bias, ms["apex"].bias) == (30.0, 5.0)
    nothing = report.boundary_errors("micro")["onset"]
    assert (nothing.pairs, nothing.bias, nothing.mae) == (0, None, None)
    with pytest.raises(UsageError, match="frames or ms"):
        report.boundary_errors(unit="s")


def many(tp: Sequence[int], fp: Sequence[int], fn: Sequence[int]) -> SpottingReport:
    """A report with these counts by subject, made from rows."""
    predictions, truths, videos = [], [], []
    for s, (hits, false, missed) in enumerate(zip(tp, fp, fn, strict=True)):
        videos.append(Video(f"s{s:02d}", "v"))
        for k in range(hits + missed):
            truths.append(truth(100 * k, 100 * k + 9, subject=f"s{s:02d}"))
        for k in range(hits):
            predictions.append(spotted(100 * k, 100 * k + 9, subject=f"s{s:02d}"))
        for k in range(false):
            predictions.append(spotted(50 + 100 * k, 59 + 100 * k, subject=f"s{s:02d}"))
    return evaluate(predictions, truths, videos)


def test_the_bootstrap_draws_subjects() -> None:
    rng = np.random.default_rng(0)
    report = many(rng.integers(0, 6, 20), rng.integers(0, 6, 20), rng.integers(0, 6, 20))
    e = report.bootstrap(replicates=2000, seed=3)
    assert e.value == report.f1() and e.low < e.value < e.high
    assert e == report.bootstrap(replicates=2000, seed=3) != report.bootstrap(seed=4)
    # One by one, with a generator of our own: the same distribution.
    counts = np.array([list(vars(report.counts(subject=s)).values()) for s in report.subjects])
    scores = []
    for _ in range(2000):
        tp, fp, fn = counts[rng.integers(0, 20, 20)].sum(0)
        scores.append(2 * tp / (2 * tp + fp + fn))
    low, high = np.quantile(scores, [0.025, 0.975])
    assert (e.low, e.high) == pytest.approx((low, high), abs=0.02)
    narrow = report.bootstrap(level=0.5, seed=3)
    assert e.low < narrow.low < narrow.high < e.high


def test_subjects_that_are_alike_leave_no_doubt() -> None:
    e = many([2] * 8, [1] * 8, [1] * 8).bootstrap()
    assert e.low == e.value == e.high == 4 / 6


def test_paired_differences_use_the_same_draws() -> None:
    rng = np.random.default_rng(1)
    truths, hits = rng.integers(4, 30, 20), rng.integers(0, 4, 20)
    one = many(hits, [3] * 20, truths - hits)
    better = many(hits + 1, [3] * 20, truths - hits - 1)
    d = better.compare(one, seed=1)
    assert d.value == pytest.approx(better.f1() - one.f1())
    assert 0 < d.low <= d.value <= d.high and d.p < 0.01
    # Each interval alone is wider than the gap: pairing is what shows it.
    assert better.bootstrap(seed=1).low < one.bootstrap(seed=1).high
    same = one.compare(one)
    assert (same.value, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)
    back = one.compare(better, seed=1)
    assert (back.value, back.low) == pytest.approx((-d.value, -d.high))


def test_methods_scored_over_different_truths_do_not_compare() -> None:
    with pytest.raises(UsageError, match="different truths"):
        many([1, 1], [0, 0], [1, 1]).compare(many([1, 1], [0, 0], [1, 2]))
    with pytest.raises(UsageError, match="s02"):
        many([1] * 3, [0] * 3, [1] * 3).compare(many([1] * 2, [0] * 2, [1] * 2))


def test_a_bootstrap_that_means_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="two or more"):
        many([1], [0], [1]).bootstrap()
    for options in ({"replicates": 0}, {"level": 1.0}, {"seed": -1}):
        with pytest.raises(UsageError):
            many([1, 2], [0, 0], [1, 1]).bootstrap(**options)  # type: ignore[arg-type]


def test_rows_come_from_records_and_results() -> None:
    a = Annotation("s", "v", "micro", 3, 5, None, "1+2", "surprise", row=9)
    videos, truths = rows_of(
        [VideoRecord("set", "s", "v", 30.0, annotations=(a,)), VideoRecord("set", "s", "w", 30.0)]
    )
    assert videos == [Video("s", "v", 30.0), Video("s", "w", 30.0)]
    assert truths == [Truth("s", "v", "micro", 3, None, 5, "surprise", 9)]
    e = Expression("micro", 3, 5, 7, 0.1, 0.2, 0.3, 0.8, label="positive")
    assert PredictedInterval.of("s", "v", e) == PredictedInterval(
        "s", "v", "micro", 3, 7, 5, 0.8, "positive"
    )
    with pytest.raises(UsageError, match="no subject 'r'"):
        evaluate([], truths, videos, SpottingSettings(missing_offset="apex")).counts(subject="r")


def test_empty_intervals_overlap_nothing() -> None:
    assert iou_matrix([(5, 5)], [(5, 5)], "open").tolist() == [[0.0]]
    assert iou_matrix([(5, 5)], [(5, 5)], "closed").tolist() == [[1.0]]
    assert iou_matrix([], [(5, 5)], "closed").shape == (0, 1)


def test_rows_that_are_none_are_refused() -> None:
    for make in (Truth, PredictedInterval):
        with pytest.raises(ValueError, match="before onset"):
            make("s", "v", "macro", 5, 4)
        with pytest.raises(ValueError, match="kind must be"):
            make("s", "v", "Macro", 5, 6)  # type: ignore[arg-type]


def test_scores_that_hang_on_a_frame() -> None:
    """5 of 10 frames hit; one fewer does not, and 4 of 10 would with one more."""
    truths = [truth(0, 9), truth(100, 109), truth(200, 209), truth(300, 309, "micro")]
    found = [spotted(0, 4), spotted(100, 103), spotted(200, 209), spotted(350, 359, kind="micro")]
    report = evaluate(found, truths)
    assert report.counts("macro") == Counts(2, 1, 1)
    assert report.one_frame_off("macro") == (Counts(1, 2, 2), Counts(3, 0, 0))
    assert report.one_frame_off("micro") == (Counts(0, 1, 1), Counts(0, 1, 1))
    assert report.one_frame_off() == (Counts(1, 3, 3), Counts(3, 1, 1))
