"""`aumer bench report DIR`: a run's folder as one page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from aumer.cli.console import Console
from aumer.errors import EXIT_OK, UsageError


def add_parser(actions: Any, common: argparse.ArgumentParser) -> None:
    """Add ``report`` to the command's actions."""
    parser = actions.add_parser(
        "report",
        parents=[common],
        help="a run's or a study's folder as one HTML page with its figures",
        description="Draws what a run left in its folder: scores with intervals, figures with "
        "captions, mistakes and settings, in one page that needs no network and can be mailed. "
        "Nothing is run or trained. What the run did not keep is left out, and the page says why.",
    )
    add = parser.add_argument
    add("folder", metavar="DIR", help="a run's output folder, or a study's")
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="an .html file; default: DIR/report.html, of a study DIR/study.html",
    )
    add("--figures", metavar="FOLDER", help="each figure as .svg and .png, too, for a paper")
    add(
        "--data",
        action="append",
        default=[],
        metavar="[SET=]ROOT",
        help="the folder of the data set, with several each by its name: misclassified clips are "
        "shown at onset, apex and offset, of MEGC 2019's composite as flow (of recognition)",
    )
    add(
        "--tensorboard",
        metavar="FOLDER",
        help="each fold's losses, accuracies and rates as event files, too (of recognition; extra "
        "tensorboard)",
    )
    add("--overwrite", action="store_true", help="replace files that are no reports of aumer's")
    parser.set_defaults(run=_report, parser=parser)


def _report(args: argparse.Namespace, console: Console) -> int:
    from aumer.bench.report import draw, events
    from aumer.bench.run import stored
    from aumer.bench.store import REPORT
    from aumer.bench.studied import PAGE
    from aumer.bench.study import is_study, stored_study
    from aumer.cli.bench_run import data_roots

    if is_study(args.folder):
        if args.data or args.tensorboard is not None:
            raise UsageError(
                "--data and --tensorboard apply to a run, and this folder holds a study: give the "
                "folder of one of its rows"
            )
        report, usual = stored_study(args.folder).page(), PAGE
    else:
        data = data_roots(stored(args.folder).protocol, args.data) if args.data else None
        report, usual = draw(args.folder, data=data), REPORT
    told: tuple[Path, ...] = ()
    if args.tensorboard is not None:
        told = events(args.folder, args.tensorboard, overwrite=args.overwrite)
    path = Path(args.output) if args.output else Path(args.folder) / usual
    written = report.save(path, figures=args.figures, overwrite=args.overwrite)
    console.data("".join(f"{one}\n" for one in (*written, *told)))
    return EXIT_OK


def write(folder: Path, console: Console) -> None:
    """The report of a run that has just ended, beside its result."""
    from aumer.bench.report import draw
    from aumer.bench.store import REPORT

    draw(folder).save(folder / REPORT)
    console.note(f"report: {folder / REPORT}")
