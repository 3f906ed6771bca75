"""What an annotator saw in the shared real clips, and what is spotted held against it."""

from __future__ import annotations

import csv
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from aumer.config import RuleSettings
from aumer.evaluation.matching import Judged, count
from aumer.spotting.rules import RuleSpotter
from aumer.types import KINDS, Counts, Expression, Features, Interval, Kind
from benchmarks.data import test_data

IOU = 0.5
#: Constants that the leave-one-clip-out figure chooses; the others are the ones in force.
GRID: dict[str, tuple[float, ...]] = {
    "min_height": (0.003, 0.005, 0.007, 0.01, 0.015),
    "noise_factor": (4.0, 5.0, 6.0),
    "foot": (0.1, 0.15),
    "rest": (0.15, 0.2, 0.3),
    "drift_factor": (3.0, 4.0, 5.0),
}
#: Folders of the shared test data whose clips are annotated.
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


def read_truth(folder: str) -> dict[str, Truth]:
    """What is annotated in one of `FOLDERS`, by clip."""
    sure: dict[str, list[tuple[Kind, Interval]]] = defaultdict(list)
    unsure: dict[str, list[Interval]] = defaultdict(list)
    files = []
    for row in annotated(folder):
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


def annotated(folder: str) -> list[dict[str, str]]:
    """The rows of one of `FOLDERS`."""
    with (test_data() / folder / "annotations.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def named_expressions() -> Iterator[tuple[str, dict[str, str]]]:
    """The smiles ("positive") and raised brows ("surprise") of ``videos``, each with its row."""
    for row in annotated("videos"):
        aus = row["au"].split("+")
        label = "positive" if "12" in aus else "surprise" if aus[:2] == ["1", "2"] else None
        if row["kind"] in KINDS and label:
            yield label, row


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


def line(name: str, counts: Counts) -> str:
    text = f"{name:34} TP {counts.tp:2} FP {counts.fp:2} FN {counts.fn:2}"
    left_out = counts.left_out if isinstance(counts, Judged) else 0
    end = f"  (spotted in ignore regions, left out: {left_out})" if left_out else ""
    if not counts.tp + counts.fp + counts.fn:  # is right, and no ratio says so
        return text + "  nothing there, nothing spotted" + end
    figures = (counts.precision, counts.recall, counts.f1)
    return text + "  precision {:.3f} recall {:.3f} F1 {:.3f}".format(*figures) + end
