"""Video files: whole or not there, and with the pictures that they were given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer.errors import UsageError
from aumer.video import open_video, writer
from aumer.video.container import set_times
from aumer.video.writer import CODECS, SUFFIXES, VideoFile, codec_for


def pictures(count: int = 5, height: int = 48, width: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height, width, 3), np.uint8)


def write(
    path: Path, frames: np.ndarray, given: Iterable[np.ndarray] | None = None, **options: Any
) -> None:
    """A film of the size of `frames`; of these, or of others that are given."""
    size = (frames.shape[2], frames.shape[1])
    with VideoFile(path, fps=25.0, size=size, **options) as file:
        for frame in frames if given is None else given:
            file.write(frame)


def read(path: Path) -> np.ndarray:
    with closing(open_video(path)) as video:
        assert video.info.fps == 25.0
        return np.stack([frame.image for frame in video])


def test_every_suffix_has_a_codec_and_none_is_left_over() -> None:
    assert {suffix for each in CODECS.values() for suffix in each} == set(SUFFIXES)
    assert [codec_for(f"film{suffix}") for suffix in SUFFIXES] == ["mp4v", "mp4v", "mp4v", "MJPG"]


def test_lossless_pictures_read_back(tmp_path: Path) -> None:
    frames = pictures()
    write(tmp_path / "film.mkv", frames, codec="FFV1")
    np.testing.assert_array_equal(read(tmp_path / "film.mkv"), frames)


def test_an_odd_side_loses_nothing(tmp_path: Path) -> None:
    frames = pictures(height=47, width=63)
    write(tmp_path / "film.avi", frames, codec="FFV1")
    found = read(tmp_path / "film.avi")
    assert found.shape == (5, 48, 64, 3)
    np.testing.assert_array_equal(found[:, :47, :63], frames)
    np.testing.assert_array_equal(found[:, 47, :63], frames[:, 46])


def test_nothing_is_left_of_a_film_that_fails(tmp_path: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield pictures()[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write(tmp_path / "film.mp4", pictures(), broken())
    with pytest.raises(UsageError, match="one picture at least"):
        write(tmp_path / "film.mp4", pictures(0))
    with pytest.raises(ValueError, match=r"is \(48, 64, 3\) uint8; found \(48, 64\)"):
        write(tmp_path / "film.mp4", pictures(), pictures()[..., 0])
    assert list(tmp_path.iterdir()) == []


def test_no_film_is_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write(path, pictures())
    assert path.read_text() == "mine"
    write(path, pictures(), overwrite=True)
    assert len(read(path)) == 5


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_pictures_keep_times_of_their_own(tmp_path: Path, suffix: str) -> None:
    path, rng = tmp_path / f"x{suffix}", np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.005, 0.4, 60)) + 7.0
    with VideoFile(path, fps=30, size=(48, 32)) as file:
        for k, time_s in enumerate(times):
            file.write(np.full((32, 48, 3), 4 * k, np.uint8), float(time_s))
    with open_video(path) as video:
        frames = list(video)
    np.testing.assert_allclose([f.time_s for f in frames], times - times[0], atol=1e-5)
    levels = [f.image.mean() for f in frames]
    np.testing.assert_allclose(levels, 4 * np.arange(60), atol=4)  # as far as the codec keeps them


def test_times_need_a_container_that_holds_them(tmp_path: Path) -> None:
    image = np.zeros((32, 48, 3), np.uint8)
    with (
        pytest.raises(UsageError, match=r"times of their own.*\.mp4 or \.mov"),
        VideoFile(tmp_path / "x.avi", fps=30, size=(48, 32)) as file,
    ):
        file.write(image, 0.0)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_and_what_was_written_is_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, frames = tmp_path / "x.mp4", pictures(40)
    file = VideoFile(path, fps=30, size=(64, 48))
    for k in range(30):
        file.write(frames[k], k / 30)
    monkeypatch.setattr(writer, "_LEFT_FREE", 1 << 60)
    with pytest.raises(UsageError, match=r"the disk of .* is nearly full"):
        file.write(frames[30], 1.0)
    with file:
        pass
    assert len(read_any(path)) == 30


def test_a_video_that_came_out_damaged_is_no_bug_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a quota is used up: OpenCV writes on and says nothing."""

    def cut(path: Path, times: Any) -> None:
        with path.open("r+b") as made:
            made.truncate(path.stat().st_size // 2)
        set_times(path, times)

    monkeypatch.setattr(writer, "set_times", cut)
    file = VideoFile(tmp_path / "x.mp4", fps=30, size=(64, 48))
    for k, frame in enumerate(pictures(8)):
        file.write(frame, k / 30)
    with pytest.raises(UsageError, match=r"came out damaged .*disk is full"), file:
        pass
    assert not list(tmp_path.iterdir())


def test_a_picture_that_does_not_fit_spoils_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    with VideoFile(path, fps=30, size=(64, 48)) as file:
        for k, frame in enumerate(pictures(5)):
            file.write(frame, k / 30)
        with pytest.raises(ValueError, match="a picture of this video"):
            file.write(np.zeros((24, 32, 3), np.uint8), 1.0)
    assert len(read_any(path)) == 5


def read_any(path: Path) -> np.ndarray:
    with closing(open_video(path)) as video:
        return np.stack([frame.image for frame in video])
