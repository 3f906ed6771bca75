"""Reader of AUW-GCN's published checkpoints."""

from __future__ import annotations

from dataclasses import replace

import torch

from aumer import weights
from aumer.arguments import as_path
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.graph import AUGraph
from aumer.spotting.auwgcn.features import PUBLISHED_DEVIATION, PUBLISHED_MEAN
from aumer.spotting.net_config import NetConfig
from aumer.spotting.spotnet import SpotNet

#: Names of our tensors in AUW-GCN's checkpoints.
_NAMES = {
    "graph_embedding.0.gc1.": "graph_layer.",
    "graph_embedding.0.bn1.": "graph_norm.",
    "_sequential.0.": "temporal.0.conv.",
    "_sequential.1.": "temporal.0.norm.",
    "_sequential.3.": "temporal.1.conv.",
    "_sequential.4.": "temporal.1.norm.",
    "_sequential.6.": "temporal.2.conv.",
    "_sequential.7.": "temporal.2.norm.",
    "_classification.": "head.",
}


def load_checkpoint(path: StrPath) -> SpotNet:
    """The network of an AUW-GCN checkpoint (``checkpoint_epoch_047.pth.tar``), in eval mode.

    Its inputs are features as in AUW-GCN's ``feature_segment`` files: the published mean and
    deviation are set. The unit of those files is unknown, so it can score them but not aumer's
    features.

    Raises:
        WeightsError: the file is missing, not loadable as plain tensors, or of another network.
    """
    path = as_path("path", path)
    what = (
        "a checkpoint of AUW-GCN, a file of torch.save with a table state_dict that holds "
        "graph_embedding.0.gc1.adj,"
    )
    with foreign(path, what, WeightsError):
        found = torch.load(path, map_location="cpu", weights_only=True)
        state = dict(found["state_dict"])
        prior = state.pop("graph_embedding.0.gc1.adj").double().numpy()
    ours = {}
    for name, value in state.items():
        prefix = next((p for p in _NAMES if name.startswith(p)), "")
        ours[name.replace(prefix, _NAMES.get(prefix, ""), 1)] = value
    try:
        graph = AUGraph.from_matrix(prior, name=path.name)
    except UsageError as error:
        raise WeightsError(f"{path}: its graph_embedding.0.gc1.adj: {error}") from error
    # The file holds the normalized matrix that the layer uses.
    net = SpotNet(replace(NetConfig.preset("published"), normalization="none"), graph)
    net.set_input_statistics(PUBLISHED_MEAN, PUBLISHED_DEVIATION)
    weights.require_finite(ours, str(path), "Copy or download it again")
    ours |= {"input_mean": net.input_mean, "input_std": net.input_std}
    weights.fill(net, ours, f"{path} holds other weights than AUW-GCN has")
    return net.eval()
