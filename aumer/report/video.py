"""One video's result as a page that can be mailed, and the index page of a folder."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aumer.files import StrPath, atomic_write
from aumer.report.page import (
    Block,
    Cell,
    Drawing,
    LeftOut,
    Link,
    ListBlock,
    Picture,
    Section,
    TableBlock,
    Text,
    page,
)
from aumer.results.displacement import displacement
from aumer.results.drawing import FACELESS, GROUP_COLORS, KIND_COLORS, png
from aumer.results.formats import Format
from aumer.results.gallery import key_frames
from aumer.results.inputs import InputRow
from aumer.results.plots import plot_timeline, timeline_frames
from aumer.results.spot_result import SpotResult
from aumer.results.totals import Totals, measured_minutes
from aumer.results.units import unit_rows
from aumer.types import Expression, ImageArray, au_text, runs

#: In the head of every index, so that aumer recognizes its own.
INDEX = "aumer:index"

#: Least seconds of motion shown on either side of an expression.
_AROUND_S = 1.0
#: Number of intervals without motion that are listed; the others are counted.
_GAP_S = 0.5
_GAPS = 50


class Html(Format):
    """A self-contained page: expressions with faces, quality, settings, versions."""

    pictures = True
    use = "people"
    holds = "a page that loads nothing: timeline, faces, curves, quality, settings"

    def frames(self, result: SpotResult) -> tuple[int, ...]:
        own = {frame for e in result.expressions for frame in key_frames(e)}
        return tuple(sorted(own | set(timeline_frames(result))))

    def write(
        self,
        result: SpotResult,
        path: StrPath,
        *,
        overwrite: bool = False,
        thumbnails: Mapping[int, ImageArray] | None = None,
    ) -> None:
        atomic_write(path, video_page(result, thumbnails or {}), overwrite=overwrite)


def video_page(result: SpotResult, thumbnails: Mapping[int, ImageArray]) -> str:
    """The page of one video as HTML 5.

    Args:
        thumbnails: frame ordinal -> (h, w, 3) uint8 RGB, see `aumer.results.thumbnails`; without
            them the page shows no face.
    """
    minutes = measured_minutes(result)
    facts = [
        *(f"{name}: {value}" for name, value in result.about.items() if value),
        f"{len(result.micro)} micro-expressions, {len(result.macro)} macro-expressions",
        f"{result.coverage:.0%} of the time was measured, {minutes:.2f} minutes",
        f"Spotter: {result.spotter}",
    ]
    if (seen := result.seen()) is not None:
        facts.append(f"{seen[0].upper()}{seen[1:]}; smaller ones cannot be found here")
    return page(
        result.title(),
        facts,
        result.notes,
        [
            Section("Over time", [_timeline(result, thumbnails)]),
            Section("Expressions", _expressions(result, thumbnails)),
            *_units(result),
            Section("Quality", _quality(result)),
            Section("How to read it", [ListBlock(_READING)]),
            Section("How it was made", _made(result)),
        ],
        keywords="" if thumbnails else FACELESS,
    )


#: What the numbers mean and do not mean.
_READING = (
    "Onset, apex and offset: when an expression begins, is strongest and ends, in seconds.",
    "Score: how sure the spotter is, 0 to 1. It was fitted on simulated faces.",
    "Peak: the height of the movement in units of this face's own noise.",
    "A label names the pattern of a movement. It does not say what somebody felt or thought.",
    "Nothing found does not mean that nothing was there: see Quality for what could be seen.",
)


def _timeline(result: SpotResult, thumbnails: Mapping[int, ImageArray]) -> Block:
    if not len(result.scores.times) and result.features is None:
        return LeftOut("nothing was analyzed")
    found = ", ".join(f"{e.kind} at {e.apex_s:.2f} s" for e in result.expressions[:20])
    return Drawing(
        "timeline",
        plot_timeline(result, thumbnails=thumbnails),
        "Motion of brows, nose and mouth, and the spotter's scores. Shaded: what was found; a line "
        "at the apex; hatched: no motion was measured.",
        f"Timeline: {found or 'no expression'}",
    )


def _expressions(result: SpotResult, thumbnails: Mapping[int, ImageArray]) -> list[Block]:
    if not result.expressions:
        return [Text("None was found.")]
    labels = any(e.label is not None for e in result.expressions)
    units = any(e.aus is not None for e in result.expressions)
    faces = any(f in thumbnails for e in result.expressions for f in key_frames(e))
    curves = {} if result.features is None else displacement(result.features)
    head = ["no.", "kind", "onset", "apex", "offset", "length", "score", "peak"]
    head += ["label", "p"] * labels + ["AUs"] * units + ["motion"] * bool(curves)
    head += ["at onset", "at apex", "at offset"] * faces
    rows: list[list[Cell]] = []
    for number, e in enumerate(result.expressions, start=1):
        row: list[Cell] = [number, e.kind]
        row += [f"{s:.3f}" for s in (e.onset_s, e.apex_s, e.offset_s, e.duration_s)]
        row += [f"{e.score:.2f}", None if e.peak is None else f"{e.peak:.1f}"]
        if labels:
            sure = (e.probs or {}).get(e.label or "")
            row += [e.label, None if sure is None else f"{sure:.2f}"]
        if units:
            row.append(au_text(e.aus))
        if curves:
            row.append(_curve(result, curves, e, number))
        if faces:
            for frame, where in zip(key_frames(e), ("onset", "apex", "offset"), strict=True):
                image = thumbnails.get(frame)
                alt = f"Face at the {where} of expression {number}"
                row.append(None if image is None else Picture(image, alt, pixels=False))
        rows.append(row)
    caption = "What was found, in the order of time; times and lengths in seconds."
    if labels:
        caption += " p: the label's probability."
    if units:
        caption += " AUs: the action units that act, as coders write them."
    if curves:
        caption += (
            " Motion: how far brows (green), nose (gray) and mouth (violet) are from where they "
            "rest, from a second before the onset to a second after the offset; a bar is 1 % of "
            "the outer-eye distance."
        )
    return [TableBlock(head, rows, caption, sortable=True)]


def _units(result: SpotResult) -> list[Section]:
    """A section with the AUs of the whole video, if they were read."""
    if not any(e.aus is not None for e in result.expressions):
        return []
    rows = unit_rows(result)
    if not any(row.expressions for row in rows):
        return [Section("Action units", [Text("None acts in any expression.")])]
    sides = any(row.left + row.right + row.both for row in rows)
    head = ["AU", "FACS name", "expressions", "micro", "macro", "a minute", "mean probability"]
    head += [*(["left", "right", "both sides"] if sides else []), "at, s"]
    cells: list[list[Cell]] = [
        [
            row.au,
            row.name or None,
            row.expressions,
            row.micro,
            row.macro,
            None if row.per_minute is None else f"{row.per_minute:.2f}",
            None if row.probability is None else f"{row.probability:.2f}",
            *([row.left, row.right, row.both] if sides else []),
            _listed_times(row.apexes_s),
        ]
        for row in rows
        if row.expressions
    ]
    rest = ", ".join(str(row.au) for row in rows if not row.expressions)
    caption = (
        f"In how many of {rows[0].read} expressions each action unit acts, and at which apexes. "
        "The probability is that it acts, mean over the expressions in which it does. An AU is a "
        f"movement, and no feeling.{f' Read, and never acting: {rest}.' if rest else ''}"
    )
    return [Section("Action units", [TableBlock(head, cells, caption, sortable=True)])]


#: Number of apexes that are listed.
_TIMES = 12


def _listed_times(times: Sequence[float]) -> str:
    shown = ", ".join(f"{s:.2f}" for s in times[:_TIMES])
    return shown + (f" and {len(times) - _TIMES} more" if len(times) > _TIMES else "")


def _curve(
    result: SpotResult, curves: Mapping[str, npt.NDArray[np.float64]], e: Expression, number: int
) -> Picture:
    """The motion around an expression, as a small image."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    features = result.features
    assert features is not None
    begin, end = e.onset_s - _AROUND_S, e.offset_s + _AROUND_S
    near = slice(*np.searchsorted(features.times, (begin, end)))
    figure = Figure(figsize=(2.2, 1.4))
    axes = figure.add_axes((0.02, 0.04, 0.96, 0.92))
    axes.axvspan(e.onset_s, e.offset_s, color=KIND_COLORS[e.kind], alpha=0.2, lw=0)
    axes.axvline(e.apex_s, color=KIND_COLORS[e.kind], lw=1)
    top = 0.0
    for group, values in curves.items():
        shown = values[near]
        axes.plot(features.times[near], shown, color=GROUP_COLORS[group], lw=1.2)
        top = max([top, *shown[np.isfinite(shown)]])
    bar = features.eye_distance / 100
    axes.plot([begin, begin], [0, bar], color="black", lw=3, solid_capstyle="butt")
    axes.set_xlim(begin, end)
    axes.set_ylim(0, 1.05 * max(top, bar))
    axes.set_axis_off()
    image = imread(io.BytesIO(png(figure)))[..., :3]
    units = top / bar
    return Picture(
        np.rint(255 * image).astype(np.uint8),
        f"Motion around expression {number}, at most {units:.1f} % of the outer-eye distance",
        pixels=False,
    )


def _quality(result: SpotResult) -> list[Block]:
    blocks: list[Block] = [
        TableBlock(
            ["what", "value"],
            [
                ["share of the time in which motion was measured", f"{result.coverage:.1%}"],
                [
                    "smallest movement that stands out of noise, % of the outer-eye distance",
                    None if result.limit is None else f"{100 * result.limit:.2f}",
                ],
                *([f"the same, {part}", f"{100 * v:.2f}"] for part, v in result.limits.items()),
            ],
            "What could be seen.",
        )
    ]
    gaps = [gap for gap in _gaps(result) if gap[1] - gap[0] >= _GAP_S]
    if gaps:
        shown = sorted(sorted(gaps, key=lambda g: g[0] - g[1])[:_GAPS])
        more = f"; the longest {_GAPS} of {len(gaps)}" if len(gaps) > _GAPS else ""
        rows = [[f"{a:.2f}", f"{b:.2f}", f"{b - a:.2f}"] for a, b in shown]
        blocks.append(
            TableBlock(
                ["from, s", "to, s", "length, s"],
                rows,
                f"Where no motion was measured for {_GAP_S:g} s or longer{more}.",
            )
        )
    else:
        blocks.append(Text(f"No stretch of {_GAP_S:g} s or longer is without motion."))
    return blocks


def _gaps(result: SpotResult) -> list[tuple[float, float]]:
    scores = result.scores
    if not len(scores.times):
        return []
    step = float(np.median(np.diff(scores.times))) if len(scores.times) > 1 else 0.0
    return [
        (float(scores.times[begin]), float(scores.times[end - 1]) + step)
        for begin, end in runs(~scores.valid)
    ]


def _made(result: SpotResult) -> list[Block]:
    video = result.video
    rate = "unknown rate" if video.fps is None else f"{video.fps:g} frames per second"
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    digests = [[name, digest] for name, digest in result.digests.items()]
    blocks: list[Block] = [
        ListBlock(
            [f"Video: {video.width} x {video.height} px, {rate}", f"Versions: {versions or 'none'}"]
        )
    ]
    if digests:
        blocks.append(
            TableBlock(["of", "digest"], digests, "What it was computed from.", folded="Digests")
        )
    settings = json.dumps(result.settings, indent=2, ensure_ascii=False)
    blocks.append(Text(f"Settings in force:\n{settings}", literal=True))
    return blocks


# -- many videos -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class IndexRow:
    """A row of the index.

    Attributes:
        outcome: status of the input, or of one face in it.
        page: the address of its page beside the index; None if there is none.
    """

    outcome: InputRow
    page: str | None


def index_page(entries: Iterable[IndexRow], totals: Sequence[Totals] = ()) -> str:
    """An index page of many videos, with a sortable table."""
    entries = list(entries)
    done = [e for e in entries if e.outcome.status == "ok"]
    micro = sum(e.outcome.micro or 0 for e in done)
    macro = sum(e.outcome.macro or 0 for e in done)
    columns = list(dict.fromkeys(name for e in entries for name in e.outcome.about))
    faces = any(e.outcome.face is not None for e in entries)
    head = ["video", *["face"] * faces, *columns, "status", "coverage", "micro", "macro", "reason"]
    rows: list[list[Cell]] = []
    for entry in entries:
        outcome = entry.outcome
        name = outcome.video
        row: list[Cell] = [name if entry.page is None else Link(name, entry.page)]
        row += [outcome.face] * faces
        row += [outcome.about.get(column) for column in columns]
        coverage = None if outcome.coverage is None else f"{outcome.coverage:.0%}"
        rows.append(
            [*row, outcome.status, coverage, outcome.micro, outcome.macro, outcome.reason or None]
        )
    sections = [
        Section(
            "Videos",
            [TableBlock(head, rows, "A click on a column's head sorts by it.", sortable=True)],
        )
    ]
    if totals:
        sections.insert(0, Section("Totals", [_totals(totals)]))
    failed = len(entries) - len(done)
    return page(
        f"{len(entries)} videos",
        [f"{micro} micro-expressions, {macro} macro-expressions in {len(done)} videos"],
        [f"{failed} of {len(entries)} gave no result: see their reason"] if failed else [],
        sections,
        keywords=INDEX,
    )


def _totals(totals: Sequence[Totals]) -> TableBlock:
    names = list(totals[0].group)
    head = [*names, "videos", "minutes"]
    head += [
        f"{kind} {what}" for kind in ("micro", "macro") for what in ("", "a minute", "s, mean")
    ]
    rows: list[list[Cell]] = [
        [
            *one.group.values(),
            one.videos,
            f"{one.minutes:.2f}",
            *(
                cell
                for kind in (one.micro, one.macro)
                for cell in (
                    kind.count,
                    None if kind.per_minute is None else f"{kind.per_minute:.2f}",
                    None if kind.mean_s is None else f"{kind.mean_s:.3f}",
                )
            ),
        ]
        for one in totals
    ]
    return TableBlock(
        [h.strip() for h in head],
        rows,
        "Minutes are those in which motion was measured; rates are counts over them.",
        sortable=True,
    )
