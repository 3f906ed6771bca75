"""What the rules spot and a trained network sees too, and what the network spots besides.

The rules know where a movement begins and ends, but take whatever moves and returns for an
expression: what a blink leaves of the head's fit, a swallow, a nod. A network knows these, and is
less sure of where and what; it finds small movements that the rules let pass. So what the rules
spot stands as it is where the network sees action in it, sure enough or not to spot it by itself;
and of the network's expressions those are added that share no time with that. A score is of
whichever spotted it: between the two, scores do not rank. What was measured of it, beside the two
alone, is in ``benchmarks/results/spotters.txt``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace

import numpy as np

from aumer.config import RuleSettings, Settings, digest
from aumer.graph import AUGraph
from aumer.spotting.network import NetSpotter
from aumer.spotting.rules import RuleSpotter
from aumer.strict import plain
from aumer.types import KINDS, Expression, Features, Scores

#: The network's score of action, of either kind, that an expression of the rules must reach at some
#: time, and the score that one of its own must have: at about one false alarm a minute of simulated
#: faces at rest with all disturbances of level "hard" (at .55 two), and nothing is taken from the
#: annotated real videos.
_SEEN = 0.65


#: Share of `rules.min_height` that rules are held to whose finds a network confirms. By themselves
#: they would spot 4.6 a minute in simulated still faces at it; of micro-expressions of .4 and .5/64
#: outer-eye distances in real neutral films `combined` finds 6 and 12 of 21 so.
_PROPOSED = 0.625


def proposing(rules: RuleSettings) -> RuleSettings:
    """The rules' constants where a network confirms what they spot."""
    return replace(rules, min_height=_PROPOSED * rules.min_height)


class CombinedSpotter:
    """A `RuleSpotter`, a `NetSpotter` that confirms it, and what that one spots besides.

    The rules look at smaller movements than they do alone (`proposing`).
    """

    name = "combined"

    def __init__(self, rules: RuleSpotter, network: NetSpotter) -> None:
        self._rules, self._network = RuleSpotter(proposing(rules.settings)), network

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
    def rules(self) -> RuleSettings:
        """The constants of its rules."""
        return self._rules.settings

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
        levels, found = self._rules(features)
        scores, proposed = self._network(features)
        kept = joined(found, scores, proposed)
        tracks = Scores(
            np.column_stack([levels.values, scores.values]),
            features.times,
            features.frames,
            features.valid,
            (*levels.channels, *scores.channels),
        )
        return tracks, kept


def joined(
    found: Iterable[Expression], scores: Scores, proposed: Iterable[Expression]
) -> tuple[Expression, ...]:
    """Of the rules' expressions and the network's those that stay, in order of onset."""
    sure = confirmed(found, scores)
    own = [p for p in proposed if p.score >= _SEEN]
    return tuple(sorted([*sure, *apart(own, sure)], key=lambda e: (e.onset, e.offset)))


def confirmed(found: Iterable[Expression], scores: Scores) -> list[Expression]:
    """Those in which a network's scores see action of either kind."""
    action = np.max([scores.channel(f"{kind}_action") for kind in KINDS], axis=0)
    seen = np.nan_to_num(action) >= _SEEN

    def within(e: Expression) -> bool:
        first, last = np.searchsorted(scores.frames, (e.onset, e.offset))
        return bool(seen[first : last + 1].any())

    return [e for e in found if within(e)]


def apart(proposed: Iterable[Expression], sure: Iterable[Expression]) -> list[Expression]:
    """Those of `proposed` that share no frame with any of `sure`."""
    taken = [(e.onset, e.offset) for e in sure]
    return [
        p for p in proposed if all(p.offset < onset or offset < p.onset for onset, offset in taken)
    ]
