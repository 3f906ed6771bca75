"""A picture of what spotters see: motion, scores of rules and network, and what each spotted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from aumer.types import Features
from benchmarks.simulated import Spots
from benchmarks.truth import Truth

_COLORS = {"micro": "#d55e00", "macro": "#0072b2"}
_GROUPS = {"brows": slice(0, 6), "nose": slice(6, 8), "mouth": slice(8, 12)}
_GROUP_COLORS = {"brows": "#0072b2", "nose": "#999999", "mouth": "#d55e00"}


def score_curves(
    name: str,
    features: Features,
    truth: Truth,
    spotters: Mapping[str, Spots],
) -> Figure:
    """Displacement, the rules' levels, the network's scores, and intervals of truth and spotters.

    Args:
        spotters: "rules" and "network" among them.
    """
    figure = Figure(figsize=(12, 8.5), layout="constrained")
    motion, levels, micro, macro, spans = figure.subplots(
        5, 1, sharex=True, height_ratios=(1.2, 1, 1, 1, 0.35 * (2 + len(spotters)))
    )
    x = features.frames
    path = np.cumsum(np.where(features.valid[:, None, None], features.values, 0), axis=0)
    for group, nodes in _GROUPS.items():
        size = np.linalg.norm(path[:, nodes], axis=-1).max(axis=1) / features.eye_distance
        shown = np.where(features.valid, size, np.nan)
        motion.plot(x, shown, label=group, color=_GROUP_COLORS[group], linewidth=1)
    motion.set_ylabel("displacement\n(outer-eye distances)")
    rules = spotters["rules"](features)[0]
    for channel, color in (("brow", "#0072b2"), ("mouth", "#d55e00")):
        levels.plot(x, rules.channel(channel), label=f"rules: {channel}", color=color, linewidth=1)
    levels.axhline(0.5, color="#999999", linewidth=0.6, linestyle=":")
    scores = spotters["network"](features)[0]
    for axes, kind in ((micro, "micro"), (macro, "macro")):
        for part, dash in (("apex", "-"), ("onset", "--"), ("offset", ":"), ("action", "-.")):
            axes.plot(
                x,
                scores.channel(f"{kind}_{part}"),
                label=f"network: {kind} {part}",
                color=_COLORS[kind],
                linestyle=dash,
                linewidth=0.8 if part == "action" else 1.1,
                alpha=0.5 if part == "action" else 1.0,
            )
    rows: list[tuple[str, list[tuple[str, int, int]]]] = [
        ("truth", [(k, i.onset, i.offset) for k, i in truth.expressions])
    ]
    rows += [
        (who, [(e.kind, e.onset, e.offset) for e in spot(features)[1]])
        for who, spot in spotters.items()
    ]
    for k, (_, found) in enumerate(rows):
        for kind, onset, offset in found:
            spans.barh(k, offset - onset, left=onset, color=_COLORS[kind], alpha=0.75, height=0.6)
    for region in truth.unsure:
        spans.axvspan(region.onset, region.offset, color="#999999", alpha=0.2, linewidth=0)
    spans.set_yticks(range(len(rows)), [who for who, _ in rows])
    spans.invert_yaxis()
    spans.set_xlabel("frame (gray: not judged; orange micro, blue macro)")
    for axes in (levels, micro, macro):
        axes.set_ylim(-0.03, 1.03)
    for axes in (motion, levels, micro, macro):
        axes.legend(loc="upper right", fontsize=7, ncols=4)
        axes.grid(axis="x", linewidth=0.3)
    motion.set_title(name)
    return figure
