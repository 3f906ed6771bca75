"""The built-in readers: tables with and without a header, JSON lists, MATLAB and numpy files, and
folders with a file for each video. See `aumer.tables.reading`.

A mask has a code for each frame of a video: 0 for none, 1 for macro and 2 for micro, as in
AUW-GCN's type_idx, or 1 for a kind that the user gives. Its first element is the video's first
frame and its runs include both ends, so no convention is needed. An array of two or three columns
has intervals: onset, offset and, as the third, 1 (macro) or 2 (micro).
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.foreign import foreign, read_arrays
from aumer.tables.cells import Sheet, decoded, number_of, plain, sheets, text_of
from aumer.tables.lines import COLUMNS, KIND_WORDS, MISSING, ROLES, Lines
from aumer.tables.reading import IntervalReader, IntervalReading
from aumer.types import Kind

Array = npt.NDArray[Any]
#: Rows by role, for `_as_lines`.
Row = Mapping[str, Any]

#: Columns of intervals in arrays, by the number of columns.
_OF_ARRAYS = {2: ("onset", "offset"), 3: ("onset", "offset", "code")}
#: Columns in which a list or an object would silently give an empty cell.
_SIMPLE = frozenset(COLUMNS) - {"aus", "comment"}
#: Kinds by their code.
_CODES: Mapping[int, Kind] = {1: "macro", 2: "micro"}
#: The header is searched in the first lines; below the first it needs several column names.
_HEADER_WITHIN = 40
_TEXTS = (".txt", ".csv", ".tsv")
#: A number without a unit: frames or seconds.
_NO_UNIT = (
    "onsets such as {found!r} may be fractions of frames or seconds; say which with `unit`: frames "
    "(then they are rounded) or seconds"
)


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


class HeaderlessReader(IntervalReader):
    """Text tables without a header, LGSNet's among them."""

    what: ClassVar[str] = (
        "text without a header, a line an interval: video, onset, offset and, if wanted, apex, "
        "kind and score, where the cells tell which is which; else name the columns"
    )

    takes_columns: ClassVar[bool] = True

    def fits(self, path: Path) -> bool:
        if path.suffix.lower() not in _TEXTS or not path.is_file():
            return False
        try:
            lines = _text_lines(path)
        except UsageError:
            return False
        return bool(lines) and not _names_columns(lines) and _begins_with_numbers(lines[0])

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        lines = _text_lines(path, keep_empty=True)
        filled = [line for line in lines if any(map(text_of, line))]
        if not filled:
            return []
        names, note = _column_names(str(path), filled, reading)
        _require_unit(str(path), names, filled, reading)
        return [Lines(Sheet(path, "", lines), -1, names, "line {}", notes=note)]


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
            return _listed(_documents(path)) is not None
        except UsageError:
            return False

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        listed = _listed(_documents(path))
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
            found = _as_lines(path, rows, line_names)
            _require_unit(str(path), found.names, found.sheet.lines, reading)
            return [found]
        empty = tuple(str(row["video"]) for row in rows)
        for row, line_name in zip(lists, line_names, strict=True):
            for cell in row:
                _require_simple(path, line_name, "", cell)
        names, note = _column_names(str(path), lists, reading)
        _require_unit(str(path), names, lists, reading)
        lines, names, more = _with_empty(lists, names, empty, reading.kind)
        line_names = (*line_names, *empty)
        sheet = Sheet(path, "", lines)
        return [Lines(sheet, -1, names, notes=(*note, *more), line_names=line_names)]


class MatReader(IntervalReader):
    """MATLAB files before version 7.3."""

    what: ClassVar[str] = (
        ".mat of MATLAB (to -v7): a variable for each video, a mask of its frames or intervals in "
        "rows, which count from 1; its fields micro and macro; or cells of names and masks"
    )

    def fits(self, path: Path) -> bool:
        return path.suffix.lower() == ".mat" and path.is_file()

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        from scipy.io import loadmat

        with foreign(path, "a MATLAB file"):
            with path.open("rb") as file:
                start = file.read(10)
            if start.startswith((b"MATLAB 7.3", b"\x89HDF")):
                raise UsageError(
                    f"{path} is a MATLAB file of version 7.3, which is another format; save it "
                    "with save(name, ..., '-v7')"
                )
            held = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
        return [_of_arrays(path, _unpacked(path, held), reading, first_frame=1)]


class NpyReader(IntervalReader):
    """numpy files of plain numbers."""

    what: ClassVar[str] = (
        ".npy, whose name is the video's, or .npz, with an array for each video: a mask of its "
        "frames, or intervals in rows, which count from 0"
    )

    def fits(self, path: Path) -> bool:
        return path.suffix.lower() in (".npy", ".npz") and path.is_file()

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        return [_of_arrays(path, _plain_arrays(path), reading, first_frame=0)]


class PerVideoReader(IntervalReader):
    """A folder with a file for each video."""

    what: ClassVar[str] = (
        "a folder with a file for each video, which is called by it: NAME.txt, .csv or .tsv with "
        "onset, offset and, if wanted, apex, kind and score in each line, empty where there is "
        "none; or NAME.npy"
    )

    takes_columns: ClassVar[bool] = True

    def fits(self, path: Path) -> bool:
        return path.is_dir() and bool(_files(path))

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        files = _files(path) if path.is_dir() else [path]
        if not files:
            raise UsageError(f"{path}: holds no .txt, .csv, .tsv or .npy file")
        arrays = [file for file in files if file.suffix.lower() == ".npy"]
        if arrays and len(arrays) < len(files):
            raise UsageError(
                f"{path}: holds texts and arrays, such as {files[0].name}; keep one of them there"
            )
        if arrays:
            held = [one for file in arrays for one in _plain_arrays(file)]
            return [_of_arrays(path, held, reading, 0)]
        for one, other in itertools.pairwise(sorted(files, key=lambda file: file.stem)):
            if one.stem == other.stem:
                raise UsageError(
                    f"{path}: {one.name} and {other.name} are both of the video {one.stem}; keep "
                    "one of them there"
                )
        header, read = _without_header(files)
        lines = [[file.stem, *line] for file, _, line in read]
        line_names = tuple(f"{file.name}, line {number}" for file, number, _ in read)
        filled = {file for file, *_ in read}
        empty = tuple(file.stem for file in files if file not in filled)
        names: tuple[str, ...] = ("video", "kind", "onset", "offset")
        note: tuple[str, ...] = ()
        if header is not None:
            names = ("video", *header)
        elif lines:
            names, note = _column_names(str(path), lines, reading, video_first=True)
        _require_unit(str(path), names, lines, reading)
        lines, names, more = _with_empty(lines, names, empty, reading.kind)
        sheet = Sheet(path, "", lines)
        line_names = (*line_names, *empty)
        return [Lines(sheet, -1, names, notes=(*note, *more), line_names=line_names)]


def _without_header(
    files: Sequence[Path],
) -> tuple[tuple[str, ...] | None, list[tuple[Path, int, Sequence[Any]]]]:
    """The header of all files (all or none must have it), and each line with its file and number.

    Raises:
        UsageError: they have different headers.
    """
    headers: dict[tuple[str, ...] | None, Path] = {}
    found = []
    for file in files:
        lines = [
            (number, line)
            for number, line in enumerate(_text_lines(file, keep_empty=True), start=1)
            if any(map(text_of, line))
        ]
        if lines:
            named = _names_columns([lines[0][1]])
            header = tuple(text_of(cell) for cell in lines.pop(0)[1]) if named else None
            headers.setdefault(header, file)
        found += [(file, number, line) for number, line in lines]
    if len(headers) > 1:
        (one, first), (other, second), *_ = headers.items()
        told = [
            f"{file.name} begins with {','.join(names) if names else 'an interval'}"
            for names, file in ((one, first), (other, second))
        ]
        raise UsageError(
            f"{files[0].parent}: {' and '.join(told)}; all files must name their columns alike, or "
            "none of them"
        )
    return next(iter(headers), None), found


def _with_empty(
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


# -- text ------------------------------------------------------------------------------------------


def _files(folder: Path) -> list[Path]:
    wanted = (*_TEXTS, ".npy")
    found = (f for f in folder.iterdir() if f.is_file() and f.suffix.lower() in wanted)
    return sorted(f for f in found if not f.name.startswith("."))


def _text_lines(path: Path, *, keep_empty: bool = False) -> list[Sequence[Any]]:
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


def _names_columns(lines: Sequence[Sequence[Any]]) -> bool:
    """Whether one of the first lines is a header: column names and no number."""
    return any(
        sum(plain(cell) in ROLES for cell in line) > (k > 0) and not _numbers(line)
        for k, line in enumerate(lines[:_HEADER_WITHIN])
    )


def _numbers(line: Sequence[Any]) -> int:
    return sum(number_of(text_of(cell)) is not None for cell in line)


def _begins_with_numbers(line: Sequence[Any]) -> bool:
    """Whether a line has two or more numbers, one of which may be missing, such as nan."""
    missing = sum(text_of(cell).casefold() in MISSING - {""} for cell in line)
    return _numbers(line) >= 1 and _numbers(line) + missing >= 2


def _column_names(
    where: str,
    lines: Sequence[Sequence[Any]],
    reading: IntervalReading,
    *,
    video_first: bool = False,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Roles of the columns, given or found from the cells; and a note for the user.

    Args:
        video_first: whether the first column is the video, which is then not among the given ones.

    Raises:
        UsageError: the roles are neither given nor clear.
    """
    width = max(len(line) for line in lines)
    own = ("video",) if video_first else ()
    if reading.columns:
        names = (*own, *(COLUMNS.get(n, (n,))[0] for n in reading.columns))
        unknown = [n for n in names if plain(n) not in ROLES and n not in ("", "-")]
        if unknown:
            raise UsageError(
                f"{where}: `columns` names {unknown[0]!r}; a column is one of "
                f"{', '.join(COLUMNS)}, or - for one that is left aside"
            )
        return names, ()
    columns = [[text_of(line[k]) if k < len(line) else "" for line in lines] for k in range(width)]
    guessed = _guessed(columns, video_first)
    if guessed is None:
        odd = next((line for line in lines if len(line) != len(lines[0])), None)
        uneven = ""
        if odd is not None:
            cells = (f"{odd[0]}: " if own else "") + ", ".join(map(text_of, odd[len(own) :]))
            uneven = f"; not all its lines have {len(lines[0]) - len(own)} cells: {cells}"
        begin = f"{lines[0][0]}: " if own else ""
        raise UsageError(
            f"{where}: cannot tell what its {width - len(own)} columns are, such as "
            f"{begin}{', '.join(map(text_of, lines[0][len(own) :]))}{uneven}; name them with "
            "`columns`, such as video,onset,offset,kind (- for one that is left aside)"
        )
    guesses = ", ".join(guessed[len(own) :])
    return guessed, (f"taken without a header, from what the cells hold: {guesses}",)


def _guessed(columns: Sequence[Sequence[str]], video_first: bool) -> tuple[str, ...] | None:
    """The roles of columns; `None` if the cells are ambiguous."""
    kinds, texts, numbers = [], [], []
    for index, cells in enumerate(columns):
        if index == 0 and video_first:
            texts.append(index)
        elif all(c.casefold() in MISSING or number_of(c) is not None for c in cells):
            numbers.append(index)
        elif all(plain(c) in KIND_WORDS for c in cells):
            kinds.append(index)
        else:
            texts.append(index)
    if len(texts) != 1 or len(kinds) > 1:
        return None
    values = {k: [number_of(c) for c in columns[k]] for k in numbers}
    found = _number_roles(values, coded=not kinds)
    first = int(video_first)
    if first in values:
        # pandas' index column numbers the lines; it is not an onset.
        counts, sure = _line_numbers(values[first], columns[0] if video_first else [""])
        apart = not video_first and numbers[0] < texts[0] < numbers[-1]
        if counts or apart:
            others = {k: v for k, v in values.items() if k != first}
            without = _number_roles(others, coded=not kinds)
            if apart or sure or found is None:
                found = without if counts else None
            elif without is not None:
                return None  # ambiguous: an onset or the number of the only line
    if found is None:
        return None
    roles = dict.fromkeys(texts, "video") | dict.fromkeys(kinds, "kind") | found
    names = (roles.get(index, "-") for index in range(len(columns)))
    return tuple(name if name == "-" else COLUMNS[name][0] for name in names)


def _number_roles(
    columns: Mapping[int, Sequence[float | None]], *, coded: bool
) -> dict[int, str] | None:
    """The roles of columns of numbers; `None` if they are ambiguous.

    Args:
        coded: whether one of them may be the kind.
    """
    roles: dict[int, str] = {}
    left = dict(columns)

    def take_code() -> None:
        if coded and "code" not in roles.values() and len(left) > 2:
            last = max(left)
            if all(v in (1, 2) for v in left[last]):
                roles[last] = "code"
                del left[last]

    take_code()
    if len(left) > 2 and _is_score(left[max(left)]):
        roles[max(left)] = "score"
        del left[max(left)]
        take_code()
    spans = list(zip(*left.values(), strict=True))
    if len(left) == 2:
        return roles | dict(zip(left, ("onset", "offset"), strict=True))
    if len(left) == 3 and all(
        a is not None and b is not None and (c is None or a <= b <= c) for a, b, c in spans
    ):
        return roles | dict(zip(left, ("onset", "apex", "offset"), strict=True))
    return None


def _line_numbers(values: Sequence[float | None], groups: Sequence[str]) -> tuple[bool, bool]:
    """Whether a column numbers the lines of each group from 0 or from 1; and whether this is
    certain because some group has several lines.

    Args:
        groups: group of each line, or one for all.
    """
    own: dict[str, list[float | None]] = {}
    for k, value in enumerate(values):
        own.setdefault(groups[k % len(groups)], []).append(value)
    starts = {numbers[0] for numbers in own.values()}
    counts = len(starts) == 1 and starts <= {0, 1}
    for numbers in own.values():
        counts = counts and numbers == [(numbers[0] or 0) + k for k in range(len(numbers))]
    return counts, counts and max(map(len, own.values())) > 1


def _is_score(values: Sequence[float | None]) -> bool:
    """Whether these are scores: all from 0 to 1 with a fraction. Frames are whole numbers, and some
    second exceeds 1.
    """
    known = [v for v in values if v is not None]
    return bool(known) and all(0 <= v <= 1 for v in known) and any(v % 1 for v in known)


def _require_unit(
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
                raise UsageError(f"{where}: {_NO_UNIT.format(found=text_of(line[k]))}")


# -- JSON ------------------------------------------------------------------------------------------


def _documents(path: Path) -> list[Any]:
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


def _of_json(path: Path) -> Lines:
    """The rows of a JSON file as lines; a row's line is its position in the list, from 1.

    A file of several documents in a row is read as one.
    """
    rows: list[dict[str, Any]] = []
    for document in _documents(path) or [None]:
        rows += _rows_of(path, document)
    return _as_lines(path, rows)


def _as_lines(
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
                _require_simple(path, line_name, f", column {name}", value)
    lines = [[_json_cell(row.get(name)) for name in names] for row in rows]
    sheet = Sheet(path, "", lines)
    return Lines(sheet, -1, tuple(names), "row {}", line_names=line_names, **facts)


def _require_simple(path: Path, line_name: str, column: str, value: Any) -> None:
    """Raise for a list or an object in place of a text or a number."""
    if isinstance(value, (dict, list)):
        found = json.dumps(value)
        shown = found if len(found) <= 60 else f"{found[:60]} ..."
        raise UsageError(f"{path}, {line_name}{column}: must be a text or a number; found {shown}")


def _numbered(names: Sequence[str]) -> tuple[str, ...]:
    """Names of rows in messages, each with its video."""
    return tuple(f"row {k} ({v})" if v else f"row {k}" for k, v in enumerate(names, start=1))


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


def _json_cell(value: Any) -> Any:
    return None if isinstance(value, (dict, list)) else value


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


# -- arrays ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Marked:
    """An array of a video's frames or intervals, with its kind if known."""

    video: str
    array: Array
    kind: Kind | None = None

    @property
    def is_mask(self) -> bool:
        """Whether it is a mask: one number for each frame, in a row or a column. Two or three
        columns are intervals.
        """
        shape = self.array.shape
        if self.is_empty or len(shape) > 2:
            return False
        return len(shape) == 1 or (1 in shape and shape[1] not in _OF_ARRAYS)

    @property
    def is_empty(self) -> bool:
        """Whether there is no interval: an empty list of numpy or MATLAB, with any columns."""
        return self.array.ndim > 0 and self.array.size == 0


def _codes(array: Array) -> bool:
    return bool(np.isin(array, (0, 1, 2)).all())


def _plain_arrays(path: Path) -> list[_Marked]:
    if path.suffix.lower() == ".npz":
        held = read_arrays(path, "arrays of intervals")
    else:
        with foreign(path, "an array of intervals"), path.open("rb") as file:
            held = {path.stem: np.load(file, allow_pickle=False)}
    return [_Marked(name, array) for name, array in held.items()]


def _unpacked(path: Path, held: Mapping[str, Array]) -> list[_Marked]:
    """The arrays of MATLAB variables: from cells beside a cell of names, and from fields by
    kind.
    """
    named = {k: [text_of(c.item() if c.size == 1 else "") for c in v.ravel()]
             for k, v in held.items() if v.dtype == object and _all_texts(v)}  # fmt: skip
    if named:
        if len(named) > 1 or len(held) != 2:
            raise UsageError(
                f"{path}: a cell of names needs one cell of masks or intervals beside it; found "
                f"the variables {', '.join(held)}"
            )
        ((key, names),) = named.items()
        (other,) = (v for k, v in held.items() if k != key)
        cells = list(other.ravel())
        if other.dtype != object or len(cells) != len(names):
            raise UsageError(
                f"{path}: has {len(names)} names and {len(cells)} cells; each name needs one"
            )
        return [_Marked(name, np.asarray(cell)) for name, cell in zip(names, cells, strict=True)]
    found = []
    for name, array in held.items():
        if array.dtype.names is None:
            found.append(_Marked(name, array))
            continue
        fields = array.dtype.names
        if array.size != 1 or not set(fields) <= {"micro", "macro"}:
            raise UsageError(
                f"{path}: the struct {name} must be one, with the fields micro and macro; found "
                f"{array.size}, with {', '.join(fields)}"
            )
        for kind in (k for k in ("macro", "micro") if k in fields):
            found.append(_Marked(name, np.asarray(array.ravel()[0][kind]), kind))
    return found


def _all_texts(array: Array) -> bool:
    return array.size > 0 and all(
        isinstance(c, np.ndarray) and c.dtype.kind == "U" for c in array.flat
    )


def _of_arrays(
    path: Path, marked: Sequence[_Marked], reading: IntervalReading, first_frame: int
) -> Lines:
    """Masks and intervals as rows with frames from 0 and included offsets.

    Args:
        first_frame: number of the first frame in intervals of such files, if the user does not give
            it.
    """
    first = first_frame if reading.first_frame is None else reading.first_frame
    for one in marked:
        if one.array.dtype.kind not in "biuf":
            raise UsageError(
                f"{path}: {one.video} holds something else than numbers ({one.array.dtype})"
            )
        fits = one.is_mask or (one.array.ndim == 2 and one.array.shape[1] in _OF_ARRAYS)
        if not (fits or one.is_empty):
            raise UsageError(
                f"{path}: {one.video} is an array of {one.array.shape}; it must be a mask, "
                "(frames,), or intervals, (intervals, 2 or 3)"
            )
    masks = [one for one in marked if one.is_mask]
    seconds = reading.unit == "seconds"
    if masks and seconds:
        raise UsageError(
            f"{path}: the mask {masks[0].video} has an element for each frame; leave out `unit`, "
            "which is seconds"
        )
    coded = any((one.array > 1).any() for one in masks if one.kind is None)
    names = ("onset_s", "offset_s") if seconds else ("onset", "offset")
    # Masks count from 0, and a run includes its end; lists beside them must do the same.
    behind = 0 if seconds else int(reading.offset == "excluded")
    start = 0 if seconds else first
    rows: list[Row] = []
    line_names: list[str] = []
    for one in marked:
        kind = one.kind or (None if coded and one.is_mask else reading.kind)
        if one.is_empty:
            own: list[Row] = [{"video": one.video, "kind": "none", **dict.fromkeys(names)}]
        elif one.is_mask:
            own = list(_runs(path, one, kind, coded))
        else:
            if reading.first_frame is None and first == 1 and not seconds:
                _require_from_1(path, one)
            own = list(_listed_intervals(path, one, kind, names, start, behind, reading))
        rows += own
        line_names += [f"{one.video}, interval {k}" for k in range(1, len(own) + 1)]
    notes = []
    if masks:
        notes.append(f"{len(masks)} masks: the first element is the video's first frame")
    lists = [one for one in marked if not (one.is_mask or one.is_empty)]
    if lists and not seconds:
        notes.append(f"intervals count from {first}")
    return _as_lines(
        path,
        rows,
        tuple(line_names),
        first_frame=0,
        offset=(reading.offset or "included") if seconds else "included",
        notes=tuple(notes),
    )


def _require_from_1(path: Path, one: _Marked) -> None:
    """Raise if a list cannot count from 1 and the first frame is not given."""
    if (one.array[:, 0] == 0).any():
        raise UsageError(
            f"{path}: an interval of {one.video} begins at frame 0, and lists in files of MATLAB "
            "are taken to count from 1; say with `first_frame` from what these do, 0 or 1"
        )


def _runs(path: Path, one: _Marked, kind: Kind | None, coded: bool) -> Iterator[Row]:
    """The runs of one code in a mask; one row of kind none if there are none."""
    mask = one.array.ravel()
    if not _codes(mask):
        raise UsageError(
            f"{path}: the mask {one.video} must hold 0, 1 and 2 alone; found "
            f"{', '.join(f'{v:g}' for v in np.unique(mask)[:5])}"
        )
    if kind is None and not coded and mask.any():
        raise UsageError(
            f"{path}: the mask {one.video} holds 0 and 1, which does not say of what kind; say it "
            "with `kind`, or mark macro-expressions by 1 and micro-expressions by 2"
        )
    codes = mask.astype(np.int64)
    edges = np.flatnonzero(np.diff(codes, prepend=0, append=0))
    if not len(edges):
        yield {
            "video": one.video,
            "kind": "none",
            "onset": None,
            "offset": None,
            "n_frames": len(mask),
        }
    for begin, end in itertools.pairwise(edges.tolist()):
        if code := int(codes[begin]):
            yield {
                "video": one.video,
                "kind": kind or _CODES[code],
                "onset": int(begin),
                "offset": int(end) - 1,
                "n_frames": len(mask),
            }


def _listed_intervals(
    path: Path,
    one: _Marked,
    kind: Kind | None,
    names: tuple[str, str],
    first: int,
    behind: int,
    reading: IntervalReading,
) -> Iterator[Row]:
    """The rows of a list, with nan for a missing number."""
    for line in one.array.astype(np.float64):
        code = line[2] if len(line) > 2 else 0.0
        if len(line) > 2 and code not in _CODES:
            raise UsageError(
                f"{path}, {one.video}: the third column must hold 1 (macro) or 2 (micro); found "
                f"{code:g}"
            )
        if not code and kind is None:
            raise UsageError(
                f"{path}, {one.video}: two columns do not say of what kind the intervals are; say "
                "it with `kind`, or add a third column, 1 (macro) or 2 (micro)"
            )
        if reading.unit is None and (odd := [v for v in line[:2] if math.isfinite(v) and v % 1]):
            raise UsageError(f"{path}, {one.video}: {_NO_UNIT.format(found=f'{odd[0]:g}')}")
        ends = (float(line[0]) - first, float(line[1]) - first - behind)
        yield {
            "video": one.video,
            "kind": _CODES[int(code)] if code else kind,
            **dict(zip(names, ends, strict=True)),
        }
