"""Files at addresses (``s3://bucket/x.mp4``), by fsspec: listed, fetched while they are read, sent.

What is fetched lies in a temporary folder for as long as it is read, a file at a time for whoever
reads; so no more disk is taken than the largest file for each. Credentials and the server's address
are fsspec's affair: for S3 it is what the AWS tools read (``AWS_ACCESS_KEY_ID``, ``~/.aws``,
``AWS_ENDPOINT_URL``).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from aumer.errors import AumerError, BackendUnavailable, UsageError, VideoError
from aumer.files import TemporaryFolder

#: Two letters at least, for C:/x is a path.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
#: Bytes that a fetched file leaves free on the disk.
_LEFT_FREE = 500_000_000


def is_address(text: object) -> bool:
    """Whether a text is an address, and no path of this machine; ``file://`` is a path."""
    return isinstance(text, str) and bool(_ADDRESS.match(text)) and not _is_file(text)


def plain_path(text: str) -> str:
    """``file:///x`` as the path that it is; any other text as it is.

    Raises:
        UsageError: it names another machine.
    """
    if not _is_file(text):
        return text
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise UsageError(
            f"{text} names a file of the machine {parts.netloc}; a file of this one is written "
            "file:///folder/x.mp4, with three strokes"
        )
    return unquote(parts.path)


def _is_file(text: str) -> bool:
    return text[:7].lower() == "file://"


@contextmanager
def fetched(address: str) -> Iterator[Path]:
    """The file at an address as one of this machine, which is removed when the block ends.

    Raises:
        VideoError: there is none, or it cannot be read.
        UsageError: no disk holds it, or the address is none that can be read here.
    """
    name = address.rstrip("/").rpartition("/")[2]
    with _explained(address):
        system, place = _opened(address)
        size = system.info(place).get("size") or 0
    with TemporaryFolder() as folder:
        free = shutil.disk_usage(folder).free
        if size > free - _LEFT_FREE:
            raise UsageError(
                f"{address} has {size / 1e6:.0f} MB, and {folder.parent} has {free / 1e6:.0f} MB "
                f"free, of which {_LEFT_FREE / 1e6:.0f} are left alone: set TMPDIR to a folder on "
                "a larger disk"
            )
        path = folder / name
        with _explained(address):
            system.get_file(place, str(path))
        if (got := path.stat().st_size) != size:
            raise VideoError(f"{address}: {got} of {size} bytes came; try again")
        yield path


def listed(address: str, *, recursive: bool) -> tuple[str, ...]:
    """The addresses of the files in a folder, sorted; none where there is no such folder.

    Raises:
        VideoError, UsageError: as `fetched`.
    """
    root = address.rstrip("/")
    with _explained(address):
        system, place = _opened(root)
        system.invalidate_cache()
        if not system.exists(place):
            return ()
        depth = None if recursive else 1
        found = system.find(place, maxdepth=depth)
    inside = place.rstrip("/") + "/"
    below = (str(one) for one in found)
    return tuple(sorted(f"{root}/{one[len(inside) :]}" for one in below if one.startswith(inside)))


def send(path: Path, address: str) -> None:
    """Put a file at an address, in place of what is there.

    Raises:
        UsageError: it cannot be written.
    """
    with _explained(address, writing=True):
        system, place = _opened(address)
        _require_bucket(system, place)
        parent = place.rpartition("/")[0]
        if parent and not system.isdir(parent):
            system.makedirs(parent, exist_ok=True)
        system.put_file(str(path), place)


def _require_bucket(system: Any, place: str) -> None:
    """Complain where there is no such bucket: file systems of stores would make one of that name.

    Raises:
        FileNotFoundError: there is none.
    """
    bucket = place.partition("/")[0]
    if bucket and not system.exists(bucket):  # before a path of a disk or server stands nothing
        raise FileNotFoundError(bucket)


def _opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and what it is called there."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise _lacking(address) from error
    try:
        system, place = url_to_fs(address)
    except ImportError as error:  # s3fs, or what another protocol needs
        raise _lacking(address, str(error)) from error
    except ValueError as error:
        scheme = address.partition("://")[0]
        raise UsageError(
            f"{address}: nothing here reads addresses that begin with {scheme}:// ({error}); "
            "s3:// and file:// are read, and what fsspec knows (`pip install` its package)"
        ) from error
    return system, place


def _lacking(address: str, said: str = "") -> BackendUnavailable:
    why = f" ({said})" if said else ""
    return BackendUnavailable(
        f"{address} is an address, and reading it needs the extra remote: pip install "
        f'"aumer[remote]"{why}'
    )


@contextmanager
def _explained(address: str, *, writing: bool = False) -> Iterator[None]:
    """What goes wrong at an address, in our words: every file system has errors of its own."""
    try:
        yield
    except AumerError:
        raise
    except FileNotFoundError as error:
        raise _failure(writing, f"{address}: there is no such file, folder or bucket") from error
    except PermissionError as error:
        raise _failure(
            writing, f"{address}: the server refuses it ({_said(error)}); {_CREDENTIALS}"
        ) from error
    except Exception as error:
        missing = "credential" in f"{type(error).__name__} {error}".lower()
        advice = _CREDENTIALS if missing else _SERVER
        raise _failure(
            writing,
            f"{address} cannot be {'written' if writing else 'read'}: {_said(error)}; {advice}",
        ) from error


_CREDENTIALS = (
    "credentials are read where the AWS tools read them: AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or ~/.aws/credentials, on every machine that works"
)
_SERVER = "a server other than Amazon's is named by AWS_ENDPOINT_URL"


def _failure(writing: bool, text: str) -> AumerError:
    return UsageError(f"cannot write {text}") if writing else VideoError(text)


def _said(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


class Mirror:
    """Folders and files of this machine that stand for those at addresses.

    What is written goes to a temporary folder first, whole or not at all as ever, and is sent then.

    Args:
        texts: places of output, as they were given; those that are addresses are mirrored.
    """

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._folder: TemporaryFolder | None = None
        self._roots: dict[Path, str] = {}
        #: Files that are at the address, and here in name alone.
        self._there: dict[Path, str] = {}
        self.texts = tuple(self._mirrored(plain_path(text)) for text in texts)

    def _mirrored(self, text: str) -> str:
        if not is_address(text):
            return text
        self._folder = self._folder or TemporaryFolder()
        place = self._folder.path / str(len(self._roots))
        place.mkdir()
        name = text.rpartition("/")[2]
        single = bool(Path(name).suffix)
        root = text.rpartition("/")[0] if single else text.rstrip("/")
        self._roots[place] = root
        with _explained(root, writing=True):
            _require_bucket(*_opened(root))
        for address in listed(root, recursive=not single):
            path = place / address[len(root) + 1 :]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self._there[path] = address
            if path.parent == place and path.suffix in (".csv", ".html"):
                self.bring(path)  # tables and pages of an earlier run are looked into at once
        return str(place / name) if single else str(place)

    @property
    def mirrors(self) -> bool:
        """Whether any place is an address."""
        return bool(self._roots)

    def bring(self, path: Path) -> None:
        """Have the content of a file here that is at an address."""
        address = self._there.pop(path, None)
        if address is not None:
            with fetched(address) as found:
                shutil.copyfile(found, path)

    def sent(self, paths: list[Path]) -> None:
        """Send those that are mirrored; the place of each stays taken here."""
        for path in paths:
            address = self.address(path)
            if address is not None:
                send(path, address)
                with path.open("wb"):
                    self._there[path] = address

    def address(self, path: Path) -> str | None:
        """Where a file of a mirrored folder belongs; None of any other."""
        for place, root in self._roots.items():
            if path.is_relative_to(place):
                return f"{root}/{path.relative_to(place).as_posix()}"
        return None

    def told(self, text: str) -> str:
        """A message, with addresses in place of where files lie meanwhile."""
        for place, root in self._roots.items():
            text = text.replace(str(place), root)
        return text

    def close(self) -> None:
        """Remove what lies here."""
        if self._folder is not None:
            self._folder.close()

    def __enter__(self) -> Mirror:
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self.close()
        if isinstance(error, AumerError) and error.args and isinstance(error.args[0], str):
            error.args = (self.told(error.args[0]), *error.args[1:])
