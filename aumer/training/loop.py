"""The training of one spotting network: its task for `aumer.learning.engine`, and the threshold."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from aumer.errors import UsageError
from aumer.evaluation.matching import count
from aumer.files import StrPath
from aumer.graph import AUGraph
from aumer.learning import engine
from aumer.learning.engine import Callback, LearningTask, Loss
from aumer.learning.inner import inner_subjects
from aumer.learning.machine import Machine
from aumer.spotting.ensemble import EnsembleNetwork
from aumer.spotting.net import SpottingNetwork
from aumer.spotting.parts import Across, TrackDecoder, alone
from aumer.training.samples import (
    Batch,
    Samples,
    input_statistics,
    make_samples,
    measured_with,
    truth_intervals,
)
from aumer.training.settings import TrainSettings
from aumer.training.videos import LabeledVideo, observed, subjects_of
from aumer.types import KINDS, Counts

#: Lowest threshold that a decoder may be given, and the grid it is chosen from.
THRESHOLDS: tuple[float, ...] = tuple(round(0.2 + 0.02 * k, 2) for k in range(36))
#: Beside the terms of the loss, the windows that they are of.
_SHOWN = "shown"


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """What training gives.

    Attributes:
        net: in eval mode, on the CPU; its card says what motion it was trained on. An
            `EnsembleNetwork` if the settings ask for several members.
        decoder: with the threshold chosen on the inner subjects, where there were any.
        log: one record per epoch of each member.
        inner_subjects: those kept out of the gradient.
    """

    net: SpottingNetwork
    decoder: TrackDecoder
    log: tuple[dict[str, Any], ...]
    inner_subjects: tuple[str, ...] = ()
    seconds: float = field(default=0.0)


def train(
    videos: Sequence[LabeledVideo],
    settings: TrainSettings,
    *,
    graph: AUGraph | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    checkpoint: StrPath | None = None,
    callbacks: Sequence[Callback] = (),
    decoder: TrackDecoder | None = None,
) -> TrainedNetwork:
    """Train a network on `videos` and nothing else.

    Args:
        graph: the prior; None takes the one that the network's preset names, which was counted on
            a whole data set: for LOSO give one without the test subject.
        checkpoint: a file; written after every epoch and, where it is there, gone on from. Every
            member of an ensemble has its own (`checkpoint_of`).
        decoder: whose threshold is set, if it has one; None takes the one that `settings` name.

    Raises:
        UsageError: nothing to train on, features that do not fit, or a checkpoint of another run.
        WeightsError: the checkpoint is damaged.
        ConfigError, UsageError: as the network.
    """
    begun = time.perf_counter()
    if not videos:
        raise UsageError("no video is left to train on")
    inner = inner_subjects(subjects_of(observed(videos)), settings.inner_share, seed)
    outer_videos = [v for v in videos if v.subject not in inner]
    inner_videos = [v for v in videos if v.subject in inner]

    machine = Machine(device, mixed_precision=settings.mixed_precision)
    nets, log = [], []
    for member in range(settings.members):
        one_seed = seed * settings.members + member  # so that runs of other seeds share none
        with torch.random.fork_rng(devices=[]):  # the caller's generator is none of our business
            torch.manual_seed(_mixed(one_seed))
            net = settings.net_config().network(graph)
        net.set_input_statistics(*input_statistics(outer_videos, net.config))
        net.card["motion"] = measured_with(videos)
        records = engine.train(
            _Spotting(net, settings, outer_videos, inner_videos, one_seed, machine),
            settings,
            seed=one_seed,
            checkpoint=None if checkpoint is None else checkpoint_of(checkpoint, member),
            callbacks=[_numbered(callback, member, settings) for callback in callbacks],
        )
        nets.append(net)
        log += [_record(record, member, settings) for record in records]
    net = nets[0] if settings.members == 1 else EnsembleNetwork.of(nets)
    chosen = decoder or TrackDecoder.named(settings.decoder)
    if inner_videos and (best := best_threshold(net, chosen, inner_videos)) is not None:
        chosen = chosen.at(best)
    return TrainedNetwork(net, chosen, tuple(log), inner, time.perf_counter() - begun)


def checkpoint_of(path: StrPath, member: int) -> Path:
    """The checkpoint of one member of an ensemble; that of the first is `path` itself."""
    first = Path(path)
    return first.with_name(f"{first.stem}-{member}{first.suffix}") if member else first


def _record(record: dict[str, Any], member: int, settings: TrainSettings) -> dict[str, Any]:
    """An epoch's record, in an ensemble numbered through all members."""
    if settings.members == 1:
        return record
    epoch = member * settings.epochs + record["epoch"]
    return {**record, "epoch": epoch, "member": member + 1}


def _numbered(callback: Callback, member: int, settings: TrainSettings) -> Callback:
    return lambda record: callback(_record(record, member, settings))


def best_threshold(
    net: SpottingNetwork, decoder: TrackDecoder, videos: Sequence[LabeledVideo]
) -> float | None:
    """The threshold with the highest overall F1 (IoU .5, kind required) on `videos`.

    Of equals the middle one of the longest stretch is taken, which is likeliest to hold elsewhere.
    None where the decoder has none.
    """
    if decoder.threshold is None:
        return None
    low = decoder.at(THRESHOLDS[0])
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
    # One threshold of a flat top is luck; its neighbors' mean says which top is broad.
    smooth = np.convolve(np.pad(f1, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    return THRESHOLDS[int(smooth.argmax())]


class _Spotting(LearningTask[Batch]):
    """A spotting network and its samples."""

    loss_name = "loss_total"

    def __init__(
        self,
        net: SpottingNetwork,
        settings: TrainSettings,
        videos: Sequence[LabeledVideo],
        inner: Sequence[LabeledVideo],
        seed: int,
        machine: Machine,
    ) -> None:
        self.net, self.machine = net, machine
        self._settings, self._seed, self._videos, self._kept_out = settings, seed, videos, inner
        self._samples = make_samples(videos, net.config, net.half_width, settings)
        # Judged without chance: no augmentation, and the same cuts every epoch.
        plain = replace(settings, mirror=False, amplitude_jitter=0.0)
        self._inner: Samples | None = (
            make_samples(inner, net.config, net.half_width, plain)
            if inner and settings.patience
            else None
        )

    def facts(self) -> dict[str, Any]:
        net = cast(SpottingNetwork, self.net)
        return {
            "settings": self._settings.to_dict(),
            "config": net.config.to_dict(),
            "graph": net.graph.digest,
            "seed": self._seed,
            "videos": _digest([*self._videos, *self._kept_out], self._settings),
            "inner": subjects_of(self._kept_out),
        }

    def parts(self) -> tuple[tuple[str, Any], ...]:
        return (*super().parts(), *self._settings.parts)

    def torch_seed(self, epoch: int, rank: int) -> int:
        return _mixed(self._seed, epoch, *([rank] if rank else []))

    def batches(self, epoch: int, rng: np.random.Generator) -> tuple[int, Iterator[Batch]]:
        return len(self._samples), self._samples.epoch(rng)

    def loss(self, batch: Batch) -> Loss:
        size = len(batch)
        share = batch[self.machine.share]
        shown = len(share)
        if not shown:  # the norms and the sums want something: the first window, at no weight
            share = replace(batch[:1], weight=torch.zeros_like(batch.weight[:1]))
        terms = self._terms(share, self.machine.total)
        sums = {name: value.detach() * size for name, value in terms.items()}
        return Loss(terms["total"], {**sums, _SHOWN: torch.tensor(float(shown))})

    def summary(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {f"loss_{k}": v / sums[_SHOWN] for k, v in sums.items() if k != _SHOWN}

    def inner(self) -> dict[str, float]:
        if self._inner is None:
            return {}
        total, seen = 0.0, 0
        for batch in self._inner.epoch(np.random.default_rng(0)):
            terms = self._terms(batch, alone)
            total += float(terms["total"]) * len(batch)
            seen += len(batch)
        return {"inner_loss": total / max(seen, 1)}

    def groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Weights decay; biases, norms and scales (all of one dimension) do not."""
        parameters = [p for p in self.net.parameters() if p.requires_grad]
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def _terms(self, batch: Batch, across: Across) -> dict[str, Tensor]:
        """What these windows, a part of a batch, add to each term of its loss."""
        batch = batch.to(self.machine.device)
        logits = self.machine.forward(self.net, batch.x, batch.valid)
        objective = self._settings.objective()
        return objective.loss(logits, batch.targets, batch.weight, across=across)


def _mixed(*numbers: int) -> int:
    """One seed from several numbers, so that an epoch depends on no earlier one."""
    state = 0
    for n in numbers:
        state = (state * 1_000_003 + n + 1) % (2**63 - 1)
    return state


def _digest(videos: Sequence[LabeledVideo], settings: TrainSettings) -> str:
    known = hashlib.sha256(settings.missing_offset.encode())
    for v in videos:
        known.update(f"{v.subject}/{v.name}/{v.features.rate}/{v.annotations}".encode())
        known.update(np.ascontiguousarray(v.features.values[v.features.valid]).tobytes())
        known.update(v.features.valid.tobytes())
    return known.hexdigest()
