"""`aumer demo` over seeds: F1 of each, mean and lowest, and how long it takes.

python benchmarks/demo.py [--seeds FIRST LAST] [--jobs N] [--save]

With `--save` the file is written anew after each seed: an interrupted run keeps what is done.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from common import Report

from aumer import demo
from aumer.types import Counts


@dataclass(frozen=True)
class Done:
    """One seed's outcome, and the seconds it took."""

    counts: Counts
    cpu_s: float
    wall_s: float


def run(seed: int) -> Done:
    wall, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        made = demo.run(seed=seed, folder=folder, overwrite=True)
    return Done(made.counts, time.process_time() - cpu, time.perf_counter() - wall)


def summary(done: list[Done]) -> str:
    scores = [d.counts.f1 for d in done]
    pooled = Counts.total(d.counts for d in done)
    return (
        f"{len(done)} seeds: F1 mean {np.mean(scores):.3f}, lowest {min(scores):.3f}; pooled "
        f"{pooled.f1:.3f} (precision {pooled.precision:.3f}, recall {pooled.recall:.3f}); longest "
        f"{max(d.wall_s for d in done):.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 19), metavar=("FIRST", "LAST"))
    parser.add_argument("--jobs", type=int, default=1, help="seeds at a time (default: 1)")
    parser.add_argument("--save", action="store_true", help="keep under benchmarks/results/")
    arguments = parser.parse_args()
    first, last = arguments.seeds
    report = Report(
        f"aumer demo, seeds {first} to {last}, {arguments.jobs} at a time, kind required, "
        f"IoU >= {demo.IOU}"
    )
    report.line("seed  TP FP FN     F1   CPU s  wall s   so far")
    done: list[Done] = []
    seeds = range(first, last + 1)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for seed, one in zip(seeds, pool.map(run, seeds), strict=True):
            done.append(one)
            c = one.counts
            so_far = np.mean([d.counts.f1 for d in done])
            report.line(
                f"{seed:4} {c.tp:3} {c.fp:2} {c.fn:2} {c.f1:6.2f} {one.cpu_s:7.0f} "
                f"{one.wall_s:7.0f}   {so_far:.3f}"
            )
            if arguments.save:
                report.save("demo.txt")
    report.line()
    report.line(summary(done))
    if arguments.save:
        report.save("demo.txt")


if __name__ == "__main__":
    main()
