"""What JSON can hold: values on their way out, and a strict reader on their way in.

Arrays are lists, NaN is null (RFC 8259 has no NaN), and float32 numbers are written with the fewest
digits that give the same float32 back, which keeps an hour of scores at a few MB.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, cast

import numpy as np

from aumer.errors import UsageError
from aumer.types import ActingUnit, BoolArray, FloatArray, IntArray, Side, TimeArray

T = TypeVar("T")


def jsonable(value: Any, where: str) -> Any:
    """A copy of `value` in dict, list, str, int, float, bool and None; tuples become lists.

    Raises:
        ValueError: something JSON cannot hold (an infinite number, an object, a key that is no
            string); the message says where, counted from `where`.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    # str(), int() and float() strip subclasses (str enums, ...), which JSON would not give back.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}; JSON can hold finite numbers only")
        return float(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{where} has the key {key!r}; JSON can hold text keys only")
        return {str.__str__(k): jsonable(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v, f"{where}[{i}]") for i, v in enumerate(value)]
    raise ValueError(f"{where} is a {type(value).__name__}, which JSON cannot hold: {value!r}")


def printable(text: str) -> str:
    """`text` with what UTF-8 cannot hold (bytes of a file name that is none) as backslash codes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def compact(values: FloatArray) -> list[float | None]:
    """(N,) float32 -> the doubles whose repr is the shortest that gives the float32 back."""
    short = values.astype("U32").astype(np.float64)
    # Rounded twice (decimal to double to float32) a number may end one step off: keep those long.
    short = np.where(short.astype(np.float32) == values, short, values.astype(np.float64))
    found: list[float | None] = short.tolist()
    for i in np.flatnonzero(np.isnan(values)):
        found[i] = None
    return found


@dataclass(frozen=True)
class Node:
    """A value inside a JSON document, and where it stands; every wrong thing is a UsageError."""

    value: Any
    path: str = ""

    def fail(self, expected: str) -> NoReturn:
        """Raise a UsageError that says where, what was expected and what was found."""
        found = repr(self.value)
        found = found if len(found) <= 60 else f"{found[:57]}..."
        raise UsageError(f"{self.path or 'the document'} must be {expected}; found {found}")

    def __getitem__(self, key: str) -> Node:
        if not isinstance(self.value, Mapping):
            self.fail("an object")
        path = f"{self.path}.{key}" if self.path else key
        if key not in self.value:
            raise UsageError(f"{path} is missing")
        return Node(self.value[key], path)

    def items(self) -> Iterator[tuple[str, Node]]:
        """The members of an object."""
        if not isinstance(self.value, Mapping):
            self.fail("an object")
        return ((key, self[key]) for key in self.value)

    def elements(self) -> Iterator[Node]:
        """The elements of an array."""
        if not isinstance(self.value, list):
            self.fail("an array")
        return (Node(v, f"{self.path}[{i}]") for i, v in enumerate(self.value))

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            self.fail("a string")
        return str(self.value)

    def integer(self) -> int:
        """An integer; 3.0 and true are none."""
        if type(self.value) is not int:
            self.fail("an integer")
        return int(self.value)

    def number(self) -> float:
        """A finite number."""
        if type(self.value) not in (int, float):
            self.fail("a number")
        try:
            number = float(self.value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self.fail("a finite number")
        return number

    def mapping(self, read: Callable[[Node], T]) -> dict[str, T]:
        """An object whose members `read` understands."""
        return {key: read(node) for key, node in self.items()}

    def optional(self, read: Callable[[Node], T]) -> T | None:
        """`None` for null, else what `read` makes of it."""
        return None if self.value is None else read(self)

    def build(self, make: Callable[[], T]) -> T:
        """`make()`, its ValueError turned into a UsageError that says where."""
        try:
            return make()
        except UsageError:
            raise
        except ValueError as error:
            raise UsageError(f"{self.path or 'the document'}: {error}") from error

    def floats(self) -> FloatArray:
        """(N,) float32; null is NaN."""
        wide = self._array("numbers or null", {float, int, type(None)}, np.float64)
        with np.errstate(over="ignore"):
            narrow: FloatArray = wide.astype(np.float32)
        if np.isinf(narrow).any():
            self.fail("an array of numbers that a float32 can hold")
        return narrow

    def times(self) -> TimeArray:
        """(N,) float64, finite."""
        times: TimeArray = self._array("numbers", {float, int}, np.float64)
        if not np.isfinite(times).all():
            self.fail("an array of finite numbers")
        return times

    def integers(self) -> IntArray:
        """(N,) int64."""
        integers: IntArray = self._array("integers", {int}, np.int64)
        return integers

    def booleans(self) -> BoolArray:
        """(N,) bool."""
        booleans: BoolArray = self._array("booleans", {bool}, np.bool_)
        return booleans

    def _array(self, what: str, allowed: set[type], dtype: type[np.generic]) -> Any:
        # One pass over the types, not one Node an element: an hour has 10^5 of them a channel.
        if not isinstance(self.value, list) or not {type(v) for v in self.value} <= allowed:
            self.fail(f"an array of {what}")
        try:
            return np.array(self.value, dtype=dtype)
        except OverflowError:
            self.fail(f"an array of {what} of at most 64 bits")

    def boolean(self) -> bool:
        """true or false."""
        if not isinstance(self.value, bool):
            self.fail("true or false")
        return bool(self.value)


def units_written(aus: tuple[ActingUnit, ...] | None) -> list[dict[str, Any]] | None:
    """Action units as JSON holds them: an object each, with the members of `ActingUnit`."""
    return None if aus is None else [dict(vars(unit)) for unit in aus]


def unit_shares(aus: tuple[ActingUnit, ...] | None) -> str | None:
    """The cell ``au_probs`` of a table: a JSON object, probability by action unit."""
    return None if aus is None else json.dumps({str(u.number): u.probability for u in aus})


def units_read(holder: Node) -> tuple[ActingUnit, ...] | None:
    """The member ``aus`` that `units_written` wrote; `None` where an earlier aumer wrote none."""
    if not (isinstance(holder.value, Mapping) and "aus" in holder.value):
        return None

    def unit(node: Node) -> ActingUnit:
        return node.build(
            lambda: ActingUnit(
                node["number"].integer(),
                node["probability"].number(),
                node["acts"].boolean(),
                cast("Side | None", node["side"].optional(Node.text)),
            )
        )

    return holder["aus"].optional(lambda aus: tuple(unit(one) for one in aus.elements()))
