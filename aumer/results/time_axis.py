"""The axis of time that the panels of a drawing share, and times for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from aumer.errors import UsageError
from aumer.results.spot_result import SpotResult
from aumer.types import Expression, TimeArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: A longer stretch is drawn in rows of so many seconds, as a line of text is; no more rows than
#: these, or the picture of an hour could not be opened.
ROW_S, ROWS = 60.0, 10

# Inches: of a figure, and of the axis within it.
WIDTH, LEFT, RIGHT = 10.0, 0.72, 1.38
PLOT = WIDTH - LEFT - RIGHT


@dataclass(frozen=True)
class TimeAxis:
    """The stretch of time that panels share.

    Attributes:
        begin, end, step: of the stretch and of the grid, s.
        rows: of the grid.
        part: whether there is more.
        width: seconds that the axis is long, from `begin`; by default to `end`.
    """

    begin: float
    end: float
    step: float
    rows: int
    part: bool = False
    width: float | None = None

    @classmethod
    def of(
        cls, result: SpotResult, start: float | None = None, end: float | None = None
    ) -> TimeAxis:
        """That of all there is, or of the part from `start` to `end`.

        Raises:
            UsageError: nothing was analyzed there.
        """
        whole = cls._of(result)
        if start is None and end is None:
            return whole
        low = whole.begin if start is None else max(float(start), whole.begin)
        high = whole.end if end is None else min(float(end), whole.end)
        if not low < high:
            raise UsageError(
                f"nothing was analyzed from `start={low:g}` to `end={high:g}` s; the result "
                f"reaches from {whole.begin:.3g} to {whole.end:.3g} s"
            )
        return cls(low, high, whole.step, whole.rows, part=True)

    @classmethod
    def _of(cls, result: SpotResult) -> TimeAxis:
        grids = [result.scores.times]
        if result.features is not None:
            grids.append(result.features.times)
        longest = max(grids, key=len)
        step = float(np.median(np.diff(longest))) if len(longest) > 1 else 1 / 30
        begins = [float(grid[0]) for grid in grids if len(grid)]
        ends = [float(grid[-1]) + step for grid in grids if len(grid)]
        begins += [e.onset_s for e in result.expressions]
        ends += [e.offset_s for e in result.expressions]
        if not ends:
            return cls(0.0, 1.0, step, 0)
        return cls(min(begins), max(max(ends), min(begins) + step), step, len(longest))

    @property
    def span(self) -> float:
        return self.end - self.begin

    @property
    def limit(self) -> float:
        """Where the axis ends."""
        return self.end if self.width is None else self.begin + self.width

    def rows_of_figure(self) -> list[TimeAxis]:
        """One below the other, all of one width."""
        width = max(ROW_S, self.span / ROWS)
        count = math.ceil(self.span / width - 1e-9)
        if count == 1:
            return [self]
        begins = [self.begin + k * width for k in range(count)]
        ends = [*begins[1:], self.end]
        return [
            replace(self, begin=begin, end=end, width=width)
            for begin, end in zip(begins, ends, strict=True)
        ]

    def holds(self, onset_s: float, offset_s: float) -> bool:
        """Whether any of it lies here."""
        return onset_s <= self.end and offset_s >= self.begin

    def peaking(self, expressions: Sequence[Expression]) -> list[Expression]:
        """Those whose apex lies here."""
        return [e for e in expressions if self.begin <= e.apex_s <= self.end]

    def rows_in(self, times: TimeArray) -> slice:
        """The rows of a grid that lie here, and one on either side, to which lines run on."""
        low, high = np.searchsorted(times, (self.begin, self.end))
        return slice(max(0, int(low) - 1), int(high) + 1)

    def share(self, seconds: float) -> float:
        """Where a time lies on the axis: between 0 and 1."""
        return (seconds - self.begin) / (self.limit - self.begin)

    @property
    def line_width(self) -> float:
        return 1.1 if self.limit - self.begin <= ROW_S else 0.7

    def apply(self, axes: Axes, *, labels: bool) -> None:
        """Limits, ticks and spines of a panel."""
        from matplotlib.ticker import FuncFormatter, MultipleLocator

        tick = tick_step(self.limit - self.begin)
        digits = max(0, math.ceil(-math.log10(tick) - 1e-9))
        axes.set_xlim(self.begin, self.limit)
        axes.xaxis.set_major_locator(MultipleLocator(tick))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda seconds, _: clock(seconds, digits, self.end))
        )
        axes.tick_params(labelsize=8, labelbottom=labels, length=3)
        if labels:
            unit = "s" if self.end < 60 else "min:s" if self.end < 3600 else "h:min:s"
            axes.set_xlabel(f"Time ({unit})", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.yaxis.set_label_coords(-0.38 / PLOT, 0.5)


def tick_step(span: float) -> float:
    """Seconds between ticks: at most ten of them, at round numbers of a clock."""
    steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]
    for step in [10.0**k * m for k in range(-4, 0) for m in (1, 2, 5)] + steps:
        if span / step <= 10:
            return step
    return 3600.0 * math.ceil(span / 36000)


def clock(seconds: float, digits: int, longest: float) -> str:
    """``12.3``, ``2:03.4`` or ``1:02:03``, as the longest time on show needs it."""
    if longest < 60:
        return f"{seconds:.{digits}f}"
    minutes, rest = divmod(round(seconds, digits), 60)
    shown = f"{rest:0{3 + digits if digits else 2}.{digits}f}"
    if longest < 3600:
        return f"{minutes:.0f}:{shown}"
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{shown}"


def length(seconds: float) -> str:
    """A duration for people: ``19.5 s``, ``10:00 min`` or ``1:02:03 h``."""
    unit = "s" if seconds < 60 else "min" if seconds < 3600 else "h"
    return f"{clock(seconds, 1 if seconds < 60 else 0, seconds)} {unit}"
