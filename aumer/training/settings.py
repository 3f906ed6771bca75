"""Training settings of spotting networks: a frozen dataclass, read strictly from TOML.

No torch. Shipped presets lie in ``configs/train/``, each value with its reason.
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
    """All settings of training, except data, graph and seed.

    Attributes:
        net: the network's preset, and `net_overrides` of its keys.
        samples: "windows": whole videos, in windows with the network's context; "segments": as
            published, cuts at every 256th row, only segments with an expression; expressions across
            cuts are lost.
        window_s: longest window in seconds, without context.
        targets: "aumer", "published" or another registered `Objective` ("targets"), with its loss.
        decoder: "aumer", "casme-sq" or "samm-lv" (published), or another registered `TrackDecoder`
            ("decoder").
        macro_weight: weight of the macro terms in the published loss.
        missing_offset: policy of `aumer.spotting.targets.events`.
        weight_decay: not applied to biases and norms.
        mirror: mirror each sample with probability .5, exchanging left and right ROIs.
        amplitude_jitter: standard deviation of the logarithm of a sample's random scale.
        inner_share: share of subjects for early stopping (`patience`) and for choosing the
            decoder's threshold; 0 trains on all, with the default threshold.
        members: networks that are trained one after another, by other random numbers each; more
            than one give an `aumer.spotting.ensemble`, which takes as many times as long.
        other fields: see `LearningSettings`.

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
    members: int = 1

    _later = ("optimizer", "momentum", "factor", "plateau", "min_lr", "decoder", "members")

    def __post_init__(self) -> None:
        super().__post_init__()
        within("window_s", self.window_s, 0.01, 3600, "seconds")
        within("macro_weight", self.macro_weight, 1e-6, 1e6)
        within("amplitude_jitter", self.amplitude_jitter, 0, 100)
        within("members", self.members, 1, 100)
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
        self.net_config()  # refuses unknown presets and overrides at once

    def net_config(self) -> Architecture:
        """The network's configuration with overrides."""
        return Architecture.preset(self.net, self.net_overrides)

    def require_parts(self) -> None:
        """Raise an error for an unknown part of the network; see `Architecture.require_parts`."""
        self.net_config().require_parts()

    @property
    def parts(self) -> tuple[tuple[str, Any], ...]:
        """Kind and part of all exchangeable parts in training; see `aumer.identity`."""
        shape = self.net_config()
        layer = shape.to_dict().get("layer", "none")
        return ("network", type(shape)), ("graph-layer", layer), ("targets", self.targets)

    def objective(self) -> Objective:
        """The objective: targets and loss."""
        made: Objective = registry.resolve("targets", self.targets)(self.macro_weight)
        return made

    @classmethod
    def preset(
        cls, name: str | PathLike[str], *overrides: Mapping[str, Any] | None
    ) -> TrainSettings:
        """A shipped preset by name, or a TOML file by path, changed by `overrides`, later ones
        last.

        Raises:
            ConfigError: no such preset or file, or a key or value that is not allowed.
        """
        file = Layer(str(name), read_toml(preset("train", name, "training preset or file")))
        changes = (Layer(f"{name} with overrides", values) for values in overrides if values)
        return layered(cls, file, *changes)
