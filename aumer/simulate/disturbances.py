"""What happens to a face that shows no expression: each disturbance drawn once, as curves of time.

The curves are shown in two ways: as displacements of the ROIs (`path`, for the features) and in
pixels (`aumer.simulate.performance`, for films). What measuring adds is in `nuisance`, as are the
names. Constants, with their sources, are in ``configs/simulation.toml``.

Draws follow one another in a fixed order, and what a film needs beyond the ROIs comes last: the
features of a seed stay as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
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
class HeadUnrest:
    """The unrest of a head with all that a camera sees of it, and that stabilisation takes off.

    Sines with amplitudes that fall with frequency, as those of postural sway do.

    Attributes:
        shift: sd along x and along y, outer-eye distances.
        growth: sd of a factor's distance from 1.
        roll, yaw, pitch: sd, radians.
    """

    shift: float
    growth: float
    roll: float
    yaw: float
    pitch: float
    band_hz: Range

    def in_plane(self, rng: np.random.Generator, times: Signal) -> Signal:
        """Shift x and y, growth and roll: (N, 4)."""
        sizes = (self.shift, self.shift, self.growth, self.roll)
        return np.stack([size * self._course(rng, times) for size in sizes], axis=1)

    def turn(self, rng: np.random.Generator, times: Signal) -> Signal:
        """Yaw and pitch: (N, 2)."""
        sizes = (self.yaw, self.pitch)
        return np.stack([size * self._course(rng, times) for size in sizes], axis=1)

    def _course(self, rng: np.random.Generator, times: Signal) -> Signal:
        """(N,) of sd 1 over a long time."""
        hz = np.geomspace(*self.band_hz, 8) * rng.uniform(0.9, 1.1, 8)
        phase = rng.uniform(0, 2 * np.pi, 8)
        amplitude = hz**-0.5 * np.sqrt(2 / (1 / hz).sum())
        course = np.zeros(len(times))
        for one in zip(amplitude, hz, phase, strict=True):
            course += one[0] * np.sin(2 * np.pi * one[1] * times + one[2])
        return course


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
    """Eyes that look elsewhere and stay. The brow follows them a little, up and down.

    Attributes:
        eyes: sd of the gaze sideways and up or down, radians.
    """

    per_min: float
    brow: float
    move_s: float
    eyes: tuple[float, float]

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        begins, height, _ = self._drawn(rng, times)
        level = self._course(times, begins, [self.brow * one for one in height])
        moved = roi_displacement((1, "both")) + roi_displacement((2, "both"))
        return np.asarray(level[:, None, None] * moved)

    def gaze(self, rng: np.random.Generator, times: Signal) -> Signal:
        """Where the eyes look in the same draw of `path`, sideways and up: (N, 2) radians."""
        begins, height, side = self._drawn(rng, times)
        x, y = (
            self._course(times, begins, [size * one for one in drawn])
            for size, drawn in zip(self.eyes, (side, height), strict=True)
        )
        return np.stack([x, y], axis=1)

    def _drawn(
        self, rng: np.random.Generator, times: Signal
    ) -> tuple[list[float], list[float], list[float]]:
        """When the eyes move, and how high and how far aside they look then, sd 1."""
        begins, height = [], []
        for begin in moments(rng, times, self.per_min):
            begins.append(begin)
            height.append(float(rng.standard_normal()))
        return begins, height, rng.standard_normal(len(begins)).tolist()

    def _course(self, times: Signal, begins: list[float], levels: list[float]) -> Signal:
        course = np.zeros(len(times))
        before = 0.0
        for begin, now in zip(begins, levels, strict=True):
            course += (now - before) * eased(times - begin, self.move_s)
            before = now
        return course


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
        bouts, courses = self.drawn(rng, times)
        speaking = self.speaking(bouts, times)
        moved = np.zeros((len(times), len(NAMES), 2))
        for one, x, y in zip(courses, self.modes_x_px, self.modes_y_px, strict=True):
            course = speaking * one
            moved += course[:, None, None] * np.stack([x, y], axis=1) / _PX
        return moved

    def drawn(
        self, rng: np.random.Generator, times: Signal
    ) -> tuple[list[tuple[float, float]], list[Signal]]:
        """Begin and end of each bout in seconds, and the course (N,) of each mode all through."""
        bouts = []
        for begin in moments(rng, times, self.per_min):
            bouts.append((begin, begin + float(rng.uniform(*self.length_s))))
        return bouts, [self._course(rng, times) for _ in self.modes_x_px]

    @staticmethod
    def speaking(bouts: Sequence[tuple[float, float]], times: Signal) -> Signal:
        """1 within the bouts, 0 without: (N,)."""
        speaking = np.zeros(len(times))
        for begin, end in bouts:
            bout = eased(times - begin, 0.2) - eased(times - end, 0.2)
            speaking = np.maximum(speaking, bout)
        return speaking

    def mouth(self, courses: Sequence[Signal]) -> dict[Action, Signal]:
        """What pixels show of the modes: lips that open as far as the ROI of the lower one goes
        down, and then close again; and corners as far in or out as theirs."""
        lip, right, left = (NAMES.index(name) for name in ("lip_lower", "mouth_r", "mouth_l"))
        lower = courses[0] * self.modes_y_px[0][lip] / _PX
        inwards = courses[1] * (self.modes_x_px[1][right] - self.modes_x_px[1][left]) / 2 / _PX
        jaw, lips = (roi_displacement((au, "both"))[lip, 1] for au in (26, 25))
        opening = np.clip(lower / (jaw + lips), 0, 1)
        return {
            (26, "both"): opening,
            (25, "both"): opening,
            (18, "both"): np.clip(inwards / roi_displacement((18, "both"))[right, 0], 0, 1),
            (20, "both"): np.clip(inwards / roi_displacement((20, "both"))[right, 0], 0, 1),
        }

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
    """Slow changes of light, which pass for motion, each ROI in its own direction.

    Attributes:
        size: of that motion, outer-eye distances.
        gain, slope: sd of the light's relative strength, and of its change per outer-eye distance
            along x.
    """

    size: float
    period_s: Range
    gain: float
    slope: float

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        light, towards = self._drawn(rng, times)
        return np.asarray(self.size * light[:, None, None] * towards)

    def light(self, rng: np.random.Generator, times: Signal) -> Signal:
        """How much stronger than usual it is in the same draw of `path`, and its slope: (N, 2)."""
        light, _ = self._drawn(rng, times)
        slope, _ = self._drawn(rng, times)
        return np.asarray(np.sqrt(2) * np.stack([self.gain * light, self.slope * slope], axis=1))

    def _drawn(self, rng: np.random.Generator, times: Signal) -> tuple[Signal, Signal]:
        """A course (N,) in [-1, 1], and where it seems to move each ROI (12, 2), sd 1."""
        period, phase = rng.uniform(*self.period_s), rng.uniform(0, 2 * np.pi)
        towards = rng.standard_normal((len(NAMES), 2)) / np.sqrt(2)
        return np.sin(2 * np.pi * times / period + phase), towards


def step_of(times: Signal) -> float:
    """Seconds from one time to the next."""
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
