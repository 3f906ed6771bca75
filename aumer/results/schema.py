"""Conversion to JSON values, and strict reading of JSON.

Arrays are lists, NaN is null (RFC 8259 has no NaN), and float32 numbers are written with the fewest
digits that round-trip, which keeps an hour of scores at a few MB.
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
    """A copy of `value` as dict, list, str, int, float, bool and None; tuples become lists.

    Raises:
        ValueError: a value that JSON cannot hold (an infinite number, an object, a key that is not
            a string); the message names its path, which begins with `where`.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    # str(), int() and float() strip subclasses (str enums, ...), which JSON would not preserve.
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
    """`text` with characters that UTF-8 cannot hold (undecodable bytes of a file name) as backslash
    escapes.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def compact(values: FloatArray) -> list[float | None]:
    """(N,) float32 -> the doubles with the shortest repr that round-trips as float32."""
    short = values.astype("U32").astype(np.float64)
    # Double rounding (decimal to double to float32) may be off by one step; such numbers stay long.
    short = np.where(short.astype(np.float32) == values, short, values.astype(np.float64))
    found: list[float | None] = short.tolist()
    for i in np.flatnonzero(np.isnan(values)):
        found[i] = None
    return found


#: Digits after the point that `compact_text` writes by itself: nine that count, after three zeros.
_DECIMALS = 12
#: The numbers below 10,000 as four characters each.
_FOUR = np.array([f"{n:04d}".encode() for n in range(10_000)]).view(np.uint8).reshape(-1, 4)
#: Most characters of a number in JSON, and of its comma.
_WIDEST = 26


def compact_text(values: FloatArray) -> str:
    """What JSON writes for `compact`, without the brackets, in a tenth of the time: ten hours of
    scores are fourteen million numbers.
    """
    wide = values.astype(np.float64)
    # For numbers from .001 to 1, which most scores are: the fewest digits that round-trip, as a
    # whole number of units of the twelfth decimal. Around powers of two the shortest digits need
    # not be the nearest.
    ours = (wide > 1.001e-3) & (wide < 1) & (values.view(np.uint32) & 0x7FFFFF != 0)
    units = np.zeros(len(values), np.int64)
    todo = np.flatnonzero(ours)
    zeros = (wide[todo] < 0.1).astype(np.int64) + (wide[todo] < 0.01)
    for digits in range(6, 10):
        scale = 10.0 ** (digits + zeros)
        rounded = np.rint(wide[todo] * scale)
        good = (rounded / scale).astype(np.float32) == values[todo]
        power = 10 ** (_DECIMALS - digits - zeros[good])
        units[todo[good]] = rounded[good].astype(np.int64) * power
        todo, zeros = todo[~good], zeros[~good]
    ours[todo] = False  # none: infinitely many digits would be needed, so leave it to `compact`
    text = np.empty((len(values), _WIDEST), np.uint8)
    text[:, :2] = np.frombuffer(b"0.", np.uint8)
    for k in range(0, _DECIMALS, 4):
        text[:, 2 + k : 6 + k] = _FOUR[units // 10 ** (_DECIMALS - 4 - k) % 10_000]
    # Zeros at the end are left out.
    last = _DECIMALS - (text[:, 1 + _DECIMALS : 1 : -1] != ord("0")).argmax(axis=1)
    lengths = 2 + last
    unknown = np.isnan(wide)
    text[unknown, :4] = np.frombuffer(b"null", np.uint8)
    lengths[unknown] = 4
    others = np.flatnonzero(~(ours | unknown))
    for i, value in zip(others.tolist(), compact(values[others]), strict=True):
        written = repr(value).encode()
        lengths[i] = len(written)
        text[i, : len(written)] = np.frombuffer(written, np.uint8)
    text[np.arange(len(values)), lengths] = ord(",")
    written_all: bytes = text[np.arange(_WIDEST) <= lengths[:, None]][:-1].tobytes()
    return written_all.decode("ascii")


@dataclass(frozen=True)
class Node:
    """A value in a JSON document with its path; any wrong value raises a UsageError."""

    value: Any
    path: str = ""

    def fail(self, expected: str) -> NoReturn:
        """Raise a UsageError with the path, the expected and the found value."""
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
        """An integer; 3.0 and true are refused."""
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
        """An object whose members are read by `read`."""
        return {key: read(node) for key, node in self.items()}

    def optional(self, read: Callable[[Node], T]) -> T | None:
        """`None` for null, else the value of `read`."""
        return None if self.value is None else read(self)

    def build(self, make: Callable[[], T]) -> T:
        """`make()`, with a ValueError turned into a UsageError with the path."""
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
        # One pass over the types instead of a Node per element: an hour has 10^5 elements per
        # channel.
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
    """Action units as JSON: one object each, with the members of `ActingUnit`."""
    return None if aus is None else [dict(vars(unit)) for unit in aus]


def unit_shares(aus: tuple[ActingUnit, ...] | None) -> str | None:
    """The cell ``au_probs`` of a table: a JSON object of probabilities by action unit."""
    return None if aus is None else json.dumps({str(u.number): u.probability for u in aus})


def units_read(holder: Node) -> tuple[ActingUnit, ...] | None:
    """The inverse of `units_written` for a member ``aus``; `None` if older versions wrote none."""
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
