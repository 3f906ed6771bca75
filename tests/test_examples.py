"""The scripts of docs/examples do what they say, on simulated faces."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

import aumer
from aumer import registry
from aumer.testing.moving_face import Bump, brow_raise, film, smile

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"


def write(path: Path, bumps: tuple[Bump, ...], *, seconds: float = 1.5, seed: int = 0) -> None:
    """A video of 30 frames a second that moves so."""
    frames = film(np.arange(int(30 * seconds)) / 30, bumps=bumps, noise=1.0, seed=seed)
    size = (frames.shape[2], frames.shape[1])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, size)
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    writer.release()


@pytest.fixture(autouse=True)
def _apart(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a script registers is gone after it, and the user's cache is left alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUMER_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(registry, "_parts", {k: dict(v) for k, v in registry._parts.items()})


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_has_a_test_here_and_a_place_in_the_documentation() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {"batch_by_condition", "own_graph_and_layer", "own_recognizer"}
    page = (EXAMPLES / "index.md").read_text("utf-8")
    assert all(f"{name}.py" in page for name in names)
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) < 100, f"{path.name} is not short"


def test_totals_by_condition(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", smile(0.5, 0.9, 1.3, px=4.0), seconds=2)
    write(tmp_path / "b.mp4", ())
    (tmp_path / "broken.mp4").write_text("no video")
    (tmp_path / "study.csv").write_text(
        "file,subject,condition\na.mp4,s1,film\nb.mp4,s1,rest\nbroken.mp4,s2,rest\n"
    )
    example("batch_by_condition").main("study.csv", "results")
    said = capsys.readouterr()
    assert "broken.mp4 is left out" in said.err and said.out.count("\n") == 3
    with (tmp_path / "results" / "totals.csv").open(newline="") as file:
        rows = {row["condition"]: row for row in csv.DictReader(file)}
    assert {c: (r["videos"], r["micro"], r["macro"]) for c, r in rows.items()} == {
        "film": ("1", "0", "1"),
        "rest": ("1", "0", "0"),
    }
    assert aumer.SpotResult.load("results/a.json").about["condition"] == "film"


def test_a_graph_and_a_layer(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    example("own_graph_and_layer").main("out")
    assert "spotter network model.safetensors" in capsys.readouterr().out
    from aumer.spotting.spotnet import SpotNet

    net = SpotNet.load(tmp_path / "out" / "model.safetensors")
    assert net.graph.name == "smile-and-frown" and net.config.layer == "gated-mean"
    kept = aumer.AUGraph.load(tmp_path / "out.graph.json")
    assert kept.digest == net.graph.digest


def test_a_recognizer(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    lines = ["file,subject,label"]
    for subject in (1, 2):
        for label, bumps in (("smile", smile), ("brows", brow_raise)):
            name = f"{label}_{subject}.mp4"
            course = bumps(0.1, 0.5, 0.9, px=3.0 + subject)
            write(tmp_path / "clips" / name, course, seconds=1, seed=subject)
            lines.append(f"{name},s{subject},{label}")
    (tmp_path / "clips" / "clips.csv").write_text("\n".join(lines) + "\n")
    write(tmp_path / "new.mp4", brow_raise(0.1, 0.5, 0.9, px=3.5), seconds=1, seed=9)
    example("own_recognizer").main("clips", "new.mp4", "out")
    assert capsys.readouterr().out.startswith("brows ")
