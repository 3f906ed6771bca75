"""Simulated flow maps of known action units.

A map shows the displacement of the mean face by AUs of `aumer.simulate.anatomy` (`acted_map`),
disturbed like measured maps: different faces and crops, one-sided AUs, residual head motion, and
smooth errors of the flow. There are two kinds of sets:

- `acted_maps`, for training AU readers: the acting AUs are given, and each map is similar to a
  measured one;
- `simulated_maps`, landmarks with which a recognizer compares clips without storing any clip: the
  AUs are drawn independently of data sets and classes, and the maps differ more than measured ones.
  They contain no real clip. Files of weights hold only their seed, so the constants below must not
  change.
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
#: Share of one-sided AUs; in CASME II and SAMM it is a sixth.
_ONE_SIDED = 0.15
#: Variation of faces and crops in width and height: standard deviations, of shares or of
#: logarithms.
_SCALE = 0.06

#: For `acted_maps`: standard deviation of the crop's offset, px.
_ROW, _COLUMN = 0.6, 0.4
#: Variation of the AUs' strength, and between the sides (logarithms).
_STRENGTH, _SIDE_STRENGTH = 0.5, 0.25
#: Share of the maps in which the eyes also close a little.
_BLINKS = 0.1
#: Errors of the flow, as shares of the largest motion (range), and their reach in px with weights.
_ERROR, _REACH = (0.03, 0.15), ((1.0, 1.0), (2.5, 3.0))
#: Residual head motion, as a share of the largest motion.
_HEAD = 0.06
#: Blur of motion edges in a flow, px.
_BLUR = 0.7

#: For `simulated_maps`: number of acting AUs, with probabilities.
_AUS_AT_ONCE = ((1, 0.4), (2, 0.35), (3, 0.25))
#: Probability of reversed motion (an onset within an expression).
_BACKWARDS = 0.1
#: Standard deviation of the crop's offset, px.
_OFF = 0.7
#: Reach (px) and size of errors (shares of the AUs' root mean square, log-uniform in this range);
#: size of the head motion.
_REACHES, _NOISE, _SLOPE = (1.5, 2.5, 4.0), (0.1, 1.0), (0.05, 0.7)


def acted_map(
    actions: Mapping[Action, float],
    position: FacePosition,
    *,
    off: tuple[float, float] = (0.0, 0.0),
) -> Floats:
    """(28, 28, 2) px of the map: displacement of the mean face by known AUs, undisturbed.

    Args:
        actions: intensity in [0, 1] by AU and side, see `aumer.simulate.anatomy.displacement`.
        position: position of the face in the map.
        off: offset from there to the right and down, px.

    Raises:
        UsageError: unknown AU or side.
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
        acted: (N, K) bool, which of `aus` act in each map.

    Returns:
        (N, 28, 28, 3) float32: u, v and strain, in px of the map; the scale is arbitrary.
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
            # Not one side after the other: the midline would be moved twice.
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
    """Maps of faces at a given position, with one to three AUs each.

    Args:
        position: position of the mean face.
        seed: the same seed gives the same maps.

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
    """(28, 28, 3): 1, and each pixel's offset to the right and down of `middle` in units of `per`
    px: the basis of affine fields.
    """
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
    """The field scaled to root mean square 1."""
    unit: Floats = field / max(float(np.sqrt((field**2).mean())), 1e-12)
    return unit
