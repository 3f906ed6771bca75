"""`aumer features`: the motion of faces as tables, arrays and films."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from aumer.cli.batch import EXIT_CODES, INPUTS, VideoBatch, add_batch, options_given
from aumer.cli.console import Console
from aumer.cli.options import (
    add_measuring,
    cache_folder,
    check_range,
    read_settings,
)
from aumer.errors import EXIT_INTERRUPTED, UsageError
from aumer.files import atomic_write

if TYPE_CHECKING:
    from aumer.cli.inputs import Input
    from aumer.cli.outputs import Plan
    from aumer.results.motion import Motion

#: Those of `aumer.results.motion`, which the help must not import.
_FORMATS, _UNITS = ("npz", "csv"), ("eye", "px")

_EPILOG = f"""\
{INPUTS}
outputs:
  Without any the table is printed as CSV. -o (repeatable) names where to write instead:
    -o out.npz|.csv   one video: arrays (aumer.load_features reads them back), or the table
    -o all.csv        several videos: one table, its column `video` saying whose
    -o FOLDER         NAME.npz for each video; --format csv chooses the table. The folder must exist
    -o -              the table on stdout as well
  --crop and --flow-video name a video (.mp4, .mov, .avi, or .mkv, which is lossless), or a folder
  for NAME-crop.mp4 and NAME-flow.mp4. They take a second pass over VIDEO. Picture i shows row i.
  With --face all every face has its own: out.npz becomes out-face1.npz, out-face2.npz, ...; the one
  table of several videos holds all, its column `face` saying whose.

what is in them:
  Rows follow each other at motion.rate, 30 a second, whatever the video's frame rate; each ROI has
  dx and dy, its motion from the row's time to the next one's, and displacement_x and _y, the sum of
  the rows since the run began, this one included. A run is an unbroken stretch of rows with motion.
  x is to the right and y down in the aligned face, the head's own motion is taken off, and `r` in a
  ROI's name is the person's right. The unit is in the columns' names and in an .npz's key `unit`:
    eye   distances between the outer eye corners: the same for any size of face or crop
    px    pixels of the aligned crop, in which the outer eye corners lie motion.crop / 2 apart
  confidence (0 to 1) says how well a ROI's picture agreed with itself where it was measured.
  Where no motion could be measured, `valid` is 0, cells are empty, and numbers of an .npz NaN.
  In the flow's video the hue is the direction (right red, down yellow-green, left cyan, up violet)
  and the brightness the speed, full at .2 outer-eye distances a second; black does not move.

settings:
  defaults < --config < --set, --flow, --detector, --landmarker (the last one given wins).
  `--set motion.rate=60` takes a value as TOML writes it; a text needs no quotes.
  `aumer config show` prints all settings and where each comes from.

exit codes:
    0  done
{EXIT_CODES}"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``features`` to the command's parsers."""
    parser = commands.add_parser(
        "features",
        parents=[common],
        help="measure how the parts of faces move, without spotting",
        description="Measures how the parts of a face move: the features that `aumer spot` reads.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    add_batch(parser, _FORMATS, "of the files in a folder (default: npz); stdout takes csv")
    add = parser.add_argument
    add("--unit", choices=_UNITS, default="eye", help="of lengths (default: eye); see below")
    add("--crop", metavar="FILE", help="the aligned face, in gray, as a video")
    add("--flow-video", metavar="FILE", help="the optical flow on it, in color, as a video")
    add_measuring(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Check everything that can be checked, then measure one video after the other."""
    from aumer.cli.inputs import parse_inputs

    check_range(args)
    inputs = parse_inputs(
        args.videos, fps=args.fps, end=args.end, recursive=args.recursive, note=console.note
    )
    if (args.crop or args.flow_video) and any(isinstance(i.source, int) for i in inputs):
        raise UsageError(
            "--crop and --flow-video read frames twice, which a camera does not allow: record a "
            "file, and give that"
        )
    settings = read_settings(args)
    every = settings.face.follow == "all"
    targets = _plan(args, inputs, every)
    cache = cache_folder(args)

    from aumer.measure import Meter

    meter = Meter(face="all" if every else None, settings=settings)

    def work(given: Input) -> tuple[_Measured, ...]:
        found = meter.each_face(
            given.source,
            start=args.start,
            end=args.end,
            fps=args.fps,
            cache=cache,
            progress=console.progress,
            workers=args.workers,
            **options_given(args, "min_coverage"),
        )
        return tuple(map(_Measured, found))

    with meter, tempfile.TemporaryFile() as table:
        outputs = _Outputs(targets, inputs, console, args.unit, args.fps, table)
        batch = VideoBatch(inputs, work, outputs, console)
        try:
            try:
                batch.run()
            finally:
                outputs.collect()
        except KeyboardInterrupt:
            batch.report_interrupted(cache, "" if args.overwrite else "--overwrite")
            return EXIT_INTERRUPTED
    return batch.summarize()


@dataclass(frozen=True)
class _Targets:
    """Where everything will go; `None` is not asked for."""

    data: Plan | None
    crop: Plan | None
    flow: Plan | None


def _plan(args: argparse.Namespace, inputs: Sequence[Input], faces: bool) -> _Targets:
    from aumer.cli.outputs import Kinds, plan
    from aumer.video.writer import SUFFIXES

    videos = tuple(suffix[1:] for suffix in SUFFIXES)

    def film(path: str | None, option: str, ending: str) -> Plan | None:
        if path is None:
            return None
        kinds = Kinds((), videos, option, ending)
        return plan(inputs, [path], [], overwrite=args.overwrite, faces=faces, kinds=kinds)

    crop = film(args.crop, "--crop", "-crop")
    flow = film(args.flow_video, "--flow-video", "-flow")
    if crop and flow:
        for one, other in zip(crop.files, flow.files, strict=True):
            if {os.path.realpath(p) for p in one} & {os.path.realpath(p) for p in other}:
                raise UsageError(
                    f"{one[0]} would be written twice, for --crop and for --flow-video: give each "
                    "another file"
                )
    data = None
    if args.output or args.format or not (crop or flow):
        data = plan(
            inputs,
            args.output,
            args.format,
            overwrite=args.overwrite,
            faces=faces,
            kinds=Kinds(("csv",), _FORMATS),
        )
    return _Targets(data, crop, flow)


class _Measured:
    """The motion of a face, as `aumer spot`'s batch takes a result: nothing is spotted in it."""

    micro: tuple[()] = ()
    macro: tuple[()] = ()

    def __init__(self, motion: Motion) -> None:
        self.motion, self.notes = motion, motion.notes

    def summary(self) -> str:
        return self.motion.summary()


class _Outputs:
    """Writes the motion of each face as it comes.

    Args:
        table: an open, empty file, in which the table of several videos is gathered. It gets its
            name at the end (`collect`): to write it anew for each video, as is done for
            expressions, would take hours for a thousand of them.
    """

    #: A table of motion has rows for every video that was measured; the batch tells the others.
    listed: tuple[Path, ...] = ()

    def __init__(
        self,
        targets: _Targets,
        inputs: Sequence[Input],
        console: Console,
        unit: str,
        fps: float | None,
        table: IO[bytes],
    ) -> None:
        from aumer.cli.outputs import distinct

        self._targets, self._inputs, self._console = targets, inputs, console
        self._unit, self._fps, self._table = unit, fps, table
        self._labels = distinct(inputs)
        self._printed = False

    def save(self, number: int, measured: _Measured) -> list[Path]:
        """Write the files of the input with this number; returns those written."""
        # The quick ones first: films need the video a second time, which may fail.
        return [
            *self._save_data(number, measured.motion),
            *self._save_films(number, measured.motion),
        ]

    def stale(self, number: int, found: Sequence[_Measured]) -> list[Path]:
        """Files of an earlier run, of faces that this one has not found in the input."""
        plans = (self._targets.data, self._targets.crop, self._targets.flow)
        faces = [measured.motion.face for measured in found]
        return [path for plan in plans if plan for path in plan.stale(number, faces)]

    def show(self, number: int, measured: _Measured) -> None:
        """Print the table, if stdout is to have it."""
        if self._targets.data is None or self._targets.data.stream is None:
            return
        motion = self._labeled(number, measured.motion)
        for chunk in motion.csv_chunks(self._unit, header=not self._printed):
            self._console.data(chunk)
        self._printed = True

    def list_inputs(self, number: int | None = None, outcome: object = ()) -> list[Path]:
        """No table says what became of the inputs; see `listed`."""
        return []

    def close(self, summary: str) -> None:
        """The batch's last word is on expressions; there are none."""

    def collect(self) -> None:
        """Write the tables of several videos; none if no video gave any rows."""
        if self._targets.data is None or not self._table.tell():
            return

        def copy(file: IO[bytes]) -> None:
            self._table.seek(0)
            shutil.copyfileobj(self._table, file)

        for path in self._targets.data.collected:
            atomic_write(path, copy, overwrite=self._targets.data.overwrite)

    def _save_data(self, number: int, motion: Motion) -> list[Path]:
        data = self._targets.data
        if data is None:
            return []
        paths = data.of(number, motion.face)
        for path in paths:
            motion.save(path, unit=self._unit, overwrite=data.overwrite)
        if data.collected:
            header = not self._table.tell()
            for chunk in self._labeled(number, motion).csv_chunks(self._unit, header=header):
                self._table.write(chunk.encode())
        return [*paths, *data.collected]

    def _save_films(self, number: int, motion: Motion) -> list[Path]:
        plans = (self._targets.crop, self._targets.flow)
        crop, flow = (plan.of(number, motion.face)[0] if plan else None for plan in plans)
        wanted = [path for path in (crop, flow) if path is not None]
        if wanted:
            self._console.start(f"{motion.title()}: {' and '.join(p.name for p in wanted)}")
            motion.film(
                self._inputs[number].source,
                crop=crop,
                flow=flow,
                fps=self._fps,
                overwrite=any(plan.overwrite for plan in plans if plan),
                progress=self._console.progress,
            )
        return wanted

    def _labeled(self, number: int, motion: Motion) -> Motion:
        label = self._labels[number]
        return replace(motion, video=replace(motion.video, name=label)) if label else motion
