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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import pairwise
from operator import attrgetter
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks, peak_prominences

from aumer.cache import Arrays
from aumer.config import RuleSettings, Settings
from aumer.graph import AUGraph
from aumer.graph.rois import roi_set
from aumer.spotting import stages
from aumer.spotting.interface import SpotterModel
from aumer.spotting.movements import MOVEMENTS, REGIONS, Signal, columns
from aumer.spotting.noise import (
    DURATION_BIAS_S,
    FALSE_ALARMS,
    NORMAL,
    Alike,
    FaceMovements,
    Rows,
    duration_sd,
    factor,
    false_alarms,
    movements_of,
)
from aumer.types import Expression, Features, FloatArray, Moment, Scores

__all__ = ["MOVEMENTS", "RuleSpotter"]


#: Seconds before and after a movement in which a blink or head turn may have affected it, and over
#: which the usual opening of the eyes is measured.
_AROUND_S, _USUAL_S = 0.1, 1.0
#: Seconds in which later frames may still change the motion, and in which a neighbor's peak may
#: follow.
_FALL_S = 2.0

#: The movements by number, and the numbers of those of each region.
_NAMES = tuple(MOVEMENTS)
_OF = {
    region: np.array([k for k, m in enumerate(MOVEMENTS.values()) if m.region == region])
    for region in REGIONS
}


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


#: The number of a run, whether the candidate is selected, and the candidate.
_Proposed = tuple[int, bool, _Candidate]
_FIELDS = tuple(one.name for one in fields(_Candidate))


def _packed(found: list[_Proposed]) -> Arrays:
    values = attrgetter(*_FIELDS)
    return stages.packed_rows([(run, chosen, *values(c)) for run, chosen, c in found])


def _unpacked(arrays: Arrays) -> list[_Proposed]:
    return [
        (run, chosen, _Candidate(**dict(zip(_FIELDS, values, strict=True))))
        for run, chosen, *values in stages.unpacked_rows(arrays)
    ]


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
        # `np.median` alone would take most of the time of the rules.
        half = (len(usual) - 1) // 2, len(usual) // 2
        low, high = np.partition(usual, half, axis=0)[half, :]
        return max(0.0, float(((low + high) / 2 - lids).max()))


@dataclass(frozen=True, eq=False)
class _One:
    """One movement through one run of N - 1 rows: (N,) displacements, the threshold in force, and
    that at sensitivity "normal"; in outer-eye distances.
    """

    name: str
    smooth: Signal
    threshold: Signal
    base: Signal


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
        values, spotted = stages.kept(
            "rules",
            features,
            (self,),
            self._about,
            lambda: self._spotted(features),
            lambda found: {"values": found[0], **stages.packed_expressions(found[1])},
            lambda arrays: (arrays["values"], stages.unpacked_expressions(arrays)),
        )
        scores = Scores(
            values=values,
            times=features.times,
            frames=features.frames,
            valid=features.valid,
            channels=(*REGIONS, "expression"),
        )
        return scores, spotted

    @property
    def _about(self) -> dict[str, Any]:
        """All that the result depends on besides the features."""
        return {"settings": asdict(self._settings), "factor": self._factor}

    def _spotted(self, features: Features) -> tuple[FloatArray, tuple[Expression, ...]]:
        """The tracks, (T, regions + 1), and the expressions."""
        paths = movements_of(features, self._settings)
        kept: dict[int, list[_Candidate]] = {}
        waiting: dict[int, list[_Candidate]] = {}
        count = stages.parts(len(features))
        for k in range(count):
            for run, chosen, candidate in stages.kept(
                f"rules, part {k + 1} of {count}",
                features,
                (self,),
                self._about,
                partial(self._part, paths, features, (k, count)),
                _packed,
                _unpacked,
            ):
                (kept if chosen else waiting).setdefault(run, []).append(candidate)
        for run, found in waiting.items():
            kept[run] = self._select(found, paths.smooth(run), features.rate)
        spotted = [
            self._expression(c, *paths.spans[run], features)
            for run in sorted(kept)
            for c in kept[run]
        ]
        tracks = self._tracks(paths, kept, features)
        values = np.column_stack([tracks, tracks.max(axis=1)])
        return values, tuple(sorted(spotted, key=lambda e: (e.onset, e.offset)))

    def _part(
        self, paths: FaceMovements, features: Features, share: tuple[int, int]
    ) -> list[_Proposed]:
        """The candidates of a part of the runs: of short ones those that are selected, of long
        ones, whose movements come one by one, all.
        """
        found: list[_Proposed] = []
        for alike in paths.alike(self._settings.min_height, share=share):
            of_run: dict[int, list[_Candidate]] = {}
            for run, candidates in self._candidates(alike, paths, features):
                of_run.setdefault(run, []).extend(candidates)
            whole = len(alike.movements) == len(MOVEMENTS)
            for run, candidates in of_run.items():
                if whole:
                    candidates = self._select(candidates, paths.smooth(run), features.rate)
                found += [(run, whole, candidate) for candidate in candidates]
        return found

    def _candidates(
        self, alike: Alike, paths: FaceMovements, features: Features
    ) -> Iterator[tuple[int, list[_Candidate]]]:
        """The number of a run and the candidates of one movement in it; movements in order."""
        rate = features.rate
        threshold = alike.base * (self._factor / NORMAL)
        raised: dict[tuple[int, int], list[_Candidate]] = {}
        for direction, height in alike.heights(self._settings, rate):
            for (k, m), apexes in _apexes(height, threshold):
                run, number = int(alike.runs[k]), int(alike.movements[m])
                begin, end = paths.spans[run]
                one = _One(_NAMES[number], alike.smooth[k, m], threshold[k, m], alike.base[k, m])
                signs = _Signs(features.eyelids[begin:end], features.head[begin:end])
                found = self._of_one(one, direction, height[k, m], apexes, signs, rate)
                raised.setdefault((run, number), []).extend(found)
        for run, number in sorted(raised):
            yield run, raised[run, number]

    def _of_one(
        self,
        one: _One,
        direction: float,
        height: Signal,
        apexes: Rows,
        signs: _Signs,
        rate: float,
    ) -> Iterator[_Candidate]:
        """The candidates of one movement in one direction in one unbroken run."""
        weight = 1.0 if direction > 0 else MOVEMENTS[one.name].back
        for left, apex, right in zip(*_valleys(height, apexes), strict=True):
            candidate = self._grow(
                one,
                direction,
                left,
                apex,
                right,
                height[apex],
                height[apex] / one.threshold[apex],
                weight,
                rate,
            )
            if candidate is None:
                continue
            share = self._undoubted(candidate, one.threshold[apex], signs, rate)
            strength = candidate.strength * share
            if strength < 1:
                continue
            # Between two raises of a brow the return is not a lowering, nor the reverse.
            away = one.smooth[apex] - self._rest(one.smooth, apex, rate)
            beyond = float(direction * away / candidate.height)
            left_over = 1 - self._settings.at_rest * (1 - min(max(beyond, 0.0), 1.0))
            yield replace(candidate, strength=strength, weight=candidate.weight * share * left_over)

    def _rest(self, smooth: Signal, row: int, rate: float) -> float:
        """The median of a movement around a row; beyond its ends it stays."""
        around = min(round(self._settings.rest_level_s * rate), 2 * len(smooth)) // 2
        rows = np.arange(row - around, row + around + 1).clip(0, len(smooth) - 1)
        return float(np.partition(smooth[rows], around)[around])

    def _undoubted(
        self, candidate: _Candidate, threshold: float, signs: _Signs, rate: float
    ) -> float:
        """The share of a candidate that blinks or head turns at that time do not explain."""
        s = self._settings
        around = round(_AROUND_S * rate)
        first, last = max(0, candidate.onset - around), candidate.offset + around
        also = np.hypot(
            s.turn * signs.turned(first, last),
            s.blink * signs.closed(first, last, round(_USUAL_S * rate)),
        )
        return threshold / float(np.hypot(threshold, also))

    def _grow(
        self,
        one: _One,
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
        s = self._settings
        # Further away lie other postures and slow drift, not this movement's rest.
        reach = round(s.max_s * rate)
        left, right = max(left, apex - reach), min(right, apex + reach)
        signal = direction * one.smooth[left : right + 1]
        top = apex - left
        rise, fall = signal[: top + 1][::-1], signal[top:]
        lowest = rise.min(), fall.min()
        drops = signal[top] - lowest[0], signal[top] - lowest[1]
        if min(drops) < s.complete * max(drops):
            return None
        onset = apex - _foot(rise, lowest[0], s.foot, s.slow)
        offset = apex + _foot(fall, lowest[1], s.foot, s.slow)
        if not s.min_s <= (offset - onset) / rate <= s.max_s:
            return None
        high = signal[onset - left : offset - left + 1] > signal[top] - 0.2 * min(drops)
        count = int(np.count_nonzero(high))
        return _Candidate(
            onset=onset,
            apex=apex,
            offset=offset,
            movement=one.name,
            region=MOVEMENTS[one.name].region,
            rise=int(high.argmax()),
            fall=int(high[::-1].argmax()),
            held=count / len(high),
            held_s=count / rate,
            height=min(drops),
            strength=float(strength),
            peak=float(height / (one.base[apex] / NORMAL)),
            weight=float(strength * weight * min(drops) / max(drops)),
        )

    def _tracks(
        self, paths: FaceMovements, kept: Mapping[int, list[_Candidate]], features: Features
    ) -> FloatArray:
        """(T, regions) distance from rest in [0, 1]; rest is a slow mean, interpolated over the
        expressions found.
        """
        tracks = np.full((len(features), len(REGIONS)), np.nan, np.float32)
        window = max(1, round(self._settings.reference_s * features.rate))
        for alike in paths.alike(self._settings.min_height):
            bridged = alike.smooth.copy()
            for k, run in enumerate(alike.runs.tolist()):
                for region in REGIONS:
                    busy = [c for c in kept.get(run, ()) if c.region == region]
                    if busy:
                        for m in np.flatnonzero(np.isin(alike.movements, _OF[region])):
                            _bridge(bridged[k, m], busy)
            rest = uniform_filter1d(bridged, window, mode="nearest")
            level: Signal = np.abs(alike.smooth - rest)
            level /= level + alike.base * (self._factor / NORMAL)
            for j, region in enumerate(REGIONS):
                highest = level[:, np.isin(alike.movements, _OF[region])].max(axis=1, initial=0)
                for run, values in zip(alike.runs.tolist(), highest, strict=True):
                    into = tracks[slice(*paths.spans[run]), j]
                    np.fmax(into, values[:-1], out=into, casting="same_kind")
        return tracks

    def _select(
        self, candidates: list[_Candidate], smooth: Signal, rate: float
    ) -> list[_Candidate]:
        """The strongest candidates of a run that do not exclude one another.

        Args:
            smooth: (M, N) displacements of all movements.
        """
        kept: list[_Candidate] = []
        # Indexed by time: in ten hours only few candidates can overlap.
        stretch = max(1, round(self._settings.max_s * rate))
        there: dict[int, list[_Candidate]] = {}
        for candidate in sorted(candidates, key=lambda c: -c.weight):
            mine = range(candidate.onset // stretch, candidate.offset // stretch + 1)
            near = (other for k in mine for other in there.get(k, ()))
            if any(other.claims(candidate, self._settings.overlap) for other in near):
                continue
            if candidate.region == "mouth" and self._talking(candidate, smooth, rate):
                continue
            kept.append(candidate)
            for k in mine:
                there.setdefault(k, []).append(candidate)
        return kept

    def _talking(self, candidate: _Candidate, smooth: Signal, rate: float) -> bool:
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
            still = self._settings.rest * candidate.height
            around = smooth[_OF["mouth"], max(0, begin) : end + 1]
            restless += bool(np.ptp(around, axis=1).max() > still)
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


def _bridge(path: Signal, busy: Sequence[_Candidate]) -> None:
    """Interpolate a (N,) path over the candidates."""
    resting = np.ones(len(path), np.bool_)
    for candidate in busy:
        resting[candidate.onset + 1 : candidate.offset] = False
    rows = np.arange(len(path))
    path[:] = np.interp(rows, rows[resting], path[resting])


def _apexes(height: Signal, threshold: Signal) -> Iterator[tuple[tuple[int, int], Rows]]:
    """The peaks of (K, M, N) heights that reach the threshold, by their first two indices, in
    order.

    Only those whose prominence is at least half their height, so that two maxima of one hold count
    once.
    """
    # A peak may lie at the very ends of a run, hence the zeros before and after.
    each = height.shape[-1] + 1
    ends = [(0, 0), (0, 0), (0, 1)]
    flat = np.concatenate([[0], np.pad(height, ends).ravel()])
    least = np.concatenate([[0], np.pad(threshold, ends, mode="edge").ravel()])
    peaks, _ = find_peaks(flat, height=least)
    # Nothing beyond the zeros changes a prominence.
    prominences, _, _ = peak_prominences(flat, peaks, wlen=2 * each + 1)
    rows, apexes = np.divmod(peaks[prominences >= 0.5 * flat[peaks]] - 1, each)
    if not len(rows):
        return
    of_row, firsts = np.unique(rows, return_index=True)
    for row, found in zip(of_row.tolist(), np.split(apexes, firsts[1:]), strict=True):
        yield divmod(row, height.shape[1]), found


def _valleys(height: Signal, peaks: Rows) -> tuple[list[int], list[int], list[int]]:
    """For each peak the lowest points between it and its neighbors, or the ends of the run."""
    cuts = [int(a + height[a : b + 1].argmin()) for a, b in pairwise(peaks)]
    return [0, *cuts][: len(peaks)], [int(p) for p in peaks], [*cuts, len(height) - 1][: len(peaks)]


def _foot(flank: Signal, lowest: float, foot: float, slow: float) -> int:
    """Number of rows in which a flank, given from the peak outward, comes down.

    It ends where a share `foot` of the way to its lowest point is left, or, in its lower half,
    where the speed has fallen to a share `slow` of the fastest.
    """
    if len(flank) < 2:
        return 0
    left = (flank - lowest) / (flank[0] - lowest or 1.0)
    speed = -np.diff(flank)
    ended = left[1:] <= foot
    ended[:-1] |= (left[1:-1] < 0.5) & (speed[1:] <= slow * speed.max())
    first = int(ended.argmax())
    return first + 1 if ended[first] else len(flank) - 1
