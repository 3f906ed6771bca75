"""`aumer bench submission`: from a challenge's unseen videos to the files for its server."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aumer.cli.console import Console
from aumer.cli.options import add_device, add_measuring, cache_folder, read_settings
from aumer.errors import EXIT_OK, EXIT_PARTIAL, AumerError, UsageError

if TYPE_CHECKING:
    from aumer.bench.submission import Challenge
    from aumer.data.report import DataReport
    from aumer.evaluation.rows import PredictedInterval
    from aumer.types import VideoRecord

#: What is wrong with the videos, at most so many lines.
_TOLD = 10

_EPILOG = """
ROOT holds the unseen videos: two folders, with samm and with cas in their names, each with a folder
of images or a file for each video.

    aumer bench submission /data/MEGC2025 --challenge megc2025 -o submission
    aumer bench submission /data/MEGC2025 --challenge megc2025 --check submission/cas_pred.csv

What is nowhere said (what the first frame is called, ...) is chosen, and printed with the files.
`aumer bench megc-unseen` and `aumer bench strs-unseen` train a network first, on CAS(ME)^2 and
SAMM-LV.
"""


def add_parser(actions: Any, common: argparse.ArgumentParser) -> None:
    """Add ``submission`` to the command's actions."""
    parser = actions.add_parser(
        "submission",
        parents=[common],
        help="spot in a challenge's unseen videos and write, or check, the files for its server",
        description="Spots in all unseen videos with the spotter that ships or with another, names "
        "the expressions if the challenge requires labels, writes a CSV file for each source and "
        "checks it. With --check it checks any files. Exit code 0 only if no fault is left.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("root", metavar="ROOT", nargs="?", help="the folder of the unseen videos")
    add(
        "--challenge",
        required=True,
        metavar="NAME",
        help="megc2022 or megc2023 (spotting), megc2024 or megc2025 (spot, then recognize)",
    )
    add("-o", "--output", metavar="DIR", help="folder for the files; must exist")
    add("--overwrite", action="store_true", help="replace existing files")
    add(
        "--check",
        nargs="+",
        metavar="FILE",
        help="check these files and spot nothing; with ROOT also that videos and frames exist",
    )
    add(
        "--first-frame",
        type=int,
        choices=(0, 1),
        default=1,
        help="what the files call a video's first frame (default: 1)",
    )
    add("--model", metavar="NAME", help="spotter (default: combined), or a file of weights")
    add(
        "--recognizer",
        metavar="NAME",
        help="what names it (default: the one that ships), or a file of weights",
    )
    add("--json", action="store_true", help="print JSON instead of text")
    add_device(parser)
    add_measuring(parser)
    parser.set_defaults(run=_submission, parser=parser)


def _submission(args: argparse.Namespace, console: Console) -> int:
    from aumer.bench.submission import challenge, check, check_names
    from aumer.data.megc_unseen import MegcUnseen
    from aumer.data.report import DataReport
    from aumer.evaluation.rows import rows_of

    asked = challenge(args.challenge)
    read_settings(args)  # refuses wrong settings before data are read
    report = DataReport()
    records: tuple[VideoRecord, ...] = ()
    if args.root is not None:
        data = MegcUnseen.from_root(args.root)
        report, records = data.report, data.records()
        check_names(asked, rows_of(records)[0])
        _tell(report, records, args, console)
    failed: list[str] = []
    if args.check:
        files = [(Path(name), "") for name in args.check]
        for path, _ in files:
            if path.is_dir():
                raise UsageError(
                    f"--check takes files; {path} is a folder",
                    fixes=("name the files in it", "put ROOT before --check"),
                )
    else:
        files, failed = _made(args, asked, records, console)
    sources = {file: source for source, file in asked.files.items()}
    checked = []
    for path, made_of in files:
        source = made_of or sources.get(path.name, "")
        own = [r for r in records if source in ("", r.subject)]
        videos = rows_of(own)[0] if records else None
        checked.append(check(path, asked, videos, args.first_frame))
    if args.json:
        told = {
            "challenge": asked.name,
            "fixed": list(asked.fixed),
            "chosen": list(asked.chosen),
            "files": [
                {
                    "path": str(one.path),
                    "rows": one.rows,
                    "faults": [vars(fault) for fault in one.faults],
                    "notes": list(one.notes),
                }
                for one in checked
            ],
            "failed": failed,
            "data": {"notes": list(report.notes), "faults": [f.message for f in report.faults]},
        }
        console.data(json.dumps(told, indent=1) + "\n")
    else:
        console.data("\n".join([asked.describe(), *(one.describe() for one in checked)]) + "\n")
    return EXIT_PARTIAL if failed or any(one.faults for one in checked) else EXIT_OK


def _tell(
    report: DataReport,
    records: tuple[VideoRecord, ...],
    args: argparse.Namespace,
    console: Console,
) -> None:
    """Say what is wrong with the videos before hours are spent on them."""
    from aumer.data.check import rate_problem
    from aumer.video import open_video

    told = [*report.notes, *(fault.message for fault in report.faults)]
    for record in records:
        if record.path is not None and record.path.is_file():
            try:
                with open_video(record.path) as video:
                    rate = video.info.fps
            except AumerError:
                continue  # who reads it says so
            if problem := rate_problem(record, rate):
                told.append(f"{problem}; taken as {record.fps:g}, the rate of {record.subject}")
    for message in told[:_TOLD]:
        console.note(message)
    if len(told) > _TOLD:
        console.note(
            f"... and {len(told) - _TOLD} more: `aumer data check megc-unseen {args.root}`"
        )


def _made(
    args: argparse.Namespace,
    asked: Challenge,
    records: tuple[VideoRecord, ...],
    console: Console,
) -> tuple[list[tuple[Path, str]], list[str]]:
    """The files that were written, each with its source, and the videos that failed."""
    from aumer.bench.submission import MOST_FREQUENT, emotion_of, written
    from aumer.files import atomic_write, check_folder, check_target
    from aumer.session import load_recognizer

    if args.root is None or args.output is None:
        raise UsageError(
            "ROOT, the folder of the unseen videos, and --output, one for the files, are needed",
            fixes=("name both", "check files that are there with --check"),
        )
    check_folder(args.output)
    targets = {
        source: Path(args.output) / asked.files[source]
        for source in dict.fromkeys(r.subject for r in records)
    }
    for target in targets.values():
        check_target(target, overwrite=args.overwrite)
    if args.recognizer is not None and not asked.emotions:
        raise UsageError(f"--recognizer names expressions, and {asked.name} asks for none")
    recognizer = (args.recognizer or "default") if asked.emotions else None
    if recognizer is not None:
        for label in load_recognizer(recognizer).classes:
            emotion_of(asked, label)  # refuses a label without a word of the challenge
    found, failed = _spotted(args, records, recognizer, console)
    nameless = [p.kind in asked.kinds and not p.label for p in found]
    if asked.emotions and any(nameless):
        console.note(
            f"{sum(nameless)} expressions without a class are called {MOST_FREQUENT}, as most are"
        )
        found = [replace(p, label=p.label or MOST_FREQUENT) for p in found]
    for source, target in targets.items():
        own = [p for p in found if p.subject == source]
        text = written(asked, own, args.first_frame)
        atomic_write(target, text, overwrite=args.overwrite)
    left = sum(p.kind not in asked.kinds for p in found)
    if left:
        console.note(f"macro-expressions are not asked for: {left} left out")
    return [(target, source) for source, target in targets.items()], failed


def _spotted(
    args: argparse.Namespace,
    records: tuple[VideoRecord, ...],
    recognizer: str | None,
    console: Console,
) -> tuple[list[PredictedInterval], list[str]]:
    from aumer.bench.submission import class_of
    from aumer.cli.batch import options_given
    from aumer.evaluation.rows import PredictedInterval
    from aumer.pipeline import Spotter

    found: list[PredictedInterval] = []
    failed: list[str] = []
    cache = cache_folder(args)
    options = options_given(args, "model", "device")
    with Spotter(settings=read_settings(args), recognizer=recognizer, **options) as spotter:
        console.start("unseen videos", unit="videos")
        for k, record in enumerate(records):
            assert record.path is not None, "the data set lists what it has found"
            try:
                result = spotter(
                    record.path,
                    fps=record.fps,
                    cache=cache,
                    workers=args.workers,
                    **options_given(args, "min_coverage"),
                )
            except AumerError as error:
                console.note(f"{record.subject}/{record.name}: {error}")
                failed.append(f"{record.subject}/{record.name}")
                continue
            finally:
                console.progress(k + 1, len(records))
            found += [
                replace(PredictedInterval.of(record.subject, record.name, e), label=class_of(e))
                for e in result.expressions
            ]
        console.finish()
    return found, failed
