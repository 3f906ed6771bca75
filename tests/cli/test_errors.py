"""Every way to fail: exit code, and a message that says what was wrong and how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aumer import pipeline
from aumer.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_NO_FACE,
    EXIT_PARTIAL,
    EXIT_UNREADABLE,
    EXIT_USAGE,
    EXIT_WEIGHTS,
    BackendUnavailable,
)

LONG = "x" * 400 + ".mp4"

#: Command line after "aumer spot" (@ is the folder of videos), exit code, parts of the message.
TABLE: list[tuple[str, int, tuple[str, ...]]] = [
    # the input
    ("@none.mp4", EXIT_UNREADABLE, ("none.mp4", "no such file")),
    ("@empty.mp4", EXIT_UNREADABLE, ("empty.mp4", "0 bytes")),
    ("@text.mp4", EXIT_UNREADABLE, ("text.mp4", "text, not a video")),
    ("@no_images --fps 30", EXIT_UNREADABLE, ("no_images", "no images")),
    ("http://example.org/v.mp4", EXIT_UNREADABLE, ("http://example.org/v.mp4",)),
    (LONG, EXIT_UNREADABLE, ("name too long",)),
    ("camera:99 --end 1", EXIT_UNREADABLE, ("camera 99",)),
    ("@gray.avi", EXIT_NO_FACE, ("gray.avi", "0 of 10", "lower --min-coverage")),
    ("@half.avi --min-coverage 0.9", EXIT_NO_FACE, ("half.avi", "at least 90%")),
    ("@frames", EXIT_USAGE, ("frames", "--fps")),
    ("camera:0", EXIT_USAGE, ("camera:0", "--end")),
    ("camera:front --end 1", EXIT_USAGE, ("camera:front", "camera:0", "./camera:front")),
    ("7", EXIT_USAGE, ("camera:7",)),
    # the range
    ("@still.avi --start 2 --end 1", EXIT_USAGE, ("--end must lie after --start", "2 and 1")),
    ("@still.avi --start 60", EXIT_USAGE, ("--start 60", "beyond the end")),
    ("@still.avi --start=-1", EXIT_USAGE, ("--start", "0 or more seconds", "'-1'")),
    ("@still.avi --end soon", EXIT_USAGE, ("--end", "0 or more seconds", "'soon'")),
    ("@still.avi --fps 0", EXIT_USAGE, ("--fps", "above 0", "'0'")),
    ("@still.avi --fps nan", EXIT_USAGE, ("--fps", "above 0", "'nan'")),
    ("@still.avi --min-coverage 30", EXIT_USAGE, ("--min-coverage", "from 0 to 1", "'30'")),
    ("@still.avi --workers 0", EXIT_USAGE, ("--workers", "1 or more", "'0'")),
    # names and settings
    ("@still.avi --model ruels", EXIT_USAGE, ("'ruels'", "rules", "Did you mean 'rules'?")),
    ("@still.avi --flow farnback", EXIT_USAGE, ("'farnback'", "Did you mean 'farneback'?")),
    ("@still.avi --detector mediapie", EXIT_USAGE, ("Did you mean 'mediapipe'?",)),
    ("@still.avi --landmarker face-align", EXIT_USAGE, ("Did you mean 'face-alignment'?",)),
    (
        "@still.avi --set motoin.rate=30",
        EXIT_USAGE,
        ("unknown key motoin", "Did you mean 'motion'?"),
    ),
    ("@still.avi --set motion.rte=30", EXIT_USAGE, ("motion.rte", "Did you mean 'rate'?")),
    ("@still.avi --set motion.rate=fast", EXIT_USAGE, ("motion.rate must be a number", "'fast'")),
    ("@still.avi --set motion.rate=0", EXIT_USAGE, ("motion.rate must be from 1 to 1000",)),
    ("@still.avi --set motion.rate", EXIT_USAGE, ("PATH=VALUE", "'motion.rate'")),
    ("@still.avi --set rate=30", EXIT_USAGE, ("unknown key rate", "Did you mean 'motion.rate'?")),
    ("@still.avi --set motion.rate=[3", EXIT_USAGE, ("'[3' is not a TOML value",)),
    ("@still.avi --set motion.rate=", EXIT_USAGE, ("is not a TOML value",)),
    ("@still.avi --config broken.toml", EXIT_USAGE, ("broken.toml", "line 2")),
    ("@still.avi --config unknown.toml", EXIT_USAGE, ("motion must be a table", "rules.mins")),
    ("@still.avi --config absent.toml", EXIT_USAGE, ("no settings file 'absent.toml'",)),
    ("@still.avi --detector retinaface", EXIT_WEIGHTS, ("aumer models fetch retinaface",)),
    ("@still.avi --landmarker face-alignment", EXIT_WEIGHTS, ("models fetch face-alignment",)),
    ("@still.avi --cache there.json/x", EXIT_USAGE, ("cannot keep features", "there.json/x")),
    ("@still.avi --cache a --no-cache", EXIT_USAGE, ("not allowed with",)),
    # the output
    ("@still.avi -o there.json", EXIT_USAGE, ("there.json exists already", "--overwrite")),
    ("@still.avi -o no/out.json", EXIT_USAGE, ("folder no does not exist", "create it")),
    ("@still.avi -o no/", EXIT_USAGE, ("folder no does not exist", "create it")),
    ("@still.avi -o out.jsn", EXIT_USAGE, (".jsn", "Did you mean '.json'?")),
    ("@still.avi -o out", EXIT_USAGE, ("no suffix", "folder, create it")),
    ("@still.avi -o out.csv -o ./out.csv", EXIT_USAGE, ("out.csv would be written twice",)),
    ("@still.avi -o out.csv --format json", EXIT_USAGE, ("--format", "-o -")),
    ("@still.avi --format png", EXIT_USAGE, ("--format png", "stdout", "table, json, csv")),
    ("@still.avi -o dir --format table", EXIT_USAGE, ("--format table", "a folder")),
    ("@still.avi --format csv --format json", EXIT_USAGE, ("one --format", "csv and json")),
    ("@still.avi --format xls", EXIT_USAGE, ("--format", "xls", "json")),
    ("@still.avi @smile.mp4 -o all.json", EXIT_USAGE, ("all.json", "one video only", ".csv")),
    ("@still.avi @still.avi -o dir", EXIT_USAGE, ("still.json would be written twice",)),
    ("@frames --fps 30 -o @frames --format png", EXIT_USAGE, ("among the frames",)),
    # the command line itself
    ("", EXIT_USAGE, ("VIDEO", "aumer spot --help")),
    ("@still.avi --overwrit", EXIT_USAGE, ("Did you mean '--overwrite'?", "aumer spot --help")),
    ("@still.avi -q -v", EXIT_USAGE, ("not allowed with",)),
    # several inputs that fail alike, and differently
    ("@empty.mp4 @text.mp4", EXIT_UNREADABLE, ("2 of 2 videos failed", "0 bytes")),
    ("@empty.mp4 @gray.avi", EXIT_PARTIAL, ("exit code 3", "exit code 4")),
]


@pytest.mark.parametrize(
    ("line", "code", "parts"), TABLE, ids=[line.replace("@", "")[:40] for line, *_ in TABLE]
)
def test_failing(
    line: str, code: int, parts: tuple[str, ...], run: Any, tmp_path: Path, videos: Path
) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "there.json").write_text("mine")
    (tmp_path / "broken.toml").write_text("[motion]\nrate 30\n")
    (tmp_path / "unknown.toml").write_text("motion = 3\n[rules]\nmins = 1\n")
    before = sorted(tmp_path.rglob("*")), sorted(videos.rglob("*"))
    ran = run(f"spot {line}")
    assert (ran.code, ran.out) == (code, ""), ran.err
    for part in parts:
        assert part.lower() in ran.err.lower()
    assert "error: " in ran.err
    assert "Traceback" not in ran.err
    assert (sorted(tmp_path.rglob("*")), sorted(videos.rglob("*"))) == before
    assert (tmp_path / "there.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("line", "code", "part"),
    [
        ("", EXIT_USAGE, "COMMAND"),
        ("spt", EXIT_USAGE, "spot"),
        ("models", EXIT_USAGE, "ACTION"),
        ("models fetch", EXIT_USAGE, "NAME"),
        ("doctor --jsn", EXIT_USAGE, "Did you mean '--json'?"),
        ("doctor me", EXIT_USAGE, "'me'"),
        ("-q doctor", EXIT_USAGE, "It goes behind the command: `aumer doctor -q`."),
        ("bench -q list", EXIT_USAGE, "It goes behind the command: `aumer bench list -q`."),
        ("models fetch retinafce", EXIT_USAGE, "Did you mean 'retinaface'?"),
    ],
)
def test_failing_elsewhere(line: str, code: int, part: str, run: Any) -> None:
    ran = run(line)
    assert (ran.code, ran.out) == (code, "")
    assert part in ran.err


def test_nothing_is_analyzed_before_the_outputs_are_checked(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []
    monkeypatch.setattr(pipeline.Spotter, "each_face", lambda *args, **options: seen.append(args))
    (tmp_path / "still.json").touch()
    assert run("spot @smile.mp4 @still.avi -o .").code == EXIT_USAGE
    assert seen == []


def test_one_bad_file_does_not_stop_the_others(run: Any, tmp_path: Path) -> None:
    ran = run("spot @empty.mp4 @still.avi @gray.avi -o . -o all.csv")
    assert (ran.code, ran.out) == (EXIT_PARTIAL, "")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["all.csv", "all.inputs.csv", "still.json"]
    table = ran.err[ran.err.index("2 of 3 videos failed:") :].splitlines()
    assert len(table) == 4
    assert "empty.mp4" in table[1]
    assert "exit code 3" in table[1]
    assert "0 bytes" in table[1]
    assert "gray.avi" in table[2]
    assert "exit code 4" in table[2]
    assert "with --resume the same command keeps what is there" in table[3]
    # Each is also told when it happens, not hours later.
    assert ran.err.count("aumer: error: ") == 2
    assert ran.err.index("aumer: error: ") < ran.err.index("still.avi")


class Fails:
    """In the place of `Spotter.each_face`: raises at the video whose name is given."""

    def __init__(self, name: str, error: BaseException) -> None:
        self.name, self.error = name, error
        self.spot = pipeline.Spotter.each_face

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def call(spotter: pipeline.Spotter, video: Any, **options: Any) -> Any:
            if Path(video).name == self.name:
                raise self.error
            return self.spot(spotter, video, **options)

        monkeypatch.setattr(pipeline.Spotter, "each_face", call)


def test_interrupted(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Fails("half.avi", KeyboardInterrupt()).patch(monkeypatch)
    ran = run("spot @still.avi @half.avi @smile.mp4 -o . --cache kept")
    assert (ran.code, ran.out) == (EXIT_INTERRUPTED, "")
    last = ran.err.splitlines()[-1]
    for part in ("interrupted", "1 of 3", "still.json", "kept in kept", "with --resume"):
        assert part in last
    assert (tmp_path / "still.json").is_file()
    ran = run("spot @half.avi --no-cache")
    assert ran.code == EXIT_INTERRUPTED
    assert "start again" in ran.err


def test_interrupted_outside_a_video(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aumer.config.layers", interrupted)
    ran = run("spot @still.avi")
    assert (ran.code, ran.out) == (EXIT_INTERRUPTED, "")
    assert "interrupted" in ran.err


@pytest.mark.parametrize("where", ["in a video", "elsewhere"])
@pytest.mark.parametrize("verbose", [False, True])
def test_a_bug(where: str, verbose: bool, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bug = RuntimeError("a screw\nis loose")
    if where == "in a video":
        Fails("still.avi", bug).patch(monkeypatch)
    else:

        def fails(*args: Any) -> None:
            raise bug

        monkeypatch.setattr("aumer.config.layers", fails)
    ran = run(f"spot @still.avi {'-v' if verbose else ''}")
    assert (ran.code, ran.out) == (EXIT_BUG, "")
    assert "internal error, RuntimeError: a screw is loose" in ran.err
    assert "Please report" in ran.err
    assert ("Traceback" in ran.err) == verbose
    if not verbose:
        assert len([line for line in ran.err.splitlines() if line.startswith("aumer:")]) == 1


def test_an_interrupt_that_a_package_took_for_its_own(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What pybind11 makes of Ctrl-C while a module loads, and what the back end makes of that.
    failed, unavailable = ImportError("initialization failed"), BackendUnavailable("no mediapipe")
    failed.__cause__, unavailable.__cause__ = KeyboardInterrupt(), failed
    Fails("still.avi", unavailable).patch(monkeypatch)
    ran = run("spot @still.avi @smile.mp4")
    assert (ran.code, ran.out) == (EXIT_INTERRUPTED, "")
    assert "0 of 2" in ran.err


def test_a_bug_in_one_video_does_not_stop_the_others(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Fails("half.avi", RuntimeError("boo")).patch(monkeypatch)
    ran = run("spot @half.avi @still.avi -o .")
    assert ran.code == EXIT_PARTIAL
    assert "exit code 1" in ran.err
    assert (tmp_path / "still.json").is_file()


def test_a_missing_right_is_no_bug(run: Any, monkeypatch: pytest.MonkeyPatch, videos: Path) -> None:
    refused = PermissionError(13, "Permission denied", str(videos / "still.avi"))
    Fails("still.avi", refused).patch(monkeypatch)
    ran = run("spot @still.avi")
    assert ran.code == EXIT_UNREADABLE
    assert "still.avi cannot be read: Permission denied" in ran.err
    # A package that lost one of its own files is no unreadable video.
    Fails("still.avi", FileNotFoundError(2, "No such file", "/lib/model.bin")).patch(monkeypatch)
    assert run("spot @still.avi").code == EXIT_BUG


def test_a_cache_that_cannot_be_made_is_done_without(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AUMER_CACHE", str(tmp_path / "file" / "cache"))
    ran = run("spot @still.avi")
    assert ran.code == 0
    assert "warning: the features are not kept" in ran.err
    monkeypatch.delenv("AUMER_CACHE")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    ran = run("spot @still.avi -q")
    assert (ran.code, ran.err) == (0, "")
