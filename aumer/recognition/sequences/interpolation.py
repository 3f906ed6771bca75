"""Temporal interpolation of sequences to a fixed length, by a matrix.

numpy and scipy only. Every method is linear in the frames, so that one (length, T) matrix applies
to gray values, landmarks and flow.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.types import FloatArray

Method = Literal["linear", "cubic", "tim"]
METHODS: tuple[Method, ...] = get_args(Method)
Floats = npt.NDArray[np.float64]


def positions(frames: int, length: int) -> Floats:
    """`length` equally spaced positions from frame 0 to frame `frames` - 1; the middle if `length`
    is 1.
    """
    if frames < 1 or length < 1:
        raise UsageError(
            f"a sequence has one frame or more, before and after interpolation; found {frames} "
            f"and {length}"
        )
    if length == 1:
        return np.array([(frames - 1) / 2])
    return np.linspace(0.0, frames - 1.0, length)


def weights(frames: int, at: npt.ArrayLike, method: Method = "linear") -> Floats:
    """(len(at), frames) float64: row i holds the weights of the frames for position `at[i]`.

    - linear: between neighbors;
    - cubic: the not-a-knot cubic spline through all frames (exact for cubics; fewer than 4 frames:
      the polynomial through them);
    - tim: the temporal interpolation model (Zhou, Zhao, Pietikainen, CVPR 2011). Its curve is a
      combination of the eigenvectors of a path graph's Laplacian, which are the cosines of the
      DCT-II, and passes through every frame: so it is the cosine series of the frames, and exact
      for cos(pi k (t + 1/2) / frames), k < frames.

    Raises:
        UsageError: unknown method, or a position outside [0, frames - 1].
    """
    where = np.asarray(at, np.float64)
    if method not in METHODS:
        raise UsageError(f"method must be one of {', '.join(METHODS)}; found {method!r}")
    if where.size and not (where.min() >= 0 and where.max() <= frames - 1):
        raise UsageError(
            f"positions lie in 0 to {frames - 1}; found {where.min():g} to {where.max():g}"
        )
    if frames == 1:
        return np.ones((len(where), 1))
    unit = np.eye(frames)
    if method == "tim":
        k = np.arange(frames)
        series = np.cos(np.pi * k * (np.arange(frames)[:, None] + 0.5) / frames)
        share = np.where(k == 0, 1.0, 2.0) / frames
        curve = np.cos(np.pi * k * (where[:, None] + 0.5) / frames)
        return np.asarray((curve * share) @ series.T, np.float64)
    if method == "cubic":
        from scipy.interpolate import CubicSpline

        return np.asarray(CubicSpline(np.arange(frames), unit)(where), np.float64)
    left = np.minimum(where.astype(np.int64), frames - 2)
    share = (where - left)[:, None]
    return np.asarray((1 - share) * unit[left] + share * unit[left + 1], np.float64)


def interpolate(values: npt.NDArray[Any], length: int, method: Method = "linear") -> FloatArray:
    """(T, ...) of any number type -> (length, ...) float32, with the first and last frame
    unchanged.

    Raises:
        UsageError: no frame, length < 1, or an unknown method.
    """
    matrix = weights(len(values), positions(len(values), length), method).astype(np.float32)
    flat = np.asarray(values, np.float32).reshape(len(values), -1)
    return np.asarray(matrix @ flat, np.float32).reshape(length, *values.shape[1:])


def interpolate_flow(flow: FloatArray, length: int, method: Method = "linear") -> FloatArray:
    """Flow between T frames (T - 1, ...) -> flow between `length` frames at equal steps.

    The displacement summed by pixel since the first frame is interpolated, so the sum over the clip
    does not depend on the length. Exact if motion per frame is small relative to patches of equal
    motion, as in a micro-expression.

    Raises:
        UsageError: as `interpolate`.
    """
    path = np.concatenate([np.zeros_like(flow[:1] if len(flow) else flow), np.cumsum(flow, 0)])
    if not len(path):  # a clip of one frame has no motion
        return np.zeros((length - 1, *flow.shape[1:]), np.float32)
    return np.diff(interpolate(path, length, method), axis=0)
