"""`aumer bench study STUDY`: ablations in one table, one run per row."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from aumer.cli import bench_report
from aumer.cli.bench_run import (
    Reporter,
    add_again,
    add_changes,
    add_data,
    add_where,
    data_roots,
    protocol_changes,
    typed_command,
)
from aumer.cli.console import Console
from aumer.cli.options import changed_settings
from aumer.errors import EXIT_OK, EXIT_PARTIAL, UsageError

if TYPE_CHECKING:
    from aumer.bench.study import Changes, PlannedRow, Study

_EPILOG = """\
STUDY is a name that `aumer bench list` prints, or a TOML file:

    title = "cnn-lstm: which modalities"
    protocol = "casme2-5class"      # a name, or a file beside this one
    model = "cnn-lstm"              # of rows that name none
    base = "all"                    # the row that the others are held to

    [rows.all]

    [rows.gray]
    set = { "config.modalities" = ["gray"] }
    published = { accuracy = 0.723 }    # stands beside; if there is any

    [rows.graph]
    model = "graph"
    note = "reads one flow map"

A row may also have `decoder`, and `changes` of the protocol: prior, train_subjects, selection. All
rows are tested on the same; what all of them change stands above the rows, in `set` and `changes`.

Each row is a run in DIR/ROW, as by `aumer bench`; DIR gets study.csv (one line per score, with
paired 95 % intervals of the difference to the base row), study.md, study.html and study.json. After
an interruption the same command continues. A failed row is reported with the reason, and the others
continue (exit code 6):

    aumer bench study cnn-lstm-modalities --data /data/CASME2 --dry-run
    aumer bench study cnn-lstm-modalities --data /data/CASME2 --workers 4 -o runs/modalities
    aumer bench study mfem-mffm --protocol samm-5class --data /data/SAMM --set learning.epochs=80
"""


def add_parser(actions: Any, common: argparse.ArgumentParser) -> None:
    """Add ``study`` to the command's actions."""
    parser = actions.add_parser(
        "study",
        parents=[common],
        help="ablations in one command: rows of one protocol in one resumable table",
        description="Runs the rows of a study, each an ordinary run of `aumer bench`, and holds "
        "every row to the base row over the same subjects.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("study", metavar="STUDY", help="by name or file")
    add_data(parser)
    add("-o", "--output", metavar="DIR", help="default: ./aumer-bench/study-STUDY-DIGEST")
    add("--dry-run", action="store_true", help="print what would be run, and what exists already")
    add("--rows", type=_names, default=(), metavar="ROW,ROW", help="run only these")
    add("--protocol", default="", metavar="NAME", help="another protocol, by name or file")
    add("--overwrite", action="store_true", help="take rows' folders that hold other runs")
    add("--keep-weights", action="store_true", help="keep the model of each fold of each row")
    add("--report", action="store_true", help="draw report.html in each row's folder, too")
    add_again(parser)
    add_changes(parser.add_argument_group("instead of the study's (rows go before it)"))
    add_where(parser.add_argument_group("where"))
    parser.set_defaults(run=_run, parser=parser)


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _run(args: argparse.Namespace, console: Console) -> int:
    from aumer.bench.protocol import load as load_protocol
    from aumer.bench.study import Changes, load, plan_study, run_study
    from aumer.cache import default_folder
    from aumer.workers import Workers

    study = load(args.study)
    changes = Changes(
        args.protocol,
        protocol_changes(args),
        dict(args.overrides),
        args.decoder,
        changed_settings(args),
        args.cache or default_folder(),
    )
    roots = data_roots(load_protocol(args.protocol or study.protocol), args.data)
    workers = Workers(args.workers, args.backend, args.scheduler)
    if args.dry_run:
        planned = plan_study(study, roots, changes=changes, folder=args.output, rows=args.rows)
        console.data(_plan(study, changes, planned, workers.number, args.json))
        return EXIT_OK
    if not roots and not args.score_only:
        raise UsageError("the folder of the data is not given: name it with --data")
    made = run_study(
        study,
        roots,
        changes=changes,
        folder=args.output,
        rows=args.rows,
        overwrite=args.overwrite,
        score_only=args.score_only,
        workers=workers,
        progress=Reporter(console),
        begins=lambda row, k, n: console.note(f"row {row}: {k} of {n}"),
        command=typed_command(),
        keep_weights=args.keep_weights,
    )
    console.finish()
    if args.report:
        for row in made.rows:
            if row.folder is not None:
                bench_report.write(row.folder, console)
        made.page().save(made.page_path)  # which links to them
    console.data(json.dumps(made.records(), indent=1) + "\n" if args.json else made.to_markdown())
    console.note(f"written to {made.folder}; the page is {made.page_path}")
    return EXIT_PARTIAL if made.failed else EXIT_OK


def _plan(
    study: Study, changes: Changes, planned: tuple[PlannedRow, ...], workers: int, as_json: bool
) -> str:
    """What would be run, one line per row."""
    if as_json:
        rows = [{**vars(row), "folder": str(row.folder)} for row in planned]
        return json.dumps(rows, indent=1) + "\n"
    table = [["row", "model", "what it changes", "parameters", "epochs", "folds", "done", "left"]]
    for row in planned:
        numbers = (row.parameters, row.epochs, row.folds, row.done)
        cells = ["-" if n is None else f"{n:,}" for n in numbers]
        table.append([row.name, row.model, row.description or "-", *cells, _left(row, workers)])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table]
    folds = [row.folds for row in planned if row.folds is not None]
    done = sum(row.done or 0 for row in planned)
    whole = f"{sum(folds)} folds with all seeds, {done} of them there. " if folds else ""
    known = whole or "How many folds there are is known once the data are given with --data. "
    ending = (
        f"{known}Base row: {study.base}. The time left is told by the folds that are there, "
        "without what is made of videos once. Nothing was run."
    )
    title = f"{study.title} ({changes.protocol or study.protocol})"
    return "\n".join([title, "", *lines, "", ending, ""])


def _left(row: PlannedRow, workers: int) -> str:
    if row.folds is None:
        return "-"
    if row.seconds is None:
        return "not known"
    seconds = row.seconds / workers
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
