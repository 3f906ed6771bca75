"""Writes videos of every kind: what is in them, and when, is known exactly."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from aumer.types import ImageArray


def pictures(count: int, width: int = 64, height: int = 48) -> ImageArray:
    """(T, H, W, 3) RGB: coarse enough to survive a lossy codec; every frame and corner differs."""
    rng = np.random.default_rng(7)
    still = np.zeros((height, width, 3), np.uint8)
    still[: height // 2, : width // 2] = (230, 20, 20)
    still[: height // 2, width // 2 :] = (20, 230, 20)
    still[height // 2 :, : width // 2] = (20, 20, 230)
    images = np.repeat(still[None], count, axis=0)
    # The fourth corner tells the frames apart.
    images[:, height // 2 :, width // 2 :] = rng.integers(0, 255, (count, 1, 1, 3))
    return images


def write_video(
    path: Path,
    images: ImageArray,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    times_ms: Sequence[int] | None = None,
    format: str | None = None,
    options: Mapping[str, str] | None = None,
    container: Mapping[str, str] | None = None,
) -> Path:
    """Encode (T, H, W, 3) RGB images, at `times_ms` where given and else at `rate` a second."""
    with av.open(str(path), "w", format=format, options=dict(container or {})) as out:
        stream = out.add_stream(codec, rate=rate, options=dict(options or {}))
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = pix_fmt
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[index], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def write_sound(path: Path, codec: str = "aac") -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=44100)
        silence = np.zeros((1, 1024), np.float32)
        for _ in range(5):
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.sample_rate = 44100
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def write_folder(folder: Path, images: ImageArray, name: str = "img_{}.png") -> Path:
    folder.mkdir(exist_ok=True)
    for index, image in enumerate(images):
        path = folder / name.format(index + 1)
        assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return folder


def turn(path: Path, degrees: int) -> Path:
    """Tell an MP4's players to turn its picture clockwise, as a phone held upright does."""
    data = bytearray(path.read_bytes())
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    at = data.index(b"tkhd") + 44
    one = 1 << 16
    matrix = (cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30)
    data[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path


def claim_longer(path: Path, factor: float) -> Path:
    """Multiply the duration in a Matroska file's header, hence the count OpenCV makes of it."""
    data = bytearray(path.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    (duration,) = struct.unpack_from(">d", data, at)
    struct.pack_into(">d", data, at, duration * factor)
    path.write_bytes(data)
    return path


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Every test here must leave no decoder behind."""
    yield
    patience = time.monotonic() + 2
    while any(thread.name == "aumer-decode" for thread in threading.enumerate()):
        assert time.monotonic() < patience, "a decoder thread is still alive"
        time.sleep(0.01)


class Make:
    """The functions above, for tests that cannot import a conftest."""

    pictures = staticmethod(pictures)
    video = staticmethod(write_video)
    sound = staticmethod(write_sound)
    folder = staticmethod(write_folder)
    turn = staticmethod(turn)
    claim_longer = staticmethod(claim_longer)


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make
