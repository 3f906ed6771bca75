"""Progress of a long call, as a line of text or as a bar in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aumer.arguments import require_function

#: Called with the amount done, and an estimate of the total, if any.
Progress = Callable[[int, "int | None"], None]

#: Seconds between two updates of the line.
_EVERY_S = 0.5


@contextmanager
def telling(progress: Progress | bool | None, unit: str = "frames") -> Iterator[Progress | None]:
    """The function to call: `progress` itself, or for True one that shows a line on stderr.

    The line is plain text with a carriage return; in a notebook it is a bar, without ipywidgets.
    Its last state is that of the last call; without any call nothing is shown.
    """
    if progress is None or callable(progress):
        yield progress
        return
    found: Any = progress  # callers may pass anything
    if not isinstance(found, bool):
        require_function("progress", found, "a function, True or False")
    if not found:
        yield None
        return
    line = _Bar(unit) if _in_notebook() else _Line(unit)
    try:
        yield line
    finally:
        line.end()


class _Line:
    def __init__(self, unit: str) -> None:
        self._unit, self._last_shown, self._width = unit, -_EVERY_S, 0
        self._last: tuple[int, int | None] | None = None

    def __call__(self, done: int, total: int | None) -> None:
        self._last = done, total
        if time.monotonic() - self._last_shown >= _EVERY_S:
            self._last_shown = time.monotonic()
            self._write(done, total)

    def end(self) -> None:
        if self._last is not None:
            self._write(*self._last)
            self._say("\n")

    def _text(self, done: int, total: int | None) -> str:
        # The total is an estimate and may be exceeded.
        share = f" of about {total} ({done / total:.0%})" if total and done <= total else ""
        return f"{done}{share} {self._unit}"

    def _write(self, done: int, total: int | None) -> None:
        text = self._text(done, total)
        self._say(f"\r{text:<{self._width}}")
        self._width = len(text)

    @staticmethod
    def _say(text: str) -> None:
        if sys.stderr is not None:  # closed by the parent process
            sys.stderr.write(text)
            sys.stderr.flush()


class _Bar(_Line):
    """The same as the output of a notebook's cell, replaced at each update."""

    def __init__(self, unit: str) -> None:
        super().__init__(unit)
        self._shown: Any = None

    def end(self) -> None:
        if self._last is not None:
            done, total = self._last
            # At the end nothing remains, whatever the container's estimate was.
            self._draw(self._text(done, total), done, done)

    def _write(self, done: int, total: int | None) -> None:
        self._draw(self._text(done, total), done, total if total and done <= total else None)

    def _draw(self, text: str, done: int, total: int | None) -> None:
        from IPython.display import display

        attributes = "" if total is None else f' max="{max(1, total)}" value="{done}"'
        page = f'<progress style="width:20em"{attributes}></progress> {text}'
        data = {"text/plain": text, "text/html": page}
        if self._shown is None:
            self._shown = display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(data, raw=True)


def _in_notebook() -> bool:
    """Whether displayed output goes to a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
