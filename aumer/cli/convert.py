"""`aumer convert`: expressions from one format into another."""

from __future__ import annotations

import argparse
from typing import Any

from aumer.cli.console import Console
from aumer.errors import EXIT_OK


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``convert`` to the command's parsers."""
    parser = commands.add_parser(
        "convert",
        parents=[common],
        help="write results for ELAN, Praat or a player, and annotations from one to another",
        description="Writes the expressions of SOURCE in the format that TARGET's suffix names. "
        "SOURCE is a result (.json), or annotations: .annotations (what `aumer view` saves), .eaf "
        "(ELAN), .textgrid (Praat), .vtt or .srt (subtitles), .rttm. A result goes to every format "
        "of `aumer spot -o`, annotations to each other's. Times keep to a millisecond; what a "
        "format cannot hold (frames, probabilities; in .rttm the apex) is lost.",
    )
    parser.add_argument("source", metavar="SOURCE", help="a result or a file of annotations")
    parser.add_argument("target", metavar="TARGET", help="the file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.set_defaults(run=_run, parser=parser)


def _run(args: argparse.Namespace, console: Console) -> int:
    from aumer.results.exchange import convert

    number = convert(args.source, args.target, overwrite=args.overwrite)
    console.line(f"{args.target}: {number} expression{'' if number == 1 else 's'}")
    return EXIT_OK
