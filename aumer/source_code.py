"""Digests of aumer's own code, for keys of stored data.

A digest depends on the syntax tree only: comments, docstrings, blank lines, line ends, the machine
and the version of Python do not change it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
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
    """Hex SHA-256 of a module's syntax tree."""
    return digest(_plain(ast.parse(source)))


def _plain(node: Any) -> Any:
    """A syntax tree without empty fields, which differ between versions of Python."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if _says(value))
        return [type(node).__name__, {name: _plain(value) for name, value in fields}]
    if isinstance(node, list):
        return [_plain(one) for one in node if not _is_words(one)]
    return node if isinstance(node, (str, bool, int, type(None))) else repr(node)


def _says(value: Any) -> bool:
    return value is not None and value != []


def _is_words(node: Any) -> bool:
    """Whether a node is a docstring."""
    alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return alone and isinstance(node.value.value, str)
