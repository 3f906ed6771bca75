"""`boosting-vrme-like`, after BoostingVRME (Guo et al., 2025): curves over a whole video.

From the abstract of "Boosting Micro-Expression Analysis via Prior-Guided Video-Level Regression"
(arXiv 2508.18834): no windows are classified; curves of onset, apex and offset are regressed over
the whole video, and an interval is chosen around each peak by its course and duration
(`aumer.spotting.rivals.decoders.GrowingDecoder`). It trains 50 epochs and uses the last.

Chosen: the network, about which the abstract says nothing: the ROIs' motion side by side, and
residual temporal convolutions, each depth-wise and then across channels, with growing dilation. The
paper shares it between spotting and recognition; here it only spots. It spots both kinds, as all of
these presets; the paper spots micro-expressions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aumer.graph import AUGraph
from aumer.spotting.channels import CHANNELS
from aumer.spotting.net import SpottingNetwork
from aumer.spotting.parts import Architecture
from aumer.spotting.rivals.layers import masked, shown
from aumer.spotting.spotnet import RowNorm, TemporalLayer
from aumer.strict import require, within


@dataclass(frozen=True)
class VideoRegression(Architecture):
    """Hyperparameters of a `VideoRegressionNetwork`. `graph` and `rate` as in `Architecture`.

    Attributes:
        width: channels of every layer.
        dilations: of the residual convolutions (kernel of three rows), in rows, in order.

    Raises:
        ConfigError: a value out of range.
    """

    width: int
    dilations: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        within("width", self.width, 1, 4096)
        known = bool(self.dilations) and all(1 <= d <= 4096 for d in self.dilations)
        require(known, "dilations", list(self.dilations), "at least one, from 1 to 4096")

    def network(self, graph: AUGraph | None = None) -> VideoRegressionNetwork:
        return VideoRegressionNetwork(self, graph)


class VideoRegressionNetwork(SpottingNetwork):
    """See the module."""

    config: VideoRegression

    def __init__(self, config: VideoRegression, graph: AUGraph | None = None) -> None:
        super().__init__(config, graph)
        self.entry = TemporalLayer(2 * len(self.graph.rois), config.width, 1, 1)
        self.blocks = nn.ModuleList(_Separable(config.width, d) for d in config.dilations)
        self.tracks = nn.Linear(config.width, len(CHANNELS))

    @property
    def half_width(self) -> int:
        return sum(self.config.dilations)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """As `SpottingNetwork.forward`."""
        valid = shown(x, valid)
        y = self.entry(self.normalized(x, valid).flatten(2), valid)
        for block in self.blocks:
            y = block(y, valid)
        tracks: Tensor = self.tracks(y)
        return tracks


class _Separable(nn.Module):
    """(B, T, C) plus its depth-wise temporal convolution followed by one across channels."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.along = nn.Conv1d(
            channels, channels, 3, padding=dilation, dilation=dilation, groups=channels
        )
        self.across = nn.Linear(channels, channels)
        self.norm = RowNorm(channels)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        y = self.along(x.transpose(1, 2)).transpose(1, 2)
        y = torch.relu(self.norm(self.across(masked(y, valid)), valid))
        return masked(x + y, valid)
