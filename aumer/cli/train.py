"""`aumer train`: trains a network, a recognizer or an AU reader on annotated videos."""

from __future__ import annotations

import argparse
import time
from typing import Any

from aumer.cli.console import Console
from aumer.cli.options import add_set, seed
from aumer.errors import EXIT_OK, UsageError

_EPILOG = """\
CONFIG is a TOML file; paths in it are relative to its folder:

    output = "runs/mine"
    task = "spotting"           # or "recognition" or "action-units", below
    preset = "aumer"            # or "published": AUW-GCN's training; or a file of your own
    graph = "from-data"         # AU prior; or a name (`aumer graph list`), a file, or the preset's

    [data]
    source = "own"              # videos beside one CSV; `aumer data list` has the others;
    root = "my_videos"          # "features": a folder of `aumer simulate features`
    exclude_subjects = ["s07"]  # kept out of everything, to be tested on

    [train]                     # any key of the preset
    epochs = 60

For more training data, augment_neutral = ["me.mp4"] above [data], or --augment-neutral, plays known
expressions into recordings of neutral faces, each a separate subject; [augment] has films = 4 of
each, seconds = 30, rate_per_min = 12, strength = 1, held = 0.2 (share of the micro-expressions that
begin while a macro-expression is held). They must not show anybody on whom the network is tested.

A recognizer names the expressions of clips. Any of those that `aumer bench list` prints is trained:

    output = "runs/names"
    task = "recognition"
    recognizer = "cnn-lstm"     # or graph, mfem-mffm, mobilevit-v3, se-resnext50, ststnet, ...
    classes = ["negative", "positive", "surprise"]  # see below
    min_clips = 10              # leaves out classes with fewer (default 0: none)

    [data]
    source = "own"              # a data set of clips (casme2, samm, ...); "megc2019", flow images
    root = "my_clips"           # of "own": clips beside one table: file, label; if wanted subject,
                                # onset, apex, offset (frames from 0; or onset_s, ...), kind
    exclude_subjects = ["s07"]  # kept out of everything, to be tested on
    kinds = ["micro"]           # of expressions (default; of "own" every labeled row)

    [options]                   # of the recognizer, as `aumer bench --set` changes them
    learning = { epochs = 60 }
    inputs = { size = 96 }

classes are labels in the table, in any case, in the order of the probabilities; other clips are
left out, and a note says so. The three of MEGC 2019 combine the coders' words (disgust, anger, ...
are negative). A set may be given by name: "megc" (three), "casme2" and "samm" (five), "seven"
(happiness, anger, contempt, disgust, fear, sadness, surprise). The default is all labels in the
table. The weights contain classes, card, and how their input is made from a video.

Then: aumer classify CLIP --recognizer runs/names/model.safetensors
      aumer spot VIDEO --recognizer runs/names/model.safetensors

An AU reader says which action units act. The table has a column au in coders' notation (4+L7):

    output = "runs/units"
    task = "action-units"
    au_reader = "graph"         # what ships, or one of your own
    aus = [1, 2, 4, 12]         # which to read (default: 17 that are often coded)

    [data]                      # as of a recognizer; rows without a code are left out, with a word
    source = "own"              # or casme2, samm, ...
    root = "my_clips"

    [options]
    least = 5                   # an AU coded in fewer clips is not read

Then: aumer classify CLIP --au-reader runs/units/model.safetensors
      aumer spot VIDEO --au-reader runs/units/model.safetensors

The folder gets model.safetensors (`aumer models show` prints its card) and, for training by epochs,
log.jsonl and loss.png. A run that was interrupted, or killed (SIGTERM and SIGKILL end it at once:
exit codes 143, 137), continues where it stopped when the same command is given again; on a CPU the
weights equal those of an unbroken run.
With several processes, each with its share of every batch (and its GPU, with --device cuda):
torchrun --nproc-per-node 2 -m aumer train CONFIG
Then: aumer spot VIDEO --model runs/mine/model.safetensors
"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``train`` to the command's parsers."""
    parser = commands.add_parser(
        "train",
        parents=[common],
        help="train a spotting network, a recognizer or an AU reader on annotated videos",
        description="Trains a spotting network, a recognizer or an AU reader, and prints the path "
        "of its weights.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("config", metavar="CONFIG", help="TOML file, see below")
    add("-o", "--output", metavar="DIR", help="folder for the weights, instead of the file's")
    add("--seed", type=seed, metavar="N", help="instead of the file's")
    add("--device", metavar="NAME", help="a torch device, instead of the file's")
    add(
        "--augment-neutral",
        nargs="+",
        metavar="CLIP",
        help="recordings of neutral faces to play expressions into, instead of the file's",
    )
    add_set(
        parser,
        "a key of CONFIG, such as train.epochs=10 (repeatable), or a setting of features as "
        "`aumer spot` has, such as motion.rate=60",
        others=True,
    )
    add("--overwrite", action="store_true", help="replace the weights of an earlier run")
    add(
        "--cache", metavar="DIR", help="features of videos, for the next run (default: aumer's own)"
    )
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Train, and print the path of the weights."""
    import aumer
    from aumer.learning.machine import is_first
    from aumer.training.clip_run import ClipRun, task_of_file
    from aumer.training.entry import configured, epochs

    overrides = {
        **dict(args.overrides),
        **{f"overrides.{path}": value for path, value in args.settings},
        **{
            name: value
            for name in ("output", "seed", "device", "augment_neutral")
            if (value := getattr(args, name)) is not None
        },
    }
    if args.augment_neutral and task_of_file(args.config, overrides) != "spotting":
        raise UsageError(
            "`--augment-neutral` applies to spotting networks, and this file trains on clips: "
            "leave it out"
        )
    config = configured(args.config, overrides)
    begun: list[str] = []

    def extracting(what: str, done: int, total: int) -> None:
        if not begun:
            begun.append(what)
            console.start(what, unit="videos" if what == "features" else what)
        console.progress(done, total)

    loss = "loss" if isinstance(config, ClipRun) else "loss_total"
    path = aumer.train(
        config,
        overwrite=args.overwrite,
        cache=args.cache or True,
        callbacks=[_Epochs(console, epochs(config), loss)],
        progress=extracting if is_first() else None,
    )
    console.finish()
    if is_first():
        console.data(f"{path}\n")
    return EXIT_OK


class _Epochs:
    """Shows progress and remaining time of training."""

    def __init__(self, console: Console, epochs: int, loss: str) -> None:
        self._console, self._epochs, self._loss = console, epochs, loss
        self._begun: tuple[float, int] | None = None

    def __call__(self, record: dict[str, Any]) -> None:
        now, done, total = time.monotonic(), record["epoch"], self._epochs
        if self._begun is None:
            self._console.start("training", unit="epochs")
            self._begun = now - record["seconds"], done - 1
        self._console.progress(done, total)
        begun, first = self._begun
        left = (now - begun) / (done - first) * (total - done)
        inner = f", inner {record['inner_loss']:.4f}" if "inner_loss" in record else ""
        self._console.note(
            f"epoch {done}/{total}: loss {record[self._loss]:.4f}{inner}, "
            f"{record['seconds']:.1f} s, about {_minutes(left)} left"
        )


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
