"""Folds: who is tested by a model of whom, one fold's work, and its result as a file."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aumer.bench.emotions import DisplacementSvm
from aumer.bench.models import Fitted, Model
from aumer.bench.protocol import Protocol
from aumer.bench.sources import annotations_digest, features_digest
from aumer.config import digest
from aumer.errors import UsageError
from aumer.evaluation.rows import Prediction, SpottingSettings, Truth, Video
from aumer.evaluation.spotting import evaluate
from aumer.evaluation.tables import as_dicts
from aumer.files import atomic_write
from aumer.pipeline import SpotterModel
from aumer.training.videos import LabelledVideo

FORMAT = "aumer-bench-fold/1"

#: Draws the groups of a "k-fold" split: the same whatever the seed of training.
_GROUPS_SEED = 0


@dataclass(frozen=True, eq=False)
class Entry:
    """A video, and the data set that it is of."""

    dataset: str
    video: LabelledVideo
    digests: tuple[str, str]

    @property
    def whose(self) -> tuple[str, str]:
        """Data set and subject."""
        return self.dataset, self.video.subject

    @classmethod
    def of(cls, dataset: str, video: LabelledVideo) -> Entry:
        return cls(
            dataset,
            video,
            (features_digest(video.features), annotations_digest(video.annotations)),
        )


@dataclass(frozen=True)
class Fold:
    """Which of the videos are tested by a model of which, by their numbers."""

    name: str
    dataset: str
    tested: tuple[int, ...]
    trained: tuple[int, ...]


def plan(protocol: Protocol, whose: Sequence[tuple[str, str]]) -> tuple[Fold, ...]:
    """The folds of a protocol. No tested subject is ever among those that its model saw.

    Args:
        whose: data set and subject of each video.

    Raises:
        UsageError: fewer subjects than groups, or than a model is to learn from.
    """
    tested = [w for w in dict.fromkeys(whose) if w[0] in protocol.datasets]
    groups: list[tuple[str, str, set[tuple[str, str]]]]
    if protocol.split in ("cross-data-set", "unseen"):
        groups = [(d, d, {w for w in tested if w[0] == d}) for d in protocol.datasets]
    elif protocol.split == "loso":
        several = len(protocol.datasets) > 1
        groups = [(f"{d} {s}" if several else s, d, {(d, s)}) for d, s in tested]
    else:
        groups = []
        for d in protocol.datasets:
            own = sorted(w for w in tested if w[0] == d)
            if len(own) < protocol.folds:
                raise UsageError(
                    f"{d} has {len(own)} subjects, too few for {protocol.folds} groups of them"
                )
            order = np.random.default_rng(_GROUPS_SEED).permutation(len(own))
            for k in range(protocol.folds):
                name = f"{d} {k + 1} of {protocol.folds}"
                groups.append((name, d, {own[i] for i in order[k :: protocol.folds]}))
    folds = []
    for name, dataset, out in groups:
        # A subject of that name in another data set may be another person, or the same one.
        names = {subject for _, subject in out}
        trained = [
            k
            for k, (d, subject) in enumerate(whose)
            if subject not in names
            and (d != dataset or protocol.split not in ("cross-data-set", "unseen"))
            and (protocol.split != "unseen" or d in protocol.train_datasets)
        ]
        trained = _fewer(name, trained, whose, protocol.train_subjects)
        held_out = [k for k, w in enumerate(whose) if w in out]
        folds.append(Fold(name, dataset, tuple(held_out), tuple(trained)))
    return tuple(folds)


def _fewer(
    fold: str, trained: list[int], whose: Sequence[tuple[str, str]], subjects: int
) -> list[int]:
    """The videos of so many of the subjects; those of fewer are among those of more."""
    everyone = sorted({whose[k] for k in trained})
    if not subjects or not everyone:
        return trained
    if subjects > len(everyone):
        raise UsageError(
            f"train_subjects = {subjects}, and fold {fold} has {len(everyone)} to train on"
        )
    rng = np.random.default_rng([_GROUPS_SEED, *fold.encode()])
    chosen = {everyone[i] for i in rng.permutation(len(everyone))[:subjects]}
    return [k for k in trained if whose[k] in chosen]


@dataclass(frozen=True, eq=False)
class Job:
    """All that a worker needs for one fold.

    Attributes:
        test: without their annotations, unless `oracle`.
        oracle: rules by which the best epoch on `test` is chosen; `None` chooses none.
        classes: labels to recognise what is spotted as, or none.
    """

    fold: str
    dataset: str
    seed: int
    model: Model
    train: tuple[LabelledVideo, ...]
    test: tuple[LabelledVideo, ...]
    oracle: SpottingSettings | None
    classes: tuple[str, ...]
    checkpoint: Path | None
    depends: Mapping[str, str]


def job(
    fold: Fold,
    entries: Sequence[Entry],
    model: Model,
    protocol: Protocol,
    seed: int,
    *,
    run: str,
    folder: Path | None,
) -> Job:
    """A fold's work. Its result depends on `Job.depends`, and on nothing else.

    Args:
        run: digest of what all folds have in common.
        folder: for the state of a training that is killed; `None` keeps none.
    """
    oracle = protocol.scoring if protocol.selection == "oracle" else None
    learns = model.trains or bool(protocol.classes)
    trained = [entries[k] for k in fold.trained] if learns else []
    tested = [entries[k] for k in fold.tested]
    if model.trains and not trained:
        raise UsageError(f"fold {fold.name} has nobody to train on; it needs two subjects or more")

    def named(some: Iterable[Entry], parts: int) -> str:
        return digest(
            [[e.dataset, e.video.subject, e.video.name, *e.digests[:parts]] for e in some]
        )

    depends = {
        "run": run,
        "training data": named(trained, 2),
        "tested data": named(tested, 2 if oracle else 1),
    }
    checkpoint = None
    if folder is not None and model.trains:
        # By all it depends on, so that the state of another run is never found.
        mark = f".{digest(depends)[:12]}.checkpoint"
        checkpoint = fold_path(folder, seed, fold.name).with_suffix(mark)
    return Job(
        fold.name,
        fold.dataset,
        seed,
        model,
        tuple(e.video for e in trained),
        tuple(e.video if oracle else replace(e.video, annotations=()) for e in tested),
        oracle,
        protocol.classes,
        checkpoint,
        depends,
    )


def run_fold(work: Job) -> tuple[Job, dict[str, Any]]:
    """Fit, then spot in the videos that were left out; the result as JSON has it."""
    begun = time.perf_counter()
    with _one_thread():
        fitted = work.model.fit(
            work.train, work.seed, work.checkpoint, every=work.oracle is not None
        )
        label = _labeller(work)
        spotted = label(_spot(fitted.spotter, work.test))
        best = _oracle(fitted, work) if work.oracle else None
    if best is not None:
        best["predictions"] = as_dicts(label(best["predictions"]))
    return work, {
        "format": FORMAT,
        "fold": work.fold,
        "dataset": work.dataset,
        "seed": work.seed,
        "depends": dict(work.depends),
        "tested": sorted({v.subject for v in work.test}),
        "trained": sorted({v.subject for v in work.train}),
        "model": dict(fitted.about),
        "coverage": {f"{v.subject}/{v.name}": _coverage(v) for v in work.test},
        "predictions": as_dicts(spotted),
        "oracle": best,
        "seconds": round(time.perf_counter() - begun, 2),
    }


def _coverage(video: LabelledVideo) -> float:
    """Share of rows with a usable face."""
    return round(float(video.features.valid.mean()), 4) if len(video.features) else 0.0


def _spot(spotter: SpotterModel, videos: Sequence[LabelledVideo]) -> list[Prediction]:
    return [Prediction.of(v.subject, v.name, e) for v in videos for e in spotter(v.features)[1]]


def _oracle(fitted: Fitted, work: Job) -> dict[str, Any]:
    """The epoch with the highest overall F1 on the test videos; the first of equals."""
    videos = [Video(v.subject, v.name) for v in work.test]
    truths = [Truth.of(a) for v in work.test for a in v.annotations]
    assert work.oracle is not None
    # The expected numbers are those of the whole data set.
    rules = replace(work.oracle, expect_macro=None, expect_micro=None)
    f1: dict[int, float] = {}
    best: tuple[int, list[Prediction]] | None = None
    for epoch, spotter in fitted.candidates:
        found = _spot(spotter, work.test)
        f1[epoch] = evaluate(found, truths, videos, rules).f1()
        if best is None or f1[epoch] > f1[best[0]]:
            best = epoch, found
    assert best is not None
    return {"epoch": best[0], "f1": {str(k): v for k, v in f1.items()}, "predictions": best[1]}


def _labeller(work: Job) -> Callable[[list[Prediction]], list[Prediction]]:
    if not work.classes:
        return lambda found: found
    recogniser = DisplacementSvm.fit(work.train, work.classes)
    features = {(v.subject, v.name): v.features for v in work.test}
    return lambda found: [replace(p, label=recogniser(features[p.key], p)) for p in found]


@contextmanager
def _one_thread() -> Any:
    """Sums of floats depend on the number of threads; results must not."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# -- files ----------------------------------------------------------------------------------------


def fold_path(folder: Path, seed: int, name: str) -> Path:
    """Where a fold's result is kept."""
    return folder / f"seed-{seed}" / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', name)}.json"


def write_fold(path: Path, result: Mapping[str, Any]) -> None:
    """Keep a result, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(result, indent=1, allow_nan=False) + "\n", overwrite=True)


def read_fold(path: Path) -> dict[str, Any]:
    """A result that `write_fold` wrote.

    Raises:
        UsageError: it is missing, damaged or something else.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}")
        predictions_of(found)
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no fold of a benchmark: {error}. Delete it, and the next run makes it anew"
        ) from error


def predictions_of(result: Mapping[str, Any]) -> list[Prediction]:
    """The predictions of a fold's result."""
    return [Prediction(**row) for row in result["predictions"]]
