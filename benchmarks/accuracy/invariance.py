"""What the features make of head motion, face size and frame rate.

    python -m benchmarks.accuracy.invariance [--save]

On a filmed portrait whose motion is known (`aumer.testing.moving_face`): the features of a still
face and of the same face under rigid head motion; those of one performance with a face 120 to 600
px wide; and the expressions spotted in one performance filmed at 24 to 200 frames a second.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aumer.config import load_settings
from aumer.motion.analysis import analyze
from aumer.pipeline import spot
from aumer.testing.moving_face import brow_raise, film, smile
from benchmarks.report import Report, options

#: Most head motion between two frames at 30 a second: px of the film (both axes), share, degrees.
MOST = {"2 px": (2.0, 0.0, 0.0), "0.5 %": (0.0, 0.005, 0.0), "0.5 deg": (0.0, 0.0, 0.5)}
MOST["all three"] = (2.0, 0.005, 0.5)


def magnitudes(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    values = analyze(frames, load_settings(), fps=30).features.values
    return np.linalg.norm(values.astype(np.float64), axis=-1)


def row(name: str, seen: npt.NDArray[np.float64], still: npt.NDArray[np.float64]) -> str:
    numbers = [seen.mean(), *np.quantile(seen, [0.5, 0.95, 0.99])]
    ratio = seen.mean() / still.mean()
    return f"{name:24}" + "".join(f"{n:9.4f}" for n in numbers) + f"{ratio:9.2f}"


def head_motion(report: Report) -> None:
    report.line("ROI motion in px of the 128 px crop, 2 s, sensor noise 1 gray level")
    report.line(f"{'head, most per frame':24}     mean   median      95%      99%  mean/still")
    times, scale = np.arange(60) / 30, 1.5
    frequency, phase = np.array([0.7, 0.9, 0.5, 0.6]), np.array([1.0, 2.0, 3.0, 4.0])
    still = magnitudes(film(times, scale=scale, window=(90, 0, 360, 250), noise=1.0))
    report.line(row("still", still, still))
    rng = np.random.default_rng(0)
    for name, (px, growth, turn) in MOST.items():
        most = np.array([px / scale, px / scale, growth, turn])

        def swing(t: float, most: npt.NDArray[np.float64] = most) -> tuple[float, ...]:
            wave = np.sin(2 * np.pi * frequency * t + phase)
            return tuple(most * 30 / (2 * np.pi * frequency) * wave)

        walk = np.cumsum(rng.uniform(-most, most, (61, 4)), axis=0)

        def shake(
            t: float, walk: npt.NDArray[np.float64] = walk
        ) -> tuple[float, ...]:  # a new velocity on every frame, as no neck can
            return tuple(walk[round(t * 30)])

        for kind, head in (("swing", swing), ("shake", shake)):
            frames = film(times, scale=scale, window=(90, 0, 360, 250), noise=1.0, head=head)
            report.line(row(f"{name}, {kind}", magnitudes(frames), still))


def face_size(report: Report) -> None:
    report.line()
    report.line("one smile and one brow raise; length of the motion of the ROIs that move, px")
    times = np.arange(45) / 30
    bumps = smile(0.2, 0.5, 1.0) + brow_raise(0.9, 1.1, 1.4)
    reference: list[float] = []
    for width in (600, 400, 240, 120):
        frames = film(times, bumps=bumps, scale=width / 95, window=(130, 20, 320, 210))
        values = analyze(frames, load_settings(), fps=30).features.values
        moved = [np.linalg.norm(values[5:31, [8, 10]]), np.linalg.norm(values[26:43, :6])]
        reference = reference or [float(m) for m in moved]
        report.line(
            f"face {width:4} px wide: smile {moved[0]:.3f} ({moved[0] / reference[0]:.2f}), "
            f"brow raise {moved[1]:.3f} ({moved[1] / reference[1]:.2f})"
        )


def frame_rate(report: Report) -> None:
    report.line()
    report.line("one performance: smile 1.000-1.350-2.000 s, brow raise 2.600-2.750-2.950 s")
    bumps = smile(1.0, 1.35, 2.0, px=4.0) + brow_raise(2.6, 2.75, 2.95)
    for fps in (24, 30, 60, 100, 200):
        times = np.arange(round(3.6 * fps)) / fps
        frames = film(times, bumps=bumps, scale=1.5, window=(130, 20, 320, 210), noise=1.0)
        found = spot(frames, fps=fps).expressions
        report.line(
            f"{fps:4} frames/s: "
            + "; ".join(
                f"{e.kind} {e.onset_s:.3f}-{e.apex_s:.3f}-{e.offset_s:.3f} s" for e in found
            )
        )


def main() -> None:
    parser = options(__doc__)
    arguments = parser.parse_args()
    report = Report("Head motion, face size, frame rate")
    head_motion(report)
    face_size(report)
    frame_rate(report)
    if arguments.save:
        report.save("invariance.txt")


if __name__ == "__main__":
    main()
