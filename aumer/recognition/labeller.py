"""The recognition stage: moments of a video in, a class with its probabilities for each out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from aumer.config import MotionSettings
from aumer.errors import UsageError, WeightsError
from aumer.motion import AlignedFace
from aumer.process import use_threads
from aumer.recognition.clips import Clip, ClipMaker
from aumer.recognition.seam import Floats, Recognizer
from aumer.types import FaceTrack, Features, FloatArray, Moment
from aumer.video import Source, content_digest


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a recogniser says of one expression.

    Attributes:
        label: the most probable class.
        probs: of every class; they sum to 1.
        attribution: how much each ROI spoke for the label; empty where it does not say.
        flow_map: (28, 28, 3) float32 that it judged; `None` where it judged something else.
    """

    label: str
    probs: Mapping[str, float]
    attribution: Mapping[str, float]
    flow_map: FloatArray | None = None


class Labeller:
    """Judges moments of videos with one recogniser, whatever it reads of them.

    Attributes:
        maker: what makes clips of moments.
        digest: SHA-256 (hex) of the file that the recogniser's `save` writes, which holds all that
            its numbers depend on; `None` for one that cannot be saved.

    Raises:
        UsageError: there is no such flow.
    """

    def __init__(self, recognizer: Recognizer, settings: MotionSettings) -> None:
        self.recognizer = recognizer
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
        kept: Mapping[int, AlignedFace] = MappingProxyType({}),
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
        return found

    def judge(self, clip: Clip) -> Verdict:
        """A verdict on what the recogniser reads of one clip.

        Raises:
            WeightsError: what its weights make of the clip is no number.
        """
        use_threads()
        recognizer = self.recognizer
        inputs = clip[None] if isinstance(clip, np.ndarray) else [clip]
        verdict = self._verdict(
            recognizer.predict_proba(inputs)[0], lambda label: recognizer.attribution(clip, label)
        )
        if isinstance(clip, np.ndarray) and self.maker.reads == "flow-map":
            return replace(verdict, flow_map=clip)
        return verdict

    def judge_features(self, features: Features, moment: Moment) -> Verdict:
        """A verdict on the motion of ROIs from onset to apex.

        Raises:
            UsageError: the recogniser does not read motion alone, or reads ROIs that the features
                do not have, or no motion is known at that moment.
        """
        use_threads()
        recognizer = self.recognizer
        if "motion" not in recognizer.reads:
            what = "flow maps" if recognizer.reads[0] == "flow-map" else "sequences of frames"
            raise UsageError(
                f"the recogniser {recognizer.name!r} judges {what}, which features do not hold: "
                "give the video that they were made from, or a recogniser with predict_motion"
            )
        moved = self.maker.motion_of(features, moment)
        return self._verdict(
            recognizer.predict_motion(moved[None])[0],
            lambda label: recognizer.motion_attribution(moved, label),
        )

    def _verdict(self, shares: Floats, attribution: Callable[[str], Floats | None]) -> Verdict:
        if not np.isfinite(shares).all():
            raise WeightsError(
                f"the recogniser {self.recognizer.name!r} gives probabilities that are NaN or "
                "infinite: its weights are damaged, or its training failed. Train it again, or "
                "give other weights"
            )
        probs = _named(self.recognizer.classes, shares)
        label = max(probs, key=probs.__getitem__)
        spoke = attribution(label)
        return Verdict(label, probs, {} if spoke is None else _named(self.recognizer.rois, spoke))


def _named(names: Sequence[str], values: Floats) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _digest(recognizer: Recognizer) -> str | None:
    if not recognizer.has_file():
        return None
    with tempfile.TemporaryDirectory(prefix="aumer-") as folder:
        path = Path(folder) / "recognizer.safetensors"
        recognizer.save(path, recognizer.card)
        return content_digest(path)
