"""The tracker, among faces that are only numbers: a frame holds its ordinal, a scene its faces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from aumer.errors import UsageError
from aumer.face.interface import Landmarker
from aumer.face.mean_face import MEAN_FACE
from aumer.face.track import FaceTracker, TrackedFace

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
        image[0, 0] = k % 256, 255, k // 256  # the corner tells whether the picture was turned
        return image

    def ordinal(self, image: np.ndarray) -> int:
        return int(image[0, 0, 0]) + 256 * int(image[0, 0, 2])

    def detect(self, image: np.ndarray) -> np.ndarray:
        if image[0, 0, 1] != 255:
            self.log.append("turned")
            return np.empty((0, 5), np.float32)
        k = self.ordinal(image)
        self.detections.append(k)
        self.log.append("detect")
        boxes = [(*around(face), 0.9 - 0.1 * i) for i, face in enumerate(self.frames[k])]
        return np.array(boxes, np.float32).reshape(-1, 5)

    def __call__(self, image: np.ndarray, box: np.ndarray) -> np.ndarray | None:
        """The landmarker: the face whose middle lies in the box, if any."""
        k = self.ordinal(image)
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

    def tracker(self, min_eye_distance: float = 24.0, follow: str = "largest") -> FaceTracker:
        return FaceTracker(
            self.detect, lambda: self, min_eye_distance=min_eye_distance, follow=follow
        )

    def run(self, tracker: FaceTracker | None = None) -> list[TrackedFace | None]:
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
    assert after == ["reset"] * 4  # three of them on whether the picture is the right way up


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


@pytest.mark.filterwarnings("error")
def test_landmarks_that_are_no_numbers_are_no_face() -> None:
    face = points(300, 200, 60)
    for bad in (np.nan, np.inf):
        broken = face.astype(np.float64)
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
    faces = [[points(450, 220, 61 + 5 * (k > 1)), points(200 + 9 * k, 200, 60)] for k in range(5)]
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


@pytest.mark.parametrize("shape", [(67, 2), (68, 3), (68,), (0,)])
def test_landmarks_of_a_wrong_shape_are_an_error(shape: tuple[int, ...]) -> None:
    class Wrong(Scene):
        def __call__(self, image: np.ndarray, box: np.ndarray) -> np.ndarray:
            return np.zeros(shape, np.float32)

    with pytest.raises(UsageError, match=r"Wrong must give landmarks \(68, 2\).*found shape"):
        Wrong([points(300, 200, 60)]).run()


def test_boxes_of_a_wrong_shape_are_an_error() -> None:
    face = points(300, 200, 60)
    scene = Scene([face])
    for answer in (np.zeros((1, 4)), np.zeros(5), "face", [[1, 2], [3]], None):

        def detect(image: np.ndarray, answer: object = answer) -> object:
            return answer

        tracker = FaceTracker(detect, lambda: scene, min_eye_distance=24)  # type: ignore[arg-type]
        told = "None" if answer is None else ""
        message = rf"detect must give boxes and scores \(N, 5\); found {told}"
        with pytest.raises(UsageError, match=message):
            tracker(scene.image(0))


def test_boxes_that_are_no_boxes_are_left_out() -> None:
    face = points(300, 200, 60)
    good = (*around(face), 0.9)
    scene = Scene([face])
    for bad in ((np.nan, 0, 10, 10, 0.99), (50, 50, 40, 90, 0.99), (0, 0, 9, 9, np.nan)):
        tracker = FaceTracker(
            lambda image, bad=bad: np.array([bad, good]),  # type: ignore[misc]
            lambda: scene,
            min_eye_distance=24,
        )
        assert tracker(scene.image(0)) is not None


# -- time ----------------------------------------------------------------------------------------


def look(
    scene: Scene, rate: float, tracker: FaceTracker | None = None
) -> tuple[FaceTracker, list[dict[int, TrackedFace]]]:
    """What is seen in each frame of a scene filmed at `rate`."""
    tracker = tracker or scene.tracker()
    return tracker, [tracker.look(scene.image(k), k / rate) for k in range(len(scene.frames))]


@pytest.mark.parametrize("rate", [5, 24, 29.97, 30, 120])
def test_others_are_looked_for_once_a_second(rate: float) -> None:
    scene = Scene(*[[points(300, 200, 60)]] * round(3.5 * rate))
    look(scene, rate)
    assert np.array(scene.detections) / rate == pytest.approx([0, 1, 2, 3], abs=2.9 / rate)
    assert np.diff(np.array(scene.detections) / rate).min() > 0.99


def test_a_frame_without_a_time_is_a_thirtieth_of_a_second_later() -> None:
    scene = Scene(*[[points(300, 200, 60)]] * 70)
    scene.run()
    assert scene.detections == [0, 30, 60]


@pytest.mark.parametrize("rate", [24, 30, 120])
def test_a_lost_face_is_looked_for_on_every_frame_of_a_second_then_ten_times_a_second(
    rate: float,
) -> None:
    face, second = points(300, 200, 60), round(rate)
    scene = Scene(*[[face]] * 5, *[[]] * (4 * second), *[[face]] * second)
    _, found = look(scene, rate)
    lost = np.array([k for k in scene.detections if k >= 5]) - 5
    assert set(range(second - 1)) <= set(lost.tolist())
    late = lost[(lost >= 1.2 * rate) & (lost < 4 * rate)]
    assert np.diff(late).max() <= 0.1 * rate + 1
    assert len(late) / (2.8 * rate) == pytest.approx(0.1 * 100 / rate, rel=0.25)
    first = next(k for k in range(4 * second + 5, len(found)) if found[k])
    assert (first - 4 * second - 5) / rate <= 0.1


@pytest.mark.parametrize("rate", [24, 30, 120])
def test_an_empty_scene_is_looked_at_ten_times_a_second(rate: float) -> None:
    face, second = points(300, 200, 60), round(rate)
    scene = Scene(*[[]] * (5 * second + 1), *[[face]] * second)
    _, found = look(scene, rate)
    assert set(range(second)) <= set(scene.detections)
    late = [k for k in scene.detections if second < k < 5 * second]
    assert len(late) <= 1.1 * 40
    first = next(k for k in range(len(found)) if found[k])
    assert (first - 5 * second - 1) / rate <= 0.1
    assert scene.log.count("turned") == 3 * 5  # once a second


# -- how many ------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 2, 9, 100])
@pytest.mark.parametrize("follow", ["largest", "all"])
def test_faces_are_counted_in_clips_of_any_length(frames: int, follow: str) -> None:
    one, two = points(150, 200, 60), points(450, 200, 60)
    for faces in ([], [one], [one, two]):
        scene = Scene(*[faces] * frames)
        tracker, _ = look(scene, 30, scene.tracker(follow=follow))
        assert tracker.most == len(faces)


@pytest.mark.parametrize("at", [0, 30, 60])
def test_a_box_that_was_seen_once_is_no_face(at: int) -> None:
    one, chance = points(150, 200, 60), points(450, 200, 50)
    scene = Scene(*[[one, chance] if k == at else [one] for k in range(100)])
    tracker, found = look(scene, 30)
    assert at in scene.detections
    assert all(found)
    assert tracker.most == 1


def test_a_face_that_was_seen_once_is_not_waited_for() -> None:
    """In the first frame something passes for a larger face."""
    one, chance = points(150, 200, 60), points(450, 200, 70)
    scene = Scene([one, chance], *[[one]] * 60)
    tracker, found = look(scene, 30)
    assert found[0][1].landmarks.mean() == pytest.approx(chance.mean())
    assert all(found[22:])
    assert found[22][1].run > found[0][1].run
    assert tracker.most == 1


# -- gone for good -------------------------------------------------------------------------------


def gone(seconds: float, back: list[np.ndarray]) -> Scene:
    """One of two leaves after a second; `back` are the others when time is up."""
    one, two = points(150, 200, 60), points(450, 200, 60)
    return Scene(*[[one, two]] * 30, *[[one]] * round(30 * seconds), *[[one, *back]] * 60)


def test_one_who_is_gone_is_not_looked_for_for_ever() -> None:
    scene = gone(40, [])
    look(scene, 30, scene.tracker(follow="all"))
    seconds = np.array(scene.detections) / 30
    assert np.sum((seconds >= 1) & (seconds < 2)) == 30
    assert np.sum((seconds >= 2) & (seconds < 6)) <= 1.1 * 40
    assert np.sum((seconds >= 7) & (seconds < 37)) <= 31


@pytest.mark.parametrize(
    ("seconds", "x", "number"),
    [
        (2, 450, 2),
        (2, 520, 2),
        (20, 450, 2),  # at the very place
        (20, 300, 3),  # a face and a half away
        (60, 560, 3),
    ],
)
def test_who_comes_where_one_left(seconds: float, x: float, number: int) -> None:
    scene = gone(seconds, [points(x, 200, 60)])
    _, found = look(scene, 30, scene.tracker(follow="all"))
    assert sorted(found[-1]) == [1, number]
    assert found[-1][number].landmarks.mean(axis=0)[0] == pytest.approx(x, abs=5)


def test_a_face_that_was_hidden_comes_out_where_another_was_for_a_moment() -> None:
    """It crosses slowly behind somebody; a third one shows beside them meanwhile."""
    frames = []
    for k in range(160):
        mine, front = 200 + 2 * min(k, 110), 440 - 2 * min(k, 110)
        faces = [points(front, 205, 60)]
        if abs(mine - front) > 70:
            faces.append(points(mine, 200, 60))
        if 20 <= k < 67:
            faces.append(points(385, 175, 50))
        frames.append(faces)
    scene = Scene(*frames)
    _, found = look(scene, 30, scene.tracker(follow="left"))
    assert all(found[:30])
    assert all(found[100:])
    for k, seen in enumerate(found):
        if seen:
            assert seen[1].landmarks[:, 0].mean() == pytest.approx(200 + 2 * min(k, 110), abs=5)


# -- cuts ----------------------------------------------------------------------------------------


class Shots(Scene):
    """A landmarker that stays with a face only as long as that is of about the same size."""

    def near(self, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
        found = super().near(image, landmarks)
        grown = 0.0 if found is None else np.ptp(found[:, 0]) / np.ptp(landmarks[:, 0])
        return found if 0.8 < grown < 1.25 else None


@pytest.mark.parametrize("follow", ["largest", "left", "right"])
@pytest.mark.parametrize(("growth", "x"), [(1.9, 320), (2.6, 320), (2.6, 400), (0.45, 320)])
def test_a_cut_to_a_face_of_another_size_is_followed(follow: str, growth: float, x: float) -> None:
    """At about the same place, where it may be somebody in front of the face, for a while."""
    close = points(x, 200, 60 * growth)
    scene = Shots(*[[points(320, 200, 60)]] * 30, *[[close]] * 60)
    _, found = look(scene, 30, scene.tracker(follow=follow))
    assert all(found[55:])
    np.testing.assert_array_equal(found[-1][1].landmarks, close)
    assert found[-1][1].run > found[29][1].run


@pytest.mark.parametrize(("follow", "x"), [("largest", 225), ("left", 225), ("right", 425)])
def test_after_a_cut_to_two_faces_one_is_chosen(follow: str, x: float) -> None:
    """Each of them lies over the place where the face was."""
    two = [points(425, 200, 115), points(225, 200, 120)]
    scene = Shots(*[[points(320, 200, 60)]] * 30, *[two] * 60)
    _, found = look(scene, 30, scene.tracker(follow=follow))
    assert all(found[55:])
    assert found[-1][1].landmarks.mean(axis=0)[0] == pytest.approx(x, abs=5)


def test_a_cut_to_one_who_walks_is_followed() -> None:
    """Past the place where the face was, as somebody does who comes between."""
    walk = [[points(220 + 5 * k, 200, 60)] for k in range(70)]
    scene = Scene(*[[points(320, 200, 60)]] * 30, [], *walk)
    _, found = look(scene, 30)
    assert all(found[-20:])


def test_one_who_stops_in_front_of_the_face_is_not_taken_for_it() -> None:
    """Who was there with the face still is: so it was no cut."""
    face, beside = points(320, 200, 60), points(80, 200, 50)
    scene = Shots(*[[face, beside]] * 30, *[[points(320, 210, 125), beside]] * 90)
    _, found = look(scene, 30)
    assert not any(found[30:])


def test_one_who_was_seen_beside_the_face_is_never_taken_for_it() -> None:
    """Though he came while it was out of sight for a moment."""
    face, other = points(320, 200, 60), points(440, 200, 60)
    scene = Scene(*[[face]] * 30, *[[other]] * 5, *[[other, face]] * 150, *[[other]] * 90)
    _, found = look(scene, 30)
    assert found[180][1].landmarks.mean() == pytest.approx(face.mean())
    assert not any(found[186:])


# -- pieces --------------------------------------------------------------------------------------


@pytest.mark.parametrize("follow", ["largest", "all", "2"])
def test_a_state_says_it_all(follow: str) -> None:
    """Whatever is going on: one passes another, leaves, comes back, and one was there by chance."""
    frames = []
    for k in range(150):
        faces = [points(300, 200, 60)]
        x = 20 + 9 * (k - 10)
        if 0 < x < WIDTH:
            faces.append(points(x, 190, 62))
            if abs(x - 300) < 40:
                faces = faces[1:]  # it hides the other
        if k in (5, 95):
            faces.append(points(520, 380, 50))
        frames.append(faces if k >= 5 and not 100 <= k < 115 else [])
    scene = Scene(*frames)
    _, whole = look(scene, 30, scene.tracker(follow=follow))
    tracker = scene.tracker(follow=follow)
    for k, expected in enumerate(whole):
        found = tracker.look(scene.image(k), k / 30)
        state, tracker = tracker.state(), scene.tracker(follow=follow)
        restored = tracker.restore(scene.image(k), state)
        for some in (found, restored):
            assert some.keys() == expected.keys()
            for number, face in some.items():
                np.testing.assert_array_equal(face.landmarks, expected[number].landmarks)
                assert face.run == expected[number].run
        for name, value in tracker.state().items():
            np.testing.assert_array_equal(value, state[name])
