"""``ststnet``: the shallow triple-stream three-dimensional CNN (Liong et al., FG 2019).

As published: the network, on u, v and optical strain from onset to apex at 28 x 28; 1,683
parameters with 3 classes, including batch norm.

Training differs from the authors' released code: 100 epochs, batch 64, rate 1e-3, class weights,
shuffled clips, each channel scaled to [0, 1]. Theirs: 800 epochs, batch 256, rate 5e-5, no weights,
in order of folders, gray levels from 0 to 255; all but the last two are ``epochs=800, batch=256,
rate=5e-5, class_weights=False``. The last epoch is used, as in theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from aumer import weights
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.learning import engine
from aumer.learning.engine import LearningTask, Loss
from aumer.learning.machine import Machine
from aumer.learning.portable import Portable, Shares
from aumer.learning.settings import LearningSettings
from aumer.recognition.features import ROI_CENTERS, min_max, occlusion
from aumer.recognition.interface import (
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
    """Adam and cross-entropy for a fixed number of epochs.

    Args:
        epochs, batch, rate: of training; `rate` is Adam's learning rate.
        class_weights: weight each class by its inverse frequency.
        seed: of the initial weights, the order of the clips and the dropout.

    Attributes:
        log: one record per epoch of `fit`.
    """

    name: ClassVar[str] = "ststnet"
    options = ("epochs", "batch", "rate", "class_weights", "seed")
    rois = tuple(ROI_CENTERS)

    def __init__(
        self,
        *,
        epochs: int = 100,
        batch: int = 64,
        rate: float = 1e-3,
        class_weights: bool = True,
        seed: int = 0,
    ) -> None:
        if epochs < 1 or batch < 2 or not rate > 0:
            raise UsageError(
                "epochs must be 1 or more, batch 2 or more and rate above 0; found "
                f"epochs={epochs}, batch={batch}, rate={rate}"
            )
        if not isinstance(class_weights, bool):
            raise UsageError(f"class_weights must be true or false; found {class_weights!r}")
        self.epochs, self.batch, self.rate, self.seed = epochs, batch, rate, seed
        self.class_weights = class_weights
        self.net = StstNet()

    def fit(
        self,
        clips: Clips,
        *,
        checkpoint: StrPath | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Train from new weights. The state of torch's global generator is restored.

        Args:
            checkpoint, callbacks: see `aumer.learning.engine.train`.

        Raises:
            UsageError: fewer than two clips, or as `train`.
            WeightsError: as `train`.
        """
        if len(clips) < 2:
            raise UsageError(f"batch norm needs two clips or more; found {len(clips)}")
        settings = LearningSettings(
            optimizer="adam",
            lr=self.rate,
            weight_decay=0.0,
            schedule="constant",
            epochs=self.epochs,
            batch=self.batch,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.net = StstNet(len(clips.classes))
            task = _Maps(self.net, clips, settings, self.seed, type(self), self.class_weights)
            self.log = engine.train(
                task, settings, seed=self.seed, checkpoint=checkpoint, callbacks=callbacks
            )
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

    def portable(self) -> Portable:
        """See `aumer.recognition.interface.Recognizer`."""
        fitted(self)
        (inputs,) = self.examples(1)
        return Portable(
            Shares(self.net.eval()),
            {"x": inputs["x"][:2]},
            {"x": {0: "batch"}},
            "probabilities",
            {
                "holds": "aumer recognizer ststnet",
                "x": "flow map (u, v, strain), 28 x 28, each channel from 0 to 1 over the map",
                "columns": list(self.classes),
            },
        )

    def examples(self, subjects: int) -> list[dict[str, Tensor]]:
        """See `aumer.recognition.interface.Recognizer`."""
        # Imported here: flow needs compiled code, training on maps does not.
        from aumer.recognition.sequences.maps import flow_maps_of
        from aumer.recognition.sequences.simulated import Simulation, simulated_clips

        drawn = (simulated_clips(Simulation(1, 1), seed=seed) for seed in range(subjects))
        return [{"x": _tensor(flow_maps_of(clips, "farneback").inputs)} for clips in drawn]

    def attribution(self, flow_map: FloatArray, label: str | None = None) -> Floats:
        """(12,): see `aumer.recognition.features.occlusion`."""
        k = column(self, label, self.predict_proba(flow_map[None])[0])
        return occlusion(lambda maps: self.predict_proba(maps)[:, k], flow_map)

    def parameters(self, classes: int) -> int:
        """See `aumer.recognition.interface.Recognizer`."""
        return sum(p.numel() for p in StstNet(classes).parameters())

    def stopping(self) -> dict[str, Any]:
        """See `aumer.recognition.interface.Recognizer`."""
        return {**super().stopping(), "epochs": self.epochs}

    def save(self, path: StrPath, card: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """See `aumer.recognition.interface.Recognizer`."""
        about = {name: getattr(self, name) for name in self.options}
        write_weights(path, self, weights.arrays_of(self.net), about, card, overwrite=overwrite)

    @classmethod
    def load(cls, path: StrPath) -> Self:
        """See `aumer.recognition.interface.Recognizer`."""
        found = read_weights(path, cls.name)
        with foreign(path, "a whole ststnet", WeightsError):
            made = cls(**found.about)
            made.net = StstNet(len(found.classes)).eval()
        weights.fill(made.net, found.arrays, f"{path} holds no whole ststnet")
        made.classes, made.card = found.classes, found.card
        return made


class _Maps(LearningTask[Tensor]):
    """The training task: all maps once per epoch. Torch's global generator, seeded once before the
    network is made, gives order and dropout. With several processes, which must agree on the order
    but not on dropout, each epoch is seeded separately.
    """

    def __init__(
        self,
        net: StstNet,
        clips: Clips,
        settings: LearningSettings,
        seed: int,
        made_by: type,
        weighted: bool,
    ) -> None:
        self.net, self.machine, self._made_by = net, Machine(), made_by
        self._x, self._y = _tensor(clips.inputs), torch.from_numpy(clips.labels)
        counts = torch.bincount(self._y, minlength=len(clips.classes)).clamp(min=1)
        even = torch.ones(len(clips.classes))
        self._weights = len(self._y) / (len(even) * counts.float()) if weighted else even
        self._weighted = weighted
        self._settings, self._seed = settings, seed

    def facts(self) -> dict[str, Any]:
        maps = weights.digest({"x": self._x.numpy(), "y": self._y.numpy()})
        facts = {"settings": self._settings.to_dict(), "seed": self._seed, "maps": maps}
        return facts if self._weighted else {**facts, "class_weights": False}

    def parts(self) -> tuple[tuple[str, Any], ...]:
        return (*super().parts(), ("recognizer", self._made_by))

    def torch_seed(self, epoch: int, rank: int) -> int | None:
        if self.machine.count == 1:
            return None
        mixed = np.random.SeedSequence([self._seed, epoch, rank])
        return int(mixed.generate_state(1, np.uint32)[0])

    def batches(self, epoch: int, rng: np.random.Generator) -> tuple[int, Iterator[Tensor]]:
        count = len(self._y)
        alone = self.machine.count == 1
        order = torch.randperm(count) if alone else torch.from_numpy(rng.permutation(count))
        parts = torch.split(order, self._settings.batch)
        whole = [rows for rows in parts if len(rows) > 1]  # batch norm needs two clips
        return len(whole), iter(whole)

    def loss(self, batch: Tensor) -> Loss:
        shown = batch[self.machine.share]
        y = self._y[shown]
        own = self._weights[y].sum()
        whole = self.machine.total(own)
        if not len(shown):
            none = torch.zeros(())
            return Loss(none, {"loss": none, "weight": own, "right": none, "shown": none})
        logits = self.machine.forward(self.net, self._x[shown])
        loss = nn.functional.cross_entropy(logits, y, self._weights)
        told = {
            "loss": loss * own,
            "weight": own,
            "right": (logits.argmax(1) == y).sum().float(),
            "shown": torch.tensor(float(len(shown))),
        }
        return Loss(loss * (own / whole), told)

    def summary(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"loss": sums["loss"] / sums["weight"], "accuracy": sums["right"] / sums["shown"]}


def _tensor(inputs: FloatArray) -> Tensor:
    return torch.from_numpy(min_max(as_inputs(inputs)).transpose(0, 3, 1, 2).copy())
