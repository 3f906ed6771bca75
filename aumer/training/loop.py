"""The training of one network: seeds, optimizer, schedule, checkpoints, early stopping, threshold.

Every epoch draws from generators seeded by (seed, epoch), so that a run that was killed and goes on
gives the weights of one that was not, bit for bit on a CPU with the same number of threads.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aumer.config import digest
from aumer.errors import UsageError
from aumer.evaluation.matching import count
from aumer.files import StrPath
from aumer.graph import AUGraph
from aumer.spotting.decode import Decoder
from aumer.spotting.losses import published_loss, spot_loss
from aumer.spotting.net import SpotNet
from aumer.training.checkpoint import State, copied, load_state, save_state, seeded
from aumer.training.samples import (
    Batch,
    Samples,
    input_statistics,
    make_samples,
    measured_with,
    truth_intervals,
)
from aumer.training.settings import TrainSettings
from aumer.training.videos import LabelledVideo, observed, subjects_of
from aumer.types import KINDS, Counts

#: Called after every epoch with its record: epoch, lr, seconds, loss and its terms, inner loss.
Callback = Callable[[dict[str, Any]], object]

#: Lowest threshold that a decoder may be given, and the grid it is chosen from.
THRESHOLDS: tuple[float, ...] = tuple(round(0.2 + 0.02 * k, 2) for k in range(36))


@dataclass(frozen=True, eq=False)
class Trained:
    """What training gives.

    Attributes:
        net: in eval mode, on the CPU; its card says what motion it was trained on.
        decoder: with the threshold chosen on the inner subjects, where there were any.
        log: one record per epoch.
        inner_subjects: those kept out of the gradient.
    """

    net: SpotNet
    decoder: Decoder
    log: tuple[dict[str, Any], ...]
    inner_subjects: tuple[str, ...] = ()
    seconds: float = field(default=0.0)


def train(
    videos: Sequence[LabelledVideo],
    settings: TrainSettings,
    *,
    graph: AUGraph | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    checkpoint: StrPath | None = None,
    callbacks: Sequence[Callback] = (),
    decoder: Decoder | None = None,
) -> Trained:
    """Train a network on `videos` and nothing else.

    Args:
        graph: the prior; None takes the one that the network's preset names, which was counted on
            a whole data set: for LOSO give one without the test subject.
        checkpoint: a file; written after every epoch and, where it is there, gone on from.
        decoder: whose threshold is set; ours with its defaults if None.

    Raises:
        UsageError: nothing to train on, features that do not fit, or a checkpoint of another run.
        WeightsError: the checkpoint is damaged.
        ConfigError, UsageError: as `SpotNet`.
    """
    begun = time.perf_counter()
    if not videos:
        raise UsageError("no video is left to train on")
    device = torch.device(device)
    inner = inner_subjects(subjects_of(observed(videos)), settings.inner_share, seed)
    outer_videos = [v for v in videos if v.subject not in inner]
    inner_videos = [v for v in videos if v.subject in inner]

    with torch.random.fork_rng(devices=[]):  # the caller's generator is none of our business
        seeded(seed)
        net = SpotNet(settings.net_config(), graph)
        net.set_input_statistics(*input_statistics(outer_videos, net.config))
        net.card["motion"] = measured_with(videos)
        run = _Run(net.to(device), settings, outer_videos, inner_videos, seed, device)
        run.go(Path(checkpoint) if checkpoint is not None else None, callbacks)

    net.to("cpu").eval()
    chosen = decoder or Decoder()
    if inner_videos:
        chosen = replace(chosen, threshold=best_threshold(net, chosen, inner_videos))
    return Trained(net, chosen, tuple(run.log), inner, time.perf_counter() - begun)


def inner_subjects(subjects: Sequence[str], share: float, seed: int) -> tuple[str, ...]:
    """Subjects kept out of the gradient: a share of all, at least one, drawn by `seed`.

    Raises:
        UsageError: there are not two subjects to part.
    """
    if share == 0:
        return ()
    if len(subjects) < 2:
        raise UsageError(
            f"inner_share = {share:g} keeps subjects out of the training ones, and there is "
            f"only {', '.join(subjects) or 'none'}; set inner_share = 0"
        )
    n = min(len(subjects) - 1, max(1, round(share * len(subjects))))
    rng = np.random.default_rng([seed, 1])
    return tuple(sorted(rng.choice(np.array(sorted(subjects)), n, replace=False).tolist()))


def best_threshold(net: SpotNet, decoder: Decoder, videos: Sequence[LabelledVideo]) -> float:
    """The threshold with the highest overall F1 (IoU .5, kind required) on `videos`.

    Of equals the middle one of the longest stretch is taken, which is likeliest to hold elsewhere.
    """
    low = replace(decoder, threshold=THRESHOLDS[0])
    found = [(v, low(net.scores(v.features))) for v in videos]
    f1 = np.array(
        [
            Counts.total(
                count(
                    [e.interval for e in spotted if e.kind == kind and e.score >= threshold],
                    truth_intervals(video)[kind],
                )
                for video, spotted in found
                for kind in KINDS
            ).f1
            for threshold in THRESHOLDS
        ]
    )
    if not f1.max() > 0:
        return decoder.threshold
    # One threshold of a flat top is luck; its neighbours' mean says which top is broad.
    smooth = np.convolve(np.pad(f1, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    return THRESHOLDS[int(smooth.argmax())]


class _Run:
    """One network on its way."""

    def __init__(
        self,
        net: SpotNet,
        settings: TrainSettings,
        videos: Sequence[LabelledVideo],
        inner: Sequence[LabelledVideo],
        seed: int,
        device: torch.device,
    ) -> None:
        self.net, self.settings, self.seed, self.device = net, settings, seed, device
        self.samples = make_samples(videos, net.config, net.half_width, settings)
        # Judged without chance: no augmentation, and the same cuts every epoch.
        plain = replace(settings, mirror=False, amplitude_jitter=0.0)
        self.inner: Samples | None = (
            make_samples(inner, net.config, net.half_width, plain)
            if inner and settings.patience
            else None
        )
        self.optimizer = torch.optim.AdamW(_groups(net, settings.weight_decay), lr=settings.lr)
        self.log: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] | None = None
        self.digest = digest(
            {
                "settings": settings.to_dict(),
                "config": net.config.to_dict(),
                "graph": net.graph.digest,
                "seed": seed,
                "videos": _digest([*videos, *inner], settings),
                "inner": subjects_of(inner),
            }
        )

    def go(self, checkpoint: Path | None, callbacks: Sequence[Callback]) -> None:
        if checkpoint is not None and checkpoint.exists():
            self._resume(load_state(checkpoint), checkpoint)
        for epoch in range(len(self.log), self.settings.epochs):
            if self._stopped():
                break
            self._epoch(epoch)
            if checkpoint is not None:
                save_state(checkpoint, self._state())
            for callback in callbacks:
                callback(self.log[-1])
        if self.best is not None:
            self.net.load_state_dict(self.best)

    def _epoch(self, epoch: int) -> None:
        begun, settings = time.perf_counter(), self.settings
        seeded(self.seed, epoch)
        rng = np.random.default_rng([self.seed, 2, epoch])
        self.net.train()
        sums: dict[str, Tensor] = {}
        seen = 0
        for k, batch in enumerate(self.samples.epoch(rng)):
            rate = self._lr(epoch, k)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            terms = self._terms(batch)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(terms["total"])
            if settings.clip:
                torch.nn.utils.clip_grad_norm_(self.net.parameters(), settings.clip)
            self.optimizer.step()
            # One number out of the device an epoch, not one a step.
            for name, value in terms.items():
                sums[name] = sums.get(name, 0) + value.detach() * len(batch)
            seen += len(batch)
        record: dict[str, Any] = {"epoch": epoch + 1, "lr": rate if seen else 0.0}
        record |= {f"loss_{name}": float(value) / seen for name, value in sums.items()}
        if self.inner is not None:
            record["inner_loss"] = self._inner_loss(self.inner)
            if record["inner_loss"] <= min(r["inner_loss"] for r in [*self.log, record]):
                self.best = copied(self.net.state_dict())
        record["seconds"] = round(time.perf_counter() - begun, 3)
        if not all(math.isfinite(v) for v in record.values()):
            raise UsageError(
                f"training left the numbers in epoch {epoch + 1}: {record}. Lower lr "
                f"(now {settings.lr:g}), or set clip = 1"
            )
        self.log.append(record)

    def _terms(self, batch: Batch) -> dict[str, Tensor]:
        batch = batch.to(self.device)
        mixed = self.settings.mixed_precision and self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            logits = self.net(batch.x, batch.valid)
        logits = logits.float()
        if self.settings.targets == "aumer":
            return spot_loss(logits, batch.targets, batch.weight)
        core = batch.weight[0] > 0
        return published_loss(logits[:, core], batch.targets[:, core], self.settings.macro_weight)

    @torch.no_grad()
    def _inner_loss(self, samples: Samples) -> float:
        self.net.eval()
        total, seen = 0.0, 0
        for batch in samples.epoch(np.random.default_rng(0)):
            total += float(self._terms(batch)["total"]) * len(batch)
            seen += len(batch)
        return total / max(seen, 1)

    def _lr(self, epoch: int, step: int) -> float:
        s = self.settings
        if s.schedule == "exponential":
            return s.lr * s.decay**epoch
        done = (epoch + step / max(len(self.samples), 1)) / s.epochs
        if done < s.warmup:
            return s.lr * (done / s.warmup + 1e-3)
        return s.lr * 0.5 * (1 + math.cos(math.pi * (done - s.warmup) / (1 - s.warmup)))

    def _stopped(self) -> bool:
        if not self.settings.patience or not self.log:
            return False
        losses = [r["inner_loss"] for r in self.log]
        return len(losses) - 1 - int(np.argmin(losses)) >= self.settings.patience

    def _state(self) -> State:
        return State(
            epoch=len(self.log),
            digest=self.digest,
            weights=self.net.state_dict(),
            optimizer=self.optimizer.state_dict(),
            log=self.log,
            best=self.best,
        )

    def _resume(self, state: State, path: Path) -> None:
        if state.digest != self.digest:
            raise UsageError(
                f"{path} is the checkpoint of another run: data, settings, graph or seed differ. "
                "Give another folder, or delete it to begin anew"
            )
        self.net.load_state_dict(state.weights)
        self.optimizer.load_state_dict(state.optimizer)
        self.log = list(state.log)
        self.best = state.best


def _groups(net: SpotNet, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay; biases, norms and scales (all of one dimension) do not."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _digest(videos: Sequence[LabelledVideo], settings: TrainSettings) -> str:
    known = hashlib.sha256(settings.missing_offset.encode())
    for v in videos:
        known.update(f"{v.subject}/{v.name}/{v.features.rate}/{v.annotations}".encode())
        known.update(np.ascontiguousarray(v.features.values[v.features.valid]).tobytes())
        known.update(v.features.valid.tobytes())
    return known.hexdigest()
