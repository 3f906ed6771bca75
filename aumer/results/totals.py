"""Totals over videos: expressions per minute and durations, by subject and condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import TYPE_CHECKING

from aumer.results.notebook import table_html
from aumer.results.schema import printable
from aumer.results.spot_result import SpotResult
from aumer.results.writers import about_columns
from aumer.tables.cells import csv_lines
from aumer.types import KINDS, Kind, by_kind

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class VideoTally:
    """The data of one result for totals.

    Attributes:
        about: facts about the video, by column.
        minutes: minutes with measured motion.
        lengths: durations in seconds, by kind.
    """

    about: Mapping[str, str]
    minutes: float
    lengths: Mapping[Kind, tuple[float, ...]]

    @classmethod
    def of(cls, result: SpotResult) -> VideoTally:
        lengths = {
            kind: tuple(e.duration_s for e in by_kind(result.expressions, kind)) for kind in KINDS
        }
        return cls(result.about, measured_minutes(result), lengths)


@dataclass(frozen=True)
class KindTotal:
    """Totals of one kind of expression in a group.

    Attributes:
        per_minute: count per minute with measured motion; None without such minutes.
        mean_s, median_s: of the durations, in seconds; None without expressions.
    """

    count: int
    per_minute: float | None
    mean_s: float | None
    median_s: float | None

    @classmethod
    def of(cls, lengths: Sequence[float], minutes: float) -> KindTotal:
        return cls(
            len(lengths),
            len(lengths) / minutes if minutes > 0 else None,
            mean(lengths) if lengths else None,
            median(lengths) if lengths else None,
        )


@dataclass(frozen=True)
class Totals:
    """Totals of the videos of one group.

    Attributes:
        group: value by column, such as ``{"condition": "rest"}``; "all" without grouping.
        videos: number of results: one per video or per face.
        minutes: minutes with measured motion.
    """

    group: Mapping[str, str]
    videos: int
    minutes: float
    micro: KindTotal
    macro: KindTotal


class TotalsTable(tuple[Totals, ...]):
    """Totals by group, displayed as a table in notebooks."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return table_html(_rows(self)) if self else "<p>no video</p>"


def totals(of: Iterable[VideoTally | SpotResult], by: Sequence[str] = ()) -> TotalsTable:
    """Totals by group, in the order of the groups' names.

    Args:
        of: results or tallies.
        by: the columns that define groups; a missing value is "".
    """
    groups: dict[tuple[str, ...], list[VideoTally]] = {}
    for one in of:
        tally = VideoTally.of(one) if isinstance(one, SpotResult) else one
        groups.setdefault(tuple(tally.about.get(name, "") for name in by), []).append(tally)
    found = []
    for key, own in sorted(groups.items()):
        minutes = sum(tally.minutes for tally in own)
        micro, macro = (
            KindTotal.of([s for tally in own for s in tally.lengths[kind]], minutes)
            for kind in KINDS
        )
        names = dict(zip(by, key, strict=True)) if by else {"group": "all"}
        found.append(Totals(names, len(own), minutes, micro, macro))
    return TotalsTable(found)


def measured_minutes(result: SpotResult) -> float:
    """Minutes of the video with measured motion."""
    times = result.scores.times
    if len(times) < 2:
        return 0.0
    # Each row counts for the time to the next one.
    span = float(times[-1] - times[0]) * len(times) / (len(times) - 1)
    return result.coverage * span / 60


def _records(found: Sequence[Totals]) -> list[dict[str, object]]:
    records = []
    for one in found:
        numbers: dict[str, object] = {
            "videos": one.videos,
            "minutes": one.minutes,
            **{
                f"{kind}{ending}": value
                for kind, total in (("micro", one.micro), ("macro", one.macro))
                for ending, value in (
                    ("", total.count),
                    ("_per_minute", total.per_minute),
                    ("_mean_s", total.mean_s),
                    ("_median_s", total.median_s),
                )
            },
        }
        titles = about_columns([one.group], numbers)
        group = {titles[name]: printable(value) for name, value in one.group.items()}
        records.append({**group, **numbers})
    return records


def totals_csv(found: Sequence[Totals]) -> str:
    """A header and one row per group. Unknown values are empty."""
    records = _records(found)
    return csv_lines([records[0], *(record.values() for record in records)]) if records else ""


def totals_header(by: Sequence[str]) -> str:
    """The header of `totals_csv` for these grouping columns."""
    return totals_csv(totals([VideoTally({}, 0.0, dict.fromkeys(KINDS, ()))], by)).split("\n")[0]


def totals_table(found: Sequence[Totals]) -> str:
    """A readable table with aligned columns, without the medians."""
    if not (rows := _rows(found)):
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.rjust, row, widths)) for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _rows(found: Sequence[Totals]) -> list[list[str]]:
    """Header and rows as texts."""
    records = [
        {name: v for name, v in record.items() if not name.endswith("_median_s")}
        for record in _records(found)
    ]
    rows = [list(records[0])] if records else []
    return rows + [["-" if v is None else _short(v) for v in r.values()] for r in records]


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def totals_dataframe(found: Sequence[Totals]) -> pd.DataFrame:
    """The same as a DataFrame."""
    import pandas as pd

    table: pd.DataFrame = pd.DataFrame(_records(found))
    return table
