"""The timeline: what the face did, what the spotter made of it, and the faces themselves.

Drawn with matplotlib's objects on an Agg canvas. pyplot is never touched: its current figure and
its back end belong to the caller, and in a server or a thread there may be none.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from aumer import foreign
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

#: So many expressions in a row of the figure get their faces shown; more would be too small to see.
FACES_SHOWN = 5

#: A longer stretch is drawn in rows of so many seconds, as a line of text is; no more rows than
#: these, or the picture of an hour could not be opened.
ROW_S, ROWS = 60.0, 10

#: Okabe and Ito's colours, which stay apart for the colour-blind; the shapes do so in black on
#: white. Those of the kinds are used for nothing else.
_KIND_COLOURS: dict[Kind, str] = {"micro": "#D55E00", "macro": "#0072B2"}
_KIND_MARKERS: dict[Kind, str] = {"micro": "v", "macro": "D"}
_GROUP_COLOURS = {"brow": "#009E73", "nose": "#8C8C8C", "mouth": "#9C4F96", "other": "#000000"}
_CHANNEL_COLOURS = ("#222222", "#E69F00", "#56B4E9", "#CC79A7")
_DASHES = ("-", "--", ":", "-.")
_GREY = "0.35"

#: Tracks of our spotters, of which one each says enough, by the name of a reader who knows neither
#: the rules nor the network; and those that these stand for.
_PLAIN = {
    "expression": "movement (rules)",
    "micro_action": "micro (network)",
    "macro_action": "macro (network)",
}
_PARTS = {"expression": ("brow", "mouth")} | {
    f"{kind}_action": tuple(f"{kind}_{part}" for part in ("apex", "onset", "offset", "neither"))
    for kind in _KIND_COLOURS
}

#: ROI motion is shown relative to its median over so long a stretch (s), twice the longest
#: expression, once movements that come back within it are bridged; on which side these lie is told
#: over the longer stretch.
_REST_S, _LONG_S = 8.0, 30.0
#: Such a movement is beyond so many px of the crop, and beyond so much of the largest near it.
_FAR, _FAR_SHARE = 0.3, 0.25

# Inches.
_WIDTH, _LEFT, _RIGHT, _BOTTOM = 10.0, 0.72, 1.38, 0.52
_PLOT = _WIDTH - _LEFT - _RIGHT
_TITLE, _MOTION, _SCORES, _SPACE = 0.66, 1.9, 1.25, 0.16
_TRUTH = 0.2
_FACE, _FACE_GAP, _CAPTION, _LEADER = 0.74, 0.16, 0.2, 0.5
_DPI, _SCREEN_DPI = 200, 100


def plot_timeline(
    result: SpotResult,
    *,
    thumbnails: Mapping[int, ImageArray] | None = None,
    start: float | None = None,
    end: float | None = None,
    truth: Sequence[Expression] | None = None,
    note: str = "",
    path: StrPath | None = None,
    overwrite: bool = False,
) -> Figure:
    """Draw a result over time, more than `ROW_S` seconds in rows.

    From top to bottom: the faces at onset, apex and offset; the truth, where it is known; the
    motion of brows, nose and mouth (where ``result.features`` is there), as the ROIs' mean distance
    in crop px from where they rest (`displacement`); the scores: a bar for each expression at the
    height of its score, the threshold that it had to reach, and the tracks of the spotter.
    Intervals are shaded by kind, with a line at the apex; stretches without a face are hatched.

    Args:
        result: what to draw.
        thumbnails: frame ordinal -> (h, w, 3) uint8 RGB, square; see `aumer.results.thumbnails`.
            Of more than `FACES_SHOWN` expressions in a row, those with the best scores get their
            faces; of two that overlap by half of the shorter, the one with the better score.
        start, end: seconds; draw this part alone.
        truth: expressions that are known to be there; an empty one says that there are none.
        note: what a reader must know, behind the name of the video.
        path: where to write the figure (.png, .pdf or .svg), whole or not at all.
        overwrite: replace an existing file.

    Returns:
        The figure, for changes of your own and ``figure.savefig``.

    Raises:
        UsageError: another suffix, an existing file without `overwrite`, no such folder, nothing
            analysed from `start` to `end`, or the system refuses to write.
    """
    if path is not None:
        suffix = Path(path).suffix.lower()
        if suffix not in IMAGE_SUFFIXES:
            raise UsageError(
                f"cannot draw {path}: a figure is written as {', '.join(IMAGE_SUFFIXES)}; found "
                f"{suffix or 'no suffix'!r}.{did_you_mean(suffix, IMAGE_SUFFIXES)}"
            )
        check_target(path, overwrite=overwrite)  # before drawing, not after
    figure = _draw(result, thumbnails or {}, _TimeAxis.of(result, start, end), truth, note)
    if path is not None:
        image = io.BytesIO()
        figure.savefig(image, format=suffix[1:], dpi=_DPI)
        atomic_write(path, image.getvalue(), overwrite=overwrite)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a notebook shows it."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=_SCREEN_DPI)
    return image.getvalue()


def timeline_frames(
    result: SpotResult, *, start: float | None = None, end: float | None = None
) -> tuple[int, ...]:
    """The frame ordinals, sorted, whose faces `plot_timeline` shows if it gets them."""
    rows = _TimeAxis.of(result, start, end).rows_of_figure()
    best = (e for row in rows for e in _best(row.peaking(result.expressions)))
    return tuple(sorted({f for e in best for f in _key_frames(e)}))


def _key_frames(e: Expression) -> tuple[int, int, int]:
    return e.onset, e.apex, e.offset


def _best(expressions: Sequence[Expression]) -> list[Expression]:
    """The `FACES_SHOWN` with the highest scores, in the order of their apexes.

    Of two that overlap by half of the shorter, which would show the same faces, the better.
    """
    best: list[Expression] = []
    for e in sorted(expressions, key=lambda e: -e.score):
        shared = (
            2 * e.interval.overlap(o.interval) / min(len(e.interval), len(o.interval)) for o in best
        )
        if len(best) < FACES_SHOWN and all(share < 1 for share in shared):
            best.append(e)
    return sorted(best, key=lambda e: e.apex_s)


# -- the figure ----------------------------------------------------------------------------------


def _draw(
    result: SpotResult,
    faces: Mapping[int, ImageArray],
    whole: _TimeAxis,
    truth: Sequence[Expression] | None,
    note: str,
) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = whole.rows_of_figure()
    moved = None if result.features is None else displacement(result.features)
    scores = bool(result.scores.channels) or moved is None
    tall = [_MOTION] * (moved is not None) + [_SCORES if moved is not None else _MOTION] * scores
    lane = 0.0 if truth is None else _TRUTH + _SPACE / 2
    shown = [
        [
            e
            for e in _best(row.peaking(result.expressions))
            if any(f in faces for f in _key_frames(e))
        ]
        for row in rows
    ]
    most = max(1, *map(len, shown))
    face = min(_FACE, (_PLOT / most - _FACE_GAP) / 3)
    gallery = [_CAPTION + face + _LEADER if some else 0.06 for some in shown]
    panels = lane + sum(tall) + _SPACE * (len(tall) - 1) + _BOTTOM
    height = _TITLE + sum(gallery) + panels * len(rows)

    figure = Figure(figsize=(_WIDTH, height), facecolor="white")
    FigureCanvasAgg(figure)
    # A notebook asks for it; without `%matplotlib inline` it would show no picture.
    figure._repr_png_ = partial(png, figure)  # type: ignore[attr-defined]

    def axes(top: float, tall: float) -> Axes:
        bottom = (height - top - tall) / height
        return figure.add_axes((_LEFT / _WIDTH, bottom, _PLOT / _WIDTH, tall / height))

    _title(figure, result, whole, height, note)
    top = _TITLE
    for number, (row, some, room) in enumerate(zip(rows, shown, gallery, strict=True)):
        if some:
            everyone = len(row.peaking(result.expressions))
            _gallery(axes(top, room), some, faces, face, row, everyone)
        top += room
        if truth is not None:
            _truth(axes(top, _TRUTH), truth, row)
            top += lane
        drawn = []
        for size in tall:
            drawn.append(axes(top, size))
            top += size + _SPACE
        top += _BOTTOM - _SPACE
        if moved is not None:
            _motion(drawn[0], result, moved, row, whole)
        if scores:
            _scores(drawn[-1], result, row)
        for panel in drawn:
            _intervals(panel, result.expressions, row, markers=panel is drawn[0])
            row.apply(panel, labels=panel is drawn[-1])
        if number == 0:
            _kinds_legend(drawn[0], result)
    return figure


def _title(figure: Figure, result: SpotResult, axis: _TimeAxis, height: float, note: str) -> None:
    def write(text: str, down: float, **style: Any) -> None:
        # No mathematics: a file name may hold a dollar sign.
        figure.text(_LEFT / _WIDTH, 1 - down / height, text, va="top", parse_math=False, **style)

    facts = [
        f"{_length(axis.span)} {'shown' if axis.part else 'analysed'}"
        if axis.rows
        else "no frames analysed",
        f"{len(result.micro)} micro",
        f"{len(result.macro)} macro",
        f"motion in {100 * result.coverage:.3g} % of the time",
        f"spotter: {result.spotter}",
    ]
    name = _cut(foreign.shown(printable(result.video.name)), 60 if note else 80, tail=25)
    title = f"{name} — {_cut(note, 40, tail=0)}" if note else name
    write(title, 0.12, fontsize=11, fontweight="bold")
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
    seen: set[int] = set()
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
            if frame in seen:  # an apex at the onset, an offset that is the next one's onset
                continue
            seen.add(frame)
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


def _truth(axes: Axes, truth: Sequence[Expression], axis: _TimeAxis) -> None:
    """A lane with what is known to be there."""
    axes.set(xlim=(axis.begin, axis.limit), ylim=(0, 1), yticks=(), xticks=())
    axes.spines[:].set_visible(False)
    axes.axhline(0.5, color="0.85", linewidth=0.7, zorder=0)
    for e in truth:
        if axis.holds(e.onset_s, e.offset_s):
            colour = _KIND_COLOURS[e.kind]
            axes.axvspan(e.onset_s, e.offset_s, 0.15, 0.85, facecolor=colour, edgecolor="black")
    axes.set_ylabel("truth", fontsize=8, rotation=0, ha="right", va="center")


def _motion(
    axes: Axes,
    result: SpotResult,
    moved: Mapping[str, npt.NDArray[np.float64]],
    axis: _TimeAxis,
    whole: _TimeAxis,
) -> None:
    from matplotlib.ticker import MaxNLocator

    features = result.features
    assert features is not None
    peak = 0.0
    rows, everywhere = axis.rows_in(features.times), whole.rows_in(features.times)
    for group, values in moved.items():
        # Row i is the motion that ends one step after times[i].
        axes.plot(
            features.times[rows] + 1 / features.rate,
            values[rows],
            color=_GROUP_COLOURS[group],
            linewidth=axis.line_width,
            label=group,
        )
        # Rows of a figure have one scale, so that they can be compared.
        peak = max(peak, float(np.nanmax(values[everywhere], initial=0.0)))
    axes.set_ylabel("ROI displacement\n(crop px)", fontsize=8)
    axes.set_ylim(0, max(1.0, 1.08 * peak))  # the noise of a still face must not look like motion
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    _no_face(axes, features.times, ~features.valid, axis)
    _lines_legend(axes)


def _drawn(channels: Sequence[str]) -> list[str]:
    """All tracks but those that another one stands for."""
    aside = {part for name in channels for part in _PARTS.get(name, ())}
    return [c for c in channels if c not in aside]


def _threshold(result: SpotResult) -> float | None:
    """The least score of an expression; results of before it was kept lack it."""
    decision = result.settings.get("decision")
    found = decision.get("threshold") if isinstance(decision, Mapping) else None
    return float(found) if isinstance(found, (int, float)) else None


def _scores(axes: Axes, result: SpotResult, axis: _TimeAxis) -> None:
    scores = result.scores
    used: dict[str, int] = {}
    rows = axis.rows_in(scores.times)
    for k, name in enumerate(_drawn(scores.channels)):
        kind = next((kind for kind in _KIND_COLOURS if name.startswith(kind)), None)
        group = _group(name)
        # A channel of a kind or of a group of ROIs has the colour it has elsewhere in the figure.
        family = kind or group
        values = np.where(scores.valid[rows], scores.channel(name)[rows], np.nan)
        nth = used[family] = used.get(family, -1) + 1
        if kind or group != "other":
            colour = _KIND_COLOURS[kind] if kind else _GROUP_COLOURS[group]
            dash = _DASHES[nth % len(_DASHES)]
        else:
            colour = _CHANNEL_COLOURS[nth % len(_CHANNEL_COLOURS)]
            dash = _DASHES[nth // len(_CHANNEL_COLOURS) % len(_DASHES)]
        axes.plot(
            scores.times[rows],
            values,
            color=colour,
            linestyle=dash,
            linewidth=axis.line_width,
            # They are what the spotter went by; what it decided lies over them.
            alpha=0.6,
            zorder=2 - k / 100,
            label=_PLAIN.get(name, name),
        )
    for n, e in enumerate(e for e in result.expressions if axis.holds(e.onset_s, e.offset_s)):
        axes.plot(
            [e.onset_s, max(e.offset_s, e.onset_s + axis.step)],
            [e.score, e.score],
            color=_KIND_COLOURS[e.kind],
            linewidth=3,
            solid_capstyle="butt",
            zorder=3,
            label="" if n else "score",
        )
    least = _threshold(result)
    if least is not None:
        axes.axhline(
            least,
            color="black",
            linestyle=(0, (6, 3)),
            linewidth=1,
            zorder=2.5,
            label=f"threshold {least:.2g}",
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
    apex = {"linewidth": 0.9} if axis.span <= ROW_S else {"linewidth": 0.6, "alpha": 0.5}
    for e in expressions:
        if not axis.holds(e.onset_s, e.offset_s):
            continue
        colour = _KIND_COLOURS[e.kind]
        # The edge keeps a fifth of a second visible in ten minutes.
        axes.axvspan(e.onset_s, e.offset_s, color=colour, alpha=0.2, linewidth=0.5, zorder=0.5)
        if e not in axis.peaking([e]):
            continue
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
    inside = axis.rows_in(times)
    times, missing = times[inside], missing[inside]
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
    # matplotlib calls lines that were given no name "_child1", ...
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_child")]
    if lines:
        labels = [_cut(str(line.get_label()), 17, tail=5) for line in lines]
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
    ) -> _TimeAxis:
        """That of all there is, or of the part from `start` to `end`.

        Raises:
            UsageError: nothing was analysed there.
        """
        whole = cls._of(result)
        if start is None and end is None:
            return whole
        low = whole.begin if start is None else max(float(start), whole.begin)
        high = whole.end if end is None else min(float(end), whole.end)
        if not low < high:
            raise UsageError(
                f"nothing was analysed from `start={low:g}` to `end={high:g}` s; the result "
                f"reaches from {whole.begin:.3g} to {whole.end:.3g} s"
            )
        return cls(low, high, whole.step, whole.rows, part=True)

    @classmethod
    def _of(cls, result: SpotResult) -> _TimeAxis:
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

    def rows_of_figure(self) -> list[_TimeAxis]:
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

        tick = _tick_step(self.limit - self.begin)
        digits = max(0, math.ceil(-math.log10(tick) - 1e-9))
        axes.set_xlim(self.begin, self.limit)
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

    Motion adds up from the start of each unbroken stretch. A median over 8 s, with straight lines
    in place of movements that come back, is taken as the place of rest; the distances from there
    are averaged over the group's ROIs. In a stretch too short to tell, the face rests at its start.

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
    half = max(1, round(_REST_S / 2 * rate / every))
    coarse = _bridged(path[::every], 2 * half, round(_LONG_S * rate / every))
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


def _bridged(path: npt.NDArray[np.float64], short: int, long: int) -> npt.NDArray[np.float64]:
    """A path (n, R, 2) with straight lines in place of the movements that come back.

    A plain median would take two smiles with a pause between for rest, and the pause for a
    movement. A coordinate's movements are on the side of its longer tail; without those shorter
    than a window (morphological opening, or closing) it is the posture that drifts.

    Args:
        short: rows, longer than a movement.
        long: rows, over which the tails are compared.
    """
    from scipy.ndimage import (
        grey_closing,
        grey_opening,
        maximum_filter,
        median_filter,
        uniform_filter1d,
    )

    n = len(path)
    if n <= short:
        return path
    long = min(long, n)
    above = uniform_filter1d(path, long, axis=0) > median_filter(path, size=(long, 1, 1))
    size = (short | 1, 1, 1)
    away = np.where(above, path - grey_opening(path, size), grey_closing(path, size) - path)
    far = np.maximum(_FAR, _FAR_SHARE * maximum_filter(away, size=(long, 1, 1)))
    near = (away <= far).all(axis=2)
    rows, bridged = np.arange(n), np.array(path, np.float64)
    for roi in range(path.shape[1]):
        at = np.flatnonzero(near[:, roi])
        for axis in range(2) if len(at) else ():
            bridged[:, roi, axis] = np.interp(rows, at, path[at, roi, axis])
    return bridged


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
