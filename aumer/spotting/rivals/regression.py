"""Tracks as curves: a squared error instead of a cross-entropy (SOFTNet, ME-TST, BoostingVRME).

In these papers a network regresses a score of being inside an expression over a whole video.
Chosen: the curves are the ten tracks of aumer's targets; rows of rest and of expression have equal
total weight in each track (SOFTNet drops random rows of rest instead), with a ratio of at most
`most`. The error is that of the scores, or, as SOFTNet has it, of the network's linear output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from aumer.spotting.channels import CHANNELS, classes
from aumer.spotting.parts import Across, alone
from aumer.spotting.targets import AumerObjective
from aumer.types import KINDS

if TYPE_CHECKING:
    from torch import Tensor

#: A linear curve's 0 and 1 are the logits -SPAN and SPAN: scores of .02 and .98.
SPAN = 4.0


class RegressionObjective(AumerObjective):
    """aumer's targets, with a squared error of the tracks' scores.

    Attributes:
        most: weight of a row of expression at most, a row of rest having 1.
    """

    most: ClassVar[float] = 20.0

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
        p, y = self._curves(logits[used]), targets[used]
        # "neither" is 1 at rest, so its rare value is 0.
        rare = torch.stack(
            [1 - y[:, k] if k in _NEITHER else y[:, k] for k in range(len(CHANNELS))]
        )
        mass, rest = across(torch.stack([rare.sum(1), (1 - rare).sum(1)])).unbind()
        boost = (rest / mass.clamp(min=1e-6)).clamp(1, self.most)[:, None]
        balance = 1 + (boost - 1) * rare
        error = (balance * (p - y).T ** 2).sum(1) / across(balance.sum(1)).clamp(min=1e-6)
        return {"total": error.mean()}

    def _curves(self, x: Tensor) -> Tensor:
        """(N, 10) of logits: what is compared with the targets."""
        import torch

        p = torch.sigmoid(x)
        for kind in KINDS:
            three = classes(kind)
            p = p.index_copy(1, torch.tensor(three, device=p.device), x[:, three].softmax(-1))
        return p


class LinearRegressionObjective(RegressionObjective):
    """The same with a squared error of the network's linear output.

    A score's error hardly changes where the score is near 0 or 1. With it the micro-expression
    tracks of `softnet-like`, which has no norm that would hold them back, went to 0 in every row
    and stayed there. 50 is aumer's own limit (`aumer.spotting.losses.LossSettings.max_boost`).
    """

    most = 50.0

    def _curves(self, x: Tensor) -> Tensor:
        return 0.5 + x / (2 * SPAN)


_NEITHER = tuple(classes(kind)[2] for kind in KINDS)
