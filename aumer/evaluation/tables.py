"""Files of predictions and truths, as `aumer.tables.intervals` reads them, and lists of videos.

Intervals are closed, unless an `IntervalReading` declares offsets as exclusive. A list of videos is
a table with a column for the video and optional ones for subject, fps and number of frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aumer.errors import UsageError
from aumer.evaluation.rows import PredictedInterval, Truth, Video, VideoKey
from aumer.files import StrPath, atomic_write
from aumer.tables import intervals
from aumer.tables.cells import csv_lines
from aumer.tables.intervals import IntervalRow, IntervalTable
from aumer.tables.reading import IntervalReading

#: Columns of written tables, in order.
COLUMNS = ("subject", "video", "kind", "onset", "offset", "apex", "score", "label")


@dataclass(frozen=True)
class Labels:
    """Content of a file of truths.

    Attributes:
        videos: all videos in the file, including those without expressions.
        table: as it was read.
        frames: how many each video has by the file, where it says so.
    """

    truths: tuple[Truth, ...]
    videos: tuple[Video, ...]
    table: IntervalTable
    frames: Mapping[VideoKey, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PredictedFile:
    """Content of a file of predictions.

    Attributes:
        reversed: lines with offset before onset, if these are left out.
        table: as it was read.
        frames: how many each video has by the file, where it says so.
    """

    rows: tuple[PredictedInterval, ...]
    reversed: tuple[int, ...]
    table: IntervalTable
    frames: Mapping[VideoKey, int] = field(default_factory=dict)


def read_predicted(
    path: StrPath,
    *,
    videos: Iterable[Video] | None = None,
    fps: float | None = None,
    reading: IntervalReading | None = None,
    leave_reversed: bool = False,
) -> PredictedFile:
    """The predictions of a file of any format, and how it was read; see `read_predictions`.

    Args:
        leave_reversed: leave out and count rows with offset before onset.
    """
    table = _read(path, reading, offset_needed=True, reversed_rows=leave_reversed)
    subjects = Subjects(videos)
    found = []
    wrong = []
    frames: dict[VideoKey, int] = {}
    for row in table:
        if row.frames is not None:
            frames.setdefault(_video(table, row, subjects).key, row.frames)
        if (kind := row.expression) is None:
            continue
        video = _video(table, row, subjects)
        onset, apex, offset = table.in_frames(row, fps=video.fps or fps)
        assert offset is not None, "it was asked for"
        if offset < onset:
            if not leave_reversed:
                raise _reversed(table, row)
            wrong.append(row.line)
            continue
        score = 1.0 if row.score is None else row.score
        found.append(
            PredictedInterval(*video.key, kind, onset, offset, apex, score, row.label, row.line)
        )
    return PredictedFile(tuple(found), tuple(wrong), table, frames)


def read_predictions(
    path: StrPath,
    *,
    first_frame: int | None = None,
    videos: Iterable[Video] | None = None,
    fps: float | None = None,
    reading: IntervalReading | None = None,
) -> list[PredictedInterval]:
    """The predictions of a table or JSON file, in order.

    Args:
        first_frame: number of the first frame in the file; 1 is subtracted if it is 1. Takes
            precedence over `reading`.
        videos: if the file has no column subject, subjects are looked up here; without `videos` the
            subject is the part of the video's name before the first "/" or "_". A name that is the
            end of exactly one of these videos' names means this video.
        fps: frame rate for times in seconds, if neither the file nor `videos` give one.
        reading: further facts about the file; see `aumer.tables.reading.IntervalReading`.

    Raises:
        UsageError: as `aumer.tables.intervals.read`; or seconds without a frame rate.
    """
    said = counted_from(reading, first_frame)
    return list(read_predicted(path, videos=videos, fps=fps, reading=said).rows)


def read_labels(
    path: StrPath,
    *,
    first_frame: int | None = None,
    videos: Iterable[Video] | None = None,
    fps: float | None = None,
    log_notes: bool = True,
    reading: IntervalReading | None = None,
) -> Labels:
    """The truths of a table or JSON file, in order, and its videos; see `read_predictions`.

    An empty offset or apex is missing, and so is an offset of 0 in AUW-GCN's layout. A row of kind
    ``none`` names a video without an expression.

    Args:
        log_notes: log what is ignored.
    """
    table = _read(
        path, counted_from(reading, first_frame), offset_needed=False, log_notes=log_notes
    )
    subjects = Subjects(videos)
    truths = []
    named: dict[VideoKey, Video] = {}
    frames: dict[VideoKey, int] = {}
    for row in table:
        video = _video(table, row, subjects)
        if row.frames is not None:
            frames.setdefault(video.key, row.frames)
        if row.kind != "ignore":
            known = replace(video, fps=row.fps or video.fps, frames=row.frames or video.frames)
            named.setdefault(video.key, known)
        if (kind := row.expression) is not None:
            onset, apex, offset = table.in_frames(row, fps=video.fps or fps)
            if offset is not None and offset < onset:
                raise _reversed(table, row)
            truths.append(Truth(*video.key, kind, onset, offset, apex, row.label, row.line))
    return Labels(tuple(truths), tuple(named.values()), table, frames)


def counted_from(reading: IntervalReading | None, first_frame: int | None) -> IntervalReading:
    """The `reading`, with `first_frame` set if given separately."""
    reading = reading or IntervalReading()
    return reading if first_frame is None else replace(reading, first_frame=first_frame)


def _reversed(table: IntervalTable, row: IntervalRow) -> UsageError:
    return table.error(row, "offset", "the interval ends before it begins")


def read_truths(
    path: StrPath,
    *,
    first_frame: int | None = None,
    videos: Iterable[Video] | None = None,
    fps: float | None = None,
    reading: IntervalReading | None = None,
) -> list[Truth]:
    """The truths of `read_labels`."""
    found = read_labels(path, first_frame=first_frame, videos=videos, fps=fps, reading=reading)
    return list(found.truths)


def read_videos(path: StrPath, *, subjects: Iterable[Truth] = ()) -> list[Video]:
    """The list of evaluated videos: a table with a column for the video and optional ones for
    subject, fps and n_frames.

    Args:
        subjects: truths that give subjects if the list has no such column.

    Raises:
        UsageError: as for `read_predictions`, or a duplicate video.
    """
    owners = {t.video: t.subject for t in subjects}
    found: dict[VideoKey, Video] = {}
    table = intervals.read(path, only=("video", "subject", "fps", "frames"))
    table.log_notes()
    for row in table:
        owner = row.subject or owners.get(row.video) or _prefix(row.video)
        video = Video(owner, row.video, row.fps, row.frames)
        if video.key in found:
            raise UsageError(f"{table.at(row)}: video {row.video!r} is listed twice")
        found[video.key] = video
    return list(found.values())


def csv_text(rows: Iterable[PredictedInterval | Truth]) -> str:
    """Rows as CSV; missing values are empty."""
    lines: list[tuple[Any, ...]] = [tuple(COLUMNS)]
    for r in rows:
        score = repr(r.score) if isinstance(r, PredictedInterval) else ""
        lines.append((r.subject, r.video, r.kind, r.onset, r.offset, r.apex, score, r.label))
    return csv_lines(lines)


def write_csv(
    path: StrPath, rows: Iterable[PredictedInterval | Truth], *, overwrite: bool = False
) -> None:
    """Write rows as CSV, which can be read back unchanged.

    Raises:
        UsageError: see `aumer.files.atomic_write`.
    """
    atomic_write(path, csv_text(rows), overwrite=overwrite)


def as_dicts(rows: Iterable[PredictedInterval | Truth]) -> list[dict[str, Any]]:
    """Rows for the member "rows" of JSON files; other members are ignored."""
    return [{name: vars(r).get(name) for name in COLUMNS} for r in rows]


# -- rows -----------------------------------------------------------------------------------------


def _read(
    path: StrPath,
    reading: IntervalReading | None,
    *,
    offset_needed: bool,
    log_notes: bool = True,
    reversed_rows: bool = False,
) -> IntervalTable:
    table = intervals.read(
        path,
        optional=() if offset_needed else ("offset",),
        negative=True,
        unnamed_kind="micro",
        reading=reading or IntervalReading(),
        reversed_rows=reversed_rows,
    )
    if log_notes:
        table.log_notes()
    return table


class Subjects:
    """Looks up videos and their subjects by name.

    Args:
        videos: `None` without a list.
    """

    def __init__(self, videos: Iterable[Video] | None) -> None:
        self._of: dict[str, list[Video]] = {}
        for video in videos or ():
            self._of.setdefault(video.name, []).append(video)
        self._names: dict[str, str] = {}

    def video(self, name: str, subject: str = "") -> Video:
        """The video with a name, and optionally a subject; an unlisted one has as subject the part
        of its name before the first "/" or "_".

        Raises:
            UsageError: no subject is given, and several subjects have a video of that name.
        """
        if name not in self._names:
            self._names[name] = intervals.named_like(name, self._of) or name
        name = self._names[name]
        # Not found: `rows.prepare` raises the error and names the nearest.
        found = [v for v in self._of.get(name, []) if subject in ("", v.subject)]
        if len(found) > 1:
            raise UsageError(
                f"subjects {', '.join(sorted(v.subject for v in found))} each have a video "
                f"{name!r}; the file needs a column subject"
            )
        return found[0] if found else Video(subject or _prefix(name), name)

    def whose(self, name: str) -> str:
        """The subject of the video with this name; see `video`."""
        return self.video(name).subject


def _video(table: IntervalTable, row: IntervalRow, subjects: Subjects) -> Video:
    try:
        return subjects.video(row.video, row.subject)
    except UsageError as error:
        raise UsageError(f"{table.at(row)}: {error}") from None


def _prefix(video: str) -> str:
    return re.split(r"[/_]", video, maxsplit=1)[0] or video
