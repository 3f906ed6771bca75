"""`aumer train CONFIG` for recognizers: training on clips of a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, ClassVar, Literal

import numpy as np

from aumer import strict
from aumer.data.labels import MEGC_CLASSES, label_set
from aumer.data.megc2019 import NAME as MEGC2019
from aumer.errors import ConfigError, UsageError, did_you_mean
from aumer.files import StrPath
from aumer.recognition.interface import Clips, MotionClips, Recognizer, resolve
from aumer.recognition.labeled import LabeledClips, without_rare
from aumer.training import clip_run
from aumer.training.clip_run import ClipRun, ClipSource, excluded, inputs_of
from aumer.training.clips import ClipReading, Progress
from aumer.training.composite import composite
from aumer.training.listing import check_counts
from aumer.training.listing import without_rare as only_frequent


@dataclass(frozen=True)
class RecognizerConfig(ClipRun):
    """Configuration for training a recognizer; see also `ClipRun`.

    Attributes:
        recognizer: name in the registry.
        classes: MEGC 2019's three, or words of the data set's coders; or the name of a set of
            `aumer.data.labels.LABEL_SETS`. By default all words of the table; for "megc2019" and
            clips in memory their own classes.
        min_clips: classes with fewer training clips are left out; 0 keeps all.
    """

    called: ClassVar[str] = "recognizer"

    task: Literal["recognition"] = "recognition"
    recognizer: str = "graph"
    classes: tuple[str, ...] | str = ()
    min_clips: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        strict.within("min_clips", self.min_clips, 0, 1_000_000)
        label_set(self.classes)  # raises errors

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes; empty for those of the data."""
        return label_set(self.classes)

    def kind(self) -> type[Recognizer]:
        """See `ClipRun`."""
        return resolve(self.recognizer)

    def read(
        self, reading: ClipReading, cache: StrPath, progress: Progress | None = None
    ) -> tuple[LabeledClips[Any], dict[str, Any]]:
        """See `ClipRun`. ``left_out`` labels are reported with their counts."""
        data = self.data
        if data.source == MEGC2019:
            self._check_classes(MEGC_CLASSES, MEGC2019)
            return self._frequent(_left(data, composite(data.root))), {}
        listing = only_frequent(self.listing(self.labels), self.min_clips)
        check_counts(listing, (e.label for e in listing.examples), data.root)
        self.check_subjects(listing)
        stored, _, unseen = inputs_of(listing, reading, cache, progress)
        notes = list(listing.notes)
        if listing.left_out:
            listed = ", ".join(f"{word} {n}" for word, n in listing.left_out.items())
            notes.append(
                f"left out, as of none of the classes {', '.join(listing.classes)}: {listed}"
                + _near(listing.left_out, listing.classes)
            )
        notes += unseen
        if unseen:
            check_counts(listing, stored.labels, f"{data.root}: {unseen[0]}")
        facts = {
            "notes": notes,
            "left_out": dict(listing.left_out),
            "inputs": reading.to_dict(),
        }
        return stored.load(), facts

    def in_memory(self, clips: LabeledClips[Any]) -> LabeledClips[Any]:
        """See `ClipRun`."""
        kinds: dict[type, str] = {Clips: "flow-map", MotionClips: "motion"}
        what = next((name for kind, name in kinds.items() if isinstance(clips, kind)), "sequence")
        reads = self.kind().reads[0]
        if what != reads:
            raise UsageError(
                f"the recognizer {self.recognizer!r} learns from clips of the kind {reads!r}; "
                f"found {type(clips).__name__}, of the kind {what!r}"
            )
        self._check_classes(clips.classes, "the clips")
        left = _left(self.data, clips)
        if not len(left):
            raise UsageError("no clip is left to train on")
        return self._frequent(left)

    def _frequent(self, clips: LabeledClips[Any]) -> LabeledClips[Any]:
        return without_rare(clips, self.min_clips) if self.min_clips else clips

    def _check_classes(self, classes: tuple[str, ...], of: str) -> None:
        if self.labels not in ((), classes):
            raise ConfigError(f"the classes of {of} are {', '.join(classes)}")

    def counts(self, made: Recognizer, clips: LabeledClips[Any]) -> dict[str, Any]:
        """See `ClipRun`."""
        return counted(clips)

    def card_entries(
        self, made: Any, clips: LabeledClips[Any], about: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `ClipRun`."""
        return {"classes": list(clips.classes), **super().card_entries(made, clips, about)}


def counted(clips: LabeledClips[Any]) -> dict[str, Any]:
    """Numbers of subjects, and of clips of each class."""
    counts = Counter(clips.classes[k] for k in clips.labels)
    return {
        "subjects": len(set(clips.subjects)),
        "clips": {name: counts[name] for name in clips.classes},
    }


def read_config(
    path: str | PathLike[str], overrides: Mapping[str, Any] | None = None
) -> RecognizerConfig:
    """`clip_run.read_config` of a recognizer's run."""
    return clip_run.read_config(RecognizerConfig, path, overrides)


def _near(words: Iterable[str], classes: Sequence[str]) -> str:
    """Suggestions for labels that are left out."""
    hints = (did_you_mean(word.partition(" ")[2].casefold(), classes) for word in words)
    return next(filter(None, (f".{hint}" for hint in hints if hint)), "")


def _left(data: ClipSource, clips: LabeledClips[Any]) -> LabeledClips[Any]:
    """The clips of subjects that are not excluded."""
    out = excluded(data, clips.subjects)
    return clips.take(np.array([s not in out for s in clips.subjects], np.bool_))


def card(
    made: Recognizer,
    clips: LabeledClips[Any],
    data: Mapping[str, Any],
    out: Sequence[str],
    options: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """The card of a recognizer's weights.

    Args:
        made: the trained recognizer.
        clips: its training clips.
        data: further facts about these: source, how they were made, notes.
        out: excluded subjects.
        options: options of training.
    """
    known = {**data, **counted(clips), "excluded_subjects": list(out)}
    return {"classes": list(clips.classes), **clip_run.card(made, known, options, seed)}
