"""What is said while something runs belongs to what comes of it: warnings, gathered for a result.

Whatever logs a warning to "aumer" says it to the user, and `gathered` keeps it as well. Each thread
says it to whoever started it: one that aumer starts runs in a copy of the starter's context.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any

_LOGGER = logging.getLogger("aumer")
_ears: ContextVar[tuple[list[str], ...]] = ContextVar("aumer_ears", default=())


class _Ear(logging.Handler):
    """Hands each warning to all who gather where it is logged."""

    def emit(self, record: logging.LogRecord) -> None:
        for heard in _ears.get():
            heard.append(record.getMessage())


_EAR = _Ear(logging.WARNING)


@contextmanager
def gathered() -> Iterator[list[str]]:
    """The texts of the warnings that are logged within, in this thread and those it starts."""
    heard: list[str] = []
    if _EAR not in _LOGGER.handlers:
        _LOGGER.addHandler(_EAR)
    before = _ears.set((*_ears.get(), heard))
    try:
        yield heard
    finally:
        _ears.reset(before)


def once(*texts: Iterable[str]) -> tuple[str, ...]:
    """All texts in their order, each once."""
    return tuple(dict.fromkeys(text for some in texts for text in some))


class Pool(ThreadPoolExecutor):
    """Threads whose warnings belong to whoever gives them work."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        return super().submit(copy_context().run, work, *args, **options)
