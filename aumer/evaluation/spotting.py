"""Scores of spotting as in MEGC 2020/2021: counts are pooled over all videos and subjects.

``evaluate(predictions, truths, videos, settings)`` returns a `SpottingReport`. Macro- and
micro-expressions never match each other; "overall" pools the counts of both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aumer._moved import moved
from aumer.errors import AumerError, UsageError
from aumer.evaluation.bootstrap import Difference, Estimate, difference, interval
from aumer.evaluation.interface import ROWS, Report, ratios
from aumer.evaluation.matching import match_matrix
from aumer.evaluation.rows import (
    Case,
    Ends,
    PredictedInterval,
    SpottingSettings,
    Truth,
    Video,
    VideoKey,
    prepare,
)
from aumer.types import KINDS, Counts, IntArray, Kind

if TYPE_CHECKING:
    import pandas as pd

#: Thresholds of the sweep. Literals: 0.1 * 3 is not 0.3, and 3 shared frames of 10 must count.
SWEEP = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


class EvaluationError(AumerError):
    """Inconsistent counts: a bug that would make scores wrong."""


@dataclass(frozen=True)
class SubjectPredictions:
    """The predictions of one fold of leave-one-subject-out for the left-out subject."""

    subject: str
    predictions: tuple[PredictedInterval, ...]


def merge_folds(
    folds: Iterable[SubjectPredictions], videos: Iterable[Video]
) -> list[PredictedInterval]:
    """The predictions of all folds of leave-one-subject-out, checked.

    Raises:
        UsageError: a subject with no fold or several, a fold of an unknown subject, or a fold with
            predictions for another subject.
    """
    folds = list(folds)
    subjects = {video.subject for video in videos}
    times = Counter(fold.subject for fold in folds)
    for found, what in (
        (subjects - set(times), "no fold, and its misses would go uncounted, for"),
        ({s for s, n in times.items() if n > 1}, "more than one fold for"),
        (set(times) - subjects, "a fold without videos for"),
    ):
        if found:
            raise UsageError(f"leave-one-subject-out has {what} {', '.join(sorted(found))}")
    for fold in folds:
        strange = next((p for p in fold.predictions if p.subject != fold.subject), None)
        if strange is not None:
            raise UsageError(
                f"the fold of subject {fold.subject} predicts for subject {strange.subject} "
                f"(video {strange.video})"
            )
    return [p for fold in folds for p in fold.predictions]


@dataclass(frozen=True)
class Pair:
    """A true positive. `offset` is that of the truth by the missing-offset policy."""

    prediction: PredictedInterval
    truth: Truth
    offset: int
    iou: float


@dataclass(frozen=True)
class BoundaryError:
    """Predicted minus true frame over the matched pairs that have both.

    Attributes:
        unit: "frames" or "ms".
        pairs: number of compared pairs; the other values are `None` if it is 0.
        bias, mae, median: mean, mean absolute and median absolute difference.
    """

    unit: str
    pairs: int
    bias: float | None
    mae: float | None
    median: float | None

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class SpottingReport(Report):
    """Counts by video and kind, and all scores.

    Attributes:
        table: (videos, kinds, 3) int64 TP, FP, FN at `settings.iou`, in the order of `videos` and
            `types.KINDS`.
        sweep_table: (thresholds, videos, kinds, 3) int64, by `SWEEP`.
        pairs: the true positives.
        dropped_truths, dropped_predictions: numbers of rows excluded by the settings.
        dropped_by_kind: the same for "truths" and "predictions", by kind.
        hits_one_frame_off: (videos, kinds, 2) int64, see `one_frame_off`.
    """

    settings: SpottingSettings
    videos: tuple[Video, ...]
    table: IntArray
    sweep_table: IntArray
    pairs: tuple[Pair, ...]
    dropped_truths: int
    dropped_predictions: int
    dropped_by_kind: Mapping[str, Mapping[Kind, int]] = field(default_factory=dict)
    hits_one_frame_off: IntArray = field(default_factory=lambda: np.zeros((0, 2, 2), np.int64))

    # -- scores -------------------------------------------------------------------------------

    def counts(
        self, kind: Kind | None = None, *, subject: str | None = None, iou: float | None = None
    ) -> Counts:
        """Pooled counts: for one kind or both (overall), for one subject or all.

        Raises:
            UsageError: unknown subject, or `iou` is neither the settings' nor in `SWEEP`.
        """
        table = self.table
        if iou is not None and iou != self.settings.iou:
            if iou not in SWEEP:
                raise UsageError(f"counts are kept at an IoU of {SWEEP}; found {iou}")
            table = self.sweep_table[SWEEP.index(iou)]
        if subject is not None:
            if subject not in self.subjects:
                raise UsageError(f"no subject {subject!r} was evaluated")
            table = table[[v.subject == subject for v in self.videos]]
        tp, fp, fn = _of_kind(table, kind).sum(0).tolist()
        return Counts(tp, fp, fn)

    def f1(self, kind: Kind | None = None) -> float:
        """2 TP / (2 TP + FP + FN) of the pooled counts, as in MEGC."""
        return self.counts(kind).f1

    def mean_subject_f1(self, kind: Kind | None = None) -> float:
        """Mean of the subjects' F1; some papers report it, but it is not the MEGC score.

        Subjects with neither truth nor prediction are left out.
        """
        counts = self._by_subject(kind)
        counts = counts[counts.sum(1) > 0]
        return float(f1_of(counts).mean()) if len(counts) else 0.0

    def sweep(self, kind: Kind | None = None) -> dict[float, Counts]:
        """Counts at each threshold of `SWEEP`."""
        return {iou: self.counts(kind, iou=iou) for iou in SWEEP}

    @property
    def truths(self) -> dict[str, int]:
        """Number of truths by row of the table."""
        return {name: self.counts(kind).tp + self.counts(kind).fn for name, kind in ROWS}

    def one_frame_off(self, kind: Kind | None = None) -> tuple[Counts, Counts]:
        """The counts with the fewest and the most hits if each predicted end is moved by up to one
        frame.

        If they differ, the score depends on single frames and may differ between machines.
        """
        now = self.counts(kind)
        fewest, most = (int(n) for n in _of_kind(self.hits_one_frame_off, kind).sum(0))
        fewer, more = fewest - now.tp, most - now.tp
        return (
            Counts(now.tp + fewer, now.fp - fewer, now.fn - fewer),
            Counts(now.tp + more, now.fp - more, now.fn - more),
        )

    def left_out(self, kind: Kind | None = None) -> str:
        """In words, the rows of one kind or of both that the settings exclude; or "nothing"."""
        found = {
            what: sum(n for k, n in by_kind.items() if kind in (None, k))
            for what, by_kind in self.dropped_by_kind.items()
        }
        return ", ".join(f"{n} {what}" for what, n in found.items() if n) or "nothing"

    # -- subjects -----------------------------------------------------------------------------

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """All subjects in the order of the videos, including those without truths."""
        return tuple(dict.fromkeys(video.subject for video in self.videos))

    def _by_subject(self, kind: Kind | None) -> IntArray:
        place = {subject: i for i, subject in enumerate(self.subjects)}
        found = np.zeros((len(place), 3), np.int64)
        np.add.at(found, [place[v.subject] for v in self.videos], _of_kind(self.table, kind))
        return found

    def per_subject(self) -> pd.DataFrame:
        """One row for each subject: videos, and tp, fp, fn, f1 of each kind and overall.

        F1 is NaN without truths and predictions.
        """
        import pandas as pd

        videos = Counter(video.subject for video in self.videos)
        columns: dict[str, Any] = {
            "subject": list(self.subjects),
            "videos": [videos[s] for s in self.subjects],
        }
        for name, kind in ROWS:
            counts = self._by_subject(kind)
            for j, what in enumerate(("tp", "fp", "fn")):
                columns[f"{name}_{what}"] = counts[:, j]
            columns[f"{name}_f1"] = np.where(counts.any(1), f1_of(counts), np.nan)
        table: pd.DataFrame = pd.DataFrame(columns)
        return table

    def per_video(self) -> pd.DataFrame:
        """One row for each video: subject, video, and tp, fp, fn, f1 of each kind and overall.

        F1 is NaN as in `per_subject`.
        """
        import pandas as pd

        columns: dict[str, Any] = {
            "subject": [video.subject for video in self.videos],
            "video": [video.name for video in self.videos],
        }
        for name, kind in ROWS:
            counts = _of_kind(self.table, kind)
            for j, what in enumerate(("tp", "fp", "fn")):
                columns[f"{name}_{what}"] = counts[:, j]
            columns[f"{name}_f1"] = np.where(counts.any(1), f1_of(counts), np.nan)
        table: pd.DataFrame = pd.DataFrame(columns)
        return table

    def bootstrap(
        self,
        kind: Kind | None = None,
        *,
        replicates: int = 2000,
        level: float = 0.95,
        seed: int = 0,
    ) -> Estimate:
        """Pooled F1 with its percentile interval over resampled subjects.

        Raises:
            UsageError: fewer than two subjects, or arguments out of range.
        """
        return interval(
            self._by_subject(kind), f1_of, replicates=replicates, level=level, seed=seed
        )

    def compare(
        self,
        other: SpottingReport,
        kind: Kind | None = None,
        *,
        replicates: int = 2000,
        level: float = 0.95,
        seed: int = 0,
    ) -> Difference:
        """F1 of this method minus F1 of `other`, on the same resamples of subjects.

        Raises:
            UsageError: the subjects or numbers of truths differ.
        """
        if set(self.subjects) != set(other.subjects):
            strange = sorted(set(self.subjects) ^ set(other.subjects))
            raise UsageError(f"only one of the two methods has subject {', '.join(strange)}")
        order = [other.subjects.index(subject) for subject in self.subjects]
        mine, theirs = self._by_subject(kind), other._by_subject(kind)[order]
        truths = mine[:, [0, 2]].sum(1), theirs[:, [0, 2]].sum(1)
        if (truths[0] != truths[1]).any():
            one = self.subjects[int(np.flatnonzero(truths[0] != truths[1])[0])]
            raise UsageError(
                f"the two methods were scored against different truths (subject {one}, for "
                "instance)"
            )
        return difference(mine, theirs, f1_of, replicates=replicates, level=level, seed=seed)

    # -- boundaries ---------------------------------------------------------------------------

    def boundary_errors(
        self, kind: Kind | None = None, *, unit: str = "frames"
    ) -> dict[str, BoundaryError]:
        """Errors of "onset", "apex" and "offset" of the true positives.

        Offsets filled in by a policy, apexes missing on either side and, in "ms", videos without a
        frame rate are not compared.

        Raises:
            UsageError: `unit` is neither "frames" nor "ms".
        """
        if unit not in ("frames", "ms"):
            raise UsageError(f"unit must be frames or ms; found {unit!r}")
        fps = {video.key: video.fps for video in self.videos}
        found: dict[str, list[float]] = {"onset": [], "apex": [], "offset": []}
        for pair in self.pairs:
            p, t = pair.prediction, pair.truth
            if kind is not None and t.kind != kind:
                continue
            rate = fps[t.key]
            if unit == "ms" and rate is None:
                continue
            scale = 1.0 if unit == "frames" or rate is None else 1000 / rate
            found["onset"].append((p.onset - t.onset) * scale)
            if p.apex is not None and t.apex is not None:
                found["apex"].append((p.apex - t.apex) * scale)
            if t.offset is not None:
                found["offset"].append((p.offset - t.offset) * scale)
        return {name: _boundary(unit, errors) for name, errors in found.items()}

    # -- output -------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Everything except the pairs, as plain values for JSON."""
        return {
            "evaluator": "aumer",
            "settings": self.settings.to_dict(),
            "scores": {name: _scores(self, kind) for name, kind in ROWS},
            "sweep": {
                name: [{"iou": iou, **_line(c)} for iou, c in self.sweep(kind).items()]
                for name, kind in ROWS
            },
            "boundary_errors": {
                name: {
                    unit: {k: e.to_dict() for k, e in self.boundary_errors(kind, unit=unit).items()}
                    for unit in ("frames", "ms")
                }
                for name, kind in ROWS
            },
            "subjects": len(self.subjects),
            "videos": len(self.videos),
            "dropped_truths": self.dropped_truths,
            "dropped_predictions": self.dropped_predictions,
        }

    def describe(self) -> str:
        """The settings and excluded rows, in one line."""
        s = self.settings
        return (
            f"{s.to_dict()['matching']} matching at IoU {s.comparison} {s.iou:g}, {s.ends} ends; "
            f"missing offset: {s.missing_offset} ({self.dropped_truths} truths dropped); videos "
            f"without truth: {s.videos_without_truth} ({self.dropped_predictions} predictions "
            f"dropped); {len(self.subjects)} subjects, {len(self.videos)} videos; counts pooled"
        )


def evaluate(
    predictions: Iterable[PredictedInterval],
    truths: Iterable[Truth],
    videos: Iterable[Video] | None = None,
    settings: SpottingSettings | None = None,
) -> SpottingReport:
    """Match and count every video and kind.

    Args:
        videos: all evaluated videos, including those without truths; `None`: those that occur in
            rows.

    Raises:
        UsageError: see `rows.prepare`.
        EvaluationError: counts that do not add up.
    """
    settings = settings or SpottingSettings()
    predictions, truths = list(predictions), list(truths)
    ready = prepare(predictions, truths, videos, settings)
    place = {video.key: i for i, video in enumerate(ready.videos)}
    table = np.zeros((len(place), len(KINDS), 3), np.int64)
    sweep = np.zeros((len(SWEEP), *table.shape), np.int64)
    off = np.zeros((*table.shape[:2], 2), np.int64)
    pairs: list[Pair] = []
    for case in ready.cases:
        video, kind = place[case.key], KINDS.index(case.kind)
        overlaps = case.overlaps(settings.ends)
        hits = _matched(overlaps, settings, settings.iou)
        table[video, kind] = _three(case, len(hits))
        shifted = _one_frame_off(case, settings.ends)
        off[video, kind] = [len(_matched(s, settings, settings.iou)) for s in shifted]
        for k, iou in enumerate(SWEEP):
            sweep[k, video, kind] = _three(case, len(_matched(overlaps, settings, iou)))
        for p, t in hits:
            offset = case.offsets[t]
            if offset is None:
                raise EvaluationError(f"a truth without an offset was matched in {case.key}")
            iou = float(overlaps[p, t])
            pairs.append(Pair(case.predictions[p], case.truths[t], offset, iou))
    report = SpottingReport(
        settings,
        ready.videos,
        table,
        sweep,
        tuple(pairs),
        ready.dropped_truths,
        ready.dropped_predictions,
        {
            "truths": _left_out(truths, [t for c in ready.cases for t in c.truths]),
            "predictions": _left_out(predictions, [p for c in ready.cases for p in c.predictions]),
        },
        off,
    )
    check(report, predictions, truths)
    return report


def check(
    report: SpottingReport, predictions: Sequence[PredictedInterval], truths: Sequence[Truth]
) -> None:
    """Check that TP + FN is the number of truths and TP + FP that of predictions, by video and kind
    and in total.

    Rows that the settings drop are counted by the report. Not an ``assert``, which ``python -O``
    would remove.

    Raises:
        EvaluationError: the counts are inconsistent.
    """
    s = report.settings
    kept: Counter[tuple[VideoKey, Kind]] = Counter(
        (t.key, t.kind) for t in truths if t.offset is not None or s.missing_offset != "drop"
    )
    made: Counter[tuple[VideoKey, Kind]] = Counter((p.key, p.kind) for p in predictions)
    if s.videos_without_truth == "drop":
        made = Counter({where: n for where, n in made.items() if where in kept})
    tables = [(s.iou, report.table), *zip(SWEEP, report.sweep_table, strict=True)]
    for iou, table in tables:
        if (table < 0).any():
            raise EvaluationError(f"a count is negative at IoU {iou}")
        for v, video in enumerate(report.videos):
            for k, kind in enumerate(KINDS):
                tp, fp, fn = table[v, k].tolist()
                where = video.key, kind
                if (tp + fn, tp + fp) != (kept[where], made[where]):
                    raise EvaluationError(
                        f"{kind} of video {video.key}: TP, FP, FN = {tp}, {fp}, {fn} with "
                        f"{kept[where]} truths and {made[where]} predictions"
                    )
        total = table.sum((0, 1))
        if total[0] + total[2] != len(truths) - report.dropped_truths:
            raise EvaluationError(f"TP + FN = {total[0] + total[2]}, truths {len(truths)}")
        if total[0] + total[1] != len(predictions) - report.dropped_predictions:
            raise EvaluationError(f"TP + FP = {total[0] + total[1]}, of {len(predictions)}")
    if report.table[..., 0].sum() != len(report.pairs):
        raise EvaluationError("the true positives are not the matched pairs")


def _one_frame_off(
    case: Case, ends: Ends
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(predictions, truths) least and largest IoU if ends move by up to a frame."""
    found = []
    for a, b in product((-1, 0, 1), repeat=2):
        moved = tuple(
            replace(p, onset=p.onset + a, offset=max(p.onset + a, p.offset + b))
            for p in case.predictions
        )
        found.append(replace(case, predictions=moved).overlaps(ends))
    return np.min(found, 0), np.max(found, 0)


def _left_out(
    rows: Sequence[PredictedInterval | Truth], kept: Sequence[PredictedInterval | Truth]
) -> dict[Kind, int]:
    """Number of excluded rows by kind."""
    return {k: sum(r.kind == k for r in rows) - sum(r.kind == k for r in kept) for k in KINDS}


def f1_of(counts: IntArray) -> npt.NDArray[np.float64]:
    """(N, 3) TP, FP, FN -> (N,) F1; 0 if all are 0."""
    below = 2 * counts[:, 0] + counts[:, 1] + counts[:, 2]
    f1: npt.NDArray[np.float64] = np.divide(
        2 * counts[:, 0], below, out=np.zeros(len(counts)), where=below > 0
    )
    return f1


def _matched(
    overlaps: npt.NDArray[np.float64], settings: SpottingSettings, iou: float
) -> list[tuple[int, int]]:
    if not overlaps.size:
        return []
    good = overlaps >= iou if settings.comparison == ">=" else overlaps > iou
    return match_matrix(overlaps, good)


def _three(case: Case, hits: int) -> tuple[int, int, int]:
    return hits, len(case.predictions) - hits, len(case.truths) - hits


def _of_kind(table: IntArray, kind: Kind | None) -> IntArray:
    """(..., kinds, 3) -> (..., 3)."""
    found: IntArray = table.sum(-2) if kind is None else table[..., KINDS.index(kind), :]
    return found


def _line(counts: Counts) -> dict[str, Any]:
    shares = dict(zip(("precision", "recall", "f1"), ratios(counts), strict=True))
    return {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn, **shares}


def _scores(report: SpottingReport, kind: Kind | None) -> dict[str, Any]:
    counts = report.counts(kind)
    return {
        "truths": counts.tp + counts.fn,
        "predictions": counts.tp + counts.fp,
        **_line(counts),
        # Undefined, as F1 is, where there is nothing to find and nothing was found.
        "mean_subject_f1": report.mean_subject_f1(kind)
        if counts.tp + counts.fp + counts.fn
        else None,
    }


def _boundary(unit: str, errors: list[float]) -> BoundaryError:
    if not errors:
        return BoundaryError(unit, 0, None, None, None)
    a = np.array(errors)
    size = np.abs(a)
    return BoundaryError(unit, len(a), float(a.mean()), float(size.mean()), float(np.median(size)))


if not TYPE_CHECKING:  # unknown names must stay errors for mypy
    __getattr__ = moved(
        __name__,
        {
            "Fold": "SubjectPredictions of this module",
            "Prediction": "aumer.evaluation.rows.PredictedInterval",
        },
    )
