"""How well the rule-based spotter does on the shared real videos.

    python -m benchmarks.accuracy.real_videos [--flow NAME] [--save]

Prints truth, predictions and hits per video, and F1 at IoU 0.5 from pooled counts, with the kind
ignored and with the kind required. Rows annotated with low confidence and ignore regions are left
out, and so are predictions whose apex lies in them.

Beside the figure of the constants in force stands the leave-one-clip-out figure: for each clip the
constants of the grid below are chosen on all other clips, and the clip is judged with those. Clips
that show the same recording (three hold the same selfie) are left out together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from aumer.config import load_settings
from aumer.motion.analysis import analyze
from aumer.types import Counts, Expression, Features
from benchmarks.data import test_data
from benchmarks.report import Report, options
from benchmarks.truth import (
    FOLDERS,
    GRID,
    IOU,
    WHAT,
    Truth,
    leave_one_out,
    line,
    read_truth,
    spotted_in,
)


def show(expressions: Iterable[tuple[str, int, int]]) -> str:
    return ", ".join(f"{kind} {onset}-{offset}" for kind, onset, offset in expressions) or "none"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--flow", default=None, help="flow back end (default: the settings')")
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
        found = read_truth(folder)
        truth |= found
        folders[folder] = list(found)
        for name in found:
            analysis = analyze(test_data() / folder / name, settings)
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
