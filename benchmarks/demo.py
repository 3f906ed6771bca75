"""`aumer demo` over seeds: F1 of each, mean and lowest, and how long it takes.

python benchmarks/demo.py [--seeds FIRST LAST] [--save]
"""

from __future__ import annotations

import argparse
import tempfile
import time

import numpy as np
from common import Report

from aumer import demo
from aumer.types import Counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 19), metavar=("FIRST", "LAST"))
    parser.add_argument("--save", action="store_true", help="keep under benchmarks/results/")
    arguments = parser.parse_args()
    first, last = arguments.seeds
    report = Report(f"aumer demo, seeds {first} to {last}, kind required, IoU >= {demo.IOU}")
    report.line("seed  true  TP FP FN     F1   CPU s  wall s")
    scores, counts, seconds = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, last + 1):
            wall, cpu = time.perf_counter(), time.process_time()
            made = demo.run(seed=seed, folder=folder, overwrite=True)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            c = made.counts
            report.line(
                f"{seed:4} {len(made.truth):5} {c.tp:3} {c.fp:2} {c.fn:2} {made.f1:6.2f} "
                f"{cpu:7.0f} {wall:7.0f}"
            )
            scores.append(made.f1)
            counts.append(c)
            seconds.append(wall)
    pooled = Counts.total(counts)
    report.line()
    report.line(
        f"F1 mean {np.mean(scores):.3f}, lowest {min(scores):.3f}; pooled {pooled.f1:.3f} "
        f"(precision {pooled.precision:.3f}, recall {pooled.recall:.3f}); longest "
        f"{max(seconds):.0f} s"
    )
    if arguments.save:
        report.save("demo.txt")


if __name__ == "__main__":
    main()
