"""Tracks as curves: a squared error instead of a cross-entropy (SOFTNet, ME-TST, BoostingVRME).

In these papers a network regresses a score of being inside an expression over a whole video.
Chosen: the curves are the ten tracks of aumer's targets; rows of rest and of expression have equal
total weight in each track (SOFTNet drops random rows of rest instead), with a ratio of at most
`_MOST`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aumer.spotting.channels import CHANNELS, classes
from aumer.spotting.parts import Across, alone
from aumer.spotting.targets import AumerObjective
from aumer.types import KINDS

if TYPE_CHECKING:
    from torch import Tensor

_MOST = 20.0


class RegressionObjective(AumerObjective):
    """aumer's targets, with a squared error of the tracks' scores."""

    def loss(
        self, logits: Tensor, targets: Tensor, weight: Tensor, *, across: Across = alone
    ) -> dict[str, Tensor]:
        """As `Objective.loss`: only "total", the mean over tracks of their weighted mean errors.

        Raises:
            UsageError: shapes that do not fit together.
        """
        import torch

        from aumer.spotting.losses import check_shapes

        check_shapes(logits, targets)
        used = weight > 0
        x, y = logits[used], targets[used]
        p = torch.sigmoid(x)
        for kind in KINDS:
            three = classes(kind)
            p = p.index_copy(1, torch.tensor(three, device=p.device), x[:, three].softmax(-1))
        # "neither" is 1 at rest, so its rare value is 0.
        rare = torch.stack(
            [1 - y[:, k] if k in _NEITHER else y[:, k] for k in range(len(CHANNELS))]
        )
        mass, rest = across(torch.stack([rare.sum(1), (1 - rare).sum(1)])).unbind()
        boost = (rest / mass.clamp(min=1e-6)).clamp(1, _MOST)[:, None]
        balance = 1 + (boost - 1) * rare
        error = (balance * (p - y).T ** 2).sum(1) / across(balance.sum(1)).clamp(min=1e-6)
        return {"total": error.mean()}


_NEITHER = tuple(classes(kind)[2] for kind in KINDS)
