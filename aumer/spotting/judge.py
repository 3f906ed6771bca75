"""The judge: the probability that a proposed interval is an expression, for proposals of any
spotter.

The rules locate the begin and end of a movement well, but take every movement that returns for an
expression; a network distinguishes blinks, swallowing and head turns, but locates less well. Each
makes errors that the other can detect. So both propose more than they would spot alone, and a
logistic model scores each proposal by the scores of both, its height above the noise of this face,
whether it returns to where it began, and whether there is rest around it.

It was fitted on simulated faces that move unlike the simulator's table, none of which the network
was trained on (``benchmarks/studies/judging.py``). The network has learned from faces made unlike
in the same way, so that its scores there may still be better than on real faces, where its error
rate is unknown. The judge's score is the probability that the proposal overlaps an expression with
an IoU of at least .5, as fitted there; it was not checked on real faces.
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
from aumer.spotting.noise import FaceMovements, Rows, movements_of, with_peaks
from aumer.types import KINDS, BoolArray, Expression, Features, FloatArray, Scores
from aumer.weights import require_finite

FORMAT = "aumer-judge-2"
#: The judge that ships, for proposals of the shipped rules and network.
SHIPPED = Path(__file__).parent / "weights" / "judge.json"

#: Inputs of the model for each proposal. "action", "onset" and "offset" are a network's scores for
#: either kind (in the middle half, and at begin and end), "around" those of action beside it;
#: "agreement" is the IoU with the other spotter's proposal, "other" that proposal's score;
#: "returns" is the share of their way that all movements have come back at its end; "unrest" is the
#: extent of the largest movement on its quieter side. "cut": nothing is measured before or after
#: it, since the video begins or ends there or the face is lost; then "returns" is unknown and 0.
#: It is 2 if nothing is measured on either side. Scores are log odds.
READS = (
    "by_rules", "action", "around", "onset", "offset", "agreement", "other", "rules", "network",
    "peak", "duration", "duration_squared", "returns", "unrest", "cut",
)  # fmt: skip
_CUT = READS.index("cut")

#: Least height of a network's proposal in units of noise, equal to that of the rules' proposals. In
#: a video without noise a network detects a thousandth of an expression.
_LEAST_PEAK = 2.0
#: Scores are clipped to this distance from 0 and 1 before log odds are taken.
_LEAST = 1e-3
#: Evidence of a boundary is read within this many rows.
_NEAR = 3
#: Two proposals count as one expression above this IoU, or, if of one kind, if they share more than
#: this part of the shorter one.
_SAME_IOU, _SAME_PART = 0.2, 0.5


@dataclass(frozen=True)
class Judge:
    """A logistic model of `READS`.

    Attributes:
        weights: weights by name of input, for unscaled inputs.
        bias: log odds if all inputs are 0.
        network: digest of the weights of the network that it was fitted with.
        named: thresholds by name of the sensitivity.
        false_alarms: pairs (threshold, false alarms per minute of rest), thresholds ascending.
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
        """Raises WeightsError: not a file of a judge, or with NaN or infinity in it."""
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
        """Plain values for JSON, which `load` reads."""
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
        """Digest of everything that its scores depend on."""
        return digest({"weights": dict(self.weights), "bias": self.bias})

    def threshold(self, sensitivity: str) -> float:
        """The least probability at a sensitivity: a name, or false alarms per minute of rest.

        Between measured numbers it is interpolated, log odds against log number.

        Raises:
            ConfigError: a number outside the measured range, which the message names.
        """
        if sensitivity in self.named:
            return self.named[sensitivity]
        thresholds, rates = np.array(self.false_alarms).T
        rate = float(sensitivity)
        if not rates[-1] * (1 - 1e-9) <= rate <= rates[0] * (1 + 1e-9):
            raise ConfigError(
                f"`sensitivity` must be from {rates[-1]:g} to {rates[0]:g} false alarms a "
                "minute "
                "of rest, the range in which this spotter was measured, or one of "
                f"{', '.join(self.named)}; found {rate:g}"
            )
        odds = np.interp(np.log(rate), np.log(rates[::-1]), _odds(thresholds[::-1]))
        return float(1 / (1 + np.exp(-odds)))

    def alarms(self, threshold: float) -> float:
        """False alarms per minute of rest measured at a threshold: the inverse of `threshold`."""
        thresholds, rates = np.array(self.false_alarms).T
        return float(np.exp(np.interp(_odds(threshold), _odds(thresholds), np.log(rates))))

    def probabilities(self, read: npt.NDArray[np.floating[Any]]) -> Signal:
        """Inputs (N, `READS`) from `described` -> (N,) in [0, 1).

        It is 0 if a proposal is cut off at both ends: that takes all of a short clip, such as a
        word that is spoken, and shows neither an onset nor an offset.
        """
        cut = read[:, _CUT]
        once = np.column_stack([read[:, :_CUT], np.minimum(cut, 1), read[:, _CUT + 1 :]])
        odds = once @ np.array([self.weights[name] for name in READS]) + self.bias
        found: Signal = np.where(cut > 1, 0.0, 1 / (1 + np.exp(-odds)))
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
    """The rules' proposals, then the network's that are higher than the noise, with peaks in units
    of `settings`; and the inputs of each (N, `READS`).

    Args:
        scores: the ten tracks of a network, row by row of the features.
        settings: constants that define the units of noise.
    """
    # The peaks of the rules are in units of their proposing settings.
    unmeasured = [e if e.peak is None else replace(e, peak=None) for e in (*by_rules, *by_network)]
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
    movements, least = movements_of(features, settings), settings.min_height
    spans = np.array([(e.onset_s, e.offset_s) for e in both]) - 1e-6
    rows = np.searchsorted(features.times, spans)
    other = [*_others(by_rules, by_network), *_others(by_network, by_rules)]
    spans_of = [(first, max(last, first + 1)) for first, last in rows.tolist()]
    shape = [_shape(first, last, movements, least) for first, last in spans_of]
    read = np.column_stack(
        [_read(both, len(by_rules), spans_of, features.rate, tracks), other, shape]
    )
    names = (*_SEEN, *_AGREED, *_SHAPED)
    return both, read[:, [names.index(name) for name in READS]]


_SEEN = (
    "by_rules", "rules", "network", "action", "around", "onset", "offset", "peak", "duration",
    "duration_squared",
)  # fmt: skip
_AGREED = ("agreement", "other")
_SHAPED = ("returns", "unrest", "cut")


def _read(
    proposals: Sequence[Expression],
    by_rules: int,
    spans: Sequence[tuple[int, int]],
    rate: float,
    tracks: Mapping[str, FloatArray],
) -> Signal:
    """The inputs `_SEEN` (N, 10) of proposals from rows `first` to `last`, the rules' before the
    network's.
    """
    action = tracks["action"]
    # The middle and what is beside it may be empty: the log odds of 0.
    seen = np.zeros((len(spans), 4), np.float32)
    empty = np.zeros(seen.shape, np.bool_)
    for row, none, (first, last) in zip(seen, empty, spans, strict=True):
        length = last - first
        side = max(_NEAR, length // 2)
        middle = action[first + length // 4 : last - length // 4 + 1]
        around = np.concatenate(
            [
                action[max(0, first - side) : max(0, first - _NEAR + 1)],
                action[last + _NEAR : last + side],
            ]
        )
        for k, part in enumerate((middle, around)):
            if len(part):
                row[k] = part.mean()
            else:
                none[k] = True
        row[2] = tracks["onset"][max(0, first - _NEAR) : first + _NEAR + 1].max(initial=0)
        row[3] = tracks["offset"][max(0, last - _NEAR) : last + _NEAR + 1].max(initial=0)
    of_tracks = np.where(empty, _odds(0.0), _odds(seen))
    rules = np.arange(len(spans)) < by_rules
    score = _odds(np.array([e.score for e in proposals]))
    peak = np.log(np.array([max(e.peak or 0.0, 0.1) for e in proposals]))
    duration = np.log(np.array([last - first for first, last in spans]) / rate)
    return np.column_stack(
        [rules, score * rules, score * ~rules, of_tracks, peak, duration, duration**2]
    )


class _Overlapping:
    """Which of (N,) spans can overlap a span: ten hours have tens of thousands of proposals."""

    def __init__(self, onset: Signal, offset: Signal) -> None:
        self._order = np.argsort(onset, kind="stable")
        self._begins = onset[self._order]
        self._longest = float((offset - onset).max(initial=0))

    def __call__(self, onset: float, offset: float) -> Rows:
        """Their numbers, ascending; the spans that overlap it are among them."""
        first, after = np.searchsorted(self._begins, (onset - self._longest, offset + 1))
        return np.sort(self._order[first:after])


def _others(own: Sequence[Expression], others: Sequence[Expression]) -> list[list[float]]:
    """The inputs `_AGREED` of each of a spotter's proposals, compared with the other spotter's."""
    if not others:
        return [[0.0, 0.0] for _ in own]
    onset, offset, score = np.array([(o.onset, o.offset, o.score) for o in others]).T
    overlapping = _Overlapping(onset, offset)
    found = []
    for e in own:
        near = overlapping(e.onset, e.offset)
        shared = np.minimum(offset[near], e.offset) - np.maximum(onset[near], e.onset) + 1
        shared = np.maximum(shared, 0)
        iou = shared / (len(e.interval) + offset[near] - onset[near] + 1 - shared)
        if not iou.any():
            found.append([0.0, 0.0])
            continue
        best = int(np.lexsort((score[near], iou))[-1])
        found.append([float(iou[best]), float(_odds(score[near][best]))])
    return found


def _shape(first: int, last: int, movements: FaceMovements, min_height: float) -> list[float]:
    """The inputs `_SHAPED` of a proposal, from displacements in units of noise."""
    run = bisect_right(movements.spans, first, key=lambda span: span[0]) - 1
    for begin, end in movements.spans[max(0, run) : run + 1]:
        if not begin <= first < end:
            continue
        a, b = first - begin, min(last, end) - begin
        side = max(_NEAR + 1, (b - a) // 2)
        begun = max(0, a - side)
        paths = movements.in_units(run, begun, b + side + 1, min_height)
        departure = np.abs(paths[:, a - begun : b - begun + 1] - paths[:, a - begun, None])
        top = departure.max(axis=1)
        largest = int(top.argmax())
        together = np.sqrt((departure**2).sum(axis=0))
        if not (height := float(top[largest])):
            break
        path = paths[largest]
        beside = (path[: a - begun + 1], path[b - begun :])
        cut = (a <= _NEAR) + (b >= end - begin - 1 - _NEAR)
        return [
            0.0 if cut else 1 - float(together[-1] / together.max()),
            min(2.0, min(float(np.ptp(s)) for s in beside) / height),
            float(cut),
        ]
    return [0.0, 0.0, 0.0]


def _odds(score: Any) -> Any:
    held = np.clip(score, _LEAST, 1 - _LEAST)
    return np.log(held / (1 - held))


def chosen(
    proposals: Sequence[Expression], probabilities: Signal, threshold: float
) -> tuple[Expression, ...]:
    """The most probable proposals of different expressions, in order of onset.

    Their scores are the probabilities. A proposal inside another one is kept if it is of another
    kind and much shorter: a micro-expression inside a macro-expression.
    """
    kept: list[Expression] = []
    spans = np.array([(e.onset, e.offset, e.onset_s, e.offset_s) for e in proposals])
    macro = np.array([e.kind == "macro" for e in proposals])
    free = probabilities >= threshold
    if not free.any():
        return ()
    overlapping = _Overlapping(spans[:, 0], spans[:, 1])
    for k in np.argsort(-probabilities, kind="stable"):
        if free[k]:
            kept.append(replace(proposals[k], score=float(probabilities[k])))
            near = overlapping(*spans[k, :2])
            free[near] &= ~_same(spans[k], macro[k], spans[near], macro[near])
    return tuple(sorted(kept, key=lambda e: (e.onset, e.offset)))


def _same(one: Signal, is_macro: np.bool_, spans: Signal, macro: BoolArray) -> BoolArray:
    """(N,) which of the spans (N, 4; in frames, in seconds) belong to the same expression as this
    one.
    """
    shared = np.minimum(spans[:, 1], one[1]) - np.maximum(spans[:, 0], one[0]) + 1
    shared = np.maximum(shared, 0)
    lengths = spans[:, 1] - spans[:, 0] + 1
    iou = shared / (lengths + one[1] - one[0] + 1 - shared)
    seconds = np.minimum(spans[:, 3], one[3]) - np.maximum(spans[:, 2], one[2])
    shorter = np.minimum(spans[:, 3] - spans[:, 2], one[3] - one[2])
    same: BoolArray = (macro == is_macro) & (seconds > _SAME_PART * shorter)
    same |= iou > _SAME_IOU
    return same
