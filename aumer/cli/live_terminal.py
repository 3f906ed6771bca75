"""The terminal view of a live run: state, amount of motion, and the last expressions."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import numpy as np

from aumer.types import Expression

if TYPE_CHECKING:
    from typing_extensions import Self

    from aumer.streaming.events import Happening, LiveStep
    from aumer.streaming.live import Live

#: Number of expressions shown.
_LAST = 8
#: Characters from little to much motion.
_BLOCKS, _PLAIN = " ▁▂▃▄▅▆▇█", " .:-=+*#@"


class TerminalView:
    """Redraws in place; the last view remains on the screen."""

    def __init__(self, run: Live) -> None:
        self._run = run
        self._told: dict[int, tuple[Happening, Expression]] = {}
        self._height = 0
        self._marks = _BLOCKS if _can_write(_BLOCKS) else _PLAIN

    def __enter__(self) -> Self:
        self._direct("\x1b[?25l")  # hide the cursor
        return self

    def __exit__(self, *_: object) -> None:
        self._direct("\x1b[?25h")

    def show(self, step: LiveStep) -> None:
        """Draw the present state."""
        for one in step.events:
            self._told.pop(one.id, None)
            if one.event != "withdrawn":
                self._told[one.id] = one.event, one.expression
        for id in list(self._told)[:-_LAST]:
            del self._told[id]
        width = shutil.get_terminal_size().columns - 1
        lines = [line[:width].ljust(width) for line in self._lines(step, width)]
        up = f"\x1b[{self._height}A" if self._height else ""
        self._direct(f"\r{up}" + "\n".join(f"{line}\x1b[K" for line in lines) + "\n\x1b[J")
        self._height = len(lines)

    def _lines(self, step: LiveStep, width: int) -> list[str]:
        summary, time_s = self._run.summary, step.frame.time_s
        rate = step.analyzed / time_s if time_s else 0.0
        late = f"  {step.lag_s:.2f} s late" if step.lag_s > 0 else ""
        face = "face seen" if step.box is not None else "NO FACE"
        head = (
            f"{summary.name}  {_clock(time_s)}  {rate:.1f} frames/s  {step.dropped} dropped{late}  "
            f"{face}"
        )
        return [head, f"|{self._curve(step, min(width, 100) - 2)}|", *self._expressions()]

    def _curve(self, step: LiveStep, width: int) -> str:
        """The last ten seconds, with the maximum in each column; blank without motion data."""
        parts = np.array_split(step.curve, width) if len(step.curve) else []
        known = [part[np.isfinite(part)] for part in parts]
        most = len(self._marks) - 2
        return "".join(
            self._marks[1 + round(most * min(1.0, float(part.max())))] if len(part) else " "
            for part in known
        ).rjust(width)

    def _expressions(self) -> list[str]:
        found = []
        for id, (event, e) in sorted(self._told.items(), reverse=True):
            label = f"  {e.label}" if e.label else ""
            sure = "" if event == "final" else "  ..."
            found.append(
                f"{id:5}  {e.kind}  {e.onset_s:9.2f} to {e.offset_s:.2f} s  "
                f"{e.duration_s:.2f} s long  {e.score:.2f}{label}{sure}"
            )
        return found

    def _direct(self, text: str) -> None:
        # Not by the console, which removes control characters; names are already cleaned.
        sys.stdout.write(text)
        sys.stdout.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _can_write(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
