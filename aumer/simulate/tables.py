"""Tables of real expressions that are counted or replayed.

`aumer.data` reads them as data sets, with their faults; here they are taken as they stand.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from aumer.errors import UsageError
from aumer.files import StrPath
from aumer.types import Annotation, Kind

_KINDS: dict[str, Kind] = {"1": "macro", "2": "micro"}


def read_table(path: StrPath) -> list[Annotation]:
    """A table in the layout of AUW-GCN's: video_name, start_frame, apex_frame, end_frame, type_idx
    (1 macro, 2 micro) and au; subject where there is one.

    An offset that is not behind the onset (such as 0) is missing, as is an apex below 0; an onset
    before the video is its first frame.

    Raises:
        UsageError: the file is missing, has no rows, lacks a column or holds something else.
    """
    rows = []
    for number, r in enumerate(rows_of(path), start=2):
        try:
            onset, apex, end = (int(r[k]) for k in ("start_frame", "apex_frame", "end_frame"))
            onset = max(0, onset)
            rows.append(
                Annotation(
                    r.get("subject") or "",
                    r["video_name"],
                    _KINDS[r["type_idx"]],
                    onset,
                    apex if apex >= 0 else None,
                    end if end > onset else None,
                    r["au"] or "",
                    row=number,
                )
            )
        except (KeyError, ValueError, TypeError) as error:
            raise UsageError(
                f"{path}, line {number}: needs video_name, start_frame, apex_frame, end_frame "
                f"(whole numbers), type_idx (1 or 2) and au; {type(error).__name__}: {error}"
            ) from error
    return rows


def read_lengths(path: StrPath) -> dict[str, int]:
    """Frames by video from a list of CAS(ME)^2's: columns video and n_frames (or frame_num).

    A video is named as its folder is, with or without the folders above it:
    ``.../s15/15_0401girlcrashing`` is "casme_015_0401" of the table of intervals.

    Raises:
        UsageError: the file is missing, has no rows or lacks a column.
    """
    lengths = {}
    for r in rows_of(path):
        name = re.match(r"(\d+)_(\d{4})", (r.get("video") or "").rpartition("/")[2])
        count = r.get("n_frames") or r.get("frame_num") or ""
        if not name or not count.isdigit():
            raise UsageError(
                f"{path}: needs columns video (such as 15_0401girlcrashing) and n_frames"
            )
        lengths[f"casme_{int(name[1]):03d}_{name[2]}"] = int(count)
    return lengths


def rows_of(path: StrPath) -> list[dict[str, str]]:
    """The rows of a CSV file by column.

    Raises:
        UsageError: it cannot be read, or has none.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UsageError(f"cannot read the table {path}: {error.strerror}") from error
    if not rows:
        raise UsageError(f"the table {path} has no rows")
    return rows
