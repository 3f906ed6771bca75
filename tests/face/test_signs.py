from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import aumer
from aumer.face.mean_face import MEAN_FACE
from aumer.face.signs import eyelids, head_turn
from aumer.results.motion import load_features
from aumer.simulate.features import read_features, simulate_features, write_features
from aumer.testing.moving_face import film


def turned(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """The mean face (68, 2) px turned by so many radians: nose to the right, down, clockwise."""
    x, y, z = MEAN_FACE.T
    x, z = np.cos(yaw) * x - np.sin(yaw) * z, np.sin(yaw) * x + np.cos(yaw) * z
    y = np.cos(pitch) * y - np.sin(pitch) * z
    x, y = np.cos(roll) * x - np.sin(roll) * y, np.sin(roll) * x + np.cos(roll) * y
    return (np.stack([x, y], axis=1) * 90 + (300, 200)).astype(np.float32)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("angle", [-0.3, -0.05, 0.0, 0.05, 0.3])
def test_a_turn_of_the_mean_face_is_read_back(axis: int, angle: float) -> None:
    angles = np.zeros(3)
    angles[axis] = angle
    assert head_turn(turned(*angles)[None])[0] == pytest.approx(angles, abs=1e-4)


def test_neither_depends_on_where_and_how_large_a_face_is() -> None:
    face = turned(0.1, -0.1, 0.2)
    other = face * 2.5 + (40, -30)
    assert head_turn(other[None]) == pytest.approx(head_turn(face[None]), abs=1e-4)
    assert eyelids(other[None]) == pytest.approx(eyelids(face[None]), abs=1e-5)


def test_eyelids_are_each_eye_s_own_opening() -> None:
    face = turned()
    shut = face.copy()
    shut[[41, 40]] = shut[[37, 38]]  # the person's right eye, on the image's left
    (right, left), (closed, open_) = eyelids(np.stack([face, shut]))
    assert right == pytest.approx(left, abs=1e-6) and 0.06 < right < 0.12
    assert closed == pytest.approx(0, abs=1e-6) and open_ == pytest.approx(left)


def test_what_is_not_seen_is_not_known() -> None:
    faces = np.stack([turned(), np.full((68, 2), np.nan, np.float32)])
    assert np.isnan(eyelids(faces)[1]).all() and np.isnan(head_turn(faces)[1]).all()
    assert np.isfinite(eyelids(faces)[0]).all() and np.isfinite(head_turn(faces)[0]).all()


def test_features_carry_them_to_a_file_and_back(tmp_path: Path) -> None:
    times = np.arange(30) / 30
    frames = film(times, head=lambda t: (0.0, 0.0, 0.0, 6 * np.sin(np.pi * t)))
    motion = aumer.features(frames, fps=30)
    given = motion.features
    roll = np.degrees(given.head[:, 2])
    assert np.allclose(roll - roll[0], 6 * np.sin(np.pi * given.times), atol=0.5)
    assert np.ptp(given.eyelids, axis=0).max() < 0.01
    motion.save(tmp_path / "motion.npz")
    read = load_features(tmp_path / "motion.npz")
    for name in ("eyelids", "head"):
        np.testing.assert_array_equal(getattr(read, name), getattr(given, name))


def test_a_real_blink_is_seen_and_still_eyes_are_still(shared_data: Callable[[str], Path]) -> None:
    clip = shared_data("videos/webcam_mixed.mp4")
    lids = aumer.features(clip, end=1.5).features.eyelids.mean(axis=1)
    assert lids[22:34].min() - lids[10:19].min() > 0.015
    assert np.ptp(lids[25:34]) < 0.003


def test_simulated_faces_blink_and_turn(tmp_path: Path) -> None:
    (video,) = simulate_features(1, minutes=1.0, seed=3, nuisances=("head_misfit", "head_turns"))
    features = video.features
    lids = features.eyelids[:, 0]
    shut = lids < lids.max() - 0.02
    begins = np.flatnonzero(shut[1:] & ~shut[:-1])
    assert 8 <= len(begins) <= 30  # of 17 a minute
    assert 0.02 < np.ptp(features.head[:, :2]) < 0.6 and not features.head[:, 2].any()
    # What it takes off the ROIs moves with the lids, and with the head.
    speed = np.hypot(*features.values.T).mean(axis=0)
    moving = np.abs(np.gradient(lids)) + np.abs(np.gradient(features.head[:, :2], axis=0)).sum(1)
    assert speed[moving > 1e-4].mean() > 3 * speed[moving < 1e-9].mean()
    write_features(tmp_path, [video])
    read, _ = read_features(tmp_path / "s001" / "s001_1.npz")
    np.testing.assert_array_equal(read.eyelids, features.eyelids)
