"""`SpotNet`: ten tracks for every row of a video, by a graph over ROIs and time.

``published`` is AUW-GCN (2023): graph layer, batch norm, ReLU, the ROIs side by side, three
temporal convolutions, and one that outputs the tracks.

``aumer`` adds motion at several time scales, wider context, learned corrections of the graph, and a
separate branch for the apexes. Rows beyond a video's ends and invalid rows are 0 at every layer: a
gap splits a video as if it were two, except that summed motion continues over a gap.
"""

from __future__ import annotations

from typing import NoReturn, cast

import torch
from torch import Tensor, nn

from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.graph import AUGraph
from aumer.spotting.channels import CHANNELS
from aumer.spotting.layers import Adjacency, exporting, graph_layer, multi_scale_motion
from aumer.spotting.net import SpottingNetwork, like
from aumer.spotting.net_config import NetConfig

_APEX = slice(CHANNELS.index("micro_apex"), CHANNELS.index("macro_apex") + 1)


class RowNorm(nn.BatchNorm1d):
    """Batch norm over valid rows only: padding and gaps affect neither mean nor variance.

    Shapes:
        x (B, T, ..., C), valid (B, T) bool or None for all; returns the same shape, 0 where
        invalid.
    """

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        if valid is None:
            return self._normed(x)
        if not self.training:
            return self._normed(x) * like(valid, x)
        y = torch.zeros_like(x)
        rows = x[valid]
        if rows[..., 0].numel() > 1:  # a single row has no variance
            y[valid] = self._normed(rows)
        return y

    def _normed(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(-1, x.shape[-1])).reshape(x.shape)


class TimeConv(nn.Conv1d):
    """Temporal convolution without bias; keeps the number of rows.

    Shapes:
        x (B, T, C); returns (B, T, C'); weight (C', C, kernel).
    """

    def __init__(self, channels: int, to: int, kernel: int, dilation: int) -> None:
        super().__init__(channels, to, kernel, dilation=dilation, bias=False)
        self._reach = dilation * (kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        # Memory is channels-last: a matrix product, or an image of height 1. On a CPU training
        # takes half the time of channels-first.
        if self.kernel_size == (1,):
            return nn.functional.linear(x, self.weight[..., 0])
        y = nn.functional.conv2d(
            x.transpose(1, 2)[:, :, None],
            self.weight[:, :, None],
            padding=(0, self._reach),
            dilation=(1, *self.dilation),
        )
        return y[:, :, 0].transpose(1, 2)


class TemporalLayer(nn.Module):
    """Temporal convolution, batch norm, ReLU; optionally the input is added before the ReLU.

    A residual layer is initialized as the identity (the norm's weight is 0), so that a deep stack
    learns as fast as a shallow one.

    Shapes:
        x (B, T, C), valid (B, T) bool or None for all; returns (B, T, C'), 0 where invalid if x is.
    """

    def __init__(
        self,
        channels: int,
        to: int,
        kernel: int,
        dilation: int,
        *,
        residual: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv = TimeConv(channels, to, kernel, dilation)
        self.norm = RowNorm(to)
        # Drops whole channels of a sample: one draw per row and channel would take a fifth of a
        # training step.
        self.dropout = nn.Dropout1d(dropout)
        self.residual = residual and channels == to
        if self.residual:
            nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        y: Tensor = self.norm(self.conv(x), valid)
        if self.training and self.dropout.p:
            y = self.dropout(y.transpose(1, 2)).transpose(1, 2)
        return torch.relu(x + y if self.residual else y)


class SpotNet(SpottingNetwork):
    """The network of the shipped presets; see the module.

    Args:
        config: its architecture; see `NetConfig`.
        graph: over the ROIs of the features; None takes the prior of the configuration.

    Raises:
        UsageError: unknown graph or graph layer, or options that do not fit it.
        ConfigError: the configuration requests learned edges, which the layer does not support.
    """

    config: NetConfig

    def __init__(self, config: NetConfig, graph: AUGraph | None = None) -> None:
        super().__init__(config, graph)
        nodes, channels = len(self.graph.rois), 2 + 4 * len(config.motion_rows)

        self.adjacency: Adjacency | None = None
        if config.layer != "none":
            prior = torch.from_numpy(self.graph.normalized(config.normalization)).float()
            self.adjacency = Adjacency(prior, residual=config.residual_edges)
            self.graph_layer = graph_layer(
                config.layer, channels, config.graph_width, self.adjacency, **config.layer_options
            )
            channels = cast(int, self.graph_layer.out_channels)
            self.graph_norm = RowNorm(channels)

        # Extra nodes bypass the graph, which covers only the ROIs.
        beside = len(config.extra_nodes) * (2 + 4 * len(config.motion_rows))
        widths = (nodes * channels + beside, *config.widths)
        self.temporal = nn.ModuleList(
            TemporalLayer(*shape, residual=config.residual, dropout=config.dropout)
            for shape in zip(widths[:-1], widths[1:], config.kernels, config.dilations, strict=True)
        )
        last, shape = config.widths[-1], (config.head_kernel, config.head_dilation)
        apexes = _APEX.stop - _APEX.start if config.apex_branch else 0
        self.head = TimeConv(last, len(CHANNELS) - apexes, *shape)
        if config.apex_branch:
            self.apex_layer = TemporalLayer(last, last, *shape, dropout=config.dropout)
            self.apex_head = TimeConv(last, apexes, *shape)

    @property
    def half_width(self) -> int:
        """The scores of a row depend on this many rows on either side."""
        config = self.config
        stack = sum(d * (k // 2) for k, d in zip(config.kernels, config.dilations, strict=True))
        head = config.head_dilation * (config.head_kernel // 2) * (1 + config.apex_branch)
        return max((0, *config.motion_rows)) + stack + head

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """As `SpottingNetwork.forward`."""
        if valid is not None and not exporting() and bool(valid.all()):
            valid = None
        x = self.normalized(x, valid)
        x = multi_scale_motion(x, self.config.motion_rows)
        if extra := len(self.config.extra_nodes):
            x, signs = torch.split(x, [x.shape[2] - extra, extra], dim=2)
        if self.adjacency is not None:
            y = self.graph_layer(x.flatten(0, 1), self.adjacency()).unflatten(0, x.shape[:2])
            x = torch.relu(self.graph_norm(y, valid))
        elif valid is not None:
            x = x * like(valid, x)
        x = x.flatten(2)
        if extra:
            beside = signs if valid is None else signs * like(valid, signs)
            x = torch.cat([x, beside.flatten(2)], dim=-1)
        for layer in self.temporal:
            x = layer(x, valid)
        logits = self.head(x)
        if self.config.apex_branch:
            apex = self.apex_head(self.apex_layer(x, valid))
            logits = torch.cat([logits[..., : _APEX.start], apex, logits[..., _APEX.start :]], -1)
        return cast(Tensor, logits)

    @classmethod
    def load_published(cls, path: StrPath) -> NoReturn:
        """Removed: for one release its error names the new function.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "SpotNet.load_published was removed: use load_checkpoint of "
            "aumer.spotting.auwgcn.checkpoint"
        )
