"""Options and named readers for files of intervals in foreign formats.

A reader ("reader" in the registry) turns a file or a folder into `aumer.tables.lines.Lines`, whose
cells are checked by `aumer.tables.intervals`. It decides which files it reads; if a file fits
several readers or none, the user names one. An `IntervalReading` gives what a file does not say:
frames or seconds, the number of the first frame, whether the offset belongs to the interval.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from aumer import registry
from aumer.errors import UsageError, did_you_mean
from aumer.types import KINDS, Kind

if TYPE_CHECKING:
    from aumer.tables.lines import Lines

Unit = Literal["frames", "seconds"]
Offset = Literal["included", "excluded"]

#: The default reader, for tables with column names in the first line.
TABLE = "table"


@dataclass(frozen=True)
class IntervalReading:
    """What a user says about a file; omitted values are taken from the file, or are as below.

    Attributes:
        reader: a name of the registry's kind "reader"; empty to choose by the file.
        unit: of onsets, apexes and offsets. With "frames", fractions are rounded; otherwise they
            are an error. By default frames, except for columns named onset_s, start_sec and the
            like.
        first_frame: number of a video's first frame in the file, 0 or 1; by default 0, and 1 for
            MATLAB's lists of intervals. Masks of frames do not need it.
        offset: whether the offset is the last frame of the interval ("included", the default) or
            the first one after it.
        columns: names of the columns in order, if the file has none.
        kind: of all rows, if the file does not say.

    Raises:
        UsageError: a value is not allowed.
    """

    reader: str = ""
    unit: Unit | None = None
    first_frame: int | None = None
    offset: Offset | None = None
    columns: tuple[str, ...] = ()
    kind: Kind | None = None

    def __post_init__(self) -> None:
        if self.reader:
            registry.require("reader", self.reader)
        if self.first_frame not in (None, 0, 1):
            raise UsageError(
                f"frames are counted from 0 or from 1; found first_frame={self.first_frame}"
            )
        for name, allowed in (
            ("unit", get_args(Unit)),
            ("offset", get_args(Offset)),
            ("kind", KINDS),
        ):
            found = {"unit": self.unit, "offset": self.offset, "kind": self.kind}[name]
            if found is not None and found not in allowed:
                near = did_you_mean(str(found), allowed)
                raise UsageError(
                    f"`{name}` must be one of {', '.join(allowed)}; found {found!r}.{near}"
                )


class IntervalReader(ABC):
    """Reads one kind of file.

    Attributes:
        what: one line on the files that it reads.
        takes_columns: whether its files may have columns that a user must name.

    Example:
        >>> from aumer.tables.cells import Sheet
        >>> from aumer.tables.lines import Lines
        >>> @aumer.register("reader", "onsets")
        ... class Onsets(IntervalReader):
        ...     what = "NAME.onsets: onsets of micro-expressions of half a second, one a line"
        ...     def fits(self, path):
        ...         return path.suffix == ".onsets"
        ...     def find(self, path, reading):
        ...         onsets = map(float, path.read_text().split())
        ...         lines = [[path.stem, "micro", t, t + 0.5] for t in onsets]
        ...         names = ("video", "kind", "onset_s", "offset_s")
        ...         return [Lines(Sheet(path, "", lines), -1, names)]
        >>> _ = pathlib.Path("talk.onsets").write_text("1.2 7.5")
        >>> from aumer.evaluation.tables import read_predictions
        >>> [(p.video, p.onset, p.offset) for p in read_predictions("talk.onsets", fps=30)]
        [('talk', 36, 51), ('talk', 225, 240)]
    """

    what: ClassVar[str] = ""
    takes_columns: ClassVar[bool] = False

    @abstractmethod
    def fits(self, path: Path) -> bool:
        """Whether the file clearly has this format; False for an unreadable file."""

    @abstractmethod
    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        """The file's lines, for each sheet; one sheet is chosen later.

        Raises:
            UsageError: it cannot be read, or `reading` lacks something that is needed.
        """


def reader_of(name: str) -> IntervalReader:
    """The reader of that name.

    Raises:
        UsageError: there is none, or the registered part is not a subclass of `IntervalReader`.
    """
    part = registry.resolve("reader", name)
    if not (isinstance(part, type) and issubclass(part, IntervalReader)):
        raise UsageError(
            f"the reader {name!r} must be a class derived from "
            f"aumer.tables.reading.IntervalReader; found {part!r}"
        )
    return part()


def choose(path: Path, reading: IntervalReading) -> str:
    """The name of the requested reader, or of the one that fits the file; else `TABLE`.

    Raises:
        UsageError: the file fits several readers, or columns are given for a reader that does not
            take them.
    """
    name = reading.reader or _told_by(path)
    if reading.columns and not reader_of(name).takes_columns:
        takers = [n for n in registry.names("reader") if reader_of(n).takes_columns]
        raise UsageError(
            f"{path}: `columns` names the columns of files that do not, and the reader {name} "
            f"knows them by itself; leave it out, or name another reader ({', '.join(takers)})"
        )
    return name


def _told_by(path: Path) -> str:
    others = [name for name in registry.names("reader") if name != TABLE]
    fitting = [name for name in others if reader_of(name).fits(path)]
    if len(fitting) > 1:
        raise UsageError(
            f"{path} may be read in {len(fitting)} ways: name one of the readers "
            f"{', '.join(fitting)}"
        )
    return fitting[0] if fitting else TABLE
