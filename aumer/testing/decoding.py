"""For tests of targets and decoders: coded events, ideal scores, and counts of hits."""

from __future__ import annotations

import numpy as np

from aumer.evaluation.matching import count
from aumer.files import StrPath
from aumer.simulate.tables import read_table
from aumer.spotting.channels import CHANNELS
from aumer.spotting.targets import TargetEvent
from aumer.types import KINDS, Counts, Expression, FloatArray, Interval, Scores


def read_events(table: StrPath) -> dict[str, tuple[TargetEvent, ...]]:
    """Events with an offset of a table in AUW-GCN's layout, by video.

    Frame numbers are used as rows, as in AUW-GCN. An apex outside its interval is replaced by the
    middle.

    Raises:
        UsageError: as `aumer.simulate.tables.read_table`.
    """
    found: dict[str, list[TargetEvent]] = {}
    for row in read_table(table):
        if row.offset is None:
            continue
        apex = row.apex
        if apex is None or not row.onset <= apex <= row.offset:
            apex = (row.onset + row.offset) // 2
        event = TargetEvent(row.onset, row.offset, apex, row.kind)
        found.setdefault(row.video, []).append(event)
    return {video: tuple(events) for video, events in found.items()}


def length_of(events: tuple[TargetEvent, ...]) -> int:
    """A number of rows with room for these events, since the tables do not have the video's
    length.
    """
    return max(e.offset for e in events) + 60


def as_scores(values: FloatArray, rate: float) -> Scores:
    """Scores with one row per frame."""
    rows = np.arange(len(values))
    return Scores(values, rows / rate, rows, np.ones(len(rows), np.bool_), CHANNELS)


def noisy(values: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
    """`values` with Gaussian noise, clipped to [0, 1]."""
    noise = sigma * rng.standard_normal(values.shape)
    return (values + noise).clip(0, 1).astype(np.float32)


def counts(found: tuple[Expression, ...], events: tuple[TargetEvent, ...]) -> Counts:
    """Counts by maximum one-to-one matching at IoU .5 within each kind."""
    return Counts.total(
        count(
            [e.interval for e in found if e.kind == kind],
            [_interval(e) for e in events if e.kind == kind],
        )
        for kind in KINDS
    )


def _interval(event: TargetEvent) -> Interval:
    return Interval(event.onset, event.offset)
