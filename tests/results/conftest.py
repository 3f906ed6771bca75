from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from aumer.results import SpotResult
from aumer.types import Expression, Features, Kind, Scores, VideoInfo

ROIS = (
    *("brow_r_mid", "brow_l_mid", "nose_tip"),
    *("mouth_r", "lip_upper", "mouth_l", "lip_lower"),
)

MakeResult = Callable[..., SpotResult]


def expression(kind: Kind, onset: int, apex: int, offset: int, score: float = 0.5) -> Expression:
    """At 30 frames a second."""
    return Expression(kind, onset, apex, offset, onset / 30, apex / 30, offset / 30, score)


def make(
    rows: int = 60,
    expressions: Sequence[Expression] = (),
    *,
    missing: slice = slice(0, 0),
    features: bool = True,
    channels: tuple[str, ...] = ("micro", "macro"),
    name: str = "face.mp4",
    begin: float = 0.0,
    rois: tuple[str, ...] = ROIS,
) -> SpotResult:
    """A result at 30 rows a second; the mouth moves out and back inside every expression."""
    rng = np.random.default_rng(0)
    times = begin + np.arange(rows) / 30
    frames = np.arange(rows)
    valid = np.ones(rows, bool)
    valid[missing] = False
    path = np.zeros((rows + 1, len(ROIS), 2))
    for e in expressions:
        inside = slice(e.onset, e.offset + 1)
        path[inside, 3:, 1] += 4 * np.sin(np.linspace(0, np.pi, len(e.interval)))[:, None]
    values = np.diff(path, axis=0).astype(np.float32)
    tracks = rng.random((rows, len(channels)), dtype=np.float32)
    values[~valid], tracks[~valid] = np.nan, np.nan
    return SpotResult(
        video=VideoInfo(name, "file", 640, 480, 30.0, rows),
        expressions=tuple(expressions),
        scores=Scores(tracks, times, frames, valid, channels),
        coverage=float(valid.mean()) if rows else 0.0,
        spotter="rules",
        settings={"rules": {"min_s": 0.1, "kinds": ("micro", "macro")}},
        digests={"content": "c0ffee"},
        versions={"aumer": "0.1.0"},
        features=Features(values, times, frames, valid, rois, 30.0) if features else None,
    )


@pytest.fixture
def make_result() -> MakeResult:
    return make


@pytest.fixture
def result() -> SpotResult:
    """Two seconds, one micro-, one macro-expression, half a second without a face."""
    expressions = (expression("micro", 3, 6, 10, 0.25), expression("macro", 30, 41, 55, 0.75))
    return make(60, expressions, missing=slice(12, 27))
