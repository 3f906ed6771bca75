"""CAS(ME)^3, part B: 1508 videos at 30 fps of 116 subjects, without labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from aumer.data.casme3 import FPS, long_video, of_part
from aumer.data.dataset import JoinedDataSet, join, locate_videos
from aumer.data.report import DataReport, Key
from aumer.errors import UsageError
from aumer.files import StrPath

NAME = "casme3-b"


def _key(parts: tuple[str, ...]) -> Key | None:
    return long_video(parts) if of_part("b", parts) else None


class Casme3B(JoinedDataSet):
    """Part B, in the layout of part A.

    See `aumer.data.dataset.DataSet`. It is not annotated: that a video has no annotations does not
    mean that it has no expressions, so scores on it are meaningless.
    """

    name: ClassVar[str] = NAME
    layout: ClassVar[str] = (
        "part_B/spNO.101/a/color/1.jpg; below spNO.101/a any folder of images will do, and the one "
        "with color in its path is taken"
    )
    expected: ClassVar[Mapping[str, int]] = {
        "subjects": 116,
        "videos": 1508,
        "micro": 0,
        "macro": 0,
    }

    @classmethod
    def from_root(cls, root: StrPath, *, images: str = "color") -> Casme3B:
        """Find the videos.

        Args:
            images: part of the path of the frames to use if a video exists twice ("depth").

        Raises:
            UsageError: `root` is not a folder, or contains no video of part B.
        """
        found, faults = locate_videos(cls, root, _key, prefer=[images])
        if not found:
            raise UsageError(f"{root}: no videos found; needs {cls.layout}")
        joined = join(NAME, (), found, fps=FPS)
        notes = ("part B has no labels: what is spotted cannot be scored",)
        return cls(Path(root), joined.videos, DataReport((), (*faults, *joined.faults), notes))
