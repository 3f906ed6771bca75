"""What a loader says beside its data: what it corrected, what it refused, what it found wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from aumer.tables.cells import Table
from aumer.types import Annotation

#: Subject and video.
Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Rule:
    """A correction that a loader makes, and why.

    Attributes:
        name: the fault it answers, as `aumer data check` lists it.
        reason: what is known, and what is done.
        final: nothing is left for a policy to decide.
    """

    name: str
    reason: str
    final: bool = True


@dataclass(frozen=True)
class Correction:
    """A cell that is not taken as it stands."""

    rule: Rule
    row: int
    column: str
    found: str
    used: str


@dataclass(frozen=True)
class Refusal:
    """A cell, or with it a row, that no annotation was made of."""

    row: int
    column: str
    text: str
    reason: str


@dataclass(frozen=True)
class TableReport:
    """A table that was read.

    Attributes:
        rows: lines with data. A line may hold several annotations (SMIC-HS).
        lengths: frames of a video, by subject and video, where the table says so.
        rates: frames per second of a video, where the table says so.
        parts: the tables that it was made of, whose rows are numbered apart; none for one alone.
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
        """What was made of `table`, with what the `log` says."""
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
    """Something of a data set that is not as it should be.

    Attributes:
        code: which of `aumer.data.check.FAULTS`.
        row: of the table, 0 if it concerns none.
    """

    code: str
    message: str
    subject: str = ""
    video: str = ""
    row: int = 0


@dataclass(frozen=True)
class Unplaced:
    """A row whose frames are not among those of its video, so that no record holds it.

    Attributes:
        annotation: with the table's own frames.
        inside: what of it is in the video, in the video's frames; `None` if nothing is, or nobody
            can tell.
        reason: which frames are not there.
    """

    annotation: Annotation
    inside: Annotation | None
    reason: str


@dataclass(frozen=True)
class DataReport:
    """What an adapter read, and what it found wrong while it joined table and folders.

    Attributes:
        tables: the one that is used first; others are there to be compared with it.
        notes: what a user should know of the data, and is no fault.
        unplaced: rows that `aumer.data.mismatch` deals with, each of which is a fault, too.
    """

    tables: tuple[TableReport, ...] = ()
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    unplaced: tuple[Unplaced, ...] = ()


@dataclass
class Log:
    """Corrections and refusals while a table is read."""

    corrections: list[Correction] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def correct(self, rule: Rule, row: int, column: str, found: object, used: object) -> None:
        shown = [f"{v:g}" if isinstance(v, float) else str(v) for v in (found, used)]
        self.corrections.append(Correction(rule, row, column, *shown))

    def refuse(self, row: int, column: str, text: object, reason: str) -> None:
        self.refusals.append(Refusal(row, column, str(text), reason))
