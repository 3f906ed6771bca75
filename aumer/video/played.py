"""A source that goes on by the clock, can be ended from outside, and may be written to a file."""

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
    """The frames of a source, each no earlier than it is due. Interface: `FrameSource`.

    Args:
        source: a camera gives its frames when they are due; anything else is held back.
        by_clock: whether frames wait for the clock; those of a camera need not.
        record: gets every frame, whether it is analyzed or not, until its disk is full, of which a
            warning is logged. It is not closed here.
        now: seconds of a clock that never jumps.

    Attributes:
        began: when its time 0 was, on that clock; `None` before the first frame.
        recorded: frames that were written.
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
        """End with the frame before; from any thread, or a handler of signals."""
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
        except UsageError as error:  # what was recorded so far is whole, and the run goes on
            self._record = None
            logger.warning("the recording ends at %.1f s: %s", time_s, error)
        else:
            self.recorded += 1

    def close(self) -> None:
        self._stopped.set()
        self._source.close()
