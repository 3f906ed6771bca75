"""Videos of your own: a folder of videos and one table."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aumer.data.dataset import JoinedDataSet, as_counted, find_table, join
from aumer.data.folders import checked_root, scan
from aumer.data.frames import MISSING_OFFSET
from aumer.data.report import DataReport, Fault, Key, Log, TableReport
from aumer.errors import UsageError
from aumer.files import StrPath, exists
from aumer.names import inside, is_file
from aumer.tables import intervals
from aumer.tables.cells import nearest_frame, text_of
from aumer.tables.intervals import IntervalRow, IntervalTable
from aumer.types import Annotation, Kind

if TYPE_CHECKING:
    from aumer.data.folders import Media
    from aumer.types import TimeArray

_log = logging.getLogger("aumer")

NAME = "own"
_TIMES = ("onset", "apex", "offset")
#: Optional columns of labeled clips, and their default kind.
_ENDS: tuple[str, ...] = ("onset", "offset")
_CLIP: Kind = "micro"
#: Function that returns the data set's name of a row's video.
Named = Callable[[IntervalRow], str]

#: Function that returns the frame nearest to a time (s) of a video, from its name and given frame
#: rate; `None` if there is no such video.
Nearest = Callable[[str, float, float | None], int | None]


class Own(JoinedDataSet):
    """Videos of your own. See `aumer.data.dataset.DataSet`.

    The table (CSV or workbook) has a header and one row per expression. Columns, with alternative
    names in `aumer.tables.intervals.COLUMNS`:

    - ``file``: the video's path below the root, or an unambiguous end of it: a file, or a folder of
      images;
    - ``kind``: ``micro`` or ``macro``; ``none`` for a video without expressions; ``ignore`` rows
      are refused;
    - ``onset``, ``apex``, ``offset``: frames, 0-based, ends included; or ``onset_s``, ``apex_s``,
      ``offset_s``: seconds from the first frame, converted to the nearest frame by the video's own
      times. The apex is optional, and an empty offset is missing;
    - optionally ``subject`` (default: each video is a subject), ``fps`` (required for a folder of
      images), ``n_frames``, ``au`` and ``label`` (or ``emotion``), the class of the expression.

    A table of labeled clips, for training recognizers, only needs ``file`` and ``label``; see
    `from_root`.

    ``aumer spot`` and ``aumer simulate`` write such tables. Without a table, annotation files
    beside the videos are read, from ``aumer view`` or other programs (`aumer.results.exchange`),
    one per video; then the subject is the video's folder below the root. A record's name is the
    video's path below the root.
    """

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "videos (files, or folders of images) and one table with the columns file, kind (micro, "
        "macro, none) and onset, apex, offset (frames, 0-based) or onset_s, apex_s, offset_s "
        "(seconds); optional: subject, fps, n_frames, au, label"
    )
    expected: ClassVar[Mapping[str, int]] = {}

    @classmethod
    def from_root(cls, root: StrPath, *, table: StrPath | None = None, clips: bool = False) -> Own:
        """Join table and videos. Videos that are not in the table are left out.

        Args:
            table: the table; by default searched below the root. Or an annotation file
                (.annotations, .eaf, ...), or a pattern for several below the root, such as
                ``*.anna.annotations``.
            clips: also accept a table of labeled clips: without a column ``kind`` each row is a
                micro-expression; without an onset it begins with the video's first frame, without
                offset and apex it ends with the last. If `table` is given only the column ``file``
                is required.

        Raises:
            UsageError: `root` is not a folder, the table cannot be read, there are several tables,
                or two annotation files belong to one video.
            VideoError: a video whose frame times are needed cannot be read.
        """
        root = checked_root(root)
        media = {one.path.relative_to(root).as_posix(): one for one in scan(root)}
        if coded := _annotation_files(root, table):
            read, faults = _of_files(root, coded, media)
        else:
            path, faults = find_table(root, _labeled if clips else _listed, table)
            read = _read(path, clips=clips, meant=table is not None)
        read.log_notes()
        names: dict[str, str] = {}

        def named(row: IntervalRow) -> str:
            name = _name(row)
            if name not in names:
                names[name] = intervals.named_like(name, media) or name
            return names[name]

        clocks = _Clocks(root)
        report = _report(read, clocks.nearest, named, clocks.last if clips else None)
        rows = _first_rows(read, named)
        found: dict[Key, Media] = {}
        for relative, one in media.items():
            if relative in rows:
                found[_key(rows[relative], named)] = one
            elif one.path != root:
                message = f"{one.path}: no row of {read.path.name} names it"
                faults.append(Fault("unannotated-video", message, video=relative))
        keys = {_key(row, named): row for row in rows.values()}
        rates = {key: _rate(read, row, found.get(key), clocks) for key, row in keys.items()}
        joined = join(NAME, report.annotations, found, fps=rates, locate=as_counted)
        return cls(root, joined.videos, DataReport((report,), (*faults, *joined.faults)))


def read_table(path: StrPath, nearest: Nearest | None = None) -> TableReport:
    """Read the table. See `Own` for its columns.

    Args:
        nearest: returns the frame at a time, for a table in seconds.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    table = _read(path)
    table.log_notes()
    return _report(table, nearest, _name)


def _read(path: StrPath, *, clips: bool = False, meant: bool = False) -> IntervalTable:
    """The lines of a table.

    Args:
        meant: whether the user named this table, so that it need not be recognized.
    """
    if not clips:
        return intervals.read(path, optional=("offset",), rows_needed=True)
    optional = (*_ENDS, "kind") if meant else _ENDS
    return intervals.read(path, optional=optional, unnamed_kind=_CLIP, rows_needed=True)


def _listed(path: Path) -> None:
    """Raise an error if the file does not have the columns of such a table. Rows are not checked,
    so that an error in one does not lead to choosing another table.
    """
    intervals.check_columns(path)


def _annotation_files(root: Path, table: StrPath | None) -> list[Path]:
    """The annotation files that `table` names; without `table` all, unless there is a table."""
    from aumer.results.annotations import SUFFIX
    from aumer.results.exchange import annotation_ending

    if table is not None:
        path = Path(table)
        if _is_coded(path) and exists(path):
            return [path]
        if "*" in path.name and _is_coded(path):
            if found := sorted(root.glob(f"**/{path.name}")):
                return found
            raise UsageError(f"{root}: no file is called {path.name}, here or below")
        return []
    found = [
        path
        for path in sorted(root.rglob("*"))
        if _is_coded(path) and not path.name.startswith(".")
    ]
    # Files exported to other programs are skipped if aumer's own exist.
    found = [path for path in found if path.suffix.lower() == SUFFIX] or found
    places = [p for s in ("csv", "tsv", "xlsx") for b in ("", "*/") for p in root.glob(f"{b}*.{s}")]
    tables = [path for path in places if not _is_coded(path)]
    if tables and found:
        _log.warning(
            "%s: %d files of annotations are not used, since there is %s; to use them, name them "
            "with `table`, such as %s",
            root,
            len(found),
            tables[0].name,
            f"*{annotation_ending(found[0])}",
        )
    return [] if tables else found


def _is_coded(path: Path) -> bool:
    """Whether a file contains annotations of one video; tables are read as tables."""
    from aumer.results.exchange import annotation_ending

    return annotation_ending(path) not in (None, ".csv")


def _of_files(
    root: Path, paths: Sequence[Path], media: Mapping[str, Media]
) -> tuple[IntervalTable, list[Fault]]:
    """Annotation files as one table, with a row for each expression, in order.

    Frames are used if a file belongs to exactly this video, else seconds.
    """
    from aumer.results.annotations import read_any
    from aumer.video import content_digest

    rows: list[IntervalRow] = []
    faults, whose = [], dict[str, Path]()
    for path in paths:
        file = read_any(path)
        name = _video_of(path, file.video, root, media)
        if name in whose:
            raise UsageError(
                f"{whose[name]} and {path} are both of {name}: say which is meant with `table`, by "
                "a pattern such as *.anna.annotations (in a training file data.table)"
            )
        whose[name] = path
        one = media.get(name)
        fps = None
        if one is not None and one.numbers is not None and file.frames and file.duration_s:
            fps = (file.frames - 1) / file.duration_s
        same = one is not None and file.content == content_digest(one.path, fps=fps)
        if file.content and one is not None and not same:
            message = (
                f"{path} was made for another edition of {name}: the video was changed or encoded "
                "anew since; its times are applied, each to the nearest frame"
            )
            faults.append(Fault("changed-video", message, video=name))
            _log.warning("%s", message)
        folder = Path(name).parent.as_posix()
        about = IntervalRow(0, video=name, subject="" if folder == "." else folder, fps=fps)
        for e in file.expressions:
            row = replace(about, line=len(rows) + 1, kind=e.kind, label=e.label or "")
            row = replace(row, aus=e.aus or "", comment=e.comment)
            row = replace(row, onset_s=e.onset_s, apex_s=e.apex_s, offset_s=e.offset_s)
            rows.append(replace(row, onset=e.onset, apex=e.apex, offset=e.offset) if same else row)
        if not file.expressions:
            rows.append(replace(about, line=len(rows) + 1, kind="none"))
    columns = {role: role for role in ("video", "subject", "kind", "fps", *_TIMES)}
    return IntervalTable(root, "", tuple(rows), columns, line_name="expression {}"), faults


def _video_of(path: Path, video: str, root: Path, media: Mapping[str, Media]) -> str:
    """The video below the root for an annotation file."""
    from aumer.results.exchange import bare

    beside = path.parent.relative_to(root) if path.is_relative_to(root) else Path()
    name = (beside / (video or bare(path.name))).as_posix()
    return intervals.named_like(name, media) or intervals.named_like(Path(name).name, media) or name


def _labeled(path: Path) -> None:
    """The same for a table of labeled clips."""
    intervals.check_columns(path, optional=_ENDS, unnamed_kind=_CLIP)


def _report(
    table: IntervalTable,
    nearest: Nearest | None,
    named: Named,
    last: Callable[[str], int | None] | None = None,
) -> TableReport:
    """The report of the table.

    Args:
        last: returns the last frame of a video file, if rows may cover whole videos.
    """
    log = Log()
    found = []
    lengths = {}
    for row in table:
        if row.frames is not None:
            lengths[_key(row, named)] = row.frames
        if row.kind == "ignore":
            log.refuse(row.line, table.columns["kind"], row.kind, "neither micro, macro nor none")
        if (kind := row.expression) is None:
            continue
        onset, apex, offset = (_frame(table, row, name, nearest, named) for name in _TIMES)
        whole = last is not None and row.onset is None and row.onset_s is None
        if whole:
            onset = 0
        if last is not None and offset is None and apex is None:
            offset = last(named(row))
        if onset is None:
            column = table.columns["video"]
            log.refuse(row.line, column, row.video, "seconds need the video: it is missing")
            continue
        if offset is None and not whole:
            log.correct(MISSING_OFFSET, row.line, "offset", "", None)
        subject, video = _key(row, named)
        found.append(
            Annotation(
                subject=subject,
                video=video,
                kind=kind,
                onset=onset,
                apex=apex,
                offset=offset,
                aus=row.aus,
                emotion=row.label,
                row=row.line,
            )
        )
    return TableReport(
        NAME,
        table.path,
        table.sheet,
        len(table),
        tuple(found),
        tuple(log.corrections),
        tuple(log.refusals),
        lengths,
    )


def _first_rows(table: IntervalTable, named: Named) -> dict[str, IntervalRow]:
    """The first row of each video.

    Raises:
        UsageError: rows of one video have different subjects or frame rates.
    """
    found: dict[str, IntervalRow] = {}
    for row in table:
        first = found.setdefault(named(row), row)
        for role in ("subject", "fps"):
            one, other = (text_of(getattr(one, role)) for one in (first, row))
            if one != other:
                before = table.line(first.line)
                raise table.error(row, role, f"found {other!r}, but {before} has {one!r}")
    return found


def _name(row: IntervalRow) -> str:
    return Path(row.video.replace("\\", "/")).as_posix()


def _key(row: IntervalRow, named: Named) -> Key:
    return row.subject or named(row), named(row)


def _frame(
    table: IntervalTable, row: IntervalRow, name: str, nearest: Nearest | None, named: Named
) -> int | None:
    """The frame in a cell, given as frame or in seconds; `None` if empty."""
    frame: int | None = getattr(row, name)
    seconds: float | None = getattr(row, f"{name}_s")
    if frame is not None or seconds is None:
        return frame
    if nearest is None and row.fps is not None:
        return nearest_frame(seconds * row.fps)
    if nearest is None:
        raise table.error(
            row, f"{name}_s", "seconds need the video; load the data set instead of its table"
        )
    return nearest(named(row), seconds, row.fps)


def _rate(table: IntervalTable, row: IntervalRow, media: Media | None, clocks: _Clocks) -> float:
    if row.fps is not None:
        return row.fps
    if media is None:
        return math.nan  # the missing video is reported separately
    if media.numbers is not None:
        raise table.error(
            row, "fps", f"{media.path} is a folder of images without a rate of its own"
        )
    return clocks.rate(media.path)


class _Clocks:
    """Cached frame times of videos."""

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

        if fps is not None:  # replaces the times, as in open_video
            return nearest_frame(seconds * fps)
        path = inside(self._root, name, links=True)
        if not exists(path):
            return None
        return int(np.argmin(np.abs(self._times(name) - seconds)))

    def last(self, name: str) -> int | None:
        """The last frame of a video file; `None` if it is not a file or missing."""
        path = inside(self._root, name, links=True)
        return len(self._times(name)) - 1 if is_file(path) else None

    def _times(self, name: str) -> TimeArray:
        if name not in self._known:
            self._known[name] = frame_times(inside(self._root, name, links=True))
        return self._known[name]


def frame_times(path: StrPath, *, fps: float | None = None) -> TimeArray:
    """(T,) float64 seconds: the presentation time of every frame of a video file, or of a folder
    of images with its `fps`.

    Raises:
        UsageError, VideoError: as `aumer.video.open_video`.
    """
    import numpy as np

    from aumer.video import open_video

    times: list[float] = []

    def skip(index: int, time_s: float) -> bool:
        times.append(time_s)
        return index == 0  # a pass without any frame is an error

    with open_video(path, fps=fps, keep=skip) as video:
        for _ in video:
            pass
    return np.array(times)
