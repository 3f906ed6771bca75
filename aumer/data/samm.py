"""SAMM: 159 clips at 200 fps, each with one micro-expression, of 29 subjects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from aumer.data.coding import Coding, Fix
from aumer.data.dataset import NumberedImages
from aumer.data.report import Key, Rule, TableReport
from aumer.files import StrPath
from aumer.tables.cells import Row

NAME = "samm"
FPS = 200.0

SHEET = "MICRO_ONLY"

WRONG_APEX = Rule(
    "wrong-apex",
    "032_3_1 has its apex in SAMM-LV's numbers: there the same movement is at 1896-1970, 3000 less "
    "than the 4896-4970 here",
)


def _names(row: Row) -> Key:
    return row.text("Subject"), row.text("Filename")


CODING = Coding(
    NAME,
    _names,
    onset="Onset Frame",
    apex="Apex Frame",
    offset="Offset Frame",
    aus="Action Units",
    emotion="Estimated Emotion",
    sheet=SHEET,
    fixes=(Fix("032_3_1", "Apex Frame", "1930", "4930", WRONG_APEX),),
    subject_in=lambda video: video.partition("_")[0],
)


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook: subject ``006``, video ``006_1_2``.

    Frames are image numbers minus 1; the clips are parts of longer recordings, and the first image
    of a clip has the number of the onset, not 1.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    return CODING.read(path)


def _key(parts: tuple[str, ...]) -> Key | None:
    name = re.fullmatch(r"(\d{3})_\d+_\d+", parts[-1]) if parts else None
    return (name[1], name[0]) if name else None


class Samm(NumberedImages):
    """The clips. See `aumer.data.dataset.DataSet`."""

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "006/006_1_2/006_05562.jpg, and the workbook with a sheet MICRO_ONLY; an image's number is "
        "the one that the workbook uses"
    )
    expected: ClassVar[Mapping[str, int]] = {"subjects": 29, "videos": 159, "micro": 159}

    fps = FPS
    clips = True

    read = staticmethod(read_table)
    key = staticmethod(_key)
