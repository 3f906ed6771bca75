"""What other recordings of the same face would have given: by a slower camera, or cut short.

Simulated subjects are filmed for minutes at 30 frames a second. Users' clips may last two seconds,
begin or end within an expression, and come from cameras of 15 frames a second: a network that has
never met such a thing takes a smile that the end of a clip cuts off for a change of posture.
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
    """As a camera of `fps` frames a second would have given it, in the same rows.

    Motion adds up to what it was from one of its frames to the next, and is even in between, as
    `aumer.motion.resample` has it; lids and head are read off between its frames. A frame without a
    face takes the rows beside it along.

    Args:
        phase: when the first frame is taken, in [0, 1) of the time between two.

    Raises:
        UsageError: not a positive number of frames a second, or so few that there are no two.
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
    """Columns (T, C) read off at the rows `taken`, and between these; NaN where invalid."""
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
    """Pieces of a video, with gaps between them, of lengths drawn evenly on a logarithmic scale.

    Of an expression that a piece begins or ends in at least half is in it, its apex, and its onset
    or its offset: what is less nobody could name. Ends that would show less are moved out of it.
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
    """The first row by which half of an expression and its apex are over."""
    assert a.offset is not None
    return max(a.onset + (a.offset - a.onset + 1) // 2, a.apex or 0)


def _hidden(a: Annotation) -> int:
    """The last row from which on half of an expression and its apex are to come."""
    assert a.offset is not None
    half = a.onset + (a.offset - a.onset + 1) // 2
    return half if a.apex is None else min(half, a.apex)


def interrupted(video: LabeledVideo, kept: Sequence[Span]) -> LabeledVideo:
    """One video in whose gaps no face is seen; what they cut off of expressions is gone."""
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
    """Each piece as a video of its own, which begins at row, frame and second 0."""
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
    """What is seen of expressions in a piece whose ends were drawn by `spans`."""
    begin, end = span
    found = []
    for a in annotations:
        if a.offset is None or not begin <= _hidden(a) <= _shown(a) <= end - 1:
            continue
        found.append(replace(a, onset=max(a.onset, begin), offset=min(a.offset, end - 1)))
    return found
