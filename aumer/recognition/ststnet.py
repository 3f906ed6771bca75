"""``ststnet``: the shallow triple-stream three-dimensional CNN (Liong et al., FG 2019).

Trained for a fixed number of epochs: its published figures chose the epoch on the test subject.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath
from aumer.recognition.features import ROI_CENTRES, min_max, occlusion
from aumer.recognition.seam import (
    Callback,
    Clips,
    Floats,
    Recognizer,
    as_inputs,
    column,
    fitted,
    read_weights,
    write_weights,
)
from aumer.types import FloatArray

if TYPE_CHECKING:
    from typing_extensions import Self

_FILTERS = (3, 5, 8)


class StstNet(nn.Module):
    """The network as published.

    Shapes:
        x (N, 3, 28, 28) in [0, 1]; returns (N, classes) logits.
    """

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.streams = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(3, filters, 3, padding=2),
                nn.ReLU(),
                nn.BatchNorm2d(filters),
                nn.MaxPool2d(3, stride=3, padding=1),
                nn.Dropout(0.5),
            )
            for filters in _FILTERS
        )
        self.pool = nn.AvgPool2d(2, stride=2)
        self.head = nn.Linear(sum(_FILTERS) * 25, classes)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([stream(x) for stream in self.streams], 1)
        logits: Tensor = self.head(self.pool(y).flatten(1))
        return logits


class StstNetRecognizer(Recognizer):
    """Adam and cross-entropy weighted by inverse class frequency, for a fixed number of epochs.

    Args:
        epochs, batch, rate: of training; the last is Adam's learning rate.
        seed: of the initial weights, the order of the clips and the dropout.
    """

    name: ClassVar[str] = "ststnet"
    options = ("epochs", "batch", "rate", "seed")
    rois = tuple(ROI_CENTRES)

    def __init__(
        self, *, epochs: int = 100, batch: int = 64, rate: float = 1e-3, seed: int = 0
    ) -> None:
        if epochs < 1 or batch < 2 or not rate > 0:
            raise UsageError(
                "epochs must be 1 or more, batch 2 or more and rate above 0; found "
                f"epochs={epochs}, batch={batch}, rate={rate}"
            )
        self.epochs, self.batch, self.rate, self.seed = epochs, batch, rate, seed
        self.net = StstNet()

    def fit(
        self,
        clips: Clips,
        *,
        checkpoint: StrPath | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Train from new weights. The state of torch's own generator is left as it was.

        Raises:
            UsageError: fewer than two clips.
        """
        if len(clips) < 2:
            raise UsageError(f"batch norm needs two clips or more; found {len(clips)}")
        x, y = _tensor(clips.inputs), torch.from_numpy(clips.labels)
        counts = torch.bincount(y, minlength=len(clips.classes)).clamp(min=1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.net = StstNet(len(clips.classes)).train()
            loss_of = nn.CrossEntropyLoss(len(y) / (len(clips.classes) * counts.float()))
            optimizer = torch.optim.Adam(self.net.parameters(), lr=self.rate)
            for _ in range(self.epochs):
                for rows in torch.split(torch.randperm(len(y)), self.batch):
                    if len(rows) > 1:  # batch norm has no variance of one clip
                        optimizer.zero_grad()
                        loss_of(self.net(x[rows]), y[rows]).backward()
                        optimizer.step()
        self.net.eval()
        self.classes = clips.classes
        return self

    @torch.no_grad()
    def predict_proba(self, inputs: FloatArray, sources: Sequence[str] = ()) -> Floats:
        """(N, C) soft-max.

        Raises:
            UsageError: it is not fitted, or wrong inputs.
        """
        fitted(self)
        shares = torch.softmax(self.net(_tensor(inputs)).double(), 1)
        return np.asarray(shares.numpy(), np.float64)

    def attribution(self, flow_map: FloatArray, label: str | None = None) -> Floats:
        """(12,): see `aumer.recognition.features.occlusion`."""
        k = column(self, label, self.predict_proba(flow_map[None])[0])
        return occlusion(lambda maps: self.predict_proba(maps)[:, k], flow_map)

    def stopping(self) -> dict[str, Any]:
        """See `aumer.recognition.seam.Recognizer`."""
        return {**super().stopping(), "epochs": self.epochs}

    def save(self, path: StrPath, card: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """See `aumer.recognition.seam.Recognizer`."""
        about = {"epochs": self.epochs, "batch": self.batch, "rate": self.rate, "seed": self.seed}
        state = {name: value.numpy() for name, value in self.net.state_dict().items()}
        write_weights(path, self, state, about, card, overwrite=overwrite)

    @classmethod
    def load(cls, path: StrPath) -> Self:
        """See `aumer.recognition.seam.Recognizer`."""
        found = read_weights(path, cls.name)
        try:
            made = cls(**found.about)
            made.net = StstNet(len(found.classes)).eval()
            made.net.load_state_dict({k: torch.from_numpy(v) for k, v in found.arrays.items()})
        except (TypeError, RuntimeError) as error:
            raise WeightsError(f"{path} holds no whole ststnet: {error}") from error
        made.classes, made.card = found.classes, found.card
        return made


def _tensor(inputs: FloatArray) -> Tensor:
    return torch.from_numpy(min_max(as_inputs(inputs)).transpose(0, 3, 1, 2).copy())
