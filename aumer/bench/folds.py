"""Folds of any task: the work of one fold on any worker, and running all missing folds."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aumer.bench.code import code_of_part, machine
from aumer.bench.result import versions
from aumer.bench.split import Fold
from aumer.bench.store import FOLD_FORMAT, WEIGHTS, Store, weights_record
from aumer.bench.task import Items_, Progress, Task, Work
from aumer.config import digest
from aumer.errors import UsageError
from aumer.process import Momentary
from aumer.source_code import code_of
from aumer.workers import Workers

_log = logging.getLogger("aumer")


@dataclass(frozen=True, eq=False)
class Job:
    """One fold with one seed.

    Attributes:
        depends: digests of everything that its result depends on, by name.
        checkpoint: file for continuing an interrupted training; `None` for none.
        weights: file of its model; `None` for none.
    """

    fold: str
    dataset: str
    seed: int
    work: Work
    depends: Mapping[str, str]
    checkpoint: Path | None = None
    weights: Path | None = None


def job(
    task: Task[Any, Items_, Any],
    fold: Fold,
    items: Items_,
    seed: int,
    *,
    run: str = "",
    store: Store | None = None,
    workers: Workers | None = None,
    keep_weights: bool = False,
) -> Job:
    """The job of a fold. Its result depends only on `Job.depends`.

    Args:
        run: digest of what all folds share.
        store: for the state of an interrupted training; `None` for none.
        keep_weights: also store the fold's model there.
    """
    workers = workers or Workers()
    made_by = [code_of_part(part) for part in (type(task), *task.parts())]
    depends = {
        "run": run,
        "settings": digest(task.in_force()),
        "code": digest([code_of(task.code), made_by]),
        "versions": digest(versions()),
        **task.depends(fold, items),
    }
    checkpoint = None
    if store is not None and task.resumes and workers.share_files:
        # Named by everything it depends on, so that the state of another run is never used.
        checkpoint = store.state_path(seed, fold.name, digest(depends)).absolute()
    work = task.work(fold, items, workers)
    kept = store.weights_path(seed, fold.name).absolute() if store and keep_weights else None
    return Job(fold.name, fold.dataset, seed, work, depends, checkpoint, kept)


def run_folds(
    task: Task[Any, Items_, Any],
    folds: Sequence[Fold],
    items: Items_,
    seeds: Sequence[int],
    *,
    run: str,
    store: Store,
    workers: Workers,
    progress: Progress | None = None,
    keep_weights: bool = False,
) -> None:
    """Run missing folds and, with a note, outdated ones.

    Each result is written at once.

    Args:
        keep_weights: also store each fold's model; a fold without one is run again.
    """
    jobs, stale = [], Counter[str]()
    for seed in seeds:
        for fold in folds:
            one = job(
                task,
                fold,
                items,
                seed,
                run=run,
                store=store,
                workers=workers,
                keep_weights=keep_weights,
            )
            why = store.stale(seed, fold.name, one.depends)
            if why == "" and keep_weights and not store.has_weights(seed, fold.name):
                why = "without their weights"
            if why != "":
                store.fold_path(seed, fold.name).parent.mkdir(parents=True, exist_ok=True)
                jobs.append(one)
                stale.update([why] if why else [])
    total = len(folds) * len(seeds)
    if stale:
        _log.warning(
            "%d of %d folds in %s do not fit and are computed again: %s",
            sum(stale.values()),
            total,
            store.folder,
            "; ".join(f"{n} {why}" for why, n in stale.items()),
        )
    if progress and jobs:
        progress("folds", total - len(jobs), total)
    for done, result in enumerate(workers.run(run_fold, jobs), start=1):
        store.write_fold(result)
        if progress:
            progress("folds", total - len(jobs) + done, total)


def check_keeps(task: Task[Any, Any, Any], workers: Workers) -> None:
    """Raise an error if folds' models cannot be stored.

    Raises:
        UsageError: there are no models, they cannot be saved, or workers cannot access the files.
    """
    if not task.saves_models:
        raise UsageError(
            f"the weights of {task.name!r} cannot be kept: it is not trained on the folds, or "
            "defines no save and load. Leave `keep_weights` out"
        )
    if not workers.share_files:
        raise UsageError(
            "weights are kept by workers that see this machine's files; use local ones, or leave "
            "`keep_weights` out"
        )


def run_fold(one: Job) -> dict[str, Any]:
    """Train, then predict the left-out items; returns the content of the result file."""
    begun = time.perf_counter()
    with _one_thread():
        if one.weights is None:
            found = one.work.predict(one.seed, one.checkpoint)
        else:
            found = one.work.predict(one.seed, one.checkpoint, one.weights)
            found = {**found, WEIGHTS: weights_record(one.weights)}
    return {
        "format": FOLD_FORMAT,
        "fold": one.fold,
        "dataset": one.dataset,
        "seed": one.seed,
        "depends": dict(one.depends),
        "versions": versions(),
        "machine": machine(),
        "tested": list(one.work.tested),
        "trained": list(one.work.trained),
        **found,
        "seconds": round(time.perf_counter() - begun, 2),
    }


@Momentary
def _one_thread() -> Callable[[], None]:
    """Limits libraries to one thread: floating-point sums depend on the number of threads, results
    must not. And folds run in parallel anyway.
    """
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    limits = threadpool_limits(1)

    def undo() -> None:
        limits.restore_original_limits()
        torch.set_num_threads(before)

    return undo
