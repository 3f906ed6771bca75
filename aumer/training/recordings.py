"""Augmentation by other recordings: a slower camera, or shorter clips.

Simulated subjects are filmed for minutes at 30 frames per second. Users' clips may last two
seconds, begin or end within an expression, and come from cameras with 15 frames per second: without
such training data a network takes a smile that is cut off at the end of a clip for a change of
posture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.training.videos import LabeledVideo
from aumer.types import Annotation, BoolArray, Features, FloatArray, runs

#: First row, and the row after the last.
Span = tuple[int, int]


def by_camera(video: LabeledVideo, fps: float, phase: float = 0.0) -> LabeledVideo:
    """The video as recorded by a camera with `fps` frames per second, in the same rows.

    The sum of motion between two of its frames is preserved and spread evenly, as in
    `aumer.motion.resample`; lids and head are interpolated. A frame without a face invalidates the
    adjacent rows.

    Args:
        phase: time of the first frame, in [0, 1) frame intervals.

    Raises:
        UsageError: `fps` is not positive, or so low that there are fewer than two frames.
    """
    f = video.features
    count = len(f)
    if not fps > 0:
        raise UsageError(f"fps must be > 0; found {fps}")
    taken = (phase + np.arange(int(count / f.rate * fps) + 2)) * f.rate / fps  # in rows
    taken = taken[taken <= count]
    if len(taken) < 2:
        raise UsageError(
            f"the features must hold two frames or more; {count} rows hold fewer at {fps:g} "
            "frames a "
            "second"
        )
    values, valid = np.full_like(f.values, np.nan), np.zeros(count, np.bool_)
    for begin, end in runs(f.valid):
        seen = taken[(taken >= begin) & (taken <= end)]
        rows = np.arange(begin, end + 1)
        path = np.cumsum(np.pad(f.values[begin:end].reshape(end - begin, -1), ((1, 0), (0, 0))), 0)
        inside = rows[(rows >= seen[0]) & (rows <= seen[-1])] if len(seen) else rows[:0]
        if len(inside) < 2:
            continue
        at = np.stack(
            [np.interp(inside, seen, np.interp(seen, rows, column)) for column in path.T], axis=1
        )
        values[inside[:-1]] = np.diff(at, axis=0).reshape(-1, *f.values.shape[1:])
        valid[inside[:-1]] = True
    known = np.where(valid[:, None], f.confidence, 0).astype(np.float32)
    made = replace(
        f,
        values=values,
        valid=valid,
        confidence=known,
        eyelids=_between(f.eyelids, taken, valid),
        head=_between(f.head, taken, valid),
    )
    return replace(video, features=made)


def _between(
    values: FloatArray, taken: npt.NDArray[np.floating[Any]], valid: BoolArray
) -> FloatArray:
    """Columns (T, C) sampled at the rows `taken` and interpolated; NaN where invalid."""
    rows = np.arange(len(values))
    out = np.full_like(values, np.nan)
    for k, column in enumerate(values.T):
        known = np.isfinite(column)
        if known.any():
            seen = np.interp(taken, rows[known], column[known])
            out[valid, k] = np.interp(rows[valid], taken, seen)
    return out


def spans(
    video: LabeledVideo,
    rng: np.random.Generator,
    *,
    seconds: tuple[float, float],
    gap_s: tuple[float, float],
) -> tuple[Span, ...]:
    """Random pieces of a video with gaps in between, with log-uniform lengths.

    If a piece begins or ends within an expression, at least half of it, its apex, and its onset or
    offset are inside; otherwise the end is moved out of the expression.
    """
    rate, count = video.features.rate, len(video.features)

    def drawn(limits: tuple[float, float]) -> int:
        return max(1, round(rate * float(np.exp(rng.uniform(*np.log(limits))))))

    truth = [a for a in video.annotations if a.offset is not None]
    found, begin = [], 0
    while begin < count:
        end = begin + drawn(seconds)
        for a in sorted(truth, key=lambda a: a.onset, reverse=True):
            if a.onset < begin < end <= (a.offset or 0):  # it was begun in: its end is seen
                end = (a.offset or 0) + 1
            elif a.onset < end <= _shown(a):  # too little of it is before the end
                end = a.onset
        end = min(end, count)
        if end - begin >= rate * seconds[0] / 2:
            found.append((begin, end))
        begin = max(end, begin + 1) + drawn(gap_s)
        for a in sorted(truth, key=lambda a: a.onset):
            if _hidden(a) < begin <= (a.offset or 0):  # too little of it is from there on
                begin = (a.offset or 0) + 1
    return tuple(found)


def _shown(a: Annotation) -> int:
    """The first row at which half of an expression and its apex are over."""
    assert a.offset is not None
    return max(a.onset + (a.offset - a.onset + 1) // 2, a.apex or 0)


def _hidden(a: Annotation) -> int:
    """The last row before which half of an expression and its apex are still to come."""
    assert a.offset is not None
    half = a.onset + (a.offset - a.onset + 1) // 2
    return half if a.apex is None else min(half, a.apex)


def interrupted(video: LabeledVideo, kept: Sequence[Span]) -> LabeledVideo:
    """One video without a face in the gaps; expressions are cut off there."""
    f = video.features
    inside = np.zeros(len(f), np.bool_)
    for begin, end in kept:
        inside[begin:end] = True
    gone = ~inside
    made = replace(
        f,
        values=np.where(gone[:, None, None], np.nan, f.values).astype(np.float32),
        valid=f.valid & inside,
        confidence=np.where(gone[:, None], 0, f.confidence).astype(np.float32),
        eyelids=np.where(gone[:, None], np.nan, f.eyelids).astype(np.float32),
        head=np.where(gone[:, None], np.nan, f.head).astype(np.float32),
    )
    left = tuple(a for span in kept for a in _within(video.annotations, span))
    return replace(video, features=made, annotations=left)


def separated(video: LabeledVideo, kept: Sequence[Span]) -> tuple[LabeledVideo, ...]:
    """Each piece as a separate video that begins at row, frame and second 0."""
    return tuple(
        replace(
            video,
            name=f"{video.name}-{number + 1}",
            features=_part(video.features, begin, end),
            annotations=tuple(
                replace(
                    a,
                    onset=a.onset - begin,
                    apex=None if a.apex is None else a.apex - begin,
                    offset=None if a.offset is None else a.offset - begin,
                )
                for a in _within(video.annotations, (begin, end))
            ),
        )
        for number, (begin, end) in enumerate(kept)
    )


def _part(f: Features, begin: int, end: int) -> Features:
    rows = slice(begin, end)
    return replace(
        f,
        values=f.values[rows],
        times=f.times[rows] - f.times[begin],
        frames=f.frames[rows] - f.frames[begin],
        valid=f.valid[rows],
        confidence=f.confidence[rows],
        eyelids=f.eyelids[rows],
        head=f.head[rows],
    )


def _within(annotations: Sequence[Annotation], span: Span) -> list[Annotation]:
    """The visible parts of expressions in a piece of `spans`."""
    begin, end = span
    found = []
    for a in annotations:
        if a.offset is None or not begin <= _hidden(a) <= _shown(a) <= end - 1:
            continue
        found.append(replace(a, onset=max(a.onset, begin), offset=min(a.offset, end - 1)))
    return found
