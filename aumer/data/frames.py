"""Conversion of coders' frames to 0-based closed intervals, with the same rules for all data
sets.
"""

from __future__ import annotations

from collections.abc import Collection

from aumer.data.report import Log, Rule
from aumer.tables.cells import Row, nearest_frame
from aumer.types import Annotation, Kind

FRACTION = Rule(
    "fractional-frame",
    "frames between two images (SAMM-LV, on another clock); the nearest is taken, halves upward",
)
EARLY_ONSET = Rule(
    "onset-before-video",
    "the movement was under way when the video began; the first frame is taken as its onset",
)
MISSING_APEX = Rule(
    "missing-apex",
    "0, -1, / or nothing stands for an apex nobody gave; there is none",
    final=False,
)
MISSING_OFFSET = Rule(
    "missing-offset",
    "0 or less, or nothing, stands for an offset nobody gave; there is none, and a policy fills it",
    final=False,
)
IMPOSSIBLE_OFFSET = Rule(
    "impossible-offset",
    "an offset before its onset cannot be repaired; it counts as missing",
    final=False,
)


def annotation(
    row: Row,
    log: Log,
    *,
    subject: str,
    video: str,
    kind: Kind,
    columns: tuple[str, str | None, str],
    first: int = 1,
    aus: str = "",
    emotion: str = "",
    missing: Collection[str] = (),
) -> Annotation:
    """The annotation of a row whose frame numbers start from `first`.

    Args:
        log: records every cell that is changed or refused.
        columns: columns of onset, apex (`None` if the set has none) and offset.
        missing: texts for missing apexes and offsets; "" for an empty cell.

    Raises:
        UsageError: a frame is not a number.
    """
    onset_column, apex_column, offset_column = columns
    onset = _frame(row, log, onset_column)
    if onset < first:
        log.correct(EARLY_ONSET, row.number, onset_column, onset, first)
        onset = first
    apex = None
    if apex_column is not None:
        if (text := row.optional(apex_column)) in missing:
            log.correct(MISSING_APEX, row.number, apex_column, text, None)
        elif (found := row.number_in(apex_column)) < first:
            log.correct(MISSING_APEX, row.number, apex_column, found, None)
        else:
            apex = _frame(row, log, apex_column)
    offset: int | None = None
    if (text := row.optional(offset_column)) in missing:
        log.correct(MISSING_OFFSET, row.number, offset_column, text, None)
    elif (found := row.number_in(offset_column)) < first:
        log.correct(MISSING_OFFSET, row.number, offset_column, found, None)
    elif (offset := _frame(row, log, offset_column)) < onset:
        log.correct(IMPOSSIBLE_OFFSET, row.number, offset_column, offset, None)
        offset = None
    return Annotation(
        subject=subject,
        video=video,
        kind=kind,
        onset=onset - first,
        apex=None if apex is None else apex - first,
        offset=None if offset is None else offset - first,
        aus=aus,
        emotion=emotion,
        row=row.number,
    )


def _frame(row: Row, log: Log, column: str) -> int:
    found = row.number_in(column)
    frame = nearest_frame(found)
    if frame != found:
        log.correct(FRACTION, row.number, column, found, frame)
    return frame


def kind_of(row: Row, column: str, words: dict[str, Kind]) -> Kind:
    """The kind in a cell, whose text must begin with one of `words`, ignoring case.

    Raises:
        UsageError: it begins with none of them.
    """
    found = row.text(column).casefold()
    for word, kind in words.items():
        if found.startswith(word):
            return kind
    raise row.error(column, f"needs one of {', '.join(words)}, found {row.text(column)!r}")
