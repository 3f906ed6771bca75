"""The result of a benchmark of any task: figures, provenance, published figures."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic, TypeVar

from aumer.bench.figure import Figure
from aumer.bench.protocol import Protocol
from aumer.bench.published import PublishedRow, rows_for
from aumer.bench.store import RESULT, TABLE, differences, sealed
from aumer.errors import UsageError
from aumer.evaluation.bootstrap import Difference
from aumer.files import atomic_write
from aumer.session import versions as pipeline_versions

FORMAT = "aumer-bench-result/1"

Fold = TypeVar("Fold")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change results."""
    found = pipeline_versions()
    for name in ("torch", "torch-geometric", "scikit-learn", "joblib"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True, eq=False)
class Run:
    """Description of a run.

    Attributes:
        model: its name, for people.
        about: everything that predictions depend on except the data; "model" is a table.
        folder: `None` for folds that are not stored.
        command: the command line; "" for a run from Python.
        versions: package versions with which the folds were made.
        machine: machine on which they were made; "" if unknown.
        seconds: total time of training and prediction of its folds.
    """

    protocol: Protocol
    model: str
    about: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=versions)
    machine: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Compared:
    """A figure of two runs.

    Attributes:
        row: name in the table: a kind of expression, or a metric.
        difference: first minus second, with its interval over subjects.
        seeds: range of the seeds in the run with the larger range.
    """

    dataset: str
    row: str
    first: float
    second: float
    difference: Difference
    seeds: float = 0.0

    @property
    def of_seeds(self) -> bool:
        """Whether the seeds vary by more than the width of the interval, so that it says little
        about another training.
        """
        return self.seeds > self.difference.high - self.difference.low

    def to_dict(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "row": self.row,
            **self.difference.to_dict(),
            "range_of_seeds": self.seeds,
        }


@dataclass(frozen=True, eq=False)
class Result(ABC, Generic[Fold]):
    """The scored run of a protocol.

    Attributes:
        folds: results of all folds, in the order of seeds, then of the plan.
    """

    run: Run
    folds: tuple[Fold, ...]

    @property
    def protocol(self) -> Protocol:
        return self.run.protocol

    @property
    def model(self) -> str:
        """Its name, for people."""
        return self.run.model

    @property
    def about(self) -> Mapping[str, Any]:
        """Everything that the predictions depend on except the data."""
        return self.run.about

    @property
    def folder(self) -> Path:
        """The folder of the run.

        Raises:
            UsageError: the folds are not stored.
        """
        if self.run.folder is None:
            raise UsageError(
                "the folds were not saved, as the run had no folder: run it again with `folder`"
            )
        return self.run.folder

    @property
    def published(self) -> tuple[PublishedRow, ...]:
        """Published rows of the benchmark: all systems, and variations of this run's model."""
        return rows_for(self.protocol.published, self.model) if self.protocol.published else ()

    # -- what a task says ---------------------------------------------------------------------

    @abstractmethod
    def figures(self) -> dict[str, Any]:
        """The scores as JSON values."""

    @abstractmethod
    def fold_facts(self, fold: Fold) -> dict[str, Any]:
        """Facts about a fold for the result, without predictions, which are in its file."""

    @abstractmethod
    def tables(self) -> list[str]:
        """Markdown lines with the scores and notes."""

    @abstractmethod
    def compared_figures(self) -> dict[tuple[str, str], Figure]:
        """The figures for `compared`, by data set and row of the table."""

    def chosen_on(self) -> str:
        """How the epoch was chosen, in words; "" if unknown."""
        return ""

    def cautions(self) -> tuple[str, ...]:
        """Known biases of the scores, in words."""
        return ()

    def remarks(self) -> tuple[str, ...]:
        """Remarks to print at once."""
        return ()

    def may_move(self) -> tuple[str, ...]:
        """Rows of the table that may differ on other machines, in words."""
        return ()

    def submissions(self) -> dict[str, str]:
        """Submission files by name, for data without truth."""
        return {}

    def compared(self, other: Result[Any]) -> list[Compared]:
        """This run's figures beside another's, with their differences over the same subjects.

        Raises:
            UsageError: subjects or truths differ.
        """
        if type(self) is not type(other):
            raise UsageError(
                f"a run of {self.protocol.kind} and one of {other.protocol.kind} have no figure in "
                "common"
            )
        theirs = other.compared_figures()
        rows = []
        for key, ours in self.compared_figures().items():
            if key not in theirs:
                raise UsageError(
                    f"the two runs cannot be compared, as only one of them has the score "
                    f"{' '.join(key)}: give two runs of one protocol"
                )
            values = ours.value, theirs[key].value
            seeds = max(max(f.by_seed) - min(f.by_seed) for f in (ours, theirs[key]))
            rows.append(Compared(*key, *values, ours.compare(theirs[key]), seeds))
        return rows

    # -- output -------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Figures and provenance; predictions are in the folds' files."""
        return {
            "format": FORMAT,
            "protocol": self.protocol.to_dict(),
            "model": self.model,
            "command": self.run.command,
            "versions": dict(self.run.versions),
            "machine": self.run.machine,
            "may_move": list(self.may_move()),
            "run": dict(self.about),
            **self.figures(),
            "folds": [self.fold_facts(fold) for fold in self.folds],
            "published": [row.to_dict() for row in self.published],
        }

    def _repr_markdown_(self) -> str:
        """For notebooks."""
        return self.to_markdown()

    def to_markdown(self) -> str:
        """The table with its provenance below."""
        found = ", ".join(f"{name} {number}" for name, number in self.run.versions.items())
        lines = [
            f"## {self.protocol.heading}",
            "",
            f"Model: **{self.model}**",
            "",
            *self.tables(),
            f"- made on {self.run.machine or 'a machine that was not recorded'}: the same bit for "
            "bit on one machine only, as sums of floats end otherwise on another",
            *(f"- may move there: {words}" for words in self.may_move()),
            f"- versions: {found}",
            f"- command: `{self.run.command or 'from Python'}`",
        ]
        return "\n".join(lines) + "\n" + published_table(self.protocol.published, self.model)

    def save(self) -> tuple[Path, Path]:
        """Write ``result.json``, ``result.md`` and, without truth, submissions.

        Raises:
            UsageError: the folds are not stored in a folder.
        """
        document, table = self.folder / RESULT, self.folder / TABLE
        text = json.dumps(sealed(self.to_dict()), indent=1, allow_nan=False)
        atomic_write(document, text + "\n", overwrite=True)
        atomic_write(table, self.to_markdown(), overwrite=True)
        for name, content in self.submissions().items():
            atomic_write(self.folder / name, content, overwrite=True)
        return document, table


def comparison_table(first: Result[Any], second: Result[Any], rows: Iterable[Compared]) -> str:
    """Markdown of the differences of two runs."""
    one, other = _told_apart(first, second)
    lines = [
        f"| data set | score | {one} | {other} | difference | 95 % interval over subjects | p |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        d = row.difference
        interval, p = f"{d.low:+.4f} to {d.high:+.4f}", f"{d.p:.4f}"
        if row.of_seeds:
            interval, p = f"seeds vary more: by {row.seeds:.4f}", "-"
        lines.append(
            f"| {row.dataset} | {row.row} | {row.first:.4f} | {row.second:.4f} | {d.value:+.4f} "
            f"| {interval} | {p} |"
        )
    return "\n".join(lines) + "\n"


def comparison_notes(first: Result[Any], second: Result[Any]) -> list[str]:
    """Descriptions of the two runs, and their different settings."""
    names = _told_apart(first, second)
    notes = [
        f"{name}: {one.protocol.heading}, seeds {', '.join(map(str, one.protocol.seeds))}"
        + (f"; {words}" if (words := one.chosen_on()) else "")
        for name, one in zip(names, (first, second), strict=True)
    ]
    here, there = (
        {k: v for k, v in one.about.items() if k != "versions"} for one in (first, second)
    )
    found = differences(here, there)
    return [*notes, f"settings that differ: {', '.join(found) or 'none'}"]


def _told_apart(first: Result[Any], second: Result[Any]) -> tuple[str, str]:
    """The models' names; if equal, with the differences of the runs."""
    if first.model != second.model:
        return first.model, second.model
    here, there = (one.run.folder.parts if one.run.folder else () for one in (first, second))
    shared = 0
    while here[: shared + 1] == there[: shared + 1] and shared < min(len(here), len(there)):
        shared += 1
    own = ["/".join(parts[shared:]) for parts in (here, there)]
    if not all(own):
        own = ["first", "second"]
    return f"{first.model} ({own[0]})", f"{second.model} ({own[1]})"


def published_table(benchmark: str, model: str | None = None) -> str:
    """Markdown of the published rows of a benchmark; empty if there are none.

    Args:
        model: as for `rows_for`.
    """
    if not benchmark:
        return ""
    rows = rows_for(benchmark, model)
    if not rows:
        return f"\nconfigs/published.toml has no row of {benchmark}.\n"
    columns = tuple(dict.fromkeys(k for row in rows for k in row.figures))
    lines = [
        "",
        "Published, each by rules of its own:",
        "",
        f"| method | {' | '.join(columns)} | epoch or threshold chosen on | note |",
        "|" + "---|" * (len(columns) + 3),
    ]
    for row in rows:
        figures = " | ".join(f"{row.figures[c]:.4f}" if c in row.figures else "-" for c in columns)
        lines.append(f"| {row.method} | {figures} | {row.selection} | {row.note} |")
    if more := len(rows_for(benchmark)) - len(rows):
        lines += ["", f"{more} variations of other systems are in configs/published.toml."]
    return "\n".join(lines) + "\n"
