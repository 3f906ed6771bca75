"""Logs of a training: records, a plot of the losses, and event files for TensorBoard (extra
"tensorboard").
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from aumer.errors import BackendUnavailable, UsageError
from aumer.files import StrPath, TemporaryFolder, atomic_write
from aumer.learning.engine import Callback
from aumer.names import FileNames

#: Names of the log's files.
LOG, CURVES = "log.jsonl", "loss.png"


def write_log(folder: StrPath, log: Sequence[dict[str, Any]]) -> None:
    """Write a training's records, one per line, and the plot of its losses, replacing existing
    files.

    Raises:
        UsageError: as for `aumer.files.atomic_write`.
    """
    lines = "".join(json.dumps(record) + "\n" for record in log)
    atomic_write(Path(folder) / LOG, lines, overwrite=True)
    atomic_write(Path(folder) / CURVES, loss_plot(log), overwrite=True)


def loss_plot(log: Sequence[dict[str, Any]]) -> bytes:
    """A PNG of every loss by epoch, the total in bold; also the inner loss, if any. The lines of an
    ensemble are broken where its next member begins.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    epochs = [float(record["epoch"]) for record in log]
    members = [record.get("member") for record in log]
    begins = [k for k in range(1, len(log)) if members[k] != members[k - 1]]
    for begin in begins:
        axes.axvline(epochs[begin] - 0.5, color="0.6", ls=":", lw=1)
    epochs = np.insert(epochs, begins, np.nan).tolist()
    names = [name for name in log[0] if "loss" in name]
    for name in sorted(names, key=lambda n: -log[-1][n]):
        bold = name in ("loss", "loss_total", "inner_loss")
        label = name.removeprefix("loss_").replace("_", " ")
        values = np.insert([float(record[name]) for record in log], begins, np.nan)
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
def tensorboard(folder: StrPath, *, goes_on: bool = False) -> Iterator[tuple[Callback, ...]]:
    """A callback that writes records for TensorBoard; None if it is not installed.

    Args:
        folder: of the training's run; the event files lie in ``tensorboard`` below it.
        goes_on: whether it continues an earlier training, whose event files are kept. Otherwise
            existing files are removed at the first record, since TensorBoard would show both.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        yield ()
        return
    place = Path(folder) / "tensorboard"
    writers: list[Any] = []

    def write(record: dict[str, Any]) -> None:
        if not writers:  # no files for training without epochs
            for old in () if goes_on else place.glob(_EVENTS):
                old.unlink(missing_ok=True)
            # Epochs lost by an interruption are replaced by the later run.
            writers.append(SummaryWriter(str(place), purge_step=int(record["epoch"])))
        _add(writers[0], record)

    try:
        yield (write,)
    finally:
        for writer in writers:
            writer.close()


def write_events(
    folder: StrPath, logs: Mapping[str, Sequence[Mapping[str, Any]]], *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write event files of finished trainings, one folder each: ``tensorboard --logdir FOLDER``.

    Args:
        logs: records of each epoch, by name of the training's folder below `folder`.
        overwrite: replace existing files.

    Returns:
        The trainings' folders.

    Raises:
        BackendUnavailable: the extra "tensorboard" is not installed.
        UsageError: event files exist and `overwrite` is False, there is nothing to write, or the
            system refuses to write.
    """
    if not logs:
        raise UsageError(
            "there is no record of epochs, so no event files can be written: leave "
            "`tensorboard` out"
        )
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise BackendUnavailable(
            "event files need the extra tensorboard: pip install 'aumer[tensorboard]'"
        ) from error
    names = FileNames(Path(folder))
    places = {
        name: Path(folder).joinpath(*(names(part, "") for part in name.split("/"))) for name in logs
    }
    there = [old for target in places.values() for old in target.glob(_EVENTS)]
    if there and not overwrite:
        raise UsageError(
            f"{there[0].parent} holds event files already, and TensorBoard would show both",
            fixes=("give another folder", "use `overwrite=True`"),
        )
    for name, log in logs.items():
        target = places[name]
        try:
            target.mkdir(parents=True, exist_ok=True)
            with TemporaryFolder(target) as made:
                writer = SummaryWriter(str(made))
                for record in log:
                    _add(writer, record)
                writer.close()
                for old in there:
                    old.unlink(missing_ok=True)
                for file in made.glob(_EVENTS):
                    file.replace(target / file.name)
        except OSError as error:
            raise UsageError(f"cannot write {target}: {error.strerror}") from error
    return tuple(places.values())


#: Pattern of TensorBoard's files.
_EVENTS = "events.out.tfevents.*"


def _add(writer: Any, record: Mapping[str, Any]) -> None:
    for name, value in record.items():
        if name != "epoch" and value is not None:
            writer.add_scalar(name, value, int(record["epoch"]))
