"""README's Python blocks that stand on their own run as they are printed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from documents import Block, blocks

import aumer
from aumer.spotting.network import NetSpotter
from aumer.spotting.spotnet import SpotNet
from aumer.testing.moving_face import film

README = Path(__file__).resolve().parents[1] / "README.md"


def block(heading: str) -> Block:
    """The first Python block below a heading."""
    found = [b for b in blocks(README) if (b.heading, b.language) == (heading, "python")]
    assert found, f"README.md has no Python below {heading!r}"
    return found[0]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the video and the weights that README speaks of."""
    monkeypatch.chdir(tmp_path)
    frames = film(np.arange(20) / 30, scale=1.5, window=(130, 20, 320, 210))
    height, width = frames.shape[1:3]
    video = cv2.VideoWriter("interview.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 30, (width, height))
    for frame in frames:
        video.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    video.release()
    weights = tmp_path / "runs" / "mine" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    NetSpotter(SpotNet.from_preset("aumer")).save(weights)
    return tmp_path


def test_your_own_graph_in_five_lines(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    code = block("Your own AU graph, in five lines")
    assert len(code.text.splitlines()) == 5
    names = code.run(aumer=aumer)
    assert "Train again" in caplog.text  # README's next section says how
    assert aumer.AUGraph.load(project / "mine.json").digest == names["mine"].digest
    assert len(names["corners"].rois) == 4
