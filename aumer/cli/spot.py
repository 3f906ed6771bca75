"""`aumer spot`: expressions in one or many videos."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from aumer import registry
from aumer.cli.batch import EXIT_CODES, INPUTS, VideoBatch, add_batch, options_given
from aumer.cli.console import Console
from aumer.cli.options import (
    add_device,
    add_measuring,
    add_sensitivity,
    cache_folder,
    check_range,
    read_settings,
    real,
)
from aumer.errors import EXIT_INTERRUPTED, UsageError

if TYPE_CHECKING:
    from aumer.cli.inputs import Input
    from aumer.results import SpotResult

#: That of stdout alone, of `aumer.cli.outputs`, which the help must not import.
_TABLE = "table"

_EPILOG = f"""\
{INPUTS}
outputs:
  Without -o a table is printed, or with --format json one JSON document a line for each video
  (JSON Lines), or with --format csv one CSV table. -o (repeatable) names where to write instead:
    -o out.json|.csv|.png|.pdf|.svg   one video: everything, the expressions, or a timeline
    -o all.csv                        several videos: the expressions of all; and all.inputs.csv:
                                      what became of each, failures and empty ones too
    -o FOLDER                         NAME.json for each video; --format csv, png, ... (repeatable)
                                      chooses other formats. The folder must exist; inputs of
                                      one name in several folders keep these folders below it
    -o -                              stdout as well
  With --face all every face has its own: out.json becomes out-face1.json, out-face2.json, ...; the
  one table of several videos holds all, its column `face` saying whose. Files of more faces that an
  earlier run has left are named on stderr, and stay.

settings:
  defaults < --config < --set, --flow, --detector, --landmarker (the last one given wins).
  `--set rules.min_s=0.2` takes a value as TOML writes it; a text needs no quotes.
  `aumer config show` prints all settings and where each comes from.
  --sensitivity moves the threshold, by how often a minute something is then spotted in a face at
  rest: low .1, normal .2, high .5 (--model rules: 2.2, 6.7, 16.5), or a number; on simulated
  faces with all their blinks, swallows and turns. --model network takes none: nobody measured it.
  It wins over --set rules.sensitivity.

exit codes:
    0  done, also if no expression was found
{EXIT_CODES}"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``spot`` to the command's parsers."""
    parser = commands.add_parser(
        "spot",
        parents=[common],
        help="find the expressions in videos",
        description="Finds micro- and macro-expressions: when each begins, peaks and ends.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    formats = (_TABLE, *registry.names("format"))
    told = "of stdout (table, json, csv) and of the files in a folder (all but table)"
    add_batch(parser, formats, told)
    add = parser.add_argument
    add("--model", metavar="NAME", help="spotter (default: combined), or a file of weights")
    add("--graph", metavar="NAME", help="AU graph, by name or file, in place of the network's own")
    add("--classify", action="store_true", help="label every expression: a second pass over it")
    add(
        "--recognizer",
        metavar="NAME",
        help="what labels, by name or file of weights (implies --classify)",
    )
    add("--aus", action="store_true", help="read the action units of each: a second pass over it")
    add(
        "--au-reader",
        dest="au_reader",
        metavar="NAME",
        help="what reads them, by name or file of weights (implies --aus)",
    )
    add_device(parser)
    add_sensitivity(parser)
    add(
        "--micro-max",
        type=real("a number of seconds above 0", lambda x: x > 0),
        dest="micro_max_s",
        metavar="SECONDS",
        help="longest micro-expression, whatever spotted it (default: as the spotter says)",
    )
    add_measuring(parser)


# -- the run -----------------------------------------------------------------------------------


def run(args: argparse.Namespace, console: Console) -> int:
    """Check everything that can be checked, then spot in one video after the other."""
    from aumer.cli.inputs import parse_inputs
    from aumer.cli.outputs import Outputs, plan

    check_range(args)
    inputs = parse_inputs(args.videos, fps=args.fps, end=args.end)
    recognizer = args.recognizer or ("default" if args.classify else None)
    aus = args.au_reader or args.aus
    if (recognizer or aus) and any(isinstance(given.source, int) for given in inputs):
        raise UsageError(
            "--classify and --aus read frames a second time, and a camera cannot be read "
            "twice: record it to a file, and give that"
        )
    settings = read_settings(args)
    every = settings.face.follow == "all"
    planned = plan(inputs, args.output, args.format, overwrite=args.overwrite, faces=every)
    cache = cache_folder(args)

    from aumer.pipeline import Spotter

    spotter = Spotter(
        settings=settings,
        recognizer=recognizer,
        aus=aus,
        **options_given(args, "model", "graph", "device", "sensitivity", "micro_max_s"),
    )

    def work(given: Input) -> tuple[SpotResult, ...]:
        return spotter.each_face(
            given.source,
            start=args.start,
            end=args.end,
            fps=args.fps,
            cache=cache,
            progress=console.progress,
            workers=args.workers,
            **options_given(args, "min_coverage"),
        )

    batch = VideoBatch(inputs, work, Outputs(planned, inputs, console, args.fps), console)
    try:
        with spotter:
            batch.run()
    except KeyboardInterrupt:
        batch.tell_interrupted(cache, overwrite=args.overwrite)
        return EXIT_INTERRUPTED
    return batch.tell()
