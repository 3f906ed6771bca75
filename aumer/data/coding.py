"""Declarative description of data sets' tables, with one common reader.

A table with one expression per row and named columns is described by a `Coding`; the data set's
module defines columns and the names of subjects and videos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aumer.data.frames import annotation, kind_of
from aumer.data.report import Key, Log, Rule, TableReport
from aumer.files import StrPath
from aumer.tables.cells import Column, Row, names_of, read
from aumer.tables.lines import COLUMNS
from aumer.types import Annotation, Kind

#: Texts for missing apexes and offsets in tables whose conventions are unknown: the empty text and
#: those of the other tables.
NOTHING = ("", "/", "\\", "-", "?", "nan", "NaN")
#: Beginnings of cells for the kind.
KINDS: dict[str, Kind] = {"macro": "macro", "micro": "micro", "mae": "macro", "me": "micro"}

SUBJECT_NAME = Rule(
    "subject-name",
    "the row's subject is not the one in the name of its video; the row's is taken",
    final=False,
)
_NO_ONSET = "no onset: nothing is annotated"


@dataclass(frozen=True)
class Fix:
    """The correction of a wrong cell in the owners' table.

    Attributes:
        video: name in the table; `column` is the column of the cell.
        found: the wrong value; other editions may be right.
        rule: rule with source and reason of the correction.
    """

    video: str
    column: str
    found: str
    used: str
    rule: Rule


@dataclass(frozen=True)
class Coding:
    """Description of a table with one expression per row.

    Attributes:
        dataset: name of the data set.
        names: function that returns aumer's names of a row's subject and video.
        subject, video, onset, apex, offset, aus, emotion: columns; `None` if the set does not have
            it. With several names, rows use the first.
        sheet: name of the sheet in a workbook, if it exists.
        kind: kind of all expressions, if there is no column for it.
        first: number of a video's first frame in the table.
        missing: texts for missing apexes and offsets.
        rate: column of a video's frame rate.
        fixes: corrections of wrong cells.
        cleaned: cleans the cell of action units; returns text and reason.
        subject_in: pattern of the subject in a video's name, to compare it with the row's.
        lenient: for layouts that are not public or differ between releases: columns and values of
            apex, offset, action units and emotion may be missing, a row without an onset is
            refused, and the kind is read from a column with a name in `aumer.tables.lines.COLUMNS`.
    """

    dataset: str
    names: Callable[[Row], Key]
    onset: Column
    offset: Column
    apex: Column | None = None
    subject: Column = "Subject"
    video: Column = "Filename"
    aus: Column | None = None
    emotion: Column | None = None
    sheet: str | None = None
    kind: Kind = "micro"
    first: int = 1
    missing: Sequence[str] = ()
    rate: Column | None = None
    fixes: Sequence[Fix] = ()
    cleaned: tuple[Rule, Callable[[str], str]] | None = None
    subject_in: Callable[[str], str | None] | None = None
    lenient: bool = False

    def read(self, path: StrPath) -> TableReport:
        """The table at a path.

        Raises:
            UsageError: a column is missing or a cell is invalid; the message says where.
        """
        given = [c for c in (self.apex, self.aus, self.emotion) if c is not None]
        needed = [self.subject, self.video, self.onset, *([] if self.lenient else given)]
        optional = [*given, COLUMNS["kind"]] if self.lenient else []
        (optional if self.lenient else needed).append(self.offset)
        if self.rate is not None:
            needed.append(self.rate)
        table = read(path, needed, sheet=self.sheet, optional=optional)
        log = Log()
        found, rates = [], {}
        for row in table:
            one = self._annotation(row, log)
            if self.rate is not None:
                rates[self.names(row)] = row.number_in(_name(self.rate))
            if one is not None:
                found.append(one)
        return TableReport.of(self.dataset, table, found, log, rates=rates)

    def _annotation(self, row: Row, log: Log) -> Annotation | None:
        row = self._fixed(row, log)
        subject, video = self.names(row)
        if self.subject_in is not None:
            said = self.subject_in(video)
            if said is not None and said.casefold() != subject.casefold():
                log.correct(SUBJECT_NAME, row.number, _name(self.video), video, subject)
        onset, offset = _name(self.onset), _name(self.offset)
        if self.lenient and row.optional(onset) in NOTHING:
            log.refuse(row.number, onset, row.optional(onset), _NO_ONSET)
            return None
        kinds = COLUMNS["kind"][0]
        return annotation(
            row,
            log,
            subject=subject,
            video=video,
            kind=kind_of(row, kinds, KINDS) if row.optional(kinds) else self.kind,
            columns=(onset, self._apex(row), offset),
            first=self.first,
            aus=self._aus(row, log),
            emotion=self._emotion(row),
            missing=NOTHING if self.lenient else self.missing,
        )

    def _fixed(self, row: Row, log: Log) -> Row:
        for fix in self.fixes:
            said = row.optional(_name(self.video)), row.optional(fix.column)
            if said == (fix.video, fix.found):
                log.correct(fix.rule, row.number, fix.column, fix.found, fix.used)
                row = replace(row, cells={**row.cells, fix.column: fix.used})
        return row

    def _apex(self, row: Row) -> str | None:
        name = None if self.apex is None else _name(self.apex)
        return name if name in row.cells else None  # optional column

    def _aus(self, row: Row, log: Log) -> str:
        if self.aus is None:
            return ""
        found = row.optional(_name(self.aus))
        if self.cleaned is None:
            return found
        rule, clean = self.cleaned
        if (used := clean(found)) != found:
            log.correct(rule, row.number, _name(self.aus), found, used)
        return used

    def _emotion(self, row: Row) -> str:
        if self.emotion is None:
            return ""
        name = _name(self.emotion)
        return row.optional(name) if self.lenient else row.text(name)


def _name(column: Column) -> str:
    return names_of(column)[0]


def subject_text(row: Row, column: str, pattern: str) -> str:
    """The name of a subject given by number or name: ``sub01`` for 1 and for ``sub01``, with the
    pattern ``sub{:02d}``.

    Raises:
        UsageError: the cell contains no integer.
    """
    text = row.text(column)
    digits = "".join(c for c in text if c.isdigit())
    if not digits or text.isdigit():
        return pattern.format(row.whole(column))
    return pattern.format(int(digits))
