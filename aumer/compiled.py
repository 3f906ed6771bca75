"""Numba's decorators as aumer uses them: with types, kept between runs, holding no lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_F = TypeVar("_F", bound=Callable[..., Any])
_njit: Any = numba.njit  # older numba has no types, newer has others


def compiled(function: _F) -> _F:
    """Compiled when first called; the code is kept for later runs where a folder can be written."""
    options = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        return cast(_F, _njit(cache=True, **options)(function))
    except RuntimeError:  # neither the package's folder nor the user's takes a file
        return cast(_F, _njit(**options)(function))


def inlined(function: _F) -> _F:
    """For what loops call for each pixel: a call would keep the loop from being vectorized."""
    return cast(_F, _njit(forceinline=True, fastmath=True, error_model="numpy")(function))
