"""The spotting network: ten tracks for every row of a video, by a graph over ROIs and time.

``published`` is AUW-GCN (2023): graph layer, batch norm, ReLU, the ROIs side by side, three
convolutions along time, and one that gives the tracks. ``aumer`` adds motion at several time
scales, wider context, learned corrections of the graph, and a branch of its own for the apexes.

What lies beyond a video's ends counts as nothing at every layer, and so do invalid rows: a gap
parts a video as if it were two, except that motion before a gap is not forgotten.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from aumer import weights
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath
from aumer.graph import AUGraph
from aumer.mdmo import PUBLISHED_DEVIATION, PUBLISHED_MEAN
from aumer.spotting.channels import CHANNELS
from aumer.spotting.decode import probabilities
from aumer.spotting.layers import Adjacency, graph_layer, multi_scale_motion
from aumer.spotting.net_config import SIGNS, NetConfig
from aumer.types import Features, FloatArray, Scores

_FORMAT = weights.Format(
    "aumer-spotnet-1",
    "a spotting network",
    "a file that `aumer train` wrote (SpotNet.load_published reads AUW-GCN's own checkpoints)",
)

#: AUW-GCN's names for our tensors, in its checkpoints.
_PUBLISHED_NAMES = {
    "graph_embedding.0.gc1.": "graph_layer.",
    "graph_embedding.0.bn1.": "graph_norm.",
    "_sequential.0.": "temporal.0.conv.",
    "_sequential.1.": "temporal.0.norm.",
    "_sequential.3.": "temporal.1.conv.",
    "_sequential.4.": "temporal.1.norm.",
    "_sequential.6.": "temporal.2.conv.",
    "_sequential.7.": "temporal.2.norm.",
    "_classification.": "head.",
}
_APEX = slice(CHANNELS.index("micro_apex"), CHANNELS.index("macro_apex") + 1)


class RowNorm(nn.BatchNorm1d):
    """Batch norm over the valid rows alone: padding and gaps enter neither mean nor variance.

    Shapes:
        x (B, T, ..., C), valid (B, T) bool or None for all; returns the like, 0 where invalid.
    """

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        if valid is None:
            return self._normed(x)
        if not self.training:
            return self._normed(x) * _like(valid, x)
        y = torch.zeros_like(x)
        rows = x[valid]
        if rows[..., 0].numel() > 1:  # a single row has no variance
            y[valid] = self._normed(rows)
        return y

    def _normed(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(-1, x.shape[-1])).reshape(x.shape)


class TimeConv(nn.Conv1d):
    """Convolution along time without bias, as many rows out as in.

    Shapes:
        x (B, T, C); returns (B, T, C'); weight (C', C, kernel).
    """

    def __init__(self, channels: int, to: int, kernel: int, dilation: int) -> None:
        super().__init__(channels, to, kernel, dilation=dilation, bias=False)
        self._reach = dilation * (kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        # Rows stay rows in memory: a matrix product, or an image of height 1, channels last. On a
        # CPU training takes half the time that it takes with channels first.
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
    """Convolution along time, batch norm, ReLU; where asked, its input is added before the ReLU.

    A residual layer starts as the identity (the norm's factor is 0 at first), so that a deep stack
    learns as soon as a shallow one.

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
        # Whole channels of a sample: one draw per row and channel is a fifth of a training step.
        self.dropout = nn.Dropout1d(dropout)
        self.residual = residual and channels == to
        if self.residual:
            nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        y: Tensor = self.norm(self.conv(x), valid)
        if self.training and self.dropout.p:
            y = self.dropout(y.transpose(1, 2)).transpose(1, 2)
        return torch.relu(x + y if self.residual else y)


class SpotNet(nn.Module):
    """Scores of onset, offset, apex and action for each kind, at every row of a video.

    Args:
        config: its shape; see `NetConfig`.
        graph: over the ROIs of the features it will read; None takes the configuration's prior.

    Attributes:
        card: what the file it was loaded from says of it; empty for a network just made.

    Raises:
        UsageError: no such graph or graph layer, or options that do not fit it.
        ConfigError: the layer cannot learn edges as the configuration asks.
    """

    input_mean: Tensor
    input_std: Tensor

    def __init__(self, config: NetConfig, graph: AUGraph | None = None) -> None:
        super().__init__()
        self.config = config
        self.graph = AUGraph.load(config.graph) if graph is None else graph
        self.card: dict[str, Any] = {}
        nodes, channels = len(self.graph.rois), 2 + 4 * len(config.motion_rows)
        self.register_buffer("input_mean", torch.zeros(2))
        self.register_buffer("input_std", torch.ones(2))

        self.adjacency: Adjacency | None = None
        if config.layer != "none":
            prior = torch.from_numpy(self.graph.normalised(config.normalisation)).float()
            self.adjacency = Adjacency(prior, residual=config.residual_edges)
            self.graph_layer = graph_layer(
                config.layer, channels, config.graph_width, self.adjacency, **config.layer_options
            )
            channels = cast(int, self.graph_layer.out_channels)
            self.graph_norm = RowNorm(channels)

        # Beside the graph, which is of the ROIs alone.
        beside = len(SIGNS) * (2 + 4 * len(config.motion_rows)) if config.signs else 0
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

    @classmethod
    def from_preset(cls, name: str | PathLike[str], graph: AUGraph | None = None) -> SpotNet:
        """An untrained network of a shipped preset, or of the TOML file at a path."""
        return cls(NetConfig.preset(name), graph)

    @property
    def half_width(self) -> int:
        """Rows on either side of a row on which its scores depend."""
        config = self.config
        stack = sum(d * (k // 2) for k, d in zip(config.kernels, config.dilations, strict=True))
        head = config.head_dilation * (config.head_kernel // 2) * (1 + config.apex_branch)
        return max((0, *config.motion_rows)) + stack + head

    def set_input_statistics(
        self, mean: Sequence[float] | FloatArray, std: Sequence[float] | FloatArray
    ) -> None:
        """Normalise inputs by (x - mean) / std, each for the x and the y axis.

        Raises:
            UsageError: not two finite numbers each, or a deviation that is not above 0.
        """
        both = np.array([mean, std], dtype=np.float64)
        if both.shape != (2, 2) or not np.isfinite(both).all() or not (both[1] > 0).all():
            raise UsageError(
                "input statistics are a mean and a deviation > 0 for x and for y; found "
                f"mean {list(mean)}, std {list(std)}"
            )
        self.input_mean.copy_(torch.from_numpy(both[0]))
        self.input_std.copy_(torch.from_numpy(both[1]))

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Logits in the order of `CHANNELS`.

        Shapes:
            x (B, T, R, 2) as `NetConfig.inputs` makes it, with the signs after the ROIs where it
            reads them; valid (B, T) bool, None where all rows are; returns (B, T, 10). What stands
            in invalid rows of x, NaN too, changes nothing; the logits there mean nothing.
        """
        x = (x - self.input_mean) / self.input_std
        if valid is not None and bool(valid.all()):
            valid = None
        if valid is not None:
            x = torch.where(_like(valid, x), x, 0.0)
        x = multi_scale_motion(x, self.config.motion_rows)
        if self.config.signs:
            x, signs = torch.split(x, [x.shape[2] - len(SIGNS), len(SIGNS)], dim=2)
        if self.adjacency is not None:
            y = self.graph_layer(x.flatten(0, 1), self.adjacency()).unflatten(0, x.shape[:2])
            x = torch.relu(self.graph_norm(y, valid))
        elif valid is not None:
            x = x * _like(valid, x)
        x = x.flatten(2)
        if self.config.signs:
            beside = signs if valid is None else signs * _like(valid, signs)
            x = torch.cat([x, beside.flatten(2)], dim=-1)
        for layer in self.temporal:
            x = layer(x, valid)
        logits = self.head(x)
        if self.config.apex_branch:
            apex = self.apex_head(self.apex_layer(x, valid))
            logits = torch.cat([logits[..., : _APEX.start], apex, logits[..., _APEX.start :]], -1)
        return cast(Tensor, logits)

    @torch.no_grad()
    def scores(
        self,
        features: Features,
        *,
        chunk_s: float | None = 120.0,
        device: str | torch.device = "cpu",
    ) -> Scores:
        """The ten tracks of a whole video: soft-max over onset, offset and neither, else sigmoid.

        Args:
            features: of the graph's ROIs, at the configuration's rate.
            chunk_s: compute in chunks of so many seconds with the context they need: faster, as a
                chunk fits the cache, in bounded memory, and no score moves by more than 1e-6. None
                takes the whole at once.
            device: where to compute. The network is moved there.

        Raises:
            UsageError: other ROIs, another rate, or a chunk that is not above 0.
        """
        self._check(features, chunk_s)
        training = self.training
        self.eval().to(device)
        total, halo = len(features), self.half_width
        step = total if chunk_s is None else max(1, round(chunk_s * self.config.rate))
        x = torch.from_numpy(self.config.inputs(features))
        valid = torch.from_numpy(features.valid)
        values = np.full((total, len(CHANNELS)), np.nan, dtype=np.float32)
        for begin in range(0, total, max(step, 1)):
            end = min(begin + step, total)
            around = slice(max(0, begin - halo), min(total, end + halo))
            logits = self(x[None, around].to(device), valid[None, around].to(device))[0]
            kept = logits[begin - around.start : end - around.start]
            values[begin:end] = probabilities(kept.cpu().numpy())
        self.train(training)
        values[~features.valid] = np.nan
        return Scores(values, features.times, features.frames, features.valid, CHANNELS)

    def _check(self, features: Features, chunk_s: float | None) -> None:
        if features.rois != self.graph.rois:
            raise UsageError(
                f"the features are of the {len(features.rois)} ROIs {', '.join(features.rois)}; "
                f"the network's graph {self.graph.name!r} has the {len(self.graph.rois)} ROIs "
                f"{', '.join(self.graph.rois)}. Extract features of these ROIs in this order, or "
                "train a network on a graph of the features' ROIs"
            )
        if not np.isclose(features.rate, self.config.rate, rtol=1e-3):
            raise UsageError(
                f"the features have {features.rate:g} rows per second, the network reads "
                f"{self.config.rate:g}: set motion.rate = {self.config.rate:g} and extract them "
                f"again, or train a network with rate = {features.rate:g}"
            )
        if chunk_s is not None and not chunk_s > 0:
            raise UsageError(f"chunk_s must be > 0 seconds, or None for the whole; found {chunk_s}")

    def save(self, path: StrPath, card: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Write weights, configuration, graph and card to one safetensors file.

        Args:
            card: what a user should know, as JSON has it: data, licence, how it was made, figures.

        Raises:
            UsageError: as for `aumer.files.atomic_write`, or the card is not plain values.
        """
        about = {
            "config": self.config.to_dict(),
            "graph": self.graph.to_dict(),
            "graph_digest": self.graph.digest,
            "channels": list(CHANNELS),
            "card": dict(card),
        }
        _FORMAT.write(path, weights.arrays_of(self), about, overwrite=overwrite)

    @classmethod
    def load(cls, path: StrPath, graph: AUGraph | None = None) -> SpotNet:
        """Read what `save` wrote, in eval mode, on the CPU. No code in the file is run.

        Args:
            graph: another graph over the same ROIs than the one it was trained with; a warning says
                that scores are then no better than a guess until it is trained again.

        Raises:
            WeightsError: no such file, not a file of `save`, damaged, or `graph` has other ROIs.
        """
        about, state = _FORMAT.read(path)
        try:
            trained, config = (
                AUGraph.from_dict(about["graph"]),
                NetConfig.from_dict(about["config"]),
            )
            if tuple(about["channels"]) != CHANNELS:
                raise UsageError(f"its tracks are {', '.join(about['channels'])}")
            if graph is not None:
                _compare(graph, trained, path)
            net = cls(config, graph or trained)
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{path} describes a network that cannot be made here: {error}. If its graph layer "
                "is registered, import the module that does; else train it again, or use the "
                "version of aumer that wrote it"
            ) from error
        weights.fill(net, state, f"{path} holds other weights than its network has")
        net.card = dict(about["card"])
        return net.eval()

    @classmethod
    def load_published(cls, path: StrPath) -> SpotNet:
        """AUW-GCN's own checkpoint (``checkpoint_epoch_047.pth.tar``), in eval mode.

        Its inputs are features as its ``feature_segment`` files hold them: the published mean and
        deviation are set. The unit of those files is not known, so it scores them, not ours.

        Raises:
            WeightsError: no such file, not loadable as plain tensors, or not of that network.
        """
        path = Path(path)
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
            state = dict(found["state_dict"])
            prior = state.pop("graph_embedding.0.gc1.adj").double().numpy()
        except (OSError, UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
            raise WeightsError(
                f"cannot read {path} as a checkpoint of AUW-GCN, a file of torch.save with a table "
                f"state_dict that holds graph_embedding.0.gc1.adj: {type(error).__name__}: {error}"
            ) from error
        ours = {}
        for name, value in state.items():
            prefix = next((p for p in _PUBLISHED_NAMES if name.startswith(p)), "")
            ours[name.replace(prefix, _PUBLISHED_NAMES.get(prefix, ""), 1)] = value
        try:
            graph = AUGraph.from_matrix(prior, name=path.name)
        except UsageError as error:
            raise WeightsError(f"{path}: its graph_embedding.0.gc1.adj: {error}") from error
        # The file holds the matrix as the layer uses it.
        net = cls(replace(NetConfig.preset("published"), normalisation="none"), graph)
        net.set_input_statistics(PUBLISHED_MEAN, PUBLISHED_DEVIATION)
        ours |= {"input_mean": net.input_mean, "input_std": net.input_std}
        weights.fill(net, ours, f"{path} holds other weights than AUW-GCN has")
        return net.eval()


def parameter_count(module: nn.Module) -> int:
    """Numbers that training may change."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def _like(valid: Tensor, x: Tensor) -> Tensor:
    """(B, T) with as many axes as x (B, T, ...)."""
    return valid.reshape(*valid.shape, *[1] * (x.ndim - 2))


def _compare(graph: AUGraph, trained: AUGraph, path: StrPath) -> None:
    if len(graph.rois) != len(trained.rois):
        raise WeightsError(
            f"the weights in {path} are for {len(trained.rois)} ROIs, the graph {graph.name!r} has "
            f"{len(graph.rois)}: use a graph over {', '.join(trained.rois)}, or train a network on "
            "yours with `aumer train`"
        )
    if graph.rois != trained.rois:
        raise WeightsError(
            f"the weights in {path} are for the ROIs {', '.join(trained.rois)}; the graph "
            f"{graph.name!r} has {', '.join(graph.rois)}. Order them alike, or train a network on "
            "yours with `aumer train`"
        )
    if graph.digest != trained.digest:
        warnings.warn(
            f"the weights in {path} were trained with the graph {trained.name!r} "
            f"({trained.digest[:12]}), not with {graph.name!r} ({graph.digest[:12]}): their scores "
            "may mean little. Train again with your graph: `aumer train`, graph = its file",
            stacklevel=3,
        )
