"""Methods that find the apex from onset and offset. numpy only.

A method ("apex" in the registry) is a function of a `Span` that returns a frame; `find` calls one
by name. `benchmarks/accuracy/apex.py` measures aumer's methods on simulated films.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aumer import registry
from aumer._moved import moved
from aumer.errors import UsageError, did_you_mean
from aumer.recognition.course import apex_position
from aumer.types import Features, FloatArray, ImageArray, IntArray

#: Landmarks: mouth corners, chin, outer eye corners, middle of the brows, tip of the nose.
_MOUTH_R, _MOUTH_L, _CHIN, _EYE_R, _EYE_L, _BROW_R, _BROW_L, _NOSE = 48, 54, 8, 36, 45, 19, 24, 30

#: The face has returned to rest if its ROIs end no further from the start than this factor times
#: the greatest distance from the line between. From 1.5 on results on complete expressions do not
#: change; for clips cut at the apex smaller is better (films of benchmarks/accuracy/apex.py).
_BACK = 1.5
#: At its greatest distance the face must also have gone at least this share of the way from start
#: to end: drift alone reaches at most half of it in half the time.
_AWAY = 0.25

#: `rise_and_fall`: the clip ends before the face has returned if its ROIs end further from the
#: start than this factor times the greatest distance from the line between: drift seldom goes so
#: far.
_CUT = 6.0

#: The default method.
DEFAULT = "rise-and-fall"
#: The method with a lag, given after a colon.
_LAGGING = "roi-difference"


@dataclass(frozen=True)
class Span:
    """The input of a method; motion and pictures are made when they are called for.

    Attributes:
        onset, offset: 0-based frames, with at least one in between.
        motion: returns the features from onset to offset.
        pictures: returns the frames (N,) from onset to offset that show a face, the aligned gray
            faces (N, H, W) uint8, and their landmarks (N, 68, 2) px.
        lag: frames; see `roi_difference`. "roi-difference:3" means a lag of 3.
    """

    onset: int
    offset: int
    motion: Callable[[], Features]
    pictures: Callable[[], Pictures]
    lag: int = 1


Pictures = tuple[IntArray, ImageArray, FloatArray]


def check(way: str) -> None:
    """Check the name of a method and its lag before anything is read.

    Raises:
        UsageError: unknown name (the message lists all, and the nearest), or a lag that is not a
            frame count or that the method does not have.
    """
    parted(way)


def parted(way: str) -> tuple[str, int]:
    """The name and the lag of a text such as "roi-difference:3".

    Raises:
        UsageError: as `check`.
    """
    name, colon, lag = way.partition(":")
    if name not in (known := names()):
        raise UsageError(
            f"apex must be a frame, 0 or more, or one of {', '.join(known)}; found {way!r}. "
            f"Leave it out to find it as in the recognizer's training.{did_you_mean(name, known)}"
        )
    if not colon:
        return name, 1
    if name != _LAGGING or not (lag.isascii() and lag.isdigit() and int(lag) >= 1):
        raise UsageError(
            f"only {_LAGGING!r} takes a number, its lag of 1 frame or more, as in "
            f"'{_LAGGING}:3'; found {way!r}"
        )
    return name, int(lag)


def names() -> tuple[str, ...]:
    """The names of all methods."""
    return registry.names("apex")


def find(way: str, where: Span) -> int:
    """The apex by the named method; later than the onset unless the interval is one frame long.

    Raises:
        UsageError: unknown method, one that cannot be used here, or one that returns no frame of
            the interval.
    """
    onset, offset = where.onset, where.offset
    name, lag = parted(way)
    if offset <= onset + 1:
        return offset
    found = int(registry.resolve("apex", name)(replace(where, lag=lag)))
    if not onset <= found <= offset:
        raise UsageError(
            f"the apex by {way!r} must lie from the onset {onset} to the offset {offset}; found "
            f"{found}"
        )
    return max(onset + 1, found)


def by_midpoint(where: Span) -> int:
    """`midpoint`."""
    return midpoint(where.onset, where.offset)


def by_flow_peak(where: Span) -> int:
    """`flow_peak`."""
    return flow_peak(where.motion(), where.onset, where.offset)


def by_rise_and_fall(where: Span) -> int:
    """`rise_and_fall`."""
    return rise_and_fall(where.motion(), where.onset, where.offset)


def by_both_ends(where: Span) -> int:
    """`both_ends`."""
    return both_ends(where.motion(), where.onset, where.offset)


def by_roi_difference(where: Span) -> int:
    """The maximum of `roi_difference`, over the frames that show a face; with too few frames for
    its lag, the lag is reduced.
    """
    frames, grays, landmarks = where.pictures()
    if len(frames) < 2:
        raise UsageError(
            f"only {len(frames)} frames from {where.onset} to {where.offset} show a face, "
            "too few to find the apex; give `apex`"
        )
    lag = min(where.lag, len(frames) - 1)
    return int(frames[roi_difference(grays, landmarks[0], lag).argmax()])


def midpoint(onset: int, offset: int) -> int:
    """The middle frame; of two the earlier."""
    return (onset + offset) // 2


def flow_peak(features: Features, onset: int, offset: int) -> int:
    """The frame after the onset at which an ROI is furthest from rest.

    A face is at rest at the onset and, except for drift, at the offset: distances are measured from
    the line that joins the two ends of an ROI's path. If the ends are further apart than any ROI
    ever is from that line, or if the face still rests when it is furthest from it, the clip ends
    before the face has returned; then the paths are used without subtracting the line. Rows without
    motion count as rest. The resolution is that of the features.

    Args:
        onset, offset: frame ordinals, as `Features.frames` counts them.

    Raises:
        UsageError: no row of the features lies between onset and offset.
    """
    rows = rows_between(features, onset, offset)
    steps = np.nan_to_num(features.values[rows[:-1]].astype(np.float64))
    path = np.concatenate([np.zeros((1, *steps.shape[1:])), np.cumsum(steps, axis=0)])
    drift = path - np.linspace(0, 1, len(path))[:, None, None] * path[-1]
    back = _comes_back(path, drift, _BACK)
    height = np.pad(_distance(drift if back else path).max(axis=1) ** 2, 1, mode="edge")
    # Smoothed over neighbors, since noise moves the maximum of a plateau.
    smooth = height[:-2] + 2 * height[1:-1] + height[2:]
    peak = 1 + int(smooth[1:].argmax())
    return int(np.clip(features.frames[rows[peak]], onset + 1, offset))


def rise_and_fall(features: Features, onset: int, offset: int) -> int:
    """The apex from a fit of rise, hold and fall to the paths of the ROIs: the middle of the hold.

    It is the median of all courses weighted by their probability, which follows from how action
    units and how errors of measurement move ROIs, and from where coders see apexes
    (`aumer.recognition.course`). The less the courses differ in fit, as in noise, the nearer it is
    to the middle of the interval.

    It depends neither on the amplitude nor on the rate, and may lie between rows. Rows without
    motion count as rest. If the clip ends long before the face has returned, `flow_peak` is used.

    Args:
        onset, offset: frame ordinals, as `Features.frames` counts them.

    Returns:
        A frame after the onset.

    Raises:
        UsageError: no row of the features lies between onset and offset.
    """
    points = max(len(rows_between(features, onset, offset)), 3)
    path = path_between(features, onset, offset, points)
    line = np.linspace(0, 1, points)[:, None, None] * path[-1]
    if not _comes_back(path, path - line, _CUT):
        return flow_peak(features, onset, offset)
    begin, end = np.interp((onset, offset), features.frames, features.times)
    share = apex_position(path, float(end - begin), features.rois)
    return int(np.clip(round(onset + share * (offset - onset)), onset + 1, offset))


def both_ends(features: Features, onset: int, offset: int) -> int:
    """The frame at which the ROIs are furthest from their positions at onset and offset.

    It maximizes the mean over ROIs of the sum of both distances; of several equal frames in a row
    the middle one.

    Args:
        onset, offset: frame ordinals, as `Features.frames` counts them.

    Raises:
        UsageError: no row of the features lies between onset and offset.
    """
    path = path_between(features, onset, offset, offset - onset + 1)
    far = (_distance(path - path[0]) + _distance(path - path[-1])).mean(axis=1)
    top = np.flatnonzero(far >= far.max() * (1 - 1e-9))
    return max(onset + 1, onset + round(float(top[[0, -1]].mean())))


def path_between(
    features: Features, onset: int, offset: int, points: int
) -> npt.NDArray[np.float64]:
    """Position of each ROI at `points` even steps from onset to offset: (points, R, 2) float64 px.

    Relative to the first row; linear between rows. Rows without motion count as rest.

    Raises:
        UsageError: no row of the features lies between onset and offset.
    """
    rows = rows_between(features, onset, offset)
    rows = np.arange(max(rows[0] - 1, 0), min(rows[-1] + 2, len(features.frames)))
    steps = np.nan_to_num(features.values[rows[:-1]].astype(np.float64))
    path = np.concatenate([np.zeros((1, *steps.shape[1:])), np.cumsum(steps, axis=0)])
    at = np.interp(np.linspace(onset, offset, points), features.frames[rows], np.arange(len(rows)))
    low = np.minimum(at.astype(np.int64), len(rows) - 2)
    part = (at - low)[:, None, None]
    return np.asarray((1 - part) * path[low] + part * path[low + 1])


def _comes_back(path: npt.NDArray[np.float64], drift: npt.NDArray[np.float64], most: float) -> bool:
    """Whether paths (T, R, 2), which differ by `drift` from the line that joins their ends, end at
    rest: no further from the start than `most` times the greatest distance from the line.
    """
    end, far = _distance(path[-1:]).max(), _distance(drift).max(axis=1)
    # In a clip of rest and then a rise to the last frame, the point furthest from the line is the
    # true onset.
    away = _distance(path[[int(far.argmax())]]).max()
    return bool(end <= most * far.max() and away >= _AWAY * end)


def _distance(path: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Euclidean norm, (T, R, 2) -> (T, R)."""
    return np.asarray(np.linalg.norm(path, axis=-1))


def rows_between(features: Features, onset: int, offset: int) -> IntArray:
    """Rows of `features` from the one nearest to `onset` to the one nearest to `offset`.

    Raises:
        UsageError: the interval lies outside the features, or is shorter than one row.
    """
    frames = features.frames
    if len(frames) and onset <= frames[-1] and offset >= frames[0]:
        first, last = (int(np.abs(frames - frame).argmin()) for frame in (onset, offset))
        if first < last:
            return np.arange(first, last + 1)
    span = f"frames {frames[0]} to {frames[-1]}" if len(frames) else "no frame"
    raise UsageError(
        f"the features have no motion from frame {onset} to {offset}: they hold {span}, "
        f"{features.rate:g} rows a second. Give an interval within them, or raise motion.rate"
    )


def roi_difference(
    grays: ImageArray, landmarks: FloatArray, lag: int = 1
) -> npt.NDArray[np.float64]:
    """Difference of each frame from onset and offset, relative to its rate of change.

    Quang et al. (CapsuleNet for micro-expression recognition, FG 2019): the mean over ten cells of
    the mean over pixels of (|I_t - I_onset| + 1) / (|I_t - I_t-lag| + 1), plus the same against the
    offset. The apex is the maximum.

    Args:
        grays: (T, H, W) uint8 aligned faces from onset to offset.
        landmarks: (68, 2) px in the first face.
        lag: frames; 1 in the authors' code, 3 in a later paper that uses the method.

    Returns:
        (T,) float64; 0 for the first `lag` frames, which have no earlier one.

    Raises:
        UsageError: a lag below 1 or not smaller than the number of frames.
    """
    if not 1 <= lag < len(grays):
        raise UsageError(
            f"lag must be 1 or more and less than the {len(grays)} frames from onset to offset; "
            f"found {lag}"
        )
    scores = np.zeros(len(grays))
    boxes = difference_cells(landmarks, grays.shape[1:])
    for x0, y0, x1, y1 in boxes:
        cell = grays[:, y0:y1, x0:x1].astype(np.float64)
        changed = np.abs(cell[lag:] - cell[:-lag]) + 1
        far = np.abs(cell[lag:] - cell[0]) + np.abs(cell[lag:] - cell[-1]) + 2
        scores[lag:] += (far / changed).mean(axis=(1, 2))
    return scores / len(boxes)


def difference_cells(landmarks: FloatArray, shape: tuple[int, ...]) -> IntArray:
    """Quang et al.'s ten cells as x0, y0, x1, y1 px: (10, 4) int64, clipped to the image (H, W).

    Squares with half the width of the mouth: on its corners, above the chin, beside the nose above
    the corners, outside the eyes, and three in a row at the brows.
    """
    p = landmarks.astype(np.float64)
    side = (p[_MOUTH_L, 0] - p[_MOUTH_R, 0]) / 2
    half = side / 2
    brows = (p[_BROW_R] + p[_BROW_L]) / 2
    centers = np.array(
        [
            p[_MOUTH_R],
            p[_MOUTH_L],
            p[_CHIN] - (0, half),
            (p[_NOSE, 0] - half, p[_MOUTH_R, 1] - side),
            (p[_NOSE, 0] + half, p[_MOUTH_L, 1] - side),
            p[_EYE_R] - (half, 0),
            p[_EYE_L] + (half, 0),
            brows - np.array([side, 0]),
            brows,
            brows + np.array([side, 0]),
        ]
    )
    corners = np.rint(np.concatenate([centers - half, centers + half], axis=1)).astype(np.int64)
    limit = np.array([shape[1], shape[0]] * 2)
    low = np.clip(corners[:, :2], 0, limit[:2] - 1)
    return np.concatenate([low, np.clip(corners[:, 2:], low + 1, limit[2:])], axis=1)


if not TYPE_CHECKING:  # unknown names must stay errors for mypy
    __getattr__ = moved(__name__, {"METHODS": "aumer.recognition.apex.names"})
