"""`aumer simulate` and `aumer demo`: what they write, print and refuse."""

from __future__ import annotations

import csv
from itertools import islice
from pathlib import Path

import pytest

from aumer.cli import main
from aumer.data import load as load_data
from aumer.errors import EXIT_OK, EXIT_UNREADABLE, EXIT_USAGE
from aumer.simulate import video
from aumer.simulate.features import read_features
from aumer.simulate.timeline import Timeline
from aumer.video import open_video

PLAYED = ["simulate", "video", "film.mp4", "--neutral"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(folder: Path, onset: int = 30, apex: int = 36, offset: int = 42) -> Path:
    path = folder / "table.csv"
    path.write_text(
        "subject,video_name,start_frame,apex_frame,end_frame,type_idx,au\n"
        f"1,s01_a,{onset},{apex},{offset},2,4\n1,s01_a,90,100,130,1,12\n"
    )
    return path


def test_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["simulate", "features", str(tmp_path / "out"), "--subjects", "2", "--minutes", "0.5"]
    assert main(words) == EXIT_OK
    truth = rows(tmp_path / "out" / "truth.csv")
    files = sorted((tmp_path / "out").rglob("*.npz"))
    assert len(files) == 2
    assert len(read_features(files[0])[0]) == 900
    printed = capsys.readouterr().out
    assert printed.startswith(f"2 videos with {len(truth)} expressions")
    before = files[0].read_bytes()
    assert main([*words, "--seed", "1"]) == EXIT_USAGE
    assert "--overwrite" in capsys.readouterr().err
    assert files[0].read_bytes() == before


def test_features_of_a_replayed_table(tmp_path: Path) -> None:
    words = ["simulate", "features", str(tmp_path / "out"), "--table", str(table(tmp_path))]
    assert main([*words, "--table-fps", "30", "--nuisance", "none"]) == EXIT_OK
    found = [
        (r["kind"], int(r["onset"]), int(r["apex"]), int(r["offset"]))
        for r in rows(tmp_path / "out" / "truth.csv")
    ]
    assert found == [("micro", 30, 36, 42), ("macro", 90, 100, 130)]


def test_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "film.avi"
    words = ["simulate", "video", str(out), "--seconds", "0.5", "--fps", "10", "--size", "160x120"]
    assert main(words) == EXIT_OK
    assert capsys.readouterr().out == f"{out}\n{tmp_path / 'film.csv'}\n"
    with open_video(out) as video:
        assert (video.info.width, video.info.height) == (160, 120)
        assert len(list(video)) == 5
    assert {r["file"] for r in rows(tmp_path / "film.csv")} == {"film.avi"}
    assert main(words) == EXIT_USAGE
    assert "--overwrite" in capsys.readouterr().err


def test_a_data_set_of_videos(tmp_path: Path) -> None:
    out = tmp_path / "set"
    words = ["simulate", "video", str(out), "--films", "2", "--seconds", "0.3", "--fps", "10"]
    assert main([*words, "--size", "160x120", "--no-nuisance"]) == EXIT_OK
    assert len(list(out.rglob("*.jpg"))) == 6
    assert len(list(out.glob("*.xlsx"))) == 1


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A recording of a face at rest: 30 frames at 25/s."""
    path = tmp_path / "still.avi"
    video.write_video(
        path,
        Timeline(1.2, ()),
        fps=25.0,
        size=(160, 120),
        nuisance=video.Nuisance.none(noise=1.0),
        codec="FFV1",
    )
    return path


def test_a_film_of_a_recording(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "film.avi"
    words = ["simulate", "video", str(out), "--neutral", str(clip), "--codec", "FFV1"]
    words += ["--table", str(table(tmp_path, onset=6, apex=12, offset=18)), "--table-fps", "30"]
    assert main([*words, "--amplitude", "0.02"]) == EXIT_OK
    printed = capsys.readouterr()
    assert printed.out == f"{out}\n{tmp_path / 'film.csv'}\n"
    acted, _ = rows(tmp_path / "film.csv")
    assert (acted["kind"], acted["onset"], acted["apex"], acted["offset"]) == (
        "micro", "5", "10", "15",
    )  # fmt: skip
    assert acted["fps"] == "25" and acted["n_frames"] == "900"  # the table's, to and fro
    assert float(acted["displacement"]) == pytest.approx(0.02, abs=1e-6)
    assert acted["note"] == "played into still.avi 0-29"
    with open_video(out) as film, open_video(clip) as recording:
        frames, still = (list(islice(v, 30)) for v in (film, recording))
    changed = [bool((a.image != b.image).any()) for a, b in zip(frames, still, strict=True)]
    assert changed == [5 < k < 15 for k in range(30)]
    assert main(words) == EXIT_USAGE
    assert "--overwrite" in capsys.readouterr().err


def test_a_data_set_of_recordings(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.avi"
    other.write_bytes(clip.read_bytes())
    out = tmp_path / "set"
    words = ["simulate", "video", str(out), "--neutral", str(clip), "--neutral", str(other)]
    assert main([*words, "--films", "2", "--seconds", "2", "--rate", "60"]) == EXIT_OK
    said = capsys.readouterr().err
    assert "read at 30 frames per second, and these films have 25" in said
    assert len(list(out.rglob("*.jpg"))) == 2 * 2 * 50
    assert sorted(p.name for p in out.glob("rawpic/*/*")) == [
        "1_0101film00", "1_0102film01", "2_0101film00", "2_0102film01",
    ]  # fmt: skip
    theirs = load_data("casme-sq", out)
    assert {r.subject for r in theirs.records()} <= {"s1", "s2"}
    ours = load_data("own", out, table=out / "truth.csv")
    assert {r.fps for r in ours.records()} == {25.0}
    found = sorted((a.kind, a.onset, a.offset) for r in ours.records() for a in r.annotations)
    assert found and found == sorted(
        (a.kind, a.onset, a.offset) for r in theirs.records() for a in r.annotations
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulate", "features", "out", "--level", "medum"], "Did you mean 'medium'"),
        (["simulate", "features", "out", "--layout", "aumr"], "Did you mean 'aumer'"),
        (["simulate", "features", "out", "--nuisance", "blink"], "Did you mean 'blinks'"),
        (
            ["simulate", "features", "out", "--subjects", "0"],
            "--subjects: must be a whole number of 1 or more",
        ),
        (["simulate", "features", "out", "--seed", "-1"], "--seed: must be a whole number of 0"),
        (["simulate", "video", "film.mp4", "--seed", "-1"], "--seed: must be a whole number of 0"),
        (["simulate", "video", "film.mp4", "--seconds", "0"], "--seconds: must be a number above"),
        (["simulate", "video", "film.mp4", "--rate", "nan"], "--rate: must be a number above 0"),
        (["simulate", "features", "out", "--table", "table.csv"], "--table needs --table-fps"),
        (["simulate", "features", "out", "--lengths", "x.csv"], "go with --table"),
        (["simulate", "video", "film.gif"], ".mp4, .mov, .mkv or .avi"),
        (["simulate", "video", "film.mp4", "--size", "640"], "--size is WIDTHxHEIGHT"),
        (["simulate", "video", "film.mp4", "--films", "2"], "holds one film"),
        (["simulate", "video", "film.mp4", "--portrait", "none.png"], "none.png"),
        (["simulate", "video", "film.mp4", "--from", "1"], "--from: goes with --neutral"),
        (["simulate", "video", "film.mp4", "--amplitude", "1"], "--amplitude: goes with"),
        (
            ["simulate", "video", "film.mp4", "--strength", "0"],
            "--strength: must be a number above 0",
        ),
        (["simulate", "video", "film.mp4", "--held", "2"], "0 to 1"),
        ([*PLAYED, "x.avi"], "x.avi"),
        ([*PLAYED, "x.avi", "--no-nuisance"], "--no-nuisance: says nothing with --neutral"),
        ([*PLAYED, "x.avi", "--size", "1x1", "--portrait", "p"], "--portrait and --size: says"),
        ([*PLAYED, "x.avi", "--fps", "30"], "--fps: is for a folder of frames"),
        ([*PLAYED, "x.avi", "--neutral", "y.avi"], "holds one film"),
        ([*PLAYED, "x.avi", "--neutral", "./x.avi"], "given twice"),
        ([*PLAYED, "x.avi", "--films", "2"], "holds one film"),
        ([*PLAYED, ".", "--codec", "FFV1"], "does not fit .mp4"),
        ([*PLAYED, "."], "fps"),
        (["demo", "--seed", "-1"], "--seed: must be a whole number of 0 or more"),
        (["demo", "--sed", "1"], "Did you mean '--seed'"),
    ],
)
def test_what_is_refused(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path)
    assert main(words) in (EXIT_USAGE, EXIT_UNREADABLE)
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
    assert not list(tmp_path.rglob("*.npz")) and not list(tmp_path.rglob("*.mp4"))


def test_the_demo_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "timeline.png"
    kept.write_text("mine")
    assert main(["demo", "-o", str(tmp_path)]) == EXIT_USAGE
    assert "--overwrite" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["timeline.png"]
    assert kept.read_text() == "mine"
