"""DFME: clips at 200, 300 or 500 fps, each with one micro-expression; 1856 of them to train on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aumer.data.coding import Coding
from aumer.data.dataset import (
    JoinedDataSet,
    as_counted,
    find_tables,
    join,
    locate_videos,
    merge_tables,
    spelled_as_in_table,
)
from aumer.data.report import DataReport, Fault, Key, TableReport
from aumer.files import StrPath
from aumer.tables.cells import Row

if TYPE_CHECKING:
    from typing_extensions import Self

NAME = "dfme"
TEST = "dfme-test"


def _names(row: Row) -> Key:
    return row.text("Subject"), row.text("Filename")


def _subject_in(video: str) -> str | None:
    return video.rpartition("_")[0] or None


CODING = Coding(
    NAME,
    _names,
    onset="OnsetFrame",
    apex="ApexFrame",
    offset="OffsetFrame",
    aus="AU",
    emotion="Emotion",
    first=0,
    rate="Fps",
    subject_in=_subject_in,
)
#: Coding of the test sets, whose labels may be withheld.
TEST_CODING = replace(CODING, dataset=TEST, lenient=True)


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook: subject ``sub0003``, video ``sub0003_01``. Its frames are 0-based, too:
    883 onsets are 0.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    return CODING.read(path)


def read_test_table(path: StrPath) -> TableReport:
    """A workbook of the test sets, A or B: in the layout of the training clips.

    The columns Subject, Filename, OnsetFrame and Fps are needed; ApexFrame, OffsetFrame, Emotion
    and AU may be missing or empty if labels are withheld. A row without an onset is refused.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    return TEST_CODING.read(path)


class Dfme(JoinedDataSet):
    """The training clips. See `aumer.data.dataset.DataSet`.

    Attributes:
        parts: whether several tables are parts of one table.
    """

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "a folder of images or a video file called as the clip is (sub0003_01), wherever it lies, "
        "and the workbook of the training clips"
    )
    expected: ClassVar[Mapping[str, int]] = {"subjects": 176, "videos": 1856, "micro": 1856}
    parts: ClassVar[bool] = False

    read = staticmethod(read_table)

    @classmethod
    def from_root(cls, root: StrPath, *, table: StrPath | None = None) -> Self:
        """Join the workbook and the clips. A clip without a row has no frame rate and is left out.

        Args:
            table: the workbook; looked for below the root if not given.

        Raises:
            UsageError: `root` is no folder, or no table can be read.
        """
        tables, faults = find_tables(root, cls.read, table)
        if cls.parts:
            tables = (merge_tables(tables),)
        rates = tables[0].rates
        found, doubts = locate_videos(cls, root, spelled_as_in_table(_key, rates))
        doubts += [
            Fault("unannotated-clip", f"{media.path}: no row gives its frame rate", *key)
            for key, media in found.items()
            if key not in rates
        ]
        known = {key: media for key, media in found.items() if key in rates}
        rows = tables[0].annotations
        joined = join(cls.name, rows, known, fps=rates, locate=as_counted)
        report = DataReport(tables, (*faults, *doubts, *joined.faults), unplaced=joined.unplaced)
        return cls(Path(root), joined.videos, report)


class DfmeTest(Dfme):
    """The test sets A and B: the clips of all workbooks below the root, of one or both sets.

    The sets released for challenges have 474 and 299 clips.
    """

    name: ClassVar[str] = TEST
    layout: ClassVar[str] = (
        "a folder of images or a video file called as the clip is (sub0003_01), wherever it lies, "
        "and the workbook of test set A, of B, or both, with columns Subject, Filename, "
        "OnsetFrame, Fps and, if there are, ApexFrame, OffsetFrame, Emotion, AU"
    )
    expected: ClassVar[Mapping[str, int]] = {}
    parts = True

    read = staticmethod(read_test_table)


def _key(parts: tuple[str, ...]) -> Key | None:
    name = re.fullmatch(r"(sub\d{4})_\d+", parts[-1]) if parts else None
    return (name[1], name[0]) if name else None
