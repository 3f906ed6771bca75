"""Folds of recognition: which subjects are tested by a model of which, one fold's work, its file.

The test subjects' clips are in nothing that a fold learns or chooses: `Recognizer.fit` is given the
training clips and no others.
"""

from __future__ import annotations

import inspect
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aumer.bench.clips import StoredClips, Unseen
from aumer.bench.workers import Workers
from aumer.errors import UsageError
from aumer.files import StrPath, atomic_write
from aumer.recognition.seam import Clips
from aumer.recognition.sequences.clips import SequenceClips
from aumer.recognition.sequences.splits import hold_out, k_fold
from aumer.types import IntArray

if TYPE_CHECKING:
    from aumer.bench.protocol import Split

#: Flow maps or sequences, at hand or in a cache.
AnyClips = Clips | SequenceClips | StoredClips
#: From a seed to an untrained recogniser, of either kind. It travels to other processes.
Factory = Callable[[int], Any]
#: Called with the folds that are done and all there are.
Progress = Callable[[int, int], object]

FORMAT = "aumer-recognition-fold-1"
#: Draws the groups of subjects: the same whatever the seed of training.
_GROUPS_SEED = 0


@dataclass(frozen=True)
class Fold:
    """What was predicted of one subject's clips, or of a group of subjects'.

    Attributes:
        subject: the fold's name: its subject's, where there is one alone.
        probabilities: by clip, in the order of the classes.
        chosen: what the recogniser chose within the training subjects.
        seconds: that training took.
        log: by epoch: "epoch", "loss", and where inner subjects were kept out "inner_loss".
        embeddings: by clip, what the network's last layer reads; empty where it has none.
        attribution: by clip, how much each of `rois` spoke for the predicted class.
        subjects: of each clip; empty where all are `subject`'s.
        unseen: how many clips at the end of the list no face could be seen of. They got the
            training clips' most frequent class; their embeddings and attribution are 0.
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
    subjects: tuple[str, ...] = ()
    unseen: int = 0

    @property
    def whose(self) -> tuple[str, ...]:
        """The subject of each clip."""
        return self.subjects or (self.subject,) * len(self.clips)


@dataclass(frozen=True)
class Part:
    """Subjects that are tested together by a model of all others."""

    name: str
    subjects: tuple[str, ...]


def plan(
    split: Split, folds: int, subjects: Sequence[str], sources: Sequence[str] = ()
) -> tuple[Part, ...]:
    """Who is tested with whom; nobody twice.

    Args:
        folds: number of groups of "k-fold", of which "hold-out" tests one.
        subjects, sources: subject and data set of each clip.

    Raises:
        UsageError: fewer than two subjects, or to hold out, more groups than
            subjects, one data set to cross, or a split that recognition has not.
    """
    everyone = tuple(dict.fromkeys(subjects))
    if len(everyone) < 2:
        raise UsageError(f"leave-one-subject-out needs two subjects or more; found {everyone}")
    if split == "loso":
        return tuple(Part(s, (s,)) for s in everyone)
    if split == "k-fold":
        groups = [test for _, test in k_fold(subjects, folds, _GROUPS_SEED)]
        return tuple(
            Part(f"{k} of {folds}", _subjects_of(subjects, test))
            for k, test in enumerate(groups, start=1)
        )
    if split == "hold-out":
        _, test = hold_out(subjects, 1 / folds, _GROUPS_SEED)
        held = _subjects_of(subjects, test)
        if len(held) < 2:
            raise UsageError(
                f"one of {folds} groups of {len(everyone)} subjects is {held[0]} alone, of which "
                "no interval over subjects can be given: take fewer folds"
            )
        return (Part("hold-out", held),)
    if split == "cross-data-set" and len(set(sources)) > 1:
        named = list(zip(subjects, sources, strict=True))
        return tuple(
            Part(one, tuple(dict.fromkeys(s for s, of in named if of == one)))
            for one in dict.fromkeys(sources)
        )
    raise UsageError(
        "recognition is run with split loso, k-fold, hold-out, or cross-data-set over two data "
        f"sets or more; found {split} over {len(set(sources)) or 1}"
    )


def _subjects_of(subjects: Sequence[str], rows: IntArray) -> tuple[str, ...]:
    return tuple(dict.fromkeys(subjects[k] for k in rows))


@dataclass(frozen=True, eq=False)
class _Job:
    part: Part
    clips: AnyClips
    unseen: tuple[Unseen, ...]
    factory: Factory
    seed: int
    checkpoint: Path | None


def run_parts(
    clips: AnyClips,
    factory: Factory,
    parts: Sequence[Part],
    *,
    unseen: Sequence[Unseen] = (),
    seeds: Sequence[int] = (0,),
    workers: Workers | None = None,
    folder: StrPath | None = None,
    progress: Progress | None = None,
) -> tuple[Fold, ...]:
    """Test each part once for each seed; in the order of seeds, then parts.

    Args:
        unseen: clips of which there is no input.
        folder: where each fold is kept as it ends; one that is there is not run again, and a
            network's training goes on from the epoch at which it was killed. It is the caller's to
            use one folder for one model and data.

    Raises:
        UsageError: clips without names, or a file in the folder that is no fold of these clips.
    """
    if not clips.names:
        raise UsageError("clips need names, so that each is scored once")
    workers = workers or Workers()
    wanted = [(seed, part) for seed in seeds for part in parts]
    done: dict[tuple[int, Part], Fold] = {}
    jobs = []
    shipped: AnyClips = clips
    if isinstance(clips, StoredClips) and not workers.share_files:
        shipped = clips.load()
    for seed, part in wanted:
        own = tuple(u for u in unseen if u.subject in part.subjects)
        path = None if folder is None else fold_path(folder, seed, part.name)
        if path is not None and path.exists():
            done[seed, part] = _read(path, _rows(clips, part, own))
            # Killed between the result and this: the state would lie there for good.
            path.with_suffix(".checkpoint").unlink(missing_ok=True)
            continue
        checkpoint = None
        if path is not None and workers.share_files:
            checkpoint = path.with_suffix(".checkpoint").absolute()
        jobs.append(_Job(part, shipped, own, factory, seed, checkpoint))
    names = {part.name: part for part in parts}
    for fold in workers.run(_run, jobs):
        done[fold.seed, names[fold.subject]] = fold
        if folder is not None:
            path = fold_path(folder, fold.seed, fold.subject)
            _write(path, fold)
            path.with_suffix(".checkpoint").unlink(missing_ok=True)
        if progress is not None:
            progress(len(done), len(wanted))
    return tuple(done[key] for key in wanted)


def loso(
    clips: AnyClips,
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
        folder: see `run_parts`.

    Raises:
        UsageError: fewer than two subjects, an unknown one, or as `run_parts`.
    """
    everyone = {part.name: part for part in plan("loso", 2, clips.subjects)}
    for subject in set(subjects or ()) - set(everyone):
        raise UsageError(f"no clip is of subject {subject!r}; there are {', '.join(everyone)}")
    return run_parts(
        clips,
        factory,
        [everyone[s] for s in (everyone if subjects is None else subjects)],
        seeds=seeds,
        workers=workers,
        folder=folder,
        progress=progress,
    )


# -- one fold --------------------------------------------------------------------------------------


def _run(job: _Job) -> Fold:
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # Folds run side by side, where threads of one would only wait for another's; and sums that are
    # split over another number of threads are rounded otherwise.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return _tested(job)
    finally:
        torch.set_num_threads(threads)


def _tested(job: _Job) -> Fold:
    clips = job.clips.load() if isinstance(job.clips, StoredClips) else job.clips
    mask = np.isin(clips.subjects, job.part.subjects)
    train, test = clips.take(~mask), clips.take(mask)
    shares = np.zeros((0, len(clips.classes)))
    embeddings: tuple[tuple[float, ...], ...] = ()
    attribution: tuple[tuple[float, ...], ...] = ()
    seconds, model = 0.0, None
    if len(test):
        begin = time.perf_counter()
        model = job.factory(job.seed)
        goes_on = "checkpoint" in inspect.signature(model.fit).parameters
        model.fit(train, **({"checkpoint": job.checkpoint} if goes_on else {}))
        seconds = time.perf_counter() - begin
        shares = model.predict_proba(test.inputs, test.sources)
        embeddings, attribution = _embedded(model, test), _attributed(model, test)
    rest = len(job.unseen)
    frequency = np.bincount(train.labels, minlength=len(clips.classes)) / max(len(train), 1)
    shares = np.concatenate([shares, np.repeat(frequency[None], rest, axis=0)])
    names, truths, subjects = _rows(job.clips, job.part, job.unseen)
    return Fold(
        job.part.name,
        job.seed,
        names,
        truths,
        tuple(clips.classes[k] for k in shares.argmax(1)),
        _rounded(shares, 6),
        dict(getattr(model, "chosen", {})),
        round(seconds, 3),
        tuple(dict(record) for record in getattr(model, "log", ())),
        _filled(embeddings, rest),
        _filled(attribution, rest),
        tuple(model.rois) if model is not None and attribution else (),
        () if job.part.subjects == (job.part.name,) else subjects,
        rest,
    )


def _rows(
    clips: AnyClips, part: Part, unseen: Sequence[Unseen]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Name, class and subject of each clip that a part tests."""
    own = [k for k, s in enumerate(clips.subjects) if s in part.subjects]
    return (
        (*(clips.names[k] for k in own), *(u.name for u in unseen)),
        tuple(clips.classes[k] for k in (*(clips.labels[k] for k in own), *_labels(unseen))),
        (*(clips.subjects[k] for k in own), *(u.subject for u in unseen)),
    )


def _labels(unseen: Sequence[Unseen]) -> list[int]:
    return [u.label for u in unseen]


def _embedded(model: Any, clips: Clips | SequenceClips) -> tuple[tuple[float, ...], ...]:
    embeddings = getattr(model, "embeddings", None)
    return () if embeddings is None else _rounded(embeddings(clips.inputs), 5)


def _attributed(model: Any, clips: Clips | SequenceClips) -> tuple[tuple[float, ...], ...]:
    attribution = getattr(model, "attribution", None)
    return () if attribution is None else _rounded(map(attribution, clips.inputs), 5)


def _rounded(rows: Iterable[npt.ArrayLike], digits: int) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(np.round(np.asarray(row, np.float64), digits).tolist()) for row in rows)


def _filled(rows: tuple[tuple[float, ...], ...], further: int) -> tuple[tuple[float, ...], ...]:
    return rows + ((0.0,) * len(rows[0]),) * further if rows else ()


# -- files -----------------------------------------------------------------------------------------


def fold_path(folder: StrPath, seed: int, name: str) -> Path:
    """Where a fold is kept."""
    return Path(folder) / f"seed{seed}-{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}.json"


def _write(path: Path, fold: Fold) -> None:
    # A line a key: embeddings with a line a number would be long.
    values = {"format": FORMAT, **asdict(fold)}
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in values.items())
    atomic_write(path, f"{{\n{lines}\n}}\n", overwrite=True)


def read_fold(path: StrPath) -> Fold:
    """A fold of `run_parts`.

    Raises:
        UsageError: it is missing, damaged or something else.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        if found.pop("format") != FORMAT:
            raise ValueError(f"it is not of the format {FORMAT}")
        for rows in ("probabilities", "embeddings", "attribution"):
            found[rows] = [tuple(row) for row in found.get(rows, ())]
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in found.items()
        }
        return Fold(**values)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} is no fold of aumer: {error}; delete it to run it again"
        ) from error


def _read(path: Path, rows: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]) -> Fold:
    """A fold of these clips."""
    fold = read_fold(path)
    if (fold.clips, fold.truths, fold.whose) != rows:
        raise UsageError(f"{path} is a fold of other clips; give another folder")
    return fold
