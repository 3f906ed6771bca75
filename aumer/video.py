"""Frames of a file, a folder of images, an array or a camera, streamed with their own times.

Every frame carries its decode ordinal and its presentation time, because `index / fps` is wrong by
more than a second on a four-second clip of variable rate. Nothing here trusts a container's frame
count or a seek: both are guesses in many real files. Frames before `start` are decoded and dropped.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError, VideoError
from aumer.files import exists
from aumer.types import Frame, ImageArray, VideoInfo

Source: TypeAlias = str | os.PathLike[str] | int | npt.NDArray[Any]
Keep: TypeAlias = Callable[[int, float], bool]

#: File names that count as frames of a folder.
# fmt: off
IMAGE_SUFFIXES = frozenset((
    ".bmp", ".dib", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".tif", ".tiff", ".webp",
))
# fmt: on

logger = logging.getLogger("aumer")


def open_video(
    source: Source,
    *,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    keep: Keep | None = None,
    queue_size: int = 8,
) -> VideoReader:
    """Open a video for one pass over its frames, in order.

    Args:
        source: a file that OpenCV's FFmpeg reads; a folder of images, read in natural order
            (``img_2`` before ``img_10``; hidden files and other files are ignored); an array
            (T, H, W, 3) uint8 RGB; or a camera's index (int).
        fps: frames per second. Needed for folders and arrays. For a file it replaces the file's
            own times by ``index / fps``: for recordings whose times were lost, such as slow motion
            saved at 30 frames a second. A camera is asked to run at this rate and keeps its own
            times.
        start, end: seconds from the first frame; frames with ``start <= time < end`` are given,
            to within a microsecond. A camera runs for ever without `end`.
        keep: called in order as ``keep(index, time_s)`` for every frame of the range, in the
            decoder's thread. Frames for which it is false are neither converted nor given, which
            makes skipping cheap.
        queue_size: frames decoded ahead, at most. A camera does not wait for a slow consumer: the
            frames for which there is no room are dropped.

    Raises:
        UsageError: an argument is missing or cannot be used. A range without frames is found, and
            raised, while iterating.
        VideoError: the source cannot be read. A bad image of a folder is found, and raised, while
            iterating. A file that is cut short or damaged gives the frames that decode; a warning
            is logged where far fewer do than it promises.
    """
    fps = _positive("fps", fps)
    start = _seconds("start", start)
    end = _seconds("end", end)
    if end is not None and end <= (start or 0.0):
        raise UsageError(
            f"end must lie after start, found start={start or 0.0:g} and end={end:g} seconds"
        )
    if queue_size < 1:
        raise UsageError(f"queue_size must be 1 or more, found {queue_size}")
    frames = _open(source, fps)
    return VideoReader(frames, start=start, end=end, keep=keep, queue_size=queue_size)


def content_digest(source: Source, *, fps: float | None = None) -> str | None:
    """SHA-256 (hex) of what `open_video` would read; `None` for a camera.

    Covers a file's bytes; or the names, in natural order, and bytes of a folder's images; or an
    array's shape, type and bytes; and `fps`, on which the times depend. Constant memory.

    Raises:
        UsageError, VideoError: as `open_video`, where they show without decoding.
    """
    fps = _positive("fps", fps)
    sha = hashlib.sha256()
    if isinstance(source, np.ndarray):
        array = _checked_array(source)
        sha.update(f"array {array.shape} {array.dtype} {_required_fps(fps, 'an array')!r}".encode())
        for image in array:
            sha.update(np.ascontiguousarray(image).data)
        return sha.hexdigest()
    if _is_camera(source):
        return None
    path = _existing_path(source)
    if path.is_dir():
        sha.update(f"folder {_required_fps(fps, 'a folder of images')!r}".encode())
        for image_path in _images(path):
            sha.update(f"\0{image_path.name}\0{image_path.stat().st_size}\0".encode())
            _hash_file(sha.update, image_path)
        return sha.hexdigest()
    _hash_file(sha.update, path)
    if fps is not None:
        sha.update(f"\0fps {fps!r}".encode())
    return sha.hexdigest()


class VideoReader:
    """One pass over the frames of a source. Made by `open_video`.

    A thread decodes ahead into a bounded queue. It ends with the video, with `close`, with the end
    of a ``with`` block, when the loop over the reader is left early, or when the reader is dropped.
    A reader is read once: iterating again is a `UsageError`. What goes wrong while decoding is
    raised by the loop.

    Attributes:
        info: name, size (of upright frames, in pixels), average rate and estimated number of
            frames, counted from the first of the source to `end`.
    """

    info: VideoInfo

    def __init__(
        self,
        frames: FrameSource,
        *,
        start: float | None = None,
        end: float | None = None,
        keep: Keep | None = None,
        queue_size: int = 8,
    ) -> None:
        self.info = frames.info
        estimate, rate = frames.info.frames_estimate, frames.info.fps
        if end is not None and rate is not None:
            upto_end = math.ceil(end * rate)
            estimate = upto_end if estimate is None else min(estimate, upto_end)
            self.info = replace(frames.info, frames_estimate=estimate)
        # The thread knows the pump and not the reader, so that a dropped reader can be collected.
        self._pump = _Pump(frames, start or 0.0, math.inf if end is None else end, keep, queue_size)
        self._stop = weakref.finalize(self, self._pump.stop)
        self._used = False

    def __iter__(self) -> Iterator[Frame]:
        if not self._stop.alive:
            raise UsageError(f"{self.info.name}: this reader is closed; call open_video again")
        if self._used:
            raise UsageError(f"{self.info.name}: a reader is read once; call open_video again")
        self._used = True
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        try:
            self._pump.start()
            while (frame := self._pump.get()) is not None:
                yield frame
        finally:
            self.close()

    def close(self) -> None:
        """Stop decoding and release the source; harmless when repeated."""
        self._stop()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class FrameSource(Protocol):
    """What a `VideoReader` reads from. Used by one thread at a time."""

    info: VideoInfo

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        """Presentation time (s) of each frame, and what makes its (H, W, 3) uint8 RGB image.

        The image must be made before the next frame is asked for.
        """

    def close(self) -> None:
        """Release what the source holds; harmless when repeated."""


class _Pump:
    """Runs a source in a thread, `queue_size` frames ahead of whoever calls `get`."""

    def __init__(
        self, source: FrameSource, start: float, end: float, keep: Keep | None, queue_size: int
    ) -> None:
        self._source, self._start, self._end, self._keep = source, start, end, keep
        self._queue: SimpleQueue[Frame | BaseException | None] = SimpleQueue()
        self._slots = threading.Semaphore(queue_size)  # what bounds the queue
        self._size = queue_size
        self._live = source.info.source == "camera"
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        # A daemon, so that a reader nobody closed does not keep the interpreter from ending; the
        # reader's finalizer stops it first.
        self._thread = threading.Thread(target=self._run, name="aumer-decode", daemon=True)
        self._thread.start()

    def get(self) -> Frame | None:
        """The next frame, or `None` after the last; raises what the thread raised."""
        item = self._queue.get()
        self._slots.release()
        if isinstance(item, BaseException):
            raise item
        return None if self._stopped.is_set() else item

    def stop(self) -> None:
        self._stopped.set()
        self._slots.release()  # wakes a thread that waits for room
        if self._thread is None:
            self._source.close()
        elif self._thread is not threading.current_thread():
            self._thread.join(5.0)  # a camera that hangs must not hang its user

    def _run(self) -> None:
        try:
            try:
                self._fill()
            finally:
                self._source.close()
        except BaseException as error:
            self._queue.put(error)
        else:
            self._queue.put(None)

    def _fill(self) -> None:
        microsecond = 1e-6
        in_range, latest = False, -1.0
        for index, (time_s, image) in enumerate(self._source.frames()):
            latest = time_s
            if self._stopped.is_set() or time_s >= self._end - microsecond:
                break
            if time_s < self._start - microsecond:
                continue
            in_range = True
            if self._live and self._queue.qsize() >= self._size:
                continue
            if self._keep is not None and not self._keep(index, time_s):
                continue
            self._slots.acquire()
            self._queue.put(Frame(index, time_s, image()))
        if not in_range and not self._stopped.is_set():
            name = self._source.info.name
            if latest < 0:
                raise VideoError(f"{name} gives no frame")
            if latest < self._start:
                raise UsageError(
                    f"start={self._start:g} s lies beyond the end of {name}, whose last frame is "
                    f"at {latest:.3f} s; choose an earlier start"
                )
            raise UsageError(
                f"{name} has no frame between start={self._start:g} s and end={self._end:g} s; "
                f"the next is at {latest:.3f} s; choose a wider range"
            )


# ------------------------------------------------------------------------------------- sources


class ArraySource:
    """An array (T, H, W, 3) uint8 RGB. Its frames are copies: they are the consumer's to change."""

    def __init__(self, array: npt.NDArray[Any], fps: float) -> None:
        self._array, self._fps = _checked_array(array), fps
        frames, height, width = self._array.shape[:3]
        self.info = VideoInfo("array", "array", width, height, fps, frames)

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        for index in range(len(self._array)):
            yield index / self._fps, self._array[index].copy

    def close(self) -> None:
        """Nothing is held."""


class FolderSource:
    """Images of one size in a folder, in natural order."""

    def __init__(self, folder: Path, fps: float) -> None:
        self._paths, self._fps = _images(folder), fps
        height, width = _read_image(self._paths[0]).shape[:2]
        name = folder.resolve().name or str(folder)
        self.info = VideoInfo(name, "folder", width, height, fps, len(self._paths))

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        for index, path in enumerate(self._paths):
            yield index / self._fps, partial(self._image, path)

    def _image(self, path: Path) -> ImageArray:
        image = _read_image(path)
        height, width = image.shape[:2]
        if (width, height) != (self.info.width, self.info.height):
            raise VideoError(
                f"{path} is {width}x{height} pixels, but {self._paths[0].name}, the first image of "
                f"the folder, is {self.info.width}x{self.info.height}; all must have one size"
            )
        return image

    def close(self) -> None:
        """Nothing is held."""


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def get(self, propId: int, /) -> float: ...
    def release(self) -> None: ...


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
            height, width = _retrieved(self._capture, str(path)).shape[:2]
        except BaseException:
            self._capture.release()
            raise
        self._own_fps = _sane_fps(self._capture.get(cv2.CAP_PROP_FPS))
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
        image = _retrieved(self._capture, str(self._path))
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


class CameraSource:
    """A live camera. A frame's time is when it was grabbed, since few drivers tell."""

    def __init__(
        self, capture: Capture, name: str, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._capture, self._now = capture, now
        if not capture.grab():
            capture.release()
            raise VideoError(f"{name} opens but gives no frame; does another program use it?")
        height, width = _retrieved(capture, name).shape[:2]
        fps = _sane_fps(capture.get(cv2.CAP_PROP_FPS))
        self.info = VideoInfo(name, "camera", width, height, fps, None)

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        image = partial(_retrieved, self._capture, self.info.name)
        first: float | None = None
        while self._capture.grab():
            now = self._now()
            first = now if first is None else first
            yield now - first, image
        logger.warning("%s gives no more frames; was it unplugged?", self.info.name)

    def close(self) -> None:
        self._capture.release()


class Clock:
    """Presentation times, 0 at the first frame and rising, from what OpenCV says of each frame.

    What it says (CAP_PROP_POS_MSEC, seconds here) is right for nearly all files. The exceptions:

    - It gives the decode time for a frame at presentation time 0, so that .mov files with B-frames
      seem to begin up to 30 ms early. The second frame tells: after such a start it is past 0.
    - AVI and raw streams hold no presentation times: readings begin late, or are 0 for the last
      frames or for all. Where a reading is missing or stuck, the time is the previous plus `step`.
    - Joined and restarted recordings jump back, or ahead by hours: counting goes on from the
      previous time plus `step`.
    - Readings out of order by a few frames get half a step, so that the times catch up with them.

    Attributes:
        time: the latest time, in seconds.
        filled: how many times were not read but filled in.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._origin: float | None = None
        self._reading = 0.0
        self.time = 0.0
        self.filled = 0

    def at(self, reading: float) -> float:
        """The time of the next frame, for which OpenCV says `reading` seconds."""
        known = abs(reading) < 1e9  # no timestamp is -2**63 ticks, or not a number
        if self._origin is None:
            self._origin = self._reading = reading if known else 0.0
            return self.time
        if not known or reading == 0:
            reading = self._reading
        if self._origin < 0 < reading and self.time == 0:
            self._origin = 0.0
        previous, self._reading = self._reading, reading
        ahead = reading - self._origin - self.time
        if 0 < ahead < 3600:
            self.time = reading - self._origin
            return self.time
        self.filled += 1
        if reading == previous:
            self.time += self._step
        elif -8 * self._step < ahead <= 0:
            self.time += self._step / 2
        else:
            self.time += self._step
            self._origin = reading - self.time
        return self.time


# ------------------------------------------------------------------------------------- opening


def _open(source: Source, fps: float | None) -> FrameSource:
    if isinstance(source, np.ndarray):
        return ArraySource(source, _required_fps(fps, "an array"))
    if _is_camera(source):
        return _open_camera(int(source), fps)  # type: ignore[arg-type]
    path = _existing_path(source)
    if path.is_dir():
        return FolderSource(path, _required_fps(fps, "a folder of images"))
    return FileSource(path, fps)


def _is_camera(source: object) -> bool:
    return isinstance(source, (int, np.integer)) and not isinstance(source, bool)


def _existing_path(source: object) -> Path:
    """The file or folder that `source` names, or the error that says why it cannot be read."""
    if not isinstance(source, (str, os.PathLike)):
        raise UsageError(
            "a video is a file, a folder of images, an array (T, H, W, 3) uint8 RGB or a camera's "
            f"index (int); found {type(source).__module__}.{type(source).__qualname__}"
        )
    text = os.fspath(source)
    with _readable(text):
        path = Path(text).expanduser()
        there = exists(path)
    if not there:
        if "://" in text:
            raise VideoError(f"{text}: addresses are not read; download the video first")
        hint = f" For camera {text} give the number itself (int)." if text.isdigit() else ""
        raise VideoError(
            f"{path}: no such file or folder (looked in {path.parent.resolve()}).{hint}"
        )
    if path.is_dir():
        return path
    if not path.is_file():
        raise VideoError(f"{path} is neither a file nor a folder; a camera is named by its index")
    with _readable(text):
        empty = not path.stat().st_size
        path.open("rb").close()  # FFmpeg would only say that it cannot
    if empty:
        raise VideoError(f"{path} is empty (0 bytes); copy or download it again")
    return path


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Says in aumer's words that the system refuses to read `name` (rights, name too long, ...)."""
    try:
        yield
    except OSError as error:
        raise VideoError(f"cannot read {name}: {error.strerror or error}") from error


def _open_capture(path: Path) -> cv2.VideoCapture:
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith((b"#EXTM3U", b"ffconcat", b"v=0")):
        raise VideoError(f"{path} is a playlist; give the video it names")
    with _quiet():
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


def _open_camera(index: int, fps: float | None) -> CameraSource:
    if index < 0:
        raise UsageError(f"a camera's index is 0 or more, found {index}")
    with _quiet():
        capture = cv2.VideoCapture(index)
    if not capture.isOpened():
        raise VideoError(
            f"camera {index} cannot be opened; is one connected, and may this program use it? The "
            "first camera is 0"
        )
    if fps is not None:
        capture.set(cv2.CAP_PROP_FPS, fps)
    return CameraSource(capture, f"camera {index}")


_quiet_lock = threading.Lock()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps OpenCV and its FFmpeg from writing to stderr what an exception will say.

    OpenCV reads the FFmpeg level once, when it opens its first video; it is put in the environment
    for that moment only, and not at all if the user chose one.
    """
    name = "OPENCV_FFMPEG_LOGLEVEL"
    with _quiet_lock:
        chosen = name in os.environ or "OPENCV_FFMPEG_DEBUG" in os.environ
        level = cv2.getLogLevel()
        cv2.setLogLevel(0)  # silent
        if not chosen:
            os.environ[name] = "-8"  # AV_LOG_QUIET
        try:
            yield
        finally:
            cv2.setLogLevel(level)
            if not chosen:
                os.environ.pop(name, None)


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


# -------------------------------------------------------------------------------- checks, images


def _checked_array(array: npt.NDArray[Any]) -> ImageArray:
    found = f"found shape {array.shape}, {array.dtype}"
    allowed = "a video array is (T, H, W, 3) uint8 RGB"
    if array.ndim == 4 and array.shape[3] == 3 and 0 not in array.shape[1:]:
        if array.dtype != np.uint8:
            raise UsageError(
                f"{allowed}, {found}; if its values reach from 0 to 1, give "
                "(255 * a).round().astype(np.uint8)"
            )
        if not len(array):
            raise VideoError(f"the array holds no frame: {found}")
        return array
    fix = "reorder or convert its axes"
    if array.ndim == 4 and array.shape[3] == 1:
        fix = "it is grey: give np.repeat(a, 3, axis=3)"
    elif array.ndim == 4 and array.shape[3] == 4:
        fix = "drop the alpha channel: give a[..., :3]"
    elif array.ndim == 4 and array.shape[1] == 3:
        fix = "its channels come first: give a.transpose(0, 2, 3, 1)"
    elif array.ndim == 3 and array.shape[2] == 3:
        fix = "it is one image: give a[None]"
    elif array.ndim == 3:
        fix = "it is grey: give np.repeat(a[..., None], 3, axis=3)"
    raise UsageError(f"{allowed}, {found}; {fix}")


def _required_fps(fps: float | None, what: str) -> float:
    if fps is None:
        raise UsageError(f"{what} says nothing of time: give fps, its frames per second")
    return fps


def _positive(name: str, value: float | None) -> float | None:
    if value is not None and not 0 < value < math.inf:
        raise UsageError(f"{name} must be a number above 0, found {value}")
    return None if value is None else float(value)


def _seconds(name: str, value: float | None) -> float | None:
    if value is not None and not 0 <= value < math.inf:
        raise UsageError(f"{name} must be seconds from the first frame, 0 or more, found {value}")
    return None if value is None else float(value)


def _sane_fps(fps: float) -> float | None:
    """A container's rate, unless it is really a tick rate: browsers' recordings say 1000."""
    return float(fps) if 0 < fps < 1000 else None


def _images(folder: Path) -> list[Path]:
    names = [p for p in folder.iterdir() if not p.name.startswith(".")]
    images = [p for p in names if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    if not images:
        found = ", ".join(sorted(p.name for p in names)[:3]) or "nothing"
        raise VideoError(
            f"{folder}: no images ({' '.join(sorted(IMAGE_SUFFIXES))}) in this folder; found "
            f"{found}{', ...' if len(names) > 3 else ''}. Sub-folders are not searched"
        )
    return sorted(images, key=_natural)


def _natural(path: Path) -> tuple[list[str | int], str]:
    # Splitting at a group puts text at even places and digits at odd ones: like meets like.
    parts = re.split(r"(\d+)", path.name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name


def _read_image(path: Path) -> ImageArray:
    try:
        # cv2.imread cannot open every path that Python can (Windows, non-ASCII).
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except (OSError, cv2.error) as error:
        raise VideoError(f"{path} cannot be read: {error}") from error
    if image is None:
        raise VideoError(
            f"{path} is no image that OpenCV reads ({len(data)} bytes); repair or remove it"
        )
    return _rgb(image)


def _retrieved(capture: Capture, name: str) -> ImageArray:
    ok, image = capture.retrieve()
    if not ok or image is None:
        raise VideoError(f"{name}: the image of a frame cannot be had; the video is damaged")
    return _rgb(image)


def _rgb(image: npt.NDArray[Any]) -> ImageArray:
    """OpenCV's blue-green-red or grey uint8 image as (H, W, 3) RGB; this conversion takes both."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _hash_file(update: Callable[[bytes], object], path: Path) -> None:
    with _readable(str(path)), path.open("rb") as file:
        while block := file.read(1 << 20):
            update(block)
