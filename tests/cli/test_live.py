"""`aumer live` on films."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aumer
from aumer.cli import live_terminal
from aumer.streaming.events import LiveEvent, LiveStep
from aumer.types import Expression, Frame
from aumer.video.writer import VideoFile
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_json_lines_of_a_film(run: Run, videos: Path, tmp_path: Path) -> None:
    done = run("live @smile.mp4 --model rules --classify --record seen.mp4")
    assert done.code == 0, done.err
    told = lines(done.out)
    assert told[0]["event"] == "started" and told[0]["settles_s"] == 6.0
    assert told[-1]["event"] == "ended" and told[-1]["frames"] == 60
    assert told[-1]["recording"] == "seen.mp4" and (tmp_path / "seen.mp4").exists()
    batch = aumer.spot(videos / "smile.mp4", model="rules", recognizer="graph-motion")
    final = [one for one in told if one["event"] == "final"]
    assert [(e["kind"], e["onset"], e["apex"], e["offset"], e["label"]) for e in final] == [
        (e.kind, e.onset, e.apex, e.offset, e.label) for e in batch.expressions
    ]
    assert all(one["delay_s"] <= 0.5 for one in told if one["event"] == "provisional")
    assert "60 frames, 0 dropped" in done.err
    again = run("live @smile.mp4 --record seen.mp4")
    assert again.code == 2 and "exists" in again.err and not again.out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("@smile.mp4 --terminal", "--terminal draws on a terminal"),
        ("@smile.mp4 --no-browser", "--no-browser is an option of --page"),
        ("@smile.mp4 --overwrite", "--overwrite is for --record"),
        ("@smile.mp4 --json --terminal", "not allowed with"),
        ("@smile.mp4 --record x.avi", "keeps the times"),
        ("@smile.mp4 --face all", "follows one face"),
        ("@frames", "fps"),
        ("camera:x", "names no camera"),
    ],
)
def test_what_is_refused(run: Run, line: str, message: str) -> None:
    done = run(f"live {line}")
    assert done.code == 2
    assert message in done.err
    assert not done.out


def test_no_face_is_not_no_expression(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "gray.avi"
    with VideoFile(path, fps=30, size=(64, 64), codec="FFV1") as file:
        for _ in range(20):
            file.write(np.full((64, 64, 3), 90, np.uint8))
    done = run(f"live {path} --model rules")
    assert done.code == 4 and "no face was seen in any frame" in done.err
    assert lines(done.out)[-1]["coverage"] == 0


def test_no_such_camera(run: Run) -> None:
    done = run("live camera:99")
    assert done.code == 3 and "camera 99 cannot be opened" in done.err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_it_in_order(videos: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aumer", "live", str(videos / "frames"), "--fps", "0.5"]
    process = subprocess.Popen(
        [*command, "--realtime", "--model", "rules", "--record", str(tmp_path / "x.mov")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "started"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert lines(out)[-1]["event"] == "ended"
    assert "frames" in err and "Traceback" not in err


def test_the_view_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with aumer.live(np.zeros((2, 32, 32, 3), np.uint8), fps=30, model="rules") as run:
        seen = Expression("micro", 10, 14, 18, 0.33, 0.47, 0.6, score=0.8, label="surprise")
        curve = np.linspace(0, 1, 300).astype(np.float32)
        curve[:30] = np.nan
        image = np.zeros((8, 8, 3), np.uint8)
        with live_terminal.TerminalView(run) as view:
            for number, event in enumerate(("provisional", "final", "withdrawn")):
                told = (LiveEvent(event, 1, seen, 1.0, 0.4),)  # type: ignore[arg-type]
                step = LiveStep(
                    Frame(30 + number, 1.0 + number, image),
                    np.array([1, 1, 7, 7], np.float32) if number else None,
                    told,
                    np.arange(300) / 30,
                    curve,
                    0.05,
                    30,
                    number,
                )
                view.show(step)
                shown = capsys.readouterr().out
                assert ("NO FACE" in shown) == (number == 0)
                assert f"{number} dropped" in shown and "0.05 s late" in shown
                assert ("surprise" in shown) == (event != "withdrawn")
                assert ("..." in shown) == (event == "provisional")
                assert ("A" in shown) or number == 0
                assert all(len(line) < 100 for line in shown.splitlines())
    assert "\x1b[?25h" in capsys.readouterr().out, "the cursor is back"
