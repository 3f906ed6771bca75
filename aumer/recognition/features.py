"""Features of flow maps for recognizers: centered channels, cells, mirror images, nodes. numpy
only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from aumer.graph.rois import DEFAULT_ROIS
from aumer.recognition.face_position import BY_LANDMARKS
from aumer.recognition.interface import INPUT_SHAPE, Floats
from aumer.types import FloatArray

_SIDE = INPUT_SHAPE[0]


def min_max(inputs: FloatArray) -> FloatArray:
    """Each channel of each map scaled by its range to [0, 1], as STSTNet reads it.

    The amplitude and the zero level are lost. A channel without any range becomes 0.

    Shapes:
        inputs (N, H, W, 3); returns the same shape, float32.
    """
    low, high = inputs.min((1, 2), keepdims=True), inputs.max((1, 2), keepdims=True)
    span = high - low
    scaled = np.divide(inputs - low, span, out=np.zeros_like(inputs, np.float32), where=span > 0)
    return np.asarray(scaled, np.float32)


def centered(inputs: FloatArray) -> FloatArray:
    """Min-max scaled maps minus each channel's median, since most of a face is at rest.

    Because of the min-max scaling, a flow in pixels and its 8-bit image give the same up to
    rounding.

    Shapes:
        inputs (N, H, W, 3); returns the same shape, float32, within [-1, 1].
    """
    scaled = min_max(inputs)
    median = np.median(scaled, axis=(1, 2), keepdims=True)
    return np.asarray(scaled - median, np.float32)


def of_one_size(inputs: FloatArray) -> FloatArray:
    """`centered`, with each channel of each map scaled to root mean square 1 (0 if nothing moves).

    Shapes:
        inputs (N, H, W, 3); returns the same shape, float32.
    """
    view = centered(inputs)
    size = np.sqrt((view.astype(np.float64) ** 2).mean((1, 2), keepdims=True))
    return np.asarray(view / (size + 1e-6), np.float32)


def mirrored(inputs: FloatArray) -> FloatArray:
    """The map of the mirrored face: columns reversed and u negated.

    Shapes:
        inputs (N, H, W, 3) about zero (`centered`, or a flow in pixels); returns the same shape.
    """
    mirror: FloatArray = inputs[:, :, ::-1].copy()
    mirror[..., 0] *= -1
    return mirror


def cell_means(inputs: FloatArray, cells: int) -> Floats:
    """Means over `cells` x `cells` equal cells; pixels are shared between cells by area if 28 /
    cells is not an integer (OpenCV's INTER_AREA).

    Shapes:
        inputs (N, 28, 28, 3); returns (N, cells, cells, 3) float64.
    """
    edges = np.linspace(0, _SIDE, cells + 1)
    pixel = np.arange(_SIDE)
    share = np.clip(
        np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel), 0, 1
    )
    share /= share.sum(1, keepdims=True)
    by_row = np.tensordot(inputs.astype(np.float64), share, (1, 1))  # (N, 28, 3, cells)
    means: Floats = np.tensordot(by_row, share, (1, 1))  # (N, 3, rows, columns)
    return np.ascontiguousarray(means.transpose(0, 2, 3, 1))


#: Positions of the 12 ROIs in a map cut by landmarks: (x, y) px, with 0, 0 at the center of the
#: first pixel.
ROI_CENTERS: dict[str, tuple[float, float]] = {
    name: BY_LANDMARKS.landmarks()[name] for name in DEFAULT_ROIS.names
}


def occlusion(
    probability: Callable[[FloatArray], Floats], flow_map: FloatArray, side: int = 7
) -> Floats:
    """Occlusion: how much of a class's probability is due to the motion around each ROI.

    The motion within `side` x `side` pixels of a ROI is replaced by each channel's median, and the
    fall of the probability is the ROI's contribution; negative if it speaks against the class.

    Args:
        probability: (N, 28, 28, 3) maps -> (N,) probability of the class.
        flow_map: (28, 28, 3).

    Shapes:
        returns (12,) float64, in the order of `aumer.graph.rois.DEFAULT_ROIS`.
    """
    rest = np.median(flow_map, axis=(0, 1))
    variants = np.repeat(flow_map[None], len(ROI_CENTERS) + 1, axis=0)
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    for variant, (x, y) in zip(variants[1:], ROI_CENTERS.values(), strict=True):
        near: npt.NDArray[np.bool_] = np.maximum(abs(columns - x), abs(rows - y)) <= side / 2
        variant[near] = rest
    found = probability(variants)
    fall: Floats = found[0] - found[1:]
    return fall
