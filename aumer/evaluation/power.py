"""Power analysis: the smallest detectable difference, and the number of subjects for a given one.

Subjects are the unit of resampling (`aumer.evaluation.bootstrap`): the standard error of a
difference falls with the square root of their number. Normal approximation, two-sided test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

from aumer.errors import UsageError
from aumer.evaluation.bootstrap import Difference, Estimate
from aumer.strict import require

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Power:
    """Power of a comparison over a number of subjects.

    Attributes:
        subjects, clips: of the test; `clips`: number with a truth.
        error: the standard error of the difference of their scores.
        alpha: a difference is significant if its interval of level 1 - alpha excludes 0.
        chance: desired power.
        paired: whether both methods were compared on the same subjects. Otherwise `error` assumes
            independent errors, which is more than for most pairs of methods.

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
        paired = isinstance(found, Difference)
        error = width if paired else math.sqrt(2) * width
        return cls(subjects, clips, error, alpha, chance, paired)

    def detectable(self, subjects: int | None = None) -> float:
        """The smallest true difference that is found with this power over `subjects`."""
        return self._reach * self._error(subjects or self.subjects)

    def needed(self, difference: float) -> int | None:
        """Number of subjects (at least two) to find a true difference with this power; `None` for a
        difference of 0.
        """
        if difference == 0 or not math.isfinite(difference):
            return None
        ratio = self._reach * self.error / abs(difference)
        return max(2, math.ceil(self.subjects * ratio**2 - 1e-9))

    def chance_of(self, difference: float, subjects: int | None = None) -> float:
        """The power for a true difference over `subjects`."""
        error = self._error(subjects or self.subjects)
        if error == 0:
            return 1.0 if difference else 0.0
        edge, away = _NORMAL.inv_cdf(1 - self.alpha / 2), abs(difference) / error
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
