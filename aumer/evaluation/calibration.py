"""Calibration of probabilities, and accuracy with abstention.

Of clips classified with probability p, a share of p should be correct. The expected calibration
error (Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017) is the difference of the two
by bin, averaged over clips.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.evaluation.bootstrap import draws
from aumer.types import IntArray

Floats = npt.NDArray[np.float64]

#: Number of equal bins of the probability.
BINS = 10
#: Thresholds of abstention shown in tables.
THRESHOLDS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Accuracy by confidence.

    Shapes:
        edges (B + 1,); counts (B,) int64; confidence, accuracy (B,): means of the answers in each
        bin, NaN if it is empty.

    Attributes:
        error: expected calibration error, in [0, 1].
        low, high: its 95 % percentile interval over resampled subjects; NaN for one subject. Random
            variation alone makes the error positive, the more the fewer clips there are.
    """

    edges: Floats
    counts: IntArray
    confidence: Floats
    accuracy: Floats
    error: float
    low: float
    high: float

    def __str__(self) -> str:
        between = "" if np.isnan(self.low) else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.error:.3f}{between}"


def reliability(
    confidence: Sequence[float],
    right: Sequence[bool],
    subjects: Sequence[Hashable],
    *,
    bins: int = BINS,
    replicates: int = 2000,
    seed: int = 0,
) -> Reliability:
    """The reliability curve.

    Args:
        confidence: (N,) probability of the predicted class.
        right: (N,) whether the prediction is correct.
        subjects: (N,) subject of each clip, the unit of resampling.

    Raises:
        UsageError: no answers, different lengths, or a value outside [0, 1].
    """
    p, hit = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    _check(p, hit, subjects)
    edges = np.linspace(0, 1, bins + 1)
    into = np.clip(np.ceil(p * bins).astype(int) - 1, 0, bins - 1)  # bins are (.4, .5]
    order = {name: k for k, name in enumerate(dict.fromkeys(subjects))}
    whose = np.array([order[name] for name in subjects])
    sums = np.zeros((3, len(order), bins))
    for total, value in zip(sums, (np.ones_like(p), p, hit), strict=True):
        np.add.at(total, (whose, into), value)
    counts, sure, hits = sums.sum(1)
    none = np.full(bins, np.nan)
    low = high = float("nan")
    if len(order) > 1:
        weights = draws(len(order), replicates, seed).astype(np.float64)
        several = np.abs(weights @ (sums[1] - sums[2])).sum(1) / (weights @ sums[0]).sum(1)
        low, high = (float(q) for q in np.quantile(several, [0.025, 0.975]))
    return Reliability(
        edges,
        counts.astype(np.int64),
        np.divide(sure, counts, out=none.copy(), where=counts > 0),
        np.divide(hits, counts, out=none.copy(), where=counts > 0),
        float(np.abs(sure - hits).sum() / len(p)),
        low,
        high,
    )


@dataclass(frozen=True, eq=False)
class Coverage:
    """Coverage and accuracy if answers below a threshold are withheld.

    Shapes:
        thresholds, coverage, accuracy (K,): the share of clips with an answer, and the share of
        correct ones among these (NaN if there are none).
    """

    thresholds: Floats
    coverage: Floats
    accuracy: Floats


def coverage(
    confidence: Sequence[float],
    right: Sequence[bool],
    thresholds: Sequence[float] | None = None,
) -> Coverage:
    """The curve of coverage and accuracy.

    Args:
        confidence, right: as in `reliability`.
        thresholds: by default all that make a difference, ascending.

    Raises:
        UsageError: as `reliability`.
    """
    p, hit = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    _check(p, hit, right)
    at = np.unique(p) if thresholds is None else np.asarray(thresholds, np.float64)
    kept = p >= at[:, None]
    n = kept.sum(1)
    accuracy = np.divide(kept @ hit, n, out=np.full(len(at), np.nan), where=n > 0)
    return Coverage(at, n / len(p), accuracy)


def _check(p: Floats, hit: Floats, others: Sequence[object]) -> None:
    if not len(p) or not len(p) == len(hit) == len(others):
        raise UsageError(
            "probabilities, hits and subjects must be equally many, and one or more; found "
            f"{len(p)}, {len(hit)} and {len(others)}"
        )
    if not ((p >= 0) & (p <= 1 + 1e-6)).all():  # also refuses NaN
        raise UsageError("a probability lies outside 0 to 1")
