"""The motion of windows by torch: that of the CPU, whatever the batches, wherever a run ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from painted_face import painted, shown

from aumer.cache import FeatureCache
from aumer.config import MotionSettings, load_settings
from aumer.face.mean_face import MEAN_FACE
from aumer.face.track import FaceTracker
from aumer.flow.lucas_kanade import Pyramid, Windows
from aumer.flow.lucas_kanade_torch import Pyramids, WindowStack
from aumer.motion.analysis import analyze, cache_key
from aumer.motion.joined import Analysis
from aumer.motion.mdmo import ROIS
from aumer.motion.runs import Motions, RunMotion
from aumer.motion.windows import WindowMotion
from aumer.motion.windows_torch import TorchWindowMotion
from aumer.testing.moving_face import film, smile
from aumer.video import open_video

SETTINGS: MotionSettings = replace(load_settings().motion, preset="windows")
#: px of the crop that torch's motion may differ by from the CPU's.
CLOSE = 1e-3
Frames = Sequence[tuple[np.ndarray, np.ndarray]]


def measured(
    make: Callable[[Executor, MotionSettings], RunMotion],
    frames: Frames,
    settings: MotionSettings = SETTINGS,
) -> tuple[np.ndarray, np.ndarray]:
    """Steps (n - 1, R, 2) and confidence (n - 1, R) of one run."""
    with ThreadPoolExecutor(2) as pool:
        motion = make(pool, settings)
        for image, landmarks in frames:
            motion.add(image, landmarks)
        return motion.steps()


def by_torch(batch: int) -> Callable[[Executor, MotionSettings], RunMotion]:
    return partial(TorchWindowMotion, device="cpu", batch=batch)


def assert_same(frames: Frames, batch: int, settings: MotionSettings = SETTINGS) -> np.ndarray:
    """The steps, which are the CPU's."""
    wanted, sure = measured(WindowMotion, frames, settings)
    steps, confidence = measured(by_torch(batch), frames, settings)
    assert steps.shape == (max(0, len(frames) - 1), sure.shape[1], 2)
    assert steps.dtype == confidence.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(steps), np.isnan(wanted))
    np.testing.assert_allclose(steps, wanted, atol=CLOSE)
    np.testing.assert_allclose(confidence, sure, atol=CLOSE)
    return steps


@lru_cache(maxsize=4)
def skin(mirrored: bool = False) -> np.ndarray:
    texture = painted(grain=4)
    return np.ascontiguousarray(texture[:, ::-1]) if mirrored else texture


@lru_cache(maxsize=1)
def _corner() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of the texture, and a bell round the left mouth corner in it."""
    unit, middle = 200, 3.0  # as `painted` makes it
    rows, columns = np.mgrid[0 : 2 * middle * unit, 0 : 2 * middle * unit].astype(np.float32)
    x, y = (MEAN_FACE[ROIS["mouth_l"], :2] + middle) * unit
    square = (columns - x) ** 2 + (rows - y) ** 2
    return rows, columns, np.exp(-square / (2 * (0.15 * unit) ** 2)).astype(np.float32)


@lru_cache(maxsize=128)
def _frame(k: int, eyes: float, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Frame k of a face that sways, turns and grows while its left mouth corner is pulled."""
    rows, columns, bell = _corner()
    pull = bell * np.float32(4 * np.sin(k / 4))
    pulled = cv2.remap(skin(mirrored), columns - pull, rows + pull, cv2.INTER_LINEAR)
    at = (150 + 6 * np.sin(k / 5), 150 + 4 * np.cos(k / 7))
    size = eyes * (1 + 0.02 * np.sin(k / 9))
    return shown(pulled, size, turn=0.05 * np.sin(k / 6), at=at, size=300)


def acting(
    count: int, eyes: float = 90.0, mirrored: bool = False
) -> list[tuple[np.ndarray, np.ndarray]]:
    frames = [_frame(k, eyes, mirrored) for k in range(count)]
    return [(image.copy(), landmarks) for image, landmarks in frames]


# WindowMotion's numbers


def test_a_face_that_moves() -> None:
    """Over more frames than any is measured against, so that the oldest are let go of."""
    settings = replace(SETTINGS, rate=10.0)  # measured against the last 9 frames at most
    steps = assert_same(acting(24), batch=8, settings=settings)
    mouth = np.abs(np.cumsum(steps[:, list(ROIS).index("mouth_l")], axis=0)).max()
    assert mouth > 0.5  # there was something to see


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_runs_as_short_as_can_be_and_of_a_batch_and_one_more(count: int) -> None:
    assert_same(acting(count), batch=4)


@pytest.mark.parametrize("eyes", [40.0, 64.0, 130.0])
def test_faces_of_any_size(eyes: float) -> None:
    assert_same(acting(6, eyes), batch=4)


@pytest.mark.parametrize(
    "changed", [{"rois": "ibug68"}, {"rois": "36 lip_upper 54"}, {"rate": 100.0}, {"crop": 96}]
)
def test_other_settings(changed: dict[str, Any]) -> None:
    assert_same(acting(12), batch=8, settings=replace(SETTINGS, **changed))


def test_windows_that_are_lost() -> None:
    """Something plain comes before a mouth corner and a brow."""
    frames = acting(9)
    for k in (7, 8):
        image, landmarks = frames[k]
        for roi in ("mouth_r", "brow_l_mid"):
            x, y = np.rint(landmarks[ROIS[roi]]).astype(int)
            image[y - 20 : y + 20, x - 20 : x + 20] = 120
    steps = assert_same(frames, batch=4)
    assert np.isfinite(steps).all()
    _, confidence = measured(by_torch(4), frames)
    assert confidence[6:, list(ROIS).index("mouth_r")].max() < 0.1


@pytest.mark.parametrize("black", [0, 3, 4, 9])
def test_a_frame_that_is_black(black: int) -> None:
    frames = acting(10)
    frames[black] = (np.zeros_like(frames[black][0]), frames[black][1])
    steps = assert_same(frames, batch=4)
    unknown = np.flatnonzero(np.isnan(steps).any(axis=(1, 2)))
    assert unknown.tolist() == [k for k in (black - 1, black) if 0 <= k < 9]


def test_another_face() -> None:
    """From the fifth frame on there is another face where the first one was."""
    frames = acting(5) + acting(10, mirrored=True)[5:]
    steps = assert_same(frames, batch=4)
    assert np.isnan(steps[4]).all()
    assert np.isfinite(np.delete(steps, 4, axis=0)).all()


def test_a_real_face(shared_data: Callable[[str], Path]) -> None:
    tracker = FaceTracker.from_settings(load_settings().face)
    frames = []
    for frame in islice(open_video(shared_data("videos/talking_neutral.mpg")), 34):
        face = tracker(frame.image)
        assert face is not None
        frames.append((frame.image, face.landmarks))
    assert_same(frames, batch=8)


# Batches, runs, devices


def test_batches_change_nothing() -> None:
    frames = acting(13)
    whole, sure = measured(by_torch(64), frames)
    for batch in (1, 5, 12, 13):
        steps, confidence = measured(by_torch(batch), frames)
        np.testing.assert_allclose(steps, whole, atol=1e-4)
        np.testing.assert_allclose(confidence, sure, atol=1e-4)


def test_what_it_keeps_of_frames_does_not_grow() -> None:
    settings = replace(SETTINGS, rate=5.0)  # measured against the last 4 frames at most
    with ThreadPoolExecutor(1) as pool:
        motion = TorchWindowMotion(pool, settings, device="cpu", batch=4)
        kept = []
        for image, landmarks in acting(24):
            motion.add(image, landmarks)
            if len(motion._measured) > 3:
                motion._measured[-1].result()
                assert motion._sights is not None
                sights = (motion._sights.head, motion._sights.rois.whole)
                kept.append(
                    sum(part.gray.untyped_storage().nbytes() for s in sights for part in s.levels)
                )
    assert len(set(kept)) == 1


def test_a_failure_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("aumer.motion.windows_torch.Pyramids", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        measured(by_torch(2), acting(9))


def test_everything_is_computed_where_the_frames_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that has shapes and no numbers, and refuses to be mixed with the CPU."""

    def every(mask: torch.Tensor) -> torch.Tensor:  # what of a mask is true, it cannot know
        return torch.arange(len(mask), device=mask.device)[:, None]

    monkeypatch.setattr(torch.Tensor, "nonzero", every)
    with pytest.raises(NotImplementedError, match=r"Cannot copy out of meta tensor") as caught:
        measured(partial(TorchWindowMotion, device="meta", batch=3), acting(3))
    assert ".cpu()" in str(caught.traceback[-1].statement)


def test_the_preset_names_it() -> None:
    with ThreadPoolExecutor(1) as pool:
        motion = Motions(replace(SETTINGS, preset="windows-torch"))(pool)
    assert isinstance(motion, TorchWindowMotion)


def test_a_run_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    """Chunks that lie in the cache are as good as those that are computed, bit for bit."""
    times = np.arange(50) / 30
    frames = film(times, bumps=smile(0.5, 0.8, 1.2), window=(130, 20, 320, 210), noise=1.0)
    settings = load_settings(
        overrides={"motion": {"preset": "windows-torch"}, "face": {"restart_s": 1.0}}
    )

    class Stop(Exception):
        pass

    def stop(done: int, _: int | None) -> None:
        if done == 40:
            raise Stop

    def run(**options: Any) -> Analysis:
        return analyze(frames, settings, fps=30, **options)

    expected = run()
    cache = FeatureCache(tmp_path, cache_key("content", settings, None, None))
    with pytest.raises(Stop):
        run(cache=cache, progress=stop)
    assert cache.chunks() == 1
    for _ in range(2):  # gone on with, then read
        found = run(cache=cache)
        np.testing.assert_array_equal(found.features.values, expected.features.values)
        np.testing.assert_array_equal(found.features.confidence, expected.features.confidence)
    assert found.features.valid.all()


# The windows themselves


SIDE = 96


def pictures(seed: int = 0, count: int = 3) -> np.ndarray:
    """(count, 96, 90) uint8: one texture, moved a little from each to the next."""
    noise = np.random.default_rng(seed).normal(size=(SIDE, 120)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3.0)
    scaled = 255 * (smooth - smooth.min()) / np.ptp(smooth)
    moved = [
        cv2.warpAffine(scaled, np.float32([[1, 0, -10 + 1.3 * k], [0, 1, 0.7 * k]]), (90, SIDE))
        for k in range(count)
    ]
    return np.stack(moved).astype(np.uint8)


@pytest.mark.parametrize("shape", [(96, 90), (31, 64), (17, 23)])
def test_pyramids_are_those_of_opencv(shape: tuple[int, int]) -> None:
    images = pictures()[:, : shape[0], : shape[1]]
    ours = Pyramids(torch.from_numpy(images.copy()), 2, 5)
    for k, image in enumerate(images):
        theirs = Pyramid(image, 2, 5)
        assert ours.rim == theirs.rim
        for a, b in zip(ours.images, theirs.images, strict=True):
            np.testing.assert_allclose(a[k], b[:, : a.shape[2]], atol=1e-3)  # theirs are wider


def test_windows_are_those_of_the_cpu() -> None:
    """Over the edges, beyond them, in plain places and without any hope to be found."""
    images = pictures()
    images[:, 60:, 60:] = 77
    points = np.array(
        [
            (20.3, 30.8),
            (45.0, 40.5),
            (0.2, 50.0),
            (89.4, 3.0),
            (80.0, 80.0),
            (60.1, 58.7),
            (-3.0, 20.0),
        ]
    )
    guess = points + np.array((1.5, -1.0))
    guess[1] = (12.0, 70.0)
    every, levels, side = np.arange(len(points)), 1, 15
    stack = Pyramids(torch.from_numpy(images), levels, side // 2)
    taken = WindowStack.cut(stack, torch.from_numpy(points).expand(3, -1, -1), side)
    of, which = [0, 2, 1, 0], [1, 0, 1, 2]
    moved, misfit = taken.find(
        torch.tensor(of), stack, torch.tensor(which), torch.from_numpy(guess).expand(4, -1, -1)
    )
    theirs = [Pyramid(image, levels, side // 2) for image in images]
    for pair, (a, b) in enumerate(zip(of, which, strict=True)):
        windows = Windows(len(points), side, levels)
        windows.take(theirs[a], points, every)
        wanted, apart = windows.find(theirs[b], guess, every)
        np.testing.assert_allclose(moved[pair], wanted, atol=CLOSE)
        np.testing.assert_allclose(misfit[pair], apart, atol=1e-2)
        np.testing.assert_allclose(taken.contrast()[a], windows.contrast(every), rtol=1e-4)
    lost = ~np.isfinite(misfit.numpy())
    assert lost.any() and not lost.all()


def test_all_pairs_of_a_stack_are_found_as_if_alone() -> None:
    images = torch.from_numpy(pictures(1, 4))
    points = torch.from_numpy(np.random.default_rng(2).uniform(12, 78, (4, 6, 2)))
    stack = Pyramids(images, 1, 6)
    taken = WindowStack.cut(stack, points, 13)
    of, which = torch.tensor([0, 0, 1, 2]), torch.tensor([1, 3, 2, 3])
    moved, misfit = taken.find(of, stack, which, points[of])
    for k in range(4):
        one, apart = taken.find(of[k : k + 1], stack, which[k : k + 1], points[of[k : k + 1]])
        np.testing.assert_allclose(moved[k], one[0], atol=1e-4)
        np.testing.assert_allclose(misfit[k], apart[0], atol=1e-3)
    again = taken.last(2).followed_by(taken.last(1))
    assert again.points.shape == (3, 6, 2)
    np.testing.assert_array_equal(again.contrast(), taken.contrast()[[2, 3, 3]])
