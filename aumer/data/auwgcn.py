"""AUW-GCN's interval tables for training, and its names of subjects and videos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from aumer.data.frames import annotation
from aumer.data.report import Log, TableReport
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.tables.cells import Row, read
from aumer.types import Kind

NAME = "auwgcn-csv"
COLUMNS = ("subject", "video_name", "start_frame", "apex_frame", "end_frame", "type_idx")
_KINDS: dict[int, Kind] = {1: "macro", 2: "micro"}


def read_table(path: StrPath) -> TableReport:
    """A table of subject, video_name, start_frame, apex_frame, end_frame, type_idx (1 macro, 2
    micro) and, if there is one, au.

    Names are unchanged (``casme_015``, ``casme_015_0401``). CAS(ME)^2's frames are image numbers,
    so 1 is subtracted. SAMM-LV's are 0-based at 25 frames per second: except in 12 cells they equal
    floor((x - 1) / 8) of the workbook's x. SMIC's are taken as 0-based: they come from the same
    step, and their apex is always the middle of the interval.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    table = read(path, COLUMNS, optional=("au",))
    log = Log()
    found = tuple(
        annotation(
            row,
            log,
            subject=row.text("subject"),
            video=row.text("video_name"),
            kind=_kind(row),
            columns=("start_frame", "apex_frame", "end_frame"),
            first=1 if row.text("video_name").startswith("casme") else 0,
            aus=row.optional("au"),
        )
        for row in table
    )
    return TableReport.of(NAME, table, found, log)


def renamed(
    report: TableReport, dataset: str, names: Callable[[str, str], tuple[str, str] | None]
) -> TableReport:
    """The report with the names of subjects and videos in `dataset`.

    Raises:
        UsageError: a video is not of this data set.
    """
    annotations = []
    for a in report.annotations:
        new = names(a.subject, a.video)
        if new is None:
            raise UsageError(
                f"{report.path}, row {a.row}, column video_name: {a.video!r} is not a video "
                f"of {dataset}; read the table as {NAME}"
            )
        annotations.append(replace(a, subject=new[0], video=new[1]))
    return replace(report, dataset=dataset, annotations=tuple(annotations))


def _kind(row: Row) -> Kind:
    number = row.whole("type_idx")
    if number not in _KINDS:
        raise row.error("type_idx", f"needs 1 (macro) or 2 (micro), found {number}")
    return _KINDS[number]
