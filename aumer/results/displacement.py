"""How far the parts of a face are from where they rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aumer.results.drawing import GROUP_COLORS, group_of
from aumer.types import Features, runs

#: ROI motion is shown relative to its median over so long a stretch (s), twice the longest
#: expression, once movements that come back within it are bridged; on which side these lie is told
#: over the longer stretch.
_REST_S, _LONG_S = 8.0, 30.0
#: Such a movement is beyond so many px of the crop, and beyond so much of the largest near it.
_FAR, _FAR_SHARE = 0.3, 0.25


def displacement(features: Features) -> dict[str, npt.NDArray[np.float64]]:
    """How far each group of ROIs is from where it rests.

    Motion adds up from the start of each unbroken stretch. A median over 8 s, with straight lines
    in place of movements that come back, is taken as the place of rest; the distances from there
    are averaged over the group's ROIs. In a stretch too short to tell, the face rests at its start.

    Returns:
        ``brow``, ``nose``, ``mouth`` and ``other``, as far as there are such ROIs: (T,) in pixels
        of the canonical crop, row i after the motion of row i, NaN in invalid rows.
    """
    return by_group(distances(features), features.rois)


def by_group(
    distance: npt.NDArray[np.float64], rois: Sequence[str]
) -> dict[str, npt.NDArray[np.float64]]:
    """(T, R) averaged over the ROIs of each group, (T,) by its name."""
    groups = np.array([group_of(name) for name in rois])
    return {
        group: distance[:, groups == group].mean(axis=1)
        for group in GROUP_COLORS
        if (groups == group).any()
    }


def distances(features: Features) -> npt.NDArray[np.float64]:
    """(T, R) how far each ROI is from where it rests, as `displacement` has it."""
    found = np.full((len(features), len(features.rois)), np.nan)
    for begin, end in runs(features.valid):
        path = np.cumsum(features.values[begin:end], axis=0, dtype=np.float64)
        found[begin:end] = np.hypot(*np.moveaxis(path - _rest(path, features.rate), 2, 0))
    return found


def _rest(path: npt.NDArray[np.float64], rate: float) -> npt.NDArray[np.float64]:
    """The place of rest (n, R, 2) along a path of that shape."""
    from scipy.ndimage import median_filter

    # Rest changes slowly: five medians a second, and straight lines between, are enough and spare
    # an hour-long video many seconds of sorting.
    every = max(1, round(rate / 5))
    half = max(1, round(_REST_S / 2 * rate / every))
    coarse = _bridged(path[::every], 2 * half, round(_LONG_S * rate / every))
    # At the ends the window looks out at the start and at the last full window's median; filled
    # with its own values, an expression that the video cuts off would be its own rest and vanish.
    last = np.median(coarse[-2 * half - 1 :], axis=0) if len(coarse) > 2 * half else path[0]
    pads = [np.broadcast_to(end, (half, *end.shape)) for end in (path[0], last)]
    padded = np.concatenate([pads[0], coarse, pads[1]])
    medians = median_filter(padded, size=(2 * half + 1, 1, 1))[half:-half].reshape(len(coarse), -1)
    at = np.arange(len(coarse)) * every
    rows = np.arange(len(path))
    rest = np.stack([np.interp(rows, at, track) for track in medians.T], axis=1)
    return rest.reshape(path.shape)


def _bridged(path: npt.NDArray[np.float64], short: int, long: int) -> npt.NDArray[np.float64]:
    """A path (n, R, 2) with straight lines in place of the movements that come back.

    A plain median would take two smiles with a pause between for rest, and the pause for a
    movement. A coordinate's movements are on the side of its longer tail; without those shorter
    than a window (morphological opening, or closing) it is the posture that drifts.

    Args:
        short: rows, longer than a movement.
        long: rows, over which the tails are compared.
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
