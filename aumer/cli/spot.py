"""`aumer spot`: expressions in one or many videos."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict

from aumer import registry
from aumer.cli.batch import (
    EXIT_CODES,
    INPUTS,
    VideoBatch,
    add_batch,
    cache_there,
    cluster_of,
    options_given,
)
from aumer.cli.console import Console
from aumer.cli.options import (
    SPOTTER,
    add_abstain,
    add_device,
    add_measuring,
    add_spotter,
    cache_folder,
    check_range,
    read_settings,
)
from aumer.errors import EXIT_INTERRUPTED, EXIT_PARTIAL, AumerError, UsageError
from aumer.foreign import shown
from aumer.remote import Mirror, is_address

if TYPE_CHECKING:
    from aumer.cli.batch import Outcome
    from aumer.cli.inputs import Input
    from aumer.config import Settings
    from aumer.results import SpotResult
    from aumer.workers import Workers

#: The format for stdout only, from `aumer.cli.outputs`, which help must not import.
_TABLE = "table"

_EPILOG = f"""\
{INPUTS}
outputs:
  Without -o a table is printed, or with --format json one JSON document a line for each video
  (JSON Lines), or with --format csv one CSV table. -o (repeatable) names where to write instead:
    -o out.json|.csv|.png|.eaf|...    one video; `aumer convert --help` lists all formats
    -o all.csv                        several videos: the expressions of all; and all.inputs.csv:
                                      the outcome of each, including failed and empty ones
    -o FOLDER                         NAME.json for each video; --format csv, html, ... (repeatable)
                                      chooses other formats. The folder must exist; inputs of
                                      one name in several folders keep these folders below it.
                                      With html, index.html leads to the pages of all
    -o out.html                       a page that can be mailed: faces, curves, quality, settings
    -o -                              stdout as well
  With --face all each face has its own file: out.json becomes out-face1.json, out-face2.json, ...;
  the table of several videos holds all faces, numbered in the column `face`. Files of further faces
  from an earlier run are named on stderr, and stay.

manifest:
  --manifest TABLE lists videos in a column `file` (relative to the table's folder), one per row,
  with optional columns `start`, `end` (seconds), `fps` and `face`; a file may occur in several
  rows. All columns are copied to the results. If `subject` or `condition` is among them (--by names
  others), totals are grouped by these: expressions per minute of measured time and their durations;
  after the table on stdout, in all.totals.csv beside all.csv, and in index.html.

settings:
  defaults < --config < --set, --flow, --detector, --landmarker (the last one given wins).
  `--set rules.min_s=0.2` takes a TOML value; a string needs no quotes.
  `aumer config show` prints all settings and where each comes from.
  --sensitivity sets the threshold by the false alarms per minute in a face at rest: low .1,
  normal .25, high .5 (--model rules: 2.2, 6.7, 16.5), or a number; measured on simulated faces that
  blink, swallow and turn. --model network has none, as it was not measured. It overrides
  --set rules.sensitivity.

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
    add("--manifest", metavar="TABLE", help="a table of videos with further columns")
    add(
        "--by",
        action="append",
        metavar="COLUMN",
        help="column of the manifest by which totals are grouped (repeatable)",
    )
    add(
        "--resume",
        action="store_true",
        help="skip videos whose results in the folder of -o were made by the same run",
    )
    add("--no-faces", action="store_true", help="leave faces out of pictures and pages")
    add_spotter(parser)
    add(
        "--classify",
        action="store_true",
        help="label each expression; reads its frames a second time",
    )
    add(
        "--recognizer",
        metavar="NAME",
        help="recognizer: a file of weights of `aumer train`, or the name of one that ships, "
        "graph (default) or graph-motion (implies --classify)",
    )
    add(
        "--aus",
        action="store_true",
        help="read the action units of each expression; reads its frames a second time",
    )
    add(
        "--au-reader",
        dest="au_reader",
        metavar="NAME",
        help="what reads them, by name or file of weights (implies --aus)",
    )
    add_device(parser)
    add_abstain(parser)
    add_measuring(parser)


# -- the run -----------------------------------------------------------------------------------


def run(args: argparse.Namespace, console: Console) -> int:
    """Check all arguments, then spot in the videos in turn."""
    check_range(args)
    workers = cluster_of(args, console)
    inputs = _inputs(args, console)
    recognizer = args.recognizer or ("default" if args.classify else None)
    aus = args.au_reader or args.aus
    if (recognizer or aus) and any(isinstance(given.source, int) for given in inputs):
        raise UsageError(
            "--classify and --aus read frames twice, which a camera does not allow: record a file, "
            "and give that"
        )
    if workers and any(isinstance(given.source, int) for given in inputs):
        raise UsageError("a camera is of this machine: leave --backend dask out for it")
    by = _groups(args, inputs)
    settings = read_settings(args)
    with Mirror(tuple(args.output)) as mirror:
        return _Run(args, console, inputs, workers, mirror, settings, by).go(recognizer, aus)


class _Run:
    """One run of the command, with checked arguments."""

    def __init__(
        self,
        args: argparse.Namespace,
        console: Console,
        inputs: tuple[Input, ...],
        workers: Workers | None,
        mirror: Mirror,
        settings: Settings,
        by: tuple[str, ...],
    ) -> None:
        self._args, self._console, self._inputs = args, console, inputs
        self._workers, self._mirror, self._settings, self._by = workers, mirror, settings, by

    def go(self, recognizer: str | None, aus: str | bool) -> int:
        """Spot in all videos; returns the exit code."""
        from aumer.cli.outputs import Outputs, plan
        from aumer.pipeline import Spotter

        args, inputs = self._args, self._inputs
        self._planned = planned = plan(
            inputs,
            self._mirror.texts,
            args.format,
            overwrite=args.overwrite,
            faces=self._settings.face.follow == "all",
            by=self._by,
            units=bool(aus),
            resume=args.resume,
        )
        # Each worker of a cluster has its own cache, or all share the requested folder.
        self._cache = None if self._workers else cache_folder(args)
        options = options_given(args, *SPOTTER)
        self._options = {**options, "recognizer": recognizer, "aus": aus}
        # A manifest may request another face for some videos, which needs another tracker.
        self._spotters = {
            face: Spotter(settings=self._settings, face=face, **self._options)
            for face in dict.fromkeys(given.face for given in inputs)
        }
        self._outputs = Outputs(
            planned,
            inputs,
            self._console,
            args.fps,
            show_faces=not args.no_faces,
            by=self._by,
            mirror=self._mirror,
        )
        if self._workers:
            self._workers.check()
        planned.make_folders()
        batch = VideoBatch(
            inputs,
            self._work,
            self._outputs,
            self._console,
            elsewhere=self._elsewhere if self._workers else None,
            told=self._mirror.told,
        )
        try:
            with ExitStack() as stack:
                for spotter in self._spotters.values():
                    stack.enter_context(spotter)
                batch.run()
        except KeyboardInterrupt:
            option = "--resume" if planned.resumable else "--overwrite"
            batch.report_interrupted(self._cache, "" if args.overwrite or args.resume else option)
            return EXIT_INTERRUPTED
        code = batch.summarize()
        again = args.resume or args.overwrite
        if code == EXIT_PARTIAL and planned.resumable and not again:
            self._console.note("with --resume the same command keeps what is there, and goes on")
        return code

    def _earlier_results(self, number: int, given: Input) -> tuple[SpotResult, ...] | None:
        """The results of an earlier run for an input, a local file."""
        spotter, part = self._spotters[given.face], _part(self._args, given)

        def fits(stored: SpotResult) -> bool:
            same = dict(stored.about) == dict(given.about)
            return same and spotter.repeats(stored, given.source, **part)

        if (found := self._outputs.kept(number, fits)) is not None:
            self._console.note(f"{shown(given.text)}: the result of an earlier run is kept")
        return found

    def _work(self, number: int, given: Input) -> tuple[SpotResult, ...]:
        if (there := self._earlier_results(number, given)) is not None:
            return there
        found = self._spotters[given.face].each_face(
            given.source,
            cache=self._cache,
            progress=self._console.progress,
            workers=self._args.workers,
            **_part(self._args, given),
            **options_given(self._args, "min_coverage"),
        )
        made = tuple(replace(one, about=dict(given.about)) for one in found)
        if given is self._inputs[number]:
            return made
        return tuple(replace(one, source=None) for one in made)  # the local copy is removed soon

    def _elsewhere(self) -> Iterator[tuple[int, Outcome[SpotResult]]]:
        """Outcomes of the inputs from workers, and results kept from an earlier run."""
        from aumer.cli.away import (
            RETRIES,
            How,
            SpotJob,
            aumer_version,
            from_anywhere,
            nearby,
            options_from_anywhere,
            outcome,
            spot_there,
        )

        assert self._workers is not None
        args, left = self._args, []
        for number, given in enumerate(self._inputs):
            if not args.resume:
                left.append(number)
                continue
            try:
                with nearby(given) as here:
                    there = self._earlier_results(number, here)
            except AumerError as error:
                yield number, error
                continue
            if there is None:
                left.append(number)
            else:
                yield number, tuple((one, None) for one in there)
        hows = {
            face: How(
                settings=self._settings,
                options=options_from_anywhere({**self._options, "face": face}),
                cache=cache_there(args),
                threads=args.workers,
                min_coverage=args.min_coverage,
                version=aumer_version(),
            )
            for face in self._spotters
        }
        jobs = [
            SpotJob(
                given=from_anywhere(self._inputs[number]),
                how=hows[self._inputs[number].face],
                planned=self._planned.alone(number),
                part=_pairs(_part(args, self._inputs[number])),
                show_faces=not args.no_faces,
                homes=tuple(
                    None if self._mirror.address(path) else path.parent.absolute()
                    for path in self._planned.files[number]
                ),
                fps=args.fps,
            )
            for number in left
        ]
        for k, made in self._workers.each(spot_there, jobs, retries=RETRIES):
            yield left[k], outcome(made)


def _inputs(args: argparse.Namespace, console: Console) -> tuple[Input, ...]:
    """The videos of the command line or the manifest."""
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
    named = [i.text for i in inputs if isinstance(i.source, str) and not is_address(i.source)]
    if missing := [shown(text) for text in dict.fromkeys(named) if not os.path.lexists(text)]:
        more = ", ..." if len(missing) > 5 else ""
        console.note(
            f"{args.manifest} names {len(missing)} files that are not there: "
            f"{', '.join(missing[:5])}{more}"
        )
    return inputs


def _groups(args: argparse.Namespace, inputs: tuple[Input, ...]) -> tuple[str, ...]:
    """The columns that group totals."""
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


def _pairs(part: _Part) -> tuple[tuple[str, float | None], ...]:
    return ("start", part["start"]), ("end", part["end"]), ("fps", part["fps"])


def _part(args: argparse.Namespace, given: Input) -> _Part:
    """The part and frame rate of a video; values of a manifest take precedence."""
    return _Part(
        start=args.start if given.start is None else given.start,
        end=args.end if given.end is None else given.end,
        fps=args.fps if given.fps is None else given.fps,
    )
