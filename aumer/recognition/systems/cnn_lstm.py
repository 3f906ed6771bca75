"""``cnn-lstm``: gray frames, landmarks and flow, encoded frame by frame, fused, and read by an
LSTM.

As published: two CNNs (3 x 3 convolutions of 32, 64 and 128 channels, pooled to 4 x 4; 6.2) and a
landmark MLP 136-256-128 (6.5), projected linearly to 256 + 128 + 128 numbers a frame (6.4); LSTM
2 x 128 (6.3); head 128-128-64-C with two dropouts (6.5); Farneback's flow (4.3). The layers of
these sections come to 1,543,717 parameters with 5 classes; section 8.5 prints 4.2 M. Learning as in
7.1 (weights by class, losses divided by their number), 7.2 (Adam, the LSTM at a tenth of the rate),
7.3, 7.5 (light and noise frame by frame; windows shifted with a frame held) and 8.1.

Optional in the publication and here: equalized histograms (4.3; 5.1 has them always), local binary
patterns (5.1), attention over the modalities (6.4: from the concatenation over 256 ReLU to
soft-max), batch norm of the projections (16.2, algorithm 2, which 6.4's code has not). All
ablations of 8.4: modalities, CNN alone, mean, GRU, Transformer, one and three layers, no batch
norm, no dropout, no augmentation, and by `learning` no class weights and no decay of the rate.

Choices where a section is not specific: 6.4: attention weighs the projected modalities, as in
algorithm 2. 7.2 names three groups of parameters, but no rate of the other parts: they get the
default. 8.1: the gradient is clipped by its norm. 8.4: the CNN alone reads the window's middle
frame, which is the apex except at the ends of a clip; the Transformer has 2 layers, 4 heads, sine
positions and the mean over time. 5.3: flow in px of the crop.

Differences: faces are detected and aligned by aumer's own detector and landmarker (4.3: Haar
cascade and dlib), and landmarks are relative to the crop's center (5.2: to its corner). Nothing is
stored in 16 bits (5.4). HOG (5.1), distances and angles between landmarks (5.2), optional there and
not specified, are left out. A random split (4.1) puts windows of a clip on both sides; see
`CnnLstmRecognizer`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from aumer.recognition.learning import Learning
from aumer.recognition.sequences.augment import Augmentation
from aumer.recognition.sequences.clips import ClipSequence
from aumer.recognition.sequences.inputs import SequenceSettings
from aumer.recognition.sequences.texture import equalized, local_binary_patterns
from aumer.recognition.sequences.windows import Window, WindowPlace, centered_start, cut
from aumer.recognition.systems.system import Inputs, SequenceSystem
from aumer.strict import require

TIMES, FUSIONS = ("lstm", "gru", "transformer", "mean", "none"), ("concatenation", "attention")
TEXTURES = ("gray", "lbp")
#: Keys of settings, weights and exported networks. Old files spell "grey" and can be read.
MODALITIES = ("gray", "landmarks", "flow")
_PROJECTED = {"gray": 256, "landmarks": 128, "flow": 128}
_POOLED = 4


#: Default augmentation of training clips.
AUGMENTATION = Augmentation(
    brightness=0.2,
    contrast=0.2,
    noise=0.01,
    flip=0.5,
    shift=2,
    each="frame",
    light_odds=0.5,
    noise_odds=0.3,
    about="middle",
    shows="held",
)


@dataclass(frozen=True)
class CnnLstmConfig:
    """Configuration; the default is the published network.

    Attributes:
        modalities: any of "gray", "landmarks" and "flow".
        time: the model over time; "none" reads only the middle frame.
        fusion: concatenation, or soft-max attention over the modalities (6.4).
        fusion_norm: batch norm of each modality's projection.
        texture: input of the CNN: gray frames or their local binary patterns.
        equalize: equalize the histogram of each frame first.
        length: frames of a window.
        windows: target of `balanced_windows`, windows a class; 0 for one window a clip.
        channels: channels of the CNNs' convolutions.
        layers: of the LSTM or GRU; 1 and 3 in the ablation of 8.4.
        batch_norm: after the convolutions; without it in the ablation of 8.4.
        dropout: dropout of the MLP, the LSTM and the head.
        augmentation: of training windows.
    """

    modalities: tuple[str, ...] = MODALITIES
    time: Literal["lstm", "gru", "transformer", "mean", "none"] = "lstm"
    fusion: Literal["concatenation", "attention"] = "concatenation"
    fusion_norm: bool = False
    texture: Literal["gray", "lbp"] = "gray"
    equalize: bool = False
    length: int = 32
    windows: int = 475
    channels: tuple[int, ...] = (32, 64, 128)
    layers: int = 2
    batch_norm: bool = True
    dropout: float = 0.3
    augmentation: Augmentation = AUGMENTATION

    def __post_init__(self) -> None:
        require(
            0 < len(set(self.modalities)) == len(self.modalities)
            and set(self.modalities) <= set(MODALITIES),
            "modalities",
            list(self.modalities),
            f"one or more of {', '.join(MODALITIES)}, each once",
        )
        require(self.time in TIMES, "time", self.time, f"one of {', '.join(TIMES)}")
        require(self.fusion in FUSIONS, "fusion", self.fusion, f"one of {', '.join(FUSIONS)}")
        require(self.texture in TEXTURES, "texture", self.texture, f"one of {', '.join(TEXTURES)}")
        require(self.length >= 2, "length", self.length, ">= 2 frames")
        require(self.windows >= 0, "windows", self.windows, ">= 0")
        require(
            len(self.channels) > 0 and min(self.channels) > 0,
            "channels",
            list(self.channels),
            "one or more numbers above 0",
        )
        require(self.layers >= 1, "layers", self.layers, ">= 1")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "in [0, 1)")


class FrameCnn(nn.Module):
    """A CNN that turns every picture of a sequence into one vector.

    Shapes:
        x (N, T, C, H, W); returns (N, T, 16 * channels[-1]).
    """

    def __init__(self, planes: int, channels: Sequence[int], batch_norm: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, to in zip((planes, *channels[:-1]), channels, strict=True):
            layers += [
                nn.Conv2d(before, to, 3, padding=1),
                nn.BatchNorm2d(to) if batch_norm else nn.Identity(),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(_POOLED))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x.flatten(0, 1))
        return y.reshape(*x.shape[:2], -1)


class TimeModel(nn.Module):
    """Turns a sequence into one vector, by one of the published methods.

    Shapes:
        x (N, T, D); returns (N, 128), or (N, D) for "mean" and "none".
    """

    def __init__(
        self, kind: str, width: int, dropout: float, hidden: int = 128, layers: int = 2
    ) -> None:
        super().__init__()
        self.kind = kind
        self.width = width if kind in ("mean", "none") else hidden
        if kind in ("lstm", "gru"):
            recurrent = nn.LSTM if kind == "lstm" else nn.GRU
            self.layers: nn.Module = recurrent(
                width,
                hidden,
                num_layers=layers,
                batch_first=True,
                dropout=dropout if layers > 1 else 0.0,
            )
        elif kind == "transformer":
            self.enter = nn.Linear(width, hidden)
            layer = nn.TransformerEncoderLayer(hidden, 4, 2 * hidden, dropout, batch_first=True)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "mean":
            return x.mean(1)
        if self.kind == "none":
            return x[:, x.shape[1] // 2]
        if self.kind == "transformer":
            y: Tensor = self.enter(x)
            return torch.as_tensor(self.layers(y + _sines(y)).mean(1))
        return torch.as_tensor(self.layers(x)[0][:, -1])


def _sines(x: Tensor) -> Tensor:
    """(T, D) sine positional encodings (Vaswani et al. 2017)."""
    steps, width = x.shape[1:]
    at = torch.arange(steps, device=x.device, dtype=torch.float32)[:, None]
    rate = torch.exp(
        torch.arange(0, width, 2, device=x.device, dtype=torch.float32)
        * (-math.log(10000.0) / width)
    )
    return torch.stack([torch.sin(at * rate), torch.cos(at * rate)], -1).flatten(1).to(x.dtype)


class CnnLstm(nn.Module):
    """The network; reads only the modalities of its configuration.

    Shapes:
        gray (N, T, 1, S, S), landmarks (N, T, 136), flow (N, T - 1, 2, S, S); returns (N, classes)
        logits. One step of zeros is prepended to the flow's encoding.
    """

    def __init__(self, config: CnnLstmConfig, classes: int) -> None:
        super().__init__()
        self.modalities = tuple(m for m in MODALITIES if m in config.modalities)
        self.fusion = config.fusion
        pooled = config.channels[-1] * _POOLED**2
        encoders: dict[str, nn.Module] = {
            "gray": FrameCnn(1, config.channels, config.batch_norm),
            "landmarks": nn.Sequential(
                nn.Linear(136, 256),
                nn.ReLU(),
                nn.Dropout(config.dropout),
                nn.Linear(256, 128),
            ),
            "flow": FrameCnn(2, config.channels, config.batch_norm),
        }
        widths = {"gray": pooled, "landmarks": 128, "flow": pooled}
        self.encoders = nn.ModuleDict({m: encoders[m] for m in self.modalities})
        self.projections = nn.ModuleDict(
            {m: nn.Linear(widths[m], _PROJECTED[m]) for m in self.modalities}
        )
        self.norms = nn.ModuleDict(
            {m: nn.BatchNorm1d(_PROJECTED[m]) for m in self.modalities if config.fusion_norm}
        )
        fused = sum(_PROJECTED[m] for m in self.modalities)
        if config.fusion == "attention":
            self.scores = nn.Sequential(
                nn.Linear(fused, 256), nn.ReLU(), nn.Linear(256, len(self.modalities))
            )
        self.time = TimeModel(config.time, fused, config.dropout, layers=config.layers)
        self.head = nn.Sequential(
            nn.Linear(self.time.width, 128),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(64, classes),
        )

    def encoded(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Each modality's (N, T, width of its projection)."""
        made = {}
        for m in self.modalities:
            y = self.encoders[m](inputs[m])
            if m == "flow":
                y = torch.cat([torch.zeros_like(y[:, :1]), y], 1)
            y = self.projections[m](y)
            made[m] = self.norms[m](y.flatten(0, 1)).view_as(y) if m in self.norms else y
        return made

    def embed(self, **inputs: Tensor) -> Tensor:
        """(N, 128): what the head reads."""
        parts = self.encoded(**inputs)
        if self.fusion == "attention":
            shares = torch.softmax(self.scores(torch.cat(list(parts.values()), -1)), -1)
            parts = {m: y * shares[..., k, None] for k, (m, y) in enumerate(parts.items())}
        return torch.as_tensor(self.time(torch.cat(list(parts.values()), -1)))

    def forward(self, **inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(**inputs))
        return logits


class CnnLstmRecognizer(SequenceSystem[CnnLstmConfig]):
    """The recognizer. `inner_share` .2: the publication stops early on windows that share clips
    with the training ones (4.1, 8.1); here on subjects held out of the gradient.
    """

    name: ClassVar[str] = "cnn-lstm"
    config_type = CnnLstmConfig
    default_learning = Learning(
        optimizer="adam",
        lr=1e-4,
        weight_decay=1e-5,
        schedule="plateau",
        clip=1.0,
        batch=8,
        epochs=100,
        inner_share=0.2,
        patience=10,
        divide_by="samples",
        rates={"time": 0.1},
    )
    # A window of 32 centered on an apex at the clip's end extends 16 frames beyond it.
    default_inputs = SequenceSettings(size=128, flow="farneback-1.2", margin=16)

    def build(self, classes: int) -> nn.Module:
        return CnnLstm(self.config, classes)

    @property
    def windows_a_class(self) -> int:
        return self.config.windows

    @property
    def length(self) -> int:
        return self.config.length

    def windows_of(self, clips: Sequence[ClipSequence]) -> list[WindowPlace]:
        length = self.config.length
        return [WindowPlace(k, centered_start(clip, length)) for k, clip in enumerate(clips)]

    def window(self, clip: ClipSequence, start: int) -> Window:
        if "flow" in self.config.modalities:
            clip.flow_fields()
        window = cut(clip, start, self.config.length)
        if not self.config.equalize:
            return window
        return replace(window, gray=equalized(window.gray))

    @property
    def augmentation(self) -> Augmentation:
        return self.config.augmentation

    def arrays(self, window: Window) -> Inputs:
        made: Inputs = {}
        if "gray" in self.config.modalities:
            # The pattern of a mirrored frame is not the mirrored pattern, so patterns are computed
            # last.
            lbp = self.config.texture == "lbp"
            seen = local_binary_patterns(window.gray) if lbp else window.gray
            made["gray"] = seen[:, None].astype(np.float32) / np.float32(255)
        if "landmarks" in self.config.modalities:
            made["landmarks"] = window.landmarks.reshape(len(window.landmarks), -1)
        if "flow" in self.config.modalities and window.flow is not None:
            made["flow"] = np.ascontiguousarray(window.flow.transpose(0, 3, 1, 2))
        return made
