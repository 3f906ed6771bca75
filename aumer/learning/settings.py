"""Training settings common to all networks: a frozen dataclass, base of more specific ones. No
torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Literal, get_args

from aumer.strict import plain, require, within

Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "exponential", "plateau", "cosine"]

#: Least relative decrease of the loss that ends a plateau.
_PROGRESS = 1e-4


@dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """Settings of every training.

    Attributes:
        optimizer, lr, weight_decay, momentum: `momentum` is for SGD.
        schedule: "exponential": lr * decay ** epoch; "plateau" multiplies lr by `factor`, down to
            `min_lr`, if the loss (the inner one, if any) has not decreased for more than `plateau`
            epochs; "cosine": to 0 over all epochs, after a linear `warmup`.
        warmup: share of all steps.
        epochs, batch: passes over the samples; samples per step, over all processes.
        clip: largest norm of a step's gradient; 0 for no clipping.
        inner_share: share of the training subjects that are held out of the gradient; 0 uses all.
        patience: epochs without a smaller loss on the inner subjects before training stops; the
            weights of the best epoch are used. 0 trains all epochs and uses the last.
        mixed_precision: bfloat16 in the forward pass.

    Raises:
        ConfigError: a value out of range.
    """

    optimizer: Optimizer
    lr: float
    weight_decay: float
    schedule: Schedule
    epochs: int
    batch: int
    momentum: float = 0.0
    decay: float = 1.0
    warmup: float = 0.0
    factor: float = 0.5
    plateau: int = 5
    min_lr: float = 1e-6
    clip: float = 0.0
    inner_share: float = 0.0
    patience: int = 0
    mixed_precision: bool = False

    # Fields missing in earlier versions: left out at their defaults, so that old digests stay
    # valid.
    _later: ClassVar[tuple[str, ...]] = ("decay", "warmup")

    def __post_init__(self) -> None:
        for name, allowed in (("optimizer", Optimizer), ("schedule", Schedule)):
            value = getattr(self, name)
            require(
                value in get_args(allowed), name, value, f"one of {', '.join(get_args(allowed))}"
            )
        for name in ("epochs", "batch"):
            within(name, getattr(self, name), 1, 1_000_000)
        within("lr", self.lr, 1e-12, 100)
        for name in ("weight_decay", "clip", "patience", "plateau", "min_lr"):
            within(name, getattr(self, name), 0, 1_000_000)
        for name in ("momentum", "warmup", "inner_share"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        require(0 < self.decay <= 1, "decay", self.decay, "in (0, 1]")
        require(0 < self.factor < 1, "factor", self.factor, "between 0 and 1")
        require(
            not self.patience or self.inner_share > 0,
            "patience",
            self.patience,
            "0 where inner_share is 0: without inner subjects there is nothing to stop on",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and TOML."""
        usual = {
            f.name: f.default if f.default_factory is MISSING else f.default_factory()
            for f in fields(self)
            if f.name in self._later
        }
        return {k: v for k, v in plain(self).items() if k not in usual or v != usual[k]}

    def rate(self, done: float, losses: Sequence[float], factor: float = 1.0) -> float:
        """Learning rate after `done` of all epochs, the past epochs' losses being `losses`.

        A pure function of the past, so that a resumed run needs no state of a scheduler.

        Args:
            factor: factor of `lr` for a parameter group (`LearningTask.groups`).
        """
        lr = self.lr * factor
        if self.schedule == "exponential":
            return float(lr * self.decay ** len(losses))
        if self.schedule == "cosine":
            if done < self.warmup:
                return lr * (done / self.warmup + 1e-3)
            return lr * 0.5 * (1 + math.cos(math.pi * (done - self.warmup) / (1 - self.warmup)))
        best, waited = math.inf, 0
        for loss in losses if self.schedule == "plateau" else ():
            if loss < best * (1 - _PROGRESS):
                best, waited = loss, 0
            else:
                waited += 1
            if waited > self.plateau:
                lr, waited = min(lr, max(lr * self.factor, self.min_lr)), 0
        return lr
