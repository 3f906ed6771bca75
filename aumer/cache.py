"""The feature cache: features are stored between runs, so that a video is analyzed once.

Chunks are written as they finish, so an interrupted run continues where it stopped; a finished run
leaves one `.npz`. The key covers content, settings and versions (`analysis.cache_key`): other
settings give another file, so stale features are never read. Each file names its key and its
arrays; one that was swapped or lacks an array is computed again. Beside it lies what the stages
after the features have given for a video of hours (`StageCache`).
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import mmap
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.files import atomic_write
from aumer.foreign import read_arrays, write_arrays
from aumer.names import expanded

Arrays = dict[str, npt.NDArray[Any]]

_log = logging.getLogger("aumer")


def default_folder() -> Path:
    """``$AUMER_CACHE``, or the platform's cache folder of the user."""
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
    """The features of one key: chunks while they are computed, one whole file afterward.

    The cache never makes a run fail: what cannot be written to the folder is not cached (one line
    of the log says so), and what another run deletes is also held by this one, in memory or, where
    that would be much, in a file of its own (`_Held`).

    Args:
        folder: created when the first chunk is written. `None` stores nothing beyond the run.
        key: names what is cached; `None` for what cannot be identified, which is held during this
            run only.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, key: str | None) -> None:
        self._folder = None if folder is None or key is None else expanded(folder)
        self._key = key
        self._held = _Held(self._folder)
        self._last: tuple[int, Arrays] = (-1, {})
        self._whole: Arrays | None = None

    def stages(self) -> StageCache | None:
        """The cache of what follows from these features; `None` if nothing is stored."""
        if self._folder is None or self._key is None:
            return None
        return StageCache(self._folder, self._key)

    def whole(self) -> Arrays | None:
        """The finished features, or `None`. Once read, this object holds them."""
        if self._folder is not None and self._whole is None:
            self._whole = _read(self._folder / f"{self._key}.npz", self._label("whole"))
            if self._whole is not None:
                self._drop_chunks()  # left by a slower run, or by one killed as it finished
        return self._whole

    def finish(self, arrays: Arrays) -> None:
        """Store the finished features and delete the chunks that they were made of."""
        if self._folder is None:
            return
        self._whole = None
        # Written among the chunks first, where what a killed run leaves is removed later.
        made, target = self._chunks / "whole.npz", self._folder / f"{self._key}.npz"
        if self._write(made, arrays, "whole"):
            try:
                made.replace(target)
            except FileNotFoundError:  # another run finished the same features
                pass
            except OSError as error:
                self._not_kept(error)
                return
            self._drop_chunks()

    def chunks(self) -> int:
        """How many chunks, counted from the first, are complete; `get` returns them from now on."""
        count = 0
        while self._folder is not None:
            found = _read(self._chunk(count), self._label(count))
            if found is None:
                break
            self._held.put(count, found)
            count += 1
        return count

    def put(self, number: int, arrays: Arrays, state: Arrays | None = None) -> None:
        """Store a finished chunk, and the state needed to continue after it.

        `get` returns the state of the last chunk only: no run continues from an earlier one.
        """
        self._held.put(number, arrays)
        self._last = number, state or {}
        if self._folder is not None:
            self._write(self._chunk(number), {**arrays, **(state or {})}, number)

    def get(self, number: int, names: Sequence[str] | None = None) -> Arrays:
        """A chunk that was stored by `put` or counted by `chunks`.

        Args:
            names: only these arrays, of those that it has.
        """
        last, state = self._last
        held = self._held.get(number, names)
        if number == last:
            held |= {k: v for k, v in state.items() if names is None or k in names}
        return held

    def end(self, arrays: Arrays) -> None:
        """Store, beside the chunks, that all are there, and what else the whole is made of."""
        if self._folder is not None:
            self._write(self._chunks / "end.npz", arrays, "end")

    def ended(self) -> Arrays | None:
        """What was stored by `end`; `None` if nothing was."""
        if self._folder is None:
            return None
        return _read(self._chunks / "end.npz", self._label("end"))

    @property
    def _chunks(self) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._key}.part"

    def _chunk(self, number: int) -> Path:
        return self._chunks / f"{number:06d}.npz"

    def _drop_chunks(self) -> None:
        shutil.rmtree(self._chunks, ignore_errors=True)

    def _label(self, part: int | str) -> str:
        """The label inside a file: what it holds."""
        return f"{self._key}/{part}"

    def _write(self, path: Path, arrays: Arrays, part: int | str) -> bool:
        """Write the file; returns whether that succeeded."""
        error = _write(path, arrays, self._label(part))
        # Another run may have finished the same features and removed the folder: then nothing is
        # left to write.
        if error is not None and self.whole() is None:
            self._not_kept(error)
        return error is None

    def _not_kept(self, error: Exception) -> None:
        if _first_time(self._folder):
            _log.warning(
                "the features cannot be kept in the cache %s, so the next run measures them again: "
                "%s",
                self._folder,
                error,
            )


class StageCache:
    """What the stages after the features gave: one file for each, in a folder beside the features.

    It never makes a run fail, as `FeatureCache` does not. At its end a run deletes what it neither
    read nor wrote, so a folder never holds more than one run has made; a run with other settings
    that works at the same time then loses no result, only its protection.

    Args:
        folder, key: those of the features.
    """

    def __init__(self, folder: str | os.PathLike[str], key: str) -> None:
        self._folder, self._key = expanded(folder), key
        self._used: set[str] = set()

    def get(self, name: str) -> Arrays | None:
        """What was stored by that name, in this run or another one; `None` if nothing was."""
        found = _read(self._path(name), self._label(name))
        if found is not None:
            self._used.add(self._path(name).name)
        return found

    def put(self, name: str, arrays: Arrays) -> None:
        """Store it; a name must stand for everything that the arrays depend on."""
        self._used.add(self._path(name).name)
        error = _write(self._path(name), arrays, self._label(name))
        if error is not None and _first_time(self._folder):
            _log.warning(
                "what was decided cannot be kept in the cache %s, so a run after a kill decides "
                "again: %s",
                self._folder,
                error,
            )

    def drop_others(self) -> None:
        """Delete what this object neither read nor wrote."""
        with contextlib.suppress(OSError):
            for path in list(self._path("").parent.iterdir()):
                if path.suffix == ".npz" and path.name not in self._used:
                    path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._key}.stages" / f"{name}.npz"

    def _label(self, name: str) -> str:
        return f"{self._key}/stages/{name}"


#: Bytes of chunks that a run holds in memory; a quarter of an hour at 30 frames/s has 23 MB.
_IN_MEMORY = 32_000_000


class _Held:
    """The chunks of a run: in memory, and from `_IN_MEMORY` on in a file without a name.

    So a film of ten hours needs no more memory during analysis than one of an hour. Nothing is left
    of such a file, however the run ends. If none can be made, memory holds the rest, too.

    Args:
        folder: where the file is made; by default, and if that fails, the system's temporary
            folder.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._memory: dict[int, Arrays] = {}
        self._bytes = 0
        self._places: dict[int, tuple[int, int]] = {}
        self._file: IO[bytes] | None = None
        self._end = 0

    def put(self, number: int, arrays: Arrays) -> None:
        size = sum(array.nbytes for array in arrays.values())
        if self._bytes + size > _IN_MEMORY and self._spilled(number, arrays):
            return
        self._memory[number] = arrays
        self._bytes += size

    def get(self, number: int, names: Sequence[str] | None = None) -> Arrays:
        if number not in self._places:
            held = self._memory[number]
            return {k: v for k, v in held.items() if names is None or k in names}
        at, length = self._places[number]
        assert self._file is not None
        self._file.seek(at)
        with np.load(io.BytesIO(self._file.read(length)), allow_pickle=False) as found:
            return {k: found[k] for k in found if names is None or k in names}

    def _spilled(self, number: int, arrays: Arrays) -> bool:
        """Move a chunk to the file; returns whether that succeeded."""
        made = io.BytesIO()
        write: Callable[..., None] = np.savez
        write(made, **arrays)
        try:
            if self._file is None:
                self._file = _nameless(self._folder)
            self._file.seek(self._end)
            self._file.write(made.getbuffer())
            self._file.flush()
        except OSError as error:  # no room, for instance
            _log.debug("chunks stay in memory: %s", error)
            return False
        self._memory.pop(number, None)
        self._places[number] = self._end, made.tell()
        self._end += made.tell()
        return True


#: From this many bytes on `parked` moves an array out of memory.
_WORTH_PARKING = 64_000_000


def parked(array: npt.NDArray[Any], folder: str | os.PathLike[str] | None = None) -> Any:
    """The same array, read-only; a large one is moved to a memory-mapped file without a name.

    It occupies memory only where it is read; `rested` frees that again. If no such file can be
    made, the array is returned as it is.

    Args:
        folder: as for chunks.
    """
    if _map_of(array) is not None:
        array = array.view()
        array.flags.writeable = False
        return array
    if array.nbytes < _WORTH_PARKING:
        return array
    try:
        with _nameless(None if folder is None else Path(folder)) as file:
            array.tofile(file)
            file.flush()
            held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:  # no room, for instance
        _log.debug("an array stays in memory: %s", error)
        return array
    return np.frombuffer(held, array.dtype).reshape(array.shape)


def roomy(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array to be filled; a large one lies in such a file from the beginning, where that can be
    made. What is filled is moved out of memory by `rested`.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size >= _WORTH_PARKING and sys.platform == "linux":
        try:
            with _nameless(None) as file:
                os.posix_fallocate(file.fileno(), 0, size)  # fails now if there is no room
                held = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_WRITE)
            return np.frombuffer(held, dtype).reshape(shape)
        except OSError as error:
            _log.debug("an array stays in memory: %s", error)
    return np.empty(shape, dtype)


def rested(array: npt.NDArray[Any]) -> None:
    """Free the memory that reading a `parked` array, or filling a `roomy` one, has taken; does
    nothing for other arrays.
    """
    base = _map_of(array)
    if base is not None and sys.platform != "win32":
        base.madvise(mmap.MADV_DONTNEED)


def _map_of(array: npt.NDArray[Any]) -> mmap.mmap | None:
    """The mapped file in which an array lies, if it does."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return base if isinstance(base, mmap.mmap) else None


def _nameless(folder: Path | None) -> IO[bytes]:
    """A temporary file of which nothing is left, however the run ends: in the folder, or in the
    system's temporary folder.
    """
    with contextlib.suppress(OSError):
        return tempfile.TemporaryFile(dir=folder)
    return tempfile.TemporaryFile()


#: The entry of a file that describes it: its label and the names of its arrays.
_HOLDS = "__holds__"
#: Folders for which the log already says that nothing can be cached there.
_warned: set[str] = set()


def _read(path: Path, label: str) -> Arrays | None:
    """The arrays of a file, or `None` if it is absent, damaged or has another label; then they are
    computed again.
    """
    try:
        found = read_arrays(path, "features", room=roomy, read=rested)
        holds = json.loads(str(found.pop(_HOLDS)))
    except (UsageError, KeyError, ValueError) as error:
        if not isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError)):
            _log.info("%s is made anew: %s", path, error)
        return None
    if holds != [label, sorted(found)]:
        _log.info("%s is made anew: it holds something else", path)
        return None
    return found


def _write(path: Path, arrays: Arrays, label: str) -> Exception | None:
    """Write the file; returns the error if that failed."""
    names = json.dumps([label, sorted(arrays)])

    def save(file: IO[bytes]) -> None:
        write_arrays(file, [*arrays.items(), (_HOLDS, np.array(names))], written=rested)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, save, overwrite=True)
    except (OSError, UsageError, ValueError) as error:  # the last is zipfile's, of a full disk
        with contextlib.suppress(OSError):
            path.parent.rmdir()  # only if it is empty
        return error
    return None


def _first_time(folder: Path | None) -> bool:
    """Whether the log does not say yet that nothing can be kept in a folder."""
    told = str(folder) in _warned
    _warned.add(str(folder))
    return not told
