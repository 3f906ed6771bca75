"""Spot, then recognize: what is spotted is named by a recognizer of the fold's training videos.

It reads how far each ROI is displaced at the apex, and is an SVM. Displacement from onset to apex
is what the composite's best simple system reads (field notes: 7 x 7 cell means of the flow and an
RBF SVM, no test selection); here it is the features' 12 ROIs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from aumer.bench.protocol import Protocol
from aumer.bench.split import Fold
from aumer.bench.task import Options
from aumer.bench.tasks.spotting import Entries, Spotting, SpottingWork
from aumer.bench.workers import Workers
from aumer.data.labels import megc_class
from aumer.errors import UsageError
from aumer.evaluation.legacy import OfficialStrs, strs_official
from aumer.evaluation.rows import PredictedInterval, Truth, Video
from aumer.evaluation.spotting import SpottingReport
from aumer.evaluation.strs import StrsReport, evaluate_strs
from aumer.strict import require
from aumer.training.videos import LabeledVideo
from aumer.types import Features

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NamingWork(SpottingWork):
    """A fold of spotting, and the classes that what is spotted is one of."""

    classes: tuple[str, ...]

    def named(self, found: list[list[PredictedInterval]]) -> list[list[PredictedInterval]]:
        recognizer = DisplacementSvm.fit(self.train, self.classes)
        features = {(v.subject, v.name): v.features for v in self.test}
        return [
            [replace(p, label=recognizer(features[p.key], p)) for p in spotted] for spotted in found
        ]


class SpotThenRecognize(Spotting):
    """Spotting whose expressions are named; scored by STRS, too."""

    kind: ClassVar[str] = "spot-then-recognize"
    learns_labels = True

    def __init__(self, protocol: Protocol, model: str, options: Options) -> None:
        require(
            bool(protocol.classes),
            "classes",
            [],
            "the classes by which expressions are named, one or more",
        )
        super().__init__(protocol, model, options)

    def work(self, fold: Fold, items: Entries, workers: Workers) -> NamingWork:
        spotting = super().work(fold, items, workers)
        return NamingWork(**vars(spotting), classes=self.protocol.classes)

    @classmethod
    def evaluated(
        cls,
        protocol: Protocol,
        predictions: Sequence[PredictedInterval],
        truths: Sequence[Truth],
        videos: Sequence[Video],
    ) -> tuple[SpottingReport, StrsReport | None, OfficialStrs | None]:
        named = [replace(t, label=megc_class(t.label) or t.label or "none") for t in truths]
        strs = evaluate_strs(predictions, named, videos, protocol.scoring, classes=protocol.classes)
        official = strs_official(predictions, named, videos, emotions=protocol.classes)
        return strs.spotting, strs, official


@dataclass(frozen=True, eq=False)
class DisplacementSvm:
    """An RBF SVM (C = 1, balanced) on the (2 R,) displacements, z-scored on the training videos."""

    machine: Any

    @classmethod
    def fit(cls, videos: Sequence[LabeledVideo], classes: Sequence[str]) -> DisplacementSvm:
        """Learn from the annotated expressions, of both kinds, whose emotion is one of `classes`.

        Raises:
            UsageError: expressions of fewer than two of the classes.
        """
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        x, y = [], []
        for v in videos:
            for a in v.annotations:
                label = megc_class(a.emotion)
                if label in classes and a.apex is not None:
                    x.append(displacement(v.features, a.onset, a.apex))
                    y.append(label)
        if len(set(y)) < 2:
            raise UsageError(
                f"recognition needs training expressions of two classes of {', '.join(classes)}; "
                f"found {', '.join(sorted(set(map(str, y)))) or 'none'}"
            )
        machine = make_pipeline(StandardScaler(), SVC(class_weight="balanced"))
        return cls(machine.fit(np.stack(x), y))

    def __call__(self, features: Features, spotted: PredictedInterval) -> str:
        """The class of what was spotted in a video of these features."""
        apex = spotted.apex if spotted.apex is not None else (spotted.onset + spotted.offset) // 2
        return str(self.machine.predict(displacement(features, spotted.onset, apex)[None])[0])


def displacement(features: Features, onset: int, apex: int) -> Vector:
    """(2 R,) sum of the motion between two frames, in outer-eye distances; no face is no motion."""
    begin, end = np.searchsorted(features.frames, [onset, max(apex, onset + 1)])
    moved = np.where(features.valid[begin:end, None, None], features.values[begin:end], 0)
    summed: Vector = moved.sum(axis=0, dtype=np.float64) / features.eye_distance
    return summed.ravel()
