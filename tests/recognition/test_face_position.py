"""Where the face lies in a map: by landmarks, and found again where made-up faces were put."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aumer.face.mean_face import MEAN_FACE
from aumer.graph.rois import LANDMARK_NAMES
from aumer.recognition.face_position import BY_LANDMARKS, KNOWN, FacePosition, find
from aumer.recognition.features import centered
from aumer.recognition.flow_map import where
from aumer.recognition.graph_kernel import GraphRecognizer
from aumer.recognition.registration import resampled
from aumer.simulate.anatomy import displacement
from aumer.testing.clips import CLASSES, clips

ELSEWHERE = FacePosition(19.0, 17.5, 9.25)


def acted(position: FacePosition, label: str) -> np.ndarray:
    """(28, 28, 3): what the AUs of a class do to a face at that place."""
    rows, columns = np.mgrid[:28, :28]
    points = np.stack(
        [(columns - 13.5) / position.across, (rows - position.row) / position.down], -1
    )
    moved = displacement({(au, "both"): 1.0 for au in KNOWN[label]}, points.reshape(-1, 2))
    u, v = (moved.reshape(28, 28, 2) * (position.across, position.down)).transpose(2, 0, 1)
    (u_y, u_x), (v_y, v_x) = np.gradient(u), np.gradient(v)
    strain = np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2)
    return np.stack([u, v, strain], -1)


@pytest.mark.parametrize("position", [BY_LANDMARKS, ELSEWHERE], ids=["landmarks", "elsewhere"])
def test_maps_are_cut_where_the_place_says(position: FacePosition) -> None:
    """`flow_map` crops a user's face so that its landmarks lie where recognizers look for them."""
    from aumer.face.mean_face import CROP_ORIGIN

    crop = 128
    mean_face = MEAN_FACE[:, :2] * (crop / 2) + np.array(CROP_ORIGIN) * crop
    ours = np.array(list(position.landmarks().values()))
    np.testing.assert_allclose(where(mean_face.astype(np.float32), crop, position), ours, atol=0.2)


def test_by_landmarks() -> None:
    at = BY_LANDMARKS.landmarks()
    assert tuple(at) == LANDMARK_NAMES
    assert at["brow_r_outer"][0] == pytest.approx(-0.5)
    assert at["brow_l_outer"][0] == pytest.approx(27.5)
    assert at["chin"][1] == pytest.approx(27.5)
    left, top, right, bottom = BY_LANDMARKS.region()
    assert top == pytest.approx(0) and left == pytest.approx(1 - right)
    assert 0 < left < right < 1 and bottom < 1


@pytest.mark.parametrize("position", [BY_LANDMARKS, ELSEWHERE, FacePosition(24, 14.5, 9)])
def test_faces_are_found_where_they_were_put(position: FacePosition) -> None:
    maps = np.stack([acted(position, label) for label in CLASSES for _ in range(5)])
    maps += np.random.default_rng(0).normal(0, 0.1, maps.shape) * maps.std((1, 2), keepdims=True)
    found = find(centered(maps.astype(np.float32)), np.repeat([0, 1, 2], 5), CLASSES)
    assert found is not None
    assert found.across == pytest.approx(position.across, abs=1.5)
    assert found.down == pytest.approx(position.down, abs=0.75)
    assert found.row == pytest.approx(position.row, abs=0.4)


def test_some_known_classes_will_do_and_none_will_not() -> None:
    maps = np.stack([acted(ELSEWHERE, label) for label in ("positive", "surprise")])
    view = centered(maps.astype(np.float32))
    found = find(view, np.array([1, 2]), ("other", "positive", "surprise"))
    assert found is not None and abs(found.row - ELSEWHERE.row) < 0.5
    assert find(view, np.array([0, 1]), ("happiness", "fear")) is None


def test_a_recognizer_finds_it_in_its_training_clips_and_keeps_it() -> None:
    data = clips(0, subjects=6)
    moved = replace(data, inputs=resampled(data.inputs, (1.0, 1.0, 1.5)), sources=())
    choice = {"target": "none", "gamma": 0.3, "ridge": 0.2, "balance": 1.0}
    here, there = (GraphRecognizer(choice=choice).fit(d).position for d in (data, moved))
    assert there.row == pytest.approx(here.row - 1.5, abs=0.6)
    given = GraphRecognizer(choice=choice, position=ELSEWHERE).fit(data)
    assert given.position == ELSEWHERE
    unknown = replace(data, classes=("a", "b", "c"))
    assert GraphRecognizer(choice=choice).fit(unknown).position == BY_LANDMARKS
