"""Expressions in the files of other programs, both ways; here WebVTT, SubRip, RTTM and TextGrid.

Their times are whole milliseconds and their intervals half open: the last frame's time is written
as the end of its millisecond, and read back as the start of it, so that nothing moves by more than
1 ms however often it goes to and fro.
"""

from __future__ import annotations

import codecs
import html
import json
import math
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote

from aumer.errors import UsageError
from aumer.files import StrPath, atomic_write, check_target
from aumer.foreign import foreign
from aumer.results.formats import Format, ending, format_named, format_of, suffixes
from aumer.results.schema import printable
from aumer.types import KINDS, ImageArray, Kind, au_text

if TYPE_CHECKING:
    from aumer.results.spot_result import SpotResult


@dataclass(frozen=True)
class Timed:
    """One expression by its times alone; `None` is what the file does not say.

    Attributes:
        onset_s, apex_s, offset_s: in seconds; the offset is the time of the last frame.
        aus: the action units that act, as coders write them: "6+L12".

    Raises:
        ValueError: unknown kind, or times that are negative or out of order.
    """

    kind: Kind
    onset_s: float
    offset_s: float
    apex_s: float | None = None
    label: str | None = None
    score: float | None = None
    aus: str | None = field(default=None, kw_only=True)

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

    Example:
        >>> aumer.spot("interview.mp4").save("interview.eaf")
        >>> [(e.kind, e.onset_s, e.offset_s) for e in aumer.read_annotations("interview.eaf")]
        [('macro', 0.6, 1.4)]
    """
    kind = format_of(path)
    if not isinstance(kind, Exchange):
        raise UsageError(f"{path} cannot be read as annotations; allowed are {_endings()}")
    with foreign(path, "annotations"):
        data = Path(path).read_bytes()
        # Praat writes UTF-16 as soon as a letter is no ASCII.
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return kind.parse(data.decode("utf-16" if wide else "utf-8-sig"))


def convert(source: StrPath, target: StrPath, *, overwrite: bool = False) -> int:
    """Write a file's expressions in the format that another suffix names; returns how many.

    A result (.json) goes to any format, and files of annotations to each other's. What a format
    cannot hold is lost: its class says what.

    Raises:
        UsageError: as `read_annotations`, or the target is of a format that annotations alone
            cannot fill, or exists and `overwrite` is False.
    """
    made = format_of(target)
    if not isinstance(format_of(source), Exchange):
        from aumer.results.spot_result import SpotResult

        result = SpotResult.load(source)
        film = _film((source, target), result.video.name)
        replace(result, source=film).save(target, overwrite=overwrite)
        return len(result.expressions)
    timed = read_annotations(source)
    if not isinstance(made, Exchange):
        raise UsageError(
            f"{target} cannot be written: a result of aumer counts frames, and {source} holds "
            "times "
            f"alone. Choose a name that ends in one of {_endings()}"
        )
    film = _film((source, target), None)
    name = bare(Path(source).name) if film is None else film.name
    _write(made.files(Path(target), printable(name), timed, film), overwrite)
    return len(timed)


def _write(files: Mapping[Path, str], overwrite: bool) -> None:
    """Write them all, the one that was asked for last; none where one is in the way."""
    for path in files:
        check_target(path, overwrite=overwrite)
    for path, text in files.items():
        atomic_write(path, text, overwrite=overwrite)


def bare(name: str) -> str:
    """The name of a file of annotations without its ending."""
    found = annotation_ending(name) or Path(name).suffix
    return name[: len(name) - len(found)]


def _film(places: Iterable[StrPath], name: str | None) -> Path | None:
    """The video that lies beside one of these files: of this name, or of the first one's."""
    stem = bare(Path(next(iter(places := list(places)))).name)
    for folder in dict.fromkeys(Path(place).parent for place in places):
        for path in sorted(folder.glob("*")):
            if name is not None:
                fits = path.name == name
            else:
                is_film = (guess_type(path.name)[0] or "").startswith("video/")
                fits = is_film and (path.stem == stem or stem.startswith(f"{path.name}."))
            if fits:
                return path
    return None


def described(e: Timed) -> str:
    """The kind, and after a slash the label: what programs call an event that has one name."""
    return e.kind if e.label is None else f"{e.kind}/{e.label}"


def parted(text: str) -> tuple[Kind | None, str | None]:
    """Kind and label of `described`, the kind upper case or not; None where it is none of ours."""
    first, slash, label = text.partition("/")
    kind = next((k for k in KINDS if k == first.strip().casefold()), None)
    return kind, label if kind and slash else None


def ms(seconds: float) -> int:
    """The millisecond that holds a time; what stands just below one by rounding is in it."""
    return math.floor(seconds * 1000 + 1e-6)


def annotation_endings() -> tuple[str, ...]:
    """How files of the formats that hold annotations end, whatever else is registered."""
    names = [suffix[1:] for suffix in suffixes()]
    return tuple(ending(n) for n in names if isinstance(format_named(n), Exchange))


def annotation_ending(path: StrPath) -> str | None:
    """How the name of a file of annotations ends; None for a file that is none, by its name."""
    name = Path(path).name.lower()
    suffix = Path(name).suffix
    if suffix not in suffixes() or not isinstance(made := format_named(suffix[1:]), Exchange):
        return None
    return next((end for end in made.endings or (suffix,) if name.endswith(end)), None)


def _endings() -> str:
    return ", ".join(annotation_endings())


def tiers(timed: Sequence[Timed]) -> Iterator[tuple[str, list[Timed]]]:
    """Names of tiers, one at least of each kind, and what each holds: nothing that overlaps."""
    for kind in KINDS:
        for k, lane in enumerate(_lanes([e for e in timed if e.kind == kind]) or [[]], 1):
            yield kind if k == 1 else f"{kind} {k}", lane


def kinds_of(names: Iterable[str]) -> dict[str, Kind]:
    """The kind of each tier that is one of `tiers`, upper case or not.

    Raises:
        ValueError: none is.
    """
    names = list(names)
    read = {name: re.sub(r" \d+$", "", name.strip()).casefold() for name in names}
    found = {name: kind for name, kind in read.items() if kind in KINDS}
    if not found:
        there = ", ".join(map(repr, names)) or "none"
        raise ValueError(f"it has no tier {' or '.join(KINDS)}; its tiers are {there}")
    return found


def _lanes(timed: Sequence[Timed]) -> list[list[Timed]]:
    """Lists in which nothing overlaps, as few as it takes: what a tier can hold."""
    found: list[list[Timed]] = []
    for e in sorted(timed, key=lambda e: (e.onset_s, e.offset_s)):
        lane = next((lane for lane in found if ms(lane[-1].offset_s) < ms(e.onset_s)), None)
        if lane is None:
            found.append([e])
        else:
            lane.append(e)
    return found


class Exchange(Format):
    """A text file that another program reads, and that is read back as `Timed`."""

    @abstractmethod
    def text(self, name: str, timed: Sequence[Timed]) -> str:
        """The file's content for a video of this name."""

    @abstractmethod
    def parse(self, text: str) -> tuple[Timed, ...]:
        """What `text` wrote; raises whatever it likes on other content."""

    def files(
        self,
        path: Path,
        name: str,
        timed: Sequence[Timed],
        film: Path | None = None,
        result: SpotResult | None = None,
    ) -> dict[Path, str]:
        """Every file that is written, by its path, with its content; `path` is the last.

        Args:
            name: of the video.
            film: the video's file, where it is known.
            result: what the expressions are of, where they are a result's.
        """
        return {path: self.text(name, timed)}

    def write(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        overwrite: bool = False,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        name, timed = printable(result.video.name), timed_of(result)
        _write(self.files(Path(path), name, timed, result.source, result), overwrite)

    def alone(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        if self.companions(Path(path)):
            atomic_write(path, self.text(printable(result.video.name), timed_of(result)))
        else:
            self.write(replace(result, source=None), path)


def timed_of(result: SpotResult) -> tuple[Timed, ...]:
    """A result's expressions by their times."""
    return tuple(
        Timed(
            e.kind,
            e.onset_s,
            e.offset_s,
            e.apex_s,
            None if e.label is None else printable(e.label),
            e.score,
            aus=au_text(e.aus) or None,
        )
        for e in result.expressions
    )


class SubRip(Exchange):
    """Subtitles; apex, score, label and action units are lines of each."""

    use = "players"
    holds = "a subtitle for each expression"

    def text(self, name: str, timed: Sequence[Timed]) -> str:
        return "\n".join(
            f"{k}\n{_clock(ms(e.onset_s), ',')} --> {_clock(ms(e.offset_s) + 1, ',')}\n"
            + "".join(f"{line}\n" for line in _said(e))
            for k, e in enumerate(timed, 1)
        )

    def parse(self, text: str) -> tuple[Timed, ...]:
        return tuple(_cues(text.replace("\r\n", "\n").split("\n")))


class WebVtt(Exchange):
    """Subtitles of web pages; apex, score, label and action units are lines of each."""

    use = "players and web pages"
    holds = "a subtitle for each expression"

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
    """Rich transcription time marks; apex and action units have no place in it and are lost.

    The speaker's place holds the kind, and after a colon the label, its letters percent-encoded.
    """

    use = "diarization tools"
    holds = "kind, label, score, begin and duration; apex and action units are lost"

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


class TextGrid(Exchange):
    """Praat's tiers micro and macro, and of each the apexes as points; what else is known is text.

    A tier holds no overlap: what overlaps goes to "micro 2" and so on.
    """

    use = "Praat"
    holds = "interval tiers, and a point tier for each one's apexes"

    def text(self, name: str, timed: Sequence[Timed]) -> str:
        end = max((ms(e.offset_s) + 1 for e in timed), default=1)
        made: list[list[str]] = []

        def tier(kind: str, name: str, entries: Sequence[Sequence[str]]) -> None:
            lines = [f'"{kind}"', f'"{name}"', "0", _number(end), str(len(entries))]
            made.append([*lines, *(value for entry in entries for value in entry)])

        for main, lane in tiers(timed):
            entries, now = [], 0
            for e in lane:
                begin, after = ms(e.onset_s), ms(e.offset_s) + 1
                if begin > now:
                    entries.append((_number(now), _number(begin), '""'))
                said = "\n".join(_said(replace(e, apex_s=None))).replace('"', '""')
                entries.append((_number(begin), _number(after), f'"{said}"'))
                now = after
            if now < end:
                entries.append((_number(now), _number(end), '""'))
            tier("IntervalTier", main, entries)
            points = [(_number(ms(e.apex_s)), '"apex"') for e in lane if e.apex_s is not None]
            tier("TextTier", f"{main} apex", points)
        head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
        body = ["0", _number(end), "<exists>", str(len(made)), *(v for t in made for v in t)]
        return "\n".join([*head, *body]) + "\n"

    def parse(self, text: str) -> tuple[Timed, ...]:
        # Praat reads what stands alone: texts in quotes and numbers. All else is for people.
        text = text.replace("\r\n", "\n")
        found = iter([m[1] if m[2] is None else m[2] for m in _TOKEN.finditer(text)])
        if [next(found, ""), next(found, "")] != ["ooTextFile", "TextGrid"]:
            raise ValueError("it does not begin as a TextGrid does")
        _, _, _, count = (next(found) for _ in range(4))
        spans: list[tuple[str, int, int, str]] = []
        points: dict[str, list[int]] = {}
        names: list[str] = []
        for _ in range(int(count)):
            sort, name, _, _, entries = (next(found) for _ in range(5))
            names += [name] if sort == "IntervalTier" else []
            for _ in range(int(entries)):
                if sort == "IntervalTier":
                    begin, after, said = (next(found) for _ in range(3))
                    said = said.replace('""', '"').strip()
                    if said:
                        spans.append((name, _ms_of(begin), _ms_of(after), said))
                else:
                    at, _ = next(found), next(found)
                    points.setdefault(name, []).append(_ms_of(at))
        expressions = []
        kinds = kinds_of(names)
        for name, begin, after, said in spans:
            if (kind := kinds.get(name)) is None:
                continue
            first, *rest = said.split("\n")
            values = dict(line.partition(": ")[::2] for line in rest)
            label, score, aus = (json.loads(values[k]) if k in values else None for k in _SAID)
            if first != kind:  # a coder's own word
                label = said
            apex = next((t for t in points.get(f"{name} apex", ()) if begin <= t < after), None)
            times = (
                begin / 1000,
                max(begin, after - 1) / 1000,
                None if apex is None else apex / 1000,
            )
            expressions.append(Timed(kind, *times, label, score, aus=aus))
        return tuple(sorted(expressions, key=lambda e: (e.onset_s, e.offset_s)))


#: What Praat reads of a file: texts, in which quotes are doubled, and what stands alone.
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)(<exists>|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?!\S)')
_SAID = ("label", "score", "aus")


def _number(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}"


def _ms_of(seconds: str) -> int:
    return round(float(seconds) * 1000)


def _encoded(text: str) -> str:
    return quote(text, safe="")


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"


def _said(timed: Timed) -> list[str]:
    """The lines of a subtitle; a label is quoted as in JSON, so that it stays on its line."""
    said = {name: getattr(timed, name) for name in _SAID}
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
        label, score, aus = (json.loads(said[k]) if k in said else None for k in _SAID)
        apex = _seconds(said["apex"]) if "apex" in said else None
        end = round(_seconds(times[2]) - 0.001, 3)
        yield Timed(cast(Kind, kind), _seconds(times[1]), end, apex, label, score, aus=aus)
