"""A live camera as a source of frames."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from aumer.errors import UsageError, VideoError
from aumer.types import ImageArray, VideoInfo
from aumer.video.capture import Capture, quiet, retrieved, sane_fps

logger = logging.getLogger("aumer")


class CameraSource:
    """A live camera. A frame's time is when it was grabbed, since few drivers report times."""

    def __init__(
        self, capture: Capture, name: str, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._capture, self._now, self._resized = capture, now, False
        if not capture.grab():
            capture.release()
            raise VideoError(
                f"{name} opens but gives no frame. Close other programs that use it, and try again"
            )
        height, width = retrieved(capture, name).shape[:2]
        fps = sane_fps(capture.get(cv2.CAP_PROP_FPS))
        self.info = VideoInfo(name, "camera", width, height, fps, None)

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        image = self._image
        first: float | None = None
        while self._capture.grab():
            now = self._now()
            first = now if first is None else first
            yield now - first, image
        logger.warning("%s gives no more frames; was it unplugged?", self.info.name)

    def _image(self) -> ImageArray:
        """The grabbed picture, scaled to the size of the camera's first picture."""
        found = retrieved(self._capture, self.info.name)
        size, asked = found.shape[1::-1], (self.info.width, self.info.height)
        if size == asked:
            return found
        if not self._resized:
            self._resized = True
            logger.warning(
                "%s changes the size of its pictures from %d x %d to %d x %d px on the way; they "
                "are scaled to the first",
                self.info.name,
                *asked,
                *size,
            )
        return np.asarray(cv2.resize(found, asked, interpolation=cv2.INTER_AREA), np.uint8)

    def close(self) -> None:
        self._capture.release()


def _devices() -> list[Path]:
    """The cameras that the system lists (Linux only)."""
    return sorted(Path("/dev").glob("video*"))


def _may_use(device: Path) -> bool:
    return os.access(device, os.R_OK | os.W_OK)


def _why_closed(index: int) -> str:
    """Why a camera does not open, and what to do."""
    if not sys.platform.startswith("linux"):
        return (
            "connect it, and allow the terminal to use it (on macOS: System Settings, Privacy & "
            "Security, Camera); the first camera is camera:0"
        )
    devices = _devices()
    wanted = Path(f"/dev/video{index}")
    if not devices:
        return (
            "no camera is connected, as there is no /dev/video*. Connect one (a container needs "
            "`--device /dev/video0`), or give a video file"
        )
    if wanted in devices and not _may_use(wanted):
        return (
            f"you may not use {wanted}. Run `sudo usermod -aG video $USER`, log out and in, and "
            "try again"
        )
    if wanted in devices:
        return f"{wanted} is there, but does not answer. Close other programs that use it"
    found = ", ".join(f"camera:{d.name.removeprefix('video')}" for d in devices)
    return f"cameras found: {found}. Give one of these"


def open_camera(index: int, fps: float | None) -> CameraSource:
    if not 0 <= index < 10_000:  # OpenCV takes a C int, and its thousands choose a back end
        raise UsageError(f"a camera's index is 0 or more, found {index}; at most it is 9999")
    with quiet():
        capture = cv2.VideoCapture(index)
    if not capture.isOpened():
        raise VideoError(f"camera {index} cannot be opened: {_why_closed(index)}")
    if fps is not None:
        capture.set(cv2.CAP_PROP_FPS, fps)
    return CameraSource(capture, f"camera {index}")
