"""SAMM Long Videos: 147 videos at 200 fps, 343 macro- and 159 micro-expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from aumer.data import samm
from aumer.data.dataset import NumberedImages
from aumer.data.frames import annotation, kind_of
from aumer.data.report import Key, Log, Rule, TableReport
from aumer.files import StrPath
from aumer.tables.cells import read
from aumer.types import Kind

NAME = "samm-lv"
FPS = 200.0

SHEET = "FACS_Movement_Only"
_COLUMNS = ("Subject", "Filename", "Onset", "Apex", "Offset", "Type", "Action Units")
_KINDS: dict[str, Kind] = {"macro": "macro", "micro": "micro"}

REPEATED_NAME = Rule(
    "repeated-name", "two movements of one video carry one name; the rows tell them apart"
)


def read_table(path: StrPath, *, emotions: StrPath | None = None) -> TableReport:
    """The owners' workbook: subject ``006``, video ``006_1`` of the expression ``006_1_2``.

    Frames are the images' numbers less 1; fractional ones are rounded to the nearest image first.

    Args:
        emotions: SAMM's workbook: it has the same 159 micro-expressions under the same names, and
            their emotions, which this one lacks.

    Raises:
        UsageError: a column is missing or a cell holds something else.
    """
    table = read(path, _COLUMNS, sheet=SHEET)
    felt = {}
    if emotions is not None:
        felt = {a.video: a.emotion for a in samm.read_table(emotions).annotations}
    log = Log()
    found = []
    names = set()
    for row in table:
        if (name := row.text("Filename")) in names:
            log.correct(REPEATED_NAME, row.number, "Filename", name, name)
        names.add(name)
        video, numbered, _ = row.text("Filename").rpartition("_")
        if not (numbered and video.startswith(f"{row.text('Subject')}_")):
            raise row.error(
                "Filename",
                f"needs a name such as 006_1_2 that begins with the subject "
                f"{row.text('Subject')!r}, found {row.text('Filename')!r}",
            )
        kind = kind_of(row, "Type", _KINDS)
        found.append(
            annotation(
                row,
                log,
                subject=row.text("Subject"),
                video=video,
                kind=kind,
                columns=("Onset", "Apex", "Offset"),
                aus=row.optional("Action Units"),
                emotion=felt.get(name, "") if kind == "micro" else "",
            )
        )
    return TableReport.of(NAME, table, found, log)


def _key(parts: tuple[str, ...]) -> Key | None:
    name = re.fullmatch(r"(\d{3})_\d+", parts[-1]) if parts else None
    return (name[1], name[0]) if name else None


class SammLv(NumberedImages):
    """The long videos. See `aumer.data.dataset.DataSet`."""

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "006_1/006_1_0001.jpg, and the workbook with a sheet FACS_Movement_Only; folders are found "
        "by name, wherever they lie"
    )
    expected: ClassVar[Mapping[str, int]] = {
        "subjects": 30,
        "videos": 147,
        "macro": 343,
        "micro": 159,
    }

    fps = FPS

    read = staticmethod(read_table)
    key = staticmethod(_key)

    @classmethod
    def from_root(
        cls,
        root: StrPath,
        *,
        table: StrPath | None = None,
        images: str | None = None,
        emotions: StrPath | None = None,
    ) -> SammLv:
        """As `NumberedImages`.

        Args:
            emotions: SAMM's workbook, which alone has the emotions of the micro-expressions.
        """
        read = partial(read_table, emotions=emotions)
        return cls._join(root, read, table, cls.images if images is None else images)
