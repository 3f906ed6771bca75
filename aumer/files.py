"""Writing of files: complete or not at all, and never overwritten by accident.

Temporary files are recognized by their names and locked while in use. So what a killed process has
left differs from what a running one needs, and the next process that works in the folder removes
it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import secrets
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import IO

from aumer.arguments import as_path
from aumer.errors import UsageError

StrPath = str | os.PathLike[str]
Content = bytes | str | Callable[[IO[bytes]], object]

#: Prefix of temporary files, and after how many seconds without a change one may be abandoned.
_TEMPORARY = re.compile(r"\.aumer-[0-9a-f]{16}\.tmp|\.?aumer-tmp-[0-9a-f]{16}")
_OLD_S = 3600.0


_homes: ContextVar[Mapping[Path, Path | None]] = ContextVar("homes")


@contextlib.contextmanager
def bound_for(homes: Mapping[Path, Path | None]) -> Iterator[None]:
    """Within this block, files written in some folders are later moved to others: see `home_of`.

    Args:
        homes: by folder the other one, on the machine that gets the files, or None: an address.
    """
    token = _homes.set({**_homes.get({}), **homes})
    try:
        yield
    finally:
        _homes.reset(token)


def home_of(path: Path) -> Path | None:
    """The path that a file written at `path` has in the end, to which links must lead; None: it has
    an address and no path.
    """
    for folder, home in _homes.get({}).items():
        if path.is_relative_to(folder):
            return None if home is None else home / path.relative_to(folder)
    return path


def exists(path: Path) -> bool:
    """Whether `path` leads to something.

    From Python 3.14 on `Path.exists` returns False also if the system refuses access.

    Raises:
        OSError: the system refuses access: the name is too long, or the folder may not be entered.
    """
    try:
        path.stat()
    except ValueError:  # a null byte
        return False
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP):
            return False
        raise
    return True


def check_target(path: StrPath, *, overwrite: bool = False) -> Path:
    """The path where `atomic_write` would write. Call it before long work that ends in a file.

    A symbolic link is followed, so that overwriting changes the file it points to.

    Raises:
        UsageError: the folder is missing, is not a folder or is not writable; the path is a folder,
            a device or a pipe; or the file exists and `overwrite` is False.
    """
    path = as_path("path", path)
    with _explained(path):
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        folder = target.parent
        if not folder.is_dir():
            found = "is not a folder" if folder.exists() else "does not exist; create it first"
            raise UsageError(f"cannot write {path}: the folder {folder} {found}")
        _check_rights(path, folder)
        there = exists(target)
        if target.is_dir():
            raise UsageError(f"cannot write {path}: it is a folder; give the name of a file in it")
        if there:
            if not target.is_file():  # replacing /dev/null by a file would break the machine
                raise UsageError(f"cannot write {path}: it exists and is not a regular file")
            if not overwrite:
                raise _taken(path)
    return target


def check_folder(path: StrPath) -> None:
    """Check that files can be written in a folder, which may have to be made. Call it before the
    work.

    Raises:
        UsageError: it is not a folder, or is not writable.
    """
    path = as_path("path", path, "the path of a folder")
    with _explained(path):
        folder = path
        while not exists(folder) and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise UsageError(f"cannot write in {path}: {folder} is not a folder")
        _check_rights(path, folder)


def _check_rights(path: Path, folder: Path) -> None:
    refused = not os.access(folder, os.W_OK | os.X_OK)
    if not refused:
        # Permissions are not sufficient: root has them in /proc, and a file server may refuse more.
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            refused = error.errno not in (errno.ENOSPC, errno.EDQUOT)  # may be free by then
    if refused:
        raise UsageError(
            f"cannot write {path}: you have no permission to write in the folder {folder}, "
            "or its disk is read-only; choose another folder"
        )


def atomic_write(path: StrPath, content: Content, *, overwrite: bool = False) -> None:
    """Write a file so that no reader ever sees a part of it.

    The bytes go to a temporary file in the same folder, are flushed to disk, and the file is
    renamed in one step. If anything fails, the path is unchanged and no temporary file is left.

    Args:
        path: the file to write. Its folder must exist.
        content: the bytes, a text (written as UTF-8), or a function that writes to the open binary
            file that it receives (readable and seekable, so that ``np.savez`` and ``zipfile``
            work).
        overwrite: replace an existing file. If False, a file that appears while this one is being
            written is not replaced either.

    Raises:
        UsageError: as for `check_target`, or the system refuses to write (permissions, disk full).
    """
    target = check_target(path, overwrite=overwrite)
    temporary = target.with_name(f".aumer-{secrets.token_hex(8)}.tmp")
    _sweep(target.parent)
    try:
        with _explained(path):
            # Not tempfile.mkstemp, whose files only the owner can read; mode "x" follows the umask.
            with temporary.open("x+b") as file:
                _lock(file.fileno())
                if callable(content):
                    content(file)
                else:
                    file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                temporary.replace(target)
            elif not _publish(temporary, target):
                raise _taken(path)
    finally:
        temporary.unlink(missing_ok=True)


class TemporaryFolder:
    """A temporary folder that is removed by `close` or when the object is garbage-collected.

    Args:
        beside: make it in this folder, hidden, so that its content can be moved by renaming; by
            default it is made in the system's temporary folder.

    Attributes:
        path: path of the folder, which is empty at first; the value of a ``with`` block.
    """

    def __init__(self, beside: StrPath | None = None) -> None:
        folder = Path(tempfile.gettempdir() if beside is None else beside)
        _sweep(folder)
        hidden = "" if beside is None else "."
        self.path = folder / f"{hidden}aumer-tmp-{secrets.token_hex(8)}"
        with _explained(self.path):
            self.path.mkdir(mode=0o700)
        held = None
        if sys.platform != "win32":
            held = os.open(self.path, os.O_RDONLY)
            _lock(held)
        self._end = weakref.finalize(self, _remove, self.path, held)

    def close(self) -> None:
        """Remove the folder and its content; may be called more than once."""
        self._end()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()


def _remove(path: Path, held: int | None) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if held is not None:
        os.close(held)


def _lock(descriptor: int) -> bool:
    """Lock the file until it is closed; False if another process holds the lock."""
    if sys.platform == "win32":  # abandoned files are not removed there
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked elsewhere, or the file system has no locks
        return False
    return True


@functools.lru_cache(maxsize=256)
def _sweep(folder: Path) -> None:
    """Remove what killed processes have left in a folder; each folder is searched once, as it may
    be large.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _TEMPORARY.fullmatch(entry.name) or entry.is_symlink():
                continue
            with contextlib.suppress(OSError):
                if time.time() - entry.stat().st_mtime < _OLD_S:
                    continue
                descriptor = os.open(entry.path, os.O_RDONLY)
                try:
                    if not _lock(descriptor):
                        continue
                    if entry.is_dir():
                        shutil.rmtree(entry.path, ignore_errors=True)
                    else:
                        Path(entry.path).unlink()
                finally:
                    os.close(descriptor)


def _publish(temporary: Path, target: Path) -> bool:
    """Rename the temporary file to its final name; False, without any change, if the name is
    taken.
    """
    try:
        os.link(temporary, target)  # fails if the target exists; a rename would replace it
        return True
    except FileExistsError:
        return False
    except OSError:  # no hard links (FAT, some network shares): create, then fill
        try:
            target.open("xb").close()
        except FileExistsError:
            return False
        try:
            temporary.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                target.unlink()
            raise
        return True


@contextlib.contextmanager
def _explained(path: StrPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def _taken(path: StrPath) -> UsageError:
    return UsageError(
        f"{os.fspath(path)} exists already",
        fixes=("use `overwrite=True` to replace it", "choose another name"),
    )
