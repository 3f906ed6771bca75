"""CAS(ME)^3, part A: videos at 30 fps; a workbook of 860 micro-expressions, and a table of 2071
macro- and 277 micro-expressions to spot."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from aumer.data.dataset import NumberedImages
from aumer.data.frames import annotation, kind_of
from aumer.data.report import Key, Log, Rule, TableReport
from aumer.files import StrPath
from aumer.tables.cells import Row, read
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

    Frames are image numbers minus 1.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    spotting = Path(path).suffix.lower() == ".csv"
    table = read(
        path,
        _SPOTTING if spotting else _COLUMNS,
        sheet=None if spotting else SHEET,
        optional=("frame_num",),
    )
    log = Log()
    one = _spotting_row if spotting else _workbook_row
    found = tuple(one(row, log) for row in table)
    return TableReport.of(
        NAME,
        table,
        found,
        log,
        lengths={
            (a.subject, a.video): row.whole("frame_num")
            for a, row in zip(found, table, strict=True)
            if row.optional("frame_num")
        },
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


def of_part(letter: str, parts: tuple[str, ...]) -> bool:
    """Whether a path belongs to a part of CAS(ME)^3, by the names of its folders."""
    named = [re.match(r"part[ _-]?([abc])(?![a-z])", part, re.IGNORECASE) for part in parts]
    letters = {found[1].lower() for found in named if found}
    return not letters or letter in letters


def long_video(parts: tuple[str, ...]) -> Key | None:
    """Subject and video of a path such as ``spNO.1/a/color``."""
    for one, other in itertools.pairwise(parts):
        subject = re.fullmatch(r"spNO\.?(\d+)", one, re.IGNORECASE)
        if subject and re.fullmatch(r"[a-zA-Z]", other):
            return f"spNO.{int(subject[1])}", other.lower()
    return None


def _key(parts: tuple[str, ...]) -> Key | None:
    return long_video(parts) if of_part("a", parts) else None


class Casme3(NumberedImages):
    """Part A. See `aumer.data.dataset.DataSet`."""

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "spNO.1/a/color/1.jpg, and the workbook of part A or the table for spotting; below "
        "spNO.1/a any folder of images will do, and the one with color in its path is taken"
    )
    # Published counts differ: 94 to 100 subjects; 860 micro in the workbook, 277 in the table.
    expected: ClassVar[Mapping[str, int]] = {}

    fps = FPS
    images = "color"  # not "depth"

    read = staticmethod(read_table)
    key = staticmethod(_key)
