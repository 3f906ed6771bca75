"""The streaming stage: from a video to `FaceTrack` and `Features`, chunk by chunk.

`reached` yields every analyzed frame with the results so far, for live spotting; `analyze_all`
returns the final results.

Frames are decoded in one thread, faces are followed in the caller's, and motion is measured in a
pool, so no stage waits for another. A chunk is a sequence of analyzed frames whose last frame is
the first of the next chunk. The tracker's state at its end is stored with it and always read back,
even without an interruption, so that cached and computed chunks are identical.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import numpy as np

from aumer.arguments import whole
from aumer.cache import Arrays, FeatureCache, rested
from aumer.config import FaceSettings, Settings, digest
from aumer.errors import UsageError, VideoError
from aumer.face import weights
from aumer.face.track import TrackedFace
from aumer.face.trackers import Trackers
from aumer.graph.rois import roi_set
from aumer.identity import identities
from aumer.log_capture import Pool, collected_warnings, unique
from aumer.motion import Motions, RunMotion
from aumer.motion.frames import FrameGrid, FrameRange, Lead
from aumer.motion.joined import Analysis, join, noted, notes_of, packed, unpacked
from aumer.process import give_back_memory, use_threads
from aumer.progress import Progress
from aumer.types import (
    FloatArray,
    Frame,
)
from aumer.video import Keep, Source, VideoReader, open_video
from aumer.video.seek import Decoded

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Increase when results for the same settings change: invalidates older caches.
FEATURES_VERSION = 10

#: Tolerance of gaps: files round times to milliseconds, and 5 frames per second of a film at 29.97
#: are 200.2 ms apart.
_SAME_GAP_S = 2e-3


#: Chunks from which on joining them after a kill is worth a file that says that all are there:
#: to decode the frames before once more takes seconds.
_LONG_CHUNKS = 50


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
            return tuple(replace(one, video=now.info) for one in unpacked(kept))
    found = _joined_again(cache, opened, settings)
    if not found:
        for place in reached(
            lambda keep, known: opened(keep=keep, known=known),
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
    cache.finish(packed(found))
    for one in found:
        rested(one.track.landmarks)
        rested(one.features.values)
    give_back_memory()
    return found


def _joined_again(
    cache: FeatureCache, opened: Callable[[], VideoReader], settings: Settings
) -> tuple[Analysis, ...]:
    """The analyses of a run that was killed after the last frame; empty if there was none."""
    end = cache.ended()
    if end is None or cache.chunks() != int(end["chunks"]):
        return ()
    use_threads()
    grid = FrameGrid.of(settings.motion.rate, end["indices"], end["times"])
    with closing(opened()) as now:
        found = join(cache.get, int(end["chunks"]), grid, now.info, settings)
    return tuple(replace(one, notes=notes_of(end)) for one in found)


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
    opened: Callable[[Keep, Decoded | None], VideoReader],
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
        opened: opens the video, given a function that says which frames to decode, and what an
            earlier pass over it has decoded.
        keeps_s: discard data older than this many seconds plus up to twice `restart_s`, which
            bounds the memory; nothing is cached then. None keeps everything.
        others: as `analyze_all`.

    Raises: as `analyze_all`.
    """
    use_threads()
    cache = cache or FeatureCache(None, "")
    recent: dict[int, Arrays] = {}  # the last chunks, if older ones are discarded
    first = 0
    frame_grid = FrameGrid(settings.motion.rate)
    lead = Lead(frames or FrameRange(), settings.motion.rate)
    per_chunk = max(2, round(settings.face.restart_s * settings.motion.rate))
    done = cache.chunks()
    skip = done * per_chunk
    motions = Motions(settings.motion)  # raises errors before any measurement
    looked: set[int] = set()  # analyzed frames; the others are for the watch

    def keep(index: int, time_s: float) -> bool:
        asked = frames is not None and lead.asks(index, time_s)
        for number, at in lead.ready(index, time_s):
            if frame_grid.tick(number, at) and frame_grid.kept > skip:
                looked.add(number)
        return index in looked or asked or (watch is not None and watch.wants(index))

    with (
        collected_warnings() as logged,
        closing(Trackers(settings.face)) if trackers is None else nullcontext(trackers) as lender,
        lender.lent() as tracker,  # first, since it may be unable to run
        closing(opened(keep, _decoded(cache, done))) as reader,
        Pool(workers or os.cpu_count() or 1) as pool,
    ):

        def measured() -> tuple[Analysis, ...]:
            parts = [recent.get(k) for k in range(first, done)]
            last = {**chunk.arrays(), "seen": tracker.counts} if len(chunk) else None

            def part(k: int, names: Sequence[str] | None = None) -> Arrays:
                if k == len(parts):
                    assert last is not None
                    return last
                return parts[k] or cache.get(first + k, names)

            found = join(part, len(parts) + (last is not None), frame_grid, reader.info, settings)
            return tuple(replace(one, notes=unique(earlier, logged)) for one in found)

        def keep_chunk() -> Arrays:
            arrays, state = chunk.arrays(), tracker.state() | noted(earlier, logged)
            if keeps_s is None:
                assert frame is not None
                since = int(arrays["frames"][0]) + 1 if done else 0
                arrays |= _marked(reader.decoded(frame, since))
                cache.put(done, arrays, state)
            else:
                recent[done] = {**arrays, "seen": tracker.counts}
            return {**arrays, **state}

        decoded = _reported(iter(reader), progress, reader.info.frames_estimate)
        chunk = _Chunk(pool, motions, settings)
        before = cache.get(done - 1) if done else None
        earlier = notes_of(before or {})
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
                    frame_grid.forget(float(recent[first]["times"][0]) - 1.0)
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
    if done > _LONG_CHUNKS and keeps_s is None:
        indices, times = frame_grid.seen()
        about = {"chunks": np.array(done), "indices": indices, "times": times}
        cache.end({**about, **noted(earlier, logged)})
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


def _marked(known: Decoded | None) -> Arrays:
    """As arrays, which are kept beside those of a chunk."""
    if known is None:
        return {}
    still = {} if known.still is None else {"still": np.array(known.still)}
    return {"marks": known.marks, "picture": np.array(known.picture), **still}


def _decoded(cache: FeatureCache, chunks: int) -> Decoded | None:
    """What the first chunks know of the frames that need not be decoded again."""
    if not chunks:
        return None
    parts = [cache.get(number, ("marks",)) for number in range(chunks)]
    if not all(parts):  # decoding is no work, or an older aumer's file
        return None
    last = cache.get(chunks - 1)
    since, images, told = last.get("still", (0.0, 0.0, 0.0))
    still = (float(since), float(images), float(told)) if "still" in last else None
    marks = np.concatenate([part["marks"] for part in parts])
    return Decoded(marks, str(last["picture"]), still)


def _reported(
    frames: Iterator[Frame], progress: Progress | None, estimate: int | None
) -> Iterator[Frame]:
    for frame in frames:
        if progress:
            progress(frame.index + 1, estimate)
        yield frame
