"""``svm-cells``: an RBF SVM on cell means of the centered flow; the deterministic reference.

The SVM is scikit-learn's; the result is stored and evaluated as plain arrays, including the support
vectors, which are cells of training clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aumer.errors import UsageError, WeightsError
from aumer.files import StrPath
from aumer.foreign import foreign
from aumer.recognition.calibration import groups_left_out, sharpness, soft_max
from aumer.recognition.features import ROI_CENTERS, cell_means, centered, occlusion
from aumer.recognition.interface import (
    Callback,
    Clips,
    Floats,
    Recognizer,
    as_inputs,
    column,
    fitted,
    read_weights,
    write_weights,
)
from aumer.types import FloatArray, IntArray

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self

    from aumer.learning.portable import Portable

_ARRAYS = ("mean", "deviation", "support", "dual", "intercept", "counts")


class SvmCells(Recognizer):
    """One-vs-one SVM, K(a, b) = exp(-gamma |a - b|^2), of the z-scored cell means of u, v, strain.

    Args:
        c: cost, times n / (C n_c) for the clips of class c.
        gamma: by default 1 / the number of features.
        cells: number of cells along each side.
    """

    name: ClassVar[str] = "svm-cells"
    options = ("c", "gamma", "cells")
    rois = tuple(ROI_CENTERS)

    def __init__(self, c: float = 1.0, gamma: float | None = None, cells: int = 7) -> None:
        if not c > 0 or not (gamma is None or gamma > 0):
            raise UsageError(f"c and gamma must be above 0; found c={c}, gamma={gamma}")
        if not 1 <= cells <= 28:
            raise UsageError(f"cells must be 1 to 28 along a side; found {cells}")
        self.c, self.cells = c, cells
        self.gamma = 1 / (3 * cells * cells) if gamma is None else gamma
        self._state: dict[str, Floats] = {}
        self._sharpness = 1.0

    def _features(self, inputs: FloatArray) -> Floats:
        return cell_means(centered(as_inputs(inputs)), self.cells).reshape(len(inputs), -1)

    def fit(
        self,
        clips: Clips,
        *,
        checkpoint: StrPath | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Train, deterministically. The calibration of votes is learned on groups of subjects that
        are left out in turn; the factor stays 1 if a class would be missing.

        Raises:
            UsageError: a class without a clip.
        """
        missing = set(range(len(clips.classes))) - set(clips.labels.tolist())
        if missing:
            without = ", ".join(clips.classes[k] for k in sorted(missing))
            raise UsageError(f"every class needs a clip to learn from; without one: {without}")
        x = self._features(clips.inputs)
        self.classes = clips.classes
        rounds = list(groups_left_out(clips.subjects))
        scores = np.empty((len(clips), len(clips.classes)))
        able = len(rounds) > 1
        for out in rounds if able else ():
            able = len(np.unique(clips.labels[~out])) == len(clips.classes)
            if not able:
                break
            self._state = self._learnt(x[~out], clips.labels[~out])
            scores[out] = self._scores(clips.inputs[out])
        self._sharpness = sharpness(scores, clips.labels) if able else 1.0
        self._state = self._learnt(x, clips.labels)
        return self

    def _learnt(self, x: Floats, labels: IntArray) -> dict[str, Floats]:
        from sklearn.svm import SVC

        mean, deviation = x.mean(0), x.std(0) + 1e-8
        machine = SVC(C=self.c, gamma=self.gamma, class_weight="balanced")
        machine.fit((x - mean) / deviation, labels)
        pairwise = np.atleast_1d(machine.intercept_).astype(np.float64)
        dual = machine.dual_coef_.astype(np.float64)
        if len(self.classes) == 2:  # scikit-learn negates the sign for two classes
            pairwise, dual = -pairwise, -dual
        return {
            "mean": mean,
            "deviation": deviation,
            "support": machine.support_vectors_.astype(np.float64),
            "dual": dual,
            "intercept": pairwise,
            "counts": machine.n_support_.astype(np.float64),
        }

    def margins(self, inputs: FloatArray) -> Floats:
        """(N, C (C - 1) / 2) float64, pairs (0, 1), (0, 2), ...: above 0 for the first of a pair.

        Raises:
            UsageError: it is not fitted, or wrong inputs.
        """
        fitted(self)
        s = self._state
        z = (self._features(inputs) - s["mean"]) / s["deviation"]
        distance = (z * z).sum(1)[:, None] + (s["support"] ** 2).sum(1) - 2 * z @ s["support"].T
        kernel = np.exp(-self.gamma * np.maximum(distance, 0))
        ends = np.concatenate([[0], np.cumsum(s["counts"].astype(int))])
        own = [slice(a, b) for a, b in pairwise(ends)]
        found = [
            kernel[:, own[i]] @ s["dual"][j - 1, own[i]] + kernel[:, own[j]] @ s["dual"][i, own[j]]
            for i, j in combinations(range(len(self.classes)), 2)
        ]
        margins: Floats = np.stack(found, 1) + s["intercept"]
        return margins

    def predict_proba(self, inputs: FloatArray, sources: Sequence[str] = ()) -> Floats:
        """(N, C): calibrated soft-max of the pairs' votes plus, as less than a vote, their margins
        (`aumer.recognition.calibration`).

        Its maximum is libsvm's prediction, except that margins decide ties of votes, for which
        libsvm takes the first class.

        Raises:
            UsageError: it is not fitted, or wrong inputs.
        """
        return soft_max(self._sharpness * self._scores(inputs))

    def _scores(self, inputs: FloatArray) -> Floats:
        margins = self.margins(inputs)
        votes = np.zeros((len(margins), len(self.classes)))
        sums = np.zeros_like(votes)
        for k, (i, j) in enumerate(combinations(range(len(self.classes)), 2)):
            votes[:, i] += margins[:, k] > 0
            votes[:, j] += margins[:, k] <= 0
            sums[:, i] += margins[:, k]
            sums[:, j] -= margins[:, k]
        scores: Floats = votes + sums / (3 * (abs(sums) + 1))
        best = scores.argmax(1)
        own = np.full_like(margins, np.inf)
        for k, (i, j) in enumerate(combinations(range(len(self.classes)), 2)):
            with_it = (best == i) | (best == j)
            own[with_it, k] = abs(margins[with_it, k])
        won: Floats = scores * own.min(1, keepdims=True)
        return won

    def attribution(self, flow_map: FloatArray, label: str | None = None) -> Floats:
        """(12,): see `aumer.recognition.features.occlusion`."""
        k = column(self, label, self.predict_proba(flow_map[None])[0])
        return occlusion(lambda maps: self.predict_proba(maps)[:, k], flow_map)

    def portable(self) -> Portable:
        """See `aumer.recognition.interface.Recognizer`."""
        from aumer.recognition import kernel_networks as networks

        fitted(self)
        dots = networks.dots()
        pixels = cell_means(dots, self.cells).reshape(len(dots), -1, 3)[..., 0]
        net = networks.SvmNet(pixels, self._state, self.gamma, self._sharpness)
        return networks.portable(self, net)

    def examples(self, subjects: int) -> list[dict[str, Tensor]]:
        """See `aumer.recognition.interface.Recognizer`."""
        from aumer.recognition.kernel_networks import examples

        return examples(subjects)

    def save(self, path: StrPath, card: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """See `aumer.recognition.interface.Recognizer`."""
        about = {
            "options": {"c": self.c, "gamma": self.gamma, "cells": self.cells},
            "sharpness": self._sharpness,
        }
        write_weights(path, self, self._state, about, card, overwrite=overwrite)

    def _check(self, classes: int) -> None:
        """Raise an error for arrays that do not belong to an SVM of this number of classes."""
        s, (vectors, features) = self._state, self._state["support"].shape
        shapes = {
            "mean": (features,),
            "deviation": (features,),
            "support": (vectors, 3 * self.cells**2),
            "dual": (classes - 1, vectors),
            "intercept": (classes * (classes - 1) // 2,),
            "counts": (classes,),
        }
        if wrong := [name for name in shapes if s[name].shape != shapes[name]]:
            name = wrong[0]
            raise ValueError(
                f"{name} is of shape {s[name].shape}, and of {classes} classes {shapes[name]}"
            )
        if s["counts"].sum() != vectors or not (s["deviation"] > 0).all():
            raise ValueError("counts do not sum to the support vectors, or a deviation is 0")

    @classmethod
    def load(cls, path: StrPath) -> Self:
        """See `aumer.recognition.interface.Recognizer`."""
        found = read_weights(path, cls.name)
        with foreign(path, "a whole svm-cells", WeightsError):
            # Files from before calibration hold only the options.
            made = cls(**found.about.get("options", found.about))
            made._sharpness = float(found.about.get("sharpness", 1.0))
            made._state = {name: found.arrays[name] for name in _ARRAYS}
            made._check(len(found.classes))
        made.classes, made.card = found.classes, found.card
        return made
