"""`aumer agreement`: compares two coders of one video."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from aumer.cli.console import Console
from aumer.cli.options import IOU, POSITIVE
from aumer.errors import EXIT_OK

if TYPE_CHECKING:
    from aumer.evaluation.agreement import Agreement

_EPILOG = """\
FIRST and SECOND are annotations (.annotations, .eaf, .textgrid, ...) or results (.json). Frames and
length are the video's; a file of `aumer view` knows them, else give --video (a folder of images
with its --fps), or --fps and --end.

For all expressions and for each kind it prints Cohen's kappa over the frames (micro, macro or
neither); F1 of the intervals, matched one-to-one at an IoU of at least --iou; how many both coders
have and each alone; and the mean difference (SECOND minus FIRST) and mean absolute difference of
matched onsets and offsets.
"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``agreement`` to the command's parsers."""
    parser = commands.add_parser(
        "agreement",
        parents=[common],
        help="compare two coders' annotations of one video",
        description="Prints the agreement of two coders of one video.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("first", metavar="FIRST", help="a coder's file, or a result")
    add("second", metavar="SECOND", help="another one's")
    add("--video", metavar="FILE", help="the video, for its frames and length")
    add(
        "--fps",
        type=POSITIVE,
        metavar="N",
        help="frames per second, of a folder or without a video",
    )
    add("--end", type=POSITIVE, metavar="S", help="length in seconds, without a video")
    add("--iou", type=IOU, default=0.5, metavar="X", help="overlap of a pair (default: 0.5)")
    add("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run, parser=parser)


def _run(args: argparse.Namespace, console: Console) -> int:
    from aumer.coders import agreement

    found = agreement(
        args.first, args.second, video=args.video, fps=args.fps, end=args.end, iou=args.iou
    )
    if args.json:
        import json

        text = json.dumps({name: one.to_dict() for name, one in found.items()}, indent=1)
        console.data(f"{text}\n")
    else:
        console.data(table(found))
    return EXIT_OK


def table(found: dict[str, Agreement]) -> str:
    """The agreement as a text table."""
    rows: list[tuple[str, ...]] = [
        ("", "kappa", "F1", "both", "first", "second", "onset (s)", "offset (s)")
    ]
    for name, one in found.items():
        d = one.to_dict()
        kappa = "-" if one.kappa is None else f"{one.kappa:.3f}"
        ends = [
            "-" if d[end]["mean"] is None else f"{d[end]['mean']:+.3f} |{d[end]['mean_abs']:.3f}|"
            for end in ("onset_s", "offset_s")
        ]
        counts = one.counts
        numbers = [str(n) for n in (counts.tp, counts.fn, counts.fp)]
        f1 = (
            f"{counts.f1:.3f}" if counts.tp + counts.fp + counts.fn else "-"
        )  # neither coder has any
        rows.append((name, kappa, f1, *numbers, *ends))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join("  ".join(map(str.rjust, row, widths)).rstrip() + "\n" for row in rows)
