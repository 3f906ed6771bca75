"""Published evaluators, for comparison with aumer's on the same predictions.

Each is a set of named rules, so that published numbers can be compared. None is recommended: some
count an expression twice or ignore false positives or misses, so TP + FP may differ from the number
of predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError, did_you_mean
from aumer.evaluation.interface import Report
from aumer.evaluation.rows import (
    Case,
    Comparison,
    Ends,
    MissingOffset,
    PredictedInterval,
    SpottingSettings,
    Truth,
    Video,
    VideoKey,
    WithoutTruth,
    prepare,
)
from aumer.types import KINDS, BoolArray, Kind

#: LGSNet: most frames of a micro-expression, and most predictions per video.
LGSNET_MICRO_FRAMES = 15
LGSNET_PER_VIDEO = 14


#: The organizers' script for the spot-then-recognize score (github.com/genbing99/STRS-Metric) in
#: its present and its first release; in the first a truth may be found several times, and the
#: emotions of both sides are used.
STRS, STRS_FIRST = "strs-official", "strs-official-1"


@dataclass(frozen=True)
class Tally:
    """Counts of one kind, summed over videos.

    Attributes:
        tp: true positives in the evaluator's precision.
        found: true positives in its recall.
        predictions, truths: the denominators of the two.
    """

    tp: int = 0
    found: int = 0
    predictions: int = 0
    truths: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.tp + other.tp,
            self.found + other.found,
            self.predictions + other.predictions,
            self.truths + other.truths,
        )

    @property
    def fp(self) -> int:
        """Predictions minus true positives; negative if hits are counted twice."""
        return self.predictions - self.tp

    @property
    def fn(self) -> int:
        """Truths minus found ones; negative if hits are counted twice."""
        return self.truths - self.found

    @property
    def precision(self) -> float:
        return self.tp / self.predictions if self.predictions else 0.0

    @property
    def recall(self) -> float:
        return self.found / self.truths if self.truths else 0.0

    @property
    def f1(self) -> float:
        """2 tp found / (predictions found + truths tp): the harmonic mean of the two."""
        if not (self.predictions and self.truths):
            return 0.0
        below = self.predictions * self.found + self.truths * self.tp
        return 2 * self.tp * self.found / below if below else 0.0

    @property
    def f1_of_finds(self) -> float:
        """2 found / (predictions + truths)."""
        rows = self.predictions + self.truths
        return 2 * self.found / rows if rows else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "tp": self.tp,
            "fp": self.fp,
            "fn": self.fn,
            "found": self.found,
            "predictions": self.predictions,
            "truths": self.truths,
            "precision": self.precision,
            "recall": self.recall,
            # Undefined without truths and predictions.
            "f1": self.f1 if self.predictions or self.truths else None,
        }


#: Counts from the (predictions, truths) IoU of a video and kind, and a mask of the hits.
Counting = Callable[[npt.NDArray[np.float64], BoolArray], Tally]


def truths_found(overlaps: npt.NDArray[np.float64], hits: BoolArray) -> Tally:
    """Each truth hit by any prediction is a TP; a prediction may hit several."""
    n = int(hits.any(0).sum())
    return Tally(n, n, *hits.shape)


def predictions_that_hit(overlaps: npt.NDArray[np.float64], hits: BoolArray) -> Tally:
    """Each prediction that hits any truth is a TP, even several on one truth."""
    n = int(hits.any(1).sum())
    return Tally(n, n, *hits.shape)


def hits_and_finds(overlaps: npt.NDArray[np.float64], hits: BoolArray) -> Tally:
    """Precision counts predictions that hit, recall those that are the best of a truth.

    A prediction that is the best of two truths counts once, so recall may miss a found truth.
    """
    return Tally(int(hits.any(1).sum()), best_predictions(overlaps, hits).tp, *hits.shape)


def best_predictions(overlaps: npt.NDArray[np.float64], hits: BoolArray) -> Tally:
    """Each prediction that is the best of a found truth is a TP, counted once."""
    if not hits.any():
        return Tally(0, 0, *hits.shape)
    n = len(set(overlaps.argmax(0)[hits.any(0)].tolist()))
    return Tally(n, n, *hits.shape)


def best_truth_in_order(overlaps: npt.NDArray[np.float64], hits: BoolArray) -> Tally:
    """In the order of the file, a prediction is a TP if its best truth is hit and not yet taken.

    Of equally good truths the last is its best.
    """
    taken: set[int] = set()
    for overlap, hit in zip(overlaps, hits, strict=True):
        if hit.any():
            taken.add(len(overlap) - 1 - int(overlap[::-1].argmax()))
    return Tally(len(taken), len(taken), *hits.shape)


def free_truths_in_order(overlaps: npt.NDArray[np.float64], hits: BoolArray) -> Tally:
    """In the order of the file, a prediction takes all truths that it hits and that are not yet
    taken.

    TP = truths taken; FP = predictions that took none.
    """
    pairs = _taken(hits)
    idle = len(hits) - len({p for p, _ in pairs})
    return Tally(len(pairs), len(pairs), len(pairs) + idle, hits.shape[1])


def free_predictions_in_order(overlaps: npt.NDArray[np.float64], hits: BoolArray) -> Tally:
    """In the order of the file, a truth takes the best prediction not yet taken, if it hits.

    Of equally good predictions the first is the best.
    """
    left = overlaps.copy()
    found = 0
    for t in range(hits.shape[1]):
        if hits.any() and hits[best := int(left[:, t].argmax()), t] and left[best, t] > 0:
            found += 1
            left[best] = 0.0
    return Tally(found, found, *hits.shape)


def every_pair(overlaps: npt.NDArray[np.float64], hits: BoolArray) -> Tally:
    """Each pair of a prediction and a truth that it hits is a TP, even with repetitions.

    FP = predictions without a hit; FN = truths without a hit.
    """
    pairs = int(hits.sum())
    idle, missed = (int((~hits.any(axis)).sum()) for axis in (1, 0))
    return Tally(pairs, pairs, pairs + idle, pairs + missed)


def _taken(hits: BoolArray) -> list[tuple[int, int]]:
    free = np.ones(hits.shape[1], bool)
    pairs = []
    for p, hit in enumerate(hits):
        pairs += [(p, int(t)) for t in np.flatnonzero(hit & free)]
        free &= ~hit
    return pairs


def _all_pairs(hits: BoolArray) -> list[tuple[int, int]]:
    return [(int(p), int(t)) for p, t in np.argwhere(hits)]


@dataclass(frozen=True)
class Legacy:
    """One published evaluator.

    Attributes:
        counting: how hits become TPs; `None` for LGSNet's, which combines both kinds.
        silent_subjects: "drop" ignores the misses of subjects without predictions.
        silent_videos: predictions of a video without any of a kind: none, or one, [0, 0].
        one_frame: intervals of one frame are matched like others ("keep") or never ("drop").
        second_block: whether a second block of figures divides the finds by all rows.
        own_truths: fixed denominators: numbers of truths by kind; `None` to count the rows.
    """

    name: str
    what: str
    comparison: Comparison
    ends: Ends
    missing_offset: MissingOffset
    videos_without_truth: WithoutTruth
    counting: Counting | None
    silent_subjects: WithoutTruth = "keep"
    silent_videos: Literal["none", "[0, 0]"] = "none"
    one_frame: Literal["keep", "drop"] = "keep"
    second_block: bool = False
    own_truths: Mapping[Kind, int] | None = None

    @property
    def settings(self) -> SpottingSettings:
        """Its rules as `SpottingSettings`, if they exist there."""
        return SpottingSettings(
            comparison=self.comparison,
            ends=self.ends,
            missing_offset=self.missing_offset,
            videos_without_truth=self.videos_without_truth,
        )

    def __call__(
        self,
        predictions: Iterable[PredictedInterval],
        truths: Iterable[Truth],
        videos: Iterable[Video] | None = None,
    ) -> LegacyReport:
        """Score rows, at IoU 0.5.

        Raises:
            UsageError: inconsistent rows; see `rows.prepare`.
        """
        predictions, truths = list(predictions), list(truths)
        cases = _cases(self, predictions, truths, videos)
        given = {id(p) for p in predictions}
        left = (
            len(truths) - sum(len(c.truths) for c in cases),
            len(predictions) - sum(id(p) in given for c in cases for p in c.predictions),
        )
        if self.counting is None:
            tallies = _lgsnet(self, cases)
            counted = sum(t.predictions for t in tallies.values())
            return LegacyReport(self, tallies, left[0], len(predictions) - counted)
        tallies = {kind: Tally() for kind in KINDS}
        for case in cases:
            if case.truths or case.predictions:
                overlaps = _overlaps(self, case)
                tallies[case.kind] += self.counting(overlaps, _hits(self, overlaps))
        if self.own_truths is not None:
            tallies = {k: replace(t, truths=self.own_truths[k]) for k, t in tallies.items()}
        return LegacyReport(self, tallies, *left)

    def to_dict(self) -> dict[str, Any]:
        """Every rule by name."""
        counting = self.counting.__name__ if self.counting else "truths_found_across_kinds"
        return {
            "matching": counting.replace("_", " "),
            "iou": 0.5,
            "comparison": self.comparison,
            "ends": self.ends,
            "missing_offset": self.missing_offset,
            "videos_without_truth": self.videos_without_truth,
            "silent_subjects": self.silent_subjects,
            "silent_videos": self.silent_videos,
            "one_frame": self.one_frame,
            "denominators": "the truths of the file"
            if self.own_truths is None
            else ", ".join(f"{n} {kind}" for kind, n in self.own_truths.items()),
        }


#: The prediction that the code of SOFTNet and its successors adds to a video without any, since its
#: metric does not accept empty lists.
_PHANTOM: Literal["[0, 0]"] = "[0, 0]"

#: The published evaluators by name; kind "evaluator" in `aumer.registry`.
EVALUATORS: dict[str, Legacy] = {
    e.name: e
    for e in (
        Legacy(
            "megc2020",
            "MEGC 2020 baseline",
            ">=",
            "closed",
            "apex",
            "keep",
            truths_found,
            one_frame="drop",
        ),
        Legacy(
            "abpn",
            "ABPN 2022",
            ">",
            "open",
            "unmatchable",
            "keep",
            hits_and_finds,
            second_block=True,
        ),
        Legacy(
            "auwgcn-2023",
            "AUW-GCN until February 2025",
            ">",
            "open",
            "unmatchable",
            "keep",
            predictions_that_hit,
        ),
        Legacy(
            "auwgcn-2025",
            "AUW-GCN since February 2025",
            ">",
            "open",
            "unmatchable",
            "keep",
            best_predictions,
        ),
        Legacy(
            "softnet",
            "SOFTNet",
            ">=",
            "closed",
            "apex",
            "drop",
            best_truth_in_order,
            silent_videos=_PHANTOM,
        ),
        Legacy(
            "mean",
            "MEAN",
            ">=",
            "closed",
            "apex",
            "drop",
            best_truth_in_order,
            silent_videos=_PHANTOM,
        ),
        Legacy(
            "sl-swin",
            "SL-Swin",
            ">=",
            "open",
            "apex",
            "drop",
            best_truth_in_order,
            silent_videos=_PHANTOM,
        ),
        Legacy("lgsnet", "LGSNet 2023", ">=", "closed", "apex+20", "keep", None),
        # From its released code (github.com/KinopioIsAllIn/SpotFormer, post_process.py, abfcm.py):
        # F1 = 2 FIND / (predictions + truths). Its truths of CAS(ME)^2 count from 1 (1 is
        # subtracted); use a reader's `first_frame`. How its table treats missing offsets is
        # unknown; an offset of 0 matches nothing.
        Legacy(
            "spotformer",
            "SpotFormer 2024 (SpoT-GCN)",
            ">=",
            "open",
            "unmatchable",
            "keep",
            free_predictions_in_order,
        ),
        # Its code is unavailable: known are the denominators and that a prediction may hit several
        # truths. Chosen here: IoU and ends as in MEGC, and no invented offsets.
        Legacy(
            "mult",
            "MULT",
            ">=",
            "closed",
            "unmatchable",
            "keep",
            truths_found,
            own_truths={"macro": 282, "micro": 84},
        ),
        Legacy(
            STRS,
            "MEGC 2024/2025, the organizers' script",
            ">=",
            "closed",
            "unmatchable",
            "drop",
            free_truths_in_order,
            silent_subjects="drop",
        ),
        Legacy(
            STRS_FIRST,
            "the organizers' script as it was first released",
            ">=",
            "closed",
            "unmatchable",
            "drop",
            every_pair,
            silent_subjects="drop",
        ),
    )
}


def find(name: str) -> Legacy:
    """The evaluator of that name.

    Raises:
        UsageError: unknown name; the message lists the names and the nearest.
    """
    if name not in EVALUATORS:
        raise UsageError(
            f"no published evaluator is called {name!r}; there are {', '.join(EVALUATORS)}."
            + did_you_mean(name, EVALUATORS)
        )
    return EVALUATORS[name]


@dataclass(frozen=True)
class LegacyReport(Report):
    """The result of a published evaluator.

    Attributes:
        tallies: by kind.
        dropped_truths, dropped_predictions: numbers of excluded rows.
    """

    evaluator: Legacy
    tallies: dict[Kind, Tally]
    dropped_truths: int = 0
    dropped_predictions: int = 0

    def counts(self, kind: Kind | None = None) -> Tally:
        """The counts of one kind, or of both (overall)."""
        return sum(self.tallies.values(), Tally()) if kind is None else self.tallies[kind]

    def left_out(self, kind: Kind | None = None) -> str:
        dropped = {"truths": self.dropped_truths, "predictions": self.dropped_predictions}
        if kind is not None:
            return "see overall" if any(dropped.values()) else "nothing"
        return ", ".join(f"{n} {what}" for what, n in dropped.items() if n) or "nothing"

    def to_dict(self) -> dict[str, Any]:
        return {
            "evaluator": self.evaluator.name,
            "what": self.evaluator.what,
            "settings": self.evaluator.to_dict(),
            "scores": {
                "macro": self._scores("macro"),
                "micro": self._scores("micro"),
                "overall": self._scores(),
            },
            "dropped_truths": self.dropped_truths,
            "dropped_predictions": self.dropped_predictions,
        }

    def _scores(self, kind: Kind | None = None) -> dict[str, Any]:
        counts = self.counts(kind)
        second = {"second_f1": counts.f1_of_finds} if self.evaluator.second_block else {}
        return {**counts.to_dict(), **second}


def score(
    name: str,
    predictions: Iterable[PredictedInterval],
    truths: Iterable[Truth],
    videos: Iterable[Video] | None = None,
) -> LegacyReport:
    """Score rows by the published evaluator of that name, at IoU 0.5.

    Raises:
        UsageError: unknown name, or rows that do not fit; see `rows.prepare`.
    """
    return find(name)(predictions, truths, videos)


def _cases(
    legacy: Legacy,
    predictions: Iterable[PredictedInterval],
    truths: Iterable[Truth],
    videos: Iterable[Video] | None,
) -> list[Case]:
    predictions = list(predictions)
    cases = list(prepare(predictions, truths, videos, legacy.settings).cases)
    if legacy.silent_videos == _PHANTOM:
        cases = [_with_phantom(c) if c.truths and not c.predictions else c for c in cases]
    if legacy.silent_subjects == "keep":
        return cases
    heard = {(p.subject, p.kind) for p in predictions}
    return [c for c in cases if (c.key[0], c.kind) in heard]


def _with_phantom(case: Case) -> Case:
    subject, video = case.key
    return replace(case, predictions=(PredictedInterval(subject, video, case.kind, 0, 0),))


def _overlaps(legacy: Legacy, case: Case) -> npt.NDArray[np.float64]:
    overlaps = case.overlaps(legacy.ends)
    if legacy.one_frame == "drop":
        overlaps[[p.offset == p.onset for p in case.predictions]] = 0.0
        ends_at = zip(case.truths, case.offsets, strict=True)
        overlaps[:, [t.onset == offset for t, offset in ends_at]] = 0.0
    return overlaps


def _hits(legacy: Legacy, overlaps: npt.NDArray[np.float64]) -> BoolArray:
    iou = legacy.settings.iou
    hits: BoolArray = overlaps >= iou if legacy.comparison == ">=" else overlaps > iou
    return hits


def _lgsnet(legacy: Legacy, cases: Sequence[Case]) -> dict[Kind, Tally]:
    """A truth is found by a prediction of any kind; the kind of both follows from their lengths.

    Only the number of truths follows the labels. A truth of one frame counts for neither kind.
    """
    tallies: dict[Kind, Tally] = {kind: Tally() for kind in KINDS}
    videos: dict[VideoKey, list[Case]] = {}
    for case in cases:
        videos.setdefault(case.key, []).append(case)
        tallies[case.kind] += Tally(truths=len(case.truths))
    for key, both in videos.items():
        rows = sorted((p for c in both for p in c.predictions), key=lambda p: -p.score)
        best = tuple(rows[:LGSNET_PER_VIDEO])
        for p in best:
            tallies[_by_length(p.offset - p.onset)] += Tally(predictions=1)
        truths = tuple(t for c in both for t in c.truths)
        offsets = tuple(o for c in both for o in c.offsets)
        merged = Case(key, "macro", best, truths, offsets)
        found = np.asarray(_hits(legacy, merged.overlaps(legacy.ends)).any(0), np.bool_)
        for t, offset, was in zip(truths, offsets, found.tolist(), strict=True):
            if was and offset is not None and offset > t.onset:
                tallies[_by_length(offset - t.onset)] += Tally(tp=1, found=1)
    return tallies


def _by_length(frames: int) -> Kind:
    return "micro" if frames <= LGSNET_MICRO_FRAMES else "macro"


@dataclass(frozen=True)
class OfficialStrs:
    """The output of the organizers' script. Its "UAR" is the mean of precisions."""

    spotting: Tally
    strs: float
    f1: float
    uf1: float
    uar: float

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "spotting": self.spotting.to_dict()}


def strs_official(
    predictions: Iterable[PredictedInterval],
    truths: Iterable[Truth],
    videos: Iterable[Video] | None = None,
    *,
    kind: Kind = "micro",
    release: str = STRS,
    emotions: Collection[str] | None = None,
) -> OfficialStrs:
    """The spot-then-recognize score by the organizers' script.

    F1 of recognition is the harmonic mean of mean precision and mean recall over the emotions, by
    default those of all truths (first release: of all rows). An emotion scores 0 if all or none of
    the spotted pairs have it on both sides, since the script then has no two-by-two table (the
    first release fails; here it counts 0, too).

    Args:
        release: `STRS`, or `STRS_FIRST`, which pairs every prediction with every truth that it
            hits.
        emotions: the emotions to recognize: pairs whose truth has another one count for spotting
            only. Not available for the first release.

    Raises:
        UsageError: as for `score`, a truth or prediction without a label, or an unknown release.
    """
    legacy = find(release)
    if release not in (STRS, STRS_FIRST):
        raise UsageError(f"`release` must be {STRS!r} or {STRS_FIRST!r}; found {release!r}")
    if emotions is not None and release == STRS_FIRST:
        raise UsageError(f"`emotions` must be None where `release` is {STRS_FIRST!r}")
    counting, paired = free_truths_in_order, _taken
    if release == STRS_FIRST:
        counting, paired = every_pair, _all_pairs
    predictions, truths = list(predictions), list(truths)
    rows: list[PredictedInterval | Truth] = [*predictions, *truths]
    for row in rows:
        if row.kind == kind and not row.label:
            raise UsageError(
                f"an expression of video {row.video!r} has no label; the spot-then-recognize score "
                "needs a column label on both sides"
            )
    sides = rows if release == STRS_FIRST else truths
    wanted = sorted(
        {row.label for row in sides if row.kind == kind} if emotions is None else emotions
    )
    spotting = Tally()
    pairs: list[tuple[str, str]] = []
    for case in _cases(legacy, predictions, truths, videos):
        if case.kind == kind:
            overlaps = case.overlaps(legacy.ends)
            hits = _hits(legacy, overlaps)
            spotting += counting(overlaps, hits)
            pairs += [(case.predictions[p].label, case.truths[t].label) for p, t in paired(hits)]
    if emotions is not None:
        pairs = [(p, t) for p, t in pairs if t in wanted]
    tables = [_one_against_rest(emotion, pairs) for emotion in wanted]
    precision = _mean(t.precision for t in tables)
    recall = _mean(t.recall for t in tables)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return OfficialStrs(spotting, spotting.f1 * f1, f1, _mean(t.f1 for t in tables), uar=precision)


def _one_against_rest(emotion: str, pairs: list[tuple[str, str]]) -> Tally:
    cells = {(p == emotion, t == emotion) for p, t in pairs}
    if len({side for cell in cells for side in cell}) < 2:
        return Tally()
    tp = sum(p == t == emotion for p, t in pairs)
    made, there = (sum(pair[i] == emotion for pair in pairs) for i in (0, 1))
    return Tally(tp, tp, made, there)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0
