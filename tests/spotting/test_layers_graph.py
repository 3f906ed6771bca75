"""The graph layers against closed forms and torch-geometric; motion against sums by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aumer import registry
from aumer.errors import ConfigError, UsageError
from aumer.graph import AUGraph
from aumer.spotting.layers import (
    RESIDUAL_BOUND,
    Adjacency,
    DenseLayer,
    DenseSelfLayer,
    PyGLayer,
    graph_layer,
    multi_scale_motion,
)

OURS = {"dense": DenseLayer, "dense-self": DenseSelfLayer}

#: Layers of torch-geometric of several families, with what they need beside the two widths.
PYG: dict[str, dict[str, Any]] = {
    "GCNConv": {},
    "GraphConv": {},
    "GATConv": {},
    "GATv2Conv": {"heads": 2, "concat": False},
    "SAGEConv": {},
    "TransformerConv": {},
    "ChebConv": {"K": 2},
    "TAGConv": {"K": 2},
    "GENConv": {},
    "ResGatedGraphConv": {},
    "LEConv": {},
}


def prior(nodes: int = 5, seed: int = 0, density: float = 0.6) -> Tensor:
    """A directed graph with self-loops, and a node that no edge reaches where there are many."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 1, (nodes, nodes)) * (rng.random((nodes, nodes)) < density)
    if nodes > 2:
        weights[1] = 0
    else:
        weights += np.eye(nodes)
    graph = AUGraph.from_matrix(weights, rois=[f"roi_{i}" for i in range(nodes)])
    return torch.from_numpy(graph.normalized("l1-rows")).float()


def made(name: str, adjacency: Adjacency, width: tuple[int, int] = (3, 4)) -> nn.Module:
    torch.manual_seed(0)
    return graph_layer(name, *width, adjacency, **PYG.get(name, {})).eval()


@pytest.fixture
def scratch_layer() -> Iterator[str]:
    """A layer that a user registers, and that is forgotten afterward."""
    name = "sum-of-neighbors"

    @registry.register("graph-layer", name)
    class Sum(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, edges: Tensor) -> None:
            super().__init__()
            self.out_channels = in_channels

        def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
            return adjacency @ x

    yield name
    del registry._parts["graph-layer"][name]


# The dense layer


@pytest.mark.parametrize("nodes", [1, 2, 12, 24, 25, 68])
def test_dense_is_a_x_w_plus_b(nodes: int) -> None:
    a, x = prior(nodes), torch.randn(7, nodes, 3)
    layer = DenseLayer(3, 4)
    expected = torch.stack([a @ one @ layer.weight + layer.bias for one in x])
    torch.testing.assert_close(layer(x, a), expected)


@pytest.mark.parametrize("nodes", [1, 5, 12])
def test_dense_equals_torch_geometric(nodes: int) -> None:
    """GCNConv without normalization of its own is A X W + b on the same graph."""
    adjacency = Adjacency(prior(nodes))
    ours, theirs = made("dense", adjacency), made("GCNConv", adjacency)
    assert isinstance(ours, DenseLayer) and isinstance(theirs, PyGLayer)
    with torch.no_grad():
        ours.weight.copy_(theirs.layer.lin.weight.T)
        ours.bias.copy_(torch.randn(4))
        theirs.layer.bias.copy_(ours.bias)
    x = torch.randn(50, nodes, 3)
    torch.testing.assert_close(ours(x, adjacency()), theirs(x, adjacency()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("nodes", [1, 5, 12, 24, 25, 68])
def test_ours_equal_torch_geometrics_graph_conv(nodes: int, name: str) -> None:
    """GraphConv is W0 x + W A x + b; "dense" has no W0. At once or, of many nodes, in turn."""
    adjacency = Adjacency(prior(nodes))
    ours, theirs = made(name, adjacency), made("GraphConv", adjacency)
    assert isinstance(ours, DenseLayer) and isinstance(theirs, PyGLayer)
    with torch.no_grad():
        if isinstance(ours, DenseSelfLayer):
            ours.own.copy_(theirs.layer.lin_root.weight.T)
        else:
            theirs.layer.lin_root.weight.zero_()
        ours.weight.copy_(theirs.layer.lin_rel.weight.T)
        ours.bias.copy_(theirs.layer.lin_rel.bias)
    x = torch.randn(50, nodes, 3)
    torch.testing.assert_close(ours(x, adjacency()), theirs(x, adjacency()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer_class", OURS.values())
@pytest.mark.parametrize("nodes", [5, 30])
def test_dense_gradients(nodes: int, layer_class: type[DenseLayer]) -> None:
    layer = layer_class(2, 3).double()
    x = torch.randn(2, nodes, 2, dtype=torch.float64, requires_grad=True)
    a = prior(nodes).double().requires_grad_()
    assert torch.autograd.gradcheck(layer, (x, a))
    names, values = zip(*layer.named_parameters(), strict=True)
    assert torch.autograd.gradcheck(
        lambda *v: torch.func.functional_call(layer, dict(zip(names, v, strict=True)), (x, a)),
        values,
    )


# Every layer: what the network relies on


@pytest.mark.parametrize("name", [*OURS, *PYG])
def test_layer_sees_each_graph_by_itself(name: str) -> None:
    adjacency = Adjacency(prior())
    layer = made(name, adjacency)
    x = torch.randn(6, 5, 3)
    y = layer(x, adjacency())
    assert y.shape == (6, 5, layer.out_channels)
    for i in range(6):
        torch.testing.assert_close(layer(x[i : i + 1], adjacency())[0], y[i])
    assert layer(x[:0], adjacency()).shape == (0, 5, layer.out_channels)


@pytest.mark.parametrize("name", [*OURS, *PYG])
def test_permuting_nodes_with_the_graph_permutes_the_output(name: str) -> None:
    a, x = prior(), torch.randn(4, 5, 3)
    order = torch.tensor([3, 0, 4, 1, 2])
    one, other = Adjacency(a), Adjacency(a[order][:, order])
    y = made(name, one)(x, one())
    permuted = made(name, other)(x[:, order], other())
    torch.testing.assert_close(permuted, y[:, order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*OURS, *PYG])
def test_what_no_edge_brings_is_not_seen(name: str) -> None:
    """Node 0 has an edge with node 2 alone, so node 3 cannot change it."""
    a = torch.zeros(5, 5)
    a[0, 2], a[3, 4] = 0.7, 0.3
    adjacency = Adjacency(a + a.T)
    layer, x = made(name, adjacency), torch.randn(1, 5, 3)
    changed, reached = x.clone(), x.clone()
    changed[:, 3] += 1
    reached[:, 2] += 1
    y = layer(x, adjacency())
    torch.testing.assert_close(layer(changed, adjacency())[:, 0], y[:, 0])
    assert not torch.allclose(layer(reached, adjacency())[:, 0], y[:, 0], atol=1e-4)


@pytest.mark.parametrize("name", [*OURS, *PYG])
def test_a_single_node(name: str) -> None:
    adjacency = Adjacency(torch.ones(1, 1))
    assert made(name, adjacency)(torch.randn(3, 1, 3), adjacency()).isfinite().all()


@pytest.mark.parametrize("name", ["GATv2Conv", "GCNConv"])
def test_many_graphs_are_taken_in_parts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adjacency = Adjacency(prior())
    layer, x = made(name, adjacency), torch.randn(23, 5, 3)
    whole = layer(x, adjacency())
    monkeypatch.setattr("aumer.spotting.layers._NODES_AT_ONCE", 20)
    torch.testing.assert_close(layer(x, adjacency()), whole)


def test_those_that_take_many_graphs_at_once_are_found() -> None:
    adjacency = Adjacency(prior())
    batched = {name: made(name, adjacency)._batched for name in ("GCNConv", "GATv2Conv")}
    assert batched == {"GCNConv": True, "GATv2Conv": False}


@pytest.mark.parametrize("name", ["GCNConv", "TAGConv", "GraphConv", "GATv2Conv"])
def test_weights_reach_torch_geometrics_layer(name: str) -> None:
    adjacency = Adjacency(prior(density=1.0))
    layer, x = made(name, adjacency), torch.randn(1, 5, 3)
    other = adjacency() * torch.rand(5, 5)
    assert not torch.allclose(layer(x, adjacency()), layer(x, other), atol=1e-4)


@pytest.mark.parametrize("name", [*OURS, "GCNConv", "GATv2Conv"])
def test_making_a_layer_draws_only_its_own_weights(name: str) -> None:
    """A probe that drew random numbers would make runs with one seed differ by layer."""
    made(name, Adjacency(prior()))
    after = torch.rand(1)
    torch.manual_seed(0)
    if name in OURS:
        OURS[name](3, 4)
    else:
        import torch_geometric.nn as pyg

        ours = {"edge_dim": 1, "add_self_loops": False} if name == "GATv2Conv" else {}
        getattr(pyg, name)(3, 4, **ours, **PYG[name])
    assert torch.rand(1) == after


# By name


def test_a_registered_layer_is_found(scratch_layer: str) -> None:
    adjacency, x = Adjacency(prior()), torch.randn(2, 5, 3)
    layer = graph_layer(scratch_layer, 3, 4, adjacency)
    torch.testing.assert_close(layer(x, adjacency()), adjacency() @ x)


def test_an_unknown_layer_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"there are dense.*Did you mean 'GATv2Conv'"):
        graph_layer("GATv2conv", 3, 4, Adjacency(prior()))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("GCNConv", {"heds": 2}, "heds"),
        ("dense", {"heads": 2}, "heads"),
        ("ChebConv", {}, "'K'"),
        ("GINConv", {}, "of your own round it"),
        ("RGCNConv", {"num_relations": 2}, "of your own round it"),
    ],
)
def test_a_layer_that_cannot_be_made(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        graph_layer(name, 3, 4, Adjacency(prior()), **options)


# Learned edges


def test_learned_edges_start_at_the_prior_and_stay_near() -> None:
    a = prior()
    adjacency = Adjacency(a, residual=True)
    torch.testing.assert_close(adjacency(), a, rtol=0, atol=0)
    assert adjacency.edges.all()
    assert adjacency.residual is not None
    with torch.no_grad():
        adjacency.residual.copy_(torch.randn(5, 5) * 100)
    assert ((adjacency() - a).abs() <= RESIDUAL_BOUND + 1e-6).all()


@pytest.mark.parametrize("name", [*OURS, "GCNConv", "GATv2Conv"])
def test_every_edge_learns(name: str) -> None:
    adjacency = Adjacency(prior(), residual=True)
    y = made(name, adjacency)(torch.randn(20, 5, 3), adjacency())
    (y * torch.randn_like(y)).sum().backward()
    assert adjacency.residual is not None and adjacency.residual.grad is not None
    assert (adjacency.residual.grad != 0).all()


def test_a_fixed_graph_has_nothing_to_learn() -> None:
    adjacency = Adjacency(prior())
    assert not list(adjacency.parameters()) and not adjacency.state_dict()
    assert torch.equal(adjacency.edges, adjacency() != 0)


def test_a_layer_without_weights_cannot_learn_edges() -> None:
    with pytest.raises(ConfigError, match="residual_edges = false"):
        graph_layer("SAGEConv", 3, 4, Adjacency(prior(), residual=True))


# Motion against a moving reference


def test_motion_adds_up_over_the_last_and_the_next_rows() -> None:
    x = torch.randn(2, 9, 3, 2)
    y = multi_scale_motion(x, [1, 4])
    assert y.shape == (2, 9, 3, 10)
    torch.testing.assert_close(y[..., :2], x, rtol=0, atol=0)
    for first, k in ((2, 1), (6, 4)):
        for t in range(9):
            past, coming = x[:, max(0, t - k) : t].sum(1), x[:, t : t + k].sum(1)
            torch.testing.assert_close(y[:, t, :, first : first + 2], past / k**0.5)
            torch.testing.assert_close(y[:, t, :, first + 2 : first + 4], coming / k**0.5)


def test_noise_keeps_its_size_and_steady_motion_grows() -> None:
    noise = multi_scale_motion(torch.randn(1, 20000, 1, 2), [5, 50])[0, 100:-100]
    torch.testing.assert_close(noise.std(0), torch.ones(1, 10), rtol=0.1, atol=0)
    steady = multi_scale_motion(torch.ones(1, 200, 1, 2), [5, 50])[0, 100, 0]
    torch.testing.assert_close(steady[2::4], torch.tensor([5.0, 50.0]) ** 0.5)


def test_an_hour_is_summed_as_exactly_as_a_minute() -> None:
    x = torch.randn(1, 108_000, 1, 2) + 0.5
    whole, part = multi_scale_motion(x, [30])[:, -900:], multi_scale_motion(x[:, -1800:], [30])
    torch.testing.assert_close(whole, part[:, -900:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("rows", [[3], [1, 20]])
def test_motion_gradients(rows: list[int]) -> None:
    x = torch.randn(1, 7, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: multi_scale_motion(v, rows), x)


def test_no_scales_no_channels() -> None:
    x = torch.randn(1, 4, 2, 2)
    assert multi_scale_motion(x, []) is x
