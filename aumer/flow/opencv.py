"""OpenCV's dense flows as aumer's (`aumer.flow.FlowFunction`).

OpenCV objects are kept one per thread, because they own scratch buffers.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from aumer.errors import BackendUnavailable
from aumer.types import FloatArray, ImageArray


def _per_thread(make: Callable[[], Any]) -> Callable[[], Any]:
    local = threading.local()

    @functools.wraps(make)
    def get() -> Any:
        try:
            return local.made
        except AttributeError:  # first call in this thread
            local.made = make()
            return local.made

    return get


@_per_thread
def _dis() -> Any:
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    engine.setFinestScale(0)  # half resolution loses motion of .1 px
    return engine


def has_tvl1(opencv: ModuleType = cv2) -> bool:
    """Whether the installed OpenCV has the module for "tvl1-opencv".

    If the plain wheel overwrote contrib's, the latter's stubs leave an empty `optflow`.
    """
    return hasattr(getattr(opencv, "optflow", None), "DualTVL1OpticalFlow")


@_per_thread
def _tvl1() -> Any:
    if not has_tvl1():
        raise BackendUnavailable(
            "flow 'tvl1-opencv' needs cv2.optflow, and the installed OpenCV "
            f"({cv2.__version__}) was built without it. `aumer doctor` shows which wheel is "
            "in use; repair it with `pip install --force-reinstall --no-deps "
            f"opencv-contrib-python=={_wheel_version()}`, or use `motion.flow='dis'`."
        )
    return cv2.optflow.DualTVL1OpticalFlow.create()


def _wheel_version() -> str:
    """OpenCV 4.11.0 is published as the wheels 4.11.0.86; pip takes `4.11.0.*` for either."""
    return f"{cv2.__version__}.*"


def dis(previous: ImageArray, following: ImageArray) -> FloatArray:
    """Dense inverse search (Kroeger et al. 2016), medium preset down to full resolution."""
    return _run(_dis().calc, previous, following)


def farneback(previous: ImageArray, following: ImageArray) -> FloatArray:
    """Polynomial expansion (Farneback 2003), 3 levels, 15 px window, sigma 1.1 over 5 px."""
    return _farneback(previous, following, 1.1)


def farneback_12(previous: ImageArray, following: ImageArray) -> FloatArray:
    """`farneback` with sigma 1.2, as the three-modality CNN-LSTM has it (its section 4.3)."""
    return _farneback(previous, following, 1.2)


def _farneback(previous: ImageArray, following: ImageArray, sigma: float) -> FloatArray:
    def calc(a: ImageArray, b: ImageArray, _: None) -> Any:
        return cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, sigma, 0)  # type: ignore[call-overload]

    return _run(calc, previous, following)


def tvl1_opencv(previous: ImageArray, following: ImageArray) -> FloatArray:
    """Dual TV-L1 (Zach, Pock, Bischof 2007) as in OpenCV with its defaults: the reference.

    Raises:
        BackendUnavailable: the installed OpenCV has no `optflow` module.
    """
    engine = _tvl1()
    engine.setScalesNumber(5)  # the default; OpenCV lowers it permanently after a small image
    return _run(engine.calc, previous, following)


def _run(calc: Callable[..., Any], previous: ImageArray, following: ImageArray) -> FloatArray:
    if previous.shape != following.shape or previous.ndim != 2:
        raise ValueError(
            "a flow needs two images of one shape (H, W), found "
            f"{previous.shape} and {following.shape}"
        )
    flow = calc(np.ascontiguousarray(previous), np.ascontiguousarray(following), None)
    return np.asarray(flow, np.float32)
