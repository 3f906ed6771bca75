"""Views, cells and mirror images against their definitions, and the composite's class means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from aumer.graph.rois import DEFAULT_ROIS
from aumer.recognition.features import (
    ROI_CENTERS,
    cell_means,
    centered,
    min_max,
    mirrored,
    occlusion,
)
from aumer.training.composite import composite
from aumer.types import FloatArray


@pytest.fixture
def maps() -> FloatArray:
    return np.random.default_rng(0).normal(size=(5, 28, 28, 3)).astype(np.float32)


def test_min_max_is_stst_net_s_view(maps: FloatArray) -> None:
    scaled = min_max(maps)
    assert np.array_equal(scaled.min((1, 2)), np.zeros((5, 3), np.float32))
    np.testing.assert_allclose(scaled.max((1, 2)), 1)
    for k in range(3):
        ours = cv2.normalize(maps[0, ..., k], None, 0, 1, cv2.NORM_MINMAX)
        np.testing.assert_allclose(scaled[0, ..., k], ours, atol=1e-6)


def test_a_channel_at_rest_is_zero(maps: FloatArray) -> None:
    maps[2, ..., 1] = 7
    assert not centered(maps)[2, ..., 1].any()
    assert np.isfinite(centered(maps)).all()


def test_centered(maps: FloatArray) -> None:
    view = centered(maps)
    np.testing.assert_allclose(np.median(view, axis=(1, 2)), 0, atol=1e-7)
    np.testing.assert_allclose(centered(3 * maps - 2), view, atol=1e-6)


def test_mirrored_twice_is_the_same(maps: FloatArray) -> None:
    assert np.array_equal(mirrored(mirrored(maps)), maps)
    assert mirrored(maps)[0, 3, 0, 0] == -maps[0, 3, 27, 0]
    assert mirrored(maps)[0, 3, 0, 1] == maps[0, 3, 27, 1]


@pytest.mark.parametrize("cells", [1, 4, 5, 7, 9, 14, 28])
def test_cells_are_those_of_opencv_s_area_resize(maps: FloatArray, cells: int) -> None:
    ours = cell_means(maps, cells)
    for image, found in zip(maps, ours, strict=True):
        theirs = cv2.resize(image, (cells, cells), interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(found, theirs.reshape(found.shape), atol=1e-5)


def test_occlusion_finds_what_the_probability_rests_on(maps: FloatArray) -> None:
    x, y = (round(c) for c in ROI_CENTERS["mouth_l"])

    def probability(inputs: FloatArray) -> np.ndarray:
        return inputs[:, y, x, 1].astype(np.float64)

    maps[0, y, x, 1] = 5
    found = occlusion(probability, maps[0])
    assert DEFAULT_ROIS.names[int(found.argmax())] == "mouth_l"
    far = DEFAULT_ROIS.names.index("brow_r_mid")
    assert found[far] == 0


def test_the_rois_lie_as_on_a_face() -> None:
    """In the map and mirror-symmetric, the subject's right on the image's left."""
    assert tuple(ROI_CENTERS) == DEFAULT_ROIS.names
    at = {name: np.array(center) for name, center in ROI_CENTERS.items()}
    for name, (x, y) in at.items():
        assert 0 <= x <= 27 and 0 <= y <= 27
        twin = name.replace("_r", "_*").replace("_l", "_r").replace("_*", "_l")
        if name.startswith(("brow", "mouth")):
            np.testing.assert_allclose(at[twin], (27 - x, y))
    assert at["mouth_r"][0] < at["mouth_l"][0]
    assert at["brow_r_mid"][1] < at["nose_bridge"][1] < at["nose_tip"][1] < at["mouth_r"][1]


def test_the_composite_s_class_means(shared_data: Callable[[str], Path]) -> None:
    """Signs by which a flow convention is checked: u to the image's right, v down, zero at rest."""
    clips = composite(shared_data("megc2019"))
    assert len(clips) == 442 and len(set(clips.subjects)) == 68
    assert np.bincount(clips.labels).tolist() == [250, 109, 83]
    assert {s: clips.sources.count(s) for s in set(clips.sources)} == {
        "smic": 164,
        "casme2": 145,
        "samm": 133,
    }
    view = centered(clips.inputs)
    mean = {c: view[clips.labels == k].mean(0) for k, c in enumerate(clips.classes)}

    def at(label: str, roi: str) -> tuple[float, float]:
        x, y = (round(c) for c in ROI_CENTERS[roi])
        u, v, _ = mean[label][max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean((0, 1))
        return float(u), float(v)

    for side in "rl":
        assert at("surprise", f"brow_{side}_mid")[1] < -0.05  # up
        assert at("negative", f"brow_{side}_mid_inner")[1] > 0.02  # down
        assert at("positive", f"mouth_{side}")[1] < -0.03  # up
    assert at("positive", "mouth_r")[0] < -0.02 and at("positive", "mouth_l")[0] > 0.02  # apart
    assert at("negative", "brow_r_mid_inner")[0] > at("negative", "brow_l_mid_inner")[0]  # together
