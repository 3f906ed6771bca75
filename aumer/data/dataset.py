"""The seam of data sets, and what joins the tables of most with their folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from aumer.data.folders import Media, checked_root, places, scan
from aumer.data.report import Fault, Key, Report, TableReport
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.types import Annotation, VideoRecord

if TYPE_CHECKING:
    from typing_extensions import Self


class DataSet(Protocol):
    """What `aumer.data.load` returns, and what a data set of your own must have.

    Attributes:
        name: as it is loaded by.
        layout: what its root must look like, for people.
        expected: how many ``subjects``, ``videos``, ``micro`` and ``macro`` the owners' release
            has; what is not certain is left out.

    Its class also has ``from_root(root, **options)``, a class method with options of its own, which
    no type can say.
    """

    name: ClassVar[str]
    layout: ClassVar[str]
    expected: ClassVar[Mapping[str, int]]

    @property
    def report(self) -> Report:
        """Tables and faults."""
        ...

    def records(self) -> tuple[VideoRecord, ...]:
        """Its videos, sorted by subject and name, each with its annotations."""
        ...


@dataclass(frozen=True)
class JoinedDataSet:
    """A data set that is all read when it is made; base of those that ship.

    Attributes:
        root: the folder it was read from.
    """

    name: ClassVar[str]

    root: Path
    videos: tuple[VideoRecord, ...]
    report: Report

    def records(self) -> tuple[VideoRecord, ...]:
        """Its videos, sorted by subject and name, each with its annotations."""
        return self.videos

    @classmethod
    def _join(
        cls,
        root: StrPath,
        read: Read,
        key: Callable[[tuple[str, ...]], Key | None],
        *,
        fps: float,
        table: StrPath | None,
        images: str = "",
    ) -> Self:
        """The data set whose images carry the numbers of its table."""
        tables, faults = find_tables(root, read, table)
        found, doubts = places(scan(root), key, prefer=[images] if images else [])
        videos, problems = join(cls.name, tables[0].annotations, found, fps=fps)
        return cls(Path(root), videos, Report(tables, (*faults, *doubts, *problems)))


T = TypeVar("T")
Read = Callable[[Path], TableReport]
#: An annotation with the frames of this video; `None` and why, where there is no such frame.
Locate = Callable[[Annotation, Media], tuple[Annotation | None, str]]


def find_tables(
    root: StrPath, read: Read, table: StrPath | None = None
) -> tuple[tuple[TableReport, ...], list[Fault]]:
    """The tables of a data set, in or one folder below its root; workbooks first, then by name.

    Args:
        read: reads one of this data set's and refuses any other.
        table: the only one to read.

    Raises:
        UsageError: there is none, and the message says what is wrong with each candidate; or there
            are several text tables and no workbook.
    """
    if table is not None:
        return (read(Path(table)),), []
    found, faults = _readable(root, read)
    # A workbook is the owners' own, and what stands beside it is compared with it; nothing says
    # which of several text tables is meant.
    if found[0][0].suffix != ".xlsx" and len(found) > 1:
        raise _several(root, [path for path, _ in found])
    return tuple(one for _, one in found), faults


def find_table(
    root: StrPath, read: Callable[[Path], object], table: StrPath | None = None
) -> tuple[Path, list[Fault]]:
    """The one table in or one folder below a root; as `find_tables`.

    Raises:
        UsageError: there is none, or there are several.
    """
    if table is not None:
        return Path(table), []
    found, faults = _readable(root, read)
    if len(found) > 1:
        raise _several(root, [path for path, _ in found])
    return found[0][0], faults


def _several(root: StrPath, paths: Iterable[Path]) -> UsageError:
    names = ", ".join(str(path.relative_to(root)) for path in paths)
    return UsageError(
        f"{root}: {names} can all be its table; say which one with table= (on the command line "
        "--table, in a training file data.table)"
    )


def _readable(root: StrPath, read: Callable[[Path], T]) -> tuple[list[tuple[Path, T]], list[Fault]]:
    """The tables that `read` takes, and a fault for each workbook that it refuses."""
    root = checked_root(root)
    candidates = [
        path
        for suffix in ("xlsx", "csv", "tsv")
        for pattern in (f"*.{suffix}", f"*/*.{suffix}")
        for path in sorted(root.glob(pattern))
        if not path.name.startswith((".", "~$"))
    ]
    found, refused = [], []
    for path in candidates:
        try:
            found.append((path, read(path)))
        except UsageError as error:
            refused.append((path, str(error)))
    if not found:
        if not refused:
            raise UsageError(
                f"{root}: no table of annotations (.xlsx, .csv, .tsv) here or a folder below; put "
                "it there, or give its path as table="
            )
        raise UsageError("\n".join([f"{root}: no table can be read", *(e for _, e in refused)]))
    # Another CSV may be anything; a workbook that cannot be read may be the one that was meant.
    return found, [
        Fault("unread-table", error) for path, error in refused if path.suffix == ".xlsx"
    ]


def by_number(annotation: Annotation, media: Media) -> tuple[Annotation | None, str]:
    """Where the images carry the numbers that the coders wrote, less 1 in the annotation."""
    if media.numbers is None:
        return annotation, ""
    onset = media.index(annotation.onset + 1)
    if onset < 0:
        return None, f"image {annotation.onset + 1} lies before the first, {media.numbers[0]}"
    apex, offset = (
        None if frame is None else media.index(frame + 1)
        for frame in (annotation.apex, annotation.offset)
    )
    # An apex before the first image has no frame; that it lies outside is seen in the table.
    apex = None if apex is not None and apex < 0 else apex
    return replace(annotation, onset=onset, apex=apex, offset=offset), ""


def as_counted(annotation: Annotation, media: Media) -> tuple[Annotation | None, str]:
    """Where the table counts the frames of the video itself."""
    return annotation, ""


def join(
    dataset: str,
    annotations: Iterable[Annotation],
    found: Mapping[Key, Media],
    *,
    fps: float | Mapping[Key, float],
    locate: Locate = by_number,
) -> tuple[tuple[VideoRecord, ...], list[Fault]]:
    """Videos with their annotations. Each annotated video is there, with or without a path.

    Args:
        found: the place of each video.
        fps: of all, or of each; a video that is only here is there all the same.
        locate: turns an annotation's frames into those of the video.
    """
    named = () if isinstance(fps, (int, float)) else fps
    by_video: dict[Key, list[Annotation]] = {key: [] for key in (*found, *named)}
    for a in annotations:
        by_video.setdefault((a.subject, a.video), []).append(a)
    records, faults = [], []
    for key in sorted(by_video):
        own, media = by_video[key], found.get(key)
        if media is None:
            faults.append(
                Fault("missing-video", f"no folder or file; {len(own)} expressions", *key)
            )
            placed: Sequence[Annotation] = own
        else:
            faults += media.faults(key)
            placed = []
            for a in own:
                there, problem = locate(a, media)
                if there is None:
                    faults.append(Fault("unjoinable-row", f"{media.path}: {problem}", *key, a.row))
                else:
                    placed.append(there)
        numbers = media.numbers if media else None
        records.append(
            VideoRecord(
                dataset=dataset,
                subject=key[0],
                name=key[1],
                fps=fps if isinstance(fps, (int, float)) else fps[key],
                path=media.path if media else None,
                frames=None if numbers is None else len(numbers),
                annotations=tuple(placed),
            )
        )
    return tuple(records), faults
