"""The noise of each movement of a face: what thresholds, peaks and limits are told in.

A movement's **unit** of noise is a fifth of the threshold that the constants of ``[rules]`` give at
sensitivity "normal": with the constants that ship, the largest of one standard deviation of its
quick noise, .8 of one of its slow noise, and .0016 outer-eye distances, the least that a motion
stage can be held to (a film of a few still seconds shows less than comes with blinks, light and
compression). So whatever is asked for, a threshold is a number of units: 5 at "normal".

It is computed as a live spotter would: of the movement so far, `noise_window_s` of it, looking
ahead by no more than `lookahead_s`, anew every second. The first `noise_window_s` of a run have one
unit together; a run that is no longer than that, or all of it where the window is 0, is judged as
a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d, white_tophat

from aumer.config import RuleSettings
from aumer.errors import ConfigError
from aumer.spotting.movements import MOVEMENTS, REGIONS, Signal, columns, readable
from aumer.types import Expression, Features, runs

#: The threshold at sensitivity "normal", in units.
NORMAL = 5.0
#: A unit is held for this long; so an hour has 3600 of them, whatever the rate.
HOLD_S = 1.0
#: Windows whose units are computed at once: bounds the memory.
_TOGETHER = 256
#: Rows that are added up at once.
_ADDED = 1 << 16
#: Of the time, the part that is taken for rest: faces act for most of it where they are asked to.
_QUIET = 0.1
#: That quantile, and the median, of a normal variable's size, in standard deviations.
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

    @property
    def unit(self) -> Signal:
        """(N,) outer-eye distances."""
        return self.base / NORMAL

    def height(self, direction: float, settings: RuleSettings, rate: float) -> Signal:
        """(N,) height over the moving reference, one way (1.0) or the other (-1.0)."""
        window = max(3, round(settings.reference_s * rate))
        height: Signal = white_tophat(direction * self.smooth, window, mode="nearest")
        return height


def followed(
    features: Features, settings: RuleSettings
) -> Iterator[tuple[int, int, list[Followed]]]:
    """Every unbroken run (first row, row after the last) with its movements, in their order.

    Raises:
        UsageError: an ROI that the movements are made of is missing.
    """
    weights = columns(features.rois)
    for begin, end in runs(features.valid):
        found = []
        signals = _summed(features, begin, end, settings.trust, list(weights.values()))
        for name, signal in zip(weights, signals, strict=True):
            signal /= features.eye_distance
            smooth = gaussian_filter1d(signal, settings.smooth_s * features.rate, mode="nearest")
            found.append(Followed(name, smooth, *_thresholds(smooth, features.rate, settings)))
        yield begin, end, found


def _summed(
    features: Features, begin: int, end: int, trust: float, columns: Sequence[Signal]
) -> list[Signal]:
    """(N,) along each column: where the N - 1 rows' trusted motions add up to, 0 at first."""
    signals = [np.empty(end - begin + 1) for _ in columns]
    at = np.zeros((1, 2 * len(features.rois)))
    # A piece at a time, each going on from the last one's end: bounds the memory.
    for first in range(begin, end, _ADDED):
        steps = features.trusted(trust, first, min(first + _ADDED, end)).astype(np.float64)
        path = np.cumsum(np.concatenate([at, steps.reshape(len(steps), -1)]), axis=0)
        for signal, column in zip(signals, columns, strict=True):
            signal[first - begin : first - begin + len(path)] = path @ column
        at = path[-1:]
    return signals


def _thresholds(smooth: Signal, rate: float, settings: RuleSettings) -> tuple[Signal, int]:
    """(N,) -> the thresholds at sensitivity "normal", in outer-eye distances, and for how many rows
    each of them holds.

    In standard deviations of the movement's noise: of the quick one, which a slower filter takes
    away as well, and of the slow one, how far the quietest tenth of the time moves in a second.
    """
    s = settings
    # What a slower filter takes away as well is noise, or so short that it cannot be told.
    rough = np.abs(smooth - gaussian_filter1d(smooth, s.noise_s * rate, mode="nearest"))
    lag = max(1, round(s.drift_s * rate))
    moved = np.abs(smooth[lag:] - smooth[:-lag])
    window = round(s.noise_window_s * rate)
    if not window or len(smooth) <= window + 1:  # the samples of `window` rows are one more
        return _at(rough[None], moved[None], lag, s), len(smooth)
    hold = max(1, round(HOLD_S * rate))
    rows = np.arange(0, len(smooth), hold)
    # A filtered sample knows of what comes within the filters' reach.
    reach = sum(int(4 * sigma * rate + 0.5) for sigma in (s.noise_s, s.smooth_s))
    ends = rows + round(s.lookahead_s * rate) - reach + 1
    begins = np.clip(ends, window + 1, len(smooth)) - window - 1
    quick = np.lib.stride_tricks.sliding_window_view(rough, window + 1)
    slow = np.lib.stride_tricks.sliding_window_view(moved, window + 1 - lag)
    levels = [
        _at(quick[part], slow[part], lag, s)
        for part in np.split(begins, range(_TOGETHER, len(begins), _TOGETHER))
    ]
    return np.concatenate(levels), hold


def _at(rough: Signal, moved: Signal, lag: int, s: RuleSettings) -> Signal:
    """(W,) thresholds of W windows: (W, N) deviations, (W, N - lag) movements over the lag."""
    quick = np.median(rough, axis=1) / _AT_MEDIAN
    slow = np.zeros(len(rough))
    if rough.shape[1] > 5 * lag:  # or one expression leaves no rest
        slow = np.quantile(moved, _QUIET, axis=1) / _AT_QUIET / np.sqrt(2)
    found: Signal = np.maximum(
        s.min_height, np.maximum(s.noise_factor * quick, s.drift_factor * slow)
    )
    return found


# -- one dial ------------------------------------------------------------------------------------

#: Thresholds by name, in units.
NAMED = {"low": 7.0, "normal": NORMAL, "high": 3.5}
#: (threshold in units, false alarms a minute): what the rules spot in 239 simulated minutes of
#: faces at rest with all disturbances of level "hard" (blinks, gaze, swallowing, head turns, bouts
#: of talking) and no expression. ``python -m benchmarks.accuracy.sensitivity``, with 95 %
#: intervals, and beside seconds of real rest and the recall of known movements, in
#: results/sensitivity.txt.
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
    """The threshold in units for a sensitivity, by name or false alarms a minute of rest.

    Numbers between those measured are interpolated, both axes logarithmic.

    Raises:
        ConfigError: a number beyond what was measured; the message says the range.
    """
    if sensitivity in NAMED:
        return NAMED[sensitivity]
    units, rates = np.log(np.array(FALSE_ALARMS[::-1])).T  # rates ascend
    rate = float(sensitivity)
    if not np.exp(rates[0]) * (1 - 1e-9) <= rate <= np.exp(rates[-1]) * (1 + 1e-9):
        raise ConfigError(
            f"rules.sensitivity must be from {FALSE_ALARMS[-1][1]:g} to {FALSE_ALARMS[0][1]:g} "
            "false "
            "alarms a minute of rest, the range in which the rules were measured, or one of "
            f"{', '.join(NAMED)}; found {rate:g}"
        )
    return float(np.exp(np.interp(np.log(rate), rates, units)))


def false_alarms(units: float) -> float:
    """False alarms a minute of rest that were measured at a threshold; the way back of `factor`."""
    threshold, rates = np.log(np.array(FALSE_ALARMS)).T
    return float(np.exp(np.interp(np.log(units), threshold, rates)))


# -- how sure a duration is ------------------------------------------------------------------------

#: (spotted duration, sd of spotted less true), seconds: of micro-expressions and longer movements
#: of .2 to 1.2 s played into neutral films of three people, spotted by the rules at "normal", by
#: fifths of the spotted durations. ``python -m benchmarks.accuracy.sensitivity``. It is larger for
#: longer ones, as these creep to rest.
DURATION_SD = ((0.36, 0.05), (0.46, 0.04), (0.53, 0.06), (0.61, 0.08), (0.90, 0.26))
#: How much longer they are spotted than they are, in the mean; seconds (same source).
DURATION_BIAS_S = 0.02
#: Spotted durations that were met there.
DURATIONS = (0.2, 1.2)


def duration_sd(duration_s: float) -> float | None:
    """Standard deviation of a duration that the rules spotted, in seconds; None beyond `DURATIONS`,
    where nothing was measured."""
    if not DURATIONS[0] <= duration_s <= DURATIONS[1]:
        return None
    durations, errors = zip(*DURATION_SD, strict=True)
    return float(np.interp(duration_s, durations, errors))


# -- what stands out, and what could have ----------------------------------------------------------


def limits(features: Features, settings: RuleSettings) -> tuple[float | None, dict[str, float]]:
    """The smallest movement of this face that stands out of its noise, in outer-eye distances.

    The threshold of a movement (a sum of ROIs' displacements, `aumer.spotting.movements`; as the
    motion stage reports it, low-passed), median over time, then over movements. What is higher,
    rises and returns, the rules look at. It does not say what a network makes of smaller ones.

    Returns:
        The median over the eleven movements, and over those of "brow" and of "mouth"; None and
        nothing where no row is valid, or where ROIs that the movements are made of are missing.
    """
    if not (readable(features.rois) and features.valid.any()):
        return None, {}
    share = factor(settings.sensitivity) / NORMAL
    by_run = [found for _, _, found in followed(features, settings)]
    each = {
        several[0].name: share * float(np.median(np.concatenate([m.base for m in several])))
        for several in zip(*by_run, strict=True)
    }
    by_region = {
        region: [each[name] for name, m in MOVEMENTS.items() if m.region == region]
        for region in REGIONS
    }
    regions = {region: float(np.median(values)) for region, values in by_region.items()}
    return float(np.median(list(each.values()))), regions


def moved(
    features: Features, settings: RuleSettings, spans: Sequence[tuple[int, int]]
) -> list[float | None]:
    """By how much the movement that moves most has moved, from one frame to another.

    Args:
        spans: the two frames of each, as `Features.frames` counts them.

    Returns:
        Outer-eye distances, low-passed; None where no unbroken run shows both frames, or where ROIs
        that the movements are made of are missing.
    """
    return [None if way is None else way[0] for way in _ways(features, settings, spans)]


#: Of `min_height`: what moves less from onset to apex is at rest on any face. Of pairs of frames of
#: still faces 98 in 100 lie below; micro-expressions of .5 to 1.4 u in neutral films (quarter,
#: median) at .0034, .0045 outer-eye distances and above. At 1.0 most real ones would have no name.
_LEAST = 0.4


def over_rest(
    features: Features, settings: RuleSettings, spans: Sequence[tuple[int, int]]
) -> list[float | None]:
    """By how many times a face at rest moves what moves most from one frame to another: below 1 it
    is at rest.

    A face at rest moves by `NORMAL` units of its movement's noise, as the rules' threshold has it,
    and by two fifths of `min_height` if that is more. A run of at most `5 * drift_s` holds no rest
    to tell its noise by: there it is the latter alone.

    Args:
        spans: as of `moved`.

    Returns:
        None as `moved`.
    """
    return [None if way is None else way[1] for way in _ways(features, settings, spans)]


def _ways(
    features: Features, settings: RuleSettings, spans: Sequence[tuple[int, int]]
) -> list[tuple[float, float] | None]:
    """Of each span the most that a movement moves: in outer-eye distances, and over its rest."""
    found: list[tuple[float, float] | None] = [None] * len(spans)
    if not (spans and readable(features.rois)):
        return found
    bare = replace(settings, min_height=1e-6)  # so that the threshold is the noise alone
    for begin, end, movements in followed(features, bare):
        smooth = np.stack([m.smooth for m in movements])
        rest = np.full(smooth.shape, _LEAST * settings.min_height)
        if end - begin > 5 * settings.drift_s * features.rate:
            rest = np.maximum(rest, np.stack([m.base for m in movements]))
        frames = features.frames[begin:end]
        step = max(1, int(np.diff(frames).max(initial=1)))
        frames = np.append(frames, frames[-1] + step)  # where the last motion leads
        for k, span in enumerate(spans):
            # The grid of rows may begin and end a row from frames that were asked for.
            if span[0] >= frames[0] - step and span[1] <= frames[-1] + step:
                first, last = (int(np.abs(frames - frame).argmin()) for frame in span)
                way = np.abs(smooth[:, last] - smooth[:, first])
                over = way / np.maximum(rest[:, first], rest[:, last])
                before = found[k] or (0.0, 0.0)
                found[k] = max(float(way.max()), before[0]), max(float(over.max()), before[1])
    return found


def with_peaks(
    expressions: Sequence[Expression], features: Features, settings: RuleSettings
) -> tuple[Expression, ...]:
    """The expressions, those that lack a peak with one: the largest height of any movement from
    onset to offset, over the moving reference, in units of its noise. It stays None where the
    features do not show the time of an expression, or lack ROIs that the movements are made of."""
    lacking = [k for k, e in enumerate(expressions) if e.peak is None]
    if not (lacking and readable(features.rois)):
        return tuple(expressions)
    peaks: dict[int, float] = {}
    # By time, not by frame: a video of few frames has many rows a frame.
    spans = np.array(
        [(expressions[k].onset_s - 1e-6, expressions[k].offset_s + 1e-6) for k in lacking]
    )
    for begin, end, movements in followed(features, settings):
        within = np.searchsorted(features.times[begin:end], spans)
        inside = {
            lacking[i]: slice(int(within[i, 0]), int(within[i, 1]) + 1)
            for i in np.flatnonzero(within[:, 0] < within[:, 1])
        }
        if not inside:
            continue
        heights = [
            np.maximum(*(m.height(way, settings, features.rate) for way in (1.0, -1.0))) / m.unit
            for m in movements
        ]
        for k, rows in inside.items():
            most = max(float(height[rows].max()) for height in heights)
            peaks[k] = max(most, peaks.get(k, 0.0))
    return tuple(replace(e, peak=peaks.get(k, e.peak)) for k, e in enumerate(expressions))
