"""What an evaluator of spotted expressions takes and gives.

An evaluator ("evaluator" in the registry) is a function of rows, ``f(predictions, truths, videos)
-> Report``. `legacy.Legacy` makes one of the rules that published ones are made of; any other
function that returns a `Report` will do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from aumer.evaluation.rows import PredictedInterval, Truth, Video
from aumer.types import Kind

#: Rows of a table of scores: macro first, as papers print them.
ROWS: tuple[tuple[str, Kind | None], ...] = (
    ("macro", "macro"),
    ("micro", "micro"),
    ("overall", None),
)


#: Instead of a figure that divides nothing by nothing, in tables.
UNDEFINED = "undefined"


class Tallied(Protocol):
    """Counts that add over videos, and what follows from them: `types.Counts`, for instance."""

    @property
    def tp(self) -> int: ...
    @property
    def fp(self) -> int: ...
    @property
    def fn(self) -> int: ...
    @property
    def precision(self) -> float: ...
    @property
    def recall(self) -> float: ...
    @property
    def f1(self) -> float: ...


def ratios(counts: Tallied) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and F1; `None` where nothing was predicted, or was there, or neither."""
    tp, fp, fn = counts.tp, counts.fp, counts.fn
    return (
        counts.precision if tp + fp else None,
        counts.recall if tp + fn else None,
        counts.f1 if tp + fp + fn else None,
    )


class Report(ABC):
    """What an evaluator makes of the rows.

    Example:
        >>> from aumer.evaluation.rows import PredictedInterval, Truth
        >>> found = [PredictedInterval("s1", "talk", "micro", 3, 12)]
        >>> report = aumer.evaluate(found, [Truth("s1", "talk", "micro", 2, 11)])
        >>> isinstance(report, Report), report.counts("micro").tp
        (True, 1)
    """

    @abstractmethod
    def counts(self, kind: Kind | None = None) -> Tallied:
        """The counts of one kind, or of both (overall)."""

    def f1(self, kind: Kind | None = None) -> float:
        """As the evaluator divides."""
        return self.counts(kind).f1

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them.

        "evaluator" is its name, "settings" its rules by name, and "scores" has for "macro", "micro"
        and "overall" the numbers tp, fp, fn, f1, truths and predictions.
        """

    def left_out(self, kind: Kind | None = None) -> str:
        """In words, the rows of one kind or of both that its rules leave out; or "nothing"."""
        return "nothing"

    def to_markdown(self) -> str:
        """The score table with the rules under it."""
        lines = [
            "| | TP | FP | FN | precision | recall | F1 | left out |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name, kind in ROWS:
            c = self.counts(kind)
            precision, recall, f1 = (
                UNDEFINED if v is None else f"{v:.4f}"
                for v in (*ratios(c)[:2], self.f1(kind) if c.tp + c.fp + c.fn else None)
            )
            lines.append(
                f"| {name} | {c.tp} | {c.fp} | {c.fn} | {precision} | {recall} | {f1} "
                f"| {self.left_out(kind)} |"
            )
        return "\n".join([*lines, "", self.describe()]) + "\n"

    def describe(self) -> str:
        """The rules in one line."""
        about = self.to_dict()
        rules = (f"{name.replace('_', ' ')}: {rule}" for name, rule in about["settings"].items())
        return f"{about['evaluator']}: {'; '.join(rules)}"


Evaluator = Callable[
    [Iterable[PredictedInterval], Iterable[Truth], "Iterable[Video] | None"], Report
]
