"""What the stages of spotting give for hours of video, kept while they are run.

All stages after the motion take a minute for ten hours. So that a run that is killed among them
loses seconds of it, each of them asks `kept` for what it has given before. What is kept is named by
a digest of all that it depends on: the content of the stage's input, its settings, aumer's code and
the versions of packages. So nothing stale is ever taken. A stage that takes longer than a few
seconds for ten hours is kept in parts.

Nothing is kept outside a block of `kept_in`, for videos that are decided within seconds
(`LONG_ROWS`), or for a user's own parts, whose code is not known here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from operator import attrgetter
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from aumer.cache import Arrays, StageCache, rested
from aumer.config import digest
from aumer.source_code import code_of
from aumer.types import Expression, Features, Scores

T = TypeVar("T")

#: Rows from which on stages are kept, and memory is worth giving back: an hour at 30 a second.
LONG_ROWS = 100_000
#: Rows of the parts in which a long stage is kept: three seconds' work of the rules.
PART_ROWS = 250_000

#: Modules of aumer, and packages, that numbers of the stages follow from.
_CODE = ("config", "face.mean_face", "graph", "learning", "spotting", "types")
_PACKAGES = ("numpy", "scipy", "torch", "torch-geometric")
#: Modules whose code these names stand for.
_KNOWN = frozenset(("aumer", *(name.replace("-", "_") for name in _PACKAGES)))
#: Bytes that are digested at a time.
_AT_ONCE = 1 << 24


@dataclass
class _Run:
    """The digests of one run's inputs, so that each is made once."""

    cache: StageCache
    known: WeakKeyDictionary[Features | Scores, str] = field(default_factory=WeakKeyDictionary)

    def content(self, of: Features | Scores) -> str:
        if of not in self.known:
            self.known[of] = _content(of)
        return self.known[of]


_run: ContextVar[_Run | None] = ContextVar("stages", default=None)


@contextmanager
def kept_in(store: StageCache | None) -> Iterator[None]:
    """Within this block stages are kept in `store`. When it ends without an error, what no stage
    asked for is deleted. `None` keeps nothing.
    """
    if store is None:
        yield
        return
    token = _run.set(_Run(store))
    try:
        yield
    finally:
        _run.reset(token)
    store.drop_others()


def kept(
    stage: str,
    of: Sequence[Features | Scores],
    by: Sequence[object],
    about: Mapping[str, Any],
    compute: Callable[[], T],
    pack: Callable[[T], Arrays],
    unpack: Callable[[Arrays], T],
) -> T:
    """What `compute` gives, or has given for the same input.

    Args:
        stage: name of the stage, and of the part of it.
        of: the inputs, equally long; their content counts.
        by: the objects whose code runs.
        about: everything else that the numbers depend on, as JSON values.
        pack, unpack: to arrays and back, bit for bit.
    """
    run = _run.get()
    if run is None or len(of[0]) <= LONG_ROWS or not all(_is_known(one) for one in by):
        return compute()
    name = digest(
        {
            "stage": stage,
            "of": [run.content(one) for one in of],
            "by": [f"{type(one).__module__}.{type(one).__qualname__}" for one in by],
            "about": dict(about),
            **_made_by(),
        }
    )
    known = run.cache.get(name)
    if known is not None:
        return unpack(known)
    found = compute()
    run.cache.put(name, pack(found))
    return found


def parts(rows: int) -> int:
    """In how many parts a stage of so many rows is computed and kept."""
    return max(1, rows // PART_ROWS)


def packed_rows(rows: Sequence[Sequence[Any]]) -> Arrays:
    """Rows of plain values as arrays for a file; numbers stay what they are, bit by bit."""
    text = json.dumps(rows, separators=(",", ":"), default=_plain)
    return {"rows": np.frombuffer(text.encode("ascii"), np.uint8)}


def unpacked_rows(arrays: Arrays) -> list[list[Any]]:
    """The inverse of `packed_rows`; rows are lists."""
    found: list[list[Any]] = json.loads(arrays["rows"].tobytes())
    return found


#: Fields of an expression that spotters give; labels and action units come later.
_GIVEN = tuple(one.name for one in fields(Expression) if one.name not in ("label", "probs", "aus"))


def packed_expressions(found: Sequence[Expression]) -> Arrays:
    """Expressions without labels as arrays."""
    return packed_rows(list(map(attrgetter(*_GIVEN), found)))


def unpacked_expressions(arrays: Arrays) -> tuple[Expression, ...]:
    """The inverse of `packed_expressions`."""
    return tuple(Expression(**dict(zip(_GIVEN, row, strict=True))) for row in unpacked_rows(arrays))


def _plain(value: Any) -> Any:
    """A scalar of numpy that is none of Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not kept")


def _is_known(part: object) -> bool:
    return type(part).__module__.partition(".")[0] in _KNOWN


@cache
def _made_by() -> dict[str, Any]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return {"code": code_of(_CODE), "packages": found}


def _content(of: Features | Scores) -> str:
    """Digest of all members."""
    known = hashlib.sha256(type(of).__name__.encode())
    for one in fields(of):
        value = getattr(of, one.name)
        if not isinstance(value, np.ndarray):
            known.update(f"{one.name} {value!r}".encode())
            continue
        known.update(f"{one.name} {value.dtype} {value.shape}".encode())
        rows = max(1, _AT_ONCE * len(value) // max(1, value.nbytes))
        for begin in range(0, len(value), rows):  # hours of motion lie in a file
            known.update(np.ascontiguousarray(value[begin : begin + rows]).data)
            rested(value)
    return known.hexdigest()
