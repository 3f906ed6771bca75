"""The seam of data sets, and what joins the tables of most with their folders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from aumer import registry
from aumer.data.folders import Media, checked_root, places, scan
from aumer.data.report import DataReport, Fault, Key, TableReport
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.types import Annotation, Features, VideoRecord

if TYPE_CHECKING:
    from typing_extensions import Self


class DataSet(ABC):
    """What `aumer.data.load` returns.

    A data set of your own derives from this class, defines `name`, `layout`, `report`, `from_root`
    and `records`, and is registered as a class (``@aumer.register("dataset", "mine")``);
    `aumer.testing.DataSetSuite` checks that it keeps this contract.

    Attributes:
        name: as it is loaded by.
        layout: what its root must look like, for people.
        expected: how many ``subjects``, ``videos``, ``micro`` and ``macro`` the owners' release
            has; what is not certain is left out.
        comes_as: "features" for one whose owners measured the motion, which `features` gives.
        report: tables and faults.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("labels.csv").write_text(
        ...     "file,subject,kind,onset,apex,offset\\ninterview.mp4,anna,macro,18,30,42\\n"
        ... )
        >>> from aumer.data import load
        >>> (record,) = load("own", ".", table="labels.csv").records()
        >>> record.subject, [(a.kind, a.onset, a.offset) for a in record.annotations]
        ('anna', [('macro', 18, 42)])
    """

    name: ClassVar[str]
    layout: ClassVar[str]
    expected: ClassVar[Mapping[str, int]] = {}
    comes_as: Literal["videos", "features"] = "videos"

    report: DataReport

    # -- required ----------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def from_root(cls, root: StrPath, *args: Any, **options: Any) -> Self:
        """The data set below a folder; a subclass names the options that it has.

        Raises:
            UsageError: it is not there, or cannot be read.
        """

    @abstractmethod
    def records(self) -> tuple[VideoRecord, ...]:
        """Its videos, sorted by subject and name, each with its annotations."""

    # -- optional ----------------------------------------------------------------------------------

    def features(self, record: VideoRecord) -> Features:
        """The motion of a whole video, as its owners measured it.

        Raises:
            UsageError: it comes as videos, or the record is not of this data set.
        """
        raise UsageError(
            f"{self.name} has videos and no features of {record.subject}/{record.name}: measure "
            "them "
            "with `aumer.features`"
        )


def taken_in(found: Any) -> DataSet:
    """What a data set's `from_root` gave, with all that `DataSet` has.

    Raises:
        UsageError: it has no records, or no report.
    """
    if isinstance(found, DataSet):
        return found
    offers = registry.offered(found, DataSet)
    if lacking := sorted({"records", "report"} - offers):
        raise UsageError(
            f"the data set {registry.called(found)!r} cannot be used: it has no "
            f"{' and no '.join(lacking)}. Data "
            "sets derive from aumer.data.dataset.DataSet, which says what they define; "
            "aumer.testing.DataSetSuite checks them"
        )
    return _Given(found, offers)


class _Given(DataSet):
    """An object that has what a `DataSet` has without deriving from it."""

    def __init__(self, part: Any, offers: frozenset[str]) -> None:
        self._part = part
        self.name = registry.called(part)  # type: ignore[misc]
        self.layout = part.layout if "layout" in offers else ""  # type: ignore[misc]
        self.expected = part.expected if "expected" in offers else {}  # type: ignore[misc]
        self.comes_as = "features" if "features" in offers else "videos"
        self.report = part.report

    @classmethod
    def from_root(cls, root: StrPath, *args: Any, **options: Any) -> Self:
        raise UsageError("it is there already")

    def records(self) -> tuple[VideoRecord, ...]:
        return tuple(self._part.records())

    def features(self, record: VideoRecord) -> Features:
        if self.comes_as == "videos":
            return super().features(record)
        found: Features = self._part.features(record)
        return found


@dataclass(frozen=True)
class JoinedDataSet(DataSet):
    """A data set that is all read when it is made; base of those that ship.

    Attributes:
        root: the folder it was read from.
    """

    root: Path
    videos: tuple[VideoRecord, ...]
    report: DataReport

    def records(self) -> tuple[VideoRecord, ...]:
        """Its videos, sorted by subject and name, each with its annotations."""
        return self.videos


@dataclass(frozen=True)
class NumberedImages(JoinedDataSet):
    """One whose images carry the numbers of its table.

    Attributes:
        fps: frames per second of all its videos.
        images: part of the path of the frames to use, by default, where a video is there twice.
    """

    fps: ClassVar[float]
    images: ClassVar[str] = ""

    @staticmethod
    @abstractmethod
    def read(path: StrPath) -> TableReport:
        """Its table.

        Raises:
            UsageError: it is another, or cannot be read.
        """

    @staticmethod
    @abstractmethod
    def key(parts: tuple[str, ...]) -> Key | None:
        """Subject and name of the video whose frames lie at this path below the root."""

    @classmethod
    def from_root(
        cls, root: StrPath, *, table: StrPath | None = None, images: str | None = None
    ) -> Self:
        """Join the table and the folders of images.

        Args:
            table: the owners' workbook, or another that the data set is annotated by; looked for
                below the root if not given.
            images: part of the path of the frames to use where a video is there twice.

        Raises:
            UsageError: `root` is no folder, or no table can be read.
        """
        return cls._join(root, cls.read, table, cls.images if images is None else images)

    @classmethod
    def _join(cls, root: StrPath, read: Read, table: StrPath | None, images: str) -> Self:
        tables, faults = find_tables(root, read, table)
        found, doubts = places(scan(root), cls.key, prefer=[images] if images else [])
        videos, problems = join(cls.name, tables[0].annotations, found, fps=cls.fps)
        return cls(Path(root), videos, DataReport(tables, (*faults, *doubts, *problems)))


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
        f"{root}: {names} can all be its table; say which one with `table` (in a "
        "training file data.table)"
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
