"""Recognizers by name, made anew for every fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aumer import registry
from aumer.bench.protocol import Protocol
from aumer.data.megc2019 import NAME
from aumer.errors import UsageError, did_you_mean
from aumer.recognition import interface
from aumer.recognition.interface import Recognizer

#: From a seed to an untrained recognizer. It travels to other processes.
Factory = Callable[[int], Recognizer]


def recognizers(protocol: Protocol) -> tuple[str, ...]:
    """Names of those that a protocol can run: all, or where it has no frames those of flow maps."""
    names = registry.names("recognizer")
    if NAME not in protocol.datasets:
        return names
    return tuple(name for name in names if interface.resolve(name).reads[0] == "flow-map")


def factory(model: str, options: Mapping[str, Any] | None = None) -> Factory:
    """The recognizer of a name with options; given the seed where it has one.

    Raises:
        UsageError: no such recognizer, or it has no such option.
    """
    known = interface.resolve(model).options
    for option in options or {}:
        if option not in known:
            raise UsageError(
                f"the recognizer {model!r} has no option {option!r}; it has "
                f"{', '.join(known) or 'none'}.{did_you_mean(option, known)}"
            )
    return partial(_make, model, dict(options or {}))


def _make(model: str, options: Mapping[str, Any], seed: int) -> Recognizer:
    kind = interface.resolve(model)
    return kind(**options, **({"seed": seed} if "seed" in kind.options else {}))
