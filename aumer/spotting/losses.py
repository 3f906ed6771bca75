"""The loss for spotting networks.

Logits and targets are (B, T, 10) in the order of `CHANNELS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from aumer._moved import moved
from aumer.errors import UsageError
from aumer.spotting.channels import CHANNELS, classes, column
from aumer.types import KINDS

_LEAST = 1e-30


@dataclass(frozen=True)
class LossSettings:
    """Weights of aumer's loss.

    Attributes:
        apex, boundary, action: weight of each term.
        micro, macro: weight of each kind.
        positive_share: upper limit of the positives' share of the total weight of a binary term or
            class.
        max_boost: upper limit of the weight of a positive row relative to a negative one.
        gamma: focusing parameter: rows are weighted by (distance to target) ** gamma.
    """

    apex: float = 1.0
    boundary: float = 1.0
    action: float = 0.5
    micro: float = 1.0
    macro: float = 1.0
    positive_share: float = 0.5
    max_boost: float = 50.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise UsageError(f"loss setting {name} must not be negative; found {value}")
        if not 0 < self.positive_share < 1 or self.max_boost < 1:
            raise UsageError(
                "positive_share must lie in (0, 1) and max_boost be at least 1; found "
                f"{self.positive_share} and {self.max_boost}"
            )


def spot_loss(
    logits: Tensor,
    targets: Tensor,
    weight: Tensor,
    settings: LossSettings | None = None,
    *,
    across: Callable[[Tensor], Tensor] = lambda share: share,
) -> dict[str, Tensor]:
    """aumer's loss: scalars micro_apex ...

    macro_boundary, and "total"; 0 if no row counts. A focal cross-entropy toward soft targets, over
    the rows with `weight` (B, T) above 0; logits there must be finite, elsewhere they are ignored.
    Positives are weighted up to a share of the total (`LossSettings`), counted over the batch.

    Args:
        across: turns a sum over these rows into the sum over the whole batch, if these are a share
            of it: the losses of all shares then add up to that of the batch.

    Raises:
        UsageError: shapes that do not fit together.
    """
    settings = settings or LossSettings()
    check_shapes(logits, targets)
    if weight.shape != logits.shape[:2]:
        raise UsageError(f"weight must be {tuple(logits.shape[:2])}; found {tuple(weight.shape)}")
    used = weight > 0
    logits, targets, weight = logits[used], targets[used], weight[used]
    terms: dict[str, Tensor] = {}
    total = logits.new_zeros(())
    for kind in KINDS:
        for part in ("apex", "boundary", "action"):
            if part == "boundary":
                columns = classes(kind)
                y, log_p = targets[..., columns], logits[..., columns].log_softmax(-1)
                positive = 1 - y[..., 2]
            else:
                # A sigmoid as a soft-max of two classes: one formula, numerically stable.
                x, positive = logits[..., column(kind, part)], targets[..., column(kind, part)]
                y = torch.stack([positive, 1 - positive], -1)
                log_p = torch.stack([F.logsigmoid(x), F.logsigmoid(-x)], -1)
            term = _balanced(log_p, y, positive, weight, settings, across)
            terms[f"{kind}_{part}"] = term
            total = total + getattr(settings, part) * getattr(settings, kind) * term
    return {**terms, "total": total}


def _balanced(
    log_p: Tensor,
    y: Tensor,
    positive: Tensor,
    weight: Tensor,
    settings: LossSettings,
    across: Callable[[Tensor], Tensor],
) -> Tensor:
    """Weighted mean of the focused divergence of (N, C) `log_p` from `y`; 0 at equality."""
    divergence = (torch.xlogy(y, y) - y * log_p).sum(-1)
    wrong = 0.5 * (log_p.exp() - y).abs().sum(-1)
    mass, rest = across(
        torch.stack([(weight * positive).sum(), (weight * (1 - positive)).sum()])
    ).unbind()
    share = settings.positive_share
    boost = (share / (1 - share) * rest / mass.clamp(min=1e-6)).clamp(1, settings.max_boost)
    balance = weight * (1 + (boost - 1) * positive)
    whole = across(balance.sum()).clamp(min=_LEAST)  # without any row the loss is 0
    return (balance * wrong**settings.gamma * divergence).sum() / whole


def check_shapes(logits: Tensor, targets: Tensor) -> None:
    """Refuse logits and targets that are not both (B, T, 10).

    Raises:
        UsageError: says what was found.
    """
    if logits.ndim != 3 or logits.shape[-1] != len(CHANNELS) or logits.shape != targets.shape:
        raise UsageError(
            f"logits and targets must both be (B, T, {len(CHANNELS)}); found "
            f"{tuple(logits.shape)} and {tuple(targets.shape)}"
        )


if not TYPE_CHECKING:  # a name that there is not stays an error
    _NOW = "aumer.spotting.auwgcn.loss"
    __getattr__ = moved(
        __name__,
        {
            "published_loss": _NOW,
            "PUBLISHED_WEIGHTS": _NOW,
            "PUBLISHED_MACRO_WEIGHTS": _NOW,
        },
    )
