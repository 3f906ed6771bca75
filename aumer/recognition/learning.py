"""Training of recognizers of clips: loss, samples, and the task for the training engine."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from aumer._moved import moved
from aumer.errors import ConfigError, UsageError, did_you_mean
from aumer.files import StrPath
from aumer.learning import engine
from aumer.learning.engine import Callback, LearningTask, Loss
from aumer.learning.inner import inner_subjects
from aumer.learning.machine import Machine, batch_norms
from aumer.learning.settings import LearningSettings, Optimizer, Schedule
from aumer.strict import require, within
from aumer.types import IntArray

__getattr__ = moved(  # for one release
    __name__,
    {
        "torchrun": "aumer.learning.machine",
        "rate": "aumer.learning.settings.LearningSettings.rate",
    },
)

#: Index of a clip and number of the view of it.
Sample = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Learning(LearningSettings):
    """How a recognizer is trained.

    Attributes:
        loss: cross-entropy, or the focal loss (Lin et al. 2017), which weights a sample by (1 -
            p)^gamma, p being the probability of its true class.
        class_weights: weight each class by its inverse frequency in the samples.
        divide_by: a step's loss is the sum of weighted losses divided by the sum of "weights", or
            by the number of "samples"; in the latter case the weights' mean over classes is 1.
        label_smoothing: label smoothing of the cross-entropy.
        rates: factor of `lr` by part of the network: ``{"time": 0.1}``.
        other fields: see `LearningSettings`.

    Raises:
        ConfigError: a value out of range.
    """

    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    class_weights: bool = True
    gamma: float = 2.0
    divide_by: Literal["weights", "samples"] = "weights"
    label_smoothing: float = 0.0
    rates: Mapping[str, float] = field(default_factory=dict)
    optimizer: Optimizer = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    epochs: int = 50
    batch: int = 16

    _later: ClassVar[tuple[str, ...]] = ("decay", "warmup", "divide_by", "rates")

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = ("cross-entropy", "focal")
        require(self.loss in allowed, "loss", self.loss, f"one of {', '.join(allowed)}")
        require(self.batch >= 2, "batch", self.batch, ">= 2, which batch norm needs")
        within("gamma", self.gamma, 0, 1000)
        by = ("weights", "samples")
        require(self.divide_by in by, "divide_by", self.divide_by, f"one of {', '.join(by)}")
        for part, rate in self.rates.items():
            fits = (
                type(rate) in (int, float) and 0 < rate <= 1000
            )  # the values of a free table are unchecked
            require(fits, f"rates.{part}", rate, "above 0 and at most 1000")
        smoothing = self.label_smoothing
        require(0 <= smoothing < 1, "label_smoothing", smoothing, "in [0, 1)")


class Material(Protocol):
    """Training data of a network: clips, from which samples are drawn in every epoch.

    Attributes:
        labels: (N,) int64, the class of each clip.
        subjects: subject of each clip.
    """

    labels: IntArray
    subjects: tuple[str, ...]

    def draw(self, clips: IntArray, rng: np.random.Generator | None) -> list[Sample]:
        """The samples of one epoch from these clips; deterministic if `rng` is `None`."""
        ...

    def load(self, samples: Sequence[Sample], rng: np.random.Generator | None) -> dict[str, Tensor]:
        """The network's inputs for these samples, by argument name, on the CPU; augmented unless
        `rng` is `None`.
        """
        ...

    def digest(self) -> str:
        """Hex digest of all training data."""
        ...


@dataclass(frozen=True)
class Learned:
    """Results of training besides the weights.

    Attributes:
        log: one record per epoch.
        inner_subjects: subjects held out of the gradient.
    """

    log: tuple[dict[str, Any], ...]
    inner_subjects: tuple[str, ...]
    seconds: float


def learn(
    net: nn.Module,
    material: Material,
    classes: int,
    settings: Learning,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    checkpoint: StrPath | None = None,
    about: Mapping[str, Any] | None = None,
    parts: Sequence[tuple[str, Any]] = (),
    callbacks: Sequence[Callback] = (),
) -> Learned:
    """Train `net` in place; it ends on the CPU in eval mode, and torch's global generator is
    restored.

    Args:
        net: called with the inputs of `Material.load`; returns (n, classes) logits.
        checkpoint: a file, written after every epoch; training continues from it if it exists.
        about: further plain values that must equal those of the checkpoint (the network's
            configuration).
        parts: pairs of kind and part whose code, if it is not aumer's, must also equal that of the
            checkpoint (the recognizer's class); see `aumer.identity`. Network and material are
            included.

    Raises:
        UsageError: fewer than two training clips, a checkpoint of another run, or NaN or infinite
            values in training.
        ConfigError: as `require_rates`.
        WeightsError: the checkpoint is damaged.
    """
    begun = time.perf_counter()
    require_rates(net, settings)
    inner = inner_subjects(material.subjects, settings.inner_share, seed)
    kept_out = np.array([s in inner for s in material.subjects], bool)
    rows = np.flatnonzero(~kept_out).astype(np.int64)
    if len(rows) < 2:
        raise UsageError(f"training needs two clips or more; found {len(rows)}")
    task = _Recognition(
        net,
        material,
        classes,
        settings,
        rows,
        np.flatnonzero(kept_out).astype(np.int64),
        seed,
        Machine(device, mixed_precision=settings.mixed_precision),
        dict(about or {}),
        tuple(parts),
    )
    log = engine.train(task, settings, seed=seed, checkpoint=checkpoint, callbacks=callbacks)
    return Learned(log, inner, time.perf_counter() - begun)


def require_rates(net: nn.Module, settings: Learning) -> None:
    """Raise an error if `Learning.rates` names parts that the network does not have.

    Raises:
        ConfigError: names one, and those that exist.
    """
    parts = [name for name, _ in net.named_children()]
    for part in settings.rates:
        if part not in parts:
            raise ConfigError(
                f"learning.rates.{part}: the network has no such part; it has {', '.join(parts)}."
                f"{did_you_mean(part, parts)}"
            )


def class_weights(labels: npt.NDArray[np.int64], classes: int) -> Tensor:
    """(C,) float32: n / (C n_c), so that the mean weight of samples is 1; an absent class counts as
    one sample.
    """
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    return torch.from_numpy(len(labels) / (classes * counts)).float()


def sample_losses(logits: Tensor, labels: Tensor, settings: Learning) -> Tensor:
    """(n,) loss of each sample, without class weights."""
    if settings.loss == "focal":
        log_p = torch.log_softmax(logits, 1).gather(1, labels[:, None])[:, 0]
        return -((1 - log_p.exp()).clamp(min=0) ** settings.gamma) * log_p
    return nn.functional.cross_entropy(
        logits, labels, reduction="none", label_smoothing=settings.label_smoothing
    )


@dataclass(frozen=True, eq=False)
class _Batch:
    """Samples of a step with their classes; `draw` is the seed of the step."""

    samples: list[Sample]
    labels: IntArray
    draw: int


class _Recognition(LearningTask[_Batch]):
    """The training task of a recognizer's network."""

    def __init__(
        self,
        net: nn.Module,
        material: Material,
        classes: int,
        settings: Learning,
        rows: IntArray,
        inner: IntArray,
        seed: int,
        machine: Machine,
        about: Mapping[str, Any],
        parts: tuple[tuple[str, Any], ...],
    ) -> None:
        self.net, self.machine = net, machine
        self._material, self._classes, self._settings = material, classes, settings
        self._rows, self._inner, self._seed = rows, inner, seed
        self._about, self._parts = about, parts
        self._weights = torch.ones(classes)  # of this epoch's samples

    def facts(self) -> dict[str, Any]:
        return {
            "settings": self._settings.to_dict(),
            "seed": self._seed,
            "classes": self._classes,
            "material": self._material.digest(),
            "about": self._about,
        }

    def parts(self) -> tuple[tuple[str, Any], ...]:
        return (*super().parts(), ("material", type(self._material)), *self._parts)

    def torch_seed(self, epoch: int, rank: int) -> int:
        mixed = np.random.SeedSequence([self._seed, epoch, rank])
        return int(mixed.generate_state(1, np.uint32)[0])

    def batches(self, epoch: int, rng: np.random.Generator) -> tuple[int, Iterator[_Batch]]:
        samples = self._material.draw(self._rows, rng)
        labels = self._material.labels[[clip for clip, _ in samples]]
        if self._settings.class_weights:
            self._weights = class_weights(labels, self._classes)
            if self._settings.divide_by == "samples":
                self._weights /= self._weights.mean()
        parts = _batches(rng.permutation(len(samples)), self._settings.batch)
        if not epoch:
            self._first_statistics([samples[i] for i in parts[0]])
        return len(parts), (
            _Batch([samples[i] for i in part], labels[part], int(rng.integers(2**31)))
            for part in parts
        )

    @torch.no_grad()
    def _first_statistics(self, samples: Sequence[Sample]) -> None:
        """Initialize batch norms' running mean and variance from the first batch, not with 0 and 1,
        which would persist in a short training with small activations.
        """
        norms = batch_norms(self.net)
        if not norms:
            return
        usual = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        self._logits(samples, None)
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum

    def loss(self, batch: _Batch) -> Loss:
        machine = self.machine
        # A separate seed for each position in the batch, whichever process has it.
        rng = np.random.default_rng([self._seed, 3, batch.draw, machine.rank])
        samples = batch.samples[machine.share]
        labels = torch.from_numpy(batch.labels[machine.share])
        w = self._weights[labels]
        own = self._divisor(w)
        whole = machine.total(own.to(machine.device))
        loss, right = torch.zeros(()), 0
        if samples:
            logits = self._logits(samples, rng)
            each = sample_losses(logits, labels.to(machine.device), self._settings)
            loss = (w.to(machine.device) * each).sum()
            right = int((logits.detach().argmax(1).cpu() == labels).sum())
        sums = {"loss": float(loss.detach()), "weight": float(own), "right": right}
        seen = {**sums, "shown": len(samples)}
        return Loss(
            loss / whole.to(loss.device),
            {name: torch.tensor(value, dtype=torch.float64) for name, value in seen.items()},
        )

    def summary(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"loss": sums["loss"] / sums["weight"], "accuracy": sums["right"] / sums["shown"]}

    def inner(self) -> dict[str, float]:
        """Loss and accuracy on the inner subjects, without augmentation, one sample per clip."""
        if not len(self._inner):
            return {}
        samples = self._material.draw(self._inner, None)
        labels = torch.from_numpy(self._material.labels[[clip for clip, _ in samples]])
        size = self._settings.batch
        logits = torch.cat(
            [self._logits(samples[k : k + size], None).cpu() for k in range(0, len(samples), size)]
        )
        w = self._weights[labels]
        losses = w * sample_losses(logits, labels, self._settings)
        loss = losses.sum() / self._divisor(w)
        right = (logits.argmax(1) == labels).float().mean()
        return {"inner_loss": float(loss), "inner_accuracy": float(right)}

    def groups(self, weight_decay: float) -> list[dict[str, Any]]:
        rates = self._settings.rates
        if not rates:
            return super().groups(weight_decay)
        found: dict[float, list[nn.Parameter]] = {1.0: []}
        for name, p in self.net.named_parameters():
            if p.requires_grad:
                found.setdefault(rates.get(name.partition(".")[0], 1.0), []).append(p)
        return [
            {"params": some, "weight_decay": weight_decay, "factor": factor}
            for factor, some in found.items()
        ]

    def _divisor(self, weights: Tensor) -> Tensor:
        """() divisor of the weighted losses of samples with these weights (n,)."""
        by_weight = self._settings.divide_by == "weights"
        return weights.sum() if by_weight else torch.tensor(float(len(weights)))

    def _logits(self, samples: Sequence[Sample], rng: np.random.Generator | None) -> Tensor:
        return self.machine.forward(self.net, **self._material.load(samples, rng))


def _batches(order: npt.NDArray[np.int64], size: int) -> list[npt.NDArray[np.int64]]:
    """`order` in parts of `size`; a last part of one sample joins the part before, since batch norm
    needs two.
    """
    parts = [order[k : k + size] for k in range(0, len(order), size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts


def multiply_adds(net: nn.Module, inputs: Mapping[str, Tensor]) -> int:
    """Multiply-adds of one forward pass in eval mode, by torch's flop counter.

    It counts convolutions, matrix products and attention, but not LSTM cells.
    """
    from torch.utils.flop_counter import FlopCounterMode

    was = net.training
    net.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(**inputs)
    net.train(was)
    return int(counter.get_total_flops()) // 2


def parameter_count(net: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def content_hash(arrays: Sequence[npt.NDArray[Any]], *texts: str) -> str:
    """Hex SHA-256 of arrays (shape, type and bytes) and texts: for `Material.digest`."""
    known = hashlib.sha256()
    for text in texts:
        known.update(text.encode() + b"\0")
    for array in arrays:
        known.update(f"{array.shape}{array.dtype}".encode())
        known.update(np.ascontiguousarray(array).data)
    return known.hexdigest()
