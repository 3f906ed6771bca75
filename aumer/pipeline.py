"""From a video to spotted and named expressions: the one place that wires the stages together."""

from __future__ import annotations

import inspect
import logging
import math
import os
import platform
import sys
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

import numpy as np

from aumer import registry
from aumer.cache import FeatureCache, default_folder
from aumer.config import DENSE, FaceSettings, Settings, digest, load_settings
from aumer.errors import NoFaceError, NoMotionError, UsageError
from aumer.face import weights as face_weights
from aumer.face.trackers import Trackers
from aumer.flow import resolve as resolve_flow
from aumer.graph import AUGraph
from aumer.identity import identity
from aumer.motion.analysis import (
    Analysis,
    FrameRange,
    analyse,
    analyse_all,
    cache_key,
    check_workers,
    used,
)
from aumer.progress import Progress, telling
from aumer.recognition import apex as apexes
from aumer.recognition import seam
from aumer.recognition.clips import MAX_FRAMES, map_frames, pictures_between
from aumer.recognition.frames import Kept
from aumer.recognition.labeller import Labeller, Verdict
from aumer.recognition.seam import Recognizer
from aumer.results import Prediction, SpotResult
from aumer.said import gathered, once
from aumer.spotting import noise
from aumer.spotting.seam import SpotterModel, code_of, spotted
from aumer.spotting.seam import resolve as resolve_spotter
from aumer.types import Expression, FaceTrack, Features, IntArray, Moment, Scores, VideoInfo
from aumer.video import Source, content_digest

if TYPE_CHECKING:
    from typing_extensions import Required, Self, Unpack

_log = logging.getLogger("aumer")

#: Packages whose version can change the numbers.
_NUMERIC = ("aumer", "mediapipe", "numpy", "opencv-contrib-python", "scipy")

#: Least share of frames with a usable face, by default.
MIN_COVERAGE = 0.1

Hook = Callable[[str, Any], None]
SettingsLike = Settings | str | PathLike[str] | Mapping[str, Mapping[str, Any]] | None


class _RunOptions(TypedDict, total=False):
    """The arguments of `Spotter.each_face` but for the video."""

    start: float | None
    end: float | None
    fps: float | None
    min_coverage: float
    cache: str | PathLike[str] | bool | None
    progress: Progress | bool | None
    hook: Hook | None
    workers: int | None


class _Options(_RunOptions, total=False):
    """`spot`'s arguments but for the video and the face, for its overloads."""

    model: str | PathLike[str] | SpotterModel
    graph: AUGraph | str | PathLike[str] | None
    recognizer: str | PathLike[str] | Recognizer | None
    device: str
    sensitivity: str | float | None
    micro_max_s: float | None
    settings: SettingsLike


class _Facts(TypedDict, total=False):
    """Of a `SpotResult`, what depends on where the features come from."""

    video: Required[VideoInfo]
    coverage: Required[float]
    face: int | None
    notes: tuple[str, ...]
    track: FaceTrack


class Spotter:
    """Spots in any number of videos with one model and one set of settings.

    Detectors and landmarkers are made for the first video and used for all. They are given back by
    `close`, at the end of a ``with`` block, or when nobody knows the spotter any more.

    Args:
        model: a spotter's name, the path of a network's weights (``aumer train`` writes them), or
            an object that keeps the `SpotterModel` contract.
        graph: an `AUGraph`, or the name or path of one, for a network in place of the one that it
            was trained with; over the same ROIs.
        recognizer: labels what is spotted; see `classify`. None labels nothing.
        device: see `spot`.
        sensitivity, micro_max_s: see `spot`.
        face: which face to follow, in place of what the settings say; see `spot`.
        settings: a `Settings`, a TOML file, or ``{"section": {"key": value}}``; what it leaves out
            stands at the default.

    Raises:
        UsageError: unknown model, a graph for a model that uses none, a sensitivity for one whose
            false alarms were not measured, settings that are unknown, mistyped or out of range, or
            that the network cannot work with.
        WeightsError: the weights are missing or damaged, or are for other ROIs.
    """

    def __init__(
        self,
        *,
        model: str | PathLike[str] | SpotterModel = "combined",
        graph: AUGraph | str | PathLike[str] | None = None,
        recognizer: str | PathLike[str] | Recognizer | None = None,
        device: str = "auto",
        face: str | int | None = None,
        sensitivity: str | float | None = None,
        micro_max_s: float | None = None,
        settings: SettingsLike = None,
    ) -> None:
        if micro_max_s is not None and not 0 < micro_max_s < math.inf:
            raise UsageError(
                f"micro_max_s must be a number of seconds above 0; found {micro_max_s}"
            )
        self._micro_max_s = micro_max_s
        self.settings = as_settings(settings)
        if sensitivity is not None:
            asked = replace(self.settings.rules, sensitivity=sensitivity)  # type: ignore[arg-type]
            self.settings = replace(self.settings, rules=asked)
        if face is not None:
            chosen = replace(self.settings.face, follow=face)  # type: ignore[arg-type]
            self.settings = replace(self.settings, face=chosen)
        if self.settings.motion.preset in DENSE:
            resolve_flow(self.settings.motion.flow)  # or complain of its name at once
        self._trackers = Trackers(self.settings.face)
        with gathered() as said:
            self._model: SpotterModel = _model(model, graph, device, self.settings)
            self._model.check(self.settings)
            self._labeller = (
                None if recognizer is None else _labeller(recognizer, device, self.settings)
            )
        self._said = once(said)
        # A spotter without this dial has its limit told at "normal", whatever the settings say.
        usual = replace(self.settings.rules, sensitivity="normal")
        self._rules = self._model.rules or usual
        if sensitivity is not None:
            _require_dial(self._model, self.settings.rules.sensitivity)
        self._of_motion = (
            _labeller("graph-motion", "auto", self.settings)
            if isinstance(recognizer, str) and recognizer == "default"
            else self._labeller
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what detectors and landmarkers hold; a later video has them made anew."""
        self._trackers.close()
        self._trackers = Trackers(self.settings.face)

    def __call__(self, video: Source | Features, **options: Unpack[_RunOptions]) -> SpotResult:
        """Spot in one video; the options are those of `each_face`.

        Raises:
            UsageError: the settings ask for all faces, which `each_face` is for.
        """
        if self.settings.face.follow == "all":
            raise UsageError(
                "the settings say face.follow = 'all', which gives a result for each face; one is "
                "given here",
                fixes=(
                    "use `aumer.spot(..., face='all')` or `Spotter.each_face`",
                    "say which face",
                ),
            )
        (result,) = self.each_face(video, **options)
        return result

    def each_face(
        self,
        video: Source | Features,
        *,
        start: float | None = None,
        end: float | None = None,
        fps: float | None = None,
        min_coverage: float = MIN_COVERAGE,
        cache: str | PathLike[str] | bool | None = None,
        progress: Progress | bool | None = None,
        hook: Hook | None = None,
        workers: int | None = None,
    ) -> tuple[SpotResult, ...]:
        """A result for each face that the settings say to follow, by first appearance; see `spot`.

        Of several faces, those seen for less than a second are left out, and `min_coverage` must be
        reached by one of them.
        """
        with gathered() as said:
            found = self._each_face(
                video,
                {"start": start, "end": end, "fps": fps},
                min_coverage=min_coverage,
                cache=cache,
                progress=progress,
                hook=hook,
                workers=workers,
            )
        # What was said of the models before this run is of this result, too.
        before = (*self._said, *self._model.notes)
        return tuple(replace(one, notes=once(one.notes, before, said)) for one in found)

    def _each_face(
        self,
        video: Source | Features,
        ranges: dict[str, float | None],
        *,
        min_coverage: float,
        cache: str | PathLike[str] | bool | None,
        progress: Progress | bool | None,
        hook: Hook | None,
        workers: int | None,
    ) -> tuple[SpotResult, ...]:
        start, end, fps = ranges["start"], ranges["end"], ranges["fps"]
        if not 0.0 <= min_coverage <= 1.0:
            raise UsageError(f"`min_coverage` must lie in [0, 1]; found {min_coverage}")
        check_workers(workers)
        if isinstance(video, Features):
            if (start, end, fps) != (None, None, None):
                raise UsageError(
                    "features have their own times; leave `start`, `end` and `fps` out"
                )
            return (self._in_features(video, min_coverage, hook),)
        if self._labeller is not None:
            _require_second_pass(video)
        _check_face(self.settings.face)
        content = content_digest(video, fps=fps)
        with telling(progress) as tell:
            found = analyse_all(
                video,
                self.settings,
                fps=fps,
                start=start,
                end=end,
                cache=_cache(cache, content, self.settings, start, end),
                progress=tell,
                workers=workers,
                trackers=self._trackers,
            )
        if self.settings.face.follow == "all":
            found = _worth_a_result(found, video, self.settings, min_coverage)
        else:
            _require_face(found[0], self.settings, min_coverage)
        _require_motion(found, self.settings, min_coverage)
        return tuple(self._result(one, video, ranges, content, hook) for one in found)

    def _result(
        self,
        analysis: Analysis,
        video: Source,
        ranges: Mapping[str, float | None],
        content: str | None,
        hook: Hook | None,
    ) -> SpotResult:
        track = analysis.track
        if hook:
            hook("track", track)
            hook("features", analysis.features)

        def judged(labeller: Labeller, moving: list[Moment]) -> list[Verdict | None]:
            return labeller(video, moving, track, analysis.features, fps=ranges["fps"])

        return self._found(
            analysis.features,
            hook,
            self._labeller,
            judged,
            content,
            {"input": dict(ranges)},
            video=analysis.video,
            coverage=analysis.coverage,
            face=track.number if self._by_number else None,
            notes=_notes(analysis, self.settings.face.follow),
            track=track,
        )

    def _found(
        self,
        features: Features,
        hook: Hook | None,
        labeller: Labeller | None,
        judged: Callable[[Labeller, list[Moment]], list[Verdict | None]],
        content: str | None,
        given: Mapping[str, Any],
        **facts: Unpack[_Facts],
    ) -> SpotResult:
        """Spot in features, name what is found, and say how it came to be.

        Args:
            judged: what a labeller says of moments that have an apex after their onset.
            given: what the settings say of the input.
            facts: of the result, where they depend on whether a video was read.
        """
        scores, expressions = self._spotted(features)
        if hook:
            hook("scores", scores)
        named = self._kinds()
        if labeller is not None:
            moments = [e.moment for e in expressions]
            said = iter(judged(labeller, [m for m in moments if m.onset < m.apex]))
            verdicts = [next(said) if m.onset < m.apex else None for m in moments]
            facts["notes"] = (*facts.get("notes", ()), *_doubts(moments, verdicts))
            expressions = _labelled(expressions, verdicts)
            named["recognition"] = {"recognizer": labeller.recognizer.name}
            if hook:
                hook("verdicts", verdicts)
        if self._model.threshold is not None:
            named["decision"] = {"threshold": self._model.threshold}
        settings = self.settings.to_dict()
        limit, limits = noise.limits(features, self._rules)
        return SpotResult(
            **facts,
            expressions=expressions,
            scores=scores,
            spotter=self._model.name,
            settings={**settings, **named, **given},
            digests={
                **_digests(settings, content, labeller),
                **self._model.digests,
                **_parts(
                    self.settings if content else None,
                    ("spotter", code_of(self._model)),
                    ("recognizer", labeller and labeller.recognizer),
                ),
            },
            versions=versions(),
            limit=limit,
            limits=limits,
            features=features,
        )

    def _spotted(self, features: Features) -> tuple[Scores, tuple[Expression, ...]]:
        """What the model says, each expression with its peak, and of the kind asked for."""
        scores, expressions = spotted(self._model, features)
        expressions = noise.with_peaks(expressions, features, self._rules)
        if self._micro_max_s is not None:
            expressions = tuple(e.limited(self._micro_max_s) for e in expressions)
        return scores, expressions

    def _kinds(self) -> dict[str, dict[str, Any]]:
        """What a result's settings say of a limit that was asked for."""
        limit = self._micro_max_s
        return {} if limit is None else {"kind": {"micro_max_s": float(limit)}}

    @property
    def _by_number(self) -> bool:
        follow = self.settings.face.follow
        return follow == "all" or follow.isdecimal()

    def _in_features(
        self, features: Features, min_coverage: float, hook: Hook | None
    ) -> SpotResult:
        """Spot in motion that has been measured already; its video is not read."""
        coverage = float(features.valid.mean()) if len(features) else 0.0
        if coverage < min_coverage or not features.valid.any():
            raise NoFaceError(
                f"{coverage:.0%} of the {len(features)} rows of the features hold motion, and at "
                f"least {min_coverage:.0%} and one row are needed",
                fixes=("give others", "lower `min_coverage`"),
            )

        def judged(labeller: Labeller, moving: list[Moment]) -> list[Verdict | None]:
            return [labeller.judge_features(features, moment) for moment in moving]

        return self._found(
            features,
            hook,
            self._of_motion,
            judged,
            None,
            {},
            video=VideoInfo("features", "features", 0, 0, features.rate),
            coverage=coverage,
        )


@overload
def spot(
    video: Source | Features,
    *,
    face: Literal["largest", "left", "right"] | int | None = ...,
    **options: Unpack[_Options],
) -> SpotResult: ...
@overload
def spot(
    video: Source | Features, *, face: Literal["all"], **options: Unpack[_Options]
) -> tuple[SpotResult, ...]: ...
@overload
def spot(
    video: Source | Features, *, face: str, **options: Unpack[_Options]
) -> SpotResult | tuple[SpotResult, ...]: ...
def spot(
    video: Source | Features,
    *,
    model: str | PathLike[str] | SpotterModel = "combined",
    graph: AUGraph | str | PathLike[str] | None = None,
    recognizer: str | PathLike[str] | Recognizer | None = None,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    face: str | int | None = None,
    device: str = "auto",
    sensitivity: str | float | None = None,
    micro_max_s: float | None = None,
    min_coverage: float = MIN_COVERAGE,
    cache: str | PathLike[str] | bool | None = None,
    progress: Progress | bool | None = None,
    hook: Hook | None = None,
    settings: SettingsLike = None,
    workers: int | None = None,
) -> SpotResult | tuple[SpotResult, ...]:
    """Find the micro- and macro-expressions in a video.

    Args:
        video: a file, a folder of frames, an array (T, H, W, 3) uint8 RGB, or a camera's index; or
            `Features` of one, which no face is looked for in.
        model: a spotter's name ("combined": what rules and a network propose and a judge believes;
            "rules", "network"), the path of a network's weights, or an object that keeps the
            `SpotterModel` contract.
        graph: an `AUGraph`, or the name or path of one, for a network in place of its own.
        recognizer: labels each expression, in a second pass over its frames; as `classify`'s model.
            One whose flow map cannot be made keeps no label. Of features it must be one that reads
            motion; "default" is then "graph-motion".
        start, end: seconds; frames with start <= time < end are analysed.
        fps: frames per second; needed for folders and arrays.
        face: which face: "largest" (the default: the largest one of the first frame that shows
            any), "left" or "right" (as the picture shows them), a number (1 is the first face that
            appears), or "all", which gives a tuple with a result for each, by first appearance.
            One person is followed as long as they are seen; who is who is told by place and
            movement, never by looks.
        device: where networks run, as torch names it; what can run on the CPU alone does so and
            says it. With "auto" each runs where it runs best: one that spots is small and takes
            the CPU, a recogniser of sequences takes a GPU if there is one.
        sensitivity: "low", "normal", "high", or false alarms a minute of rest that the spotter may
            raise on simulated faces, the same as the setting rules.sensitivity. Of "rules" it moves
            the threshold in units of noise (`aumer.spotting.noise`), of "combined" the probability
            that an expression needs (`aumer.spotting.judge`); of a network alone nobody measured
            it, and asking for one is an error.
        micro_max_s: the longest micro-expression in seconds: whatever spotted an expression, its
            kind is told anew by its duration. None leaves kinds as the spotter says.
        min_coverage: least share of frames with a usable face, and of the time in which its motion
            could be measured, in [0, 1].
        cache: a folder where features are kept for the next run, or True for aumer's own; an
            interrupted run goes on where it stopped.
        progress: called with the number of frames decoded and the container's estimate, if any;
            True keeps a line of text on stderr, in a notebook as well.
        hook: called with ("track" | "features" | "scores" | "verdicts", value) as these are ready.
        settings: a `Settings`, a TOML file, or ``{"section": {"key": value}}``.
        workers: threads that measure motion; never changes a number.

    Raises:
        UsageError: an argument or a setting cannot be used.
        VideoError: the video cannot be read.
        NoFaceError: fewer than `min_coverage` of the frames hold a usable face.
        NoMotionError: a face is there, but its motion could be measured in no more of the time.
        WeightsError: weights are missing, damaged, or for other ROIs than the graph's.
    """
    with Spotter(
        model=model,
        graph=graph,
        recognizer=recognizer,
        device=device,
        face=face,
        sensitivity=sensitivity,
        micro_max_s=micro_max_s,
        settings=settings,
    ) as spotter:
        work: Callable[..., Any] = spotter.each_face if face == "all" else spotter
        found: SpotResult | tuple[SpotResult, ...] = work(
            video,
            start=start,
            end=end,
            fps=fps,
            min_coverage=min_coverage,
            cache=cache,
            progress=progress,
            hook=hook,
            workers=workers,
        )
    return found


def classify(
    clip: Source | Features,
    *,
    model: str | PathLike[str] | Recognizer = "default",
    onset: int | None = None,
    apex: int | str | None = None,
    offset: int | None = None,
    fps: float | None = None,
    device: str = "auto",
    cache: str | PathLike[str] | bool | None = None,
    progress: Progress | bool | None = None,
    settings: SettingsLike = None,
    workers: int | None = None,
) -> Prediction:
    """Which class one expression is of, by its motion from onset to apex.

    Args:
        clip: a file, a folder of frames, an array (T, H, W, 3) uint8 RGB; or `Features`, for a
            recogniser that reads the motion of ROIs alone.
        model: a shipped recogniser by name, the path of a recogniser's weights (`aumer train`
            writes them), or an object of `aumer.recognition.seam.Recognizer`, whatever it reads of
            a clip. Its classes are the labels.
            The default is "graph", and of features "graph-motion".
        onset, offset: frames (0-based); by default the first and the last with a face.
        apex: a frame, or how it is to be found: "flow-peak" (the default), "roi-difference",
            "midpoint", or a registered way; see `aumer.recognition.apex`.
        fps: frames per second; needed for folders and arrays.
        device: as in `spot`.
        cache, progress, settings, workers: as in `spot`.

    Returns:
        A prediction whose label is `None`, and whose probabilities are equal, where no movement
        from onset to apex reaches two fifths of the setting rules.min_height; its `doubt` says so,
        and where a clip is unlike all but one in a hundred of those the recogniser learnt from.

    Raises:
        UsageError: an argument or a setting cannot be used, or the clip has no such frame.
        VideoError: the clip cannot be read.
        NoFaceError: no face at the onset or the apex, or no motion of one between them.
        WeightsError: the weights are missing or damaged.
    """
    chosen = as_settings(settings)
    check_workers(workers)
    if isinstance(apex, str):
        apexes.check(apex)
    with gathered() as said:
        found = _classified(
            clip,
            model,
            (onset, apex, offset),
            fps=fps,
            device=device,
            cache=cache,
            progress=progress,
            settings=chosen,
            workers=workers,
        )
    return replace(found, notes=once(found.notes, said))


def _classified(
    clip: Source | Features,
    model: str | PathLike[str] | Recognizer,
    frames: tuple[int | None, int | str | None, int | None],
    *,
    fps: float | None,
    device: str,
    cache: str | PathLike[str] | bool | None,
    progress: Progress | bool | None,
    settings: Settings,
    workers: int | None,
) -> Prediction:
    (onset, apex, offset), chosen = frames, settings
    notes: tuple[str, ...] = ()
    if isinstance(clip, Features):
        labeller = _labeller("graph-motion" if model == "default" else model, device, chosen)
        first, last = _ends(clip.frames, onset, offset)
        peak = _apex(apex, first, last, clip, None)
        verdict = labeller.judge_features(clip, Moment(first, last, peak))
        name, content, at, times = "features", None, clip.frames, clip.times
        motion = clip
    else:
        _require_second_pass(clip)
        labeller = _labeller(model, device, chosen)
        _check_face(chosen.face)
        content = content_digest(clip, fps=fps)
        within = FrameRange(onset, offset, labeller.maker.margin)
        kept = Kept(_needed(onset, apex, offset), chosen.motion, MAX_FRAMES)
        with telling(progress) as tell:
            analysis = analyse(
                clip,
                chosen,
                fps=fps,
                frames=within,
                watch=kept,
                cache=_cache(cache, content, chosen, None, None, within),
                progress=tell,
                workers=workers,
            )
        name, track, motion = analysis.video.name, analysis.track, analysis.features
        _require_face(analysis, chosen, 0.0)
        notes = _notes(analysis, chosen.face.follow)
        at, times = track.frames[track.valid], track.times[track.valid]
        first, last = _ends(at, onset, offset)
        peak = _apex(
            apex,
            first,
            last,
            analysis.features,
            lambda: pictures_between(
                clip, first, last, track, chosen.motion, fps=fps, kept=kept.faces
            ),
        )
        moments = [Moment(first, last, peak)]
        found = labeller(clip, moments, track, analysis.features, fps=fps, kept=kept.faces)[0]
        if found is None:
            raise NoFaceError(
                f"{name}: no motion of a face can be measured from frame {first} to {peak}: it is "
                "hidden or too small in one of them, or the two do not show one face. Give other "
                "frames with onset and apex"
            )
        verdict = found
    in_force = chosen.to_dict()
    span = first, peak, last
    seconds: list[float] = np.interp(span, at, times).tolist()
    return Prediction(
        clip=name,
        label=verdict.label,
        probs=verdict.probs,
        onset=first,
        apex=peak,
        offset=last,
        onset_s=seconds[0],
        apex_s=seconds[1],
        offset_s=seconds[2],
        attribution=verdict.attribution,
        doubt=verdict.doubt or (None if isinstance(apex, int) else _away(motion, chosen, span)),
        recognizer=labeller.recognizer.name,
        settings={
            **in_force,
            "input": {"onset": onset, "apex": apex, "offset": offset, "fps": fps},
        },
        digests={
            **_digests(in_force, content, labeller),
            **_parts(chosen if content else None, ("recognizer", labeller.recognizer)),
        },
        versions=versions(),
        notes=notes,
        flow_map=verdict.flow_map,
    )


#: A face that is still this far away at the offset, of its way at the apex, has not come back.
_BACK = 0.75


def _away(features: Features, settings: Settings, span: tuple[int, int, int]) -> str | None:
    """The doubt of an expression that does not end where it began: which of the two is rest?"""
    onset, apex, offset = span
    there, left = noise.moved(features, settings.rules, [(onset, apex), (onset, offset)])
    if there is None or left is None or left < _BACK * there:
        return None
    return (
        "the face is not back at the offset: the onset may lie within an expression, which then "
        "moves the other way. Give frames of rest, or the apex"
    )


def _ends(frames: IntArray, onset: int | None, offset: int | None) -> tuple[int, int]:
    """Onset and offset as given, or the first and the last of `frames`."""
    if not len(frames):
        raise UsageError("the features have no row; two frames or more are needed")
    first = int(frames[0]) if onset is None else onset
    last = int(frames[-1]) if offset is None else offset
    if not 0 <= first < last:
        raise UsageError(
            "an expression needs two frames or more, 0 <= onset < offset; found onset "
            f"{first} and offset {last}"
        )
    return first, last


def _apex(
    apex: int | str | None,
    onset: int,
    offset: int,
    features: Features,
    pictures: Callable[[], apexes.Pictures] | None,
) -> int:
    """The apex's frame, given or found; after the onset and not after the offset."""
    way = apex if isinstance(apex, str) else "flow-peak"
    apexes.check(way)
    if apex is not None and not isinstance(apex, str):
        if not onset < apex <= offset:
            raise UsageError(
                f"the apex must lie after the onset and not after the offset; found onset {onset}, "
                f"apex {apex}, offset {offset}"
            )
        return apex

    def none() -> apexes.Pictures:
        raise UsageError(
            f"`apex={way!r}` looks at pictures, which features do not hold",
            fixes=("use `apex='flow-peak'`", "`apex='midpoint'`"),
        )

    return apexes.find(way, apexes.Span(onset, offset, lambda: features, pictures or none))


def _doubts(moments: Sequence[Moment], verdicts: Sequence[Verdict | None]) -> Iterator[str]:
    """Which labels are none, or may mean little, and why."""
    doubts = [None if v is None else v.doubt for v in verdicts]
    for doubt in dict.fromkeys(d for d in doubts if d is not None):
        whose = [
            f"{m.onset}-{m.offset}" for m, d in zip(moments, doubts, strict=True) if d == doubt
        ]
        yield f"labels of the expressions at frames {', '.join(whose)}: {doubt}"


def _labelled(
    expressions: tuple[Expression, ...], verdicts: list[Verdict | None]
) -> tuple[Expression, ...]:
    return tuple(
        e if v is None else replace(e, label=v.label, probs=v.probs)
        for e, v in zip(expressions, verdicts, strict=True)
    )


def _needed(onset: int | None, apex: int | str | None, offset: int | None) -> Container[int]:
    """Frames whose aligned faces may be asked for once the apex is known."""
    if onset is not None and isinstance(apex, int):
        return map_frames(onset, apex)
    return range(onset or 0, sys.maxsize if offset is None else offset + 1)


def _labeller(which: str | PathLike[str] | Recognizer, device: str, settings: Settings) -> Labeller:
    recognizer = load_recognizer(which)
    _place(recognizer, "recogniser", device)
    return Labeller(recognizer, settings.motion, settings.rules)


def _check_face(face: FaceSettings) -> None:
    """Complain of the face stage's parts before a video is read.

    Raises:
        UsageError: nothing is called so, or it cannot be imported here.
        WeightsError: its weights are missing; says how to come by them.
    """
    for kind, name in (("detector", face.detector), ("landmarker", face.landmarker)):
        registry.resolve(kind, name)
        if name in face_weights.TABLE:
            face_weights.find(name)


def load_recognizer(which: str | PathLike[str] | Recognizer) -> Recognizer:
    """A trained recogniser, as `classify` takes it.

    Raises:
        WeightsError: no weights of that name ship, or the file is missing or damaged.
        UsageError: an object that is not trained.
    """
    if isinstance(which, (str, PathLike)):
        name = os.fspath(which)
        return seam.load() if name == "default" else seam.load(name)
    seam.fitted(which)
    return which


def _require_second_pass(video: Source) -> None:
    if isinstance(video, int):
        raise UsageError(
            "expressions of a camera cannot be labelled: their frames are read a second time. "
            "Record it to a file, and give that"
        )


def _digests(
    settings: Mapping[str, Any], content: str | None, labeller: Labeller | None
) -> dict[str, str]:
    found = {
        "settings": digest(settings),
        "content": content,
        "recognizer": labeller.digest if labeller else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _parts(settings: Settings | None, *parts: tuple[str, Any]) -> dict[str, str]:
    """For digests: the code of whatever took part and is not aumer's own.

    Args:
        settings: of the motion, where it was measured.
        parts: kind and part, or `None` for none. Of an object it is the class that counts: what it
            holds has a digest of its own, if any.
    """
    named: list[tuple[str, Any]] = list(used(settings)) if settings else []
    for kind, part in parts:
        code = part if inspect.isroutine(part) or isinstance(part, type) else type(part)
        if part is not None and code.__module__.partition(".")[0] != "aumer":
            named.append((kind, code))
    told = {kind: identity(kind, part) or "unknown" for kind, part in named}
    others = {kind: told[kind] for kind, part in named if told[kind] != part}
    return {"parts": digest(others)} if others else {}


def _cache(
    cache: str | PathLike[str] | bool | None,
    content: str | None,
    settings: Settings,
    start: float | None,
    end: float | None,
    frames: FrameRange | None = None,
) -> FeatureCache | None:
    if cache is None or cache is False or content is None:
        return None
    folder = default_folder() if cache is True else cache
    return FeatureCache(folder, cache_key(content, settings, start, end, frames))


def _model(
    model: str | PathLike[str] | SpotterModel,
    graph: AUGraph | str | PathLike[str] | None,
    device: str,
    settings: Settings,
) -> SpotterModel:
    prior = AUGraph.load(graph) if isinstance(graph, (str, PathLike)) else graph
    if isinstance(model, PathLike) or (isinstance(model, str) and _names_a_file(model)):
        from aumer.spotting.network import NetSpotter

        spotter: SpotterModel = NetSpotter.load(model, graph=prior)
    else:
        spotter = resolve_spotter(model, settings, graph=prior, device=device)
    _place(spotter, "spotter", device)
    return spotter


def _place(part: SpotterModel | Recognizer, what: str, device: str) -> None:
    """Let a part run where it is asked to, or say that it cannot use what it is given.

    Raises:
        UsageError: no such device is known to torch, or the part could use it and it is not here.
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


def _require_dial(model: SpotterModel, asked: str) -> None:
    """Complain of a sensitivity that would move nothing."""
    own = model.sensitivity
    if own is None:
        raise UsageError(
            f"how many false alarms the threshold of {model.name} raises was not measured: it has "
            "no sensitivity to be set",
            fixes=("leave `sensitivity` out", "use `model='combined'` or `model='rules'`"),
        )
    if own != asked:
        raise UsageError(
            f"sensitivity is {asked}, and {model.name} was made with {own}: an object is used as "
            "it is. Make it with the sensitivity that you want, or give its name"
        )


def _names_a_file(model: str) -> bool:
    return model.endswith(".safetensors") or "/" in model or os.sep in model


def as_settings(settings: SettingsLike) -> Settings:
    """Whatever a user may give as settings, as `Settings`."""
    if isinstance(settings, Settings):
        return settings
    if isinstance(settings, Mapping):
        return load_settings(overrides=settings)
    return load_settings(settings)


def versions() -> dict[str, str]:
    """Python's version and those of the packages that can change the numbers."""
    found = {"python": platform.python_version()}
    for name in _NUMERIC:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


#: Seconds that one of several faces must be seen for to get a result.
_LEAST_SEEN_S = 1.0


def _worth_a_result(
    found: tuple[Analysis, ...], video: Source, settings: Settings, min_coverage: float
) -> tuple[Analysis, ...]:
    """Those of several faces that were seen long enough."""
    if not found:
        name = os.fspath(video) if isinstance(video, (str, PathLike)) else "the video"
        raise NoFaceError(
            f"{name}: no frame holds a usable face. Nothing is said about expressions. Check that "
            "a face is in view and large enough (face.min_eye_distance)"
        )
    best = max(found, key=lambda one: one.track.coverage)
    _require_face(best, settings, min_coverage)
    long = [one for one in found if _seconds_seen(one.track) >= _LEAST_SEEN_S]
    return tuple(long) or (best,)


def _seconds_seen(track: FaceTrack) -> float:
    """How long the face was usable, whatever the frame rate."""
    if len(track) < 2:
        return 0.0
    return float(track.valid.sum() * np.median(np.diff(track.times)))


def _require_motion(
    found: tuple[Analysis, ...], settings: Settings, min_coverage: float = 0.0
) -> None:
    """A video without motion is not one without expressions."""
    measured = max(one.coverage for one in found)
    if measured > 0 and measured >= min_coverage:
        return
    track, most = found[0].track, settings.motion.max_gap_s
    steps = np.diff(track.times)
    apart = float(np.median(steps)) if len(steps) else 0.0
    if not apart:
        why = "one frame was analysed, and motion takes two; choose a wider range"
    elif (steps > most).mean() >= 0.5:
        why = (
            f"the analysed frames lie {apart:.3g} s apart, and motion is measured over {most:g} s "
            "at most (motion.max_gap_s). Expressions are over in less; give a video of more frames "
            f"per second, or set `motion.max_gap_s` above {apart:.3g}"
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
    little = f"in {measured:.1%} of the time, and at least {min_coverage:.0%} are needed"
    raise NoMotionError(
        f"{found[0].video.name}: a face is there, but "
        f"{f'its motion could be measured {little}' if measured else 'no motion could be measured'}"
        f": {why}. Nothing is said about expressions"
    )


def _notes(analysis: Analysis, follow: str) -> tuple[str, ...]:
    """What a reader should know of how the face was followed."""
    track, features, notes = analysis.track, analysis.features, []
    if len(features) and features.valid.mean() < 0.5 * track.coverage:
        notes.append(
            f"a face was seen in {track.coverage:.0%} of the frames, but its motion could be "
            f"measured in {features.valid.mean():.0%} of the rows: expressions in the rest are "
            "missed. Cuts, frames more than motion.max_gap_s apart and poor pictures do that"
        )
    if track.turned:
        notes.append(
            f"the picture is turned by {track.turned} degrees clockwise; it was analysed upright, "
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
    return once(notes, analysis.notes)


def _require_face(analysis: Analysis, settings: Settings, min_coverage: float) -> None:
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
        raise NoFaceError(
            f"{name}: {int(track.valid.sum())} of {len(track)} analysed frames hold a usable face "
            f"({track.coverage:.0%}), and at least {min_coverage:.0%} and one frame are needed. "
            "Nothing is said about expressions",
            fixes=(
                "check that a face is in view and large enough (`face.min_eye_distance`)",
                "choose a range with `start` and `end`",
                "lower `min_coverage`",
            ),
        )
