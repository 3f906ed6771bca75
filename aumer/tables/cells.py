"""Workbooks and text tables, read cell by cell; every error names file, line and column.

A text table is UTF-8 or UTF-16 and separated by commas, semicolons or tabs, which its first line
shows or declares (``sep=;``). If the separator is not a comma, numbers may have a decimal comma.
"""

from __future__ import annotations

import codecs
import csv
import datetime
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from aumer.arguments import as_path
from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath
from aumer.foreign import check_archive, foreign

#: The header is searched in the first lines; SAMM's workbook has 13 lines of text above it.
_HEADER_WITHIN = 40

#: A column's name, or its names in several editions; rows use the first.
Column: TypeAlias = str | tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        where: file and sheet, for messages.
        number: its line, 1-based, as a spreadsheet shows it.
        cells: by the caller's name of the column.
        decimal_comma: whether a number's comma is a decimal point.
        word: what a line is called in messages.
    """

    where: str
    number: int
    cells: Mapping[str, Any]
    decimal_comma: bool = False
    word: str = "row"

    def text(self, column: str) -> str:
        """The cell's text without surrounding blanks.

        Raises:
            UsageError: the cell is empty.
        """
        found = self.optional(column)
        if not found:
            merged = "" if self.word == "line" else "; of merged cells, each needs the value"
            raise self.error(column, f"the cell is empty{merged}")
        return found

    def optional(self, column: str) -> str:
        """The cell's text without surrounding blanks; "" if it is empty.

        Raises:
            UsageError: the cell holds a date.
        """
        cell = self.cells.get(column)
        if problem := date_problem(cell):
            raise self.error(column, problem)
        return text_of(cell)

    def number_in(self, column: str) -> float:
        """The cell's number.

        Raises:
            UsageError: the cell is empty or holds something else.
        """
        found = self.text(column)
        value = number_of(found, decimal_comma=self.decimal_comma)
        if value is None:
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
        """An error with file, line and column."""
        return UsageError(f"{self.where}, {self.word} {self.number}, column {column}: {problem}")


@dataclass(frozen=True)
class Sheet:
    """All lines of a sheet of a workbook, or of a text table (one sheet without a name).

    Attributes:
        lines: cells of each line from line 1, including empty lines.
        decimal_comma: whether a number's comma is a decimal point.
    """

    path: Path
    name: str
    lines: Sequence[Sequence[Any]]
    decimal_comma: bool = False

    @property
    def where(self) -> str:
        """File and sheet, for messages."""
        return f"{self.path}, sheet {self.name!r}" if self.name else f"{self.path}"

    @property
    def word(self) -> str:
        """What a line is called in messages."""
        return "row" if self.name else "line"


@dataclass(frozen=True)
class Table:
    """The non-empty lines of a sheet below its header."""

    path: Path
    sheet: str
    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def read(
    path: StrPath,
    columns: Sequence[Column],
    *,
    sheet: str | None = None,
    optional: Sequence[Column] = (),
    others: bool = False,
) -> Table:
    """The table that has these columns: a CSV file, or a sheet of a workbook.

    Columns are found by name in any order, spacing and capitalization, and the header in any of the
    first lines. Without a `sheet` of this name the first sheet with these columns is read. For a
    column with several names the first one in the table is read.

    Args:
        others: also read all other named columns by their names, and all rows with a value in any
            of them.

    Raises:
        UsageError: the file is missing or is not what its suffix says, has no rows, or lacks a
            column; the message names it and the columns found.
    """
    found = {one.name: one for one in sheets(path)}
    named = {sheet: found[sheet]} if sheet is not None and sheet in found else found
    best = max(named.values(), key=lambda one: _header(one.lines, columns)[1])
    return _table(best, columns, optional, others)


def read_sheet(path: StrPath, sheet: str, columns: Sequence[str], *, header: int = 1) -> Table:
    """A sheet without column names: `columns` names them from the left.

    Args:
        header: number of lines above the first row.

    Raises:
        UsageError: as for `read`; or no sheet has this name.
    """
    found = {one.name: one for one in sheets(path)}
    if sheet not in found:
        raise UsageError(
            f"{path}: has no sheet {sheet!r}; its sheets are {', '.join(map(repr, found))}."
            + did_you_mean(sheet, found)
        )
    one = found[sheet]
    width = max((len(line) for line in one.lines), default=0)
    if width < len(columns):
        raise UsageError(
            f"{one.where}: needs {len(columns)} columns ({', '.join(columns)}), found {width}"
        )
    return _rows(one, header, dict(zip(columns, range(width), strict=False)))


def names_of(column: Column) -> tuple[str, ...]:
    """All names of a column; the first is the one used by rows."""
    return (column,) if isinstance(column, str) else column


def column_text(column: Column) -> str:
    """A column for messages: ``'AU'``, or ``'AU' (or 'AUs')``."""
    first, *others = map(repr, names_of(column))
    return f"{first} (or {', '.join(others)})" if others else first


def _table(
    sheet: Sheet, columns: Sequence[Column], optional: Sequence[Column], others: bool = False
) -> Table:
    lines = sheet.lines
    needed = [names_of(column)[0] for column in columns]
    if not lines:
        raise UsageError(f"{sheet.where}: is empty; needs columns {', '.join(needed)}")
    at, _ = _header(lines, columns)
    names = [plain(cell) for cell in lines[at]]
    places: dict[str, int] = {}
    for column in (*columns, *optional):
        spelled = [plain(one) for one in names_of(column)]
        if one := next((one for one in spelled if one in names), None):
            places[names_of(column)[0]] = names.index(one)
    missing = [column for column in columns if names_of(column)[0] not in places]
    if missing:
        found = [str(cell).strip() for cell in lines[at] if cell is not None]
        lacking = ", ".join(map(column_text, missing))
        raise UsageError(
            f"{sheet.where}, {sheet.word} {at + 1}: no column {lacking}; "
            f"found {', '.join(map(repr, found)) or 'nothing'}."
            f"{did_you_mean(names_of(missing[0])[0], found)}"
        )
    if others:
        known = set(places.values())
        for index, cell in enumerate(lines[at]):
            if names[index] and index not in known:
                if (name := str(cell).strip()) in places:
                    raise UsageError(
                        f"{sheet.where}, {sheet.word} {at + 1}: two columns are called {name!r}; "
                        "give one another name"
                    )
                places[name] = index
    return _rows(sheet, at + 1, places, needed=() if others else needed)


def _rows(sheet: Sheet, begin: int, places: Mapping[str, int], needed: Sequence[str] = ()) -> Table:
    rows = []
    for number, line in enumerate(sheet.lines[begin:], start=begin + 1):
        cells = {c: line[k] if k < len(line) else None for c, k in places.items()}
        if any(text_of(cells[c]) for c in needed or cells):
            rows.append(Row(sheet.where, number, cells, sheet.decimal_comma, sheet.word))
    if not rows:
        raise UsageError(f"{sheet.where}: has no rows below its header")
    return Table(sheet.path, sheet.name, tuple(rows))


def text_of(cell: Any) -> str:
    """A cell's text without surrounding blanks; "" if it is empty."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)  # a spreadsheet's 12.0 means 12
    return "" if cell is None else str(cell).strip()


def date_problem(cell: Any) -> str:
    """The error text for a cell with a date or a time; "" for others.

    No table here has dates: spreadsheets make them from names such as 1-2.
    """
    if not isinstance(cell, (datetime.date, datetime.time, datetime.timedelta)):
        return ""
    return (
        f"holds the date or time {cell}, which a spreadsheet made of what was typed; format the "
        "column as text and type it again"
    )


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def number_of(text: str, *, decimal_comma: bool = False) -> float | None:
    """The finite number in a text; `None` if there is none."""
    if decimal_comma and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def nearest_frame(value: float) -> int:
    """The nearest whole number of a finite one; halves are rounded up, so that an interval's length
    does not depend on its position.
    """
    return math.floor(value + 0.5)


def plain(cell: Any) -> str:
    """A column's name without spacing, capitals and other differences between editions."""
    return re.sub(r"[\W_]+", "", str(cell)).casefold() if cell is not None else ""


def _header(lines: Sequence[Sequence[Any]], columns: Sequence[Column]) -> tuple[int, int]:
    """Index of the line with the most of these columns, and their number."""
    wanted = [{plain(name) for name in names_of(column)} for column in columns]
    cells = [{plain(cell) for cell in line} for line in lines[:_HEADER_WITHIN]]
    counts = [sum(bool(names & line) for names in wanted) for line in cells]
    best = max(counts, default=0)
    return (counts.index(best) if counts else 0), best


# -- files ----------------------------------------------------------------------------------------

_WORKBOOKS = frozenset((".xlsx", ".xlsm"))
_SEPARATORS = ",;\t"


def sheets(path: StrPath) -> tuple[Sheet, ...]:
    """Every sheet of a workbook, or the one of a text table.

    Raises:
        UsageError: the file is missing, or is neither a workbook nor a readable text.
    """
    path = as_path("path", path, "the path of a table")
    with foreign(path, "a table"):
        content = path.read_bytes()
    # A workbook is also recognized by its first bytes, whatever its name.
    if path.suffix.lower() in _WORKBOOKS or content.startswith(b"PK\3\4"):
        return _workbook(path)
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise UsageError(f"{path} is a workbook of the old kind (.xls); save it as .xlsx or as CSV")
    return (sheet_of(path, decoded(path, content)),)


def sheet_of(path: StrPath, text: str) -> Sheet:
    """The sheet that a text table is.

    Args:
        path: for messages.

    Raises:
        UsageError: it cannot be read.
    """
    path = Path(path)
    lines, separator = _separated(path, text)
    return Sheet(path, "", lines, decimal_comma=separator != ",")


#: First bytes of files that are mistaken for text tables, and what to do.
_NO_TEXT: Mapping[bytes, str] = {
    b"\x1f\x8b": "it is compressed by gzip: unpack it",
    b"\x80": "a pickle, which may run code, is not read: save it as CSV",
    b"PAR1": "it is a Parquet file: save it as CSV",
    b"\x89HDF": "it is an HDF5 file: save it as CSV",
    b"\x93NUMPY": "it is a numpy file: call it NAME.npy",
    b"MATLAB": "it is a MATLAB file: call it NAME.mat",
    b"%PDF": "it is a PDF: save its table as CSV",
}


def encoding_of(content: bytes) -> str:
    """A file's encoding: UTF-16 if its byte order mark or its first letters show it."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if content[1:4:2] == b"\0\0":  # Latin letters in UTF-16 without a byte order mark
        return "utf-16-le"
    return "utf-16-be" if content[0:3:2] == b"\0\0" else "utf-8-sig"


def decoded(path: StrPath, content: bytes) -> str:
    """The text of a file's bytes, which are UTF-8 or UTF-16.

    Raises:
        UsageError: they are neither; the message gives the line and how it reads in Windows-1252.
            That encoding is not assumed: bytes from a Mac would give other letters.
    """
    encoding = encoding_of(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if advice := _no_text(content):
            raise UsageError(f"{path} is not a text file; {advice}") from error
        if encoding != "utf-8-sig":
            raise UsageError(
                f"{path} is neither a text file in UTF-8 nor one in UTF-16: {error.reason}"
            ) from error
        number = error.object[: error.start].count(b"\n") + 1
        line = error.object.split(b"\n")[number - 1].decode("cp1252", "replace").strip()
        raise UsageError(
            f"{path} is not a CSV file in UTF-8 (or UTF-16): line {number} reads {line!r} in "
            "Windows-1252. If that is right, save the file as UTF-8 (Excel: 'CSV UTF-8')"
        ) from error
    if "\0" in text:
        advice = _no_text(content) or "it holds null bytes"
        raise UsageError(f"{path} is not a text file; {advice}")
    return text


def _no_text(content: bytes) -> str:
    return next((advice for start, advice in _NO_TEXT.items() if content.startswith(start)), "")


#: Texts that spreadsheets would run as formulas, with or without a quote before them.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def csv_line(cells: Iterable[Any]) -> list[Any]:
    """The cells of a line for CSV: a text that a spreadsheet would run as a formula gets a quote
    before it, as in spreadsheets; `sheets` removes it.
    """
    return [
        f"'{cell}"
        if isinstance(cell, str) and _FORMULA.match(cell) and number_of(cell) is None
        else cell
        for cell in cells
    ]


class _Echo:
    """A target of `csv.writer` that returns the text."""

    def write(self, line: str) -> str:
        return line


def csv_lines(rows: Iterable[Iterable[Any]]) -> str:
    """Lines of CSV as from `text_lines`, with cells escaped by `csv_line`."""
    return text_lines(map(csv_line, rows))


def text_lines(rows: Iterable[Iterable[Any]], separator: str = ",") -> str:
    """Lines of a text table, each ended by a line feed.

    A cell with a carriage return is quoted, too, as readers take it for the end of a line; Python
    does so only if it ends lines with one.
    """
    writer = csv.writer(_Echo(), delimiter=separator, lineterminator="\r\n")
    lines = (writer.writerow(cells) for cells in rows)
    return "".join(f"{str(line).removesuffix(chr(13) + chr(10))}\n" for line in lines)


def _bare(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _separated(path: Path, text: str) -> tuple[list[list[Any]], str]:
    """Cells of every line, and the separator."""
    first = re.search(r"[^\r\n]*\S[^\r\n]*", text)
    header = first[0] if first else ""
    with foreign(path, "a CSV file"):  # also for a cell without end
        # Column names contain no separator; of equal counts the first is used.
        separator = max(
            _SEPARATORS, key=lambda one: len(next(_reader(header, one, strict=False), []))
        )
    if first and (declared := re.fullmatch(r'"?sep=(.)"?[,;\s]*', header, re.IGNORECASE)):
        separator = declared[1]
        text = text[: first.start()] + text[first.end() :]  # the line stays as an empty one
    with foreign(path, "a CSV file"):  # the separator is not allowed
        reader = _reader(text, separator)
    lines: list[list[Any]] = []
    try:
        for cells in reader:
            lines.append([_bare(cell) for cell in cells])
            # A cell may contain line breaks: lines keep the numbers that an editor shows.
            lines += [[]] * (reader.line_num - len(lines))
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: not CSV: {error}") from error
    return lines, separator


def _reader(text: str, separator: str, *, strict: bool = True) -> Any:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict)


#: Most cells of a workbook, including empty ones between others. SAMM-LV's has 5,000.
_MOST_CELLS = 20_000_000


def _workbook(path: Path) -> tuple[Sheet, ...]:
    from openpyxl import load_workbook

    # From a file object: with a path, openpyxl decides by the suffix.
    with (
        foreign(path, "an .xlsx workbook", advice="Save an .xls as .xlsx, or any table as CSV"),
        path.open("rb") as file,
    ):
        check_archive(file)
        # Line by line: one cell in row one million must not create a million rows.
        book = load_workbook(file, data_only=True, read_only=True)
        found = []
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # the declared size may be wrong
            found.append(Sheet(path, sheet.title, _filled(sheet.iter_rows(values_only=True))))
        return tuple(found)


def _filled(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """The lines up to the last non-empty one.

    Raises:
        ValueError: there are more than any table has.
    """
    lines: list[list[Any]] = []
    empty = cells = 0
    for row in rows:
        cells += 1 + len(row)
        if cells > _MOST_CELLS:
            raise ValueError(f"a sheet has more than {_MOST_CELLS} cells")
        if all(cell is None for cell in row):
            empty += 1
            continue
        lines += [[]] * empty
        lines.append(list(row))
        empty = 0
    return lines
