"""MEGC 2019's composite for recognition: 442 clips of SMIC-HS, CASME II and SAMM, three classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aumer.data.dataset import DataSet, JoinedDataSet, find_tables
from aumer.data.labels import MEGC_CLASSES
from aumer.data.report import DataReport, Fault, Key, TableReport
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.tables.cells import Row, read
from aumer.types import Annotation, VideoRecord

if TYPE_CHECKING:
    from aumer.types import ImageArray

NAME = "megc2019"
#: Frames per second of the parts, as ``labels.csv`` names them.
SOURCES = {"smic": 100.0, "casme2": 200.0, "samm": 200.0}
_COLUMNS = ("dataset", "sub", "filename_o", "label")


def read_table(path: StrPath) -> TableReport:
    """``labels.csv``: the class is the annotation's emotion. It has no frames, so the onset is the
    clip's first frame, and apex and offset are missing.

    Raises:
        UsageError: a column is missing or a cell is invalid.
    """
    table = read(path, _COLUMNS)
    found = tuple(
        Annotation(
            subject=row.text("sub"),
            video=row.text("filename_o"),
            kind="micro",
            onset=0,
            apex=None,
            offset=None,
            emotion=MEGC_CLASSES[_label(row)],
            row=row.number,
        )
        for row in table
    )
    rates = {(a.subject, a.video): _rate(row) for a, row in zip(found, table, strict=True)}
    return TableReport(NAME, table.path, table.sheet, len(table), found, rates=rates)


def _label(row: Row) -> int:
    label = row.whole("label")
    if label not in range(len(MEGC_CLASSES)):
        named = ", ".join(f"{number} ({name})" for number, name in enumerate(MEGC_CLASSES))
        raise row.error("label", f"needs {named}; found {label}")
    return label


def _rate(row: Row) -> float:
    source = row.text("dataset")
    if source not in SOURCES:
        raise row.error("dataset", f"needs {', '.join(SOURCES)}; found {source!r}")
    return SOURCES[source]


def action_units(labels: StrPath, *, casme2: StrPath, samm: StrPath) -> dict[Key, str]:
    """The coders' AUs of the composite's CASME II and SAMM clips (278), by subject and clip.

    SMIC has none.

    Args:
        labels: ``labels.csv``.
        casme2, samm: coding workbooks.

    Raises:
        UsageError: a table cannot be read, or a clip is missing in the workbooks.
    """
    from aumer.data import casme2 as casme2_table
    from aumer.data import samm as samm_table

    coded = {
        (a.subject, a.video): a.aus
        for report in (casme2_table.read_table(casme2), samm_table.read_table(samm))
        for a in report.annotations
    }
    found = {}
    for row in read(labels, _COLUMNS):
        key = row.text("sub"), row.text("filename_o")
        if row.text("dataset") == "smic":
            continue
        if key not in coded:
            raise row.error("filename_o", f"{key[0]} {key[1]} is in neither {casme2} nor {samm}")
        found[key] = coded[key]
    return found


class Megc2019(JoinedDataSet):
    """Flow images with their classes, or the clips themselves. See `aumer.data.dataset.DataSet`."""

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "flow/sub01_EP02_01f.png (28 x 28, RGB = u, v, optical strain from onset to apex) and "
        "labels.csv with dataset, sub, filename_o and label (0 negative, 1 positive, 2 surprise)"
    )
    expected: ClassVar[Mapping[str, int]] = {"subjects": 68, "videos": 442, "micro": 442}

    @classmethod
    def from_root(
        cls,
        root: StrPath,
        *,
        table: StrPath | None = None,
        clips: Mapping[str, DataSet] | None = None,
    ) -> Megc2019:
        """Join the labels with the flow images, or with the clips of the three sets.

        Args:
            table: ``labels.csv``; by default searched below the root.
            clips: the data sets ``smic``, ``casme2`` and ``samm``. Records then are their clips,
                with the coders' frames and AUs and the composite's class; without it, the flow
                images.

        Raises:
            UsageError: `root` is not a folder, the labels cannot be read, or a data set is missing.
        """
        root = Path(root)
        tables, faults = find_tables(root, read_table, table)
        labeled = tables[0]
        if clips is None:
            videos, problems = _images(root, labeled)
        else:
            missing = [name for name in SOURCES if name not in clips]
            if missing:
                raise UsageError(f"clips needs {', '.join(SOURCES)}; {', '.join(missing)} missing")
            videos, problems = _clips(labeled, clips)
        return cls(root, videos, DataReport(tables, (*faults, *problems)))

    def images(self) -> ImageArray:
        """(N, 28, 28, 3) uint8 RGB = (u, v, strain), in the order of `records`.

        Raises:
            UsageError: a record is not a flow image.
            VideoError: an image cannot be read.
        """
        import numpy as np

        found = []
        for record in self.videos:
            if record.path is None or not record.path.is_file():
                raise UsageError(f"{record.subject} {record.name} has no flow image")
            found.append(_image(record.path))
        return np.stack(found)


def _image(path: Path) -> ImageArray:
    import cv2
    import numpy as np

    from aumer.errors import VideoError

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise VideoError(f"{path} is not an image")
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def _images(root: Path, table: TableReport) -> tuple[tuple[VideoRecord, ...], list[Fault]]:
    there = {path.stem: path for path in (*root.glob("*.png"), *root.glob("*/*.png"))}
    videos, faults = [], []
    for a in table.annotations:
        path = there.get(f"{a.subject}_{a.video}")
        if path is None:
            message = f"{root}: no image {a.subject}_{a.video}.png"
            faults.append(Fault("missing-video", message, a.subject, a.video, a.row))
        rate = table.rates[a.subject, a.video]
        videos.append(
            VideoRecord(NAME, a.subject, a.video, rate, path, None if path is None else 1, (a,))
        )
    return _sorted(videos), faults


def _clips(
    table: TableReport, sets: Mapping[str, DataSet]
) -> tuple[tuple[VideoRecord, ...], list[Fault]]:
    there = {
        (record.subject, record.name): record
        for name in SOURCES
        for record in sets[name].records()
        if record.annotations
    }
    videos, faults = [], []
    for a in table.annotations:
        key = a.subject, a.video
        record = there.get(key)
        if record is None:
            faults.append(Fault("missing-video", "no such clip, or it has no row", *key, a.row))
            videos.append(VideoRecord(NAME, *key, table.rates[key], annotations=(a,)))
            continue
        if record.path is None:
            faults.append(Fault("missing-video", "a row, but no folder or file", *key, a.row))
        # An extended clip may contain a second movement; it is named after the first.
        coded = replace(record.annotations[0], emotion=a.emotion, row=a.row)
        videos.append(replace(record, dataset=NAME, annotations=(coded,)))
    return _sorted(videos), faults


def _sorted(videos: list[VideoRecord]) -> tuple[VideoRecord, ...]:
    return tuple(sorted(videos, key=lambda v: (v.subject, v.name)))
