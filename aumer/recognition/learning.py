"""The training that every recogniser shares: loss, optimizer, schedule, early stopping, resuming.

Every epoch draws from generators seeded by (seed, epoch), so that a run that was killed and goes on
gives the weights of one that was not, bit for bit on a CPU with the same number of threads.

Under ``torchrun`` each process takes its share of every batch and gradients are added up, so that a
step is that of the whole batch; only batch norm and dropout see the shares.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed, nn

from aumer.config import digest
from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath, atomic_write
from aumer.strict import plain, require
from aumer.types import IntArray

_FORMAT = "aumer-learning-1"
#: Relative fall of the loss that a plateau is measured by.
_PROGRESS = 1e-4
#: Called after every epoch with its record: epoch, lr, loss, accuracy, inner loss, seconds.
Callback = Callable[[dict[str, Any]], object]
#: A clip's index, and a number that says which view of it.
Sample = tuple[int, int]


@dataclass(frozen=True)
class Learning:
    """How a network is trained.

    Attributes:
        loss: cross-entropy, or the focal loss (Lin et al. 2017), which weighs a sample by
            (1 - p)^gamma, p its own class's probability.
        class_weights: weigh each class by the inverse of its frequency among the samples shown.
        label_smoothing: of the cross-entropy.
        optimizer, lr, weight_decay, momentum: the last is SGD's.
        schedule: "plateau" multiplies lr by `factor`, down to `min_lr`, once the loss (the inner
            one, where there is one) has not fallen for more than `plateau` epochs; "cosine" goes to
            0 over all epochs.
        epochs, batch: passes over the samples; samples per step, over all processes.
        clip: largest norm of a step's gradient, 0 for any.
        inner_share: share of the training subjects that are kept out of the gradient; 0 uses all.
        patience: epochs without a smaller loss on the inner subjects before training stops; the
            best epoch's weights are kept. 0 trains all epochs and keeps the last.
        mixed_precision: bfloat16 in the forward pass.

    Raises:
        ConfigError: a value out of range.
    """

    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    class_weights: bool = True
    gamma: float = 2.0
    label_smoothing: float = 0.0
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.0
    schedule: Literal["constant", "plateau", "cosine"] = "constant"
    factor: float = 0.5
    plateau: int = 5
    min_lr: float = 1e-6
    epochs: int = 50
    batch: int = 16
    clip: float = 0.0
    inner_share: float = 0.0
    patience: int = 0
    mixed_precision: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (
            ("loss", ("cross-entropy", "focal")),
            ("optimizer", ("adam", "adamw", "sgd")),
            ("schedule", ("constant", "plateau", "cosine")),
        ):
            value = getattr(self, name)
            require(value in allowed, name, value, f"one of {', '.join(allowed)}")
        require(self.lr > 0, "lr", self.lr, "> 0")
        require(self.epochs >= 1, "epochs", self.epochs, ">= 1")
        require(self.batch >= 2, "batch", self.batch, ">= 2, which batch norm needs")
        for name in ("gamma", "weight_decay", "clip", "patience", "plateau", "min_lr"):
            require(getattr(self, name) >= 0, name, getattr(self, name), ">= 0")
        for name in ("label_smoothing", "momentum", "inner_share"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        require(0 < self.factor < 1, "factor", self.factor, "between 0 and 1")
        require(
            not self.patience or self.inner_share > 0,
            "patience",
            self.patience,
            "0 where inner_share is 0: without inner subjects there is nothing to stop on",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON and TOML have them."""
        return plain(self)


class Material(Protocol):
    """What a network learns from: clips, of which samples are drawn anew every epoch.

    Attributes:
        labels: (N,) int64, the class of each clip.
        subjects: whose each clip is.
    """

    labels: IntArray
    subjects: tuple[str, ...]

    def draw(self, clips: IntArray, rng: np.random.Generator | None) -> list[Sample]:
        """The samples of one epoch from these clips; without chance for `None`."""
        ...

    def load(self, samples: Sequence[Sample], rng: np.random.Generator | None) -> dict[str, Tensor]:
        """What the network reads of these samples, by the names of its arguments, on the CPU;
        augmented unless `rng` is `None`."""
        ...

    def digest(self) -> str:
        """Hex digest of all of it: another material, another digest."""
        ...


@dataclass(frozen=True)
class Learned:
    """What training leaves beside the weights.

    Attributes:
        log: one record per epoch.
        inner_subjects: those kept out of the gradient.
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
    callbacks: Sequence[Callback] = (),
) -> Learned:
    """Train `net` in place; it is left on the CPU in eval mode, torch's own generator as it was.

    Args:
        net: called with what `Material.load` gives; returns (n, classes) logits.
        checkpoint: a file; written after every epoch and, where it is there, gone on from.
        about: further plain values that a checkpoint must agree in (the network's configuration).

    Raises:
        UsageError: fewer than two clips to train on, a checkpoint of another run, or numbers that
            leave the finite.
        WeightsError: the checkpoint is damaged.
    """
    begun = time.perf_counter()
    path = None if checkpoint is None else Path(checkpoint)
    inner = inner_subjects(material.subjects, settings.inner_share, seed)
    kept_out = np.array([s in inner for s in material.subjects], bool)
    rows = np.flatnonzero(~kept_out).astype(np.int64)
    if len(rows) < 2:
        raise UsageError(f"training needs two clips or more; found {len(rows)}")
    run = _Run(
        net.to(torch.device(device)),
        material,
        classes,
        settings,
        rows,
        np.flatnonzero(kept_out).astype(np.int64),
        seed,
        torch.device(device),
    )
    with torch.random.fork_rng(devices=[]):
        if path is not None:
            facts = {
                "settings": settings.to_dict(),
                "seed": seed,
                "classes": classes,
                "material": material.digest(),
                "about": dict(about or {}),
            }
            run.go(path, digest(facts), callbacks)
        else:
            run.go(None, "", callbacks)
    net.to("cpu").eval()
    return Learned(tuple(run.log), inner, time.perf_counter() - begun)


def inner_subjects(subjects: Sequence[str], share: float, seed: int) -> tuple[str, ...]:
    """Subjects kept out of the gradient: a share of all, at least one, drawn by `seed`.

    Raises:
        UsageError: there are not two subjects to part.
    """
    if share == 0:
        return ()
    known = sorted(set(subjects))
    if len(known) < 2:
        raise UsageError(
            f"inner_share = {share:g} keeps subjects out of the training ones, and there is only "
            f"{', '.join(known) or 'none'}; set inner_share = 0 and patience = 0"
        )
    count = min(len(known) - 1, max(1, round(share * len(known))))
    rng = np.random.default_rng([seed, 1])
    return tuple(sorted(rng.choice(np.array(known), count, replace=False).tolist()))


def class_weights(labels: npt.NDArray[np.int64], classes: int) -> Tensor:
    """(C,) float32: n / (C n_c), so that a sample's mean weight is 1; an absent class counts as one
    sample."""
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    return torch.from_numpy(len(labels) / (classes * counts)).float()


def sample_losses(logits: Tensor, labels: Tensor, settings: Learning) -> Tensor:
    """(n,) loss of each sample, not weighted by class."""
    if settings.loss == "focal":
        log_p = torch.log_softmax(logits, 1).gather(1, labels[:, None])[:, 0]
        return -((1 - log_p.exp()).clamp(min=0) ** settings.gamma) * log_p
    return nn.functional.cross_entropy(
        logits, labels, reduction="none", label_smoothing=settings.label_smoothing
    )


def rate(settings: Learning, done: float, losses: Sequence[float]) -> float:
    """Learning rate after `done` of all epochs, the past epochs' losses being `losses`.

    A pure function of the past, so that a resumed run needs no state of a scheduler.
    """
    if settings.schedule == "cosine":
        return settings.lr * 0.5 * (1 + math.cos(math.pi * done))
    lr, best, waited = settings.lr, math.inf, 0
    if settings.schedule == "plateau":
        for loss in losses:
            if loss < best * (1 - _PROGRESS):
                best, waited = loss, 0
            else:
                waited += 1
            if waited > settings.plateau:
                lr, waited = max(lr * settings.factor, settings.min_lr), 0
    return lr


@contextlib.contextmanager
def torchrun(device: str | torch.device = "cpu") -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started; alone, do nothing.

    Yields:
        this process's device: its own GPU, where `device` is "cuda".
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield torch.device(device)
        return
    own = torch.device(device)
    if own.type == "cuda":
        own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(own)
    distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield own
    finally:
        distributed.destroy_process_group()


class _Processes:
    """The processes that train together; one, where no group was joined."""

    def __init__(self, device: torch.device) -> None:
        joined = distributed.is_available() and distributed.is_initialized()
        self.count = distributed.get_world_size() if joined else 1
        self.rank = distributed.get_rank() if joined else 0
        self._device = device

    def total(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.count > 1:
            value = value.detach().clone()
            distributed.all_reduce(value)
        return value

    def add_gradients(self, net: nn.Module) -> None:
        if self.count == 1:
            return
        parameters = [p for p in net.parameters() if p.requires_grad]
        for p in parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        distributed.all_reduce(flat)
        parts = torch.split(flat, [p.numel() for p in parameters])
        for p, part in zip(parameters, parts, strict=True):
            p.grad = part.view_as(p)

    def agree(self, net: nn.Module) -> None:
        """Take the mean of what each process's batch norms saw."""
        if self.count == 1:
            return
        for buffer in net.buffers():
            if buffer.is_floating_point():
                distributed.all_reduce(buffer)
                buffer /= self.count


class _Run:
    """One network on its way."""

    def __init__(
        self,
        net: nn.Module,
        material: Material,
        classes: int,
        settings: Learning,
        rows: IntArray,
        inner: IntArray,
        seed: int,
        device: torch.device,
    ) -> None:
        self.net, self.material, self.settings = net, material, settings
        self.classes, self.rows, self.inner = classes, rows, inner
        self.seed, self.device = seed, device
        self.processes = _Processes(device)
        self.optimizer = _optimizer(net, settings)
        self.log: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] | None = None

    def go(self, checkpoint: Path | None, known: str, callbacks: Sequence[Callback]) -> None:
        if checkpoint is not None and checkpoint.exists():
            self._resume(checkpoint, known)
        for epoch in range(len(self.log), self.settings.epochs):
            if self._stopped():
                break
            self._epoch(epoch)
            if self.processes.rank == 0:
                if checkpoint is not None:
                    self._save(checkpoint, known)
                for callback in callbacks:
                    callback(self.log[-1])
        if self.best is not None:
            self.net.load_state_dict(self.best)

    def _epoch(self, epoch: int) -> None:
        begun, settings = time.perf_counter(), self.settings
        self._seed(epoch)
        rng = np.random.default_rng([self.seed, 2, epoch])
        samples = self.material.draw(self.rows, rng)
        labels = self.material.labels[[clip for clip, _ in samples]]
        weights = torch.ones(self.classes)
        if settings.class_weights:
            weights = class_weights(labels, self.classes)
        batches = _batches(rng.permutation(len(samples)), settings.batch)
        self.net.train()
        if not epoch:
            self._first_statistics([samples[i] for i in batches[0]])
        sums = torch.zeros(3, dtype=torch.float64)  # loss times weight, weight, right answers
        lr = settings.lr
        for k, batch in enumerate(batches):
            lr = rate(settings, (epoch + k / len(batches)) / settings.epochs, self._losses())
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            # Its own chance for every sample's place, whichever process shows it.
            mine = batch[self.processes.rank :: self.processes.count]
            self.optimizer.zero_grad(set_to_none=True)
            sums += self._step(
                [samples[i] for i in mine], labels[mine], weights, int(rng.integers(2**31))
            )
        self.processes.agree(self.net)
        sums = self.processes.total(sums)
        record: dict[str, Any] = {"epoch": epoch + 1, "lr": lr}
        record["loss"] = float(sums[0] / sums[1])
        record["accuracy"] = float(sums[2]) / len(samples)
        if len(self.inner):
            record |= self._judge(weights)
            least = min([r["inner_loss"] for r in self.log], default=math.inf)
            if settings.patience and record["inner_loss"] <= least:
                self.best = _copied(self.net.state_dict())
        record["seconds"] = round(time.perf_counter() - begun, 3)
        if not all(math.isfinite(v) for v in record.values()):
            raise UsageError(
                f"training left the numbers in epoch {epoch + 1}: {record}. Lower lr "
                f"(now {settings.lr:g}), or set clip = 1"
            )
        self.log.append(record)

    @torch.no_grad()
    def _first_statistics(self, samples: Sequence[Sample]) -> None:
        """Batch norms' running mean and variance begin as the first batch's, and not as 0 and 1,
        which outlast a short training where activations are small."""
        norms = [m for m in self.net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        if not norms:
            return
        usual = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        self._logits(samples, None)
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum

    def _step(
        self, samples: Sequence[Sample], labels: IntArray, weights: Tensor, draw: int
    ) -> Tensor:
        """One step on this process's share of a batch; its part of the epoch's sums."""
        rng = np.random.default_rng([self.seed, 3, draw, self.processes.rank])
        y = torch.from_numpy(labels)
        w = weights[y]
        whole = self.processes.total(w.sum().to(self.device))
        loss, right = torch.zeros(()), 0
        if len(samples):
            logits = self._logits(samples, rng)
            loss = (
                w.to(self.device) * sample_losses(logits, y.to(self.device), self.settings)
            ).sum()
            torch.autograd.backward(loss / whole)
            right = int((logits.detach().argmax(1).cpu() == y).sum())
        self.processes.add_gradients(self.net)
        if self.settings.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.settings.clip)
        self.optimizer.step()
        return torch.tensor([float(loss.detach()), float(w.sum()), right], dtype=torch.float64)

    def _logits(self, samples: Sequence[Sample], rng: np.random.Generator | None) -> Tensor:
        inputs = self.material.load(samples, rng)
        on_device = {k: v.to(self.device, non_blocking=True) for k, v in inputs.items()}
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.settings.mixed_precision
        ):
            logits: Tensor = self.net(**on_device)
        return logits.float()

    @torch.no_grad()
    def _judge(self, weights: Tensor) -> dict[str, float]:
        """Loss and accuracy on the inner subjects: no augmentation, one sample a clip."""
        self.net.eval()
        samples = self.material.draw(self.inner, None)
        labels = torch.from_numpy(self.material.labels[[clip for clip, _ in samples]])
        logits = torch.cat(
            [
                self._logits(samples[k : k + self.settings.batch], None).cpu()
                for k in range(0, len(samples), self.settings.batch)
            ]
        )
        w = weights[labels]
        loss = (w * sample_losses(logits, labels, self.settings)).sum() / w.sum()
        right = (logits.argmax(1) == labels).float().mean()
        # One process's rounding must not stop it before the others.
        both = self.processes.total(torch.stack([loss, right]).to(self.device)).cpu()
        mean = (both / self.processes.count).tolist()
        return {"inner_loss": mean[0], "inner_accuracy": mean[1]}

    def _losses(self) -> list[float]:
        return [r.get("inner_loss", r["loss"]) for r in self.log]

    def _stopped(self) -> bool:
        if not self.settings.patience or not self.log:
            return False
        losses = self._losses()
        return len(losses) - 1 - int(np.argmin(losses)) >= self.settings.patience

    def _seed(self, epoch: int) -> None:
        mixed = np.random.SeedSequence([self.seed, epoch, self.processes.rank])
        torch.manual_seed(int(mixed.generate_state(1, np.uint32)[0]))

    def _save(self, path: Path, known: str) -> None:
        from safetensors.torch import save

        slots = self.optimizer.state_dict()
        tensors = {f"weights.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in (self.best or {}).items()}
        for number, slot in slots["state"].items():
            tensors |= {f"optimizer.{number}.{k}": v for k, v in slot.items() if v is not None}
        about = {
            "format": _FORMAT,
            "digest": known,
            "log": self.log,
            "groups": slots["param_groups"],
        }
        whole = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        atomic_write(path, save(whole, {"aumer": json.dumps(about)}), overwrite=True)

    def _resume(self, path: Path, known: str) -> None:
        about, tensors = _checkpoint(path)
        if about["digest"] != known:
            raise UsageError(
                f"{path} is the checkpoint of another run: clips, settings, network or seed "
                "differ. Give another file, or delete it to begin anew"
            )
        slots: dict[int, dict[str, Tensor]] = {}
        for name in tensors:
            if name.startswith("optimizer."):
                _, number, key = name.split(".")
                slots.setdefault(int(number), {})[key] = tensors[name]
        self.net.load_state_dict(_part(tensors, "weights."))
        self.optimizer.load_state_dict({"state": slots, "param_groups": about["groups"]})
        self.log = list(about["log"])
        self.best = _part(tensors, "best.") or None


def _optimizer(net: nn.Module, settings: Learning) -> torch.optim.Optimizer:
    parameters = [p for p in net.parameters() if p.requires_grad]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, settings.lr, weight_decay=settings.weight_decay)


def _batches(order: npt.NDArray[np.int64], size: int) -> list[npt.NDArray[np.int64]]:
    """`order` in parts of `size`; a last part of one joins the part before: batch norm has no
    variance of one."""
    parts = [order[k : k + size] for k in range(0, len(order), size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts


def _checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["aumer"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["format"] != _FORMAT:
            raise KeyError(f"its format is {about['format']!r}")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} is not a checkpoint of a recogniser's training: {error}. Delete it to begin "
            "anew"
        ) from error
    return about, tensors


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in weights.items()}


def multiply_adds(net: nn.Module, inputs: Mapping[str, Tensor]) -> int:
    """Multiply-adds of one forward pass in eval mode, as torch's flop counter counts them.

    It counts convolutions, matrix products and attention, and not LSTM cells.
    """
    from torch.utils.flop_counter import FlopCounterMode

    was = net.training
    net.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(**inputs)
    net.train(was)
    return int(counter.get_total_flops()) // 2


def parameter_count(net: nn.Module) -> int:
    """Learned numbers."""
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
