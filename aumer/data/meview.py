"""MEVIEW: micro-expressions in the wild, cut from videos of poker games and interviews."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from aumer.data.coding import Coding
from aumer.data.dataset import (
    JoinedDataSet,
    as_counted,
    by_table_names,
    find_tables,
    join,
    locate_videos,
    spelled_as_in_table,
    unannotated_clips,
)
from aumer.data.folders import Media
from aumer.data.report import DataReport, Key, TableReport
from aumer.errors import AumerError
from aumer.files import StrPath
from aumer.tables.cells import Row
from aumer.tables.lines import COLUMNS

NAME = "meview"
#: Frame rate of a video without its own.
FPS = 30.0


def _names(row: Row) -> Key:
    return row.text("subject"), Path(row.text("video")).stem


CODING = Coding(
    NAME,
    _names,
    subject=(*COLUMNS["subject"], "person", "name"),
    video=COLUMNS["video"],
    onset=COLUMNS["onset"],
    apex=COLUMNS["apex"],
    offset=COLUMNS["offset"],
    aus=(*COLUMNS["aus"], "facs"),
    emotion=COLUMNS["label"],
    lenient=True,
)


def read_table(path: StrPath) -> TableReport:
    """A table of the clips: a subject, a video, onset and offset.

    The columns of the owners' table (MEVIEW_v2.xlsx) are not public. Names in
    `aumer.tables.intervals.COLUMNS` are accepted (subject, video or file, onset, apex, offset, au,
    emotion, kind), and ``person`` or ``name`` for the subject; frames are assumed to start from 1,
    as in the other sets. If they start from 0, results are off by one frame.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    return CODING.read(path)


class Meview(JoinedDataSet):
    """The clips. See `aumer.data.dataset.DataSet`.

    Each file's own frame rate is used. Files are named as in the table, with or without the subject
    in front: ``sub01-1.mp4`` of subject ``sub01``.
    """

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "me-cuts/cuts/sub01-1.mp4, and a table with columns subject, video, onset, offset and, if "
        "there are, apex, au, emotion; files are called as the table's column video says"
    )
    expected: ClassVar[Mapping[str, int]] = {}

    @classmethod
    def from_root(cls, root: StrPath, *, table: StrPath | None = None) -> Meview:
        """Join the table and the files.

        Args:
            table: the table; looked for below the root if not given.

        Raises:
            UsageError: `root` is not a folder, no table can be read, or no file is named like its
                videos.
        """
        tables, faults = find_tables(root, read_table, table)
        rows = tables[0].annotations
        names = {(a.subject, a.video) for a in rows}
        key = spelled_as_in_table(by_table_names(names), names)
        found, doubts = locate_videos(cls, root, key)
        doubts += unannotated_clips(rows, found)
        keys = {(a.subject, a.video) for a in rows} | set(found)
        rates = {key: _rate(found.get(key)) for key in keys}
        joined = join(NAME, rows, found, fps=rates, locate=as_counted)
        report = DataReport(tables, (*faults, *doubts, *joined.faults), unplaced=joined.unplaced)
        return cls(Path(root), joined.videos, report)


def _rate(media: Media | None) -> float:
    if media is None or media.numbers is not None:
        return FPS
    from aumer.video import open_video

    try:
        with open_video(media.path) as video:
            return video.info.fps or FPS
    except AumerError:
        return FPS  # `aumer data check` reports unreadable files
