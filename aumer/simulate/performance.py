"""All motion in a video, and its light, as functions of time, for `aumer.simulate.film`.

It has a timeline's expressions, and other motion and light, drawn by seed in the size seen by a
camera. Blinks, remarks, head turns and posture are drawn as for features, and gaze shifts use the
same moves (`aumer.simulate.disturbances`). Features have separate constants for sway, gaze and
light, which were measured as residuals of the motion stage.
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
from aumer.simulate.disturbances import Move, moved
from aumer.simulate.timeline import Timeline
from aumer.simulate.warp import LIDS, Array

# Papers below are cited from memory (mem); their figures were not looked up.
#: Standard deviation of the head's position (outer-eye distances, x and y), scale, roll, yaw and
#: pitch (degrees): medians over the first 6 s of aumer's shared videos with a face throughout
#: (fex_smile_still, talking_neutral, webcam_mixed, smile_512, selfie_smile), from MediaPipe's
#: landmarks: .015 .016 .008 .33 .82 1.62.
SWAY_SHIFT, SWAY_GROWTH, SWAY_ROLL_DEG, SWAY_YAW_DEG, SWAY_PITCH_DEG = 0.015, 0.008, 0.33, 0.82, 1.6
#: Band of sway and turns (Hz). The median speed is 0.025 outer-eye distances per second (20 seeds),
#: compared with .04 to .10 in the five videos.
SWAY_HZ = (0.05, 0.9)
#: Relative standard deviation of the depth of faces, by which the mean face's relief is scaled: an
#: assumption, about the spread of adults' noses (mem).
DEPTH_SPREAD = 0.11

#: Remarks per minute: more than in features (``configs/simulation.toml``), so that short videos
#: have some.
REMARKS_PER_MIN = 5.0

#: Seconds of a fixation (Henderson 2003, mem: 200 to 300 ms at scenes, longer in conversation),
#: standard deviation of gaze (degrees, an assumption) and the saccade's duration (Carpenter 1988,
#: mem: 21 ms + 2.2 ms a degree).
FIXATION_S = (0.3, 2.0)
GAZE_DEG = (4.0, 2.0)
SACCADE_S, SACCADE_S_PER_DEG = 0.021, 0.0022
#: Radius of the eyeball in outer-eye distances: 12 of 90 mm.
EYEBALL = 0.13

#: Relative standard deviation of the light and of its gradient over a face width, and its band
#: (Hz): clouds and screens; a webcam's exposure corrects larger changes.
LIGHT, LIGHT_SLOPE, LIGHT_HZ = 0.02, 0.02, (0.02, 0.3)


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
        spreads = (SWAY_SHIFT, SWAY_SHIFT, SWAY_GROWTH, math.radians(SWAY_ROLL_DEG))
        self._sway = [_Drift(streams[0], SWAY_HZ, s * nuisance.sway) for s in spreads]
        self._turns = [
            _Drift(streams[1], SWAY_HZ, math.radians(degrees) * nuisance.turns)
            for degrees in (SWAY_YAW_DEG, SWAY_PITCH_DEG)
        ]
        self._light = [
            _Drift(streams[2], LIGHT_HZ, s * nuisance.light) for s in (LIGHT, LIGHT_SLOPE)
        ]
        lids = catalog.load(["blinks"])["blinks"]
        self.blinks = replace(lids, per_min=lids.per_min * nuisance.blinks).drawn(
            streams[3], duration
        )
        self._places, self._saccades = _draw_gaze(streams[4], duration, nuisance.gaze)
        self._saccade_s = [saccade.start_s for saccade in self._saccades]
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
        self.talking = replace(remarks, per_min=REMARKS_PER_MIN * nuisance.talking).drawn(
            streams[5], duration, busy
        )
        self.depth = 1 + DEPTH_SPREAD * float(streams[6].standard_normal())

    def pose(self, t: float) -> Pose:
        yaw, pitch = moved(self._head, t, 2)
        x, y, growth, roll = (drift(t) for drift in self._sway)
        held_yaw, held_pitch = (drift(t) for drift in self._turns)
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
        k = max(0, bisect_right(self._saccade_s, t) - 1)  # saccades never overlap
        x, y = self._places[k] + self._saccades[k].at(t)
        return float(EYEBALL * math.sin(x)), float(EYEBALL * math.sin(y))

    def light(self, t: float) -> tuple[float, float]:
        """Gain of the light at the face's middle, and its change per outer-eye distance in x."""
        return 1 + self._light[0](t), self._light[1](t)


class _Drift:
    """A smooth process of given standard deviation: eight sines with log-spaced frequencies in a
    band and amplitudes that fall with frequency, as in postural sway. Phases are random.
    """

    def __init__(self, rng: np.random.Generator, band: tuple[float, float], spread: float) -> None:
        self._hz = np.geomspace(*band, 8) * rng.uniform(0.9, 1.1, 8)
        self._phase = rng.uniform(0, 2 * np.pi, 8)
        amplitude = self._hz**-0.5
        self._amplitude = spread * amplitude * math.sqrt(2 / float((amplitude**2).sum()))

    def __call__(self, t: float) -> float:
        return float(self._amplitude @ np.sin(2 * np.pi * self._hz * t + self._phase))


def _draw_gaze(rng: np.random.Generator, duration: float, size: float) -> tuple[Array, list[Move]]:
    """Gaze directions of fixations (K + 1, 2) rad, and the saccades between them."""
    count = 2 + int(duration / FIXATION_S[0])
    times = np.concatenate([[0.0], np.cumsum(rng.uniform(*FIXATION_S, count - 1))])
    spread = np.radians(GAZE_DEG) * size
    where = np.clip(rng.standard_normal((count + 1, 2)), -2, 2) * spread
    by = np.diff(where, axis=0)
    lengths = SACCADE_S + SACCADE_S_PER_DEG * np.degrees(np.linalg.norm(by, axis=1))
    return where, [Move(float(t), float(s), b) for t, s, b in zip(times, lengths, by, strict=True)]
