"""Recognizers by name, of flow maps or of sequences, made anew for every fold."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aumer import registry
from aumer.bench.protocol import Protocol
from aumer.data.megc2019 import NAME
from aumer.errors import UsageError, did_you_mean

#: Kinds of the registry: what reads flow maps, and what reads sequences.
KINDS = ("recognizer", "sequence-recognizer")
#: From a seed to an untrained recognizer, of either kind. It travels to other processes.
Factory = Callable[[int], Any]


def kind_of(model: str) -> str:
    """Which of `KINDS` the recogniser of a name is.

    Raises:
        UsageError: there is none; the message lists both kinds.
    """
    known = {kind: registry.names(kind) for kind in KINDS}
    for kind, names in known.items():
        if model in names:
            return kind
    maps, sequences = known.values()
    raise UsageError(
        f"no recogniser is called {model!r}; of flow maps there are {', '.join(maps)}, of "
        f"sequences {', '.join(sequences)}.{did_you_mean(model, (*maps, *sequences))}"
    )


def recognizers(protocol: Protocol) -> tuple[str, ...]:
    """Names of those that a protocol can run: all, or where it has no frames those of flow maps."""
    kinds = KINDS[:1] if NAME in protocol.datasets else KINDS
    return tuple(name for kind in kinds for name in registry.names(kind))


def factory(model: str, options: Mapping[str, Any] | None = None) -> Factory:
    """The recogniser of a name, of either kind, with options; given the seed where it has one.

    Raises:
        UsageError: no such recogniser, or it has no such option.
    """
    known = parameters(model)
    for option in options or {}:
        if option not in known:
            raise UsageError(
                f"the recogniser {model!r} has no option {option!r}; it has "
                f"{', '.join(known) or 'none'}.{did_you_mean(option, known)}"
            )
    return partial(_make, model, dict(options or {}), "seed" in known)


def parameters(model: str) -> tuple[str, ...]:
    """The options of the recognizer of a name."""
    return tuple(inspect.signature(registry.resolve(kind_of(model), model)).parameters)


def _make(model: str, options: Mapping[str, Any], seeded: bool, seed: int) -> Any:
    kind = registry.resolve(kind_of(model), model)
    return kind(**options, **({"seed": seed} if seeded else {}))
