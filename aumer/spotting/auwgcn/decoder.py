"""The published decoder (ABPN 2022, AUW-GCN 2023): from ten tracks to expressions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer.errors import ConfigError
from aumer.spotting.channels import column
from aumer.spotting.decode import Proposal, expression_at, in_order, rate_of, ten_tracks
from aumer.spotting.parts import TrackDecoder
from aumer.types import KINDS, Expression, Kind, Scores


@dataclass(frozen=True)
class PublishedRange:
    """Limits of the published decoder for one kind of expression, in frames, ends included.

    Attributes:
        search: distance from the apex within which start and end are searched.
        length: end minus start.
        keep: most expressions per video.
    """

    search: tuple[int, int]
    length: tuple[int, int]
    keep: int


@dataclass(frozen=True)
class PublishedDecoder(TrackDecoder):
    """The decoder of ABPN 2022 and AUW-GCN 2023; its two settings are below.

    In segments of 256 rows, each row with an apex score above .5 proposes the best start before and
    the best end after it, the nearer one of equals; searches stop at the segment's ends. A proposal
    is accepted if the start score exceeds the end score at its start, the end score exceeds the
    start score at its end, and its length is allowed; its score is start x apex x end. Then
    non-maximum suppression removes proposals with an IoU above .5 (lengths as end minus start) with
    a better one of their kind, and the best few of a video remain.

    Attributes:
        rate: frame rate of the ranges.
    """

    rate: float
    micro: PublishedRange
    macro: PublishedRange
    segment: int = 256
    min_apex: float = 0.5
    nms_iou: float = 0.5

    def __call__(self, scores: Scores) -> tuple[Expression, ...]:
        """As `TrackDecoder.__call__`."""
        values, found = ten_tracks(scores), rate_of(scores)
        if found is not None:
            self.check(found)
        kept = self.nms(self.proposals(np.where(np.isfinite(values), values, 0)))
        return in_order(
            expression_at(scores, p.kind, p.onset, p.apex, p.offset, p.score) for p in kept
        )

    def check(self, rate: float) -> None:
        """See `TrackDecoder.check`: only its own rate is accepted, since it counts frames."""
        if abs(rate / self.rate - 1) > 0.02:
            raise ConfigError(
                f"the published decoder counts frames at {self.rate:g} a second; these scores have "
                f"{rate:.4g} rows a second. Compute features at that rate (motion.rate, and the "
                "network's rate), or use our decoder"
            )

    def proposals(self, values: npt.NDArray[np.floating[Any]]) -> list[Proposal]:
        """Proposals from the (T, 10) scores of one video, best first."""
        found: list[Proposal] = []
        for first in range(0, len(values), self.segment):
            for kind in KINDS:
                found += self._in_segment(values[first : first + self.segment], kind, first)
        return sorted(found, key=lambda p: -p.score)

    def _in_segment(
        self, values: npt.NDArray[np.floating[Any]], kind: Kind, first: int
    ) -> list[Proposal]:
        allowed: PublishedRange = getattr(self, kind)
        start, end, apex = (values[:, column(kind, t)] for t in ("onset", "offset", "apex"))
        apexes = np.flatnonzero(apex > self.min_apex)
        if not len(apexes):
            return []
        away = np.arange(allowed.search[0], allowed.search[1] + 1)
        before = np.maximum(apexes[:, None] - away, 0)
        after = np.minimum(apexes[:, None] + away, len(values) - 1)
        each = np.arange(len(apexes))
        a, b = before[each, start[before].argmax(1)], after[each, end[after].argmax(1)]
        kept = (start[a] > end[a]) & (end[b] > start[b])
        kept &= (allowed.length[0] <= b - a) & (b - a <= allowed.length[1])
        score = start[a] * apex[apexes] * end[b]
        return [
            Proposal(
                first + int(a[k]),
                first + int(b[k]),
                first + int(apexes[k].clip(a[k], b[k])),
                kind,
                float(score[k]),
            )
            for k in np.flatnonzero(kept)
        ]

    def nms(self, proposals: list[Proposal]) -> list[Proposal]:
        """The best few non-overlapping proposals of each kind; macro before micro, best first."""
        kept: list[Proposal] = []
        for kind in reversed(KINDS):
            of_kind = sorted((p for p in proposals if p.kind == kind), key=lambda p: -p.score)
            start = np.array([p.onset for p in of_kind])
            end = np.array([p.offset for p in of_kind])
            left = np.ones(len(of_kind), np.bool_)
            for _ in range(getattr(self, kind).keep):
                if not left.any():
                    break
                k = int(left.argmax())
                kept.append(of_kind[k])
                shared = np.minimum(end, end[k]) - np.maximum(start, start[k])
                union = (end - start) + (end[k] - start[k]) - shared
                left &= shared <= self.nms_iou * union
                left[k] = False
        return kept


@dataclass(frozen=True)
class CasmeSqDecoder(PublishedDecoder):
    """The decoder with the published values for CAS(ME)^2."""

    rate: float = 30.0
    micro: PublishedRange = PublishedRange(search=(2, 7), length=(5, 30), keep=5)
    macro: PublishedRange = PublishedRange(search=(7, 29), length=(15, 88), keep=5)


@dataclass(frozen=True)
class SammLvDecoder(PublishedDecoder):
    """The decoder with the published values for SAMM-LV."""

    rate: float = 25.0
    micro: PublishedRange = PublishedRange(search=(2, 7), length=(4, 13), keep=5)
    macro: PublishedRange = PublishedRange(search=(6, 27), length=(12, 81), keep=6)
