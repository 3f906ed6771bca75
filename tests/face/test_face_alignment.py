"""FAN: the package's own network, cropping and mirroring, with weights that find colored light."""

from __future__ import annotations

import builtins
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from face_alignment import FaceAlignment, LandmarksType, utils
from face_alignment.models import FAN
from torch import nn

from aumer.errors import BackendUnavailable, WeightsError
from aumer.face.face_alignment import FaceAlignmentLandmarker, _peaks

BOX = np.array([70, 90, 170, 190], np.float32)
GROUPS = (range(17), range(17, 48), range(48, 68))
#: Width of a heatmap cell in px for a box of 100 x 100 px.
CELL = 200 * 200 / 195 / 64


#: Middles of the three lights.
PLACES = ((80, 100), (150, 120), (125, 180))


@pytest.fixture(scope="module")
def landmarker(fan_weights: Path, one_stack: nn.Module) -> FaceAlignmentLandmarker:
    landmarker = FaceAlignmentLandmarker(fan_weights, flip=False)
    landmarker._network = one_stack
    return landmarker


def lights(*middles: tuple[int, int], shape: tuple[int, int] = (240, 260)) -> np.ndarray:
    """A black image with a red, a green and a blue square of 7 px, x and y of their middles."""
    image = np.zeros((*shape, 3), np.uint8)
    for channel, (x, y) in enumerate(middles):
        image[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4, channel] = 255
    return image


def check(points: np.ndarray | None, *middles: tuple[int, int], cell: float = CELL) -> None:
    assert points is not None
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    for group, middle in zip(GROUPS, middles, strict=True):
        assert np.abs(points[group] - middle).max() <= cell


@pytest.mark.parametrize("flip", [False, True])
def test_points_are_where_the_image_says(flip: bool, fan_weights: Path) -> None:
    # Mirrored points come back to their own places and sides.
    check(FaceAlignmentLandmarker(fan_weights, flip=flip)(lights(*PLACES), BOX), *PLACES)


def test_points_move_with_image_and_box(landmarker: FaceAlignmentLandmarker) -> None:
    shift = (13, -7)
    first = landmarker(lights(*PLACES), BOX)
    check(first, *PLACES)
    moved = lights(*((x + shift[0], y + shift[1]) for x, y in PLACES))
    second = landmarker(moved, BOX + np.float32([*shift, *shift]))
    np.testing.assert_allclose(second - first, [shift] * 68, atol=1e-3)


def test_fractions_of_a_pixel_in_the_box_do_not_move_the_points(
    landmarker: FaceAlignmentLandmarker,
) -> None:
    image = lights(*PLACES)
    first = landmarker(image, BOX)
    # The crop, which has whole pixels, is the same; so are the points.
    np.testing.assert_array_equal(landmarker(image, BOX + np.float32(0.2)), first)
    # From here on it lies 1 px further, and the lights are resampled.
    assert np.abs(landmarker(image, BOX + np.float32(0.7)) - first).max() < 0.5


def test_a_box_partly_outside_the_image(landmarker: FaceAlignmentLandmarker) -> None:
    places = ((20, 30), (60, 20), (40, 70))
    check(landmarker(lights(*places), np.float32([-20, -10, 80, 90])), *places)
    places = ((200, 180), (240, 170), (220, 220))
    check(landmarker(lights(*places), np.float32([180, 150, 280, 250])), *places)


def test_a_box_of_any_shape_and_size(landmarker: FaceAlignmentLandmarker) -> None:
    places = ((90, 100), (150, 110), (120, 140))
    check(landmarker(lights(*places), np.float32([100, 60, 140, 180])), *places)
    places = ((100, 110), (340, 150), (200, 400))
    image = lights(*places, shape=(500, 480))
    check(landmarker(image, np.float32([60, 80, 400, 460])), *places, cell=CELL * 3.6)
    places = ((580, 100), (650, 120), (625, 180))
    image = lights(*places, shape=(240, 700))
    check(landmarker(image, BOX + np.float32([500, 0, 500, 0])), *places)


@pytest.mark.parametrize(
    "box",
    [
        (400, 90, 500, 190),  # beside the image
        (-300, 90, -200, 190),
        (70, 500, 170, 600),
        (70, -300, 170, -200),
        (70, 90, 72, 190),  # too narrow
        (170, 190, 70, 90),  # inside out
        (-9000, -9000, 9000, 9000),  # a crop of gigabytes
        (float("nan"), 90, 170, 190),
        (70, 90, float("inf"), 190),
    ],
)
def test_boxes_without_a_face(box, landmarker: FaceAlignmentLandmarker) -> None:
    assert landmarker(np.full((240, 260, 3), 255, np.uint8), np.float32(box)) is None


def test_low_peaks_mean_no_face(landmarker: FaceAlignmentLandmarker) -> None:
    # The hourglass adds five scales of the image, so an even image of value v peaks at 5 v.
    even = np.full((240, 260, 3), 13, np.uint8)
    assert landmarker(even, BOX) is None
    assert landmarker(even * 2, BOX) is not None


def test_random_weights_agree_with_the_package(
    fan_weights: Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = FaceAlignmentLandmarker(fan_weights, min_score=-np.inf)
    torch.manual_seed(0)
    ours._network = FAN(1).eval()
    box = np.float32([60.3, 62.9, 193.2, 201.4])
    points = ours(portrait, box)
    assert points is not None
    # Compiling these two takes ten seconds; as Python they do the same.
    for name in ("_get_preds_fromhm", "transform_np"):
        monkeypatch.setattr(utils, name, getattr(utils, name).py_func)
    package = SimpleNamespace(  # what the method reads; the constructor would download
        face_detector=SimpleNamespace(reference_scale=195),
        face_alignment_net=ours._network,
        device="cpu",
        dtype=torch.float32,
        flip_input=True,
        landmarks_type=LandmarksType.TWO_D,
        max_batch_size=1,
    )
    (theirs,) = FaceAlignment.get_landmarks_from_image(package, portrait.copy(), [box.tolist()])
    assert len(np.unique(theirs, axis=0)) > 40  # points all over the crop
    # Theirs are read to half a cell (2 px here), cut to whole pixels, off by the crop's rounding.
    difference = points - theirs
    assert np.abs(difference).max() < 3.0
    assert np.abs(difference.mean(axis=0)).max() < 1.0


def test_peaks_are_those_of_the_package_but_finer() -> None:
    heatmaps = np.random.default_rng(0).random((68, 64, 64), np.float32)
    for k, place in enumerate([(0, 5), (5, 0), (63, 9), (9, 63), (0, 0), (63, 63), (31, 32)]):
        heatmaps[(k, *place)] = 2.0
    heatmaps[8] = 0.5  # no peak
    index = heatmaps.reshape(1, 68, -1).argmax(axis=-1)
    theirs = utils._get_preds_fromhm.py_func(heatmaps[None], index)[0][0]
    ours = _peaks(heatmaps)
    np.testing.assert_array_equal(np.floor(ours), np.floor(theirs))  # the same cells
    np.testing.assert_array_equal(np.sign(ours % 1 - 0.5), np.sign(theirs % 1 - 0.5))  # and sides


def test_peaks_of_gaussians_are_found_between_the_cells() -> None:
    middles = np.random.default_rng(1).uniform(5, 59, (68, 2))
    x = np.arange(64) + 0.5
    squares = (x - middles[:, :1])[:, None, :] ** 2 + (x - middles[:, 1:])[:, :, None] ** 2
    heatmaps = np.exp(-squares / (2 * 1.5**2)).astype(np.float32)
    assert np.abs(_peaks(heatmaps) - middles).max() < 0.03
    index = heatmaps.reshape(1, 68, -1).argmax(axis=-1)
    theirs = utils._get_preds_fromhm.py_func(heatmaps[None], index)[0][0]
    assert np.abs(theirs - middles).max() > 0.2


def test_the_import_is_light() -> None:
    code = """
import sys
import aumer.face.face_alignment
assert not {"torch", "cv2", "numba", "face_alignment"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_weights_are_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"2DFAN4-11f355bf06.*aumer models fetch face-alignment"):
        FaceAlignmentLandmarker()
    assert not any(tmp_path.iterdir())


def test_weights_in_the_packages_cache_are_found(
    fan_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / fan_weights.name).symlink_to(fan_weights)
    FaceAlignmentLandmarker()


def test_weights_of_another_network(retinaface_weights: Path) -> None:
    with pytest.raises(WeightsError, match=r"missing: conv1\.weight.*unexpected: bn_data\.weight"):
        FaceAlignmentLandmarker(retinaface_weights)


def test_a_missing_package_is_explained(fan_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith("face_alignment"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendUnavailable, match="pip install 'face-alignment"):
        FaceAlignmentLandmarker(fan_weights)


@pytest.mark.parametrize("device", ["cuda:99", "no such device"])
def test_a_device_that_is_not_there(device: str, fan_weights: Path) -> None:
    with pytest.raises(BackendUnavailable, match="device='cpu'"):
        FaceAlignmentLandmarker(fan_weights, device)
