"""Images as a source of frames: an array, or a folder of image files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError, VideoError
from aumer.types import ImageArray, VideoInfo
from aumer.video.capture import rgb

#: File names that count as frames of a folder.
# fmt: off
IMAGE_SUFFIXES = frozenset((
    ".bmp", ".dib", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".tif", ".tiff", ".webp",
))
# fmt: on


class ArraySource:
    """An array (T, H, W, 3) uint8 RGB. Its frames are copies: they are the consumer's to change."""

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
    """Images of one size in a folder, in natural order."""

    def __init__(self, folder: Path, fps: float) -> None:
        self._paths, self._fps = image_files(folder), fps
        height, width = read_image(self._paths[0]).shape[:2]
        name = folder.resolve().name or str(folder)
        self.info = VideoInfo(name, "folder", width, height, fps, len(self._paths))

    def frames(self) -> Iterator[tuple[float, Callable[[], ImageArray]]]:
        for index, path in enumerate(self._paths):
            yield index / self._fps, partial(self._image, path)

    def _image(self, path: Path) -> ImageArray:
        image = read_image(path)
        height, width = image.shape[:2]
        if (width, height) != (self.info.width, self.info.height):
            raise VideoError(
                f"{path} is {width}x{height} pixels, but {self._paths[0].name}, the first image of "
                f"the folder, is {self.info.width}x{self.info.height}; all must have one size"
            )
        return image

    def close(self) -> None:
        """Nothing is held."""


def checked_array(array: npt.NDArray[Any]) -> ImageArray:
    found = f"found shape {array.shape}, {array.dtype}"
    allowed = "a video array is (T, H, W, 3) uint8 RGB"
    if array.ndim == 4 and array.shape[3] == 3 and 0 not in array.shape[1:]:
        if array.dtype != np.uint8:
            raise UsageError(
                f"{allowed}, {found}; if its values reach from 0 to 1, give "
                "(255 * a).round().astype(np.uint8)"
            )
        if not len(array):
            raise VideoError(f"the array holds no frame: {found}")
        return array
    fix = "reorder or convert its axes"
    if array.ndim == 4 and array.shape[3] == 1:
        fix = "it is grey: give np.repeat(a, 3, axis=3)"
    elif array.ndim == 4 and array.shape[3] == 4:
        fix = "drop the alpha channel: give a[..., :3]"
    elif array.ndim == 4 and array.shape[1] == 3:
        fix = "its channels come first: give a.transpose(0, 2, 3, 1)"
    elif array.ndim == 3 and array.shape[2] == 3:
        fix = "it is one image: give a[None]"
    elif array.ndim == 3:
        fix = "it is grey: give np.repeat(a[..., None], 3, axis=3)"
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
    # Splitting at a group puts text at even places and digits at odd ones: like meets like.
    parts = re.split(r"(\d+)", path.name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name


def read_image(path: Path) -> ImageArray:
    try:
        # cv2.imread cannot open every path that Python can (Windows, non-ASCII).
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except (OSError, cv2.error) as error:
        raise VideoError(f"{path} cannot be read: {error}") from error
    if image is None:
        raise VideoError(
            f"{path} is no image that OpenCV reads ({len(data)} bytes); repair or remove it"
        )
    return rgb(image)
