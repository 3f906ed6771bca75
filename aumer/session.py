"""What all runs share: settings, parts on their device, the cache, checks, and provenance."""

from __future__ import annotations

import inspect
import logging
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from typing import Any, TypedDict

import numpy as np

from aumer import registry
from aumer.arguments import number, require_function, require_path
from aumer.cache import FeatureCache, default_folder
from aumer.config import FaceSettings, MotionSettings, Settings, digest, load_settings
from aumer.errors import NoFaceError, NoMotionError, UsageError
from aumer.face import weights as face_weights
from aumer.identity import identity
from aumer.log_capture import unique
from aumer.motion.analysis import cache_key, check_workers, used
from aumer.motion.frames import FrameRange
from aumer.motion.joined import Analysis
from aumer.motion.runs import motion_device
from aumer.progress import Progress
from aumer.recognition import action_units, interface
from aumer.recognition.action_units import ActionUnits, AUReader
from aumer.recognition.interface import Recognizer
from aumer.recognition.labeler import Labeler
from aumer.spotting.interface import SpotterModel
from aumer.types import Features, FloatArray
from aumer.video import Source
from aumer.video.sources import is_camera

_log = logging.getLogger("aumer")

#: Packages whose versions can change results.
_NUMERIC = ("aumer", "mediapipe", "numpy", "opencv-contrib-python", "scipy")
#: Default least share of frames with a usable face.
MIN_COVERAGE = 0.1

#: Rows that are looked at for held pictures, the least with motion among them, and the share of a
#: large motion that counts as motion. In the shared videos half of the rows move so, or follow one
#: that does; of four pictures a second in a file of 30 frames each seventh.
_HELD_ROWS, _HELD_LEAST, _HELD_SHARE = 18_000, 8, 0.1
#: Motion of the ROI that moves furthest, exceeded in one row of twenty: .0001 of one picture again
#: and again, by rounding, and .0016 of the stillest real face; outer-eye distances.
_NEVER = 3e-4
#: With larger gaps, a micro-expression of a quarter of a second has at most two analyzed frames.
_SPARSE_S = 0.11

#: Called with name and value of each intermediate result.
Hook = Callable[[str, Any], None]
SettingsLike = Settings | str | PathLike[str] | Mapping[str, Mapping[str, Any]] | None


class RunOptions(TypedDict, total=False):
    """The keywords of `VideoRun`, for type checkers."""

    start: float | None
    end: float | None
    fps: float | None
    min_coverage: float
    cache: str | PathLike[str] | bool | None
    progress: Progress | bool | None
    workers: int | None


class HookedOptions(RunOptions, total=False):
    """The same with a hook for intermediate values."""

    hook: Hook | None


@dataclass(frozen=True)
class VideoRun:
    """How one video is read, and where its progress is reported. See `aumer.spot` for the fields.

    Raises:
        UsageError: `min_coverage` outside [0, 1], fewer than 1 worker, or a value of the wrong
            type.
    """

    start: float | None = None
    end: float | None = None
    fps: float | None = None
    min_coverage: float = MIN_COVERAGE
    cache: str | PathLike[str] | bool | None = None
    progress: Progress | bool | None = None
    workers: int | None = None
    hook: Hook | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= number("min_coverage", self.min_coverage) <= 1.0:
            raise UsageError(f"`min_coverage` must lie in [0, 1]; found {self.min_coverage}")
        check_workers(self.workers)
        check_cache(self.cache)
        if self.hook is not None:
            require_function("hook", self.hook)

    @property
    def ranges(self) -> dict[str, float | None]:
        """The part of the video that is read, for a result's settings."""
        return {"start": self.start, "end": self.end, "fps": self.fps}

    def show(self, name: str, value: Any) -> None:
        """Pass an intermediate value to the hook."""
        if self.hook:
            self.hook(name, value)


def labeler_of(which: str | PathLike[str] | Recognizer, device: str, settings: Settings) -> Labeler:
    """A labeler of expressions with a recognizer on its device.

    Raises:
        UsageError, WeightsError: as `load_recognizer` and `put_on_device`.
    """
    recognizer = load_recognizer(which)
    put_on_device(recognizer, "recognizer", device)
    return Labeler(recognizer, settings.motion, settings.rules, settings.classify)


def reading_of(
    which: bool | str | PathLike[str] | AUReader, settings: Settings
) -> ActionUnits | None:
    """An AU reader on its device: `None` for False, the one that ships for True.

    Raises:
        UsageError, WeightsError: as `aumer.recognition.action_units.load`.
    """
    if which is False:
        return None
    reader = action_units.load("default" if which is True else which)
    return ActionUnits(reader, settings.motion, settings.rules)


def require_maps(which: bool | str | PathLike[str] | AUReader) -> None:
    """Refuse an AU reader for features, which hold no flow map.

    Raises:
        UsageError: a reader is requested.
    """
    if not isinstance(which, bool):
        raise UsageError(
            "action units are read from flow maps, which features do not hold; give the "
            "video that they were made from, or leave `aus` out"
        )


def reader_settings(reading: ActionUnits | None) -> dict[str, dict[str, Any]]:
    """Entries of a result's settings for the AU reader."""
    return {} if reading is None else {"aus": {"reader": reading.reader.name}}


def check_face(face: FaceSettings) -> None:
    """Check the parts of the face stage before a video is read.

    Raises:
        UsageError: unknown name, or the part cannot be imported here.
        WeightsError: its weights are missing; the message says how to get them.
    """
    for kind, name in (("detector", face.detector), ("landmarker", face.landmarker)):
        registry.resolve(kind, name)
        if name in face_weights.TABLE:
            face_weights.find(name)


def load_recognizer(which: str | PathLike[str] | Recognizer) -> Recognizer:
    """A trained recognizer, from anything that `classify` accepts.

    Raises:
        WeightsError: no shipped weights have that name, or the file is missing or damaged.
        UsageError: an object that is not trained.
    """
    if isinstance(which, (str, PathLike)):
        return interface.load(which)
    interface.fitted(which)
    return which


def require_second_pass(video: Source) -> None:
    """Refuse a camera for a second pass: it cannot be read again.

    Raises:
        UsageError: it is a camera.
    """
    if is_camera(video):
        raise UsageError(
            "expressions of a camera cannot be labeled, as their frames must be read twice: record "
            "a file, and give that"
        )


def digests_of(
    settings: Mapping[str, Any],
    content: str | None,
    labeler: Labeler | None,
    reading: ActionUnits | None = None,
) -> dict[str, str]:
    """Digests of everything that a result was made from."""
    found = {
        "settings": digest(settings),
        "content": content,
        "recognizer": labeler.digest if labeler else None,
        "aus": reading.digest if reading else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def parts_used(settings: Settings | None, *parts: tuple[str, Any]) -> dict[str, str]:
    """For digests: the identities of all parts in use that are not aumer's.

    Args:
        settings: settings of the motion, if it was measured.
        parts: pairs of kind and part; `None` for no part. For an object its class counts: its
            attributes have a digest of their own, if any.
    """
    named: list[tuple[str, Any]] = list(used(settings)) if settings else []
    for kind, part in parts:
        code = part if inspect.isroutine(part) or isinstance(part, type) else type(part)
        if part is not None and code.__module__.partition(".")[0] != "aumer":
            named.append((kind, code))
    told = {kind: identity(kind, part) or "unknown" for kind, part in named}
    others = {kind: told[kind] for kind, part in named if told[kind] != part}
    return {"parts": digest(others)} if others else {}


def check_cache(cache: str | PathLike[str] | bool | None) -> None:
    """Check the argument `cache`.

    Raises:
        UsageError: it is not a folder, a bool or None.
    """
    if cache is not None and not isinstance(cache, bool):
        require_path("cache", cache, "a folder, True or False")


def cache_of(
    cache: str | PathLike[str] | bool | None,
    content: str | None,
    settings: Settings,
    start: float | None,
    end: float | None,
    frames: FrameRange | None = None,
) -> FeatureCache | None:
    """The cache for features of this content; `None` for no cache."""
    if cache is None or cache is False or content is None:
        return None
    folder = default_folder() if cache is True else cache
    return FeatureCache(folder, cache_key(content, settings, start, end, frames))


def put_on_device(part: SpotterModel | Recognizer, what: str, device: str) -> None:
    """Move a part to the requested device; logs a warning if it supports only the CPU.

    Raises:
        UsageError: torch knows no such device, or the part supports it but it is not available.
    """
    if part.to(device) or device in ("auto", "cpu"):
        return
    from aumer.learning.machine import device_named

    device_named(device)
    _log.warning(
        "the %s %r runs on the CPU alone: the device %r is not used for it",
        what,
        part.name,
        device,
    )


def devices_of(
    motion: MotionSettings | None, **parts: SpotterModel | Recognizer | None
) -> dict[str, str]:
    """The torch device of each part of a run, and of its motion if that is measured."""
    found = {} if motion is None else {"motion": motion_device(motion)}
    return found | {name: str(part.device) for name, part in parts.items() if part is not None}


def tell_devices(devices: Mapping[str, str]) -> None:
    """Log where the parts run: for all to read where one of them is not the CPU."""
    # Between information and warning: the command line shows it without being asked.
    level = logging.INFO if set(devices.values()) <= {"cpu"} else 25
    _log.log(level, "devices: %s", ", ".join(f"{name} {one}" for name, one in devices.items()))


def names_a_file(model: str) -> bool:
    """Whether the string for a model is a path, not a name."""
    return model.endswith(".safetensors") or "/" in model or os.sep in model


def as_settings(settings: SettingsLike) -> Settings:
    """The argument `settings`, in any accepted form, as `Settings`."""
    if isinstance(settings, Settings):
        return settings
    if isinstance(settings, Mapping):
        return load_settings(overrides=settings)
    if settings is not None:
        allowed = "a Settings, a TOML file or {'section': {'key': value}}"
        require_path("settings", settings, allowed)
    return load_settings(settings)


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that can change results."""
    found = {"python": platform.python_version()}
    for name in _NUMERIC:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def require_motion(
    found: tuple[Analysis, ...], settings: Settings, min_coverage: float = 0.0
) -> None:
    """Raise an error if too little motion was measured: that says nothing about expressions."""
    measured = max(one.coverage for one in found)
    track, most = found[0].track, settings.motion.max_gap_s
    held = held_s(found[0].features)
    if held > most + 1 / found[0].features.rate / 2:
        raise NoMotionError(
            f"{found[0].video.name}: a face is there, but no motion could be measured: its picture "
            f"changes every {held:.2g} s and is held in between, and motion is measured over "
            f"{most:g} s at most (motion.max_gap_s). Give the recording before it was made into "
            f"one of more frames, or set `motion.max_gap_s` above {held:.2g}. Whether there are "
            "expressions is not known"
        )
    if measured > 0 and measured >= min_coverage:
        return
    steps = np.diff(track.times)
    apart = float(np.median(steps)) if len(steps) else 0.0
    if not apart:
        why = "one frame was analyzed, and motion takes two; choose a wider range"
    elif (steps > most).mean() >= 0.5:
        why = (
            f"the analyzed frames lie {apart:.3g} s apart, and motion is measured over {most:g} s "
            "at most (motion.max_gap_s). Expressions are over in less; give a video of more frames "
            f"per second, or set `motion.max_gap_s` above {apart:.3g}"
        )
    elif steps[steps > most].sum() > 0.5 * steps.sum():
        why = (
            f"{steps[steps > most].sum() / steps.sum():.0%} of its time are gaps without pictures, "
            "longer than motion.max_gap_s; choose a range with start and end in which there are "
            "some"
        )
    elif track.coverage < 0.5:
        why = (
            f"the face is seen in {track.coverage:.0%} of the frames, and hardly twice in a row; "
            "choose a range with start and end in which it is"
        )
    else:
        why = (
            "no two neighboring frames show the same face well enough: the picture may be too "
            "noisy, too dark or too small, cut in every frame, or one that dissolves into another"
        )
        if not registry.built_in("flow", settings.motion.flow):
            why += f"; or the flow {settings.motion.flow} gives NaN, which means that nothing fits"
    little = f"in {measured:.1%} of the time, and at least {min_coverage:.0%} are needed"
    raise NoMotionError(
        f"{found[0].video.name}: a face is there, but "
        f"{f'its motion could be measured {little}' if measured else 'no motion could be measured'}"
        f": {why}. Whether there are expressions is not known"
    )


def held_s(features: Features) -> float:
    """Seconds from one picture to the next where each is held for several frames; else 0.

    A recording of few pictures a second may lie in a file of many: all that moves is in single rows
    then, with rest in between.
    """
    moved = _moved(features)
    if len(moved) < _HELD_LEAST:
        return 0.0
    at = np.flatnonzero(moved > _HELD_SHARE * np.percentile(moved, 95))
    apart = float(np.median(np.diff(at))) if len(at) > _HELD_LEAST else 1.0
    return apart / features.rate if apart > 1 else 0.0


def _moved(features: Features) -> FloatArray:
    """(N,) how far the ROI that moves furthest goes in each row with motion, in outer-eye
    distances; of a video of hours its begin.
    """
    rows = slice(0, _HELD_ROWS)
    values = features.values[rows][features.valid[rows]]
    moved: FloatArray = np.linalg.norm(values / features.eye_distance, axis=2)
    furthest: FloatArray = moved.max(axis=1, initial=0.0)
    return furthest


def notes_of(analysis: Analysis, follow: str) -> tuple[str, ...]:
    """Notes for the result about how the face was followed."""
    track, features, notes = analysis.track, analysis.features, []
    if len(features) and features.valid.mean() < 0.5 * track.coverage:
        notes.append(
            f"a face was seen in {track.coverage:.0%} of the frames, but its motion could be "
            f"measured in {features.valid.mean():.0%} of the rows: expressions in the rest are "
            "missed. Cuts, frames more than motion.max_gap_s apart and poor pictures do that"
        )
    apart = float(np.median(np.diff(track.times))) if len(track) > 2 else 0.0
    if (held := held_s(features)) > max(apart, _SPARSE_S):
        notes.append(
            f"its picture changes every {held:.2g} s, and is held in between: what is over in less "
            "is not seen, and of longer expressions some are missed, too"
        )
    elif len(moved := _moved(features)) > features.rate and np.percentile(moved, 95) < _NEVER:
        notes.append("its picture never changes: a still image tells nothing about expressions")
    if apart > _SPARSE_S:
        notes.append(
            f"its frames lie {apart:.2g} s apart: what is over in less is not seen, and of longer "
            "expressions some are missed, too. Micro-expressions take 25 frames a second or more"
        )
    if track.turned:
        notes.append(
            f"the picture is turned by {track.turned} degrees clockwise; it was analyzed upright, "
            "and boxes and landmarks are those of the picture as it came"
        )
    if follow.isdecimal() and analysis.numbers > 1:
        notes.append(
            f"{analysis.numbers} faces appeared, and number {follow} is followed; "
            "`face='all'` gives a result for each"
        )
    elif track.faces > 1 and follow != "all":
        which = f"number {follow}" if follow.isdecimal() else f"the {follow} one"
        notes.append(
            f"{track.faces} faces are in view, and {which} is followed; `face='all'` gives a "
            "result for each"
        )
    return unique(notes, analysis.notes)


def require_face(analysis: Analysis, settings: Settings, min_coverage: float) -> None:
    """Raise an error if too few frames show a face: that says nothing about expressions.

    Raises:
        NoFaceError: less than `min_coverage` of the frames show a usable face.
    """
    name, track, follow = analysis.video.name, analysis.track, settings.face.follow
    if follow.isdecimal() and 0 < analysis.numbers < int(follow):
        there = (
            "only 1 face appears"
            if analysis.numbers == 1
            else f"only {analysis.numbers} faces appear"
        )
        raise NoFaceError(
            f"{name}: {there}, and number {follow} was asked for (`face={follow}`). Faces are "
            "numbered from 1, by first appearance",
            fixes=("leave `face` out for the largest", "ask for another number"),
        )
    if track.coverage < min_coverage or not track.valid.any():
        least = f"at least {min_coverage:.0%} and one frame are" if min_coverage else "one is"
        raise NoFaceError(
            f"{name}: {int(track.valid.sum())} of {len(track)} analyzed frames hold a usable face "
            f"({track.coverage:.0%}), and {least} needed. "
            "Whether there are expressions is not known",
            fixes=(
                "look at the frames with `aumer view --no-spot VIDEO` (the outer eye corners of a "
                f"usable face are {settings.face.min_eye_distance:g} px apart or more, "
                "`face.min_eye_distance`)",
                "choose a range with `start` and `end`",
                "lower `min_coverage`",
            ),
        )
