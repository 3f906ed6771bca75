"""Folds of any task: one fold's work wherever it is done, and all of a run that are not there."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aumer.bench.code import code_of, code_of_part, machine
from aumer.bench.result import versions
from aumer.bench.split import Fold
from aumer.bench.store import FOLD_FORMAT, WEIGHTS, Store, weights_record
from aumer.bench.task import Items_, Progress, Task, Work
from aumer.bench.workers import Workers
from aumer.config import digest
from aumer.errors import UsageError
from aumer.process import Momentary

_log = logging.getLogger("aumer")


@dataclass(frozen=True, eq=False)
class Job:
    """One fold with one seed.

    Attributes:
        depends: digests of all that its result depends on, by name.
        checkpoint: from which a killed training goes on; `None` keeps none.
        weights: where its model is kept; `None` for nowhere.
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
    """A fold's work. Its result depends on `Job.depends`, and on nothing else.

    Args:
        run: digest of what all folds have in common.
        store: for the state of a training that is killed; `None` keeps none.
        keep_weights: keep the fold's model there, too.
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
        # By all it depends on, so that the state of another run is never found.
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
    """Run what is not there yet, and with a word what is no longer what would be made now.

    Each result is written as it comes.

    Args:
        keep_weights: keep each fold's model, too; a fold without is run again.
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
    """Complain where folds' models cannot be kept.

    Raises:
        UsageError: there are none, they have no file, or the workers do not see it.
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
    """Fit, then predict what was left out; the result as its file has it."""
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
    """Sums of floats depend on the number of threads; results must not. And folds run side by side,
    where threads of one would only wait for another's."""
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    limits = threadpool_limits(1)

    def undo() -> None:
        limits.restore_original_limits()
        torch.set_num_threads(before)

    return undo
