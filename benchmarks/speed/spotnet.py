"""The spotting network: an hour of features, and our graph layer against torch-geometric's.

    python -m benchmarks.speed.spotnet [--save]

Rows to be compared are measured in turn in one process, so that whatever else the machine does
falls on all alike; figures are the least and the median time over the repeats.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from aumer.graph import AUGraph
from aumer.spotting.layers import Adjacency, DenseLayer, DenseSelfLayer, PyGLayer, graph_layer
from aumer.spotting.net import parameter_count
from aumer.spotting.spotnet import RowNorm, SpotNet
from aumer.strict import presets
from aumer.types import Features
from benchmarks.report import Report, options

RATE, HOUR = 30.0, 108_000
#: Rows of a training step of the published code: 128 segments of 270.
SEGMENTS, SEGMENT = 128, 270
REPEATS = 5


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--threads", type=int, default=2, help="cores to use (default 2)")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    report = Report("SpotNet: an hour of features; graph layers side by side")
    report.line(
        f"{asked.threads} threads, load of the machine before {os.getloadavg()[0]:.1f}; "
        f"least (median) of {REPEATS} in seconds"
    )
    hour(report)
    training(report)
    layers(report)
    if asked.save:
        report.save("spotnet.txt")


def in_turn(works: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of each work, one after the other, over and over; the first round warms up."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(REPEATS + 1):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            found[name].append(time.perf_counter() - begin)
    return {name: times[1:] for name, times in found.items()}


def told(times: list[float]) -> str:
    return f"{min(times):7.3f} ({statistics.median(times):6.3f})"


def hour(report: Report) -> None:
    nets = {name: SpotNet.from_preset(name).eval() for name in presets("spotnet")}
    rng = np.random.default_rng(0)
    rois = next(iter(nets.values())).graph.rois
    values = rng.normal(0, 0.05, (HOUR, len(rois), 2)).astype(np.float32)
    valid = np.ones(HOUR, dtype=bool)
    valid[5000:5400] = False
    values[~valid] = np.nan
    order = np.arange(HOUR)
    features = Features(values, order / RATE, order, valid, rois, RATE)
    works: dict[str, Callable[[], object]] = {}
    for name, net in nets.items():
        net.set_input_statistics((0, 0), (8e-4, 8e-4))
        for part in net.modules():  # a residual layer starts as the identity: none is trained so
            if isinstance(part, RowNorm):
                torch.nn.init.uniform_(part.weight, 0.2, 1.0)
        works[f"{name}, chunks"] = partial(net.scores, features)
        works[f"{name}, whole"] = partial(net.scores, features, chunk_s=None)
    times = in_turn(works)
    report.line()
    report.line("One hour of features (108,000 rows, 12 ROIs) to scores, all included")
    report.line(
        f"  {'preset':10}{'parameters':>11}{'reach':>7}  {'in chunks of 120 s':20}"
        f"{'as a whole':18}largest difference"
    )
    for name, net in nets.items():
        whole, chunks = net.scores(features, chunk_s=None).values, net.scores(features).values
        report.line(
            f"  {name:10}{parameter_count(net):11,}{net.half_width / RATE:5.1f} s  "
            f"{told(times[f'{name}, chunks']):20}{told(times[f'{name}, whole']):18}"
            f"{np.nanmax(np.abs(whole - chunks)):.1e}"
        )


def training(report: Report) -> None:
    x = torch.randn(SEGMENTS, SEGMENT, 12, 2)
    valid = torch.rand(SEGMENTS, SEGMENT) > 0.02
    nets = {name: SpotNet.from_preset(name).train() for name in presets("spotnet")}

    def step(net: SpotNet, valid: Tensor | None) -> Callable[[], object]:
        def work() -> None:
            net.zero_grad()
            net(x, valid).square().mean().backward()

        return work

    works = {
        f"{name}, {'gaps' if mask is not None else 'all valid'}": step(net, mask)
        for name, net in nets.items()
        for mask in (None, valid)
    }
    times = in_turn(works)
    report.line()
    report.line(f"Forward and backward over {SEGMENTS} segments of {SEGMENT} rows")
    for name in works:
        report.line(f"  {name:24}{told(times[name])}")


def layers(report: Report) -> None:
    graph = AUGraph.load("casme-sq-published")
    prior = torch.from_numpy(graph.normalized("l1-rows")).float()
    for channels in (2, 18):
        x = torch.randn(SEGMENTS * SEGMENT, 12, channels)
        adjacency = Adjacency(prior)
        made = {
            name: graph_layer(name, channels, 16, adjacency)
            for name in ("dense", "GCNConv", "dense-self", "GraphConv", "GATv2Conv")
        }
        dense, gcn = made["dense"], made["GCNConv"]
        itself, conv = made["dense-self"], made["GraphConv"]
        assert isinstance(dense, DenseLayer) and isinstance(itself, DenseSelfLayer)
        assert isinstance(gcn, PyGLayer) and isinstance(conv, PyGLayer)
        with torch.no_grad():
            dense.weight.copy_(gcn.layer.lin.weight.T)
            dense.bias.copy_(gcn.layer.bias)
            itself.own.copy_(conv.layer.lin_root.weight.T)
            itself.weight.copy_(conv.layer.lin_rel.weight.T)
            itself.bias.copy_(conv.layer.lin_rel.bias)
            difference = max(
                float((ours(x, prior) - theirs(x, prior)).abs().max())
                for ours, theirs in ((dense, gcn), (itself, conv))
            )

        def forward(layer: torch.nn.Module, x: Tensor = x) -> Callable[[], object]:
            def work() -> None:
                with torch.no_grad():
                    layer(x, prior)

            return work

        def both(layer: torch.nn.Module, x: Tensor = x) -> Callable[[], object]:
            return lambda: layer(x, prior).sum().backward()

        infer = in_turn({name: forward(layer) for name, layer in made.items()})
        train = in_turn({name: both(layer) for name, layer in made.items()})
        report.line()
        report.line(
            f"Graph layer {channels} -> 16 over {len(x):,} graphs of 12 ROIs "
            f"({int((prior != 0).sum())} edges); dense differs from GCNConv, and dense-self from "
            f"GraphConv, by at most {difference:.1e}"
        )
        report.line(
            f"  {'layer':12}{'forward':18}{'x dense':>8}   {'and backward':18}{'x dense':>8}"
        )
        for name in made:
            report.line(
                f"  {name:12}{told(infer[name]):18}{min(infer[name]) / min(infer['dense']):8.1f}   "
                f"{told(train[name]):18}{min(train[name]) / min(train['dense']):8.1f}"
            )


if __name__ == "__main__":
    main()
