"""Cuts and dissolves whose place in time is known, and what must not pass for one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from aumer.testing import moving_face
from aumer.types import ImageArray
from aumer.video import open_video
from aumer.video.scenes import Scenes
from tests.cost import cpu_seconds

FPS = 30


def scene(seed: int, frames: int, sway: float = 1.0) -> ImageArray:
    """(T, 120, 160, 3): blots that move to and fro, with noise."""
    rng = np.random.default_rng(seed)
    still = rng.integers(0, 255, (10, 13, 3)).astype(np.uint8)
    still = cv2.resize(still, (200, 160), interpolation=cv2.INTER_CUBIC)
    shown = np.empty((frames, 120, 160, 3), np.uint8)
    for t in range(frames):
        x, y = 20 + sway * 6 * np.sin(t / 9), 20 + sway * 4 * np.sin(t / 7)
        picture = cv2.getRectSubPix(still, (160, 120), (x + 80, y + 60))
        noisy = picture + rng.normal(0, 1.5, picture.shape)
        shown[t] = noisy.clip(0, 255).astype(np.uint8)
    return shown


def dissolved(first: ImageArray, second: ImageArray, frames: int) -> ImageArray:
    share = (np.arange(1, frames + 1) / (frames + 1))[:, None, None, None]
    mixed = first[-frames:] * (1 - share) + second[:frames] * share
    return np.concatenate([first[:-frames], np.rint(mixed).astype(np.uint8), second[frames:]])


def seen(images: ImageArray, fps: float = FPS) -> tuple[list[int], list[tuple[int, int]]]:
    """Frames that begin a scene, and (since, at) of those that are mixed."""
    scenes, begins, mixed = Scenes(), [], []
    for k, image in enumerate(images):
        if scenes.see(image, k / fps):
            begins.append(k)
        if np.isfinite(scenes.mixed_since):
            mixed.append((round(scenes.mixed_since * fps), k))
    return begins, mixed


@pytest.mark.parametrize("fps", [5, 30, 100])
def test_a_cut_is_seen_at_its_frame(fps: int) -> None:
    film = np.concatenate([scene(1, 40), scene(2, 40), scene(3, 40)])
    assert seen(film, fps) == ([40, 80], [])


@pytest.mark.parametrize("frames", [2, 4, 8, 15, 30])
def test_all_of_a_dissolve_is_seen(frames: int) -> None:
    begins, mixed = seen(dissolved(scene(1, 60), scene(2, 60), frames))
    assert mixed
    marked = {k for since, at in mixed for k in range(since, at + 1)}
    assert set(range(60 - frames + frames // 10, 60 - frames // 10)) <= marked
    assert min(marked) >= 60 - frames - 18 and max(marked) <= 60 + 18  # .6 s
    assert begins[-1] > 60 - frames // 10  # and a scene begins after it


CALM: dict[str, Callable[[], ImageArray]] = {
    "moves": lambda: scene(1, 90),
    "fast": lambda: scene(1, 90, sway=2.0),
    "still": lambda: scene(1, 60, sway=0.0),
    "one picture": lambda: scene(1, 1).repeat(60, axis=0),
    "lamp": lambda: np.concatenate(
        [scene(1, 30), (scene(1, 30) * 0.55 + 10).astype(np.uint8), scene(1, 30)]
    ),
    "pulse": lambda: np.stack(
        [(i * (0.9 + 0.1 * np.sin(t / 4))).astype(np.uint8) for t, i in enumerate(scene(1, 90))]
    ),
    "fade": lambda: np.stack(
        [(i * (1 - t / 90)).astype(np.uint8) for t, i in enumerate(scene(1, 90, sway=0.3))]
    ),
    "somebody comes": lambda: np.concatenate(
        [scene(1, 30), np.where(np.arange(160)[:, None] < 60, scene(2, 30), scene(1, 30))]
    ),
}


@pytest.mark.parametrize("case", CALM)
def test_one_take_is_one_scene(case: str) -> None:
    assert seen(CALM[case]()) == ([], [])


@pytest.mark.parametrize("speed", [1.0, 3.0, 20.0])
def test_a_picture_that_drifts_is_one_scene(speed: float) -> None:
    """Between whole pixels a drawn picture is mixed of two, and is no dissolve."""
    scenes = Scenes()
    drifting = moving_face.film(np.arange(40) / 30, head=lambda t: (speed * t, 0, 0, 0), scale=1.5)
    for k, image in enumerate(drifting):
        assert not scenes.see(image, k / 30) and np.isnan(scenes.mixed_since)


def test_it_goes_on_from_its_state() -> None:
    film = dissolved(scene(1, 60), scene(2, 60), 15)
    for stop in (20, 50, 55, 63, 66):
        whole, first, second = Scenes(), Scenes(), Scenes()
        for k, image in enumerate(film[:stop]):
            whole.see(image, k / FPS)
            first.see(image, k / FPS)
        second.restore(first.state())
        np.testing.assert_equal(second.mixed_since, first.mixed_since)
        for k, image in enumerate(film[stop:], stop):
            assert second.see(image, k / FPS) == whole.see(image, k / FPS)
            np.testing.assert_equal(second.mixed_since, whole.mixed_since)
    second.reset()
    assert not second.see(film[0], 0.0)


def test_large_pictures_cost_little_more_than_small_ones() -> None:
    """So a video of any size can be looked at whole."""

    def cost(times_as_large: int) -> float:
        film = [x.repeat(times_as_large, 0).repeat(times_as_large, 1) for x in scene(1, 40)]

        def see() -> None:
            scenes = Scenes()
            for k, image in enumerate(film):
                scenes.see(image, k / FPS)

        return cpu_seconds(see)

    assert cost(8) < 8 * cost(1)  # of 64 times as many pixels


#: Frames that begin another take.
CUTS: dict[str, list[int]] = {
    "videos/face_then_no_face.mov": [73],
    "videos/no_face_then_face.mov": [96],
    "videos/fex_smile_still.mov": [],
    "videos/fex_two_smiles.mov": [],
    "videos/selfie_smile.mp4": [],
    "videos/smile_512.mp4": [],
    "videos/talking_neutral.mpg": [],
    "videos/webcam_mixed.mp4": [],
    "videos_more/still_neutral.mp4": [],
    "videos_more/webcam_posed.mp4": [],
    "faults/light_film.mp4": [],
    "faults/light_pulse5.mp4": [],
    "faults/dup4in30.mp4": [],
    "faults/fps4.mp4": [],
}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("every", [1, 3])
def test_real_takes(name: str, every: int, shared_data: Callable[[str], Path]) -> None:
    scenes, begins = Scenes(), []
    reader = open_video(shared_data(name), keep=lambda index, time_s: index % every == 0)
    for frame in reader:
        if scenes.see(frame.image, frame.time_s):
            begins.append(frame.index)
        assert np.isnan(scenes.mixed_since)
    assert begins == [-(-cut // every) * every for cut in CUTS[name]]


def _clip(path: Path, frames: int = 70) -> ImageArray:
    shown: list[Any] = []
    for frame in open_video(path, keep=lambda index, time_s: index < frames):
        shown.append(cv2.resize(frame.image, (320, 240), interpolation=cv2.INTER_AREA))
    return np.array(shown)


@pytest.mark.parametrize("frames", [0, 8, 15, 30])
def test_no_motion_between_two_people(frames: int, shared_data: Callable[[str], Path]) -> None:
    """Each dissolve between these was a macro-expression, with motion of up to 38 px."""
    import aumer

    first = _clip(shared_data("videos/selfie_smile.mp4"))
    second = _clip(shared_data("videos/smile_512.mp4"))
    film = dissolved(first, second, frames) if frames else np.concatenate([first, second])
    result = aumer.spot(film, fps=FPS, model="rules")
    features = result.features
    assert features is not None
    over = (features.frames >= 70 - max(frames, 1)) & (features.frames < 70)
    assert over.sum() >= max(frames, 1) - 1
    # Of the first pictures of a dissolve of a second next to nothing is to be seen.
    assert features.valid[over].sum() <= frames // 30
    assert not any(e.onset < 70 - frames and e.offset >= 70 for e in result.expressions)
    assert result.coverage == pytest.approx(features.valid.mean())
    assert result.coverage < 1


if sys.platform == "win32":  # thread_time ticks at 16 ms there
    del test_large_pictures_cost_little_more_than_small_ones
