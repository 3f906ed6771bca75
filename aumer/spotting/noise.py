"""The noise of each movement of a face: the unit of thresholds, peaks and limits.

A movement's **unit** of noise is a fifth of the threshold that the constants of ``[rules]`` give at
sensitivity "normal": with the constants that ship, the largest of one standard deviation of its
quick noise, .8 of one of its slow noise, and .0016 outer-eye distances, a lower bound for every
motion stage (a few still seconds show less noise than blinks, light and compression cause later).
So every threshold is a number of units: 5 at "normal".

It is computed as in a live run: from the last `noise_window_s` of the movement, with at most
`lookahead_s` of look-ahead, once per second. The first `noise_window_s` of a run share one unit; a
run that is no longer than that, or any run if the window is 0, has one unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, white_tophat

from aumer.cache import rested
from aumer.config import RuleSettings
from aumer.errors import ConfigError
from aumer.spotting.movements import MOVEMENTS, REGIONS, Signal, columns, readable
from aumer.types import Expression, Features, runs

Rows = npt.NDArray[np.intp]

#: The threshold at sensitivity "normal", in units.
NORMAL = 5.0
#: A unit holds for this long, so an hour has 3600 of them at any rate.
HOLD_S = 1.0
#: Windows processed together: bounds the memory.
_TOGETHER = 256
#: Rows summed together.
_ADDED = 1 << 16
#: Samples of runs of one length that are processed together.
_AT_ONCE = 1 << 18
#: The settings that the movements and their noise follow from.
_READ = (
    "trust", "smooth_s", "noise_s", "noise_factor", "drift_s", "drift_factor", "noise_window_s",
    "lookahead_s",
)  # fmt: skip
#: Share of the time that is assumed to be rest: in posed videos faces act most of the time.
_QUIET = 0.1
#: This quantile and the median of the absolute value of a normal variable, in standard deviations.
_AT_QUIET, _AT_MEDIAN = 0.12566, 0.6745


@dataclass(frozen=True, eq=False)
class Followed:
    """One movement through one unbroken run of N - 1 rows.

    Attributes:
        smooth: (N,) displacement at the time of each row and one step after the last, low-passed.
        levels: the threshold at sensitivity "normal", one for every `hold` rows. Both in outer-eye
            distances.
    """

    name: str
    smooth: Signal
    levels: Signal
    hold: int

    @property
    def region(self) -> str:
        return MOVEMENTS[self.name].region

    @property
    def base(self) -> Signal:
        """(N,) the threshold at sensitivity "normal", in outer-eye distances."""
        return np.repeat(self.levels, self.hold)[: len(self.smooth)]


@dataclass(frozen=True, eq=False)
class Alike:
    """Movements through unbroken runs of equal length, which are computed together.

    Attributes:
        runs: (K,) numbers of the runs.
        movements: (M,) numbers of the movements: all of them, or one of a long run.
        smooth, base: (K, M, N), as in `Followed`.
    """

    runs: Rows
    movements: Rows
    smooth: Signal
    base: Signal

    def heights(self, settings: RuleSettings, rate: float) -> Iterator[tuple[float, Signal]]:
        """Both directions, 1.0 and -1.0, each with the (K, M, N) heights over the moving
        reference.
        """
        window = max(3, round(settings.reference_s * rate))
        for direction in (1.0, -1.0):
            signal = self.smooth if direction > 0 else -self.smooth
            yield direction, white_tophat(signal, (1, 1, window), mode="nearest")


class FaceMovements:
    """The movements of one face in all unbroken runs, with their noise.

    Made by `movements_of`. In ten hours there may be tens of thousands of short runs, or one of a
    million rows: runs of equal length are computed together, and a long one movement by movement.

    Args:
        settings: `min_height` and what follows from it is not read.

    Attributes:
        spans: first row, and row after the last, of each run, in order.
    """

    def __init__(self, features: Features, settings: RuleSettings) -> None:
        weights = columns(features.rois)
        self._names = tuple(weights)
        self.spans = runs(features.valid)
        self._lengths = np.array([end - begin + 1 for begin, end in self.spans], np.intp)
        self._starts = np.cumsum(self._lengths) - self._lengths
        total = int(self._lengths.sum())
        self._smooth = np.empty((len(weights), total))
        for (begin, end), start in zip(self.spans, self._starts.tolist(), strict=True):
            into = self._smooth[:, start : start + end - begin + 1]
            _sum(features, begin, end, settings.trust, list(weights.values()), into)
        rested(features.values)
        self._smooth /= features.eye_distance
        rate = features.rate
        self._holds = np.array([_hold(n, rate, settings) for n in self._lengths.tolist()], np.intp)
        counts = -(-self._lengths // np.maximum(self._holds, 1))
        self._first_levels = np.cumsum(counts) - counts
        self._levels = np.empty((len(weights), int(counts.sum())))
        for alike, movements, rows in self._pieces(range(len(self.spans))):
            signal = self._smooth[movements, rows]
            smooth = gaussian_filter1d(signal, settings.smooth_s * rate, mode="nearest")
            self._smooth[movements, rows] = smooth
            levels = _levels(smooth.reshape(-1, smooth.shape[-1]), rate, settings)
            at = self._first_levels[alike][:, None, None] + np.arange(levels.shape[-1])
            self._levels[movements, at] = levels.reshape(*smooth.shape[:2], -1)

    def _pieces(self, numbers: Iterable[int]) -> Iterator[tuple[Rows, Rows, Rows]]:
        """Some runs by length: (K,) their numbers, and indices (1, M, 1) of movements and (K, 1, N)
        of rows. Not more than `_AT_ONCE` samples at a time, except of one movement.
        """
        every = np.arange(len(self._names))
        of_length: dict[int, list[int]] = {}
        for number in numbers:
            of_length.setdefault(int(self._lengths[number]), []).append(number)
        for length, alike in of_length.items():
            together = _AT_ONCE // (length * len(every))
            parts = [every] if together else np.split(every, len(every))
            for k in range(0, len(alike), max(1, together)):
                mine = np.array(alike[k : k + max(1, together)], np.intp)
                rows = self._starts[mine][:, None, None] + np.arange(length)
                for movements in parts:
                    yield mine, movements[:, None], rows

    def alike(
        self,
        min_height: float,
        numbers: Iterable[int] | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> Iterator[Alike]:
        """All runs, or those of these numbers, by length; a long one movement by movement.

        Args:
            min_height: least threshold, in outer-eye distances.
            share: (k, n) for the k-th of n parts of them, in order.
        """
        every = list(self._pieces(range(len(self.spans)) if numbers is None else numbers))
        k, n = share
        for mine, movements, rows in every[k * len(every) // n : (k + 1) * len(every) // n]:
            hold, length = int(self._holds[mine[0]]), rows.shape[-1]
            at = self._first_levels[mine][:, None, None] + np.arange(-(-length // hold))
            levels = np.maximum(min_height, self._levels[movements, at])
            base = np.repeat(levels, hold, axis=-1)[..., :length]
            yield Alike(mine, movements[:, 0], self._smooth[movements, rows], base)

    def smooth(self, number: int) -> Signal:
        """(M, N) the displacements of all movements through a run; not a copy."""
        start = int(self._starts[number])
        return self._smooth[:, start : start + int(self._lengths[number])]

    def in_units(self, number: int, first: int, last: int, min_height: float) -> Signal:
        """(M, last - first) the displacements of all movements at these samples of a run, in units
        of noise.
        """
        smooth = self.smooth(number)[:, first:last]
        rows = np.arange(first, first + smooth.shape[1])
        at = int(self._first_levels[number]) + rows // int(self._holds[number])
        # Sums over movements depend on the layout, which is that of `smooth`.
        found = np.empty(smooth.shape)
        np.maximum(min_height, self._levels[:, at], out=found)
        found /= NORMAL
        return np.divide(smooth, found, out=found)

    def followed(self, number: int, min_height: float) -> list[Followed]:
        """All movements through a run."""
        smooth, hold = self.smooth(number), int(self._holds[number])
        first = int(self._first_levels[number])
        levels = self._levels[:, first : first + -(-smooth.shape[1] // hold)]
        return [
            Followed(*one, hold)
            for one in zip(self._names, smooth, np.maximum(min_height, levels), strict=True)
        ]

    def usual(self, min_height: float) -> dict[str, float]:
        """The median threshold of each movement over all runs."""
        counts = -(-self._lengths // self._holds)
        holds = np.repeat(self._holds, counts)
        ends = self._first_levels + counts - 1
        holds[ends] -= counts * self._holds - self._lengths
        return {
            name: float(np.median(np.repeat(np.maximum(min_height, levels), holds)))
            for name, levels in zip(self._names, self._levels, strict=True)
        }


_Known = dict[tuple[object, ...], tuple[Features, FaceMovements]]
_known: ContextVar[_Known | None] = ContextVar("movements", default=None)


@contextmanager
def computed_once() -> Iterator[None]:
    """Within this block `movements_of` computes the movements of a face once, and keeps them to its
    end. The rules, the judge and a result's limits all read them.
    """
    if _known.get() is not None:
        yield
        return
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def movements_of(features: Features, settings: RuleSettings) -> FaceMovements:
    """The movements of a face, and their noise.

    Raises:
        UsageError: an ROI that the movements are made of is missing.
    """
    known = _known.get()
    if known is None:
        return FaceMovements(features, settings)
    read = tuple(getattr(settings, name) for name in _READ)
    key = (id(features), *read)
    if key not in known:
        known[key] = features, FaceMovements(features, settings)
    return known[key][1]


def followed(
    features: Features, settings: RuleSettings
) -> Iterator[tuple[int, int, list[Followed]]]:
    """Every unbroken run (first row, row after the last) with its movements, in order.

    Raises:
        UsageError: an ROI that the movements are made of is missing.
    """
    found = movements_of(features, settings)
    for number, (begin, end) in enumerate(found.spans):
        yield begin, end, found.followed(number, settings.min_height)


def _sum(
    features: Features,
    begin: int,
    end: int,
    trust: float,
    columns: Sequence[Signal],
    into: Signal,
) -> None:
    """Write (N,) along each column: the cumulative sum of the N - 1 rows' trusted motions,
    beginning with 0.
    """
    at = np.zeros((1, 2 * len(features.rois)))
    # Piecewise, each piece continuing the last one: bounds the memory.
    for first in range(begin, end, _ADDED):
        steps = features.trusted(trust, first, min(first + _ADDED, end)).astype(np.float64)
        path = np.cumsum(np.concatenate([at, steps.reshape(len(steps), -1)]), axis=0)
        for signal, column in zip(into, columns, strict=True):
            signal[first - begin : first - begin + len(path)] = path @ column
        at = path[-1:]


def _window(length: int, rate: float, settings: RuleSettings) -> int:
    """Rows that a threshold follows from, in a run of `length` samples; 0: all of them."""
    window = round(settings.noise_window_s * rate)
    return window if length > window + 1 else 0  # `window` rows have one more sample


def _hold(length: int, rate: float, settings: RuleSettings) -> int:
    """For how many rows of such a run each threshold holds."""
    return max(1, round(HOLD_S * rate)) if _window(length, rate, settings) else length


def _levels(smooth: Signal, rate: float, settings: RuleSettings) -> Signal:
    """(M, N) movements -> (M, W) thresholds at sensitivity "normal", without their least value, one
    for every `_hold` rows.

    They follow from the standard deviations of the movement's quick noise, which a slower filter
    removes as well, and of its slow noise: how far the movement goes in a second in the quietest
    tenth of the time.
    """
    s, length = settings, smooth.shape[1]
    # What a slower filter removes as well is noise, or too short to be distinguished from noise.
    rough = np.abs(smooth - gaussian_filter1d(smooth, s.noise_s * rate, mode="nearest"))
    lag = max(1, round(s.drift_s * rate))
    moved = np.abs(smooth[:, lag:] - smooth[:, :-lag])
    window = _window(length, rate, s)
    if not window:
        return _at(rough, moved, lag, s)[:, None]
    rows = np.arange(0, length, _hold(length, rate, s))
    # A filtered sample depends on later ones within the filters' reach.
    reach = sum(int(4 * sigma * rate + 0.5) for sigma in (s.noise_s, s.smooth_s))
    ends = rows + round(s.lookahead_s * rate) - reach + 1
    begins = np.clip(ends, window + 1, length) - window - 1
    found = np.empty((len(smooth), len(rows)))
    for one, of_rough, of_moved in zip(found, rough, moved, strict=True):
        quick = np.lib.stride_tricks.sliding_window_view(of_rough, window + 1)
        slow = np.lib.stride_tricks.sliding_window_view(of_moved, window + 1 - lag)
        for k in range(0, len(begins), _TOGETHER):
            part = begins[k : k + _TOGETHER]
            one[k : k + _TOGETHER] = _at(quick[part], slow[part], lag, s)
    return found


def _at(rough: Signal, moved: Signal, lag: int, s: RuleSettings) -> Signal:
    """(W,) thresholds of W windows, from (W, N) deviations and (W, N - lag) movements over the
    lag.
    """
    quick = np.median(rough, axis=1) / _AT_MEDIAN
    slow = np.zeros(len(rough))
    if rough.shape[1] > 5 * lag:  # in less, one expression leaves no rest
        slow = np.quantile(moved, _QUIET, axis=1) / _AT_QUIET / np.sqrt(2)
    found: Signal = np.maximum(s.noise_factor * quick, s.drift_factor * slow)
    return found


# -- sensitivity -----------------------------------------------------------------------------------

#: Thresholds by name, in units.
NAMED = {"low": 7.0, "normal": NORMAL, "high": 3.5}
#: (threshold in units, false alarms per minute): what the rules spot in 239 simulated minutes of
#: faces at rest with all disturbances of level "hard" (blinks, gaze, swallowing, head turns,
#: talking) and no expression. ``python -m benchmarks.accuracy.sensitivity`` writes
#: results/sensitivity.txt, with 95 % intervals, real rest and the recall of known movements.
FALSE_ALARMS = (
    (2.5, 29.0),
    (3.0, 22.2),
    (3.5, 16.5),
    (4.0, 12.3),
    (5.0, 6.70),
    (6.0, 3.86),
    (7.0, 2.25),
    (8.0, 1.43),
    (10.0, 0.67),
    (12.0, 0.45),
)


def factor(sensitivity: str) -> float:
    """The threshold in units for a sensitivity, by name or false alarms per minute of rest.

    Between measured numbers it is interpolated, with both axes logarithmic.

    Raises:
        ConfigError: a number outside the measured range, which the message names.
    """
    if sensitivity in NAMED:
        return NAMED[sensitivity]
    units, rates = np.log(np.array(FALSE_ALARMS[::-1])).T  # rates ascending
    rate = float(sensitivity)
    if not np.exp(rates[0]) * (1 - 1e-9) <= rate <= np.exp(rates[-1]) * (1 + 1e-9):
        raise ConfigError(
            f"`sensitivity` must be from {FALSE_ALARMS[-1][1]:g} to {FALSE_ALARMS[0][1]:g} "
            "false "
            "alarms a minute of rest, the range in which the rules were measured, or one of "
            f"{', '.join(NAMED)}; found {rate:g}"
        )
    return float(np.exp(np.interp(np.log(rate), rates, units)))


def false_alarms(units: float) -> float:
    """False alarms per minute of rest measured at a threshold; the inverse of `factor`."""
    threshold, rates = np.log(np.array(FALSE_ALARMS)).T
    return float(np.exp(np.interp(np.log(units), threshold, rates)))


# -- error of durations ------------------------------------------------------------------------

#: (spotted duration, sd of spotted less true), seconds: of micro-expressions and longer movements
#: of .2 to 1.2 s played into neutral films of three people, spotted by the rules at "normal", by
#: fifths of the spotted durations. ``python -m benchmarks.accuracy.sensitivity``. It is larger for
#: longer ones, which return to rest slowly.
DURATION_SD = ((0.36, 0.05), (0.46, 0.04), (0.53, 0.06), (0.61, 0.08), (0.90, 0.26))
#: Mean of spotted minus true duration; seconds (same source).
DURATION_BIAS_S = 0.02
#: Range of spotted durations in this measurement.
DURATIONS = (0.2, 1.2)


def duration_sd(duration_s: float) -> float | None:
    """Standard deviation of the error of a duration spotted by the rules, in seconds; None outside
    `DURATIONS`, where nothing was measured.
    """
    if not DURATIONS[0] <= duration_s <= DURATIONS[1]:
        return None
    durations, errors = zip(*DURATION_SD, strict=True)
    return float(np.interp(duration_s, durations, errors))


# -- smallest detectable movement, and peaks ------------------------------------------------------


def limits(features: Features, settings: RuleSettings) -> tuple[float | None, dict[str, float]]:
    """The smallest movement of this face that rises above its noise, in outer-eye distances.

    The threshold of a movement (a sum of ROIs' displacements, `aumer.spotting.movements`; as the
    motion stage reports it, low-passed), median over time, then over movements. Movements that are
    higher and return are candidates of the rules. A network may react to smaller ones.

    Returns:
        The median over the eleven movements, and the medians over those of "brow" and of "mouth";
        None and an empty dict if no row is valid or ROIs of the movements are missing.
    """
    if not (readable(features.rois) and features.valid.any()):
        return None, {}
    share = factor(settings.sensitivity) / NORMAL
    usual = movements_of(features, settings).usual(settings.min_height)
    each = {name: share * level for name, level in usual.items()}
    by_region = {
        region: [each[name] for name, m in MOVEMENTS.items() if m.region == region]
        for region in REGIONS
    }
    regions = {region: float(np.median(values)) for region, values in by_region.items()}
    return float(np.median(list(each.values()))), regions


def moved(
    features: Features, settings: RuleSettings, spans: Sequence[tuple[int, int]]
) -> list[float | None]:
    """The change of the movement that changes most between two frames.

    Args:
        spans: pairs of frames, as `Features.frames` counts them.

    Returns:
        Outer-eye distances, low-passed; None if no unbroken run contains both frames, if they are
        less than `smooth_s` apart, or if ROIs of the movements are missing.
    """
    return [None if way is None else way[0] for way in _ways(features, settings, spans)]


#: Factor of `min_height`: smaller movements from onset to apex count as rest on any face. Of pairs
#: of frames of still faces 98 of 100 lie below; micro-expressions of .5 to 1.4 u in neutral films
#: have a lower quartile and median of .0034 and .0045 outer-eye distances. At 1.0 most real ones
#: would get no label.
_LEAST = 0.4
#: Seconds from which on a resting face wanders farther the longer it lasts: on the longest real
#: face at rest the median of what moved relative to the limit is .35 over 1 s, .56 over 3.3, .74
#: over 6.7 and 1.06 over 9 to 10 s, the square root of the time.
_WANDERS_S = 1.0


def over_rest(
    features: Features, settings: RuleSettings, spans: Sequence[tuple[int, int]]
) -> list[float | None]:
    """The largest movement between two frames relative to that of a face at rest: below 1 the face
    is at rest.

    The limit for rest is `NORMAL` units of the movement's noise, as in the rules' threshold, or two
    fifths of `min_height` if that is more; between frames that lie more than a second apart it
    grows with the square root of the time, as a resting face wanders. A run of at most
    `5 * drift_s` is too short to estimate noise; there only the latter counts.

    Args:
        spans: see `moved`.

    Returns:
        None in the same cases as `moved`.
    """
    return [None if way is None else way[1] for way in _ways(features, settings, spans)]


def _ways(
    features: Features, settings: RuleSettings, spans: Sequence[tuple[int, int]]
) -> list[tuple[float, float] | None]:
    """For each span the largest change of a movement: in outer-eye distances, and relative to its
    limit for rest.
    """
    found: list[tuple[float, float] | None] = [None] * len(spans)
    if not (spans and readable(features.rois)):
        return found
    bare = replace(settings, min_height=1e-6)  # so that the threshold is only the noise
    for begin, end, movements in followed(features, bare):
        smooth = np.stack([m.smooth for m in movements])
        rest = np.full(smooth.shape, _LEAST * settings.min_height)
        if end - begin > 5 * settings.drift_s * features.rate:
            rest = np.maximum(rest, np.stack([m.base for m in movements]))
        frames = features.frames[begin:end]
        step = max(1, int(np.diff(frames).max(initial=1)))
        frames = np.append(frames, frames[-1] + step)  # end of the last row's motion
        for k, span in enumerate(spans):
            # The grid of rows may begin and end up to one row beside the requested frames.
            if span[0] >= frames[0] - step and span[1] <= frames[-1] + step:
                first, last = (int(np.abs(frames - frame).argmin()) for frame in span)
                if last - first < settings.smooth_s * features.rate:
                    continue  # the low pass leaves nothing of what is over so soon
                way = np.abs(smooth[:, last] - smooth[:, first])
                wander = np.sqrt(max(1.0, (last - first) / features.rate / _WANDERS_S))
                over = way / (wander * np.maximum(rest[:, first], rest[:, last]))
                before = found[k] or (0.0, 0.0)
                found[k] = max(float(way.max()), before[0]), max(float(over.max()), before[1])
    return found


def with_peaks(
    expressions: Sequence[Expression], features: Features, settings: RuleSettings
) -> tuple[Expression, ...]:
    """The expressions, with missing peaks filled in: the largest height of any movement from onset
    to offset, over the moving reference, in units of its noise. It stays None if the features do
    not cover the time of an expression or lack ROIs of the movements.
    """
    lacking = [k for k, e in enumerate(expressions) if e.peak is None]
    if not (lacking and readable(features.rois)):
        return tuple(expressions)
    found = movements_of(features, settings)
    # By time, not by frame: at a low frame rate a frame has several rows.
    spans = [(expressions[k].onset_s - 1e-6, expressions[k].offset_s + 1e-6) for k in lacking]
    rows = np.searchsorted(features.times, np.array(spans))
    inside: dict[int, list[tuple[int, slice]]] = {}  # by run
    begins, ends = np.array(found.spans, np.intp).reshape(-1, 2).T
    for k, (first, last) in zip(lacking, rows.tolist(), strict=True):
        for run in range(
            int(np.searchsorted(ends, first, side="right")), int(np.searchsorted(begins, last))
        ):
            begin, end = found.spans[run]
            if first < last:
                part = slice(max(first, begin) - begin, min(last, end) - begin + 1)
                inside.setdefault(run, []).append((k, part))
    peaks: dict[int, float] = {}
    for alike in found.alike(settings.min_height, sorted(inside)):
        height = np.maximum(*(h for _, h in alike.heights(settings, features.rate)))
        height /= alike.base / NORMAL
        for run, of_run in zip(alike.runs.tolist(), height, strict=True):
            for k, part in inside[run]:
                peaks[k] = max(float(of_run[:, part].max()), peaks.get(k, 0.0))
    return tuple(replace(e, peak=peaks.get(k, e.peak)) for k, e in enumerate(expressions))
