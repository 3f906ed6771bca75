"""What every spotter takes and gives."""

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

#: Seconds after which what is said of an expression is taken to stay, where a spotter does not say.
SETTLES_S = 10.0

_NOTHING: Mapping[str, Any] = MappingProxyType({})
#: What a spotter gives: scores on the features' time axis, and expressions.
Spotted = tuple[Scores, tuple[Expression, ...]]


class SpotterModel(ABC):
    """One way to spot. The same features give the same numbers.

    A spotter of your own derives from this class, defines `name` and the call, and overrides what
    else it can do; it is registered as a class (``@aumer.register("spotter", "mine")``) or handed
    over as an object. `aumer.testing.SpotterSuite` checks that it keeps this contract. A function
    or an object that has the call alone will do as well.

    Attributes:
        name: as results state it.
        uses_graph: whether `from_settings` can be given a graph.
        notes: what a reader of its results should know, such as that it was trained otherwise than
            it is used.

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
            UsageError: features that it cannot read.
        """

    # -- optional ----------------------------------------------------------------------------------

    @classmethod
    def from_settings(cls, settings: Settings, *, graph: AUGraph | None = None) -> Self:
        """As a name makes it, from all settings in force; by default without any.

        Args:
            graph: in place of its own; given only where it says `uses_graph`.

        Raises:
            UsageError: settings that it cannot work with.
        """
        del settings, graph
        return cls()

    def check(self, settings: Settings) -> None:
        """Refuse, before a video is analyzed, settings whose features it cannot read.

        Raises:
            UsageError: it cannot.
        """
        del settings

    def to(self, device: str) -> bool:
        """Run there from now on.

        Args:
            device: as torch names it, or "auto": where it runs best.

        Returns:
            False for one that runs on the CPU alone, whatever is asked.

        Raises:
            UsageError: it could run there, and there is no such device here.
        """
        del device
        return False

    @property
    def rate(self) -> float | None:
        """Rows per second of the features that it reads; None for any."""
        return None

    @property
    def rules(self) -> RuleSettings | None:
        """The constants that a result's limit and peaks are told by; None for the settings'."""
        return None

    @property
    def sensitivity(self) -> str | None:
        """What its threshold was set by; None where it has no such dial."""
        return None

    @property
    def false_alarms(self) -> tuple[float, float, float] | None:
        """False alarms a minute of rest: the fewest that can be asked for, what was measured at the
        sensitivity in force, and the most; None where nobody measured any."""
        return None

    @property
    def threshold(self) -> float | None:
        """The least score, in [0, 1], of an expression that it gives; None where there is none."""
        return None

    @property
    def settles_s(self) -> float:
        """Seconds from the offset of an expression on after which more of the video changes nothing
        that is said of it, in rare cases apart: what a live run waits for (`aumer.live`)."""
        return SETTLES_S

    @property
    def digests(self) -> Mapping[str, str]:
        """What its expressions depend on besides the features, by name."""
        return {}

    @property
    def card(self) -> Mapping[str, Any]:
        """What the file it was loaded from says of it."""
        return _NOTHING


def resolve(
    model: Any, settings: Settings, *, graph: AUGraph | None = None, device: str = "auto"
) -> SpotterModel:
    """The spotter of a name, made for these settings, or an object as it is.

    Args:
        model: a name, a class of `SpotterModel`, an object of one, or a function or an object that
            has its call alone.
        graph: for one that uses a graph.
        device: for the ``from_settings`` of a class that does not derive from `SpotterModel` and
            takes it; others are told by `SpotterModel.to`.

    Raises:
        UsageError: none is called so, it is no spotter, or it uses no graph; or as its
            `from_settings`.
    """
    part: Any = registry.resolve("spotter", model)
    given: dict[str, Any] = {"graph": graph, "device": "cpu" if device == "auto" else device}
    if inspect.isclass(part) and issubclass(part, SpotterModel):
        if lacking := sorted(part.__abstractmethods__):
            raise _unfit(part, f"it does not define {', '.join(lacking)}")
        _require_graph(part, graph, takes=part.uses_graph)
        return part.from_settings(settings, **({"graph": graph} if part.uses_graph else {}))
    # An object is used as it is, with what it was made with.
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
    return _Given(part, placed="device" in taken)


def spotted(model: SpotterModel, features: Features) -> Spotted:
    """What a spotter says, looked at, as it may be code that aumer has not seen.

    Raises:
        UsageError: it gives something else; or as it does.
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
    """Whose code a spotter runs: the part that `resolve` was given, where that is another's."""
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
    """A function, or an object that has what a `SpotterModel` has without deriving from it.

    Args:
        placed: it was told its device when it was made.
    """

    def __init__(self, part: Any, *, placed: bool) -> None:
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
        return self._placed

    @property
    def rate(self) -> float | None:
        return self._part.rate if "rate" in self._offers else None

    @property
    def rules(self) -> RuleSettings | None:
        # Something else may be called so.
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
