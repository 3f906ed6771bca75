"""Strict conversion of TOML and plain values into frozen dataclasses. No numpy.

All settings pass through this module: files (`read_toml`), shipped presets (`preset`), ``--set`` on
the command line (`assignment`), and layers of these (`layered`). All unknown, missing and mistyped
keys are reported at once, with the nearest valid name.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, fields, is_dataclass, replace
from functools import cache
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from aumer._data import data_dir
from aumer.errors import ConfigError, did_you_mean
from aumer.foreign import foreign, reason
from aumer.names import expanded, is_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
Table = dict[str, Any]

#: Former British spellings of keys and values with their present ones, so that old settings, runs
#: and weights can be read.
_RESPELLED = {
    "grey": "gray",
    "normalisation": "normalization",
    "quantisation": "quantization",
    "spot-then-recognise": "spot-then-recognize",
}

#: ``field(metadata={ALSO: int})`` also accepts an int, which the class converts.
ALSO = "also"
#: ``field(default=..., metadata={KEEPS: True})``: keys missing from a table keep the values of that
#: default.
KEEPS = "keeps"

# -- files ---------------------------------------------------------------------------------------


def read_toml(path: Path) -> Table:
    """The tables of a TOML file.

    Raises:
        ConfigError: the file cannot be read or is not TOML.
    """
    with foreign(path, "settings", ConfigError):
        return tomllib.loads(path.read_text(encoding="utf-8"))


def presets(folder: str) -> tuple[str, ...]:
    """Names of the shipped TOML files in ``configs/FOLDER``."""
    return tuple(sorted(p.stem for p in (data_dir("configs") / folder).glob("*.toml")))


def preset(
    folder: str,
    name: str | PathLike[str],
    what: str = "preset or file",
    others: Iterable[str] = (),
) -> Path:
    """A shipped TOML file in ``configs/FOLDER`` by name, or a user's file by path.

    A bare name means the shipped file; a name with ``.toml`` means a file of the user's if it
    exists.

    Args:
        what: name of the wanted thing in messages.
        others: further valid names, besides the files, for the message.

    Raises:
        ConfigError: there is no such file; the message lists the shipped ones.
    """
    given, known = expanded(name), presets(folder)
    bare = given.parent == Path()
    if bare and given.name in known:
        return data_dir("configs") / folder / f"{given.name}.toml"
    if is_file(given):
        return given
    if bare and given.suffix == ".toml" and given.stem in known:
        return data_dir("configs") / folder / given.name
    choices = tuple(sorted({*known, *others}))
    raise ConfigError(
        f"no {what} {str(given)!r}: give a path to a TOML file or one of the shipped "
        f"{', '.join(choices)}.{did_you_mean(given.name, choices)}"
    )


def assignment(text: str) -> tuple[str, Any]:
    """What ``--set`` takes: ``motion.rate=60`` -> ("motion.rate", 60), the path and its value.

    The value is TOML. Anything else is a string, since shells remove the quotes of TOML:
    ``motion.flow=dis``, ``ends=apex+20``; ``.3`` and ``3.`` are numbers. Malformed lists, tables
    and strings are refused.

    Raises:
        ConfigError: the path or the value is missing, or there is more than one.
    """
    match = re.fullmatch(r"\s*([\w-]+(?:\.[\w-]+)*)\s*=\s*(.*?)\s*", text, re.DOTALL)
    if not match:
        raise ConfigError(f"must be PATH=VALUE, such as motion.rate=60; found {text!r}")
    path, value = match.groups()
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (
        ValueError,
        RecursionError,
    ) as error:  # also for too many digits or brackets
        if re.fullmatch(r"[+-]?(\.\d+|\d+\.)([eE][+-]?\d+)?", value):
            return path, float(value)  # TOML requires a digit on both sides of the point
        if value and value[0] not in "[{\"'" and "\n" not in value:
            return path, value
        raise ConfigError(
            f"{value!r} is not a TOML value ({reason(error)}); write a number, true, false, "
            f"a list or 'a text'; found {text!r}"
        ) from None
    if parsed.keys() != {"value"}:
        raise ConfigError(f"must be one setting; found {text!r}")
    return path, parsed["value"]


def to_toml(values: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> str:
    """The text of a TOML file: the inverse of `read_toml`.

    Args:
        notes: comments for the lines of values, by path.
    """
    lines = list(_lines(values, (), notes or {}))
    width = max((len(line) for line, note in lines if note), default=0)
    text = (f"{line:<{width}}  # {note}\n" if note else f"{line}\n" for line, note in lines)
    return "".join(text).lstrip("\n")


def _lines(
    values: Mapping[str, Any], path: tuple[str, ...], notes: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    for key, value in values.items():
        if key not in tables:
            yield f"{_key(key)} = {_toml(value)}", notes.get(".".join((*path, key)), "")
    for key, value in tables.items():
        if not value or not all(isinstance(v, Mapping) for v in value.values()):
            yield "", ""
            yield f"[{'.'.join(map(_key, (*path, key)))}]", ""
        yield from _lines(value, (*path, key), notes)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, (bool, str)):  # as in JSON, except one character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)  # numbers, dates


# -- dataclasses ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """Values from one source, which `source` names. A key with dots reaches into tables."""

    source: str
    values: Mapping[str, Any]


def build(cls: type[T], values: Mapping[str, Any], source: str) -> T:
    """A dataclass from plain values; fields with a default may be missing.

    Fields may be str, bool, int, float, tuples of these, Literal, Mapping, dataclasses, and any of
    these or None. Keys missing from a table get the default of its class, or, in a field marked
    `KEEPS`, the value in the field's default.

    Raises:
        ConfigError: names every unknown, missing and mistyped key; or as `cls` raises it.
    """
    return layered(cls, Layer(source, values))


def layered(cls: type[T], *layers: Layer) -> T:
    """A dataclass from several layers; later layers take precedence.

    Dataclasses are merged key by key. A free table (a Mapping) is replaced as a whole, unless a
    dotted key, ``{"net_overrides.layer": "none"}``, reaches into it.

    Raises:
        ConfigError: as for `build`; it names the layer with the error.
    """
    values: Table = {}
    for i, layer in enumerate(layers):
        last = i == len(layers) - 1
        require(isinstance(layer.values, Mapping), layer.source, layer.values, "a table")
        layer = Layer(layer.source, respelled(layer.values))
        each = (nested({key: value}) for key, value in layer.values.items())
        wrong, source = [fault for one in each for fault in _faults(cls, one, "")], layer.source
        _merge(cls, values, layer.values)
        if last:
            source = source if wrong else layers[0].source
            wrong += _missing(cls, values, "")
        if wrong:
            raise ConfigError(
                f"{source}: {' '.join(wrong)} Allowed keys are: {', '.join(_names(cls))}."
            )
    try:
        made: T = _made(cls, values)
    except ConfigError as error:
        raise ConfigError(f"{_whose(str(error), layers)}{error}") from error
    return made


def respelled(values: Any) -> Any:
    """The values in present spelling: strings, also in lists and tables, and keys with dots.

    Other values stay unchanged.
    """
    if isinstance(values, str):
        return _RESPELLED.get(values, values)
    if isinstance(values, list):
        return [respelled(value) for value in values]
    if not isinstance(values, Mapping):
        return values
    return {
        ".".join(_RESPELLED.get(part, part) for part in key.split("."))
        if isinstance(key, str)
        else key: respelled(value)
        for key, value in values.items()
    }


def _whose(said: str, layers: Sequence[Layer]) -> str:
    """The layer that an error is about (the last one that sets the value), as the beginning of a
    message.
    """
    for layer in reversed(layers):
        for path in paths(layer.values):
            if re.search(rf"(?<!\w){re.escape(path.rpartition('.')[2])}(?!\w)", said):
                return f"{layer.source}: "
    return f"{layers[0].source}: " if len(layers) == 1 else ""


def origins(cls: type, *layers: Layer) -> dict[str, str]:
    """The layer of each value of `layered`, by path; built-in defaults are not listed."""
    found: Table = {}
    for layer in layers:
        _merge(cls, found, _marked(respelled(layer.values), layer.source))
    return paths(found)


def nested(values: Mapping[str, Any]) -> Table:
    """Keys with dots as tables: ``{"motion.rate": 60}`` -> ``{"motion": {"rate": 60}}``."""
    found: Table = {}
    for key, value in values.items():
        _put(None, found, str(key).split("."), value)
    return found


def paths(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as keys with dots; the inverse of `nested`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= paths(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def plain(value: Any) -> Table:
    """The inverse of `build`: tables, lists, numbers and strings; None is left out."""
    return {
        k: plain_value for k, v in asdict(value).items() if (plain_value := _plain(v)) is not None
    }


def require(ok: bool, name: str, found: object, allowed: str) -> None:
    """Raise a ConfigError that says what `name` must be, unless `ok`."""
    if not ok:
        raise ConfigError(f"{name} must be {allowed}; found {found!r}")


def within(name: str, value: float, least: float, most: float, unit: str = "") -> None:
    """Raise a ConfigError unless `least` <= `value` <= `most`.

    Every number in settings has an upper limit, too: absurd finite values would exhaust memory or
    be used as divisors.
    """
    require(least <= value <= most, name, value, f"from {least:g} to {most:g} {unit}".rstrip())


@cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {one.name: hints[one.name] for one in fields(cls)}  # without class variables


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _marked(values: Mapping[str, Any], source: str) -> Table:
    return {k: _marked(v, source) if isinstance(v, Mapping) else source for k, v in values.items()}


def _merge(cls: type, values: Table, changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        _put(cls, values, str(key).split("."), value)


def _put(kind: Any, table: Table, path: list[str], value: Any) -> None:
    """Put `value` at `path`; `kind` is the dataclass of `table`, if it has one."""
    key, *rest = path
    kind = _hints(kind).get(key) if is_dataclass(kind) else None  # type: ignore[arg-type]
    if not rest and not (is_dataclass(kind) and isinstance(value, Mapping)):
        table[key] = value
        return
    inside = table.get(key, {})
    held = isinstance(inside, Mapping)
    # For fields of a dataclass `_faults` gives the better message.
    require(held or kind is not None, key, inside, f"a table, to hold {'.'.join(path)}")
    table[key] = dict(inside) if held else {}  # the argument is not modified
    for inner, given in [(rest, value)] if rest else [([k], v) for k, v in value.items()]:
        _put(kind, table[key], inner, given)


def _names(cls: type) -> Iterator[str]:
    for name, kind in _hints(cls).items():
        if is_dataclass(kind):
            yield from (f"{name}.{inner}" for inner in _names(kind))  # type: ignore[arg-type]
        else:
            yield name


def _near(key: str, cls: type, prefix: str) -> str:
    """The nearest valid name: in this table, or a path in a nested one."""
    for name in _names(cls):
        if name.rpartition(".")[2] == key:
            return f" Did you mean {prefix + name!r}?"
    return did_you_mean(key, _hints(cls))


def _faults(cls: type, values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    kinds, ways = _hints(cls), {f.name: f.metadata.get(ALSO) for f in fields(cls)}
    for key, value in values.items():
        if key not in kinds:
            yield f"unknown key {prefix}{key}.{_near(str(key), cls, prefix)}"
        elif is_dataclass(kinds[key]):
            if isinstance(value, Mapping):
                yield from _faults(kinds[key], value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key} must be a table; found {value!r}."
        else:
            kind = kinds[key] | ways[key] if ways[key] else kinds[key]
            if not _fits(value, kind):
                yield f"{prefix}{key} must be {_words(kind)}; found {value!r}."


def _missing(cls: type, values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    kinds = _hints(cls)
    for one in fields(cls):
        if one.name not in values:
            if not _has_default(one):
                yield f"missing {prefix}{one.name}."
        elif (
            is_dataclass(kinds[one.name])
            and isinstance(values[one.name], Mapping)
            and KEEPS not in one.metadata
        ):
            yield from _missing(kinds[one.name], values[one.name], f"{prefix}{one.name}.")


def _has_default(one: Field[Any]) -> bool:
    return one.default is not MISSING or one.default_factory is not MISSING


def _default(one: Field[Any]) -> Any:
    """The default of a field, or None."""
    if one.default_factory is not MISSING:
        return one.default_factory()
    return None if one.default is MISSING else one.default


def _made(cls: type, values: Mapping[str, Any], usual: Any = None) -> Any:
    kinds, made = _hints(cls), {}
    for one in fields(cls):
        if one.name in values:
            kind, value = kinds[one.name], values[one.name]
            if is_dataclass(kind):
                usual_one = _default(one) if KEEPS in one.metadata else None
                made[one.name] = _made(kind, value, usual_one)  # type: ignore[arg-type]
            else:
                made[one.name] = _converted(value, kind)
    return cls(**made) if usual is None else replace(usual, **made)


def _fits(value: object, kind: Any) -> bool:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, k) for k in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            return False
        kinds = _each(arguments, len(value))
        return len(kinds) == len(value) and all(map(_fits, value, kinds))
    if origin is not None:
        return isinstance(value, origin)
    if kind is float:  # 1 is valid; True is not, nor inf and nan, which JSON lacks
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _converted(value: Any, kind: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _converted(value, next(k for k in arguments if _fits(value, k)))
    if origin is tuple:
        return tuple(map(_converted, value, _each(arguments, len(value))))
    return float(value) if kind is float else value


def _each(arguments: tuple[Any, ...], n: int) -> tuple[Any, ...]:
    """The type of each member of a tuple; n members if the length is open."""
    return arguments[:1] * n if arguments[-1] is ... else arguments


def _words(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(_words(k) for k in arguments if k is not NoneType)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if origin is tuple:
        number = "" if arguments[-1] is ... else f" of {len(arguments)}"
        return f"a list{number}, each {_words(arguments[0])}"
    if origin is not None:
        return "a table"
    known = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
    return known[kind] if kind in known else str(kind.__name__)
