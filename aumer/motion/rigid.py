"""Image motion of a rigidly moving head.

In weak perspective each image point moves by a sum of six motions: two translations, scale,
rotation in the plane, and two rotations out of it, whose motion is proportional to depth. Depth is
that of the mean face.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.ndimage import gaussian_filter

from aumer.compiled import compiled
from aumer.face.mean_face import CROP_ORIGIN, MEAN_FACE
from aumer.types import FloatArray

Array = npt.NDArray[np.float64]

#: Iterations of reweighting.
_ROUNDS = 6
#: px: smaller misfits are never outliers.
_SOFT = 1e-3


# Cached for several crop sizes, one or two megabytes each.
@lru_cache(maxsize=16)
def rigid_basis(crop: int) -> FloatArray:
    """Motion of every crop pixel per unit of each rigid motion: (C, C, 2, 6) float32.

    Columns: translation in x and y, scale, rotation in the plane, and the two rotations out of it.
    """
    origin = np.array(CROP_ORIGIN) * crop
    rows, columns = np.mgrid[0:crop, 0:crop]
    x, y = (columns - origin[0]) / (crop / 2), (rows - origin[1]) / (crop / 2)
    surface = LinearNDInterpolator(MEAN_FACE[:, :2], MEAN_FACE[:, 2])(x, y)
    rim = NearestNDInterpolator(MEAN_FACE[:, :2], MEAN_FACE[:, 2])(x, y)
    depth = np.where(np.isfinite(surface), surface, rim)
    # Smoothed, since the mean face has few points.
    depth = gaussian_filter(depth, crop / 64)
    one, zero = np.ones_like(x), np.zeros_like(x)
    across = np.stack([one, zero, x, -y, depth, zero], axis=-1)
    down = np.stack([zero, one, y, x, zero, depth], axis=-1)
    return np.asarray(np.stack([across, down], axis=2), np.float32)


def fit_rigid(
    basis: npt.NDArray[np.floating[Any]],
    motion: npt.NDArray[np.floating[Any]],
    ridge: Array,
    *,
    power: int = 1,
    rest: tuple[float, float] = (0.0, 1.0),
    shares: Array | None = None,
) -> tuple[Array, Array]:
    """Fits of the rigid motion of N points: six parameters each, and the median misfits.

    Iteratively reweighted least squares ignores outliers.

    Args:
        basis: (N, 2, 6), each point's motion per unit of each parameter.
        motion: (N, 2) px, finite.
        ridge: (6,) ridge penalty of each parameter, times N.
        power: exponent of the Cauchy weights: 1 for Cauchy, 2 for Geman-McClure, which ignore
            distant outliers.
        rest: additional penalty of rotations out of the plane, and the size (px of the parameters)
            above which it vanishes: a head is either at rest or turns.
        shares: (S, N), for each of S fits the factor of each point's weight while the head is at
            rest; a single fit with 1 by default.

    Returns:
        (S, 6) and (S,) float64.
    """
    return _fits(
        np.ascontiguousarray(basis, np.float64),
        np.ascontiguousarray(motion, np.float64),
        ridge,
        power,
        rest[0],
        rest[1],
        np.ones((1, len(motion))) if shares is None else np.ascontiguousarray(shares, np.float64),
    )


@compiled
def _fits(
    basis: Array,
    motion: Array,
    ridge: Array,
    power: int,
    more: float,
    small: float,
    shares: Array,
) -> tuple[Array, Array]:
    count, size = len(motion), basis.shape[2]
    all_found, middles = np.zeros((len(shares), size)), np.empty(len(shares))
    weight, misfit = np.empty(count), np.empty(count)
    normal, right = np.empty((size, size)), np.empty(size)
    for which in range(len(shares)):
        found, share = all_found[which], shares[which]
        weight[:] = 1
        for number in range(_ROUNDS):
            # Without the penalty at first, since a head once taken for resting would stay so.
            turned = (found[4] * found[4] + found[5] * found[5]) / (small * small)
            resting = 1 / (1 + turned) if number else 0.0
            held = more * resting
            normal[:] = 0
            right[:] = 0
            for n in range(count):
                heard = weight[n] * (1 - resting * (1 - share[n]))
                for axis in range(2):
                    for a in range(size):
                        pull = heard * basis[n, axis, a]
                        right[a] += pull * motion[n, axis]
                        for b in range(a + 1):
                            normal[a, b] += pull * basis[n, axis, b]
            for a in range(size):
                normal[a, a] += count * (ridge[a] + (held if a > 3 else 0.0))
            # Cholesky's square root, then both triangles.
            for a in range(size):
                for b in range(a + 1):
                    rest = normal[a, b]
                    for c in range(b):
                        rest -= normal[a, c] * normal[b, c]
                    normal[a, b] = np.sqrt(rest) if a == b else rest / normal[b, b]
            for a in range(size):
                rest = right[a]
                for c in range(a):
                    rest -= normal[a, c] * found[c]
                found[a] = rest / normal[a, a]
            for back in range(size):
                a = size - 1 - back
                rest = found[a]
                for c in range(a + 1, size):
                    rest -= normal[c, a] * found[c]
                found[a] = rest / normal[a, a]
            for n in range(count):
                dx, dy = motion[n, 0], motion[n, 1]
                for a in range(size):
                    dx -= basis[n, 0, a] * found[a]
                    dy -= basis[n, 1, a] * found[a]
                misfit[n] = np.sqrt(dx * dx + dy * dy)
            middle = float(np.median(misfit))
            for n in range(count):
                weight[n] = (1 + (misfit[n] / (1.48 * middle + _SOFT)) ** 2) ** -power
        middles[which] = middle
    return all_found, middles
