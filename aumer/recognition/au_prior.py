"""A prior over sets of action units, and posteriors from evidence.

The prior is an Ising model of the labels, p(y) ~ exp(sum_k h_k y_k + sum_jk J_jk y_j y_k), fitted
to the frequencies of coded AUs and pairs of AUs. There are few enough AUs to sum over all sets, so
all results are exact. numpy and scipy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, logit, logsumexp

from aumer.errors import UsageError
from aumer.types import BoolArray

Floats = npt.NDArray[np.float64]
#: Most AUs; the sum is over 131,072 sets.
MOST = 17
#: Prior standard deviation of couplings, so that pairs never coded together are not impossible.
_SPREAD = 2.0
#: Clips processed together.
_BATCH = 32


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Counts of AUs and pairs of AUs in coded expressions.

    Shapes:
        pairs (K, K): number of expressions with both AUs; on the diagonal, with each AU.

    Attributes:
        aus: numbers of the AUs.
        rows: number of coded expressions.

    Raises:
        UsageError: a repeated AU, or inconsistent counts.
    """

    aus: tuple[int, ...]
    pairs: Floats
    rows: int

    def __post_init__(self) -> None:
        counts, k = np.asarray(self.pairs, np.float64), len(self.aus)
        if k != len(set(self.aus)) or counts.shape != (k, k):
            raise UsageError(f"counts of {k} different AUs are ({k}, {k}); found {counts.shape}")
        own = np.diag(counts)
        if (
            (counts < 0).any()
            or (counts > np.minimum.outer(own, own)).any()
            or own.max(initial=0) > self.rows
        ):
            raise UsageError(
                "counts of pairs must be 0 or more and at most the count of either AU, and "
                "counts of "
                "AUs at most the number of rows"
            )
        object.__setattr__(self, "pairs", counts)

    @classmethod
    def of(cls, aus: Sequence[int], acted: BoolArray) -> PairCounts:
        """Count in coded expressions; acted (n, K) bool."""
        rows = np.asarray(acted, np.float64)
        return cls(tuple(aus), rows.T @ rows, len(rows))

    def over(self, aus: Sequence[int]) -> PairCounts:
        """The counts for these AUs; 0 for AUs that were not counted."""
        index = [self.aus.index(au) if au in self.aus else -1 for au in aus]
        known = np.array(index) >= 0
        pairs = np.zeros((len(aus), len(aus)))
        own = [k for k in index if k >= 0]
        pairs[np.ix_(known, known)] = self.pairs[np.ix_(own, own)]
        return PairCounts(tuple(aus), pairs, self.rows)

    @property
    def rates(self) -> Floats:
        """(K,) frequency of each AU in (0, 1), smoothed by one extra row."""
        found: Floats = (np.diag(self.pairs) + 0.5) / (self.rows + 1)
        return found

    def couplings(self) -> Floats:
        """(K, K) symmetric, 0 on the diagonal: J fitted to these counts.

        By maximum likelihood with a normal prior of deviation 2 on every coupling.

        Raises:
            UsageError: more than 17 AUs.
        """
        k, rates = len(self.aus), self.rates
        table = _table(k)
        upper = np.triu_indices(k, 1)
        both = table[:, upper[0]] * table[:, upper[1]]
        together = (self.pairs[upper] + rates[upper[0]] * rates[upper[1]]) / (self.rows + 1)
        target = np.concatenate([rates, together])
        stiff = 1 / ((self.rows + 1) * _SPREAD**2)

        def loss(x: Floats) -> tuple[float, Floats]:
            energy = table @ x[:k] + both @ x[k:]
            whole = logsumexp(energy)
            share = np.exp(energy - whole)
            slope = np.concatenate([share @ table, share @ both]) - target
            slope[k:] += stiff * x[k:]
            return float(whole - target @ x + 0.5 * stiff * (x[k:] @ x[k:])), slope

        start = np.concatenate([logit(rates), np.zeros(len(together))])
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 400}).x
        coupling: Floats = np.zeros((k, k))
        coupling[upper] = found[k:]
        coupling += coupling.T
        return coupling


@dataclass(frozen=True, eq=False)
class LabelPrior:
    """Rates of AUs and couplings between them.

    Shapes:
        rates (K,) in (0, 1): marginal frequency of each AU; coupling (K, K) symmetric, 0 on the
        diagonal: added to the log odds if both act; all 0 for independent AUs.

    Raises:
        UsageError: wrong shapes, a rate outside (0, 1), or more than 17 AUs.
    """

    rates: Floats
    coupling: Floats

    def __post_init__(self) -> None:
        k = len(self.rates)
        if k > MOST:
            raise UsageError(f"a prior is over {MOST} AUs at most; found {k}")
        if not ((self.rates > 0) & (self.rates < 1)).all():
            raise UsageError("every AU acts in some expressions and not in all")
        if self.coupling.shape != (k, k) or not np.allclose(self.coupling, self.coupling.T):
            raise UsageError(f"the coupling of {k} AUs is a symmetric ({k}, {k}) array")

    def posterior(self, evidence: Floats) -> Floats:
        """Posterior probability of each AU, given the evidence of all.

        Without coupling that is ``expit(evidence + logit(rates))``, independently for each AU.

        Args:
            evidence: (N, K) log-likelihood ratios of acting to not acting.

        Returns:
            (N, K) float64 probabilities.
        """
        if not self.coupling.any():
            alone: Floats = expit(evidence + logit(self.rates))
            return alone
        fields = evidence + self._fields
        found = np.empty(fields.shape)
        for k in range(0, len(fields), _BATCH):
            found[k : k + _BATCH] = _marginals(self._energy, fields[k : k + _BATCH])
        return found

    @cached_property
    def _energy(self) -> Floats:
        """(2^K,) contribution of the couplings to the log-probability of each set."""
        table = _table(len(self.rates))
        return np.asarray(((table @ self.coupling) * table).sum(1) / 2)

    @cached_property
    def _fields(self) -> Floats:
        """(K,) h such that the marginals of the coupled prior equal `rates`."""
        wanted = logit(self.rates)
        fields = wanted.copy()
        for _ in range(300):
            are = np.clip(_marginals(self._energy, fields[None])[0], 1e-12, 1 - 1e-12)
            miss = wanted - logit(are)
            fields += 0.7 * miss
            if abs(miss).max() < 1e-6:
                break
        return np.asarray(fields)


@lru_cache(maxsize=2)
def _table(k: int) -> Floats:
    """(2^K, K) of 0 and 1: all sets of K AUs."""
    if k > MOST:
        raise UsageError(f"sets of {MOST} AUs at most can be summed over; found {k}")
    table: Floats = ((np.arange(2**k)[:, None] >> np.arange(k)) & 1).astype(np.float64)
    return table


def _marginals(energy: Floats, fields: Floats) -> Floats:
    """(N, K): marginal probabilities under fields (N, K)."""
    table = _table(fields.shape[1])
    log = fields @ table.T + energy
    log -= log.max(1, keepdims=True)
    share = np.exp(log)
    found: Floats = (share @ table) / share.sum(1, keepdims=True)
    return found
