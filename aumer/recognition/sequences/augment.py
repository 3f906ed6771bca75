"""Changes that leave a window's class as it is. numpy and cv2.

Whatever moves the picture moves landmarks and flow with it: a mirrored face has its left landmarks
on the right, and its horizontal flow turned round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from aumer.recognition.sequences.windows import Window
from aumer.strict import require
from aumer.types import FloatArray, ImageArray

#: For each of the 68 landmarks the one at its mirror image.
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
    """How far a window may be changed; the defaults change nothing.

    Attributes:
        brightness, contrast: factors are drawn from 1 - x to 1 + x; contrast is about the window's
            mean.
        noise: standard deviation of Gaussian noise on gray values, full scale 1.
        flip: probability of the mirror image.
        rotation_deg, scale: turn and growth about the middle, drawn from -x to x.
        shift: frames by which a window may begin earlier or later.

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

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "scale"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        for name in ("noise", "rotation_deg", "shift"):
            require(getattr(self, name) >= 0, name, getattr(self, name), ">= 0")
        require(0 <= self.flip <= 1, "flip", self.flip, "in [0, 1]")

    def start(self, start: int, rng: np.random.Generator) -> int:
        """A window's first frame, shifted in time."""
        return start + int(rng.integers(-self.shift, self.shift + 1))

    def __call__(self, window: Window, rng: np.random.Generator) -> Window:
        """The window changed at random; the same generator gives the same change."""
        brightness = 1 + self.brightness * rng.uniform(-1, 1)
        contrast = 1 + self.contrast * rng.uniform(-1, 1)
        degrees = self.rotation_deg * rng.uniform(-1, 1)
        growth = 1 + self.scale * rng.uniform(-1, 1)
        mirror = rng.random() < self.flip
        if mirror:
            window = flipped(window)
        if degrees or growth != 1:
            window = turned(window, degrees, growth)
        if brightness != 1 or contrast != 1:
            window = relit(window, brightness, contrast)
        return noisy(window, self.noise, rng) if self.noise else window


def flipped(window: Window) -> Window:
    """The mirror image of the face."""
    landmarks = window.landmarks[:, MIRROR] * np.array([-1, 1], np.float32)
    flow = None
    if window.flow is not None:
        flow = window.flow[:, :, ::-1] * np.array([-1, 1], np.float32)
    return Window(window.gray[:, :, ::-1].copy(), landmarks, flow)


def turned(window: Window, degrees: float, growth: float = 1.0) -> Window:
    """Turned about the middle (clockwise on the screen, as y points down) and grown.

    What comes in from outside repeats the rim; flow vectors turn and grow with the picture.
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


def relit(window: Window, brightness: float, contrast: float) -> Window:
    """Gray values times `brightness`, and their distance from the mean times `contrast`."""
    values = window.gray.astype(np.float32) * np.float32(brightness)
    mean = values.mean()
    return replace(window, gray=_eight_bits(mean + np.float32(contrast) * (values - mean)))


def noisy(window: Window, deviation: float, rng: np.random.Generator) -> Window:
    """White noise on the gray values, full scale 1, another for every pixel and frame."""
    noise = rng.standard_normal(window.gray.shape, np.float32) * np.float32(255 * deviation)
    return replace(window, gray=_eight_bits(window.gray + noise))


def _eight_bits(values: FloatArray) -> ImageArray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
