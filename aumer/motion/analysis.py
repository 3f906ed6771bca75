"""The streaming stage: a video in, `FaceTrack` and `Features` out, one chunk after another.

`reached` tells of every analyzed frame, and what was measured so far, to whoever spots while a
source runs; `analyze_all` asks once, at the end.

Frames are decoded in one thread, faces are followed in the caller's, and motion is measured in a
pool, so no stage waits for another. A chunk is a stretch of analyzed frames that ends on the frame
the next one begins with. What the next one must know of it (who is where) is kept with it and read
back, whether the run was interrupted there or not: so a cached chunk is as good as a computed one,
bit for bit.
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
from aumer.cache import Arrays, FeatureCache, parked, rested
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

#: Raise when the numbers that the same settings give change: no older cache is read then.
FEATURES_VERSION = 8

#: Arrays of `Features` and `FaceTrack`: the same for every face, and a face's own.
_SHARED_ARRAYS = ("times", "frames")
_FEATURES = ("values", "valid", "confidence")
_TRACK = ("valid", "boxes", "landmarks")

#: Seconds by which a difference of two timestamps may be off by rounding; the reader's, too.
_SAME_TIME_S = 1e-6
#: And a gap by this: files round times to milliseconds, and 5 frames a second of a film at 29.97
#: lie 200.2 ms apart.
_SAME_GAP_S = 2e-3
#: Chunks after which memory that was freed is given back: of ten seconds it is 20 MB and more.
_GIVE_BACK = 1
#: Frames of which eyelids and head are read off the landmarks together.
_SIGNS_AT_ONCE = 10_000


@dataclass(frozen=True, eq=False)
class Analysis:
    """What the spotting stage and the results need of one face in a video.

    Attributes:
        numbers: how many faces were given a number, from first appearance, where several are
            followed; else at most 1.
        notes: what was warned of while the video was read.
    """

    video: VideoInfo
    features: Features
    track: FaceTrack
    numbers: int = 1
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the time in which motion was measured: of a face that is there, and goes on."""
        return float(self.features.valid.mean()) if len(self.features) else 0.0


class Watch(Protocol):
    """Sees frames go by while they are analyzed, so that nobody must decode them again."""

    def wants(self, index: int) -> bool:
        """Whether to be shown that frame, analyzed or not. Called ahead, in another thread."""
        ...

    def see(self, frame: Frame, landmarks: FloatArray | None) -> None:
        """Take the next frame that is analyzed or wanted.

        Args:
            landmarks: (68, 2) px of the face that is followed; `None` where it is not seen, or no
                face was looked for.
        """
        ...


@dataclass(frozen=True)
class FrameRange:
    """Which part of a video to analyze, in frames: an expression, and what lies round it.

    No `aumer.types.Interval`: either end may be left open, as nobody knows yet where a video ends.
    A step of the analysis is added at either end.

    Attributes:
        onset, offset: frames, or `None` for the first and the last.
        margin: further frames at either end, as far as there are.
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
        """The first frame that must be there."""
        return max(0, (self.onset or 0) - self.margin)

    @property
    def last(self) -> int | None:
        """The last frame that is wanted."""
        return None if self.offset is None else self.offset + self.margin

    def check(self, frames: int) -> None:
        """Complain of frames that a video of so many has not.

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
    """`analyze_all`'s arguments but for source and settings."""

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
        UsageError: also if `settings.face.follow` is "all", which `analyze_all` is for.
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
    """The same for every face that `settings.face.follow` names, by number of first appearance.

    Of "all" there may be none; of any other choice there is one, if only to say that the face was
    never seen. All have the same rows.

    Args:
        source, fps, start, end: as in `aumer.video.open_video`.
        frames: the range in frames, in place of start and end.
        watch: is shown the frames that it wants, where they are decoded at all: not those whose
            analysis is kept.
        cache: where chunks and finished features are kept and found; `None` keeps nothing. Its
            key must be `cache_key` of this very content, settings and range.
        progress: called with the number of frames decoded and the container's estimate, if any.
        workers: threads that measure motion; never changes a number.
        trackers: of `settings.face`, to be used again for the next video; by default this call
            makes one and closes it.

    Raises:
        VideoError: the source cannot be read.
        UsageError: a back end's or a ROI's name is unknown, or a back end cannot run here; fewer
            than 1 worker; or this process was forked from one that was at work already.
        WeightsError: a back end's weights are missing.
    """
    check_workers(workers)
    cache = cache or FeatureCache(None, "")
    opened = partial(open_video, source, fps=fps, start=start, end=end)
    kept = cache.whole()
    if kept is not None:
        use_threads()
        cache = FeatureCache(None, "")  # which would go on holding all of it
        # The key names the content; the file may have got another name since.
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
    return found


@dataclass(frozen=True, eq=False)
class Reached:
    """How far an analysis has come.

    Attributes:
        frame: that was analyzed last; `None` of a run whose frames were all read from a cache.
        face: the one that is followed, in that frame; `None` where it is not seen.
        measured: the analyses so far, one for each face, and as `analyze_all` gives them at the
            end. What lies within a second of the end may change yet. It waits for the motion up to
            this frame; to be called before the next frame is asked for.
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
    """Follow and measure, frame by frame; what comes last says that it is `over`.

    Args:
        opened: opens the video, given which frames are to be decoded.
        keeps_s: forget what lies further back than this many seconds, and up to twice `restart_s`
            more: so memory is bounded. None keeps all. Nothing is kept in a cache then.
        others: as `analyze_all`.

    Raises: as `analyze_all`.
    """
    use_threads()
    cache = cache or FeatureCache(None, "")
    recent: dict[int, Arrays] = {}  # the last chunks, where the others are forgotten
    first = 0
    clock = _Clock(settings.motion.rate)
    lead = _Lead(frames or FrameRange(), settings.motion.rate)
    per_chunk = max(2, round(settings.face.restart_s * settings.motion.rate))
    done = cache.chunks()
    skip = done * per_chunk
    motions = Motions(settings.motion)  # or complain now, not once motion is measured
    looked: set[int] = set()  # frames that are analyzed; the others are kept for the watch

    def keep(index: int, time_s: float) -> bool:
        asked = frames is not None and lead.asks(index, time_s)
        for number, at in lead.ready(index, time_s):
            if clock.tick(number, at) and clock.kept > skip:
                looked.add(number)
        return index in looked or asked or (watch is not None and watch.wants(index))

    with (
        collected_warnings() as logged,
        closing(Trackers(settings.face)) if trackers is None else nullcontext(trackers) as lender,
        lender.lent() as tracker,  # before the video is opened, since it may be unable to run
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
                if done % _GIVE_BACK == 0:
                    give_back_memory()
                chunk = _Chunk(pool, motions, settings)
                if keeps_s is not None:
                    while first < done - 1 and (
                        recent[first + 1]["times"][0] <= frame.time_s - keeps_s
                    ):
                        del recent[first]
                        first += 1
                    clock.forget(float(recent[first]["times"][0]) - 1.0)
            if before is not None:  # the chunk's first frame is the last one of the chunk before
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
    """Complain of a number of threads that there cannot be.

    Raises:
        UsageError: it is not a whole number of 1 or more.
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
    """Names the features of one content under one set of settings and library versions; `None`
    where a part that measures them cannot be named (`aumer.identity`)."""
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
    """Kind and name of the exchangeable parts that measure motion."""
    face, motion = settings.face, settings.motion
    return (
        ("detector", face.detector),
        ("landmarker", face.landmarker),
        ("flow", motion.flow),
        ("roi-set", motion.rois),
    )


def _number(follow: str) -> int:
    """The number of the one face that is followed."""
    return int(follow) if follow.isdecimal() else 1


def computed_by(face: FaceSettings) -> dict[str, Any]:
    """For cache keys: what besides the settings can change a face's numbers, versions of libraries
    and the networks that ship."""
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
    """Sees every decoded frame; says which to analyze: at most one per step of the grid.

    A frame is taken for the nearest instant of the grid, a little early on ties, so that the jitter
    of timestamps never drops a frame of a video as fast as the grid.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._slot = -(10**9)
        self.kept = 0
        # Of every frame of ten hours: an eighth of what lists of numbers take. They are appended to
        # in the decoder's thread.
        self._indices = array("q")
        self._times = array("d")
        self._lock = threading.Lock()

    def seen(self) -> tuple[IntArray, TimeArray]:
        """Ordinals and times of the frames that were decoded, but for those forgotten."""
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
    """Turns a range of frames into one of times while the video is decoded.

    Where a frame lies in time is known once it is there, and analysis begins a step before the
    first: so frames before it are held as long as they are within a step of the latest.
    """

    def __init__(self, frames: FrameRange, rate: float) -> None:
        self._frames, self._step = frames, 1 / rate
        self._before: list[tuple[int, float]] = []
        self._end = np.inf
        self._seen = 0
        self._over = -1

    def asks(self, index: int, time_s: float) -> bool:
        """Whether a frame must be decoded that may not be analyzed: to be held, or as the end."""
        if index < self._frames.first:
            return True
        if time_s >= self._end - _SAME_TIME_S and self._over < 0:
            self._over = index
            return True
        return False

    def ready(self, index: int, time_s: float) -> list[tuple[int, float]]:
        """Ordinals and times of the frames of the range, as soon as it is known that they are."""
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
        """The frames but for those held in vain; the end's sign ends them."""
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
        yield from held  # where no frame after them was asked for

    def check(self) -> None:
        """Complain of frames that were not there."""
        self._frames.check(self._seen)


class _Stretch:
    """One face through frames of the chunk that follow one another in one run.

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
            # Between two runs lies a cut, or somebody else.
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
        """The chunk as arrays: of each face n frames and the n - 1 motions between them, NaN where
        missing. Where one face is followed it is there, seen or not."""
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
    """All chunks as one; `chunk` gives that of a number below `count`, and none stays in memory."""
    # Every chunk but the last ends with the first frame of the next, which is the one to keep.
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
    # Rows of chunks that do not know a face.
    boxes = {n: np.full((rows, 4), np.nan, np.float32) for n in numbered}
    landmarks = {n: np.full((rows, 68, 2), np.nan, np.float32) for n in numbered}
    steps = {n: np.full((max(0, rows - 1), rois, 2), np.nan, np.float32) for n in numbered}
    measured = {n: np.zeros((max(0, rows - 1), rois), np.float32) for n in numbered}
    at = 0
    for k in range(count):
        part = chunk(k)
        mine = len(part["times"]) - (k < count - 1)
        for i, number in enumerate(map(int, part["numbers"])):
            boxes[number][at : at + mine] = part["boxes"][i, :mine]
            landmarks[number][at : at + mine] = part["landmarks"][i, :mine]
            between = part["steps"].shape[1]
            steps[number][at : at + between] = part["steps"][i]
            measured[number][at : at + between] = part["confidence"][i]
        at += mine
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
            values=values,
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
    """(N - 1,) the steps from frame to frame that lie in a dissolve, given since when each does."""
    steps = np.zeros(max(0, len(times) - 1), np.bool_)
    for last in np.flatnonzero(np.isfinite(since)):
        first = np.searchsorted(times, since[last] + _SAME_TIME_S, side="right") - 1
        steps[max(0, first) : last] = True
    return steps


def _with_signs(features: Features, track: FaceTrack) -> Features:
    """With eyelids and head at its rows, read off the landmarks around each."""
    valid = features.valid
    seen = np.asarray(np.isfinite(track.landmarks).all(axis=(1, 2)))

    def at_its_rows(values: npt.NDArray[np.float64]) -> FloatArray:
        rows = np.full((len(valid), values.shape[1]), np.nan, np.float32)
        for k, column in enumerate(values.T):
            rows[valid, k] = np.interp(features.times[valid], track.times[seen], column)
        return rows

    if not (seen.any() and valid.any()):
        return features
    # A piece at a time: of ten hours the landmarks alone are hundreds of megabytes.
    pieces = np.array_split(np.flatnonzero(seen), max(1, int(seen.sum()) // _SIGNS_AT_ONCE))
    return replace(
        features,
        eyelids=at_its_rows(np.concatenate([eyelids(track.landmarks[p]) for p in pieces])),
        head=at_its_rows(np.concatenate([head_turn(track.landmarks[p]) for p in pieces])),
    )


def _pack(found: tuple[Analysis, ...]) -> Arrays:
    """Arrays for a file: what all faces share once, the rest with a leading axis of faces."""
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
    """With a leading axis; a single one is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def _unpack(arrays: Arrays) -> tuple[Analysis, ...]:
    found = []
    for k, number in enumerate(arrays["numbers"]):
        faces, turned, numbers = map(int, arrays["seen"])
        rows: dict[str, Any] = {n: arrays[f"features_{n}"] for n in _SHARED_ARRAYS}
        rows |= {n: arrays[f"features_{n}"][k] for n in _FEATURES}
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
    """What was warned of so far, for a file."""
    return {"notes": np.array(json.dumps(unique(*notes)))}


def _notes(arrays: Arrays) -> tuple[str, ...]:
    # Files of before there were notes lack them.
    return tuple(json.loads(str(arrays["notes"]))) if "notes" in arrays else ()
