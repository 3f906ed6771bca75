"""`he-2021-like` and `zhao-2022-like`: rules, after the winners of MEGC 2021 and 2022. No weights.

From the abstracts of He (MM 2021) and of Zhao et al. (MM 2022): the optical flow of ROIs minus that
of the nose, in moving windows relative to each window's first frame; a low pass; "wave peaks" of
the curves, where a movement comes and goes; thresholds; intervals of all ROIs merged. Zhao et al.
keep the rules, improve the preprocessing (alignment, landmarks, flow), and search the constants:
one player chooses how the field is read, the other how peaks are detected, each with the best
response to the other, until neither gains (a Nash equilibrium).

Chosen: our twelve ROIs instead of fourteen; displacements summed from aumer's motion without head
motion, so alignment, landmarks and flow are the same for both; a curve is the displacement along
the direction in which it is largest in its window; a wave must stand out on both sides by a
threshold in outer-eye distances; of overlapping waves the highest is kept; up to .5 s the kind is
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
from aumer.spotting.interface import SpotterModel
from aumer.spotting.parts import eye_motion
from aumer.strict import require
from aumer.types import Expression, Features, Scores, runs

Signal = npt.NDArray[np.float64]
#: Onset, apex, offset in rows, and height in outer-eye distances.
_Wave = tuple[int, int, int, float]


@dataclass(frozen=True)
class WaveSettings:
    """Constants of rules by wave peaks, in seconds and outer-eye distances.

    Attributes:
        smooth_s: sigma of the low pass.
        window_s, step_s: length of a window, and from one window's start to the next's.
        height: how far a wave must stand out on its lower side.
        foot: share of the height at which onset and offset lie.
        overlap: least overlap, as a share of the shorter wave, at which the lower of two is
            removed.
        min_s, max_s: shortest and longest expression.
        micro_max_s: longest micro-expression, by definition.

    Raises:
        ConfigError: a value out of range.
    """

    smooth_s: float = 0.05  # preserves a rise of .1 s
    window_s: float = 3.0  # holds most macro-expressions
    step_s: float = 0.5  # no micro-expression crosses the starts of two windows
    height: float = 0.015  # twice CASME II's median micro-expression; noise seldom reaches it
    foot: float = 0.1
    overlap: float = 0.3
    min_s: float = 0.1
    max_s: float = 4.0
    micro_max_s: float = 0.5

    def __post_init__(self) -> None:
        for name in ("smooth_s", "window_s", "step_s", "min_s", "max_s", "micro_max_s"):
            value = getattr(self, name)
            require(0.001 <= value <= 3600, name, value, "from 0.001 to 3600 seconds")
        require(0 < self.height <= 100, "height", self.height, "in (0, 100]")
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
        for begin, end, path in self._paths(features):
            rest = median_filter(path, size=(window, 1, 1), mode="nearest")
            away = np.linalg.norm(path - rest, axis=2).max(axis=1)
            track[begin:end, 0] = away / (away + s.height)
        axis = features.times, features.frames, features.valid
        return Scores(track, *axis, ("expression",)), self.expressions(features)

    def expressions(self, features: Features) -> tuple[Expression, ...]:
        """Only the expressions, in order of onset; computing scores takes most of the time."""
        s, rate = self.constants, features.rate
        found: list[Expression] = []
        for begin, _, path in self._paths(features):
            for onset, apex, offset, height in self._chosen(self._waves(path, rate)):
                rows = begin + np.array([onset, apex, offset])
                frames, seconds = features.frames[rows].tolist(), features.times[rows].tolist()
                micro = (offset - onset) / rate <= s.micro_max_s
                found.append(
                    Expression(
                        "micro" if micro else "macro",
                        onset=frames[0],
                        apex=frames[1],
                        offset=frames[2],
                        onset_s=seconds[0],
                        apex_s=seconds[1],
                        offset_s=seconds[2],
                        score=height / (height + s.height),
                    )
                )
        return tuple(sorted(found, key=lambda e: (e.onset, e.offset)))

    def _paths(self, features: Features) -> Iterator[tuple[int, int, Signal]]:
        """For each unbroken run its first row, the row after the last, and low-passed
        displacements.
        """
        moved = eye_motion(features).astype(np.float64)
        for begin, end in runs(features.valid):
            path = np.cumsum(moved[begin:end], axis=0)
            sigma = self.constants.smooth_s * features.rate
            yield begin, end, gaussian_filter1d(path, sigma, axis=0, mode="nearest")

    def _waves(self, path: Signal, rate: float) -> list[_Wave]:
        """Waves of all windows and ROIs in (T, R, 2) displacements."""
        s = self.constants
        length, step = max(3, round(s.window_s * rate)), max(1, round(s.step_s * rate))
        found: list[_Wave] = []
        for first in range(0, max(1, len(path) - 2), step):
            window = path[first : first + length] - path[first]
            size = np.linalg.norm(window, axis=2)
            for roi in np.flatnonzero(np.ptp(size, axis=0) >= s.height / 2):
                peak = window[size[:, roi].argmax(), roi]
                curve = window[:, roi] @ (peak / max(np.linalg.norm(peak), 1e-12))
                # A wave that crosses the begin or end of a window lies completely in another one.
                peaks, about = find_peaks(curve, prominence=s.height)
                data = about["prominences"], about["left_bases"], about["right_bases"]
                _, _, left, right = peak_widths(curve, peaks, 1 - s.foot, prominence_data=data)
                for apex, height, a, b in zip(
                    peaks, about["prominences"], left, right, strict=True
                ):
                    onset, offset = first + round(float(a)), first + round(float(b))
                    if s.min_s <= (offset - onset) / rate <= s.max_s:
                        found.append((onset, first + int(apex), offset, float(height)))
        return found

    def _chosen(self, waves: list[_Wave]) -> list[_Wave]:
        """The highest waves that do not overlap too much."""
        kept: list[_Wave] = []
        for wave in sorted(waves, key=lambda w: (-w[3], w[0], w[2])):
            if all(_shared(wave, other) <= self.constants.overlap for other in kept):
                kept.append(wave)
        return kept


def _shared(one: _Wave, other: _Wave) -> float:
    """Overlap as a share of the shorter."""
    both = min(one[2], other[2]) - max(one[0], other[0]) + 1
    return both / min(one[2] - one[0] + 1, other[2] - other[0] + 1)


class HeSpotter(WaveSpotter):
    """After He (2021); see the module."""

    name = "he-2021-like"


class ZhaoSpotter(WaveSpotter):
    """After Zhao et al. (2022), with searched constants; see the module."""

    name = "zhao-2022-like"
    usual = WaveSettings(window_s=4.5)
