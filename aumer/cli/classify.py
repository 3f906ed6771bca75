"""`aumer classify`: the class of the expression in each clip."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
from aumer.files import atomic_write
from aumer.foreign import shown

if TYPE_CHECKING:
    from aumer.cli.inputs import Input
    from aumer.cli.outputs import Plan
    from aumer.results import Prediction

_EPILOG = """\
CLIP is a file or a folder of frames (needs --fps) that holds one expression, all of it or from
--onset to --offset; or a folder of such files (--recursive: and those in its folders). For long
videos with many expressions use `aumer spot --classify`.
--manifest TABLE lists expressions instead, one per row, in the layout for `aumer train`: a column
file (below the table's folder), and optionally subject, onset, apex, offset (frames from 0; or
onset_s, ... in seconds), fps. Labels are ignored.

--recognizer takes a file of `aumer train` (runs/mine/model.safetensors) or of a fold of `aumer
bench --keep-weights`, or the name of one that ships. Its classes are those of its training. Its
input (flow, size of the crop) is made as in training.

outputs:
  Without -o a table is printed, or with --format json one JSON document a line for each clip
  (JSON Lines), or with --format csv the table with all numbers. -o (repeatable) names where to
  write instead:
    -o all.csv    all clips in one table; failed ones with the reason
    -o one.json   one clip: everything, including facial regions and settings
    -o FOLDER     NAME.json for each clip; the folder must exist
    -o -          stdout as well

exit codes:
    0  done
    2  an option, a setting, a frame or an output cannot be used
    3  a clip cannot be read
    4  no face, or no motion of one, at the onset or the apex
    5  the recognizer's weights are missing or damaged
    6  some clips failed, or all did for different reasons
  130  interrupted
"""
#: Formats of stdout and of files.
_STREAMS, _FILES = ("table", "json", "csv"), ("json", "csv")


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``classify`` to the command's parsers."""
    parser = commands.add_parser(
        "classify",
        parents=[common],
        help="name the expression in short clips",
        description="Prints the class of the expression in a clip with probabilities, the facial "
        "regions that contribute most, and the acting action units.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    add = parser.add_argument
    add("clips", nargs="*", metavar="CLIP", help="file, folder of frames, or folder of files")
    add("--manifest", metavar="TABLE", help="expressions from a table, with their frames")
    add("--recursive", action="store_true", help="search the folders in a folder, too")
    add(
        "--recognizer",
        default="default",
        metavar="NAME",
        help="a file of weights, as `aumer train` writes them, or the name of one that ships: "
        "graph (default), graph-motion",
    )
    add(
        "--au-reader",
        dest="au_reader",
        metavar="NAME",
        help="AU reader by name or file of weights (default: the one that ships)",
    )
    add("--no-aus", dest="aus", action="store_false", help="read no action units")
    add("--onset", type=_frame, metavar="N", help="frame, from 0 (default: the first with a face)")
    add(
        "--apex",
        type=_apex,
        metavar="N|HOW",
        help="frame, or how to find it: rise-and-fall (default), flow-peak, both-ends, "
        "roi-difference, midpoint",
    )
    add("--offset", type=_frame, metavar="N", help="frame (default: the last with a face)")
    add_fps(parser)
    add("-o", "--output", action="append", default=[], metavar="PATH", help="see below")
    add(
        "--format",
        choices=_STREAMS,
        help="of stdout: table (default), json (JSON Lines) or csv; or of the files in a folder",
    )
    add("--overwrite", action="store_true", help="replace existing files")
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
    """Classify the clips in turn; a failed clip does not stop the others."""
    from aumer.cli.outputs import Kinds, called, plan

    if any(text.startswith("camera:") for text in args.clips):
        raise UsageError(
            "a camera cannot be classified, as its frames must be read twice: record a file, "
            "and give "
            "that"
        )
    clips = _clips(args, console)
    inputs = [one.given for one in clips]
    formats = [args.format] if args.format else []
    kinds = Kinds(_STREAMS, _FILES)
    planned = plan(inputs, args.output, formats, overwrite=args.overwrite, kinds=kinds)
    settings = read_settings(args)
    cache = cache_folder(args)

    from aumer.classification import classify
    from aumer.recognition import action_units
    from aumer.session import load_recognizer

    recognizer = load_recognizer(args.recognizer)
    reader = args.aus and action_units.load(args.au_reader or "default")
    planned.make_folders()
    outputs = _Outputs(planned, console)
    codes: list[int] = []
    for number, one in enumerate(clips):
        given, name, video = one.given, one.name, one.video
        console.start(called(given, name))
        try:
            found = classify(
                given.source,
                model=recognizer,
                aus=reader,
                onset=one.onset,
                apex=one.apex,
                offset=one.offset,
                fps=one.fps,
                device=args.device,
                cache=cache,
                progress=console.progress,
                settings=settings,
            )
        except Exception as error:
            codes.append(_failed(given, name, error, console))
            outputs.failed(called(given, video), error)
            continue
        finally:
            console.finish()
        console.notes(given.text, found.notes)
        outputs.save(number, found if video is None else replace(found, clip=video))
    outputs.close()
    if not codes:
        return EXIT_OK
    return codes[0] if len(codes) == len(inputs) and len(set(codes)) == 1 else EXIT_PARTIAL


@dataclass(frozen=True)
class _Clip:
    """One expression to classify.

    Attributes:
        name: distinguishes it from the others; `None` for the name of its video.
        video: name of the video in a table; `None` for its own name.
        onset, apex, offset, fps: arguments of `aumer.classify`.
    """

    given: Input
    name: str | None
    video: str | None
    onset: int | None
    apex: int | str | None
    offset: int | None
    fps: float | None


def _clips(args: argparse.Namespace, console: Console) -> list[_Clip]:
    """The expressions to classify: each input, or each row of a table.

    Raises:
        UsageError: neither or both are given, the table cannot be read, frames are given together
            with a table, or as `parse_inputs`.
    """
    from aumer.cli.inputs import parse_inputs
    from aumer.cli.outputs import distinct

    frames = args.onset, args.apex, args.offset
    if args.manifest is None:
        if not args.clips:
            raise UsageError("no CLIP is given: name one, a folder of them, or `--manifest TABLE`")
        given = parse_inputs(args.clips, fps=args.fps, recursive=args.recursive, note=console.note)
        names = distinct(given)
        return [
            _Clip(g, name, name, *frames, args.fps) for g, name in zip(given, names, strict=True)
        ]
    if args.clips:
        raise UsageError(
            f"`--manifest` names the clips, and {args.clips[0]} is given beside it: give one or "
            "the other"
        )
    given_options = {"--onset": args.onset, "--offset": args.offset}
    given_options |= {} if isinstance(args.apex, str) else {"--apex": args.apex}
    if wrong := [option for option, value in given_options.items() if value is not None]:
        raise UsageError(
            f"`{wrong[0]}` applies to one clip, and {args.manifest} gives the frames of "
            "each; leave it out"
        )
    return list(_rows(args.manifest, args.apex))


def _rows(table: str, how: str | None) -> Iterator[_Clip]:
    """The clips of a table in the layout of one's own data; a manifest of `aumer.cli.manifest`
    lists parts of videos, without onsets.

    Args:
        how: how to find an apex that the table does not give.
    """
    from aumer.cli.inputs import Input
    from aumer.data.own import Own
    from aumer.names import expanded

    path = expanded(table)
    records = Own.from_root(path.parent, table=path, clips=True).records()
    if missing := [r.name for r in records if r.annotations and r.path is None]:
        raise UsageError(
            f"{table}: {len(missing)} of its clips are not there, {', '.join(missing[:5])}; paths "
            f"are looked for below {path.parent}"
        )
    for record in records:
        for number, a in enumerate(record.annotations, start=1):
            name = record.name if len(record.annotations) == 1 else f"{record.name}-{number}"
            stem = name.replace("/", "_")
            fps = record.fps if record.frames is not None else None  # a folder has no frame rate
            given = Input(str(record.path), str(record.path), stem)
            apex = how if a.apex is None else a.apex
            yield _Clip(given, name, record.name, a.onset, apex, a.offset, fps)


def _csv(rows: list[Prediction], failures: Sequence[tuple[str, str]] = ()) -> str:
    from aumer.results import predictions_csv

    return predictions_csv(rows, failures)


class _Outputs:
    """Writes each prediction at once, so that nothing is lost if a batch is interrupted.

    Args:
        planned: the output files; see `aumer.cli.outputs.plan`.
    """

    def __init__(self, planned: Plan, console: Console) -> None:
        self._plan, self._console = planned, console
        self._rows: list[Prediction] = []
        self._failures: list[tuple[str, str]] = []
        self._begun = False

    def save(self, number: int, found: Prediction) -> None:
        """Save the prediction for the clip with this index."""
        self._rows.append(found)
        for path in self._plan.files[number]:
            if path.suffix.lower() == ".csv":
                text = _csv([found])
                atomic_write(path, text, overwrite=self._plan.overwrite)
            else:
                found.to_json(path, overwrite=self._plan.overwrite)
        self._collect()
        if self._plan.stream == "json":
            line = json.dumps(found.to_dict(), allow_nan=False, separators=(",", ":"))
            self._console.data(f"{line}\n")

    def failed(self, name: str, error: Exception) -> None:
        """Save the error of a clip."""
        text = self._console.message(error) if isinstance(error, AumerError) else repr(error)
        self._failures.append((name, text))
        self._collect()

    def _collect(self) -> None:
        for path in self._plan.collected:
            text = _csv(self._rows, self._failures)
            # After the first clip the file exists and was made by this run.
            atomic_write(path, text, overwrite=self._plan.overwrite or self._begun)
        self._begun = True

    def close(self) -> None:
        """Print the final output."""
        if self._plan.stream == "csv":
            self._console.data(_csv(self._rows, self._failures))
        elif self._plan.stream == "table" and self._rows:
            self._console.data(table(self._rows))


def _failed(given: Input, name: str | None, error: Exception, console: Console) -> int:
    from aumer.cli.outputs import with_label

    if interrupted(error):
        raise KeyboardInterrupt from error
    if isinstance(error, AumerError):
        console.error(with_label(given, name, console.message(error)))
        return error.exit_code
    console.bug(error, where=f"{given.text}: ")
    return EXIT_BUG


def table(predictions: list[Prediction]) -> str:
    """One line per clip: label (or "no expression" or "uncertain"), probabilities of all classes,
    frames, decisive regions, acting action units if they were read, and doubts with reasons.
    """
    from aumer.types import au_text

    classes = list(dict.fromkeys(name for p in predictions for name in p.probs))
    doubted = any(p.doubt for p in predictions)
    units = any(p.aus is not None for p in predictions)
    rows = [["clip", "label", *classes, "frames", "regions that decided"]]
    rows[0] += [*["AUs"] * units, *["doubt"] * doubted]
    for p in predictions:
        probs = [f"{p.probs[name]:.2f}" if name in p.probs else "-" for name in classes]
        order = sorted(p.attribution, key=p.attribution.__getitem__, reverse=True)
        spoke = [name for name in order[:3] if p.attribution[name] > 0]
        frames = f"{p.onset}-{p.apex}-{p.offset}"
        row = [shown(p.clip), p.display_label, *probs, frames, ", ".join(spoke) or "-"]
        row += [au_text(p.aus) or "-"] if units else []
        rows.append([*row, p.doubt or "-"] if doubted else row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"
