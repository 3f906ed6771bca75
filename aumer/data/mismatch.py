"""Policies for rows whose frames are not in their video, for all data sets.

Tables and images do not always match: five of CASME II's rows (sub07 EP06_01, sub12 EP09_02 and
EP09_06, sub16 EP01_08, sub20 EP16_01) name images that their clips do not have. Such a row cannot
be used unchanged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from aumer.data.dataset import DataSet
from aumer.data.report import Key
from aumer.errors import AumerError, UsageError
from aumer.types import Annotation, VideoRecord

#: "leave-out": the row is left out, with a note; "clamp": the part in the video is used, with a
#: note; "refuse": an error that names all such rows.
Mismatch: TypeAlias = Literal["leave-out", "clamp", "refuse"]
MISMATCHES: tuple[Mismatch, ...] = get_args(Mismatch)
DEFAULT: Mismatch = "leave-out"

#: Most rows named in one message.
_TOLD = 20


@dataclass(frozen=True)
class Mismatched:
    """A row whose frames are not in its video.

    Attributes:
        annotation: its annotation; frames may be the table's or the video's.
        reason: the missing frames.
    """

    annotation: Annotation
    reason: str

    def __str__(self) -> str:
        a = self.annotation
        row = f" (row {a.row})" if a.row else ""
        return f"{a.subject}/{a.video}{row}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        a = self.annotation
        names = {"subject": a.subject, "video": a.video, "kind": a.kind, "emotion": a.emotion}
        return {**names, "row": a.row, "reason": self.reason}


@dataclass(frozen=True)
class Matched:
    """A data set's videos under a policy, and the rows that do not match.

    Attributes:
        records: videos with the annotations in them.
        left_out: rows left out.
        clamped: rows used in part.
    """

    records: tuple[VideoRecord, ...]
    left_out: tuple[Mismatched, ...] = ()
    clamped: tuple[Mismatched, ...] = ()

    def only(self, wanted: Callable[[Annotation], bool]) -> Matched:
        """The same, with only the wanted ones of the rows that do not match."""
        left_out, clamped = (
            tuple(one for one in rows if wanted(one.annotation))
            for rows in (self.left_out, self.clamped)
        )
        return replace(self, left_out=left_out, clamped=clamped)

    def notes(self) -> tuple[str, ...]:
        """Notes for scores: which rows do not match, and why."""
        said = (
            (self.left_out, "left out, with frames that the video does not have (`mismatch`)"),
            (self.clamped, "taken as far as the video has the frames (`mismatch`)"),
        )
        return tuple(f"{_count(rows)} {what}: {rows_text(rows)}" for rows, what in said if rows)


def _count(rows: Sequence[Mismatched]) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"


def rows_text(rows: Sequence[Mismatched]) -> str:
    """The first `_TOLD` rows as text."""
    more = f"; and {len(rows) - _TOLD} more" if len(rows) > _TOLD else ""
    return "; ".join(map(str, rows[:_TOLD])) + more


def matched(
    data: DataSet,
    mismatch: Mismatch = DEFAULT,
    *,
    frames: Callable[[VideoRecord], int | None] | None = None,
) -> Matched:
    """The videos of a data set, with the policy applied to its rows.

    A row matches if its onset and offset are frames of its video. An apex outside is no mismatch,
    but is not used. Rows without a video are not checked.

    Args:
        frames: number of frames of a video, `None` if unknown; by default `frames_of`.

    Raises:
        UsageError: a row does not match and the policy is "refuse"; or unknown policy.
    """
    check_mismatch(mismatch)
    count = frames or frames_of
    unplaced: dict[Key, list[tuple[Mismatched, Annotation | None]]] = defaultdict(list)
    for one in data.report.unplaced:
        a = one.annotation
        unplaced[a.subject, a.video].append((Mismatched(a, one.reason), one.inside))
    records, left_out, clamped = [], [], []
    for record in data.records():
        key = record.subject, record.name
        known = count(record) if record.annotations or key in unplaced else record.frames
        wrong = [*unplaced[key]]
        kept = []
        for a in record.annotations:
            if reason := _outside(a, known):
                wrong.append((Mismatched(a, reason), a))
            else:
                kept.append(a)
        for row, inside in wrong:
            part = _clipped(inside, known) if mismatch == "clamp" else None
            if part is None:
                left_out.append(row)
            else:
                clamped.append(row)
                kept.append(part)
        kept.sort(key=lambda a: a.row)
        records.append(replace(record, annotations=tuple(kept)) if wrong else record)
    if mismatch == "refuse" and left_out:
        raise UsageError(
            f"{data.name}: {_count(left_out)} with frames that the video does not have: "
            f"{rows_text(left_out)}. Correct the table, or set `mismatch` to leave-out or clamp"
        )
    return Matched(tuple(records), tuple(left_out), tuple(clamped))


def check_mismatch(mismatch: str) -> None:
    """Raise an error for an unknown policy.

    Raises:
        UsageError: lists the policies.
    """
    if mismatch not in MISMATCHES:
        raise UsageError(f"mismatch must be one of {', '.join(MISMATCHES)}; found {mismatch!r}")


def frames_of(record: VideoRecord) -> int | None:
    """Number of frames of a video; `None` if unknown.

    A file is decoded only if by its header, which may be wrong, annotations may lie outside.
    """
    if record.frames is not None or record.path is None or not record.path.is_file():
        return record.frames
    from aumer.data.own import frame_times
    from aumer.video import open_video

    try:
        with open_video(record.path) as video:
            estimate = video.info.frames_estimate
        if estimate is not None and _end(record.annotations) < 0.9 * estimate:
            return None
        return len(frame_times(record.path))
    except AumerError:
        return None  # reading it will raise the error


def _end(annotations: Iterable[Annotation]) -> int:
    return max((max(a.onset, a.offset or 0) for a in annotations), default=0)


def _outside(a: Annotation, frames: int | None) -> str:
    """Why an annotation is not completely in a video of this length; empty if it is."""
    if frames is None:
        return ""
    end = a.onset if a.offset is None else a.offset
    if end < frames:
        return ""
    which = "onset" if a.onset >= frames else "offset"
    frame = a.onset if which == "onset" else end
    return f"the {which} is frame {frame}, and the last of {frames} is {frames - 1}"


def _clipped(a: Annotation | None, frames: int | None) -> Annotation | None:
    """The part of an annotation in a video; `None` for none or a single frame."""
    if a is None or frames is None:
        return a
    offset = None if a.offset is None else min(a.offset, frames - 1)
    if a.onset >= (frames - 1 if offset is None else offset):
        return None
    apex = a.apex if a.apex is not None and a.apex < frames else None
    return replace(a, apex=apex, offset=offset)
