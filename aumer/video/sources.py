"""Sources of frames, and the choice of one by what a user names."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError, VideoError, did_you_mean
from aumer.files import exists
from aumer.names import expanded
from aumer.types import ImageArray, VideoInfo
from aumer.video.camera import open_camera
from aumer.video.capture import readable
from aumer.video.file import FileSource
from aumer.video.images import IMAGE_SUFFIXES, ArraySource, FolderSource
from aumer.video.seek import Decoded

Source: TypeAlias = str | os.PathLike[str] | int | npt.NDArray[Any]


class FrameSource(Protocol):
    """What a `VideoReader` reads from. Used by one thread at a time."""

    info: VideoInfo

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        """Presentation time (s) of each frame, and a function that returns its (H, W, 3) uint8 RGB
        image.

        The function must be called before the next frame is requested.
        """

    def close(self) -> None:
        """Release the source; harmless when repeated."""


def open_source(source: Source, fps: float | None, known: Decoded | None = None) -> FrameSource:
    """The source of what a user names; `known` as in `aumer.video.open_video`."""
    if isinstance(source, np.ndarray):
        return ArraySource(source, required_fps(fps, "an array"))
    if is_camera(source):
        return open_camera(int(source), fps)  # type: ignore[arg-type]
    path = existing_path(source)
    if path.is_dir():
        return FolderSource(path, required_fps(fps, "a folder of images"))
    if path.suffix.lower() in IMAGE_SUFFIXES and re.search(r"%\d*d", str(path.absolute())):
        raise VideoError(
            f"{path} is an image whose path FFmpeg would take for a pattern of other files; take "
            "the % out of it, or give the folder of images"
        )
    return FileSource(path, fps, known)


#: How many names of a folder are compared with a missing one.
_LISTED = 10_000


def is_camera(source: object) -> bool:
    return isinstance(source, (int, np.integer)) and not isinstance(source, bool)


def existing_path(source: object) -> Path:
    """The file or folder that `source` names; raises with the reason if it cannot be read."""
    if not isinstance(source, (str, os.PathLike)):
        raise UsageError(
            "a video is a file, a folder of images, an array (T, H, W, 3) uint8 RGB or a camera's "
            f"index (int); found {type(source).__module__}.{type(source).__qualname__}"
        )
    text = os.fspath(source)
    with readable(text):
        path = expanded(text)
        there = exists(path)
    if not there:
        if "://" in text:
            raise VideoError(f"{text}: addresses are not read; download the video first")
        hint = f" For camera {text} give the number itself (int)." if text.isdigit() else ""
        with contextlib.suppress(OSError):  # no folder, or no permission
            beside = (p.name for p in islice(path.parent.iterdir(), _LISTED))
            hint = hint or did_you_mean(path.name, beside, least=0.8)
        raise VideoError(
            f"{path}: no such file or folder (looked in {path.parent.resolve()}).{hint}"
        )
    if path.is_dir():
        return path
    if not path.is_file():
        raise VideoError(f"{path} is neither a file nor a folder; a camera is named by its index")
    with readable(text):
        empty = not path.stat().st_size
        path.open("rb").close()  # FFmpeg would not say why
    if empty:
        raise VideoError(f"{path} is empty (0 bytes); copy or download it again")
    return path


def required_fps(fps: float | None, what: str) -> float:
    if fps is None:
        raise UsageError(f"{what} has no times: give `fps`, its frames per second")
    return fps
