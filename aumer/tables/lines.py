"""Lines of a table before their cells are checked, and the roles of their columns."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from aumer.errors import UsageError, did_you_mean
from aumer.tables.cells import Sheet, plain, text_of
from aumer.tables.reading import Offset
from aumer.types import Kind

#: Roles of columns, and the accepted names of each.
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
#: Other columns that aumer writes; they are ignored without a note.
OURS = (
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
ROLES = {plain(name): role for role, names in COLUMNS.items() for name in names}
_QUIET = frozenset(map(plain, OURS))
#: A row may also say that its video has no expression, or that its interval is to be ignored.
RowKind: TypeAlias = Kind | Literal["none", "ignore"]
KIND_WORDS: Mapping[str, RowKind] = {
    **dict.fromkeys(("micro", "microexpression", "me", "2"), "micro"),
    **dict.fromkeys(("macro", "macroexpression", "mae", "1"), "macro"),
    "none": "none",
    "ignore": "ignore",
}
#: Texts that mean an empty cell in columns of numbers.
MISSING = frozenset(("", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "-", "/"))
#: Largest frame (and second) in a table: days at the rate of any camera. Larger values are errors,
#: and their sums would not fit into an integer.
MOST_FRAMES = 10**9
#: The header is searched in this number of first lines.
_HEADER_WITHIN = 40


@dataclass(frozen=True)
class Lines:
    """A sheet and the roles of its columns.

    Attributes:
        header: index of the header's line; -1 for JSON, which has none.
        names: of the columns.
        line_name: how a line is named in messages, `{}` its number.
        line_names: names of lines, if they say more than the number.
        first_frame: number of a video's first frame, if the file says it.
        offset: whether the offset frame belongs to the interval, if the file says it.
        notes: notes for the user on how the columns were found.
    """

    sheet: Sheet
    header: int
    names: tuple[str, ...]
    line_name: str = "line {}"
    first_frame: int | None = None
    offset: Offset | None = None
    notes: tuple[str, ...] = ()
    line_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, sheet: Sheet) -> Lines | None:
        """The lines of a sheet; `None` if it is empty."""
        lines = sheet.lines
        scores = [sum(plain(cell) in ROLES for cell in line) for line in lines[:_HEADER_WITHIN]]
        best = max(scores, default=0)
        filled = (k for k, line in enumerate(lines) if any(map(text_of, line)))
        header = scores.index(best) if best else next(filled, None)
        if header is None:
            return None
        names = [text_of(cell) for cell in lines[header]]
        while names and not names[-1] and not any(map(text_of, _column(lines, len(names) - 1))):
            names.pop()  # empty columns after the last one
        return cls(sheet, header, tuple(names), f"{sheet.word} {{}}")

    @property
    def known(self) -> dict[str, list[int]]:
        """Column indices of each role."""
        found: dict[str, list[int]] = {}
        for index, name in enumerate(self.names):
            if role := ROLES.get(plain(name)):
                found.setdefault(role, []).append(index)
        return found

    @property
    def where(self) -> str:
        head = "" if self.header < 0 else f", {self.line(self.header + 1)}"
        return f"{self.sheet.where}{head}"

    def line(self, number: int) -> str:
        """A line's name in messages."""
        return self.line_names[number - 1] if self.line_names else self.line_name.format(number)

    def lacks(
        self, wanted: Collection[str], unnamed_kind: Kind | None, optional: Collection[str]
    ) -> list[str]:
        """The required columns that are missing."""
        known = self.known
        missing = [] if "video" in known else ["video"]
        kinds = {"kind", "code", *(["label", "aus"] if unnamed_kind else [])}
        if "kind" in wanted and "kind" not in optional and not kinds & set(known):
            missing.append("kind")
        if "onset" in wanted and "onset" not in optional:
            pairs = [("onset", "offset"), ("onset_s", "offset_s")]
            # The pair with fewer missing columns is the one that was meant.
            lacking = [[name for name in pair if name not in known] for pair in pairs]
            least: list[str] = min(lacking, key=len)
            missing += least
        return missing

    def check(
        self,
        wanted: Collection[str],
        unnamed_kind: Kind | None,
        optional: Collection[str],
        *,
        kind_may_be_said: bool = False,
    ) -> None:
        """Raise if the header is wrong.

        Args:
            kind_may_be_said: whether the user can give the kind of all rows.
        """
        found = ", ".join(name or "(no name)" for name in self.names)
        problems = []
        for role, places in self.known.items():
            names = [self.names[index] for index in places]
            if role in wanted and len(set(names)) < len(names):
                problems.append(f"column {names[0]!r} is there twice; delete one of them")
            elif role in wanted and len(names) > 1:
                columns_named = " and ".join(map(repr, names))
                problems.append(
                    f"columns {columns_named} mean the same; rename or delete one of them"
                )
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
            if kind_may_be_said and missing == ["kind"]:
                text += ". If all rows are of one kind, say it with `kind`: micro or macro"
            text += f".{self._hint(missing)}"
        raise UsageError(f"{self.where}: {text}")

    def _hint(self, missing: Sequence[str]) -> str:
        """A hint which column may have been meant."""
        others = [name for name in self.names if name and plain(name) not in ROLES]
        for name in others:
            if re.search(r"(onset|start|begin).*(time|ms|msec)|^time", plain(name)):
                return (
                    f" {name!r} does not say whether it counts frames or seconds: call it onset, "
                    "or onset_s with seconds"
                )
        return did_you_mean(missing[0], others)

    def aside(self, wanted: Collection[str]) -> str:
        """A note of the columns that are not read; "" if there are none."""
        names, near = [], ""
        ours = {"outcome", "probability"} <= set(self.names)  # columns by class, too
        for name in self.names:
            if plain(name) in _QUIET or plain(name) in ROLES or (ours and name.startswith("p_")):
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


def _column(lines: Sequence[Sequence[Any]], index: int) -> Iterator[Any]:
    return (line[index] for line in lines if index < len(line))
