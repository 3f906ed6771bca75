"""The contract of flows, as tests to inherit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from aumer.flow import Flow, FlowFunction, resolve
from aumer.types import FloatArray, ImageArray

#: Ignored pixels at the edges: their content may be outside of the other image.
EDGE = 16


class FlowSuite:
    """The contract of `aumer.flow.Flow`, with a test for each requirement.

    A subclass whose name begins with "Test" is collected by pytest. It defines `make`.
    """

    @abstractmethod
    def make(self) -> str | Flow | FlowFunction:
        """The flow: a function, an object, or its registered name."""

    @property
    def flow(self) -> Flow:
        """The flow as aumer uses it."""
        return resolve(self.make())

    def test_any_size(self) -> None:
        image = texture()
        for h, w in ((96, 96), (64, 97), (97, 64), (61, 53), (33, 128), (16, 16)):
            _check(self.flow(image[:h, :w], image[1 : h + 1, 2 : w + 2]), (h, w))

    def test_nothing_moves_between_identical_images(self) -> None:
        image = texture()[:96, :96]
        field = self.flow(image, image.copy())
        assert np.abs(_inner(field)).max() < 1e-3
        # Farneback's polynomials are biased at the edge.
        assert np.abs(field).max() < 0.15

    def test_x_is_to_the_right_and_y_down_from_the_first_to_the_second(self) -> None:
        for shift in ((2, 1), (0, -1), (-3, 2)):
            field = self.flow(*moved(*shift))
            _check(field, (96, 96))
            found = _inner(field).reshape(-1, 2).mean(axis=0)
            np.testing.assert_allclose(found, shift, atol=0.02)
            assert np.abs(_inner(field) - shift).max() < 0.2

    def test_motion_of_a_tenth_of_a_pixel_is_seen(self) -> None:
        """Most motion of micro-expressions is below .1 px per frame. TV-L1 underestimates it by a
        sixth.
        """
        image = texture()
        for shift in ((0.25, -0.1), (-0.05, 0.4)):
            second = ndimage.shift(image.astype(float), shift[::-1], order=3, mode="nearest")
            field = _inner(self.flow(image, second.round().clip(0, 255).astype(np.uint8)))
            found = field.reshape(-1, 2).mean(axis=0)
            np.testing.assert_allclose(found, shift, atol=0.06)
            assert (found / shift > 0.7).all()

    def test_the_motion_lies_where_it_was_in_the_first_image(self) -> None:
        """The flow of a patch that moves 3 px is at its old position, not at its new one."""
        first = np.ascontiguousarray(texture()[:96, :96])
        second = first.copy()
        second[30:60, 43:73] = first[30:60, 40:70]
        field = self.flow(first, second)
        assert abs(float(np.median(field[36:54, 46:64, 0])) - 3) <= 0.3
        assert abs(float(np.median(field[70:90, 10:80, 0]))) < 0.05

    def test_images_without_texture_give_numbers(self) -> None:
        flow, image = self.flow, texture()[:48, :48]
        for gray in (0, 7, 255):
            flat = np.full((48, 48), gray, np.uint8)
            assert np.abs(flow(flat, flat)).max() < 1e-3
            for pair in ((flat, 255 - flat), (flat, image), (image, flat)):
                _check(flow(*pair), (48, 48))

    def test_noise_gives_numbers(self) -> None:
        first, second = np.random.default_rng(0).integers(0, 256, (2, 48, 48), dtype=np.uint8)
        _check(self.flow(first, second), (48, 48))

    def test_any_memory_layout(self) -> None:
        first, second = (np.ascontiguousarray(image[:64, :50]) for image in moved(1, -1))
        usual = self.flow(first, second)
        for other in zip(_laid_out(first), _laid_out(second), strict=True):
            assert not other[0].flags.c_contiguous
            np.testing.assert_array_equal(self.flow(*other), usual)

    def test_no_call_leaves_anything_behind(self) -> None:
        flow, pair = self.flow, moved(2, 1, side=64)
        first = flow(*pair)
        kept = first.copy()
        for other in (moved(-3, 0), moved(1, 1, side=16), pair[::-1]):
            flow(*other)
            np.testing.assert_array_equal(flow(*pair), kept)
        np.testing.assert_array_equal(first, kept)  # the result is not a reused buffer

    def test_threads_give_what_one_thread_gives(self) -> None:
        """Motion is measured in a thread pool."""
        flow = self.flow
        moves = ((2, 1, 48), (-1, 0, 48), (0, 3, 40), (-2, -2, 56), (1, 1, 33))
        pairs = [moved(*each) for each in moves] * 2
        serial = [flow(*pair) for pair in pairs]
        with ThreadPoolExecutor(4) as pool:
            parallel = list(pool.map(lambda pair: flow(*pair), pairs))
        for one, other in zip(serial, parallel, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_many_are_as_one_by_one(self) -> None:
        flow, pairs = self.flow, [moved(2, 1, side=64), moved(-1, 0, side=64)]
        assert flow.batch >= 1
        together = flow.many(pairs)
        np.testing.assert_allclose(together, [flow(*pair) for pair in pairs], atol=0.01)

    def test_a_region_is_the_same_for_whoever_asks(self) -> None:
        """Regions give the same flow in a batch, one by one, and after others."""
        flow, pairs = self.flow, [moved(2, 1, side=64), moved(-1, 0, side=64)]
        part = flow.within((10, 4, 60, 40))
        if part is flow:  # it has no regions
            return
        whole = [flow(*pair) for pair in pairs]
        fields = [part(*pair) for pair in pairs]
        np.testing.assert_allclose(part.many(pairs), fields, atol=0.01)
        flow.within((0, 0, 20, 20))(*pairs[0])
        box = (slice(4, 40), slice(10, 60))
        for pair, everywhere, field in zip(pairs, whole, fields, strict=True):
            _check(field, (64, 64))
            np.testing.assert_array_equal(part(*pair), field)
            np.testing.assert_array_equal(flow(*pair), everywhere)
            assert np.abs(field - everywhere)[box][10:-10, 10:-10].mean() < 0.02
            outside = field.copy()
            outside[box] = 0
            assert not outside.any()


def texture() -> ImageArray:
    """(160, 160) uint8 with detail at the scale of a face's skin and features."""
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=(160, 160)), 2)
    noise = noise + ndimage.gaussian_filter(rng.normal(size=(160, 160)), 6)
    scaled = (noise - noise.min()) / np.ptp(noise)
    image = np.asarray(20 + 215 * scaled, np.uint8)
    image.flags.writeable = False  # a flow that writes into its input raises
    return image


def moved(dx: int, dy: int, side: int = 96) -> tuple[ImageArray, ImageArray]:
    """Two crops of the texture; a point of the first is moved by dx, dy px in the second."""
    image = texture()
    first = image[32 : 32 + side, 32 : 32 + side]
    return first, image[32 - dy : 32 - dy + side, 32 - dx : 32 - dx + side]


def _inner(field: FloatArray) -> FloatArray:
    return field[EDGE:-EDGE, EDGE:-EDGE]


def _check(field: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    assert field.shape == (*shape, 2)
    assert field.dtype == np.float32
    assert np.isfinite(field).all()


def _laid_out(image: ImageArray) -> Iterable[ImageArray]:
    """The same pixels in other memory layouts."""
    yield np.asfortranarray(image)
    yield np.repeat(image, 2, axis=1)[:, ::2]
    yield np.stack([image, 255 - image], axis=2)[:, :, 0]
    yield image[::-1, ::-1].copy()[::-1, ::-1]
