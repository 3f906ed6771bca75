"""The data types that the stages exchange. No torch, no cv2.

Every array comes with its time axis, its names and its `valid` mask. Frames are 0-based decode
ordinals of the source; seconds are presentation times, 0 at the first frame (in a file whose
pictures begin after its sound: 0 is the begin of the sound, as in players).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Kind = Literal["micro", "macro"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Sides of the subject's face.
Side = Literal["both", "left", "right"]
SIDES: tuple[Side, ...] = get_args(Side)
#: Outcome of a recognizer: a label; or none, because nothing moves from onset to apex by more than
#: the face's noise, or because no class is probable enough.
Outcome = Literal["named", "no expression", "uncertain"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
NAMED, NO_EXPRESSION, UNCERTAIN = OUTCOMES
#: Longest micro-expression by definition; seconds.
MICRO_MAX_S = 0.5

#: Range of rows or frames per second: from a slow time lapse to the fastest cameras.
MIN_RATE, MAX_RATE = 0.01, 100_000.0

FloatArray = npt.NDArray[np.float32]
TimeArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
ImageArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, order=True)
class Interval:
    """A closed interval of 0-based frame ordinals, or of rows: both ends belong to it.

    With an apex it is a `Moment`.

    Raises:
        ValueError: `onset` is negative or `offset` lies before it.

    Example:
        >>> a, b = aumer.Interval(10, 20), aumer.Interval(15, 25)
        >>> len(a), a.iou(b)
        (11, 0.375)
    """

    onset: int
    offset: int

    def __post_init__(self) -> None:
        if not 0 <= self.onset <= self.offset:
            raise ValueError(
                f"an interval needs 0 <= onset <= offset, found onset {self.onset}, "
                f"offset {self.offset}"
            )

    def __len__(self) -> int:
        return self.offset - self.onset + 1

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, (int, np.integer)) and bool(self.onset <= frame <= self.offset)

    def overlap(self, other: Interval) -> int:
        """Number of frames in both intervals."""
        return max(0, min(self.offset, other.offset) - max(self.onset, other.onset) + 1)

    def iou(self, other: Interval) -> float:
        """Intersection over union in frames, in [0, 1]."""
        shared = self.overlap(other)
        return shared / (len(self) + len(other) - shared)


@dataclass(frozen=True, order=True)
class Moment(Interval):
    """An interval with an apex. Sorted by onset and offset first.

    Raises:
        ValueError: 0 <= onset <= apex <= offset is violated.
    """

    apex: int

    def __post_init__(self) -> None:
        if not 0 <= self.onset <= self.apex <= self.offset:
            raise ValueError(
                "an expression needs 0 <= onset <= apex <= offset, found "
                f"{self.onset}, {self.apex}, {self.offset}"
            )


@dataclass(frozen=True)
class ActingUnit:
    """One action unit (AU) of an expression, as read by an AU reader.

    Attributes:
        number: its number in FACS.
        probability: probability that it acts, in [0, 1].
        acts: whether the probability reaches the threshold, which differs between AUs.
        side: side of the subject's face; None if unknown, or if the AU does not act.

    Raises:
        ValueError: a number below 1, a probability outside [0, 1], an unknown side, or a side
            although the AU does not act.

    Example:
        >>> corner = aumer.ActingUnit(12, probability=0.9, acts=True, side="left")
        >>> corner.number, corner.side
        (12, 'left')
    """

    number: int
    probability: float
    acts: bool
    side: Side | None = None

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError(f"action units are numbered from 1; found {self.number}")
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability must lie in [0, 1]; found {self.probability}")
        if self.side is not None and (self.side not in SIDES or not self.acts):
            raise ValueError(
                f"the side of an AU that acts is one of {', '.join(SIDES)}, or None; found "
                f"{self.side!r}"
            )

    def __str__(self) -> str:
        return {"left": "L", "right": "R"}.get(self.side or "", "") + str(self.number)


def au_text(aus: Iterable[ActingUnit] | None) -> str | None:
    """The AUs that act, as coders write them: ``6+L12``; "" if none acts, None for None."""
    return None if aus is None else "+".join(str(unit) for unit in aus if unit.acts)


@dataclass(frozen=True)
class Expression:
    """One spotted or annotated expression: its `moment` in frames and in seconds, kind and label.

    The members are flat, as in the files of results.

    Attributes:
        score: the spotter's confidence in [0, 1].
        label, probs: from a recognizer.
        aus: all action units that the AU reader knows, by number; empty if nothing moves, None if
            none were read or no motion of the face was measured.
        peak: height in units of its movement's noise, as defined in `aumer.spotting.noise`; None if
            not measured.
        duration_sd_s: standard deviation of the error of `duration_s`, in seconds; None if not
            measured for the spotter.
        duration_bias_s: measured mean error of `duration_s` in seconds; positive: too long.
        micro_max_s: longest micro-expression in seconds, the limit by which its kind was set.

    Raises:
        ValueError: unknown kind, onset <= apex <= offset violated, a score outside [0, 1], a
            negative peak, or a deviation or limit that is not positive.

    Example:
        >>> smile = aumer.Expression("macro", 18, 30, 42, 0.6, 1.0, 1.4, score=0.9)
        >>> smile.interval
        Interval(onset=18, offset=42)
    """

    kind: Kind
    onset: int
    apex: int
    offset: int
    onset_s: float
    apex_s: float
    offset_s: float
    score: float
    label: str | None = None
    probs: Mapping[str, float] | None = None
    peak: float | None = None
    duration_sd_s: float | None = None
    duration_bias_s: float = 0.0
    micro_max_s: float = MICRO_MAX_S
    aus: tuple[ActingUnit, ...] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; found {self.kind!r}")
        _ = self.moment  # raises ValueError
        if not self.onset_s <= self.apex_s <= self.offset_s:
            raise ValueError(
                "an expression needs onset_s <= apex_s <= offset_s, found "
                f"{self.onset_s}, {self.apex_s}, {self.offset_s}"
            )
        if not (math.isfinite(self.score) and 0.0 <= self.score <= 1.0):
            raise ValueError(f"score must lie in [0, 1]; found {self.score}")
        if self.peak is not None and not 0 <= self.peak < math.inf:
            raise ValueError(f"peak must be >= 0 and finite; found {self.peak}")
        for name in ("duration_sd_s", "micro_max_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be > 0 and finite; found {value}")
        if not math.isfinite(self.duration_bias_s):
            raise ValueError(f"duration_bias_s must be finite; found {self.duration_bias_s}")

    @property
    def interval(self) -> Interval:
        """Onset to offset, both included."""
        return Interval(self.onset, self.offset)

    @property
    def moment(self) -> Moment:
        """Onset to offset, with the apex."""
        return Moment(self.onset, self.offset, self.apex)

    @property
    def duration_s(self) -> float:
        """Seconds from the onset frame to the offset frame."""
        return self.offset_s - self.onset_s

    @property
    def micro_probability(self) -> float | None:
        """Probability that the true duration is at most `micro_max_s`, for a normally distributed
        error; None if the error was not measured.
        """
        if self.duration_sd_s is None:
            return None
        longest = self.micro_max_s + self.duration_bias_s  # in spotted duration
        spare = (longest - self.duration_s) / self.duration_sd_s
        return 0.5 * math.erfc(-spare / math.sqrt(2))

    def limited(self, micro_max_s: float) -> Expression:
        """The same expression with its kind set by duration: micro up to `micro_max_s` seconds."""
        # Times of frames are rounded sums, hence the tolerance of a millionth.
        kind: Kind = "micro" if self.duration_s <= micro_max_s + 1e-6 else "macro"
        return replace(self, kind=kind, micro_max_s=micro_max_s)


@dataclass(frozen=True)
class Frame:
    """One decoded frame: 0-based decode ordinal, presentation time (s), (H, W, 3) uint8 RGB.

    Example:
        >>> with aumer.open_video("interview.mp4") as video:
        ...     frame = next(iter(video))
        >>> frame.index, frame.time_s, frame.image.shape, frame.image.dtype
        (0, 0.0, (256, 256, 3), dtype('uint8'))
    """

    index: int
    time_s: float
    image: ImageArray


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video source.

    Totals are estimates of the container, or `None`. For features without their video, width and
    height are 0.
    """

    name: str
    source: Literal["file", "folder", "array", "camera", "features"]
    width: int
    height: int
    fps: float | None
    frames_estimate: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def _check_rows(what: str, rows: int, **arrays: npt.NDArray[Any]) -> None:
    wrong = {name: a.shape for name, a in arrays.items() if a.shape[:1] != (rows,)}
    if wrong:
        raise ValueError(f"{what}: every array needs {rows} rows, found shapes {wrong}")


def _stretch(times: TimeArray) -> str:
    return f"{times[0]:.2f} to {times[-1]:.2f} s" if len(times) else "no time"


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face through a video.

    Shapes:
        times (T,) float64 seconds; frames (T,) int64 decode ordinals; valid (T,) bool;
        boxes (T, 4) float32 x0, y0, x1, y1 px; landmarks (T, 68, 2) float32 px, iBUG-68.
        Rows without a face are NaN with `valid` False; no row is ever dropped.

    Attributes:
        number: the face's number by first appearance, if several are followed.
        faces: the most faces that were visible at once; 0 if unknown.
        turned: degrees clockwise by which the picture is rotated (0, 90, 180 or 270) relative to an
            upright face. Boxes and landmarks refer to the picture as decoded.

    Example:
        >>> track = aumer.features("interview.mp4").track
        >>> track.landmarks.shape, track.boxes.shape, bool(track.valid.all())
        ((60, 68, 2), (60, 4), True)
    """

    times: TimeArray
    frames: IntArray
    valid: BoolArray
    boxes: FloatArray
    landmarks: FloatArray
    number: int = 1
    faces: int = 0
    turned: int = 0

    def __post_init__(self) -> None:
        n = len(self.times)
        _check_rows(
            "FaceTrack",
            n,
            frames=self.frames,
            valid=self.valid,
            boxes=self.boxes,
            landmarks=self.landmarks,
        )
        if self.boxes.shape != (n, 4) or self.landmarks.shape != (n, 68, 2):
            raise ValueError(
                f"FaceTrack: boxes must be ({n}, 4) and landmarks ({n}, 68, 2), found "
                f"{self.boxes.shape} and {self.landmarks.shape}"
            )

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        return (
            f"FaceTrack of face {self.number}: {_stretch(self.times)}, a usable face in "
            f"{int(self.valid.sum())} of {len(self)} frames"
        )

    @property
    def coverage(self) -> float:
        """Share of frames with a usable face (0 for an empty track)."""
        return float(self.valid.mean()) if len(self) else 0.0


@dataclass(frozen=True, eq=False)
class Features:
    """ROI motion on a fixed time grid.

    Row i is the motion of each ROI from `times[i]` to `times[i] + 1 / rate`, in pixels of the
    canonical face crop, x to the right and y down, head motion removed.

    Shapes:
        values (T, R, 2) float32; times (T,) float64 seconds; frames (T,) int64, the decode ordinal
        nearest to each time; valid (T,) bool. Invalid rows are NaN. confidence (T, R) float32 in
        [0, 1]: how well the picture of each ROI matched between the two frames; 0 in invalid rows;
        without this argument 1 in valid rows. eyelids (T, 2) float32: how far the right and the
        left eye are open at times[i], in outer-eye distances, and head (T, 3) float32: yaw, pitch
        and roll in radians (`aumer.face.signs`); NaN if unknown, also without these arguments.

    Attributes:
        rois: name of each ROI.
        rate: rows per second.
        eye_distance: px between the outer eye corners in the crop: the unit of face size.
        motion: the settings `motion` that they were measured with; None if unknown.

    Example:
        >>> (video,) = aumer.simulate_features(1, minutes=0.2, seed=1)
        >>> video.features
        Features of 12 ROIs at 30 rows a second: 0.00 to 11.97 s, ... of 360 rows hold motion
    """

    values: FloatArray
    times: TimeArray
    frames: IntArray
    valid: BoolArray
    rois: tuple[str, ...]
    rate: float
    eye_distance: float = 64.0
    confidence: FloatArray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    eyelids: FloatArray = field(default_factory=lambda: np.empty((0, 2), np.float32))
    head: FloatArray = field(default_factory=lambda: np.empty((0, 3), np.float32))
    motion: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        n = len(self.times)
        for name, columns in (("eyelids", 2), ("head", 3)):
            if not getattr(self, name).size:
                object.__setattr__(self, name, np.full((n, columns), np.nan, np.float32))
            if getattr(self, name).shape != (n, columns):
                raise ValueError(
                    f"Features: {name} must be ({n}, {columns}), found {getattr(self, name).shape}"
                )
        if not self.confidence.size:
            known = np.repeat(self.valid[:, None], len(self.rois), axis=1)
            object.__setattr__(self, "confidence", known.astype(np.float32))
        _check_rows(
            "Features",
            n,
            values=self.values,
            frames=self.frames,
            valid=self.valid,
            confidence=self.confidence,
        )
        if self.confidence.shape != (n, len(self.rois)):
            raise ValueError(
                f"Features: confidence must be ({n}, {len(self.rois)}) for these ROIs, found "
                f"{self.confidence.shape}"
            )
        if self.values.shape != (n, len(self.rois), 2):
            raise ValueError(
                f"Features: values must be ({n}, {len(self.rois)}, 2) for these ROIs, found "
                f"{self.values.shape}"
            )
        if not MIN_RATE <= self.rate <= MAX_RATE:  # also refuses NaN
            raise ValueError(
                f"Features: rate must be from {MIN_RATE:g} to {MAX_RATE:g} rows per second; found "
                f"{self.rate}"
            )
        if not 0 < self.eye_distance < math.inf:
            raise ValueError(
                f"Features: eye_distance must be > 0 and finite; found {self.eye_distance}"
            )
        if not (np.isfinite(self.times).all() and (np.diff(self.times) >= 0).all()):
            raise ValueError("Features: times must be finite and never fall")
        if (~np.isfinite(self.values).all(axis=(1, 2)) & self.valid).any():
            raise ValueError("Features: a row marked valid holds NaN or infinity")
        if not ((self.confidence >= 0) & (self.confidence <= 1)).all():  # also refuses NaN
            raise ValueError("Features: confidence must lie in [0, 1]")

    def __repr__(self) -> str:
        return (
            f"Features of {len(self.rois)} ROIs at {self.rate:g} rows a second: "
            f"{_stretch(self.times)}, {int(self.valid.sum())} of {len(self)} rows hold motion"
        )

    def __len__(self) -> int:
        return len(self.times)

    def trusted(self, least: float, begin: int = 0, end: int | None = None) -> FloatArray:
        """(T, R, 2) the values, 0 where an ROI's confidence is below `least`; NaN in invalid rows.

        Args:
            begin, end: rows; by default all.
        """
        rows = slice(begin, end)
        doubtful = (self.confidence[rows] < least) & self.valid[rows, None]
        return np.where(doubtful[..., None], np.float32(0), self.values[rows])


@dataclass(frozen=True, eq=False)
class Scores:
    """Named tracks in [0, 1] on the time axis of the features that they were computed from.

    Shapes:
        values (T, K) float32; times (T,) float64; frames (T,) int64; valid (T,) bool.

    Example:
        >>> scores = aumer.spot("interview.mp4", model="network").scores
        >>> scores.values.shape == (len(scores.times), len(scores.channels))
        True
        >>> scores.channels[-2:]
        ('micro_action', 'macro_action')
    """

    values: FloatArray
    times: TimeArray
    frames: IntArray
    valid: BoolArray
    channels: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.times)
        _check_rows("Scores", n, values=self.values, frames=self.frames, valid=self.valid)
        if self.values.shape != (n, len(self.channels)):
            raise ValueError(
                f"Scores: values must be ({n}, {len(self.channels)}) for these channels, found "
                f"{self.values.shape}"
            )

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        return (
            f"Scores of {len(self.channels)} channels ({', '.join(self.channels)}): "
            f"{_stretch(self.times)}, {int(self.valid.sum())} of {len(self)} rows valid"
        )

    def channel(self, name: str) -> FloatArray:
        """The (T,) track called `name`."""
        try:
            return self.values[:, self.channels.index(name)]
        except ValueError:
            raise KeyError(f"no channel {name!r}; there are {', '.join(self.channels)}") from None


@dataclass(frozen=True)
class Annotation:
    """One expression as a data set's coders annotated it. It is no `Moment`, since coders may omit
    apexes and offsets or set apexes outside the interval.

    Frames are 0-based decode ordinals of the video, ends included, whatever number the workbook
    starts from; `None` is what the coders did not give. `aus` and `emotion` are the coders' own
    words.

    Attributes:
        subject, video: names in the data set; a video's name is unique within its subject.
        row: the line of the table it was read from (1-based, as a spreadsheet shows it), 0 if none.

    Raises:
        ValueError: unknown kind, a negative frame, or an offset before the onset.
    """

    subject: str
    video: str
    kind: Kind
    onset: int
    apex: int | None
    offset: int | None
    aus: str = ""
    emotion: str = ""
    row: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; found {self.kind!r}")
        frames = (self.onset, self.apex, self.offset)
        if any(f is not None and f < 0 for f in frames):
            raise ValueError(f"frames are 0-based; found onset, apex, offset {frames}")
        if self.offset is not None and self.offset < self.onset:
            raise ValueError(f"offset {self.offset} lies before onset {self.onset}")

    @property
    def interval(self) -> Interval | None:
        """Onset to offset, both included; `None` if the offset is missing."""
        return None if self.offset is None else Interval(self.onset, self.offset)


@dataclass(frozen=True)
class VideoRecord:
    """One video of a data set with its annotations; a video without expressions has none.

    Attributes:
        path: a video file or a folder of frames; `None` if only annotations are available.
        frames: number of frames, if known.
    """

    dataset: str
    subject: str
    name: str
    fps: float
    path: Path | None = None
    frames: int | None = None
    annotations: tuple[Annotation, ...] = ()

    def __post_init__(self) -> None:
        wrong = [a for a in self.annotations if (a.subject, a.video) != (self.subject, self.name)]
        if wrong:
            raise ValueError(f"{self.subject}/{self.name} holds an annotation of {wrong[0]}")


@dataclass(frozen=True)
class Counts:
    """Integer counts, summed over videos, subjects and folds; ratios are computed from the sums.

    Example:
        >>> both = aumer.Counts(tp=3, fp=1, fn=1) + aumer.Counts(tp=1, fp=0, fn=2)
        >>> both, round(both.f1, 3)
        (Counts(tp=4, fp=1, fn=3), 0.667)
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @staticmethod
    def total(counts: Iterable[Counts]) -> Counts:
        """The sum over `counts`."""
        return sum(counts, Counts())

    @property
    def precision(self) -> float:
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0

    @property
    def recall(self) -> float:
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else 0.0

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); 0 if all three are 0."""
        n = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / n if n else 0.0


def runs(flags: BoolArray) -> list[tuple[int, int]]:
    """Half-open (begin, end) of every unbroken stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def by_kind(expressions: Sequence[Expression], kind: Kind) -> tuple[Expression, ...]:
    """The expressions of one kind, in their order."""
    return tuple(e for e in expressions if e.kind == kind)
