"""Layers that several networks of this package share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aumer.errors import UsageError
from aumer.face.mean_face import MEAN_FACE
from aumer.graph.rois import LANDMARK_NAMES
from aumer.spotting.net import like

#: Instead of minus infinity, which gives NaN in rows without any valid input.
_NEVER = -1e4


def masked(x: Tensor, valid: Tensor) -> Tensor:
    """(B, T, ...) set to 0 where `valid` (B, T) is False."""
    return x * like(valid, x)


def shown(x: Tensor, valid: Tensor | None) -> Tensor:
    """`valid`, or all True if it is None, for x (B, T, ...)."""
    return torch.ones_like(x[:, :, 0, 0], dtype=torch.bool) if valid is None else valid


def shifted(x: Tensor, rows: int) -> Tensor:
    """(B, T, ...) whose row t is row t + `rows` of x; 0 (False) beyond both ends."""
    total = x.shape[1]
    flat = x.flatten(2) if x.ndim > 2 else x[..., None]
    before, after = max(0, -rows), max(0, rows)
    padded = nn.functional.pad(flat, (0, 0, before, after))
    return padded[:, after : after + total].reshape(x.shape)


def displaced(x: Tensor, first: int, last: int) -> Tensor:
    """Motion summed from `first` rows after each row (negative: before) to `last` rows after it.

    Divided by the square root of their number, so that noise has the same size for all spans. Rows
    outside the video count as 0.

    Shapes:
        x (B, T, R, 2); returns the same shape.
    """
    total = x.shape[1]
    # In double precision: the sum over an hour would otherwise change the last digits of every row.
    path = nn.functional.pad(x.double().cumsum(1), (0, 0, 0, 0, 1, 0))  # before row 0..T
    at = torch.arange(total, device=x.device)
    found = path[:, (at + last).clamp(0, total)] - path[:, (at + first).clamp(0, total)]
    scaled: Tensor = found / (last - first) ** 0.5
    return scaled.to(x.dtype)


def mean_around(x: Tensor, valid: Tensor, rows: int) -> Tensor:
    """Mean over the valid rows at a distance of at most `rows` from each row.

    Shapes:
        x (B, T, C), 0 where invalid; valid (B, T) bool; returns the shape of x.
    """
    total = x.shape[1]
    both = torch.cat([x.double(), valid.double()[..., None]], dim=-1)
    path = nn.functional.pad(both.cumsum(1), (0, 0, 1, 0))
    at = torch.arange(total, device=x.device)
    sums = path[:, (at + rows + 1).clamp(max=total)] - path[:, (at - rows).clamp(min=0)]
    return (sums[..., :-1] / sums[..., -1:].clamp(min=1)).to(x.dtype)


class TimeAttention(nn.Module):
    """Each row attends to rows at fixed offsets from it, with a learned bias for each; residual.

    Args:
        offsets: in rows; they include 0.

    Shapes:
        x (B, T, C), valid (B, T) bool; returns the shape of x, 0 where invalid.
    """

    def __init__(self, channels: int, heads: int, offsets: Sequence[int]) -> None:
        super().__init__()
        self.offsets = tuple(offsets)
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.asked = nn.Linear(channels, 3 * channels)
        self.bias = nn.Parameter(torch.zeros(heads, len(self.offsets)))
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        query, key, value = self.asked(self.norm(x)).chunk(3, dim=-1)
        keys = torch.stack([shifted(key, o) for o in self.offsets], 2)
        values = torch.stack([shifted(value, o) for o in self.offsets], 2)
        there = torch.stack([shifted(valid, o) for o in self.offsets], 2)  # (B, T, O)
        each = self.heads, x.shape[-1] // self.heads
        keys, values = (v.reshape(*v.shape[:-1], *each) for v in (keys, values))
        query = query.reshape(*query.shape[:-1], *each)
        fit = torch.einsum("bthc,btohc->btho", query, keys) / query.shape[-1] ** 0.5 + self.bias
        share = torch.where(there[:, :, None], fit, _NEVER).softmax(-1)
        seen = torch.einsum("btho,btohc->bthc", share, values).flatten(2)
        return masked(x + self.out(seen), valid)


class NodeAttention(nn.Module):
    """The nodes of a row attend to one another, or only within their region; residual.

    Shapes:
        x (..., R, C); among (R, R) bool or None for all; returns the shape of x.
    """

    among: Tensor | None

    def __init__(self, channels: int, heads: int, among: Tensor | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.asked = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.register_buffer("among", among, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        each = self.heads, x.shape[-1] // self.heads
        three = self.asked(self.norm(x)).reshape(*x.shape[:-1], 3, *each)
        query, key, value = three.unbind(-3)  # (..., R, heads, c)
        fit = torch.einsum("...rhc,...shc->...hrs", query, key) / query.shape[-1] ** 0.5
        if self.among is not None:
            fit = torch.where(self.among, fit, _NEVER)
        seen = torch.einsum("...hrs,...shc->...rhc", fit.softmax(-1), value).flatten(-2)
        added: Tensor = x + self.out(seen)
        return added


def regions(rois: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Which ROIs lie in the same region: brow and eye of each side, nose, mouth, jaw.

    An ROI with another name is a separate region.
    """
    found: dict[str, list[int]] = {}
    for k, name in enumerate(rois):
        words = name.split("_")
        part = {"lip": "mouth", "nostril": "nose", "chin": "jaw"}.get(words[0], words[0])
        if part in ("brow", "eye"):
            part = "_".join(words[:2])
        elif part not in ("nose", "mouth", "jaw"):
            part = name
        found.setdefault(part, []).append(k)
    return tuple(tuple(members) for members in found.values())


def places(rois: Sequence[str], network: str) -> Tensor:
    """Positions on the mean face of ROIs named after landmarks: (R, 2), outer-eye distances.

    Raises:
        UsageError: an ROI is not named after a landmark.
    """
    if unknown := [name for name in rois if name not in LANDMARK_NAMES]:
        raise UsageError(
            f"{network} must know where ROIs lie, by the names of landmarks "
            f"({', '.join(LANDMARK_NAMES[17:20])}, ...); found {', '.join(unknown)}. Name the ROIs "
            "so, or train another network"
        )
    rows = [LANDMARK_NAMES.index(name) for name in rois]
    return torch.from_numpy(MEAN_FACE[rows, :2].copy()).float()


def nearest(where: Tensor, count: int) -> Tensor:
    """(R, count) indices of each ROI's nearest ROIs, itself first; `where` (R, 2) are positions."""
    return torch.cdist(where, where).argsort(dim=1, stable=True)[:, :count]


def gradients(where: Tensor, count: int, ridge: float) -> Tensor:
    """(R, R, 2) matrices from displacements of ROIs to derivatives along x and y at each ROI.

    An affine field is fitted to each ROI and its `count` - 1 nearest ones by least squares; `ridge`
    (outer-eye distances squared) regularizes collinear points, such as a brow's.
    """
    found = torch.zeros(len(where), len(where), 2)
    for k, near in enumerate(nearest(where, count)[:, 1:].tolist()):
        away = where[near] - where[k]  # (n, 2)
        each = torch.linalg.solve(away.T @ away + ridge * torch.eye(2), away.T)  # (2, n)
        found[k, near] = each.T
        found[k, k] -= each.sum(1)
    return found
