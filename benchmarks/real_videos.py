"""How well the rule-based spotter does on the shared real videos.

    python benchmarks/real_videos.py [--flow NAME] [--save]

Prints truth, predictions and hits per video, and F1 at IoU 0.5 from pooled counts, with the kind
ignored and with the kind required. Rows annotated with low confidence and ignore regions are left
out, and so are predictions whose apex lies in them.

Beside the figure of the constants in force stands the leave-one-clip-out figure: for each clip the
constants of the grid below are chosen on all other clips, and the clip is judged with those. Clips
that show the same recording (three hold the same selfie) are left out together.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common import Report, test_data

from aumer.config import RuleSettings, load_settings
from aumer.evaluation.matching import Judged, count
from aumer.motion.analysis import analyse
from aumer.spotting.rules import RuleSpotter
from aumer.types import KINDS, Counts, Expression, Features, Interval, Kind

IOU = 0.5
#: Constants that the leave-one-clip-out figure chooses; the others are the ones in force.
GRID: dict[str, tuple[float, ...]] = {
    "min_height": (0.003, 0.005, 0.007, 0.01, 0.015),
    "noise_factor": (4.0, 5.0, 6.0),
    "foot": (0.1, 0.15),
    "rest": (0.15, 0.2, 0.3),
    "drift_factor": (3.0, 4.0, 5.0),
}
#: Of the shared test data.
FOLDERS = ("videos", "videos_more")
#: The same recording, re-timed or continued.
SAME = {"face_then_no_face.mov": "selfie_smile.mp4", "no_face_then_face.mov": "selfie_smile.mp4"}


@dataclass(frozen=True)
class Truth:
    """What the annotator saw in one clip; `unsure` are ignore regions and low-confidence rows."""

    expressions: tuple[tuple[Kind, Interval], ...]
    unsure: tuple[Interval, ...]

    def judged(self, spotted: Iterable[Expression]) -> list[Expression]:
        return [e for e in spotted if not any(e.apex in region for region in self.unsure)]

    def counts(self, spotted: Iterable[Expression], *, kinds: bool) -> Judged:
        spotted = list(spotted)
        judged = self.judged(spotted)
        left_out = Judged(left_out=len(spotted) - len(judged))
        if not kinds:
            found = count([e.interval for e in judged], [t for _, t in self.expressions], iou=IOU)
            return left_out + found
        return left_out + Counts.total(
            count(
                [e.interval for e in judged if e.kind == kind],
                [t for k, t in self.expressions if k == kind],
                iou=IOU,
            )
            for kind in KINDS
        )


#: Whether kinds must agree, in words.
WHAT = {False: "kind ignored", True: "kind required"}


def read_truth(path: Path) -> dict[str, Truth]:
    sure: dict[str, list[tuple[Kind, Interval]]] = defaultdict(list)
    unsure: dict[str, list[Interval]] = defaultdict(list)
    files = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = row["file"]
            files.append(name)
            if row["kind"] == "none":
                continue
            interval = Interval(int(row["onset"]), int(row["offset"]))
            if row["kind"] == "ignore" or row["confidence"] == "low":
                unsure[name].append(interval)
            else:
                sure[name].append((row["kind"], interval))  # type: ignore[arg-type]
    return {name: Truth(tuple(sure[name]), tuple(unsure[name])) for name in dict.fromkeys(files)}


def spotted_in(features: Features, rules: RuleSettings) -> tuple[Expression, ...]:
    return RuleSpotter(rules)(features)[1]


def leave_one_out(
    features: Mapping[str, Features],
    truth: Mapping[str, Truth],
    rules: RuleSettings,
    *,
    kinds: bool = False,
) -> dict[str, Counts]:
    """Counts of every clip under the rules' constants chosen without it."""
    runs = []
    for values in itertools.product(*GRID.values()):
        changed = replace(rules, **dict(zip(GRID, values, strict=True)))
        per_clip = {
            name: truth[name].counts(spotted_in(features[name], changed), kinds=kinds)
            for name in truth
        }
        # Of settings that do equally well the one nearest to the middle of the grid is taken.
        middle = sum(
            abs(GRID[key].index(value) - (len(GRID[key]) - 1) / 2) / len(GRID[key])
            for key, value in zip(GRID, values, strict=True)
        )
        runs.append((middle, per_clip))
    return chosen_on_others(runs)


def chosen_on_others(runs: Sequence[tuple[float, Mapping[str, Counts]]]) -> dict[str, Counts]:
    """Counts of every clip in the run that does best on all other clips.

    Args:
        runs: for each setting how far it is from the usual one, which decides between equals, and
            its counts by clip.
    """
    alone = {}
    for name in runs[0][1]:
        group = SAME.get(name, name)

        def others(
            run: tuple[float, Mapping[str, Counts]], group: str = group
        ) -> tuple[float, float]:
            rest = [c for clip, c in run[1].items() if SAME.get(clip, clip) != group]
            return Counts.total(rest).f1, -run[0]

        alone[name] = max(runs, key=others)[1][name]
    return alone


def show(expressions: Iterable[tuple[str, int, int]]) -> str:
    return ", ".join(f"{kind} {onset}-{offset}" for kind, onset, offset in expressions) or "none"


def line(name: str, counts: Counts) -> str:
    text = f"{name:34} TP {counts.tp:2} FP {counts.fp:2} FN {counts.fn:2}"
    left_out = counts.left_out if isinstance(counts, Judged) else 0
    end = f"  (spotted in ignore regions, left out: {left_out})" if left_out else ""
    if not counts.tp + counts.fp + counts.fn:  # is right, and no ratio says so
        return text + "  nothing there, nothing spotted" + end
    figures = (counts.precision, counts.recall, counts.f1)
    return text + "  precision {:.3f} recall {:.3f} F1 {:.3f}".format(*figures) + end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--flow", default=None, help="flow back end (default: the settings')")
    parser.add_argument("--save", action="store_true", help="keep under benchmarks/results/")
    arguments = parser.parse_args()
    overrides = {"motion": {"flow": arguments.flow}} if arguments.flow else None
    settings = load_settings(overrides=overrides)
    motion = settings.motion.preset if not arguments.flow else arguments.flow
    report = Report(f"Rule-based spotter on real videos, motion {motion}, IoU {IOU}")
    features: dict[str, Features] = {}
    truth: dict[str, Truth] = {}
    counts: dict[str, tuple[Counts, Counts]] = {}
    folders: dict[str, list[str]] = {}
    for folder in FOLDERS:
        found = read_truth(test_data() / folder / "annotations.csv")
        truth |= found
        folders[folder] = list(found)
        for name in found:
            analysis = analyse(test_data() / folder / name, settings)
            features[name] = analysis.features
            spotted = spotted_in(analysis.features, settings.rules)
            counts[name] = (
                truth[name].counts(spotted, kinds=False),
                truth[name].counts(spotted, kinds=True),
            )
            report.line(f"{name} (coverage {analysis.track.coverage:.0%})")
            tell(report, truth[name], spotted)
            report.line(line("  kind ignored", counts[name][0]))
    alone = {kinds: leave_one_out(features, truth, settings.rules, kinds=kinds) for kinds in WHAT}
    for folder, names in {**folders, "all": list(truth)}.items():
        report.line()
        report.line(f"{folder}:")
        report.line(line("kind ignored", Counts.total(counts[n][0] for n in names)))
        report.line(line("kind required", Counts.total(counts[n][1] for n in names)))
        for kinds, what in WHAT.items():
            loco = Counts.total(alone[kinds][n] for n in names)
            report.line(line(f"{what}, leave-one-clip-out", loco))
    combinations = math.prod(map(len, GRID.values()))
    report.line(f"({combinations} settings of {', '.join(GRID)}; chosen on all other clips)")
    if arguments.save:
        report.save(f"real_videos-{motion}.txt")


def tell(report: Report, truth: Truth, spotted: Sequence[Expression]) -> None:
    judged = truth.judged(spotted)
    report.line("  truth    " + show((k, t.onset, t.offset) for k, t in truth.expressions))
    report.line("  spotted  " + show((e.kind, e.onset, e.offset) for e in judged))
    if len(judged) < len(spotted):
        left_out = [e for e in spotted if e not in judged]
        report.line("  left out " + show((e.kind, e.onset, e.offset) for e in left_out))


if __name__ == "__main__":
    main()
