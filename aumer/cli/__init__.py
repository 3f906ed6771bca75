"""The `aumer` command. Data goes to stdout; progress, logs and errors go to stderr.

This module and the parsers import nothing heavy, so that ``aumer --help`` is quick; each command
imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from typing import Any, NoReturn

from aumer.cli import bench, classify, config, data, features, graph, models, simulate, spot, train
from aumer.cli.console import Console, abandon_stdout, interrupted
from aumer.errors import EXIT_BUG, EXIT_INTERRUPTED, AumerError, did_you_mean

#: Whoever read stdout stopped reading; what a shell reports of a program killed by SIGPIPE.
EXIT_READER_GONE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return its exit code."""
    try:
        return _main(argv)
    except BrokenPipeError:
        abandon_stdout()
        return EXIT_READER_GONE


def _main(argv: Sequence[str] | None) -> int:
    try:
        args = _parse(argv)
    except SystemExit as done:  # --help, --version, or a usage error that argparse has printed
        if sys.stdout is not None:
            sys.stdout.flush()
        return done.code if isinstance(done.code, int) else 0
    with Console(args.verbose, quiet=args.quiet) as console:
        try:
            code: int = args.run(args, console)
            return code
        except BrokenPipeError:
            raise
        except (Exception, KeyboardInterrupt) as error:
            if interrupted(error):
                console.error("interrupted")
                return EXIT_INTERRUPTED
            if isinstance(error, AumerError):
                console.error(str(error))
                return error.exit_code
            console.bug(error)
            return EXIT_BUG


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        # An abbreviated option would mean something else once a longer one is added.
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        # argparse would print the usage of all options first, and the error drowns in it.
        self.exit(2, f"{self.prog}: error: {message}\nSee `{self.prog} --help`.\n")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    args, unknown = _parser().parse_known_args(argv)
    if unknown:
        # Left to argparse, the main parser would complain, which knows no option of the command.
        parser: argparse.ArgumentParser = args.parser
        near = did_you_mean(unknown[0].partition("=")[0], parser._option_string_actions)
        parser.error(f"there is no {unknown[0]!r} here.{near}")
    return args


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import aumer

        try:
            version = aumer.__version__
        except PackageNotFoundError:  # run from a checkout
            version = "(not installed)"
        print(f"aumer {version}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="aumer",
        description="Spots facial micro- and macro-expressions in video.",
        epilog="`aumer COMMAND --help` describes a command and its exit codes.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    common = _Parser(add_help=False)
    talk = common.add_mutually_exclusive_group()
    talk.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="say more on stderr, and show the traceback of an internal error; -vv says all",
    )
    talk.add_argument(
        "-q", "--quiet", action="store_true", help="nothing but errors on stderr, no progress"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    spot.add_parser(commands, common)
    classify.add_parser(commands, common)
    features.add_parser(commands, common)
    bench.add_parser(commands, common)
    config.add_parser(commands, common)
    doctor = commands.add_parser(
        "doctor",
        parents=[common],
        help="print versions, devices and which back ends can run",
        description="Prints versions, devices, which OpenCV is in place, which back ends can run "
        "and why the others cannot. Exit code 0 if `aumer spot` can run with its defaults.",
    )
    doctor.add_argument("--json", action="store_true", help="print JSON instead of text")
    doctor.set_defaults(run=_doctor, parser=doctor)
    models.add_parser(commands, common)
    graph.add_parser(commands, common)
    data.add_parser(commands, common)
    simulate.add_parsers(commands, common)
    train.add_parser(commands, common)
    return parser


def _doctor(args: argparse.Namespace, console: Console) -> int:
    from aumer import doctor

    code = doctor.main(as_json=args.json)
    console.data("")  # flushes what was printed
    return code
