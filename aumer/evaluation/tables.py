"""Files of predictions and truths: CSV in three layouts, and JSON.

Layouts of a CSV, known by its header:

- ours: video, kind (micro, macro), onset, offset, and if wanted subject, apex, score, label;
- MEGC's submission: vid, pred_onset, pred_offset, type (me, mae);
- AUW-GCN's tables: subject, video_name, start_frame, apex_frame, end_frame, type_idx (1 macro, 2
  micro), au. Here an offset of 0 is missing.

A list of videos is a CSV with the columns video and, if wanted, subject and fps. JSON is
``{"rows": [...]}`` with the names of our columns, and for predictions also what ``aumer spot``
writes. Intervals are closed; a half-open file is read as it is and scored with open ends.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from aumer.errors import UsageError, did_you_mean
from aumer.evaluation.rows import Prediction, Truth, Video
from aumer.files import StrPath, atomic_write
from aumer.types import Kind

Row = TypeVar("Row", Prediction, Truth)

#: Our columns, in the order in which they are written.
COLUMNS = ("subject", "video", "kind", "onset", "offset", "apex", "score", "label")

#: What ``aumer spot`` writes beside them.
_SPOT_COLUMNS = (
    *("onset_s", "apex_s", "offset_s", "duration_s", "probs", "face"),
    *("peak", "duration_sd_s", "duration_bias_s", "micro_max_s", "micro_probability", "limit"),
    "spotter",
)

_KINDS: Mapping[str, Kind] = {
    "micro": "micro",
    "macro": "macro",
    "me": "micro",
    "mae": "macro",
    "2": "micro",
    "1": "macro",
}


@dataclass(frozen=True)
class _Layout:
    """Names of a layout's columns -> ours (`None`: read over)."""

    needs: Mapping[str, str]
    may: Mapping[str, str | None]
    zero_is_missing: bool = False


_OURS = _Layout(
    {name: name for name in ("video", "kind", "onset", "offset")},
    {
        **{name: name for name in ("subject", "apex", "score", "label")},
        **dict.fromkeys(_SPOT_COLUMNS),
    },
)
_MEGC = _Layout(
    {"vid": "video", "pred_onset": "onset", "pred_offset": "offset", "type": "kind"},
    {name: name for name in ("subject", "score", "label")},
)
_AUWGCN = _Layout(
    {"video_name": "video", "start_frame": "onset", "end_frame": "offset", "type_idx": "kind"},
    {"subject": "subject", "apex_frame": "apex", "score": "score", "au": None},
    zero_is_missing=True,
)
_VIDEO_LIST = _Layout({"video": "video"}, {"subject": "subject", "fps": "fps"})
_LAYOUTS = (_OURS, _MEGC, _AUWGCN)


def read_predictions(
    path: StrPath, *, first_frame: int = 0, videos: Iterable[Video] | None = None
) -> list[Prediction]:
    """The predictions of a CSV or JSON file, in its order.

    Args:
        first_frame: what the file calls the first frame; 1 is subtracted from a file that counts
            from 1.
        videos: where the file has no column subject, a video's subject is looked up here; without
            them it is the part of the video's name before the first "/" or "_".

    Raises:
        UsageError: unreadable, empty header, unknown or missing column, or a cell that is not what
            its column holds; with file, line and column.
    """
    lookup = None if videos is None else Subjects(videos)
    return [
        p if p.subject else replace(p, subject=_subject(p.video, path, p.row, lookup))
        for p in _rows(path, _prediction, first_frame, spots=True)
    ]


def read_truths(
    path: StrPath, *, first_frame: int = 0, videos: Iterable[Video] | None = None
) -> list[Truth]:
    """The truths of a CSV or JSON file, in its order; as `read_predictions`.

    An empty offset or apex is missing, and so is an offset of 0 in AUW-GCN's layout.
    """
    lookup = None if videos is None else Subjects(videos)
    return [
        t if t.subject else replace(t, subject=_subject(t.video, path, t.row, lookup))
        for t in _rows(path, _truth, first_frame, spots=False)
    ]


def read_videos(path: StrPath, *, subjects: Iterable[Truth] = ()) -> list[Video]:
    """The list of evaluated videos: a CSV with the columns video and, if wanted, subject and fps.

    Args:
        subjects: truths that say whose a video is where the list has no column subject.

    Raises:
        UsageError: as for `read_predictions`, or a video that is listed twice.
    """
    owners = {t.video: t.subject for t in subjects}
    found: dict[tuple[str, str], Video] = {}
    for line, cells in _csv(path, [_VIDEO_LIST])[1]:
        at = _Cells(path, line, cells)
        name, fps = at.text("video"), at.number("fps", None)
        if fps is not None and fps <= 0:
            at.fail("fps", "a number above 0")
        owner = cells.get("subject") or owners.get(name) or _prefix(name)
        video = Video(owner, name, fps)
        if video.key in found:
            raise UsageError(f"{path}, line {line}: video {name!r} is listed twice")
        found[video.key] = video
    return list(found.values())


def csv_text(rows: Iterable[Prediction | Truth]) -> str:
    """Rows in our layout; what is missing is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for r in rows:
        score = repr(r.score) if isinstance(r, Prediction) else ""
        writer.writerow([r.subject, r.video, r.kind, r.onset, r.offset, r.apex, score, r.label])
    return text.getvalue()


def write_csv(
    path: StrPath, rows: Iterable[Prediction | Truth], *, overwrite: bool = False
) -> None:
    """Write rows in our layout; they read back the same.

    Raises:
        UsageError: see `aumer.files.atomic_write`.
    """
    atomic_write(path, csv_text(rows), overwrite=overwrite)


def as_dicts(rows: Iterable[Prediction | Truth]) -> list[dict[str, Any]]:
    """What JSON files hold under "rows"; other names beside it are read over."""
    return [{name: getattr(r, name, None) for name in COLUMNS} for r in rows]


# -- rows -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cells:
    """The cells of one line by our names, read strictly."""

    path: StrPath
    line: int
    cells: Mapping[str, str]
    zero_is_missing: bool = False

    def fail(self, column: str, expected: str) -> Any:
        raise UsageError(
            f"{self.path}, line {self.line}, column {column}: must be {expected}; found "
            f"{self.cells.get(column, '')!r}"
        )

    def text(self, column: str) -> str:
        found = self.cells.get(column, "")
        return found or str(self.fail(column, "a name"))

    def kind(self) -> Kind:
        found = self.cells["kind"].lower()
        return _KINDS[found] if found in _KINDS else self.fail("kind", "micro (me) or macro (mae)")

    def frame(self, column: str, first: int) -> int:
        found = self.cells.get(column, "")
        if not re.fullmatch(r"[+-]?\d+", found):
            self.fail(column, "a whole number of frames")
        return int(found) - first

    def frame_or_none(self, column: str, first: int) -> int | None:
        found = self.cells.get(column, "")
        missing = not found or (self.zero_is_missing and column == "offset" and found == "0")
        return None if missing else self.frame(column, first)

    def number(self, column: str, default: float | None) -> float | None:
        found = self.cells.get(column, "")
        if not found:
            return default
        try:
            value = float(found)
        except ValueError:
            value = math.nan
        return value if math.isfinite(value) else float(self.fail(column, "a finite number"))


def _prediction(at: _Cells, first: int) -> Prediction:
    score = at.number("score", 1.0)
    return Prediction(
        at.cells.get("subject", ""),
        at.text("video"),
        at.kind(),
        at.frame("onset", first),
        at.frame("offset", first),
        at.frame_or_none("apex", first),
        1.0 if score is None else score,
        at.cells.get("label", ""),
        at.line,
    )


def _truth(at: _Cells, first: int) -> Truth:
    return Truth(
        at.cells.get("subject", ""),
        at.text("video"),
        at.kind(),
        at.frame("onset", first),
        at.frame_or_none("offset", first),
        at.frame_or_none("apex", first),
        at.cells.get("label", ""),
        at.line,
    )


def _rows(
    path: StrPath, make: Callable[[_Cells, int], Row], first: int, *, spots: bool
) -> Iterator[Row]:
    if first not in (0, 1):
        raise UsageError(f"frames are counted from 0 or from 1; found first_frame={first}")
    layout, lines = (
        _json(path, spots) if Path(path).suffix.lower() == ".json" else _csv(path, _LAYOUTS)
    )
    for line, cells in lines:
        try:
            yield make(_Cells(path, line, cells, layout.zero_is_missing), first)
        except UsageError:
            raise
        except ValueError as error:
            raise UsageError(f"{path}, line {line}: {error}") from error


def _text(path: StrPath) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no UTF-8 text: {error}") from error


def _csv(
    path: StrPath, layouts: Iterable[_Layout]
) -> tuple[_Layout, list[tuple[int, dict[str, str]]]]:
    """The layout that the header shows, and (line, cells by our names) of every row."""
    layouts = list(layouts)
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not any(header):
            raise UsageError(f"{path} is empty; its first line must name the columns")
        layout = max(layouts, key=lambda one: len(set(one.needs) & set(header)))
        names = {**layout.needs, **layout.may}
        for name in layout.needs:
            if name not in header:
                raise UsageError(
                    f"{path}, line 1: no column {name!r}; needed are {', '.join(layout.needs)}; "
                    f"found {', '.join(header)}"
                )
        for name in header:
            if name not in names:
                raise UsageError(
                    f"{path}, line 1: unknown column {name!r}; allowed are {', '.join(names)}."
                    + did_you_mean(name, names)
                )
        twice = [name for name, n in Counter(header).items() if n > 1]
        if twice:
            raise UsageError(f"{path}, line 1: column {twice[0]!r} is there twice")
        found = []
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise UsageError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells where the header has "
                    f"{len(header)}"
                )
            ours = ((names[name], cell.strip()) for name, cell in zip(header, cells, strict=True))
            found.append((reader.line_num, {name: cell for name, cell in ours if name}))
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: no CSV: {error}") from error
    return layout, found


def _json(path: StrPath, spots: bool) -> tuple[_Layout, list[tuple[int, dict[str, str]]]]:
    """As `_csv`; a row's line is its place in the list, from 1."""
    try:
        document = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{path}, line {error.lineno}, column {error.colno}: no JSON: {error.msg}"
        ) from error
    video = None
    if isinstance(document, dict) and spots and "expressions" in document:
        rows, name = document["expressions"], "expressions"
        video = document["video"].get("name") if isinstance(document.get("video"), dict) else None
    else:
        rows, name = (document.get("rows") if isinstance(document, dict) else None), "rows"
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path}: needs an object with a list {name!r} of objects")
    found = []
    for place, row in enumerate(rows, start=1):
        cells = {k: "" if v is None else str(v) for k, v in row.items() if not isinstance(v, dict)}
        if video is not None:
            cells.setdefault("video", video)
        missing = [column for column in _OURS.needs if column not in cells]
        if missing:
            raise UsageError(f"{path}, {name}[{place - 1}]: {missing[0]!r} is missing")
        unknown = [column for column in cells if column not in {**_OURS.needs, **_OURS.may}]
        if unknown:
            raise UsageError(f"{path}, {name}[{place - 1}]: unknown name {unknown[0]!r}")
        found.append((place, cells))
    return _OURS, found


# -- subjects -------------------------------------------------------------------------------------


class Subjects:
    """Whose a video is, where its name is that of one video only."""

    def __init__(self, videos: Iterable[Video]) -> None:
        self._of: dict[str, set[str]] = {}
        for video in videos:
            self._of.setdefault(video.name, set()).add(video.subject)

    def of(self, video: str) -> str | None:
        """The subject, `None` where no video is called so.

        Raises:
            UsageError: several subjects have a video of that name.
        """
        found = self._of.get(video, set())
        if len(found) > 1:
            raise UsageError(
                f"subjects {', '.join(sorted(found))} each have a video {video!r}; the file needs "
                "a column subject"
            )
        return next(iter(found), None)

    def whose(self, video: str) -> str:
        """The subject: as `of`, or the part of the video's name before the first "/" or "_".

        Raises:
            UsageError: as `of`.
        """
        # Not found: `rows.prepare` says so, and names the nearest.
        return self.of(video) or _prefix(video)


def _subject(video: str, path: StrPath, line: int, lookup: Subjects | None) -> str:
    if lookup is None:
        return _prefix(video)
    try:
        return lookup.whose(video)
    except UsageError as error:
        raise UsageError(f"{path}, line {line}: {error}") from None


def _prefix(video: str) -> str:
    return re.split(r"[/_]", video, maxsplit=1)[0] or video
