"""A face in known motion, filmed: a real portrait warped by a timeline of expressions.

Motion is a continuous function of time, so that one performance can be filmed at any frame rate
and size. Film coordinates are pixels at the instant when the head is at rest, x to the right and y
down. A point p of the skin is carried to

    G(p) = p + d(p) + w(p) [head(p + d(p), depth(p)) - p - d(p)]

where d is the expression (`aumer.simulate.anatomy` on this face) and w is 1 on the head and fades
to 0 on what stands behind it. A frame shows at q the portrait's colour at the p with G(p) = q, met
to .002 px. Three things a rubber sheet cannot do are done apart: the lips are two sheets, which
part over the inside of a mouth; a blink unfolds the upper lid over the eye; the eyeball stays with
the skull while the skin round it moves, and turns.

The default portrait is scikit-image's astronaut (NASA, public domain), who smiles at rest: her
smiles go on from there.
"""

from __future__ import annotations

import csv
import io
import math
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from aumer.errors import UsageError
from aumer.face.mean_face import MEAN_FACE
from aumer.files import StrPath, atomic_write, check_target
from aumer.simulate.anatomy import Action
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.warp import (
    LIDS,
    Array,
    Curves,
    Face,
    Points,
    Portrait,
    sample,
    soft,
    spline_coefficients,
)
from aumer.types import Expression, FloatArray, ImageArray
from aumer.video.writer import VideoFile, codec_for

Key = TypeVar("Key")

# Papers below are cited from memory (mem): nobody here had them at hand to look the figures up.
# -- nuisance --------------------------------------------------------------------------------------

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

#: Noise of the sensor: variance read^2 + gain * level, in grey levels (Foi et al. 2008, Poisson and
#: Gauss); at mid grey 1.8 grey levels, assumed for a webcam indoors.
NOISE_READ, NOISE_GAIN = 0.8, 0.02


#: Shifts of the sheet of noise, px each way.
_NOISE_ROOM = 512


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
class _Pose:
    """Where the head is: shift (outer-eye distances), growth, and turns in radians."""

    x: float
    y: float
    growth: float
    roll: float
    yaw: float
    pitch: float


class Performance:
    """All that moves, as a function of time: a timeline with the nuisances drawn by seed."""

    def __init__(self, timeline: Timeline, nuisance: Nuisance, seed: int) -> None:
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

    def pose(self, t: float) -> _Pose:
        return _Pose(*(drift(t) for drift in (*self._sway, *self._turns)))

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


# -- filming ---------------------------------------------------------------------------------------


class Film:
    """One performance of one face: its picture and its true motion at any instant.

    Args:
        timeline: the expressions.
        portrait, size: see `Face`.
        nuisance: what else moves, shines and rustles.
        seed: draws the nuisances; the expressions are the timeline's alone.

    Raises:
        UsageError, NoFaceError: as `Face`.
    """

    def __init__(
        self,
        timeline: Timeline,
        *,
        portrait: Portrait = None,
        size: tuple[int, int] = (640, 480),
        nuisance: Nuisance | None = None,
        seed: int = 0,
        face: Face | None = None,
    ) -> None:
        self.nuisance = nuisance or Nuisance()
        self.performance = Performance(timeline, self.nuisance, seed)
        self.face = face or Face(portrait, size)
        self._seed = seed
        self._grain: FloatArray | None = None
        width, height = self.face.size
        grid = np.meshgrid(np.arange(width), np.arange(height))
        self._pixels: FloatArray = np.stack(grid, axis=-1).astype(np.float32)

    def frame(self, t: float, index: int = 0) -> ImageArray:
        """The picture at t (s): (H, W, 3) uint8 RGB. `index` chooses the noise."""
        face, lattice = self.face, self.face.lattice
        skin, lower, above_by, below_by = self._sheets(t)
        box = lattice.pixels(face.jaw)
        skin[box] = np.where((below_by > above_by)[..., None], lower, skin[box])
        # Half a pixel more than a soft edge has: lips that touch let nothing through.
        cover = soft(np.maximum(above_by, below_by) + 0.5)[..., None].astype(np.float32)
        for eye in face.eyes:
            part = self._around(eye)
            skin[part] += face.lid(skin[part], self.performance.closure(t))
            skin[part] += face.look(skin[part], self.performance.gaze(t))
        image = sample(face.texture, face.texels(skin))
        behind = sample(face.inside, face.texels(self._skull(self._pixels[box], t)))
        image[box] = behind + cover * (image[box] - behind)
        return self._develop(image, t, index)

    def forward(self, t: float) -> tuple[Array, Array]:
        """G(p) - p at the lattice's nodes, for the upper sheet and the lower: (Ny, Nx, 2) px."""
        face = self.face
        moved = [face.lattice.nodes + d for d in face.expression(self.performance.actions(t))]
        carried = [m + face.head[..., None] * (self._carry(m, face.depth, t) - m) for m in moved]
        return carried[0] - face.lattice.nodes, carried[1] - face.lattice.nodes

    def motion(self, t: float, later: float) -> FloatArray:
        """True motion of what each pixel shows at t until `later`: (H, W, 2) float32 px.

        Of the skin: lids, eyeballs and what is behind the lips are left out.
        """
        face, lattice = self.face, self.face.lattice
        skin, lower, above_by, below_by = self._sheets(t)
        upper, below = map(spline_coefficients, self.forward(later))
        there = skin + lattice.at(upper, skin.reshape(-1, 2)).reshape(skin.shape)
        apart = lower + lattice.at(below, lower.reshape(-1, 2)).reshape(lower.shape)
        box = lattice.pixels(face.jaw)
        there[box] = np.where((below_by > above_by)[..., None], apart, there[box])
        return np.asarray(there - self._pixels, np.float32)

    def _sheets(self, t: float) -> tuple[FloatArray, FloatArray, Array, Array]:
        """Where in the portrait the pixels' skin is.

        Shapes:
            the upper sheet's (H, W, 2) px; in the pixels of `Face.jaw` the lower sheet's
            (h, w, 2) px; and how far each lies inside its own edge of the lips, (h, w) px. The
            lower sheet is the one to see where it lies further inside.
        """
        face, lattice = self.face, self.face.lattice
        upper, lower = self.forward(t)
        box = lattice.pixels(face.jaw)
        skin, below = lattice.inverse(upper), lattice.inverse(lower, face.jaw)
        u, v = face.mouth.frame(skin[box])
        above_by = face.mouth.upper(u) - v
        u, v = face.mouth.frame(below)
        # Beyond the corners there is one sheet.
        below_by = np.where(np.abs(u) < 1, v - face.mouth.lower(u), -above_by)
        return skin, below, above_by, below_by

    def landmarks(self, t: float) -> Array:
        """Where the portrait's (68, 2) landmarks are at t, px; lips go with their own sheet."""
        face = self.face
        rest = face.landmarks
        upper, below = (
            face.lattice.at(spline_coefficients(sheet), rest) for sheet in self.forward(t)
        )
        lower = np.zeros(68, bool)
        lower[[*range(4, 13), *range(55, 60), 65, 66, 67]] = True
        return np.asarray(rest + np.where(lower[:, None], below, upper))

    def _carry(self, points: Points, depth: Array | float, t: float) -> Array:
        """Where the head's pose takes points (..., 2) px of given depth (px)."""
        face, pose = self.face, self.performance.pose(t)
        x, y = np.moveaxis(points - face.centre, -1, 0)
        z = depth * self.performance.depth
        x, z = (
            x * math.cos(pose.yaw) - z * math.sin(pose.yaw),
            (x * math.sin(pose.yaw) + z * math.cos(pose.yaw)),
        )
        y = y * math.cos(pose.pitch) - z * math.sin(pose.pitch)
        cos, sin = ((1 + pose.growth) * f(pose.roll) for f in (math.cos, math.sin))
        shift = face.centre + face.eye * np.array([pose.x, pose.y])
        carried: Array = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1) + shift
        return carried

    def _skull(self, points: Points, t: float) -> Array:
        """Where at rest what the head carries to `points` (the mouth's inside) belongs."""
        depth = float(MEAN_FACE[60:68, 2].mean()) * self.face.eye
        # At one depth the pose is affine: three points tell it.
        corners = self.face.centre + np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
        o, a, b = self._carry(corners, depth, t)
        linear = np.column_stack([a - o, b - o])
        return np.asarray((points - o) @ np.linalg.inv(linear).T + self.face.centre)

    def _around(self, eye: Curves) -> tuple[slice, slice]:
        """The pixels an eye and its lid may cover while the head sways."""
        reach = 2.4 * eye.half + 0.1 * self.face.eye
        pose = self.face.size
        x, y = eye.centre
        rows = slice(int(max(0, y - reach)), int(min(pose[1], y + reach)))
        return rows, slice(int(max(0, x - reach)), int(min(pose[0], x + reach)))

    def _develop(self, image: FloatArray, t: float, index: int) -> ImageArray:
        """Light, noise, 8 bits, compression."""
        gain, slope = self.performance.light(t)
        if gain != 1 or slope != 0:
            across = (np.arange(self.face.size[0]) - self.face.centre[0]) / self.face.eye
            image = image * (gain + slope * np.clip(across, -2, 2))[:, None].astype(np.float32)
        if self.nuisance.noise:
            variance = np.maximum(image, 0) * np.float32(NOISE_GAIN) + np.float32(NOISE_READ**2)
            image = image + np.sqrt(variance) * self._noise(index)
        developed = np.asarray(np.clip(np.rint(image), 0, 255), np.uint8)
        if self.nuisance.quality is None:
            return developed
        parameters = [cv2.IMWRITE_JPEG_QUALITY, self.nuisance.quality]
        _, packed = cv2.imencode(".jpg", developed[..., ::-1], parameters)
        return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1], np.uint8)

    def _noise(self, index: int) -> FloatArray:
        """(H, W, 3) of the nuisance's spread: a window of one sheet of noise, shifted at random.

        Drawing every frame afresh would take longer than warping the face. A million windows and
        turns: neighbouring frames never share one in practice.
        """
        if self._grain is None:
            rng = np.random.default_rng([self._seed, 98])
            width, height = self.face.size
            shape = (height + _NOISE_ROOM, width + _NOISE_ROOM, 3)
            self._grain = rng.standard_normal(shape, np.float32) * np.float32(self.nuisance.noise)
        rng = np.random.default_rng([self._seed, 99, index])
        y, x = rng.integers(0, _NOISE_ROOM, 2)
        window = self._grain[y : y + self.face.size[1], x : x + self.face.size[0]]
        return np.asarray(window[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))])


def simulate_video(
    timeline: Timeline,
    *,
    portrait: Portrait = None,
    fps: float = 30.0,
    size: tuple[int, int] = (640, 480),
    nuisance: Nuisance | None = None,
    seed: int = 0,
) -> Iterator[ImageArray]:
    """Film a performance: (H, W, 3) uint8 RGB frames, one after another; frame k shows t = k / fps.

    A performance is the same at every frame rate and size: only noise differs.

    Args:
        timeline: the expressions.
        portrait: a neutral, frontal face: image file, (H, W, 3) uint8 RGB, or `None` for
            scikit-image's astronaut (NASA, public domain).
        fps: frames per second; there are round(duration_s x fps) frames.
        size: width and height, px, even.
        nuisance: what else moves, shines and rustles; by default all of it.
        seed: draws the nuisances.

    Raises:
        UsageError: an argument cannot be used.
        NoFaceError: no face is found in the portrait.
    """
    count = frame_count(timeline, fps)
    film = Film(timeline, portrait=portrait, size=size, nuisance=nuisance, seed=seed)
    return _shoot(film, fps, count)


def frame_count(timeline: Timeline, fps: float) -> int:
    """Frames of a film of `timeline`.

    Raises:
        UsageError: `fps` is not positive, or there would be no frame.
    """
    if not 0 < fps < math.inf:
        raise UsageError(f"fps must be > 0; found {fps}")
    count = round(timeline.duration_s * fps)
    if count < 1:
        raise UsageError(f"{timeline.duration_s:g} s at {fps:g} frames per second hold no frame")
    return count


def _shoot(film: Film, fps: float, count: int) -> Iterator[ImageArray]:
    return developed(partial(film.frame, k / fps, k) for k in range(count))


def developed(jobs: Iterable[Callable[[], ImageArray]]) -> Iterator[ImageArray]:
    """What the jobs give, in their order; some are done ahead, side by side."""
    workers = max(1, min(4, os.cpu_count() or 1))
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[ImageArray]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(job))
                if len(waiting) > workers + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # the caller stopped early
                future.cancel()


# -- files -----------------------------------------------------------------------------------------

#: Columns of a truth table: those of aumer's shared ``videos/annotations.csv``. Frames are 0-based
#: and closed; an AU made on one side has an L or R (the subject's) before it; intensity in (0, 1].
TRUTH_COLUMNS = (
    "file", "fps", "n_frames", "event", "onset", "apex", "offset", "kind", "au", "confidence",
    "note", "onset_s", "apex_s", "release_s", "offset_s", "intensity",
)  # fmt: skip
#: One more where it is known: how far the ROI moves that moves furthest, in outer-eye distances.
DISPLACEMENT = "displacement"


@dataclass(frozen=True, eq=False)
class Shot:
    """A film that can be written: its truth, and its frames once they are asked for.

    Attributes:
        fps, size: frames per second; width and height, px.
        frames: begins a pass over the (H, W, 3) uint8 RGB frames, `frame_count` of them.
        displacements: of each event, at its apex, how far the ROI moves that moves furthest, in
            outer-eye distances; `None` where it is not known.
        note: what the truth says of the film.
    """

    timeline: Timeline
    fps: float
    size: tuple[int, int]
    frames: Callable[[], Iterator[ImageArray]]
    displacements: tuple[float, ...] | None = None
    note: str = "simulated"

    @property
    def count(self) -> int:
        """Frames of the film."""
        return frame_count(self.timeline, self.fps)


def write_video(
    path: StrPath,
    timeline: Timeline,
    *,
    portrait: Portrait = None,
    fps: float = 30.0,
    size: tuple[int, int] = (640, 480),
    nuisance: Nuisance | None = None,
    seed: int = 0,
    codec: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Film a performance into a file, whole or not at all; see `simulate_video`.

    Args:
        path: .mp4, .mov, .mkv or .avi.
        codec: one of `aumer.video.writer.CODECS`; by default the first that the container holds.
            For stronger compression lower ``nuisance.quality``, which every frame goes through
            first.
        overwrite: replace an existing file.
        progress: called with the number of frames written and how many there will be.

    Raises:
        UsageError: an argument cannot be used, the file exists, or it cannot be written.
        NoFaceError: no face is found in the portrait.
    """
    codec = codec_for(path, codec)
    check_target(path, overwrite=overwrite)
    shots = portrait_shots(
        {"": timeline}, portrait=portrait, fps=fps, size=size, nuisance=nuisance, seed=seed
    )
    write_shot(path, shots[""], codec=codec, overwrite=overwrite, progress=progress)


def write_shot(
    path: StrPath,
    shot: Shot,
    *,
    codec: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a film into a file, whole or not at all. Args and errors as `write_video`."""
    codec = codec_for(path, codec)
    check_target(path, overwrite=overwrite)
    with VideoFile(path, fps=shot.fps, size=shot.size, codec=codec, overwrite=overwrite) as file:
        for k, frame in enumerate(shot.frames()):
            file.write(frame)
            if progress:
                progress(k + 1, shot.count)


def truth(timeline: Timeline, fps: float) -> tuple[Expression, ...]:
    """The expressions of a film at `fps`, none beyond its last frame."""
    last = frame_count(timeline, fps) - 1
    return tuple(
        replace(e, **{name: min(getattr(e, name), last) for name in ("onset", "apex", "offset")})
        for e in timeline.expressions(fps)
    )


def write_truth(
    path: StrPath, timeline: Timeline, fps: float, *, file: str, overwrite: bool = False
) -> None:
    """Write the truth of one film as CSV with `TRUTH_COLUMNS`; `file` is the film's name.

    A film without expressions gets one row of kind ``none``, as in annotations.csv.

    Raises:
        UsageError: the file exists, or cannot be written.
    """
    shot = Shot(timeline, fps, (0, 0), lambda: iter(()))
    write_truths(path, {file: shot}, overwrite=overwrite)


def write_truths(path: StrPath, shots: Mapping[str, Shot], *, overwrite: bool = False) -> None:
    """Write the truth of films by name as one CSV; see `write_truth`.

    It has a column `DISPLACEMENT` more where that is known of every film.
    """
    told = bool(shots) and all(shot.displacements is not None for shot in shots.values())
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow((*TRUTH_COLUMNS, *([DISPLACEMENT] if told else [])))
    for file, shot in shots.items():
        for row, reach in zip(_truth_rows(file, shot), _reaches(shot), strict=True):
            table.writerow((*row, *([reach] if told else [])))
    atomic_write(path, text.getvalue(), overwrite=overwrite)


def _truth_rows(file: str, shot: Shot) -> Iterator[tuple[object, ...]]:
    timeline, fps = shot.timeline, shot.fps
    head = (file, f"{fps:.6g}", shot.count)
    for number, (seen, event) in enumerate(zip(truth(timeline, fps), timeline.events, strict=True)):
        seconds = (f"{getattr(event, name):.6f}" for name in TRUTH_COLUMNS[11:15])
        frames = (seen.onset, seen.apex, seen.offset)
        yield (
            *head, number + 1, *frames, event.kind, au_text(event), "high", shot.note, *seconds,
            f"{event.intensity:.6f}",
        )  # fmt: skip
    if not timeline.events:
        yield (*head, 0, "", "", "", "none", "", "high", shot.note, "", "", "", "", "")


def _reaches(shot: Shot) -> list[str]:
    """A cell for each of `_truth_rows`."""
    if not shot.timeline.events or shot.displacements is None:
        return [""] * max(1, len(shot.timeline.events))
    return [f"{reach:.6f}" for reach in shot.displacements]


def au_text(event: Event) -> str:
    """Action units as coders write them: ``6+L12``."""
    side = {"both": "", "left": "L", "right": "R"}
    return "+".join(f"{side[where]}{au}" for au, where in event.aus)


def write_casme_sq_layout(
    folder: StrPath,
    videos: Mapping[tuple[int, str], Timeline],
    *,
    portrait: Portrait = None,
    fps: float = 30.0,
    size: tuple[int, int] = (640, 480),
    nuisance: Nuisance | None = None,
    seed: int = 0,
) -> None:
    """Film a data set in the layout of CAS(ME)^2.

    Frames lie in ``rawpic/s15/15_0101name/img_0001.jpg``, numbered from 1. The workbook
    ``CAS(ME)^2code_final.xlsx`` has the owners' three sheets, each with their line of ``###``
    where a header would be:

    - ``CASFEcode_final``, one row an expression: subject (1 to S), clip (``name_k``, k counts the
      expressions of the video), onset, apex, offset (numbers of the images), AUs (``4+L12``; one
      AU alone is a number), emotion group, ``micro-expression`` or ``macro-expression``, emotion,
      and the formula of the duration;
    - ``naming rule1``: number in the folder's name, folder, subject;
    - ``naming rule2``: four-digit code in the video's name, name in the clip's.

    ``truth.csv`` beside it has the same and more, in aumer's own columns (`write_truths`): the
    layout says nothing of time, and is read at 30 frames per second.

    Args:
        folder: where; it must not exist, and appears when all is written.
        videos: (number in the folder's name, video's name such as ``0101disgust1``) -> timeline.
            Frames of each video are filmed with a seed of its own.

    Raises:
        UsageError: a name is not four digits and a name, the folder exists, or an argument cannot
            be used.
        NoFaceError: no face is found in the portrait.
    """
    check_new_folder(folder)
    shots = portrait_shots(
        videos, portrait=portrait, fps=fps, size=size, nuisance=nuisance, seed=seed
    )
    write_shots_as_casme_sq(folder, shots)


def portrait_shots(
    videos: Mapping[Key, Timeline],
    *,
    portrait: Portrait = None,
    fps: float = 30.0,
    size: tuple[int, int] = (640, 480),
    nuisance: Nuisance | None = None,
    seed: int = 0,
) -> dict[Key, Shot]:
    """Films of one portrait, each with nuisances of its own; see `simulate_video`.

    Raises:
        UsageError, NoFaceError: as `simulate_video`.
    """
    for timeline in videos.values():
        frame_count(timeline, fps)
    face = Face(portrait, size)

    def shot(number: int, timeline: Timeline) -> Shot:
        def frames() -> Iterator[ImageArray]:
            film = Film(timeline, nuisance=nuisance, seed=seed + number, face=face)
            return _shoot(film, fps, frame_count(timeline, fps))

        return Shot(timeline, fps, size, frames)

    return {key: shot(number, timeline) for number, (key, timeline) in enumerate(videos.items())}


def check_new_folder(folder: StrPath) -> Path:
    """Where a data set would be written.

    Raises:
        UsageError: it exists, or the folder that it would lie in does not.
    """
    folder = Path(folder)
    if folder.exists():
        raise UsageError(f"{folder} exists already: give the name of a new folder")
    if not folder.parent.is_dir():
        raise UsageError(f"cannot write {folder}: {folder.parent} is not a folder")
    return folder


def write_shots_as_casme_sq(
    folder: StrPath,
    shots: Mapping[tuple[int, str], Shot],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write films as a data set; see `write_casme_sq_layout`.

    Args:
        progress: called with the number of frames written and how many there will be.
    """
    folder = check_new_folder(folder)
    for _, name in shots:
        if not (name[:4].isdigit() and name[:4].isascii() and name[4:].isalnum()):
            raise UsageError(
                "a video's name must be four digits and a name, such as 0101disgust1; found "
                f"{name!r}"
            )
    total, done = sum(shot.count for shot in shots.values()), 0
    with tempfile.TemporaryDirectory(prefix=".aumer-", dir=folder.parent) as temporary:
        made = Path(temporary) / "set"
        named = {}
        for (subject, name), shot in shots.items():
            below = f"rawpic/s{subject}/{subject}_{name}"
            named[below] = shot
            (made / below).mkdir(parents=True)
            for k, frame in enumerate(shot.frames()):
                _, packed = cv2.imencode(
                    ".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _CASME_QUALITY]
                )
                (made / below / f"img_{k + 1:04d}.jpg").write_bytes(packed.tobytes())
                done += 1
                if progress:
                    progress(done, total)
        _casme_workbook(shots).save(made / "CAS(ME)^2code_final.xlsx")
        write_truths(made / "truth.csv", named)
        made.rename(folder)


#: JPEG quality of the frames: OpenCV's own default.
_CASME_QUALITY = 95


def _casme_workbook(shots: Mapping[tuple[int, str], Shot]) -> Any:
    from openpyxl import Workbook

    subjects = sorted({subject for subject, _ in shots})
    book = Workbook()
    codes = book.active
    codes.title = "CASFEcode_final"
    codes.append(["###"] * 10)
    for (subject, name), shot in sorted(shots.items(), key=lambda item: item[0]):
        seen_events = zip(truth(shot.timeline, shot.fps), shot.timeline.events, strict=True)
        for k, (seen, event) in enumerate(seen_events, start=1):
            aus = au_text(event)
            group, emotion = _emotion(event)
            row = codes.max_row + 1
            codes.append(
                [
                    subjects.index(subject) + 1,
                    f"{name[4:]}_{k}",
                    *(frame + 1 for frame in (seen.onset, seen.apex, seen.offset)),
                    int(aus) if aus.isdigit() else aus,
                    group,
                    f"{event.kind}-expression",
                    emotion,
                    f"=E{row}-C{row}",
                ]
            )
    folders = book.create_sheet("naming rule1")
    folders.append(["###"] * 3)
    for number, subject in enumerate(subjects, start=1):
        folders.append([subject, f"s{subject}", number])
    names = book.create_sheet("naming rule2")
    names.append(["###"] * 2)
    for name in sorted({name for _, name in shots}):
        names.append([name[:4], name[4:]])
    return book


def _emotion(event: Event) -> tuple[str, str]:
    """Group and emotion that a coder would note for these AUs (EMFACS's plainest combinations)."""
    aus = {au for au, _ in event.aus}
    if 12 in aus:
        return "positive", "happiness"
    if aus & {1, 2} and not aus & {4, 15}:
        return "surprise", "surprise"
    if aus & {9, 10}:
        return "negative", "disgust"
    if aus & {4, 7, 23}:
        return "negative", "anger"
    return ("negative", "sadness") if aus & {1, 15} else ("others", "others")
