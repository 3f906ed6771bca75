"""How a spotting network is trained: a frozen record, read strictly from TOML. No torch.

Shipped presets lie in ``configs/train/``; the values live there alone, each beside its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Literal

from aumer.spotting.net_config import NetConfig
from aumer.strict import Layer, layered, plain, preset, read_toml, require


@dataclass(frozen=True)
class TrainSettings:
    """Everything but the data, the graph and the seed that decides what training gives.

    Attributes:
        net: the network's preset, and `net_overrides` of its keys.
        samples: "windows": the whole videos, in windows with as much context as the network sees;
            "segments": as published, fixed cuts at every 256th row, those with an expression, and
            what lies across a cut is lost.
        window_s: longest window, without its context.
        targets: "aumer" or "published": targets and loss go together.
        macro_weight: weight of the macro terms in the published loss.
        missing_offset: policy of `aumer.spotting.targets.events`.
        epochs, batch: passes over the samples; samples per step.
        lr, weight_decay: AdamW's; biases and norms do not decay.
        schedule: "exponential": lr * decay ** epoch; "cosine": to 0, after a linear `warmup`.
        warmup: share of all steps.
        clip: largest norm of a step's gradient, 0 for any.
        mirror: show each sample mirrored half of the time, left and right ROIs exchanged.
        amplitude_jitter: deviation of the logarithm of a sample's random scale.
        inner_share: share of the training subjects that are kept out of the gradient, to stop early
            on (`patience`) and to set the decoder's threshold on; 0 uses all for the weights, and
            the threshold stays at its default.
        patience: epochs without a smaller loss on the inner subjects before training stops; the
            best epoch's weights are kept. 0 trains all epochs and keeps the last.
        mixed_precision: bfloat16 in the forward pass; on a GPU only.

    Raises:
        ConfigError: a value out of range.
    """

    net: str
    samples: Literal["windows", "segments"]
    targets: Literal["aumer", "published"]
    missing_offset: str
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    schedule: Literal["exponential", "cosine"]
    decay: float = 1.0
    warmup: float = 0.0
    clip: float = 0.0
    window_s: float = 20.0
    macro_weight: float = 1.0
    mirror: bool = False
    amplitude_jitter: float = 0.0
    inner_share: float = 0.0
    patience: int = 0
    mixed_precision: bool = False
    net_overrides: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        for name in ("lr", "window_s", "macro_weight"):
            require(getattr(self, name) > 0, name, getattr(self, name), "> 0")
        for name in ("weight_decay", "clip", "amplitude_jitter", "patience"):
            require(getattr(self, name) >= 0, name, getattr(self, name), ">= 0")
        require(0 < self.decay <= 1, "decay", self.decay, "in (0, 1]")
        for name in ("warmup", "inner_share"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        require(
            not self.patience or self.inner_share > 0,
            "patience",
            self.patience,
            "0 where inner_share is 0: without inner subjects there is nothing to stop on",
        )
        require(
            self.samples == "windows" or self.targets == "published",
            "samples",
            self.samples,
            '"windows" where targets is "aumer": segments have the published targets',
        )
        self.net_config()  # an unknown preset or override is told now, not after the features

    def net_config(self) -> NetConfig:
        """The network's configuration, overrides applied."""
        return NetConfig.preset(self.net, self.net_overrides)

    @classmethod
    def preset(
        cls, name: str | PathLike[str], *overrides: Mapping[str, Any] | None
    ) -> TrainSettings:
        """A shipped preset by name, or the TOML file at a path, changed by `overrides` in turn.

        Raises:
            ConfigError: no such preset or file, or a key or value that is not allowed.
        """
        file = Layer(str(name), read_toml(preset("train", name, "training preset or file")))
        changes = (Layer(f"{name} with overrides", values) for values in overrides if values)
        return layered(cls, file, *changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON and TOML have them."""
        return plain(self)
