"""Clips in a cache: what it loses is made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer.config import load_settings
from aumer.errors import UsageError
from aumer.training import clips
from aumer.training.clips import ClipReading, StoredClips, extract, forget
from aumer.training.listing import Example, Listing


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


def stored(folder: Path) -> StoredClips:
    examples = []
    for number in range(3):
        path = folder / f"{number}.avi"
        path.write_bytes(bytes([number]))
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
    labelled = found.load()
    assert made == ["c0", "c1", "c2", "c1"]
    np.testing.assert_array_equal(labelled.inputs[:, 0, 0, 0], [0, 1, 0])
    assert found.load() is labelled
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
    (tmp_path / "0.avi").write_bytes(b"other")
    with pytest.raises(UsageError, match="has changed"):
        found.load()
