"""The recogniser of spot-then-recognise: how far each ROI is displaced at the apex, and an SVM.

Displacement from onset to apex is what the composite's best simple system reads (field notes:
7 x 7 cell means of the flow and an RBF SVM, no test selection); here it is the features' 12 ROIs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.data.labels import megc_class
from aumer.errors import UsageError
from aumer.evaluation.rows import Prediction
from aumer.training.videos import LabelledVideo
from aumer.types import Features

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DisplacementSvm:
    """An RBF SVM (C = 1, balanced) on the (2 R,) displacements, z-scored on the training videos."""

    machine: Any

    @classmethod
    def fit(cls, videos: Sequence[LabelledVideo], classes: Sequence[str]) -> DisplacementSvm:
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

    def __call__(self, features: Features, spotted: Prediction) -> str:
        """The class of what was spotted in a video of these features."""
        apex = spotted.apex if spotted.apex is not None else (spotted.onset + spotted.offset) // 2
        return str(self.machine.predict(displacement(features, spotted.onset, apex)[None])[0])


def displacement(features: Features, onset: int, apex: int) -> Vector:
    """(2 R,) sum of the motion between two frames, in outer-eye distances; no face is no motion."""
    begin, end = np.searchsorted(features.frames, [onset, max(apex, onset + 1)])
    moved = np.where(features.valid[begin:end, None, None], features.values[begin:end], 0)
    summed: Vector = moved.sum(axis=0, dtype=np.float64) / features.eye_distance
    return summed.ravel()
