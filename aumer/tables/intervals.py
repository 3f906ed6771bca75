"""Tables of intervals: one reader for labels, truths and predictions of aumer and of others.

Columns are found by name, in any spacing and capitalization. `COLUMNS` lists all names, and nothing
else is guessed: frames and seconds have separate columns. Files are text tables and workbooks
(`aumer.tables.cells`) and JSON: ``{"rows": [...]}`` with the same names, or files of ``aumer spot``
and ``aumer view``. With an `IntervalReading`, other files are read, too (`aumer.tables.readers`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aumer.arguments import as_path
from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath
from aumer.tables.cells import date_problem, nearest_frame, number_of, plain, sheet_of, text_of
from aumer.tables.lines import COLUMNS, KIND_WORDS, MISSING, MOST_FRAMES, Lines, RowKind
from aumer.tables.reading import TABLE, IntervalReading, Offset, Unit, choose, reader_of
from aumer.types import Kind

logger = logging.getLogger("aumer")

#: Columns of AUW-GCN's tables, in which an offset of 0 means a missing one.
_ZERO_IS_MISSING = frozenset(map(plain, ("video_name", "start_frame", "end_frame", "type_idx")))

#: The suffix of a video file; not the end of a name such as 006_1.2.
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,3}$")
_TOO_MANY = f"more than any video has; at most {MOST_FRAMES:,} are read"
#: Number of faults in one error.
_TOLD = 10


@dataclass(frozen=True)
class IntervalRow:
    """One line of a table; missing values are `None` or empty.

    Attributes:
        line: its position, see `IntervalTable.at`.
        onset, apex, offset: frames in the table's numbering, ends included.
        onset_s, apex_s, offset_s: seconds.
        fps, frames: of the video.
    """

    line: int
    video: str = ""
    subject: str = ""
    kind: RowKind | None = None
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    onset_s: float | None = None
    apex_s: float | None = None
    offset_s: float | None = None
    score: float | None = None
    label: str = ""
    aus: str = ""
    comment: str = ""
    fps: float | None = None
    frames: int | None = None

    @property
    def expression(self) -> Kind | None:
        """Its kind; `None` if it is not an expression."""
        return self.kind if self.kind in ("micro", "macro") else None

    @property
    def in_seconds(self) -> bool:
        """Whether its start is given only in seconds."""
        return self.onset is None and self.onset_s is not None


@dataclass(frozen=True)
class IntervalTable:
    """A table of intervals as read.

    Attributes:
        sheet: of a workbook.
        rows: in file order.
        columns: the table's own name for each role of `COLUMNS` that was read.
        notes: notes for the user: ignored columns, rows of kind ``ignore``, ...
        line_name: how a line is named in messages, `{}` its number.
        line_names: names of lines, if they say more than the number.
        reader: the name of its reader.
        unit: of its intervals: seconds if it has no frames.
        first_frame: number of a video's first frame in the table; 0 if unknown.
        offset: whether that frame belongs to the interval.
    """

    path: Path
    sheet: str
    rows: tuple[IntervalRow, ...]
    columns: Mapping[str, str]
    notes: tuple[str, ...] = ()
    line_name: str = "line {}"
    reader: str = TABLE
    unit: Unit = "frames"
    first_frame: int = 0
    offset: Offset = "included"
    line_names: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[IntervalRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def where(self) -> str:
        """File and sheet, for messages."""
        return f"{self.path}, sheet {self.sheet!r}" if self.sheet else str(self.path)

    def at(self, row: IntervalRow) -> str:
        """A row's position, for messages."""
        return f"{self.where}, {self.line(row.line)}"

    def line(self, number: int) -> str:
        """A line's name in messages."""
        return self.line_names[number - 1] if self.line_names else self.line_name.format(number)

    def error(self, row: IntervalRow, role: str, problem: str) -> UsageError:
        """An error with file, line and column."""
        return UsageError(f"{self.at(row)}, column {self.columns.get(role, role)}: {problem}")

    def in_frames(
        self, row: IntervalRow, *, first: int | None = None, fps: float | None = None
    ) -> tuple[int, int | None, int | None]:
        """Onset, apex and offset in frames from 0; the offset is the interval's last frame.

        Args:
            first: the table's number of the first frame, if it differs from `first_frame`.
            fps: frame rate of the video, for rows in seconds that give none.

        Raises:
            UsageError: seconds without a frame rate.
        """
        first = self.first_frame if first is None else first
        found = []
        for name in ("onset", "apex", "offset"):
            frame, seconds = getattr(row, name), getattr(row, f"{name}_s")
            behind = int(name == "offset" and self.offset == "excluded")
            if frame is not None:
                found.append(frame - first - behind)
            elif seconds is None:
                found.append(None)
            elif rate := row.fps or fps:
                if abs(seconds * rate) > MOST_FRAMES:
                    problem = f"{seconds:g} s at {rate:g} frames a second are {_TOO_MANY}"
                    raise self.error(row, f"{name}_s", problem)
                found.append(nearest_frame(seconds * rate) - behind)
            else:
                raise self.error(
                    row, f"{name}_s", "seconds need the video's frame rate; add a column fps, or "
                    "give `fps`",
                )  # fmt: skip
        onset, apex, offset = found
        assert onset is not None, "a row of an expression has one"
        return onset, apex, offset

    def describe(self) -> str:
        """How it was read; the same text for all files that are read in the same way."""
        start = f", the first is {self.first_frame}" if self.unit == "frames" else ""
        return f"reader {self.reader}; {self.unit}{start}; offset {self.offset}"

    def log_notes(self) -> None:
        """Log the notes."""
        for note in self.notes:
            logger.warning("%s: %s", self.where, note)


def read(
    path: StrPath,
    *,
    optional: Collection[str] = (),
    only: Collection[str] | None = None,
    negative: bool = False,
    unnamed_kind: Kind | None = None,
    rows_needed: bool = False,
    reading: IntervalReading | None = None,
    reversed_rows: bool = False,
    text: str | None = None,
) -> IntervalTable:
    """The table of intervals in a file.

    The row of an expression has video, kind, and onset and offset in frames or in seconds; frames
    are used if both are given. All else may be missing. Columns that are not in `COLUMNS` are
    ignored, and named in the notes.

    Args:
        optional: roles that may be missing. ``offset``: in a row. ``onset`` and ``offset``: in a
            row or as columns; the row is then a whole video. ``kind``: as a column; all rows are
            then of `unnamed_kind`.
        only: the roles to read; only ``video`` reads a list of videos.
        negative: whether frames below 0 are allowed; published methods predict them.
        unnamed_kind: kind of all rows of a table of emotions or action units without a column for
            the kind, such as spot-then-recognize submissions.
        rows_needed: whether an empty table is an error.
        reading: what is known of the file; it allows all readers. By default the file is a table or
            JSON as described above.
        reversed_rows: whether a row may end before it starts.
        text: the table's text; `path` is then only its name in messages.

    Raises:
        UsageError: the file cannot be read, a column is missing or duplicate, or a cell has a wrong
            value; the message lists the first `_TOLD` of these with file, line, column, what was
            found and what is allowed.
    """
    wanted = tuple(COLUMNS) if only is None else tuple(only)
    path = as_path("path", path, "the path of a table")
    reading = reading or IntervalReading(TABLE)
    name = choose(path, reading) if text is None else TABLE
    if reading.kind is not None:
        optional, unnamed_kind = (*optional, "kind"), reading.kind
    lines = _found(path, wanted, unnamed_kind, optional, name, reading, text)
    allowed = _Allowed(negative, reversed_rows)
    reader = _Reader(lines, wanted, frozenset(optional), allowed, unnamed_kind, reading, name)
    return reader.table(rows_needed)


def check_columns(
    path: StrPath, *, optional: Collection[str] = (), unnamed_kind: Kind | None = None
) -> None:
    """Raise the errors of `read` for the file and its header; rows are not checked."""
    path = as_path("path", path, "the path of a table")
    _found(path, tuple(COLUMNS), unnamed_kind, optional, TABLE, IntervalReading(TABLE))


def _found(
    path: Path,
    wanted: Collection[str],
    unnamed_kind: Kind | None,
    optional: Collection[str],
    reader: str,
    reading: IntervalReading,
    text: str | None = None,
) -> Lines:
    """The lines of the only sheet with the columns."""
    if text is None:
        candidates = reader_of(reader).find(path, reading)
    else:
        candidates = [found for one in [sheet_of(path, text)] if (found := Lines.of(one))]
    if not candidates:
        raise UsageError(f"{path} is empty; its first line must name the columns")
    fitting = [one for one in candidates if not one.lacks(wanted, unnamed_kind, optional)]
    if len(fitting) > 1:
        names = ", ".join(repr(one.sheet.name) for one in fitting)
        raise UsageError(
            f"{path}: its sheets {names} all hold a table of intervals; leave one, or save the one "
            "that is meant as CSV"
        )
    lines = fitting[0] if fitting else max(candidates, key=lambda one: len(one.known))
    # Without a reading the caller cannot give the kind either.
    said = reading.reader != TABLE
    lines.check(wanted, unnamed_kind, optional, kind_may_be_said=said)
    return lines


def named_like(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` with the same path as `name`, or the only one with the same ending.

    A table may use ``smile.mp4`` or ``smile`` for ``anna/smile.mp4`` in another table.
    """
    found = ending_alike(name, names)
    return found[0] if len(found) == 1 else None


def ending_alike(name: str, names: Iterable[str], *, any_suffix: bool = False) -> list[str]:
    """Those of `names` that `name` may mean: itself, else paths with the same ending, with or
    without a suffix; else, if `any_suffix`, with another suffix.
    """
    names = list(names)
    if name in names:
        return [name]
    own = _parts(name)
    for same in (_same_end, _same_stem)[: 1 + any_suffix]:
        if found := [other for other in names if same(own, _parts(other))]:
            return found
    return []


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def _same_end(one: Sequence[str], other: Sequence[str]) -> bool:
    shorter = min(len(one), len(other))
    if not shorter or tuple(one[-shorter:-1]) != tuple(other[-shorter:-1]):
        return False
    a, b = one[-1], other[-1]
    return a == b or _SUFFIX.sub("", a) == b or a == _SUFFIX.sub("", b)


def _same_stem(one: Sequence[str], other: Sequence[str]) -> bool:
    bare = [(*path[:-1], _SUFFIX.sub("", path[-1])) for path in (one, other) if path]
    return len(bare) == 2 and _same_end(*bare)


# -- rows -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Allowed:
    """Whether frames below 0, and rows that end before they start, are allowed."""

    negative: bool
    reversed_rows: bool


@dataclass
class _Reader:
    """Reads the lines below a header and collects their faults."""

    lines: Lines
    wanted: Collection[str]
    optional: frozenset[str]
    allowed: _Allowed
    unnamed_kind: Kind | None
    reading: IntervalReading
    reader: str
    faults: list[str] = field(default_factory=list)
    rounded: int = 0

    def __post_init__(self) -> None:
        self.known = {r: p[0] for r, p in self.lines.known.items() if r in self.wanted}
        if "kind" in self.wanted and "code" in self.lines.known:
            self.known["code"] = self.lines.known["code"][0]
        if self.reading.unit == "seconds":
            for role in ("onset", "apex", "offset"):
                if role in self.known and f"{role}_s" not in self.known:
                    self.known[f"{role}_s"] = self.known.pop(role)
        plains = frozenset(map(plain, self.lines.names))
        self.zero_is_missing = plains >= _ZERO_IS_MISSING
        self.decimal_comma = self.lines.sheet.decimal_comma

    def table(self, rows_needed: bool) -> IntervalTable:
        rows = []
        for number, line in enumerate(self.lines.sheet.lines, start=1):
            if number - 1 <= self.lines.header or not any(map(text_of, line)):
                continue
            cells = self._cells(number, line)
            if cells is not None and (row := self._row(number, cells)) is not None:
                rows.append(row)
        where = self.lines.sheet.where
        if self.faults:
            more = len(self.faults) - _TOLD
            listed = self.faults[:_TOLD] + ([f"... and {more} more"] if more > 0 else [])
            raise UsageError("\n".join(listed))
        if rows_needed and not rows:
            raise UsageError(f"{where}: has no rows below its header")
        columns = {role: self.lines.names[index] for role, index in self.known.items()}
        lines, reading = self.lines, self.reading
        placed = any(row.onset is not None for row in rows) or "onset" in self.known
        return IntervalTable(
            lines.sheet.path,
            lines.sheet.name,
            tuple(rows),
            columns,
            tuple(self._notes(rows)),
            lines.line_name,
            self.reader,
            "frames" if placed or "onset_s" not in self.known else "seconds",
            (reading.first_frame or 0) if lines.first_frame is None else lines.first_frame,
            lines.offset or reading.offset or "included",
            lines.line_names,
        )

    def _notes(self, rows: Sequence[IntervalRow]) -> Iterator[str]:
        yield from self.lines.notes
        if aside := self.lines.aside(self.wanted):
            yield aside
        if self._unnamed and rows:
            yield f"no column kind: every row is taken as a {self.unnamed_kind}-expression"
        if self.rounded:
            yield f"{self.rounded} fractional frames rounded to whole ones"
        ignored = sum(row.kind == "ignore" for row in rows)
        if ignored:
            yield f"{ignored} row{'s' if ignored > 1 else ''} of kind 'ignore' left aside"

    @property
    def _unnamed(self) -> bool:
        named = "kind" in self.known or "code" in self.known
        return "kind" in self.wanted and not named and self.unnamed_kind is not None

    def _fault(self, number: int, role: str, problem: str) -> None:
        column = self.lines.names[self.known[role]] if role in self.known else role
        self._say(number, f", column {column}: {problem}")

    def _say(self, number: int, text: str) -> None:
        self.faults.append(f"{self.lines.sheet.where}, {self.lines.line(number)}{text}")

    def _cells(self, number: int, line: Sequence[Any]) -> dict[str, str] | None:
        """Cells by role; `None` if the line is broken."""
        width = len(self.lines.names)
        if len(line) < width or any(map(text_of, line[width:])):
            filled = len(line)
            while filled > width and not text_of(line[filled - 1]):
                filled -= 1
            self._say(number, f": {filled} cells where the header has {width}")
            return None
        dates = {r: p for r, index in self.known.items() if (p := date_problem(line[index]))}
        for role, problem in dates.items():
            self._fault(number, role, problem)
        return None if dates else {r: text_of(line[index]) for r, index in self.known.items()}

    def _row(self, number: int, cells: Mapping[str, str]) -> IntervalRow | None:
        before = len(self.faults)
        words = ("video", "subject", "aus", "comment")
        found: dict[str, Any] = {role: cells.get(role, "") for role in words}
        label = cells.get("label", "")
        found["label"] = "" if label.casefold() == "nan" else label
        if not found["video"]:
            self._fault(number, "video", "needs a name; the cell is empty")
        kind = self._kind(number, cells)
        placed = cells if kind not in ("none", "ignore") else {}
        for role in ("onset", "apex", "offset"):
            found[role] = self._frame(number, role, placed)
            found[f"{role}_s"] = self._seconds(number, f"{role}_s", placed)
        for role in ("score", "fps", "frames"):
            found[role] = self._number(number, role, cells)
        if found["fps"] is not None and not found["fps"] > 0:
            self._fault(number, "fps", f"must be a number above 0; found {cells['fps']!r}")
        if found["frames"] is not None:
            if not (found["frames"].is_integer() and found["frames"] > 0):
                problem = f"must be a whole number above 0; found {cells['frames']!r}"
                self._fault(number, "frames", problem)
            found["frames"] = int(found["frames"])
        if len(self.faults) == before and kind in ("micro", "macro") and "onset" in self.wanted:
            self._interval(number, found)
        if len(self.faults) > before:
            return None
        return IntervalRow(number, kind=kind, **found)

    def _kind(self, number: int, cells: Mapping[str, str]) -> RowKind | None:
        if "kind" not in self.wanted:
            return None
        if self._unnamed:
            return self.unnamed_kind
        read: dict[str, RowKind] = {}
        for role in ("kind", "code"):
            if role in cells:
                text = cells[role]
                word = plain(str(int(v)) if (v := number_of(text)) in (1, 2) else text)
                if word not in KIND_WORDS:
                    allowed = (
                        "micro (me, micro-expression), macro (mae, macro-expression), none or "
                        "ignore" if role == "kind" else "1 (macro) or 2 (micro)"
                    )  # fmt: skip
                    near = did_you_mean(text.casefold(), ("micro", "macro", "none", "ignore"))
                    self._fault(number, role, f"must be {allowed}; found {text!r}.{near}")
                    return None
                read[role] = KIND_WORDS[word]
        if len(set(read.values())) > 1:
            text = f"says {cells['code']!r}, {read['code']}, where the kind is {cells['kind']!r}"
            self._fault(number, "code", text)
        return next(iter(read.values()))

    def _frame(self, number: int, role: str, cells: Mapping[str, str]) -> int | None:
        value = self._number(number, role, cells)
        if value is None or (self.zero_is_missing and role == "offset" and value == 0):
            return None
        if not value.is_integer() and self.reading.unit == "frames":
            self.rounded += 1
            value = float(nearest_frame(value))
        if not value.is_integer():
            column = self.lines.names[self.known[role]]
            self._fault(
                number,
                role,
                f"a frame is a whole number; found {cells[role]!r}. Round it, or, if it is a time "
                f"in seconds, call the column {role}_s instead of {column}",
            )
            return None
        if value < 0 and not self.allowed.negative:
            self._fault(number, role, f"frames count from 0, found {cells[role]}")
            return None
        if abs(value) > MOST_FRAMES:
            self._fault(number, role, f"{cells[role]} is {_TOO_MANY}")
            return None
        return int(value)

    def _seconds(self, number: int, role: str, cells: Mapping[str, str]) -> float | None:
        value = self._number(number, role, cells)
        if value is not None and value < 0 and not self.allowed.negative:
            self._fault(number, role, f"seconds count from the first frame, found {value:g}")
        if value is not None and abs(value) > MOST_FRAMES:
            self._fault(number, role, f"{value:g} s is {_TOO_MANY}")
        return value

    def _number(self, number: int, role: str, cells: Mapping[str, str]) -> float | None:
        text = cells.get(role, "")
        if text.casefold() in MISSING:
            return None
        value = number_of(text, decimal_comma=self.decimal_comma)
        if value is None:
            comma = number_of(text, decimal_comma=True) is not None
            advice = (
                ". Write a decimal point, or separate the columns by semicolons" if comma else ""
            )
            self._fault(number, role, f"must be a finite number; found {text!r}{advice}")
        return value

    def _interval(self, number: int, found: Mapping[str, Any]) -> None:
        """Checks that need several cells: missing values, and the order of onset and offset."""
        unit = "_s" if found["onset"] is None and "onset_s" in self.known else ""
        for role in (role for role in ("onset", "offset") if role not in self.optional):
            if found[role] is None and found[f"{role}_s"] is None:
                name = f"{role}{unit}"
                self._fault(number, name, "the cell is empty; it must hold a number")
        for last in ("", "_s"):
            onset, offset = found[f"onset{last}"], found[f"offset{last}"]
            if onset is None or offset is None or self.allowed.reversed_rows:
                continue
            if offset < onset:
                problem = f"offset {offset:g} lies before onset {onset:g}"
                self._fault(number, f"offset{last}", problem)
