"""Small videos, and the command line run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from aumer.cli import main
from aumer.testing.moving_face import film, smile

RATE = 30


def write(path: Path, frames: npt.NDArray[np.uint8]) -> Path:
    """(T, H, W, 3) RGB frames as a video file."""
    size = (frames.shape[2], frames.shape[1])
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), RATE, size)
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    writer.release()
    return path


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of inputs, good and bad; nothing may write there.

    smile.mp4 smiles from 0.6 to 1.4 s; still.avi never moves; frames/ is the still as images.
    """
    folder = tmp_path_factory.mktemp("videos")
    times = np.arange(60) / RATE
    write(folder / "smile.mp4", film(times, bumps=smile(0.6, 1.0, 1.4, px=4.0)))
    still = film(times[:20])
    write(folder / "still.avi", still)
    (folder / "frames").mkdir()
    for index, image in enumerate(still):
        cv2.imwrite(str(folder / "frames" / f"{index}.png"), image[:, :, ::-1])
    # Half a second of face, half a second without: coverage one half.
    write(folder / "half.avi", np.concatenate([still[:15], np.full_like(still[:15], 90)]))
    write(folder / "gray.avi", np.full((10, 120, 160, 3), 90, np.uint8))
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("Dear diary, this is no video.\n" * 9)
    (folder / "no_images").mkdir()
    return folder


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One cache for all tests, so that each video is analyzed once; never the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUMER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Run = Callable[[str], Ran]


@pytest.fixture
def run(
    videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """``run("spot @smile.mp4 -q")``: in `tmp_path`, with "@" for the folder of videos."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))  # no weights, whatever this machine has
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def call(line: str) -> Ran:
        capsys.readouterr()
        code = main([word.replace("@", f"{videos}/") for word in line.split()])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return call
