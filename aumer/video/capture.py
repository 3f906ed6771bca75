"""The part of `cv2.VideoCapture` that aumer uses, for files and cameras."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from unicodedata import category

import cv2
import numpy as np
import numpy.typing as npt

from aumer.errors import VideoError
from aumer.process import Momentary
from aumer.types import ImageArray

#: Unicode categories that are not text: control characters, invalid UTF-8, line breaks.
_STEERING = frozenset(("Cc", "Cs", "Zl", "Zp"))
#: Characters that change the text direction, so that "gpj.exe" reads "exe.jpg".
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def get(self, propId: int, /) -> float: ...
    def release(self) -> None: ...


def retrieved(capture: Capture, name: str) -> ImageArray:
    ok, image = capture.retrieve()
    if not ok or image is None:
        raise VideoError(f"{name}: a frame cannot be decoded; the video is damaged")
    return rgb(image)


def rgb(image: npt.NDArray[Any]) -> ImageArray:
    """OpenCV's blue-green-red or gray uint8 image as (H, W, 3) RGB; this conversion takes both."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def sane_fps(fps: float) -> float | None:
    """A container's frame rate, unless it is a tick rate: recordings of browsers say 1000."""
    return float(fps) if 0 < fps < 1000 else None


def printable(name: str) -> str:
    """A file's name as text for any file or terminal.

    Invalid UTF-8, line breaks and control characters are written as backslash codes.
    """
    return "".join(
        c.encode("unicode_escape").decode() if c in _BIDI or category(c) in _STEERING else c
        for c in name
    )


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turns the system's error for reading `name` (permissions, name too long, ...) into
    aumer's.
    """
    try:
        yield
    except OSError as error:
        raise VideoError(f"cannot read {printable(name)}: {error.strerror or error}") from error


@Momentary
def quiet() -> Callable[[], None]:
    """Keeps OpenCV and its FFmpeg from writing errors to stderr, which an exception reports.

    OpenCV reads the FFmpeg log level once, when it opens its first video; it is set in the
    environment only for that moment, and not if the user set one.
    """
    name = "OPENCV_FFMPEG_LOGLEVEL"
    chosen = name in os.environ or "OPENCV_FFMPEG_DEBUG" in os.environ
    level = cv2.getLogLevel()
    cv2.setLogLevel(0)  # silent
    if not chosen:
        os.environ[name] = "-8"  # AV_LOG_QUIET

    def undo() -> None:
        cv2.setLogLevel(level)
        if not chosen:
            os.environ.pop(name, None)

    return undo
