"""One figure of a run of any task: value, interval, and difference to another run's.

A metric is a function of counts summed over subjects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.evaluation.bootstrap import Difference, Estimate, difference, interval
from aumer.types import IntArray

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """The uncertainty of a mean over seeds.

    Attributes:
        over: "subjects": a 95 % interval over resampled subjects; "seeds": the range of the seeds'
            values, if it is wider than that interval.
    """

    low: float
    high: float
    over: Literal["subjects", "seeds"]

    def __str__(self) -> str:
        return f"{self.low:.4f} to {self.high:.4f} ({self.over})"


@dataclass(frozen=True, eq=False)
class Figure:
    """A metric's mean over seeds.

    Shapes:
        counts (subjects, seeds, ...); truths (subjects, ...): counts of truths, independent of
        predictions.

    Attributes:
        metric: from (N, ...) counts to (N,) scores.
    """

    subjects: tuple[str, ...]
    counts: IntArray
    truths: IntArray
    metric: Callable[[IntArray], Floats]

    @property
    def seeds(self) -> int:
        """The number of seeds."""
        return int(self.counts.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """The number of subjects, and of their truths."""
        return len(self.subjects), int(self.truths.sum())

    @property
    def by_seed(self) -> tuple[float, ...]:
        """The score of all subjects' counts, for each seed."""
        counts = self.counts.sum(axis=0)
        return tuple(float(self.metric(counts[k][None])[0]) for k in range(self.seeds))

    def spread(self) -> Spread | None:
        """The wider of the interval over subjects and the range of the seeds.

        `None` with one subject and one seed.
        """
        low, high = min(self.by_seed), max(self.by_seed)
        if len(self.subjects) < 2:
            return Spread(low, high, "seeds") if self.seeds > 1 else None
        estimate = self.bootstrap()
        if high - low > estimate.high - estimate.low:
            return Spread(low, high, "seeds")
        return Spread(estimate.low, estimate.high, "subjects")

    @property
    def value(self) -> float:
        """The mean over seeds of the score of all subjects' counts."""
        return float(self._mean(self.counts.sum(axis=0)[None])[0])

    def bootstrap(self, *, replicates: int = 2000, seed: int = 0) -> Estimate:
        """The value with its 95 % interval over resampled subjects.

        Raises:
            UsageError: fewer than two subjects.
        """
        return interval(self.counts, self._mean, replicates=replicates, level=0.95, seed=seed)

    def compare(self, other: Figure, *, replicates: int = 2000, seed: int = 0) -> Difference:
        """This value minus the other's, on the same resamples of subjects.

        Raises:
            UsageError: the subjects, classes or truths differ.
        """
        if set(self.subjects) != set(other.subjects):
            strange = sorted(set(self.subjects) ^ set(other.subjects))
            raise UsageError(
                f"the two runs cannot be compared, as only one of them has subject "
                f"{', '.join(strange)}: give two runs over the same subjects"
            )
        order = [other.subjects.index(subject) for subject in self.subjects]
        if self.counts.shape[2:] != other.counts.shape[2:]:
            raise UsageError(
                "the two runs cannot be compared, as their classes differ: give two runs of one "
                "protocol"
            )
        if (self.truths != other.truths[order]).any():
            raise UsageError(
                "the two runs cannot be compared, as their annotations differ: run both on the "
                "same "
                "data again"
            )
        theirs = other.counts[order]
        return difference(
            self.counts, theirs, self._mean, replicates=replicates, level=0.95, seed=seed
        )

    def _mean(self, counts: IntArray) -> Floats:
        """(N, seeds, ...) -> (N,); counts of different seeds are not pooled."""
        by_seed = [self.metric(counts[:, k]) for k in range(counts.shape[1])]
        mean: Floats = np.mean(by_seed, 0)
        return mean
