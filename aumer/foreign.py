"""Reading of files from other programs: any parser error becomes one line that names the file.

Parsers of JSON, TOML, XML, ZIP or pickles raise dozens of kinds of errors on malformed bytes, and
every list of them has proved incomplete. So `foreign` catches all of them, and its block must be
short, the parsing alone, so that it hides no bug of aumer.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from aumer.arguments import require_path
from aumer.errors import AumerError, UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

StrPath = str | os.PathLike[str]

#: Unpacked bytes that an archive of any size may have, and the upper limit.
FREE, MOST = 64 << 20, 16 << 30
#: Allowed ratio of unpacked to packed size beyond `FREE`. Rows of zeros and NaN compress to a
#: hundredth.
RATIO = 400
#: Most characters of a parser's message that are shown.
_LONGEST = 300


@contextlib.contextmanager
def foreign(
    path: StrPath, what: str, error: type[AumerError] = UsageError, advice: str = ""
) -> Iterator[None]:
    """Turn any exception into ``cannot read WHAT from PATH: REASON``, in one line.

    An `error` that names the path already passes unchanged; interrupts always do.

    Args:
        what: name of the expected content in messages: "a graph".
        error: class of the error to raise.
        advice: sentences that follow.
    """
    try:
        yield
    except Exception as found:
        if isinstance(found, error) and os.fspath(path) in str(found):
            raise
        text = f"cannot read {what} from {os.fspath(path)}: {reason(found)}"
        end = "" if text.endswith(".") else "."
        raise error(shown(f"{text}{end} {advice}" if advice else text)) from found


@contextlib.contextmanager
def named(path: StrPath) -> Iterator[None]:
    """Put ``PATH: `` before an error of aumer's that does not name the file."""
    try:
        yield
    except AumerError as found:
        if os.fspath(path) in str(found):
            raise
        raise type(found)(f"{os.fspath(path)}: {found}") from found


def reason(error: BaseException) -> str:
    """The message of an error in one printable line."""
    text = plain_line(str(error))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not a text file in {error.encoding.upper()}, as byte {error.start} shows"
    if "allow_pickle" in text:  # numpy's message would advise to unpickle untrusted data
        return "it holds something else than plain numbers"
    if isinstance(error, KeyError):
        return f"{text} is missing"
    if not text or isinstance(error, (TypeError, AttributeError, IndexError, AssertionError)):
        return f"it is made in another way ({type(error).__name__}{text and ': '}{text})"
    return text


def plain_line(text: str) -> str:
    """The text in one line, without control characters, shortened if it is too long."""
    line = shown(" ".join(text[: 4 * _LONGEST].split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def shown(text: str) -> str:
    """The text without line breaks and control characters, which names of files may contain."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def read_json(
    path: StrPath, what: str, error: type[AumerError] = UsageError, advice: str = ""
) -> Any:
    """The value in a JSON file in UTF-8.

    Raises:
        error: the file is missing, or cannot be read or parsed; see `foreign`.
    """
    require_path("path", path, f"the path of {what}")
    with foreign(path, what, error, advice):
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_none)


def _none(name: str) -> Any:
    raise ValueError(f"{name} is no number that JSON has")


#: Makes an array of a shape and a dtype, to be filled.
Room: TypeAlias = "Callable[[tuple[int, ...], npt.DTypeLike], npt.NDArray[Any]]"
#: Bytes of an array that are read or written at a time.
_AT_ONCE = 1 << 24


def read_arrays(
    path: StrPath,
    what: str,
    error: type[AumerError] = UsageError,
    advice: str = "",
    *,
    room: Room | None = None,
    read: Callable[[npt.NDArray[Any]], object] = lambda array: None,
) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an ``.npz`` file by name.

    Args:
        room: makes the arrays that are filled, of a shape and a dtype; by default they are in
            memory.
        read: called with a large array after each piece of it.

    Raises:
        error: the file is missing, no ``.npz`` or damaged, or its unpacked size is absurd.
    """
    require_path("path", path, f"the path of {what}")
    # np.load does not close a damaged file that it opened, and trusts the sizes that the file
    # states.
    with foreign(path, what, error, advice), Path(path).open("rb") as file:
        check_archive(file)
        with zipfile.ZipFile(file) as archive:
            return {
                member.filename.removesuffix(".npy"): _array(archive, member, room, read)
                for member in archive.infolist()
            }


def write_arrays(
    file: IO[bytes],
    arrays: Iterable[tuple[str, npt.NDArray[Any]]],
    *,
    written: Callable[[npt.NDArray[Any]], object] = lambda array: None,
) -> None:
    """Write a compressed ``.npz`` file, which `read_arrays` and `numpy.load` read.

    Unlike by `numpy.savez_compressed` the arrays are taken one by one and written piece by piece,
    and compressed as quickly as possible: on measured motion the best compression takes 1.5 to 3
    times as long and saves 1 %. A large array that hardly gets smaller is not compressed at all:
    landmarks of hours would save an eighth, in three quarters of the time.

    Args:
        arrays: names and arrays; an iterator may compute each as it is asked for.
        written: called with an array after each piece of it.
    """
    from numpy.lib import format as numpy_format

    npy: Any = numpy_format  # older numpy has no type annotations here
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays:
            large = array.ndim > 0 and array.nbytes > _AT_ONCE
            packed = not large or _shrinks(array)
            archive.compression = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if not large:
                    npy.write_array(member, array, allow_pickle=False)
                    continue
                about = {
                    "descr": npy.dtype_to_descr(array.dtype),
                    "fortran_order": False,
                    "shape": array.shape,
                }
                npy.write_array_header_1_0(member, about)
                if len(array) == 1:  # the faces come first
                    array = array[0]
                rows = max(1, _AT_ONCE * len(array) // array.nbytes)
                for begin in range(0, len(array), rows):
                    member.write(array[begin : begin + rows].tobytes())
                    written(array)


#: Bytes from the middle of an array that are compressed to see what that saves, and the part of
#: them that must be saved.
_SAMPLE, _SAVED = 1 << 18, 0.2


def _shrinks(array: npt.NDArray[Any]) -> bool:
    """Whether compression is worth its time."""
    whole = array[0] if len(array) == 1 else array  # the faces come first
    rows = max(1, _SAMPLE * len(whole) // whole.nbytes)
    middle = len(whole) // 2
    sample = whole[middle : middle + rows].tobytes()
    return len(zlib.compress(sample, 1)) <= (1 - _SAVED) * len(sample)


def _array(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    room: Room | None,
    read: Callable[[npt.NDArray[Any]], object],
) -> npt.NDArray[Any]:
    """A member of an ``.npz`` file, after checking that it has the size that its header states."""
    import numpy as np
    from numpy.lib import format as numpy_format

    npy: Any = numpy_format  # older numpy has no type annotations here

    with archive.open(member) as file:
        header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        version = npy.read_magic(file)
        if version not in header:
            raise ValueError(f"{member.filename} is an array of numpy's format {version}")
        shape, by_column, dtype = header[version](file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds something else than plain numbers")
        if math.prod(shape) * dtype.itemsize > member.file_size:
            raise ValueError(f"{member.filename} is shorter than it says")
        # Read in place: `numpy.load` would parse the header again, and copy large arrays.
        found: npt.NDArray[Any] = (
            np.empty(shape, dtype, order="F" if by_column else "C")
            if room is None or by_column
            else room(shape, dtype)
        )
        if found.nbytes:
            left = found.reshape(-1, order="A").view(np.uint8).data
            while left and (size := file.readinto(left[:_AT_ONCE])):  # type: ignore[attr-defined]
                left = left[size:]
                if found.nbytes > _AT_ONCE:
                    read(found)
            if left:
                raise ValueError(f"{member.filename} is shorter than it says")
        # The end is reached only now, where the checksum is compared.
        if file.read(1):
            raise ValueError(f"{member.filename} is longer than it says")
        return found


def check_archive(file: IO[bytes]) -> None:
    """Refuse a ZIP archive whose unpacked size would be absurd; the file is rewound.

    Members never unpack to more than the archive declares, so checking the declared sizes is
    sufficient.

    Raises:
        ValueError: the unpacked size would be absurd.
        zipfile.BadZipFile, OSError, ...: as `zipfile` raises them.
    """
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        declared = sum(member.file_size for member in archive.infolist())
    file.seek(0)
    if declared > MOST or declared > max(FREE, RATIO * size):
        raise ValueError(f"{size} bytes that would unpack to {declared} are taken for a trap")
