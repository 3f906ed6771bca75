"""Numba's decorators as aumer uses them: typed, cached between runs, without the GIL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_F = TypeVar("_F", bound=Callable[..., Any])
_njit: Any = numba.njit  # type annotations differ between versions of numba


def compiled(function: _F) -> _F:
    """Compile on first call; the code is cached for later runs if a folder can be written."""
    options = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        return cast(_F, _njit(cache=True, **options)(function))
    except RuntimeError:  # neither the package's nor the user's folder can be written
        return cast(_F, _njit(**options)(function))


def inlined(function: _F) -> _F:
    """For functions called for each pixel: a real call would prevent vectorization of the loop."""
    return cast(_F, _njit(forceinline=True, fastmath=True, error_model="numpy")(function))
