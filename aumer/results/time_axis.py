"""The time axis that the panels of a drawing share, and readable times."""

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

#: Longer results are drawn in rows of this many seconds, up to this number of rows, so that the
#: picture stays small enough to open.
ROW_S, ROWS = 60.0, 10

# Width of a figure and of the axis in it, in inches.
WIDTH, LEFT, RIGHT = 10.0, 0.72, 1.38
PLOT = WIDTH - LEFT - RIGHT


@dataclass(frozen=True)
class TimeAxis:
    """The time range that panels share.

    Attributes:
        begin, end, step: of the range and of the grid of rows, s.
        rows: of the grid.
        part: whether it is only a part of the result.
        width: length of the axis in seconds, from `begin`; by default to `end`.
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
        """The axis of a whole result, or of the part from `start` to `end`.

        Raises:
            UsageError: there is no analyzed time in this part.
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
        """End of the axis, s."""
        return self.end if self.width is None else self.begin + self.width

    def rows_of_figure(self) -> list[TimeAxis]:
        """The axes of the rows of the figure, all of equal width."""
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
        """Whether the interval overlaps the range."""
        return onset_s <= self.end and offset_s >= self.begin

    def peaking(self, expressions: Sequence[Expression]) -> list[Expression]:
        """The expressions whose apex lies in the range."""
        return [e for e in expressions if self.begin <= e.apex_s <= self.end]

    def rows_in(self, times: TimeArray) -> slice:
        """The rows of a grid in the range, and one more on either side for continuous lines."""
        low, high = np.searchsorted(times, (self.begin, self.end))
        return slice(max(0, int(low) - 1), int(high) + 1)

    def share(self, seconds: float) -> float:
        """Position of a time on the axis, in [0, 1]."""
        return (seconds - self.begin) / (self.limit - self.begin)

    @property
    def line_width(self) -> float:
        return 1.1 if self.limit - self.begin <= ROW_S else 0.7

    def apply(self, axes: Axes, *, labels: bool) -> None:
        """Set limits, ticks and spines of a panel."""
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
    """Seconds between ticks: at most ten ticks, at round clock times."""
    steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]
    for step in [10.0**k * m for k in range(-4, 0) for m in (1, 2, 5)] + steps:
        if span / step <= 10:
            return step
    return 3600.0 * math.ceil(span / 36000)


def clock(seconds: float, digits: int, longest: float) -> str:
    """``12.3``, ``2:03.4`` or ``1:02:03``, depending on the longest time shown."""
    if longest < 60:
        return f"{seconds:.{digits}f}"
    minutes, rest = divmod(round(seconds, digits), 60)
    shown = f"{rest:0{3 + digits if digits else 2}.{digits}f}"
    if longest < 3600:
        return f"{minutes:.0f}:{shown}"
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{shown}"


def length(seconds: float) -> str:
    """A readable duration: ``19.5 s``, ``10:00 min`` or ``1:02:03 h``."""
    unit = "s" if seconds < 60 else "min" if seconds < 3600 else "h"
    return f"{clock(seconds, 1 if seconds < 60 else 0, seconds)} {unit}"
