"""How fast networks train: one fold on one thread, and what all folds of a protocol come to.

    python -m benchmarks.speed.training [--protocol NAME] [--full PRESET] [--save]

Without --full one fold of each preset is trained for a few epochs, and the time of all folds on two
cores is extrapolated. --full runs all folds and epochs of one preset through the runner, two
processes at a time, in a temporary folder, and prints the real time and the score.
"""

from __future__ import annotations

import tempfile
import time

import torch

from aumer.bench import protocol
from aumer.bench.models import Trainable
from aumer.bench.run import run
from aumer.bench.split import plan
from aumer.bench.task import Options
from aumer.bench.tasks.spotting import Spotting
from aumer.bench.workers import Workers
from benchmarks.data import test_data
from benchmarks.report import Report, options

EPOCHS = 6  # the first is left out, as it warms up
WORKERS = 2


def one_fold(report: Report, which: str, name: str) -> None:
    """Epochs a second of the first fold, and the extrapolation."""
    from aumer.training.loop import train

    found = protocol.load(which)
    task = Spotting(found, name, Options(overrides={"epochs": EPOCHS}))
    model, whole = task.model, Spotting(found, name, Options()).model
    assert isinstance(model, Trainable) and isinstance(whole, Trainable)
    truth = task.open({which: test_data() / "annotations"}, Workers(), None)
    entries = task.prepare(truth, Workers(), None)
    folds = plan(found, entries.subject_keys)
    work = task.work(folds[0], entries, Workers())
    torch.set_num_threads(1)
    marks = [_now()]
    with tempfile.TemporaryDirectory() as folder:
        train(
            work.train,
            model.settings,
            seed=0,
            checkpoint=f"{folder}/checkpoint.safetensors",  # the runner writes one, too
            callbacks=[lambda _: marks.append(_now())],
        )
    end = _now()
    minutes = sum(len(v.features) / v.features.rate for v in work.train) / 60
    report.line(f"{name}: one of {len(folds)} folds, {len(work.train)} videos, {minutes:.0f} min")
    epochs = whole.settings.epochs
    for k, clock in enumerate(("wall clock", "CPU time")):
        per_epoch = (marks[-1][k] - marks[1][k]) / (EPOCHS - 1)
        around = marks[1][k] - marks[0][k] - per_epoch + end[k] - marks[-1][k]
        total = len(folds) * (around + epochs * per_epoch) / WORKERS
        report.line(
            f"  {clock}: {per_epoch:.3f} s an epoch ({1 / per_epoch:.2f} epochs/s), {around:.1f} s "
            f"around; all {len(folds)} folds x {epochs} epochs on {WORKERS} cores: about "
            f"{total / 60:.1f} min"
        )


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def full(report: Report, which: str, name: str) -> None:
    """All folds and epochs, as `aumer bench` runs them."""
    found = protocol.load(which).changed({"seeds": [0]})
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = run(
            found,
            {which: test_data() / "annotations"},
            name,
            folder=f"{folder}/run",
            workers=Workers(WORKERS),
            progress=lambda *step: print(*step, flush=True) if step[0] == "folds" else None,
        )
    minutes = (time.perf_counter() - begun) / 60
    report.line(
        f"{name}: {len(result.folds)} folds x {result.folds[0]['model']['epochs']} epochs on "
        f"{WORKERS} cores: {minutes:.1f} min, features and scoring included"
    )
    report.line()
    report.line(result.to_markdown())


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--protocol", default="sim-casme-sq", metavar="NAME")
    parser.add_argument("--full", metavar="PRESET", help="run all folds and epochs of a preset")
    args = parser.parse_args()
    report = Report(f"Training on {args.protocol}")
    if args.full:
        full(report, args.protocol, args.full)
    else:
        for name in ("published", "aumer"):
            one_fold(report, args.protocol, name)
    if args.save:
        report.save("-".join(filter(None, ("training", args.protocol, args.full))) + ".txt")


if __name__ == "__main__":
    main()
