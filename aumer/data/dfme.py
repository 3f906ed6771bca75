"""DFME: 1856 training clips at 200, 300 or 500 fps, each with one micro-expression."""

from __future__ import annotations

from aumer.data.frames import annotation
from aumer.data.report import Log, TableReport
from aumer.data.tables import read
from aumer.files import StrPath

NAME = "dfme"
_COLUMNS = (
    *("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame"),
    *("Emotion", "Fps", "AU"),
)


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook: subject ``sub0003``, video ``sub0003_01``. Frames are 0-based there
    too: 883 onsets are 0.

    Raises:
        UsageError: a column is missing or a cell holds something else.
    """
    table = read(path, _COLUMNS)
    log = Log()
    found = tuple(
        annotation(
            row,
            log,
            subject=row.text("Subject"),
            video=row.text("Filename"),
            kind="micro",
            columns=("OnsetFrame", "ApexFrame", "OffsetFrame"),
            first=0,
            aus=row.optional("AU"),
            emotion=row.text("Emotion"),
        )
        for row in table
    )
    return TableReport(
        NAME,
        table.path,
        table.sheet,
        len(table),
        found,
        tuple(log.corrections),
        tuple(log.refusals),
    )
