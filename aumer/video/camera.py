"""A live camera as a source of frames."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial

import cv2

from aumer.errors import UsageError, VideoError
from aumer.types import ImageArray, VideoInfo
from aumer.video.capture import Capture, quiet, retrieved, sane_fps

logger = logging.getLogger("aumer")


class CameraSource:
    """A live camera. A frame's time is when it was grabbed, since few drivers tell."""

    def __init__(
        self, capture: Capture, name: str, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._capture, self._now = capture, now
        if not capture.grab():
            capture.release()
            raise VideoError(f"{name} opens but gives no frame; does another program use it?")
        height, width = retrieved(capture, name).shape[:2]
        fps = sane_fps(capture.get(cv2.CAP_PROP_FPS))
        self.info = VideoInfo(name, "camera", width, height, fps, None)

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        image = partial(retrieved, self._capture, self.info.name)
        first: float | None = None
        while self._capture.grab():
            now = self._now()
            first = now if first is None else first
            yield now - first, image
        logger.warning("%s gives no more frames; was it unplugged?", self.info.name)

    def close(self) -> None:
        self._capture.release()


def open_camera(index: int, fps: float | None) -> CameraSource:
    if not 0 <= index < 10_000:  # OpenCV's are C's int, and thousands choose a back end
        raise UsageError(f"a camera's index is 0 or more, found {index}; at most it is 9999")
    with quiet():
        capture = cv2.VideoCapture(index)
    if not capture.isOpened():
        raise VideoError(
            f"camera {index} cannot be opened; is one connected, and may this program use it? The "
            "first camera is 0"
        )
    if fps is not None:
        capture.set(cv2.CAP_PROP_FPS, fps)
    return CameraSource(capture, f"camera {index}")
