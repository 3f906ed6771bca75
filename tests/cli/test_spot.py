"""`aumer spot` when all goes well: what it prints, what it writes, and where settings come from."""

from __future__ import annotations

import csv
import inspect
import io
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import aumer
from aumer import pipeline, registry
from aumer.cli import outputs
from aumer.config import SENSITIVITIES
from aumer.errors import EXIT_OK, EXIT_USAGE
from aumer.evaluation.tables import read_predictions
from aumer.results import SpotResult
from aumer.results.inputs import COLUMNS
from aumer.session import VideoRun
from aumer.spotting.judge import shipped
from aumer.spotting.noise import NAMED, false_alarms
from aumer.testing.moving_face import film
from aumer.types import VideoInfo
from aumer.video import CameraSource


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# -- stdout --------------------------------------------------------------------------------------


def test_the_table_of_one_video(run: Any) -> None:
    ran = run("spot @smile.mp4")
    assert ran.code == 0
    title, header, *found, summary, seen = ran.out.splitlines()
    assert title == "smile.mp4"
    assert header.split()[:3] == ["kind", "onset_s", "apex_s"]
    assert len(found) == 1
    kind, onset, _, offset, *_ = found[0].split()
    assert kind in ("micro", "macro")
    assert 0.4 < float(onset) < 1.0 < float(offset) < 1.6
    counts = "1 micro, 0 macro" if kind == "micro" else "0 micro, 1 macro"
    assert summary == f"smile.mp4: {counts}; coverage 100 %; spotter combined"
    assert re.fullmatch(
        r"smallest movement that stands out from noise: [.\d]+ % of the outer-eye distance", seen
    )
    assert ran.err == "smile.mp4\n"


def test_nothing_found_is_said_and_is_no_failure(run: Any) -> None:
    ran = run("spot @still.avi")
    assert ran.code == 0
    assert ran.out.startswith("still.avi: no expression found; motion was measured in 100.0%")
    assert "stands out from noise" in ran.out.splitlines()[1]
    assert ran.out.count("\n") == 2


def test_the_table_of_several_videos_ends_with_their_sum(run: Any) -> None:
    ran = run("spot @still.avi @smile.mp4 @empty.mp4")
    first, second, last = ran.out.split("\n\n")
    assert first.startswith("still.avi: no expression")
    assert second.startswith("smile.mp4\n")
    assert last.startswith("2 of 3 videos: ")
    assert last.count("\n") == 1


def test_json_is_one_document_a_line(run: Any, videos: Path) -> None:
    ran = run("spot @smile.mp4 @still.avi --format json")
    results = [SpotResult.from_dict(json.loads(line)) for line in ran.out.splitlines()]
    assert [r.video.name for r in results] == ["smile.mp4", "still.avi"]
    assert results[0] == aumer.spot(videos / "smile.mp4", cache=True)
    assert "[2/2] still.avi" in ran.err


def test_csv_has_one_header(run: Any) -> None:
    ran = run("spot @smile.mp4 @still.avi @smile.mp4 --format csv")
    found = rows(ran.out)
    assert len(found) == 2
    assert found[0] == found[1]
    assert run("spot @still.avi --format=csv").out.startswith("video,kind,onset")


def test_videos_of_one_name_are_told_apart(run: Any, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "smile.mp4").symlink_to(videos / "smile.mp4")
    ran = run("spot a/smile.mp4 @smile.mp4 --format csv")
    assert [row["video"] for row in rows(ran.out)] == ["a/smile.mp4", f"{videos}/smile.mp4"]
    ran = run("spot a/smile.mp4 @still.avi --format csv")
    assert [row["video"] for row in rows(ran.out)] == ["smile.mp4"]


def test_a_cached_video_has_the_name_it_has_now(run: Any, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "renamed.avi").symlink_to(videos / "still.avi")
    assert run("spot @still.avi").out.startswith("still.avi: ")
    assert run("spot renamed.avi").out.startswith("renamed.avi: ")


# -- files ---------------------------------------------------------------------------------------


def test_files_of_one_video(run: Any, videos: Path, tmp_path: Path) -> None:
    ran = run("spot @smile.mp4 -o a.png -o b.json -o c.CSV -o d.svg")
    assert (ran.code, ran.out) == (0, "")
    assert "wrote" in ran.err
    expected = aumer.spot(videos / "smile.mp4", cache=True)
    assert SpotResult.load(tmp_path / "b.json") == expected
    assert (tmp_path / "c.CSV").read_text() == expected.to_csv()
    assert (tmp_path / "d.svg").read_text().startswith("<?xml")
    # With thumbnails the picture is taller.
    expected.plot(tmp_path / "bare.png")
    with_faces, bare = (cv2.imread(str(tmp_path / name)) for name in ("a.png", "bare.png"))
    assert with_faces is not None
    assert bare is not None
    assert with_faces.shape[0] > bare.shape[0]


def test_stdout_beside_files(run: Any, tmp_path: Path) -> None:
    ran = run("spot @smile.mp4 -o out.csv -o - --format json")
    assert SpotResult.from_json(ran.out).to_csv() == (tmp_path / "out.csv").read_text()


def test_a_folder_takes_any_formats(run: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    words = "-o out --format csv --format json --format csv --format png"
    assert run(f"spot @smile.mp4 @still.avi {words}").code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{stem}.{suffix}" for stem in ("smile", "still") for suffix in ("csv", "json", "png")
    ]


def test_one_csv_collects_all(run: Any, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("old")
    names = "@empty.mp4 @smile.mp4 @still.avi"
    ran = run(f"spot {names} -o all.csv --overwrite")
    assert ran.code == 6
    printed = run(f"spot {names} --format csv").out
    assert (tmp_path / "all.csv").read_text() == printed
    assert len(rows(printed)) == 1


def test_no_input_is_lost_in_the_table_of_inputs(run: Any, videos: Path, tmp_path: Path) -> None:
    ran = run("spot @empty.mp4 @smile.mp4 @still.avi @gray.avi -o all.csv")
    assert ran.code == 6
    assert "status of each video: all.inputs.csv" in ran.err
    told = rows((tmp_path / "all.inputs.csv").read_text())
    assert list(told[0]) == list(COLUMNS)
    assert [Path(row["input"]).name for row in told] == [row["video"] for row in told]
    found = {row["video"]: row for row in told}
    assert list(found) == ["empty.mp4", "smile.mp4", "still.avi", "gray.avi"]
    assert [row["status"] for row in told] == ["failed", "ok", "ok", "no face"]
    assert "0 bytes" in found["empty.mp4"]["reason"] and not found["smile.mp4"]["reason"]
    said = found["gray.avi"]["reason"]
    assert "--min-coverage" in said and "`min_coverage`" not in said  # in the words of the command
    assert (found["still.avi"]["micro"], found["still.avi"]["macro"]) == ("0", "0")
    assert float(found["still.avi"]["coverage"]) == 1 and float(found["still.avi"]["fps"]) == 30
    result = aumer.spot(videos / "smile.mp4", cache=True)
    smile = found["smile.mp4"]
    assert int(smile["micro"]) + int(smile["macro"]) == len(result.expressions) == 1
    assert result.track is not None and int(smile["frames"]) == len(result.track)
    # Nothing of a user's is replaced, and one video needs no such table.
    (tmp_path / "one.inputs.csv").write_text("mine")
    assert run("spot @smile.mp4 @still.avi -o one.csv").code == 2
    assert run("spot @smile.mp4 -o one.csv").code == 0
    assert (tmp_path / "one.inputs.csv").read_text() == "mine"


def test_an_interrupted_batch_says_what_was_not_analyzed(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original = pipeline.Spotter.each_face

    def call(self: pipeline.Spotter, video: Any, **options: Any) -> Any:
        if "still" in str(video):
            raise KeyboardInterrupt
        return original(self, video, **options)

    monkeypatch.setattr(pipeline.Spotter, "each_face", call)
    assert run("spot @smile.mp4 @still.avi -o all.csv").code == 130
    told = rows((tmp_path / "all.inputs.csv").read_text())
    assert [row["status"] for row in told] == ["ok", "not analyzed"]


def test_videos_of_one_name_keep_their_folders_below_a_folder(
    run: Any, videos: Path, tmp_path: Path
) -> None:
    for folder in ("in/a", "in/b/c", "out"):
        (tmp_path / folder).mkdir(parents=True)
    for there, source in (("a/x.mp4", "smile.mp4"), ("b/c/x.avi", "still.avi")):
        (tmp_path / "in" / there).symlink_to(videos / source)
    ran = run("spot in/a/x.mp4 in/b/c/x.avi -o out --format csv --format json")
    assert ran.code == 0, ran.err
    found = sorted(p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("out/**/*.*"))
    assert found == ["a/x.csv", "a/x.json", "b/c/x.csv", "b/c/x.json"]
    assert len(SpotResult.load(tmp_path / "out/a/x.json").expressions) == 1
    assert run("spot in/a/x.mp4 in/b/c/x.avi -o out").code == 2  # they exist
    # Names that differ stay flat, and one folder cannot hold two of one name.
    assert run("spot in/a/x.mp4 @still.avi -o out").code == 0
    assert (tmp_path / "out" / "x.json").is_file()
    ran = run("spot in/a/x.mp4 in/a/x.mp4 -o out --overwrite")
    assert ran.code == 2 and "would be written twice" in ran.err


def test_videos_of_one_name_are_told_apart_as_they_go(
    run: Any, videos: Path, tmp_path: Path
) -> None:
    for there, source in (("a/x.avi", "gray.avi"), ("b/x.avi", "still.avi")):
        (tmp_path / there).parent.mkdir()
        (tmp_path / there).symlink_to(videos / source)
    ran = run("spot a/x.avi b/x.avi -o all.csv")
    assert ran.code == 6
    assert "[1/2] a/x.avi" in ran.err and "[2/2] b/x.avi" in ran.err
    assert "aumer: error: a/x.avi: x.avi: 0 of" in ran.err


def test_overwrite(run: Any, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("mine")
    assert run("spot @still.avi -o out.json --overwrite").code == 0
    assert SpotResult.load(tmp_path / "out.json").video.name == "still.avi"


def test_files_of_faces_that_are_not_there_any_more_are_named(run: Any, tmp_path: Path) -> None:
    """They may be taken for today's; but nothing of a user's is deleted unasked."""
    words = "spot @still.avi --face all -o out.json -o out.csv --overwrite"
    for name in ("out-face1.json", "out-face2.json", "out-face10.csv"):
        (tmp_path / name).write_text("yesterday's")
    for name in ("out-face2.png", "out-face02.json", "out-face2.json.bak", "other-face2.json"):
        (tmp_path / name).write_text("not ours")
    ran = run(words)
    assert ran.code == 0
    (said,) = [line for line in ran.err.splitlines() if "of an earlier run" in line]
    assert "out-face2.json, out-face10.csv." in said
    assert "delete or move them" in said
    assert SpotResult.load(tmp_path / "out-face1.json").face == 1
    assert (tmp_path / "out-face2.json").read_text() == "yesterday's"
    assert run(words.replace("--overwrite", "")).code == 2
    for name in ("out-face2.json", "out-face10.csv"):
        (tmp_path / name).unlink()
    assert "earlier run" not in run(words).err


def test_a_face_that_never_comes_is_told_from_no_face(run: Any, tmp_path: Path) -> None:
    still = film(np.arange(12) / 30)
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(tmp_path / "two.avi"), codec, 30, (512, 256))
    for image in np.concatenate([still, still], axis=2):
        writer.write(np.ascontiguousarray(image[:, :, ::-1]))
    writer.release()
    ran = run("spot two.avi @still.avi --face 3 --no-cache --format csv")
    assert ran.code == 4
    assert "two.avi: only 2 faces appear, and number 3 was asked for" in ran.err
    assert "still.avi: only 1 face appears, and number 3 was asked for" in ran.err
    assert "no usable face" not in ran.err
    assert "number 2 was asked for" in run("spot @still.avi --set face.follow=2").err
    assert run("spot two.avi --face 02").code == 2
    ran = run("spot two.avi --face 2 --no-cache --format json")
    assert ran.code == 0
    assert "2 faces appeared, and number 2 is followed" in ran.err
    assert "2 faces appeared" in SpotResult.from_json(ran.out).notes[0]


def test_a_folder_of_frames(run: Any, tmp_path: Path) -> None:
    ran = run("spot @frames --fps 30 --end 0.4 -o . -o - --format json")
    assert ran.code == 0, ran.err
    result = SpotResult.load(tmp_path / "frames.json")
    assert result.video.source == "folder"
    assert result.scores.times[-1] < 0.4
    assert result == SpotResult.from_json(ran.out)


def test_a_camera(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def source(index: int, fps: float | None) -> Any:
        assert (index, fps) == (0, None)

        class Camera:
            info = VideoInfo("camera 0", "camera", 256, 256, 30.0, None)

            def frames(self) -> Any:
                from skimage.data import astronaut

                for k in range(1000):
                    yield k / 30, lambda: np.ascontiguousarray(astronaut()[:256, 100:356])

            close = CameraSource.close

        camera: Any = Camera()
        camera._capture = cv2.VideoCapture()
        return camera

    monkeypatch.setattr("aumer.video.sources.open_camera", source)
    # A picture needs the faces again, which a camera cannot give: it is drawn without.
    ran = run("spot camera:0 --end 0.5 -o . --format png --format json")
    assert ran.code == 0, ran.err
    assert (tmp_path / "camera-0.png").is_file()
    assert SpotResult.load(tmp_path / "camera-0.json").video.source == "camera"


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ("tvl1", 30.0, 0.1)),
        ("--config c.toml", ("farneback", 25.0, 0.2)),
        ("--config c.toml --set motion.rate=20", ("farneback", 20.0, 0.2)),
        ("--flow dis --config c.toml", ("dis", 25.0, 0.2)),
        ("--set motion.flow=farneback --flow dis", ("dis", 30.0, 0.1)),
        ("--flow dis --set motion.flow='farneback'", ("farneback", 30.0, 0.1)),
        ("--set motion.rate=20 --set rules.min_s=.3e0", ("tvl1", 20.0, 0.3)),
        ("--set motion.rate=20 --set rules.min_s=3e-1", ("tvl1", 20.0, 0.3)),
    ],
)
def test_defaults_then_file_then_flags(
    words: str,
    expected: tuple[str, float, float],
    run: Any,
    tmp_path: Path,
) -> None:
    (tmp_path / "c.toml").write_text(
        '[motion]\nflow = "farneback"\nrate = 25\n[rules]\nmin_s = 0.2\n'
    )
    ran = run(f"spot @still.avi --model rules --format json {words}")
    settings = json.loads(ran.out)["settings"]
    found = settings["motion"]["flow"], settings["motion"]["rate"], settings["rules"]["min_s"]
    assert found == expected


def test_options_reach_the_spotter(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    original = pipeline.Spotter.each_face

    def call(self: pipeline.Spotter, video: Any, **options: Any) -> Any:
        seen.update(options)
        return original(self, video, **options)

    monkeypatch.setattr(pipeline.Spotter, "each_face", call)
    words = "--start .1 --end .5 --min-coverage .3 --workers 1 --model rules --cache kept"
    assert run(f"spot @still.avi {words}").code == 0
    seen.pop("progress")
    assert seen == {
        "start": 0.1,
        "end": 0.5,
        "fps": None,
        "min_coverage": 0.3,
        "workers": 1,
        "cache": Path("kept"),
    }
    assert len(list(Path("kept").iterdir())) == 1
    assert run("spot @still.avi --no-cache --fps 25").code == 0
    assert (seen["cache"], seen["fps"]) == (None, 25.0)


def test_the_help_tells_the_library_s_defaults_and_formats(run: Any) -> None:
    text = " ".join(run("spot --help").out.split())
    model = inspect.signature(pipeline.Spotter).parameters["model"].default
    coverage = VideoRun().min_coverage
    assert inspect.signature(pipeline.spot).parameters["min_coverage"].default == coverage
    assert f"spotter (default: {model})" in text
    assert f"measured motion (default: {coverage})" in text
    formats = ",".join(("table", *registry.names("format")))
    assert f"--format {{{formats}}}" in text
    kinds = outputs.spotted()
    assert {*formats.split(",")} == {*kinds.streams, *kinds.files} and kinds.files[0] == "json"
    for code in ("0", "1", "2", "3", "4", "5", "6", "130", "141", "143"):
        assert f" {code} " in text.partition("exit codes:")[2]


# -- sensitivity and kind ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["low", "high", "2.5"])
def test_a_sensitivity(run: Any, how: str) -> None:
    ran = run(f"spot @smile.mp4 --format json --sensitivity {how}")
    result = SpotResult.from_json(ran.out)
    assert result.settings["rules"]["sensitivity"] == how
    assert all(e.score >= shipped().threshold(how) for e in result.expressions)


@pytest.mark.parametrize("how", ["low", "high", "10"])
def test_a_sensitivity_of_the_rules(run: Any, how: str) -> None:
    command = "spot @smile.mp4 --format json --model rules"
    result = SpotResult.from_json(run(f"{command} --sensitivity {how}").out)
    plain = SpotResult.from_json(run(command).out)
    assert result.limit is not None and plain.limit is not None
    assert (result.limit < plain.limit) == (how != "low")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--sensitivity loud", "must be low, normal, high or a number above 0; found 'loud'"),
        ("--sensitivity 0", "found '0'"),
        ("--sensitivity 0.01 --model rules", "from 0.45 to 29"),
        (
            "--sensitivity 1000",
            f"from {min(rate for _, rate in shipped().false_alarms):g} to ",
        ),
        (
            "--sensitivity high --model network",
            "the false alarms of its threshold were not measured",
        ),
        ("--micro-max 0", "must be a number of seconds above 0; found '0'"),
    ],
)
def test_a_sensitivity_or_limit_that_cannot_be_had(run: Any, words: str, said: str) -> None:
    ran = run(f"spot @smile.mp4 {words}")
    assert ran.code == 2
    assert said in " ".join(ran.err.split())


@pytest.mark.parametrize("model", ["combined", "rules", "network"])
def test_scores_say_whose_they_are(run: Any, tmp_path: Path, model: str) -> None:
    """The judge's probability, the rules' height and the network's score share a column."""
    ran = run(f"spot @smile.mp4 --format csv --model {model}")
    found = rows(ran.out)
    assert found and {row["spotter"] for row in found} == {model}
    path = tmp_path / "predictions.csv"
    path.write_text(ran.out)
    assert len(read_predictions(path)) == len(found)  # who scores such a file knows the column


def test_the_help_says_what_was_measured(run: Any) -> None:
    text = " ".join(run("spot --help").out.split())
    judged = shipped()
    rates = [judged.alarms(judged.named[name]) for name in SENSITIVITIES]
    assert rates == pytest.approx([0.1, 0.25, 0.5], rel=0.1)
    rules = ", ".join(f"{false_alarms(NAMED[name]):.1f}" for name in SENSITIVITIES)
    assert f"low .1, normal .25, high .5 (--model rules: {rules}), or a number" in text


def test_the_longest_micro_expression(run: Any) -> None:
    for longest, kind in ((0.1, "macro"), (3.0, "micro")):
        ran = run(f"spot @smile.mp4 --format json --micro-max {longest}")
        result = SpotResult.from_json(ran.out)
        assert [e.kind for e in result.expressions] == [kind]
        assert result.expressions[0].micro_max_s == longest
        assert result.settings["kind"] == {"micro_max_s": longest}


def test_action_units_get_a_table_beside_that_of_expressions(run: Any, tmp_path: Path) -> None:
    """Of one video, and of several in one."""
    alone = run("spot @smile.mp4 --aus --model rules -o one.csv")
    assert alone.code == EXIT_OK, alone.err
    header, *rows = (tmp_path / "one.aus.csv").read_text().splitlines()
    assert header.startswith("video,face,au,name,expressions,micro,macro,read,left,right,both")
    assert any(row.startswith("smile.mp4,,12,lip corner puller,") for row in rows)
    both = run("spot @smile.mp4 @still.avi --aus --model rules -o all.csv")
    assert both.code == EXIT_OK, both.err
    assert (tmp_path / "all.aus.csv").read_text().splitlines() == [header, *rows]
    again = run("spot @smile.mp4 --aus --model rules -o one.csv")
    assert again.code == EXIT_USAGE and "one.csv" in again.err
    (tmp_path / "one.csv").unlink()
    again = run("spot @smile.mp4 --aus --model rules -o one.csv")
    assert again.code == EXIT_USAGE and "one.aus.csv" in again.err  # ours or not, it is there
