"""The default reader: tables whose header names the columns, and JSON as aumer writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from aumer.errors import UsageError
from aumer.foreign import foreign
from aumer.tables.cells import sheets
from aumer.tables.lines import Lines
from aumer.tables.readers.json_lists import JsonListsReader, documents
from aumer.tables.readers.per_video import PerVideoReader
from aumer.tables.readers.rows import as_lines
from aumer.tables.reading import IntervalReader, IntervalReading


class TableReader(IntervalReader):
    """Tables whose first line names the columns; JSON with names."""

    what: ClassVar[str] = (
        "CSV, tab-separated text or .xlsx whose header names the columns; JSON with names, as "
        "aumer writes it"
    )

    def fits(self, path: Path) -> bool:
        return False  # it is the default

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        with foreign(path, "a table"):
            is_folder = path.is_dir()
        if is_folder:
            raise UsageError(
                f"{path} is a folder without files of intervals; there may be {PerVideoReader.what}"
            )
        if path.suffix.lower() in (".json", ".annotations"):
            return [_of_json(path)]
        return [found for one in sheets(path) if (found := Lines.of(one))]


def _of_json(path: Path) -> Lines:
    """The rows of a JSON file as lines; a row's line is its position in the list, from 1.

    A file of several documents in a row is read as one.
    """
    rows: list[dict[str, Any]] = []
    for document in documents(path) or [None]:
        rows += _rows_of(path, document)
    return as_lines(path, rows)


def _rows_of(path: Path, document: Any) -> list[dict[str, Any]]:
    video: dict[str, Any] = {}
    name = "rows"
    if isinstance(document, dict) and "expressions" in document:
        name = "expressions"
        if isinstance(document.get("video"), dict):
            video = {"video": document["video"].get("name")}
        # A video without rows has no expression.
        if document.get("schema") == "aumer.annotations" and document["expressions"] == []:
            return [{**video, "kind": "none", "onset": None, "offset": None}]
    rows = document.get(name) if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(
            f"{path}: needs an object with a list {name!r} of objects; or {JsonListsReader.what}"
        )
    return [{**video, **row} for row in rows]
