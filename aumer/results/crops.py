"""Images of faces for the timeline, from a second pass over the video."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from aumer.errors import UsageError
from aumer.types import FaceTrack, FloatArray, ImageArray

if TYPE_CHECKING:
    from aumer.video import Source

#: Side of a crop, and upward shift of its center, in sides of the landmarks' box, which ends at the
#: brows; the crop includes the forehead and a margin.
_SIDE, _UP = 1.35, 0.08


def thumbnails(
    source: Source,
    frames: Iterable[int],
    track: FaceTrack,
    *,
    size: int = 128,
    fps: float | None = None,
    within_s: float | None = None,
) -> dict[int, ImageArray]:
    """The face in some frames of a video.

    Only these frames are held in memory, and reading stops after the last of them.

    Args:
        source: as given to `aumer.video.open_video`, except a camera, which cannot be read again.
        frames: 0-based decode ordinals; frames outside the video are left out.
        track: position of the face. A frame without a face is cropped at the box of the nearest
            frame with one, or at its center if the track has no face.
        size: side of the images in px.
        fps: as given to `aumer.video.open_video`.
        within_s: seconds after which reading stops, with the images found so far.

    Returns:
        Frame ordinal -> (size, size, 3) uint8 RGB.

    Raises:
        UsageError: the source is a camera, or `size` is not positive.
        VideoError: the source cannot be read.
    """
    from aumer.video import open_video

    if isinstance(source, int):
        raise UsageError(
            "a camera gives no thumbnails, as its frames cannot be read twice: record a file, "
            "and give that"
        )
    if size < 1:
        raise UsageError(f"the size of a thumbnail must be at least 1 px; found {size}")
    wanted = {int(frame) for frame in frames}
    found: dict[int, ImageArray] = {}
    if not wanted:
        return found
    late = math.inf if within_s is None else time.monotonic() + within_s
    last = max(wanted)

    def keep(index: int, time_s: float) -> bool:
        # For a yielded frame the loop below checks the time and whether it was the last.
        return index in wanted or index > last or time.monotonic() > late

    with closing(open_video(source, fps=fps, keep=keep)) as video:
        for frame in video:
            if frame.index not in wanted or time.monotonic() > late:
                break
            box = _box(frame.index, track)
            found[frame.index] = crop_face(frame.image, box, size)
            if len(found) == len(wanted):
                break
    return found


def crop_face(image: ImageArray, box: FloatArray | None, size: int) -> ImageArray:
    """A square crop of `image` around a face box, scaled to (size, size, 3) uint8.

    The square is moved inside the image; if it is larger, the border is replicated.

    Args:
        image: (H, W, 3) uint8.
        box: (4,) x0, y0, x1, y1 px, the landmarks' bounds; `None` for the center of the image.
        size: side of the result in px.
    """
    import cv2

    height, width = image.shape[:2]
    if box is None:
        side = min(height, width)
        center = np.array([width / 2, height / 2])
    else:
        x0, y0, x1, y1 = (float(v) for v in box)
        side = max(2, round(_SIDE * max(x1 - x0, y1 - y0)))
        center = np.array([(x0 + x1) / 2, (y0 + y1) / 2 - _UP * side])
    rows, columns = (
        np.clip(_inside(round(middle - side / 2), side, limit) + np.arange(side), 0, limit - 1)
        for middle, limit in ((center[1], height), (center[0], width))
    )
    square = image[rows[:, None], columns]
    # INTER_AREA avoids aliasing when shrinking, but is not suited for enlarging.
    how = cv2.INTER_AREA if side >= size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (size, size), interpolation=how), np.uint8)


def _inside(start: int, side: int, limit: int) -> int:
    """The start nearest to `start` at which `side` fits into 0..limit; centered if it does not
    fit.
    """
    return min(max(start, 0), limit - side) if side <= limit else (limit - side) // 2


def _box(frame: int, track: FaceTrack) -> FloatArray | None:
    rows = np.flatnonzero(track.valid)
    if not len(rows):
        return None
    box: FloatArray = track.boxes[rows[np.abs(track.frames[rows] - frame).argmin()]]
    return box
