"""Parsing of inputs: files, folders of frames, cameras."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aumer.errors import UsageError
from aumer.remote import is_address, listed, plain_path

_CAMERA = "camera:"


@dataclass(frozen=True)
class Input:
    """One input: its text, the source for `aumer.video.open_video`, and the stem of its output.

    Attributes:
        stem: of its output's name, with folders in front if a folder was searched.
        start, end, fps, face: values of a manifest; None for those of the command line.
        about: cells of a manifest by column, except the file's.
    """

    text: str
    source: str | int
    stem: str
    start: float | None = None
    end: float | None = None
    fps: float | None = None
    face: str | None = None
    about: tuple[tuple[str, str], ...] = ()

    @property
    def is_folder(self) -> bool:
        # Not Path.is_dir, which raises if a parent folder is not accessible.
        return isinstance(self.source, str) and os.path.isdir(self.source)  # noqa: PTH112


def stems(inputs: Sequence[Input]) -> tuple[str, ...]:
    """Output path of each input below a folder, without suffix: its stem, or, if several inputs in
    different folders share it, its path below their common folder. Files that differ only in their
    suffixes keep these: x.mp4 and x.mov.
    """
    plain = tuple(given.stem for given in inputs)
    count = Counter((_folder(given), given.stem) for given in inputs)
    names = {given.text for given in inputs if count[_folder(given), given.stem] > 1}
    if len(names) > 1:
        plain = tuple(
            given.stem + Path(given.text).suffix if given.text in names else given.stem
            for given in inputs
        )
    files = [given for given in inputs if not isinstance(given.source, int)]
    if len(set(plain)) == len(plain):
        return plain
    folders = {given: Path(os.path.abspath(given.text)).parent for given in files}  # noqa: PTH100
    try:
        common = os.path.commonpath(folders.values())
    except ValueError:  # on different drives
        return plain
    return tuple(
        (folders[given].relative_to(common) / Path(stem).name).as_posix()
        if given in folders
        else stem
        for given, stem in zip(inputs, plain, strict=True)
    )


def _folder(given: Input) -> str:
    return os.path.dirname(os.path.abspath(given.text))  # noqa: PTH100, PTH120


def parse_inputs(
    texts: Sequence[str],
    *,
    fps: float | None = None,
    end: float | None = None,
    recursive: bool = False,
    note: Callable[[str], object] | None = None,
) -> tuple[Input, ...]:
    """Parse the inputs and refuse wrong ones before any is read.

    A folder of videos stands for these, sorted by name; a folder of images is one video.

    Args:
        recursive: search the folders in a folder, too.
        note: called with how a folder was interpreted.

    Raises:
        UsageError: a camera without a number or without `end`, a folder of images without `fps`, or
            an empty or ambiguous folder.
    """
    inputs = tuple(one for text in texts for one in meant(text, fps, recursive, note))
    for given in inputs:
        check_input(given, fps=fps, end=end)
    return inputs


def check_input(given: Input, *, fps: float | None, end: float | None) -> None:
    """Check one input without reading it.

    Raises:
        UsageError: a camera without `end`, an empty folder, or a folder without `fps`.
    """
    if isinstance(given.source, int) and (given.end or end) is None:
        raise UsageError(f"{given.text} has no end: say with --end after how many seconds to stop")
    if given.is_folder and (given.fps or fps) is None:
        if _is_empty(str(given.source)):
            raise UsageError(
                f"{given.text} is an empty folder; give a video, a folder of videos, or a folder "
                "of images with --fps"
            )
        raise UsageError(
            f"{given.text} is a folder of images, which have no times: give --fps, the "
            "frames per second"
        )


def _is_empty(folder: str) -> bool:
    try:
        return next(Path(folder).iterdir(), None) is None
    except OSError:  # not readable: opening it raises the error
        return False


# -- folders -------------------------------------------------------------------------------------


def meant(
    text: str,
    fps: float | None = None,
    recursive: bool = False,
    note: Callable[[str], object] | None = None,
) -> Iterator[Input]:
    """The input or inputs that a text names."""
    text = plain_path(text)
    given = parse_input(text)
    if is_address(text):
        yield from _at_address(given, recursive, note)
        return
    if not given.is_folder:
        yield given
        return
    left: list[Path] = []
    found = list(_searched(Path(text), fps, recursive, left))
    if not found:
        if recursive:
            raise UsageError(
                f"{text}: neither this folder nor those in it hold a video (*.mp4, *.avi, ...)"
                + ("" if fps else "; for a folder of images give --fps")
            )
        yield given  # of images; otherwise opening it raises the error
        return
    if found == [Path(text)]:
        if note is not None:
            note(f"{text} is a folder of images: they are taken for one video")
        yield given
        return
    if note is not None:
        folders = sum(path.is_dir() for path in found)
        videos = f"{len(found) - folders} videos" + f" and {folders} folders of frames" * bool(
            folders
        )
        note(f"{text} is a folder of videos: {videos} are taken from it")
        if left:
            more = ", ..." if len(left) > 3 else ""
            note(
                f"left out: {len(left)} folder{'s' if len(left) > 1 else ''} of images "
                f"({', '.join(map(str, left[:3]))}{more}); "
                "give --fps, their frames per second, to read them as videos"
            )
    for path in found:
        one = parse_input(str(path))
        yield replace(one, stem=(path.relative_to(text).parent / one.stem).as_posix())


def _at_address(
    given: Input, recursive: bool, note: Callable[[str], object] | None
) -> Iterator[Input]:
    """The video at a remote address, or those in the folder there."""
    from aumer.video import VIDEO_SUFFIXES

    if Path(given.text).suffix.lower() in VIDEO_SUFFIXES:
        yield given
        return
    root = given.text.rstrip("/")
    every = listed(root, recursive=recursive)
    found = [one for one in every if Path(one).suffix.lower() in VIDEO_SUFFIXES]
    if not found:
        raise UsageError(
            f"{given.text}: there is no video (*.mp4, *.avi, ...) at this address, among "
            f"{len(every)} files"
            + ("" if recursive else "; --recursive searches the folders in it, too")
        )
    if note is not None:
        note(f"{given.text} is a folder of videos: {len(found)} videos are taken from it")
    for address in found:
        one = parse_input(address)
        inside = Path(address[len(root) + 1 :])
        yield replace(one, stem=(inside.parent / one.stem).as_posix())


def _searched(folder: Path, fps: float | None, recursive: bool, left: list[Path]) -> Iterator[Path]:
    """Videos in a folder, and folders of frames if `fps` is given; sorted by name.

    Args:
        left: collects folders of frames without a known rate.
    """
    from aumer.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES

    try:
        entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except OSError as error:
        raise UsageError(f"{folder} cannot be searched: {error.strerror}") from error
    videos = [p for p in entries if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file()]
    images = [p for p in entries if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    if len(images) > len(videos) > 0 and fps is None:
        raise UsageError(
            f"{folder} holds {len(images)} images and {len(videos)} videos: it may be a folder of "
            "frames or one of videos. Give the videos by name, or --fps, the frames per second of "
            "the images"
        )
    if len(videos) >= len(images):
        yield from videos
    elif fps is not None:
        yield folder
    else:
        left.append(folder)
    if recursive:
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink():  # links may form cycles
                yield from _searched(entry, fps, recursive, left)


def parse_input(text: str) -> Input:
    """The input for one text; only checks whether it is a folder.

    Raises:
        UsageError: a camera without a number, or a number that is not a file.
    """
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
    """A file's name without its suffix, except "..mp4", for which "." would remain."""
    return path.stem if path.stem.strip(".") else path.name
