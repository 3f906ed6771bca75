"""`aumer bench PROTOCOL`, `aumer bench list`, `aumer bench compare`, `aumer bench convert`.

Also the code that running a protocol and running a study (`bench_study`) share.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aumer.cli import bench_power, bench_report
from aumer.cli.console import Console
from aumer.cli.options import add_cluster, add_set, assignment, changed_settings, whole
from aumer.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from aumer.bench.protocol import Protocol

_EPILOG = """\
PROTOCOL is a name that `aumer bench list` prints, or a TOML file. MODEL is `rules`, `published`
(AUW-GCN and its decoder), `aumer` (ours), a registered spotter, a network's weights
(.safetensors), or a file of training settings (.toml); of recognition it is a recognizer's name
(`aumer bench list`).

After an interruption the same command continues where it stopped (SIGTERM, which batch systems
send, ends it at once like SIGKILL: exit codes 143, 137; no written file is damaged). Folds are
stored in the output folder and not run again, so that seeds can be added later. A fold made by
other code, data, settings or package versions, or that was altered, is run again, and a note says
so:

    aumer bench casme-sq --data /data/CASME_sq --model aumer --workers 4
    aumer bench casme-sq --model aumer --score-only --scoring ends=open
    aumer bench sim-casme-sq --data tables --model aumer --set net_overrides.layer=none \\
        --set net_overrides.residual_edges=false --folds 5
    aumer bench casme2-5class --data /data/CASME2 --model mfem-mffm --set learning.epochs=80
    aumer bench compare FOLDER FOLDER

--keep-weights stores each fold's model, for use on subjects whom it has not seen (recognition; for
spotting `aumer spot --model`):

    aumer bench casme2-5class --data /data/CASME2 --model mfem-mffm --keep-weights -o runs/c2
    aumer classify sub01/EP02_01 --fps 200 --recognizer runs/c2/seed-0/sub01.safetensors
"""


#: Options that correspond to keys of a protocol.
_KEYS = ("level", "seeds", "folds", "selection", "prior", "train_subjects", "mismatch")

#: Seconds between reports of the remaining time, after the first item.
_EVERY_S = 10.0


class Actions(argparse._SubParsersAction):  # type: ignore[type-arg]
    """Treats a word that is not an action as a protocol."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # argparse would refuse a protocol earlier.
        self.choices = None  # type: ignore[assignment]

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if values[0] not in self._name_parser_map:
            values = ["run", *values]
        super().__call__(parser, namespace, values, option_string)


def add_parsers(actions: Any, common: argparse.ArgumentParser) -> None:
    """Add ``run``, ``list``, ``compare``, ``convert`` and ``report`` to the command's actions."""
    _add_run(actions, common)
    listing = actions.add_parser(
        "list",
        parents=[common],
        help="protocols and studies that ship, and the protocols' models",
        description="Prints the shipped protocols with the networks each of them trains, and the "
        "studies (`aumer bench study`) with their rows.",
    )
    listing.set_defaults(run=_list, parser=listing)
    comparing = actions.add_parser(
        "compare",
        parents=[common],
        help="the difference of two runs' F1 with its interval, and of their settings",
        description="Prints mean F1 over seeds (of recognition UF1, UAR and accuracy) of the first "
        "run minus that of the second, with its 95 % interval over the same resamples of "
        "subjects, unless seeds vary more than that; and in which settings the runs differ.",
    )
    comparing.add_argument("first", metavar="FOLDER", help="a run's output folder")
    comparing.add_argument("second", metavar="FOLDER", help="another run's, with the same truth")
    comparing.add_argument("--json", action="store_true", help="print JSON instead of a table")
    comparing.set_defaults(run=_compare, parser=comparing)
    converting = actions.add_parser(
        "convert",
        parents=[common],
        help="convert a recognition run of an earlier version",
        description="Gives a run of recognition that has about.json and seed0-*.json the files "
        "that every run has now. Nothing is run again; the files of before are removed at the end.",
    )
    converting.add_argument("folder", metavar="FOLDER", help="the run's output folder")
    converting.add_argument(
        "--protocol", metavar="NAME", help="by name or file, of a run without result.json"
    )
    converting.set_defaults(run=_convert, parser=converting)
    bench_report.add_parser(actions, common)
    bench_power.add_parser(actions, common)


def _add_run(actions: Any, common: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "run",
        parents=[common],
        help="run a protocol: `aumer bench PROTOCOL` is the same",
        description="Runs a protocol from videos or tables to a table of scores.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("protocol", metavar="PROTOCOL", help="by name or file")
    add_data(parser)
    add("--model", metavar="NAME", help="see below; default: rules, of recognition graph")
    add("-o", "--output", metavar="DIR", help="default: ./aumer-bench/PROTOCOL-MODEL-DIGEST")
    add("--overwrite", action="store_true", help="use a folder that holds another run")
    add(
        "--keep-weights",
        action="store_true",
        help="keep the model of each fold as seed-N/FOLD.safetensors in that folder",
    )
    add("--report", action="store_true", help="also write report.html in that folder")
    add_again(parser)
    add_changes(parser.add_argument_group("instead of the protocol's"))
    add_where(parser.add_argument_group("where"))
    parser.set_defaults(run=_run, parser=parser)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folders of data sets."""
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[SET=]ROOT",
        help="the data set's folder; with several data sets each by its name",
    )


def add_changes(rules: Any) -> None:
    """Add options that change a protocol and its model."""
    rules.add_argument("--level", metavar="NAME", help="of simulated data: easy, medium or hard")
    rules.add_argument("--seeds", type=_seeds, metavar="N,N", help="of training")
    rules.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="leave out K groups of subjects instead of each subject",
    )
    rules.add_argument(
        "--train-subjects", type=int, metavar="N", help="training subjects in each fold"
    )
    rules.add_argument(
        "--selection",
        metavar="WORD",
        help="fixed (last epoch), inner (best on inner subjects), or oracle (best on the test "
        "subject, as many papers choose; both figures are printed)",
    )
    rules.add_argument(
        "--prior",
        metavar="NAME",
        help="train (counted on each fold), preset, identity, or a graph by name or file",
    )
    rules.add_argument(
        "--mismatch",
        metavar="WORD",
        help="rows of a table whose frames are not in their videos: leave-out (default; it is said "
        "which, and why), clamp (what of them is there is taken) or refuse",
    )
    rules.add_argument("--decoder", metavar="NAME", help="aumer, casme-sq or samm-lv (published)")
    add_set(
        rules,
        "a key of the training preset or the recognizer, such as epochs=10 or "
        "net_overrides.layer=none, or a setting as `aumer spot` has, such as motion.rate=60",
        others=True,
    )
    rules.add_argument(
        "--scoring",
        action="append",
        type=assignment,
        default=[],
        metavar="PATH=VALUE",
        help="a rule of the score, such as iou=0.3 or missing_offset=apex",
    )
    rules.add_argument("--config", metavar="FILE", help="settings of features, as `aumer spot` has")


def add_again(parser: argparse.ArgumentParser) -> None:
    """Add ``--score-only`` and ``--json``."""
    add = parser.add_argument
    add("--score-only", action="store_true", help="run nothing; score the stored folds again")
    add("--json", action="store_true", help="print JSON instead of tables")


def add_where(where: Any) -> None:
    """Add options for workers and the cache of features."""
    where.add_argument(
        "--workers", type=whole, default=1, metavar="N", help="processes; default: 1"
    )
    add_cluster(where)
    where.add_argument(
        "--cache", metavar="DIR", help="features of videos, for the next run (default: aumer's own)"
    )


def _seeds(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise argparse.ArgumentTypeError(f"must be whole numbers such as 0,1,2; found {text!r}")
    return tuple(map(int, text.split(",")))


def protocol_changes(args: argparse.Namespace) -> dict[str, Any]:
    """Changed keys of a protocol from the options of `add_changes`."""
    changes: dict[str, Any] = {
        name: value for name in _KEYS if (value := getattr(args, name)) is not None
    }
    if args.folds is not None:
        changes["split"] = "k-fold"
    return changes | {f"scoring.{key}": value for key, value in args.scoring}


def _protocol(args: argparse.Namespace) -> Protocol:
    from aumer.bench import protocol

    found, changes = protocol.load(args.protocol), protocol_changes(args)
    return found.changed(changes) if changes else found


def data_roots(protocol: Protocol, given: Sequence[str]) -> dict[str, str]:
    """The given folders by data set."""
    needed = (*protocol.datasets, *protocol.train_datasets)
    roots: dict[str, str] = {}
    for text in given:
        name, equals, root = text.partition("=")
        if not (equals and name in needed):
            if len(needed) > 1:
                raise UsageError(
                    f"--data {text}: this protocol has the data sets {', '.join(needed)}; give "
                    "each as --data SET=ROOT"
                )
            name, root = needed[0], text
        if name in roots:
            raise UsageError(f"--data is given twice for {name}")
        roots[name] = root
    return roots


def _run(args: argparse.Namespace, console: Console) -> int:
    from aumer.bench.run import run
    from aumer.bench.store import RESULT
    from aumer.bench.tasks import task_of
    from aumer.cache import default_folder
    from aumer.workers import Workers

    protocol = _protocol(args)
    roots = data_roots(protocol, args.data)
    if not roots and not args.score_only:
        sets = " and ".join(protocol.datasets)
        raise UsageError(f"the folder of the data set {sets} is not given: name it with --data")
    if args.mismatch is not None and not roots:
        raise UsageError("--mismatch changes which rows are scored: give the folder with --data")
    workers = Workers(args.workers, args.backend, args.scheduler)
    if wrong := [name for name in task_of(protocol.kind).no_use_for if getattr(args, name)]:
        option = wrong[0].replace("_", "-")
        raise UsageError(
            f"--{option} applies to spotting alone, and the protocol {protocol.name} is one of "
            "recognition: leave it out"
        )
    result = run(
        protocol,
        roots,
        args.model or "",
        overrides=dict(args.overrides),
        decoder=args.decoder,
        settings=changed_settings(args),
        cache=args.cache or default_folder(),
        folder=args.output,
        overwrite=args.overwrite,
        score_only=args.score_only,
        workers=workers,
        progress=Reporter(console),
        command=typed_command(),
        keep_weights=args.keep_weights,
    )
    console.finish()
    text = result.to_markdown()
    if args.json:
        text = (result.folder / RESULT).read_text(encoding="utf-8")
    console.data(text)
    for remark in result.remarks():
        console.note(remark)
    console.note(f"written to {result.folder}")
    if args.report:
        bench_report.write(result.folder, console)
    return EXIT_OK


def typed_command() -> str:
    """The command line as typed."""
    return shlex.join(["aumer", *sys.argv[1:]])


class Reporter:
    """Shows progress and remaining time of a run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage, self._begun, self._from, self._last_shown = "", 0.0, 0, 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage or done < self._from:
            # Folds that exist at the first report are not counted for the time.
            self._stage, self._from = stage, done
            self._begun, self._last_shown = time.monotonic(), 0.0
            self._console.start(stage, unit=self._unit)
        self._console.progress(done, total)
        now, new = time.monotonic(), done - self._from
        if new > 0 and done < total and now - self._last_shown > _EVERY_S:
            self._last_shown = now
            left = (now - self._begun) / new * (total - done)
            self._console.note(f"{done} of {total} {self._unit}, about {_minutes(left)} left")

    @property
    def _unit(self) -> str:
        return "videos" if self._stage == "features" else self._stage


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _list(args: argparse.Namespace, console: Console) -> int:
    from aumer.bench import protocol
    from aumer.bench import study as studies
    from aumer.bench.tasks import task_of

    for name in protocol.names():
        found = protocol.load(name)
        models = task_of(found.kind).models(found)
        console.data(f"{name:20} {found.heading}. Data: {', '.join(found.datasets)}; {models}\n")
    console.data("\nstudies (`aumer bench study NAME`):\n")
    for name in studies.names():
        one = studies.load(name)
        console.data(
            f"{name:20} {one.title}. Protocol: {one.protocol}; rows: {', '.join(one.rows)}\n"
        )
    return EXIT_OK


def _compare(args: argparse.Namespace, console: Console) -> int:
    from aumer.bench.power import power_facts, power_notes
    from aumer.bench.result import comparison_notes, comparison_table
    from aumer.bench.run import stored

    first, second = stored(args.first), stored(args.second)
    rows = first.compared(second)
    if args.json:
        chosen = {"chosen_on": [first.chosen_on(), second.chosen_on()]}
        facts = power_facts(first, rows)
        told = [{**row.to_dict(), **own, **chosen} for row, own in zip(rows, facts, strict=True)]
        console.data(json.dumps(told, indent=1) + "\n")
    else:
        console.data(comparison_table(first, second, rows))
        notes = [*power_notes(first, rows), *comparison_notes(first, second)]
        console.data("".join(f"- {note}\n" for note in notes))
    return EXIT_OK


def _convert(args: argparse.Namespace, console: Console) -> int:
    from aumer.bench.convert import convert

    convert(args.folder, args.protocol)
    console.note(f"{args.folder}: converted to the files of this version")
    return EXIT_OK
