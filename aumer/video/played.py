"""A source played in real time, which can be stopped from outside and recorded to a file."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

from aumer.errors import UsageError
from aumer.types import ImageArray
from aumer.video.sources import FrameSource
from aumer.video.writer import VideoFile

logger = logging.getLogger("aumer")


class Played:
    """The frames of a source, none before its time. Interface: `FrameSource`.

    Args:
        source: a camera is in real time by itself; frames of any other source wait.
        by_clock: whether frames wait for the clock; those of a camera need not.
        record: file that gets every frame, analyzed or not; on a full disk it ends with a logged
            warning. It is not closed here.
        now: a monotonic clock, in seconds.

    Attributes:
        began: the time on that clock of the video's time 0; `None` before the first frame.
        recorded: number of written frames.
    """

    def __init__(
        self,
        source: FrameSource,
        *,
        by_clock: bool,
        record: VideoFile | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.info = source.info
        self.began: float | None = None
        self.recorded = 0
        self._source, self._record, self._now = source, record, now
        self._by_clock = by_clock and source.info.source != "camera"
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End before the next frame; callable from any thread or signal handler."""
        self._stopped.set()

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        for time_s, image in self._source.frames():
            if self.began is None:
                self.began = self._now() - time_s
            if self._by_clock:
                self._stopped.wait(max(0.0, self.began + time_s - self._now()))
            if self._stopped.is_set():
                break
            if self._record is None:
                yield time_s, image
            else:
                picture = image()
                self._keep(self._record, picture, time_s)
                yield time_s, picture.copy

    def _keep(self, record: VideoFile, picture: ImageArray, time_s: float) -> None:
        try:
            record.write(picture, time_s)
        except UsageError as error:  # the recording so far is valid, and the run continues
            self._record = None
            logger.warning("the recording ends at %.1f s: %s", time_s, error)
        else:
            self.recorded += 1

    def close(self) -> None:
        self._stopped.set()
        self._source.close()
