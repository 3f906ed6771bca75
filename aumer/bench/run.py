"""Runs benchmarks of any task: data -> folds -> predictions in files -> score.

All files are written here; the command line prints the result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aumer import strict
from aumer.arguments import as_path, require_path, wrong
from aumer.bench import protocol as protocols
from aumer.bench.code import agreed
from aumer.bench.folds import check_keeps, run_folds
from aumer.bench.protocol import Protocol
from aumer.bench.result import Result, Run
from aumer.bench.split import plan
from aumer.bench.store import RESULT, Store
from aumer.bench.task import Options, Progress, Task, TaskTruth
from aumer.bench.tasks import task_of
from aumer.config import Settings, digest
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.workers import Workers


def run(
    protocol: str | Protocol,
    roots: StrPath | Mapping[str, StrPath] | None,
    model: str = "",
    *,
    overrides: Mapping[str, Any] | None = None,
    decoder: str | None = None,
    settings: Settings | None = None,
    cache: StrPath | None = None,
    folder: StrPath | None = None,
    overwrite: bool = False,
    score_only: bool = False,
    workers: Workers | None = None,
    progress: Progress | None = None,
    command: str = "",
    keep_weights: bool = False,
) -> Result[Any]:
    """Run the missing folds of a protocol, score all of them, and write the results.

    Args:
        protocol: or its name or file.
        roots: the folder of the data set, or of each by name.
        model: as for `aumer bench`; by default that of the task.
        overrides, decoder, settings, cache: see `aumer.bench.task.Options`.
        folder: of the run; by default ``aumer-bench/PROTOCOL-MODEL-DIGEST`` here, so that the same
            settings find the same folder.
        overwrite: use a folder of another run. Folds of the same run that do not match (other data,
            code or versions, or an altered file) are always run again.
        score_only: run nothing. Without `roots` the stored truth is used.
        progress: called with the present step, the amount done, and the total.
        command: the command line, for the table.
        keep_weights: store the model of each fold as ``seed-N/FOLD.safetensors``, for `aumer.spot`
            or `aumer.classify`; folds without a model are run again.

    Raises:
        UsageError: unreadable data, a folder with another run, or a missing fold, whose misses
            would not be counted.
        ConfigError: settings that do not fit.
    """
    if keep_weights and score_only:
        raise UsageError(
            "`keep_weights` cannot go with `score_only`, which trains nothing: leave one of "
            "them out"
        )
    protocol, workers = protocols.load(protocol), workers or Workers()
    given = roots_by_name(protocol, roots)
    options = Options(overrides, decoder, settings, cache)
    task, about, store = task_and_store(protocol, model, options, folder)
    store.check(about, overwrite=overwrite, score_only=score_only)
    if keep_weights:
        check_keeps(task, workers)  # before the data are read
    try:
        if given or not score_only:
            truth = task.open(given, workers, progress)
        else:
            truth = store.read_data(task.read)
        store.claim(about)
        about = store.about()
        if not score_only:
            items = task.prepare(truth, workers, progress)
            store.write_data(truth.to_dict())
            run_folds(
                task,
                plan(task.protocol, items.subject_keys, pooled=task.pooled),
                items,
                task.protocol.seeds,
                run=digest(about),
                store=store,
                workers=workers,
                progress=progress,
                keep_weights=keep_weights,
            )
    finally:
        task.close()
    made = Run(task.protocol, task.name, about, store.folder, command)
    result = scored(type(task), made, truth, store)
    result.save()
    return result


def task_and_store(
    protocol: Protocol, model: str, options: Options, folder: StrPath | None = None
) -> tuple[Task[Any, Any, Any], dict[str, Any], Store]:
    """The task of a run, everything that its predictions depend on except the data, and its store.

    No data are read and nothing is written.

    Args:
        model, folder: as for `run`.

    Raises:
        UsageError: unknown model, or options or a protocol that do not fit it.
        ConfigError, WeightsError: invalid settings or weights.
    """
    require_path("model", model, "a name, or the path of weights or of training settings")
    if not isinstance(options.settings, Settings | None):
        raise wrong("settings", options.settings, "a Settings; see load_settings")
    kind = task_of(protocol.kind)
    model = model or kind.default_model
    task = kind(protocol, model, options)
    about: dict[str, Any] = json.loads(json.dumps(task.about()))  # as read from the file
    return task, about, Store(_folder(folder, protocol, model, about))


def stored(folder: StrPath) -> Result[Any]:
    """A finished run, scored again from its folds by the rules in its ``result.json``.

    Raises:
        UsageError: the folder holds no finished run, or a fold is missing.
    """
    store = Store(as_path("folder", folder, "the path of a run's folder"))
    about, document = store.about(), store.document(RESULT)
    try:
        protocol = strict.build(Protocol, document["protocol"], str(store.folder / RESULT))
        made = Run(
            protocol,
            document["model"],
            about,
            store.folder,
            document["command"],
            document["versions"],
        )
    except (KeyError, TypeError) as error:
        raise UsageError(f"{folder} holds no finished run of `aumer bench`: {error!r}") from error
    kind = task_of(protocol.kind)
    return scored(kind, made, store.read_data(kind.read), store)


def scored(
    kind: type[Task[Any, Any, Any]], made: Run, truth: TaskTruth, store: Store
) -> Result[Any]:
    """The score of stored folds.

    Raises:
        UsageError: a fold is missing, damaged or of another run.
    """
    # The training subjects do not affect the score.
    planned = plan(replace(made.protocol, train_subjects=0), truth.subject_keys, pooled=kind.pooled)
    run = digest(made.about)
    under: list[Mapping[str, str]] = []
    seconds: list[float] = []
    machines: dict[str, None] = {}

    def read(values: Mapping[str, Any]) -> Any:
        under.append(values.get("versions") or made.versions)
        machines.update(dict.fromkeys([values.get("machine", "")]))
        seconds.append(float(values.get("seconds", 0.0)))
        return kind.parse(values)

    folds = [
        store.finished(seed, fold.name, run, read)
        for seed in made.protocol.seeds
        for fold in planned
    ]
    where = " and ".join(filter(None, machines))
    made = replace(made, versions=agreed(under), machine=where, seconds=sum(seconds))
    return kind.scored(made, truth, folds)


def roots_by_name(
    protocol: Protocol, roots: StrPath | Mapping[str, StrPath] | None
) -> Mapping[str, StrPath]:
    """The given folders of data sets by name; empty for `None`.

    Raises:
        UsageError: one folder is given, but the protocol has several data sets.
    """
    if roots is None or isinstance(roots, Mapping):
        return roots or {}
    if len(protocol.datasets) > 1:
        raise UsageError(
            f"protocol {protocol.name} has the data sets {', '.join(protocol.datasets)}; give the "
            "root of each by its name"
        )
    return {protocol.datasets[0]: as_path("roots", roots, "a folder, or one for each data set")}


def _folder(
    folder: StrPath | None, protocol: Protocol, model: str, about: Mapping[str, Any]
) -> Path:
    if folder is not None:
        return as_path("folder", folder)
    return Path("aumer-bench") / f"{protocol.name}-{Path(model).stem}-{digest(about)[:8]}"
