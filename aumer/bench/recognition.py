"""Recognition protocols: clips of flow maps or of sequences, folds, pooled scores.

Every clip is predicted once, by a model of other subjects (`aumer.bench.recognition_folds`). One
runner serves the recognisers of flow maps (registry kind "recognizer") and those of sequences
("sequence-recognizer").
"""

from __future__ import annotations

import hashlib
import inspect
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aumer import registry, strict
from aumer.bench.clips import (
    ClipSet,
    Reading,
    StoredClips,
    Unseen,
    clip_set,
    forget,
    listed,
    sequence_settings,
)
from aumer.bench.protocol import Protocol
from aumer.bench.recognition_folds import FORMAT as FORMAT
from aumer.bench.recognition_folds import AnyClips, Factory, Fold, Part, Progress, plan, run_parts
from aumer.bench.recognition_folds import fold_path as fold_path
from aumer.bench.recognition_folds import loso as loso
from aumer.bench.recognition_folds import read_fold as read_fold
from aumer.bench.result import RESULT
from aumer.bench.workers import Workers
from aumer.config import MotionSettings, Settings, load_settings
from aumer.data.labels import MEGC_CLASSES
from aumer.data.megc2019 import NAME, Megc2019
from aumer.data.tables import read
from aumer.errors import ConfigError, UsageError, did_you_mean
from aumer.evaluation.bootstrap import Difference, Estimate, difference, interval
from aumer.evaluation.recognition import (
    METRICS,
    Recognised,
    RecognitionReport,
    evaluate_recognition,
)
from aumer.files import StrPath, atomic_write
from aumer.recognition.place import BY_LANDMARKS
from aumer.recognition.seam import Clips, Floats
from aumer.types import IntArray

#: Kinds of the registry: what reads flow maps, and what reads sequences.
KINDS = ("recognizer", "sequence-recognizer")
#: Keys of a recogniser's table in a protocol that are no options of its constructor.
_OWN = ("inputs", "apex")
#: Of selection "inner", where a system keeps no subjects out of the training ones.
INNER_SHARE, PATIENCE = 0.2, 10
_SEEN = (
    "the design of this recogniser was made with the clips of this very data set in view "
    "(benchmarks/recognition_log.md): leaving a subject out vouches for what a fold learns and "
    "chooses, not for the design"
)
#: By recogniser and data set, what its scores there are not free of.
DESIGNED_ON = {("graph", NAME): _SEEN, ("graph-motion", NAME): _SEEN}
#: Metrics that are printed with their intervals.
PRINTED = ("uf1", "uar", "accuracy")

#: What a run depends on, and its clips with what is known of them.
ABOUT, DATA = "about.json", "data.json"


@dataclass(frozen=True, eq=False)
class RecognitionResult:
    """The folds of one model, scored.

    Attributes:
        reports: by seed, over all clips.
        parts: by data set, then by seed.
        split: how subjects were parted, for people.
        unseen: clips whose face could not be seen; they are scored.
        notes: what a reader of the scores should know.
    """

    model: str
    folds: tuple[Fold, ...]
    reports: Mapping[int, RecognitionReport]
    parts: Mapping[str, Mapping[int, RecognitionReport]]
    split: str = "leave-one-subject-out"
    unseen: tuple[Unseen, ...] = ()
    notes: tuple[str, ...] = ()

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
        """This model's mean over its seeds less the other's, on the same resamples of subjects.

        Raises:
            UsageError: they were not tested on the same subjects, classes and truths.
        """
        ours, theirs = _tables(self), _tables(other)
        if ours.shape[2:] != theirs.shape[2:] or _subjects(self) != _subjects(other):
            raise UsageError("only models tested on the same subjects and classes compare")
        # Every seed has the same truths; a model that draws nothing has one seed alone.
        if (ours[:, 0].sum(2) != theirs[:, 0].sum(2)).any():
            raise UsageError("the two models were scored over different truths")
        return difference(
            ours, theirs, _mean_of(metric), replicates=replicates, level=0.95, seed=seed
        )

    def to_dict(self) -> dict[str, Any]:
        """Scores by seed and part, in what JSON can hold."""
        return {
            "model": self.model,
            **{name: self.bootstrap(name).to_dict() for name in PRINTED},
            "seeds": {str(seed): report.to_dict() for seed, report in self.reports.items()},
            "parts": {
                part: {name: self.mean(name, part) for name in PRINTED} for part in self.parts
            },
            "subjects": {part: list(self._of_part(part)) for part in self.parts},
            "seconds_per_seed": self.seconds,
            "split": self.split,
            "unseen": [asdict(clip) for clip in self.unseen],
            "notes": list(self.notes),
        }

    def _of_part(self, part: str) -> tuple[str, ...]:
        return next(iter(self.parts[part].values())).subjects

    @property
    def seconds(self) -> float:
        """Of training, summed over the folds of a seed, mean over seeds."""
        return sum(fold.seconds for fold in self.folds) / len(self.reports)

    def to_markdown(self) -> str:
        """Scores with their intervals, the parts, and the first seed's confusions."""
        seeds = list(self.reports)
        lines = [
            f"{self.model}: {self.split} over {len(_subjects(self))} subjects, seeds "
            f"{', '.join(map(str, seeds))}; mean over seeds, 95 % interval over subjects",
            "",
            "| part | UF1 | UAR | accuracy |",
            "|---|---|---|---|",
            "| all | " + " | ".join(str(self.bootstrap(name)) for name in PRINTED) + " |",
            *(
                f"| {part} | "
                + " | ".join(f"{self.mean(name, part):.4f}" for name in PRINTED)
                + " |"
                for part in self.parts
            ),
            "",
            "UF1 by seed: " + ", ".join(f"{r.uf1:.4f}" for r in self.reports.values()),
            "",
            self.reports[seeds[0]].to_markdown(),
            *(f"- {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def scored(
    model: str,
    folds: Sequence[Fold],
    clips: AnyClips,
    *,
    complete: bool = True,
    sources: Sequence[str] | None = None,
    unseen: Sequence[Unseen] = (),
    split: str = "leave-one-subject-out",
    notes: Sequence[str] = (),
) -> RecognitionResult:
    """Pool the folds of each seed and divide once; per data set where there are several.

    Args:
        complete: every subject must have its fold.
        sources: the data set of each clip; by default what the clips say.
        unseen: further clips that the folds hold.

    Raises:
        UsageError: a fold is missing, or there twice.
    """
    if sources is None:
        sources = getattr(clips, "sources", ())
    rows_of = zip(clips.subjects, clips.names, strict=True)
    source = dict(zip(rows_of, sources, strict=True)) if sources else {}
    if source:
        source |= {(u.subject, u.name): u.dataset for u in unseen}
    everyone = tuple(dict.fromkeys((*clips.subjects, *(u.subject for u in unseen))))
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
    return RecognitionResult(
        model, tuple(folds), reports, parts, split, tuple(unseen), tuple(notes)
    )


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
        data.images().astype(np.float32) / np.float32(255),
        np.array([MEGC_CLASSES.index(r.annotations[0].emotion) for r in records], np.int64),
        tuple(r.subject for r in records),
        MEGC_CLASSES,
        tuple(r.name for r in records),
        tuple(source[r.subject, r.name] for r in records),
    )


def kind_of(model: str) -> str:
    """Which of `KINDS` the recogniser of a name is.

    Raises:
        UsageError: there is none; the message lists both kinds.
    """
    known = {kind: registry.names(kind) for kind in KINDS}
    for kind, names in known.items():
        if model in names:
            return kind
    maps, sequences = known.values()
    raise UsageError(
        f"no recogniser is called {model!r}; of flow maps there are {', '.join(maps)}, of "
        f"sequences {', '.join(sequences)}.{did_you_mean(model, (*maps, *sequences))}"
    )


def recognisers(protocol: Protocol) -> tuple[str, ...]:
    """Names of those that a protocol can run: all, or where it has no frames those of flow maps."""
    kinds = KINDS[:1] if NAME in protocol.datasets else KINDS
    return tuple(name for kind in kinds for name in registry.names(kind))


def factory(model: str, options: Mapping[str, Any] | None = None) -> Factory:
    """The recogniser of a name, of either kind, with options; given the seed where it has one.

    Raises:
        UsageError: no such recogniser, or it has no such option.
    """
    known = _parameters(model)
    for option in options or {}:
        if option not in known:
            raise UsageError(
                f"the recogniser {model!r} has no option {option!r}; it has "
                f"{', '.join(known) or 'none'}.{did_you_mean(option, known)}"
            )
    return partial(_make, model, dict(options or {}), "seed" in known)


def _parameters(model: str) -> tuple[str, ...]:
    return tuple(inspect.signature(registry.resolve(kind_of(model), model)).parameters)


def _make(model: str, options: Mapping[str, Any], seeded: bool, seed: int) -> Any:
    kind = registry.resolve(kind_of(model), model)
    return kind(**options, **({"seed": seed} if seeded else {}))


def run(
    protocol: Protocol,
    root: StrPath | Mapping[str, StrPath] | None,
    model: str,
    *,
    seeds: Sequence[int] | None = None,
    workers: Workers | None = None,
    folder: StrPath,
    score_only: bool = False,
    progress: Progress | None = None,
    cache: StrPath | None = None,
    settings: Settings | None = None,
    clips_progress: Progress | None = None,
    overwrite: bool = False,
) -> RecognitionResult:
    """A protocol of kind "recognition": its folds in `folder`, and their scores.

    Args:
        protocol: its ``recognition`` holds, by model, a table of the recogniser's options;
            ``inputs`` in it changes how its clips are made of frames (keys of `SequenceSettings`
            for a recogniser of sequences, else of ``motion``), and ``apex`` how one is found that
            the table does not give.
        root: of the data set, or of each by name; `None` to score what lies in the folder.
        seeds: instead of the protocol's. A recogniser without a seed is run once.
        folder: created if need be; a run that was stopped goes on from what lies there.
        score_only: train nothing; every fold must lie there.
        progress: of folds; `clips_progress` of clips that are made.
        cache: folder in which clips are kept for the next run; `None` keeps them for this one.
        settings: of face and motion.
        overwrite: run anew what was made of something else.

    Raises:
        UsageError: a data set or split that this does not run, an unknown model, data that cannot
            be read, or a folder that holds the folds of something else.
        ConfigError: a setting that is not allowed.
    """
    workers, folder = workers or Workers(), Path(folder)
    table = dict(protocol.recognition.get(model, {}))
    options = _selected(protocol, model, {k: v for k, v in table.items() if k not in _OWN})
    if NAME not in protocol.datasets and "place" in _parameters(model):
        # Maps that are cut by landmarks need nobody to find out where the face is.
        options.setdefault("place", asdict(BY_LANDMARKS))
    make = factory(model, options)
    made = make(0)  # or complain of its settings before anything is made of frames
    chosen = tuple(protocol.seeds if seeds is None else seeds)
    if "seed" not in _parameters(model):
        chosen = chosen[:1]
    keeps = nullcontext(str(cache)) if cache is not None else tempfile.TemporaryDirectory()
    with keeps as kept:
        data = None
        if score_only and (folder / DATA).exists():
            data = _read_data(folder / DATA)
        if data is None:
            reading = _reading(protocol, model, table, settings or load_settings())
            data = _data(protocol, root, model, reading, kept, workers, clips_progress)
        parts = _parts(protocol, data)
        about = {
            "model": model,
            # The same numbers wherever they are computed, but for rounding.
            "options": {k: v for k, v in {**table, **options}.items() if k != "device"},
            "data": data.digest,
        }
        if protocol.split != "loso":
            about["split"] = [protocol.split, protocol.folds]
        folder.mkdir(parents=True, exist_ok=True)
        _claim(folder / ABOUT, about, overwrite=overwrite and not score_only)
        _write_data(folder / DATA, data)
        if score_only:
            _check_complete(folder, chosen, [part.name for part in parts])
        try:
            folds = run_parts(
                data.clips,
                make,
                parts,
                unseen=data.unseen,
                seeds=chosen,
                workers=workers,
                folder=folder,
                progress=progress,
            )
        finally:
            forget()
    seen = [DESIGNED_ON[key] for d in protocol.datasets if (key := (model, d)) in DESIGNED_ON]
    notes = (_epoch_note(made), *seen, *data.notes, *_unseen_notes(data.unseen))
    return _scored(protocol, model, folds, data, notes)


def stored(folder: StrPath) -> RecognitionResult:
    """A finished run of `aumer bench`, scored again from its folds.

    Raises:
        UsageError: the folder holds no finished run, or a fold is missing.
    """
    folder = Path(folder)
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        protocol = strict.build(Protocol, result["protocol"], str(folder / RESULT))
        model, seeds = result["model"], tuple(map(int, result["seeds"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder} holds no finished run of `aumer bench`: {error}") from error
    data = _read_data(folder / DATA)
    parts = _parts(protocol, data)
    _check_complete(folder, seeds, [part.name for part in parts])
    folds = run_parts(data.clips, _never, parts, unseen=data.unseen, seeds=seeds, folder=folder)
    return _scored(protocol, model, folds, data, result.get("notes", ()))


def _never(seed: int) -> Any:
    raise AssertionError("every fold is there")


def _parts(protocol: Protocol, data: ClipSet) -> tuple[Part, ...]:
    subjects = (*data.clips.subjects, *(u.subject for u in data.unseen))
    sources = (*data.sources, *(u.dataset for u in data.unseen))
    return plan(protocol.split, protocol.folds, subjects, sources)


def _scored(
    protocol: Protocol,
    model: str,
    folds: Sequence[Fold],
    data: ClipSet,
    notes: Sequence[str],
) -> RecognitionResult:
    return scored(
        model,
        folds,
        data.clips,
        complete=protocol.split != "hold-out",
        sources=data.sources if len(set(data.sources)) > 1 else (),
        unseen=data.unseen,
        split=_split_in_words(protocol),
        notes=notes,
    )


def _selected(protocol: Protocol, model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """A recogniser's options with early stopping on inner subjects, where the protocol asks it."""
    if protocol.selection == "fixed":
        return dict(options)
    if protocol.selection == "oracle" or kind_of(model) != "sequence-recognizer":
        raise UsageError(
            f"selection {protocol.selection!r}: a recogniser of sequences can choose its epoch on "
            "inner subjects (inner), and none on the test subjects; leave it at fixed"
        )
    learning = factory(model, options)(0).learning
    changed = dict(options.get("learning", {}))
    if not learning.inner_share:
        changed["inner_share"] = INNER_SHARE
    if not learning.patience:
        changed["patience"] = PATIENCE
    return {**options, "learning": changed}


def _reading(
    protocol: Protocol, model: str, table: Mapping[str, Any], settings: Settings
) -> Reading:
    inputs = table.get("inputs", {})
    if not isinstance(inputs, Mapping):
        raise ConfigError(f"recognition.{model}.inputs must be a table; found {inputs!r}")
    apex = table.get("apex", "flow-peak")
    if kind_of(model) == "recognizer":
        values = {**asdict(settings.motion), **inputs}
        motion = strict.build(MotionSettings, values, f"recognition.{model}.inputs")
        return Reading(replace(settings, motion=motion), apex=apex)
    from aumer.recognition.sequences.inputs import SequenceSettings

    kind = registry.resolve("sequence-recognizer", model)
    usual = getattr(kind, "default_inputs", SequenceSettings())
    made = sequence_settings(usual, inputs, settings)
    return Reading(settings, made, getattr(kind, "reads_to", "offset"), apex)


def _data(
    protocol: Protocol,
    root: StrPath | Mapping[str, StrPath] | None,
    model: str,
    reading: Reading,
    cache: str,
    workers: Workers,
    progress: Progress | None,
) -> ClipSet:
    roots = dict(root) if isinstance(root, Mapping) else {}
    if root is not None and not isinstance(root, Mapping):
        if len(protocol.datasets) > 1:
            raise UsageError(
                f"protocol {protocol.name} has the data sets {', '.join(protocol.datasets)}; give "
                "the root of each by its name"
            )
        roots = {protocol.datasets[0]: root}
    if missing := [name for name in protocol.datasets if name not in roots]:
        raise UsageError(f"where is {' and '.join(missing)}? Give the folder with --data")
    if NAME in protocol.datasets:
        if protocol.datasets != (NAME,) or kind_of(model) != "recognizer":
            maps = ", ".join(recognisers(protocol))
            raise UsageError(
                f"{NAME} holds flow maps and no frames, and stands by itself: it takes {maps}; for "
                f"{model} give a data set of frames, such as casme2, or take another protocol"
            )
        clips = composite(roots[NAME])
        return ClipSet(clips, clips.sources, digest=_digest(clips))
    if not protocol.classes:
        raise UsageError(f"protocol {protocol.name} must say its classes")
    wanted = {name: roots[name] for name in protocol.datasets}
    # The frames and the cache lie on this machine.
    here = workers if workers.share_files else Workers()
    return clip_set(
        listed(wanted, protocol.classes), reading, cache=cache, workers=here, progress=progress
    )


def _check_complete(folder: Path, seeds: Sequence[int], parts: Sequence[str]) -> None:
    for seed in seeds:
        missing = [name for name in parts if not fold_path(folder, seed, name).exists()]
        if missing:
            raise UsageError(
                f"{folder} lacks the folds of {len(missing)} subjects with seed {seed}, "
                f"{missing[0]} the first: run without score-only to make them"
            )


def _split_in_words(protocol: Protocol) -> str:
    return {
        "loso": "leave-one-subject-out",
        "k-fold": f"{protocol.folds} groups of subjects",
        "hold-out": f"one of {protocol.folds} groups of subjects held out, scored",
        "cross-data-set": "each data set by a model of the others",
    }[protocol.split]


def _epoch_note(made: Any) -> str:
    """What decides when training ends; it is never the test subject."""
    learning = getattr(made, "learning", None)
    epochs = getattr(learning, "epochs", getattr(made, "epochs", None))
    if learning is not None and learning.patience:
        return (
            f"epoch: the best on inner subjects ({learning.inner_share:.0%} of the training ones, "
            f"kept out of the gradient), of at most {epochs}; no test subject chooses anything"
        )
    if epochs is not None:
        return f"epoch: the last of {epochs}, fixed beforehand; no test subject chooses anything"
    return "settings: fixed, or chosen within the training subjects; no test subject chooses any"


def _unseen_notes(unseen: Sequence[Unseen]) -> list[str]:
    if not unseen:
        return []
    told = "; ".join(f"{u.subject}/{u.name} ({u.reason})" for u in unseen)
    count = "1 clip" if len(unseen) == 1 else f"{len(unseen)} clips"
    return [
        f"{count} without a face that can be followed: no model learns from it, and it is scored "
        f"as the class most frequent in training: {told}"
    ]


def _write_data(path: Path, data: ClipSet) -> None:
    clips = data.clips
    rows = zip(
        clips.subjects,
        clips.names,
        map(int, clips.labels),
        data.sources or clips.subjects,
        strict=True,
    )
    value = {
        "classes": list(clips.classes),
        "digest": data.digest,
        "clips": [{"subject": s, "name": n, "label": k, "dataset": d} for s, n, k, d in rows],
        "unseen": [asdict(u) for u in data.unseen],
        "notes": list(data.notes),
    }
    atomic_write(path, json.dumps(value, indent=1) + "\n", overwrite=True)


def _read_data(path: Path) -> ClipSet:
    """What `_write_data` wrote, without inputs."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = found["clips"]
        clips = StoredClips(
            "",
            (),
            tuple(int(r["label"]) for r in rows),
            tuple(r["subject"] for r in rows),
            tuple(found["classes"]),
            tuple(r["name"] for r in rows),
        )
        unseen = tuple(Unseen(**u) for u in found["unseen"])
        sources = tuple(r["dataset"] for r in rows)
        return ClipSet(clips, sources, unseen, found["digest"], tuple(found["notes"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"cannot read the clips of a run from {path}: {error}") from error


def _claim(path: Path, about: Mapping[str, Any], *, overwrite: bool) -> None:
    """Note what a folder's folds are of, or complain if they are of something else."""
    about = json.loads(json.dumps(about))
    if not path.exists():
        atomic_write(path, json.dumps(about, indent=1) + "\n")
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != about and overwrite:
        for old in (*path.parent.glob("seed*.json"), *path.parent.glob("seed*.checkpoint")):
            old.unlink()
        atomic_write(path, json.dumps(about, indent=1) + "\n", overwrite=True)
    elif found != about:
        told = [
            f"{one.get('model')} {one.get('options')}"
            + (f" with split {one['split']}" if "split" in one else "")
            for one in (found, about)
        ]
        raise UsageError(
            f"{path.parent} holds the folds of {told[0]}, not of {told[1]} on these clips; give "
            "another folder, or --overwrite to run it anew"
        )


def _digest(clips: Clips) -> str:
    known = hashlib.sha256(clips.inputs.tobytes() + clips.labels.tobytes())
    known.update(json.dumps([clips.subjects, clips.names, clips.sources]).encode())
    return known.hexdigest()


def _rows(fold: Fold) -> list[Recognised]:
    return [
        Recognised(subject, truth, predicted, clip)
        for subject, clip, truth, predicted in zip(
            fold.whose, fold.clips, fold.truths, fold.predicted, strict=True
        )
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
