"""Checks of the public functions' arguments: a wrong type raises a `UsageError` that names the
argument.
"""

from __future__ import annotations

import os
from numbers import Integral, Real
from pathlib import Path

from aumer.errors import UsageError


def number(name: str, value: object, allowed: str = "a number") -> float:
    """The value of a real number; True and False are refused."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise wrong(name, value, allowed)
    return float(value)


def whole(
    name: str, value: object, allowed: str = "a whole number", *, least: int | None = None
) -> int:
    """The value of an integer (numpy's too) of at least `least`; True and False are refused."""
    if least is not None:
        allowed = f"{allowed} of {least} or more"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise wrong(name, value, allowed)
    if least is not None and value < least:
        raise wrong(name, value, allowed)
    return int(value)


def require_path(name: str, value: object, allowed: str = "a path") -> None:
    """Raise an error for anything that is neither a string nor a path."""
    if not isinstance(value, (str, os.PathLike)):
        raise wrong(name, value, allowed)


def as_path(name: str, value: object, allowed: str = "a path") -> Path:
    """A string or path as a path."""
    require_path(name, value, allowed)
    return Path(value)  # type: ignore[arg-type]


def require_function(name: str, value: object, allowed: str = "a function") -> None:
    """Raise an error for anything that is not callable."""
    if not callable(value):
        raise wrong(name, value, allowed)


def wrong(name: str, value: object, allowed: str) -> UsageError:
    """The error to raise for an argument of the wrong type."""
    found = repr(value)
    return UsageError(
        f"{name} must be {allowed}, found {found if len(found) < 100 else type(value).__name__}"
    )
