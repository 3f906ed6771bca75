"""Errors a user can meet, each with the exit code the command line ends with.

A message says what was wrong, what was found, what is allowed and how to fix it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_OK = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_UNREADABLE = 3
EXIT_NO_FACE = 4
EXIT_WEIGHTS = 5
EXIT_PARTIAL = 6
EXIT_INTERRUPTED = 130


class AumerError(Exception):
    """Base of every error aumer raises on purpose."""

    exit_code = EXIT_BUG


class UsageError(AumerError, ValueError):
    """An argument, an option or a setting is not one aumer can use."""

    exit_code = EXIT_USAGE


class ConfigError(UsageError):
    """A settings file or a setting has an unknown name, a wrong type or a value out of range."""


class BackendUnavailable(UsageError):
    """A named back end exists but cannot run here (a package or a build option is missing)."""


class VideoError(AumerError):
    """The input is not a video aumer can read: absent, empty, without a video stream, ..."""

    exit_code = EXIT_UNREADABLE


class NoFaceError(AumerError):
    """Too few frames hold a usable face. No face is not the same as no expression."""

    exit_code = EXIT_NO_FACE


class NoMotionError(NoFaceError):
    """A face is there, but nothing could be measured of it."""


class WeightsError(AumerError):
    """A file of network weights is missing, or is not the one the network needs."""

    exit_code = EXIT_WEIGHTS


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the choice nearest to `name`, or an empty string."""
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""
