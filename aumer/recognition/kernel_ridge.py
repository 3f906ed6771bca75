"""Kernel ridge regression on classes, with exact leave-one-subject-out predictions.

The head depends only on the kernel, so that leaving out each training subject in turn is exact and
costs one matrix inverse. This is used to choose the settings of kernel recognizers within the
training clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, solve_triangular

from aumer.errors import UsageError
from aumer.evaluation.recognition import uf1_of
from aumer.recognition.interface import Clips, Floats
from aumer.types import IntArray

#: The candidates for settings.
RIDGES = (0.05, 0.1, 0.2, 0.4)
BALANCES = (0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class RidgeGoals:
    """Regression targets of clips.

    Shapes:
        labels (n,) int64; goals (n, C), one-hot classes minus 1 / C; weights (n,), n / (C n_c).

    Attributes:
        subjects: subject of each clip.
    """

    labels: IntArray
    subjects: tuple[str, ...]
    goals: Floats
    weights: Floats

    @classmethod
    def of(cls, clips: Clips) -> RidgeGoals:
        """Make the targets of labeled clips.

        Raises:
            UsageError: a class without a clip, or fewer than two subjects.
        """
        counts = np.bincount(clips.labels, minlength=len(clips.classes))
        if not counts.all():
            without = ", ".join(c for c, n in zip(clips.classes, counts, strict=True) if not n)
            raise UsageError(f"every class needs a clip to learn from; without one: {without}")
        if len(set(clips.subjects)) < 2:
            raise UsageError("leaving a subject out needs clips of two subjects or more; found one")
        return cls(
            clips.labels,
            clips.subjects,
            np.eye(len(counts))[clips.labels] - 1 / len(counts),
            len(clips) / (len(counts) * counts[clips.labels]),
        )

    def noise(self, ridge: float, balance: float) -> Floats:
        """(n,): added to the kernel's diagonal; clips have weight `weights` ** balance."""
        added: Floats = ridge / self.weights**balance
        return added

    def left_out(self, gram: Floats | Factor, ridge: float, balance: float) -> Floats:
        """(n, C): scores of each clip from a head that never saw its subject."""
        noise = self.noise(ridge, balance)
        if isinstance(gram, Factor):
            return gram.without_each(self.goals, noise, self.subjects)
        return without_each(gram, self.goals, noise, self.subjects)

    def learned(self, gram: Floats, ridge: float, balance: float) -> Floats:
        """(n, C) weights: the scores of other clips are (their kernel with these + 1) @ weights."""
        whole = gram + 1 + np.diag(self.noise(ridge, balance))
        return np.asarray(np.linalg.solve(whole, self.goals), np.float64)

    def uf1(self, scores: Floats) -> float:
        """UF1 of the class with the largest score in each row (n, C)."""
        confusion = np.zeros((1, scores.shape[1], scores.shape[1]), np.int64)
        np.add.at(confusion[0], (self.labels, scores.argmax(1)), 1)
        return float(uf1_of(confusion)[0])


@dataclass(frozen=True, eq=False)
class Factor:
    """A kernel of low rank, K = F F^T: takes a tenth of the time of an (n, n) matrix of rank n / 3.

    Shapes:
        features (n, M).
    """

    features: Floats

    def gram(self) -> Floats:
        """(n, n): K."""
        return np.asarray(self.features @ self.features.T)

    def without_each(self, goals: Floats, noise: Floats, groups: Sequence[str]) -> Floats:
        """As `without_each`, with the inverse diag(1 / noise) - E^T E (Woodbury)."""
        rest = 1 / noise
        features = np.column_stack([self.features, np.ones(len(noise))])
        small = np.eye(features.shape[1]) + (features.T * rest) @ features
        factor = np.linalg.cholesky(small)
        half = solve_triangular(factor, features.T * rest, lower=True)
        weights = rest[:, None] * goals - half.T @ (half @ goals)
        found = np.empty_like(goals)
        for own in _members_of(groups):
            block = np.diag(rest[own]) - half[:, own].T @ half[:, own]
            found[own] = goals[own] - np.linalg.solve(block, weights[own])
        return found


def without_each(gram: Floats, goals: Floats, noise: Floats, groups: Sequence[str]) -> Floats:
    """(n, C): ridge predictions of each group from the other groups.

    With G = (K + 1 + diag(noise))^-1 and a = G y, the residual of y_g is (G_gg)^-1 a_g: a block of
    rows and columns is left out by the Schur complement of the inverse.

    Shapes:
        gram (n, n); goals (n, C); noise (n,) > 0; groups n names.
    """
    inverse = _inverse(gram + 1 + np.diag(noise))
    weights = inverse @ goals
    found = np.empty_like(goals)
    for own in _members_of(groups):
        found[own] = goals[own] - np.linalg.solve(inverse[np.ix_(own, own)], weights[own])
    return found


def _members_of(groups: Sequence[str]) -> list[IntArray]:
    names = np.asarray(groups)
    return [np.flatnonzero(names == name) for name in dict.fromkeys(groups)]


def _inverse(matrix: Floats) -> Floats:
    """Inverse of a symmetric matrix; by the Cholesky factor if it exists, in half the time."""
    factor, failed = lapack.dpotrf(matrix, lower=1)
    if failed:
        return np.asarray(np.linalg.inv(matrix))
    lower, _ = lapack.dpotri(factor, lower=1)
    lower = np.tril(lower)
    inverse: Floats = lower + np.tril(lower, -1).T
    return inverse
