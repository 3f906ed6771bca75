"""What aumer uses of `cv2.VideoCapture`, by files and cameras alike."""

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

#: Kinds of signs that are no text: controls, bytes that are no UTF-8, breaks of lines.
_STEERING = frozenset(("Cc", "Cs", "Zl", "Zp"))
#: Signs that turn the direction of what follows, so that "gpj.exe" reads "exe.jpg".
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
    """A container's rate, unless it is really a tick rate: browsers' recordings say 1000."""
    return float(fps) if 0 < fps < 1000 else None


def printable(name: str) -> str:
    """A file's name as text that any file or terminal takes, whatever bytes it is made of.

    What is no UTF-8, and what breaks lines or steers terminals, is written as backslash codes.
    """
    return "".join(
        c.encode("unicode_escape").decode() if c in _BIDI or category(c) in _STEERING else c
        for c in name
    )


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Says in aumer's words that the system refuses to read `name` (rights, name too long, ...)."""
    try:
        yield
    except OSError as error:
        raise VideoError(f"cannot read {printable(name)}: {error.strerror or error}") from error


@Momentary
def quiet() -> Callable[[], None]:
    """Keeps OpenCV and its FFmpeg from writing to stderr what an exception will say.

    OpenCV reads the FFmpeg level once, when it opens its first video; it is put in the environment
    for that moment only, and not at all if the user chose one.
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
