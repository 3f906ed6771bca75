"""Rich Transcription Time Marked: intervals of several videos in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from urllib.parse import quote, unquote

from aumer.results.exchange import (
    Exchange,
    Timed,
    at,
    cleaned,
    closed,
    kind_of,
    lines_of,
    ms,
    some_of,
)


class Rttm(Exchange):
    """Rich transcription time marks; apex and action units are lost.

    The speaker is the kind, and after a colon the percent-encoded label. Other speakers are
    ignored. A file may contain several videos.
    """

    use = "diarization tools"
    holds = "kind, label, score, begin and duration; apex, action units and comment are lost"

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
        return tuple(chain.from_iterable(self.named(text).values()))

    def named(self, text: str) -> Mapping[str, tuple[Timed, ...]]:
        found: dict[str, list[Timed]] = {}
        others, spoken, said = set(), False, False
        for number, line in enumerate(lines_of(text), 1):
            words = line.split()
            said = said or bool(words)
            if words[:1] != ["SPEAKER"]:
                continue
            spoken = True
            with at(f"line {number}"):
                if len(words) < 8:
                    raise ValueError(f"it has {len(words)} fields; a SPEAKER line has 8 at least")
                _, file, _, start, length, _, _, who, score, *_ = (*words, "<NA>")
                first, colon, label = who.partition(":")
                if not (kind := kind_of(first)):
                    others.add(who)
                    continue
                begin = round(float(start) * 1000)
                times = closed(begin, begin + round(float(length) * 1000))
                made = Timed(
                    kind,
                    *times,
                    None,
                    unquote(label) if colon else None,
                    None if score == "<NA>" else float(score),
                )
            video = "" if file == "<NA>" else unquote(file)
            found.setdefault(video, []).append(cleaned(made))
        if said and not spoken:
            raise ValueError("no line begins with SPEAKER")
        if others and not found:
            raise ValueError(f"no speaker is called micro or macro; there are {some_of(others)}")
        return {name: tuple(rows) for name, rows in found.items()}


def _encoded(text: str) -> str:
    return quote(text, safe="")
