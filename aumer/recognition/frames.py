"""Reads the tracked, aligned frames of intervals from a video, the material of clips.

Landmarks come from a track of `aumer.motion.analysis`, or of every frame (`follow`); between
analyzed frames they are interpolated (`landmarks_at`, `landmarks_in`). A `FramePart` receives the
frames that it needs one after another and stores only aligned crops. `read` serves any number of
parts in one pass over the video.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from aumer.errors import UsageError, VideoError
from aumer.motion import AlignedFace, align
from aumer.types import FaceTrack, FloatArray, Frame, VideoInfo
from aumer.video import Source, open_video

if TYPE_CHECKING:
    from aumer.config import MotionSettings
    from aumer.face.track import FaceTracker
    from aumer.motion.analysis import Watch

#: Landmarks (68, 2) px by frame; `None` if no face is visible.
Places = Mapping[int, "FloatArray | None"]


class FramePart(ABC):
    """Base class of what is made from some frames of a video.

    Attributes:
        places: its frames with the landmarks in each.
    """

    places: Places

    @abstractmethod
    def add(self, frame: Frame, landmarks: FloatArray | None) -> None:
        """Add the next of its frames, in order."""


class Faces(FramePart):
    """Aligned faces, each aligned by its own landmarks.

    Args:
        kept: faces that were stored before and need not be read (`Kept`).

    Attributes:
        found: the faces, by frame.
    """

    def __init__(
        self,
        places: Places,
        crop: int,
        kept: Mapping[int, AlignedFace] = MappingProxyType({}),
    ) -> None:
        self.places = {k: where for k, where in places.items() if k not in kept}
        self._crop = crop
        self.found: dict[int, AlignedFace] = {k: kept[k] for k in places if k in kept}

    def add(self, frame: Frame, landmarks: FloatArray | None) -> None:
        if landmarks is not None:
            self.found[frame.index] = align(frame.image, landmarks, self._crop)


class Kept:
    """Aligned faces that are stored during the analysis of their video: an
    `aumer.motion.analysis.Watch`.

    They equal those of `aligned_faces`, without decoding the video again, but may be incomplete:
    there are none if the analysis was cached, at most `most`, and none before the first visible
    face or after the last.

    Args:
        frames: the wanted frames.
        most: largest number to store.
    """

    def __init__(self, frames: Container[int], settings: MotionSettings, most: int) -> None:
        self.faces: dict[int, AlignedFace] = {}
        self._frames, self._settings, self._most = frames, settings, most
        self._waiting: list[Frame] = []  # frames since the last face, until the next one
        self._last: tuple[int, float, FloatArray] | None = None

    def wants(self, index: int) -> bool:
        """See `aumer.motion.analysis.Watch`."""
        return index in self._frames and len(self.faces) < self._most

    def see(self, frame: Frame, landmarks: FloatArray | None) -> None:
        """See `aumer.motion.analysis.Watch`."""
        if self._last is None or frame.time_s - self._last[1] > self._settings.max_gap_s:
            self._waiting = []
            self._last = None
        if landmarks is None:
            if self._last is not None and self.wants(frame.index):
                self._waiting.append(frame)
            return
        for one in self._waiting:
            assert self._last is not None
            before, _, there = self._last
            self._keep(one, within(one.index, before, frame.index, there, landmarks))
        self._waiting = []
        if self.wants(frame.index):
            self._keep(frame, landmarks)
        self._last = frame.index, frame.time_s, landmarks

    def _keep(self, frame: Frame, landmarks: FloatArray) -> None:
        if len(self.faces) < self._most:
            self.faces[frame.index] = align(frame.image, landmarks, self._settings.crop)


def read(
    source: Source, parts: Sequence[FramePart], *, fps: float | None = None
) -> Iterator[tuple[int, VideoInfo | None]]:
    """Give every part its frames, in one pass up to the last needed frame.

    Args:
        source, fps: as given to `aumer.video.open_video`, but no camera.

    Yields:
        the index of each part as soon as it has all of its existing frames, and the video; `None`
        for the video if no part needs a frame.

    Raises:
        UsageError: the source is a camera, which cannot be read a second time.
        VideoError: the source cannot be read.
    """
    if isinstance(source, int):
        raise UsageError(
            "faces of a camera cannot be cut out, as its frames must be read twice: record a file, "
            "and give that"
        )
    waiting = {number: max(part.places, default=-1) for number, part in enumerate(parts)}
    last = max(waiting.values(), default=-1)
    if last < 0:
        yield from ((number, None) for number in waiting)
        return
    wanted = {frame for part in parts for frame in part.places}
    with closing(open_video(source, fps=fps, keep=lambda index, _: index in wanted)) as video:
        for frame in video:
            for number in waiting:
                if frame.index in parts[number].places:
                    parts[number].add(frame, parts[number].places[frame.index])
            for number in [n for n, end in waiting.items() if end <= frame.index]:
                del waiting[number]
                yield number, video.info
            if frame.index == last:
                break
        yield from ((number, video.info) for number in waiting)


def between(
    source: Source, first: int = 0, last: int | None = None, *, fps: float | None = None
) -> Iterator[tuple[Frame, VideoInfo]]:
    """Every frame from `first` to `last`, with its video.

    Args:
        last: `None` for the last frame of the video.

    Raises:
        VideoError: the source cannot be read, or has no such frame.
    """

    def inside(index: int, _: float) -> bool:
        return index >= first and (last is None or index <= last)

    with closing(open_video(source, fps=fps, keep=inside)) as video:
        for frame in video:
            yield frame, video.info
            if frame.index == last:
                break


def follow(
    source: Source,
    tracker: FaceTracker,
    first: int = 0,
    last: int | None = None,
    *,
    fps: float | None = None,
    watch: Watch | None = None,
) -> tuple[FaceTrack, VideoInfo]:
    """The face track over every frame from `first` to `last`, and the video.

    Args:
        watch: receives every frame.

    Raises:
        VideoError: the source cannot be read, or has no such frame.
    """
    tracker.reset()
    video: VideoInfo | None = None
    hidden = np.full(4, np.nan, np.float32), np.full((68, 2), np.nan, np.float32)
    rows: list[tuple[int, float, FloatArray, FloatArray]] = []
    for frame, video in between(source, first, last, fps=fps):  # noqa: B007
        face = tracker(frame.image)
        if watch is not None:
            watch.see(frame, None if face is None else face.landmarks)
        seen = hidden if face is None else (face.box, face.landmarks)
        rows.append((frame.index, frame.time_s, *seen))
    if video is None:
        raise VideoError(f"the video ends before frame {first}, the first that is needed")
    boxes = np.array([r[2] for r in rows], np.float32).reshape(-1, 4)
    track = FaceTrack(
        np.array([r[1] for r in rows], np.float64),
        np.array([r[0] for r in rows], np.int64),
        np.asarray(np.isfinite(boxes).all(axis=1), np.bool_),
        boxes,
        np.array([r[3] for r in rows], np.float32).reshape(-1, 68, 2),
    )
    return track, video


def aligned_faces(
    source: Source,
    frames: Iterable[int],
    track: FaceTrack,
    settings: MotionSettings,
    *,
    fps: float | None = None,
    kept: Mapping[int, AlignedFace] = MappingProxyType({}),
) -> dict[int, AlignedFace]:
    """Aligned faces by frame; frames without a face or outside the video are left out.

    Args:
        kept: faces that were stored before (`Kept`).

    Raises:
        UsageError: the source is a camera, which cannot be read a second time.
        VideoError: the source cannot be read.
    """
    places = landmarks_at(sorted(set(frames)), track, settings.max_gap_s)
    part = Faces(places, settings.crop, kept)
    for _ in read(source, [part], fps=fps):
        pass
    return part.found


def landmarks_at(
    frames: Sequence[int], track: FaceTrack, max_gap_s: float
) -> dict[int, FloatArray]:
    """Landmarks (68, 2) px by frame.

    A video is analyzed at most at motion.rate; between analyzed frames landmarks are interpolated,
    since residual head motion is found in the flow anyway. Less than one such step beyond the first
    or last face its landmarks are used.

    Args:
        max_gap_s: frames in a gap between faces longer than this have no landmarks.
    """
    seen = np.flatnonzero(track.valid)
    if not len(seen):
        return {}
    at, times = track.frames[seen], track.times[seen]
    step = float(np.median(np.diff(track.frames))) if len(track) > 1 else 1.0
    places = {}
    for frame in frames:
        right = int(np.searchsorted(at, frame))
        if right < len(at) and at[right] == frame:
            places[frame] = track.landmarks[seen[right]]
        elif 0 < right < len(at) and times[right] - times[right - 1] <= max_gap_s:
            before, after = (int(k) for k in at[right - 1 : right + 1])
            there, then = track.landmarks[seen[right - 1 : right + 1]]
            places[frame] = within(frame, before, after, there, then)
        elif right in (0, len(at)) and abs(frame - at[min(right, len(at) - 1)]) < step:
            places[frame] = track.landmarks[seen[min(right, len(at) - 1)]]
    return places


def within(frame: int, before: int, after: int, there: FloatArray, then: FloatArray) -> FloatArray:
    """Landmarks interpolated between two frames."""
    share = np.float64((frame - before) / (after - before))
    return np.asarray(there + share * (then - there), np.float32)


def landmarks_in(frames: range, track: FaceTrack, max_gap_s: float) -> dict[int, FloatArray | None]:
    """Landmarks (68, 2) px in every frame of an interval.

    From the track; `None` in analyzed frames without a face; in frames that were not analyzed as in
    `landmarks_at`.
    """
    looked = dict(zip(track.frames.tolist(), range(len(track)), strict=True))
    between = landmarks_at([k for k in frames if k not in looked], track, max_gap_s)
    found: dict[int, FloatArray | None] = {}
    for frame in frames:
        row = looked.get(frame)
        if row is None:
            found[frame] = between.get(frame)
        else:
            found[frame] = track.landmarks[row] if track.valid[row] else None
    return found
