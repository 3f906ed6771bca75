"""The reader of files of annotations where tables of intervals are taken (`aumer bench score`).

It reads what `aumer spot` and `aumer view` write for ELAN, Praat, BIDS and others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from aumer.results.exchange import Exchange, Timed, annotation_ending, bare
from aumer.results.formats import format_of
from aumer.tables.cells import Sheet
from aumer.tables.lines import Lines
from aumer.tables.reading import IntervalReader, IntervalReading

_NAMES = ("video", "kind", "onset_s", "apex_s", "offset_s", "score")


class AnnotationsReader(IntervalReader):
    """Files of annotations other than tables with the names of their columns."""

    what: ClassVar[str] = (
        "files of annotations: ELAN's, Praat's, subtitles, RTTM, BIDS events and those of `aumer "
        "view`; the video has the file's name where the file names none"
    )

    def fits(self, path: Path) -> bool:
        ending = annotation_ending(path)
        return ending not in (None, ".csv") and path.is_file()

    def find(self, path: Path, reading: IntervalReading) -> Sequence[Lines]:
        made = format_of(path)
        assert isinstance(made, Exchange)
        lines = [
            [name or bare(path.name), *_cells(one)]
            for name, timed in made.videos(path).items()
            for one in timed or (None,)
        ]
        return [Lines(Sheet(path, "", lines), -1, _NAMES)]


def _cells(one: Timed | None) -> list[object]:
    """Of one expression, or of a video without any."""
    if one is None:
        return ["none", "", "", "", ""]
    known = (one.onset_s, one.apex_s, one.offset_s, one.score)
    return [one.kind, *("" if value is None else value for value in known)]
