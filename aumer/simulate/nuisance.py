"""What moves in the features of a face that shows no expression, each cause by itself.

A nuisance gives paths: displacement of the 12 ROIs in outer-eye distances at given times. What
happens to the face is in `aumer.simulate.disturbances`; here is what measuring it adds, and the
names of all. Constants, with their sources, are in ``configs/simulation.toml``.
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
    GazeShifts,
    HeadSway,
    HeadTurns,
    Lids,
    LightingDrift,
    Posture,
    Range,
    Remarks,
    Signal,
    Swallowing,
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
    "roi_displacement",
    "settings",
]


@runtime_checkable
class Moving(Protocol):
    """A cause of motion that is no expression."""

    def path(self, rng: np.random.Generator, times: Signal) -> Signal:
        """Displacement (N, 12, 2) in outer-eye distances at evenly spaced times (N,) seconds."""
        ...


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
            mixing @ rng.standard_normal((len(times), len(NAMES), 2)) * scale for _ in range(2)
        )
        keep = np.exp(-step_of(times) / self.correlation_s)
        push[1:] *= np.sqrt(1 - keep**2)
        slow = lfilter([1.0], [1.0, -keep], push, axis=0)
        white_sd = np.stack([self.white_x, self.white_y], axis=1)
        slow_sd = np.stack([self.slow_x, self.slow_y], axis=1)
        return np.asarray(white_sd * white + slow_sd * slow)

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
    """What the fit of the head takes off all ROIs when lids move the skin that it is fitted on.

    A rigid motion about the nose (scale, turn in the plane, two turns out of it), other each time,
    that comes and goes as lids do.
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
        """What one blink takes off when the lids are closed: (12, 2) outer-eye distances."""
        points = MEAN_FACE[list(ROIS.values())]
        x, y, depth = (points - points[NOSE].mean(axis=0)).T
        none = np.zeros_like(x)
        # By row: the ROIs' displacement (12, 2) for scale, roll, yaw and pitch of 1.
        basis = np.stack([[x, y], [-y, x], [depth, none], [none, depth]]).transpose(0, 2, 1)
        size = (self.scale, self.roll, self.tilt, self.tilt)
        wrong: Signal = np.tensordot(size * rng.standard_normal(4), basis, axes=1)
        return wrong


@dataclass(frozen=True)
class LostFaces:
    """Stretches in which no face is found."""

    per_min: float
    length_s: Range

    def lost(self, rng: np.random.Generator, times: Signal) -> BoolArray:
        """(N,) bool: True where the frame at that time holds no face."""
        lost = np.zeros(len(times), np.bool_)
        for begin in moments(rng, times, self.per_min):
            end = begin + rng.uniform(*self.length_s)
            lost |= (times >= begin) & (times < end)
        return lost


@dataclass(frozen=True)
class Quantization:
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
    "remarks": Remarks,
    "lighting_drift": LightingDrift,
    "lost_faces": LostFaces,
    "quantization": Quantization,
}
#: Those that are on unless others are asked for: all that aumer's own features show.
USUAL = tuple(name for name in NUISANCES if name != "quantization")
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
