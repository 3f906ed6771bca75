"""Which action units act together: a prior over sets of them, and what it makes of evidence.

The prior is an Ising model of the labels, p(y) ~ exp(sum_k h_k y_k + sum_jk J_jk y_j y_k), fitted
to how often AUs were coded, alone and in pairs. A face has few enough AUs to sum over all their
sets, so that every number here is exact. numpy and scipy.
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
#: All sets of so many AUs are summed over: 131,072.
MOST = 17
#: Couplings are of this size before any row was seen: what was never coded together is not
#: impossible.
_SPREAD = 2.0
#: Clips that are summed over at once.
_BATCH = 32


@dataclass(frozen=True, eq=False)
class PairCounts:
    """In how many coded expressions AUs were seen, alone and together: counts, and no rows.

    Shapes:
        pairs (K, K): in how many both acted; on the diagonal, each at all.

    Attributes:
        aus: numbers of the AUs.
        rows: coded expressions in all.

    Raises:
        UsageError: an AU twice, or counts that no rows have.
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
        """Of coded expressions: (n, K) bool, which AUs acted in each."""
        rows = np.asarray(acted, np.float64)
        return cls(tuple(aus), rows.T @ rows, len(rows))

    def over(self, aus: Sequence[int]) -> PairCounts:
        """Of these AUs alone; of one that was not counted, none."""
        index = [self.aus.index(au) if au in self.aus else -1 for au in aus]
        known = np.array(index) >= 0
        pairs = np.zeros((len(aus), len(aus)))
        own = [k for k in index if k >= 0]
        pairs[np.ix_(known, known)] = self.pairs[np.ix_(own, own)]
        return PairCounts(tuple(aus), pairs, self.rows)

    @property
    def rates(self) -> Floats:
        """(K,) how often each acts; above 0 and below 1, as if there had been one row more."""
        found: Floats = (np.diag(self.pairs) + 0.5) / (self.rows + 1)
        return found

    def couplings(self) -> Floats:
        """(K, K) symmetric, 0 on the diagonal: J of the prior that agrees with these counts.

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
    """How often AUs act, and by how much one speaks for another.

    Shapes:
        rates (K,) in (0, 1): how often each acts, coupled or not; coupling (K, K) symmetric, 0 on
        the diagonal: what both acting adds to the log-odds; all 0 where AUs are independent.

    Raises:
        UsageError: other shapes, no share, or more than 17 AUs.
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
        """How probable each AU is, given what the face shows of all of them.

        Without coupling that is ``expit(evidence + logit(rates))``, each AU for itself.

        Args:
            evidence: (N, K) log-likelihood ratios: of what is seen if the AU acts, to if not.

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
        """(2^K,) what the coupling adds to the log-probability of each set."""
        table = _table(len(self.rates))
        return np.asarray(((table @ self.coupling) * table).sum(1) / 2)

    @cached_property
    def _fields(self) -> Floats:
        """(K,) h, with which each AU of the coupled prior is as frequent as `rates` says."""
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
    """(2^K, K) of 0 and 1: every set of K AUs."""
    if k > MOST:
        raise UsageError(f"sets of {MOST} AUs at most can be summed over; found {k}")
    table: Floats = ((np.arange(2**k)[:, None] >> np.arange(k)) & 1).astype(np.float64)
    return table


def _marginals(energy: Floats, fields: Floats) -> Floats:
    """(N, K): how probable each AU is under fields (N, K)."""
    table = _table(fields.shape[1])
    log = fields @ table.T + energy
    log -= log.max(1, keepdims=True)
    share = np.exp(log)
    found: Floats = (share @ table) / share.sum(1, keepdims=True)
    return found
