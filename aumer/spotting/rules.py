"""The spotter "rules", without trained weights.

It follows the rule-based winners of the MEGC challenges of 2021 and 2022 (ROI motion minus that of
the nose, moving windows, low-pass filter, peaks, thresholds, merging), with one difference: motion
is summed to displacement and compared with a moving reference, so that a slow movement counts as
much as a fast one. For eleven named movements of the brows and the mouth, in both directions:

1. low-passed displacement (`smooth_s`) of motion that was measured with confidence (`trust`);
2. height over the moving reference: the morphological opening over `reference_s`, which follows
   drift and preserves whatever rises and returns within that time (a white top-hat);
3. peaks of this height above a threshold in units of this face's noise in this movement (their
   number follows from `sensitivity`, see `aumer.spotting.noise`), with a prominence of at least
   half their height;
4. growth from each peak to onset and offset, until the movement has almost returned (`foot`) or
   almost stopped (`slow`);
5. candidates that blinks or head turns at the same time may explain (`blink`, `turn`) are removed;
6. movement that does not both depart and return (`complete`) is posture, not expression; a mouth
   that moves to and fro, or has neither rest around the movement nor a hold in it, is talking;
7. of candidates for the same movement or the same time the strongest is kept.

The constants are in ``configs/default.toml``, in seconds and in outer-eye distances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter, uniform_filter1d
from scipy.signal import find_peaks, peak_prominences

from aumer.config import RuleSettings, Settings
from aumer.graph import AUGraph
from aumer.graph.rois import roi_set
from aumer.spotting.interface import SpotterModel
from aumer.spotting.movements import MOVEMENTS, REGIONS, Signal, columns
from aumer.spotting.noise import (
    DURATION_BIAS_S,
    FALSE_ALARMS,
    NORMAL,
    Followed,
    duration_sd,
    factor,
    false_alarms,
    followed,
)
from aumer.types import Expression, Features, FloatArray, Moment, Scores

__all__ = ["MOVEMENTS", "RuleSpotter"]


#: Seconds before and after a movement in which a blink or head turn may have affected it, and over
#: which the usual opening of the eyes is measured.
_AROUND_S, _USUAL_S = 0.1, 1.0
#: Seconds in which later frames may still change the motion, and in which a neighbor's peak may
#: follow.
_FALL_S = 2.0


@dataclass(frozen=True)
class _Candidate(Moment):
    """A candidate expression, in rows of one unbroken run."""

    movement: str
    region: str
    rise: int  # rows from the onset to almost full height
    fall: int  # rows from the end of almost full height to the offset
    held: float  # share of its rows at almost full height
    held_s: float  # ... and how long that is
    height: float  # outer-eye distances
    strength: float  # height over the moving reference, in thresholds
    peak: float  # ... and in units of the movement's noise
    weight: float

    def claims(self, other: _Candidate, share: float) -> bool:
        """Whether this (stronger) candidate excludes `other`."""
        overlap = min(self.offset, other.offset) - max(self.onset, other.onset)
        if overlap <= 0:
            return False
        if overlap > share * min(self.offset - self.onset, other.offset - other.onset):
            return True
        # The return of one movement is not the departure of another: a region's flank is used once.
        flanks = min(self.rise, self.fall, other.rise, other.fall)
        return self.region == other.region and overlap > share * flanks


@dataclass(frozen=True, eq=False)
class _Signs:
    """Other signals in a run of N - 1 rows: eyelids (N - 1, 2) and head (N - 1, 3), NaN if
    unknown.
    """

    eyelids: FloatArray
    head: FloatArray

    def turned(self, first: int, last: int) -> float:
        """By how many radians the head turns sideways, up or down; 0 if unknown."""
        head = self.head[first : last + 1, :2]
        return float(np.hypot(*np.ptp(head, axis=0))) if np.isfinite(head).all() else 0.0

    def closed(self, first: int, last: int, around: int) -> float:
        """How far an eyelid closes, relative to its median over `around` rows on either side."""
        lids = self.eyelids[first : last + 1]
        usual = self.eyelids[max(0, first - around) : last + around + 1]
        if not (len(lids) and np.isfinite(usual).all()):
            return 0.0
        return max(0.0, float((np.median(usual, axis=0) - lids).max()))


@dataclass(frozen=True, eq=False)
class _Analyzed:
    """One movement in one run, the threshold in force, and its candidates."""

    movement: Followed
    threshold: Signal
    candidates: list[_Candidate]

    @property
    def smooth(self) -> Signal:
        return self.movement.smooth


class RuleSpotter(SpotterModel):
    """The rule-based spotter. Called with features it returns scores and expressions.

    The scores are tracks "brow", "mouth" and "expression" (the larger of them): d / (d + threshold)
    for the region's movement that is furthest from rest, where d is its distance from its rest
    before and after, so that .5 is the threshold.
    """

    name = "rules"

    def __init__(self, settings: RuleSettings) -> None:
        """Raises ConfigError: the `sensitivity` is a number of false alarms outside the measured
        range.
        """
        self._settings = settings
        self._factor = factor(settings.sensitivity)

    @property
    def settings(self) -> RuleSettings:
        """The constants in force."""
        return self._settings

    @property
    def rules(self) -> RuleSettings:
        """The same; see `SpotterModel.rules`."""
        return self._settings

    @property
    def sensitivity(self) -> str:
        """The sensitivity in force."""
        return self._settings.sensitivity

    @property
    def false_alarms(self) -> tuple[float, float, float]:
        """As measured for the rules."""
        rates = [rate for _, rate in FALSE_ALARMS]
        return min(rates), false_alarms(self._factor), max(rates)

    @property
    def settles_s(self) -> float:
        """The fall of a movement, and the reach of the moving reference and of the rest after a
        peak.
        """
        s = self._settings
        return max(s.reference_s, s.rest_level_s / 2, s.lookahead_s) + _FALL_S

    @property
    def threshold(self) -> float:
        """.5: scores are x / (1 + x), with x in units of the threshold."""
        return 0.5

    @classmethod
    def from_settings(cls, settings: Settings, *, graph: AUGraph | None = None) -> RuleSpotter:
        """Make the spotter from settings; rules use no graph.

        Raises:
            UsageError: an ROI that the movements are made of is not in `settings.motion.rois`.
        """
        del graph
        columns(roi_set(settings.motion.rois).names)  # refuse ROIs at once
        return cls(settings.rules)

    def __call__(self, features: Features) -> tuple[Scores, tuple[Expression, ...]]:
        """Spot in (T, R, 2) features; expressions come in order of onset.

        Raises:
            UsageError: an ROI that the movements are made of is missing.
        """
        tracks = np.full((len(features), len(REGIONS)), np.nan, np.float32)
        found: list[Expression] = []
        for begin, end, movements in followed(features, self._settings):
            signs = _Signs(features.eyelids[begin:end], features.head[begin:end])
            analyzed = [self._analyzed(movement, signs, features.rate) for movement in movements]
            kept = self._select(analyzed, features.rate)
            found += [self._expression(c, begin, end, features) for c in kept]
            for k, region in enumerate(REGIONS):
                busy = [c for c in kept if c.region == region]
                levels = (
                    self._level(m, busy, features.rate)
                    for m in analyzed
                    if m.movement.region == region
                )
                tracks[begin:end, k] = reduce(np.maximum, levels)[:-1]
        scores = Scores(
            values=np.column_stack([tracks, tracks.max(axis=1)]),
            times=features.times,
            frames=features.frames,
            valid=features.valid,
            channels=(*REGIONS, "expression"),
        )
        return scores, tuple(sorted(found, key=lambda e: (e.onset, e.offset)))

    def _analyzed(self, movement: Followed, signs: _Signs, rate: float) -> _Analyzed:
        """The candidates of one movement in one unbroken run."""
        threshold = movement.base * (self._factor / NORMAL)
        # A peak may lie at the very ends of a run, hence the zeros before and after.
        least = np.pad(threshold, 1, mode="edge")
        window = min(round(self._settings.rest_level_s * rate), 2 * len(threshold)) | 1
        rest = median_filter(movement.smooth, window, mode="nearest")
        candidates = []
        for direction, weight in ((1.0, 1.0), (-1.0, MOVEMENTS[movement.name].back)):
            height = movement.height(direction, self._settings, rate)
            peaks, _ = find_peaks(np.concatenate([[0], height, [0]]), height=least)
            apexes = _standing_out(height, peaks - 1)
            for left, apex, right in zip(*_valleys(height, apexes), strict=True):
                candidate = self._grow(
                    movement,
                    direction,
                    left,
                    apex,
                    right,
                    height[apex],
                    height[apex] / threshold[apex],
                    weight,
                    rate,
                )
                if candidate:
                    candidate = self._doubted(candidate, threshold[apex], signs, rate)
                if candidate:
                    # Between two raises of a brow the return is not a lowering, nor the reverse.
                    beyond = direction * (movement.smooth[apex] - rest[apex]) / candidate.height
                    left_over = 1 - self._settings.at_rest * (1 - float(np.clip(beyond, 0, 1)))
                    candidates.append(replace(candidate, weight=candidate.weight * left_over))
        return _Analyzed(movement, threshold, candidates)

    def _doubted(
        self, candidate: _Candidate, threshold: float, signs: _Signs, rate: float
    ) -> _Candidate | None:
        """The candidate, unless blinks or head turns at that time may explain it."""
        s = self._settings
        around = round(_AROUND_S * rate)
        first, last = max(0, candidate.onset - around), candidate.offset + around
        also = np.hypot(
            s.turn * signs.turned(first, last),
            s.blink * signs.closed(first, last, round(_USUAL_S * rate)),
        )
        share = threshold / float(np.hypot(threshold, also))
        strength = candidate.strength * share
        if strength < 1:
            return None
        return replace(candidate, strength=strength, weight=candidate.weight * share)

    def _grow(
        self,
        movement: Followed,
        direction: float,
        left: int,
        apex: int,
        right: int,
        height: float,
        strength: float,
        weight: float,
        rate: float,
    ) -> _Candidate | None:
        """Grow from a peak to its onset and offset, within the valleys to its left and right."""
        s, signal = self._settings, direction * movement.smooth
        # Further away lie other postures and slow drift, not this movement's rest.
        reach = round(s.max_s * rate)
        left, right = max(left, apex - reach), min(right, apex + reach)
        rise, fall = signal[left : apex + 1][::-1], signal[apex : right + 1]
        drops = signal[apex] - rise.min(), signal[apex] - fall.min()
        if min(drops) < s.complete * max(drops):
            return None
        onset = apex - _foot(rise, s.foot, s.slow)
        offset = apex + _foot(fall, s.foot, s.slow)
        if not s.min_s <= (offset - onset) / rate <= s.max_s:
            return None
        high = signal[onset : offset + 1] > signal[apex] - 0.2 * min(drops)
        return _Candidate(
            onset=onset,
            apex=apex,
            offset=offset,
            movement=movement.name,
            region=movement.region,
            rise=int(high.argmax()),
            fall=int(high[::-1].argmax()),
            held=float(high.mean()),
            held_s=int(high.sum()) / rate,
            height=min(drops),
            strength=float(strength),
            peak=float(height / movement.unit[apex]),
            weight=float(strength * weight * min(drops) / max(drops)),
        )

    def _level(self, movement: _Analyzed, busy: list[_Candidate], rate: float) -> Signal:
        """Distance from rest in [0, 1]; rest is a slow mean, interpolated over the expressions
        found.
        """
        resting = np.ones(len(movement.smooth), np.bool_)
        for candidate in busy:
            resting[candidate.onset + 1 : candidate.offset] = False
        rows = np.arange(len(resting))
        bridged = np.interp(rows, rows[resting], movement.smooth[resting])
        window = max(1, round(self._settings.reference_s * rate))
        rest = uniform_filter1d(bridged, window, mode="nearest")
        distance: Signal = np.abs(movement.smooth - rest)
        level: Signal = distance / (distance + movement.threshold)
        return level

    def _select(self, analyzed: list[_Analyzed], rate: float) -> list[_Candidate]:
        """The strongest candidates that do not exclude one another."""
        kept: list[_Candidate] = []
        # Indexed by time: in ten hours only few candidates can overlap.
        stretch = max(1, round(self._settings.max_s * rate))
        there: dict[int, list[_Candidate]] = {}
        mouth = [m for m in analyzed if m.movement.region == "mouth"]
        candidates = [c for m in analyzed for c in m.candidates]
        for candidate in sorted(candidates, key=lambda c: -c.weight):
            mine = range(candidate.onset // stretch, candidate.offset // stretch + 1)
            near = (other for k in mine for other in there.get(k, ()))
            if any(other.claims(candidate, self._settings.overlap) for other in near):
                continue
            if candidate.region == "mouth" and self._talking(candidate, mouth, rate):
                continue
            kept.append(candidate)
            for k in mine:
                there.setdefault(k, []).append(candidate)
        return kept

    def _talking(self, candidate: _Candidate, mouth: list[_Analyzed], rate: float) -> bool:
        """Whether the mouth also moves before or after; a movement with a hold may have one of the
        two.
        """
        holds = candidate.held >= self._settings.hold and candidate.held_s >= self._settings.hold_s
        reach = max(1, round(self._settings.rest_s * rate))
        restless = 0
        for begin, end in (
            (candidate.onset - reach, candidate.onset),
            (candidate.offset, candidate.offset + reach),
        ):
            around = [m.smooth[max(0, begin) : end + 1] for m in mouth]
            still = self._settings.rest * candidate.height
            restless += bool(max(np.ptp(a) for a in around) > still)
        return restless > holds

    def _expression(self, c: _Candidate, begin: int, end: int, features: Features) -> Expression:
        # The instant after the last row has no row.
        onset, apex, offset = (min(begin + k, end - 1) for k in (c.onset, c.apex, c.offset))
        micro = (c.offset - c.onset) / features.rate <= self._settings.micro_max_s
        return Expression(
            kind="micro" if micro else "macro",
            onset=int(features.frames[onset]),
            apex=int(features.frames[apex]),
            offset=int(features.frames[offset]),
            onset_s=float(features.times[onset]),
            apex_s=float(features.times[apex]),
            offset_s=float(features.times[offset]),
            score=c.strength / (1 + c.strength),
            peak=c.peak,
            duration_sd_s=duration_sd((c.offset - c.onset) / features.rate),
            duration_bias_s=DURATION_BIAS_S,
            micro_max_s=self._settings.micro_max_s,
        )


def _standing_out(height: Signal, peaks: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The peaks whose prominence is at least half their height, so that two maxima of one hold
    count once.
    """
    padded = np.concatenate([[0], height, [0]])
    prominent = peak_prominences(padded, peaks + 1)[0] >= 0.5 * height[peaks]
    chosen: npt.NDArray[np.intp] = peaks[prominent]
    return chosen


def _valleys(height: Signal, peaks: npt.NDArray[np.intp]) -> tuple[list[int], list[int], list[int]]:
    """For each peak the lowest points between it and its neighbors, or the ends of the run."""
    cuts = [int(a + height[a : b + 1].argmin()) for a, b in pairwise(peaks)]
    return [0, *cuts][: len(peaks)], [int(p) for p in peaks], [*cuts, len(height) - 1][: len(peaks)]


def _foot(flank: Signal, foot: float, slow: float) -> int:
    """Number of rows in which a flank, given from the peak outward, comes down.

    It ends where a share `foot` of the way to its lowest point is left, or, in its lower half,
    where the speed has fallen to a share `slow` of the fastest.
    """
    if len(flank) < 2:
        return 0
    left = (flank - flank.min()) / (flank[0] - flank.min() or 1.0)
    speed = -np.diff(flank)
    ended = left[1:] <= foot
    ended[:-1] |= (left[1:-1] < 0.5) & (speed[1:] <= slow * speed.max())
    return int(ended.argmax()) + 1 if ended.any() else len(flank) - 1
