"""Reports of data-set readers: corrections, refusals and faults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from aumer.tables.cells import Table
from aumer.types import Annotation

#: Key of a video: subject and video.
Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Rule:
    """A rule of correction with its reason.

    Attributes:
        name: code of the fault in `aumer data check`.
        reason: known facts, and the correction.
        final: whether no policy is needed.
    """

    name: str
    reason: str
    final: bool = True


@dataclass(frozen=True)
class Correction:
    """A cell that was changed."""

    rule: Rule
    row: int
    column: str
    found: str
    used: str


@dataclass(frozen=True)
class Refusal:
    """A refused cell or row."""

    row: int
    column: str
    text: str
    reason: str


@dataclass(frozen=True)
class TableReport:
    """The result of reading a table.

    Attributes:
        rows: lines with data. A line may hold several annotations (SMIC-HS).
        lengths: number of frames by video, if in the table.
        rates: frame rate by video, if in the table.
        parts: the merged tables, with separate row numbers; empty for a single table.
    """

    dataset: str
    path: Path
    sheet: str
    rows: int
    annotations: tuple[Annotation, ...]
    corrections: tuple[Correction, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    lengths: Mapping[Key, int] = field(default_factory=dict)
    rates: Mapping[Key, float] = field(default_factory=dict)
    parts: tuple[TableReport, ...] = ()

    @classmethod
    def of(
        cls,
        dataset: str,
        table: Table,
        annotations: Iterable[Annotation],
        log: Log,
        *,
        lengths: Mapping[Key, int] | None = None,
        rates: Mapping[Key, float] | None = None,
    ) -> TableReport:
        """The report of `table` with the entries of `log`."""
        return cls(
            dataset,
            table.path,
            table.sheet,
            len(table),
            tuple(annotations),
            tuple(log.corrections),
            tuple(log.refusals),
            lengths or {},
            rates or {},
        )


@dataclass(frozen=True)
class Fault:
    """A fault in a data set.

    Attributes:
        code: one of `aumer.data.check.FAULTS`.
        row: row of the table, 0 for none.
    """

    code: str
    message: str
    subject: str = ""
    video: str = ""
    row: int = 0


@dataclass(frozen=True)
class Unplaced:
    """A row whose frames are not in its video, and which is in no record.

    Attributes:
        annotation: annotation in the table's frames.
        inside: the part in the video, in the video's frames; `None` if there is none or unknown.
        reason: the missing frames.
    """

    annotation: Annotation
    inside: Annotation | None
    reason: str


@dataclass(frozen=True)
class DataReport:
    """The report of a data set: tables, and faults found while joining them with folders.

    Attributes:
        tables: the used table first; others for comparison.
        notes: remarks that are not faults.
        unplaced: rows for `aumer.data.mismatch`; each is also a fault.
    """

    tables: tuple[TableReport, ...] = ()
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    unplaced: tuple[Unplaced, ...] = ()


@dataclass
class Log:
    """Collects corrections and refusals while a table is read."""

    corrections: list[Correction] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def correct(self, rule: Rule, row: int, column: str, found: object, used: object) -> None:
        shown = [f"{v:g}" if isinstance(v, float) else str(v) for v in (found, used)]
        self.corrections.append(Correction(rule, row, column, *shown))

    def refuse(self, row: int, column: str, text: object, reason: str) -> None:
        self.refusals.append(Refusal(row, column, str(text), reason))
