"""The timeline of a simulated face: events with onset, apex, release and offset, in seconds.

An event rises from onset to apex as a raised cosine, fades slightly until its release (muscles
tire: the apex is the maximum), and relaxes as a raised cosine until its offset. Outside it is
exactly 0, so the truth is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aumer._moved import moved
from aumer.arguments import number
from aumer.config import DAY_S
from aumer.errors import UsageError
from aumer.simulate import amplitude
from aumer.simulate.anatomy import Action, check_actions
from aumer.simulate.statistics import Statistics, actions_of, load
from aumer.types import KINDS, Annotation, Expression, Kind

Signal = npt.NDArray[np.float64]

#: A held expression fades by this share of its intensity per second, up to a tenth of it. An
#: assumption: enough to make the apex the maximum, too little to look like a release.
FADE_PER_S, FADE = 0.2, 0.1
#: Seconds from release to offset. The plateaus noted in the shared videos' annotations.csv leave
#: .50, .13, .32, .33, .23 and .13 s; drawn log-uniformly in that range.
RELAXATION_S = (0.13, 0.50)
#: Least seconds between two expressions that are not nested: one frame at 30 fps.
REST_S = 0.034
#: Largest allowed number of expressions per minute; a face has no time for a tenth of it.
_BUSIEST = 1000.0
#: Longest duration of a micro-expression, in seconds.
MICRO_S = 0.5
#: Action units of the upper half of a face: brows and lids. Those of the cheek (6) and of the root
#: of the nose (9) move parts of both halves, and combine with either.
UPPER, BETWEEN = frozenset((1, 2, 4, 5, 7, 43, 45)), frozenset((6, 9))


@dataclass(frozen=True)
class Event:
    """One expression: actions, times (seconds) and `intensity` in (0, 1].

    Raises:
        UsageError: unknown kind, AU or side; onset < apex <= release < offset violated; an
            intensity outside (0, 1]. The apex may equal the onset or the offset, as in some tables.
    """

    kind: Kind
    aus: tuple[Action, ...]
    onset_s: float
    apex_s: float
    release_s: float
    offset_s: float
    intensity: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"kind must be one of {', '.join(KINDS)}; found {self.kind!r}")
        check_actions(self.aus)
        if not (
            0 <= self.onset_s <= self.apex_s <= self.release_s <= self.offset_s
            and self.onset_s < self.offset_s
        ):
            raise UsageError(
                "an event needs 0 <= onset_s <= apex_s <= release_s <= offset_s and "
                f"onset_s < offset_s; found {self.onset_s}, {self.apex_s}, {self.release_s}, "
                f"{self.offset_s}"
            )
        if not 0 < self.intensity <= 1:
            raise UsageError(f"intensity must lie in (0, 1]; found {self.intensity}")

    def level(self, t: Signal) -> Signal:
        """Intensity at the times t (any shape, seconds): in [0, intensity], 0 outside."""
        t = np.asarray(t, np.float64)
        rise = _eased(t - self.onset_s, self.apex_s - self.onset_s)
        fade = _eased(t - self.apex_s, self.release_s - self.apex_s)
        fall = _eased(self.offset_s - t, self.offset_s - self.release_s)
        inside = (t >= self.onset_s) & (t <= self.offset_s)
        lost = min(FADE, FADE_PER_S * (self.release_s - self.apex_s))
        held = self.intensity * (1 - lost * fade)
        return np.where(inside, held * rise * fall, 0.0)


@dataclass(frozen=True)
class Timeline:
    """All events of one performance of `duration_s` seconds, in order of onset.

    Raises:
        UsageError: the duration is not positive, or an event ends after it.
    """

    duration_s: float
    events: tuple[Event, ...]

    def __post_init__(self) -> None:
        if not self.duration_s > 0:
            raise UsageError(f"duration_s must be > 0 seconds; found {self.duration_s}")
        late = [e.offset_s for e in self.events if e.offset_s > self.duration_s]
        if late:
            raise UsageError(
                f"events must end within the timeline, which lasts {self.duration_s} s; found "
                "one that "
                f"ends at {max(late)} s"
            )

    def scaled(self, strength: float) -> Timeline:
        """The same with every intensity multiplied by `strength`, at most 1.

        Raises:
            UsageError: the strength is not positive.
        """
        if not 0 < strength < math.inf:
            raise UsageError(f"strength must be > 0; found {strength}")
        events = (replace(e, intensity=min(1.0, strength * e.intensity)) for e in self.events)
        return replace(self, events=tuple(events))

    def by_duration(self) -> Timeline:
        """The same with kinds by duration: micro up to `MICRO_S`, else macro."""

        def kind(event: Event) -> Kind:
            return "micro" if event.offset_s - event.onset_s <= MICRO_S + 1e-6 else "macro"

        return replace(self, events=tuple(replace(e, kind=kind(e)) for e in self.events))

    def levels(self, t: Signal) -> dict[Action, Signal]:
        """Intensity of each action at the times t (T,): (T,) each; events add, capped at 1."""
        total: dict[Action, Signal] = {}
        for event in self.events:
            level = event.level(t)
            for action in event.aus:
                total[action] = total.get(action, np.zeros_like(level)) + level
        return {action: np.minimum(level, 1.0) for action, level in total.items()}

    def intensities(self, t: float) -> dict[Action, float]:
        """Intensity of each action that is active at time t (s); events add, capped at 1."""
        total: dict[Action, float] = {}
        for event in self.events:
            if event.onset_s < t < event.offset_s:
                level = float(event.level(np.array(t)))
                for action in event.aus:
                    total[action] = min(1.0, total.get(action, 0.0) + level)
        return total

    def expressions(self, fps: float) -> tuple[Expression, ...]:
        """The truth in frames at `fps`: the frame nearest to each instant, score 1."""
        if not fps > 0:
            raise UsageError(f"fps must be > 0; found {fps}")
        truth = []
        for e in self.events:
            onset, apex, offset = (round(s * fps) for s in (e.onset_s, e.apex_s, e.offset_s))
            truth.append(
                Expression(e.kind, onset, apex, offset, e.onset_s, e.apex_s, e.offset_s, score=1.0)
            )
        return tuple(truth)


def _eased(t: Signal, length: float) -> Signal:
    """Raised cosine from 0 at t = 0 to 1 at t = length; a step where length is 0."""
    if length <= 0:
        return np.where(t >= 0, 1.0, 0.0)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(t / length, 0.0, 1.0)))


def require_drawable(duration_s: float, rate_per_min: float | None, name: str, said: float) -> None:
    """Raise a UsageError if a duration or a rate is out of range.

    Args:
        name, said: the user's name of the duration, and the given value.
    """
    if not 0 < number(name, duration_s) <= DAY_S:
        raise UsageError(f"{name} must be > 0 and a day at most; found {said}")
    if rate_per_min is not None and not 0 < rate_per_min <= _BUSIEST:
        raise UsageError(
            f"rate_per_min must be > 0 expressions per minute, {_BUSIEST:g} at most; found "
            f"{rate_per_min}"
        )


def draw(
    rng: np.random.Generator,
    duration_s: float,
    statistics: Statistics | None = None,
    *,
    rate_per_min: float | None = None,
    held: float | None = None,
) -> Timeline:
    """A random performance with the statistics of the data sets' tables.

    Numbers are Poisson at the tables' rates. A micro-expression is inside a macro-expression as
    often as in the tables, with other AUs; all others are spread uniformly over the time, at least
    `REST_S` apart. A nested one without room is dropped.

    Args:
        statistics: by default those of CAS(ME)^2 and SAMM-LV together.
        rate_per_min: expressions per minute of both kinds together, in the tables' proportion.
        held: share of the micro-expressions that start while a macro-expression is held, in the
            other half of the face and one in each, instead of the tables' share anywhere inside.

    Raises:
        UsageError: a duration or a rate that is not positive, or a share outside [0, 1].
    """
    statistics = statistics or load()
    require_drawable(duration_s, rate_per_min, "duration_s", duration_s)
    if held is not None and not 0 <= held <= 1:
        raise UsageError(
            f"held, the share of micro-expressions that begin while a macro-expression is held, "
            f"must lie in 0 to 1; found {held}"
        )
    usual = sum(k.rate_per_min for k in statistics.kinds.values())
    scale = 1.0 if rate_per_min is None else rate_per_min / usual
    macro, micro = (
        [
            draw_event(rng, kind, statistics)
            for _ in range(
                rng.poisson(duration_s / 60 * scale * statistics.kinds[kind].rate_per_min)
            )
        ]
        for kind in ("macro", "micro")
    )
    room = max((e.offset_s for e in macro), default=0.0)
    share = statistics.nested if held is None else held
    inside = [e for e in micro if e.offset_s < room and rng.random() < share]
    apart = macro + [e for e in micro if all(e is not i for i in inside)]
    hosts = _spread(rng, apart, duration_s)
    events = list(hosts)
    taken: list[Event] = []
    for event in inside:
        macros = [h for h in hosts if h.kind == "macro"]
        if held is None:
            nested = _nested(rng, event, macros, statistics)
        else:
            nested = _while_held(rng, event, [h for h in macros if h not in taken], statistics)
            taken += [h for h in macros if nested and h.onset_s <= nested.onset_s < h.offset_s]
        if nested:
            events.append(nested)
    return Timeline(duration_s, tuple(sorted(events, key=lambda e: (e.onset_s, e.offset_s))))


def draw_event(rng: np.random.Generator, kind: Kind, statistics: Statistics) -> Event:
    """A random event at time 0: combination, duration, share of the rise, and intensity.

    Intensities follow CASME II for micro-expressions, and coded levels for macro-expressions
    (`amplitude`).
    """
    k = statistics.kinds[kind]
    names = list(k.combinations)
    weights = np.array([k.combinations[name] for name in names], np.float64)
    actions = names[rng.choice(len(names), p=weights / weights.sum())]
    rank = rng.random()
    duration = _read(k.duration_s, rank)
    group = k.rise_share[int(rank * len(k.rise_share))]
    share = _read(group, rng.random())
    apex = duration * share
    return Event(
        kind,
        actions,
        0.0,
        apex,
        _release(rng, apex, duration),
        duration,
        amplitude.micro(rng, actions) if kind == "micro" else _graded(rng, k.levels),
    )


def replay(
    rows: Iterable[Annotation],
    fps: float,
    *,
    seed: int = 0,
    lengths: Mapping[str, int] | None = None,
    statistics: Statistics | None = None,
) -> dict[str, Timeline]:
    """The rows of a table as performances by video, with exactly their onsets and offsets.

    A missing offset is 2 apex - onset, as AUW-GCN fills it; an apex outside the interval is moved
    to its nearer end, a missing one is the onset. A row whose code has no action of the simulator
    (gaze, head, jaw sideways) gets actions drawn for its kind.

    Args:
        fps: frame rate of the table.
        seed: for values that are not in a table: intensity, plateau. A video does not depend on
            others.
        lengths: frames by video; other videos end one second after their last expression, but not
            before 36 s (the mean of SAMM-LV).

    Raises:
        UsageError: fps is not positive.
    """
    if not fps > 0:
        raise UsageError(f"fps must be > 0; found {fps}")
    statistics = statistics or load()
    by_video: dict[str, list[Annotation]] = {}
    for row in rows:
        by_video.setdefault(row.video, []).append(row)
    timelines = {}
    for video, own in by_video.items():
        rng = np.random.default_rng([seed, *video.encode()])
        events = [_replayed(rng, row, fps, statistics) for row in own]
        last = max(e.offset_s for e in events)
        known = (lengths or {}).get(video)
        duration = max(last + 1, 36.0) if known is None else max(last, known / fps)
        events.sort(key=lambda e: (e.onset_s, e.offset_s))
        timelines[video] = Timeline(duration, tuple(events))
    return timelines


def _replayed(rng: np.random.Generator, row: Annotation, fps: float, s: Statistics) -> Event:
    onset = row.onset
    peak = onset if row.apex is None else row.apex
    offset = 2 * peak - onset if row.offset is None else row.offset
    offset = max(offset, onset + 1)
    apex = min(max(peak, onset), offset)
    drawn = draw_event(rng, row.kind, s)
    release = _release(rng, apex / fps, offset / fps)
    aus = actions_of(row.aus) or drawn.aus
    return Event(
        row.kind,
        aus,
        onset / fps,
        apex / fps,
        release,
        offset / fps,
        amplitude.micro(rng, aus) if row.kind == "micro" else drawn.intensity,
    )


def _release(rng: np.random.Generator, apex: float, offset: float) -> float:
    relaxation = float(np.exp(rng.uniform(*np.log(RELAXATION_S))))
    return max(apex, offset - relaxation)


def _graded(rng: np.random.Generator, levels: Mapping[str, int]) -> float:
    if not any(levels.values()):  # CAS(ME)^2 has no levels
        levels = load("samm_lv").kinds["macro"].levels
    return amplitude.graded(rng, levels)


def _read(quantiles: Sequence[float], rank: float) -> float:
    return float(np.interp(rank, np.linspace(0, 1, len(quantiles)), quantiles))


def _moved(event: Event, by: float) -> Event:
    return replace(
        event,
        onset_s=event.onset_s + by,
        apex_s=event.apex_s + by,
        release_s=event.release_s + by,
        offset_s=event.offset_s + by,
    )


def _spread(rng: np.random.Generator, events: list[Event], duration_s: float) -> list[Event]:
    """Place events from time 0 on in random order, with the free time split uniformly at random
    between them.
    """
    events = list(events)
    free = duration_s - sum(e.offset_s + REST_S for e in events)
    while events and free < 0:  # too little time: the longest are dropped
        longest = max(events, key=lambda e: e.offset_s)
        events.remove(longest)
        free += longest.offset_s + REST_S
    cuts = np.sort(rng.uniform(0, max(free, 0.0), len(events)))
    placed, used = [], 0.0
    for cut, index in zip(cuts, rng.permutation(len(events)), strict=True):
        placed.append(_moved(events[index], float(cut) + used))
        used += events[index].offset_s + REST_S
    return placed


def _nested(
    rng: np.random.Generator, event: Event, hosts: list[Event], statistics: Statistics
) -> Event | None:
    """The event at a random time inside one of the hosts with room and other AUs."""
    roomy = [h for h in hosts if h.offset_s - h.onset_s > event.offset_s]
    if not roomy:
        return None
    host = roomy[rng.integers(len(roomy))]
    taken = {au for au, _ in host.aus}
    for _ in range(100):
        if not taken & {au for au, _ in event.aus}:
            begin = rng.uniform(host.onset_s, host.offset_s - event.offset_s)
            return _moved(event, float(begin))
        other = draw_event(rng, event.kind, statistics)
        event = replace(event, aus=other.aus, intensity=other.intensity)
    return None


def _while_held(
    rng: np.random.Generator, event: Event, hosts: list[Event], statistics: Statistics
) -> Event | None:
    """The event, moved into the hold of a host that moves only one half of the face, with actions
    of only the other half.
    """
    length = event.offset_s
    able = [h for h in hosts if len(_halves(h)) == 1 and h.apex_s < h.offset_s - length]
    if not able:
        return None
    host = able[rng.integers(len(able))]
    taken = {au for au, _ in host.aus}
    for _ in range(100):
        if len(_halves(event)) == 1 and not (
            _halves(event) & _halves(host) or taken & {au for au, _ in event.aus}
        ):
            begin = rng.uniform(host.apex_s, min(host.release_s, host.offset_s - length))
            return _moved(event, float(begin))
        other = draw_event(rng, event.kind, statistics)
        event = replace(event, aus=other.aus, intensity=other.intensity)
    return None


def _halves(event: Event) -> set[bool]:
    """The halves of the face that an event moves: upper (True), lower (False)."""
    return {au in UPPER for au, _ in event.aus if au not in BETWEEN}


if not TYPE_CHECKING:  # an unknown name stays an error
    _NOW = "aumer.simulate.tables"
    __getattr__ = moved(
        __name__,
        {
            "TableRow": "aumer.types.Annotation, which `replay` takes",
            "read_table": _NOW,
            "read_lengths": _NOW,
        },
    )
