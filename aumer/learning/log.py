"""How a training went: its records, a plot of the losses, and TensorBoard where it is installed."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aumer.files import StrPath, atomic_write
from aumer.learning.engine import Callback

#: Files of a folder's log.
LOG, CURVES = "log.jsonl", "loss.png"


def write_log(folder: StrPath, log: Sequence[dict[str, Any]]) -> None:
    """Write a training's records, a line each, and the plot of its losses, over those there are.

    Raises:
        UsageError: as for `aumer.files.atomic_write`.
    """
    lines = "".join(json.dumps(record) + "\n" for record in log)
    atomic_write(Path(folder) / LOG, lines, overwrite=True)
    atomic_write(Path(folder) / CURVES, loss_plot(log), overwrite=True)


def loss_plot(log: Sequence[dict[str, Any]]) -> bytes:
    """A PNG of every loss by epoch, the total in bold; the inner loss too, where there was one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    epochs = [record["epoch"] for record in log]
    names = [name for name in log[0] if "loss" in name]
    for name in sorted(names, key=lambda n: -log[-1][n]):
        bold = name in ("loss", "loss_total", "inner_loss")
        label = name.removeprefix("loss_").replace("_", " ")
        values = [record[name] for record in log]
        axes.plot(
            epochs, values, label=label, lw=2.2 if bold else 1, ls="--" if "inner" in name else "-"
        )
    axes.set(xlabel="epoch", ylabel="loss (training subjects)", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=2)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()


@contextmanager
def tensorboard(folder: StrPath) -> Iterator[tuple[Callback, ...]]:
    """A callback that writes records where TensorBoard reads them; none if it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        yield ()
        return
    writer = SummaryWriter(str(Path(folder) / "tensorboard"))

    def write(record: dict[str, Any]) -> None:
        for name, value in record.items():
            if name != "epoch":
                writer.add_scalar(name, value, record["epoch"])

    try:
        yield (write,)
    finally:
        writer.close()
