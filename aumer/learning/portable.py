"""A network in the form that `aumer.export` writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Portable:
    """A network with everything needed to call it.

    Attributes:
        net: in eval mode, on the CPU; called with inputs by name, returns one tensor.
        inputs: an example of each input with two independent samples.
        axes: for each input, names of the axes of variable length, by index; equal names mean equal
            lengths.
        output: name of the output.
        about: facts for readers of the file, as plain values: sizes, units, columns of the output.
    """

    net: nn.Module
    inputs: Mapping[str, Tensor]
    axes: Mapping[str, Mapping[int, str]]
    output: str
    about: Mapping[str, Any] = field(default_factory=dict)


class Shares(nn.Module):
    """A module that turns a network's logits, times a factor, into probabilities."""

    def __init__(self, net: nn.Module, factor: float = 1.0) -> None:
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, **inputs: Tensor) -> Tensor:
        return torch.softmax(self.factor * self.net(**inputs), -1)
