"""README's Python blocks that stand on their own run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import aumer
from aumer.spotting.network import NetSpotter
from aumer.spotting.spotnet import SpotNet
from aumer.testing.moving_face import film

README = Path(__file__).resolve().parents[1] / "README.md"


def block(heading: str) -> str:
    """The first Python block below a heading."""
    text = README.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"## {heading}\n")
    assert found, f"README.md has no heading {heading!r}"
    code = re.search(r"```python\n(.*?)```", rest, re.DOTALL)
    assert code, f"README.md has no Python below {heading!r}"
    return code[1]


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


def test_your_own_graph_in_five_lines(project: Path) -> None:
    code = block("Your own AU graph, in five lines")
    assert len(code.splitlines()) == 5
    names: dict[str, object] = {"aumer": aumer}
    with pytest.warns(UserWarning, match="Train again"):  # README's next section says how
        exec(code, names)
    assert aumer.AUGraph.load(project / "mine.json").digest == names["mine"].digest  # type: ignore[attr-defined]
    assert len(names["eyes"].rois) == 4  # type: ignore[attr-defined]
