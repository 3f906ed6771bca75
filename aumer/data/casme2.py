"""CASME II: 255 clips at 200 fps, each with one micro-expression, of 26 subjects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from aumer.data.dataset import NumberedImages
from aumer.data.frames import annotation
from aumer.data.report import Key, Log, TableReport
from aumer.files import StrPath
from aumer.tables.cells import read

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
    return TableReport.of(NAME, table, found, log)


def _key(parts: tuple[str, ...]) -> Key | None:
    if len(parts) < 2:
        return None
    subject, clip = re.fullmatch(r"sub(\d+)", parts[-2]), re.fullmatch(r"EP\d+\w*", parts[-1])
    return (f"sub{int(subject[1]):02d}", clip[0]) if subject and clip else None


class Casme2(NumberedImages):
    """The clips. See `aumer.data.dataset.DataSet`."""

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "Cropped/sub01/EP02_01f/reg_img46.jpg or CASME2_RAW_selected/sub01/EP02_01f/img46.jpg, and "
        "the workbook of 2014 or 2019; an image's number is the one that the workbook uses"
    )
    expected: ClassVar[Mapping[str, int]] = {"subjects": 26, "videos": 255, "micro": 255}

    fps = FPS
    images = "raw"

    read = staticmethod(read_table)
    key = staticmethod(_key)
