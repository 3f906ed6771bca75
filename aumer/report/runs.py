"""Input of a report: plain records of a run from any source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aumer.evaluation.recognition import RecognitionReport
from aumer.evaluation.rows import PredictedInterval, Truth
from aumer.evaluation.spotting import SpottingReport
from aumer.types import ImageArray


@dataclass(frozen=True)
class About:
    """Description of a run.

    Attributes:
        warnings: important warnings, such as simulated data.
        notes: notes on the figures, a sentence each.
        settings: every setting in force, as plain values.
        published: published figures: one row per method, columns by name.
    """

    title: str
    model: str
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    published: Sequence[Mapping[str, str | float]] = ()


@dataclass(frozen=True)
class Clip:
    """The prediction of one clip by one seed's model, which was trained on other subjects.

    Attributes:
        probabilities: in the order of the classes; empty if not stored.
        embedding: input of the network's last layer; empty if not stored.
        attribution: attribution of each ROI for the predicted class; empty if not stored.
        space: attribution of each square of the aligned crop for the predicted class, row by row
            from the top; empty if not stored.
        time: attribution of each phase, from onset to apex, then to offset.
        source: the data set; "" if unknown.
        fold: name of the fold whose model predicted it; "" for the subject's fold.
        seen: False if no face was found; its prediction then does not depend on its frames.
    """

    subject: str
    name: str
    truth: str
    predicted: str
    probabilities: tuple[float, ...] = ()
    embedding: tuple[float, ...] = ()
    attribution: tuple[float, ...] = ()
    space: tuple[float, ...] = ()
    time: tuple[float, ...] = ()
    seed: int = 0
    source: str = ""
    fold: str = ""
    seen: bool = True


@dataclass(frozen=True)
class Training:
    """The training log of a fold: for each epoch "epoch", "loss" and, if known, "inner_loss"."""

    fold: str
    seed: int
    log: tuple[Mapping[str, float], ...]


@dataclass(frozen=True, eq=False)
class RecognitionRun:
    """A run of recognition.

    Attributes:
        classes: in the order of the probabilities.
        clips: every clip once for each seed.
        rois: the ROIs of the attributions, in order.
        chosen: choices of each fold on its training subjects.
        images: (H, W, 3) uint8 RGB by (subject, name), if available.
        picture: short description of the images.
        faces: (H, W, 3) uint8 RGB at onset, apex and offset by (subject, name), if available;
            `None` for a missing frame.
    """

    about: About
    classes: tuple[str, ...]
    clips: tuple[Clip, ...]
    training: tuple[Training, ...] = ()
    rois: tuple[str, ...] = ()
    chosen: tuple[Mapping[str, Any], ...] = ()
    images: Mapping[tuple[str, str], ImageArray] = field(default_factory=dict)
    picture: str = ""
    faces: Mapping[tuple[str, str], tuple[ImageArray | None, ...]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Spotted:
    """The spotting result of one seed's models in one data set.

    Attributes:
        selection: how the epoch was chosen, in words.
        honest: False if it was chosen on the test subject.
        report: `None` if the truth is unknown.
        truths, predictions: all rows of the report.
        recognition: recognition of the spotted intervals; `None` if not run.
        strs: the spot-then-recognize score.
    """

    dataset: str
    seed: int
    selection: str
    honest: bool
    predictions: tuple[PredictedInterval, ...]
    truths: tuple[Truth, ...] = ()
    report: SpottingReport | None = None
    recognition: RecognitionReport | None = None
    strs: float | None = None


@dataclass(frozen=True, eq=False)
class SpottingRun:
    """A run of spotting.

    Attributes:
        spotted: by data set, seed and selection.
        chosen: stored facts of each fold's model.
    """

    about: About
    spotted: tuple[Spotted, ...]
    chosen: tuple[Mapping[str, Any], ...] = ()
