"""Labeled clips of data sets' frames: the inputs that a recognizer reads.

The face is followed from before the onset to after the offset, once; its landmarks serve the apex,
where the table gives none, the flow map, and the sequences. Each of the three is kept in the cache
under its content and settings. A clip whose face cannot be seen keeps its place in the list, with
the reason (`Unseen`): it is scored all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from aumer import registry, strict
from aumer.cache import Arrays, FeatureCache
from aumer.config import FaceSettings, MotionSettings, Settings, digest
from aumer.errors import ConfigError, NoFaceError, UsageError, VideoError
from aumer.files import StrPath
from aumer.flow import resolve as resolve_flow
from aumer.identity import recorded
from aumer.recognition import apex as ways
from aumer.recognition.face_position import BY_LANDMARKS
from aumer.recognition.interface import Clips, MotionClips, Reads, resolve
from aumer.recognition.labeled import LabeledClips
from aumer.recognition.sequences.clips import SequenceClips
from aumer.recognition.trained import Trained
from aumer.training.listing import Example, Listing, Unseen
from aumer.types import FaceTrack, Features, Moment

if TYPE_CHECKING:
    from aumer.face.trackers import Trackers
    from aumer.recognition.clips import Keeper
    from aumer.recognition.sequences.inputs import SequenceSettings

_log = logging.getLogger("aumer")

#: Called with the clips that are done and all there are.
Progress = Callable[[int, int], object]

#: What is kept of a track.
_TRACK = ("frames", "times", "boxes", "landmarks")

#: Whose identities a face that is followed depends on, as `parts_of` gives them.
_FOLLOWS = ("detector", "landmarker", "run")

#: Raise when the numbers that the same settings give change: no older cache is read then.
_VERSION = 4


@dataclass(frozen=True)
class ClipReading:
    """How inputs are made of frames.

    Attributes:
        settings: of the face and its motion; ``motion`` is that of flow maps and of the apex.
        sequences: of a recognizer that reads sequences; else `None`.
        to: the last frame that sequences hold.
        rois: of a recognizer that reads their motion alone; else none.
        apex: how an apex is found: `aumer.recognition.apex.names`.
        apexes: which count: "coded", those that the table gives, and others are found; or "found",
            none of the table's.

    Raises:
        ConfigError: there is no such way to find an apex, or no such choice.
    """

    settings: Settings
    sequences: SequenceSettings | None = None
    to: Literal["apex", "offset"] = "offset"
    apex: str = ways.DEFAULT
    rois: tuple[str, ...] = ()
    apexes: Literal["coded", "found"] = "coded"

    def __post_init__(self) -> None:
        known = ways.names()
        allowed = f"one of {', '.join(known)}; roi-difference may have a lag, as roi-difference:3"
        strict.require(isinstance(self.apex, str), "apex", self.apex, allowed)
        try:
            ways.check(self.apex)
        except UsageError:
            strict.require(False, "apex", self.apex, allowed)
        strict.require(self.apexes in APEXES, "apexes", self.apexes, f"one of {', '.join(APEXES)}")

    def known_apex(self, example: Example) -> int | None:
        """The apex that is not looked for."""
        return example.apex if self.apexes == "coded" else None

    def to_dict(self) -> dict[str, Any]:
        """All that the numbers depend on."""
        values: dict[str, Any] = {"face": asdict(self.settings.face), "apex": self.apex}
        # A flow map asks for its own rate: every frame.
        values["motion"] = {k: v for k, v in asdict(self.settings.motion).items() if k != "rate"}
        if self.sequences is not None:
            values["sequences"] = asdict(self.sequences)
            values["to"] = self.to
        if self.rois:
            values["rois"] = list(self.rois)
        if self.apexes != "coded":
            values["apexes"] = self.apexes
        return values

    def record_on(self, part: Trained) -> None:
        """Let a part know how what it learns from is made, so that its file says it."""
        part.inputs = self.sequences
        part.motion = self.settings.motion
        part.apex = self.apex

    @property
    def reads(self) -> Reads:
        """What it makes; see `aumer.recognition.interface.Recognizer`."""
        if self.sequences is not None:
            return "sequence"
        return "motion" if self.rois else "flow-map"


def reading_of(
    model: str | type[Trained],
    table: Mapping[str, Any],
    settings: Settings,
    where: str,
    rois: tuple[str, ...],
) -> ClipReading:
    """How the inputs of what learns are made.

    Args:
        model: a recognizer's name, or the class of what learns.
        table: of the recognizer: ``inputs`` changes keys of `SequenceSettings` for one of
            sequences, else of ``motion``; ``apex`` is how one is found, otherwise as what learns
            has it, and ``apexes`` which are: see `ClipReading`.
        where: for messages.
        rois: its own.

    Raises:
        ConfigError: an unknown key, or a value that is not allowed.
    """
    kind = resolve(model) if isinstance(model, str) else model
    inputs, apex = table.get("inputs", {}), table.get("apex", kind.apex)
    which = table.get("apexes", "coded")
    if not isinstance(inputs, Mapping):
        raise ConfigError(f"{where}.inputs must be a table; found {inputs!r}")
    if kind.reads[0] == "sequence":
        made = sequence_settings(kind.default_inputs, inputs, settings)
        return ClipReading(settings, made, kind.reads_to, apex, apexes=which)
    motion = strict.build(MotionSettings, {**asdict(settings.motion), **inputs}, f"{where}.inputs")
    of_motion = rois if kind.reads[0] == "motion" else ()
    return ClipReading(replace(settings, motion=motion), apex=apex, rois=of_motion, apexes=which)


#: Keys of a recognizer's table that are no options of its constructor.
OWN_KEYS = ("inputs", "apex", "apexes")
APEXES = ("coded", "found")


def options_of(
    model: str | type[Trained], table: Mapping[str, Any], *, of_frames: bool
) -> dict[str, Any]:
    """The options in a recognizer's table, for clips of frames or for MEGC 2019's flow images."""
    options = {k: v for k, v in table.items() if k not in OWN_KEYS}
    kind = resolve(model) if isinstance(model, str) else model
    if of_frames and "position" in kind.options:
        # Maps that are cut by landmarks need nobody to find out where the face is.
        options.setdefault("position", asdict(BY_LANDMARKS))
    return options


def sequence_settings(
    default: SequenceSettings | None, changes: Mapping[str, Any], settings: Settings
) -> SequenceSettings:
    """A system's own settings, changed; the face is found as `settings` says.

    Raises:
        ConfigError: an unknown key, or a value that is not allowed.
    """
    from aumer.recognition.sequences.inputs import read_settings

    if wrong := [key for key in ("detector", "landmarker") if key in changes]:
        raise ConfigError(f"inputs.{wrong[0]} cannot be set here; set face.{wrong[0]}")
    return read_settings(
        {**changes, "detector": settings.face.detector, "landmarker": settings.face.landmarker},
        default,
    )


# -- from frames to inputs -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    number: int
    example: Example
    reading: ClipReading
    cache: str
    parts: Mapping[str, str]


@dataclass(frozen=True)
class _Made:
    """What became of a clip: where its inputs are kept, or why there are none."""

    number: int
    key: str
    reason: str
    apex: int
    coverage: float


def _extract(job: _Job) -> _Made:
    try:
        key, kept = _stored(job)
    except (NoFaceError, VideoError, UsageError) as error:
        return _Made(job.number, "", str(error), -1, 0.0)
    return _Made(job.number, key, "", int(kept["peak"]), float(kept["coverage"]))


def _stored(job: _Job) -> tuple[str, Arrays]:
    """A clip's name in the cache, and its arrays: kept there, or made and kept.

    Raises: as `_inputs`.
    """
    from aumer.video import content_digest

    example, reading = job.example, job.reading
    content = content_digest(example.path, fps=example.fps)
    key = "clip-" + _digest(
        reading.settings.face,
        job.parts,
        content=content,
        reading=reading.to_dict(),
        frames=[example.onset, example.apex, example.offset],
    )
    store = FeatureCache(job.cache, key)
    kept = store.whole()
    if kept is None:
        kept = _inputs(example, reading, str(content), job)
        store.finish(kept)
    return key, kept


def _inputs(example: Example, reading: ClipReading, content: str, job: _Job) -> Arrays:
    """The arrays of a clip.

    Raises:
        NoFaceError: its face cannot be seen.
        VideoError, UsageError: its frames cannot be read, or are not there.
    """
    from aumer.recognition.clips import ClipMaker
    from aumer.recognition.sequences.inputs import pack

    if example.offset <= example.onset:
        raise UsageError("it is one frame long, and motion needs two")
    motion, sequences = reading.settings.motion, reading.sequences
    maker = ClipMaker(reading.reads, motion, rois=reading.rois, sequences=sequences, to=reading.to)
    given = reading.known_apex(example) if reading.reads != "motion" else None
    kept = maker.keeper(example.onset, reading.apex if given is None else given, example.offset)
    track = _track(example, reading, maker.margin, content, job, kept)
    inside = (track.frames >= example.onset) & (track.frames <= example.offset)
    if not inside.any() or track.frames[inside][-1] < example.offset:
        last = int(track.frames[-1]) if len(track) else -1
        raise UsageError(f"its frames end at {last}, and its offset is {example.offset}")
    if not track.valid[inside].any():
        raise NoFaceError("no face in any of its frames")
    facts = {"coverage": np.array(track.valid[inside].mean())}
    peak = reading.known_apex(example)
    if peak is None:
        peak = _apex(example, reading, track, kept)
    facts["peak"] = np.array(peak)
    moment = Moment(example.onset, example.offset, peak)
    features = _motion(example, reading, track, kept) if reading.reads == "motion" else None
    (made,) = maker(example.path, [moment], track, features, fps=example.fps, kept=kept)
    if made.clip is None:
        raise NoFaceError(made.why)
    if isinstance(made.clip, np.ndarray):
        return {**facts, "motion" if reading.rois else "map": made.clip}
    return {**facts, **pack(made.clip)}


def _track(
    example: Example, reading: ClipReading, margin: int, content: str, job: _Job, keeper: Keeper
) -> FaceTrack:
    """The face on every frame from `margin` before the onset to as much after the offset.

    And on one more at either end, as `aumer.motion.frames.FrameRange` adds a step: landmarks
    follow from where the face was before, and `aumer.classify` is to see what is learned here.

    Args:
        keeper: gets what it keeps of them, unless the track was kept.
    """
    from aumer.recognition.frames import follow

    face = reading.settings.face
    first, last = max(0, example.onset - margin - 1), example.offset + margin + 1
    about = {"content": content, "face": asdict(face), "frames": [first, last]}
    parts = {k: v for k, v in job.parts.items() if k in _FOLLOWS}
    store = FeatureCache(job.cache, f"track-{_digest(face, parts, **about)}")
    kept = store.whole()
    if kept is None:
        with _trackers(face).lent() as tracker:
            track, keeper.video = follow(
                example.path, tracker, first, last, fps=example.fps, watch=keeper
            )
        store.finish({name: getattr(track, name) for name in _TRACK})
        return track
    valid = np.asarray(np.isfinite(kept["boxes"]).all(axis=1), np.bool_)
    return FaceTrack(kept["times"], kept["frames"], valid, kept["boxes"], kept["landmarks"])


@lru_cache(maxsize=1)
def _trackers(face: FaceSettings) -> Trackers:
    """Of all clips of a process: a clip is short, and the networks take long to load."""
    from aumer.face.trackers import Trackers

    return Trackers(face)


def _apex(example: Example, reading: ClipReading, track: FaceTrack, kept: Keeper) -> int:
    from aumer.recognition.clips import pictures_between

    onset, offset, settings = example.onset, example.offset, reading.settings.motion
    where = ways.Span(
        onset,
        offset,
        lambda: _motion(example, reading, track, kept),
        lambda: pictures_between(
            example.path, onset, offset, track, settings, fps=example.fps, kept=kept.faces
        ),
    )
    return ways.find(reading.apex, where)


def _motion(example: Example, reading: ClipReading, track: FaceTrack, kept: Keeper) -> Features:
    """Motion of the ROIs from frame to frame, from onset to offset."""
    from aumer.motion import roi_motions
    from aumer.recognition.frames import aligned_faces
    from aumer.recognition.sequences.inputs import steps_as_features

    motion = reading.settings.motion
    flow = resolve_flow(motion.flow)
    frames = range(example.onset, example.offset + 1)
    faces = aligned_faces(example.path, frames, track, motion, fps=example.fps, kept=kept.faces)
    known = [a in faces and b in faces for a, b in pairwise(frames)]
    pairs = [
        (faces[a], faces[b]) for (a, b), seen in zip(pairwise(frames), known, strict=True) if seen
    ]
    found = iter(roi_motions(pairs, flow, motion))
    steps = [next(found) if seen else None for seen in known]
    return steps_as_features(steps, example.onset, example.fps, motion)


def _digest(followed: FaceSettings, parts: Mapping[str, str], **about: Any) -> str:
    """Names what parts make of a face that is followed as the settings say."""
    from aumer.motion.analysis import computed_by

    if parts:
        about["parts"] = dict(parts)
    return digest({"version": _VERSION, **computed_by(followed), **about})


def parts_of(reading: ClipReading) -> dict[str, str]:
    """The identities of the parts that make inputs and are not built in; see
    `aumer.identity.recorded`."""
    from aumer.motion.analysis import used

    parts: list[tuple[str, str]] = [*used(reading.settings), ("apex", ways.parted(reading.apex)[0])]
    if reading.sequences is not None and reading.sequences.flow != "none":
        parts.append(("flow", reading.sequences.flow))
    return recorded(parts)


# -- all clips of a run ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class StoredClips:
    """Clips whose inputs lie in a cache. A process reads them once, whatever folds it runs.

    They are all in its memory then: 246 clips of 94 frames at 128 px with flow, CASME II as
    ``cnn-lstm`` reads it, are 3.4 GB; without flow, 0.4 GB.

    Attributes:
        jobs: how each is made where the cache has lost it; none where nobody knows.
    """

    cache: str
    keys: tuple[str, ...]
    labels: tuple[int, ...]
    subjects: tuple[str, ...]
    classes: tuple[str, ...]
    names: tuple[str, ...]
    jobs: tuple[_Job, ...] = ()
    #: Which data set each is of is known to the listing that they were made of.
    sources: ClassVar[tuple[str, ...]] = ()

    def __len__(self) -> int:
        return len(self.keys)

    def load(self) -> LabeledClips[Any]:
        """The clips with their inputs; what the cache has lost meanwhile is made anew.

        Raises:
            UsageError, VideoError, NoFaceError: that cannot be done any more.
        """
        which = self.cache, self.keys, self.labels, self.subjects, self.classes, self.names
        if which not in _loaded:
            found = self._read()
            _loaded.clear()  # of one run at a time
            _loaded[which] = found
        return _loaded[which]

    def _read(self) -> LabeledClips[Any]:
        from aumer.recognition.sequences.inputs import unpack

        arrays = [self._arrays(number) for number in range(len(self))]
        goals = np.array(self.labels, np.int64)
        columns = goals, self.subjects, self.classes, self.names
        if arrays and "map" in arrays[0]:
            return Clips(np.stack([a["map"] for a in arrays]), *columns)
        if arrays and "motion" in arrays[0]:
            return MotionClips(np.stack([a["motion"] for a in arrays]), *columns)
        return SequenceClips(tuple(map(unpack, arrays)), *columns)

    def _arrays(self, number: int) -> Arrays:
        key = self.keys[number]
        found = FeatureCache(self.cache, key).whole()
        if found is not None:
            return found
        if self.jobs:
            _log.info("%s is made again: the cache has lost it", self.names[number])
            again, found = _stored(self.jobs[number])
            if again == key:
                return found
        raise UsageError(
            f"{Path(self.cache) / key}.npz was deleted during the run, and its source has changed "
            "since: run again"
        )


#: What `StoredClips.load` gave last.
_loaded: dict[tuple[object, ...], LabeledClips[Any]] = {}


def forget() -> None:
    """Let go of the clips that `StoredClips.load` holds in this process."""
    _loaded.clear()


@dataclass(frozen=True)
class Seen:
    """An example whose inputs could be made.

    Attributes:
        coverage: share of its frames that show a face.
        apex: the frame that was read as its apex, given or found.
    """

    example: Example
    coverage: float
    apex: int = -1


def extract(
    listing: Listing,
    reading: ClipReading,
    *,
    cache: StrPath,
    run: Callable[[Callable[[_Job], _Made], Sequence[_Job]], Iterable[_Made]] = map,
    progress: Progress | None = None,
) -> tuple[StoredClips, tuple[Seen, ...], tuple[Unseen, ...]]:
    """Make the inputs of every example, or find them in the cache.

    Args:
        run: how a function is called of every job, in whatever order; in other processes perhaps.

    Returns:
        The clips that can be seen; the same ones as examples; the others.

    Raises:
        UsageError: unknown parts (flow, detector, landmarker), or no clip can be seen at all.
    """
    _check_parts(reading)
    parts = parts_of(reading)
    jobs = [_Job(k, e, reading, str(cache), parts) for k, e in enumerate(listing.examples)]
    done: dict[int, _Made] = {}
    for made in run(_extract, jobs):
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
        tuple(job for job in jobs if done[job.number].key),
    )
    return clips, tuple(Seen(e, made.coverage, made.apex) for e, made in seen), unseen


def _check_parts(reading: ClipReading) -> None:
    """Raise once, before training, for an unknown name."""
    registry.resolve("detector", reading.settings.face.detector)
    registry.resolve("landmarker", reading.settings.face.landmarker)
    flows = {reading.settings.motion.flow}
    if reading.sequences is not None:
        flows |= {reading.sequences.flow} - {"none"}
    for name in flows:
        resolve_flow(name)
