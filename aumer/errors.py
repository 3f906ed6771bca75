"""Errors a user can meet, each with the exit code the command line ends with.

A message says what was wrong, what was found, what is allowed and how to fix it. It is written for
Python, with arguments and settings in backticks: ``use `overwrite=True` ``. `at_command_line` says
the same with the options of a command.
"""

from __future__ import annotations

import ast
import difflib
import re
import shlex
from collections.abc import Collection, Iterable

EXIT_OK = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_UNREADABLE = 3
EXIT_NO_FACE = 4
EXIT_WEIGHTS = 5
EXIT_PARTIAL = 6
EXIT_INTERRUPTED = 130

#: What each says of a run, on the command line and in a service.
MEANINGS = {
    EXIT_BUG: "internal error: please report it",
    EXIT_USAGE: "an option, a setting or an output cannot be used",
    EXIT_UNREADABLE: "the input cannot be read",
    EXIT_NO_FACE: "too few frames show a usable face",
    EXIT_WEIGHTS: "weights are missing or do not fit",
}

#: An argument or a setting in backticks, alone or with a value; other code has blanks or brackets.
_CODE = re.compile(r"`([A-Za-z_]\w*(?:\.\w+)*)(?: ?= ?([^`]+))?`")

#: Arguments that are called otherwise on the command line.
_CALLED = {"folder": "--output", "roots": "--data"}


class AumerError(Exception):
    """Base of every error aumer raises on purpose.

    Args:
        fixes: ways out, each a clause in the imperative. On the command line, those that a command
            has no option for are left out.
    """

    exit_code = EXIT_BUG

    def __init__(self, *args: object, fixes: Iterable[str] = ()) -> None:
        super().__init__(*args)
        self.fixes = tuple(fixes)

    def __str__(self) -> str:
        return _with_fixes(super().__str__(), self.fixes)

    def at_command_line(self, options: Collection[str]) -> str:
        """The message in the words of a command that has these options (``--fps``, ...)."""
        fixes = [fix for fix in self.fixes if _within(fix, options)]
        return at_command_line(_with_fixes(super().__str__(), fixes), options)


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


def at_command_line(text: str, options: Collection[str]) -> str:
    """A message in the words of a command that has these options.

    With them, ```fps=30` `` is ``--fps 30``, ```overwrite=True` `` is ``--overwrite`` and
    ```motion.rate=60` `` is ``--set motion.rate=60``. What there is no option for stays, without
    backticks.
    """

    def worded(code: re.Match[str]) -> str:
        name, value = code[1], None if code[2] is None else _word(code[2])
        option = _option(name)
        if "." in name:
            known = value is not None and "--set" in options
            return f"--set {name}={value}" if known else code[0].strip("`")
        if option not in options:
            return code[0].strip("`")
        return option if value in (None, "True") else f"{option} {value}"

    return _CODE.sub(worded, text)


def _with_fixes(message: str, fixes: Collection[str]) -> str:
    *most, last = fixes or ("",)
    listed = f"{', '.join(most)}, or {last}" if most else last
    return f"{message}; {listed}" if listed else message


def _within(fix: str, options: Collection[str]) -> bool:
    return all("." in code[1] or _option(code[1]) in options for code in _CODE.finditer(fix))


def _option(name: str) -> str:
    return _CALLED.get(name, f"--{name.replace('_', '-')}")


def _word(value: str) -> str:
    """A Python value as a shell takes it."""
    try:
        plain = ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value
    return shlex.quote(plain) if isinstance(plain, str) else value


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the choice nearest to `name`, or an empty string."""
    near = difflib.get_close_matches(str(name), list(choices), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""
