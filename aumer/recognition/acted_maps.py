"""Flow maps of action units that are known: the simulator's, as a map would show them.

A map is what the AUs of `aumer.simulate.anatomy` do to the mean face (`acted_map`), with all that
lies between that and a measured one: faces and crops that differ, AUs of one side, a rest of head
motion, and errors of the flow, which are smooth. There are two kinds of sets of them:

- `acted_maps`, for a reader to learn AUs from: which act is given, and each map is near to a
  measured one;
- `simulated_maps`, for a recognizer to compare clips with where it may keep none: the AUs are drawn
  without regard to any data set or class, and the maps lie further apart than measured ones do. No
  clip of anybody is in them. Files of weights hold their seed instead of them, so that no number
  of these may change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from aumer.recognition.face_position import SIDE, FacePosition, Floats
from aumer.recognition.flow_map import with_strain
from aumer.simulate.anatomy import ACTION_UNITS, Action, displacement
from aumer.types import BoolArray, FloatArray

_MIDDLE = (SIDE - 1) / 2
#: Share of AUs that one side makes alone; of those coded in CASME II and SAMM it is a sixth.
_ONE_SIDED = 0.15
#: How faces and crops differ in width and height: sd of shares, or of logarithms.
_SCALE = 0.06

#: Of `acted_maps`. How crops are off, px.
_ROW, _COLUMN = 0.6, 0.4
#: How AUs differ from their usual strength, and one side from the other (logarithms).
_STRENGTH, _SIDE_STRENGTH = 0.5, 0.25
#: Share of the maps in which the eyes close a little, too.
_BLINKS = 0.1
#: Errors of the flow, as shares of the largest motion: from and to, and how far they reach, in px,
#: each with its weight.
_ERROR, _REACH = (0.03, 0.15), ((1.0, 1.0), (2.5, 3.0))
#: What is left of the head's motion, as a share of the largest motion.
_HEAD = 0.06
#: A flow shows edges of motion so blurred, in px.
_BLUR = 0.7

#: Of `simulated_maps`. How many AUs act at once, and how often.
_AUS_AT_ONCE = ((1, 0.4), (2, 0.35), (3, 0.25))
#: Against its sense (an onset that lies within an expression), so often.
_BACKWARDS = 0.1
#: How crops are off, px.
_OFF = 0.7
#: Reach (px) and size (shares of the AUs' root mean square, between these, log-uniform) of errors;
#: size of the head's motion.
_REACHES, _NOISE, _SLOPE = (1.5, 2.5, 4.0), (0.1, 1.0), (0.05, 0.7)


def acted_map(
    actions: Mapping[Action, float],
    position: FacePosition,
    *,
    off: tuple[float, float] = (0.0, 0.0),
) -> Floats:
    """(28, 28, 2) px of the map: what known AUs do to the mean face, and nothing else.

    Args:
        actions: intensity in [0, 1] by AU and side, see `aumer.simulate.anatomy.displacement`.
        position: where the map shows the face.
        off: how many px to the right and down of there it lies.

    Raises:
        UsageError: an AU or a side that there is not.
    """
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    x = (columns - _MIDDLE - off[0]) / position.across
    y = (rows - position.row - off[1]) / position.down
    points = np.stack([x, y], axis=-1).reshape(-1, 2)
    moved: Floats = displacement(actions, points).reshape(SIDE, SIDE, 2)
    return moved * (position.across, position.down)


def acted_maps(
    rng: np.random.Generator, acted: BoolArray, aus: Sequence[int], position: FacePosition
) -> FloatArray:
    """A map for each set of AUs.

    Args:
        acted: (N, K) bool, which of `aus` act in each.

    Returns:
        (N, 28, 28, 3) float32: u, v and strain, in px of the map; their size means nothing.
    """
    found = np.empty((len(acted), SIDE, SIDE, 2), np.float32)
    for one, own in zip(found, acted, strict=True):
        own_position = FacePosition(
            position.across * np.exp(_SCALE * rng.standard_normal()),
            position.down * np.exp(_SCALE * rng.standard_normal()),
            position.row + _ROW * rng.standard_normal(),
        )
        actions: dict[Action, float] = {}
        for au in np.asarray(aus)[own]:
            size = np.exp(_STRENGTH * rng.standard_normal())
            left, right = size * np.exp(_SIDE_STRENGTH * rng.standard_normal(2))
            if rng.random() < _ONE_SIDED:
                left, right = (left, 0.0) if rng.random() < 0.5 else (0.0, right)
            # Not each side for itself: what an AU moves on the midline would move twice as far.
            actions[int(au), "both"] = min(left, right)
            actions[int(au), "left" if left > right else "right"] = abs(left - right)
        if rng.random() < _BLINKS:
            actions[45, "both"] = rng.uniform(0.2, 1.2)
        still = acted_map(actions, own_position, off=(_COLUMN * rng.standard_normal(), 0.0))
        most = abs(still).max() + 1e-9
        error = sum(weight * _blurred(_noise(rng), reach) for reach, weight in _REACH)
        one[:] = gaussian_filter(still, (_BLUR, _BLUR, 0))
        one += most * rng.uniform(*_ERROR) * error / np.std(error)
        one += most * _HEAD * _ramps(_MIDDLE, SIDE / 2) @ rng.standard_normal((3, 2))
    return with_strain(found)


def simulated_maps(position: FacePosition, number: int, seed: int = 0) -> FloatArray:
    """Maps of faces that lie at a place, one to three AUs each.

    Args:
        position: where the mean face lies.
        seed: the same gives the same maps.

    Returns:
        (number, 28, 28, 3) float32: u to the image's right and v down in px, and optical strain.
    """
    rng = np.random.default_rng(seed)
    fields = np.empty((number, SIDE, SIDE, 2), np.float32)
    for field in fields:
        across, down = np.array([position.across, position.down]) * (
            1 + _SCALE * rng.normal(size=2)
        )
        right, below = _OFF * rng.normal(size=2)
        own_position = FacePosition(across, down, position.row)
        moved = _unit(acted_map(_drawn(rng), own_position, off=(right, below)))
        head = _ramps(SIDE / 2, SIDE) @ (rng.normal(size=(3, 2)) * [[0.5], [1.0], [1.0]])
        error = _blurred(_noise(rng), rng.choice(_REACHES))
        sense = -1.0 if rng.random() < _BACKWARDS else 1.0
        still = _between(rng, _SLOPE) * _unit(head)
        field[:] = sense * moved + still + _between(rng, _NOISE) * _unit(error)
    return with_strain(fields)


def _drawn(rng: np.random.Generator) -> dict[Action, float]:
    several, often = zip(*_AUS_AT_ONCE, strict=True)
    acting = rng.choice(sorted(ACTION_UNITS), rng.choice(several, p=often), replace=False)
    found: dict[Action, float] = {}
    for au in acting.tolist():
        side = str(rng.choice(("left", "right"))) if rng.random() < _ONE_SIDED else "both"
        found[int(au), side] = float(rng.uniform(0.3, 1.0))
    return found


def _ramps(middle: float, per: float) -> Floats:
    """(28, 28, 3): 1, and how far each pixel lies to the right and down of `middle`, in `per` px:
    what a field that is affine is made of."""
    rows, columns = (np.mgrid[:SIDE, :SIDE] - middle) / per
    return np.stack([np.ones_like(rows), columns, rows], axis=-1)


def _noise(rng: np.random.Generator) -> Floats:
    return rng.standard_normal((SIDE, SIDE, 2))


def _blurred(field: Floats, reach: float) -> Floats:
    blurred: Floats = gaussian_filter(field, (reach, reach, 0))
    return blurred


def _between(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(ends))))


def _unit(field: Floats) -> Floats:
    """Of root mean square 1."""
    unit: Floats = field / max(float(np.sqrt((field**2).mean())), 1e-12)
    return unit
