"""Spot-then-recognize score, MEGC 2024/2025: F1 of spotting x F1 of recognition.

Recognition is scored only on true positives of spotting, since misses already lower the first
factor. F1 of recognition is UF1 over the classes of spotted expressions. The official script
differs: `legacy.strs_official`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aumer.errors import UsageError
from aumer.evaluation.recognition import RecognitionReport, Recognized, evaluate_recognition
from aumer.evaluation.rows import PredictedInterval, SpottingSettings, Truth, Video
from aumer.evaluation.spotting import SpottingReport, evaluate
from aumer.types import Kind


@dataclass(frozen=True)
class StrsReport:
    """Both factors of the score.

    Attributes:
        kind: the scored kind; `None` for both.
        recognition: over the true positives; `None` if there are none.
    """

    spotting: SpottingReport
    recognition: RecognitionReport | None
    kind: Kind | None

    @property
    def spotting_f1(self) -> float:
        return self.spotting.f1(self.kind)

    @property
    def recognition_f1(self) -> float:
        """UF1 over the classes of the spotted expressions; 0 without any."""
        return self.recognition.uf1 if self.recognition else 0.0

    @property
    def strs(self) -> float:
        return self.spotting_f1 * self.recognition_f1

    def to_dict(self) -> dict[str, Any]:
        return {
            "strs": self.strs,
            "spotting_f1": self.spotting_f1,
            "recognition_f1": self.recognition_f1,
            "kind": self.kind or "overall",
            "spotting": self.spotting.to_dict(),
            "recognition": self.recognition.to_dict() if self.recognition else None,
        }

    def to_markdown(self) -> str:
        head = (
            f"STRS {self.strs:.4f} = F1 of spotting {self.spotting_f1:.4f} "
            f"({self.kind or 'overall'}) x UF1 of recognition {self.recognition_f1:.4f}\n\n"
        )
        tail = f"\n{self.recognition.to_markdown()}" if self.recognition else ""
        return head + self.spotting.to_markdown() + tail


def evaluate_strs(
    predictions: Iterable[PredictedInterval],
    truths: Iterable[Truth],
    videos: Iterable[Video] | None = None,
    settings: SpottingSettings | None = None,
    *,
    kind: Kind | None = "micro",
    classes: Sequence[str] | None = None,
) -> StrsReport:
    """Score spotting, then recognition on the true positives.

    Args:
        kind: the scored kind (MEGC: micro); `None` for both kinds.
        classes: labels of the confusion matrix. Expressions of other classes count for spotting,
            but not for recognition.

    Raises:
        UsageError: as for `evaluate`, or a spotted expression without a label on either side.
    """
    report = evaluate(predictions, truths, videos, settings)
    rows = []
    for pair in report.pairs:
        t, p = pair.truth, pair.prediction
        if kind is not None and t.kind != kind:
            continue
        for what, row in (("truth", t), ("prediction", p)):
            if not row.label:
                raise UsageError(
                    f"the {what} of frame {row.onset} in video {row.video!r} has no label; the "
                    "spot-then-recognize score needs a column label on both sides"
                )
        if classes is None or t.label in classes:
            rows.append(Recognized(t.subject, t.label, p.label))
    recognition = evaluate_recognition(rows, classes=classes) if rows else None
    return StrsReport(report, recognition, kind)
