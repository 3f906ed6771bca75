"""`softnet-like`: after SOFTNet (Liong et al., ICIP 2021; MEAN, 2022, has the same three streams).

From the paper (its abstract and the authors' description): flow (u, v) and optical strain between a
frame and one k frames on, three shallow streams of one convolution with 3, 5 and 8 filters,
concatenated before one hidden layer, which regresses a score of being inside an expression; a
network for micro- and one for macro-expressions; the score is smoothed, and each peak above a
threshold becomes an expression of the usual length.

Chosen: ROIs instead of maps of 42 x 42, so that a "convolution" reads an ROI and its four nearest
neighbors, in order of nearness, with one set of weights for all; no pooling, since twelve ROIs are
fewer than the pooled cells of the maps; strain from an affine field fitted to the same neighbors;
the span of k is centered on the row, not after it; ten tracks are regressed instead of one, and the
paper's decoder reads one of each kind; sigmoids instead of a linear output.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aumer.graph import AUGraph
from aumer.spotting.channels import CHANNELS
from aumer.spotting.net import SpottingNetwork
from aumer.spotting.parts import Architecture
from aumer.spotting.rivals.layers import displaced, gradients, nearest, places
from aumer.strict import require, within
from aumer.types import KINDS

#: ROIs that a filter reads, and the ridge for collinear points.
_READ, _RIDGE = 5, 0.01
_LEAST = 1e-12


@dataclass(frozen=True)
class SoftnetLike(Architecture):
    """Hyperparameters of a `SoftnetLikeNetwork`. `graph` and `rate` as in `Architecture`.

    Attributes:
        half_s: half the span over which motion is summed, for micro and macro.
        filters: numbers of filters of the streams u, v and strain.
        hidden: units of the hidden layer.

    Raises:
        ConfigError: a value out of range.
    """

    half_s: tuple[float, float]
    filters: tuple[int, int, int]
    hidden: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            all(0 < s <= 60 for s in self.half_s),
            "half_s",
            list(self.half_s),
            "two numbers of seconds above 0, at most 60",
        )
        for count in self.filters:
            within("filters", count, 1, 4096)
        within("hidden", self.hidden, 1, 65536)

    def network(self, graph: AUGraph | None = None) -> SoftnetLikeNetwork:
        return SoftnetLikeNetwork(self, graph)

    @property
    def half_rows(self) -> tuple[int, ...]:
        """`half_s` in rows, at least one each."""
        return tuple(max(1, round(s * self.rate)) for s in self.half_s)


class SoftnetLikeNetwork(SpottingNetwork):
    """See the module.

    Raises:
        UsageError: as `SpottingNetwork`, or an ROI is not named after a landmark.
    """

    config: SoftnetLike
    near: Tensor
    slopes: Tensor

    def __init__(self, config: SoftnetLike, graph: AUGraph | None = None) -> None:
        super().__init__(config, graph)
        where = places(self.graph.rois, "softnet-like")
        read = min(_READ, len(where))
        self.register_buffer("near", nearest(where, read), persistent=False)
        self.register_buffer("slopes", gradients(where, read, _RIDGE), persistent=False)
        self.kinds = nn.ModuleList(
            _ThreeStreams(len(where), read, config.filters, config.hidden) for _ in KINDS
        )

    @property
    def half_width(self) -> int:
        return max(self.config.half_rows)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """As `SpottingNetwork.forward`."""
        x = self.normalized(x, valid)
        found: dict[str, Tensor] = {}
        for kind, rows, network in zip(KINDS, self.config.half_rows, self.kinds, strict=True):
            flow = displaced(x, -rows, rows)
            maps = torch.cat([flow, self.strain(flow)[..., None]], dim=-1)  # (B, T, R, 3)
            tracks = network(maps[:, :, self.near])
            of_kind = [name for name in CHANNELS if name.startswith(kind)]
            found |= dict(zip(of_kind, tracks.unbind(-1), strict=True))
        return torch.stack([found[name] for name in CHANNELS], -1)

    def strain(self, flow: Tensor) -> Tensor:
        """Optical strain sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2) at each ROI: (B, T, R)."""
        slope = torch.einsum("rsd,btsc->btrcd", self.slopes, flow)  # c of (u, v) along d of (x, y)
        u_x, u_y, v_x, v_y = slope.flatten(-2).unbind(-1)
        return (u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2 + _LEAST).sqrt()


class _ThreeStreams(nn.Module):
    """(B, T, R, read, 3) of u, v and strain at each ROI and its neighbors -> (B, T, 5) tracks."""

    def __init__(self, rois: int, read: int, filters: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        self.streams = nn.ModuleList(nn.Linear(read, count) for count in filters)
        self.hidden = nn.Linear(rois * sum(filters), hidden)
        self.tracks = nn.Linear(hidden, len(CHANNELS) // len(KINDS))

    def forward(self, maps: Tensor) -> Tensor:
        seen = [
            torch.relu(stream(one)).flatten(2)
            for stream, one in zip(self.streams, maps.unbind(-1), strict=True)
        ]
        tracks: Tensor = self.tracks(torch.relu(self.hidden(torch.cat(seen, -1))))
        return tracks
