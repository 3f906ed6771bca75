"""DFME: 1856 training clips at 200, 300 or 500 fps, each with one micro-expression."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from aumer.data.dataset import JoinedDataSet, as_counted, find_tables, join
from aumer.data.folders import places, scan
from aumer.data.frames import annotation
from aumer.data.report import DataReport, Fault, Key, Log, TableReport
from aumer.files import StrPath
from aumer.tables.cells import read

NAME = "dfme"
_COLUMNS = (
    *("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame"),
    *("Emotion", "Fps", "AU"),
)


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook: subject ``sub0003``, video ``sub0003_01``. Frames are 0-based there
    too: 883 onsets are 0.

    Raises:
        UsageError: a column is missing or a cell holds something else.
    """
    table = read(path, _COLUMNS)
    log = Log()
    found = tuple(
        annotation(
            row,
            log,
            subject=row.text("Subject"),
            video=row.text("Filename"),
            kind="micro",
            columns=("OnsetFrame", "ApexFrame", "OffsetFrame"),
            first=0,
            aus=row.optional("AU"),
            emotion=row.text("Emotion"),
        )
        for row in table
    )
    return TableReport.of(
        NAME,
        table,
        found,
        log,
        rates={
            (a.subject, a.video): row.number_in("Fps") for a, row in zip(found, table, strict=True)
        },
    )


class Dfme(JoinedDataSet):
    """The training clips. See `aumer.data.dataset.DataSet`."""

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "a folder of images or a video file called as the clip is (sub0003_01), wherever it lies, "
        "and the workbook of the training clips"
    )
    expected: ClassVar[Mapping[str, int]] = {"subjects": 176, "videos": 1856, "micro": 1856}

    @classmethod
    def from_root(cls, root: StrPath, *, table: StrPath | None = None) -> Dfme:
        """Join the workbook and the clips. A clip without a row has no rate, and is left out.

        Args:
            table: the workbook; looked for below the root if not given.

        Raises:
            UsageError: `root` is no folder, or no table can be read.
        """
        tables, faults = find_tables(root, read_table, table)
        found, doubts = places(scan(root), _key)
        rates = tables[0].rates
        without = [
            Fault("unannotated-clip", f"{media.path}: no row gives its frame rate", *key)
            for key, media in found.items()
            if key not in rates
        ]
        known = {key: media for key, media in found.items() if key in rates}
        records, problems = join(NAME, tables[0].annotations, known, fps=rates, locate=as_counted)
        return cls(Path(root), records, DataReport(tables, (*faults, *doubts, *without, *problems)))


def _key(parts: tuple[str, ...]) -> Key | None:
    name = re.fullmatch(r"(sub\d{4})_\d+", parts[-1]) if parts else None
    return (name[1], name[0]) if name else None
