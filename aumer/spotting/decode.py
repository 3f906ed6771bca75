"""From a spotting network's ten tracks to expressions."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from aumer._moved import moved
from aumer.cache import Arrays
from aumer.errors import ConfigError, UsageError
from aumer.spotting.channels import CHANNELS, classes, column
from aumer.spotting.parts import TrackDecoder
from aumer.spotting.stages import kept
from aumer.strict import KEEPS, plain, require, within
from aumer.types import (
    KINDS,
    BoolArray,
    Expression,
    Features,
    FloatArray,
    Kind,
    Moment,
    Scores,
    runs,
)

Signal = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


def probabilities(logits: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """(..., 10) logits as scores: a soft-max over each kind's onset, offset, neither; sigmoids."""
    x = np.asarray(logits, np.float64)
    out = np.empty(x.shape, np.float32)
    for kind in KINDS:
        three = classes(kind)
        e = np.exp(x[..., three] - x[..., three].max(axis=-1, keepdims=True))
        out[..., three] = e / e.sum(axis=-1, keepdims=True)
        for part in ("apex", "action"):
            z = x[..., column(kind, part)]
            out[..., column(kind, part)] = 0.5 * (1 + np.tanh(0.5 * z))
    return out


@dataclass(frozen=True)
class KindDecoding:
    """How one kind is decoded, in seconds.

    Attributes:
        smooth_s: sigma of the Gaussian low-pass of all tracks.
        step_s: length over which the action track is compared before and after a boundary.
        usual_s: range of usual durations, which are not penalized.
        spread: penalty of shorter and longer ones: a factor exp(-x^2/2), with x = ln(duration /
            usual) / spread.
        reach_s: largest distance of an onset or offset from its apex.
    """

    smooth_s: float
    step_s: float
    usual_s: tuple[float, float]
    spread: tuple[float, float]
    reach_s: float

    def __post_init__(self) -> None:
        numbers = (self.smooth_s, self.step_s, *self.usual_s, *self.spread, self.reach_s)
        # Below a millisecond filters have no width, above an hour they do not fit in memory.
        if not (all(0.001 <= n <= 3600 for n in numbers) and self.usual_s[0] <= self.usual_s[1]):
            raise ConfigError(
                "decoder: all settings of a kind must be from 0.001 to 3600, and usual_s from the "
                f"shorter to the longer; found {self}"
            )


@dataclass(frozen=True)
class Decoder(TrackDecoder):
    """aumer's decoder. All times are in seconds, so it works alike at any rate.

    1. Each peak of the apex track is a candidate; gaps in the scores up to `bridge_s` are
       interpolated, longer ones split the video.
    2. The evidence for an onset (offset) comes from its track and from the step that the action
       track takes up (down) there. Its peaks around an apex are the candidate onsets (offsets).
    3. An expression's score is the geometric mean of the evidence for its onset, apex and offset
       and of the action on the weaker side of the apex, times a factor for its duration.
    4. Candidates are accepted greedily, the best-ranked first. The rank falls with the unused
       evidence of boundaries inside (`skip`) and with the length (`brevity`), so that inner
       expressions come first and an enclosing one then keeps its own boundaries.
    5. Those that share a boundary with an accepted one (`reuse`) or overlap it (soft-NMS: a factor
       exp(-IoU^2 / `overlap`)) lose score. This repeats until none ranks at `least` or above.
    6. Where a micro- and a macro-expression coincide (IoU above .5), one with less than `rivalry`
       times the other's score is removed; both may be real.

    `threshold` is applied to the final scores only, so that it can be chosen (on training subjects)
    from one decoding with a low threshold. Evidence below `floor` is ignored; `boundaries` onsets
    and as many offsets are tried for each apex.

    Raises:
        ConfigError: a setting out of range.
    """

    threshold: float = 0.5
    micro: KindDecoding = field(
        default=KindDecoding(0.03, 0.13, (0.15, 0.55), (0.25, 0.25), 0.6), metadata={KEEPS: True}
    )
    macro: KindDecoding = field(
        default=KindDecoding(0.04, 0.25, (0.45, 4.0), (0.5, 3.0), 30.0), metadata={KEEPS: True}
    )
    floor: float = 0.1
    least: float = 0.2
    skip: float = 0.5
    brevity: float = 0.05
    reuse: float = 0.3
    overlap: float = 1.0
    rivalry: float = 0.7
    bridge_s: float = 0.2
    boundaries: int = 12

    def __post_init__(self) -> None:
        for name in ("threshold", "floor", "least", "skip", "reuse", "rivalry"):
            value = getattr(self, name)
            require(0 < value <= 1, f"decoder: {name}", value, "in (0, 1]")
        require(self.overlap > 0, "decoder: overlap", self.overlap, "positive")
        within("decoder: boundaries", self.boundaries, 1, 1000)  # all pairs are scored
        within("decoder: brevity", self.brevity, 0, 1e6)
        within("decoder: bridge_s", self.bridge_s, 0, 3600, "seconds")

    def __call__(self, scores: Scores) -> tuple[Expression, ...]:
        """As `TrackDecoder.__call__`."""
        require_ten(scores)
        rate = rate_of(scores) or 1.0
        usable = scores.valid.copy()
        for name in CHANNELS:
            usable &= np.isfinite(scores.channel(name))
        if not usable.any():
            return ()
        bridged = runs(_bridged(usable, round(self.bridge_s * rate)))
        # One kind after the other, since hours of tracks in double precision are large.
        of_kind = {
            kind: kept(
                f"decoder, {kind}",
                scores,
                (self,),
                plain(self),
                partial(self._of_kind, scores, usable, bridged, kind, rate),
                _packed,
                _unpacked,
            )
            for kind in KINDS
        }
        found: list[Expression] = []
        for run, (begin, _) in enumerate(bridged):
            for kind, rival in zip(KINDS, reversed(KINDS), strict=True):
                mine = of_kind[kind][run]
                outdone = _outdone(mine, of_kind[rival][run], self.rivalry)
                found += [
                    expression_at(scores, kind, begin + a, begin + p, begin + b, score)
                    for (a, p, b, score), gone in zip(mine, outdone, strict=True)
                    if not gone
                ]
        return in_order(found)

    def _of_kind(
        self,
        scores: Scores,
        usable: BoolArray,
        bridged: list[tuple[int, int]],
        kind: Kind,
        rate: float,
    ) -> list[list[_Found]]:
        """Those of one kind in each run; what is not usable is interpolated."""
        rows = np.arange(len(usable))
        tracks = {}
        for part in ("onset", "offset", "apex", "action"):
            values = scores.channel(f"{kind}_{part}").astype(np.float64)
            values[~usable] = np.interp(rows[~usable], rows[usable], values[usable])
            tracks[part] = np.clip(values, 0, 1, out=values)
        del rows
        return [
            self._in_run({p: values[begin:end] for p, values in tracks.items()}, kind, rate)
            for begin, end in bridged
        ]

    def _in_run(self, track: dict[str, Signal], kind: Kind, rate: float) -> list[_Found]:
        """(onset, apex, offset, score) of one kind in one unbroken run, in order of acceptance."""
        how: KindDecoding = getattr(self, kind)
        # A soft-max row cannot be onset and offset; between adjacent expressions it is half each.
        either = 1 - np.minimum(np.minimum(track["onset"], track["offset"]), 0.5)
        track = {**track, "onset": track["onset"] / either, "offset": track["offset"] / either}
        smooth = {
            part: gaussian_filter1d(values, how.smooth_s * rate, mode="nearest")
            for part, values in track.items()
        }
        up, down = _steps(smooth["action"], max(1, round(how.step_s * rate)))
        begin = 0.5 * (smooth["onset"] + np.maximum(smooth["onset"] ** 2, up))
        end = 0.5 * (smooth["offset"] + np.maximum(smooth["offset"] ** 2, down))
        apexes, onsets, offsets = (_peaks(t, self.floor) for t in (smooth["apex"], begin, end))
        if not (len(apexes) and len(onsets) and len(offsets)):
            return []
        del track, either
        n = self.boundaries
        before = np.searchsorted(onsets, apexes, side="right")[:, None] - 1 - np.arange(n)
        after = np.searchsorted(offsets, apexes, side="left")[:, None] + np.arange(n)
        left = _Side(onsets, before, apexes, begin, how.reach_s * rate)
        right = _Side(offsets, after, apexes, end, how.reach_s * rate)
        mean = np.concatenate([[0], np.cumsum(smooth["action"])])
        low, high = how.usual_s
        short, long = how.spread
        fixed = np.empty((len(apexes), n, n))
        for k in _pieces(len(apexes)):
            p, a, b = apexes[k][:, None], left.rows[k], right.rows[k]
            grown = np.minimum(
                ((mean[p + 1] - mean[a]) / (p - a + 1))[:, :, None],
                ((mean[b + 1] - mean[p]) / (b - p + 1))[:, None, :],
            ).clip(0)
            seconds = _length(a, b) / rate
            unusual = np.maximum(np.log(low / seconds) / short, np.log(seconds / high) / long)
            fixed[k] = np.sqrt(np.sqrt(grown * smooth["apex"][apexes[k]][:, None, None]))
            fixed[k] *= np.exp(-0.5 * unusual.clip(0) ** 2)
        return self._select(apexes, left, right, fixed, rate)

    def _select(
        self, apexes: Rows, left: _Side, right: _Side, fixed: Signal, rate: float
    ) -> list[_Found]:
        """Greedy choice among (apexes, onsets, offsets).

        `fixed` is the part of the scores that boundaries do not change; it is modified. Brevity
        affects the order only.
        """

        n = left.rows.shape[1]
        longest = int((right.rows.max(axis=1) - left.rows.min(axis=1)).max()) + 2
        prior = (1 + np.arange(longest) / rate) ** -self.brevity  # by length in rows
        best, alive = np.empty(len(apexes)), np.empty(len(apexes), np.bool_)
        chosen, reached = np.empty(len(apexes), np.intp), np.empty(len(apexes))

        def grade(k: Rows) -> None:
            """Find the best pair of boundaries of these apexes, its rank and its score."""
            a, b = left.evidence(k), right.evidence(k)
            score = fixed[k] * np.sqrt(np.sqrt(a[:, :, None] * b[:, None, :]))
            a, b = left.nearness(k, self.skip), right.nearness(k, self.skip)
            rank = score * prior[_length(left.rows[k], right.rows[k])]
            rank *= np.sqrt(np.sqrt(a[:, :, None] * b[:, None, :]))
            rank, score = rank.reshape(len(k), n * n), score.reshape(len(k), n * n)
            rows = np.arange(len(k))
            chosen[k] = pair = rank.argmax(axis=1)
            best[k], reached[k] = rank[rows, pair], score[rows, pair]
            # Ranks may rise when the evidence in between is used; scores only fall.
            alive[k] = score.max(axis=1) >= self.least

        for piece in _pieces(len(apexes)):
            grade(piece)
        lowest, highest = left.rows.min(axis=1), right.rows.max(axis=1)
        # The best and, of equal ones, the first: in hours of film, to look at all would take long.
        ranked = [(-rank, k) for k, rank in enumerate(best.tolist()) if rank >= self.least]
        heapq.heapify(ranked)
        # All apexes whose boundaries reach a row lie between two of these.
        begins = np.minimum.accumulate(lowest[::-1])[::-1]
        ends = np.maximum.accumulate(highest)
        found: list[_Found] = []
        while ranked:
            minus, k = heapq.heappop(ranked)
            if -minus != best[k]:  # it has been ranked anew
                continue
            i, j = divmod(int(chosen[k]), n)
            onset, offset = int(left.rows[k, i]), int(right.rows[k, j])
            found.append((onset, int(apexes[k]), offset, float(reached[k])))
            left.use(k, i, self.reuse)
            right.use(k, j, self.reuse)
            alive[k], best[k] = False, 0
            first, last = int(ends.searchsorted(onset)), int(begins.searchsorted(offset, "right"))
            part = slice(first, last)
            near = first + np.flatnonzero(
                alive[part] & (lowest[part] <= offset) & (highest[part] >= onset)
            )
            if not len(near):
                continue
            a, b = left.rows[near][:, :, None], right.rows[near][:, None, :]
            shared = (np.minimum(b, offset) - np.maximum(a, onset) + 1).clip(0)
            iou = shared / (b - a + offset - onset + 2 - shared)
            fixed[near] *= np.exp(-(iou**2) / self.overlap)
            before = best[near]
            grade(near)
            # Of the others the heap still holds the rank.
            for k in near[(best[near] != before) & (best[near] >= self.least)].tolist():
                heapq.heappush(ranked, (-float(best[k]), k))
        return [one for one in found if one[3] >= self.threshold]


class _Side:
    """The onsets (offsets) within reach of each apex, from the nearest outward.

    `rows` (apexes, n) are their rows, padded with the apex itself.
    """

    def __init__(
        self, peaks: Rows, index: Rows, apexes: Rows, evidence: Signal, reach: float
    ) -> None:
        self._index = index.clip(0, len(peaks) - 1)
        rows = peaks[self._index]
        self._there = (self._index == index) & (np.abs(rows - apexes[:, None]) <= reach)
        self.rows: Rows = np.where(self._there, rows, apexes[:, None])
        self._evidence = evidence[peaks].clip(0, 1)
        self._unused = self._evidence.copy()

    def evidence(self, k: Rows) -> Signal:
        """Evidence (len(k), n); reduced for boundaries that an accepted expression uses."""
        out: Signal = np.where(self._there[k], self._evidence[self._index[k]], 0)
        return out

    def nearness(self, k: Rows, skip: float) -> Signal:
        """(len(k), n) in [0, 1]; falls with the unused evidence between the boundary and the
        apex.
        """
        index = self._index[k]
        out = np.ones(index.shape)
        np.cumprod(1 - skip * self._unused[index[:, :-1]], axis=1, out=out[:, 1:])
        return out

    def use(self, k: int, i: int, reuse: float) -> None:
        """Mark the i-th boundary of apex k as used by an accepted expression."""
        self._unused[self._index[k, i]] = 0
        self._evidence[self._index[k, i]] *= reuse


_Found = tuple[int, int, int, float]


def _packed(found: list[list[_Found]]) -> Arrays:
    """Those of all runs as arrays for a file."""
    flat = [one for of_run in found for one in of_run]
    return {
        "counts": np.array([len(of_run) for of_run in found], np.int64),
        "rows": np.array([one[:3] for one in flat], np.int64).reshape(-1, 3),
        "scores": np.array([one[3] for one in flat], np.float64),
    }


def _unpacked(arrays: Arrays) -> list[list[_Found]]:
    """The inverse of `_packed`."""
    each = zip(*arrays["rows"].T.tolist(), arrays["scores"].tolist(), strict=True)
    return [list(islice(each, of_run)) for of_run in arrays["counts"].tolist()]


#: Apexes, and expressions, that are processed together: bounds the memory.
_TOGETHER = 1024


def _pieces(count: int) -> Iterator[Rows]:
    """The integers below `count` in pieces of `_TOGETHER`."""
    for begin in range(0, count, _TOGETHER):
        yield np.arange(begin, min(begin + _TOGETHER, count))


def _length(left: Rows, right: Rows) -> Rows:
    """(K, n) and (K, n) -> (K, n, n) lengths in rows between all pairs, both ends included."""
    found: Rows = right[:, None, :] - left[:, :, None] + 1
    return found


def rate_of(scores: Scores) -> float | None:
    """Rows per second; None for fewer than two rows."""
    if len(scores) < 2 or scores.times[-1] <= scores.times[0]:
        return None
    return float((len(scores) - 1) / (scores.times[-1] - scores.times[0]))


def _steps(action: Signal, window: int) -> tuple[Signal, Signal]:
    """Steps up and down at each row: the mean of `window` rows from the row on minus that before
    it, and the mean of those up to the row minus that after it; at least 0, and the track is 0
    beyond its ends.
    """
    total = np.concatenate([[0], np.cumsum(np.pad(action, window))])
    mean = (total[window:] - total[:-window]) / window  # of the rows k - window ... k - 1
    n = len(action)
    ending, beginning = mean[: n + 1], mean[window : window + n + 1]
    step = beginning - ending  # between row k - 1 and row k
    return step[:n].clip(0), (-step[1:]).clip(0)


def _peaks(track: Signal, floor: float) -> Rows:
    """Rows of the local maxima of at least `floor`, the ends of the track included."""
    found, _ = find_peaks(np.concatenate([[-1.0], track, [-1.0]]), height=floor)
    rows: Rows = found - 1
    return rows


def _outdone(found: list[_Found], rivals: list[_Found], rivalry: float) -> BoolArray:
    """Which of `found` have an IoU above .5 with a rival of much better score."""
    if not (found and rivals):
        return np.zeros(len(found), np.bool_)
    c, _, d, other = np.array(rivals).T
    outdone = np.zeros(len(found), np.bool_)
    mine = np.array(found)
    order = np.argsort(mine[:, 0], kind="stable")
    for piece in _pieces(len(found)):
        a, _, b, score = mine[order[piece]].T[:, :, None]
        near = (c <= b.max()) & (d >= a.min())  # in hours of film, few rivals remain
        shared = (np.minimum(b, d[near]) - np.maximum(a, c[near]) + 1).clip(0)
        same_place = shared > 0.5 * (b - a + d[near] - c[near] + 2 - shared)
        outdone[order[piece]] = (same_place & (score < rivalry * other[near])).any(axis=1)
    return outdone


def _bridged(usable: BoolArray, gap: int) -> BoolArray:
    """`usable` with gaps of at most `gap` rows filled."""
    out: BoolArray = usable.copy()
    for begin, end in runs(~usable):
        if begin > 0 and end < len(usable) and end - begin <= gap:
            out[begin:end] = True
    return out


def require_ten(scores: Scores) -> None:
    """Check that the scores are the ten tracks, in any order.

    Raises:
        UsageError: they are not.
    """
    missing = [name for name in CHANNELS if name not in scores.channels]
    if missing:
        raise UsageError(
            f"the decoder needs the tracks {', '.join(CHANNELS)}; these scores lack "
            f"{', '.join(missing)}"
        )


def ten_tracks(scores: Scores) -> FloatArray:
    """(T, 10) values in the order of `CHANNELS`, whatever the order in `scores`.

    Raises:
        UsageError: as `require_ten`.
    """
    require_ten(scores)
    return scores.values[:, [scores.channels.index(name) for name in CHANNELS]]


@dataclass(frozen=True)
class Proposal(Moment):
    """A candidate expression, in rows."""

    kind: Kind
    score: float


def expression_at(
    seen: Scores | Features, kind: Kind, onset: int, apex: int, offset: int, score: float
) -> Expression:
    """An expression from the rows of `seen` that it begins, peaks and ends at."""
    frames, times = seen.frames, seen.times
    return Expression(
        kind=kind,
        onset=int(frames[onset]),
        apex=int(frames[apex]),
        offset=int(frames[offset]),
        onset_s=float(times[onset]),
        apex_s=float(times[apex]),
        offset_s=float(times[offset]),
        score=min(1.0, score),
    )


def in_order(found: Iterable[Expression]) -> tuple[Expression, ...]:
    """Sorted by onset, as every decoder returns them."""
    return tuple(sorted(found, key=lambda e: (e.onset, e.offset, e.kind, -e.score)))


if not TYPE_CHECKING:  # unknown names must stay errors for mypy
    _NOW = "aumer.spotting.auwgcn.decoder"
    __getattr__ = moved(
        __name__,
        {
            "PublishedDecoder": _NOW,
            "PublishedRange": _NOW,
        },
    )
