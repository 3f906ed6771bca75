"""The readers that ship: tables with a header, tables without, JSON lists, MATLAB and numpy files,
and folders with a file for each video. See `aumer.tables.reading`.

A mask marks each frame of a video: 0 for nothing, or what the kinds are called: 1 macro, 2 micro,
as AUW-GCN's type_idx has it, or 1 for a kind that the user names. Its first element is the video's
first frame and its runs hold both ends, so no convention is needed. An array of two or three
columns holds intervals: onset, offset and, if it has a third, 1 (macro) or 2 (micro).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
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
#: Rows by role, as `_as_lines` takes them.
Row = Mapping[str, Any]

#: Columns of intervals in arrays, by their number.
_OF_ARRAYS = {2: ("onset", "offset"), 3: ("onset", "offset", "code")}
#: Kinds by their code.
_CODES: Mapping[int, Kind] = {1: "macro", 2: "micro"}
#: A header stands within the first lines; more than one name of a column where it is not the first.
_HEADER_WITHIN = 40
_TEXTS = (".txt", ".csv", ".tsv")
#: A number of frames or seconds for which no word says which.
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
        return False  # it is what all else is taken for

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
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
        return bool(lines) and not _names_columns(lines) and _numbers(lines[0]) >= 2

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
        'JSON lists: {"video": [[onset, offset, kind], ...]}, [["video", onset, offset, kind], '
        '...], a list of objects, one object a line, or ActivityNet\'s "results" and "database" '
        "(segment, label, score)"
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
        if lists and any(row.get("kind") != "none" for row in rows):
            raise UsageError(f"{path}: some of its intervals are lists, others have names")
        if not lists:
            found = _as_lines(path, rows)
            _require_unit(str(path), found.names, found.sheet.lines, reading)
            return [found]
        empty = tuple(str(row["video"]) for row in rows)
        cells = [[_json_cell(cell) for cell in row] for row in lists]
        names, note = _column_names(str(path), cells, reading)
        _require_unit(str(path), names, cells, reading)
        cells, more = _with_empty(cells, names, empty)
        return [Lines(Sheet(path, "", cells), -1, names, "row {}", notes=(*note, *more))]


class MatReader(IntervalReader):
    """MATLAB's files of before version 7.3."""

    what: ClassVar[str] = (
        ".mat of MATLAB (to -v7): a variable for each video, a mask of its frames or intervals in "
        "rows, which count from 1; its fields micro and macro; or cells of names and masks"
    )

    def fits(self, path: Path) -> bool:
        return path.suffix.lower() == ".mat" and path.is_file()

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        from scipy.io import loadmat

        with foreign(path, "a MATLAB file"):
            if path.read_bytes()[:10].startswith(b"MATLAB 7.3"):
                raise UsageError(
                    f"{path} is a MATLAB file of version 7.3, which is another format; save it "
                    "with save(name, ..., '-v7')"
                )
            held = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
        return [_of_arrays(path, _unpacked(path, held), reading, first_frame=1)]


class NpyReader(IntervalReader):
    """numpy's files of plain numbers."""

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
        lines, empty = [], []
        for file in files:
            found = _text_lines(file)
            if found and _names_columns(found):
                raise UsageError(
                    f"{file}: its first line names columns; the files of the reader per-video have "
                    "lines of intervals alone"
                )
            lines += [[file.stem, *line] for line in found]
            empty += [] if found else [file.stem]
        names: tuple[str, ...] = ("video", "kind", "onset", "offset")
        note: tuple[str, ...] = ()
        if lines:
            names, note = _column_names(str(path), lines, reading, video_first=True)
            _require_unit(str(path), names, lines, reading)
        lines, more = _with_empty(lines, names, empty)
        note = (*note, *more)
        sheet = Sheet(path, "", lines)
        return [Lines(sheet, -1, names, "row {} of its files", notes=note)]


def _with_empty(
    lines: list[list[Any]], names: Sequence[str], empty: Sequence[str]
) -> tuple[list[list[Any]], tuple[str, ...]]:
    """The lines with one more for each video without an interval, or what to say of these."""
    if empty and "kind" not in names:
        # Without a column kind every line is an expression.
        return lines, (
            f"{len(empty)} videos without an interval, such as {empty[0]}, are not among its rows; "
            "a list of videos names them",
        )
    cells = {"kind": "none"}
    more = [[name if n == "video" else cells.get(n, "") for n in names] for name in empty]
    return [*lines, *more], ()


# -- text ------------------------------------------------------------------------------------------


def _files(folder: Path) -> list[Path]:
    wanted = (*_TEXTS, ".npy")
    found = (f for f in folder.iterdir() if f.is_file() and f.suffix.lower() in wanted)
    return sorted(f for f in found if not f.name.startswith("."))


def _text_lines(path: Path, *, keep_empty: bool = False) -> list[Sequence[Any]]:
    """Cells of the lines of a text, which commas, semicolons, tabs or else blanks separate."""
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
    """Whether there is a header: names of columns, and no number, in one of the first lines."""
    return any(
        sum(plain(cell) in ROLES for cell in line) > (k > 0) and not _numbers(line)
        for k, line in enumerate(lines[:_HEADER_WITHIN])
    )


def _numbers(line: Sequence[Any]) -> int:
    return sum(number_of(text_of(cell)) is not None for cell in line)


def _column_names(
    where: str,
    lines: Sequence[Sequence[Any]],
    reading: IntervalReading,
    *,
    video_first: bool = False,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Roles of the columns, as they are given or as the cells tell them; and what to say of it.

    Args:
        video_first: the first column is the video's, whatever it looks like, and is not given.

    Raises:
        UsageError: neither tells.
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
        raise UsageError(
            f"{where}: cannot tell what its {width - len(own)} columns are, such as "
            f"{', '.join(map(text_of, lines[0][len(own) :]))}; name them with `columns`, such as "
            "video,onset,offset,kind (- for one that is left aside)"
        )
    guesses = ", ".join(guessed[len(own) :])
    return guessed, (f"taken without a header, from what the cells hold: {guesses}",)


def _guessed(columns: Sequence[Sequence[str]], video_first: bool) -> tuple[str, ...] | None:
    """The roles of columns, `None` where the cells leave a choice."""
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
    roles = dict.fromkeys(texts, "video") | dict.fromkeys(kinds, "kind")
    values = [[number_of(c) for c in columns[k]] for k in numbers]
    if not kinds and len(values) > 2 and all(v in (1, 2) for v in values[-1]):
        roles[numbers.pop()] = "code"
        values.pop()
    if len(values) > 2 and _is_score(values[-1]):
        roles[numbers.pop()] = "score"
        values.pop()
        if not kinds and len(values) > 2 and all(v in (1, 2) for v in values[-1]):
            roles[numbers.pop()] = "code"
            values.pop()
    if len(values) == 2:
        roles |= dict(zip(numbers, ("onset", "offset"), strict=True))
    elif len(values) == 3 and all(
        a is not None and b is not None and (c is None or a <= b <= c)
        for a, b, c in zip(*values, strict=True)
    ):
        roles |= dict(zip(numbers, ("onset", "apex", "offset"), strict=True))
    else:
        return None
    return tuple(COLUMNS[roles[index]][0] for index in range(len(columns)))


def _is_score(values: Sequence[float | None]) -> bool:
    """Shares, one of them a fraction: frames are whole, and seconds exceed 1 somewhere."""
    known = [v for v in values if v is not None]
    return bool(known) and all(0 <= v <= 1 for v in known) and any(v % 1 for v in known)


def _require_unit(
    where: str, names: Sequence[str], lines: Sequence[Sequence[Any]], reading: IntervalReading
) -> None:
    """Complain of fractions where nobody says of what."""
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
    """The documents of a JSON file, which may follow one another."""
    with foreign(path, "a table"):
        text = decoded(path, path.read_bytes())
    documents: list[Any] = []
    decoder, at = json.JSONDecoder(), 0
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


def _of_json(path: Path) -> Lines:
    """The rows of a JSON file as lines; a row's line is its place in the list, from 1.

    A file of several documents, one after the other, is read as one.
    """
    rows: list[dict[str, Any]] = []
    for document in _documents(path) or [None]:
        rows += _rows_of(path, document)
    return _as_lines(path, rows)


def _as_lines(path: Path, rows: Sequence[Row], **facts: Any) -> Lines:
    """Rows with names as lines; of none, with the names of a table of ours."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not rows:
        names = [name for name in COLUMNS if name != "code"]
    lines = [[_json_cell(row.get(name)) for name in names] for row in rows]
    return Lines(Sheet(path, "", lines), -1, tuple(names), "row {}", **facts)


def _rows_of(path: Path, document: Any) -> list[dict[str, Any]]:
    video: dict[str, Any] = {}
    name = "rows"
    if isinstance(document, dict) and "expressions" in document:
        name = "expressions"
        if isinstance(document.get("video"), dict):
            video = {"video": document["video"].get("name")}
        # A coder who leaves a video empty says so of it.
        if document.get("schema") == "aumer.annotations" and document["expressions"] == []:
            return [{**video, "kind": "none", "onset": None, "offset": None}]
    rows = document.get(name) if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path}: needs an object with a list {name!r} of objects")
    return [{**video, **row} for row in rows]


def _json_cell(value: Any) -> Any:
    return None if isinstance(value, (dict, list)) else value


def _listed(documents: Sequence[Any]) -> list[tuple[str, Any]] | None:
    """Intervals with the video that they are listed under, if they are; `None` of other files."""
    if len(documents) > 1 or (documents and _is_row(documents[0])):
        return [("", row) for row in documents] if all(map(_is_row, documents)) else None
    document = documents[0] if documents else None
    if isinstance(document, list):
        fits = all(_is_row(row) or (isinstance(row, list) and len(row) > 2) for row in document)
        return [("", row) for row in document] if document and fits else None
    if not isinstance(document, dict) or {"rows", "expressions"} & document.keys():
        return None
    inner = [document[k] for k in ("results", "database") if isinstance(document.get(k), dict)]
    under = [
        (name, held.get("annotations") if isinstance(held, dict) else held)
        for name, held in (inner[0] if inner else document).items()
    ]
    lists = [(name, held) for name, held in under if isinstance(held, list)]
    if not lists or len(lists) < len(under):
        return None
    if not all(isinstance(one, (list, dict)) for _, held in lists for one in held):
        return None
    return [(name, one) for name, held in lists for one in held or [None]]


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and {"video", "onset"} <= {
        ROLES.get(plain(name), "").removesuffix("_s") for name in value
    }


def _of_item(path: Path, video: str, item: Any) -> Row | list[Any]:
    """A row by names, or a list whose columns are still to be told."""
    if item is None:  # a video that is listed, with nothing under it
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
    """An array of a video's frames or intervals, of a kind if that is known."""

    video: str
    array: Array
    kind: Kind | None = None

    @property
    def is_mask(self) -> bool:
        """One number for each frame, in a row or a column; two or three columns are intervals."""
        shape = self.array.shape
        return len(shape) == 1 or min(shape) == 0 or (1 in shape and shape[1] not in _OF_ARRAYS)


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
    """The arrays of MATLAB's variables: of cells beside a cell of names, and of fields by kind."""
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
    """Masks and intervals as rows whose frames count from 0 and whose offsets are included.

    Args:
        first_frame: what intervals of such files call the first frame, where the user does not say.
    """
    first = first_frame if reading.first_frame is None else reading.first_frame
    behind = int(reading.offset == "excluded")
    for one in marked:
        if one.array.dtype.kind not in "biuf":
            raise UsageError(
                f"{path}: {one.video} holds something else than numbers ({one.array.dtype})"
            )
        if one.array.ndim > 2 or not (one.is_mask or one.array.shape[1] in _OF_ARRAYS):
            raise UsageError(
                f"{path}: {one.video} is an array of {one.array.shape}; it must be a mask, "
                "(frames,), or intervals, (intervals, 2 or 3)"
            )
    masks = [one for one in marked if one.is_mask]
    coded = any((one.array > 1).any() for one in masks if one.kind is None)
    rows: list[Row] = []
    for one in marked:
        kind = one.kind or (None if coded and one.is_mask else reading.kind)
        if one.is_mask:
            rows += _runs(path, one, kind, coded)
        else:
            rows += _listed_intervals(path, one, kind, first, behind)
    notes = []
    if masks:
        notes.append(f"{len(masks)} masks: the first element is the video's first frame")
    if len(masks) < len(marked):
        notes.append(f"intervals count from {first}")
    if not any("kind" in row for row in rows) and rows:
        rows = [{**row, "kind": reading.kind} for row in rows]
    return _as_lines(path, rows, first_frame=0, offset="included", notes=tuple(notes))


def _runs(path: Path, one: _Marked, kind: Kind | None, coded: bool) -> Iterator[Row]:
    """The stretches of one code in a mask; one row of kind none where there is nothing."""
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
    path: Path, one: _Marked, kind: Kind | None, first: int, behind: int
) -> Iterator[Row]:
    array = one.array
    if array.dtype.kind == "f" and (array[:, :2] % 1).any():
        raise UsageError(f"{path}, {one.video}: arrays hold whole frames; found fractions")
    for line in array:
        code = int(line[2]) if len(line) > 2 else 0
        if len(line) > 2 and code not in _CODES:
            raise UsageError(
                f"{path}, {one.video}: the third column must hold 1 (macro) or 2 (micro); found "
                f"{line[2]:g}"
            )
        if not code and kind is None:
            raise UsageError(
                f"{path}, {one.video}: two columns do not say of what kind the intervals are; say "
                "it with `kind`, or add a third column, 1 (macro) or 2 (micro)"
            )
        yield {
            "video": one.video,
            "kind": _CODES.get(code, kind),
            "onset": int(line[0]) - first,
            "offset": int(line[1]) - first - behind,
        }
