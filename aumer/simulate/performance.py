"""All that moves in a film, and its light, as functions of time.

A timeline's expressions, and the disturbances of `aumer.simulate.disturbances` as pixels show them:
a head with its shift and turns, lids, eyes, a mouth that talks. They are drawn on a grid of their
own, so that a performance is the same at every frame rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from aumer.errors import UsageError
from aumer.simulate import nuisance as catalogue
from aumer.simulate.anatomy import Action
from aumer.simulate.disturbances import (
    Blinks,
    HeadUnrest,
    Signal,
    Talking,
)
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.warp import LIDS
from aumer.strict import build

Rated = TypeVar("Rated", Blinks, Talking)

#: Times per second that a disturbance is drawn at; between them it goes straight. The quickest, a
#: lid that closes in .1 s, is met to .002 of its way.
_HZ = 200.0


@dataclass(frozen=True)
class Nuisance:
    """How much of everything that is not an expression; 0 is none, and 1 is what
    ``configs/simulation.toml`` says.

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


@dataclass(frozen=True)
class FilmConstants:
    """What of ``configs/simulation.toml`` films alone show; see there."""

    depth_spread: float
    eyeball: float
    talk_rest_s: float
    noise_read: float
    noise_gain: float
    head: HeadUnrest

    @classmethod
    def load(cls) -> FilmConstants:
        """Those of the file."""
        return build(cls, catalogue.settings()["film"], "simulation.toml, film")


class Performance:
    """All that moves, as a function of time: a timeline with the nuisances drawn by seed.

    Attributes:
        depth: factor of the mean face's relief.
        talking: begin and end of each bout of talking, seconds.
    """

    def __init__(self, timeline: Timeline, nuisance: Nuisance, seed: int) -> None:
        self.timeline, self.nuisance = timeline, nuisance
        self.constants = FilmConstants.load()
        # A stream for each, so that switching one off changes no other.
        streams = [np.random.default_rng([seed, stream]) for stream in range(7)]
        names = ("blinks", "gaze_shifts", "talking", "lighting_drift")
        blinks, gaze, talking, light = (catalogue.load([name])[name] for name in names)
        times = np.arange(math.ceil(timeline.duration_s * _HZ) + 2) / _HZ
        self._times = times
        head = self.constants.head
        self._pose = np.concatenate(
            [
                nuisance.sway * head.in_plane(streams[0], times),
                nuisance.turns * head.turn(streams[1], times),
            ],
            axis=1,
        )
        self._light = nuisance.light * light.light(streams[2], times)
        often = _as_often(blinks, nuisance.blinks)
        self._lids = often.lids(streams[3], times) if often else None
        self._gaze = nuisance.gaze * gaze.gaze(streams[4], times)
        self.talking: tuple[tuple[float, float], ...] = ()
        self._mouth: dict[Action, Signal] = {}
        if speech := _as_often(talking, nuisance.talking):
            bouts, courses = speech.drawn(streams[5], times)
            self.talking = _apart(bouts, timeline, self.constants.talk_rest_s)
            speaking = speech.speaking(self.talking, times)
            self._mouth = {a: speaking * level for a, level in speech.mouth(courses).items()}
        self.depth = 1 + self.constants.depth_spread * float(streams[6].standard_normal())

    def _at(self, t: float, course: Signal) -> float:
        return float(np.interp(t, self._times, course))

    def pose(self, t: float) -> Pose:
        """Where the head is at t (s)."""
        return Pose(*(self._at(t, course) for course in self._pose.T))

    def actions(self, t: float) -> dict[Action, float]:
        """Intensity of every action at t (s): the timeline's and those of talking."""
        total = self.timeline.intensities(t)
        for action, course in self._mouth.items():
            if level := self._at(t, course):
                total[action] = min(1.0, total.get(action, 0.0) + level)
        return total

    def closure(self, t: float) -> float:
        """How far the lids are closed, in [0, 1], by blinks and by actions 43 and 45."""
        acted = [level for (au, _), level in self.timeline.intensities(t).items() if au in LIDS]
        blinked = 0.0 if self._lids is None else self._at(t, self._lids)
        return max([*acted, blinked])

    def gaze(self, t: float) -> tuple[float, float]:
        """The irises' shift (x, y) in outer-eye distances."""
        x, y = (self.constants.eyeball * math.sin(self._at(t, c)) for c in self._gaze.T)
        return x, y

    def light(self, t: float) -> tuple[float, float]:
        """Gain of the light at the face's middle, and its change per outer-eye distance in x."""
        gain, slope = (self._at(t, course) for course in self._light.T)
        return 1 + gain, slope


def _as_often(cause: Rated, times: float) -> Rated | None:
    """The disturbance that many times as often; `None` for never."""
    return replace(cause, per_min=cause.per_min * times) if times else None


def _apart(
    bouts: Sequence[tuple[float, float]], timeline: Timeline, rest_s: float
) -> tuple[tuple[float, float], ...]:
    """The bouts that touch no expression: it would be hidden, and nobody could code it."""

    def meets(bout: tuple[float, float], event: Event) -> bool:
        return bout[0] < event.offset_s + rest_s and bout[1] + rest_s > event.onset_s

    return tuple(b for b in bouts if not any(meets(b, event) for event in timeline.events))
