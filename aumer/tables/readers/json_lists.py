"""The reader of JSON whose videos or rows are lists."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from aumer.errors import UsageError
from aumer.foreign import foreign
from aumer.tables.cells import Sheet, decoded, plain
from aumer.tables.lines import KIND_WORDS, ROLES, Lines
from aumer.tables.readers.columns import column_names
from aumer.tables.readers.rows import Row, as_lines, require_simple, require_unit, with_empty
from aumer.tables.reading import IntervalReader, IntervalReading
from aumer.types import Kind


class JsonListsReader(IntervalReader):
    """JSON whose videos or rows are lists."""

    what: ClassVar[str] = (
        'JSON lists: {"video": [[onset, offset, kind], ...]}, {"video": {"micro": [[onset, '
        'offset], ...]}}, [["video", onset, offset, kind], ...], a list of objects, one object a '
        'line, what pandas writes, or ActivityNet\'s "results" and "database" (segment, label, '
        "score)"
    )

    takes_columns: ClassVar[bool] = True

    def fits(self, path: Path) -> bool:
        if path.suffix.lower() not in (".json", ".jsonl") or not path.is_file():
            return False
        try:
            return _listed(documents(path)) is not None
        except UsageError:
            return False

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        listed = _listed(documents(path))
        if listed is None:
            raise UsageError(f"{path}: holds no lists of intervals; there are {self.what}")
        items = [_of_item(path, name, item) for name, item in listed]
        lists = [item for item in items if isinstance(item, list)]
        rows = [item for item in items if not isinstance(item, list)]
        named = [v for v, item in listed if isinstance(item, list) or not lists]
        line_names = _numbered(named)
        if lists and any(row.get("kind") != "none" for row in rows):
            raise UsageError(f"{path}: some of its intervals are lists, others have names")
        if not lists:
            found = as_lines(path, rows, line_names)
            require_unit(str(path), found.names, found.sheet.lines, reading)
            return [found]
        empty = tuple(str(row["video"]) for row in rows)
        for row, line_name in zip(lists, line_names, strict=True):
            for cell in row:
                require_simple(path, line_name, "", cell)
        names, note = column_names(str(path), lists, reading)
        require_unit(str(path), names, lists, reading)
        lines, names, more = with_empty(lists, names, empty, reading.kind)
        line_names = (*line_names, *empty)
        sheet = Sheet(path, "", lines)
        return [Lines(sheet, -1, names, notes=(*note, *more), line_names=line_names)]


def documents(path: Path) -> list[Any]:
    """The documents of a JSON file; there may be several in a row."""
    with foreign(path, "a table"):
        text = decoded(path, path.read_bytes())
    documents: list[Any] = []
    decoder, at = json.JSONDecoder(object_pairs_hook=_unique), 0
    with foreign(path, "JSON"):
        while at < len(text) and (rest := text[at:].lstrip()):
            at = len(text) - len(rest)
            try:
                document, at = decoder.raw_decode(text, at)
            except json.JSONDecodeError as error:
                raise UsageError(
                    f"{path}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}"
                ) from error
            documents.append(document)
    return documents


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a duplicate name is an error, since Python would keep only the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, n in Counter(name for name, _ in pairs).items() if n > 1)
        raise ValueError(f"an object has the name {twice!r} twice")
    return found


def _listed(documents: Sequence[Any]) -> list[tuple[str, Any]] | None:
    """Intervals with their video, if they are listed by video; `None` for other files."""
    if len(documents) > 1 or (documents and _is_row(documents[0])):
        rows = [("", row) for row in documents]
        return rows if all(map(_is_row, documents)) else None
    document = documents[0] if documents else None
    if (table := _pandas_rows(document)) is not None:
        return [("", row) for row in table]
    if isinstance(document, list):
        fits = all(_is_row(row) or (isinstance(row, list) and len(row) > 2) for row in document)
        return [("", row) for row in document] if fits else None
    if not isinstance(document, dict) or {"rows", "expressions"} & document.keys():
        return None
    inner = [document[k] for k in ("results", "database") if isinstance(document.get(k), dict)]
    held = inner[0] if inner else document
    return _under_videos(held) if held else []


def _under_videos(held: Mapping[str, Any]) -> list[tuple[str, Any]] | None:
    """Intervals by video and then by kind, or by kind and then by video; `None` for other
    objects.
    """
    by_kind = _by_kind(held)
    if by_kind is not None and all(isinstance(own, dict) for own in by_kind.values()):
        parts = [
            _of_video(video, own, kind)
            for kind, videos in by_kind.items()
            for video, own in videos.items()
        ]
    else:
        parts = [
            _of_video(video, own.get("annotations", own) if isinstance(own, dict) else own)
            for video, own in held.items()
        ]
    known = [part for part in parts if part is not None]
    if not parts or len(known) < len(parts):
        return None
    return [row for part in known for row in part]


def _by_kind(held: Mapping[str, Any]) -> dict[Kind, Any] | None:
    """The values of an object by kind, if its names are kinds, each once."""
    found: dict[Kind, Any] = {}
    for word, own in held.items():
        kind = KIND_WORDS.get(plain(word))
        if (kind != "micro" and kind != "macro") or kind in found:
            return None
        found[kind] = own
    return found or None


def _of_video(video: str, own: Any, kind: Kind | None = None) -> list[tuple[str, Any]] | None:
    """The intervals of one video, from one list or from a list for each kind."""
    if isinstance(own, dict) and kind is None:
        by_kind = _by_kind(own) or {}
        parts = [_of_video(video, held, word) for word, held in by_kind.items()]
        known = [part for part in parts if part is not None]
        if not parts or len(known) < len(parts):
            return None
        return [row for part in known for row in part if row[1] is not None] or [(video, None)]
    if not isinstance(own, list) or not all(isinstance(one, (list, dict)) for one in own):
        return None
    if kind is not None:
        own = [{**one, "kind": kind} if isinstance(one, dict) else [*one, kind] for one in own]
    return [(video, one) for one in own or [None]]


def _pandas_rows(document: Any) -> list[dict[str, Any]] | None:
    """The rows of a JSON table of pandas by columns (its default), by index, split or as a table
    with a schema; `None` for anything else.
    """
    if not isinstance(document, dict):
        return None
    data, columns = document.get("data"), document.get("columns")
    if isinstance(data, list) and "schema" in document and all(map(_is_row, data)):
        return list(data)
    if isinstance(data, list) and isinstance(columns, list):
        rows = [dict(zip(map(str, columns), row, strict=False)) for row in data
                if isinstance(row, list) and len(row) == len(columns)]  # fmt: skip
        return rows if len(rows) == len(data) and _has_roles(map(str, columns)) else None
    own = list(document.values())
    if _has_roles(document) and all(isinstance(column, dict) for column in own):
        keys = own[0].keys()
        if all(column.keys() == keys for column in own):
            return [{name: column[key] for name, column in document.items()} for key in keys]
    lists = [column for column in own if isinstance(column, list)]
    if _has_roles(document) and len(lists) == len(own) and len(set(map(len, lists))) == 1:
        return [dict(zip(document, row, strict=True)) for row in zip(*lists, strict=True)]
    return own if own and all(map(_is_row, own)) else None


def _has_roles(names: Iterable[str]) -> bool:
    return {"video", "onset"} <= {ROLES.get(plain(name), "").removesuffix("_s") for name in names}


def _is_row(value: Any) -> bool:
    """Whether an object has a video and an onset, and is not a table by columns."""
    if not isinstance(value, dict) or not _has_roles(value):
        return False
    return not any(
        isinstance(cell, (dict, list)) for name, cell in value.items()
        if ROLES.get(plain(name), "").removesuffix("_s") in ("video", "onset")
    )  # fmt: skip


def _of_item(path: Path, video: str, item: Any) -> Row | list[Any]:
    """A named row, or a list whose columns are found later."""
    if item is None:  # a listed video without intervals
        return {"video": video, "kind": "none", "onset": None, "offset": None}
    if isinstance(item, list):
        return [video, *item] if video else item
    row = {"video": video, **item} if video else dict(item)
    segment = row.pop("segment", None)
    if isinstance(segment, list) and len(segment) == 2:
        row["onset"], row["offset"] = segment
    elif segment is not None:
        raise UsageError(f"{path}: a segment must be [onset, offset]; found {segment!r}")
    if "kind" not in row and plain(row.get("label", "")) in KIND_WORDS:
        row["kind"] = row.pop("label")
    return row


def _numbered(names: Sequence[str]) -> tuple[str, ...]:
    """Names of rows in messages, each with its video."""
    return tuple(f"row {k} ({v})" if v else f"row {k}" for k, v in enumerate(names, start=1))
