"""The numbers behind a report's curves: ROC, precision and recall by threshold, t-SNE."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.evaluation.bootstrap import draws
from aumer.evaluation.matching import match_matrix
from aumer.evaluation.rows import Case
from aumer.types import BoolArray

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Roc:
    """ROC curve of a class: false and true positive rates.

    Shapes:
        false, true (K,) float64, from 0 to 1, by decreasing threshold.

    Attributes:
        area: the probability that a clip of the class gets a higher probability than one of another
            class, ties counting half.
        low, high: percentile interval of the area over resampled subjects; NaN with fewer than two
            subjects, or if no resample has clips of both sides.
    """

    false: Floats
    true: Floats
    area: float
    low: float
    high: float


def roc(
    scores: Sequence[float],
    positive: Sequence[bool],
    subjects: Sequence[Hashable],
    *,
    replicates: int = 2000,
    seed: int = 0,
) -> Roc:
    """The curve of one class against the rest.

    Args:
        scores: (N,) the class's probability of each clip.
        positive: (N,) whether the clip is of the class.
        subjects: (N,) the subject of each clip; subjects are resampled.

    Raises:
        UsageError: the class or the rest has no clip.
    """
    s, p = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if p.all() or not p.any():
        raise UsageError(
            "a ROC curve needs clips of the class and clips of other classes; found one of "
            "these alone"
        )
    order = np.argsort(-s, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)  # ties share a threshold
    true, false = (np.append(0, np.cumsum(hit[order])[ends]) / hit.sum() for hit in (p, ~p))
    wins, pairs = _by_subject(s, p, subjects)
    area = float(wins.sum() / pairs.sum())
    low = high = float("nan")
    if len(wins) > 1:
        weights = draws(len(wins), replicates, seed).astype(np.float64)
        above, below = (((weights @ m) * weights).sum(1) for m in (wins, pairs))
        areas = above[below > 0] / below[below > 0]
        if len(areas):
            low, high = (float(q) for q in np.quantile(areas, [0.025, 0.975]))
    return Roc(false, true, area, low, high)


def _by_subject(s: Floats, p: BoolArray, subjects: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """(S, S): correctly ordered pairs of a clip of the class of subject a and another clip of
    subject b, and all such pairs.
    """
    index = {subject: k for k, subject in enumerate(dict.fromkeys(subjects))}
    member = np.zeros((len(s), len(index)))
    member[np.arange(len(s)), [index[subject] for subject in subjects]] = 1
    mine, others = s[p][:, None], s[~p][None]
    right = (mine > others) + (mine == others) / 2
    return member[p].T @ right @ member[~p], np.outer(member[p].sum(0), member[~p].sum(0))


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall by score threshold.

    Shapes:
        thresholds (K,) float64: all distinct scores, decreasing; precision, recall (K,) float64 of
        the predictions at or above each.

    Attributes:
        truths: their number.
    """

    thresholds: Floats
    precision: Floats
    recall: Floats
    truths: int

    @property
    def f1(self) -> Floats:
        """(K,)."""
        below = self.precision + self.recall
        return np.divide(
            2 * self.precision * self.recall, below, out=np.zeros(len(below)), where=below > 0
        )


def precision_recall(
    cases: Iterable[Case], *, iou: float, comparison: str, ends: str
) -> PrecisionRecall:
    """Precision and recall at every threshold of the predictions' scores.

    At each threshold the remaining predictions are matched again, as in
    `aumer.evaluation.spotting`, so that the last point is the score of all predictions.

    Args:
        cases: from `aumer.evaluation.rows.prepare`, of the kinds to pool.
        iou, comparison, ends: rules of a hit, see `SpottingSettings`.

    Raises:
        UsageError: there is no prediction or no truth.
    """
    cases = list(cases)
    truths = sum(len(case.truths) for case in cases)
    rows = sorted(
        ((p.score, c, k) for c, case in enumerate(cases) for k, p in enumerate(case.predictions)),
        key=lambda row: -row[0],
    )
    if not rows or not truths:
        raise UsageError("precision and recall need a prediction and a truth at least")
    overlaps = [case.overlaps("open" if ends == "open" else "closed") for case in cases]
    hits = [0] * len(cases)
    kept: list[list[int]] = [[] for _ in cases]
    found: list[tuple[float, int, int]] = []
    for number, (score, c, k) in enumerate(rows, start=1):
        kept[c].append(k)
        if cases[c].truths:
            left = overlaps[c][kept[c]]
            good = left >= iou if comparison == ">=" else left > iou
            hits[c] = len(match_matrix(left, good))
        if number == len(rows) or rows[number][0] != score:
            found.append((score, number, sum(hits)))
    thresholds, made, right = np.array(found, np.float64).T
    return PrecisionRecall(thresholds, right / made, right / truths, truths)


def embed(points: npt.ArrayLike, *, seed: int = 0) -> Floats:
    """(N, D) points -> (N, 2) by t-SNE (van der Maaten and Hinton, 2008); deterministic for a seed.

    Columns are not rescaled: a network's last layer reads them unscaled. The gradient is exact for
    up to 500 points, and Barnes and Hut's approximation for more.

    Raises:
        UsageError: fewer than four points, not (N, D), or non-finite numbers.
    """
    from sklearn.manifold import TSNE

    x = np.asarray(points, np.float64)
    if x.ndim != 2 or len(x) < 4 or not np.isfinite(x).all():
        raise UsageError(f"t-SNE needs four finite points or more, (N, D); found {x.shape}")
    made = TSNE(
        # Perplexity: the usual 30, less for few points.
        perplexity=min(30.0, (len(x) - 1) / 3),
        init="pca" if x.shape[1] > 1 and np.ptp(x, axis=0).any() else "random",
        method="exact" if len(x) <= 500 else "barnes_hut",
        random_state=seed,
    )
    return np.asarray(made.fit_transform(x), np.float64)


def neighbors_alike(points: npt.ArrayLike, labels: Sequence[Hashable]) -> tuple[float, float]:
    """Share of points whose nearest other point has the same label, and the expected share for
    random labels.

    Raises:
        UsageError: fewer than two points.
    """
    from scipy.spatial.distance import cdist

    x = np.asarray(points, np.float64)
    if len(x) < 2:
        raise UsageError("a nearest neighbor needs two points or more")
    far = cdist(x, x)
    np.fill_diagonal(far, np.inf)
    index = {label: k for k, label in enumerate(dict.fromkeys(labels))}
    number = np.array([index[label] for label in labels])
    counts = np.bincount(number)
    chance = float((counts * (counts - 1)).sum() / (len(x) * (len(x) - 1)))
    return float((number[far.argmin(1)] == number).mean()), chance
