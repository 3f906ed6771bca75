"""Simulated subjects that vary as much as real ones in front of real cameras.

The levels of `aumer.simulate.features` make all subjects of a set equally hard. A network for users
must work for subtle and posed expressions, in quiet and in restless videos.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from aumer.errors import UsageError
from aumer.simulate import nuisance
from aumer.simulate.features import SimulatedVideo, simulate_features
from aumer.simulate.statistics import any_actions, load

_AUS = 77


@dataclass(frozen=True)
class Population:
    """Random subjects, each with its own size of expressions and disturbances.

    Attributes:
        subjects, videos, minutes: number of subjects, of videos of each, and length of a video.
        seed: seed of everything; subject k does not depend on the number of subjects.
        strength, loudness: ranges of the factors of `simulate_features`, drawn log-uniformly. At a
            strength of 1 expressions are as large as spontaneous ones: a median macro-expression
            moves an ROI by .03 outer-eye distances, a micro-expression by .011; at 2 to 8 a median
            one is as large as those posed in the shared real videos (.07 to .24). At loudness 1
            disturbances are as large as in these videos.
        rate_per_min: range of expressions per minute, drawn likewise.
        nuisances: names in `nuisance.NUISANCES`.
        any_aus: share of the subjects whose expressions are of any AUs (`statistics.any_actions`)
            instead of those of the data sets' tables.

    Raises:
        UsageError: a share outside [0, 1].
    """

    subjects: int
    seed: int
    videos: int = 2
    minutes: float = 2.0
    strength: tuple[float, float] = (0.7, 8.0)
    loudness: tuple[float, float] = (0.3, 2.0)
    rate_per_min: tuple[float, float] = (3.0, 15.0)
    nuisances: tuple[str, ...] = nuisance.USUAL
    any_aus: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.any_aus <= 1:  # also refuses NaN
            raise UsageError(
                f"any_aus, a share of subjects, must be from 0 to 1; found {self.any_aus}"
            )

    def draw(self) -> Iterator[SimulatedVideo]:
        """All videos, one after another.

        Raises:
            UsageError: as `simulate_features`.
        """
        usual, any_aus = load(), any_actions(load())
        for k in range(self.subjects):
            rng = np.random.default_rng([self.seed, k])
            strength, loudness, rate = (
                float(np.exp(rng.uniform(*np.log(limits))))
                for limits in (self.strength, self.loudness, self.rate_per_min)
            )
            # A generator of its own, so that the share changes nothing else.
            others = np.random.default_rng([self.seed, k, _AUS]).random() < self.any_aus
            own = simulate_features(
                1,
                videos=self.videos,
                minutes=self.minutes,
                seed=self.seed + k,
                strength=strength,
                loudness=loudness,
                rate_per_min=rate,
                nuisances=self.nuisances,
                statistics=any_aus if others else usual,
            )
            for video in own:
                yield replace(video, subject=f"{self.seed}-{k:03d}")
