"""Face back ends by name, checked against `aumer.face.interface`.

Registered back ends are users' code. So they are checked when they are made, and every output is
validated, so that an error is reported where it occurs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from aumer import registry
from aumer.errors import UsageError
from aumer.face.interface import Detector, Landmarker, Memory
from aumer.types import FloatArray, ImageArray

Part = TypeVar("Part", Detector, Landmarker)

#: Required members of each, for messages.
_NEEDED = {
    "detector": "__call__(self, image) -> boxes and scores (N, 5)",
    "landmarker": "__call__(self, image, box) -> landmarks (68, 2), or None where there is no face",
}


def new_detector(name: str) -> Detector:
    """Make the detector of this name.

    Raises:
        UsageError: unknown name, it cannot run here, or it is not a `Detector`.
        WeightsError: its weights are missing.
    """
    return _made("detector", name, Detector)  # type: ignore[type-abstract]


def new_landmarker(name: str) -> Landmarker:
    """Make a landmarker of this name.

    Raises:
        UsageError: unknown name, it cannot run here, or it is not a `Landmarker`.
        WeightsError: its weights are missing.
    """
    return _made("landmarker", name, Landmarker)  # type: ignore[type-abstract]


def _made(kind: str, name: str, contract: type[Part]) -> Part:
    part = registry.resolve(kind, name)
    found = _unfit(part, contract)
    if found is None:
        made = part()
        if isinstance(made, contract):
            return made
        found = f"{part!r} makes a {type(made).__name__}"
    base = contract.__name__
    raise UsageError(
        f"the {kind} {name!r} cannot be used: {found}. Needed is a class derived from "
        f"aumer.face.interface.{base} that is made without arguments and defines "
        f"{_NEEDED[kind]}; the other methods are inherited. Write `class Mine({base}): ...` and "
        f"register the class itself: `aumer.register({kind!r}, 'mine')(Mine)`"
    )


def _unfit(part: Any, contract: type[Any]) -> str | None:
    """Why `part` is not a factory of such an object, as far as this can be checked without calling
    it.
    """
    if not callable(part) or isinstance(part, contract):
        return f"{part!r} is an object, not a class"
    if inspect.isclass(part):
        if not issubclass(part, contract):
            return f"{part!r} is not derived from {contract.__name__}"
        if lacking := sorted(part.__abstractmethods__):  # type: ignore[attr-defined]
            return f"{part!r} does not define {', '.join(lacking)}"
    try:
        inspect.signature(part).bind()
    except TypeError as error:
        return f"{part!r} cannot be called without arguments ({error})"
    except ValueError:  # some built-in objects have no signature
        pass
    return None


class CheckedDetector(Detector):
    """Wraps a detector, or a function used as one, and validates its output.

    Boxes that are not finite or have no area are dropped.

    Raises:
        UsageError: when called: the output is not (N, 5).
    """

    def __init__(self, detector: Callable[[ImageArray], FloatArray]) -> None:
        self._detector = detector

    def __call__(self, image: ImageArray) -> FloatArray:
        boxes = _array(self._detector(image), self._detector, "boxes and scores (N, 5)")
        if not boxes.size:
            return np.empty((0, 5), np.float32)
        if boxes.ndim != 2 or boxes.shape[1] != 5:
            raise _wrong(self._detector, "boxes and scores (N, 5)", f"shape {boxes.shape}")
        good = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:4] > boxes[:, :2]).all(axis=1)
        return np.asarray(boxes[good])

    def close(self) -> None:
        if isinstance(self._detector, Detector):
            self._detector.close()


class CheckedLandmarker(Landmarker):
    """Wraps a landmarker and validates its output: landmarks that are not finite count as no face.

    Raises:
        UsageError: it is not a `Landmarker`; when called: the output is not (68, 2).
    """

    def __init__(self, landmarker: Landmarker) -> None:
        given: object = landmarker
        if not isinstance(given, Landmarker):
            raise UsageError(
                f"{given!r} is not derived from aumer.face.interface.Landmarker, which defines the "
                "methods that are asked for"
            )
        self._landmarker = landmarker

    def __call__(self, image: ImageArray, box: FloatArray) -> FloatArray | None:
        return self._checked(self._landmarker(image, box))

    def near(self, image: ImageArray, landmarks: FloatArray) -> FloatArray | None:
        return self._checked(self._landmarker.near(image, landmarks))

    def reset(self) -> None:
        self._landmarker.reset()

    def memory(self) -> Memory:
        return self._landmarker.memory()

    def resume(
        self, image: ImageArray, landmarks: FloatArray, memory: Mapping[str, Any] | None = None
    ) -> None:
        self._landmarker.resume(image, landmarks, memory)

    def close(self) -> None:
        self._landmarker.close()

    def _checked(self, answer: Any) -> FloatArray | None:
        if answer is None:
            return None
        wanted = "landmarks (68, 2), or None where there is no face"
        points = _array(answer, self._landmarker, wanted)
        if points.shape != (68, 2):
            raise _wrong(self._landmarker, wanted, f"shape {points.shape}")
        return points if np.isfinite(points).all() else None


def _array(answer: Any, by: object, wanted: str) -> FloatArray:
    if answer is None:  # which numpy takes for NaN
        raise _wrong(by, wanted, "None")
    try:
        with np.errstate(over="ignore"):  # too large values become infinite
            return np.asarray(answer, np.float32)
    except (TypeError, ValueError):
        raise _wrong(by, wanted, repr(answer)[:80]) from None


def _wrong(by: object, wanted: str, found: str) -> UsageError:
    return UsageError(f"{registry.called(by)} must give {wanted}; found {found}")
