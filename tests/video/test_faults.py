"""Videos that went wrong in use, each with what is right of it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from aumer.errors import UsageError, VideoError
from aumer.types import Frame
from aumer.video import content_digest, open_video
from aumer.video.container import read_container

Shared = Callable[[str], Path]


def times(source: Any, **options: Any) -> list[float]:
    found: list[float] = []
    list(open_video(source, keep=lambda index, time_s: bool(found.append(time_s)), **options))
    return found


def read(source: Any, **options: Any) -> list[Frame]:
    return list(open_video(source, **options))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [r for r in caplog.records if r.name == "aumer" and r.levelno >= logging.WARNING]
    return [r.getMessage() for r in records]


# ------------------------------------------------------------------------------ real files


@pytest.mark.parametrize(("name", "frames"), [("longaudio.mkv", 72), ("editlist.mp4", 61)])
def test_a_whole_picture_is_not_called_cut_short(
    name: str, frames: int, shared_data: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    path = shared_data(f"faults/{name}")
    assert len(times(path)) == frames
    assert not said(caplog)
    estimate = open_video(path).info.frames_estimate
    assert estimate is not None and estimate < 80  # of 601 that the sound's length makes


def test_a_picture_that_begins_late_is_timed_as_players_do(shared_data: Shared) -> None:
    path = shared_data("faults/delayed.mp4")
    found = times(path)
    assert found == pytest.approx([3 + k / 30 for k in range(72)], abs=1e-3)
    assert times(path, start=4.0)[0] == pytest.approx(4.0, abs=1e-3)
    assert times(path, fps=30)[0] == 0.0  # whoever gives fps counts frames


def test_a_second_video_track_is_said(
    shared_data: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    read(shared_data("faults/two_streams.mkv"))
    (warning,) = said(caplog)
    assert "2 video tracks" in warning and "first (960x540) is read" in warning
    assert "640x360" in warning and "-map 0:v:1" in warning


def test_a_bare_stream_is_timed_by_its_own_rate(
    shared_data: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    found = times(shared_data("faults/hs1000.h264"))
    assert found == pytest.approx([k / 1000 for k in range(104)], abs=1e-6)
    (warning,) = said(caplog)
    assert (
        "lacks the times of" in warning and "1000 frames a second" in warning and "`fps`" in warning
    )


def test_pictures_that_cannot_be_converted_are_no_pictures(shared_data: Shared) -> None:
    with pytest.raises(VideoError, match=r"640x359 px, and this OpenCV.*pad=ceil") as caught:
        open_video(shared_data("faults/h264_359.mp4"))
    assert caught.value.exit_code == 3


def test_what_files_say_of_themselves(shared_data: Shared) -> None:
    delayed = read_container(shared_data("faults/delayed.mp4"))
    assert delayed is not None and delayed.delay_s == pytest.approx(3.0)
    assert [t.kind for t in delayed.tracks] == ["video", "sound"]
    two = read_container(shared_data("faults/two_streams.mkv"))
    assert two is not None
    assert [(t.width, t.height) for t in two.pictures] == [(960, 540), (640, 360)]
    long = read_container(shared_data("faults/longaudio.mkv"))
    assert long is not None and long.pictures[0].length_s == pytest.approx(2.4)
    assert not long.cut_short
    assert read_container(shared_data("videos/talking_neutral.mpg")) is None


# ------------------------------------------------------------------------------ made files


def with_sound(path: Path, images: Any, *, delay_s: float, sound_s: float) -> Path:
    """A video whose picture begins `delay_s` after the sound."""
    with av.open(str(path), "w") as out:
        picture = out.add_stream("libx264", rate=25, options={"bf": "0"})
        picture.height, picture.width, picture.pix_fmt = *images.shape[1:3], "yuv420p"
        sound = out.add_stream("aac", rate=44100)
        for k in range(round(sound_s * 44100 / 1024)):
            quiet = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            quiet.sample_rate, quiet.pts = 44100, 1024 * k
            out.mux(sound.encode(quiet))
        for k, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = k + round(delay_s * 25), picture.codec_context.time_base
            out.mux(picture.encode(frame))
        out.mux(sound.encode(None))
        out.mux(picture.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize(("delay", "sound"), [(0.0, 6.0), (1.0, 6.0), (2.0, 1.0)])
def test_sound_and_picture_of_other_lengths(
    suffix: str,
    delay: float,
    sound: float,
    make: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = with_sound(tmp_path / f"v{suffix}", make.pictures(20), delay_s=delay, sound_s=sound)
    found = times(path)
    assert found == pytest.approx([delay + k / 25 for k in range(20)], abs=0.03)
    assert not said(caplog)


@pytest.mark.parametrize("fraction", [0.3, 0.7])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_headers_that_are_cut_anywhere_say_nothing_wrong(
    suffix: str, fraction: float, make: Any, tmp_path: Path
) -> None:
    whole = make.video(tmp_path / f"v{suffix}", make.pictures(20)).read_bytes()
    cut = tmp_path / f"cut{suffix}"
    for at in (4, 12, 40, 200, int(len(whole) * fraction), len(whole) - 1):
        cut.write_bytes(whole[:at])
        found = read_container(cut)
        assert found is None or found.cut_short
    noise = np.random.default_rng(1)
    for _ in range(50):
        data = np.frombuffer(whole, np.uint8).copy()
        data[noise.integers(12, len(data), 30)] = noise.integers(0, 256, 30)
        cut.write_bytes(data.tobytes())
        read_container(cut)  # says something or nothing, and does not fail


def test_a_hole_in_a_regular_video_is_said(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shown = [40 * k for k in range(60) if not 20 <= k < 35]
    path = make.video(tmp_path / "v.mkv", make.pictures(len(shown)), times_ms=shown)
    found = times(path)
    assert found == pytest.approx([ms / 1000 for ms in shown], abs=1e-3)
    (warning,) = said(caplog)
    assert "0.60 s of frames are missing, in 1 gaps, the first at 0.76 s" in warning


def test_a_long_hole_does_not_end_a_video(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried in a hole goes on as long as the file promises more."""
    from aumer.video.file import FileSource

    class Broken:
        def __init__(self, bad: int) -> None:
            self.bad = bad

        def grab(self) -> bool:
            self.bad -= 1
            return self.bad < 0

    source = FileSource.__new__(FileSource)
    for declared, time_s, goes_on in ((10.0, 5.0, True), (10.0, 9.9, False), (None, 5.0, False)):
        source._declared_s = declared
        source._capture = Broken(5000)  # type: ignore[assignment]
        assert source._grab(time_s) is goes_on
    source._capture = Broken(100)  # type: ignore[assignment]
    assert source._grab(5.0)


@pytest.mark.parametrize(
    ("aspect", "size"),
    [((1, 1), (64, 48)), ((16, 15), (64, 48)), ((4, 3), (85, 48)), ((1, 2), (64, 96))],
)
def test_pixels_that_are_not_square_are_made_so(
    aspect: tuple[int, int], size: tuple[int, int], make: Any, tmp_path: Path
) -> None:
    images = make.pictures(3)
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(*aspect)
        for image in images:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    with open_video(path) as reader:
        assert (reader.info.width, reader.info.height) == size
        for frame, image in zip(reader, images, strict=True):
            assert frame.image.shape == (size[1], size[0], 3)
            wide = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
            assert np.abs(frame.image.astype(int) - wide).mean() < 12


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_a_name_that_is_no_text(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = make.video(tmp_path / "v.mkv", make.pictures(3))
    name = os.fsdecode(os.fsencode(tmp_path) + b"/v\xff.mkv")
    made.rename(name)
    with open_video(name) as reader:
        assert reader.info.name == r"v\udcff.mkv"
        assert len(list(reader)) == 3
    assert content_digest(name) is not None
    folder = make.folder(tmp_path / "f", make.pictures(3))
    (folder / "img_2.png").rename(os.fsdecode(os.fsencode(folder) + b"/img\xff_2.png"))
    assert content_digest(folder, fps=25) is not None
    assert len(read(folder, fps=25)) == 2
    assert r"img\udcff_2.png" in caplog.text and caplog.text.encode("utf-8")


# ------------------------------------------------------------------------------ folders


def test_numbers_that_are_missing_leave_their_time(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make.folder(tmp_path / "f", make.pictures(12))
    digest = content_digest(folder, fps=25)
    for number in (4, 5, 9):
        (folder / f"img_{number}.png").unlink()
    frames = read(folder, fps=25)
    assert [f.index for f in frames] == list(range(9))
    assert [f.time_s for f in frames] == pytest.approx(
        [(n - 1) / 25 for n in (1, 2, 3, 6, 7, 8, 10, 11, 12)]
    )
    (warning,) = said(caplog)
    assert "3 numbers are missing" in warning and "after img_3.png" in warning
    assert "0.12 s" in warning
    assert content_digest(folder, fps=25) != digest


def test_strays_are_no_frames(make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make.folder(tmp_path / "f", make.pictures(12), "img{}.png")
    digest = content_digest(folder, fps=25)
    for name in ("cover.png", "img4 (1).png", "thumb.jpg"):
        cv2.imwrite(str(folder / name), np.zeros((10, 10, 3), np.uint8))
    frames = read(folder, fps=25)
    assert [f.time_s for f in frames] == pytest.approx([k / 25 for k in range(12)])
    for frame, image in zip(frames, make.pictures(12), strict=True):
        np.testing.assert_array_equal(frame.image, image)
    (warning,) = said(caplog)
    assert "3 of its images" in warning
    assert all(name in warning for name in ("cover.png", "img4 (1).png", "thumb.jpg"))
    assert content_digest(folder, fps=25) == digest  # of what is read


@pytest.mark.parametrize(
    ("names", "at", "word"),
    [
        (["0010.png", "0020.png", "0030.png", "0050.png"], [0, 1, 2, 4], "1 numbers are missing"),
        (["s1_007.png", "s1_008.png"], [0, 1], None),
        (["a.png", "b.png", "c.png"], [0, 1, 2], None),
        (["t1_1.png", "t1_2.png", "t2_1.png"], [0, 1, 2], "2 numbers that change"),
        (["1033.png", "1066.png", "1101.png"], [0, 1, 2], "do not go up by one step"),
        (["1.png", "01.png"], [0, 1], None),
        (["img01.png", "img1.png", "img2.png", "img3.png"], [0, 1, 2], "the number of one of them"),
        (["2.png", "4.png", "6.png"], [0, 1, 2], "go up by 2"),
    ],
)
def test_numbers_in_names(
    names: list[str],
    at: list[int],
    word: str | None,
    make: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (image,) = make.pictures(1)
    for name in names:
        cv2.imwrite(str(tmp_path / name), image)
    frames = read(tmp_path, fps=10)
    assert [f.time_s for f in frames] == pytest.approx([k / 10 for k in at])
    warnings = said(caplog)
    assert len(warnings) == (word is not None)
    assert word is None or word in warnings[0]


def test_two_series_of_images_are_no_video(make: Any, tmp_path: Path) -> None:
    (image,) = make.pictures(1)
    for name in (f"{take}_{k:03d}.png" for take in ("a", "b") for k in range(6)):
        cv2.imwrite(str(tmp_path / name), image)
    with pytest.raises(VideoError, match=r"several videos, a_000\.png, \.\.\. \(6\) and b_000"):
        read(tmp_path, fps=25)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_images_of_many_bits_keep_their_gray_levels(
    bits: int, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ramp = np.linspace(0, 2**bits - 1, 64 * 48).reshape(48, 64)
    shown = [ramp, ramp * 0.5, ramp * 0.25]
    for k, image in enumerate(shown):
        cv2.imwrite(str(tmp_path / f"{k}.{suffix}"), np.rint(image).astype(np.uint16))
    frames = read(tmp_path, fps=25)
    for frame, image in zip(frames, shown, strict=True):
        expected = (np.rint(image) / 2 ** (bits - 8)).astype(np.uint8)
        np.testing.assert_array_equal(frame.image, expected[..., None].repeat(3, axis=2))
    assert len(np.unique(frames[0].image)) == 256
    # One scale for all, and it is said.
    assert [f"of {bits} bits" in text for text in said(caplog)] == [True] * (bits < 16)


def test_a_value_beyond_the_sample_is_cut_off_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for k in range(200):
        image = np.full((8, 8), 4000 if k == 101 else 900, np.uint16)
        cv2.imwrite(str(tmp_path / f"{k}.png"), image)
    frames = read(tmp_path, fps=25)
    assert {int(f.image.max()) for f in frames} == {900 >> 2, 255}
    assert ["of 10 bits" in said(caplog)[0], "101.png holds values above 1023" in said(caplog)[1]]


def test_images_of_real_numbers_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.tif"), np.zeros((8, 8, 3), np.float32))
    with pytest.raises(VideoError, match=r"1\.tif holds float32 values"):
        open_video(tmp_path, fps=25)
    with pytest.raises(UsageError, match=r"12 bits, give \(a >> 4\)"):
        open_video(np.zeros((2, 8, 8, 3), np.uint16), fps=25)
