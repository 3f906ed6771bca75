"""Action units of whole videos: frequency, sides, probabilities and times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from aumer.graph.au import NAMES
from aumer.results.schema import printable
from aumer.results.spot_result import SpotResult
from aumer.results.totals import measured_minutes
from aumer.results.writers import about_columns
from aumer.tables.cells import csv_lines

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class UnitRow:
    """One AU in one video.

    Attributes:
        name: its name in FACS; "" if unknown.
        expressions: number of expressions in which it acts, and of which `micro` and `macro`;
            `read`: number of all expressions.
        left, right, both: numbers by side of the subject, if known.
        per_minute: `expressions` per minute with measured motion; None without such minutes.
        seconds: total duration of the expressions in which it acts.
        probability: mean over the expressions in which it acts; None if there are none.
        probability_max: largest over all expressions.
        apexes_s: apexes of the expressions in which it acts, seconds.
        about: facts about the video, by column.
    """

    video: str
    face: int | None
    au: int
    name: str
    expressions: int
    micro: int
    macro: int
    read: int
    left: int
    right: int
    both: int
    per_minute: float | None
    seconds: float
    probability: float | None
    probability_max: float
    apexes_s: tuple[float, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)


def unit_rows(result: SpotResult) -> tuple[UnitRow, ...]:
    """Rows for all AUs that were read, including those that never act, by number; empty if no
    expression was read.
    """
    read = [e for e in result.expressions if e.aus is not None]
    minutes = measured_minutes(result)
    rows = []
    for number in sorted({unit.number for e in read for unit in e.aus or ()}):
        pairs = [(e, unit) for e in read for unit in e.aus or () if unit.number == number]
        acting = [(e, unit) for e, unit in pairs if unit.acts]
        sides = [unit.side for _, unit in acting]
        sure = [unit.probability for _, unit in acting]
        rows.append(
            UnitRow(
                printable(result.video.name),
                result.face,
                number,
                NAMES.get(number, ""),
                len(acting),
                sum(e.kind == "micro" for e, _ in acting),
                sum(e.kind == "macro" for e, _ in acting),
                len(read),
                sides.count("left"),
                sides.count("right"),
                sides.count("both"),
                len(acting) / minutes if minutes > 0 else None,
                sum(e.duration_s for e, _ in acting),
                sum(sure) / len(sure) if sure else None,
                max(unit.probability for _, unit in pairs),
                tuple(e.apex_s for e, _ in acting),
                result.about,
            )
        )
    return tuple(rows)


_COLUMNS = tuple(f.name for f in fields(UnitRow) if f.name != "about")


def _record(row: UnitRow, more: Mapping[str, str]) -> dict[str, Any]:
    record = {k: v for k, v in asdict(row).items() if k != "about"}
    record["apexes_s"] = " ".join(f"{s:.3f}" for s in row.apexes_s)
    return {**record, **{title: row.about.get(name) for name, title in more.items()}}


def units_header(abouts: Iterable[Mapping[str, str]]) -> str:
    """The header of `units_csv`, with further columns."""
    return csv_lines([(*_COLUMNS, *about_columns(abouts, _COLUMNS).values())])


def units_csv(rows: Iterable[UnitRow], abouts: Sequence[Mapping[str, str]] = ()) -> str:
    """A header, and a row for each AU of each video; apexes share a cell, separated by blanks.

    Args:
        abouts: facts about all videos, including those without rows.
    """
    rows = list(rows)
    known = [*abouts, *(row.about for row in rows)]
    more = about_columns(known, _COLUMNS)
    return units_header(known) + csv_lines(_record(row, more).values() for row in rows)


def units_dataframe(results: Iterable[SpotResult]) -> pd.DataFrame:
    """The same as a DataFrame, from results."""
    import pandas as pd

    rows = [row for result in results for row in unit_rows(result)]
    more = about_columns((row.about for row in rows), _COLUMNS)
    table: pd.DataFrame = pd.DataFrame(
        [_record(row, more) for row in rows], columns=[*_COLUMNS, *more.values()]
    )
    return table
