"""The recognition stage: moments of a video in, a class with its probabilities for each out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aumer.config import MotionSettings
from aumer.errors import UsageError
from aumer.flow import Flow
from aumer.recognition.apex import rows_between
from aumer.recognition.clips import Moment, flow_maps
from aumer.recognition.seam import Floats, NotKept, Recognizer
from aumer.types import FaceTrack, Features, FloatArray
from aumer.video import Source, content_digest


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a recogniser says of one expression.

    Attributes:
        label: the most probable class.
        probs: of every class; they sum to 1.
        attribution: how much each ROI spoke for the label; empty where it does not say.
        flow_map: (28, 28, 3) float32 that it judged; `None` where it judged features.
    """

    label: str
    probs: Mapping[str, float]
    attribution: Mapping[str, float]
    flow_map: FloatArray | None = None


class Labeller:
    """Judges moments of videos with one recogniser.

    Attributes:
        digest: SHA-256 (hex) of the file that the recogniser's `save` writes, which holds all that
            its numbers depend on; `None` for one that cannot be saved.
    """

    def __init__(self, recognizer: Recognizer, flow: Flow, settings: MotionSettings) -> None:
        self.recognizer = recognizer
        self._flow, self._settings = flow, settings
        self.digest = _digest(recognizer)

    def __call__(
        self,
        source: Source,
        moments: Sequence[Moment],
        track: FaceTrack,
        *,
        fps: float | None = None,
    ) -> list[Verdict | None]:
        """A verdict on each moment; `None` where no face or no motion of one was seen.

        Raises:
            UsageError: the source is a camera.
            VideoError: the source cannot be read.
        """
        place = self.recognizer.place
        maps = flow_maps(source, moments, track, self._flow, self._settings, fps=fps, place=place)
        return [None if found is None else self.judge(found) for found in maps]

    def judge(self, flow_map: FloatArray) -> Verdict:
        """A verdict on one (28, 28, 3) flow map."""
        probs = _named(self.recognizer.classes, self.recognizer.predict_proba(flow_map[None])[0])
        label = max(probs, key=probs.__getitem__)
        spoke = self.recognizer.attribution(flow_map, label)
        named = {} if spoke is None else _named(self.recognizer.rois, spoke)
        return Verdict(label, probs, named, flow_map)

    def judge_features(self, features: Features, moment: Moment) -> Verdict:
        """A verdict on the motion of ROIs from onset to apex.

        Raises:
            UsageError: the recogniser reads flow maps alone, or ROIs that the features do not have,
                or no motion is known at that moment.
        """
        recognizer = self.recognizer
        if "motion" not in recognizer.reads:
            raise UsageError(
                f"the recogniser {recognizer.name!r} judges flow maps, which features do not hold: "
                "give the video that they were made from, or a recogniser with predict_motion"
            )
        missing = [roi for roi in recognizer.rois if roi not in features.rois]
        if missing:
            raise UsageError(
                f"the recogniser {recognizer.name!r} reads the ROIs {', '.join(recognizer.rois)}; "
                f"the features lack {', '.join(missing)}"
            )
        rows = rows_between(features, moment.onset, moment.apex)[:-1]
        columns = [features.rois.index(roi) for roi in recognizer.rois]
        moved = np.nan_to_num(features.values[rows][:, columns]).sum(axis=0) / features.eye_distance
        moved = moved.astype(np.float32)
        probs = _named(recognizer.classes, recognizer.predict_motion(moved[None])[0])
        label = max(probs, key=probs.__getitem__)
        spoke = recognizer.motion_attribution(moved, label)
        return Verdict(label, probs, {} if spoke is None else _named(recognizer.rois, spoke))


def _named(names: Sequence[str], values: Floats) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _digest(recognizer: Recognizer) -> str | None:
    with tempfile.TemporaryDirectory(prefix="aumer-") as folder:
        path = Path(folder) / "recognizer.safetensors"
        try:
            recognizer.save(path, recognizer.card)
        except NotKept:
            return None
        return content_digest(path)
