"""Two shortcuts for TV-L1, what they save and what they cost: a region, and a warm start.

    python -m benchmarks.studies.flow_shortcuts [--quick] [--save]

"region": flow is sought in the box of nose and ROIs alone, with a margin round it, as
`aumer.flow.tvl1.Tvl1.within` does; the margins beside 12 px show why it is 12. "cut" hands the
solver the two images cut to that box instead. "warm": a pair starts from the flow of the pair
before it, on all levels of the pyramid, or on the finest 3, 2, 1 alone, since the coarse ones need
not be searched any more; "dual" keeps the dual variables of each level as well; "cold" leaves the
same levels out and starts from nothing. They are assembled here from the solver's steps; on all
levels "cold" is the whole crop's flow again, and its time tells how far the times can be trusted.

Everything is against the flow of the whole crop in the same run. Columns:

- time: share of its time that is saved, pair by pair on one thread, least of the repeats;
- OpenCV: mean distance from OpenCV's flow in the ROIs in px, the same as a share of the mean flow
  there, and the correlation of MDMO features with those of OpenCV's flow;
- truth: on simulated film (7 expressions at 30 frames a second, with sway, turns, light and noise),
  mean end-point error in the ROIs and mean error of MDMO features, px;
- jump: error in px in the ROIs of real faces that jump by 4, 6 and 8 px after a pair at rest;
- videos: the whole chain on the nine real videos: F1, correlation of the features with those of the
  whole crop's flow, and of the intervals spotted how many are the same to the frame, how many have
  moved (and by how many frames at most), are new, or gone; ignored stretches included.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from unittest.mock import patch

import cv2
import numpy as np
import numpy.typing as npt

from aumer import registry
from aumer.config import load_settings
from aumer.face.track import FaceTracker
from aumer.flow import Flow, Region
from aumer.flow import tvl1 as solver
from aumer.flow.opencv import tvl1_opencv
from aumer.flow.tvl1 import tvl1
from aumer.graph.rois import roi_set
from aumer.motion import AlignedFace, align, dense, flow_region, roi_motion
from aumer.motion.analysis import analyze
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.video import Film, Nuisance
from aumer.simulate.warp import Face
from aumer.types import Counts, Expression, FloatArray, ImageArray
from aumer.video import open_video
from benchmarks.data import test_data
from benchmarks.flows import ACTIONS, Pair, length, truth_on_crop
from benchmarks.report import Report, options
from benchmarks.truth import SAME, read_truth, spotted_in

DECISION = """
Decision. The chain asks for the region, with 12 px: it saves far more than a tenth of the flow's
time, is no further from the truth than the whole crop's flow, keeps the bars against OpenCV's, and
the same expressions are spotted, their ends moved by little more than a mere change of the solver's
start moves them (the warm start on all levels). With 8 px more ends move; with 4 px expressions
come and go. Cutting the images saves less: the samples missing beyond the cut cost iterations.

There is no warm start. By itself it saves nothing: a level's first warp needs as many iterations
from the flow of the pair before as from the coarser level's, and more if the dual variables are
kept, which costs F1 as well. Time is saved by levels that are left out, as much without a warm
start as with one, and they are what finds motion of 4 px and more. And it would make every pair
depend on those before it, where now pairs are measured in parallel, in batches, and in any order.
"""

FPS = 30
JUMPS = (4, 6, 8)
SETTINGS = load_settings()
Spotted = dict[str, tuple[Expression, ...]]


class Whole:
    """The solver on the whole crop: it offers no region."""

    def __call__(self, previous: ImageArray, following: ImageArray) -> FloatArray:
        return tvl1(previous, following)


class Cut:
    """The solver on images cut to the region."""

    def __init__(self, region: Region | None = None) -> None:
        self._region = region

    def within(self, region: Region) -> Cut:
        return Cut(region)

    def __call__(self, previous: ImageArray, following: ImageArray) -> FloatArray:
        left, top, right, bottom = self._region or (0, 0, *previous.shape[::-1])
        box = slice(top, bottom), slice(left, right)
        field = np.zeros((*previous.shape, 2), np.float32)
        field[box] = tvl1(previous[box], following[box])
        return field


class Warm:
    """The solver on the finest `levels` of the pyramid, from the flow of the pair before.

    A pair whose first image is not the second of the pair before starts from nothing on all levels,
    and with `memory=False` each does so on its levels.
    """

    def __init__(self, levels: int, *, dual: bool = False, memory: bool = True) -> None:
        self._levels, self._dual, self._memory = levels, dual, memory
        self._seen: ImageArray | None = None
        self._flow = np.zeros((0, 0, 2), np.float32)
        self._p: dict[int, FloatArray] = {}

    def __call__(self, previous: ImageArray, following: ImageArray) -> FloatArray:
        known = self._memory and self._seen is not None and np.array_equal(self._seen, previous)
        levels = self._levels if known or not self._memory else solver.SCALES
        if not known:
            self._flow = np.zeros((*previous.shape, 2), np.float32)
            self._p = {}
        firsts, seconds = [previous.astype(np.float32)], [following.astype(np.float32)]
        while len(firsts) < levels:
            h, w = (round(side * solver.SCALE_STEP) for side in firsts[-1].shape)
            if min(h, w) < solver.MIN_SIDE:
                break
            for images in (firsts, seconds):
                step = 1 / solver.SCALE_STEP
                images.append(solver._resized(images[-1], h, w, step, step, 0.0, 0.0))
        planes = [np.ascontiguousarray(self._flow[..., k]) for k in range(2)]
        for level in range(len(firsts) - 1, -1, -1):
            h, w = firsts[level].shape
            # From the whole flow of the pair before to the coarsest level, then level by level.
            start = level == len(firsts) - 1
            gain = h / planes[0].shape[0] if start else 1 / solver.SCALE_STEP
            u = np.zeros((2, h + 2, w + 2), np.float32)
            for k in range(2):
                u[k, 1:-1, 1:-1] = resized(planes[k], h, w) * np.float32(gain)
            p = self._p.get(level) if self._dual else None
            if p is None:
                p = self._p[level] = np.zeros((4, h + 2, w + 2), np.float32)
            u = solver._solve_level(firsts[level], seconds[level], u, p, 0, 0)
            planes = [np.ascontiguousarray(u[k, 1:-1, 1:-1]) for k in range(2)]
        self._seen, self._flow = following, np.stack(planes, axis=-1)
        return self._flow


def resized(image: FloatArray, height: int, width: int) -> FloatArray:
    down, across = image.shape[0] / height, image.shape[1] / width
    return solver._resized(image, height, width, down, across, 0.0, 0.0)


#: By name: a flow, and the margin of its region in px of a crop of 128.
VARIANTS: dict[str, tuple[Flow, int | None]] = {
    "whole crop": (Whole(), None),
    **{f"region, {m} px": (tvl1, m) for m in (4, 8, 12, 16)},
    "cut, 12 px": (Cut(), 12),
    "cold, all levels": (Warm(5, memory=False), None),
    "warm, all levels": (Warm(5), None),
    "warm, dual": (Warm(5, dual=True), None),
    **{f"warm, finest {n}": (Warm(n), None) for n in (2, 1)},
    **{f"cold, finest {n}": (Warm(n, memory=False), None) for n in (2, 1)},
}


@contextmanager
def margin(px: int | None) -> Iterator[None]:
    """The chain with another margin round its ROIs; `None` leaves it."""
    if px is None:
        yield
        return
    dense._region.cache_clear()
    # Where the margin is small, faces must be allowed to come as near to the edge.
    least = min(dense._LEAST_MARGIN, px / 128 / 3)
    with patch.multiple(dense, _MARGIN=px / 128, _LEAST_MARGIN=least):
        yield
    dense._region.cache_clear()


def real_sequences(count: int) -> list[list[Pair]]:
    """Pairs of neighboring frames in order, from each real video that none other repeats."""
    found = []
    for path in sorted((test_data() / "videos").iterdir()):
        if path.suffix == ".csv" or path.name in SAME:
            continue
        tracker = FaceTracker.from_settings(SETTINGS.face)
        faces = []
        for k, frame in enumerate(open_video(path)):
            if k == 20 + count + 1:
                break
            if k >= 20 and (face := tracker(frame.image)):
                faces.append(align(frame.image, face.landmarks, SETTINGS.motion.crop))
        if len(faces) > 1:
            found.append(list(pairwise(faces)))
    return found


def simulated_sequences(frames: int) -> list[list[tuple[Pair, FloatArray]]]:
    """Pairs in order, each with its true motion (C, C, 2), through the rise of an expression."""
    rng = np.random.default_rng(0)
    face = Face(None, (640, 480))
    crop = SETTINGS.motion.crop
    found = []
    for number, aus in enumerate(ACTIONS):
        actions = tuple((au, "both") for au in aus)
        event = Event("macro", actions, 0.5, 1.0, 1.5, 2.0, float(rng.uniform(0.2, 1.0)))
        nuisance = Nuisance.none(sway=1.0, turns=1.0, light=1.0, noise=1.0)
        film = Film(Timeline(3.0, (event,)), nuisance=nuisance, seed=number, face=face)
        times = 0.45 + np.arange(frames) / FPS
        # One alignment for all, so that the true motion holds what the head does, too.
        marks = film.landmarks(times[0]).astype(np.float32)
        faces = [align(film.frame(t, k), marks, crop) for k, t in enumerate(times)]
        found.append(
            [
                (
                    (faces[k], faces[k + 1]),
                    truth_on_crop(film.motion(times[k], times[k + 1]), marks, faces[k]),
                )
                for k in range(frames - 1)
            ]
        )
    return found


def in_rois(field: FloatArray, face: AlignedFace) -> FloatArray:
    """The vectors (N, 2) of a field in the ROIs of a face."""
    mask = np.zeros(field.shape[:2], bool)
    radius = SETTINGS.motion.roi_radius
    for x, y in np.rint(face.landmarks[list(roi_set(SETTINGS.motion.rois).landmarks)]).astype(int):
        mask[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = True
    return field[mask]


def features(field: FloatArray, pair: Pair) -> FloatArray:
    """The MDMO features (R, 2) of a pair with this flow, NaN where there are none."""
    found = roi_motion(*pair, lambda a, b: field, SETTINGS.motion)
    return np.full((12, 2), np.nan, np.float32) if found is None else found


def correlation(a: Sequence[FloatArray], b: Sequence[FloatArray]) -> float:
    x, y = np.concatenate([v.ravel() for v in a]), np.concatenate([v.ravel() for v in b])
    both = np.isfinite(x) & np.isfinite(y)
    return float(np.corrcoef(x[both], y[both])[0, 1])


def fields(pairs: Sequence[Pair], flow: Flow) -> list[FloatArray]:
    """The flows of pairs in order, each as the chain asks for it."""
    return [dense._fields([pair], flow, SETTINGS.motion)[0] for pair in pairs]


def timed(sequences: list[list[Pair]], repeats: int) -> dict[str, npt.NDArray[np.float64]]:
    """Seconds of each pair by variant, least of the repeats; variants take turns by sequence."""
    count = sum(map(len, sequences))
    spent = {name: np.full(count, np.inf) for name in VARIANTS}
    for _ in range(repeats):
        k = 0
        for sequence in sequences:
            for name, (flow, px) in VARIANTS.items():
                with margin(px):
                    flow_region(SETTINGS.motion)
                    for number, pair in enumerate(sequence, k):
                        begin = time.perf_counter()
                        dense._fields([pair], flow, SETTINGS.motion)
                        spent[name][number] = min(spent[name][number], time.perf_counter() - begin)
            k += len(sequence)
    return spent


def jumped(pair: Pair, px: int) -> tuple[Pair, FloatArray]:
    """A face, and the same face moved by `px`; and that motion."""
    shift = np.float32([0.8 * px, 0.6 * px])
    face = pair[1]
    gray = cv2.warpAffine(
        face.gray,
        np.float32([[1, 0, shift[0]], [0, 1, shift[1]]]),
        face.gray.shape[::-1],
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    # The ROIs are read where they were, so that each variant is asked for the same box.
    return (face, AlignedFace(np.asarray(gray, np.uint8), face.landmarks)), shift


def accuracy(report: Report, quick: bool) -> None:
    sequences = real_sequences(10 if quick else 30)
    pairs = [pair for sequence in sequences for pair in sequence]
    chosen = range(5, len(pairs), 12 if quick else 4)
    reference = [tvl1_opencv(pairs[k][0].gray, pairs[k][1].gray) for k in chosen]
    theirs = [features(f, pairs[k]) for f, k in zip(reference, chosen, strict=True)]
    amount = np.mean(
        [length(in_rois(f, pairs[k][1])).mean() for f, k in zip(reference, chosen, strict=True)]
    )
    simulated = simulated_sequences(6 if quick else 12)
    report.line(f"load average {os.getloadavg()[0]:.1f} when timing began")
    spent = timed(sequences, 2 if quick else 3)
    base = spent["whole crop"].mean()
    report.line(
        f"{len(pairs)} pairs of real faces, {len(reference)} of them by OpenCV; whole crop "
        f"{1e3 * base:.1f} ms a pair; mean flow in the ROIs {amount:.3f} px"
    )
    report.line(
        f"{'':18}{'time':>6}   OpenCV px {'share':>6} {'MDMO':>6}   truth px {'MDMO':>7}   "
        + "jump "
        + " ".join(f"{f'{px} px':>6}" for px in JUMPS)
    )
    for name, (flow, px) in VARIANTS.items():
        with margin(px):
            found = fields(pairs, flow)
            apart = [
                length(in_rois(found[k] - f, pairs[k][1])).mean()
                for f, k in zip(reference, chosen, strict=True)
            ]
            like = correlation([features(found[k], pairs[k]) for k in chosen], theirs)
            wrong, missed = [], []
            for sequence in simulated:
                shown = [pair for pair, _ in sequence]
                for field, (pair, true) in zip(fields(shown, flow), sequence, strict=True):
                    wrong.append(length(in_rois(field - true, pair[1])).mean())
                    missed.append(length(features(field, pair) - features(true, pair)).mean())
            leaps = []
            for leap in JUMPS:
                errors = []
                for k in chosen[::2]:
                    moved, shift = jumped(pairs[k], leap)
                    field = fields([(moved[0], moved[0]), moved], flow)[1]
                    errors.append(length(in_rois(field - shift, moved[1])).mean())
                leaps.append(float(np.mean(errors)))
        report.line(
            f"{name:18}{1 - spent[name].mean() / base:6.0%}   {np.mean(apart):9.4f} "
            f"{np.mean(apart) / amount:6.1%} {like:6.4f}   {np.mean(wrong):8.4f} "
            f"{np.nanmean(missed):7.4f}        " + " ".join(f"{e:6.3f}" for e in leaps)
        )


def changes(now: Spotted, before: Spotted) -> str:
    same = moved = new = gone = most = 0
    for name, old in before.items():
        left = list(old)
        for e in now[name]:
            match = max(left, key=lambda o: o.interval.iou(e.interval), default=None)
            if match is None or match.interval.iou(e.interval) < 0.5:
                new += 1
                continue
            left.remove(match)
            shift = max(abs(e.onset - match.onset), abs(e.offset - match.offset))
            same, moved, most = same + (shift == 0), moved + (shift > 0), max(most, shift)
        gone += len(left)
    return f"{same:5}{moved:6} ({most:2}){new:6}{gone:6}"


def videos(report: Report) -> None:
    folder = test_data() / "videos"
    truth = read_truth(folder.name)
    report.line()
    report.line(f"{'videos':18}{'F1':>6}  features   same moved (by)   new  gone")
    first: tuple[Spotted, list[FloatArray]] | None = None
    for name, (flow, px) in VARIANTS.items():
        if name == "cold, all levels":  # the whole crop once more
            continue
        registry.register("flow", name)(flow)
        settings = replace(SETTINGS, motion=replace(SETTINGS.motion, flow=name))
        spotted: Spotted = {}
        values: list[FloatArray] = []
        with margin(px):
            for clip in truth:
                # One worker: a warm start needs the pairs in order.
                found = analyze(folder / clip, settings, workers=1).features
                spotted[clip] = spotted_in(found, settings.rules)
                values.append(found.values)
        first = first or (spotted, values)
        f1 = Counts.total(truth[c].counts(spotted[c], kinds=False) for c in truth).f1
        report.line(
            f"{name:18}{f1:6.3f}{correlation(values, first[1]):10.4f}  {changes(spotted, first[0])}"
        )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="few pairs, and no videos")
    arguments = parser.parse_args()
    report = Report("Shortcuts for TV-L1: a region, a warm start")
    box = flow_region(SETTINGS.motion)
    report.line(
        f"the chain's region (left, top, right, bottom) of {SETTINGS.motion.crop} px: {box}"
    )
    for flow, _ in VARIANTS.values():  # compiled, loaded
        flow(np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8))
    accuracy(report, arguments.quick)
    if not arguments.quick:
        videos(report)
    for line in DECISION.splitlines():
        report.line(line)
    if arguments.save:
        report.save("flow_shortcuts.txt")


if __name__ == "__main__":
    main()
