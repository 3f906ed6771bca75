"""Frames of a file, a folder of images, an array or a camera, streamed with their own times.

Every frame carries its decode ordinal and its presentation time, because `index / fps` is wrong by
more than a second on a four-second clip of variable rate. Nothing here trusts a container's frame
count or a seek: both are guesses in many real files. Frames before `start` are decoded and dropped;
those that an earlier pass has decoded are skipped by a seek that is checked (`aumer.video.seek`).
"""

from __future__ import annotations

import logging
import math
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TypeAlias

from aumer.arguments import number, whole
from aumer.errors import UsageError, VideoError
from aumer.types import MAX_RATE, MIN_RATE, Frame, VideoInfo
from aumer.video.file import FileSource
from aumer.video.seek import Decoded
from aumer.video.sources import FrameSource, Source, open_source

logger = logging.getLogger("aumer")

#: Seconds without a frame after which the camera counts as hanging.
_SILENT_S = 5.0

Keep: TypeAlias = Callable[[int, float], bool]


def open_video(
    source: Source,
    *,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    keep: Keep | None = None,
    queue_size: int = 8,
    known: Decoded | None = None,
) -> VideoReader:
    """Open a video for one pass over its frames, in order.

    Args:
        source: a file that OpenCV's FFmpeg reads; a folder of images, read in natural order
            (``img_2`` before ``img_10``; hidden files, other files and images with other name
            patterns are left out; a missing number leaves a gap in time); an array (T, H, W, 3)
            uint8 RGB; or a camera's index (int).
        fps: frames per second. Needed for folders and arrays. For a file it replaces the file's own
            times by ``index / fps``: for recordings whose times were lost, such as slow motion
            saved at 30 frames a second. A camera is set to this rate and keeps its own times.
        start, end: seconds on the video's clock, which starts at its first frame, or at its sound
            if the picture starts later; frames with ``start <= time < end`` are read, to within a
            microsecond. Without `end` a camera runs forever.
        keep: called in order as ``keep(index, time_s)`` for every frame of the range, in the
            decoder's thread. Frames for which it is false are neither converted nor returned, which
            makes skipping cheap.
        queue_size: maximum number of frames decoded ahead. A camera does not wait for a slow
            consumer: frames that do not fit are dropped and counted (`VideoReader.dropped`), and a
            warning at the end gives the number.
        known: `VideoReader.decoded` of an earlier pass over the same content: these first frames
            are passed to `keep`, and decoded only where it is true.

    Raises:
        UsageError: an argument is missing or invalid. A range without frames raises while
            iterating.
        VideoError: the source cannot be read. A bad image of a folder raises while iterating. A
            truncated or damaged file gives the frames that decode; a warning is logged if they are
            far fewer than it declares.

    Example:
        >>> with aumer.open_video("interview.mp4", end=0.1) as video:
        ...     for frame in video:
        ...         print(frame.index, round(frame.time_s, 3), frame.image.shape)
        0 0.0 (256, 256, 3)
        1 0.033 (256, 256, 3)
        2 0.067 (256, 256, 3)
    """
    fps = positive("fps", fps)
    start = _seconds("start", start)
    end = _seconds("end", end)
    if end is not None and end <= (start or 0.0):
        raise UsageError(
            f"`end` must lie after `start`, found {start or 0.0:g} and {end:g} seconds"
        )
    if whole("queue_size", queue_size) < 1:
        raise UsageError(f"queue_size must be 1 or more, found {queue_size}")
    frames = open_source(source, fps, known)
    return VideoReader(frames, start=start, end=end, keep=keep, queue_size=queue_size)


class VideoReader:
    """One pass over the frames of a source. Made by `open_video`.

    A thread decodes ahead into a bounded queue. It ends with the video, with `close`, with the end
    of a ``with`` block, when the loop over the reader is left early, or when the reader is dropped.
    A reader is read once: iterating again is a `UsageError`. Errors of decoding are raised by the
    loop.

    Args:
        frames: the source; the other arguments as in `open_video`.
        drops: whether frames that do not fit are dropped, for sources in real time; None drops them
            for a camera only.

    Attributes:
        info: name, size (of upright frames, in pixels), average rate and estimated number of
            frames, counted from the first of the source to `end`.
        dropped: number of frames dropped so far; 0 if the source waits.
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
        drops: bool | None = None,
    ) -> None:
        self.info = frames.info
        drops = frames.info.source == "camera" if drops is None else drops
        estimate, rate = frames.info.frames_estimate, frames.info.fps
        if end is not None and rate is not None:
            upto_end = math.ceil(end * rate)
            estimate = upto_end if estimate is None else min(estimate, upto_end)
            self.info = replace(frames.info, frames_estimate=estimate)
        # The thread knows the pump and not the reader, so that a dropped reader can be collected.
        self._pump = _Pump(
            frames, start or 0.0, math.inf if end is None else end, keep, queue_size, drops
        )
        self._stop = weakref.finalize(self, self._pump.stop)
        self._used = False

    def __iter__(self) -> Iterator[Frame]:
        if not self._stop.alive:
            raise UsageError(
                f"{self.info.name} cannot be read: its reader is closed. Call open_video again"
            )
        if self._used:
            raise UsageError(
                f"{self.info.name} was read already, and a reader can be read once: call "
                "open_video again"
            )
        self._used = True
        return self._frames()

    @property
    def dropped(self) -> int:
        return self._pump.dropped

    def decoded(self, last: Frame, since: int = 0) -> Decoded | None:
        """What a later pass need not decode: the frames from number `since` to `last`; None if
        decoding is no work for this kind of source.
        """
        file = self._pump.file
        return None if file is None else file.decoded(last.index, last.image, since)

    def _frames(self) -> Iterator[Frame]:
        try:
            self._pump.start()
            while (frame := self._pump.get()) is not None:
                yield frame
        finally:
            self.close()

    def end(self) -> None:
        """End after the frames decoded so far, even if the source hangs; callable from any thread
        or signal handler.
        """
        self._pump.end()

    def close(self) -> None:
        """Stop decoding and release the source; harmless when repeated."""
        self._stop()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Pump:
    """Runs a source in a thread, `queue_size` frames ahead of the caller of `get`."""

    def __init__(
        self,
        source: FrameSource,
        start: float,
        end: float,
        keep: Keep | None,
        queue_size: int,
        drops: bool,
    ) -> None:
        self._source, self._start, self._end, self._keep = source, start, end, keep
        self._queue: SimpleQueue[Frame | BaseException | None] = SimpleQueue()
        self.file = source if isinstance(source, FileSource) else None
        self._slots = threading.Semaphore(queue_size)  # bounds the queue
        self._size = queue_size
        self._drops = drops
        self.dropped = 0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        # A daemon, so that an unclosed reader does not keep the interpreter from exiting; the
        # reader's finalizer stops it first.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run,), name="aumer-decode", daemon=True
        )
        self._thread.start()

    def get(self) -> Frame | None:
        """The next frame, or `None` after the last; raises what the thread raised."""
        item = self._next()
        self._slots.release()
        if isinstance(item, BaseException):
            raise item
        return None if self._stopped.is_set() else item

    def _next(self) -> Frame | BaseException | None:
        if self._source.info.source == "camera":
            with suppress(Empty):
                return self._queue.get(timeout=_SILENT_S)
            logger.warning(
                "%s has given no frame for %g s, and this run waits for the next one: check its "
                "cable, and that it is not asleep",
                self._source.info.name,
                _SILENT_S,
            )
        return self._queue.get()

    def end(self) -> None:
        self._queue.put(None)

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
        in_range, latest = 0, -1.0
        for index, (time_s, image) in enumerate(self._source.frames()):
            latest = time_s
            if self._stopped.is_set() or time_s >= self._end - microsecond:
                break
            if time_s < self._start - microsecond:
                continue
            in_range += 1
            if self._drops and self._queue.qsize() >= self._size:
                self.dropped += 1
                continue
            if self._keep is not None and not self._keep(index, time_s):
                continue
            self._slots.acquire()
            self._queue.put(Frame(index, time_s, image()))
        if self.dropped and not self._stopped.is_set():
            logger.warning(
                "%s: %d of %d frames (%.1f %%) were dropped, as they came faster than they could "
                "be analyzed; in their time motion is measured less well, or not at all. Ask for "
                "fewer frames per second or a smaller picture, or end other programs",
                self._source.info.name,
                self.dropped,
                in_range,
                100 * self.dropped / in_range,
            )
        if not in_range and not self._stopped.is_set():
            name = self._source.info.name
            if latest < 0:
                if self._source.info.source == "camera":
                    raise VideoError(
                        f"{name} gives no frame. Close other programs that use it, and try again"
                    )
                raise VideoError(f"no frame of {name} can be decoded; it is damaged or empty")
            if latest < self._start:
                raise UsageError(
                    f"`start={self._start:g}` s lies beyond the end of {name}, whose last frame is "
                    f"at {latest:.3f} s; choose an earlier start"
                )
            raise UsageError(
                f"{name} has no frame between `start={self._start:g}` s and `end={self._end:g}` s; "
                f"the next is at {latest:.3f} s; choose a wider range"
            )


def positive(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    found = number(name, value)
    if not MIN_RATE <= found <= MAX_RATE:
        allowed = f"a number above 0: from {MIN_RATE:g} to {MAX_RATE:g}"
        raise UsageError(f"{name} must be {allowed}, found {value}")
    return found


def _seconds(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    found = number(name, value)
    if not 0 <= found < math.inf:
        raise UsageError(f"{name} must be seconds from the first frame, 0 or more, found {value}")
    return found
