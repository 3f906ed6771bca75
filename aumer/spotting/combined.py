"""The rules first, and a trained network where they saw nothing.

The rules ask for much and are seldom wrong; a network finds the small and short movements that they
let pass, and is less sure of the rest. So what the rules spot stands as it is, and of the network's
expressions those are added that share no time with it. A score is of whichever spotted it: between
the two, scores do not rank. What was measured of it, beside the two alone, is in
``benchmarks/results/spotters.txt``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import numpy as np

from aumer.config import Settings, digest
from aumer.graph import AUGraph
from aumer.spotting.network import NetSpotter
from aumer.spotting.rules import RuleSpotter
from aumer.strict import plain
from aumer.types import Expression, Features, Scores


class CombinedSpotter:
    """A `RuleSpotter`, and a `NetSpotter` for what it leaves."""

    name = "combined"

    def __init__(self, rules: RuleSpotter, network: NetSpotter) -> None:
        self._rules, self._network = rules, network

    @classmethod
    def from_settings(
        cls, settings: Settings, *, graph: AUGraph | None = None, device: str = "cpu"
    ) -> CombinedSpotter:
        """With the network that ships, which may be given another graph; see `SpotNet.load`.

        Raises:
            UsageError: settings whose features one of the two cannot read.
            WeightsError: the graph has other ROIs.
        """
        network = NetSpotter.from_settings(settings, graph=graph, device=device)
        return cls(RuleSpotter.from_settings(settings), network)

    @property
    def digests(self) -> dict[str, str]:
        """What the expressions depend on besides the features."""
        return {
            **self._network.digests,
            "rules": digest(asdict(self._rules.settings)),
            "decoder": digest(plain(self._network.decoder)),
        }

    @property
    def rate(self) -> float:
        """Rows per second that it reads."""
        return self._network.rate

    def check(self, settings: Settings) -> None:
        """As `NetSpotter.check`."""
        self._network.check(settings)

    def __call__(self, features: Features) -> tuple[Scores, tuple[Expression, ...]]:
        """The tracks of both, the rules' first, and the expressions in order of onset.

        Raises:
            UsageError: as both.
        """
        levels, sure = self._rules(features)
        scores, proposed = self._network(features)
        more = apart(proposed, sure)
        tracks = Scores(
            np.column_stack([levels.values, scores.values]),
            features.times,
            features.frames,
            features.valid,
            (*levels.channels, *scores.channels),
        )
        return tracks, tuple(sorted([*sure, *more], key=lambda e: (e.onset, e.offset)))


def apart(proposed: Iterable[Expression], sure: Iterable[Expression]) -> list[Expression]:
    """Those of `proposed` that share no frame with any of `sure`."""
    taken = [(e.onset, e.offset) for e in sure]
    return [
        p for p in proposed if all(p.offset < onset or offset < p.onset for onset, offset in taken)
    ]
