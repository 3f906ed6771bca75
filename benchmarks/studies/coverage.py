"""How often intervals over few subjects hold the truth, and what is called a difference by chance.

    python -m benchmarks.studies.coverage [--save]

Two made-up methods that err on the same subjects are compared by F1 as `aumer bench compare` does.
They are alike, so that the true difference is 0 by symmetry: an interval that does not hold it
calls chance a difference. `aumer.evaluation.power.HOLDS` is read off this table.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aumer.evaluation.bootstrap import difference
from aumer.evaluation.power import holds
from aumer.evaluation.spotting import f1_of
from benchmarks.report import Report, options

SUBJECTS = (2, 3, 4, 5, 6, 8, 11, 16, 22, 30)
TRIALS, REPLICATES, SEED = 4000, 500, 25

Counts = npt.NDArray[np.int64]


def trial(rng: np.random.Generator, subjects: int, better: float) -> tuple[Counts, Counts]:
    """TP, FP and FN (subjects, 3) of two methods, the first better by so much of its recall.

    About twelve truths a subject, as on CAS(ME)^2 and SAMM-LV; subjects differ more than methods.
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


def main() -> None:
    asked = options(__doc__).parse_args()
    report = Report("How often a 95 % interval over resampled subjects holds the truth")
    report.line(
        f"differences of F1, {TRIALS} trials of each number of subjects, {REPLICATES} resamples; "
        f"seed {SEED}"
    )
    report.line(f"{'subjects':>8}{'holds':>9}{'in use':>9}")
    for subjects in SUBJECTS:
        rng = np.random.default_rng([SEED, subjects])
        held = 0
        for k in range(TRIALS):
            d = difference(
                *trial(rng, subjects, 0.0), f1_of, replicates=REPLICATES, level=0.95, seed=k
            )
            held += d.low <= 0 <= d.high
        used = holds(subjects)
        report.line(f"{subjects:8}{held / TRIALS:9.3f}{'' if used is None else f'{used:.2f}':>9}")
    if asked.save:
        report.save("coverage.txt")


if __name__ == "__main__":
    main()
