"""The interface of dense optical flow.

A flow is ``f(previous, following) -> (H, W, 2) float32``: for each pixel of `previous` its
displacement (x to the right, y down) in px to `following`; both images are (H, W) uint8. Every flow
is pure: calls are independent. A function is sufficient; flows with optional methods derive from
`Flow`. Users of a flow call `resolve`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer import registry
from aumer.errors import UsageError
from aumer.types import FloatArray, ImageArray

#: A box of an image in px: left, top, right, bottom, the last two excluded.
Region = tuple[int, int, int, int]
#: Input of a flow: two images (H, W) uint8 of equal shape.
Pair = tuple[ImageArray, ImageArray]
#: A flow as a plain function.
FlowFunction = Callable[[ImageArray, ImageArray], FloatArray]

_CALL = "f(previous, following) of two (H, W) uint8 images"
_GIVES = "(H, W, 2) float32, the px by which each pixel moves, x to the right and y down"


class Flow(ABC):
    """(H, W) uint8, (H, W) uint8 -> (H, W, 2) float32 px.

    A flow of your own derives from this class, defines the call, and overrides the optional methods
    that it supports; `aumer.testing.FlowSuite` checks this contract.

    Attributes:
        batch: preferred number of pairs per call of `many`.

    Example:
        >>> class Still(Flow):
        ...     def __call__(self, previous, following):
        ...         return np.zeros((*previous.shape, 2), np.float32)
        >>> image = np.zeros((48, 64), np.uint8)
        >>> [flow.shape for flow in Still().many([(image, image)] * 2)]
        [(48, 64, 2), (48, 64, 2)]
    """

    batch: int = 1

    @abstractmethod
    def __call__(self, previous: ImageArray, following: ImageArray) -> FloatArray:
        """The flow of one pair."""

    def many(self, pairs: Sequence[Pair]) -> Sequence[FloatArray] | FloatArray:
        """The flow of each pair, all of equal size; the results do not depend on the number of
        pairs.
        """
        return [self(*pair) for pair in pairs]

    def within(self, region: Region) -> Flow:
        """A flow that is computed only in `region`, from whole images, and is 0 outside; or itself
        if regions are not supported.

        The result must not depend on earlier calls.
        """
        del region
        return self

    @property
    def device(self) -> str:
        """The torch device that it runs on."""
        return "cpu"


def resolve(flow: str | Flow | FlowFunction) -> Flow:
    """The flow of that name, or the given one, as a `Flow`.

    Its output is validated, since it may be a user's code.

    Raises:
        UsageError: unknown name, or it is not callable; when called: invalid output.
    """
    if isinstance(flow, _Checked):
        return flow
    part: Any = registry.resolve("flow", flow)
    name = flow if isinstance(flow, str) else registry.called(flow)
    if isinstance(part, type):
        try:
            part = part()
        except TypeError as error:  # wrong constructor, or abstract
            raise _unfit(name, f"{part!r} cannot be made without arguments: {error}") from error
    if not callable(part):
        raise _unfit(name, f"{part!r} cannot be called")
    return _Checked(name, part if isinstance(part, Flow) else _Given(part))


def _unfit(name: str, why: str) -> UsageError:
    return UsageError(
        f"the flow {name!r} cannot be used: {why}. Needed is a function {_CALL} that returns "
        f"{_GIVES}, or a class derived from aumer.flow.Flow"
    )


class _Given(Flow):
    """Adapter of a function, or of an object with members of `Flow` that does not derive from
    it.
    """

    def __init__(self, part: Any) -> None:
        self._part, self._offers = part, registry.offered(part, Flow)
        if "batch" in self._offers:
            self.batch = int(part.batch)

    def __call__(self, previous: ImageArray, following: ImageArray) -> FloatArray:
        found: FloatArray = self._part(previous, following)
        return found

    def many(self, pairs: Sequence[Pair]) -> Sequence[FloatArray] | FloatArray:
        if "many" not in self._offers:
            return super().many(pairs)
        found: Sequence[FloatArray] = self._part.many(pairs)
        return found

    def within(self, region: Region) -> Flow:
        return _Given(self._part.within(region)) if "within" in self._offers else self


class _Checked(Flow):
    """Wraps a flow and validates its output."""

    def __init__(self, name: str, flow: Flow) -> None:
        self._name, self._flow = name, flow
        self.batch = flow.batch

    def __call__(self, previous: ImageArray, following: ImageArray) -> FloatArray:
        return self._checked(self._flow(previous, following), previous)

    def many(self, pairs: Sequence[Pair]) -> Sequence[FloatArray]:
        found: Any = self._flow.many(pairs)
        if found is None or len(found) != len(pairs):
            described = "None" if found is None else f"{len(found)} flows"
            raise UsageError(
                f"the flow {self._name!r} must return one flow for each of {len(pairs)} pairs from "
                f"many(pairs), {_GIVES}; it returned {described}"
            )
        return [self._checked(one, pair[0]) for one, pair in zip(found, pairs, strict=True)]

    def within(self, region: Region) -> Flow:
        part = self._flow.within(region)
        return self if part is self._flow else _Checked(self._name, part)

    @property
    def device(self) -> str:
        return self._flow.device

    def _checked(self, found: Any, image: npt.NDArray[Any]) -> FloatArray:
        wanted = (*image.shape, 2)
        if isinstance(found, np.ndarray) and found.shape == wanted and found.dtype.kind in "fiu":
            return found
        described = repr(found)[:80]
        if isinstance(found, np.ndarray):
            described = f"an array of shape {found.shape}, {found.dtype}"
        raise UsageError(
            f"the flow {self._name!r} must return {_GIVES}, here of shape {wanted}; it returned "
            f"{described}"
        )
