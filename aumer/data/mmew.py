"""MMEW: 300 clips at 90 fps, each with one micro-expression."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from aumer.data.coding import Coding, subject_text
from aumer.data.dataset import NumberedImages, by_number_or_count
from aumer.data.report import Key, TableReport
from aumer.files import StrPath
from aumer.tables.cells import Row

NAME = "mmew"
FPS = 90.0

_CLIP = re.compile(r"(S\d+)-\d+-\d+", re.IGNORECASE)


def _names(row: Row) -> Key:
    return subject_text(row, "Subject", "S{:02d}"), row.text("Filename").upper()


def _subject_in(video: str) -> str | None:
    found = _CLIP.fullmatch(video)
    return found[1] if found else None


CODING = Coding(
    NAME,
    _names,
    onset="OnsetFrame",
    apex="ApexFrame",
    offset="OffsetFrame",
    aus=("Action Units", "AUs", "AU"),
    emotion=("Estimated Emotion", "Emotion"),
    missing=("", "/"),
    subject_in=_subject_in,
)


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook of the micro-expressions (MMEW_Micro_Exp.xlsx): subject ``S13``, video
    ``S13-07-001``.

    Its columns are Subject, Filename, OnsetFrame, ApexFrame, OffsetFrame, Action Units and
    Estimated Emotion; frames are image numbers minus 1. Published code replaces apex and offset of
    16 rows by estimates; here the owners' values are kept, and `aumer data check` lists impossible
    ones.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    return CODING.read(path)


def _key(parts: tuple[str, ...]) -> Key | None:
    clip = _CLIP.fullmatch(parts[-1]) if parts else None
    return (f"S{int(clip[1][1:]):02d}", clip[0].upper()) if clip else None


class Mmew(NumberedImages):
    """The micro-expressions. See `aumer.data.dataset.DataSet`.

    The 900 macro-expressions, single images in ``Macro_Expression/S01/anger/``, have no table and
    no onset, and are ignored.
    """

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "Micro_Expression/anger/S13-07-001/1.jpg, and MMEW_Micro_Exp.xlsx; clips are found by "
        "name, wherever they lie"
    )
    expected: ClassVar[Mapping[str, int]] = {"videos": 300, "micro": 300}

    fps = FPS
    clips = True

    read = staticmethod(read_table)
    key = staticmethod(_key)
    locate = staticmethod(by_number_or_count)
