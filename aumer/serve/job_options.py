"""Options of jobs, limits of the service, and problem bodies for errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from aumer import registry
from aumer.config import load_settings
from aumer.errors import (
    EXIT_BUG,
    EXIT_NO_FACE,
    EXIT_UNREADABLE,
    EXIT_USAGE,
    EXIT_WEIGHTS,
    MEANINGS,
    AumerError,
    UsageError,
)
from aumer.strict import build, require, within

#: Default formats of a job.
FORMATS = ("json", "csv", "eaf", "html")
#: End of a problem's `type`, by exit code.
_KINDS = {
    EXIT_BUG: "internal",
    EXIT_USAGE: "usage",
    EXIT_UNREADABLE: "unreadable",
    EXIT_NO_FACE: "no-face",
    EXIT_WEIGHTS: "weights",
}


class LimitError(UsageError):
    """The input exceeds a limit of the service."""


@dataclass(frozen=True)
class Limits:
    """Limits of the service, and storage times.

    Attributes:
        upload_bytes: of a file.
        length_s, frames, pixels: of a video: its length, its frames, and the pixels of one frame.
        jobs: at work at once, each in a process of its own.
        queue: jobs that wait, uploads under way included.
        memory_bytes: of a job's process (Linux and other Unix systems that count it).
        job_s: how long a job may work.
        idle_s: how long an upload may say nothing; after that it must have come at `bytes_per_s`.
        bytes_per_s: the slowest upload on average.
        keep_upload_s: an upload is removed so long after its job has ended.
        keep_result_s: a job, with its results, is removed so long after it has ended.
    """

    upload_bytes: int = 2 << 30
    length_s: float = 3600.0
    frames: int = 500_000
    pixels: int = 10_000_000
    jobs: int = 1
    queue: int = 100
    memory_bytes: int = 4 << 30
    job_s: float = 6 * 3600.0
    idle_s: float = 30.0
    bytes_per_s: int = 4096
    keep_upload_s: float = 3600.0
    keep_result_s: float = 7 * 86400.0

    def __post_init__(self) -> None:
        whole = ("upload_bytes", "frames", "pixels", "jobs", "queue", "memory_bytes", "bytes_per_s")
        for name in whole:
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        for name in ("length_s", "job_s", "idle_s", "keep_result_s"):
            require(getattr(self, name) > 0, name, getattr(self, name), "above 0 seconds")
        require(self.keep_upload_s >= 0, "keep_upload_s", self.keep_upload_s, "0 or more seconds")


@dataclass(frozen=True)
class JobOptions:
    """Options of a job: those of `aumer.spot`, and the requested files.

    Parts are given by registered name, never by a file of the server.

    Attributes:
        formats: suffixes without the dot, of `aumer.results.formats`.
        faces: pages and pictures show faces.

    Raises:
        ConfigError, UsageError: one of them cannot be used.
    """

    model: str | None = None
    recognizer: str | None = None
    aus: bool = False
    start: float | None = None
    end: float | None = None
    fps: float | None = None
    face: str | int | None = None
    sensitivity: str | float | None = None
    micro_max_s: float | None = None
    min_coverage: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    formats: tuple[str, ...] = FORMATS
    faces: bool = False

    def __post_init__(self) -> None:
        if self.model is not None:
            known = registry.names("spotter")
            require(self.model in known, "model", self.model, f"one of {', '.join(known)}")
        if self.recognizer is not None:
            known = ("default", *registry.names("recognizer"))
            allowed = f"one of {', '.join(known)}"
            require(self.recognizer in known, "recognizer", self.recognizer, allowed)
        for name in ("fps", "micro_max_s"):
            value = getattr(self, name)
            require(value is None or value > 0, name, value, "above 0")
        require(self.start is None or self.start >= 0, "start", self.start, "0 or more seconds")
        if self.end is not None:
            require(self.end > (self.start or 0), "end", self.end, "after the start")
        if self.min_coverage is not None:
            within("min_coverage", self.min_coverage, 0, 1)
        known = registry.names("format")
        require(bool(self.formats), "formats", self.formats, "at least one")
        for one in self.formats:
            require(one in known, "formats", one, f"some of {', '.join(known)}")
        object.__setattr__(self, "formats", tuple(dict.fromkeys(self.formats)))  # each once
        chosen = {
            "face.follow": None if self.face is None else str(self.face),
            "rules.sensitivity": self.sensitivity,
        }
        load_settings(overrides=dict(self.settings))
        load_settings(overrides={k: v for k, v in chosen.items() if v is not None})

    @classmethod
    def of(cls, values: Any) -> JobOptions:
        """Options from JSON."""
        return build(cls, values, "options")

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "settings": dict(self.settings), "formats": list(self.formats)}

    def of_spot(self) -> dict[str, Any]:
        """The arguments of `aumer.spot`; omitted ones keep its defaults."""
        given = {k: v for k, v in asdict(self).items() if k not in ("formats", "faces")}
        given["settings"] = dict(self.settings) or None
        given["aus"] = self.aus or None
        return {name: value for name, value in given.items() if value is not None}


def problem_body(error: BaseException) -> dict[str, Any]:
    """An error as the body of a problem (RFC 9457), with the exit code of the command line."""
    if isinstance(error, AumerError):
        kind = "limit" if isinstance(error, LimitError) else _KINDS[error.exit_code]
        return problem(kind, str(error), error.exit_code)
    what = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    return problem("internal", what, EXIT_BUG)


def problem(kind: str, detail: str, code: int | None = None, **more: Any) -> dict[str, Any]:
    """The body of a problem.

    Args:
        kind: `type` ends with it.
        code: the exit code of the command line, if there is one.
    """
    title = MEANINGS[code] if code in MEANINGS and code is not None else kind.replace("-", " ")
    if kind == "limit":
        title = "more than this service takes"
    body: dict[str, Any] = {"type": f"urn:aumer:problem:{kind}", "title": title, "detail": detail}
    if code is not None:
        body |= {"exit_code": code, "meaning": MEANINGS[code]}
    return {**body, **more}


def film(head: bytes) -> bool:
    """Whether a file with this start is a video format that the service accepts.

    FFmpeg also opens other files: playlists that name other files, text that it draws, and
    pictures.
    """
    return (
        head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or (head[:1] == b"G" and len(head) > 376 and head[188:189] == head[376:377] == b"G")
        or head.startswith(_MAGIC)
    )


#: Matroska and WebM, ASF and WMV, MPEG program and elementary streams, FLV, Ogg.
_MAGIC = (
    b"\x1a\x45\xdf\xa3",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    b"\x00\x00\x01\xba",
    b"\x00\x00\x01\xb3",
    b"FLV\x01",
    b"OggS",
)
#: Number of bytes that `film` needs.
HEAD = 512


def check_name(name: str) -> str:
    """Check the name of an uploaded video, which its results contain: one part of a path.

    Raises:
        UsageError: it is not.
    """
    odd = any(not c.isprintable() or c in '/\\:*?"<>|' for c in name)
    if (
        odd
        or not name.strip(". ")
        or name.startswith(".")
        or len(name.encode(errors="replace")) > 200
    ):
        raise UsageError(
            f"`name` must be the plain name of a video, such as interview.mp4; found {name[:80]!r}"
        )
    if "." not in name.strip("."):
        raise UsageError(f"`name` must have the suffix of a video, such as .mp4; found {name!r}")
    return name
