"""The first minutes: `aumer` alone, `aumer demo --open`, and what the first errors say to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from aumer import demo
from aumer.cli import command_parser
from aumer.errors import EXIT_UNREADABLE, EXIT_USAGE
from aumer.simulate.timeline import Event, Timeline
from tests.cli.conftest import Run


def test_aumer_alone_says_what_to_do_first(run: Run) -> None:
    ran = run("")
    assert (ran.code, ran.out) == (EXIT_USAGE, "")
    lines = ran.err.splitlines()
    assert len(lines) <= 10 and "Traceback" not in ran.err
    named = [line.split()[1] for line in lines if line.startswith("  aumer ")]
    assert named == ["spot", "demo", "doctor"]
    for line in ("spot x.mp4", "demo --open", "doctor"):  # they are commands
        command_parser().parse_args(line.split())


def test_the_demo_is_shown_in_the_viewer(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("starlette", reason="the extra `view` is not installed")
    event = Event("macro", ((1, "both"), (2, "both")), 0.8, 1.2, 1.6, 2.0, 0.8)
    monkeypatch.setattr(demo, "performance", lambda seed: Timeline(3.0, (event,)))
    monkeypatch.setattr(demo, "SIZE", (320, 240))
    seen: list[list[Any]] = []
    opened: list[str] = []

    class Site:
        address = "http://127.0.0.1:1/?token=x"
        opening = "http://127.0.0.1:1/?token=once"

        def __init__(self, shown: list[Any]) -> None:
            seen.append(shown)

        def run(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr("aumer.view.server.Site", Site)
    monkeypatch.setattr("webbrowser.open", opened.append)
    ran = run("demo --open -o new")
    assert ran.code == 0, ran.err
    assert "1 of 1 found" in ran.out and ran.out.splitlines()[-1] == Site.address
    assert "aumer view new/face.mp4" in ran.out
    ((one,),) = seen
    result, truth = one.layers
    assert one.name == "face.mp4" and result.result is not None and truth.name == "truth"
    assert [e.onset for e in truth.file.expressions] == [24] and not truth.changed
    # The second time it is shown as it is, and not filmed again.
    before = (tmp_path / "new" / "face.mp4").stat().st_mtime_ns
    ran = run("demo --open -o new")
    assert ran.code == 0 and "--overwrite makes it again" in ran.err and len(seen) == 2
    assert (tmp_path / "new" / "face.mp4").stat().st_mtime_ns == before
    assert run("demo -o new").code == EXIT_USAGE
    assert opened == [Site.opening] * 2


def test_without_the_extra_nothing_is_filmed(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "starlette", None)
    ran = run("demo --open -o new")
    assert ran.code == EXIT_USAGE and 'pip install "aumer[view]"' in ran.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("devices", "usable", "part"),
    [
        ((), True, "no camera is connected"),
        (("/dev/video0", "/dev/video2"), True, "cameras found: camera:0, camera:2"),
        (("/dev/video9",), False, "sudo usermod -aG video"),
    ],
)
def test_no_camera(
    devices: tuple[str, ...], usable: bool, part: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aumer.video.camera._devices", lambda: [Path(d) for d in devices])
    monkeypatch.setattr("aumer.video.camera._may_use", lambda device: usable)
    ran = run("spot camera:9 --end 1")
    assert ran.code == EXIT_UNREADABLE and "camera 9 cannot be opened" in ran.err
    assert part in ran.err


def test_a_name_that_is_misspelled(run: Run) -> None:
    ran = run("spot @smyle.mp4")
    assert ran.code == EXIT_UNREADABLE and "Did you mean 'smile.mp4'?" in ran.err
    assert "Did you mean" not in run("spot @interview.mp4").err


def test_no_face_says_how_to_look(run: Run) -> None:
    ran = run("spot @gray.avi")
    assert (
        re.search(r"`aumer view --no-spot \S+gray\.avi`", ran.err) and "px apart or more" in ran.err
    )


def test_a_command_that_is_misspelled(run: Run) -> None:
    ran = run("spott smile.mp4")
    assert ran.code == EXIT_USAGE and "Did you mean 'spot'?" in ran.err
    assert "must be one of spot, live, classify" in ran.err
