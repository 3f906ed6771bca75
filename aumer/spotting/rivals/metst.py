"""`me-tst-like`, after ME-TST (Zou et al., ICASSP 2025): state transitions over a whole video.

From the abstracts of it and of ME-TST+: curves are regressed over a whole video by input-dependent
state transitions (Mamba; Gu and Dao 2023): h[t] = exp(D[t] A) h[t-1] + D[t] B[t] x[t], y[t] = C[t]
h[t] + E x[t], with D, B and C linear in x.

Chosen: sizes; one such layer in each direction of time; a state remembers exactly 2^`doublings`
rows, so that a row depends on a known part of the video (`half_width`) and scores do not depend on
where a video is cut; the scan is then a few doublings of the whole sequence, in plain torch without
a compiled kernel. The slow and fast paths and the multiple granularities of ROIs in ME-TST+ are
left out; both kinds are spotted, without recognition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from aumer.graph import AUGraph
from aumer.spotting.channels import CHANNELS
from aumer.spotting.net import SpottingNetwork
from aumer.spotting.parts import Architecture
from aumer.spotting.rivals.layers import masked, shifted, shown
from aumer.spotting.spotnet import RowNorm, TemporalLayer
from aumer.strict import within


@dataclass(frozen=True)
class StateSpaceLike(Architecture):
    """Hyperparameters of a `StateSpaceNetwork`. `graph` and `rate` as in `Architecture`.

    Attributes:
        width: channels.
        states: states per channel.
        blocks: number of layers.
        doublings: a state remembers 2 ** `doublings` rows.

    Raises:
        ConfigError: a value out of range.
    """

    width: int
    states: int
    blocks: int
    doublings: int

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "states"):
            within(name, getattr(self, name), 1, 4096)
        within("blocks", self.blocks, 1, 100)
        within("doublings", self.doublings, 1, 12)

    def network(self, graph: AUGraph | None = None) -> StateSpaceNetwork:
        return StateSpaceNetwork(self, graph)


class StateSpaceNetwork(SpottingNetwork):
    """See the module."""

    config: StateSpaceLike

    def __init__(self, config: StateSpaceLike, graph: AUGraph | None = None) -> None:
        super().__init__(config, graph)
        self.entry = TemporalLayer(2 * len(self.graph.rois), config.width, 1, 1)
        self.blocks = nn.ModuleList(
            _Block(config.width, config.states, config.doublings) for _ in range(config.blocks)
        )
        self.tracks = nn.Linear(config.width, len(CHANNELS))

    @property
    def half_width(self) -> int:
        rows: int = 2**self.config.doublings  # includes one of the convolution
        return self.config.blocks * rows

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """As `SpottingNetwork.forward`."""
        valid = shown(x, valid)
        y = self.entry(self.normalized(x, valid).flatten(2), valid)
        for block in self.blocks:
            y = block(y, valid)
        return cast(Tensor, self.tracks(y))


class _Block(nn.Module):
    """(B, T, C) plus the gated output of the state spaces in both directions of time."""

    def __init__(self, channels: int, states: int, doublings: int) -> None:
        super().__init__()
        self.norm = RowNorm(channels)
        self.entry = nn.Linear(channels, 2 * channels)
        self.along = nn.Conv1d(channels, channels, 3, padding=1, groups=channels)
        self.ways = nn.ModuleList(StateSpace(channels, states, doublings) for _ in range(2))
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        y, gate = self.entry(self.norm(x, valid)).chunk(2, dim=-1)
        y = self.along(masked(y, valid).transpose(1, 2)).transpose(1, 2)
        y = masked(nn.functional.silu(y), valid)
        ahead, back = self.ways
        both = ahead(y, valid) + back(y.flip(1), valid.flip(1)).flip(1)
        return masked(x + self.out(both * nn.functional.silu(gate)), valid)


class StateSpace(nn.Module):
    """A selective state space along time with a memory of 2 ** `doublings` rows.

    The scan works by doubling: once h[t] holds the last n rows and a[t] the decay over them, h[t] +
    a[t] h[t-n] holds the last 2n.

    Shapes:
        x (B, T, C), valid (B, T) bool; returns the shape of x. An invalid row resets the state.
    """

    def __init__(self, channels: int, states: int, doublings: int) -> None:
        super().__init__()
        self.doublings = doublings
        self.step = nn.Linear(channels, channels)
        nn.init.constant_(self.step.bias, math.log(math.expm1(0.1)))  # a tenth of the input per row
        self.inout = nn.Linear(channels, 2 * states)
        rates = torch.arange(1, states + 1).float().log().repeat(channels, 1)
        self.rates = nn.Parameter(rates)  # A = -exp(rates): -1, -2, ... as in Mamba
        self.direct = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        step = nn.functional.softplus(self.step(x))[..., None]  # (B, T, C, 1)
        taken, given = self.inout(x).chunk(2, dim=-1)
        decay = masked(torch.exp(-step * self.rates.exp()), valid)  # (B, T, C, N)
        state = masked(step * taken[:, :, None] * x[..., None], valid)
        for k in range(self.doublings):
            state = state + decay * shifted(state, -(2**k))
            if k + 1 < self.doublings:
                decay = decay * shifted(decay, -(2**k))
        return cast(Tensor, (state * given[:, :, None]).sum(-1) + self.direct * x)
