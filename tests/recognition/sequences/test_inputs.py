"""Gray, landmark and flow sequences from one call, and the views made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from aumer import registry
from aumer.errors import ConfigError, NoFaceError, UsageError
from aumer.face.mean_face import MEAN_FACE, RIGID
from aumer.flow.opencv import farneback
from aumer.recognition.flow_map import with_strain
from aumer.recognition.sequences.clips import ClipSequence
from aumer.recognition.sequences.inputs import (
    SequenceSettings,
    displacement,
    sequence_inputs,
    steps_to_apex,
)
from aumer.recognition.sequences.magnification import Magnification
from aumer.recognition.sequences.simulated import CLASSES, Simulation, simulated_clips

FRAMES, EYE = 12, 60.0
#: 12 frames of a picture that moves to the right by .3 px a frame; the crop halves it.
STEP = 0.3
SMALL = SequenceSettings(size=60, flow="farneback")
Images = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def film() -> tuple[Images, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.normal(size=(200, 220)).astype(np.float32), (0, 0), 2.5)
    texture = 128 + 40 * texture / texture.std()
    frames, landmarks = [], []
    for t in range(FRAMES):
        shift = np.array([[1, 0, STEP * t], [0, 1, 0]])
        moved = cv2.warpAffine(texture, shift, (220, 200), borderMode=cv2.BORDER_REFLECT)
        frames.append(np.repeat(np.clip(moved, 0, 255).astype(np.uint8)[..., None], 3, 2))
        landmarks.append(MEAN_FACE[:, :2] * EYE + (110 + STEP * t, 90))
    return np.stack(frames), np.stack(landmarks).astype(np.float32)


def made(film: Any, **arguments: Any) -> ClipSequence:
    frames, landmarks = film
    return sequence_inputs(
        frames, **{"fps": 100.0, "landmarks": landmarks, "settings": SMALL, **arguments}
    )


def test_the_crop_is_fixed_and_landmarks_and_flow_move_in_it(film: Any) -> None:
    clip = made(film)
    assert clip.gray.shape == (12, 60, 60) and clip.flow is not None
    assert (clip.onset, clip.apex, clip.offset, clip.fps) == (0, 5, 11, 100.0)
    # The outer eye corners lie half the crop apart, where the template has them.
    pixels = (clip.landmarks[0] + 0.5) * 60 - 0.5
    assert np.linalg.norm(pixels[45] - pixels[36]) == pytest.approx(30, rel=0.02)
    assert pixels[list(RIGID)].mean(0) == pytest.approx([30, 0.36 * 60], abs=0.3)
    scale = 30 / EYE
    moved = np.diff(clip.landmarks[:, 30], axis=0) * 60
    np.testing.assert_allclose(moved, [[STEP * scale, 0]] * 11, atol=1e-3)
    middle = clip.flow[:, 15:-15, 15:-15].mean((0, 1, 2))
    np.testing.assert_allclose(middle, [STEP * scale, 0], atol=0.03)


def test_onset_margin_and_length(film: Any) -> None:
    near = made(film, onset=5, apex=6, offset=8, settings=replace(SMALL, margin=2))
    assert len(near) == 6 + 2 and (near.onset, near.apex, near.offset) == (2, 3, 5)
    assert near.landmarks[2, 30] == pytest.approx(made(film).landmarks[0, 30], abs=1e-4)
    whole = made(film)
    fixed = made(film, onset=2, apex=4, offset=10, settings=replace(SMALL, length=17))
    assert len(fixed) == 17 and (fixed.onset, fixed.apex, fixed.offset) == (0, 4, 16)
    assert fixed.fps == pytest.approx(200.0)
    assert fixed.flow is not None and whole.flow is not None
    from_onset = made(film, onset=2, apex=4, offset=10)
    np.testing.assert_allclose(
        fixed.flow.sum(0), displacement(from_onset, from_onset.offset), atol=1e-4
    )


@pytest.mark.parametrize("way", ["flow-peak", "rise-and-fall", "roi-difference", "midpoint"])
def test_an_apex_that_nobody_gave_is_found(way: str) -> None:
    """In frames of a simulated smile whose rise takes two thirds of it."""
    plan = Simulation(1, 1, size=96, fps=100.0, intensity=(0.8, 0.8), flow="none", margin_s=0.0)
    clip = simulated_clips(plan, seed=3).inputs[1]
    points = (clip.landmarks + 0.5) * 96 - 0.5
    frames = np.repeat(clip.gray[..., None], 3, -1)
    late = np.r_[np.arange(clip.apex + 1), np.arange(clip.apex + 1, len(clip), 3)]
    found = sequence_inputs(
        frames[late],
        apex=way,
        fps=100.0,
        settings=SequenceSettings(size=96, flow="tvl1"),
        landmarks=points[late],
    )
    off = abs(found.apex - clip.apex)
    middle = (len(late) - 1) // 2
    assert (found.apex == middle) if way == "midpoint" else off <= 3 < abs(clip.apex - middle)


def test_ways_to_an_apex_that_there_are_not(film: Any) -> None:
    with pytest.raises(UsageError, match=r"one of .*flow-peak.*found 'peak'"):
        made(film, apex="peak")
    with pytest.raises(UsageError, match="'flow-peak' reads optical flow"):
        made(film, apex="flow-peak", settings=replace(SMALL, flow="none"))
    assert made(film, onset=3, offset=4, apex="flow-peak").apex == 4


def test_a_flow_that_takes_pairs_together_gives_the_same(
    film: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Together:
        batch = 4

        def __call__(self, a: Images, b: Images) -> Any:
            raise AssertionError("one by one")

        def many(self, pairs: Any) -> list[Any]:
            assert len(pairs) <= 4
            return [farneback(*pair) for pair in pairs]

    monkeypatch.setitem(registry._parts["flow"], "together", Together())
    found = made(film, settings=replace(SMALL, flow="together"))
    np.testing.assert_array_equal(found.flow, made(film).flow)


def test_only_gray_is_magnified(film: Any) -> None:
    plain = made(film)
    strong = made(film, settings=replace(SMALL, magnification=Magnification(alpha=20)))
    assert (plain.gray != strong.gray).any()
    np.testing.assert_array_equal(plain.flow, strong.flow)
    np.testing.assert_array_equal(plain.landmarks, strong.landmarks)


def test_the_cache_answers_and_knows_settings_apart(
    film: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(film, cache=tmp_path)
    other = made(film, cache=tmp_path, settings=replace(SMALL, flow="none"))
    assert other.flow is None and len(list(tmp_path.glob("*.npz"))) == 2

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was made anew")

    monkeypatch.setattr("aumer.recognition.sequences.inputs._sequence", never)
    again = made(film, cache=tmp_path)
    for name in ("gray", "landmarks", "flow"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    assert (again.onset, again.apex, again.offset, again.fps) == (0, 5, 11, 100.0)
    with pytest.raises(AssertionError, match="anew"):
        made(film, cache=tmp_path, apex=6)


def test_a_lost_face_keeps_its_landmarks_but_not_at_the_onset(film: Any) -> None:
    frames, landmarks = film
    holes = landmarks.copy()
    holes[4] = np.nan
    clip = made((frames, holes))
    np.testing.assert_array_equal(clip.landmarks[4], clip.landmarks[3])
    with pytest.raises(NoFaceError, match="no face in frame 4, the onset"):
        made((frames, holes), onset=4)


def test_faults_are_told(film: Any) -> None:
    with pytest.raises(UsageError, match="ends at frame 11; the offset is 40"):
        made(film, offset=40)
    with pytest.raises(UsageError, match="onset <= apex <= offset; found 6, 3"):
        made(film, onset=6, apex=3)
    with pytest.raises(UsageError, match="no flow is called 'tv-l1'"):
        made(film, settings=replace(SMALL, flow="tv-l1"))
    with pytest.raises(ConfigError, match="length must be 0, or 2 or more"):
        SequenceSettings(length=1)


def test_displacement_and_strain_of_a_known_motion() -> None:
    """u = a x, v = b y + c x: strain sqrt(a^2 + b^2 + c^2 / 2) everywhere."""
    a, b, c = 0.02, -0.03, 0.04
    rows, columns = np.mgrid[:10, :10].astype(np.float32)
    field = np.stack([a * columns, b * rows + c * columns], -1)
    strain = with_strain(field)[..., 2]
    np.testing.assert_allclose(strain, np.sqrt(a**2 + b**2 + c**2 / 2), rtol=1e-4)
    np.testing.assert_array_equal(with_strain(field)[..., :2], field)
    clip = ClipSequence(
        np.zeros((6, 10, 10), np.uint8),
        np.zeros((6, 68, 2), np.float32),
        np.stack([field * k for k in range(5)]),
        2,
        4,
        5,
        30.0,
    )
    np.testing.assert_allclose(displacement(clip, 4), 5 * field, rtol=1e-5)
    np.testing.assert_allclose(displacement(clip, 2), 0)
    np.testing.assert_allclose(displacement(clip, 0), -1 * field, rtol=1e-5)


def test_equal_steps_from_onset_to_apex() -> None:
    clip = simulated_clips(Simulation(subjects=1, per_class=1, size=32, flow="none")).inputs[0]
    steps = steps_to_apex(clip, 5)
    assert steps[0] == clip.onset and steps[-1] == clip.apex
    assert np.ptp(np.diff(steps)) <= 1


def test_simulated_clips_move_as_their_class_does() -> None:
    """Surprise lifts the brows, smiles lift and widen the mouth; landmarks and flow agree."""
    plan = Simulation(subjects=2, per_class=1, intensity=(0.5, 0.9))
    clips = simulated_clips(plan)
    assert clips.classes == tuple(CLASSES) and len(clips) == 6
    assert len(set(clips.subjects)) == 2
    for clip, label in zip(clips.inputs, clips.labels, strict=True):
        moved = clip.landmarks[clip.apex] - clip.landmarks[clip.onset]
        rest = moved - moved[[27, 28, 29, 30]].mean(0)
        flow = displacement(clip, clip.apex)
        at = np.rint((clip.landmarks[clip.onset] + 0.5) * plan.size - 0.5).astype(int)
        for field in (rest, flow[at[:, 1].clip(0, 63), at[:, 0].clip(0, 63)]):
            if clips.classes[label] == "surprise":
                assert field[[18, 19, 20, 23, 24, 25], 1].mean() < 0
            elif clips.classes[label] == "positive":
                assert field[48, 0] < field[54, 0] and field[[48, 54], 1].mean() < 0
    np.testing.assert_array_equal(simulated_clips(plan).inputs[4].gray, clips.inputs[4].gray)
