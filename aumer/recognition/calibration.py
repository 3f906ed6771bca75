"""Temperature scaling of a recognizer's scores by one factor, fitted on clips that it was not
trained on (Guo et al., ICML 2017, whose temperature is 1 / factor).

The order of the classes does not change, so accuracy stays the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from aumer.recognition.face_position import Floats
from aumer.types import IntArray

#: Range of the factor. Uninformative scores give the least, scores without an error the most.
SHARPEST = (0.05, 20.0)
#: Number of subject groups that are left out in turn, if leaving out each subject takes too long.
FOLDS = 5


def soft_max(scores: Floats) -> Floats:
    """(N, C) -> (N, C): soft-max of each row."""
    raised = np.exp(scores - scores.max(1, keepdims=True))
    shares: Floats = raised / raised.sum(1, keepdims=True)
    return shares


def sharpness(scores: Floats, labels: IntArray) -> float:
    """The factor that minimizes the log loss of the soft-max of scores (N, C).

    Args:
        scores: of clips whose subjects were not in training.
        labels: (N,).
    """

    def log_loss(log_factor: float) -> float:
        shares = soft_max(float(np.exp(log_factor)) * scores)[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(shares, 1e-300)).mean())

    found = minimize_scalar(log_loss, bounds=np.log(SHARPEST), method="bounded")
    return float(np.exp(found.x))


def groups_left_out(subjects: Sequence[str], folds: int = FOLDS) -> Iterator[npt.NDArray[np.bool_]]:
    """(N,) masks of the clips that are left out in each round: all clips of a subject together,
    every clip once. Subjects are distributed by their number of clips, deterministically.
    """
    names, counts = np.unique(np.asarray(subjects), return_counts=True)
    dealt = {str(names[k]): n % folds for n, k in enumerate(np.argsort(-counts, kind="stable"))}
    fold = np.array([dealt[name] for name in subjects])
    for k in range(min(folds, len(names))):
        yield fold == k
