"""All that moves in a film, and its light, as functions of time: what `aumer.simulate.film` shows.

A timeline's expressions, and what else happens to a face and its light, drawn by seed, as large as
a camera sees it. The disturbances of the features (`aumer.simulate.disturbances`) are what the
motion stage leaves of the like, as it was measured, and have constants of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aumer import strict
from aumer.errors import UsageError
from aumer.simulate.anatomy import Action
from aumer.simulate.timeline import Timeline
from aumer.simulate.warp import LIDS, Array

# Papers below are cited from memory (mem): nobody here had them at hand to look the figures up.
#: Standard deviation of the head's place (outer-eye distances, x and y), growth, turn in the plane,
#: yaw and pitch (degrees): the medians over the first 6 s of aumer's shared videos with a face
#: through 6 s (fex_smile_still, talking_neutral, webcam_mixed, smile_512, selfie_smile) of what
#: MediaPipe's landmarks say: .015 .016 .008 .33 .82 1.62.
SWAY_SHIFT, SWAY_GROWTH, SWAY_ROLL_DEG, SWAY_YAW_DEG, SWAY_PITCH_DEG = 0.015, 0.008, 0.33, 0.82, 1.6
#: Band of sway and turns (Hz). It gives a median speed of 0.025 outer-eye distances per
#: second (20 seeds); the five videos have .04 to .10.
SWAY_HZ = (0.05, 0.9)
#: The mean face's depth is not everyone's: its relief is scaled by 1 +- this (one standard
#: deviation): an assumption, about the spread of adults' noses (mem).
DEPTH_SPREAD = 0.11

#: Blinks per minute (Bentivoglio et al. 1997, mem: 17 at rest, 26 in conversation, 4.5
#: reading); the intervals are exponential, an assumption.
BLINKS_PER_MIN = 17.0
#: Least seconds between the beginnings of two blinks: blinks do not overlap.
BLINK_REST_S = 0.6
#: Seconds of a blink's closing, closed and opening phases (VanderWerf et al. 2003, mem:
#: the down phase takes 75 to 100 ms, the up phase about twice that; blinks last 100 to 400 ms).
BLINK_PHASES_S = ((0.07, 0.10), (0.02, 0.06), (0.14, 0.22))

#: Seconds of a fixation (Henderson 2003, mem: 200 to 300 ms at scenes, longer in conversation),
#: standard deviation of gaze (degrees, an assumption) and the saccade's duration (Carpenter 1988,
#: mem: 21 ms + 2.2 ms a degree).
FIXATION_S = (0.3, 2.0)
GAZE_DEG = (4.0, 2.0)
SACCADE_S, SACCADE_S_PER_DEG = 0.021, 0.0022
#: Radius of the eyeball in outer-eye distances: 12 of 90 mm.
EYEBALL = 0.13

#: Bouts of talking a minute and their seconds: short remarks.
TALK_PER_MIN = 5.0
TALK_S = (0.8, 2.5)
#: Seconds of silence, at least, between two bouts and between a bout and an expression: what is
#: said into a smile nobody codes.
TALK_REST_S = 0.3
#: Syllables a second; mouths open and close at 2 to 7 Hz (Chandrasekaran et al. 2009, mem).
SYLLABLE_HZ = (3.0, 6.0)
#: Intensity of jaw drop, lips part and lip pucker or stretch at a loud syllable: together the lips
#: open by about .07 outer-eye distances (6 mm).
TALK_JAW, TALK_PART, TALK_ROUND = 0.5, 0.6, 0.35

#: Relative standard deviation of the light and of its slope over a face width, and its band (Hz):
#: clouds and screens; a webcam's exposure follows anything larger.
LIGHT, LIGHT_SLOPE, LIGHT_HZ = 0.02, 0.02, (0.02, 0.3)


@dataclass(frozen=True)
class Nuisance:
    """How much of everything that is not an expression; 0 is none, 1 is as documented above.

    Attributes:
        sway: head shift, growth and turn in the plane.
        turns: yaw and pitch, with parallax.
        blinks: rate of blinks.
        gaze: size of gaze shifts.
        talking: rate of bouts of talking. None touches an expression, which it would hide.
        light: drift of the light.
        noise: noise of the sensor.
        quality: JPEG quality (1 to 100) of each frame, as in a webcam's MJPEG; `None` for none.
    """

    sway: float = 1.0
    turns: float = 1.0
    blinks: float = 1.0
    gaze: float = 1.0
    talking: float = 1.0
    light: float = 1.0
    noise: float = 1.0
    quality: int | None = None

    def __post_init__(self) -> None:
        for name in ("sway", "turns", "blinks", "gaze", "talking", "light", "noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"nuisance {name} must be >= 0; found {getattr(self, name)}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"quality must lie in 1 to 100; found {self.quality}")

    @classmethod
    def none(cls, **kept: float) -> Nuisance:
        """No nuisance but what is named."""
        off = dict.fromkeys(("sway", "turns", "blinks", "gaze", "talking", "light", "noise"), 0.0)
        return cls(**(off | kept))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Pose:
    """Where the head is: shift (outer-eye distances), growth, and turns in radians."""

    x: float
    y: float
    growth: float
    roll: float
    yaw: float
    pitch: float


class Performance:
    """All that moves, as a function of time: a timeline with the nuisances drawn by seed.

    Raises:
        ConfigError: a negative seed.
    """

    def __init__(self, timeline: Timeline, nuisance: Nuisance, seed: int) -> None:
        strict.require(seed >= 0, "seed", seed, "0 or more")
        self.timeline, self.nuisance = timeline, nuisance
        streams = [np.random.default_rng([seed, stream]) for stream in range(7)]
        duration = timeline.duration_s
        spreads = (SWAY_SHIFT, SWAY_SHIFT, SWAY_GROWTH, math.radians(SWAY_ROLL_DEG))
        self._sway = [_Drift(streams[0], SWAY_HZ, s * nuisance.sway) for s in spreads]
        self._turns = [
            _Drift(streams[1], SWAY_HZ, math.radians(degrees) * nuisance.turns)
            for degrees in (SWAY_YAW_DEG, SWAY_PITCH_DEG)
        ]
        self._light = [
            _Drift(streams[2], LIGHT_HZ, s * nuisance.light) for s in (LIGHT, LIGHT_SLOPE)
        ]
        self.blinks = _draw_blinks(streams[3], duration, BLINKS_PER_MIN * nuisance.blinks)
        self._gaze = _draw_gaze(streams[4], duration, nuisance.gaze)
        busy = [(e.onset_s, e.offset_s) for e in timeline.events]
        self.talking = _draw_bouts(streams[5], duration, TALK_PER_MIN * nuisance.talking, busy)
        self.depth = 1 + DEPTH_SPREAD * float(streams[6].standard_normal())

    def pose(self, t: float) -> Pose:
        return Pose(*(drift(t) for drift in (*self._sway, *self._turns)))

    def actions(self, t: float) -> dict[Action, float]:
        """Intensity of every action at t (s): the timeline's and those of talking."""
        total = self.timeline.intensities(t)
        for bout in self.talking:
            for action, level in bout.actions(t).items():
                total[action] = min(1.0, total.get(action, 0.0) + level)
        return total

    def closure(self, t: float) -> float:
        """How far the lids are closed, in [0, 1], by blinks and by actions 43 and 45."""
        acted = [level for (au, _), level in self.timeline.intensities(t).items() if au in LIDS]
        return max([*acted, *(blink.closure(t) for blink in self.blinks)], default=0.0)

    def gaze(self, t: float) -> tuple[float, float]:
        """The irises' shift (x, y) in outer-eye distances."""
        times, where, lengths = self._gaze
        k = int(np.searchsorted(times, t, side="right")) - 1
        share = _eased((t - times[k]) / lengths[k])
        x, y = where[k] + share * (where[k + 1] - where[k])
        return float(EYEBALL * math.sin(x)), float(EYEBALL * math.sin(y))

    def light(self, t: float) -> tuple[float, float]:
        """Gain of the light at the face's middle, and its change per outer-eye distance in x."""
        return 1 + self._light[0](t), self._light[1](t)


class _Drift:
    """A smooth process of given standard deviation: eight sines with frequencies log-spread over a
    band and amplitudes that fall with frequency, as those of postural sway do. 0 at no instant."""

    def __init__(self, rng: np.random.Generator, band: tuple[float, float], spread: float) -> None:
        self._hz = np.geomspace(*band, 8) * rng.uniform(0.9, 1.1, 8)
        self._phase = rng.uniform(0, 2 * np.pi, 8)
        amplitude = self._hz**-0.5
        self._amplitude = spread * amplitude * math.sqrt(2 / float((amplitude**2).sum()))

    def __call__(self, t: float) -> float:
        return float(self._amplitude @ np.sin(2 * np.pi * self._hz * t + self._phase))


@dataclass(frozen=True)
class Blink:
    """Begins to close at start_s; then closed and open again after the seconds given."""

    start_s: float
    closing_s: float
    closed_s: float
    opening_s: float

    def closure(self, t: float) -> float:
        since = t - self.start_s
        shut = _eased(since / self.closing_s)
        return shut * (1 - _eased((since - self.closing_s - self.closed_s) / self.opening_s))


@dataclass(frozen=True)
class Talk:
    """A bout of talking: syllables at `hz`, each with its loudness and lip shape."""

    start_s: float
    end_s: float
    hz: float
    loudness: tuple[float, ...]
    rounding: tuple[float, ...]

    def actions(self, t: float) -> dict[Action, float]:
        if not self.start_s < t < self.end_s:
            return {}
        position = (t - self.start_s) * self.hz
        k, inside = int(position), position % 1.0
        opening = self.loudness[k] * (0.5 - 0.5 * math.cos(2 * math.pi * inside))
        ends = min(t - self.start_s, self.end_s - t) / 0.15
        shape = self.rounding[k] + _eased(inside) * (self.rounding[k + 1] - self.rounding[k])
        shape *= _eased(ends)
        return {
            (26, "both"): TALK_JAW * opening,
            (25, "both"): TALK_PART * opening,
            (18 if shape > 0 else 20, "both"): TALK_ROUND * abs(shape),
        }


def _eased(share: float) -> float:
    """Raised cosine from 0 (share <= 0) to 1 (share >= 1)."""
    return 0.5 - 0.5 * math.cos(math.pi * min(1.0, max(0.0, share)))


def _draw_blinks(rng: np.random.Generator, duration: float, per_min: float) -> list[Blink]:
    blinks: list[Blink] = []
    while per_min > 0:
        last = blinks[-1].start_s if blinks else -BLINK_REST_S
        start = last + BLINK_REST_S + rng.exponential(max(0.0, 60 / per_min - BLINK_REST_S))
        if start >= duration:
            break
        blinks.append(Blink(start, *(float(rng.uniform(*phase)) for phase in BLINK_PHASES_S)))
    return blinks


def _draw_gaze(
    rng: np.random.Generator, duration: float, size: float
) -> tuple[Array, Array, Array]:
    """Beginnings of saccades (K,), gaze before and after each (K + 1, 2) rad, lengths (K,) s."""
    count = 2 + int(duration / FIXATION_S[0])
    times = np.concatenate([[0.0], np.cumsum(rng.uniform(*FIXATION_S, count - 1))])
    spread = np.radians(GAZE_DEG) * size
    where = np.clip(rng.standard_normal((count + 1, 2)), -2, 2) * spread
    degrees = np.degrees(np.linalg.norm(np.diff(where, axis=0), axis=1))
    return times, where, SACCADE_S + SACCADE_S_PER_DEG * degrees


def _draw_bouts(
    rng: np.random.Generator, duration: float, per_min: float, busy: Sequence[tuple[float, float]]
) -> list[Talk]:
    """Bouts of talking; one that would meet an expression waits until it is over."""
    bouts: list[Talk] = []
    while per_min > 0:
        last = bouts[-1].end_s if bouts else 0.0
        start = last + TALK_REST_S + rng.exponential(60 / per_min)
        hz, length = rng.uniform(*SYLLABLE_HZ), rng.uniform(*TALK_S)
        syllables = max(2, round(length * hz))
        for onset, offset in sorted(busy):
            if start < offset + TALK_REST_S and start + syllables / hz > onset - TALK_REST_S:
                start = offset + TALK_REST_S
        if start + syllables / hz > duration:
            break
        loudness = tuple(rng.uniform(0.3, 1.0, syllables + 1).tolist())
        rounding = tuple(rng.uniform(-1.0, 1.0, syllables + 2).tolist())
        bouts.append(Talk(start, start + syllables / hz, hz, loudness, rounding))
    return bouts
