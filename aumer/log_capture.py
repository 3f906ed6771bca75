"""What is said while something runs belongs to what comes of it: warnings, gathered for a result.

Whatever is logged as a warning to "aumer" is shown to whoever watches; `gathered` keeps it as well.
A thread that aumer starts runs in a copy of its starter's context, so that two runs at a time do
not mix.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any

_LOGGER = logging.getLogger("aumer")
_collectors: ContextVar[tuple[list[str], ...]] = ContextVar("aumer_collectors", default=())


def _collect(record: logging.LogRecord) -> bool:
    if record.levelno >= logging.WARNING:
        for collected in _collectors.get():
            collected.append(record.getMessage())
    return True


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """The texts of the warnings that are logged within, in this thread and those it starts."""
    # A filter, since a logger with a handler no longer speaks where a program has set none up.
    _LOGGER.addFilter(_collect)  # which is there once, however often it is added
    collected: list[str] = []
    before = _collectors.set((*_collectors.get(), collected))
    try:
        yield collected
    finally:
        _collectors.reset(before)


def unique(*texts: Iterable[str]) -> tuple[str, ...]:
    """All texts in their order, each once."""
    return tuple(dict.fromkeys(text for some in texts for text in some))


class Pool(ThreadPoolExecutor):
    """Threads whose warnings belong to whoever gives them work."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """See `concurrent.futures.Executor`."""
        return super().submit(copy_context().run, work, *args, **options)
