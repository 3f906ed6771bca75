"""Progress, log lines and their levels."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aumer.cli import console as module
from aumer.cli.console import Console

LOGGER = logging.getLogger("aumer")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(console: Console) -> None:
    console.start("film.mp4")
    for done in (1, 50, 120):
        console.progress(done, 100)
    LOGGER.warning("frozen")
    console.finish()
    console.note("done")


def test_a_terminal_gets_a_bar_that_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with Console() as console:
        work(console)
    text = terminal.getvalue()
    assert "film.mp4" in text
    assert "frames" in text
    assert "\r" in text
    assert "aumer: warning: frozen\n" in text
    assert text.endswith("done\n")
    assert text.split("\r")[-1] == "done\n"


def test_a_log_gets_lines_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Console() as console:
        work(console)
    assert capsys.readouterr().err.splitlines() == ["film.mp4", "aumer: warning: frozen", "done"]
    monkeypatch.setattr(module, "_EVERY_S", -1.0)
    with Console() as console:
        work(console)
    assert capsys.readouterr().err.splitlines() == [
        "film.mp4",
        "film.mp4: 1 of about 100 (1%) frames",
        "film.mp4: 50 of about 100 (50%) frames",
        "film.mp4: 120 frames",  # an estimate that was passed is not repeated
        "aumer: warning: frozen",
        "done",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Terminal() if terminal else io.StringIO())
    with Console(quiet=True) as console:
        work(console)
        console.error("wrong")
    assert stream.getvalue() == "aumer: error: wrong\n"


@pytest.mark.parametrize(
    ("make", "levels"),
    [
        (lambda: Console(quiet=True), "error"),
        (lambda: Console(), "warning error"),
        (lambda: Console(1), "info warning error"),
        (lambda: Console(2), "debug info warning error"),
        (lambda: Console(5), "debug info warning error"),
    ],
)
def test_levels(
    make: Callable[[], Console], levels: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with make():
        for level in ("debug", "info", "warning", "error"):
            getattr(LOGGER, level)("said")
    assert capsys.readouterr().err.splitlines() == [f"aumer: {x}: said" for x in levels.split()]


def test_the_logger_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    before = LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)
    with pytest.raises(ZeroDivisionError), Console(2):
        _ = 1 / 0
    assert (LOGGER.level, LOGGER.propagate, LOGGER.handlers) == before


def test_closed_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", None)
    with Console() as console:
        work(console)
        console.data("text")
        console.error("wrong")


def test_warnings_of_packages_are_kept_back(capsys: pytest.CaptureFixture[str]) -> None:
    import warnings

    def warn(console: Any) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "warnoptions", [])
            patch.setattr(warnings, "showwarning", lambda *args: print("shown", file=sys.stderr))
            with console:
                warnings.warn("old", UserWarning, stacklevel=1)
        return capsys.readouterr().err

    assert warn(Console()) == ""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert warn(Console(1)) == "shown\n"


def test_why_somebody_waits_is_said_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    for options, shown in (({}, True), ({"quiet": True}, False)):
        with Console(**options):
            LOGGER.log(25, "compiling")
            LOGGER.info("more")
        assert ("aumer: note: compiling\n" in capsys.readouterr().err) is shown


def test_names_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as console:
        console.error("\x1b[2Jfilm\x00.mp4 is no video")
    assert capsys.readouterr().err == "aumer: error: \ufffd[2Jfilm\ufffd.mp4 is no video\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_where_nothing_can_be_said_the_work_goes_on() -> None:
    def code(stdout: str, stderr: str, *arguments: str) -> int:
        with Path(stdout).open("w") as out, Path(stderr).open("w") as err:
            command = [sys.executable, "-m", "aumer", *arguments]
            return subprocess.run(command, stdout=out, stderr=err, check=False).returncode

    assert code("/dev/null", "/dev/full", "config", "--no-such-thing") == 2
    assert code("/dev/full", "/dev/null", "--version") == 2


def test_no_line_breaks_where_a_name_does(capsys: pytest.CaptureFixture[str]) -> None:
    name = "out/a\n\x1b[31mb.mp4"
    with Console(words=[name]) as console:
        console.start(name)
        console.note(f"{name}: wrote a\n\x1b[31mb.json")
        console.error(f"{name} is no video\nin two lines")
        console.finish()
    lines = capsys.readouterr().err.splitlines()
    assert [line.replace("\ufffd", "?") for line in lines] == [
        "out/a??[31mb.mp4",
        "out/a??[31mb.mp4: wrote a??[31mb.json",
        "aumer: error: out/a??[31mb.mp4 is no video",
        "in two lines",
    ]


def test_data_steer_no_terminal_and_stay_as_they_are_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for terminal, shown in ((True, "a\ufffd[31mb\n"), (False, "a\x1b[31mb\n")):
        with monkeypatch.context() as patch, Console() as console:
            patch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal)
            console.data("a\x1b[31mb\n")
        assert capsys.readouterr().out == shown
