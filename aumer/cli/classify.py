"""`aumer classify`: the class of one expression a clip."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aumer.cli.console import Console, interrupted
from aumer.cli.options import (
    add_abstain,
    add_cache,
    add_device,
    add_fps,
    add_settings,
    cache_folder,
    read_settings,
)
from aumer.errors import EXIT_BUG, EXIT_OK, EXIT_PARTIAL, AumerError, UsageError
from aumer.foreign import shown

if TYPE_CHECKING:
    from aumer.cli.inputs import Input
    from aumer.results import Prediction

_EPILOG = """\
CLIP is a file or a folder of frames (needs --fps) that holds one expression, all of it or from
--onset to --offset. For long videos with many use `aumer spot --classify`.

exit codes:
    0  done
    2  an option, a setting or a frame cannot be used
    3  a clip cannot be read
    4  no face, or no motion of one, at the onset or the apex
    5  the recogniser's weights are missing or damaged
    6  some clips failed, or all did for different reasons
  130  interrupted
"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``classify`` to the command's parsers."""
    parser = commands.add_parser(
        "classify",
        parents=[common],
        help="name the expression in short clips",
        description="Says which class the expression in a clip is of, with probabilities and the "
        "regions of the face whose motion speaks for it most.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    add = parser.add_argument
    add("clips", nargs="+", metavar="CLIP", help="file or folder of frames")
    add(
        "--recognizer",
        default="default",
        metavar="NAME",
        help="by name, or a file of weights (default: the one that ships)",
    )
    add("--onset", type=_frame, metavar="N", help="frame, from 0 (default: the first with a face)")
    add(
        "--apex",
        type=_apex,
        metavar="N|HOW",
        help="frame, or how to find it: flow-peak (default), roi-difference, midpoint",
    )
    add("--offset", type=_frame, metavar="N", help="frame (default: the last with a face)")
    add_fps(parser)
    add(
        "--format",
        choices=("table", "json"),
        default="table",
        help="table, or json: one document a line for each clip (JSON Lines)",
    )
    add_device(parser)
    add_abstain(parser)
    add_settings(parser)
    add_cache(parser)


def _frame(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a frame, 0 or more; found {text!r}")
    return int(text)


def _apex(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def run(args: argparse.Namespace, console: Console) -> int:
    """Classify one clip after the other; one that fails does not stop the rest."""
    from aumer.cli.inputs import parse_inputs

    if any(text.startswith("camera:") for text in args.clips):
        raise UsageError(
            "a camera cannot be classified: its frames are read a second time. Record it to a file"
        )
    inputs = parse_inputs(args.clips, fps=args.fps)
    settings = read_settings(args)
    cache = cache_folder(args)

    from aumer.classification import classify
    from aumer.cli.outputs import called, distinct
    from aumer.session import load_recognizer

    recognizer = load_recognizer(args.recognizer)
    rows: list[Prediction] = []
    codes: list[int] = []
    for given, name in zip(inputs, distinct(inputs), strict=True):
        console.start(called(given, name))
        try:
            found = classify(
                given.source,
                model=recognizer,
                onset=args.onset,
                apex=args.apex,
                offset=args.offset,
                fps=args.fps,
                device=args.device,
                cache=cache,
                progress=console.progress,
                settings=settings,
            )
        except Exception as error:
            codes.append(_failed(given, name, error, console))
            continue
        finally:
            console.finish()
        console.notes(given.text, found.notes)
        if name is not None:
            found = replace(found, clip=name)
        if args.format == "json":
            line = json.dumps(found.to_dict(), allow_nan=False, separators=(",", ":"))
            console.data(f"{line}\n")
        rows.append(found)
    if args.format == "table" and rows:
        console.data(table(rows))
    if not codes:
        return EXIT_OK
    return codes[0] if len(codes) == len(inputs) and len(set(codes)) == 1 else EXIT_PARTIAL


def _failed(given: Input, name: str | None, error: Exception, console: Console) -> int:
    from aumer.cli.outputs import saying_of_which

    if interrupted(error):
        raise KeyboardInterrupt from error
    if isinstance(error, AumerError):
        console.error(saying_of_which(given, name, console.worded(error)))
        return error.exit_code
    console.bug(error, where=f"{given.text}: ")
    return EXIT_BUG


def table(predictions: list[Prediction]) -> str:
    """A line for each clip: its label, or in its place "no expression" or "uncertain", every
    class's probability, its frames, what decided, and where there is any doubt, why."""
    classes = list(dict.fromkeys(name for p in predictions for name in p.probs))
    doubted = any(p.doubt for p in predictions)
    rows = [["clip", "label", *classes, "frames", "regions that decided", *["doubt"] * doubted]]
    for p in predictions:
        probs = [f"{p.probs[name]:.2f}" if name in p.probs else "-" for name in classes]
        order = sorted(p.attribution, key=p.attribution.__getitem__, reverse=True)
        spoke = [name for name in order[:3] if p.attribution[name] > 0]
        frames = f"{p.onset}-{p.apex}-{p.offset}"
        row = [shown(p.clip), p.said, *probs, frames, ", ".join(spoke) or "-"]
        rows.append([*row, p.doubt or "-"] if doubted else row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"
