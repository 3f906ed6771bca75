"""The reader of text tables without a header."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from aumer.errors import UsageError
from aumer.foreign import foreign
from aumer.tables.cells import Sheet, number_of, sheets, text_of
from aumer.tables.lines import Lines
from aumer.tables.readers.columns import begins_with_numbers, column_names, names_columns
from aumer.tables.readers.rows import require_unit
from aumer.tables.reading import IntervalReader, IntervalReading

TEXTS = (".txt", ".csv", ".tsv")


class HeaderlessReader(IntervalReader):
    """Text tables without a header, LGSNet's among them."""

    what: ClassVar[str] = (
        "text without a header, a line an interval: video, onset, offset and, if wanted, apex, "
        "kind and score, where the cells tell which is which; else name the columns"
    )

    takes_columns: ClassVar[bool] = True

    def fits(self, path: Path) -> bool:
        if path.suffix.lower() not in TEXTS or not path.is_file():
            return False
        try:
            lines = text_lines(path)
        except UsageError:
            return False
        return bool(lines) and not names_columns(lines) and begins_with_numbers(lines[0])

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        lines = text_lines(path, keep_empty=True)
        filled = [line for line in lines if any(map(text_of, line))]
        if not filled:
            return []
        names, note = column_names(str(path), filled, reading)
        require_unit(str(path), names, filled, reading)
        return [Lines(Sheet(path, "", lines), -1, names, "line {}", notes=note)]


def text_lines(path: Path, *, keep_empty: bool = False) -> list[Sequence[Any]]:
    """Cells of the lines of a text, separated by commas, semicolons, tabs or else blanks."""
    with foreign(path, "a text table"):
        if not path.read_bytes().strip():
            return []
    (sheet,) = sheets(path)
    lines = list(sheet.lines)
    filled = [line for line in lines if any(map(text_of, line))]
    if filled and all(len(line) == 1 for line in filled):
        lines = [re.split(r"\s+", text_of(line[0])) if line else [] for line in lines]
    if not keep_empty:
        lines = [line for line in lines if any(map(text_of, line))]
    if sheet.decimal_comma:
        lines = [[_with_point(cell) for cell in line] for line in lines]
    return lines


def _with_point(cell: Any) -> Any:
    value = number_of(text_of(cell), decimal_comma=True)
    return cell if value is None or "," not in text_of(cell) else repr(value)
