"""Events of a live run, and their text form."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from aumer.types import KINDS, Expression, FloatArray, Frame, Kind, TimeArray

#: A new expression; a change of a reported one; a wrong one that is taken back; and one that will
#: not change any more.
Happening = Literal["provisional", "revised", "withdrawn", "final"]
HAPPENINGS: tuple[Happening, ...] = get_args(Happening)


@dataclass(frozen=True)
class LiveEvent:
    """One report of one expression.

    Attributes:
        event: "provisional", then any number of "revised", then "withdrawn" or "final"; these two
            are the last ones. An expression that is found late is only reported as "final".
        id: number of the expression, from 1, in order of the first report.
        expression: its present state; for "withdrawn" the last reported one.
        at_s: time of the source, in seconds, at this report.
        delay_s: seconds from the expression's offset to this report: by the clock for a real-time
            source, else in the source's time.

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
    """The state of a live run at one moment, for display.

    Attributes:
        frame: the last analyzed frame.
        box: (4,) px of the face in it; `None` if not visible.
        events: new events.
        curve: the spotter's score for an expression of either kind, in [0, 1], for the last
            seconds; NaN without motion. `times` are its seconds.
        lag_s: delay of the frame's analysis; 0 for a source that is not in real time.
        analyzed, dropped: numbers of frames so far; dropped ones could not be analyzed in time.
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
    """Totals of a live run so far.

    Attributes:
        name, spotter: name of the source, and the spotter.
        tells_s, settles_s: seconds from an offset to the first report, and to the final one, in the
            source's time.
        seconds: of the source.
        analyzed, dropped: frames; dropped are those for which there was no time.
        seen: number of analyzed frames with a usable face.
        told: number of events by name.
        found: number of final expressions by kind.
        delays_s: of the last ten thousand first reports.
        recording: path of the recording, after the run.
        notes: warnings of the run.
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
