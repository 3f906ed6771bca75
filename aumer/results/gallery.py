"""The faces in a timeline: three per expression, near its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from aumer.results.drawing import GRAY, KIND_COLORS, cut
from aumer.results.time_axis import PLOT, TimeAxis, clock
from aumer.types import Expression, ImageArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Most expressions per row with faces; more would be too small to see.
FACES_SHOWN = 5

# Lengths in inches.
_FACE, _FACE_GAP, _CAPTION, _LEADER = 0.74, 0.16, 0.2, 0.5


def side_of(most: int) -> float:
    """Side of a face in inches for this number of expressions in a row."""
    return min(_FACE, (PLOT / max(1, most) - _FACE_GAP) / 3)


def height_of(side: float) -> float:
    """Height of a row of faces with the text above and the marks below, in inches."""
    return _CAPTION + side + _LEADER


def key_frames(e: Expression) -> tuple[int, int, int]:
    """The frames whose faces are shown."""
    return e.onset, e.apex, e.offset


def best(expressions: Sequence[Expression]) -> list[Expression]:
    """The `FACES_SHOWN` expressions with the highest scores, in order of apex.

    Of two that overlap by half of the shorter, which show the same faces, only the better.
    """
    chosen: list[Expression] = []
    for e in sorted(expressions, key=lambda e: -e.score):
        shared = (
            2 * e.interval.overlap(o.interval) / min(len(e.interval), len(o.interval))
            for o in chosen
        )
        if len(chosen) < FACES_SHOWN and all(share < 1 for share in shared):
            chosen.append(e)
    return sorted(chosen, key=lambda e: e.apex_s)


def draw(
    axes: Axes,
    shown: Sequence[Expression],
    faces: Mapping[int, ImageArray],
    side: float,
    axis: TimeAxis,
    total: int,
) -> None:
    """Draw three faces per expression near its time; coordinates are inches."""
    tall = height_of(side)
    seen: set[int] = set()
    axes.set(xlim=(0, PLOT), ylim=(0, tall))
    axes.set_axis_off()
    width = 3 * side + _FACE_GAP
    wanted = [axis.share(e.apex_s) * PLOT for e in shown]
    for e, center in zip(shown, spread(wanted, width, PLOT), strict=True):
        color = KIND_COLORS[e.kind]
        left = center - 1.5 * side
        when = clock(e.apex_s, 2 if axis.end < 60 else 1, axis.end)
        caption = f"{e.kind} {when}{' s' if axis.end < 60 else ''} ({e.score:.2f}) {e.label or ''}"
        axes.text(
            center,
            tall - 0.05,
            cut(caption.strip(), int(width / 0.052), tail=0),
            color=color,
            fontsize=7,
            ha="center",
            va="top",
            parse_math=False,
        )
        moments = zip(
            ("onset", "apex", "offset"),
            key_frames(e),
            (e.onset_s, e.apex_s, e.offset_s),
            strict=True,
        )
        for k, (moment, frame, seconds) in enumerate(moments):
            x = left + k * side
            middle = x + side / 2
            if frame in seen:  # equal frames, such as an apex at the onset
                continue
            seen.add(frame)
            if frame in faces:
                axes.imshow(
                    faces[frame],
                    extent=(x + 0.015, x + side - 0.015, _LEADER, _LEADER + side - 0.03),
                    aspect="auto",
                    interpolation="antialiased",
                )
            axes.text(middle, _LEADER - 0.03, moment, fontsize=6, color=GRAY, ha="center", va="top")
            axes.plot(
                [middle, middle, axis.share(seconds) * PLOT],
                [_LEADER - 0.15, _LEADER - 0.19, 0.07],
                color=color,
                linewidth=0.9 if moment == "apex" else 0.5,
                alpha=0.9 if moment == "apex" else 0.6,
                solid_capstyle="butt",
            )
    if len(shown) < total:
        axes.text(
            PLOT + 0.12,
            _LEADER + side / 2,
            f"{'top ' * (len(shown) == FACES_SHOWN)}{len(shown)} of {total}\nshown",
            fontsize=7.5,
            color=GRAY,
            va="center",
        )


def spread(wanted: Sequence[float], width: float, room: float) -> list[float]:
    """Centers nearest to `wanted` (sorted) for items of `width` that fit in 0..`room` without
    overlap.

    Least squares: after subtracting k * width, centers only need to be non-decreasing, which is
    isotonic regression.
    """
    pools: list[list[float]] = []
    for k, center in enumerate(wanted):
        pools.append([center - k * width])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    low, high = width / 2, room - width / 2 - (len(wanted) - 1) * width
    flat = [min(max(float(np.mean(pool)), low), high) for pool in pools for _ in pool]
    return [x + k * width for k, x in enumerate(flat)]
