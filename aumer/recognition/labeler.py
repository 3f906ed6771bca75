"""The recognition stage: moments of a video in, a class with its probabilities for each out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aumer.config import ClassifySettings, MotionSettings, RuleSettings
from aumer.errors import UsageError, WeightsError
from aumer.files import TemporaryFolder
from aumer.process import use_threads
from aumer.recognition.clips import Clip, ClipMaker, Keeper
from aumer.recognition.interface import Floats, Recognizer
from aumer.spotting import noise
from aumer.types import (
    NAMED,
    NO_EXPRESSION,
    UNCERTAIN,
    FaceTrack,
    Features,
    FloatArray,
    Moment,
    Outcome,
)
from aumer.video import Source

#: Why a verdict may mean little.
STILL, UNLIKE = "nothing moves from onset to apex", "unlike what the recognizer was trained on"
#: Of the clips that a recognizer was trained on, so many are as strange to the others.
_STRANGE = 0.01


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a recognizer says of one expression.

    Attributes:
        label: the most probable class; `None` where nothing moves that could be named, or where it
            is less probable than `classify.abstain_below`.
        probs: of every class; they sum to 1, and are equal where nothing moves.
        attribution: how much each ROI spoke for the label; empty where it does not say.
        flow_map: (28, 28, 3) float32 that it judged; `None` where it judged something else.
        doubt: why it may mean little: nothing moves, no class is probable enough, or it is unlike
            what the recognizer was trained on.
        outcome: see `aumer.types.Outcome`.
    """

    label: str | None
    probs: Mapping[str, float]
    attribution: Mapping[str, float]
    flow_map: FloatArray | None = None
    doubt: str | None = None
    outcome: Outcome = NAMED


class Labeler:
    """Judges moments of videos with one recognizer, whatever it reads of them.

    Args:
        rules: what from onset to apex moves no more than a face at rest (`noise.over_rest`) does
            not move. By default everything does.
        asked: below which probability there is no label; by default there is one at any.

    Attributes:
        maker: what makes clips of moments.
        digest: SHA-256 (hex) of the file that the recognizer's `save` writes, which holds all that
            its numbers depend on; `None` for one that cannot be saved.

    Raises:
        UsageError: there is no such flow.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        settings: MotionSettings,
        rules: RuleSettings | None = None,
        asked: ClassifySettings | None = None,
    ) -> None:
        self.recognizer, self._rules = recognizer, rules
        self._least = 0.0 if asked is None else asked.abstain_below
        self.maker = ClipMaker.of(recognizer, settings)
        self.maker.check()
        self.digest = _digest(recognizer)

    def __call__(
        self,
        source: Source,
        moments: Sequence[Moment],
        track: FaceTrack,
        features: Features | None = None,
        *,
        fps: float | None = None,
        kept: Keeper | None = None,
    ) -> list[Verdict | None]:
        """A verdict on each moment; `None` where no face or no motion of one was seen.

        Args: as `aumer.recognition.clips.ClipMaker`.

        Raises:
            UsageError: the source is a camera.
            VideoError: the source cannot be read.
        """
        found: list[Verdict | None] = [None] * len(moments)
        for made in self.maker(source, moments, track, features, fps=fps, kept=kept):
            if made.clip is not None:
                found[made.number] = self.judge(made.clip)
        if features is None:
            return found
        still = self._still(features, moments)
        return [v and (_of_rest(v) if s else v) for v, s in zip(found, still, strict=True)]

    def _still(self, features: Features, moments: Sequence[Moment]) -> list[bool]:
        """Whether it is known of each moment that nothing moves."""
        return at_rest(features, self._rules, moments)

    def judge(self, clip: Clip) -> Verdict:
        """A verdict on what the recognizer reads of one clip.

        Raises:
            WeightsError: what its weights make of the clip is no number.
        """
        use_threads()
        recognizer = self.recognizer
        inputs = clip[None] if isinstance(clip, np.ndarray) else [clip]
        verdict = self._verdict(
            recognizer.predict_proba(inputs)[0],
            lambda label: recognizer.attribution(clip, label),
            recognizer.familiarity(clip),
        )
        if isinstance(clip, np.ndarray) and self.maker.reads == "flow-map":
            return replace(verdict, flow_map=clip)
        return verdict

    def judge_features(self, features: Features, moment: Moment) -> Verdict:
        """A verdict on the motion of ROIs from onset to apex.

        Raises:
            UsageError: the recognizer does not read motion alone, or reads ROIs that the features
                do not have, or no motion is known at that moment.
        """
        use_threads()
        recognizer = self.recognizer
        if "motion" not in recognizer.reads:
            what = "flow maps" if recognizer.reads[0] == "flow-map" else "sequences of frames"
            raise UsageError(
                f"the recognizer {recognizer.name!r} reads {what}, which features do not "
                "hold; give the video that they were made from, or a recognizer with "
                "predict_motion"
            )
        moved = self.maker.motion_of(features, moment)
        verdict = self._verdict(
            recognizer.predict_motion(moved[None])[0],
            lambda label: recognizer.motion_attribution(moved, label),
            recognizer.motion_familiarity(moved),
        )
        return _of_rest(verdict) if self._still(features, [moment])[0] else verdict

    def _verdict(
        self,
        shares: Floats,
        attribution: Callable[[str], Floats | None],
        familiar: float | None,
    ) -> Verdict:
        if not np.isfinite(shares).all():
            raise WeightsError(
                f"the recognizer {self.recognizer.name!r} gives probabilities that are NaN or "
                "infinite: its weights are damaged, or its training failed. Train it again, or "
                "give other weights"
            )
        probs = _named(self.recognizer.classes, shares)
        label = max(probs, key=probs.__getitem__)
        spoke = attribution(label)
        verdict = Verdict(
            label,
            probs,
            {} if spoke is None else _named(self.recognizer.rois, spoke),
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


def at_rest(
    features: Features | None, rules: RuleSettings | None, moments: Sequence[Moment]
) -> list[bool]:
    """Whether it is known of each moment that nothing moves from onset to apex by more than this
    face at rest (`noise.over_rest`). Without features or rules nothing is known."""
    if features is None or rules is None:
        return [False] * len(moments)
    ways = noise.over_rest(features, rules, [(m.onset, m.apex) for m in moments])
    return [way is not None and way < 1 for way in ways]


def _of_rest(verdict: Verdict) -> Verdict:
    """What is said where nothing moves: what recognizers make of noise, scaled up, is no answer."""
    equal = dict.fromkeys(verdict.probs, 1 / len(verdict.probs))
    return replace(
        verdict, label=None, probs=equal, attribution={}, doubt=STILL, outcome=NO_EXPRESSION
    )


def _named(names: Sequence[str], values: Floats) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _digest(recognizer: Recognizer) -> str | None:
    if not recognizer.has_file():
        return None
    with TemporaryFolder() as folder:
        path = folder / "recognizer.safetensors"
        recognizer.save(path, recognizer.card)
        return hashlib.sha256(path.read_bytes()).hexdigest()
