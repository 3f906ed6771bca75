"""The score of a run of spotting: figures by data set, seed and way to choose the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aumer.bench.figure import Figure
from aumer.bench.result import Result
from aumer.bench.submission import challenge, written
from aumer.errors import UsageError
from aumer.evaluation.bootstrap import Difference, Estimate
from aumer.evaluation.interface import ROWS, UNDEFINED, ratios
from aumer.evaluation.legacy import OfficialStrs
from aumer.evaluation.rows import PredictedInterval
from aumer.evaluation.spotting import SpottingReport, f1_of
from aumer.evaluation.strs import StrsReport
from aumer.types import IntArray, Kind

#: Share of usable rows below which a video is named.
LITTLE = 0.5

#: What a selection means, beside the figure it gives.
SELECTIONS = {
    "fixed": "last epoch: nothing chosen on the test subject",
    "inner": "epoch chosen on inner subjects: nothing chosen on the test subject",
    "oracle": "ORACLE: best epoch on the test subject, an upper bound and no result",
}


#: Of a run that has an oracle's figures, where others of its figures stand alone.
_SEEN = "the run's figures by selection oracle, which saw the test subject, are not among these"


@dataclass(frozen=True, eq=False)
class Scored:
    """The predictions of one seed for one data set, and their score.

    Attributes:
        selection: one of `SELECTIONS`.
        report: `None` where there is no truth.
        strs, official: of spot-then-recognize, by our rules and by the organizers' script.
    """

    dataset: str
    seed: int
    selection: str
    predictions: tuple[PredictedInterval, ...]
    report: SpottingReport | None
    strs: StrsReport | None
    official: OfficialStrs | None = None


@dataclass(frozen=True, eq=False)
class SpottingResult(Result[Mapping[str, Any]]):
    """A run of spotting, scored.

    Attributes:
        notes: by data set, what a reader of its scores should know.
    """

    notes: Mapping[str, Sequence[str]]
    scored: tuple[Scored, ...]

    def reports(
        self, dataset: str | None = None, selection: str | None = None
    ) -> list[SpottingReport]:
        """The reports of all seeds for one data set, by default the first, and one selection."""
        dataset = dataset or self.protocol.datasets[0]
        selection = selection or self.selections[0]
        return [
            s.report
            for s in self.scored
            if (s.dataset, s.selection) == (dataset, selection) and s.report is not None
        ]

    @property
    def selections(self) -> tuple[str, ...]:
        """The honest one first."""
        return tuple(dict.fromkeys(s.selection for s in self.scored))

    def figure(
        self,
        kind: Kind | None = None,
        dataset: str | None = None,
        selection: str | None = None,
    ) -> Figure:
        """The F1 of one kind or of both, for one data set (the first) and one selection.

        Raises:
            UsageError: the data set's truth is not known.
        """
        reports = self.reports(dataset, selection)
        if not reports:
            raise UsageError("there is no score: the truth of these videos is not known")
        subjects = reports[0].subjects
        rows = [
            [[c.tp, c.fp, c.fn] for r in reports for c in [r.counts(kind, subject=subject)]]
            for subject in subjects
        ]
        return spotting_figure(subjects, np.array(rows, np.int64))

    def f1(self, kind: Kind | None = None, dataset: str | None = None) -> float:
        """Mean over seeds of the pooled F1."""
        return self.figure(kind, dataset).value

    def bootstrap(
        self,
        kind: Kind | None = None,
        dataset: str | None = None,
        *,
        selection: str | None = None,
        replicates: int = 2000,
    ) -> Estimate:
        """That mean with its 95 % interval over resampled subjects: see `Figure`."""
        return self.figure(kind, dataset, selection).bootstrap(replicates=replicates)

    def compare(
        self,
        other: SpottingResult,
        kind: Kind | None = None,
        dataset: str | None = None,
        *,
        replicates: int = 2000,
    ) -> Difference:
        """This mean F1 less the other's, on the same resamples of subjects: see `Figure`."""
        return self.figure(kind, dataset).compare(
            other.figure(kind, dataset), replicates=replicates
        )

    def selection_gain(
        self, kind: Kind | None = None, dataset: str | None = None, *, replicates: int = 2000
    ) -> Difference:
        """What choosing the epoch on the test subject adds to the last epoch's mean F1, on the same
        resamples of subjects: see `Figure`.

        Raises:
            UsageError: the run chose none so (selection "oracle").
        """
        if "oracle" not in self.selections:
            raise UsageError('only a run with selection "oracle" knows what that is worth')
        honest = self.figure(kind, dataset, "fixed")
        return self.figure(kind, dataset, "oracle").compare(honest, replicates=replicates)

    def compared_figures(self) -> dict[tuple[str, str], Figure]:
        return {
            (dataset, name): self.figure(kind, dataset)
            for dataset in self.protocol.datasets
            for name, kind in ROWS
        }

    def chosen_on(self) -> str:
        if self.about["model"]["trained"] != "on every fold":
            return "nothing is trained on these data"
        words = SELECTIONS[self.selections[0]]
        return words if "oracle" not in self.selections else f"{words}; {_SEEN}"

    def remarks(self) -> tuple[str, ...]:
        return tuple(f"selection {s}: {SELECTIONS[s]}" for s in self.selections if s == "oracle")

    # -- output -------------------------------------------------------------------------------

    def figures(self) -> dict[str, Any]:
        return {
            "scores": [
                {
                    "dataset": s.dataset,
                    "seed": s.seed,
                    "selection": s.selection,
                    "selection_means": SELECTIONS[s.selection],
                    "predictions": len(s.predictions),
                    **({"report": s.report.to_dict()} if s.report else {}),
                    **({"strs": s.strs.to_dict()} if s.strs else {}),
                    **({"strs_official": s.official.to_dict()} if s.official else {}),
                }
                for s in self.scored
            ],
            "summary": self._summary(),
            **({"selection_gain": gains} if (gains := self._gains()) else {}),
            "notes": {name: list(notes) for name, notes in self.notes.items()},
            "seconds": round(sum(f["seconds"] for f in self.folds), 1),
        }

    def fold_facts(self, fold: Mapping[str, Any]) -> dict[str, Any]:
        found = {k: v for k, v in fold.items() if k not in ("predictions", "oracle", "format")}
        if fold["oracle"]:
            best = {k: v for k, v in fold["oracle"].items() if k != "predictions"}
            found["oracle"] = {**_means("oracle"), **best}
        return found

    def _summary(self) -> list[dict[str, Any]]:
        """Mean and deviation over seeds, the interval over subjects, and what seeds range over
        where that is more."""
        found = []
        for dataset, selection in self._groups():
            reports = self.reports(dataset, selection)
            if not reports:
                continue
            one: dict[str, Any] = {
                "dataset": dataset,
                "selection": selection,
                "seeds": len(reports),
                **_means(selection),
            }
            for name, kind in ROWS:
                shares = [ratios(r.counts(kind))[2] for r in reports]
                values = [f1 for f1 in shares if f1 is not None]
                if not values:  # there was nothing, and nothing was predicted
                    one[name] = {"f1_mean": None, "f1_sd": None}
                    continue
                one[name] = {
                    "f1_mean": float(np.mean(values)),
                    "f1_sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                }
                figure = self.figure(kind, dataset, selection)
                if len(reports[0].subjects) > 1:
                    estimate = figure.bootstrap()
                    one[name] |= {"low": estimate.low, "high": estimate.high, "level": 0.95}
                spread = figure.spread()
                if spread is not None and spread.over == "seeds":
                    # The interval over subjects would say too little of another training.
                    one[name] |= {"seeds_low": spread.low, "seeds_high": spread.high}
            found.append(one)
        return found

    def _gains(self) -> list[dict[str, Any]]:
        """By data set, what an epoch chosen on the test subject adds; none in an honest run."""
        found: list[dict[str, Any]] = []
        for dataset in self.protocol.datasets if "oracle" in self.selections else ():
            reports = self.reports(dataset)
            if not reports or len(reports[0].subjects) < 2:
                continue
            gains = {
                name: self.selection_gain(kind, dataset).to_dict()
                for name, kind in ROWS
                if reports[0].counts(kind).tp + reports[0].counts(kind).fn
            }
            found.append({"dataset": dataset, **_means("oracle"), **gains})
        return found

    def _groups(self) -> list[tuple[str, str]]:
        return list(dict.fromkeys((s.dataset, s.selection) for s in self.scored))

    def tables(self) -> list[str]:
        if any(s.report for s in self.scored):
            lines = self._score_lines()
        else:
            lines = [
                f"- {s.dataset}, seed {s.seed}: {len(s.predictions)} expressions; no truth to score"
                for s in self.scored
            ]
        for one in self._gains():
            told = ", ".join(
                f"{name} {one[name]['value']:+.4f} [{one[name]['low']:+.4f}, "
                f"{one[name]['high']:+.4f}]"
                for name, _ in ROWS
                if name in one
            )
            lines += [
                "",
                f"{one['dataset']}: choosing the epoch on the test subject adds to F1: {told} "
                "(95 % intervals over the same resamples of subjects). That is no improvement: it "
                "is what a figure chosen so promises too much.",
            ]
        strs = [s for s in self.scored if s.strs]
        if strs:
            lines += [
                "",
                "| data set | seed | selection | STRS | spotting F1 (micro) | recognition UF1 "
                "| STRS of the organizers' script | its F1 of spotting | of recognition |",
                "|---|---|---|---|---|---|---|---|---|",
            ]
            for s in strs:
                assert s.strs is not None and s.official is not None
                figures = (
                    *(s.strs.strs, s.strs.spotting_f1, s.strs.recognition_f1),
                    *(s.official.strs, s.official.spotting.f1, s.official.f1),
                )
                cells = " | ".join(f"{x:.4f}" for x in figures)
                lines.append(f"| {s.dataset} | {s.seed} | {s.selection} | {cells} |")
        lines += ["", *(f"- selection {s}: {SELECTIONS[s]}" for s in self.selections)]
        return [*lines, *self._made_of()]

    def may_move(self) -> tuple[str, ...]:
        found = []
        for s in self.scored:
            if s.report is None:
                continue
            rows = []
            for name, kind in ROWS:
                fewest, most = s.report.one_frame_off(kind)
                if fewest != most:
                    rows.append(f"{name} F1 {fewest.f1:.4f} to {most.f1:.4f}")
            where = f"{s.dataset}, seed {s.seed}, {s.selection}"
            found.append(
                f"{where}: {', '.join(rows)}, if each predicted end is up to one frame off"
                if rows
                else f"{where}: no row, even if each predicted end is one frame off"
            )
        if found and self.about["model"]["trained"] == "on every fold":
            found.append("all rows by more than that, as weights differ there too")
        return tuple(found)

    def submissions(self) -> dict[str, str]:
        first = self.protocol.submission_first_frame
        spotting = self.protocol.kind == "spotting"
        asked = challenge("megc2022" if spotting else "megc2025")
        return {
            f"submission-{source}-seed-{s.seed}.csv": written(
                asked, [p for p in s.predictions if p.subject == source], first
            )
            for s in self.scored
            if s.report is None
            for source in sorted({p.subject for p in s.predictions})
        }

    def _score_lines(self) -> list[str]:
        lines = [
            "| data set | seed | selection | macro TP/FP/FN | F1 | micro TP/FP/FN | F1 "
            "| overall TP/FP/FN | F1 | left out |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for s in self.scored:
            if s.report is None:
                continue
            cells = [s.dataset, str(s.seed), s.selection]
            for _, kind in ROWS:
                c = s.report.counts(kind)
                f1 = ratios(c)[2]
                cells += [f"{c.tp}/{c.fp}/{c.fn}", UNDEFINED if f1 is None else f"{f1:.4f}"]
            cells.append(s.report.left_out())
            lines.append("| " + " | ".join(cells) + " |")
        lines += [
            "",
            "| data set | selection | mean F1 of seeds | macro | micro | overall "
            "| overall between |",
            "|---|---|---|---|---|---|---|",
        ]
        for one in self._summary():
            cells = [one["dataset"], one["selection"], f"{one['seeds']}"]
            for name, _ in ROWS:
                mean, sd = one[name]["f1_mean"], one[name]["f1_sd"]
                cells.append(UNDEFINED if mean is None else f"{mean:.4f}")
                cells[-1] += f" ± {sd:.4f}" if sd else ""
            known = one["overall"]["f1_mean"] is not None
            figure = self.figure(None, one["dataset"], one["selection"])
            spread = figure.spread() if known else None
            cells.append("-" if spread is None else str(spread))
            lines.append("| " + " | ".join(cells) + " |")
        return lines

    def _made_of(self) -> list[str]:
        reports = [s.report for s in self.scored if s.report]
        lines = [f"- {name}: {note}" for name, notes in self.notes.items() for note in notes]
        if reports:
            lines.append(f"- rules: {reports[0].describe()}")
        if reports and len(reports[0].subjects) > 1:
            lines.append(
                "- overall between: 95 % interval over 2000 resamples of the subjects, seed 0; "
                "where seeds lie further apart, the least and the largest of theirs"
            )
        model = self.about["model"]
        lines.append(f"- split: {self.protocol.split}; model trained {model['trained']}")
        if "prior" in model:
            counted = f", counted by the map {model['au_map']!r}" if "au_map" in model else ""
            lines.append(
                f"- prior: {model['prior']}{counted}; decoder: {model['decoder']}; "
                f"{model['training']['epochs']} epochs, {model['training']['samples']}, "
                f"network {model['training']['net']}"
            )
        graphs = dict.fromkeys(
            (f["model"]["graph"][:12], f["fold"]) for f in self.folds if "graph" in f["model"]
        )
        if graphs:
            every = list(dict.fromkeys(g for g, _ in graphs))
            named = ", ".join(f"{g} ({fold})" for g, fold in graphs)
            lines.append(f"- graph digests: {every[0] if len(every) == 1 else named}")
        unseen = [
            f"{name} ({share:.0%})"
            for name, share in {k: s for f in self.folds for k, s in f["coverage"].items()}.items()
            if share < LITTLE
        ]
        if unseen:
            lines.append(
                f"- videos with a usable face less than half the time: {', '.join(unseen)}"
            )
        minutes = sum(f["seconds"] for f in self.folds) / 60
        if self.folds:
            lines.append(
                f"- {len(self.folds)} folds, {minutes:.1f} minutes in all, without features"
            )
        return lines


def _means(selection: str) -> dict[str, str]:
    """What a document says beside each figure that is no result."""
    return {"selection_means": SELECTIONS[selection]} if selection == "oracle" else {}


def spotting_figure(subjects: Sequence[str], counts: IntArray) -> Figure:
    """The F1 of (subjects, seeds, 3) TP, FP and FN."""
    return Figure(tuple(subjects), counts, counts[:, 0, 0] + counts[:, 0, 2], f1_of)
