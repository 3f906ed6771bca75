"""`he-2021-like` and `zhao-2022-like`: rules, after the winners of MEGC 2021 and 2022. No weights.

From the abstracts of He (MM 2021) and of Zhao et al. (MM 2022): the optical flow of ROIs minus that
of the nose, in moving windows relative to each window's first frame; a low pass; "wave peaks" of
the curves, where a movement comes and goes; thresholds; intervals of all ROIs merged. Zhao et al.
keep the rules, improve the preprocessing (alignment, landmarks, flow), and search the constants:
one player chooses how the field is read, the other how peaks are detected, each with the best
response to the other, until neither gains (a Nash equilibrium).

Chosen: our twelve ROIs instead of fourteen; displacements that our motion adds up to, which has the
head taken off, so alignment, landmarks and flow are the same for both; a curve is the displacement
along the direction in which it is largest in its window; each kind has a low pass of its own, as
what passes a micro-expression passes the noise that a macro-expression must stand out of; a wave
must stand out on both sides by a threshold in outer-eye distances, and at its peak several ROIs
must; of waves that overlap the one furthest above its threshold stays; what lasts up to .5 s is
micro. The constants of `he-2021-like` were set by reasoning. Those of `zhao-2022-like` are an
equilibrium of a search on simulated subjects of no benchmark, by ``python -m
benchmarks.studies.rival_rules`` (best responses on a grid; the paper uses Bayesian search).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.signal import find_peaks, peak_widths

from aumer.config import Settings
from aumer.graph import AUGraph
from aumer.spotting.decode import expression_at, in_order
from aumer.spotting.interface import SpotterModel
from aumer.spotting.parts import eye_motion
from aumer.strict import require, within
from aumer.types import KINDS, Expression, Features, Kind, Moment, Scores, runs

Signal = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Wave(Moment):
    """In rows; `height` in thresholds of its kind."""

    kind: Kind
    height: float
    roi: int


@dataclass(frozen=True)
class WaveSettings:
    """Constants of rules by wave peaks, in seconds and outer-eye distances; two are of micro- and
    of macro-expressions.

    Attributes:
        smooth_s: sigma of the low pass.
        window_s, step_s: length of a window, and from one window's start to the next's.
        height: how far a wave must stand out on its lower side.
        rois: how many, of those there are, must have a wave of this kind that is at its peak then.
        foot: onset and offset lie where so much of the height is left.
        overlap: share of the shorter of two that the higher takes away.
        min_s, max_s: shortest and longest expression.
        micro_max_s: longest micro-expression, by definition.

    Raises:
        ConfigError: a value out of range.
    """

    smooth_s: tuple[float, float] = (0.05, 0.2)  # a rise of .1 s passes, and one of .4 s
    window_s: float = 3.0  # most macro-expressions whole
    step_s: float = 0.5  # no micro-expression lies across the start of two windows
    #: Noise moves the worst ROI by up to .012 within half a second; the slower low pass takes half.
    height: tuple[float, float] = (0.03, 0.016)
    rois: tuple[int, int] = (2, 2)  # an action unit moves more than one; noise seldom does at once
    foot: float = 0.1
    overlap: float = 0.3
    min_s: float = 0.1
    max_s: float = 4.0
    micro_max_s: float = 0.5

    def __post_init__(self) -> None:
        for name in ("window_s", "step_s", "min_s", "max_s", "micro_max_s"):
            value = getattr(self, name)
            require(0.001 <= value <= 3600, name, value, "from 0.001 to 3600 seconds")
        for value in self.smooth_s:
            require(0.001 <= value <= 3600, "smooth_s", value, "from 0.001 to 3600 seconds")
        for value in self.height:
            require(0 < value <= 100, "height", value, "in (0, 100]")
        for count in self.rois:
            within("rois", count, 1, 4096)
        for name in ("foot", "overlap"):
            require(0 < getattr(self, name) < 1, name, getattr(self, name), "between 0 and 1")


class WaveSpotter(SpotterModel):
    """Spotting by wave peaks of any ROI; see the module. Works with any ROIs.

    The one track, "expression", is d / (d + height), where d is the largest distance of any ROI
    from its rest (its median over a window's length).
    """

    name = "waves"
    usual: ClassVar[WaveSettings] = WaveSettings()

    def __init__(self, settings: WaveSettings | None = None) -> None:
        self.constants = settings or self.usual

    @classmethod
    def from_settings(cls, settings: Settings, *, graph: AUGraph | None = None) -> WaveSpotter:
        """With the constants of this class; the settings' are for aumer's rules."""
        del settings, graph
        return cls()

    @property
    def threshold(self) -> float:
        """.5: scores are x / (1 + x), with x in units of the threshold."""
        return 0.5

    def __call__(self, features: Features) -> tuple[Scores, tuple[Expression, ...]]:
        """Spot in (T, R, 2) features; expressions come in order of onset."""
        s = self.constants
        track = np.full((len(features), 1), np.nan, np.float32)
        window = max(1, round(s.window_s * features.rate)) | 1
        smooth, height = s.smooth_s[0], s.height[0]  # what passes the shorter kind shows both
        for begin, end, moved in self._moved(features):
            path = _low_passed(moved, smooth * features.rate)
            rest = median_filter(path, size=(window, 1, 1), mode="nearest")
            away = np.linalg.norm(path - rest, axis=2).max(axis=1)
            track[begin:end, 0] = away / (away + height)
        axis = features.times, features.frames, features.valid
        return Scores(track, *axis, ("expression",)), self.expressions(features)

    def expressions(self, features: Features) -> tuple[Expression, ...]:
        """The expressions alone, in order of onset; most of the time goes into scores."""
        found: list[Expression] = []
        for begin, _, moved in self._moved(features):
            waves = [w for kind in KINDS for w in self._waves(moved, kind, features.rate)]
            found += [
                expression_at(
                    features,
                    wave.kind,
                    begin + wave.onset,
                    begin + wave.apex,
                    begin + wave.offset,
                    wave.height / (wave.height + 1),
                )
                for wave in self._chosen(waves)
            ]
        return in_order(found)

    def _moved(self, features: Features) -> Iterator[tuple[int, int, Signal]]:
        """Of each unbroken run its first row, the row after it, and displacements (T, R, 2)."""
        moved = eye_motion(features).astype(np.float64)
        for begin, end in runs(features.valid):
            yield begin, end, np.cumsum(moved[begin:end], axis=0)

    def _waves(self, moved: Signal, kind: Kind, rate: float) -> list[_Wave]:
        """Those of one kind that enough ROIs show, of all windows and ROIs; some more than once."""
        s, of = self.constants, KINDS.index(kind)
        path, least = _low_passed(moved, s.smooth_s[of] * rate), s.height[of]
        length, step = max(3, round(s.window_s * rate)), max(1, round(s.step_s * rate))
        shortest, longest = (
            (s.min_s, s.micro_max_s) if kind == "micro" else (s.micro_max_s, s.max_s)
        )
        found: list[_Wave] = []
        for first in range(0, max(1, len(path) - 2), step):
            window = path[first : first + length] - path[first]
            size = np.linalg.norm(window, axis=2)
            for roi in np.flatnonzero(np.ptp(size, axis=0) >= least / 2).tolist():
                peak = window[size[:, roi].argmax(), roi]
                curve = window[:, roi] @ (peak / max(np.linalg.norm(peak), 1e-12))
                # A window may begin or end within a wave: then another one holds it whole.
                peaks, about = find_peaks(curve, prominence=least)
                data = about["prominences"], about["left_bases"], about["right_bases"]
                _, _, left, right = peak_widths(curve, peaks, 1 - s.foot, prominence_data=data)
                for apex, height, a, b in zip(
                    peaks.tolist(), about["prominences"], left, right, strict=True
                ):
                    onset, offset = first + round(float(a)), first + round(float(b))
                    seconds = (offset - onset) / rate
                    # What lasts as long as the longest micro-expression is one.
                    long_enough = shortest < seconds or seconds == shortest == s.min_s
                    if long_enough and seconds <= longest:
                        height = float(height) / least
                        found.append(_Wave(onset, offset, first + apex, kind, height, roi))
        rois = min(s.rois[of], path.shape[1])
        return _shown_by(found, rois, s.smooth_s[of] * rate)

    def _chosen(self, waves: list[_Wave]) -> list[_Wave]:
        """The highest waves that do not overlap too much."""
        kept: list[_Wave] = []
        for wave in sorted(waves, key=lambda w: (-w.height, w.onset, w.offset)):
            if all(
                wave.overlap(other) <= self.constants.overlap * min(len(wave), len(other))
                for other in kept
            ):
                kept.append(wave)
        return kept


def _low_passed(path: Signal, sigma: float) -> Signal:
    """Along time."""
    found: Signal = gaussian_filter1d(path, sigma, axis=0, mode="nearest")
    return found


def _shown_by(waves: list[_Wave], rois: int, near: float) -> list[_Wave]:
    """The waves at whose peak, give or take so many rows, so many ROIs have one."""
    if rois == 1:
        return waves
    waves = sorted(waves, key=lambda w: w.apex)
    apexes, near = np.array([w.apex for w in waves]), max(1, round(near))
    first = np.searchsorted(apexes, apexes - near, side="left")
    last = np.searchsorted(apexes, apexes + near, side="right")
    return [
        wave
        for wave, a, b in zip(waves, first.tolist(), last.tolist(), strict=True)
        if len({other.roi for other in waves[a:b]}) >= rois
    ]


class HeSpotter(WaveSpotter):
    """After He (2021); see the module."""

    name = "he-2021-like"


class ZhaoSpotter(WaveSpotter):
    """After Zhao et al. (2022), with searched constants; see the module."""

    name = "zhao-2022-like"
    usual = WaveSettings(smooth_s=(0.08, 0.16), height=(0.045, 0.013), foot=0.3)
