"""Train a spotting network with an AU graph and a graph layer of your own, and spot with it.

    python own_graph_and_layer.py out

The data are simulated, so that this runs anywhere; for your own videos give `aumer.train` their
folder in place of `videos` (docs/train.md). One epoch shows that it runs, not how good it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import aumer

#: Regions that move together in a smile and in a frown. Names: `aumer graph show casme-sq-facs`.
GRAPH = aumer.AUGraph.from_edges(
    {
        ("mouth_r", "mouth_l"): 1.0,
        ("mouth_r", "lip_upper"): 0.4,
        ("mouth_l", "lip_upper"): 0.4,
        ("brow_r_mid_inner", "brow_l_mid_inner"): 1.0,
    },
    name="smile-and-frown",
)


@aumer.register("graph-layer", "gated-mean")
class GatedMean(nn.Module):
    """Each region beside the weighted mean of its neighbors, and a gate that mixes the two.

    Shapes:
        x (N, R, in_channels), adjacency (R, R); returns (N, R, out_channels).
    """

    def __init__(self, in_channels: int, out_channels: int, edges: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.own = nn.Linear(in_channels, out_channels)
        self.near = nn.Linear(in_channels, out_channels)
        self.gate = nn.Linear(2 * in_channels, out_channels)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        share = adjacency.abs() / adjacency.abs().sum(1, keepdim=True).clamp(min=1e-6)
        mean = share @ x
        gate = torch.sigmoid(self.gate(torch.cat([x, mean], dim=-1)))
        return gate * self.own(x) + (1 - gate) * self.near(mean)


def main(folder: str) -> None:
    GRAPH.save(Path(folder).with_suffix(".graph.json"), overwrite=True)
    videos = list(aumer.simulate_features(3, minutes=0.3, level="easy", seed=1))
    weights = aumer.train(
        videos,
        out=folder,
        graph=GRAPH,
        changes={
            "train.net_overrides.layer": "gated-mean",
            "train.epochs": 1,
            "train.window_s": 10.0,
        },
        overwrite=True,
    )
    (new,) = aumer.simulate_features(1, minutes=0.3, level="easy", seed=2)
    result = aumer.spot(new.features, model=weights)
    print(result.summary())


if __name__ == "__main__":
    main(*sys.argv[1:])
