"""Figures of a report, drawn from numbers and readable in black and white.

Drawn with matplotlib's objects: pyplot, its current figure and its back end are not used.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aumer.evaluation.calibration import Coverage, Reliability
from aumer.face.mean_face import CROP_ORIGIN, MEAN_FACE
from aumer.graph.rois import LANDMARK_NAMES
from aumer.report.curves import PrecisionRecall, Roc
from aumer.results.graph_plot import draw_face
from aumer.types import KINDS, IntArray, Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

#: Okabe and Ito's colors, which color-blind readers can distinguish; shapes and dashes repeat them.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (8, 2)))
#: The same as in the timeline of a video.
KIND_COLORS: Mapping[str, str] = {"micro": "#D55E00", "macro": "#0072B2", "overall": "#000000"}
KIND_HATCHES: Mapping[str, str] = {"micro": "////", "macro": "\\\\\\\\"}
_GRAY = "0.35"
_WIDTH = 9.0
#: Largest number of ROI names that fit on a face.
_NAMES_FIT = 20


def _new(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _style(axes: Axes, **labels: Any) -> None:
    axes.set(**labels)
    axes.tick_params(labelsize=8)
    for text in (axes.xaxis.label, axes.yaxis.label):
        text.set_fontsize(9)
    axes.title.set_fontsize(10)
    axes.spines[["top", "right"]].set_visible(False)
    # No math text: a user's name may contain a dollar sign.
    for text in (axes.title, *axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_parse_math(False)


def _legend(axes: Axes, *args: Any, **where: Any) -> None:
    legend = axes.legend(*args, **{"fontsize": 8, "frameon": False, **where})
    for text in legend.get_texts():
        text.set_parse_math(False)


def _nth(values: Sequence[Any], k: int) -> Any:
    return values[k % len(values)]


def _wrapped(name: str, width: int = 14) -> str:
    return "\n".join(textwrap.wrap(name, width, max_lines=2, placeholder="…")) or name


# -- recognition ----------------------------------------------------------------------------------


def confusion(classes: Sequence[str], counts: IntArray) -> Figure:
    """Counts (C, C) with truth by row, and the shares of each row."""
    n = len(classes)
    side = max(2.6, (0.85 if n <= 5 else 0.6) * n)
    figure = _new(2 * side + 2.6, side + 1.1)
    support = counts.sum(1)
    shares = counts / np.maximum(support, 1)[:, None]
    names = [_wrapped(name) for name in classes]
    for k, title in enumerate(("Clips", "Share of the true class")):
        axes = figure.add_subplot(1, 2, k + 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i in range(n):
            for j in range(n):
                text = f"{counts[i, j]}" if k == 0 else f"{shares[i, j]:.0%}" if support[i] else "–"
                axes.text(
                    *(j, i, text),
                    ha="center",
                    va="center",
                    fontsize=11 if n <= 5 else 8,
                    color="white" if shares[i, j] > 0.55 else "black",
                    fontweight="bold" if i == j else "normal",
                )
        axes.set_xticks(range(n), names, rotation=0 if n <= 5 else 45)
        axes.set_yticks(range(n), names if k else _counted(names, support))
        _style(axes, title=title, xlabel="predicted", ylabel="" if k else "true (clips)")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=9)
    return figure


def _counted(names: Sequence[str], support: IntArray) -> list[str]:
    return [f"{name}\n({total})" for name, total in zip(names, support, strict=True)]


def roc_curves(curves: Mapping[str, Roc]) -> Figure:
    """ROC curves of each class against the rest."""
    longest = max(len(_cut(name)) for name in curves)
    figure = _new(7.0 + 0.07 * max(0, longest - 6), 4.4)  # the legend is beside the square
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="chance: 0.500")
    for k, (name, curve) in enumerate(curves.items()):
        between = "" if np.isnan(curve.low) else f" [{curve.low:.3f}, {curve.high:.3f}]"
        axes.plot(
            curve.false,
            curve.true,
            color=_nth(COLORS, k),
            linestyle=_nth(DASHES, k + k // len(COLORS)),
            linewidth=1.8,
            label=f"{_cut(name)}: {curve.area:.3f}{between}",
        )
    axes.set_aspect("equal", anchor="W")
    axes.grid(alpha=0.25)
    _style(
        axes,
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        xlabel="share of other classes' clips that pass",
        ylabel="share of the class's clips that pass",
    )
    handles, labels = axes.get_legend_handles_labels()
    _legend(
        axes,
        [*handles[1:], handles[0]],
        [*labels[1:], labels[0]],
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        title="area [95 % interval]",
        handlelength=3.5,
    )
    return figure


def calibration(found: Reliability, kept: Coverage) -> Figure:
    """The reliability curve with the number of clips of each point; and accuracy by coverage."""
    figure = _new(_WIDTH, 3.9)
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="0.5", linewidth=1, linestyle="--")
    some = found.counts > 0
    left.bar(
        (found.edges[:-1] + found.edges[1:])[some] / 2,
        found.accuracy[some],
        width=0.94 * (found.edges[1] - found.edges[0]),
        color=COLORS[4],
        alpha=0.55,
    )
    left.plot(
        found.confidence[some],
        found.accuracy[some],
        color=COLORS[0],
        marker="o",
        markersize=4,
        linewidth=1.6,
    )
    for low, n, share in zip(
        found.edges[:-1][some], found.counts[some], found.accuracy[some], strict=True
    ):
        at = low + (found.edges[1] - found.edges[0]) / 2
        left.text(at, max(0.02, share - 0.03), str(n), ha="center", va="top", fontsize=8)
    left.set_aspect("equal")
    left.grid(alpha=0.25)
    _style(
        left,
        xlim=(0, 1),
        ylim=(0, 1.04),
        xlabel="probability of the class that was named",
        ylabel="share that is right (in bars: clips)",
    )
    right.plot(kept.coverage, kept.accuracy, color=COLORS[0], linewidth=1.8, drawstyle="steps-mid")
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
        k = int(np.searchsorted(kept.thresholds, threshold))
        if 0 < k < len(kept.thresholds):
            right.plot(kept.coverage[k], kept.accuracy[k], "o", color=COLORS[5], markersize=5)
            right.annotate(
                f"{threshold:g}",
                (kept.coverage[k], kept.accuracy[k]),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=9,
            )
    right.grid(alpha=0.25)
    lowest = float(np.nanmin(kept.accuracy))
    _style(
        right,
        xlim=(0, 1.02),
        ylim=(max(0.0, np.floor(10 * lowest - 0.5) / 10), 1.04),
        xlabel="share of clips that keep a label (dots: threshold)",
        ylabel="share of these that is right",
    )
    return figure


def scatter(
    places: Floats,
    classes: Sequence[str],
    truths: Sequence[str],
    right: Sequence[bool],
    groups: Sequence[str],
    what: str,
) -> Figure:
    """Points (N, 2) by true class, hollow if predicted wrongly; and by group, if there are few.

    Args:
        groups: (N,) group of each clip; without it only the first panel is drawn.
        what: name of the groups.
    """
    width, height = np.ptp(places, axis=0)
    tall = float(np.clip(height / max(width, 1e-9), 0.5, 1.0))  # equal scale on both axes
    figure = _new(_WIDTH if groups else 0.65 * _WIDTH, (4.3 if groups else 5.6) * tall + 0.8)
    hit = np.array(right, bool)
    panels = [("True class; hollow: recognized wrongly", list(classes), list(truths))]
    if groups:
        panels.append((f"The same points by {what}", list(dict.fromkeys(groups)), list(groups)))
    for k, (title, names, labels) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), k + 1)
        handles, said = [], []
        for c, name in enumerate(names):
            own = np.array([label == name for label in labels], bool)
            color, marker = _nth(COLORS, c), _nth(MARKERS, c + c // len(COLORS))
            full = own & hit if k == 0 else own
            style = {"s": 22, "marker": marker, "linewidths": 0.9}
            axes.scatter(
                *places[full].T, color=color, edgecolors="white", **style | {"linewidths": 0.3}
            )
            if k == 0:
                axes.scatter(*places[own & ~hit].T, facecolors="none", edgecolors=color, **style)
            handles.append(axes.scatter([], [], color=color, **style))
            said.append(f"{_cut(name)} ({own.sum()})")
        _legend(
            axes, handles, said, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=3,
            columnspacing=1.2, handletextpad=0.2,
        )  # fmt: skip
        _style(axes, title=title, xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color("0.8")
        axes.set_aspect("equal", adjustable="datalim")
    return figure


def on_a_face(rois: Sequence[str], means: Mapping[str, Floats], clips: Mapping[str, int]) -> Figure:
    """Mean attribution (R,) of each ROI by class, on the mean face seen from the front.

    Each class is scaled to its largest magnitude, since classes' scales differ.

    Args:
        rois: named by landmarks.
        clips: by class, number of clips in the mean.
    """
    columns = 2 if len(means) == 4 else min(3, len(means))
    rows = -(-len(means) // columns)
    figure = _new(3.1 * columns, 4.05 * rows + 0.75)
    colors = _diverging()
    places = MEAN_FACE[[LANDMARK_NAMES.index(roi) for roi in rois], :2]
    panels = []
    for k, (name, values) in enumerate(means.items()):
        axes = figure.add_subplot(rows, columns, k + 1)
        panels.append(axes)
        axes.set_aspect("equal")
        axes.set_axis_off()
        axes.set(xlim=(-1.0, 1.0), ylim=(1.2, -1.15))
        draw_face(axes)
        most = float(np.abs(values).max()) or 1.0
        axes.set_title(
            f"{_cut(name, 22)} ({clips[name]} clips)\nlargest: {most:.2g}",
            fontsize=9.5,
            parse_math=False,
        )
        for roi, (x, y), value in zip(rois, places, values, strict=True):
            share = float(value) / most
            axes.scatter(
                [x],
                [y],
                s=25 + 260 * abs(share),
                c=[colors(0.5 + share / 2)],
                edgecolors="0.25",
                linewidths=0.6,
                # Negative values are squares, visible in black and white.
                marker="o" if share >= 0 else "s",
                zorder=2,
            )
            if len(rois) <= _NAMES_FIT:
                _name_roi(axes, roi, x, y, f"{roi} {signed(100 * share)}%", abs(share))
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(
        ScalarMappable(Normalize(-100, 100), colors),
        ax=panels,
        location="bottom",
        shrink=0.5,
        aspect=40,
        pad=0.02,
    )
    bar.set_label("% of the class's largest: against (square) – for (circle)", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return figure


def saliency(
    space: Mapping[str, Floats], time: Mapping[str, Floats], clips: Mapping[str, int]
) -> Figure:
    """Attribution by class of each square (G, G) of the aligned crop, on the mean face, and of each
    phase (2 P,); one scale for all classes.

    Args:
        clips: by class, number of clips in the mean.
    """
    columns = len(space)
    figure = _new(max(4.5, 2.5 * columns + 0.9), 4.3)
    most = max(float(np.abs(one).max()) for one in space.values()) or 1e-9
    highest = max(max(float(one.max()) for one in time.values()), 0.0)
    lowest = min(min(float(one.min()) for one in time.values()), 0.0)
    room = 0.08 * ((highest - lowest) or 1.0)
    (x, y), colors = CROP_ORIGIN, _diverging()
    # A crop's side is two outer-eye distances, the unit of the mean face.
    extent = (-2 * x, 2 * (1 - x), 2 * (1 - y), -2 * y)
    upper, lower = figure.subplots(2, columns, squeeze=False, height_ratios=(2.2, 1))
    for k, name in enumerate(space):
        axes = upper[k]
        axes.imshow(space[name], cmap=colors, vmin=-most, vmax=most, extent=extent)
        draw_face(axes)
        for line in axes.lines:  # over the squares
            line.set(zorder=3, color="0.25", linewidth=1.0, alpha=0.8)
        axes.set(xlim=extent[:2], ylim=extent[2:])
        axes.set_axis_off()
        axes.set_title(f"{_cut(name, 18)} ({clips[name]} clips)", fontsize=9.5, parse_math=False)
        axes, half = lower[k], len(time[name]) // 2
        places = np.arange(2 * half)
        axes.bar(places, time[name], width=0.85, color=[COLORS[0]] * half + [COLORS[1]] * half)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.axvline(half - 0.5, color="0.4", linewidth=1, linestyle="--")
        axes.set_xticks([-0.5, half - 0.5, 2 * half - 0.5], ["onset", "apex", "offset"])
        axes.set_ylim(lowest - room, highest + room)
        _style(axes, ylabel="fall of probability" if k == 0 else "")
    bar = figure.colorbar(upper[0].images[0], ax=list(upper), shrink=0.85, aspect=25)
    bar.set_label("fall of probability", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return figure


def _diverging() -> Any:
    import matplotlib

    return matplotlib.colormaps["PuOr_r"]


def _name_roi(axes: Axes, roi: str, x: float, y: float, text: str, share: float) -> None:
    gap = 3 + np.sqrt((25 + 260 * share) / np.pi)
    region = roi.split("_")[0]
    side = float(np.sign(x))
    style: dict[str, Any] = {"ha": "center", "va": "top"}
    across, down = 0.0, 1.0
    if region == "brow":  # too close for names at one height: they are moved outward
        down = -1.0
        style = {"ha": "right" if side < 0 else "left", "va": "center", "rotation": 62 * side}
    elif "upper" in roi:
        down = -1.0
        style["va"] = "bottom"
    elif region == "nose":
        across, down = 1.0, 0.0
        style = {"ha": "left", "va": "center"}
    elif abs(x) > 0.2:  # a mouth corner: beside it the name would be outside of the face
        across = 1.2 * side
    axes.annotate(
        text,
        (x, y),
        xytext=(gap * across, -gap * down),
        textcoords="offset points",
        rotation_mode="anchor",
        fontsize=6.5,
        zorder=3,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 0.3},
        **style,
    )


@dataclass(frozen=True, eq=False)
class Curve:
    """A figure by epoch."""

    epochs: Floats
    values: Floats


def by_epoch(
    curves: Mapping[str, Sequence[Curve]], means: Mapping[str, Curve], what: str
) -> Figure:
    """By name ("training", "inner") each fold's curve (thin) and their mean (thick)."""
    from matplotlib.ticker import MaxNLocator, NullFormatter

    figure = _new(_WIDTH, 3.6)
    axes = figure.add_subplot()
    everything = np.concatenate([c.values for own in curves.values() for c in own])
    for k, (name, own) in enumerate(curves.items()):
        color, dash = _nth(COLORS, 5 * k), _nth(DASHES, k)
        for curve in own:
            one = len(curve.epochs) == 1  # a line of one point is invisible
            axes.plot(
                curve.epochs,
                curve.values,
                color=color,
                linewidth=0.6,
                alpha=max(0.12, min(0.6, 6 / len(own))),
                marker="." if one else "",
            )
        mean = means[name]
        axes.plot(
            mean.epochs,
            mean.values,
            color=color,
            linestyle=dash,
            linewidth=2.6,
            marker="o" if len(mean.epochs) == 1 else "",
            label=f"{name}: mean of {len(own)} {'fold' if len(own) == 1 else 'folds'}",
        )
    if everything.min() > 0 and everything.max() > 30 * everything.min():
        axes.set_yscale("log")
        # Plain numbers: powers would need math text, which is off for names.
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25)
    _style(axes, xlabel="epoch", ylabel=what)
    _legend(axes, loc="best", handlelength=3.5)
    return figure


# -- studies --------------------------------------------------------------------------------------

#: A value and the ends of its interval; `None` if unknown.
_Spread = tuple["float | None", "float | None", "float | None"]


def forest(
    values: Mapping[str, _Spread], differences: Mapping[str, _Spread], base: str, score: str
) -> Figure:
    """Forest plot of a study: each row's score, and its difference to the base row.

    Args:
        values, differences: by row; a row without a difference is empty on the right.
    """
    names = list(values)
    figure = _new(_WIDTH, 1.3 + 0.34 * len(names))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, found in ((left, values), (right, differences)):
        for k, name in enumerate(names):
            middle, low, high = found.get(name, (None, None, None))
            if middle is None:
                continue
            # Intervals without zero are filled, since color alone is lost in print.
            clear = axes is left or (low is not None and high is not None and low * high > 0)
            color = COLORS[0] if name != base else "black"
            if low is not None and high is not None:
                axes.plot([low, high], [k, k], color=color, linewidth=1.8, solid_capstyle="butt")
            axes.plot(
                [middle],
                [k],
                marker="s" if name == base else "o",
                color=color,
                markerfacecolor=color if clear else "white",
                markersize=6.5,
                linestyle="",
            )
        axes.grid(axis="x", alpha=0.25)
    right.axvline(0, color="black", linewidth=0.9)
    left.set_yticks(range(len(names)), [_cut(name) for name in names])
    left.set_ylim(len(names) - 0.4, -0.6)
    _style(left, xlabel=score)
    _style(right, xlabel=f"{score}: row less {_cut(base)} (filled: clear of 0)")
    return figure


# -- spotting -------------------------------------------------------------------------------------


def precision_recall_curves(curves: Mapping[str, Sequence[PrecisionRecall]]) -> Figure:
    """By kind and seed; a dot marks the run's own threshold, at which all predictions count."""
    figure = _new(7.4, 4.4)
    axes = figure.add_subplot()
    for f1 in (0.2, 0.4, 0.6, 0.8):
        recall = np.linspace(f1 / (2 - f1) + 1e-6, 1, 200)
        axes.plot(recall, f1 * recall / (2 * recall - f1), color="0.82", linewidth=0.8, zorder=0)
        axes.text(1.012, f1 / (2 - f1), f"F1 {f1}", fontsize=7, color=_GRAY, va="center")
    for name, seeds in curves.items():
        k = list(KIND_COLORS).index(name)  # the same shape even if another kind has no curve
        for s, curve in enumerate(seeds):
            style: dict[str, Any] = {
                "color": KIND_COLORS[name],
                "alpha": 1.0 if len(seeds) == 1 else 0.55,
            }
            axes.plot(
                curve.recall,
                curve.precision,
                linestyle=_nth(DASHES, k),
                linewidth=1.6,
                label=None if s else f"{name} ({curve.truths} truths)",
                **style,
            )
            axes.plot(
                curve.recall[-1:], curve.precision[-1:], marker=_nth(MARKERS, k), ms=7, **style
            )
    axes.set_aspect("equal", anchor="W")
    _style(
        axes,
        xlim=(0, 1.01),
        ylim=(0, 1.02),
        xlabel="recall: share of truths found",
        ylabel="precision: share of predictions that hit",
    )
    _legend(axes, loc="center left", bbox_to_anchor=(1.12, 0.5), handlelength=3.5)
    return figure


def overlaps(
    hits: Mapping[Kind, Floats],
    misses: Mapping[Kind, Floats],
    threshold: float,
    sweep: Mapping[str, Mapping[float, float]],
) -> Figure:
    """IoU of each truth with its hit or, if missed, with the nearest prediction; F1 by
    threshold.
    """
    figure = _new(_WIDTH, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    edges = np.linspace(0, 1, 21)
    _stacked(
        left,
        edges,
        [
            (f"{kind} {what}", values[kind], kind, what == "found")
            for what, values in (("found", hits), ("missed", misses))
            for kind in reversed(KINDS)
        ],
    )
    left.axvline(threshold, color="black", linewidth=1.2)
    left.annotate(
        f" a hit from {threshold:g}", (threshold, 0.98), xycoords=left.get_xaxis_transform(),
        va="top", ha="left", fontsize=8,
    )  # fmt: skip
    _style(left, xlabel="IoU with the best prediction of its kind", ylabel="truths", xlim=(0, 1))
    _legend(left, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4, columnspacing=1)
    for name, values in sweep.items():
        k = list(KIND_COLORS).index(name)
        right.plot(
            list(values),
            list(values.values()),
            color=KIND_COLORS[name],
            linestyle=_nth(DASHES, k),
            marker=_nth(MARKERS, k),
            markersize=4.5,
            label=name,
        )
    right.axvline(threshold, color="black", linewidth=1.2)
    right.grid(alpha=0.25)
    _style(right, xlabel="IoU that makes a hit", ylabel="F1", ylim=(0, 1))
    _legend(right, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, columnspacing=1)
    return figure


def _stacked(axes: Axes, edges: Floats, parts: Sequence[tuple[str, Floats, Kind, bool]]) -> Floats:
    """Stacked bars: filled for found, hatched for missed; returns their heights (B,)."""
    from matplotlib.ticker import MaxNLocator

    below = np.zeros(len(edges) - 1)
    for label, values, kind, full in parts:
        # Values at or above the last edge belong to the last bar.
        heights = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
        axes.bar(
            edges[:-1],
            heights,
            width=np.diff(edges),
            bottom=below,
            align="edge",
            facecolor=KIND_COLORS[kind] if full else "white",
            edgecolor="white" if full else KIND_COLORS[kind],
            hatch="" if full else KIND_HATCHES[kind],
            linewidth=0.6,
            label=f"{label} ({len(values)})",
        )
        below = below + heights
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.set_ylim(0, max(1.0, 1.12 * float(below.max(initial=0))))
    return below


def lengths(
    found: Mapping[Kind, Floats], missed: Mapping[Kind, Floats], unit: str, frame: float
) -> Figure:
    """Durations of found and missed truths, by kind.

    Args:
        frame: length of a frame in the unit.
    """
    figure = _new(_WIDTH, 3.6)
    kinds = [kind for kind in reversed(KINDS) if len(found[kind]) + len(missed[kind])]
    for k, kind in enumerate(kinds):
        axes = figure.add_subplot(1, len(kinds), k + 1)
        every = np.concatenate([found[kind], missed[kind]])
        edges = _edges(float(every.min()), float(every.max()), frame, 12)
        total = _stacked(
            axes, edges, [("found", found[kind], kind, True), ("missed", missed[kind], kind, False)]
        )
        right = np.histogram(found[kind], edges)[0]
        for a, b, hit, n in zip(edges, edges[1:], right, total, strict=False):
            if n:
                where = ((a + b) / 2, n)
                axes.annotate(
                    f"{hit / n:.0%}", where, xytext=(0, 2), textcoords="offset points",
                    ha="center", va="bottom", fontsize=7,
                )  # fmt: skip
        _style(axes, title=kind, xlabel=f"length of the truth ({unit})", ylabel="truths")
        _legend(axes, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    return figure


def _edges(low: float, high: float, frame: float, most: int) -> Floats:
    """Edges of at most `most` bars with the same whole number of frames in each: bars of other
    widths would cover unequal numbers of frames.
    """
    first, last = round(low / frame), round(high / frame)
    wide = -(-(last - first + 1) // most)
    return np.asarray((np.arange(first, last + wide + 1, wide) - 0.5) * frame, np.float64)


def errors(by_end: Mapping[str, Mapping[Kind, Floats]], unit: str, frame: float) -> Figure:
    """Prediction minus truth of the hits' onsets and offsets, by kind.

    Args:
        frame: length of a frame in the unit.
    """
    from matplotlib.ticker import MaxNLocator

    figure = _new(_WIDTH, 3.6)
    everything = np.concatenate([v for own in by_end.values() for v in own.values()])
    # The middle 98 % set the scale: one outlier would compress all others.
    most = max(float(np.quantile(np.abs(everything), 0.98)), 2 * frame)
    wide = -(-round(2 * most / frame) // 25) * frame
    half = np.arange(0.5, most / wide + 1) * wide
    edges = np.concatenate([-half[::-1], half])
    panels: Any = figure.subplots(1, len(by_end), sharey=True, squeeze=False)[0]
    for axes, (end, own) in zip(panels, by_end.items(), strict=True):
        for kind in reversed(KINDS):
            if not len(own[kind]):
                continue
            values = np.clip(own[kind], edges[0], edges[-1])
            middle, size = (float(np.median(v)) for v in (own[kind], np.abs(own[kind])))
            axes.hist(
                values,
                edges,
                histtype="stepfilled",
                facecolor=KIND_COLORS[kind] + "40",
                edgecolor=KIND_COLORS[kind],
                hatch=KIND_HATCHES[kind],
                linewidth=1.2,
                label=f"{kind} ({len(own[kind])}): median {signed(middle)}, half within "
                f"±{size:.0f} {unit}",
            )
        axes.axvline(0, color="black", linewidth=1)
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        _style(
            axes,
            title=end,
            xlabel=f"predicted minus true ({unit})",
            ylabel="hits" if end == next(iter(by_end)) else "",
        )
        _legend(axes, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    return figure


@dataclass(frozen=True)
class Bar:
    """An expression on a strip: start and end in the strip's unit."""

    kind: Kind
    begin: float
    end: float
    matched: bool


@dataclass(frozen=True)
class Strip:
    """A video: its name, a short text on its score, truths and predictions."""

    name: str
    score: str
    truths: tuple[Bar, ...]
    predictions: tuple[Bar, ...]


def strips(videos: Sequence[Strip], unit: str) -> Figure:
    """One strip per video: truths above, predictions below; crosses mark misses and false
    positives.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Rectangle

    figure = _new(_WIDTH, 0.48 * len(videos) + 1.15)
    axes = figure.add_subplot()
    last = max(bar.end for v in videos for bar in (*v.truths, *v.predictions))
    for k, video in enumerate(videos):
        axes.plot([0, last], [k, k], color="0.8", linewidth=0.6, zorder=0)
        for bars, up in ((video.truths, -1), (video.predictions, 1)):
            for bar in bars:
                # Below, micro-expressions are taller, which distinguishes kinds without color.
                tall = 0.3 if bar.kind == "micro" else 0.17
                axes.add_patch(
                    Rectangle(
                        (bar.begin, k if up > 0 else k - tall),
                        bar.end - bar.begin,
                        tall,
                        facecolor=KIND_COLORS[bar.kind],
                        edgecolor=KIND_COLORS[bar.kind],
                        linewidth=0.8,  # 0.2 s in two minutes must be visible
                    )
                )
                if not bar.matched:
                    axes.plot(
                        [(bar.begin + bar.end) / 2],
                        [k + up * (tall + 0.09)],
                        marker="x",
                        markersize=3.6,
                        color="black",
                        markeredgewidth=0.9,
                    )
        axes.text(
            1.01, k, video.score, transform=axes.get_yaxis_transform(), fontsize=7.5, va="center"
        )
    axes.set_yticks(range(len(videos)), [_cut(v.name, 34) for v in videos])
    _style(axes, xlim=(0, 1.01 * last), ylim=(len(videos) - 0.5, -0.55), xlabel=f"time ({unit})")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    cross = Line2D([], [], color="black", marker="x", markersize=4, linewidth=0)
    _legend(
        axes,
        [*(Patch(color=KIND_COLORS[k]) for k in reversed(KINDS)), cross],
        ["macro (low bar)", "micro (tall bar)", "missed (above), false (below)"],
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=3,
    )
    return figure


def signed(value: float) -> str:
    """``+33``, ``−17`` or ``0``."""
    return f"{value:+.0f}".replace("-", "−").replace("+0", "0").replace("−0", "0")


def _cut(name: str, most: int = 28) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
