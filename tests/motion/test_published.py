"""The motion preset "published": AUW-GCN's features, end to end on flow that is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import aumer
from aumer.config import MotionSettings, load_settings
from aumer.errors import ConfigError
from aumer.face.mean_face import MEAN_FACE
from aumer.flow.opencv import tvl1_opencv
from aumer.motion import Motions
from aumer.motion.mdmo import ROIS, published_mdmo
from aumer.motion.published import PublishedMotion, as_stored, face_box
from aumer.testing.moving_face import film, portrait
from aumer.types import FloatArray, ImageArray

SETTINGS = load_settings(overrides={"motion": {"preset": "published"}}).motion
EIGHT_BIT = replace(SETTINGS, published_8bit=True)
HEIGHT, WIDTH = 220, 200

Frame = tuple[ImageArray, FloatArray]


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


def a_face(eyes: float = 60.0, at: tuple[float, float] = (100.0, 90.0)) -> FloatArray:
    """(68, 2): the mean face, its outer eye corners `eyes` px apart."""
    return (MEAN_FACE[:, :2] * eyes + at).astype(np.float32)


def ramps() -> tuple[ImageArray, ImageArray]:
    """Two images that say where each of their pixels is: by x, and by y."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.uint8)
    return np.repeat(x[..., None], 3, axis=2), np.repeat(y[..., None], 3, axis=2)


class KnownFlow:
    """The flow (HEIGHT, WIDTH, 2) of images made by `ramps`, whichever part of them is cut out."""

    def __init__(self, whole: FloatArray) -> None:
        self.whole = whole
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, previous: ImageArray, following: ImageArray) -> FloatArray:
        self.shapes.append(previous.shape)
        left, top = int(previous[0, 0]), int(following[0, 0])
        rows, columns = previous.shape
        return self.whole[top : top + rows, left : left + columns]


def measured(
    pool: ThreadPoolExecutor,
    flow: Callable[[ImageArray, ImageArray], FloatArray],
    faces: Sequence[FloatArray],
    settings: MotionSettings = SETTINGS,
) -> tuple[FloatArray, FloatArray]:
    """Steps and confidence of a face in `ramps`, by a known flow."""
    assert len(faces) == 2
    return run(pool, flow, list(zip(ramps(), faces, strict=True)), settings)


def run(
    pool: ThreadPoolExecutor,
    flow: Callable[[ImageArray, ImageArray], FloatArray],
    frames: Sequence[Frame],
    settings: MotionSettings = SETTINGS,
) -> tuple[FloatArray, FloatArray]:
    motion = PublishedMotion(pool, settings, flow)
    for image, landmarks in frames:
        motion.add(image, landmarks)
    return motion.steps()


# What is measured


def test_the_published_code_s_features_come_out(
    pool: ThreadPoolExecutor, shared_data: Callable[[str], Path]
) -> None:
    """Of each golden sample, whose flow is px / 20, through crop, later landmarks and unit."""
    golden = np.load(shared_data("golden/auwgcn.npz"))
    first = a_face(eyes=128)  # twice as large as in the canonical crop; its box is nearly all
    left, top, right, bottom = face_box(first, HEIGHT, WIDTH)
    assert 0 < left < 10 and top == 0 and right < WIDTH and bottom == HEIGHT
    rng = np.random.default_rng(0)
    for flow, points, expected in zip(
        golden["mdmo/flow"], golden["mdmo/landmarks"], golden["mdmo/features"], strict=True
    ):
        later = (points + rng.uniform(-0.49, 0.49, points.shape)).astype(np.float32)
        steps, confidence = measured(pool, KnownFlow(20 * flow), [first, later])
        np.testing.assert_allclose(steps, [expected * 20 / 2], atol=1e-4, rtol=1e-5)
        assert (confidence == 1).all()


def lifted(brow: tuple[float, float], head: tuple[float, float], face: FloatArray) -> FloatArray:
    """A flow: everything moves as the head, and the right brow's middle by itself too."""
    flow = np.tile(np.float32(head), (HEIGHT, WIDTH, 1))
    x, y = np.rint(face[ROIS["brow_r_mid"]]).astype(int)
    flow[y - 20 : y + 21, x - 20 : x + 21] += np.float32(brow)
    return flow


@pytest.mark.parametrize("eyes", [40.0, 60.0, 96.0])
@pytest.mark.parametrize("crop", [96, 128])
def test_lengths_are_told_in_the_canonical_crop(
    pool: ThreadPoolExecutor, eyes: float, crop: int
) -> None:
    face = a_face(eyes)
    flow = KnownFlow(lifted((0.0, -0.5), (2.0, 1.0), face))
    steps, _ = measured(pool, flow, [face, face], replace(SETTINGS, crop=crop))
    found = dict(zip(ROIS, steps[0], strict=True))
    np.testing.assert_allclose(found["brow_r_mid"], (0, -0.5 * crop / 2 / eyes), atol=1e-4)
    np.testing.assert_allclose([found["mouth_l"], found["nose_tip"]], 0, atol=1e-4)


def test_the_crop_is_the_first_frame_s_and_rois_are_the_later_one_s(
    pool: ThreadPoolExecutor,
) -> None:
    first, later = a_face(), a_face(eyes=64.0, at=(106.0, 95.0))
    flow = KnownFlow(lifted((0.0, -0.5), (0.0, 0.0), later))
    steps, _ = measured(pool, flow, [first, later])
    left, top, right, bottom = face_box(first, HEIGHT, WIDTH)
    assert flow.shapes == [(bottom - top, right - left)]
    np.testing.assert_allclose(
        steps[0, list(ROIS).index("brow_r_mid")], (0, -0.5 * 64 / 60), atol=1e-4
    )


def test_the_box_goes_from_ear_to_ear_and_from_chin_to_hair() -> None:
    left, top, right, bottom = face_box(a_face(), 400, 400)
    assert (right - left) / 60 == pytest.approx(1.494, abs=0.03)
    assert (bottom - 90) / 60 == pytest.approx(1.128, abs=0.02)
    assert (bottom - top) / (right - left) == pytest.approx(1.37, abs=0.02)
    for at in ((-500.0, 90.0), (500.0, 90.0), (90.0, -500.0), (90.0, 500.0)):
        left, top, right, bottom = face_box(a_face(at=at), 300, 200)
        assert 0 <= left < right <= 200 and 0 <= top < bottom <= 300


def test_a_face_that_leaves_the_crop_has_no_motion(pool: ThreadPoolExecutor) -> None:
    face, gone = a_face(), a_face()
    for landmark in (*ROIS.values(), 29):
        for at in ((-1000.0, 90.0), (40.0, 90.0), (160.0, 90.0), (100.0, 1000.0)):
            gone[:] = face
            gone[landmark] = at
            steps, confidence = measured(pool, KnownFlow(np.ones((220, 200, 2))), [face, gone])
            assert np.isnan(steps).all() and (confidence == 0).all()
    gone[:] = face
    gone[0] = (-1000.0, 0.0)  # of the jaw nothing is read
    steps, confidence = measured(pool, KnownFlow(np.ones((220, 200, 2))), [face, gone])
    assert np.isfinite(steps).all() and (confidence == 1).all()


def test_a_face_outside_of_the_picture(pool: ThreadPoolExecutor) -> None:
    away = a_face(at=(-400.0, -400.0))
    steps, confidence = measured(pool, tvl1_opencv, [away, away])
    assert steps.shape == (1, 12, 2) and np.isnan(steps).all() and (confidence == 0).all()


@pytest.mark.parametrize("frames", [0, 1])
def test_runs_without_a_step(pool: ThreadPoolExecutor, frames: int) -> None:
    steps, confidence = run(pool, tvl1_opencv, [(ramps()[0], a_face())] * frames)
    assert steps.shape == (0, 12, 2) and confidence.shape == (0, 12)
    assert steps.dtype == confidence.dtype == np.float32


# Flow that was stored in 8 bits


@pytest.mark.parametrize(
    ("px", "told"),
    [
        # 0 lies between two levels of 20 / 255 px, and is told by the upper one.
        (0.0, 0.0),
        (0.03, 0.0),
        (0.07, 0.0),
        (0.09, 1.0),
        (-0.001, -1.0),
        (-0.07, -1.0),
        (-0.09, -2.0),
        (1.0, 12.0),
        (9.99, 127.0),
        (30.0, 127.0),
        (-30.0, -128.0),
    ],
)
def test_stored_flow_has_256_levels(pool: ThreadPoolExecutor, px: float, told: float) -> None:
    face = a_face()
    flow = KnownFlow(lifted((0.0, px), (0.0, 0.0), face))
    steps, _ = measured(pool, flow, [face, face], EIGHT_BIT)
    expected = np.zeros((12, 2))
    expected[list(ROIS).index("brow_r_mid"), 1] = told * 20 / 255 * 64 / 60
    # JPEG's blocks at the rim of what moves reach into the brow's other ROIs.
    others = [k for k, name in enumerate(ROIS) if name == "brow_r_mid" or "brow_r" not in name]
    np.testing.assert_allclose(steps[0, others], expected[others], atol=1e-4)


def test_what_is_stored_is_what_the_published_code_reads_back() -> None:
    """Image by image, as denseflow writes and AUW-GCN reads them."""
    rng = np.random.default_rng(0)
    flow = cv2.GaussianBlur(rng.normal(size=(90, 70, 2)), (0, 0), 6).astype(np.float32) * 40
    assert 5 < np.abs(flow).max() < 20
    stored = as_stored(flow)
    assert stored.dtype == np.float32
    for axis in range(2):
        levels = np.array(
            [[255 if v > 10 else 0 if v < -10 else round(255 * (v + 10) / 20) for v in row]
             for row in flow[..., axis].astype(float)],
            np.uint8,
        )  # fmt: skip
        written = cv2.imencode(".jpg", levels)[1]
        read = cv2.imdecode(written, cv2.IMREAD_GRAYSCALE) / np.float32(255) - 0.5
        np.testing.assert_allclose(stored[..., axis], 20 * read, atol=1e-5)


# Real flow


def frames_of(shift: Callable[[float], tuple[float, float, float, float]]) -> list[Frame]:
    """The portrait's face in motion, with landmarks where the mean face puts them."""
    window = (100, 0, 356, 256)
    images = film(np.arange(4) / 30, head=shift, window=window)
    eyes = a_face(eyes=63.0, at=(225.0 - 100, 108.0))
    return [
        (image, (eyes + np.float32(shift(k / 30)[:2])).astype(np.float32))
        for k, image in enumerate(images)
    ]


def test_equals_the_published_steps_one_by_one(pool: ThreadPoolExecutor) -> None:
    """Crop, gray, OpenCV's TV-L1, MDMO: as the published scripts do it, one after another."""
    frames = frames_of(lambda t: (9 * t, -6 * t, 0.3 * t, 20 * t))
    steps, _ = run(pool, tvl1_opencv, frames)
    left, top, right, bottom = face_box(frames[0][1], 256, 256)
    crops = [cv2.cvtColor(i[top:bottom, left:right], cv2.COLOR_RGB2GRAY) for i, _ in frames]
    for k in range(3):
        flow = tvl1_opencv(crops[k], crops[k + 1]) / np.float32(20)
        points = np.rint(frames[k + 1][1]).astype(int) - (left, top)
        expected = published_mdmo(flow, points) * 20 * 64 / 63
        np.testing.assert_allclose(steps[k], expected, rtol=1e-4, atol=1e-6)
    assert np.abs(steps).max() > 0.02  # the turn and the growth stay in


def test_a_head_that_shifts_moves_no_roi(pool: ThreadPoolExecutor) -> None:
    steps, _ = run(pool, tvl1_opencv, frames_of(lambda t: (24 * t, -15 * t, 0.0, 0.0)))
    assert np.abs(steps).max() < 0.12  # of .94 px a frame
    assert np.median(np.abs(steps)) < 0.03


def test_neither_threads_nor_batches_change_a_number(pool: ThreadPoolExecutor) -> None:
    class Batched:
        batch = 2
        sizes: tuple[int, ...] = ()

        def many(self, pairs: Sequence[tuple[ImageArray, ImageArray]]) -> list[FloatArray]:
            self.sizes += (len(pairs),)
            return [tvl1_opencv(*pair) for pair in pairs]

        def __call__(self, previous: ImageArray, following: ImageArray) -> FloatArray:
            raise AssertionError("asked one by one")

    frames = frames_of(lambda t: (9 * t, -6 * t, 0.3 * t, 20 * t))
    one_by_one, _ = run(pool, tvl1_opencv, frames)
    flow = Batched()
    together, _ = run(pool, flow, frames)
    assert flow.sizes == (2, 1)
    np.testing.assert_array_equal(one_by_one, together)


# Settings


def test_from_a_film_to_features() -> None:
    assert portrait().shape == (512, 512, 3)
    frames = film(np.arange(12) / 30, head=lambda t: (3 * t, 0, 0, 0), scale=1.5)
    motion = aumer.features(frames, fps=30, settings={"motion": {"published_8bit": True}})
    assert motion.settings["motion"]["preset"] == "published"
    features = motion.features
    assert features.rois == tuple(ROIS) and features.valid.all()
    usual = aumer.features(frames, fps=30, settings={"motion": {"preset": "published"}}).features
    assert usual.valid.all()
    none, usually_none = (np.abs(f.values) < 1e-5 for f in (features, usual))
    assert none.mean() > 0.3 > 0.05 > usually_none.mean()  # most of it is below a level


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rois": "18 48"}, r"motion\.rois must be 'published'.*found '18 48', 2 ROIs"),
        ({"rois": "inner51"}, r"motion\.rois must be 'published'.*51 ROIs"),
        ({"roi_radius": 4}, r"motion\.roi_radius must be 5 .*found 4"),
    ],
)
def test_what_it_cannot_honor_is_refused(
    pool: ThreadPoolExecutor, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        PublishedMotion(pool, replace(SETTINGS, **changes), tvl1_opencv)  # type: ignore[arg-type]


def test_other_rates_and_the_same_rois_by_number_are_fine(pool: ThreadPoolExecutor) -> None:
    listed = " ".join(map(str, ROIS.values()))
    settings = replace(SETTINGS, rate=200.0, rois=listed)
    assert isinstance(Motions(settings)(pool), PublishedMotion)


def test_8_bits_are_of_this_preset_alone() -> None:
    for preset in ("windows", "windows-torch", "flow"):
        with pytest.raises(ConfigError, match=rf"published_8bit must be false.*'{preset}'.*True"):
            load_settings(overrides={"motion": {"preset": preset, "published_8bit": True}})
    assert load_settings(overrides={"motion": {"published_8bit": True}}).motion == EIGHT_BIT
    both = {"published_8bit": True, "flow": "dis"}
    assert load_settings(overrides={"motion": both}).motion == replace(EIGHT_BIT, flow="dis")
    usual = load_settings().motion
    assert load_settings(overrides={"motion": {"published_8bit": False}}).motion == usual
