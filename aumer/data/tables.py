"""Sheets and CSV files, read cell by cell; every complaint says file, sheet, line and column."""

from __future__ import annotations

import csv
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath

T = TypeVar("T")

#: A header stands within the first lines; SAMM's workbook has 13 lines of text above it.
_HEADER_WITHIN = 40


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        where: file and sheet, for messages.
        number: its line, 1-based, as a spreadsheet shows it.
        cells: by column as the caller names it.
    """

    where: str
    number: int
    cells: Mapping[str, Any]

    def text(self, column: str) -> str:
        """What the cell says, without blanks around it.

        Raises:
            UsageError: the cell is empty.
        """
        found = self.optional(column)
        if not found:
            raise self.error(column, "the cell is empty")
        return found

    def optional(self, column: str) -> str:
        """What the cell says, without blanks around it; nothing where it is empty."""
        value = self.cells.get(column)
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # a spreadsheet's 12.0 is somebody's 12
        return "" if value is None else str(value).strip()

    def number_in(self, column: str) -> float:
        """The cell's number.

        Raises:
            UsageError: the cell is empty or holds something else.
        """
        found = self.text(column)
        try:
            value = float(found)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(column, f"needs a number, found {found!r}")
        return value

    def whole(self, column: str) -> int:
        """The cell's whole number.

        Raises:
            UsageError: the cell is empty or holds something else.
        """
        value = self.number_in(column)
        if not value.is_integer():
            raise self.error(column, f"needs a whole number, found {value:g}")
        return int(value)

    def error(self, column: str, problem: str) -> UsageError:
        """An error that says where it is."""
        return UsageError(f"{self.where}, row {self.number}, column {column}: {problem}")


@dataclass(frozen=True)
class Table:
    """The lines of a sheet that are not empty, below its header."""

    path: Path
    sheet: str
    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def read(
    path: StrPath,
    columns: Sequence[str],
    *,
    sheet: str | None = None,
    optional: Sequence[str] = (),
) -> Table:
    """The table that has these columns: a CSV file, or a sheet of a workbook.

    Columns are found by name, wherever they stand and however they are spaced and capitalised, and
    the header wherever it stands. Without a `sheet` of this name the first that has them is taken.

    Raises:
        UsageError: the file is missing or is not what its suffix says, has no rows, or lacks a
            column; the message says which, and what there is instead.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        return _table(path, "", _csv_lines(path), columns, optional)
    sheets = _sheets(path)
    named = {sheet: sheets[sheet]} if sheet in sheets else sheets
    for name, lines in named.items():
        if _header(lines, columns)[1] == len(columns):
            return _table(path, name, lines, columns, optional)
    best = max(named, key=lambda name: _header(named[name], columns)[1])
    return _table(path, best, named[best], columns, optional)


def read_sheet(path: StrPath, sheet: str, columns: Sequence[str], *, header: int = 1) -> Table:
    """A sheet whose columns have no names: `columns` names them from the left.

    Args:
        header: lines above the first row.

    Raises:
        UsageError: as for `read`; also where no sheet has this name.
    """
    path = Path(path)
    sheets = _sheets(path)
    if sheet not in sheets:
        raise UsageError(
            f"{path}: has no sheet {sheet!r}; its sheets are {', '.join(map(repr, sheets))}."
            + did_you_mean(sheet, sheets)
        )
    lines = sheets[sheet]
    width = max((len(line) for line in lines), default=0)
    if width < len(columns):
        raise UsageError(
            f"{path}, sheet {sheet!r}: needs {len(columns)} columns ({', '.join(columns)}), found "
            f"{width}"
        )
    return _rows(path, sheet, lines, header, dict(zip(columns, range(width), strict=False)))


def _table(
    path: Path,
    sheet: str,
    lines: Sequence[Sequence[Any]],
    columns: Sequence[str],
    optional: Sequence[str],
) -> Table:
    if not lines:
        raise UsageError(f"{_where(path, sheet)}: is empty; needs columns {', '.join(columns)}")
    at, _ = _header(lines, columns)
    names = [_plain(cell) for cell in lines[at]]
    missing = [column for column in columns if _plain(column) not in names]
    if missing:
        found = [str(cell).strip() for cell in lines[at] if cell is not None]
        raise UsageError(
            f"{_where(path, sheet)}, row {at + 1}: no column {', '.join(map(repr, missing))}; "
            f"found {', '.join(map(repr, found)) or 'nothing'}.{did_you_mean(missing[0], found)}"
        )
    wanted = [*columns, *(column for column in optional if _plain(column) in names)]
    places = {column: names.index(_plain(column)) for column in wanted}
    return _rows(path, sheet, lines, at + 1, places, needed=columns)


def _rows(
    path: Path,
    sheet: str,
    lines: Sequence[Sequence[Any]],
    begin: int,
    places: Mapping[str, int],
    needed: Sequence[str] = (),
) -> Table:
    where = _where(path, sheet)
    rows = []
    for number, line in enumerate(lines[begin:], start=begin + 1):
        cells = {c: line[k] if k < len(line) else None for c, k in places.items()}
        if any(_filled(cells[c]) for c in needed or cells):
            rows.append(Row(where, number, cells))
    if not rows:
        raise UsageError(f"{where}: has no rows below its header")
    return Table(path, sheet, tuple(rows))


def _where(path: Path, sheet: str) -> str:
    return f"{path}, sheet {sheet!r}" if sheet else f"{path}"


def _filled(cell: Any) -> bool:
    return cell is not None and str(cell).strip() != ""


def _plain(cell: Any) -> str:
    """A column's name without what editions of one workbook differ in."""
    return re.sub(r"[\s_]+", "", str(cell)).casefold() if cell is not None else ""


def _header(lines: Sequence[Sequence[Any]], columns: Sequence[str]) -> tuple[int, int]:
    """Place of the line with the most of these columns, and how many it has."""
    wanted = {_plain(column) for column in columns}
    counts = [len(wanted & {_plain(cell) for cell in line}) for line in lines[:_HEADER_WITHIN]]
    best = max(counts, default=0)
    return (counts.index(best) if counts else 0), best


def _csv_lines(path: Path) -> list[list[Any]]:
    def load() -> list[list[Any]]:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [list(line) for line in csv.reader(file)]

    return _explained(path, "a CSV file in UTF-8", load)


def _sheets(path: Path) -> dict[str, list[list[Any]]]:
    def load() -> dict[str, list[list[Any]]]:
        from openpyxl import load_workbook

        # From a handle: from a path, openpyxl judges by the suffix.
        with path.open("rb") as file:
            book = load_workbook(file, data_only=True, read_only=False)
            return {s.title: [list(r) for r in s.iter_rows(values_only=True)] for s in book}

    return _explained(path, "an .xlsx workbook (save an .xls as .xlsx)", load)


#: What openpyxl, zipfile and csv raise of a file that is not theirs or is damaged. (A ParseError of
#: XML is a SyntaxError.)
_UNREADABLE = (
    OSError,
    BadZipFile,
    zlib.error,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    SyntaxError,
    csv.Error,
)


def _explained(path: Path, what: str, load: Callable[[], T]) -> T:
    try:
        return load()
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.strerror:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        raise UsageError(f"{path} is not {what}: {error}") from error
