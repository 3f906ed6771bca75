"""Reading and writing expressions as a CSV table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.results.exchange import Exchange, Timed
from aumer.results.spot_result import SpotResult
from aumer.tables import intervals
from aumer.tables.cells import csv_lines
from aumer.types import ImageArray

#: Columns for annotations: those of a result, and a coder's comment.
_COLUMNS = (
    *("video", "kind", "onset_s", "apex_s", "offset_s", "duration_s"),
    *("score", "label", "aus", "comment"),
)
_FRAMES = ("onset", "apex", "offset")


class Csv(Exchange):
    """A row for each expression, with times in seconds, and frames if known.

    Reads any table of intervals in seconds, or in frames with a column for the frame rate
    (`aumer.tables.intervals`), of one or several videos.
    """

    use = "tables"
    holds = "a row for each expression"

    def write(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        overwrite: bool = False,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        result.to_csv(path, overwrite=overwrite)

    def alone(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        self.write(result, path)

    def lost(self, result: SpotResult) -> str:
        return ""  # all rows are kept; that a table is not a result needs no message

    def text(self, name: str, timed: Sequence[Timed]) -> str:
        frames = [[e.told.get(role) for role in _FRAMES] for e in timed]
        known = any(row[0] is not None for row in frames)
        lines: list[list[Any]] = [[*_COLUMNS, *(_FRAMES if known else ())]]
        for e, row in zip(timed, frames, strict=True):
            cells: list[Any] = [name, e.kind, e.onset_s, e.apex_s, e.offset_s]
            cells += [e.offset_s - e.onset_s, e.score, e.label, e.aus, e.comment]
            lines.append([*cells, *(row if known else ())])
        return csv_lines(lines)

    def parse(self, text: str) -> tuple[Timed, ...]:
        return tuple(chain.from_iterable(_videos(intervals.read("a table", text=text)).values()))

    def videos(self, path: StrPath) -> Mapping[str, tuple[Timed, ...]]:
        table = intervals.read(path)
        table.log_notes()
        return _videos(table)


def _videos(table: intervals.IntervalTable) -> Mapping[str, tuple[Timed, ...]]:
    found: dict[str, list[Timed]] = {}
    for row in table:
        rows = found.setdefault(row.video, [])
        if row.expression is not None:
            rows.append(_timed(table, row))
    return {video: tuple(rows) for video, rows in found.items()}


def _timed(table: intervals.IntervalTable, row: intervals.IntervalRow) -> Timed:
    seconds = []
    for name in _FRAMES:
        found, frame = getattr(row, f"{name}_s"), getattr(row, name)
        if found is None and frame is not None:
            if row.fps is None:
                raise table.error(
                    row, name, f"frames need the video's frame rate; add a column fps, or {name}_s"
                )
            found = frame / row.fps
        seconds.append(found)
    onset, apex, offset = seconds
    assert row.expression is not None and onset is not None and offset is not None, "it was read"
    with foreign(table.at(row), "an expression"):
        return Timed(
            row.expression,
            onset,
            offset,
            apex,
            row.label or None,
            row.score,
            aus=row.aus or None,
            comment=row.comment,
        )
