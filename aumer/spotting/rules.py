"""A spotter of rules, with no trained weights.

In the spirit of the rule-based winners of the MEGC challenges of 2021 and 2022 (ROI motion with the
nose taken off, moving windows, low-pass filter, peaks, thresholds, merging), with one difference:
motion is summed to displacement and read against a moving reference, so that a slow movement counts
as much as a fast one. Along eight named movements of the brows and the mouth, each both ways:

1. displacement, low-passed (`smooth_s`), of what is measured with confidence (`trust`);
2. its height over the moving reference: the morphological opening over `reference_s`, which follows
   drift and keeps whatever rises and returns within that time (a white top-hat);
3. peaks of that height above a threshold in units of this face's own noise in this movement, and
   standing out of their surroundings by half their height or more;
4. growth from the peak to onset and offset, until the movement has all but returned (`foot`) or all
   but come to rest (`slow`);
5. what does not both depart and return (`complete`) is posture, not expression; a mouth that moves
   to and fro, or has neither a rest round the movement nor a hold in it, is talking;
6. of candidates that claim the same movement or the same time the strongest stays.

The constants are in ``configs/default.toml``, in seconds and in outer-eye distances.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, uniform_filter1d, white_tophat
from scipy.signal import find_peaks, peak_prominences

from aumer.config import RuleSettings, Settings
from aumer.errors import UsageError
from aumer.rois import roi_set
from aumer.types import Expression, Features, Scores, runs

Signal = npt.NDArray[np.float64]

REGIONS = ("brow", "mouth")
#: Quantiles of a normal variable's size, in standard deviations.
_QUARTER, _MEDIAN = 0.3186, 0.6745


@dataclass(frozen=True)
class Movement:
    """A direction in which ROIs move together.

    Attributes:
        region: "brow" or "mouth".
        weights: (wx, wy) per ROI name; the movement is the weighted sum of displacements.
        back: how much the opposite direction counts, in (0, 1]. Both happen (a brow is lowered by
            AU4), but between two raises the way back looks like a lowering.
    """

    region: str
    weights: dict[str, tuple[float, float]]
    back: float


_THIRD = 1 / 3
MOVEMENTS: dict[str, Movement] = {
    "brow_raise_r": Movement(  # AU1, AU2; back: AU4
        "brow",
        {f"brow_r_{part}": (0.0, -_THIRD) for part in ("mid_outer", "mid", "mid_inner")},
        0.7,
    ),
    "brow_raise_l": Movement(
        "brow",
        {f"brow_l_{part}": (0.0, -_THIRD) for part in ("mid_outer", "mid", "mid_inner")},
        0.7,
    ),
    "brow_knit": Movement(  # AU4
        "brow", {"brow_r_mid_inner": (0.5, 0.0), "brow_l_mid_inner": (-0.5, 0.0)}, 0.5
    ),
    "corner_raise_r": Movement("mouth", {"mouth_r": (0.0, -1.0)}, 0.7),  # AU12, 13; back: AU15
    "corner_raise_l": Movement("mouth", {"mouth_l": (0.0, -1.0)}, 0.7),
    "stretch": Movement(  # AU12, 14, 20; back: AU18, 23
        "mouth", {"mouth_r": (-0.5, 0.0), "mouth_l": (0.5, 0.0)}, 0.7
    ),
    "lip_lower_drop": Movement("mouth", {"lip_lower": (0.0, 1.0)}, 0.7),  # AU25, 26; back: AU17
    "lip_upper_raise": Movement("mouth", {"lip_upper": (0.0, -1.0)}, 0.7),  # AU10; back: AU23, 24
}


@dataclass(frozen=True)
class _Candidate:
    """What may be an expression; onset, apex and offset are rows of one unbroken run."""

    movement: str
    region: str
    onset: int
    apex: int
    offset: int
    rise: int  # rows from the onset until it is nearly at its height
    fall: int  # rows from where it leaves its height to the offset
    held: float  # share of its rows that are nearly at its height
    held_s: float  # ... and how long that is
    height: float  # outer-eye distances
    strength: float  # height over the moving reference, in thresholds
    weight: float

    def claims(self, other: _Candidate, share: float) -> bool:
        """Whether this (stronger) candidate leaves no room for `other`."""
        overlap = min(self.offset, other.offset) - max(self.onset, other.onset)
        if overlap <= 0:
            return False
        if overlap > share * min(self.offset - self.onset, other.offset - other.onset):
            return True
        # The way back of one is not the departure of another: a region's flank is claimed once.
        flanks = min(self.rise, self.fall, other.rise, other.fall)
        return self.region == other.region and overlap > share * flanks


@dataclass(frozen=True, eq=False)
class _Followed:
    """One movement through one run: smoothed displacement, threshold, candidates."""

    name: str
    smooth: Signal
    threshold: float
    candidates: list[_Candidate]


class RuleSpotter:
    """Spots by rules. Called with features it returns scores and expressions.

    The scores are tracks "brow", "mouth" and "expression" (the larger of them): d / (d + threshold)
    for the region's movement that is furthest from rest, where d is its distance from where it
    rests before and after, so .5 lies at the threshold.
    """

    name = "rules"

    def __init__(self, settings: RuleSettings) -> None:
        self._settings = settings

    @property
    def settings(self) -> RuleSettings:
        """The constants in force."""
        return self._settings

    @classmethod
    def from_settings(cls, settings: Settings) -> RuleSpotter:
        """As the registry makes it, from all settings in force.

        Raises:
            UsageError: an ROI that the movements are made of is not in `settings.motion.rois`.
        """
        _columns(roi_set(settings.motion.rois).names)  # now, not once a video is analysed
        return cls(settings.rules)

    def __call__(self, features: Features) -> tuple[Scores, tuple[Expression, ...]]:
        """Spot in (T, R, 2) features; expressions come in order of onset.

        Raises:
            UsageError: an ROI that the movements are made of is missing.
        """
        columns = _columns(features.rois)
        tracks = np.full((len(features), len(REGIONS)), np.nan, np.float32)
        found: list[Expression] = []
        values = features.trusted(self._settings.trust).astype(np.float64)
        for begin, end in runs(features.valid):
            # Displacement at the time of each row and one step after the last.
            steps = values[begin:end].reshape(end - begin, -1)
            path = np.concatenate([np.zeros((1, steps.shape[1])), np.cumsum(steps, axis=0)])
            analysed = [
                self._follow(name, path @ column / features.eye_distance, features.rate)
                for name, column in columns.items()
            ]
            kept = self._select(analysed, features.rate)
            found += [self._expression(c, begin, end, features) for c in kept]
            for k, region in enumerate(REGIONS):
                busy = [c for c in kept if c.region == region]
                levels = [
                    self._level(m, busy, features.rate)
                    for m in analysed
                    if MOVEMENTS[m.name].region == region
                ]
                tracks[begin:end, k] = np.max(levels, axis=0)[:-1]
        scores = Scores(
            values=np.column_stack([tracks, tracks.max(axis=1)]),
            times=features.times,
            frames=features.frames,
            valid=features.valid,
            channels=(*REGIONS, "expression"),
        )
        return scores, tuple(sorted(found, key=lambda e: (e.onset, e.offset)))

    def _follow(self, name: str, signal: Signal, rate: float) -> _Followed:
        """One movement through one unbroken run: its level and what may be expressions in it."""
        s = self._settings
        smooth = gaussian_filter1d(signal, s.smooth_s * rate, mode="nearest")
        threshold = self._threshold(smooth, rate)
        window = max(3, round(s.reference_s * rate))
        candidates = []
        for direction, weight in ((1.0, 1.0), (-1.0, MOVEMENTS[name].back)):
            height = white_tophat(direction * smooth, window, mode="nearest")
            # The zeros let a peak stand at the very ends, where a run was cut.
            peaks, _ = find_peaks(np.concatenate([[0], height, [0]]), height=threshold)
            apexes = _standing_out(height, peaks - 1)
            for left, apex, right in zip(*_valleys(height, apexes), strict=True):
                candidate = self._grow(
                    name,
                    direction * smooth,
                    left,
                    apex,
                    right,
                    height[apex] / threshold,
                    weight,
                    rate,
                )
                if candidate:
                    candidates.append(candidate)
        return _Followed(name, smooth, threshold, candidates)

    def _threshold(self, smooth: Signal, rate: float) -> float:
        """In units of this movement's noise in this run, of the quick one and of the slow one."""
        s = self._settings
        # What a slower filter takes away as well is noise, or so short that it cannot be told.
        rough = smooth - gaussian_filter1d(smooth, s.noise_s * rate, mode="nearest")
        quick = float(np.median(np.abs(rough))) / _MEDIAN
        lag = max(1, round(s.drift_s * rate))
        slow = 0.0
        if len(smooth) > 5 * lag:  # or one expression leaves no quarter quiet
            # Of the quietest quarter of the time: faces act for more than half of it.
            moved = np.abs(smooth[lag:] - smooth[:-lag])
            slow = float(np.quantile(moved, 0.25)) / _QUARTER / np.sqrt(2)
        return max(s.min_height, s.noise_factor * quick, s.drift_factor * slow)

    def _grow(
        self,
        name: str,
        signal: Signal,
        left: int,
        apex: int,
        right: int,
        strength: float,
        weight: float,
        rate: float,
    ) -> _Candidate | None:
        """From a peak to its onset and offset, within the valleys to its left and right."""
        s = self._settings
        # Further away lie older postures and the drift of an hour, not this movement's rest.
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
            movement=name,
            region=MOVEMENTS[name].region,
            onset=onset,
            apex=apex,
            offset=offset,
            rise=int(high.argmax()),
            fall=int(high[::-1].argmax()),
            held=float(high.mean()),
            held_s=int(high.sum()) / rate,
            height=min(drops),
            strength=float(strength),
            weight=float(strength * weight * min(drops) / max(drops)),
        )

    def _level(self, movement: _Followed, busy: list[_Candidate], rate: float) -> Signal:
        """Distance from rest in [0, 1]; rest is a slow mean that bridges the expressions found."""
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

    def _select(self, analysed: list[_Followed], rate: float) -> list[_Candidate]:
        """The strongest candidates that leave one another room."""
        kept: list[_Candidate] = []
        mouth = [m for m in analysed if MOVEMENTS[m.name].region == "mouth"]
        candidates = [c for m in analysed for c in m.candidates]
        for candidate in sorted(candidates, key=lambda c: -c.weight):
            if any(other.claims(candidate, self._settings.overlap) for other in kept):
                continue
            if candidate.region == "mouth" and self._talking(candidate, mouth, rate):
                continue
            kept.append(candidate)
        return kept

    def _talking(self, candidate: _Candidate, mouth: list[_Followed], rate: float) -> bool:
        """Whether the mouth moves on before or after; with a hold in between it may do one."""
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
        # The instant after the last row has no row of its own.
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
        )


def _columns(rois: tuple[str, ...]) -> dict[str, Signal]:
    """Per movement the (2 R,) weights w with which flattened features @ w is the movement."""
    missing = {roi for m in MOVEMENTS.values() for roi in m.weights} - set(rois)
    if missing:
        raise UsageError(
            "the rule-based spotter needs ten of the 12 published ROIs; these features lack "
            f"{', '.join(sorted(missing))} (they have {', '.join(rois)}). Add them to the setting "
            "motion.rois, or use a trained spotter for other ROIs."
        )
    columns = {}
    for name, movement in MOVEMENTS.items():
        weights = np.zeros((len(rois), 2))
        for roi, weight in movement.weights.items():
            weights[rois.index(roi)] = weight
        columns[name] = weights.ravel()
    return columns


def _standing_out(height: Signal, peaks: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The peaks whose prominence is at least half their height: two tops of one hold are one."""
    padded = np.concatenate([[0], height, [0]])
    prominent = peak_prominences(padded, peaks + 1)[0] >= 0.5 * height[peaks]
    chosen: npt.NDArray[np.intp] = peaks[prominent]
    return chosen


def _valleys(height: Signal, peaks: npt.NDArray[np.intp]) -> tuple[list[int], list[int], list[int]]:
    """For each peak the lowest point between it and its neighbours, or the end of the run."""
    cuts = [int(a + height[a : b + 1].argmin()) for a, b in pairwise(peaks)]
    return [0, *cuts][: len(peaks)], [int(p) for p in peaks], [*cuts, len(height) - 1][: len(peaks)]


def _foot(flank: Signal, foot: float, slow: float) -> int:
    """How many rows a flank, given from the peak outwards, takes to come down.

    It ends where a share `foot` of the way to its lowest point is left, or, in its lower half,
    where it has slowed to a share `slow` of its fastest fall.
    """
    if len(flank) < 2:
        return 0
    left = (flank - flank.min()) / (flank[0] - flank.min() or 1.0)
    speed = -np.diff(flank)
    ended = left[1:] <= foot
    ended[:-1] |= (left[1:-1] < 0.5) & (speed[1:] <= slow * speed.max())
    return int(ended.argmax()) + 1 if ended.any() else len(flank) - 1
