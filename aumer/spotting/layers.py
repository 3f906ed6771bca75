"""Layers of the spotting network: the graph over ROIs, and motion at several time scales.

A graph layer is a module with ``forward(x, adjacency)``: x (N, R, C) holds N graphs of R nodes,
adjacency (R, R) holds at [i, j] the weight of node j's contribution to node i; it returns (N, R,
`out_channels`). Register another one by ``@register("graph-layer", "mine")`` on a class or function
that is called with (in_channels, out_channels, edges, **options), where edges (R, R) bool is True
at [i, j] if j contributes to i.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from aumer import registry
from aumer.errors import ConfigError, UsageError, did_you_mean

#: Bound of a learned correction of an edge. Rows of a prior in "l1-rows" sum to 1, so .5 can
#: outweigh the prior's weakest edges but not its strongest.
RESIDUAL_BOUND = 0.5

#: Up to this many nodes A ⊗ W is one product; beyond, two products are faster.
_KRONECKER_NODES = 24

#: Most nodes of all graphs in one message passing: edges x channels must fit in memory.
_NODES_AT_ONCE = 65536


def exporting() -> bool:
    """Whether the network is being exported; then no branch may depend on values."""
    tracing: bool = torch._C._get_tracing_state() is not None
    return torch.compiler.is_compiling() or tracing


class Adjacency(nn.Module):
    """The matrix that graph layers read: a fixed prior, optionally with a learned correction.

    A = prior + b tanh(E), E (R, R) learned from 0 and b = `RESIDUAL_BOUND`: training starts from
    the prior, and no edge moves further than b from it.
    """

    prior: Tensor

    def __init__(self, prior: Tensor, *, residual: bool = False) -> None:
        super().__init__()
        # Not stored among the weights: the file holds the graph, with its ROIs and digest.
        self.register_buffer("prior", prior, persistent=False)
        self.residual = nn.Parameter(torch.zeros_like(prior)) if residual else None

    @property
    def edges(self) -> Tensor:
        """(R, R) bool: where the matrix is or may become nonzero."""
        return (
            torch.ones_like(self.prior, dtype=torch.bool)
            if self.residual is not None
            else (self.prior != 0)
        )

    def forward(self) -> Tensor:
        if self.residual is None:
            return self.prior
        return self.prior + RESIDUAL_BOUND * torch.tanh(self.residual)


class DenseLayer(nn.Module):
    """A X W + b (Kipf and Welling's layer on a small graph).

    Shapes:
        weight (in_channels, out_channels), bias (out_channels,).
    """

    def __init__(self, in_channels: int, out_channels: int, edges: Tensor | None = None) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels))
        bound = 1 / math.sqrt(out_channels)  # as in the published code
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        n, nodes, channels = x.shape
        if nodes > _KRONECKER_NODES:
            return self._in_turn(x, adjacency) + self.bias
        # Many small products are slow, so A and W are one matrix over (node, channel).
        both = self._at_once(adjacency).reshape(nodes * channels, nodes * self.out_channels)
        flat = torch.addmm(self.bias.repeat(nodes), x.reshape(n, nodes * channels), both)
        return flat.reshape(n, nodes, self.out_channels)

    def _in_turn(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return adjacency @ (x @ self.weight)

    def _at_once(self, adjacency: Tensor) -> Tensor:
        """Weights from channel c of node j to channel o of node i, at [j, c, i, o]."""
        return torch.einsum("ij,co->jcio", adjacency, self.weight)


class DenseSelfLayer(DenseLayer):
    """X W0 + A X W + b: every node also sees its own input.

    `DenseLayer` sees a node only through the graph, so that a strongly mixing prior must be
    unlearned. This layer is Morris et al.'s (2019), torch-geometric's GraphConv, on a small graph.

    Shapes:
        own (in_channels, out_channels) is W0; the rest is as in `DenseLayer`.
    """

    def __init__(self, in_channels: int, out_channels: int, edges: Tensor | None = None) -> None:
        super().__init__(in_channels, out_channels, edges)
        self.own = nn.Parameter(torch.empty_like(self.weight))
        bound = 1 / math.sqrt(out_channels)
        nn.init.uniform_(self.own, -bound, bound)

    def _in_turn(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return super()._in_turn(x, adjacency) + x @ self.own

    def _at_once(self, adjacency: Tensor) -> Tensor:
        itself = torch.eye(len(adjacency)).to(adjacency)
        return super()._at_once(adjacency) + torch.einsum("ij,co->jcio", itself, self.own)


def _arguments(call: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The arguments of a layer of torch-geometric: its classes have no interface other than their
    signature.
    """
    return inspect.signature(call).parameters


class PyGLayer(nn.Module):
    """Any message-passing layer of torch-geometric, by class name.

    It gets aumer's edges and, if it accepts weights (`edge_weight`, or one number per edge in
    `edge_attr`), their weights. The graph is normalized and given self-loops by `AUGraph`, so the
    layer's own normalization and self-loops are off unless `options` enable them.

    Args:
        options: further arguments of its constructor.
        edges: (R, R) bool, True at [i, j] where j sends to i.

    Raises:
        UsageError: no such layer, or these arguments do not fit it.
    """

    edge_index: Tensor

    def __init__(
        self, name: str, in_channels: int, out_channels: int, edges: Tensor, **options: Any
    ) -> None:
        super().__init__()
        layer = _pyg_layers()[name]
        known = _arguments(layer)
        ours: dict[str, Any] = {}
        if "normalize" in known and known["normalize"].default is True:
            ours["normalize"] = False  # if the default is False it means unit vectors
        ours |= {k: v for k, v in {"add_self_loops": False, "edge_dim": 1}.items() if k in known}
        try:
            self.layer = layer(in_channels, out_channels, **ours | options)
        except (TypeError, ValueError, AssertionError) as error:
            raise UsageError(
                f"torch-geometric's {name} cannot be made from in_channels={in_channels}, "
                f"out_channels={out_channels}, {options or 'no options'}: {error}. Give what it "
                'needs in layer_options, or register a "graph-layer" of your own round it.'
            ) from error
        self.register_buffer("edge_index", edges.nonzero().T.flip(0).contiguous(), persistent=False)
        taken = _arguments(self.layer.forward)
        self.weighted = next((k for k in ("edge_weight", "edge_attr") if k in taken), None)
        try:
            self._batched, self.out_channels = self._probe(in_channels, len(edges))
        except (TypeError, ValueError, RuntimeError, AssertionError, IndexError) as error:
            raise UsageError(
                f"torch-geometric's {name} cannot run on node features, edges and edge weights "
                f'alone: {error}. Register a "graph-layer" of your own round it.'
            ) from error

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        weights = adjacency[self.edge_index[1], self.edge_index[0]]
        if self._batched:
            return self._run(x, self.edge_index, weights)
        n, nodes, _ = x.shape
        at_once = max(1, _NODES_AT_ONCE // nodes)
        return (
            torch.cat([self._union(part, weights) for part in torch.split(x, at_once)])
            if n
            else (x.new_zeros(0, nodes, self.out_channels))
        )

    def _union(self, x: Tensor, weights: Tensor) -> Tensor:
        """All graphs as one disconnected graph."""
        n, nodes, channels = x.shape
        first = torch.arange(n, device=x.device).repeat_interleave(self.edge_index.shape[1]) * nodes
        y = self._run(
            x.reshape(n * nodes, channels), self.edge_index.repeat(1, n) + first, weights.repeat(n)
        )
        return y.reshape(n, nodes, -1)

    def _run(self, x: Tensor, edge_index: Tensor, weights: Tensor) -> Tensor:
        if self.weighted == "edge_weight":
            return cast(Tensor, self.layer(x, edge_index, edge_weight=weights))
        if self.weighted == "edge_attr":
            return cast(Tensor, self.layer(x, edge_index, edge_attr=weights[:, None]))
        return cast(Tensor, self.layer(x, edge_index))

    def _probe(self, in_channels: int, nodes: int) -> tuple[bool, int]:
        """Whether the layer accepts a batch of graphs of one shape, and its output channels.

        Layers that work along the next to last axis do, which is many times faster; no attribute
        says so, hence the trial.
        """
        # A separate generator, so that the caller's random numbers are unchanged.
        x = torch.rand(3, nodes, in_channels, generator=torch.Generator().manual_seed(0))
        weights = torch.ones(self.edge_index.shape[1])
        training = self.layer.training
        self.layer.eval()
        with torch.no_grad():
            apart = self._union(x, weights)
            try:
                together = self._run(x, self.edge_index, weights)
            except (TypeError, ValueError, RuntimeError, AssertionError, IndexError):
                together = torch.empty(0)
        self.layer.train(training)
        same = together.shape == apart.shape and torch.allclose(together, apart, atol=1e-5)
        return same, apart.shape[-1]


def require_layer(name: str) -> None:
    """Raise an error for an unknown graph layer.

    Raises:
        UsageError: neither a registered layer nor one of torch-geometric has this name.
    """
    known = registry.names("graph-layer")
    if name in known:
        return
    others = _pyg_layers()
    if name not in others:
        raise UsageError(
            f"no graph layer is called {name!r}; there are {', '.join(known)}, and of "
            f"torch-geometric {', '.join(others)}.{did_you_mean(name, (*known, *others))}"
        )


def graph_layer(
    name: str, in_channels: int, out_channels: int, adjacency: Adjacency, **options: Any
) -> nn.Module:
    """The graph layer of that name: a registered one (aumer's are), else torch-geometric's.

    Raises:
        UsageError: unknown name or invalid options.
        ConfigError: `adjacency` learns its edges, but the layer accepts no weights.
    """
    edges = adjacency.edges
    known = registry.names("graph-layer")
    if name in known:
        made = registry.resolve("graph-layer", name)
        try:
            return cast(nn.Module, made(in_channels, out_channels, edges, **options))
        except TypeError as error:
            raise UsageError(
                f"graph layer {name!r} with layer_options {options}: {error}"
            ) from error
    require_layer(name)
    layer = PyGLayer(name, in_channels, out_channels, edges, **options)
    if adjacency.residual is not None and layer.weighted is None:
        raise ConfigError(
            f"torch-geometric's {name} takes no edge weights, so no edge can be learned: set "
            'residual_edges = false, or choose a layer with weights such as "dense" or "GCNConv"'
        )
    return layer


def multi_scale_motion(x: Tensor, rows: Sequence[int]) -> Tensor:
    """Motion from row to row, and for each k in `rows` over the last and over the next k rows.

    So the reference of a row moves with it, and slow motion adds up: over k rows noise grows by
    sqrt(k), a steady movement by k. Sums are divided by sqrt(k), so that noise has the same size at
    all scales. Rows outside the video count as 0, like invalid rows.

    Shapes:
        x (B, T, R, 2); returns (B, T, R, 2 + 4 len(rows)).
    """
    if not rows:
        return x
    t = x.shape[1]
    # In double precision: the sum over an hour would otherwise change the last digits of every row.
    path = torch.nn.functional.pad(x.double().cumsum(1), (0, 0, 0, 0, 1, 0))  # before row 0..T
    at = torch.arange(t, device=x.device)
    channels = [x]
    for k in rows:
        past = path[:, :-1] - path[:, (at - k).clamp(min=0)]
        coming = path[:, (at + k).clamp(max=t)] - path[:, :-1]
        channels += [(past / math.sqrt(k)).to(x.dtype), (coming / math.sqrt(k)).to(x.dtype)]
    return torch.cat(channels, dim=-1)


def _pyg_layers() -> dict[str, type[nn.Module]]:
    import torch_geometric.nn as pyg  # slow import: seconds

    def is_layer(part: object) -> bool:
        return inspect.isclass(part) and issubclass(part, pyg.MessagePassing)

    return {
        name: part
        for name, part in sorted(vars(pyg.conv).items())
        if is_layer(part) and part is not pyg.MessagePassing
    }
