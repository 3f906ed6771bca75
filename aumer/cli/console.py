"""Log lines, progress and errors on stderr."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from aumer import plugins
from aumer.errors import AumerError, UsageError, at_command_line
from aumer.foreign import shown

_LOGGER = logging.getLogger("aumer")

#: Level of messages shown by default: reasons for waiting, and warnings.
_NOTE = 25

#: Seconds between progress lines if stderr is not a terminal.
_EVERY_S = 30.0


def abandon_stdout() -> None:
    """Redirect stdout to the null device, so that Python's final flush does not fail."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (AttributeError, OSError, ValueError):  # stdout is not a file, or closed
        pass


def interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused an error: C++ extensions turn it into an ImportError while loading."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


class Console:
    """Controls stderr and the "aumer" logger during one command.

    Args:
        verbosity: 0 shows notes and warnings, 1 information, 2 everything.
        quiet: only errors; no progress.
        options: options of the command; the library's messages are rewritten for them.
        words: words of the command line. File names may contain line breaks and control characters,
            which are removed from all lines.
    """

    def __init__(
        self,
        verbosity: int = 0,
        *,
        quiet: bool = False,
        options: Collection[str] = (),
        words: Iterable[str] = (),
    ) -> None:
        self._options = options
        parts = {part for word in words for part in (word, Path(word).name, Path(word).stem)}
        # The longest first, since they may contain the others.
        self._odd = sorted((p for p in parts if p != shown(p)), key=len, reverse=True)
        self._verbose = verbosity > 0
        self._quiet = quiet
        chosen = (_NOTE, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
        self._level = logging.ERROR if quiet else chosen
        self._handler = _Handler(self)
        self._bar: Any = None
        self._shown_texts: set[str] = set()
        self._job, self._unit = "", ""
        self._last_shown = 0.0

    def __enter__(self) -> Console:
        self._before = (_LOGGER.level, _LOGGER.propagate)
        # Messages that are not shown are still collected for the result.
        _LOGGER.setLevel(min(self._level, logging.WARNING))
        self._handler.setLevel(self._level)
        _LOGGER.propagate = False  # other packages add handlers to the root logger
        _LOGGER.addHandler(self._handler)
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        if not (self._verbose or sys.warnoptions):
            warnings.simplefilter("ignore")  # warnings of packages that users cannot act on
        # A file name that the terminal cannot encode must not end the run.
        if isinstance(sys.stdout, io.TextIOWrapper):  # not a replaced stream
            sys.stdout.reconfigure(errors="backslashreplace")
        return self

    def __exit__(self, *raised: Any) -> None:
        self.finish()
        self._warnings.__exit__(*raised)
        _LOGGER.removeHandler(self._handler)
        level, _LOGGER.propagate = self._before
        _LOGGER.setLevel(level)

    # -- lines --------------------------------------------------------------------------------

    def data(self, text: str) -> None:
        """Write results to stdout and flush.

        Raises:
            BrokenPipeError: the reader of stdout has closed it (``aumer ... | head``).
            UsageError: the system refuses to write.
        """
        if sys.stdout is None:  # closed by the parent process
            return
        try:
            sys.stdout.write(self._plain(text) if sys.stdout.isatty() else text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            abandon_stdout()
            raise UsageError(f"cannot write to stdout: {error.strerror or error}") from error

    def note(self, text: str) -> None:
        """Print a line on stderr unless quiet."""
        if not self._quiet:
            self.line(self.message(text))

    def notes(self, about: str, texts: Iterable[str]) -> None:
        """Print the notes of a result that were not shown before."""
        for text in dict.fromkeys(texts):
            if text not in self._shown_texts:
                self.note(f"{about}: {text}")

    def remember(self, text: str) -> None:
        """Remember a logged line."""
        self._shown_texts.add(text)

    def error(self, error: AumerError | str) -> None:
        """Print an error, always."""
        self.line(f"aumer: error: {self.message(error)}")

    def message(self, error: AumerError | str) -> str:
        """A message of the library, rewritten for this command."""
        if isinstance(error, AumerError):
            return error.at_command_line(self._options)
        return at_command_line(error, self._options)

    def bug(self, error: BaseException, *, where: str = "") -> None:
        """Report an unexpected error: one line, and the traceback if verbose."""
        if self._verbose:
            self.line("".join(traceback.format_exception(error)).rstrip())
        what = " ".join(f"{type(error).__name__}: {error}".split())
        if line := plugins.line_of(error):  # to be fixed by its author
            more = "" if self._verbose else "; -v shows the traceback"
            self.error(
                f"{where}the plugin has an error, at {line}: {what}. Its author can correct "
                f"it{more}"
            )
            return
        self.error(
            f"{where}internal error, {what}. Please report this, with what `aumer doctor --report` "
            + ("prints." if self._verbose else "prints and the traceback that -v shows.")
        )

    def line(self, text: str) -> None:
        """Print a line on stderr, above the progress bar if there is one."""
        text = self._plain(text)
        bar = self._bar  # other threads may log
        # If stderr is full or closed, messages are lost, but work continues.
        with contextlib.suppress(OSError, ValueError):
            if bar is not None:
                bar.write(text, file=sys.stderr)
            elif sys.stderr is not None:
                print(text, file=sys.stderr, flush=True)

    def _plain(self, text: str) -> str:
        """The text without control characters, which file names may contain."""
        for name in self._odd:
            text = text.replace(name, shown(name))
        return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)

    # -- progress -----------------------------------------------------------------------------

    def start(self, job: str, *, unit: str = "frames") -> None:
        """Start showing the progress of a job: a bar on a terminal, otherwise occasional lines."""
        self.finish()
        job = shown(job)
        self._job, self._unit, self._last_shown = job, unit, time.monotonic()
        if self._quiet or sys.stderr is None:
            return
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                desc=job,
                unit=f" {unit}",
                unit_scale=unit == "bytes",
                leave=False,
                dynamic_ncols=True,
                file=sys.stderr,
            )
        else:
            self.line(job)

    def progress(self, done: int, total: int | None) -> None:
        """Update the progress; the total is an estimate and may be exceeded."""
        total = total if total is not None and total >= done else None
        if self._bar is not None:
            if self._bar.total != total:
                self._bar.total = total
            self._bar.update(done - self._bar.n)
        elif not self._quiet and time.monotonic() - self._last_shown > _EVERY_S:
            self._last_shown = time.monotonic()
            share = f" of about {total} ({done / total:.0%})" if total else ""
            self.line(f"{self._job}: {done}{share} {self._unit}")

    def finish(self) -> None:
        """End the job and remove its bar."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()


class _Handler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = "note" if record.levelno == _NOTE else record.levelname.lower()
            self._console.remember(record.getMessage())
            self._console.line(f"aumer: {level}: {self._console.message(self.format(record))}")
        except Exception:
            self.handleError(record)
