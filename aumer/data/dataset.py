"""The seam of data sets, and what joins the tables of most with their folders."""

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
        by_name: whether folders are called as the table calls its videos (`by_table_names`), so
            that `key` is not asked.
        clips: whether each video is one expression, so that one without a row is a fault.
        parts: whether its tables are parts of one, not editions of it.
    """

    fps: ClassVar[float]
    images: ClassVar[str] = ""
    by_name: ClassVar[bool] = False
    clips: ClassVar[bool] = False
    parts: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def read(path: StrPath) -> TableReport:
        """Its table.

        Raises:
            UsageError: it is another, or cannot be read.
        """

    @staticmethod
    def key(parts: tuple[str, ...]) -> Key | None:
        """Subject and name of the video whose frames lie at this path below the root."""
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
            table: the owners' workbook, or another that the data set is annotated by; looked for
                below the root if not given.
            images: part of the path of the frames to use where a video is there twice.

        Raises:
            UsageError: `root` is no folder, no table can be read, or there are folders of images or
                video files, none of which is called as those of the data set are.
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
#: An annotation with the frames of this video, and nothing; or what of it is in the video, `None`
#: if nothing is, and why it is not all of it.
Locate = Callable[[Annotation, Media], tuple[Annotation | None, str]]


def locate_videos(
    kind: type[DataSet], root: StrPath, key: KeyOf, *, prefer: Sequence[str] = ()
) -> tuple[Mapping[Key, Media], list[Fault]]:
    """The place of each video below a root; see `aumer.data.folders.places`.

    Raises:
        UsageError: there is something, and none of it is called as the videos of the data set are.
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
    """Finds videos in folders and files that are called as a table calls subject and video,
    whatever their case: ``SUBJECT/VIDEO`` with other folders above, between or below,
    ``SUBJECT_VIDEO``, or ``VIDEO`` alone where no other subject has a video of that name.
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
    """Finds what `key` finds, called as the table calls it; and folders and files that differ from
    a table's video in case and in zeros before numbers alone (``ep2_1f`` of ``EP02_01f``).

    Where several videos may be meant, the folders above must name the subject. A name of one or two
    letters tells nothing by itself.
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
    """A fault for each clip that no row is of."""
    known = {(a.subject, a.video) for a in rows}
    return [
        Fault("unannotated-clip", f"{media.path}: no row is of it", *key)
        for key, media in found.items()
        if key not in known
    ]


def merge_tables(tables: Sequence[TableReport]) -> TableReport:
    """Tables that are parts of one, such as one for each kind of expression."""
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
            old = sorted((*root.glob("*.xls"), *root.glob("*/*.xls")))
            advice = (
                f"; {', '.join(str(path.relative_to(root)) for path in old)} is a workbook of the "
                "old kind: save it as .xlsx or as CSV"
                if old
                else "; put it there, or give its path as table="
            )
            raise UsageError(
                f"{root}: no table of annotations (.xlsx, .csv, .tsv) here or a folder below"
                f"{advice}"
            )
        raise UsageError("\n".join([f"{root}: no table can be read", *(e for _, e in refused)]))
    # Another CSV may be anything; a workbook that cannot be read may be the one that was meant.
    return found, [
        Fault("unread-table", error) for path, error in refused if path.suffix == ".xlsx"
    ]


def by_number(annotation: Annotation, media: Media) -> tuple[Annotation | None, str]:
    """Where the images carry the numbers that the coders wrote, less 1 in the annotation.

    Of an onset or offset whose image is missing between others, the images between the two that are
    there are what is in the video.
    """
    if media.numbers is None:
        return annotation, ""
    onset = media.index(annotation.onset + 1)
    apex, offset = (
        None if frame is None else media.index(frame + 1)
        for frame in (annotation.apex, annotation.offset)
    )
    # An apex before the first image has no frame, as one that is missing; that it lies outside is
    # seen in the table.
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
    """As `by_number`; but images that do not have the row's numbers, and are as many as its
    interval has frames, are that interval, numbered anew."""
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
    """Where a table counts at one rate, and images are numbered at another: the nearest frame."""

    def locate(annotation: Annotation, media: Media) -> tuple[Annotation | None, str]:
        onset, apex, offset = (
            None if frame is None else nearest_frame(frame * fps / counted)
            for frame in (annotation.onset, annotation.apex, annotation.offset)
        )
        assert onset is not None
        return by_number(replace(annotation, onset=onset, apex=apex, offset=offset), media)

    return locate


def as_counted(annotation: Annotation, media: Media) -> tuple[Annotation | None, str]:
    """Where the table counts the frames of the video itself."""
    return annotation, ""


class Joined(NamedTuple):
    """What `join` gives: videos, what is wrong, and the rows that are in none of the videos."""

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
