"""Where the time goes, and how much memory it takes.

    python -m benchmarks.speed.pipeline [--seconds 20] [--save]
    python -m benchmarks.speed.pipeline --memory 1,10 [--save]

Films a moving portrait at 640 x 480 and 30 frames a second, then prints for each motion stage (the
windows that are the default, and each dense flow), in one run: milliseconds a frame of each stage
alone on one thread, and frames a second of the whole pipeline from file to expressions by rules,
with the ratio to real time. "decode" is what the loop waits for
the decoder's thread. With `--memory`, lengths in minutes: the pipeline runs on videos of these
lengths, each in a process of its own, and its peak resident memory is printed instead.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from aumer import registry
from aumer.config import PRESETS, Settings, load_settings
from aumer.errors import BackendUnavailable
from aumer.face.track import FaceTracker
from aumer.motion import Motions
from aumer.pipeline import spot
from aumer.spotting.rules import RuleSpotter
from aumer.types import Frame
from aumer.video import open_video
from benchmarks.films import FPS, film_video
from benchmarks.report import ROOT, Report, options

T = TypeVar("T")

#: Runs the pipeline and prints frames, seconds and peak resident kilobytes.
_CHILD = """
import resource, sys, time
import aumer
begin = time.perf_counter()
result = aumer.spot(sys.argv[1])
print(len(result.track), time.perf_counter() - begin,
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class Clock:
    """Sums the time spent in one stage."""

    def __init__(self) -> None:
        self.total = 0.0

    def of(self, work: Callable[[], T]) -> T:
        begin = time.perf_counter()
        done = work()
        self.total += time.perf_counter() - begin
        return done


class Inline(Executor):
    """Does at once, on the caller's thread, what it is given."""

    def submit(  # type: ignore[override]
        self, work: Callable[..., T], /, *args: object, **kwargs: object
    ) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(work(*args, **kwargs))
        return done


def settings_of(motion: str) -> Settings:
    """With the motion stage called so: "windows", or a dense flow."""
    named = {"preset": motion} if motion in PRESETS else {"preset": "flow", "flow": motion}
    return load_settings(overrides={"motion": named})


def stages(video: Path, motion: str) -> dict[str, float]:
    """Milliseconds a frame of each stage, one after the other on this thread."""
    settings = settings_of(motion)
    clocks = {name: Clock() for name in ("decode", "face", "motion", "spot")}
    tracker = FaceTracker.from_settings(settings.face)
    moved = Motions(settings.motion)(Inline())

    frames: Iterator[Frame] = iter(open_video(video, queue_size=1))
    count = 0
    while (frame := clocks["decode"].of(lambda: next(frames, None))) is not None:
        count += 1
        face = clocks["face"].of(lambda image=frame.image: tracker(image))
        if face is not None:
            clocks["motion"].of(lambda f=frame, p=face: moved.add(f.image, p.landmarks))
    clocks["motion"].of(moved.steps)
    features = spot(video, model="rules", settings=settings).features
    assert features is not None
    spotter = RuleSpotter.from_settings(settings)
    clocks["spot"].of(lambda: spotter(features))
    return {name: 1000 * clock.total / count for name, clock in clocks.items()}


def whole(video: Path, motion: str) -> float:
    """Frames a second from file to expressions, everything included but the imports."""
    begin = time.perf_counter()
    result = spot(video, model="rules", settings=settings_of(motion))
    assert result.track is not None
    return len(result.track) / (time.perf_counter() - begin)


def speed(report: Report, seconds: float, motions: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "face.mp4"
        film_video(video, seconds)
        spot(video, end=1.0)  # imports, models and threads are up before anything is timed
        for k, name in enumerate(motions):
            # Compiles what needs it.
            spot(video, end=1.5, model="rules", settings=settings_of(name))
            spent = stages(video, name)
            if k == 0:
                report.line(
                    f"{'motion':14}"
                    + "".join(f"{s:>9}" for s in spent)
                    + "   sum   whole  real time"
                )
            rate = whole(video, name)
            report.line(
                f"{name:14}"
                + "".join(f"{ms:9.2f}" for ms in spent.values())
                + f"{sum(spent.values()):7.1f}  {rate:5.1f}/s  {rate / FPS:6.2f} x"
                + f"   slowest: {max(spent, key=lambda stage: spent[stage])}"
            )
        report.line()
        faces(report, video)


def faces(report: Report, video: Path) -> None:
    """The face stage by back end, in turn on stretches of one film: noise hits all alike."""
    settings = load_settings().face
    mediapipe = replace(settings, detector="mediapipe", landmarker="mediapipe", carry=False)
    images = [frame.image for frame in open_video(video)]
    trackers = {}
    for name, chosen in (("default", settings), ("mediapipe", mediapipe)):
        try:
            trackers[name] = FaceTracker.from_settings(chosen)
        except BackendUnavailable as error:
            report.line(f"face stage, {name}: left out: {str(error).splitlines()[0][:60]}...")
    spent: dict[str, list[float]] = {name: [] for name in trackers}
    for k in range(0, len(images) - FPS + 1, FPS):
        for name, tracker in trackers.items():
            begin = time.perf_counter()
            for image in images[k : k + FPS]:
                tracker(image)
            spent[name].append(1000 * (time.perf_counter() - begin) / FPS)
    for name, seconds in spent.items():
        # The first second loads what comes lazily.
        report.line(
            f"face stage, {name}: {np.mean(seconds[1:]):.2f} ms a frame, worst second "
            f"{max(seconds[1:]):.2f}"
        )
    if len(spent) > 1:
        ratio = np.mean(spent["default"][1:]) / np.mean(spent["mediapipe"][1:])
        report.line(f"face stage, default / mediapipe: {ratio:.2f}")


def memory(report: Report, minutes: list[float]) -> None:
    report.line("peak resident memory of a process that spots in a video of")
    for length in minutes:
        with tempfile.TemporaryDirectory() as folder:
            video = Path(folder) / "long.mp4"
            film_video(video, 10.0, repeat=max(1, round(length * 6)))
            out = subprocess.run(
                [sys.executable, "-c", _CHILD, str(video)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
        frames, seconds, kilobytes = int(out[0]), float(out[1]), int(out[2])
        report.line(
            f"{length:6.1f} minutes ({frames} frames): {kilobytes / 1024:7.0f} MiB, "
            f"{frames / seconds:.0f} frames/s"
        )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the video")
    parser.add_argument(
        "--motions",
        default=",".join(["windows", *registry.names("flow")]),
        help="windows, and dense flows by name",
    )
    parser.add_argument("--memory", default="", help="minutes, e.g. 1,10: print peak memory")
    arguments = parser.parse_args()
    if arguments.memory:
        report = Report("Pipeline: peak resident memory by length, 640 x 480, 30 frames/s")
        memory(report, [float(m) for m in arguments.memory.split(",")])
    else:
        report = Report("Pipeline: ms a frame by stage, frames a second as a whole, 640 x 480")
        speed(report, arguments.seconds, arguments.motions.split(","))
    if arguments.save:
        report.save("memory.txt" if arguments.memory else "pipeline.txt")


if __name__ == "__main__":
    main()
