"""MEGC 2022 and 2023, unseen videos: SAMM at 200 fps and CAS(ME)^3 at 30, without annotations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from aumer.data.dataset import JoinedDataSet
from aumer.data.folders import scan
from aumer.data.report import DataReport, Fault
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.types import VideoRecord

NAME = "megc-unseen"
#: Text in a folder's name, the source it stands for, and its frames per second.
_SOURCES = (("samm", "SAMM", 200.0), ("cas", "CASME3", 30.0))


class MegcUnseen(JoinedDataSet):
    """The test videos. See `aumer.data.dataset.DataSet`.

    A record's subject is its source, SAMM or CASME3: who is seen is not told. Its name is the path
    below the source's folder, which for the challenges' own layout is the ``vid`` of a submission.
    """

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "two folders, with samm and with cas in their names (SAMM_Test_cropped, CAS_Test_cropped), "
        "each with a folder of images or a file for each video"
    )
    expected: ClassVar[Mapping[str, int]] = {"micro": 0, "macro": 0}

    @classmethod
    def from_root(cls, root: StrPath) -> MegcUnseen:
        """Find the videos. One that is below neither folder has no known rate, and is left out.

        Raises:
            UsageError: `root` is no folder, or holds no video.
        """
        videos, faults = [], []
        for media in scan(root):
            found = _source(media.parts)
            if found is None:
                message = f"{media.path}: neither samm nor cas in its path below the root"
                faults.append(Fault("unknown-rate", message, video="/".join(media.parts)))
                continue
            source, fps, name = found
            faults += media.faults((source, name))
            frames = None if media.numbers is None else len(media.numbers)
            videos.append(VideoRecord(NAME, source, name, fps, media.path, frames))
        if not videos:
            raise UsageError(f"{root}: no videos found; needs {cls.layout}")
        videos.sort(key=lambda v: (v.subject, v.name))
        return cls(Path(root), tuple(videos), DataReport(faults=tuple(faults)))


def _source(parts: tuple[str, ...]) -> tuple[str, float, str] | None:
    for k, part in enumerate(parts):
        for text, source, fps in _SOURCES:
            if text in part.casefold():
                return source, fps, "/".join(parts[k + 1 :] or parts[-1:])
    return None
