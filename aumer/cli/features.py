"""`aumer features`: measures the motion of faces; tables, arrays and films."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from aumer.cli.batch import (
    EXIT_CODES,
    INPUTS,
    VideoBatch,
    add_batch,
    cache_there,
    cluster_of,
    options_given,
)
from aumer.cli.console import Console
from aumer.cli.options import (
    add_measuring,
    cache_folder,
    check_range,
    read_settings,
)
from aumer.errors import EXIT_INTERRUPTED, UsageError
from aumer.files import atomic_write
from aumer.remote import Mirror

if TYPE_CHECKING:
    from aumer.cli.away import Content, ToldMotion
    from aumer.cli.batch import Outcome
    from aumer.cli.inputs import Input
    from aumer.cli.outputs import Plan
    from aumer.progress import Progress
    from aumer.results.motion import Motion

#: Units of `aumer.results.motion`, which help must not import.
_FORMATS, _UNITS = ("npz", "csv"), ("eye", "px")
#: Bytes of a table that are read at a time, up to the end of a line.
_PIECE = 1 << 20

_EPILOG = f"""\
{INPUTS}
outputs:
  Without any the table is printed as CSV. -o (repeatable) names where to write instead:
    -o out.npz|.csv   one video: arrays (aumer.load_features reads them back), or the table
    -o all.csv        several videos: one table with a column `video`
    -o FOLDER         NAME.npz for each video; --format csv chooses the table. The folder must exist
    -o -              the table on stdout as well
  --crop and --flow-video name a video (.mp4, .mov, .avi, or .mkv, which is lossless), or a folder
  for NAME-crop.mp4 and NAME-flow.mp4. They take a second pass over VIDEO. Picture i shows row i.
  With --face all each face has its own file: out.npz becomes out-face1.npz, out-face2.npz, ...; the
  table of several videos holds all faces, numbered in the column `face`.

what is in them:
  Rows follow each other at motion.rate, 30 a second, whatever the video's frame rate; each ROI has
  dx and dy, its motion from the row's time to the next one's, and displacement_x and _y, the sum of
  the rows since the run began, including this one. A run is an unbroken sequence of rows with
  motion. x is to the right and y down in the aligned face, without head motion, and `r` in an ROI's
  name is the person's right. The unit is in the columns' names and in an .npz's key `unit`:
    eye   distances between the outer eye corners: the same for any size of face or crop
    px    pixels of the aligned crop, in which the outer eye corners lie motion.crop / 2 apart
  confidence (0 to 1) says how well an ROI's pictures in the two frames matched.
  If no motion could be measured, `valid` is 0, cells are empty, and numbers in an .npz are NaN.
  In the flow's video the hue is the direction (right red, down yellow-green, left cyan, up violet)
  and the brightness the speed, full at .2 outer-eye distances a second; black does not move.

settings:
  defaults < --config < --set, --flow, --detector, --landmarker (the last one given wins).
  `--set motion.rate=60` takes a TOML value; a string needs no quotes.
  `aumer config show` prints all settings and where each comes from.

exit codes:
    0  done
{EXIT_CODES}"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``features`` to the command's parsers."""
    parser = commands.add_parser(
        "features",
        parents=[common],
        help="measure the motion of facial regions, without spotting",
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
    """Check all arguments, then measure the videos in turn."""
    from aumer.cli.inputs import parse_inputs

    check_range(args)
    workers = cluster_of(args, console)
    inputs = parse_inputs(
        args.videos, fps=args.fps, end=args.end, recursive=args.recursive, note=console.note
    )
    if (args.crop or args.flow_video) and any(isinstance(i.source, int) for i in inputs):
        raise UsageError(
            "--crop and --flow-video read frames twice, which a camera does not allow: record a "
            "file, and give that"
        )
    if workers and any(isinstance(i.source, int) for i in inputs):
        raise UsageError("a camera is of this machine: leave --backend dask out for it")
    settings = read_settings(args)
    every = settings.face.follow == "all"
    given = (*args.output, *filter(None, (args.crop, args.flow_video)))
    with Mirror(given) as mirror:
        here = dict(zip(given, mirror.texts, strict=True))
        targets = _plan(args, here, inputs, every)
        cache = None if workers else cache_folder(args)

        from aumer.measure import Meter

        face = "all" if every else None
        part = (("start", args.start), ("end", args.end), ("fps", args.fps))
        meter = Meter(face=face, settings=settings)

        def work(number: int, given: Input) -> tuple[_Measured, ...]:
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

        def elsewhere() -> Iterator[tuple[int, Outcome[Any]]]:
            from aumer.cli.away import (
                RETRIES,
                FeaturesJob,
                How,
                aumer_version,
                features_there,
                from_anywhere,
                outcome,
            )
            from aumer.cli.outputs import distinct

            assert workers is not None
            how = How(
                settings=settings,
                options=(("face", face),),
                cache=cache_there(args),
                threads=args.workers,
                min_coverage=args.min_coverage,
                version=aumer_version(),
            )
            plans = (targets.data, targets.crop, targets.flow)
            jobs = [
                FeaturesJob(
                    given=from_anywhere(given),
                    how=how,
                    planned=tuple(p and p.alone(k) for p in plans),  # type: ignore[arg-type]
                    part=part,
                    unit=args.unit,
                    table=outputs.tabled,
                    label=label,
                    fps=args.fps,
                )
                for k, (given, label) in enumerate(zip(inputs, distinct(inputs), strict=True))
            ]
            for k, made in workers.each(features_there, jobs, retries=RETRIES):
                yield k, outcome(made)

        if workers:
            workers.check()
        targets.make_folders()
        with meter, tempfile.TemporaryFile() as table:
            outputs = _Outputs(targets, inputs, console, args.unit, args.fps, table, mirror)
            batch: VideoBatch[_Measured | ToldMotion] = VideoBatch(
                inputs,
                work,
                outputs,
                console,
                elsewhere=elsewhere if workers else None,
                told=mirror.told,
            )
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
    """The output plans; `None` for outputs that are not requested."""

    data: Plan | None
    crop: Plan | None
    flow: Plan | None

    def make_folders(self) -> None:
        """As `Plan.make_folders`."""
        for plan in (self.data, self.crop, self.flow):
            if plan is not None:
                plan.make_folders()


def _plan(
    args: argparse.Namespace, here: Mapping[str, str], inputs: Sequence[Input], faces: bool
) -> _Targets:
    """Make the plans; `here` maps given outputs to local paths."""
    from aumer.cli.outputs import Kinds, plan
    from aumer.video.writer import SUFFIXES

    videos = tuple(suffix[1:] for suffix in SUFFIXES)

    def film(path: str | None, option: str, ending: str) -> Plan | None:
        if path is None:
            return None
        kinds = Kinds((), videos, option, ending)
        return plan(inputs, [here[path]], [], overwrite=args.overwrite, faces=faces, kinds=kinds)

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
            [here[text] for text in args.output],
            args.format,
            overwrite=args.overwrite,
            faces=faces,
            kinds=Kinds(("csv",), _FORMATS),
        )
    return _Targets(data, crop, flow)


class _Measured:
    """The motion of a face in the form of a result for `VideoBatch`, without expressions."""

    micro: tuple[()] = ()
    macro: tuple[()] = ()

    def __init__(self, motion: Motion) -> None:
        self.motion, self.notes, self.face = motion, motion.notes, motion.face

    def summary(self) -> str:
        return self.motion.summary()


class FeatureFiles:
    """Writes the files of one video's motion.

    Args:
        data, crop, flow: plans for arrays and tables, for films of the face and of the flow; None
            if not requested.
    """

    def __init__(
        self, data: Plan | None, crop: Plan | None, flow: Plan | None, unit: str, fps: float | None
    ) -> None:
        self._data, self._crop, self._flow = data, crop, flow
        self._unit, self._fps = unit, fps
        self.start: Callable[[str], object] = str
        self.progress: Progress | None = None

    def save(self, number: int, motion: Motion, given: Input) -> list[Path]:
        """Write the files of the input with this index; returns those written."""
        # Films last: they read the video a second time, which may fail.
        paths = list(self._data.of(number, motion.face)) if self._data else []
        for path in paths:
            assert self._data is not None
            motion.save(path, unit=self._unit, overwrite=self._data.overwrite)
        plans = (self._crop, self._flow)
        crop, flow = (plan.of(number, motion.face)[0] if plan else None for plan in plans)
        wanted = [path for path in (crop, flow) if path is not None]
        if wanted:
            self.start(f"{motion.title()}: {' and '.join(p.name for p in wanted)}")
            motion.film(
                given.source,
                crop=crop,
                flow=flow,
                fps=self._fps,
                overwrite=any(plan.overwrite for plan in plans if plan),
                progress=self.progress,
            )
        return [*paths, *wanted]


class _Outputs:
    """Writes the motion of each face at once.

    Args:
        table: an open, empty file that collects the table of several videos. It is renamed at the
            end (`collect`): rewriting it for each video, as for expressions, would take hours for a
            thousand videos.
        mirror: mirror of remote outputs.
    """

    #: A table of motion has rows for every measured video; the batch reports the others.
    listed: tuple[Path, ...] = ()

    def __init__(
        self,
        targets: _Targets,
        inputs: Sequence[Input],
        console: Console,
        unit: str,
        fps: float | None,
        table: IO[bytes],
        mirror: Mirror,
    ) -> None:
        from aumer.cli.outputs import distinct

        self._targets, self._console = targets, console
        self._unit, self._table, self._mirror = unit, table, mirror
        self._files = FeatureFiles(targets.data, targets.crop, targets.flow, unit, fps)
        self._files.start, self._files.progress = console.start, console.progress
        self._labels = distinct(inputs)
        self._header = ""
        #: Positions in the table of the rows of each input's faces.
        self._rows: dict[int, list[tuple[int, int]]] = {}
        self._printed: set[int] = set()

    @property
    def tabled(self) -> bool:
        """Whether rows are collected, for a common table or for stdout."""
        data = self._targets.data
        return data is not None and (bool(data.collected) or data.stream is not None)

    def save(self, number: int, measured: _Measured | ToldMotion, given: Input) -> list[Path]:
        """Write the files of the input with this index; returns those written."""
        assert isinstance(measured, _Measured)
        written = self._files.save(number, measured.motion, given)
        if self.tabled:
            motion = labeled(measured.motion, self._labels[number])
            chunks = motion.csv_chunks(self._unit)
            self._header, _, first = next(chunks).partition("\n")
            self._gather(number, chain([first], chunks))
        self._mirror.sent(written)
        return [*written, *self._all]

    def deliver(
        self,
        number: int,
        measured: _Measured | ToldMotion,
        contents: Sequence[Content] | None,
    ) -> list[Path]:
        """The same for files made by a worker."""
        assert not isinstance(measured, _Measured)
        plans = [p for p in (self._targets.data, self._targets.crop, self._targets.flow) if p]
        planned = [(path, p.overwrite) for p in plans for path in p.files[number]]
        written = []
        for content in contents or ():
            near, overwrite = planned[content.number]
            path = near.with_name(content.name)
            atomic_write(path, content.data, overwrite=overwrite)
            written.append(path)
        if self.tabled:
            self._header = measured.header.rstrip("\n")
            self._gather(number, [measured.table.decode()])
        self._mirror.sent(written)
        return [*written, *self._all]

    @property
    def _all(self) -> tuple[Path, ...]:
        return self._targets.data.collected if self._targets.data else ()

    def _gather(self, number: int, texts: Iterable[str]) -> None:
        begin = self._table.seek(0, os.SEEK_END)
        for text in texts:
            self._table.write(text.encode())
        self._rows.setdefault(number, []).append((begin, self._table.tell()))

    def _read(self, number: int) -> Iterator[bytes]:
        for begin, end in self._rows.get(number, ()):
            self._table.seek(begin)
            left = end - begin
            while left > 0 and (piece := self._table.read(min(left, _PIECE))):
                piece += b"" if piece.endswith(b"\n") else self._table.readline()
                yield piece
                left -= len(piece)

    def stale(self, number: int, found: Sequence[_Measured | ToldMotion]) -> list[Path]:
        """Files of an earlier run for faces that this run did not find in the input."""
        plans = (self._targets.data, self._targets.crop, self._targets.flow)
        faces = [one.face for one in found]
        return [path for plan in plans if plan for path in plan.stale(number, faces)]

    def show(self, number: int, measured: _Measured | ToldMotion) -> None:
        """Print the table, if stdout is an output; all faces of an input with the first."""
        data = self._targets.data
        if data is None or data.stream is None or number in self._printed:
            return
        if not self._printed:
            self._console.data(f"{self._header}\n")
        self._printed.add(number)
        for piece in self._read(number):
            self._console.data(piece.decode())

    def list_inputs(self, number: int | None = None, outcome: object = ()) -> list[Path]:
        """There is no table of outcomes; see `listed`."""
        return []

    def close(self, summary: str) -> None:
        """Nothing to print: the batch's summary is about expressions."""

    def collect(self) -> None:
        """Write the tables of several videos; none if there are no rows."""
        if self._targets.data is None or not self._rows:
            return

        def copy(file: IO[bytes]) -> None:
            file.write(f"{self._header}\n".encode())
            for number in sorted(self._rows):
                for piece in self._read(number):
                    file.write(piece)

        for path in self._targets.data.collected:
            atomic_write(path, copy, overwrite=self._targets.data.overwrite)
        self._mirror.sent(list(self._targets.data.collected))


def labeled(motion: Motion, label: str | None) -> Motion:
    """The motion with a name that distinguishes videos of equal names in a common table."""
    return replace(motion, video=replace(motion.video, name=label)) if label else motion
