"""All motion in a video, and its light, as functions of time, for `aumer.simulate.film`.

It has a timeline's expressions, and other motion and light, drawn by seed in the size seen by a
camera. Causes and their curves are those of features (`aumer.simulate.disturbances`); of sway, gaze
and light features show what the motion stage leaves, so that films have constants of their own,
`aumer.simulate.nuisance.of_films`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, replace

import numpy as np

from aumer import strict
from aumer.errors import UsageError
from aumer.simulate import nuisance as catalog
from aumer.simulate.anatomy import Action
from aumer.simulate.disturbances import Move, Signal, Sway, moved
from aumer.simulate.timeline import Timeline
from aumer.simulate.warp import LIDS

#: Seconds between the moments at which the sway of the head is drawn, far below its smoothing.
_STEP_S = 0.01

_SCALED = ("sway", "turns", "blinks", "gaze", "talking", "light", "noise", "aside", "posture")


@dataclass(frozen=True)
class Nuisance:
    """Amount of everything besides expressions; 0 is none, 1 is as documented above.

    Attributes:
        sway: head translation, scale and roll.
        turns: yaw and pitch of a head held still, with parallax.
        aside: rate of head turns aside and back; none by default.
        posture: rate of lasting turns; none by default. A portrait turned by more than about 25
            degrees is distorted, and lasting turns add up.
        blinks: rate of blinks.
        gaze: size of gaze shifts.
        talking: rate of bouts of talking. None overlaps an expression, which it would hide.
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
    aside: float = 0.0
    posture: float = 0.0

    def __post_init__(self) -> None:
        for name in _SCALED:
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"nuisance {name} must be >= 0; found {getattr(self, name)}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"quality must lie in 1 to 100; found {self.quality}")

    @classmethod
    def none(cls, **kept: float) -> Nuisance:
        """No nuisance except those given."""
        off = dict.fromkeys(_SCALED, 0.0)
        return cls(**(off | kept))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Pose:
    """Pose of the head: translation (outer-eye distances), scale, and rotation in radians."""

    x: float
    y: float
    growth: float
    roll: float
    yaw: float
    pitch: float


class Performance:
    """All motion as a function of time: a timeline with nuisances drawn by seed.

    Raises:
        ConfigError: a negative seed.
    """

    def __init__(self, timeline: Timeline, nuisance: Nuisance, seed: int) -> None:
        strict.require(seed >= 0, "seed", seed, "0 or more")
        self.timeline, self.nuisance = timeline, nuisance
        streams = [np.random.default_rng([seed, stream]) for stream in range(9)]
        duration = timeline.duration_s
        seen = catalog.of_films()
        self._sway = _Held(streams[0], seen.sway, nuisance.sway, duration)
        self._turns = _Held(streams[1], seen.turns, nuisance.turns, duration)
        light = replace(seen.light, size=seen.light.size * nuisance.light)
        self._light = [light.drawn(streams[2]) for _ in range(2)]
        lids = catalog.load(["blinks"])["blinks"]
        self.blinks = replace(lids, per_min=lids.per_min * nuisance.blinks).drawn(
            streams[3], duration
        )
        gaze = replace(seen.gaze, spread=tuple(s * nuisance.gaze for s in seen.gaze.spread))
        self._saccades = list(gaze.moves(streams[4], np.array([0.0, duration])))
        self._saccade_s = [saccade.start_s for saccade in self._saccades]
        by = np.array([saccade.by for saccade in self._saccades]).reshape(-1, len(gaze.spread))
        #: (K + 1, 2) rad: the direction before the first saccade and after each.
        self._places = np.concatenate([np.zeros((1, by.shape[1])), np.cumsum(by, axis=0)])
        self._eyeball = seen.eyeball
        self._head: list[Move] = []
        for name, rate, stream in (
            ("head_turns", nuisance.aside, streams[7]),
            ("posture", nuisance.posture, streams[8]),
        ):
            turning = catalog.load([name])[name]
            turning = replace(turning, per_min=turning.per_min * rate)
            self._head += turning.moves(stream, np.array([0.0, duration]))
        busy = [(e.onset_s, e.offset_s) for e in timeline.events]
        remarks = catalog.load(["remarks"])["remarks"]
        self.talking = replace(remarks, per_min=seen.remarks_per_min * nuisance.talking).drawn(
            streams[5], duration, busy
        )
        self.depth = 1 + seen.depth_spread * float(streams[6].standard_normal())

    def pose(self, t: float) -> Pose:
        yaw, pitch = moved(self._head, t, 2)
        x, y, growth, roll = self._sway.at(t)
        held_yaw, held_pitch = self._turns.at(t)
        return Pose(x, y, growth, roll, held_yaw + float(yaw), held_pitch + float(pitch))

    def actions(self, t: float) -> dict[Action, float]:
        """Intensity of every action at t (s), from the timeline and from talking."""
        total = self.timeline.intensities(t)
        for bout in self.talking:
            for action, level in bout.actions(t).items():
                total[action] = min(1.0, total.get(action, 0.0) + level)
        return total

    def closure(self, t: float) -> float:
        """Closure of the lids in [0, 1], from blinks and from AU 43 and 45."""
        acted = [level for (au, _), level in self.timeline.intensities(t).items() if au in LIDS]
        under_way = (b for b in self.blinks if b.start_s < t < b.end_s)
        return max([*acted, *(float(blink.closure(t)) for blink in under_way)], default=0.0)

    def gaze(self, t: float) -> tuple[float, float]:
        """The irises' shift (x, y) in outer-eye distances."""
        x, y = self._places[0]
        if begun := bisect_right(self._saccade_s, t):  # saccades never overlap
            x, y = self._places[begun - 1] + self._saccades[begun - 1].at(t)
        return float(self._eyeball * math.sin(x)), float(self._eyeball * math.sin(y))

    def light(self, t: float) -> tuple[float, float]:
        """Gain of the light at the face's middle, and its change per outer-eye distance in x."""
        gain, slope = (float(light.at(t)) for light in self._light)
        return 1 + gain, slope


class _Held:
    """The sway of a head held still, at any time of a film."""

    def __init__(
        self, rng: np.random.Generator, sway: Sway, amount: float, duration_s: float
    ) -> None:
        self._times: Signal = np.arange(math.ceil(duration_s / _STEP_S) + 2, dtype=float) * _STEP_S
        self._away = amount * sway.drawn(rng, self._times)

    def at(self, t: float) -> list[float]:
        return [float(np.interp(t, self._times, course)) for course in self._away.T]
