"""Bootstrap intervals by resampling subjects.

Videos of one subject are similar, so subjects are drawn, not expressions. All replicates are one
matrix of draws, (replicates, subjects), times counts by subject.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from aumer import strict
from aumer.errors import UsageError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A value and its percentile interval at `level`."""

    value: float
    low: float
    high: float
    level: float
    replicates: int
    seed: int

    def to_dict(self) -> dict[str, float]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class Difference(Estimate):
    """First minus second method, on the same draws of subjects.

    Attributes:
        p: two-sided, at most 1: twice the smaller share of replicates on either side of 0, with the
            observed difference added to both sides, so that it is never 0.
    """

    p: float


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for multiple tests (Holm, 1979), in the order given. This controls the
    family-wise error rate.
    """
    order = sorted(range(len(p)), key=lambda k: p[k])
    found, least = [0.0] * len(p), 0.0
    for rank, k in enumerate(order):
        least = max(least, min(1.0, (len(p) - rank) * p[k]))
        found[k] = least
    return found


def draws(subjects: int, replicates: int, seed: int) -> Integers:
    """(replicates, subjects): how often each subject occurs in each resample of the same size.

    Raises:
        UsageError: fewer than two subjects or than one replicate, or a negative seed.
    """
    if subjects < 2:
        raise UsageError(f"a bootstrap over subjects needs two or more; found {subjects}")
    if replicates < 1:
        raise UsageError(f"a bootstrap needs one replicate or more; found {replicates}")
    strict.require(seed >= 0, "seed", seed, "0 or more")
    rng = np.random.default_rng(seed)
    return rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=replicates)


def interval(
    counts: Integers,
    score: Callable[[Integers], Floats],
    *,
    replicates: int,
    level: float,
    seed: int,
) -> Estimate:
    """The score of all subjects and its interval.

    Args:
        counts: (subjects, ...) integer counts, summed over subjects.
        score: function of (N, ...) summed counts, returns (N,) scores.

    Raises:
        UsageError: as for `draws`, or `level` is not between 0 and 1.
    """
    low, high, _ = _spread([counts], score, replicates, level, seed)
    return Estimate(float(score(counts.sum(0)[None])[0]), low, high, level, replicates, seed)


def difference(
    first: Integers,
    second: Integers,
    score: Callable[[Integers], Floats],
    *,
    replicates: int,
    level: float,
    seed: int,
) -> Difference:
    """Score of `first` minus score of `second`, both (subjects, ...) in the same order.

    Raises:
        UsageError: as for `interval`.
    """
    low, high, found = _spread([first, second], score, replicates, level, seed)
    value = float(score(first.sum(0)[None])[0] - score(second.sum(0)[None])[0])
    tail = min(int((found <= 0).sum()), int((found >= 0).sum()))
    p = min(1.0, 2 * (tail + 1) / (replicates + 1))
    return Difference(value, low, high, level, replicates, seed, p)


def _spread(
    methods: list[Integers],
    score: Callable[[Integers], Floats],
    replicates: int,
    level: float,
    seed: int,
) -> tuple[float, float, Floats]:
    if not 0 < level < 1:
        raise UsageError(f"level must be between 0 and 1; found {level}")
    weights = draws(len(methods[0]), replicates, seed)
    scores = [score(np.tensordot(weights, counts, axes=1)) for counts in methods]
    found = scores[0] if len(scores) == 1 else scores[0] - scores[1]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), found
