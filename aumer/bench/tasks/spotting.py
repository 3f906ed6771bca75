"""Spotting: videos' features -> a network of other subjects, or a spotter -> expressions -> F1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from aumer import registry
from aumer.bench import models
from aumer.bench.models import Fitted, Model
from aumer.bench.protocol import Protocol
from aumer.bench.result import Run
from aumer.bench.sources import (
    SIMULATED,
    Source,
    annotations_digest,
    features_digest,
    open_source,
)
from aumer.bench.split import Fold, SubjectKey
from aumer.bench.store import FORMAT
from aumer.bench.task import Options, Progress, Task, TaskTruth, Work
from aumer.bench.tasks.spotting_result import Scored, SpottingResult
from aumer.bench.workers import Workers
from aumer.config import digest, load_settings
from aumer.errors import UsageError
from aumer.evaluation.legacy import OfficialStrs
from aumer.evaluation.rows import PredictedInterval, SpottingSettings, Truth, Video, rows_of
from aumer.evaluation.spotting import SpottingReport, SubjectPredictions, evaluate, merge_folds
from aumer.evaluation.strs import StrsReport
from aumer.evaluation.tables import as_dicts
from aumer.files import StrPath
from aumer.identity import recorded
from aumer.motion.analysis import used
from aumer.spotting.interface import SpotterModel, code_of, spotted
from aumer.training.videos import LabeledVideo

#: Keys of a protocol that change a score but no prediction: a run may be scored again by others.
_ONLY_SCORED = ("name", "title", "published", "scoring", "seeds", "submission_first_frame")

#: Keys that change the data alone, by whose digests a fold knows whether it is still of them.
_ONLY_DATA = ("mismatch",)


@dataclass(frozen=True)
class SpottingTruth(TaskTruth):
    """By data set: all videos, what was annotated in them, what is to be known.

    Attributes:
        sources: from which features are made; none where it was read from a run's file.
        left_out: rows of the table that are not among the truths, as their frames are not in their
            videos (`aumer.data.mismatch`), each with its reason.
    """

    videos: Mapping[str, tuple[Video, ...]]
    truths: Mapping[str, tuple[Truth, ...]]
    notes: Mapping[str, tuple[str, ...]]
    sources: Mapping[str, Source] = field(default_factory=dict)
    left_out: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)

    def expected(self, dataset: str, rules: SpottingSettings) -> SpottingSettings:
        """The rules with the number of truths that there should be without those left out."""
        counts = Counter(row["kind"] for row in self.left_out.get(dataset, ()))
        macro, micro = rules.expect_macro, rules.expect_micro
        return replace(
            rules,
            expect_macro=None if macro is None else macro - counts["macro"],
            expect_micro=None if micro is None else micro - counts["micro"],
        )

    @property
    def subject_keys(self) -> list[SubjectKey]:
        return [(name, v.subject) for name, videos in self.videos.items() for v in videos]

    def to_dict(self) -> dict[str, Any]:
        return {
            "datasets": {
                name: {
                    "videos": [vars(v) for v in self.videos[name]],
                    "truths": as_dicts(self.truths[name]),
                    "notes": self.notes[name],
                    "left_out": list(self.left_out.get(name, ())),
                }
                for name in self.videos
            }
        }


@dataclass(frozen=True, eq=False)
class Entry:
    """A video, the data set that it is of, and digests of what a spotter reads and learns of it."""

    dataset: str
    video: LabeledVideo
    digests: tuple[str, str]

    @classmethod
    def of(cls, dataset: str, video: LabeledVideo) -> Entry:
        return cls(
            dataset,
            video,
            (features_digest(video.features), annotations_digest(video.annotations)),
        )


@dataclass(frozen=True, eq=False)
class Entries:
    """The videos of a run with their features, those that are only trained on among them."""

    entries: Sequence[Entry]

    @property
    def subject_keys(self) -> list[SubjectKey]:
        return [(e.dataset, e.video.subject) for e in self.entries]


@dataclass(frozen=True, eq=False)
class SpottingWork(Work):
    """A fold's videos and the model that is fitted to some of them.

    Attributes:
        test: without their annotations, unless `oracle`.
        oracle: rules by which the best epoch on `test` is chosen; `None` chooses none.
    """

    model: Model
    train: tuple[LabeledVideo, ...]
    test: tuple[LabeledVideo, ...]
    oracle: SpottingSettings | None

    @property
    def tested(self) -> tuple[str, ...]:
        return tuple(sorted({v.subject for v in self.test}))

    @property
    def trained(self) -> tuple[str, ...]:
        return tuple(sorted({v.subject for v in self.train}))

    def predict(
        self, seed: int, checkpoint: Path | None, weights: Path | None = None
    ) -> dict[str, Any]:
        fitted = self.model.fit(self.train, seed, checkpoint, every=self.oracle is not None)
        if weights is not None:
            _keep(fitted, weights, self, seed)
        found = [_spot(fitted.spotter, self.test)]
        best: dict[str, Any] | None = None
        if self.oracle is not None:
            best = _oracle(fitted, self.test, self.oracle)
            found.append(best["predictions"])
        found = self.named(found)
        if best is not None:
            best["predictions"] = as_dicts(found[1])
        return {
            "model": dict(fitted.about),
            "coverage": {f"{v.subject}/{v.name}": _coverage(v) for v in self.test},
            "predictions": as_dicts(found[0]),
            "oracle": best,
        }

    def named(self, found: list[list[PredictedInterval]]) -> list[list[PredictedInterval]]:
        """Lists of what was spotted, with labels where the task names it."""
        return found


class Spotting(Task[SpottingTruth, Entries, Mapping[str, Any]]):
    """See `Task`; a fold's result is the table that its file holds."""

    kind: ClassVar[str] = "spotting"
    default_model = "rules"
    code = (
        "bench.models",
        "bench.tasks.spot_then_recognize",
        "bench.tasks.spotting",
        "data.labels",
        "evaluation.matching",
        "graph",
        "learning",
        "spotting",
        "training",
        "types",
    )
    #: Whether something is learned even where the spotter is ready.
    learns_labels: ClassVar[bool] = False

    def __init__(self, protocol: Protocol, model: str, options: Options) -> None:
        settings = options.settings or load_settings()
        self.model = models.find(
            model,
            protocol,
            overrides=options.overrides,
            decoder=options.decoder,
            settings=settings,
        )
        if self.model.rate is not None:
            settings = replace(settings, motion=replace(settings.motion, rate=self.model.rate))
        if not self.model.trains:
            protocol = replace(protocol, seeds=protocol.seeds[:1])
        self.settings, self.cache = settings, options.cache
        self.protocol, self.name, self.resumes = protocol, self.model.name, self.model.trains
        self.saves_models = self.model.trains

    @property
    def learns(self) -> bool:
        """Whether a fold's training videos are of any use."""
        return self.model.trains or self.learns_labels

    @classmethod
    def models(cls, protocol: Protocol) -> str:
        return f"networks: {', '.join(protocol.models) or 'see its title'}"

    def about(self) -> dict[str, Any]:
        protocol = self.protocol
        without = (*_ONLY_SCORED, *_ONLY_DATA, "models")
        kept = {k: v for k, v in protocol.to_dict().items() if k not in without}
        if protocol.selection == "oracle":
            kept["scoring"] = protocol.to_dict()["scoring"]
        if not set(protocol.datasets) & set(SIMULATED):
            kept.pop("level"), kept.pop("data_seed")
        return {
            "format": FORMAT,
            "protocol": kept,
            "model": self.model.to_dict(),
            "features": {
                k: v for k, v in self.settings.to_dict().items() if k in ("face", "motion")
            },
            **({"parts": parts} if (parts := recorded(used(self.settings))) else {}),
        }

    def parts(self) -> tuple[object, ...]:
        if isinstance(self.model, models.Ready):
            return (code_of(self.model.spotter),)
        settings = self.model.settings
        named = (("network", settings.net), ("targets", settings.targets))
        return tuple(
            registry.resolve(kind, name)
            for kind, name in (*named, ("decoder", self.model.decoder))
            if name in registry.names(kind)
        )

    def in_force(self) -> Any:
        return {"model": self.model.to_dict(), "settings": self.settings.to_dict()}

    def open(
        self, roots: Mapping[str, StrPath], workers: Workers, progress: Progress | None
    ) -> SpottingTruth:
        protocol = self.protocol
        names = (*protocol.datasets, *(protocol.train_datasets if self.learns else ()))
        sources = {
            name: open_source(
                name,
                root,
                level=protocol.level,
                seed=protocol.data_seed,
                mismatch=protocol.mismatch,
            )
            for name, root in self.needed(names, roots).items()
        }
        rows = {name: rows_of(sources[name].records()) for name in protocol.datasets}
        return SpottingTruth(
            {name: tuple(videos) for name, (videos, _) in rows.items()},
            {name: tuple(truths) for name, (_, truths) in rows.items()},
            {name: sources[name].notes() for name in protocol.datasets},
            sources,
            {name: sources[name].left_out() for name in protocol.datasets},
        )

    def prepare(self, truth: SpottingTruth, workers: Workers, progress: Progress | None) -> Entries:
        return Entries(
            [
                Entry.of(name, video)
                for name, source in truth.sources.items()
                for video in source.videos(self.settings, workers, self.cache, progress)
            ]
        )

    def parameters(self) -> int | None:
        return self.model.parameters()

    def epochs(self) -> int | None:
        return self.model.settings.epochs if isinstance(self.model, models.Trainable) else None

    def depends(self, fold: Fold, items: Entries) -> dict[str, str]:
        # A choice of the epoch on the test videos depends on their annotations, too.
        oracle = self.protocol.selection == "oracle"
        return {
            "training data": _named(self._trained(fold, items), 2),
            "tested data": _named([items.entries[k] for k in fold.tested], 2 if oracle else 1),
        }

    def work(self, fold: Fold, items: Entries, workers: Workers) -> SpottingWork:
        oracle = self.protocol.scoring if self.protocol.selection == "oracle" else None
        trained = self._trained(fold, items)
        if self.model.trains and not trained:
            raise UsageError(
                f"fold {fold.name} has no subject to train on; it needs two subjects or more"
            )
        tested = [items.entries[k].video for k in fold.tested]
        return SpottingWork(
            self.model,
            tuple(e.video for e in trained),
            tuple(v if oracle else replace(v, annotations=()) for v in tested),
            oracle,
        )

    def _trained(self, fold: Fold, items: Entries) -> list[Entry]:
        return [items.entries[k] for k in fold.trained] if self.learns else []

    # -- of runs that are stored --------------------------------------------------------------

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> SpottingTruth:
        sets = document["datasets"]
        return SpottingTruth(
            {name: tuple(Video(**v) for v in d["videos"]) for name, d in sets.items()},
            {
                name: tuple(
                    Truth(**{k: v for k, v in t.items() if k != "score"}) for t in d["truths"]
                )
                for name, d in sets.items()
            },
            {name: tuple(d["notes"]) for name, d in sets.items()},
            left_out={name: tuple(d.get("left_out", ())) for name, d in sets.items()},
        )

    @staticmethod
    def parse(found: Mapping[str, Any]) -> Mapping[str, Any]:
        predictions_of(found)
        return found

    @classmethod
    def scored(
        cls, run: Run, truth: SpottingTruth, folds: Sequence[Mapping[str, Any]]
    ) -> SpottingResult:
        made = []
        for seed in run.protocol.seeds:
            for dataset in run.protocol.datasets:
                own = [f for f in folds if f["seed"] == seed and f["dataset"] == dataset]
                for selection, results in _selections(run.protocol, own):
                    try:
                        made.append(
                            cls._scored(run.protocol, dataset, seed, selection, results, truth)
                        )
                    except UsageError as error:
                        where = f"{dataset}, seed {seed}, in {run.folder}"
                        raise UsageError(f"{where}: {error}") from None
        return SpottingResult(run, tuple(folds), truth.notes, tuple(made))

    @classmethod
    def _scored(
        cls,
        protocol: Protocol,
        dataset: str,
        seed: int,
        selection: str,
        folds: Iterable[Mapping[str, Any]],
        truth: SpottingTruth,
    ) -> Scored:
        videos, truths = truth.videos[dataset], truth.truths[dataset]
        by_subject = [
            SubjectPredictions(subject, tuple(p for p in predictions_of(f) if p.subject == subject))
            for f in folds
            for subject in f["tested"]
        ]
        predictions = tuple(merge_folds(by_subject, videos))
        report: SpottingReport | None = None
        strs: StrsReport | None = None
        official: OfficialStrs | None = None
        if protocol.split != "unseen":
            rules = truth.expected(dataset, protocol.scoring)
            known = replace(protocol, scoring=rules)
            report, strs, official = cls.evaluated(known, predictions, truths, videos)
        return Scored(dataset, seed, selection, predictions, report, strs, official)

    @classmethod
    def evaluated(
        cls,
        protocol: Protocol,
        predictions: Sequence[PredictedInterval],
        truths: Sequence[Truth],
        videos: Sequence[Video],
    ) -> tuple[SpottingReport, StrsReport | None, OfficialStrs | None]:
        """The score of one data set with one seed; STRS by our rules and the organizers' script."""
        return evaluate(predictions, truths, videos, protocol.scoring), None, None


def _keep(fitted: Fitted, path: Path, work: SpottingWork, seed: int) -> None:
    """Write the weights of a fold's network."""
    from aumer.spotting.network import NetSpotter

    assert isinstance(fitted.spotter, NetSpotter), "what is trained on folds is a network"
    data = {
        "subjects": len(work.trained),
        "excluded_subjects": list(work.tested),
        "videos": len(work.train),
    }
    about = {**fitted.about, "data": data, "training": work.model.to_dict(), "seed": seed}
    fitted.spotter.save(path, about, overwrite=True)


def predictions_of(fold: Mapping[str, Any]) -> list[PredictedInterval]:
    """The predictions of a fold's result."""
    return [PredictedInterval(**row) for row in fold["predictions"]]


def _selections(
    protocol: Protocol, folds: list[Mapping[str, Any]]
) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """The ways in which the epoch was chosen, the honest one first, and the folds by it."""
    if protocol.selection == "oracle":
        return [("fixed", folds), ("oracle", [{**f, **f["oracle"]} for f in folds])]
    return [(protocol.selection, folds)]


def _named(entries: Iterable[Entry], parts: int) -> str:
    return digest([[e.dataset, e.video.subject, e.video.name, *e.digests[:parts]] for e in entries])


def _coverage(video: LabeledVideo) -> float:
    """Share of rows with a usable face."""
    return round(float(video.features.valid.mean()), 4) if len(video.features) else 0.0


def _spot(spotter: SpotterModel, videos: Sequence[LabeledVideo]) -> list[PredictedInterval]:
    return [
        PredictedInterval.of(v.subject, v.name, e)
        for v in videos
        for e in spotted(spotter, v.features)[1]
    ]


def _oracle(
    fitted: Fitted, test: Sequence[LabeledVideo], rules: SpottingSettings
) -> dict[str, Any]:
    """The epoch with the highest overall F1 on the test videos; the first of equals."""
    videos = [Video(v.subject, v.name) for v in test]
    truths = [Truth.of(a) for v in test for a in v.annotations]
    # The expected numbers are those of the whole data set.
    rules = replace(rules, expect_macro=None, expect_micro=None)
    f1: dict[int, float] = {}
    best: tuple[int, list[PredictedInterval]] | None = None
    for epoch, spotter in fitted.candidates:
        found = _spot(spotter, test)
        f1[epoch] = evaluate(found, truths, videos, rules).f1()
        if best is None or f1[epoch] > f1[best[0]]:
            best = epoch, found
    assert best is not None
    return {"epoch": best[0], "f1": {str(k): v for k, v in f1.items()}, "predictions": best[1]}
