"""Facial motion without expressions: curves over time, and the resulting displacement of the ROIs.

Everything is drawn once, as a curve of time, and shown in two ways: as what the motion stage leaves
of it at the ROIs (`path`), and in films as moving heads, lids and eyes
(`aumer.simulate.performance`). Errors of measurement are in `nuisance`, with all names. The
constants of both, with their sources, are in ``configs/simulation.toml``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from aumer.face.mean_face import MEAN_FACE
from aumer.motion.mdmo import ROIS
from aumer.simulate.anatomy import Action, displacement

Signal = npt.NDArray[np.float64]
Range = tuple[float, float]
#: One time or many (N,); results have the same shape.
At = TypeVar("At", float, Signal)

#: px per outer-eye distance, and rows per second, of flow values in the settings file.
_PX, _RATE = 64.0, 30.0
NAMES = tuple(ROIS)
BROWS = [k for k, name in enumerate(NAMES) if name.startswith("brow")]
NOSE = [k for k, name in enumerate(NAMES) if name.startswith("nose")]
MOUTH = [k for k, name in enumerate(NAMES) if name.startswith(("mouth", "lip"))]


@lru_cache(maxsize=256)
def roi_displacement(action: Action) -> Signal:
    """Displacement of the ROIs by an action at intensity 1: (12, 2) outer-eye distances.

    The mean over an ROI's square (11 px of a crop in which the eye corners lie 64 px apart).
    """
    side = 5 / _PX * 2 / 3
    offsets = np.array([(x, y) for x in (-side, 0, side) for y in (-side, 0, side)])
    centers = MEAN_FACE[list(ROIS.values()), :2]
    points = (centers[:, None] + offsets).reshape(-1, 2)
    shown: Signal = displacement({action: 1.0}, points).reshape(len(centers), -1, 2).mean(axis=1)
    shown.flags.writeable = False
    return shown


@dataclass(frozen=True)
class Move:
    """A movement to another position, which stays there or returns.

    Attributes:
        start_s, length_s: its start and duration.
        by: displacement in each of K directions.
        stay_s: time there; forever by default.
        back_s: duration of the return.
    """

    start_s: float
    length_s: float
    by: Signal
    stay_s: float = math.inf
    back_s: float = 1.0

    def at(self, t: At) -> Signal:
        """Displacement at t (s): (K,) for one time, (N, K) for many."""
        since = t - self.start_s
        if math.isinf(self.stay_s):
            return np.multiply.outer(eased(since, self.length_s), self.by)
        level = there_and_back(since, self.length_s, self.stay_s, self.back_s)
        return np.multiply.outer(level, self.by)


def moved(moves: Iterable[Move], t: At, directions: int) -> Signal:
    """Sum of the moves' displacements at t (s): (K,) for one time, (N, K) for many."""
    total = np.zeros((*np.shape(t), directions))
    for move in moves:
        total += move.at(t)
    return total


@dataclass(frozen=True)
class Turning(ABC):
    """Residual motion of out-of-plane head turns after stabilization.

    Attributes:
        depth_error: sd over ROIs of the residual of a turn by 1 rad.
    """

    depth_error: float

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        wrong = self.depth_error * _depth_errors(rng)
        return np.asarray(wrong[:, None] * self._turn(rng, times)[:, None, :])

    def turn(self, rng: np.random.Generator, times: Signal) -> Signal:
        """Yaw and pitch (N, 2) radians, for the same random draw as in `path`."""
        _depth_errors(rng)
        return self._turn(rng, times)

    @abstractmethod
    def _turn(self, rng: np.random.Generator, times: Signal) -> Signal: ...


@dataclass(frozen=True)
class Sway:
    """Movement of a head held still about its place.

    Attributes:
        spread: sd in each of K directions.
        correlation_s: time in which the autocorrelation falls to 1/e.
        smooth_s: sd of the Gaussian by which it is smoothed: muscles move smoothly, and without it
            the sway would have the spectrum of noise.
    """

    spread: tuple[float, ...]
    correlation_s: float
    smooth_s: float

    def drawn(self, rng: np.random.Generator, times: Signal) -> Signal:
        """(N, K) at evenly spaced times (N,) seconds."""
        keep = np.exp(-step_of(times) / self.correlation_s)
        push = rng.standard_normal((len(times), len(self.spread))) * self.spread
        push[1:] *= np.sqrt(1 - keep**2)
        away = lfilter([1.0], [1.0, -keep], push, axis=0)
        spread = self.smooth_s / step_of(times)
        return np.asarray(gaussian_filter1d(away, spread, axis=0, mode="nearest"))


@dataclass(frozen=True)
class HeadSway(Turning):
    """Residual sway of a head held still, after stabilization: of `Sway`, its yaw and pitch."""

    yaw: float
    pitch: float
    correlation_s: float
    smooth_s: float

    def _turn(self, rng: np.random.Generator, times: Signal) -> Signal:
        sway = Sway((self.yaw, self.pitch), self.correlation_s, self.smooth_s)
        return sway.drawn(rng, times)


@dataclass(frozen=True)
class TurnMoves(Turning):
    """Deliberate head turns."""

    @abstractmethod
    def moves(self, rng: np.random.Generator, times: Signal) -> Iterator[Move]:
        """Moves in yaw and pitch (radians) that start between the first and the last time."""

    def _turn(self, rng: np.random.Generator, times: Signal) -> Signal:
        return moved(self.moves(rng, times), times, 2)


@dataclass(frozen=True)
class HeadTurns(TurnMoves):
    """Head turns aside and back."""

    per_min: float
    size: float
    turn_s: Range
    stay_s: Range

    def moves(self, rng: np.random.Generator, times: Signal) -> Iterator[Move]:
        for begin in moments(rng, times, self.per_min):
            size = self.size * rng.standard_normal(2)
            away, stay, back = (rng.uniform(*r) for r in (self.turn_s, self.stay_s, self.turn_s))
            yield Move(begin, away, size, stay, back)


@dataclass(frozen=True)
class Posture(TurnMoves):
    """Lasting head turns: leaning, sitting differently."""

    per_min: float
    size: float
    turn_s: Range

    def moves(self, rng: np.random.Generator, times: Signal) -> Iterator[Move]:
        for begin in moments(rng, times, self.per_min):
            size = self.size * rng.standard_normal(2)
            yield Move(begin, rng.uniform(*self.turn_s), size)


@dataclass(frozen=True)
class Blink:
    """A blink that starts to close at start_s, with the durations of its phases."""

    start_s: float
    closing_s: float
    closed_s: float
    opening_s: float

    @property
    def end_s(self) -> float:
        """Time at which the lids are open again."""
        return self.start_s + self.closing_s + self.closed_s + self.opening_s

    def closure(self, t: At) -> At:
        """Closure of the lids in [0, 1] at t (s), for one time or many."""
        since = t - self.start_s
        return there_and_back(since, self.closing_s, self.closed_s, self.opening_s)


@dataclass(frozen=True)
class Lids:
    """Blinking lids.

    Attributes:
        per_min: rate; intervals are `rest_s` plus an exponential time.
        rest_s: least seconds between the starts of two blinks.
        closing_s, closed_s, opening_s: range of the duration of each phase.
    """

    per_min: float
    rest_s: float
    closing_s: Range
    closed_s: Range
    opening_s: Range

    def drawn(self, rng: np.random.Generator, end_s: float) -> list[Blink]:
        """The blinks that start between 0 and `end_s`."""
        blinks: list[Blink] = []
        while self.per_min > 0:
            last = blinks[-1].start_s if blinks else -self.rest_s
            start = last + self.rest_s + rng.exponential(max(0.0, 60 / self.per_min - self.rest_s))
            if start >= end_s:
                break
            phases = (self.closing_s, self.closed_s, self.opening_s)
            blinks.append(Blink(start, *(float(rng.uniform(*phase)) for phase in phases)))
        return blinks

    def lids(self, rng: np.random.Generator, times: Signal) -> Signal:
        """Closure (N,) in [0, 1], for the same random draw as in `path`."""
        level = np.zeros(len(times))
        for blink in self.drawn(rng, float(times[-1])):
            level = np.maximum(level, blink.closure(times))
        return level


@dataclass(frozen=True)
class Blinks(Lids):
    """Blinks with a small motion of the brows.

    Attributes:
        brow: intensity of the accompanying AU 4.
    """

    brow: float

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        level = self.lids(rng, times)
        moved = roi_displacement((45, "both")) + self.brow * roi_displacement((4, "both"))
        return np.asarray(level[:, None, None] * moved)


@dataclass(frozen=True)
class Gaze:
    """Gaze: fixations, each in a direction of its own, and the saccades between them.

    Attributes:
        per_min: rate of saccades; fixations last `rest_s` plus an exponential time.
        rest_s: least seconds of a fixation.
        spread: sd of the place of fixations in each of K directions; the first is at 0.
        most: how many sd from 0 a place may be.
        move_s, move_s_each: duration of a saccade, and what each unit of its length adds.
    """

    per_min: float
    rest_s: float
    spread: tuple[float, ...]
    most: float
    move_s: float
    move_s_each: float

    def moves(self, rng: np.random.Generator, times: Signal) -> Iterator[Move]:
        """The saccades (K,) between the first and the last time, in order."""
        before = np.zeros(len(self.spread))
        for begin in moments(rng, times, self.per_min, self.rest_s):
            away = np.clip(rng.standard_normal(len(self.spread)), -self.most, self.most)
            now = np.asarray(self.spread) * away
            by = now - before
            yield Move(begin, self.move_s + self.move_s_each * float(np.linalg.norm(by)), by)
            before = now


@dataclass(frozen=True)
class GazeShifts(Gaze):
    """Gaze as the brows show it: they follow the eyes up and down a little, and stay as long as
    these do. The one direction is up, as an intensity of AU 1 and 2.
    """

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        level = moved(self.moves(rng, times), times, 1)
        shown = roi_displacement((1, "both")) + roi_displacement((2, "both"))
        return np.asarray(level[..., None] * shown)


@dataclass(frozen=True)
class Swallowing:
    """Swallowing: lips and chin tighten and relax."""

    per_min: float
    length_s: Range
    level: float

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        level = np.zeros(len(times))
        for begin in moments(rng, times, self.per_min):
            half = rng.uniform(*self.length_s) / 2
            level += there_and_back(times - begin, half, 0.0, half)
        moved = roi_displacement((17, "both")) + roi_displacement((24, "both"))
        return np.asarray(self.level * level[:, None, None] * moved)


@dataclass(frozen=True)
class Talking:
    """Bouts of speech: jaw, lips and brows in a few modes, each a random signal in the band of
    speech.
    """

    per_min: float
    length_s: Range
    band_hz: Range
    modes_x_px: tuple[tuple[float, ...], ...]
    modes_y_px: tuple[tuple[float, ...], ...]

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        speaking = np.zeros(len(times))
        for begin in moments(rng, times, self.per_min):
            end = begin + rng.uniform(*self.length_s)
            bout = eased(times - begin, 0.2) - eased(times - end, 0.2)
            speaking = np.maximum(speaking, bout)
        moved = np.zeros((len(times), len(NAMES), 2))
        for x, y in zip(self.modes_x_px, self.modes_y_px, strict=True):
            course = speaking * self._course(rng, times)
            moved += course[:, None, None] * np.stack([x, y], axis=1) / _PX
        return moved

    def _course(self, rng: np.random.Generator, times: Signal) -> Signal:
        """A path whose velocity is band-limited noise with an sd of 1 px per 1/30 s.

        The band's edges are at half the power; beyond, the power falls with 1/f^8, as measured.
        """
        step = step_of(times)
        # Longer than needed, so that the periodic signal does not wrap around within it.
        count = len(times) + int(np.ceil(2 / step))
        hz = np.fft.rfftfreq(count, step)
        low, high = self.band_hz
        with np.errstate(divide="ignore"):
            power = 1 / (1 + (low / hz) ** 8) / (1 + (hz / high) ** 8)
        power /= power.sum() * hz[1] * 2 * step  # the shaped white noise has a velocity with sd 1
        spectrum = np.fft.rfft(rng.standard_normal(count)) * np.sqrt(power)
        spectrum[1:] *= _RATE / (2j * np.pi * hz[1:])
        return np.asarray(np.fft.irfft(spectrum, count)[: len(times)])


@dataclass(frozen=True)
class Remark:
    """A bout of speech: syllables at rate `hz`, each with loudness and lip shape.

    Attributes:
        loudness: of each syllable, in [0, 1].
        rounding: at syllable boundaries, from -1 (stretched) to 1 (puckered).
        jaw, part, round: intensities of jaw drop, lips part, and lip shape, at a loudness or
            rounding of 1.
    """

    start_s: float
    end_s: float
    hz: float
    loudness: tuple[float, ...]
    rounding: tuple[float, ...]
    jaw: float
    part: float
    round: float

    def actions(self, t: float) -> dict[Action, float]:
        """Intensity of each active action at t (s)."""
        if not self.start_s < t < self.end_s:
            return {}
        position = (t - self.start_s) * self.hz
        k, inside = int(position), position % 1.0
        opening = self.loudness[k] * (0.5 - 0.5 * math.cos(2 * math.pi * inside))
        ends = min(t - self.start_s, self.end_s - t) / 0.15
        shape = self.rounding[k] + eased(inside) * (self.rounding[k + 1] - self.rounding[k])
        shape *= eased(ends)
        return {
            (26, "both"): self.jaw * opening,
            (25, "both"): self.part * opening,
            (18 if shape > 0 else 20, "both"): self.round * abs(shape),
        }


@dataclass(frozen=True)
class Remarks:
    """Short bouts of speech, syllable by syllable: shorter than the recordings that `Talking` was
    measured on.

    Attributes:
        per_min: rate of bouts.
        length_s: of a bout.
        rest_s: least seconds of silence between two bouts.
        syllable_hz: range of syllables per second, drawn for each bout.
        jaw, part, round: see `Remark`.
    """

    per_min: float
    length_s: Range
    rest_s: float
    syllable_hz: Range
    jaw: float
    part: float
    round: float

    def drawn(
        self, rng: np.random.Generator, end_s: float, busy: Sequence[tuple[float, float]] = ()
    ) -> list[Remark]:
        """Remarks between 0 and `end_s`; one that would overlap a `busy` interval (from, to) is
        delayed until its end.
        """
        bouts: list[Remark] = []
        while self.per_min > 0:
            last = bouts[-1].end_s if bouts else 0.0
            start = last + self.rest_s + rng.exponential(60 / self.per_min)
            hz, length = rng.uniform(*self.syllable_hz), rng.uniform(*self.length_s)
            syllables = max(2, round(length * hz))
            for onset, offset in sorted(busy):
                if start < offset + self.rest_s and start + syllables / hz > onset - self.rest_s:
                    start = offset + self.rest_s
            if start + syllables / hz > end_s:
                break
            loudness = tuple(rng.uniform(0.3, 1.0, syllables + 1).tolist())
            rounding = tuple(rng.uniform(-1.0, 1.0, syllables + 2).tolist())
            levels = (self.jaw, self.part, self.round)
            bouts.append(Remark(start, start + syllables / hz, hz, loudness, rounding, *levels))
        return bouts

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        moved = np.zeros((len(times), len(NAMES), 2))
        for bout in self.drawn(rng, float(times[-1])):
            first, last = np.searchsorted(times, (bout.start_s, bout.end_s))
            for row in range(first, last):
                for action, level in bout.actions(float(times[row])).items():
                    moved[row] += level * roi_displacement(action)
        return moved


@dataclass(frozen=True)
class Swing:
    """A slow change about 0, one sine: `size` is its amplitude."""

    size: float
    period_s: float
    phase: float

    def at(self, t: At) -> At:
        """The change at t (s), for one time or many."""
        change: At = self.size * np.sin(2 * np.pi * t / self.period_s + self.phase)
        return change


@dataclass(frozen=True)
class Light:
    """Slow changes of light.

    Attributes:
        size: amplitude.
        period_s: range of the period.
    """

    size: float
    period_s: Range

    def drawn(self, rng: np.random.Generator) -> Swing:
        """One change with its period and phase."""
        period, phase = rng.uniform(*self.period_s), rng.uniform(0, 2 * np.pi)
        return Swing(self.size, period, phase)


@dataclass(frozen=True)
class LightingDrift(Light):
    """Apparent motion by slow changes of light, in a separate direction for each ROI."""

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        light = self.drawn(rng)
        toward = rng.standard_normal((len(NAMES), 2)) / np.sqrt(2)
        return np.asarray(light.at(times)[:, None, None] * toward)


def step_of(times: Signal) -> float:
    return float(times[1] - times[0])


def moments(
    rng: np.random.Generator, times: Signal, per_min: float, rest_s: float = 0.0
) -> Iterator[float]:
    """Event times between the first and the last time, in order: a Poisson process, whose intervals
    are no shorter than `rest_s`.
    """
    now = float(times[0])
    while per_min > 0:
        now += rest_s + rng.exponential(60 / per_min - rest_s)
        if now >= times[-1]:
            return
        yield now


def eased(t: At, length: float = 1.0) -> At:
    """From 0 at t = 0 to 1 at t = length as a raised cosine, for one time or many."""
    # Not np.clip, which is ten times slower for one number.
    share = np.minimum(1.0, np.maximum(0.0, t / length))
    shown: At = 0.5 - 0.5 * np.cos(np.pi * share)
    return shown


def there_and_back(t: At, there_s: float, stay_s: float, back_s: float) -> At:
    """From 0 at t = 0 to 1 and, after a stay, back to 0; both as a raised cosine."""
    return eased(t, there_s) - eased(t - there_s - stay_s, back_s)


def _depth_errors(rng: np.random.Generator) -> Signal:
    """Errors of the depth assumed by stabilization, by ROI, sd 1; they cause the residual of a
    turn.

    ROIs of brows, nose and mouth correlate as measured: four fifths of the variance is shared
    within the region.
    """
    error: Signal = np.sqrt(0.2) * rng.standard_normal(len(NAMES))
    for region in (BROWS, NOSE, MOUTH):
        error[region] += np.sqrt(0.8) * rng.standard_normal()
    return error
