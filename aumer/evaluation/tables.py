"""Files of predictions and truths, as `aumer.tables.intervals` reads them, and lists of videos.

Intervals are closed, unless an `IntervalReading` says that a file's offsets are excluded. A list of
videos is a table with a column for the video and, if wanted, for its subject, fps and number of
frames.
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

#: Our columns, in the order in which they are written.
COLUMNS = ("subject", "video", "kind", "onset", "offset", "apex", "score", "label")


@dataclass(frozen=True)
class Labels:
    """What was annotated.

    Attributes:
        videos: all that the file names, those without an expression too.
        table: as it was read.
        frames: how many each video has by the file, where it says so.
    """

    truths: tuple[Truth, ...]
    videos: tuple[Video, ...]
    table: IntervalTable
    frames: Mapping[VideoKey, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PredictedFile:
    """What was spotted, of one file.

    Attributes:
        reversed: lines that end before they begin, where such are left out.
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
    """The predictions of a file that any reader may read, and how it was read; as
    `read_predictions`.

    Args:
        leave_reversed: leave out, and count, rows that end before they begin.
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
    """The predictions of a table or JSON file, in its order.

    Args:
        first_frame: what the file calls the first frame; 1 is subtracted from a file that counts
            from 1. It goes before that of `reading`.
        videos: where the file has no column subject, a video's subject is looked up here; without
            them it is the part of the video's name before the first "/" or "_". A video whose name
            ends as that of one of them alone is that one.
        fps: frames per second, for seconds of a video that neither the file nor `videos` give one.
        reading: what is known of the file beside; see `aumer.tables.reading.IntervalReading`.

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
    """The truths of a table or JSON file, in its order, and its videos; as `read_predictions`.

    An empty offset or apex is missing, and so is an offset of 0 in AUW-GCN's layout. A row of kind
    ``none`` names a video without an expression.

    Args:
        log_notes: log what is left aside.
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
    """What is known of a file, with its first frame where that is said apart."""
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
    """The list of evaluated videos: a table with a column for the video and, if wanted, for
    subject, fps and n_frames.

    Args:
        subjects: truths that say whose a video is where the list has no column subject.

    Raises:
        UsageError: as for `read_predictions`, or a video that is listed twice.
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
    """Rows in our layout; what is missing is empty."""
    lines: list[tuple[Any, ...]] = [tuple(COLUMNS)]
    for r in rows:
        score = repr(r.score) if isinstance(r, PredictedInterval) else ""
        lines.append((r.subject, r.video, r.kind, r.onset, r.offset, r.apex, score, r.label))
    return csv_lines(lines)


def write_csv(
    path: StrPath, rows: Iterable[PredictedInterval | Truth], *, overwrite: bool = False
) -> None:
    """Write rows in our layout; they read back the same.

    Raises:
        UsageError: see `aumer.files.atomic_write`.
    """
    atomic_write(path, csv_text(rows), overwrite=overwrite)


def as_dicts(rows: Iterable[PredictedInterval | Truth]) -> list[dict[str, Any]]:
    """What JSON files hold under "rows"; other names beside it are read over."""
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
    """Which of the listed videos a name means, and whose it is.

    Args:
        videos: `None` where nobody lists them.
    """

    def __init__(self, videos: Iterable[Video] | None) -> None:
        self._of: dict[str, list[Video]] = {}
        for video in videos or ():
            self._of.setdefault(video.name, []).append(video)
        self._names: dict[str, str] = {}

    def video(self, name: str, subject: str = "") -> Video:
        """The video of a name, and of a subject if one is given; one that is not listed is of the
        part of its name before the first "/" or "_".

        Raises:
            UsageError: no subject is given, and several have a video of that name.
        """
        if name not in self._names:
            self._names[name] = intervals.named_like(name, self._of) or name
        name = self._names[name]
        # Not found: `rows.prepare` says so, and names the nearest.
        found = [v for v in self._of.get(name, []) if subject in ("", v.subject)]
        if len(found) > 1:
            raise UsageError(
                f"subjects {', '.join(sorted(v.subject for v in found))} each have a video "
                f"{name!r}; the file needs a column subject"
            )
        return found[0] if found else Video(subject or _prefix(name), name)

    def whose(self, name: str) -> str:
        """The subject of `video`."""
        return self.video(name).subject


def _video(table: IntervalTable, row: IntervalRow, subjects: Subjects) -> Video:
    try:
        return subjects.video(row.video, row.subject)
    except UsageError as error:
        raise UsageError(f"{table.at(row)}: {error}") from None


def _prefix(video: str) -> str:
    return re.split(r"[/_]", video, maxsplit=1)[0] or video
