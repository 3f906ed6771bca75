"""A network as it leaves aumer: what `aumer.export` writes for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Portable:
    """A network with what it takes to call it.

    Attributes:
        net: in eval mode, on the CPU; called with the inputs by name, gives one tensor.
        inputs: an example of each, two samples of it, which no number of another sample moves.
        axes: of each input, the names of the axes that may have any length, by their place; the
            same name means the same length.
        output: what it gives is called.
        about: what a reader of the file must know, plain values: sizes, units, what the columns of
            the output are.
    """

    net: nn.Module
    inputs: Mapping[str, Tensor]
    axes: Mapping[str, Mapping[int, str]]
    output: str
    about: Mapping[str, Any] = field(default_factory=dict)


class Shares(nn.Module):
    """A network's logits, times a factor, as probabilities."""

    def __init__(self, net: nn.Module, factor: float = 1.0) -> None:
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, **inputs: Tensor) -> Tensor:
        return torch.softmax(self.factor * self.net(**inputs), -1)
