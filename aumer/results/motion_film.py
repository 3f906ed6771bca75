"""Films of the aligned face and of its flow in color.

Picture i of a film shows row i of the features, so films have their rate and length. The video is
read a second time, and the face is aligned by the landmarks of the track.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from aumer.config import load_settings
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.flow import resolve as resolve_flow
from aumer.motion import AlignedFace, align, nearest, without_head
from aumer.types import FloatArray, ImageArray
from aumer.video import content_digest, open_video
from aumer.video.writer import VideoFile

if TYPE_CHECKING:
    from aumer.progress import Progress
    from aumer.results.motion import Motion
    from aumer.video import Source

#: Speed with full brightness, in outer-eye distances per second.
FULL_SPEED = 0.2


def write_films(
    motion: Motion,
    source: Source,
    *,
    crop: StrPath | None = None,
    flow: StrPath | None = None,
    fps: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write films of the aligned face, its flow, or both, in one pass over the video and in
    constant memory.

    Films have one picture for each row of the features, the size of the canonical crop, and the
    features' rate. The flow is from the row's frame to the next analyzed one, by the flow of the
    settings, on the whole crop, without head motion; `flow_picture` explains the colors. A row
    without a face is black and says "no face"; in the flow's film a row whose motion could not be
    measured is black and says "no motion".

    Args:
        motion: the motion measured in `source`.
        source: as given to `aumer.video.open_video`, except a camera, which cannot be read again.
        crop, flow: .mp4, .mov, .avi, or .mkv, which is lossless (FFV1); None omits this film.
        fps: as given for the measurement.
        overwrite: replace existing files.
        progress: called with the number of decoded frames and the container's estimate of the
            total, if any.

    Raises:
        UsageError: the source is a camera or not the measured video, there are no rows, or a file
            cannot be written.
        VideoError: the source cannot be read.
    """
    if isinstance(source, int):
        raise UsageError(
            "a camera cannot be filmed, as its frames must be read twice: record a file, and give "
            "that"
        )
    if crop is None and flow is None:
        raise UsageError("say what to film: `crop=PATH`, `flow=PATH`, or both")
    measured_in = motion.digests.get("content")
    if measured_in is not None and content_digest(source, fps=fps) != measured_in:
        raise UsageError(
            f"this is not the video that was measured ({motion.video.name}): its content differs, "
            "or `fps` does. Give the file, folder or array that was measured, and the same `fps`"
        )
    features, track = motion.features, motion.track
    if not len(features):
        raise UsageError(
            f"{motion.video.name}: there is no motion to film, which needs two analyzed "
            "frames or more; choose a wider range with `start` and `end`"
        )
    settings = load_settings(overrides={"motion": motion.settings["motion"]}).motion
    side = settings.crop
    measure = resolve_flow(settings.flow) if flow else None
    no_face, no_motion = _saying("no face", side), _saying("no motion", side)
    shown = nearest(track.times, features.times)
    far = np.abs(track.times[shown] - features.times) > settings.max_gap_s
    with ExitStack() as stack:
        faces = stack.enter_context(closing(_aligned(motion, source, side, fps, progress)))
        crops, flows = (
            stack.enter_context(_video(path, features.rate, side, overwrite)) if path else None
            for path in (crop, flow)
        )
        this = next(faces)
        for k in range(len(track)):
            following = next(faces, None)
            rows = range(*np.searchsorted(shown, (k, k + 1)).tolist())
            moves = no_motion
            if measure and this and following and features.valid[rows.start : rows.stop].any():
                still = without_head(measure(this.gray, following.gray), settings.max_head_residual)
                if still is not None:
                    seconds = track.times[k + 1] - track.times[k]
                    moves = flow_picture(still / np.float32(features.eye_distance * seconds))
            for row in rows:
                there = this is not None and not far[row]
                if crops:
                    crops.write(_rgb(this.gray) if this is not None and there else no_face)
                if flows:
                    measured = moves if features.valid[row] else no_motion
                    flows.write(measured if there else no_face)
            this = following


def flow_picture(speed: FloatArray, full: float = FULL_SPEED) -> ImageArray:
    """A flow in color (HSV): hue is the direction and brightness the speed.

    Right is red, down yellow-green, left cyan, up violet (a color wheel, clockwise from red); black
    is no motion.

    Args:
        speed: (H, W, 2) float32, x to the right and y down.
        full: the speed with full brightness, in the same unit.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    size, angle = cv2.cartToPolar(
        np.ascontiguousarray(speed[..., 0]),
        np.ascontiguousarray(speed[..., 1]),
        angleInDegrees=True,
    )
    hsv = np.stack([angle, np.ones_like(size), np.clip(size / full, 0, 1)], axis=-1)
    rgb = cv2.cvtColor(hsv.astype(np.float32), cv2.COLOR_HSV2RGB)
    return np.asarray(np.rint(255 * rgb), np.uint8)


def _aligned(
    motion: Motion, source: Source, side: int, fps: float | None, progress: Progress | None
) -> Generator[AlignedFace | None, None, None]:
    """The aligned face in each row of the track, `None` without a face."""
    track, done = motion.track, 0
    rows = {int(track.frames[k]): int(k) for k in np.flatnonzero(track.valid)}
    if rows:
        last = max(rows)
        with closing(open_video(source, fps=fps, keep=lambda index, _: index in rows)) as video:
            found, measured = video.info, motion.video
            if (found.width, found.height) != (measured.width, measured.height):
                raise UsageError(
                    f"motion was measured in {measured.name}, {measured.width}x{measured.height} "
                    f"pixels; found {found.name}, {found.width}x{found.height}. Give the same video"
                )
            for frame in video:
                if progress:
                    progress(frame.index + 1, found.frames_estimate)
                row = rows[frame.index]
                yield from (None for _ in range(done, row))
                yield align(frame.image, track.landmarks[row], side)
                done = row + 1
                if frame.index == last:
                    break
    yield from (None for _ in range(done, len(track)))


def _video(path: StrPath, rate: float, side: int, overwrite: bool) -> VideoFile:
    codec = "FFV1" if Path(path).suffix.lower() == ".mkv" else None
    return VideoFile(path, fps=rate, size=(side, side), codec=codec, overwrite=overwrite)


def _rgb(gray: ImageArray) -> ImageArray:
    return np.repeat(gray[..., None], 3, axis=-1)


def _saying(words: str, side: int) -> ImageArray:
    """A black square with a centered text."""
    picture = np.zeros((side, side, 3), np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, _), _ = cv2.getTextSize(words, font, 1.0, 1)
    scale = 0.6 * side / width
    (width, height), _ = cv2.getTextSize(words, font, scale, 1)
    corner = ((side - width) // 2, (side + height) // 2)
    cv2.putText(picture, words, corner, font, scale, (160, 160, 160), 1, cv2.LINE_AA)
    return picture
