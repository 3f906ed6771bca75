"""An architecture of one's own: this file, and ``own_network.toml`` beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aumer import register
from aumer.graph import AUGraph
from aumer.spotting.channels import CHANNELS
from aumer.spotting.net import SpottingNetwork
from aumer.spotting.parts import Architecture


@register("network", "own")
@dataclass(frozen=True)
class OwnArchitecture(Architecture):
    """`graph` and `rate` every architecture has; these are ours."""

    width: int
    kernel: int = 5

    def network(self, graph: AUGraph | None = None) -> OwnNetwork:
        return OwnNetwork(self, graph)


class OwnNetwork(SpottingNetwork):
    """Each row by itself, its ROIs mixed by the graph, and one convolution along time."""

    config: OwnArchitecture
    mixed: Tensor

    def __init__(self, config: OwnArchitecture, graph: AUGraph | None = None) -> None:
        super().__init__(config, graph)
        prior = torch.from_numpy(self.graph.normalized("l1-rows")).float()
        self.register_buffer("mixed", prior, persistent=False)  # the file keeps the graph itself
        self.rows = nn.Linear(2 * len(self.graph.rois), config.width)
        kernel = config.kernel
        self.tracks = nn.Conv1d(config.width, len(CHANNELS), kernel, padding=kernel // 2)

    @property
    def half_width(self) -> int:
        return self.config.kernel // 2

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        x = self.mixed @ self.normalized(x, valid)
        x = torch.relu(self.rows(x.flatten(2)))
        if valid is not None:  # a gap parts a video: not even the bias may tell of it
            x = x * valid[..., None]
        logits: Tensor = self.tracks(x.transpose(1, 2)).transpose(1, 2)
        return logits
