"""`aumer spot` over folders and manifests: what is taken, carried along, totalled and kept."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from aumer.results import SpotResult


@pytest.fixture
def study(videos: Path, tmp_path: Path) -> Path:
    """rec/smile.mp4, rec/b/still.avi, rec/b/bad.mp4, rec/c/frames/*.png."""
    rec = tmp_path / "rec"
    (rec / "b").mkdir(parents=True)
    shutil.copy(videos / "smile.mp4", rec)
    shutil.copy(videos / "still.avi", rec / "b")
    shutil.copy(videos / "text.mp4", rec / "b" / "bad.mp4")
    shutil.copytree(videos / "frames", rec / "c" / "frames")
    (tmp_path / "out").mkdir()
    return rec


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# -- folders --------------------------------------------------------------------------------------


def test_a_folder_of_videos_stands_for_its_videos(run: Any, study: Path) -> None:
    ran = run("spot rec")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "smile.mp4")
    assert "rec is a folder of videos: 1 videos" in ran.err


def test_the_tree_is_mirrored_and_errors_do_not_stop_it(run: Any, study: Path) -> None:
    out = study.parent / "out"
    ran = run("spot rec --recursive -o out --format json --format html")
    assert ran.code == 6
    found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*"))
    assert found == [
        "b/still.html", "b/still.json", "index.html", "smile.html", "smile.json",
    ]  # fmt: skip
    index = (out / "index.html").read_text("utf-8")
    assert 'href="smile.html"' in index
    assert 'href="b/still.html"' in index
    assert "bad.mp4" in index and 'href="b/bad.html"' not in index
    assert "3 videos" in index and "1 of 3 gave no result" in index


def test_folders_of_frames_are_taken_where_their_rate_is_known(run: Any, study: Path) -> None:
    ran = run("spot rec/c --recursive --fps 30 --format csv")
    assert ran.code == 0
    assert "1 folders of frames" in ran.err
    ran = run("spot rec/c --recursive")
    assert ran.code == 2
    assert "for a folder of images give --fps" in ran.err
    # Without --recursive a folder of frames is one video, as ever.
    assert run("spot rec/c/frames --fps 30").out.startswith("frames: no expression")


def test_a_folder_that_may_be_either_is_asked_about(run: Any, study: Path) -> None:
    shutil.copy(study / "smile.mp4", study / "c" / "frames")
    ran = run("spot rec/c/frames")
    assert ran.code == 2
    assert "20 images and 1 videos" in ran.err and "--fps" in ran.err
    assert run("spot rec/c/frames --fps 30").out.startswith("frames: ")


def test_two_folders_with_a_video_of_one_name(run: Any, study: Path) -> None:
    shutil.copytree(study / "b", study / "d")
    run("spot rec/b rec/d -o out")
    out = study.parent / "out"
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.json")) == [
        "b/still.json",
        "d/still.json",
    ]


def test_features_take_folders_too(run: Any, study: Path) -> None:
    ran = run("features rec/b -o out")
    assert ran.code == 6
    assert (study.parent / "out" / "still.npz").is_file()


# -- resume ---------------------------------------------------------------------------------------


def test_resume_keeps_what_fits_and_makes_the_rest(run: Any, study: Path) -> None:
    out = study.parent / "out"
    assert run("spot rec -o out").code == 0
    before = (out / "smile.json").stat().st_mtime_ns
    assert "exists" in run("spot rec --recursive -o out").err
    ran = run("spot rec --recursive -o out --resume")
    assert "rec/smile.mp4: kept" in ran.err
    assert (out / "smile.json").stat().st_mtime_ns == before
    assert (out / "b" / "still.json").is_file()


@pytest.mark.parametrize("words", ["--set rules.min_s=0.3", "--start 0.2", "--micro-max 0.7"])
def test_resume_takes_nothing_that_was_made_otherwise(run: Any, study: Path, words: str) -> None:
    run("spot rec -o out")
    path = study.parent / "out" / "smile.json"
    before = path.read_bytes()
    ran = run(f"spot rec -o out --resume {words}")
    assert ran.code == 2
    assert "made with other settings" in ran.err and "--overwrite" in ran.err
    assert path.read_bytes() == before


def test_resume_overwrites_no_file_that_it_cannot_tell(run: Any, study: Path) -> None:
    """Not a result of other settings beside which another file is missing, nor one without it."""
    out = study.parent / "out"
    run("spot rec -o out")
    before = (out / "smile.json").read_bytes()
    words = "--format json --format html --resume --set rules.min_s=0.3"
    assert run(f"spot rec -o out {words}").code == 2
    assert (out / "smile.json").read_bytes() == before and not (out / "smile.html").exists()
    (out / "smile.json").unlink()
    (out / "smile.html").write_text("mine")
    ran = run("spot rec -o out --format json --format html --resume")
    assert ran.code == 2 and "is there without smile.json" in ran.err
    assert (out / "smile.html").read_text() == "mine"


def test_resume_knows_another_video_of_the_same_name(run: Any, study: Path, videos: Path) -> None:
    run("spot rec -o out")
    shutil.copy(videos / "half.avi", study / "smile.mp4")
    assert "is of another video" in run("spot rec -o out --resume").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "give -o FOLDER"),
        ("-o out --format csv", "--format json"),
        ("-o out --face all", "--face all"),
        ("-o all.csv", "give -o FOLDER"),
    ],
)
def test_resume_needs_files_that_say_what_they_are(
    run: Any, study: Path, words: str, said: str
) -> None:
    ran = run(f"spot rec --recursive --resume {words}")
    assert ran.code == 2
    assert said in ran.err


# -- manifest -------------------------------------------------------------------------------------

MANIFEST = """file;Subject;condition;start;end;face;age
rec/smile.mp4;s1;rest;;;;30
rec/smile.mp4;s1;film;0,3;1,8;largest;30
rec/b/still.avi;s2;rest;;;;41
"""


@pytest.fixture
def manifest(study: Path) -> Path:
    path = study.parent / "m.csv"
    path.write_text(MANIFEST, encoding="utf-8")
    return path


def test_a_manifest_is_carried_into_all_results(run: Any, manifest: Path) -> None:
    folder = manifest.parent
    ran = run("spot --manifest m.csv -o all.csv -o out -o -")
    assert ran.code == 0, ran.err
    found = rows(folder / "all.csv")
    assert [(r["Subject"], r["condition"], r["age"]) for r in found] == [
        ("s1", "rest", "30"),
        ("s1", "film", "30"),
    ]
    told = rows(folder / "all.inputs.csv")
    assert [r["Subject"] for r in told] == ["s1", "s1", "s2"]
    # The parts of one video have files of their own.
    part = SpotResult.load(folder / "out" / "smile-2.json")
    assert part.about["condition"] == "film" and part.settings["input"]["start"] == 0.3
    assert part.scores.times[0] >= 0.3 and part.scores.times[-1] < 1.8
    assert SpotResult.from_json(part.to_json()) == part
    totals = rows(folder / "all.totals.csv")
    assert [(r["Subject"], r["condition"], r["videos"]) for r in totals] == [
        ("s1", "film", "1"),
        ("s1", "rest", "1"),
        ("s2", "rest", "1"),
    ]
    assert float(totals[1]["minutes"]) == pytest.approx(2 / 60, rel=0.05)
    assert re.search(r"Subject +condition +videos", ran.out)


def test_totals_by_columns_of_choice(run: Any, manifest: Path) -> None:
    out = run("spot --manifest m.csv --by age").out
    assert re.search(r"^ *age +videos", out, re.M)
    assert re.search(r"^ *30 +2 ", out, re.M) and re.search(r"^ *41 +1 ", out, re.M)
    ran = run("spot --manifest m.csv --by sex")
    assert ran.code == 2 and "Subject, condition" in ran.err


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("rec/smile.mp4;s1;rest;2;1;;", "must lie after start"),
        ("rec/smile.mp4;s1;rest;x;;;", "needs a number"),
        ("rec/smile.mp4;s1;rest;-1;;;", "must be at least 0"),
        ("rec/smile.mp4;s1;rest;;;all;", "each row has one face"),
        ("rec/smile.mp4;s1;rest;;;nobody;", "face.follow"),
        ("camera:0;s1;rest;;;;", "runs for ever"),
        ("rec/c/frames;s1;rest;;;;", "--fps"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named(run: Any, manifest: Path, row: str, said: str) -> None:
    manifest.write_text(f"{MANIFEST}{row}\n", encoding="utf-8")
    ran = run("spot --manifest m.csv")
    assert ran.code == 2
    assert said in ran.err
    assert ran.out == ""


def test_a_manifest_and_videos_are_one_too_many(run: Any, manifest: Path) -> None:
    assert "one or the other" in run("spot rec --manifest m.csv").err
    assert "no VIDEO is given" in run("spot").err
    manifest.write_text("name,subject\na.mp4,s1\n", encoding="utf-8")
    assert "no column 'file'" in run("spot --manifest m.csv").err


# -- pages ----------------------------------------------------------------------------------------


def test_a_page_shows_faces_unless_they_are_not_wanted(run: Any, study: Path) -> None:
    assert run("spot rec -o with.html").code == 0
    assert run("spot rec -o without.html --no-faces").code == 0
    given, spared = (study.parent / f"{name}.html" for name in ("with", "without"))
    shown = given.read_text("utf-8")
    assert shown.count('alt="Face at the') == 3
    assert "at apex" in shown
    bare = spared.read_text("utf-8")
    assert "Face at the" not in bare and "at apex" not in bare
    # The timeline's faces are pictures within its SVG, inside a data URI.
    assert len(bare) < len(shown)
