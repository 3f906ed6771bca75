"""What a spotting network is trained towards: the published targets, and ours. numpy only.

Targets have the form of the network's output, ten tracks in the order of `CHANNELS`, so that they
are also the scores that a perfect network would give. Rows are those of the feature grid.

The published targets (ABPN 2022, AUW-GCN 2023) cut a video into segments of 256 rows and lose every
expression that lies across a cut, widen by frames whatever the rate, and let the end of one
expression overwrite the start of the next. Ours do none of this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.mdmo import PUBLISHED_DEVIATION, PUBLISHED_MEAN
from aumer.spotting.channels import CHANNELS, column
from aumer.types import KINDS, Annotation, Expression, FloatArray, IntArray, Kind

PUBLISHED_SEGMENT = 256
PUBLISHED_CONTEXT = 7
_WINDOW = PUBLISHED_SEGMENT + 2 * PUBLISHED_CONTEXT
_WIDENING: dict[Kind, int] = {"micro": 1, "macro": 3}
_APEX_SIGMA = 4.0
#: The published order of the eight label tracks.
PUBLISHED_LABELS: tuple[tuple[Kind, str], ...] = tuple(
    (kind, part) for kind in KINDS for part in ("onset", "apex", "offset", "action")
)


# Expressions on the feature grid


@dataclass(frozen=True, order=True)
class Event:
    """One expression in rows of the feature grid, ends included.

    `certain` is False where the offset is a guess that nothing shall be learned from.

    Raises:
        ValueError: unknown kind, or 0 <= onset <= apex <= offset violated.
    """

    onset: int
    apex: int
    offset: int
    kind: Kind
    certain: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; found {self.kind!r}")
        if not 0 <= self.onset <= self.apex <= self.offset:
            raise ValueError(
                "an event needs 0 <= onset <= apex <= offset, found "
                f"{self.onset}, {self.apex}, {self.offset}"
            )


_OFFSET_POLICY = re.compile(r"mirror|ignore|drop|(apex|onset)(?:\+(\d+))?")


def filled_offset(onset: int, apex: int | None, policy: str) -> int | None:
    """The offset that `policy` gives to an expression whose coders gave none, in frames.

    "mirror" and "ignore": 2 apex - onset (AUW-GCN); "apex", "apex+N", "onset+N": N frames later;
    "drop": none. Without an apex only "onset+N" can tell, the others give none.

    Raises:
        UsageError: another policy.
    """
    named = _OFFSET_POLICY.fullmatch(policy)
    if not named:
        raise UsageError(
            "the missing-offset policy must be mirror, ignore, drop, apex, apex+N or onset+N "
            f"(N frames); found {policy!r}"
        )
    base = {"onset": onset, "apex": apex}
    if policy == "drop":
        return None
    if named[1]:
        start = base[named[1]]
        return None if start is None else start + int(named[2] or 0)
    return None if apex is None else 2 * apex - onset


def events(
    expressions: Iterable[Annotation | Expression],
    frames: IntArray,
    *,
    missing_offset_policy: str = "ignore",
    missing_apex_policy: str = "middle",
) -> tuple[Event, ...]:
    """The expressions in rows of features whose row i shows frame `frames[i]`, in order of onset.

    A row is the one whose frame is nearest. What lies partly outside is cut to the rows there are;
    what lies wholly outside is left out, and so is what the policy gives no offset
    (`filled_offset`; by "ignore" the event is uncertain and its rows will weigh nothing). An apex
    outside its interval counts as missing: "middle" puts it half way, "drop" leaves the event out.

    Raises:
        UsageError: an unknown policy.
    """
    if missing_apex_policy not in ("middle", "drop"):
        raise UsageError(
            f"the missing-apex policy must be middle or drop; found {missing_apex_policy!r}"
        )
    filled_offset(0, None, missing_offset_policy)  # an unknown one is refused whatever is missing
    found = []
    for one in expressions:
        onset, apex, offset = one.onset, one.apex, one.offset
        if apex is not None and (apex < onset or (offset is not None and apex > offset)):
            apex = None
        filled = offset is None
        if offset is None:
            offset = filled_offset(onset, apex, missing_offset_policy)
        if offset is None or not len(frames) or offset < frames[0] or onset > frames[-1]:
            continue
        if apex is None:
            if missing_apex_policy == "drop":
                continue
            apex = (onset + offset) // 2
        rows = nearest_rows(frames, (onset, apex, offset))
        certain = not (filled and missing_offset_policy == "ignore")
        found.append(Event(*rows, one.kind, certain))
    return tuple(sorted(found))


def nearest_rows(frames: IntArray, wanted: Sequence[int]) -> tuple[int, int, int]:
    """The rows whose frames (ascending, repeats allowed) are nearest; the earlier one of two."""
    after = np.searchsorted(frames, wanted).clip(0, len(frames) - 1)
    before = np.maximum(after - 1, 0)
    is_before = np.abs(frames[before] - wanted) <= np.abs(frames[after] - wanted)
    # Of rows that show the same frame the first.
    rows = np.searchsorted(frames, frames[np.where(is_before, before, after)])
    onset, apex, offset = (int(r) for r in rows)
    return onset, apex, offset


# Ours


@dataclass(frozen=True)
class TargetSettings:
    """Widths in seconds; "sigma" is that of a Gaussian, cut at three sigma."""

    micro_apex_sigma_s: float = 0.05
    macro_apex_sigma_s: float = 0.10
    micro_boundary_sigma_s: float = 0.04
    macro_boundary_sigma_s: float = 0.07

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise UsageError(f"{name} must be a positive number of seconds; found {value}")

    def sigma(self, kind: Kind, track: str) -> float:
        """Seconds, of "apex" or "boundary"."""
        return float(getattr(self, f"{kind}_{track}_sigma_s"))


@dataclass(frozen=True, eq=False)
class Targets:
    """What the ten tracks should be, and how much each row counts.

    Shapes:
        values (T, 10) float32 in [0, 1], in the order of `CHANNELS`; onset, offset and neither of
        one kind sum to 1. weight (T,) float32, 0 where nothing is known.
    """

    values: FloatArray
    weight: FloatArray

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def apex(self) -> FloatArray:
        """(T, 2) micro, macro."""
        return self.values[:, [column(kind, "apex") for kind in KINDS]]

    @property
    def action(self) -> FloatArray:
        """(T, 2) micro, macro."""
        return self.values[:, [column(kind, "action") for kind in KINDS]]

    @property
    def boundary(self) -> IntArray:
        """(T, 2) micro, macro: 0 onset, 1 offset, 2 neither, whichever is likeliest."""
        return np.stack([self.values[:, _classes(kind)].argmax(axis=1) for kind in KINDS], axis=1)


def targets(
    found: Iterable[Event], length: int, rate: float, settings: TargetSettings | None = None
) -> Targets:
    """Targets of a whole video of `length` rows at `rate` rows a second.

    Apex, onset and offset are Gaussians of height 1, the higher one where two meet; action is 1
    from onset to offset. Where an onset meets an offset of its kind (one expression follows or
    overlaps another) they share the row in proportion. Rows of uncertain events weigh 0.

    Raises:
        UsageError: an event reaches beyond the last row.
    """
    settings = settings or TargetSettings()
    values = _blank(length)
    weight = np.ones(length, np.float32)
    for event in found:
        if event.offset >= length:
            raise UsageError(f"{event} reaches beyond the last of {length} rows")
        if not event.certain:
            reach = round(3 * settings.sigma(event.kind, "boundary") * rate)
            weight[max(0, event.onset - reach) : event.offset + reach + 1] = 0
            continue
        values[event.onset : event.offset + 1, column(event.kind, "action")] = 1
        for part, row in (("apex", event.apex), ("onset", event.onset), ("offset", event.offset)):
            sigma = settings.sigma(event.kind, "apex" if part == "apex" else "boundary") * rate
            _raise_bump(values[:, column(event.kind, part)], row, sigma)
    for kind in KINDS:
        onset, offset, neither = (values[:, c] for c in _classes(kind))
        total = np.maximum(onset + offset, 1)
        onset /= total
        offset /= total
        # Rounding must not leave -1e-8: its logarithm is NaN.
        neither[:] = np.maximum(1 - onset - offset, 0)
    return Targets(values, weight)


def _raise_bump(track: FloatArray, centre: int, sigma: float) -> None:
    reach = int(3 * sigma)
    rows = np.arange(max(0, centre - reach), min(len(track), centre + reach + 1))
    bump = np.exp(-((rows - centre) ** 2) / (2 * sigma**2)).astype(np.float32)
    track[rows] = np.maximum(track[rows], bump)


def _classes(kind: Kind) -> list[int]:
    return [column(kind, part) for part in ("onset", "offset", "neither")]


def _blank(length: int) -> FloatArray:
    """Targets of `length` rows without an expression."""
    values = np.zeros((length, len(CHANNELS)), np.float32)
    values[:, [column(kind, "neither") for kind in KINDS]] = 1
    return values


# As published


@dataclass(frozen=True, eq=False)
class PublishedSegment:
    """One training sample: 256 rows from `first`, with 7 rows of context at either side.

    Shapes:
        features (270, R, 2) float32, normalised; targets (256, 10) float32.
    """

    first: int
    features: FloatArray
    targets: FloatArray
    events: tuple[Event, ...]


def published_segments(
    values: npt.NDArray[np.floating[Any]], found: Iterable[Event]
) -> tuple[PublishedSegment, ...]:
    """A video's (T, R, 2) features, cut as published: at every 256th row, samples with expressions.

    An expression that lies across a cut is in no sample.
    """
    inside: dict[int, list[Event]] = {}
    for event in found:
        number = event.onset // PUBLISHED_SEGMENT
        if event.offset // PUBLISHED_SEGMENT == number:
            inside.setdefault(number, []).append(event)
    count = -(-len(values) // PUBLISHED_SEGMENT)
    after = count * PUBLISHED_SEGMENT - len(values) + PUBLISHED_CONTEXT
    padded = np.pad(values, ((PUBLISHED_CONTEXT, after), (0, 0), (0, 0)))
    features = published_normalisation(padded)
    samples = []
    for number, members in sorted(inside.items()):
        first = number * PUBLISHED_SEGMENT
        samples.append(
            PublishedSegment(
                first,
                features[first : first + _WINDOW],
                published_targets(published_labels(members, first - PUBLISHED_CONTEXT)),
                tuple(members),
            )
        )
    return tuple(samples)


def published_normalisation(values: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """(..., 2) features by AUW-GCN's mean and deviation, padding included."""
    normalised: FloatArray = (values.astype(np.float32) - PUBLISHED_MEAN) / PUBLISHED_DEVIATION
    return normalised


def published_labels(found: Iterable[Event], first: int) -> npt.NDArray[np.uint8]:
    """(270, 8) label tracks (`PUBLISHED_LABELS`) of the rows from `first`, 1 where something is."""
    labels = np.zeros((_WINDOW, len(PUBLISHED_LABELS)), np.uint8)
    for event in found:
        for part in ("onset", "apex", "offset"):
            row = getattr(event, part) - first
            if 0 <= row < _WINDOW:
                labels[row, PUBLISHED_LABELS.index((event.kind, part))] = 1
        rows = slice(max(0, event.onset - first), max(0, event.offset - first + 1))
        labels[rows, PUBLISHED_LABELS.index((event.kind, "action"))] = 1
    return labels


def published_targets(labels: npt.NDArray[Any]) -> FloatArray:
    """(..., 256, 10) targets in the order of `CHANNELS` from (..., 270, 8) label tracks.

    Starts and ends are widened by one row (micro) or three (macro), and so is the apex, with a
    Gaussian of sigma 4 rows. Ends overwrite starts. To the right nothing is widened into rows from
    256 of the 270 on, so a sample's last seven rows are unlike the others.

    Raises:
        UsageError: other shapes.
    """
    if labels.shape[-2:] != (_WINDOW, len(PUBLISHED_LABELS)):
        raise UsageError(
            f"published label tracks are (..., {_WINDOW}, {len(PUBLISHED_LABELS)}); "
            f"found {labels.shape}"
        )
    track = {name: labels[..., k] > 0 for k, name in enumerate(PUBLISHED_LABELS)}
    values = np.zeros((*labels.shape[:-1], len(CHANNELS)), np.float32)
    for kind in KINDS:
        onset = _widened(track[kind, "onset"], kind) > 0
        offset = _widened(track[kind, "offset"], kind) > 0
        values[..., column(kind, "onset")] = onset & ~offset
        values[..., column(kind, "offset")] = offset
        values[..., column(kind, "neither")] = ~(onset | offset)
        values[..., column(kind, "apex")] = _widened(track[kind, "apex"], kind)
        values[..., column(kind, "action")] = track[kind, "action"]
    return values[..., PUBLISHED_CONTEXT : PUBLISHED_CONTEXT + PUBLISHED_SEGMENT, :]


def _widened(marks: npt.NDArray[np.bool_], kind: Kind) -> FloatArray:
    """Gaussians of height 1 round the marks, cut at the published widening."""
    out = marks.astype(np.float32)
    for k in range(1, _WIDENING[kind] + 1):
        height = np.float32(np.exp(-(k**2) / (2 * _APEX_SIGMA**2)))
        leftwards, rightwards = out[..., :-k], out[..., k:PUBLISHED_SEGMENT]
        np.maximum(leftwards, height * marks[..., k:], out=leftwards)
        np.maximum(rightwards, height * marks[..., : PUBLISHED_SEGMENT - k], out=rightwards)
    return out
