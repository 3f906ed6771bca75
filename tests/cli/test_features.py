"""`aumer features`: what it prints and writes, and every way to fail."""

from __future__ import annotations

import csv
import inspect
import io
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aumer
from aumer import measure
from aumer.cli import features
from aumer.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_NO_FACE,
    EXIT_PARTIAL,
    EXIT_UNREADABLE,
    EXIT_USAGE,
)
from aumer.results.motion import MOTION_SUFFIXES, UNITS
from aumer.session import VideoRun
from aumer.testing.moving_face import film, smile
from aumer.types import Features
from aumer.video import open_video
from aumer.video.writer import VideoFile


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def pictures(path: Path) -> tuple[int, tuple[int, int], float | None]:
    with closing(open_video(path)) as video:
        return len(list(video)), (video.info.width, video.info.height), video.info.fps


def same(a: Features, b: Features) -> bool:
    return np.array_equal(a.values, b.values, equal_nan=True) and np.array_equal(a.times, b.times)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two faces side by side, of which the right one smiles."""
    times = np.arange(40) / 30
    still, smiling = film(times), film(times, bumps=smile(0.4, 0.7, 1.1))
    with VideoFile(tmp_path / "two.avi", fps=30, size=(512, 256)) as file:
        for pair in zip(still, smiling, strict=True):
            file.write(np.concatenate(pair, axis=1))
    return tmp_path / "two.avi"


# -- stdout --------------------------------------------------------------------------------------


def test_the_table_goes_to_stdout(run: Any, videos: Path) -> None:
    ran = run("features @still.avi --format csv")
    assert (ran.code, ran.err) == (0, "still.avi\n")
    assert ran.out == "".join(aumer.features(videos / "still.avi", cache=True).csv_chunks())
    assert run("features @still.avi").out == ran.out
    assert run("features @still.avi -o -").out == ran.out


def test_several_videos_have_one_header(run: Any, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "still.avi").symlink_to(videos / "still.avi")
    found = rows(run("features @still.avi still.avi").out)
    assert list(dict.fromkeys(row["video"] for row in found)) == [
        f"{videos}/still.avi",
        "still.avi",
    ]
    assert len(found) == 2 * 19 * 12


def test_no_table_is_printed_where_only_videos_are_asked_for(run: Any, tmp_path: Path) -> None:
    ran = run("features @still.avi --crop crop.mp4")
    assert (ran.code, ran.out) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["crop.mp4"]
    assert run("features @still.avi --crop crop.mp4 --overwrite -o -").out


# -- files ---------------------------------------------------------------------------------------


def test_files_of_one_video(run: Any, videos: Path, tmp_path: Path) -> None:
    ran = run("features @smile.mp4 -o a.npz -o b.csv --crop c.mp4 --flow-video d.mkv")
    assert (ran.code, ran.out) == (0, "")
    assert "59 of 59 rows hold motion; coverage 100 %; wrote a.npz, b.csv, c.mp4, d.mkv" in ran.err
    motion = aumer.features(videos / "smile.mp4", cache=True)
    assert same(aumer.load_features(tmp_path / "a.npz"), motion.features)
    assert (tmp_path / "b.csv").read_text() == "".join(motion.csv_chunks())
    for name in ("c.mp4", "d.mkv"):
        assert pictures(tmp_path / name) == (59, (128, 128), 30.0)


def test_the_same_units_in_both_files(run: Any, videos: Path, tmp_path: Path) -> None:
    assert run("features @smile.mp4 -o a.npz -o b.csv --unit px").code == 0
    motion = aumer.features(videos / "smile.mp4", cache=True)
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["unit"] == "px"
        np.testing.assert_array_equal(arrays["dx"], motion.features.values[..., 0])
        found = rows((tmp_path / "b.csv").read_text())
        for name in ("dx", "dy", "displacement_x", "displacement_y"):
            column = [np.float32(row[f"{name}_px"]) for row in found]
            np.testing.assert_array_equal(column, arrays[name].astype(np.float32).ravel())
    assert same(aumer.load_features(tmp_path / "a.npz"), motion.features)


def test_a_folder_has_files_for_each(run: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    words = "@smile.mp4 @still.avi -o out --crop out --flow-video out"
    assert run(f"features {words}").code == 0
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert sorted(names) == [
        *("smile-crop.mp4", "smile-flow.mp4", "smile.npz"),
        *("still-crop.mp4", "still-flow.mp4", "still.npz"),
    ]
    assert run(f"features {words} --format csv --format npz --overwrite").code == 0
    assert (tmp_path / "out" / "still.csv").is_file()


def test_one_csv_collects_all(run: Any, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("old")
    names = "@empty.mp4 @smile.mp4 @still.avi"
    ran = run(f"features {names} -o all.csv --overwrite")
    assert ran.code == EXIT_PARTIAL
    assert "1 of 3 videos failed" in ran.err
    printed = run(f"features {names}").out
    assert (tmp_path / "all.csv").read_text() == printed
    assert len(rows(printed)) == (59 + 19) * 12


def test_rows_without_a_face(run: Any, tmp_path: Path) -> None:
    ran = run("features @half.avi -o half.npz -o half.csv --crop half.mkv")
    assert ran.code == 0
    found = aumer.load_features(tmp_path / "half.npz")
    assert found.valid.tolist() == [True] * 14 + [False] * 15
    table = rows((tmp_path / "half.csv").read_text())
    assert [row["dx_eye"] == "" for row in table] == [not v for v in found.valid for _ in range(12)]
    with closing(open_video(tmp_path / "half.mkv")) as video:
        images = [frame.image for frame in video]
    assert [bool((image == images[-1]).all()) for image in images] == [k > 14 for k in range(29)]


def test_every_face_has_its_own(run: Any, two: Path, tmp_path: Path) -> None:
    words = "two.avi --face all -o a.npz -o a.csv -o - --crop c.mp4 --flow dis"
    ran = run(f"features {words}")
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in tmp_path.iterdir() if path != two) == [
        *("a-face1.csv", "a-face1.npz", "a-face2.csv", "a-face2.npz"),
        *("c-face1.mp4", "c-face2.mp4"),
    ]
    assert {row["face"] for row in rows(ran.out)} == {"1", "2"}
    assert {row["face"] for row in rows((tmp_path / "a-face2.csv").read_text())} == {"2"}
    moved = []
    for number in (1, 2):
        with np.load(tmp_path / f"a-face{number}.npz") as arrays:
            assert arrays["face"] == number
            moved.append(np.abs(arrays["displacement_y"][:, 10]).max())
    assert max(moved) > 0.02 > 0.01 > min(moved)
    assert run(f"features {words}").code == EXIT_USAGE  # they are there
    (alone,) = {row["face"] for row in rows(run("features two.avi --face 2 --flow dis").out)}
    assert alone == "2"


def test_a_range_of_a_folder_of_frames(run: Any, tmp_path: Path) -> None:
    ran = run("features @frames --fps 30 --start .1 --end .4 -o . --crop crop.mp4")
    assert ran.code == 0, ran.err
    times = aumer.load_features(tmp_path / "frames.npz").times
    np.testing.assert_allclose(times, np.arange(3, 11) / 30)
    assert pictures(tmp_path / "crop.mp4")[0] == 8


def test_a_real_smile(run: Any, shared_data: Any, tmp_path: Path) -> None:
    video = shared_data("videos/fex_smile_still.mov")
    words = "-o a.npz --crop c.mp4 --flow-video f.mkv --flow dis"
    assert run(f"features {video} {words}").code == 0
    with np.load(tmp_path / "a.npz") as arrays:
        rois, x, y = arrays["rois"].tolist(), arrays["displacement_x"], arrays["displacement_y"]
        right, left = rois.index("mouth_r"), rois.index("mouth_l")
        apex = int((y[:, right] + y[:, left]).argmin())
        assert y[apex, right] < -0.1 and y[apex, left] < -0.1
        assert x[apex, right] < -0.03 < 0.03 < x[apex, left]
        count = len(arrays["times"])
    assert pictures(tmp_path / "c.mp4") == pictures(tmp_path / "f.mkv") == (count, (128, 128), 30)


# -- failing -------------------------------------------------------------------------------------

#: Command line after "aumer features" (@ is the folder of videos), exit code, parts of the message.
TABLE: list[tuple[str, int, tuple[str, ...]]] = [
    ("@none.mp4", EXIT_UNREADABLE, ("none.mp4", "no such file")),
    ("@gray.avi -o out.npz", EXIT_NO_FACE, ("gray.avi", "0 of 10", "lower --min-coverage")),
    ("@half.avi --min-coverage 0.9", EXIT_NO_FACE, ("at least 90%",)),
    ("@frames", EXIT_USAGE, ("--fps",)),
    ("camera:0", EXIT_USAGE, ("camera:0", "--end")),
    ("camera:0 --end 1 --crop c.mp4", EXIT_USAGE, ("a camera does not allow", "record a file")),
    ("@still.avi --start 2 --end 1", EXIT_USAGE, ("--end must lie after --start", "2 and 1")),
    ("@still.avi --flow farnback", EXIT_USAGE, ("Did you mean 'farneback'?",)),
    ("@still.avi --unit mm", EXIT_USAGE, ("--unit", "'mm'", "eye")),
    ("@still.avi -o there.csv", EXIT_USAGE, ("there.csv exists already", "--overwrite")),
    ("@still.avi --crop there.mp4", EXIT_USAGE, ("there.mp4 exists already", "--overwrite")),
    ("@still.avi -o out.json", EXIT_USAGE, ("'.json'", ".npz, .csv")),
    ("@still.avi -o no/out.npz", EXIT_USAGE, ("folder no does not exist",)),
    ("@still.avi --format npz", EXIT_USAGE, ("--format npz", "stdout", "takes csv")),
    ("@still.avi --format xls", EXIT_USAGE, ("--format", "xls", "npz")),
    ("@still.avi @smile.mp4 -o all.npz", EXIT_USAGE, ("one video only", "--format npz", ".csv")),
    ("@still.avi @smile.mp4 --crop c.mp4", EXIT_USAGE, ("one video only", "--crop with a folder")),
    ("@still.avi --crop c.gif", EXIT_USAGE, ("'.gif'", ".mp4, .mov, .mkv, .avi")),
    ("@still.avi --flow-video -", EXIT_USAGE, ("--flow-video cannot go to stdout", ".mp4")),
    ("@still.avi --crop c.mp4 --flow-video ./c.mp4", EXIT_USAGE, ("would be written twice",)),
    ("@still.avi --crop @still.avi --overwrite", EXIT_USAGE, ("one of the videos", "lost")),
    ("@empty.mp4 @gray.avi", EXIT_PARTIAL, ("2 of 2 videos failed", "exit code 3", "exit code 4")),
    ("", EXIT_USAGE, ("VIDEO", "aumer features --help")),
]


@pytest.mark.parametrize(
    ("line", "code", "parts"), TABLE, ids=[line.replace("@", "")[:40] for line, *_ in TABLE]
)
def test_failing(
    line: str, code: int, parts: tuple[str, ...], run: Any, tmp_path: Path, videos: Path
) -> None:
    for name in ("there.csv", "there.mp4"):
        (tmp_path / name).write_text("mine")
    before = sorted(tmp_path.rglob("*")), sorted(videos.rglob("*"))
    ran = run(f"features {line}")
    assert (ran.code, ran.out) == (code, ""), ran.err
    for part in parts:
        assert part.lower() in ran.err.lower()
    assert "error: " in ran.err and "Traceback" not in ran.err
    assert (sorted(tmp_path.rglob("*")), sorted(videos.rglob("*"))) == before
    assert (tmp_path / "there.csv").read_text() == "mine"


def at(name: str, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Meter.each_face` raises this at the video of that name."""
    original = measure.Meter.each_face

    def call(self: measure.Meter, video: Any, **options: Any) -> Any:
        if Path(video).name == name:
            raise error
        return original(self, video, **options)

    monkeypatch.setattr(measure.Meter, "each_face", call)


def test_interrupted(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    at("half.avi", KeyboardInterrupt(), monkeypatch)
    ran = run("features @still.avi @half.avi @smile.mp4 -o all.csv --cache kept")
    assert (ran.code, ran.out) == (EXIT_INTERRUPTED, "")
    last = ran.err.splitlines()[-1]
    for part in ("interrupted", "1 of 3", "all.csv", "kept in kept", "with --overwrite"):
        assert part in last
    assert len(rows((tmp_path / "all.csv").read_text())) == 19 * 12


def test_a_bug_in_one_video_does_not_stop_the_others(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at("half.avi", RuntimeError("boo"), monkeypatch)
    ran = run("features @half.avi @still.avi -o .")
    assert ran.code == EXIT_PARTIAL and f"exit code {EXIT_BUG}" in ran.err
    assert (tmp_path / "still.npz").is_file()


# -- help ----------------------------------------------------------------------------------------


def test_the_help_tells_the_library_s_defaults_and_formats(run: Any) -> None:
    text = " ".join(run("features --help").out.split())
    assert tuple(f".{name}" for name in features._FORMATS) == MOTION_SUFFIXES
    assert tuple(UNITS) == features._UNITS
    coverage = VideoRun().min_coverage
    assert inspect.signature(measure.features).parameters["min_coverage"].default == coverage
    assert f"measured motion (default: {coverage})" in text
    for code in ("0", "1", "2", "3", "4", "5", "6", "130", "141", "143"):
        assert f" {code} " in text.partition("exit codes:")[2]


def test_the_help_imports_nothing_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(aumer.__file__).parents[1]))
    code = (
        "import sys; from aumer.cli import main; main(['features', '--help']);"
        "print({'torch', 'cv2', 'numpy', 'pandas'} & set(sys.modules), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "set()\n")
