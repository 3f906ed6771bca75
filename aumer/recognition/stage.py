"""The stages that say something of moments of videos: one pass, one verdict of each.

`aumer.recognition.labeler.Labeler` names expressions by a recognizer, and
`aumer.recognition.action_units.ActionUnits` reads action units by an AU reader.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from aumer.config import MotionSettings, RuleSettings
from aumer.process import use_threads
from aumer.recognition.clips import Clip, ClipMaker, Keeper
from aumer.recognition.trained import Trained, digest
from aumer.spotting import noise
from aumer.types import FaceTrack, Features, Moment
from aumer.video import Source

P = TypeVar("P", bound=Trained)
Answer = TypeVar("Answer")


class Stage(ABC, Generic[P, Answer]):
    """Judges moments of videos by one trained part, whatever it reads of them.

    Args:
        settings: how flow maps are made, where the part does not know how those were made that it
            has learned from.
        rules: what from onset to apex moves no more than a face at rest (`at_rest`) does not move.
            By default everything does.

    Attributes:
        part: what judges.
        maker: what makes clips of moments.
        digest: see `aumer.recognition.trained.digest`.

    Raises:
        UsageError: there is no such flow.
    """

    def __init__(
        self, part: P, settings: MotionSettings, rules: RuleSettings | None = None
    ) -> None:
        self.part, self._rules = part, rules
        self.maker = ClipMaker.of(part, settings)
        self.maker.check()
        self.digest = digest(part)

    def __call__(
        self,
        source: Source,
        moments: Sequence[Moment],
        track: FaceTrack,
        features: Features | None = None,
        *,
        fps: float | None = None,
        kept: Keeper | None = None,
    ) -> list[Answer | None]:
        """What is said of each moment; `None` where no face or no motion of one was seen.

        Args: as `aumer.recognition.clips.ClipMaker`; `kept` may be another stage's, and is not
            used then where it would read otherwise.

        Raises:
            UsageError: the source is a camera.
            VideoError: the source cannot be read.
        """
        kept = kept if kept is not None and kept.serves(self.maker) else None
        found: list[Answer | None] = [None] * len(moments)
        for made in self.maker(source, moments, track, features, fps=fps, kept=kept):
            if made.clip is not None:
                use_threads()
                found[made.number] = self.judge(made.clip)
        still = at_rest(features, self._rules, moments)
        return [
            self.unmoved(one) if one is not None and s else one
            for one, s in zip(found, still, strict=True)
        ]

    @abstractmethod
    def judge(self, clip: Clip) -> Answer:
        """What is said of one clip, such as the part reads.

        Raises:
            WeightsError: what its weights make of the clip is no number.
        """

    @abstractmethod
    def unmoved(self, answer: Answer) -> Answer:
        """What is said instead where nothing moves: what is made of noise, scaled up, is no
        answer."""


def at_rest(
    features: Features | None, rules: RuleSettings | None, moments: Sequence[Moment]
) -> list[bool]:
    """Whether it is known of each moment that nothing moves from onset to apex by more than this
    face at rest (`noise.over_rest`). Without features or rules nothing is known."""
    if features is None or rules is None:
        return [False] * len(moments)
    ways = noise.over_rest(features, rules, [(m.onset, m.apex) for m in moments])
    return [way is not None and way < 1 for way in ways]
