"""Scores of recognition as in MEGC 2019, from one confusion matrix over all folds.

UF1 is the mean over classes of 2 TP / (2 TP + FP + FN), UAR the mean over classes of the recall TP
/ (TP + FN). The mean of precisions has been published under the name of UAR; it is reported under
its own name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError, did_you_mean
from aumer.evaluation.bootstrap import Difference, Estimate, difference, interval
from aumer.types import Counts, IntArray

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recognized:
    """One clip: its subject, its class, and the predicted class.

    Attributes:
        clip: its name within the subject; if given, duplicates are refused.
    """

    subject: str
    truth: str
    predicted: str
    clip: str = ""


def _diagonal(confusion: IntArray) -> IntArray:
    hits: IntArray = np.einsum("ncc->nc", confusion)
    return hits


def _mean_present(values: Floats, confusion: IntArray) -> Floats:
    """Mean over the classes with a truth, since a resample of subjects may lack one."""
    present = confusion.sum(2) > 0
    classes = present.sum(1)
    total = np.where(present, values, 0.0).sum(1)
    mean: Floats = np.divide(total, classes, out=np.zeros(len(confusion)), where=classes > 0)
    return mean


def _shares(hits: IntArray | Floats, of: IntArray) -> Floats:
    return np.divide(hits, of, out=np.zeros(hits.shape), where=of > 0)


def uf1_of(confusion: IntArray) -> Floats:
    """(N, C, C) confusion matrices, truth by row -> (N,) unweighted mean F1."""
    below = confusion.sum(1) + confusion.sum(2)
    return _mean_present(_shares(2 * _diagonal(confusion), below), confusion)


def uar_of(confusion: IntArray) -> Floats:
    """(N, C, C) -> (N,) unweighted mean recall."""
    return _mean_present(_shares(_diagonal(confusion), confusion.sum(2)), confusion)


def mean_precision_of(confusion: IntArray) -> Floats:
    """(N, C, C) -> (N,) unweighted mean precision, which is not UAR."""
    return _mean_present(_shares(_diagonal(confusion), confusion.sum(1)), confusion)


def accuracy_of(confusion: IntArray) -> Floats:
    """(N, C, C) -> (N,) share of correct clips."""
    return _shares(_diagonal(confusion).sum(1), confusion.sum((1, 2)))


def _weighted(values: Floats, confusion: IntArray) -> Floats:
    """Mean over classes, weighted by their number of clips."""
    support = confusion.sum(2)
    return _shares((values * support).sum(1), support.sum(1))


def weighted_f1_of(confusion: IntArray) -> Floats:
    """(N, C, C) -> (N,) mean F1, weighted by number of clips."""
    below = confusion.sum(1) + confusion.sum(2)
    return _weighted(_shares(2 * _diagonal(confusion), below), confusion)


def weighted_precision_of(confusion: IntArray) -> Floats:
    """(N, C, C) -> (N,) mean precision, weighted by number of clips."""
    return _weighted(_shares(_diagonal(confusion), confusion.sum(1)), confusion)


METRICS: dict[str, Callable[[IntArray], Floats]] = {
    "uf1": uf1_of,
    "uar": uar_of,
    "accuracy": accuracy_of,
    "mean_precision": mean_precision_of,
    "weighted_f1": weighted_f1_of,
    "weighted_precision": weighted_precision_of,
}


@dataclass(frozen=True)
class RecognitionReport:
    """Confusion matrices by subject, and all scores.

    Attributes:
        classes: names in the order of the matrices.
        subjects: names in the order of `table`.
        table: (subjects, C, C) int64, truth by row, prediction by column.
    """

    classes: tuple[str, ...]
    subjects: tuple[str, ...]
    table: IntArray

    @property
    def confusion(self) -> IntArray:
        """(C, C) int64 over all subjects: truth by row, prediction by column."""
        pooled: IntArray = self.table.sum(0)
        return pooled

    def _score(self, metric: str) -> float:
        return float(METRICS[metric](self.confusion[None])[0])

    @property
    def uf1(self) -> float:
        """Unweighted mean F1 over the classes with a truth."""
        return self._score("uf1")

    @property
    def uar(self) -> float:
        """Unweighted mean recall over the classes with a truth."""
        return self._score("uar")

    @property
    def accuracy(self) -> float:
        """Share of correct clips."""
        return self._score("accuracy")

    @property
    def mean_precision(self) -> float:
        """Unweighted mean precision; some papers call it UAR."""
        return self._score("mean_precision")

    @property
    def weighted_f1(self) -> float:
        """Mean F1, weighted by number of clips."""
        return self._score("weighted_f1")

    @property
    def weighted_precision(self) -> float:
        """Mean precision, weighted by number of clips. (For recall this would be accuracy.)"""
        return self._score("weighted_precision")

    def per_class(self) -> dict[str, Counts]:
        """TP, FP and FN of each class versus the others."""
        m = self.confusion
        return {
            name: Counts(int(m[i, i]), int(m[:, i].sum() - m[i, i]), int(m[i].sum() - m[i, i]))
            for i, name in enumerate(self.classes)
        }

    def bootstrap(
        self, metric: str = "uf1", *, replicates: int = 2000, level: float = 0.95, seed: int = 0
    ) -> Estimate:
        """A metric of `METRICS` ("uf1", "uar", "accuracy", ...) with its percentile interval over
        resampled subjects.

        Raises:
            UsageError: unknown metric, fewer than two subjects, or arguments out of range.
        """
        return interval(self.table, _metric(metric), replicates=replicates, level=level, seed=seed)

    def compare(
        self,
        other: RecognitionReport,
        metric: str = "uf1",
        *,
        replicates: int = 2000,
        level: float = 0.95,
        seed: int = 0,
    ) -> Difference:
        """This method minus `other`, on the same resamples of subjects.

        Raises:
            UsageError: the subjects, classes or truths differ.
        """
        if self.classes != other.classes or set(self.subjects) != set(other.subjects):
            raise UsageError(
                "the two methods were scored on different classes or subjects, "
                "and cannot be compared"
            )
        theirs = other.table[[other.subjects.index(s) for s in self.subjects]]
        if (self.table.sum(2) != theirs.sum(2)).any():
            raise UsageError("the two methods were scored against different truths")
        return difference(
            self.table, theirs, _metric(metric), replicates=replicates, level=level, seed=seed
        )

    def per_subject(self) -> pd.DataFrame:
        """One row for each subject: clips, hits and accuracy."""
        import pandas as pd

        clips, hits = self.table.sum((1, 2)), _diagonal(self.table).sum(1)
        table: pd.DataFrame = pd.DataFrame(
            {
                "subject": list(self.subjects),
                "clips": clips,
                "hits": hits,
                "accuracy": accuracy_of(self.table),
            }
        )
        return table

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        return {
            **{name: self._score(name) for name in METRICS},
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "per_class": {
                name: {**vars(c), "f1": c.f1, "precision": c.precision, "recall": c.recall}
                for name, c in self.per_class().items()
            },
            "subjects": len(self.subjects),
            "clips": int(self.table.sum()),
        }

    def to_markdown(self) -> str:
        """The scores and the confusion matrix (rows: truth)."""
        head = "| truth \\ predicted | " + " | ".join(self.classes) + " | TP | FP | FN | F1 |"
        lines = [
            f"UF1 {self.uf1:.4f}, UAR {self.uar:.4f}, accuracy {self.accuracy:.4f} (mean "
            f"precision {self.mean_precision:.4f}; weighted by clips: precision "
            f"{self.weighted_precision:.4f}, F1 {self.weighted_f1:.4f}); "
            f"{int(self.table.sum())} clips of {len(self.subjects)} subjects, counts pooled",
            "",
            head,
            "|" + "---|" * (len(self.classes) + 5),
        ]
        for row, (name, c) in zip(self.confusion, self.per_class().items(), strict=True):
            cells = " | ".join(str(n) for n in row.tolist())
            # F1 is undefined for a class without truths and predictions.
            f1 = f"{c.f1:.4f}" if c.tp + c.fp + c.fn else "undefined"
            lines.append(f"| {name} | {cells} | {c.tp} | {c.fp} | {c.fn} | {f1} |")
        return "\n".join(lines) + "\n"


def evaluate_recognition(
    rows: Iterable[Recognized],
    *,
    classes: Sequence[str] | None = None,
    subjects: Sequence[str] | None = None,
) -> RecognitionReport:
    """Count the rows of all folds in one confusion matrix per subject.

    Args:
        classes: their order in the matrix; by default the labels that occur, sorted.
        subjects: all subjects that must occur (the folds of leave-one-subject-out).

    Raises:
        UsageError: no rows, a duplicate clip, a label not in `classes`, a subject without rows, or
            one not in `subjects`.
    """
    rows = list(rows)
    if not rows:
        raise UsageError("there is nothing to score: no clip was recognized")
    times = Counter((row.subject, row.clip) for row in rows if row.clip)
    for (subject, clip), n in times.items():
        if n > 1:
            raise UsageError(
                f"clip {clip!r} of subject {subject} is there {n} times, and must be there once"
            )
    labels = {label for row in rows for label in (row.truth, row.predicted)}
    order = tuple(sorted(labels) if classes is None else classes)
    for label in sorted(labels - set(order)):
        raise UsageError(
            f"label {label!r} is none of the classes {', '.join(order)}."
            + did_you_mean(label, order)
        )
    found = tuple(dict.fromkeys(row.subject for row in rows))
    if subjects is not None and set(found) != set(subjects):
        missing, strange = set(subjects) - set(found), set(found) - set(subjects)
        raise UsageError(
            "every subject needs one fold; without one: "
            f"{', '.join(sorted(missing)) or '-'}; unknown: {', '.join(sorted(strange)) or '-'}"
        )
    table = np.zeros((len(found), len(order), len(order)), np.int64)
    np.add.at(
        table,
        (
            [found.index(row.subject) for row in rows],
            [order.index(row.truth) for row in rows],
            [order.index(row.predicted) for row in rows],
        ),
        1,
    )
    return RecognitionReport(order, found, table)


def _metric(name: str) -> Callable[[IntArray], Floats]:
    if name not in METRICS:
        raise UsageError(
            f"no metric is called {name!r}; there are {', '.join(METRICS)}."
            + did_you_mean(name, METRICS)
        )
    return METRICS[name]
