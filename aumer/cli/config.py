"""`aumer config show`: all settings with their sources, and the names of parts."""

from __future__ import annotations

import argparse
from typing import Any

from aumer import registry, strict
from aumer.cli.console import Console
from aumer.cli.options import (
    SECTIONS,
    add_sensitivity,
    add_settings,
    require_parts,
    settings_layers,
)
from aumer.errors import EXIT_OK, UsageError, did_you_mean

#: Kinds of presets that can be shown, with their folders.
_KINDS = {"network": "spotnet", "training": "train", "protocol": "bench"}
#: The word that shows all registered parts, like a kind of preset.
_PARTS = "parts"

_EPILOG = """\
    aumer config show                                    the settings of `aumer spot VIDEO`
    aumer config show --config mine.toml --set motion.rate=60
    aumer config show > mine.toml                        a file to change and to give to --config
    aumer config show training aumer --set epochs=30     a preset, or a file of your own
    aumer config show parts                              all that can be named: flows, spotters, ...
    aumer config show parts flow --plugin mine.py        those of some kinds, your own among them

A comment after each value names its source: default.toml, your file, --set (or an option such as
--flow), another value that implies it, or the built-in default. After a part it names the source of
the part: built in, registered (by a plugin), or the package of an entry point.
"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``config show`` to the command's parsers."""
    parser = commands.add_parser(
        "config",
        help="print all settings and the names of all parts, with their sources",
        description="Settings: defaults < --config < --set.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    showing = actions.add_parser(
        "show",
        parents=[common],
        help="all settings as TOML",
        description="Prints all settings in force as TOML, with a comment that says where each "
        "value comes from, and the names of all parts; or with KIND and NAME those of a preset.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    showing.add_argument(
        "preset",
        nargs="*",
        metavar="KIND NAME",
        help=f"a preset of {', '.join(_KINDS)}, by its name or file; or {_PARTS}, of some kinds",
    )
    add_sensitivity(showing)
    add_settings(showing, several=True)
    showing.set_defaults(run=_show, parser=showing)


def _show(args: argparse.Namespace, console: Console) -> int:
    if args.preset[:1] == [_PARTS]:
        console.data(_parts(args))
        return EXIT_OK
    cls, layers = _preset(args) if args.preset else _settings(args)
    made: Any = strict.layered(cls, *layers)
    # Refuse unknown names of parts, as a run would.
    if args.preset:
        made.require_parts()
    else:
        require_parts(made)
    # A preset that is stored without its name is shown with it.
    values = {**made.to_dict(), **strict.plain(made)}
    origins = strict.origins(cls, *layers)
    notes = {path: origins.get(path, "built in") for path in strict.paths(values)}
    console.data(strict.to_toml(values, notes))
    if not args.preset:
        console.data(_names())
    return EXIT_OK


def _names() -> str:
    """Names of parts, as comments after the settings that choose one."""
    lines = [f"# {kind}: {', '.join(registry.names(kind)) or 'none'}" for kind in registry.kinds()]
    header = f"# Parts by kind; `aumer config show {_PARTS}` says where each comes from."
    return "\n".join(["", header, *lines, ""])


def _parts(args: argparse.Namespace) -> str:
    """The parts as TOML, one table per kind: names with the locations of their code."""
    _, *asked = args.preset
    for option in ("config", "sensitivity", "settings"):
        if getattr(args, option):
            raise UsageError(
                f"--{'set' if option == 'settings' else option} does not apply to parts, which "
                "have no "
                "settings here: leave it out"
            )
    found = {kind: registry.sources(kind) for kind in asked or registry.kinds()}
    places = {k: {name: where for name, (where, _) in of.items()} for k, of in found.items()}
    notes = {f"{k}.{name}": whose for k, of in found.items() for name, (_, whose) in of.items()}
    return strict.to_toml(places, notes)


def _settings(args: argparse.Namespace) -> tuple[type, tuple[strict.Layer, ...]]:
    from aumer.config import Settings

    sensitivity = {} if args.sensitivity is None else {"rules.sensitivity": args.sensitivity}
    return Settings, (*settings_layers(args), strict.Layer("--sensitivity", sensitivity))


def _preset(args: argparse.Namespace) -> tuple[type, tuple[strict.Layer, ...]]:
    from aumer.bench.protocol import Protocol
    from aumer.bench.protocol import load as load_protocol
    from aumer.spotting.parts import Architecture
    from aumer.training.settings import TrainSettings

    kind, *names = args.preset
    if kind not in _KINDS:
        known = (*_KINDS, _PARTS)
        raise UsageError(
            f"`aumer config show` cannot show {kind!r}; it can show "
            f"{', '.join(known)}.{did_you_mean(kind, known)}"
        )
    # Protocols are parts, too: shipped ones are files, others are registered.
    of_files = strict.presets(_KINDS[kind])
    known = registry.names("protocol") if kind == "protocol" else of_files
    if len(names) != 1:
        raise UsageError(
            f"one {kind} must be named: {', '.join(known)}, or a file; found "
            f"{', '.join(names) or 'none'}"
        )
    for option in ("config", "sensitivity"):
        if getattr(args, option):
            raise UsageError(
                f"--{option} changes {', '.join(SECTIONS)}, which a {kind} does not have: leave "
                "it out"
            )
    if names[0] in known and names[0] not in of_files:
        whose = strict.Layer(f"{names[0]}, registered", strict.plain(load_protocol(names[0])))
        return Protocol, (whose, strict.Layer("--set", dict(args.settings)))
    path = strict.preset(_KINDS[kind], names[0], f"{kind} or file", known)
    values = strict.read_toml(path)
    changes = dict(args.settings)
    classes: dict[str, type] = {"training": TrainSettings, "protocol": Protocol}
    if kind == "network":
        classes[kind], (values, changes) = Architecture.chosen(values, changes)
    if kind == "protocol":
        values = {"name": path.stem, **values}
    return classes[kind], (strict.Layer(names[0], values), strict.Layer("--set", changes))
