"""Makes the clips that a recognizer reads from moments of a video."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from aumer._moved import moved
from aumer.config import MotionSettings
from aumer.errors import NoFaceError, UsageError
from aumer.flow import resolve as resolve_flow
from aumer.motion import AlignedFace
from aumer.recognition.apex import Pictures, rows_between
from aumer.recognition.face_position import BY_LANDMARKS, FacePosition
from aumer.recognition.flow_map import flow_map
from aumer.recognition.frames import (
    Faces,
    FramePart,
    Kept,
    aligned_faces,
    landmarks_at,
    landmarks_in,
    read,
)
from aumer.recognition.sequences.clips import ClipSequence
from aumer.recognition.sequences.inputs import KeptSequence, SequencePart, SequenceSettings
from aumer.recognition.trained import Reads, Trained
from aumer.types import FaceTrack, Features, FloatArray, Frame, Moment, VideoInfo
from aumer.video import Source

if TYPE_CHECKING:
    from typing_extensions import Self

#: Most frames of one expression in memory: 50 s at 200 frames per second, 160 MB.
MAX_FRAMES = 10_000
#: The input of a recognizer: a flow map or motion as an array, or a sequence.
Clip = FloatArray | ClipSequence


@dataclass(frozen=True, eq=False)
class Made:
    """The clip made from a moment.

    Attributes:
        number: index of the moment.
        clip: the input of the recognizer; `None` if it cannot be made.
        why: the reason why it cannot be made.
    """

    number: int
    clip: Clip | None
    why: str = ""


def map_frames(onset: int, apex: int) -> tuple[int, ...]:
    """The frames for a flow map: both, and one in between for the flow to follow."""
    return tuple(sorted({onset, (onset + apex) // 2, apex}))


class Keeper:
    """Stores what a clip maker needs while the face is followed (a `Watch` of
    `aumer.motion.analysis`), so that the video is decoded only once.

    If the analysis of the video was cached, it stores nothing, and clips are read from the video.

    Args: as `ClipMaker.keeper`.

    Attributes:
        faces: aligned faces, by frame.
        sequence: the frames of a sequence; `None` if no sequence is read.
        video: the video, once it is known.
    """

    def __init__(
        self,
        maker: ClipMaker,
        onset: int | None,
        offset: int | None,
        frames: Container[int],
    ) -> None:
        self._maker, self._motion = maker, maker.motion
        self._watched = Kept(frames, maker.motion, MAX_FRAMES)
        self.faces: Mapping[int, AlignedFace] = self._watched.faces
        self.sequence: KeptSequence | None = None
        self.video: VideoInfo | None = None
        if maker.reads == "sequence":
            size, most = (maker.sequences or SequenceSettings()).size, MAX_FRAMES + 2 * maker.margin
            self.sequence = KeptSequence(onset, offset, maker.margin, size, most)

    def serves(self, maker: ClipMaker) -> bool:
        """Whether it stores what this maker needs; it may have been made by another maker."""
        own, motion = self._motion, maker.motion
        same = (own.crop, own.max_gap_s) == (motion.crop, motion.max_gap_s)
        return same and (maker.reads == "flow-map" or maker == self._maker)

    def wants(self, index: int) -> bool:
        """See `aumer.motion.analysis.Watch`."""
        sequence = self.sequence
        return self._watched.wants(index) or (sequence is not None and sequence.wants(index))

    def see(self, frame: Frame, landmarks: FloatArray | None) -> None:
        """See `aumer.motion.analysis.Watch`."""
        self._watched.see(frame, landmarks)
        if self.sequence is not None:
            self.sequence.see(frame, landmarks)

    def fill(
        self,
        source: Source,
        moments: Sequence[Moment],
        track: FaceTrack,
        *,
        fps: float | None = None,
    ) -> None:
        """Read the missing frames for flow maps of moments, in one pass for all makers.

        Raises:
            UsageError: the source is a camera.
            VideoError: the source cannot be read.
        """
        frames = {frame for m in moments for frame in map_frames(m.onset, m.apex)}
        self._watched.faces.update(
            aligned_faces(source, frames, track, self._motion, fps=fps, kept=self.faces)
        )


@dataclass(frozen=True)
class ClipMaker:
    """Makes a recognizer's inputs from moments.

    Attributes:
        reads: see `aumer.recognition.trained.Trained`, also for position, rois and to (`reads_to`).
        motion: motion settings for flow maps.
        sequences: settings of sequences; `None` for the default.
    """

    reads: Reads
    motion: MotionSettings
    position: FacePosition = BY_LANDMARKS
    rois: tuple[str, ...] = ()
    sequences: SequenceSettings | None = None
    to: Literal["apex", "offset"] = "offset"

    @classmethod
    def of(cls, part: Trained, motion: MotionSettings) -> Self:
        """The maker for a trained part: makes clips like those in training, if these are known.

        Args:
            motion: motion settings for flow maps if those of training are unknown.
        """
        return cls(
            part.reads[0],
            part.motion or motion,
            part.position,
            part.rois,
            part.inputs or part.default_inputs,
            part.reads_to,
        )

    @property
    def margin(self) -> int:
        """Frames before the onset and after the last one that are also read."""
        if self.reads != "sequence":
            return 0
        settings = self.sequences or SequenceSettings()
        return 0 if settings.length else settings.margin

    def check(self) -> None:
        """Check names before anything is read.

        Raises:
            UsageError: unknown flow.
        """
        resolve_flow(self.motion.flow)
        if self.sequences is not None and self.sequences.flow != "none":
            resolve_flow(self.sequences.flow)

    def keeper(
        self,
        onset: int | None,
        apex: int | str | None,
        offset: int | None,
        *,
        maps: bool = False,
    ) -> Keeper:
        """A `Keeper` that stores what this maker and the method for the apex need of a moment.

        Args:
            onset, offset: `None` for the first and last frame with a face.
            apex: a frame, or the method to find it; `None` for a method that reads motion.
            maps: also store what flow maps need.
        """
        frames: Container[int] = range(onset or 0, sys.maxsize if offset is None else offset + 1)
        if self.reads != "flow-map" and not maps and not isinstance(apex, str):
            frames = ()
        elif onset is not None and isinstance(apex, int):
            frames = map_frames(onset, apex)
        return Keeper(self, onset, offset, frames)

    def __call__(
        self,
        source: Source,
        moments: Sequence[Moment],
        track: FaceTrack,
        features: Features | None = None,
        *,
        fps: float | None = None,
        kept: Keeper | None = None,
    ) -> Iterator[Made]:
        """Make the clip of each moment, as soon as its frames are read.

        One pass over the video up to the last needed frame; none for motion.

        Args:
            source, fps: as given to `aumer.video.open_video`, except a camera.
            track: the face through the source.
            features: its motion, for a recognizer that reads only motion.
            kept: the `Keeper` of one of the moments.

        Raises:
            UsageError: the source is a camera, the flow is unknown, a sequence has more than
                `MAX_FRAMES` frames, or an ROI is missing in the features.
            VideoError: the source cannot be read.
        """
        if self.reads == "motion":
            if features is None:
                raise UsageError("this recognizer reads motion, and there are no features")
            self._check_rois(features)
            for number, moment in enumerate(moments):
                try:
                    yield Made(number, self.motion_of(features, moment))
                except UsageError as error:  # too short for this rate; others may not be
                    yield Made(number, None, str(error))
            return
        if self.reads == "sequence":
            yield from self._sequences(source, moments, track, fps, kept)
        else:
            yield from self._maps(source, moments, track, fps, kept.faces if kept else {})

    def motion_of(self, features: Features, moment: Moment) -> FloatArray:
        """(R, 2) float32: displacement of each ROI from onset to apex, in outer-eye distances.

        Raises:
            UsageError: an ROI is missing in the features, or there is no valid motion at that
                moment.
        """
        self._check_rois(features)
        rows = rows_between(features, moment.onset, moment.apex)[:-1]
        columns = [features.rois.index(roi) for roi in self.rois]
        moved = np.nan_to_num(features.values[rows][:, columns]).sum(axis=0)
        return np.asarray(moved / features.eye_distance, np.float32)

    def _check_rois(self, features: Features) -> None:
        if missing := [roi for roi in self.rois if roi not in features.rois]:
            raise UsageError(
                f"the recognizer reads the ROIs {', '.join(self.rois)}; the features lack "
                f"{', '.join(missing)}"
            )

    def _maps(
        self,
        source: Source,
        moments: Sequence[Moment],
        track: FaceTrack,
        fps: float | None,
        kept: Mapping[int, AlignedFace],
    ) -> Iterator[Made]:
        flow = resolve_flow(self.motion.flow)
        frames = [map_frames(moment.onset, moment.apex) for moment in moments]
        wanted = sorted({frame for own in frames for frame in own})
        places = landmarks_at(wanted, track, self.motion.max_gap_s)
        parts = [
            Faces({k: places[k] for k in own if k in places}, self.motion.crop, kept)
            for own in frames
        ]
        for number, _ in read(source, parts, fps=fps):
            moment, faces = moments[number], parts[number].found
            made = None
            if {moment.onset, moment.apex} <= faces.keys():
                made = flow_map(
                    faces[moment.onset],
                    faces[moment.apex],
                    flow,
                    via=[faces[k] for k in frames[number][1:-1] if k in faces],
                    max_head_residual=self.motion.max_head_residual,
                    position=self.position,
                )
            faces.clear()
            yield Made(
                number,
                made,
                f"no motion of one face from frame {moment.onset} to {moment.apex}: it is hidden "
                "or too small in one of them, or the two do not show one face",
            )

    def _sequences(
        self,
        source: Source,
        moments: Sequence[Moment],
        track: FaceTrack,
        fps: float | None,
        kept: Keeper | None,
    ) -> Iterator[Made]:
        there = kept.sequence if kept else None
        parts: list[FramePart] = []
        for moment in moments:
            end = moment.apex if self.to == "apex" else moment.offset
            if end - moment.onset >= MAX_FRAMES:
                raise UsageError(
                    f"a sequence holds at most {MAX_FRAMES} frames; found {end - moment.onset + 1} "
                    f"from {moment.onset} to {end}. Give `onset` and `offset` of one expression"
                )
            within = range(max(0, moment.onset - self.margin), end + self.margin + 1)
            places = landmarks_in(within, track, self.motion.max_gap_s)
            parts.append(
                SequencePart(
                    moment.onset, moment.apex, end, self.sequences, fps, places=places, kept=there
                )
            )
        for number, video in read(source, parts, fps=fps):
            part = parts[number]
            assert isinstance(part, SequencePart)
            parts[number] = Faces({}, 0)  # frees its frames
            try:
                video = video or (kept.video if kept else None)
                assert video is not None
                yield Made(number, part.made(video))
            except NoFaceError as error:
                yield Made(number, None, str(error))


def pictures_between(
    source: Source,
    onset: int,
    offset: int,
    track: FaceTrack,
    settings: MotionSettings,
    *,
    fps: float | None = None,
    kept: Mapping[int, AlignedFace] = MappingProxyType({}),
) -> Pictures:
    """The value of `aumer.recognition.apex.Span.pictures`, from every frame in between.

    Args:
        kept: aligned faces that were stored before (`aumer.recognition.frames.Kept`).

    Raises:
        UsageError: no frame shows a face, there are more than `MAX_FRAMES` frames, or the source is
            a camera.
        VideoError: the source cannot be read.
    """
    if offset - onset >= MAX_FRAMES:
        raise UsageError(
            f"the apex is searched in the frames of one expression, which must be {MAX_FRAMES} at "
            f"most; found {offset - onset + 1}. Give `onset` and `offset`, or use "
            "`apex='rise-and-fall'`"
        )
    faces = aligned_faces(source, range(onset, offset + 1), track, settings, fps=fps, kept=kept)
    frames = sorted(faces)
    if not frames:
        raise UsageError(
            f"no frame from {onset} to {offset} shows a face, so the apex cannot be found; "
            "give `apex`"
        )
    grays = np.stack([faces[frame].gray for frame in frames])
    return np.array(frames), grays, np.stack([faces[frame].landmarks for frame in frames])


if not TYPE_CHECKING:  # unknown names must stay errors for mypy
    __getattr__ = moved(__name__, {"apex_by_roi_difference": "pictures_between, and apex.find"})
