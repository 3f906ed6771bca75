"""`aumer train CONFIG` for AU readers: training on clips with coded AUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, ClassVar, Literal

import numpy as np

from aumer import strict
from aumer._moved import moved
from aumer.data.megc2019 import NAME as MEGC2019
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.graph import au
from aumer.recognition.action_units import AUClips, AUReader, resolve
from aumer.recognition.au_prior import MOST
from aumer.recognition.interface import Clips
from aumer.training import clip_run
from aumer.training.clip_run import ClipRun, ClipSource, excluded, inputs_of
from aumer.training.clips import ClipReading, Progress
from aumer.training.listing import Example
from aumer.types import Annotation

#: Default AUs.
AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26)
_CODED = ("coded", "not coded")
#: Most rows named in a note.
_TOLD = 5


@dataclass(frozen=True)
class AUReaderConfig(ClipRun):
    """Configuration for training an AU reader; see also `ClipRun`.

    Attributes:
        au_reader: name in the registry.
        aus: the action units to read; those coded in too few clips are left out.
    """

    called: ClassVar[str] = "AU reader"

    task: Literal["action-units"] = "action-units"
    au_reader: str = "graph"
    aus: tuple[int, ...] = AUS

    def __post_init__(self) -> None:
        super().__post_init__()
        several = 1 <= len(set(self.aus)) == len(self.aus) <= MOST
        strict.require(several, "aus", list(self.aus), f"1 to {MOST} different action units")

    def kind(self) -> type[AUReader]:
        """See `ClipRun`."""
        found = resolve(self.au_reader)
        found.check(self.aus)
        if self.data.source == MEGC2019:
            raise UsageError(
                f"{MEGC2019} holds classes and no action units; give a data set whose table codes "
                "them: own, casme2, samm, ..."
            )
        return found

    def read(
        self, reading: ClipReading, cache: StrPath, progress: Progress | None = None
    ) -> tuple[AUClips, dict[str, Any]]:
        """See `ClipRun`. A clip without codes is left out; that does not mean that it has no
        AUs.
        """

        def coded(dataset: str, a: Annotation, classes: Sequence[str]) -> str:
            return _CODED[not au.read(a.aus).units]

        listing = self.listing(_CODED, of=coded)
        rest = [e for e in listing.examples if e.label]
        listing = replace(listing, examples=tuple(e for e in listing.examples if not e.label))
        if not listing.examples:
            raise UsageError(
                f"{self.data.root}: no clip has action units{_uncoded(rest)}, so that there is "
                "nothing to learn. Give the table a column `au` with those of each clip as coders "
                "write them, such as 4+L7"
            )
        self.check_subjects(listing)
        stored, seen, unseen = inputs_of(listing, reading, cache, progress)
        notes = list(listing.notes)
        if rest:
            many = "1 clip is" if len(rest) == 1 else f"{len(rest)} clips are"
            notes.append(f"{many} left out, as without action units{_uncoded(rest)}")
        notes += [*_half_read([one.example for one in seen]), *unseen]
        maps = stored.load()
        assert isinstance(maps, Clips)
        texts = [one.example.aus for one in seen]
        clips = AUClips.coded(maps.inputs, texts, maps.subjects, aus=self.aus)
        return clips, {"notes": notes, "inputs": reading.to_dict()}

    def in_memory(self, clips: AUClips) -> AUClips:
        """See `ClipRun`."""
        out = excluded(self.data, clips.subjects)
        left = clips.take(np.array([s not in out for s in clips.subjects], np.bool_))
        if not len(left):
            raise UsageError("no clip is left to train on")
        return left

    def counts(self, made: AUReader, clips: AUClips) -> dict[str, Any]:
        """See `ClipRun`."""
        counts = clips.acted.sum(0)
        return {
            "subjects": len(set(clips.subjects)),
            "clips": len(clips),
            "coded": {str(one): int(n) for one, n in zip(clips.aus, counts, strict=True)},
            "not_read": [one for one in clips.aus if one not in made.aus],
        }

    def card_entries(self, made: Any, clips: AUClips, about: Mapping[str, Any]) -> dict[str, Any]:
        """See `ClipRun`."""
        return {"aus": list(made.aus), **super().card_entries(made, clips, about)}


def _uncoded(rest: Sequence[Example]) -> str:
    """A note on rows without codes, with the content of their cells."""
    if not rest:
        return ""
    listed = ", ".join(f"{e.subject}/{e.name} ({e.aus or 'empty'})" for e in rest[:_TOLD])
    return f": {listed}{', ...' if len(rest) > _TOLD else ''}"


def _half_read(examples: Sequence[Example]) -> list[str]:
    """A note on parts of cells that are not codes; the other parts are used."""
    found = [(e, au.read(e.aus).unread) for e in examples]
    wrong = [f"{e.subject}/{e.name} ({e.aus}: {unread[0][0]})" for e, unread in found if unread]
    if not wrong:
        return []
    listed = f"{', '.join(wrong[:_TOLD])}{', ...' if len(wrong) > _TOLD else ''}"
    return [
        f"in the action units of some clips a piece is no code, and counts for nothing: {listed}"
    ]


def read_config(
    path: str | PathLike[str], overrides: Mapping[str, Any] | None = None
) -> AUReaderConfig:
    """`clip_run.read_config` for an AU reader."""
    return clip_run.read_config(AUReaderConfig, path, overrides)


__getattr__ = moved(  # for one release
    __name__, {"train_au_reader": "aumer.train, which takes au_reader='graph'"}
)

__all__ = ["AUS", "AUReaderConfig", "ClipSource", "read_config"]
