from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from aumer.errors import EXIT_UNREADABLE, EXIT_USAGE, UsageError, VideoError
from aumer.log_capture import collected_warnings
from aumer.types import Frame, VideoInfo
from aumer.video import CameraSource, VideoReader, content_digest, open_video
from aumer.video import digest as digests

RATE = 25
LOSSLESS: dict[str, Any] = {"codec": "ffv1", "pix_fmt": "bgr0", "rate": RATE}


def read(source: Any, **options: Any) -> list[Frame]:
    with open_video(source, **options) as reader:
        return list(reader)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Warnings of aumer; PyAV, which writes the videos, logs too."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "aumer" and record.levelno >= logging.WARNING
    ]


def indices(frames: list[Frame]) -> list[int]:
    return [frame.index for frame in frames]


def seconds(frames: list[Frame]) -> list[float]:
    return [frame.time_s for frame in frames]


# ------------------------------------------------------------------------------ what is read


@pytest.fixture(params=["file", "folder", "array"])
def same_video(request: pytest.FixtureRequest, make: Any, tmp_path: Path) -> tuple[Any, Any]:
    """One video of 12 frames at 25 a second, as each kind of source, and the options it needs."""
    images = make.pictures(12)
    if request.param == "file":
        return make.video(tmp_path / "v.mkv", images, **LOSSLESS), {}
    if request.param == "folder":
        return make.folder(tmp_path / "frames", images), {"fps": RATE}
    return images, {"fps": RATE}


def test_file_folder_and_array_give_the_same_frames(same_video: Any, make: Any) -> None:
    source, options = same_video
    frames = read(source, **options)
    assert indices(frames) == list(range(12))
    assert seconds(frames) == pytest.approx([i / RATE for i in range(12)], abs=1e-9)
    for frame, expected in zip(frames, make.pictures(12), strict=True):
        assert frame.image.dtype == np.uint8
        np.testing.assert_array_equal(frame.image, expected)


def test_info_of_each_kind_of_source(same_video: Any, request: pytest.FixtureRequest) -> None:
    source, options = same_video
    kind = request.node.callspec.params["same_video"]
    name = {"file": "v.mkv", "folder": "frames", "array": "array"}[kind]
    with open_video(source, **options) as reader:
        assert reader.info == VideoInfo(name, kind, 64, 48, float(RATE), 12)
    with open_video(source, end=0.2, **options) as reader:
        assert reader.info.frames_estimate == 5
    with open_video(source, end=99, **options) as reader:
        assert reader.info.frames_estimate == 12


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, range(12)),
        (0, None, range(12)),
        (0.2, None, range(5, 12)),
        (0.2, 0.4, range(5, 10)),  # the end does not belong
        (0.201, 0.401, range(6, 11)),
        (3 * 0.04, 7 * 0.04, range(3, 7)),  # whatever 3 * 0.04 is in binary
        (None, 0.04, range(1)),
        (0.4, 99, range(10, 12)),
    ],
)
def test_start_and_end_keep_ordinals_and_times(
    same_video: Any, start: float | None, end: float | None, expected: range, make: Any
) -> None:
    source, options = same_video
    frames = read(source, start=start, end=end, **options)
    assert indices(frames) == list(expected)
    assert seconds(frames) == pytest.approx([i / RATE for i in expected], abs=1e-9)
    for frame in frames:
        np.testing.assert_array_equal(frame.image, make.pictures(12)[frame.index])


@pytest.mark.parametrize("fps", [29.97, 30, 60])
def test_start_and_end_survive_rounding(fps: float, make: Any) -> None:
    images = make.pictures(31, 4, 4)
    for index in range(1, 30):
        start, end = index * (1 / fps), (index + 1) * (1 / fps)
        assert indices(read(images, fps=fps, start=start, end=end)) == [index]


def test_keep_chooses_frames_and_sees_every_one_of_the_range(same_video: Any, make: Any) -> None:
    source, options = same_video
    seen: list[tuple[int, float]] = []

    def keep(index: int, time_s: float) -> bool:
        seen.append((index, time_s))
        return index % 3 == 0

    frames = read(source, keep=keep, start=0.08, end=0.4, **options)
    assert [index for index, _ in seen] == list(range(2, 10))
    assert [t for _, t in seen] == pytest.approx([i / RATE for i in range(2, 10)], abs=1e-9)
    assert indices(frames) == [3, 6, 9]
    for frame in frames:
        np.testing.assert_array_equal(frame.image, make.pictures(12)[frame.index])


def test_keeping_nothing_is_no_error(same_video: Any) -> None:
    source, options = same_video
    assert read(source, keep=lambda index, time_s: False, **options) == []


def test_frames_are_the_consumers_to_change(make: Any) -> None:
    images = make.pictures(4)
    for frame in open_video(images, fps=RATE):
        frame.image[:] = 0
    np.testing.assert_array_equal(images, make.pictures(4))


# ------------------------------------------------------------------------------ files

FILES: dict[str, dict[str, Any]] = {
    "h264.mp4": {},  # with B-frames
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "h264.avi": {},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2", "b": "4M"}},
    "vp8.webm": {"codec": "libvpx", "options": {"b": "4M"}},
    "raw.h264": {"format": "h264"},
    "mjpeg_odd.mkv": {"codec": "mjpeg", "pix_fmt": "yuvj444p", "size": (175, 131)},
    "ffv1_odd.mkv": {"codec": "ffv1", "pix_fmt": "bgr0", "size": (175, 131)},
    "200fps.mp4": {"rate": 200, "count": 60},
    "one.mp4": {"count": 1},
    "two.mp4": {"count": 2},
    "late.mkv": {"times_ms": [500 + 40 * i for i in range(20)]},
}


@pytest.mark.parametrize("name", FILES)
def test_constant_rate(name: str, make: Any, tmp_path: Path) -> None:
    options = dict(FILES[name])
    size, count = options.pop("size", (64, 48)), options.pop("count", 20)
    rate = options.setdefault("rate", RATE)
    images = make.pictures(count, *size)
    path = make.video(tmp_path / name, images, **options)
    reader = open_video(path)
    assert (reader.info.width, reader.info.height) == size
    frames = list(reader)
    assert indices(frames) == list(range(count))
    assert seconds(frames) == pytest.approx([i / rate for i in range(count)], abs=1e-3)
    for frame, image in zip(frames, images, strict=True):
        assert frame.image.shape == image.shape
        # Another frame or another order of the colors differs by 30 and more.
        assert np.abs(frame.image.astype(int) - image).mean() < 12


VARIABLE_MS = [0, 33, 40, 100, 500, 1000, 1033, 1400, 1401, 4000, 4040]


@pytest.mark.parametrize("name", ["v.mkv", "v.mp4", "v.mov"])
@pytest.mark.parametrize("bframes", ["0", "3"])
def test_variable_rate_gives_the_times_that_were_written(
    name: str, bframes: str, make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = make.pictures(len(VARIABLE_MS))
    path = make.video(
        tmp_path / name, images, times_ms=VARIABLE_MS, options={"bf": bframes}, rate=30
    )
    frames = read(path)
    assert seconds(frames) == pytest.approx([ms / 1000 for ms in VARIABLE_MS], abs=1e-3)
    assert indices(read(path, start=0.5, end=1.4)) == [4, 5, 6]
    # The count that a Matroska file of variable rate claims (121 here) is no sign of damage.
    assert not said(caplog)


def test_a_wrong_average_rate_is_no_sign_of_damage(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    times_ms = [0, 1000, 2000, *range(3000, 4300, 33)]
    path = make.video(tmp_path / "v.mp4", make.pictures(len(times_ms)), times_ms=times_ms, rate=30)
    with open_video(path) as reader:
        assert reader.info.frames_estimate == len(times_ms)
        assert reader.info.fps is not None
        assert len(times_ms) / reader.info.fps > 6  # seconds, of 4.3
        assert seconds(list(reader)) == pytest.approx([ms / 1000 for ms in times_ms], abs=1e-3)
    assert not said(caplog)


def test_a_count_that_lies_changes_nothing(make: Any, tmp_path: Path) -> None:
    images = make.pictures(20)
    path = make.claim_longer(make.video(tmp_path / "v.mkv", images, **LOSSLESS), 1.58)
    with open_video(path) as reader:
        assert reader.info.frames_estimate == 32
        assert indices(list(reader)) == list(range(20))


def test_a_stream_without_count_and_times(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make.video(tmp_path / "v.h264", make.pictures(5), format="h264")
    caplog.set_level(logging.INFO, "aumer")
    with open_video(path) as reader:
        assert reader.info.frames_estimate is None
        list(reader)
    assert "v.h264 lacks the times of 4 of 5 frames" in caplog.text
    caplog.clear()
    read(path, fps=50)
    assert not caplog.text


def test_fps_replaces_the_times_of_a_file(make: Any, tmp_path: Path) -> None:
    path = make.video(tmp_path / "slow.mkv", make.pictures(10), **LOSSLESS)
    with open_video(path, fps=200) as reader:
        assert reader.info.fps == 200
        frames = list(reader)
    assert seconds(frames) == [i / 200 for i in range(10)]
    assert indices(read(path, fps=200, start=0.01, end=0.02)) == [2, 3]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_video_comes_out_upright(degrees: int, make: Any, tmp_path: Path) -> None:
    path = make.video(tmp_path / "v.mp4", make.pictures(3))
    lying = [frame.image for frame in read(path)]
    make.turn(path, degrees)
    with open_video(path) as reader:
        upright = (48, 64) if degrees % 180 else (64, 48)
        assert (reader.info.width, reader.info.height) == upright
        for frame, image in zip(reader, lying, strict=True):
            np.testing.assert_array_equal(frame.image, np.rot90(image, -degrees // 90))


def test_gray_video_has_three_equal_channels(make: Any, tmp_path: Path) -> None:
    path = make.video(tmp_path / "g.mkv", make.pictures(3), codec="ffv1", pix_fmt="gray")
    frames = read(path)
    assert [frame.image.shape for frame in frames] == [(48, 64, 3)] * 3
    for frame in frames:
        assert np.ptp(frame.image, axis=2).max() == 0
        assert np.ptp(frame.image) > 30


@pytest.mark.parametrize("name", ["a:b.mkv", "img_%03d.mkv", "ünï ☃.mkv", "-v.mkv", "[x]*.mkv"])
def test_odd_names(name: str, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make.video(tmp_path / "v.mkv", make.pictures(3), **LOSSLESS).rename(tmp_path / name)
    assert len(read(path)) == 3
    monkeypatch.chdir(tmp_path)
    assert len(read(name)) == 3


def test_home_is_expanded(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.video(tmp_path / "v.mkv", make.pictures(3), **LOSSLESS)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert len(read("~/v.mkv")) == 3
    assert content_digest("~/v.mkv") == content_digest(tmp_path / "v.mkv")


@pytest.mark.parametrize(
    "name",
    [
        *("face_then_no_face.mov", "fex_smile_still.mov", "fex_two_smiles.mov", "no_face.mp4"),
        *("no_face_then_face.mov", "selfie_smile.mp4", "smile_512.mp4", "talking_neutral.mpg"),
        "webcam_mixed.mp4",
    ],
)
def test_real_times_are_the_presentation_times_another_decoder_gives(
    name: str, shared_data: Callable[[str], Path]
) -> None:
    path = shared_data(f"videos/{name}")
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size and not p.is_discard]
        expected = sorted(float(p.pts * p.time_base) for p in packets)
    got: list[float] = []
    read(path, keep=lambda index, time_s: bool(got.append(time_s)))
    assert got == pytest.approx([t - expected[0] for t in expected], abs=1e-3)


# ------------------------------------------------------------------------------ damaged files


def damaged(make: Any, path: Path, cut: float | None) -> tuple[Path, list[Frame]]:
    """A file of 100 frames cut at a share of its length, or with a hole; and the whole's frames."""
    images = make.pictures(100, 320, 240)
    make.video(path, images, options={"g": "10"}, container={"movflags": "faststart"})
    whole = read(path)
    data = bytearray(path.read_bytes())
    if cut is None:
        hole = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 3
        data[hole : hole + 400] = b"\xff" * 400
    else:
        del data[int(len(data) * cut) :]
    path.write_bytes(data)
    return path, whole


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts"])
def test_a_file_cut_short_gives_what_decodes_and_says_so(
    name: str, make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, whole = damaged(make, tmp_path / name, 0.6)
    assert len(whole) == 100
    assert not said(caplog)
    frames = read(path)
    assert 10 < len(frames) < 80
    assert indices(frames) == list(range(len(frames)))
    for frame, intact in zip(frames[:10], whole, strict=False):
        assert frame.time_s == pytest.approx(intact.time_s, abs=1e-6)
        np.testing.assert_array_equal(frame.image, intact.image)
    if name != "v.ts":  # a transport stream promises no length
        (warning,) = said(caplog)
        assert f"{name}: {len(frames)} frames" in warning
        assert "about 100" in warning


def test_a_range_that_ends_early_is_not_called_cut_short(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(make.video(tmp_path / "v.mp4", make.pictures(50)), end=0.2)
    assert not said(caplog)


def test_frames_after_a_hole_keep_their_times(make: Any, tmp_path: Path) -> None:
    path, whole = damaged(make, tmp_path / "v.mp4", None)
    frames = read(path)
    assert len(frames) < 100  # the hole does lose frames
    assert frames[-1].time_s == pytest.approx(whole[-1].time_s, abs=1e-6)
    np.testing.assert_array_equal(frames[-1].image, whole[-1].image)
    assert {round(t, 6) for t in seconds(frames)} <= {round(t, 6) for t in seconds(whole)}


@pytest.mark.parametrize("sizes", [((64, 48), (96, 64)), ((64, 48), (64, 48))])
def test_a_picture_that_grows_on_the_way_is_said_to_freeze(
    sizes: tuple[tuple[int, int], tuple[int, int]],
    make: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = b""
    for width, height in sizes:
        for image in make.pictures(40, width, height):
            stream += cv2.imencode(".jpg", image)[1].tobytes()
    (tmp_path / "v.mjpeg").write_bytes(stream)
    frames = read(tmp_path / "v.mjpeg")
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    if sizes[0] == sizes[1]:
        assert not said(caplog)
    else:
        (warning,) = said(caplog)
        assert "v.mjpeg: the picture freezes at 1.56 s" in warning  # the last of the old size


@pytest.mark.parametrize(
    ("still", "rate", "warned"), [(40, 25, True), (12, 25, False), (8, 5, False), (13, 5, True)]
)
def test_a_still_second_is_a_freeze(
    still: int,
    rate: int,
    warned: bool,
    make: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    images = make.pictures(10)
    images = np.concatenate([images[:5], images[4:5].repeat(still - 1, axis=0), images[5:]])
    assert len(read(make.video(tmp_path / "v.mkv", images, **{**LOSSLESS, "rate": rate})))
    assert [f"freezes at {4 / rate:.2f} s" in text for text in said(caplog)] == [True] * warned


# ------------------------------------------------------------------------------ unreadable


def _sound_mp4(make: Any, folder: Path) -> Path:
    return make.sound(folder / "talk.mp4")  # type: ignore[no-any-return]


def _sound(name: str, codec: str) -> Callable[[Any, Path], Path]:
    return lambda make, folder: make.sound(folder / name, codec)


def _bytes(name: str, content: bytes) -> Callable[[Any, Path], Path]:
    def build(make: Any, folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return build


def _without_index(make: Any, folder: Path) -> Path:
    path = make.video(folder / "v.mp4", make.pictures(20))
    path.write_bytes(path.read_bytes()[:1500])
    return path  # type: ignore[no-any-return]


def _no_frame_decodes(make: Any, folder: Path) -> Path:
    path = make.video(folder / "v.avi", make.pictures(20), codec="mpeg4")
    data = bytearray(path.read_bytes())
    for at in range(data.index(b"movi") + 4, data.index(b"idx1")):
        data[at] = 0
    path.write_bytes(data)
    return path  # type: ignore[no-any-return]


def _zero_length(make: Any, folder: Path) -> Path:
    with av.open(str(folder / "v.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        out.start_encoding()
    return folder / "v.mkv"


def _folder(*names: str) -> Callable[[Any, Path], Path]:
    def build(make: Any, folder: Path) -> Path:
        (folder / "d").mkdir()
        for name in names:
            (folder / "d" / name).write_bytes(b"not an image")
        return folder / "d"

    return build


UNREADABLE: dict[str, tuple[Callable[[Any, Path], Any], str]] = {
    "absent": (lambda make, folder: folder / "no.mp4", r"no\.mp4: no such file or folder"),
    "digits": (lambda make, folder: "73", r"73: no such.*camera 73 give the number itself"),
    "address": (lambda make, folder: "rtsp://host/v", "rtsp://host/v: addresses are not read"),
    "empty": (_bytes("v.mp4", b""), r"v\.mp4 is empty \(0 bytes\)"),
    "text": (_bytes("v.mp4", b"dear diary\n" * 99), r"v\.mp4: it is text"),
    "text that FFmpeg draws": (_bytes("v.txt", b"dear diary\n" * 99), r"v\.txt is not a video"),
    "bytes that FFmpeg draws": (_bytes("v.vt", bytes(range(1, 256)) * 9), r"v\.vt is not a video"),
    "bytes drawn by a name": (_bytes("v.idf", bytes(range(1, 256)) * 90), r"v\.idf is not a video"),
    "playlist": (_bytes("v.m3u8", b"#EXTM3U\n#EXTINF:1,\nv.ts\n"), r"v\.m3u8 is a playlist"),
    "zeros": (_bytes("v.mp4", bytes(9999)), "nothing but zeros"),
    "noise": (
        _bytes("v.mp4", np.random.default_rng(0).bytes(9999)),
        "no video in it that it can decode.*Try: ffmpeg -i v.mp4",
    ),
    "a name that a shell would part": (
        _bytes("my v.mp4", np.random.default_rng(0).bytes(9999)),
        "Try: ffmpeg -i 'my v.mp4' -c:v",
    ),
    "sound in mp4": (_sound("talk.mp4", "aac"), r"talk\.mp4: it has no video track, only sound"),
    "sound in mp3": (_sound("talk.mp3", "libmp3lame"), r"talk\.mp3: it is a sound recording"),
    "sound in flac": (_sound("talk.flac", "flac"), r"talk\.flac: it is a sound recording"),
    "sound in mkv": (_sound("talk.mkv", "aac"), r"talk\.mkv: OpenCV finds no video"),
    "mp4 cut before its index": (_without_index, "cut short: its index .* is missing"),
    "no frame decodes": (_no_frame_decodes, r"v\.avi: no frame decodes"),
    "zero length": (_zero_length, r"v\.mkv: OpenCV finds no video"),
    "device": (lambda make, folder: os.devnull, "neither a file nor a folder"),
    "empty folder": (_folder(), "d: no images .* found nothing"),
    "folder of others": (_folder("a.txt", "b.csv", "c", "e"), r"found a\.txt, b\.csv, c, \.\.\."),
    "folder of hidden": (_folder(".a.png"), "found nothing"),
    "bad first image": (_folder("a.png"), r"a\.png is not an image that OpenCV reads \(12 bytes\)"),
    "array without frames": (
        lambda make, folder: np.zeros((0, 4, 4, 3), np.uint8),
        r"no frame: found shape \(0, 4, 4, 3\)",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable_sources_say_why(
    case: str, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, message = UNREADABLE[case]
    monkeypatch.chdir(tmp_path)
    source = build(make, tmp_path)
    fps = RATE if isinstance(source, np.ndarray) or Path(source).is_dir() else None
    with pytest.raises(VideoError, match=message) as caught:
        open_video(source, fps=fps)
    assert caught.value.exit_code == EXIT_UNREADABLE


def test_no_noise_on_stderr_and_nothing_left_in_the_environment(make: Any, tmp_path: Path) -> None:
    """In a process of its own, since OpenCV sets FFmpeg's level once."""
    path, _ = damaged(make, tmp_path / "v.mp4", None)
    (tmp_path / "t.mp4").write_text("text")
    script = """
import os, sys, cv2
before = dict(os.environ), cv2.getLogLevel()
from aumer.errors import VideoError
from aumer.video import open_video
for source in [sys.argv[2], 99]:
    try: open_video(source)
    except VideoError: pass
    else: raise SystemExit("opened?")
print(len(list(open_video(sys.argv[1]))))
assert (dict(os.environ), cv2.getLogLevel()) == before
"""
    command = [sys.executable, "-c", script, str(path), str(tmp_path / "t.mp4")]
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENCV_")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) > 30
    assert done.stderr == ""
    # Whoever asks FFmpeg to talk hears it (on stdout, as OpenCV has it).
    env["OPENCV_FFMPEG_LOGLEVEL"] = "16"
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
    assert "NAL" in done.stdout


# ------------------------------------------------------------------------------ folders


def test_folders_are_read_in_natural_order_without_strangers(make: Any, tmp_path: Path) -> None:
    images = make.pictures(11)
    folder = make.folder(tmp_path / "f", images)  # img_1 ... img_11
    (folder / ".img_0.png").write_bytes(b"hidden")
    (folder / "notes.txt").write_text("stranger")
    (folder / "img_5.png").rename(folder / "IMG_5.PNG")
    (folder / "img_0.png").mkdir()
    frames = read(folder, fps=RATE)
    assert indices(frames) == list(range(11))
    for frame, image in zip(frames, images, strict=True):
        np.testing.assert_array_equal(frame.image, image)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "webp", "jpg", "jpeg"])
def test_image_formats(suffix: str, make: Any, tmp_path: Path) -> None:
    images = make.pictures(2)
    folder = make.folder(tmp_path / "f", images, "img_{}." + suffix)
    for frame, image in zip(read(folder, fps=RATE), images, strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 12


@pytest.mark.parametrize(
    "convert",
    [
        lambda bgr: cv2.cvtColor(bgr, cv2.COLOR_BGR2BGRA),
        lambda bgr: bgr.astype(np.uint16) * 257,
    ],
    ids=["alpha", "16 bits"],
)
def test_images_become_rgb_uint8(convert: Any, make: Any, tmp_path: Path) -> None:
    (image,) = make.pictures(1)
    cv2.imwrite(str(tmp_path / "a.png"), convert(cv2.cvtColor(image, cv2.COLOR_RGB2BGR)))
    (frame,) = read(tmp_path, fps=RATE)
    np.testing.assert_array_equal(frame.image, image)


def test_gray_images_become_rgb(tmp_path: Path) -> None:
    gray = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), gray)
    (frame,) = read(tmp_path, fps=RATE)
    np.testing.assert_array_equal(frame.image, np.repeat(gray[..., None], 3, axis=2))


def test_the_first_odd_image_is_named(make: Any, tmp_path: Path) -> None:
    make.folder(tmp_path, make.pictures(4))
    for number in (3, 4):
        cv2.imwrite(str(tmp_path / f"img_{number}.png"), np.zeros((48, 60, 3), np.uint8))
    reader = open_video(tmp_path, fps=RATE)
    with pytest.raises(VideoError, match=r"img_3\.png is 60x48 .*img_1\.png.* is 64x48"):
        list(reader)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_bad_image_on_the_way_is_named(content: bytes | None, make: Any, tmp_path: Path) -> None:
    make.folder(tmp_path, make.pictures(3))
    bad = tmp_path / "img_2.png"
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2] if content is None else content)
    got = []
    with pytest.raises(VideoError, match=r"img_2\.png"):
        got.extend(open_video(tmp_path, fps=RATE))
    got = []
    with pytest.raises(VideoError, match=r"img_2\.png"):  # noqa: PT012
        for frame in open_video(tmp_path, fps=RATE):
            got.append(frame.index)
    assert got == [0]


# ------------------------------------------------------------------------------ arguments

VIDEO = np.zeros((10, 4, 6, 3), np.uint8)
RGB = r"\(T, H, W, 3\) uint8 RGB"

MISTAKES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "array without fps": (VIDEO, {}, "an array has no times: give `fps`"),
    "fps 0": (VIDEO, {"fps": 0}, "fps must be a number above 0.*found 0"),
    "fps negative": (VIDEO, {"fps": -5}, "fps must be a number above 0.*found -5"),
    "fps nan": (VIDEO, {"fps": float("nan")}, "fps must .* found nan"),
    "fps inf": (VIDEO, {"fps": float("inf")}, "fps must .* found inf"),
    "start negative": (VIDEO, {"fps": 5, "start": -1}, "start must be seconds .* found -1"),
    "start nan": (VIDEO, {"fps": 5, "start": float("nan")}, "start must .* found nan"),
    "end nan": (VIDEO, {"fps": 5, "end": float("nan")}, "end must .* found nan"),
    "end negative": (VIDEO, {"fps": 5, "end": -1}, "end must be seconds .* found -1"),
    "end 0": (VIDEO, {"fps": 5, "end": 0}, "`end` must lie after `start`, found 0 and 0"),
    "end = start": (VIDEO, {"fps": 5, "start": 1, "end": 1}, "`end` must lie after `start`"),
    "end < start": (
        VIDEO,
        {"fps": 5, "start": 2, "end": 1},
        "`end` must lie after `start`, found 2 and 1 seconds",
    ),
    "queue": (VIDEO, {"fps": 5, "queue_size": 0}, "queue_size must be 1 or more, found 0"),
    "no source": (None, {}, "a video is a file, .* found builtins.NoneType"),
    "bool": (True, {}, "found builtins.bool"),
    "list": ([VIDEO], {}, "found builtins.list"),
    "camera -1": (-1, {}, "a camera's index is 0 or more, found -1"),
    "float": (VIDEO / 255, {"fps": 5}, RGB + r", found shape \(10, 4, 6, 3\), float64; .*255"),
    "int64": (VIDEO.astype(int), {"fps": 5}, RGB + ", .*int64"),
    "gray": (VIDEO[..., 0], {"fps": 5}, r"\(10, 4, 6\).* np\.repeat\(a\[\.\.\., None\], 3, axis=3"),
    "gray, 1 channel": (VIDEO[..., :1], {"fps": 5}, r"gray: give np\.repeat\(a, 3, axis=3\)"),
    "alpha": (np.zeros((9, 5, 5, 4), np.uint8), {"fps": 5}, "drop the alpha channel"),
    "channels first": (VIDEO.transpose(0, 3, 1, 2), {"fps": 5}, r"transpose\(0, 2, 3, 1\)"),
    "one image": (VIDEO[0], {"fps": 5}, r"one image: give a\[None\]"),
    "2 dimensions": (VIDEO[0, ..., 0], {"fps": 5}, RGB + r", found shape \(4, 6\)"),
    "no pixels": (VIDEO[:, :0], {"fps": 5}, r"found shape \(10, 0, 6, 3\)"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named_with_what_was_found(case: str) -> None:
    source, options, message = MISTAKES[case]
    with pytest.raises(UsageError, match=message) as caught:
        open_video(source, **options)
    assert caught.value.exit_code == EXIT_USAGE


def test_a_folder_needs_fps(make: Any, tmp_path: Path) -> None:
    make.folder(tmp_path, make.pictures(2))
    for call in (open_video, content_digest):
        with pytest.raises(UsageError, match="a folder of images has no times: give `fps`"):
            call(tmp_path)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (0.5, None, r"`start=0\.5` s lies beyond the end of .*, whose last frame is at 0\.440 s"),
        (7, 9, r"`start=7` s lies beyond the end"),
        (0.41, 0.43, r"no frame between `start=0\.41` s and `end=0\.43` s;"),
    ],
)
def test_a_range_without_frames_says_where_frames_are(
    same_video: Any, start: float, end: float | None, message: str
) -> None:
    source, options = same_video
    reader = open_video(source, start=start, end=end, **options)
    with pytest.raises(UsageError, match=message):
        list(reader)


# ------------------------------------------------------------------------------ cameras


class FakeCamera:
    """A camera whose frames count up, one every `period` seconds of a clock of its own."""

    def __init__(self, frames: int, period: float = 0.04, *, gray: bool = False) -> None:
        self.frames, self.period, self.gray = frames, period, gray
        self.now, self.count, self.released = 1000.0, 0, 0

    def clock(self) -> float:
        return self.now

    def grab(self) -> bool:
        self.now += self.period
        self.count += 1
        return self.count <= self.frames

    def retrieve(self) -> tuple[bool, Any]:
        bgr = np.zeros((48, 64, 3), np.uint8)
        bgr[..., 0] = self.count % 256
        return True, bgr[..., 0] if self.gray else bgr

    def get(self, propId: int, /) -> float:
        return 25.0 if propId == cv2.CAP_PROP_FPS else 0.0

    def release(self) -> None:
        self.released += 1


def live(camera: FakeCamera, **options: Any) -> VideoReader:
    return VideoReader(CameraSource(camera, "camera 0", now=camera.clock), **options)


def test_a_camera_is_read_until_end(caplog: pytest.LogCaptureFixture) -> None:
    camera = FakeCamera(10**9)
    reader = live(camera, end=0.4, queue_size=1000)
    assert reader.info == VideoInfo("camera 0", "camera", 64, 48, 25.0, 10)
    frames = list(reader)
    assert indices(frames) == list(range(10))
    assert seconds(frames) == pytest.approx([i * 0.04 for i in range(10)])
    # Counted from 2: the frame that opening looked at is old by the time anyone reads.
    assert [frame.image[0, 0].tolist() for frame in frames] == [[0, 0, 2 + i] for i in range(10)]
    assert camera.released
    assert reader.dropped == 0
    assert not said(caplog)


def test_a_gray_camera() -> None:
    (frame,) = live(FakeCamera(10, gray=True), end=0.02)
    np.testing.assert_array_equal(frame.image, np.full((48, 64, 3), 2))


def test_a_camera_that_stops_ends_the_video(caplog: pytest.LogCaptureFixture) -> None:
    camera = FakeCamera(6)
    assert len(list(live(camera, queue_size=1000))) == 5
    assert "camera 0 gives no more frames" in caplog.text
    assert camera.released


def test_a_camera_does_not_wait_for_a_slow_consumer() -> None:
    camera = FakeCamera(10**9)
    asked: list[int] = []
    keep = lambda index, time_s: bool(asked.append(index) or True)  # noqa: E731
    with live(camera, queue_size=3, keep=keep) as reader:
        frames = iter(reader)
        got = [next(frames)]
        while camera.count < 200:  # it runs on although nobody reads
            time.sleep(0.001)
        got += [next(frames) for _ in range(10)]
    # Three wait in the queue; a fourth may have come with the first `next`, whatever the time.
    assert indices(got[:3]) == [0, 1, 2]
    assert got[4].index > 200 - 3
    assert asked[: len(got)] == indices(got)  # what is dropped is not asked for
    for frame in got:  # and what is not keeps its ordinal, time and picture
        assert frame.time_s == pytest.approx(frame.index * 0.04)
        assert frame.image[0, 0, 2] == (frame.index + 2) % 256


def test_frames_that_a_camera_drops_are_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """Once, and where a result hears it (`aumer.log_capture`)."""
    camera = FakeCamera(10**9)
    with collected_warnings() as told:
        reader = live(camera, end=4.0, queue_size=3)  # 100 frames
        frames = iter(reader)
        got = [next(frames)]
        while not camera.released:  # nobody reads until it is over
            time.sleep(0.001)
        got += list(frames)
    assert reader.dropped == 100 - len(got) > 90
    (line,) = said(caplog)
    assert f"camera 0: {reader.dropped} of 100 frames" in line
    assert told == [line]


def test_what_is_no_camera_waits_and_drops_nothing(same_video: Any) -> None:
    video, options = same_video
    reader = open_video(video, queue_size=1, **options)
    count = 0
    for _ in reader:
        count += 1
        time.sleep(0.002)
    assert (count, reader.dropped) == (12, 0)


class HangingCamera(FakeCamera):
    """Gives some frames, and then nothing until it is let go."""

    def __init__(self, frames: int) -> None:
        super().__init__(10**9)
        self.whole, self.go = frames, threading.Event()

    def grab(self) -> bool:
        return super().grab() and (self.count <= self.whole or self.go.wait(20.0))


def test_a_camera_that_hangs_is_asked_about_and_can_be_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aumer.video.reader._SILENT_S", 0.05)
    camera = HangingCamera(6)
    reader = live(camera, queue_size=1000)
    frames = iter(reader)
    assert len([next(frames) for _ in range(5)]) == 5
    threading.Timer(0.5, reader.end).start()
    threading.Timer(1.0, camera.go.set).start()  # which closing waits for, a while
    assert list(frames) == [], "what it gives later is not read"
    (line,) = said(caplog)
    assert "camera 0 has given no frame for 0.05 s" in line


def test_a_camera_keeps_the_size_that_it_began_with(caplog: pytest.LogCaptureFixture) -> None:
    class Growing(FakeCamera):
        def retrieve(self) -> tuple[bool, Any]:
            ok, bgr = super().retrieve()
            return ok, bgr if self.count < 4 else np.repeat(np.repeat(bgr, 2, 0), 2, 1)

    frames = list(live(Growing(10), queue_size=1000))
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert [frame.image[0, 0, 2] for frame in frames] == list(range(2, 11))
    sizes = [line for line in said(caplog) if "changes the size" in line]
    assert len(sizes) == 1 and "from 64 x 48 to 128 x 96 px" in sizes[0]


@pytest.mark.parametrize("frames", [0, 1])
def test_a_camera_without_frames(frames: int) -> None:
    camera = FakeCamera(frames)
    with pytest.raises(VideoError, match=r"camera 0 (opens but )?gives no frame"):
        list(live(camera))
    assert camera.released


def test_no_camera_there() -> None:
    with pytest.raises(VideoError, match="camera 99 cannot be opened"):
        open_video(99)
    with pytest.raises(VideoError, match="camera 99 cannot be opened"):
        open_video(np.int64(99))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------ digests


def test_digest_of_a_file_is_that_of_its_bytes_and_of_fps(make: Any, tmp_path: Path) -> None:
    film = make.video(tmp_path / "film.mp4", make.pictures(3)).read_bytes()
    content = film + np.random.default_rng(0).bytes(3_000_001)  # more than one block
    (tmp_path / "a.mp4").write_bytes(content)
    (tmp_path / "b.mp4").write_bytes(content)
    digest = content_digest(tmp_path / "a.mp4")
    assert digest == hashlib.sha256(content).hexdigest()
    assert digest == content_digest(str(tmp_path / "b.mp4"))
    others = [content_digest(tmp_path / "a.mp4", fps=fps) for fps in (25, 30)]
    (tmp_path / "b.mp4").write_bytes(content[:-1] + b"!")
    others.append(content_digest(tmp_path / "b.mp4"))
    assert len({digest, *others}) == 4


def test_what_is_no_video_is_refused_before_all_of_it_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """8 GiB of zeros, or of anything: hashing them would take a minute."""
    with (tmp_path / "zeros.mp4").open("wb") as file:
        file.truncate(1 << 33)
    monkeypatch.setattr(digests, "_hash_file", lambda *_: pytest.fail("hashed"))
    with pytest.raises(VideoError, match="nothing but zeros"):
        content_digest(tmp_path / "zeros.mp4")


def test_digest_of_a_folder(make: Any, tmp_path: Path) -> None:
    folder = make.folder(tmp_path / "a", make.pictures(11))
    digest = content_digest(folder, fps=25)
    assert digest == content_digest(make.folder(tmp_path / "b", make.pictures(11)), fps=25.0)
    (folder / "notes.txt").write_text("not a frame")
    assert digest == content_digest(folder, fps=25)
    others = [content_digest(folder, fps=30)]
    (folder / "img_3.png").rename(folder / "img_12.png")  # another order
    others.append(content_digest(folder, fps=25))
    (folder / "img_12.png").rename(folder / "img_13.png")  # the same order
    others.append(content_digest(folder, fps=25))
    (folder / "img_13.png").unlink()
    others.append(content_digest(folder, fps=25))
    (folder / "img_1.png").write_bytes((folder / "img_2.png").read_bytes())
    others.append(content_digest(folder, fps=25))
    assert len({digest, *others}) == 6


def test_digest_of_a_folder_knows_where_a_file_ends(tmp_path: Path) -> None:
    folders = ({"1.png": b"x", "2.png": b"y"}, {"1.png": b"x\x002.png\x00y"}, {"1.png": b"xy"})
    for number, files in enumerate(folders):
        (tmp_path / str(number)).mkdir()
        for name, content in files.items():
            (tmp_path / str(number) / name).write_bytes(content)
    assert len({content_digest(tmp_path / str(n), fps=5) for n in range(3)}) == 3


def test_digest_of_an_array() -> None:
    array = np.random.default_rng(0).integers(0, 255, (6, 4, 8, 3)).astype(np.uint8)
    digest = content_digest(array, fps=25)
    wide = np.zeros((6, 4, 16, 3), np.uint8)
    wide[:, :, ::2] = array
    assert content_digest(wide[:, :, ::2], fps=25) == digest
    changed = array.copy()
    changed[5, 3, 7, 2] ^= 1
    others = [
        content_digest(array, fps=30),
        content_digest(array.reshape(6, 8, 4, 3), fps=25),
        content_digest(changed, fps=25),
    ]
    assert len({digest, *others}) == 4
    with pytest.raises(UsageError, match="give `fps`"):
        content_digest(array)


def test_digest_of_a_camera_and_of_nothing(tmp_path: Path) -> None:
    assert content_digest(0) is None
    with pytest.raises(VideoError, match="no such file"):
        content_digest(tmp_path / "no.mp4")
    with pytest.raises(VideoError, match="no images"):
        content_digest(tmp_path, fps=25)
    with pytest.raises(UsageError, match="fps must"):
        content_digest(tmp_path, fps=0)


@pytest.mark.parametrize("use", [open_video, content_digest])
def test_a_refusal_of_the_system_is_a_video_error(use: Callable[[str], object]) -> None:
    with pytest.raises(VideoError, match=r"cannot read .*too long"):
        use("x" * 5000)
