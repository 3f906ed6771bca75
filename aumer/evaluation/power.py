"""Power analysis: the smallest detectable difference, and the number of subjects for a given one.

Subjects are what is drawn (`aumer.evaluation.bootstrap`), so their number decides: the standard
error of a difference shrinks as one over its square root. Normal approximation, two-sided test.
Resamples of few subjects spread too little: by (n - 1) / n of the variance, which is made good
here; that their intervals are also too short is not (`HOLDS`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

from aumer.errors import UsageError
from aumer.evaluation.bootstrap import Difference, Estimate
from aumer.strict import require

_NORMAL = NormalDist()
#: By the number of subjects, how often a 95 % percentile interval of resampled subjects holds the
#: truth: differences of F1 of about twelve truths a subject, 4,000 trials each
#: (``benchmarks/results/coverage.txt``). Of 22 it is 92 %, of 30 93 %.
HOLDS = {2: 0.52, 3: 0.75, 4: 0.81, 5: 0.84, 6: 0.85, 8: 0.88, 11: 0.90}


def holds(subjects: int) -> float | None:
    """How often a 95 % interval over so few subjects holds the truth; `None` where it is 95 % or
    nearly so."""
    known = [n for n in HOLDS if n <= subjects]
    return HOLDS[max(known)] if known and subjects <= max(HOLDS) else None


def few_subjects(counts: Iterable[int]) -> list[str]:
    """What is to be said under intervals over so many subjects each; nothing of many."""
    return [
        f"intervals over as few as {n} subjects are too narrow: a 95 % one holds the truth about "
        f"{share:.0%} of the time, so that chance is called a difference more often than 1 in 20"
        for n in sorted(set(counts))
        if (share := holds(n)) is not None
    ]


@dataclass(frozen=True)
class Power:
    """Power of a comparison over a number of subjects.

    Attributes:
        subjects, clips: that the two methods were tested on; of clips, how many have a truth.
        error: the standard error of the difference of their scores; 0 where no resample moves it,
            which is no measure of chance: nothing is then known of what could be found.
        alpha: a difference counts as found where zero lies outside its interval of level 1 - alpha.
        chance: with which it shall be found.
        paired: the two methods were compared on the same subjects. Else `error` is that of two
            methods whose errors have nothing in common, which is more than it is for most pairs.

    Raises:
        UsageError: fewer than two subjects, a negative error, or shares that are not in (0, 1).
    """

    subjects: int
    clips: int
    error: float
    alpha: float = 0.05
    chance: float = 0.8
    paired: bool = True

    def __post_init__(self) -> None:
        if self.subjects < 2:
            raise UsageError(f"two subjects or more can be compared; found {self.subjects}")
        if not (math.isfinite(self.error) and self.error >= 0):
            raise UsageError(f"a standard error is a number from 0 on; found {self.error}")
        require(0 < self.alpha < 1, "alpha", self.alpha, "between 0 and 1")
        require(0.5 <= self.chance < 1, "power", self.chance, "from .5 to less than 1")

    @classmethod
    def of(
        cls,
        found: Estimate,
        subjects: int,
        clips: int,
        alpha: float = 0.05,
        chance: float = 0.8,
    ) -> Power:
        """From a bootstrap interval over subjects: of a paired difference, or of one score."""
        width = (found.high - found.low) / (2 * _NORMAL.inv_cdf((1 + found.level) / 2))
        if subjects > 1:
            width *= math.sqrt(subjects / (subjects - 1))
        paired = isinstance(found, Difference)
        error = width if paired else math.sqrt(2) * width
        return cls(subjects, clips, error, alpha, chance, paired)

    def detectable(self, subjects: int | None = None) -> float | None:
        """The least true difference that is found with that chance, over so many subjects; `None`
        where nothing is known of it."""
        return self._reach * self._error(subjects or self.subjects) if self.error else None

    def needed(self, difference: float) -> int | None:
        """Subjects like these that it takes to find a true difference with that chance, two at
        least; `None` where no number does, for there is none, or where nothing is known of it."""
        if not self.error or difference == 0 or not math.isfinite(difference):
            return None
        ratio = self._reach * self.error / abs(difference)
        return max(2, math.ceil(self.subjects * ratio**2 - 1e-9))

    def chance_of(self, difference: float, subjects: int | None = None) -> float | None:
        """The chance that a true difference is found over so many subjects; `None` where nothing is
        known of it."""
        if not self.error:
            return None
        edge = _NORMAL.inv_cdf(1 - self.alpha / 2)
        away = abs(difference) / self._error(subjects or self.subjects)
        return _NORMAL.cdf(away - edge) + _NORMAL.cdf(-away - edge)

    def to_dict(self) -> Mapping[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "detectable": self.detectable()}

    @property
    def _reach(self) -> float:
        """Required true difference in standard errors."""
        return _NORMAL.inv_cdf(1 - self.alpha / 2) + _NORMAL.inv_cdf(self.chance)

    def _error(self, subjects: int) -> float:
        return self.error * math.sqrt(self.subjects / subjects)
