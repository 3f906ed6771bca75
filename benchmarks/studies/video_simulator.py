"""Whether flow measured on simulated film is the motion that was rendered, and as on real film.

    python -m benchmarks.studies.video_simulator [--pairs N] [--save]

(a) End-point error of OpenCV's flows on the aligned face crop against the rendered motion, by true
amplitude, with sensor noise and without. Pairs of instants of varied distance of expressions at
every intensity, with sway, turns and light; the crop's alignment is the same for both frames of a
pair, so that the true motion holds head motion and expression together. Pixels of the inner face
only (the landmarks' hull); eyes and the inside of the mouth, which move otherwise than skin, are
left out.

(b) How far the flows lie from one another (mean distance, px of the crop) on pairs of neighboring
frames of simulated film and of the shared real videos, by their mean amplitude: where real film
makes two flows disagree, simulated film should, too.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from contextlib import closing
from itertools import combinations, pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aumer.config import load_settings
from aumer.face.track import FaceTracker
from aumer.flow.opencv import dis, farneback, tvl1_opencv
from aumer.motion import AlignedFace, align
from aumer.simulate.timeline import Event, Timeline, draw
from aumer.simulate.video import Film, Nuisance, write_video
from aumer.simulate.warp import Face
from aumer.types import FloatArray
from aumer.video import open_video
from benchmarks.data import test_data
from benchmarks.flows import ACTIONS, truth_on_crop
from benchmarks.report import Report, options

FLOWS = {"dis": dis, "farneback": farneback, "tvl1": tvl1_opencv}
BINS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, np.inf)
CLIPS = (
    "fex_smile_still.mov", "selfie_smile.mp4", "smile_512.mp4", "webcam_mixed.mp4",
    "talking_neutral.mpg",
)  # fmt: skip
#: Pixels nearer than this to an eye or a mouth (px of the crop) are left out of (a).
APART = 4
Mask = npt.NDArray[np.bool_]


def name(low: float, high: float) -> str:
    return f"{low:g}-{high:g}" if np.isfinite(high) else f">{low:g}"


def skin(landmarks: FloatArray, crop: int) -> Mask:
    """(C, C): the hull of the face without eyes and mouth."""
    mask = np.zeros((crop, crop), np.uint8)
    points = np.rint(landmarks).astype(np.int32)
    cv2.fillConvexPoly(mask, cv2.convexHull(points), 1)
    for part in (slice(36, 42), slice(42, 48), slice(48, 60)):
        hole = np.zeros_like(mask)
        cv2.fillConvexPoly(hole, cv2.convexHull(points[part]), 1)
        mask[cv2.dilate(hole, np.ones((2 * APART + 1,) * 2)) > 0] = 0
    return mask > 0


def end_point_errors(report: Report, pairs: int, noise: float, crop: int) -> None:
    rng = np.random.default_rng(0)
    face = Face(None, (640, 480))
    errors: dict[str, dict[str, list[npt.NDArray[np.float64]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for number in range(pairs):
        actions = tuple((au, "both") for au in ACTIONS[number % len(ACTIONS)])
        event = Event("macro", actions, 0.5, 1.0, 1.5, 2.0, float(rng.uniform(0.2, 1.0)))
        nuisance = Nuisance.none(sway=1.0, turns=1.0, light=1.0, noise=noise)
        film = Film(Timeline(3.0, (event,)), nuisance=nuisance, seed=number, face=face)
        # From one frame at 200 fps to most of the rise, as against a reference frame.
        gap = float(np.exp(rng.uniform(np.log(1 / 200), np.log(0.45))))
        t = float(rng.uniform(0.5, 1.0 - gap))
        landmarks = film.landmarks(t).astype(np.float32)
        before = align(film.frame(t, 2 * number), landmarks, crop)
        after = align(film.frame(t + gap, 2 * number + 1), landmarks, crop)
        true = truth_on_crop(film.motion(t, t + gap), landmarks, before)
        mask = skin(before.landmarks, crop)
        size = np.hypot(*np.moveaxis(true[mask], -1, 0))
        for label, measure in FLOWS.items():
            error = np.hypot(
                *np.moveaxis(measure(before.gray, after.gray)[mask] - true[mask], -1, 0)
            )
            for low, high in pairwise(BINS):
                inside = (size >= low) & (size < high)
                errors[label][name(low, high)].append(error[inside])
                if label == "dis":
                    errors["true"][name(low, high)].append(size[inside])
    report.line(f"(a) end-point error, px of the {crop} px crop; noise x {noise:g}; {pairs} pairs")
    report.line(
        f"{'true px':>10} {'pixels':>8} {'mean true':>9}"
        + "".join(f" {f'{f} mean':>14} {'median':>7}" for f in FLOWS)
    )
    for row in errors["true"]:
        true_size = np.concatenate(errors["true"][row])
        if len(true_size) < 200:
            continue
        cells = ""
        for label in FLOWS:
            e = np.concatenate(errors[label][row])
            cells += f" {e.mean():14.3f} {np.median(e):7.3f}"
        report.line(f"{row:>10} {len(true_size):8} {true_size.mean():9.3f}{cells}")
    report.line()


def agreement(
    path: Path, pairs: int, crop: int
) -> list[tuple[float, dict[tuple[str, str], float]]]:
    """For pairs of neighboring frames spread over a film: mean amplitude and flows' distances."""
    tracker = FaceTracker.from_settings(load_settings().face)
    faces: list[AlignedFace | None] = []
    with closing(tracker), closing(open_video(path)) as video:
        for frame in video:
            face = tracker(frame.image)
            faces.append(align(frame.image, face.landmarks, crop) if face else None)
    rows = []
    for k in np.unique(np.linspace(0, len(faces) - 2, pairs).astype(int)):
        before, after = faces[k], faces[k + 1]
        if before is None or after is None or np.array_equal(before.gray, after.gray):
            continue
        mask = skin(before.landmarks, crop)
        flows = {label: f(before.gray, after.gray)[mask] for label, f in FLOWS.items()}
        size = float(np.mean([np.hypot(*f.T).mean() for f in flows.values()]))
        apart = {
            pair: float(np.hypot(*(flows[pair[0]] - flows[pair[1]]).T).mean())
            for pair in combinations(FLOWS, 2)
        }
        rows.append((size, apart))
    return rows


def agreements(report: Report, pairs: int, crop: int) -> None:
    couples = list(combinations(FLOWS, 2))
    report.line("(b) mean distance between flows on neighboring frames, px of the crop")
    report.line(
        f"{'film':24} {'amplitude':>9}"
        + "".join(f" {'-'.join(c):>15}" for c in couples)
        + "   distance / amplitude"
    )

    def tell(label: str, rows: list[tuple[float, dict[tuple[str, str], float]]]) -> None:
        size = float(np.mean([row[0] for row in rows]))
        apart = [float(np.mean([row[1][couple] for row in rows])) for couple in couples]
        shares = " ".join(f"{a / size:.2f}" for a in apart)
        report.line(
            f"{label:24} {size:9.3f}" + "".join(f" {a:15.3f}" for a in apart) + f"   {shares}"
        )

    # As aumer films, and as a poor webcam does in the evening.
    poor = Nuisance(noise=2.5, quality=50)
    for label, nuisance in (("simulated", Nuisance()), ("simulated, poor camera", poor)):
        everything = []
        for seed in range(2):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "film.mp4"
                timeline = draw(np.random.default_rng(seed), 6.0, rate_per_min=30)
                write_video(path, timeline, nuisance=nuisance, seed=seed)
                everything += agreement(path, pairs, crop)
        tell(label, everything)
    everything = []
    for clip in CLIPS:
        rows = agreement(test_data() / "videos" / clip, pairs, crop)
        everything += rows
        tell(clip, rows)
    tell("real", everything)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--pairs", type=int, default=42, help="pairs for each figure of (a)")
    arguments = parser.parse_args()
    report = Report("Flow on simulated film: end-point error and agreement")
    crop = load_settings().motion.crop
    for noise in (0.0, 1.0):
        end_point_errors(report, arguments.pairs, noise, crop)
    agreements(report, max(4, arguments.pairs // 3), crop)
    if arguments.save:
        report.save("video_simulator.txt")


if __name__ == "__main__":
    main()
