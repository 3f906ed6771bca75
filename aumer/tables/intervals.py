"""Tables of intervals: one reader for labels, truths and predictions, ours and other people's.

A column is known by its name, however it is spaced and capitalized; what a name means is in
`COLUMNS`, and nothing else is guessed: frames and seconds have columns of their own. Files are text
tables and workbooks as `aumer.tables.cells` reads them, and JSON: ``{"rows": [...]}`` with the same
names, or what ``aumer spot`` and ``aumer view`` write.
"""

from __future__ import annotations

import difflib
import json
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

from aumer.arguments import as_path
from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.tables.cells import Sheet, decoded, number_of, plain, sheet_of, sheets, text_of
from aumer.types import Kind

logger = logging.getLogger("aumer")

#: What a column means, and the names it is known by.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "video": ("video", "vid", "file", "filename", "clip", "video_name", "video_id", "clip_name"),
    "subject": ("subject", "sub", "subject_id", "participant", "participant_id"),
    "kind": ("kind", "type", "expression_type", "me_type"),
    "code": ("type_idx", "type_id"),
    "onset": ("onset", "start", "begin", "onset_frame", "start_frame", "pred_onset"),
    "apex": ("apex", "apex_frame", "pred_apex"),
    "offset": ("offset", "end", "stop", "offset_frame", "end_frame", "pred_offset"),
    "onset_s": ("onset_s", "onset_sec", "onset_seconds", "start_s", "start_sec", "start_seconds"),
    "apex_s": ("apex_s", "apex_sec", "apex_seconds"),
    "offset_s": ("offset_s", "offset_sec", "offset_seconds", "end_s", "end_sec", "end_seconds"),
    "score": ("score", "pred_score"),
    "label": ("label", "emotion", "estimated_emotion", "pred_emotion"),
    "aus": ("au", "aus", "action_units"),
    "comment": ("comment", "comments"),
    "fps": ("fps", "frame_rate", "frames_per_second"),
    "frames": ("n_frames", "frame_num", "frame_count", "num_frames"),
}
#: What aumer itself writes beside them; it is left aside without a word.
_OURS = (
    *(
        "duration_s",
        "probs",
        "au_probs",
        "face",
        "peak",
        "duration_sd_s",
        "duration_bias_s",
        "micro_max_s",
    ),
    *("micro_probability", "limit", "spotter", "row"),  # results
    *("event", "confidence", "note", "release_s", "intensity", "displacement", "rate"),  # simulator
    *("input", "status", "reason", "coverage", "micro", "macro"),  # lists of inputs
    *("id", "confirmed"),  # coders' annotations
    *("outcome", "probability", "recognizer", "doubt"),  # predictions
)
_ROLES = {plain(name): role for role, names in COLUMNS.items() for name in names}
_QUIET = frozenset(map(plain, _OURS))
#: AUW-GCN's tables, in which an offset of 0 is missing.
_ZERO_IS_MISSING = frozenset(map(plain, ("video_name", "start_frame", "end_frame", "type_idx")))

#: A row may also say that its video has no expression, or that what it marks is to be left out.
RowKind: TypeAlias = Kind | Literal["none", "ignore"]
_KINDS: Mapping[str, RowKind] = {
    **dict.fromkeys(("micro", "microexpression", "me", "2"), "micro"),
    **dict.fromkeys(("macro", "macroexpression", "mae", "1"), "macro"),
    "none": "none",
    "ignore": "ignore",
}
#: Texts that stand for an empty cell of a number.
_MISSING = frozenset(("", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "-", "/"))
#: Of a video's file; not the end of a name such as 006_1.2.
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,3}$")
#: A header stands within the first lines of a sheet.
_HEADER_WITHIN = 40
#: Faults that one error tells.
_TOLD = 10


@dataclass(frozen=True)
class IntervalRow:
    """One line of a table: what it says, `None` or empty where it says nothing.

    Attributes:
        line: where it stands, as `IntervalTable.at` tells it.
        onset, apex, offset: frames as the table counts them, ends included.
        onset_s, apex_s, offset_s: seconds.
        fps, frames: of its video.
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
        """Its kind, `None` where it is no expression."""
        return self.kind if self.kind in ("micro", "macro") else None

    @property
    def in_seconds(self) -> bool:
        """Whether seconds alone say when it begins."""
        return self.onset is None and self.onset_s is not None


@dataclass(frozen=True)
class IntervalTable:
    """What was read.

    Attributes:
        sheet: of a workbook.
        rows: in their order.
        columns: the table's own name for each role of `COLUMNS` that was read.
        notes: what a user should know: columns left aside, rows of kind ``ignore``, ...
        place: how a line is named in messages, `{}` its number.
    """

    path: Path
    sheet: str
    rows: tuple[IntervalRow, ...]
    columns: Mapping[str, str]
    notes: tuple[str, ...] = ()
    place: str = "line {}"

    def __iter__(self) -> Iterator[IntervalRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def where(self) -> str:
        """File and sheet, for messages."""
        return f"{self.path}, sheet {self.sheet!r}" if self.sheet else str(self.path)

    def at(self, row: IntervalRow) -> str:
        """Where a row stands."""
        return f"{self.where}, {self.place.format(row.line)}"

    def error(self, row: IntervalRow, role: str, problem: str) -> UsageError:
        """An error that says where it is."""
        return UsageError(f"{self.at(row)}, column {self.columns.get(role, role)}: {problem}")

    def in_frames(
        self, row: IntervalRow, *, first: int = 0, fps: float | None = None
    ) -> tuple[int, int | None, int | None]:
        """Onset, apex and offset in frames from 0.

        Args:
            first: what the table calls the first frame.
            fps: frames per second of the video, for seconds where the row gives none.

        Raises:
            UsageError: seconds without a frame rate.
        """
        found = []
        for name in ("onset", "apex", "offset"):
            frame, seconds = getattr(row, name), getattr(row, f"{name}_s")
            if frame is not None:
                found.append(frame - first)
            elif seconds is None:
                found.append(None)
            elif rate := row.fps or fps:
                found.append(round(seconds * rate))
            else:
                raise self.error(
                    row, f"{name}_s", "seconds need the video's frame rate; add a column fps, or "
                    "give `fps`",
                )  # fmt: skip
        onset, apex, offset = found
        assert onset is not None, "a row of an expression has one"
        return onset, apex, offset

    def tell(self) -> None:
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
    text: str | None = None,
) -> IntervalTable:
    """The table of intervals in a file.

    A row of an expression has video, kind, and onset and offset in frames or in seconds, frames
    before seconds where both are given; all else may be missing. Columns that are not in `COLUMNS`
    are left aside, and named in the notes.

    Args:
        optional: ``offset``, where a row need not have one; with ``onset``, where it need not have
            either, nor the table a column for them: then it is of a whole video. ``kind``, where
            no column need say what its rows are: then all are of `unnamed_kind`.
        only: roles to read instead of all; ``video`` alone makes it a list of videos.
        negative: whether frames below 0 are allowed, as published methods predict them.
        unnamed_kind: of the rows of a table of emotions or action units without a column for the
            kind, as spot-then-recognize submissions are.
        rows_needed: whether a table without a row is an error.
        text: the table itself; then `path` is what messages call it.

    Raises:
        UsageError: the file cannot be read, a column is missing or is there twice, or a cell is not
            what its column holds; the message names the first `_TOLD` of these with file, line,
            column, what was found and what is allowed.
    """
    wanted = tuple(COLUMNS) if only is None else tuple(only)
    path = as_path("path", path, "the path of a table")
    lines = _found(path, wanted, unnamed_kind, optional, text)
    return _Reader(lines, wanted, frozenset(optional), negative, unnamed_kind).table(rows_needed)


def check_columns(
    path: StrPath, *, optional: Collection[str] = (), unnamed_kind: Kind | None = None
) -> None:
    """Raise what `read` would of the file and its header; its rows are not judged."""
    _found(as_path("path", path, "the path of a table"), tuple(COLUMNS), unnamed_kind, optional)


def _found(
    path: Path,
    wanted: Collection[str],
    unnamed_kind: Kind | None,
    optional: Collection[str],
    text: str | None = None,
) -> _Lines:
    """The lines of the one sheet that has the columns."""
    if text is not None:
        candidates = [found for one in [sheet_of(path, text)] if (found := _Lines.of(one))]
    elif path.suffix.lower() in (".json", ".annotations"):
        candidates = [_of_json(path)]
    else:
        candidates = [found for one in sheets(path) if (found := _Lines.of(one))]
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
    lines.check(wanted, unnamed_kind, optional)
    return lines


def named_like(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is the same path as `name`, or the only one that ends as it does.

    A table may name ``smile.mp4`` or ``smile`` what another calls ``anna/smile.mp4``.
    """
    found = ending_alike(name, names)
    return found[0] if len(found) == 1 else None


def ending_alike(name: str, names: Iterable[str], *, any_suffix: bool = False) -> list[str]:
    """Those of `names` that `name` may mean: itself, else paths that end as it does, with a suffix
    or without; else, if asked for, with another one."""
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


# -- lines and their header -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Lines:
    """A sheet, and which of its columns mean what.

    Attributes:
        header: place of the header among the lines; -1 for JSON, which has none.
        names: of the columns.
        place: how a line is named in messages, `{}` its number.
    """

    sheet: Sheet
    header: int
    names: tuple[str, ...]
    place: str = "line {}"

    @classmethod
    def of(cls, sheet: Sheet) -> _Lines | None:
        """Those of a sheet that is not empty."""
        lines = sheet.lines
        scores = [sum(plain(cell) in _ROLES for cell in line) for line in lines[:_HEADER_WITHIN]]
        best = max(scores, default=0)
        filled = (k for k, line in enumerate(lines) if any(map(text_of, line)))
        header = scores.index(best) if best else next(filled, None)
        if header is None:
            return None
        names = [text_of(cell) for cell in lines[header]]
        while names and not names[-1] and not any(map(text_of, _column(lines, len(names) - 1))):
            names.pop()  # what a spreadsheet leaves behind the last column
        return cls(sheet, header, tuple(names), f"{sheet.word} {{}}")

    @property
    def known(self) -> dict[str, list[int]]:
        """Places of the columns of each role."""
        found: dict[str, list[int]] = {}
        for place, name in enumerate(self.names):
            if role := _ROLES.get(plain(name)):
                found.setdefault(role, []).append(place)
        return found

    @property
    def where(self) -> str:
        head = "" if self.header < 0 else f", {self.place.format(self.header + 1)}"
        return f"{self.sheet.where}{head}"

    def lacks(
        self, wanted: Collection[str], unnamed_kind: Kind | None, optional: Collection[str]
    ) -> list[str]:
        """What a table must have and this one has not."""
        known = self.known
        missing = [] if "video" in known else ["video"]
        kinds = {"kind", "code", *(["label", "aus"] if unnamed_kind else [])}
        if "kind" in wanted and "kind" not in optional and not kinds & set(known):
            missing.append("kind")
        if "onset" in wanted and "onset" not in optional:
            pairs = [("onset", "offset"), ("onset_s", "offset_s")]
            # What lacks least says what was meant.
            lacking = [[name for name in pair if name not in known] for pair in pairs]
            least: list[str] = min(lacking, key=len)
            missing += least
        return missing

    def check(
        self, wanted: Collection[str], unnamed_kind: Kind | None, optional: Collection[str]
    ) -> None:
        """Raise what is wrong with the header."""
        found = ", ".join(name or "(no name)" for name in self.names)
        problems = []
        for role, places in self.known.items():
            names = [self.names[place] for place in places]
            if role in wanted and len(set(names)) < len(names):
                problems.append(f"column {names[0]!r} is there twice; delete one of them")
            elif role in wanted and len(names) > 1:
                told = " and ".join(map(repr, names))
                problems.append(f"columns {told} mean the same; rename or delete one of them")
        missing = self.lacks(wanted, unnamed_kind, optional)
        for role in missing:
            known_as = ", ".join(COLUMNS[role])
            problems.append(f"no column {role!r} (or {known_as.partition(', ')[2]})")
        if not problems:
            return
        needed = "video"
        if "onset" in wanted and "onset" in optional:
            needed += ", and kind, label or au"
        elif "onset" in wanted:
            needed += ", kind, onset and offset (frames), or onset_s and offset_s (seconds)"
        text = "; ".join(problems)
        if missing:
            text += f"; needed are {needed}; found {found or 'nothing'}"
            text += f".{self._hint(missing)}"
        raise UsageError(f"{self.where}: {text}")

    def _hint(self, missing: Sequence[str]) -> str:
        """What a column may have been meant as."""
        others = [name for name in self.names if name and plain(name) not in _ROLES]
        for name in others:
            if re.search(r"(onset|start|begin).*(time|ms|msec)|^time", plain(name)):
                return (
                    f" {name!r} does not say whether it counts frames or seconds: call it onset, "
                    "or onset_s with seconds"
                )
        return did_you_mean(missing[0], others)

    def aside(self, wanted: Collection[str]) -> str:
        """A note of the columns that are not read; nothing where there is none to name."""
        names, near = [], ""
        ours = {"outcome", "probability"} <= set(self.names)  # predictions, and of each class one
        for name in self.names:
            if plain(name) in _QUIET or plain(name) in _ROLES or (ours and name.startswith("p_")):
                continue
            names.append(repr(name) if name else "one without a name")
            if name:
                open_to = [r for r in wanted if r not in self.known]
                near = near or next(iter(difflib.get_close_matches(name, open_to, 1, 0.8)), "")
        if not names:
            return ""
        column = "column is" if len(names) == 1 else "columns are"
        asked = f". Is one of them meant as {near!r}?" if near else ""
        return f"{len(names)} {column} left aside: {', '.join(names)}{asked}"


def _column(lines: Sequence[Sequence[Any]], place: int) -> Iterator[Any]:
    return (line[place] for line in lines if place < len(line))


# -- rows -----------------------------------------------------------------------------------------


@dataclass
class _Reader:
    """Reads the lines below a header and gathers what is wrong with them."""

    lines: _Lines
    wanted: Collection[str]
    optional: frozenset[str]
    negative: bool
    unnamed_kind: Kind | None
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.known = {r: p[0] for r, p in self.lines.known.items() if r in self.wanted}
        if "kind" in self.wanted and "code" in self.lines.known:
            self.known["code"] = self.lines.known["code"][0]
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
            told = self.faults[:_TOLD] + ([f"... and {more} more"] if more > 0 else [])
            raise UsageError("\n".join(told))
        if rows_needed and not rows:
            raise UsageError(f"{where}: has no rows below its header")
        columns = {role: self.lines.names[place] for role, place in self.known.items()}
        sheet, place = self.lines.sheet, self.lines.place
        return IntervalTable(
            sheet.path, sheet.name, tuple(rows), columns, tuple(self._notes(rows)), place
        )

    def _notes(self, rows: Sequence[IntervalRow]) -> Iterator[str]:
        if aside := self.lines.aside(self.wanted):
            yield aside
        if self._unnamed and rows:
            yield f"no column kind: every row is taken as a {self.unnamed_kind}-expression"
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
        self.faults.append(f"{self.lines.sheet.where}, {self.lines.place.format(number)}{text}")

    def _cells(self, number: int, line: Sequence[Any]) -> dict[str, str] | None:
        """Cells by role; `None` where the line is broken."""
        width = len(self.lines.names)
        if len(line) < width or any(map(text_of, line[width:])):
            filled = len(line)
            while filled > width and not text_of(line[filled - 1]):
                filled -= 1
            self._say(number, f": {filled} cells where the header has {width}")
            return None
        return {role: text_of(line[place]) for role, place in self.known.items()}

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
                if word not in _KINDS:
                    allowed = (
                        "micro (me, micro-expression), macro (mae, macro-expression), none or "
                        "ignore" if role == "kind" else "1 (macro) or 2 (micro)"
                    )  # fmt: skip
                    near = did_you_mean(text.casefold(), ("micro", "macro", "none", "ignore"))
                    self._fault(number, role, f"must be {allowed}; found {text!r}.{near}")
                    return None
                read[role] = _KINDS[word]
        if len(set(read.values())) > 1:
            text = f"says {cells['code']!r}, {read['code']}, where the kind is {cells['kind']!r}"
            self._fault(number, "code", text)
        return next(iter(read.values()))

    def _frame(self, number: int, role: str, cells: Mapping[str, str]) -> int | None:
        value = self._number(number, role, cells)
        if value is None or (self.zero_is_missing and role == "offset" and value == 0):
            return None
        if not value.is_integer():
            column = self.lines.names[self.known[role]]
            self._fault(
                number,
                role,
                f"a frame is a whole number; found {cells[role]!r}. Round it, or, if it is a time "
                f"in seconds, call the column {role}_s instead of {column}",
            )
            return None
        if value < 0 and not self.negative:
            self._fault(number, role, f"frames count from 0, found {cells[role]}")
            return None
        return int(value)

    def _seconds(self, number: int, role: str, cells: Mapping[str, str]) -> float | None:
        value = self._number(number, role, cells)
        if value is not None and value < 0 and not self.negative:
            self._fault(number, role, f"seconds count from the first frame, found {value:g}")
        return value

    def _number(self, number: int, role: str, cells: Mapping[str, str]) -> float | None:
        text = cells.get(role, "")
        if text.casefold() in _MISSING:
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
        """What no cell can tell alone: what is missing, and the order of the ends."""
        unit = "_s" if found["onset"] is None and "onset_s" in self.known else ""
        for role in (role for role in ("onset", "offset") if role not in self.optional):
            if found[role] is None and found[f"{role}_s"] is None:
                name = f"{role}{unit}"
                self._fault(number, name, "the cell is empty; it must hold a number")
        for last in ("", "_s"):
            onset, offset = found[f"onset{last}"], found[f"offset{last}"]
            if onset is not None and offset is not None and offset < onset:
                problem = f"offset {offset:g} lies before onset {onset:g}"
                self._fault(number, f"offset{last}", problem)


# -- JSON -----------------------------------------------------------------------------------------


def _of_json(path: Path) -> _Lines:
    """The rows of a JSON file as lines; a row's line is its place in the list, from 1.

    A file of several documents, one after the other, is read as one.
    """
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
    rows: list[dict[str, Any]] = []
    for document in documents or [None]:
        rows += _rows_of(path, document)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not rows:
        names = [f.name for f in fields(IntervalRow)][1:]
    lines = [[_json_cell(row.get(name)) for name in names] for row in rows]
    return _Lines(Sheet(path, "", lines), -1, tuple(names), "row {}")


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
