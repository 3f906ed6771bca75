"""MEGC 2019's composite as clips: flow images of its owners, without frames."""

from __future__ import annotations

import numpy as np

from aumer.data.labels import MEGC_CLASSES
from aumer.data.megc2019 import Megc2019
from aumer.files import StrPath
from aumer.recognition.interface import Clips
from aumer.tables.cells import read


def composite(root: StrPath) -> Clips:
    """MEGC 2019's 442 flow images as clips.

    Raises:
        UsageError: `root` does not hold them.
    """
    data = Megc2019.from_root(root)
    records = data.records()
    rows = read(data.report.tables[0].path, ("dataset", "sub", "filename_o"))
    source = {(row.text("sub"), row.text("filename_o")): row.text("dataset") for row in rows}
    return Clips(
        data.images().astype(np.float32) / np.float32(255),
        np.array([MEGC_CLASSES.index(r.annotations[0].emotion) for r in records], np.int64),
        tuple(r.subject for r in records),
        MEGC_CLASSES,
        tuple(r.name for r in records),
        tuple(source[r.subject, r.name] for r in records),
    )
