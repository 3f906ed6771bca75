"""A line of text that says how far a long call is."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import aumer
from aumer import progress as module
from aumer.progress import telling
from aumer.testing.moving_face import film


def test_a_function_is_called_and_nothing_else_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[tuple[int, int | None]] = []

    def tell(done: int, total: int | None) -> None:
        said.append((done, total))

    with telling(tell) as told:
        assert told is tell
    for nothing in (None, False):
        with telling(nothing) as told:
            assert told is None
    assert capsys.readouterr().err == ""


def test_a_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY_S", 0.0)
    with contextlib.suppress(KeyboardInterrupt), telling(True) as told:
        assert told is not None
        told(50, 100)
        told(120, 100)  # the container was wrong
        told(130, None)
        raise KeyboardInterrupt  # the line ends all the same
    states = capsys.readouterr().err.split("\r")
    assert [state.rstrip(" ") for state in states] == [
        *("", "50 of about 100 (50%) frames", "120 frames", "130 frames", "130 frames\n"),
    ]
    # What is longer is overwritten whole.
    assert len(states[2]) == len(states[1])
    monkeypatch.setattr(module, "_EVERY_S", 3600.0)
    with telling(True) as told:
        assert told is not None
        for done in range(1, 1000):
            told(done, 1000)
    assert capsys.readouterr().err.count("\r") == 2  # the first, and the last as it ends


def test_a_call_that_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    frames = film(np.arange(12) / 30)
    aumer.features(frames, fps=30, settings={"motion": {"flow": "dis"}}, progress=True)
    assert capsys.readouterr().err.endswith("12 of about 12 (100%) frames\n")


def test_a_bar_in_a_notebook(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, str]] = []

    class Handle:
        def update(self, data: dict[str, str], raw: bool) -> None:
            shown[-1:] = [data]

    def display(data: dict[str, str], raw: bool, display_id: bool) -> Handle:
        shown.append(data)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(module, "_in_notebook", lambda: True)
    monkeypatch.setattr(module, "_EVERY_S", 0.0)
    with telling(True) as told:
        assert told is not None
        told(50, 100)
        assert 'max="100" value="50"' in shown[0]["text/html"]
        assert shown[0]["text/plain"] == "50 of about 100 (50%) frames"
        told(120, None)
        assert "max" not in shown[0]["text/html"]  # how much there is is not known
    assert 'max="120" value="120"' in shown[0]["text/html"] and len(shown) == 1
    with telling(True):
        pass
    assert len(shown) == 1 and capsys.readouterr().err == ""


def test_a_console_is_no_notebook() -> None:
    assert not module._in_notebook()
