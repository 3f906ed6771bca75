"""Every registered flow passes the suite that users run on their own; and it sees faults."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest

from aumer.errors import EXIT_USAGE, BackendUnavailable, UsageError
from aumer.flow import Flow, resolve
from aumer.flow import opencv as flow_module
from aumer.flow.opencv import farneback
from aumer.registry import names, register
from aumer.registry import resolve as named
from aumer.testing import FlowSuite
from aumer.testing.flows import texture as textured


def suite(name: str) -> type[FlowSuite]:
    class Suite(FlowSuite):
        @pytest.fixture(autouse=True)
        def _there(self) -> None:
            image = textured()[:32, :32]
            try:
                named("flow", name)(image, image)
            except BackendUnavailable as error:
                (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))

        def make(self) -> str:
            return name

    return Suite


# A new one needs no line here.
globals().update({f"Test_{name}": suite(name) for name in names("flow")})


@pytest.fixture(scope="module", params=names("flow"))
def flow(request: pytest.FixtureRequest, texture: np.ndarray) -> Any:
    found = named("flow", request.param)
    try:
        found(texture[:32, :32], texture[:32, :32])
    except BackendUnavailable as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    return found


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    return textured()


def check(field: np.ndarray, shape: tuple[int, ...]) -> None:
    assert field.shape == (*shape, 2)
    assert field.dtype == np.float32
    assert np.isfinite(field).all()


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (lambda a, b: farneback(a, b)[:-1], "test_any_size"),
        (lambda a, b: farneback(a, b).astype(np.float64), "test_any_size"),
        (lambda a, b: farneback(a, b) + 0.2, "test_nothing_moves_between_identical_images"),
        (
            lambda a, b: farneback(b, a),
            "test_x_is_to_the_right_and_y_down_from_the_first_to_the_second",
        ),
        (lambda a, b: farneback(a, b)[..., ::-1], "test_motion_of_a_tenth_of_a_pixel_is_seen"),
        (
            lambda a, b: np.roll(farneback(a, b), 12, axis=1),
            "test_the_motion_lies_where_it_was_in_the_first_image",
        ),
        (lambda a, b: farneback(a, b) / a.std(), "test_images_without_texture_give_numbers"),
        (
            lambda a, b: farneback(a, b) + np.float32(np.random.default_rng().random()),
            "test_no_call_leaves_anything_behind",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_the_suite_sees_what_is_wrong(fault: Callable[..., Any], test: str) -> None:
    class Wrong(FlowSuite):
        def make(self) -> Any:
            return fault

    with pytest.raises((AssertionError, UsageError)):
        getattr(Wrong(), test)()


def test_the_suite_sees_a_region_that_is_none() -> None:
    class Lazy(Flow):
        def __call__(self, previous: Any, following: Any) -> Any:
            return farneback(previous, following)

        def many(self, pairs: Any) -> Any:
            return [self(*pair) * 2 for pair in pairs]

        def within(self, region: Any) -> Flow:
            return Lazy()

    class Wrong(FlowSuite):
        def make(self) -> Flow:
            return Lazy()

    for test in ("test_a_region_is_the_same_for_whoever_asks", "test_many_are_as_one_by_one"):
        with pytest.raises(AssertionError):
            getattr(Wrong(), test)()


# Flows of one's own


PAIR = (np.zeros((8, 6), np.uint8), np.ones((8, 6), np.uint8))


def test_a_function_has_all_that_a_flow_has() -> None:
    found = resolve(lambda a, b: np.full((*a.shape, 2), float(b[0, 0]), np.float32))
    assert found.batch == 1 and found.within((0, 0, 2, 2)) is found
    assert [float(field.mean()) for field in found.many([PAIR, PAIR])] == [1.0, 1.0]
    assert resolve(found) is found


def test_what_an_object_has_without_deriving_is_used() -> None:
    class Duck:
        batch = 3

        def __init__(self, region: Any = None) -> None:
            self.region = region

        def __call__(self, previous: Any, following: Any) -> Any:
            raise AssertionError("one by one")

        def many(self, pairs: Any) -> Any:
            return [np.full((*a.shape, 2), len(pairs), np.float32) for a, _ in pairs]

        def within(self, region: Any) -> Any:
            return Duck(region)

    for made in (Duck(), Duck):  # a class is made without arguments
        found = resolve(made)  # type: ignore[arg-type]
        assert found.batch == 3
        part = found.within((0, 0, 2, 2))
        assert part is not found and part.batch == 3
        assert float(part.many([PAIR, PAIR])[0].mean()) == 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "None"),
        (np.zeros((8, 6), np.float32), r"an array of shape \(8, 6\), float32"),
        (np.zeros((6, 8, 2), np.float32), r"an array of shape \(6, 8, 2\), float32"),
        ([[1.0]], r"\[\[1.0\]\]"),
    ],
    ids=["None", "no axes", "turned", "a list"],
)
def test_answers_that_are_no_flow_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, given: Any, told: str
) -> None:
    from aumer import registry

    monkeypatch.setattr(registry, "_parts", {**registry._parts, "flow": {}})
    register("flow", "mine")(lambda previous, following: given)
    message = rf"the flow 'mine' must return \(H, W, 2\) float32.*\(8, 6, 2\).*it returned {told}"
    with pytest.raises(UsageError, match=message):
        resolve("mine")(*PAIR)
    with pytest.raises(UsageError, match=message):
        resolve("mine").many([PAIR])


def test_what_cannot_be_a_flow_is_refused() -> None:
    class Short(Flow):
        def __call__(self, previous: Any, following: Any) -> Any:
            return farneback(previous, following)

        def many(self, pairs: Any) -> Any:
            return None

    class Half(Flow): ...

    with pytest.raises(UsageError, match=r"one flow for each of 1 pairs.*returned None"):
        resolve(Short()).many([PAIR])
    with pytest.raises(UsageError, match="'int' cannot be used: 3 cannot be called"):
        resolve(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"cannot be made without arguments.*__call__"):
        resolve(Half)
    with pytest.raises(UsageError, match="Did you mean 'farneback'"):
        resolve("farnebak")


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
    flow: Any, first: tuple[int, ...], second: tuple[int, ...]
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
    tvl1 = named("flow", "tvl1-opencv")  # the name is known and importing it is no error
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
    check(named("flow", name)(texture, texture), texture.shape)


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
