"""Expressions as annotations of MNE-Python, and in its text files.

MNE is not a dependency of aumer: only `to_mne` needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aumer import registry
from aumer.errors import BackendUnavailable
from aumer.results.exchange import (
    Exchange,
    Timed,
    at,
    described,
    lasting,
    lines_of,
    parted,
    timed_of,
    within,
)
from aumer.results.spot_result import SpotResult

if TYPE_CHECKING:
    import mne

#: Further values of an annotation.
_EXTRAS = ("apex", "score", "aus", "comment")
#: Characters that are percent-encoded in MNE's text files: separators, blanks at the ends, and
#: non-ASCII characters, which MNE (1.13) writes as UTF-8 and reads as Latin-1.
_UNSAFE = re.compile(r"[%,#\"]|[^\x20-\x7e]|^ +| +$")


def to_mne(
    expressions: SpotResult | Iterable[Timed],
    *,
    begins_s: float = 0.0,
    orig_time: float | str | datetime | tuple[int, int] | None = None,
) -> mne.Annotations:
    """Expressions as `mne.Annotations`: ``raw.set_annotations(raw.annotations + to_mne(result))``.

    The description is the kind, and after a slash the label: "micro/surprise", so that
    ``events["micro"]`` selects all micro-expressions. The extras (from MNE 1.11 on) hold apex,
    score and action units.

    Args:
        expressions: of a result or of a file.
        begins_s: begin of the video in seconds of the recording.
        orig_time: as in `mne.Annotations`.

    Raises:
        BackendUnavailable: MNE is not installed.
    """
    try:
        import mne
    except ImportError as error:
        raise BackendUnavailable(
            "MNE-Python is not installed: pip install 'aumer[mne]', or save as -annot.txt, which "
            "`mne.read_annotations` reads"
        ) from error
    timed = timed_of(expressions) if isinstance(expressions, SpotResult) else tuple(expressions)
    more: dict[str, Any] = {}
    if "extras" in registry.arguments(mne.Annotations):
        more["extras"] = [
            {
                "apex": None if e.apex_s is None else float(begins_s + e.apex_s),
                "score": None if e.score is None else float(e.score),
                "aus": e.aus,
                "comment": e.comment,
            }
            for e in timed
        ]
    return mne.Annotations(
        onset=[begins_s + e.onset_s for e in timed],
        duration=[e.offset_s - e.onset_s for e in timed],
        description=[described(e) for e in timed],
        orig_time=orig_time,
        **more,
    )


def from_mne(annotations: mne.Annotations, *, begins_s: float = 0.0) -> tuple[Timed, ...]:
    """The annotations that are expressions: those whose text before a slash is micro or macro.

    Args:
        begins_s: begin of the video in seconds of the recording.

        Raises:
            ValueError: an expression begins before the video.
    """
    found = []
    extras = getattr(annotations, "extras", None) or [{}] * len(annotations)
    texts = zip(annotations.onset, annotations.duration, annotations.description, strict=True)
    for (onset, duration, text), extra in zip(texts, extras, strict=True):
        kind, label = parted(str(text))
        if kind is None:
            continue
        apex, score, aus, words = ((extra or {}).get(name) for name in _EXTRAS)
        begin = float(onset) - begins_s
        end = begin + float(duration)
        peak = None if apex in (None, "") else float(apex) - begins_s
        found.append(
            Timed(
                kind,
                begin,
                end,
                within(begin, peak, end),
                label,
                None if score in (None, "") else float(score),
                aus=None if aus in (None, "") else str(aus),
                comment=str(words or ""),
            )
        )
    return tuple(found)


class MneText(Exchange):
    """The text file of `mne.read_annotations`, with further columns (used from MNE 1.11 on).

    Commas, number signs, quotes and non-ASCII characters are percent-encoded in labels; MNE shows
    them encoded. Other annotations are ignored; an empty text for action units means none were
    read.
    """

    use = "MNE-Python"
    holds = "annotations, with apex, score and action units as extras (MNE 1.11 or later)"
    endings = ("-annot.txt", "_annot.txt")

    def text(self, name: str, timed: Sequence[Timed]) -> str:
        columns = ("onset", "duration", "description", *_EXTRAS)
        lines = ["# MNE-Annotations", f"# {', '.join(columns)}"]
        for e in timed:
            cells = (
                f"{e.onset_s:.6f}",
                f"{e.offset_s - e.onset_s:.6f}",
                _encoded(described(e)),
                "" if e.apex_s is None else f"{e.apex_s:.6f}",
                "" if e.score is None else repr(float(e.score)),
                _encoded(e.aus or ""),
                _encoded(e.comment),
            )
            lines.append(",".join(cells))
        return "\n".join(lines) + "\n"

    def parse(self, text: str) -> tuple[Timed, ...]:
        lines = lines_of(text)
        if lines[0].strip() != "# MNE-Annotations":
            raise ValueError("the first line is not '# MNE-Annotations'")
        columns = ["onset", "duration", "description", "ch_names"]
        found, others = [], set()
        for number, line in enumerate(lines[1:], 2):
            if line.startswith("#"):
                names = [name.strip() for name in line[1:].split(",")]
                columns = names if names[:3] == columns[:3] else columns
                continue
            if not line.strip():
                continue
            cells = dict(zip(columns, (cell.strip() for cell in line.split(",")), strict=False))
            with at(f"line {number}"):
                kind, label = parted(unquote(cells["description"]))
                if kind is None:
                    others.add(cells["description"])
                    continue
                apex, score, aus, words = (cells.get(name) or None for name in _EXTRAS)
                times = (cells["onset"], apex, cells["duration"])
                aus, words = aus and unquote(aus), unquote(words or "")
                found.append(lasting(kind, *times, label, score, aus, words))
        if others and not found:
            raise ValueError(
                "no annotation is called micro or macro; its descriptions are "
                + ", ".join(map(repr, sorted(others)))
            )
        return tuple(found)


def _encoded(text: str) -> str:
    return _UNSAFE.sub(lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode()), text)
