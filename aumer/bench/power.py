"""Power analysis of runs and comparisons: `aumer.evaluation.power` of their figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aumer.bench.figure import Figure
from aumer.bench.result import Compared, Result
from aumer.errors import UsageError
from aumer.evaluation.power import Power, few_subjects


@dataclass(frozen=True)
class FigurePower:
    """The power of one figure.

    Attributes:
        dataset, row: names as in the tables of scores.
        difference: observed difference of two runs; `None` for one run.
        seeds: range of the seeds of one run if it exceeds the width of the interval over subjects,
            in which case the power is unknown; else 0.
    """

    dataset: str
    row: str
    power: Power
    difference: float | None = None
    seeds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "row": self.row,
            **self.power.to_dict(),
            "difference": self.difference,
            "range_of_seeds": self.seeds or None,
            "subjects_for_it": None
            if self.difference is None
            else self.power.needed(self.difference),
        }


def power_of(
    first: Result[Any],
    second: Result[Any] | None = None,
    *,
    alpha: float = 0.05,
    chance: float = 0.8,
) -> tuple[FigurePower, ...]:
    """The power of each figure: for the paired difference of two runs, or for one run against an
    equally good one.

    Args:
        alpha, chance: see `aumer.evaluation.power.Power`.

    Raises:
        UsageError: as `Result.compared`; fewer than two subjects; no figure.
    """
    figures = first.compared_figures()
    if not figures:
        raise UsageError(
            "the run has no score, as these videos have no annotations: give a run whose videos "
            "have"
        )
    found = []
    if second is None:
        for key, figure in figures.items():
            _require_subjects(figure)
            estimate, seeds = figure.bootstrap(), max(figure.by_seed) - min(figure.by_seed)
            more = seeds if seeds > estimate.high - estimate.low else 0.0
            made = Power.of(estimate, *figure.size, alpha, chance)
            found.append(FigurePower(*key, made, seeds=more))
        return tuple(found)
    return _of_rows(first, first.compared(second), alpha, chance)


def _of_rows(
    first: Result[Any], rows: Iterable[Compared], alpha: float = 0.05, chance: float = 0.8
) -> tuple[FigurePower, ...]:
    figures, found = first.compared_figures(), []
    for one in rows:
        size = figures[one.dataset, one.row].size
        made = Power.of(one.difference, *size, alpha, chance)
        seeds = one.seeds if one.of_seeds else 0.0
        found.append(FigurePower(one.dataset, one.row, made, one.difference.value, seeds))
    return tuple(found)


def power_notes(first: Result[Any], rows: Iterable[Compared]) -> list[str]:
    """Notes below a comparison: the smallest differences that it would have detected."""
    shown = _of_rows(first, rows)
    return [*map(_note, shown), *few_subjects(one.power.subjects for one in shown)]


def power_facts(first: Result[Any], rows: Iterable[Compared]) -> list[dict[str, Any]]:
    """The same as plain values, for each of the rows."""
    return [
        {
            "subjects": one.power.subjects,
            "detectable": one.power.detectable(),
            "subjects_for_it": one.power.needed(one.difference or 0.0),
        }
        for one in _of_rows(first, rows)
    ]


def _note(one: FigurePower) -> str:
    power, seen = one.power, one.difference or 0.0
    here = f"{one.dataset} {one.row}: "
    least = power.detectable()
    if least is None:
        return f"{here}{_NOTHING_MOVES}"
    words = (
        f"{here}with these {power.subjects} subjects ({power.clips} clips) "
        f"a difference is found {power.chance:.0%} of the time from {least:.4f} on"
    )
    if one.seeds:
        return f"{words}, were it for subjects alone: {_seeds_vary(one)}"
    needed = power.needed(seen)
    if needed is not None and needed > power.subjects:
        words += f"; one of {abs(seen):.4f}, as seen here, takes {needed} subjects like these"
    return words


_NOTHING_MOVES = (
    "whichever subjects are drawn, the difference is the same, so nothing is known of what could "
    "be found"
)


def _seeds_vary(one: FigurePower) -> str:
    return f"seeds vary more, by {one.seeds:.4f}, and take more seeds"


def power_table(shown: tuple[FigurePower, ...], asked: float) -> str:
    """Markdown, with the number of subjects for detecting a difference of `asked`."""
    share = f"{shown[0].power.chance:.0%}"
    lines = [
        f"| data set | score | subjects | clips | standard error | found {share} of the time from "
        f"| chance to find {asked:g} | subjects for {asked:g} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in shown:
        power = one.power
        least, chance, needed = power.detectable(), power.chance_of(asked), power.needed(asked)
        lines.append(
            f"| {one.dataset} | {one.row} | {power.subjects} | {power.clips} | {power.error:.4f} "
            f"| {_cell(least, '.4f')} | {_cell(chance, '.0%')} | {_cell(needed, 'd')} |"
        )
    notes = [
        f"{one.dataset} {one.row}: " + (_NOTHING_MOVES if not one.power.error else _seeds_vary(one))
        for one in shown
        if one.seeds or not one.power.error
    ]
    if not shown[0].power.paired:
        notes.append(
            "Of one run nobody knows what another one gets right that it gets wrong: the standard "
            "error is that of two runs whose errors have nothing in common, 1.4 times this run's. "
            "Most pairs err on the same clips, and differ by less chance; give two runs to see it."
        )
    notes += few_subjects(one.power.subjects for one in shown)
    lines += [""] * bool(notes) + [f"- {note}" for note in notes]
    return "\n".join(lines) + "\n"


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _require_subjects(figure: Figure) -> None:
    if len(figure.subjects) < 2:
        raise UsageError(
            f"power needs a run over two subjects or more; this run tested {len(figure.subjects)}"
        )
