"""Motion by windows, on a painted face whose every point is known."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from painted_face import painted, shown
from scipy.ndimage import map_coordinates

from aumer.config import MotionSettings, load_settings
from aumer.graph.rois import DEFAULT_ROIS, roi_set
from aumer.motion.windows import WindowMotion

SETTINGS: MotionSettings = replace(load_settings().motion, preset="windows")
#: px between the outer eye corners in the pictures, and in the crop that motion is told in.
EYES, UNIT = 100, 64
ROIS = list(DEFAULT_ROIS.landmarks)
BROW, NOSE, LIP = 1, 7, 11


@pytest.fixture(scope="module")
def skin() -> np.ndarray:
    return painted(grain=6)


def measured(
    frames: list[np.ndarray],
    landmarks: list[np.ndarray] | np.ndarray,
    settings: MotionSettings = SETTINGS,
    workers: int = 2,
) -> tuple[np.ndarray, np.ndarray]:
    """Steps in u and confidence of frames, all with the same landmarks if one set is given."""
    marks = [landmarks] * len(frames) if isinstance(landmarks, np.ndarray) else landmarks
    with ThreadPoolExecutor(workers) as pool:
        motion = WindowMotion(pool, settings)
        for frame, points in zip(frames, marks, strict=True):
            motion.add(frame, points)
        return motion.steps()


def noisy(image: np.ndarray, seed: int, sd: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sd, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def pushed(image: np.ndarray, at: np.ndarray, by: tuple[float, float], sigma: float) -> np.ndarray:
    """The picture with a Gaussian bump of skin moved by so many px round a point."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = columns.copy(), rows.copy()
    for _ in range(8):  # p + d(p) = q, solved for p
        bell = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * sigma**2))
        x, y = columns - by[0] * bell, rows - by[1] * bell
    planes = [
        map_coordinates(image[..., c].astype(np.float64), (y, x), order=3, mode="nearest")
        for c in range(3)
    ]
    return np.clip(np.rint(np.stack(planes, axis=-1)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("roi", [BROW, NOSE, LIP])
@pytest.mark.parametrize("size", [0.1, 0.5, 1.5])
def test_a_small_movement_is_reported_whole(skin: np.ndarray, roi: int, size: float) -> None:
    image, landmarks = shown(skin, EYES)
    angle = 0.8 if roi == BROW else 2.2
    middle = size * np.array([np.cos(angle), np.sin(angle)])
    by = tuple(middle * EYES / UNIT)
    moved = pushed(image, landmarks[ROIS[roi]], by, sigma=0.15 * EYES)
    # An ROI's motion is the mean over its 11 x 11 u, of which a bump's middle has more.
    along = np.exp(-(np.arange(-5, 6) ** 2) / (2 * (0.15 * UNIT) ** 2))
    true = middle * along.mean() ** 2
    frames = [noisy(image, k) for k in range(6)] + [noisy(moved, 10 + k) for k in range(6)]
    steps, confidence = measured(frames, landmarks)
    path = np.concatenate([np.zeros((1, len(ROIS), 2)), steps.cumsum(axis=0)])[:, roi]
    found = path[6:].mean(axis=0) - path[:6].mean(axis=0)
    np.testing.assert_allclose(found, true, atol=0.02 + 0.04 * size)
    assert 0.9 <= found @ true / (true @ true) <= 1.1 or size < 0.3  # dense TV-L1: .4
    assert confidence.min() > 0.5


def test_what_the_whole_head_does_is_taken_off(skin: np.ndarray) -> None:
    frames, marks = [], []
    for k in range(20):
        at = (160 + 1.5 * k, 160 - 0.8 * k)
        image, landmarks = shown(skin, EYES + 0.5 * k, turn=0.01 * k, at=at, size=400)
        frames.append(noisy(image, k))
        marks.append(landmarks)
    # Landmarks that jitter move the crop, and must not move the face.
    rng = np.random.default_rng(3)
    marks = [m + rng.normal(0, 0.5, m.shape).astype(np.float32) for m in marks]
    steps, _ = measured(frames, marks)
    path = steps.cumsum(axis=0)
    assert np.hypot(*np.moveaxis(path, -1, 0)).max() < 0.35  # of 30 px and 10 degrees


@pytest.mark.parametrize(("gain", "offset"), [(0.9, 0.0), (1.1, 0.0), (1.0, 12.0), (0.93, 9.0)])
def test_light_is_no_motion(skin: np.ndarray, gain: float, offset: float) -> None:
    image, landmarks = shown(skin, EYES)
    image = (60 + 0.5 * image).astype(np.uint8)  # nothing saturates
    lit = np.clip(image * gain + offset, 0, 255)
    steps, _ = measured(
        [noisy(lit if k % 4 > 1 else image, k, sd=0.5) for k in range(16)], landmarks
    )
    assert np.abs(steps.cumsum(axis=0)).max() < 0.08


def test_errors_do_not_add_up(skin: np.ndarray) -> None:
    image, landmarks = shown(skin, EYES)
    steps, _ = measured([noisy(image, k, sd=4.0) for k in range(90)], landmarks)
    path = np.concatenate([np.zeros((1, len(ROIS), 2)), steps.cumsum(axis=0, dtype=np.float64)])

    def spread(lag: int) -> float:
        return float(np.sqrt(((path[lag:] - path[:-lag]) ** 2).mean()))

    # Of a walk it would be over five times as much.
    assert spread(60) < 2.5 * spread(2)
    assert spread(60) > 0


def test_what_one_frame_hides_does_not_end_the_path(skin: np.ndarray) -> None:
    image, landmarks = shown(skin, EYES)
    moved = pushed(image, landmarks[ROIS[LIP]], (0.0, 1.5), sigma=0.15 * EYES)
    frames = [image] * 6 + [np.zeros_like(image)] + [moved] * 6
    steps, confidence = measured([noisy(f, k) for k, f in enumerate(frames)], landmarks)
    known = np.isfinite(steps).all(axis=(1, 2))
    assert known.tolist() == [True] * 5 + [False] * 2 + [True] * 5
    assert (confidence[~known] == 0).all()
    assert np.abs(steps[known]).max() < 0.1  # no jump from what was before to what is after


def test_two_faces_are_not_one_in_motion(skin: np.ndarray) -> None:
    image, landmarks = shown(skin, EYES)
    other, _ = shown(np.ascontiguousarray(skin[::-1, ::-1]), EYES)
    steps, _ = measured([image] * 3 + [other] * 3, landmarks)
    known = np.isfinite(steps).all(axis=(1, 2))
    assert known.tolist() == [True, True, False, True, True]


def test_what_is_covered_is_not_trusted(skin: np.ndarray) -> None:
    image, landmarks = shown(skin, EYES)
    covered = image.copy()
    x, y = landmarks[ROIS[LIP]].round().astype(int)
    covered[y - 14 : y + 14, x - 14 : x + 14] = np.random.default_rng(1).integers(
        0, 255, (28, 28, 3), np.uint8
    )
    steps, confidence = measured(
        [noisy(image, k) for k in range(5)] + [noisy(covered, 9)], landmarks
    )
    assert np.isfinite(steps).all()
    assert confidence[-1, LIP] < 0.3 < 0.8 < confidence[-1, BROW]
    assert confidence[:-1].min() > 0.8


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_runs(skin: np.ndarray, count: int) -> None:
    image, landmarks = shown(skin, EYES)
    steps, confidence = measured([image] * count, landmarks)
    assert steps.shape == (max(0, count - 1), len(ROIS), 2)
    assert confidence.shape == steps.shape[:2]
    assert steps.dtype == confidence.dtype == np.float32
    np.testing.assert_allclose(steps, 0, atol=1e-3)


def test_workers_and_repetition_change_nothing(skin: np.ndarray) -> None:
    image, landmarks = shown(skin, EYES)
    frames = [noisy(image, k, sd=3.0) for k in range(40)]
    first = measured(frames, landmarks, workers=1)
    for workers in (2, 5):
        for one, other in zip(first, measured(frames, landmarks, workers=workers), strict=True):
            np.testing.assert_array_equal(one, other)


def test_any_rois_and_any_unit(skin: np.ndarray) -> None:
    image, landmarks = shown(skin, EYES)
    rois = roi_set("inner51")
    moved = pushed(image, landmarks[ROIS[LIP]], (0.0, 1.5), sigma=0.15 * EYES)
    settings = replace(SETTINGS, rois="inner51", crop=256)
    frames = [image, image, moved]
    steps, _ = measured(frames, landmarks, settings)
    assert steps.shape == (2, 51, 2)
    plain, _ = measured(frames, landmarks)
    columns = [rois.landmarks.index(k) for k in ROIS]
    np.testing.assert_allclose(steps[:, columns], 2 * plain, atol=1e-5)
