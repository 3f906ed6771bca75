"""Base class of spotting networks: their output, and their files.

A new architecture is a subclass of `SpottingNetwork` and one of
`aumer.spotting.parts.Architecture`; the latter is registered, and creates the network when it is
trained or loaded. `aumer.spotting.spotnet` is an example.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from aumer import weights
from aumer._moved import moved
from aumer.cache import rested
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.graph import AUGraph
from aumer.learning.portable import Portable
from aumer.registry import REGISTERED_ELSEWHERE
from aumer.spotting.channels import CHANNELS, classes
from aumer.spotting.decode import probabilities
from aumer.spotting.parts import Architecture
from aumer.types import KINDS, BoolArray, Features, FloatArray, Scores

if TYPE_CHECKING:
    from typing_extensions import Self

_log = logging.getLogger("aumer")
_FORMAT = weights.ArrayFormat(
    "aumer-spotnet-1",
    "a spotting network",
    "a file that `aumer train` wrote (aumer.spotting.auwgcn.checkpoint reads AUW-GCN's own)",
)


class SpottingNetwork(nn.Module, ABC):
    """Scores of onset, offset, apex and action for each kind, at every row of a video.

    A subclass makes its layers in ``__init__(config, graph)``, after calling this one.

    Args:
        config: its shape.
        graph: over the ROIs of the features; None takes the prior of the configuration.

    Attributes:
        card: card of the file that it was loaded from; empty for a new network.

    Raises:
        UsageError: no such graph.

    Example:
        >>> from aumer.spotting.spotnet import SpotNet
        >>> net = SpotNet.from_preset("aumer")
        >>> isinstance(net, SpottingNetwork), net.graph.name
        (True, 'casme-sq-published')
    """

    input_mean: Tensor
    input_std: Tensor

    def __init__(self, config: Architecture, graph: AUGraph | None = None) -> None:
        super().__init__()
        self.config = config
        self.graph = AUGraph.load(config.graph) if graph is None else graph
        self.card: dict[str, Any] = {}
        self.register_buffer("input_mean", torch.zeros(2))
        self.register_buffer("input_std", torch.ones(2))

    @property
    @abstractmethod
    def half_width(self) -> int:
        """The scores of a row depend on this many rows on either side."""

    @abstractmethod
    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Logits in the order of `CHANNELS`.

        Shapes:
            x (B, T, N, 2) as `Architecture.inputs` makes it, the ROIs and further nodes; valid (B,
            T) bool, None if all rows are valid; returns (B, T, 10). The content of invalid rows of
            x, even NaN, has no effect (see `normalized`); the logits there are meaningless. In
            training there may be more columns, for an `Objective` that reads them.
        """

    @classmethod
    def from_preset(cls, name: str | PathLike[str], graph: AUGraph | None = None) -> Self:
        """An untrained network of a shipped preset, or of a TOML file.

        Raises:
            UsageError: as `Architecture.preset`, or the preset is for another class of network.
        """
        net = Architecture.preset(name).network(graph)
        if not isinstance(net, cls):
            raise UsageError(
                f"the preset {name} makes a {type(net).__name__} and not a {cls.__name__}: use "
                "the class "
                "of the preset"
            )
        return net

    def set_input_statistics(
        self, mean: Sequence[float] | FloatArray, std: Sequence[float] | FloatArray
    ) -> None:
        """Normalize inputs by (x - mean) / std, separately for the x and the y axis.

        Raises:
            UsageError: not two finite numbers each, or a standard deviation that is not positive.
        """
        both = np.array([mean, std], dtype=np.float64)
        if both.shape != (2, 2) or not np.isfinite(both).all() or not (both[1] > 0).all():
            raise UsageError(
                "input statistics are a mean and a deviation > 0 for x and for y; found "
                f"mean {list(mean)}, std {list(std)}"
            )
        self.input_mean.copy_(torch.from_numpy(both[0]))
        self.input_std.copy_(torch.from_numpy(both[1]))

    def normalized(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Inputs normalized by the statistics, 0 in invalid rows."""
        x = (x - self.input_mean) / self.input_std
        return x if valid is None else torch.where(like(valid, x), x, 0.0)

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
            chunk_s: compute in chunks of this many seconds with the context that they need: faster,
                since a chunk fits the CPU cache, in bounded memory, and no score changes by more
                than 1e-6. None computes everything at once.
            device: device to compute on. The network is moved to it.

        Raises:
            UsageError: other ROIs, another rate, or a chunk length that is not positive.
        """
        self.check(features)
        x = torch.from_numpy(self.config.inputs(features))
        rested(features.values)
        values = self.values(x, features.valid, chunk_s=chunk_s, device=device)
        return Scores(values, features.times, features.frames, features.valid, CHANNELS)

    @torch.no_grad()
    def values(
        self,
        x: Tensor,
        valid: BoolArray,
        begin: int = 0,
        end: int | None = None,
        *,
        chunk_s: float | None = 120.0,
        device: str | torch.device = "cpu",
    ) -> FloatArray:
        """The values of `scores` in the rows from `begin` to `end`: (rows, 10) float32.

        Args:
            x: (T, N, 2) float32, inputs of the whole video, as `Architecture.inputs` makes them.
            valid: (T,) of the features; the values of other rows are NaN.
            others: as `scores`.

        Raises:
            UsageError: a chunk length that is not positive.
        """
        if chunk_s is not None and not chunk_s > 0:
            raise UsageError(f"chunk_s must be > 0 seconds, or None for the whole; found {chunk_s}")
        training = self.training
        self.eval().to(device)
        total, halo = len(x), self.half_width
        last = total if end is None else end
        step = total if chunk_s is None else max(1, round(chunk_s * self.config.rate))
        known = torch.from_numpy(valid)
        values = np.full((last - begin, len(CHANNELS)), np.nan, dtype=np.float32)
        for first in range(begin, last, max(step, 1)):
            after = min(first + step, last)
            around = slice(max(0, first - halo), min(total, after + halo))
            logits = self(x[None, around].to(device), known[None, around].to(device))[0]
            kept = logits[first - around.start : after - around.start]
            values[first - begin : after - begin] = probabilities(kept.cpu().numpy())
        self.train(training)
        values[~valid[begin:last]] = np.nan
        return values

    def portable(self) -> Portable:
        """The network from inputs to the ten tracks, for export; see `aumer.export`.

        Shapes:
            x (batch, rows, N, 2) float32 as `Architecture.inputs` makes it; valid (batch, rows)
            bool; returns (batch, rows, 10).
        """
        nodes = (*self.graph.rois, *self.config.extra_nodes)
        # A separate generator, so that the caller's random numbers are unchanged.
        generator = torch.Generator().manual_seed(0)
        shape = (2, 2 * self.half_width + 90, len(nodes), 2)
        valid = torch.ones(shape[:2], dtype=torch.bool)
        valid[0, 40:50] = False
        return Portable(
            _Tracks(self.eval().to("cpu")),
            {"x": 0.01 * torch.randn(shape, generator=generator), "valid": valid},
            {"x": {0: "batch", 1: "rows"}, "valid": {0: "batch", 1: "rows"}},
            "scores",
            {
                "holds": "aumer spotting network",
                "nodes": list(nodes),
                "x": "motion of each node from one row to the next, to the right and down, in "
                "outer-eye distances (eyelids alike, head in radians); 0 where not valid",
                "columns": list(CHANNELS),
                "rows_per_second": self.config.rate,
                "rows_of_context": self.half_width,
                "config": self.config.to_dict(),
                "graph_digest": self.graph.digest,
            },
        )

    def check(self, features: Features) -> None:
        """Refuse features that it cannot read.

        Raises:
            UsageError: other ROIs or another rate.
        """
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
                f"{self.config.rate:g}: set `motion.rate={self.config.rate:g}` and extract them "
                f"again, or train a network with rate = {features.rate:g}"
            )

    def save(self, path: StrPath, card: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Write weights, configuration, graph and card to one safetensors file.

        Args:
            card: what a user should know, in JSON values: data, license, how it was made, figures.

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
    def load(cls, path: StrPath, graph: AUGraph | None = None) -> Self:
        """Load a file of `save`; in eval mode, on the CPU. No code in the file is run.

        Args:
            graph: another graph over the same ROIs than the one in training; a warning says that
                scores are then meaningless until the network is trained again.

        Raises:
            WeightsError: the file is missing, not a file of `save`, damaged, or `graph` has other
                ROIs.
        """
        about, state = _FORMAT.read(path)
        advice = f"{REGISTERED_ELSEWHERE}; else train it again, or use the aumer that wrote it"
        with foreign(path, "a network that can be made here", WeightsError, advice):
            trained, config = (
                AUGraph.from_dict(about["graph"]),
                Architecture.from_dict(about["config"]),
            )
            if tuple(about["channels"]) != CHANNELS:
                raise UsageError(
                    f"its tracks must be {', '.join(CHANNELS)}; found "
                    f"{', '.join(about['channels'])}"
                )
            if graph is not None:
                _compare(graph, trained, path)
            net = config.network(graph or trained)
            if not isinstance(net, cls):
                raise UsageError(f"it must hold a {cls.__name__}; found a {type(net).__name__}")
            card = dict(about["card"])
        weights.fill(net, state, f"{path} holds other weights than its network has")
        net.card = card
        return net.eval()


class _Tracks(nn.Module):
    """A module that gives the probabilities (`aumer.spotting.decode.probabilities`) of a network's
    logits.
    """

    def __init__(self, net: SpottingNetwork) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        logits = self.net(x, valid)
        tracks = list(torch.sigmoid(logits).unbind(-1))
        for kind in KINDS:
            three = classes(kind)
            shares = torch.softmax(torch.stack([logits[..., k] for k in three], -1), -1)
            for position, k in enumerate(three):
                tracks[k] = shares[..., position]
        return torch.stack(tracks, -1)


def parameter_count(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def like(valid: Tensor, x: Tensor) -> Tensor:
    """(B, T) expanded to as many axes as x (B, T, ...)."""
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
        _log.warning(
            "the weights in %s were trained with the graph %r (%s), not with %r (%s): their scores "
            "may mean little. Train again with your graph: `aumer train`, graph = its file",
            path,
            trained.name,
            trained.digest[:12],
            graph.name,
            graph.digest[:12],
        )


if not TYPE_CHECKING:  # unknown names must stay errors for mypy
    _NOW = "aumer.spotting.spotnet"
    __getattr__ = moved(
        __name__, dict.fromkeys(("SpotNet", "RowNorm", "TimeConv", "TemporalLayer"), _NOW)
    )
