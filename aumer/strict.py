"""Plain values, as TOML and JSON have them, into frozen dataclasses: strictly. No numpy.

Every unknown, missing and mistyped key is reported at once, with the nearest right name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from aumer.errors import ConfigError, did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read settings from {path}: {error}") from error


def build(cls: type[T], values: Mapping[str, Any], source: str) -> T:
    """A dataclass from plain values; fields with a default may be left out.

    Fields may be str, bool, int, float, tuples of these, Literal, Mapping, dataclasses, and any of
    them or None.

    Raises:
        ConfigError: names every unknown, missing and mistyped key; or what `cls` itself raises.
    """
    wrong = list(_faults(cls, values, ""))
    if wrong:
        raise ConfigError(f"{source}: {' '.join(wrong)} Keys are: {', '.join(_names(cls))}.")
    made: T = _made(cls, values)
    return made


def plain(value: Any) -> dict[str, Any]:
    """The inverse of `build`: tables, lists, numbers and texts; None is left out."""
    return {
        k: plain_value for k, v in asdict(value).items() if (plain_value := _plain(v)) is not None
    }


def require(ok: bool, name: str, found: object, allowed: str) -> None:
    """Raise a ConfigError that says what `name` must be, unless `ok`."""
    if not ok:
        raise ConfigError(f"{name} must be {allowed}; found {found!r}")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _names(cls: type) -> Iterator[str]:
    for name, kind in get_type_hints(cls).items():
        if is_dataclass(kind):
            yield from (f"{name}.{inner}" for inner in _names(kind))  # type: ignore[arg-type]
        else:
            yield name


def _faults(cls: type, values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    kinds = get_type_hints(cls)
    for key, value in values.items():
        if key not in kinds:
            yield f"unknown key {prefix}{key}.{did_you_mean(str(key), kinds)}"
        elif is_dataclass(kinds[key]):
            if isinstance(value, Mapping):
                yield from _faults(kinds[key], value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key} must be a table; found {value!r}."
        elif not _fits(value, kinds[key]):
            yield f"{prefix}{key} must be {_words(kinds[key])}; found {value!r}."
    for field in fields(cls):
        optional = field.default is not MISSING or field.default_factory is not MISSING
        if not optional and field.name not in values:
            yield f"missing {prefix}{field.name}."


def _made(cls: type, values: Mapping[str, Any]) -> Any:
    kinds = get_type_hints(cls)
    return cls(
        **{
            key: _made(kinds[key], value)
            if is_dataclass(kinds[key])
            else _converted(value, kinds[key])
            for key, value in values.items()
        }
    )


def _fits(value: object, kind: Any) -> bool:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, k) for k in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, (list, tuple)) and all(_fits(v, arguments[0]) for v in value)
    if origin is not None:
        return isinstance(value, origin)
    if kind is float:  # 1 is a fine float; True is not, nor are inf and nan, which JSON has not
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _converted(value: Any, kind: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _converted(value, next(k for k in arguments if _fits(value, k)))
    if origin is tuple:
        return tuple(_converted(v, arguments[0]) for v in value)
    return float(value) if kind is float else value


def _words(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(_words(k) for k in arguments if k is not NoneType)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if origin is tuple:
        return f"a list, each {_words(arguments[0])}"
    if origin is not None:
        return "a table"
    known = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
    return known[kind] if kind in known else str(kind.__name__)
