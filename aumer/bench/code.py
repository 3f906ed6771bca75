"""What made a result, by digest: the code of parts, and the packages under it.

A digest is of what code does, not of how it is written down: comments, docstrings, blank lines and
line ends leave it as it is, and so does another machine or version of Python.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import pickle
import platform
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import aumer.errors
from aumer.config import digest

_PACKAGE = Path(aumer.errors.__file__).parent


@cache
def code_of(modules: tuple[str, ...]) -> str:
    """Hex SHA-256 of the code of aumer's modules and packages, by their names below ``aumer``.

    Raises:
        FileNotFoundError: there is no such module.
    """
    found = {}
    for name in modules:
        for path in _files(name):
            where = path.relative_to(_PACKAGE).as_posix()
            found[where] = source_digest(path.read_text(encoding="utf-8"))
    return digest(found)


def _files(name: str) -> Iterator[Path]:
    path = _PACKAGE.joinpath(*name.split("."))
    if path.is_dir():
        yield from path.rglob("*.py")
    elif path.with_suffix(".py").exists():
        yield path.with_suffix(".py")
    else:
        raise FileNotFoundError(f"aumer has no module {name}")


@cache
def source_digest(source: str) -> str:
    """Hex SHA-256 of what a module's source does."""
    return digest(_plain(ast.parse(source)))


def _plain(node: Any) -> Any:
    """A syntax tree without what is empty, which versions of Python leave out or not."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if _says(value))
        return [type(node).__name__, {name: _plain(value) for name, value in fields}]
    if isinstance(node, list):
        return [_plain(one) for one in node if not _is_words(one)]
    return node if isinstance(node, (str, bool, int, type(None))) else repr(node)


def _says(value: Any) -> bool:
    return value is not None and value != []


def _is_words(node: Any) -> bool:
    """A string that stands by itself: a docstring."""
    alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return alone and isinstance(node.value.value, str)


def code_of_part(part: Any) -> Any:
    """What a part of the user's is, as JSON has it; of one of aumer's the name alone.

    A part may say its own ``version``. Else it is known by the source of its module and what it
    holds. One that is known by neither is like no other, not even like itself a moment later.
    """
    return _part(part, ())


def _part(part: Any, within: tuple[int, ...]) -> Any:
    if id(part) in within:  # a function that calls itself is in its own closure
        return "itself"
    within = (*within, id(part))
    if isinstance(part, partial):
        held = [*part.args, *part.keywords.items()]
        return [_part(part.func, within), *(_value(v, within) for v in held)]
    kind = part if inspect.isclass(part) or inspect.isroutine(part) else type(part)
    name = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__.partition(".")[0] == "aumer":
        return [name, _closure(part, within)]
    held = [] if part is kind else sorted(getattr(part, "__dict__", {}).items())
    state = [*(_value(v, within) for v in held), _closure(part, within)]
    version = getattr(part, "version", None)
    if isinstance(version, (str, int)):
        return [name, version, *state]
    try:
        whole = source_digest(inspect.getsource(sys.modules[kind.__module__]))
        # Of a function its own lines, too: one module may hold several without a name.
        own = inspect.getsource(kind) if inspect.isroutine(kind) else ""
    except (OSError, TypeError, KeyError, SyntaxError):
        return _nameless()
    return [name, whole, own, *state]


def _closure(part: Any, within: tuple[int, ...]) -> list[Any]:
    names = getattr(getattr(part, "__code__", None), "co_freevars", ())
    cells = zip(names, getattr(part, "__closure__", None) or (), strict=False)
    return [[name, _value(_content(cell), within)] for name, cell in cells]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # of a name that has no value yet
        return None


def _value(value: Any, within: tuple[int, ...]) -> Any:
    """What a part holds, as JSON has it."""
    if isinstance(value, (str, bool, int, type(None))):
        return value
    if isinstance(value, Mapping):
        return [[_value(k, within), _value(v, within)] for k, v in value.items()]
    if isinstance(value, (tuple, list)):
        return [_value(one, within) for one in value]
    if isinstance(value, partial) or inspect.isclass(value) or inspect.isroutine(value):
        return _part(value, within)
    try:
        return hashlib.sha256(pickle.dumps(value, protocol=4)).hexdigest()
    except Exception:  # whatever its own `__reduce__` raises
        return _nameless()


def _nameless() -> str:
    return f"nameless {uuid.uuid4()}"


def machine() -> str:
    """The kind of this machine, such as "Linux x86_64"."""
    return f"{platform.system()} {platform.machine()}"


def agreed(found: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """By package the version of all folds, or their versions where they differ."""
    names = dict.fromkeys(name for versions in found for name in versions)
    return {n: " and ".join(dict.fromkeys(v.get(n, "none") for v in found)) for n in names}
