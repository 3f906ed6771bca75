"""`aumer simulate` and `aumer demo`: what they write, print and refuse."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from aumer.cli import main
from aumer.errors import EXIT_OK, EXIT_USAGE
from aumer.simulate.features import read_features
from aumer.video import open_video


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(folder: Path) -> Path:
    path = folder / "table.csv"
    path.write_text(
        "subject,video_name,start_frame,apex_frame,end_frame,type_idx,au\n"
        "1,s01_a,30,36,42,2,4\n1,s01_a,90,100,130,1,12\n"
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulate", "features", "out", "--level", "medum"], "Did you mean 'medium'"),
        (["simulate", "features", "out", "--layout", "aumr"], "Did you mean 'aumer'"),
        (["simulate", "features", "out", "--nuisance", "blink"], "Did you mean 'blinks'"),
        (["simulate", "features", "out", "--subjects", "0"], "subjects must be > 0"),
        (["simulate", "features", "out", "--seed", "-1"], "seed must be >= 0"),
        (["simulate", "features", "out", "--table", "table.csv"], "--table needs --table-fps"),
        (["simulate", "features", "out", "--lengths", "x.csv"], "go with --table"),
        (["simulate", "video", "film.gif"], ".mp4, .mov, .mkv or .avi"),
        (["simulate", "video", "film.mp4", "--size", "640"], "--size is WIDTHxHEIGHT"),
        (["simulate", "video", "film.mp4", "--films", "2"], "holds one film"),
        (["simulate", "video", "film.mp4", "--portrait", "none.png"], "none.png"),
        (["demo", "--seed", "-1"], "seed must be 0 or more"),
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
    assert main(words) == EXIT_USAGE
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
