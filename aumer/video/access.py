"""Random access to frames of a video by number, identical to the frames of a sequential pass.

All frames are counted once and the decoder's time of each is stored, which makes checked seeks
possible (`aumer.video.seek`). If a seek is uncertain, the video is decoded from its first frame.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from aumer.arguments import whole
from aumer.cache import FeatureCache
from aumer.config import digest
from aumer.errors import UsageError, VideoError
from aumer.names import expanded
from aumer.progress import Progress
from aumer.types import ImageArray, TimeArray, VideoInfo
from aumer.video.container import has_index
from aumer.video.digest import content_digest
from aumer.video.file import FileSource
from aumer.video.reader import positive
from aumer.video.seek import WALK, Jumps, can_seek
from aumer.video.sources import FrameSource, Source, is_camera, open_source

#: Frames cached before the target of a seek: a user who steps back once often does so again.
_BEFORE = 12
#: Bytes of cached frames.
_KEPT = 64 << 20
#: Version of the cached tables of times.
_VERSION = 1


class AnyFrame:
    """A video with frames by number, in any order and from any thread.

    Args:
        source, fps: as for `aumer.video.open_video`, but no camera.
        cache: folder where the times of the frames are cached.
        progress: called with the number of frames counted and the container's estimate, if any.

    Attributes:
        info: of the video.
        content: its `content_digest`.
        times: (T,) float64 seconds, the presentation time of every frame, as in `open_video`.

    Raises:
        UsageError, VideoError: as `open_video`; or the source is a camera.
    """

    info: VideoInfo
    content: str
    times: TimeArray

    def __init__(
        self,
        source: Source,
        *,
        fps: float | None = None,
        cache: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        if is_camera(source):
            raise UsageError("a camera's frames cannot be read twice; record it to a file")
        self._source, self._fps = source, positive("fps", fps)
        self._state = _state(source)
        content = content_digest(source, fps=fps)
        assert content is not None, "only a camera has none"
        self.content = content
        self._lock = threading.Lock()
        self._cached: OrderedDict[int, ImageArray] = OrderedDict()
        self._walk: _Walk | None = None
        self._file: FileSource | None = None
        self._jumps: Jumps | None = None
        opened = open_source(source, self._fps)
        try:
            self.info = opened.info
            known = FeatureCache(cache, digest({"times": _VERSION, "content": content}))
            arrays = known.whole()
            if arrays is None:
                times, marks = _counted(opened, progress)
                arrays = {"times": times, "marks": marks}
                known.finish(arrays)
        finally:
            opened.close()
        self.times, self._marks = arrays["times"], arrays["marks"]

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, number: int) -> ImageArray:
        """(H, W, 3) uint8 RGB, read-only: frame `number`, from 0.

        Raises:
            UsageError: there is no such frame.
            VideoError: it can no longer be decoded, because the file changed.
        """
        if not 0 <= whole("frame", number) < len(self):
            raise UsageError(f"there is no frame {number}: the video has {len(self)}, from 0")
        with self._lock:
            if number not in self._cached:
                self._check()
                self._fetch(number)
            self._cached.move_to_end(number)
            return self._cached[number]

    def at(self, time_s: float) -> int:
        """The number of the frame nearest to a time."""
        return int(np.abs(self.times - time_s).argmin())

    def close(self) -> None:
        """Release the video; harmless when repeated."""
        with self._lock:
            for one in (self._walk, self._file):
                if one is not None:
                    one.close()
            self._walk = self._jumps = self._file = None
            self._cached.clear()

    def _check(self) -> None:
        """Raise if the file's content changed.

        A deleted file is accepted: the open file can still be read.
        """
        state = _state(self._source)
        if state is None or state == self._state:
            return
        if content_digest(self._source, fps=self._fps) != self.content:
            raise VideoError(
                f"{self.info.name} was changed after it was opened, so its frames are no longer "
                "the same: "
                "open it again"
            )
        self._state = state  # same content, other modification time

    def _fetch(self, number: int) -> None:
        if self._walk is not None and self._walk.at < number <= self._walk.at + WALK:
            self._walk.to(number, self._keep)
            return
        jumps = self._jumps
        if jumps is None and self._seeks():
            source = open_source(self._source, self._fps)
            assert isinstance(source, FileSource), "no other has marks"
            self._file, self._jumps = source, (jumps := Jumps(source, self._marks))
        if jumps is not None:
            ahead = jumps.at < number <= jumps.at + WALK
            if jumps.to(number, number if ahead else max(0, number - _BEFORE), self._seen):
                return
        if self._walk is None or self._walk.at >= number:
            if self._walk is not None:
                self._walk.close()
            self._walk = _Walk(open_source(self._source, self._fps))
        self._walk.to(number, self._keep)

    def _seeks(self) -> bool:
        """Whether a seek can be checked; it cannot where there are no decoder times."""
        path = self._source if isinstance(self._source, (str, os.PathLike)) else None
        return path is not None and can_seek(self._marks) and has_index(expanded(path))

    def _seen(self, number: int) -> None:
        assert self._file is not None
        self._keep(number, self._file.here())

    def _keep(self, number: int, image: ImageArray) -> None:
        image.flags.writeable = False
        self._cached[number] = image
        most = max(_BEFORE + 2, _KEPT // max(1, image.nbytes))
        while len(self._cached) > most:
            self._cached.popitem(last=False)


def _state(source: Source) -> tuple[int, ...] | None:
    """Inode, size and modification time, to detect a changed file without reading it; None if not a
    file.
    """
    if isinstance(source, (str, os.PathLike)):
        with suppress(OSError):
            found = Path(source).stat()
            return found.st_ino, found.st_size, found.st_mtime_ns
    return None


Keep = Callable[[int, ImageArray], None]


def _counted(source: FrameSource, progress: Progress | None) -> tuple[TimeArray, TimeArray]:
    """Presentation times and decoder times of all frames; decoder times are 0 if there are none."""
    times, marks = [], []
    file = source if isinstance(source, FileSource) else None
    for time_s, _ in source.frames():
        times.append(time_s)
        if file is not None:
            marks.append(file.position_ms)
        if progress and len(times) % 64 == 0:
            progress(len(times), source.info.frames_estimate)
    if not times:
        raise VideoError(
            f"no frame of {source.info.name} can be decoded; the file is damaged or empty"
        )
    return np.array(times), np.array(marks if marks else [0.0] * len(times))


class _Walk:
    """A pass over a video from its first frame."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._frames: Iterator[tuple[float, Callable[[], ImageArray]]] = source.frames()
        self.at = -1

    def to(self, number: int, keep: Keep) -> None:
        for _, image in self._frames:
            self.at += 1
            if self.at == number:
                keep(number, image())
                return
        raise VideoError(f"{self._source.info.name} ends before frame {number}: it has changed")

    def close(self) -> None:
        self._source.close()
