"""What every script shares: its options, and a report that says how it was made."""

from __future__ import annotations

import argparse
import io
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aumer.session import versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def script() -> str:
    """How the running script is called: ``python -m benchmarks.accuracy.motion``."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    named = f"-m {spec.name}" if spec else os.path.relpath(sys.argv[0], ROOT)
    return f"python {named}"


def options(doc: str | None, *, save: bool = True) -> argparse.ArgumentParser:
    """A script's parser.

    Args:
        doc: its docstring, which its help shows.
        save: whether it has ``--save``, that is, keeps its report when told to.
    """
    parser = argparse.ArgumentParser(
        prog=script(), description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if save:
        parser.add_argument("--save", action="store_true", help="keep under benchmarks/results/")
    return parser


class Report:
    """Prints lines and, with `save`, keeps them under ``benchmarks/results/``."""

    def __init__(self, title: str) -> None:
        self._lines: list[str] = []
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
        found = ", ".join(f"{name} {number}" for name, number in versions().items())
        self.line(f"# {title}")
        self.line(f"command: {' '.join([script(), *sys.argv[1:]])}")
        self.line(f"commit {commit or 'unknown'}; {found}")
        self.line(f"machine: {os.cpu_count()} cores, {platform.machine()}, {platform.system()}")
        self.line()

    def line(self, text: str = "") -> None:
        print(text, flush=True)
        self._lines.append(text)

    def save(self, name: str) -> None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / name).write_text("\n".join(self._lines) + "\n", encoding="utf-8")


def save_picture(figure: Figure, name: str, dpi: int) -> None:
    """Keep a figure under ``benchmarks/results/``, in 256 colors: a third of the bytes in git."""
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    # Without dithering, which would speckle what is plain and undo the compression.
    few = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    RESULTS.mkdir(parents=True, exist_ok=True)
    few.save(RESULTS / name, optimize=True)
