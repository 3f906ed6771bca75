"""Expressions in the files of other programs, both ways; here WebVTT, SubRip and RTTM.

Their times are whole milliseconds and their intervals half open: the last frame's time is written
as the end of its millisecond, and read back as the start of it, so that nothing moves by more than
1 ms however often it goes to and fro.
"""

from __future__ import annotations

import html
import json
import math
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote

from aumer.errors import UsageError
from aumer.files import StrPath, atomic_write
from aumer.foreign import foreign
from aumer.results.formats import Format, format_of
from aumer.results.schema import printable
from aumer.types import KINDS, ImageArray, Kind

if TYPE_CHECKING:
    from aumer.results.spot_result import SpotResult


@dataclass(frozen=True)
class Timed:
    """One expression by its times alone; `None` is what the file does not say.

    Attributes:
        onset_s, apex_s, offset_s: in seconds; the offset is the time of the last frame.

    Raises:
        ValueError: unknown kind, or times that are negative or out of order.
    """

    kind: Kind
    onset_s: float
    offset_s: float
    apex_s: float | None = None
    label: str | None = None
    score: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; found {self.kind!r}")
        times = [t for t in (self.onset_s, self.apex_s, self.offset_s) if t is not None]
        if not all(map(math.isfinite, times)) or times[0] < 0 or times != sorted(times):
            raise ValueError(f"times must be 0 <= onset <= apex <= offset; found {times}")


def read_annotations(path: StrPath) -> tuple[Timed, ...]:
    """The expressions of a file of any format that holds them.

    Raises:
        UsageError: the suffix is unknown, its format is not read, or the file is not of it.
    """
    kind = format_of(path)
    if not isinstance(kind, Exchange):
        raise UsageError(
            f"{path} is not read for annotations; allowed are .eaf, .vtt, .srt and .rttm"
        )
    with foreign(path, "annotations"):
        return kind.parse(Path(path).read_text(encoding="utf-8-sig"))


def ms(seconds: float) -> int:
    """The millisecond that holds a time; what stands just below one by rounding is in it."""
    return math.floor(seconds * 1000 + 1e-6)


class Exchange(Format):
    """A text file that another program reads, and that is read back as `Timed`."""

    @abstractmethod
    def text(self, name: str, timed: Sequence[Timed]) -> str:
        """The file's content for a video of this name."""

    @abstractmethod
    def parse(self, text: str) -> tuple[Timed, ...]:
        """What `text` wrote; raises whatever it likes on other content."""

    def write(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        overwrite: bool = False,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        timed = [
            Timed(e.kind, e.onset_s, e.offset_s, e.apex_s, e.label, e.score)
            for e in result.expressions
        ]
        atomic_write(path, self.text(printable(result.video.name), timed), overwrite=overwrite)


class SubRip(Exchange):
    """Subtitles; apex, score and label are lines of each."""

    def text(self, name: str, timed: Sequence[Timed]) -> str:
        return "\n".join(
            f"{k}\n{_clock(ms(e.onset_s), ',')} --> {_clock(ms(e.offset_s) + 1, ',')}\n"
            + "".join(f"{line}\n" for line in _said(e))
            for k, e in enumerate(timed, 1)
        )

    def parse(self, text: str) -> tuple[Timed, ...]:
        return tuple(_cues(text.replace("\r\n", "\n").split("\n")))


class WebVtt(Exchange):
    """Subtitles of web pages; apex, score and label are lines of each."""

    def text(self, name: str, timed: Sequence[Timed]) -> str:
        return "WEBVTT\n" + "".join(
            f"\n{_clock(ms(e.onset_s), '.')} --> {_clock(ms(e.offset_s) + 1, '.')}\n"
            + "".join(f"{html.escape(line, quote=False)}\n" for line in _said(e))
            for e in timed
        )

    def parse(self, text: str) -> tuple[Timed, ...]:
        lines = text.replace("\r\n", "\n").split("\n")
        if not lines[0].startswith("WEBVTT"):
            raise ValueError("the first line is not WEBVTT")
        return tuple(_cues([html.unescape(s) if "-->" not in s else s for s in lines[1:]]))


class Rttm(Exchange):
    """Rich transcription time marks; the apex has no place in it and is lost.

    The speaker's place holds the kind, and after a colon the label, its letters percent-encoded.
    """

    def text(self, name: str, timed: Sequence[Timed]) -> str:
        file = _encoded(name) or "<NA>"
        return "".join(
            f"SPEAKER {file} 1 {ms(e.onset_s) / 1000:.3f} "
            f"{(ms(e.offset_s) + 1 - ms(e.onset_s)) / 1000:.3f} <NA> <NA> "
            f"{e.kind}{'' if e.label is None else ':' + _encoded(e.label)} "
            f"{'<NA>' if e.score is None else repr(float(e.score))} <NA>\n"
            for e in timed
        )

    def parse(self, text: str) -> tuple[Timed, ...]:
        found = []
        for line in text.splitlines():
            if not line.startswith("SPEAKER "):
                continue
            _, _, _, start, length, _, _, who, score, *_ = line.split()
            kind, colon, label = who.partition(":")
            begin = round(float(start) * 1000)
            found.append(
                Timed(
                    cast(Kind, kind),
                    begin / 1000,
                    (begin + round(float(length) * 1000) - 1) / 1000,
                    None,
                    unquote(label) if colon else None,
                    None if score == "<NA>" else float(score),
                )
            )
        return tuple(found)


def _encoded(text: str) -> str:
    return quote(text, safe="")


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"


def _said(timed: Timed) -> list[str]:
    """The lines of a subtitle; a label is quoted as in JSON, so that it stays on its line."""
    said = {"label": timed.label, "score": timed.score}
    apex = [] if timed.apex_s is None else [f"apex: {_clock(ms(timed.apex_s), '.')}"]
    rest = [f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in said.items() if v is not None]
    return [timed.kind, *apex, *rest]


_TIMES = re.compile(r"\s*([\d:.,]+)\s+-->\s+([\d:.,]+)(\s.*)?")


def _seconds(clock: str) -> float:
    total = 0.0
    for part in clock.replace(",", ".").split(":"):
        total = total * 60 + float(part)
    return round(total, 3)


def _cues(lines: Iterable[str]) -> Iterable[Timed]:
    rest = iter(lines)
    for line in rest:
        if not (times := _TIMES.fullmatch(line)):
            continue
        said: dict[str, str] = {}
        kind = next(rest, "")
        while entry := next(rest, ""):
            key, _, value = entry.partition(": ")
            said[key] = value
        score, label = (json.loads(said[k]) if k in said else None for k in ("score", "label"))
        apex = _seconds(said["apex"]) if "apex" in said else None
        end = round(_seconds(times[2]) - 0.001, 3)
        yield Timed(cast(Kind, kind), _seconds(times[1]), end, apex, label, score)
