"""Face trackers that are used again, for one video after the other."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from aumer.config import FaceSettings
from aumer.face.track import FaceTracker
from aumer.process import use_threads


class Trackers:
    """Lends trackers of one set of settings; what detectors and landmarkers hold is made once.

    A tracker is lent to one user at a time, so there are as many as threads that ask at once. Each
    has forgotten every earlier video. Closed by `close`, or when nobody knows it any more.
    """

    def __init__(self, settings: FaceSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._idle: list[FaceTracker] = []
        self._end = weakref.finalize(self, _close, self._idle)

    @contextmanager
    def lent(self) -> Iterator[FaceTracker]:
        """A tracker for the length of a block.

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
        except BaseException:  # who knows what state it is in
            tracker.close()
            raise
        with self._lock:
            if self._end.alive:
                self._idle.append(tracker)
                return
        tracker.close()

    def close(self) -> None:
        """Close those that are not lent; the others are closed as they come back."""
        with self._lock:
            self._end()


def _close(idle: list[FaceTracker]) -> None:
    while idle:
        idle.pop().close()
