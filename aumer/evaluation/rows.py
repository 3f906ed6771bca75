"""Rows of annotated and predicted intervals, and the rules of their comparison.

Frames are numbered as in the annotators' tables, equally on both sides. A predicted interval may
begin before frame 0, as in a published method, so a row is not a `types.Interval`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from aumer._moved import moved
from aumer.errors import ConfigError, UsageError, did_you_mean
from aumer.tables.lines import MOST_FRAMES
from aumer.types import KINDS, Annotation, Expression, IntArray, Kind, VideoRecord

Ends = Literal["closed", "open"]
Comparison = Literal[">=", ">"]
MissingOffset = Literal["refuse", "drop", "apex", "apex+20", "onset+20", "mirror", "unmatchable"]
WithoutTruth = Literal["keep", "drop"]

VideoKey = tuple[str, str]


@dataclass(frozen=True)
class Video:
    """An evaluated video, with or without expressions.

    Attributes:
        fps: frame rate, for errors in milliseconds.
        frames: number of frames, if known.
    """

    subject: str
    name: str
    fps: float | None = None
    frames: int | None = None

    @property
    def key(self) -> VideoKey:
        return self.subject, self.name


def _check_row(kind: str, onset: int, offset: int | None) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; found {kind!r}")
    if offset is not None and offset < onset:
        raise ValueError(f"offset {offset} lies before onset {onset}")
    for frame in (onset, offset):
        if frame is not None and abs(frame) > MOST_FRAMES:
            raise ValueError(
                f"frame {frame} is more than any video has; at most {MOST_FRAMES:,} are allowed"
            )


@dataclass(frozen=True)
class _Row:
    """Subject, video and kind of an expression."""

    subject: str
    video: str
    kind: Kind
    onset: int

    @property
    def key(self) -> VideoKey:
        return self.subject, self.video


@dataclass(frozen=True)
class Truth(_Row):
    """An annotated expression; frames, both ends included. An offset of `None` is missing.

    Attributes:
        row: line of its file, 0 if none.

    Raises:
        ValueError: unknown kind, an offset before the onset, or a frame that no video has.
    """

    offset: int | None
    apex: int | None = None
    label: str = ""
    row: int = 0

    def __post_init__(self) -> None:
        _check_row(self.kind, self.onset, self.offset)

    @classmethod
    def of(cls, a: Annotation) -> Truth:
        """The same expression as a row."""
        return cls(a.subject, a.video, a.kind, a.onset, a.offset, a.apex, a.emotion, a.row)


@dataclass(frozen=True)
class PredictedInterval(_Row):
    """A spotted expression; frames, both ends included.

    Raises:
        ValueError: unknown kind, an offset before the onset, or a frame that no video has.
    """

    offset: int
    apex: int | None = None
    score: float = 1.0
    label: str = ""
    row: int = 0

    def __post_init__(self) -> None:
        _check_row(self.kind, self.onset, self.offset)

    @classmethod
    def of(cls, subject: str, video: str, e: Expression) -> PredictedInterval:
        """The same expression as a row."""
        return cls(subject, video, e.kind, e.onset, e.offset, e.apex, e.score, e.label or "")


def rows_of(records: Iterable[VideoRecord]) -> tuple[list[Video], list[Truth]]:
    """The videos of a data set, including those without expressions, and the annotations."""
    records = list(records)
    videos = [Video(r.subject, r.name, r.fps, r.frames) for r in records]
    return videos, [Truth.of(a) for r in records for a in r.annotations]


@dataclass(frozen=True)
class SpottingSettings:
    """The rules of a comparison. MEGC only defines `iou`, so all rules are printed.

    Attributes:
        iou: least intersection over union of a hit.
        comparison: whether an IoU of exactly `iou` is a hit (">=", as in MEGC) or not (">").
        ends: "closed" counts both ends of an interval (length = offset - onset + 1), "open" not
            the last (length = offset - onset).
        missing_offset: "refuse": raise an error; "drop": remove the truth; "unmatchable": keep it
            as a miss; or set the offset to "apex", "apex+20" or "onset+20" frames, or ("mirror") to
            the apex plus the distance from onset to apex.
        videos_without_truth: "drop" removes the predictions of a kind in videos without a truth of
            that kind, and thus their false positives.
        expect_macro, expect_micro: expected number of truths, since papers differ.
    """

    iou: float = 0.5
    comparison: Comparison = ">="
    ends: Ends = "closed"
    missing_offset: MissingOffset = "refuse"
    videos_without_truth: WithoutTruth = "keep"
    expect_macro: int | None = None
    expect_micro: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.iou <= 1:
            raise ConfigError(f"iou must be in (0, 1]; found {self.iou}")
        for name, allowed in CHOICES.items():
            found = getattr(self, name)
            if found not in allowed:
                near = did_you_mean(str(found), allowed)
                raise ConfigError(
                    f"{name} must be one of {', '.join(allowed)}; found {found!r}.{near}"
                )

    def to_dict(self) -> dict[str, Any]:
        """All rules by name, including the matching."""
        return {"matching": "maximum one-to-one", **asdict(self)}


#: Allowed values of settings.
CHOICES: dict[str, tuple[str, ...]] = {
    "comparison": get_args(Comparison),
    "ends": get_args(Ends),
    "missing_offset": get_args(MissingOffset),
    "videos_without_truth": get_args(WithoutTruth),
}


@dataclass(frozen=True)
class Case:
    """One video and kind, ready to be matched.

    Attributes:
        offsets: offset of each truth by the policy; `None` matches nothing.
    """

    key: VideoKey
    kind: Kind
    predictions: tuple[PredictedInterval, ...]
    truths: tuple[Truth, ...]
    offsets: tuple[int | None, ...]

    def overlaps(self, ends: Ends) -> npt.NDArray[np.float64]:
        """(predictions, truths) IoU; see `iou_matrix`."""
        ends_at = zip(self.truths, self.offsets, strict=True)
        spans = [(t.onset, t.onset if offset is None else offset) for t, offset in ends_at]
        found = iou_matrix([(p.onset, p.offset) for p in self.predictions], spans, ends)
        found[:, [o is None for o in self.offsets]] = 0.0
        return found


@dataclass(frozen=True)
class Prepared:
    """The cases of a comparison: one for every video and kind, in the order of the videos.

    Attributes:
        videos: all evaluated videos.
        dropped_truths, dropped_predictions: rows excluded by the settings.
    """

    videos: tuple[Video, ...]
    cases: tuple[Case, ...]
    dropped_truths: int
    dropped_predictions: int


def iou_matrix(
    first: Sequence[tuple[int, int]], second: Sequence[tuple[int, int]], ends: Ends
) -> npt.NDArray[np.float64]:
    """(N, M) intersection over union of (onset, offset) pairs; 0 if both are empty."""
    a: IntArray = np.array(first, np.int64).reshape(-1, 1, 2)
    b: IntArray = np.array(second, np.int64).reshape(1, -1, 2)
    last = int(ends == "closed")
    shared = np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0]) + last
    shared = np.maximum(shared, 0)
    both = (a[..., 1] - a[..., 0] + last) + (b[..., 1] - b[..., 0] + last) - shared
    iou: npt.NDArray[np.float64] = np.divide(shared, both, out=np.zeros(both.shape), where=both > 0)
    return iou


def prepare(
    predictions: Iterable[PredictedInterval],
    truths: Iterable[Truth],
    videos: Iterable[Video] | None,
    settings: SpottingSettings,
) -> Prepared:
    """Group rows by video and kind, in order, and apply the policies of `settings`.

    Args:
        videos: all evaluated videos; `None`: those that occur in rows.

    Raises:
        UsageError: a row of a video that is not in `videos`, a duplicate video, a missing offset
            that the policy refuses or cannot fill, or an unexpected number of truths.
    """
    predictions, truths = list(predictions), list(truths)
    rows: list[Truth | PredictedInterval] = [*truths, *predictions]
    if videos is None:
        videos = [Video(*key) for key in dict.fromkeys(row.key for row in rows)]
    videos = tuple(videos)
    known = {video.key for video in videos}
    if len(known) < len(videos):
        ((subject, name), _) = Counter(video.key for video in videos).most_common(1)[0]
        raise UsageError(f"video {name} of subject {subject} is listed twice")
    for row in rows:
        if row.key not in known:
            what = "prediction" if isinstance(row, PredictedInterval) else "truth"
            raise UsageError(
                f"{what}{_line(row)} is of video {row.video!r} of subject {row.subject!r}, which "
                "is not among the evaluated videos; correct the name or add the video."
                + did_you_mean(row.video, {name for _, name in known})
            )
    found: dict[tuple[VideoKey, Kind], tuple[list[PredictedInterval], list[Truth]]]
    found = {(video.key, kind): ([], []) for video in videos for kind in KINDS}
    for p in predictions:
        found[p.key, p.kind][0].append(p)
    for t in truths:
        found[t.key, t.kind][1].append(t)

    cases = []
    dropped_truths = dropped_predictions = 0
    for (key, kind), (ps, ts) in found.items():
        kept = [t for t in ts if t.offset is not None or settings.missing_offset != "drop"]
        dropped_truths += len(ts) - len(kept)
        if settings.videos_without_truth == "drop" and not kept:
            dropped_predictions += len(ps)
            ps = []
        offsets = tuple(_filled(t, settings.missing_offset) for t in kept)
        cases.append(Case(key, kind, tuple(ps), tuple(kept), offsets))
    for kind, expected in (("macro", settings.expect_macro), ("micro", settings.expect_micro)):
        total = sum(len(c.truths) for c in cases if c.kind == kind)
        if expected is not None and total != expected:
            raise UsageError(
                f"there are {total} {kind} truths where {expected} are expected; a score over "
                "another number of truths is not comparable. See the settings `missing_offset` and "
                f"`expect_{kind}`"
            )
    return Prepared(videos, tuple(cases), dropped_truths, dropped_predictions)


def _line(row: PredictedInterval | Truth) -> str:
    return f" of line {row.row}" if row.row else ""


def _filled(t: Truth, policy: MissingOffset) -> int | None:
    """The offset of a truth under a policy; `None` matches nothing."""
    if t.offset is not None or policy == "unmatchable":
        return t.offset
    where = f"the {t.kind} truth{_line(t)} in video {t.video!r} (onset {t.onset})"
    if policy == "refuse":
        raise UsageError(
            f"{where} has no offset; say what that means with `missing_offset`: "
            f"{', '.join(CHOICES['missing_offset'][1:])}"
        )
    if policy == "onset+20":
        return t.onset + 20
    if t.apex is None:
        raise UsageError(
            f"{where} has neither offset nor apex, and `missing_offset={policy}` needs one of "
            "them: "
            "add it to the row"
        )
    offset = {
        "apex": t.apex,
        "apex+20": t.apex + 20,
        "mirror": 2 * t.apex - t.onset,
    }[policy]
    if offset < t.onset:
        raise UsageError(
            f"{where} has no offset, and `missing_offset={policy}` gives {offset}, before its onset"
        )
    return offset


if not TYPE_CHECKING:  # unknown names must stay errors for mypy
    __getattr__ = moved(__name__, {"Prediction": "PredictedInterval of this module"})
