"""Films of the aligned face and of its flow."""

from __future__ import annotations

import colorsys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import aumer
from aumer.errors import UsageError
from aumer.motion import align
from aumer.results.motion import Motion
from aumer.results.motion_film import FULL_SPEED, flow_picture
from aumer.testing.moving_face import film, smile
from aumer.types import Features
from aumer.video import open_video

SETTINGS = {"motion": {"flow": "dis"}}


def read(path: Path) -> np.ndarray:
    with closing(open_video(path)) as video:
        return np.stack([frame.image for frame in video])


def hue(color: np.ndarray) -> float:
    return 360 * colorsys.rgb_to_hsv(*(color / 255))[0]


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """The mouth's corners go up and out, fastest at .5 s; from 1 s on there is no face."""
    there = film(np.arange(30) / 30, bumps=smile(0.2, 0.8, 1.4, px=4.0))
    return np.concatenate([there, np.full_like(there[:10], 90)])


@pytest.fixture(scope="module")
def motion(frames: np.ndarray) -> Motion:
    return aumer.features(frames, fps=30, settings=SETTINGS)


@pytest.mark.parametrize(
    ("direction", "expected"),
    [((1, 0), 0), ((1, 1), 45), ((0, 1), 90), ((-1, 0), 180), ((0, -1), 270)],
)
def test_the_hue_is_the_direction(direction: tuple[int, int], expected: float) -> None:
    speed = np.broadcast_to(np.float32(direction) / np.hypot(*direction), (4, 6, 2))
    picture = flow_picture(speed.astype(np.float32), full=2.0)
    assert picture.shape == (4, 6, 3) and picture.dtype == np.uint8
    assert hue(picture[0, 0]) == pytest.approx(expected, abs=1)
    assert picture.max() == pytest.approx(127.5, abs=1)  # half of the full speed


def test_the_brightness_is_the_speed() -> None:
    speed = np.zeros((1, 4, 2), np.float32)
    speed[0, :, 0] = (0, 0.25 * FULL_SPEED, FULL_SPEED, 9 * FULL_SPEED)
    np.testing.assert_allclose(flow_picture(speed)[0, :, 0], (0, 64, 255, 255), atol=1)


def test_a_film_has_a_picture_a_row_of_the_crop_s_size(
    motion: Motion, frames: np.ndarray, tmp_path: Path
) -> None:
    crop, flow = tmp_path / "crop.mkv", tmp_path / "flow.mkv"
    seen: list[int] = []
    motion.film(frames, crop=crop, flow=flow, fps=30, progress=lambda done, _: seen.append(done))
    assert seen == list(range(1, 31))  # once each, and those without a face not at all
    crops, flows = read(crop), read(flow)
    assert crops.shape == flows.shape == (len(motion.features), 128, 128, 3)
    with closing(open_video(crop)) as video:
        assert video.info.fps == motion.features.rate
    for row in (0, 17, 29):
        face = align(frames[row], motion.track.landmarks[row], 128).gray
        np.testing.assert_array_equal(crops[row], np.repeat(face[..., None], 3, axis=2))
    # No face: black, but for the words, in both. The last face has no next one to move to.
    words = crops[-1]
    assert [np.array_equal(picture, words) for picture in crops] == [k > 29 for k in range(39)]
    assert [np.array_equal(picture, words) for picture in flows] == [k > 29 for k in range(39)]
    for black in (words, flows[29]):
        lit = black.any(axis=2)
        assert 0.01 < lit.mean() < 0.1 and lit[48:80].sum() == lit.sum()


def test_the_flow_shows_where_the_mouth_goes(
    motion: Motion, frames: np.ndarray, tmp_path: Path
) -> None:
    motion.film(frames, flow=tmp_path / "flow.mkv", fps=30)
    picture = read(tmp_path / "flow.mkv")[15].astype(int)
    face = align(frames[15], motion.track.landmarks[15], 128)
    for corner, expected in ((48, 225), (54, 315)):  # up and out; -y is up
        x, y = np.rint(face.landmarks[corner]).astype(int)
        patch = picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3)
        assert hue(np.median(patch, axis=0)) == pytest.approx(expected, abs=25)
        assert patch.max() > 150
    x, y = np.rint(face.landmarks[30]).astype(int)  # the nose is at rest
    assert picture[y - 2 : y + 3, x - 2 : x + 3].max() < 60


def test_rows_follow_the_clock_whatever_the_frame_rate(tmp_path: Path) -> None:
    frames = film(np.arange(24) / 24)
    motion = aumer.features(frames, fps=24, settings=SETTINGS)
    motion.film(frames, crop=tmp_path / "crop.mkv", flow=tmp_path / "flow.mkv", fps=24)
    assert len(motion.features) == 28
    assert len(read(tmp_path / "crop.mkv")) == len(read(tmp_path / "flow.mkv")) == 28


def test_a_size_of_its_own(frames: np.ndarray, tmp_path: Path) -> None:
    motion = aumer.features(frames, fps=30, end=0.5, settings={"motion": {"crop": 96}})
    motion.film(frames, crop=tmp_path / "crop.mp4", fps=30)
    assert read(tmp_path / "crop.mp4").shape == (14, 96, 96, 3)


def no_rows(features: Features) -> Features:
    names = ("values", "times", "frames", "valid", "confidence", "eyelids", "head")
    return replace(features, **{name: getattr(features, name)[:0] for name in names})


def test_what_cannot_be_filmed(motion: Motion, frames: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "crop.mp4"
    with pytest.raises(UsageError, match="camera cannot be filmed"):
        motion.film(0, crop=path)
    for other, fps in ((frames[:, :, :200], 30), (frames[1:], 30), (frames, 25)):
        with pytest.raises(UsageError, match="not the video that was measured"):
            motion.film(other, crop=path, fps=fps)
    unknown = replace(motion, digests={})
    with pytest.raises(UsageError, match="256x256 pixels; found array, 200x256"):
        unknown.film(frames[:, :, :200], crop=path, fps=30)
    with pytest.raises(UsageError, match="say what to film"):
        motion.film(frames, fps=30)
    with pytest.raises(UsageError, match=r"found '\.gif'"):
        motion.film(frames, crop=tmp_path / "crop.gif", fps=30)
    alone = replace(unknown, features=no_rows(motion.features))
    with pytest.raises(UsageError, match="no motion to film"):
        alone.film(frames[:1], crop=path, fps=30)
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        motion.film(frames, crop=path, flow=tmp_path / "flow.mp4", fps=30)
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]
