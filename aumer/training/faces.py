"""Augmentation by other faces: the same expressions on a face that moves in another way.

Every simulated subject moves by one table of action units and with one shape of disturbances. Real
faces do neither: a network and a judge that have seen this table alone take a smile with another
direction, or a quick one, for something else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from aumer.errors import UsageError
from aumer.motion.mdmo import ROIS
from aumer.simulate.timeline import MICRO_S
from aumer.training.videos import LabeledVideo
from aumer.types import Annotation, BoolArray, Kind

Floats = npt.NDArray[np.float64]

#: Regions within which ROIs are mixed: brows, nose and mouth, columns of the published ROIs.
_REGIONS = (range(6), range(6, 8), range(8, 12))
#: The drift is slower than this many seconds (sigma).
_DRIFT_S = 2 / 3


@dataclass(frozen=True)
class Unlike:
    """By how much other faces differ.

    Attributes:
        size: log sd of a factor of all movements.
        gain: log sd of each ROI's own factor.
        mix: share of the movements of the others of its region that an ROI takes on.
        pace: greatest log of the factor of all times.
        drift: greatest sd of a slow drift of each ROI, in px of the features.
    """

    size: float = 0.4
    gain: float = 0.4
    mix: float = 0.4
    pace: float = 0.9
    drift: float = 0.4


def another_face(
    video: LabeledVideo, rng: np.random.Generator, by: Unlike | None = None
) -> LabeledVideo:
    """The same performance on another face, at another pace, with its truth.

    A micro-expression that lasts longer than `timeline.MICRO_S` seconds then is a macro-expression,
    and the reverse. Rows next to a gap of the original are invalid where they would be made of it.

    Args:
        video: features of the published 12 ROIs; annotations with offsets.

    Raises:
        UsageError: other ROIs, or an annotation without an offset.
    """
    by, features = by or Unlike(), video.features
    count, rois = features.values.shape[:2]
    if features.rois != tuple(ROIS):
        raise UsageError(
            f"other faces are made of features of the published {len(ROIS)} ROIs; found "
            f"{len(features.rois)}: {', '.join(features.rois)}"
        )
    if any(a.offset is None for a in video.annotations):
        raise UsageError(
            f"{video.name} has an annotation without an offset, which no other pace can be given; "
            "fill it first"
        )
    pace = float(np.exp(rng.uniform(-by.pace, by.pace)))
    longer = round(count * pace)
    steps = np.where(features.valid[:, None, None], features.values, 0)
    path = np.concatenate([np.zeros((1, rois, 2)), np.cumsum(steps, axis=0, dtype=np.float64)])
    at = np.clip(np.arange(longer + 1) / pace, 0, count)
    slowed = np.stack(
        [np.interp(at, np.arange(count + 1), p) for p in path.reshape(count + 1, -1).T]
    )
    moved = _mixing(rois, rng, by) @ slowed
    drift = gaussian_filter1d(rng.standard_normal(moved.shape), features.rate * _DRIFT_S, axis=1)
    moved += rng.uniform(0, by.drift) / drift.std() * drift
    rows = np.minimum((np.arange(longer) / pace).astype(int), count - 1)
    valid = _whole(features.valid, at)
    values = np.diff(moved, axis=1).T.reshape(longer, rois, 2).astype(np.float32)
    return replace(
        video,
        features=replace(
            features,
            values=np.where(valid[:, None, None], values, np.float32(np.nan)),
            times=np.arange(longer) / features.rate,
            frames=np.arange(longer),
            valid=valid,
            confidence=features.confidence[rows] * valid[:, None],
            eyelids=np.where(valid[:, None], features.eyelids[rows], np.float32(np.nan)),
            head=np.where(valid[:, None], features.head[rows], np.float32(np.nan)),
        ),
        annotations=tuple(_paced(a, pace, longer - 1, features.rate) for a in video.annotations),
    )


def _mixing(rois: int, rng: np.random.Generator, by: Unlike) -> Floats:
    """(2 rois, 2 rois): what an ROI's x and y take of all x and y."""
    mixed = np.eye(2 * rois)
    for region in _REGIONS:
        columns = [2 * roi + axis for roi in region for axis in (0, 1)]
        own = rng.standard_normal((len(columns), len(columns))) / np.sqrt(len(columns))
        mixed[np.ix_(columns, columns)] += by.mix * own
    gains = np.exp(by.size * rng.standard_normal() + by.gain * rng.standard_normal(rois))
    made: Floats = mixed * np.repeat(gains, 2)
    return made


def _whole(valid: BoolArray, at: Floats) -> BoolArray:
    """Which rows, from `at[k]` to `at[k + 1]` of the original, are made of valid rows alone."""
    lost = np.concatenate([[0], np.cumsum(~valid)])
    first = np.floor(at[:-1]).astype(int)
    after = np.maximum(np.ceil(at[1:]).astype(int), np.minimum(first + 1, len(valid)))
    whole: BoolArray = lost[after] == lost[first]
    return whole


def _paced(a: Annotation, pace: float, last: int, rate: float) -> Annotation:
    assert a.offset is not None, "checked above"
    onset, offset = (min(round(row * pace), last) for row in (a.onset, a.offset))
    apex = None if a.apex is None else min(max(round(a.apex * pace), onset), offset)
    kind: Kind = "micro" if (offset - onset) / rate <= MICRO_S else "macro"
    return replace(a, kind=kind, onset=onset, apex=apex, offset=offset)
