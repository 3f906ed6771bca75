"""CASME II: 255 clips at 200 fps, each with one micro-expression, of 26 subjects."""

from __future__ import annotations

from aumer.data.frames import annotation
from aumer.data.report import Log, TableReport
from aumer.data.tables import read
from aumer.files import StrPath

NAME = "casme2"
FPS = 200.0

_COLUMNS = (
    *("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame"),
    *("Action Units", "Estimated Emotion"),
)


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook, of 2014 or of 2019: subject ``sub01``, video ``EP02_01f``.

    Frames are the images' numbers less 1; the clips are cut out of longer recordings, and the first
    image of a cropped clip has the onset's number, not 1.

    Raises:
        UsageError: a column is missing or a cell holds something else.
    """
    table = read(path, _COLUMNS)
    log = Log()
    found = tuple(
        annotation(
            row,
            log,
            subject=f"sub{row.whole('Subject'):02d}",
            video=row.text("Filename"),
            kind="micro",
            columns=("OnsetFrame", "ApexFrame", "OffsetFrame"),
            aus=row.optional("Action Units"),
            emotion=row.text("Estimated Emotion"),
            no_apex="/",
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
