"""SMIC-HS: 164 clips at 100 fps of 16 subjects; the sheet of the extended clips has 157."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from aumer.data.dataset import JoinedDataSet, by_number, find_tables, join, locate_videos
from aumer.data.folders import Media
from aumer.data.frames import annotation
from aumer.data.report import DataReport, Key, Log, Rule, TableReport
from aumer.files import StrPath
from aumer.tables.cells import Row, Table, read
from aumer.types import Annotation

NAME = "smic-hs"
FPS = 100.0

SHEET = "HS"
_INTERVALS = (("OnsetF", "OffsetF"), ("Onset2F", "Offset2F"), ("Onset3F", "Offset3F"))
_COLUMNS = ("Subject", "Filename", *_INTERVALS[0], "FirstF", "LastF", "Emotion")
#: Emotions in the names of clips.
EMOTIONS = {"ne": "negative", "po": "positive", "sur": "surprise"}

NO_ROW = Rule(
    "clip-without-row",
    "three of the 164 clips are in no row; SMIC-HS cuts its clips from onset to offset, so that "
    "the whole clip is taken, with the emotion in its name",
)
OWN_CLIP = Rule(
    "interval-with-clip",
    "the extended clip s3_ne_02 holds what are s03_ne_02 and s03_ne_03 among the 164; a further "
    "interval of a row belongs to the clip with the next number, if that has no row of its own",
)
EMOTION = Rule(
    "emotion-of-name",
    "s18_sur_03 is negative in the sheet; its name says surprise, and so do the released counts, "
    "70 negative, 51 positive and 43 surprise",
)


def read_table(path: StrPath) -> TableReport:
    """The owners' workbook of the extended clips: subject ``s03``, video ``s03_ne_01``.

    The sheet counts frames from the start of the camera; here they are relative to the clip's
    FirstF. A row has up to three intervals, without apexes.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    table = _table(path)
    log = Log()
    found = tuple(a for row in table for a in _intervals(row, log))
    return TableReport.of(NAME, table, found, log)


def _table(path: StrPath) -> Table:
    return read(path, _COLUMNS, sheet=SHEET, optional=[c for pair in _INTERVALS[1:] for c in pair])


def _intervals(row: Row, log: Log) -> list[Annotation]:
    video = clip(row.text("Filename"))
    first = row.whole("FirstF")
    emotion = EMOTIONS.get(video.split("_")[1], row.text("Emotion"))
    if emotion != row.text("Emotion"):
        log.correct(EMOTION, row.number, "Emotion", row.text("Emotion"), emotion)
    found: list[Annotation] = []
    for onset, offset in _INTERVALS:
        if not row.optional(onset):
            continue
        if row.whole(onset) < first:
            # In five rows the third pair is the difference of two clocks and the first frame.
            problem = f"lies before the clip, which begins at {first}: no interval"
            log.refuse(row.number, onset, row.text(onset), problem)
            continue
        a = annotation(
            row,
            log,
            subject=f"s{row.whole('Subject'):02d}",
            video=video,
            kind="micro",
            columns=(onset, None, offset),
            first=first,
            emotion=emotion,
        )
        if a in found:
            log.refuse(row.number, onset, row.text(onset), "repeats an interval of its row")
        else:
            found.append(a)
    return found


def clip(name: str) -> str:
    """``s03_ne_01`` of ``s3_ne_01``: sheet and folders differ in padding of the subject."""
    return re.sub(r"^s(\d+)(?=_)", lambda found: f"s{int(found[1]):02d}", name)


class SmicHs(JoinedDataSet):
    """The clips. See `aumer.data.dataset.DataSet`."""

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "HS/s03/micro/negative/s3_ne_01/image302330.bmp (SMIC-HS, onset to offset, or the extended "
        "clips of SMIC-E-HS), and the workbook with a sheet HS; clips are found by name, their "
        "frames by the camera's numbers, or by their count where they are numbered anew"
    )
    expected: ClassVar[Mapping[str, int]] = {"subjects": 16, "videos": 164}

    @classmethod
    def from_root(
        cls, root: StrPath, *, table: StrPath | None = None, images: str = "raw"
    ) -> SmicHs:
        """Join the workbook and the folders of images.

        Args:
            table: the workbook; by default searched below the root.
            images: part of the path of the frames to use if a clip exists twice ("cropped").

        Raises:
            UsageError: `root` is not a folder, or no table can be read.
        """
        (table_read, *others), faults = find_tables(root, read_table, table)
        found, doubts = locate_videos(cls, root, _key, prefer=[images])
        cameras = {row.number: _Camera.of(row) for row in _table(table_read.path)}
        annotations, log = _by_clip(table_read.annotations, found)
        report = replace(table_read, corrections=(*table_read.corrections, *log.corrections))

        def locate(a: Annotation, media: Media) -> tuple[Annotation | None, str]:
            return cameras[a.row].locate(a, media) if a.row else (a, "")

        joined = join(NAME, annotations, found, fps=FPS, locate=locate)
        problems = (*faults, *doubts, *joined.faults)
        told = DataReport((report, *others), problems, unplaced=joined.unplaced)
        return cls(Path(root), joined.videos, told)


def _by_clip(
    annotations: tuple[Annotation, ...], found: Mapping[Key, Media]
) -> tuple[list[Annotation], Log]:
    """The annotations with their clips, and one for each clip without a row."""
    own_clip: list[Annotation] = []
    log = Log()
    rows = {(a.subject, a.video) for a in annotations}
    before: dict[int, int] = {}
    for a in annotations:
        count = before[a.row] = before.get(a.row, 0) + 1
        stem, _, number = a.video.rpartition("_")
        own = f"{stem}_{int(number) + count - 1:02d}"
        if own != a.video and (a.subject, own) in found and (a.subject, own) not in rows:
            log.correct(OWN_CLIP, a.row, "Filename", a.video, own)
            a = replace(a, video=own)
        own_clip.append(a)
    spoken_for = {(a.subject, a.video) for a in own_clip}
    for key, media in found.items():
        if key not in spoken_for and media.numbers:
            last = len(media.numbers) - 1
            emotion = EMOTIONS[key[1].split("_")[1]]
            own_clip.append(Annotation(*key, "micro", 0, None, last, emotion=emotion))
            log.correct(NO_ROW, 0, "Filename", key[1], f"frames 0-{last}")
    return own_clip, log


@dataclass(frozen=True)
class _Camera:
    """First and last camera frame number of an extended clip."""

    first: int
    last: int

    @classmethod
    def of(cls, row: Row) -> _Camera:
        return cls(row.whole("FirstF"), row.whole("LastF"))

    def locate(self, a: Annotation, media: Media) -> tuple[Annotation | None, str]:
        """The annotation in frames of this folder."""
        numbers = media.numbers
        if numbers is None or a.offset is None:
            return a, ""
        onset, offset = a.onset + self.first, a.offset + self.first
        if numbers[0] <= onset and offset <= numbers[-1]:  # the camera's numbers
            return by_number(replace(a, onset=onset - 1, offset=offset - 1), media)
        if len(numbers) == self.last - self.first + 1:  # the renumbered extended clip
            return a, ""
        if len(numbers) == offset - onset + 1:  # renumbered, onset to offset
            return replace(a, onset=0, offset=len(numbers) - 1), ""
        return None, (
            f"frames {onset}-{offset} are not among {numbers[0]}-{numbers[-1]}, and {len(numbers)} "
            f"images are neither this interval nor the extended clip {self.first}-{self.last}"
        )


def _key(parts: tuple[str, ...]) -> Key | None:
    if {"vis", "nir"} & {part.casefold() for part in parts}:
        return None  # other cameras use the same names
    name = re.fullmatch(r"s(\d+)_(ne|po|sur)_\d+", parts[-1]) if parts else None
    return (f"s{int(name[1]):02d}", clip(name[0])) if name else None
