"""How large an expression is, as a share of its action units' strongest (`anatomy`, level E).

Macro-expressions are as the coders of SAMM-LV graded them. Micro-expressions are as measured on
CASME II; both constants and their source are in ``configs/simulation.toml``.
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


#: Both sides of a drawn person differ, and the larger moves so much more than a mean person's.
_ASYMMETRY = 1.08


def reach(aus: Sequence[Action]) -> float:
    """What the ROI that moves furthest shows of actions at intensity 1, in outer-eye distances."""
    shown = np.sum([disturbances.roi_displacement(action) for action in aus], axis=0)
    return float(np.hypot(*shown.T).max())


def graded(rng: np.random.Generator, levels: Mapping[str, int]) -> float:
    """An intensity drawn by how often coders gave each FACS level; not all counts may be 0."""
    counts = np.array([levels[name] for name in LEVELS], np.float64)
    name = list(LEVELS)[rng.choice(len(LEVELS), p=counts / counts.sum())]
    return float(rng.uniform(*LEVELS[name]))


def micro(rng: np.random.Generator, aus: Sequence[Action]) -> float:
    """An intensity of a micro-expression: the median of its AUs, and the spread between events."""
    spread = float(nuisance.settings()["micro"]["spread"])
    size = micro_median(aus) * np.exp(spread * rng.standard_normal())
    return float(min(size, 1.0))


def micro_median(aus: Sequence[Action]) -> float:
    """The median intensity of a micro-expression of these actions, whichever side makes them.

    Of the combinations measured the largest that is part of this one counts (the mean of several
    that are equally large). Others move as far as the median clip, if they can: no known one is
    more intense than the strongest of the combinations measured.
    """
    own, known = {au for au, _ in aus}, _micro_medians()
    parts = [units for units in known if units <= own]
    if parts:
        most = max(map(len, parts))
        return float(np.mean([known[units] for units in parts if len(units) == most]))
    return min(_intensity(nuisance.settings()["micro"]["other"], aus), max(known.values()))


def _intensity(shown: float, aus: Sequence[Action]) -> float:
    """At which a drawn person's ROI that moves furthest moves so far."""
    return float(shown / _ASYMMETRY / max(reach(aus), 1e-9))


@lru_cache(maxsize=1)
def _micro_medians() -> dict[frozenset[int], float]:
    medians = {}
    for code, shown in nuisance.settings()["micro"]["shown"].items():
        units = [int(unit) for unit in code.split("+")]
        medians[frozenset(units)] = _intensity(shown, [(unit, "both") for unit in units])
    return medians
