"""The spotter "combined": rules and a network propose expressions, and a judge scores them.

`aumer.spotting.judge` explains proposals and scores. Both propose more than they would spot alone;
the scores of the accepted expressions are probabilities, whichever proposed them.
``benchmarks/results/spotters.txt`` compares it with each of the two alone.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, replace

import numpy as np
import numpy.typing as npt

from aumer.config import RuleSettings, Settings, digest
from aumer.graph import AUGraph
from aumer.process import give_back_memory
from aumer.spotting import judge
from aumer.spotting.interface import SpotterModel
from aumer.spotting.network import NetSpotter
from aumer.spotting.noise import computed_once
from aumer.spotting.rules import RuleSpotter
from aumer.spotting.stages import LONG_ROWS, kept, packed_expressions, unpacked_expressions
from aumer.strict import plain
from aumer.types import Expression, Features, Scores

_log = logging.getLogger("aumer")

#: Factors of `rules.min_height`: for the rules' proposals, and for a result's limit. Of
#: micro-expressions in neutral films, 9 of 15 with 1 to 1.25 times the height of the limit were
#: found, and 1 of 21 with .5 to .8 times (``benchmarks/results/sensitivity.txt``).
_PROPOSED, _FOUND = 0.4, 0.625
#: Factor of `rules.blink`: proposals are smaller, but the effect of blinks is not.
_BLINK = 2.0
#: Least score of a network's proposals.
_OFFERED = 0.3


def proposing(rules: RuleSettings) -> RuleSettings:
    """The rules' constants for proposals to a judge.

    The requested sensitivity applies to the judge.
    """
    return replace(
        rules,
        min_height=_PROPOSED * rules.min_height,
        blink=_BLINK * rules.blink,
        sensitivity="normal",
    )


class CombinedSpotter(SpotterModel):
    """A `RuleSpotter` and a `NetSpotter` that propose expressions, and a judge that scores them.

    Args:
        rules: the rules' constants; their `sensitivity` is this spotter's.
        network: its threshold is not used.
        by: the judge; by default the one that ships.

    Raises:
        ConfigError: the `sensitivity` is a number of false alarms per minute outside the range
            measured for the judge.
    """

    name = "combined"
    uses_graph = True

    def __init__(
        self, rules: RuleSettings, network: NetSpotter, by: judge.Judge | None = None
    ) -> None:
        self._settings = rules
        self._rules, self._network = RuleSpotter(proposing(rules)), network
        self._judge = by or judge.shipped()
        self._threshold = self._judge.threshold(rules.sensitivity)
        self.notes = network.notes
        if self._judge.network not in ("", network.digests["weights"]):
            note = (
                f"{self.name}: the judge of proposals was fitted with another network than this "
                "one, so that its scores are no probabilities here and its false alarms are not "
                "those that were measured; `python -m benchmarks.studies.judging PATH --network "
                "FILE` makes one for it"
            )
            self.notes = (*self.notes, note)
            _log.warning("%s", note)
        decoder = network.decoder
        lowest = _OFFERED if decoder.threshold is None else min(decoder.threshold, _OFFERED)
        self._decoder = decoder.at(lowest)

    @classmethod
    def from_settings(
        cls, settings: Settings, *, graph: AUGraph | None = None, device: str = "cpu"
    ) -> CombinedSpotter:
        """With the network that ships, optionally with another graph; see `SpottingNetwork`.

        Raises:
            UsageError: one of the two cannot read the features of these settings.
            WeightsError: the graph has other ROIs.
            ConfigError: as the class.
        """
        network = NetSpotter.from_settings(settings, graph=graph, device=device)
        return cls(settings.rules, network)

    @property
    def digests(self) -> dict[str, str]:
        """Everything that the expressions depend on besides the features."""
        return {
            **self._network.digests,
            "rules": digest(asdict(self._rules.settings)),
            "decoder": digest(plain(self._decoder)),
            "judge": self._judge.digest,
            "threshold": digest({"threshold": self._threshold}),
        }

    @property
    def sensitivity(self) -> str:
        """The sensitivity in force."""
        return self._settings.sensitivity

    @property
    def false_alarms(self) -> tuple[float, float, float]:
        """As measured for the judge."""
        rates = [rate for _, rate in self._judge.false_alarms]
        return min(rates), self._judge.alarms(self._threshold), max(rates)

    @property
    def threshold(self) -> float:
        """The judge's threshold, a probability."""
        return self._threshold

    @property
    def settles_s(self) -> float:
        """The longer time of the two."""
        return max(self._rules.settles_s, self._network.settles_s)

    @property
    def rules(self) -> RuleSettings:
        """The constants for a result's limit, which does not depend on the sensitivity."""
        return replace(
            self._settings, min_height=_FOUND * self._settings.min_height, sensitivity="normal"
        )

    @property
    def rate(self) -> float:
        """Rows per second that it reads."""
        return self._network.rate

    def check(self, settings: Settings) -> None:
        """As `NetSpotter.check`."""
        self._network.check(settings)

    def to(self, device: str) -> bool:
        """As `NetSpotter.to`."""
        return self._network.to(device)

    @property
    def device(self) -> str:
        """As `NetSpotter.device`."""
        return self._network.device

    def __call__(self, features: Features) -> tuple[Scores, tuple[Expression, ...]]:
        """The tracks of both, the rules' first, and the expressions in order of onset.

        Raises:
            UsageError: as both.
        """
        tracks, found, read = self.proposals(features)
        probabilities = self._judge.probabilities(read)
        return tracks, judge.chosen(found, probabilities, self._threshold)

    def proposals(
        self, features: Features
    ) -> tuple[Scores, tuple[Expression, ...], npt.NDArray[np.float64]]:
        """The tracks of both, their proposals, and the judge's inputs (N, `judge.READS`)."""
        # What needs much memory for a while comes before what is kept for longer.
        scores = self._network.scores(features)
        by_network = self._decoder(scores)
        if len(features) > LONG_ROWS:
            give_back_memory()
        with computed_once():
            levels, by_rules = self._rules(features)
            found, read = kept(
                "judge",
                (features, scores),
                (self, self._rules, self._judge, self._decoder),
                {**self.digests, "settings": asdict(self._settings)},
                lambda: judge.described(features, scores, by_rules, by_network, self._settings),
                lambda found: {"read": found[1], **packed_expressions(found[0])},
                lambda arrays: (unpacked_expressions(arrays), arrays["read"]),
            )
        tracks = Scores(
            np.column_stack([levels.values, scores.values]),
            features.times,
            features.frames,
            features.valid,
            (*levels.channels, *scores.channels),
        )
        return tracks, found, read
