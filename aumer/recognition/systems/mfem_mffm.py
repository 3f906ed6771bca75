"""``mfem-mffm``: ResNet34 with multi-region extraction (MFEM) and multi-level fusion (MFFM).

As published by Cao and Zhang (2025). Gray frames, magnified, with TV-L1 flow, at equal steps from
onset to apex (3.1.2), go through ResNet34 frame by frame (2.1.1). After each stage an MFEM, spatial
then channel attention and the reverse, added (2.1.2); the stage's output concatenated with the
MFEM's is the next stage's input, and only the MFEM's goes to the MFFM (2.1). Five interactions of
levels are pooled (2.1.3) and read by a bidirectional LSTM (2.1.4). Cross-entropy without weights
(2.2). Its ablations (table 3) are `MfemMffmConfig.mfem` and `mffm`. No parameter count is printed;
these layers have 40,820,677 with 5 classes, 24,897,349 without MFFM, 38,917,573 without MFEM and
22,994,245 without both.

Choices where a section is not specific: 3.1.2: 8 frames of 128 px; alpha, band and cut-off of the
magnification are its authors'; flow is from the original frames, for each frame its displacement
since the onset in px, so that slow motion adds up; rotation up to 10 degrees, scaling up to a
tenth. 2.1.2: r = 16; ReLU within the attention's MLP, as in CBAM, which formula 7 does not show;
GeM powers start at 3, and the second attention (formula 11) has its own; within a branch the main
and the suppressed part are added before what follows. 2.1.3: which five pairs (all at most two
stages apart), the convolutions' sizes (1 x 1 before, 3 x 3 after the concatenation), and that the
deeper map is enlarged: formula 12 enlarges X2, which the text calls the shallow one. 2.1.4: LSTM of
256 each way, read at its last frame forward and its first backward. 3.1.4: "FC .5" is dropout .5
before the last layer, behind a hidden one of 256; momentum .9 of the printed (.9, .99), as SGD has
one; no weight decay; batch 16; He's initial weights (no pretraining is mentioned).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from aumer.recognition.learning import Learning
from aumer.recognition.sequences.augment import Augmentation
from aumer.recognition.sequences.clips import ClipSequence
from aumer.recognition.sequences.inputs import SequenceSettings, displacement, steps_to_apex
from aumer.recognition.sequences.magnification import Magnification
from aumer.recognition.sequences.windows import Window, WindowPlace
from aumer.recognition.systems.residual import Residual
from aumer.recognition.systems.system import Inputs, SequenceSystem
from aumer.strict import require

#: Pairs of levels that interact: at most two stages apart, which gives the five of formula 13.
PAIRS = ((0, 1), (1, 2), (2, 3), (0, 2), (1, 3))
#: Default augmentation of training clips.
AUGMENTATION = Augmentation(flip=0.5, rotation_deg=10, scale=0.1)


@dataclass(frozen=True)
class MfemMffmConfig:
    """Configuration; the default is the published network.

    Attributes:
        mfem, mffm: the two modules; off for the published ablations.
        steps: frames from onset to apex.
        width: channels of the first stage; they double from stage to stage.
        blocks: residual blocks of the four stages; ResNet34's.
        reduction: reduction of the channel attentions.
        hidden: size of the LSTM in each direction, and of the layer after it.
        augmentation: of training clips.
    """

    mfem: bool = True
    mffm: bool = True
    steps: int = 8
    width: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    reduction: int = 16
    hidden: int = 256
    augmentation: Augmentation = AUGMENTATION

    def __post_init__(self) -> None:
        for name in ("width", "reduction", "hidden"):
            require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        require(self.steps >= 2, "steps", self.steps, ">= 2 frames")
        require(
            len(self.blocks) == 4 and min(self.blocks) >= 1,
            "blocks",
            list(self.blocks),
            "four numbers >= 1",
        )


class SpatialAttention(nn.Module):
    """SAM: x times sigmoid(conv 7 x 7 of [max, mean] over channels).

    Shapes:
        x (N, C, H, W); returns the same shape.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.conv(seen))


class GeneralizedMean(nn.Module):
    """Mean of x^p over the picture, to the power 1 / p, with a learned p for each channel.

    Shapes:
        x (N, C, H, W); returns (N, C). Values below 1e-6 count as 1e-6, p as at least 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.full((channels,), 3.0))

    def forward(self, x: Tensor) -> Tensor:
        # In 16 bits the cube of 41 overflows, and powers of 1e-6 underflow.
        p = self.power.float().clamp(min=1.0)[:, None, None]
        mean: Tensor = x.float().clamp(min=1e-6).pow(p).mean((2, 3))
        return mean.pow(1 / p[:, 0, 0]).to(x.dtype)


def _gate(channels: int, reduction: int) -> nn.Sequential:
    inner = max(1, channels // reduction)
    return nn.Sequential(
        nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid()
    )


class ComplementaryChannelAttention(nn.Module):
    """CCAM: the main part x g1, and the suppressed part x (1 - g1) through attention of its own.

    Shapes:
        x (N, C, H, W); returns the same shape.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.pool, self.second_pool = GeneralizedMean(channels), GeneralizedMean(channels)
        self.main, self.second = _gate(channels, reduction), _gate(channels, reduction)

    def forward(self, x: Tensor) -> Tensor:
        g1 = self.main(self.pool(x))[:, :, None, None]
        suppressed = x * (1 - g1)
        g2 = self.second(self.second_pool(suppressed))[:, :, None, None]
        both: Tensor = x * g1 + suppressed * g2
        return both


class Mfem(nn.Module):
    """Multi-region extraction: SAM then CCAM plus CCAM then SAM.

    Shapes:
        x (N, C, H, W); returns the same shape.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.place_first = nn.Sequential(
            SpatialAttention(), ComplementaryChannelAttention(channels, reduction)
        )
        self.channel_first = nn.Sequential(
            ComplementaryChannelAttention(channels, reduction), SpatialAttention()
        )

    def forward(self, x: Tensor) -> Tensor:
        both: Tensor = self.place_first(x) + self.channel_first(x)
        return both


class Mffm(nn.Module):
    """Two levels interact (formula 12): conv of [shallow, upsampled conv of deep], batch norm.

    Shapes:
        shallow (N, C, H, W), deep (N, D, h, w); returns (N, C + D, H, W).
    """

    def __init__(self, shallow: int, deep: int) -> None:
        super().__init__()
        both = shallow + deep
        self.deep = nn.Conv2d(deep, deep, 1)
        self.fuse = nn.Sequential(
            nn.Conv2d(both, both, 3, padding=1, bias=False), nn.BatchNorm2d(both)
        )

    def forward(self, shallow: Tensor, deep: Tensor) -> Tensor:
        up = functional.interpolate(
            self.deep(deep), shallow.shape[2:], mode="bilinear", align_corners=False
        )
        fused: Tensor = self.fuse(torch.cat([shallow, up], 1))
        return fused


class BasicBlock(Residual):
    """ResNet's two 3 x 3 convolutions with a residual.

    Shapes:
        x (N, C, H, W); returns (N, to, H / stride, W / stride).
    """

    def __init__(self, channels: int, to: int, stride: int) -> None:
        body = nn.Sequential(
            nn.Conv2d(channels, to, 3, stride, 1, bias=False),
            nn.BatchNorm2d(to),
            nn.ReLU(),
            nn.Conv2d(to, to, 3, 1, 1, bias=False),
            nn.BatchNorm2d(to),
        )
        super().__init__(body, channels, to, stride)


class MfemMffm(nn.Module):
    """The network.

    Shapes:
        frames (N, T, 3, S, S): gray, u, v; returns (N, classes) logits.
    """

    def __init__(self, config: MfemMffmConfig, classes: int) -> None:
        super().__init__()
        widths = [config.width * 2**k for k in range(4)]
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 7, 2, 3, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )
        # Concatenated with the MFEM, the next stage's input has twice the channels.
        entering = [w * (1 + config.mfem) for w in widths]
        stages = []
        for k, (channels, to) in enumerate(zip((widths[0], *entering[:-1]), widths, strict=True)):
            blocks = [BasicBlock(channels, to, 2 if k else 1)]
            blocks += [BasicBlock(to, to, 1) for _ in range(config.blocks[k] - 1)]
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.mfem = nn.ModuleList(Mfem(w, config.reduction) for w in widths if config.mfem)
        pooled = widths[-1]
        self.mffm = nn.ModuleList()
        if config.mffm:
            pairs = [(widths[a], widths[b]) for a, b in PAIRS]
            self.mffm.extend(Mffm(*pair) for pair in pairs)
            pooled = sum(map(sum, pairs))
        self.lstm = nn.LSTM(pooled, config.hidden, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(
            nn.Dropout(0.3),
            nn.Linear(2 * config.hidden, config.hidden),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(config.hidden, classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def levels(self, pictures: Tensor) -> list[Tensor]:
        """(N, 3, S, S) -> output of each of the four stages, or of its MFEM."""
        made, x = [], self.stem(pictures)
        for k, stage in enumerate(self.stages):
            x = stage(x)
            made.append(self.mfem[k](x) if self.mfem else x)
            if self.mfem:
                x = torch.cat([x, made[-1]], 1)
        return made

    def fused(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """The maps to pool: five with MFFM, otherwise only the deepest level."""
        if not self.mffm:
            return [levels[-1]]
        return [mffm(levels[a], levels[b]) for mffm, (a, b) in zip(self.mffm, PAIRS, strict=True)]

    def embed(self, frames: Tensor) -> Tensor:
        """(N, 2 hidden): the input of the head."""
        maps = self.fused(self.levels(frames.flatten(0, 1)))
        pooled = torch.cat([m.mean((2, 3)) for m in maps], 1).reshape(*frames.shape[:2], -1)
        out = self.lstm(pooled)[0]
        half = out.shape[-1] // 2
        return torch.cat([out[:, -1, :half], out[:, 0, half:]], 1)

    def forward(self, frames: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(frames))
        return logits


class MfemMffmRecognizer(SequenceSystem[MfemMffmConfig]):
    """The recognizer; 50 epochs as for CASME II (3.1.4; 80 for SAMM)."""

    name: ClassVar[str] = "mfem-mffm"
    config_type = MfemMffmConfig
    default_learning = Learning(
        class_weights=False,
        optimizer="sgd",
        lr=1e-2,
        momentum=0.9,
        schedule="cosine",
        epochs=50,
        batch=16,
    )
    default_inputs = SequenceSettings(
        size=128, flow="tvl1", magnification=Magnification(), margin=0
    )
    reads_to = "apex"

    def build(self, classes: int) -> nn.Module:
        return MfemMffm(self.config, classes)

    def windows_of(self, clips: Sequence[ClipSequence]) -> list[WindowPlace]:
        return [WindowPlace(k, clip.onset) for k, clip in enumerate(clips)]

    def window(self, clip: ClipSequence, start: int) -> Window:
        shift = start - clip.onset  # from augmentation
        frames = [
            min(max(t + shift, 0), len(clip) - 1) for t in steps_to_apex(clip, self.config.steps)
        ]
        flow = np.stack([displacement(clip, t) for t in frames])
        return Window(clip.gray[frames], clip.landmarks[frames], flow)

    @property
    def augmentation(self) -> Augmentation:
        return self.config.augmentation

    def arrays(self, window: Window) -> Inputs:
        assert window.flow is not None
        gray = window.gray[..., None].astype(np.float32) / 255 - 0.5
        planes = np.concatenate([gray, window.flow], -1).transpose(0, 3, 1, 2)
        return {"frames": np.ascontiguousarray(planes, np.float32)}
