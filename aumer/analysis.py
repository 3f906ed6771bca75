"""The streaming stage: a video in, `FaceTrack` and `Features` out, one chunk after another.

Frames are decoded in one thread, the face is followed in the caller's, and motion is measured in a
pool, so no stage waits for another. A chunk is a stretch of analysed frames that begins with a
fresh tracker and ends on the frame the next one begins with: nothing flows from chunk to chunk, so
a cached chunk is as good as a computed one, bit for bit.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer import registry
from aumer.cache import Arrays, FeatureCache
from aumer.config import Settings, digest
from aumer.errors import VideoError
from aumer.face.track import Face, FaceTracker
from aumer.flow import Flow
from aumer.motion import AlignedFace, align, nearest, resample, roi_motions
from aumer.rois import roi_set
from aumer.types import FaceTrack, Features, FloatArray, Frame, VideoInfo
from aumer.video import Source, open_video

#: Raise when the numbers that the same settings give change: no older cache is read then.
FEATURES_VERSION = 2

_FEATURE_ARRAYS = ("values", "times", "frames", "valid")
_TRACK_ARRAYS = ("times", "frames", "valid", "boxes", "landmarks")

Progress = Callable[[int, "int | None"], None]


@dataclass(frozen=True, eq=False)
class Analysis:
    """What the spotting stage and the results need of a video."""

    video: VideoInfo
    features: Features
    track: FaceTrack


def analyse(
    source: Source,
    settings: Settings,
    *,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    cache: FeatureCache | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Analysis:
    """Follow the face through `source` and measure the motion of its ROIs.

    Args:
        source, fps, start, end: as in `aumer.video.open_video`.
        cache: where chunks and finished features are kept and found; `None` keeps nothing. Its
            key must be `cache_key` of this very content, settings and range.
        progress: called with the number of frames decoded and the container's estimate, if any.
        workers: threads that measure motion; never changes a number.

    Raises:
        VideoError: the source cannot be read.
        UsageError: a back end's or a ROI's name is unknown, or a back end cannot run here.
        WeightsError: a back end's weights are missing.
    """
    cache = cache or FeatureCache(None, "")
    kept = cache.whole()
    if kept is not None:
        # The key names the content; the file may have got another name since.
        with closing(open_video(source, fps=fps, start=start, end=end)) as now:
            return replace(_unpack(kept), video=now.info)
    roi_set(settings.motion.rois)  # or complain now, not once motion is measured
    clock = _Clock(settings.motion.rate, start or 0.0)
    per_chunk = max(2, round(settings.face.restart_s * settings.motion.rate))
    done = cache.chunks()
    skip = done * per_chunk
    flow: Flow = registry.resolve("flow", settings.motion.flow)
    tracker = FaceTracker(
        registry.resolve("detector", settings.face.detector)(),
        registry.resolve("landmarker", settings.face.landmarker)(),
        min_eye_distance=settings.face.min_eye_distance,
    )

    def keep(index: int, time_s: float) -> bool:
        return clock.tick(index, time_s) and clock.kept > skip

    reader = open_video(source, fps=fps, start=start, end=end, keep=keep)
    with closing(reader), ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        frames = _reported(iter(reader), progress, reader.info.frames_estimate)
        chunk = _Chunk(pool, flow, settings)
        for frame in frames:
            if len(chunk) == per_chunk:
                chunk.add(frame, tracker)  # shared with the next chunk, which sees it afresh
                cache.put(done, chunk.arrays())
                done += 1
                chunk = _Chunk(pool, flow, settings)
            if not len(chunk):
                tracker.reset()
            chunk.add(frame, tracker)
        if len(chunk):
            cache.put(done, chunk.arrays())
            done += 1
        if not done:
            raise VideoError(f"{reader.info.name} holds no frame between start and end")
    parts = [cache.get(number) for number in range(done)]
    analysis = _join(parts, clock, reader.info, settings)
    cache.finish(_pack(analysis))
    return analysis


def cache_key(content: str, settings: Settings, start: float | None, end: float | None) -> str:
    """Names the features of one content under one set of settings and library versions."""
    return digest(
        {
            "version": FEATURES_VERSION,
            "content": content,
            "face": asdict(settings.face),
            "motion": asdict(settings.motion),
            "range": [start, end],
            "libraries": {name: _version(name) for name in ("mediapipe", "opencv-contrib-python")},
        }
    )


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


class _Clock:
    """Sees every decoded frame; says which to analyse: at most one per step of the grid.

    A frame is taken for the nearest instant of the grid, a little early on ties, so that the jitter
    of timestamps never drops a frame of a video as fast as the grid.
    """

    def __init__(self, rate: float, start: float) -> None:
        self._rate = rate
        self._slot = -(10**9)
        self.kept = 0
        self.indices: list[int] = []
        self.times: list[float] = []

    def tick(self, index: int, time_s: float) -> bool:
        self.indices.append(index)
        self.times.append(time_s)
        slot = int(np.floor(time_s * self._rate + 0.45))
        if slot <= self._slot:
            return False
        self._slot = slot
        self.kept += 1
        return True


class _Batch:
    """Pairs of faces whose motion is measured in one go."""

    def __init__(self) -> None:
        self.pairs: list[tuple[AlignedFace, AlignedFace]] = []
        self.motions: Future[list[FloatArray | None]] | None = None


class _Chunk:
    """Collects the analysed frames of one chunk; motion is measured while the next are tracked.

    A flow that takes pairs together says how many in its attribute ``batch``; others get them one
    by one, on all cores.
    """

    def __init__(self, pool: ThreadPoolExecutor, flow: Flow, settings: Settings) -> None:
        self._pool, self._flow, self._motion = pool, flow, settings.motion
        self._rows: list[tuple[int, float, Face | None]] = []
        self._steps: list[tuple[_Batch, int] | None] = []
        self._open = _Batch()
        self._size = int(getattr(flow, "batch", 1))
        self._waiting: deque[Future[list[FloatArray | None]]] = deque()
        self._last: AlignedFace | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, frame: Frame, tracker: FaceTracker) -> None:
        face = tracker(frame.image)
        aligned = align(frame.image, face.landmarks, self._motion.crop) if face else None
        if self._rows:
            step = None
            apart = frame.time_s - self._rows[-1][1]
            if aligned and self._last and apart <= self._motion.max_gap_s:
                step = (self._open, len(self._open.pairs))
                self._open.pairs.append((self._last, aligned))
                if len(self._open.pairs) == self._size:
                    self._measure()
            self._steps.append(step)
        self._last = aligned
        self._rows.append((frame.index, frame.time_s, face))

    def _measure(self) -> None:
        batch, self._open = self._open, _Batch()
        batch.motions = self._pool.submit(roi_motions, batch.pairs, self._flow, self._motion)
        self._waiting.append(batch.motions)
        while len(self._waiting) > 16:  # bounds what the pool holds
            self._waiting.popleft().result()

    def arrays(self) -> Arrays:
        """The chunk as arrays: n frames and the n - 1 motions between them, NaN where missing."""
        n, rois = len(self._rows), len(roi_set(self._motion.rois))
        boxes = np.full((n, 4), np.nan, np.float32)
        landmarks = np.full((n, 68, 2), np.nan, np.float32)
        for k, (_, _, face) in enumerate(self._rows):
            if face:
                boxes[k], landmarks[k] = face.box, face.landmarks
        steps = np.full((max(0, n - 1), rois, 2), np.nan, np.float32)
        if self._open.pairs:
            self._measure()
        for k, place in enumerate(self._steps):
            if place is None:
                continue
            batch, number = place
            assert batch.motions is not None
            step = batch.motions.result()[number]
            if step is not None:
                steps[k] = step
        return {
            "frames": np.array([row[0] for row in self._rows], np.int64),
            "times": np.array([row[1] for row in self._rows], np.float64),
            "boxes": boxes,
            "landmarks": landmarks,
            "steps": steps,
        }


def _reported(
    frames: Iterator[Frame], progress: Progress | None, estimate: int | None
) -> Iterator[Frame]:
    for frame in frames:
        if progress:
            progress(frame.index + 1, estimate)
        yield frame


def _join(parts: list[Arrays], clock: _Clock, video: VideoInfo, settings: Settings) -> Analysis:
    # Every chunk but the last ends with the first frame of the next, which is the one to keep.
    def joined(name: str) -> npt.NDArray[Any]:
        return np.concatenate([p[name][:-1] for p in parts[:-1]] + [parts[-1][name]])

    times = joined("times")
    boxes, landmarks = joined("boxes"), joined("landmarks")
    steps = np.concatenate([p["steps"] for p in parts])
    track = FaceTrack(
        times=times,
        frames=joined("frames"),
        valid=np.isfinite(boxes).all(axis=1),
        boxes=boxes,
        landmarks=landmarks,
    )
    rate = settings.motion.rate
    grid, values, valid = resample(times, steps, np.isfinite(steps).all(axis=(1, 2)), rate)
    seen = np.array(clock.times)
    features = Features(
        values=values,
        times=grid,
        frames=np.array(clock.indices, np.int64)[nearest(seen, grid)],
        valid=valid,
        rois=roi_set(settings.motion.rois).names,
        rate=rate,
        eye_distance=settings.motion.crop / 2,
    )
    return Analysis(video, features, track)


def _pack(analysis: Analysis) -> Arrays:
    features, track = analysis.features, analysis.track
    return {
        "video": np.array(json.dumps(analysis.video.to_dict())),
        "rois": np.array(features.rois),
        "rate": np.array(features.rate),
        "eye_distance": np.array(features.eye_distance),
        **{f"features_{name}": getattr(features, name) for name in _FEATURE_ARRAYS},
        **{f"track_{name}": getattr(track, name) for name in _TRACK_ARRAYS},
    }


def _unpack(arrays: Arrays) -> Analysis:
    return Analysis(
        VideoInfo(**json.loads(str(arrays["video"]))),
        Features(
            **{name: arrays[f"features_{name}"] for name in _FEATURE_ARRAYS},
            rois=tuple(map(str, arrays["rois"])),
            rate=float(arrays["rate"]),
            eye_distance=float(arrays["eye_distance"]),
        ),
        FaceTrack(**{name: arrays[f"track_{name}"] for name in _TRACK_ARRAYS}),
    )
