"""`aumer export`: exports a trained network for other programs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from aumer.cli.console import Console
from aumer.errors import EXIT_OK

if TYPE_CHECKING:
    from aumer.export import Comparison

_PRECISIONS = ("single", "half", "int8")
_EPILOG = """\
outputs:
  net.onnx          for onnxruntime and others; needs `pip install "aumer[export]"`
  net.pt            TorchScript (single or half)
  net.safetensors   aumer's own, of a recognizer of sequences in half or int8

A single-precision file is written only if its outputs equal the network's within 1e-5. The file
describes inputs and columns of the output: in `metadata_props` of ONNX, in the extra file
aumer.json of TorchScript. The inputs, motion or aligned faces, must be made by aumer.
"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``export`` to the command's parsers."""
    parser = commands.add_parser(
        "export",
        parents=[common],
        help="export a trained network to ONNX or TorchScript, or in lower precision",
        description="Exports a trained network for other programs, and compares size, time and "
        "outputs with the network's own.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "weights",
        metavar="WEIGHTS",
        help="a file of `aumer train`, or `network`, the one that ships",
    )
    add("-o", "--output", required=True, metavar="PATH", help="see below")
    add(
        "--precision",
        choices=_PRECISIONS,
        default="single",
        help="32 bits (default), 16 bits, or weights in 8 bits",
    )
    add(
        "--evaluate",
        type=int,
        default=0,
        metavar="N",
        help="compare on N simulated subjects, too: F1 of a spotting network, agreement of a "
        "recognizer's labels",
    )
    add("--overwrite", action="store_true", help="replace an existing file")
    parser.set_defaults(run=_run, parser=parser)


def _run(args: argparse.Namespace, console: Console) -> int:
    from aumer.export import export

    report = export(
        args.weights,
        args.output,
        precision=args.precision,
        evaluate=args.evaluate,
        overwrite=args.overwrite,
    )
    console.data(table(report))
    console.note(
        f"{report.made.path}: written; the times above are for {report.per}, on this machine"
    )
    return EXIT_OK


def table(report: Comparison) -> str:
    """One line each for the network and the file."""
    rows = [["", "precision", "bytes", "ms", "largest difference"]]
    for one in (report.original, report.made):
        numbers = f"{one.size:,}", f"{one.milliseconds:.2f}", f"{one.difference:.1e}"
        rows.append([one.path, one.precision, *numbers])
    if report.made.score is not None:
        rows[0].append(report.what)
        for row, one in zip(rows[1:], (report.original, report.made), strict=True):
            row.append(f"{one.score:.3f}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        f"{row[0]:<{widths[0]}}  {'  '.join(map(str.rjust, row[1:], widths[1:]))}\n" for row in rows
    )
