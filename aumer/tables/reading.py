"""How a file of intervals is to be read, and what reads it: named readers of foreign files.

A reader ("reader" in the registry) turns a file, or a folder, into `aumer.tables.lines.Lines`, of
which `aumer.tables.intervals` judges every cell. It says itself which files are its own; where a
file may be of several, or of none, a user names the reader. What a file does not say (frames or
seconds, what it calls the first frame, whether the offset belongs to the interval) an
`IntervalReading` does.
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

#: The reader of tables whose first line names the columns: of whatever is no other's.
TABLE = "table"


@dataclass(frozen=True)
class IntervalReading:
    """What a user says of a file; what is left out is told by the file, or as written here.

    Attributes:
        reader: a name of the registry's kind "reader"; empty to tell by the file.
        unit: of onsets, apexes and offsets. Said "frames", fractions are rounded; else they are
            refused. By default frames, but for columns called onset_s, start_sec and the like.
        first_frame: what the file calls a video's first frame, 0 or 1; by default 0, of MATLAB's
            lists of intervals 1. Where a file marks each frame it needs no word.
        offset: whether the offset is the last frame of the interval ("included", the default) or
            the first one behind it.
        columns: names of the columns, in their order, where the file does not name them.
        kind: of all rows, where the file does not say.

    Raises:
        UsageError: a value that is not allowed.
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
        what: the files that it reads, in one line.
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
        """Whether the file is plainly its own. What cannot be read is not."""

    @abstractmethod
    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        """The file's lines; several where it has several sheets, of which one is chosen.

        Raises:
            UsageError: it cannot be read, or `reading` does not say what it must.
        """


def reader_of(name: str) -> IntervalReader:
    """The reader of that name.

    Raises:
        UsageError: there is none, or what is registered is no class of `IntervalReader`.
    """
    part = registry.resolve("reader", name)
    if not (isinstance(part, type) and issubclass(part, IntervalReader)):
        raise UsageError(
            f"the reader {name!r} must be a class derived from "
            f"aumer.tables.reading.IntervalReader; found {part!r}"
        )
    return part()


def choose(path: Path, reading: IntervalReading) -> str:
    """The name of the reader that is asked for, or whose file it plainly is; else `TABLE`.

    Raises:
        UsageError: the file may be of several readers, or columns are named for one that has none.
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
