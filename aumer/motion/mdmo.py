"""Main-direction mean optical flow (MDMO) of square regions.

Liu et al., "A Main Directional Mean Optical Flow Feature for Spontaneous Micro-Expression
Recognition", IEEE TAC 2016, with the bins and percentages that AUW-GCN (Yin et al., ICME 2023)
uses: of a region's flow vectors those in the fullest direction bin are selected, of these the
strongest share, and the feature is the unit vector of their sum times their mean magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aumer._moved import moved
from aumer.graph.rois import DEFAULT_ROIS
from aumer.types import FloatArray

#: Landmarks (iBUG-68, 0-based) of the 12 published ROIs, by name, in node order.
ROIS: dict[str, int] = dict(zip(DEFAULT_ROIS.names, DEFAULT_ROIS.landmarks, strict=True))

_EPS = np.float32(1e-6)


@dataclass(frozen=True)
class Bins:
    """Direction bins, half-open, and the share of the strongest vectors in the fullest one.

    Attributes:
        edges: increasing angles in degrees within [0, 360); bin k reaches from edges[k] up to but
            not including edges[k + 1], the last one wraps around through 0 to edges[0]. Of equally
            full bins the first wins.
        strongest: share in (0, 1]; n vectors keep floor(n * strongest).
    """

    edges: tuple[float, ...]
    strongest: float


#: Head motion: four bins of 90 degrees around the axes. ROIs: up and down have 120 degrees each.
HEAD_BINS = Bins(edges=(45.0, 135.0, 225.0, 315.0), strongest=0.88)
ROI_BINS = Bins(edges=(30.0, 150.0, 210.0, 330.0), strongest=0.60)


def main_direction_mean(
    vectors: FloatArray, inside: npt.NDArray[np.bool_], bins: Bins
) -> FloatArray:
    """MDMO of N regions of up to P flow vectors.

    Shapes:
        vectors (N, P, 2) float32 px; inside (N, P) bool, False for padding and for pixels outside
        the image; returns (N, 2) float32 px. A region whose fullest bin has fewer than 1 /
        `strongest` vectors (so that none is selected) has feature 0.
    """
    magnitude = np.hypot(vectors[..., 0], vectors[..., 1])
    # In float32 the diagonal is 44.999996 degrees, which is in the wrong bin.
    angle = np.degrees(np.arctan2(vectors[..., 1], vectors[..., 0], dtype=np.float64)) % 360.0
    # side="right": an angle on an edge belongs to the bin that begins there; angles below the first
    # edge belong to the last bin.
    count = len(bins.edges)
    which = (np.searchsorted(bins.edges, angle, side="right") - 1) % count
    which[~inside] = count
    sizes = (which[..., None] == np.arange(count)).sum(axis=1)
    fullest = sizes.argmax(axis=1)
    chosen = which == fullest[:, None]
    keep = np.floor(sizes.max(axis=1) * bins.strongest).astype(int)
    ranked = np.where(chosen, magnitude, -1.0)
    order = np.argsort(-ranked, axis=1, kind="stable")
    top = np.arange(vectors.shape[1]) < keep[:, None]
    strongest = np.take_along_axis(vectors, order[..., None], axis=1) * top[..., None]
    total = strongest.sum(axis=1, dtype=np.float64)
    mean = (np.take_along_axis(magnitude, order, axis=1) * top).sum(axis=1) / np.maximum(keep, 1)
    unit = total / (np.linalg.norm(total, axis=1, keepdims=True) + _EPS)
    return np.asarray(unit * mean[:, None], np.float32)


def boxes(
    flow: FloatArray, low: npt.NDArray[np.integer[Any]], high: npt.NDArray[np.integer[Any]]
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """The flow vectors of N boxes of equal size, corners included, clipped to the image.

    Shapes:
        flow (H, W, 2); low, high (N, 2) integer x, y with one and the same high - low; returns
        vectors (N, P, 2) and inside (N, P) bool, False outside the image.
    """
    height, width = flow.shape[:2]
    across, down = high[0] - low[0]
    rows = low[:, 1, None] + np.arange(down + 1)
    columns = low[:, 0, None] + np.arange(across + 1)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
        :, None, :
    ]
    vectors = flow[rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None, :]]
    n = len(low)
    return vectors.reshape(n, -1, 2), inside.reshape(n, -1)


def published_mdmo(flow: FloatArray, landmarks: npt.NDArray[np.integer[Any]]) -> FloatArray:
    """The features of AUW-GCN and ABPN, from unaligned flow: (12, 2) float32 px.

    Head motion is the flow of the box around landmarks 29 and 30, widened by .35 of half the
    distance between the inner eye corners: main one of four bins, strongest 88 %. It is subtracted
    before the 11 x 11 px ROIs are read.

    Shapes:
        flow (H, W, 2) float32 px from a frame to the next; landmarks (68, 2) integer px of the
        later frame.
    """
    margin = int(abs(int(landmarks[42, 0]) - int(landmarks[39, 0])) / 2 * 0.35)
    nose = landmarks[29:31]
    box = boxes(flow, nose.min(axis=0)[None] - margin, nose.max(axis=0)[None] + margin)
    head = main_direction_mean(*box, HEAD_BINS)
    nodes = landmarks[list(ROIS.values())]
    vectors, inside = boxes(flow, nodes - 5, nodes + 5)
    return main_direction_mean(vectors - head, inside, ROI_BINS)


if not TYPE_CHECKING:  # unknown names must stay errors for mypy
    _NOW = "aumer.spotting.auwgcn.features"
    __getattr__ = moved(__name__, {"PUBLISHED_MEAN": _NOW, "PUBLISHED_DEVIATION": _NOW})
