"""Action units of whole videos: how often each acted, on which side, how surely, and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from aumer.results.schema import printable
from aumer.results.spot_result import SpotResult
from aumer.results.totals import measured_minutes
from aumer.results.writers import about_columns
from aumer.tables.cells import csv_lines

if TYPE_CHECKING:
    import pandas as pd

#: What FACS calls the AUs (Ekman, Friesen and Hager 2002).
AU_NAMES: Mapping[int, str] = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    12: "lip corner puller",
    14: "dimpler",
    15: "lip corner depressor",
    17: "chin raiser",
    20: "lip stretcher",
    23: "lip tightener",
    24: "lip pressor",
    25: "lips part",
    26: "jaw drop",
}


@dataclass(frozen=True)
class UnitRow:
    """One AU in one video.

    Attributes:
        name: what FACS calls it; "" where the table of names lacks it.
        expressions: in how many it acts; `micro` and `macro` of them; `read`: of how many.
        left, right, both: on which side of the subject, as far as it was told.
        per_minute: `expressions` over the minutes in which motion was measured; None where there
            are none.
        seconds: of the expressions in which it acts, summed.
        probability: mean over the expressions in which it acts; None where there is none.
        probability_max: largest over all expressions that were read.
        apexes_s: of the expressions in which it acts, seconds.
        about: what is known of the video, by column.
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
    """Every AU that was read, those that never act among them, by number; none where no expression
    was read."""
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
                AU_NAMES.get(number, ""),
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
    """The line with which `units_csv` begins, by what is known of the videos."""
    return csv_lines([(*_COLUMNS, *about_columns(abouts, _COLUMNS).values())])


def units_csv(rows: Iterable[UnitRow], abouts: Sequence[Mapping[str, str]] = ()) -> str:
    """A header, and a row for each AU of each video; apexes stand in one cell, with blanks.

    Args:
        abouts: what is known of all videos, those without rows among them.
    """
    rows = list(rows)
    known = [*abouts, *(row.about for row in rows)]
    more = about_columns(known, _COLUMNS)
    return units_header(known) + csv_lines(_record(row, more).values() for row in rows)


def units_dataframe(results: Iterable[SpotResult]) -> pd.DataFrame:
    """The same of results, as a DataFrame."""
    import pandas as pd

    rows = [row for result in results for row in unit_rows(result)]
    more = about_columns((row.about for row in rows), _COLUMNS)
    table: pd.DataFrame = pd.DataFrame(
        [_record(row, more) for row in rows], columns=[*_COLUMNS, *more.values()]
    )
    return table
