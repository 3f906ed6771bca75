"""Where an expression peaks, when only its onset and offset are known. numpy only.

A way ("apex" in the registry) is a function of a `Span` that gives a frame; `find` asks one by
name. `benchmarks/accuracy/apex.py` measures ours on simulated films.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aumer import registry
from aumer._moved import moved
from aumer.errors import UsageError, did_you_mean
from aumer.types import Features, FloatArray, ImageArray, IntArray

#: Landmarks: mouth corners, chin, outer eye corners, middle of the brows, tip of the nose.
_MOUTH_R, _MOUTH_L, _CHIN, _EYE_R, _EYE_L, _BROW_R, _BROW_L, _NOSE = 48, 54, 8, 36, 45, 19, 24, 30

#: The face is back at rest where its ROIs end no further from the start than this many times the
#: greatest distance from the line between. From 1.5 on whole expressions are found alike, and those
#: cut at the apex the better the smaller it is (benchmarks/accuracy/apex.py's films).
_BACK = 1.5
#: And where it is at that distance at least this share as far from the start as it ends: drift
#: takes it half-way at most in half the time.
_AWAY = 0.25


@dataclass(frozen=True)
class Span:
    """What a way may look at, made when it is asked for.

    Attributes:
        onset, offset: 0-based frames, with one between at least.
        motion: makes the features from onset to offset.
        pictures: makes the frames (N,) from onset to offset that show a face, the aligned faces in
            grey (N, H, W) uint8, and their landmarks (N, 68, 2) px.
    """

    onset: int
    offset: int
    motion: Callable[[], Features]
    pictures: Callable[[], Pictures]


Pictures = tuple[IntArray, ImageArray, FloatArray]


def check(way: str) -> None:
    """Complain of a name that there is not before anything is read.

    Raises:
        UsageError: no way is called so; the message lists them and the nearest.
    """
    if way not in (known := names()):
        raise UsageError(
            f"apex is a frame or one of {', '.join(known)}; found {way!r}."
            + did_you_mean(way, known)
        )


def names() -> tuple[str, ...]:
    """The ways by name."""
    return registry.names("apex")


def find(way: str, where: Span) -> int:
    """The apex by the way of this name, after the onset unless the interval is one frame long.

    Raises:
        UsageError: there is no such way, it cannot be had here, or gives no frame of the interval.
    """
    onset, offset = where.onset, where.offset
    if offset <= onset + 1:
        return offset
    found = int(registry.resolve("apex", way)(where))
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


def by_roi_difference(where: Span) -> int:
    """The maximum of `roi_difference`, over the frames that show a face."""
    frames, greys, landmarks = where.pictures()
    if len(frames) < 2:
        raise UsageError(
            f"only {len(frames)} frames from {where.onset} to {where.offset} show a face, too few "
            "to find an apex among; give `apex`"
        )
    return int(frames[roi_difference(greys, landmarks[0]).argmax()])


def midpoint(onset: int, offset: int) -> int:
    """The frame half-way, the earlier one where there are two."""
    return (onset + offset) // 2


def flow_peak(features: Features, onset: int, offset: int) -> int:
    """The frame after the onset at which a ROI is furthest from where it was at rest.

    A face is at rest at the onset and, but for what drifts meanwhile, at the offset: the path of
    each ROI is taken from the line that joins its two ends. Where the ends are further apart than
    any ROI ever is from that line, or where the face still rests when it is furthest from it, the
    clip ends before the face is back, and the paths stand as they are. Rows without motion count as
    rest. It is as fine as the features' rate.

    Args:
        onset, offset: frame ordinals, as `Features.frames` counts them.

    Raises:
        UsageError: no row of the features lies between the two.
    """
    rows = rows_between(features, onset, offset)
    steps = np.nan_to_num(features.values[rows[:-1]].astype(np.float64))
    path = np.concatenate([np.zeros((1, *steps.shape[1:])), np.cumsum(steps, axis=0)])
    drift = path - np.linspace(0, 1, len(path))[:, None, None] * path[-1]
    end = _distance(path[-1:]).max()
    back = end <= _BACK * _distance(drift).max()
    # Rest, and then a rise to the last frame: what is furthest from the line is the true onset.
    corner = int(_distance(drift).max(axis=1).argmax())
    back = back and _distance(path[[corner]]).max() >= _AWAY * end
    height = np.pad(_distance(drift if back else path).max(axis=1) ** 2, 1, mode="edge")
    # A row's noise moves the maximum of a plateau; its neighbours know better.
    smooth = height[:-2] + 2 * height[1:-1] + height[2:]
    peak = 1 + int(smooth[1:].argmax())
    return int(np.clip(features.frames[rows[peak]], onset + 1, offset))


def _distance(path: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(T, R, 2) -> (T, R)."""
    return np.asarray(np.linalg.norm(path, axis=-1))


def rows_between(features: Features, onset: int, offset: int) -> IntArray:
    """Rows of `features` from the one nearest to `onset` to the one nearest to `offset`.

    Raises:
        UsageError: the interval lies outside the features, or is shorter than one of their steps.
    """
    frames = features.frames
    if len(frames) and onset <= frames[-1] and offset >= frames[0]:
        first, last = (int(np.abs(frames - frame).argmin()) for frame in (onset, offset))
        if first < last:
            return np.arange(first, last + 1)
    span = f"frames {frames[0]} to {frames[-1]}" if len(frames) else "no frame"
    raise UsageError(
        f"no motion is known from frame {onset} to {offset}: the features hold {span}, "
        f"{features.rate:g} rows a second. Give an interval within them, or raise motion.rate"
    )


def roi_difference(
    greys: ImageArray, landmarks: FloatArray, lag: int = 1
) -> npt.NDArray[np.float64]:
    """How far each frame is from onset and offset, against how fast the face changes in it.

    Quang et al. (CapsuleNet for micro-expression recognition, FG 2019): the mean over ten cells of
    the mean over pixels of (|I_t - I_onset| + 1) / (|I_t - I_t-lag| + 1), plus the same against the
    offset. The apex is the maximum.

    Args:
        greys: (T, H, W) uint8 aligned faces from onset to offset.
        landmarks: (68, 2) px of the first of them.
        lag: frames; 1 in the authors' code, 3 in a paper that uses it again.

    Returns:
        (T,) float64; 0 for the first `lag` frames, which have no earlier one.

    Raises:
        UsageError: a lag below 1, or no more frames than it.
    """
    if not 1 <= lag < len(greys):
        raise UsageError(
            f"lag must be 1 or more and less than the {len(greys)} frames from onset to offset; "
            f"found {lag}"
        )
    scores = np.zeros(len(greys))
    boxes = difference_cells(landmarks, greys.shape[1:])
    for x0, y0, x1, y1 in boxes:
        cell = greys[:, y0:y1, x0:x1].astype(np.float64)
        changed = np.abs(cell[lag:] - cell[:-lag]) + 1
        far = np.abs(cell[lag:] - cell[0]) + np.abs(cell[lag:] - cell[-1]) + 2
        scores[lag:] += (far / changed).mean(axis=(1, 2))
    return scores / len(boxes)


def difference_cells(landmarks: FloatArray, shape: tuple[int, ...]) -> IntArray:
    """Quang et al.'s ten cells as x0, y0, x1, y1 px: (10, 4) int64, cut at the image (H, W).

    Squares as wide as half the mouth: on its corners, above the chin, beside the nose over the
    corners' height, outside the eyes, and three in a row at the height of the brows.
    """
    p = landmarks.astype(np.float64)
    side = (p[_MOUTH_L, 0] - p[_MOUTH_R, 0]) / 2
    half = side / 2
    brows = (p[_BROW_R] + p[_BROW_L]) / 2
    centres = np.array(
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
    corners = np.rint(np.concatenate([centres - half, centres + half], axis=1)).astype(np.int64)
    limit = np.array([shape[1], shape[0]] * 2)
    low = np.clip(corners[:, :2], 0, limit[:2] - 1)
    return np.concatenate([low, np.clip(corners[:, 2:], low + 1, limit[2:])], axis=1)


if not TYPE_CHECKING:  # a name that there is not stays an error
    __getattr__ = moved(__name__, {"METHODS": "aumer.recognition.apex.names"})
