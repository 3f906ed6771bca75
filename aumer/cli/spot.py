"""`aumer spot`: expressions in one or many videos."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aumer import registry
from aumer.cli.console import Console, interrupted
from aumer.cli.options import (
    add_device,
    add_measuring,
    add_range,
    add_sensitivity,
    cache_folder,
    check_range,
    read_settings,
    real,
)
from aumer.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_PARTIAL,
    EXIT_UNREADABLE,
    AumerError,
    UsageError,
)

if TYPE_CHECKING:
    from aumer.cli.inputs import Input
    from aumer.cli.outputs import Outputs
    from aumer.results import SpotResult

#: That of stdout alone, of `aumer.cli.outputs`, which the help must not import.
_TABLE = "table"

_EPILOG = """\
inputs:
  VIDEO is a file, a folder of frames (needs --fps), or camera:0 (needs --end). Several are done one
  after the other; one that fails does not stop the rest.

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
  rest: low .2, normal .5, high 1.0 (--model rules: 1.9, 6.0, 15.4), or a number; on simulated
  faces with all their blinks, swallows and turns. --model network takes none: nobody measured it.
  It wins over --set rules.sensitivity.

exit codes:
    0  done, also if no expression was found
    1  internal error: please report it
    2  an option, a setting or an output cannot be used
    3  the input cannot be read
    4  too few frames show a usable face
    5  weights are missing or do not fit
    6  some inputs failed, or all did for different reasons; a table on stderr says why
  130  interrupted; what was analysed is kept (see --cache) and the same command goes on from there
  141  whoever read stdout stopped reading
  143  ended by SIGTERM, at once, as by SIGKILL (137): nothing that was written is damaged, and the
       same command goes on as after an interrupt
"""


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
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO", help="file, folder of frames, or camera:0")
    add("-o", "--output", action="append", default=[], metavar="PATH", help="see below")
    add(
        "--format",
        action="append",
        default=[],
        choices=(_TABLE, *registry.names("format")),
        help="of stdout (table, json, csv) and of the files in a folder (all but table)",
    )
    add("--overwrite", action="store_true", help="replace existing files")
    add_range(parser)
    add("--model", metavar="NAME", help="spotter (default: combined), or a file of weights")
    add("--graph", metavar="NAME", help="AU graph, by name or file, in place of the network's own")
    add("--classify", action="store_true", help="label every expression: a second pass over it")
    add(
        "--recognizer",
        metavar="NAME",
        help="what labels, by name or file of weights (implies --classify)",
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
    if recognizer and any(isinstance(given.source, int) for given in inputs):
        raise UsageError(
            "--classify reads the frames of expressions a second time, and a camera cannot be read "
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
        **_given(args, "model", "graph", "device", "sensitivity", "micro_max_s"),
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
            **_given(args, "min_coverage"),
        )

    batch = _Batch(inputs, work, Outputs(planned, inputs, console, args.fps), console)
    try:
        with spotter:
            batch.run()
    except KeyboardInterrupt:
        batch.tell_interrupted(cache, overwrite=args.overwrite)
        return EXIT_INTERRUPTED
    return batch.tell()


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Options for a call; those not given are left out, so that the library's defaults hold."""
    return {name: value for name in names if (value := getattr(args, name)) is not None}


@dataclass(frozen=True)
class _Failure:
    given: Input
    exit_code: int
    reason: str


class _Batch:
    """The videos one after the other; each failure is told at once and again at the end."""

    def __init__(
        self,
        inputs: tuple[Input, ...],
        work: Callable[[Input], tuple[SpotResult, ...]],
        outputs: Outputs,
        console: Console,
    ) -> None:
        self._inputs, self._work, self._outputs, self._console = inputs, work, outputs, console
        self._failures: list[_Failure] = []
        self._written: list[Path] = []
        self._done = self._micro = self._macro = 0

    def run(self) -> None:
        self._written += self._outputs.list_inputs()
        for number, given in enumerate(self._inputs):
            self._console.start(self._title(number))
            try:
                results = self._work(given)
                saved = [(result, self._outputs.save(number, result)) for result in results]
            except Exception as error:
                if interrupted(error):
                    raise KeyboardInterrupt from error
                self._fail(given, error)
                self._outputs.list_inputs(number, error)
                continue
            finally:
                self._console.finish()
            self._done += 1
            self._outputs.list_inputs(number, results)
            self._console.notes(given.text, (n for result in results for n in result.notes))
            for result, written in saved:
                self._micro += len(result.micro)
                self._macro += len(result.macro)
                self._written += [path for path in written if path not in self._written]
                if written:
                    self._console.note(f"{result.summary()}; wrote {', '.join(map(str, written))}")
                self._outputs.show(number, result)
            stale = self._outputs.stale(number, results)
            if stale:
                self._console.note(
                    f"{given.text}: of an earlier run, not of this one: "
                    f"{', '.join(map(str, stale))}. This run found no such face; the files were "
                    "left as they are: delete or move them"
                )

    def tell(self) -> int:
        """What came of it all, and the exit code."""
        failures, total = self._failures, len(self._inputs)
        if self._done:
            videos = f"{self._done} of {total} videos" if failures else f"{total} videos"
            self._outputs.close(f"{videos}: {self._micro} micro, {self._macro} macro")
        for path in self._outputs.listed:
            self._console.note(f"what became of each video: {path}")
        if not failures:
            return EXIT_OK
        if total > 1:
            width = max(len(f.given.text) for f in failures)
            lines = [
                f"  {f.given.text:<{width}}  exit code {f.exit_code}  {f.reason}" for f in failures
            ]
            self._console.line("\n".join([f"{len(failures)} of {total} videos failed:", *lines]))
        codes = {f.exit_code for f in failures}
        return codes.pop() if len(failures) == total and len(codes) == 1 else EXIT_PARTIAL

    def tell_interrupted(self, cache: Path | None, *, overwrite: bool) -> None:
        """What is safe after Ctrl-C, and how to go on."""
        total = len(self._inputs)
        camera = any(isinstance(given.source, int) for given in self._inputs[self._tried :][:1])
        self._console.error(
            f"interrupted; {self._done} of {total} videos are done. "
            + (f"Written: {', '.join(map(str, self._written))}. " if self._written else "")
            + (
                f"What was analysed is kept in {cache}: the same command"
                + (" with --overwrite" if self._written and not overwrite else "")
                + " goes on from there"
                if cache and not camera
                else "The unfinished one will begin anew"
            )
        )

    @property
    def _tried(self) -> int:
        return self._done + len(self._failures)

    def _title(self, number: int) -> str:
        text = Path(self._inputs[number].text).name or self._inputs[number].text
        return f"[{number + 1}/{len(self._inputs)}] {text}" if len(self._inputs) > 1 else text

    def _fail(self, given: Input, error: Exception) -> None:
        if isinstance(error, AumerError):
            code, reason = error.exit_code, self._console.worded(error)
            named = given.text in reason or Path(given.text).name in reason
            self._console.error(reason if named else f"{given.text}: {reason}")
        elif isinstance(error, OSError) and _is_about(error, given):  # a missing right, mostly
            code, reason = EXIT_UNREADABLE, f"{given.text} cannot be read: {error.strerror}"
            self._console.error(reason)
        else:
            code, reason = EXIT_BUG, f"internal error, {type(error).__name__}: {error}"
            self._console.bug(error, where=f"{given.text}: ")
        self._failures.append(_Failure(given, code, " ".join(reason.split())))


def _is_about(error: OSError, given: Input) -> bool:
    """Whether the system refused this very input, not a file of some package."""
    return str(error.filename).startswith(os.path.expanduser(given.text))  # noqa: PTH111
