"""State that a whole process shares: temporary changes, and forks."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator

from aumer.errors import UsageError

Undo = Callable[[], None]


class Momentary:
    """A change of the process that lasts as long as any thread needs it.

    Nested and concurrent blocks make the change once; the last one that ends undoes it. (If each
    block saved and restored the state by itself, overlapping blocks would make the change
    permanent.)

    Args:
        change: makes the change and returns a function that undoes it.
    """

    def __init__(self, change: Callable[[], Undo]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._users = 0
        self._undo: Undo | None = None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._users:
                self._undo = self._change()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    undo, self._undo = self._undo, None
                    assert undo is not None
                    undo()


def environment(name: str, value: str) -> Momentary:
    """Sets an environment variable temporarily."""

    def change() -> Undo:
        before = os.environ.get(name)
        os.environ[name] = value

        def undo() -> None:
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before

        return undo

    return Momentary(change)


def keep_streams() -> None:
    """Open closed descriptors 0 to 2 on the null device.

    Otherwise the next file that is opened would get such a number, and what C++ libraries print, or
    what `unannounced` does to stderr, would go to that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


#: Messages that TensorFlow Lite, glog and absl print at any log level.
_ANNOUNCED = re.compile(
    rb"INFO: Created TensorFlow Lite |WARNING: All log messages before absl|[IW]\d{4,8} "
)


def _hold_stderr() -> Undo:
    try:
        saved = os.dup(2)
    except OSError:  # no stderr at all
        return lambda: None
    try:
        held = tempfile.TemporaryFile()  # noqa: SIM115  # closed by what undoes this
    except OSError:  # no disk space: rather too many messages than none
        os.close(saved)
        return lambda: None
    os.dup2(held.fileno(), 2)

    def undo() -> None:
        os.dup2(saved, 2)
        os.close(saved)
        with held, contextlib.suppress(OSError):
            held.seek(0)
            for line in held:
                if not _ANNOUNCED.match(line):
                    os.write(2, line)

    return undo


#: Removes C++ libraries' announcements from file descriptor 2. Anything else written there
#: meanwhile, for example by other threads, is printed when the last block ends.
unannounced = Momentary(_hold_stderr)


def give_back_memory() -> None:
    """Return freed memory to the system, which glibc does not do by itself.

    After an hour of video this is a hundred megabytes.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


# -- forks -----------------------------------------------------------------------------------

_registered = threading.Event()
_orphaned = threading.Event()


def use_threads() -> None:
    """Record that this process uses threads of libraries (OpenCV, torch, a part's own).

    Raises:
        UsageError: this process was forked from one that used them. Threads are not copied by a
            fork, so waiting for one would never end.
    """
    if _orphaned.is_set():
        raise UsageError(
            f"process {os.getpid()} was forked from one in which aumer had already run. The "
            "threads of its networks do not exist here, so it would hang. Use spawn: "
            'multiprocessing.get_context("spawn"), or joblib, whose workers are fine; or '
            "fork before aumer's first call"
        )
    if not _registered.is_set() and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_orphaned.set)
        _registered.set()
