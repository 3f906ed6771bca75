"""Weights made for the tests: the packages' own networks, set so that what they see is known.

Real weights cannot be had without a network, and random ones answer nonsense. These make
RetinaFace a finder of skin (red above blue) and FAN a finder of colored light, each through all
of its layers, so that color order, scaling, cropping and decoding show in the answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from face_alignment.models import FAN
from torch import nn

from aumer.face import retinaface

#: Points of FAN that answer to red, green and blue light. Each group is its own mirror image.
COLOR_POINTS = (range(17), range(17, 48), range(48, 68))


def _clear(network: nn.Module) -> None:
    """Convolutions give nothing, normalizations give what they get."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()  # weight 1, bias 0, mean 0, variance 1


def _pass(conv: Any, channels: int = 1) -> None:
    """The first channels go through `conv` unchanged."""
    middle = conv.weight.shape[-1] // 2
    for c in range(channels):
        conv.weight[c, c, middle, middle] = 1.0


@torch.no_grad()
def skin_finder() -> nn.Module:
    network: Any = retinaface._import_package()[0].RetinaFace()
    _clear(network)
    # Red minus blue, averaged over 3 x 3 px, in [-1, 1]; the network sees values to 255.
    network.conv0.weight[0, 0, 2:5, 2:5] = 1 / (9 * 255)
    network.conv0.weight[0, 2, 2:5, 2:5] = -1 / (9 * 255)
    for conv in (
        network.stage1["unit1"].sc,
        network.stage2["unit1"].sc,
        network.stage3["unit1"].conv1,
        network.ssh_m1_red_conv,
        network.ssh_c1_aggr,
        network.ssh_m1_det.conv1,
    ):
        _pass(conv)
    # Channels are background of anchors 1 and 2, then face. Only anchor 1 of the finest stride,
    # 32 px wide, ever sees a face: where the difference exceeds 0.2.
    for head in (network.face_rpn_stride32, network.face_rpn_stride16, network.face_rpn_stride8):
        head.cls_score.bias[2:] = -50.0
    network.face_rpn_stride8.cls_score.weight[2, 0] = 200.0
    network.face_rpn_stride8.cls_score.bias[2] = -40.0
    return network


@torch.no_grad()
def light_finder(stacks: int = 4) -> nn.Module:
    network: Any = FAN(stacks)
    _clear(network)
    for c in range(3):
        network.conv1.weight[c, c, 2:5, 2:5] = 1 / 9
    for block in (network.conv2, network.conv4):
        _pass(block.downsample[2], 3)
    last = stacks - 1
    _pass(getattr(network, f"conv_last{last}"), 3)
    for c, points in enumerate(COLOR_POINTS):
        getattr(network, f"l{last}").weight[list(points), c] = 1.0
    return network


def _saved(network: nn.Module, path: Path) -> Path:
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def retinaface_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _saved(skin_finder(), tmp_path_factory.mktemp("weights") / "retinaface.pth")


@pytest.fixture(scope="session")
def fan_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _saved(light_finder(), tmp_path_factory.mktemp("weights") / "2DFAN4-11f355bf06.pth.tar")


@pytest.fixture(scope="session")
def one_stack() -> nn.Module:
    """FAN with one of its four stacks: finds light as the whole does, in a quarter of the time."""
    return light_finder(1).eval()


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """(256, 256, 3) uint8 RGB: a real face, about 130 px wide, its middle near (130, 130)."""
    image = np.ascontiguousarray(skimage.data.astronaut()[:256, 96:352])
    image.flags.writeable = False  # a back end that writes into its input fails at once
    return image
