"""Collects the warnings that are logged during a run, for its result.

Warnings logged to "aumer" are shown as usual; `collected_warnings` stores them, too. A thread that
aumer starts runs in a copy of its starter's context, so that the warnings of concurrent runs do not
mix.
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
    """The texts of the warnings logged in the block, by this thread and those that it starts."""
    # A filter, not a handler: a handler would disable logging's default output to stderr.
    _LOGGER.addFilter(_collect)  # adding it again has no effect
    collected: list[str] = []
    before = _collectors.set((*_collectors.get(), collected))
    try:
        yield collected
    finally:
        _collectors.reset(before)


def unique(*texts: Iterable[str]) -> tuple[str, ...]:
    """The texts in order, without repetitions."""
    return tuple(dict.fromkeys(text for some in texts for text in some))


class Pool(ThreadPoolExecutor):
    """A thread pool whose warnings are collected by the caller that submits the work."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """See `concurrent.futures.Executor`."""
        return super().submit(copy_context().run, work, *args, **options)
