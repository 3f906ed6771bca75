"""Manifests: tables of videos with parts, faces and further columns."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from aumer.cli.inputs import Input, meant, parse_input
from aumer.config import load_settings
from aumer.errors import UsageError
from aumer.remote import is_address, plain_path
from aumer.tables.cells import Row, plain, read, text_of

#: Columns that say how a video is read; other columns are copied to the results.
FILE = "file"
NUMBERS = ("start", "end", "fps")
FACE = "face"


def read_manifest(path: str) -> tuple[Input, ...]:
    """The inputs listed in a CSV file or workbook, one per row.

    The column ``file`` names videos, folders of frames or cameras, relative to the table's own
    folder. ``start``, ``end`` (seconds), ``fps`` and ``face`` are optional and may be empty. All
    columns except ``file`` are stored in ``Input.about``. A file may occur in several rows.

    Raises:
        UsageError: the table cannot be read or lacks ``file``, or a cell is invalid; the message
            names the line.
    """
    table = read(path, [FILE], others=True)
    folder = Path(path).parent
    inputs = [_input(row, folder) for row in table]
    count = Counter(given.text for given in inputs)
    seen: Counter[str] = Counter()
    for k, given in enumerate(inputs):
        if count[given.text] > 1:  # parts of one video, each with its own files
            seen[given.text] += 1
            inputs[k] = replace(given, stem=f"{given.stem}-{seen[given.text]}")
    return tuple(inputs)


def _input(row: Row, folder: Path) -> Input:
    name = row.text(FILE)
    apart = name.startswith("camera:") or is_address(name)
    where = name if apart or not str(folder) else str(folder / plain_path(name))
    given = parse_input(where)
    if given.is_folder and any(one.source != where for one in meant(where)):
        raise row.error(
            FILE, f"{name} is a folder of videos, and a row names one video: give each video a row"
        )
    cells = {plain(column): column for column in row.cells}
    numbers = {n: row.number_in(cells[n]) for n in NUMBERS if n in cells and row.optional(cells[n])}
    for what, value in numbers.items():
        if value < 0 or (what == "fps" and value == 0):
            raise row.error(cells[what], f"must be {'above' if what == 'fps' else 'at least'} 0")
    start, end = numbers.get("start", 0.0), numbers.get("end")
    if end is not None and end <= start:
        raise row.error(cells["end"], f"must lie after start, which is {start:g}")
    face = row.optional(cells[FACE]) if FACE in cells else ""
    if face:
        _check_face(row, cells[FACE], face)
    about = tuple(
        (str(column).strip(), text_of(cell))
        for column, cell in row.cells.items()
        if plain(column) != FILE
    )
    return replace(
        given,
        start=numbers.get("start"),
        end=end,
        fps=numbers.get("fps"),
        face=face or None,
        about=about,
    )


def _check_face(row: Row, column: str, face: str) -> None:
    if face == "all":
        raise row.error(column, "each row has one face: left, right, largest or a number")
    try:
        replace(load_settings().face, follow=face)
    except UsageError as error:
        raise row.error(column, str(error)) from None
