"""Base class of the stages that analyze moments of videos in one pass.

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
    """Applies one trained part to moments of videos.

    Args:
        settings: motion settings of flow maps, if the part does not know those of its training.
        rules: constants for `at_rest`: moments that move no more than a face at rest get `unmoved`.
            By default this is not checked.

    Attributes:
        part: the trained part.
        maker: the maker of clips from moments.
        digest: see `aumer.recognition.trained.digest`.

    Raises:
        UsageError: unknown flow.
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
        """The answer for each moment; `None` if no face or no motion of one was measured.

        Args: as `aumer.recognition.clips.ClipMaker`; `kept` may come from another stage, and is
        used only if it fits.

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
        """The answer for one clip of the type that the part reads.

        Raises:
            WeightsError: the output is NaN or infinite.
        """

    @abstractmethod
    def unmoved(self, answer: Answer) -> Answer:
        """The answer if nothing moves, since the given one would be based on amplified noise."""


def at_rest(
    features: Features | None, rules: RuleSettings | None, moments: Sequence[Moment]
) -> list[bool]:
    """For each moment whether nothing moves from onset to apex by more than a face at rest
    (`noise.over_rest`). False without features or rules.
    """
    if features is None or rules is None:
        return [False] * len(moments)
    ways = noise.over_rest(features, rules, [(m.onset, m.apex) for m in moments])
    return [way is not None and way < 1 for way in ways]
