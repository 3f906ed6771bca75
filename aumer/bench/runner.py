"""The runner of spotting protocols: features -> folds -> predictions in files -> score.

A folder holds one run: ``run.json`` (what all of it depends on), ``data.json`` (videos and truth),
``seed-0/FOLD.json`` (predictions of each fold), ``result.json`` and ``result.md``. The same command
goes on where it was killed; a fold is run again where anything that it depends on has changed.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from aumer import strict
from aumer.bench import models
from aumer.bench.folds import (
    Entry,
    Job,
    fold_path,
    job,
    plan,
    predictions_of,
    read_fold,
    run_fold,
    write_fold,
)
from aumer.bench.protocol import Protocol
from aumer.bench.result import RESULT, Result, Scored
from aumer.bench.sources import SIMULATED, Progress, Source, open_source
from aumer.bench.workers import Workers
from aumer.config import Settings, digest, load_settings
from aumer.data.labels import megc_class
from aumer.errors import UsageError
from aumer.evaluation.rows import Truth, Video, rows_of
from aumer.evaluation.spotting import Fold as Predicted
from aumer.evaluation.spotting import evaluate, merge_folds
from aumer.evaluation.strs import evaluate_strs
from aumer.evaluation.tables import as_dicts
from aumer.files import StrPath, atomic_write
from aumer.pipeline import versions as pipeline_versions
from aumer.types import VideoRecord

RUN, DATA = "run.json", "data.json"
_FORMAT = "aumer-bench/1"

#: Keys of a protocol that change a score but no prediction: a run may be scored again by others.
_ONLY_SCORED = ("name", "title", "published", "scoring", "seeds", "submission_first_frame")


@dataclass(frozen=True)
class Options:
    """What may differ between runs of a protocol, besides the model.

    Attributes:
        overrides: keys of the model's training preset.
        decoder: instead of the protocol's.
        settings: of features and rules.
        cache: folder for the features of videos; `None` keeps none.
        folder: of the run; `None` for ``aumer-bench/PROTOCOL-MODEL-DIGEST`` here, so that the same
            settings find the same folder.
        overwrite: run folds of the folder again that were made of something else.
        command: as it was typed, for the table.
    """

    overrides: Mapping[str, Any] | None = None
    decoder: str | None = None
    settings: Settings | None = None
    cache: StrPath | None = None
    folder: StrPath | None = None
    overwrite: bool = False
    command: str = ""


@dataclass(frozen=True)
class Truths:
    """What is scored, by data set: all videos, what was annotated in them, what is to be known."""

    videos: Mapping[str, tuple[Video, ...]]
    truths: Mapping[str, tuple[Truth, ...]]
    notes: Mapping[str, tuple[str, ...]]

    @property
    def whose(self) -> list[tuple[str, str]]:
        """Data set and subject of each video."""
        return [(name, v.subject) for name, videos in self.videos.items() for v in videos]


def run(
    protocol: Protocol,
    roots: Mapping[str, StrPath],
    model: str,
    *,
    options: Options | None = None,
    workers: Workers | None = None,
    score_only: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Run what of a protocol has not been run yet, and score all of it.

    Args:
        roots: the folder of each data set.
        score_only: run nothing. Without `roots` the truth is that of the last run.

    Raises:
        UsageError: data that cannot be read, a folder that holds another run, or a missing fold,
            whose misses would go uncounted.
        ConfigError: settings that do not fit.
    """
    options, workers = options or Options(), workers or Workers()
    features = options.settings or load_settings()
    found = models.find(
        model,
        protocol,
        overrides=options.overrides,
        decoder=options.decoder,
        settings=features,
    )
    if found.rate is not None:
        features = replace(features, motion=replace(features.motion, rate=found.rate))
    if not found.trains:
        protocol = replace(protocol, seeds=protocol.seeds[:1])
    about = _about(protocol, found, features)
    learns = found.trains or bool(protocol.classes)
    sources = _open(protocol, roots, learns=learns) if roots or not score_only else None
    folder = _folder(protocol, model, about, options)
    _check_folder(folder, about, overwrite=options.overwrite, score_only=score_only)
    if not score_only:
        assert sources is not None
        _run_folds(protocol, sources, found, features, about, folder, options, workers, progress)
    truths = _truths(protocol, sources) if sources else read_data(folder / DATA)
    return _scored(protocol, found.name, about, folder, truths, options.command)


def stored(folder: Path) -> Result:
    """A finished run, scored again from its folds by the rules that its ``result.json`` states.

    Raises:
        UsageError: the folder holds no finished run, or a fold is missing.
    """
    try:
        about = json.loads((folder / RUN).read_text(encoding="utf-8"))
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        protocol = strict.build(Protocol, result["protocol"], str(folder / RESULT))
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder} holds no finished run of `aumer bench`: {error}") from error
    return _scored(
        protocol, result["model"], about, folder, read_data(folder / DATA), result["command"]
    )


# -- what a run is --------------------------------------------------------------------------------


def _about(protocol: Protocol, model: models.Model, features: Settings) -> dict[str, Any]:
    """Everything that all predictions of a run depend on."""
    kept = {k: v for k, v in protocol.to_dict().items() if k not in _ONLY_SCORED and k != "models"}
    if protocol.selection == "oracle":
        kept["scoring"] = protocol.to_dict()["scoring"]
    if not set(protocol.datasets) & set(SIMULATED):
        kept.pop("level"), kept.pop("data_seed")
    analysed = {k: v for k, v in features.to_dict().items() if k != "rules"}
    return {
        "format": _FORMAT,
        "protocol": kept,
        "model": model.to_dict(),
        "features": analysed,
        "versions": {name: v for name, v in versions().items() if name in ("aumer", "torch")},
    }


def versions() -> dict[str, str]:
    """Of Python and the packages that can change the numbers."""
    found = pipeline_versions()
    for name in ("torch", "torch-geometric", "scikit-learn", "joblib"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _folder(protocol: Protocol, model: str, about: Mapping[str, Any], options: Options) -> Path:
    if options.folder is not None:
        return Path(options.folder)
    return Path("aumer-bench") / f"{protocol.name}-{Path(model).stem}-{digest(about)[:8]}"


def _check_folder(
    folder: Path, about: Mapping[str, Any], *, overwrite: bool, score_only: bool
) -> None:
    """Make the folder this run's, or say why it cannot be."""
    path = folder / RUN
    if not path.exists():
        if score_only:
            raise UsageError(
                f"{folder} holds no run of this protocol with this model and these settings: there "
                "is nothing to score. Run it without --score-only, or give its --output"
            )
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} holds other files; give --output an empty or a new folder")
    else:
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read {path}: {error}") from error
        if before == json.loads(json.dumps(about)):
            return
        if score_only or not overwrite:
            raise UsageError(
                f"{folder} holds another run: {', '.join(_differences(before, about))} differ. "
                "Give another --output, or --overwrite to run it anew"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from error
    _write_json(path, about)


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [*now, *(k for k in before if k not in now)]
        return [
            d
            for k in keys
            for d in _differences(before.get(k), now.get(k), f"{name}.{k}" if name else str(k))
        ]
    return [] if json.dumps(before) == json.dumps(now) else [name]


def _open(protocol: Protocol, roots: Mapping[str, StrPath], *, learns: bool) -> dict[str, Source]:
    opened = {}
    for name in (*protocol.datasets, *(protocol.train_datasets if learns else ())):
        if name not in roots:
            raise UsageError(
                f"protocol {protocol.name} needs the data set {name}; give its folder with "
                f"--data {name}=FOLDER"
            )
        opened[name] = open_source(name, roots[name], level=protocol.level, seed=protocol.data_seed)
    return opened


# -- folds ----------------------------------------------------------------------------------------


def _run_folds(
    protocol: Protocol,
    sources: Mapping[str, Source],
    model: models.Model,
    features: Settings,
    about: Mapping[str, Any],
    folder: Path,
    options: Options,
    workers: Workers,
    progress: Progress | None,
) -> None:
    entries = [
        Entry.of(name, video)
        for name, source in sources.items()
        for video in source.videos(features, workers, options.cache, progress)
    ]
    _write_data(folder / DATA, _truths(protocol, sources))
    folds = plan(protocol, [e.whose for e in entries])
    run_digest = digest(about)
    jobs = []
    for seed in protocol.seeds:
        for fold in folds:
            path = fold_path(folder, seed, fold.name)
            states = folder if workers.share_files else None
            work = job(fold, entries, model, protocol, seed, run=run_digest, folder=states)
            if _done(path, work, overwrite=options.overwrite):
                # Killed between the result and this: the state would lie there for good.
                _forget_states(path)
            else:
                jobs.append(work)
                path.parent.mkdir(parents=True, exist_ok=True)
    total = len(folds) * len(protocol.seeds)
    if progress and jobs:
        progress("folds", total - len(jobs), total)
    for done, (work, result) in enumerate(workers.run(run_fold, jobs), start=1):
        path = fold_path(folder, work.seed, work.fold)
        write_fold(path, result)
        _forget_states(path)
        if progress:
            progress("folds", total - len(jobs) + done, total)


def _forget_states(path: Path) -> None:
    """Delete the training states of a fold whose result is written."""
    for state in path.parent.glob(f"{glob.escape(path.stem)}.*.checkpoint"):
        state.unlink(missing_ok=True)


def _done(path: Path, work: Job, *, overwrite: bool) -> bool:
    """Whether a fold's result is there, and would be the same if it were made now."""
    if not path.exists():
        return False
    before = read_fold(path)["depends"]
    if before == work.depends:
        return True
    changed = ", ".join(k for k, v in work.depends.items() if before.get(k) != v)
    if not overwrite:
        raise UsageError(
            f"{path} was made of something else ({changed}); give another --output, or "
            "--overwrite to run it anew"
        )
    return False


# -- score ----------------------------------------------------------------------------------------


def _truths(protocol: Protocol, sources: Mapping[str, Source]) -> Truths:
    videos, truths, notes = {}, {}, {}
    for name in protocol.datasets:
        records: Sequence[VideoRecord] = sources[name].records()
        listed, found = rows_of(records)
        videos[name], truths[name] = tuple(listed), tuple(found)
        notes[name] = sources[name].notes()
    return Truths(videos, truths, notes)


def _write_data(path: Path, data: Truths) -> None:
    content = {
        name: {
            "videos": [vars(v) for v in data.videos[name]],
            "truths": as_dicts(data.truths[name]),
            "notes": data.notes[name],
        }
        for name in data.videos
    }
    _write_json(path, {"format": _FORMAT, "datasets": content})


def read_data(path: Path) -> Truths:
    """What a run's ``data.json`` says was scored.

    Raises:
        UsageError: it is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["datasets"]
        videos = {name: tuple(Video(**v) for v in d["videos"]) for name, d in content.items()}
        truths = {
            name: tuple(Truth(**{k: v for k, v in t.items() if k != "score"}) for t in d["truths"])
            for name, d in content.items()
        }
        notes = {name: tuple(d["notes"]) for name, d in content.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"cannot read the truth from {path}: {error}") from error
    return Truths(videos, truths, notes)


def _scored(
    protocol: Protocol,
    model: str,
    about: Mapping[str, Any],
    folder: Path,
    data: Truths,
    command: str,
) -> Result:
    run_digest = digest(about)
    planned = plan(replace(protocol, train_subjects=0), data.whose)
    folds = []
    for seed in protocol.seeds:
        for fold in planned:
            path = fold_path(folder, seed, fold.name)
            if not path.exists():
                raise UsageError(
                    f"there is no fold of {fold.name} with seed {seed} in {folder}, and its misses "
                    "would go uncounted; the same command without --score-only runs it"
                )
            found = read_fold(path)
            if (found["fold"], found["seed"]) != (fold.name, seed) or (
                found["depends"]["run"] != run_digest
            ):
                raise UsageError(f"{path} is of another run or fold; delete it, and run it anew")
            folds.append(found)
    scored = []
    for seed in protocol.seeds:
        for dataset in protocol.datasets:
            own = [f for f in folds if f["seed"] == seed and f["dataset"] == dataset]
            ways = [("fixed", own)]
            if protocol.selection == "inner":
                ways = [("inner", own)]
            if protocol.selection == "oracle":
                ways.append(("oracle", [{**f, **f["oracle"]} for f in own]))
            for way, results in ways:
                scored.append(_score(protocol, dataset, seed, way, results, data, folder))
    return Result(
        protocol=protocol,
        model=model,
        about=about,
        folder=folder,
        command=command,
        versions=versions(),
        notes=data.notes,
        scored=tuple(scored),
        folds=tuple(folds),
    )


def _score(
    protocol: Protocol,
    dataset: str,
    seed: int,
    selection: str,
    results: Iterable[Mapping[str, Any]],
    data: Truths,
    folder: Path,
) -> Scored:
    videos, truths = data.videos[dataset], data.truths[dataset]
    by_subject = [
        Predicted(subject, tuple(p for p in predictions_of(r) if p.subject == subject))
        for r in results
        for subject in r["tested"]
    ]
    try:
        predictions = merge_folds(by_subject, videos)
    except UsageError as error:
        raise UsageError(f"{dataset}, seed {seed}, in {folder}: {error}") from None
    if protocol.split == "unseen":
        return Scored(dataset, seed, selection, tuple(predictions), None, None)
    if not protocol.classes:
        report = evaluate(predictions, truths, videos, protocol.scoring)
        return Scored(dataset, seed, selection, tuple(predictions), report, None)
    named = [replace(t, label=megc_class(t.label) or t.label or "none") for t in truths]
    strs = evaluate_strs(predictions, named, videos, protocol.scoring, classes=protocol.classes)
    return Scored(dataset, seed, selection, tuple(predictions), strs.spotting, strs)


def _write_json(path: Path, value: Any) -> None:
    atomic_write(path, json.dumps(value, indent=1, allow_nan=False) + "\n", overwrite=True)
