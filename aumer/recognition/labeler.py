"""The recognition stage: a class with probabilities for each moment of a video."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aumer.config import ClassifySettings, MotionSettings, RuleSettings
from aumer.errors import UsageError, WeightsError
from aumer.process import use_threads
from aumer.recognition.clips import Clip
from aumer.recognition.interface import Floats, Recognizer, checked, fitted
from aumer.recognition.stage import Stage, at_rest
from aumer.types import (
    NAMED,
    NO_EXPRESSION,
    UNCERTAIN,
    Features,
    FloatArray,
    Moment,
    Outcome,
)

#: Texts of doubts about a verdict.
STILL, UNLIKE = "nothing moves from onset to apex", "unlike what the recognizer was trained on"
#: A clip is doubtful if less familiar than all but this share of the training clips.
_STRANGE = 0.01
#: Tolerance of the sum of probabilities.
_SUM = 1e-3


@dataclass(frozen=True, eq=False)
class Verdict:
    """A recognizer's answer for one expression.

    Attributes:
        label: the most probable class; `None` if nothing moves, or if it is less probable than
            `classify.abstain_below`.
        probs: probabilities of all classes; they sum to 1, and are equal if nothing moves.
        attribution: contribution of each ROI to the label; empty if not supported.
        flow_map: (28, 28, 3) float32 input; `None` for other inputs.
        doubt: why the label may be unreliable: nothing moves, no class is probable enough, or the
            clip is unlike the training clips.
        outcome: see `aumer.types.Outcome`.
    """

    label: str | None
    probs: Mapping[str, float]
    attribution: Mapping[str, float]
    flow_map: FloatArray | None = None
    doubt: str | None = None
    outcome: Outcome = NAMED


class Labeler(Stage[Recognizer, Verdict]):
    """Labels moments of videos with one recognizer of any input.

    Args:
        settings, rules: as in `Stage`.
        asked: least probability of a label; by default there is always a label.

    Raises:
        UsageError: the recognizer is not trained, or the flow is unknown.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        settings: MotionSettings,
        rules: RuleSettings | None = None,
        asked: ClassifySettings | None = None,
    ) -> None:
        fitted(recognizer)
        super().__init__(recognizer, settings, rules)
        self._least = 0.0 if asked is None else asked.abstain_below

    @property
    def recognizer(self) -> Recognizer:
        """The recognizer."""
        return self.part

    def judge(self, clip: Clip) -> Verdict:
        """The verdict on one clip; see `Stage`."""
        use_threads()
        recognizer = self.recognizer
        inputs = clip[None] if isinstance(clip, np.ndarray) else [clip]
        verdict = self._verdict(
            recognizer.predict_proba(inputs),
            lambda label: recognizer.attribution(clip, label),
            recognizer.familiarity(clip),
        )
        if isinstance(clip, np.ndarray) and self.maker.reads == "flow-map":
            return replace(verdict, flow_map=clip)
        return verdict

    def check_motion(self) -> None:
        """Raise if the recognizer needs more than motion.

        Raises:
            UsageError: the message names what it reads.
        """
        recognizer = self.recognizer
        if "motion" not in recognizer.reads:
            what = "flow maps" if recognizer.reads[0] == "flow-map" else "sequences of frames"
            raise UsageError(
                f"the recognizer {recognizer.name!r} reads {what}, which features do not "
                "hold; give the video that they were made from, or a recognizer with "
                "predict_motion"
            )

    def judge_features(self, features: Features, moment: Moment) -> Verdict:
        """The verdict on the motion of ROIs from onset to apex.

        Raises:
            UsageError: the recognizer does not read motion, an ROI is missing in the features, or
                there is no valid motion at that moment.
        """
        use_threads()
        self.check_motion()
        recognizer = self.recognizer
        moved = self.maker.motion_of(features, moment)
        verdict = self._verdict(
            recognizer.predict_motion(moved[None]),
            lambda label: recognizer.motion_attribution(moved, label),
            recognizer.motion_familiarity(moved),
        )
        (still,) = at_rest(features, self._rules, [moment])
        return self.unmoved(verdict) if still else verdict

    def unmoved(self, answer: Verdict) -> Verdict:
        """Equal probabilities and no label."""
        equal = dict.fromkeys(answer.probs, 1 / len(answer.probs))
        return replace(
            answer, label=None, probs=equal, attribution={}, doubt=STILL, outcome=NO_EXPRESSION
        )

    def _verdict(
        self,
        shares: Floats,
        attribution: Callable[[str], Floats | None],
        familiar: float | None,
    ) -> Verdict:
        (row,) = checked(self.recognizer, shares, 1)
        probs = _named(self.recognizer.classes, row)
        if abs(sum(probs.values()) - 1) > _SUM:
            raise WeightsError(
                f"the recognizer {self.recognizer.name!r} gives probabilities whose sum is "
                f"{sum(probs.values()):.4g} and not 1: its weights are damaged, or its code "
                "is wrong. Train it again, or give other weights"
            )
        label = max(probs, key=probs.__getitem__)
        values = attribution(label)
        verdict = Verdict(
            label,
            probs,
            {} if values is None else _named(self.recognizer.rois, self._of_rois(values)),
            doubt=UNLIKE if familiar is not None and familiar < _STRANGE else None,
        )
        if probs[label] >= self._least:
            return verdict
        unsure = (
            f"the most probable class, {label}, has {probs[label]:.2f}, less than "
            f"classify.abstain_below, {self._least:g}"
        )
        doubt = "; ".join(filter(None, (unsure, verdict.doubt)))
        return replace(verdict, label=None, doubt=doubt, outcome=UNCERTAIN)

    def _of_rois(self, values: Floats) -> Floats:
        """The attribution by ROI, if it has one number for each."""
        found, rois = np.asarray(values, np.float64), self.recognizer.rois
        if found.shape != (len(rois),) or not np.isfinite(found).all():
            raise WeightsError(
                f"the recognizer {self.recognizer.name!r} must give a number for each of its "
                f"{len(rois)} ROIs, its share in the label; found {found}"[:300]
                + ". Its weights are damaged: train it again, or give other weights"
            )
        return found


def _named(names: Sequence[str], values: Floats) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}
