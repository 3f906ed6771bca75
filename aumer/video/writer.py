"""Writes videos picture by picture; a file is complete or absent."""

from __future__ import annotations

import os
import shutil
from array import array
from pathlib import Path
from types import TracebackType
from typing import IO

import cv2
import numpy as np

from aumer.arguments import as_path
from aumer.errors import UsageError
from aumer.files import StrPath, TemporaryFolder, atomic_write, check_target
from aumer.types import ImageArray
from aumer.video.container import set_times

#: Codecs that every build of OpenCV writes, and their containers: MPEG-4 part 2 at OpenCV's bit
#: rate (about 36 dB on a face with noise), Motion JPEG, and lossless FFV1.
CODECS = {
    "mp4v": (".mp4", ".mov", ".mkv"),
    "MJPG": (".avi", ".mkv", ".mov"),
    "FFV1": (".avi", ".mkv"),
}
SUFFIXES = (".mp4", ".mov", ".mkv", ".avi")
#: Bytes left free on the disk, and pictures between two checks.
_LEFT_FREE, _LOOK = 50_000_000, 30
#: Containers with a time for each picture.
TIMED = (".mp4", ".mov")


def codec_for(path: StrPath, codec: str | None = None) -> str:
    """The codec for a video of this name: `codec`, or the first that its container supports.

    Raises:
        UsageError: the suffix is unknown, or the container does not support `codec`.
    """
    suffix = as_path("path", path).suffix.lower()
    fitting = [name for name, suffixes in CODECS.items() if suffix in suffixes]
    if not fitting:
        raise UsageError(
            f"cannot write {path}: a video is written as .mp4, .mov, .mkv or .avi; found "
            f"{suffix or 'no suffix'!r}"
        )
    if codec is not None and codec not in fitting:
        raise UsageError(f"codec {codec!r} does not fit {suffix}: choose {' or '.join(fitting)}")
    return codec or fitting[0]


class VideoFile:
    """A video being written. The file appears when its ``with`` block ends without an error.

    Args:
        path: .mp4, .mov, .mkv or .avi. Its folder must exist.
        fps: pictures per second.
        size: (width, height) px of every picture. The codecs need even sizes: an odd side is padded
            by one px, which repeats the edge.
        codec: one of `CODECS`; by default the first that the container supports.
        overwrite: replace an existing file.

    Raises:
        UsageError: the suffix or the codec cannot be used, the file exists and `overwrite` is
            False, or it cannot be written (as `aumer.files.atomic_write`).
    """

    def __init__(
        self,
        path: StrPath,
        *,
        fps: float,
        size: tuple[int, int],
        codec: str | None = None,
        overwrite: bool = False,
    ) -> None:
        chosen = codec_for(path, codec)
        check_target(path, overwrite=overwrite)
        self._path, self._overwrite, self._size = Path(path), overwrite, size
        self._count = 0
        self._times: array[float] | None = None
        self._more = (size[0] % 2, size[1] % 2)
        even = (size[0] + self._more[0], size[1] + self._more[1])
        self._folder = TemporaryFolder()
        self._made = self._folder.path / f"film{self._path.suffix.lower()}"
        self._writer = cv2.VideoWriter(str(self._made), cv2.VideoWriter.fourcc(*chosen), fps, even)
        if not self._writer.isOpened():
            self._folder.close()
            raise UsageError(
                f"this OpenCV ({cv2.__version__}) cannot write {chosen} into "
                f"{self._path.suffix.lower()} at {fps:g} frames per second; try another suffix or "
                f"codec ({', '.join(CODECS)})"
            )

    def write(self, image: ImageArray, time_s: float | None = None) -> None:
        """Add a picture: (height, width, 3) uint8 RGB.

        Args:
            time_s: its time in seconds, increasing; for every picture or for none. The first is
                shown at 0, whatever its time. Without times, pictures follow at `fps`.

        Raises:
            UsageError: a time is given and the container is not in `TIMED`; or the disk is nearly
                full. The pictures written until then are a valid video.
        """
        if self._count % _LOOK == 0:
            self._check_room()
        if time_s is not None and self._path.suffix.lower() not in TIMED:
            raise UsageError(
                f"cannot write {self._path}: pictures with times of their own are written as "
                f"{' or '.join(TIMED)}"
            )
        width, height = self._size
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            # OpenCV would drop it silently.
            raise ValueError(
                f"a picture of this video is ({height}, {width}, 3) uint8; found {image.shape} "
                f"{image.dtype}"
            )
        right, below = self._more
        if right or below:  # OpenCV would cut a px off
            image = np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self._count += 1
        if time_s is not None:
            self._times = array("d") if self._times is None else self._times
            self._times.append(time_s)

    def _check_room(self) -> None:
        """Raise if the disk is nearly full: OpenCV does not report it, and its file would be
        invalid.
        """
        here, there = self._folder.path, Path(os.path.realpath(self._path)).parent
        made = self._made.stat().st_size if self._made.exists() else 0
        one_disk = here.stat().st_dev == there.stat().st_dev
        for folder, needed in ((here, made if one_disk else 0), (there, made)):
            if shutil.disk_usage(folder).free < needed + _LEFT_FREE:
                raise UsageError(
                    f"cannot write {self._path}: the disk of {folder} is nearly full; free some "
                    f"{(needed + _LEFT_FREE) / 1e6:.0f} MB there, or choose another folder (TMPDIR "
                    "is where a video lies until it is whole)"
                )

    def discard(self) -> None:
        """Delete the unfinished video."""
        self._writer.release()
        self._folder.close()

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.release()
        try:
            if error is None:
                self._publish()
        finally:
            self._folder.close()

    def _publish(self) -> None:
        if not self._count:
            raise UsageError(f"cannot write {self._path}: a video needs one picture at least")
        if self._times is not None:
            try:
                set_times(self._made, self._times)
            except ValueError as error:  # part of it was not written, which OpenCV does not report
                raise UsageError(
                    f"cannot write {self._path}: the video came out damaged ({error}), as where a "
                    f"disk is full or a quota used up; see {self._folder.path.parent}"
                ) from error

        def copy(target: IO[bytes]) -> None:
            with self._made.open("rb") as source:
                shutil.copyfileobj(source, target)

        atomic_write(self._path, copy, overwrite=self._overwrite)
