"""The clips of a recognition run: visible ones and unseen ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from aumer._moved import moved
from aumer.bench.split import SubjectKey
from aumer.bench.task import TaskTruth
from aumer.config import digest
from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.recognition.labeled import LabeledClips
from aumer.training.clips import ClipReading, Progress, Seen, StoredClips, extract
from aumer.training.listing import Listing, Unseen

if TYPE_CHECKING:
    from aumer.workers import Workers

__getattr__ = moved(
    __name__, dict.fromkeys(("forget", "sequence_settings"), "aumer.training.clips")
)

#: Clips in memory, or in a cache.
AnyClips = LabeledClips[Any] | StoredClips


@dataclass(frozen=True, eq=False)
class ClipSet(TaskTruth):
    """The clips of a run.

    Attributes:
        clips: clips with a visible face.
        sources: the data set of each of `clips`; empty if unknown.
        unseen: the others.
        digest: digest of everything that recognizers read from them.
        notes: notes for the scores.
        frames: onset, apex and offset of each of `clips` in its video, the apex as used; empty if
            unknown.
        left_out: rows of the tables whose frames are not in their videos; see
            `aumer.training.listing.Listing.mismatched`.

    Raises:
        UsageError: clips without names.
    """

    clips: AnyClips
    sources: tuple[str, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    digest: str = ""
    notes: tuple[str, ...] = field(default=())
    frames: tuple[tuple[int, int, int], ...] = ()
    left_out: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if not self.clips.names:
            raise UsageError(
                "every clip needs a name, and `clips.names` is empty: give `Clips` its `names`"
            )

    @property
    def subject_keys(self) -> list[SubjectKey]:
        sources = self.sources or ("",) * len(self.clips.subjects)
        seen = zip(sources, self.clips.subjects, strict=True)
        return [*seen, *((u.dataset, u.subject) for u in self.unseen)]

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """Name, class and subject of each clip, unseen ones last."""
        clips = self.clips
        seen = zip(clips.names, clips.labels, clips.subjects, strict=True)
        unseen = ((u.name, u.label, u.subject) for u in self.unseen)
        return [(name, clips.classes[label], s) for name, label, s in (*seen, *unseen)]

    def to_dict(self) -> dict[str, Any]:
        clips = self.clips
        sources = self.sources or ("",) * len(clips.subjects)
        rows = zip(clips.subjects, clips.names, map(int, clips.labels), sources, strict=True)
        told: list[dict[str, Any]] = [
            {"subject": s, "name": n, "label": k, "dataset": d} for s, n, k, d in rows
        ]
        for row, frames in zip(told, self.frames, strict=False):  # none, or one each
            row["frames"] = list(frames)
        return {
            "classes": list(clips.classes),
            "digest": self.digest,
            "clips": told,
            "unseen": [asdict(u) for u in self.unseen],
            "notes": list(self.notes),
            "left_out": [dict(row) for row in self.left_out],
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ClipSet:
        """The inverse of `to_dict`, without inputs.

        Raises:
            KeyError, TypeError, ValueError: it has another form.
        """
        rows = document["clips"]
        clips = StoredClips(
            "",
            (),
            tuple(int(r["label"]) for r in rows),
            tuple(r["subject"] for r in rows),
            tuple(document["classes"]),
            tuple(r["name"] for r in rows),
        )
        sources = tuple(r["dataset"] for r in rows)
        unseen = tuple(Unseen(**u) for u in document["unseen"])
        frames = (
            tuple((int(a), int(b), int(c)) for r in rows for a, b, c in [r.get("frames", ())])
            if rows and all("frames" in r for r in rows)
            else ()
        )
        notes = tuple(document["notes"])
        left_out = tuple(document.get("left_out", ()))
        return cls(clips, sources, unseen, document["digest"], notes, frames, left_out)


def clip_set(
    listing: Listing,
    reading: ClipReading,
    *,
    cache: StrPath,
    workers: Workers,
    progress: Progress | None = None,
) -> ClipSet:
    """Make the inputs of every example, or read them from the cache.

    Raises:
        UsageError: unknown parts (flow, detector, landmarker), or no clip has a visible face.
    """
    clips, seen, unseen = extract(listing, reading, cache=cache, run=workers.run, progress=progress)
    # By content, independent of the cache's path.
    known = digest([clips.keys, clips.labels, clips.subjects, clips.classes, clips.names])
    notes = (*_notes(listing, reading, seen), *listing.notes)
    frames = tuple((s.example.onset, s.apex, s.example.offset) for s in seen)
    sources = tuple(s.example.dataset for s in seen)
    return ClipSet(clips, sources, unseen, known, notes, frames, listing.mismatched)


def _notes(listing: Listing, reading: ClipReading, seen: Sequence[Seen]) -> tuple[str, ...]:
    counts = Counter(e.label for e in listing.examples)
    by_class = ", ".join(f"{c} {counts[k]}" for k, c in enumerate(listing.classes))
    notes = [f"{len(listing.examples)} clips: {by_class}"]
    if listing.left_out:
        told = ", ".join(f"{word} {n}" for word, n in listing.left_out.items())
        notes.append(f"left out, as of no class of the protocol: {told}")
    found = [s for s in seen if reading.known_apex(s.example) is None]
    if reading.apexes == "found":
        notes.append(
            f"the apex of every clip was found by {reading.apex}, also where the table gives one"
        )
    elif found:
        notes.append(
            f"the apex of {len(found)} clips, which the table does not give within the "
            f"expression, was found by {reading.apex}"
        )
    gaps = [s for s in seen if s.coverage < 1]
    if gaps:
        least = min(s.coverage for s in gaps)
        notes.append(
            f"{len(gaps)} clips have frames without a face (at least {least:.0%} have one); there "
            "the landmarks of a frame nearby stand"
        )
    return tuple(notes)
