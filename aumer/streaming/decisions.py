"""From growing features to events: first provisional, then final.

A spotter runs again and again over the last minute. An expression whose offset was a moment ago is
reported at once, and may change; one that is older than the spotter's look-ahead
(`SpotterModel.settles_s`) is final, and equals that of the whole recording.

So the stored features must contain everything that such a decision depends on. The noise, the unit
of thresholds, comes from the preceding `noise_window_s` and is measured once per second from the
begin of an unbroken run (`aumer.spotting.noise`): so runs are cut by whole seconds, and nothing is
decided in the first `noise_window_s` after a cut. The first `noise_window_s` of a run share one
noise, which is known when they, or the run, are over: until then nothing in them is final.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, inf

from aumer.errors import UsageError
from aumer.pipeline import Spotter
from aumer.spotting.noise import HOLD_S
from aumer.streaming.events import Happening
from aumer.types import Expression, Features, Scores, runs

#: Seconds from an offset to its first report, by which a movement has come to rest.
TELLS_S = 0.2
#: Seconds between two decisions.
EVERY_S = 0.15
#: Longer expressions may be split by the removal of old features.
LONGEST_S = 10.0
#: Seconds after which a run is over; before, later frames may join it to the next one.
_OVER_S = 1.5
#: Two intervals belong to the same expression above this IoU.
_SAME_IOU = 0.2
#: Of `Features`, what has a row for each time.
_ROWS = ("values", "times", "frames", "valid", "confidence", "eyelids", "head")


@dataclass(frozen=True)
class Told:
    """One change: see `aumer.streaming.events.LiveEvent`."""

    event: Happening
    id: int
    expression: Expression


class Decisions:
    """Runs one spotter over growing features, and remembers the reported expressions.

    Attributes:
        keeps_s: seconds of features that each decision needs.
        settles_s: seconds after an offset when it is final.
        scores: of the last decision; `None` without motion.

    Raises:
        UsageError: the noise is set to be that of the whole run, which is unknown while it
            continues.
    """

    def __init__(self, spotter: Spotter) -> None:
        self._spotter, self.settles_s = spotter, spotter.model.settles_s
        rules = spotter.model.rules
        self._window_s = self._known_s = 0.0
        if rules is not None:
            if not rules.noise_window_s:
                raise UsageError(
                    "`rules.noise_window_s=0` judges by the noise of the whole recording, which is "
                    "not known while it goes on; give the seconds before that count, such as the "
                    "default, 32"
                )
            self._window_s = rules.noise_window_s
            self._known_s = rules.noise_window_s + rules.lookahead_s
        self.keeps_s = self._known_s + 2 * self.settles_s + LONGEST_S
        self.scores: Scores | None = None
        self._open: dict[int, Expression] = {}
        self._final: list[Expression] = []
        self._count = 0
        self._fixed_s = -inf  # what ends by then is final
        self._runs: list[tuple[int, int]] = []  # of the last decision, in rows of the whole stream

    def step(self, features: Features, *, over: bool = False) -> tuple[Told, ...]:
        """The events to report now.

        Args:
            features: the last `keeps_s` at least, or all there are; each time more of the same.
            over: whether these are the last features.
        """
        if not len(features):
            return ()
        now = float(features.times[-1]) + 1 / features.rate
        before, self._fixed_s = self._fixed_s, max(self._fixed_s, self._fixed(features, now, over))
        recent = self._cut(features)
        self.scores = None
        found: tuple[Expression, ...] = ()
        if recent.valid.any():
            self.scores, found = self._spotter.decide(recent)
        # Labels are read off these features.
        return tuple(self._changes(recent, found, before, inf if over else now - TELLS_S))

    def _fixed(self, features: Features, now: float, over: bool) -> float:
        """Up to when all that is said stays; remembers the runs."""
        rate, first = features.rate, round(float(features.times[0]) * features.rate)
        found = [(first + begin, first + end) for begin, end in runs(features.valid)]
        if found and found[0][0] == first:
            began = next((b for b, e in self._runs if b <= first < e), first)
            found[0] = began, found[0][1]
        self._runs = found
        if over:
            return inf
        fixed = now - self.settles_s
        if found:
            begin, end = found[-1]
            goes_on = end / rate > now - _OVER_S
            if goes_on and (end - begin) / rate < self._known_s:
                fixed = min(fixed, begin / rate)
        return fixed

    def _cut(self, features: Features) -> Features:
        """What a decision needs alone, and whole seconds less of a run whose begin is not in it.

        So it has one of few lengths once a run is long: for each length that a network has not seen
        before, torch's library makes code that it keeps, a megabyte.
        """
        rate, first = features.rate, round(float(features.times[0]) * features.rate)
        least = first + len(features) - ceil(self.keeps_s * rate)
        begin = max(first, least)
        run = next((run for run in self._runs if run[0] < begin < run[1]), None)
        if run is not None:
            hold = max(1, round(HOLD_S * rate))
            begin = run[0] + (begin - run[0]) // hold * hold
            begin += hold if begin < first else 0
        count = begin - first
        return replace(features, **{name: getattr(features, name)[count:] for name in _ROWS})

    def _changes(
        self, features: Features, found: tuple[Expression, ...], before: float, until: float
    ) -> Iterator[Told]:
        """The changes; new expressions that end after `until` are not reported yet."""
        pairs = self._paired(found)
        for number in [number for number in self._open if number not in pairs.values()]:
            yield Told("withdrawn", number, self._open.pop(number))
        self._final = [e for e in self._final if e.offset_s > before - LONGEST_S]
        done = list(self._final)
        for k, e in enumerate(found):
            known = self._open.get(pairs.get(k, 0))
            if e.offset_s > until or (known is None and e.offset_s <= before):
                continue
            final = e.offset_s <= self._fixed_s
            event: Happening = "final" if final else "provisional" if known is None else "revised"
            if known is None:
                if any(e.interval.iou(other.interval) > _SAME_IOU for other in done):
                    continue
                self._count += 1
            elif not final and (e.kind, e.moment) == (known.kind, known.moment):
                continue
            number = pairs.get(k, self._count)
            (named,) = self._spotter.named(features, (e,))
            self._open[number] = named
            if final:
                self._final.append(self._open.pop(number))
            yield Told(event, number, named)

    def _paired(self, found: tuple[Expression, ...]) -> dict[int, int]:
        """Which of those found is which of those that were told: the most alike first."""
        alike = [
            (e.kind == told.kind, e.interval.iou(told.interval), k, number)
            for k, e in enumerate(found)
            for number, told in self._open.items()
        ]
        pairs: dict[int, int] = {}
        for _, share, k, number in sorted(alike, key=lambda pair: (-pair[1], not pair[0])):
            if share > _SAME_IOU and k not in pairs and number not in pairs.values():
                pairs[k] = number
        return pairs
