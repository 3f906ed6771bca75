"""4DME: micro- and macro-expressions by four cameras; here its gray videos at 60 fps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from aumer.data.coding import Coding
from aumer.data.dataset import NumberedImages, by_number_or_count
from aumer.data.report import Key, Rule, TableReport
from aumer.files import StrPath
from aumer.tables.cells import Row
from aumer.tables.lines import COLUMNS

NAME = "4dme"
FPS = 60.0

STATIC = Rule(
    "static-action-unit",
    "an action unit marked (k) was there before the movement and stayed (the coders' mark); it is "
    "no part of the expression",
)
#: The micro table's columns, with their names in other editions.
_SUBJECT = ("sub_ID", *COLUMNS["subject"])
_VIDEO = ("fold_name", "video_number", *COLUMNS["video"])


def _names(row: Row) -> Key:
    return row.text("sub_ID"), row.text("fold_name")


def _moving(aus: str) -> str:
    """The AUs without static ones."""
    if "(k)" not in aus.casefold():
        return aus
    return "+".join(au for au in aus.split("+") if not re.search(r"\(k\)?", au, re.IGNORECASE))


CODING = Coding(
    NAME,
    _names,
    subject=_SUBJECT,
    video=_VIDEO,
    onset=("Onset", *COLUMNS["onset"]),
    apex=("Apex", *COLUMNS["apex"]),
    offset=("Offset", *COLUMNS["offset"]),
    aus=("AUs", *COLUMNS["aus"]),
    emotion=("Emotion", *COLUMNS["label"]),
    cleaned=(STATIC, _moving),
    lenient=True,
)


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook of the micro-expressions (4DME_Labelling_Micro_release v1.xlsx), or one
    of both kinds: subject and video with its names.

    The micro table has the columns sub_ID, fold_name, Onset, Apex, Offset, AUs and Emotion; frames
    are image numbers minus 1. The column names of the table of both kinds are not public: names in
    `aumer.tables.intervals.COLUMNS` are accepted as well, ``type`` or ``kind`` is the kind (micro
    or me, macro or mae), and without such a column all rows are micro-expressions.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    return CODING.read(path)


class FourDme(NumberedImages):
    """The gray videos. See `aumer.data.dataset.DataSet`.

    Another camera is chosen by a part of its folders' path (``images="RGB"``); its frame rate is
    unknown, so that of the gray one is used. If the images of a clip do not have the row's numbers
    and their count equals the length of the interval, they are this interval.
    """

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "gray_micro/SUBJECT/VIDEO/....jpg, or long videos of the same names, called as sub_ID and "
        "fold_name of the workbook say; images are numbered as the workbook counts, or, in a clip, "
        "anew"
    )
    expected: ClassVar[Mapping[str, int]] = {"micro": 267}

    fps = FPS
    images = "gray"
    by_name = True

    read = staticmethod(read_table)
    locate = staticmethod(by_number_or_count)
