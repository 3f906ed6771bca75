"""Decoders of the papers in this package, from curves to intervals.

Both read the tracks of one kind, and their `threshold` acts on final scores, so that training
chooses it on inner subjects as for aumer's decoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.signal import find_peaks

from aumer.spotting.channels import column
from aumer.spotting.decode import Proposal, expression_at, in_order, rate_of, ten_tracks
from aumer.spotting.parts import TrackDecoder
from aumer.strict import require
from aumer.types import KINDS, Expression, Kind, Scores

Signal = npt.NDArray[np.float64]


def _filled(scores: Scores) -> Signal:
    """(T, 10) tracks, 0 in invalid rows."""
    values = ten_tracks(scores).astype(np.float64)
    return np.where(np.isfinite(values), values, 0.0)


@dataclass(frozen=True)
class PeakDecoder(TrackDecoder):
    """SOFTNet's: the action track, smoothed over an expression's usual length, and its peaks.

    A peak counts if it reaches mean + `threshold` (max - mean) of the video; the expression extends
    half the usual length to either side. So a video's highest peak is always found, as in the
    paper.

    Attributes:
        threshold: the paper's p, .55 there.
        half_s: half the usual length of micro- and macro-expressions: the medians of CAS(ME)^2 and
            SAMM-LV.

    Raises:
        ConfigError: a value out of range.
    """

    threshold: float = 0.55
    half_s: tuple[float, float] = (0.23, 0.58)

    def __post_init__(self) -> None:
        require(0 < self.threshold <= 1, "decoder: threshold", self.threshold, "in (0, 1]")
        known = all(0 < s <= 60 for s in self.half_s)
        require(known, "decoder: half_s", list(self.half_s), "seconds above 0, at most 60")

    def __call__(self, scores: Scores) -> tuple[Expression, ...]:
        """As `TrackDecoder.__call__`."""
        values, rate = _filled(scores), rate_of(scores) or 1.0
        found: list[Expression] = []
        for kind, half_s in zip(KINDS, self.half_s, strict=True):
            half = max(1, round(half_s * rate))
            track = uniform_filter1d(
                values[:, column(kind, "action")], 2 * half + 1, mode="nearest"
            )
            spread = track.max() - track.mean() if len(track) else 0.0
            if spread <= 0:
                continue
            height = np.concatenate([[0.0], (track - track.mean()) / spread, [0.0]])
            peaks, _ = find_peaks(height, height=self.threshold, distance=half)
            for peak in (peaks - 1).tolist():
                if scores.valid[peak]:
                    ends = max(0, peak - half), peak, min(len(track) - 1, peak + half)
                    found.append(expression_at(scores, kind, *ends, float(height[peak + 1])))
        return in_order(found)


@dataclass(frozen=True)
class GrowingDecoder(TrackDecoder):
    """After BoostingVRME (2025): an interval grows around each peak to the best extent.

    The paper (its abstract) chooses among intervals of several sizes by how the curve evolves, how
    long expressions last, and how frequent classes are. Chosen: from each peak of the apex track
    the interval grows while the action track keeps a share of its value there; of `shares` the one
    is taken whose inside most exceeds the flanks, times a factor for its duration; the score is the
    geometric mean of this and the peak's; of two with an IoU above `nms_iou`, of any kinds, the
    weaker is removed. The tracks have learned the frequency of classes.

    Raises:
        ConfigError: a value out of range.
    """

    threshold: float = 0.3
    shares: tuple[float, ...] = (0.2, 0.35, 0.5, 0.65, 0.8)
    usual_s: tuple[float, float] = (0.35, 1.2)
    spread: tuple[float, float] = (0.5, 0.8)
    smooth_s: float = 0.04
    floor: float = 0.1
    nms_iou: float = 0.5

    def __post_init__(self) -> None:
        require(0 < self.threshold <= 1, "decoder: threshold", self.threshold, "in (0, 1]")
        require(0 < self.floor <= 1, "decoder: floor", self.floor, "in (0, 1]")
        require(0 < self.nms_iou <= 1, "decoder: nms_iou", self.nms_iou, "in (0, 1]")
        shares = bool(self.shares) and all(0 < s < 1 for s in self.shares)
        require(shares, "decoder: shares", list(self.shares), "numbers between 0 and 1")
        for name in ("usual_s", "spread"):
            value = getattr(self, name)
            require(all(0.001 <= v <= 3600 for v in value), name, list(value), "in [0.001, 3600]")
        require(0.001 <= self.smooth_s <= 60, "decoder: smooth_s", self.smooth_s, "in [0.001, 60]")

    def __call__(self, scores: Scores) -> tuple[Expression, ...]:
        """As `TrackDecoder.__call__`."""
        values, rate = _filled(scores), rate_of(scores) or 1.0
        if not len(values):
            return ()
        values = gaussian_filter1d(values, self.smooth_s * rate, axis=0, mode="nearest")
        found = [
            one
            for kind, usual, spread in zip(KINDS, self.usual_s, self.spread, strict=True)
            for one in self._of_kind(values, kind, usual * rate, spread)
        ]
        kept: list[Proposal] = []
        for one in sorted(found, key=lambda f: -f.score):
            if all(one.iou(other) <= self.nms_iou for other in kept):
                kept.append(one)
        return in_order(
            expression_at(scores, one.kind, one.onset, one.apex, one.offset, one.score)
            for one in kept
            if one.score >= self.threshold
        )

    def _of_kind(self, values: Signal, kind: Kind, usual: float, spread: float) -> list[Proposal]:
        apex, action = values[:, column(kind, "apex")], values[:, column(kind, "action")]
        peaks, _ = find_peaks(np.concatenate([[-1.0], apex, [-1.0]]), height=self.floor)
        path = np.concatenate([[0.0], np.cumsum(action)])
        found: list[Proposal] = []
        for peak in (peaks - 1).tolist():
            best, ends = 0.0, None
            for share in self.shares:
                below = action < share * action[peak]
                left = np.flatnonzero(below[:peak])
                right = np.flatnonzero(below[peak:])
                a = int(left[-1]) + 1 if len(left) else 0
                b = peak + int(right[0]) - 1 if len(right) else len(action) - 1
                a, b = min(a, peak), max(b, peak)
                length = b - a + 1
                flank = max(1, length // 2)
                low, high = max(0, a - flank), min(len(action), b + 1 + flank)
                inside = (path[b + 1] - path[a]) / length
                outside = path[high] - path[b + 1] + path[a] - path[low]
                outside /= max(1, high - b - 1 + a - low)
                fit = (inside - outside) * np.exp(-0.5 * (np.log(length / usual) / spread) ** 2)
                if fit > best:
                    best, ends = float(fit), (a, b)
            if ends is not None:
                score = float(np.sqrt(apex[peak].clip(0, 1) * min(1.0, best)))
                found.append(Proposal(ends[0], ends[1], peak, kind, score))
        return found
