"""Names as files: one rule from a name to a file's, and one for a path that a table gives.

Both are for names that somebody else chose: subjects, videos, folds.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote_to_bytes

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
    than `LONGEST` is cut and ends in a digest.
    """
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
    found = "".join(parts) + (f"~{capitals:x}" if capitals else "")
    if len(found) > LONGEST:
        known = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        found = f"{found[: LONGEST - 34]}~~{known}"
    return found or "%"  # never follows from any other name


def name_of(file: str) -> str:
    """The text that `file_name` made this of; what it did not make, or has cut, stays as it is."""
    plain, _, _ = file.partition("~")
    bare = "" if file == "%" else unquote_to_bytes(plain).decode("utf-8", "replace")
    return bare if file_name(bare) == file else file


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
            f"{name!r} leads out of {root}: only names of what lies in it are taken, without '..' "
            "and not absolute"
        )
    return path


def expanded(path: str | os.PathLike[str]) -> Path:
    """With ``~`` as the user's folder; of users that there are not it stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether it is a file that can be seen; False for names that no file can have, too."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for names of 300 letters


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether it is a folder that can be seen; False for names that no folder can have, too."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises for names of 300 letters
