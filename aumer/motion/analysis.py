"""The streaming stage: from a video to `FaceTrack` and `Features`, chunk by chunk.

`reached` yields every analyzed frame with the results so far, for live spotting; `analyze_all`
returns the final results.

Frames are decoded in one thread, faces are followed in the caller's, and motion is measured in a
pool, so no stage waits for another. A chunk is a sequence of analyzed frames whose last frame is
the first of the next chunk. The tracker's state at its end is stored with it and always read back,
even without an interruption, so that cached and computed chunks are identical.
"""

from __future__ import annotations

import json
import os
import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from aumer.arguments import whole
from aumer.cache import Arrays, FeatureCache, parked, rested, roomy
from aumer.config import FaceSettings, Settings, digest
from aumer.errors import UsageError, VideoError
from aumer.face import weights
from aumer.face.signs import eyelids, head_turn
from aumer.face.track import TrackedFace
from aumer.face.trackers import Trackers
from aumer.graph.rois import roi_set
from aumer.identity import identities
from aumer.log_capture import Pool, collected_warnings, unique
from aumer.motion import Motions, RunMotion, at_rows, nearest, resample
from aumer.process import give_back_memory, use_threads
from aumer.progress import Progress
from aumer.types import (
    BoolArray,
    FaceTrack,
    Features,
    FloatArray,
    Frame,
    IntArray,
    TimeArray,
    VideoInfo,
)
from aumer.video import Keep, Source, VideoReader, open_video

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Increase when results for the same settings change: invalidates older caches.
FEATURES_VERSION = 10

#: Arrays of `Features` and `FaceTrack`: common to all faces, and separate for each.
_SHARED_ARRAYS = ("times", "frames")
_FEATURES = ("values", "valid", "confidence")
_TRACK = ("valid", "boxes", "landmarks")

#: Tolerance in seconds of differences of timestamps.
_SAME_TIME_S = 1e-6
#: Tolerance of gaps: files round times to milliseconds, and 5 frames per second of a film at 29.97
#: are 200.2 ms apart.
_SAME_GAP_S = 2e-3
#: Frames whose eyelids and head pose are computed together.
_SIGNS_AT_ONCE = 10_000
#: Chunks after which their landmarks are moved out of memory.
_CHUNKS_AT_ONCE = 50


@dataclass(frozen=True, eq=False)
class Analysis:
    """The data of one face in a video for spotting and results.

    Attributes:
        numbers: number of faces that were numbered, if several are followed; else at most 1.
        notes: warnings while the video was read.
    """

    video: VideoInfo
    features: Features
    track: FaceTrack
    numbers: int = 1
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the time with measured motion."""
        return float(self.features.valid.mean()) if len(self.features) else 0.0


class Watch(Protocol):
    """Observer of the frames during analysis, so that they need not be decoded again."""

    def wants(self, index: int) -> bool:
        """Whether `see` shall receive this frame, analyzed or not. Called in advance, in another
        thread.
        """
        ...

    def see(self, frame: Frame, landmarks: FloatArray | None) -> None:
        """Receive the next analyzed or wanted frame.

        Args:
            landmarks: (68, 2) px of the followed face; `None` if it is not visible or the frame was
                not analyzed.
        """
        ...


@dataclass(frozen=True)
class FrameRange:
    """The part of a video to analyze, in frames: an expression with a margin.

    Not an `aumer.types.Interval`, since either end may be open. One step of the analysis is added
    at either end.

    Attributes:
        onset, offset: frames, or `None` for the first and the last.
        margin: further frames at either end, if they exist.
    """

    onset: int | None = None
    offset: int | None = None
    margin: int = 0

    def __post_init__(self) -> None:
        for name in ("onset", "offset"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), "a frame, which is a whole number")
            if (getattr(self, name) or 0) < 0:
                raise UsageError(f"frames are counted from 0; found {name} {getattr(self, name)}")

    @property
    def first(self) -> int:
        """The first required frame."""
        return max(0, (self.onset or 0) - self.margin)

    @property
    def last(self) -> int | None:
        """The last requested frame."""
        return None if self.offset is None else self.offset + self.margin

    def check(self, frames: int) -> None:
        """Raise an error for frames outside a video of this length.

        Raises:
            UsageError: names them.
        """
        for name, frame in (("onset", self.onset), ("offset", self.offset)):
            if frame is not None and frame >= frames:
                raise UsageError(
                    f"the clip has frames 0 to {frames - 1}; found {name} {frame}. Frames are "
                    "counted from 0"
                )


class _Options(TypedDict, total=False):
    """Arguments of `analyze_all` except source and settings."""

    fps: float | None
    start: float | None
    end: float | None
    frames: FrameRange | None
    watch: Watch | None
    cache: FeatureCache | None
    progress: Progress | None
    workers: int | None
    trackers: Trackers | None


def analyze(source: Source, settings: Settings, **options: Unpack[_Options]) -> Analysis:
    """Follow one face through `source` and measure the motion of its ROIs.

    Args: as `analyze_all`.

    Raises:
        UsageError: also if `settings.face.follow` is "all"; use `analyze_all`.
        VideoError, WeightsError: as `analyze_all`.
    """
    if settings.face.follow == "all":
        raise UsageError(
            "`face.follow='all'` gives a result for each face, and one is needed here; say which: "
            "'largest', 'left', 'right', or a number"
        )
    (found,) = analyze_all(source, settings, **options)
    return found


def analyze_all(
    source: Source,
    settings: Settings,
    *,
    fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    frames: FrameRange | None = None,
    watch: Watch | None = None,
    cache: FeatureCache | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
    trackers: Trackers | None = None,
) -> tuple[Analysis, ...]:
    """The same for every face that `settings.face.follow` selects, numbered by first appearance.

    For "all" the result may be empty; for any other choice it has one entry, even if the face was
    never visible. All entries have the same rows.

    Args:
        source, fps, start, end: as in `aumer.video.open_video`.
        frames: the range in frames, instead of start and end.
        watch: receives the frames that it wants, except those whose analysis is cached.
        cache: cache of chunks and finished features; `None` for none. Its key must be `cache_key`
            for this content, settings and range.
        progress: called with the number of decoded frames and the container's estimate of the
            total, if any.
        workers: threads that measure motion; they never change the result.
        trackers: trackers for `settings.face`, for reuse with further videos; by default this call
            makes and closes one.

    Raises:
        VideoError: the source cannot be read.
        UsageError: unknown back end or ROI; a back end that cannot run here; fewer than 1 worker;
            or this process was forked from one that had already used threads.
        WeightsError: a back end's weights are missing.
    """
    check_workers(workers)
    cache = cache or FeatureCache(None, "")
    opened = partial(open_video, source, fps=fps, start=start, end=end)
    kept = cache.whole()
    if kept is not None:
        use_threads()
        cache = FeatureCache(None, "")  # so that it does not hold all data
        # The key identifies the content; the file may have been renamed.
        with closing(opened()) as now:
            return tuple(replace(one, video=now.info) for one in _unpack(kept))
    found: tuple[Analysis, ...] = ()
    for place in reached(
        lambda keep: opened(keep=keep),
        settings,
        frames=frames,
        watch=watch,
        cache=cache,
        progress=progress,
        workers=workers,
        trackers=trackers,
    ):
        if place.over:
            found = place.measured()
    cache.finish(_pack(found))
    for one in found:
        rested(one.track.landmarks)
        rested(one.features.values)
    give_back_memory()
    return found


@dataclass(frozen=True, eq=False)
class Reached:
    """The state of a running analysis.

    Attributes:
        frame: last analyzed frame; `None` if all frames were read from a cache.
        face: the followed face in that frame; `None` if it is not visible.
        measured: returns the analyses so far, one for each face, as in `analyze_all`. The last
            second may still change. It waits for the motion up to this frame and must be called
            before the next iteration.
        over: there are no more frames.
    """

    frame: Frame | None
    face: TrackedFace | None
    measured: Callable[[], tuple[Analysis, ...]]
    over: bool = False


def reached(
    opened: Callable[[Keep], VideoReader],
    settings: Settings,
    *,
    frames: FrameRange | None = None,
    watch: Watch | None = None,
    cache: FeatureCache | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
    trackers: Trackers | None = None,
    keeps_s: float | None = None,
) -> Generator[Reached, None, None]:
    """Follow and measure frame by frame; the last item has `over` set.

    Args:
        opened: opens the video, given a function that says which frames to decode.
        keeps_s: discard data older than this many seconds plus up to twice `restart_s`, which
            bounds the memory; nothing is cached then. None keeps everything.
        others: as `analyze_all`.

    Raises: as `analyze_all`.
    """
    use_threads()
    cache = cache or FeatureCache(None, "")
    recent: dict[int, Arrays] = {}  # the last chunks, if older ones are discarded
    first = 0
    clock = _Clock(settings.motion.rate)
    lead = _Lead(frames or FrameRange(), settings.motion.rate)
    per_chunk = max(2, round(settings.face.restart_s * settings.motion.rate))
    done = cache.chunks()
    skip = done * per_chunk
    motions = Motions(settings.motion)  # raises errors before any measurement
    looked: set[int] = set()  # analyzed frames; the others are for the watch

    def keep(index: int, time_s: float) -> bool:
        asked = frames is not None and lead.asks(index, time_s)
        for number, at in lead.ready(index, time_s):
            if clock.tick(number, at) and clock.kept > skip:
                looked.add(number)
        return index in looked or asked or (watch is not None and watch.wants(index))

    with (
        collected_warnings() as logged,
        closing(Trackers(settings.face)) if trackers is None else nullcontext(trackers) as lender,
        lender.lent() as tracker,  # first, since it may be unable to run
        closing(opened(keep)) as reader,
        Pool(workers or os.cpu_count() or 1) as pool,
    ):

        def measured() -> tuple[Analysis, ...]:
            parts = [recent.get(k) for k in range(first, done)]
            last = {**chunk.arrays(), "seen": tracker.counts} if len(chunk) else None

            def part(k: int) -> Arrays:
                if k == len(parts):
                    assert last is not None
                    return last
                return parts[k] or cache.get(first + k)

            joined = _join(part, len(parts) + (last is not None), clock, reader.info, settings)
            return tuple(replace(one, notes=unique(earlier, logged)) for one in joined)

        def keep_chunk() -> Arrays:
            arrays, state = chunk.arrays(), tracker.state() | _noted(earlier, logged)
            if keeps_s is None:
                cache.put(done, arrays, state)
            else:
                recent[done] = {**arrays, "seen": tracker.counts}
            return {**arrays, **state}

        decoded = _reported(iter(reader), progress, reader.info.frames_estimate)
        chunk = _Chunk(pool, motions, settings)
        before = cache.get(done - 1) if done else None
        earlier = _notes(before or {})
        frame = face = None
        for frame in lead.through(decoded):
            if frame.index not in looked:
                if watch is not None and watch.wants(frame.index):
                    watch.see(frame, None)
                continue
            looked.discard(frame.index)
            faces = tracker.look(frame.image, frame.time_s) if before is None else None
            if len(chunk) == per_chunk:
                assert faces is not None
                chunk.add(frame, faces, tracker.mixed_since)
                before = keep_chunk()
                done += 1
                give_back_memory()  # a chunk leaves 20 MB and more that is free
                chunk = _Chunk(pool, motions, settings)
                if keeps_s is not None:
                    while first < done - 1 and (
                        recent[first + 1]["times"][0] <= frame.time_s - keeps_s
                    ):
                        del recent[first]
                        first += 1
                    clock.forget(float(recent[first]["times"][0]) - 1.0)
            if before is not None:  # a chunk begins with the last frame of the one before
                faces, before = tracker.restore(frame.image, before), None
            assert faces is not None
            chunk.add(frame, faces, tracker.mixed_since)
            face = faces.get(_number(settings.face.follow))
            if watch is not None:
                watch.see(frame, None if face is None else face.landmarks)
            yield Reached(frame, face, measured)
        lead.check()
        if len(chunk):
            keep_chunk()
            done += 1
            chunk = _Chunk(pool, motions, settings)
        if not done:
            raise VideoError(f"{reader.info.name} holds no frame between `start` and `end`")
    give_back_memory()
    yield Reached(frame, face, measured, over=True)


def check_workers(workers: int | None) -> None:
    """Check a number of threads.

    Raises:
        UsageError: it is not an integer of at least 1.
    """
    allowed = "a whole number of 1 or more, or None for one a core"
    if workers is None or whole("workers", workers, allowed) >= 1:
        return
    raise UsageError(f"workers must be {allowed}, found {workers!r}")


def cache_key(
    content: str,
    settings: Settings,
    start: float | None,
    end: float | None,
    frames: FrameRange | None = None,
) -> str | None:
    """Cache key of the features of one content for these settings and library versions; `None` if a
    part cannot be identified (`aumer.identity`).
    """
    parts = identities(used(settings))
    if parts is None:
        return None
    return digest(
        {
            "version": FEATURES_VERSION,
            "content": content,
            "face": asdict(settings.face),
            "motion": asdict(settings.motion),
            "range": [start, end] if frames is None else asdict(frames),
            **computed_by(settings.face),
            **({"parts": parts} if parts else {}),
        }
    )


def used(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Kind and name of all exchangeable parts in use for measuring motion."""
    face, motion = settings.face, settings.motion
    return (
        ("detector", face.detector),
        ("landmarker", face.landmarker),
        ("flow", motion.flow),
        ("roi-set", motion.rois),
    )


def _number(follow: str) -> int:
    """The number of the followed face."""
    return int(follow) if follow.isdecimal() else 1


def computed_by(face: FaceSettings) -> dict[str, Any]:
    """For cache keys: versions of libraries and shipped networks that can change the track of a
    face.
    """
    mediapipe = "mediapipe" in (face.detector, face.landmarker)
    libraries = ("opencv-contrib-python", *(["mediapipe"] if mediapipe else []))
    return {
        "libraries": {name: _version(name) for name in libraries},
        "networks": {name: entry.sha256 for name, entry in weights.SHIPPED.items()},
    }


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


class _Clock:
    """Chooses the frames to analyze: at most one per step of the time grid.

    A frame is assigned to the nearest instant of the grid, with a small tolerance, so that jitter
    of timestamps never drops a frame of a video at the grid's rate.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._slot = -(10**9)
        self.kept = 0
        # Arrays for all frames of ten hours need an eighth of the memory of lists. They grow in the
        # decoder's thread.
        self._indices = array("q")
        self._times = array("d")
        self._lock = threading.Lock()

    def seen(self) -> tuple[IntArray, TimeArray]:
        """Ordinals and times of the decoded frames, except forgotten ones."""
        with self._lock:
            return np.array(self._indices, np.int64), np.array(self._times, np.float64)

    def forget(self, before_s: float) -> None:
        """Drop the frames before this time."""
        with self._lock:
            count = bisect_left(self._times, before_s)
            del self._indices[:count], self._times[:count]

    def tick(self, index: int, time_s: float) -> bool:
        with self._lock:
            self._indices.append(index)
            self._times.append(time_s)
        slot = int(np.floor(time_s * self._rate + 0.45))
        if slot <= self._slot:
            return False
        self._slot = slot
        self.kept += 1
        return True


class _Lead:
    """Converts a range of frames to times while the video is decoded.

    The time of a frame is known only when it is decoded, and analysis begins one step before the
    first: so earlier frames are held while they are within one step of the latest.
    """

    def __init__(self, frames: FrameRange, rate: float) -> None:
        self._frames, self._step = frames, 1 / rate
        self._before: list[tuple[int, float]] = []
        self._end = np.inf
        self._seen = 0
        self._over = -1

    def asks(self, index: int, time_s: float) -> bool:
        """Whether a frame must be decoded to be held, or as the end of the range."""
        if index < self._frames.first:
            return True
        if time_s >= self._end - _SAME_TIME_S and self._over < 0:
            self._over = index
            return True
        return False

    def ready(self, index: int, time_s: float) -> list[tuple[int, float]]:
        """Ordinals and times of frames of the range, as soon as known."""
        self._seen = index + 1
        if time_s >= self._end - _SAME_TIME_S:
            return []
        if index < self._frames.first:
            self._before.append((index, time_s))
            while self._before[0][1] < time_s - self._step - _SAME_TIME_S:
                del self._before[0]
            return []
        if index == self._frames.last:
            self._end = time_s + 1.5 * self._step
        start = max(0.0, time_s - self._step)
        held = [(k, t) for k, t in self._before if t >= start - _SAME_TIME_S]
        self._before = []
        return [*held, (index, time_s)]

    def through(self, decoded: Iterator[Frame]) -> Iterator[Frame]:
        """The frames without those that were held unnecessarily; stops at the end of the range."""
        held: list[Frame] = []
        for frame in decoded:
            if frame.index < self._frames.first:
                held.append(frame)
                while held[0].time_s < frame.time_s - self._step - _SAME_TIME_S:
                    del held[0]
                continue
            if frame.index == self._over:
                break
            yield from held
            held = []
            yield frame
        yield from held  # the range ends with them

    def check(self) -> None:
        """Raise an error if requested frames did not exist."""
        self._frames.check(self._seen)


class _Stretch:
    """One face in consecutive frames of a chunk, in one run.

    Attributes:
        first: its first row.
        last: its last row so far.
    """

    def __init__(self, first: int, run: int, motion: RunMotion) -> None:
        self.first = self.last = first
        self.run, self.motion = run, motion


class _Chunk:
    """Collects the analyzed frames of one chunk; motion is measured while the next are tracked."""

    def __init__(self, pool: Executor, motions: Motions, settings: Settings) -> None:
        self._pool, self._motions, self._settings = pool, motions, settings
        self._rows: list[tuple[int, float, dict[int, TrackedFace]]] = []
        self._mixed: list[float] = []
        self._stretches: dict[int, list[_Stretch]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, frame: Frame, faces: dict[int, TrackedFace], mixed_since: float) -> None:
        row = len(self._rows)
        gap = frame.time_s - self._rows[-1][1] if self._rows else 0.0
        for number, face in faces.items():
            mine = self._stretches.setdefault(number, [])
            # A new run begins after a cut or with another person.
            goes_on = (
                mine
                and mine[-1].last == row - 1
                and mine[-1].run == face.run
                and gap <= self._settings.motion.max_gap_s + _SAME_GAP_S
            )
            if not goes_on:
                mine.append(_Stretch(row, face.run, self._motions(self._pool)))
            mine[-1].last = row
            mine[-1].motion.add(frame.image, face.landmarks)
        self._rows.append((frame.index, frame.time_s, faces))
        self._mixed.append(mixed_since)

    def arrays(self) -> Arrays:
        """The chunk as arrays: for each face n frames and the n - 1 motions between them, NaN if
        missing. A single followed face is always included, visible or not.
        """
        follow = self._settings.face.follow
        n, rois = len(self._rows), len(roi_set(self._settings.motion.rois))
        numbers = sorted({number for _, _, faces in self._rows for number in faces})
        if follow != "all":
            numbers = [_number(follow)]
        boxes = np.full((len(numbers), n, 4), np.nan, np.float32)
        landmarks = np.full((len(numbers), n, 68, 2), np.nan, np.float32)
        steps = np.full((len(numbers), max(0, n - 1), rois, 2), np.nan, np.float32)
        confidence = np.zeros(steps.shape[:3], np.float32)
        for i, number in enumerate(numbers):
            for k, (_, _, faces) in enumerate(self._rows):
                if number in faces:
                    boxes[i, k], landmarks[i, k] = faces[number].box, faces[number].landmarks
            for stretch in self._stretches.get(number, ()):
                rows = slice(stretch.first, stretch.last)
                steps[i, rows], confidence[i, rows] = stretch.motion.steps()
        return {
            "frames": np.array([row[0] for row in self._rows], np.int64),
            "times": np.array([row[1] for row in self._rows], np.float64),
            "mixed": np.array(self._mixed, np.float64),
            "numbers": np.array(numbers, np.int64),
            "boxes": boxes,
            "landmarks": landmarks,
            "steps": steps,
            "confidence": confidence,
        }


def _reported(
    frames: Iterator[Frame], progress: Progress | None, estimate: int | None
) -> Iterator[Frame]:
    for frame in frames:
        if progress:
            progress(frame.index + 1, estimate)
        yield frame


def _join(
    chunk: Callable[[int], Arrays], count: int, clock: _Clock, video: VideoInfo, settings: Settings
) -> tuple[Analysis, ...]:
    """Concatenates all chunks; `chunk` loads each in turn, so that only one is in memory."""
    # Every chunk except the last ends with the first frame of the next, which is kept.
    few: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in ("frames", "times", "mixed")}
    numbers_seen: set[int] = set()
    for k in range(count):
        part = chunk(k)
        numbers_seen.update(map(int, part["numbers"]))
        for name, rows_of in few.items():
            rows_of.append(part[name] if k == count - 1 else part[name][:-1])
    frames, times, since = (np.concatenate(rows_of) for rows_of in few.values())
    rate, rows = settings.motion.rate, len(times)
    numbered = sorted(numbers_seen)
    rois = len(roi_set(settings.motion.rois))
    # Rows of chunks without this face.
    boxes = {n: np.full((rows, 4), np.nan, np.float32) for n in numbered}
    landmarks = {n: roomy((rows, 68, 2), np.float32) for n in numbered}
    steps = {n: np.full((max(0, rows - 1), rois, 2), np.nan, np.float32) for n in numbered}
    measured = {n: np.zeros((max(0, rows - 1), rois), np.float32) for n in numbered}
    at = 0
    for k in range(count):
        part = chunk(k)
        mine = len(part["times"]) - (k < count - 1)
        for points in landmarks.values():
            points[at : at + mine] = np.nan
        for i, number in enumerate(map(int, part["numbers"])):
            boxes[number][at : at + mine] = part["boxes"][i, :mine]
            landmarks[number][at : at + mine] = part["landmarks"][i, :mine]
            between = part["steps"].shape[1]
            steps[number][at : at + between] = part["steps"][i]
            measured[number][at : at + between] = part["confidence"][i]
        at += mine
        if not k % _CHUNKS_AT_ONCE:
            for points in landmarks.values():
                rested(points)
    turns, most, numbers = map(int, part["seen"])
    indices, seen = clock.seen()
    mixed = _mixed(times, since)
    found = []
    for number in numbered:
        track = FaceTrack(
            times=times,
            frames=frames,
            valid=np.asarray(np.isfinite(boxes[number]).all(axis=1)),
            boxes=boxes[number],
            landmarks=parked(landmarks.pop(number)),
            number=number,
            faces=most,
            turned=90 * turns,
        )
        moved = steps.pop(number)
        joined_up = np.asarray(np.isfinite(moved).all(axis=(1, 2)) & ~mixed)
        grid, values, valid = resample(times, moved, joined_up, rate)
        del moved
        confidence = at_rows(times, measured.pop(number), grid, rate)
        confidence[~valid] = 0
        features = Features(
            values=parked(values),
            times=grid,
            frames=indices[nearest(seen, grid)],
            valid=valid,
            rois=roi_set(settings.motion.rois).names,
            rate=rate,
            eye_distance=settings.motion.crop / 2,
            confidence=confidence,
        )
        found.append(Analysis(video, _with_signs(features, track), track, numbers))
    return tuple(found)


def _mixed(times: TimeArray, since: TimeArray) -> BoolArray:
    """(N - 1,) mask of the steps in a dissolve, from the begin time of the dissolve at each
    frame.
    """
    steps = np.zeros(max(0, len(times) - 1), np.bool_)
    for last in np.flatnonzero(np.isfinite(since)):
        first = np.searchsorted(times, since[last] + _SAME_TIME_S, side="right") - 1
        steps[max(0, first) : last] = True
    return steps


def _with_signs(features: Features, track: FaceTrack) -> Features:
    """Features with eyelids and head pose at each row, from the nearest landmarks."""
    valid = features.valid
    # Piecewise: the landmarks of ten hours alone have hundreds of megabytes.
    seen = np.empty(len(track), np.bool_)
    open_eyes, turned = [np.empty((0, 2))], [np.empty((0, 3))]
    for begin in range(0, len(track), _SIGNS_AT_ONCE):
        part = track.landmarks[begin : begin + _SIGNS_AT_ONCE]
        known = np.isfinite(part).all(axis=(1, 2))
        seen[begin : begin + len(part)] = known
        if known.any():
            open_eyes.append(eyelids(part[known]))
            turned.append(head_turn(part[known]))
        rested(track.landmarks)

    def at_its_rows(values: npt.NDArray[np.float64]) -> FloatArray:
        rows = np.full((len(valid), values.shape[1]), np.nan, np.float32)
        for k, column in enumerate(values.T):
            rows[valid, k] = np.interp(features.times[valid], track.times[seen], column)
        return rows

    if not (seen.any() and valid.any()):
        return features
    return replace(
        features,
        eyelids=at_its_rows(np.concatenate(open_eyes)),
        head=at_its_rows(np.concatenate(turned)),
    )


def _pack(found: tuple[Analysis, ...]) -> Arrays:
    """Arrays for a file: common arrays once, the others with a leading axis of faces."""
    if not found:
        return {"numbers": np.empty(0, np.int64)}
    features, track = found[0].features, found[0].track
    return {
        "video": np.array(json.dumps(found[0].video.to_dict())),
        **_noted(found[0].notes),
        "rois": np.array(features.rois),
        "rate": np.array(features.rate),
        "eye_distance": np.array(features.eye_distance),
        "numbers": np.array([f.track.number for f in found], np.int64),
        "seen": np.array([track.faces, track.turned, found[0].numbers], np.int64),
        **{f"features_{n}": getattr(features, n) for n in _SHARED_ARRAYS},
        **{f"track_{n}": getattr(track, n) for n in _SHARED_ARRAYS},
        **{f"features_{n}": _stacked([getattr(f.features, n) for f in found]) for n in _FEATURES},
        **{f"track_{n}": _stacked([getattr(f.track, n) for f in found]) for n in _TRACK},
    }


def _stacked(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Stacked along a new first axis; a single array is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def _unpack(arrays: Arrays) -> tuple[Analysis, ...]:
    found = []
    for k, number in enumerate(arrays["numbers"]):
        faces, turned, numbers = map(int, arrays["seen"])
        rows: dict[str, Any] = {n: arrays[f"features_{n}"] for n in _SHARED_ARRAYS}
        rows |= {n: arrays[f"features_{n}"][k] for n in _FEATURES}
        rows["values"] = parked(rows["values"])
        features = Features(
            **rows,
            rois=tuple(map(str, arrays["rois"])),
            rate=float(arrays["rate"]),
            eye_distance=float(arrays["eye_distance"]),
        )
        track = FaceTrack(
            **{n: arrays[f"track_{n}"] for n in _SHARED_ARRAYS},
            **{n: arrays[f"track_{n}"][k] for n in _TRACK if n != "landmarks"},
            landmarks=parked(arrays["track_landmarks"][k]),
            number=int(number),
            faces=faces,
            turned=turned,
        )
        video = VideoInfo(**json.loads(str(arrays["video"])))
        signed = _with_signs(features, track)
        rested(track.landmarks)
        found.append(Analysis(video, signed, track, numbers, _notes(arrays)))
    return tuple(found)


def _noted(*notes: Iterable[str]) -> Arrays:
    """The warnings so far, for a file."""
    return {"notes": np.array(json.dumps(unique(*notes)))}


def _notes(arrays: Arrays) -> tuple[str, ...]:
    # Older files have no notes.
    return tuple(json.loads(str(arrays["notes"]))) if "notes" in arrays else ()
