"""RetinaFace: the package's own network and decoding, with weights that find skin."""

from __future__ import annotations

import builtins
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from aumer.errors import BackendUnavailable, UsageError, WeightsError
from aumer.face.retinaface import RetinaFaceDetector, _import_package

SKIN, SKY = (220, 170, 140), (140, 170, 220)


@pytest.fixture(scope="module")
def detector(retinaface_weights: Path) -> RetinaFaceDetector:
    return RetinaFaceDetector(retinaface_weights, upscale=False)


def patches(*squares: tuple[int, int, int, tuple[int, int, int]], side: int = 160) -> np.ndarray:
    """A gray image with colored squares: x, y of the middle, side, RGB."""
    image = np.full((side, side, 3), 128, np.uint8)
    for x, y, size, color in squares:
        image[y - size // 2 : y + size // 2, x - size // 2 : x + size // 2] = color
    return image


def middles(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:4]) / 2


def test_images_are_rgb_and_boxes_are_pixels(detector: RetinaFaceDetector) -> None:
    boxes = detector(patches((60, 120, 16, SKIN), (120, 40, 16, SKY)))
    assert len(boxes)
    # The anchors that fire lie within a cell (8 px) of the patch and are 32 px wide.
    assert np.abs(middles(boxes) - (60, 120)).max() <= 16
    np.testing.assert_allclose(boxes[:, 2:4] - boxes[:, :2], 31, atol=1)
    assert ((boxes[:, 4] >= 0.9) & (boxes[:, 4] <= 1)).all()


def test_boxes_move_with_the_image(detector: RetinaFaceDetector) -> None:
    # 32 px is a whole number of cells at every stride.
    first = detector(patches((60, 60, 16, SKIN)))
    second = detector(patches((92, 124, 16, SKIN)))
    assert len(first)
    np.testing.assert_allclose(second - first, [[32, 64, 32, 64, 0]] * len(first), atol=1e-4)


def test_two_faces_give_boxes_on_both_the_best_first(detector: RetinaFaceDetector) -> None:
    pale = tuple((np.add(SKIN, (182, 170, 140)) // 2).tolist())
    boxes = detector(patches((50, 50, 16, pale), (140, 140, 16, SKIN)))
    near = [np.hypot(*(middles(boxes) - m).T) < 24 for m in ((50, 50), (140, 140))]
    assert near[0].any()
    assert near[1].any()
    assert (near[0] | near[1]).all()
    assert (np.diff(boxes[:, 4]) <= 0).all()


def test_upscaling_is_undone(retinaface_weights: Path) -> None:
    # The package enlarges this strip until it is 1980 px wide: 32 px anchors cover 8 px of it.
    image = patches((200, 12, 12, SKIN), (40, 12, 12, SKY), side=480)[:24]
    boxes = RetinaFaceDetector(retinaface_weights)(image)
    assert len(boxes) > 1
    assert np.abs(middles(boxes) - (200, 12)).max() <= 11
    np.testing.assert_allclose(boxes[:, 2:4] - boxes[:, :2], 31 * 480 / 1980, atol=1)


def test_no_face(detector: RetinaFaceDetector) -> None:
    boxes = detector(patches((60, 120, 16, SKY)))
    assert boxes.shape == (0, 5)
    assert boxes.dtype == np.float32


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (3, 90), (90, 3)])
def test_images_without_room_for_a_face(
    detector: RetinaFaceDetector, shape: tuple[int, int]
) -> None:
    boxes = detector(np.full((*shape, 3), 128, np.uint8))
    assert boxes.shape == (0, 5)


def test_boxes_without_an_area_are_dropped(detector: RetinaFaceDetector) -> None:
    # Clipping leaves the boxes no width in a strip 1 px wide.
    strip = np.full((90, 1, 3), (255, 0, 0), np.uint8)
    assert detector._package.detect_faces(
        strip[:, :, ::-1], threshold=0.9, model=detector._model, allow_upscaling=False
    )
    assert detector(strip).shape == (0, 5)


def test_threshold(retinaface_weights: Path, detector: RetinaFaceDetector) -> None:
    # The difference of red and blue is 0.2, where the finder is in doubt.
    image = patches((60, 120, 16, (180, 150, 129)))
    assert not len(detector(image))
    boxes = RetinaFaceDetector(retinaface_weights, threshold=0.4, upscale=False)(image)
    assert len(boxes)
    np.testing.assert_allclose(boxes[:, 4], 0.5, atol=0.02)
    for wrong in (0, -0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="threshold"):
            RetinaFaceDetector(retinaface_weights, threshold=wrong)


@pytest.mark.parametrize("engine", ["onnx", "tensorflow"])
def test_another_engine_chosen_by_the_process(
    engine: str, detector: RetinaFaceDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = patches((60, 120, 16, SKIN))
    expected = detector(image)
    backend_utils = _import_package()[2]
    monkeypatch.setattr(backend_utils, "_backend_engine", engine)
    np.testing.assert_array_equal(detector(image), expected)


def test_the_import_leaves_the_process_alone(retinaface_weights: Path) -> None:
    """In a process of its own, because the package is imported only once."""
    code = """
import os, sys, warnings
import aumer.face.retinaface
assert not {"torch", "cv2", "retinaface"} & sys.modules.keys()
os.environ["DEEPFACE_BACKEND_ENGINE"] = "onnx"
filters = list(warnings.filters)
package = aumer.face.retinaface._import_package()
assert package[2].get_backend_engine() == "pytorch"
assert os.environ["DEEPFACE_BACKEND_ENGINE"] == "onnx"
assert ("ignore", None, Warning, None, 0) not in warnings.filters, warnings.filters
assert "tensorflow" not in sys.modules and "onnxruntime" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPFACE_BACKEND_ENGINE", raising=False)
    before = list(warnings.filters)
    _import_package()
    assert "DEEPFACE_BACKEND_ENGINE" not in os.environ
    assert warnings.filters == before


def test_missing_weights_are_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"retinaface\.pth.*aumer models fetch retinaface"):
        RetinaFaceDetector()
    assert not any(tmp_path.iterdir())


def test_weights_in_the_packages_cache_are_found(
    retinaface_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    cache = tmp_path / ".deepface" / "weights"
    cache.mkdir(parents=True)
    (cache / "retinaface.pth").symlink_to(retinaface_weights)
    RetinaFaceDetector()


def test_weights_of_another_network(fan_weights: Path) -> None:
    with pytest.raises(WeightsError, match=r"missing: bn_data\.weight.*unexpected: conv1\.weight"):
        RetinaFaceDetector(fan_weights)


def test_a_missing_package_is_explained(
    retinaface_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith("retinaface"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendUnavailable, match="pip install 'retina-face"):
        RetinaFaceDetector(retinaface_weights)
