"""The configuration of `SpotNet`: a frozen dataclass, read strictly from TOML.

No torch. Shipped presets lie in ``configs/spotnet/``, each value with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aumer import registry
from aumer.graph import NORMALIZATIONS
from aumer.spotting.parts import Architecture, eye_motion
from aumer.strict import require, within
from aumer.types import Features, FloatArray

if TYPE_CHECKING:
    from aumer.graph import AUGraph
    from aumer.spotting.spotnet import SpotNet

#: Nodes besides the ROIs: opening of each eye (y), yaw and pitch of the head, and its roll (x).
SIGNS = ("eyelid_r", "eyelid_l", "turn", "roll")
#: Outer-eye distances per row. Below this a video's median motion is no measure of its noise
#: (motion stored in 8 bits is mostly zero).
_STILL = 1e-4


@dataclass(frozen=True)
class NetConfig(Architecture):
    """The architecture of a `SpotNet`. `graph` and `rate` as in `Architecture`.

    Attributes:
        normalization: of the prior, one of `aumer.graph.NORMALIZATIONS`.
        residual_edges: learn a bounded correction of every edge on top of the prior.
        layer: the graph layer: "dense", "dense-self" or another registered "graph-layer", a
            message-passing layer of torch-geometric, or "none" for no graph.
        layer_options: further arguments of the layer, ``{"heads": 2}``.
        graph_width: channels per ROI after the graph layer.
        motion_scales_s: besides the motion from row to row, the displacement over the last and over
            the next seconds of these lengths.
        video_scaling: divide a video's motion by its median magnitude.
        widths, kernels, dilations: of the temporal convolutions, in order; kernels are odd; kernels
            and dilations are in rows.
        residual: add its input to the output of every convolution that keeps the width.
        head_kernel, head_dilation: of the last convolution, which outputs the tracks.
        apex_branch: give the apex tracks a convolution and a head of their own.
        dropout: share of a convolution's outputs dropped in training.
        signs: whether it also reads the eyelids and the rotation of the head.

    Raises:
        ConfigError: a value out of range, or tuples of unequal length.
    """

    normalization: str
    residual_edges: bool
    layer: str
    layer_options: Mapping[str, Any]
    graph_width: int
    motion_scales_s: tuple[float, ...]
    video_scaling: bool
    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    dilations: tuple[int, ...]
    residual: bool
    head_kernel: int
    head_dilation: int
    apex_branch: bool
    dropout: float
    signs: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.normalization in NORMALIZATIONS,
            "normalization",
            self.normalization,
            f"one of {', '.join(NORMALIZATIONS)}",
        )
        within("graph_width", self.graph_width, 1, 4096)
        require(
            all(0 < s <= 60 for s in self.motion_scales_s),
            "motion_scales_s",
            list(self.motion_scales_s),
            "seconds above 0, at most 60",
        )
        n = len(self.widths)
        require(n >= 1, "widths", [], "at least one number of channels")
        for name in ("kernels", "dilations"):
            value = getattr(self, name)
            require(len(value) == n, name, list(value), f"as many numbers as widths, {n}")
        for name in ("widths", "kernels", "dilations", "head_kernel", "head_dilation"):
            value = getattr(self, name)
            each = value if isinstance(value, tuple) else (value,)
            require(all(1 <= v <= 4096 for v in each), name, value, "from 1 to 4096")
            odd = "kernel" not in name or all(v % 2 for v in each)
            require(odd, name, value, "odd, so that a row is in the middle of what it is read from")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "from 0 to less than 1")
        require(
            not (self.residual_edges and self.layer == "none"),
            "residual_edges",
            True,
            'false where layer is "none": there is no edge to correct',
        )

    def network(self, graph: AUGraph | None = None) -> SpotNet:
        """A `SpotNet` with new weights. This loads torch."""
        from aumer.spotting.spotnet import SpotNet

        return SpotNet(self, graph)

    def require_parts(self) -> None:
        super().require_parts()
        if self.layer != "none" and self.layer not in registry.names("graph-layer"):
            from aumer.spotting.layers import require_layer

            require_layer(self.layer)

    @property
    def motion_rows(self) -> tuple[int, ...]:
        """`motion_scales_s` in rows, at least one each."""
        return tuple(max(1, round(s * self.rate)) for s in self.motion_scales_s)

    @property
    def extra_nodes(self) -> tuple[str, ...]:
        """`SIGNS`, if it reads them."""
        return SIGNS if self.signs else ()

    def inputs(self, features: Features) -> FloatArray:
        """The network's input for a whole video: (T, R, 2) float32, invalid rows 0.

        Motion in outer-eye distances per row; with `video_scaling`, in units of the video's median
        magnitude over valid rows, ROIs and axes. With `signs` the nodes `SIGNS` follow the ROIs:
        their changes from row to row, in outer-eye distances and radians; 0 if unknown.
        """
        x = eye_motion(features)
        if self.video_scaling and features.valid.any():
            x = x / max(float(np.median(np.abs(x[features.valid]))), _STILL)
        if not self.signs:
            return x.astype(np.float32, copy=False)
        # Filled in place: hours of film are a gigabyte otherwise.
        rois = x.shape[1]
        made = np.zeros((len(x), rois + len(SIGNS), 2), np.float32)
        made[:, :rois] = x
        known = (*features.eyelids.T, *features.head.T)
        for column, (node, axis) in zip(known, _SIGN_AT, strict=True):
            values = column.astype(np.float64)
            values[~features.valid] = np.nan
            made[:-1, rois + node, axis] = np.nan_to_num(np.diff(values))
        return made


#: Node of `SIGNS` and axis of the right and the left eyelid, yaw, pitch and roll, arranged so that
#: mirroring works as for ROIs.
_SIGN_AT = ((0, 1), (1, 1), (2, 0), (2, 1), (3, 0))
