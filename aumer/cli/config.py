"""`aumer config show`: what is in force, and where each value comes from."""

from __future__ import annotations

import argparse
from typing import Any

from aumer import strict
from aumer.cli.console import Console
from aumer.cli.options import SECTIONS, add_sensitivity, add_settings, settings_layers
from aumer.errors import EXIT_OK, UsageError, did_you_mean

#: What can be shown beside the settings: the folder of its presets.
_KINDS = {"network": "spotnet", "training": "train", "protocol": "bench"}

_EPILOG = """\
    aumer config show                                    what `aumer spot VIDEO` goes by
    aumer config show --config mine.toml --set motion.rate=60
    aumer config show > mine.toml                        a file to change and to give to --config
    aumer config show training aumer --set epochs=30     a preset, or a file of your own

A comment behind each value says where it comes from: default.toml, your file, --set (or a short way
to say it, such as --flow), a value that another one brings with it, or the built-in default.
"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``config show`` to the command's parsers."""
    parser = commands.add_parser(
        "config",
        help="print the settings in force, and where each comes from",
        description="Settings: defaults < --config < --set.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    showing = actions.add_parser(
        "show",
        parents=[common],
        help="all settings as TOML",
        description="Prints all settings in force as TOML, with a comment that says where each "
        "value comes from; or with KIND and NAME those of a preset.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    showing.add_argument(
        "preset",
        nargs="*",
        metavar="KIND NAME",
        help=f"a preset of {', '.join(_KINDS)}, by its name or file",
    )
    add_sensitivity(showing)
    add_settings(showing, several=True)
    showing.set_defaults(run=_show, parser=showing)


def _show(args: argparse.Namespace, console: Console) -> int:
    cls, layers = _preset(args) if args.preset else _settings(args)
    made: Any = strict.layered(cls, *layers)
    # What is kept of it may say its name; all else is shown, where nothing is kept of it too.
    values = {**made.to_dict(), **strict.plain(made)}
    origins = strict.origins(cls, *layers)
    notes = {path: origins.get(path, "built in") for path in strict.paths(values)}
    console.data(strict.to_toml(values, notes))
    return EXIT_OK


def _settings(args: argparse.Namespace) -> tuple[type, tuple[strict.Layer, ...]]:
    from aumer.config import Settings

    said = {} if args.sensitivity is None else {"rules.sensitivity": args.sensitivity}
    return Settings, (*settings_layers(args), strict.Layer("--sensitivity", said))


def _preset(args: argparse.Namespace) -> tuple[type, tuple[strict.Layer, ...]]:
    from aumer.bench.protocol import Protocol
    from aumer.spotting.interface import Architecture
    from aumer.training.settings import TrainSettings

    kind, *names = args.preset
    if kind not in _KINDS:
        known = ", ".join(_KINDS)
        raise UsageError(
            f"no kind of preset is called {kind!r}; there are {known}.{did_you_mean(kind, _KINDS)}"
        )
    if len(names) != 1:
        known = ", ".join(strict.presets(_KINDS[kind]))
        raise UsageError(f"which {kind}? Give one name, of {known}, or a file; found {names}")
    for option in ("config", "sensitivity"):
        if getattr(args, option):
            raise UsageError(f"--{option} is of {', '.join(SECTIONS)}; a {kind} has none of these")
    path = strict.preset(_KINDS[kind], names[0], f"{kind} or file")
    values = strict.read_toml(path)
    changes = dict(args.settings)
    classes: dict[str, type] = {"training": TrainSettings, "protocol": Protocol}
    if kind == "network":
        classes[kind], (values, changes) = Architecture.chosen(values, changes)
    if kind == "protocol":
        values = {"name": path.stem, **values}
    return classes[kind], (strict.Layer(names[0], values), strict.Layer("--set", changes))
