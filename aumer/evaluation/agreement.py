"""Agreement of two coders of one video: by frame, by interval, and of onsets and offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aumer.evaluation.matching import match
from aumer.types import KINDS, Counts, IntArray, Interval, Kind, TimeArray

#: An annotated interval with its kind.
Coded = tuple[Kind, Interval]


@dataclass(frozen=True)
class Agreement:
    """Agreement for one kind, or for both together.

    Attributes:
        kappa: Cohen's kappa over the video's frames: 1 is full agreement, 0 is chance level. None
            if chance agreement is complete: both coders leave all frames empty.
        frames: share of frames with equal labels.
        counts: intervals of both coders (`tp`), only of the second (`fp`), only of the first
            (`fn`), matched one-to-one and, for both kinds together, only if the kind is equal.
        onset_s, offset_s: second minus first of every matched pair, in seconds.
    """

    kappa: float | None
    frames: float
    counts: Counts
    onset_s: tuple[float, ...]
    offset_s: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with F1, and the mean, mean absolute and largest difference."""
        return {
            "kappa": self.kappa,
            "frames": self.frames,
            **asdict(self.counts),
            "f1": self.counts.f1,
            **{name: _summary(getattr(self, name)) for name in ("onset_s", "offset_s")},
        }


def agreement(
    first: Sequence[Coded], second: Sequence[Coded], times: TimeArray, *, iou: float = 0.5
) -> dict[str, Agreement]:
    """Compare two coders' intervals in one video.

    A frame is micro, macro or neither; a frame in intervals of both kinds is micro, the rarer kind.
    Exchanging the coders only changes signs.

    Args:
        times: (T,) seconds of the video's frames.
        iou: least intersection over union of a pair.

    Returns:
        ``all``, ``micro`` and ``macro``.

    Raises:
        ValueError: an interval outside the frames, no frames, or `iou` not in (0, 1].
    """
    if not len(times):
        raise ValueError("agreement needs a video with frames")
    if beyond := [i for _, i in (*first, *second) if i.offset >= len(times)]:
        raise ValueError(f"{beyond[0]} lies beyond the {len(times)} frames")
    coded = [_frames(one, len(times)) for one in (first, second)]
    found = {}
    for name, kinds in (("all", KINDS), *((k, (k,)) for k in KINDS)):
        counts, pairs = Counts(), []
        for kind in kinds:
            a, b = ([i for k, i in one if k == kind] for one in (first, second))
            matched = _pairs(a, b, iou)
            counts += Counts(len(matched), len(b) - len(matched), len(a) - len(matched))
            pairs += matched
        # For one kind: whether a frame is of this kind.
        labels = coded if name == "all" else [(c == 1 + KINDS.index(kinds[0])) for c in coded]
        same, kappa = _kappa(*(np.asarray(one, np.int64) for one in labels))
        found[name] = Agreement(
            kappa,
            same,
            counts,
            tuple(float(times[b.onset] - times[a.onset]) for a, b in pairs),
            tuple(float(times[b.offset] - times[a.offset]) for a, b in pairs),
        )
    return found


def _pairs(
    a: Sequence[Interval], b: Sequence[Interval], iou: float
) -> list[tuple[Interval, Interval]]:
    """Intervals matched one-to-one. Among equally good matchings the choice does not depend on the
    order of the coders.
    """
    one, other = (sorted(side, key=_place) for side in (a, b))
    if list(map(_place, one)) > list(map(_place, other)):
        return [(x, y) for y, x in _pairs(other, one, iou)]
    return [(one[j], other[i]) for i, j in match(other, one, iou=iou)]


def _place(interval: Interval) -> tuple[int, int]:
    return interval.onset, interval.offset


def _frames(coded: Sequence[Coded], count: int) -> IntArray:
    labels = np.zeros(count, np.int64)
    for kind in reversed(KINDS):  # micro last, overwriting macro
        for one, interval in coded:
            if one == kind:
                labels[interval.onset : interval.offset + 1] = 1 + KINDS.index(kind)
    return labels


def _kappa(a: IntArray, b: IntArray) -> tuple[float, float | None]:
    """Share of equal labels, and Cohen's kappa."""
    same = float((a == b).mean())
    chance = sum(float((a == k).mean() * (b == k).mean()) for k in range(len(KINDS) + 1))
    return same, None if chance > 1 - 1e-12 else (same - chance) / (1 - chance)


def _summary(differences: Sequence[float]) -> dict[str, float | None]:
    if not differences:
        return {"mean": None, "mean_abs": None, "max_abs": None}
    d = np.array(differences)
    sizes = np.abs(d)
    return {
        "mean": float(d.mean()),
        "mean_abs": float(sizes.mean()),
        "max_abs": float(sizes.max()),
    }
