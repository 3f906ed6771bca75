"""CASME II: 255 clips at 200 fps, each with one micro-expression, of 26 subjects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from aumer.data.coding import Coding
from aumer.data.dataset import NumberedImages
from aumer.data.report import Key, TableReport
from aumer.files import StrPath
from aumer.tables.cells import Row

NAME = "casme2"
FPS = 200.0


def _names(row: Row) -> Key:
    return f"sub{row.whole('Subject'):02d}", row.text("Filename")


CODING = Coding(
    NAME,
    _names,
    onset="OnsetFrame",
    apex="ApexFrame",
    offset="OffsetFrame",
    aus="Action Units",
    emotion="Estimated Emotion",
    missing=("/",),
)


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook, of 2014 or of 2019: subject ``sub01``, video ``EP02_01f``.

    Frames are image numbers minus 1; the clips are parts of longer recordings, and the first image
    of a cropped clip has the number of the onset, not 1.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    return CODING.read(path)


def clip_key(parts: tuple[str, ...]) -> Key | None:
    """Subject and clip of a path that ends with ``sub01/EP02_01f``, as in CASME and CASME II."""
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
    clips = True

    read = staticmethod(read_table)
    key = staticmethod(clip_key)
