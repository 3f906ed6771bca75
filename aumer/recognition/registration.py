"""Registration of the crops of several data sets by the energy of motion.

numpy and scipy. Each data set crops faces in its own way: in SAMM's flow images of the MEGC 2019
composite the brows lie two rows higher than in SMIC's, a fifth of a brow-to-mouth distance. What
moves most (brows, eyes, corners of the mouth) has the same position in every face, so that the mean
energy of motion shows how the crops differ. Classes are not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize

from aumer.recognition.interface import INPUT_SHAPE, Floats
from aumer.types import FloatArray

_SIDE = INPUT_SHAPE[0]
_MIDDLE = (_SIDE - 1) / 2
_BLUR = 1.0  # px, about the roughness of the mean energy of some hundred clips
#: Least gain of correlation for a scale change of 10 %, or a shift of 1.5 px.
_PENALTY = 0.003
#: No registration.
NONE = "none"
#: The target is the mean over data sets, as registered so far.
MEAN = "mean"
_ROUNDS = 3

#: (scale of x, scale of y, shift of y in px): a registered map is read at
#: (13.5 + scale (x - 13.5), 13.5 + scale (y - 13.5) + shift) of the data set's own.
Affine = tuple[float, float, float]
IDENTITY: Affine = (1.0, 1.0, 0.0)


def resampled(maps: FloatArray | Floats, affine: Affine) -> FloatArray:
    """Maps resampled by an affine, bilinearly, with replicated border.

    Shapes:
        maps (..., 28, 28, K); returns the same shape, float32.
    """
    across, down, shift = affine
    rows, columns = _reading(down, shift), _reading(across, 0.0)
    read = np.einsum("yr,...rck->...yck", rows, maps, optimize=True)
    across_too = np.einsum("xc,...yck->...yxk", columns, read, optimize=True)
    return np.asarray(across_too, np.float32)


def _reading(scale: float, shift: float) -> Floats:
    """(28, 28): interpolation weights from source to result."""
    at = np.clip((np.arange(_SIDE) - _MIDDLE) * scale + _MIDDLE + shift, 0, _SIDE - 1)
    weights: Floats = np.maximum(0.0, 1 - abs(at[:, None] - np.arange(_SIDE)))
    return weights


def energy(maps: FloatArray) -> Floats:
    """(28, 28, 3): mean |motion| of centered maps (N, 28, 28, 3) and their mirror images."""
    mean = abs(maps).mean(0, dtype=np.float64)
    both: Floats = (mean + mean[:, ::-1]) / 2
    return both


def register(maps: FloatArray, sources: Sequence[str], target: str) -> dict[str, Affine]:
    """The affine of each source that registers its energy of motion to the target's.

    Args:
        maps: (N, 28, 28, 3) centered, of similar scale.
        sources: the source of each map.
        target: a source, `MEAN`, or `NONE`.
    """
    names = tuple(dict.fromkeys(sources))
    found = dict.fromkeys(names, IDENTITY)
    if target == NONE or len(names) < 2 or target not in (MEAN, *names):
        return found
    own = np.asarray(sources)
    energies = {name: _smooth(energy(maps[own == name])) for name in names}
    for _ in range(_ROUNDS if target == MEAN else 1):
        aim = (
            np.mean([resampled(energies[name], found[name]) for name in names], 0)
            if target == MEAN
            else energies[target]
        )
        found = {name: IDENTITY if name == target else _best(energies[name], aim) for name in names}
    return found


def _smooth(image: Floats) -> Floats:
    smooth: Floats = gaussian_filter(image, (_BLUR, _BLUR, 0))
    return smooth


def _best(image: Floats, aim: Floats) -> Affine:
    """The affine with the greatest correlation with `aim`, minus a penalty of the change."""
    centered = aim - aim.mean((0, 1))

    def loss(p: Floats) -> float:
        moved = resampled(image, (p[0], p[1], p[2])).astype(np.float64)
        moved -= moved.mean((0, 1))
        size = np.sqrt((moved**2).sum() * (centered**2).sum())
        likeness = (moved * centered).sum() / max(size, 1e-12)
        return float(
            -likeness + _PENALTY * (((p[:2] - 1) / 0.1) ** 2).sum() + _PENALTY * (p[2] / 1.5) ** 2
        )

    found = []
    for shift in (-1.0, 1.0):
        start = np.array([1.0, 1.0, shift])
        simplex = np.stack([start, *(start + np.diag([0.05, 0.05, 0.5]))])
        found.append(
            minimize(
                loss,
                start,
                method="Nelder-Mead",
                options={"initial_simplex": simplex, "xatol": 0.01, "fatol": 1e-4},
            )
        )
    across, down, shift = min(found, key=lambda r: float(r.fun)).x
    return float(across), float(down), float(shift)


def applied(maps: FloatArray, sources: Sequence[str], affines: Mapping[str, Affine]) -> FloatArray:
    """Each map resampled by the affine of its source; unchanged if the source is unknown.

    Shapes:
        maps (N, 28, 28, 3); returns the same shape, float32.
    """
    out = np.array(maps, np.float32)
    own = np.asarray(sources)
    for name, affine in affines.items():
        if len(own) and affine != IDENTITY and (own == name).any():
            out[own == name] = resampled(maps[own == name], affine)
    return out
