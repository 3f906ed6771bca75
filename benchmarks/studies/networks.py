"""Which network spots best on simulated data sets, and what of it helps.

    python -m benchmarks.studies.networks TABLE --workers 2 --save
    python -m benchmarks.studies.networks TABLE --score-only   # from what is kept, in seconds
    python -m benchmarks.studies.networks rivals --score-only --against combined

Tables, with up to three seeds: "headline", ours beside the published network and what learns
nothing here, and "ablations", what of ours helps, both in five folds of subjects; "curve", few
training subjects; "cross", trained on one set, tested on the other; "rivals", methods of others,
two folds of subjects, six of the other fold to learn from: an hour of one core that does nothing
else.

A table is a study as `aumer bench study` runs them, one that ships or one in ``networks/`` beside
this file; each row is a run in a folder of ``results/networks/``, which git does not keep. A run
that was stopped goes on where it stopped; `--only ROW ...` runs some rows. What git keeps, with
`--save`, is ``results/networks-TABLE.json``: of each finished
row the counts of every subject and seed, of which the table's F1, intervals and differences are
made, and the digests of its settings and of its predictions, by which a run that is made again is
known to be the same; two runs are kept whole in ``tests/bench/runs/``, where a test holds them to
these counts, and are replaced with them. The table leaves out rows that are not finished, and
names them.

Settings were fixed before the first of these runs, on other simulated subjects (the preset's
comments say what was seen there). The difference of a row to "aumer" is over the same resamples of
subjects; with five folds a subject is tested by a network that has seen four fifths of the others.
"rivals" also tells how big each is, and the CPU time it takes from features to expressions.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from aumer.bench import protocol as protocols
from aumer.bench.figure import Figure as F1
from aumer.bench.models import Trainable, find
from aumer.bench.run import stored
from aumer.bench.study import Changes, Study, load, run_study
from aumer.bench.tasks.spotting import predictions_of
from aumer.bench.tasks.spotting_result import SpottingResult, spotting_figure
from aumer.cache import default_folder
from aumer.config import digest
from aumer.errors import UsageError
from aumer.evaluation.tables import as_dicts
from aumer.simulate.features import simulate_features
from aumer.spotting.channels import CHANNELS
from aumer.spotting.parts import TrackDecoder
from aumer.spotting.targets import events, targets
from aumer.training.videos import from_simulation
from aumer.types import Kind, Scores
from aumer.workers import Workers
from benchmarks.data import test_data
from benchmarks.report import RESULTS, Report, options, save_picture, script

FOLDER = RESULTS / "networks"
SETS = ("sim-casme-sq", "sim-samm-lv")
KINDS: tuple[Kind, ...] = ("macro", "micro")


#: Beside the studies that ship, in ``networks/``.
STUDIES = Path(__file__).parent / "networks"
#: The runs that git keeps whole, in folders as those of `FOLDER`.
WHOLE = Path(__file__).parents[2] / "tests" / "bench" / "runs"
FEW = (3, 6, 12)
COST_MINUTES, COST_SEED, COST_RUNS = 2.0, 77, 5


def own(name: str) -> Study:
    return load(STUDIES / f"{name}.toml")


def ablations() -> Study:
    """Both studies of our network as one, without the rows that the headline has."""
    graph, parts = load("spotnet-graph"), load("spotnet-parts")
    rows = {**graph.rows, **parts.rows}
    varied = {name: row for name, row in rows.items() if name not in ("published", "rules")}
    return replace(
        graph, name="ablations", rows=varied, changes={**graph.changes, "seeds": [0, 1, 2]}
    )


def curve() -> Study:
    """The rows of ``networks/curve.toml`` with few training subjects each."""
    curves = own("curve")
    rows = {
        f"{name}-{n}": {**row, "changes": {**row.get("changes", {}), "train_subjects": n}}
        for n in FEW
        for name, row in curves.rows.items()
    }
    return replace(curves, rows=rows, base=next(iter(rows)))


#: By table: its data sets' protocols, its study, and the row that others are held to.
TABLES: dict[str, tuple[Sequence[str], Study, str]] = {
    "headline": (SETS, own("headline"), "aumer"),
    "ablations": (SETS[:1], ablations(), "aumer"),
    "curve": (SETS[:1], curve(), ""),
    "cross": (("sim-cross-data-set",), own("cross"), "aumer"),
    "rivals": (SETS, own("rivals"), "aumer"),
}


def folder(table: str, data_set: str, name: str) -> Path:
    return FOLDER / f"{table}-{data_set}" / name


def make(
    table: str,
    data_set: str,
    rows: Sequence[str],
    workers: Workers,
    seeds: Sequence[int] | None,
) -> None:
    """Run what of these rows, or of all, has not been run, with these seeds or all."""
    study = TABLES[table][1]
    now = ""

    def begins(name: str, number: int, of: int) -> None:
        nonlocal now
        now = name

    def told(what: str, done: int, of: int) -> None:
        if what == "folds":
            print(f"{data_set} {now}: {done} of {of} folds", file=sys.stderr, flush=True)

    run_study(
        study,
        {name: test_data() / "annotations" for name in protocols.load(data_set).datasets},
        changes=Changes(data_set, {"seeds": list(seeds)} if seeds else {}, cache=default_folder()),
        folder=FOLDER / f"{table}-{data_set}",
        rows=rows,
        command=f"{script()} {table}",
        workers=workers,
        progress=told,
        begins=begins,
    )


# -- what git keeps of a run -----------------------------------------------------------------------


def kept_path(table: str) -> Path:
    return RESULTS / f"networks-{table}.json"


def kept(table: str) -> dict[str, dict[str, Any]]:
    """What is kept of each finished row, by protocol and row; of runs that are here, anew."""
    data_sets, study, _ = TABLES[table]
    path = kept_path(table)
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found = {}
    for data_set in data_sets:
        for name in study.rows:
            key, place = f"{data_set}/{name}", folder(table, data_set, name)
            try:
                result = stored(place)
            except UsageError:
                if key in before:
                    found[key] = before[key]
            else:
                assert isinstance(result, SpottingResult)
                found[key] = summed(result)
    return found


def summed(result: SpottingResult) -> dict[str, Any]:
    """A run as its table needs it."""
    predictions = [
        [fold["seed"], fold["fold"], as_dicts(predictions_of(fold))] for fold in result.folds
    ]
    seconds = {
        tested: round(sum(f["seconds"] for f in result.folds if f["dataset"] == tested), 1)
        for tested in result.protocol.datasets
    }
    return {
        "settings_digest": digest(result.about),
        "predictions_digest": digest(predictions),
        "versions": dict(result.run.versions),
        "split": result.protocol.split,
        "seeds": list(result.protocol.seeds),
        "trained_subjects": round(np.mean([len(f["trained"]) for f in result.folds])),
        "seconds": seconds,
        "counts": {tested: counts_of(result, tested) for tested in seconds},
    }


def counts_of(result: SpottingResult, tested: str) -> dict[str, Any]:
    """TP, FP and FN by kind, of each subject of a data set, with each seed."""
    figures = {kind: result.figure(kind, tested) for kind in KINDS}
    subjects = figures["macro"].subjects
    return {"subjects": subjects, **{k: f.counts.tolist() for k, f in figures.items()}}


def save_kept(table: str, found: Mapping[str, Mapping[str, Any]]) -> None:
    """With a line for each thing that a row keeps, so that git shows what changed."""
    rows = []
    for key, row in found.items():
        lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in row.items())
        rows.append(f" {json.dumps(key)}: {{\n{lines}\n }}")
    kept_path(table).write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    for whole in WHOLE.glob(f"{table}-*/*"):
        if (run := FOLDER / whole.relative_to(WHOLE)).exists():
            shutil.rmtree(whole)
            shutil.copytree(run, whole)


# -- what a row costs ------------------------------------------------------------------------------


def cost(study: Study, name: str, data_set: str) -> dict[str, Any]:
    """Parameters, and CPU milliseconds for a minute of video from features to expressions.

    A network has weights as drawn; its decoder reads what a perfect network would say, so that it
    has something to decode.
    """
    protocol, row = protocols.load(data_set), study.row(name)
    model = find(row.model or study.model, protocol, overrides={**study.set, **row.set})
    (video,) = from_simulation(
        simulate_features(1, minutes=COST_MINUTES, seed=COST_SEED, rate=model.rate or 30.0)
    )
    features = video.features
    if isinstance(model, Trainable):
        net = model.settings.net_config().network()
        decoder = TrackDecoder.named(model.decoder)
        aims = targets(events(video.annotations, features.frames), len(features), features.rate)
        axis = features.times, features.frames, np.ones_like(features.valid)
        perfect = Scores(aims.values, *axis, CHANNELS)

        def spot() -> None:
            net.scores(features)
            decoder(perfect)
    else:
        spotter = model.spotter

        def spot() -> None:
            spotter(features)

    spent = []
    for _ in range(COST_RUNS):
        begun = time.process_time()
        spot()
        spent.append(time.process_time() - begun)
    milliseconds = 1000 * float(np.median(spent)) / COST_MINUTES
    return {"parameters": model.parameters(), "cpu_ms_a_minute": round(milliseconds, 1)}


# -- tables ----------------------------------------------------------------------------------------


def figure_of(row: Mapping[str, Any], tested: str, kind: str = "overall") -> F1:
    """The F1 of a row; the counts of both kinds add up to the overall ones."""
    counts = row["counts"][tested]
    kinds = [np.array(counts[k], np.int64) for k in KINDS if kind in (k, "overall")]
    return spotting_figure(counts["subjects"], np.sum(kinds, axis=0))


def section(
    report: Report,
    found: Mapping[str, Mapping[str, Any]],
    study: Study,
    first: str,
    tested: str,
) -> None:
    """What the rows `found` scored on the data set `tested`."""
    one = next(iter(found.values()))
    others = " and ".join(sorted({*one["counts"]} - {tested}))
    split = f"trained on {others}" if one["split"] == "cross-data-set" else one["split"]
    report.line()
    report.line(
        f"{tested}: {split}; IoU >= .5, one to one, kind required; 95 % intervals over subjects"
    )
    report.line(
        f"{'':18}{'seeds':>6}{'macro':>8}{'micro':>8}{'overall':>9}  {'interval':16}"
        f"{'row less ' + first if first else '':>28}{'minutes':>9}"
    )
    for name, row in found.items():
        overall = figure_of(row, tested)
        estimate = overall.bootstrap()
        paired = ""
        if first and name != first and first in found:
            other = overall.compare(figure_of(found[first], tested))
            paired = f"{other.value:+.3f} [{other.low:+.3f}, {other.high:+.3f}]"
        macro, micro = (figure_of(row, tested, kind).value for kind in KINDS)
        report.line(
            f"{name:18}{overall.seeds:6}{macro:8.3f}{micro:8.3f}{overall.value:9.3f}"
            f"  [{estimate.low:.3f}, {estimate.high:.3f}]  {paired:>26}"
            f"{row['seconds'][tested] / 60:9.1f}"
        )
    for name in found:
        if note := study.row(name).note:
            report.line(f"{name}: {note}")


def tell(table: str, save: bool, against: str | None = None) -> None:
    """The table of the rows that are finished, held to the row `against` or the table's own."""
    data_sets, study, first = TABLES[table]
    first = against or first
    report = Report(f"Spotting networks on simulated data sets: {table}")
    report.line(
        "Simulated faces at level medium: these figures rank methods on faces that move as the"
    )
    report.line("simulator makes them, and say nothing of the size of an F1 on real ones.")
    report.line("minutes: of the folds' wall clocks, on one core each, beside other work.")
    every = kept(table)
    for data_set in data_sets:
        found = {name: every[key] for name in study.rows if (key := f"{data_set}/{name}") in every}
        for tested in next(iter(found.values()))["counts"] if found else ():
            section(report, found, study, first, tested)
    missing = [key for d in data_sets for name in study.rows if (key := f"{d}/{name}") not in every]
    if missing:
        report.line()
        report.line(f"not run, or not finished: {', '.join(missing)}")
    if table == "rivals" and every:
        costs(report, every, study)
    if save:
        save_kept(table, every)
        report.save(f"networks-{table}.txt")
    if save and table == "curve" and not missing:
        picture()


def costs(report: Report, every: dict[str, dict[str, Any]], study: Study) -> None:
    """How big each row is and what it takes, kept beside its counts."""
    report.line()
    report.line(f"{'':18}{'parameters':>12}{'CPU ms a minute of video':>28}")
    for name in study.rows:
        keys = [key for key in every if key.endswith(f"/{name}")]
        if not keys:
            continue
        found = cost(study, name, keys[0].split("/")[0])
        for key in keys:
            every[key] = {**every[key], "cost": found}
        size = "" if found["parameters"] is None else f"{found['parameters']:,}"
        report.line(f"{name:18}{size:>12}{found['cpu_ms_a_minute']:28.1f}")


def picture() -> None:
    """The learning curve, with the networks that learned from all subjects of the other folds."""
    (data_set,) = TABLES["curve"][0]
    few, all_subjects = kept("curve"), kept("ablations")
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, dash in zip(own("curve").rows, ("-", "-.", "--", ":"), strict=True):
        found = [(n, few[f"{data_set}/{name}-{n}"]) for n in FEW]
        if whole := all_subjects.get(f"{data_set}/{name}"):
            found.append((whole["trained_subjects"], whole))
        x = [n for n, _ in found]
        estimates = [figure_of(row, data_set).bootstrap() for _, row in found]
        middle, low, high = zip(*((e.value, e.low, e.high) for e in estimates), strict=True)
        seeds = sorted({figure_of(row, data_set).seeds for _, row in found})
        told = f"{name}, seeds: {' or '.join(map(str, seeds))}"
        (line,) = axes.plot(x, middle, dash, marker="o", label=told)
        axes.fill_between(x, low, high, color=line.get_color(), alpha=0.1)
    axes.set_xlabel("training subjects")
    axes.set_ylabel("overall F1 (95 % interval over subjects)")
    axes.set_title(f"{data_set}, five folds", fontsize="medium")
    axes.legend()
    save_picture(figure, "networks-curve.png", 110)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--only", nargs="+", metavar="ROW", help="run these rows alone")
    parser.add_argument("--sets", nargs="+", metavar="SET", help="run these data sets alone")
    parser.add_argument("--seeds", type=int, nargs="+", help="these seeds alone; others later")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--score-only", action="store_true", help="run nothing")
    parser.add_argument("--against", metavar="ROW", help="the row that others are held to")
    asked = parser.parse_args()
    data_sets, study, _ = TABLES[asked.table]
    rows = study.rows
    if wrong := set(asked.sets or ()) - set(data_sets):
        parser.error(f"no set {', '.join(sorted(wrong))}; there are {', '.join(data_sets)}")
    if wrong := {*(asked.only or ()), *([asked.against] if asked.against else [])} - set(rows):
        parser.error(f"no row {', '.join(sorted(wrong))}; there are {', '.join(rows)}")
    if not asked.score_only:
        for data_set in asked.sets or data_sets:
            make(asked.table, data_set, asked.only or (), Workers(asked.workers), asked.seeds)
    tell(asked.table, asked.save, asked.against)


if __name__ == "__main__":
    main()
