"""What moves in the features of a face that shows no expression, each cause by itself.

A nuisance gives paths: displacement of the 12 ROIs in outer-eye distances at given times. Its
constants, with their sources, are in ``configs/simulation.toml``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from aumer.errors import UsageError, did_you_mean
from aumer.face.mean_face import MEAN_FACE
from aumer.motion.mdmo import ROIS
from aumer.simulate.anatomy import Action, displacement
from aumer.strict import build, preset, read_toml
from aumer.types import BoolArray

Signal = npt.NDArray[np.float64]
Range = tuple[float, float]

#: px per outer-eye distance and rows per second in which the file gives flow.
_PX, _RATE = 64.0, 30.0
_NAMES = tuple(ROIS)
_BROWS = [k for k, name in enumerate(_NAMES) if name.startswith("brow")]
_NOSE = [k for k, name in enumerate(_NAMES) if name.startswith("nose")]
_MOUTH = [k for k, name in enumerate(_NAMES) if name.startswith(("mouth", "lip"))]


@runtime_checkable
class Moving(Protocol):
    """A cause of motion that is no expression."""

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        """Displacement (N, 12, 2) in outer-eye distances at evenly spaced times (N,) seconds."""
        ...


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
class MotionNoise:
    """Errors of where an ROI is measured to be: a frame's own, and slow ones.

    They do not add up, for the motion stage measures each frame against several earlier ones. Both
    are heavy-tailed and correlated among ROIs.

    Attributes:
        white_x, white_y: sd of a frame's own error, outer-eye distances, by ROI.
        slow_x, slow_y: sd of the slow one (Ornstein and Uhlenbeck's process), likewise.
        correlation_s: seconds in which the slow one's autocorrelation falls to 1/e.
        degrees: of Student's t, which frames are distributed by.
        same_brow, brows, mouth, brow_mouth: correlations of ROIs of one brow, of the two brows,
            among mouth corners and lips, and of brows with these.
    """

    white_x: tuple[float, ...]
    white_y: tuple[float, ...]
    slow_x: tuple[float, ...]
    slow_y: tuple[float, ...]
    correlation_s: float
    degrees: float
    same_brow: float
    brows: float
    mouth: float
    brow_mouth: float

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        # A common scale per frame makes the tails of all ROIs fall together, as a bad frame does.
        scale = np.sqrt((self.degrees - 2) / rng.chisquare(self.degrees, (len(times), 1, 1)))
        mixing = self._mixing()
        white, push = (
            mixing @ rng.standard_normal((len(times), len(_NAMES), 2)) * scale for _ in range(2)
        )
        keep = np.exp(-_step(times) / self.correlation_s)
        push[1:] *= np.sqrt(1 - keep**2)
        slow = lfilter([1.0], [1.0, -keep], push, axis=0)
        white_sd = np.stack([self.white_x, self.white_y], axis=1)
        slow_sd = np.stack([self.slow_x, self.slow_y], axis=1)
        return np.asarray(white_sd * white + slow_sd * slow)

    def _mixing(self) -> Signal:
        correlation = np.eye(len(_NAMES))
        right, left = _BROWS[:3], _BROWS[3:]
        for rows, columns, value in (
            (right, right, self.same_brow),
            (left, left, self.same_brow),
            (right, left, self.brows),
            (_MOUTH, _MOUTH, self.mouth),
            (_BROWS, _MOUTH, self.brow_mouth),
        ):
            for a in rows:
                for b in columns:
                    if a != b:
                        correlation[a, b] = correlation[b, a] = value
        return np.asarray(np.linalg.cholesky(correlation))


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
        keep = np.exp(-_step(times) / self.correlation_s)
        push = rng.standard_normal((len(times), 2)) * (self.yaw, self.pitch)
        push[1:] *= np.sqrt(1 - keep**2)
        turn = lfilter([1.0], [1.0, -keep], push, axis=0)
        # Muscles do not jerk: without this the sway would have the spectrum of noise.
        return np.asarray(gaussian_filter1d(turn, 0.1 / _step(times), axis=0, mode="nearest"))


@dataclass(frozen=True)
class HeadTurns(Turning):
    """Turns aside and back."""

    per_min: float
    size: float
    turn_s: Range
    stay_s: Range

    def _turn(self, rng: np.random.Generator, times: Signal) -> Signal:
        turn = np.zeros((len(times), 2))
        for begin in _moments(rng, times, self.per_min):
            size = self.size * rng.standard_normal(2)
            away, stay, back = (rng.uniform(*r) for r in (self.turn_s, self.stay_s, self.turn_s))
            turn += (
                size
                * (_eased(times - begin, away) - _eased(times - begin - away - stay, back))[:, None]
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
        for begin in _moments(rng, times, self.per_min):
            size = self.size * rng.standard_normal(2)
            turn += size * _eased(times - begin, rng.uniform(*self.turn_s))[:, None]
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
        for begin in _moments(rng, times, self.per_min):
            level = np.maximum(level, _lids(times - begin, self.closing_s, self.opening_s))
        return level


@dataclass(frozen=True)
class HeadMisfit:
    """What the fit of the head takes off all ROIs when lids move the skin that it is fitted on.

    A rigid motion about the nose (scale, turn in the plane, two turns out of it), other each time,
    that comes and goes as lids do.
    """

    per_min: float
    closing_s: float
    opening_s: float
    scale: float
    roll: float
    tilt: float

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        moved = np.zeros((len(times), len(_NAMES), 2))
        for begin in _moments(rng, times, self.per_min):
            level = _lids(times - begin, self.closing_s, self.opening_s)
            moved += level[:, None, None] * self.once(rng)
        return moved

    def lids(self, rng: np.random.Generator, times: Signal) -> Signal:
        """As those of `Blinks`: these are the blinks that it comes with."""
        closed = np.zeros(len(times))
        for begin in _moments(rng, times, self.per_min):
            closed = np.maximum(closed, _lids(times - begin, self.closing_s, self.opening_s))
            self.once(rng)
        return closed

    def once(self, rng: np.random.Generator) -> Signal:
        """What one blink takes off when the lids are closed: (12, 2) outer-eye distances."""
        points = MEAN_FACE[list(ROIS.values())]
        x, y, depth = (points - points[_NOSE].mean(axis=0)).T
        none = np.zeros_like(x)
        # By row: the ROIs' displacement (12, 2) for scale, roll, yaw and pitch of 1.
        basis = np.stack([[x, y], [-y, x], [depth, none], [none, depth]]).transpose(0, 2, 1)
        size = (self.scale, self.roll, self.tilt, self.tilt)
        wrong: Signal = np.tensordot(size * rng.standard_normal(4), basis, axes=1)
        return wrong


@dataclass(frozen=True)
class GazeShifts:
    """The brow follows the eyes a little, up and down, and stays while they do."""

    per_min: float
    brow: float
    move_s: float

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        level = np.zeros(len(times))
        before = 0.0
        for begin in _moments(rng, times, self.per_min):
            now = self.brow * rng.standard_normal()
            level += (now - before) * _eased(times - begin, self.move_s)
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
        for begin in _moments(rng, times, self.per_min):
            half = rng.uniform(*self.length_s) / 2
            level += _eased(times - begin, half) - _eased(times - begin - half, half)
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
        for begin in _moments(rng, times, self.per_min):
            end = begin + rng.uniform(*self.length_s)
            bout = _eased(times - begin, 0.2) - _eased(times - end, 0.2)
            speaking = np.maximum(speaking, bout)
        moved = np.zeros((len(times), len(_NAMES), 2))
        for x, y in zip(self.modes_x_px, self.modes_y_px, strict=True):
            course = speaking * self._course(rng, times)
            moved += course[:, None, None] * np.stack([x, y], axis=1) / _PX
        return moved

    def _course(self, rng: np.random.Generator, times: Signal) -> Signal:
        """A path whose velocity has its power in the band, 1 px per 1/30 s strong (sd).

        The band's edges are those of half the power; beyond, it falls as measured, by 1/f^8.
        """
        step = _step(times)
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
        towards = rng.standard_normal((len(_NAMES), 2)) / np.sqrt(2)
        light = np.sin(2 * np.pi * times / period + phase)
        return np.asarray(self.size * light[:, None, None] * towards)


@dataclass(frozen=True)
class LostFaces:
    """Stretches in which no face is found."""

    per_min: float
    length_s: Range

    def lost(self, rng: np.random.Generator, times: Signal) -> BoolArray:
        """(N,) bool: True where the frame at that time holds no face."""
        lost = np.zeros(len(times), np.bool_)
        for begin in _moments(rng, times, self.per_min):
            end = begin + rng.uniform(*self.length_s)
            lost |= (times >= begin) & (times < end)
        return lost


@dataclass(frozen=True)
class Quantisation:
    """Motion stored in steps, as 8-bit images of flow are."""

    step_px: float

    def rounded(self, values_px: Signal) -> Signal:
        """The values in whole steps."""
        return np.asarray(np.rint(values_px / self.step_px) * self.step_px)


#: Every nuisance by its name in the settings.
NUISANCES: dict[str, type] = {
    "motion_noise": MotionNoise,
    "head_sway": HeadSway,
    "head_turns": HeadTurns,
    "posture": Posture,
    "blinks": Blinks,
    "head_misfit": HeadMisfit,
    "gaze_shifts": GazeShifts,
    "swallowing": Swallowing,
    "talking": Talking,
    "lighting_drift": LightingDrift,
    "lost_faces": LostFaces,
    "quantisation": Quantisation,
}
#: Those that are on unless others are asked for: all that aumer's own features show.
USUAL = tuple(name for name in NUISANCES if name != "quantisation")
#: Those that a face shows which is held still and does not blink.
STILL = ("motion_noise", "head_sway", "gaze_shifts", "lighting_drift")


@lru_cache(maxsize=1)
def settings() -> Mapping[str, Any]:
    """``configs/simulation.toml``."""
    return read_toml(preset("", "simulation"))


def load(names: Iterable[str] = USUAL) -> dict[str, Any]:
    """The nuisances called `names`, with their constants.

    Raises:
        UsageError: there is none of a name.
    """
    made: dict[str, Any] = {}
    for name in names:
        if name not in NUISANCES:
            raise UsageError(
                f"no nuisance {name!r}; there are {', '.join(NUISANCES)}."
                f"{did_you_mean(name, NUISANCES)}"
            )
        constants = settings()["nuisance"][name]
        made[name] = build(NUISANCES[name], constants, f"simulation.toml, nuisance.{name}")
    return made


def _step(times: Signal) -> float:
    return float(times[1] - times[0])


def _moments(rng: np.random.Generator, times: Signal, per_min: float) -> Iterator[float]:
    """Moments of a Poisson process, in order."""
    now = float(times[0])
    while True:
        now += rng.exponential(60 / per_min)
        if now >= times[-1]:
            return
        yield now


def _eased(t: Signal, length: float) -> Signal:
    """From 0 at t = 0 to 1 at t = length as a raised cosine."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(t / length, 0.0, 1.0)))


def _lids(t: Signal, closing: float, opening: float) -> Signal:
    """From 0 at t = 0 to 1 at t = closing, and back to 0 in another `opening` seconds."""
    return _eased(t, closing) - _eased(t - closing, opening)


def _depth_errors(rng: np.random.Generator) -> Signal:
    """How wrong the depth is that stabilisation assumes, by ROI, sd 1: what a turn leaves.

    Brows, nose and mouth go together as measured: four fifths of the variance is the region's.
    """
    error: Signal = np.sqrt(0.2) * rng.standard_normal(len(_NAMES))
    for region in (_BROWS, _NOSE, _MOUTH):
        error[region] += np.sqrt(0.8) * rng.standard_normal()
    return error
