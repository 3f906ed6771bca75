"""`spotformer-like`: after SpotFormer (Deng, Hayashi, Nagahara, 2024) and SpoT-GCN (FG 2024).

From the abstracts: flow is measured within a compact sliding window, against the window's first
frame and at several temporal resolutions, so that slow motion adds up and head movements do not;
the window is as long as a micro-expression. A transformer reads ROIs and time at several scales;
between scales ROIs are pooled by part of the face, and time by convolution. Each frame gets
probabilities of onset, apex, offset, expression and neither, for both kinds. A supervised
contrastive loss (Khosla et al. 2020) separates rows of rest, of micro- and of macro-expressions.

Chosen: displacements instead of flow (a window's motion relative to its first row is the sum of
aumer's motion over it); sizes and heads; ROIs attend within a region of the face, the regions'
means to one another, rows to the nearest ones and, with a stride, to farther ones; weight and
temperature of the contrast, and pairs within one training window (`ContrastObjective`). Tracks,
targets, the rest of the loss and the decoder are aumer's, since the paper's are similar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from aumer.graph import AUGraph
from aumer.spotting.channels import CHANNELS, column
from aumer.spotting.net import SpottingNetwork
from aumer.spotting.parts import Across, Architecture, alone
from aumer.spotting.rivals.layers import (
    NodeAttention,
    TimeAttention,
    displaced,
    masked,
    regions,
    shown,
)
from aumer.spotting.spotnet import TemporalLayer
from aumer.spotting.targets import AumerObjective
from aumer.strict import require, within

#: Weight of the contrast relative to the rest of the loss, and its temperature.
CONTRAST, TEMPERATURE = 0.1, 0.2
#: Rows of each class per window that are compared.
_PAIRED = 64


@dataclass(frozen=True)
class SpotformerLike(Architecture):
    """Hyperparameters of a `SpotformerLikeNetwork`. `graph` and `rate` as in `Architecture`.

    Attributes:
        window_s: length of the sliding window, centered on a row.
        points: number of points in the window at which motion relative to its first row is read.
        node_width, width: channels per ROI, and per row.
        heads: of all attention layers.
        reach_s: rows attend to all rows within this distance ...
        stride, far: ... and to `far` more distant rows on either side, every `stride`-th.
        dropout: share of a convolution's outputs dropped in training.
        embedding: channels for the contrast in training; 0 for none.

    Raises:
        ConfigError: a value out of range.
    """

    window_s: float
    points: int
    node_width: int
    width: int
    heads: int
    reach_s: float
    stride: int
    far: int
    dropout: float
    embedding: int

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("window_s", "reach_s"):
            require(0 < getattr(self, name) <= 60, name, getattr(self, name), "in (0, 60] seconds")
        for name in ("points", "node_width", "width", "heads", "stride", "far"):
            within(name, getattr(self, name), 1, 4096)
        within("embedding", self.embedding, 0, 4096)
        for name in ("node_width", "width"):
            value = getattr(self, name)
            require(value % self.heads == 0, name, value, f"a multiple of heads, {self.heads}")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "from 0 to less than 1")

    def network(self, graph: AUGraph | None = None) -> SpotformerLikeNetwork:
        return SpotformerLikeNetwork(self, graph)

    def half_rows(self, seconds: float) -> int:
        """At least one."""
        return max(1, round(seconds * self.rate))

    @property
    def ends(self) -> tuple[int, ...]:
        """The points of a window, in rows after its first: distinct, ascending, including the
        last.
        """
        whole = 2 * self.half_rows(self.window_s / 2)
        return tuple(
            sorted({max(1, round(whole * (k + 1) / self.points)) for k in range(self.points)})
        )


class SpotformerLikeNetwork(SpottingNetwork):
    """See the module. In training it outputs `embedding` columns after the tracks."""

    config: SpotformerLike

    def __init__(self, config: SpotformerLike, graph: AUGraph | None = None) -> None:
        super().__init__(config, graph)
        rois, parts = self.graph.rois, regions(self.graph.rois)
        member = torch.zeros(len(parts), len(rois))
        for k, part in enumerate(parts):
            member[k, list(part)] = 1
        self.register_buffer("pooled", member / member.sum(1, keepdim=True), persistent=False)
        small, width = config.node_width, config.width
        self.entry = nn.Linear(2 * (1 + len(config.ends)), small)
        self.place = nn.Parameter(0.02 * torch.randn(len(rois), small))
        self.within = NodeAttention(small, config.heads, (member.T @ member) > 0)
        self.among = NodeAttention(small, config.heads)
        self.rows = TemporalLayer(len(parts) * small, width, 1, 1, dropout=config.dropout)
        reach = config.half_rows(config.reach_s)
        self.near = TimeAttention(width, config.heads, range(-reach, reach + 1))
        self.coarse = TemporalLayer(width, width, 3, 1, dropout=config.dropout)
        far = [config.stride * k for k in range(-config.far, config.far + 1)]
        self.distant = TimeAttention(width, config.heads, far)
        self.tracks = nn.Linear(2 * width, len(CHANNELS))
        if config.embedding:
            self.embedded = nn.Linear(2 * width, config.embedding)

    pooled: Tensor

    @property
    def half_width(self) -> int:
        config = self.config
        window, reach = (config.half_rows(s) for s in (config.window_s / 2, config.reach_s))
        return window + reach + 1 + config.stride * config.far

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """As `SpottingNetwork.forward`, with the columns of the embedding in training."""
        valid = shown(x, valid)
        x = self.normalized(x, valid)
        first = -self.config.half_rows(self.config.window_s / 2)
        seen = [x, *(displaced(x, first, first + end) for end in self.config.ends)]
        nodes = self.within(self.entry(torch.cat(seen, -1)) + self.place)
        parts = self.among(torch.einsum("gr,btrc->btgc", self.pooled, nodes))
        rows = self.near(self.rows(masked(parts.flatten(2), valid), valid), valid)
        far = self.distant(self.coarse(rows, valid), valid)
        both = torch.cat([rows, far], -1)
        tracks = cast(Tensor, self.tracks(both))
        if self.training and self.config.embedding:
            return torch.cat([tracks, self.embedded(both)], -1)
        return tracks


class ContrastObjective(AumerObjective):
    """aumer's targets and loss, plus a supervised contrast of the rows of each window.

    For a network that outputs more columns than the tracks in training: these separate rows of
    rest, of micro- and of macro-expressions. Without such columns the loss is aumer's.
    """

    def loss(
        self, logits: Tensor, targets: Tensor, weight: Tensor, *, across: Across = alone
    ) -> dict[str, Tensor]:
        """As `Objective.loss`, with the term "contrast"; logits may be (B, T, 10 + E)."""
        from aumer.spotting.losses import spot_loss

        tracks, compared = logits[..., : len(CHANNELS)], logits[..., len(CHANNELS) :]
        terms = spot_loss(tracks, targets, weight, across=across)
        if not compared.shape[-1]:
            return terms
        each = [
            _contrast(one, _classes(aims), used)
            for one, aims, used in zip(compared, targets, weight > 0, strict=True)
        ]
        # Pairs lie in one window, so that the shares of a batch add up.
        windows = across((weight > 0).any(1).sum().to(logits.dtype)).clamp(min=1)
        contrast = torch.stack(each).sum() / windows
        return {**terms, "contrast": contrast, "total": terms["total"] + CONTRAST * contrast}


def _classes(targets: Tensor) -> Tensor:
    """(T,) 0 at rest, 1 in a macro-expression, 2 in a micro-expression even if both overlap."""
    macro, micro = (targets[:, column(kind, "action")] > 0.5 for kind in ("macro", "micro"))
    return torch.where(micro, 2, macro.long())


def _contrast(x: Tensor, of: Tensor, used: Tensor) -> Tensor:
    """Supervised contrastive loss: mean over rows and pairs of their class; 0 if there is only one
    class.

    Shapes:
        x (T, E); of (T,) classes; used (T,) bool.
    """
    rows = torch.cat([_spread((of == k) & used) for k in range(3)])
    of = of[rows]
    z = nn.functional.normalize(x[rows], dim=-1)
    same = of[:, None] == of[None]
    itself = torch.eye(len(rows), dtype=torch.bool, device=x.device)
    same, told = (
        same & ~itself,
        (of[:, None] != of[None]).any() if len(rows) else torch.tensor(False),
    )
    anchors = same.any(1)
    if not (told and anchors.any()):
        return x.sum() * 0
    fit = torch.where(itself, -torch.inf, z @ z.T / TEMPERATURE)
    log_share = (fit - fit.logsumexp(1, keepdim=True)).masked_fill(~same, 0)
    each = -log_share.sum(1)[anchors] / same.sum(1)[anchors]
    return each.mean()


def _spread(chosen: Tensor) -> Tensor:
    """At most `_PAIRED` of the True rows, evenly spaced."""
    rows = chosen.nonzero()[:, 0]
    if len(rows) <= _PAIRED:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, _PAIRED, device=rows.device).round().long()]
