"""A digest that identifies the content of a source."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from aumer.video.capture import readable
from aumer.video.file import check_file
from aumer.video.images import Numbered, checked_array, image_files
from aumer.video.reader import positive
from aumer.video.sources import Source, existing_path, is_camera, required_fps


def content_digest(source: Source, *, fps: float | None = None) -> str | None:
    """SHA-256 (hex) of what `open_video` would read; `None` for a camera.

    Covers a file's bytes; or the names, in natural order, and bytes of a folder's frames; or an
    array's shape, type and bytes; and `fps`, on which the times depend. Constant memory.

    Raises:
        UsageError, VideoError: as `open_video`; for a folder only errors that are found without
            decoding.
    """
    fps = positive("fps", fps)
    sha = hashlib.sha256()
    if isinstance(source, np.ndarray):
        array = checked_array(source)
        sha.update(f"array {array.shape} {array.dtype} {required_fps(fps, 'an array')!r}".encode())
        for image in array:
            sha.update(np.ascontiguousarray(image).data)
        return sha.hexdigest()
    if is_camera(source):
        return None
    path = existing_path(source)
    if path.is_dir():
        sha.update(f"folder {required_fps(fps, 'a folder of images')!r}".encode())
        for image_path in Numbered(image_files(path)).paths:
            name = os.fsencode(image_path.name)
            sha.update(b"\0%b\0%d\0" % (name, image_path.stat().st_size))
            _hash_file(sha.update, image_path)
        return sha.hexdigest()
    check_file(path)  # fails within a second; hashing a file that is not a video may take minutes
    _hash_file(sha.update, path)
    if fps is not None:
        sha.update(f"\0fps {fps!r}".encode())
    return sha.hexdigest()


def _hash_file(update: Callable[[bytes], object], path: Path) -> None:
    with readable(str(path)), path.open("rb") as file:
        while block := file.read(1 << 20):
            update(block)
