"""Flow maps of simulated faces: what a recognizer compares clips with where it may keep none.

Faces move as the AUs of `aumer.simulate.anatomy` move them: one to three at a time, drawn without
regard to any data set or class, of one side or of both, and over that what a motion stage leaves
behind of head motion (an affine field) and measurement noise (smooth fields). No clip of anybody is
in them.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from aumer.recognition.place import SIDE, Floats, Place
from aumer.simulate.anatomy import ACTION_UNITS, Action, displacement
from aumer.types import FloatArray

#: How many AUs act at once, and how often.
_AUS_AT_ONCE = ((1, 0.4), (2, 0.35), (3, 0.25))
#: Of one side, or against its sense (an onset that lies within an expression), so often.
_ONE_SIDED, _BACKWARDS = 0.15, 0.1
#: Faces differ from the mean face by so much in width and height, and lie so many px off; sd.
_STRETCH, _OFF = 0.06, 0.7
#: Blur (px) and size (shares of the AUs' root mean square, between these, log-uniform) of noise.
_BLURS, _NOISE, _SLOPE = (1.5, 2.5, 4.0), (0.1, 1.0), (0.05, 0.7)


def simulated_maps(place: Place, number: int, seed: int = 0) -> FloatArray:
    """Flow maps from onset to apex of faces that lie at a place.

    Args:
        place: where the mean face lies.
        seed: the same gives the same maps.

    Returns:
        (number, 28, 28, 3) float32: u to the image's right and v down in px, and optical strain.
    """
    from aumer.recognition.flow_map import with_strain

    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    fields = np.empty((number, SIDE, SIDE, 2), np.float32)
    for k in range(number):
        across, down = np.array([place.across, place.down]) * (1 + _STRETCH * rng.normal(size=2))
        off = _OFF * rng.normal(size=2)
        points = np.stack(
            [
                (columns - (SIDE - 1) / 2 - off[0]) / across,
                (rows - place.row - off[1]) / down,
            ],
            axis=-1,
        )
        moved = displacement(_actions(rng), points.reshape(-1, 2)).reshape(points.shape)
        moved = _unit(moved * (across, down))
        slope = np.stack([np.ones_like(rows), columns / SIDE - 0.5, rows / SIDE - 0.5], axis=-1)
        head = _unit(slope @ (rng.normal(size=(3, 2)) * [[0.5], [1.0], [1.0]]))
        noise = rng.normal(size=(SIDE, SIDE, 2))
        noise = _unit(gaussian_filter(noise, (*2 * (rng.choice(_BLURS),), 0)))
        sense = -1.0 if rng.random() < _BACKWARDS else 1.0
        fields[k] = sense * moved + _size(rng, _SLOPE) * head + _size(rng, _NOISE) * noise
    return with_strain(fields)


def _actions(rng: np.random.Generator) -> dict[Action, float]:
    several, often = zip(*_AUS_AT_ONCE, strict=True)
    acting = rng.choice(sorted(ACTION_UNITS), rng.choice(several, p=often), replace=False)
    found: dict[Action, float] = {}
    for au in acting.tolist():
        side = str(rng.choice(("left", "right"))) if rng.random() < _ONE_SIDED else "both"
        found[int(au), side] = float(rng.uniform(0.3, 1.0))
    return found


def _size(rng: np.random.Generator, between: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(between))))


def _unit(field: Floats) -> Floats:
    """Of root mean square 1."""
    unit: Floats = field / max(float(np.sqrt((field**2).mean())), 1e-12)
    return unit
