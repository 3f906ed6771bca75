"""The timeline: what the face did, what the spotter made of it, and the faces themselves.

Drawn with matplotlib's objects on an Agg canvas. pyplot is never touched: its current figure and
its back end belong to the caller, and in a server or a thread there may be none.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath, atomic_write, check_target
from aumer.results.schema import printable
from aumer.results.spot_result import SpotResult
from aumer.types import BoolArray, Expression, Features, ImageArray, Kind, TimeArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The formats `plot_timeline` can write.
IMAGE_SUFFIXES = (".png", ".pdf", ".svg")

#: So many expressions get their faces shown; more would be too small to see.
FACES_SHOWN = 5

#: Okabe and Ito's colours, which stay apart for the colour-blind; the shapes do so in black on
#: white. Those of the kinds are used for nothing else.
_KIND_COLOURS: dict[Kind, str] = {"micro": "#D55E00", "macro": "#0072B2"}
_KIND_MARKERS: dict[Kind, str] = {"micro": "v", "macro": "D"}
_GROUP_COLOURS = {"brow": "#009E73", "nose": "#8C8C8C", "mouth": "#9C4F96", "other": "#000000"}
_CHANNEL_COLOURS = ("#222222", "#E69F00", "#56B4E9", "#CC79A7")
_DASHES = ("-", "--", ":", "-.")
#: Score tracks that a reader can tell apart.
_TRACKS = 8
_GREY = "0.35"

#: ROI motion is shown relative to its median over so long a stretch (s): at least twice the
#: longest expression, so that the median is the face at rest and not the expression.
_REST_S = 8.0

# Inches.
_WIDTH, _LEFT, _RIGHT, _BOTTOM = 10.0, 0.72, 1.38, 0.52
_PLOT = _WIDTH - _LEFT - _RIGHT
_TITLE, _MOTION, _SCORES, _SPACE = 0.66, 1.9, 1.25, 0.16
_FACE, _FACE_GAP, _CAPTION, _LEADER = 0.74, 0.16, 0.2, 0.5
_DPI = 200


def plot_timeline(
    result: SpotResult,
    *,
    thumbnails: Mapping[int, ImageArray] | None = None,
    path: StrPath | None = None,
    overwrite: bool = False,
) -> Figure:
    """Draw a result over time.

    From top to bottom: the faces at onset, apex and offset; the motion of brows, nose and mouth
    (where ``result.features`` is there), as the ROIs' mean distance in crop px from where they rest
    (a median over 8 s); the scores. Intervals are shaded by kind, with a line at the apex;
    stretches without a face are hatched.

    Args:
        result: what to draw.
        thumbnails: frame ordinal -> (h, w, 3) uint8 RGB, square; see `aumer.results.thumbnails`.
            Of more than `FACES_SHOWN` expressions, those with the best scores get their faces.
        path: where to write the figure (.png, .pdf or .svg), whole or not at all.
        overwrite: replace an existing file.

    Returns:
        The figure, for changes of your own and ``figure.savefig``.

    Raises:
        UsageError: another suffix, an existing file without `overwrite`, no such folder, or the
            system refuses to write.
    """
    if path is not None:
        suffix = Path(path).suffix.lower()
        if suffix not in IMAGE_SUFFIXES:
            raise UsageError(
                f"cannot draw {path}: a figure is written as {', '.join(IMAGE_SUFFIXES)}; found "
                f"{suffix or 'no suffix'!r}.{did_you_mean(suffix, IMAGE_SUFFIXES)}"
            )
        check_target(path, overwrite=overwrite)  # before drawing, not after
    figure = _draw(result, thumbnails or {})
    if path is not None:
        image = io.BytesIO()
        figure.savefig(image, format=suffix[1:], dpi=_DPI)
        atomic_write(path, image.getvalue(), overwrite=overwrite)
    return figure


def timeline_frames(result: SpotResult) -> tuple[int, ...]:
    """The frame ordinals, sorted, whose faces `plot_timeline` shows if it gets them."""
    return tuple(sorted({f for e in _best(result.expressions) for f in _key_frames(e)}))


def _key_frames(e: Expression) -> tuple[int, int, int]:
    return e.onset, e.apex, e.offset


def _best(expressions: Sequence[Expression]) -> list[Expression]:
    """The `FACES_SHOWN` with the highest scores, in the order of their apexes."""
    best = sorted(expressions, key=lambda e: -e.score)[:FACES_SHOWN]
    return sorted(best, key=lambda e: e.apex_s)


# -- the figure ----------------------------------------------------------------------------------


def _draw(result: SpotResult, faces: Mapping[int, ImageArray]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axis = _TimeAxis.of(result)
    shown = [e for e in _best(result.expressions) if any(f in faces for f in _key_frames(e))]
    face = min(_FACE, (_PLOT / max(1, len(shown)) - _FACE_GAP) / 3)
    gallery = _CAPTION + face + _LEADER if shown else 0.0

    motion = result.features is not None
    scores = bool(result.scores.channels) or not motion
    panels = [_MOTION] * motion + [_SCORES if motion else _MOTION] * scores
    head = _TITLE + (gallery or 0.06)  # room for the marks at the apexes
    height = head + sum(panels) + _SPACE * (len(panels) - 1) + _BOTTOM

    figure = Figure(figsize=(_WIDTH, height), facecolor="white")
    FigureCanvasAgg(figure)

    def axes(top: float, tall: float) -> Axes:
        bottom = (height - top - tall) / height
        return figure.add_axes((_LEFT / _WIDTH, bottom, _PLOT / _WIDTH, tall / height))

    _title(figure, result, axis, height)
    if shown:
        _gallery(axes(_TITLE, gallery), shown, faces, face, axis, len(result.expressions))
    top = head
    drawn = []
    for tall in panels:
        drawn.append(axes(top, tall))
        top += tall + _SPACE
    if motion:
        _motion(drawn[0], result, axis)
    if scores:
        _scores(drawn[-1], result, axis)
    for panel in drawn:
        _intervals(panel, result.expressions, axis, markers=panel is drawn[0])
        axis.apply(panel, labels=panel is drawn[-1])
    _kinds_legend(drawn[0], result)
    return figure


def _title(figure: Figure, result: SpotResult, axis: _TimeAxis, height: float) -> None:
    def write(text: str, down: float, **style: Any) -> None:
        # No mathematics: a file name may hold a dollar sign.
        figure.text(_LEFT / _WIDTH, 1 - down / height, text, va="top", parse_math=False, **style)

    facts = [
        f"{_length(axis.span)} analysed" if axis.rows else "no frames analysed",
        f"{len(result.micro)} micro",
        f"{len(result.macro)} macro",
        f"motion in {100 * result.coverage:.3g} % of the time",
        f"spotter: {result.spotter}",
    ]
    write(_cut(printable(result.video.name), 80, tail=25), 0.12, fontsize=11, fontweight="bold")
    write("   ·   ".join(facts), 0.36, fontsize=8.5, color=_GREY)


def _gallery(
    axes: Axes,
    shown: Sequence[Expression],
    faces: Mapping[int, ImageArray],
    side: float,
    axis: _TimeAxis,
    total: int,
) -> None:
    """Three faces an expression, near its place in time; coordinates are inches."""
    tall = _CAPTION + side + _LEADER
    axes.set(xlim=(0, _PLOT), ylim=(0, tall))
    axes.set_axis_off()
    width = 3 * side + _FACE_GAP
    wanted = [axis.share(e.apex_s) * _PLOT for e in shown]
    for e, centre in zip(shown, _spread(wanted, width, _PLOT), strict=True):
        colour = _KIND_COLOURS[e.kind]
        left = centre - 1.5 * side
        when = _clock(e.apex_s, 2 if axis.end < 60 else 1, axis.end)
        caption = f"{e.kind} {when}{' s' if axis.end < 60 else ''} ({e.score:.2f}) {e.label or ''}"
        axes.text(
            centre,
            tall - 0.05,
            _cut(caption.strip(), int(width / 0.052), tail=0),
            color=colour,
            fontsize=7,
            ha="center",
            va="top",
            parse_math=False,
        )
        moments = zip(
            ("onset", "apex", "offset"),
            _key_frames(e),
            (e.onset_s, e.apex_s, e.offset_s),
            strict=True,
        )
        for k, (moment, frame, seconds) in enumerate(moments):
            x = left + k * side
            middle = x + side / 2
            if frame in faces:
                axes.imshow(
                    faces[frame],
                    extent=(x + 0.015, x + side - 0.015, _LEADER, _LEADER + side - 0.03),
                    aspect="auto",
                    interpolation="antialiased",
                )
            axes.text(
                middle, _LEADER - 0.03, moment, fontsize=6, color=_GREY, ha="center", va="top"
            )
            axes.plot(
                [middle, middle, axis.share(seconds) * _PLOT],
                [_LEADER - 0.15, _LEADER - 0.19, 0.07],
                color=colour,
                linewidth=0.9 if moment == "apex" else 0.5,
                alpha=0.9 if moment == "apex" else 0.6,
                solid_capstyle="butt",
            )
    if len(shown) < total:
        axes.text(
            _PLOT + 0.12,
            _LEADER + side / 2,
            f"{'top ' * (len(shown) == FACES_SHOWN)}{len(shown)} of {total}\nshown",
            fontsize=7.5,
            color=_GREY,
            va="center",
        )


def _motion(axes: Axes, result: SpotResult, axis: _TimeAxis) -> None:
    from matplotlib.ticker import MaxNLocator

    features = result.features
    assert features is not None
    peak = 0.0
    for group, values in displacement(features).items():
        # Row i is the motion that ends one step after times[i].
        axes.plot(
            features.times + 1 / features.rate,
            values,
            color=_GROUP_COLOURS[group],
            linewidth=axis.line_width,
            label=group,
        )
        peak = max(peak, float(np.nanmax(values, initial=0.0)))
    axes.set_ylabel("ROI displacement\n(crop px)", fontsize=8)
    axes.set_ylim(0, max(1.0, 1.08 * peak))  # the noise of a still face must not look like motion
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    _no_face(axes, features.times, ~features.valid, axis)
    _lines_legend(axes)


def _drawn(channels: Sequence[str]) -> list[str]:
    """All tracks; of too many to be told apart, not those that say where the intervals end."""
    if len(channels) <= _TRACKS:
        return list(channels)
    return [c for c in channels if not c.endswith(("_onset", "_offset", "_neither"))]


def _scores(axes: Axes, result: SpotResult, axis: _TimeAxis) -> None:
    scores = result.scores
    used: dict[str, int] = {}
    for k, name in enumerate(_drawn(scores.channels)):
        kind = next((kind for kind in _KIND_COLOURS if name.startswith(kind)), None)
        group = _group(name)
        # A channel of a kind or of a group of ROIs has the colour it has elsewhere in the figure.
        family = kind or group
        nth = used[family] = used.get(family, -1) + 1
        if kind or group != "other":
            colour = _KIND_COLOURS[kind] if kind else _GROUP_COLOURS[group]
            dash = _DASHES[nth % len(_DASHES)]
        else:
            colour = _CHANNEL_COLOURS[nth % len(_CHANNEL_COLOURS)]
            dash = _DASHES[nth // len(_CHANNEL_COLOURS) % len(_DASHES)]
        axes.plot(
            scores.times,
            np.where(scores.valid, scores.channel(name), np.nan),
            color=colour,
            linestyle=dash,
            # A total, which spotters name last, lies under its parts, and shows on both sides where
            # it equals one of them.
            linewidth=axis.line_width + (1.4 if family == "other" and len(used) > 1 else 0),
            zorder=2 - k / 100,
            label=name,
        )
    axes.set_ylabel("Score", fontsize=8)
    axes.set(ylim=(-0.03, 1.03), yticks=(0, 0.5, 1))
    empty = np.isnan(scores.values).all(axis=1) if scores.channels else np.zeros(len(scores), bool)
    _no_face(axes, scores.times, ~scores.valid | empty, axis)
    _lines_legend(axes)


def _intervals(
    axes: Axes, expressions: Sequence[Expression], axis: _TimeAxis, *, markers: bool
) -> None:
    # In a long video the curve is hardly wider than the line at its peak, which must not hide it.
    apex = {"linewidth": 0.9} if axis.span < 60 else {"linewidth": 0.6, "alpha": 0.5}
    for e in expressions:
        colour = _KIND_COLOURS[e.kind]
        # The edge keeps a fifth of a second visible in ten minutes.
        axes.axvspan(e.onset_s, e.offset_s, color=colour, alpha=0.2, linewidth=0.5, zorder=0.5)
        axes.axvline(e.apex_s, color=colour, zorder=1, **apex)
        if markers:
            axes.plot(
                [e.apex_s],
                [1.025],
                transform=axes.get_xaxis_transform(),
                marker=_KIND_MARKERS[e.kind],
                markersize=4.5 if e.kind == "micro" else 3.5,
                color=colour,
                clip_on=False,
                linestyle="none",
                zorder=4,
            )


def _no_face(axes: Axes, times: TimeArray, missing: BoolArray, axis: _TimeAxis) -> None:
    spans = [(times[a], times[b - 1] + axis.step - times[a]) for a, b in _runs(missing)]
    if spans:
        axes.broken_barh(
            spans,
            (0, 1),
            transform=axes.get_xaxis_transform(),
            **_HATCHED,
            zorder=0.4,
        )
    if missing.all():
        axes.text(
            0.5,
            0.5,
            "no face found" if len(times) else "no frames analysed",
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=10,
            color=_GREY,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 4},
        )


_HATCHED: dict[str, Any] = {
    "facecolor": "0.95",
    "edgecolor": "0.78",
    "hatch": "////",
    "linewidth": 0,
}


def _lines_legend(axes: Axes) -> None:
    lines = axes.get_lines()
    if lines:
        labels = [_cut(str(line.get_label()), 15, tail=5) for line in lines]
        axes.add_artist(_legend(axes, lines, labels, "lower left"))


def _kinds_legend(axes: Axes, result: SpotResult) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    labels: list[str] = []
    for kind, colour in _KIND_COLOURS.items():
        handle = (
            Patch(facecolor=colour, alpha=0.25),
            Line2D([], [], color=colour, marker=_KIND_MARKERS[kind], markersize=4, linewidth=0),
        )
        handles.append(handle)
        labels.append(kind)
    handles.append(Line2D([], [], color=_GREY, marker="|", markersize=8, linewidth=0))
    labels.append("apex")
    if not result.scores.valid.all() or not _all_valid(result.features):
        handles.append(Patch(**_HATCHED))
        labels.append("no face")
    axes.add_artist(_legend(axes, handles, labels, "upper left"))


def _all_valid(features: Features | None) -> bool:
    return features is None or bool(features.valid.all())


def _legend(
    axes: Axes,
    handles: Sequence[Any],
    labels: list[str],
    corner: Literal["upper left", "lower left"],
) -> Any:
    from matplotlib.legend import Legend

    legend = Legend(
        axes,
        handles,
        labels,
        loc=corner,
        bbox_to_anchor=(1.01, float(corner == "upper left")),
        borderaxespad=0,
        fontsize=7.5 if len(handles) <= 7 else 6,
        labelspacing=0.35,
        handlelength=1.6,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return legend


# -- numbers -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _TimeAxis:
    """The stretch of time that all panels share: begin, end and grid step (s), grid rows."""

    begin: float
    end: float
    step: float
    rows: int

    @classmethod
    def of(cls, result: SpotResult) -> _TimeAxis:
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

    def share(self, seconds: float) -> float:
        """Where a time lies between begin (0) and end (1)."""
        return (seconds - self.begin) / self.span

    @property
    def line_width(self) -> float:
        return 1.1 if self.span < 60 else 0.7

    def apply(self, axes: Axes, *, labels: bool) -> None:
        """Limits, ticks and spines of a panel."""
        from matplotlib.ticker import FuncFormatter, MultipleLocator

        tick = _tick_step(self.span)
        digits = max(0, math.ceil(-math.log10(tick) - 1e-9))
        axes.set_xlim(self.begin, self.end)
        axes.xaxis.set_major_locator(MultipleLocator(tick))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda seconds, _: _clock(seconds, digits, self.end))
        )
        axes.tick_params(labelsize=8, labelbottom=labels, length=3)
        if labels:
            unit = "s" if self.end < 60 else "min:s" if self.end < 3600 else "h:min:s"
            axes.set_xlabel(f"Time ({unit})", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.yaxis.set_label_coords(-0.38 / _PLOT, 0.5)


def _tick_step(span: float) -> float:
    """Seconds between ticks: at most ten of them, at round numbers of a clock."""
    steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]
    for step in [10.0**k * m for k in range(-4, 0) for m in (1, 2, 5)] + steps:
        if span / step <= 10:
            return step
    return 3600.0 * math.ceil(span / 36000)


def _clock(seconds: float, digits: int, longest: float) -> str:
    """``12.3``, ``2:03.4`` or ``1:02:03``, as the longest time on show needs it."""
    if longest < 60:
        return f"{seconds:.{digits}f}"
    minutes, rest = divmod(round(seconds, digits), 60)
    clock = f"{rest:0{3 + digits if digits else 2}.{digits}f}"
    if longest < 3600:
        return f"{minutes:.0f}:{clock}"
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{clock}"


def _cut(text: str, most: int, *, tail: int) -> str:
    """At most `most` characters of `text`: an ellipsis stands for what precedes the last `tail`."""
    return text if len(text) <= most else f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def _length(seconds: float) -> str:
    """A duration for people: ``19.5 s``, ``10:00 min`` or ``1:02:03 h``."""
    unit = "s" if seconds < 60 else "min" if seconds < 3600 else "h"
    return f"{_clock(seconds, 1 if seconds < 60 else 0, seconds)} {unit}"


def displacement(features: Features) -> dict[str, npt.NDArray[np.float64]]:
    """How far each group of ROIs is from where it rests.

    Motion adds up from the start of each unbroken stretch; a median over 8 s, which a movement of
    up to 4 s does not shift, is taken as the place of rest; the distances from there are averaged
    over the group's ROIs. In a stretch too short to tell, the face rests at its start.

    Returns:
        ``brow``, ``nose``, ``mouth`` and ``other``, as far as there are such ROIs: (T,) in pixels
        of the canonical crop, row i after the motion of row i, NaN in invalid rows.
    """
    distance = np.full((len(features), len(features.rois)), np.nan)
    for begin, end in _runs(features.valid):
        path = np.cumsum(features.values[begin:end], axis=0, dtype=np.float64)
        distance[begin:end] = np.hypot(*np.moveaxis(path - _rest(path, features.rate), 2, 0))
    groups = np.array([_group(name) for name in features.rois])
    return {
        group: distance[:, groups == group].mean(axis=1)
        for group in _GROUP_COLOURS
        if (groups == group).any()
    }


def _rest(path: npt.NDArray[np.float64], rate: float) -> npt.NDArray[np.float64]:
    """The place of rest (n, R, 2) along a path of that shape."""
    from scipy.ndimage import median_filter

    # Rest changes slowly: five medians a second, and straight lines between, are enough and spare
    # an hour-long video many seconds of sorting.
    every = max(1, round(rate / 5))
    coarse = path[::every]
    half = max(1, round(_REST_S / 2 * rate / every))
    # At the ends the window looks out at the start and at the last full window's median; filled
    # with its own values, an expression that the video cuts off would be its own rest and vanish.
    last = np.median(coarse[-2 * half - 1 :], axis=0) if len(coarse) > 2 * half else path[0]
    pads = [np.broadcast_to(place, (half, *place.shape)) for place in (path[0], last)]
    padded = np.concatenate([pads[0], coarse, pads[1]])
    medians = median_filter(padded, size=(2 * half + 1, 1, 1))[half:-half].reshape(len(coarse), -1)
    at = np.arange(len(coarse)) * every
    rows = np.arange(len(path))
    rest = np.stack([np.interp(rows, at, track) for track in medians.T], axis=1)
    return rest.reshape(path.shape)


def _group(roi: str) -> str:
    part = roi.split("_")[0]
    return {"brow": "brow", "nose": "nose", "mouth": "mouth", "lip": "mouth"}.get(part, "other")


def _spread(wanted: Sequence[float], width: float, room: float) -> list[float]:
    """Centres nearest to `wanted` (sorted) of things `width` wide that fit in 0..`room`.

    Least squares: with k * width taken off, centres need only not decrease, which is what pooling
    neighbours that collide (isotonic regression) gives.
    """
    pools: list[list[float]] = []
    for k, centre in enumerate(wanted):
        pools.append([centre - k * width])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    low, high = width / 2, room - width / 2 - (len(wanted) - 1) * width
    flat = [min(max(float(np.mean(pool)), low), high) for pool in pools for _ in pool]
    return [x + k * width for k, x in enumerate(flat)]


def _runs(flags: BoolArray) -> Iterator[tuple[int, int]]:
    """Half-open (begin, end) of every stretch of True."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
