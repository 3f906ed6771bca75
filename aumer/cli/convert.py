"""`aumer convert`: converts expressions between formats."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from aumer.cli.console import Console
from aumer.errors import EXIT_OK


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``convert`` to the command's parsers."""
    parser = commands.add_parser(
        "convert",
        parents=[common],
        help="convert results and annotations to and from ELAN, Praat, BIDS, ...",
        description="Writes the expressions of SOURCE in the format that the name of TARGET tells. "
        "A result (.json) goes to every format below, annotations to each other's. Times keep to a "
        "millisecond; what the new file cannot hold (frames, probabilities) is lost, and said.",
        formatter_class=_Help,
    )
    parser.add_argument("source", metavar="SOURCE", help="a result or a file of annotations")
    parser.add_argument("target", metavar="TARGET", help="the file to write")
    parser.add_argument("--video", metavar="NAME", help="the video, if the file contains several")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.set_defaults(run=_run, parser=parser)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Adds the table of formats when help is printed, since listing formats imports them all."""

    def start_section(self, heading: str | None) -> None:
        if heading == "positional arguments":
            self.add_text(_formats())
        super().start_section(heading)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


def _formats() -> str:
    from aumer.results.exchange import annotation_endings
    from aumer.results.formats import table

    lines = ["formats (* of annotations, which are read as well):"]
    for endings, use, holds in table():
        mark = "*" if set(endings) & set(annotation_endings()) else " "
        words = textwrap.wrap(f"{use}: {holds}".replace("`", ""), 68)
        lines += [
            f"{mark} {', '.join(endings):<17}  {words[0]}",
            *(f"{'':21}{w}" for w in words[1:]),
        ]
    return "\n".join(lines)


def _run(args: argparse.Namespace, console: Console) -> int:
    from aumer.results.exchange import convert

    done = convert(args.source, args.target, video=args.video, overwrite=args.overwrite)
    console.line(f"{args.target}: {done.count} expression{'' if done.count == 1 else 's'}")
    if done.lost:
        console.note(f"{args.target} has no place for: {done.lost}. Keep {args.source}")
    return EXIT_OK
