"""Augmentation of windows.

numpy and cv2. Geometric changes apply to picture, landmarks and flow together: a mirrored face has
left and right landmarks exchanged and its horizontal flow negated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from aumer.recognition.sequences.windows import Window
from aumer.strict import require
from aumer.types import FloatArray, ImageArray

#: For each of the 68 landmarks the index of its mirror image.
MIRROR = np.array(
    [
        *range(16, -1, -1),  # jaw
        *range(26, 16, -1),  # brows
        *range(27, 31),  # nose
        *range(35, 30, -1),  # nostrils
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lips
        *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lips
    ]
)


@dataclass(frozen=True)
class Augmentation:
    """Ranges of random changes; the defaults change nothing.

    Attributes:
        brightness, contrast: factors are drawn from 1 - x to 1 + x.
        noise: standard deviation of Gaussian noise on gray values, full scale 1.
        each: "window": one brightness and contrast for all frames; "frame": drawn for each frame,
            also whether it has noise.
        light_odds: probability of a change of brightness, and of contrast (independent).
        noise_odds: probability of noise.
        about: contrast is changed about the "mean" of the frames, or the "middle" of the scale, .5.
        flip: probability of the mirror image.
        rotation_deg, scale: rotation and scaling about the center, drawn from -x to x.
        shift: largest shift of a window, frames.
        shows: a shifted window shows other frames of the "clip"; or its own frames later or
            earlier, with its first or last frame "held", with zero flow.

    Raises:
        ConfigError: a value out of range.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    flip: float = 0.0
    rotation_deg: float = 0.0
    scale: float = 0.0
    shift: int = 0
    each: Literal["window", "frame"] = "window"
    light_odds: float = 1.0
    noise_odds: float = 1.0
    about: Literal["mean", "middle"] = "mean"
    shows: Literal["clip", "held"] = "clip"

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "scale"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        for name in ("noise", "rotation_deg", "shift"):
            require(getattr(self, name) >= 0, name, getattr(self, name), ">= 0")
        for name in ("flip", "light_odds", "noise_odds"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        for name, allowed in (
            ("each", ("window", "frame")),
            ("about", ("mean", "middle")),
            ("shows", ("clip", "held")),
        ):
            value = getattr(self, name)
            require(value in allowed, name, value, f"one of {', '.join(allowed)}")

    def start(self, start: int, rng: np.random.Generator) -> int:
        """A window's first frame, shifted if `shows` is "clip"."""
        if self.shows == "held":
            return start
        return start + int(rng.integers(-self.shift, self.shift + 1))

    def __call__(self, window: Window, rng: np.random.Generator) -> Window:
        """The window with random changes; the same generator state gives the same changes."""
        light = self._light(rng)
        degrees = self.rotation_deg * rng.uniform(-1, 1)
        growth = 1 + self.scale * rng.uniform(-1, 1)
        mirror = rng.random() < self.flip
        if mirror:
            window = flipped(window)
        if degrees or growth != 1:
            window = turned(window, degrees, growth)
        if self.shows == "held" and self.shift:
            window = held(window, int(rng.integers(-self.shift, self.shift + 1)))
        if self.each == "window":
            return self._lit(window, light, rng)
        frames = []
        for k, gray in enumerate(window.gray):
            one = replace(window, gray=gray[None])
            frames.append(self._lit(one, light if not k else self._light(rng), rng).gray)
        return replace(window, gray=np.concatenate(frames))

    def _light(self, rng: np.random.Generator) -> tuple[float, float]:
        """Random factors of brightness and contrast."""
        brightness = 1 + self.brightness * rng.uniform(-1, 1)
        contrast = 1 + self.contrast * rng.uniform(-1, 1)
        if self.light_odds == 1:  # keeps the random sequence of earlier versions
            return brightness, contrast
        some = rng.random(2) < self.light_odds
        return (brightness if some[0] else 1.0), (contrast if some[1] else 1.0)

    def _lit(self, window: Window, light: tuple[float, float], rng: np.random.Generator) -> Window:
        if light != (1, 1):
            window = relit(window, *light, about=self.about)
        if self.noise and (self.noise_odds == 1 or rng.random() < self.noise_odds):
            return noisy(window, self.noise, rng)
        return window


def held(window: Window, shift: int) -> Window:
    """The window delayed by `shift` frames, with its first frame held before; for a negative shift
    advanced, with its last frame held after. The flow between held frames is 0.
    """
    last = len(window.gray) - 1
    frames = np.clip(np.arange(last + 1) - shift, 0, last)
    flow = None
    if window.flow is not None:
        flow = np.zeros_like(window.flow)
        moves = np.flatnonzero(np.diff(frames))
        flow[moves] = window.flow[frames[moves]]
    return Window(window.gray[frames], window.landmarks[frames], flow)


def flipped(window: Window) -> Window:
    """The mirror image of the face."""
    landmarks = window.landmarks[:, MIRROR] * np.array([-1, 1], np.float32)
    flow = None
    if window.flow is not None:
        flow = window.flow[:, :, ::-1] * np.array([-1, 1], np.float32)
    return Window(window.gray[:, :, ::-1].copy(), landmarks, flow)


def turned(window: Window, degrees: float, growth: float = 1.0) -> Window:
    """Rotated about the center (clockwise on the screen, since y points down) and scaled.

    The border is replicated; flow vectors are rotated and scaled with the picture.
    """
    angle = np.deg2rad(degrees)
    linear = growth * np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    middle = np.full(2, (window.gray.shape[1] - 1) / 2)
    transform = np.column_stack([linear, middle - linear @ middle])
    vectors = linear.astype(np.float32).T

    def warped(image: ImageArray | FloatArray) -> ImageArray | FloatArray:
        side = image.shape[0]
        return cv2.warpAffine(  # type: ignore[return-value]
            image, transform, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )

    flow = None
    if window.flow is not None:
        flow = np.zeros_like(window.flow)
        for k, field in enumerate(window.flow):
            flow[k] = warped(field) @ vectors
    gray = np.stack([warped(image) for image in window.gray]).astype(np.uint8)
    return Window(gray, (window.landmarks @ vectors).astype(np.float32), flow)


def relit(
    window: Window,
    brightness: float,
    contrast: float,
    about: Literal["mean", "middle"] = "mean",
) -> Window:
    """Gray values times `brightness`, with their difference from the mean, or from the middle of
    the scale, times `contrast`.
    """
    values = window.gray.astype(np.float32) * np.float32(brightness)
    center = values.mean() if about == "mean" else np.float32(255 / 2)
    return replace(window, gray=_eight_bits(center + np.float32(contrast) * (values - center)))


def noisy(window: Window, deviation: float, rng: np.random.Generator) -> Window:
    """Adds white noise to the gray values (full scale 1), independent for every pixel and frame."""
    noise = rng.standard_normal(window.gray.shape, np.float32) * np.float32(255 * deviation)
    return replace(window, gray=_eight_bits(window.gray + noise))


def _eight_bits(values: FloatArray) -> ImageArray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
