"""Where features are kept between runs, so that a video is analysed once.

Chunks are written as they finish, so an interrupted run goes on where it stopped; a finished one
leaves one `.npz`. The key names content, settings and versions (`analysis.cache_key`): another
setting is another file, and nothing stale can be read.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.files import atomic_write
from aumer.foreign import read_arrays
from aumer.names import expanded

Arrays = dict[str, npt.NDArray[Any]]


def default_folder() -> Path:
    """``$AUMER_CACHE``, or the user's cache folder as the platform has it."""
    if os.environ.get("AUMER_CACHE"):
        return expanded(os.environ["AUMER_CACHE"])
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "aumer"


class FeatureCache:
    """The features of one key: chunks while they are being made, one whole file afterwards.

    Args:
        folder: created when the first chunk is written. `None` keeps the chunks in memory, for the
            length of a run.
        key: names what is kept.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, key: str) -> None:
        self._folder = None if folder is None else expanded(folder)
        self._key = key
        self._memory: dict[int, Arrays] = {}
        self._last: tuple[int, Arrays] = (-1, {})

    def whole(self) -> Arrays | None:
        """The finished features, or `None`."""
        return None if self._folder is None else _read(self._folder / f"{self._key}.npz")

    def finish(self, arrays: Arrays) -> None:
        """Keep the finished features and drop the chunks they were made of."""
        if self._folder is None:
            return
        _write(self._folder / f"{self._key}.npz", arrays)
        shutil.rmtree(self._chunks, ignore_errors=True)

    def chunks(self) -> int:
        """How many chunks, counted from the first, are whole."""
        count = 0
        if self._folder is not None:
            while _read(self._chunk(count)) is not None:
                count += 1
        return count

    def put(self, number: int, arrays: Arrays, state: Arrays | None = None) -> None:
        """Keep a finished chunk, and what it takes to go on from there.

        In memory the state of the last chunk alone is kept: no run goes on from an earlier one.
        """
        if self._folder is None:
            self._memory[number] = arrays
            self._last = number, state or {}
        else:
            _write(self._chunk(number), {**arrays, **(state or {})})

    def get(self, number: int) -> Arrays:
        """A chunk that was put, now or by an interrupted run.

        Raises:
            UsageError: its file has gone meanwhile.
        """
        if self._folder is None:
            last, state = self._last
            return {**self._memory[number], **(state if number == last else {})}
        arrays = _read(self._chunk(number))
        if arrays is None:
            raise UsageError(
                f"{self._chunk(number)} was removed while it was needed; run again, and give runs "
                "that clean the cache another folder"
            )
        return arrays

    @property
    def _chunks(self) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._key}.part"

    def _chunk(self, number: int) -> Path:
        return self._chunks / f"{number:06d}.npz"


def _write(path: Path, arrays: Arrays) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot keep features in {path.parent}: {error}") from error

    def save(file: IO[bytes]) -> None:
        # numpy 2 types every keyword as a possible `allow_pickle`; ours are all names of arrays.
        write: Callable[..., None] = np.savez_compressed
        write(file, **arrays)

    atomic_write(path, save, overwrite=True)


def _read(path: Path) -> Arrays | None:
    """The arrays of a file, or `None` where it is absent or damaged (then it is made anew)."""
    try:
        return read_arrays(path, "features")
    except UsageError:
        return None
