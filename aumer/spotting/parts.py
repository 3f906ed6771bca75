"""What a new spotting network is made of, beside the network itself: base classes. No torch.

`Architecture` ("network" in the registry) is the shape of a network, which makes it. A new one is
one file, with this frozen dataclass and an `aumer.spotting.net.SpottingNetwork`, and one TOML file
whose key `network` is its name. `Objective` ("targets") is what a network is trained toward, with
the loss that it is trained by, `TrackDecoder` ("decoder") makes expressions of what it gives; the
keys `targets` and `decoder` of a training preset name them.
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
from aumer.errors import ConfigError
from aumer.strict import Layer, build, layered, plain, preset, read_toml, require
from aumer.types import Expression, Features, FloatArray, Scores

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self

    from aumer.graph import AUGraph
    from aumer.spotting.net import SpottingNetwork
    from aumer.spotting.targets import TargetEvent, Targets

#: Of a sum over a share of a batch, that over the whole one.
Across = Callable[["Tensor"], "Tensor"]

#: Motion of an ROI that is measured with less confidence counts as none, as for the rules.
_TRUST = 0.5


class Part:
    """A frozen dataclass, registered by name, that files keep as plain values.

    These say its name, under the key `KIND`; but the usual one is left out, as it was before there
    was a choice, so that files and digests from then hold.
    """

    # Without annotations, which would make settings of them.
    KIND = ""
    USUAL = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON and TOML have them.

        Raises:
            UsageError: its class is not registered.
        """
        name = registry.name_of(self.KIND, type(self))
        return {**({} if name == self.USUAL else {self.KIND: name}), **plain(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "") -> Self:
        """The inverse of `to_dict`, strict; what has a default may be left out.

        Args:
            source: whose values they are, as a message calls it.

        Raises:
            ConfigError: names every unknown, missing and mistyped key at once.
            UsageError: none is registered under the name.
        """
        made, (settings,) = cls.chosen(values)
        return build(made, settings, source or f"{cls.KIND} settings")

    @classmethod
    def chosen(cls, *tables: Mapping[str, Any]) -> tuple[type[Self], tuple[dict[str, Any], ...]]:
        """The class that the last of `tables` with a name names, and the tables without names.

        Raises:
            ConfigError: it names something else than a class of this one.
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
    """The shape of a spotting network, read strictly from TOML.

    A subclass adds its own settings as fields, and is made known by ``@register("network", NAME)``.

    Attributes:
        graph: the prior over ROIs, by the name or path that `AUGraph.load` takes.
        rate: rows per second of the features it reads.

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
        """A network of this shape with new weights, drawn by torch's generator.

        Args:
            graph: over the ROIs of the features it will read; None takes `graph`'s.
        """

    def require_parts(self) -> None:
        """Complain of a part that it names and that there is not, before a network is made.

        Stored settings are read without: what a plugin brought may be absent today.

        Raises:
            UsageError: there is none; the message lists the choices.
        """
        from aumer.graph import AUGraph

        AUGraph.load(self.graph)

    @property
    def extra_nodes(self) -> tuple[str, ...]:
        """Names of the nodes that `inputs` has after the ROIs; sides are told by `r` and `l`."""
        return ()

    def inputs(self, features: Features) -> FloatArray:
        """What the network reads of a whole video: (T, R + len(`beside`), 2) float32.

        Motion in outer-eye distances per row, x and y; invalid rows are 0.
        """
        return eye_motion(features).astype(np.float32, copy=False)

    @classmethod
    def preset(cls, name: str | PathLike[str], overrides: Mapping[str, Any] | None = None) -> Self:
        """A shipped preset by name, or the TOML file at a path, changed by `overrides`.

        Raises:
            ConfigError: no such preset or file, not TOML, or as for `from_dict`.
            UsageError: as for `from_dict`.
        """
        values = read_toml(preset("spotnet", name, "network preset or file"))
        made, (file, changes) = cls.chosen(values, overrides or {})
        return layered(made, Layer(str(name), file), Layer(f"{name} with overrides", changes))


def eye_motion(features: Features) -> npt.NDArray[np.floating[Any]]:
    """(T, R, 2): motion that is trusted, in outer-eye distances per row; 0 where invalid."""
    values = features.trusted(_TRUST)  # a copy, changed in place: ten hours have 100 MB
    values[~features.valid] = 0
    values /= features.eye_distance
    return values


def alone(share: Tensor) -> Tensor:
    """The `Across` of a share that is the whole."""
    return share


@dataclass(frozen=True)
class Objective(ABC):
    """Targets, and the loss that leads toward them.

    A subclass is made known by ``@register("targets", NAME)``.

    Attributes:
        macro_weight: what a training preset says under this name; a loss may have no use for it.

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
        """What the tracks should be of a whole video of `length` rows at `rate` rows a second.

        Raises:
            UsageError: an event reaches beyond the last row.
        """

    @abstractmethod
    def loss(
        self, logits: Tensor, targets: Tensor, weight: Tensor, *, across: Across = alone
    ) -> dict[str, Tensor]:
        """Scalars: "total", which is made less, and the terms to be logged beside it.

        The samples may be a share of a batch, of which other processes have the rest, or one whose
        rows all weigh 0; the losses of all shares then add up to the batch's.

        Args:
            across: of a sum over these samples, that over the whole batch.

        Shapes:
            logits, targets (B, T, 10) in the order of `CHANNELS`, and in logits what else the
            network gives in training; weight (B, T), 0 where a row is context or nothing is known
            of it.
        """


class TrackDecoder(Part, ABC):
    """From the ten tracks of a whole video to expressions.

    A subclass is a frozen dataclass whose settings all have defaults, made known by
    ``@register("decoder", NAME)``: a name is then enough to ask for it.

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
            UsageError: none is.
        """
        return cls.from_dict({cls.KIND: name})

    @abstractmethod
    def __call__(self, scores: Scores) -> tuple[Expression, ...]:
        """Expressions of one whole video, in order of onset.

        Raises:
            UsageError: the scores are not the ten tracks, or as `check`.
        """

    def check(self, rate: float) -> None:
        """Refuse scores of so many rows a second, if it cannot read them; by default it can any.

        Raises:
            ConfigError: it cannot.
        """
        del rate

    @property
    def threshold(self) -> float | None:
        """The least score of what it finds, which training chooses; None where it has none such.

        A subclass that has one has a field of this name.
        """
        return None

    def at(self, threshold: float) -> Self:
        """The same decoder with another threshold; itself where it has none."""
        return self if self.threshold is None else replace(self, threshold=threshold)  # type: ignore[type-var]
