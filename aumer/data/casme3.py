"""CAS(ME)^3, part A: videos at 30 fps; a workbook of 860 micro-expressions, and a table of 2071
macro- and 277 micro-expressions to spot."""

from __future__ import annotations

from pathlib import Path

from aumer.data.frames import annotation, kind_of
from aumer.data.report import Log, Rule, TableReport
from aumer.data.tables import Row, read
from aumer.files import StrPath
from aumer.types import Annotation, Kind

NAME = "casme3"
FPS = 30.0

SHEET = "label"
_COLUMNS = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "emotion")
_SPOTTING = ("subject", "video", "type", "startFrame", "endFrame")
_KINDS: dict[str, Kind] = {"macro": "macro", "micro": "micro"}

VIDEO_CASE = Rule("video-name", "videos are a to m; one cell has a capital letter")


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook of part A, or the table for spotting (CSV): ``spNO.1``, video ``a``.

    Frames are the images' numbers less 1.

    Raises:
        UsageError: a column is missing or a cell holds something else.
    """
    spotting = Path(path).suffix.lower() == ".csv"
    table = read(path, _SPOTTING if spotting else _COLUMNS, sheet=None if spotting else SHEET)
    log = Log()
    one = _spotting_row if spotting else _workbook_row
    found = tuple(one(row, log) for row in table)
    return TableReport(
        NAME,
        table.path,
        table.sheet,
        len(table),
        found,
        tuple(log.corrections),
        tuple(log.refusals),
    )


def _workbook_row(row: Row, log: Log) -> Annotation:
    video = row.text("Filename")
    if video != video.lower():
        log.correct(VIDEO_CASE, row.number, "Filename", video, video.lower())
    return annotation(
        row,
        log,
        subject=row.text("Subject"),
        video=video.lower(),
        kind="micro",
        columns=("Onset", "Apex", "Offset"),
        aus=row.optional("AU"),
        emotion=row.text("emotion"),
    )


def _spotting_row(row: Row, log: Log) -> Annotation:
    number, slash, video = row.text("video").partition("/")
    if not (number.isdigit() and slash and video):
        raise row.error("video", f"needs a name such as 001/a, found {row.text('video')!r}")
    return annotation(
        row,
        log,
        subject=f"spNO.{int(number)}",
        video=video,
        kind=kind_of(row, "type", _KINDS),
        columns=("startFrame", None, "endFrame"),
    )
