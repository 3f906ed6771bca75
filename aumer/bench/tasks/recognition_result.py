"""The score of a run of recognition: counts of all clips pooled, divided once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from aumer.bench.clips import AnyClips
from aumer.bench.figure import Figure
from aumer.bench.protocol import Protocol
from aumer.bench.result import Result, Run
from aumer.data.megc2019 import NAME
from aumer.evaluation.bootstrap import Difference, Estimate
from aumer.evaluation.recognition import (
    METRICS,
    RecognitionReport,
    Recognized,
    evaluate_recognition,
)
from aumer.training.listing import Unseen

#: Two probabilities that lie closer than this may change places on another machine.
CLOSE = 0.01
#: Metrics that are printed with their intervals.
PRINTED = ("uf1", "uar", "accuracy")
_SEEN = (
    "the design of this recognizer was made with the clips of this very data set in view "
    "(benchmarks/recognition_log.md): leaving a subject out vouches for what a fold learns and "
    "chooses, not for the design"
)
#: By recognizer and data set, what its scores there are not free of.
DESIGNED_ON = {("graph", NAME): _SEEN, ("graph-motion", NAME): _SEEN}
#: What a fold's file calls otherwise: "seconds" there is all that the fold took.
_IN_FILES = {"subject": "fold", "seconds": "training_seconds"}


@dataclass(frozen=True)
class RecognitionFold:
    """What was predicted of one subject's clips, or of a group of subjects'.

    Attributes:
        subject: the fold's name: its subject's, where there is one alone.
        probabilities: by clip, in the order of the classes.
        chosen: what the recognizer chose within the training subjects.
        seconds: that training took.
        log: by epoch: "epoch", "loss", and where inner subjects were kept out "inner_loss".
        embeddings: by clip, what the network's last layer reads; empty where it has none.
        attribution: by clip, how much each of `rois` spoke for the predicted class.
        space: by clip, how much each square of the picture spoke for the predicted class: rows of
            `aumer.recognition.interface.Saliency.space`, one after another; empty where its
            recognizer does not say.
        time: by clip, how much each phase did: `Saliency.time`.
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
    space: tuple[tuple[float, ...], ...] = ()
    time: tuple[tuple[float, ...], ...] = ()
    subjects: tuple[str, ...] = ()
    unseen: int = 0

    @property
    def clip_subjects(self) -> tuple[str, ...]:
        """The subject of each clip."""
        return self.subjects or (self.subject,) * len(self.clips)

    def rows(self) -> list[Recognized]:
        """What is scored."""
        return [
            Recognized(subject, truth, predicted, clip)
            for subject, clip, truth, predicted in zip(
                self.clip_subjects, self.clips, self.truths, self.predicted, strict=True
            )
        ]

    def to_dict(self) -> dict[str, Any]:
        """As a fold's file has it."""
        return {_IN_FILES.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> RecognitionFold:
        """The fold of a file's values; what older files lack is left at its default.

        Raises:
            KeyError, TypeError, ValueError: they are something else.
        """
        names = {f.name: _IN_FILES.get(f.name, f.name) for f in fields(cls)}
        values = {name: _tuples(found[key]) for name, key in names.items() if key in found}
        fold = cls(**values)
        fold.rows()  # as many of each
        return fold


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


@dataclass(frozen=True, eq=False)
class RecognitionResult(Result[RecognitionFold]):
    """The folds of one model, scored.

    Attributes:
        reports: by seed, over all clips.
        parts: by data set, then by seed.
        split: how subjects were parted, for people.
        unseen: clips whose face could not be seen; they are scored.
        notes: what a reader of the scores should know.
    """

    reports: Mapping[int, RecognitionReport]
    parts: Mapping[str, Mapping[int, RecognitionReport]]
    split: str = "leave-one-subject-out"
    unseen: tuple[Unseen, ...] = ()
    notes: tuple[str, ...] = ()

    def figure(self, metric: str = "uf1") -> Figure:
        """A metric of `aumer.evaluation.recognition.METRICS`."""
        counts = np.stack([report.table for report in self.reports.values()], 1)
        # Every seed has the same truths; a model that draws nothing has one seed alone.
        return Figure(self.subjects, counts, counts[:, 0].sum(2), METRICS[metric])

    @property
    def subjects(self) -> tuple[str, ...]:
        """Who was tested."""
        return next(iter(self.reports.values())).subjects

    def mean(self, metric: str = "uf1", part: str | None = None) -> float:
        """Mean over seeds of a metric, over all clips or those of one data set."""
        reports = self.reports if part is None else self.parts[part]
        return float(np.mean([getattr(r, metric) for r in reports.values()]))

    def bootstrap(self, metric: str = "uf1", *, replicates: int = 2000, seed: int = 0) -> Estimate:
        """That mean with its 95 % interval over resampled subjects: see `Figure`."""
        return self.figure(metric).bootstrap(replicates=replicates, seed=seed)

    def compare(
        self,
        other: RecognitionResult,
        metric: str = "uf1",
        *,
        replicates: int = 2000,
        seed: int = 0,
    ) -> Difference:
        """This mean less the other's, on the same resamples of subjects: see `Figure`."""
        return self.figure(metric).compare(other.figure(metric), replicates=replicates, seed=seed)

    def compared_figures(self) -> dict[tuple[str, str], Figure]:
        return {("all", metric): self.figure(metric) for metric in PRINTED}

    def cautions(self) -> tuple[str, ...]:
        return designed_on(self.run)

    def chosen_on(self) -> str:
        return epoch_note(self.about["model"]["learning"])

    def figures(self) -> dict[str, Any]:
        return {
            **{name: self._estimate(name) for name in PRINTED},
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

    def _estimate(self, metric: str) -> dict[str, float]:
        spread = self.figure(metric).spread()
        found = self.bootstrap(metric).to_dict()
        if spread is not None and spread.over == "seeds":
            found |= {"seeds_low": spread.low, "seeds_high": spread.high}
        return found

    def fold_facts(self, fold: RecognitionFold) -> dict[str, Any]:
        return {
            "fold": fold.subject,
            "seed": fold.seed,
            "tested": list(dict.fromkeys(fold.clip_subjects)),
            "chosen": dict(fold.chosen),
            "training_seconds": fold.seconds,
        }

    def remarks(self) -> tuple[str, ...]:
        if not self.unseen:
            return ()
        return (
            f"clips without a face that can be followed: {len(self.unseen)}, scored all the same; "
            "the notes and the result say which, and why",
        )

    def may_move(self) -> tuple[str, ...]:
        close = {
            seed: sum(_close(fold) for fold in self.folds if fold.seed == seed)
            for seed in self.reports
        }
        return tuple(
            f"seed {seed}: {n} of {int(self.reports[seed].table.sum())} clips, whose two most "
            f"probable classes lie within {CLOSE:g}"
            for seed, n in close.items()
        )

    def _of_part(self, part: str) -> tuple[str, ...]:
        return next(iter(self.parts[part].values())).subjects

    @property
    def seconds(self) -> float:
        """Of training, summed over the folds of a seed, mean over seeds."""
        return sum(fold.seconds for fold in self.folds) / len(self.reports)

    def _with_spread(self, metric: str) -> str:
        figure = self.figure(metric)
        spread = figure.spread()
        assert spread is not None  # an interval needs two subjects, as every split has
        return f"{figure.value:.4f} [{spread.low:.4f}, {spread.high:.4f}] ({spread.over})"

    def tables(self) -> list[str]:
        seeds = list(self.reports)
        return [
            f"{self.model}: {self.split} over {len(self.subjects)} subjects, seeds "
            f"{', '.join(map(str, seeds))}; mean over seeds, 95 % interval over subjects, or where "
            "seeds lie further apart the least and the largest of theirs",
            "",
            "| part | UF1 | UAR | accuracy |",
            "|---|---|---|---|",
            "| all | " + " | ".join(self._with_spread(name) for name in PRINTED) + " |",
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


def designed_on(run: Run) -> tuple[str, ...]:
    """Whether the recognizer was designed with the run's data in view, in words."""
    keys = [(run.about["model"]["model"], d) for d in run.protocol.datasets]
    return tuple(dict.fromkeys(DESIGNED_ON[key] for key in keys if key in DESIGNED_ON))


def epoch_note(learning: Mapping[str, Any]) -> str:
    """What decides when training ends; it is never the test subject."""
    epochs = learning["epochs"]
    if learning["patience"]:
        return (
            f"epoch: the best on inner subjects ({learning['inner_share']:.0%} of the training "
            f"ones, kept out of the gradient), of at most {epochs}; no test subject chooses "
            "anything"
        )
    if epochs is not None:
        return f"epoch: the last of {epochs}, fixed beforehand; no test subject chooses anything"
    return "settings: fixed, or chosen within the training subjects; no test subject chooses any"


def _close(fold: RecognitionFold) -> int:
    """How many clips of a fold hang on little."""
    if not fold.probabilities or len(fold.probabilities[0]) < 2:
        return 0
    ranked = np.sort(np.array(fold.probabilities), axis=1)
    return int((ranked[:, -1] - ranked[:, -2] < CLOSE).sum())


def scored(
    run: str | Run,
    folds: Sequence[RecognitionFold],
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
        run: or of clips at hand the model's name.
        complete: every subject must have its fold.
        sources: the data set of each clip; by default what the clips say.
        unseen: further clips that the folds hold.

    Raises:
        UsageError: a fold is missing, or there twice.
    """
    if isinstance(run, str):
        run = Run(AT_HAND, run)
    if sources is None:
        sources = clips.sources
    rows_of = zip(clips.subjects, clips.names, strict=True)
    source = dict(zip(rows_of, sources, strict=True)) if sources else {}
    if source:
        source |= {(u.subject, u.name): u.dataset for u in unseen}
    everyone = tuple(dict.fromkeys((*clips.subjects, *(u.subject for u in unseen))))
    reports: dict[int, RecognitionReport] = {}
    parts: dict[str, dict[int, RecognitionReport]] = {}
    for seed in dict.fromkeys(fold.seed for fold in folds):
        rows = [row for fold in folds if fold.seed == seed for row in fold.rows()]
        reports[seed] = evaluate_recognition(
            rows, classes=clips.classes, subjects=everyone if complete else None
        )
        for part in dict.fromkeys(source.values()):
            own = [row for row in rows if source[row.subject, row.clip] == part]
            if own:
                report = evaluate_recognition(own, classes=clips.classes)
                parts.setdefault(part, {})[seed] = report
    return RecognitionResult(run, tuple(folds), reports, parts, split, tuple(unseen), tuple(notes))


#: Of clips that no data set's folder holds.
AT_HAND = Protocol(
    name="clips", title="Clips at hand", kind="recognition", datasets=("clips",), split="loso"
)
