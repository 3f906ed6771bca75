"""Flow maps of moments of a video: a second pass over the few frames that they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from aumer.config import MotionSettings
from aumer.errors import UsageError
from aumer.flow import Flow
from aumer.motion import AlignedFace, align
from aumer.recognition.apex import roi_difference
from aumer.recognition.flow_map import flow_map
from aumer.recognition.place import BY_LANDMARKS, Place
from aumer.types import FaceTrack, FloatArray
from aumer.video import Source, open_video

#: Most frames of one expression that are held at once: 50 s at 200 frames a second, 160 MB.
MAX_FRAMES = 10_000


@dataclass(frozen=True)
class Moment:
    """Onset and apex of an expression, 0-based frames."""

    onset: int
    apex: int

    @property
    def frames(self) -> tuple[int, ...]:
        """Those that its flow map is made of: the ends, and one between to lead the flow."""
        return tuple(sorted({self.onset, (self.onset + self.apex) // 2, self.apex}))


def flow_maps(
    source: Source,
    moments: Sequence[Moment],
    track: FaceTrack,
    flow: Flow,
    settings: MotionSettings,
    *,
    fps: float | None = None,
    place: Place = BY_LANDMARKS,
) -> list[FloatArray | None]:
    """The flow map of each moment, in their order.

    Holds the aligned crops of three frames a moment, and stops reading after the last of them.

    Args:
        source, fps: as given to `aumer.video.open_video`, but no camera.
        track: the face through the source.
        place: where the maps shall show the face; see `flow_map`.

    Returns:
        (28, 28, 3) float32 each; `None` where there is no face, or not one face in motion.

    Raises:
        UsageError: the source is a camera.
        VideoError: the source cannot be read.
    """
    wanted = {frame for moment in moments for frame in moment.frames}
    faces = aligned_faces(source, wanted, track, settings, fps=fps)
    maps: list[FloatArray | None] = []
    for moment in moments:
        if not {moment.onset, moment.apex} <= faces.keys():
            maps.append(None)
            continue
        ends = faces[moment.onset], faces[moment.apex]
        between = [faces[k] for k in moment.frames[1:-1] if k in faces]
        maps.append(
            flow_map(
                *ends,
                flow,
                via=between,
                max_head_residual=settings.max_head_residual,
                place=place,
            )
        )
    return maps


def apex_by_roi_difference(
    source: Source,
    onset: int,
    offset: int,
    track: FaceTrack,
    settings: MotionSettings,
    *,
    fps: float | None = None,
    lag: int = 1,
) -> int:
    """The apex frame by `aumer.recognition.apex.roi_difference`, from every frame between.

    Raises:
        UsageError: too few frames show a face, there are more than `MAX_FRAMES`, or the source is
            a camera.
        VideoError: the source cannot be read.
    """
    if offset - onset >= MAX_FRAMES:
        raise UsageError(
            f"the apex by ROI difference is looked for within one expression of at most "
            f"{MAX_FRAMES} frames; found {offset - onset + 1}. Give onset and offset, or use "
            "apex='flow-peak'"
        )
    faces = aligned_faces(source, range(onset, offset + 1), track, settings, fps=fps)
    frames = sorted(faces)
    if len(frames) <= lag:
        raise UsageError(
            f"only {len(frames)} frames from {onset} to {offset} show a face, too few to find an "
            "apex among; give apex="
        )
    greys = np.stack([faces[frame].grey for frame in frames])
    scores = roi_difference(greys, faces[frames[0]].landmarks, lag)
    return frames[int(scores.argmax())]


def aligned_faces(
    source: Source,
    frames: Iterable[int],
    track: FaceTrack,
    settings: MotionSettings,
    *,
    fps: float | None = None,
) -> dict[int, AlignedFace]:
    """The aligned face in some frames, by frame; those without a face or not there are left out.

    Raises:
        UsageError: the source is a camera, which cannot be read a second time.
        VideoError: the source cannot be read.
    """
    if isinstance(source, int):
        raise UsageError(
            "faces are read in a second pass, and a camera cannot be read twice: record it to a "
            "file first"
        )
    places = landmarks_at(sorted(set(frames)), track, settings.max_gap_s)
    found: dict[int, AlignedFace] = {}
    if not places:
        return found
    last = max(places)
    with closing(open_video(source, fps=fps, keep=lambda index, _: index in places)) as video:
        for frame in video:
            found[frame.index] = align(frame.image, places[frame.index], settings.crop)
            if frame.index == last:
                break
    return found


def landmarks_at(
    frames: Sequence[int], track: FaceTrack, max_gap_s: float
) -> dict[int, FloatArray]:
    """Landmarks (68, 2) px in some frames, by frame.

    A video is analysed at most at motion.rate, so a frame may lie between two that were: there the
    landmarks are interpolated, as what rests of the head's motion is found in the flow. Less than
    such a step beyond the first or last face its landmarks stand.

    Args:
        max_gap_s: frames between two with a face that are further apart than this have none.
    """
    seen = np.flatnonzero(track.valid)
    if not len(seen):
        return {}
    at, times = track.frames[seen], track.times[seen]
    step = float(np.median(np.diff(track.frames))) if len(track) > 1 else 1.0
    places = {}
    for frame in frames:
        right = int(np.searchsorted(at, frame))
        if right < len(at) and at[right] == frame:
            places[frame] = track.landmarks[seen[right]]
        elif 0 < right < len(at) and times[right] - times[right - 1] <= max_gap_s:
            share = (frame - at[right - 1]) / (at[right] - at[right - 1])
            before, after = track.landmarks[seen[right - 1]], track.landmarks[seen[right]]
            places[frame] = (before + share * (after - before)).astype(np.float32)
        elif right in (0, len(at)) and abs(frame - at[min(right, len(at) - 1)]) < step:
            places[frame] = track.landmarks[seen[min(right, len(at) - 1)]]
    return places
