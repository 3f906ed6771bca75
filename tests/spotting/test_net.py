"""The spotting network: the published one by its golden values, and what holds for every one."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import torch as safetensors
from torch import Tensor

from aumer.errors import ConfigError, UsageError, WeightsError
from aumer.graph import AUGraph
from aumer.graph.rois import DEFAULT_ROIS
from aumer.spotting.auwgcn.checkpoint import load_checkpoint
from aumer.spotting.channels import CHANNELS, column
from aumer.spotting.net import SpottingNetwork, parameter_count
from aumer.spotting.net_config import NetConfig
from aumer.spotting.spotnet import RowNorm, SpotNet, TemporalLayer
from aumer.strict import presets
from aumer.types import Features, FloatArray

ROIS = DEFAULT_ROIS.names
GRAPH = AUGraph.from_edges(
    {
        ("brow_r_mid", "brow_l_mid"): 2.0,
        ("mouth_r", "mouth_l"): 3.0,
        ("mouth_r", "lip_lower"): 1.0,
        ("brow_r_mid_inner", "mouth_l"): 0.5,
        ("nose_tip", "nose_tip"): 1.0,
    }
)
PUBLISHED, OURS = NetConfig.preset("published"), NetConfig.preset("aumer")
#: Everything switched on, and small.
SMALL = replace(
    OURS,
    graph_width=3,
    motion_scales_s=(0.1, 0.2),
    widths=(8, 6, 6),
    kernels=(1, 3, 5),
    dilations=(1, 1, 2),
)
CONFIGS = {
    "published": PUBLISHED,
    "aumer": OURS,
    "small": SMALL,
    "no graph": replace(SMALL, layer="none", residual_edges=False),
    "GATv2": replace(SMALL, layer="GATv2Conv", layer_options={"heads": 2}),
    "GCN": replace(SMALL, layer="GCNConv", normalization="symmetric"),
    "plain": replace(SMALL, motion_scales_s=(), apex_branch=False, residual=False),
}
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)

SharedData = Callable[[str], Path]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """What is tested is so small that threads wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def net(config: NetConfig, graph: AUGraph = GRAPH, seed: int = 0) -> SpotNet:
    """A network in eval mode whose every number is other than where training starts."""
    torch.manual_seed(seed)
    made = SpotNet(config, graph)
    with torch.no_grad():
        for name, value in made.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif name.endswith("weight") and value.ndim > 1:
                value.mul_(1 + 0.2 * torch.randn_like(value))
            elif value.is_floating_point() and not name.startswith("input"):
                value.add_(0.2 * torch.randn_like(value))
    return made.eval()


def rows(t: int, nodes: int = 12, batch: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(batch, t, nodes, 2, generator=torch.Generator().manual_seed(seed))


def features(
    t: int, lost: slice = slice(0, 0), rois: tuple[str, ...] = ROIS, rate: float = 30.0
) -> Features:
    """Random motion in px, without a face in the rows `lost`."""
    values = np.random.default_rng(0).normal(0, 64, (t, len(rois), 2)).astype(np.float32)
    valid = np.ones(t, bool)
    valid[lost] = False
    values[~valid] = np.nan
    return Features(values, np.arange(t) / rate, np.arange(t), valid, rois, rate)


@pytest.fixture
def checkpoint(shared_data: SharedData, tmp_path: Path) -> tuple[Path, dict[str, Tensor]]:
    """The golden state as a file such as AUW-GCN writes, and the golden values."""
    with np.load(shared_data("golden/auwgcn.npz")) as file:
        golden = {name: torch.from_numpy(file[name]) for name in file if "/video" not in name
                  and not name.startswith("decode")}  # fmt: skip
    state = {k.removeprefix("state/"): v for k, v in golden.items() if k.startswith("state/")}
    path = tmp_path / "checkpoint_epoch_047.pth.tar"
    torch.save({"epoch": 47, "state_dict": state}, path)
    return path, golden


# The published network


def test_the_published_network_gives_the_golden_scores(
    checkpoint: tuple[Path, dict[str, Tensor]],
) -> None:
    path, golden = checkpoint
    loaded = load_checkpoint(path)
    assert not loaded.training
    assert parameter_count(loaded) == 39_248
    assert loaded.half_width == 5
    mean, std = torch.tensor([0.003463, 0.003873]), torch.tensor([0.548588, 0.645621])
    with torch.no_grad():
        # The golden inputs are normalized already; a loaded checkpoint takes what the files hold.
        scores = loaded(golden["forward/x"] * std + mean)
    torch.testing.assert_close(scores.transpose(1, 2), golden["forward/scores"], rtol=0, atol=2e-6)


def test_the_published_preset_is_the_published_network(
    checkpoint: tuple[Path, dict[str, Tensor]],
) -> None:
    _, golden = checkpoint
    made = SpotNet(PUBLISHED, GRAPH)
    assert parameter_count(made) == 39_248
    parameters = {tuple(p.shape) for p in made.parameters()}
    published = {tuple(v.shape) for k, v in golden.items() if k.startswith("state/")}
    assert parameters <= published


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: s.pop("_classification.weight"), "missing: head.weight"),
        (lambda s: s.pop("graph_embedding.0.gc1.adj"), "gc1.adj"),
        (lambda s: s.update({"fc.weight": torch.zeros(2)}), "unexpected: fc.weight"),
        (lambda s: s.update({"_sequential.3.weight": torch.zeros(64, 64, 5)}), r"\(64, 64, 5\)"),
        (lambda s: s.update({"graph_embedding.0.gc1.adj": -torch.ones(12, 12)}), "gc1.adj.*-1"),
        (lambda s: s.update({"graph_embedding.0.gc1.adj": torch.ones(9, 9)}), "gc1.adj.*9"),
    ],
)
def test_other_checkpoints_are_refused(
    checkpoint: tuple[Path, dict[str, Tensor]], spoil: Callable[[dict[str, Any]], Any], said: str
) -> None:
    path, _ = checkpoint
    content = torch.load(path, weights_only=True)
    spoil(content["state_dict"])
    torch.save(content, path)
    with pytest.raises(WeightsError, match=said):
        load_checkpoint(path)


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth.tar"
    path.write_bytes(pickle.dumps({"state_dict": _Evil(tmp_path / "was here")}))
    with pytest.raises(WeightsError, match="evil"):
        load_checkpoint(path)
    with pytest.raises(WeightsError, match="auwgcn"):
        SpotNet.load(path)
    assert not (tmp_path / "was here").exists()


class _Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nothing\.pth"):
        load_checkpoint(tmp_path / "nothing.pth")


# What a row's scores depend on


@each_config
def test_half_width_is_exact(config: NetConfig) -> None:
    made = net(config).double()
    reach = made.half_width
    x = rows(2 * reach + 30).double().requires_grad_()
    logits = made(x)[0]
    seen = []
    for t in range(reach, reach + 30):  # a ReLU may hide the farthest row from some
        (gradient,) = torch.autograd.grad(logits[t].sum(), x, retain_graph=True)
        size = gradient[0].abs().sum((1, 2))
        # Differences of sums leave rounding errors.
        seen.append((size > 1e-13 * size.max()).nonzero()[:, 0] - t)
    assert min(int(s[0]) for s in seen) == -reach
    assert max(int(s[-1]) for s in seen) <= reach


@each_config
@pytest.mark.parametrize("chunk_s", [1.0, 7.77, 60.0])
def test_chunks_equal_the_whole(config: NetConfig, chunk_s: float) -> None:
    made, video = net(config), features(300, lost=slice(100, 130))
    whole = made.scores(video, chunk_s=None)
    np.testing.assert_allclose(
        made.scores(video, chunk_s=chunk_s).values, whole.values, rtol=0, atol=1e-6
    )


@each_config
def test_scores_do_not_depend_on_the_batch(config: NetConfig) -> None:
    """Nor on how far a shorter video is padded."""
    made, x = net(config), rows(90, batch=3)
    valid = torch.ones(3, 90, dtype=torch.bool)
    valid[1, 40:] = False
    valid[2, 10:20] = False
    x[~valid] = torch.nan
    with torch.no_grad():
        together = made(x, valid)
        for i, t in ((0, 90), (1, 40), (2, 90)):
            alone = made(x[i : i + 1, :t], valid[i : i + 1, :t])
            kept = valid[i, :t]
            torch.testing.assert_close(together[i, :t][kept], alone[0][kept], rtol=0, atol=1e-5)


@each_config
@pytest.mark.parametrize("training", [False, True])
def test_nothing_leaks_from_invalid_rows(config: NetConfig, training: bool) -> None:
    x, valid = rows(60, batch=2), torch.ones(2, 60, dtype=torch.bool)
    valid[0, 20:31] = False
    found = []
    for content in (torch.nan, torch.inf, 1e6):
        made = net(replace(config, dropout=0.0)).train(training)
        logits = made(torch.where(valid[..., None, None], x, content), valid)
        logits[valid].sum().backward()
        gradients = [p.grad for p in made.parameters() if p.grad is not None]
        found.append([logits[valid], *gradients, *(b for _, b in made.named_buffers())])
    assert all(part.isfinite().all() for part in found[0])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_gap_parts_a_video_in_two() -> None:
    """Where no motion is summed, either side scores as if the video ended there."""
    made, x = net(replace(SMALL, motion_scales_s=())), rows(70)
    valid = torch.ones(1, 70, dtype=torch.bool)
    valid[:, 30:40] = False
    with torch.no_grad():
        scores = made(x, valid)
        torch.testing.assert_close(scores[:, :30], made(x[:, :30]), rtol=0, atol=1e-5)
        torch.testing.assert_close(scores[:, 40:], made(x[:, 40:]), rtol=0, atol=1e-5)


@each_config
@pytest.mark.parametrize("t", [1, 2, 7])
@pytest.mark.parametrize("training", [False, True])
def test_short_videos(config: NetConfig, t: int, training: bool) -> None:
    made = net(config).train(training)
    valid = torch.ones(2, t, dtype=torch.bool)
    assert made(rows(t, batch=2), valid).isfinite().all()
    valid[0] = False
    assert made(rows(t, batch=2), valid).isfinite().all()


@each_config
def test_a_video_without_a_face(config: NetConfig) -> None:
    scores = net(config).scores(features(40, lost=slice(None)))
    assert np.isnan(scores.values).all() and not scores.valid.any()
    trained = net(config).train()
    before = [b.clone() for _, b in trained.named_buffers()]
    assert trained(rows(9), torch.zeros(1, 9, dtype=torch.bool)).isfinite().all()
    for a, (name, b) in zip(before, trained.named_buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_a_video_of_no_rows() -> None:
    assert net(SMALL).scores(features(0)).values.shape == (0, 10)


# Graph and ROIs


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(12)), name=st.sampled_from(["small", "GCN", "GATv2"]))
def test_permuting_rois_with_the_graph_permutes_nothing_else(order: list[int], name: str) -> None:
    made = net(CONFIGS[name])
    permuted_graph = AUGraph.from_matrix(
        GRAPH.weights[np.ix_(order, order)], rois=[ROIS[i] for i in order]
    )
    other = SpotNet(CONFIGS[name], permuted_graph).eval()
    state = made.state_dict()
    state["adjacency.residual"] = state["adjacency.residual"][order][:, order]
    first = state["temporal.0.conv.weight"]  # (8, 12 * channels, 1): its input is the ROIs in order
    state["temporal.0.conv.weight"] = first.unflatten(1, (12, -1))[:, order].reshape(first.shape)
    other.load_state_dict(state)
    x = rows(30)
    with torch.no_grad():
        torch.testing.assert_close(other(x[:, :, order]), made(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["published", "aumer", "GCN", "GATv2"])
def test_another_graph_changes_the_scores(name: str) -> None:
    made = net(CONFIGS[name])
    other = SpotNet(CONFIGS[name], AUGraph.identity()).eval()
    other.load_state_dict(made.state_dict())
    video = features(50)
    difference = np.abs(made.scores(video).values - other.scores(video).values)
    assert difference.max() > 1e-3


def test_without_a_graph_none_is_seen() -> None:
    made = net(CONFIGS["no graph"])
    other = SpotNet(CONFIGS["no graph"], AUGraph.identity()).eval()
    other.load_state_dict(made.state_dict())
    torch.testing.assert_close(made(rows(20)), other(rows(20)), rtol=0, atol=0)


@each_config
@pytest.mark.parametrize("nodes", [1, 3, 30])
def test_other_rois(config: NetConfig, nodes: int) -> None:
    names = tuple(f"roi_{i}" for i in range(nodes))
    made = net(config, AUGraph.identity(names))
    scores = made.scores(features(40, rois=names))
    assert scores.values.shape == (40, 10) and np.isfinite(scores.values).all()


def test_learned_edges_start_at_the_prior() -> None:
    torch.manual_seed(0)
    learned = SpotNet(SMALL, GRAPH).eval()
    fixed = SpotNet(replace(SMALL, residual_edges=False), GRAPH).eval()
    fixed.load_state_dict(
        {k: v for k, v in learned.state_dict().items() if k != "adjacency.residual"}
    )
    torch.testing.assert_close(learned(rows(20)), fixed(rows(20)), rtol=0, atol=0)
    assert parameter_count(learned) - parameter_count(fixed) == 144


# Parts


def test_row_norm_sees_valid_rows_alone() -> None:
    x, valid = torch.randn(3, 20, 4, 5), torch.rand(3, 20) > 0.4
    ours, plain = RowNorm(5), torch.nn.BatchNorm1d(5)
    y = ours(x, valid)
    torch.testing.assert_close(y[valid], plain(x[valid].reshape(-1, 5)).reshape(-1, 4, 5))
    assert not y[~valid].any()
    for (name, a), b in zip(ours.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_residual_layers_start_as_the_identity() -> None:
    layer = TemporalLayer(4, 4, 3, 2, residual=True)
    x = torch.rand(2, 10, 4)
    torch.testing.assert_close(layer(x), x)
    layer(x).sum().backward()
    assert layer.norm.weight.grad is not None and layer.norm.weight.grad.any()  # and can leave it


def test_the_apex_branch_is_a_branch() -> None:
    made, x = net(SMALL), rows(40)
    before = made(x)
    with torch.no_grad():
        made.apex_head.weight.add_(1)
    changed = (made(x) - before).abs().amax((0, 1)) > 1e-3
    assert [CHANNELS[i] for i in changed.nonzero()[:, 0]] == ["micro_apex", "macro_apex"]
    one = net(replace(SMALL, apex_branch=False))
    assert not [n for n, _ in one.named_parameters() if "apex" in n]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["small", "no graph", "GCN", "plain"])
def test_gradients(name: str, training: bool) -> None:
    made = net(replace(CONFIGS[name], dropout=0.0), AUGraph.identity(("a", "b")))
    made = made.double().train(training)
    valid = torch.tensor([[True] * 6, [True, True, False, False, True, True]])
    x = rows(6, nodes=2, batch=2).double().requires_grad_()
    # A small step stays clear of the kinks of ReLU.
    assert torch.autograd.gradcheck(
        lambda v: made(v, valid)[valid], x, eps=1e-7, atol=1e-4, fast_mode=True
    )


# Features in, scores out


def test_scores_of_a_video() -> None:
    video = features(50, lost=slice(10, 20))
    made = net(SMALL).train()
    scores = made.scores(video)
    assert made.training  # as it was
    assert scores.channels == CHANNELS
    np.testing.assert_array_equal(scores.valid, video.valid)
    np.testing.assert_array_equal(scores.times, video.times)
    assert np.isnan(scores.values[10:20]).all()
    kept = scores.values[video.valid]
    assert ((kept >= 0) & (kept <= 1)).all()
    for kind in ("micro", "macro"):
        parts = [column(kind, track) for track in ("onset", "offset", "neither")]
        np.testing.assert_allclose(kept[:, parts].sum(1), 1, rtol=1e-6)


def test_what_the_network_reads_is_in_eye_distances() -> None:
    video = features(30, lost=slice(4, 6))
    x = SMALL.inputs(video)
    assert x.dtype == np.float32 and not x[4:6].any()
    np.testing.assert_allclose(x[:4], video.values[:4] / 64, rtol=1e-6)


def test_video_scaling_takes_the_amplitude_away() -> None:
    scaled = replace(SMALL, video_scaling=True)
    video = features(30, lost=slice(4, 6))
    louder = replace(video, values=video.values * 8)
    np.testing.assert_allclose(scaled.inputs(louder), scaled.inputs(video), rtol=1e-5)
    assert np.median(np.abs(scaled.inputs(video)[video.valid])) == pytest.approx(1)
    still = replace(video, values=np.zeros_like(video.values), valid=np.ones(30, bool))
    assert not scaled.inputs(still).any()


def signed(t: int = 90, lost: slice = slice(0, 0)) -> Features:
    """With a blink of the right eye at rows 10 to 12, and a steady turn to the right."""
    given = features(t, lost)
    lids, head = np.full((t, 2), 0.08, np.float32), np.zeros((t, 3), np.float32)
    lids[10:13, 0] = 0.04
    head[:, 0] = 0.01 * np.arange(t)
    lids[lost], head[lost] = np.nan, np.nan
    return replace(given, eyelids=lids, head=head)


def test_signs_are_read_beside_the_rois() -> None:
    config = replace(SMALL, signs=True)
    x = config.inputs(signed())
    assert x.shape == (90, 16, 2)
    np.testing.assert_array_equal(x[:, :12], SMALL.inputs(signed()))
    right, left, turn, roll = np.moveaxis(x[:, 12:], 1, 0)
    assert np.flatnonzero(right[:, 1]).tolist() == [9, 12]
    assert right[9, 1] == pytest.approx(-0.04, abs=1e-6) and not right[:, 0].any()
    assert not left.any() and not roll.any()
    assert turn[:-1, 0] == pytest.approx(np.full(89, 0.01), abs=1e-6) and not turn[:, 1].any()
    assert turn[-1, 0] == 0  # nothing comes after it
    # Files of before they were measured are read as faces of which nothing is known.
    assert not config.inputs(features(90))[:, 12:].any()


def test_signs_change_scores_and_leak_from_nowhere() -> None:
    made = net(replace(SMALL, signs=True))
    seen, unseen = made.scores(signed()), made.scores(features(90))
    assert np.abs(seen.values - unseen.values).max() > 1e-4
    lost = made.scores(signed(lost=slice(40, 50)))
    assert np.isnan(lost.values[40:50]).all() and np.isfinite(lost.values[50:]).all()
    apart = made.scores(signed(), chunk_s=0.7)
    np.testing.assert_allclose(apart.values, seen.values, atol=1e-6)


def test_a_configuration_of_before_signs_reads_none() -> None:
    values = SMALL.to_dict()
    del values["signs"]
    assert NetConfig.from_dict(values) == SMALL


@dataclass(frozen=True)
class ConfigWithDoubt(NetConfig):
    """Reads beside the rest how badly the mouth was measured."""

    @property
    def extra_nodes(self) -> tuple[str, ...]:
        return (*super().extra_nodes, "doubt")

    def inputs(self, features: Features) -> FloatArray:
        doubt = np.zeros((len(features), 1, 2), np.float32)
        doubt[:, 0, 1] = np.where(features.valid, 1 - features.confidence[:, -1], 0)
        return np.concatenate([super().inputs(features), doubt], axis=1)


@pytest.mark.parametrize("signs", [False, True])
def test_a_configuration_may_read_more_nodes(signs: bool) -> None:
    config = ConfigWithDoubt(**vars(replace(SMALL, signs=signs)))
    made, video = net(config), signed()
    doubted = replace(video, confidence=video.confidence * np.float32(0.6))
    assert config.inputs(video).shape == (90, 17 if signs else 13, 2)
    seen, again = made.scores(doubted), made.scores(video)
    assert np.abs(seen.values - again.values).max() > 1e-4


def test_input_statistics_normalize() -> None:
    made, x = net(PUBLISHED), rows(30)
    before = made(x)
    made.set_input_statistics([0.5, -1.0], [2.0, 0.1])
    after = made(x * torch.tensor([2.0, 0.1]) + torch.tensor([0.5, -1.0]))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("mean", "std"), [([0], [1]), ([0, 0], [1, 0]), ([0, np.nan], [1, 1]), ([0, 0], [1, -1])]
)
def test_wrong_input_statistics(mean: list[float], std: list[float]) -> None:
    with pytest.raises(UsageError, match="deviation > 0"):
        net(SMALL).set_input_statistics(mean, std)


@pytest.mark.parametrize(
    ("wrong", "chunk_s", "said"),
    [
        ({"rois": ("a", "b")}, None, "2 ROIs a, b.*12 ROIs brow_r_mid_outer"),
        ({"rois": ROIS[::-1]}, None, "in this order"),
        ({"rate": 200.0}, None, "200 rows per second.*motion.rate=30"),
        ({}, 0.0, "chunk_s"),
        ({}, -1.0, "chunk_s"),
    ],
)
def test_features_that_do_not_fit(wrong: Any, chunk_s: float | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        net(SMALL).scores(features(20, **wrong), chunk_s=chunk_s)


# Files


@each_config
def test_saved_and_loaded(config: NetConfig, tmp_path: Path) -> None:
    made = net(config)
    made.set_input_statistics([0.1, 0.2], [0.3, 0.4])
    path = tmp_path / "net.safetensors"
    card = {"licence": "Apache-2.0", "made": {"command": "aumer train", "seed": 3}}
    made.save(path, card)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # torch-geometric's own, from Python 3.13 on.
        warnings.filterwarnings("default", category=DeprecationWarning, module="torch_geometric")
        loaded = SpotNet.load(path)
    assert loaded.config == config and loaded.card == card and not loaded.training
    assert loaded.graph.digest == GRAPH.digest and loaded.graph.rois == ROIS
    np.testing.assert_array_equal(
        loaded.scores(features(40)).values, made.scores(features(40)).values
    )


def test_another_graph_warns_and_says_how_to_retrain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "net.safetensors"
    net(SMALL).save(path, {})
    other = AUGraph.identity()
    loaded = SpotNet.load(path, other)
    assert re.search("trained with the graph 'mine'.*'identity'.*aumer train", caplog.text)
    assert loaded.graph is other
    caplog.clear()
    same = AUGraph.from_matrix(GRAPH.weights, name="same weights by another name")
    assert SpotNet.load(path, same).graph is same
    assert not caplog.records


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (AUGraph.identity(("a", "b")), "12 ROIs.*'identity' has 2.*aumer train"),
        (AUGraph.identity(ROIS[::-1]), "Order them alike"),
    ],
)
def test_other_rois_than_the_weights(graph: AUGraph, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    net(SMALL).save(path, {})
    with pytest.raises(WeightsError, match=said):
        SpotNet.load(path, graph)


def test_saving_overwrites_nothing_unasked(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        net(SMALL).save(path, {})
    assert path.read_text() == "mine"
    net(SMALL).save(path, {}, overwrite=True)
    assert SpotNet.load(path).config == SMALL


@pytest.mark.parametrize("card", [{"made": object()}, {"f1": float("nan")}])
def test_a_card_holds_plain_values(card: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="plain values"):
        net(SMALL).save(tmp_path / "net.safetensors", card)
    assert not list(tmp_path.iterdir())


def _rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Tensor]], Any]) -> None:
    import json

    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["aumer"])
    state = safetensors.load_file(path)
    change(about, state)
    safetensors.save_file(state, path, {"aumer": json.dumps(about)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a, s: s.pop("head.weight"), "missing: head.weight"),
        (lambda a, s: s.update(x=torch.zeros(1)), "unexpected: x"),
        (lambda a, s: s.update({"head.weight": torch.zeros(8, 6, 1)}), r"\(8, 6, 1\)"),
        (lambda a, s: a.update(format="aumer-spotnet-99"), "version"),
        (lambda a, s: a["config"].update(widht=3), "widht"),
        (lambda a, s: a["config"].update(layer="NoSuchConv"), "NoSuchConv"),
        (lambda a, s: a["graph"].update(weights=[[1.0]]), "12 ROIs"),
        (lambda a, s: a.pop("graph"), "graph"),
        (lambda a, s: a.update(channels=["onset"]), "onset"),
    ],
)
def test_files_that_do_not_fit(
    change: Callable[[dict[str, Any], dict[str, Tensor]], Any], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.safetensors"
    net(SMALL).save(path, {})
    _rewrite(path, change)
    with pytest.raises(WeightsError, match=said):
        SpotNet.load(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(WeightsError, match=r"no weights at .*net\.safetensors"):
        SpotNet.load(path)
    safetensors.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="without the card"):
        SpotNet.load(path)
    net(SMALL).save(path, {}, overwrite=True)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="cannot read"):
        SpotNet.load(path)


# Configuration


@pytest.mark.parametrize("name", presets("spotnet"))
def test_a_preset_brings_its_graph(name: str) -> None:
    made = SpottingNetwork.from_preset(name)
    assert made.graph.digest == AUGraph.load(made.config.graph).digest
    assert made.graph.rois == ROIS


def test_configurations_travel_as_plain_values() -> None:
    for config in CONFIGS.values():
        assert NetConfig.from_dict(config.to_dict()) == config


def test_presets_are_found() -> None:
    assert {"published", "aumer"} <= set(presets("spotnet"))
    changed = NetConfig.preset("aumer", {"dropout": 0.5, "widths": [64] * 8})
    assert changed == replace(OURS, dropout=0.5, widths=(64,) * 8)


def test_a_preset_of_ones_own(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "configs" / "spotnet" / "published.toml"
    path = tmp_path / "mine.toml"
    path.write_text(shipped.read_text().replace("graph_width = 16", "graph_width = 8"))
    assert NetConfig.preset(path) == replace(PUBLISHED, graph_width=8)
    assert SpotNet.from_preset(path, GRAPH).config.graph_width == 8


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"widht": [1], "layr": "dense"}, "widht.*'widths'.*layr.*'layer'"),
        ({"graph_width": 1.5, "residual": 1}, "graph_width must be a whole.*residual must be true"),
        ({"widths": [64, "a", 64]}, "widths must be a list, each a whole number"),
        ({"kernels": [1, 3]}, "kernels must be as many numbers as widths, 3"),
        ({"kernels": [1, 3, 4]}, "kernels must be odd"),
        ({"head_kernel": 2}, "head_kernel must be odd"),
        ({"dilations": [1, 0, 1]}, "dilations must be from 1"),
        ({"widths": [], "kernels": [], "dilations": []}, "widths must be at least one"),
        ({"normalization": "l2"}, "one of l1-rows, symmetric, none"),
        ({"motion_scales_s": [0.0]}, "motion_scales_s"),
        ({"dropout": 1.0}, "dropout"),
        ({"rate": 0}, "rate"),
        ({"layer": "none", "residual_edges": True}, "no edge to correct"),
    ],
)
def test_wrong_settings(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        NetConfig.preset("published", changes)


def test_missing_settings_are_named() -> None:
    values = PUBLISHED.to_dict()
    del values["rate"], values["dropout"]
    with pytest.raises(ConfigError, match=r"missing rate\..*missing dropout"):
        NetConfig.from_dict(values)


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'publisht'.*Did you mean 'published'"):
        NetConfig.preset("publisht")


def test_configurations_need_no_torch() -> None:
    code = (
        "import sys; from aumer.spotting.net_config import NetConfig; NetConfig.preset('aumer');"
        "assert not {'torch', 'cv2', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_that_moved_say_where_to(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match=r"SpotNet is no more: see aumer\.spotting\.spotnet"):
        from aumer.spotting.net import SpotNet as _  # noqa: F401
    with pytest.raises(UsageError, match="load_checkpoint"):
        SpotNet.load_published(tmp_path / "checkpoint_epoch_047.pth.tar")
