"""The contract of `aumer.flow`, kept by every registered flow; a new one needs no line here."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from scipy import ndimage
from scipy.ndimage import gaussian_filter

from aumer.errors import EXIT_USAGE, BackendUnavailable
from aumer.flow import Flow
from aumer.flow import opencv as flow_module
from aumer.registry import names, resolve

#: Pixels at the edge of which nothing is asked: what moved there is not in the other image.
EDGE = 16


@pytest.fixture(scope="module", params=names("flow"))
def flow(request: pytest.FixtureRequest, texture: np.ndarray) -> Flow:
    found: Flow = resolve("flow", request.param)
    try:
        found(texture[:32, :32], texture[:32, :32])
    except BackendUnavailable as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    return found


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """(160, 160) uint8 with detail at the scale of a face's skin and features."""
    rng = np.random.default_rng(0)
    noise = gaussian_filter(rng.normal(size=(160, 160)), 2) + gaussian_filter(
        rng.normal(size=(160, 160)), 6
    )
    scaled = (noise - noise.min()) / np.ptp(noise)
    image = (20 + 215 * scaled).astype(np.uint8)
    image.flags.writeable = False  # a flow that writes into its input fails at once
    return image


def moved(texture: np.ndarray, dx: int, dy: int, side: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """Two views of the texture; what is at a pixel of the first is dx, dy px on in the second."""
    a = texture[32 : 32 + side, 32 : 32 + side]
    return a, texture[32 - dy : 32 - dy + side, 32 - dx : 32 - dx + side]


def inner(field: np.ndarray) -> np.ndarray:
    return field[EDGE:-EDGE, EDGE:-EDGE]


def check(field: np.ndarray, shape: tuple[int, ...]) -> None:
    assert field.shape == (*shape, 2)
    assert field.dtype == np.float32
    assert np.isfinite(field).all()


@pytest.mark.parametrize("shape", [(96, 96), (64, 97), (97, 64), (61, 53), (33, 128), (16, 16)])
def test_any_size(flow: Flow, texture: np.ndarray, shape: tuple[int, int]) -> None:
    h, w = shape
    check(flow(texture[:h, :w], texture[1 : h + 1, 2 : w + 2]), shape)


def test_nothing_moves_between_identical_images(flow: Flow, texture: np.ndarray) -> None:
    a = texture[:96, :96]
    field = flow(a, a.copy())
    assert np.abs(inner(field)).max() < 1e-3
    # Farneback's polynomials lean at the very edge.
    assert np.abs(field).max() < 0.15


@pytest.mark.parametrize("shift", [(2, 1), (0, -1), (-3, 2)], ids=str)
def test_x_is_to_the_right_and_y_down_from_the_first_to_the_second(
    flow: Flow, texture: np.ndarray, shift: tuple[int, int]
) -> None:
    field = flow(*moved(texture, *shift))
    check(field, (96, 96))
    np.testing.assert_allclose(inner(field).reshape(-1, 2).mean(axis=0), shift, atol=0.02)
    assert np.abs(inner(field) - shift).max() < 0.2


@pytest.mark.parametrize("shift", [(0.25, -0.1), (-0.05, 0.4)], ids=str)
def test_motion_of_a_tenth_of_a_pixel_is_seen(
    flow: Flow, texture: np.ndarray, shift: tuple[float, float]
) -> None:
    """Most micro motion is below .1 px a frame. TV-L1 shrinks it by a sixth."""
    second = ndimage.shift(texture.astype(float), shift[::-1], order=3, mode="nearest")
    field = inner(flow(texture, second.round().clip(0, 255).astype(np.uint8)))
    found = field.reshape(-1, 2).mean(axis=0)
    np.testing.assert_allclose(found, shift, atol=0.06)
    assert (found / shift > 0.7).all()


def test_the_motion_lies_where_it_was_in_the_first_image(flow: Flow, texture: np.ndarray) -> None:
    """A piece that moves 3 px is found under its old place, not under its new one."""
    a = np.ascontiguousarray(texture[:96, :96])
    b = a.copy()
    b[30:60, 43:73] = a[30:60, 40:70]
    field = flow(a, b)
    assert np.median(field[36:54, 46:64, 0]) == pytest.approx(3, abs=0.3)
    assert abs(np.median(field[70:90, 10:80, 0])) < 0.05


@pytest.mark.parametrize("grey", [0, 7, 255])
def test_images_without_texture_give_numbers(flow: Flow, texture: np.ndarray, grey: int) -> None:
    flat = np.full((48, 48), grey, np.uint8)
    assert np.abs(flow(flat, flat)).max() < 1e-3
    check(flow(flat, 255 - flat), (48, 48))
    check(flow(flat, texture[:48, :48]), (48, 48))
    check(flow(texture[:48, :48], flat), (48, 48))


def test_noise_gives_numbers(flow: Flow) -> None:
    a, b = np.random.default_rng(0).integers(0, 256, (2, 48, 48), dtype=np.uint8)
    check(flow(a, b), (48, 48))


@pytest.mark.parametrize(
    "laid_out",
    [
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: np.stack([a, 255 - a], axis=2)[:, :, 0],
        lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    ],
    ids=["Fortran", "every other", "a channel", "negative strides"],
)
def test_any_memory_layout(
    flow: Flow, texture: np.ndarray, laid_out: Callable[[np.ndarray], np.ndarray]
) -> None:
    a, b = (np.ascontiguousarray(image[:64, :50]) for image in moved(texture, 1, -1))
    other = laid_out(a), laid_out(b)
    assert not other[0].flags.c_contiguous
    np.testing.assert_array_equal(flow(*other), flow(a, b))


def test_no_call_leaves_anything_behind(flow: Flow, texture: np.ndarray) -> None:
    pair = moved(texture, 2, 1, side=64)
    first = flow(*pair)
    kept = first.copy()
    np.testing.assert_array_equal(flow(*pair), kept)
    for other in (moved(texture, -3, 0), moved(texture, 1, 1, side=16), pair[::-1]):
        flow(*other)
        np.testing.assert_array_equal(flow(*pair), kept)
    np.testing.assert_array_equal(first, kept)  # the result is no scratch buffer


def test_threads_give_what_one_thread_gives(flow: Flow, texture: np.ndarray) -> None:
    """Motion is measured in a pool; OpenCV's flow objects own scratch buffers."""
    pairs = [
        moved(texture, dx, dy, side)
        for dx, dy, side in ((2, 1, 48), (-1, 0, 48), (0, 3, 40), (-2, -2, 56), (1, 1, 33))
    ] * 2
    serial = [flow(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        parallel = list(pool.map(lambda pair: flow(*pair), pairs))
    for one, other in zip(serial, parallel, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_region_is_the_same_for_whoever_asks(flow: Flow, texture: np.ndarray) -> None:
    """What `Flow` says of ``within``; many together, one by one, and after other regions."""
    if not hasattr(flow, "within"):
        pytest.skip("this flow offers no regions")
    pairs = [moved(texture, 2, 1, side=64), moved(texture, -1, 0, side=64)]
    whole = [flow(*pair) for pair in pairs]
    part = flow.within((10, 4, 60, 40))
    fields = [part(*pair) for pair in pairs]
    flow.within((0, 0, 20, 20))(*pairs[0])
    for pair, everywhere, field in zip(pairs, whole, fields, strict=True):
        check(field, (64, 64))
        np.testing.assert_array_equal(part(*pair), field)
        np.testing.assert_array_equal(flow(*pair), everywhere)
        box = (slice(4, 40), slice(10, 60))
        assert np.abs(field - everywhere)[box][10:-10, 10:-10].mean() < 0.02
        field[box] = 0
        assert not field.any()
    if hasattr(part, "many"):
        together = part.many(pairs)
        np.testing.assert_allclose(together, [part(*pair) for pair in pairs], atol=0.01)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((48, 48), (48, 47)),
        ((48, 48), (47, 48)),
        ((48, 40), (40, 48)),
        ((48, 48, 3), (48, 48, 3)),
        ((48, 48), (48, 48, 1)),
        ((48,), (48,)),
    ],
)
def test_two_images_of_one_shape_are_needed(
    flow: Flow, first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"one shape \(H, W\)") as caught:
        flow(np.zeros(first, np.uint8), np.zeros(second, np.uint8))
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)


# OpenCV's TV-L1


@pytest.fixture
def without_optflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the plain opencv-python was installed last."""
    monkeypatch.delattr(cv2, "optflow", raising=False)


@pytest.mark.usefixtures("without_optflow")
def test_an_opencv_without_tvl1_says_what_to_do(texture: np.ndarray) -> None:
    tvl1 = resolve("flow", "tvl1-opencv")  # the name is known and importing it is no error
    with ThreadPoolExecutor(1) as fresh:  # a thread that has no TV-L1 object yet
        error = fresh.submit(tvl1, texture, texture).exception()
    assert isinstance(error, BackendUnavailable)
    assert error.exit_code == EXIT_USAGE
    for part in ("tvl1-opencv", "cv2.optflow", "aumer doctor", "pip install", "flow='dis'"):
        assert part in str(error)
    assert f"opencv-contrib-python=={cv2.__version__}" in str(error)


@pytest.mark.usefixtures("without_optflow")
@pytest.mark.parametrize("name", ["dis", "farneback"])
def test_the_other_flows_need_no_contrib_modules(name: str, texture: np.ndarray) -> None:
    check(resolve("flow", name)(texture, texture), texture.shape)


def test_a_thread_that_could_not_make_tvl1_can_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is not remembered; what was made is."""

    class Engine: ...

    class Optflow:
        class DualTVL1OpticalFlow:
            create = Engine

    with ThreadPoolExecutor(1) as fresh:
        monkeypatch.delattr(cv2, "optflow", raising=False)
        assert isinstance(fresh.submit(flow_module._tvl1).exception(), BackendUnavailable)
        monkeypatch.setattr(cv2, "optflow", Optflow, raising=False)
        made = fresh.submit(flow_module._tvl1).result()
        assert isinstance(made, Engine)
        assert fresh.submit(flow_module._tvl1).result() is made
