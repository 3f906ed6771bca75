"""Recognizers that compare a flow map with stored ones, as networks for `aumer.export`.

Each module computes what its recognizer's ``predict_proba`` does, from the flow map on, in 32 bits;
where a map is read by cells or squares, that is one matrix of pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aumer.learning.portable import Portable
from aumer.recognition.interface import INPUT_SHAPE, Floats, Recognizer
from aumer.types import FloatArray

_PIXELS = INPUT_SHAPE[0] * INPUT_SHAPE[1]


def dots() -> FloatArray:
    """(784, 28, 28, 3): maps of which each is 1 in one pixel; what is read of them, linearly, are
    the weights of the pixels.
    """
    maps = np.zeros((_PIXELS, *INPUT_SHAPE), np.float32)
    maps.reshape(_PIXELS, _PIXELS, -1)[np.arange(_PIXELS), np.arange(_PIXELS)] = 1
    return maps


def portable(recognizer: Recognizer, net: nn.Module, **about: Any) -> Portable:
    """A recognizer's network, reading flow maps by the name "map"."""
    (inputs,) = examples(1)
    return Portable(
        net.eval(),
        {"map": inputs["map"][:2]},
        {"map": {0: "batch"}},
        "probabilities",
        {
            "holds": f"aumer recognizer {recognizer.name}",
            "map": "flow map from onset to apex (u, v, strain), 28 x 28, in px or any other unit",
            "columns": list(recognizer.classes),
            **about,
        },
    )


def examples(subjects: int) -> list[dict[str, Tensor]]:
    """See `aumer.recognition.interface.Recognizer`."""
    # Imported here: flow needs compiled code, and kernels do not.
    from aumer.recognition.sequences.maps import flow_maps_of
    from aumer.recognition.sequences.simulated import Simulation, simulated_clips

    drawn = (simulated_clips(Simulation(1, 1), seed=seed) for seed in range(subjects))
    return [{"map": torch.from_numpy(flow_maps_of(one, "farneback").inputs)} for one in drawn]


def centered(maps: Tensor) -> Tensor:
    """`aumer.recognition.features.centered`.

    Shapes:
        maps (N, 28, 28, 3); returns (N, 784, 3).
    """
    x = maps.flatten(1, 2)
    low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)
    span = high - low
    x = torch.where(span > 0, (x - low) / torch.where(span > 0, span, 1), 0)
    middle = x.sort(1).values[:, _PIXELS // 2 - 1 : _PIXELS // 2 + 1]
    return x - middle.mean(1, keepdim=True)


def _buffer(module: nn.Module, name: str, values: Any) -> None:
    module.register_buffer(name, torch.tensor(np.asarray(values), dtype=torch.float32))


@dataclass(frozen=True)
class Scale:
    """What members of one scale share.

    Shapes:
        pixels (784, cells); shares (R, cells), each ROI's summing to 1 or 0; mean, deviation
        (cells, K); rows (M, cells, K).
    """

    pixels: Floats
    shares: Floats
    mean: Floats
    deviation: Floats
    rows: Floats


@dataclass(frozen=True)
class Head:
    """A structure's kernel and its weights.

    Shapes:
        edges (R, R); weights (M, C); bias (C,).
    """

    scale: int
    gamma: float
    edges: Floats
    weights: Floats
    bias: Floats


class _Distances(nn.Module):
    """(N, M, R): distances in each ROI's part, of flow maps of size 1 (N, 784, 3) to the rows."""

    pixels: Tensor
    mean: Tensor
    deviation: Tensor
    rows: Tensor
    shares: Tensor

    def __init__(self, scale: Scale, level: bool) -> None:
        super().__init__()
        self.level, self.channels = level, scale.mean.shape[-1]
        for name in ("pixels", "mean", "deviation", "rows"):
            _buffer(self, name, getattr(scale, name))
        _buffer(self, "shares", scale.shares.T / self.channels)

    def forward(self, x: Tensor) -> Tensor:
        read = torch.einsum("npk,pc->nck", x[..., : self.channels], self.pixels)
        if self.level:
            size = (read**2).mean(1, keepdim=True).sqrt()
            read = read / torch.where(size > 1e-9, size, 1)
        z = (read - self.mean) / self.deviation
        far = (z[:, None] - self.rows).abs().sum(-1)
        return far @ self.shares


class GraphNet(nn.Module):
    """`aumer.recognition.graph_kernel.GraphRecognizer`.

    Args:
        level: whether what is read is scaled channel by channel, as ``graph-motion`` does.

    Shapes:
        map (N, 28, 28, 3); returns (N, C) probabilities.
    """

    turned: Tensor

    def __init__(
        self, scales: Mapping[int, Scale], heads: Sequence[Head], sharpness: float, level: bool
    ) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.scales = nn.ModuleDict({str(k): _Distances(s, level) for k, s in scales.items()})
        self.heads = [(str(head.scale), head.gamma) for head in heads]
        for k, head in enumerate(heads):
            for name in ("edges", "weights", "bias"):
                _buffer(self, f"{name}_{k}", getattr(head, name))
        _buffer(self, "turned", [-1, 1, 1])

    def forward(self, map: Tensor) -> Tensor:
        x = centered(map)
        x = x / ((x**2).mean(1, keepdim=True).sqrt() + 1e-6)
        mirror = x.reshape(-1, *INPUT_SHAPE).flip(2).flatten(1, 2) * self.turned
        far = {name: (one(x), one(mirror)) for name, one in self.scales.items()}
        scores = []
        for k, (scale, gamma) in enumerate(self.heads):
            edges, weights, bias = (
                self.get_buffer(f"{name}_{k}") for name in ("edges", "weights", "bias")
            )
            alike = [torch.exp(-gamma * d) for d in far[scale]]
            both = [((nodes @ edges) * nodes).sum(-1) for nodes in alike]
            scores.append((both[0] + both[1]) / 2 @ weights + bias)
        return torch.softmax(self.sharpness * torch.stack(scores).mean(0), -1)


class SvmNet(nn.Module):
    """`aumer.recognition.svm_cells.SvmCells`.

    Args:
        pixels: (784, cells).
        state: the recognizer's arrays.

    Shapes:
        map (N, 28, 28, 3); returns (N, C) probabilities.
    """

    pixels: Tensor
    dual: Tensor
    won: Tensor
    lost: Tensor
    mean: Tensor
    deviation: Tensor
    support: Tensor
    intercept: Tensor

    def __init__(
        self, pixels: Floats, state: Mapping[str, Floats], gamma: float, sharpness: float
    ) -> None:
        super().__init__()
        self.gamma, self.sharpness = gamma, sharpness
        self.classes = len(state["counts"])
        self.pairs = list(combinations(range(self.classes), 2))
        ends = np.concatenate([[0], np.cumsum(state["counts"].astype(int))])
        own = [slice(a, b) for a, b in pairwise(ends)]
        # The machine of a pair weighs the support vectors of its two classes.
        dual = np.zeros((len(state["support"]), len(self.pairs)))
        won, lost = (np.zeros((len(self.pairs), self.classes)) for _ in range(2))
        for k, (i, j) in enumerate(self.pairs):
            dual[own[i], k] = state["dual"][j - 1, own[i]]
            dual[own[j], k] = state["dual"][i, own[j]]
            won[k, i] = lost[k, j] = 1
        for name, values in (("pixels", pixels), ("dual", dual), ("won", won), ("lost", lost)):
            _buffer(self, name, values)
        for name in ("mean", "deviation", "support", "intercept"):
            _buffer(self, name, state[name])

    def forward(self, map: Tensor) -> Tensor:
        read = torch.einsum("npk,pc->nck", centered(map), self.pixels).flatten(1)
        z = (read - self.mean) / self.deviation
        far = ((z[:, None] - self.support) ** 2).sum(-1)
        margins = torch.exp(-self.gamma * far) @ self.dual + self.intercept
        first = (margins > 0).to(margins.dtype)
        sums = margins @ (self.won - self.lost)
        scores = first @ self.won + (1 - first) @ self.lost + sums / (3 * (sums.abs() + 1))
        best = scores.argmax(1)
        # The pairs that the best class is one of: the least sure of them tells how sure it is.
        its = (self.won + self.lost).T[best] > 0
        sure = torch.where(its, margins.abs(), torch.inf).amin(1, keepdim=True)
        return torch.softmax(self.sharpness * scores * sure, -1)
