"""A clear message, for one release, to anyone who imports a name from its old module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn


def moved(module: str, names: Mapping[str, str]) -> Callable[[str], NoReturn]:
    """The ``__getattr__`` of a module that these names have left: tells where each is now."""

    def get(name: str) -> NoReturn:
        if name not in names:  # the import system looks up names such as __path__
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        raise ImportError(f"{module}.{name} is no more: see {names[name]}")

    return get
