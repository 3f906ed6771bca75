"""How still landmarks hold, how far they drift, how true they are, and what they cost.

    python -m benchmarks.accuracy.landmarks [--only warps,still,drift,simulated,speed,poor]
                                   [--backends NAME,...] [--minutes 10] [--save]

Every back end that can run here goes over the same films in one run: the registered landmarkers
frame by frame, the default one carried by flow (`carried`), and the whole face tracker as aumer
uses it by default (`default`). A landmarker is led over a film as the tracker does it: the
detector's largest box on the first frame, then its own landmarks of the frame before; where it says
that there is no face it is reset and the detector asked again. The detector is BlazeFace, but for
`mediapipe` MediaPipe's own. Lengths are in % of the distance between the outer eye corners. "mean"
is the mean over the 12 published ROIs' landmarks, "worst" the one of them that is worst.

- warps: real neutral faces under known sub-pixel warps with independent noise.
- still: jitter on stretches of the real videos on which nobody moves.
- drift: minutes of a clip played to and fro; landmarks against those of the first visit.
- simulated: films whose true motion is known, with blinks, talk, expressions and head turns.
- speed: milliseconds a frame, detection included.
- poor (only when asked for): turned, dark, small, covered and turned-away faces.

`--save` keeps `results/landmarks.txt`, or with `--only poor` `results/landmarks-poor.txt`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aumer import registry
from aumer.config import load_settings
from aumer.errors import AumerError
from aumer.face.carried import CarriedLandmarker
from aumer.face.crop import applied, inverse
from aumer.face.interface import Detector, Landmarker
from aumer.face.mean_face import RIGID
from aumer.face.models import BlazeFaceDetector, MeshLandmarker
from aumer.graph.rois import roi_set
from aumer.types import FloatArray, ImageArray
from aumer.video import open_video
from benchmarks.chains import NO_FACE, RESTART, Film, default_tracker
from benchmarks.data import read_clip
from benchmarks.films import film_video
from benchmarks.landmark_films import (
    FPS,
    NEUTRAL,
    POOR,
    STILL,
    Case,
    Points,
    SimulatedFilm,
    eye_distance,
    noisy,
    poor_cases,
    simulated_film,
    to_and_fro,
    warped_film,
)
from benchmarks.report import Report, options

#: A film -> its landmarks (T, 68, 2) px, NaN where there are none.
BackEnd = Callable[[Film], FloatArray]
Values = npt.NDArray[np.float64]

ROIS = roi_set("published")
_ROI, _RIGID = list(ROIS.landmarks), list(RIGID)
#: Known warps of each face, and their noise (gray levels).
WARPS, NOISE = 40, 2.0
#: Clips whose neutral first frame becomes a simulated film; `None` is the astronaut.
PORTRAITS: tuple[str | None, ...] = (None, "still_neutral.mp4", "smile_512.mp4")
#: Landmarks of a poor picture that are further (%) from those of the clean one are not its face's.
OFF = 10.0
PARTS = ("warps", "still", "drift", "simulated", "speed", "poor")


# -- back ends -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A back end of the tables.

    Attributes:
        remembers: whether earlier frames change what it says.
    """

    label: str
    run: BackEnd
    remembers: bool = True


class Followed:
    """A landmarker led over films, with a detector where it is lost.

    Args:
        restart: frames from one `Landmarker.resume` to the next; `None` for none.
    """

    def __init__(
        self,
        detector: Callable[[], Detector],
        landmarker: Callable[[], Landmarker],
        restart: int | None = None,
    ) -> None:
        self._new_detector, self._new_landmarker = detector, landmarker
        self._restart = restart
        self._least = load_settings().face.min_eye_distance
        with closing(detector()), closing(landmarker()):
            pass  # what cannot run is known now

    def __call__(self, film: Film) -> FloatArray:
        with closing(self._new_detector()) as detect, closing(self._new_landmarker()) as landmarker:
            rows, last = [], None
            for k, image in enumerate(film):
                if last is not None:
                    last = self._usable(landmarker.near(image, last), image)
                    if last is None:
                        landmarker.reset()
                if last is None:
                    boxes = detect(image)
                    if len(boxes):
                        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
                        box = boxes[int(areas.argmax()), :4]
                        last = self._usable(landmarker(image, box), image)
                        if last is None:
                            landmarker.reset()
                elif self._restart and (k + 1) % self._restart == 0:
                    landmarker.resume(image, last)
                rows.append(NO_FACE if last is None else last)
        return np.stack(rows)

    def _usable(self, landmarks: FloatArray | None, image: ImageArray) -> FloatArray | None:
        """As the face tracker decides it."""
        if landmarks is None:
            return None
        middle, apart = landmarks.mean(axis=0), landmarks[45] - landmarks[36]
        height, width = image.shape[:2]
        inside = 0 <= middle[0] < width and 0 <= middle[1] < height
        return landmarks if inside and np.hypot(*apart) >= self._least else None


def _detector_of(name: str) -> Callable[[], Detector]:
    part: Callable[[], Detector] = registry.resolve("detector", name)
    return part


def back_ends(wanted: Sequence[str] | None, report: Report) -> list[Row]:
    """Every back end that can run here; says why the others cannot."""

    def registered(name: str) -> BackEnd:
        detector = _detector_of("mediapipe") if name == "mediapipe" else BlazeFaceDetector
        return Followed(detector, registry.resolve("landmarker", name))

    def retinaface() -> BackEnd:
        landmarker = registry.resolve("landmarker", "face-alignment")
        return Followed(_detector_of("retinaface"), landmarker)

    makers: dict[str, tuple[str, Callable[[], BackEnd], bool]] = {
        name: (name, lambda name=name: registered(name), name not in ("mesh", "face-alignment"))
        for name in registry.names("landmarker")
    }
    makers["retinaface"] = ("retinaface, face-alignment", retinaface, False)
    makers["carried"] = (
        "mesh, carried",
        lambda: Followed(BlazeFaceDetector, lambda: CarriedLandmarker(MeshLandmarker()), RESTART),
        True,
    )
    makers["default"] = ("aumer default", lambda: default_tracker, True)
    unknown = set(wanted or ()) - set(makers)
    if unknown:
        sys.exit(f"no back end {', '.join(sorted(unknown))}; there are {', '.join(makers)}")
    rows = []
    for name in wanted or makers:
        label, make, remembers = makers[name]
        try:
            rows.append(Row(label, make(), remembers))
        except AumerError as error:
            # The first sentence is the reason; the others name folders of this machine.
            report.line(f"left out: {label}: {' '.join(str(error).split()).split('. ')[0]}")
    if not rows:
        sys.exit("no back end can run")
    report.line()
    return rows


def clocked(film: Film, spent: list[float]) -> Iterator[ImageArray]:
    """The film's frames; `spent` gets the seconds from each frame to the asking for the next."""
    for image in film:
        begin = time.perf_counter()
        yield image
        spent.append(time.perf_counter() - begin)


# -- figures ---------------------------------------------------------------------------------------


def distances(points: npt.NDArray[Any], other: npt.NDArray[Any], eye: float) -> Values:
    """Distances of points (..., 2), in % of `eye` px."""
    apart = np.asarray(points, np.float64) - other
    return np.hypot(apart[..., 0], apart[..., 1]) * (100 / eye)


def worst(per_roi: Values) -> tuple[float, str]:
    """The largest of (12,) and its ROI's name."""
    if not np.isfinite(per_roi).any():
        return float("nan"), "-"
    k = int(np.nanargmax(per_roi))
    return float(per_roi[k]), ROIS.names[k]


def mean(values: npt.NDArray[Any], axis: Any = None) -> Any:
    """The mean without NaN; NaN, and no warning, where there is nothing else."""
    finite = np.isfinite(values)
    total, count = np.where(finite, values, 0).sum(axis=axis), finite.sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)[()]


def percentile(values: npt.NDArray[Any], share: float) -> float:
    finite = values[np.isfinite(values)]
    return float(np.percentile(finite, share)) if len(finite) else float("nan")


# -- (a) known warps -------------------------------------------------------------------------------


def warps(report: Report, rows: list[Row]) -> None:
    report.line(
        f"(a) {WARPS} known warps of {len(NEUTRAL)} real neutral frames (shift within 1 px, turn "
        f"within .5 degrees, growth within 1 %, no landmark further than 1.5 px; noise {NOISE:g})"
    )
    report.line("    error: from the first, unwarped frame's landmarks, warped. spread: from the")
    report.line("    mean over the frames, each warped back (fair to back ends without memory)")
    report.line("    goal: error of .05 or less")
    report.line()
    errors: dict[str, list[Values]] = {row.label: [] for row in rows}
    spreads: dict[str, list[Values]] = {row.label: [] for row in rows}
    faces = []
    rough = Followed(BlazeFaceDetector, MeshLandmarker)
    for number, (name, index) in enumerate(NEUTRAL):
        image = read_clip(name, index, index)[0]
        where = rough([image])[0].astype(np.float64)
        if not np.isfinite(where).all():
            report.line(f"{name} {index}: no face found; left out")
            continue
        eye = eye_distance(where)
        faces.append((f"{name} {index}", eye))
        frames, transforms = warped_film(image, where, count=WARPS, noise=NOISE, seed=number)
        for row in rows:
            found = row.run(frames).astype(np.float64)
            true = np.stack([applied(w, found[0]) for w in transforms])
            errors[row.label].append(mean(distances(found, true, eye)[1:], axis=0))
            back = np.stack(
                [applied(inverse(w), f) for w, f in zip(transforms, found, strict=True)]
            )
            spreads[row.label].append(mean(distances(back, mean(back, axis=0), eye), axis=0))
    head = f"{'mean':>7}{'worst':>8} {'(which)':18}{'rigid':>6}"
    report.line(f"{'back end':28}{'error':8}{head[8:]}   spread {head[8:]}")
    for row in rows:
        cells = ""
        for values in (errors[row.label], spreads[row.label]):
            each = mean(np.stack(values), axis=0)
            value, which = worst(each[_ROI])
            cells += (
                f"{mean(each[_ROI]):7.3f}{value:8.3f} {f'({which})':18}{mean(each[_RIGID]):6.3f}"
            )
            cells += "   "
        report.line(f"{row.label:28}{cells.rstrip()}")
    report.line()
    labels = "".join(f"{row.label:>17}" for row in rows)
    report.line(f"{'mean error / spread by face':28}{'px':>6}{labels}")
    for k, (name, eye) in enumerate(faces):
        cells = "".join(
            f"{mean(errors[row.label][k][_ROI]):9.3f} / {mean(spreads[row.label][k][_ROI]):5.3f}"
            for row in rows
        )
        report.line(f"{name:28}{eye:6.0f}{cells}")
    report.line("(px: between the outer eye corners)")
    report.line()


# -- (b) still stretches ---------------------------------------------------------------------------


def still(report: Report, rows: list[Row]) -> None:
    report.line("(b) jitter on still stretches: rms of p[t-1] - 2 p[t] + p[t+1] over sqrt 6")
    clips = [(name, first, last, read_clip(name, first, last)) for name, first, last in STILL]
    for name, first, last, frames in clips:
        same = sum(np.array_equal(a, b) for a, b in pairwise(frames))
        report.line(f"    {name} {first}-{last}: {len(frames)} frames, {same} of them repeated")
    report.line()
    report.line(
        f"{'back end':28}{'mean':>7}{'worst':>8} {'(which)':18}{'rigid':>6}   mean by stretch"
    )
    for row in rows:
        per_clip = []
        for *_, frames in clips:
            found = row.run(frames).astype(np.float64)
            second = found[:-2] - 2 * found[1:-1] + found[2:]
            square = mean((second**2).sum(axis=-1), axis=0)
            per_clip.append(np.sqrt(square / 6) * (100 / eye_distance(found)))
        each = mean(np.stack(per_clip), axis=0)
        value, which = worst(each[_ROI])
        cells = " ".join(f"{mean(c[_ROI]):6.3f}" for c in per_clip)
        report.line(
            f"{row.label:28}{mean(each[_ROI]):7.3f}{value:8.3f} {f'({which})':18}"
            f"{mean(each[_RIGID]):6.3f}   {cells}"
        )
    report.line()


# -- (c) drift -------------------------------------------------------------------------------------


def drift(report: Report, rows: list[Row], minutes: float) -> None:
    report.line(
        "(c) drift: a clip played to and fro with fresh noise of 1 gray level; distance of the"
    )
    report.line("    landmarks from those at the first visit of the same frame")
    report.line("    offset: of a pass's mean position; what is left of 'end' is jitter. Goal: .3")
    report.line("    'end' is the last pass, 'highest' the worst pass or frame of the whole film")
    report.line(
        "    Drift is what is there while nothing moves; in the midst of a movement or a turn the"
    )
    report.line(
        "    way there differs from the way back, which the rows of all frames show beside it."
    )
    report.line()
    film = simulated_film("astronaut", None, seed=3, noise=0.0)
    still = read_clip("still_neutral.mp4", 0, 299)
    clips = {
        "still_neutral.mp4": (still, {"": np.ones(len(still), bool)}),
        "simulated: blinks, talk, expressions, head turns": (
            film.frames,
            {", at rest": film.classes["rest"], ", all frames": np.ones(len(film.frames), bool)},
        ),
    }
    for name, (frames, masks) in clips.items():
        report.line(f"{name} ({len(frames)} frames)")
        report.line(
            f"{'back end':28}{'minutes':>7}{'coverage':>9}{'end mean':>9}{'worst':>7}"
            f"{'offset':>7}{'worst':>7} {'(which)':18}{'highest pass':>12}{'offset':>7}{'frame':>7}"
        )
        for row in rows:
            # What has no memory cannot drift: a minute shows its jitter.
            length = minutes if row.remembers else min(minutes, 1.0)
            order = to_and_fro(len(frames), round(length * 60 * FPS))
            found = row.run(noisy(frames, order.tolist(), seed=7)).astype(np.float64)
            eye = eye_distance(found)
            span = len(frames) - 1
            at_first, now = found[order][:, _ROI], found[:, _ROI]
            coverage = np.isfinite(found[:, 0, 0]).mean()
            for what, chosen in masks.items():
                keep = chosen[order]
                apart = np.where(keep[:, None], distances(now, at_first, eye), np.nan)
                moved = np.where(keep[:, None, None], now - at_first, np.nan)
                passes = [slice(k, k + span) for k in range(span, len(order) - span + 1, span)]
                by_pass = np.stack([mean(apart[p], axis=0) for p in passes])
                shift = np.stack([mean(moved[p], axis=0) for p in passes])
                offset = np.hypot(shift[..., 0], shift[..., 1]) * (100 / eye)
                value, which = worst(offset[-1])
                label = f"{row.label}{what}"
                report.line(
                    f"{label:28}{length:7.1f}{coverage:9.1%}{mean(by_pass[-1]):9.3f}"
                    f"{worst(by_pass[-1])[0]:7.3f}{mean(offset[-1]):7.3f}{value:7.3f} "
                    f"{f'({which})':18}{np.nanmax(mean(by_pass, axis=1)):12.3f}"
                    f"{np.nanmax(mean(offset, axis=1)):7.3f}{np.nanmax(apart):7.3f}"
                )
        report.line()


# -- (d) simulated truth ---------------------------------------------------------------------------


def simulated(report: Report, rows: list[Row]) -> None:
    films = []
    for seed, name in enumerate(PORTRAITS):
        portrait = None if name is None else read_clip(name, 0, 0)[0]
        films.append(simulated_film(name or "astronaut", portrait, seed=seed + 3))
    counts = {c: sum(int(f.classes[c].sum()) for f in films) for c in films[0].classes}
    report.line(
        f"(d) error against the rendered truth on {len(films)} films of "
        f"{len(films[0].frames) / FPS:g} s ({', '.join(f.name for f in films)})"
    )
    report.line("    A network's point is not quite the simulator's: each landmark's mean distance")
    report.line(
        "    over the frames at rest is taken out, film by film. Skin is true, lids are not."
    )
    report.line("    Head turns of 12 degrees of yaw and 8 of pitch; frames: " + ", ".join(
        f"{name} {count}" for name, count in counts.items()))  # fmt: skip
    report.line("    each class: mean / 95th percentile / worst ROI's mean")
    report.line()
    report.line(
        f"{'back end':28}{'coverage':>9}" + "".join(f"{c:>23}" for c in ("all", *counts))
        + "   worst ROI of all"
    )  # fmt: skip
    for row in rows:
        errors = [_against_truth(row.run(film.frames), film) for film in films]
        coverage = np.concatenate([np.isfinite(e[:, 0]) for e in errors]).mean()
        cells = ""
        for name in ("all", *counts):
            chosen = np.concatenate(
                [
                    e if name == "all" else e[f.classes[name]]
                    for e, f in zip(errors, films, strict=True)
                ]
            )
            per_roi = mean(chosen, axis=0)
            peak = worst(per_roi)[0]
            cells += f"{mean(chosen):8.3f} /{percentile(chosen, 95):6.2f} /{peak:5.2f}"
        which = worst(mean(np.concatenate(errors), axis=0))[1]
        report.line(f"{row.label:28}{coverage:9.1%}{cells}   {which}")
    report.line()


def _against_truth(found: FloatArray, film: SimulatedFilm) -> Values:
    """(T, 12) % of the outer-eye distance, without each point's own offset at rest."""
    apart = found[:, _ROI].astype(np.float64) - film.truth[:, _ROI]
    apart -= mean(apart[film.classes["rest"]], axis=0)
    return distances(apart, np.zeros(2), eye_distance(film.truth))


# -- (e) speed -------------------------------------------------------------------------------------


def speed(report: Report, rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "face.mp4"
        film_video(path, 10.0)
        with closing(open_video(path)) as video:
            films: dict[str, list[ImageArray]] = {"film": [frame.image for frame in video]}
    films["talking"] = read_clip("talking_neutral.mpg")
    films["turning"] = read_clip("webcam_posed.mp4", 495, 640)
    films["mixed"] = read_clip("webcam_mixed.mp4", 0, 449)
    films["smile"] = read_clip("smile_512.mp4") + read_clip("fex_smile_still.mov")
    report.line(
        "(e) milliseconds a frame, detection included, decoding not; the quicker of two runs"
    )
    report.line(
        "    frame by frame. worst second: 30 frames. Each film: mean / median / worst second"
    )
    for name, frames in films.items():
        height, width = frames[0].shape[:2]
        report.line(f"    {name}: {len(frames)} frames of {width} x {height}")
    report.line()
    report.line(f"{'back end':28}" + "".join(f"{name:>22}" for name in films))
    quickest: dict[tuple[str, str], Values] = {}
    for _ in range(2):
        for name, frames in films.items():
            for row in rows:
                spent: list[float] = []
                row.run(clocked(frames, spent))
                ms = 1000 * np.array(spent)
                before = quickest.get((row.label, name), ms)
                quickest[row.label, name] = np.minimum(before, ms)
    for row in rows:
        cells = ""
        for name in films:
            ms = quickest[row.label, name]
            second = np.convolve(ms, np.ones(FPS) / FPS, mode="valid").max()
            cells += f"{ms.mean():8.1f} /{np.median(ms):5.1f} /{second:5.1f}"
        report.line(f"{row.label:28}{cells}")
    report.line()


# -- (f) poor pictures -----------------------------------------------------------------------------


def poor(report: Report, rows: list[Row], count: int) -> None:
    report.line(
        f"(f) pictures made poor: up to {count} frames of each of {len(POOR)} clips, rendered"
    )
    for name, first in POOR:
        report.line(f"    {name} from {first}")
    report.line(
        "    coverage: share of the frames with landmarks, of those that have them when clean"
    )
    report.line(
        "    error: distance of the 12 ROIs' landmarks from the same back end's in the clean"
    )
    report.line("    picture, brought there by the known geometry: that is consistency, not truth")
    report.line(f"    off: share of the frames with landmarks whose error exceeds {OFF:g} %")
    report.line()
    tally: dict[tuple[str, str], list[tuple[Values, npt.NDArray[np.bool_]]]] = {}
    told: dict[str, str] = {}
    rough_back_end = Followed(BlazeFaceDetector, MeshLandmarker)
    for name, first in POOR:
        frames = read_clip(name, first, first + count - 1)
        rough = _smoothed(rough_back_end(frames).astype(np.float64))
        eye = eye_distance(rough)
        clean: dict[str, FloatArray] = {}
        for case in poor_cases(frames[0].shape, eye):
            told[case.name] = case.what
            for row in rows:
                found = row.run(_rendered(case, frames, rough)).astype(np.float64)
                clean.setdefault(row.label, found)
                there = np.stack(
                    [case.moved(c, r) for c, r in zip(clean[row.label], rough, strict=True)]
                )
                size = eye_distance(np.stack([case.moved(r, r) for r in rough]))
                if case.name.startswith("yaw"):
                    size = eye  # turned away, the eyes are nearer to each other
                error = mean(distances(found[:, _ROI], there[:, _ROI], size), axis=1)
                had = np.isfinite(clean[row.label][:, 0, 0])
                tally.setdefault((case.name, row.label), []).append((error[had], had))
    report.line(f"{'':16}" + "".join(f"{row.label:>24}" for row in rows))
    report.line(f"{'':16}" + f"{'coverage  error   off':>24}" * len(rows))
    for case_name, what in told.items():
        cells = ""
        for row in rows:
            error = np.concatenate([e for e, _ in tally[case_name, row.label]])
            finite = error[np.isfinite(error)]
            coverage = len(finite) / max(1, len(error))
            if len(finite):
                cells += f"{coverage:11.0%}{finite.mean():7.2f}{(finite > OFF).mean():6.0%}"
            else:
                cells += f"{coverage:11.0%}{'-':>7}{'-':>6}"
        report.line(f"{case_name:16}{cells}  {what}")
    report.line()


def _smoothed(points: Points) -> Points:
    """(T, 68, 2), the mean over five frames; gaps filled by the nearest frame before or after."""
    seen = np.flatnonzero(np.isfinite(points[:, 0, 0]))
    if not len(seen):
        sys.exit("no face in a clip that is to be made poor")
    nearest = seen[np.abs(np.arange(len(points))[:, None] - seen).argmin(axis=1)]
    padded = np.pad(points[nearest], ((2, 2), (0, 0), (0, 0)), mode="edge")
    return np.stack([padded[k : k + 5].mean(axis=0) for k in range(len(points))])


def _rendered(case: Case, frames: Sequence[ImageArray], rough: Points) -> Iterator[ImageArray]:
    for image, landmarks in zip(frames, rough, strict=True):
        yield np.ascontiguousarray(case.render(image, landmarks))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--only", default=",".join(PARTS[:-1]), help=f"parts: {','.join(PARTS)}")
    parser.add_argument("--backends", default="", help="names, e.g. mesh,carried,default")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the film of (c)")
    parser.add_argument("--frames", type=int, default=60, help="of each clip of (f)")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    if set(parts) - set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    run: Mapping[str, Callable[[Report, list[Row]], None]] = {
        "warps": warps,
        "still": still,
        "drift": lambda report, rows: drift(report, rows, arguments.minutes),
        "simulated": simulated,
        "speed": speed,
        "poor": lambda report, rows: poor(report, rows, arguments.frames),
    }
    report = Report("Landmarks: % of the outer-eye distance, unless said otherwise")
    rows = back_ends(arguments.backends.split(",") if arguments.backends else None, report)
    for part in parts:
        run[part](report, rows)
    if arguments.save:
        report.save("landmarks-poor.txt" if parts == ["poor"] else "landmarks.txt")


if __name__ == "__main__":
    main()
