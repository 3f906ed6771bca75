"""Clips in a cache: what it loses is made again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from acted import SMILE, frames

from aumer.config import load_settings
from aumer.errors import UsageError
from aumer.recognition.sequences.inputs import SequenceSettings
from aumer.training import clips
from aumer.training.clips import ClipReading, StoredClips, extract, forget
from aumer.training.listing import Example, Listing
from aumer.video import VideoReader


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the clips that were made of frames, in order."""
    names: list[str] = []

    def inputs(example: Example, *_: Any) -> dict[str, np.ndarray]:
        names.append(example.name)
        of = np.full((28, 28, 3), example.label, np.float32)
        return {"peak": np.array(1), "coverage": np.array(1.0), "map": of}

    monkeypatch.setattr(clips, "_inputs", inputs)
    return names


def film(path: Path, gray: int) -> None:
    """A video of three frames of one gray level."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30.0, (32, 32))
    for _ in range(3):
        writer.write(np.full((32, 32, 3), gray, np.uint8))
    writer.release()


def stored(folder: Path) -> StoredClips:
    examples = []
    for number in range(3):
        path = folder / f"{number}.avi"
        film(path, 60 * (number + 1))
        examples.append(Example("own", "s1", f"c{number}", number % 2, str(path), 30.0, 0, 1, 2))
    listing = Listing(("a", "b"), tuple(examples), {})
    return extract(listing, ClipReading(load_settings()), cache=folder / "cache")[0]


@pytest.fixture(autouse=True)
def nothing_loaded() -> None:
    forget()


def test_what_the_cache_has_lost_is_made_again(tmp_path: Path, made: list[str]) -> None:
    found = stored(tmp_path)
    assert made == ["c0", "c1", "c2"]
    (tmp_path / "cache" / f"{found.keys[1]}.npz").unlink()
    labeled = found.load()
    assert made == ["c0", "c1", "c2", "c1"]
    np.testing.assert_array_equal(labeled.inputs[:, 0, 0, 0], [0, 1, 0])
    assert found.load() is labeled
    assert (tmp_path / "cache" / f"{found.keys[1]}.npz").is_file()


def test_a_full_disk_costs_time_alone(
    tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise UsageError("No space left on device")

    monkeypatch.setattr("aumer.cache.atomic_write", full)
    found = stored(tmp_path)
    np.testing.assert_array_equal(found.load().inputs[:, 0, 0, 0], [0, 1, 0])
    assert made == ["c0", "c1", "c2"] * 2


def test_frames_that_have_changed_are_not_taken_for_those_of_before(
    tmp_path: Path, made: list[str]
) -> None:
    found = stored(tmp_path)
    (tmp_path / "cache" / f"{found.keys[0]}.npz").unlink()
    film(tmp_path / "0.avi", 10)
    with pytest.raises(UsageError, match="has changed"):
        found.load()


@pytest.mark.parametrize("apex", [None, 16])
@pytest.mark.parametrize("sequences", [None, SequenceSettings(48, "none", margin=2)])
def test_a_clip_is_decoded_once(
    apex: int | None,
    sequences: SequenceSettings | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, every = tmp_path / "smile.avi", VideoReader.__iter__
    passes: list[str] = []
    film = frames(SMILE, 0.8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 30, film.shape[2:0:-1])
    for image in film:
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()

    def counted(self: VideoReader) -> Any:
        passes.append(self.info.name)
        return every(self)

    monkeypatch.setattr(VideoReader, "__iter__", counted)
    example = Example("own", "s1", "smile", 0, str(path), 30.0, 8, apex, 20)
    reading = ClipReading(load_settings(overrides={"motion": {"flow": "farneback"}}), sequences)

    def made() -> dict[str, np.ndarray]:
        clips_made, _, unseen = extract(
            Listing(("a", "b"), (example,), {}), reading, cache=tmp_path / "cache"
        )
        assert not unseen
        return clips_made._arrays(0)

    first = made()
    assert passes == ["smile.avi"]
    for kept in (tmp_path / "cache").rglob("clip-*"):  # the track stays: its frames are read
        shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
    forget()
    again = made()
    assert len(passes) >= 2
    assert first.keys() == again.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name], strict=True)
