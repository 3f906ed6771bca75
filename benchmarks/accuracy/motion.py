"""The motion stage judged by truth: known motion in real frames, real noise, light, size and rate.

    python -m benchmarks.accuracy.motion [--only frames,films,noise,light,simulated]
        [--flows NAME,...] [--config TOML] [--set motion.crop=256 ...]
        [--estimator MODULE:FUNCTION] [--quick] [--save [NAME]]
    python -m benchmarks.accuracy.motion --picture   # results/motion-path.png

Everything but (a)'s first table is about the whole chain from frames to `Features` under one set of
settings, or about a prototype (`--estimator`, see `as_chain`). Lengths are in u, 1/64 outer-eye
distance, which is 1 px of the 128 px crop at any crop, or, where said, in outer-eye distances.
Motion that is known is measured as the result with it less the result of the same frames without.

True is an ROI's mean motion over its window (11 x 11 u round its landmark), as MDMO defines it,
and the goals are held against that. A movement is mostly larger in the window's middle, at the
landmark itself: what is found is told as a share of that, too (`middle`).

- frames (a): a smooth bump played into the later of two frames, and into the later half of eight,
  round each of the 12 ROIs of eight neutral stretches of seven people (the two fex clips count as
  one). gain: reported share of the true motion, along it, the mean over pairs of each ROI, then
  over the ROIs; error: mean length of reported less true. Amplitudes are of the bump's middle.
- films (b): micro-expressions (the simulator's fields of AUs, CASME II's rises) played into neutral
  films, blinks, sway and noise being as they are; they ride on the rigid landmarks of the neutral
  film, smoothed. gain at the apex, of ROIs whose truth is at least half of the largest's; errors
  of their paths from onset to .1 s after the offset; what ROIs report whose truth is below a fifth.
- noise (c): rms length of the displacement over a time, over all its places in a stretch.
- light (d): films lit anew, beside the same film in its own light.
- simulated (e): one performance by aumer's simulator at several sizes and frame rates; true is the
  motion of the ROIs' middles, of which the means have less. What head motion, face size and frame
  rate do to features and intervals: `benchmarks/accuracy/invariance.py`.

The picture shows one raised brow of .7 u in a neutral film: its path as the dense presets measure
it, as the windows do, and the truth.

Import `frame_pairs`, `films` and `noise_stretches` to try an estimator by hand, and `as_chain` to
let it go through everything here.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer import registry
from aumer.cli.options import assignment
from aumer.config import Settings, load_settings
from aumer.errors import AumerError
from aumer.flow import Flow
from aumer.motion import align, mdmo, without_head
from aumer.spotting.rules import RuleSpotter
from aumer.types import Features, ImageArray
from benchmarks.chains import Chain, as_chain, chain_of
from benchmarks.data import rate_of, read_clip
from benchmarks.flows import length
from benchmarks.motion_films import (
    AMPLITUDES,
    BEFORE,
    EXPRESSIONS,
    HEIGHTS,
    LONG,
    NEUTRAL,
    PERFORMANCE,
    ROIS,
    Array,
    Clip,
    Film,
    U,
    clip,
    films,
    frame_pairs,
    jaw_drops,
    lights,
    noise_stretches,
    simulated,
    simulated_truth,
)
from benchmarks.report import RESULTS, Report, options, save_picture

__all__ = ["as_chain", "films", "frame_pairs", "noise_stretches"]

PARTS = ("frames", "films", "noise", "light", "simulated")
WINDOWS_S = (0.2, 0.5, 1.0, 4.0)
#: Sizes (width, height) of the simulated films at 30 frames/s, and rates at 640 x 480.
SIZES, RATES = ((320, 240), (640, 480), (1920, 1080)), (24, 30, 60, 100, 200)


# -- chains ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Path:
    """Displacement of the 12 ROIs (T, 12, 2) in u since the first instant, at `times` (T,)."""

    times: Array
    at: Array
    lost: int

    def less(self, other: Path) -> Array:
        return self.at - other.at


def path_of(features: Features) -> Path:
    """The sum of the rows; rows without motion add none and are counted as lost."""
    columns = [features.rois.index(name) for name in ROIS.names]
    steps = features.values[:, columns].astype(np.float64) * (U / features.eye_distance)
    steps[~features.valid] = 0
    at = np.concatenate([np.zeros((1, len(columns), 2)), np.cumsum(steps, axis=0)])
    times = features.times[0] + np.arange(len(at)) / features.rate
    return Path(times, at, int((~features.valid).sum()))


class Measured:
    """A chain whose results of unchanged frames are kept."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._kept: dict[tuple[str, int, int], Path] = {}

    def features(self, frames: Sequence[ImageArray], fps: float) -> Features:
        return self._chain(frames, fps)

    def moved(self, film: Film) -> Path:
        return path_of(self._chain(film.moved(), film.fps))

    def still(self, film: Film) -> Path:
        key = film.clip.label, film.start, film.stop
        if key not in self._kept:
            self._kept[key] = path_of(self._chain(film.still(), film.fps))
        return self._kept[key]


# -- figures ---------------------------------------------------------------------------------------


def share(found: npt.NDArray[Any], true: npt.NDArray[Any]) -> Array:
    """How much of the true motion (..., 2) was found, along it."""
    return (found * true).sum(axis=-1) / (true**2).sum(axis=-1)


class Gains:
    """Gains and errors by ROI."""

    def __init__(self) -> None:
        self._gains: dict[int, list[float]] = defaultdict(list)
        self.errors: list[float] = []

    def add(self, roi: int, found: Array, true: Array) -> None:
        self._gains[roi].append(float(share(found, true)))
        self.errors.append(float(length(found - true)))

    def by_roi(self) -> dict[int, float]:
        return {roi: float(np.mean(g)) for roi, g in sorted(self._gains.items())}

    def sure(self, roi: int) -> float:
        """Standard error of an ROI's mean gain: pairs of one place at several amplitudes share
        their noise, those of other places do not."""
        gains = self._gains[roi]
        return float(np.std(gains, ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else np.nan

    @property
    def gain(self) -> float:
        """The mean over the ROIs of their means."""
        return float(np.mean(list(self.by_roi().values())))

    @property
    def worst(self) -> tuple[float, str]:
        """The gain furthest from 1 and its ROI."""
        found = self.by_roi()
        roi = max(found, key=lambda k: abs(found[k] - 1))
        return found[roi], ROIS.names[roi]

    @property
    def error(self) -> float:
        return float(np.mean(self.errors))


# -- (a) frames ------------------------------------------------------------------------------------


def usable_flows(names: Sequence[str] | None, report: Report) -> dict[str, Flow]:
    """Every registered flow that can run here, but tvl1-torch unless it is named: it is tvl1."""
    found: dict[str, Flow] = {}
    for name in names or registry.names("flow"):
        if name == "tvl1-torch" and not names:
            continue
        try:
            flow: Flow = registry.resolve("flow", name)
            flow(np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8))
        except AumerError as error:
            report.line(f"left out: {name}: {' '.join(str(error).split()).split('. ')[0]}")
        else:
            found[name] = flow
    return found


#: How a flow field (C, C, 2) px becomes the 12 ROIs' motion in bare pairs.
READINGS = ("mean", "MDMO", "head, MDMO")


def readings(field: npt.NDArray[Any], centers: npt.NDArray[Any], settings: Settings) -> list[Array]:
    """(12, 2) px by each of `READINGS`."""
    radius = settings.motion.roi_radius

    def windows(of: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        return mdmo.boxes(of, centers - radius, centers + radius)

    vectors, inside = windows(field)
    mean = (vectors * inside[..., None]).sum(axis=1) / inside.sum(axis=1)[:, None]
    bins = mdmo.main_direction_mean(vectors, inside, mdmo.ROI_BINS)
    still = without_head(field, np.inf)
    assert still is not None
    today = mdmo.main_direction_mean(*windows(still), mdmo.ROI_BINS)
    return [np.asarray(found, np.float64) for found in (mean, bins, today)]


def bare_flows(report: Report, settings: Settings, flows: Mapping[str, Flow], quick: bool) -> None:
    crop = settings.motion.crop
    amplitudes = (0.1, 0.5) if quick else AMPLITUDES
    stretches = NEUTRAL[1:2] if quick else NEUTRAL
    results = {
        (flow, reading, a): (Gains(), Gains())
        for flow in flows for reading in READINGS for a in amplitudes
    }  # fmt: skip
    spent = dict.fromkeys(flows, 0.0)
    ratios: list[float] = []
    count = 0
    for number, stretch in enumerate(stretches):
        # Half of the ROIs of each stretch: a flow of .3 s a pair would take too long.
        rois = range(number % 2, 12, 4 if quick else 2)
        before: dict[tuple[str, int], list[Array]] = {}
        for pair in frame_pairs(amplitudes, [stretch], tuple(rois)):
            assert pair.roi is not None
            k = pair.roi
            first, second = (pair.landmarks[j].astype(np.float32) for j in (BEFORE - 1, BEFORE))
            plain = pair.still()
            a = align(plain[BEFORE - 1], first, crop)
            still = align(plain[BEFORE], second, crop)
            there = align(pair.moved_frame(BEFORE), second, crop)
            centers = np.rint(still.landmarks[list(ROIS.landmarks)]).astype(np.int64)
            true, middle = pair.truth[-1][k], pair.middle[-1][k]
            ratios.append(float(share(true, middle)))
            count += 1
            for name, flow in flows.items():
                begin = time.perf_counter()
                field = flow(a.gray, there.gray)
                spent[name] += time.perf_counter() - begin
                if (name, k) not in before:
                    before[name, k] = readings(flow(a.gray, still.gray), centers, settings)
                now = readings(field, centers, settings)
                for reading, x, y in zip(READINGS, now, before[name, k], strict=True):
                    found = (x[k] - y[k]) * (128 / crop)
                    for gains, of in zip(
                        results[name, reading, pair.moments[0].height], (true, middle), strict=True
                    ):
                        gains.add(k, found, of)
    report.line(
        f"(a) bare flow on aligned crops of {crop} px, {count // len(amplitudes)} pairs of frames "
        f"at each amplitude: gain, (worst ROI's), error in u"
    )
    report.line("    mean: of the ROI's flow. head, MDMO: as aumer reads it, head motion out first")
    report.line(
        f"    of the ROI's true mean motion, which is {np.mean(ratios):.2f} of the bump's middle "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )
    report.line()
    report.line(f"{'true u':24}" + "".join(f"{a:>17g}" for a in amplitudes) + "   middle at .5")
    for name in flows:
        for reading in READINGS:
            cells = ""
            for amplitude in amplitudes:
                found, _ = results[name, reading, amplitude]
                cells += f"{found.gain:6.2f} ({found.worst[0]:4.2f}){found.error:5.3f}"
            middle = results[name, reading, 0.5][1].gain
            report.line(f"{f'{name}, {reading}':24}{cells}{middle:9.2f}")
    report.line(
        "(ms a pair: " + ", ".join(f"{n} {1e3 * s / count:.1f}" for n, s in spent.items()) + ")"
    )
    report.line()


#: Windows of each ROI in each stretch. Of one alone an ROI's gain at .05 u is sure to .1.
PLACES = 3


def chain_pairs(report: Report, measured: Measured, quick: bool) -> None:
    amplitudes = (0.1, 0.5) if quick else AMPLITUDES
    stretches = NEUTRAL[1:2] if quick else NEUTRAL
    results: dict[float, Gains] = {a: Gains() for a in amplitudes}
    middles: dict[float, Gains] = {a: Gains() for a in amplitudes}
    sizes: dict[float, list[float]] = defaultdict(list)
    by_stretch: dict[tuple[str, float], Gains] = defaultdict(Gains)
    elsewhere: dict[float, list[float]] = defaultdict(list)
    lost = count = 0
    rois, places = (range(0, 12, 3), 1) if quick else (range(12), PLACES)
    for pair in frame_pairs(amplitudes, stretches, rois, places):
        assert pair.roi is not None
        there, still = measured.moved(pair), measured.still(pair)
        lost += there.lost > still.lost
        count += 1
        found, true = there.less(still)[-1], pair.truth[-1]
        amplitude = pair.moments[0].height
        results[amplitude].add(pair.roi, found[pair.roi], true[pair.roi])
        middles[amplitude].add(pair.roi, found[pair.roi], pair.middle[-1][pair.roi])
        sizes[amplitude].append(float(length(true[pair.roi])))
        by_stretch[pair.clip.label, amplitude].add(pair.roi, found[pair.roi], true[pair.roi])
        resting = length(pair.middle[-1]) < 0.02 * amplitude
        elsewhere[amplitude].extend(length(found[resting]).tolist())
    report.line(
        f"(a) whole chain: eight frames, the bump in the last four; {count // len(amplitudes)} "
        f"windows at each amplitude, {lost} of {count} with a row lost to the motion"
    )
    report.line(
        "    of the ROI's true mean motion, to which the goals belong (gain .95 to 1.05 from .05"
    )
    report.line("    to 1 u, worst ROI .85, error .015 + 5 %), and of the bump's middle")
    report.line("    elsewhere: mean length at ROIs where the bump is below 2 % of its height")
    report.line()
    report.line(
        f"{'middle u':>8}{'gain':>7}{'worst':>7} {'(which)':18}{'error':>7}{'goal':>7}"
        f"{'of the middle: gain':>22}{'worst':>7}{'error':>7}{'elsewhere':>11}"
    )
    for amplitude, found in results.items():
        value, which = found.worst
        middle, goal = middles[amplitude], 0.015 + 0.05 * np.mean(sizes[amplitude])
        report.line(
            f"{amplitude:8g}{found.gain:7.2f}{value:7.2f} {f'({which})':18}{found.error:7.3f}"
            f"{goal:7.3f}{middle.gain:22.2f}{middle.worst[0]:7.2f}{middle.error:7.3f}"
            f"{np.mean(elsewhere[amplitude]):11.3f}"
        )
    report.line()
    report.line("gain by ROI, of mean, and its standard error")
    report.line(f"{'':20}" + "".join(f"{a:>13g}" for a in amplitudes))
    gains = {a: found.by_roi() for a, found in results.items()}
    for roi in gains[amplitudes[0]]:
        cells = "".join(f"{gains[a][roi]:8.2f} {results[a].sure(roi):4.2f}" for a in amplitudes)
        report.line(f"  {ROIS.names[roi]:18}{cells}")
    report.line("gain / error by stretch, of mean")
    for label in dict.fromkeys(label for label, _ in by_stretch):
        cells = "".join(
            f"{by_stretch[label, a].gain:8.2f} /{by_stretch[label, a].error:6.3f}"
            for a in amplitudes
        )
        report.line(f"  {label:28}{cells}")
    report.line()


def frames_part(report: Report, run: Run) -> None:
    if run.settings is not None:
        flows = usable_flows(run.flows, report)
        if run.quick and not run.flows:
            flows = {name: flow for name, flow in flows.items() if name in ("dis", "farneback")}
        bare_flows(report, run.settings, flows, run.quick)
    chain_pairs(report, run.measured, run.quick)


# -- (b) films -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Seen:
    """One movement as it was measured.

    Attributes:
        apex: of the ROIs that move, what was found and what was true.
        error, most: rms and largest error (u) of their paths.
        middle, middle_error: the same as `apex` and `error`, of the ROIs' landmarks.
        elsewhere: largest length reported at ROIs that rest.
        back: length of what is left of the ROIs that move, .1 s after the offset, rms.
    """

    clip: str
    name: str
    height: float
    apex: dict[int, tuple[Array, Array]]
    error: float
    most: float
    middle: dict[int, tuple[Array, Array]]
    middle_error: float
    elsewhere: float
    back: float


def judged(measured: Measured, film: Film) -> list[Seen]:
    there, still = measured.moved(film), measured.still(film)
    found, times = there.less(still), there.times
    # What any method can know: between two frames lies a straight line.
    true, middle = (
        np.stack(
            [np.interp(times, film.times, c) for c in of.reshape(len(of), -1).T], axis=1
        ).reshape(found.shape)
        for of in (film.truth, film.middle)
    )
    seen = []
    for moment in film.moments:
        before = max(0, int(np.searchsorted(times, moment.onset, side="right")) - 1)
        end = int(np.searchsorted(times, min(moment.offset + 0.1, times[-1])))
        path, truth, landmark = (of[before : end + 1] for of in (found, true, middle))
        path = path - path[0]
        sizes = length(truth)
        apex = int(sizes.max(axis=1).argmax())
        moves = sizes[apex] >= 0.5 * sizes[apex].max()
        rests = sizes[apex] < 0.2 * sizes[apex].max()
        error, other = length(path - truth), length(path - landmark)
        moving = np.flatnonzero(moves)
        seen.append(
            Seen(
                film.clip.label,
                moment.name,
                moment.height,
                {int(k): (path[apex, k], truth[apex, k]) for k in moving},
                float(np.sqrt((error[:, moves] ** 2).mean())),
                float(error[:, moves].max()),
                {int(k): (path[apex, k], landmark[apex, k]) for k in moving},
                float(np.sqrt((other[:, moves] ** 2).mean())),
                float(length(path[:, rests]).max()),
                float(np.sqrt((length(path[-1, moves]) ** 2).mean())),
            )
        )
    return seen


def films_part(report: Report, run: Run) -> None:
    heights = (0.7,) if run.quick else HEIGHTS
    clips = LONG[1:2] if run.quick else LONG
    names = ("4", "14") if run.quick else tuple(EXPRESSIONS)
    seen = [s for film in films(heights, clips, names) for s in judged(run.measured, film)]
    report.line(
        f"(b) {len(seen)} micro-expressions in neutral films of "
        f"{len({c[3] for c in clips})} people; height: of the ROI that moves furthest, u"
    )
    report.line(
        "    of the ROIs' true mean motion, to which the goals belong (gain .93, error .05), and"
    )
    report.line("    of their landmarks' (middle)")
    report.line("    error: rms over the path of a movement, mean over movements; most: the worst")
    report.line("    back: what is left .1 s after the offset; elsewhere: at ROIs at rest, largest")
    report.line("    of a movement, mean over movements")
    report.line()
    head = (
        f"{'gain':>7}{'worst':>7} {'(which)':18}{'error':>7}{'most':>7}{'back':>7}{'elsewhere':>11}"
        f"{'of the middle: gain':>22}{'error':>7}"
    )
    report.line(f"{'height':28}{'number':>7}{head}")

    def tell(label: str, chosen: Sequence[Seen]) -> None:
        gains, middle = Gains(), Gains()
        for one in chosen:
            for of, pairs in ((gains, one.apex), (middle, one.middle)):
                for roi, (found, true) in pairs.items():
                    of.add(roi, found, true)
        value, which = gains.worst
        error, back, elsewhere, other = (
            np.mean([getattr(s, n) for s in chosen])
            for n in ("error", "back", "elsewhere", "middle_error")
        )
        report.line(
            f"{label:28}{len(chosen):7}{gains.gain:7.2f}{value:7.2f} {f'({which})':18}"
            f"{error:7.3f}{max(s.most for s in chosen):7.3f}{back:7.3f}{elsewhere:11.3f}"
            f"{middle.gain:22.2f}{other:7.3f}"
        )

    for height in heights:
        tell(f"{height:g}", [s for s in seen if s.height == height])
    tell("all", seen)
    for name in names:
        typical = EXPRESSIONS[name][1]
        tell(f"AU {name} (CASME II {typical:.2f} u)", [s for s in seen if s.name == name])
    for label in dict.fromkeys(s.clip for s in seen):
        tell(label, [s for s in seen if s.clip == label])
    if not run.quick:
        report.line("a jaw that drops (AU 26)")
        drops = [s for film in jaw_drops() for s in judged(run.measured, film)]
        for height in dict.fromkeys(s.height for s in drops):
            tell(f"{height:g}", [s for s in drops if s.height == height])
    report.line()


# -- (c) noise -------------------------------------------------------------------------------------


def spread(path: Path, rate: float, window_s: float) -> Array | None:
    """(12,) rms length of the displacement over a time, outer-eye distances; or too short."""
    lag = round(window_s * rate)
    if len(path.at) <= lag:
        return None
    over = length(path.at[lag:] - path.at[:-lag]) / U
    return np.sqrt((over**2).mean(axis=0))


def noise_part(report: Report, run: Run) -> None:
    kinds = ("still",) if run.quick else None
    stretches = list(noise_stretches(kinds))[: 3 if run.quick else None]
    report.line("(c) noise floor: rms displacement over a time, 1/1000 outer-eye distance:")
    report.line("    median ROI / worst ROI. A kind's row: root of the mean square over people")
    report.line("    goal: 1.2 over .5 s of still face")
    report.line()
    report.line(f"{'':44}{'s':>6}" + "".join(f"{w:>14g} s" for w in WINDOWS_S) + "   lost rows")
    by_kind: dict[str, list[tuple[str, float, list[Array | None]]]] = defaultdict(list)

    def cells(values: Sequence[Array | None]) -> str:
        return "".join(
            f"{'-':>16}" if v is None else f"{1e3 * np.median(v):9.2f} /{1e3 * v.max():5.1f}"
            for v in values
        )

    for stretch in stretches:
        where = stretch.clip
        features = run.measured.features(where.frames, where.fps)
        path = path_of(features)
        seconds = len(where.frames) / where.fps
        values = [spread(path, features.rate, window) for window in WINDOWS_S]
        by_kind[stretch.kind].append((where.person, seconds, values))
        report.line(f"{stretch.kind:10}{where.label:34}{seconds:6.1f}{cells(values)}   {path.lost}")
    report.line()
    for kind, rows in by_kind.items():
        people = dict.fromkeys(person for person, *_ in rows)
        pooled: list[Array | None] = []
        for k in range(len(WINDOWS_S)):
            squares = []
            for person in people:
                mine = [v[k] for who, _, v in rows if who == person and v[k] is not None]
                if mine:
                    squares.append(np.mean(np.stack(mine) ** 2, axis=0))
            pooled.append(np.sqrt(np.mean(squares, axis=0)) if squares else None)
        label = f"{kind}, {len(people)} people" if len(people) > 1 else f"{kind}, 1 person"
        report.line(f"{label:44}{sum(s for _, s, _ in rows):6.1f}{cells(pooled)}")
    report.line()


# -- (d) light -------------------------------------------------------------------------------------


def light_part(report: Report, run: Run) -> None:
    report.line("(d) light: displacement in 1/1000 outer-eye distance, largest of any ROI and time")
    report.line("    over .5 s: within half a second, of the lit film and of the film as it was")
    report.line("    by light: of the one path less the other, over .5 s and from the beginning")
    report.line("    spotted: expressions by rules")
    report.line()
    report.line(
        f"{'':44}{'over .5 s':>10}{'as it was':>10}{'by light':>9}{'whole':>8}{'spotted':>9}"
    )
    settings = run.settings or load_settings()
    rules = RuleSpotter.from_settings(settings)

    def largest(at: Array, lag: int) -> float:
        return float(1e3 / U * length(at[lag:] - at[:-lag]).max())

    def tell(label: str, features: Features, plain: Features | None) -> None:
        lag = round(0.5 * features.rate)
        path = path_of(features)
        spotted = len(rules(features)[1])
        if plain is None:
            report.line(f"{label:44}{largest(path.at, lag):10.1f}{'':27}{spotted:9}")
            return
        own = path_of(plain)
        count = min(len(path.at), len(own.at))
        alone = path.at[:count] - own.at[:count]
        whole = 1e3 / U * length(alone).max()
        report.line(
            f"{label:44}{largest(path.at, lag):10.1f}{largest(own.at, lag):10.1f}"
            f"{largest(alone, lag):9.1f}{whole:8.1f}{spotted:9}"
        )

    plain: Features | None = None
    faults = ("light_none.mp4", "light_pulse5.mp4", "light_film.mp4")
    for name in faults[: 2 if run.quick else None]:
        features = run.measured.features(read_clip(name), rate_of(name))
        tell(name, features, plain)
        plain = plain or features
    cases = lights()
    chosen = list(cases)[: 1 if run.quick else None]
    for where in light_clips()[1:] if run.quick else light_clips():
        plain = run.measured.features(where.frames, where.fps)
        tell(where.label, plain, None)
        for name in chosen:
            tell(f"  {name}", run.measured.features(cases[name](where), where.fps), plain)
    report.line()


def light_clips() -> tuple[Clip, ...]:
    """Two still faces."""
    name, first, _, person = NEUTRAL[0]
    return clip(name, first, 120, person), clip(*NEUTRAL[1])


# -- (e) simulated ---------------------------------------------------------------------------------


def simulated_part(report: Report, run: Run) -> None:
    cases = [(size, 30, 0.0) for size in SIZES]
    cases += [((640, 480), rate, 0.0) for rate in RATES if rate != 30]
    cases += [((640, 480), 30, 1.0)]
    if run.quick:
        cases = [((320, 240), 30, 0.0)]
    events = PERFORMANCE.events
    report.line(
        "(e) one simulated performance: gain at the apex (ROIs of at least half the largest"
    )
    report.line(
        "    truth) of each expression, and rms error (u) of all ROIs' paths over the film,"
    )
    report.line("    less each ROI's own mean. sway: the head moves as in the shared videos")
    report.line()
    titles = [
        f"{'micro' if e.kind == 'micro' else 'macro'} {'+'.join(str(au) for au, _ in e.aus)}"
        for e in events
    ]
    head = f"{'':36}" + "".join(f"{t:>14}" for t in titles) + f"{'error':>9}"
    first = True
    for size, rate, sway in cases:
        film = simulated(size, sway=sway)
        times = np.arange(round(PERFORMANCE.duration_s * rate)) / rate
        frames = [film.frame(float(t), k) for k, t in enumerate(times)]
        path = path_of(run.measured.features(frames, rate))
        flat = simulated_truth(film, times).reshape(len(times), -1)
        true = np.stack([np.interp(path.times, times, column) for column in flat.T], axis=1)
        true = true.reshape(path.at.shape)
        cells, heights = "", ""
        for event in events:
            onset, apex = (np.searchsorted(path.times, t) for t in (event.onset_s, event.apex_s))
            onset = max(0, int(onset) - 1)
            found, truth = path.at[apex] - path.at[onset], true[apex] - true[onset]
            moves = length(truth) >= 0.5 * length(truth).max()
            cells += f"{share(found[moves], truth[moves]).mean():14.2f}"
            heights += f"{length(truth).max():14.2f}"
        error = path.at - true
        error -= error.mean(axis=0)
        if first:
            report.line(head)
            report.line(f"{'largest true displacement, u':36}{heights}")
            first = False
        label = f"{size[0]} x {size[1]}, {rate} frames/s" + (", sway" if sway else "")
        report.line(f"{label:36}{cells}{np.sqrt((length(error) ** 2).mean()):9.3f}")
    report.line()


# -- a picture -------------------------------------------------------------------------------------


def draw() -> None:
    """One subtle movement by the old chain and the new one, beside the truth."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    film = next(iter(films((0.7,), LONG[:1], ("1+2",))))
    moment = film.moments[0]
    roi = int(length(film.truth).max(axis=0).argmax())
    at_apex = film.truth[round(moment.apex * film.fps), roi]
    along = at_apex / np.hypot(*at_apex)
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for preset, words, color in (
        ("flow", "dense flow (TV-L1, MDMO)", "tab:orange"),
        ("windows", "windows (default)", "tab:blue"),
    ):
        path = path_of(
            chain_of(load_settings(overrides={"motion": {"preset": preset}}))(
                film.moved(), film.fps
            )
        )
        onset = int(np.searchsorted(path.times, moment.onset))
        rest = path.at[max(0, onset - 10) : onset + 1, roi].mean(axis=0)
        axes.plot(path.times, (path.at[:, roi] - rest) @ along, color=color, label=words)
    axes.plot(film.times, film.truth[:, roi] @ along, "k--", lw=1, label="what was played in")
    axes.set_xlim(moment.onset - 0.6, moment.offset + 0.6)
    axes.set_ylim(-0.35, 1.0)
    axes.set_xlabel("s")
    axes.set_ylabel("displacement, 1/64 outer-eye distance")
    axes.set_title(f"AU 1+2 of {moment.height:g} u in {film.clip.name}: {ROIS.names[roi]}")
    axes.legend(loc="upper right", frameon=False)
    save_picture(figure, "motion-path.png", 150)
    print(f"wrote {RESULTS / 'motion-path.png'}")


# -- all -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Run:
    """What is measured. `settings` is `None` where a prototype is."""

    measured: Measured
    settings: Settings | None
    flows: list[str] | None
    quick: bool


def main() -> None:
    parser = options(__doc__, save=False)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts: {','.join(PARTS)}")
    parser.add_argument("--flows", default="", help="flows of (a)'s first table; all that can run")
    parser.add_argument("--config", default=None, help="settings file of the chain")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], type=assignment, metavar="PATH=VALUE"
    )
    parser.add_argument("--estimator", default="", help="MODULE:FUNCTION in the chain's place")
    parser.add_argument("--quick", action="store_true", help="a look at every part, in a minute")
    parser.add_argument(
        "--save", nargs="?", const="motion.txt", default="", metavar="NAME",
        help="keep under benchmarks/results/, as motion.txt or NAME",
    )  # fmt: skip
    parser.add_argument("--picture", action="store_true", help="draw one path, and stop")
    arguments = parser.parse_args()
    if arguments.picture:
        draw()
        return
    parts = arguments.only.split(",")
    if set(parts) - set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    settings: Settings | None = None
    if arguments.estimator:
        module, _, name = arguments.estimator.partition(":")
        sys.path.insert(0, "")
        chain = as_chain(getattr(importlib.import_module(module), name))
    else:
        settings = load_settings(arguments.config, dict(arguments.set))
        chain = chain_of(settings)
    run = Run(
        Measured(chain),
        settings,
        arguments.flows.split(",") if arguments.flows else None,
        arguments.quick,
    )
    report = Report("The motion stage against truth")
    what = arguments.estimator or ", ".join(f"{k} {v}" for k, v in vars(settings.motion).items())
    report.line(f"motion: {what}")
    report.line()
    todo: Mapping[str, Callable[[Report, Run], None]] = {
        "frames": frames_part,
        "films": films_part,
        "noise": noise_part,
        "light": light_part,
        "simulated": simulated_part,
    }
    took = {}
    for part in parts:
        begin = time.perf_counter()
        todo[part](report, run)
        took[part] = time.perf_counter() - begin
    report.line("(seconds: " + ", ".join(f"{part} {s:.0f}" for part, s in took.items()) + ")")
    if arguments.save:
        report.save(arguments.save)


if __name__ == "__main__":
    main()
