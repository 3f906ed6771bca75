"""The `aumer` command. Data goes to stdout; progress, logs and errors go to stderr.

This module and the parsers import nothing heavy, so that ``aumer --help`` is quick; each command
imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from typing import Any, NoReturn

from aumer import plugins, registry
from aumer.cli.console import Console, abandon_stdout, interrupted
from aumer.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_USAGE, AumerError, did_you_mean
from aumer.missing import explained
from aumer.process import keep_streams

#: The commands in the order of the help; registered ones follow.
COMMANDS = (
    *("spot", "live", "classify", "features", "bench", "config", "doctor", "models", "graph"),
    *(
        "data",
        "view",
        "serve",
        "agreement",
        "convert",
        "simulate",
        "demo",
        "train",
        "export",
        "completion",
    ),
)

#: The text of `aumer` without arguments.
WELCOME = """\
aumer finds micro- and macro-expressions of the face in video. Begin with one of

  aumer spot VIDEO       find the expressions in a video, and print a table of them
  aumer demo --open      no video at hand? make one, find its expressions, look at them
  aumer doctor           check this installation

`aumer COMMAND --help` describes a command; `aumer --help` lists all of them.
"""

#: The reader of stdout closed it; as shells report a program killed by SIGPIPE.
EXIT_READER_GONE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return its exit code."""
    keep_streams()
    if not (sys.argv[1:] if argv is None else argv):
        if sys.stderr is not None:
            sys.stderr.write(WELCOME)
        return EXIT_USAGE
    try:
        return _main(argv)
    except BrokenPipeError:
        abandon_stdout()
        return EXIT_READER_GONE


def _main(argv: Sequence[str] | None) -> int:
    try:
        # Before any name is resolved, also that of a command.
        for plugin in _plugins(argv):
            plugins.load(plugin)
        try:
            args = _parse(argv)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except AumerError as error:
        with Console(words=sys.argv[1:] if argv is None else argv) as console:
            console.error(error)
        return error.exit_code
    except SystemExit as done:  # --help, --version, or an error that argparse printed
        return done.code if isinstance(done.code, int) else 0
    except BrokenPipeError:
        raise
    except OSError as error:  # their output goes to a full disk
        abandon_stdout()
        with Console() as console:
            console.error(f"cannot write to stdout: {error.strerror or error}")
        return EXIT_USAGE
    options = args.parser._option_string_actions
    words = sys.argv[1:] if argv is None else argv
    with Console(args.verbose, quiet=args.quiet, options=options, words=words) as console:
        try:
            code: int = args.run(args, console)
            return code
        except BrokenPipeError:
            raise
        except (Exception, KeyboardInterrupt) as error:
            if interrupted(error):
                console.error("interrupted")
                return EXIT_INTERRUPTED
            known = error if isinstance(error, AumerError) else explained(error)
            if known is not None:
                console.error(known)
                return known.exit_code
            console.bug(error)
            return EXIT_BUG


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        # No abbreviations: a new option could change their meaning.
        super().__init__(**options, allow_abbrev=False)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # Replaces argparse's message, which suggests no alternatives.
        if action.choices is not None and value not in action.choices:
            allowed = [str(one) for one in action.choices]
            near = did_you_mean(str(value), allowed)
            text = f"must be one of {', '.join(allowed)}; found {value!r}.{near}"
            raise argparse.ArgumentError(action, text)

    def error(self, message: str) -> NoReturn:
        # argparse would print the usage of all options before the error.
        self.exit(2, f"{self.prog}: error: {message}\nSee `{self.prog} --help`.\n")


def _plugins(argv: Sequence[str] | None) -> list[str]:
    parser = _Parser(prog="aumer", add_help=False)
    _add_plugin(parser)
    found: list[str] = parser.parse_known_args(argv)[0].plugin
    return found


def _add_plugin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE",
        help="import this Python file or module, which registers your own parts (repeatable)",
    )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    args, unknown = command_parser().parse_known_args(argv)
    if unknown:
        # Otherwise the main parser would raise the error, which does not know the command's
        # options.
        parser: argparse.ArgumentParser = args.parser
        name, known = unknown[0].partition("=")[0], parser._option_string_actions
        near = did_you_mean(name, known)
        if name in known:  # argparse looks for a command's options behind its name alone
            near = f" It goes behind the command: `{parser.prog} {name}`."
        if os.path.lexists(unknown[0]):  # for example from a shell's *.mp4
            near = f" For the file of that name write ./{unknown[0]}."
        parser.error(f"unrecognized argument {unknown[0]!r}.{near}")
    return args


class _Version(argparse.Action):
    """Looks up the version only when requested."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import aumer

        try:
            version = aumer.__version__
        except PackageNotFoundError:  # run from a checkout
            version = "(not installed)"
        print(f"aumer {version}")
        parser.exit()


def command_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, with every registered command."""
    parser = _Parser(
        prog="aumer",
        description="Spots facial micro- and macro-expressions in video.",
        epilog="`aumer COMMAND --help` describes a command and its exit codes.",
    )
    parser.set_defaults(parser=parser)  # default for registered commands
    _add_plugin(parser)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    common = _Parser(add_help=False)
    talk = common.add_mutually_exclusive_group()
    talk.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="print more on stderr, with tracebacks of internal errors; -vv prints everything",
    )
    talk.add_argument(
        "-q", "--quiet", action="store_true", help="print only errors on stderr, no progress"
    )
    _add_plugin(common)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    others = (name for name in registry.names("command") if name not in COMMANDS)
    for name in COMMANDS:
        registry.resolve("command", name)(commands, common)
    for name in others:
        try:
            registry.resolve("command", name)(commands, common)
        except Exception as error:  # a broken plugin must not disable the others
            what = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"aumer: warning: no command {name!r}: {what}", file=sys.stderr)
    return parser
