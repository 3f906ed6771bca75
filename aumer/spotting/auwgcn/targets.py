"""The published targets (ABPN 2022, AUW-GCN 2023). numpy only.

They cut a video into segments of 256 rows and drop every expression that crosses a cut, have widths
in frames at any rate, and let the end of one expression overwrite the start of the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aumer.errors import UsageError
from aumer.spotting.auwgcn.features import published_normalization
from aumer.spotting.channels import CHANNELS, column
from aumer.spotting.parts import Across, alone
from aumer.spotting.targets import AumerObjective, TargetEvent
from aumer.types import KINDS, FloatArray, Kind

if TYPE_CHECKING:
    from torch import Tensor

PUBLISHED_SEGMENT = 256
PUBLISHED_CONTEXT = 7
_WINDOW = PUBLISHED_SEGMENT + 2 * PUBLISHED_CONTEXT
_WIDENING: dict[Kind, int] = {"micro": 1, "macro": 3}
_APEX_SIGMA = 4.0
#: The published order of the eight label tracks.
PUBLISHED_LABELS: tuple[tuple[Kind, str], ...] = tuple(
    (kind, part) for kind in KINDS for part in ("onset", "apex", "offset", "action")
)


@dataclass(frozen=True, eq=False)
class PublishedSegment:
    """One training sample: 256 rows from `first`, with 7 rows of context at either side.

    Shapes:
        features (270, R, 2) float32, normalized; targets (256, 10) float32.
    """

    first: int
    features: FloatArray
    targets: FloatArray
    events: tuple[TargetEvent, ...]


def published_segments(
    values: npt.NDArray[np.floating[Any]], found: Iterable[TargetEvent]
) -> tuple[PublishedSegment, ...]:
    """A video's (T, R, 2) features, cut as published: at every 256th row, samples with expressions.

    An expression that crosses a cut is in no sample.
    """
    inside: dict[int, list[TargetEvent]] = {}
    for event in found:
        number = event.onset // PUBLISHED_SEGMENT
        if event.offset // PUBLISHED_SEGMENT == number:
            inside.setdefault(number, []).append(event)
    count = -(-len(values) // PUBLISHED_SEGMENT)
    after = count * PUBLISHED_SEGMENT - len(values) + PUBLISHED_CONTEXT
    padded = np.pad(values, ((PUBLISHED_CONTEXT, after), (0, 0), (0, 0)))
    features = published_normalization(padded)
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


def published_labels(found: Iterable[TargetEvent], first: int) -> npt.NDArray[np.uint8]:
    """(270, 8) label tracks (`PUBLISHED_LABELS`) of the rows from `first`: 1 in marked rows, else
    0.
    """
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
    Gaussian of sigma 4 rows. Ends overwrite starts, and a later apex overwrites the flank, even the
    peak, of an earlier one. Nothing is widened to the right into rows 256 to 269, so a sample's
    last seven rows differ from the others.

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
    """Gaussians of height 1 around the marks, cut at the published width; later ones overwrite
    earlier ones.
    """
    out: FloatArray = np.zeros(marks.shape, np.float32)
    width = _WIDENING[kind]
    # A row's value comes from the last mark in reach: the nearest one on its right, if any. So
    # flanks to the right are written first, from the farthest, and those to the left last.
    for k in range(width, -width - 1, -1):
        height = np.float32(np.exp(-(k**2) / (2 * _APEX_SIGMA**2)))
        rows = out[..., k:PUBLISHED_SEGMENT] if k > 0 else out[..., : out.shape[-1] + k]
        from_mark = marks[..., : PUBLISHED_SEGMENT - k] if k > 0 else marks[..., -k:]
        rows[from_mark] = height
    return out


class PublishedObjective(AumerObjective):
    """The published loss, for `published_segments` with the published targets.

    Nothing is published for whole videos; when trained in windows, they get aumer's targets.
    """

    def loss(
        self, logits: Tensor, targets: Tensor, weight: Tensor, *, across: Across = alone
    ) -> dict[str, Tensor]:
        """As `aumer.spotting.auwgcn.loss.published_loss`, without context.

        The context rows are read from the first sample: all segments have equally many.
        """
        from aumer.spotting.auwgcn.loss import published_loss  # loads torch only when used

        shown, core = (weight > 0).any(dim=1).sum(), weight[0] > 0
        whole = across(shown)
        if not shown:  # a sample of weight 0 has all terms, each 0
            core = ~core
        terms = published_loss(logits[:, core], targets[:, core], self.macro_weight)
        # Segments are equally long, so each term is a plain mean.
        return terms if shown == whole else {k: shown / whole * v for k, v in terms.items()}
