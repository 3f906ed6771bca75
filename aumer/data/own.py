"""Videos of your own: a folder of videos and one CSV."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aumer.data.dataset import JoinedDataSet, as_counted, find_tables, join
from aumer.data.folders import checked_root, scan
from aumer.data.frames import MISSING_OFFSET
from aumer.data.report import Fault, Key, Log, Report, TableReport
from aumer.data.tables import Row, Table, read
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.types import KINDS, Annotation, Kind

if TYPE_CHECKING:
    from aumer.data.folders import Media
    from aumer.types import TimeArray

NAME = "own"
_TIMES = ("onset", "apex", "offset")
_OPTIONAL = ("subject", "fps", "n_frames", "apex", "apex_s", "au", "emotion")

#: The frame nearest to a time (s) of a video, by its name and the frame rate given for it, if any;
#: `None` where there is no such video.
Nearest = Callable[[str, float, float | None], int | None]


class Own(JoinedDataSet):
    """Videos of your own. See `aumer.data.dataset.DataSet`.

    The CSV has a header, and a row for each expression:

    - ``file``: the video's path below the root: a file, or a folder of images;
    - ``kind``: ``micro`` or ``macro``; ``none`` for a video that is known to have no expression;
    - ``onset``, ``apex``, ``offset``: frames, 0-based, ends included; or ``onset_s``, ``apex_s``,
      ``offset_s``: seconds from the first frame, of which the nearest frame is taken by the
      video's own times. The apex may be left out, and an empty offset is a missing one;
    - if wanted, ``subject`` (else each video is its own), ``fps`` (needed for a folder of images),
      ``n_frames``, ``au`` and ``emotion``.

    A record's name is the video's path below the root.
    """

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "videos (files, or folders of images) and one CSV with the columns file, kind (micro, "
        "macro, none) and onset, apex, offset (frames, 0-based) or onset_s, apex_s, offset_s "
        "(seconds); optional: subject, fps, n_frames, au, emotion"
    )
    expected: ClassVar[Mapping[str, int]] = {}

    @classmethod
    def from_root(cls, root: StrPath, *, table: StrPath | None = None) -> Own:
        """Join the CSV and the videos. A video that the CSV does not name is left out.

        Args:
            table: the CSV; looked for below the root if not given.

        Raises:
            UsageError: `root` is no folder, or the CSV cannot be read.
            VideoError: a video whose times are needed cannot be read.
        """
        root = checked_root(root)
        # Looking for a table must not open a video for each candidate.
        (chosen, *others), faults = find_tables(root, lambda path: _columns(path)[1], table)
        faults += [
            Fault(
                "several-tables",
                f"{other.path} would do as well; {chosen.path.name} is read, as the first by name. "
                "Name the one that is meant (table=), or move the others out of the folder",
            )
            for other in others
        ]
        clocks = _Clocks(root)
        report = read_table(chosen.path, clocks.nearest)
        rows = _first_rows(_columns(chosen.path)[0])
        found: dict[Key, Media] = {}
        for media in scan(root):
            relative = media.path.relative_to(root).as_posix()
            if relative in rows:
                found[_key(rows[relative])] = media
            elif media.path != root:
                message = f"{media.path}: no row of {chosen.path.name} names it"
                faults.append(Fault("unannotated-video", message, video=relative))
        rates = {_key(row): _rate(row, found.get(_key(row)), clocks) for row in rows.values()}
        videos, problems = join(NAME, report.annotations, found, fps=rates, locate=as_counted)
        return cls(root, videos, Report((report,), (*faults, *problems)))


def read_table(path: StrPath, nearest: Nearest | None = None) -> TableReport:
    """The CSV. See `Own` for its columns.

    Args:
        nearest: gives the frame at a time, for a table in seconds.

    Raises:
        UsageError: a column is missing or a cell holds something else.
    """
    table, report = _columns(path)
    log = Log()
    found = []
    for row in table:
        word = row.text("kind").casefold()
        if word == "none":
            continue
        if word not in KINDS:
            log.refuse(row.number, "kind", row.text("kind"), "neither micro, macro nor none")
            continue
        kind: Kind = "micro" if word == "micro" else "macro"
        onset, apex, offset = (_frame(row, name, nearest) for name in _TIMES)
        if onset is None and not row.optional("onset_s"):
            raise row.error("onset", "the cell is empty")
        if onset is None:
            log.refuse(
                row.number, "file", row.text("file"), "seconds need the video: it is missing"
            )
            continue
        if offset is None:
            log.correct(MISSING_OFFSET, row.number, "offset", "", None)
        elif offset < onset:
            raise row.error("offset", f"{offset} lies before the onset {onset}")
        subject, video = _key(row)
        found.append(
            Annotation(
                subject=subject,
                video=video,
                kind=kind,
                onset=onset,
                apex=apex,
                offset=offset,
                aus=row.optional("au"),
                emotion=row.optional("emotion"),
                row=row.number,
            )
        )
    return replace(
        report,
        annotations=tuple(found),
        corrections=tuple(log.corrections),
        refusals=tuple(log.refusals),
        lengths={_key(row): row.whole("n_frames") for row in table if row.optional("n_frames")},
    )


def _columns(path: StrPath) -> tuple[Table, TableReport]:
    try:
        table = read(path, ("file", "kind", "onset", "offset"), optional=_OPTIONAL)
    except UsageError as error:
        try:
            table = read(path, ("file", "kind", "onset_s", "offset_s"), optional=_OPTIONAL)
        except UsageError:
            raise error from None
    return table, TableReport(NAME, table.path, table.sheet, len(table), ())


def _first_rows(table: Table) -> dict[str, Row]:
    """The first row of each video.

    Raises:
        UsageError: a later one gives it another subject or another frame rate.
    """
    found: dict[str, Row] = {}
    for row in table:
        first = found.setdefault(_name(row), row)
        for column in ("subject", "fps"):
            one, other = first.optional(column), row.optional(column)
            if one != other:
                raise row.error(column, f"found {other!r}, but row {first.number} has {one!r}")
    return found


def _name(row: Row) -> str:
    return Path(row.text("file").replace("\\", "/")).as_posix()


def _key(row: Row) -> Key:
    return row.optional("subject") or _name(row), _name(row)


def _frame(row: Row, name: str, nearest: Nearest | None) -> int | None:
    """The frame in a cell, counted or by its second; `None` where it is empty."""
    if row.optional(name):
        frame = row.whole(name)
        if frame < 0:
            raise row.error(name, f"frames count from 0, found {frame}")
        return frame
    column = f"{name}_s"
    if not row.optional(column):
        return None
    seconds = row.number_in(column)
    if nearest is None:
        raise row.error(column, "seconds need the video; load the data set instead of its table")
    if seconds < 0:
        raise row.error(column, f"seconds count from the first frame, found {seconds:g}")
    return nearest(_name(row), seconds, _given_rate(row))


def _given_rate(row: Row) -> float | None:
    if not row.optional("fps"):
        return None
    fps = row.number_in("fps")
    if fps <= 0:
        raise row.error("fps", f"needs frames per second above 0, found {fps:g}")
    return fps


def _rate(row: Row, media: Media | None, clocks: _Clocks) -> float:
    if (given := _given_rate(row)) is not None:
        return given
    if media is None:
        return math.nan  # the video is missing, which is a fault of its own
    if media.numbers is not None:
        raise row.error("fps", f"{media.path} is a folder of images, and has no rate of its own")
    return clocks.rate(media.path)


class _Clocks:
    """Times of the frames of videos, each read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, TimeArray] = {}

    def rate(self, path: Path) -> float:
        from aumer.video import open_video

        with open_video(path) as video:
            if video.info.fps is None:
                raise UsageError(f"{path} does not say its frame rate; add a column fps")
            return video.info.fps

    def nearest(self, name: str, seconds: float, fps: float | None) -> int | None:
        import numpy as np

        if fps is not None:  # then it stands for the times, as in open_video
            return round(seconds * fps)
        if not (self._root / name).exists():
            return None
        if name not in self._known:
            self._known[name] = frame_times(self._root / name)
        return int(np.argmin(np.abs(self._known[name] - seconds)))


def frame_times(path: StrPath) -> TimeArray:
    """(T,) float64 seconds: the presentation time of every frame of a video file.

    Raises:
        UsageError, VideoError: as `aumer.video.open_video`.
    """
    import numpy as np

    from aumer.video import open_video

    times: list[float] = []

    def skip(index: int, time_s: float) -> bool:
        times.append(time_s)
        return index == 0  # a pass that gives no frame at all is an error

    with open_video(path, keep=skip) as video:
        for _ in video:
            pass
    return np.array(times)
