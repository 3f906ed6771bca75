"""MEGC 2019's composite for recognition: 442 clips of SMIC-HS, CASME II and SAMM, three classes."""

from __future__ import annotations

from aumer.data.report import TableReport
from aumer.data.tables import Row, read
from aumer.files import StrPath
from aumer.types import Annotation

NAME = "megc2019"
#: Classes by their number in ``labels.csv``.
CLASSES = ("negative", "positive", "surprise")
SOURCES = ("smic", "casme2", "samm")
_COLUMNS = ("dataset", "sub", "filename_o", "label")


def read_table(path: StrPath) -> TableReport:
    """``labels.csv``: the class is the annotation's emotion; it has no frames, so that the onset is
    the clip's first frame and apex and offset are not given.

    Raises:
        UsageError: a column is missing or a cell holds something else.
    """
    table = read(path, _COLUMNS)
    found = tuple(
        Annotation(
            subject=row.text("sub"),
            video=row.text("filename_o"),
            kind="micro",
            onset=0,
            apex=None,
            offset=None,
            emotion=CLASSES[_label(row)],
            row=row.number,
        )
        for row in table
    )
    return TableReport(NAME, table.path, table.sheet, len(table), found)


def _label(row: Row) -> int:
    label = row.whole("label")
    if label not in range(len(CLASSES)):
        named = ", ".join(f"{number} ({name})" for number, name in enumerate(CLASSES))
        raise row.error("label", f"needs {named}; found {label}")
    return label
