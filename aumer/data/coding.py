"""How a data set's owners write their tables, said once: what becomes of a row is the same for all.

A data set with one expression in a row and named columns is a `Coding`; its module says which
columns, and how subject and video are named.
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

#: Texts that stand for an apex or an offset nobody gave, in a table whose owners' habits are not
#: known: nothing, and what the other tables have.
NOTHING = ("", "/", "\\", "-", "?", "nan", "NaN")
#: How a cell that says the kind begins.
KINDS: dict[str, Kind] = {"macro": "macro", "micro": "micro", "mae": "macro", "me": "micro"}

SUBJECT_NAME = Rule(
    "subject-name",
    "the row's subject is not the one in the name of its video; the row's is taken",
    final=False,
)
_NO_ONSET = "no onset: nothing is annotated"


@dataclass(frozen=True)
class Fix:
    """A cell of the owners' table that is wrong, and what it should say.

    Attributes:
        video: as the table names it; `column` that of the cell.
        found: what the cell must say to be corrected: another edition may have it right.
        rule: with the source of the correction and its reason.
    """

    video: str
    column: str
    found: str
    used: str
    rule: Rule


@dataclass(frozen=True)
class Coding:
    """A table with one expression in a row.

    Attributes:
        dataset: whose it is.
        names: subject and video of a row, as aumer calls them.
        subject, video, onset, apex, offset, aus, emotion: columns; `None` for one that the set does
            not have. Of one with several names a row knows it by the first.
        sheet: of a workbook, where it has a sheet of this name.
        kind: of the expressions, where no column says it.
        first: what the table calls a video's first frame.
        missing: texts that stand for an apex or an offset nobody gave.
        rate: column of a video's frames per second.
        fixes: wrong cells.
        cleaned: makes action units of what the cell says, and why.
        subject_in: the subject that a video's name begins with, to be compared with the row's.
        lenient: the owners' layout is not public, or differs between releases: apex, offset, action
            units, emotion and columns for them may be missing, a row without an onset is refused,
            and a column called as `aumer.tables.lines.COLUMNS` has it says the kind.
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
            UsageError: a column is missing or a cell holds something else; the message says where.
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
        return name if name in row.cells else None  # a set may have a table without

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
    """A subject that the table gives by its number, or by its name already: ``sub01`` of 1 and of
    ``sub01``, by the pattern ``sub{:02d}``.

    Raises:
        UsageError: the cell has no whole number in it.
    """
    text = row.text(column)
    digits = "".join(c for c in text if c.isdigit())
    if not digits or text.isdigit():
        return pattern.format(row.whole(column))
    return pattern.format(int(digits))
