"""Simulated clips of drawn faces with known motion, to test recognizers of sequences.

No real sequence may be shipped. A subject is a drawn face: the mean face's curves with individual
proportions on a skin of smooth noise. It shows an expression of one of three classes (action units
of `aumer.simulate.anatomy`, as in the other simulators), with head sway, drifting light, sensor
noise and jitter of landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from aumer.face.mean_face import MEAN_FACE
from aumer.flow import resolve as resolve_flow
from aumer.recognition.sequences.clips import ClipSequence, SequenceClips
from aumer.simulate.anatomy import displacement
from aumer.strict import require
from aumer.types import FloatArray, ImageArray

#: Groups of AUs of each class; a clip shows one group, on both sides (the simplest of EMFACS).
CLASSES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "negative": ((4,), (4, 7), (9, 10)),
    "positive": ((12,), (6, 12)),
    "surprise": ((1, 2), (1, 2, 5)),
}
#: The crop's center on the mean face, as in `aumer.motion.align`.
_MIDDLE = np.array([0.0, 0.28])
#: Largest displacement by jitter of landmarks and of the head, in outer-eye distances.
_LANDMARK_NOISE, _SWAY = 0.002, 0.004
_SENSOR_NOISE, _LIGHT = 1.5, 0.02

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Simulation:
    """Settings of the simulation.

    Attributes:
        subjects: each makes `per_class` clips of every class.
        size: side of the crop, px.
        fps: frames per second.
        duration_s: shortest and longest expression.
        intensity: range, as shares of the full amplitudes in `aumer.simulate.anatomy`.
        margin_s: seconds of rest before and after.
        flow: optical flow by name, or "none".

    Raises:
        ConfigError: a value out of range.
    """

    subjects: int = 8
    per_class: int = 2
    size: int = 64
    fps: float = 100.0
    duration_s: tuple[float, ...] = (0.25, 0.45)
    intensity: tuple[float, ...] = (0.25, 0.6)
    margin_s: float = 0.05
    flow: str = "farneback"

    def __post_init__(self) -> None:
        for name in ("subjects", "per_class"):
            require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        require(self.size >= 32, "size", self.size, ">= 32 px")
        require(self.fps > 0, "fps", self.fps, "> 0")
        require(self.margin_s >= 0, "margin_s", self.margin_s, ">= 0 s")
        for name in ("duration_s", "intensity"):
            low, high = ends = getattr(self, name)
            require(0 < low <= high, name, list(ends), "two numbers above 0, the smaller first")


def simulated_clips(simulation: Simulation | None = None, seed: int = 0) -> SequenceClips:
    """Labeled clips of every subject and class; the same seed gives the same clips.

    Raises:
        UsageError: unknown flow.
    """
    plan = simulation or Simulation()
    inputs: list[ClipSequence] = []
    labels, subjects, names = [], [], []
    for number in range(plan.subjects):
        face = _Face(np.random.default_rng([seed, number]), plan.size)
        for label, groups in enumerate(CLASSES.values()):
            for take in range(plan.per_class):
                rng = np.random.default_rng([seed, number, label, take])
                aus = groups[rng.integers(len(groups))]
                inputs.append(_clip(face, aus, plan, rng))
                labels.append(label)
                subjects.append(f"s{number + 1:02d}")
                names.append(f"{label}-{take + 1}")
    return SequenceClips(
        tuple(inputs), np.array(labels), tuple(subjects), tuple(CLASSES), tuple(names)
    )


class _Face:
    """A drawn face: texture over the crop with a margin, and landmarks on the mean face."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.size = size
        proportions = 1 + 0.05 * rng.standard_normal(2)
        self.landmarks: Points = MEAN_FACE[:, :2] * proportions
        self.landmarks[17:27] += 0.02 * rng.standard_normal(2)
        self.landmarks[48:] += 0.02 * rng.standard_normal(2)
        self._margin = size // 4
        side = size + 2 * self._margin
        skin = np.zeros((side, side), np.float32)
        for sigma, weight in ((size / 40, 12.0), (size / 12, 14.0)):
            rough = cv2.GaussianBlur(rng.standard_normal((side, side), np.float32), (0, 0), sigma)
            skin += np.float32(weight) * rough / rough.std()
        skin += np.float32(rng.uniform(120, 170))
        pixels = self.pixels(self.landmarks) + self._margin
        for rows, closed, dark in (
            (slice(17, 22), False, 60.0),
            (slice(22, 27), False, 60.0),
            (slice(36, 42), True, 70.0),
            (slice(42, 48), True, 70.0),
            (slice(48, 60), True, 35.0),
            (slice(27, 31), False, 15.0),
            (slice(31, 36), False, 30.0),
        ):
            ink = np.zeros_like(skin)
            curve = [np.rint(pixels[rows] * 16).astype(np.int32)]
            cv2.polylines(ink, curve, closed, (1.0,), max(1, size // 40), cv2.LINE_AA, 4)
            skin -= np.float32(dark) * cv2.GaussianBlur(ink, (0, 0), size / 100)
        self.texture: FloatArray = skin

    def pixels(self, points: Points) -> Points:
        """Points of the mean face in px of the crop."""
        return np.asarray((points - _MIDDLE) * (self.size / 2) + (self.size - 1) / 2)

    def push(self, aus: tuple[int, ...]) -> FloatArray:
        """Displacement by these AUs at intensity 1, at each pixel of the texture, px."""
        side = self.texture.shape[0]
        rows, columns = np.mgrid[:side, :side] - self._margin
        seen = np.stack([columns, rows], -1).reshape(-1, 2).astype(np.float64)
        on_mean = (seen - (self.size - 1) / 2) / (self.size / 2) + _MIDDLE
        moved = displacement({(au, "both"): 1.0 for au in aus}, on_mean) * (self.size / 2)
        return moved.reshape(side, side, 2).astype(np.float32)

    def frame(self, push: FloatArray, level: float, sway: Points) -> FloatArray:
        """(S, S) gray values: the expression at intensity `level`, the head displaced by `sway`
        (outer-eye distances).
        """
        rows, columns = np.mgrid[: self.size, : self.size] + self._margin
        here = np.stack([columns, rows], -1).astype(np.float32)
        here -= (sway * self.size / 2).astype(np.float32)
        skin = here
        for _ in range(4):  # fixed-point iteration of skin + displacement(skin) = here
            skin = here - np.float32(level) * _sampled(push, skin, cv2.INTER_LINEAR)
        return _sampled(self.texture, skin, cv2.INTER_CUBIC)


def _sampled(image: FloatArray, at: FloatArray, how: int) -> FloatArray:
    columns, rows = np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1])
    return np.asarray(
        cv2.remap(image, columns, rows, how, None, cv2.BORDER_REFLECT_101), np.float32
    )


def _clip(
    face: _Face, aus: tuple[int, ...], plan: Simulation, rng: np.random.Generator
) -> ClipSequence:
    length = rng.uniform(plan.duration_s[0], plan.duration_s[1])
    rise = rng.uniform(0.4, 0.6) * length
    strength = rng.uniform(plan.intensity[0], plan.intensity[1])
    margin = round(plan.margin_s * plan.fps)
    steps = max(2, round(length * plan.fps))
    times = (np.arange(steps + 1 + 2 * margin) - margin) / plan.fps
    up = 0.5 - 0.5 * np.cos(np.pi * np.clip(times / rise, 0, 1))
    down = 0.5 - 0.5 * np.cos(np.pi * np.clip((length - times) / (length - rise), 0, 1))
    level = strength * up * down
    phases, hz = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.2, 0.9, 3)
    drift = np.sin(2 * np.pi * hz * times[:, None] + phases)
    push = face.push(aus)
    gray: list[ImageArray] = []
    landmarks: list[FloatArray] = []
    for k, now in enumerate(level):
        acting = {(au, "both"): float(now) for au in aus}
        sway = _SWAY * drift[k, :2]
        image = face.frame(push, float(now), sway) * (1 + _LIGHT * drift[k, 2])
        image = image + _SENSOR_NOISE * rng.standard_normal(image.shape)
        gray.append(np.clip(np.rint(image), 0, 255).astype(np.uint8))
        points = face.landmarks + displacement(acting, face.landmarks) + sway
        points = points + _LANDMARK_NOISE * rng.standard_normal(points.shape)
        landmarks.append(((face.pixels(points) + 0.5) / face.size - 0.5).astype(np.float32))
    flow = None
    if plan.flow != "none":
        function = resolve_flow(plan.flow)
        flow = np.stack([function(a, b) for a, b in pairwise(gray)])
    return ClipSequence(
        np.stack(gray),
        np.stack(landmarks),
        flow,
        margin,
        margin + round(rise * plan.fps),
        margin + steps,
        plan.fps,
    )
