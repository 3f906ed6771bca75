"""`aumer demo` over seeds: F1 of each, mean and lowest, and how long it takes; and, on the same
films, the F1 of every spotter that ships.

python -m benchmarks.accuracy.demo [--seeds FIRST LAST] [--jobs N] [--save]

With `--save` the file is written anew after each seed: an interrupted run keeps what is done.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from aumer import demo
from aumer.evaluation.matching import count
from aumer.pipeline import spot
from aumer.types import KINDS, Counts, Expression, by_kind
from benchmarks.report import Report, options

SPOTTERS = ("rules", "network", "combined")


@dataclass(frozen=True)
class Done:
    """One seed's outcome, the seconds it took, and what each spotter gives on its film."""

    counts: Counts
    cpu_s: float
    wall_s: float
    by_spotter: dict[str, Counts]


def run(seed: int) -> Done:
    wall, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        made = demo.run(seed=seed, folder=folder, overwrite=True)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    features = made.result.features
    assert features is not None
    found = {name: spot(features, model=name).expressions for name in SPOTTERS}
    return Done(made.counts, cpu, wall, {n: judged(e, made.truth) for n, e in found.items()})


def judged(spotted: Iterable[Expression], truth: Iterable[Expression]) -> Counts:
    """As the demo judges: kinds must agree."""
    spotted, truth = list(spotted), list(truth)
    return Counts.total(
        count(
            [e.interval for e in by_kind(spotted, kind)],
            [e.interval for e in by_kind(truth, kind)],
            iou=demo.IOU,
        )
        for kind in KINDS
    )


def summary(done: list[Done]) -> str:
    scores = [d.counts.f1 for d in done]
    pooled = Counts.total(d.counts for d in done)
    return (
        f"{len(done)} seeds: F1 mean {np.mean(scores):.3f}, lowest {min(scores):.3f}; pooled "
        f"{pooled.f1:.3f} (precision {pooled.precision:.3f}, recall {pooled.recall:.3f}); longest "
        f"{max(d.wall_s for d in done):.0f} s"
    )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 19), metavar=("FIRST", "LAST"))
    parser.add_argument("--jobs", type=int, default=1, help="seeds at a time (default: 1)")
    arguments = parser.parse_args()
    first, last = arguments.seeds
    report = Report(
        f"aumer demo, seeds {first} to {last}, {arguments.jobs} at a time, kind required, "
        f"IoU >= {demo.IOU}"
    )
    report.line("seed  TP FP FN     F1   CPU s  wall s   so far  F1 of " + ", ".join(SPOTTERS))
    done: list[Done] = []
    seeds = range(first, last + 1)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for seed, one in zip(seeds, pool.map(run, seeds), strict=True):
            done.append(one)
            c = one.counts
            so_far = np.mean([d.counts.f1 for d in done])
            report.line(
                f"{seed:4} {c.tp:3} {c.fp:2} {c.fn:2} {c.f1:6.2f} {one.cpu_s:7.0f} "
                f"{one.wall_s:7.0f}   {so_far:.3f}  "
                + "".join(f"{one.by_spotter[name].f1:6.2f}" for name in SPOTTERS)
            )
            if arguments.save:
                report.save("demo.txt")
    report.line()
    report.line(summary(done))
    for name in SPOTTERS:
        every = [d.by_spotter[name] for d in done]
        pooled = Counts.total(every)
        report.line(
            f"{name}: F1 mean {np.mean([c.f1 for c in every]):.3f}, pooled {pooled.f1:.3f} "
            f"(precision {pooled.precision:.3f}, recall {pooled.recall:.3f})"
        )
    if arguments.save:
        report.save("demo.txt")


if __name__ == "__main__":
    main()
