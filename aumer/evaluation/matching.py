"""Maximum one-to-one matching of predictions and truths.

MEGC 2020/2021: a prediction is a true positive if its IoU with a ground truth is at least 0.5, and
no ground truth or prediction counts twice. Intervals are closed. Greedy assignment depends on the
order of the predictions; the maximum matching does not, and no order gives more true positives than
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from aumer.types import Counts, Interval


@dataclass(frozen=True)
class Judged(Counts):
    """Counts, and the number of excluded predictions; both can be summed.

    The excluded ones are reported, since users see them in the same video.
    """

    left_out: int = 0

    def __add__(self, other: Counts) -> Judged:
        counts = super().__add__(other)
        left_out = self.left_out + (other.left_out if isinstance(other, Judged) else 0)
        return Judged(counts.tp, counts.fp, counts.fn, left_out)

    # A sum begins with plain `Counts`, and Python calls the subclass's method first.
    __radd__ = __add__


def match(
    predictions: Sequence[Interval], truths: Sequence[Interval], *, iou: float = 0.5
) -> list[tuple[int, int]]:
    """Index pairs (prediction, truth) of a maximum one-to-one matching at IoU >= `iou`.

    Among matchings of the same size the one with the largest sum of IoU is taken.

    Raises:
        ValueError: `iou` is not in (0, 1].
    """
    if not 0 < iou <= 1:
        raise ValueError(f"iou must be in (0, 1]; found {iou}")
    if not predictions or not truths:
        return []
    overlap = np.array([[p.iou(t) for t in truths] for p in predictions])
    return match_matrix(overlap, overlap >= iou)


def match_matrix(
    overlap: npt.NDArray[np.float64], admissible: npt.NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """Index pairs (row, column) of a maximum one-to-one matching among the admissible pairs.

    Among matchings of the same size the one with the largest sum of `overlap` (in [0, 1]) is taken.
    """
    # The weight of a pair exceeds any sum of IoU that dropping it could gain.
    gain = np.where(admissible, min(overlap.shape) + 1 + overlap, 0.0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if gain[r, c] > 0]


def count(
    predictions: Sequence[Interval], truths: Sequence[Interval], *, iou: float = 0.5
) -> Counts:
    """True positives, false positives and misses of one video and kind."""
    hits = len(match(predictions, truths, iou=iou))
    return Counts(tp=hits, fp=len(predictions) - hits, fn=len(truths) - hits)
