"""Folds of any task: one fold's work wherever it is done, and all of a run that are not there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aumer.bench.split import Fold
from aumer.bench.store import FOLD_FORMAT, Store
from aumer.bench.task import Items_, Progress, Task, Work
from aumer.bench.workers import Workers
from aumer.config import digest


@dataclass(frozen=True, eq=False)
class Job:
    """One fold with one seed.

    Attributes:
        depends: digests of all that its result depends on, by name.
        checkpoint: from which a killed training goes on; `None` keeps none.
    """

    fold: str
    dataset: str
    seed: int
    work: Work
    depends: Mapping[str, str]
    checkpoint: Path | None = None


def job(
    task: Task[Any, Items_, Any],
    fold: Fold,
    items: Items_,
    seed: int,
    *,
    run: str = "",
    store: Store | None = None,
    workers: Workers | None = None,
) -> Job:
    """A fold's work. Its result depends on `Job.depends`, and on nothing else.

    Args:
        run: digest of what all folds have in common.
        store: for the state of a training that is killed; `None` keeps none.
    """
    workers = workers or Workers()
    depends = {"run": run, **task.depends(fold, items)}
    checkpoint = None
    if store is not None and task.resumes and workers.share_files:
        # By all it depends on, so that the state of another run is never found.
        mark = f".{digest(depends)[:12]}.checkpoint"
        checkpoint = store.fold_path(seed, fold.name).with_suffix(mark).absolute()
    work = task.work(fold, items, workers)
    return Job(fold.name, fold.dataset, seed, work, depends, checkpoint)


def run_folds(
    task: Task[Any, Items_, Any],
    folds: Sequence[Fold],
    items: Items_,
    seeds: Sequence[int],
    *,
    run: str,
    store: Store,
    workers: Workers,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Run what is not there yet; each result is written as it comes.

    Raises:
        UsageError: a fold in the store was made of something else, and is not to be overwritten.
    """
    jobs = []
    for seed in seeds:
        for fold in folds:
            one = job(task, fold, items, seed, run=run, store=store, workers=workers)
            if not store.done(seed, fold.name, one.depends, overwrite=overwrite):
                store.fold_path(seed, fold.name).parent.mkdir(parents=True, exist_ok=True)
                jobs.append(one)
    total = len(folds) * len(seeds)
    if progress and jobs:
        progress("folds", total - len(jobs), total)
    for done, result in enumerate(workers.run(run_fold, jobs), start=1):
        store.write_fold(result)
        if progress:
            progress("folds", total - len(jobs) + done, total)


def run_fold(one: Job) -> dict[str, Any]:
    """Fit, then predict what was left out; the result as its file has it."""
    begun = time.perf_counter()
    with _one_thread():
        found = one.work.predict(one.seed, one.checkpoint)
    return {
        "format": FOLD_FORMAT,
        "fold": one.fold,
        "dataset": one.dataset,
        "seed": one.seed,
        "depends": dict(one.depends),
        "tested": list(one.work.tested),
        "trained": list(one.work.trained),
        **found,
        "seconds": round(time.perf_counter() - begun, 2),
    }


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of floats depend on the number of threads; results must not. And folds run side by side,
    where threads of one would only wait for another's."""
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
