"""The interface of spotters."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aumer import registry
from aumer.config import RuleSettings, Settings
from aumer.errors import UsageError
from aumer.graph import AUGraph
from aumer.types import Expression, Features, Scores

if TYPE_CHECKING:
    from typing_extensions import Self

#: Default of `settles_s`: seconds after which a reported expression no longer changes.
SETTLES_S = 10.0

_NOTHING: Mapping[str, Any] = MappingProxyType({})
#: A spotter's output: scores on the features' time axis, and expressions.
Spotted = tuple[Scores, tuple[Expression, ...]]


class SpotterModel(ABC):
    """Base class of spotters. The same features must give the same numbers.

    A spotter of your own derives from this class, defines `name` and the call, and overrides the
    optional methods that it supports; it is registered as a class (``@aumer.register("spotter",
    "mine")``) or passed as an object. `aumer.testing.SpotterSuite` checks this contract. A plain
    function, or an object that only has the call, works as well.

    Attributes:
        name: stands in results.
        uses_graph: whether `from_settings` accepts a graph.
        notes: notes for its results, such as that it is used under other conditions than in
            training.

    Example:
        >>> class Nothing(SpotterModel):
        ...     name = "nothing"
        ...
        ...     def __call__(self, features):
        ...         zeros = np.zeros((len(features), 1), np.float32)
        ...         axis = features.times, features.frames, features.valid
        ...         return aumer.Scores(zeros, *axis, ("micro",)), ()
        >>> aumer.spot("interview.mp4", model=Nothing()).expressions
        ()
    """

    name: str
    notes: tuple[str, ...] = ()
    uses_graph: ClassVar[bool] = False

    # -- required ----------------------------------------------------------------------------------

    @abstractmethod
    def __call__(self, features: Features) -> Spotted:
        """Scores on the time axis of the features, and the expressions in order of onset.

        Raises:
            UsageError: it cannot read the features.
        """

    # -- optional ----------------------------------------------------------------------------------

    @classmethod
    def from_settings(cls, settings: Settings, *, graph: AUGraph | None = None) -> Self:
        """Make the spotter from all settings in force, when it is chosen by name; by default the
        constructor is called without arguments.

        Args:
            graph: replaces its own; given only if `uses_graph` is True.

        Raises:
            UsageError: it cannot work with the settings.
        """
        del settings, graph
        return cls()

    def check(self, settings: Settings) -> None:
        """Refuse settings whose features it cannot read, before a video is analyzed.

        Raises:
            UsageError: it cannot read them.
        """
        del settings

    def to(self, device: str) -> bool:
        """Run on this device from now on.

        Args:
            device: a torch device, or "auto": the fastest one.

        Returns:
            False if it supports only the CPU.

        Raises:
            UsageError: it supports the device, but there is none here.
        """
        del device
        return False

    @property
    def device(self) -> str:
        """The torch device that it runs on."""
        return "cpu"

    @property
    def rate(self) -> float | None:
        """Rows per second of the features that it reads; None for any."""
        return None

    @property
    def rules(self) -> RuleSettings | None:
        """The constants for a result's limit and peaks; None for those of the settings."""
        return None

    @property
    def sensitivity(self) -> str | None:
        """The sensitivity in force; None if it has no such option."""
        return None

    @property
    def false_alarms(self) -> tuple[float, float, float] | None:
        """False alarms per minute of rest: the least that can be requested, the number measured at
        the sensitivity in force, and the most; None if not measured.
        """
        return None

    @property
    def threshold(self) -> float | None:
        """The least score, in [0, 1], of its expressions; None if it has no threshold."""
        return None

    @property
    def settles_s(self) -> float:
        """Seconds after the offset of an expression from which on more video does not change it,
        except in rare cases. A live run waits this long (`aumer.live`).
        """
        return SETTLES_S

    @property
    def digests(self) -> Mapping[str, str]:
        """Digests, by name, of everything that its expressions depend on besides the features."""
        return {}

    @property
    def card(self) -> Mapping[str, Any]:
        """The card of the file that it was loaded from."""
        return _NOTHING


def resolve(
    model: Any, settings: Settings, *, graph: AUGraph | None = None, device: str = "auto"
) -> SpotterModel:
    """The spotter of that name, made for these settings; an object is returned as it is.

    Args:
        model: a name, a class of `SpotterModel`, an object of one, or a function or object that
            only has its call.
        graph: for a spotter that uses one.
        device: passed to the ``from_settings`` of a class that does not derive from `SpotterModel`
            and accepts it; others are moved by `SpotterModel.to`.

    Raises:
        UsageError: unknown name, not a spotter, or a graph for a spotter without one; or as its
            `from_settings`.
    """
    part: Any = registry.resolve("spotter", model)
    given: dict[str, Any] = {"graph": graph, "device": "cpu" if device == "auto" else device}
    if inspect.isclass(part) and issubclass(part, SpotterModel):
        if lacking := sorted(part.__abstractmethods__):
            raise _unfit(part, f"it does not define {', '.join(lacking)}")
        _require_graph(part, graph, takes=part.uses_graph)
        return part.from_settings(settings, **({"graph": graph} if part.uses_graph else {}))
    # An object is used as it is, with its own settings.
    make: Any = None
    taken: tuple[str, ...] = ()
    made = not isinstance(part, (type, ModuleType))
    if not made and "from_settings" in registry.offered(part, SpotterModel):
        make = part.from_settings
        taken = registry.arguments(make)
    _require_graph(part, graph, takes="graph" in taken)
    if make is not None:
        part = make(settings, **{k: v for k, v in given.items() if k in taken})
    elif isinstance(part, type):
        part = part()
    if isinstance(part, SpotterModel):
        return part
    if not callable(part):
        raise _unfit(part, "it cannot be called")
    return _Given(part, placed=given["device"] if "device" in taken else None)


def spotted(model: SpotterModel, features: Features) -> Spotted:
    """The output of a spotter, validated, since it may be a user's code.

    Raises:
        UsageError: the output is invalid; or as the spotter raises it.
    """
    found: Any = model(features)
    good = isinstance(found, (tuple, list)) and len(found) == 2 and isinstance(found[0], Scores)
    if good and isinstance(found[1], (tuple, list)):
        wrong = next((e for e in found[1] if not isinstance(e, Expression)), None)
        scores = found[0]
        if not np.isfinite(scores.values[scores.valid]).all():
            raise UsageError(
                f"the spotter {model.name!r} must give finite scores in the rows that it calls "
                "valid; found NaN or infinity"
            )
        if wrong is None:
            return found[0], tuple(found[1])
        found = wrong
    raise UsageError(
        f"the spotter {model.name!r} must return (Scores, tuple of Expression); found "
        f"{repr(found)[:80]}"
    )


def code_of(model: SpotterModel) -> Any:
    """The object whose code a spotter runs: the part that `resolve` wrapped, or the spotter
    itself.
    """
    return model._part if isinstance(model, _Given) else model


def _require_graph(part: Any, graph: AUGraph | None, *, takes: bool) -> None:
    if graph is not None and not takes:
        raise UsageError(
            f"the spotter {registry.called(part)!r} uses no graph. Give `graph` together "
            "with `model='combined'`, `model='network'`, or a network's weights, "
            "`model='PATH.safetensors'` (`aumer train` writes them)"
        )


def _unfit(part: Any, why: str) -> UsageError:
    return UsageError(
        f"the spotter {registry.called(part)!r} cannot be used: {why}. Spotters derive from "
        "aumer.spotting.interface.SpotterModel and define name and __call__(self, features) -> "
        "(Scores, tuple of Expression); a function that does this will do. What else they may do "
        "is inherited; aumer.testing.SpotterSuite checks them"
    )


class _Given(SpotterModel):
    """Adapter of a function, or of an object that has members of `SpotterModel` without deriving
    from it.

    Args:
        placed: the device that was passed when the object was made; None if it took none.
    """

    def __init__(self, part: Any, *, placed: str | None) -> None:
        self.name = registry.called(part)
        self._part, self._offers = part, registry.offered(part, SpotterModel)
        self._placed = placed

    def __call__(self, features: Features) -> Spotted:
        found: Spotted = self._part(features)
        return found

    def check(self, settings: Settings) -> None:
        if "check" in self._offers:
            self._part.check(settings)

    def to(self, device: str) -> bool:
        return self._placed is not None

    @property
    def device(self) -> str:
        return self._placed or "cpu"

    @property
    def rate(self) -> float | None:
        return self._part.rate if "rate" in self._offers else None

    @property
    def rules(self) -> RuleSettings | None:
        # The object may use this name for something else.
        own = self._part.rules if "rules" in self._offers else None
        return own if isinstance(own, RuleSettings) else None

    @property
    def sensitivity(self) -> str | None:
        return self._part.sensitivity if "sensitivity" in self._offers else None

    @property
    def false_alarms(self) -> tuple[float, float, float] | None:
        return self._part.false_alarms if "false_alarms" in self._offers else None

    @property
    def settles_s(self) -> float:
        return float(self._part.settles_s) if "settles_s" in self._offers else SETTLES_S

    @property
    def digests(self) -> Mapping[str, str]:
        return self._part.digests if "digests" in self._offers else {}

    @property
    def card(self) -> Mapping[str, Any]:
        return self._part.card if "card" in self._offers else _NOTHING
