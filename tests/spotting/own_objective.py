"""Targets with a loss, and a decoder, of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from aumer import register
from aumer.spotting.channels import CHANNELS, column
from aumer.spotting.decode import expression_at, in_order, ten_tracks
from aumer.spotting.parts import Across, Objective, TrackDecoder, alone
from aumer.spotting.targets import TargetEvent, Targets, TargetSettings, targets
from aumer.types import KINDS, Expression, Scores, runs


@register("targets", "own")
class OwnObjective(Objective):
    """Wider bumps than ours, and a cross-entropy in which what is rare weighs more."""

    def targets(self, found: Iterable[TargetEvent], length: int, rate: float) -> Targets:
        return targets(found, length, rate, TargetSettings(micro_apex_sigma_s=0.2))

    def loss(
        self, logits: Tensor, targets: Tensor, weight: Tensor, *, across: Across = alone
    ) -> dict[str, Tensor]:
        used, rare = weight > 0, logits.new_tensor(20.0)
        each = F.binary_cross_entropy_with_logits(
            logits[used], targets[used], pos_weight=rare, reduction="none"
        )
        return {"total": each.sum() / (len(CHANNELS) * across(used.sum()))}


@register("decoder", "own")
@dataclass(frozen=True)
class OwnDecoder(TrackDecoder):
    """Wherever an action track lies above the threshold, its highest row being the apex."""

    threshold: float = 0.5
    least_rows: int = 2

    def __call__(self, scores: Scores) -> tuple[Expression, ...]:
        values = ten_tracks(scores)
        found = []
        for kind in KINDS:
            track = values[:, column(kind, "action")]
            for begin, end in runs(track >= self.threshold):
                if end - begin >= self.least_rows:
                    apex = begin + int(track[begin:end].argmax())
                    score = float(track[apex])
                    found.append(expression_at(scores, kind, begin, apex, end - 1, score))
        return in_order(found)
