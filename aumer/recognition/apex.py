"""Where an expression peaks, when only its onset and offset are known. numpy only.

A way ("apex" in the registry) is a function of a `Span` that gives a frame; `find` asks one by
name. `benchmarks/accuracy/apex.py` measures ours on simulated films.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
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

#: The way that is taken where nobody names one.
DEFAULT = "rise-and-fall"
#: The way that takes a lag, after a colon.
_LAGGING = "roi-difference"

#: `rise_and_fall`: knots of its courses, and points of the interval at which they are compared.
_KNOTS, _POINTS = 20, 65
#: The share of the interval at which an apex lies is normal about the middle, before anything is
#: seen of it: the coders' spread is .15 on CASME II and .16 on SAMM.
_SPREAD = 0.16
#: And how many independent measurements the path of a ROI is worth. Of 8, 16 and 24 on seed set A
#: of benchmarks/accuracy/apex.py the last two do alike, and 16 goes to the middle the sooner.
_WORTH = 16.0
#: What no course explains even of a path without noise: no more is believed of a fit.
_FLOOR = 1e-4
#: The clip ends before the face is back where its ROIs end further from the start than this many
#: times the greatest distance from the line between: drift seldom takes them so far.
_CUT = 3.0


@dataclass(frozen=True)
class Span:
    """What a way may look at, made when it is asked for.

    Attributes:
        onset, offset: 0-based frames, with one between at least.
        motion: makes the features from onset to offset.
        pictures: makes the frames (N,) from onset to offset that show a face, the aligned faces in
            gray (N, H, W) uint8, and their landmarks (N, 68, 2) px.
        lag: frames; see `roi_difference`. "roi-difference:3" asks for 3.
    """

    onset: int
    offset: int
    motion: Callable[[], Features]
    pictures: Callable[[], Pictures]
    lag: int = 1


Pictures = tuple[IntArray, ImageArray, FloatArray]


def check(way: str) -> None:
    """Complain of a name that there is not, or a lag, before anything is read.

    Raises:
        UsageError: no way is called so; the message lists them and the nearest. Or a lag that is
            no frame count, or that the way does not have.
    """
    parted(way)


def parted(way: str) -> tuple[str, int]:
    """The name, and the lag after the colon.

    Raises:
        UsageError: as `check`.
    """
    name, colon, lag = way.partition(":")
    if name not in (known := names()):
        raise UsageError(
            f"apex is a frame or one of {', '.join(known)}; found {way!r}."
            + did_you_mean(name, known)
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
    """The ways by name."""
    return registry.names("apex")


def find(way: str, where: Span) -> int:
    """The apex by the way of this name, after the onset unless the interval is one frame long.

    Raises:
        UsageError: there is no such way, it cannot be had here, or gives no frame of the interval.
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
    """The maximum of `roi_difference`, over the frames that show a face; of fewer than its lag asks
    for, with the lag that they have."""
    frames, grays, landmarks = where.pictures()
    if len(frames) < 2:
        raise UsageError(
            f"only {len(frames)} frames from {where.onset} to {where.offset} show a face, "
            "too few to find the apex; give `apex`"
        )
    lag = min(where.lag, len(frames) - 1)
    return int(frames[roi_difference(grays, landmarks[0], lag).argmax()])


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
    back = _comes_back(path, drift, _BACK)
    height = np.pad(_distance(drift if back else path).max(axis=1) ** 2, 1, mode="edge")
    # A row's noise moves the maximum of a plateau; its neighbors know better.
    smooth = height[:-2] + 2 * height[1:-1] + height[2:]
    peak = 1 + int(smooth[1:].argmax())
    return int(np.clip(features.frames[rows[peak]], onset + 1, offset))


def rise_and_fall(features: Features, onset: int, offset: int) -> int:
    """The middle of the hold of the rise, hold and fall that the paths of the ROIs follow.

    Every course of rest, linear rise, hold, linear fall and rest whose knots lie on a grid is
    fitted to the ROIs, each moving as far along it as suits it best: to their paths as they are,
    and to what is left of them without steady drift. How probable a course is follows from what it
    leaves unexplained, as if a path were a fixed number of measurements with noise of unknown
    size, ROIs counting by how far they move, and from where its apex lies: near the middle, as
    coders' do. The apex is the median over all courses. The less one course explains more than
    others, as in noise, the nearer that is to the middle of the interval.

    It depends neither on how far a face moves nor on the rate, and lies between the rows where
    frames do. Rows without motion count as rest. Where the clip ends long before the face is back,
    it is `flow_peak`.

    Args:
        onset, offset: frame ordinals, as `Features.frames` counts them.

    Returns:
        A frame after the onset.

    Raises:
        UsageError: no row of the features lies between the two.
    """
    path = path_between(features, onset, offset, _POINTS)
    line = np.linspace(0, 1, _POINTS)[:, None, None] * path[-1]
    if not _comes_back(path, path - line, _CUT):
        return flow_peak(features, onset, offset)
    places, which, prior, bases = _courses()
    belief = prior.copy()
    for trend, shapes in bases:
        belief -= _WORTH / 2 * _unexplained(path, trend, shapes) / len(bases)
    # Courses of one apex count together, so that the median moves evenly between apexes.
    weight = np.bincount(which, np.exp(belief - belief.max()))
    below = (np.cumsum(weight) - weight / 2) / weight.sum()
    share = float(np.interp(0.5, below, places))
    return int(np.clip(round(onset + share * (offset - onset)), onset + 1, offset))


def _unexplained(
    path: npt.NDArray[np.float64], trend: npt.NDArray[np.float64], shapes: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Logarithm of the share of the ROIs' paths (T, R, 2) that each course (N, T) leaves: (N,).

    Args:
        trend: (K, T) orthonormal rows that are taken from the paths first.
    """
    flat = path.reshape(len(path), -1)
    flat = flat - trend.T @ (trend @ flat)
    whole = (flat**2).reshape(len(path), -1, 2).sum(axis=(0, 2))
    weight = np.sqrt(whole)
    if not weight.any():
        return np.zeros(len(shapes))
    met = ((shapes @ flat) ** 2).reshape(len(shapes), -1, 2).sum(axis=2)
    share = np.divide(met, whole, out=np.zeros_like(met), where=whole > 0)
    left = np.log(np.maximum(1 - share, 0) + _FLOOR)
    return np.asarray(left @ (weight / weight.sum()))


_Basis = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@lru_cache(maxsize=1)
def _courses() -> tuple[npt.NDArray[np.float64], IntArray, npt.NDArray[np.float64], list[_Basis]]:
    """Courses of `rise_and_fall`.

    Returns:
        Apexes (M,) as shares of the interval; which of them each course has (N,); the logarithm of
        how probable the course is beforehand (N,); and for paths as they are and without drift
        what is taken from them (K, `_POINTS`) and the courses without it (N, `_POINTS`), of
        length 1.
    """
    grid = range(_KNOTS + 1)
    knots = np.array(
        [(a, b, c, d) for a in grid for b in grid[a + 1 :] for c in grid[b:] for d in grid[c + 1 :]]
    )
    a, b, c, d = (knots.T / _KNOTS)[:, :, None]
    at = np.linspace(0, 1, _POINTS)
    levels = np.clip((at - a) / (b - a), 0, 1) * np.clip((d - at) / (d - c), 0, 1)
    level = np.full(_POINTS, 1 / np.sqrt(_POINTS))
    slope = (at - 0.5) / np.linalg.norm(at - 0.5)
    bases: list[_Basis] = []
    for trend in (np.stack([level]), np.stack([level, slope])):
        shapes = levels - levels @ trend.T @ trend
        bases.append((trend, shapes / np.linalg.norm(shapes, axis=1, keepdims=True)))
    places, which, many = np.unique(
        knots[:, 1] + knots[:, 2], return_inverse=True, return_counts=True
    )
    places = places / (2 * _KNOTS)
    # Many courses peak near the middle and few near an end; that says nothing of faces.
    prior = -0.5 * ((places - 0.5) / _SPREAD) ** 2 - np.log(many)
    return places, which, prior[which], bases


def both_ends(features: Features, onset: int, offset: int) -> int:
    """The frame at which the ROIs are furthest from where they are at the onset and the offset.

    The mean over ROIs of the distance from the one place plus that from the other; of several
    frames in a row that are as far, the middle one.

    Args:
        onset, offset: frame ordinals, as `Features.frames` counts them.

    Raises:
        UsageError: no row of the features lies between the two.
    """
    path = path_between(features, onset, offset, offset - onset + 1)
    far = (_distance(path - path[0]) + _distance(path - path[-1])).mean(axis=1)
    top = np.flatnonzero(far >= far.max() * (1 - 1e-9))
    return max(onset + 1, onset + round(float(top[[0, -1]].mean())))


def path_between(
    features: Features, onset: int, offset: int, points: int
) -> npt.NDArray[np.float64]:
    """Where each ROI is at `points` even steps from onset to offset: (points, R, 2) float64 px.

    From where it is at the first row; linear between rows. Rows without motion count as rest.

    Raises:
        UsageError: no row of the features lies between the two.
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
    rest: not further from the start than `most` times the greatest distance from the line."""
    end, far = _distance(path[-1:]).max(), _distance(drift).max(axis=1)
    # Rest, and then a rise to the last frame: what is furthest from the line is the true onset.
    away = _distance(path[[int(far.argmax())]]).max()
    return bool(end <= most * far.max() and away >= _AWAY * end)


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
        f"the features have no motion from frame {onset} to {offset}: they hold {span}, "
        f"{features.rate:g} rows a second. Give an interval within them, or raise motion.rate"
    )


def roi_difference(
    grays: ImageArray, landmarks: FloatArray, lag: int = 1
) -> npt.NDArray[np.float64]:
    """How far each frame is from onset and offset, against how fast the face changes in it.

    Quang et al. (CapsuleNet for micro-expression recognition, FG 2019): the mean over ten cells of
    the mean over pixels of (|I_t - I_onset| + 1) / (|I_t - I_t-lag| + 1), plus the same against the
    offset. The apex is the maximum.

    Args:
        grays: (T, H, W) uint8 aligned faces from onset to offset.
        landmarks: (68, 2) px of the first of them.
        lag: frames; 1 in the authors' code, 3 in a paper that uses it again.

    Returns:
        (T,) float64; 0 for the first `lag` frames, which have no earlier one.

    Raises:
        UsageError: a lag below 1, or no more frames than it.
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
    """Quang et al.'s ten cells as x0, y0, x1, y1 px: (10, 4) int64, cut at the image (H, W).

    Squares as wide as half the mouth: on its corners, above the chin, beside the nose over the
    corners' height, outside the eyes, and three in a row at the height of the brows.
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


if not TYPE_CHECKING:  # a name that there is not stays an error
    __getattr__ = moved(__name__, {"METHODS": "aumer.recognition.apex.names"})
