"""Probabilities that mean what they say: one factor of a recognizer's scores, found on clips that
it did not learn from (temperature scaling; Guo et al., ICML 2017, whose temperature is 1 / factor).

The order of the classes stays as it is, so that nothing is recognized better or worse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from aumer.recognition.face_position import Floats
from aumer.types import IntArray

#: Between what the factor lies. Scores that tell nothing give the least, those without a mistake
#: the most.
SHARPEST = (0.05, 20.0)
#: Groups of subjects that are left out in turn, where leaving out each would take too long.
FOLDS = 5


def soft_max(scores: Floats) -> Floats:
    """(N, C) -> (N, C): rows sum to 1."""
    raised = np.exp(scores - scores.max(1, keepdims=True))
    shares: Floats = raised / raised.sum(1, keepdims=True)
    return shares


def sharpness(scores: Floats, labels: IntArray) -> float:
    """The factor by which the soft-max of scores (N, C) of known clips has the least log loss.

    Args:
        scores: of clips whose subjects were not learned from.
        labels: (N,).
    """

    def log_loss(log_factor: float) -> float:
        shares = soft_max(float(np.exp(log_factor)) * scores)[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(shares, 1e-300)).mean())

    found = minimize_scalar(log_loss, bounds=np.log(SHARPEST), method="bounded")
    return float(np.exp(found.x))


def groups_left_out(subjects: Sequence[str], folds: int = FOLDS) -> Iterator[npt.NDArray[np.bool_]]:
    """(N,) masks: which clips are left out in each of some rounds, a subject's clips together and
    every clip once. Subjects are dealt by the number of their clips; nothing is drawn."""
    names, counts = np.unique(np.asarray(subjects), return_counts=True)
    dealt = {str(names[k]): n % folds for n, k in enumerate(np.argsort(-counts, kind="stable"))}
    fold = np.array([dealt[name] for name in subjects])
    for k in range(min(folds, len(names))):
        yield fold == k
