"""Outputs of results: files, a folder, one CSV for all, or stdout."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from aumer.cli.away import Content
from aumer.cli.console import Console
from aumer.cli.inputs import Input, stems
from aumer.errors import AumerError, UsageError
from aumer.files import atomic_write, bound_for, check_target, exists
from aumer.foreign import foreign, plain_line
from aumer.remote import Mirror
from aumer.results import (
    InputRow,
    SpotResult,
    check_suffix,
    csv_text,
    inputs_csv,
    suffixes,
    thumbnails,
)
from aumer.results.drawing import IMAGE_SUFFIXES
from aumer.results.exchange import bare
from aumer.results.formats import ending, format_of
from aumer.results.inputs import inputs_header
from aumer.results.totals import (
    Totals,
    VideoTally,
    totals,
    totals_csv,
    totals_header,
    totals_table,
)
from aumer.results.units import UnitRow, unit_rows, units_csv, units_header
from aumer.results.writers import csv_header
from aumer.types import ImageArray, au_text

T = TypeVar("T")

#: Formats of stdout; "table", the default, is for people.
STREAMS = ("table", "json", "csv")


@dataclass(frozen=True)
class Kinds:
    """Formats that an option can write; the first of each list is the default.

    Attributes:
        streams: formats of stdout; empty if stdout is not possible.
        files: formats of files, which are their suffixes without the dot.
        option: name on the command line.
        ending: appended to a video's name for a file in a folder.
        listed: whether a table of outcomes is written beside a table of all inputs.
        results: whether the files are formats of `aumer.results.formats`, which may require certain
            names and write further files.
    """

    streams: tuple[str, ...]
    files: tuple[str, ...]
    option: str = "-o"
    ending: str = ""
    listed: bool = False
    results: bool = False

    @property
    def suffixes(self) -> tuple[str, ...]:
        return tuple(f".{name}" for name in self.files)


def spotted() -> Kinds:
    """Formats of `aumer spot`; by default JSON in a folder."""
    return Kinds(STREAMS, tuple(suffix[1:] for suffix in suffixes()), listed=True, results=True)


@dataclass(frozen=True)
class Plan:
    """All outputs, checked before any work.

    Attributes:
        stream: format of stdout, or `None`.
        files: for each input, the files of its own result.
        collected: CSV files with the expressions of all inputs.
        listed: CSV files beside those with the outcome of each input: ``all.inputs.csv``.
        totalled: CSV files beside those with totals by group: ``all.totals.csv``.
        united: CSV files beside those with the action units of every video: ``all.aus.csv``.
        units: also write, beside each CSV file of one result, ``out.aus.csv``.
        indexes: index pages, ``index.html`` in a folder of pages.
        overwrite: replace existing files.
        faces: each file becomes one for each face, ``out.json`` -> ``out-face1.json``, ...
        resume: keep valid existing files, see `Outputs.kept`.
        resumable: whether `resume` can continue from the written files.
        folders: folders that the files lie in and that are missing, see `make_folders`.
    """

    stream: str | None
    files: tuple[tuple[Path, ...], ...]
    collected: tuple[Path, ...]
    overwrite: bool
    faces: bool = False
    listed: tuple[Path, ...] = ()
    totalled: tuple[Path, ...] = ()
    united: tuple[Path, ...] = ()
    units: bool = False
    indexes: tuple[Path, ...] = ()
    resume: bool = False
    resumable: bool = False
    folders: tuple[Path, ...] = ()

    def make_folders(self) -> None:
        """Make the missing folders. Call it when nothing else can refuse the run.

        Raises:
            UsageError: a folder cannot be made.
        """
        for folder in self.folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from error

    def beside(self, path: Path) -> tuple[Path, ...]:
        """Files that may be written with a file of one result. Each of them is complete before the
        file itself; so nothing is missing after a kill where the file is there.
        """
        return _beside(path, self.units)

    def alone(self, number: int) -> Plan:
        """The part of the plan for one input, for a worker."""
        return Plan(None, (self.files[number],), (), False, faces=self.faces, units=self.units)

    def of(self, number: int, face: int | None) -> tuple[Path, ...]:
        """The files of the input with this index, and of this face if each face has its own. For
        some videos a manifest may request a single face without a number.
        """
        if not self.faces or face is None:
            return self.files[number]
        named = ((p, *_parted(p)) for p in self.files[number])
        return tuple(p.with_name(f"{stem}-face{face}{ends}") for p, stem, ends in named)

    def stale(self, number: int, faces: Collection[int | None]) -> list[Path]:
        """Files of an earlier run for other faces than `faces`."""
        if not self.faces:
            return []
        mine = {path for face in faces for path in self.of(number, face)}
        every = (there for path in self.files[number] for there in _of_faces(path))
        return [path for path in dict.fromkeys(every) if path not in mine]


def plan(
    inputs: Sequence[Input],
    outputs: Sequence[str],
    formats: Sequence[str],
    *,
    overwrite: bool = False,
    faces: bool = False,
    kinds: Kinds | None = None,
    by: Sequence[str] = (),
    units: bool = False,
    resume: bool = False,
) -> Plan:
    """Make the plan from ``-o`` and ``--format``, with a list of files for each input.

    If inputs of equal names lie in different folders, the output folder gets the same subfolders
    (`Plan.make_folders`).

    Args:
        kinds: by default `spotted`.
        by: columns of a manifest that group totals; empty for no totals.
        units: write a table of action units beside every table of expressions.
        resume: accept existing files of inputs, see `Outputs.kept`, and tables and pages of an
            earlier run.

    Raises:
        UsageError: an invalid suffix, folder or combination, an existing file, two results for one
            file, or a closed stdout.
    """
    kinds = spotted() if kinds is None else kinds
    stream = "-" in outputs or not outputs
    if stream and sys.stdout is None:
        raise UsageError(
            "stdout is closed, so the results would be lost",
            fixes=("give a file or a folder with -o", "leave stdout open"),
        )
    formats = list(dict.fromkeys(formats))
    folders = [Path(o) for o in outputs if o != "-" and _is_folder(o)]
    single = [Path(o) for o in outputs if o != "-" and not _is_folder(o)]
    _check_formats(formats, kinds, stream=stream, folder=bool(folders))
    collected: list[Path] = []
    files: list[list[Path]] = [[] for _ in inputs]
    for path in single:
        suffix = _suffix(path, kinds)
        if len(inputs) == 1:
            files[0].append(path)
        elif suffix == ".csv":
            collected.append(path)
        else:
            raise UsageError(
                f"{path} can hold the result of one video only, and {len(inputs)} are given; use "
                f"{kinds.option} with a folder that exists"
                + (
                    f" (and --format {suffix[1:]}), or a .csv, which collects all"
                    if "csv" in kinds.files
                    else ""
                )
            )
    missing: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"the folder {folder} does not exist; create it first")
        for own, stem in zip(files, stems(inputs), strict=True):
            target = folder / f"{stem}{kinds.ending}"
            missing |= {target.parent} if not target.parent.exists() else set()
            for name in formats or kinds.files[:1]:
                ends = ending(name) if kinds.results else f".{name}"
                own.append(target.with_name(f"{target.name}{ends}"))
    if resume:
        _check_resume(files, folders, faces)
    tables = collected if kinds.listed else []
    listed = [p.with_name(f"{p.stem}.inputs{p.suffix}") for p in tables]
    totalled = [p.with_name(f"{p.stem}.totals{p.suffix}") for p in tables if by]
    united = [aus_path(p) for p in tables if units]
    pages = len(inputs) > 1 and "html" in formats
    indexes = [folder / "index.html" for folder in folders if pages]
    own = [*collected, *listed, *totalled, *united, *indexes]
    if resume and not overwrite:
        about = [dict(given.about) for given in inputs]
        heads = {
            **dict.fromkeys(collected, csv_header(about)),
            **dict.fromkeys(listed, inputs_header(about)),
            **dict.fromkeys(totalled, totals_header(by)),
            **dict.fromkeys(united, units_header(about)),
        }
        for path in own:
            _check_ours(path, heads.get(path))
    beside = [[aus_path(p) for p in its if units and p.suffix == ".csv"] for its in files]
    if resume and not overwrite:
        for given, tables_of in zip(inputs, beside, strict=True):
            for path in tables_of:
                _check_ours(path, units_header([dict(given.about)]))
    taken = files
    if kinds.results:
        taken = [[*its, *(more for p in its for more in _beside(p, units))] for its in files]
    _check_targets(inputs, taken, own, overwrite or resume, missing)
    if faces and not overwrite:
        for path in (p for own in files for p in own):
            for there in _of_faces(path):
                check_target(there, overwrite=False)
    return Plan(
        stream=(formats[0] if formats else kinds.streams[0]) if stream else None,
        files=tuple(map(tuple, files)),
        collected=tuple(collected),
        overwrite=overwrite,
        faces=faces,
        listed=tuple(listed),
        totalled=tuple(totalled),
        united=tuple(united),
        units=units,
        indexes=tuple(indexes),
        resume=resume,
        resumable=not faces and _tell(files, folders),
        folders=tuple(sorted(missing)),
    )


def _beside(path: Path, units: bool) -> tuple[Path, ...]:
    """As `Plan.beside`, before there is a plan."""
    tables = (aus_path(path),) if units and path.suffix == ".csv" else ()
    return (*tables, *format_of(path).companions(path))


def aus_path(table: Path) -> Path:
    """Path of the table of action units for a table of expressions."""
    return table.with_name(f"{table.stem}.aus{table.suffix}")


def _check_resume(files: Sequence[Sequence[Path]], folders: Sequence[Path], faces: bool) -> None:
    if faces:
        raise UsageError(
            "--resume cannot tell whether all faces of a video are there: leave --face all out, or "
            "--resume; what was analyzed is kept in the cache and not analyzed again"
        )
    if not _tell(files, folders):
        raise UsageError(
            "--resume needs a .json for each video, which records how it was made: give -o "
            "FOLDER, and --format json among others"
        )


def _tell(files: Sequence[Sequence[Path]], folders: Sequence[Path]) -> bool:
    """Whether the files in a folder state for each input how they were made."""
    return bool(folders) and all(any(p.suffix == ".json" for p in own) for own in files)


def _check_ours(path: Path, header: str | None) -> None:
    """Raise an error if an existing file is not a table or page of such an earlier run.

    Args:
        header: header of the table; None for a page.
    """
    if not exists(path) or not path.is_file():
        return
    from aumer.report.video import INDEX

    wanted = f'<meta name="keywords" content="{INDEX}">' if header is None else header
    with foreign(path, "a file of an earlier run"), path.open("rb") as file:
        head = file.read(len(wanted.encode()) + 4096)
    # An empty file, left by a run that ended before its first video, may be replaced.
    if head and not (
        wanted.encode() in head if header is None else head.startswith(wanted.encode())
    ):
        what = "page" if header is None else "table with these columns"
        raise UsageError(
            f"{path} exists, and is not a {what} that an earlier run of this command wrote",
            fixes=("use `overwrite=True` to replace it", "choose another name"),
        )


def _of_faces(path: Path) -> list[Path]:
    """Existing files of single faces, by requested name."""
    stem, ends = map(re.escape, _parted(path))
    numbered = re.compile(rf"{stem}-face([1-9][0-9]*){ends}")
    found = [(int(m[1]), p) for p in path.parent.glob("*") if (m := numbered.fullmatch(p.name))]
    return [there for _, there in sorted(found)]


def _parted(path: Path) -> tuple[str, str]:
    """A file's name and its ending."""
    ends = path.name[len(bare(path.name)) :]
    return path.name[: len(path.name) - len(ends)], ends


def _is_folder(text: str) -> bool:
    # Not Path.is_dir, which raises where a folder on the way may not be searched.
    return text.endswith(("/", os.sep)) or os.path.isdir(text)  # noqa: PTH112


def _suffix(path: Path, kinds: Kinds) -> str:
    try:
        suffix = check_suffix(path, kinds.suffixes)
        if kinds.results:
            format_of(path)  # some formats require certain names
        return suffix
    except UsageError as error:
        if path.suffix:
            raise
        raise UsageError(f"{error} If it is meant as a folder, create it first.") from None


def _check_formats(formats: Sequence[str], kinds: Kinds, *, stream: bool, folder: bool) -> None:
    if stream and not kinds.streams:
        raise UsageError(
            f"{kinds.option} cannot go to stdout; give a file ({', '.join(kinds.suffixes)}), or a "
            "folder that exists"
        )
    if not (stream or folder) and formats:
        raise UsageError(
            "--format is for stdout and folders; the suffix of a file says its format. Leave "
            "--format out, or add -o - to print as well"
        )
    takers = (stream, kinds.streams, "stdout"), (folder, kinds.files, "a folder")
    for wanted, allowed, what in takers:
        wrong = [name for name in formats if wanted and name not in allowed]
        if wrong:
            raise UsageError(
                f"--format {wrong[0]} cannot go to {what}, which takes {', '.join(allowed)}"
            )
    if stream and len(formats) > 1:
        raise UsageError(
            f"stdout takes one --format, found {' and '.join(formats)}; give a folder with -o for "
            "several"
        )


def _check_targets(
    inputs: Sequence[Input],
    files: Sequence[Sequence[Path]],
    collected: Sequence[Path],
    overwrite: bool,
    missing: Collection[Path],
) -> None:
    """Raise errors for targets; a folder in `missing` is accepted."""
    frames = {os.path.realpath(i.text) for i in inputs if i.is_folder}
    videos = {os.path.realpath(i.text) for i in inputs}
    takers: dict[str, str] = {}
    for path, taker in [
        *((path, given.text) for own, given in zip(files, inputs, strict=True) for path in own),
        *((path, "the table or page of all videos") for path in collected),
    ]:
        if os.path.realpath(path) in videos:
            raise UsageError(
                f"{path} is one of the videos, and would be lost; choose another name for the "
                "output"
            )
        target = path if path.parent in missing else check_target(path, overwrite=overwrite)
        if os.path.realpath(target.parent) in frames and path.suffix.lower() in IMAGE_SUFFIXES:
            raise UsageError(
                f"{path} would lie among the frames of {target.parent} and be read as one "
                "of them next time; choose another folder"
            )
        place = os.path.realpath(target)
        if place in takers:
            raise UsageError(
                f"{path} would be written twice, for {takers[place]} and for {taker}; give each "
                "its own -o, or rename one of the videos"
            )
        takers[place] = taker


class Outputs:
    """Writes each result at once, so that nothing is lost if a batch is interrupted.

    Args:
        planned: see `plan`.
        inputs: the inputs of the plan.
        fps: given frame rate, needed to read frames again.
        show_faces: whether pictures and pages show faces.
        by: columns of a manifest that group totals.
        mirror: mirror of remote outputs.
    """

    def __init__(
        self,
        planned: Plan,
        inputs: Sequence[Input],
        console: Console,
        fps: float | None,
        *,
        show_faces: bool = True,
        by: Sequence[str] = (),
        mirror: Mirror | None = None,
    ) -> None:
        self._mirror = mirror or Mirror(())
        self._plan, self._inputs, self._console, self._fps = planned, inputs, console, fps
        self._show_faces, self._by = show_faces, tuple(by)
        self._labels = distinct(inputs)
        # By index of the input, so that tables are in the order of the inputs.
        self._header = ""
        self._table: dict[int, list[str]] = {}
        self._tallies: dict[int, list[VideoTally]] = {}
        self._units: dict[int, list[UnitRow]] = {}
        self._collected = False
        self._lossy_told: set[str] = set()
        self._abouts = [dict(given.about) for given in inputs]
        self._printed = False
        names = zip(inputs, self._labels, strict=True)
        self._listed = [
            [
                InputRow.of(
                    given.text,
                    None,
                    video=label or Path(given.text).name,
                    about=dict(given.about),
                )
            ]
            for given, label in names
        ]
        self._began = False
        self._keeps: dict[int, tuple[Path, ...]] = {}

    def kept(
        self, number: int, fits: Callable[[SpotResult], bool]
    ) -> tuple[SpotResult, ...] | None:
        """The result of an earlier run for an input, if all of its files exist.

        If that run was interrupted between two files, `save` writes the missing ones.

        Args:
            fits: whether a stored result equals that of this run.

        Raises:
            UsageError: the stored result differs, a picture may show an unwanted face, or a file is
                damaged; unless existing files may be replaced.
        """
        paths = self._plan.files[number]
        there = tuple(path for path in paths if exists(path))
        if not self._plan.resume or not there:
            return None
        for path in there:
            self._mirror.bring(path)
        try:
            stored = self._fitting(paths, there, fits)
        except UsageError:
            if self._plan.overwrite:
                return None
            raise
        self._keeps[number] = there
        for path in there:
            # A table that is missing is made again: the result holds all of it.
            table = aus_path(path)
            if table in self._plan.beside(path) and not exists(table):
                self._write_units(table, stored)
                self._mirror.sent([table])
        return (stored,) if len(there) == len(paths) else None

    def _fitting(
        self,
        paths: Sequence[Path],
        there: Sequence[Path],
        fits: Callable[[SpotResult], bool],
    ) -> SpotResult:
        path = next(p for p in paths if p.suffix == ".json")
        if path not in there:
            raise UsageError(
                f"{there[0]} exists without {path.name}, which would say how it was made",
                fixes=("use `overwrite=True`", "give another folder with -o"),
            )
        stored = SpotResult.load(path)
        if not fits(stored):
            raise UsageError(
                f"{path} was made from another video of this name, with other settings, by another "
                "version, or for another row of a manifest",
                fixes=("use `overwrite=True`", "give another folder with -o"),
            )
        if not self._show_faces:
            for one in there:
                if not format_of(one).faceless(one):
                    raise UsageError(
                        f"{one} was written by an earlier run and may show a face, in spite of "
                        "--no-faces",
                        fixes=("use `overwrite=True`", "give another folder with -o"),
                    )
        return stored

    def save(self, number: int, result: SpotResult, given: Input) -> list[Path]:
        """Write the files of the input with this number; returns those written.

        Args:
            given: the input as a local file.
        """
        self._note(number, result)
        kept = self._keeps.get(number, ())
        paths = [path for path in self._plan.of(number, result.face) if path not in kept]
        # First the file that states how the others were made, then quick formats: pictures read the
        # video a second time, which may fail.
        written = sorted(paths, key=lambda p: (p.suffix != ".json", format_of(p).pictures))
        shown = [path for path in written if format_of(path).pictures]
        frames = {frame for path in shown for frame in format_of(path).frames(result)}
        faces: dict[int, ImageArray] | None = None
        for path in written:
            if faces is None and path in shown:
                faces = self._faces(given, result, frames)
            beside = self._plan.beside(path)
            if aus_path(path) in beside:
                self._write_units(aus_path(path), result)
            overwrite = self._plan.overwrite
            if self._plan.resume and not overwrite:
                # What lies beside a missing file is of a run that was killed between the two.
                check_target(path)
                overwrite = bool(beside)
            with bound_for(self._mirror.homes):
                result.save(path, overwrite=overwrite, thumbnails=faces)
            self._say_what_is_lost(path, result, paths)
            if self._mirror.mirrors:
                self._mirror.sent([*filter(_filled, beside), path])
        return [*written, *(self._plan.collected if written or not kept else ())]

    def _write_units(self, path: Path, result: SpotResult) -> None:
        # It may exist from an earlier run that was killed before it wrote the expressions.
        again = self._plan.overwrite or self._plan.resume
        atomic_write(path, units_csv(unit_rows(result), [result.about]), overwrite=again)

    def deliver(
        self, number: int, result: SpotResult, contents: Sequence[Content] | None
    ) -> list[Path]:
        """The same for files made by a worker; None for a file that is kept."""
        self._note(number, result)
        planned, kept = self._plan.files[number], self._keeps.get(number, ())
        written = []
        for content in contents or ():
            path = planned[content.number].with_name(content.name)
            if path in kept:
                continue
            own = path in self._plan.of(number, result.face)
            again = self._plan.overwrite or (self._plan.resume and not own)
            atomic_write(path, content.data, overwrite=again)
            if own:  # others are no results: the curves beside ELAN's files
                self._say_what_is_lost(path, result, planned)
            written.append(path)
        self._mirror.sent(written)
        return [*written, *(self._plan.collected if contents is not None else ())]

    def _note(self, number: int, result: SpotResult) -> None:
        """Add a result to the common tables."""
        self._tallies.setdefault(number, []).append(VideoTally.of(result))
        labeled = self._labeled(number, result)
        if self._plan.united:
            self._units.setdefault(number, []).extend(unit_rows(labeled))
        if self._plan.collected:
            self._collect(number, labeled)

    def _say_what_is_lost(self, path: Path, result: SpotResult, beside: Sequence[Path]) -> None:
        """Warn for the first file of each format, unless a complete file is written, too."""
        if path.suffix.lower() in self._lossy_told or any(
            p.suffix.lower() == ".json" for p in beside
        ):
            return
        if lost := format_of(path).lost(result):
            self._lossy_told.add(path.suffix.lower())
            self._console.note(
                f"{plain_line(path.name)} has no place for: {lost}. A file .json holds everything"
            )

    @property
    def listed(self) -> tuple[Path, ...]:
        """The tables of outcomes."""
        return (*self._plan.listed, *self._plan.indexes)

    def list_inputs(
        self, number: int | None = None, outcome: Sequence[SpotResult] | Exception = ()
    ) -> list[Path]:
        """Write the tables of outcomes, if there is a common table; returns the files.

        Args:
            number: index of the input with a new outcome: its results or its error.
        """
        if number is not None:
            text = self._inputs[number].text
            outcomes = [outcome] if isinstance(outcome, Exception) else outcome
            name = self._listed[number][0].video
            reason = self._console.message(outcome) if isinstance(outcome, AumerError) else None
            about = dict(self._inputs[number].about)
            self._listed[number] = [
                InputRow.of(text, one, video=name, reason=reason, about=about) for one in outcomes
            ]
        plan = self._plan
        contents: dict[Path, Callable[[], str]] = {
            **dict.fromkeys(
                plan.listed, lambda: inputs_csv(r for own in self._listed for r in own)
            ),
            **dict.fromkeys(plan.totalled, lambda: totals_csv(self.totals())),
            **dict.fromkeys(plan.united, lambda: units_csv(_in_order(self._units), self._abouts)),
            **{path: partial(self._index, path) for path in plan.indexes},
        }
        for path, content in contents.items():
            # After the first time the file exists and was made by this run.
            overwrite = plan.overwrite or plan.resume or self._began
            atomic_write(path, content(), overwrite=overwrite)
        self._mirror.sent(list(contents))
        self._began = True
        return list(contents)

    def totals(self) -> tuple[Totals, ...]:
        """Write totals of all results saved so far."""
        return totals(_in_order(self._tallies), self._by)

    def _index(self, path: Path) -> str:
        from aumer.report.video import IndexRow, index_page

        entries = []
        for number, own in enumerate(self._listed):
            for row in own:
                pages = self._plan.of(number, row.face) if row.status == "ok" else ()
                mine = [p for p in pages if p.suffix == ".html" and p.is_relative_to(path.parent)]
                address = mine[0].relative_to(path.parent).as_posix() if mine else None
                entries.append(IndexRow(row, address))
        return index_page(entries, self.totals())

    def stale(self, number: int, results: Sequence[SpotResult]) -> list[Path]:
        """Files of an earlier run for faces that this run did not find in the input."""
        return self._plan.stale(number, [result.face for result in results])

    def show(self, number: int, result: SpotResult) -> None:
        """Print the result, if stdout is an output."""
        if self._plan.stream is None:
            return
        result = self._labeled(number, result)
        if self._plan.stream == "json":
            line = json.dumps(result.to_dict(), allow_nan=False, separators=(",", ":"))
            self._console.data(f"{line}\n")
        elif self._plan.stream == "csv":
            header, rows = _csv(result)
            self._console.data(rows if self._printed else header + rows)
        else:
            self._console.data(("\n" if self._printed else "") + table(result))
        self._printed = True

    def close(self, summary: str) -> None:
        """Print the summary of several videos and totals after readable tables."""
        if self._plan.stream == "table" and len(self._inputs) > 1:
            self._console.data(("\n" if self._printed else "") + f"{summary}\n")
            if self._by:
                self._console.data(f"\n{totals_table(self.totals())}")

    def _faces(
        self, given: Input, result: SpotResult, frames: Collection[int]
    ) -> dict[int, ImageArray]:
        if isinstance(given.source, int) or result.track is None or not self._show_faces:
            return {}  # a camera cannot be read again
        return thumbnails(given.source, frames, result.track, fps=given.fps or self._fps)

    def _collect(self, number: int, result: SpotResult) -> None:
        header, rows = _csv(result)
        self._header = self._header or header
        self._table.setdefault(number, []).append(rows)
        for path in self._plan.collected:
            # After the first video the file exists and was made by this run.
            overwrite = self._plan.overwrite or self._plan.resume or self._collected
            text = "".join([self._header, *_in_order(self._table)])
            atomic_write(path, text, overwrite=overwrite)
        self._collected = True
        self._mirror.sent(list(self._plan.collected))

    def _labeled(self, number: int, result: SpotResult) -> SpotResult:
        label = self._labels[number]
        return replace(result, video=replace(result.video, name=label)) if label else result


def _filled(path: Path) -> bool:
    """Whether a file of a mirrored folder has content; an empty one stands for one elsewhere."""
    return path.is_file() and path.stat().st_size > 0


def _in_order(held: Mapping[int, Sequence[T]]) -> list[T]:
    """Values by index of the input, in order."""
    return [one for number in sorted(held) for one in held[number]]


def distinct(inputs: Iterable[Input]) -> list[str | None]:
    """Names that distinguish videos of equal names in a common table: the inputs as given."""
    names = [Path(i.text).name for i in inputs]
    count = Counter(names)
    return [i.text if count[name] > 1 else None for i, name in zip(inputs, names, strict=True)]


def called(given: Input, label: str | None) -> str:
    """The name of an input in common tables: its name, or that of `distinct`."""
    return label or Path(given.text).name or given.text


def with_label(given: Input, label: str | None, reason: str) -> str:
    """An error's message, with the input in front if it does not name it."""
    named = given.text in reason or called(given, label) in reason
    return reason if named else f"{given.text}: {reason}"


def _csv(result: SpotResult) -> tuple[str, str]:
    """Header and rows."""
    header, _, rows = csv_text([result]).partition("\n")
    return f"{header}\n", rows


def table(result: SpotResult) -> str:
    """One line per expression of a video, and a summary line."""
    seen = f"{line}\n" if (line := result.seen()) else ""
    if not result.expressions:
        return (
            f"{result.title()}: no expression found; motion was measured in "
            f"{result.coverage:.1%} of the time; spotter {result.spotter}\n{seen}"
        )
    rows = [["kind", "onset_s", "apex_s", "offset_s", "duration_s", "frames", "score", "peak"]]
    for e in result.expressions:
        seconds = [f"{s:.3f}" for s in (e.onset_s, e.apex_s, e.offset_s, e.duration_s)]
        peak = "-" if e.peak is None else f"{e.peak:.1f}"
        rows.append([e.kind, *seconds, f"{e.onset}-{e.apex}-{e.offset}", f"{e.score:.2f}", peak])
    if any(e.label is not None for e in result.expressions):
        rows[0] += ["label", "p"]
        for row, e in zip(rows[1:], result.expressions, strict=True):
            sure = (e.probs or {}).get(e.label or "")
            row += [e.label or "-", "-" if sure is None else f"{sure:.2f}"]
    if any(e.aus is not None for e in result.expressions):
        rows[0].append("AUs")
        for row, e in zip(rows[1:], result.expressions, strict=True):
            row.append(au_text(e.aus) or "-")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
    return "\n".join([result.title(), *lines, result.summary(), seen])
