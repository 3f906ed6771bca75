"""`aumer bench power`: the smallest difference that a run can show, and the number of subjects for
a given one.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from aumer.cli.console import Console
from aumer.errors import EXIT_OK

_EPILOG = """
Subjects are what is resampled, so their number decides: a difference half as large takes four
times as many. Before data are collected, a stored run of the same protocol tells how many:

    aumer bench power runs/ours --difference .05
    aumer bench power runs/ours runs/theirs --power .9
"""


def add_parser(actions: Any, common: argparse.ArgumentParser) -> None:
    """Add ``power`` to the command's actions."""
    parser = actions.add_parser(
        "power",
        parents=[common],
        help="smallest difference that a run, or two, can show, and subjects needed for others",
        description="Prints, for each score of a run, from which difference on another run's would "
        "be found, and how many subjects like these a given one takes. With two runs of the same "
        "truth it is told of their paired difference, which chance moves less. Two-sided, from "
        "resamples of subjects, by the normal approximation. Nothing is run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("first", metavar="FOLDER", help="a run's output folder")
    add("second", metavar="FOLDER", nargs="?", help="another run's, with the same truth")
    add(
        "--difference",
        type=float,
        default=0.05,
        metavar="D",
        help="a true difference of scores; default: .05",
    )
    add(
        "--power",
        type=float,
        default=0.8,
        metavar="P",
        help="desired power; default: .8",
    )
    add(
        "--alpha",
        type=float,
        default=0.05,
        metavar="A",
        help="a difference is significant if its 1 - A interval excludes 0; default: .05",
    )
    add("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=_power, parser=parser)


def _power(args: argparse.Namespace, console: Console) -> int:
    from aumer.bench.power import power_of, power_table
    from aumer.bench.run import stored
    from aumer.strict import require

    require(0 < abs(args.difference) <= 1, "--difference", args.difference, "from above 0 to 1")
    second = stored(args.second) if args.second else None
    shown = power_of(stored(args.first), second, alpha=args.alpha, chance=args.power)
    if args.json:
        rows = [
            {
                **one.to_dict(),
                "asked": args.difference,
                "subjects_for_asked": one.power.needed(args.difference),
            }
            for one in shown
        ]
        console.data(json.dumps(rows, indent=1) + "\n")
    else:
        console.data(power_table(shown, args.difference))
    return EXIT_OK
