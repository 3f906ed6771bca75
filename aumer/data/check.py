"""Checks of data sets for faults, and policies for using data with faults."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

from aumer.data.dataset import DataSet
from aumer.data.mismatch import MISMATCHES
from aumer.data.report import Correction, Fault, Key, TableReport
from aumer.errors import AumerError, UsageError, did_you_mean
from aumer.evaluation.rows import MissingOffset
from aumer.types import KINDS, Annotation, VideoRecord

#: Policies for faults that can be used unchanged.
ACCEPT = ("accept",)
#: Policies for missing offsets, with the names of the evaluation.
FILL = tuple(policy for policy in get_args(MissingOffset) if policy != "refuse")
#: Policies for rows whose frames are not in their video.
MISMATCH = (*ACCEPT, *(policy for policy in MISMATCHES if policy != "refuse"))


@dataclass(frozen=True)
class FaultKind:
    """A kind of fault with its allowed policies.

    Attributes:
        advice: whether it is only advice, which needs no policy.
    """

    meaning: str
    policies: tuple[str, ...] = ACCEPT
    advice: bool = False


FAULTS: Mapping[str, FaultKind] = {
    "unread-table": FaultKind("a workbook below the root cannot be read"),
    "refused-row": FaultKind("a cell of which no annotation was made"),
    "missing-offset": FaultKind("the offset is not given", FILL),
    "impossible-offset": FaultKind("the offset lies before the onset", FILL),
    "missing-apex": FaultKind("the apex is not given, though other rows have one"),
    "apex-outside": FaultKind("the apex lies outside onset to offset"),
    "duplicate": FaultKind("two rows say the same"),
    "long-micro": FaultKind("a micro-expression of more than a second; half of one defines it"),
    # Micro-expressions may occur while another expression is held.
    "overlap": FaultKind("two expressions of one video share frames, ends included", advice=True),
    "au-disagreement": FaultKind("two tables give one expression other action units"),
    "missing-video": FaultKind("rows without a folder or file"),
    "unannotated-clip": FaultKind("a clip without a row"),
    "unannotated-video": FaultKind("a video that no row names"),
    # A root may also contain crops, other cameras and derived files.
    "unknown-video": FaultKind(
        "a folder or file that is called as no video of the data set", advice=True
    ),
    "subject-name": FaultKind("the subject of a row is not the one in its video's name"),
    "several-videos": FaultKind("one video lies in several places"),
    "unjoinable-row": FaultKind("a row whose frames are not in its video", MISMATCH),
    "changed-video": FaultKind("annotations were made for another edition of the video"),
    "missing-frames": FaultKind("images are missing between others"),
    "repeated-frames": FaultKind("two images have one number"),
    "unknown-rate": FaultKind("a video whose frame rate is not known"),
    "unreadable-video": FaultKind("a video file that cannot be read"),
    "outside-video": FaultKind("an expression ends after its video", MISMATCH),
    "frame-count": FaultKind("a video and its table disagree on the number of frames"),
    "frame-rate": FaultKind("a file and its data set disagree on the frame rate by 1 % or more"),
    "unpaired-labels": FaultKind("starts and ends of a label track do not pair"),
    "count": FaultKind("the release has another number of them"),
}

#: Coded micro-expressions may exceed half a second; more than twice that is an error.
LONGEST_MICRO_S = 1.0
#: Tolerance of a file's frame rate, as a share: 29.97 is accepted for 30.
_RATE_TOLERANCE = 0.01

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Check:
    """The result of `check`.

    Attributes:
        counts: subjects, videos with frames or a file, and expressions of each kind.
        expected: those of the owners' release, if certain.
        policies: the user's policies by kind of fault.
    """

    dataset: str
    root: str
    counts: Mapping[str, int]
    expected: Mapping[str, int]
    tables: tuple[TableReport, ...]
    faults: tuple[Fault, ...]
    policies: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def open(self) -> tuple[Fault, ...]:
        """Faults without a policy, except advice."""
        return tuple(
            f for f in self.faults if f.code not in self.policies and not FAULTS[f.code].advice
        )

    @property
    def advice(self) -> tuple[Fault, ...]:
        """The advice."""
        return tuple(f for f in self.faults if FAULTS[f.code].advice)

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """Corrections made while the table was read."""
        return tuple(c for t in self.tables[:1] for c in t.corrections if c.rule.final)

    def to_dict(self) -> dict[str, Any]:
        """Everything as values for JSON, one entry for each fault and correction."""
        return {
            "dataset": self.dataset,
            "root": self.root,
            "clean": not self.open,
            "counts": dict(self.counts),
            "expected": dict(self.expected),
            "tables": [
                {
                    "path": str(table.path),
                    "sheet": table.sheet,
                    "rows": table.rows,
                    "annotations": len(table.annotations),
                }
                for table in self.tables
            ],
            "summary": {
                code: {"count": count, "policy": self.policies.get(code)}
                for code, count in Counter(f.code for f in self.faults).items()
            },
            "notes": list(self.notes),
            "faults": [
                {
                    **asdict(f),
                    "policy": self.policies.get(f.code),
                    "severity": "advice" if FAULTS[f.code].advice else "fault",
                }
                for f in self.faults
            ],
            "corrections": [
                {
                    "rule": c.rule.name,
                    "row": c.row,
                    "column": c.column,
                    "found": c.found,
                    "used": c.used,
                    "reason": c.rule.reason,
                }
                for c in self.corrections
            ],
        }


def check(
    data: DataSet,
    *,
    root: str = "",
    policies: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Check:
    """Check a data set for all kinds of `FAULTS`.

    Video files are decoded once, to count their frames; images are not opened.

    Args:
        root: its folder, for the report.
        policies: policy by kind of fault; see `check_policies`.
        progress: called as ``progress(videos done, videos)``.

    Raises:
        UsageError: a policy is not one.
    """
    policies = check_policies(policies or {})
    records, report = data.records(), data.report
    # Frames are reported in the table's numbers, if there is a table.
    annotations = (
        report.tables[0].annotations
        if report.tables
        else tuple(a for record in records for a in record.annotations)
    )
    counts = _counts(records, annotations)
    faults = [
        *report.faults,
        *(fault for table in report.tables[:1] for fault in _cells(table)),
        *_rows(annotations),
        *_disagreements(report.tables),
        *_videos(records, report.tables, progress),
        *(
            Fault("count", f"{counts[what]} {what}, expected {number}")
            for what, number in data.expected.items()
            if counts[what] != number
        ),
    ]
    order = list(FAULTS)
    faults.sort(key=lambda f: (order.index(f.code), f.subject, f.video, f.row))
    return Check(
        dataset=data.name,
        root=root,
        counts=counts,
        expected=data.expected,
        tables=report.tables,
        faults=tuple(faults),
        policies=policies,
        notes=report.notes,
    )


def check_policies(policies: Mapping[str, str]) -> Mapping[str, str]:
    """The policies, checked.

    Raises:
        UsageError: unknown fault, or a policy that it does not allow.
    """
    for code, policy in policies.items():
        if code not in FAULTS:
            raise UsageError(
                f"no fault is called {code!r}; there are {', '.join(FAULTS)}."
                + did_you_mean(code, FAULTS)
            )
        allowed = FAULTS[code].policies
        if policy not in allowed:
            raise UsageError(
                f"the policy for {code} must be one of {', '.join(allowed)}; found {policy!r}."
                + did_you_mean(policy, allowed)
            )
    return dict(policies)


def _counts(records: Sequence[VideoRecord], annotations: Sequence[Annotation]) -> dict[str, int]:
    kinds = Counter(a.kind for a in annotations)
    return {
        "subjects": len({r.subject for r in records}),
        "videos": sum(r.path is not None for r in records),
        **{kind: kinds[kind] for kind in KINDS},
    }


def _cells(table: TableReport) -> Iterator[Fault]:
    """Faults from reading the table that are left to a policy."""
    if table.parts:  # their row numbers overlap
        for part in table.parts:
            for fault in _cells(part):
                yield replace(fault, message=f"{part.path.name}: {fault.message}")
        return
    names = {a.row: (a.subject, a.video) for a in table.annotations}
    for c in table.corrections:
        if not c.rule.final:
            key = names.get(c.row, ("", ""))
            yield Fault(c.rule.name, f"column {c.column} holds {c.found!r}", *key, c.row)
    for r in table.refusals:
        key = names.get(r.row, ("", ""))
        yield Fault("refused-row", f"column {r.column}, {r.text!r}: {r.reason}", *key, r.row)


def _rows(annotations: Iterable[Annotation]) -> Iterator[Fault]:
    by_video: dict[Key, list[Annotation]] = {}
    for a in annotations:
        by_video.setdefault((a.subject, a.video), []).append(a)
    for key, own in by_video.items():
        for a in own:
            last = math.inf if a.offset is None else a.offset
            if a.apex is not None and not a.onset <= a.apex <= last:
                yield Fault("apex-outside", f"apex {a.apex}, interval {_span(a)}", *key, a.row)
        for a, b in itertools.combinations(own, 2):
            if (a.kind, a.onset, a.apex, a.offset) == (b.kind, b.onset, b.apex, b.offset):
                message = f"row {b.row} repeats row {a.row}: {b.kind} {_span(b)}"
                yield Fault("duplicate", message, *key, b.row)
            elif (one := a.interval) and (other := b.interval) and one.overlap(other):
                message = f"row {b.row}, {b.kind} {_span(b)}, and row {a.row}, {a.kind} {_span(a)}"
                yield Fault("overlap", message, *key, b.row)


def _span(a: Annotation) -> str:
    return f"{a.onset}-{'?' if a.offset is None else a.offset}"


def _disagreements(tables: Sequence[TableReport]) -> Iterator[Fault]:
    """Expressions whose AUs differ in another table of the set."""

    def by_onset(table: TableReport) -> dict[tuple[str, str, str, int], list[Annotation]]:
        found: dict[tuple[str, str, str, int], list[Annotation]] = {}
        for a in table.annotations:
            found.setdefault((a.subject, a.video, a.kind, a.onset), []).append(a)
        return found

    for other in tables[1:]:
        theirs = by_onset(other)
        for key, own in by_onset(tables[0]).items():
            # Expressions with equal onsets have the same order in both.
            for a, b in zip(own, theirs.get(key, ()), strict=False):
                if a.aus and b.aus and _units(a.aus) != _units(b.aus):
                    message = (
                        f"{a.aus} in {tables[0].path.name}; {b.aus} in {other.path.name}, "
                        f"row {b.row}"
                    )
                    yield Fault("au-disagreement", message, a.subject, a.video, a.row)


def _units(aus: str) -> list[str]:
    return sorted("".join(part.split()).casefold() for part in aus.split("+"))


def _videos(
    records: Sequence[VideoRecord], tables: Sequence[TableReport], progress: Progress | None
) -> Iterator[Fault]:
    promised = {key: count for table in reversed(tables) for key, count in table.lengths.items()}
    for number, record in enumerate(records, start=1):
        key = record.subject, record.name
        frames = record.frames
        if record.path is not None and record.path.is_file() and frames is None:
            try:
                rate, frames = _decoded(record)
            except AumerError as error:
                yield Fault("unreadable-video", str(error), *key)
            else:
                if problem := rate_problem(record, rate):
                    yield Fault("frame-rate", problem, *key)
        for a in record.annotations:
            if a.kind == "micro" and a.offset is not None:
                seconds = (a.offset - a.onset) / record.fps
                if seconds > LONGEST_MICRO_S:
                    message = f"{_span(a)} lasts {seconds:.1f} s"
                    yield Fault("long-micro", message, *key, a.row)
        if frames is not None:
            if key in promised and promised[key] != frames:
                message = f"{record.path} has {frames} frames, the table says {promised[key]}"
                yield Fault("frame-count", message, *key)
            for a in record.annotations:
                end = max(f for f in (a.onset, a.offset) if f is not None)
                if end >= frames:
                    message = f"{a.kind} {_span(a)}, but the last of {frames} is {frames - 1}"
                    yield Fault("outside-video", message, *key, a.row)
        if progress is not None:
            progress(number, len(records))


def rate_problem(record: VideoRecord, rate: float | None) -> str:
    """A message if a file's frame rate differs from that of its data set; else empty."""
    if rate is None or abs(rate / record.fps - 1) < _RATE_TOLERANCE:
        return ""
    return f"{record.path} has {rate:g} frames a second, not {record.fps:g}"


def _decoded(record: VideoRecord) -> tuple[float | None, int]:
    """A file's frame rate and number of decodable frames."""
    from aumer.data.own import frame_times
    from aumer.video import open_video

    assert record.path is not None
    with open_video(record.path) as video:
        rate = video.info.fps
    return rate, len(frame_times(record.path))
