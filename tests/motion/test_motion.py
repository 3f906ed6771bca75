from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painted_face import MIDDLE, UNIT, painted, shown
from scipy.ndimage import gaussian_filter

from aumer.config import MotionSettings, load_settings
from aumer.errors import UsageError
from aumer.face.mean_face import CROP_ORIGIN, MEAN_FACE, RIGID
from aumer.flow import Region
from aumer.flow.opencv import dis
from aumer.flow.tvl1 import tvl1
from aumer.graph.rois import roi_set
from aumer.motion import (
    AlignedFace,
    align,
    at_rows,
    flow_region,
    nearest,
    resample,
    roi_motion,
    roi_motions,
)
from aumer.motion.dense import _fit_head, _head_pixels
from aumer.motion.mdmo import ROIS
from aumer.motion.rigid import rigid_basis

SETTINGS: MotionSettings = load_settings().motion
CROP = SETTINGS.crop
TEMPLATE = MEAN_FACE[:, :2] * (CROP / 2) + np.array(CROP_ORIGIN) * CROP


@pytest.fixture(scope="module")
def skin() -> np.ndarray:
    return painted(grain=8)


# align


@given(
    st.floats(24, 2000),
    st.floats(-np.pi, np.pi),
    st.floats(-500, 3000),
    st.floats(-500, 3000),
)
@settings(max_examples=50, deadline=None)
def test_any_similarity_of_the_mean_face_comes_back_to_the_template(
    eyes: float, turn: float, x: float, y: float
) -> None:
    linear = eyes * np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
    landmarks = (MEAN_FACE[:, :2] @ linear.T + (x, y)).astype(np.float32)
    face = align(np.full((40, 40, 3), 128, np.uint8), landmarks, CROP)
    # float32 landmarks at 3000 px are known to 2e-4 px, which is worth less in the crop.
    np.testing.assert_allclose(face.landmarks, TEMPLATE, atol=1e-4 + 1e-3 * 64 / eyes)
    assert face.gray.shape == (CROP, CROP)
    assert face.gray.dtype == np.uint8
    assert face.landmarks.dtype == np.float32
    # The face may lie outside of the image, wholly or in part: the crop repeats its edge.
    assert (face.gray == 128).all()


@pytest.mark.parametrize("crop", [32, 64, 200, 1024])
def test_the_outer_eye_corners_lie_half_a_crop_apart(skin: np.ndarray, crop: int) -> None:
    face = align(*shown(skin, 80, turn=0.3), crop)
    assert face.gray.shape == (crop, crop)
    right, left = face.landmarks[[36, 45]]
    np.testing.assert_allclose(left - right, (crop / 2, 0), atol=1e-3 * crop)
    assert ((face.landmarks >= 0) & (face.landmarks < crop)).all()  # chin and brows are inside


def test_only_rigid_landmarks_steer_the_crop(skin: np.ndarray) -> None:
    """A smile must not move the face."""
    image, landmarks = shown(skin, 120)
    moved = landmarks.copy()
    free = [k for k in range(68) if k not in RIGID]
    moved[free] += np.random.default_rng(0).normal(size=(len(free), 2)) * 5
    before, after = align(image, landmarks, CROP), align(image, moved, CROP)
    np.testing.assert_array_equal(before.gray, after.gray)
    np.testing.assert_array_equal(before.landmarks[list(RIGID)], after.landmarks[list(RIGID)])
    # A landmark that moved 5 px in the image moved as much less as the crop is smaller.
    shift = (after.landmarks - before.landmarks)[free]
    np.testing.assert_allclose(shift, (moved - landmarks)[free] * 64 / 120, atol=1e-3)


@pytest.mark.parametrize("turn", [0.0, 0.4, -2.0])
def test_a_crop_hardly_depends_on_how_large_the_face_was(skin: np.ndarray, turn: float) -> None:
    """120 and 600 px wide (the face is 1.5 outer-eye distances wide)."""
    small, large = (
        align(*shown(skin, width / 1.5, turn=turn), CROP).gray.astype(float) for width in (120, 600)
    )
    upright = align(*shown(skin, 400), CROP).gray.astype(float)
    assert upright.std() > 10  # there is something to differ in
    for other in (small, large):
        differ = np.abs(other - upright)
        assert differ.mean() < 1.5
        assert np.percentile(differ, 99) < 6


def test_what_is_finer_than_the_crop_is_averaged_and_does_not_alias() -> None:
    """Hair and noise of a large face would flicker from frame to frame."""
    eyes, size = 400.0, 1280
    rows, columns = np.mgrid[0:size, 0:size]
    chequered = np.where((rows // 2 + columns // 2) % 2, 255, 0).astype(np.uint8)
    image = np.repeat(chequered[:, :, None], 3, axis=2)
    landmarks = (MEAN_FACE[:, :2] * eyes + size / 2).astype(np.float32)
    gray = align(image, landmarks, CROP).gray[8:-8, 8:-8].astype(float)
    assert gray.mean() == pytest.approx(127.5, abs=2)
    assert gray.std() < 3


@pytest.mark.parametrize("at", [(0, 0), (255, 128), (128, 300), (-200, -200), (900, 100)])
def test_a_face_at_the_edge_of_the_image_or_beyond(
    skin: np.ndarray, at: tuple[float, float]
) -> None:
    image, landmarks = shown(skin, 80, at=at, size=256)
    before = image.copy()
    face = align(image, landmarks, CROP)
    np.testing.assert_allclose(face.landmarks, TEMPLATE, atol=1e-3)
    assert face.gray.shape == (CROP, CROP)
    np.testing.assert_array_equal(image, before)
    if 0 <= at[0] < 256 and 0 <= at[1] < 256:  # what the image shows of it is where it should be
        whole = align(*shown(skin, 80, size=512), CROP).gray.astype(float)
        shows = np.abs(face.gray.astype(float) - whole) < 4
        assert shows.mean() > 0.2


def test_colors_become_gray_as_the_eye_weighs_them() -> None:
    """RGB, not BGR: red is brighter than blue."""
    _, landmarks = shown(np.zeros((1200, 1200, 3), np.uint8), 80)
    gray = {}
    for k, name in enumerate(("red", "green", "blue")):
        image = np.zeros((256, 256, 3), np.uint8)
        image[..., k] = 200
        gray[name] = float(align(image, landmarks, CROP).gray.mean())
    assert gray["green"] > gray["red"] > gray["blue"] > 0


# The head's motion


def rigid(parameters: np.ndarray, crop: int = CROP) -> np.ndarray:
    return np.asarray(rigid_basis(crop) @ np.asarray(parameters, np.float32))


PARAMETERS = st.lists(st.floats(-3, 3), min_size=6, max_size=6).map(np.array)


@pytest.mark.parametrize("crop", [64, 128])
@given(PARAMETERS)
@settings(max_examples=25, deadline=None)
def test_a_rigid_motion_is_recovered(crop: int, parameters: np.ndarray) -> None:
    fitted = _fit_head(rigid(parameters, crop))
    assert fitted is not None
    found, misfit = fitted
    np.testing.assert_allclose(found, parameters, atol=1e-3)
    assert misfit < 1e-3


@pytest.mark.parametrize("column", range(6))
def test_every_column_of_the_basis_is_the_motion_it_is_named_for(column: int) -> None:
    """Against the motion of points in space, seen without perspective."""
    crop, small = 200, 1e-3
    origin = np.array(CROP_ORIGIN) * crop
    x, y = (MEAN_FACE[:, 0], MEAN_FACE[:, 1])
    z = MEAN_FACE[:, 2]
    about = [
        (np.ones(68), np.zeros(68)),
        (np.zeros(68), np.ones(68)),
        (x, y),  # nearer: grows about the origin
        (x * np.cos(small) - y * np.sin(small) - x, x * np.sin(small) + y * np.cos(small) - y),
        (x * np.cos(small) + z * np.sin(small) - x, np.zeros(68)),  # about the vertical axis
        (np.zeros(68), y * np.cos(small) + z * np.sin(small) - y),  # about the horizontal one
    ]
    moved = np.stack(about[column], axis=1) / (small if column > 2 else 1)
    at = np.rint(MEAN_FACE[:, :2] * (crop / 2) + origin).astype(int)
    basis = rigid_basis(crop)[at[:, 1], at[:, 0], :, column]
    # Half a pixel of rounding, and creases of the depth that are smoothed away.
    tolerance = 0.01 if column < 4 else 0.12
    np.testing.assert_allclose(basis, moved, atol=tolerance)
    if column > 3:
        seen = basis[:, column - 4]
        assert np.corrcoef(seen, z)[0, 1] > 0.98
        assert (basis[:, 5 - column] == 0).all()


def test_the_basis_is_finite_everywhere() -> None:
    for crop in (32, 128):
        assert rigid_basis(crop).shape == (crop, crop, 2, 6)
        assert np.isfinite(rigid_basis(crop)).all()


def some_pixels(share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = _head_pixels(CROP)
    chosen = np.random.default_rng(seed).permutation(len(rows))[: round(share * len(rows))]
    return rows[chosen], columns[chosen]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("together", [False, True], ids=["anyhow", "together"])
def test_scattered_outliers_are_let_go(share: float, seed: int, together: bool) -> None:
    rng = np.random.default_rng(seed)
    parameters = rng.normal(size=6)
    field = rigid(parameters)
    pixels = some_pixels(share, seed)
    field[pixels] += (3.0, -2.0) if together else rng.normal(size=(len(pixels[0]), 2)) * 4
    fitted = _fit_head(field)
    assert fitted is not None
    np.testing.assert_allclose(fitted[0], parameters, atol=1e-3)


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_fifth_of_the_nose_that_moves_by_itself_is_let_go(side: str) -> None:
    """A nostril that widens, an eyelid that comes down into the box."""
    parameters = np.array([1.0, -0.5, 0.3, 0.2, 0.5, -0.4])
    field = rigid(parameters)
    rows, columns = _head_pixels(CROP)
    along = {"left": -columns, "right": columns, "top": -rows, "bottom": rows}[side]
    moving = along > np.quantile(along, 0.8)
    assert 0.15 <= moving.mean() <= 0.2
    field[rows[moving], columns[moving]] += (0.6, -1.0)
    fitted = _fit_head(field)
    assert fitted is not None
    np.testing.assert_allclose(fitted[0], parameters, atol=2e-3)


def test_noise_is_averaged() -> None:
    field = rigid(np.zeros(6)) + np.random.default_rng(0).normal(size=(CROP, CROP, 2)) * 0.1
    fitted = _fit_head(field.astype(np.float32))
    assert fitted is not None
    x, y = np.rint(TEMPLATE[list(ROIS.values())]).astype(int).T
    assert np.abs(rigid(fitted[0])[y, x]).max() < 0.1  # though the brows are far from the nose
    assert fitted[1] == pytest.approx(0.1 * np.sqrt(2 * np.log(2)), rel=0.1)  # Rayleigh's median


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_head_motion_is_read_from_unknown_flow(bad: float) -> None:
    field = rigid(np.zeros(6))
    rows, columns = _head_pixels(CROP)
    field[rows[7], columns[7], 1] = bad
    assert _fit_head(field) is None


# roi_motion


def aligned(landmarks: np.ndarray = TEMPLATE, gray: int = 0) -> AlignedFace:
    return AlignedFace(np.full((CROP, CROP), gray, np.uint8), landmarks.astype(np.float32))


def motion(
    field: np.ndarray,
    previous: AlignedFace | None = None,
    following: AlignedFace | None = None,
    settings: MotionSettings = SETTINGS,
) -> np.ndarray | None:
    """roi_motion where the flow finds `field`."""
    return roi_motion(
        previous or aligned(),
        following or aligned(),
        lambda a, b: field.astype(np.float32),
        settings,
    )


def with_rois(field: np.ndarray, moves: dict[str, tuple[float, float]]) -> np.ndarray:
    """The field, and within 7 px of each named ROI's landmark some motion more."""
    field = field.copy()
    for roi, move in moves.items():
        x, y = np.rint(TEMPLATE[ROIS[roi]]).astype(int)
        field[y - 7 : y + 8, x - 7 : x + 8] += np.float32(move)
    return field


@given(PARAMETERS)
@settings(max_examples=25, deadline=None)
def test_a_rigid_head_motion_gives_no_feature(parameters: np.ndarray) -> None:
    found = motion(rigid(parameters))
    assert found is not None
    assert found.shape == (12, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 0, atol=2e-3)


@pytest.mark.parametrize(
    "moves",
    [
        {"mouth_l": (0.8, -1.1), "mouth_r": (-0.8, -1.1)},
        {"brow_l_mid": (0.0, -0.3)},
        {"lip_lower": (0.05, 1.5)},
    ],
    ids=str,
)
@pytest.mark.parametrize("head", [np.zeros(6), np.array([1.5, -2, 0.6, 0.4, 1.0, -0.7])])
def test_what_an_roi_does_besides_is_its_feature(
    moves: dict[str, tuple[float, float]], head: np.ndarray
) -> None:
    found = motion(with_rois(rigid(head), moves))
    assert found is not None
    for roi, values in zip(ROIS, found, strict=True):
        if roi in moves:
            np.testing.assert_allclose(values, moves[roi], atol=2e-3)
    at_rest = [values for roi, values in zip(ROIS, found, strict=True) if "nose" in roi]
    np.testing.assert_allclose(at_rest, 0, atol=2e-3)


def test_the_rois_lie_at_the_landmarks_of_the_following_face() -> None:
    landmarks = TEMPLATE.copy()
    landmarks[ROIS["mouth_l"]] += (12, 4)
    field = rigid(np.zeros(6))
    x, y = np.rint(landmarks[ROIS["mouth_l"]]).astype(int)
    field[y - 5 : y + 6, x - 5 : x + 6] = (0.5, 0.25)
    k = list(ROIS).index("mouth_l")
    found = motion(field, following=aligned(landmarks))
    assert found is not None
    np.testing.assert_allclose(found[k], (0.5, 0.25), atol=2e-3)
    # At the landmarks of the previous face nothing moves.
    other = motion(field, previous=aligned(landmarks))
    assert other is not None
    np.testing.assert_allclose(other[k], 0, atol=2e-3)


def test_the_flow_is_asked_from_the_previous_to_the_following_face() -> None:
    asked = []

    def flow(previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        asked.append((int(previous[0, 0]), int(following[0, 0])))
        return np.zeros((CROP, CROP, 2), np.float32)

    roi_motion(aligned(gray=3), aligned(gray=9), flow, SETTINGS)
    assert asked == [(3, 9)]


def test_two_images_that_are_not_one_face_give_none() -> None:
    rng = np.random.default_rng(0)
    assert motion(rng.normal(size=(CROP, CROP, 2)) * 5) is None
    assert motion(np.full((CROP, CROP, 2), np.nan)) is None


@pytest.mark.parametrize(("limit", "known"), [(0.5, False), (0.7, True)])
def test_the_misfit_that_is_borne_is_a_setting(limit: float, known: bool) -> None:
    """The median length of 2-d noise of .5 px is .59 px."""
    noise = np.random.default_rng(0).normal(size=(CROP, CROP, 2)) * 0.5
    found = motion(noise, settings=replace(SETTINGS, max_head_residual=limit))
    assert (found is not None) == known


def test_unknown_flow_in_an_roi_gives_no_number_there() -> None:
    x, y = np.rint(TEMPLATE[ROIS["mouth_l"]]).astype(int)
    field = with_rois(rigid(np.zeros(6)), {"mouth_r": (-1.0, 0.0)})
    field[y, x] = np.nan
    found = motion(field)
    assert found is not None
    rows = dict(zip(ROIS, found, strict=True))
    assert np.isnan(rows.pop("mouth_l")).any()
    assert np.isfinite(list(rows.values())).all()


def test_an_roi_outside_of_the_crop_is_at_rest() -> None:
    landmarks = TEMPLATE.copy()
    landmarks[ROIS["mouth_l"]] = (CROP + 40, CROP + 40)
    found = motion(rigid(np.ones(6)), following=aligned(landmarks))
    assert found is not None
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[list(ROIS).index("mouth_l")], 0)


# The part of the crop that flow is asked for


class Regional:
    """A flow that tells where it was asked for, and is noise outside."""

    def __init__(self, field: np.ndarray, region: Region | None = None) -> None:
        self.field, self.region = field.astype(np.float32), region
        self.asked: list[Region | None] = []

    def within(self, region: Region) -> Regional:
        part = Regional(np.random.default_rng(0).normal(size=self.field.shape) * 3, region)
        left, top, right, bottom = region
        part.field[top:bottom, left:right] = self.field[top:bottom, left:right]
        part.asked = self.asked
        return part

    def __call__(self, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        self.asked.append(self.region)
        return self.field


def lowered(by: float) -> np.ndarray:
    """The template with the lower lip `by` px lower."""
    landmarks = TEMPLATE.copy()
    landmarks[ROIS["lip_lower"]] += (0, by)
    return landmarks


@pytest.mark.parametrize("crop", [32, 100, 128, 256])
@pytest.mark.parametrize("rois", ["published", "inner51", "ibug68", "chin", "brow_l_mid"])
def test_the_region_holds_rois_and_nose(rois: str, crop: int) -> None:
    chosen = replace(SETTINGS, rois=rois, crop=crop, roi_radius=max(1, crop // 25))
    left, top, right, bottom = flow_region(chosen)
    assert 0 <= left < right <= crop
    assert 0 <= top < bottom <= crop
    marks = MEAN_FACE[list(roi_set(rois).landmarks), :2] * (crop / 2) + np.array(CROP_ORIGIN) * crop
    marks = np.rint(marks).astype(int)
    margin = chosen.roi_radius + 8 * crop // 128
    rows, columns = _head_pixels(crop)
    points = np.vstack([marks - margin, marks + margin, np.column_stack([columns, rows])])
    points = points.clip(0, crop - 1)
    assert (points >= (left, top)).all()
    assert (points < (right, bottom)).all()


def test_the_default_region_leaves_out_a_quarter_of_the_crop() -> None:
    left, top, right, bottom = flow_region(SETTINGS)
    assert (right - left) * (bottom - top) < 0.78 * CROP**2


def test_flow_is_asked_for_in_the_region_and_nothing_else_is_read() -> None:
    field = with_rois(rigid(np.array([1.5, -2, 0.6, 0.4, 1.0, -0.7])), {"mouth_l": (0.8, -1.1)})
    flow = Regional(field)
    found = roi_motion(aligned(), aligned(lowered(3)), flow, SETTINGS)
    assert flow.asked == [flow_region(SETTINGS)]
    wanted = motion(field, following=aligned(lowered(3)))
    assert found is not None and wanted is not None
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("by", [14.0, 26.0, 60.0])
def test_a_face_whose_rois_come_near_the_edge_gets_the_whole_flow(by: float) -> None:
    flow = Regional(rigid(np.zeros(6)))
    usual, wide = aligned(), aligned(lowered(by))
    three = roi_motions([(usual, usual), (usual, wide), (wide, usual)], flow, SETTINGS)
    region = flow_region(SETTINGS)
    assert sorted(flow.asked, key=str) == sorted([region, None, region], key=str)
    for found, (a, b) in zip(three, [(usual, usual), (usual, wide), (wide, usual)], strict=True):
        alone = roi_motion(a, b, flow, SETTINGS)
        assert found is not None and alone is not None
        np.testing.assert_array_equal(found, alone)


def test_flows_that_take_pairs_together_get_those_of_a_region_together() -> None:
    calls = []

    class Together(Regional):
        def within(self, region: Region) -> Together:
            return Together(self.field, region)

        def many(self, pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
            calls.append((self.region, [int(a[0, 0]) for a, _ in pairs]))
            return [self.field * (1 + int(a[0, 0])) for a, _ in pairs]

    wide = lowered(26)
    pairs = [
        (aligned(gray=k), aligned(wide if k in (1, 4) else TEMPLATE, gray=k)) for k in range(5)
    ]
    field = with_rois(rigid(np.zeros(6)), {"mouth_l": (0.4, 0.2)})
    found = roi_motions(pairs, Together(field), SETTINGS)
    assert calls == [(flow_region(SETTINGS), [0, 2, 3]), (None, [1, 4])]
    mouth = list(ROIS).index("mouth_l")
    for k, one in enumerate(found):
        assert one is not None
        np.testing.assert_allclose(one[mouth], (0.4 * (1 + k), 0.2 * (1 + k)), atol=2e-3)
    assert roi_motions([], Together(field), SETTINGS) == []


# With real flow


@pytest.mark.parametrize("rois", ["published", "inner51"])
def test_features_in_the_region_are_those_of_the_whole_crop(skin: np.ndarray, rois: str) -> None:
    chosen = replace(SETTINGS, rois=rois)
    first = align(*shown(skin, 200, size=660), CROP)
    second = align(*shown(skin, 205, turn=0.05, size=660), CROP)
    part = roi_motion(first, second, tvl1, chosen)
    whole = roi_motion(first, second, lambda a, b: tvl1(a, b), chosen)
    assert part is not None and whole is not None
    np.testing.assert_allclose(part, whole, atol=0.1)
    assert np.abs(part - whole).mean() < 0.02


@pytest.mark.parametrize(
    "pose",
    [
        {"eyes": 200.0, "at": (338.0, 325.0)},
        {"eyes": 205.0},
        {"eyes": 200.0, "turn": 0.05},
        {"eyes": 195.0, "turn": -0.03, "at": (330.0, 340.0)},
    ],
    ids=str,
)
def test_a_head_that_moves_before_a_camera_gives_next_to_no_feature(
    skin: np.ndarray, pose: dict[str, float]
) -> None:
    first = align(*shown(skin, 200, size=660), CROP)
    image, landmarks = shown(skin, **(pose | {"size": 660}))  # type: ignore[arg-type]
    jitter = np.random.default_rng(0).normal(size=landmarks.shape) * 0.5
    second = align(image, (landmarks + jitter).astype(np.float32), CROP)
    found = roi_motion(first, second, dis, SETTINGS)
    assert found is not None
    assert np.linalg.norm(found, axis=1).max() < 0.1  # of the 2 to 7 px by which ROIs moved


def test_a_mouth_corner_that_is_pulled_is_measured(skin: np.ndarray) -> None:
    """A lump of skin round the corner moves by (.03, -.04) outer-eye distances."""
    pull = np.array([0.03, -0.04]) * UNIT
    corner = (MEAN_FACE[ROIS["mouth_l"], :2] + MIDDLE) * UNIT
    rows, columns = np.mgrid[0 : len(skin), 0 : len(skin)].astype(np.float32)
    near = np.exp(-((columns - corner[0]) ** 2 + (rows - corner[1]) ** 2) / (2 * (0.2 * UNIT) ** 2))
    pulled = cv2.remap(
        skin,
        (columns - near * pull[0]).astype(np.float32),
        (rows - near * pull[1]).astype(np.float32),
        cv2.INTER_LINEAR,
    )
    first = align(*shown(skin, 150), CROP)
    second = align(*shown(pulled, 150, turn=0.02), CROP)
    found = roi_motion(first, second, dis, SETTINGS)
    assert found is not None
    rows_by_name = dict(zip(ROIS, found, strict=True))
    expected = np.array([0.03, -0.04]) * CROP / 2
    np.testing.assert_allclose(rows_by_name["mouth_l"], expected, atol=0.35)
    for roi in ("brow_l_mid", "brow_r_mid", "nose_bridge", "mouth_r"):
        assert np.linalg.norm(rows_by_name[roi]) < 0.15


# resample


def trajectory(t: np.ndarray) -> np.ndarray:
    """Displacement (T, 2, 2) px of two ROIs: a rise of .5 s and one of 1 s, each with its way."""
    fast = 1.5 * (1 - np.cos(np.pi * np.clip((t - 0.3) / 0.5, 0, 1)))
    slow = 1 - np.cos(np.pi * np.clip((t - 0.2) / 1.0, 0, 1))
    return np.stack([np.stack([fast, -0.5 * fast], 1), np.stack([slow, 2 * slow], 1)], axis=1)


#: Largest second derivative of any component: A / 2 (pi / T)^2 of a rise by A within T.
BEND = 3.0 / 2 * (np.pi / 0.5) ** 2


def steps_at(times: np.ndarray) -> np.ndarray:
    return np.diff(trajectory(times), axis=0).astype(np.float32)


def all_joined(times: np.ndarray) -> np.ndarray:
    return np.ones(max(0, len(times) - 1), bool)


@st.composite
def frame_times(draw: st.DrawFn) -> np.ndarray:
    """Increasing times, 5 to 80 ms apart, from 0 to an instant of any grid of 10 to 200 per s."""
    gaps = draw(st.lists(st.floats(0.005, 0.08), min_size=3, max_size=60))
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    end = max(0.2, np.ceil(times[-1] * 10) / 10)
    return np.append(times, end) if end - times[-1] > 1e-4 else times


@given(frame_times(), st.sampled_from([10.0, 30.0, 50.0, 100.0, 200.0]))
@settings(deadline=None)
def test_displacement_is_kept_whatever_the_times_of_the_frames(
    times: np.ndarray, rate: float
) -> None:
    grid, values, valid = resample(times, steps_at(times), all_joined(times), rate)
    whole = np.floor(times[-1] * rate + 1e-3) / rate
    assert valid.all()
    assert values.dtype == np.float32
    assert len(grid) == len(values) == len(valid) == round(whole * rate)
    np.testing.assert_allclose(grid, np.arange(len(grid)) / rate, atol=1e-12)
    # Read between two frames, displacement is off by no more than a parabola's arc.
    arc = BEND / 8 * np.diff(times).max() ** 2
    expected = trajectory(np.array([0.0, whole]))
    tolerance = 1e-4 + (arc if abs(whole - times[-1]) > 1e-9 else 0)
    np.testing.assert_allclose(values.sum(axis=0), expected[1] - expected[0], atol=tolerance)


@pytest.mark.parametrize("fps", [24, 25, 30, 60, 200, 30000 / 1001])
@pytest.mark.parametrize("rate", [15.0, 30.0, 100.0])
def test_one_movement_looks_alike_at_every_frame_rate(fps: float, rate: float) -> None:
    times = np.arange(round(1.6 * fps) + 1) / fps
    grid, values, valid = resample(times, steps_at(times), all_joined(times), rate)
    assert valid.all()
    path = np.cumsum(values, axis=0)
    truth = trajectory(grid + 1 / rate)
    # The error of linear interpolation; at 24 fps this is .4 % of the movement.
    bound = BEND / 8 / fps**2
    assert bound < 0.013
    np.testing.assert_allclose(path, truth, atol=bound + 1e-4)
    if (fps / rate).is_integer():  # every instant of the grid is a frame: nothing is interpolated
        np.testing.assert_allclose(path, truth, atol=1e-4)


def test_frames_on_the_grid_are_passed_through() -> None:
    times = np.arange(31) / 30
    steps = np.random.default_rng(0).normal(size=(30, 12, 2)).astype(np.float32)
    grid, values, valid = resample(times, steps, all_joined(times), 30.0)
    np.testing.assert_allclose(values, steps, atol=1e-5)
    np.testing.assert_allclose(grid, times[:-1])
    assert valid.all()


@pytest.mark.parametrize("jitter", [0.1, 0.4])
def test_jittered_timestamps(jitter: float) -> None:
    """Variable frame rate: what counts is when a frame was shown and not which it was."""
    rng = np.random.default_rng(0)
    times = (np.arange(49) + rng.uniform(-jitter, jitter, 49)) / 30
    times[0] = 0.0
    grid, values, valid = resample(times, steps_at(times), all_joined(times), 30.0)
    assert valid.all()
    bound = BEND / 8 * np.diff(times).max() ** 2
    np.testing.assert_allclose(
        np.cumsum(values, axis=0), trajectory(grid + 1 / 30), atol=bound + 1e-4
    )


@given(
    st.lists(st.booleans(), min_size=1, max_size=60),
    st.sampled_from([24.0, 25.0, 30.0, 60.0, 200.0]),
    # So that frames and instants of the grid coincide or lie .2 ms apart, not something between.
    st.integers(0, 480_000).map(lambda k: k / 4800),
)
@settings(deadline=None)
def test_a_row_is_valid_where_motion_was_measured_throughout(
    joined: list[bool], fps: float, start: float
) -> None:
    rate = 30.0
    times = start + np.arange(len(joined) + 1) / fps
    steps = np.ones((len(joined), 3, 2), np.float32)
    steps[~np.array(joined)] = np.nan  # as where there was no face
    grid, values, valid = resample(times, steps, np.array(joined), rate)
    assert values.shape == (len(grid), 3, 2)
    np.testing.assert_array_equal(np.isnan(values).any(axis=(1, 2)), ~valid)
    np.testing.assert_array_equal(np.isnan(values).all(axis=(1, 2)), ~valid)
    near = 2e-3 / rate  # instants that miss a frame by rounding
    for at, value, ok in zip(grid, values, valid, strict=True):
        touched = (times[:-1] < at + 1 / rate - near) & (times[1:] > at + near)
        expected = touched.any() and all(np.array(joined)[touched])
        assert ok == expected
        if ok:  # a px per frame
            np.testing.assert_allclose(value, fps / rate, rtol=5e-3)


def test_a_gap_does_not_leak_into_its_neighbors() -> None:
    times = np.arange(31) / 30
    steps = np.ones((30, 12, 2), np.float32)
    steps[10] = np.nan
    _, values, valid = resample(times, steps, np.isfinite(steps).all(axis=(1, 2)), 30.0)
    assert np.flatnonzero(~valid).tolist() == [10]
    np.testing.assert_allclose(values[valid], 1, atol=1e-5)


def test_a_gap_of_time_is_bridged_by_nothing() -> None:
    """Frames 0 to 9 and 40 to 49 exist; whatever moved between is unknown."""
    times = np.concatenate([np.arange(10), np.arange(40, 50)]) / 30
    joined = all_joined(times)
    joined[9] = False
    grid, _, valid = resample(times, np.ones((19, 2, 2), np.float32), joined, 30.0)
    assert len(grid) == 49  # no row is dropped
    assert np.flatnonzero(~valid).tolist() == list(range(9, 40))


@pytest.mark.parametrize("start", [0.01, 1.0, 12.345, 3600.02])
def test_the_grid_is_that_of_the_video_wherever_the_range_starts(start: float) -> None:
    """Rows of a range are rows of the whole: instants are multiples of 1 / rate."""
    rate = 30.0
    times = start + np.arange(60) / 25
    grid, values, valid = resample(times, np.ones((59, 1, 2), np.float32), all_joined(times), rate)
    assert valid.all()
    np.testing.assert_allclose(grid * rate, np.rint(grid * rate), atol=1e-6)
    assert times[0] - 1e-4 <= grid[0] < times[0] + 1 / rate
    assert times[-1] - 1 / rate < grid[-1] + 1 / rate <= times[-1] + 1e-4
    np.testing.assert_allclose(values, 25 / 30, rtol=1e-3)


@pytest.mark.parametrize(
    "times",
    [[], [0.0], [5.0], [0.0, 0.02], [1.001, 1.02]],
    ids=["none", "one", "one late", "two within a step", "two between instants"],
)
def test_too_few_frames_give_no_row(times: list[float]) -> None:
    at = np.array(times, np.float64)
    steps = np.zeros((max(0, len(at) - 1), 12, 2), np.float32)
    grid, values, valid = resample(at, steps, all_joined(at), 30.0)
    assert grid.shape == valid.shape == (0,)
    assert values.shape == (0, 12, 2)
    assert grid.dtype == np.float64
    assert valid.dtype == np.bool_
    assert values.dtype == np.float32


# nearest


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=30, unique=True).map(sorted),
    st.lists(st.floats(-200, 200), max_size=30),
)
def test_nearest_is_the_nearest(times: list[float], instants: list[float]) -> None:
    found = nearest(np.array(times), np.array(instants, np.float64))
    assert found.dtype == np.int64
    assert found.shape == (len(instants),)
    for instant, index in zip(instants, found, strict=True):
        assert abs(times[index] - instant) == min(abs(t - instant) for t in times)


def test_nearest_of_two_equally_near_is_the_earlier() -> None:
    assert nearest(np.array([0.0, 1.0, 2.0]), np.array([0.5, 1.5])).tolist() == [0, 1]


def test_other_rois_are_measured_round_their_landmarks() -> None:
    """R other than 12, by index and by name; the published ones among them keep their motion."""
    field = np.random.default_rng(4).normal(0, 8, (CROP, CROP, 2))
    field = gaussian_filter(field, (4, 4, 0))

    def measured(rois: str) -> np.ndarray:
        found = motion(field, settings=replace(SETTINGS, rois=rois, max_head_residual=99.0))
        assert found is not None
        return found

    published, others = measured("published"), measured("36 lip_upper 54")
    assert published.shape == (12, 2) and others.shape == (3, 2)
    names = list(ROIS)
    np.testing.assert_array_equal(others[1], published[names.index("lip_upper")])
    np.testing.assert_array_equal(others[2], published[names.index("mouth_l")])
    assert np.abs(others[0]).max() > 0
    np.testing.assert_array_equal(measured("ibug68")[list(ROIS.values())], published)
    with pytest.raises(UsageError, match="Did you mean 'mouth_r'"):
        measured("mouthr 54")


def test_what_belongs_to_a_step_is_read_at_the_rows_in_it() -> None:
    times = np.array([0.0, 0.1, 0.4, 0.5])
    values = np.array([[0.1], [0.2], [0.3]], np.float32)
    grid = np.arange(5) / 10
    at = at_rows(times, values, grid, 10.0)
    np.testing.assert_array_equal(at[:, 0], np.float32([0.1, 0.2, 0.2, 0.2, 0.3]))
    # Nothing lies after the last step, and of no step nothing is read.
    assert at_rows(times[:1], values[:0], grid[:0], 10.0).shape == (0, 1)
