"""The errors that users see, each with the exit code of the command line.

A message says what was wrong, what was found, what is allowed and how to fix it. It is written for
Python, with arguments and settings in backticks: ``use `overwrite=True` ``. `at_command_line`
rewrites them as options of a command.
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

#: What each exit code means, on the command line and in a service.
MEANINGS = {
    EXIT_BUG: "internal error: please report it",
    EXIT_USAGE: "an option, a setting or an output cannot be used",
    EXIT_UNREADABLE: "the input cannot be read",
    EXIT_NO_FACE: "too few frames show a usable face",
    EXIT_WEIGHTS: "weights are missing or do not fit",
}

#: An argument or setting in backticks, alone or with a value; other code contains blanks or
#: brackets.
_CODE = re.compile(r"`([A-Za-z_]\w*(?:\.\w+)*)(?: ?= ?([^`]+))?`")

#: Arguments that have another name on the command line.
_CALLED = {"folder": "--output", "roots": "--data"}


class AumerError(Exception):
    """Base class of every error that aumer raises on purpose.

    Args:
        fixes: ways to fix it, each a clause in the imperative. On the command line, those that the
            command has no option for are left out.

    Example:
        >>> try:
        ...     aumer.spot("none.mp4")
        ... except aumer.AumerError as error:
        ...     print(error.exit_code, error)
        3 none.mp4: no such file or folder (looked in ...).
    """

    exit_code = EXIT_BUG

    def __init__(self, *args: object, fixes: Iterable[str] = ()) -> None:
        super().__init__(*args)
        self.fixes = tuple(fixes)

    def __str__(self) -> str:
        return _with_fixes(super().__str__(), self.fixes)

    def at_command_line(self, options: Collection[str]) -> str:
        """The message for a command that has these options (``--fps``, ...)."""
        fixes = [fix for fix in self.fixes if _within(fix, options)]
        return at_command_line(_with_fixes(super().__str__(), fixes), options)


class UsageError(AumerError, ValueError):
    """An argument, an option or a setting cannot be used.

    Example:
        >>> try:
        ...     aumer.spot("interview.mp4", model="ruels")
        ... except aumer.UsageError as error:
        ...     print(error.exit_code, error)
        2 no spotter is called 'ruels'; there are ... Did you mean 'rules'?
    """

    exit_code = EXIT_USAGE


class ConfigError(UsageError):
    """A settings file or a setting has an unknown name, a wrong type or a value out of range.

    Example:
        >>> try:
        ...     aumer.load_settings(overrides={"motion.rate": 0})
        ... except aumer.ConfigError as error:
        ...     print(error.exit_code, error)
        2 overrides: motion.rate must be from 1 to 1000...; found 0.0
    """


class BackendUnavailable(UsageError):
    """A back end of that name exists but cannot run here (a package or a build option is missing).

    Example:
        >>> @aumer.register("flow", "mine")
        ... def mine(previous, following):
        ...     raise aumer.BackendUnavailable("the flow mine needs a license server")
        >>> try:
        ...     aumer.features("interview.mp4", settings={"motion": {"flow": "mine"}})
        ... except aumer.BackendUnavailable as error:
        ...     print(error.exit_code, error)
        2 the flow mine needs a license server
    """


class VideoError(AumerError):
    """The input is not a readable video: absent, empty, without a video stream, ...

    Example:
        >>> try:
        ...     aumer.open_video("none.mp4")
        ... except aumer.VideoError as error:
        ...     print(error.exit_code, error)
        3 none.mp4: no such file or folder (looked in ...).
    """

    exit_code = EXIT_UNREADABLE


class NoFaceError(AumerError):
    """Too few frames hold a usable face. No face is not the same as no expression.

    Example:
        >>> try:
        ...     aumer.spot(np.zeros((10, 64, 64, 3), np.uint8), fps=30)
        ... except aumer.NoFaceError as error:
        ...     print(error.exit_code, error)
        4 array: 0 of 10 analyzed frames hold a usable face...
    """

    exit_code = EXIT_NO_FACE


class NoMotionError(NoFaceError):
    """A face is there, but its motion could not be measured.

    Example:
        >>> try:
        ...     aumer.spot("interview.mp4", end=0.03)  # one frame
        ... except aumer.NoMotionError as error:
        ...     print(error.exit_code, error)
        4 interview.mp4: a face is there, but no motion could be measured: ...
    """


class WeightsError(AumerError):
    """A file of network weights is missing, damaged, or not what the network needs.

    Example:
        >>> try:
        ...     aumer.spot("interview.mp4", model="none.safetensors")
        ... except aumer.WeightsError as error:
        ...     print(error.exit_code, error)
        5 no weights at none.safetensors: ...
    """

    exit_code = EXIT_WEIGHTS


def at_command_line(text: str, options: Collection[str]) -> str:
    """A message rewritten for a command that has these options.

    ```fps=30` `` becomes ``--fps 30``, ```overwrite=True` `` becomes ``--overwrite`` and
    ```motion.rate=60` `` becomes ``--set motion.rate=60``. What has no option stays, without
    backticks.
    """

    def worded(code: re.Match[str]) -> str:
        name, value = code[1], None if code[2] is None else _word(code[2])
        option = _option(name)
        if "." in name:
            known = value is not None and "--set" in options
            return f"--set {name}={value}" if known else code[0].strip("`")
        if option not in options:
            # What is said of the predictions and of the truth apart has an option for each.
            both = [f"--{of}{option[1:]}" for of in ("predictions", "truth")]
            if value is None and set(both) <= set(options):
                return " or ".join(both)
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
    """A Python value as a word for a shell."""
    try:
        plain = ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value
    return shlex.quote(plain) if isinstance(plain, str) else value


def did_you_mean(name: str, choices: Iterable[str], *, least: float = 0.5) -> str:
    """`` Did you mean 'x'?`` for the choice nearest to `name`, or an empty string.

    Args:
        least: least similarity of a suggestion, 0 to 1.
    """
    near = difflib.get_close_matches(str(name), list(choices), n=1, cutoff=least)
    return f" Did you mean {near[0]!r}?" if near else ""
