"""A video file as a source of frames, and what is wrong with one that cannot be read."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from aumer.errors import VideoError
from aumer.types import ImageArray, VideoInfo
from aumer.video.capture import quiet, retrieved, sane_fps
from aumer.video.clock import Clock

logger = logging.getLogger("aumer")


class FileSource:
    """A video file: frames with the file's own times, or ``index / fps`` if `fps` is given."""

    #: A damaged packet makes one `grab` fail while the frames after it still decode; at the end of
    #: the file every `grab` fails, at a microsecond each.
    _TRIES = 256

    def __init__(self, path: Path, fps: float | None) -> None:
        self._path, self._fps = path, fps
        self._watch = _FreezeWatch(path.name)
        self._capture = _open_capture(path)
        try:
            if not self._grab():
                raise VideoError(
                    f"{path}: no frame decodes; the file is damaged, or its video track is empty. "
                    "Export or download it again"
                )
            height, width = retrieved(self._capture, str(path)).shape[:2]
        except BaseException:
            self._capture.release()
            raise
        self._own_fps = sane_fps(self._capture.get(cv2.CAP_PROP_FPS))
        # Where there is no index the count is made up, and may be hugely negative.
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        estimate = int(count) if 0 < count < 1e9 else None
        rate = fps or self._own_fps
        self.info = VideoInfo(path.name, "file", width, height, rate, estimate)

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        clock = Clock(1 / (self._own_fps or 25.0))
        index, time_s, more = 0, 0.0, True
        while more:
            own_time = clock.at(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            time_s = own_time if self._fps is None else index / self._fps
            yield time_s, partial(self._image, time_s)
            index += 1
            more = self._grab()
        if clock.filled and self._fps is None:
            logger.info(
                "%s: the times of %d of %d frames are missing or out of order; they were filled in "
                "from the frame rate",
                self.info.name,
                clock.filled,
                index,
            )
        self._warn_if_short(index, clock.time)

    def _grab(self) -> bool:
        return any(self._capture.grab() for _ in range(self._TRIES))

    def _image(self, time_s: float) -> ImageArray:
        image = retrieved(self._capture, str(self._path))
        self._watch.see(time_s, image)
        return image

    def _warn_if_short(self, frames: int, last_time: float) -> None:
        # Counts alone cry wolf: a Matroska file of variable rate says 237 for 150 whole frames.
        # Its length in seconds is right, so a file is short only if that is short, too.
        estimate, rate = self.info.frames_estimate, self._own_fps
        if estimate is None or rate is None:
            return
        length = last_time + 1 / rate
        if frames < 0.9 * estimate and length < 0.9 * estimate / rate:
            logger.warning(
                "%s: %d frames (%.2f s) decoded of about %d (%.2f s) that the file promises; it "
                "may be cut short or damaged, and then the rest is missing from the result",
                self.info.name,
                frames,
                length,
                estimate,
                estimate / rate,
            )

    def close(self) -> None:
        self._capture.release()


class _FreezeWatch:
    """Warns, once, when the picture has not changed by a bit for a second.

    OpenCV's FFmpeg cannot follow a picture that grows on the way (video calls that adapt to their
    network): it says that all is well and gives the last image of the old size again and again.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._sample: ImageArray | None = None
        self._since, self._repeats, self._warned = 0.0, 0, False

    def see(self, time_s: float, image: ImageArray) -> None:
        sample = image[::8, ::8]
        if self._sample is None or not np.array_equal(sample, self._sample):
            self._sample, self._since, self._repeats = sample.copy(), time_s, 0
            return
        self._repeats += 1
        if self._repeats >= 10 and time_s - self._since >= 1 and not self._warned:
            self._warned = True
            logger.warning(
                "%s: the picture freezes at %.2f s. If the video does not, its size changes there, "
                "which OpenCV cannot follow: write it at one size first, for instance with "
                "ffmpeg -i %s -vf scale=1280:720 one_size.mp4",
                self._name,
                self._since,
                self._name,
            )


def _open_capture(path: Path) -> cv2.VideoCapture:
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith((b"#EXTM3U", b"ffconcat", b"v=0")):
        raise VideoError(f"{path} is a playlist; give the video it names")
    with quiet():
        # An absolute path, since FFmpeg takes "a:b.mp4" for a protocol.
        capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise VideoError(f"{path}: {_why_unreadable(path, head)}")
    # FFmpeg draws *.txt as a video of scrolling text.
    if int(capture.get(cv2.CAP_PROP_FOURCC)) == int.from_bytes(b"ansi", "little"):
        capture.release()
        raise VideoError(f"{path} is a text file, not a video")
    # Off unless asked for: phones store portrait video lying on its side.
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture


def _why_unreadable(path: Path, head: bytes) -> str:
    """What a file is, or lacks, that OpenCV cannot open."""
    again = "copy or download it again"
    if head[4:8] == b"ftyp":
        moov = _mp4_index(path)
        if moov is None:
            return f"the file is cut short: its index (the 'moov' atom) is missing; {again}"
        if b"vide" not in moov:
            return f"it has no video track, {'only sound' if b'soun' in moov else 'nor sound'}"
    if head.startswith((b"ID3", b"fLaC", b"OggS")) or head[8:12] == b"WAVE":
        return "it is a sound recording without video"
    if not head.strip(b"\0"):
        return f"it holds nothing but zeros; {again}"
    try:
        if "\0" not in head.decode():
            return "it is text, not a video"
    except UnicodeDecodeError:
        pass
    return (
        f"OpenCV finds no video in it that it can decode (it begins with {head[:8]!r}); it is "
        "damaged, holds no video, or needs another codec. Try: "
        f"ffmpeg -i {path.name} -c:v libx264 -crf 16 readable.mp4"
    )


def _mp4_index(path: Path) -> bytes | None:
    """The whole 'moov' atom of an MP4 or MOV file."""
    with path.open("rb") as file:
        while len(header := file.read(8)) == 8:
            size, skipped = int.from_bytes(header[:4], "big"), 8
            if size == 1:
                size, skipped = int.from_bytes(file.read(8), "big"), 16
            if header[4:] == b"moov":
                return file.read(size - skipped)
            if size < skipped:
                break
            file.seek(size - skipped, os.SEEK_CUR)
    return None
