"""From a video to spotted and named expressions: connects all stages."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

import numpy as np

from aumer.arguments import number
from aumer.config import DENSE, Settings
from aumer.errors import NoFaceError, UsageError
from aumer.face.mean_face import MEAN_FACE
from aumer.face.trackers import Trackers
from aumer.flow import resolve as resolve_flow
from aumer.graph import AUGraph
from aumer.graph.rois import roi_set
from aumer.log_capture import Pool, collected_warnings, unique
from aumer.motion import Motions
from aumer.motion.analysis import Reached, analyze_all, reached
from aumer.motion.joined import Analysis
from aumer.progress import Progress, telling
from aumer.recognition.action_units import AUReader
from aumer.recognition.clips import Keeper
from aumer.recognition.interface import Recognizer
from aumer.recognition.labeler import Labeler, Verdict
from aumer.results import SpotResult
from aumer.results.schema import jsonable
from aumer.session import (
    MIN_COVERAGE,
    Hook,
    HookedOptions,
    RunOptions,
    SettingsLike,
    VideoRun,
    as_settings,
    cache_of,
    check_face,
    devices_of,
    digests_of,
    labeler_of,
    names_a_file,
    notes_of,
    parts_used,
    put_on_device,
    reader_settings,
    reading_of,
    require_face,
    require_maps,
    require_motion,
    require_second_pass,
    tell_devices,
    versions,
)
from aumer.spotting import noise, stages
from aumer.spotting.interface import SpotterModel, code_of, spotted
from aumer.spotting.interface import resolve as resolve_spotter
from aumer.types import ActingUnit, Expression, FaceTrack, Features, Moment, Scores, VideoInfo
from aumer.video import Keep, Source, VideoReader, content_digest

if TYPE_CHECKING:
    from typing_extensions import Required, Self, Unpack


#: Name of the default spotter.
DEFAULT_MODEL = "combined"


class _Options(HookedOptions, total=False):
    """Arguments of `spot` except the video and the face, for its overloads."""

    model: str | PathLike[str] | SpotterModel
    graph: AUGraph | str | PathLike[str] | None
    recognizer: str | PathLike[str] | Recognizer | None
    aus: bool | str | PathLike[str] | AUReader
    device: str
    sensitivity: str | float | None
    micro_max_s: float | None
    settings: SettingsLike


class _Facts(TypedDict, total=False):
    """Fields of a `SpotResult` that depend on the source of the features."""

    video: Required[VideoInfo]
    coverage: Required[float]
    face: int | None
    notes: tuple[str, ...]
    frames: int
    track: FaceTrack
    source: Path | None


class _Made(TypedDict):
    """Fields of a `SpotResult` that say how it was made."""

    spotter: str
    settings: dict[str, Any]
    digests: dict[str, str]
    versions: dict[str, str]
    devices: dict[str, str]


class Spotter:
    """Spots in any number of videos with one model and one set of settings.

    Detectors and landmarkers are made for the first video and reused. They are released by `close`,
    at the end of a ``with`` block, or when the object is garbage-collected.

    Args:
        model: a spotter's name, the path of a network's weights (``aumer train`` writes them), or a
            `SpotterModel`.
        graph: an `AUGraph`, or its name or path, that replaces the one that a network was trained
            with; over the same ROIs.
        recognizer: labels the spotted expressions; see `classify`. None labels nothing.
        aus: see `spot`.
        device: see `spot`.
        sensitivity, micro_max_s: see `spot`.
        face: which face to follow; overrides the settings; see `spot`.
        settings: a `Settings`, a TOML file, or ``{"section": {"key": value}}``; missing values have
            their defaults.

    Raises:
        UsageError: unknown model; a graph for a model without one; a sensitivity for a model whose
            false alarms were not measured; settings that are unknown, mistyped, out of range, or
            that the network cannot work with.
        WeightsError: the weights are missing, damaged, or for other ROIs.

    Example:
        >>> with aumer.Spotter(model="rules") as spotter:
        ...     for video in ["interview.mp4"]:
        ...         print(spotter(video).summary())
        interview.mp4: 0 micro, 1 macro; coverage 100 %; spotter rules
    """

    def __init__(
        self,
        *,
        model: str | PathLike[str] | SpotterModel = DEFAULT_MODEL,
        graph: AUGraph | str | PathLike[str] | None = None,
        recognizer: str | PathLike[str] | Recognizer | None = None,
        aus: bool | str | PathLike[str] | AUReader = False,
        device: str = "auto",
        face: str | int | None = None,
        sensitivity: str | float | None = None,
        micro_max_s: float | None = None,
        settings: SettingsLike = None,
    ) -> None:
        if micro_max_s is not None:
            allowed = "a number of seconds above 0"
            if not 0 < number("micro_max_s", micro_max_s, allowed) < math.inf:
                raise UsageError(f"micro_max_s must be {allowed}, found {micro_max_s}")
        self._micro_max_s = micro_max_s
        self.settings = as_settings(settings)
        if sensitivity is not None:
            asked = replace(self.settings.rules, sensitivity=sensitivity)  # type: ignore[arg-type]
            self.settings = replace(self.settings, rules=asked)
        if face is not None:
            chosen = replace(self.settings.face, follow=face)  # type: ignore[arg-type]
            self.settings = replace(self.settings, face=chosen)
        if self.settings.motion.preset in DENSE:
            resolve_flow(self.settings.motion.flow)  # refuses unknown names at once
        self._trackers = Trackers(self.settings.face)
        with collected_warnings() as logged:
            self._model: SpotterModel = _model(model, graph, device, self.settings)
            self._model.check(self.settings)
            self._labeler = (
                None if recognizer is None else labeler_of(recognizer, device, self.settings)
            )
            self._reading = reading_of(aus, self.settings)
        tell_devices(self._devices())
        self._load_notes = unique(logged)
        # A spotter without a sensitivity reports its limit at "normal", whatever the settings say.
        usual = replace(self.settings.rules, sensitivity="normal")
        self._rules = self._model.rules or usual
        if sensitivity is not None:
            _require_dial(self._model, self.settings.rules.sensitivity)
        self._of_motion = (
            labeler_of("graph-motion", "auto", self.settings)
            if isinstance(recognizer, str) and recognizer == "default"
            else self._labeler
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def false_alarms(self) -> tuple[float, float, float] | None:
        """See `aumer.spotting.interface.SpotterModel.false_alarms`."""
        return self._model.false_alarms

    def made(self, result: SpotResult) -> bool:
        """Whether this spotter made a result: same name, weights, graph and constants."""
        known = self._model.digests.items()
        return result.spotter == self._model.name and all(
            result.digests.get(name) == digest for name, digest in known
        )

    def close(self) -> None:
        """Release detectors and landmarkers; a later video makes new ones."""
        self._trackers.close()
        self._trackers = Trackers(self.settings.face)

    def __call__(self, video: Source | Features, **options: Unpack[HookedOptions]) -> SpotResult:
        """Spot in one video; the options are those of `each_face`.

        Raises:
            UsageError: the settings request all faces; use `each_face`.
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
        self, video: Source | Features, **options: Unpack[HookedOptions]
    ) -> tuple[SpotResult, ...]:
        """A result for each face that the settings select, by first appearance.

        Options and errors as `spot`. If there are several faces, those seen for less than a second
        are left out, and at least one must reach `min_coverage`.
        """
        with collected_warnings() as logged:
            found = self._each_face(video, VideoRun(**options))
        # Notes from loading the models belong to this result, too.
        before = (*self._load_notes, *self._model.notes)
        return tuple(replace(one, notes=unique(one.notes, before, logged)) for one in found)

    def _each_face(self, video: Source | Features, run: VideoRun) -> tuple[SpotResult, ...]:
        if isinstance(video, Features):
            if (run.start, run.end, run.fps) != (None, None, None):
                raise UsageError(
                    "features have their own times; leave `start`, `end` and `fps` out"
                )
            return (self._in_features(video, run),)
        if self._labeler is not None or self._reading is not None:
            require_second_pass(video)
        check_face(self.settings.face)
        content = content_digest(video, fps=run.fps)
        cache = cache_of(run.cache, content, self.settings, run.start, run.end)
        store = None if cache is None else cache.stages()
        with telling(run.progress) as tell:
            found = analyze_all(
                video,
                self.settings,
                fps=run.fps,
                start=run.start,
                end=run.end,
                cache=cache,
                progress=tell,
                workers=run.workers,
                trackers=self._trackers,
            )
        del cache  # it may hold the arrays of all faces
        motion = asdict(self.settings.motion)
        found = tuple(replace(a, features=replace(a.features, motion=motion)) for a in found)
        if self.settings.face.follow == "all":
            found = _worth_a_result(found, video, self.settings, run.min_coverage)
        else:
            require_face(found[0], self.settings, run.min_coverage)
        require_motion(found, self.settings, run.min_coverage)
        with stages.kept_in(store):
            return tuple(self._result(one, video, run, content) for one in found)

    def _result(
        self, analysis: Analysis, video: Source, run: VideoRun, content: str | None
    ) -> SpotResult:
        track = analysis.track
        run.show("track", track)
        run.show("features", analysis.features)

        both: list[Keeper] = []  # one pass over the frames for both that need flow maps

        def kept(moving: list[Moment]) -> Keeper | None:
            labeler = self._labeler
            if self._reading is None or labeler is None or labeler.maker.reads != "flow-map":
                return None
            if not both:
                both.append(labeler.maker.keeper(None, None, None))
            if not both[0].serves(self._reading.maker):
                return None
            if not both[0].faces:
                both[0].fill(video, moving, track, fps=run.fps)
            return both[0]

        def judged(labeler: Labeler, moving: list[Moment]) -> list[Verdict | None]:
            features = analysis.features
            return labeler(video, moving, track, features, fps=run.fps, kept=kept(moving))

        def acting(moving: list[Moment]) -> list[tuple[ActingUnit, ...] | None]:
            assert self._reading is not None
            features = analysis.features
            return self._reading(video, moving, track, features, fps=run.fps, kept=kept(moving))

        return self._found(
            analysis.features,
            run,
            self._labeler,
            judged,
            None if self._reading is None else acting,
            content,
            {"input": run.ranges},
            video=analysis.video,
            coverage=analysis.coverage,
            face=track.number if self._by_number else None,
            notes=notes_of(analysis, self.settings.face.follow),
            frames=len(track),
            track=track,
            source=Path(video).absolute() if isinstance(video, (str, PathLike)) else None,
        )

    def _found(
        self,
        features: Features,
        run: VideoRun,
        labeler: Labeler | None,
        judged: Callable[[Labeler, list[Moment]], list[Verdict | None]],
        acting: Callable[[list[Moment]], list[tuple[ActingUnit, ...] | None]] | None,
        content: str | None,
        given: Mapping[str, Any],
        **facts: Unpack[_Facts],
    ) -> SpotResult:
        """Spot in features, label the expressions, and record how the result was made.

        Args:
            judged: labels of moments whose apex lies after their onset.
            acting: reads the action units of such moments; `None` reads none.
            given: entries of the result's settings that describe the input.
            facts: fields of the result that depend on whether a video was read.
        """
        with noise.computed_once():
            scores, expressions = self.decide(features)
            limit, limits = noise.limits(features, self._rules)
        run.show("scores", scores)
        if labeler is not None:
            moments = [e.moment for e in expressions]
            verdict_of = iter(judged(labeler, [m for m in moments if m.onset < m.apex]))
            verdicts = [next(verdict_of) if m.onset < m.apex else None for m in moments]
            facts["notes"] = (*facts.get("notes", ()), *_doubts(moments, verdicts))
            expressions = _labeled(expressions, verdicts)
            run.show("verdicts", verdicts)
        if acting is not None:
            units = iter(acting([e.moment for e in expressions if e.onset < e.apex]))
            expressions = tuple(
                replace(e, aus=next(units)) if e.onset < e.apex else e for e in expressions
            )
        return SpotResult(
            **facts,
            expressions=expressions,
            scores=scores,
            **self._made(_as_measured(self.settings, features), labeler, content, given),
            limit=limit,
            limits=limits,
            features=features,
        )

    def _made(
        self,
        measured: Settings,
        labeler: Labeler | None,
        content: str | None,
        given: Mapping[str, Any],
    ) -> _Made:
        """How a result was made; arguments as in `_found`, and the settings of the motion."""
        named = self._kinds()
        if labeler is not None:
            named["recognition"] = {"recognizer": labeler.recognizer.name}
        named.update(reader_settings(self._reading))
        if self._model.threshold is not None:
            named["decision"] = {"threshold": self._model.threshold}
        settings = measured.to_dict()
        return _Made(
            spotter=self._model.name,
            settings={**settings, **named, **given},
            digests={
                **digests_of(settings, content, labeler, self._reading),
                **self._model.digests,
                **parts_used(
                    self.settings if content else None,
                    ("spotter", code_of(self._model)),
                    ("recognizer", labeler and labeler.recognizer),
                    ("au-reader", self._reading and self._reading.reader),
                ),
            },
            versions=versions(),
            devices=self._devices(measures=content is not None),
        )

    def _devices(self, *, measures: bool = True) -> dict[str, str]:
        """Where the parts run, and the motion if it is measured."""
        motion = self.settings.motion if measures else None
        recognizer = None if self._labeler is None else self._labeler.recognizer
        return devices_of(motion, spotter=self._model, recognizer=recognizer)

    def repeats(self, stored: SpotResult, video: Source, **options: Unpack[RunOptions]) -> bool:
        """Whether a stored result belongs to this video and was made as this spotter would make it.

        Compares settings, weights, user code, aumer's version and the part of the video; the video
        is read for its digest, but not analyzed. Options as for a call.
        """
        run = VideoRun(**options)
        content = content_digest(video, fps=run.fps)
        if content is None:  # a camera has no fixed content
            return False
        made = self._made(self.settings, self._labeler, content, {"input": run.ranges})
        return (
            stored.spotter == made["spotter"]
            and stored.settings == jsonable(made["settings"], "settings")
            and stored.digests == made["digests"]
            and stored.versions == made["versions"]
        )

    # -- for live runs (`aumer.live`) ---------------------------------------------

    @property
    def model(self) -> SpotterModel:
        """The spotter model."""
        return self._model

    def reached(
        self, opened: Callable[[Keep], VideoReader], *, keeps_s: float, workers: int | None = None
    ) -> Generator[Reached, None, None]:
        """Follow and measure one face frame by frame; see `aumer.motion.analysis.reached`."""
        return reached(
            lambda keep, _: opened(keep),
            self.settings,
            trackers=self._trackers,
            workers=workers,
            keeps_s=keeps_s,
        )

    def warm_up(self) -> None:
        """Do now what the first frames would wait for: networks are read and code is compiled."""
        settings = self.settings.motion
        picture = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
        landmarks = (MEAN_FACE[:, :2] * 48 + 64).astype(np.float32)
        with self._trackers.lent() as tracker, Pool(1) as pool:
            tracker.look(picture)
            run = Motions(settings)(pool)
            for _ in range(3):
                run.add(picture, landmarks)
            run.steps()
        rows, rois = round(3 * settings.rate), roi_set(settings.rois).names
        still = Features(
            np.zeros((rows, len(rois), 2), np.float32),
            np.arange(rows) / settings.rate,
            np.arange(rows),
            np.ones(rows, np.bool_),
            rois,
            settings.rate,
            eye_distance=settings.crop / 2,
        )
        self.decide(still)

    def check_named(self) -> None:
        """Raise, before the first expression, for a recognizer that `named` cannot use.

        Raises:
            UsageError: it needs more than motion.
        """
        if self._of_motion is not None:
            self._of_motion.check_motion()

    def named(
        self, features: Features, expressions: Sequence[Expression]
    ) -> tuple[Expression, ...]:
        """The expressions, labeled by their motion alone; unchanged if there is no labeler or no
        motion.
        """
        labeler = self._of_motion
        if labeler is None:
            return tuple(expressions)
        verdicts = [
            labeler.judge_features(features, e.moment) if e.onset < e.apex else None
            for e in expressions
        ]
        return _labeled(tuple(expressions), verdicts)

    def decide(self, features: Features) -> tuple[Scores, tuple[Expression, ...]]:
        """The model's expressions, with peaks, and with kinds by `micro_max_s`.

        Raises:
            UsageError: the model cannot read the features.
        """
        with noise.computed_once():
            scores, expressions = spotted(self._model, features)
            expressions = noise.with_peaks(expressions, features, self._rules)
        if self._micro_max_s is not None:
            expressions = tuple(e.limited(self._micro_max_s) for e in expressions)
        return scores, expressions

    def _kinds(self) -> dict[str, dict[str, Any]]:
        """Entries of a result's settings for a requested `micro_max_s`."""
        limit = self._micro_max_s
        return {} if limit is None else {"kind": {"micro_max_s": float(limit)}}

    @property
    def _by_number(self) -> bool:
        follow = self.settings.face.follow
        return follow == "all" or follow.isdecimal()

    def _in_features(self, features: Features, run: VideoRun) -> SpotResult:
        """Spot in features; the video is not read."""
        if self._reading is not None:
            require_maps("asked for")
        coverage = float(features.valid.mean()) if len(features) else 0.0
        if coverage < run.min_coverage or not features.valid.any():
            raise NoFaceError(
                f"{coverage:.0%} of the {len(features)} rows of the features hold motion, and at "
                f"least {run.min_coverage:.0%} and one row are needed",
                fixes=("give other features", "lower `min_coverage`"),
            )

        settings = _as_measured(self.settings, features)
        if settings != self.settings:
            self._model.check(settings)

        def judged(labeler: Labeler, moving: list[Moment]) -> list[Verdict | None]:
            return [labeler.judge_features(features, moment) for moment in moving]

        return self._found(
            features,
            run,
            self._of_motion,
            judged,
            None,
            None,
            {},
            video=VideoInfo("features", "features", 0, 0, features.rate),
            coverage=coverage,
        )


def _as_measured(settings: Settings, features: Features) -> Settings:
    """The settings, with the motion settings that the features were measured with."""
    known = {one.name for one in fields(settings.motion)}
    recorded = {name: value for name, value in (features.motion or {}).items() if name in known}
    return replace(settings, motion=replace(settings.motion, **recorded))


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
    model: str | PathLike[str] | SpotterModel = DEFAULT_MODEL,
    graph: AUGraph | str | PathLike[str] | None = None,
    recognizer: str | PathLike[str] | Recognizer | None = None,
    aus: bool | str | PathLike[str] | AUReader = False,
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
            `Features`, for which no face is searched.
        model: a spotter's name ("combined": rules and a network propose, a judge decides; "rules";
            "network"), the path of a network's weights, or a `SpotterModel`.
        graph: an `AUGraph`, or its name or path, that replaces a network's own.
        recognizer: labels each expression in a second pass over its frames; see `classify`'s
            `model`. An expression whose flow map cannot be made gets no label. With features it
            must be a recognizer that reads motion; "default" is then "graph-motion".
        aus: reads the action units of each expression in a second pass over its frames: True for
            the AU reader that ships, or another reader; see `classify`'s `aus`.
        start, end: seconds; frames with start <= time < end are analyzed.
        fps: frames per second; needed for folders and arrays.
        face: which face: "largest" (the default: the largest one of the first frame that shows
            any), "left" or "right" (as the picture shows them), a number (1 is the first face that
            appears), or "all", which returns a tuple with a result for each, by first appearance. A
            person is followed as long as their face is visible; people are distinguished by
            position and movement, never by appearance.
        device: where networks run, as torch names it; parts that support only the CPU run there and
            a note says so. With "auto" each part runs where it is fastest: a spotting network is
            small and uses the CPU, a recognizer of sequences uses a GPU if there is one.
        sensitivity: "low", "normal", "high", or the accepted number of false alarms per minute of
            rest, as measured on simulated faces; same as the setting rules.sensitivity. For "rules"
            it sets the threshold in units of noise (`aumer.spotting.noise`), for "combined" the
            least probability of an expression (`aumer.spotting.judge`). For a network alone it was
            not measured, and giving it is an error.
        micro_max_s: the longest micro-expression in seconds: the kind of every expression is set by
            its duration. None leaves the kinds of the spotter.
        min_coverage: least share of frames with a usable face, and of the time with measured
            motion, in [0, 1].
        cache: a folder where features are stored for the next run, or True for aumer's own folder;
            an interrupted run continues where it stopped.
        progress: called with the number of decoded frames and the container's estimate of the
            total, if any; True shows a line on stderr, or a bar in a notebook.
        hook: called with ("track" | "features" | "scores" | "verdicts", value) as these are ready.
        settings: a `Settings`, a TOML file, or ``{"section": {"key": value}}``.
        workers: threads that measure motion; they never change the result.

    Raises:
        UsageError: an argument or a setting cannot be used.
        VideoError: the video cannot be read.
        NoFaceError: less than `min_coverage` of the frames hold a usable face.
        NoMotionError: a face is there, but its motion was measured in less than `min_coverage` of
            the time.
        WeightsError: weights are missing, damaged, or for other ROIs than those of the graph.

    Example:
        >>> result = aumer.spot("interview.mp4")
        >>> [(e.kind, e.onset, e.offset) for e in result.expressions]
        [('macro', 19, 41)]
        >>> result.coverage
        1.0
    """
    with Spotter(
        model=model,
        graph=graph,
        recognizer=recognizer,
        aus=aus,
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


def _doubts(moments: Sequence[Moment], verdicts: Sequence[Verdict | None]) -> Iterator[str]:
    """Doubts about labels: missing or unreliable ones, with reasons."""
    doubts = [None if v is None else v.doubt for v in verdicts]
    for doubt in dict.fromkeys(d for d in doubts if d is not None):
        whose = [
            f"{m.onset}-{m.offset}" for m, d in zip(moments, doubts, strict=True) if d == doubt
        ]
        yield f"labels of the expressions at frames {', '.join(whose)}: {doubt}"


def _labeled(
    expressions: tuple[Expression, ...], verdicts: list[Verdict | None]
) -> tuple[Expression, ...]:
    return tuple(
        e if v is None else replace(e, label=v.label, probs=v.probs)
        for e, v in zip(expressions, verdicts, strict=True)
    )


def _model(
    model: str | PathLike[str] | SpotterModel,
    graph: AUGraph | str | PathLike[str] | None,
    device: str,
    settings: Settings,
) -> SpotterModel:
    prior = None if graph is None else AUGraph.load(graph)
    if isinstance(model, PathLike) or (isinstance(model, str) and names_a_file(model)):
        from aumer.spotting.network import NetSpotter

        spotter: SpotterModel = NetSpotter.load(model, graph=prior)
    else:
        spotter = resolve_spotter(model, settings, graph=prior, device=device)
    put_on_device(spotter, "spotter", device)
    return spotter


def _require_dial(model: SpotterModel, asked: str) -> None:
    """Refuse a sensitivity that would have no effect."""
    own = model.sensitivity
    if own is None:
        raise UsageError(
            f"{model.name} has no sensitivity setting: the false alarms of its "
            "threshold were not measured",
            fixes=("leave `sensitivity` out", "use `model='combined'` or `model='rules'`"),
        )
    if own != asked:
        raise UsageError(
            f"sensitivity {asked} cannot be set: the spotter {model.name} is given as an "
            "object, which "
            f"was made with {own}. Make it with the sensitivity that you want, or give its name"
        )


#: With several faces, least seconds that a face must be visible to get a result.
_LEAST_SEEN_S = 1.0


def _worth_a_result(
    found: tuple[Analysis, ...], video: Source, settings: Settings, min_coverage: float
) -> tuple[Analysis, ...]:
    """Of several faces, those that were visible long enough."""
    if not found:
        name = os.fspath(video) if isinstance(video, (str, PathLike)) else "the video"
        raise NoFaceError(
            f"{name}: no frame holds a usable face. Whether there are expressions is not known. "
            "Look at the frames with `aumer view --no-spot VIDEO` (the outer eye corners of a "
            f"usable face are {settings.face.min_eye_distance:g} px apart or more, "
            "face.min_eye_distance)"
        )
    best = max(found, key=lambda one: one.track.coverage)
    require_face(best, settings, min_coverage)
    long = [one for one in found if _seconds_seen(one.track) >= _LEAST_SEEN_S]
    return tuple(long) or (best,)


def _seconds_seen(track: FaceTrack) -> float:
    """Seconds for which the face was usable, at any frame rate."""
    if len(track) < 2:
        return 0.0
    return float(track.valid.sum() * np.median(np.diff(track.times)))
