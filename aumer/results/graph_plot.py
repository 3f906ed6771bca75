"""Drawing of an AU graph on a face: nodes at the ROIs, widths of edges by weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.face.mean_face import MEAN_FACE
from aumer.files import StrPath
from aumer.graph import AUGraph
from aumer.graph.rois import LANDMARK_NAMES
from aumer.results.drawing import check_picture, write_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Lines of landmarks that draw a face; True if the line is closed.
_LINES = (
    (range(17), False),
    (range(17, 22), False),
    (range(22, 27), False),
    (range(27, 31), False),
    (range(31, 36), False),
    (range(36, 42), True),
    (range(42, 48), True),
    (range(48, 60), True),
    (range(60, 68), True),
)
_COLORS = {"brow": "#009E73", "nose": "#8C8C8C", "mouth": "#9C4F96", "lip": "#9C4F96"}
_OTHER = "#000000"
_LINE = "#0072B2"
_WIDEST = 9.0  # points, for the largest weight
#: Up to this many ROIs are labeled by name, more by number of landmark.
_NAMES_FIT = 20


def plot_graph(
    graph: AUGraph,
    *,
    normalization: str = "none",
    path: StrPath | None = None,
    overwrite: bool = False,
) -> Figure:
    """Draw a graph on the mean face, seen from the front: the subject's right is on the left.

    Width and darkness of an edge show its weight; if the two directions differ, each is an arrow.
    The size of a node shows its weight on itself.

    Args:
        graph: ROIs must be named after landmarks (`aumer.graph.rois.LANDMARK_NAMES`).
        normalization: the weights to draw, "none" for the raw ones.
        path: file of the figure (.png, .pdf or .svg).
        overwrite: replace an existing file.

    Raises:
        UsageError: an ROI that is not a landmark, an unknown normalization, or as `plot_timeline`
            for a path.
    """
    places = _places(graph)
    weights = graph.normalized(normalization)
    if path is not None:
        check_picture(path, overwrite=overwrite)
    figure = _draw(graph, places, weights, normalization)
    if path is not None:
        write_picture(figure, path, overwrite=overwrite)
    return figure


def _places(graph: AUGraph) -> npt.NDArray[np.float64]:
    """(R, 2): positions of the nodes on the mean face, y down."""
    unknown = [roi for roi in graph.rois if roi not in LANDMARK_NAMES]
    if unknown:
        raise UsageError(
            f"{graph.name!r} cannot be drawn on a face: {unknown[0]!r} is not the name of a "
            "landmark (aumer.graph.rois.LANDMARK_NAMES has all 68)"
        )
    return MEAN_FACE[[LANDMARK_NAMES.index(roi) for roi in graph.rois], :2]


def _draw(
    graph: AUGraph,
    places: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    normalization: str,
) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.4, 7.8), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.06, 0.96, 0.84))
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_xlim(-0.95, 0.95)
    axes.set_ylim(1.2, -0.75)
    draw_face(axes)
    itself = np.diag(weights)
    between = weights - np.diag(itself)
    _edges(axes, places, between / (between.max() or 1.0))
    _nodes(axes, graph, places, itself / (itself.max() or 1.0))
    kind = "raw weights" if normalization == "none" else f"weights by {normalization}"
    scale = f"{kind}; widest line {between.max():.3g}, largest disc {itself.max():.3g}"
    for text, y, size in ((f"{graph.name}, {len(graph)} ROIs", 0.965, 12), (scale, 0.935, 9)):
        figure.text(0.5, y, text, ha="center", va="center", fontsize=size, parse_math=False)
    for text, x in (("the subject's right", 0.25), ("the subject's left", 0.75)):
        figure.text(x, 0.03, text, ha="center", va="center", fontsize=9, color="0.35")
    return figure


def draw_face(axes: Axes) -> None:
    for points, closed in _LINES:
        line = MEAN_FACE[[*points, points[0]] if closed else [*points], :2]
        axes.plot(*line.T, color="#EAD9C8", linewidth=2, zorder=0, solid_capstyle="round")


def _edges(axes: Axes, places: npt.NDArray[np.float64], shares: npt.NDArray[np.float64]) -> None:
    """Draw lines from j to i, with widths shares [i, j] of the widest."""
    from matplotlib.patches import FancyArrowPatch

    one_way = not np.allclose(shares, shares.T, rtol=1e-6, atol=0)
    drawn = shares if one_way else np.triu(shares)
    order = np.argsort(drawn, axis=None)  # strongest last, on top
    for i, j in zip(*np.unravel_index(order, drawn.shape), strict=True):
        share = float(drawn[i, j])
        if not share:
            continue
        # Curved, to avoid the nodes in between; lines between the sides curve downward, and the two
        # arrows of a pair are separated.
        bend = 0.18 if one_way or places[i, 0] > places[j, 0] else -0.18
        axes.add_patch(
            FancyArrowPatch(
                tuple(places[j]),
                tuple(places[i]),
                connectionstyle=f"arc3,rad={bend}",
                arrowstyle="-|>" if one_way else "-",
                mutation_scale=6 + 16 * share,
                shrinkA=3,
                shrinkB=5 if one_way else 3,
                linewidth=max(0.5, _WIDEST * share),
                color=_LINE,
                alpha=0.2 + 0.7 * share,
                zorder=1,
            )
        )


def _nodes(
    axes: Axes,
    graph: AUGraph,
    places: npt.NDArray[np.float64],
    itself: npt.NDArray[np.float64],
) -> None:
    """Draw discs, with areas `itself` (R,) relative to the largest, and names."""
    named = len(graph) <= _NAMES_FIT
    for roi, (x, y), share in zip(graph.rois, places, itself, strict=True):
        region, number = roi.split("_")[0], LANDMARK_NAMES.index(roi)
        size = 30 + 380 * float(share)
        color = _COLORS.get(region, _OTHER)
        axes.scatter([x], [y], s=size, c=color, edgecolors="white", linewidths=1, zorder=2)
        gap = 3 + np.sqrt(size / np.pi)
        across, down = (0.0, 1.0)
        if region == "brow" or "upper" in roi:
            down = -1.0
        elif region == "nose":
            across, down = 1.0, 0.0
        elif abs(x) > 0.2:
            across, down = float(np.sign(x)), 0.0
        steep = named and region == "brow"  # brows are too close for horizontal names
        aligned = {-1.0: "right", 0.0: "left" if steep else "center", 1.0: "left"}[across]
        axes.annotate(
            f"{roi} {number}" if named else str(number),
            (x, y),
            xytext=(gap * across, -(gap + 4 * (across == 0)) * down),
            textcoords="offset points",
            rotation=50 if steep else 0,
            rotation_mode="anchor",
            ha=aligned,
            va="center",
            fontsize=7,
            zorder=3,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 0.5},
        )
