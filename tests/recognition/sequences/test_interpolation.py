"""Interpolation in time, on functions that each method must meet exactly."""

from __future__ import annotations

import numpy as np
import pytest

from aumer.errors import UsageError
from aumer.recognition.sequences.interpolation import (
    METHODS,
    Method,
    interpolate,
    interpolate_flow,
    positions,
    weights,
)


@pytest.mark.parametrize("method", METHODS)
def test_frames_are_met_where_they_are(method: Method) -> None:
    frames = np.random.default_rng(0).normal(size=(9, 4))
    np.testing.assert_allclose(weights(9, np.arange(9), method) @ frames, frames, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_stays_constant(method: Method) -> None:
    np.testing.assert_allclose(weights(7, positions(7, 30), method).sum(1), 1, atol=1e-12)


def test_linear_is_exact_on_lines() -> None:
    t = np.arange(5.0)
    at = positions(5, 13)
    np.testing.assert_allclose(weights(5, at, "linear") @ (3 * t - 1), 3 * at - 1, atol=1e-12)
    assert weights(5, [1.25], "linear").tolist() == [[0, 0.75, 0.25, 0, 0]]


def test_cubic_is_exact_on_cubics() -> None:
    t, at = np.arange(8.0), positions(8, 50)
    np.testing.assert_allclose(
        weights(8, at, "cubic") @ (t**3 - 4 * t**2 + t), at**3 - 4 * at**2 + at, atol=1e-9
    )


@pytest.mark.parametrize("k", [1, 3, 6])
def test_tim_is_exact_on_the_cosines_of_the_path_graph(k: int) -> None:
    n, at = 7, positions(7, 40)
    seen = np.cos(np.pi * k * (np.arange(n) + 0.5) / n)
    meant = np.cos(np.pi * k * (at + 0.5) / n)
    np.testing.assert_allclose(weights(n, at, "tim") @ seen, meant, atol=1e-12)


def test_tim_runs_along_the_laplacians_eigenvectors() -> None:
    """The definition: eigenvectors of the path graph's Laplacian, sampled at the frames."""
    n = 6
    path = np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    laplacian = np.diag(path.sum(1)) - path
    _, vectors = np.linalg.eigh(laplacian)
    for k in range(1, n):
        curve = np.cos(np.pi * k * (np.arange(n) + 0.5) / n)
        assert abs(curve @ vectors[:, k]) / np.linalg.norm(curve) == pytest.approx(1)


def test_shapes_types_and_ends() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (11, 3, 4)).astype(np.uint8)
    out = interpolate(frames, 32)
    assert out.shape == (32, 3, 4) and out.dtype == np.float32
    np.testing.assert_allclose(out[[0, -1]], frames[[0, -1]], atol=1e-4)
    assert interpolate(frames[:1], 4).tolist() == [frames[0].tolist()] * 4
    assert positions(11, 1).tolist() == [5.0]


def test_flow_keeps_its_sum_and_its_speed() -> None:
    flow = np.full((10, 2, 2, 2), 0.3, np.float32)
    out = interpolate_flow(flow, 21)
    assert out.shape == (20, 2, 2, 2)
    np.testing.assert_allclose(out, 0.15, atol=1e-6)
    rough = np.random.default_rng(2).normal(size=(10, 2, 2, 2)).astype(np.float32)
    np.testing.assert_allclose(interpolate_flow(rough, 5).sum(0), rough.sum(0), atol=1e-5)
    assert interpolate_flow(flow[:0], 5).tolist() == np.zeros((4, 2, 2, 2)).tolist()


def test_bad_arguments() -> None:
    with pytest.raises(UsageError, match="method must be one of linear, cubic, tim"):
        weights(3, [0.0], "spline")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="positions lie in 0 to 2"):
        weights(3, [2.5])
    with pytest.raises(UsageError, match="one frame or more"):
        interpolate(np.zeros((0, 2)), 3)
