"""Recognizers by name; every fold gets a new one."""

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

#: Makes an untrained recognizer from a seed. It is sent to other processes.
Factory = Callable[[int], Recognizer]


def recognizers(protocol: Protocol) -> tuple[str, ...]:
    """Names of the recognizers that a protocol can run: all, or those of flow maps if it has no
    frames.
    """
    names = registry.names("recognizer")
    if NAME not in protocol.datasets:
        return names
    return tuple(name for name in names if interface.resolve(name).reads[0] == "flow-map")


def factory(model: str, options: Mapping[str, Any] | None = None) -> Factory:
    """A factory of the named recognizer with options; it passes the seed if the recognizer takes
    one.

    Raises:
        UsageError: unknown recognizer or option.
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
