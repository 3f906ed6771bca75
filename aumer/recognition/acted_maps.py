"""Flow maps of action units that are known: the simulator's, as a map would show them.

A map is what the AUs of `aumer.simulate.anatomy` do to the mean face, with all that lies between
that and a measured one: faces and crops that differ, sides that differ, blinks, a rest of head
motion, and errors of the flow, which are smooth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from aumer.recognition.flow_map import with_strain
from aumer.recognition.place import SIDE, Floats, Place
from aumer.simulate.anatomy import Action, displacement
from aumer.types import BoolArray, FloatArray

_MIDDLE = (SIDE - 1) / 2
#: How crops differ: the logarithms of the face's width and height, and its place in px.
_SCALE, _ROW, _COLUMN = 0.06, 0.6, 0.4
#: How AUs differ from their usual strength, and one side from the other (logarithms).
_STRENGTH, _SIDE_STRENGTH = 0.5, 0.25
#: Share of AUs that one side makes alone; of those coded in CASME II and SAMM it is a sixth.
_ONE_SIDED = 0.15
#: Share of the maps in which the eyes close a little, too.
_BLINKS = 0.1
#: Errors of the flow, as shares of the largest motion: from and to, and how far they reach, in px,
#: each with its weight.
_ERROR, _REACH = (0.03, 0.15), ((1.0, 1.0), (2.5, 3.0))
#: What is left of the head's motion, as a share of the largest motion.
_HEAD = 0.06
#: A flow shows edges of motion so blurred, in px.
_BLUR = 0.7


def acted_map(actions: Mapping[Action, float], place: Place) -> Floats:
    """(28, 28, 2) px of the map: what known AUs do to the mean face, and nothing else.

    Args:
        actions: intensity in [0, 1] by AU and side, see `aumer.simulate.anatomy.displacement`.
        place: where the map shows the face.

    Raises:
        UsageError: an AU or a side that there is not.
    """
    return _moved(actions, place, 0.0)


def _moved(actions: Mapping[Action, float], place: Place, aside: float) -> Floats:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    x = (columns - _MIDDLE - aside) / place.across
    y = (rows - place.row) / place.down
    points = np.stack([x, y], axis=-1).reshape(-1, 2)
    moved: Floats = displacement(actions, points).reshape(SIDE, SIDE, 2)
    return moved * (place.across, place.down)


def acted_maps(
    rng: np.random.Generator, acted: BoolArray, aus: Sequence[int], place: Place
) -> FloatArray:
    """A map for each set of AUs.

    Args:
        acted: (N, K) bool, which of `aus` act in each.

    Returns:
        (N, 28, 28, 3) float32: u, v and strain, in px of the map; their size means nothing.
    """
    found = np.empty((len(acted), SIDE, SIDE, 2), np.float32)
    for one, own in zip(found, acted, strict=True):
        own_place = Place(
            place.across * np.exp(_SCALE * rng.standard_normal()),
            place.down * np.exp(_SCALE * rng.standard_normal()),
            place.row + _ROW * rng.standard_normal(),
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
        still = _moved(actions, own_place, _COLUMN * rng.standard_normal())
        most = abs(still).max() + 1e-9
        error = sum(
            weight * gaussian_filter(rng.standard_normal(still.shape), (reach, reach, 0))
            for reach, weight in _REACH
        )
        rows, columns = (np.mgrid[:SIDE, :SIDE] - _MIDDLE) / (SIDE / 2)
        slope = np.stack([np.ones_like(rows), columns, rows], axis=-1)
        one[:] = gaussian_filter(still, (_BLUR, _BLUR, 0))
        one += most * rng.uniform(*_ERROR) * error / np.std(error)
        one += most * _HEAD * slope @ rng.standard_normal((3, 2))
    return with_strain(found)
