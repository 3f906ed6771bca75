"""What a report is made of: plain records of a run, whoever made it."""

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
    """What was run, and how.

    Attributes:
        warnings: what must not be overlooked: that data are simulated, for instance.
        notes: what a reader of the figures should know, a sentence each.
        settings: every setting in force, as plain values.
        published: figures of others: a row a method, its columns by name.
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
    """One clip, as one seed's model of other subjects predicted it.

    Attributes:
        probabilities: in the order of the classes; empty where none were kept.
        embedding: what the network's last layer read; empty where none was kept.
        attribution: how much each ROI spoke for the predicted class; empty where none was kept.
        space: how much each square of the aligned crop spoke for the predicted class, rows from the
            top one after another; empty where none was kept.
        time: how much each phase did, from onset to apex, then to offset.
        source: the data set; "" where that is not known.
        fold: whose model predicted it, by name; "" for its subject's.
        seen: False where no face could be seen: then it was predicted without being looked at.
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
    """How one fold's training went: by epoch "epoch", "loss" and, if known, "inner_loss"."""

    fold: str
    seed: int
    log: tuple[Mapping[str, float], ...]


@dataclass(frozen=True, eq=False)
class RecognitionRun:
    """A run of recognition.

    Attributes:
        classes: in the order of the probabilities.
        clips: every clip once for each seed.
        rois: what the numbers of attributions stand for.
        chosen: what each fold chose within its training subjects.
        images: (H, W, 3) uint8 RGB by (subject, name), where the caller has them.
        picture: what the images show, in a few words.
        faces: (H, W, 3) uint8 RGB at onset, apex and offset by (subject, name), where the caller
            has them; `None` for a frame that is not there.
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
    """What one seed's models spotted in one data set.

    Attributes:
        selection: how the epoch was chosen, in words.
        honest: False where it was chosen on the test subject.
        report: `None` where the truth is not known.
        truths, predictions: all rows that the report was made of.
        recognition: of what was spotted; `None` where it was not recognized.
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
        chosen: what is kept of each fold's model.
    """

    about: About
    spotted: tuple[Spotted, ...]
    chosen: tuple[Mapping[str, Any], ...] = ()
