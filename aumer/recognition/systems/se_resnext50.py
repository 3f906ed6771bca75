"""``se-resnext50``: SE-ResNeXt-50 (32 x 4d) on the apex frame (Hu et al. 2018; Xie et al. 2017).

As published for micro-expressions by Ren et al.: the network of section 2.3, table 1 (224 px, r 16,
C 32, width 4; 25,521,141 parameters with 5 classes); the apex, if not given, found by Quang et
al.'s difference of ten ROIs with a lag of 3 frames (3.2), with `apexes` "found" for every clip, as
in `aumer bench casme2-5class`; gray, flip and rotation up to 15 degrees (3.3); focal loss, Adam
1e-4, 100 epochs of batches of 2 (3.4). Its ablations are `SeResNextConfig`'s (3.6).

Choices where a section is not specific: 3.4: gamma 2, no class weights besides the focal loss, no
schedule, no weight decay, He's initial weights (no pretraining is mentioned). 3.3: every picture is
gray, which is listed as an augmentation, and fills the three channels of the stem, standardized
picture by picture. 3.2: faces are detected and aligned by aumer's own detector and landmarker ("an
open toolkit"). 2.3: the stride is the 3 x 3 convolution's. Table 1 prints three blocks in each of
the four stages, which would be 38 layers; the 50 of the network's name are 3, 4, 6 and 3, as here
(``layers = [3, 3, 3, 3]`` is the table's).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from aumer.recognition.learning import Learning
from aumer.recognition.sequences.augment import Augmentation
from aumer.recognition.sequences.clips import ClipSequence
from aumer.recognition.sequences.inputs import SequenceSettings
from aumer.recognition.sequences.windows import Window, WindowPlace, cut
from aumer.recognition.systems.residual import Residual
from aumer.recognition.systems.system import Inputs, SequenceSystem, standardized
from aumer.strict import require

FRAMES = ("apex", "middle", "rise")
#: Default augmentation of training clips.
AUGMENTATION = Augmentation(flip=0.5, rotation_deg=15)


@dataclass(frozen=True)
class SeResNextConfig:
    """Configuration; the default is the published network.

    Attributes:
        layers: bottlenecks in each of the four stages.
        groups, group_width: of the 3 x 3 convolutions in the first stage; the width doubles.
        reduction: reduction of the squeeze-and-excitation (2.3).
        excitation: use squeeze-and-excitation; without it this is the ResNeXt-50 of the ablation in
            3.6.1, and additionally with `groups` 1 and `group_width` 64 its ResNet-50.
        frame: "apex"; "rise", half-way from onset to apex, the non-apex frame of 3.6.2; or "middle"
            between onset and offset, which is not published.
        augmentation: of training clips.
    """

    layers: tuple[int, ...] = (3, 4, 6, 3)
    groups: int = 32
    group_width: int = 4
    reduction: int = 16
    excitation: bool = True
    frame: str = "apex"
    augmentation: Augmentation = AUGMENTATION

    def __post_init__(self) -> None:
        require(self.frame in FRAMES, "frame", self.frame, f"one of {', '.join(FRAMES)}")
        require(
            len(self.layers) == 4 and min(self.layers) >= 1,
            "layers",
            list(self.layers),
            "four numbers >= 1",
        )
        for name in ("groups", "group_width", "reduction"):
            require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")


class SqueezeExcitation(nn.Module):
    """Channels scaled by gates in (0, 1) computed from their means.

    Shapes:
        x (N, C, H, W); returns the same shape.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.gate = nn.Sequential(
            nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = x * self.gate(x.mean((2, 3)))[:, :, None, None]
        return gated


class Bottleneck(Residual):
    """1 x 1, grouped 3 x 3, 1 x 1, each with batch norm; excitation after the third; residual.

    Args:
        reduction: of the excitation; `None` for no excitation.

    Shapes:
        x (N, C, H, W); returns (N, to, H / stride, W / stride).
    """

    def __init__(
        self, channels: int, inner: int, to: int, stride: int, groups: int, reduction: int | None
    ) -> None:
        excited = [] if reduction is None else [SqueezeExcitation(to, reduction)]
        body = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=groups, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, to, 1, bias=False),
            nn.BatchNorm2d(to),
            *excited,
        )
        super().__init__(body, channels, to, stride)


class SeResNext(nn.Module):
    """The network: stem 7 x 7, four stages, mean pooling, one linear layer.

    Shapes:
        frame (N, 3, H, W); returns (N, classes) logits.
    """

    def __init__(self, config: SeResNextConfig, classes: int) -> None:
        super().__init__()
        width = config.groups * config.group_width
        # ResNeXt's bottlenecks are twice as wide as ResNet's; stem and outputs of stages are equal.
        expansion = 2 if config.groups > 1 else 4
        stem = max(8, expansion * width // 4)
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 7, 2, 3, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )
        reduction = config.reduction if config.excitation else None
        stages, channels = [], stem
        for k, count in enumerate(config.layers):
            inner, to = width * 2**k, expansion * width * 2**k
            blocks = []
            for block in range(count):
                stride = 2 if k and not block else 1
                blocks.append(Bottleneck(channels, inner, to, stride, config.groups, reduction))
                channels = to
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.head = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def feature_maps(self, frame: Tensor) -> list[Tensor]:
        """The outputs of the four stages."""
        maps, x = [], self.stem(frame)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def embed(self, frame: Tensor) -> Tensor:
        """(N, D): the input of the last layer."""
        return self.feature_maps(frame)[-1].mean((2, 3))

    def forward(self, frame: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(frame))
        return logits


class SeResNext50(SequenceSystem[SeResNextConfig]):
    """The recognizer; see the module."""

    name: ClassVar[str] = "se-resnext50"
    config_type = SeResNextConfig
    default_learning = Learning(
        loss="focal",
        class_weights=False,
        optimizer="adam",
        lr=1e-4,
        weight_decay=0.0,
        schedule="constant",
        epochs=100,
        batch=2,
    )
    default_inputs = SequenceSettings(size=224, flow="none", margin=0)
    apex = "roi-difference:3"

    def build(self, classes: int) -> nn.Module:
        return SeResNext(self.config, classes)

    def windows_of(self, clips: Sequence[ClipSequence]) -> list[WindowPlace]:
        return [WindowPlace(k, self._frame(clip)) for k, clip in enumerate(clips)]

    def _frame(self, clip: ClipSequence) -> int:
        if self.config.frame == "apex":
            return clip.apex
        end = clip.offset if self.config.frame == "middle" else clip.apex
        return (clip.onset + end) // 2

    def window(self, clip: ClipSequence, start: int) -> Window:
        return cut(clip, start, 1)

    @property
    def augmentation(self) -> Augmentation:
        return self.config.augmentation

    def arrays(self, window: Window) -> Inputs:
        frame = standardized(window.gray[0])
        return {"frame": np.repeat(frame[None], 3, axis=0)}
