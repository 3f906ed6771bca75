"""What moves the picture moves landmarks and flow with it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from aumer.errors import ConfigError
from aumer.face.mean_face import MEAN_FACE
from aumer.flow.opencv import farneback
from aumer.recognition.sequences.augment import (
    MIRROR,
    Augmentation,
    flipped,
    held,
    noisy,
    relit,
    turned,
)
from aumer.recognition.sequences.simulated import Simulation, simulated_clips
from aumer.recognition.sequences.windows import Window, cut


@pytest.fixture(scope="module")
def window() -> Window:
    clip = simulated_clips(Simulation(subjects=1, per_class=1, size=96, flow="farneback")).inputs[1]
    return cut(clip, clip.onset, 12)


def same(a: Window, b: Window) -> None:
    np.testing.assert_array_equal(a.gray, b.gray)
    np.testing.assert_array_equal(a.landmarks, b.landmarks)
    np.testing.assert_array_equal(a.flow, b.flow)


def test_mirror_pairs_are_those_of_the_face() -> None:
    """The mean face is symmetric: mirrored and renumbered it is itself."""
    mirrored = MEAN_FACE[MIRROR] * (-1, 1, 1)
    np.testing.assert_allclose(mirrored, MEAN_FACE, atol=1e-9)
    assert MIRROR[MIRROR].tolist() == list(range(68))


def test_flip_exchanges_sides_and_turns_horizontal_flow_round(window: Window) -> None:
    other = flipped(window)
    np.testing.assert_array_equal(other.gray, window.gray[:, :, ::-1])
    np.testing.assert_allclose(other.landmarks[:, 48, 0], -window.landmarks[:, 54, 0])
    np.testing.assert_allclose(other.landmarks[:, 48, 1], window.landmarks[:, 54, 1])
    assert window.flow is not None and other.flow is not None
    np.testing.assert_array_equal(other.flow[..., 0], -window.flow[:, :, ::-1, 0])
    np.testing.assert_array_equal(other.flow[..., 1], window.flow[:, :, ::-1, 1])
    same(flipped(other), window)


def test_flipped_flow_is_the_flow_of_the_flipped_frames(window: Window) -> None:
    other = flipped(window)
    assert other.flow is not None
    measured = np.stack([farneback(a, b) for a, b in pairwise(other.gray)])
    inner = (slice(None), slice(12, -12), slice(12, -12))
    wrong = np.abs(measured - other.flow)[inner].mean()
    unsigned = np.abs(measured - other.flow * (-1, 1))[inner].mean()
    assert wrong < 0.1 * unsigned


@pytest.mark.parametrize(("degrees", "growth"), [(15.0, 1.0), (-10.0, 1.1)])
def test_turned_flow_is_the_flow_of_the_turned_frames(
    window: Window, degrees: float, growth: float
) -> None:
    ends = window.gray[[0, -1]]  # over many frames motion is large against the noise
    still = Window(ends, window.landmarks[[0, -1]], farneback(*ends)[None])
    other = turned(still, degrees, growth)
    assert still.flow is not None and other.flow is not None
    inner = (slice(24, -24), slice(24, -24))
    measured = farneback(*other.gray)[inner]
    wrong = np.abs(measured - other.flow[0][inner]).mean()
    unmoved = np.abs(measured - still.flow[0][inner]).mean()
    assert wrong < 0.3 * unmoved


def test_landmarks_turn_with_the_picture() -> None:
    """A bright dot at a landmark is still there, whatever the turn."""
    side, at = 64, np.array([44.0, 20.0])
    gray = np.zeros((1, side, side), np.uint8)
    rows, columns = np.mgrid[:side, :side]
    dot = np.exp(-((columns - at[0]) ** 2 + (rows - at[1]) ** 2) / 8)
    gray[0] = (255 * dot).astype(np.uint8)
    landmarks = np.tile((at + 0.5) / side - 0.5, (1, 68, 1)).astype(np.float32)
    for degrees, growth in ((90, 1.0), (-15, 1.2), (10, 0.9)):
        other = turned(Window(gray, landmarks, None), degrees, growth)
        mass = other.gray[0].astype(float)
        center = np.array([(mass * columns).sum(), (mass * rows).sum()]) / mass.sum()
        seen = (other.landmarks[0, 0] + 0.5) * side - 0.5
        np.testing.assert_allclose(seen, center, atol=0.2)
    quarter = turned(Window(gray, landmarks, None), 90).landmarks[0, 0]
    np.testing.assert_allclose(quarter, landmarks[0, 0][::-1] * (-1, 1), atol=1e-6)


def test_light_and_noise(window: Window) -> None:
    brighter = relit(window, 1.2, 1.0).gray.astype(float)
    assert brighter.mean() == pytest.approx(1.2 * window.gray.mean(), rel=0.01)
    flatter = relit(window, 1.0, 0.5).gray.astype(float)
    assert flatter.std() == pytest.approx(0.5 * window.gray.std(), rel=0.02)
    assert flatter.mean() == pytest.approx(window.gray.mean(), rel=0.01)
    added = noisy(window, 0.02, np.random.default_rng(0)).gray - window.gray.astype(float)
    assert added.std() == pytest.approx(0.02 * 255, rel=0.05)
    assert relit(window, 9.0, 1.0).gray.max() == 255


def test_nothing_by_default_and_the_same_by_the_same_seed(window: Window) -> None:
    same(Augmentation()(window, np.random.default_rng(0)), window)
    much = Augmentation(0.2, 0.2, 0.01, 0.5, 15, 0.1, 2)
    same(much(window, np.random.default_rng(5)), much(window, np.random.default_rng(5)))
    outcomes = {much(window, np.random.default_rng(k)).gray.tobytes() for k in range(5)}
    assert len(outcomes) == 5
    starts = {much.start(10, np.random.default_rng(k)) for k in range(60)}
    assert starts == {8, 9, 10, 11, 12}


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match="flip"):
        Augmentation(flip=1.5)
    with pytest.raises(ConfigError, match="brightness"):
        Augmentation(brightness=1.0)


def test_frames_are_held_where_a_window_shows_no_more(window: Window) -> None:
    """CNN-LSTM's section 7.5: to the right the first frame is repeated, to the left the last."""
    later, earlier = held(window, 2), held(window, -1)
    np.testing.assert_array_equal(later.gray, window.gray[[0, 0, *range(10)]])
    np.testing.assert_array_equal(earlier.gray, window.gray[[*range(1, 12), 11]])
    np.testing.assert_array_equal(earlier.landmarks, window.landmarks[[*range(1, 12), 11]])
    assert later.flow is not None and earlier.flow is not None and window.flow is not None
    assert not later.flow[:2].any() and not earlier.flow[-1].any()
    np.testing.assert_array_equal(later.flow[2:], window.flow[:-2])
    np.testing.assert_array_equal(earlier.flow[:-1], window.flow[1:])
    same(held(window, 0), window)
    some = Augmentation(shift=2, shows="held")
    assert {some.start(5, np.random.default_rng(k)) for k in range(9)} == {5}
    seen = {some(window, np.random.default_rng(k)).gray.tobytes() for k in range(40)}
    assert seen == {held(window, k).gray.tobytes() for k in range(-2, 3)}


def test_each_frame_may_have_a_light_of_its_own(window: Window) -> None:
    change = Augmentation(brightness=0.2, each="frame", light_odds=0.5)
    means = window.gray.reshape(len(window.gray), -1).mean(1)
    factors = np.concatenate(
        [
            change(window, np.random.default_rng(k)).gray.reshape(len(means), -1).mean(1) / means
            for k in range(60)
        ]
    )
    assert 0.4 < (factors == 1).mean() < 0.6
    assert 0.79 < factors.min() < 0.85 and 1.15 < factors.max() < 1.21
    noise = Augmentation(noise=0.01, each="frame", noise_odds=0.3)
    shown = np.stack([noise(window, np.random.default_rng(k)).gray for k in range(20)])
    assert 0.2 < (shown != window.gray).any((2, 3)).mean() < 0.4
    still = change(window, np.random.default_rng(0))
    np.testing.assert_array_equal(still.flow, window.flow)


def test_contrast_about_the_middle_of_the_scale(window: Window) -> None:
    flatter = relit(window, 1.0, 0.5, about="middle").gray.astype(float)
    np.testing.assert_allclose(flatter, 127.5 + 0.5 * (window.gray - 127.5), atol=0.51)
    for name, value in (("each", "pixel"), ("about", "median"), ("shows", "nothing")):
        with pytest.raises(ConfigError, match=f"{name} must be one of"):
            Augmentation(**{name: value})  # type: ignore[arg-type]
