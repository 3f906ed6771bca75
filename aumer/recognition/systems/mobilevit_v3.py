"""``mobilevit-v3``: MobileViTv3 in sizes XXS, XS and S (Wadekar, Chaurasia 2022, arXiv 2209.15159).

Widths and depths are the paper's. What is left open is chosen so that the parameters come to its
1.2, 2.5 and 5.8 M with 1000 classes (1,249,448, 2,490,360 and 5,763,912): attention with four heads
and bias, a feed-forward layer twice as wide as the model, layer norm before each and after the last
(as in MobileViTv1), SiLU everywhere, no dropout beside .1 before the classifier.

A network for single pictures; which picture of a clip it reads is ours to choose: `view` "motion"
is the flow from onset to apex as u, v and optical strain, "apex" the gray apex frame in three
channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from aumer.recognition.flow_map import with_strain
from aumer.recognition.learning import Learning
from aumer.recognition.sequences.augment import Augmentation
from aumer.recognition.sequences.clips import ClipSequence
from aumer.recognition.sequences.inputs import SequenceSettings, displacement
from aumer.recognition.sequences.windows import Window, WindowPlace
from aumer.recognition.systems.system import Inputs, SequenceSystem, standardized
from aumer.strict import require

#: Expansion of the inverted residuals; channels after layers 1 to 5; widths d of the transformers.
SIZES: dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]] = {
    "xxs": (2, (16, 24, 64, 80, 128), (64, 80, 96)),
    "xs": (4, (32, 48, 96, 160, 160), (96, 120, 144)),
    "s": (4, (32, 64, 128, 256, 320), (144, 192, 240)),
}
_STEM, _HEADS, _DEPTHS, _PATCH, _LAST = 16, 4, (2, 4, 3), 2, 960


#: Of training clips, by default.
AUGMENTATION = Augmentation(flip=0.5, rotation_deg=10, scale=0.1)


@dataclass(frozen=True)
class MobileVitConfig:
    """Which of the published sizes, and what it sees.

    Attributes:
        size: "xxs", "xs" or "s".
        view: what fills the three channels; see the module.
        dropout: before the classifier.
        augmentation: of training clips.
    """

    size: Literal["xxs", "xs", "s"] = "xxs"
    view: Literal["motion", "apex"] = "motion"
    dropout: float = 0.1
    augmentation: Augmentation = AUGMENTATION

    def __post_init__(self) -> None:
        require(self.size in SIZES, "size", self.size, f"one of {', '.join(SIZES)}")
        require(self.view in ("motion", "apex"), "view", self.view, '"motion" or "apex"')
        require(0 <= self.dropout < 1, "dropout", self.dropout, "in [0, 1)")


def _conv(
    channels: int, to: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(channels, to, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(to),
    ]
    return nn.Sequential(*layers, *([nn.SiLU()] if act else []))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, depth-wise 3 x 3, narrow; residual where shapes allow.

    Shapes:
        x (N, C, H, W); returns (N, to, H / stride, W / stride).
    """

    def __init__(self, channels: int, to: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = channels * expand
        self.residual = stride == 1 and channels == to
        self.body = nn.Sequential(
            _conv(channels, inner),
            _conv(inner, inner, 3, stride, groups=inner),
            _conv(inner, to, act=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.residual else y


class MobileVitBlock(nn.Module):
    """Local part (depth-wise 3 x 3, 1 x 1 to d), transformers over pixels of equal place within
    their patches, and fusion: 1 x 1 over [local, global] with the block's input added.

    Shapes:
        x (N, C, H, W) of any size; returns the like. Sides that 2 does not divide are resized for
        the transformers and back.
    """

    def __init__(self, channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.local = nn.Sequential(
            _conv(channels, channels, 3, groups=channels),
            nn.Conv2d(channels, width, 1, bias=False),
        )
        self.transformers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                _HEADS,
                2 * width,
                dropout=0.0,
                activation=functional.silu,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.widen = _conv(width, channels)
        self.fuse = _conv(width + channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        local: Tensor = self.local(x)
        side = local.shape[2:]
        even = [s + s % _PATCH for s in side]
        tokens = local
        if even != list(side):
            tokens = functional.interpolate(local, even, mode="bilinear", align_corners=False)
        n, d, height, width = tokens.shape
        rows, columns = height // _PATCH, width // _PATCH
        # (N, d, rows, 2, columns, 2) -> pixels of one place in their patches attend to each other.
        y = tokens.reshape(n, d, rows, _PATCH, columns, _PATCH).permute(0, 3, 5, 2, 4, 1)
        y = y.reshape(n * _PATCH**2, rows * columns, d)
        for layer in self.transformers:
            y = layer(y)
        y = self.norm(y).reshape(n, _PATCH, _PATCH, rows, columns, d).permute(0, 5, 3, 1, 4, 2)
        y = self.widen(y.reshape(n, d, height, width))
        if even != list(side):
            y = functional.interpolate(y, side, mode="bilinear", align_corners=False)
        fused: Tensor = self.fuse(torch.cat([local, y], 1))
        return x + fused


class MobileVit(nn.Module):
    """The network; its fifth layer's map is 1/32 of the picture's side.

    Shapes:
        image (N, 3, H, W); returns (N, classes) logits.
    """

    def __init__(self, config: MobileVitConfig, classes: int) -> None:
        super().__init__()
        expand, channels, widths = SIZES[config.size]
        one, two = channels[:2]
        layers: list[nn.Module] = [
            InvertedResidual(_STEM, one, 1, expand),
            nn.Sequential(
                InvertedResidual(one, two, 2, expand),
                InvertedResidual(two, two, 1, expand),
                InvertedResidual(two, two, 1, expand),
            ),
        ]
        for before, to, width, depth in zip(
            channels[1:4], channels[2:], widths, _DEPTHS, strict=True
        ):
            layers.append(
                nn.Sequential(
                    InvertedResidual(before, to, 2, expand), MobileVitBlock(to, width, depth)
                )
            )
        last = min(4 * channels[-1], _LAST)
        self.stem = _conv(3, _STEM, 3, 2)
        self.layers = nn.ModuleList(layers)
        self.last = _conv(channels[-1], last)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(last, classes)

    def feature_maps(self, image: Tensor) -> list[Tensor]:
        """What each of the five layers gives."""
        maps, x = [], self.stem(image)
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps

    def embed(self, image: Tensor) -> Tensor:
        """(N, D): what the classifier reads."""
        pooled: Tensor = self.last(self.feature_maps(image)[-1]).mean((2, 3))
        return pooled

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.embed(image)))
        return logits


class MobileVitV3(SequenceSystem[MobileVitConfig]):
    """The recognizer. Chosen here: AdamW 1e-3, cosine over 50 epochs, batch 16, weighted
    cross-entropy; the pictures standardized, the flow by one factor for its three channels."""

    name: ClassVar[str] = "mobilevit-v3"
    config_type = MobileVitConfig
    default_learning = Learning(
        optimizer="adamw", lr=1e-3, weight_decay=0.01, schedule="cosine", epochs=50, batch=16
    )
    default_inputs = SequenceSettings(size=128, flow="tvl1", margin=0)
    reads_to = "apex"

    def build(self, classes: int) -> nn.Module:
        return MobileVit(self.config, classes)

    def places(self, clips: Sequence[ClipSequence]) -> list[WindowPlace]:
        return [WindowPlace(k, clip.apex) for k, clip in enumerate(clips)]

    def window(self, clip: ClipSequence, start: int) -> Window:
        at = min(max(start, 0), len(clip) - 1)
        one = slice(at, at + 1)
        flow = displacement(clip, at)[None] if self.config.view == "motion" else None
        return Window(clip.gray[one], clip.landmarks[one], flow)

    @property
    def augmentation(self) -> Augmentation:
        return self.config.augmentation

    def arrays(self, window: Window) -> Inputs:
        if window.flow is None:
            return {"image": np.repeat(standardized(window.gray[0])[None], 3, axis=0)}
        motion = with_strain(window.flow[0])
        # One factor for all: signs, zero and the ratio of the axes are what motion means.
        scale = float(np.sqrt(np.mean(motion**2))) + 1e-3
        return {"image": np.ascontiguousarray((motion / scale).transpose(2, 0, 1), np.float32)}
