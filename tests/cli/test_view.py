"""`aumer view` and `aumer agreement`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import aumer
from aumer.results import SpotResult
from aumer.results.annotations import Annotated, AnnotationFile
from aumer.spotting import judge
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]


class Kept:
    """Takes the server's place."""

    shown: list[Any]
    address = "http://127.0.0.1:1/?token=x"

    def __init__(self, shown: list[Any]) -> None:
        Kept.shown = shown

    def run(self) -> None:
        raise KeyboardInterrupt


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> type[Kept]:
    pytest.importorskip("starlette", reason="the extra `view` is not installed")
    monkeypatch.setattr("aumer.view.server.Site", Kept)
    return Kept


def test_a_video_is_spotted_and_a_result_finds_its_motion(
    run: Run, videos: Path, tmp_path: Path, site: type[Kept]
) -> None:
    ran = run("view @smile.mp4 --no-browser")
    assert (ran.code, ran.out) == (0, f"{Kept.address}\n")
    (one,) = site.shown
    (layer,) = one.layers
    assert layer.name == "spotted now" and layer.track is not None
    rates = [rate for _, rate in judge.shipped().false_alarms]
    usual = judge.shipped().alarms(judge.shipped().threshold("normal"))
    assert layer.alarms == pytest.approx((min(rates), usual, max(rates)))
    spotted = layer.result

    assert run("spot @smile.mp4 -o smile.json -q").code == 0
    assert run("view smile.json @smile.mp4 --no-browser").code == 0
    (layer,) = site.shown[0].layers
    assert layer.path == Path("smile.json") and layer.result.expressions == spotted.expressions
    # The motion is the one that was kept, and the sensitivity works on it.
    assert layer.features.values.tobytes() == spotted.features.values.tobytes()
    assert (layer.track.landmarks == spotted.track.landmarks)[spotted.track.valid].all()
    again = site.shown[0].again("r0", usual)["expressions"]
    assert [e["onset"] for e in again] == [e.onset for e in spotted.expressions]

    assert run("view smile.json @smile.mp4 --no-browser --no-cache").code == 0
    (layer,) = site.shown[0].layers
    assert layer.features is None and layer.alarms is None


def test_a_video_without_a_face_is_shown_all_the_same(
    run: Run, site: type[Kept], videos: Path
) -> None:
    ran = run("view @gray.avi --no-browser")
    assert ran.code == 0 and "gray.avi is shown without a result" in ran.err
    assert site.shown[0].layers == []
    assert run("view @still.avi --no-browser --no-spot").code == 0
    assert site.shown[0].layers == []


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("view none.mp4", 3, "no such file"),
        ("view @frames", 2, "--fps"),
        ("view @text.mp4", 3, "text.mp4"),
        ("view x.png", 2, "cannot be shown"),
        ("view x.json", 2, "x.json"),
        ("agreement a.vtt none.vtt", 2, "none.vtt"),
        ("agreement a.vtt a.vtt", 2, "give the --video, or give --fps and --end"),
        ("agreement a.vtt a.vtt --fps 30 --end 1", 2, "ends at"),
        ("agreement a.vtt a.vtt --iou 2", 2, "above 0 and at most 1"),
        ("agreement a.vtt a.vtt --fps 30", 2, "--fps must be given together with --end"),
        ("agreement a.vtt a.vtt --end 30", 2, "--end must be given together with --fps"),
        ("agreement a.vtt a.vtt --video @smile.mp4 --end 30", 2, "which has a length itself"),
        ("agreement a.vtt a.vtt --video @smile.mp4 --fps 30", 2, "which has a rate itself"),
        ("agreement a.vtt a.vtt --video @frames --fps 2 --end 30", 2, "which has a length itself"),
    ],
)
def test_what_cannot_be_shown(
    run: Run, site: type[Kept], tmp_path: Path, line: str, code: int, said: str
) -> None:
    (tmp_path / "a.vtt").write_text("WEBVTT\n\n00:00:01.000 --> 00:00:09.000\nmicro\n")
    ran = run(f"{line} --no-browser" if line.startswith("view") else line)
    assert ran.code == code and said in ran.err


def test_without_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    ran = run("view @smile.mp4")
    assert ran.code == 2 and 'pip install "aumer[view]"' in ran.err


def coder(path: Path, *spans: tuple[int, int], content: str | None = "c0ffee") -> Path:
    found = [
        Annotated("micro", a / 25, b / 25, None, None, None, f"e{k}", a, None, b)
        for k, (a, b) in enumerate(spans)
    ]
    file = AnnotationFile("v.mp4", content=content, frames=100, duration_s=99 / 25)
    file.changed(found, path.stem).save(path)
    return path


def test_agreement(run: Run, tmp_path: Path, videos: Path) -> None:
    a = coder(tmp_path / "a.annotations", (10, 19), (50, 59))
    b = coder(tmp_path / "b.annotations", (12, 19))
    ran = run("agreement a.annotations b.annotations")
    assert ran.code == 0
    head, total, micro, macro = (line.split() for line in ran.out.splitlines())
    assert head[:3] == ["kappa", "F1", "both"]
    assert total[0] == "all" and total[2:6] == ["0.667", "1", "1", "0"]
    assert total[6:8] == ["+0.080", "|0.080|"]
    assert micro[1:] == total[1:] and macro[1:3] == ["-", "-"]
    found = aumer.agreement(a, b)
    printed = json.loads(run("agreement a.annotations b.annotations --json").out)
    assert printed == {name: one.to_dict() for name, one in found.items()}
    assert found["all"].kappa == pytest.approx(float(total[1]), abs=0.0005)
    # What has times alone is compared by a rate and a length, or by the video.
    for name in ("a", "b"):
        assert run(f"convert {name}.annotations {name}.eaf").code == 0
    assert run("agreement a.eaf b.eaf --fps 25 --end 4").out == ran.out
    assert run("agreement a.eaf b.eaf --video @smile.mp4").code == 2  # it is shorter
    # A result knows when each of its frames is, too.
    spotted = f"{tmp_path}/s.json"
    assert run(f"spot {videos}/smile.mp4 -o {spotted} --set rules.min_s=0.1").code == 0
    assert run(f"convert {spotted} {tmp_path}/s.eaf").code == 0
    for other in (spotted, f"{tmp_path}/s.eaf"):
        ran_again = run(f"agreement {spotted} {other}")
        assert ran_again.code == 0, ran_again.err
        assert ran_again.out.splitlines()[1].split()[1:3] == ["1.000", "1.000"]
    # Of a variable rate the frames count, whose times the files know.
    for name in ("a", "b"):
        path = tmp_path / f"{name}.annotations"
        file = AnnotationFile.load(path)
        moved = [replace(e, onset_s=e.onset_s / 2) for e in file.expressions]
        replace(file, expressions=tuple(moved)).save(path, overwrite=True)
    total = run("agreement a.annotations b.annotations").out.splitlines()[1].split()
    assert total[2:8] == ["0.667", "1", "1", "0", "+0.040", "|0.040|"]
    other = coder(tmp_path / "other.annotations", (12, 19), content="decaf")
    with pytest.raises(aumer.UsageError, match="to different videos"):
        aumer.agreement(a, other)


def test_videos_of_different_length_are_not_compared(tmp_path: Path, videos: Path) -> None:
    """Whichever is named first, and where no digest tells them apart."""
    a = coder(tmp_path / "a.annotations", (10, 19), content=None)
    b = tmp_path / "b.annotations"
    replace(AnnotationFile.load(a), frames=200, duration_s=199 / 25).save(b)
    for pair in ((a, b), (b, a)):
        with pytest.raises(aumer.UsageError, match="100 and 200 frames"):
            aumer.agreement(*pair)
    assert aumer.agreement(a, b, fps=25, end=9)["all"].counts.tp == 1
    # A folder of images is a video, too.
    found = tmp_path / "c.vtt"
    found.write_text("WEBVTT\n\n00:00:01.000 --> 00:00:03.000\nmicro\n")
    assert aumer.agreement(found, found, video=videos / "frames", fps=5)["all"].kappa == 1


def test_a_result_agrees_with_itself(run: Run, videos: Path) -> None:
    assert run("spot @smile.mp4 -o smile.json -q").code == 0
    assert SpotResult.load("smile.json").expressions
    ran = run("agreement smile.json smile.json --video @smile.mp4")
    assert ran.out.splitlines()[1].split()[:3] == ["all", "1.000", "1.000"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_it_serves_until_it_is_interrupted(videos: Path, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the extra `view` is not installed")
    line = [sys.executable, "-m", "aumer", "view", str(videos / "still.avi")]
    process = subprocess.Popen(
        [*line, "--no-browser", "--no-spot"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        cookies = urllib.request.HTTPCookieProcessor()
        client = urllib.request.build_opener(cookies, urllib.request.ProxyHandler({}))
        page = client.open(address, timeout=20).read().decode()
        assert "<title>aumer view</title>" in page
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0, said
        assert "Traceback" not in said
    finally:
        process.kill()
