"""Files of predictions and truths, as `aumer.tables.intervals` reads them, and lists of videos.

Intervals are closed; a half-open file is read as it is and scored with open ends. A list of videos
is a table with a column for the video and, if wanted, for its subject and fps.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from aumer.errors import UsageError
from aumer.evaluation.rows import PredictedInterval, Truth, Video, VideoKey
from aumer.files import StrPath, atomic_write
from aumer.tables import intervals
from aumer.tables.cells import csv_line
from aumer.tables.intervals import IntervalRow, IntervalTable

#: Our columns, in the order in which they are written.
COLUMNS = ("subject", "video", "kind", "onset", "offset", "apex", "score", "label")


@dataclass(frozen=True)
class Labels:
    """What was annotated.

    Attributes:
        videos: all that the file names, those without an expression too.
    """

    truths: tuple[Truth, ...]
    videos: tuple[Video, ...]


def read_predictions(
    path: StrPath,
    *,
    first_frame: int = 0,
    videos: Iterable[Video] | None = None,
    fps: float | None = None,
) -> list[PredictedInterval]:
    """The predictions of a table or JSON file, in its order.

    Args:
        first_frame: what the file calls the first frame; 1 is subtracted from a file that counts
            from 1.
        videos: where the file has no column subject, a video's subject is looked up here; without
            them it is the part of the video's name before the first "/" or "_". A video whose name
            ends as that of one of them alone is that one.
        fps: frames per second, for seconds of a video that neither the file nor `videos` give one.

    Raises:
        UsageError: as `aumer.tables.intervals.read`; or seconds without a frame rate.
    """
    table = _read(path, first_frame, offset_needed=True)
    subjects = Subjects(videos)
    found = []
    for row in table:
        if (kind := row.expression) is None:
            continue
        video = _video(table, row, subjects)
        onset, apex, offset = table.in_frames(row, first=first_frame, fps=video.fps or fps)
        assert offset is not None, "it was asked for"
        score = 1.0 if row.score is None else row.score
        found.append(
            PredictedInterval(*video.key, kind, onset, offset, apex, score, row.label, row.line)
        )
    return found


def read_labels(
    path: StrPath,
    *,
    first_frame: int = 0,
    videos: Iterable[Video] | None = None,
    fps: float | None = None,
    log_notes: bool = True,
) -> Labels:
    """The truths of a table or JSON file, in its order, and its videos; as `read_predictions`.

    An empty offset or apex is missing, and so is an offset of 0 in AUW-GCN's layout. A row of kind
    ``none`` names a video without an expression.

    Args:
        log_notes: log what is left aside.
    """
    table = _read(path, first_frame, offset_needed=False, log_notes=log_notes)
    subjects = Subjects(videos)
    truths = []
    named: dict[VideoKey, Video] = {}
    for row in table:
        video = _video(table, row, subjects)
        if row.kind != "ignore":
            named.setdefault(video.key, replace(video, fps=row.fps or video.fps))
        if (kind := row.expression) is not None:
            onset, apex, offset = table.in_frames(row, first=first_frame, fps=video.fps or fps)
            truths.append(Truth(*video.key, kind, onset, offset, apex, row.label, row.line))
    return Labels(tuple(truths), tuple(named.values()))


def read_truths(
    path: StrPath,
    *,
    first_frame: int = 0,
    videos: Iterable[Video] | None = None,
    fps: float | None = None,
) -> list[Truth]:
    """The truths of `read_labels`."""
    return list(read_labels(path, first_frame=first_frame, videos=videos, fps=fps).truths)


def read_videos(path: StrPath, *, subjects: Iterable[Truth] = ()) -> list[Video]:
    """The list of evaluated videos: a table with a column for the video and, if wanted, for subject
    and fps.

    Args:
        subjects: truths that say whose a video is where the list has no column subject.

    Raises:
        UsageError: as for `read_predictions`, or a video that is listed twice.
    """
    owners = {t.video: t.subject for t in subjects}
    found: dict[VideoKey, Video] = {}
    table = intervals.read(path, only=("video", "subject", "fps"))
    table.log_notes()
    for row in table:
        owner = row.subject or owners.get(row.video) or _prefix(row.video)
        video = Video(owner, row.video, row.fps)
        if video.key in found:
            raise UsageError(f"{table.at(row)}: video {row.video!r} is listed twice")
        found[video.key] = video
    return list(found.values())


def csv_text(rows: Iterable[PredictedInterval | Truth]) -> str:
    """Rows in our layout; what is missing is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for r in rows:
        score = repr(r.score) if isinstance(r, PredictedInterval) else ""
        cells = (r.subject, r.video, r.kind, r.onset, r.offset, r.apex, score, r.label)
        writer.writerow(csv_line(cells))
    return text.getvalue()


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
    path: StrPath, first: int, *, offset_needed: bool, log_notes: bool = True
) -> IntervalTable:
    if first not in (0, 1):
        raise UsageError(f"frames are counted from 0 or from 1; found first_frame={first}")
    table = intervals.read(
        path,
        optional=() if offset_needed else ("offset",),
        negative=True,
        unnamed_kind="micro",
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
