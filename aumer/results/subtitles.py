"""Subtitles: SubRip and WebVTT."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence

from aumer.results.exchange import (
    FACTS,
    Exchange,
    Timed,
    at,
    clock_of,
    closed,
    heard,
    lines_of,
    ms,
    parted,
    seconds_of,
    some_of,
    subtitle_lines,
)


class SubRip(Exchange):
    """Subtitles; apex, score, label and action units are lines of each."""

    use = "players"
    holds = "a subtitle for each expression"

    def text(self, name: str, timed: Sequence[Timed]) -> str:
        return "\n".join(
            f"{k}\n{clock_of(ms(e.onset_s), ',')} --> {clock_of(ms(e.offset_s) + 1, ',')}\n"
            + "".join(f"{line}\n" for line in subtitle_lines(e))
            for k, e in enumerate(timed, 1)
        )

    def parse(self, text: str) -> tuple[Timed, ...]:
        return tuple(_cues(lines_of(text)))


class WebVtt(Exchange):
    """Subtitles of web pages; apex, score, label and action units are lines of each."""

    use = "players and web pages"
    holds = "a subtitle for each expression"

    def text(self, name: str, timed: Sequence[Timed]) -> str:
        return "WEBVTT\n" + "".join(
            f"\n{clock_of(ms(e.onset_s), '.')} --> {clock_of(ms(e.offset_s) + 1, '.')}\n"
            + "".join(f"{html.escape(line, quote=False)}\n" for line in subtitle_lines(e))
            for e in timed
        )

    def parse(self, text: str) -> tuple[Timed, ...]:
        first, *lines = lines_of(text)
        if not re.match(r"WEBVTT([ \t]|$)", first):
            raise ValueError("the first line is not WEBVTT")
        return tuple(_cues(["", *lines], html.unescape))


_CLOCK = r"(?:\d+:)?\d+:\d+(?:[.,]\d+)?"

_TIMES = re.compile(rf"\s*({_CLOCK})\s*-->\s*({_CLOCK})(\s.*)?")

#: Markup in subtitles: tags, and positions in braces.
_TAGS = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")


def _cues(lines: Sequence[str], unescaped: Callable[[str], str] = str) -> Iterator[Timed]:
    """The subtitles that are expressions.

    Raises:
        ValueError: there are only other subtitles, or one has invalid times.
    """
    others, ours = set(), False
    rest = iter(enumerate(lines, 1))
    for number, line in rest:
        if "-->" not in line:
            continue
        with at(f"line {number}"):
            if not (times := _TIMES.fullmatch(line)):
                raise ValueError(f"{line.strip()!r} does not say times as HH:MM:SS.mmm --> HH:...")
            said: list[str] = []
            while (words := next(rest, (0, ""))[1]).strip():
                said.append(words)
            first = unescaped(_TAGS.sub("", said[0]) if said else "").strip()
            if not (kind := parted(first)[0]):
                others.add(first)
                continue
            ours = True
            values = heard(kind, first, [_unmarked(unescaped, words) for words in said[1:]])
            assert values is not None, "its kind is known"
            begin, after = (round(seconds_of(times[k]) * 1000) for k in (1, 2))
            yield Timed(kind, *closed(begin, after), **values)
    if others and not ours:
        raise ValueError(f"no subtitle begins with micro or macro; there are {some_of(others)}")


def _unmarked(unescaped: Callable[[str], str], line: str) -> str:
    """A further line of a subtitle without tags; a line of `subtitle_lines` is unchanged, since
    values may contain any text.
    """
    key = line.partition(":")[0].strip()
    return unescaped(line if key in FACTS else _TAGS.sub("", line))
