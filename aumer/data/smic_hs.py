"""SMIC-HS: 164 clips at 100 fps of 16 subjects; the sheet of the extended clips has 157."""

from __future__ import annotations

import re

from aumer.data.frames import annotation
from aumer.data.report import Log, TableReport
from aumer.data.tables import Row, read
from aumer.files import StrPath
from aumer.types import Annotation

NAME = "smic-hs"
FPS = 100.0

SHEET = "HS"
_INTERVALS = (("OnsetF", "OffsetF"), ("Onset2F", "Offset2F"), ("Onset3F", "Offset3F"))
_COLUMNS = ("Subject", "Filename", *_INTERVALS[0], "FirstF", "LastF", "Emotion")


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook of the extended clips: subject ``s03``, video ``s03_ne_01``.

    The sheet counts frames from the start of the camera; here they count from the clip's FirstF. A
    row has up to three intervals. No apex is given.

    Raises:
        UsageError: a column is missing or a cell holds something else.
    """
    table = read(path, _COLUMNS, sheet=SHEET, optional=[c for pair in _INTERVALS[1:] for c in pair])
    log = Log()
    found: list[Annotation] = []
    for row in table:
        subject, video = _names(row)
        here: list[Annotation] = []
        for onset, offset in _INTERVALS:
            if not row.optional(onset):
                continue
            problem = _problem(row, onset, offset)
            if problem:
                log.refuse(row.number, onset, row.text(onset), problem)
                continue
            a = annotation(
                row,
                log,
                subject=subject,
                video=video,
                kind="micro",
                columns=(onset, None, offset),
                first=row.whole("FirstF"),
                emotion=row.text("Emotion"),
            )
            if a in here:
                log.refuse(row.number, onset, row.text(onset), "repeats an interval of its row")
            else:
                here.append(a)
        found += here
    return TableReport(
        NAME,
        table.path,
        table.sheet,
        len(table),
        tuple(found),
        tuple(log.corrections),
        tuple(log.refusals),
    )


def _problem(row: Row, onset: str, offset: str) -> str | None:
    """Why this is no interval: in five rows the third holds the difference of two cameras' clocks
    and the clip's first frame."""
    if onset == _INTERVALS[0][0]:
        return None  # a first interval outside its clip is a fault of the clip's numbers
    first = row.whole("FirstF")
    if row.whole(onset) < first:
        return f"lies before the clip, which begins at {first}: no interval"
    return None


def _names(row: Row) -> tuple[str, str]:
    subject = f"s{row.whole('Subject'):02d}"
    return subject, clip(row.text("Filename"))


def clip(name: str) -> str:
    """``s03_ne_01`` of ``s3_ne_01``: the sheet and the folders pad the subject differently."""
    return re.sub(r"^s(\d+)(?=_)", lambda found: f"s{int(found[1]):02d}", name)
