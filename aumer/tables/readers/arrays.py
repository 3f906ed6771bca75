"""The readers of MATLAB and numpy files.

A mask has a code for each frame of a video: 0 for none, 1 for macro and 2 for micro, as in
AUW-GCN's type_idx, or 1 for a kind that the user gives. Its first element is the video's first
frame and its runs include both ends, so no convention is needed. An array of two or three columns
has intervals: onset, offset and, as the third, 1 (macro) or 2 (micro).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.foreign import foreign, read_arrays
from aumer.tables.cells import text_of
from aumer.tables.lines import Lines
from aumer.tables.readers.rows import NO_UNIT, Row, as_lines
from aumer.tables.reading import IntervalReader, IntervalReading
from aumer.types import Kind

Array = npt.NDArray[Any]
#: Columns of intervals in arrays, by the number of columns.
_OF_ARRAYS = {2: ("onset", "offset"), 3: ("onset", "offset", "code")}
#: Kinds by their code.
_CODES: Mapping[int, Kind] = {1: "macro", 2: "micro"}


class MatReader(IntervalReader):
    """MATLAB files before version 7.3."""

    what: ClassVar[str] = (
        ".mat of MATLAB (to -v7): a variable for each video, a mask of its frames or intervals in "
        "rows, which count from 1; its fields micro and macro; or cells of names and masks"
    )

    def fits(self, path: Path) -> bool:
        return path.suffix.lower() == ".mat" and path.is_file()

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        from scipy.io import loadmat

        with foreign(path, "a MATLAB file"):
            with path.open("rb") as file:
                start = file.read(10)
            if start.startswith((b"MATLAB 7.3", b"\x89HDF")):
                raise UsageError(
                    f"{path} is a MATLAB file of version 7.3, which is another format; save it "
                    "with save(name, ..., '-v7')"
                )
            held = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
        return [of_arrays(path, _unpacked(path, held), reading, first_frame=1)]


class NpyReader(IntervalReader):
    """numpy files of plain numbers."""

    what: ClassVar[str] = (
        ".npy, whose name is the video's, or .npz, with an array for each video: a mask of its "
        "frames, or intervals in rows, which count from 0"
    )

    def fits(self, path: Path) -> bool:
        return path.suffix.lower() in (".npy", ".npz") and path.is_file()

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        return [of_arrays(path, plain_arrays(path), reading, first_frame=0)]


@dataclass(frozen=True, eq=False)
class _Marked:
    """An array of a video's frames or intervals, with its kind if known."""

    video: str
    array: Array
    kind: Kind | None = None

    @property
    def is_mask(self) -> bool:
        """Whether it is a mask: one number for each frame, in a row or a column. Two or three
        columns are intervals.
        """
        shape = self.array.shape
        if self.is_empty or len(shape) > 2:
            return False
        return len(shape) == 1 or (1 in shape and shape[1] not in _OF_ARRAYS)

    @property
    def is_empty(self) -> bool:
        """Whether there is no interval: an empty list of numpy or MATLAB, with any columns."""
        return self.array.ndim > 0 and self.array.size == 0


def _codes(array: Array) -> bool:
    return bool(np.isin(array, (0, 1, 2)).all())


def plain_arrays(path: Path) -> list[_Marked]:
    if path.suffix.lower() == ".npz":
        held = read_arrays(path, "arrays of intervals")
    else:
        with foreign(path, "an array of intervals"), path.open("rb") as file:
            held = {path.stem: np.load(file, allow_pickle=False)}
    return [_Marked(name, array) for name, array in held.items()]


def _unpacked(path: Path, held: Mapping[str, Array]) -> list[_Marked]:
    """The arrays of MATLAB variables: from cells beside a cell of names, and from fields by
    kind.
    """
    named = {k: [text_of(c.item() if c.size == 1 else "") for c in v.ravel()]
             for k, v in held.items() if v.dtype == object and _all_texts(v)}  # fmt: skip
    if named:
        if len(named) > 1 or len(held) != 2:
            raise UsageError(
                f"{path}: a cell of names needs one cell of masks or intervals beside it; found "
                f"the variables {', '.join(held)}"
            )
        ((key, names),) = named.items()
        (other,) = (v for k, v in held.items() if k != key)
        cells = list(other.ravel())
        if other.dtype != object or len(cells) != len(names):
            raise UsageError(
                f"{path}: has {len(names)} names and {len(cells)} cells; each name needs one"
            )
        return [_Marked(name, np.asarray(cell)) for name, cell in zip(names, cells, strict=True)]
    found = []
    for name, array in held.items():
        if array.dtype.names is None:
            found.append(_Marked(name, array))
            continue
        fields = array.dtype.names
        if array.size != 1 or not set(fields) <= {"micro", "macro"}:
            raise UsageError(
                f"{path}: the struct {name} must be one, with the fields micro and macro; found "
                f"{array.size}, with {', '.join(fields)}"
            )
        for kind in (k for k in ("macro", "micro") if k in fields):
            found.append(_Marked(name, np.asarray(array.ravel()[0][kind]), kind))
    return found


def _all_texts(array: Array) -> bool:
    return array.size > 0 and all(
        isinstance(c, np.ndarray) and c.dtype.kind == "U" for c in array.flat
    )


def of_arrays(
    path: Path, marked: Sequence[_Marked], reading: IntervalReading, first_frame: int
) -> Lines:
    """Masks and intervals as rows with frames from 0 and included offsets.

    Args:
        first_frame: number of the first frame in intervals of such files, if the user does not give
            it.
    """
    first = first_frame if reading.first_frame is None else reading.first_frame
    for one in marked:
        if one.array.dtype.kind not in "biuf":
            raise UsageError(
                f"{path}: {one.video} holds something else than numbers ({one.array.dtype})"
            )
        fits = one.is_mask or (one.array.ndim == 2 and one.array.shape[1] in _OF_ARRAYS)
        if not (fits or one.is_empty):
            raise UsageError(
                f"{path}: {one.video} is an array of {one.array.shape}; it must be a mask, "
                "(frames,), or intervals, (intervals, 2 or 3)"
            )
    masks = [one for one in marked if one.is_mask]
    seconds = reading.unit == "seconds"
    if masks and seconds:
        raise UsageError(
            f"{path}: the mask {masks[0].video} has an element for each frame; leave out `unit`, "
            "which is seconds"
        )
    coded = any((one.array > 1).any() for one in masks if one.kind is None)
    names = ("onset_s", "offset_s") if seconds else ("onset", "offset")
    # Masks count from 0, and a run includes its end; lists beside them must do the same.
    behind = 0 if seconds else int(reading.offset == "excluded")
    start = 0 if seconds else first
    rows: list[Row] = []
    line_names: list[str] = []
    for one in marked:
        kind = one.kind or (None if coded and one.is_mask else reading.kind)
        if one.is_empty:
            own: list[Row] = [{"video": one.video, "kind": "none", **dict.fromkeys(names)}]
        elif one.is_mask:
            own = list(_runs(path, one, kind, coded))
        else:
            if reading.first_frame is None and first == 1 and not seconds:
                _require_from_1(path, one)
            own = list(_listed_intervals(path, one, kind, names, start, behind, reading))
        rows += own
        line_names += [f"{one.video}, interval {k}" for k in range(1, len(own) + 1)]
    notes = []
    if masks:
        notes.append(f"{len(masks)} masks: the first element is the video's first frame")
    lists = [one for one in marked if not (one.is_mask or one.is_empty)]
    if lists and not seconds:
        notes.append(f"intervals count from {first}")
    return as_lines(
        path,
        rows,
        tuple(line_names),
        first_frame=0,
        offset=(reading.offset or "included") if seconds else "included",
        notes=tuple(notes),
    )


def _require_from_1(path: Path, one: _Marked) -> None:
    """Raise if a list cannot count from 1 and the first frame is not given."""
    if (one.array[:, 0] == 0).any():
        raise UsageError(
            f"{path}: an interval of {one.video} begins at frame 0, and lists in files of MATLAB "
            "are taken to count from 1; say with `first_frame` from what these do, 0 or 1"
        )


def _runs(path: Path, one: _Marked, kind: Kind | None, coded: bool) -> Iterator[Row]:
    """The runs of one code in a mask; one row of kind none if there are none."""
    mask = one.array.ravel()
    if not _codes(mask):
        raise UsageError(
            f"{path}: the mask {one.video} must hold 0, 1 and 2 alone; found "
            f"{', '.join(f'{v:g}' for v in np.unique(mask)[:5])}"
        )
    if kind is None and not coded and mask.any():
        raise UsageError(
            f"{path}: the mask {one.video} holds 0 and 1, which does not say of what kind; say it "
            "with `kind`, or mark macro-expressions by 1 and micro-expressions by 2"
        )
    codes = mask.astype(np.int64)
    edges = np.flatnonzero(np.diff(codes, prepend=0, append=0))
    if not len(edges):
        yield {
            "video": one.video,
            "kind": "none",
            "onset": None,
            "offset": None,
            "n_frames": len(mask),
        }
    for begin, end in itertools.pairwise(edges.tolist()):
        if code := int(codes[begin]):
            yield {
                "video": one.video,
                "kind": kind or _CODES[code],
                "onset": int(begin),
                "offset": int(end) - 1,
                "n_frames": len(mask),
            }


def _listed_intervals(
    path: Path,
    one: _Marked,
    kind: Kind | None,
    names: tuple[str, str],
    first: int,
    behind: int,
    reading: IntervalReading,
) -> Iterator[Row]:
    """The rows of a list, with nan for a missing number."""
    for line in one.array.astype(np.float64):
        code = line[2] if len(line) > 2 else 0.0
        if len(line) > 2 and code not in _CODES:
            raise UsageError(
                f"{path}, {one.video}: the third column must hold 1 (macro) or 2 (micro); found "
                f"{code:g}"
            )
        if not code and kind is None:
            raise UsageError(
                f"{path}, {one.video}: two columns do not say of what kind the intervals are; say "
                "it with `kind`, or add a third column, 1 (macro) or 2 (micro)"
            )
        if reading.unit is None and (odd := [v for v in line[:2] if math.isfinite(v) and v % 1]):
            raise UsageError(f"{path}, {one.video}: {NO_UNIT.format(found=f'{odd[0]:g}')}")
        ends = (float(line[0]) - first, float(line[1]) - first - behind)
        yield {
            "video": one.video,
            "kind": _CODES[int(code)] if code else kind,
            **dict(zip(names, ends, strict=True)),
        }
