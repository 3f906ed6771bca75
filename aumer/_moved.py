"""A clear message, for one release, to who imports a name from where it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn


def moved(module: str, names: Mapping[str, str]) -> Callable[[str], NoReturn]:
    """The ``__getattr__`` of a module of which these names are gone: where each of them is now."""

    def get(name: str) -> NoReturn:
        if name not in names:  # as the import system asks for names of its own
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        raise ImportError(f"{module}.{name} is no more: see {names[name]}")

    return get
