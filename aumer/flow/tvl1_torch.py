"""TV-L1 optical flow of many pairs at once in torch: the arithmetic of `aumer.flow.tvl1`, batched.

Equations, constants and choices are those of `aumer.flow.tvl1`, with equal results up to rounding,
on any device. Each pair of a batch stops where `aumer.flow.tvl1` would stop: converged pairs are
frozen while the others continue, so no pair's flow depends on the batch. Whether all have stopped
is checked only every few iterations, since the check synchronizes a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from aumer.flow import Flow, Region
from aumer.flow.tvl1 import (
    EPSILON,
    INNER_ITERATIONS,
    LAMBDA,
    MIN_SIDE,
    OUTER_ITERATIONS,
    SCALE_STEP,
    SCALES,
    TAU,
    THETA,
    WARPS,
    checked_region,
)
from aumer.learning.machine import device_of
from aumer.types import FloatArray

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]
#: An iteration for all pairs: u, p, data -> u, p, squared change (N,).
Step = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]

_GRAINS = 32  # positions are rounded to 1/32 px before interpolation
_FLAT = 1.1920929e-07  # squared gradient below which a pixel says nothing
_ASK_EVERY = 10  # iterations between two checks for convergence


def tvl1_stream(
    pairs: Iterable[Pair],
    *,
    device: str | torch.device = "cpu",
    batch: int = 64,
    compiled: bool = False,
) -> Iterator[FloatArray]:
    """TV-L1 flow of each pair, in order; at most `batch` pairs are in memory.

    Args:
        pairs: previous and following image (H, W) in [0, 255], all of one shape.
        device: torch device.
        batch: pairs computed together; affects results only by rounding.
        compiled: fuse an iteration with `torch.compile` (worth its start-up time on a GPU).

    Yields:
        (H, W, 2) float32 px, from the pair's first image to its second.
    """
    step = torch.compile(_step) if compiled else _step
    held: list[Pair] = []
    for pair in pairs:
        held.append(pair)
        if len(held) == batch:
            yield from _solve(held, device, step)
            held = []
    if held:
        yield from _solve(held, device, step)


class TorchTvl1(Flow):
    """The flow "tvl1-torch": pairs in batches, on a CUDA device if available.

    Attributes:
        batch: preferred number of pairs.
        region: the part of the images in which flow is sought; `None` is all of it.
    """

    batch = 64

    def __init__(
        self, device: str | torch.device | None = None, *, region: Region | None = None
    ) -> None:
        self._device = device
        self.region = region

    def __call__(
        self, previous: npt.NDArray[np.uint8], following: npt.NDArray[np.uint8]
    ) -> FloatArray:
        """See `aumer.flow.Flow`: (H, W, 2) float32 px, from `previous` to `following`.

        Raises:
            ValueError: the images are not two of one shape (H, W), or the region leaves them.
        """
        if previous.shape != following.shape or previous.ndim != 2:
            raise ValueError(
                "a flow needs two images of one shape (H, W), found "
                f"{previous.shape} and {following.shape}"
            )
        field: FloatArray = self.many([(previous, following)])[0]
        return field

    def many(self, pairs: Sequence[Pair]) -> FloatArray:
        """(N, H, W, 2) flows of N pairs of images of one shape."""
        return _solve(list(pairs), self.device, _step, self.region)

    @property
    def device(self) -> str:
        """See `Flow.device`."""
        # Chosen when it is asked for, since checking CUDA at import would start the driver.
        return str(device_of("auto") if self._device is None else self._device)

    def within(self, region: Region) -> TorchTvl1:
        """A flow computed only in `region`; see `aumer.flow.tvl1.Tvl1.within`."""
        return TorchTvl1(self._device, region=region)


def tvl1_batch(
    previous: Tensor,
    following: Tensor,
    *,
    step: Step | None = None,
    region: Region | None = None,
) -> Tensor:
    """TV-L1 flow of N pairs: two (N, H, W) in [0, 255], on one device -> (N, H, W, 2) float32.

    Args:
        step: one iteration; the default is not fused.
        region: the part of the images in which flow is sought; it is 0 outside.

    Raises:
        ValueError: the stacks differ in shape, or the region leaves the images.
    """
    if previous.shape != following.shape or previous.ndim != 3:
        raise ValueError(
            "flows need two stacks of images of one shape (N, H, W), found "
            f"{tuple(previous.shape)} and {tuple(following.shape)}"
        )
    n, h, w = previous.shape
    found = torch.zeros((n, h, w, 2), device=previous.device)
    left, top, right, bottom = checked_region(region, h, w)
    if not previous.numel():
        return found
    with torch.inference_mode():
        levels = [torch.stack([previous.float(), following.float()], 1)]
        for _ in range(1, SCALES):
            height, width = (round(side * SCALE_STEP) for side in levels[-1].shape[2:])
            if min(height, width) < MIN_SIDE:
                break
            levels.append(_resized(levels[-1], height, width, 1 / SCALE_STEP, 1 / SCALE_STEP))
        u, coarser, origin = None, levels[-1], (0, 0)
        for level in reversed(levels):
            shape = level.shape[2:]
            y0, y1 = _box_side(top, bottom, h, shape[0])
            x0, x1 = _box_side(left, right, w, shape[1])
            if u is None:
                u = level.new_zeros((n, 2, y1 - y0, x1 - x0))
            else:
                down, across = coarser.shape[2] / shape[0], coarser.shape[3] / shape[1]
                first = y0 * down - origin[0], x0 * across - origin[1]
                u = _resized(u, y1 - y0, x1 - x0, down, across, *first) / SCALE_STEP
            u = _solve_level(level[:, 0], level[:, 1], u, step or _step, y0, x0)
            coarser, origin = level, (y0, x0)
        assert u is not None
        found[:, top:bottom, left:right] = u.permute(0, 2, 3, 1)
    return found


def _box_side(begin: int, end: int, size: int, coarse: int) -> tuple[int, int]:
    """The pixels of a level `coarse` long that cover begin..end of an image `size` long."""
    return begin * coarse // size, -(-end * coarse // size)


def _solve(
    pairs: list[Pair], device: str | torch.device, step: Step, region: Region | None = None
) -> FloatArray:
    first, second = (
        torch.from_numpy(np.stack([pair[k] for pair in pairs])).to(device) for k in range(2)
    )
    found = tvl1_batch(first, second, step=step, region=region)
    return np.asarray(found.cpu().numpy(), np.float32)


def _resized(
    image: Tensor,
    height: int,
    width: int,
    down: float,
    across: float,
    above: float = 0.0,
    beside: float = 0.0,
) -> Tensor:
    """Bilinear samples at (i + .5) step - .5 + first, held at the edges; image (N, C, h, w)."""
    for axis, count, step, start in ((2, height, down, above), (3, width, across, beside)):
        size = image.shape[axis]
        at = (torch.arange(count, dtype=torch.float64) + 0.5) * step - 0.5 + start
        at = at.clamp(0, size - 1)
        low = at.floor().long()
        share = (at - low).float().to(image.device)
        share = share[:, None] if axis == 2 else share
        low = low.to(image.device)
        first = image.index_select(axis, low)
        second = image.index_select(axis, (low + 1).clamp(max=size - 1))
        image = first + share * (second - first)
    return image


def _solve_level(
    previous: Tensor, following: Tensor, u: Tensor, step: Step, top: int, left: int
) -> Tensor:
    """The flow (N, 2, h, w) of one level's box, which begins at (top, left), from its start `u`."""
    n, _, h, w = u.shape
    still = previous[:, top : top + h, left : left + w]
    enough = EPSILON * EPSILON * h * w
    moving = _with_gradient(following)
    p = u.new_zeros((n, 4, h, w))  # p11, p12, p21, p22
    for _ in range(WARPS):
        data = _linearize(moving, still, u, top, left)
        active = torch.ones(n, dtype=torch.bool, device=u.device)
        for _ in range(OUTER_ITERATIONS):
            u = torch.where(active[:, None, None, None], _median5(u), u)
            for iteration in range(INNER_ITERATIONS):
                new_u, new_p, change = step(u, p, data)
                going = active[:, None, None, None]
                u, p = torch.where(going, new_u, u), torch.where(going, new_p, p)
                active = active & (change > enough)
                if (iteration + 1) % _ASK_EVERY == 0 and not active.any():
                    break
            if not active.any():
                break
    return u


def _step(u: Tensor, p: Tensor, data: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Steps V, U and P once: u (N, 2, h, w), p (N, 4, h, w), data of `_linearize`."""
    gradient, rho, inverse = data[:, :2], data[:, 2:3], data[:, 3:]
    residual = rho + (gradient * u).sum(1, keepdim=True)
    d = (-residual * inverse).clamp(-LAMBDA * THETA, LAMBDA * THETA)
    across, down = p[:, 0::2], p[:, 1::2]
    divergence = (
        across
        - functional.pad(across[..., :-1], (1, 0))
        + down
        - functional.pad(down[..., :-1, :], (0, 0, 1, 0))
    )
    change = d * gradient + THETA * divergence
    u = u + change
    gx = functional.pad(u[..., 1:] - u[..., :-1], (0, 1))
    gy = functional.pad(u[..., 1:, :] - u[..., :-1, :], (0, 0, 0, 1))
    slope = (TAU / THETA) * torch.stack([gx, gy], 2).flatten(1, 2)
    length = (slope[:, 0::2].square() + slope[:, 1::2].square()).sqrt()
    p = (p + slope) / (1 + length.repeat_interleave(2, dim=1))
    return u, p, change.square().sum((1, 2, 3))


def _with_gradient(image: Tensor) -> Tensor:
    """The image and its central differences in x and y: (N, 3, h, w)."""
    wide = functional.pad(image[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    gx = 0.5 * (wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2])
    gy = 0.5 * (wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1])
    return torch.stack([image, gx, gy], 1)


def _linearize(moving: Tensor, still: Tensor, u: Tensor, top: int, left: int) -> Tensor:
    """gx, gy, the part of rho that u has no share in, and 1 / |g|^2: (N, 4, h, w).

    `moving` is the whole image, `still` and `u` its box that begins at (top, left).
    """
    height, width = moving.shape[2:]
    h, w = u.shape[2:]
    rows = torch.arange(top, top + h, device=u.device, dtype=torch.float32)[:, None]
    columns = torch.arange(left, left + w, device=u.device, dtype=torch.float32)
    x = ((columns + u[:, 0]) * _GRAINS).round() / _GRAINS
    y = ((rows + u[:, 1]) * _GRAINS).round() / _GRAINS
    # grid_sample's cubic kernel has slope -.75 at distance 1, as OpenCV's.
    grid = torch.stack([x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1], -1)
    warped = functional.grid_sample(
        moving, grid, mode="bicubic", padding_mode="zeros", align_corners=True
    )
    gradient = warped[:, 1:]
    square = gradient.square().sum(1)
    rho = warped[:, 0] - (gradient * u).sum(1) - still
    inverse = torch.where(square > _FLAT, 1 / square.clamp(min=_FLAT), 0.0)
    return torch.cat([gradient, rho[:, None], inverse[:, None]], 1)


def _median5(u: Tensor) -> Tensor:
    """Median of 5 x 5 pixels, edges held."""
    wide = functional.pad(u, (2, 2, 2, 2), mode="replicate")
    return wide.unfold(2, 5, 1).unfold(3, 5, 1).flatten(4).median(-1).values


#: The flow "tvl1-torch" in the registry.
tvl1_torch = TorchTvl1()
