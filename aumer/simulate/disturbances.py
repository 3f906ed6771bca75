"""What happens to a face that shows no expression: curves of time, and what the ROIs show of them.

What measuring adds is in `nuisance`, as are the names. Constants, with their sources, are in
``configs/simulation.toml``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from aumer.face.mean_face import MEAN_FACE
from aumer.motion.mdmo import ROIS
from aumer.simulate.anatomy import Action, displacement

Signal = npt.NDArray[np.float64]
Range = tuple[float, float]

#: px per outer-eye distance and rows per second in which the file gives flow.
_PX, _RATE = 64.0, 30.0
NAMES = tuple(ROIS)
BROWS = [k for k, name in enumerate(NAMES) if name.startswith("brow")]
NOSE = [k for k, name in enumerate(NAMES) if name.startswith("nose")]
MOUTH = [k for k, name in enumerate(NAMES) if name.startswith(("mouth", "lip"))]


@lru_cache(maxsize=256)
def roi_displacement(action: Action) -> Signal:
    """What the ROIs show of an action at intensity 1: (12, 2) outer-eye distances.

    The mean over an ROI's square (11 px of a crop in which the eye corners lie 64 px apart).
    """
    side = 5 / _PX * 2 / 3
    offsets = np.array([(x, y) for x in (-side, 0, side) for y in (-side, 0, side)])
    centres = MEAN_FACE[list(ROIS.values()), :2]
    points = (centres[:, None] + offsets).reshape(-1, 2)
    shown: Signal = displacement({action: 1.0}, points).reshape(len(centres), -1, 2).mean(axis=1)
    shown.flags.writeable = False
    return shown


@dataclass(frozen=True)
class Turning(ABC):
    """Turns of the head out of the plane, as far as they are not taken off.

    Attributes:
        depth_error: sd by ROI of what a turn by 1 rad leaves.
    """

    depth_error: float

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        wrong = self.depth_error * _depth_errors(rng)
        return np.asarray(wrong[:, None] * self._turn(rng, times)[:, None, :])

    def turn(self, rng: np.random.Generator, times: Signal) -> Signal:
        """Yaw and pitch (N, 2) radians that the same draw has in `path`."""
        _depth_errors(rng)
        return self._turn(rng, times)

    @abstractmethod
    def _turn(self, rng: np.random.Generator, times: Signal) -> Signal: ...


@dataclass(frozen=True)
class HeadSway(Turning):
    """The unrest of a head held still, as far as its turns are not taken off."""

    yaw: float
    pitch: float
    correlation_s: float

    def _turn(self, rng: np.random.Generator, times: Signal) -> Signal:
        keep = np.exp(-step_of(times) / self.correlation_s)
        push = rng.standard_normal((len(times), 2)) * (self.yaw, self.pitch)
        push[1:] *= np.sqrt(1 - keep**2)
        turn = lfilter([1.0], [1.0, -keep], push, axis=0)
        # Muscles do not jerk: without this the sway would have the spectrum of noise.
        return np.asarray(gaussian_filter1d(turn, 0.1 / step_of(times), axis=0, mode="nearest"))


@dataclass(frozen=True)
class HeadTurns(Turning):
    """Turns aside and back."""

    per_min: float
    size: float
    turn_s: Range
    stay_s: Range

    def _turn(self, rng: np.random.Generator, times: Signal) -> Signal:
        turn = np.zeros((len(times), 2))
        for begin in moments(rng, times, self.per_min):
            size = self.size * rng.standard_normal(2)
            away, stay, back = (rng.uniform(*r) for r in (self.turn_s, self.stay_s, self.turn_s))
            turn += (
                size
                * (eased(times - begin, away) - eased(times - begin - away - stay, back))[:, None]
            )
        return turn


@dataclass(frozen=True)
class Posture(Turning):
    """Turns that stay: leaning, sitting otherwise."""

    per_min: float
    size: float
    turn_s: Range

    def _turn(self, rng: np.random.Generator, times: Signal) -> Signal:
        turn = np.zeros((len(times), 2))
        for begin in moments(rng, times, self.per_min):
            size = self.size * rng.standard_normal(2)
            turn += size * eased(times - begin, rng.uniform(*self.turn_s))[:, None]
        return turn


@dataclass(frozen=True)
class Blinks:
    """Lids that close and open, and the little that the brow does with them."""

    per_min: float
    closing_s: float
    opening_s: float
    brow: float

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        level = self.lids(rng, times)
        moved = roi_displacement((45, "both")) + self.brow * roi_displacement((4, "both"))
        return np.asarray(level[:, None, None] * moved)

    def lids(self, rng: np.random.Generator, times: Signal) -> Signal:
        """How far they are closed (N,), in [0, 1], in the same draw of `path`."""
        level = np.zeros(len(times))
        for begin in moments(rng, times, self.per_min):
            level = np.maximum(level, lid_course(times - begin, self.closing_s, self.opening_s))
        return level


@dataclass(frozen=True)
class GazeShifts:
    """The brow follows the eyes a little, up and down, and stays while they do."""

    per_min: float
    brow: float
    move_s: float

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        level = np.zeros(len(times))
        before = 0.0
        for begin in moments(rng, times, self.per_min):
            now = self.brow * rng.standard_normal()
            level += (now - before) * eased(times - begin, self.move_s)
            before = now
        moved = roi_displacement((1, "both")) + roi_displacement((2, "both"))
        return np.asarray(level[:, None, None] * moved)


@dataclass(frozen=True)
class Swallowing:
    """Lips and chin tighten and let go."""

    per_min: float
    length_s: Range
    level: float

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        level = np.zeros(len(times))
        for begin in moments(rng, times, self.per_min):
            half = rng.uniform(*self.length_s) / 2
            level += eased(times - begin, half) - eased(times - begin - half, half)
        moved = roi_displacement((17, "both")) + roi_displacement((24, "both"))
        return np.asarray(self.level * level[:, None, None] * moved)


@dataclass(frozen=True)
class Talking:
    """Bouts of speech: jaw, lips and brows in a few modes, each at random in speech's band."""

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
        """A path whose velocity has its power in the band, 1 px per 1/30 s strong (sd).

        The band's edges are those of half the power; beyond, it falls as measured, by 1/f^8.
        """
        step = step_of(times)
        # A stretch more than is used: what wraps round from its end never meets its beginning.
        count = len(times) + int(np.ceil(2 / step))
        hz = np.fft.rfftfreq(count, step)
        low, high = self.band_hz
        with np.errstate(divide="ignore"):
            power = 1 / (1 + (low / hz) ** 8) / (1 + (hz / high) ** 8)
        power /= power.sum() * hz[1] * 2 * step  # the velocity of white noise so shaped has sd 1
        spectrum = np.fft.rfft(rng.standard_normal(count)) * np.sqrt(power)
        spectrum[1:] *= _RATE / (2j * np.pi * hz[1:])
        return np.asarray(np.fft.irfft(spectrum, count)[: len(times)])


@dataclass(frozen=True)
class LightingDrift:
    """Slow changes of light that pass for motion, each ROI in its own direction."""

    size: float
    period_s: Range

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        period, phase = rng.uniform(*self.period_s), rng.uniform(0, 2 * np.pi)
        towards = rng.standard_normal((len(NAMES), 2)) / np.sqrt(2)
        light = np.sin(2 * np.pi * times / period + phase)
        return np.asarray(self.size * light[:, None, None] * towards)


def step_of(times: Signal) -> float:
    return float(times[1] - times[0])


def moments(rng: np.random.Generator, times: Signal, per_min: float) -> Iterator[float]:
    """Moments of a Poisson process, in order."""
    now = float(times[0])
    while True:
        now += rng.exponential(60 / per_min)
        if now >= times[-1]:
            return
        yield now


def eased(t: Signal, length: float) -> Signal:
    """From 0 at t = 0 to 1 at t = length as a raised cosine."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(t / length, 0.0, 1.0)))


def lid_course(t: Signal, closing: float, opening: float) -> Signal:
    """From 0 at t = 0 to 1 at t = closing, and back to 0 in another `opening` seconds."""
    return eased(t, closing) - eased(t - closing, opening)


def _depth_errors(rng: np.random.Generator) -> Signal:
    """How wrong the depth is that stabilisation assumes, by ROI, sd 1: what a turn leaves.

    Brows, nose and mouth go together as measured: four fifths of the variance is the region's.
    """
    error: Signal = np.sqrt(0.2) * rng.standard_normal(len(NAMES))
    for region in (BROWS, NOSE, MOUTH):
        error[region] += np.sqrt(0.8) * rng.standard_normal()
    return error
