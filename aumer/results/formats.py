"""The formats of result files, by suffix.

A format ("format" in the registry, named by its suffix without the dot) is a subclass of `Format`;
`SpotResult.save`, `SpotResult.load`, `aumer spot -o` and `aumer convert` use it, and help and
documentation list its attributes (`table`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aumer import registry
from aumer.arguments import as_path
from aumer.errors import UsageError, did_you_mean
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.types import ImageArray

if TYPE_CHECKING:
    from aumer.results.spot_result import SpotResult


class Format(ABC):
    """Base class of formats of result files.

    Attributes:
        pictures: whether it shows `thumbnails`, for which the video is read a second time.
        use, holds: purpose and content: a line of `table`.
        endings: endings of its file names, if the suffix alone is ambiguous; aumer writes the
            first.

    Example:
        >>> from aumer.files import atomic_write
        >>> @aumer.register("format", "onsets")
        ... class Onsets(Format):
        ...     def write(self, result, path, *, overwrite=False, thumbnails=None):
        ...         lines = [f"{e.onset_s:.3f}\\n" for e in result.expressions]
        ...         atomic_write(path, "".join(lines), overwrite=overwrite)
        >>> aumer.spot("interview.mp4").save("interview.onsets")
        >>> open("interview.onsets").read().split()
        ['0.633']
    """

    pictures: ClassVar[bool] = False
    use: ClassVar[str] = "programs of your own"
    holds: ClassVar[str] = ""
    endings: ClassVar[tuple[str, ...]] = ()

    def companions(self, path: Path) -> tuple[Path, ...]:
        """Further files that `write` may write beside `path`."""
        return ()

    def frames(self, result: SpotResult) -> tuple[int, ...]:
        """The frame ordinals of the thumbnails that it shows; by default those of the timeline."""
        from aumer.results.plots import timeline_frames

        return timeline_frames(result) if self.pictures else ()

    def faceless(self, path: StrPath) -> bool:
        """Whether a file of `write` certainly shows no face.

        Raises:
            UsageError: the file cannot be read.
        """
        from aumer.results.drawing import FACELESS

        if not self.pictures:
            return True
        with foreign(path, "a picture"):
            return FACELESS.encode() in Path(path).read_bytes()

    def lost(self, result: SpotResult) -> str:
        """Which parts of a result a file in this format does not contain, in words."""
        return ""

    @abstractmethod
    def write(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        overwrite: bool = False,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        """Write the file, complete or not at all (use `aumer.files.atomic_write`).

        Args:
            thumbnails: face images, see `aumer.results.thumbnails`.

        Raises:
            UsageError: the file exists and `overwrite` is False, the folder is missing, or the
                system refuses to write.
        """

    def alone(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        """Write a single file for another machine: as `write`, but without further files and
        without local paths.
        """
        self.write(result, path, thumbnails=thumbnails)

    def read(self, path: StrPath) -> SpotResult:
        """Read a result from a file of `write`.

        Raises:
            UsageError: the format does not contain complete results, or the file cannot be read or
                has other content.
        """
        raise UsageError(
            f"{path} cannot be read as a result, as files of this format hold a part of one alone. "
            "Save results as .json to load them again"
        )


class Json(Format):
    """The complete result; the only shipped format that can be read back as a result."""

    use = "aumer"
    holds = "everything: intervals, scores, settings, versions, notes"

    def write(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        overwrite: bool = False,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        result.to_json(path, overwrite=overwrite)

    def read(self, path: StrPath) -> SpotResult:
        from aumer.results.spot_result import SpotResult

        with foreign(path, "a spot result"):
            text = Path(path).read_text(encoding="utf-8")
        try:
            return SpotResult.from_json(text)
        except UsageError as error:
            raise UsageError(f"{path} is not a spot result that aumer can read: {error}") from error


class TimelinePicture(Format):
    """The timeline as a picture, in matplotlib's format for the suffix."""

    pictures = True
    use = "people"
    holds = "the timeline"

    def write(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        overwrite: bool = False,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        result.plot(path, thumbnails=thumbnails, overwrite=overwrite)


def suffixes() -> tuple[str, ...]:
    """The suffixes of all formats, .json first."""
    names = sorted(registry.names("format"), key=lambda name: (name != "json", name))
    return tuple(f".{name}" for name in names)


def check_suffix(path: StrPath, allowed: Sequence[str] | None = None) -> str:
    """The suffix of `path` in lower case, checked; call it before long work.

    Args:
        allowed: by default `suffixes`.

    Raises:
        UsageError: unknown suffix; the message lists the allowed ones and the nearest match.
    """
    allowed = suffixes() if allowed is None else allowed
    suffix = as_path("path", path).suffix.lower()
    if suffix not in allowed:
        found = f"the suffix {suffix!r}" if suffix else "no suffix"
        raise UsageError(
            f"cannot tell the format of {path}: it has {found}; allowed are "
            f"{', '.join(allowed)}.{did_you_mean(suffix, allowed)}"
        )
    return suffix


def format_named(name: str) -> Format:
    """The format registered under a name.

    Raises:
        UsageError: unknown name, or the registered object is not a `Format`.
    """
    kind = registry.resolve("format", name)
    if not (isinstance(kind, type) and issubclass(kind, Format)):
        raise UsageError(
            f"the format {name!r} cannot be used: formats are classes derived from "
            f"aumer.results.formats.Format, and {kind!r} is none"
        )
    return kind()


def format_of(path: StrPath) -> Format:
    """The format by the name of `path`.

    Raises:
        UsageError: as `check_suffix` and `format_named`, or the name needs another ending.
    """
    made = format_named(check_suffix(path)[1:])
    name = Path(path).name
    if made.endings and not name.lower().endswith(made.endings):
        stem = Path(path).stem
        raise UsageError(
            f"the format of {path} cannot be told from its name: files of this format end in "
            f"{' or '.join(made.endings)}. Call it {stem}{made.endings[0]}"
        )
    return made


def ending(name: str) -> str:
    """The ending of aumer's file names in a format: ".json", "_events.tsv"."""
    endings = format_named(name).endings
    return endings[0] if endings else f".{name}"


def table() -> tuple[tuple[tuple[str, ...], str, str], ...]:
    """All formats: endings, purpose and content, for help and documentation.

    In the order of `suffixes`, one line per class.
    """
    lines: dict[type[Format], list[str]] = {}
    for suffix in suffixes():
        lines.setdefault(type(format_named(suffix[1:])), []).append(ending(suffix[1:]))
    return tuple((tuple(own), kind.use, kind.holds) for kind, own in lines.items())
