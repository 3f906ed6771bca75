"""The interface of evaluators of spotted expressions.

An evaluator ("evaluator" in the registry) is a function of rows, ``f(predictions, truths, videos)
-> Report``. `legacy.Legacy` builds one from the rules of published evaluators; any other function
that returns a `Report` works, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from aumer.evaluation.rows import PredictedInterval, Truth, Video
from aumer.types import Kind

#: Rows of a table of scores, macro first as in papers.
ROWS: tuple[tuple[str, Kind | None], ...] = (
    ("macro", "macro"),
    ("micro", "micro"),
    ("overall", None),
)


#: Shown in tables instead of 0 / 0.
UNDEFINED = "undefined"


class Tallied(Protocol):
    """Counts that can be summed over videos, such as `types.Counts`."""

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
    """Precision, recall and F1; `None` for a division by 0."""
    tp, fp, fn = counts.tp, counts.fp, counts.fn
    return (
        counts.precision if tp + fp else None,
        counts.recall if tp + fn else None,
        counts.f1 if tp + fp + fn else None,
    )


class Report(ABC):
    """Base class of the results of evaluators.

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
        """F1 by the evaluator's definition."""
        return self.counts(kind).f1

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        "evaluator" is the name, "settings" are the rules by name, and "scores" holds tp, fp, fn,
        f1, truths and predictions for "macro", "micro" and "overall".
        """

    def left_out(self, kind: Kind | None = None) -> str:
        """In words, the rows of one kind or of both that the rules exclude; or "nothing"."""
        return "nothing"

    def to_markdown(self) -> str:
        """The table of scores, followed by the rules."""
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
