"""What a live run tells, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from aumer.types import KINDS, Expression, FloatArray, Frame, Kind, TimeArray

#: A new expression; one told before with other frames or of another kind; one that is none after
#: all; and one that stays as it is.
Happening = Literal["provisional", "revised", "withdrawn", "final"]
HAPPENINGS: tuple[Happening, ...] = get_args(Happening)


@dataclass(frozen=True)
class LiveEvent:
    """One thing that is told of one expression.

    Attributes:
        event: "provisional", then any number of "revised", then "withdrawn" or "final"; after
            either of these nothing is told of it any more. One that is known late comes as "final"
            alone.
        id: the expression's number, from 1, in the order in which they are first told.
        expression: as it is seen now; of one that is withdrawn, as it was told last.
        at_s: time in the source, in seconds, up to which it was seen when this was told.
        delay_s: seconds from the expression's offset to the telling: by the clock where the source
            goes on by the clock, else of the source's own time.

    Example:
        >>> with aumer.live("interview.mp4", model="rules") as live:
        ...     for event in live:
        ...         print(event.event, event.expression.kind)
        provisional macro
        final macro
    """

    event: Happening
    id: int
    expression: Expression
    at_s: float
    delay_s: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them: what `aumer live` writes in a line."""
        e = self.expression
        said: dict[str, Any] = {
            "event": self.event,
            "id": self.id,
            "kind": e.kind,
            "onset": e.onset,
            "apex": e.apex,
            "offset": e.offset,
            "onset_s": round(e.onset_s, 6),
            "apex_s": round(e.apex_s, 6),
            "offset_s": round(e.offset_s, 6),
            "score": round(e.score, 4),
        }
        if e.label is not None:
            said["label"] = e.label
        if e.probs is not None:
            said["probs"] = {name: round(share, 4) for name, share in e.probs.items()}
        return {**said, "at_s": round(self.at_s, 3), "delay_s": round(self.delay_s, 3)}


@dataclass(frozen=True, eq=False)
class LiveStep:
    """What is known at one moment of a live run, for whoever shows it.

    Attributes:
        frame: that was seen last.
        box: (4,) px of the face in it; `None` where it is not seen.
        events: what is told now.
        curve: the spotter's score for an expression of either kind, in [0, 1], for the last
            seconds; NaN where no motion is known. `times` are its seconds.
        lag_s: how much later than it was due the frame had been analyzed; 0 of a source that does
            not go on by the clock.
        analyzed, dropped: frames so far; dropped are those for which there was no time.
    """

    frame: Frame
    box: FloatArray | None
    events: tuple[LiveEvent, ...]
    times: TimeArray
    curve: FloatArray
    lag_s: float
    analyzed: int
    dropped: int


@dataclass
class LiveSummary:
    """What a live run came to, so far.

    Attributes:
        name, spotter: what was watched, and by which spotter.
        tells_s, settles_s: seconds after an offset when it is told first, and when it is final, of
            the source's time.
        seconds: of the source.
        analyzed, dropped: frames; dropped are those for which there was no time.
        seen: of the analyzed frames, those with a usable face.
        told: how many events of each name.
        found: how many expressions of each kind are final.
        delays_s: of the last ten thousand first tellings.
        recording: where the recording lies, once the run is over.
        notes: what was warned of.
    """

    name: str
    spotter: str
    tells_s: float
    settles_s: float
    seconds: float = 0.0
    analyzed: int = 0
    dropped: int = 0
    seen: int = 0
    told: dict[Happening, int] = field(default_factory=lambda: dict.fromkeys(HAPPENINGS, 0))
    found: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    delays_s: list[float] = field(default_factory=list)
    recording: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the analyzed frames with a usable face."""
        return self.seen / self.analyzed if self.analyzed else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them: the last line of `aumer live`."""
        delays = np.array(self.delays_s)
        return {
            "seconds": round(self.seconds, 3),
            "frames": self.analyzed,
            "dropped": self.dropped,
            "coverage": round(self.coverage, 4),
            **{kind: self.found[kind] for kind in KINDS},
            **{name: self.told[name] for name in HAPPENINGS},
            "delay_s": None
            if not len(delays)
            else {"median": round(float(np.median(delays)), 3), "most": round(delays.max(), 3)},
            "recording": None if self.recording is None else str(self.recording),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        delays = np.array(self.delays_s)
        told = self.told
        parts = [
            f"{self.name}: {self.seconds:.1f} s, {self.analyzed} frames, {self.dropped} dropped, "
            f"a face in {self.coverage:.0%}",
            ", ".join(f"{self.found[kind]} {kind}" for kind in KINDS)
            + f" ({told['revised']} revised, {told['withdrawn']} withdrawn)",
        ]
        if len(delays):
            parts.append(
                f"told {np.median(delays):.2f} s after the offset (median; most {delays.max():.2f})"
            )
        if self.recording is not None:
            parts.append(f"recorded in {self.recording}")
        return "; ".join(parts)


class EventLines:
    """The records of a run's event stream, in order: plain values, as JSON has them."""

    def __init__(self, summary: LiveSummary) -> None:
        self._summary = summary
        self._dropped = 0

    def started(self) -> list[dict[str, Any]]:
        """What comes first."""
        about = self._summary
        return [
            {
                "event": "started",
                "source": about.name,
                "spotter": about.spotter,
                "tells_s": about.tells_s,
                "settles_s": round(about.settles_s, 3),
            }
        ]

    def of(self, step: LiveStep) -> list[dict[str, Any]]:
        """The events of a step, and how many frames were dropped so far where there are more."""
        found = [one.to_dict() for one in step.events]
        if step.dropped > self._dropped:
            self._dropped = step.dropped
            at_s = round(step.frame.time_s, 3)
            found.append({"event": "dropped", "frames": step.dropped, "at_s": at_s})
        return found

    def ended(self) -> list[dict[str, Any]]:
        """What comes last."""
        return [{"event": "ended", **self._summary.to_dict()}]
