"""`aumer spot` over folders and manifests: what is taken, carried along, totalled and kept."""

from __future__ import annotations

import csv
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from aumer.cli.inputs import meant
from aumer.cli.outputs import Outputs
from aumer.errors import UsageError
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
    # Either is said, and so is what is left out.
    assert (
        "rec/c/frames is a folder of images: they are taken for one video"
        in run("spot rec/c/frames --fps 30").err
    )
    ran = run("spot rec --recursive")
    assert "rec is a folder of videos: 3 videos are taken from it" in ran.err
    assert "left out: 1 folder of images (rec/c/frames); give --fps" in ran.err
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


def test_files_that_differ_in_their_suffix_keep_it(run: Any, study: Path, videos: Path) -> None:
    """As a camera's own file and the one made of it; a folder is not refused for that."""
    shutil.copy(videos / "still.avi", study / "smile.avi")
    assert run("spot rec -o out").code == 0
    out = study.parent / "out"
    assert sorted(p.name for p in out.iterdir()) == ["smile.avi.json", "smile.mp4.json"]
    assert SpotResult.load(out / "smile.avi.json").video.name == "smile.avi"


ODD = ["-x", "a b", "ünï-日本", "100%25", "a#b?c", "new\nline", "<script>", "=1+1", "javascript:a"]


def test_a_name_that_looks_like_an_option(run: Any, study: Path) -> None:
    """As a shell's *.mp4 gives it."""
    shutil.copy(study / "smile.mp4", study.parent / "-x.mp4")
    ran = run("spot rec/smile.mp4 -x.mp4")
    assert ran.code == 2 and "write ./-x.mp4" in ran.err
    assert run("spot ./-x.mp4").out.startswith("-x.mp4")


@pytest.mark.skipif(sys.platform != "linux", reason="names that other systems refuse")
def test_whatever_files_are_called(run: Any, study: Path) -> None:
    """Pages, links, tables and messages hold, bytes that are no text among them."""
    folder = study.parent / "odd"
    folder.mkdir()
    for name in ODD:
        shutil.copy(study / "b" / "still.avi", folder / f"{name}.avi")
    shutil.copy(study / "b" / "still.avi", os.fsencode(folder) + b"/bad\xff.avi")
    ran = run("spot odd -o out --format json --format html -o all.csv")
    assert ran.code == 0, ran.err
    assert len(ran.err.splitlines()) == 1 + 2 * (len(ODD) + 1) + 2  # one each, whatever it holds
    out = study.parent / "out"
    index = (out / "index.html").read_text("utf-8")
    links = [unquote_to_bytes(link) for link in re.findall(r'<a href="([^#"]+)"', index)]
    assert len(links) == len(ODD) + 1
    assert all((out / os.fsdecode(link)).is_file() for link in links)
    assert all(not re.match(r"[a-z]+:", link) for link in re.findall(r'href="([^#"]+)"', index))
    for path in out.glob("*.html"):
        text = path.read_text("utf-8")
        assert "&lt;script&gt;" in text or path.stem != "<script>"
        assert text.count("<script>") <= 1  # the one that sorts
    told = [row["video"] for row in rows(study.parent / "all.inputs.csv")]
    assert {"'-x.avi", "'=1+1.avi", "new\nline.avi", "bad\\udcff.avi"} <= set(told)


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
    assert "rec/smile.mp4: the result of an earlier run is kept" in ran.err
    assert (out / "smile.json").stat().st_mtime_ns == before
    assert (out / "b" / "still.json").is_file()


@pytest.mark.parametrize("words", ["--set rules.min_s=0.3", "--start 0.2", "--micro-max 0.7"])
def test_resume_takes_nothing_that_was_made_otherwise(run: Any, study: Path, words: str) -> None:
    run("spot rec -o out")
    path = study.parent / "out" / "smile.json"
    before = path.read_bytes()
    ran = run(f"spot rec -o out --resume {words}")
    assert ran.code == 2
    assert "with other settings" in ran.err and "--overwrite" in ran.err
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
    assert ran.code == 2 and "exists without smile.json" in ran.err
    assert (out / "smile.html").read_text() == "mine"


def test_resume_overwrites_no_table_or_page_that_it_cannot_tell(run: Any, study: Path) -> None:
    folder = study.parent
    words = "spot rec --recursive -o out --format json --format html -o all.csv --resume"
    for name in ("all.csv", "all.inputs.csv", "out/index.html"):
        (folder / name).write_text("mine\n1,2\n")
        ran = run(words)
        assert ran.code == 2 and f"{name} exists, and is not a" in ran.err
        assert (folder / name).read_text() == "mine\n1,2\n"
        assert run(f"{words} --overwrite").code == 6
        shutil.rmtree(folder / "out")
        (folder / "out").mkdir()
        for table in folder.glob("all.*"):
            table.unlink()
    run(words)
    index = folder / "out" / "index.html"
    told = {p: p.read_bytes() for p in (*folder.glob("all.*"), index)}
    ran = run(words)
    assert "smile.mp4: the result of an earlier run is kept" in ran.err and len(told) == 3
    # Its own are written anew, and are what they were.
    assert {p: p.read_bytes() for p in told} == told
    # Another page of ours is none of these.
    index.write_bytes((folder / "out" / "smile.html").read_bytes())
    assert "index.html exists, and is not a page" in run(words).err
    index.unlink()
    # A column of the user's own tells that somebody has worked on it.
    lines = (folder / "all.csv").read_text().splitlines()
    (folder / "all.csv").write_text("\n".join([f"{lines[0]},checked", *lines[1:]]))
    assert run(words).code == 2


def test_resume_writes_what_is_missing_and_nothing_else(run: Any, study: Path) -> None:
    """What lies there may have been corrected in another program since."""
    out = study.parent / "out"
    run("spot rec -o out --format json --format eaf")
    (out / "smile.eaf").write_text("corrected in ELAN")
    before = (out / "smile.json").stat().st_mtime_ns
    ran = run("spot rec -o out --format html --format eaf --format json --resume")
    assert ran.code == 0, ran.err
    assert "wrote out/smile.html\n" in ran.err and (out / "smile.html").is_file()
    assert (out / "smile.eaf").read_text() == "corrected in ELAN"
    assert (out / "smile.json").stat().st_mtime_ns == before


def test_the_result_that_tells_is_written_first(
    run: Any, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an interruption would leave files of which nothing tells what made them."""
    saved: list[str] = []
    save = SpotResult.save

    def noted(self: SpotResult, path: Any, **options: Any) -> None:
        saved.append(Path(path).suffix)
        save(self, path, **options)

    monkeypatch.setattr(SpotResult, "save", noted)
    run("spot rec -o out --format csv --format html --format json")
    assert saved == [".json", ".csv", ".html"]


@pytest.mark.parametrize("name", ["eaf", "tsv"])
def test_resume_goes_on_between_a_file_and_what_lies_beside_it(
    run: Any, study: Path, name: str
) -> None:
    """A kill leaves the one without the other; what lies beside comes first."""
    out = study.parent / "out"
    words = f"spot rec -o out --format json --format {name}"
    assert run(words).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for path in out.glob(f"*.{name}"):
        path.unlink()
    assert len(before) > len([*out.iterdir()]) > 1
    ran = run(f"{words} --resume")
    assert ran.code == 0, ran.err
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    if name == "eaf":  # which has the time of its making in it
        assert after.keys() == before.keys()
    else:
        assert after == before


def test_a_table_of_action_units_is_there_before_the_expressions(
    run: Any, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds the expressions, after a kill too, misses nothing."""
    out = study.parent / "out"
    save, there = SpotResult.save, []

    def noted(self: SpotResult, path: Any, **options: Any) -> None:
        there.append({one.name for one in out.iterdir()})
        save(self, path, **options)

    monkeypatch.setattr(SpotResult, "save", noted)
    words = "spot rec -o out --format json --format csv --aus"
    assert run(words).code == 0
    assert there == [set(), {"smile.json", "smile.aus.csv"}]
    before = (out / "smile.aus.csv").read_bytes()
    (out / "smile.csv").unlink()  # what a kill between the two leaves
    assert run(f"{words} --resume").code == 0
    (out / "smile.aus.csv").unlink()  # what a kill left before that
    ran = run(f"{words} --resume")
    assert "the result of an earlier run is kept" in ran.err
    assert (out / "smile.aus.csv").read_bytes() == before


def test_resume_may_be_told_to_replace_what_does_not_fit(run: Any, study: Path) -> None:
    path = study.parent / "out" / "smile.json"
    run("spot rec -o out")
    words = "spot rec -o out --resume --set rules.min_s=0.3"
    assert run(words).code == 2
    ran = run(f"{words} --overwrite")
    assert ran.code == 0, ran.err
    assert SpotResult.load(path).settings["rules"]["min_s"] == 0.3
    assert "smile.mp4: the result of an earlier run is kept" in run(f"{words} --overwrite").err


def test_resume_keeps_no_face_where_none_is_wanted(run: Any, study: Path) -> None:
    out = study.parent / "out"
    words = "spot rec -o out --format json --format html --format png --format svg --format pdf"
    assert run(words).code == 0
    for name in ("smile.html", "smile.png", "smile.svg", "smile.pdf"):
        ran = run(f"{words} --resume --no-faces")
        assert (
            ran.code == 2 and f"{name} was written by an earlier run and may show a face" in ran.err
        )
        (out / name).unlink()
    ran = run(f"{words} --resume --no-faces")
    assert ran.code == 0, ran.err
    # Those are told from others: an interrupted run without faces goes on.
    ran = run(f"{words} --resume --no-faces")
    assert ran.code == 0 and "kept" in ran.err
    assert run(f"{words} --resume").code == 0
    assert "Face at the" not in (out / "smile.html").read_text("utf-8")


def test_resume_knows_another_video_of_the_same_name(run: Any, study: Path, videos: Path) -> None:
    run("spot rec -o out")
    shutil.copy(videos / "half.avi", study / "smile.mp4")
    assert "was made from another video" in run("spot rec -o out --resume").err


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
        ("camera:0;s1;rest;;;;", "has no end"),
        ("rec/c/frames;s1;rest;;;;", "--fps"),
        ("rec;s1;rest;;;;", "line 5, column file: rec is a folder of videos"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named(run: Any, manifest: Path, row: str, said: str) -> None:
    manifest.write_text(f"{MANIFEST}{row}\n", encoding="utf-8")
    ran = run("spot --manifest m.csv")
    assert ran.code == 2
    assert said in ran.err
    assert ran.out == ""


def test_files_that_are_not_there_are_named_before_the_work(run: Any, manifest: Path) -> None:
    manifest.write_text("file\nrec/none.mp4\nrec/smile.mp4\nrec/none.mp4\n", encoding="utf-8")
    ran = run("spot --manifest m.csv")
    assert ran.code == 6
    assert ran.err.splitlines()[0] == "m.csv names 1 files that are not there: rec/none.mp4"


def test_one_face_of_a_manifest_among_all(run: Any, manifest: Path) -> None:
    manifest.write_text("file,face\nrec/smile.mp4,left\nrec/b/still.avi,\n", encoding="utf-8")
    assert run("spot --manifest m.csv --face all -o out").code == 0
    found = sorted(p.name for p in (manifest.parent / "out").iterdir())
    assert found == ["smile.json", "still-face1.json"]


def test_a_column_is_carried_whatever_it_is_called(run: Any, manifest: Path) -> None:
    """Also one that a table has itself."""
    text = "file,video,kind,status,micro,=x\nrec/smile.mp4,V,K,S,M,F\n"
    manifest.write_text(f"{text}rec/b/still.avi,V2,K,S,M,F\n", encoding="utf-8")
    ran = run("spot --manifest m.csv -o all.csv --by micro --by =x")
    assert ran.code == 0, ran.err
    (row,) = rows(manifest.parent / "all.csv")
    assert (row["video"], row["about_video"], row["about_kind"]) == ("smile.mp4", "V", "K")
    assert (row["status"], row["'=x"]) == ("S", "F")
    told = rows(manifest.parent / "all.inputs.csv")
    assert [(r["status"], r["about_status"], r["about_micro"]) for r in told] == [
        ("ok", "S", "M"),
        ("ok", "S", "M"),
    ]
    (total,) = rows(manifest.parent / "all.totals.csv")
    assert (total["about_micro"], total["'=x"], total["micro"]) == ("M", "F", "0")


def test_no_row_and_no_column_of_a_manifest_is_lost(run: Any, manifest: Path) -> None:
    manifest.write_text(f"{MANIFEST};s3;rest;;;;50\n", encoding="utf-8")
    assert "line 5, column file: the cell is empty" in run("spot --manifest m.csv").err
    manifest.write_text("file,age,age\nrec/smile.mp4,30,31\n", encoding="utf-8")
    assert "two columns are called 'age'" in run("spot --manifest m.csv").err


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


def test_an_empty_folder_is_called_so(run: Any, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    for command in ("spot", "features"):
        ran = run(f"{command} {tmp_path / 'nothing'}")
        assert ran.code == 2 and "nothing is an empty folder; give a video" in ran.err


def test_a_table_that_cannot_be_written_for_a_while_ends_no_run(
    run: Any, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a server that is away: the next video writes all, and the last one what is missing."""
    listed, failing = Outputs.list_inputs, [1, 2]
    calls: list[int] = []

    def away(self: Outputs, *given: Any) -> list[Path]:
        calls.append(1)
        if len(calls) - 1 in failing:
            raise UsageError("cannot write s3://b/all.inputs.csv: no answer")
        return listed(self, *given)

    monkeypatch.setattr(Outputs, "list_inputs", away)
    words = "spot rec --recursive -o all.csv"
    ran = run(words)
    text = (study.parent / "all.inputs.csv").read_text()
    assert ran.code == 6 and "no answer" not in ran.err
    assert all(name in text for name in ("smile.mp4", "still.avi", "bad.mp4"))
    # One that stays away is told, with an exit code of its own.
    failing[:] = range(1, 100)
    calls.clear()
    ran = run("spot rec/smile.mp4 rec/b/still.avi -o other.csv")
    assert ran.code == 2 and "cannot write s3://b/all.inputs.csv" in ran.err


def test_a_folder_holds_streams_without_a_container_too(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """They were passed over without a word."""
    shutil.copy(shared_data("faults/hs1000.h264"), tmp_path)
    assert [one.stem for one in meant(str(tmp_path))] == ["hs1000"]
