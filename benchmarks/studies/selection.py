"""What choosing the epoch on the test subject is worth, of a stored run of `aumer bench`.

    aumer bench sim-casme-sq --data $AUMER_TEST_DATA/annotations --model published \\
        --selection oracle --folds 5 --seeds 0 -o runs/oracle
    python -m benchmarks.studies.selection runs/oracle [--save]

The run trains once and is scored twice: by its last epoch, and by the epoch of each fold that is
best on the fold's test subjects. ``results/selection.json`` is what docs/evidence/selection.md
shows.
"""

from __future__ import annotations

import json
import re

from aumer.bench.run import stored
from aumer.bench.tasks.spotting_result import SpottingResult
from aumer.evaluation.interface import ROWS
from benchmarks.report import RESULTS, Report, options


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("run", metavar="RUN", help="its output folder")
    args = parser.parse_args()
    run = stored(args.run)
    if not (isinstance(run, SpottingResult) and "oracle" in run.selections):
        parser.error(f"{args.run} is no run of spotting with --selection oracle")
    report = Report("What choosing the epoch on the test subject is worth")
    command = re.sub(r"(--data|-o) \S*?(\S+)(?=$| )", _place, run.run.command)
    report.line(f"run: {command}")
    kept: dict[str, object] = {
        "command": command,
        "protocol": run.protocol.title,
        "model": run.run.model,
        "subjects": len(run.reports()[0].subjects),
        "groups": run.protocol.folds if run.protocol.split == "k-fold" else None,
        "seeds": len(run.reports()),
        "epochs": run.run.about["model"]["training"]["epochs"],
        "simulated": run.protocol.datasets[0].startswith("sim-"),
        "chosen_epochs": [f["oracle"]["epoch"] for f in run.folds],
        "versions": run.run.versions,
    }
    for name, kind in ROWS:
        one = {
            "fixed": run.bootstrap(kind, selection="fixed").to_dict(),
            "oracle": run.bootstrap(kind, selection="oracle").to_dict(),
            "gain": run.selection_gain(kind).to_dict(),
        }
        kept[name] = one
        told = (f"{k} {v['value']:.4f} [{v['low']:.4f}, {v['high']:.4f}]" for k, v in one.items())
        report.line(f"{name}: {', '.join(told)}")
    if args.save:
        report.save("selection.txt")
        text = json.dumps(kept, indent=1) + "\n"
        (RESULTS / "selection.json").write_text(text, encoding="utf-8")


def _place(found: re.Match[str]) -> str:
    """Folders of one machine say nothing to a reader."""
    return f"{found[1]} {'$AUMER_TEST_DATA/annotations' if found[1] == '--data' else 'runs/oracle'}"


if __name__ == "__main__":
    main()
