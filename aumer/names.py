"""Names as files: one rule from a name to a file's, and one for a path that a table gives.

Both are for names that somebody else chose: subjects, videos, folds.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote_to_bytes

from aumer.arguments import require_path
from aumer.errors import UsageError

#: Stay as they are; all else becomes ``%XX``, byte by byte in UTF-8.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+=,()@ ")
#: Names that Windows keeps for devices, whatever follows the first dot.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(?=$|[. ])", re.IGNORECASE)
#: Most letters of a file's name: room for endings, and for encrypted file systems (143).
LONGEST = 100


def file_name(name: str) -> str:
    """A file's name (without ending) for any text: different texts, different names.

    They stay different where case does not count, and are good on every system. Names of ASCII
    letters in lower case, digits and ``._-+=,()@`` stay as they are. Capitals are marked behind a
    ``~`` (``Anna~1``: bit 0 is the first letter), other signs become ``%XX``, and what is longer
    than `LONGEST` is cut and ends in a digest. `FileNames` marks no more than it must.
    """
    marked = any(c.isascii() and c.isupper() for c in name)
    return _file(name, mark=marked)


class FileNames:
    """Names of files in one folder, for names that somebody else chose.

    A file is called as its name is by `file_name`, but without the mark of capitals (``Anna``);
    where the folder holds another that differs from it in case alone, it gets the mark (of "anna",
    ``anna~0``), since not every file system tells the two apart. Looked for are both, and what is
    there keeps its name. So a file is found again whatever was added since, and those of before,
    which were always marked, are found as well.

    What is asked for through one object counts as there from then on.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._there = {path.name for path in Path(folder).iterdir()}
        except OSError:  # not there yet, or not to be read: that is told where it is written to
            self._there = set()
        self._lower = {file.lower() for file in self._there}

    def __call__(self, name: str, ending: str = "") -> str:
        """The file of a name, with its ending."""
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
    return found or "%"  # never follows from any other name


def name_of(file: str) -> str:
    """The text that `file_name` or `FileNames` made this of; what they did not make, or have cut,
    stays as it is."""
    plain, _, _ = file.partition("~")
    bare = "" if file == "%" else unquote_to_bytes(plain).decode("utf-8", "replace")
    return bare if file in (_file(bare, mark=False), _file(bare, mark=True)) else file


def inside(root: str | os.PathLike[str], name: str, *, links: bool = False) -> Path:
    """The path `name` below `root`, as a table or a data set gives it.

    Args:
        links: symbolic links may lead out of `root`: they are of its owner, not of the table.

    Raises:
        UsageError: it is absolute, climbs with "..", names a drive, holds a null byte, or, unless
            `links`, leads out of `root` by a symbolic link.
    """
    root = Path(root)
    windows = PureWindowsPath(name)
    out = (
        "\0" in name
        or PurePosixPath(name).is_absolute()
        or bool(windows.drive or windows.root)
        or ".." in windows.parts  # "/" parts those of Windows as well
    )
    path = root if out else root / name
    if not out and not links:
        # Of a path that is not there yet, the part that is.
        out = not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
    if out:
        raise UsageError(
            f"{name!r} must lie in {root}: give a path relative to that folder, without '..'"
        )
    return path


def without_folders(text: str) -> str:
    """An absolute path as its last name, for what others get to see; other text as it is."""
    path = PureWindowsPath(text) if PureWindowsPath(text).drive else PurePosixPath(text)
    return (path.name or text) if path.is_absolute() or text.startswith("~") else text


def expanded(path: str | os.PathLike[str]) -> Path:
    """With ``~`` as the user's folder; of users that there are not it stays as it is.

    Raises:
        UsageError: it is no path.
    """
    require_path("a path", path, "a text or a path")
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether it is a file that can be seen; False for names that no file can have, too."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for names of 300 letters


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether it is a folder that can be seen; False for names that no folder can have, too."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises for names of 300 letters
