"""The truth of a simulated video, in frames and as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from aumer.errors import UsageError
from aumer.files import StrPath, atomic_write
from aumer.simulate.timeline import Event, Timeline
from aumer.tables.cells import csv_lines
from aumer.types import Expression, ImageArray

#: Columns of a truth table: those of aumer's shared ``videos/annotations.csv``. Frames are 0-based
#: and closed; an AU made on one side has an L or R (the subject's) before it; intensity in (0, 1].
TRUTH_COLUMNS = (
    "file", "fps", "n_frames", "event", "onset", "apex", "offset", "kind", "au", "confidence",
    "note", "onset_s", "apex_s", "release_s", "offset_s", "intensity",
)  # fmt: skip
#: One more column, if known: displacement of the ROI that moves furthest, in outer-eye distances.
DISPLACEMENT = "displacement"


@dataclass(frozen=True, eq=False)
class Shot:
    """A video to write: its truth, and its frames on request.

    Attributes:
        fps, size: frames per second; width and height, px.
        frames: starts a pass over its `frame_count` (H, W, 3) uint8 RGB frames.
        displacements: at each event's apex, displacement of the ROI that moves furthest, in
            outer-eye distances; `None` if unknown.
        note: the note on the video in the truth.
    """

    timeline: Timeline
    fps: float
    size: tuple[int, int]
    frames: Callable[[], Iterator[ImageArray]]
    displacements: tuple[float, ...] | None = None
    note: str = "simulated"

    @property
    def count(self) -> int:
        """Frames of the film."""
        return frame_count(self.timeline, self.fps)


def frame_count(timeline: Timeline, fps: float) -> int:
    """Frames of a film of `timeline`.

    Raises:
        UsageError: `fps` is not positive, or there would be no frame.
    """
    if not 0 < fps < math.inf:
        raise UsageError(f"fps must be > 0; found {fps}")
    count = round(timeline.duration_s * fps)
    if count < 1:
        raise UsageError(f"{timeline.duration_s:g} s at {fps:g} frames per second hold no frame")
    return count


def truth(timeline: Timeline, fps: float) -> tuple[Expression, ...]:
    """The expressions of a video at `fps` up to its last frame."""
    last = frame_count(timeline, fps) - 1
    return tuple(
        replace(e, **{name: min(getattr(e, name), last) for name in ("onset", "apex", "offset")})
        for e in timeline.expressions(fps)
    )


def write_truth(
    path: StrPath, timeline: Timeline, fps: float, *, file: str, overwrite: bool = False
) -> None:
    """Write the truth of one film as CSV with `TRUTH_COLUMNS`; `file` is the film's name.

    A film without expressions gets one row of kind ``none``, as in annotations.csv.

    Raises:
        UsageError: the file exists, or cannot be written.
    """
    shot = Shot(timeline, fps, (0, 0), lambda: iter(()))
    write_truths(path, {file: shot}, overwrite=overwrite)


def write_truths(path: StrPath, shots: Mapping[str, Shot], *, overwrite: bool = False) -> None:
    """Write the truth of films by name as one CSV; see `write_truth`.

    It has a column `DISPLACEMENT`, too, if that is known for every video.
    """
    measured = bool(shots) and all(shot.displacements is not None for shot in shots.values())
    lines: list[tuple[object, ...]] = [(*TRUTH_COLUMNS, *([DISPLACEMENT] if measured else []))]
    for file, shot in shots.items():
        for row, reach in zip(_truth_rows(file, shot), _reaches(shot), strict=True):
            lines.append((*row, *([reach] if measured else [])))
    atomic_write(path, csv_lines(lines), overwrite=overwrite)


def _truth_rows(file: str, shot: Shot) -> Iterator[tuple[object, ...]]:
    timeline, fps = shot.timeline, shot.fps
    head = (file, f"{fps:.6g}", shot.count)
    for number, (seen, event) in enumerate(zip(truth(timeline, fps), timeline.events, strict=True)):
        seconds = (f"{getattr(event, name):.6f}" for name in TRUTH_COLUMNS[11:15])
        frames = (seen.onset, seen.apex, seen.offset)
        yield (
            *head, number + 1, *frames, event.kind, au_text(event), "high", shot.note, *seconds,
            f"{event.intensity:.6f}",
        )  # fmt: skip
    if not timeline.events:
        yield (*head, 0, "", "", "", "none", "", "high", shot.note, "", "", "", "", "")


def _reaches(shot: Shot) -> list[str]:
    """The cell of `DISPLACEMENT` for each of `_truth_rows`."""
    if not shot.timeline.events or shot.displacements is None:
        return [""] * max(1, len(shot.timeline.events))
    return [f"{reach:.6f}" for reach in shot.displacements]


def au_text(event: Event) -> str:
    """Action units in coders' notation: ``6+L12``."""
    side = {"both": "", "left": "L", "right": "R"}
    return "+".join(f"{side[where]}{au}" for au, where in event.aus)
