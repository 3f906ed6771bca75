"""The timeline of a result: motion, scores, expressions and faces.

Drawn with matplotlib's objects on an Agg canvas. pyplot is not used: its current figure and back
end belong to the caller, and servers or threads may have none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from aumer import foreign
from aumer.files import StrPath
from aumer.results import gallery
from aumer.results.displacement import displacement
from aumer.results.drawing import (
    GRAY,
    GROUP_COLORS,
    IMAGE_SUFFIXES,
    KIND_COLORS,
    check_picture,
    cut,
    group_of,
    png,
    write_picture,
)
from aumer.results.gallery import FACES_SHOWN
from aumer.results.schema import printable
from aumer.results.spot_result import SpotResult
from aumer.results.time_axis import LEFT, PLOT, ROW_S, WIDTH, TimeAxis, length
from aumer.types import BoolArray, Expression, Features, ImageArray, Kind, TimeArray, runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The public names of this module.
__all__ = [
    "FACES_SHOWN",
    "IMAGE_SUFFIXES",
    "displacement",
    "plot_timeline",
    "png",
    "timeline_frames",
]

_KIND_MARKERS: dict[Kind, str] = {"micro": "v", "macro": "D"}
_CHANNEL_COLORS = ("#222222", "#E69F00", "#56B4E9", "#CC79A7")
_DASHES = ("-", "--", ":", "-.")

#: Tracks of aumer's spotters that are drawn, with labels for readers who know neither rules nor
#: network; and the tracks that each of them replaces.
_PLAIN = {
    "expression": "movement (rules)",
    "micro_action": "micro (network)",
    "macro_action": "macro (network)",
}
_PARTS = {"expression": ("brow", "mouth")} | {
    f"{kind}_action": tuple(f"{kind}_{part}" for part in ("apex", "onset", "offset", "neither"))
    for kind in KIND_COLORS
}

# Lengths in inches.
_BOTTOM = 0.52
_TITLE, _MOTION, _SCORES, _SPACE = 0.66, 1.9, 1.25, 0.16
_TRUTH = 0.2


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
    """Draw a result over time, in several rows if longer than `ROW_S` seconds.

    From top to bottom: the faces at onset, apex and offset; the truth, if given; the motion of
    brows, nose and mouth (if ``result.features`` exists), as the ROIs' mean distance from rest
    (`displacement`), in % of the outer-eye distance; the scores: a bar for each expression at the
    height of its score, the threshold, and the tracks of the spotter. Intervals are shaded by kind,
    with a line at the apex; intervals without a face are hatched.

    Args:
        result: the result to draw.
        thumbnails: frame ordinal -> (h, w, 3) uint8 RGB, square; see `aumer.results.thumbnails`. If
            a row has more than `FACES_SHOWN` expressions, faces are shown for the best scores; of
            two that overlap by half of the shorter, only for the better.
        start, end: seconds; draw only this part.
        truth: the true expressions; an empty sequence means that there are none.
        note: text after the name of the video.
        path: file of the figure (.png, .pdf or .svg).
        overwrite: replace an existing file.

    Returns:
        The figure, for further changes and ``figure.savefig``.

    Raises:
        UsageError: unknown suffix, an existing file without `overwrite`, a missing folder, no
            analyzed time from `start` to `end`, or the system refuses to write.
    """
    if path is not None:
        check_picture(path, overwrite=overwrite)
    figure = _draw(result, thumbnails or {}, TimeAxis.of(result, start, end), truth, note)
    if path is not None:
        write_picture(figure, path, overwrite=overwrite, faceless=not thumbnails)
    return figure


def timeline_frames(
    result: SpotResult, *, start: float | None = None, end: float | None = None
) -> tuple[int, ...]:
    """The sorted frame ordinals of the thumbnails that `plot_timeline` shows."""
    rows = TimeAxis.of(result, start, end).rows_of_figure()
    best = (e for row in rows for e in gallery.best(row.peaking(result.expressions)))
    return tuple(sorted({f for e in best for f in gallery.key_frames(e)}))


# -- the figure ----------------------------------------------------------------------------------


def _draw(
    result: SpotResult,
    faces: Mapping[int, ImageArray],
    whole: TimeAxis,
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
            for e in gallery.best(row.peaking(result.expressions))
            if any(f in faces for f in gallery.key_frames(e))
        ]
        for row in rows
    ]
    face = gallery.side_of(max(map(len, shown)))
    rooms = [gallery.height_of(face) if some else 0.06 for some in shown]
    panels = lane + sum(tall) + _SPACE * (len(tall) - 1) + _BOTTOM
    height = _TITLE + sum(rooms) + panels * len(rows)

    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    FigureCanvasAgg(figure)
    # For notebooks without `%matplotlib inline`.
    figure._repr_png_ = partial(png, figure)  # type: ignore[attr-defined]

    def axes(top: float, tall: float) -> Axes:
        bottom = (height - top - tall) / height
        return figure.add_axes((LEFT / WIDTH, bottom, PLOT / WIDTH, tall / height))

    _title(figure, result, whole, height, note)
    top = _TITLE
    for number, (row, some, room) in enumerate(zip(rows, shown, rooms, strict=True)):
        if some:
            everyone = len(row.peaking(result.expressions))
            gallery.draw(axes(top, room), some, faces, face, row, everyone)
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


def _title(figure: Figure, result: SpotResult, axis: TimeAxis, height: float, note: str) -> None:
    def write(text: str, down: float, **style: Any) -> None:
        # Without mathtext: a file name may contain a dollar sign.
        figure.text(LEFT / WIDTH, 1 - down / height, text, va="top", parse_math=False, **style)

    facts = [
        f"{length(axis.span)} {'shown' if axis.part else 'analyzed'}"
        if axis.rows
        else "no frames analyzed",
        f"{len(result.micro)} micro",
        f"{len(result.macro)} macro",
        f"motion in {100 * result.coverage:.3g} % of the time",
        f"spotter: {result.spotter}",
    ]
    name = cut(foreign.shown(printable(result.video.name)), 60 if note else 80, tail=25)
    title = f"{name} — {cut(note, 40, tail=0)}" if note else name
    write(title, 0.12, fontsize=11, fontweight="bold")
    write("   ·   ".join(facts), 0.36, fontsize=8.5, color=GRAY)


def _truth(axes: Axes, truth: Sequence[Expression], axis: TimeAxis) -> None:
    """Draw the true expressions in a lane."""
    axes.set(xlim=(axis.begin, axis.limit), ylim=(0, 1), yticks=(), xticks=())
    axes.spines[:].set_visible(False)
    axes.axhline(0.5, color="0.85", linewidth=0.7, zorder=0)
    for e in truth:
        if axis.holds(e.onset_s, e.offset_s):
            color = KIND_COLORS[e.kind]
            axes.axvspan(e.onset_s, e.offset_s, 0.15, 0.85, facecolor=color, edgecolor="black")
    axes.set_ylabel("truth", fontsize=8, rotation=0, ha="right", va="center")


def _motion(
    axes: Axes,
    result: SpotResult,
    moved: Mapping[str, npt.NDArray[np.float64]],
    axis: TimeAxis,
    whole: TimeAxis,
) -> None:
    from matplotlib.ticker import MaxNLocator

    features = result.features
    assert features is not None
    peak = 0.0
    rows, everywhere = axis.rows_in(features.times), whole.rows_in(features.times)
    for group, pixels in moved.items():
        values = 100 / features.eye_distance * pixels
        # The motion of row i ends one step after times[i].
        axes.plot(
            features.times[rows] + 1 / features.rate,
            values[rows],
            color=GROUP_COLORS[group],
            linewidth=axis.line_width,
            label=group,
        )
        # All rows of a figure have the same scale.
        peak = max(peak, float(np.nanmax(values[everywhere], initial=0.0)))
    axes.set_ylabel("displacement\n(% of outer-eye distance)", fontsize=8)
    axes.set_ylim(
        0, max(100 / features.eye_distance, 1.08 * peak)
    )  # so that noise of a still face does not look like motion
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    _no_face(axes, features.times, ~features.valid, axis)
    _lines_legend(axes)


def _drawn(channels: Sequence[str]) -> list[str]:
    """All tracks except those that another one replaces."""
    aside = {part for name in channels for part in _PARTS.get(name, ())}
    return [c for c in channels if c not in aside]


def _threshold(result: SpotResult) -> float | None:
    """The threshold of the scores; older results lack it."""
    decision = result.settings.get("decision")
    found = decision.get("threshold") if isinstance(decision, Mapping) else None
    return float(found) if isinstance(found, (int, float)) else None


def _scores(axes: Axes, result: SpotResult, axis: TimeAxis) -> None:
    scores = result.scores
    used: dict[str, int] = {}
    rows = axis.rows_in(scores.times)
    for k, name in enumerate(_drawn(scores.channels)):
        kind = next((kind for kind in KIND_COLORS if name.startswith(kind)), None)
        group = group_of(name)
        # Channels of a kind or group of ROIs have its color.
        family = kind or group
        values = np.where(scores.valid[rows], scores.channel(name)[rows], np.nan)
        nth = used[family] = used.get(family, -1) + 1
        if kind or group != "other":
            color = KIND_COLORS[kind] if kind else GROUP_COLORS[group]
            dash = _DASHES[nth % len(_DASHES)]
        else:
            color = _CHANNEL_COLORS[nth % len(_CHANNEL_COLORS)]
            dash = _DASHES[nth // len(_CHANNEL_COLORS) % len(_DASHES)]
        axes.plot(
            scores.times[rows],
            values,
            color=color,
            linestyle=dash,
            linewidth=axis.line_width,
            # Tracks lie below the spotter's decisions.
            alpha=0.6,
            zorder=2 - k / 100,
            label=_PLAIN.get(name, name),
        )
    here = [e for e in result.expressions if axis.holds(e.onset_s, e.offset_s)]
    for n, kind in enumerate(dict.fromkeys(e.kind for e in here)):
        own = [e for e in here if e.kind == kind]
        ends = [(e.onset_s, max(e.offset_s, e.onset_s + axis.step), math.nan) for e in own]
        axes.plot(
            np.ravel(ends),
            np.repeat([e.score for e in own], 3),
            color=KIND_COLORS[kind],
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
            label=f"needed {least:.2g}",
        )
    axes.set_ylabel("Score", fontsize=8)
    axes.set(ylim=(-0.03, 1.03), yticks=(0, 0.5, 1))
    empty = np.isnan(scores.values).all(axis=1) if scores.channels else np.zeros(len(scores), bool)
    _no_face(axes, scores.times, ~scores.valid | empty, axis)
    _lines_legend(axes)


def _intervals(
    axes: Axes, expressions: Sequence[Expression], axis: TimeAxis, *, markers: bool
) -> None:
    # Thin enough not to hide the peak's curve in a long video.
    apex: dict[str, Any] = (
        {"linewidth": 0.9} if axis.span <= ROW_S else {"linewidth": 0.6, "alpha": 0.5}
    )
    # All intervals of a kind in one call: one by one an hour takes matplotlib a minute.
    across = axes.get_xaxis_transform()
    for kind, color in KIND_COLORS.items():
        own = [e for e in expressions if e.kind == kind and axis.holds(e.onset_s, e.offset_s)]
        if not own:
            continue
        # The edge keeps .2 s visible in ten minutes.
        axes.broken_barh(
            [(e.onset_s, e.duration_s) for e in own],
            (0, 1),
            transform=across,
            color=color,
            alpha=0.2,
            linewidth=0.5,
            zorder=0.5,
        )
        peaks = [e.apex_s for e in axis.peaking(own)]
        if peaks:
            axes.vlines(peaks, 0, 1, transform=across, color=color, zorder=1, **apex)
        if peaks and markers:
            axes.plot(
                peaks,
                [1.025] * len(peaks),
                transform=across,
                marker=_KIND_MARKERS[kind],
                markersize=4.5 if kind == "micro" else 3.5,
                color=color,
                clip_on=False,
                linestyle="none",
                zorder=4,
            )


def _no_face(axes: Axes, times: TimeArray, missing: BoolArray, axis: TimeAxis) -> None:
    inside = axis.rows_in(times)
    times, missing = times[inside], missing[inside]
    spans = [(times[a], times[b - 1] + axis.step - times[a]) for a, b in runs(missing)]
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
            "no face found" if len(times) else "no frames analyzed",
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=10,
            color=GRAY,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 4},
        )


_HATCHED: dict[str, Any] = {
    "facecolor": "0.95",
    "edgecolor": "0.78",
    "hatch": "////",
    "linewidth": 0,
}


def _lines_legend(axes: Axes) -> None:
    # matplotlib names unlabeled lines "_child1", ...
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_child")]
    if lines:
        labels = [cut(str(line.get_label()), 17, tail=5) for line in lines]
        axes.add_artist(_legend(axes, lines, labels, "lower left"))


def _kinds_legend(axes: Axes, result: SpotResult) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    labels: list[str] = []
    for kind, color in KIND_COLORS.items():
        handle = (
            Patch(facecolor=color, alpha=0.25),
            Line2D([], [], color=color, marker=_KIND_MARKERS[kind], markersize=4, linewidth=0),
        )
        handles.append(handle)
        labels.append(kind)
    handles.append(Line2D([], [], color=GRAY, marker="|", markersize=8, linewidth=0))
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
