"""What a user names as input: files, folders of frames, cameras."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aumer.errors import UsageError

_CAMERA = "camera:"


@dataclass(frozen=True)
class Input:
    """One input: as it was written, as `aumer.video.open_video` takes it, and its output's stem."""

    text: str
    source: str | int
    stem: str

    @property
    def is_folder(self) -> bool:
        # Not Path.is_dir, which raises where a folder on the way may not be searched.
        return isinstance(self.source, str) and os.path.isdir(self.source)  # noqa: PTH112


def stems(inputs: Sequence[Input]) -> tuple[str, ...]:
    """Where each input's output goes below a folder, without a suffix: its own stem, or, where
    several inputs in different folders share one, its path below the folder common to all."""
    plain = tuple(given.stem for given in inputs)
    files = [given for given in inputs if not isinstance(given.source, int)]
    if len(set(plain)) == len(plain):
        return plain
    folders = {given: Path(os.path.abspath(given.text)).parent for given in files}  # noqa: PTH100
    try:
        common = os.path.commonpath(folders.values())
    except ValueError:  # on different drives
        return plain
    return tuple(
        (folders[given].relative_to(common) / given.stem).as_posix()
        if given in folders
        else given.stem
        for given in inputs
    )


def parse_inputs(
    texts: Sequence[str], *, fps: float | None = None, end: float | None = None
) -> tuple[Input, ...]:
    """The inputs, with what can be known to be wrong before any of them is read.

    Raises:
        UsageError: a camera without a number or without `end`, or a folder without `fps`.
    """
    inputs = tuple(_parse(text) for text in texts)
    for given in inputs:
        if isinstance(given.source, int) and end is None:
            raise UsageError(
                f"{given.text} runs for ever: say with --end after how many seconds to stop"
            )
        if given.is_folder and fps is None:
            raise UsageError(
                f"{given.text} is a folder of images, which says nothing of time: give --fps, its "
                "frames per second"
            )
    return inputs


def _parse(text: str) -> Input:
    if text.startswith(_CAMERA):
        number = text.removeprefix(_CAMERA)
        if not (number.isdecimal() and len(number) <= 4):
            raise UsageError(
                f"{text!r} names no camera: write camera:0 for the first one, camera:1 for the "
                f"next, up to camera:9999; for a file of that name write ./{text}"
            )
        return Input(text, int(number), f"camera-{int(number)}")
    if text.isdecimal() and not Path(text).exists():
        raise UsageError(f"no file is called {text}; for a camera write camera:{text}")
    given = Input(text, text, _stem(Path(text)))
    return replace(given, stem=Path(text).resolve().name or "root") if given.is_folder else given


def _stem(path: Path) -> str:
    """A file's name without its suffix, but for "..mp4", of which "." would be left: no name."""
    return path.stem if path.stem.strip(".") else path.name
