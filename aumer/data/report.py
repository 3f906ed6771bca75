"""What a loader says beside its data: what it corrected, what it refused, what it found wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aumer.types import Annotation


@dataclass(frozen=True)
class Rule:
    """A correction that a loader makes, and why.

    Attributes:
        name: the fault it answers, as `aumer data check` lists it.
        reason: what is known, and what is done.
    """

    name: str
    reason: str


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
    """

    dataset: str
    path: Path
    sheet: str
    rows: int
    annotations: tuple[Annotation, ...]
    corrections: tuple[Correction, ...] = ()
    refusals: tuple[Refusal, ...] = ()


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
