"""Spotted against annotated expressions, from files or objects: `aumer.evaluate`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any, Literal, get_args, overload

from aumer import registry
from aumer.errors import UsageError, did_you_mean
from aumer.evaluation import spotting
from aumer.evaluation.interface import Evaluator, Report
from aumer.evaluation.legacy import EVALUATORS
from aumer.evaluation.rows import (
    PredictedInterval,
    SpottingSettings,
    Truth,
    Video,
    VideoKey,
    rows_of,
)
from aumer.evaluation.spotting import SpottingReport
from aumer.evaluation.tables import (
    Subjects,
    counted_from,
    read_labels,
    read_predicted,
    read_videos,
)
from aumer.files import StrPath
from aumer.results import SpotResult
from aumer.tables.intervals import IntervalTable, ending_alike
from aumer.tables.reading import IntervalReading
from aumer.types import VideoRecord

#: Our evaluator's name.
OURS = "aumer"

#: A file of `aumer.evaluation.tables`, a result, or a row of it.
Predicted = StrPath | SpotResult | PredictedInterval
#: A file of `aumer.evaluation.tables`, a video of a data set with its annotations, or a row.
Annotated = StrPath | VideoRecord | Truth

_log = logging.getLogger("aumer")


#: What becomes of predictions that cannot be placed; see `Placement`.
Unplaced = Literal["refuse", "drop"]


@dataclass(frozen=True)
class Placement:
    """Predictions that have no clear place in the videos, counted by reason.

    The reasons are "unknown video" (not among the videos that were evaluated), "reversed" (ends
    before it begins), "outside the video" (no frame in common with it, where its length is known),
    "partly outside the video" and "duplicate" (kind, onset and offset of an earlier one).

    Attributes:
        kept, left_out: how many of each reason are scored and are not. One that is left out is no
            false positive, so that another evaluator may count more of them.
        other_lengths: what is said of each video that has another number of frames by one file than
            by another, as masks of motion between frames have; its frames may be shifted.
    """

    kept: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    other_lengths: tuple[str, ...] = ()

    def describe(self) -> str:
        """In one line, and one more of lengths that differ."""
        lines = [self._of_predictions()]
        if self.other_lengths:
            first = "; ".join(self.other_lengths[:5])
            more = len(self.other_lengths) - 5
            also = f"; and {more} more" if more > 0 else ""
            lines.append(
                f"videos whose files disagree on the number of frames, so that frames may be "
                f"shifted: {len(self.other_lengths)} ({first}{also})"
            )
        return "\n".join(lines)

    def _of_predictions(self) -> str:
        if not (self.kept or self.left_out):
            return "all predictions have a place"
        reading = [f"{n} {reason} (kept)" for reason, n in self.kept.items()]
        reading += [
            f"{n} {reason} (left out: no false positive here)"
            for reason, n in self.left_out.items()
        ]
        return f"predictions without a clear place: {', '.join(reading)}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "kept": dict(self.kept),
            "left_out": dict(self.left_out),
            "other_lengths": list(self.other_lengths),
        }


@dataclass(frozen=True)
class Rows:
    """What an evaluator takes; without a list of videos these are all that are named.

    Attributes:
        placement: of the predictions.
        read: the files of predictions and of truths, as they were read.
    """

    predictions: tuple[PredictedInterval, ...]
    truths: tuple[Truth, ...]
    videos: tuple[Video, ...]
    placement: Placement = field(default_factory=Placement)
    read: Mapping[str, tuple[IntervalTable, ...]] = field(default_factory=dict)


@overload
def evaluate(
    predictions: Predicted | Iterable[Predicted],
    truth: Annotated | Iterable[Annotated],
    *,
    evaluator: Literal["aumer"] = ...,
    videos: StrPath | Iterable[Video] | None = ...,
    fps: float | None = ...,
    predictions_first_frame: int | None = ...,
    truth_first_frame: int | None = ...,
    predictions_reading: IntervalReading | None = ...,
    truth_reading: IntervalReading | None = ...,
    unplaced: Unplaced = ...,
    settings: SpottingSettings | None = ...,
) -> SpottingReport: ...
@overload
def evaluate(
    predictions: Predicted | Iterable[Predicted],
    truth: Annotated | Iterable[Annotated],
    *,
    evaluator: str | Evaluator,
    videos: StrPath | Iterable[Video] | None = ...,
    fps: float | None = ...,
    predictions_first_frame: int | None = ...,
    truth_first_frame: int | None = ...,
    predictions_reading: IntervalReading | None = ...,
    truth_reading: IntervalReading | None = ...,
    unplaced: Unplaced = ...,
    settings: SpottingSettings | None = ...,
) -> Report: ...
def evaluate(
    predictions: Predicted | Iterable[Predicted],
    truth: Annotated | Iterable[Annotated],
    *,
    evaluator: str | Evaluator = OURS,
    videos: StrPath | Iterable[Video] | None = None,
    fps: float | None = None,
    predictions_first_frame: int | None = None,
    truth_first_frame: int | None = None,
    predictions_reading: IntervalReading | None = None,
    truth_reading: IntervalReading | None = None,
    unplaced: Unplaced = "refuse",
    settings: SpottingSettings | None = None,
) -> Report:
    """Score spotted expressions against annotated ones: counts and F1 by kind, and the rules.

    ``print(report.to_markdown())`` shows both. Of our evaluator ``report.bootstrap("micro")`` is
    F1 with its interval over subjects, and ``report.per_video()`` a table of the videos.

    Args:
        predictions: what `aumer.spot` returned or wrote, a CSV or JSON of
            `aumer.evaluation.tables`, rows; or several. A result is of the video that the truth
            calls by its file's name, with or without folders and suffix.
        truth: a CSV or JSON, rows, or videos of a data set (``aumer.data.load(...).records()``),
            those without expressions too; or several.
        evaluator: "aumer", a published one by name ("megc2020", "softnet", "strs-official", ...;
            see `aumer.evaluation.legacy`), a registered one, or one itself.
        videos: all videos that were evaluated, or a CSV of them (video and, if wanted, subject,
            fps). Without them a video with neither truth nor prediction is not known, unless the
            truth is a data set.
        fps: frame rate of videos that have none, for errors in milliseconds.
        predictions_first_frame, truth_first_frame: what files call a video's first frame, 0 or 1.
        predictions_reading, truth_reading: what else is known of files that do not say it
            themselves, and what reads them; by default this is told by the file.
        unplaced: "refuse" predictions of unknown videos and reversed ones with an error, and keep
            those that lie outside their video or are there twice; or "drop" all of these. Rows of
            truths are never dropped.
        settings: the rules of our evaluator; the others have rules of their own.

    Raises:
        UsageError: no such evaluator, a file that cannot be read, or rows that do not fit.

    Example:
        >>> from aumer.evaluation.rows import PredictedInterval, Truth
        >>> found = [PredictedInterval("s1", "talk", "micro", 3, 12)]
        >>> report = aumer.evaluate(found, [Truth("s1", "talk", "micro", 2, 11)])
        >>> report.f1()
        1.0
    """
    score: Evaluator = registry.resolve("evaluator", evaluator)
    if not callable(score):
        raise UsageError(f"an evaluator is a function of predictions, truths and videos: {score!r}")
    if not (settings is None or isinstance(settings, SpottingSettings)):
        raise UsageError(f"`settings` must be SpottingSettings; found {settings!r}")
    rules = settings if settings is not None and score is spotting.evaluate else None
    if settings is not None and rules is None:
        raise UsageError(f"settings are for our evaluator; {evaluator} has rules of its own")
    found = rows(
        predictions,
        truth,
        videos=videos,
        fps=fps,
        predictions_first_frame=predictions_first_frame,
        truth_first_frame=truth_first_frame,
        predictions_reading=predictions_reading,
        truth_reading=truth_reading,
        unplaced=unplaced,
    )
    if rules is not None:
        return spotting.evaluate(found.predictions, found.truths, found.videos, rules)
    report = score(found.predictions, found.truths, found.videos)
    if not isinstance(report, Report):
        raise UsageError(
            f"the evaluator {evaluator!r} must return an aumer.evaluation.interface.Report; it "
            f"returned {report!r}"
        )
    return report


def evaluators() -> tuple[str, ...]:
    """Ours, the published ones, and those that are registered."""
    known = (OURS, *EVALUATORS)
    return (*known, *(name for name in registry.names("evaluator") if name not in known))


def rows(
    predictions: Predicted | Iterable[Predicted],
    truth: Annotated | Iterable[Annotated],
    *,
    videos: StrPath | Iterable[Video] | None = None,
    fps: float | None = None,
    predictions_first_frame: int | None = None,
    truth_first_frame: int | None = None,
    predictions_reading: IntervalReading | None = None,
    truth_reading: IntervalReading | None = None,
    unplaced: Unplaced = "refuse",
) -> Rows:
    """The rows of everything; arguments and errors as for `evaluate`."""
    if unplaced not in get_args(Unplaced):
        near = did_you_mean(str(unplaced), get_args(Unplaced))
        raise UsageError(f"`unplaced` must be refuse or drop; found {unplaced!r}.{near}")
    reading = counted_from(truth_reading, truth_first_frame)
    read_truths: dict[str, IntervalTable] = {}
    lengths: dict[str, Mapping[VideoKey, int]] = {}
    if fps is not None and not fps > 0:
        raise UsageError(f"`fps` must be above 0; found {fps}")
    annotated = list(_each(truth, (VideoRecord, Truth)))
    records = [one for one in annotated if isinstance(one, VideoRecord)]

    by_records, of_records = rows_of(records)

    def labels(
        listed: Sequence[Video] | None, *, log_notes: bool
    ) -> tuple[list[Truth], dict[VideoKey, Video]]:
        """All truths, and the videos that are named with them, without expressions too."""
        truths = list(of_records)
        named = {v.key: v for v in by_records}
        for one in annotated:
            if isinstance(one, Truth):
                truths.append(one)
                named.setdefault(one.key, Video(*one.key))
            elif not isinstance(one, VideoRecord):
                read = read_labels(
                    one, reading=reading, videos=listed, fps=fps, log_notes=log_notes
                )
                read_truths[str(one)] = read.table
                lengths[str(one)] = read.frames
                truths += read.truths
                named |= {v.key: v for v in read.videos if v.key not in named}
        return truths, named

    truths, named = labels(None, log_notes=videos is None)
    listed: list[Video] | None = None
    if isinstance(videos, (str, PathLike)):  # either file may be the one that says whose a video is
        listed = read_videos(videos, subjects=truths)
    elif videos is not None:
        given: Any = videos
        listed = list(given) if isinstance(given, Iterable) else [given]
        if wrong := [one for one in listed if type(one) is not Video]:
            raise UsageError(f"`videos` must be several Video, or a CSV; found {wrong[0]!r}")
    if listed is not None:
        truths, _ = labels(listed, log_notes=True)
    known = list(named.values()) if listed is None else listed
    predicted: list[PredictedInterval] = []
    tables: list[IntervalTable] = []
    reversed_rows = 0
    reading = counted_from(predictions_reading, predictions_first_frame)
    guessed = False
    for p in _each(predictions, (SpotResult, PredictedInterval)):
        if isinstance(p, PredictedInterval):
            predicted.append(p)
            continue
        guessed = True
        if isinstance(p, SpotResult):
            predicted += _of_result(p, known)
        else:
            found = read_predicted(
                p, videos=known, fps=fps, reading=reading, leave_reversed=unplaced == "drop"
            )
            predicted += found.rows
            tables.append(found.table)
            lengths[str(p)] = found.frames
            reversed_rows += len(found.reversed)
    if listed is None:
        keys = {v.key for v in known}
        strange = list(dict.fromkeys(p.key for p in predicted if p.key not in keys))
        if guessed and strange:
            _warn_of_guesses(strange)
        # A data set lists its videos: what it does not know is a mistake, and is told as one.
        if not records or len(records) != len(annotated):
            known += [Video(*key) for key in strange]
    every = [replace(v, fps=v.fps or fps) for v in known]
    placed, placement = _placed(predicted, every, unplaced, reversed_rows)
    placement = replace(placement, other_lengths=_other_lengths(every, lengths))
    if placement.left_out or placement.other_lengths:
        _log.warning("%s", placement.describe())
    read = {"predictions": tuple(tables), "truth": tuple(read_truths.values())}
    return Rows(tuple(placed), tuple(truths), tuple(every), placement, read)


def _other_lengths(
    videos: Sequence[Video], lengths: Mapping[str, Mapping[VideoKey, int]]
) -> tuple[str, ...]:
    """What is to be said of files that give a video another number of frames than it has.

    Args:
        lengths: by file, numbers of frames of its videos.
    """
    return tuple(
        f"{v.name} has {own[v.key]} frames in {file}, not {v.frames}"
        for v in videos
        for file, own in lengths.items()
        if v.frames is not None and own.get(v.key, v.frames) != v.frames
    )


def _placed(
    predictions: Sequence[PredictedInterval],
    videos: Sequence[Video],
    unplaced: Unplaced,
    reversed_rows: int,
) -> tuple[list[PredictedInterval], Placement]:
    """The predictions that are scored, and what is to be said of the others.

    Args:
        reversed_rows: how many were left out already.
    """
    frames = {v.key: v.frames for v in videos}
    left_out = Counter({"reversed": reversed_rows} if reversed_rows else {})
    kept: Counter[str] = Counter()
    seen: set[tuple[VideoKey, str, int, int]] = set()
    found = []
    for p in predictions:
        same = (p.key, p.kind, p.onset, p.offset)
        last = frames.get(p.key)
        reason, drops = "", unplaced == "drop"
        if p.key not in frames:
            reason = "unknown video"
        elif last is not None and (p.offset < 0 or p.onset >= last):
            reason = "outside the video"
        elif same in seen:
            reason = "duplicate"
        elif last is not None and (p.onset < 0 or p.offset >= last):
            reason, drops = "partly outside the video", False
        seen.add(same)
        if reason and drops:
            left_out[reason] += 1
            continue
        if reason and reason != "unknown video":  # which is refused where rows are prepared
            kept[reason] += 1
        found.append(p)
    return found, Placement(dict(kept), dict(left_out))


def _each(given: Any, kinds: tuple[type, ...]) -> Iterator[Any]:
    """One or several of paths and of these kinds."""
    alone = isinstance(given, (str, PathLike, *kinds))
    if not (alone or isinstance(given, Iterable)):
        raise UsageError(_no(given, kinds))
    for one in (given,) if alone else given:
        if not isinstance(one, (str, PathLike, *kinds)):
            raise UsageError(_no(one, kinds))
        yield one


def _no(found: object, kinds: tuple[type, ...]) -> str:
    words = ", ".join(kind.__name__ for kind in kinds)
    return f"this must be the path of a file, or of {words}; found {found!r}"


def _of_result(result: SpotResult, known: Sequence[Video]) -> list[PredictedInterval]:
    name = result.video.name
    same = ending_alike(name, dict.fromkeys(v.name for v in known), any_suffix=True)
    if len(same) > 1:
        raise UsageError(
            f"{name!r} is the name of {len(same)} videos, {' and '.join(map(repr, same))}, so "
            "it is not "
            "clear to which the result belongs: give rows instead, which name their video "
            "(aumer.evaluation.rows.PredictedInterval)"
        )
    video = Subjects(known).video(same[0] if same else name)
    return [PredictedInterval.of(*video.key, e) for e in result.expressions]


def _warn_of_guesses(strange: Sequence[VideoKey]) -> None:
    subject, video = min(strange)
    _log.warning(
        "%d of the videos with predictions have no truth; their subjects are guessed from their "
        "names (%r is of %r) where the file does not say. Give `videos` to name them all",
        len(strange),
        video,
        subject,
    )
