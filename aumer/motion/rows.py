"""Resampling of motion between frames to the rows of a fixed time grid."""

from __future__ import annotations

import numpy as np

from aumer.types import BoolArray, FloatArray, IntArray, TimeArray, runs


def resample(
    times: TimeArray, steps: FloatArray, joined: BoolArray, rate: float
) -> tuple[TimeArray, FloatArray, BoolArray]:
    """Motion between frames at any times -> motion per step of a fixed grid.

    Displacement is summed along every unbroken run of frames and linearly interpolated at the
    instants i / rate: so the sum over a movement does not depend on the frame rate.

    Shapes:
        times (N,) increasing seconds; steps (N - 1, R, 2) px from frame k to k + 1; joined (N - 1,)
        bool, False if no motion could be measured; returns times (T,), values (T, R, 2) with NaN
        where invalid, and valid (T,). Fewer than two frames give T = 0.
    """
    rois = steps.shape[1]
    count = int(np.floor(times[-1] * rate + 1e-3)) if len(times) > 1 else 0
    first = int(np.ceil(times[0] * rate - 1e-3)) if len(times) else 0
    grid = np.arange(first, count + 1) / rate
    rows = max(0, len(grid) - 1)
    values = np.full((rows, rois, 2), np.nan, np.float32)
    for begin, end in runs(joined):
        at = times[begin : end + 1]
        path = np.concatenate(
            [np.zeros((1, rois, 2)), np.cumsum(steps[begin:end], axis=0, dtype=np.float64)]
        )
        # An instant beyond the run's end only by rounding belongs to it. Searched for, since in ten
        # hours there may be tens of thousands of runs.
        first_row = int(np.searchsorted(grid, at[0] - 1e-3 / rate))
        after = int(np.searchsorted(grid, at[-1] + 1e-3 / rate, side="right"))
        if after - first_row < 2:
            continue
        flat = path.reshape(len(path), -1)
        instants = grid[first_row:after]
        # Column by column: ten hours would need half a gigabyte at once.
        for column, into in zip(flat.T, values.reshape(rows, -1).T, strict=True):
            into[first_row : after - 1] = np.diff(np.interp(instants, at, column))
    valid = np.asarray(np.isfinite(values).all(axis=(1, 2)), np.bool_)
    return grid[:rows], values, valid


def nearest(times: TimeArray, instants: TimeArray) -> IntArray:
    """Index of the time nearest to each instant; `times` is increasing and not empty."""
    right = np.searchsorted(times, instants).clip(1, max(1, len(times) - 1))
    right = np.minimum(right, len(times) - 1)
    left = np.maximum(right - 1, 0)
    closer = instants - times[left] <= times[right] - instants
    return np.asarray(np.where(closer, left, right), np.int64)


def at_rows(times: TimeArray, values: FloatArray, grid: TimeArray, rate: float) -> FloatArray:
    """Values of the steps between frames, at the rows of a grid.

    Shapes:
        times (N,) increasing seconds; values (N - 1, R), of the step from frame k to k + 1; grid
        (T,) as `resample` gives it; returns (T, R): the values of the step that contains each row's
        middle.
    """
    step = np.searchsorted(times, grid + 0.5 / rate, side="right") - 1
    at: FloatArray = values[step.clip(0, max(0, len(values) - 1))]
    return at
