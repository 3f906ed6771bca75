"""The formats of result files, by suffix: what writes a `SpotResult`, and what reads it back.

A format ("format" in the registry, by its suffix without the dot) is a class derived from `Format`;
`SpotResult.save`, `SpotResult.load`, `aumer spot -o` and `aumer convert` find it there, and help
and documentation say of it what its class does (`table`).
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
    """One way to keep a result in a file.

    Attributes:
        pictures: it shows `thumbnails`, for which the video is read a second time.
        use, holds: for whom it is, and what it holds: a line of `table`.
        endings: how names of its files end, where the suffix alone does not tell them from others;
            the first is what aumer writes.

    Example:
        >>> from aumer.files import atomic_write
        >>> @aumer.register("format", "onsets")
        ... class Onsets(Format):
        ...     def write(self, result, path, *, overwrite=False, thumbnails=None):
        ...         lines = [f"{e.onset_s}\\n" for e in result.expressions]
        ...         atomic_write(path, "".join(lines), overwrite=overwrite)
        >>> aumer.spot("interview.mp4").save("interview.onsets")
        >>> open("interview.onsets").read().split()
        ['0.6']
    """

    pictures: ClassVar[bool] = False
    use: ClassVar[str] = "programs of your own"
    holds: ClassVar[str] = ""
    endings: ClassVar[tuple[str, ...]] = ()

    def companions(self, path: Path) -> tuple[Path, ...]:
        """The files that `write` may write beside `path`."""
        return ()

    def frames(self, result: SpotResult) -> tuple[int, ...]:
        """The frame ordinals whose faces it shows, if it gets them: by default the timeline's."""
        from aumer.results.plots import timeline_frames

        return timeline_frames(result) if self.pictures else ()

    def faceless(self, path: StrPath) -> bool:
        """Whether a file that `write` has written is known to show no face.

        Raises:
            UsageError: it cannot be read.
        """
        from aumer.results.drawing import FACELESS

        if not self.pictures:
            return True
        with foreign(path, "a picture"):
            return FACELESS.encode() in Path(path).read_bytes()

    def lost(self, result: SpotResult) -> str:
        """What of a result a file for another program does not hold, in words."""
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
        """Write the file, whole or not at all: `aumer.files.atomic_write` does.

        Args:
            thumbnails: face images, see `aumer.results.thumbnails`.

        Raises:
            UsageError: the file exists and `overwrite` is False, there is no such folder, or the
                system refuses to write.
        """

    def alone(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        """Write one file that is handed to another machine: as `write`, but nothing lies beside it,
        and it names no place of this one."""
        self.write(result, path, thumbnails=thumbnails)

    def read(self, path: StrPath) -> SpotResult:
        """The result that `write` wrote.

        Raises:
            UsageError: the format does not hold all of a result, the file cannot be read, or holds
                something else.
        """
        raise UsageError(
            f"{path} cannot be read as a result, as files of this format hold a part of one alone. "
            "Save results as .json to load them again"
        )


class Json(Format):
    """Everything, and the only one of ours that reads back."""

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
    """The timeline as a picture; matplotlib knows its format by the suffix."""

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
    """Those of all formats, the canonical .json first."""
    names = sorted(registry.names("format"), key=lambda name: (name != "json", name))
    return tuple(f".{name}" for name in names)


def check_suffix(path: StrPath, allowed: Sequence[str] | None = None) -> str:
    """The suffix of `path` in lower case, one of the allowed: call it before hours of work.

    Args:
        allowed: by default `suffixes`.

    Raises:
        UsageError: another suffix; the message lists the allowed ones and the nearest match.
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
        UsageError: there is none, or what is registered under it is no `Format`.
    """
    kind = registry.resolve("format", name)
    if not (isinstance(kind, type) and issubclass(kind, Format)):
        raise UsageError(
            f"the format {name!r} cannot be used: formats are classes derived from "
            f"aumer.results.formats.Format, and {kind!r} is none"
        )
    return kind()


def format_of(path: StrPath) -> Format:
    """The format that the name of `path` tells.

    Raises:
        UsageError: as `check_suffix` and `format_named`, or it must end in another way.
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
    """How aumer ends the names of files of a format: ".json", "_events.tsv"."""
    endings = format_named(name).endings
    return endings[0] if endings else f".{name}"


def table() -> tuple[tuple[tuple[str, ...], str, str], ...]:
    """Every format: how its files end, for whom they are, and what they hold.

    What help and documentation say; `suffixes`' order, one line for those of one class.
    """
    lines: dict[type[Format], list[str]] = {}
    for suffix in suffixes():
        lines.setdefault(type(format_named(suffix[1:])), []).append(ending(suffix[1:]))
    return tuple((tuple(own), kind.use, kind.holds) for kind, own in lines.items())
