"""The reader of folders with a file for each video."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from aumer.errors import UsageError
from aumer.tables.cells import Sheet, text_of
from aumer.tables.lines import Lines
from aumer.tables.readers.arrays import of_arrays, plain_arrays
from aumer.tables.readers.columns import column_names, names_columns
from aumer.tables.readers.rows import require_unit, with_empty
from aumer.tables.readers.text import TEXTS, text_lines
from aumer.tables.reading import IntervalReader, IntervalReading


class PerVideoReader(IntervalReader):
    """A folder with a file for each video."""

    what: ClassVar[str] = (
        "a folder with a file for each video, which is called by it: NAME.txt, .csv or .tsv with "
        "onset, offset and, if wanted, apex, kind and score in each line, empty where there is "
        "none; or NAME.npy"
    )

    takes_columns: ClassVar[bool] = True

    def fits(self, path: Path) -> bool:
        return path.is_dir() and bool(_files(path))

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        files = _files(path) if path.is_dir() else [path]
        if not files:
            raise UsageError(f"{path}: holds no .txt, .csv, .tsv or .npy file")
        arrays = [file for file in files if file.suffix.lower() == ".npy"]
        if arrays and len(arrays) < len(files):
            raise UsageError(
                f"{path}: holds texts and arrays, such as {files[0].name}; keep one of them there"
            )
        if arrays:
            held = [one for file in arrays for one in plain_arrays(file)]
            return [of_arrays(path, held, reading, 0)]
        for one, other in itertools.pairwise(sorted(files, key=lambda file: file.stem)):
            if one.stem == other.stem:
                raise UsageError(
                    f"{path}: {one.name} and {other.name} are both of the video {one.stem}; keep "
                    "one of them there"
                )
        header, read = _without_header(files)
        lines = [[file.stem, *line] for file, _, line in read]
        line_names = tuple(f"{file.name}, line {number}" for file, number, _ in read)
        filled = {file for file, *_ in read}
        empty = tuple(file.stem for file in files if file not in filled)
        names: tuple[str, ...] = ("video", "kind", "onset", "offset")
        note: tuple[str, ...] = ()
        if header is not None:
            names = ("video", *header)
        elif lines:
            names, note = column_names(str(path), lines, reading, video_first=True)
        require_unit(str(path), names, lines, reading)
        lines, names, more = with_empty(lines, names, empty, reading.kind)
        sheet = Sheet(path, "", lines)
        line_names = (*line_names, *empty)
        return [Lines(sheet, -1, names, notes=(*note, *more), line_names=line_names)]


def _without_header(
    files: Sequence[Path],
) -> tuple[tuple[str, ...] | None, list[tuple[Path, int, Sequence[Any]]]]:
    """The header of all files (all or none must have it), and each line with its file and number.

    Raises:
        UsageError: they have different headers.
    """
    headers: dict[tuple[str, ...] | None, Path] = {}
    found = []
    for file in files:
        lines = [
            (number, line)
            for number, line in enumerate(text_lines(file, keep_empty=True), start=1)
            if any(map(text_of, line))
        ]
        if lines:
            named = names_columns([lines[0][1]])
            header = tuple(text_of(cell) for cell in lines.pop(0)[1]) if named else None
            headers.setdefault(header, file)
        found += [(file, number, line) for number, line in lines]
    if len(headers) > 1:
        (one, first), (other, second), *_ = headers.items()
        told = [
            f"{file.name} begins with {','.join(names) if names else 'an interval'}"
            for names, file in ((one, first), (other, second))
        ]
        raise UsageError(
            f"{files[0].parent}: {' and '.join(told)}; all files must name their columns alike, or "
            "none of them"
        )
    return next(iter(headers), None), found


def _files(folder: Path) -> list[Path]:
    wanted = (*TEXTS, ".npy")
    found = (f for f in folder.iterdir() if f.is_file() and f.suffix.lower() in wanted)
    return sorted(f for f in found if not f.name.startswith("."))
