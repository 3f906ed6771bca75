"""A pool of face trackers, reused for several videos."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from aumer.config import FaceSettings
from aumer.face.track import FaceTracker
from aumer.process import use_threads


class Trackers:
    """Provides trackers for one set of settings, so that detectors and landmarkers are made once.

    A tracker has one user at a time, so there are as many as concurrent threads. Each is reset for
    a new video. They are closed by `close`, or when the pool is garbage-collected.
    """

    def __init__(self, settings: FaceSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._idle: list[FaceTracker] = []
        self._end = weakref.finalize(self, _close, self._idle)

    @contextmanager
    def lent(self) -> Iterator[FaceTracker]:
        """A tracker for the duration of a block.

        Raises:
            UsageError: this process was forked after they were used, or as
                `FaceTracker.from_settings`.
            WeightsError: as `FaceTracker.from_settings`.
        """
        use_threads()
        with self._lock:
            tracker = self._idle.pop() if self._idle else None
        if tracker is None:
            tracker = FaceTracker.from_settings(self._settings)
        try:
            yield tracker
            tracker.reset()
        except BaseException:  # its state is undefined
            tracker.close()
            raise
        with self._lock:
            if self._end.alive:
                self._idle.append(tracker)
                return
        tracker.close()

    def close(self) -> None:
        """Close the idle trackers; the others are closed when they are returned."""
        with self._lock:
            self._end()


def _close(idle: list[FaceTracker]) -> None:
    while idle:
        idle.pop().close()
