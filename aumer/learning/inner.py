"""Inner subjects: training subjects held out of the gradient, for early stopping and choices."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from aumer.errors import UsageError


def inner_subjects(subjects: Iterable[str], share: float, seed: int) -> tuple[str, ...]:
    """Subjects held out of the gradient: a share of all, at least one, drawn by `seed`.

    Raises:
        UsageError: fewer than two subjects.
    """
    if share == 0:
        return ()
    known = sorted(set(subjects))
    if len(known) < 2:
        raise UsageError(
            f"inner_share = {share:g} holds out training subjects, and there is only "
            f"{', '.join(known) or 'none'}; set inner_share = 0 and patience = 0"
        )
    count = min(len(known) - 1, max(1, round(share * len(known))))
    rng = np.random.default_rng([seed, 1])
    return tuple(sorted(rng.choice(np.array(known), count, replace=False).tolist()))
