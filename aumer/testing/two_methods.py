"""Counts of two made-up methods on the same subjects, for tests of intervals and differences."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


def two_methods(
    rng: np.random.Generator, subjects: int, better: float = 0.0
) -> tuple[Counts, Counts]:
    """TP, FP and FN (subjects, 3) int64 of two methods that err on the same subjects.

    About twelve truths a subject, as on CAS(ME)^2 and SAMM-LV; subjects differ more than methods.

    Args:
        better: how much more of the truths the first finds; at 0 they are alike, so that the true
            difference is 0 by symmetry.
    """
    truths = 1 + rng.poisson(12, subjects)
    level = rng.beta(6, 4, subjects)
    made = []
    for more in (better, 0.0):
        share = np.clip(level + more + 0.06 * rng.standard_normal(subjects), 0.02, 0.98)
        tp = rng.binomial(truths, share)
        fp = rng.poisson(0.3 * truths * np.exp(0.5 * rng.standard_normal(subjects)))
        made.append(np.stack([tp, fp, truths - tp], 1))
    return made[0], made[1]
