"""SAMM Long Videos: 147 videos at 200 fps, or at 30; 343 macro- and 159 micro-expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from aumer.data import samm
from aumer.data.dataset import NumberedImages, at_other_rate
from aumer.data.folders import Media
from aumer.data.frames import annotation, kind_of
from aumer.data.report import Fault, Key, Log, Rule, TableReport
from aumer.files import StrPath
from aumer.tables.cells import read
from aumer.types import Annotation, Kind

if TYPE_CHECKING:
    from typing_extensions import Self

NAME = "samm-lv"
SLOW = "samm-lv-30"
#: Frame rates of the cameras, used in the workbook, and of the slower versions.
FPS, SLOW_FPS = 200.0, 30.0

SHEET = "FACS_Movement_Only"
_COLUMNS = ("Subject", "Filename", "Onset", "Apex", "Offset", "Type", "Action Units")
_KINDS: dict[str, Kind] = {"macro": "macro", "micro": "micro"}

REPEATED_NAME = Rule(
    "repeated-name", "two movements of one video carry one name; the rows tell them apart"
)


def read_table(path: StrPath, *, emotions: StrPath | None = None) -> TableReport:
    """The owners' workbook: subject ``006``, video ``006_1`` of the expression ``006_1_2``.

    Frames are image numbers minus 1; fractions are first rounded to the nearest image.

    Args:
        emotions: SAMM's workbook, which has the emotions of the same 159 micro-expressions; this
            one has none.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    table = read(path, _COLUMNS, sheet=SHEET)
    felt = {}
    if emotions is not None:
        felt = {a.video: a.emotion for a in samm.read_table(emotions).annotations}
    log = Log()
    found = []
    names = set()
    for row in table:
        if (name := row.text("Filename")) in names:
            log.correct(REPEATED_NAME, row.number, "Filename", name, name)
        names.add(name)
        video, numbered, _ = row.text("Filename").rpartition("_")
        if not (numbered and video.startswith(f"{row.text('Subject')}_")):
            raise row.error(
                "Filename",
                f"needs a name such as 006_1_2 that begins with the subject "
                f"{row.text('Subject')!r}, found {row.text('Filename')!r}",
            )
        kind = kind_of(row, "Type", _KINDS)
        found.append(
            annotation(
                row,
                log,
                subject=row.text("Subject"),
                video=video,
                kind=kind,
                columns=("Onset", "Apex", "Offset"),
                aus=row.optional("Action Units"),
                emotion=felt.get(name, "") if kind == "micro" else "",
            )
        )
    return TableReport.of(NAME, table, found, log)


def _key(parts: tuple[str, ...]) -> Key | None:
    name = re.fullmatch(r"(\d{3})_\d+", parts[-1]) if parts else None
    return (name[1], name[0]) if name else None


class SammLv(NumberedImages):
    """The long videos. See `aumer.data.dataset.DataSet`."""

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "006_1/006_1_0001.jpg, and the workbook with a sheet FACS_Movement_Only; folders are found "
        "by name, wherever they lie"
    )
    expected: ClassVar[Mapping[str, int]] = {
        "subjects": 30,
        "videos": 147,
        "macro": 343,
        "micro": 159,
    }

    fps = FPS

    read = staticmethod(read_table)
    key = staticmethod(_key)

    @classmethod
    def from_root(
        cls,
        root: StrPath,
        *,
        table: StrPath | None = None,
        images: str | None = None,
        emotions: StrPath | None = None,
    ) -> Self:
        """As `NumberedImages`.

        Args:
            emotions: SAMM's workbook, for the emotions of the micro-expressions.
        """
        read = partial(read_table, emotions=emotions)
        made = cls._join(root, read, table, cls.images if images is None else images)
        faults = (*made._other_rate(), *made.report.faults)
        return replace(made, report=replace(made.report, faults=faults))

    def _other_rate(self) -> list[Fault]:
        """A fault if the number of images fits the other frame rate."""
        last: dict[Key, int] = {}
        for a in self.report.tables[0].annotations:
            end = max(a.onset, a.offset or 0)
            last[a.subject, a.video] = max(last.get((a.subject, a.video), 0), end)
        known = [r for r in self.videos if r.frames is not None and r.annotations]
        if self.fps == FPS:
            short = [r for r in known if _end(r.annotations) >= (r.frames or 0)]
            wrong, other, name = len(short) > len(known) / 2, SLOW_FPS, SLOW
            what = f"{len(short)} of {len(known)} videos end before an expression of theirs"
        else:
            wrong = all(last[r.subject, r.name] < (r.frames or 0) for r in known)
            other, name = FPS, NAME
            what = f"each of {len(known)} videos has all the frames that its rows name at {FPS:g}"
        if not (known and wrong):
            return []
        message = f"{what}: the images seem to be at {other:g} fps; load them as {name}"
        return [Fault("frame-rate", message)]


def _end(annotations: Iterable[Annotation]) -> int:
    return max(max(a.onset, a.offset or 0) for a in annotations)


_slower = at_other_rate(SLOW_FPS, FPS)


class SammLv30(SammLv):
    """The same videos at 30 fps. See `aumer.data.dataset.DataSet`.

    The workbook counts frames at 200 fps; annotations use the nearest frame of the slower video,
    assuming that the first images coincide: image k is at (k - 1) / 30 s.
    """

    name: ClassVar[str] = SLOW
    layout: ClassVar[str] = (
        "006_1/006_1_0001.jpg at 30 images a second, and the workbook of the 200-fps videos with a "
        "sheet FACS_Movement_Only; folders are found by name, wherever they lie"
    )

    fps = SLOW_FPS

    @staticmethod
    def locate(annotation: Annotation, media: Media) -> tuple[Annotation | None, str]:
        return _slower(annotation, media)
