"""The intensity of an expression, relative to the maximum of its action units (`anatomy`, level E).

Macro-expressions follow the levels coded in SAMM-LV, micro-expressions follow measurements on CASME
II; both constants and their source are in ``configs/simulation.toml``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from aumer.simulate import disturbances, nuisance
from aumer.simulate.anatomy import Action

#: Intensity in [0, 1] of each FACS level (A trace, B slight, C marked, D severe, E maximum). FACS
#: gives no numbers but says that C and D cover the widest range, A and E the narrowest.
LEVELS = {"A": (0.05, 0.12), "B": (0.12, 0.3), "C": (0.3, 0.6), "D": (0.6, 0.9), "E": (0.9, 1.0)}


#: Ratio of the larger side of a drawn, asymmetric person to a mean person.
_ASYMMETRY = 1.08


def reach(aus: Sequence[Action]) -> float:
    """Displacement of the ROI that moves furthest for actions at intensity 1, in outer-eye
    distances.
    """
    shown = np.sum([disturbances.roi_displacement(action) for action in aus], axis=0)
    return float(np.hypot(*shown.T).max())


def graded(rng: np.random.Generator, levels: Mapping[str, int]) -> float:
    """An intensity drawn from coders' counts of each FACS level; not all counts may be 0."""
    counts = np.array([levels[name] for name in LEVELS], np.float64)
    name = list(LEVELS)[rng.choice(len(LEVELS), p=counts / counts.sum())]
    return float(rng.uniform(*LEVELS[name]))


def micro(rng: np.random.Generator, aus: Sequence[Action]) -> float:
    """A drawn intensity of a micro-expression: the median of its AUs times a random spread."""
    spread = float(nuisance.settings()["micro"]["spread"])
    size = micro_median(aus) * np.exp(spread * rng.standard_normal())
    return float(min(size, 1.0))


def micro_median(aus: Sequence[Action]) -> float:
    """The median intensity of a micro-expression of these actions, on any side.

    The largest measured combination that is part of this one is used (the mean of several of equal
    size). Others move as far as the median clip, but not with a higher intensity than the strongest
    measured combination.
    """
    own, known = {au for au, _ in aus}, _micro_medians()
    parts = [units for units in known if units <= own]
    if parts:
        most = max(map(len, parts))
        return float(np.mean([known[units] for units in parts if len(units) == most]))
    return min(_intensity(nuisance.settings()["micro"]["other"], aus), max(known.values()))


def _intensity(shown: float, aus: Sequence[Action]) -> float:
    """Intensity at which the ROI that moves furthest, of a drawn person, moves by `shown`."""
    return float(shown / _ASYMMETRY / max(reach(aus), 1e-9))


@lru_cache(maxsize=1)
def _micro_medians() -> dict[frozenset[int], float]:
    medians = {}
    for code, shown in nuisance.settings()["micro"]["shown"].items():
        units = [int(unit) for unit in code.split("+")]
        medians[frozenset(units)] = _intensity(shown, [(unit, "both") for unit in units])
    return medians
