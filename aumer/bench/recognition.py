"""Recognition under leave-one-subject-out: every clip is predicted once, by a model of the others.

The test subject's clips are in nothing that a fold learns or chooses: `Recognizer.fit` is given the
training clips and no others.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aumer import registry
from aumer.bench.workers import Workers
from aumer.data.labels import MEGC_CLASSES
from aumer.data.megc2019 import NAME, Megc2019
from aumer.data.tables import read
from aumer.errors import UsageError, did_you_mean
from aumer.evaluation.bootstrap import Difference, Estimate, difference, interval
from aumer.evaluation.recognition import (
    METRICS,
    Recognised,
    RecognitionReport,
    evaluate_recognition,
)
from aumer.files import StrPath, atomic_write
from aumer.recognition.seam import Clips, Floats, Recognizer
from aumer.types import IntArray

if TYPE_CHECKING:
    from aumer.bench.protocol import Protocol

#: From a seed to an untrained recogniser. It travels to other processes.
Factory = Callable[[int], Recognizer]
#: Called with the folds that are done and all there are.
Progress = Callable[[int, int], object]

FORMAT = "aumer-recognition-fold-1"


@dataclass(frozen=True)
class Fold:
    """What was predicted of one subject's clips.

    Attributes:
        probabilities: by clip, in the order of the classes.
        chosen: what the recogniser chose within the training subjects.
        seconds: that training took.
        log: by epoch: "epoch", "loss", and where inner subjects were kept out "inner_loss".
        embeddings: by clip, what the network's last layer reads; empty where it has none.
        attribution: by clip, how much each of `rois` spoke for the predicted class.
    """

    subject: str
    seed: int
    clips: tuple[str, ...]
    truths: tuple[str, ...]
    predicted: tuple[str, ...]
    probabilities: tuple[tuple[float, ...], ...]
    chosen: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    log: tuple[Mapping[str, float], ...] = ()
    embeddings: tuple[tuple[float, ...], ...] = ()
    attribution: tuple[tuple[float, ...], ...] = ()
    rois: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Job:
    train: Clips
    test: Clips
    factory: Factory
    seed: int


def _run(job: _Job) -> Fold:
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # Folds run side by side, where threads of one would only wait for another's; and sums that are
    # split over another number of threads are rounded otherwise.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            begin = time.perf_counter()
            model = job.factory(job.seed).fit(job.train)
            seconds = time.perf_counter() - begin
            shares = model.predict_proba(job.test.inputs, job.test.sources)
            embeddings, attribution = _embedded(model, job.test), _attributed(model, job.test)
    finally:
        torch.set_num_threads(threads)
    return Fold(
        job.test.subjects[0],
        job.seed,
        job.test.names,
        tuple(job.test.classes[k] for k in job.test.labels),
        tuple(job.test.classes[k] for k in shares.argmax(1)),
        _rounded(shares, 6),
        dict(getattr(model, "chosen", {})),
        round(seconds, 3),
        tuple(dict(record) for record in getattr(model, "log", ())),
        embeddings,
        attribution,
        tuple(model.rois) if attribution else (),
    )


def _embedded(model: Recognizer, clips: Clips) -> tuple[tuple[float, ...], ...]:
    embeddings = getattr(model, "embeddings", None)
    return () if embeddings is None else _rounded(embeddings(clips.inputs), 5)


def _attributed(model: Recognizer, clips: Clips) -> tuple[tuple[float, ...], ...]:
    attribution = getattr(model, "attribution", None)
    return () if attribution is None else _rounded(map(attribution, clips.inputs), 5)


def _rounded(rows: Iterable[npt.ArrayLike], digits: int) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(np.round(np.asarray(row, np.float64), digits).tolist()) for row in rows)


def loso(
    clips: Clips,
    factory: Factory,
    *,
    seeds: Sequence[int] = (0,),
    subjects: Sequence[str] | None = None,
    workers: Workers | None = None,
    folder: StrPath | None = None,
    progress: Progress | None = None,
) -> tuple[Fold, ...]:
    """Leave one subject out, for each subject and seed; in the order of seeds, then subjects.

    Args:
        subjects: only these folds.
        folder: where each fold is kept as it ends; one that is there is not run again. It is the
            caller's to use one folder for one model and data.

    Raises:
        UsageError: fewer than two subjects, an unknown one, clips without names, or a file in the
            folder that is no fold of these clips.
    """
    everyone = tuple(dict.fromkeys(clips.subjects))
    if len(everyone) < 2:
        raise UsageError(f"leave-one-subject-out needs two subjects or more; found {everyone}")
    if not clips.names:
        raise UsageError("clips need names, so that each is scored once")
    for subject in set(subjects or ()) - set(everyone):
        raise UsageError(f"no clip is of subject {subject!r}; there are {', '.join(everyone)}")
    tested = everyone if subjects is None else tuple(subjects)
    wanted = [(seed, subject) for seed in seeds for subject in tested]
    done: dict[tuple[int, str], Fold] = {}
    if folder is not None:
        for seed, subject in wanted:
            path = _path(folder, seed, subject)
            if path.exists():
                done[seed, subject] = _read(path, clips.take(clips.of_subject(subject)))
    jobs = [
        _Job(clips.take(~mask), clips.take(mask), factory, seed)
        for seed, subject in wanted
        if (seed, subject) not in done
        for mask in [clips.of_subject(subject)]
    ]
    for fold in (workers or Workers()).run(_run, jobs):
        done[fold.seed, fold.subject] = fold
        if folder is not None:
            _write(_path(folder, fold.seed, fold.subject), fold)
        if progress is not None:
            progress(len(done), len(wanted))
    return tuple(done[key] for key in wanted)


@dataclass(frozen=True, eq=False)
class RecognitionResult:
    """The folds of one model, scored.

    Attributes:
        reports: by seed, over all clips.
        parts: by data set, then by seed.
    """

    model: str
    folds: tuple[Fold, ...]
    reports: Mapping[int, RecognitionReport]
    parts: Mapping[str, Mapping[int, RecognitionReport]]

    def mean(self, metric: str = "uf1", part: str | None = None) -> float:
        """Mean over seeds of a metric of `aumer.evaluation.recognition.METRICS`."""
        reports = self.reports if part is None else self.parts[part]
        return float(np.mean([getattr(r, metric) for r in reports.values()]))

    def bootstrap(self, metric: str = "uf1", *, replicates: int = 2000, seed: int = 0) -> Estimate:
        """That mean with its 95 % interval over resampled subjects."""
        return interval(
            _tables(self), _mean_of(metric), replicates=replicates, level=0.95, seed=seed
        )

    def compare(
        self,
        other: RecognitionResult,
        metric: str = "uf1",
        *,
        replicates: int = 2000,
        seed: int = 0,
    ) -> Difference:
        """This model's mean over seeds less the other's, on the same resamples of subjects.

        Raises:
            UsageError: they were not tested on the same subjects and seeds.
        """
        ours, theirs = _tables(self), _tables(other)
        if ours.shape != theirs.shape or _subjects(self) != _subjects(other):
            raise UsageError("only models tested on the same subjects with as many seeds compare")
        return difference(
            ours, theirs, _mean_of(metric), replicates=replicates, level=0.95, seed=seed
        )

    def to_dict(self) -> dict[str, Any]:
        """Scores by seed and part, in what JSON can hold."""
        return {
            "model": self.model,
            "uf1": self.bootstrap("uf1").to_dict(),
            "uar": self.bootstrap("uar").to_dict(),
            "seeds": {str(seed): report.to_dict() for seed, report in self.reports.items()},
            "parts": {
                part: {"uf1": self.mean("uf1", part), "uar": self.mean("uar", part)}
                for part in self.parts
            },
            "seconds_per_seed": self.seconds,
        }

    @property
    def seconds(self) -> float:
        """Of training, summed over the folds of a seed, mean over seeds."""
        return sum(fold.seconds for fold in self.folds) / len(self.reports)

    def to_markdown(self) -> str:
        """Scores with their intervals, the parts, and the first seed's confusions."""
        seeds = list(self.reports)
        lines = [
            f"{self.model}: leave-one-subject-out over {len(_subjects(self))} subjects, seeds "
            f"{', '.join(map(str, seeds))}; mean over seeds, 95 % interval over subjects",
            "",
            "| part | UF1 | UAR |",
            "|---|---|---|",
            f"| all | {self.bootstrap('uf1')} | {self.bootstrap('uar')} |",
            *(
                f"| {part} | {self.mean('uf1', part):.4f} | {self.mean('uar', part):.4f} |"
                for part in self.parts
            ),
            "",
            "UF1 by seed: " + ", ".join(f"{r.uf1:.4f}" for r in self.reports.values()),
            "",
            self.reports[seeds[0]].to_markdown(),
        ]
        return "\n".join(lines)


def scored(
    model: str, folds: Sequence[Fold], clips: Clips, *, complete: bool = True
) -> RecognitionResult:
    """Pool the folds of each seed and divide once; per data set where clips say their source.

    Args:
        complete: every subject must have its fold.

    Raises:
        UsageError: a fold is missing, or there twice.
    """
    source = (
        dict(zip(zip(clips.subjects, clips.names, strict=True), clips.sources, strict=True))
        if clips.sources
        else {}
    )
    everyone = tuple(dict.fromkeys(clips.subjects))
    reports: dict[int, RecognitionReport] = {}
    parts: dict[str, dict[int, RecognitionReport]] = {}
    for seed in dict.fromkeys(fold.seed for fold in folds):
        rows = [row for fold in folds if fold.seed == seed for row in _rows(fold)]
        reports[seed] = evaluate_recognition(
            rows, classes=clips.classes, subjects=everyone if complete else None
        )
        for part in dict.fromkeys(source.values()):
            own = [row for row in rows if source[row.subject, row.clip] == part]
            if own:
                report = evaluate_recognition(own, classes=clips.classes)
                parts.setdefault(part, {})[seed] = report
    return RecognitionResult(model, tuple(folds), reports, parts)


def composite(root: StrPath) -> Clips:
    """MEGC 2019's 442 flow images as clips.

    Raises:
        UsageError: `root` does not hold them.
    """
    data = Megc2019.from_root(root)
    records = data.records()
    rows = read(data.report.tables[0].path, ("dataset", "sub", "filename_o"))
    source = {(row.text("sub"), row.text("filename_o")): row.text("dataset") for row in rows}
    return Clips(
        data.images().astype(np.float32) / 255,
        np.array([MEGC_CLASSES.index(r.annotations[0].emotion) for r in records], np.int64),
        tuple(r.subject for r in records),
        MEGC_CLASSES,
        tuple(r.name for r in records),
        tuple(source[r.subject, r.name] for r in records),
    )


def factory(model: str, options: Mapping[str, Any] | None = None) -> Factory:
    """The recogniser of a name, with options; given the seed where it has one.

    Raises:
        UsageError: no such recogniser, or it has no such option.
    """
    kind = registry.resolve("recognizer", model)
    known = inspect.signature(kind).parameters
    for option in options or {}:
        if option not in known:
            raise UsageError(
                f"the recogniser {model!r} has no option {option!r}; it has "
                f"{', '.join(known) or 'none'}.{did_you_mean(option, known)}"
            )
    return partial(_make, model, dict(options or {}), "seed" in known)


def _make(model: str, options: Mapping[str, Any], seeded: bool, seed: int) -> Recognizer:
    made: Recognizer = registry.resolve("recognizer", model)(
        **options, **({"seed": seed} if seeded else {})
    )
    return made


def run(
    protocol: Protocol,
    root: StrPath,
    model: str,
    *,
    seeds: Sequence[int] | None = None,
    workers: Workers | None = None,
    folder: StrPath,
    score_only: bool = False,
    progress: Progress | None = None,
) -> RecognitionResult:
    """A protocol of kind "recognition": its folds in `folder`, and their scores.

    Args:
        protocol: its ``recognition`` holds, by model, a table of the recogniser's options.
        root: of the composite.
        seeds: instead of the protocol's. A recogniser without a seed is run once.
        folder: created if need be; a run that was stopped goes on from what lies there.
        score_only: train nothing; every fold must lie there.

    Raises:
        UsageError: a data set or split that this does not run, an unknown model, or a folder that
            holds the folds of something else.
    """
    if protocol.datasets != (NAME,) or protocol.split != "loso":
        raise UsageError(
            f"recognition is run on {NAME} with split loso; protocol {protocol.name!r} says "
            f"{', '.join(protocol.datasets)} with {protocol.split}"
        )
    clips = composite(root)
    options = dict(protocol.recognition.get(model, {}))
    make = factory(model, options)
    chosen = tuple(protocol.seeds if seeds is None else seeds)
    if "seed" not in inspect.signature(registry.resolve("recognizer", model)).parameters:
        chosen = chosen[:1]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder / "about.json", {"model": model, "options": options, "data": _digest(clips)})
    if score_only:
        for seed in chosen:
            missing = [
                s for s in dict.fromkeys(clips.subjects) if not _path(folder, seed, s).exists()
            ]
            if missing:
                raise UsageError(
                    f"{folder} lacks the folds of {len(missing)} subjects with seed {seed}, "
                    f"{missing[0]} the first: run without score-only to make them"
                )
    folds = loso(clips, make, seeds=chosen, workers=workers, folder=folder, progress=progress)
    return scored(model, folds, clips)


def _claim(path: Path, about: Mapping[str, Any]) -> None:
    """Note what a folder's folds are of, or complain if they are of something else."""
    if not path.exists():
        atomic_write(path, json.dumps(about, indent=1) + "\n")
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != about:
        raise UsageError(
            f"{path.parent} holds the folds of {found.get('model')} {found.get('options')}, not of "
            f"{about['model']} {about['options']} on these clips; give another folder"
        )


def _digest(clips: Clips) -> str:
    known = hashlib.sha256(clips.inputs.tobytes() + clips.labels.tobytes())
    known.update(json.dumps([clips.subjects, clips.names, clips.sources]).encode())
    return known.hexdigest()


def _rows(fold: Fold) -> list[Recognised]:
    return [
        Recognised(fold.subject, truth, predicted, clip)
        for clip, truth, predicted in zip(fold.clips, fold.truths, fold.predicted, strict=True)
    ]


def _subjects(result: RecognitionResult) -> tuple[str, ...]:
    return next(iter(result.reports.values())).subjects


def _tables(result: RecognitionResult) -> IntArray:
    """(subjects, seeds, C, C) counts."""
    return np.stack([report.table for report in result.reports.values()], 1)


def _mean_of(metric: str) -> Callable[[IntArray], Floats]:
    def mean(counts: IntArray) -> Floats:
        by_seed = [METRICS[metric](counts[:, k]) for k in range(counts.shape[1])]
        averaged: Floats = np.mean(by_seed, 0)
        return averaged

    return mean


def _path(folder: StrPath, seed: int, subject: str) -> Path:
    return Path(folder) / f"seed{seed}-{subject}.json"


def _write(path: Path, fold: Fold) -> None:
    # A line a key: embeddings with a line a number would be long.
    values = {"format": FORMAT, **asdict(fold)}
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in values.items())
    atomic_write(path, f"{{\n{lines}\n}}\n", overwrite=True)


def _read(path: Path, clips: Clips) -> Fold:
    """A fold of `_write`, of these clips."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("format") != FORMAT:
            raise ValueError(f"it is not of the format {FORMAT}")
        for rows in ("probabilities", "embeddings", "attribution"):
            found[rows] = [tuple(row) for row in found.get(rows, ())]
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in found.items()
        }
        fold = Fold(**values)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} is no fold of aumer: {error}; delete it to run it again"
        ) from error
    truths = tuple(clips.classes[k] for k in clips.labels)
    if (fold.clips, fold.truths) != (clips.names, truths):
        raise UsageError(f"{path} is a fold of other clips; give another folder")
    return fold
