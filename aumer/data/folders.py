"""Search of a data set's root for folders of numbered images and for video files."""

from __future__ import annotations

import itertools
import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from aumer.arguments import as_path
from aumer.data.report import Fault, Key
from aumer.errors import UsageError
from aumer.files import StrPath

#: Function from a path below the root to subject and video; `None` for other paths.
KeyOf: TypeAlias = Callable[[tuple[str, ...]], Key | None]


@dataclass(frozen=True)
class Media:
    """A folder of images, or a video file.

    Attributes:
        parts: components of its path below the root; a file's without suffix.
        numbers: image numbers of a folder, sorted by name; `None` for a file.
    """

    path: Path
    parts: tuple[str, ...]
    numbers: tuple[int, ...] | None = None

    def index(self, number: int) -> int:
        """Index of the image with this number; negative or beyond the last if outside.

        A missing image has the index of the next one.
        """
        numbers = self.numbers
        if not numbers:
            raise ValueError(f"{self.path} has no numbered images")
        if number < numbers[0]:
            return number - numbers[0]
        if number > numbers[-1]:
            return len(numbers) - 1 + number - numbers[-1]
        return bisect_left(numbers, number)

    def lacks(self, number: int) -> bool:
        """Whether the image with this number is missing between existing ones."""
        numbers = self.numbers or (number,)
        between = numbers[0] < number < numbers[-1]
        return between and numbers[bisect_left(numbers, number)] != number

    def faults(self, key: Key) -> list[Fault]:
        """Faults: missing images and repeated numbers."""
        numbers = self.numbers or ()
        if not numbers:
            return []
        if len(set(numbers)) < len(numbers):
            message = f"{self.path}: two images have one number, so that places mean nothing"
            return [Fault("repeated-frames", message, *key)]
        missing = numbers[-1] - numbers[0] + 1 - len(numbers)
        if not missing:
            return []
        begin = next(a for a, b in itertools.pairwise(numbers) if b != a + 1) + 1
        message = (
            f"{self.path}: {missing} images are missing between {numbers[0]} and {numbers[-1]}, "
            f"the first is {begin}"
        )
        return [Fault("missing-frames", message, *key)]


def scan(root: StrPath) -> tuple[Media, ...]:
    """All folders with images and all video files below `root`, sorted by path.

    Hidden files and folders are left out; links to folders are followed, each folder once.

    Raises:
        UsageError: `root` is not a folder.
    """
    from aumer.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES  # imports cv2, which tables do not need

    root = checked_root(root)
    found = []
    seen: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        below[:] = sorted(name for name in below if not name.startswith("."))
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        parts = Path(folder).relative_to(root).parts
        images = []
        for name in files:
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 (of a quarter of a million names)
            suffix = suffix.lower()
            if name.startswith("."):
                continue
            if suffix in IMAGE_SUFFIXES:
                images.append(name)
            elif suffix in VIDEO_SUFFIXES:
                found.append(Media(Path(folder, name), (*parts, stem)))
        if images:
            found.append(Media(Path(folder), parts, _numbers(images)))
    return tuple(sorted(found, key=lambda m: m.parts))


def checked_root(root: StrPath) -> Path:
    """The folder of a data set.

    Raises:
        UsageError: it is not a folder.
    """
    path = as_path("root", root, "the path of a folder")
    if not path.is_dir():
        problem = "is not a folder" if path.exists() else "does not exist"
        raise UsageError(f"{root} {problem}; give the folder that the data set was unpacked into")
    return path


def _numbers(images: Iterable[str]) -> tuple[int, ...]:
    """The last number in each name, in order; 1, 2, ... if a name has none."""
    found = [re.findall(r"\d+", os.path.splitext(name)[0]) for name in images]  # noqa: PTH122
    if not all(found):
        return tuple(range(1, len(found) + 1))
    return tuple(sorted(int(digits[-1]) for digits in found))


def places(
    media: Iterable[Media],
    key: KeyOf,
    *,
    prefer: Sequence[str] = (),
) -> tuple[Mapping[Key, Media], list[Fault]]:
    """The path of each video, and a fault for each video with several indistinguishable ones.

    Of these the one with the fewest parent folders is used, since copies lie deeper.

    Args:
        key: subject and video of a path below the root; `None` for other paths.
        prefer: parts of paths of versions of a video (raw, cropped), the preferred one first.
    """
    found: dict[Key, list[Media]] = {}
    for one in media:
        if (name := key(one.parts)) is not None:
            found.setdefault(name, []).append(one)

    def rank(one: Media) -> int:
        path = "/".join(one.parts).casefold()
        return next((k for k, text in enumerate(prefer) if text.casefold() in path), len(prefer))

    chosen, faults = {}, []
    for name, several in found.items():
        best = min(map(rank, several))
        equal = [one for one in several if rank(one) == best]
        first, *others = sorted(equal, key=lambda one: (len(one.parts), one.parts))
        chosen[name] = first
        if others:
            also = ", ".join(str(one.path) for one in others)
            faults.append(Fault("several-videos", f"{first.path} is used, not {also}", *name))
    return chosen, faults
