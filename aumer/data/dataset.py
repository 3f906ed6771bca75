"""The interface of data sets, and the code that joins tables with folders."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeVar

from aumer import registry
from aumer.data.folders import KeyOf, Media, checked_root, places, scan
from aumer.data.report import DataReport, Fault, Key, TableReport, Unplaced
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.tables.cells import nearest_frame
from aumer.types import Annotation, Features, VideoRecord

if TYPE_CHECKING:
    from typing_extensions import Self


class DataSet(ABC):
    """Base class of data sets, as `aumer.data.load` returns them.

    A data set of your own derives from this class, defines `name`, `layout`, `report`, `from_root`
    and `records`, and is registered as a class (``@aumer.register("dataset", "mine")``);
    `aumer.testing.DataSetSuite` checks this contract.

    Attributes:
        name: name for `load`.
        layout: description of the expected files, for people.
        expected: numbers of ``subjects``, ``videos``, ``micro`` and ``macro`` in the owners'
            release; uncertain ones are left out.
        comes_as: "features" if the owners provide measured motion, which `features` returns.
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
        """Open the data set below a folder; a subclass declares its options.

        Raises:
            UsageError: it is missing or cannot be read.
        """

    @abstractmethod
    def records(self) -> tuple[VideoRecord, ...]:
        """Its videos, sorted by subject and name, each with its annotations."""

    # -- optional ----------------------------------------------------------------------------------

    def features(self, record: VideoRecord) -> Features:
        """The motion of a whole video, as provided by the owners.

        Raises:
            UsageError: the data set has videos instead, or the record is not of this data set.
        """
        raise UsageError(
            f"{self.name} has videos and no features of {record.subject}/{record.name}: measure "
            "them "
            "with `aumer.features`"
        )


def taken_in(found: Any) -> DataSet:
    """The result of a data set's `from_root`, as a `DataSet`.

    Raises:
        UsageError: it has no records or no report.
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
    """Adapter of an object with members of `DataSet` that does not derive from it."""

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
    """A data set that is read completely when it is made; base of the shipped ones.

    Attributes:
        root: its folder.
    """

    root: Path
    videos: tuple[VideoRecord, ...]
    report: DataReport

    def records(self) -> tuple[VideoRecord, ...]:
        """Its videos, sorted by subject and name, each with its annotations."""
        return self.videos


@dataclass(frozen=True)
class NumberedImages(JoinedDataSet):
    """A data set whose image numbers are those of its table.

    Attributes:
        fps: frames per second of all its videos.
        images: default part of the path of the frames to use if a video exists twice.
        by_name: whether folders are named like the table's videos (`by_table_names`); then `key` is
            not used.
        clips: whether each video is one expression; then a video without a row is a fault.
        parts: whether several tables are parts of one table, not editions.
    """

    fps: ClassVar[float]
    images: ClassVar[str] = ""
    by_name: ClassVar[bool] = False
    clips: ClassVar[bool] = False
    parts: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def read(path: StrPath) -> TableReport:
        """Read its table.

        Raises:
            UsageError: it is another table, or cannot be read.
        """

    @staticmethod
    def key(parts: tuple[str, ...]) -> Key | None:
        """Subject and name of the video with frames at this path below the root."""
        raise NotImplementedError("a data set whose folders are not found `by_name` has a key")

    @staticmethod
    def locate(annotation: Annotation, media: Media) -> tuple[Annotation | None, str]:
        """A row's frames among the images; see `Locate`."""
        return by_number(annotation, media)

    @classmethod
    def from_root(
        cls, root: StrPath, *, table: StrPath | None = None, images: str | None = None
    ) -> Self:
        """Join the table and the folders of images.

        Args:
            table: the owners' workbook, or another table with annotations; by default searched
                below the root.
            images: part of the path of the frames to use if a video exists twice.

        Raises:
            UsageError: `root` is not a folder, no table can be read, or no folder of images or
                video file has a name of this data set.
        """
        return cls._join(root, cls.read, table, cls.images if images is None else images)

    @classmethod
    def _join(cls, root: StrPath, read: Read, table: StrPath | None, images: str) -> Self:
        tables, faults = find_tables(root, read, table)
        if cls.parts:
            tables = (merge_tables(tables),)
        rows = tables[0].annotations
        names = {(a.subject, a.video) for a in rows}
        key = by_table_names(names) if cls.by_name else cls.key
        key = spelled_as_in_table(key, names)
        found, doubts = locate_videos(cls, root, key, prefer=[images] if images else [])
        if cls.clips:
            doubts += unannotated_clips(rows, found)
        joined = join(cls.name, rows, found, fps=cls.fps, locate=cls.locate)
        problems = (*faults, *doubts, *joined.faults)
        report = DataReport(tables, problems, unplaced=joined.unplaced)
        return cls(Path(root), joined.videos, report)


T = TypeVar("T")
Read = Callable[[Path], TableReport]
#: Function that returns the annotation in frames of the video and an empty text; or the part of it
#: in the video (`None` if there is none) and the reason.
Locate = Callable[[Annotation, Media], tuple[Annotation | None, str]]


def locate_videos(
    kind: type[DataSet], root: StrPath, key: KeyOf, *, prefer: Sequence[str] = ()
) -> tuple[Mapping[Key, Media], list[Fault]]:
    """The path of each video below a root; see `aumer.data.folders.places`.

    Raises:
        UsageError: there are files, but none is named like the videos of the data set.
    """
    media = scan(root)
    found, faults = places(media, key, prefer=prefer)
    if media and not found:
        raise UsageError(
            f"{root}: none of its {len(media)} folders of images and video files is called as "
            f"those of {kind.name} are; the first is {'/'.join(media[0].parts) or media[0].path}. "
            f"What it must look like: {kind.layout}"
        )
    faults += [
        Fault("unknown-video", f"{one.path} is called as no video of {kind.name}")
        for one in media
        if key(one.parts) is None
    ]
    return found, faults


def by_table_names(names: Iterable[Key]) -> KeyOf:
    """A function that recognizes folders and files named like subject and video in a table,
    ignoring case: ``SUBJECT/VIDEO`` with other folders above, between or below, ``SUBJECT_VIDEO``,
    or ``VIDEO`` alone if no other subject has a video of that name.
    """
    by_name: dict[str, set[Key]] = defaultdict(set)
    for key in names:
        subject, video = (part.casefold() for part in key)
        by_name[video].add(key)
        by_name[f"{subject}_{video}"].add(key)

    def key_of(parts: tuple[str, ...]) -> Key | None:
        folded = [part.casefold() for part in parts]
        for k in reversed(range(len(folded))):
            several = by_name.get(folded[k], set())
            if len(several) == 1:
                return next(iter(several))
            own = [key for key in several if key[0].casefold() in folded[:k]]
            if len(own) == 1:
                return own[0]
        return None

    return key_of


def spelled_as_in_table(key: KeyOf, names: Iterable[Key]) -> KeyOf:
    """Like `key`, with names as in the table; also accepts folders and files that differ only in
    case and leading zeros of numbers (``ep2_1f`` for ``EP02_01f``).

    If this is ambiguous, a parent folder must name the subject. A name of one or two letters alone
    is not sufficient.
    """
    exact = set(names)
    by_name: dict[str, set[Key]] = defaultdict(set)
    for name in exact:
        by_name[_loose(name[1])].add(name)

    def key_of(parts: tuple[str, ...]) -> Key | None:
        found = key(parts)
        if found in exact or not parts:
            return found
        *above, last = parts if found is None else found
        same = by_name.get(_loose(last), set()) if len(last) > 2 else set()
        subjects = set(map(_loose, above))
        own = [name for name in same if _loose(name[0]) in subjects]
        if found is None and not own:
            own = list(same)
        return own[0] if len(own) == 1 else found

    return key_of


def _loose(name: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.casefold())


def unannotated_clips(rows: Iterable[Annotation], found: Mapping[Key, Media]) -> list[Fault]:
    """A fault for each clip without a row."""
    known = {(a.subject, a.video) for a in rows}
    return [
        Fault("unannotated-clip", f"{media.path}: no row is of it", *key)
        for key, media in found.items()
        if key not in known
    ]


def merge_tables(tables: Sequence[TableReport]) -> TableReport:
    """Merge tables that are parts of one, such as one for each kind of expression."""
    first, *others = tables
    for other in others:
        first = replace(
            first,
            rows=first.rows + other.rows,
            annotations=(*first.annotations, *other.annotations),
            corrections=(*first.corrections, *other.corrections),
            refusals=(*first.refusals, *other.refusals),
            lengths={**other.lengths, **first.lengths},
            rates={**other.rates, **first.rates},
        )
    return replace(first, parts=tuple(tables))


def find_tables(
    root: StrPath, read: Read, table: StrPath | None = None
) -> tuple[tuple[TableReport, ...], list[Fault]]:
    """The tables of a data set, in or one folder below its root; workbooks first, then by name.

    Args:
        read: reads a table of this data set and refuses others.
        table: the table to read.

    Raises:
        UsageError: there is none (the message explains each candidate), or there are several text
            tables and no workbook.
    """
    if table is not None:
        return (read(Path(table)),), []
    found, faults = _readable(root, read)
    # A workbook is the owners' own, and other tables are compared with it; several text tables
    # alone are ambiguous.
    if found[0][0].suffix != ".xlsx" and len(found) > 1:
        raise _several(root, [path for path, _ in found])
    return tuple(one for _, one in found), faults


def find_table(
    root: StrPath, read: Callable[[Path], object], table: StrPath | None = None
) -> tuple[Path, list[Fault]]:
    """The one table in or one folder below a root; as `find_tables`.

    Raises:
        UsageError: there is none or more than one.
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
    """The tables that `read` accepts, and a fault for each refused workbook."""
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
            old = sorted((*root.glob("*.xls"), *root.glob("*/*.xls")))
            advice = (
                f"; {', '.join(str(path.relative_to(root)) for path in old)} is a workbook of the "
                "old kind: save it as .xlsx or as CSV"
                if old
                else "; put it there, or give its path with `table` (`aumer data check --table`)"
            )
            raise UsageError(
                f"{root}: no table of annotations (.xlsx, .csv, .tsv) here or a folder below"
                f"{advice}"
            )
        raise UsageError("\n".join([f"{root}: no table can be read", *(e for _, e in refused)]))
    # Other CSV files may be anything, but an unreadable workbook may be the intended one.
    return found, [
        Fault("unread-table", error) for path, error in refused if path.suffix == ".xlsx"
    ]


def by_number(annotation: Annotation, media: Media) -> tuple[Annotation | None, str]:
    """`Locate` for images with the coders' numbers (annotations hold them minus 1).

    If the image of an onset or offset is missing, the part in the video is that of the existing
    images in between.
    """
    if media.numbers is None:
        return annotation, ""
    onset = media.index(annotation.onset + 1)
    apex, offset = (
        None if frame is None else media.index(frame + 1)
        for frame in (annotation.apex, annotation.offset)
    )
    # An apex before the first image counts as missing; that it lies outside is checked in the
    # table.
    if apex is not None and (apex < 0 or media.lacks((annotation.apex or 0) + 1)):
        apex = None
    ends = [frame + 1 for frame in (annotation.onset, annotation.offset) if frame is not None]
    if offset is not None and media.lacks(ends[-1]):
        offset -= 1
    if onset >= 0:
        missing = next((number for number in ends if media.lacks(number)), None)
        problem = "" if missing is None else f"image {missing} is missing between others"
        if missing is not None and offset is not None and offset <= onset:
            return None, problem
        return replace(annotation, onset=onset, apex=apex, offset=offset), problem
    problem = f"image {annotation.onset + 1} lies before the first, {media.numbers[0]}"
    last = apex if offset is None else offset
    if last is None or last < 0:
        return None, problem
    return replace(annotation, onset=0, apex=apex, offset=offset), problem


def by_number_or_count(annotation: Annotation, media: Media) -> tuple[Annotation | None, str]:
    """As `by_number`; but if the images do not have the row's numbers and their count equals the
    length of the interval, they are this interval with new numbers.
    """
    numbers, offset = media.numbers, annotation.offset
    if numbers is not None and offset is not None:
        length = offset - annotation.onset + 1
        among = numbers[0] <= annotation.onset + 1 and offset + 1 <= numbers[-1]
        if not among and len(numbers) == length:
            apex = None if annotation.apex is None else annotation.apex - annotation.onset
            within = apex is not None and 0 <= apex < length
            return replace(
                annotation, onset=0, apex=apex if within else None, offset=length - 1
            ), ""
    return by_number(annotation, media)


def at_other_rate(fps: float, counted: float) -> Locate:
    """`Locate` for tables and images with different frame rates: the nearest frame."""

    def locate(annotation: Annotation, media: Media) -> tuple[Annotation | None, str]:
        onset, apex, offset = (
            None if frame is None else nearest_frame(frame * fps / counted)
            for frame in (annotation.onset, annotation.apex, annotation.offset)
        )
        assert onset is not None
        return by_number(replace(annotation, onset=onset, apex=apex, offset=offset), media)

    return locate


def as_counted(annotation: Annotation, media: Media) -> tuple[Annotation | None, str]:
    """`Locate` for tables that count the frames of the video itself."""
    return annotation, ""


class Joined(NamedTuple):
    """The result of `join`: videos, faults, and rows whose frames are not in their videos."""

    videos: tuple[VideoRecord, ...]
    faults: list[Fault]
    unplaced: tuple[Unplaced, ...]


def join(
    dataset: str,
    annotations: Iterable[Annotation],
    found: Mapping[Key, Media],
    *,
    fps: float | Mapping[Key, float],
    locate: Locate = by_number,
) -> Joined:
    """Join videos and annotations. The result contains each annotated video, with or without a
    path.

    Args:
        found: the path of each video.
        fps: frame rate of all videos, or by video; also videos that occur only here are included.
        locate: converts an annotation's frames to those of the video.
    """
    named = () if isinstance(fps, (int, float)) else fps
    by_video: dict[Key, list[Annotation]] = {key: [] for key in (*found, *named)}
    for a in annotations:
        by_video.setdefault((a.subject, a.video), []).append(a)
    records, faults, unplaced = [], [], []
    for key in sorted(by_video):
        own, media = by_video[key], found.get(key)
        if media is None:
            faults.append(
                Fault("missing-video", f"no folder or file; {len(own)} expressions", *key)
            )
            located = own
        else:
            faults += media.faults(key)
            located = []
            for a in own:
                there, problem = locate(a, media)
                if problem or there is None:
                    faults.append(Fault("unjoinable-row", f"{media.path}: {problem}", *key, a.row))
                    unplaced.append(Unplaced(a, there, problem))
                else:
                    located.append(there)
        numbers = media.numbers if media else None
        records.append(
            VideoRecord(
                dataset=dataset,
                subject=key[0],
                name=key[1],
                fps=fps if isinstance(fps, (int, float)) else fps[key],
                path=media.path if media else None,
                frames=None if numbers is None else len(numbers),
                annotations=tuple(located),
            )
        )
    return Joined(tuple(records), faults, tuple(unplaced))
