"""A sub-pixel oscillation comes out larger by the factor that follows from theory."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from aumer.errors import ConfigError
from aumer.recognition.sequences.magnification import (
    EulerianMagnifier,
    Magnification,
    band_gain,
    collapse,
    laplacian_pyramid,
    level_count,
    magnify,
    smoothing,
)

#: Wide, so that the rims are far; five levels, at the coarsest of which a period has 3 samples.
HEIGHT, WIDTH, PERIOD_PX = 128, 480, 48
Floats = npt.NDArray[np.float64]


def grating(shift_px: Floats) -> npt.NDArray[np.float32]:
    """Frames (T, H, W) of a vertical grating that is moved to the right by shift_px (T,)."""
    x = np.arange(WIDTH)
    phase = 2 * np.pi * (x - shift_px[:, None]) / PERIOD_PX
    return np.repeat(128 + 50 * np.cos(phase)[:, None], HEIGHT, axis=1).astype(np.float32)


def amplitude_at(frames: npt.NDArray[np.float32], hz: float, fps: float) -> float:
    """Amplitude, px, of the grating's oscillation at `hz`, over the last whole seconds."""
    middle = slice(4 * PERIOD_PX, 6 * PERIOD_PX)
    wave = np.exp(-2j * np.pi * np.arange(WIDTH)[middle] / PERIOD_PX)
    phase = np.angle(frames[:, HEIGHT // 2, middle] @ wave)
    seconds = np.arange(len(phase)) / fps
    return float(2 * abs(np.mean((phase - phase.mean()) * np.exp(-2j * np.pi * hz * seconds)))) * (
        PERIOD_PX / (2 * np.pi)
    )


def spatial_shares() -> list[float]:
    """How much of the grating each Laplacian level carries, in closed form.

    Down and up again, level by level, is twice the binomial kernel [1 4 6 4 1] / 16, whose
    response is cos(w / 2)^4, at the level's own sampling.
    """
    shares, rest = [], 1.0
    for k in range(level_count(HEIGHT, WIDTH) - 1):
        through = math.cos(2 * math.pi / PERIOD_PX * 2**k / 2) ** 8
        shares.append(rest * (1 - through))
        rest *= through
    return [*shares, rest]


@pytest.mark.parametrize(("fps", "hz"), [(200.0, 5.0), (200.0, 10.0), (60.0, 5.0)])
def test_an_oscillation_grows_by_the_gain_that_theory_gives(fps: float, hz: float) -> None:
    settings = Magnification(alpha=10, cutoff_px=16)
    amplitude = 0.05
    times = np.arange(int(4 * fps)) / fps
    out = np.stack(list(magnify(grating(amplitude * np.sin(2 * np.pi * hz * times)), fps)))
    settled = out[int(2 * fps) :]
    alphas = settings.alphas(HEIGHT, WIDTH)
    spatial = sum(a * s for a, s in zip(alphas, spatial_shares(), strict=True))
    gain = abs(1 + band_gain(hz, fps, settings) * spatial)
    assert gain > 4
    assert amplitude_at(settled, hz, fps) / amplitude == pytest.approx(gain, rel=0.003)


def test_the_band_follows_the_frame_rate() -> None:
    """The same motion is magnified alike at 100 and 200 fps, and differently if fps is a lie."""
    hz, grown = 4.0, []
    for fps, told in ((200.0, 200.0), (100.0, 100.0), (100.0, 30.0)):
        times = np.arange(int(4 * fps)) / fps
        out = np.stack(list(magnify(grating(0.05 * np.sin(2 * np.pi * hz * times)), told)))
        grown.append(amplitude_at(out[int(2 * fps) :], hz, fps) / 0.05)
    assert grown[1] == pytest.approx(grown[0], rel=0.05)
    assert abs(grown[2] - grown[0]) > 0.3 * grown[0]


def test_the_published_coefficients_at_200_fps() -> None:
    settings = Magnification()
    assert smoothing(settings.low_hz, 200) == pytest.approx(0.05, abs=0.001)
    assert smoothing(settings.high_hz, 200) == pytest.approx(0.4, abs=0.001)


def test_a_low_pass_falls_by_3_db_at_its_cutoff() -> None:
    r = smoothing(7.0, 100.0)
    z = np.exp(-2j * np.pi * 7.0 / 100.0)
    assert abs(r / (1 - (1 - r) * z)) == pytest.approx(1 / math.sqrt(2))
    assert smoothing(80.0, 100.0) == smoothing(50.0, 100.0) <= 1


def test_levels_are_bounded_by_their_wavelength() -> None:
    settings = Magnification(alpha=10, cutoff_px=200)
    alphas = settings.alphas(256, 256)
    assert alphas[0] == alphas[-1] == 0
    delta = 200 / (8 * 11)
    coarsest = math.hypot(256, 256) / 3
    for level, alpha in enumerate(alphas[1:-1], start=1):
        wavelength = coarsest / 2 ** (len(alphas) - 1 - level)
        assert alpha == pytest.approx(min(10, max(0, wavelength / (8 * delta) - 1)))
    assert len(set(alphas[1:-1])) > 1, "the bound never held"


def test_a_still_picture_stays_as_it_is_and_frames_come_one_by_one() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (50, 71)).astype(np.uint8)
    magnifier = EulerianMagnifier(100.0)
    for _ in range(5):
        out = magnifier(image)
        assert out.dtype == np.float32
        np.testing.assert_allclose(out, image, atol=1e-3)


def test_it_is_causal() -> None:
    rng = np.random.default_rng(1)
    frames = rng.uniform(0, 255, (12, 32, 32))
    other = frames.copy()
    other[8:] = 0
    a, b = list(magnify(frames, 100.0)), list(magnify(other, 100.0))
    np.testing.assert_array_equal(a[:8], b[:8])
    assert not np.allclose(a[8], b[8])


def test_the_pyramid_gives_the_picture_back() -> None:
    image = np.random.default_rng(2).uniform(0, 255, (67, 90)).astype(np.float32)
    levels = laplacian_pyramid(image)
    assert len(levels) == level_count(67, 90) == 4
    np.testing.assert_allclose(collapse(levels), image, atol=1e-3)


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match="low_hz"):
        Magnification(low_hz=20)
    with pytest.raises(ConfigError, match="fps must be above"):
        EulerianMagnifier(3.0)
