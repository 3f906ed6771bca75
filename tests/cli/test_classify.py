"""`aumer classify` and `aumer spot --classify`, with a small recognizer of the test's own."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aumer
from aumer.recognition.features import ROI_CENTERS
from aumer.recognition.interface import Clips
from aumer.recognition.svm_cells import SvmCells
from aumer.results import Prediction, SpotResult
from aumer.types import FloatArray, au_text

CLASSES = ("brows", "smile")


def bumps(*moves: tuple[str, float, float]) -> FloatArray:
    """A map on which each of the ROIs moves by (u, v)."""
    rows, columns = np.mgrid[:28, :28]
    found = np.zeros((28, 28, 3))
    for roi, u, v in moves:
        x, y = ROI_CENTERS[roi]
        near = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.5**2))
        found += near[..., None] * np.array([u, v, abs(u) + abs(v)])
    return found.astype(np.float32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    maps = []
    for label in (0, 1) * 8:
        a, b = rng.uniform(0.6, 1.4, 2)
        maps.append(
            bumps(("mouth_r", -a, -a), ("mouth_l", b, -b))
            if label
            else bumps(("brow_r_mid", 0, -a), ("brow_l_mid", 0, -b))
        )
    noisy = np.stack(maps) + 0.05 * rng.standard_normal((16, 28, 28, 3))
    clips = Clips(
        noisy.astype(np.float32),
        np.array([0, 1] * 8),
        tuple(f"s{k // 4}" for k in range(16)),
        CLASSES,
    )
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    SvmCells().fit(clips).save(path, {"data": "made up"})
    return path


def test_a_failure_among_clips_of_one_name_says_which(
    run: Any, weights: Path, videos: Path, tmp_path: Path
) -> None:
    for there, source in (("a/x.avi", "gray.avi"), ("b/x.avi", "still.avi")):
        (tmp_path / there).parent.mkdir()
        (tmp_path / there).symlink_to(videos / source)
    ran = run(f"classify a/x.avi b/x.avi --recognizer {weights}")
    assert ran.code == 6
    assert "aumer: error: a/x.avi: x.avi: 0 of" in ran.err and "b/x.avi" in ran.out


def test_a_table(run: Any, weights: Path, videos: Path) -> None:
    ran = run(f"classify @smile.mp4 --recognizer {weights} --onset 18 --apex 30 --offset 42")
    assert ran.code == 0, ran.err
    header, row = ran.out.splitlines()
    columns = ["clip", "label", *CLASSES, "frames", "regions", "that", "decided"]
    assert header.split() == [*columns, "AUs"]
    clip, label, brows, smile, frames, *_ = row.split()
    expected = aumer.classify(videos / "smile.mp4", model=weights, onset=18, apex=30, offset=42)
    assert (clip, label, frames) == ("smile.mp4", expected.label, "18-30-42")
    assert [brows, smile] == [f"{expected.probs[name]:.2f}" for name in CLASSES]
    assert row.split()[-1] == (au_text(expected.aus) or "-")
    without = run(
        f"classify @smile.mp4 --recognizer {weights} --onset 18 --apex 30 --offset 42 --no-aus"
    )
    assert without.out.splitlines()[0].split() == columns


def test_json_lines_and_a_clip_that_fails(run: Any, weights: Path) -> None:
    ran = run(f"classify @smile.mp4 @empty.mp4 @gray.avi --recognizer {weights} --format json")
    assert ran.code == 6
    (line,) = ran.out.splitlines()
    found = Prediction.from_dict(json.loads(line))
    assert found.clip == "smile.mp4"
    assert found.label in CLASSES
    assert 24 <= found.apex <= 36
    assert found.recognizer == "svm-cells"
    assert found.digests.keys() == {"content", "settings", "recognizer", "aus"}
    assert "empty.mp4" in ran.err
    assert "gray.avi" in ran.err


def test_many_clips_go_into_one_table(
    run: Any, weights: Path, videos: Path, tmp_path: Path
) -> None:
    words = f"classify @smile.mp4 @gray.avi @still.avi --recognizer {weights}"
    assert run(f"{words} -o all.csv").code == 6
    rows = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text())))
    assert [(r["clip"], r["status"]) for r in rows] == [
        ("smile.mp4", "ok"),
        ("still.avi", "ok"),
        ("gray.avi", "failed"),
    ]
    assert list(rows[0])[-2:] == ["p_brows", "p_smile"]
    assert rows[0]["label"] and "usable face" in rows[2]["reason"]
    ran = run(f"{words} --format csv")
    assert ran.out == (tmp_path / "all.csv").read_text()
    again = run(f"{words} -o all.csv")
    assert again.code == 2 and "exists" in again.err
    assert run(f"classify @smile.mp4 --recognizer {weights} -o one.json").code == 0
    assert Prediction.load(tmp_path / "one.json").label == rows[0]["label"]
    (tmp_path / "each").mkdir()
    assert run(f"{words} -o each").code == 6
    assert {p.name for p in (tmp_path / "each").iterdir()} == {"smile.json", "still.json"}
    ran = run(f"{words} -o two.json")
    assert ran.code == 2 and "one video only" in ran.err


def test_clips_of_a_table_that_are_not_there(run: Any, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("file,label\nnowhere.mp4,a\n")
    ran = run(f"classify --manifest clips.csv --recognizer {weights}")
    assert ran.code == 2 and "1 of its clips are not there, nowhere.mp4" in ran.err


def test_a_manifest_needs_files_alone_and_its_table_is_one(
    run: Any, weights: Path, videos: Path, tmp_path: Path
) -> None:
    """Several expressions of a video keep its name, and their frames tell them apart."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "smile.mp4").symlink_to(videos / "smile.mp4")
    (tmp_path / "clips.csv").write_text("file\na/smile.mp4\n")
    words = f"--recognizer {weights} --no-aus"
    assert run(f"classify --manifest clips.csv {words}").code == 0
    frames = "a/smile.mp4,18,30,42", "a/smile.mp4,18,25,42", "a/smile.mp4,900,910,920"
    (tmp_path / "parts.csv").write_text("\n".join(("file,onset,apex,offset", *frames)) + "\n")
    assert run(f"classify --manifest parts.csv {words} -o all.csv").code == 6
    rows = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text())))
    assert [(r["clip"], r["status"], r["apex"]) for r in rows] == [
        ("a/smile.mp4", "ok", "30"),
        ("a/smile.mp4", "ok", "25"),
        ("a/smile.mp4", "failed", ""),
    ]
    (tmp_path / "seen.csv").write_text(
        "".join((tmp_path / "all.csv").read_text().splitlines(keepends=True)[:3])
    )
    assert run(f"classify --manifest seen.csv {words} -o again.csv").code == 0
    again = list(csv.DictReader(io.StringIO((tmp_path / "again.csv").read_text())))
    members = ("label", "p_smile", "onset", "apex", "offset")
    assert [[r[m] for m in members] for r in again] == [[r[m] for m in members] for r in rows[:2]]


def test_clips_of_one_name_are_told_apart(
    run: Any, weights: Path, videos: Path, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "smile.mp4").symlink_to(videos / "smile.mp4")
    ran = run(f"classify a/smile.mp4 @smile.mp4 --recognizer {weights}")
    names = [line.split()[0] for line in ran.out.splitlines()[1:]]
    assert names == ["a/smile.mp4", f"{videos}/smile.mp4"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("@smile.mp4 --apex flowpeak", 2, "Did you mean 'flow-peak'"),
        ("@smile.mp4 --onset -3", 2, "must be a frame, 0 or more; found '-3'"),
        ("@smile.mp4 --onset 99", 2, "frames 0 to 59; found onset 99"),
        ("@frames", 2, "give --fps"),
        ("--format csv", 2, "no CLIP is given"),
        ("@smile.mp4 --manifest clips.csv", 2, "names the clips, and"),
        ("camera:0", 2, "record a file"),
        ("@empty.mp4", 3, "empty.mp4"),
        ("@gray.avi", 4, "usable face"),
        ("@smile.mp4 --recognizer nope", 5, "no trained recognizer is called 'nope'"),
    ],
)
def test_what_cannot_be_done(words: str, code: int, said: str, run: Any, weights: Path) -> None:
    words = words if "--recognizer" in words else f"{words} --recognizer {weights}"
    ran = run(f"classify {words}")
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_spot_and_classify(run: Any, weights: Path, tmp_path: Path) -> None:
    ran = run(f"spot @smile.mp4 --recognizer {weights} -o out.json -o out.csv -o -")
    assert ran.code == 0, ran.err
    _, header, row, _, _ = ran.out.splitlines()
    assert header.split()[-2:] == ["label", "p"]
    result = SpotResult.load(tmp_path / "out.json")
    (expression,) = result.expressions
    assert expression.probs is not None
    assert expression.label == max(expression.probs, key=expression.probs.__getitem__)
    assert row.split()[-2:] == [expression.label, f"{expression.probs[expression.label]:.2f}"]
    (cells,) = csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text()))
    assert cells["label"] == expression.label
    assert json.loads(cells["probs"]) == expression.probs
    assert result.settings["recognition"] == {"recognizer": "svm-cells"}


def test_spot_alone_labels_nothing(run: Any) -> None:
    ran = run("spot @smile.mp4 --format json")
    assert [e.label for e in SpotResult.from_json(ran.out).expressions] == [None]
    assert "label" not in run("spot @smile.mp4").out


@pytest.mark.parametrize("option", ["--classify", "--recognizer mine.safetensors"])
def test_a_camera_cannot_be_read_twice(option: str, run: Any) -> None:
    ran = run(f"spot camera:0 --end 1 {option}")
    assert (ran.code, ran.out) == (2, "")
    assert "record a file" in ran.err
