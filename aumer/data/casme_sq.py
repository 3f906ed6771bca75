"""CAS(ME)^2: long videos at 30 fps, 300 macro- and 57 micro-expressions of 22 subjects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from aumer.data import auwgcn
from aumer.data.dataset import NumberedImages
from aumer.data.frames import annotation, kind_of
from aumer.data.report import Key, Log, TableReport
from aumer.files import StrPath
from aumer.tables.cells import Row, read_sheet
from aumer.types import Kind

NAME = "casme-sq"
FPS = 30.0

CODES, FOLDERS, CLIPS = "CASFEcode_final", "naming rule1", "naming rule2"
_COLUMNS = (
    *("subject", "clip", "onset", "apex", "offset"),
    *("action units", "emotion group", "kind", "self-report"),
)
_KINDS: dict[str, Kind] = {"macro": "macro", "micro": "micro"}


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook of three sheets, or AUW-GCN's CSV of the same rows.

    Subjects are named like the folders (``s15``), videos by the number before the name (``15_0101``
    of ``15_0101disgustingteeth``). Frames are image numbers minus 1.

    Raises:
        UsageError: a sheet, a column or a name's rule is missing, or a cell holds something else.
    """
    if Path(path).suffix.lower() == ".csv":
        return auwgcn.renamed(auwgcn.read_table(path), NAME, _from_auwgcn)
    folders = {
        row.whole("subject"): row.text("folder")
        for row in read_sheet(path, FOLDERS, ("number", "folder", "subject"))
    }
    codes = {
        row.text("clip"): row.text("code") for row in read_sheet(path, CLIPS, ("code", "clip"))
    }
    table = read_sheet(path, CODES, _COLUMNS)
    log = Log()
    # Sum and mean below the last row are in columns that are not read.
    found = tuple(
        annotation(
            row,
            log,
            subject=(folder := _of(folders, row, "subject", row.whole("subject"), FOLDERS)),
            video=f"{folder.lstrip('sS')}_{_of(codes, row, 'clip', _clip(row), CLIPS)}",
            kind=kind_of(row, "kind", _KINDS),
            columns=("onset", "apex", "offset"),
            aus=row.optional("action units"),
            emotion=row.optional("emotion group"),
        )
        for row in table
    )
    return TableReport.of(NAME, table, found, log)


def _clip(row: Row) -> str:
    """``anger1`` of ``anger1_2``: the suffix numbers the expressions of the video."""
    return row.text("clip").rpartition("_")[0] or row.text("clip")


def _of(names: Mapping[Any, str], row: Row, column: str, key: object, rule: str) -> str:
    if key not in names:
        raise row.error(
            column, f"{key!r} is not in sheet {rule!r}, which has {', '.join(map(str, names))}"
        )
    return names[key]


def _from_auwgcn(subject: str, video: str) -> tuple[str, str] | None:
    name = re.fullmatch(r"casme_(\d+)_(\d{4})", video)
    return (f"s{int(name[1])}", f"{int(name[1])}_{name[2]}") if name else None


def _key(parts: tuple[str, ...]) -> Key | None:
    name = re.fullmatch(r"(\d+)_(\d{4})\D\w*", parts[-1]) if parts else None
    return (f"s{int(name[1])}", f"{int(name[1])}_{name[2]}") if name else None


class CasmeSq(NumberedImages):
    """The long videos. See `aumer.data.dataset.DataSet`."""

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "rawpic/s15/15_0101disgustingteeth/img_1.jpg or longVideoFaceCropped/..., and the workbook "
        "of three sheets, CAS(ME)^2code_final.xlsx; folders are found by name, wherever they lie"
    )
    # 97 or 98 videos in the owners' papers; 95 have an expression.
    expected: ClassVar[Mapping[str, int]] = {"subjects": 22, "macro": 300, "micro": 57}

    fps = FPS
    images = "rawpic"  # crops of s21, s27, s31 and s37 cut the forehead

    read = staticmethod(read_table)
    key = staticmethod(_key)
