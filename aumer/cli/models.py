"""`aumer models`: lists weights, shows the card of a file, and downloads weights of others."""

from __future__ import annotations

import argparse
import json
from typing import Any

from aumer.cli.console import Console
from aumer.errors import EXIT_OK, WeightsError


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``models list``, ``show`` and ``fetch`` to the command's parsers."""
    parser = commands.add_parser(
        "models",
        help="list weights of networks, show the card of a file, or download weights",
        description="The default back ends need only the weights that ship. Only `aumer models "
        "fetch` downloads anything.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list", parents=[common], help="list all weights, whether they are present, and their paths"
    )
    listing.set_defaults(run=_list, parser=listing)
    showing = actions.add_parser(
        "show",
        parents=[common],
        help="print the card of a file of weights",
        description="Prints the card of weights that `aumer train` or `aumer bench --keep-weights` "
        "wrote, as JSON: what it is, its classes, what it has learned from, settings, versions.",
    )
    showing.add_argument("file", metavar="FILE", help="file of weights (.safetensors)")
    showing.set_defaults(run=_show, parser=showing)
    fetching = actions.add_parser(
        "fetch",
        parents=[common],
        help="download weights to the folder where their package expects them",
        description="Downloads a file of weights to where its package looks for it, and prints its "
        "path. A file that is there already, or that ships with aumer, is left alone. Exit code 5 "
        "if it cannot be had.",
    )
    fetching.add_argument("name", metavar="NAME", help="a name that `aumer models list` prints")
    fetching.set_defaults(run=_fetch, parser=fetching)


def _list(args: argparse.Namespace, console: Console) -> int:
    from aumer.face import weights

    for name, s in weights.SHIPPED.items():
        try:
            state = f"{weights.shipped(name).stat().st_size / 1e6:.1f} MB"
        except WeightsError:
            state = "but is missing or damaged: install aumer again"
        console.data(
            f"{name}: ships with aumer, {state}\n"
            f"  what     {s.source}\n"
            f"  license  {s.license}\n"
            f"  file     {s.path}\n"
            f"  sha256   {s.sha256}\n"
            f"  from     {s.found_in}\n"
        )
    for status in weights.available():
        w = status.weights
        here = f"here, {status.size / 1e6:.1f} MB" if status.size is not None else "missing"
        console.data(
            f"{w.name}: {here}\n"
            f"  what     {w.source}\n"
            f"  license  {w.license}\n"
            f"  file     {status.path}\n"
            + ("" if status.present else f"  get it   aumer models fetch {w.name}\n")
        )
    return EXIT_OK


def _show(args: argparse.Namespace, console: Console) -> int:
    from aumer.weights import card_of

    console.data(json.dumps(card_of(args.file), indent=1, ensure_ascii=False) + "\n")
    return EXIT_OK


def _fetch(args: argparse.Namespace, console: Console) -> int:
    from aumer.face import weights

    if args.name in weights.SHIPPED:
        path = weights.shipped(args.name)
        console.note(f"{args.name}: ships with aumer, nothing to download")
        console.data(f"{path}\n")
        return EXIT_OK
    record = weights.record(args.name)
    if record.path.is_file():
        console.note(f"{record.name}: is here already, nothing downloaded")
    else:
        console.note(f"{record.name}: {record.source}; license: {record.license}")
        console.start(f"downloading {record.file}", unit="bytes")
    path = weights.fetch(args.name, progress=console.progress)
    console.finish()
    console.data(f"{path}\n")
    return EXIT_OK
