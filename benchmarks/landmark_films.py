"""The films of `accuracy/landmarks.py`: known warps, passes to and fro, a filmed portrait, and
pictures made poor.

Images are (H, W, 3) uint8 RGB; points are (..., 2) px, x to the right and y down; landmarks are
(68, 2) in the order of iBUG-68.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform, spline_filter

from aumer.face.crop import Matrix, applied, inverse
from aumer.face.mean_face import MEAN_FACE
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.video import Film, Nuisance, Performance
from aumer.simulate.warp import Face
from aumer.testing.turned_head import turned_head, turned_points, upright
from aumer.types import ImageArray

Points = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Real neutral frames for the known warps: (file, frame).
NEUTRAL = (
    ("fex_smile_still.mov", 0), ("fex_two_smiles.mov", 0), ("selfie_smile.mp4", 0),
    ("no_face_then_face.mov", 97), ("smile_512.mp4", 0), ("talking_neutral.mpg", 0),
    ("webcam_mixed.mp4", 0), ("webcam_mixed.mp4", 400), ("still_neutral.mp4", 0),
    ("webcam_posed.mp4", 10), ("webcam_posed.mp4", 635),
)  # fmt: skip
#: Stretches that annotations.csv leaves without an event and on which nobody moves, sways, blinks
#: or talks: (file, first frame, last frame).
STILL = (
    ("still_neutral.mp4", 0, 300), ("fex_smile_still.mov", 0, 58), ("webcam_mixed.mp4", 0, 55),
    ("fex_two_smiles.mov", 0, 30), ("webcam_posed.mp4", 0, 24),
)  # fmt: skip
#: Clips that are made poor: a smile, a still face, jaw drops behind glasses, talk, a smile.
POOR = (
    ("smile_512.mp4", 0), ("still_neutral.mp4", 0), ("webcam_mixed.mp4", 55),
    ("talking_neutral.mpg", 0), ("fex_smile_still.mov", 55),
)  # fmt: skip
#: Films at 30 frames a second.
FPS = 30

_EYE_R, _EYE_L = 36, 45


def eye_distance(landmarks: npt.NDArray[Any]) -> float:
    """px between the outer eye corners; the median over frames of (..., 68, 2), NaN left out."""
    apart = landmarks[..., _EYE_L, :] - landmarks[..., _EYE_R, :]
    distance = np.hypot(apart[..., 0], apart[..., 1])
    return float(np.nanmedian(distance)) if np.isfinite(distance).any() else math.nan


# -- known warps -----------------------------------------------------------------------------------


def warped_film(
    image: ImageArray, landmarks: Points, *, count: int, noise: float, seed: int
) -> tuple[list[ImageArray], list[Matrix]]:
    """The image, then `count` copies under known sub-pixel warps; all with noise of their own.

    A warp shifts by at most 1 px each way, turns by at most .5 degrees and grows by at most 1 %
    about the face's middle, and is made smaller where a landmark would move by more than 1.5 px.

    Args:
        landmarks: roughly, to know where the face is.
        noise: standard deviation, gray levels.

    Returns:
        the frames, and each one's (2, 3) transform from the first frame's px to its own.
    """
    rng = np.random.default_rng(seed)
    planes = [spline_filter(image[..., c].astype(np.float64), order=3) for c in range(3)]
    middle = landmarks.mean(axis=0)
    frames, warps = [], []
    for k in range(count + 1):
        draw = rng.uniform(-1, 1, 4) * (k > 0)
        warp = _warp(draw, middle)
        farthest = float(np.hypot(*(applied(warp, landmarks) - landmarks).T).max())
        if farthest > 1.5:
            # Nearly linear in the draw: one division hits 1.5 px within a thousandth.
            warp = _warp(draw * 1.5 / farthest, middle)
        back = inverse(warp)
        # Row and column instead of x and y.
        linear, shift = back[::-1, 1::-1], back[::-1, 2]
        warped = np.stack(
            [affine_transform(p, linear, shift, order=3, mode="mirror", prefilter=False)
             for p in planes],
            axis=-1,
        )  # fmt: skip
        warped += rng.normal(0, noise, warped.shape)
        frames.append(np.clip(np.rint(warped), 0, 255).astype(np.uint8))
        warps.append(warp)
    return frames, warps


def _warp(draw: npt.NDArray[np.float64], middle: Points) -> Matrix:
    """(2, 3): shift by draw[:2] px, turn by draw[2] / 2 degrees, growth by draw[3] %."""
    turn, grown = math.radians(0.5 * draw[2]), 1 + 0.01 * draw[3]
    linear = grown * np.array([(math.cos(turn), -math.sin(turn)), (math.sin(turn), math.cos(turn))])
    return np.column_stack([linear, middle - linear @ middle + draw[:2]])


# -- to and fro ------------------------------------------------------------------------------------


def to_and_fro(frames: int, count: int) -> npt.NDArray[np.int64]:
    """(count,) indices 0, 1, ... frames - 1, frames - 2, ... 0, 1, ...: nothing jumps."""
    period = 2 * (frames - 1)
    place = np.arange(count) % period
    return np.where(place < frames, place, period - place)


def noisy(frames: Sequence[ImageArray], order: Sequence[int], seed: int) -> Iterator[ImageArray]:
    """The frames in an order, with fresh noise of 1 gray level on each.

    The noise is a window of one sheet, shifted at random: drawing it would take longer than all
    else.
    """
    rng = np.random.default_rng(seed)
    room = 64
    height, width = frames[0].shape[:2]
    sheet = np.rint(rng.normal(0, 1, (height + room, width + room, 3))).astype(np.int16)
    for k in order:
        y, x = rng.integers(0, room, 2)
        image = frames[k] + sheet[y : y + height, x : x + width]
        yield np.clip(image, 0, 255).astype(np.uint8)


# -- simulated -------------------------------------------------------------------------------------

#: Head turns of the simulated films: (begin s, end s, yaw degrees, pitch degrees) at their middle.
TURNS = ((3.2, 4.6, 12.0, 0.0), (4.8, 6.2, -12.0, 5.0), (10.0, 11.6, 4.0, 8.0))
#: Seconds of a simulated film.
SIMULATED_S = 12.0


class TurningPerformance(Performance):
    """A performance with head turns at known times, over its own sway."""

    def pose(self, t: float) -> Any:
        pose = super().pose(t)
        yaw, pitch = turn(t)
        return replace(
            pose, yaw=pose.yaw + math.radians(yaw), pitch=pose.pitch + math.radians(pitch)
        )


def turn(t: float) -> tuple[float, float]:
    """Yaw and pitch (degrees) of `TURNS` at t (s)."""
    yaw = pitch = 0.0
    for begin, end, y, p in TURNS:
        if begin < t < end:
            share = math.sin(math.pi * (t - begin) / (end - begin)) ** 2
            yaw, pitch = yaw + share * y, pitch + share * p
    return yaw, pitch


@dataclass(frozen=True, eq=False)
class SimulatedFilm:
    """Frames, where the skin under each landmark truly is, (T, 68, 2) px, and what goes on when."""

    name: str
    frames: list[ImageArray]
    truth: Points
    #: (T,) each: "rest" (the head sways, nothing else), "expression" (talk or an expression),
    #: "turn", "blink". A frame counts in each class that holds, and in "rest" where none does.
    classes: dict[str, Mask]


def simulated_film(
    name: str, portrait: ImageArray | None, *, seed: int, noise: float = 1.0
) -> SimulatedFilm:
    """Twelve seconds of a portrait that talks, smiles, raises its brows, blinks and turns."""
    events = (
        Event("micro", ((1, "both"), (2, "both")), 1.5, 1.7, 1.75, 2.0, 0.4),
        Event("macro", ((6, "both"), (12, "both")), 7.0, 7.5, 8.3, 8.8, 0.5),
        Event("micro", ((26, "both"), (25, "both")), 9.2, 9.37, 9.4, 9.6, 0.8),
    )
    timeline = Timeline(SIMULATED_S, events)
    nuisance = Nuisance(talking=1.2, blinks=2.0, noise=noise)
    film = Film(timeline, nuisance=nuisance, seed=seed, face=Face(portrait, (640, 480)))
    film.performance = performance = TurningPerformance(timeline, nuisance, seed)
    times = np.arange(round(SIMULATED_S * FPS)) / FPS
    frames = [film.frame(float(t), k) for k, t in enumerate(times)]
    truth = np.stack([film.landmarks(float(t)) for t in times])
    # What is left of a movement for a frame or two still counts as it.
    classes = {
        "expression": np.array([sum(performance.actions(t).values()) > 0 for t in times]),
        "turn": np.array([any(b <= t <= e for b, e, *_ in TURNS) for t in times]),
        "blink": np.array([performance.closure(t) > 0 for t in times]),
    }
    rest = ~np.logical_or.reduce(list(classes.values()))
    return SimulatedFilm(name, frames, truth, {"rest": rest, **classes})


# -- poor pictures ---------------------------------------------------------------------------------

#: Landmark that each becomes in a mirror.
MIRRORED: npt.NDArray[np.int64] = np.argmin(
    np.linalg.norm(MEAN_FACE[:, None] * (-1, 1, 1) - MEAN_FACE[None], axis=-1), axis=1
)
#: Width of the mean face in outer-eye distances.
FACE_WIDTH = float(np.ptp(MEAN_FACE[:, 0]))

Render = Callable[[ImageArray, Points], ImageArray]
MapPoints = Callable[[Points, Points], Points]


@dataclass(frozen=True)
class Case:
    """A way to make a picture poor.

    Attributes:
        render: image and roughly its landmarks -> the poor image.
        moved: landmarks in the clean image, and the rough ones again -> where they are in the poor
            image.
    """

    name: str
    what: str
    render: Render
    moved: MapPoints


def poor_cases(shape: tuple[int, ...], eye: float) -> list[Case]:
    """Every degradation of a clip.

    Args:
        shape: of its frames, (H, W, 3).
        eye: px between the outer eye corners.
    """
    height, width = shape[:2]
    cases = [
        _same_place("clean", "as it is", lambda image, _: image),
        Case("turned 90", "a quarter clockwise",
             lambda i, _: cv2.rotate(i, cv2.ROTATE_90_CLOCKWISE),
             lambda p, _: np.column_stack([height - 1 - p[:, 1], p[:, 0]])),
        Case("turned 180", "upside down",
             lambda i, _: cv2.rotate(i, cv2.ROTATE_180),
             lambda p, _: (width - 1, height - 1) - p),
        Case("turned 270", "a quarter counter-clockwise",
             lambda i, _: cv2.rotate(i, cv2.ROTATE_90_COUNTERCLOCKWISE),
             lambda p, _: np.column_stack([p[:, 1], width - 1 - p[:, 0]])),
        Case("mirrored", "left is right",
             lambda i, _: np.ascontiguousarray(i[:, ::-1]),
             lambda p, _: (np.array([(width - 1, 0)]) + p * (-1, 1))[MIRRORED]),
        _same_place("gray", "three equal channels",
                    lambda i, _: cv2.cvtColor(cv2.cvtColor(i, cv2.COLOR_RGB2GRAY),
                                              cv2.COLOR_GRAY2RGB)),
        _same_place("infrared-like", ".75 red + .25 inverted blue, 1st to 99th percentile "
                    "stretched, noise of 4", _infrared),
        _same_place("dark", "x .15, noise of 3", lambda i, _: _exposed(i, 0.15, 3.0)),
        _same_place("very dark", "x .05, noise of 3", lambda i, _: _exposed(i, 0.05, 3.0)),
        _same_place("over-exposed", "x 2.5, clipped", lambda i, _: _exposed(i, 2.5, 0.0)),
        _framed("letterboxed", "between black bars above and below, on 9:16", 1.0, (9, 16), shape),
        _framed("small in 16:9", "at half its size in a black 16:9", 0.5, (16, 9), shape),
        _resized("face 120 px", "shrunk (or grown) until the face is 120 px wide",
                 120 / (FACE_WIDTH * eye), shape),
        _resized("face 60 px", "until it is 60 px wide", 60 / (FACE_WIDTH * eye), shape),
        _resized("4K", "enlarged to 3840 px of width", 3840 / width, shape),
        _same_place("glasses", "dark frames and a pale reflex drawn by landmarks", _glasses),
        _same_place("sunglasses", "the same with dark glasses", _sunglasses),
        _same_place("mask", "a surgical mask drawn by landmarks", _mask),
        *(_turned(yaw) for yaw in (30, 45, 60, 75, 90)),
    ]  # fmt: skip
    return cases


def _same_place(name: str, what: str, render: Render) -> Case:
    return Case(name, what, render, lambda points, _: points)


def _exposed(image: ImageArray, gain: float, noise: float) -> ImageArray:
    light = image * np.float32(gain)
    if noise:
        rng = np.random.default_rng(int(image[::16, ::16].sum()))
        light = light + rng.standard_normal(image.shape, np.float32) * np.float32(noise)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def _infrared(image: ImageArray, _: Points) -> ImageArray:
    """Skin and lips bright, eyes dark, as near infrared shows them; nothing of its physics."""
    gray = 0.75 * image[..., 0].astype(np.float32) + 0.25 * (255 - image[..., 2].astype(np.float32))
    low, high = np.percentile(gray, (1, 99))
    gray = (gray - low) * np.float32(255 / max(high - low, 1))
    return _exposed(np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[..., None], 3, 2), 1.0, 4.0)


def _resized(name: str, what: str, scale: float, shape: tuple[int, ...]) -> Case:
    size = round(shape[1] * scale), round(shape[0] * scale)
    ratio = np.array(size) / (shape[1], shape[0])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return Case(
        name,
        what,
        lambda image, _: cv2.resize(image, size, interpolation=how),
        lambda points, _: (points + 0.5) * ratio - 0.5,
    )


def _framed(
    name: str, what: str, scale: float, aspect: tuple[int, int], shape: tuple[int, ...]
) -> Case:
    """The picture, resized, in the middle of a black frame of an aspect (w, h)."""
    small = _resized(name, what, scale, shape)
    inner_w, inner_h = round(shape[1] * scale), round(shape[0] * scale)
    w, h = aspect
    # The whole picture would fit into the frame even at its own size.
    side = max(shape[1] / w, shape[0] / h)
    outer_w, outer_h = round(side * w), round(side * h)
    left, top = (outer_w - inner_w) // 2, (outer_h - inner_h) // 2
    shift = np.array((left, top))

    def render(image: ImageArray, rough: Points) -> ImageArray:
        frame = np.zeros((outer_h, outer_w, 3), np.uint8)
        frame[top : top + inner_h, left : left + inner_w] = small.render(image, rough)
        return frame

    return Case(name, what, render, lambda p, rough: small.moved(p, rough) + shift)


# Drawing at 1/16 px, so that what is drawn moves with the face.
_BITS = 4


def _at(points: Points) -> npt.NDArray[np.int32]:
    return np.rint(np.asarray(points) * 2**_BITS).astype(np.int32)


def _turned(yaw: int) -> Case:
    what = f"the head as a textured mesh of the mean face's depth, turned by {yaw} degrees"
    return Case(
        f"yaw {yaw}",
        what,
        lambda image, rough: turned_head(image, rough, yaw),
        lambda points, rough: turned_points(points, rough, yaw),
    )


def _spectacles(image: ImageArray, rough: Points, tint: float) -> ImageArray:
    """Dark frames; `tint` is how much of the light the glasses keep back."""
    image = image.copy()
    place, eye = upright(rough)
    thick = max(1, round(0.035 * eye))
    round_ = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    lenses = []
    for x in (-0.345, 0.345):
        # A superellipse: rounded corners, as most frames have.
        c, s = np.cos(round_), np.sin(round_)
        lens = np.column_stack(
            [x + 0.27 * np.sign(c) * np.abs(c) ** 0.7, -0.13 + 0.2 * np.sign(s) * np.abs(s) ** 0.7]
        )
        lenses.append(_at(applied(place, lens)))
    if tint:
        cover = np.zeros(image.shape[:2], np.uint8)
        for lens in lenses:
            cv2.fillPoly(cover, [lens], 255, cv2.LINE_AA, _BITS)
        share = (cover / 255 * tint).astype(np.float32)[..., None]
        image = np.rint(image * (1 - share) + 20 * share).astype(np.uint8)
    else:
        # A reflex: a pale bar across each lens.
        pale = image.copy()
        for x in (-0.42, 0.27):
            bar = np.array([(x, -0.28), (x + 0.07, -0.28), (x + 0.01, 0.02), (x - 0.06, 0.02)])
            cv2.fillPoly(pale, [_at(applied(place, bar))], (255, 255, 255), cv2.LINE_AA, _BITS)
        image = cv2.addWeighted(pale, 0.35, image, 0.65, 0)
    lines = [*lenses, *(
        _at(applied(place, np.array(line)))
        for line in (
            [(-0.08, -0.16), (0, -0.19), (0.08, -0.16)],
            [(-0.61, -0.18), (-0.78, -0.2)],
            [(0.61, -0.18), (0.78, -0.2)],
        )
    )]  # fmt: skip
    for k, line in enumerate(lines):
        cv2.polylines(image, [line], k < 2, (25, 22, 20), thick, cv2.LINE_AA, _BITS)
    return image


def _glasses(image: ImageArray, rough: Points) -> ImageArray:
    return _spectacles(image, rough, 0.0)


def _sunglasses(image: ImageArray, rough: Points) -> ImageArray:
    return _spectacles(image, rough, 0.95)


def _mask(image: ImageArray, rough: Points) -> ImageArray:
    """From the nose's ridge to below the chin, pale blue, with three folds and ear loops."""
    image = image.copy()
    place, eye = upright(rough)
    ridge = 0.5 * (rough[28] + rough[29])
    chin = rough[5:12] + 0.06 * eye * (place[:, 1] / eye)
    edge = np.concatenate([[rough[2]], [0.5 * (rough[2] + ridge) - 0.04 * place[:, 1]], [ridge],
                           [0.5 * (rough[14] + ridge) - 0.04 * place[:, 1]], [rough[14]],
                           [rough[12]], chin[::-1], [rough[4]]])  # fmt: skip
    cv2.fillPoly(image, [_at(edge)], (168, 196, 216), cv2.LINE_AA, _BITS)
    thick = max(1, round(0.012 * eye))
    for share in (0.35, 0.55, 0.75):
        middle = ridge + share * (chin[3] - ridge) + 0.03 * place[:, 1]
        left, right = (rough[a] + share * (rough[b] - rough[a]) for a, b in ((2, 5), (14, 11)))
        fold = np.array([left * 0.85 + middle * 0.15, middle, right * 0.85 + middle * 0.15])
        cv2.polylines(image, [_at(fold)], False, (132, 160, 184), thick, cv2.LINE_AA, _BITS)
    for a, b in ((2, 0), (4, 0), (14, 16), (12, 16)):
        loop = np.array([rough[a], rough[b] + 0.15 * place[:, 1]])
        cv2.polylines(image, [_at(loop)], False, (235, 235, 235), thick, cv2.LINE_AA, _BITS)
    return image
