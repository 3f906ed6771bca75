"""Tables of real expressions for statistics and replay.

`aumer.data` reads them as data sets and corrects their faults; here they are read unchanged.
"""

from __future__ import annotations

import re

from aumer.files import StrPath
from aumer.tables import intervals
from aumer.types import Annotation


def read_table(path: StrPath, *, fps: float | None = None) -> list[Annotation]:
    """The expressions of any table that `aumer.tables.intervals` reads, AUW-GCN's among them.

    An offset that is not after the onset (such as 0) is missing, as is an apex below 0; an onset
    before the video becomes its first frame. An empty apex becomes the middle of the interval.

    Args:
        fps: frame rate, for a table in seconds.

    Raises:
        UsageError: the file is missing, has no rows, lacks a column or has an invalid value.
    """
    table = intervals.read(path, optional=("offset",), negative=True, rows_needed=True)
    table.log_notes()
    rows = []
    for row in table:
        if (kind := row.expression) is None:
            continue
        onset, apex, offset = table.in_frames(row, fps=fps)
        if offset is not None and offset <= onset:
            offset = None
        if apex is None:
            if offset is None:
                raise table.error(row, "offset", "neither apex nor offset is given; one must be")
            apex = (onset + offset) // 2
        onset = max(0, onset)
        apex_or_none = apex if apex >= 0 else None
        rows.append(
            Annotation(
                row.subject, row.video, kind, onset, apex_or_none, offset, row.aus, row=row.line
            )
        )
    return rows


def read_lengths(path: StrPath) -> dict[str, int]:
    """Frames by video from a list of CAS(ME)^2's: columns video and n_frames (or frame_num).

    A video is named by its folder, with or without the parent folders:
    ``.../s15/15_0401girlcrashing`` is "casme_015_0401" of the table of intervals.

    Raises:
        UsageError: the file is missing, has no rows or lacks a column.
    """
    table = intervals.read(path, only=("video", "frames"), rows_needed=True)
    lengths = {}
    for row in table:
        name = re.match(r"(\d+)_(\d{4})", row.video.rpartition("/")[2])
        if not name or row.frames is None:
            problem = "needs columns video (such as 15_0401girlcrashing) and n_frames"
            raise table.error(row, "frames" if name else "video", problem)
        lengths[f"casme_{int(name[1]):03d}_{name[2]}"] = row.frames
    return lengths
