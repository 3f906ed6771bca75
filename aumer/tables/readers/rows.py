"""Rows with named values as lines, and what is common to the readers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aumer.errors import UsageError
from aumer.tables.cells import Sheet, number_of, plain, text_of
from aumer.tables.lines import COLUMNS, ROLES, Lines
from aumer.tables.reading import IntervalReading
from aumer.types import Kind

#: Rows by role, for `as_lines`.
Row = Mapping[str, Any]
#: Columns in which a list or an object would silently give an empty cell.
_SIMPLE = frozenset(COLUMNS) - {"aus", "comment"}
#: A number without a unit: frames or seconds.
NO_UNIT = (
    "onsets such as {found!r} may be fractions of frames or seconds; say which with `unit`: frames "
    "(then they are rounded) or seconds"
)


def as_lines(
    path: Path, rows: Sequence[Row], line_names: tuple[str, ...] = (), **facts: Any
) -> Lines:
    """Named rows as lines; without rows, with the column names of aumer's tables.

    Raises:
        UsageError: a required value is a list or an object.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not rows:
        names = [own[0] for role, own in COLUMNS.items() if role != "code"]
    line_names = line_names or tuple(f"row {k}" for k in range(1, len(rows) + 1))
    for row, line_name in zip(rows, line_names, strict=True):
        for name, value in row.items():
            if ROLES.get(plain(name)) in _SIMPLE:
                require_simple(path, line_name, f", column {name}", value)
    lines = [[_json_cell(row.get(name)) for name in names] for row in rows]
    sheet = Sheet(path, "", lines)
    return Lines(sheet, -1, tuple(names), "row {}", line_names=line_names, **facts)


def require_simple(path: Path, line_name: str, column: str, value: Any) -> None:
    """Raise for a list or an object in place of a text or a number."""
    if isinstance(value, (dict, list)):
        found = json.dumps(value)
        shown = found if len(found) <= 60 else f"{found[:60]} ..."
        raise UsageError(f"{path}, {line_name}{column}: must be a text or a number; found {shown}")


def _json_cell(value: Any) -> Any:
    return None if isinstance(value, (dict, list)) else value


def with_empty(
    lines: Sequence[Sequence[Any]], names: tuple[str, ...], empty: Sequence[str], kind: Kind | None
) -> tuple[list[list[Any]], tuple[str, ...], tuple[str, ...]]:
    """The lines with one more for each video without an interval, the columns' names, and a note on
    these videos.
    """
    made = [list(line) for line in lines]
    roles = [ROLES.get(plain(name)) for name in names]
    if empty and kind is not None and not {"kind", "code"} & set(roles):
        made = [[*line, *[""] * (len(names) - len(line)), kind] for line in made]
        names, roles = (*names, "kind"), [*roles, "kind"]
    if empty and "kind" not in roles:
        # Without a column for the kind every line is an expression.
        return (
            made,
            names,
            (
                f"{len(empty)} videos without an interval, such as {empty[0]}, are not among its "
                "rows; a list of videos names them",
            ),
        )
    more = [[{"video": name, "kind": "none"}.get(r or "", "") for r in roles] for name in empty]
    return [*made, *more], names, ()


def require_unit(
    where: str, names: Sequence[str], lines: Sequence[Sequence[Any]], reading: IntervalReading
) -> None:
    """Raise for fractions without a unit."""
    if reading.unit is not None:
        return
    places = [k for k, name in enumerate(names) if ROLES.get(plain(name)) in ("onset", "offset")]
    for line in lines:
        for k in places:
            value = number_of(text_of(line[k])) if k < len(line) else None
            if value is not None and value % 1:
                raise UsageError(f"{where}: {NO_UNIT.format(found=text_of(line[k]))}")
