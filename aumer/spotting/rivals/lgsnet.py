"""`lgsnet-like`: after LGSNet (Yu et al., IEEE TAC 2024), without I3D.

From the paper's abstract: two streams, one of appearance and one of flow; a module that fuses
several temporal receptive fields, so that short intervals are located more precisely; and one for
local suppression of background and global enhancement. Intervals without expression are used in
training as background, as aumer's windows do.

Chosen: both streams read aumer's motion, one from row to row (fast) and one of displacements over
longer spans (slow), instead of pre-trained video features; the receptive fields are parallel
convolutions of three dilations, added; suppression subtracts a share, learned for each channel, of
the mean around a row, and enhancement multiplies by a gate that reads the mean over a longer span.
The paper encodes intervals by their deviations from anchors; here there are no anchors: every row
has scores of onset, apex and offset, with aumer's tracks, targets, loss and decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from aumer.graph import AUGraph
from aumer.spotting.channels import CHANNELS
from aumer.spotting.layers import multi_scale_motion
from aumer.spotting.net import SpottingNetwork
from aumer.spotting.parts import Architecture
from aumer.spotting.rivals.layers import masked, mean_around, shown
from aumer.spotting.spotnet import RowNorm, TemporalLayer, TimeConv
from aumer.strict import require, within


@dataclass(frozen=True)
class LgsnetLike(Architecture):
    """Hyperparameters of an `LgsnetLikeNetwork`. `graph` and `rate` as in `Architecture`.

    Attributes:
        spans_s: spans before and after a row over which the slow stream reads displacement.
        width: channels of each stream.
        dilations: of the parallel convolutions, in rows.
        fusions: number of such blocks in sequence.
        local_s, global_s: extent of the means on either side of a row.
        dropout: share of a convolution's outputs dropped in training.

    Raises:
        ConfigError: a value out of range.
    """

    spans_s: tuple[float, ...]
    width: int
    dilations: tuple[int, ...]
    fusions: int
    local_s: float
    global_s: float
    dropout: float

    def __post_init__(self) -> None:
        super().__post_init__()
        within("width", self.width, 1, 4096)
        within("fusions", self.fusions, 1, 100)
        for name in ("spans_s", "dilations"):
            value = getattr(self, name)
            known = bool(value) and all(0 < v <= 60 for v in value)
            require(known, name, list(value), "at least one, above 0 and at most 60")
        for name in ("local_s", "global_s"):
            require(0 < getattr(self, name) <= 60, name, getattr(self, name), "in (0, 60] seconds")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "from 0 to less than 1")

    def network(self, graph: AUGraph | None = None) -> LgsnetLikeNetwork:
        return LgsnetLikeNetwork(self, graph)

    def rows(self, seconds: float) -> int:
        """Seconds in rows, at least one."""
        return max(1, round(seconds * self.rate))


class LgsnetLikeNetwork(SpottingNetwork):
    """See the module."""

    config: LgsnetLike

    def __init__(self, config: LgsnetLike, graph: AUGraph | None = None) -> None:
        super().__init__(config, graph)
        nodes = len(self.graph.rois)
        self.fast = _Stream(2 * nodes, config)
        self.slow = _Stream(4 * len(config.spans_s) * nodes, config)
        self.both = TemporalLayer(2 * config.width, config.width, 3, 1, dropout=config.dropout)
        self.tracks = nn.Linear(config.width, len(CHANNELS))

    @property
    def half_width(self) -> int:
        config = self.config
        summed = max(config.rows(s) for s in config.spans_s)
        fused = config.fusions * max(config.dilations)
        means = max(config.rows(config.local_s), config.rows(config.global_s))
        return summed + fused + means + 1

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """As `SpottingNetwork.forward`."""
        valid = shown(x, valid)
        x = self.normalized(x, valid)
        spans = [self.config.rows(s) for s in self.config.spans_s]
        far = masked(multi_scale_motion(x, spans)[..., 2:], valid)
        fast, slow = self.fast(x.flatten(2), valid), self.slow(far.flatten(2), valid)
        return cast(Tensor, self.tracks(self.both(torch.cat([fast, slow], -1), valid)))


class _Stream(nn.Module):
    """(B, T, C) of one stream -> (B, T, width)."""

    def __init__(self, channels: int, config: LgsnetLike) -> None:
        super().__init__()
        width = config.width
        self.entry = TemporalLayer(channels, width, 1, 1, dropout=config.dropout)
        self.fused = nn.ModuleList(_Fields(width, config.dilations) for _ in range(config.fusions))
        self.reach = config.rows(config.local_s), config.rows(config.global_s)
        self.suppressed = nn.Parameter(torch.zeros(width))
        self.gate = nn.Linear(width, width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        y = self.entry(x, valid)
        for fields in self.fused:
            y = fields(y, valid)
        near, far = (mean_around(y, valid, rows) for rows in self.reach)
        y = y - torch.sigmoid(self.suppressed) * near
        return masked(y * (0.5 + torch.sigmoid(self.gate(far))), valid)


class _Fields(nn.Module):
    """Parallel temporal receptive fields with a residual connection."""

    def __init__(self, width: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.fields = nn.ModuleList(TimeConv(width, width, 3, d) for d in dilations)
        self.norm = RowNorm(width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        y = torch.stack([field(x) for field in self.fields]).sum(0)
        return masked(torch.relu(x + self.norm(y, valid)), valid)
