"""Track headers of MP4 and Matroska files, which OpenCV does not report."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import IO, Literal

Kind = Literal["video", "sound", "other"]

#: Bytes of a Matroska file searched for the first time of every track.
_FIRST_BYTES = 4 << 20
#: Largest size of a header; a file that claims more is damaged.
_LARGEST = 256 << 20
#: Tracks of single pictures, such as chapter images.
_STILLS = (b"jpeg", b"png ")


@dataclass(frozen=True)
class Track:
    """One track of a file.

    Attributes:
        width, height: px of a video track; else 0.
        start_s: its start on the file's clock.
        length_s: its duration with edit lists applied; `None` if the file does not say.
    """

    kind: Kind
    width: int = 0
    height: int = 0
    start_s: float = 0.0
    length_s: float | None = None


@dataclass(frozen=True)
class Container:
    """A file's tracks in file order, and whether its end is missing."""

    tracks: tuple[Track, ...]
    cut_short: bool

    @property
    def pictures(self) -> tuple[Track, ...]:
        return tuple(t for t in self.tracks if t.kind == "video")

    @property
    def delay_s(self) -> float:
        """How much later than the file's first track the first video track begins."""
        starts = [t.start_s for t in self.tracks if t.kind != "other"]
        return self.pictures[0].start_s - min(starts) if self.pictures else 0.0


def read_container(path: Path) -> Container | None:
    """The file's tracks; `None` for another format or a damaged header.

    Raises:
        OSError: the system refuses to read it.
    """
    with path.open("rb") as file:
        head = file.read(12)
        size = os.fstat(file.fileno()).st_size
        try:
            if _is_mp4(head):
                return _mp4(file, size)
            if _is_matroska(head):
                return _matroska(file, size)
        except (struct.error, IndexError, ValueError, OverflowError, ZeroDivisionError):
            pass  # damaged: nothing is reported
    return None


def has_index(path: Path) -> bool:
    """Whether the file's format has an index of its frames: MP4, MOV, Matroska or AVI.

    In others, such as MPEG transport and program streams, FFmpeg looks for a time among the bytes.
    It then takes any place that has this time, of several in joined recordings, and begins in the
    middle of frames that refer to each other.

    Raises:
        OSError: the system refuses to read it.
    """
    with path.open("rb") as file:
        head = file.read(12)
    return _is_mp4(head) or _is_matroska(head) or (head[:4], head[8:]) == (b"RIFF", b"AVI ")


def _is_mp4(head: bytes) -> bool:
    return head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")


def _is_matroska(head: bytes) -> bool:
    return head.startswith(b"\x1a\x45\xdf\xa3")


def mp4_index(path: Path) -> bytes | None:
    """The whole 'moov' atom of an MP4 or MOV file."""
    with path.open("rb") as file:
        for name, at, end in _atoms(file, os.fstat(file.fileno()).st_size):
            if name == b"moov":
                file.seek(at)
                return file.read(min(end - at, _LARGEST))
    return None


# -- MP4 ------------------------------------------------------------------------------------------


def _atoms(file: IO[bytes], size: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the content of each atom; the last may end beyond the file."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        begin = at + 8
        if length == 1:
            length, begin = int.from_bytes(file.read(8), "big"), at + 16
        elif length == 0:
            length = size - at
        if length < begin - at:
            return
        yield name, begin, at + length
        at += length


def _mp4(file: IO[bytes], size: int) -> Container | None:
    index, cut_short = None, False
    for name, begin, end in _atoms(file, size):
        cut_short |= end > size
        if name == b"moov":
            file.seek(begin)
            index = file.read(min(end - begin, _LARGEST))
    if index is None:
        return None
    boxes = list(_boxes(index))
    (movie,) = (_scale(b) for n, b in boxes if n == b"mvhd")
    return Container(
        tuple(t for n, b in boxes if n == b"trak" if (t := _trak(b, movie[0]))), cut_short
    )


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if length == 1:
            length, begin = struct.unpack_from(">Q", data, begin)[0], at + 16
        length = length or len(data) - at
        if length < begin - at:
            return
        yield name, data[begin : at + length]
        at += length


def _inside(data: bytes, *names: bytes) -> bytes | None:
    """The first box of that path."""
    for name in names:
        found = next((b for n, b in _boxes(data) if n == name), None)
        if found is None:
            return None
        data = found
    return data


def _scale(header: bytes) -> tuple[int, int]:
    """Ticks per second and duration in ticks, from a movie or media header."""
    if header[0]:
        ticks, duration = struct.unpack_from(">IQ", header, 20)
    else:
        ticks, duration = struct.unpack_from(">II", header, 12)
    return ticks, duration


def _trak(data: bytes, movie_ticks: int) -> Track | None:
    handler, header = _inside(data, b"mdia", b"hdlr"), _inside(data, b"mdia", b"mdhd")
    if handler is None or header is None:
        return None
    kinds: dict[bytes, Kind] = {b"vide": "video", b"soun": "sound"}
    kind = kinds.get(handler[8:12], "other")
    width = height = 0
    described = _inside(data, b"mdia", b"minf", b"stbl", b"stsd")
    if kind == "video" and described is not None:
        width, height = struct.unpack_from(">HH", described, 8 + 32)
        kind = "other" if described[12:16] in _STILLS else kind
    ticks, duration = _scale(header)
    start, length = 0.0, duration / ticks if ticks else 0.0
    edits = _inside(data, b"edts", b"elst")
    if edits is not None and movie_ticks:
        count = struct.unpack_from(">I", edits, 4)[0]
        entry = struct.Struct(">QqI" if edits[0] else ">IiI")
        shown = 0
        for k in range(count):
            ticks, at, _ = entry.unpack_from(edits, 8 + k * entry.size)
            if at >= 0:
                shown += ticks
            elif not shown:
                start += ticks / movie_ticks  # an empty edit
        length = shown / movie_ticks or length
    return Track(kind, width, height, start, length or None)


#: Ticks per second of written times: television's 90 kHz, which fits 13 hours into 32 bits.
_TICKS = 90_000
_MOST = (1 << 32) - 1


def set_times(path: Path, times: Sequence[float]) -> None:
    """Set the time of each picture in an MP4 or MOV file of one track; the first is 0.

    For files just written by OpenCV, which have their index at the end.

    Args:
        times: seconds of each picture, increasing; the last is shown for the others' median
            duration.

    Raises:
        ValueError: the file is different, or has another number of pictures.
    """
    ticks = [round((time - times[0]) * _TICKS) for time in times]
    steps = [max(1, after - before) for before, after in pairwise(ticks)]
    steps.append(sorted(steps)[len(steps) // 2] if steps else _TICKS // 25)
    length = sum(steps)
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        found = [(name, at, end) for name, at, end in _atoms(file, size) if name == b"moov"]
        if len(found) != 1 or found[0][2] != size:
            raise ValueError("the index is not the last thing in the file")
        _, at, end = found[0]
        file.seek(at)
        index = file.read(end - at)
        movie = next((_scale(b)[0] for n, b in _boxes(index) if n == b"mvhd"), 0)
        if not movie or sum(n == b"trak" for n, _ in _boxes(index)) != 1:
            raise ValueError("no file of one track")
        shown = min(_MOST, round(length / _TICKS * movie))

        def anew(name: bytes, data: bytes) -> bytes:
            """The new content of a box."""
            if name in (b"trak", b"mdia", b"minf", b"stbl", b"edts"):
                return joined(data)
            if name == b"stts":
                if sum(n for n, _ in struct.iter_unpack(">II", data[8:])) != len(steps):
                    raise ValueError("another number of pictures")
                runs = [(len(list(same)), step) for step, same in groupby(steps)]
                table = b"".join(struct.pack(">II", *run) for run in runs)
                return data[:4] + struct.pack(">I", len(runs)) + table
            if name in (b"mdhd", b"mvhd", b"tkhd", b"elst") and data[0]:
                raise ValueError("an index of 64 bits")
            if name == b"mdhd":
                return data[:12] + struct.pack(">II", _TICKS, min(_MOST, length)) + data[20:]
            if name == b"mvhd":
                return data[:16] + struct.pack(">I", shown) + data[20:]
            if name == b"tkhd":
                return data[:20] + struct.pack(">I", shown) + data[24:]
            if name == b"elst":  # the whole track from its first picture
                return data[:4] + struct.pack(">IIiI", 1, shown, 0, 1 << 16)
            return data

        def joined(data: bytes) -> bytes:
            parts = [(name, anew(name, inner)) for name, inner in _boxes(data)]
            return b"".join(struct.pack(">I4s", len(b) + 8, n) + b for n, b in parts)

        made = joined(index)
        file.seek(at - 8)
        file.write(struct.pack(">I4s", len(made) + 8, b"moov") + made)
        file.truncate()


# -- Matroska -------------------------------------------------------------------------------------

_SEGMENT, _SEEK_HEAD, _SEEK, _SEEK_ID, _SEEK_AT = (
    *(0x18538067, 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC),
)
_INFO, _TICK, _TRACKS, _ENTRY, _NUMBER, _UID, _TYPE = (
    *(0x1549A966, 0x2AD7B1, 0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83),
)
_VIDEO, _WIDTH, _HEIGHT = 0xE0, 0xB0, 0xBA
_TAGS, _TAG, _TARGETS, _TAG_UID, _SIMPLE, _NAME, _TEXT = (
    *(0x1254C367, 0x7373, 0x63C0, 0x63C5, 0x67C8, 0x45A3, 0x4487),
)
_CLUSTER, _TIME, _SIMPLE_BLOCK, _GROUP, _BLOCK = 0x1F43B675, 0xE7, 0xA3, 0xA0, 0xA1


def _vint(data: bytes, at: int, *, marked: bool) -> tuple[int, int]:
    """A number of variable length and its end; `marked` keeps the length bits, as in IDs."""
    first = data[at]
    length = 9 - first.bit_length()
    if length > 8:
        raise ValueError("no such number")
    value = int.from_bytes(data[at : at + length], "big")
    end = at + length
    if end > len(data):
        raise IndexError
    return (value if marked else value - (1 << 7 * length)), end


def _head(file: IO[bytes], at: int) -> tuple[int, int, int | None]:
    """ID, start and end of the element's content; the end is `None` if unknown."""
    file.seek(at)
    data = file.read(12)
    name, end = _vint(data, 0, marked=True)
    size, begin = _vint(data, end, marked=False)
    unknown = size == (1 << 7 * (begin - end)) - 1
    return name, at + begin, None if unknown else at + begin + size


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        name, at = _vint(data, at, marked=True)
        size, at = _vint(data, at, marked=False)
        yield name, data[at : at + size]
        at += size


def _values(data: bytes) -> dict[int, bytes]:
    return dict(_elements(data))


def _number(data: bytes | None, default: int = 0) -> int:
    return default if data is None else int.from_bytes(data, "big")


def _matroska(file: IO[bytes], size: int) -> Container | None:
    _, _, end = _head(file, 0)
    name, begin, end = _head(file, end or 0)
    if name != _SEGMENT:
        return None
    parts: dict[int, bytes] = {}
    at, cluster = begin, None
    while at < min(size, end or size):
        name, inner, after = _head(file, at)
        if name == _CLUSTER:
            cluster = inner
            break
        if after is None or after > size:
            break
        if name in (_INFO, _TRACKS, _SEEK_HEAD, _TAGS) and after - inner < _LARGEST:
            file.seek(inner)
            parts.setdefault(name, file.read(after - inner))
        at = after
    if _TRACKS not in parts:
        return None
    if _TAGS not in parts:
        for seek in (e for n, e in _elements(parts.get(_SEEK_HEAD, b"")) if n == _SEEK):
            found = _values(seek)
            if _number(found.get(_SEEK_ID)) == _TAGS:
                offset = begin + _number(found.get(_SEEK_AT))
                name, inner, after = _head(file, offset) if offset < size else (0, 0, None)
                if name == _TAGS and after is not None and after <= size:
                    file.seek(inner)
                    parts[_TAGS] = file.read(after - inner)
    tick_s = _number(_values(parts.get(_INFO, b"")).get(_TICK), 1_000_000) / 1e9
    ends = _ends(parts.get(_TAGS, b""))
    tracks: dict[int, Track] = {}
    kinds: dict[int, Kind] = {1: "video", 2: "sound"}
    for entry in (e for n, e in _elements(parts[_TRACKS]) if n == _ENTRY):
        found = _values(entry)
        shape = _values(found.get(_VIDEO, b""))
        tracks[_number(found.get(_NUMBER))] = Track(
            kinds.get(_number(found.get(_TYPE)), "other"),
            _number(shape.get(_WIDTH)),
            _number(shape.get(_HEIGHT)),
            length_s=ends.get(_number(found.get(_UID))),
        )
    if cluster is not None:
        file.seek(cluster)
        for number, ticks in _begins(file.read(_FIRST_BYTES), set(tracks)).items():
            track, start = tracks[number], ticks * tick_s
            length = None if track.length_s is None else track.length_s - start
            tracks[number] = replace(track, start_s=start, length_s=length)
    return Container(tuple(tracks.values()), end is not None and end > size)


def _ends(tags: bytes) -> dict[int, float]:
    """When each track ends, in seconds, by its UID."""
    ends = {}
    for tag in (e for n, e in _elements(tags) if n == _TAG):
        uid = _number(_values(_values(tag).get(_TARGETS, b"")).get(_TAG_UID))
        for simple in (_values(e) for n, e in _elements(tag) if n == _SIMPLE):
            if simple.get(_NAME, b"").rstrip(b"\0") == b"DURATION":
                text = simple.get(_TEXT, b"").rstrip(b"\0").decode("ascii")
                hours, minutes, seconds = text.split(":")
                ends[uid] = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    return ends


def _begins(data: bytes, wanted: set[int]) -> dict[int, int]:
    """The first time of each track, in ticks, if it is in these bytes of the first clusters."""
    found: dict[int, int] = {}
    time = at = 0

    def block(begin: int) -> None:
        number, end = _vint(data, begin, marked=False)
        ticks = time + struct.unpack_from(">h", data, end)[0]
        found[number] = min(found.get(number, ticks), ticks)

    try:
        while at < len(data) and not wanted <= found.keys():
            name, at = _vint(data, at, marked=True)
            size, at = _vint(data, at, marked=False)
            if name in (_CLUSTER, _GROUP):
                continue  # its content comes next
            if name == _TIME:
                time = _number(data[at : at + size])
            elif name in (_SIMPLE_BLOCK, _BLOCK):
                block(at)
            at += size
    except (IndexError, struct.error, ValueError):
        pass  # the bytes end in the middle of something
    return {number: ticks for number, ticks in found.items() if number in wanted}
