"""The sections of a report on recognition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.evaluation.bootstrap import Estimate, interval
from aumer.evaluation.calibration import THRESHOLDS, coverage, reliability
from aumer.evaluation.recognition import (
    METRICS,
    RecognitionReport,
    Recognized,
    evaluate_recognition,
)
from aumer.graph.rois import LANDMARK_NAMES
from aumer.report import figures as figures
from aumer.report.curves import Roc, embed, neighbors_alike, roc
from aumer.report.page import Block, Cell, Drawing, LeftOut, Picture, Section, TableBlock, Text
from aumer.report.parts import between, made_of, published
from aumer.report.runs import Clip, RecognitionRun, Training
from aumer.types import IntArray

Floats = npt.NDArray[np.float64]

#: Number of mistakes that are shown; the others are folded.
_MISTAKES = 20
#: Faces that are shown for a mistake.
_MOMENTS = ("onset", "apex", "offset")
#: Largest number of groups that are drawn, limited by distinct colors.
_GROUPS = len(figures.COLORS)


def recognition_facts(run: RecognitionRun) -> list[str]:
    """Short lines for the top of the page."""
    whole = ClipScores(run.clips, run.classes)
    estimates = [f"{name.upper()} {whole.text(name)}" for name in ("uf1", "uar")]
    return [
        f"Model: {run.about.model}",
        f"{', '.join(estimates)}, accuracy {whole.mean('accuracy'):.4f}",
        f"{whole.clips} clips of {len(whole.subjects)} subjects, {len(run.classes)} classes, "
        f"{_number(len(whole.seeds), 'seed')}; counts of all folds pooled, then divided",
    ]


def recognition_sections(run: RecognitionRun) -> list[Section]:
    """The sections on recognition in order; an empty one says why.

    Raises:
        UsageError: there is no clip, one is duplicate in a seed, or a label is not a class.
    """
    whole = ClipScores(run.clips, run.classes)
    curves, why = _curves(run)
    return [
        Section("Scores", _scores(run, whole, curves)),
        Section("Confusion matrix", [_confusion(run, whole)]),
        Section("ROC curves", [_roc(run, curves, len(whole.seeds)) if curves else LeftOut(why)]),
        Section("Calibration", _calibration(run, len(whole.seeds)) if curves else [LeftOut(why)]),
        Section("Embeddings (t-SNE)", _embeddings(run, whole.seeds[0])),
        Section("Attribution on the face", _attribution(run)),
        Section("Attribution in the picture and in time", [_saliency(run)]),
        Section("Training curves", _training(run.training)),
        Section("Misclassified clips", _mistakes(run, len(whole.seeds))),
        *published(run.about),
        made_of(run.about, run.chosen),
    ]


@dataclass(frozen=True)
class ClipScores:
    """Scores of clips: means over seeds, with 95 % intervals over 2000 resamples of subjects."""

    rows: Sequence[Clip]
    classes: tuple[str, ...]

    @cached_property
    def reports(self) -> dict[int, RecognitionReport]:
        """By seed."""
        found: dict[int, list[Recognized]] = {}
        # All seeds have the same order of subjects.
        for c in sorted(self.rows, key=lambda c: (c.seed, c.subject, c.name)):
            found.setdefault(c.seed, []).append(
                Recognized(c.subject, c.truth, c.predicted, f"{c.source}/{c.name}")
            )
        if not found:
            raise UsageError("there is nothing to report: no clip was recognized")
        subjects = tuple(dict.fromkeys(row.subject for row in next(iter(found.values()))))
        return {
            seed: evaluate_recognition(rows, classes=self.classes, subjects=subjects)
            for seed, rows in found.items()
        }

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.reports)

    @property
    def subjects(self) -> tuple[str, ...]:
        return next(iter(self.reports.values())).subjects

    @property
    def clips(self) -> int:
        """Number of clips of one seed."""
        return int(next(iter(self.reports.values())).table.sum())

    @cached_property
    def table(self) -> IntArray:
        """(subjects, seeds, C, C)."""
        return np.stack([report.table for report in self.reports.values()], 1)

    def mean(self, metric: str) -> float:
        return float(np.mean([getattr(r, metric) for r in self.reports.values()]))

    def estimate(self, score: Callable[[IntArray], Floats]) -> Estimate | None:
        """The mean over seeds of a score (N, C, C) -> (N,), with its interval; `None` for one
        subject.
        """
        if len(self.subjects) < 2:
            return None

        def mean(counts: IntArray) -> Floats:
            averaged: Floats = np.mean([score(counts[:, k]) for k in range(counts.shape[1])], 0)
            return averaged

        return interval(self.table, mean, replicates=2000, level=0.95, seed=0)

    def text(self, metric: str) -> str:
        found = self.estimate(METRICS[metric])
        return f"{self.mean(metric):.4f}" if found is None else str(found)


def _scores(run: RecognitionRun, whole: ClipScores, curves: dict[str, Roc]) -> list[Block]:
    over = "" if len(whole.seeds) == 1 else f", means over {len(whole.seeds)} seeds"
    blocks: list[Block] = [
        TableBlock(
            ("", "value", "95 % interval"),
            [
                [name, whole.mean(metric), between(found) if found else None]
                for metric, name in _METRICS.items()
                for found in [whole.estimate(METRICS[metric])]
            ],
            f"Pooled scores{over}. Counts of all folds are added and divided once. Intervals: 95 % "
            "of 2000 resamples of the subjects; they do not cover how the model was designed.",
        ),
        _by_class(whole, curves, over),
        _averages(whole, over),
    ]
    sources = list(dict.fromkeys(c.source for c in run.clips))
    if len(sources) > 1:
        blocks += _by_source(run, sources)
    elif sources == [""]:
        blocks.append(Text("By data set: left out, since the run does not say whose clips are."))
    return [*blocks, _by_subject(run, whole)]


_METRICS = {
    "uf1": "UF1 (mean of the classes' F1)",
    "uar": "UAR (mean of the classes' recall)",
    "accuracy": "accuracy",
    "mean_precision": "mean of the classes' precision (not UAR)",
}


def _f1_of_class(k: int) -> Callable[[IntArray], Floats]:
    def score(counts: IntArray) -> Floats:
        below = counts[:, k].sum(1) + counts[:, :, k].sum(1)
        doubled, none = 2 * counts[:, k, k], np.zeros(len(counts))
        f1: Floats = np.divide(doubled, below, out=none, where=below > 0)
        return f1

    return score


def _by_class(whole: ClipScores, curves: dict[str, Roc], over: str) -> TableBlock:
    rows: list[list[Cell]] = []
    for k, name in enumerate(whole.classes):
        counts = [report.per_class()[name] for report in whole.reports.values()]
        found = whole.estimate(_f1_of_class(k))
        rows.append(
            [
                name,
                counts[0].tp + counts[0].fn,
                *(float(np.mean([getattr(c, w) for c in counts])) for w in _WHAT),
                between(found) if found else None,
                *([curves[name].area if name in curves else None] if curves else []),
            ]
        )
    return TableBlock(
        ("class", "clips", *_HEADS, "F1, 95 % interval", *(["ROC area"] if curves else [])),
        rows,
        f"By class, each against the rest{over}. Clips are those whose true class it is (support).",
    )


#: By kind of average: names of precision, recall and F1 in `METRICS`.
_AVERAGES = {
    "macro": ("mean_precision", "uar", "uf1"),
    "weighted": ("weighted_precision", "accuracy", "weighted_f1"),
}


def _averages(whole: ClipScores, over: str) -> TableBlock:
    rows = [[name, *map(whole.text, metrics)] for name, metrics in _AVERAGES.items()]
    return TableBlock(
        ("average of the classes", *_HEADS),
        rows,
        f"Averages{over}, with 95 % intervals over subjects. Macro: every class counts alike; its "
        "recall is UAR, its F1 UF1. Weighted: every class counts by its clips, so that frequent "
        "ones decide; its recall is the accuracy. Papers that print one F1 often mean this one.",
    )


_WHAT = ("precision", "recall", "f1")
_HEADS = ("precision", "recall", "F1")


def _by_source(run: RecognitionRun, sources: Sequence[str]) -> list[Block]:
    parts = {s: ClipScores([c for c in run.clips if c.source == s], run.classes) for s in sources}
    scores: list[list[Cell]] = []
    classes: list[list[Cell]] = []
    for source, part in parts.items():
        texts = [part.text(metric) for metric in ("uf1", "uar")]
        subjects = len(part.subjects)
        scores.append([source, part.clips, subjects, *texts, part.mean("accuracy")])
        for name in run.classes:
            counts = [report.per_class()[name] for report in part.reports.values()]
            means = [float(np.mean([getattr(c, w) for c in counts])) for w in _WHAT]
            classes.append([source, name, counts[0].tp + counts[0].fn, *means])
    return [
        TableBlock(
            ("data set", "clips", "subjects", "UF1 [95 %]", "UAR [95 %]", "accuracy"),
            scores,
            "By data set: the same predictions, counted for its subjects alone. A class without a "
            "clip there is in no mean.",
        ),
        TableBlock(
            ("data set", "class", "clips", *_HEADS),
            classes,
            "By data set and class.",
            folded="By data set and class",
        ),
    ]


def _by_subject(run: RecognitionRun, whole: ClipScores) -> TableBlock:
    seeds = len(whole.seeds)
    source = {c.subject: c.source for c in run.clips}
    known = len(set(source.values())) > 1
    rows: list[list[Cell]] = []
    for subject, table in zip(whole.subjects, whole.table.sum(1), strict=True):
        hits, clips = np.diag(table) / seeds, table.sum(1) // seeds
        rows.append(
            [
                subject,
                *([source[subject]] if known else []),
                int(clips.sum()),
                float(hits.sum() / clips.sum()),
                *(f"{h:g} of {n}" if n else None for h, n in zip(hits, clips, strict=True)),
            ]
        )
    rows.sort(key=lambda row: float(row[3 if known else 2]))  # type: ignore[arg-type]
    return TableBlock(
        ("subject", *(["data set"] if known else []), "clips", "accuracy", *whole.classes),
        rows,
        "By subject, the worst first; below each class how many of its clips were recognized"
        + (", mean over seeds." if seeds > 1 else "."),
        folded=f"By subject ({len(rows)})",
    )


def _confusion(run: RecognitionRun, whole: ClipScores) -> Drawing:
    counts: IntArray = whole.table.sum((0, 1))
    seeds = len(whole.seeds)
    wrong = counts - np.diag(np.diag(counts))
    i, j = np.unravel_index(wrong.argmax(), wrong.shape)
    most = (
        f" The most frequent mistake: {run.classes[i]} taken for {run.classes[j]}, "
        f"{wrong[i, j]} of {counts[i].sum()}."
        if wrong.any()
        else ""
    )
    diagonal = ", ".join(
        f"{name} {counts[k, k]} of {counts[k].sum()}" for k, name in enumerate(run.classes)
    )
    return Drawing(
        "confusion",
        figures.confusion(run.classes, counts),
        "Rows are the true classes, columns what was predicted; right answers are on the diagonal. "
        "Left: number of clips; right: share of the row, so that the diagonal is each class's "
        f"recall. Darker is a larger share of the row.{most}"
        + (f" Each clip counts once for each of {seeds} seeds." if seeds > 1 else ""),
        f"Confusion matrix. Recognized: {diagonal}.{most}",
    )


# -- ROC ------------------------------------------------------------------------------------------


def _curves(run: RecognitionRun) -> tuple[dict[str, Roc], str]:
    """The curve of each class that has one; and the reason for classes without one."""
    if not all(len(c.probabilities) == len(run.classes) for c in run.clips):
        return {}, "the run kept no probabilities."
    found = {}
    for k, name in enumerate(run.classes):
        positive = [c.truth == name for c in run.clips]
        if any(positive) and not all(positive):
            scores = [c.probabilities[k] for c in run.clips]
            found[name] = roc(scores, positive, [c.subject for c in run.clips])
    return found, "" if found else "there are clips of one class only."


def _roc(run: RecognitionRun, curves: dict[str, Roc], seeds: int) -> Drawing:
    areas = ", ".join(f"{name} {curve.area:.3f}" for name, curve in curves.items())
    mean = float(np.mean([curve.area for curve in curves.values()]))
    without = [name for name in run.classes if name not in curves]
    return Drawing(
        "roc",
        figures.roc_curves(curves),
        "Each class against the rest, by its probability. Along a curve the threshold falls: "
        "upward, more of the class's own clips pass; to the right, more of the others'. The area "
        "is the share of pairs (a clip of the class, one of another) that are in the right order; "
        f"its mean over classes is {mean:.3f}. Intervals: 2000 resamples of the subjects. "
        "Probabilities of different folds come from different models and are pooled as they are."
        + (f" The {seeds} seeds are pooled." if seeds > 1 else "")
        + (f" Without clips to compare: {', '.join(without)}." if without else ""),
        f"ROC curves. Areas: {areas}.",
    )


# -- calibration ----------------------------------------------------------------------------------


def _calibration(run: RecognitionRun, seeds: int) -> list[Block]:
    clips = [c for c in run.clips if c.seen]
    if not clips or not all(np.isfinite(c.probabilities).all() for c in clips):
        return [LeftOut("the run kept no probabilities of clips that were seen.")]
    sure = [c.probabilities[run.classes.index(c.predicted)] for c in clips]
    right = [c.predicted == c.truth for c in clips]
    found = reliability(sure, right, [c.subject for c in clips])
    kept = coverage(sure, right, THRESHOLDS)
    pooled = f" The {seeds} seeds are pooled." if seeds > 1 else ""
    drawing = Drawing(
        "calibration",
        figures.calibration(found, coverage(sure, right)),
        "Left: of clips that got their class with such a probability, the share that is right, and "
        "how many they are; on the dashed line a probability means what it says, below it the "
        "model is too sure. Right: what is left, and how right it is, where answers below a "
        "threshold are withheld (the setting classify.abstain_below). The expected calibration "
        f"error is {found}: the mean distance from the line, over {len(clips)} clips; interval: "
        f"2000 resamples of the subjects. Chance alone makes it more than 0.{pooled}",
        f"Reliability curve, and accuracy against coverage. Expected calibration error {found}.",
    )
    bins: list[list[Cell]] = [
        [f"{low:.1f} to {high:.1f}", int(n), float(p), float(share)]
        for low, high, n, p, share in zip(
            found.edges[:-1],
            found.edges[1:],
            found.counts,
            found.confidence,
            found.accuracy,
            strict=True,
        )
        if n
    ]
    withheld: list[list[Cell]] = [
        [f"{at:g}", f"{share:.1%}", None if np.isnan(hits) else float(hits)]
        for at, share, hits in zip(kept.thresholds, kept.coverage, kept.accuracy, strict=True)
    ]
    return [
        drawing,
        TableBlock(
            ("probability", "clips", "mean probability", "share right"),
            bins,
            "The reliability curve as numbers. Bins of few clips say little.",
        ),
        TableBlock(
            ("abstain below", "clips that keep a label", "accuracy of these"),
            withheld,
            "What abstaining buys. A threshold that is chosen by this table flatters itself.",
        ),
    ]


# -- embeddings -----------------------------------------------------------------------------------


def _embeddings(run: RecognitionRun, seed: int) -> list[Block]:
    clips = [c for c in run.clips if c.seed == seed and c.seen]
    sizes = {len(c.embedding) for c in clips}
    if not sizes or 0 in sizes:
        return [LeftOut(f"the run kept no embeddings; {run.about.model} may have none.")]
    if len(sizes) > 1:
        return [LeftOut(f"the folds' embeddings are of different lengths: {sorted(sizes)}.")]
    points = np.array([c.embedding for c in clips], np.float64)
    if len(clips) < 4 or not np.isfinite(points).all():
        return [LeftOut("t-SNE needs four clips or more, and finite numbers.")]
    truths = [c.truth for c in clips]
    folds = [c.fold or c.subject for c in clips]
    what, groups = "data set", [c.source for c in clips]
    if len(set(groups)) < 2:
        what, groups = "fold", folds
    if not 1 < len(set(groups)) <= _GROUPS:
        groups = []
    same, chance = neighbors_alike(points, truths)
    own, own_chance = neighbors_alike(points, folds)
    drawing = Drawing(
        "embeddings",
        figures.scatter(
            embed(points),
            run.classes,
            truths,
            [c.truth == c.predicted for c in clips],
            groups,
            what,
        ),
        f"What the last layer reads of each clip ({points.shape[1]} numbers), laid out by t-SNE so "
        "that near neighbors stay near; distances between clusters, their sizes and the axes mean "
        "nothing. Each fold has a network of its own, whose numbers need not mean what another's "
        "do: clusters may be folds rather than classes. Before the lay-out, "
        f"{same:.0%} of clips have a nearest neighbor of their class (dealt at random: "
        f"{chance:.0%}), and {own:.0%} one of their own fold (at random: {own_chance:.0%})."
        + (f" Seed {seed} alone is shown." if len({c.seed for c in run.clips}) > 1 else ""),
        f"t-SNE of {len(clips)} clips. {same:.0%} have a nearest neighbor of their own class, "
        f"{own:.0%} one of their own fold.",
    )
    return [drawing]


# -- attribution ----------------------------------------------------------------------------------


def _attribution(run: RecognitionRun) -> list[Block]:
    rois = run.rois
    clips = [c for c in run.clips if c.seen]
    if not rois or not clips or not all(len(c.attribution) == len(rois) for c in clips):
        return [LeftOut("the run kept no attribution.")]
    own = {name: [c.attribution for c in clips if c.predicted == name] for name in run.classes}
    means = {name: np.mean(rows, 0) for name, rows in own.items() if rows}
    table = TableBlock(
        ("ROI", *means),
        [[roi, *(_signed(float(m[k])) for m in means.values())] for k, roi in enumerate(rois)],
        "The same means as numbers, on the model's own scale.",
        folded="Means by ROI and class",
    )
    if strange := [roi for roi in rois if roi not in LANDMARK_NAMES]:
        why = f"the ROI {strange[0]!r} is no landmark, so that its place on a face is not known."
        return [LeftOut(why), table]
    strongest = "; ".join(
        f"{name}: {rois[int(np.argmax(m))]}" for name, m in means.items() if m.max() > 0
    )
    drawing = Drawing(
        "attribution",
        figures.on_a_face(rois, means, {name: len(rows) for name, rows in own.items()}),
        "How much the motion of each region of interest (ROI) spoke for the class that was "
        "predicted, mean over all clips predicted as that class, right or wrong. Circles spoke for "
        "it, squares against it; the size and the number are shares of the class's largest value. "
        "The face is shown as one looks at it: the subject's right is on the left. This is what "
        f"the model uses, not what moves. Most for it: {strongest}.",
        f"Mean attribution by ROI on a face. Most for each class: {strongest}.",
    )
    return [drawing, table]


def _saliency(run: RecognitionRun) -> Drawing | LeftOut:
    clips = [c for c in run.clips if c.seen]
    shapes = {(len(c.space), len(c.time)) for c in clips}
    squares, phases = shapes.pop() if len(shapes) == 1 else (0, 0)
    side = round(squares**0.5)
    if not squares or side * side != squares or not phases or phases % 2:
        return LeftOut(
            "the run kept none; recognizers of sequences say where and when, in runs of today."
        )
    own = {name: [c for c in clips if c.predicted == name] for name in run.classes}
    own = {name: some for name, some in own.items() if some}
    space = {n: np.mean([c.space for c in some], 0).reshape(side, side) for n, some in own.items()}
    time = {n: np.mean([c.time for c in some], 0) for n, some in own.items()}
    when = [
        f"{k + 1}/{phases // 2} to {end}" for end in ("apex", "offset") for k in range(phases // 2)
    ]
    strongest = "; ".join(f"{n}: {when[int(t.argmax())]}" for n, t in time.items() if t.max() > 0)
    return Drawing(
        "saliency",
        figures.saliency(space, time, {n: len(some) for n, some in own.items()}),
        "By how much the predicted class's probability falls when a square of the picture (above) "
        "or a quarter of the way from onset to apex or from apex to offset (below) is put to rest: "
        "it then shows what the onset shows, without flow. Means over all clips predicted as that "
        "class, right or wrong; purple and bars below zero speak against it. What two places tell "
        "alike neither loses alone, so that a small fall is no proof of no use. Most for it: "
        f"{strongest}.",
        f"Mean fall of probability by place and phase. Strongest phase of each class: {strongest}.",
    )


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−")


# -- training -------------------------------------------------------------------------------------

#: Figures by epoch: name, quantity, log keys by group of subjects, and axis label.
_OWN, _INNER = "training subjects", "inner subjects, kept out of training"
_BY_EPOCH = (
    ("losses", "loss", {_OWN: "loss", _INNER: "inner_loss"}, "loss"),
    ("accuracies", "accuracy", {_OWN: "accuracy", _INNER: "inner_accuracy"}, "share recognized"),
    ("rates", "learning rate", {"all folds, at the end of an epoch": "lr"}, "learning rate"),
)


def _training(training: Sequence[Training]) -> list[Block]:
    """Losses, accuracies and learning rates of each fold by epoch."""
    return [_by_epoch(training, *one) for one in _BY_EPOCH]


def _by_epoch(
    training: Sequence[Training], name: str, what: str, keys: Mapping[str, str], axis: str
) -> Drawing | LeftOut:
    first = next(iter(keys.values()))
    logged = [t for t in training if t.log and all(first in record for record in t.log)]
    if not logged:
        plural = {"loss": "losses", "accuracy": "accuracies", "learning rate": "learning rates"}
        return LeftOut(
            f"the run kept no {plural[what]}; its model may not be trained by epochs"
            + (", or its networks tell none." if what != "loss" else ".")
        )
    curves: dict[str, list[figures.Curve]] = {}
    for whose, key in keys.items():
        for one in logged:
            rows = [(r["epoch"], r[key]) for r in one.log if r.get(key) is not None]
            finite = [row for row in rows if np.isfinite(row).all()]
            if finite:
                epochs, values = np.array(finite, np.float64).T
                curves.setdefault(whose, []).append(figures.Curve(epochs, values))
    if not curves:
        return LeftOut(f"no {what} that the run kept is a finite number.")
    means = {whose: mean_curve(own) for whose, own in curves.items()}
    ends = "; ".join(
        f"{whose}: from {m.values[0]:.3g} to {m.values[-1]:.3g}" for whose, m in means.items()
    )
    folds = [len(one.log) for one in logged]
    augmented = " Training clips are seen augmented, and before the epoch's end." * (
        what == "accuracy"
    )
    return Drawing(
        name,
        figures.by_epoch(curves, means, axis),
        f"Thin: the {what} of each fold's model by epoch; thick: their mean, over the folds that "
        "were still training, as far as half of them were. The test subject is in none of it. "
        f"Folds trained for {min(folds)} to {max(folds)} epochs. Mean {what} of {ends}.{augmented}",
        f"{what[0].upper()}{what[1:]} by epoch of {len(logged)} folds. Mean {what} of {ends}.",
    )


def mean_curve(curves: Sequence[figures.Curve]) -> figures.Curve:
    """The mean at each epoch reached by at least half of the curves."""
    values: dict[float, list[float]] = {}
    for curve in curves:
        for epoch, value in zip(curve.epochs.tolist(), curve.values.tolist(), strict=True):
            values.setdefault(epoch, []).append(value)
    kept = sorted(epoch for epoch, own in values.items() if 2 * len(own) >= len(curves))
    return figures.Curve(
        np.array(kept, np.float64), np.array([np.mean(values[e]) for e in kept], np.float64)
    )


# -- mistakes -------------------------------------------------------------------------------------


def _mistakes(run: RecognitionRun, seeds: int) -> list[Block]:
    wrong: dict[tuple[str, str, str], list[Clip]] = {}
    for clip in run.clips:
        if clip.predicted != clip.truth:
            wrong.setdefault((clip.source, clip.subject, clip.name), []).append(clip)
    if not wrong:
        return [Text("None: every clip was recognized.")]
    probable = all(len(c.probabilities) == len(run.classes) for c in run.clips)
    sources = len({c.source for c in run.clips}) > 1
    unseen = not all(c.seen for c in run.clips)
    found: list[tuple[float, list[Cell]]] = []
    for (source, subject, name), clips in wrong.items():
        taken = Counter(c.predicted for c in clips).most_common(1)[0][0]
        row: list[Cell] = []
        if run.images:
            image = run.images.get((subject, name))
            row.append(None if image is None else Picture(image, f"{subject} {name}"))
        if run.faces:
            shown = run.faces.get((subject, name), (None,) * len(_MOMENTS))
            for moment, face in zip(_MOMENTS, shown, strict=True):
                alt = f"{subject} {name} at the {moment}"
                row.append(None if face is None else Picture(face, alt, pixels=False))
        row += [*([source] if sources else []), subject, name, clips[0].truth, taken]
        if seeds > 1:
            row.append(f"{len(clips)} of {seeds}")
        if unseen:
            row.append("yes" if clips[0].seen else "no")
        sure = len(clips) / seeds
        if probable:
            shares = np.mean([c.probabilities for c in clips], 0)
            row += [f"{p:.3f}" for p in shares]
            sure = float(shares[run.classes.index(taken)])
        found.append((sure, row))
    found.sort(key=lambda one: -one[0])
    rows = [row for _, row in found]
    head = [
        *(["picture"] if run.images else []),
        *([f"at {moment}" for moment in _MOMENTS] if run.faces else []),
        *(["data set"] if sources else []),
        *("subject", "clip", "true", "predicted"),
        *(["wrong in seeds"] if seeds > 1 else []),
        *(["face seen"] if unseen else []),
        *((f"P({name})" for name in run.classes) if probable else ()),
    ]
    total = len({(c.source, c.subject, c.name) for c in run.clips})
    caption = f"{len(rows)} of {total} clips were recognized wrongly" + (
        " in one seed or more" if seeds > 1 else ""
    )
    if probable:
        caption += (
            ", the surest mistake first: by the probability of the class that was predicted"
            + (" (means over the seeds that were wrong)." if seeds > 1 else ".")
        )
    else:
        caption += "; how sure the model was of each is not known."
    if run.images and run.picture:
        caption += f" Pictures: {run.picture}."
    if run.faces:
        caption += " Faces at onset, apex and offset, as the recognizer was told them."
    blocks: list[Block] = [TableBlock(head, rows[:_MISTAKES], caption)]
    if more := rows[_MISTAKES:]:
        blocks.append(
            TableBlock(head, more, "The other mistakes.", folded=f"The other {len(more)}")
        )
    return blocks


def _number(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
