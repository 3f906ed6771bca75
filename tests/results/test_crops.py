from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aumer.errors import UsageError, VideoError
from aumer.results import thumbnails
from aumer.results.crops import crop_face
from aumer.types import FaceTrack, ImageArray

SHAPE = (240, 320)


def scene(x: float, y: float, side: float, color: tuple[int, int, int]) -> ImageArray:
    """A square of one color on gray, centered at (x, y)."""
    image = np.full((*SHAPE, 3), 128, np.uint8)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image[(abs(rows - y) <= side / 2) & (abs(columns - x) <= side / 2)] = color
    return image


def track_of(boxes: dict[int, tuple[float, float, float, float]], rows: int) -> FaceTrack:
    """A face in the frames named, none in the others."""
    track = FaceTrack(
        times=np.arange(rows) / 30,
        frames=np.arange(rows),
        valid=np.array([i in boxes for i in range(rows)]),
        boxes=np.full((rows, 4), np.nan, np.float32),
        landmarks=np.zeros((rows, 68, 2), np.float32),
    )
    for i, box in boxes.items():
        track.boxes[i] = box
    return track


@pytest.fixture
def video() -> tuple[ImageArray, FaceTrack]:
    """Ten frames; a face that moves right and gets redder. None in frames 4 and 5."""
    frames = [scene(60 + 20 * i, 120, 60, (20 * i, 255, 0)) for i in range(10)]
    boxes = {i: (30.0 + 20 * i, 90.0, 90.0 + 20 * i, 150.0) for i in range(10) if i not in (4, 5)}
    return np.stack(frames), track_of(boxes, 10)


def test_cuts_out_the_face_of_each_frame(video: tuple[ImageArray, FaceTrack]) -> None:
    frames, track = video
    found = thumbnails(frames, [7, 0, 3, 3, 99], track, size=96, fps=30)
    assert sorted(found) == [0, 3, 7]
    for i, image in found.items():
        assert image.shape == (96, 96, 3)
        assert image.dtype == np.uint8
        assert image[48, 48].tolist() == [20 * i, 255, 0]
        inside = (image[..., 1] == 255).mean()
        assert inside == pytest.approx(1 / 1.35**2, rel=0.06)


def test_a_frame_without_a_face_is_cut_where_the_nearest_one_is(
    video: tuple[ImageArray, FaceTrack],
) -> None:
    frames, track = video
    frames[4] = frames[3]
    frames[5] = frames[6]
    found = thumbnails(frames, [3, 4, 5, 6], track, fps=30)
    np.testing.assert_array_equal(found[4], found[3])
    np.testing.assert_array_equal(found[5], found[6])


def test_without_any_face_the_middle_is_shown(video: tuple[ImageArray, FaceTrack]) -> None:
    found = thumbnails(video[0], [2], track_of({}, 10), size=240, fps=30)
    np.testing.assert_array_equal(found[2], video[0][2][:, 40:280])


def test_the_track_may_hold_fewer_frames_than_the_video(
    video: tuple[ImageArray, FaceTrack],
) -> None:
    frames, track = video
    rows = {name: a[::3] for name, a in vars(track).items() if isinstance(a, np.ndarray)}
    every_third = replace(track, **rows)
    assert thumbnails(frames, [7], every_third, fps=30)[7][64, 64].tolist() == [140, 255, 0]


@pytest.mark.parametrize("x", [0, 30, 160, 290, 320])
@pytest.mark.parametrize("y", [0, 30, 120, 210, 240])
def test_at_the_edges_the_square_moves_inside(x: int, y: int) -> None:
    box = np.array([x - 30, y - 30, x + 30, y + 30], np.float32)
    image = crop_face(scene(x, y, 60, (0, 255, 0)), box, 81)
    visible = (min(x + 30, 320) - max(x - 30, 0)) * (min(y + 30, 240) - max(y - 30, 0)) / 81**2
    assert (image[..., 1] == 255).mean() == pytest.approx(visible, abs=0.03)


def test_a_face_larger_than_the_image_repeats_its_edge() -> None:
    image = scene(160, 120, 10, (0, 255, 0))
    image[:, :3], image[:, -3:], image[:3], image[-3:] = 1, 2, 3, 4
    found = crop_face(image, np.array([-40, -80, 360, 320], np.float32), 540)
    assert [found[270, 0, 0], found[270, -1, 0], found[0, 270, 0], found[-1, 270, 0]] == [
        1,
        2,
        3,
        4,
    ]


@pytest.mark.parametrize("box", [(50, 50, 50, 50), (1e4, 1e4, 1.1e4, 1.1e4), (-9e3, 0, -8e3, 5)])
def test_odd_boxes_give_an_image(box: tuple[float, ...]) -> None:
    image = crop_face(scene(1, 1, 1, (0, 0, 0)), np.array(box, np.float32), 32)
    assert image.shape == (32, 32, 3)


def test_only_what_can_be_read_again(tmp_path: Path) -> None:
    track = track_of({}, 1)
    with pytest.raises(UsageError, match="camera"):
        thumbnails(0, [1], track)
    with pytest.raises(UsageError, match="at least 1 px; found 0"):
        thumbnails(tmp_path / "a.mp4", [1], track, size=0)
    with pytest.raises(VideoError):
        thumbnails(tmp_path / "a.mp4", [1], track)
    assert thumbnails(tmp_path / "a.mp4", [], track) == {}
