"""SAMM Long Videos: 147 videos at 200 fps, 343 macro- and 159 micro-expressions."""

from __future__ import annotations

from aumer.data.frames import annotation, kind_of
from aumer.data.report import Log, TableReport
from aumer.data.tables import read
from aumer.files import StrPath
from aumer.types import Kind

NAME = "samm-lv"
FPS = 200.0

SHEET = "FACS_Movement_Only"
_COLUMNS = ("Subject", "Filename", "Onset", "Apex", "Offset", "Type", "Action Units")
_KINDS: dict[str, Kind] = {"macro": "macro", "micro": "micro"}


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook: subject ``006``, video ``006_1`` of the expression ``006_1_2``.

    Frames are the images' numbers less 1; fractional ones are rounded to the nearest image first.

    Raises:
        UsageError: a column is missing or a cell holds something else.
    """
    table = read(path, _COLUMNS, sheet=SHEET)
    log = Log()
    found = []
    for row in table:
        video, numbered, _ = row.text("Filename").rpartition("_")
        if not (numbered and video.startswith(f"{row.text('Subject')}_")):
            raise row.error(
                "Filename",
                f"needs a name such as 006_1_2 that begins with the subject "
                f"{row.text('Subject')!r}, found {row.text('Filename')!r}",
            )
        found.append(
            annotation(
                row,
                log,
                subject=row.text("Subject"),
                video=video,
                kind=kind_of(row, "Type", _KINDS),
                columns=("Onset", "Apex", "Offset"),
                aus=row.optional("Action Units"),
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
    )
