"""Images as a source of frames: an array, or a folder of image files."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError, VideoError
from aumer.types import ImageArray, VideoInfo
from aumer.video.capture import printable, rgb

logger = logging.getLogger("aumer")

_NUMBER = re.compile(r"\d+")
#: About how many images of more than 8 bits are sampled to find their bit depth.
_SAMPLE = 48
#: Steps of numbers up to which frames may have been left out; larger ones are a way of counting.
_SKIPPED = 5

#: File names that count as frames of a folder.
# fmt: off
IMAGE_SUFFIXES = frozenset((
    ".bmp", ".dib", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".tif", ".tiff", ".webp",
))
# fmt: on

#: File names taken for videos when a folder is searched; other files can be given by name.
# fmt: off
VIDEO_SUFFIXES = frozenset((
    ".264", ".265", ".3gp", ".asf", ".avi", ".flv", ".h264", ".h265", ".hevc", ".m2ts", ".m4v",
    ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
))
# fmt: on


class ArraySource:
    """An array (T, H, W, 3) uint8 RGB. Its frames are copies, which the caller may change."""

    def __init__(self, array: npt.NDArray[Any], fps: float) -> None:
        self._array, self._fps = checked_array(array), fps
        frames, height, width = self._array.shape[:3]
        self.info = VideoInfo("array", "array", width, height, fps, frames)

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        for index in range(len(self._array)):
            yield index / self._fps, self._array[index].copy

    def close(self) -> None:
        """Nothing is held."""


class FolderSource:
    """Images of one size in a folder, in natural order.

    Times come from the numbers in their names, if these count frames (`Numbered`): a missing number
    leaves a gap in time. The frame index is the image's position among those present.
    """

    def __init__(self, folder: Path, fps: float) -> None:
        found = Numbered(image_files(folder))
        self._paths, self._fps = found.paths, fps
        self._at = found.at
        name = printable(folder.resolve().name or str(folder))
        for text in found.notes(fps):
            logger.warning("%s: %s", name, printable(text))
        self._bits = _significant_bits(self._paths)
        if 8 < self._bits < 16:
            logger.warning(
                "%s: its images of 16 bits hold values of %d bits; %d is read as white in all",
                name,
                self._bits,
                (1 << self._bits) - 1,
            )
        self._clipped = False
        height, width = self._read(self._paths[0]).shape[:2]
        self.info = VideoInfo(name, "folder", width, height, fps, len(self._paths))

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        for at, path in zip(self._at, self._paths, strict=True):
            yield at / self._fps, partial(self._image, path)

    def _image(self, path: Path) -> ImageArray:
        image = self._read(path)
        height, width = image.shape[:2]
        if (width, height) != (self.info.width, self.info.height):
            raise VideoError(
                f"{path} is {width}x{height} pixels, but {self._paths[0].name}, the first image of "
                f"the folder, is {self.info.width}x{self.info.height}; all must have one size"
            )
        return image

    def _read(self, path: Path) -> ImageArray:
        image = read_image(path)
        if image.dtype == np.uint8:
            return rgb(image)
        most = (1 << self._bits) - 1
        if not self._clipped and int(image.max()) > most:
            self._clipped = True
            logger.warning(
                "%s holds values above %d, the most of the images that were looked at first: they "
                "are cut off there, in this image and others. Write the folder as 8-bit images to "
                "choose another scale",
                printable(str(path)),
                most,
            )
        return rgb(np.right_shift(np.minimum(image, most), self._bits - 8).astype(np.uint8))

    def close(self) -> None:
        """Nothing is held."""


class Numbered:
    """The images of a folder that are frames of one video, and their times.

    Most names of frames differ in one number. An image with another name pattern (``cover.jpg``,
    ``img40 (1).jpg`` among ``img40.jpg``) is not a frame, nor a second one of a number. If no
    pattern has the majority, or the numbers do not rise in equal steps, all images are used in
    order.

    Attributes:
        paths: the frames, in order.
        at: time of each, in frames after the first.
        strays: images left out.

    Raises:
        VideoError: the images are of several videos, named alike but for a word.
    """

    def __init__(self, paths: list[Path]) -> None:
        self.paths, self.strays = paths, list[Path]()
        makes = [_NUMBER.sub("#", p.name.casefold()) for p in paths]
        (make, count), *others = Counter(makes).most_common()
        if 2 * count <= len(paths) and others and 4 * others[0][1] >= len(paths) >= 8:
            series = [
                next(p for p, m in zip(paths, makes, strict=True) if m == one)
                for one in (make, others[0][0])
            ]
            raise VideoError(
                f"{paths[0].parent} holds images of several videos, {series[0].name}, ... "
                f"({count}) and {series[1].name}, ... ({others[0][1]}): put each into a folder of "
                "its own"
            )
        if 2 * count > len(paths) and "#" in make:
            self.paths = [p for p, m in zip(paths, makes, strict=True) if m == make]
            self.strays = [p for p, m in zip(paths, makes, strict=True) if m != make]
        self.at = list(range(len(self.paths)))
        self._uncounted, self._step = "", 1
        if 2 * count > len(paths) and "#" in make and len(self.paths) > 1:
            self._count()

    def _count(self) -> None:
        columns = list(
            zip(*([int(n) for n in _NUMBER.findall(p.name)] for p in self.paths), strict=True)
        )
        moving = [c for c in columns if len(set(c)) > 1]
        if not moving:
            return
        if len(moving) > 1:
            self._uncounted = f"their names hold {len(moving)} numbers that change"
            return
        numbers = self._once(moving[0])
        steps = [b - a for a, b in pairwise(numbers)]
        step = Counter(steps).most_common(1)[0][0]
        if step <= 0 or 2 * steps.count(step) < len(steps) or any(s % step for s in steps):
            self._uncounted = "the numbers in their names do not go up by one step"
            return
        self._step = step
        self.at = [(n - numbers[0]) // step for n in numbers]

    def _once(self, numbers: Sequence[int]) -> list[int]:
        """The numbers without those that an earlier image has; these images become strays."""
        first = {number: k for k, number in reversed([*enumerate(numbers)])}
        kept = sorted(first.values())
        self.strays += [p for k, p in enumerate(self.paths) if first[numbers[k]] != k]
        self.paths = [self.paths[k] for k in kept]
        self.at = list(range(len(kept)))
        return [numbers[k] for k in kept]

    def notes(self, fps: float) -> list[str]:
        """Notes for the user; usually none."""
        notes = []
        if self.strays:
            names = ", ".join(p.name for p in self.strays[:3])
            more = ", ..." if len(self.strays) > 3 else ""
            notes.append(
                f"{len(self.strays)} of its images are not named like the others "
                f"({self.paths[0].name}), or have the number of one of them, and are no frames of "
                f"it: {names}{more}"
            )
        if 1 < self._step <= _SKIPPED:
            notes.append(
                f"the numbers of its images go up by {self._step}: they are taken for all of its "
                f"frames, {fps:g} a second. If others were left out, give {fps / self._step:g}"
            )
        gaps = [(k, b - a - 1) for k, (a, b) in enumerate(pairwise(self.at)) if b - a > 1]
        if gaps:
            first = self.paths[gaps[0][0]].name
            missing = sum(n for _, n in gaps)
            notes.append(
                f"{missing} numbers are missing between its images, the first after {first}: "
                f"{missing / fps:.3g} s without a picture"
            )
        if self._uncounted:
            notes.append(
                f"{self._uncounted}: its images are taken to follow one another at {fps:g} a second"
            )
        return notes


def checked_array(array: npt.NDArray[Any]) -> ImageArray:
    found = f"found shape {array.shape}, {array.dtype}"
    allowed = "a video array is (T, H, W, 3) uint8 RGB"
    if array.ndim == 4 and array.shape[3] == 3 and 0 not in array.shape[1:]:
        if array.dtype != np.uint8:
            fix = "if its values reach from 0 to 1, give (255 * a).round().astype(np.uint8)"
            if np.issubdtype(array.dtype, np.integer):
                fix = "if it has, say, 12 bits, give (a >> 4).astype(np.uint8)"
            raise UsageError(f"{allowed}, {found}; {fix}")
        if not len(array):
            raise VideoError(f"the array holds no frame: {found}")
        return array
    fix = "reorder or convert its axes"
    if array.ndim == 4 and array.shape[3] == 1:
        fix = "it is gray: give np.repeat(a, 3, axis=3)"
    elif array.ndim == 4 and array.shape[3] == 4:
        fix = "drop the alpha channel: give a[..., :3]"
    elif array.ndim == 4 and array.shape[1] == 3:
        fix = "its channels come first: give a.transpose(0, 2, 3, 1)"
    elif array.ndim == 3 and array.shape[2] == 3:
        fix = "it is one image: give a[None]"
    elif array.ndim == 3:
        fix = "it is gray: give np.repeat(a[..., None], 3, axis=3)"
    raise UsageError(f"{allowed}, {found}; {fix}")


def image_files(folder: Path) -> list[Path]:
    names = [p for p in folder.iterdir() if not p.name.startswith(".")]
    images = [p for p in names if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    if not images:
        found = ", ".join(sorted(p.name for p in names)[:3]) or "nothing"
        raise VideoError(
            f"{folder}: no images ({' '.join(sorted(IMAGE_SUFFIXES))}) in this folder; found "
            f"{found}{', ...' if len(names) > 3 else ''}. Sub-folders are not searched"
        )
    return sorted(images, key=_natural)


def _natural(path: Path) -> tuple[list[str | int], str]:
    # Splitting at a group puts text at even and digits at odd positions, so that equal types
    # compare.
    parts = re.split(r"(\d+)", path.name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name


def read_image(path: Path) -> npt.NDArray[Any]:
    """(H, W, 3) blue-green-red or (H, W) gray, uint8 or uint16 as stored."""
    try:
        # cv2.imread cannot open every path that Python can (Windows, non-ASCII).
        data = np.fromfile(path, np.uint8)
        flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR
        image = cv2.imdecode(data, flags) if len(data) else None
    except (OSError, cv2.error) as error:
        raise VideoError(f"{path} cannot be read: {error}") from error
    if image is None:
        raise VideoError(
            f"{path} is not an image that OpenCV reads ({len(data)} bytes); repair or remove it"
        )
    if image.dtype not in (np.uint8, np.uint16):
        raise VideoError(
            f"{path} holds {image.dtype} values, whose black and white are unknown; save it "
            "with 8 or 16 bits"
        )
    return image


def _significant_bits(paths: list[Path]) -> int:
    """Bits of the largest value in a sample of the images; at least 8.

    Cameras write 10 to 14 bits into 16-bit images, which would look almost black. All images have
    one scale, since a scale for each would look like a change of light.
    """
    if read_image(paths[0]).dtype == np.uint8:
        return 16  # a 16-bit image among 8-bit ones uses all bits
    sample = paths[:: max(1, len(paths) // _SAMPLE)]
    most = max(int(read_image(p).max()) for p in (*sample, paths[-1]))
    return max(8, most.bit_length())
