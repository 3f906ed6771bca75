"""``mobilevit-v3``: MobileViTv3 in all six sizes (Wadekar, Chaurasia 2022, arXiv 2209.15159).

XXS, XS and S change the block of MobileViTv1 in four ways: a 1 x 1 fusion, of local and global
features, with the block's input added, after a depth-wise local part. 0.5, 0.75 and 1.0 ("v2-0.5",
...) have the first three in the block of MobileViTv2 (Mehta, Rastegari 2022), which has the fourth
already and reads patches by separable attention. The publication on micro-expressions (section 7)
does the same; it gives no figures and no training settings.

Widths and depths are the paper's. For the first three sizes, open choices are made so that the
number of parameters matches the paper's 1.2, 2.5 and 5.8 M with 1000 classes (1,249,448, 2,490,360
and 5,763,912): attention with four heads and bias, a feed-forward layer twice as wide as the model,
layer norm before each and after the last (as in MobileViTv1), SiLU everywhere, no dropout except .1
before the classifier. The others have 1,429,985, 2,999,641 and 5,139,409 (the paper: 1.4, 3.0 and
5.1 M): as in MobileViTv2 one norm over all channels and positions before each layer and after the
last, and none between the last map and the classifier.

A network for single pictures; which picture of a clip it reads is not published (section 7) and
chosen here: `view` "motion" is the flow from onset to apex as u, v and optical strain, "apex" the
gray apex frame in three channels.
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

#: By size: expansion of the inverted residuals; channels after layers 1 to 5; widths d of the
#: transformers.
SIZES: dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]] = {
    "xxs": (2, (16, 24, 64, 80, 128), (64, 80, 96)),
    "xs": (4, (32, 48, 96, 160, 160), (96, 120, 144)),
    "s": (4, (32, 64, 128, 256, 320), (144, 192, 240)),
}
#: MobileViTv2's width factors, channels after the stem and layers 1 to 5, and widths of the
#: transformers.
WIDE: dict[str, float] = {"v2-0.5": 0.5, "v2-0.75": 0.75, "v2-1.0": 1.0}
_WIDE_STEM, _WIDE_CHANNELS, _WIDE_WIDTHS = 32, (64, 128, 256, 384, 512), (128, 192, 256)
_STEM, _HEADS, _DEPTHS, _PATCH, _LAST = 16, 4, (2, 4, 3), 2, 960


#: Default augmentation of training clips.
AUGMENTATION = Augmentation(flip=0.5, rotation_deg=10, scale=0.1)


@dataclass(frozen=True)
class MobileVitConfig:
    """Configuration: published size and input.

    Attributes:
        size: "xxs", "xs" or "s"; "v2-0.5", "v2-0.75" or "v2-1.0".
        view: content of the three channels; see the module.
        dropout: before the classifier.
        augmentation: of training clips.
    """

    size: Literal["xxs", "xs", "s", "v2-0.5", "v2-0.75", "v2-1.0"] = "xxs"
    view: Literal["motion", "apex"] = "motion"
    dropout: float = 0.1
    augmentation: Augmentation = AUGMENTATION

    def __post_init__(self) -> None:
        sizes = (*SIZES, *WIDE)
        require(self.size in sizes, "size", self.size, f"one of {', '.join(sizes)}")
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
    """MobileNetV2's block: widen, depth-wise 3 x 3, narrow; residual if the shapes are equal.

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


def _patches(x: Tensor) -> Tensor:
    """(N, d, H, W) -> (N, positions within a patch, patches, d); sides that 2 does not divide are
    resized.
    """
    even = [s + s % _PATCH for s in x.shape[2:]]
    if even != list(x.shape[2:]):
        x = functional.interpolate(x, even, mode="bilinear", align_corners=False)
    n, d, height, width = x.shape
    rows, columns = height // _PATCH, width // _PATCH
    # (N, d, rows, 2, columns, 2) -> pixels at the same position of their patches attend to each
    # other.
    y = x.reshape(n, d, rows, _PATCH, columns, _PATCH).permute(0, 3, 5, 2, 4, 1)
    return y.reshape(n, _PATCH**2, rows * columns, d)


def _unpatched(y: Tensor, side: Sequence[int]) -> Tensor:
    """The inverse of `_patches`; a map of `side`, or one pixel more if `side` is odd."""
    n, _, _, d = y.shape
    rows, columns = ((s + s % _PATCH) // _PATCH for s in side)
    y = y.reshape(n, _PATCH, _PATCH, rows, columns, d).permute(0, 5, 3, 1, 4, 2)
    return y.reshape(n, d, rows * _PATCH, columns * _PATCH)


def _fitted(y: Tensor, side: Sequence[int]) -> Tensor:
    """Resized to `side` if necessary."""
    if list(y.shape[2:]) == list(side):
        return y
    return functional.interpolate(y, list(side), mode="bilinear", align_corners=False)


def _local(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        _conv(channels, channels, 3, groups=channels),
        nn.Conv2d(channels, width, 1, bias=False),
    )


class MobileVitBlock(nn.Module):
    """Local part (depth-wise 3 x 3, 1 x 1 to d), transformers over pixels at the same position of
    their patches, and fusion: 1 x 1 over [local, global] with the block's input added.

    Shapes:
        x (N, C, H, W) of any size; returns the same shape. Odd sides are resized for the
        transformers and back.
    """

    def __init__(self, channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.local = _local(channels, width)
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
        tokens = _patches(local)
        y = tokens.flatten(0, 1)
        for layer in self.transformers:
            y = layer(y)
        y = self.widen(_unpatched(self.norm(y).view_as(tokens), side))
        fused: Tensor = self.fuse(torch.cat([local, _fitted(y, side)], 1))
        return x + fused


class SeparableAttention(nn.Module):
    """MobileViTv2's attention, linear in the number of patches: each patch has a score, keys are
    summed by soft-max of the scores, and the sum weighs every patch's rectified value.

    Shapes:
        x (N, P, L, d): L patches with P positions each; returns the same shape. Positions do not
        mix.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.enter = nn.Linear(width, 1 + 2 * width)
        self.leave = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        scores, keys, values = self.enter(x).split([1, self.width, self.width], -1)
        context = (torch.softmax(scores, 2) * keys).sum(2, keepdim=True)
        y: Tensor = self.leave(torch.relu(values) * context)
        return y


class _WholeNorm(nn.Module):
    """Normalization by one mean and variance over all channels and positions of a picture; scale by
    channel.

    Shapes:
        x (N, P, L, d); returns the same shape.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return y


class _SeparableLayer(nn.Module):
    """Separable attention and a feed-forward layer twice as wide, each with a pre-norm and a
    residual.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attend = nn.Sequential(_WholeNorm(width), SeparableAttention(width))
        self.feed = nn.Sequential(
            _WholeNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(x)
        y: Tensor = x + self.feed(x)
        return y


class WideBlock(nn.Module):
    """`MobileVitBlock` of MobileViTv2: separable attention, and a 1 x 1 fusion of [local, global]
    of width d without activation, the block's input added.

    Shapes:
        x (N, C, H, W) of any size; returns the same shape.
    """

    def __init__(self, channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.local = _local(channels, width)
        self.transformers = nn.Sequential(
            *(_SeparableLayer(width) for _ in range(depth)), _WholeNorm(width)
        )
        self.fuse = _conv(2 * width, channels, act=False)

    def forward(self, x: Tensor) -> Tensor:
        local: Tensor = self.local(x)
        side = local.shape[2:]
        y = _fitted(_unpatched(self.transformers(_patches(local)), side), side)
        fused: Tensor = self.fuse(torch.cat([local, y], 1))
        return x + fused


class MobileVit(nn.Module):
    """The network; its fifth layer's map is 1/32 of the picture's side.

    Shapes:
        image (N, 3, H, W); returns (N, classes) logits.
    """

    def __init__(self, config: MobileVitConfig, classes: int) -> None:
        super().__init__()
        wide = WIDE.get(config.size)
        block: type[MobileVitBlock | WideBlock]
        if wide is None:
            expand, channels, widths = SIZES[config.size]
            stem, again, block = _STEM, 2, MobileVitBlock
        else:
            stem, *scaled = (round(wide * c) for c in (_WIDE_STEM, *_WIDE_CHANNELS, *_WIDE_WIDTHS))
            channels, widths = tuple(scaled[:5]), tuple(scaled[5:])
            expand, again, block = 2, 1, WideBlock
        one, two = channels[:2]
        layers: list[nn.Module] = [
            InvertedResidual(stem, one, 1, expand),
            nn.Sequential(
                InvertedResidual(one, two, 2, expand),
                *(InvertedResidual(two, two, 1, expand) for _ in range(again)),
            ),
        ]
        for before, to, width, depth in zip(
            channels[1:4], channels[2:], widths, _DEPTHS, strict=True
        ):
            layers.append(
                nn.Sequential(InvertedResidual(before, to, 2, expand), block(to, width, depth))
            )
        last = min(4 * channels[-1], _LAST) if wide is None else channels[-1]
        self.stem = _conv(3, stem, 3, 2)
        self.layers = nn.ModuleList(layers)
        self.last = _conv(channels[-1], last) if wide is None else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(last, classes)

    def feature_maps(self, image: Tensor) -> list[Tensor]:
        """The outputs of the five layers."""
        maps, x = [], self.stem(image)
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps

    def embed(self, image: Tensor) -> Tensor:
        """(N, D): the input of the classifier."""
        pooled: Tensor = self.last(self.feature_maps(image)[-1]).mean((2, 3))
        return pooled

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.embed(image)))
        return logits


class MobileVitV3(SequenceSystem[MobileVitConfig]):
    """The recognizer. Chosen here: AdamW 1e-3, cosine schedule over 50 epochs, batch 16, weighted
    cross-entropy; standardized pictures, flow scaled by one factor for its three channels.
    """

    name: ClassVar[str] = "mobilevit-v3"
    config_type = MobileVitConfig
    default_learning = Learning(
        optimizer="adamw", lr=1e-3, weight_decay=0.01, schedule="cosine", epochs=50, batch=16
    )
    default_inputs = SequenceSettings(size=128, flow="tvl1", margin=0)
    reads_to = "apex"

    def build(self, classes: int) -> nn.Module:
        return MobileVit(self.config, classes)

    def windows_of(self, clips: Sequence[ClipSequence]) -> list[WindowPlace]:
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
        # One factor for all preserves signs, zero and the ratio of the axes.
        scale = float(np.sqrt(np.mean(motion**2))) + 1e-3
        return {"image": np.ascontiguousarray((motion / scale).transpose(2, 0, 1), np.float32)}
