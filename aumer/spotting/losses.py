"""What a spotting network is trained by: the published loss, and ours.

Logits and targets are (B, T, 10) in the order of `CHANNELS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from aumer.errors import UsageError
from aumer.spotting.channels import CHANNELS, column
from aumer.types import KINDS, Kind

#: Weight of a kind's apex, start-end and action term in the published total.
PUBLISHED_WEIGHTS = {"apex": 1.8, "start_end": 1.0, "action": 0.1}
PUBLISHED_MACRO_WEIGHTS = {"apex": 1.0, "start_end": 1.0, "action": 0.1}
_POSITIVE_SHARE = {"apex": 0.9, "action": 0.8}
_FOCAL_CLASSES = (0.45, 0.45, 0.1)
_EPS = 1e-5
_LEAST = 1e-30


def published_loss(logits: Tensor, targets: Tensor, macro_weight: float) -> dict[str, Tensor]:
    """The loss of ABPN and AUW-GCN: scalars micro_apex ... macro_start_end, and "total".

    With p the sigmoid, y the soft target and a = .9 (apex) or .8 (action): -mean[a 1(y>0) |y-p|
    ln(p+1e-5) + (1-a) 1(y=0) |y+.16-p| ln(1-p+1e-5)]; onset, offset and neither by a focal loss,
    gamma 1, class weights .45 .45 .1. `macro_weight` is .5 (CAS(ME)^2) or .7 (SAMM-LV).

    Raises:
        UsageError: shapes other than (B, T, 10), twice the same.
    """
    _check(logits, targets)
    terms: dict[str, Tensor] = {}
    for kind in KINDS:
        for part, share in _POSITIVE_SHARE.items():
            c = column(kind, part)
            terms[f"{kind}_{part}"] = _published_binary(logits[..., c], targets[..., c], share)
        classes = _classes(kind)
        terms[f"{kind}_start_end"] = _published_focal(logits[..., classes], targets[..., classes])
    total = logits.new_zeros(())
    for part in PUBLISHED_WEIGHTS:
        total = total + PUBLISHED_WEIGHTS[part] * terms[f"micro_{part}"]
        total = total + macro_weight * PUBLISHED_MACRO_WEIGHTS[part] * terms[f"macro_{part}"]
    return {**terms, "total": total}


def _published_binary(logits: Tensor, y: Tensor, share: float) -> Tensor:
    p = logits.sigmoid()
    positive = share * (y - p).abs() * (p + _EPS).log()
    negative = (1 - share) * (y + 0.16 - p).abs() * (1 - p + _EPS).log()
    return -torch.where(y > 0, positive, negative).mean()


def _published_focal(logits: Tensor, onehot: Tensor) -> Tensor:
    log_p = (logits.log_softmax(-1) * onehot).sum(-1)
    weight = onehot @ onehot.new_tensor(_FOCAL_CLASSES)
    return -(weight * (1 - log_p.exp()) * log_p).mean()


@dataclass(frozen=True)
class LossSettings:
    """How our loss is weighed.

    Attributes:
        apex, boundary, action: weight of each term.
        micro, macro: weight of each kind.
        positive_share: part of a binary term's or a class's weight that its positives have together
            at most, however rare they are.
        max_boost: how often a positive row counts at most as much as a negative one.
        gamma: focusing; rows that are right already count (distance to target) ** gamma.
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
    """Our loss: scalars micro_apex ... macro_boundary, and "total"; 0 where no row counts.

    A cross-entropy towards soft targets, focused on what is wrong, over the rows with `weight`
    (B, T) above 0; logits there must be finite, elsewhere they may be anything. Positives are
    weighed up to a share of the whole (`LossSettings`), counted over the batch.

    Args:
        across: of a sum over these rows, that over the whole batch, where these are a share of it:
            the losses of all shares then add up to the batch's.

    Raises:
        UsageError: shapes that do not fit together.
    """
    settings = settings or LossSettings()
    _check(logits, targets)
    if weight.shape != logits.shape[:2]:
        raise UsageError(f"weight must be {tuple(logits.shape[:2])}; found {tuple(weight.shape)}")
    used = weight > 0
    logits, targets, weight = logits[used], targets[used], weight[used]
    terms: dict[str, Tensor] = {}
    total = logits.new_zeros(())
    for kind in KINDS:
        for part in ("apex", "boundary", "action"):
            if part == "boundary":
                classes = _classes(kind)
                y, log_p = targets[..., classes], logits[..., classes].log_softmax(-1)
                positive = 1 - y[..., 2]
            else:
                # A sigmoid as two classes: the same formula serves, and it is stable.
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
    whole = across(balance.sum()).clamp(min=_LEAST)  # of no row at all the loss is 0
    return (balance * wrong**settings.gamma * divergence).sum() / whole


def _classes(kind: Kind) -> list[int]:
    return [column(kind, part) for part in ("onset", "offset", "neither")]


def _check(logits: Tensor, targets: Tensor) -> None:
    if logits.ndim != 3 or logits.shape[-1] != len(CHANNELS) or logits.shape != targets.shape:
        raise UsageError(
            f"logits and targets must both be (B, T, {len(CHANNELS)}); found "
            f"{tuple(logits.shape)} and {tuple(targets.shape)}"
        )
