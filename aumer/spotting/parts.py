"""Base classes for new spotting methods: architecture, objective and decoder. No torch.

`Architecture` ("network" in the registry) holds the hyperparameters of a network and creates it. A
new one is one file, with this frozen dataclass and an `aumer.spotting.net.SpottingNetwork`, and one
TOML file whose key `network` is its name. `Objective` ("targets") makes training targets and
computes the loss, `TrackDecoder` ("decoder") turns tracks into expressions; the keys `targets` and
`decoder` of a training preset name them.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aumer import registry
from aumer.cache import rested
from aumer.errors import ConfigError
from aumer.strict import Layer, build, layered, plain, preset, read_toml, require
from aumer.types import Expression, Features, FloatArray, Scores

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self

    from aumer.graph import AUGraph
    from aumer.spotting.net import SpottingNetwork
    from aumer.spotting.targets import TargetEvent, Targets

#: Turns a sum over a share of a batch into the sum over the whole batch.
Across = Callable[["Tensor"], "Tensor"]

#: Motion of an ROI with less confidence counts as 0, as for the rules.
_TRUST = 0.5
#: Rows that are copied at a time.
_ROWS = 1 << 16


class Part:
    """A frozen dataclass, registered by name, that files store as plain values.

    The key `KIND` holds its name; the default name is left out, so that files and digests from
    before there was a choice stay valid.
    """

    # Without annotations, which would make them fields.
    KIND = ""
    USUAL = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and TOML.

        Raises:
            UsageError: the class is not registered.
        """
        name = registry.name_of(self.KIND, type(self))
        return {**({} if name == self.USUAL else {self.KIND: name}), **plain(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "") -> Self:
        """The inverse of `to_dict`, strict; fields with a default may be missing.

        Args:
            source: name of the source in messages.

        Raises:
            ConfigError: names every unknown, missing and mistyped key at once.
            UsageError: none is registered under the name.
        """
        made, (settings,) = cls.chosen(values)
        return build(made, settings, source or f"{cls.KIND} settings")

    @classmethod
    def chosen(cls, *tables: Mapping[str, Any]) -> tuple[type[Self], tuple[dict[str, Any], ...]]:
        """The class named in the last of `tables` that has a name, and the tables without names.

        Raises:
            ConfigError: the name belongs to something other than a subclass.
            UsageError: none is registered under the name.
        """
        names = [table[cls.KIND] for table in tables if cls.KIND in table]
        found: Any = cls
        if names or inspect.isabstract(cls):
            found = registry.resolve(cls.KIND, names[-1] if names else cls.USUAL)
        if not (inspect.isclass(found) and issubclass(found, cls)):
            raise ConfigError(
                f"{cls.KIND} must be the name of a registered {cls.__name__}; found {names[-1:]}"
            )
        rest = tuple({k: v for k, v in table.items() if k != cls.KIND} for table in tables)
        return found, rest


@dataclass(frozen=True)
class Architecture(Part, ABC):
    """The hyperparameters of a spotting network, read strictly from TOML.

    A subclass adds its settings as fields and is registered by ``@register("network", NAME)``.

    Attributes:
        graph: the prior over ROIs: a name or path for `AUGraph.load`.
        rate: rows per second of the features that it reads.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> from aumer.spotting.net_config import NetConfig
        >>> shape = NetConfig.preset("aumer")
        >>> isinstance(shape, Architecture), shape.rate
        (True, 30.0)
        >>> shape.network().half_width  # rows before and after a row that its scores depend on
        126
    """

    graph: str
    rate: float

    KIND = "network"
    USUAL = "spotnet"

    def __post_init__(self) -> None:
        require(1 <= self.rate <= 1000, "rate", self.rate, "from 1 to 1000 rows per second")

    @abstractmethod
    def network(self, graph: AUGraph | None = None) -> SpottingNetwork:
        """A new network, with weights drawn by torch's default generator.

        Args:
            graph: over the ROIs of the features; None loads `graph`.
        """

    def require_parts(self) -> None:
        """Raise an error for a named part that does not exist, before a network is made.

        Stored settings are read without this check, since a plugin may be absent.

        Raises:
            UsageError: unknown part; the message lists the choices.
        """
        from aumer.graph import AUGraph

        AUGraph.load(self.graph)

    @property
    def extra_nodes(self) -> tuple[str, ...]:
        """Names of the nodes that follow the ROIs in `inputs`; sides are marked by `r` and `l`."""
        return ()

    def inputs(self, features: Features) -> FloatArray:
        """The network's input for a whole video: (T, R + len(`extra_nodes`), 2) float32.

        Motion in outer-eye distances per row, x and y; invalid rows are 0.
        """
        return eye_motion(features).astype(np.float32, copy=False)

    @classmethod
    def preset(cls, name: str | PathLike[str], overrides: Mapping[str, Any] | None = None) -> Self:
        """A shipped preset by name, or a TOML file by path, changed by `overrides`.

        Raises:
            ConfigError: no such preset or file, not TOML, or as for `from_dict`.
            UsageError: as for `from_dict`.
        """
        values = read_toml(preset("spotnet", name, "network preset or file"))
        made, (file, changes) = cls.chosen(values, overrides or {})
        return layered(made, Layer(str(name), file), Layer(f"{name} with overrides", changes))


def eye_motion(features: Features) -> npt.NDArray[np.floating[Any]]:
    """(T, R, 2): trusted motion in outer-eye distances per row; 0 where invalid."""
    values = np.empty_like(features.values)
    for begin in range(0, len(values), _ROWS):  # the motion of hours lies in a file
        values[begin : begin + _ROWS] = features.trusted(_TRUST, begin, begin + _ROWS)
        rested(features.values)
    values[~features.valid] = 0
    values /= features.eye_distance
    return values


def alone(share: Tensor) -> Tensor:
    """The `Across` of a share that is the whole batch."""
    return share


@dataclass(frozen=True)
class Objective(ABC):
    """Training targets and the loss for them.

    A subclass is registered by ``@register("targets", NAME)``.

    Attributes:
        macro_weight: value of this key in a training preset; a loss may ignore it.

    Example:
        >>> from aumer import registry
        >>> from aumer.spotting.targets import TargetEvent
        >>> ours = registry.resolve("targets", "aumer")()
        >>> smile = TargetEvent(18, 42, 30, "macro")
        >>> ours.targets([smile], length=60, rate=30.0).values.shape
        (60, 10)
    """

    macro_weight: float = 1.0

    @abstractmethod
    def targets(self, found: Iterable[TargetEvent], length: int, rate: float) -> Targets:
        """Targets of a whole video of `length` rows at `rate` rows per second.

        Raises:
            UsageError: an event reaches beyond the last row.
        """

    @abstractmethod
    def loss(
        self, logits: Tensor, targets: Tensor, weight: Tensor, *, across: Across = alone
    ) -> dict[str, Tensor]:
        """Scalars: "total", which is minimized, and the terms to log.

        The samples may be a share of a batch, with the rest in other processes, and all their rows
        may have weight 0; the losses of all shares add up to that of the batch.

        Args:
            across: turns a sum over these samples into that over the whole batch.

        Shapes:
            logits, targets (B, T, 10) in the order of `CHANNELS`, logits with any further columns
            that the network outputs in training; weight (B, T), 0 for context rows and where the
            truth is unknown.
        """


class TrackDecoder(Part, ABC):
    """From the ten tracks of a whole video to expressions.

    A subclass is a frozen dataclass whose settings all have defaults, registered by
    ``@register("decoder", NAME)``, so that its name selects it.

    Example:
        >>> decoder = TrackDecoder.named("aumer")
        >>> scores = aumer.spot("interview.mp4", model="network").scores
        >>> [e.kind for e in decoder(scores)]
        ['macro']
        >>> decoder.at(1.0)(scores)
        ()
    """

    KIND = "decoder"
    USUAL = "aumer"

    @classmethod
    def named(cls, name: str) -> Self:
        """The decoder registered as `name`, with its defaults.

        Raises:
            UsageError: unknown name.
        """
        return cls.from_dict({cls.KIND: name})

    @abstractmethod
    def __call__(self, scores: Scores) -> tuple[Expression, ...]:
        """Expressions of one whole video, in order of onset.

        Raises:
            UsageError: the scores are not the ten tracks, or as `check`.
        """

    def check(self, rate: float) -> None:
        """Refuse scores at this rate if it cannot read them; by default any rate is accepted.

        Raises:
            ConfigError: it cannot read this rate.
        """
        del rate

    @property
    def threshold(self) -> float | None:
        """The least score of its expressions, chosen in training; None if it has no threshold.

        A subclass with a threshold has a field of this name.
        """
        return None

    def at(self, threshold: float) -> Self:
        """The same decoder with another threshold; itself if it has none."""
        return self if self.threshold is None else replace(self, threshold=threshold)  # type: ignore[type-var]
