"""The published loss (ABPN 2022, AUW-GCN 2023).

Logits and targets are (B, T, 10) in the order of `CHANNELS`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aumer.spotting.channels import classes, column
from aumer.spotting.losses import check_shapes
from aumer.types import KINDS

#: Weights of a kind's apex, start-end and action terms in the published total.
PUBLISHED_WEIGHTS = {"apex": 1.8, "start_end": 1.0, "action": 0.1}
PUBLISHED_MACRO_WEIGHTS = {"apex": 1.0, "start_end": 1.0, "action": 0.1}
_POSITIVE_SHARE = {"apex": 0.9, "action": 0.8}
_FOCAL_CLASSES = (0.45, 0.45, 0.1)
_EPS = 1e-5


def published_loss(logits: Tensor, targets: Tensor, macro_weight: float) -> dict[str, Tensor]:
    """The loss of ABPN and AUW-GCN: scalars micro_apex ... macro_start_end, and "total".

    With p the sigmoid, y the soft target and a = .9 (apex) or .8 (action): -mean[a 1(y>0) |y-p|
    ln(p+1e-5) + (1-a) 1(y=0) |y+.16-p| ln(1-p+1e-5)]; onset, offset and neither by a focal loss,
    gamma 1, class weights .45 .45 .1. `macro_weight` is .5 (CAS(ME)^2) or .7 (SAMM-LV).

    Raises:
        UsageError: the shapes are not both the same (B, T, 10).
    """
    check_shapes(logits, targets)
    terms: dict[str, Tensor] = {}
    for kind in KINDS:
        for part, share in _POSITIVE_SHARE.items():
            c = column(kind, part)
            terms[f"{kind}_{part}"] = _published_binary(logits[..., c], targets[..., c], share)
        three = classes(kind)
        terms[f"{kind}_start_end"] = _published_focal(logits[..., three], targets[..., three])
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
