"""How sure it is that a proposed interval is an expression: one score for whoever proposes.

The rules know where a movement begins and ends, but take whatever moves and returns for an
expression; a network knows what blinks, swallows and turns look like, and is less sure of where.
Each by itself is right or wrong for reasons that the other one sees. So both propose generously,
and a logistic model reads of each proposal what both say of it, how far it stands out of this
face's noise, whether it returns to where it began, and whether there is rest around it.

It was fitted on simulated faces that move unlike those the network was trained on
(``benchmarks/studies/judging.py``): there a network errs more than on those, so that its word is
not overrated; how often it errs on real faces nobody knows. Its score is the probability that the
proposal overlaps an expression by half or more (IoU), as fitted there; on real faces it was not
checked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.config import RuleSettings, digest
from aumer.errors import ConfigError, WeightsError
from aumer.foreign import foreign, read_json
from aumer.spotting.movements import Signal
from aumer.spotting.noise import Followed, followed, with_peaks
from aumer.types import KINDS, BoolArray, Expression, Features, Scores
from aumer.weights import require_finite

FORMAT = "aumer-judge-2"
#: The judge that ships, of the proposals of the rules and of the network that ship.
SHIPPED = Path(__file__).parent / "weights" / "judge.json"

#: What is read of a proposal. "action", "onset" and "offset" are a network's scores for either kind
#: (in its middle half, and where it begins and ends), "around" those of action beside it;
#: "agreement" is the IoU with what the other spotter proposes, "other" that one's score; "returns"
#: is how much of their way all movements have come back at its end; "unrest" how far the largest
#: one goes on the quieter side of it. "cut": nothing is seen before it or after it, for the video
#: begins or ends there, or the face is lost; whether it returns is not known then, and "returns" is
#: 0. Scores are as log odds.
READS = (
    "by_rules", "action", "around", "onset", "offset", "agreement", "other", "rules", "network",
    "peak", "duration", "duration_squared", "returns", "unrest", "cut",
)  # fmt: skip

#: Units of noise below which a network's proposal is none: what the rules propose from. In a video
#: without noise a network sees the thousandth part of an expression.
_LEAST_PEAK = 2.0
#: Scores are held this far from 0 and 1 before odds are taken of them.
_LEAST = 1e-3
#: Rows by which a boundary may be off where its evidence is read.
_NEAR = 3
#: Two proposals are of one expression beyond this IoU, or, of one kind, where they share more than
#: this part of the shorter one.
_SAME_IOU, _SAME_PART = 0.2, 0.5


@dataclass(frozen=True)
class Judge:
    """A logistic model of `READS`.

    Attributes:
        weights: by name, for what is read as it is.
        bias: log odds where all of it is 0.
        network: digest of the weights of the network that it was fitted with.
        named: thresholds by the name of a sensitivity.
        false_alarms: (threshold, false alarms a minute of rest), thresholds ascending.
        card: how it was made.
    """

    weights: Mapping[str, float]
    bias: float
    network: str
    named: Mapping[str, float]
    false_alarms: tuple[tuple[float, float], ...]
    card: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path = SHIPPED) -> Judge:
        """Raises WeightsError: no file of a judge, or one with NaN or infinity in it."""
        about = read_json(path, "a judge of proposals", WeightsError)
        with foreign(path, "a judge of proposals", WeightsError):
            made = cls(
                {name: float(about["weights"][name]) for name in READS},
                float(about["bias"]),
                str(about["network"]),
                {str(k): float(v) for k, v in about["named"].items()},
                tuple((float(p), float(n)) for p, n in about["false_alarms"]),
                about["card"],
            )
            found = about["format"]
        if found != FORMAT:
            raise WeightsError(f"{path}: this version reads the format {FORMAT!r}; found {found!r}")
        numbers = {
            **made.weights,
            "bias": made.bias,
            "named": list(made.named.values()),
            "false_alarms": made.false_alarms,
        }
        arrays = {name: np.array(value) for name, value in numbers.items()}
        require_finite(arrays, str(path), "Install aumer again")
        return made

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them; what `load` reads."""
        return {
            "format": FORMAT,
            "network": self.network,
            "weights": dict(self.weights),
            "bias": self.bias,
            "named": dict(self.named),
            "false_alarms": [list(pair) for pair in self.false_alarms],
            "card": dict(self.card),
        }

    @property
    def digest(self) -> str:
        """Of what its scores depend on."""
        return digest({"weights": dict(self.weights), "bias": self.bias})

    def threshold(self, sensitivity: str) -> float:
        """The least probability at a sensitivity: a name, or false alarms a minute of rest.

        Numbers between those measured are interpolated, log odds against log number.

        Raises:
            ConfigError: a number beyond what was measured; the message says the range.
        """
        if sensitivity in self.named:
            return self.named[sensitivity]
        thresholds, rates = np.array(self.false_alarms).T
        rate = float(sensitivity)
        if not rates[-1] * (1 - 1e-9) <= rate <= rates[0] * (1 + 1e-9):
            raise ConfigError(
                f"rules.sensitivity must be from {rates[-1]:g} to {rates[0]:g} false alarms a "
                "minute "
                "of rest, the range in which this spotter was measured, or one of "
                f"{', '.join(self.named)}; found {rate:g}"
            )
        odds = np.interp(np.log(rate), np.log(rates[::-1]), _odds(thresholds[::-1]))
        return float(1 / (1 + np.exp(-odds)))

    def alarms(self, threshold: float) -> float:
        """False alarms a minute of rest that were measured at a threshold: the way back of
        `threshold`."""
        thresholds, rates = np.array(self.false_alarms).T
        return float(np.exp(np.interp(_odds(threshold), _odds(thresholds), np.log(rates))))

    def probabilities(self, read: npt.NDArray[np.floating[Any]]) -> Signal:
        """(N, `READS`) as `described` reads it -> (N,) in (0, 1)."""
        odds = read @ np.array([self.weights[name] for name in READS]) + self.bias
        found: Signal = 1 / (1 + np.exp(-odds))
        return found


@lru_cache(maxsize=1)
def shipped() -> Judge:
    """The judge that ships."""
    return Judge.load()


def described(
    features: Features,
    scores: Scores,
    by_rules: Sequence[Expression],
    by_network: Sequence[Expression],
    settings: RuleSettings,
) -> tuple[tuple[Expression, ...], Signal]:
    """The rules' proposals, then a network's that stand out at all, with peaks in units of
    `settings`; and what is read of each (N, `READS`).

    Args:
        scores: the ten tracks of a network, row by row of the features.
        settings: whose noise movements are told in.
    """
    # The rules' own peaks are in units of what they propose from.
    unmeasured = [replace(e, peak=None) for e in (*by_rules, *by_network)]
    with_heights = with_peaks(unmeasured, features, settings)
    by_rules = with_heights[: len(by_rules)]
    by_network = [e for e in with_heights[len(by_rules) :] if (e.peak or 0.0) >= _LEAST_PEAK]
    both = (*by_rules, *by_network)
    if not both:
        return (), np.zeros((0, len(READS)))
    tracks = {
        part: np.nan_to_num(np.max([scores.channel(f"{k}_{part}") for k in KINDS], axis=0))
        for part in ("action", "onset", "offset")
    }
    movements = [
        (begin, end, _in_units(found)) for begin, end, found in followed(features, settings)
    ]
    spans = np.array([(e.onset_s, e.offset_s) for e in both]) - 1e-6
    rows = np.searchsorted(features.times, spans)
    other = [*_others(by_rules, by_network), *_others(by_network, by_rules)]
    read = [
        _read(e, number < len(by_rules), first, max(last, first + 1), features.rate, tracks)
        + other[number]
        + _shape(first, max(last, first + 1), movements)
        for number, (e, (first, last)) in enumerate(zip(both, rows.tolist(), strict=True))
    ]
    names = (*_SEEN, *_AGREED, *_SHAPED)
    order = [names.index(name) for name in READS]
    return both, np.array(read)[:, order]


_SEEN = (
    "by_rules", "rules", "network", "action", "around", "onset", "offset", "peak", "duration",
    "duration_squared",
)  # fmt: skip
_AGREED = ("agreement", "other")
_SHAPED = ("returns", "unrest", "cut")


def _read(
    e: Expression, by_rules: bool, first: int, last: int, rate: float, tracks: Mapping[str, Signal]
) -> list[float]:
    """`_SEEN` of a proposal from row `first` to `last`."""
    length = last - first
    action, side = tracks["action"], max(_NEAR, length // 2)
    middle = action[first + length // 4 : last - length // 4 + 1]
    around = np.concatenate(
        [
            action[max(0, first - side) : max(0, first - _NEAR + 1)],
            action[last + _NEAR : last + side],
        ]
    )
    score, duration = _odds(e.score), np.log(length / rate)
    return [
        float(by_rules),
        score * by_rules,
        score * (not by_rules),
        _odds(middle.mean() if len(middle) else 0.0),
        _odds(around.mean() if len(around) else 0.0),
        _odds(tracks["onset"][max(0, first - _NEAR) : first + _NEAR + 1].max(initial=0)),
        _odds(tracks["offset"][max(0, last - _NEAR) : last + _NEAR + 1].max(initial=0)),
        float(np.log(max(e.peak or 0.0, 0.1))),
        float(duration),
        float(duration**2),
    ]


def _others(own: Sequence[Expression], others: Sequence[Expression]) -> list[list[float]]:
    """`_AGREED` of each of a spotter's proposals, among the other spotter's."""
    if not others:
        return [[0.0, 0.0] for _ in own]
    onset, offset, score = np.array([(o.onset, o.offset, o.score) for o in others]).T
    found = []
    for e in own:
        # All at once: an hour has thousands of proposals.
        shared = np.minimum(offset, e.offset) - np.maximum(onset, e.onset) + 1
        iou = np.maximum(shared, 0) / (len(e.interval) + offset - onset + 1 - np.maximum(shared, 0))
        best = int(np.lexsort((score, iou))[-1])
        found.append([float(iou[best]), float(_odds(score[best])) if iou[best] > 0 else 0.0])
    return found


def _shape(first: int, last: int, movements: Sequence[tuple[int, int, Signal]]) -> list[float]:
    """`_SHAPED` of a proposal: (M, N) displacements in units of noise for every run, in order."""
    run = bisect_right(movements, first, key=lambda movement: movement[0]) - 1
    for begin, end, paths in movements[max(0, run) : run + 1]:
        if not begin <= first < end:
            continue
        a, b = first - begin, min(last, end) - begin
        departure = np.abs(paths[:, a : b + 1] - paths[:, a : a + 1])
        top = departure.max(axis=1)
        largest = int(top.argmax())
        together = np.sqrt((departure**2).sum(axis=0))
        if not (height := float(top[largest])):
            break
        path, side = paths[largest], max(_NEAR + 1, (b - a) // 2)
        beside = (path[max(0, a - side) : a + 1], path[b : b + side + 1])
        cut = a <= _NEAR or b >= end - begin - 1 - _NEAR
        return [
            0.0 if cut else 1 - float(together[-1] / together.max()),
            min(2.0, min(float(np.ptp(s)) for s in beside) / height),
            float(cut),
        ]
    return [0.0, 0.0, 0.0]


def _in_units(movements: list[Followed]) -> Signal:
    """(M, N) displacements in units of noise; the list is emptied, as it goes."""
    found = np.empty((len(movements), len(movements[0].smooth)))
    for row in found:
        movement = movements.pop(0)
        row[:] = movement.smooth / movement.unit
    return found


def _odds(score: Any) -> Any:
    held = np.clip(score, _LEAST, 1 - _LEAST)
    return np.log(held / (1 - held))


def chosen(
    proposals: Sequence[Expression], probabilities: Signal, threshold: float
) -> tuple[Expression, ...]:
    """The likeliest proposals that are not of one expression, in order of onset.

    Their scores are the probabilities. What lies in another one stays where it is of another kind
    and much shorter: a micro-expression inside a macro-expression.
    """
    kept: list[Expression] = []
    spans = np.array([(e.onset, e.offset, e.onset_s, e.offset_s) for e in proposals])
    macro = np.array([e.kind == "macro" for e in proposals])
    free = probabilities >= threshold
    for k in np.argsort(-probabilities, kind="stable"):
        if free[k]:
            kept.append(replace(proposals[k], score=float(probabilities[k])))
            free &= ~_same(spans[k], macro[k], spans, macro)
    return tuple(sorted(kept, key=lambda e: (e.onset, e.offset)))


def _same(one: Signal, is_macro: np.bool_, spans: Signal, macro: BoolArray) -> BoolArray:
    """(N,) which of the spans (N, 4; in frames, in seconds) are of one expression with this one."""
    shared = np.minimum(spans[:, 1], one[1]) - np.maximum(spans[:, 0], one[0]) + 1
    shared = np.maximum(shared, 0)
    lengths = spans[:, 1] - spans[:, 0] + 1
    iou = shared / (lengths + one[1] - one[0] + 1 - shared)
    seconds = np.minimum(spans[:, 3], one[3]) - np.maximum(spans[:, 2], one[2])
    shorter = np.minimum(spans[:, 3] - spans[:, 2], one[3] - one[2])
    same: BoolArray = (macro == is_macro) & (seconds > _SAME_PART * shorter)
    same |= iou > _SAME_IOU
    return same
