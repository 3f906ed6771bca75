"""Training targets of spotting networks. numpy only.

Targets have the form of the network's output, ten tracks in the order of `CHANNELS`, so that they
are also the scores that a perfect network would give. Rows are those of the feature grid.

Unlike the published ones (`aumer.spotting.auwgcn.targets`) aumer's drop no expression at a cut,
have widths in seconds, and never overwrite the start of an expression by the end of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aumer._moved import moved
from aumer.errors import UsageError
from aumer.spotting.channels import CHANNELS, classes, column
from aumer.spotting.parts import Across, Objective, alone
from aumer.types import KINDS, Annotation, Expression, FloatArray, IntArray, Kind, Moment

if TYPE_CHECKING:
    from torch import Tensor


# Expressions on the feature grid


@dataclass(frozen=True)
class TargetEvent(Moment):
    """An expression in rows of the feature grid, for training.

    Attributes:
        certain: False if the offset is a guess; then its rows get no weight.
        aus: an annotation's action units in its coders' words, for an `Objective` that learns them,
            too (`aumer.graph.au.parse`); "" if unknown.

    Raises:
        ValueError: unknown kind, or as `Moment`.
    """

    kind: Kind
    certain: bool = True
    aus: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; found {self.kind!r}")


_OFFSET_POLICY = re.compile(r"mirror|ignore|drop|(apex|onset)(?:\+(\d+))?")


def filled_offset(onset: int, apex: int | None, policy: str) -> int | None:
    """The offset in frames, by `policy`, of an expression whose coders gave none.

    "mirror" and "ignore": 2 apex - onset (AUW-GCN); "apex", "apex+N", "onset+N": N frames later;
    "drop": none. Without an apex only "onset+N" gives an offset.

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
) -> tuple[TargetEvent, ...]:
    """The expressions in rows of features whose row i shows frame `frames[i]`, in order of onset.

    Frames are mapped to the row with the nearest frame. An expression partly outside is clipped to
    the rows; one completely outside is left out, and so is one without an offset by the policy
    (`filled_offset`; with "ignore" the event is uncertain and its rows get no weight). An apex
    outside its interval counts as missing: "middle" puts it half-way, "drop" leaves the event out.

    Raises:
        UsageError: an unknown policy.
    """
    if missing_apex_policy not in ("middle", "drop"):
        raise UsageError(
            f"the missing-apex policy must be middle or drop; found {missing_apex_policy!r}"
        )
    filled_offset(0, None, missing_offset_policy)  # refuses an unknown policy
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
        certain = not (filled and missing_offset_policy == "ignore")
        row, peak, last = nearest_rows(frames, (onset, apex, offset))
        aus = one.aus if isinstance(one, Annotation) else ""
        found.append(TargetEvent(row, last, peak, one.kind, certain, aus))
    return tuple(sorted(found, key=lambda e: (e.onset, e.apex, e.offset, e.kind, e.certain)))


def nearest_rows(frames: IntArray, wanted: Sequence[int]) -> tuple[int, int, int]:
    """The rows whose frames (ascending, repeats allowed) are nearest; of two the earlier."""
    after = np.searchsorted(frames, wanted).clip(0, len(frames) - 1)
    before = np.maximum(after - 1, 0)
    is_before = np.abs(frames[before] - wanted) <= np.abs(frames[after] - wanted)
    # Of rows with the same frame the first.
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
    """Target values of the ten tracks, and the weight of each row.

    Shapes:
        values (T, 10) float32 in [0, 1], in the order of `CHANNELS`; onset, offset and neither of
        one kind sum to 1. weight (T,) float32, 0 where the truth is unknown.
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
        """(T, 2) micro, macro: 0 onset, 1 offset, 2 neither, the most probable one."""
        return np.stack([self.values[:, classes(kind)].argmax(axis=1) for kind in KINDS], axis=1)


def targets(
    found: Iterable[TargetEvent], length: int, rate: float, settings: TargetSettings | None = None
) -> Targets:
    """Targets of a whole video of `length` rows at `rate` rows a second.

    Apex, onset and offset are Gaussians of height 1, combined by their maximum; action is 1 from
    onset to offset. Where an onset coincides with an offset of its kind (one expression follows or
    overlaps another) they share the row in proportion. Rows of uncertain events have weight 0.

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
        onset, offset, neither = (values[:, c] for c in classes(kind))
        total = np.maximum(onset + offset, 1)
        onset /= total
        offset /= total
        # Clip rounding errors such as -1e-8, whose logarithm is NaN.
        neither[:] = np.maximum(1 - onset - offset, 0)
    return Targets(values, weight)


class AumerObjective(Objective):
    """aumer's objective: `targets`, and `aumer.spotting.losses.spot_loss`, with equal weight of
    both kinds.
    """

    def targets(self, found: Iterable[TargetEvent], length: int, rate: float) -> Targets:
        """See the function `targets`."""
        return targets(found, length, rate)

    def loss(
        self, logits: Tensor, targets: Tensor, weight: Tensor, *, across: Across = alone
    ) -> dict[str, Tensor]:
        """As `spot_loss`."""
        from aumer.spotting.losses import spot_loss  # loads torch only when used

        return spot_loss(logits, targets, weight, across=across)


def _raise_bump(track: FloatArray, center: int, sigma: float) -> None:
    reach = int(3 * sigma)
    rows = np.arange(max(0, center - reach), min(len(track), center + reach + 1))
    bump = np.exp(-((rows - center) ** 2) / (2 * sigma**2)).astype(np.float32)
    track[rows] = np.maximum(track[rows], bump)


def _blank(length: int) -> FloatArray:
    """Targets of `length` rows without an expression."""
    values = np.zeros((length, len(CHANNELS)), np.float32)
    values[:, [column(kind, "neither") for kind in KINDS]] = 1
    return values


if not TYPE_CHECKING:  # unknown names must stay errors for mypy
    _NOW = "aumer.spotting.auwgcn.targets"
    __getattr__ = moved(
        __name__,
        {
            "Event": "TargetEvent(onset, offset, apex, kind), a Moment, of this module",
            "PUBLISHED_SEGMENT": _NOW,
            "PUBLISHED_CONTEXT": _NOW,
            "PUBLISHED_LABELS": _NOW,
            "PublishedSegment": _NOW,
            "published_segments": _NOW,
            "published_labels": _NOW,
            "published_targets": _NOW,
            "published_normalization": "aumer.spotting.auwgcn.features",
        },
    )
