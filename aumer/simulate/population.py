"""Simulated subjects that differ as much as real ones before real cameras do.

The levels of `aumer.simulate.features` make all subjects of a set equally hard. A network for users
must cope with faces that hardly move and with faces that act, in quiet and in restless videos.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from aumer.simulate import nuisance
from aumer.simulate.features import SimulatedVideo, simulate_features


@dataclass(frozen=True)
class Population:
    """Subjects drawn at random, each with a size of expressions and of disturbances of its own.

    Attributes:
        subjects, videos, minutes: their number, the videos of each, and the length of each.
        seed: of all that is drawn; subject k is the same however many there are.
        strength, loudness: factors as `simulate_features` takes them, from and to, drawn evenly on
            a logarithmic scale. At a strength of 1 expressions are as large as those of people who
            do not pose: a median macro-expression moves an ROI by .03 outer-eye distances, a
            micro-expression by .011; from 2 to 8 a median one is as large as those posed in the
            shared real videos (.07 to .24). At loudness 1 disturbances are as large as there.
        rate_per_min: expressions a minute, drawn likewise.
        nuisances: names in `nuisance.NUISANCES`.
    """

    subjects: int
    seed: int
    videos: int = 2
    minutes: float = 2.0
    strength: tuple[float, float] = (0.7, 8.0)
    loudness: tuple[float, float] = (0.3, 2.0)
    rate_per_min: tuple[float, float] = (3.0, 15.0)
    nuisances: tuple[str, ...] = nuisance.USUAL

    def draw(self) -> Iterator[SimulatedVideo]:
        """All videos, one after another.

        Raises:
            UsageError: as `simulate_features`.
        """
        for k in range(self.subjects):
            rng = np.random.default_rng([self.seed, k])
            strength, loudness, rate = (
                float(np.exp(rng.uniform(*np.log(limits))))
                for limits in (self.strength, self.loudness, self.rate_per_min)
            )
            own = simulate_features(
                1,
                videos=self.videos,
                minutes=self.minutes,
                seed=self.seed + k,
                strength=strength,
                loudness=loudness,
                rate_per_min=rate,
                nuisances=self.nuisances,
            )
            for video in own:
                yield replace(video, subject=f"{self.seed}-{k:03d}")
