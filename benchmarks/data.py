"""The shared test data: where they lie, and the real clips among them."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

from aumer.types import ImageArray
from aumer.video import open_video
from benchmarks.report import ROOT

#: Folders that hold clips; the annotated ones are the first two.
FOLDERS = ("videos", "videos_more", "faults")


def test_data() -> Path:
    """The folder of test data: ``$AUMER_TEST_DATA``, or ``../shared/data`` beside the checkout."""
    folder = Path(os.environ.get("AUMER_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"no test data at {folder}: set AUMER_TEST_DATA to the folder that holds videos/")
    return folder


def clip_path(name: str) -> Path:
    """A shared clip, in whichever folder it lies."""
    places = [test_data() / folder / name for folder in FOLDERS]
    for place in places:
        if place.is_file():
            return place
    sys.exit(f"no clip {name}; looked at {', '.join(map(str, places))}")


def rate_of(name: str) -> float:
    """Frames a second of a shared clip."""
    with closing(open_video(clip_path(name))) as video:
        assert video.info.fps is not None
        return video.info.fps


def read_clip(name: str, first: int = 0, last: int | None = None) -> list[ImageArray]:
    """Frames `first` to `last` (both included) of a shared clip."""

    def wanted(index: int, _: float) -> bool:
        return index >= first and (last is None or index <= last)

    frames = []
    with closing(open_video(clip_path(name), keep=wanted)) as video:
        for frame in video:
            frames.append(frame.image)
            if last is not None and frame.index >= last:
                break
    return frames
