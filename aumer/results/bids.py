"""Expressions as a BIDS table of events, ``*_events.tsv``, with the JSON file of its columns.

Brain Imaging Data Structure 1.10: tab-separated, ``n/a`` for unknown values, times in seconds.
`trial_type` is the kind, and after a slash the label; MNE-BIDS uses it as the description of an
annotation.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aumer.results.exchange import Exchange, Timed, at, described, lasting, parted
from aumer.results.spot_result import SpotResult
from aumer.tables.cells import text_lines

_END = "_events.tsv"
_MISSING = "n/a"

#: Columns, with their entries in the JSON file.
_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "onset": {
        "LongName": "Onset",
        "Description": "Time of the first frame of the expression, from the video's first frame.",
        "Units": "s",
    },
    "duration": {
        "LongName": "Duration",
        "Description": "From the first frame of the expression to its last.",
        "Units": "s",
    },
    "trial_type": {
        "LongName": "Type of event",
        "Description": "The kind, and after a slash the label where there is one.",
    },
    "kind": {
        "LongName": "Kind of expression",
        "Description": "By its duration.",
        "Levels": {
            "micro": "A facial micro-expression: half a second or shorter by default.",
            "macro": "A facial expression that lasts longer.",
        },
    },
    "label": {
        "LongName": "Label",
        "Description": "What a recognizer or a coder calls it. It names the pattern of a movement, "
        "and not what somebody felt.",
    },
    "apex": {
        "LongName": "Apex",
        "Description": "Time at which the expression is strongest, from the video's first frame.",
        "Units": "s",
    },
    "score": {
        "LongName": "Score",
        "Description": "How sure the spotter is, from 0 to 1.",
        "Units": "arbitrary",
    },
    "aus": {
        "LongName": "Action units",
        "Description": "Action units of the Facial Action Coding System that act, joined by a plus "
        "sign; L and R are the subject's left and right side.",
    },
    "comment": {"LongName": "Comment", "Description": "A coder's words."},
}


class Events(Exchange):
    """A row for each expression, and the JSON file of the columns beside it.

    An empty label, or "n/a", counts as none. In other tables, events are read whose `kind`, or
    whose `trial_type` up to a slash, is micro or macro.
    """

    use = "BIDS"
    holds = "a table of events, and beside it `_events.json`, which describes its columns"
    endings = (_END,)

    def companions(self, path: Path) -> tuple[Path, ...]:
        return (path.with_suffix(".json"),)

    def files(
        self,
        path: Path,
        name: str,
        timed: Sequence[Timed],
        film: Path | None = None,
        result: SpotResult | None = None,
    ) -> dict[Path, str]:
        (sidecar,) = self.companions(path)
        return {sidecar: columns_json(timed), path: self.text(name, timed)}

    def text(self, name: str, timed: Sequence[Timed]) -> str:
        lines: list[Sequence[object]] = [list(_COLUMNS)]
        for e in timed:
            cells = (
                f"{e.onset_s:.6f}",
                f"{e.offset_s - e.onset_s:.6f}",
                described(e),
                e.kind,
                e.label,
                None if e.apex_s is None else f"{e.apex_s:.6f}",
                None if e.score is None else repr(float(e.score)),
                e.aus,
                e.comment,
            )
            lines.append([_MISSING if cell in (None, "") else cell for cell in cells])
        return text_lines(lines, "\t")

    def parse(self, text: str) -> tuple[Timed, ...]:
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", restval=_MISSING)
        lacking = {"onset", "duration"} - set(rows.fieldnames or ())
        if lacking or not {"kind", "trial_type"} & set(rows.fieldnames or ()):
            raise ValueError(
                "it needs the columns onset, duration, and kind or trial_type, with tabs between "
                f"them; found {', '.join(map(repr, rows.fieldnames or ())) or 'none'}"
            )
        found, others = [], set()
        for row in rows:
            cells = {k: v for k, v in row.items() if k and v and v.strip() != _MISSING}
            kind, label = parted(cells.get("trial_type", ""))
            kind = parted(cells["kind"])[0] if "kind" in cells else kind
            if kind is None:
                others.add(cells.get("trial_type", cells.get("kind", "")))
                continue
            onset, apex, score = (cells.get(k) for k in ("onset", "apex", "score"))
            with at(f"line {rows.line_num}"):
                times = (onset or "nan", apex, cells.get("duration", "0"))
                label = cells.get("label", label if "label" not in row else None)
                words = cells.get("comment", "")
                found.append(lasting(kind, *times, label, score, cells.get("aus"), words))
        if others and not found:
            raise ValueError(
                "no event is of the type micro or macro; its types are "
                + ", ".join(map(repr, sorted(others)))
            )
        return tuple(found)


def columns_json(timed: Sequence[Timed]) -> str:
    """The JSON file that describes the columns of the table."""
    about = {name: dict(cells) for name, cells in _COLUMNS.items()}
    kinds = _COLUMNS["kind"]["Levels"]
    levels = {described(e): e for e in timed}
    about["trial_type"]["Levels"] = {
        **kinds,
        **{
            level: f"A {e.kind}-expression that is called {e.label}."
            for level, e in sorted(levels.items())
            if e.label
        },
    }
    return json.dumps(about, indent=2, ensure_ascii=False) + "\n"
