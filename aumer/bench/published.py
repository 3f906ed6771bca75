"""Published figures for comparison: ``configs/published.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from aumer import strict
from aumer._data import data_dir
from aumer.errors import UsageError, did_you_mean
from aumer.types import Counts


@dataclass(frozen=True)
class PublishedRow:
    """One method on one benchmark.

    Attributes:
        benchmark: "casme-sq", "samm-lv", "megc2019", "casme2-5class", "samm-5class".
        figures: by name, in the order of the file.
        selection: data on which the epoch or threshold was chosen, or "not stated".
        source: source of the figures.
        system: the name of its `PublishedSystem`, if described.
        counts: TP, FP and FN by kind, if published.
    """

    benchmark: str
    method: str
    selection: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    note: str = ""
    system: str = ""
    counts: Mapping[str, Any] = field(default_factory=dict)

    def f1_of_counts(self) -> dict[str, float]:
        """F1 by kind and overall, from the counts; empty without counts."""
        if not self.counts:
            return {}
        found = {kind: Counts(*three) for kind, three in self.counts.items()}
        found["overall"] = sum(found.values(), Counts())
        return {kind: counts.f1 for kind, counts in found.items()}

    def to_dict(self) -> dict[str, Any]:
        return strict.plain(self)


@dataclass(frozen=True)
class PublishedSystem:
    """How a published system's figures were obtained, as far as known.

    Attributes:
        chosen: data on which the epoch or threshold was chosen.
        verdict: "honest", "test subject", "not at hand", ...
        denominators: number of truths in its denominators.
        evaluator: one of `aumer.evaluation.legacy.EVALUATORS`, or a description.
        code: where its code is available.
        rederived: the figures that aumer reproduces.
        model: its name in aumer, if it is one of aumer's recognizers.
    """

    name: str
    task: str
    chosen: str
    verdict: str
    denominators: str
    evaluator: str
    code: str
    rederived: str
    note: str = ""
    model: str = ""


@cache
def every_system() -> tuple[PublishedSystem, ...]:
    """All systems whose selection was examined.

    Raises:
        ConfigError: the file is invalid.
    """
    path = data_dir("configs") / "published.toml"
    tables = strict.read_toml(path)["system"]
    return tuple(strict.build(PublishedSystem, table, str(path)) for table in tables)


@cache
def every_row() -> tuple[PublishedRow, ...]:
    """All rows.

    Raises:
        ConfigError: the file is invalid.
    """
    path = data_dir("configs") / "published.toml"
    table = strict.read_toml(path)
    return tuple(strict.build(PublishedRow, row, str(path)) for row in table["row"])


def require_rows(benchmark: str) -> None:
    """Raise for a benchmark without rows.

    Raises:
        UsageError: there are none; the message lists the choices.
    """
    known = tuple(dict.fromkeys(row.benchmark for row in every_row()))
    if benchmark not in known:
        raise UsageError(
            f"there are no published figures for the benchmark {benchmark!r}; there are "
            f"figures for {', '.join(known)}.{did_you_mean(benchmark, known)}"
        )


def rows_for(benchmark: str, model: str | None = None) -> tuple[PublishedRow, ...]:
    """The rows of one benchmark, in the order of the file.

    Args:
        model: leaves out the variations of systems other than this one (a publication's ablations);
            the first row of a system is the system itself. By default every row.
    """
    rows = tuple(row for row in every_row() if row.benchmark == benchmark)
    if model is None:
        return rows
    called = {one.name: one.model for one in every_system() if one.model}
    met: set[str] = set()
    chosen = []
    for row in rows:
        ours = row.system in called
        if not ours or row.system not in met or called[row.system] == model:
            chosen.append(row)
        met.add(row.system)
    return tuple(chosen)
