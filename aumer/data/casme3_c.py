"""CAS(ME)^3, part C: 31 videos of mock interrogations at 30 fps, one of each subject."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aumer.data.casme3 import FPS, of_part
from aumer.data.coding import Coding, subject_text
from aumer.data.dataset import NumberedImages, Read
from aumer.data.folders import scan
from aumer.data.report import Key, Rule, TableReport
from aumer.files import StrPath
from aumer.tables.cells import Row
from aumer.tables.lines import COLUMNS

if TYPE_CHECKING:
    from typing_extensions import Self

NAME = "casme3-c"
#: Name of a subject's only video in the folders.
VIDEO = "a"

COMMAS = Rule(
    "aus-by-comma",
    "part C separates action units by commas, one of them a Chinese one; part A and the other "
    "sets write 4+7",
)


def _names(row: Row) -> Key:
    return subject_text(row, "sub", "{:02d}"), VIDEO


def _by_plus(aus: str) -> str:
    return re.sub(r"\s*[,\uff0c\u3001]\s*", "+", aus)


CODING = Coding(
    NAME,
    _names,
    subject=("sub", *COLUMNS["subject"]),
    video=("count", "seq", *COLUMNS["video"]),
    onset=COLUMNS["onset"],
    apex=COLUMNS["apex"],
    offset=COLUMNS["offset"],
    aus=COLUMNS["aus"],
    emotion=("emotion", "label"),
    cleaned=(COMMAS, _by_plus),
    lenient=True,
)


def _clip_names(row: Row) -> Key:
    return _names(row)[0], str(row.whole("count"))


def read_table(path: StrPath, *, clips: bool = False) -> TableReport:
    """The owners' workbook of the micro-expressions (CAS(ME)3_part_C_ME.xlsx), or one of macro-
    expressions: subject ``01``, video ``a``.

    The micro table has the columns sub, count (which expression of the subject's), onset, offset,
    au and emotion, and no apex; frames are the images' numbers less 1. A table with MaE or macro in
    its file's name is taken as one of macro-expressions, if no column says the kind.

    Args:
        clips: for clips cut out of the videos, one for each expression: video ``1`` by count.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    macro = re.search(r"(?<![a-z])mae|macro", Path(path).stem, re.IGNORECASE)
    names = _clip_names if clips else _names
    return replace(CODING, names=names, kind="macro" if macro else "micro").read(path)


def _key(parts: tuple[str, ...]) -> Key | None:
    if not of_part("c", parts):
        return None
    for one, other in itertools.pairwise(parts):
        subject = re.fullmatch(r"(?:spNO\.?)?(\d{1,3})", one, re.IGNORECASE)
        if subject and (other.lower() == VIDEO or other.isdigit()):
            return f"{int(subject[1]):02d}", other.lower()
    return None


class Casme3C(NumberedImages):
    """Part C. See `aumer.data.dataset.DataSet`.

    Tables of both kinds below the root are joined. If there are only clips (folders named by the
    table's count instead of ``a``), each is a video.
    """

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "part_C/01/a/color/1.jpg, and CAS(ME)3_part_C_ME.xlsx with columns sub, count, onset, "
        "offset, au, emotion, or a table of macro-expressions with MaE in its name, or both; below "
        "01/a any folder of images will do, and the one with color in its path is taken; or clips "
        "ME_C/01/1/color/373.jpg by the count of the table, numbered as the video is"
    )
    expected: ClassVar[Mapping[str, int]] = {"subjects": 31}

    fps = FPS
    images = "color"  # not "depth"
    parts = True

    read = staticmethod(read_table)
    key = staticmethod(_key)

    @classmethod
    def _join(cls, root: StrPath, read: Read, table: StrPath | None, images: str) -> Self:
        found = {key[1] for one in scan(root) if (key := _key(one.parts)) is not None}
        if found and VIDEO not in found:
            read = partial(read_table, clips=True)
        return super()._join(root, read, table, images)
