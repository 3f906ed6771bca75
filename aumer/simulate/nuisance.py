"""Motion in features without expressions, by cause.

A nuisance gives paths: displacement of the 12 ROIs in outer-eye distances at given times. Motion of
the face is in `aumer.simulate.disturbances`; errors of measurement, and the names of all nuisances,
are here. Constants, with their sources, are in ``configs/simulation.toml``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
from scipy.signal import lfilter

from aumer.errors import UsageError, did_you_mean
from aumer.face.mean_face import MEAN_FACE
from aumer.motion.mdmo import ROIS
from aumer.simulate.disturbances import (
    BROWS,
    MOUTH,
    NAMES,
    NOSE,
    Blinks,
    Gaze,
    GazeShifts,
    HeadSway,
    HeadTurns,
    Lids,
    Light,
    LightingDrift,
    Posture,
    Range,
    Remarks,
    Signal,
    Swallowing,
    Sway,
    Talking,
    moments,
    roi_displacement,
    step_of,
)
from aumer.strict import build, preset, read_toml
from aumer.types import BoolArray

__all__ = [
    "NUISANCES",
    "STILL",
    "USUAL",
    "HeadMisfit",
    "LostFaces",
    "MotionNoise",
    "Moving",
    "Quantization",
    "load",
    "of_films",
    "roi_displacement",
    "settings",
]


@runtime_checkable
class Moving(Protocol):
    """A cause of motion other than an expression."""

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        """Displacement (N, 12, 2) in outer-eye distances at evenly spaced times (N,) seconds."""
        ...


@dataclass(frozen=True)
class MotionNoise:
    """Errors of measured ROI positions: one per frame, and slow ones.

    They do not accumulate, since the motion stage measures each frame against several earlier ones.
    Both are heavy-tailed and correlated among ROIs.

    Attributes:
        white_x, white_y: sd of the error per frame, outer-eye distances, by ROI.
        slow_x, slow_y: sd of the slow error (an Ornstein-Uhlenbeck process), likewise.
        correlation_s: seconds in which the slow error's autocorrelation falls to 1/e.
        degrees: degrees of freedom of Student's t, the distribution over frames.
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
        # A common scale per frame gives all ROIs large errors in the same frames, as in a bad
        # frame.
        scale = np.sqrt((self.degrees - 2) / rng.chisquare(self.degrees, (len(times), 1, 1)))
        mixing = self._mixing()
        white, push = (
            mixing @ rng.standard_normal((len(times), len(NAMES), 2)) * scale for _ in range(2)
        )
        keep = np.exp(-step_of(times) / self.correlation_s)
        push[1:] *= np.sqrt(1 - keep**2)
        slow = lfilter([1.0], [1.0, -keep], push, axis=0)
        white_sd = np.stack([self.white_x, self.white_y], axis=1)
        slow_sd = np.stack([self.slow_x, self.slow_y], axis=1)
        return np.asarray(white_sd * white + slow_sd * slow)

    def slow_covariance(self) -> Signal:
        """Covariance of the slow errors of all ROIs, x and y of each in turn: (24, 24), squared
        outer-eye distances.
        """
        mixing = self._mixing()
        sizes = np.stack([self.slow_x, self.slow_y], axis=1)
        spread = np.einsum("ra,sa,ab->rasb", sizes, sizes, np.eye(2))
        whole = (mixing @ mixing.T)[:, None, :, None] * spread
        return np.asarray(whole.reshape(sizes.size, sizes.size))

    def _mixing(self) -> Signal:
        correlation = np.eye(len(NAMES))
        right, left = BROWS[:3], BROWS[3:]
        for rows, columns, value in (
            (right, right, self.same_brow),
            (left, left, self.same_brow),
            (right, left, self.brows),
            (MOUTH, MOUTH, self.mouth),
            (BROWS, MOUTH, self.brow_mouth),
        ):
            for a in rows:
                for b in columns:
                    if a != b:
                        correlation[a, b] = correlation[b, a] = value
        return np.asarray(np.linalg.cholesky(correlation))


@dataclass(frozen=True)
class HeadMisfit(Lids):
    """Error of head stabilization when moving lids disturb its landmarks; it affects all ROIs.

    A random rigid motion about the nose (scale, roll, yaw and pitch) that follows the closure of
    the lids.
    """

    scale: float
    roll: float
    tilt: float

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        moved = np.zeros((len(times), len(NAMES), 2))
        for blink in self.drawn(rng, float(times[-1])):
            moved += blink.closure(times)[:, None, None] * self.once(rng)
        return moved

    def once(self, rng: np.random.Generator) -> Signal:
        """The error of one blink with closed lids: (12, 2) outer-eye distances."""
        points = MEAN_FACE[list(ROIS.values())]
        x, y, depth = (points - points[NOSE].mean(axis=0)).T
        none = np.zeros_like(x)
        # Rows: displacement of the ROIs (12, 2) for unit scale, roll, yaw and pitch.
        basis = np.stack([[x, y], [-y, x], [depth, none], [none, depth]]).transpose(0, 2, 1)
        size = (self.scale, self.roll, self.tilt, self.tilt)
        wrong: Signal = np.tensordot(size * rng.standard_normal(4), basis, axes=1)
        return wrong


@dataclass(frozen=True)
class LostFaces:
    """Intervals in which no face is found."""

    per_min: float
    length_s: Range

    def lost(self, rng: np.random.Generator, times: Signal) -> BoolArray:
        """(N,) bool: True where the frame at that time has no face."""
        lost = np.zeros(len(times), np.bool_)
        for begin in moments(rng, times, self.per_min):
            end = begin + rng.uniform(*self.length_s)
            lost |= (times >= begin) & (times < end)
        return lost


@dataclass(frozen=True)
class Quantization:
    """Quantized motion, as in 8-bit flow images."""

    step_px: float

    def rounded(self, values_px: Signal) -> Signal:
        """The values rounded to steps."""
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
    "remarks": Remarks,
    "lighting_drift": LightingDrift,
    "lost_faces": LostFaces,
    "quantization": Quantization,
}
#: The default nuisances: all that occur in aumer's features.
USUAL = tuple(name for name in NUISANCES if name != "quantization")
#: The nuisances of a face that is held still and does not blink.
STILL = ("motion_noise", "head_sway", "gaze_shifts", "lighting_drift")


@lru_cache(maxsize=1)
def settings() -> Mapping[str, Any]:
    """``configs/simulation.toml``."""
    return read_toml(preset("", "simulation"))


def load(names: Iterable[str] = USUAL) -> dict[str, Any]:
    """The nuisances called `names`, with their constants.

    Raises:
        UsageError: an unknown name.
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


@dataclass(frozen=True)
class OfFilms:
    """What a camera sees of the nuisances and no feature shows so; see ``configs/simulation.toml``.

    Attributes:
        sway: of a head held still: x and y (outer-eye distances), scale, and roll (rad).
        turns: its yaw and pitch (rad).
        gaze: of the eyes, aside and up (rad).
        light: its gain, and the gain's gradient over an outer-eye distance.
        remarks_per_min: rate of bouts of speech.
        depth_spread: relative sd of the depth of faces.
        eyeball: its radius, outer-eye distances.
    """

    sway: Sway
    turns: Sway
    gaze: Gaze
    light: Light
    remarks_per_min: float
    depth_spread: float
    eyeball: float


@lru_cache(maxsize=1)
def of_films() -> OfFilms:
    """The constants of films."""
    return build(OfFilms, settings()["film"], "simulation.toml, film")
