"""`ensemble`: several networks of one architecture, trained alike but by other random numbers.

Two trainings of one network differ in what they find by as much as two kinds of training data do.
Their mean logits differ less, from one set of trainings to the next and from a video to the same
video with a little more light (Lakshminarayanan et al., NeurIPS 2017, average probabilities; of
logits the mean stays one network for exporters and for live runs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from aumer.errors import UsageError
from aumer.graph import AUGraph
from aumer.spotting.net import SpottingNetwork
from aumer.spotting.parts import Architecture
from aumer.strict import require, within
from aumer.types import Features, FloatArray

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Ensemble(Architecture):
    """An `EnsembleNetwork`: how many members it has, and of what kind. `graph` and `rate` are the
    members'.

    Attributes:
        member: `Architecture.to_dict` of every member.
        members: their number.

    Raises:
        ConfigError: a value out of range; where a network is made, also another graph or rate than
            the members'.
    """

    member: Mapping[str, Any]
    members: int

    def __post_init__(self) -> None:
        super().__post_init__()
        within("members", self.members, 1, 100)

    @classmethod
    def of(cls, member: Architecture, members: int) -> Self:
        """An ensemble of networks of this architecture."""
        return cls(member.graph, member.rate, member.to_dict(), members)

    @cached_property
    def _member(self) -> Architecture:
        found = Architecture.from_dict(self.member)
        for name in ("graph", "rate"):
            theirs = getattr(found, name)
            require(
                getattr(self, name) == theirs, name, getattr(self, name), f"{theirs} as members"
            )
        return found

    def network(self, graph: AUGraph | None = None) -> EnsembleNetwork:
        return EnsembleNetwork(self, [self._member.network(graph) for _ in range(self.members)])

    def require_parts(self) -> None:
        self._member.require_parts()

    @property
    def extra_nodes(self) -> tuple[str, ...]:
        return self._member.extra_nodes

    def inputs(self, features: Features) -> FloatArray:
        return self._member.inputs(features)


class EnsembleNetwork(SpottingNetwork):
    """The mean logits of networks of one architecture, each with its own input statistics.

    Args:
        config: of as many members as there are.
        members: over one graph.

    Raises:
        UsageError: another number of members, or of other architectures or graphs.
    """

    config: Ensemble

    def __init__(self, config: Ensemble, members: Sequence[SpottingNetwork]) -> None:
        kinds = {str(net.config.to_dict()) for net in members}
        graphs = {net.graph.digest for net in members}
        if len(members) != config.members or len(kinds) != 1 or len(graphs) != 1:
            raise UsageError(
                f"an ensemble of {config.members} has as many networks, of one architecture and "
                f"graph; found {len(members)} networks, of {len(kinds)} architectures and "
                f"{len(graphs)} graphs"
            )
        super().__init__(config, members[0].graph)
        self.members = nn.ModuleList(members)

    @classmethod
    def of(cls, members: Sequence[SpottingNetwork]) -> Self:
        """An ensemble of these trained networks; the first one's card becomes its card.

        Raises:
            UsageError: no network, or networks of several architectures or graphs.
        """
        if not members:
            raise UsageError("an ensemble has at least one network; found none")
        made = cls(Ensemble.of(members[0].config, len(members)), members)
        made.card = dict(members[0].card)
        return made.eval()

    @property
    def half_width(self) -> int:
        return max(net.half_width for net in self._networks())

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """As `SpottingNetwork.forward`."""
        return torch.stack([net(x, valid) for net in self._networks()]).mean(0)

    def _networks(self) -> list[SpottingNetwork]:
        return [net for net in self.members if isinstance(net, SpottingNetwork)]
