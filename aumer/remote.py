"""Files at remote addresses (``s3://bucket/x.mp4``), by fsspec: listing, fetching, sending.

A fetched file lies in a temporary folder while it is read, one file at a time for each reader; so
each reader needs only as much disk as the largest file. Credentials and the server's address are
configured for fsspec; for S3 as for the AWS tools (``AWS_ACCESS_KEY_ID``, ``~/.aws``,
``AWS_ENDPOINT_URL``).
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from aumer.errors import AumerError, BackendUnavailable, UsageError, VideoError
from aumer.files import TemporaryFolder

_LOGGER = logging.getLogger("aumer")
#: At least two letters, since C:/x is a path.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
#: Bytes of the disk that a fetched file must leave free.
_LEFT_FREE = 500_000_000


def is_address(text: object) -> bool:
    """Whether a text is a remote address, not a local path; ``file://`` is a local path."""
    return isinstance(text, str) and bool(_ADDRESS.match(text)) and not _is_file(text)


def plain_path(text: str) -> str:
    """The path of ``file:///x``; any other text unchanged.

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
    """A local copy of the file at an address, removed when the block ends.

    Raises:
        VideoError: the file is missing or cannot be read.
        UsageError: the disk has no room for it, or the address cannot be read here.
    """
    name = address.rstrip("/").rpartition("/")[2]
    if name in ("", ".", ".."):  # names of folders here
        raise VideoError(f"{address} names no file")
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
    """The addresses of the files in a folder, sorted; empty if there is no such folder.

    Stores have keys that are no path, such as ``a/../b``: as a file of this machine it would lie
    elsewhere. These are left out with a warning.

    Raises:
        VideoError, UsageError: as `fetched`.
    """
    root = address.rstrip("/")
    with _explained(address):
        system, place = _opened(root)
        system.invalidate_cache()
        if not system.exists(place):
            _require_bucket(system, place)
            return ()
        depth = None if recursive else 1
        found = system.find(place, maxdepth=depth)
    inside = place.rstrip("/") + "/"
    below = (str(one) for one in found)
    names = [one[len(inside) :] for one in below if one.startswith(inside)]
    files = sorted(name for name in names if not name.endswith("/"))  # others stand for folders
    no_path = {name for name in files if {"", ".", ".."} & {*name.split("/")}}
    if strange := sorted(no_path):
        _LOGGER.warning(
            "%s: left out %d whose names are no paths (%s): rename them there",
            address,
            len(strange),
            ", ".join(map(repr, strange[:3])),
        )
    return tuple(f"{root}/{name}" for name in files if name not in no_path)


def send(path: Path, address: str) -> None:
    """Upload a file to an address, replacing what is there.

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
    """Raise if the bucket does not exist: file systems of object stores would create it.

    Raises:
        FileNotFoundError: there is none.
        OSError, ...: of the file system: no answer.
    """
    bucket = place.partition("/")[0]
    if not bucket or ":" in bucket:  # paths of disks and servers have none
        return
    # Not `exists`, which says no for a server that does not answer. Some may use a part of a bucket
    # alone: who may not ask for it is told when writing.
    with suppress(PermissionError):
        system.info(bucket)


def _opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise _lacking(address) from error
    scheme, _, rest = address.partition("://")
    try:
        system, place = url_to_fs(f"{scheme.lower()}://{rest}")
    except ImportError as error:  # s3fs, or the package of another protocol
        raise _lacking(address, str(error)) from error
    except ValueError as error:
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
    """Turns the errors of the various file systems into aumer's."""
    try:
        yield
    except AumerError:
        raise
    except FileNotFoundError as error:
        raise _failure(writing, f"{address}: there is no such file, folder or bucket") from error
    except PermissionError as error:
        raise _failure(
            writing, f"{address}: the server refuses it ({_reason(error)}); {_CREDENTIALS}"
        ) from error
    except Exception as error:
        missing = "credential" in f"{type(error).__name__} {error}".lower()
        advice = _CREDENTIALS if missing else _SERVER
        what = address if writing else f"{address} cannot be read"
        raise _failure(writing, f"{what}: {_reason(error)}; {advice}") from error


_CREDENTIALS = (
    "credentials are read where the AWS tools read them: AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or ~/.aws/credentials, on every machine that works"
)
_SERVER = "a server other than Amazon's is named by AWS_ENDPOINT_URL"


def _failure(writing: bool, text: str) -> AumerError:
    return UsageError(f"cannot write {text}") if writing else VideoError(text)


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


class Mirror:
    """Local folders and files that stand for those at remote addresses.

    Output is first written to a temporary folder, complete or not at all, and then uploaded.

    Args:
        texts: output paths as given; those that are addresses are mirrored.
    """

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._folder: TemporaryFolder | None = None
        self._roots: dict[Path, str] = {}
        #: Files that exist at the address; here only an empty file has their name.
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
        every = listed(root, recursive=not single)
        # In a store a file may have the name of a folder; what is written here is in folders.
        folders = {
            parent for one in every for parent in PurePosixPath(one[len(root) + 1 :]).parents
        }
        for address in every:
            if PurePosixPath(address[len(root) + 1 :]) in folders:
                continue
            path = place / address[len(root) + 1 :]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self._there[path] = address
            if path.parent == place and path.suffix in (".csv", ".html"):
                self.bring(path)  # tables and pages of an earlier run are read at once
        return str(place / name) if single else str(place)

    @property
    def mirrors(self) -> bool:
        """Whether any output is an address."""
        return bool(self._roots)

    @property
    def homes(self) -> dict[Path, Path | None]:
        """For `aumer.files.bound_for`: what is written here goes to addresses."""
        return dict.fromkeys(self._roots)

    def bring(self, path: Path) -> None:
        """Download the content of a mirrored file."""
        address = self._there.pop(path, None)
        if address is not None:
            with fetched(address) as found:
                shutil.copyfile(found, path)

    def sent(self, paths: list[Path]) -> None:
        """Upload the mirrored files; an empty local file keeps each name."""
        for path in paths:
            address = self.address(path)
            if address is not None:
                send(path, address)
                with path.open("wb"):
                    self._there[path] = address

    def address(self, path: Path) -> str | None:
        """The address of a file in a mirrored folder; None for other files."""
        for place, root in self._roots.items():
            if path.is_relative_to(place):
                return f"{root}/{path.relative_to(place).as_posix()}"
        return None

    def told(self, text: str) -> str:
        """A message, with local paths replaced by the addresses."""
        for place, root in self._roots.items():
            text = text.replace(str(place), root)
        return text

    def close(self) -> None:
        """Remove the local copies."""
        if self._folder is not None:
            self._folder.close()

    def __enter__(self) -> Mirror:
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self.close()
        if isinstance(error, AumerError) and error.args and isinstance(error.args[0], str):
            error.args = (self.told(error.args[0]), *error.args[1:])
