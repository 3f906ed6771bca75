"""K-fold and hold-out splits by group.

numpy only. Windows of one clip are almost equal, and clips of one subject show the same face;
splitting them would measure memorization. So rows are split by group, and `check_apart` checks
other splits.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.types import IntArray

#: Ascending indices of training and test rows.
Split = tuple[IntArray, IntArray]


def k_fold(groups: Sequence[Hashable], folds: int, seed: int = 0) -> list[Split]:
    """Folds in which every row is tested once; as equal in size as whole groups allow.

    Args:
        groups: (N,) the group of each row: its subject, or its clip.

    Raises:
        UsageError: fewer than two folds, or fewer groups than folds.
    """
    sizes = _sizes(groups)
    if not 2 <= folds <= len(sizes):
        raise UsageError(
            f"folds must be 2 or more and at most the number of groups, {len(sizes)}; found {folds}"
        )
    load = [0] * folds
    fold_of: dict[Hashable, int] = {}
    # The largest group first, each to the smallest fold; ties are broken randomly.
    for group in sorted(_shuffled(sizes, seed), key=lambda g: -sizes[g]):
        fold = load.index(min(load))
        fold_of[group] = fold
        load[fold] += sizes[group]
    which = np.array([fold_of[g] for g in groups])
    return [_checked(groups, which == fold) for fold in range(folds)]


def hold_out(groups: Sequence[Hashable], share: float, seed: int = 0) -> Split:
    """Random whole groups with about `share` of the rows for testing, at least one group.

    Raises:
        UsageError: share is not inside (0, 1), or there is only one group.
    """
    sizes = _sizes(groups)
    if not 0 < share < 1:
        raise UsageError(f"share must lie between 0 and 1; found {share}")
    if len(sizes) < 2:
        raise UsageError("one group cannot be parted into training and test")
    order = _shuffled(sizes, seed)
    test: set[Hashable] = set()
    rows = 0
    for group in order[:-1]:
        closer = abs(rows + sizes[group] - share * len(groups)) < abs(rows - share * len(groups))
        if closer or not test:
            test.add(group)
            rows += sizes[group]
    return _checked(groups, np.array([g in test for g in groups]))


def check_apart(groups: Sequence[Hashable], train: IntArray, test: IntArray) -> None:
    """Raise an error if a group has rows on both sides of a split.

    Raises:
        UsageError: names such a group.
    """
    both = {groups[i] for i in train} & {groups[i] for i in test}
    if both:
        raise UsageError(
            f"{len(both)} groups are in training and in test, for instance "
            f"{min(map(str, both))!r}. "
            "Windows of one clip, and clips of one subject, must be in one of them alone: split "
            "with k_fold or hold_out, which keep groups together"
        )


def _checked(groups: Sequence[Hashable], test: npt.NDArray[np.bool_]) -> Split:
    parts = np.flatnonzero(~test).astype(np.int64), np.flatnonzero(test).astype(np.int64)
    check_apart(groups, *parts)
    return parts


def _sizes(groups: Sequence[Hashable]) -> dict[Hashable, int]:
    sizes: dict[Hashable, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    return sizes


def _shuffled(sizes: dict[Hashable, int], seed: int) -> list[Hashable]:
    order = list(sizes)
    return [order[k] for k in np.random.default_rng([seed, len(order)]).permutation(len(order))]
