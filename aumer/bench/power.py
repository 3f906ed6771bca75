"""What a run or a comparison of two could have shown: `aumer.evaluation.power` of their figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aumer.bench.figure import Figure
from aumer.bench.result import Compared, Result
from aumer.errors import UsageError
from aumer.evaluation.power import Power


@dataclass(frozen=True)
class FigurePower:
    """The power of one figure.

    Attributes:
        dataset, row: as in the tables of scores.
        difference: that was seen between two runs; `None` of one run.
    """

    dataset: str
    row: str
    power: Power
    difference: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "row": self.row,
            **self.power.to_dict(),
            "difference": self.difference,
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
    """Each figure's power: of the paired difference of two runs, or of a further run's as good.

    Args:
        alpha, chance: see `aumer.evaluation.power.Power`.

    Raises:
        UsageError: as `Result.compared`; fewer than two subjects; no figure at all.
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
            estimate = figure.bootstrap()
            found.append(FigurePower(*key, Power.of(estimate, *_sizes(figure), alpha, chance)))
        return tuple(found)
    return _of_rows(first, first.compared(second), alpha, chance)


def _of_rows(
    first: Result[Any], rows: Iterable[Compared], alpha: float = 0.05, chance: float = 0.8
) -> tuple[FigurePower, ...]:
    figures, found = first.compared_figures(), []
    for one in rows:
        sizes = _sizes(figures[one.dataset, one.row])
        made = Power.of(one.difference, *sizes, alpha, chance)
        found.append(FigurePower(one.dataset, one.row, made, one.difference.value))
    return tuple(found)


def power_notes(first: Result[Any], rows: Iterable[Compared]) -> list[str]:
    """For under a comparison of a run: from which difference on it would have found one."""
    notes = []
    for one in _of_rows(first, rows):
        power, seen = one.power, one.difference or 0.0
        words = (
            f"{one.dataset} {one.row}: with these {power.subjects} subjects ({power.clips} clips) "
            f"a difference is found {power.chance:.0%} of the time from {power.detectable():.4f} on"
        )
        needed = power.needed(seen)
        if needed is not None and needed > power.subjects:
            words += f"; one of {abs(seen):.4f}, as seen here, takes {needed} subjects like these"
        notes.append(words)
    return notes


def power_table(shown: tuple[FigurePower, ...], asked: float) -> str:
    """Markdown, with how many subjects a difference of `asked` takes."""
    share = f"{shown[0].power.chance:.0%}"
    lines = [
        f"| data set | score | subjects | clips | standard error | found {share} of the time from "
        f"| chance to find {asked:g} | subjects for {asked:g} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in shown:
        power = one.power
        lines.append(
            f"| {one.dataset} | {one.row} | {power.subjects} | {power.clips} | {power.error:.4f} "
            f"| {power.detectable():.4f} | {power.chance_of(asked):.0%} | {power.needed(asked)} |"
        )
    if not shown[0].power.paired:
        lines += [
            "",
            "Of one run nobody knows what another one gets right that it gets wrong: the standard "
            "error is that of two runs whose errors have nothing in common, 1.4 times this run's. "
            "Most pairs err on the same clips, and differ by less chance; give two runs to see it.",
        ]
    return "\n".join(lines) + "\n"


def _sizes(figure: Figure) -> tuple[int, int]:
    return len(figure.subjects), int(figure.truths.sum())


def _require_subjects(figure: Figure) -> None:
    if len(figure.subjects) < 2:
        raise UsageError(
            f"power needs a run over two subjects or more; this run tested {len(figure.subjects)}"
        )
