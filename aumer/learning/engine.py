"""The training loop for all networks: steps, schedule, checkpoints, early stopping.

Every epoch uses a numpy generator seeded by (seed, epoch), and torch's as the task seeds it, so
that an interrupted and continued run gives the same weights as an unbroken one: bit for bit on the
CPU of one machine with the same number of threads. On other machines floating-point sums differ.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from aumer.config import digest
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.identity import recorded
from aumer.learning.checkpoint import State, load_state, save_state
from aumer.learning.machine import Machine
from aumer.learning.settings import LearningSettings
from aumer.process import use_threads

#: Called after every epoch with its record: epoch, lr, losses, seconds; in one process only.
Callback = Callable[[dict[str, Any]], object]
B = TypeVar("B")


@dataclass(frozen=True, eq=False)
class Loss:
    """The loss of a process's share of a batch.

    Attributes:
        down: () the value to minimize; the sum over processes is the loss of the batch.
        sums: () each, summed over the steps of an epoch and the processes; always the same names.
    """

    down: Tensor
    sums: Mapping[str, Tensor]


class LearningTask(ABC, Generic[B]):
    """Interface between the engine and a kind of network: network, data and loss.

    Attributes:
        net: trained in place.
        machine: device and processes; the engine moves the network there.
        loss_name: name of the loss in a record, used for decisions if there is no ``inner_loss``.
    """

    net: nn.Module
    machine: Machine
    loss_name: ClassVar[str] = "loss"

    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """Everything that the run depends on, as plain values; identifies the run of a
        checkpoint.
        """

    def parts(self) -> tuple[tuple[str, Any], ...]:
        """Kind and part of all code in training; identities of parts that are not aumer's are
        stored in checkpoints (`aumer.identity`).
        """
        return ("task", type(self)), ("network", type(self.net))

    @abstractmethod
    def torch_seed(self, epoch: int, rank: int) -> int | None:
        """Seed of torch's generator before an epoch; None continues its state."""

    @abstractmethod
    def batches(self, epoch: int, rng: np.random.Generator) -> tuple[int, Iterator[B]]:
        """An epoch's batches, equal for all processes, and their largest number.

        The network is in training mode, and each batch is requested after the step of the previous
        one.
        """

    @abstractmethod
    def loss(self, batch: B) -> Loss:
        """The loss of this process's share of a batch (`Machine.share`)."""

    @abstractmethod
    def summary(self, sums: Mapping[str, float]) -> dict[str, float]:
        """An epoch's record, from the sums of its steps; the sums are empty without steps."""

    def inner(self) -> dict[str, float]:
        """Values on the inner subjects, including ``inner_loss``; empty without inner subjects."""
        return {}

    def groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Parameter groups for the optimizer; a group may have a "factor" of the learning rate
        (default 1).
        """
        trained = [p for p in self.net.parameters() if p.requires_grad]
        return [{"params": trained, "weight_decay": weight_decay}]


def train(
    task: LearningTask[B],
    settings: LearningSettings,
    *,
    seed: int = 0,
    checkpoint: StrPath | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[dict[str, Any], ...]:
    """Train the task's network; it ends on the CPU in eval mode, and torch's generator is restored.

    Args:
        checkpoint: a file, written after every epoch; training continues from it if it exists.

    Returns:
        One record per epoch.

    Raises:
        UsageError: a checkpoint of another run, or NaN or infinite values in training.
        WeightsError: the checkpoint is damaged.
    """
    use_threads()
    task.net.to(task.machine.device)
    with torch.random.fork_rng(devices=[]):  # preserves the caller's generator
        run = _Run(task, settings, seed)
        run.go(None if checkpoint is None else Path(checkpoint), callbacks)
    task.net.to("cpu").eval()
    return tuple(run.log)


class _Run(Generic[B]):
    """A running training."""

    def __init__(self, task: LearningTask[B], settings: LearningSettings, seed: int) -> None:
        self.task, self.net, self.machine = task, task.net, task.machine
        self.settings, self.seed = settings, seed
        self.optimizer = _optimizer(task.groups(settings.weight_decay), settings)
        self.log: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] | None = None

    def go(self, checkpoint: Path | None, callbacks: Sequence[Callback]) -> None:
        known = "" if checkpoint is None else _known(self.task)
        if checkpoint is not None and checkpoint.exists():
            self._resume(checkpoint, known)
        for epoch in range(len(self.log), self.settings.epochs):
            if self._stopped():
                break
            self._epoch(epoch)
            if self.machine.rank == 0:
                if checkpoint is not None:
                    save_state(checkpoint, self._state(known))
                for callback in callbacks:
                    callback(self.log[-1])
        if self.best is not None:
            self.net.load_state_dict(self.best)

    def _epoch(self, epoch: int) -> None:
        begun, settings, task = time.perf_counter(), self.settings, self.task
        state = task.torch_seed(epoch, self.machine.rank)
        if state is not None:
            torch.manual_seed(state)
        rng = np.random.default_rng([self.seed, 2, epoch])
        self.net.train()
        steps, batches = task.batches(epoch, rng)
        losses, lr = self._losses(), 0.0
        sums: dict[str, Tensor] = {}
        for k, batch in enumerate(batches):
            done = (epoch + k / max(steps, 1)) / settings.epochs
            lr = settings.rate(done, losses)
            for group in self.optimizer.param_groups:
                group["lr"] = settings.rate(done, losses, group.get("factor", 1.0))
            for name, value in self._step(batch).items():
                sums[name] = sums[name] + value if name in sums else value
        self.machine.agree(self.net)
        record: dict[str, Any] = {"epoch": epoch + 1, "lr": lr}
        # Synchronize with the device once per epoch, not per step.
        record |= task.summary(self.machine.totals(sums))
        self.net.eval()
        with torch.no_grad():
            record |= self.machine.means(task.inner())
        if settings.patience and record.get("inner_loss", math.nan) <= min(
            losses, default=math.inf
        ):
            self.best = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
        record["seconds"] = round(time.perf_counter() - begun, 3)
        if not all(math.isfinite(v) for v in record.values()):
            raise UsageError(
                f"the loss became NaN or infinite in epoch {epoch + 1}: {record}. Lower lr "
                f"(now {settings.lr:g}), or set clip = 1"
            )
        self.log.append(record)

    def _step(self, batch: B) -> Mapping[str, Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.task.loss(batch)
        if loss.down.requires_grad:  # False if this process has no share of a small batch
            torch.autograd.backward(loss.down)
        self.machine.add_gradients(self.net)
        if self.settings.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.settings.clip)
        self.optimizer.step()
        return {name: value.detach() for name, value in loss.sums.items()}

    def _losses(self) -> list[float]:
        name = self.task.loss_name
        return [r.get("inner_loss", r.get(name, math.inf)) for r in self.log]

    def _stopped(self) -> bool:
        if not self.settings.patience or not self.log:
            return False
        losses = self._losses()
        return len(losses) - 1 - int(np.argmin(losses)) >= self.settings.patience

    def _state(self, known: str) -> State:
        return State(
            digest=known,
            weights=self.net.state_dict(),
            optimizer=self.optimizer.state_dict(),
            log=self.log,
            best=self.best,
            generator=torch.get_rng_state(),
        )

    def _resume(self, path: Path, known: str) -> None:
        state = load_state(path)
        if state.digest != known:
            raise UsageError(
                f"{path} is the checkpoint of another run: data, settings, network, graph, "
                "seed or code of yours differ. Give another file, or delete it to start "
                "again"
            )
        self.net.load_state_dict(state.weights)
        self.optimizer.load_state_dict(state.optimizer)
        self.log, self.best = list(state.log), state.best
        if state.generator is not None:
            torch.set_rng_state(state.generator)


def _known(task: LearningTask[Any]) -> str:
    """Digest of the run, for its checkpoint."""
    parts = recorded(task.parts())
    return digest({**task.facts(), **({"parts": parts} if parts else {})})


def _optimizer(groups: list[dict[str, Any]], settings: LearningSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, settings.lr, momentum=settings.momentum)
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, settings.lr)
