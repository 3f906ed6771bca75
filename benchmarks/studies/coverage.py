"""How often intervals over few subjects hold the truth, and what is called a difference by chance.

    python -m benchmarks.studies.coverage [--save]

Two made-up methods that err on the same subjects are compared by F1 as `aumer bench compare` does.
They are alike, so that the true difference is 0 by symmetry: an interval that does not hold it
calls chance a difference. `aumer.evaluation.power.HOLDS` is read off this table.
"""

from __future__ import annotations

import numpy as np

from aumer.evaluation.bootstrap import difference
from aumer.evaluation.power import holds
from aumer.evaluation.spotting import f1_of
from aumer.testing.two_methods import two_methods
from benchmarks.report import Report, options

SUBJECTS = (2, 3, 4, 5, 6, 8, 11, 16, 22, 30)
TRIALS, REPLICATES, SEED = 4000, 500, 25


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
                *two_methods(rng, subjects), f1_of, replicates=REPLICATES, level=0.95, seed=k
            )
            held += d.low <= 0 <= d.high
        used = holds(subjects)
        report.line(f"{subjects:8}{held / TRIALS:9.3f}{'' if used is None else f'{used:.2f}':>9}")
    if asked.save:
        report.save("coverage.txt")


if __name__ == "__main__":
    main()
