"""TV-L1: equal to OpenCV's, true to known motion, the same in every batch, thread and back end."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from aumer.flow import tvl1 as kernels
from aumer.flow import tvl1_torch
from aumer.flow.opencv import tvl1_opencv
from aumer.flow.tvl1 import tvl1, tvl1_pairs
from aumer.testing.moving_face import Bump, film

Pair = tuple[np.ndarray, np.ndarray]


def filmed(amount: float, side: int = 96) -> Pair:
    """A portrait in which the head and a mouth corner move by up to `amount` px."""
    frames = film(
        np.array([0.0, 1.0]),
        bumps=(Bump((201.0, 139.0), (amount, -amount), lambda t: t),),
        head=lambda t: (0.6 * amount * t, -0.5 * amount * t, 0.0, 0.0),
        window=(176, 70, 176 + side, 70 + side),
    )
    a, b = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)
    return a, b


def length(field: np.ndarray) -> np.ndarray:
    return np.hypot(field[..., 0], field[..., 1])


def textured(side: int = 96, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(side, side))
    image = gaussian_filter(noise, 2) + 3 * gaussian_filter(noise, 6)
    return 20 + 215 * (image - image.min()) / np.ptp(image)


def carried(image: np.ndarray, u: np.ndarray) -> Pair:
    """A pair with flow `u` in truth: the first image is the second read where u points."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    first = map_coordinates(image, [y + u[..., 1], x + u[..., 0]], order=3, mode="nearest")
    return first.astype(np.float32), image.astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def opencv_with_tvl1() -> None:
    if not hasattr(cv2, "optflow"):
        pytest.skip("this OpenCV has no optflow module")


# Against OpenCV


@pytest.mark.parametrize("amount", [0.05, 0.2, 1.0, 3.0])
def test_the_flow_is_opencvs(amount: float) -> None:
    pair = filmed(amount)
    ours, theirs = tvl1(*pair), tvl1_opencv(*pair)
    assert length(ours - theirs).mean() < min(0.03, 0.25 * length(theirs).mean())


def test_one_level_is_opencvs_to_a_thousandth_of_a_pixel() -> None:
    """Over levels and warps rounding grows; here it has had no time to."""
    a, b = filmed(0.5)
    engine = cv2.optflow.DualTVL1OpticalFlow.create(nscales=1, warps=1)
    theirs = engine.calc(a, b, None)
    side = a.shape[0]
    start = np.zeros((2, side + 2, side + 2), np.float32)
    ours = one_warp(a.astype(np.float32), b.astype(np.float32), start)
    assert np.abs(ours - theirs).max() < 1e-3


def one_warp(a: np.ndarray, b: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The first warp of a level, from the module's steps."""
    h, w = a.shape
    still = np.pad(a, 1)
    data, p = np.zeros((4, h + 2, w + 2), np.float32), np.zeros((4, h + 2, w + 2), np.float32)
    spare, columns = np.zeros_like(u), np.empty((5, w + 4), np.float32)
    kernels._linearize(kernels._with_gradient(b), still, u, data, 0, 0)
    for _ in range(kernels.OUTER_ITERATIONS):
        for k in range(2):
            kernels._median5(u[k], spare[k], columns)
        u, spare = spare, u
        for _ in range(kernels.INNER_ITERATIONS):
            if kernels._iterate(u, p, data) <= kernels.EPSILON**2 * h * w:
                return u[:, 1:-1, 1:-1].transpose(1, 2, 0)
    return u[:, 1:-1, 1:-1].transpose(1, 2, 0)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (20, 33), (5, 64)])
def test_the_median_is_opencvs(shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    out = np.zeros((shape[0] + 2, shape[1] + 2), np.float32)
    kernels._median5(np.pad(plane, 1), out, np.empty((5, shape[1] + 4), np.float32))
    np.testing.assert_array_equal(out[1:-1, 1:-1], cv2.medianBlur(plane, 5))


@pytest.mark.parametrize("shape", [(128, 128), (53, 97), (16, 16)])
def test_the_pyramid_is_opencvs(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(2).uniform(0, 255, shape).astype(np.float32)
    theirs = cv2.resize(image, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_LINEAR)
    h, w = (round(side * kernels.SCALE_STEP) for side in shape)
    assert (h, w) == theirs.shape
    ours = kernels._resized(image, h, w, 1.25, 1.25, 0.0, 0.0)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("most", [0.4, 3.0, 40.0])
def test_the_warp_is_opencvs(most: float) -> None:
    """Small motion takes the path by stretches, large or torn motion the one by pixels."""
    rng = np.random.default_rng(3)
    image = textured(72).astype(np.float32)
    u = np.zeros((2, 74, 74), np.float32)
    u[:, 1:-1, 1:-1] = np.round(rng.uniform(-most, most, (2, 72, 72)) * 32) / 32
    still, data = np.zeros((74, 74), np.float32), np.zeros((4, 74, 74), np.float32)
    moving = kernels._with_gradient(image)
    kernels._linearize(moving, still, u, data, 0, 0)
    y, x = np.mgrid[:72, :72].astype(np.float32)
    inner = u[:, 1:-1, 1:-1]
    m = kernels._MARGIN
    i, gx, gy = (
        cv2.remap(plane[m:-m, m:-m].copy(), x + inner[0], y + inner[1], cv2.INTER_CUBIC)
        for plane in moving
    )
    np.testing.assert_allclose(data[0, 1:-1, 1:-1], gx, atol=2e-3)
    np.testing.assert_allclose(data[1, 1:-1, 1:-1], gy, atol=2e-3)
    rho = i - gx * inner[0] - gy * inner[1]
    np.testing.assert_allclose(data[2, 1:-1, 1:-1], rho, atol=2e-2)


def test_a_box_is_warped_as_in_the_whole_image() -> None:
    """By stretches and by pixels, with motion that leads out of the box and out of the image."""
    rng = np.random.default_rng(4)
    moving = kernels._with_gradient(textured(72).astype(np.float32))
    still = np.pad(textured(72, seed=5).astype(np.float32), 1)
    for most in (0.4, 40.0):
        u = np.zeros((2, 74, 74), np.float32)
        u[:, 1:-1, 1:-1] = rng.uniform(-most, most, (2, 72, 72))
        data = np.zeros((4, 74, 74), np.float32)
        kernels._linearize(moving, still, u, data, 0, 0)
        top, left = 9, 14
        box = (slice(None), slice(top, top + 42), slice(left, left + 52))
        part = np.zeros((4, 42, 52), np.float32)
        kernels._linearize(moving, still[box[1:]].copy(), u[box].copy(), part, top, left)
        inner = (slice(None), slice(1, -1), slice(1, -1))
        np.testing.assert_allclose(part[inner], data[box][inner], rtol=1e-4, atol=1e-4)


# Against true motion


@pytest.mark.parametrize("amount", [0.05, 0.2, 0.5])
def test_a_constant_motion_field(amount: float) -> None:
    truth = np.broadcast_to(np.float32([0.8 * amount, -0.6 * amount]), (96, 96, 2))
    field = tvl1(*carried(textured(), truth))
    error = length(field - truth)[12:-12, 12:-12].mean()
    assert error < 0.25 * amount + 0.01


@pytest.mark.parametrize("degrees", [0.3, 1.0])
def test_a_rotating_motion_field(degrees: float) -> None:
    y, x = (np.mgrid[:96, :96] - 47.5).astype(np.float32)
    angle = np.radians(degrees)
    cos, sin = np.cos(angle) - 1, np.sin(angle)
    truth = np.stack([cos * x - sin * y, sin * x + cos * y], -1).astype(np.float32)
    field = tvl1(*carried(textured(), truth))
    inner = (slice(12, -12), slice(12, -12))
    assert length(field - truth)[inner].mean() < 0.25 * length(truth)[inner].mean() + 0.01


def test_no_further_from_the_truth_than_opencv() -> None:
    for amount in (0.05, 0.2, 0.5):
        u = np.broadcast_to(np.float32([amount, -amount / 2]), (96, 96, 2))
        a, b = (np.rint(image).clip(0, 255).astype(np.uint8) for image in carried(textured(), u))
        ours, theirs = (
            length(flow(a, b) - u)[12:-12, 12:-12].mean() for flow in (tvl1, tvl1_opencv)
        )
        assert ours < 1.05 * theirs + 1e-3


# The same numbers however it is called


def test_bulk_is_one_by_one_with_any_number_of_threads() -> None:
    pairs = [filmed(amount, 64) for amount in (0.1, 0.3, 1.0, 2.0)] * 2
    a, b = (np.stack([pair[k] for pair in pairs]) for k in range(2))
    serial = np.stack([tvl1(*pair) for pair in pairs])
    for workers in (1, 3):
        np.testing.assert_array_equal(tvl1_pairs(a, b, workers=workers), serial)
    np.testing.assert_array_equal(tvl1_pairs(a[3:5], b[3:5]), serial[3:5])
    with ThreadPoolExecutor(4) as pool:
        parallel = list(pool.map(lambda pair: tvl1(*pair), pairs))
    np.testing.assert_array_equal(np.stack(parallel), serial)


def test_any_memory_layout_and_type() -> None:
    a, b = filmed(0.5, 48)
    wanted = tvl1(a, b)
    np.testing.assert_array_equal(tvl1(np.asfortranarray(a), np.repeat(b, 2, 1)[:, ::2]), wanted)
    np.testing.assert_array_equal(tvl1(a.astype(np.float64), b.astype(np.float32)), wanted)


def test_the_input_is_left_alone() -> None:
    a, b = (image.astype(np.float32) for image in filmed(0.5, 48))
    kept = a.copy(), b.copy()
    a.flags.writeable = b.flags.writeable = False
    tvl1(a, b)
    np.testing.assert_array_equal((a, b), kept)


# In a region

BOX = (20, 12, 80, 70)


def inside(field: np.ndarray, margin: int = 0) -> np.ndarray:
    left, top, right, bottom = BOX
    return field[top + margin : bottom - margin, left + margin : right - margin]


@pytest.mark.parametrize("amount", [0.3, 1.5])
def test_the_flow_in_a_region_is_that_of_the_whole_image(amount: float) -> None:
    pair = filmed(amount)
    whole, part = tvl1(*pair), tvl1.within(BOX)(*pair)
    apart = length(part - whole)
    assert inside(apart, 10).mean() < min(0.03, 0.25 * inside(length(whole), 10).mean())
    outside = np.ones(whole.shape[:2], bool)
    inside(outside)[:] = False
    assert not part[outside].any()
    assert part.dtype == np.float32


def test_a_region_is_no_further_from_the_truth_than_the_whole() -> None:
    """On average: either stops early, and which is the better changes with image and amplitude."""
    part, whole = 0.0, 0.0
    for amount in (0.05, 0.2, 0.5):
        truth = np.broadcast_to(np.float32([amount, -amount / 2]), (96, 96, 2))
        for seed in range(3):
            a, b = carried(textured(seed=seed), truth)
            part += length(inside(tvl1.within(BOX)(a, b) - truth, 8)).mean()
            whole += length(inside(tvl1(a, b) - truth, 8)).mean()
    assert part < 1.1 * whole


def test_motion_that_enters_the_region_is_seen_up_to_its_edge() -> None:
    """The images are read beyond it: by 5 px here, more than the edge's pixels know themselves."""
    truth = np.broadcast_to(np.float32([4.0, -3.0]), (96, 96, 2))
    part = tvl1.within(BOX)(*carried(textured(), truth))
    edge = np.ones(inside(part).shape[:2], bool)
    edge[2:-2, 2:-2] = False
    assert length(inside(part - truth))[edge].mean() < 0.1


def test_the_whole_image_is_a_region_too() -> None:
    a, b = filmed(0.5, 64)
    np.testing.assert_array_equal(tvl1.within((0, 0, 64, 64))(a, b), tvl1(a, b))


@pytest.mark.parametrize("box", [(5, 7, 6, 8), (0, 0, 3, 50), (47, 0, 48, 50), (10, 40, 37, 50)])
def test_any_region(box: tuple[int, int, int, int]) -> None:
    a, b = np.random.default_rng(0).integers(0, 256, (2, 50, 48), dtype=np.uint8)
    for flow in (tvl1, tvl1_torch.tvl1_torch):
        field = flow.within(box)(a, b)
        left, top, right, bottom = box
        assert np.isfinite(field).all()
        assert field[top:bottom, left:right].any()
        field[top:bottom, left:right] = 0
        assert not field.any()


@pytest.mark.parametrize(
    "box", [(-1, 0, 9, 9), (0, -1, 9, 9), (0, 0, 49, 9), (0, 0, 9, 51), (5, 5, 5, 9), (5, 9, 9, 5)]
)
def test_regions_that_leave_the_image_or_hold_nothing(box: tuple[int, int, int, int]) -> None:
    image = np.zeros((50, 48), np.uint8)
    for flow in (tvl1, tvl1_torch.tvl1_torch):
        with pytest.raises(ValueError, match=r"48 x 50 px, found \("):
            flow.within(box)(image, image)


# Any image


@pytest.mark.parametrize(
    "shape", [(8, 8), (1, 1), (1, 9), (9, 1), (2, 2), (15, 17), (16, 40), (37, 131), (130, 65)]
)
def test_any_size(shape: tuple[int, int]) -> None:
    a, b = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    field = tvl1(a, b)
    assert field.shape == (*shape, 2)
    assert field.dtype == np.float32
    assert np.isfinite(field).all()


def test_nothing_in_nothing_out() -> None:
    assert tvl1_pairs(np.zeros((0, 9, 9)), np.zeros((0, 9, 9))).shape == (0, 9, 9, 2)
    assert tvl1(np.zeros((0, 5)), np.zeros((0, 5))).shape == (0, 5, 2)


def test_flat_images() -> None:
    flat = np.full((40, 40), 90, np.uint8)
    assert not tvl1(flat, flat).any()
    for other in (255 - flat, filmed(1.0, 40)[0]):
        assert np.isfinite(tvl1(flat, other)).all()
        assert np.isfinite(tvl1(other, flat)).all()


def test_wild_motion_gives_numbers() -> None:
    rng = np.random.default_rng(0)
    for _ in range(3):
        a, b = (255 * (rng.random((2, 70, 90)) > 0.5)).astype(np.uint8)
        assert np.isfinite(tvl1(a, b)).all()


@pytest.mark.parametrize(
    ("first", "second"), [((8, 8), (8, 9)), ((8, 8, 1), (8, 8, 1)), ((8,), (8,))]
)
def test_shapes_that_do_not_fit(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one shape"):
        tvl1(np.zeros(first), np.zeros(second))


def test_stacks_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="one shape"):
        tvl1_pairs(np.zeros((2, 8, 8)), np.zeros((3, 8, 8)))
    with pytest.raises(ValueError, match="one shape"):
        tvl1_torch.tvl1_batch(torch.zeros(8, 8), torch.zeros(8, 8))


# torch


def test_torch_takes_the_same_steps() -> None:
    """Each step agrees to rounding."""
    a, b = (image[:40, :50].astype(np.float32) for image in filmed(1.0))
    h, w = a.shape
    rng = np.random.default_rng(0)
    u, p = np.zeros((2, h + 2, w + 2), np.float32), np.zeros((4, h + 2, w + 2), np.float32)
    u[:, 1:-1, 1:-1] = np.round(rng.uniform(-1.5, 1.5, (2, h, w)) * 32) / 32
    data = np.zeros((4, h + 2, w + 2), np.float32)
    inner = (slice(None), slice(1, -1), slice(1, -1))
    tu, tp = torch.from_numpy(u[inner].copy())[None], torch.from_numpy(p[inner].copy())[None]

    kernels._linearize(kernels._with_gradient(b), np.pad(a, 1), u, data, 0, 0)
    moving = tvl1_torch._with_gradient(torch.from_numpy(b.copy())[None])
    tdata = tvl1_torch._linearize(moving, torch.from_numpy(a.copy())[None], tu, 0, 0)
    np.testing.assert_allclose(tdata[0, :3], data[inner][:3], atol=2e-2)

    tdata = torch.from_numpy(data[inner].copy())[None]
    for _ in range(3):
        change = kernels._iterate(u, p, data)
        tu, tp, tchange = tvl1_torch._step(tu, tp, tdata)
        np.testing.assert_allclose(tu[0], u[inner], atol=1e-4)
        np.testing.assert_allclose(tp[0], p[inner], atol=1e-4)
        assert float(tchange[0]) == pytest.approx(float(change), rel=1e-4)

    out = np.zeros_like(u)
    for k in range(2):
        kernels._median5(u[k], out[k], np.empty((5, w + 4), np.float32))
    np.testing.assert_array_equal(
        tvl1_torch._median5(torch.from_numpy(u[inner].copy())[None])[0], out[inner]
    )
    np.testing.assert_allclose(
        tvl1_torch._resized(torch.from_numpy(a.copy())[None, None], 32, 40, 1.25, 1.25)[0, 0],
        kernels._resized(a, 32, 40, 1.25, 1.25, 0.0, 0.0),
        atol=1e-3,
    )


def test_torch_gives_the_same_flow_in_any_batch() -> None:
    pairs = [filmed(amount, 32) for amount in (0.2, 0.0, 0.6)]
    one = np.stack(list(tvl1_torch.tvl1_stream(pairs, batch=1)))
    many = np.stack(list(tvl1_torch.tvl1_stream(iter(pairs), batch=2)))
    ours = np.stack([tvl1(*pair) for pair in pairs])
    assert one.dtype == np.float32
    assert length(one - many).mean() < 5e-3
    assert length(one - ours).mean() < 0.03
    assert np.abs(one[1]).max() < 1e-3  # nothing moved


def test_torch_gives_the_same_flow_in_a_region() -> None:
    pairs = [filmed(amount, 48) for amount in (0.2, 0.6)]
    box = (6, 3, 44, 40)
    torchs = tvl1_torch.tvl1_torch.within(box).many(pairs)
    ours = np.stack([tvl1.within(box)(*pair) for pair in pairs])
    assert length(torchs - ours).mean() < 0.02


@pytest.mark.slow
def test_the_first_call_says_that_it_compiles_and_the_next_run_need_not(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from aumer.cli.console import Console\n"
        "from aumer.flow.tvl1 import tvl1\n"
        "image = np.zeros((32, 32), np.uint8)\n"
        "with Console():\n"
        "    tvl1(image, image), tvl1(image, image)\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stderr.count("aumer: note: compiling TV-L1")
        for _ in range(2)
    ]
    assert said == [1, 0]


def test_the_run_that_compiles_gives_what_later_ones_do(tmp_path: Path) -> None:
    """To the bit: code that has just been compiled would round otherwise."""
    script = (
        "import hashlib, numpy as np; from scipy.ndimage import gaussian_filter as smooth;"
        "from aumer.flow.tvl1 import tvl1;"
        "a = smooth(np.random.default_rng(0).uniform(0, 255, (96, 96)), 2).astype(np.float32);"
        "print(hashlib.sha256(tvl1(a, np.roll(a, 1, 1)).tobytes()).hexdigest())"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, check=True
        ).stdout
        for _ in range(2)
    )
    assert first == second != b""
    assert list(tmp_path.rglob("tvl1._flow-*.nbc"))
