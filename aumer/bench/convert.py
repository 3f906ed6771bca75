"""Converts recognition runs of earlier versions to the present layout, without running them
again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from aumer import strict
from aumer.arguments import as_path
from aumer.bench import protocol as protocols
from aumer.bench.clips import ClipSet
from aumer.bench.protocol import Protocol
from aumer.bench.result import Run, versions
from aumer.bench.run import scored
from aumer.bench.split import plan
from aumer.bench.store import DATA, FOLD_FORMAT, OLD, RESULT, Store
from aumer.bench.task import Options
from aumer.bench.tasks.recognition import Recognition
from aumer.bench.tasks.recognition_result import RecognitionFold
from aumer.config import digest
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.foreign import foreign, read_json
from aumer.training.clips import StoredClips

#: The format name in an old fold's file.
_OLD_FOLD = "aumer-recognition-fold-1"


def convert(folder: StrPath, protocol: str | PathLike[str] | Protocol | None = None) -> Path:
    """Convert a folder with ``about.json`` and ``seed0-*.json`` to the files of the present layout.

    The old files are removed at the end, so that an interrupted conversion can be repeated. A
    finished run is scored again. The code that made its folds is unknown, so continuing the run
    would run them again.

    Args:
        protocol: required for a run without ``result.json``, which names it.

    Raises:
        UsageError: the folder has no such run or is damaged, or the run is of another protocol.
    """
    folder = as_path("folder", folder, "the path of a run's folder")
    if not (folder / OLD).exists():
        raise UsageError(
            f"{folder} is not a run of an earlier version: it has no {OLD}. There is nothing to "
            "convert"
        )
    old = _json(folder / OLD)
    files = sorted(folder.glob("seed*-*.json"))
    if not files:
        raise UsageError(
            f"{folder} was stopped before its first fold, so there is nothing to convert. "
            "Delete it and run the benchmark again"
        )
    document = _json(folder / RESULT) if (folder / RESULT).exists() else None
    task = _task(folder, old, document, protocol)
    folds = [_fold(path) for path in files]
    truth = _truth(folder, task.protocol, folds)
    about = json.loads(json.dumps(task.about()))
    planned = {fold.name: fold for fold in plan(task.protocol, truth.subject_keys, pooled=True)}
    run, subject_keys = digest(about), truth.subject_keys
    store = Store(folder)
    for path, fold in zip(files, folds, strict=True):
        if fold.subject not in planned:
            raise UsageError(
                f"{path} is not a fold of the protocol {task.protocol.name}: give the protocol "
                "that "
                f"the run was made with, or move the file out of the folder"
            )
        part = planned[fold.subject]
        store.write_fold(
            {
                "format": FOLD_FORMAT,
                "fold": fold.subject,
                "dataset": part.dataset,
                "seed": fold.seed,
                "depends": {"run": run},
                "tested": list(dict.fromkeys(fold.clip_subjects)),
                "trained": list(dict.fromkeys(subject_keys[k][1] for k in part.trained)),
                **fold.to_dict(),
                "seconds": fold.seconds,
            }
        )
    store.write_data(truth.to_dict())
    store.claim(about)
    if document is not None:
        command, numbers = document.get("command", ""), document.get("versions") or versions()
        made = Run(task.protocol, task.name, about, folder, command, numbers)
        scored(Recognition, made, truth, store).save()
    for path in (*files, *folder.glob("seed*.checkpoint"), folder / OLD):
        path.unlink()
    return folder


def _task(
    folder: Path,
    old: Mapping[str, Any],
    document: Mapping[str, Any] | None,
    protocol: str | PathLike[str] | Protocol | None,
) -> Recognition:
    """The run's model under its protocol; raises if the folder has other options."""
    if protocol is not None:
        found = protocols.load(protocol)
    elif document is not None:
        found = strict.build(Protocol, document["protocol"], str(folder / RESULT))
        found = found.changed({"seeds": [int(seed) for seed in document["seeds"]]})
    else:
        raise UsageError(f"{folder} has no {RESULT}, which names its protocol; give `protocol`")
    task = Recognition(found, str(old.get("model")), Options())
    about = json.loads(json.dumps(task.about()))
    split = None if found.split == "loso" else [found.split, found.folds]
    if (about["model"]["options"], split) != (old.get("options"), old.get("split")):
        raise UsageError(
            f"{folder} was run with model {old.get('model')}, options {old.get('options')} and "
            f"split {old.get('split', 'loso')}, which is not what the protocol {found.name} says: "
            "give the protocol that it was run with as `protocol`"
        )
    return task


def _fold(path: Path) -> RecognitionFold:
    found = _json(path)
    if found.get("format") != _OLD_FOLD:
        raise UsageError(f"{path} is not a fold of an earlier version; move it out of the folder")
    with foreign(path, "a fold of before", advice="Delete it"):
        renamed = {"fold": found.pop("subject"), "training_seconds": found.pop("seconds", 0.0)}
        return RecognitionFold.of({**found, **renamed})


def _truth(folder: Path, protocol: Protocol, folds: Sequence[RecognitionFold]) -> ClipSet:
    """The truth; in the oldest runs it is only in the folds, without data sets."""
    if (folder / DATA).exists():
        return Recognition.read(_json(folder / DATA))
    first = [fold for fold in folds if fold.seed == folds[0].seed]
    rows = [row for fold in first for row in fold.rows()]
    clips = StoredClips(
        "",
        (),
        tuple(protocol.classes.index(row.truth) for row in rows),
        tuple(row.subject for row in rows),
        protocol.classes,
        tuple(row.clip for row in rows),
    )
    return ClipSet(clips)


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(path, "a run of before")
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds no JSON object: it is damaged")
    return found
