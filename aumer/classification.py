"""The class of one expression: `aumer.classify`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from os import PathLike

import numpy as np

from aumer.arguments import whole
from aumer.config import MAX_RATE, Settings
from aumer.errors import NoFaceError, UsageError
from aumer.log_capture import collected_warnings, unique
from aumer.motion.analysis import analyze, check_workers
from aumer.motion.frames import FrameRange
from aumer.progress import Progress, telling
from aumer.recognition import apex as apexes
from aumer.recognition.action_units import ActionUnits, AUReader
from aumer.recognition.clips import pictures_between
from aumer.recognition.interface import Recognizer
from aumer.recognition.labeler import Labeler
from aumer.results import Prediction
from aumer.session import (
    SettingsLike,
    as_settings,
    cache_of,
    check_cache,
    check_face,
    devices_of,
    digests_of,
    labeler_of,
    notes_of,
    parts_used,
    reader_settings,
    reading_of,
    require_face,
    require_maps,
    require_second_pass,
    tell_devices,
    versions,
)
from aumer.spotting import noise
from aumer.types import ActingUnit, Features, IntArray, Moment
from aumer.video import Source, content_digest, open_video


def classify(
    clip: Source | Features,
    *,
    model: str | PathLike[str] | Recognizer = "default",
    aus: bool | str | PathLike[str] | AUReader = True,
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
    """Classify one expression by its motion from onset to apex.

    Args:
        clip: a file, a folder of frames, an array (T, H, W, 3) uint8 RGB; or `Features`, for a
            recognizer that reads the motion of ROIs alone.
        model: a shipped recognizer by name, the path of a recognizer's weights (`aumer train`
            writes them), or an `aumer.recognition.interface.Recognizer`, whatever it reads from a
            clip. Its classes are the labels. The default is "graph", and for features
            "graph-motion". If it was trained on clips of films, every frame is looked at, as in
            training: motion.rate is raised to the clip's frame rate. So it is if motion.rate would
            leave fewer than three frames.
        aus: True also reads action units, with the AU reader that ships; or another reader: its
            name, the path of its weights, or an `aumer.recognition.action_units.AUReader`. Not
            possible for features, which hold no flow map.
        onset, offset: frames (0-based); by default the first and the last frame with a face.
        apex: a frame, or how to find it: as for the clips that the recognizer was trained on
            (`Recognizer.apex`, the default), "rise-and-fall", "flow-peak", "both-ends",
            "roi-difference", "midpoint", or a registered way; see `aumer.recognition.apex`.
        fps: frames per second; needed for folders and arrays.
        device: as in `spot`.
        cache, progress, settings, workers: as in `spot`.

    Returns:
        A prediction. Its label is `None`, its outcome "no expression" and all classes are equally
        probable if nothing moves more from onset to apex than that face does at rest: the threshold
        is five standard deviations of its noise, as the frames that were read show it, or two
        fifths of the setting rules.min_height, whichever is more; in less than about 5 s of frames
        the latter. Its outcome is "uncertain" if the most probable class is less probable than the
        setting classify.abstain_below. Its `doubt` says so, and also if a clip is less like those
        that the recognizer was trained on than 99 of 100 of these.

    Raises:
        UsageError: an argument or a setting cannot be used, or the clip has no such frame.
        VideoError: the clip cannot be read.
        NoFaceError: no face at the onset or the apex, or no motion of one between them.
        WeightsError: the weights are missing or damaged.

    Example:
        >>> named = aumer.classify("interview.mp4", onset=18, offset=42)
        >>> named.label
        'positive'
        >>> round(sum(named.probs.values()), 6)
        1.0
    """
    chosen = as_settings(settings)
    check_workers(workers)
    check_cache(cache)
    if isinstance(apex, str):
        apexes.check(apex)
    elif apex is not None:
        apex = _frame("apex", apex)
    onset = None if onset is None else _frame("onset", onset)
    offset = None if offset is None else _frame("offset", offset)
    with collected_warnings() as logged:
        found = _classified(
            clip,
            model,
            aus,
            (onset, apex, offset),
            fps=fps,
            device=device,
            cache=cache,
            progress=progress,
            settings=chosen,
            workers=workers,
        )
    return replace(found, notes=unique(found.notes, logged))


def _classified(
    clip: Source | Features,
    model: str | PathLike[str] | Recognizer,
    aus: bool | str | PathLike[str] | AUReader,
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
    asked = apex
    notes: tuple[str, ...] = ()
    reading: ActionUnits | None = None
    units: tuple[ActingUnit, ...] | None = None
    if isinstance(clip, Features):
        require_maps(aus)
        labeler = labeler_of("graph-motion" if model == "default" else model, device, chosen)
        first, last = _ends(clip.frames, onset, offset)
        if outside := [f for f in (first, last) if not clip.frames[0] <= f <= clip.frames[-1]]:
            raise UsageError(
                f"the features have frames {clip.frames[0]} to {clip.frames[-1]}; found "
                f"{outside[0]}. Frames are counted from 0"
            )
        peak = _apex(apex, first, last, clip, None)
        verdict = labeler.judge_features(clip, Moment(first, last, peak))
        name, content, at, times = "features", None, clip.frames, clip.times
        motion = clip
    else:
        require_second_pass(clip)
        labeler = labeler_of(model, device, chosen)
        reading = reading_of(aus, chosen)
        check_face(chosen.face)
        chosen = _looking(clip, fps, chosen, (onset, offset), labeler, reading)
        content = content_digest(clip, fps=fps)
        within = FrameRange(onset, offset, labeler.maker.margin)
        way = labeler.recognizer.apex
        if apex is None and way != apexes.DEFAULT:  # which needs no stored pictures
            apex = way
        kept = labeler.maker.keeper(onset, apex, offset, maps=reading is not None)
        with telling(progress) as tell:
            analysis = analyze(
                clip,
                chosen,
                fps=fps,
                frames=within,
                watch=kept,
                cache=cache_of(cache, content, chosen, None, None, within),
                progress=tell,
                workers=workers,
            )
        kept.video = analysis.video
        name, track, motion = analysis.video.name, analysis.track, analysis.features
        require_face(analysis, chosen, 0.0)
        notes = notes_of(analysis, chosen.face.follow)
        at, times = track.frames[track.valid], track.times[track.valid]
        first, last = _ends(at, onset, offset)
        peak = _apex(
            apex,
            first,
            last,
            analysis.features,
            lambda: pictures_between(
                clip, first, last, track, labeler.maker.motion, fps=fps, kept=kept.faces
            ),
        )
        moments = [Moment(first, last, peak)]
        if reading is not None and kept.serves(reading.maker):
            kept.fill(clip, moments, track, fps=fps)
        found = labeler(clip, moments, track, analysis.features, fps=fps, kept=kept)[0]
        if found is None:
            raise NoFaceError(
                f"{name}: no motion of a face can be measured from frame {first} to {peak}: it is "
                "hidden or too small in one of them, or the two do not show one face. Give other "
                "frames with onset and apex"
            )
        verdict = found
        if reading is not None:
            (units,) = reading(clip, moments, track, analysis.features, fps=fps, kept=kept)
    in_force = chosen.to_dict()
    span = first, peak, last
    seconds: list[float] = np.interp(span, at, times).tolist()
    devices = devices_of(chosen.motion if content else None, recognizer=labeler.recognizer)
    tell_devices(devices)
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
        aus=units,
        outcome=verdict.outcome,
        doubt=verdict.doubt or (None if isinstance(apex, int) else _away(motion, chosen, span)),
        recognizer=labeler.recognizer.name,
        settings={
            **in_force,
            **reader_settings(reading),
            "input": {"onset": onset, "apex": asked, "offset": offset, "fps": fps},
        },
        digests={
            **digests_of(in_force, content, labeler, reading),
            **parts_used(
                chosen if content else None,
                ("recognizer", labeler.recognizer),
                ("au-reader", reading and reading.reader),
            ),
        },
        versions=versions(),
        devices=devices,
        notes=notes,
        flow_map=verdict.flow_map,
    )


#: A clip with fewer frames to look at than this shows no rise.
_FEW = 3


def _looking(
    clip: Source,
    fps: float | None,
    settings: Settings,
    ends: tuple[int | None, int | None],
    *stages: Labeler | ActionUnits | None,
) -> Settings:
    """The settings, with motion.rate raised to the clip's frame rate where every frame matters.

    It does if a stage is known to have learned from clips that aumer made of films, in which the
    face is followed on every frame (`aumer.training.clips`): landmarks between frames that are
    looked at are interpolated, and probabilities would differ. What ships learned from flow images.
    It also does if motion.rate leaves too few frames, as of an onset and an apex at 200 frames a
    second.
    """
    with closing(open_video(clip, fps=fps)) as video:
        rate, count = fps or video.info.fps, video.info.frames_estimate
    if rate is None or rate <= settings.motion.rate:
        return settings
    onset, offset = ends
    last = offset if offset is not None else count - 1 if count is not None else None
    few = last is not None and (last - (onset or 0)) * settings.motion.rate < (_FEW - 1) * rate
    of_films = any(s.part.motion is not None or s.part.inputs is not None for s in stages if s)
    if not few and not of_films:
        return settings
    return replace(settings, motion=replace(settings.motion, rate=min(rate, MAX_RATE)))


#: If at the offset this share of the movement at the apex is still left, the face has not come
#: back.
_BACK = 0.75


def _away(features: Features, settings: Settings, span: tuple[int, int, int]) -> str | None:
    """A doubt, if the expression does not end where it began: which of the two is rest?"""
    onset, apex, offset = span
    there, left = noise.moved(features, settings.rules, [(onset, apex), (onset, offset)])
    if there is None or left is None or left < _BACK * there:
        return None
    return (
        "the face is not back at the offset: the onset may lie within an expression, which then "
        "moves the other way. Give frames of rest, or the apex"
    )


def _ends(frames: IntArray, onset: int | None, offset: int | None) -> tuple[int, int]:
    """The given onset and offset, or the first and the last of `frames`."""
    if not len(frames):
        raise UsageError("the features must have two frames or more; found none")
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
    """The frame of the apex, given or found; later than the onset and at most the offset."""
    way = apex if isinstance(apex, str) else apexes.DEFAULT
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
            f"`apex={way!r}` needs the video's frames, which features do not hold",
            fixes=(f"use `apex='{apexes.DEFAULT}'`", "`apex='midpoint'`"),
        )

    return apexes.find(way, apexes.Span(onset, offset, lambda: features, pictures or none))


def _frame(name: str, value: object) -> int:
    return whole(name, value, "a frame, which is a whole number")
