"""Tracks as curves: a squared error instead of a cross-entropy (SOFTNet, ME-TST, BoostingVRME).

These papers let a network regress, over a whole video, how far a frame is in an expression. Chosen:
the curves are the ten tracks of our targets; each track's rows of rest and of expression weigh
alike (SOFTNet leaves rows of rest out at random instead), at most `_MOST` to one.
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
    """Our targets, and the squared error of the tracks' scores from them."""

    def loss(
        self, logits: Tensor, targets: Tensor, weight: Tensor, *, across: Across = alone
    ) -> dict[str, Tensor]:
        """As `Objective.loss`: "total" alone, the mean over tracks of their weighed mean errors.

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
        # "neither" is 1 at rest: what is rare of it is its absence.
        rare = torch.stack(
            [1 - y[:, k] if k in _NEITHER else y[:, k] for k in range(len(CHANNELS))]
        )
        mass, rest = across(torch.stack([rare.sum(1), (1 - rare).sum(1)])).unbind()
        boost = (rest / mass.clamp(min=1e-6)).clamp(1, _MOST)[:, None]
        balance = 1 + (boost - 1) * rare
        error = (balance * (p - y).T ** 2).sum(1) / across(balance.sum(1)).clamp(min=1e-6)
        return {"total": error.mean()}


_NEITHER = tuple(classes(kind)[2] for kind in KINDS)
