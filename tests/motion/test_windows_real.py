"""Motion by windows on real frames: known motion played into them, and the noise of a still face.

A small part of `benchmarks/accuracy/motion.py`, with margins.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from aumer.config import load_settings
from aumer.face.track import FaceTracker
from aumer.graph.rois import DEFAULT_ROIS
from aumer.motion.windows import WindowMotion
from aumer.simulate.neutral_motion import Skin, moved
from aumer.testing.bumps import U, bump, mean_motion
from aumer.types import ImageArray
from aumer.video import open_video

SETTINGS = load_settings()
ROIS = DEFAULT_ROIS.landmarks
#: Of the bumps, outer-eye distances.
SIGMA = 0.15
CLIPS = ("videos_more/still_neutral.mp4", "videos/fex_smile_still.mov", "videos/selfie_smile.mp4")
#: Frames before the movement and with it.
BEFORE, AFTER = 4, 4


@pytest.fixture(scope="module")
def neutral(shared_data: Callable[[str], Path]) -> Callable[[str, int], tuple[list, np.ndarray]]:
    def read(name: str, count: int) -> tuple[list[ImageArray], np.ndarray]:
        with closing(open_video(shared_data(name))) as video:
            frames = [frame.image for frame in islice(video, count)]
        with closing(FaceTracker.from_settings(SETTINGS.face)) as tracker:
            faces = [tracker(image) for image in frames]
        assert all(faces)
        return frames, np.stack([face.landmarks for face in faces if face is not None])

    return read


def path_of(frames: list[ImageArray], landmarks: np.ndarray) -> np.ndarray:
    """(T, R, 2) u."""
    with ThreadPoolExecutor(2) as pool:
        motion = WindowMotion(pool, SETTINGS.motion)
        for image, marks in zip(frames, landmarks, strict=True):
            motion.add(image, marks)
        steps = motion.steps()[0].astype(np.float64)
    assert np.isfinite(steps).all()
    scale = U / (SETTINGS.motion.crop / 2)
    return np.concatenate([np.zeros((1, len(ROIS), 2)), steps.cumsum(axis=0)]) * scale


def test_motion_played_into_real_frames_is_reported_whole(
    neutral: Callable[[str, int], tuple[list[ImageArray], np.ndarray]],
) -> None:
    height = 0.2
    gains: dict[int, list[float]] = {roi: [] for roi in range(len(ROIS))}
    errors, sizes = [], []
    for number, name in enumerate(CLIPS):
        frames, landmarks = neutral(name, BEFORE + AFTER)
        skin = Skin.of(landmarks)
        still = path_of(frames, landmarks)
        for roi in gains:
            field = bump(skin, roi, SIGMA, angle=roi + 2.0 * number)
            played = [
                moved(frame, skin.to_face[k], [(field, height)], (number, k))
                if k >= BEFORE
                else frame
                for k, frame in enumerate(frames)
            ]
            found = (path_of(played, landmarks) - still)[BEFORE:, roi].mean(axis=0)
            true = mean_motion(skin, field, roi) * height
            gains[roi].append(float(found @ true / (true @ true)))
            errors.append(float(np.hypot(*(found - true))))
            sizes.append(float(np.hypot(*true)))
    mean = {DEFAULT_ROIS.names[roi]: float(np.mean(g)) for roi, g in gains.items()}
    assert 0.95 <= np.mean(list(mean.values())) <= 1.05
    assert min(mean.values()) >= 0.90, mean  # .88 while windows near an ROI counted as head
    assert np.mean(errors) <= 0.015 + 0.05 * np.mean(sizes)


def test_a_still_face_is_measured_within_the_noise_floor(
    neutral: Callable[[str, int], tuple[list[ImageArray], np.ndarray]],
) -> None:
    path = path_of(*neutral("videos_more/still_neutral.mp4", 150)) / U
    after = 15  # half a second
    apart = np.hypot(*np.moveaxis(path[after:] - path[:-after], -1, 0))
    rms = np.sqrt((apart**2).mean(axis=0))
    assert np.median(rms) <= 0.0012
    assert rms.max() <= 0.0025
