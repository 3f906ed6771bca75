"""CASME: clips at 60 fps, each with one micro-expression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from aumer.data.casme2 import clip_key
from aumer.data.coding import Coding, subject_text
from aumer.data.dataset import NumberedImages, by_number_or_count
from aumer.data.report import Key, TableReport
from aumer.files import StrPath
from aumer.tables.cells import Row

NAME = "casme"
FPS = 60.0


def _names(row: Row) -> Key:
    return subject_text(row, "Subject", "sub{:02d}"), row.text("Filename")


CODING = Coding(
    NAME,
    _names,
    onset="OnsetF",
    # The apex may extend from ApexF1 to ApexF2; the first frame is used.
    apex="ApexF1",
    offset="OffsetF",
    aus="AU",
    emotion="Emotion",
    missing=("", "/", "\\"),
)


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook (CASME-coded-20190721.xls; saved as .xlsx or CSV): subject ``sub01``,
    video ``EP01_12``.

    Its columns are Subject, Filename, OnsetF, ApexF1, ApexF2, OffsetF, AU and Emotion; frames are
    image numbers minus 1. It has no frame rate; 60 fps is assumed for the cameras of both sections,
    A and B.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    return CODING.read(path)


class Casme(NumberedImages):
    """The clips. See `aumer.data.dataset.DataSet`.

    In some releases the images of a clip have the numbers of its recording, which the workbook
    uses; otherwise, if their number equals that of the row's frames from onset to offset, they are
    these frames.
    """

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "Cropped/sub01/EP01_12/....jpg, the last number in an image's name being the one that the "
        "workbook uses; and the workbook with columns Subject, Filename, OnsetF, ApexF1, OffsetF, "
        "AU, Emotion, saved as .xlsx or CSV"
    )
    # The paper has 195, the workbook of 2019 has 193 rows.
    expected: ClassVar[Mapping[str, int]] = {}

    fps = FPS
    images = "crop"
    clips = True

    read = staticmethod(read_table)
    key = staticmethod(clip_key)
    locate = staticmethod(by_number_or_count)
