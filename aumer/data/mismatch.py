"""What becomes of rows whose frames are not among their video's: one policy for every data set.

Owners' tables and images do not always fit: five of CASME II's rows (sub07 EP06_01, sub12 EP09_02
and EP09_06, sub16 EP01_08, sub20 EP16_01) name images that their clips do not have. Such a row
cannot be taken as it stands.
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

#: "leave-out": the row is left out, and it is said; "clamp": the part of it that is in the video is
#: taken, and it is said; "refuse": an error that names all such rows.
Mismatch: TypeAlias = Literal["leave-out", "clamp", "refuse"]
MISMATCHES: tuple[Mismatch, ...] = get_args(Mismatch)
DEFAULT: Mismatch = "leave-out"

#: Rows that one message names.
_TOLD = 20


@dataclass(frozen=True)
class Mismatched:
    """A row whose frames are not among those of its video.

    Attributes:
        annotation: as the table has it; its frames may be the table's or the video's.
        reason: which frames are not there.
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
    """A data set's videos under a policy, and what it made of the rows that do not fit.

    Attributes:
        records: with the annotations that are in their videos.
        left_out: rows that are in none of them.
        clamped: rows of which a part is.
    """

    records: tuple[VideoRecord, ...]
    left_out: tuple[Mismatched, ...] = ()
    clamped: tuple[Mismatched, ...] = ()

    def only(self, wanted: Callable[[Annotation], bool]) -> Matched:
        """The same, of the rows that do not fit only those that are asked for."""
        left_out, clamped = (
            tuple(one for one in rows if wanted(one.annotation))
            for rows in (self.left_out, self.clamped)
        )
        return replace(self, left_out=left_out, clamped=clamped)

    def notes(self) -> tuple[str, ...]:
        """What a reader of scores should know: which rows, and why."""
        said = (
            (self.left_out, "left out, with frames that the video does not have (`mismatch`)"),
            (self.clamped, "taken as far as the video has the frames (`mismatch`)"),
        )
        return tuple(f"{_count(rows)} {what}: {rows_text(rows)}" for rows, what in said if rows)


def _count(rows: Sequence[Mismatched]) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"


def rows_text(rows: Sequence[Mismatched]) -> str:
    """Rows in words; the first `_TOLD` of them."""
    more = f"; and {len(rows) - _TOLD} more" if len(rows) > _TOLD else ""
    return "; ".join(map(str, rows[:_TOLD])) + more


def matched(
    data: DataSet,
    mismatch: Mismatch = DEFAULT,
    *,
    frames: Callable[[VideoRecord], int | None] | None = None,
) -> Matched:
    """The videos of a data set, its rows as the policy has them.

    A row fits if its onset and its offset are frames of its video. An apex that is not is no
    mismatch: it is not used. A row without a video is not judged.

    Args:
        frames: how many frames a video has, `None` where nobody knows; by default `frames_of`.

    Raises:
        UsageError: a row does not fit, and the policy is "refuse"; or there is no such policy.
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
    """Complain of a policy that there is not.

    Raises:
        UsageError: says which there are.
    """
    if mismatch not in MISMATCHES:
        raise UsageError(f"mismatch must be one of {', '.join(MISMATCHES)}; found {mismatch!r}")


def frames_of(record: VideoRecord) -> int | None:
    """How many frames a video has; `None` where it cannot be told.

    A file is decoded only where what its header says, which may be wrong, leaves it in doubt
    whether its annotations are in it.
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
        return None  # what reads it will say what is wrong


def _end(annotations: Iterable[Annotation]) -> int:
    return max((max(a.onset, a.offset or 0) for a in annotations), default=0)


def _outside(a: Annotation, frames: int | None) -> str:
    """Why an annotation is not all in a video of so many frames; nothing if it is."""
    if frames is None:
        return ""
    end = a.onset if a.offset is None else a.offset
    if end < frames:
        return ""
    which = "onset" if a.onset >= frames else "offset"
    frame = a.onset if which == "onset" else end
    return f"the {which} is frame {frame}, and the last of {frames} is {frames - 1}"


def _clipped(a: Annotation | None, frames: int | None) -> Annotation | None:
    """What of an annotation is in a video; `None` for nothing, and for one frame alone."""
    if a is None or frames is None:
        return a
    offset = None if a.offset is None else min(a.offset, frames - 1)
    if a.onset >= (frames - 1 if offset is None else offset):
        return None
    apex = a.apex if a.apex is not None and a.apex < frames else None
    return replace(a, apex=apex, offset=offset)
