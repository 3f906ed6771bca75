"""Tracking of windows in many pictures at once: `aumer.flow.lucas_kanade` in torch.

Equations, constants and choices are those of `aumer.flow.lucas_kanade` (all pixels of a window have
the same weight). The results are equal up to rounding, on any device with float64. The iteration of
each window stops separately, at the same step as in `aumer.flow.lucas_kanade`, so that no window
depends on others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from aumer.flow.lucas_kanade import _BEYOND, _LEAST_TEXTURE, _LONGEST, _SHORT, _STEPS


class Pyramids:
    """Padded image pyramids of gray pictures, as `aumer.flow.lucas_kanade.Pyramid`.

    Args:
        images: (F, H, W), uint8 or float32.
        levels: number of times they are halved.
        rim: px of padding beyond each edge, on every level.

    Attributes:
        images: (F, h + 2 rim, w + 2 rim) float32 for each level.
        rim: px, slightly more than requested.
    """

    def __init__(self, images: Tensor, levels: int, rim: int) -> None:
        self.rim = rim + _BEYOND
        self.images: list[Tensor] = []
        level = images.float()
        for _ in range(levels + 1):
            self.images.append(_reflected(level, self.rim))
            level = _halved(level)


class Level(NamedTuple):
    """The data of N windows in each of F pictures on one pyramid level, for `find`.

    Shapes: gray (F, N, S, S); steepest (F, N, 2, S, S), the gradients in x and y without effects of
    light; normal (F, N, 3), their sums of products xx, xy, yy. All float32.
    """

    gray: Tensor
    steepest: Tensor
    normal: Tensor


@dataclass(frozen=True, eq=False)
class WindowStack:
    """Windows around N points in each of F pictures.

    Attributes:
        points: (F, N, 2) float64 px, their positions; x to the right and y down, with integers at
            pixel centers.
        levels: the windows on each pyramid level, from full size on.
    """

    points: Tensor
    levels: tuple[Level, ...]

    @classmethod
    def cut(cls, pictures: Pyramids, points: Tensor, side: int) -> WindowStack:
        """Windows of `side` px, odd, the same on every level, around points (F, N, 2) float64
        px.
        """
        levels = (
            _cut(image, points / 2**k + pictures.rim, side)
            for k, image in enumerate(pictures.images)
        )
        return cls(points, tuple(levels))

    def followed_by(self, other: WindowStack) -> WindowStack:
        """The windows of these pictures, then those of `other`."""
        levels = (
            Level(*(torch.cat(pair) for pair in zip(mine, theirs, strict=True)))
            for mine, theirs in zip(self.levels, other.levels, strict=True)
        )
        return WindowStack(torch.cat([self.points, other.points]), tuple(levels))

    def last(self, count: int) -> WindowStack:
        """The windows of the last `count` >= 1 pictures."""
        levels = tuple(Level(*(kept[-count:] for kept in level)) for level in self.levels)
        return WindowStack(self.points[-count:], levels)

    def contrast(self) -> Tensor:
        """(F, N) the standard deviation of each window, in gray levels."""
        return self.levels[0].gray.std(dim=(2, 3), correction=0)

    def find(
        self, of: Tensor, pictures: Pyramids, which: Tensor, guess: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Find the windows in other pictures of the same size.

        Args:
            of: (P,) int64, for each pair, the picture of the windows.
            pictures: the pictures to search.
            which: (P,) int64, for each pair, the picture to search.
            guess: (P, N, 2) float64 px, initial positions of the windows.

        Returns:
            (P, N, 2) float64 px, and (P, N) float32 the mean absolute difference of each window, in
            gray levels: infinite if it has no texture or its center left the picture; the point is
            then the window's original position.
        """
        pairs, count = guess.shape[:2]
        window = (of[:, None] * count + torch.arange(count, device=of.device)).flatten()
        picture = which.repeat_interleave(count)
        moved = guess.flatten(0, 1)
        misfit = moved.new_empty(0, dtype=torch.float32)
        for k in reversed(range(len(self.levels))):
            level = Level(*(kept.flatten(0, 1) for kept in self.levels[k]))
            at = moved / 2**k + pictures.rim
            at, misfit = _found(level, window, pictures.images[k], picture, at, pictures.rim)
            moved = (at - pictures.rim) * 2**k
        lost = ~misfit.isfinite()
        moved = torch.where(lost[:, None], self.points.flatten(0, 1)[window], moved)
        return moved.view(pairs, count, 2), misfit.view(pairs, count)


def _reflected(images: Tensor, rim: int) -> Tensor:
    """Images (F, H, W) padded by reflection about their edge pixels."""
    for axis in (1, 2):
        inside = np.pad(np.arange(images.shape[axis]), rim, mode="reflect")
        images = images.index_select(axis, torch.from_numpy(inside).to(images.device))
    return images


def _halved(images: Tensor) -> Tensor:
    """(F, H, W) -> (F, (H + 1) // 2, (W + 1) // 2): as OpenCV's pyrDown."""
    # Sums instead of torch's convolution, which a GPU may compute with a 10-bit mantissa.
    for axis in (1, 2):
        size = images.shape[axis]
        near = np.pad(np.arange(size), 2, mode="reflect") if size > 1 else np.zeros(5, np.int64)
        rows = [
            images.index_select(axis, torch.from_numpy(near[k : k + size : 2]).to(images.device))
            for k in range(5)
        ]
        images = (rows[0] + rows[4] + 4 * (rows[1] + rows[3]) + 6 * rows[2]) / 16
    return images


def _read(images: Tensor, which: Tensor, at: Tensor, side: int) -> Tensor:
    """(M, side, side): bilinear samples around (M, 2) px of the images (F, H, W) `which` (M,)."""
    corner = at.floor()
    x, y = (at - corner).float()[..., None, None].unbind(1)
    left, top = (corner.long() - side // 2).unbind(1)
    around = images.unfold(1, side + 1, 1).unfold(2, side + 1, 1)[which, top, left]
    rows = around[:, :-1].lerp(around[:, 1:], y)
    return rows[..., :-1].lerp(rows[..., 1:], x)


def _inside(image: Tensor, at: Tensor, half: int) -> Tensor:
    """Positions clipped so that windows are inside the padded pictures: (M, 2)."""
    height, width = image.shape[1:]
    low = half + 1.0
    x, y = at.unbind(1)
    return torch.stack([x.clamp(low, width - low - 2), y.clamp(low, height - low - 2)], 1)


def gradients(wide: Tensor) -> Tensor:
    """(M, 2, S, S): in x and y, of windows (M, S + 2, S + 2) with one more pixel on every side."""
    # Scharr's filter.
    beside = wide[:, :, 2:] - wide[:, :, :-2]
    above = wide[:, 2:] - wide[:, :-2]
    gx = 3 / 32 * (beside[:, :-2] + beside[:, 2:]) + 10 / 32 * beside[:, 1:-1]
    gy = 3 / 32 * (above[..., :-2] + above[..., 2:]) + 10 / 32 * above[..., 1:-1]
    return torch.stack([gx, gy], 1)


def _cut(image: Tensor, points: Tensor, side: int) -> Level:
    """The windows around points (F, N, 2) px of one level (F, H, W)."""
    pictures, count = points.shape[:2]
    which = torch.arange(pictures, device=points.device).repeat_interleave(count)
    at = _inside(image, points.flatten(0, 1), side // 2 + 1)
    wide = _read(image, which, at, side + 2)
    gray, gradient = wide[:, 1:-1, 1:-1].contiguous(), gradients(wide)
    # Removes the effect of an offset of light, and then that of a gain.
    value = gray - gray.mean((1, 2), keepdim=True)
    gradient = gradient - gradient.mean((2, 3), keepdim=True)
    square = value.square().sum((1, 2)).clamp(min=1e-6)[:, None]
    gain = (value[:, None] * gradient).sum((2, 3)) / square
    steepest = gradient - gain[..., None, None] * value[:, None]
    x, y = steepest.unbind(1)
    normal = torch.stack([(a * b).sum((1, 2)) for a, b in ((x, x), (x, y), (y, y))], 1)
    made = (part.view(pictures, count, *part.shape[1:]) for part in (gray, steepest, normal))
    return Level(*made)


def _found(
    level: Level, window: Tensor, image: Tensor, picture: Tensor, at: Tensor, rim: int
) -> tuple[Tensor, Tensor]:
    """One level: positions of windows in padded pictures, and their differences.

    Shapes: the level's windows (K, ...), flattened; window, picture (M,) int64; image (F, H, W); at
    (M, 2) float64 px; returns (M, 2) and (M,).
    """
    side = level.gray.shape[-1]
    xx, xy, yy = level.normal[window].unbind(1)
    least = (xx + yy - ((xx - yy).square() + 4 * xy * xy).sqrt()) / 2
    textured = least > _LEAST_TEXTURE * side * side
    inverse = torch.stack([yy, -xy, -xy, xx], 1).view(-1, 2, 2)
    inverse = inverse / (xx * yy - xy * xy)[:, None, None]
    at = at.clone()
    going = textured.nonzero()[:, 0]
    steepest = level.steepest[window[going]]
    for _ in range(_STEPS):
        if not len(going):
            break
        begin = _inside(image, at[going], side // 2)
        seen = _read(image, picture[going], begin, side)
        # The window itself is orthogonal to the factor here.
        slope = (seen[:, None] * steepest).sum((2, 3))
        step = -(inverse[going] * slope[:, None]).sum(2)
        length = torch.hypot(*step.unbind(1))
        longest = _LONGEST * (side // 2)
        held = longest / length.clamp(min=longest)
        at[going] = begin + (step * held[:, None]).double()
        on = (length >= _SHORT).nonzero()[:, 0]
        if len(on) < len(going):
            going, steepest = going[on], steepest[on]
    seen = _read(image, picture, _inside(image, at, side // 2), side)
    misfit = (seen - level.gray[window]).abs().mean((1, 2))
    size = at.new_tensor([image.shape[2], image.shape[1]]) - 2 * rim
    # A pixel extends half a pixel beyond its center.
    there = ((at - rim >= -0.5) & (at - rim <= size - 0.5)).all(1)
    return at, torch.where(textured & there, misfit, torch.inf)
