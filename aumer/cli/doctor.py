"""`aumer doctor`: checks what can run here."""

from __future__ import annotations

import argparse
from typing import Any

from aumer.cli.console import Console


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``doctor`` to the command's parsers."""
    parser = commands.add_parser(
        "doctor",
        parents=[common],
        help="print versions, devices and which back ends can run",
        description="Prints versions, devices, which OpenCV is in place, which back ends can run "
        "and why the others cannot. Exit code 0 if `aumer spot` can run with its defaults.",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of text")
    form.add_argument(
        "--report",
        action="store_true",
        help="print text to paste into a bug report, without names of you, your machine, your "
        "folders and your files",
    )
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the report."""
    from aumer import doctor

    code = doctor.main(as_json=args.json, as_report=args.report)
    console.data("")  # flushes stdout
    return code
