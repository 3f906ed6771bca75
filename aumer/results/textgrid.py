"""Praat's TextGrid."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from aumer.results.exchange import (
    Apexes,
    Exchange,
    Timed,
    at,
    closed,
    heard,
    kinds_of,
    lines_of,
    ms,
    one_line,
    tiers,
)


class TextGrid(Exchange):
    """Praat's tiers micro and macro, each with a tier of apexes as points; other values are text.

    A tier holds no overlap: overlapping expressions go to "micro 2" and so on. Praat's long and
    short text files are read, in UTF-8, UTF-16 and Latin-1, of which Praat writes any.
    """

    use = "Praat"
    holds = "interval tiers, and a point tier for each one's apexes"
    encoding = "latin-1"

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
                said = one_line(e).replace('"', '""')
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
        # Praat reads only quoted texts and standalone numbers; everything else is for people.
        text = "\n".join(lines_of(text))
        tokens = (m for m in _TOKEN.finditer(text) if m[1] is not None or m[2] is not None)
        found = (m[2] if m[1] is None else m[1] for m in tokens)
        if text.startswith("ooBinaryFile"):
            raise ValueError("it is a binary file; save it in Praat as a text file")
        head = [next(found, ""), next(found, "")]
        if head[:1] == ["Praat chronological TextGrid text file"]:
            raise ValueError("it is a chronological file; save it in Praat as a text file")
        if head != ["ooTextFile", "TextGrid"]:
            raise ValueError("it does not begin as a TextGrid does")
        spans: list[tuple[str, int, int, str]] = []
        points: dict[str, list[int]] = {}
        names: list[str] = []
        _, _, tiered = (_next(found) for _ in range(3))
        for _ in range(int(_next(found)) if tiered == "<exists>" else 0):
            sort, name, _, _, entries = (_next(found) for _ in range(5))
            names += [name] if sort == "IntervalTier" else []
            with at(f"tier {name!r}"):
                for _ in range(int(entries)):
                    if sort == "IntervalTier":
                        first, last, said = (_next(found) for _ in range(3))
                        said = said.replace('""', '"').strip()
                        if said:
                            spans.append((name, _ms_of(first), _ms_of(last), said))
                    else:
                        when, _ = _next(found), _next(found)
                        points.setdefault(name.casefold(), []).append(_ms_of(when))
        expressions = []
        kinds = kinds_of(names)
        apexes = {name: Apexes(times) for name, times in points.items()}
        for name, begin, after, said in spans:
            if (kind := kinds.get(name)) is None:
                continue
            with at(f"tier {name!r}, {begin / 1000} s"):
                times = closed(begin, after)
                word, *rest = said.split("\n")
                values = heard(kind, word, rest)
                if values is None:  # a coder's own text
                    values = {"label": said}
                apex = apexes.get(f"{name} apex".casefold(), Apexes([])).within(begin, after)
                expressions.append(Timed(kind, *times, **{**values, "apex_s": apex}))
        return tuple(sorted(expressions, key=lambda e: (e.onset_s, e.offset_s)))


def _next(tokens: Iterator[str]) -> str:
    try:
        return next(tokens)
    except StopIteration:
        raise ValueError("it ends too early") from None


#: What Praat reads: texts, in which quotes are doubled, and standalone words; not what follows an
#: exclamation mark.
_TOKEN = re.compile(
    r'"((?:[^"]|"")*)"|(?<!\S)(<exists>|<absent>|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?!\S)|![^\n]*'
)


def _number(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}"


def _ms_of(seconds: str) -> int:
    return round(float(seconds) * 1000)
