"""TV-L1 against OpenCV's: speed, agreement on real faces, error against true motion.

    python -m benchmarks.speed.flow [--quick] [--save]

Times are measured alternately, ours then OpenCV's, pair by pair in one process; ratios are of the
least time of each over the repeats. OpenCV computes one pair on all cores; `1 thread` holds it to
one, as ours is. In bulk either has all cores: OpenCV its own threads, ours one pair a core.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from aumer.config import load_settings
from aumer.flow import Flow
from aumer.flow.opencv import dis, farneback, tvl1_opencv
from aumer.flow.tvl1 import tvl1, tvl1_pairs
from aumer.motion import mdmo, roi_motion
from aumer.testing.moving_face import film
from benchmarks.flows import SIZES, Pair, face_pairs, length
from benchmarks.report import Report, options

FLOWS: dict[str, Flow] = {"opencv": tvl1_opencv, "ours": tvl1, "dis": dis, "farneback": farneback}
AMPLITUDES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def speed(report: Report, faces: dict[int, list[Pair]], repeats: int) -> None:
    report.line("time of one pair, ms (least of each pair's repeats, mean over pairs), and ratio")
    report.line("   px     ours   opencv  opencv 1 thread    ratio  ratio 1 thread    bulk ratio")
    cores = cv2.getNumThreads()
    for size in SIZES:
        pairs = [(a.gray, b.gray) for a, b in faces[size][:: max(1, len(faces[size]) // 5)]]
        times = np.full((len(pairs), 3), np.inf)
        for _ in range(repeats):
            for k, pair in enumerate(pairs):
                times[k, 0] = min(times[k, 0], seconds(lambda pair=pair: tvl1(*pair)))
                for column, threads in ((1, cores), (2, 1)):
                    cv2.setNumThreads(threads)
                    spent = seconds(lambda pair=pair: tvl1_opencv(*pair))
                    times[k, column] = min(times[k, column], spent)
        cv2.setNumThreads(cores)
        a, b = (np.stack([pair[k] for pair in pairs]) for k in range(2))
        bulk = np.full(2, np.inf)
        for _ in range(repeats):
            bulk[0] = min(bulk[0], seconds(lambda a=a, b=b: tvl1_pairs(a, b)))
            bulk[1] = min(bulk[1], seconds(lambda p=pairs: [tvl1_opencv(*pair) for pair in p]))
        ours, theirs, single = 1e3 * times.mean(axis=0)
        report.line(
            f"{size:5}{ours:9.1f}{theirs:9.1f}{single:17.1f}{theirs / ours:9.1f}"
            f"{single / ours:16.1f}{bulk[1] / bulk[0]:14.1f}"
        )


def linear(report: Report, faces: dict[int, list[Pair]], repeats: int) -> None:
    report.line()
    report.line("cost in frames and pixels: ours, one thread, ns per pixel and pair")
    for size in SIZES:
        pairs = [(a.gray, b.gray) for a, b in faces[size][:8]]
        cells = []
        for count in (2, 4, 8):
            spent = min(
                seconds(lambda p=pairs[:count]: [tvl1(*pair) for pair in p]) for _ in range(repeats)
            )
            cells.append(f"{count} pairs {1e9 * spent / (len(pairs[:count]) * size**2):6.0f}")
        report.line(f"{size:5} px  " + "   ".join(cells))


def true_motion(report: Report) -> None:
    report.line()
    report.line("mean error in px against the true motion (portrait shifted four ways, inner part)")
    report.line("amplitude" + "".join(f"{name:>11}" for name in FLOWS))
    for amplitude in AMPLITUDES:
        errors: dict[str, list[float]] = {name: [] for name in FLOWS}
        for angle in 0.4 + np.arange(4) * np.pi / 2:
            shift = np.float32([amplitude * np.cos(angle), amplitude * np.sin(angle)])
            frames = film(
                np.array([0.0, 1.0]),
                head=lambda t, s=shift: (t * s[0], t * s[1], 0.0, 0.0),
                window=(160, 50, 288, 178),
            )
            a, b = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)
            for name, flow in FLOWS.items():
                errors[name].append(float(length(flow(a, b) - shift)[16:-16, 16:-16].mean()))
        report.line(f"{amplitude:9.2f}" + "".join(f"{np.mean(e):11.4f}" for e in errors.values()))


def photometric(pair: Pair, field: npt.NDArray[np.float32]) -> float:
    """Mean gray-level difference between the first face and the second warped back."""
    a, b = (face.gray.astype(np.float32) for face in pair)
    y, x = np.mgrid[: a.shape[0], : a.shape[1]].astype(np.float32)
    there = cv2.remap(
        b, x + field[..., 0], y + field[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return float(np.abs(there - a)[4:-4, 4:-4].mean())


def agreement(report: Report, pairs: list[Pair]) -> None:
    settings = load_settings().motion
    nodes = list(mdmo.ROIS.values())
    names = ("opencv", "ours", "dis", "farneback")
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    motion: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in names}
    inside_flow, inside_error, shares = [], [], []
    for pair in pairs:
        fields = {name: FLOWS[name](pair[0].gray, pair[1].gray) for name in names}
        mask = np.zeros(pair[0].gray.shape, bool)
        for x, y in np.rint(pair[1].landmarks[nodes]).astype(int):
            r = settings.roi_radius
            mask[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1] = True
        inside_flow.append(float(length(fields["opencv"])[mask].mean()))
        inside_error.append(float(length(fields["ours"] - fields["opencv"])[mask].mean()))
        epe = float(length(fields["ours"] - fields["opencv"]).mean())
        shares.append(epe / inside_flow[-1])
        found = {
            n: roi_motion(*pair, lambda a, b, f=field: f, settings) for n, field in fields.items()
        }
        for name, field in fields.items():
            gap = float(length(field - fields["opencv"]).mean())
            rows[name].append((gap, photometric(pair, field), float(length(field).mean())))
        if all(value is not None for value in found.values()):
            for name, value in found.items():
                motion[name].append(value)
    report.line()
    report.line(f"{len(pairs)} pairs of real faces at 128 px; distance is to OpenCV's TV-L1, px")
    report.line(f"{'':10}  distance  photometric  mean flow  MDMO correlation")
    reference = np.stack(motion["opencv"]).ravel()
    for name in names:
        gap, error, mean = np.mean(rows[name], axis=0)
        correlation = np.corrcoef(np.stack(motion[name]).ravel(), reference)[0, 1]
        report.line(f"{name:10}{gap:10.4f}{error:13.4f}{mean:11.4f}{correlation:18.4f}")
    whole = float(np.mean([row[0] for row in rows["ours"]]) / np.mean(inside_flow))
    report.line(
        f"inside the ROIs: mean flow {np.mean(inside_flow):.4f} px, ours differs by "
        f"{np.mean(inside_error):.4f} px ({np.sum(inside_error) / np.sum(inside_flow):.1%}); the "
        f"whole crop's difference is {whole:.1%} "
        f"of it (median pair {np.median(shares):.1%}, worst {np.max(shares):.1%})"
    )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer pairs and repeats")
    arguments = parser.parse_args()
    faces = face_pairs(3 if arguments.quick else 6)
    repeats = 2 if arguments.quick else 5
    report = Report("TV-L1 against OpenCV's")
    for flow in FLOWS.values():  # compiled, loaded
        flow(faces[128][0][0].gray, faces[128][0][1].gray)
    report.line(f"load average {os.getloadavg()[0]:.1f} when timing began")
    speed(report, faces, repeats)
    linear(report, faces, repeats)
    true_motion(report)
    agreement(report, faces[128])
    if arguments.save:
        report.save("flow.txt")


if __name__ == "__main__":
    main()
