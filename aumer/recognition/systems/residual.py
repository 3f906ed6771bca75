"""Residual blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """`body` plus a shortcut, which is a 1 x 1 convolution if the shape changes; then ReLU.

    Shapes:
        x (N, channels, H, W); returns (N, to, H / stride, W / stride), as `body` does.
    """

    def __init__(self, body: nn.Module, channels: int, to: int, stride: int) -> None:
        super().__init__()
        self.body = body
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != to:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, to, 1, stride, bias=False), nn.BatchNorm2d(to)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))
