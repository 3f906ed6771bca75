"""Statistics of real expressions, counted from tables of data sets and shipped as aggregates.

``configs/expression_statistics.json`` has, for CAS(ME)^2, SAMM-LV and both together, and for each
kind: AU combinations with sides, FACS levels, quantiles of duration, rise and fall, and expressions
per minute. ``python -m aumer.simulate.statistics FOLDER`` counts them again.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer._data import data_dir
from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath, atomic_write
from aumer.graph import au
from aumer.simulate.anatomy import ACTION_UNITS, Action
from aumer.tables import intervals
from aumer.types import KINDS, Kind

FILE = "expression_statistics.json"
#: The shipped quantiles: 0, .02, ..., 1. Finer ones would disclose single rows, coarser ones would
#: lose the tails.
QUANTILES = 51
#: Number of duration groups, and of quantiles of the rise's share in each: at least 20 rows per
#: group.
GROUPS, GROUP_QUANTILES = 6, 11
FACS_LEVELS = "ABCDE"
#: How often an AU acts alone for every time that it acts with a certain other one (`any_actions`).
_ALONE = 8

#: The FACS level of an AU in a coder's string; of a range its lower end.
_LEVEL = re.compile(r"\d{1,2}\(?([A-E])(?![a-z])")
_LETTER = {"both": "", "left": "L", "right": "R"}


@dataclass(frozen=True)
class KindStatistics:
    """Composition and duration of expressions of one kind.

    Attributes:
        rows: expressions counted.
        rate_per_min: expressions per minute of video.
        combinations: count by combination of actions.
        levels: count by FACS level, A to E.
        duration_s, rise_s, fall_s: `QUANTILES` quantiles each, 0 to 1.
        rise_share: (apex - onset) / (offset - onset), which depends on the duration: quantiles, 0
            to 1, in groups of equal size from the shortest to the longest expressions.
    """

    rows: int
    rate_per_min: float
    combinations: Mapping[tuple[Action, ...], int]
    levels: Mapping[str, int]
    duration_s: tuple[float, ...]
    rise_share: tuple[tuple[float, ...], ...]
    rise_s: tuple[float, ...]
    fall_s: tuple[float, ...]


@dataclass(frozen=True)
class Statistics:
    """Both kinds, and the share of micro-expressions inside a macro-expression."""

    kinds: Mapping[Kind, KindStatistics]
    nested: float


def load(name: str = "both") -> Statistics:
    """The shipped statistics of a data set: "casme_sq", "samm_lv" or "both".

    Raises:
        UsageError: an unknown data set.
    """
    content = json.loads((data_dir("configs") / FILE).read_text(encoding="utf-8"))
    sets = content["sets"]
    if name not in sets:
        raise UsageError(
            f"no expression statistics of {name!r}; there are {', '.join(sets)}."
            f"{did_you_mean(name, sets)}"
        )
    return _parsed(sets[name])


def any_actions(statistics: Statistics) -> Statistics:
    """With other combinations: each AU alone on both sides, and, more rarely, any two together.

    What a data set's stimuli do not cause, people show elsewhere: of macro-expressions in
    CAS(ME)^2 and SAMM-LV one in thirty moves the mouth alone.
    """
    units: list[Action] = [(unit, "both") for unit in sorted(ACTION_UNITS)]
    found: dict[tuple[Action, ...], int] = {(unit,): _ALONE for unit in units}
    found |= dict.fromkeys(combinations(units, 2), 1)
    kinds = {name: replace(kind, combinations=found) for name, kind in statistics.kinds.items()}
    return replace(statistics, kinds=kinds)


def actions_of(code: str) -> tuple[Action, ...]:
    """The actions in a coder's string that the simulator knows, sorted: "L12B+25" -> L12 and 25.

    "ref(...)" (reflected: moved along by another AU) is omitted; of alternatives ("12A or 14A",
    "23/24") the first is used; codes without an action here (gaze, head, jaw sideways) are ignored.
    """
    if "loses" in code:  # the end of an action is no action
        return ()
    made = (unit for unit in au.read(code).units if unit.made)
    return tuple(sorted({(u.number, u.side) for u in made if u.number in ACTION_UNITS}))


def compute(folder: StrPath) -> dict[str, Any]:
    """Recount everything from the tables in `folder` (shared/data/annotations).

    Raises:
        UsageError: a table is missing.
    """
    folder = Path(folder)
    casme, casme_minutes = _casme_sq(folder)
    samm, samm_minutes = _samm_lv(folder)
    sets = {
        "casme_sq": _counted(casme, casme_minutes),
        "samm_lv": _counted(samm, samm_minutes),
        "both": _counted(casme + samm, casme_minutes + samm_minutes),
    }
    return {
        "provenance": {
            "command": "python -m aumer.simulate.statistics FOLDER",
            "tables": {
                "casme_sq": "casme_sq_auwgcn.csv (rows), casme_sq_offsets_filled.csv (lengths)",
                "samm_lv": "samm_lv_coding.xlsx (rows, 200 fps)",
            },
            "refused": (
                "for timing: a missing offset, an apex outside the interval or missing; for "
                "combinations: no action that the simulator has"
            ),
            "quantiles": (
                f"{QUANTILES} from 0 to 1; rise_share: {GROUP_QUANTILES} in each of {GROUPS} equal "
                "groups by duration"
            ),
            "minutes": (
                "casme_sq: the videos of the table; samm_lv: 147 videos, 130,000 frames at 25 fps"
            ),
        },
        "sets": sets,
    }


@dataclass(frozen=True)
class _Row:
    """A row in seconds: SAMM-LV's workbook has fractional frames."""

    video: str
    kind: Kind
    onset_s: float
    apex_s: float
    offset_s: float
    au: str

    @property
    def timed(self) -> bool:
        return self.onset_s <= self.apex_s <= self.offset_s and self.onset_s < self.offset_s


def _casme_sq(folder: Path) -> tuple[list[_Row], float]:
    """CAS(ME)^2 at 30 fps, and the minutes of its videos."""
    rows = []
    for r in intervals.read(_present(folder / "casme_sq_auwgcn.csv"), optional=("offset",)):
        assert r.expression and r.onset is not None and r.apex is not None, "the table's are whole"
        onset, apex, offset = (f / 30 for f in (r.onset, r.apex, r.offset or 0))
        rows.append(_Row(r.video, r.expression, onset, apex, offset, r.aus))
    filled = _present(folder / "casme_sq_offsets_filled.csv")
    lengths = {r.video: r.frames or 0 for r in intervals.read(filled, only=("video", "frames"))}
    return rows, sum(lengths.values()) / 30 / 60


def _samm_lv(folder: Path) -> tuple[list[_Row], float]:
    """SAMM-LV: the workbook's frames at 200 fps; and the minutes of its videos."""
    from openpyxl import load_workbook

    path = _present(folder / "samm_lv_coding.xlsx")
    sheet = load_workbook(path, read_only=True, data_only=False).worksheets[0]
    rows = []
    for r in sheet.iter_rows(min_row=2, values_only=True):
        if r[0] is None or not isinstance(r[3], (int, float)):
            continue
        onset, apex, offset = (float(v) / 200 for v in r[3:6])
        kind: Kind = "macro" if str(r[7]).startswith("Macro") else "micro"
        video = "_".join(str(r[1]).split("_")[:2])
        rows.append(_Row(video, kind, onset, apex, offset, str(r[8])))
    return rows, 130_000 / 25 / 60


def _counted(rows: Sequence[_Row], minutes: float) -> dict[str, Any]:
    kinds = {}
    for kind in KINDS:
        own = [r for r in rows if r.kind == kind]
        timed = [r for r in own if r.timed]
        duration = np.array([r.offset_s - r.onset_s for r in timed])
        rise = np.array([r.apex_s - r.onset_s for r in timed])
        counted = Counter(_name(actions_of(r.au)) for r in own)
        undrawable = counted.pop("", 0)
        kinds[kind] = {
            "rows": len(own),
            "rows_timed": len(timed),
            "rows_without_action": undrawable,
            "rate_per_min": round(len(own) / minutes, 4),
            "duration_s": _quantiles(duration),
            "rise_share": [
                _quantiles(group, GROUP_QUANTILES)
                for group in np.array_split(
                    (rise / duration)[np.argsort(duration, kind="stable")], GROUPS
                )
            ],
            "rise_s": _quantiles(rise),
            "fall_s": _quantiles(duration - rise),
            "levels": _levels(own),
            "combinations": dict(sorted(counted.items(), key=lambda kv: (-kv[1], kv[0]))),
        }
    macros = [r for r in rows if r.kind == "macro" and r.timed]
    micros = [r for r in rows if r.kind == "micro" and r.timed]
    nested = sum(
        any(
            m.video == r.video and m.onset_s <= r.onset_s and r.offset_s <= m.offset_s
            for m in macros
        )
        for r in micros
    )
    return {
        "minutes": round(minutes, 3),
        "nested_share": round(nested / len(micros), 4),
        "kinds": kinds,
    }


def _levels(rows: Sequence[_Row]) -> dict[str, int]:
    letters = Counter(m[1] for r in rows for m in _LEVEL.finditer(r.au))
    return {letter: letters[letter] for letter in FACS_LEVELS}


def _quantiles(values: npt.NDArray[np.float64], count: int = QUANTILES) -> list[float]:
    return [round(float(q), 4) for q in np.quantile(values, np.linspace(0, 1, count))]


def _name(actions: Sequence[Action]) -> str:
    return "+".join(f"{_LETTER[side]}{au}" for au, side in actions)


def _parsed(content: Mapping[str, Any]) -> Statistics:
    def kind(k: Mapping[str, Any]) -> KindStatistics:
        return KindStatistics(
            rows=int(k["rows"]),
            rate_per_min=float(k["rate_per_min"]),
            combinations={actions_of(name): int(n) for name, n in k["combinations"].items()},
            levels={letter: int(n) for letter, n in k["levels"].items()},
            duration_s=tuple(k["duration_s"]),
            rise_share=tuple(map(tuple, k["rise_share"])),
            rise_s=tuple(k["rise_s"]),
            fall_s=tuple(k["fall_s"]),
        )

    return Statistics(
        kinds={name: kind(content["kinds"][name]) for name in KINDS},
        nested=float(content["nested_share"]),
    )


def _present(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(
            f"{path} is missing: FOLDER must be the folder that holds casme_sq_auwgcn.csv"
        )
    return path


def text(statistics: Mapping[str, Any]) -> str:
    """The shipped file's text: indented, with lists of numbers on one line."""
    out = json.dumps(statistics, indent=1)
    return re.sub(r"\[[^\[\]]*\]", lambda m: re.sub(r"\s+", " ", m[0]), out) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Rewrite the shipped file from the tables in the given folder."""
    if len(arguments) != 1:
        raise UsageError("usage: python -m aumer.simulate.statistics FOLDER")
    atomic_write(data_dir("configs") / FILE, text(compute(arguments[0])), overwrite=True)


if __name__ == "__main__":
    main(sys.argv[1:])
