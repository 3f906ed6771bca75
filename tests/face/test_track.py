"""The tracker, among faces that are only numbers: a frame holds its ordinal, a scene its faces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from aumer.face.interface import Landmarker
from aumer.face.mean_face import MEAN_FACE
from aumer.face.track import Face, FaceTracker

HEIGHT, WIDTH = 480, 640


def points(x: float, y: float, eyes: float) -> np.ndarray:
    """The 68 landmarks of a face at x, y whose outer eye corners are `eyes` px apart."""
    return (MEAN_FACE[:, :2] * eyes + (x, y)).astype(np.float32)


def around(landmarks: np.ndarray) -> np.ndarray:
    return np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)])


class Scene(Landmarker):
    """What there is to see in each frame: landmarks of every face, in the detector's order."""

    def __init__(self, *frames: Sequence[np.ndarray]) -> None:
        self.frames = frames
        self.detections: list[int] = []  # frames the detector saw
        self.asked: list[tuple[int, list[float]]] = []  # frame and box the landmarker got
        self.resets = 0
        self.log: list[str] = []

    def image(self, k: int) -> np.ndarray:
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        image[0, 0] = k, 255, 0  # the corner tells whether the picture was turned
        return image

    def detect(self, image: np.ndarray) -> np.ndarray:
        if image[0, 0, 1] != 255:
            self.log.append("turned")
            return np.empty((0, 5), np.float32)
        k = int(image[0, 0, 0])
        self.detections.append(k)
        self.log.append("detect")
        boxes = [(*around(face), 0.9 - 0.1 * i) for i, face in enumerate(self.frames[k])]
        return np.array(boxes, np.float32).reshape(-1, 5)

    def __call__(self, image: np.ndarray, box: np.ndarray) -> np.ndarray | None:
        """The landmarker: the face whose middle lies in the box, if any."""
        k = int(image[0, 0, 0])
        assert box.shape == (4,)
        self.asked.append((k, box.tolist()))
        self.log.append("landmark")
        for face in self.frames[k]:
            x, y = (around(face)[:2] + around(face)[2:]) / 2
            if not np.isfinite([x, y]).all() or (box[0] < x < box[2] and box[1] < y < box[3]):
                return face
        return None

    def reset(self) -> None:
        self.resets += 1
        self.log.append("reset")

    def tracker(self, min_eye_distance: float = 24.0) -> FaceTracker:
        return FaceTracker(self.detect, lambda: self, min_eye_distance=min_eye_distance)

    def run(self, tracker: FaceTracker | None = None) -> list[Face | None]:
        tracker = tracker or self.tracker()
        return [tracker(self.image(k)) for k in range(len(self.frames))]


def test_the_face_and_its_box() -> None:
    face = points(300, 200, 80)
    (found,) = Scene([face]).run()
    assert found is not None
    np.testing.assert_array_equal(found.landmarks, face)
    np.testing.assert_array_equal(found.box, around(face))
    assert found.box.dtype == found.landmarks.dtype == np.float32
    assert found.box.shape == (4,)


def test_without_a_face_there_is_none() -> None:
    scene = Scene([], [], [])
    assert scene.run() == [None, None, None]
    assert scene.detections == [0, 1, 2]  # looked for on every frame
    assert scene.log.count("turned") == 3  # and in the first, turned by each quarter
    assert scene.asked == []


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_largest_face_is_followed(order: tuple[int, ...]) -> None:
    """Not the first, nor the one the detector is most certain of."""
    faces = [points(100, 200, 40), points(300, 200, 41), points(500, 200, 39)]
    (found,) = Scene([faces[k] for k in order]).run()
    assert found is not None
    np.testing.assert_array_equal(found.landmarks, faces[1])


def test_largest_is_by_area() -> None:
    """A profile is narrow and high."""
    wide, high = points(150, 200, 60), points(450, 200, 50)
    wide[:, 1] = 200 + (wide[:, 1] - 200) * 0.5
    assert np.ptp(wide[:, 0]) > np.ptp(high[:, 0])
    (found,) = Scene([wide, high]).run()
    assert found is not None
    np.testing.assert_array_equal(found.landmarks, high)


def test_a_larger_face_that_appears_does_not_take_over() -> None:
    mine = [points(200 + 5 * k, 200, 60) for k in range(4)]
    other = points(480, 250, 120)
    scene = Scene([mine[0]], [other, mine[1]], [mine[2], other], [mine[3], other])
    for found, face in zip(scene.run(), mine, strict=True):
        assert found is not None
        np.testing.assert_array_equal(found.landmarks, face)
    assert scene.detections == [0]


def test_the_box_comes_from_the_previous_landmarks() -> None:
    faces = [points(200 + 9 * k, 200 - 3 * k, 60 + k) for k in range(4)]
    scene = Scene(*[[face] for face in faces])
    scene.run()
    assert scene.detections == [0]
    assert [k for k, _ in scene.asked] == [0, 1, 2, 3]
    for (_, box), face in zip(scene.asked[1:], faces, strict=False):
        assert box == around(face).tolist()


def test_a_lost_face_is_looked_for_in_the_same_frame() -> None:
    far = points(480, 250, 70)  # as after a cut
    scene = Scene([points(120, 200, 60)], [far], [far])
    found = scene.run()
    assert found[1] is not None
    assert found[2] is not None
    np.testing.assert_array_equal(found[1].landmarks, far)
    assert scene.detections == [0, 1]
    # What the landmarker knew of the old face is forgotten before the new one.
    assert scene.log == ["detect", "landmark", "landmark", "reset", "detect", *["landmark"] * 2]


def test_after_a_loss_the_largest_is_chosen_anew() -> None:
    mine, other, third = points(120, 200, 60), points(480, 250, 90), points(300, 100, 40)
    scene = Scene([mine], [mine, other], [third, other], [mine, other])
    found = scene.run()
    expected = [mine, mine, other, other]
    for one, face in zip(found, expected, strict=True):
        assert one is not None
        np.testing.assert_array_equal(one.landmarks, face)


def test_a_face_that_goes_and_comes_back() -> None:
    face = points(300, 200, 60)
    scene = Scene([face], [], [], [face], [face])
    assert [found is not None for found in scene.run()] == [True, False, False, True, True]
    assert scene.detections == [0, 1, 2, 3]


def test_a_detection_that_no_landmarker_confirms_is_no_face() -> None:
    class Blind(Scene):
        def __call__(self, image: np.ndarray, box: np.ndarray) -> None:
            self.log.append("landmark")

    scene = Blind([points(300, 200, 60)], [points(300, 200, 60)])
    assert scene.run() == [None, None]
    assert scene.detections == [0, 1]
    # What the landmarker saw there is forgotten.
    after = [scene.log[k + 1] for k, what in enumerate(scene.log) if what == "landmark"]
    assert after == ["reset", "reset"]


@pytest.mark.parametrize(
    ("eyes", "usable"), [(23.9, False), (24.0, True), (24.1, True), (10.0, False)]
)
def test_a_small_face_is_not_usable(eyes: float, usable: bool) -> None:
    face = points(300, 200, eyes)
    # The corners of the mean face are exactly one unit apart.
    assert np.hypot(*(face[45] - face[36])) == pytest.approx(eyes, abs=1e-4)
    face[36] = np.round(face[36])
    face[45] = face[36] + (eyes, 0)
    (found,) = Scene([face]).run()
    assert (found is not None) == usable


def test_size_is_the_distance_of_the_eyes_in_any_direction() -> None:
    upright = points(300, 200, 30)
    lying = np.stack([300 - (upright[:, 1] - 200), 200 + (upright[:, 0] - 300)], axis=1)
    for face in (upright, lying.astype(np.float32)):
        assert Scene([face]).run(None)[0] is not None
        scene = Scene([face])
        assert scene.run(scene.tracker(min_eye_distance=31)) == [None]


def test_a_followed_face_that_becomes_too_small_is_given_up() -> None:
    near, far = points(300, 200, 40), points(300, 200, 20)
    other = points(500, 200, 30)
    scene = Scene([near], [far], [far, other], [near, other])
    found = scene.run()
    assert found[0] is not None
    assert found[1] is None
    for k in (2, 3):
        one = found[k]
        assert one is not None
        np.testing.assert_array_equal(one.landmarks, other)


@pytest.mark.parametrize("at", [(-5, 200), (300, -40), (WIDTH + 5, 200), (300, HEIGHT + 5)])
def test_a_face_that_has_left_the_image_is_not_usable(at: tuple[float, float]) -> None:
    assert Scene([points(*at, 60)]).run() == [None]


@pytest.mark.parametrize("at", [(5, 200), (WIDTH - 5, 200), (300, HEIGHT - 60)])
def test_a_face_cut_by_the_edge_is_usable(at: tuple[float, float]) -> None:
    (found,) = Scene([points(*at, 60)]).run()
    assert found is not None


def test_landmarks_that_are_no_numbers_are_no_face() -> None:
    face = points(300, 200, 60)
    for bad in (np.nan, np.inf):
        broken = face.copy()
        broken[50] = bad
        scene = Scene([face], [broken], [face])
        assert [found is not None for found in scene.run()] == [True, False, True]


class Smoothing(Scene):
    """A landmarker with a memory, as MediaPipe's: the mean of what it saw since `reset`."""

    def __init__(self, *frames: Sequence[np.ndarray]) -> None:
        super().__init__(*frames)
        self.seen: list[np.ndarray] = []

    def __call__(self, image: np.ndarray, box: np.ndarray) -> np.ndarray | None:
        found = super().__call__(image, box)
        if found is None:
            return None
        self.seen.append(found)
        return np.mean(self.seen, axis=0, dtype=np.float32)

    def reset(self) -> None:
        super().reset()
        self.seen.clear()


def test_reset_leaves_nothing_of_the_video_before() -> None:
    faces = [[points(200 + 9 * k, 200, 60), points(450, 220, 61 + 5 * (k > 1))] for k in range(5)]
    alone = Smoothing(*faces).run()
    scene = Smoothing(*faces)
    tracker = scene.tracker()
    for first in (range(5), range(2, 4), range(0)):  # whatever was tracked before
        for k in first:
            tracker(scene.image(k))
        tracker.reset()
        for k, expected in enumerate(alone):
            found = tracker(scene.image(k))
            assert found is not None
            assert expected is not None
            np.testing.assert_array_equal(found.landmarks, expected.landmarks)
            np.testing.assert_array_equal(found.box, expected.box)


def test_after_a_reset_the_detector_is_asked() -> None:
    face = points(300, 200, 60)
    scene = Scene([face])
    tracker = scene.tracker()
    tracker(scene.image(0))
    tracker(scene.image(0))
    assert len(scene.detections) == 1
    tracker.reset()
    assert scene.resets == 1
    tracker(scene.image(0))
    assert len(scene.detections) == 2


def test_the_image_is_handed_on_as_it_is() -> None:
    seen = []
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    scene = Scene([points(300, 200, 60)])

    def detect(given: np.ndarray) -> np.ndarray:
        seen.append(given)
        return scene.detect(given)

    FaceTracker(detect, lambda: scene, min_eye_distance=24)(image)
    assert seen[0] is image


@pytest.mark.parametrize(
    ("yaw", "usable"), [(0, True), (45, True), (-45, True), (70, False), (-70, False)]
)
@pytest.mark.parametrize("roll", [0, 30, 90])
def test_a_profile_is_not_usable(yaw: float, usable: bool, roll: float) -> None:
    """Half of it is hidden, and what a network says of that half is invented."""
    turn, lean = np.radians(yaw), np.radians(roll)
    x = MEAN_FACE[:, 0] * np.cos(turn) + MEAN_FACE[:, 2] * np.sin(turn)
    y = MEAN_FACE[:, 1]
    face = np.stack([x * np.cos(lean) - y * np.sin(lean), x * np.sin(lean) + y * np.cos(lean)], 1)
    (found,) = Scene([(face * 120 + (320, 240)).astype(np.float32)]).run()
    assert (found is not None) == usable
