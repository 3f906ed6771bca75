"""File names for arbitrary names, and checks of paths in tables.

Both are for names that others chose: subjects, videos, folds.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote_to_bytes

from aumer.arguments import require_path
from aumer.errors import UsageError

#: Characters that stay unchanged; all others become ``%XX``, byte by byte in UTF-8.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+=,()@ ")
#: Names that Windows reserves for devices, whatever follows the first dot.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(?=$|[. ])", re.IGNORECASE)
#: Most characters of a file's name; leaves room for suffixes and fits encrypted file systems (143).
LONGEST = 100


def file_name(name: str) -> str:
    """A file's name (without ending) for any text: different texts, different names.

    They also differ on file systems that ignore case, and are valid on every system. Names of
    lower-case ASCII letters, digits and ``._-+=,()@`` stay unchanged. Capitals are encoded after a
    ``~`` (``Anna~1``: bit 0 is the first letter), other characters become ``%XX``, and names longer
    than `LONGEST` are cut and end in a digest. `FileNames` encodes capitals only where necessary.
    """
    marked = any(c.isascii() and c.isupper() for c in name)
    return _file(name, mark=marked)


class FileNames:
    """File names in one folder for names that others chose.

    The file name is that of `file_name` without the code for capitals (``Anna``). If the folder
    holds another name that differs only in case, the code is added (``anna~0`` for "anna"), since
    some file systems ignore case. Both forms are searched, and an existing file keeps its name. So
    a file is found again whatever was added later, as are older files, which always have the code.

    A name that was requested from this object counts as existing from then on.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._there = {path.name for path in Path(folder).iterdir()}
        except OSError:  # missing or unreadable; writing to it will raise the error
            self._there = set()
        self._lower = {file.lower() for file in self._there}

    def __call__(self, name: str, ending: str = "") -> str:
        """The file name for a name, with the suffix `ending`."""
        plain, marked = (f"{_file(name, mark=mark)}{ending}" for mark in (False, True))
        for file in (plain, marked):
            if file in self._there:
                return file
        chosen = marked if plain.lower() in self._lower else plain
        self._there.add(chosen)
        self._lower.add(chosen.lower())
        return chosen


def _file(name: str, *, mark: bool) -> str:
    last = len(name) - 1
    parts = [
        c
        if c in _PLAIN and not (c in ". " and k == last) and not (c in ".- " and k == 0)
        else "".join(f"%{byte:02X}" for byte in c.encode("utf-8", "surrogatepass"))
        for k, c in enumerate(name)
    ]
    if _DEVICE.match(name):
        parts[0] = f"%{ord(name[0]):02X}"
    letters = [c for c in name if c.isascii() and c.isalpha()]
    capitals = sum(1 << k for k, c in enumerate(letters) if c.isupper())
    found = "".join(parts) + (f"~{capitals:x}" if mark else "")
    if len(found) > LONGEST:
        known = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        found = f"{found[: LONGEST - 34]}~~{known}"
    return found or "%"  # no other name gives this


def name_of(file: str) -> str:
    """The inverse of `file_name` and `FileNames`; names that they did not make, or cut, stay
    unchanged.
    """
    plain, _, _ = file.partition("~")
    bare = "" if file == "%" else unquote_to_bytes(plain).decode("utf-8", "replace")
    return bare if file in (_file(bare, mark=False), _file(bare, mark=True)) else file


def inside(root: str | os.PathLike[str], name: str, *, links: bool = False) -> Path:
    """The path `name` below `root`, as a table or a data set gives it.

    Args:
        links: allow symbolic links out of `root`: its owner made them, not the author of the table.

    Raises:
        UsageError: the name is absolute, contains "..", a drive or a null byte, or, unless `links`,
            leads out of `root` by a symbolic link.
    """
    root = Path(root)
    windows = PureWindowsPath(name)
    out = (
        "\0" in name
        or PurePosixPath(name).is_absolute()
        or bool(windows.drive or windows.root)
        or ".." in windows.parts  # "/" separates folders on Windows, too
    )
    path = root if out else root / name
    if not out and not links:
        # If the path does not exist yet, its existing part.
        out = not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
    if out:
        raise UsageError(
            f"{name!r} must lie in {root}: give a path relative to that folder, without '..'"
        )
    return path


def without_folders(text: str) -> str:
    """The last component of an absolute path, for files that others will see; other text
    unchanged.
    """
    path = PureWindowsPath(text) if PureWindowsPath(text).drive else PurePosixPath(text)
    return (path.name or text) if path.is_absolute() or text.startswith("~") else text


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with ``~`` replaced by the user's folder; unchanged for unknown users.

    Raises:
        UsageError: it is not a path.
    """
    require_path("a path", path, "a text or a path")
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether it is an accessible file; False also for invalid names."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for names of 300 letters


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether it is an accessible folder; False also for invalid names."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises for names of 300 letters
