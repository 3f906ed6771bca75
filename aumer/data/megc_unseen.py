"""MEGC 2022 and 2023, unseen videos: SAMM at 200 fps and CAS(ME)^3 at 30, without annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from aumer.data.dataset import JoinedDataSet
from aumer.data.folders import Media, places, scan
from aumer.data.report import DataReport, Fault, Key
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.types import VideoRecord

NAME = "megc-unseen"
#: Text in a folder's name, the source it stands for, and its frames per second.
_SOURCES = (("samm", "SAMM", 200.0), ("cas", "CASME3", 30.0))


class MegcUnseen(JoinedDataSet):
    """The test videos. See `aumer.data.dataset.DataSet`.

    A record's subject is its source, SAMM or CASME3, since subjects are not published. Its name is
    the path below the source's folder, in the challenges' layout the ``vid`` of a submission.
    """

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "two folders, with samm and with cas in their names (SAMM_Test_cropped, CAS_Test_cropped), "
        "each with a folder of images or a file for each video"
    )
    expected: ClassVar[Mapping[str, int]] = {"micro": 0, "macro": 0}

    @classmethod
    def from_root(cls, root: StrPath) -> MegcUnseen:
        """Find the videos. A video in neither folder has no known frame rate and is left out; of
        two versions the cropped one is used.

        Raises:
            UsageError: `root` is no folder, or holds no video.
        """
        every = scan(root)
        found, faults = places(every, _key, prefer=["crop"])
        for media in every:
            if _key(media.parts) is None:
                message = f"{media.path}: neither samm nor cas in its path below the root; left out"
                faults.append(Fault("unknown-rate", message, video="/".join(media.parts)))
        if not found:
            raise UsageError(f"{root}: no videos found; needs {cls.layout}")
        rates = {source: fps for _, source, fps in _SOURCES}
        videos = []
        for (source, name), media in sorted(found.items()):
            faults += media.faults((source, name))
            frames = None if media.numbers is None else len(media.numbers)
            videos.append(VideoRecord(NAME, source, name, rates[source], media.path, frames))
        report = DataReport(faults=tuple(faults), notes=tuple(_first_numbers(found)))
        return cls(Path(root), tuple(videos), report)


def _key(parts: tuple[str, ...]) -> Key | None:
    """Source and name of the video at a path below the root."""
    for k, part in enumerate(parts):
        for text, source, _ in _SOURCES:
            if text in part.casefold():
                return source, "/".join(parts[k + 1 :] or parts[-1:])
    return None


def _first_numbers(found: Mapping[Key, Media]) -> Iterator[str]:
    """A note if image numbers do not begin with 1, the default of submissions."""
    others = {key: m.numbers[0] for key, m in found.items() if m.numbers and m.numbers[0] != 1}
    if others:
        (source, name), first = next(iter(sorted(others.items())))
        yield (
            f"the images of {len(others)} of {len(found)} videos do not begin with number 1, such "
            f"as those of {source}/{name}, which begin with {first}"
        )
