"""How a spotting network is trained: a frozen record, read strictly from TOML. No torch.

Shipped presets lie in ``configs/train/``; the values live there alone, each beside its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Literal

from aumer import registry
from aumer.errors import ConfigError, UsageError
from aumer.learning.settings import LearningSettings, Optimizer
from aumer.spotting.parts import Architecture, Objective
from aumer.spotting.targets import filled_offset
from aumer.strict import Layer, layered, preset, read_toml, require, within


@dataclass(frozen=True, kw_only=True)
class TrainSettings(LearningSettings):
    """Everything but the data, the graph and the seed that decides what training gives.

    Attributes:
        net: the network's preset, and `net_overrides` of its keys.
        samples: "windows": the whole videos, in windows with as much context as the network sees;
            "segments": as published, fixed cuts at every 256th row, those with an expression, and
            what lies across a cut is lost.
        window_s: longest window, without its context.
        targets: "aumer", "published" or another `Objective` that is registered as "targets", which
            go with their loss.
        decoder: "aumer", "casme-sq" or "samm-lv" (published), or another `TrackDecoder` that is
            registered as "decoder".
        macro_weight: weight of the macro terms in the published loss.
        missing_offset: policy of `aumer.spotting.targets.events`.
        weight_decay: biases and norms do not decay.
        mirror: show each sample mirrored half of the time, left and right ROIs exchanged.
        amplitude_jitter: deviation of the logarithm of a sample's random scale.
        inner_share: of subjects to stop early on (`patience`) and to set the decoder's threshold
            on; 0 uses all for the weights, and the threshold stays at its default.
        The others: see `LearningSettings`.

    Raises:
        ConfigError: a value out of range.
    """

    net: str
    samples: Literal["windows", "segments"]
    targets: str
    missing_offset: str
    optimizer: Optimizer = "adamw"
    window_s: float = 20.0
    macro_weight: float = 1.0
    mirror: bool = False
    amplitude_jitter: float = 0.0
    net_overrides: Mapping[str, Any] = field(default_factory=dict)
    decoder: str = "aumer"

    _later = ("optimizer", "momentum", "factor", "plateau", "min_lr", "decoder")

    def __post_init__(self) -> None:
        super().__post_init__()
        within("window_s", self.window_s, 0.01, 3600, "seconds")
        within("macro_weight", self.macro_weight, 1e-6, 1e6)
        within("amplitude_jitter", self.amplitude_jitter, 0, 100)
        for name in ("targets", "decoder"):
            known = registry.names(name)
            one_of = f"one of {', '.join(known)}"
            require(getattr(self, name) in known, name, getattr(self, name), one_of)
        require(
            self.samples == "windows" or self.targets == "published",
            "samples",
            self.samples,
            '"windows" where targets is not "published": segments have the published targets',
        )
        try:
            filled_offset(0, None, self.missing_offset)
        except UsageError as error:
            raise ConfigError(f"missing_offset: {error}") from error
        self.net_config()  # an unknown preset or override is told now, not after the features

    def net_config(self) -> Architecture:
        """The network's configuration, overrides applied."""
        return Architecture.preset(self.net, self.net_overrides)

    def require_parts(self) -> None:
        """Complain of a part of the network that there is not; see `Architecture.require_parts`."""
        self.net_config().require_parts()

    @property
    def parts(self) -> tuple[tuple[str, Any], ...]:
        """Kind and part of whatever is exchangeable in what is trained; see `aumer.identity`."""
        shape = self.net_config()
        layer = shape.to_dict().get("layer", "none")
        return ("network", type(shape)), ("graph-layer", layer), ("targets", self.targets)

    def objective(self) -> Objective:
        """The targets and their loss."""
        made: Objective = registry.resolve("targets", self.targets)(self.macro_weight)
        return made

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
