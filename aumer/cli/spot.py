"""`aumer spot`: expressions in one or many videos."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict

from aumer import registry
from aumer.cli.batch import EXIT_CODES, INPUTS, VideoBatch, add_batch, options_given
from aumer.cli.console import Console
from aumer.cli.options import (
    add_abstain,
    add_device,
    add_measuring,
    add_sensitivity,
    cache_folder,
    check_range,
    read_settings,
    real,
)
from aumer.errors import EXIT_INTERRUPTED, UsageError
from aumer.foreign import shown

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
    -o out.json|.csv|.png|.eaf|...    one video; `aumer convert --help` lists all formats
    -o all.csv                        several videos: the expressions of all; and all.inputs.csv:
                                      what became of each, failures and empty ones too
    -o FOLDER                         NAME.json for each video; --format csv, html, ... (repeatable)
                                      chooses other formats. The folder must exist; inputs of
                                      one name in several folders keep these folders below it.
                                      With html, index.html leads to the pages of all
    -o out.html                       a page that can be mailed: faces, curves, quality, settings
    -o -                              stdout as well
  With --face all every face has its own: out.json becomes out-face1.json, out-face2.json, ...; the
  one table of several videos holds all, its column `face` saying whose. Files of more faces that an
  earlier run has left are named on stderr, and stay.

manifest:
  --manifest TABLE lists videos in a column `file` (relative to the table's folder), one a row, and
  may say `start`, `end` (seconds), `fps` and `face` of each; a file may stand in several rows. All
  columns are carried into the results. With `subject` or `condition` among them (--by names
  others), totals are told by these: expressions a minute of measured time and their durations; at
  the end of the table on stdout, in all.totals.csv beside all.csv, and in index.html.

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
    scope = "of stdout (table, json, csv) and of the files in a folder (all but table)"
    add_batch(parser, formats, scope, several="*")
    add = parser.add_argument
    add("--manifest", metavar="TABLE", help="videos, and what is known of them, from a table")
    add(
        "--by",
        action="append",
        metavar="COLUMN",
        help="column of the manifest that parts the totals (repeatable)",
    )
    add(
        "--resume",
        action="store_true",
        help="leave out videos whose files in the folder of -o are of this very run",
    )
    add("--no-faces", action="store_true", help="pictures and pages without any face")
    add("--model", metavar="NAME", help="spotter (default: combined), or a file of weights")
    add("--graph", metavar="NAME", help="AU graph, by name or file, in place of the network's own")
    add("--classify", action="store_true", help="label every expression: a second pass over it")
    add(
        "--recognizer",
        metavar="NAME",
        help="what labels: a file of weights of `aumer train`, or the name of one that ships, "
        "graph (default) or graph-motion (implies --classify)",
    )
    add("--aus", action="store_true", help="read the action units of each: a second pass over it")
    add(
        "--au-reader",
        dest="au_reader",
        metavar="NAME",
        help="what reads them, by name or file of weights (implies --aus)",
    )
    add_device(parser)
    add_abstain(parser)
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
    from aumer.cli.outputs import Outputs, plan

    check_range(args)
    inputs = _inputs(args, console)
    recognizer = args.recognizer or ("default" if args.classify else None)
    aus = args.au_reader or args.aus
    if (recognizer or aus) and any(isinstance(given.source, int) for given in inputs):
        raise UsageError(
            "--classify and --aus read frames twice, which a camera does not allow: record a file, "
            "and give that"
        )
    by = _groups(args, inputs)
    settings = read_settings(args)
    every = settings.face.follow == "all"
    planned = plan(
        inputs,
        args.output,
        args.format,
        overwrite=args.overwrite,
        faces=every,
        by=by,
        units=bool(aus),
        resume=args.resume,
    )
    cache = cache_folder(args)

    from aumer.pipeline import Spotter

    options = options_given(args, "model", "graph", "device", "sensitivity", "micro_max_s")
    # A manifest may ask for another face of some videos: what follows it has another tracker.
    spotters = {
        face: Spotter(settings=settings, recognizer=recognizer, aus=aus, face=face, **options)
        for face in dict.fromkeys(given.face for given in inputs)
    }
    numbers = {id(given): number for number, given in enumerate(inputs)}

    def work(given: Input) -> tuple[SpotResult, ...]:
        spotter, part = spotters[given.face], _part(args, given)

        def fits(stored: SpotResult) -> bool:
            same = dict(stored.about) == dict(given.about)
            return same and spotter.repeats(stored, given.source, **part)

        if (kept := outputs.kept(numbers[id(given)], fits)) is not None:
            console.note(f"{shown(given.text)}: the result of an earlier run is kept")
            return kept
        found = spotter.each_face(
            given.source,
            cache=cache,
            progress=console.progress,
            workers=args.workers,
            **part,
            **options_given(args, "min_coverage"),
        )
        return tuple(replace(one, about=dict(given.about)) for one in found)

    outputs = Outputs(planned, inputs, console, args.fps, show_faces=not args.no_faces, by=by)
    batch = VideoBatch(inputs, work, outputs, console)
    try:
        with ExitStack() as stack:
            for spotter in spotters.values():
                stack.enter_context(spotter)
            batch.run()
    except KeyboardInterrupt:
        option = "--resume" if planned.resumable else "--overwrite"
        batch.report_interrupted(cache, "" if args.overwrite or args.resume else option)
        return EXIT_INTERRUPTED
    return batch.summarize()


def _inputs(args: argparse.Namespace, console: Console) -> tuple[Input, ...]:
    """The videos of the command line, or of the manifest."""
    from aumer.cli.inputs import check_input, parse_inputs

    if args.manifest is None:
        if not args.videos:
            raise UsageError(
                "no VIDEO is given: name one, a folder of them, or --manifest TABLE. See "
                "`aumer spot --help`"
            )
        return parse_inputs(
            args.videos, fps=args.fps, end=args.end, recursive=args.recursive, note=console.note
        )
    if args.videos:
        raise UsageError(
            f"--manifest names the videos, and {args.videos[0]} is given beside it: give one or "
            "the other"
        )
    from aumer.cli.manifest import read_manifest

    inputs = read_manifest(args.manifest)
    for given in inputs:
        check_input(given, fps=args.fps, end=args.end)
    named = [one.text for one in inputs if isinstance(one.source, str)]
    if missing := [shown(text) for text in dict.fromkeys(named) if not os.path.lexists(text)]:
        more = ", ..." if len(missing) > 5 else ""
        console.note(
            f"{args.manifest} names {len(missing)} files that are not there: "
            f"{', '.join(missing[:5])}{more}"
        )
    return inputs


def _groups(args: argparse.Namespace, inputs: tuple[Input, ...]) -> tuple[str, ...]:
    """The columns that part the totals."""
    columns = list(dict.fromkeys(name for given in inputs for name, _ in given.about))
    if args.by is None:
        return tuple(name for name in columns if name.casefold() in ("subject", "condition"))
    for name in args.by:
        if name not in columns:
            raise UsageError(
                f"--by {name}: there is no such column; the manifest has "
                f"{', '.join(columns) or 'none, as none is given'}"
            )
    return tuple(dict.fromkeys(args.by))


class _Part(TypedDict):
    start: float | None
    end: float | None
    fps: float | None


def _part(args: argparse.Namespace, given: Input) -> _Part:
    """Which part of a video is read, and at which rate: a manifest's word comes first."""
    return _Part(
        start=args.start if given.start is None else given.start,
        end=args.end if given.end is None else given.end,
        fps=args.fps if given.fps is None else given.fps,
    )
