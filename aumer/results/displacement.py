"""Distance of the parts of a face from rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aumer.results.drawing import GROUP_COLORS, group_of
from aumer.types import Features, runs

#: Rest is the median over this window (s), twice the longest expression, after movements that
#: return within it were bridged; the longer window (s) tells on which side these movements are.
_REST_S, _LONG_S = 8.0, 30.0
#: Least size of a bridged movement: in px of the crop, and as a share of the largest nearby.
_FAR, _FAR_SHARE = 0.3, 0.25


def displacement(features: Features) -> dict[str, npt.NDArray[np.float64]]:
    """Distance of each group of ROIs from rest.

    Motion is summed from the start of each unbroken run. Rest is a median over 8 s, with movements
    that return replaced by straight lines; distances from it are averaged over the group's ROIs. In
    a run that is too short, rest is its start.

    Returns:
        ``brow``, ``nose``, ``mouth`` and ``other``, for groups with ROIs: (T,) in pixels of the
        canonical crop, row i after the motion of row i, NaN in invalid rows.
    """
    return by_group(distances(features), features.rois)


def by_group(
    distance: npt.NDArray[np.float64], rois: Sequence[str]
) -> dict[str, npt.NDArray[np.float64]]:
    """(T, R) averaged over the ROIs of each group: (T,) by name of group."""
    groups = np.array([group_of(name) for name in rois])
    return {
        group: distance[:, groups == group].mean(axis=1)
        for group in GROUP_COLORS
        if (groups == group).any()
    }


def distances(features: Features) -> npt.NDArray[np.float64]:
    """(T, R) distance of each ROI from rest, as in `displacement`."""
    found = np.full((len(features), len(features.rois)), np.nan)
    for begin, end in runs(features.valid):
        path = np.cumsum(features.values[begin:end], axis=0, dtype=np.float64)
        found[begin:end] = np.hypot(*np.moveaxis(path - _rest(path, features.rate), 2, 0))
    return found


def _rest(path: npt.NDArray[np.float64], rate: float) -> npt.NDArray[np.float64]:
    """Position of rest (n, R, 2) along a path of that shape."""
    from scipy.ndimage import median_filter

    # Rest changes slowly: five medians per second with linear interpolation are sufficient and much
    # faster.
    every = max(1, round(rate / 5))
    half = max(1, round(_REST_S / 2 * rate / every))
    coarse = _bridged(path[::every], 2 * half, round(_LONG_S * rate / every))
    # At the ends the window is padded with the start and with the last full window's median; with
    # its own values, an expression that the video cuts off would count as rest and vanish.
    last = np.median(coarse[-2 * half - 1 :], axis=0) if len(coarse) > 2 * half else path[0]
    pads = [np.broadcast_to(end, (half, *end.shape)) for end in (path[0], last)]
    padded = np.concatenate([pads[0], coarse, pads[1]])
    medians = median_filter(padded, size=(2 * half + 1, 1, 1))[half:-half].reshape(len(coarse), -1)
    at = np.arange(len(coarse)) * every
    rows = np.arange(len(path))
    rest = np.stack([np.interp(rows, at, track) for track in medians.T], axis=1)
    return rest.reshape(path.shape)


def _bridged(path: npt.NDArray[np.float64], short: int, long: int) -> npt.NDArray[np.float64]:
    """A path (n, R, 2) with movements that return replaced by straight lines.

    A plain median would take two smiles with a pause in between for rest, and the pause for a
    movement. A coordinate's movements are on the side of its longer tail; removing those shorter
    than a window (morphological opening or closing) leaves the drifting posture.

    Args:
        short: rows, longer than a movement.
        long: rows over which the tails are compared.
    """
    from scipy.ndimage import (
        grey_closing,
        grey_opening,
        maximum_filter,
        median_filter,
        uniform_filter1d,
    )

    n = len(path)
    if n <= short:
        return path
    long = min(long, n)
    above = uniform_filter1d(path, long, axis=0) > median_filter(path, size=(long, 1, 1))
    size = (short | 1, 1, 1)
    away = np.where(above, path - grey_opening(path, size), grey_closing(path, size) - path)
    far = np.maximum(_FAR, _FAR_SHARE * maximum_filter(away, size=(long, 1, 1)))
    near = (away <= far).all(axis=2)
    rows, bridged = np.arange(n), np.array(path, np.float64)
    for roi in range(path.shape[1]):
        at = np.flatnonzero(near[:, roi])
        for axis in range(2) if len(at) else ():
            bridged[:, roi, axis] = np.interp(rows, at, path[at, roi, axis])
    return bridged
