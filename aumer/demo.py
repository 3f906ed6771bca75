"""`aumer demo`: make a face video with known expressions, spot in it, and compare.

The film is treated like any other video: it is written to a file, and `aumer.spot` reads the file
with default settings.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aumer import strict
from aumer.errors import UsageError
from aumer.evaluation.matching import match
from aumer.files import StrPath, atomic_write, check_target
from aumer.pipeline import spot
from aumer.results import SpotResult, plot_timeline, thumbnails, timeline_frames
from aumer.results.annotations import of_expressions, path_for
from aumer.simulate import amplitude
from aumer.simulate.anatomy import Action
from aumer.simulate.statistics import load
from aumer.simulate.timeline import Event, Timeline, draw_event
from aumer.simulate.video import Nuisance, au_text, truth, write_truth, write_video
from aumer.types import KINDS, Counts, Expression, Kind, by_kind

FOLDER, FILM = "aumer-demo", "face.mp4"
DURATION_S, FPS, SIZE = 20.0, 30.0, (640, 480)
IOU = 0.5
#: MEGC: a micro-expression lasts at most half a second.
MICRO_MAX_S = 0.5
#: Longest macro-expression (s), so that a film holds several; 92 % of those in the tables are
#: shorter (median 1.1 s).
MACRO_MAX_S = 3.0
#: How many of each kind a film holds, at least and at most, and the least rest between two (s).
COUNTS: dict[Kind, tuple[int, int]] = {"macro": (2, 3), "micro": (1, 3)}
REST_S = 0.7
#: Range of the intensity of macro-expressions: FACS level D (severe), as in posed expressions.
MACRO_INTENSITY = amplitude.LEVELS["D"]
#: How far a micro-expression moves the ROI that moves furthest, in outer-eye distances: the larger
#: half of CASME II's, from their median to the 90th percentile (``configs/simulation.toml``).
MICRO_SHOWN = (0.0136, 0.0312)
#: The expressions, the simplest ones of the tables, as action units with their sides.
EXPRESSIONS: tuple[tuple[Action, ...], ...] = (
    ((6, "both"), (12, "both")),  # smile
    ((12, "left"),),  # lopsided smile
    ((1, "both"), (2, "both")),  # surprise
    ((2, "right"),),  # one brow
    ((4, "both"),),  # frown
    ((15, "both"), (17, "both")),  # sulk
    ((25, "both"), (26, "both")),  # jaw drop
)

#: Called with the present step and its progress: ("film" | "spot", done, of how many).
DemoProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class DemoReport:
    """What one run of the demo made and found.

    Attributes:
        seed: seed of the random performance.
        timeline: the performance.
        truth: its expressions, in the film's frames.
        result: what `aumer.spot` found in the film.
        hits: index pairs (of ``result.expressions``, of `truth`), matched one-to-one within each
            kind at an intersection over union of at least .5.
        counts: hits, false alarms and misses, of both kinds together.
        video, truth_csv, predictions_csv, picture: the files.
        film_s, spot_s: seconds it took to film and to spot.
    """

    seed: int
    timeline: Timeline
    truth: tuple[Expression, ...]
    result: SpotResult
    hits: tuple[tuple[int, int], ...]
    counts: Counts
    video: Path
    truth_csv: Path
    predictions_csv: Path
    picture: Path
    film_s: float
    spot_s: float

    @property
    def f1(self) -> float:
        return self.counts.f1


def run(
    *,
    seed: int = 0,
    folder: StrPath | None = None,
    overwrite: bool = False,
    progress: DemoProgress | None = None,
) -> DemoReport:
    """Make a 20-second film of a face, spot in it, and compare the result with the truth.

    Writes ``face.mp4``, ``truth.csv``, ``predictions.csv`` and ``timeline.png``, and, for
    `aumer view`, the result as ``face.json`` and the truth as ``face.mp4.truth.annotations``.

    Args:
        seed: seed of the random performance.
        folder: where to write, by default ``./aumer-demo``; made if it is missing.
        overwrite: replace files that exist.
        progress: see `DemoProgress`.

    Raises:
        UsageError: a negative seed, a file that exists, or a folder that cannot be written.
    """
    strict.require(seed >= 0, "seed", seed, "0 or more")
    target = Path(FOLDER if folder is None else folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {target}: {error.strerror or error}") from error
    names = (FILM, "truth.csv", "predictions.csv", "timeline.png", "face.json")
    video, truth_csv, predictions_csv, picture, document = (target / name for name in names)
    annotations = path_for(video, "truth")
    for path in (video, truth_csv, predictions_csv, picture, document, annotations):
        check_target(path, overwrite=overwrite)

    def tell(what: str) -> Callable[[int, int | None], None]:
        def annotations_of_truth(done: int, of: int | None) -> None:
            if progress:
                progress(what, done, of or round(DURATION_S * FPS))

        return annotations_of_truth

    begin = time.perf_counter()
    timeline = film(video, seed, overwrite=overwrite, progress=tell("film"))
    write_truth(truth_csv, timeline, FPS, file=video.name, overwrite=overwrite)
    filmed = time.perf_counter()
    result = spot(video, progress=tell("spot"))
    spotted = time.perf_counter()
    result.to_csv(predictions_csv, overwrite=overwrite)
    known = truth(timeline, FPS)
    result.save(document, overwrite=overwrite)
    annotations_of_truth = replace(of_expressions(known, result), coder="truth")
    atomic_write(annotations, annotations_of_truth.to_json(), overwrite=overwrite)
    faces = thumbnails(video, timeline_frames(result), result.track) if result.track else None
    plot_timeline(
        result,
        thumbnails=faces,
        truth=known,
        note="a simulated face",
        path=picture,
        overwrite=overwrite,
    )
    hits = _hits(result.expressions, known)
    missed, false = len(known) - len(hits), len(result.expressions) - len(hits)
    return DemoReport(
        seed=seed,
        timeline=timeline,
        truth=known,
        result=result,
        hits=hits,
        counts=Counts(tp=len(hits), fp=false, fn=missed),
        video=video,
        truth_csv=truth_csv,
        predictions_csv=predictions_csv,
        picture=picture,
        film_s=filmed - begin,
        spot_s=spotted - filmed,
    )


def film(
    path: StrPath,
    seed: int,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Timeline:
    """Write the demo's film for a seed (0 or more); returns what is performed in it.

    Raises:
        UsageError, VideoError: as `write_video`.
    """
    timeline = performance(seed)
    write_video(
        path,
        timeline,
        fps=FPS,
        size=SIZE,
        nuisance=Nuisance(),
        seed=seed,
        overwrite=overwrite,
        progress=progress,
    )
    return timeline


def performance(seed: int) -> Timeline:
    """The demo's expressions, with durations, rise and fall drawn from tables of data sets."""
    rng = np.random.default_rng([seed, 2024])
    statistics = load()
    events: list[Event] = []
    for kind, (least, most) in COUNTS.items():
        for _ in range(int(rng.integers(least, most + 1))):
            event = draw_event(rng, kind, statistics)
            while not _fits(event):
                event = draw_event(rng, kind, statistics)
            aus = EXPRESSIONS[int(rng.integers(len(EXPRESSIONS)))]
            if kind == "micro":
                intensity = float(rng.uniform(*MICRO_SHOWN)) / amplitude.reach(aus)
            else:
                intensity = float(rng.uniform(*MACRO_INTENSITY))
            events.append(replace(event, aus=aus, intensity=intensity))
    events = [events[k] for k in rng.permutation(len(events))]
    free = DURATION_S - sum(e.offset_s for e in events) - REST_S * (len(events) + 1)
    gaps = REST_S + free * rng.dirichlet(np.ones(len(events) + 1))
    placed, at = [], 0.0
    for gap, event in zip(gaps, events, strict=False):
        at += float(gap)
        placed.append(_from(event, at))
        at += event.offset_s
    return Timeline(DURATION_S, tuple(placed))


def _fits(event: Event) -> bool:
    """Whether an event's duration fits the definition of its kind and is long enough for the film's
    frame rate.
    """
    if event.kind == "micro":
        return 4 / FPS <= event.offset_s <= MICRO_MAX_S
    return MICRO_MAX_S < event.offset_s <= MACRO_MAX_S


def _from(event: Event, start: float) -> Event:
    names = ("onset_s", "apex_s", "release_s", "offset_s")
    return replace(event, **{name: getattr(event, name) + start for name in names})


def _hits(
    spotted: tuple[Expression, ...], known: tuple[Expression, ...]
) -> tuple[tuple[int, int], ...]:
    pairs = []
    for kind in KINDS:
        mine, theirs = by_kind(spotted, kind), by_kind(known, kind)
        for a, b in match([e.interval for e in mine], [e.interval for e in theirs], iou=IOU):
            pairs.append((spotted.index(mine[a]), known.index(theirs[b])))
    return tuple(sorted(pairs))


def format_report(report: DemoReport) -> str:
    """Truth and prediction side by side, F1, and the paths of the files, as text.

    Each line is a true expression and what was spotted of it, or a false alarm; times are seconds
    from onset to offset.
    """
    spotted, known = report.result.expressions, report.truth
    found = {truth_index: index for index, truth_index in report.hits}
    alone = [k for k in range(len(spotted)) if k not in found.values()]
    left = [k for k in range(len(known)) if k not in found]
    # A prediction that overlaps without being a hit stands on the same line, with the reason.
    near: dict[int, int] = {}
    for k in left:
        overlaps = {i: spotted[i].interval.overlap(known[k].interval) for i in alone}
        best = max(overlaps, key=lambda i: overlaps[i], default=None)
        if best is not None and overlaps[best]:
            near[k] = best
            alone.remove(best)
    rows = []
    for k, e in enumerate(known):
        aus = au_text(report.timeline.events[k])
        other = found.get(k, near.get(k))
        verdict = "hit" if k in found else "miss"
        if k in near:
            other_kind = spotted[near[k]].kind
            verdict = "other kind" if other_kind != e.kind else f"IoU < {IOU}"
        there = _when(spotted[other]) if other is not None else "-"
        rows.append((e.onset_s, f"{_when(e)} {aus:>6}", there, verdict))
    rows += [(spotted[i].onset_s, "-", _when(spotted[i]), "false alarm") for i in alone]
    c = report.counts
    lines = [
        f"{'truth (s, AUs)':28}{'spotted (s)':22}",
        *(f"{a:28}{b:22}{verdict}" for _, a, b, verdict in sorted(rows)),
        "",
        f"{c.tp} of {len(known)} found, {c.fp} false: precision {c.precision:.2f}, recall "
        f"{c.recall:.2f}, F1 {c.f1:.2f} (kind required, IoU >= {IOU})",
        f"{report.film_s:.0f} s to film, {report.spot_s:.0f} s to spot",
        "",
        f"film         {report.video}",
        f"truth        {report.truth_csv}",
        f"predictions  {report.predictions_csv}",
        f"picture      {report.picture}",
        "",
        f"See them side by side: aumer view {shlex.quote(str(report.video))}",
    ]
    return "\n".join(line.rstrip() for line in lines)


def _when(e: Expression) -> str:
    return f"{e.onset_s:5.2f}-{e.offset_s:5.2f} {e.kind}"
