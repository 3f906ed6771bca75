"""The sections of a report on spotting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.evaluation.bootstrap import Estimate, interval
from aumer.evaluation.interface import ROWS, UNDEFINED, ratios
from aumer.evaluation.matching import match_matrix
from aumer.evaluation.rows import Case, PredictedInterval, VideoKey, prepare
from aumer.evaluation.spotting import SpottingReport, f1_of
from aumer.report import figures as figures
from aumer.report.curves import PrecisionRecall, precision_recall
from aumer.report.page import Block, Cell, Drawing, LeftOut, Section, TableBlock, Text
from aumer.report.parts import made_of, published
from aumer.report.runs import Spotted, SpottingRun
from aumer.types import KINDS, Counts, IntArray, Kind

Floats = npt.NDArray[np.float64]

#: Number of videos with a strip: those with the most mistakes.
_STRIPS = 10
#: Index of F1 in `ratios`.
_F1 = 2


def spotting_facts(run: SpottingRun) -> list[str]:
    """Short lines for the top of the page."""
    facts = [f"Model: {run.about.model}"]
    for group in _groups(run):
        if not group.reports:
            facts.append(f"{group.dataset}: no truth to score")
            continue
        estimates = [f"{name} {group.text(kind)}" for name, kind in ROWS]
        truths = ", ".join(f"{n} {name}" for name, n in group.reports[0].truths.items())
        label = "" if group.honest else "; CHOSEN ON THE TEST SUBJECT"
        facts.append(f"{group.dataset}: F1 {', '.join(estimates)} ({group.selection}{label})")
        facts.append(
            f"{group.dataset}: {len(group.reports[0].videos)} videos of "
            f"{len(group.reports[0].subjects)} subjects; truths: {truths}; left out: "
            f"{_of_seeds([report.left_out() for report in group.reports])}"
        )
    return list(dict.fromkeys(facts))


def spotting_sections(run: SpottingRun) -> list[Section]:
    """The sections on spotting by data set; an empty one says why.

    Raises:
        UsageError: nothing was run, or there are rows that cannot be scored.
    """
    groups = _groups(run)
    if not groups:
        raise UsageError("there is nothing to report: no data set was spotted in")
    sections = [Section("Scores", [block for g in groups for block in _scores(g)])]
    drawn = list({g.dataset: g for g in reversed(groups)}.values())[::-1]  # the honest one
    for group in drawn:
        name = f": {group.dataset}" if len(drawn) > 1 else ""
        key = f"-{group.dataset}" if len(drawn) > 1 else ""
        if not group.reports:
            why = "the truth of these videos is not known, so that nothing can be compared."
            sections.append(Section(f"Figures{name}", [LeftOut(why)]))
            continue
        sections += [
            Section(f"Precision and recall{name}", [_precision_recall(group, key)]),
            Section(f"Overlap of predictions and truths{name}", [_overlaps(group, key)]),
            Section(f"Errors of onset and offset{name}", [_errors(group, key)]),
            Section(f"Lengths of what was found and missed{name}", [_lengths(group, key)]),
            Section(f"The videos with the most mistakes{name}", [_strips(group, key)]),
        ]
    if any(one.recognition or one.strs is not None for one in run.spotted):
        sections.append(Section("Recognition of what was spotted", list(_recognized(run.spotted))))
    return [*sections, *published(run.about), made_of(run.about, run.chosen)]


@dataclass(frozen=True, eq=False)
class _Group:
    """The seeds of one data set and selection."""

    dataset: str
    selection: str
    honest: bool
    seeds: tuple[Spotted, ...]

    @cached_property
    def reports(self) -> tuple[SpottingReport, ...]:
        return tuple(one.report for one in self.seeds if one.report is not None)

    @cached_property
    def outcomes(self) -> tuple[Outcomes, ...]:
        """By seed."""
        return tuple(outcomes(one) for one in self.seeds)

    def counts(self, kind: Kind | None, subject: str | None = None) -> list[Counts]:
        """By seed."""
        return [report.counts(kind, subject=subject) for report in self.reports]

    def estimate(self, kind: Kind | None, score: Callable[[IntArray], Floats]) -> Estimate | None:
        """Mean over seeds with its interval over subjects; `None` for one subject."""
        subjects = self.reports[0].subjects
        if len(subjects) < 2:
            return None
        counts = np.array(
            [[[c.tp, c.fp, c.fn] for c in self.counts(kind, subject)] for subject in subjects],
            np.int64,
        )

        def mean(counts: IntArray) -> Floats:
            averaged: Floats = np.mean([score(counts[:, k]) for k in range(counts.shape[1])], 0)
            return averaged

        return interval(counts, mean, replicates=2000, level=0.95, seed=0)

    def mean(self, kind: Kind | None, what: int) -> float | None:
        """Mean over seeds of one of `ratios`; `None` for 0 / 0."""
        found = [ratio for c in self.counts(kind) if (ratio := ratios(c)[what]) is not None]
        return float(np.mean(found)) if found else None

    def text(self, kind: Kind | None) -> str:
        mean = self.mean(kind, _F1)
        if mean is None:
            return UNDEFINED
        found = self.estimate(kind, f1_of)
        return f"{mean:.4f}" if found is None else str(found)


def _groups(run: SpottingRun) -> list[_Group]:
    """Groups of each data set, with honest selection first."""
    names = list(dict.fromkeys((s.dataset, s.selection, s.honest) for s in run.spotted))
    order = list(dict.fromkeys(s.dataset for s in run.spotted))
    names.sort(key=lambda one: (order.index(one[0]), not one[2]))
    return [
        _Group(*name, tuple(s for s in run.spotted if (s.dataset, s.selection, s.honest) == name))
        for name in names
    ]


# -- tables ---------------------------------------------------------------------------------------


def _precision(counts: IntArray) -> Floats:
    return _share(counts[:, 0], counts[:, 0] + counts[:, 1])


def _recall(counts: IntArray) -> Floats:
    return _share(counts[:, 0], counts[:, 0] + counts[:, 2])


def _share(part: IntArray, whole: IntArray) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _scores(group: _Group) -> Iterator[Block]:
    text = group.dataset if group.honest else f"{group.dataset}, CHOSEN ON THE TEST SUBJECT"
    if not group.reports:
        made = ", ".join(f"{len(one.predictions)} (seed {one.seed})" for one in group.seeds)
        yield Text(f"{text}: {made} expressions spotted; there is no truth to score them by.")
        return
    rows: list[list[Cell]] = []
    for name, kind in ROWS:
        for one, counts in zip(group.seeds, group.counts(kind), strict=True):
            row: list[Cell] = [name]
            if len(group.seeds) > 1:
                row.append(one.seed)
            assert one.report is not None
            shares, left_out = ratios(counts), one.report.left_out(kind)
            rows.append([*row, counts.tp, counts.fp, counts.fn, *shares, left_out])
    seeds = ["seed"] if len(group.seeds) > 1 else []
    yield TableBlock(
        ("kind", *seeds, "TP", "FP", "FN", "precision", "recall", "F1", "left out"),
        rows,
        f"{text}: {group.selection}. Counts are pooled over all videos and divided once. "
        f"Rules: {group.reports[0].describe()}.",
    )
    intervals: list[list[Cell]] = []
    for name, kind in ROWS:
        texts: list[Cell] = []
        for what, measure in enumerate((_precision, _recall, f1_of)):
            mean, e = group.mean(kind, what), group.estimate(kind, measure)
            if mean is None or e is None:
                texts.append(mean if mean is None else f"{mean:.4f}")
            else:
                texts.append(f"{mean:.4f} [{e.low:.4f}, {e.high:.4f}]")
        intervals.append([name, *texts])
    over = f"Means over {len(group.seeds)} seeds" if len(group.seeds) > 1 else "The same"
    yield TableBlock(
        ("kind", "precision [95 %]", "recall [95 %]", "F1 [95 %]"),
        intervals,
        f"{text}: {over[0].lower()}{over[1:]}, with 95 % intervals of 2000 resamples of the "
        "subjects; one subject alone has no interval.",
    )
    yield _by_subject(group, text)


def _of_seeds(texts: Sequence[str]) -> str:
    """One text if all seeds have the same."""
    return texts[0] if len(set(texts)) == 1 else "; ".join(texts) + " (by seed)"


def _by_subject(group: _Group, said: str) -> TableBlock:
    rows: list[tuple[float, list[Cell]]] = []
    for subject in group.reports[0].subjects:
        cells: list[Cell] = [subject]
        for _, kind in ROWS:
            counts = group.counts(kind, subject)
            mean = [float(np.mean([getattr(c, w) for c in counts])) for w in ("tp", "fp", "fn")]
            cells.append(" / ".join(f"{x:.3g}" for x in mean))
            cells.append(float(np.mean([c.f1 for c in counts])) if sum(mean) else None)
        rows.append((2.0 if cells[-1] is None else float(str(cells[-1])), cells))
    rows.sort(key=lambda row: row[0])
    more = f", means over {len(group.seeds)} seeds" if len(group.seeds) > 1 else ""
    return TableBlock(
        ("subject", *(head for name, _ in ROWS for head in (f"{name} TP / FP / FN", "F1"))),
        [cells for _, cells in rows],
        f"{said}: by subject{more}, the lowest overall F1 first.",
        folded=f"By subject ({len(rows)})",
    )


# -- what became of each truth and prediction ------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The matching of one seed by case: hits, misses and false positives.

    Attributes:
        hits: (prediction, truth) of each case.
    """

    cases: tuple[Case, ...]
    hits: tuple[tuple[tuple[int, int], ...], ...]
    fps: dict[VideoKey, float | None]

    @cached_property
    def unit(self) -> tuple[str, bool]:
        """The unit of times, and whether all frame rates are known: ms and True, else frames."""
        known = all(self.fps.values())
        return ("ms" if known else "frames"), known

    @property
    def frame(self) -> float:
        """The longest frame duration of all videos, in seconds; 1 if the unit is frames."""
        return max(self.seconds(key) for key in self.fps)

    def seconds(self, key: VideoKey) -> float:
        """Seconds of a frame; 1 if the unit is frames."""
        rate = self.fps[key]
        return 1 / rate if self.unit[1] and rate else 1.0


def outcomes(one: Spotted) -> Outcomes:
    """Match as in the report.

    Raises:
        UsageError: the rows differ from those of the report.
    """
    report = one.report
    assert report is not None
    s = report.settings
    # The report has checked the totals.
    rules = replace(s, expect_macro=None, expect_micro=None)
    cases = prepare(one.predictions, one.truths, report.videos, rules).cases
    hits = []
    for case in cases:
        overlap = case.overlaps(s.ends)
        good = overlap >= s.iou if s.comparison == ">=" else overlap > s.iou
        hits.append(tuple(match_matrix(overlap, good)) if overlap.size else ())
    if sum(map(len, hits)) != report.counts().tp:
        raise UsageError(
            f"{one.dataset}, seed {one.seed}: the report counts {report.counts().tp} hits, and its "
            f"rows give {sum(map(len, hits))}; score the run again"
        )
    return Outcomes(cases, tuple(hits), {v.key: v.fps for v in report.videos})


def _by_kind(values: dict[Kind, list[float]]) -> dict[Kind, Floats]:
    return {kind: np.array(own, np.float64) for kind, own in values.items()}


def _pooled(group: _Group) -> str:
    return f" The {len(group.seeds)} seeds are pooled." if len(group.seeds) > 1 else ""


def _precision_recall(group: _Group, key: str) -> Block:
    s = group.reports[0].settings
    curves: dict[str, list[PrecisionRecall]] = {}
    for name, kind in ROWS:
        for one in group.outcomes:
            cases = [c for c in one.cases if kind is None or c.kind == kind]
            if any(c.predictions for c in cases) and any(c.truths for c in cases):
                curve = precision_recall(cases, iou=s.iou, comparison=s.comparison, ends=s.ends)
                curves.setdefault(name, []).append(curve)
    if not curves:
        return LeftOut("nothing was spotted where there was something to spot.")
    if max(len(c.thresholds) for own in curves.values() for c in own) < 2:
        return LeftOut("all predictions carry the same score, so that there is no threshold.")
    ends = "; ".join(
        f"{name} {c.precision[-1]:.3f} and {c.recall[-1]:.3f}"
        for name, own in curves.items()
        for c in own[:1]
    )
    return Drawing(
        f"precision-recall{key}",
        figures.precision_recall_curves(curves),
        "Precision and recall of the predictions whose score is at least a threshold; along a "
        "curve, from the left, the threshold falls. The mark at its end is the run itself, where "
        "all stored predictions count: what lay below the run's own threshold was never stored. "
        "Gray lines join points of one F1. Thresholds on these curves were not chosen, and one "
        f"picked here would be picked on the test subjects. At the marks, precision and recall: "
        f"{ends}." + (" A curve for each seed." if len(group.seeds) > 1 else ""),
        f"Precision-recall curves by score threshold. At their ends: {ends}.",
    )


def _overlaps(group: _Group, key: str) -> Block:
    hits: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    misses: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    ends = group.reports[0].settings.ends
    for one in group.outcomes:
        for case, own in zip(one.cases, one.hits, strict=True):
            overlap = case.overlaps(ends)
            matched = {t: float(overlap[p, t]) for p, t in own}
            hits[case.kind] += matched.values()
            misses[case.kind] += [
                float(overlap[:, t].max(initial=0))
                for t in range(len(case.truths))
                if t not in matched
            ]
    if not any(map(len, (*hits.values(), *misses.values()))):
        return LeftOut("there is no truth.")
    sweep = {
        name: {
            iou: float(np.mean([r.counts(kind, iou=iou).f1 for r in group.reports]))
            for iou in group.reports[0].sweep(kind)
        }
        for name, kind in ROWS
    }
    nothing = {k: sum(v == 0 for v in own) for k, own in misses.items()}
    text = ", ".join(f"{n} {kind}" for kind, n in nothing.items())
    found = ", ".join(f"{kind} {np.median(own):.2f}" for kind, own in hits.items() if own)
    return Drawing(
        f"overlap{key}",
        figures.overlaps(_by_kind(hits), _by_kind(misses), group.reports[0].settings.iou, sweep),
        "Left: every truth once, by its IoU with the prediction that found it (full), or, if it "
        "was missed, the largest IoU that any prediction of its kind has with it (hatched): those "
        "just left of the line were nearly found, those at 0 not at all "
        f"({text}). A truth right of the line can be missed where its prediction found another. "
        "Right: F1 by the IoU that is asked for, matched anew at each."
        + (f" Median IoU of hits: {found}." if found else "")
        + _pooled(group),
        f"IoU of truths with predictions. Missed without any overlap: {text}."
        + (f" Median of hits: {found}." if found else ""),
    )


def _errors(group: _Group, key: str) -> Block:
    by_end: dict[str, dict[Kind, list[float]]] = {
        end: {kind: [] for kind in KINDS} for end in ("onset", "offset")
    }
    unit = group.outcomes[0].unit[0]
    for one in group.outcomes:
        for case, own in zip(one.cases, one.hits, strict=True):
            scale = one.seconds(case.key) * (1000 if unit == "ms" else 1)
            for p, t in own:
                made, true = case.predictions[p], case.truths[t]
                by_end["onset"][case.kind].append((made.onset - true.onset) * scale)
                if true.offset is not None:  # a value filled in by a policy is not a truth
                    by_end["offset"][case.kind].append((made.offset - true.offset) * scale)
    drawn = {end: _by_kind(own) for end, own in by_end.items() if any(map(len, own.values()))}
    if not drawn:
        return LeftOut("there is no hit whose ends could be compared.")
    text = "; ".join(
        f"{end} of {kind} {figures.signed(float(np.median(values)))} {unit}"
        for end, own in drawn.items()
        for kind, values in own.items()
        if len(values)
    )
    return Drawing(
        f"errors{key}",
        figures.errors(drawn, unit, group.outcomes[0].frame * (1000 if unit == "ms" else 1)),
        "How far the ends of the hits are off: left of 0 a prediction begins (ends) too early, "
        "right of it too late. Misses are not in it, so that a spotter that finds only the easy "
        f"ones looks exact. The outermost bars hold what lies beyond. Medians: {text}."
        + _pooled(group),
        f"Histograms of onset and offset errors of the hits. Medians: {text}.",
    )


def _lengths(group: _Group, key: str) -> Block:
    found: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    missed: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    last = int(group.reports[0].settings.ends == "closed")
    in_seconds = group.outcomes[0].unit[1]
    for one in group.outcomes:
        for case, own in zip(one.cases, one.hits, strict=True):
            right = {t for _, t in own}
            for t, (truth, offset) in enumerate(zip(case.truths, case.offsets, strict=True)):
                if offset is not None:
                    length = (offset - truth.onset + last) * one.seconds(case.key)
                    (found if t in right else missed)[case.kind].append(length)
    if not any(map(len, (*found.values(), *missed.values()))):
        return LeftOut("there is no truth whose length is known.")
    text = "; ".join(
        f"{kind} {len(found[kind])} of {len(found[kind]) + len(missed[kind])} found"
        for kind in reversed(KINDS)
        if found[kind] or missed[kind]
    )
    return Drawing(
        f"lengths{key}",
        figures.lengths(
            _by_kind(found),
            _by_kind(missed),
            "s" if in_seconds else "frames",
            group.outcomes[0].frame,
        ),
        "Truths by their length: found (full) and missed (hatched); above each bar the share that "
        f"was found. The scales of the two kinds differ. {text}." + _pooled(group),
        f"Lengths of truths found and missed: {text}.",
    )


def _strips(group: _Group, key: str) -> Block:
    one, seed = group.outcomes[0], group.seeds[0].seed
    report = group.reports[0]
    videos: dict[VideoKey, tuple[list[figures.Bar], list[figures.Bar]]] = {}
    totals: dict[VideoKey, Counts] = {}
    for case, own in zip(one.cases, one.hits, strict=True):
        scale = one.seconds(case.key)
        truths, predictions = videos.setdefault(case.key, ([], []))
        right_p, right_t = {p for p, _ in own}, {t for _, t in own}
        for t, (truth, offset) in enumerate(zip(case.truths, case.offsets, strict=True)):
            end = truth.onset if offset is None else offset
            truths.append(
                figures.Bar(case.kind, truth.onset * scale, (end + 1) * scale, t in right_t)
            )
        for p, made in enumerate(case.predictions):
            predictions.append(_bar(made, scale, matched=p in right_p))
        hits = len(own)
        totals[case.key] = totals.get(case.key, Counts()) + Counts(
            hits, len(case.predictions) - hits, len(case.truths) - hits
        )
    order = sorted(totals, key=lambda k: (-(totals[k].fp + totals[k].fn), totals[k].tp))
    worst = [k for k in order if totals[k].fp + totals[k].fn][:_STRIPS]
    if not worst:
        return Text("None: every expression was found, and nothing else.")
    drawn = [
        figures.Strip(
            name if name.startswith(subject) else f"{subject} / {name}",
            "{0.tp} TP  {0.fp} FP  {0.fn} FN".format(totals[subject, name]),
            *map(tuple, videos[subject, name]),
        )
        for subject, name in worst
    ]
    without = sum(not totals[v.key].fp + totals[v.key].fn for v in report.videos)
    text = ", ".join(f"{v.name} ({v.score})" for v in drawn)
    return Drawing(
        f"videos{key}",
        figures.strips(drawn, "s" if one.unit[1] else "frames"),
        f"The {len(drawn)} videos with the most misses and false predictions, of "
        f"{len(report.videos)} ({without} have none). Above each line what was annotated, below it "
        "what was predicted; a cross above is a miss, one below is false. A line ends with the "
        "last expression of all, not with its video."
        + (f" Seed {seed} alone is shown." if len(group.seeds) > 1 else ""),
        f"Truth against prediction over time of the worst videos: {text}.",
    )


def _bar(made: PredictedInterval, scale: float, *, matched: bool) -> figures.Bar:
    # A published method's interval may start before the video.
    begin = max(0, made.onset)
    return figures.Bar(made.kind, begin * scale, max(begin + 1, made.offset + 1) * scale, matched)


# -- spot, then recognize -------------------------------------------------------------------------


def _recognized(spotted: Sequence[Spotted]) -> Iterator[Block]:
    rows: list[list[Cell]] = []
    for one in spotted:
        r = one.recognition
        rows.append([one.dataset, one.seed, one.selection, one.strs])
        rows[-1] += [r.uf1, r.uar, int(r.table.sum())] if r else [None, None, 0]
    yield TableBlock(
        ("data set", "seed", "selection", "STRS", "UF1", "UAR", "expressions"),
        rows,
        "The spot-then-recognize score (STRS) is the F1 of spotting times the UF1 of recognition. "
        "Only what was spotted is recognized: the number of those stands last.",
    )
    for one in spotted:
        if one.recognition is None or not one.honest:
            continue
        r = one.recognition
        diagonal = ", ".join(f"{n} {r.confusion[k, k]}" for k, n in enumerate(r.classes))
        yield Drawing(
            f"confusion-{one.dataset}-seed-{one.seed}",
            figures.confusion(r.classes, r.confusion),
            f"{one.dataset}, seed {one.seed}: true classes by row, predicted ones by column, of "
            "what was spotted. Left: counts; right: share of the row.",
            f"Confusion matrix of the spotted expressions. Recognized: {diagonal}.",
        )
