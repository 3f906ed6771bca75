"""The contracts of `aumer.face.interface`, kept by every registered back end.

A back end that is registered is tested here without another line, if it needs no arguments. None is
skipped but MediaPipe where the extra `mediapipe` is not installed (.ci/run installs it, for these
tests, in an environment of its own); weights that cannot be shipped are made in conftest.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer import registry
from aumer.config import load_settings
from aumer.errors import UsageError
from aumer.face.carried import CarriedLandmarker
from aumer.face.interface import Detector, Landmarker, box_round
from aumer.face.models import MeshLandmarker
from aumer.face.track import FaceTracker
from aumer.registry import names, register, resolve

#: The default: the mesh's points of key frames, carried by flow.
CARRIED = "mesh, carried"
DETECTORS, LANDMARKERS = (
    [n for n in names(kind) if n != "mediapipe" or find_spec("mediapipe")]
    for kind in ("detector", "landmarker")
)
LANDMARKERS.append(CARRIED)
#: Back ends that run here with the weights they run with elsewhere.
REAL = {"blazeface", "mesh", CARRIED, "mediapipe"}
#: Where the face of the portrait is, brows to chin.
FACE = np.array([68, 75, 190, 205], np.float32)


def inputs(portrait: np.ndarray) -> dict[str, np.ndarray]:
    """Images out of the ordinary."""
    gray = portrait.mean(axis=2).astype(np.uint8)
    return {
        "gray": np.repeat(gray[:, :, None], 3, axis=2),
        "odd": portrait[11:244, 3:254],
        "cut": portrait[:, 110:],
        "tiny": portrait[96:102, 120:128],
        "pixel": portrait[:1, :1],
        "strip": portrait[:, 120:121],
        "white": np.full_like(portrait, 255),
        "noise": np.random.default_rng(0).integers(0, 256, portrait.shape, dtype=np.uint8),
    }


@pytest.fixture(scope="module")
def arguments(retinaface_weights: Path, fan_weights: Path) -> dict[str, dict[str, Any]]:
    """What back ends need that cannot do without; the faster ways where there is a choice."""
    return {
        "retinaface": {"weights": retinaface_weights, "upscale": False},
        "face-alignment": {"weights": fan_weights, "flip": False},
    }


# Detectors


@pytest.fixture(scope="module", params=DETECTORS)
def new_detector(
    request: pytest.FixtureRequest, arguments: dict[str, dict[str, Any]]
) -> Callable[[], Detector]:
    return lambda: resolve("detector", request.param)(**arguments.get(request.param, {}))


@pytest.fixture(scope="module")
def detector(new_detector: Callable[[], Detector]) -> Detector:
    return new_detector()


@pytest.fixture(scope="module")
def boxes(detector: Detector, portrait: np.ndarray) -> np.ndarray:
    return detector(portrait)


def check_boxes(boxes: np.ndarray) -> None:
    assert boxes.dtype == np.float32
    assert boxes.ndim == 2
    assert boxes.shape[1] == 5
    assert np.isfinite(boxes).all()
    assert (boxes[:, 2] > boxes[:, 0]).all()
    assert (boxes[:, 3] > boxes[:, 1]).all()
    assert ((boxes[:, 4] >= 0) & (boxes[:, 4] <= 1)).all()


def test_detector_finds_the_face(boxes: np.ndarray, request: pytest.FixtureRequest) -> None:
    check_boxes(boxes)
    assert len(boxes)
    if request.node.callspec.params["new_detector"] in REAL:
        assert len(boxes) == 1
        shared = np.minimum(boxes[0, 2:4], FACE[2:]) - np.maximum(boxes[0, :2], FACE[:2])
        assert shared.prod() > 0.6 * (FACE[2:] - FACE[:2]).prod()


def test_parts_are_of_the_interface_and_close(
    new_detector: Callable[[], Detector], new_landmarker: Callable[[], Landmarker]
) -> None:
    for new, kind in ((new_detector, Detector), (new_landmarker, Landmarker)):
        part = new()
        assert isinstance(part, kind)
        part.close()


def test_detector_keeps_no_state(
    new_detector: Callable[[], Detector],
    detector: Detector,
    boxes: np.ndarray,
    portrait: np.ndarray,
) -> None:
    detector(np.ascontiguousarray(portrait[::-1]))
    np.testing.assert_array_equal(detector(portrait), boxes)
    np.testing.assert_array_equal(new_detector()(portrait), boxes)


def test_detector_finds_nothing_where_nothing_is(detector: Detector, portrait: np.ndarray) -> None:
    found = detector(np.zeros_like(portrait))
    check_boxes(found)
    assert found.shape == (0, 5)


def test_detector_takes_any_memory_layout(
    detector: Detector, boxes: np.ndarray, portrait: np.ndarray
) -> None:
    np.testing.assert_array_equal(detector(np.asfortranarray(portrait)), boxes)


def test_detector_takes_any_image(detector: Detector, portrait: np.ndarray) -> None:
    for image in inputs(portrait).values():
        before = image.copy()
        check_boxes(detector(image))
        np.testing.assert_array_equal(image, before)


# Landmarkers


@pytest.fixture(scope="module", params=LANDMARKERS)
def new_landmarker(
    request: pytest.FixtureRequest, arguments: dict[str, dict[str, Any]]
) -> Callable[[], Landmarker]:
    if request.param == CARRIED:
        return lambda: CarriedLandmarker(MeshLandmarker())
    return lambda: resolve("landmarker", request.param)(**arguments.get(request.param, {}))


@pytest.fixture(scope="module")
def points(new_landmarker: Callable[[], Landmarker], portrait: np.ndarray) -> np.ndarray:
    """The portrait's, from an object that has seen nothing else."""
    found = new_landmarker()(portrait, FACE.copy())
    assert found is not None
    return found


@pytest.fixture(scope="module")
def used_landmarker(new_landmarker: Callable[[], Landmarker]) -> Landmarker:
    """One object for all tests below, as a run over many videos has."""
    return new_landmarker()


@pytest.fixture
def landmarker(used_landmarker: Landmarker) -> Landmarker:
    used_landmarker.reset()
    return used_landmarker


def check_points(points: np.ndarray | None) -> None:
    if points is not None:
        assert points.dtype == np.float32
        assert points.shape == (68, 2)
        assert np.isfinite(points).all()


def test_landmarker_finds_the_face(points: np.ndarray, request: pytest.FixtureRequest) -> None:
    check_points(points)
    if request.node.callspec.params["new_landmarker"] not in REAL:
        return
    size = FACE[2:] - FACE[:2]
    assert (points > FACE[:2] - 0.2 * size).all()
    assert (points < FACE[2:] + 0.2 * size).all()
    # The order of iBUG-68: left and right are the image's.
    x, y = points.T
    brows, eyes, nose, mouth, chin = (
        y[s].mean()
        for s in (slice(17, 27), slice(36, 48), slice(31, 36), slice(48, 68), slice(7, 10))
    )
    assert brows < eyes < nose < mouth < chin
    for left, right in ((0, 16), (17, 26), (36, 39), (39, 42), (42, 45), (31, 35), (48, 54)):
        assert x[left] < x[right]


def test_landmarker_forgets(
    landmarker: Landmarker, points: np.ndarray, portrait: np.ndarray
) -> None:
    elsewhere = np.roll(portrait, (20, -30), axis=(0, 1))
    for _ in range(2):
        landmarker(elsewhere, FACE + np.float32([-30, 20, -30, 20]))
    landmarker.reset()
    landmarker.reset()
    np.testing.assert_array_equal(landmarker(portrait, FACE), points)


def test_landmarker_goes_on_from_what_it_is_told(
    landmarker: Landmarker, points: np.ndarray, portrait: np.ndarray
) -> None:
    """As the first frame of a piece of a video, whose landmarks the piece before has found."""
    moved = np.roll(portrait, 1, axis=1)
    landmarker.resume(portrait, points)
    found = landmarker(moved, box_round(points))
    check_points(found)
    landmarker.resume(portrait, points)
    again = landmarker(moved, box_round(points))
    assert (found is None) == (again is None)
    if found is not None and again is not None:
        np.testing.assert_array_equal(found, again)


def test_landmarker_looks_near_known_landmarks(
    landmarker: Landmarker,
    points: np.ndarray,
    portrait: np.ndarray,
    request: pytest.FixtureRequest,
) -> None:
    found = landmarker.near(portrait, points + np.float32(2))
    check_points(found)
    if request.node.callspec.params["new_landmarker"] in REAL:
        assert found is not None
        eyes = float(np.hypot(*(points[45] - points[36])))
        assert np.hypot(*(found - points).T).mean() < 0.03 * eyes


def test_landmarker_finds_nothing_where_nothing_is(
    landmarker: Landmarker, portrait: np.ndarray
) -> None:
    assert landmarker(np.zeros_like(portrait), FACE) is None


def test_landmarker_takes_any_memory_layout(
    landmarker: Landmarker, points: np.ndarray, portrait: np.ndarray
) -> None:
    box = np.stack([FACE, FACE], axis=1)[:, 0]
    np.testing.assert_array_equal(landmarker(np.asfortranarray(portrait), box), points)
    np.testing.assert_array_equal(box, FACE)


def test_landmarker_takes_a_box_over_the_edge(landmarker: Landmarker, portrait: np.ndarray) -> None:
    """The left half of the face, with the box of the whole; and boxes wholly outside."""
    half = portrait[:, 130:]
    moved = FACE - np.float32([130, 0, 130, 0])
    check_points(landmarker(half, moved))
    for far in (1000, -1000):
        landmarker.reset()
        check_points(landmarker(half, moved + np.float32(far)))


def test_landmarker_takes_any_image(landmarker: Landmarker, portrait: np.ndarray) -> None:
    images = inputs(portrait)
    for name in ("gray", "odd", "tiny", "pixel", "strip"):
        landmarker.reset()
        image = images[name]
        before = image.copy()
        height, width = image.shape[:2]
        box = FACE if name in ("gray", "odd") else np.float32([0, 0, width, height])
        check_points(landmarker(image, box))
        np.testing.assert_array_equal(image, before)


# What a user registers


def find(image: np.ndarray) -> np.ndarray:
    return np.zeros((0, 5), np.float32)


def look(image: np.ndarray, box: np.ndarray) -> None:
    return None


class Duck:
    """Quacks as older versions of aumer allowed."""

    def __call__(self, *args: Any) -> None: ...

    def reset(self) -> None: ...


class Unfinished(Landmarker):
    """Defines nothing."""


class Asks(Landmarker):
    def __init__(self, weights: str) -> None: ...

    def __call__(self, image: np.ndarray, box: np.ndarray) -> None: ...


@pytest.fixture
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_parts", {k: dict(v) for k, v in registry._parts.items()})


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize(
    ("kind", "part", "said"),
    [
        ("detector", find, "cannot be called without arguments"),
        ("landmarker", look, "cannot be called without arguments"),
        ("detector", Duck, "is not derived from Detector"),
        ("landmarker", Duck, "is not derived from Landmarker"),
        ("landmarker", lambda: Duck(), "makes a Duck"),
        ("landmarker", Duck(), "makes a NoneType"),
        ("landmarker", MeshLandmarker(), "is an object, not a class"),
        ("detector", MeshLandmarker, "is not derived from Detector"),
        ("landmarker", Unfinished, "does not define __call__"),
        ("landmarker", Asks, "cannot be called without arguments"),
        ("detector", 3, "is an object, not a class"),
    ],
)
def test_a_registered_part_that_keeps_no_contract_is_refused_at_once(
    kind: str, part: Any, said: str
) -> None:
    register(kind, "mine")(part)
    settings = load_settings(overrides={"face": {kind: "mine"}}).face
    with pytest.raises(UsageError) as refused:
        FaceTracker.from_settings(settings)
    message = str(refused.value)
    assert message.startswith(f"the {kind} 'mine' cannot be used: ")
    assert said in message
    assert f"aumer.face.interface.{kind.capitalize()}" in message
    assert "__call__(self, image" in message
    assert "aumer.register(" in message


@pytest.mark.usefixtures("_restored")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("carry", [True, False])
def test_a_registered_landmarker_s_answers_are_looked_at(carry: bool, portrait: np.ndarray) -> None:
    answers: list[Any] = []

    class Mine(Landmarker):
        def __call__(self, image: np.ndarray, box: np.ndarray) -> Any:
            return answers[0]

    register("landmarker", "mine")(Mine)
    settings = load_settings(overrides={"face": {"landmarker": "mine", "carry": carry}}).face
    good = MeshLandmarker()(portrait, FACE)
    assert good is not None
    broken = good.astype(np.float64)
    broken[60] = np.nan
    for answer, seen in (
        (good, True),
        (good.astype(np.float64), True),
        (good.tolist(), True),
        (None, False),
        (broken, False),
        (good.astype(np.float64) * 1e300, False),
    ):
        answers[:] = [answer]
        tracker = FaceTracker.from_settings(settings)
        found = [tracker(portrait) for _ in range(3)]
        assert [face is not None for face in found] == [seen] * 3
        assert all(face.landmarks.dtype == np.float32 for face in found if face)
    answers[:] = [good[:67]]
    with pytest.raises(UsageError, match=r"Mine must give landmarks \(68, 2\).*\(67, 2\)"):
        FaceTracker.from_settings(settings)(portrait)
