"""Motion by windows in torch on a device beside the CPU's: by how much they differ, and the times.

    python -m benchmarks.speed.motion_device [--device NAME] [--frames N] [--batches N ...]
                                             [--workers N] [--repeats N] [--save]

Frames of shared clips with the landmarks of aumer's own tracker go through both in one process, one
after the other, as often as --repeats says, and the least time of each counts. It is that of a
whole run of `RunMotion`: crops, windows and the path, but neither decoding nor landmarks. Each has
as many threads as --workers says: the CPU's measures frames side by side, torch divides its
operations. Differences are those of the steps between frames, in px of the 128 px crop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from aumer.config import MotionSettings, load_settings
from aumer.face.track import FaceTracker
from aumer.motion import RunMotion
from aumer.motion.windows import WindowMotion
from aumer.motion.windows_torch import TorchWindowMotion
from aumer.types import FloatArray, ImageArray
from aumer.video import open_video
from benchmarks.data import test_data
from benchmarks.report import Report, options

CLIPS = (
    "videos/talking_neutral.mpg",
    "videos/webcam_mixed.mp4",
    "videos/fex_smile_still.mov",
    "videos_more/webcam_posed.mp4",
    "videos_more/still_neutral.mp4",
)
Frames = Sequence[tuple[ImageArray, FloatArray]]
Make = Callable[[Executor, MotionSettings], RunMotion]


def followed(name: str, count: int) -> Frames:
    """The first frames of a clip that show a face without a break, and its landmarks."""
    tracker = FaceTracker.from_settings(load_settings().face)
    found = []
    with closing(open_video(test_data() / name)) as video:
        for frame in islice(video, count):
            face = tracker(frame.image)
            if face is None:
                break
            found.append((frame.image, face.landmarks))
    return found


def measured(
    make: Make, frames: Frames, settings: MotionSettings, workers: int
) -> tuple[FloatArray, float]:
    """Steps (n - 1, R, 2) of one run, and the seconds it took."""
    with ThreadPoolExecutor(workers) as pool:
        begin = time.perf_counter()
        motion = make(pool, settings)
        for image, landmarks in frames:
            motion.add(image, landmarks)
        steps, _ = motion.steps()
        return steps, time.perf_counter() - begin


def differences(a: FloatArray, b: FloatArray) -> npt.NDArray[np.float32]:
    """Of steps that are known to either; infinite where the other does not know them."""
    known = np.isfinite(a) | np.isfinite(b)
    return np.nan_to_num(np.abs(a - b)[known], nan=np.inf)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--frames", type=int, default=300, help="of each clip, at most")
    parser.add_argument("--batches", type=int, nargs="+", help="left out, the default")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    torch.set_num_threads(arguments.workers)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    settings = replace(load_settings().motion, preset="windows")
    report = Report(f"Motion by windows in torch on {name}, beside the CPU's")
    report.line(f"{arguments.workers} threads for each")
    report.line(
        "clip                          frames  batch  CPU ms/frame  torch ms/frame  CPU / torch"
        "  largest px  mean px  over .001"
    )
    worst = 0.0
    for clip in CLIPS:
        frames = followed(clip, arguments.frames)
        for batch in arguments.batches or [None]:

            def ours(pool: Executor, chosen: MotionSettings, size: int | None = batch) -> RunMotion:
                return TorchWindowMotion(pool, chosen, device=device, batch=size)

            times = []
            # Once more than is counted: numba loads and CUDA warms up.
            for _ in range(arguments.repeats + 1):
                wanted, cpu = measured(WindowMotion, frames, settings, arguments.workers)
                found, there = measured(ours, frames, settings, arguments.workers)
                times.append((cpu, there))
            cpu, there = (1e3 * min(t) / len(frames) for t in zip(*times[1:], strict=True))
            apart = differences(wanted, found)
            worst = max(worst, float(apart.max()))
            report.line(
                f"{clip:30}{len(frames):6}{batch or 'auto':>7}{cpu:14.2f}{there:16.2f}"
                f"{cpu / there:13.2f}{apart.max():12.6f}{apart.mean():9.6f}"
                f"{int((apart > 1e-3).sum()):5} of {apart.size}"
            )
    report.line(f"largest difference: {worst:.6f} px")
    if arguments.save:
        report.save(f"motion_device-{device.type}.txt")


if __name__ == "__main__":
    main()
