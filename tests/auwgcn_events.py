"""AUW-GCN's interval tables as events, for tests and benchmarks of targets and decoders."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from aumer.evaluation.matching import count
from aumer.spotting.channels import CHANNELS
from aumer.spotting.targets import TargetEvent
from aumer.types import KINDS, Counts, Expression, FloatArray, Interval, Kind, Scores

KIND_OF: dict[str, Kind] = {"1": "macro", "2": "micro"}


def read_events(table: Path) -> dict[str, tuple[TargetEvent, ...]]:
    """Events with an offset, by video; frame numbers are taken as rows, as AUW-GCN takes them.

    An apex outside its interval is put half way.
    """
    found: dict[str, list[TargetEvent]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            onset, apex, offset = (int(row[f"{p}_frame"]) for p in ("start", "apex", "end"))
            if offset <= 0:
                continue
            if not onset <= apex <= offset:
                apex = (onset + offset) // 2
            event = TargetEvent(onset, offset, apex, KIND_OF[row["type_idx"]])
            found.setdefault(row["video_name"], []).append(event)
    return {video: tuple(events) for video, events in found.items()}


def length_of(events: tuple[TargetEvent, ...]) -> int:
    """Rows of a video that these events leave room in; the tables do not tell its length."""
    return max(e.offset for e in events) + 60


def as_scores(values: FloatArray, rate: float) -> Scores:
    """Scores on a grid of one row a frame."""
    rows = np.arange(len(values))
    return Scores(values, rows / rate, rows, np.ones(len(rows), np.bool_), CHANNELS)


def noisy(values: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
    """`values` with normal noise, cut to [0, 1]."""
    noise = sigma * rng.standard_normal(values.shape)
    return (values + noise).clip(0, 1).astype(np.float32)


def counts(found: tuple[Expression, ...], events: tuple[TargetEvent, ...]) -> Counts:
    """Maximum one-to-one matching at IoU .5, kind required."""
    return Counts.total(
        count(
            [e.interval for e in found if e.kind == kind],
            [_interval(e) for e in events if e.kind == kind],
        )
        for kind in KINDS
    )


def _interval(event: TargetEvent) -> Interval:
    return Interval(event.onset, event.offset)
