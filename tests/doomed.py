"""Jobs that end their process. In a module that worker processes find: they have `tests` itself on
their path, and not the folder above it."""

from __future__ import annotations

import os
import signal


def ends(number: int) -> None:
    os._exit(number)


def killed(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
