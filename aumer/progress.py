"""How far a long call is: whoever waits may be told in a line of text, in a notebook as well."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aumer.arguments import require_function

#: Called with how much is done, and an estimate of how much there is, if any.
Progress = Callable[[int, "int | None"], None]

#: Seconds between two states of the line.
_EVERY_S = 0.5


@contextmanager
def telling(progress: Progress | bool | None, unit: str = "frames") -> Iterator[Progress | None]:
    """What to call: `progress` itself, or for True what keeps a line on stderr up to date.

    The line is plain text with a carriage return, which terminals and notebooks (without
    ipywidgets) overwrite; it ends with what was done last, and only if anything was.
    """
    if progress is None or callable(progress):
        yield progress
        return
    found: Any = progress  # what callers give may be anything
    if not isinstance(found, bool):
        require_function("progress", found, "a function, True or False")
    if not found:
        yield None
        return
    line = _Line(unit)
    try:
        yield line
    finally:
        line.end()


class _Line:
    def __init__(self, unit: str) -> None:
        self._unit, self._spoke, self._width = unit, -_EVERY_S, 0
        self._last: tuple[int, int | None] | None = None

    def __call__(self, done: int, total: int | None) -> None:
        self._last = done, total
        if time.monotonic() - self._spoke >= _EVERY_S:
            self._spoke = time.monotonic()
            self._write(done, total)

    def end(self) -> None:
        if self._last is not None:
            self._write(*self._last)
            self._say("\n")

    def _write(self, done: int, total: int | None) -> None:
        # A total is an estimate, and may be passed.
        share = f" of about {total} ({done / total:.0%})" if total and done <= total else ""
        text = f"{done}{share} {self._unit}"
        self._say(f"\r{text:<{self._width}}")
        self._width = len(text)

    @staticmethod
    def _say(text: str) -> None:
        if sys.stderr is not None:  # closed by whoever started us
            sys.stderr.write(text)
            sys.stderr.flush()
