"""Labelled clips of data sets' frames: what each shows, and the inputs that a recogniser reads.

The face is followed from before the onset to after the offset, once; its landmarks serve the apex,
where the table gives none, the flow map, and the sequences. Each of the three is kept in the cache
under its content and settings. A clip whose face cannot be seen keeps its place in the list, with
the reason (`Unseen`): it is scored all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aumer import registry, strict
from aumer.bench.listing import Example, Listing, Unseen
from aumer.bench.split import Whose
from aumer.bench.task import Truth
from aumer.cache import Arrays, FeatureCache
from aumer.config import FaceSettings, Settings, digest
from aumer.errors import ConfigError, NoFaceError, UsageError, VideoError
from aumer.files import StrPath
from aumer.recognition.apex import METHODS
from aumer.recognition.seam import Clips, Reads
from aumer.recognition.sequences.clips import SequenceClips
from aumer.types import FaceTrack, Features

if TYPE_CHECKING:
    from aumer.bench.workers import Workers
    from aumer.face.track import FaceTracker
    from aumer.recognition.sequences.inputs import SequenceSettings

#: Called with the clips that are done and all there are.
Progress = Callable[[int, int], object]

#: What is kept of a track.
_TRACK = ("frames", "times", "boxes", "landmarks")

#: Raise when the numbers that the same settings give change: no older cache is read then.
_VERSION = 2


@dataclass(frozen=True)
class Reading:
    """How inputs are made of frames.

    Attributes:
        settings: of the face and its motion; ``motion`` is that of flow maps and of the apex.
        sequences: of a recogniser that reads sequences; `None` for flow maps.
        to: the last frame that sequences hold.
        apex: how an apex is found that the table does not give: `aumer.recognition.apex.METHODS`.

    Raises:
        ConfigError: there is no such way to find an apex.
    """

    settings: Settings
    sequences: SequenceSettings | None = None
    to: Literal["apex", "offset"] = "offset"
    apex: str = "flow-peak"

    def __post_init__(self) -> None:
        strict.require(self.apex in METHODS, "apex", self.apex, f"one of {', '.join(METHODS)}")

    def to_dict(self) -> dict[str, Any]:
        """All that the numbers depend on."""
        values: dict[str, Any] = {"face": asdict(self.settings.face), "apex": self.apex}
        # A flow map asks for its own rate: every frame.
        values["motion"] = {k: v for k, v in asdict(self.settings.motion).items() if k != "rate"}
        if self.sequences is not None:
            values["sequences"] = asdict(self.sequences)
            values["to"] = self.to
        return values


def sequence_settings(
    default: SequenceSettings | None, changes: Mapping[str, Any], settings: Settings
) -> SequenceSettings:
    """A system's own settings, changed; the face is found as `settings` says.

    Raises:
        ConfigError: an unknown key, or a value that is not allowed.
    """
    from aumer.recognition.sequences.inputs import read_settings

    if wrong := [key for key in ("detector", "landmarker") if key in changes]:
        raise ConfigError(f"inputs.{wrong[0]}: the face is followed as face.{wrong[0]} says")
    return read_settings(
        {**changes, "detector": settings.face.detector, "landmarker": settings.face.landmarker},
        default,
    )


# -- from frames to inputs -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    number: int
    example: Example
    reading: Reading
    cache: str


@dataclass(frozen=True)
class _Made:
    """What became of a clip: where its inputs are kept, or why there are none."""

    number: int
    key: str
    reason: str
    apex: int
    coverage: float


def _extract(job: _Job) -> _Made:
    from aumer.video import content_digest

    example, reading = job.example, job.reading
    try:
        content = content_digest(example.path, fps=example.fps)
        key = "clip-" + _digest(
            reading.settings.face,
            content=content,
            reading=reading.to_dict(),
            frames=[example.onset, example.apex, example.offset],
        )
        store = FeatureCache(job.cache, key)
        kept = store.whole()
        if kept is None:
            kept = _inputs(example, reading, str(content), job.cache)
            store.finish(kept)
    except (NoFaceError, VideoError, UsageError) as error:
        return _Made(job.number, "", str(error), -1, 0.0)
    return _Made(job.number, key, "", int(kept["peak"]), float(kept["coverage"]))


def _inputs(example: Example, reading: Reading, content: str, cache: str) -> Arrays:
    """The arrays of a clip.

    Raises:
        NoFaceError: its face cannot be seen.
        VideoError, UsageError: its frames cannot be read, or are not there.
    """
    from aumer.recognition.clips import ClipMaker, Moment
    from aumer.recognition.sequences.inputs import pack

    motion, sequences = reading.settings.motion, reading.sequences
    kind: Reads = "flow-map" if sequences is None else "sequence"
    maker = ClipMaker(kind, motion, sequences=sequences, to=reading.to)
    track = _track(example, reading, maker.margin, content, cache)
    inside = (track.frames >= example.onset) & (track.frames <= example.offset)
    if not inside.any() or track.frames[inside][-1] < example.offset:
        last = int(track.frames[-1]) if len(track) else -1
        raise UsageError(f"its frames end at {last}, and its offset is {example.offset}")
    if not track.valid[inside].any():
        raise NoFaceError("no face in any of its frames")
    facts = {"coverage": np.array(track.valid[inside].mean())}
    peak = example.apex if example.apex is not None else _apex(example, reading, track)
    facts["peak"] = np.array(peak)
    moment = Moment(example.onset, peak, example.offset)
    (made,) = maker(example.path, [moment], track, fps=example.fps)
    if made.clip is None:
        raise NoFaceError(made.why)
    if isinstance(made.clip, np.ndarray):
        return {**facts, "map": made.clip}
    return {**facts, **pack(made.clip)}


def _track(example: Example, reading: Reading, margin: int, content: str, cache: str) -> FaceTrack:
    """The face on every frame from `margin` before the onset to as much after the offset."""
    from aumer.recognition.frames import follow

    face = reading.settings.face
    first, last = max(0, example.onset - margin), example.offset + margin
    about = {"content": content, "face": asdict(face), "frames": [first, last]}
    store = FeatureCache(cache, f"track-{_digest(face, **about)}")
    kept = store.whole()
    if kept is None:
        track = follow(example.path, _tracker(face), first, last, fps=example.fps)
        store.finish({name: getattr(track, name) for name in _TRACK})
        return track
    valid = np.asarray(np.isfinite(kept["boxes"]).all(axis=1), np.bool_)
    return FaceTrack(kept["times"], kept["frames"], valid, kept["boxes"], kept["landmarks"])


@lru_cache(maxsize=1)
def _tracker(face: FaceSettings) -> FaceTracker:
    """One for all clips of a process: a clip is short, and the networks take long to load."""
    from aumer.face.track import FaceTracker

    return FaceTracker.from_settings(face)


def _apex(example: Example, reading: Reading, track: FaceTrack) -> int:
    from aumer.recognition.apex import flow_peak, midpoint
    from aumer.recognition.clips import apex_by_roi_difference

    onset, offset = example.onset, example.offset
    if offset <= onset + 1 or reading.apex == "midpoint":
        return max(midpoint(onset, offset), min(onset + 1, offset))
    motion = reading.settings.motion
    if reading.apex == "roi-difference":
        peak = apex_by_roi_difference(example.path, onset, offset, track, motion, fps=example.fps)
        return max(onset + 1, peak)
    return flow_peak(_motion(example, reading, track), onset, offset)


def _motion(example: Example, reading: Reading, track: FaceTrack) -> Features:
    """Motion of the ROIs from frame to frame, from onset to offset."""
    from aumer.motion import roi_motions
    from aumer.recognition.frames import aligned_faces
    from aumer.recognition.sequences.inputs import steps_as_features

    motion = reading.settings.motion
    flow = registry.resolve("flow", motion.flow)
    frames = range(example.onset, example.offset + 1)
    faces = aligned_faces(example.path, frames, track, motion, fps=example.fps)
    known = [a in faces and b in faces for a, b in pairwise(frames)]
    pairs = [
        (faces[a], faces[b]) for (a, b), seen in zip(pairwise(frames), known, strict=True) if seen
    ]
    found = iter(roi_motions(pairs, flow, motion))
    steps = [next(found) if seen else None for seen in known]
    return steps_as_features(steps, example.onset, example.fps, motion)


def _digest(followed: FaceSettings, **about: Any) -> str:
    """Names what is made of a face that is followed as the settings say."""
    from aumer.analysis import computed_by

    return digest({"version": _VERSION, **computed_by(followed), **about})


# -- all clips of a run ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class StoredClips:
    """Clips whose inputs lie in a cache. A process reads them once, whatever folds it runs.

    They are all in its memory then: 246 clips of 94 frames at 128 px with flow, CASME II as
    ``cnn-lstm`` reads it, are 3.4 GB; without flow, 0.4 GB.
    """

    cache: str
    keys: tuple[str, ...]
    labels: tuple[int, ...]
    subjects: tuple[str, ...]
    classes: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def load(self) -> Clips | SequenceClips:
        """The clips with their inputs.

        Raises:
            UsageError: the cache was emptied meanwhile.
        """
        return _loaded(self.cache, self.keys, self.labels, self.subjects, self.classes, self.names)


@lru_cache(maxsize=1)
def _loaded(
    cache: str,
    keys: tuple[str, ...],
    labels: tuple[int, ...],
    subjects: tuple[str, ...],
    classes: tuple[str, ...],
    names: tuple[str, ...],
) -> Clips | SequenceClips:
    from aumer.recognition.sequences.inputs import unpack

    arrays = []
    for key in keys:
        found = FeatureCache(cache, key).whole()
        if found is None:
            raise UsageError(
                f"{Path(cache) / key}.npz was removed while it was needed; run again, and give "
                "runs that clean the cache another folder"
            )
        arrays.append(found)
    goals = np.array(labels, np.int64)
    if arrays and "map" in arrays[0]:
        maps = np.stack([a["map"] for a in arrays])
        return Clips(maps, goals, subjects, classes, names)
    return SequenceClips(tuple(map(unpack, arrays)), goals, subjects, classes, names)


def forget() -> None:
    """Let go of the clips that `StoredClips.load` holds in this process."""
    _loaded.cache_clear()


#: Flow maps or sequences, at hand or in a cache.
AnyClips = Clips | SequenceClips | StoredClips


@dataclass(frozen=True, eq=False)
class ClipSet(Truth):
    """What a run recognizes.

    Attributes:
        clips: those that can be seen.
        sources: the data set of each of `clips`; empty where it is not known.
        unseen: the others.
        digest: of all that recognizers see of them.
        notes: what a reader of the scores should know.

    Raises:
        UsageError: clips without names.
    """

    clips: AnyClips
    sources: tuple[str, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    digest: str = ""
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.clips.names:
            raise UsageError("clips need names, so that each is scored once")

    @property
    def whose(self) -> list[Whose]:
        sources = self.sources or ("",) * len(self.clips.subjects)
        seen = zip(sources, self.clips.subjects, strict=True)
        return [*seen, *((u.dataset, u.subject) for u in self.unseen)]

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """Name, class and subject of each clip, those that cannot be seen last."""
        clips = self.clips
        seen = zip(clips.names, clips.labels, clips.subjects, strict=True)
        unseen = ((u.name, u.label, u.subject) for u in self.unseen)
        return [(name, clips.classes[label], s) for name, label, s in (*seen, *unseen)]

    def to_dict(self) -> dict[str, Any]:
        clips = self.clips
        sources = self.sources or ("",) * len(clips.subjects)
        rows = zip(clips.subjects, clips.names, map(int, clips.labels), sources, strict=True)
        return {
            "classes": list(clips.classes),
            "digest": self.digest,
            "clips": [{"subject": s, "name": n, "label": k, "dataset": d} for s, n, k, d in rows],
            "unseen": [asdict(u) for u in self.unseen],
            "notes": list(self.notes),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ClipSet:
        """What `to_dict` gave, without inputs.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        rows = document["clips"]
        clips = StoredClips(
            "",
            (),
            tuple(int(r["label"]) for r in rows),
            tuple(r["subject"] for r in rows),
            tuple(document["classes"]),
            tuple(r["name"] for r in rows),
        )
        sources = tuple(r["dataset"] for r in rows)
        unseen = tuple(Unseen(**u) for u in document["unseen"])
        return cls(clips, sources, unseen, document["digest"], tuple(document["notes"]))


def clip_set(
    listing: Listing,
    reading: Reading,
    *,
    cache: StrPath,
    workers: Workers,
    progress: Progress | None = None,
) -> ClipSet:
    """Make the inputs of every example, or find them in the cache.

    Raises:
        UsageError: unknown parts (flow, detector, landmarker), or no clip can be seen at all.
    """
    _check_parts(reading)
    jobs = [_Job(k, e, reading, str(cache)) for k, e in enumerate(listing.examples)]
    done: dict[int, _Made] = {}
    for made in workers.run(_extract, jobs):
        done[made.number] = made
        if progress is not None:
            progress(len(done), len(jobs))
    seen = [(e, done[k]) for k, e in enumerate(listing.examples) if done[k].key]
    unseen = tuple(
        Unseen(e.dataset, e.subject, e.name, e.label, done[k].reason)
        for k, e in enumerate(listing.examples)
        if not done[k].key
    )
    if not seen:
        first = unseen[0]
        raise UsageError(
            f"none of {len(unseen)} clips can be used; the first, {first.subject}/{first.name}: "
            f"{first.reason}"
        )
    clips = StoredClips(
        str(cache),
        tuple(made.key for _, made in seen),
        tuple(e.label for e, _ in seen),
        tuple(e.subject for e, _ in seen),
        listing.classes,
        tuple(e.name for e, _ in seen),
    )
    # By content, wherever the cache is.
    known = digest([clips.keys, clips.labels, clips.subjects, clips.classes, clips.names])
    notes = (*_notes(listing, reading, seen), *listing.notes)
    return ClipSet(clips, tuple(e.dataset for e, _ in seen), unseen, known, notes)


def _check_parts(reading: Reading) -> None:
    """Complain now, and once, of a name that there is not."""
    registry.resolve("detector", reading.settings.face.detector)
    registry.resolve("landmarker", reading.settings.face.landmarker)
    flows = {reading.settings.motion.flow}
    if reading.sequences is not None:
        flows |= {reading.sequences.flow} - {"none"}
    for name in flows:
        registry.resolve("flow", name)


def _notes(
    listing: Listing, reading: Reading, seen: Sequence[tuple[Example, _Made]]
) -> tuple[str, ...]:
    counts = Counter(e.label for e in listing.examples)
    by_class = ", ".join(f"{c} {counts[k]}" for k, c in enumerate(listing.classes))
    notes = [f"{len(listing.examples)} clips: {by_class}"]
    if listing.left_out:
        told = ", ".join(f"{word} {n}" for word, n in listing.left_out.items())
        notes.append(f"left out, as of no class of the protocol: {told}")
    found = [e for e, _ in seen if e.apex is None]
    if found:
        notes.append(
            f"the apex of {len(found)} clips, which the table does not give within the "
            f"expression, was found by {reading.apex}"
        )
    gaps = [made for _, made in seen if made.coverage < 1]
    if gaps:
        least = min(made.coverage for made in gaps)
        notes.append(
            f"{len(gaps)} clips have frames without a face (at least {least:.0%} have one); there "
            "the landmarks of a frame nearby stand"
        )
    return tuple(notes)
