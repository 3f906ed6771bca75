"""Landmarks carried by flow, against known motion of a real portrait."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from aumer.face.carried import CarriedLandmarker
from aumer.face.interface import Landmarker, box_round
from aumer.face.models import MeshLandmarker
from aumer.graph.rois import roi_set
from aumer.testing.moving_face import Bump, brow_raise, film, smile
from aumer.types import FloatArray, ImageArray

ROIS = list(roi_set("published").landmarks)
#: The film shows the portrait this many times larger; its outer eye corners lie 63 px apart.
SCALE, WINDOW = 1.5, (110, 0, 350, 240)
EYES = 63 * SCALE
#: Box of the face in that window.
BOX = np.array([175 - 110, 70, 275 - 110, 180], np.float32) * SCALE


class Counting(Landmarker):
    """A landmarker that counts its looks, and whose points jitter."""

    def __init__(self, jitter: float = 0.0) -> None:
        self._mesh = MeshLandmarker()
        self._jitter = jitter
        self._random = np.random.default_rng(0)
        self.looks = 0

    def _shaken(self, points: FloatArray | None) -> FloatArray | None:
        self.looks += 1
        if points is None:
            return None
        shaken: FloatArray = points + self._random.normal(size=(68, 2), scale=self._jitter).astype(
            np.float32
        )
        return shaken

    def __call__(self, image: ImageArray, box: FloatArray) -> FloatArray | None:
        return self._shaken(self._mesh(image, box))

    def near(self, image: ImageArray, landmarks: FloatArray) -> FloatArray | None:
        return self._shaken(self._mesh.near(image, landmarks))


def follow(landmarker: Landmarker, frames: ImageArray) -> np.ndarray:
    """(T, 68, 2) landmarks of a film, each box from the landmarks before."""
    found, box = [], BOX
    for frame in frames:
        points = landmarker(frame, box)
        assert points is not None
        found.append(points)
        box = box_round(points)
    return np.stack(found)


def scene(times: np.ndarray, **what: object) -> ImageArray:
    return film(times, scale=SCALE, window=WINDOW, noise=2.0, **what)  # type: ignore[arg-type]


def warped(image: ImageArray, matrix: np.ndarray, seed: int) -> ImageArray:
    moved = cv2.warpAffine(
        image, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    noise = np.random.default_rng(seed).normal(0, 2, image.shape)
    return np.clip(np.rint(moved + noise), 0, 255).astype(np.uint8)


def test_known_warps_below_a_pixel() -> None:
    """A twentieth of a percent of the outer-eye distance, a fifth of the network's own jitter."""
    image = film(np.zeros(1), scale=SCALE, window=WINDOW)[0]
    random = np.random.default_rng(1)
    middle = np.array(image.shape[1::-1]) / 2
    matrices = [np.eye(2, 3)]
    for _ in range(12):
        turn, growth = np.radians(random.uniform(-0.4, 0.4)), 1 + random.uniform(-0.006, 0.006)
        linear = growth * np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
        shift = random.uniform(-0.8, 0.8, 2)
        matrices.append(np.column_stack([linear, middle + shift - linear @ middle]))
    frames = np.stack([warped(image, m, k) for k, m in enumerate(matrices)])

    def error(landmarker: Landmarker) -> float:
        found = follow(landmarker, frames)
        true = np.stack([found[0] @ m[:, :2].T + m[:, 2] for m in matrices])
        return 100 * float(np.hypot(*(found - true)[1:, ROIS].T).mean()) / EYES

    carried = error(CarriedLandmarker(MeshLandmarker()))
    assert carried < 0.06
    assert carried < 0.4 * error(MeshLandmarker())


def test_landmarks_follow_what_moves() -> None:
    """A smile of 3 px of the portrait at its corners; a brow raise leaves the mouth alone."""
    times = np.arange(60) / 30
    found = follow(
        CarriedLandmarker(MeshLandmarker()),
        scene(times, bumps=(*smile(0.3, 0.6, 0.9), *brow_raise(1.1, 1.4, 1.8))),
    )
    moved = (found - found[:5].mean(axis=0)) / SCALE
    assert moved[18, 48] == pytest.approx((-2.1, -2.1), abs=0.9)
    assert moved[18, 54] == pytest.approx((2.1, -2.1), abs=0.9)
    assert np.abs(moved[18, [19, 24]]).max() < 0.35
    assert (moved[42, [19, 24], 1] < -1.7).all()
    assert np.abs(moved[42, [48, 54]]).max() < 0.35
    assert np.abs(moved[-3:, ROIS]).max() < 0.45


def test_a_jaw_that_drops_within_one_frame() -> None:
    drop = (Bump((224.0, 158.0), (0.0, 10.0), lambda t: float(t > 0.49), width=11.0),)
    found = follow(CarriedLandmarker(MeshLandmarker()), scene(np.arange(40) / 30, bumps=drop))
    mesh = follow(MeshLandmarker(), scene(np.arange(40) / 30, bumps=drop))
    for at in (slice(15, 17), slice(25, 40)):
        down = found[at, 55:60, 1].mean() - found[:14, 55:60, 1].mean()
        seen = mesh[at, 55:60, 1].mean() - mesh[:14, 55:60, 1].mean()
        assert seen > 3 * SCALE
        assert down > 0.75 * seen


@pytest.mark.parametrize(
    "light",
    [
        lambda t: 1 + 0.1 * np.sin(2 * np.pi * 0.7 * t),
        lambda t: 0.8 if 0.5 < t < 1.0 else 1.0,  # a dip of the automatic exposure
        lambda t: 1 + 0.05 * (-1) ** round(30 * t),  # flicker
    ],
)
def test_light_is_no_motion(light: Callable[[float], float]) -> None:
    times = np.arange(45) / 30
    frames = scene(times)
    gain = np.array([light(float(t)) for t in times])[:, None, None, None]
    lit = np.clip(np.rint(frames * gain), 0, 255).astype(np.uint8)
    found = follow(CarriedLandmarker(MeshLandmarker()), lit)
    away = np.hypot(*(found - found[0])[:, ROIS].T) / EYES
    assert away.mean() < 0.0012
    assert away.max() < 0.006


def test_the_network_looks_in_now_and_then_and_its_jitter_stays_out() -> None:
    network = Counting(jitter=0.004 * EYES)
    frames = scene(np.arange(150) / 30)
    found = follow(CarriedLandmarker(network), frames)
    assert 4 <= network.looks <= 12
    second = (found[:-2] - 2 * found[1:-1] + found[2:])[:, ROIS] / np.sqrt(6) / EYES
    assert np.sqrt((second**2).mean()) < 0.0006


def test_the_network_is_leaned_to_by_what_is_beyond_its_doubt() -> None:
    frames = scene(np.arange(150) / 30)
    truth = follow(MeshLandmarker(), frames[:8]).mean(axis=0)
    for off, stays in ((0.004, True), (0.03, False)):
        landmarker = CarriedLandmarker(MeshLandmarker())
        landmarker.resume(frames[0], (truth + np.array([off * EYES, 0])).astype(np.float32))
        points = truth
        for frame in frames[1:]:
            found = landmarker.near(frame, points)
            assert found is not None
            points = found
        left = float((points - truth)[ROIS, 0].mean()) / (off * EYES)
        assert (0.7 < left < 1.3) if stays else (left < 0.8)


def test_a_pull_that_is_under_way_goes_on_when_the_network_looks_in() -> None:
    """What was left of it used to stay for good, and the face's home took it in."""
    frames = scene(np.zeros(80))
    for share in (0, 2, 5, 9):  # of the glide's frames before a look
        landmarker = CarriedLandmarker(Counting())
        (first,) = follow(landmarker, frames[:1])
        follow_on = frames[1 : 31 - share]
        box = box_round(first)
        for frame in follow_on:
            points = landmarker(frame, box)
        # As after a return home: where the landmarks are, and where they are to go.
        landmarker._starts += 0.02 * landmarker._eyes
        landmarker._pulls_left = 15
        for frame in frames[31 - share :]:
            points = landmarker(frame, box)
        assert points is not None
        assert 100 * np.hypot(*(points - first)[ROIS].T).max() / EYES < 0.4


def test_a_film_that_runs_back_ends_where_it_began() -> None:
    def sway(t: float) -> tuple[float, float, float, float]:
        return 4 * np.sin(2 * t), 3 * np.sin(3 * t), 0.01 * np.sin(2 * t), 2 * np.sin(2.5 * t)

    bumps = smile(0.2, 0.6, 1.4)
    times = np.arange(45) / 30
    frames = scene(np.concatenate([times, times[::-1]]), bumps=bumps, head=sway)
    found = follow(CarriedLandmarker(MeshLandmarker()), frames)
    away = np.hypot(*(found[45:] - found[44::-1])[:, ROIS].T) / EYES
    assert away[-5:].mean() < 0.003
    assert away.mean() < 0.004


def test_another_picture_is_not_the_same_face() -> None:
    landmarker = CarriedLandmarker(MeshLandmarker())
    frames = scene(np.arange(3) / 30)
    points = follow(landmarker, frames)[-1]
    other = np.ascontiguousarray(frames[0, ::-1])
    assert landmarker(other, box_round(points)) is None


def test_a_box_elsewhere_is_another_face() -> None:
    landmarker = CarriedLandmarker(MeshLandmarker())
    frames = scene(np.arange(2) / 30)
    wide = np.concatenate([frames, frames], axis=2)
    points = follow(landmarker, wide)[-1]
    moved = landmarker(wide[1], box_round(points) + np.float32([360, 0, 360, 0]))
    assert moved is not None
    np.testing.assert_allclose(moved - (360, 0), points, atol=0.03 * EYES)


def test_one_wild_movement_is_followed_or_found_anew() -> None:
    """A third of the face between two frames."""

    def jump(t: float) -> tuple[float, float, float, float]:
        return (30.0 if t > 0.3 else 0.0), 0.0, 0.0, 0.0

    frames = scene(np.arange(20) / 30, head=jump)
    found = follow(CarriedLandmarker(MeshLandmarker()), frames)
    shift = (found[12:].mean(axis=0) - found[:9].mean(axis=0))[ROIS]
    np.testing.assert_allclose(shift, np.tile([30 * SCALE, 0], (12, 1)), atol=0.02 * EYES)


@pytest.mark.parametrize("growth", [0.7, 0.85, 1.2, 1.35, 1.5, 1.8])
def test_a_jump_of_the_size_is_followed_exactly_or_is_another_shot(growth: float) -> None:
    """One look of the network, where the face was, is off by up to a fifth of the eye distance."""
    image = film(np.zeros(1), scale=SCALE, window=WINDOW)[0]
    middle = np.array(image.shape[1::-1]) / 2
    grown = np.column_stack([growth * np.eye(2), (1 - growth) * middle])
    frames = [warped(image, np.eye(2, 3), k) for k in range(12)]
    later = [warped(image, grown, 12 + k) for k in range(20)]
    landmarker = CarriedLandmarker(MeshLandmarker())
    points = follow(landmarker, np.stack(frames))[-1]
    found = landmarker.near(later[0], points)
    assert (found is None) == (not 0.8 < growth < 1.25)
    truth = points @ grown[:, :2].T + grown[:, 2]
    for frame in later if found is not None else ():
        found = landmarker.near(frame, found)
        assert found is not None
        assert 100 * np.hypot(*(found - truth)[ROIS].T).mean() / (growth * EYES) < 0.9


@pytest.mark.parametrize("far", [0.2, 0.35])
def test_a_picture_that_shakes_leaves_nothing_behind(far: float) -> None:
    """By up to so many outer-eye distances, to and fro within a few frames."""

    def shake(t: float) -> tuple[float, float, float, float]:
        way = far * EYES / SCALE
        return way * np.sin(39 * t), 0.66 * way * np.sin(51 * t), 0.0, 0.0

    times = np.arange(45) / 30
    found = follow(CarriedLandmarker(MeshLandmarker()), scene(times, head=shake))
    moved = SCALE * np.array([shake(t)[:2] for t in times])[:, None]
    away = np.hypot(*((found - moved) - (found - moved)[0])[:, ROIS].T).mean(axis=0) / EYES
    assert 100 * away.max() < 0.5


def test_points_are_the_same_whatever_was_seen_before() -> None:
    frames = scene(np.arange(20) / 30, bumps=smile(0.1, 0.3, 0.6))
    fresh = follow(CarriedLandmarker(MeshLandmarker()), frames)
    used = CarriedLandmarker(MeshLandmarker())
    follow(used, frames[::-1])
    used.reset()
    np.testing.assert_array_equal(follow(used, frames), fresh)


def test_it_goes_on_from_given_landmarks() -> None:
    frames = scene(np.arange(40) / 30, bumps=smile(0.3, 0.6, 1.0))
    whole = follow(CarriedLandmarker(MeshLandmarker()), frames)
    network = Counting()
    second = CarriedLandmarker(network)
    second.resume(frames[15], whole[15])
    assert network.looks == 0
    box, found = box_round(whole[15]), []
    for frame in frames[16:]:
        points = second(frame, box)
        assert points is not None
        found.append(points)
        box = box_round(points)
    assert np.hypot(*(np.stack(found) - whole[16:])[:, ROIS].T).mean() < 0.002 * EYES
