"""The command as a process: what it imports, its streams, signals and pipes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import aumer
from aumer.cli import main

HEAVY = ("torch", "cv2", "numpy", "matplotlib", "pandas", "mediapipe", "tqdm")


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "aumer", *words]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes run the aumer that is being tested."""
    monkeypatch.setenv("PYTHONPATH", str(Path(aumer.__file__).parents[1]))


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["spot", "--help"], ["models", "list"]]
)
def test_light_commands_import_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; from aumer.cli import main; code = main(sys.argv[1:]);"
        f"print(sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    ran = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "[]\n")
    assert ran.stdout


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name}-9.9")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "aumer aumer-9.9\n"

    def not_installed(name: str) -> str:
        from importlib.metadata import PackageNotFoundError

        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", not_installed)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "aumer (not installed)\n"


def test_only_data_on_stdout_and_no_noise_on_stderr(videos: Path) -> None:
    words = ("spot", str(videos / "still.avi"), "--format", "json", "--no-cache")
    ran = subprocess.run(command(*words), capture_output=True, text=True)
    assert ran.returncode == 0
    assert json.loads(ran.stdout)["video"]["name"] == "still.avi"
    # The first run after an installation says why it takes so long, and a slow one how far it is.
    usual = re.compile(r"aumer: note: compiling|still\.avi: \d+ of about 20 \(\d+%\) frames$")
    said = [x for x in ran.stderr.splitlines() if not usual.match(x)]
    assert said == ["still.avi"]


def test_interrupt_signal(videos: Path) -> None:
    words = (
        "spot",
        str(videos / "smile.mp4"),
        "--no-cache",
        "--model",
        "rules",
        "--flow",
        "tvl1-opencv",
    )
    with subprocess.Popen(
        command(*words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background (`pytest &`) hands down that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "smile.mp4\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "interrupted; 0 of 1 videos are done" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [["spot", "still.avi", "still.avi"], ["models", "list"]])
def test_a_reader_that_leaves(words: list[str], videos: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        command(*words), stdout=write, stderr=subprocess.PIPE, text=True, cwd=videos
    )
    os.close(write)
    assert ran.returncode == 141
    assert "Traceback" not in ran.stderr
    assert "BrokenPipe" not in ran.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout() -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(command("models", "list"), stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == 2
    assert ran.stderr.decode().splitlines() == [
        "aumer: error: cannot write to stdout: No space left on device"
    ]


@pytest.mark.skipif(os.name == "nt", reason="streams are closed by a shell")
def test_closed_streams(videos: Path, tmp_path: Path) -> None:
    """Results meant for stdout are not lost in silence; other work goes on."""

    def closed(*words: str) -> subprocess.CompletedProcess[bytes]:
        line = f"{shlex.join(command(*words))} <&- >&-"
        return subprocess.run(["sh", "-c", line], stderr=subprocess.PIPE, check=False)

    video = str(videos / "still.avi")
    ran = closed("spot", video)
    assert ran.returncode == 2
    assert b"error: stdout is closed" in ran.stderr
    assert closed("spot", video, "-o", str(tmp_path / "out.json")).returncode == 0
    assert json.loads((tmp_path / "out.json").read_text())["video"]["name"] == "still.avi"
    line = f"{shlex.join(command('spot', video, '-o', str(tmp_path / 'second.json')))} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", line], check=False).returncode == 0
    same = (tmp_path / "out.json").read_text(), (tmp_path / "second.json").read_text()
    assert same[0] == same[1]


def without_network() -> bool:
    try:
        tried = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return tried.returncode == 0


@pytest.mark.skipif(not without_network(), reason="`unshare -n` is not there or not permitted")
@pytest.mark.parametrize("name", ["spot", "classify"])
def test_a_run_without_network_equals_the_ordinary_one(name: str, videos: Path) -> None:
    words = command(name, str(videos / "smile.mp4"), "--format", "json", "--no-cache", "-q")
    out = [
        subprocess.run([*before, *words], stdout=subprocess.PIPE, check=True).stdout
        for before in ((), ("unshare", "-n"))
    ]
    assert out[0] == out[1]
    assert json.loads(out[0])


def test_runs_that_are_killed_go_on() -> None:
    """The study of all commands is long; this is a little of it."""
    root = Path(aumer.__file__).parents[1]
    if not (root / "benchmarks" / "studies" / "kills.py").is_file():
        pytest.skip("no checkout: its benchmarks are not here")
    words = ("-m", "benchmarks.studies.kills", "--kills", "2", "--seed", "1", "--only", "bench")
    ran = subprocess.run([sys.executable, *words], cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "0 failed"


def test_a_name_that_stdout_cannot_show(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "gesicht_ä_顔.avi").symlink_to(videos / "still.avi")
    ran = subprocess.run(
        command("spot", "gesicht_ä_顔.avi"),
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert ran.returncode == 0
    assert rb"gesicht_\xe4_\u9854.avi: no expression" in ran.stdout
