"""`aumer.evaluate`: scores spotted against annotated expressions, from files or objects."""

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

#: Name of aumer's evaluator.
OURS = "aumer"

#: A file that `aumer.evaluation.tables` reads, a result, or one of its rows.
Predicted = StrPath | SpotResult | PredictedInterval
#: A file that `aumer.evaluation.tables` reads, an annotated video of a data set, or a row.
Annotated = StrPath | VideoRecord | Truth

_log = logging.getLogger("aumer")


#: How to treat predictions that do not fit the videos; see `Placement`.
Unplaced = Literal["refuse", "drop"]


@dataclass(frozen=True)
class Placement:
    """Predictions that do not fit the videos, counted by reason.

    The reasons are "unknown video" (not among the videos that were evaluated), "reversed" (ends
    before it begins), "outside the video" (no frame in common with it, where its length is known),
    "partly outside the video" and "duplicate" (kind, onset and offset of an earlier one).

    Attributes:
        kept, left_out: how many of each reason are scored, and are not. One that is left out is not
            counted as a false positive, so other evaluators may count more of these.
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
    """Input of an evaluator. Without a list of videos, `videos` are all that occur.

    Attributes:
        placement: predictions that do not fit the videos.
        read: how the files of predictions and of truths were read.
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

    ``print(report.to_markdown())`` shows both. With aumer's evaluator ``report.bootstrap("micro")``
    is F1 with its bootstrap interval over subjects, and ``report.per_video()`` a table of the
    videos.

    Args:
        predictions: results of `aumer.spot` or files of them, a CSV or JSON that
            `aumer.evaluation.tables` reads, or rows; one or several. A result belongs to the video
            that the truth calls by its file's name, with or without folders and suffix.
        truth: a CSV or JSON, rows, or videos of a data set (``aumer.data.load(...).records()``),
            including those without expressions; one or several.
        evaluator: "aumer", a published one by name ("megc2020", "softnet", "strs-official", ...;
            see `aumer.evaluation.legacy`), a registered one, or an evaluator object.
        videos: all evaluated videos, or a CSV of them (video and, optionally, subject and fps).
            Without it, videos with neither truth nor prediction are unknown, unless the truth is a
            data set.
        fps: frame rate of videos without one, for errors in milliseconds.
        predictions_first_frame, truth_first_frame: number of a video's first frame in the files, 0
            or 1.
        predictions_reading, truth_reading: further facts that the files do not state, and their
            format; by default the format is recognized from the file.
        unplaced: "refuse": raise an error for predictions of unknown videos and for reversed ones,
            and score those outside their video and duplicates; "drop": leave all of these out.
            Truths are never dropped.
        settings: the rules of aumer's evaluator; other evaluators have fixed rules.

    Raises:
        UsageError: unknown evaluator, unreadable file, or rows that do not fit together.

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
    """Names of all evaluators: aumer's, the published and the registered ones."""
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
    """The rows of predictions, truths and videos; arguments and errors as for `evaluate`."""
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
        """All truths, and the videos in the same files, including those without expressions."""
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
    if isinstance(videos, (str, PathLike)):  # either file may name the subject of a video
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
        # A data set lists all its videos, so an unknown one is an error.
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
    """The predictions to score, and the counts of the others.

    Args:
        reversed_rows: how many reversed rows were left out before.
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
        if reason and reason != "unknown video":  # the preparation of rows refuses these
            kept[reason] += 1
        found.append(p)
    return found, Placement(dict(kept), dict(left_out))


def _each(given: Any, kinds: tuple[type, ...]) -> Iterator[Any]:
    """A list from one or several paths or objects of these classes."""
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
