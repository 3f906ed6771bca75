"""Batches from labeled videos: windows of whole videos, or the published segments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from aumer.errors import UsageError
from aumer.spotting.auwgcn.targets import (
    PUBLISHED_CONTEXT,
    PUBLISHED_SEGMENT,
    published_segments,
)
from aumer.spotting.network import motion_record, motion_text
from aumer.spotting.parts import Architecture
from aumer.spotting.targets import TargetEvent, events
from aumer.training.settings import TrainSettings
from aumer.training.videos import LabeledVideo
from aumer.types import FloatArray, Interval

#: Windows of similar length are grouped within this many batches.
_POOL = 8


@dataclass(frozen=True, eq=False)
class Batch:
    """The data of one training step.

    Shapes:
        x (B, T, R, 2) as `Architecture.inputs` makes it; valid (B, T) bool; targets (B, T, 10);
        weight (B, T), 0 for context rows and unknown truth.
    """

    x: Tensor
    valid: Tensor
    targets: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, samples: slice) -> Batch:
        return Batch(
            self.x[samples], self.valid[samples], self.targets[samples], self.weight[samples]
        )

    def to(self, device: torch.device) -> Batch:
        return Batch(*(t.to(device) for t in (self.x, self.valid, self.targets, self.weight)))


class Samples(Protocol):
    """Source of the batches of an epoch; the same generator state gives the same batches."""

    def __len__(self) -> int:
        """Most batches in an epoch."""
        ...

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]: ...


def make_samples(
    videos: Sequence[LabeledVideo], config: Architecture, halo: int, settings: TrainSettings
) -> Samples:
    """The samples by `settings`; `halo` is the number of context rows that the network needs.

    Raises:
        UsageError: different rates or ROIs, or no samples.
    """
    for video in videos:
        if video.features.rois != videos[0].features.rois:
            raise UsageError(
                f"{video.subject}/{video.name} has the ROIs {', '.join(video.features.rois)}, "
                f"{videos[0].subject}/{videos[0].name} {', '.join(videos[0].features.rois)}; "
                "extract all features with the same motion.rois"
            )
        if not np.isclose(video.features.rate, config.rate, rtol=1e-3):
            raise UsageError(
                f"{video.subject}/{video.name} has {video.features.rate:g} rows per second, the "
                f"network reads {config.rate:g}: extract features with "
                f"`motion.rate={config.rate:g}`, or train with net_overrides rate = "
                f"{video.features.rate:g}"
            )
    if settings.samples == "segments":
        return Segments(videos, config, settings)
    return SampleWindows(videos, config, halo, settings)


def measured_with(videos: Sequence[LabeledVideo]) -> dict[str, Any] | None:
    """Common `motion_record` of all videos' features; None if unknown for any.

    Raises:
        UsageError: they differ.
    """
    found = [None if v.motion is None else motion_record(v.motion) for v in videos]
    known = [(v, record) for v, record in zip(videos, found, strict=True) if record is not None]
    for video, record in known:
        if record != known[0][1]:
            raise UsageError(
                f"the motion of {video.subject}/{video.name} was measured with "
                f"{motion_text(record)}, "
                f"that of {known[0][0].subject}/{known[0][0].name} with "
                f"{motion_text(known[0][1])}; "
                "extract all features with the same settings"
            )
    return known[0][1] if len(known) == len(videos) > 0 else None


def input_statistics(
    videos: Sequence[LabeledVideo], config: Architecture
) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation of the x and the y of ROIs in valid rows, (2,) each.

    Raises:
        UsageError: no video has a valid row.
    """
    rows = [
        config.inputs(v.features)[v.features.valid, : len(v.features.rois)].reshape(-1, 2)
        for v in videos
    ]
    every = np.concatenate(rows) if rows else np.zeros((0, 2))
    if not len(every):
        raise UsageError("no video has a row with a usable face: there is nothing to train on")
    # In 64 bit, since the mean of a million rows, mostly near 0, is inaccurate in 32 bit.
    mean, std = every.mean(axis=0, dtype=np.float64), every.std(axis=0, dtype=np.float64)
    return mean.astype(np.float32), np.maximum(std, 1e-8).astype(np.float32)


def events_of(video: LabeledVideo, settings: TrainSettings) -> tuple[TargetEvent, ...]:
    """The video's annotations in rows of its features."""
    return events(
        video.annotations, video.features.frames, missing_offset_policy=settings.missing_offset
    )


class SampleWindows:
    """Every row of every video once per epoch, in windows of at most the given length.

    A video is cut into equal windows, each with the network's context, so that cuts have no effect.
    Windows of similar length form batches, since padding (invalid rows of weight 0) takes as much
    time as data.
    """

    def __init__(
        self,
        videos: Sequence[LabeledVideo],
        config: Architecture,
        halo: int,
        settings: TrainSettings,
    ) -> None:
        self._batch, self._jitter = settings.batch, settings.amplitude_jitter
        nodes = (*videos[0].features.rois, *config.extra_nodes)
        self._mirror = mirrored_rois(nodes) if settings.mirror else None
        longest = max(1, round(settings.window_s * config.rate))
        objective = settings.objective()
        self._windows: list[tuple[Tensor, ...]] = []  # as a `Batch`, without its first axis
        for video in videos:
            total = len(video.features)
            aim = objective.targets(events_of(video, settings), total, config.rate)
            x = torch.from_numpy(config.inputs(video.features))
            valid = torch.from_numpy(video.features.valid)
            weight = torch.from_numpy((aim.weight * video.features.valid).astype(np.float32))
            cuts = np.linspace(0, total, -(-total // longest) + 1).round().astype(int)
            for begin, end in pairwise(cuts.tolist()):
                rows = slice(max(0, begin - halo), min(total, end + halo))
                core = torch.zeros(total)
                core[begin:end] = 1
                if (weight * core).any():
                    aims = torch.from_numpy(aim.values[rows])
                    self._windows.append((x[rows], valid[rows], aims, (weight * core)[rows]))

    def __len__(self) -> int:
        return -(-len(self._windows) // self._batch)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        order = rng.permutation(len(self._windows)).tolist()
        batches: list[list[int]] = []
        for pool in _chunks(order, _POOL * self._batch):
            batches += _chunks(sorted(pool, key=lambda k: len(self._windows[k][0])), self._batch)
        for k in rng.permutation(len(batches)):
            parts = zip(*(self._windows[i] for i in batches[k]), strict=True)
            batch = Batch(*(pad_sequence(list(part), batch_first=True) for part in parts))
            yield replace(batch, x=self._augmented(batch.x, rng))

    def _augmented(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        if self._jitter:
            factor = np.exp(self._jitter * rng.standard_normal((len(x), 1, 1, 1)))
            x = x * torch.from_numpy(factor.astype(np.float32))
        if self._mirror is not None:
            flipped = torch.from_numpy(rng.random(len(x)) < 0.5)
            mirror = x[:, :, self._mirror] * torch.tensor([-1.0, 1.0])
            x = torch.where(flipped[:, None, None, None], mirror, x)
        return x


def _chunks(items: list[int], size: int) -> list[list[int]]:
    return [items[k : k + size] for k in range(0, len(items), size)]


class Segments:
    """The published segments: 256 rows with 7 of context, only those with a complete expression."""

    def __init__(
        self, videos: Sequence[LabeledVideo], config: Architecture, settings: TrainSettings
    ) -> None:
        self._batch = settings.batch
        x, aims = [], []
        for video in videos:
            inputs = config.inputs(video.features)
            after = -len(inputs) % PUBLISHED_SEGMENT + PUBLISHED_CONTEXT
            padded = np.pad(inputs, ((PUBLISHED_CONTEXT, after), (0, 0), (0, 0)))
            for segment in published_segments(video.features.values, events_of(video, settings)):
                rows = slice(
                    segment.first, segment.first + PUBLISHED_SEGMENT + 2 * PUBLISHED_CONTEXT
                )
                x.append(padded[rows])
                aims.append(np.pad(segment.targets, ((PUBLISHED_CONTEXT,) * 2, (0, 0))))
        if not x:
            raise UsageError(
                f"none of the {len(videos)} videos has an expression that lies within one of the "
                'published segments of 256 rows: train with samples = "windows"'
            )
        self._x = torch.from_numpy(np.stack(x))
        self._targets = torch.from_numpy(np.stack(aims))
        weight = torch.zeros(self._x.shape[1])
        weight[PUBLISHED_CONTEXT:-PUBLISHED_CONTEXT] = 1
        self._weight = weight

    def __len__(self) -> int:
        return -(-len(self._x) // self._batch)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        order = torch.from_numpy(rng.permutation(len(self._x)))
        for rows in torch.split(order, self._batch):
            shape = (len(rows), self._x.shape[1])
            # As published: rows beyond the video's ends are motion 0, not missing.
            valid = torch.ones(shape, dtype=torch.bool)
            yield Batch(self._x[rows], valid, self._targets[rows], self._weight.expand(shape))


def mirrored_rois(rois: Sequence[str]) -> list[int]:
    """For each ROI the index of its mirror image, by `r` and `l` in the names.

    Raises:
        UsageError: a side's counterpart is missing.
    """

    def other(name: str) -> str:
        return re.sub(r"(?<![a-z0-9])[rl](?![a-z0-9])", lambda m: "l" if m[0] == "r" else "r", name)

    missing = [name for name in rois if other(name) not in rois]
    if missing:
        raise UsageError(
            f"mirror = true needs both sides of every ROI; {missing[0]!r} has no "
            f"{other(missing[0])!r}. Add it, or train with mirror = false"
        )
    return [list(rois).index(other(name)) for name in rois]


def truth_intervals(video: LabeledVideo) -> dict[str, list[Interval]]:
    """Annotated intervals by kind, without missing offsets."""
    found: dict[str, list[Interval]] = {"micro": [], "macro": []}
    for a in video.annotations:
        if a.interval is not None:
            found[a.kind].append(a.interval)
    return found
