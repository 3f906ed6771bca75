"""A film of hours through `aumer.spot` and `aumer.features`: memory over time, CPU, cache, kills.

    python -m benchmarks.speed.hours PLACE [--hours 10] [--rate 10] [--kills N] [--save]

A real clip of twenty seconds is played forward and back (no cut) at a quarter of its area
until the film is long enough. A child process spots in it, and then measures it; the latter finds
the motion in the cache. What the child holds and has done is sampled every few seconds. Everything
lies in PLACE, so that a second start of the same command goes on from what is kept; a run of ten
hours of film takes hours of a core. With `--kills` the child is killed (SIGKILL) at N random
places of the film and started again: how many frames are analyzed a second time, and how long a
start takes up to its first frame. With `--late-kills` it is also killed N times after the last
frame, while it joins, decides and writes: how many seconds of a core had passed since something was
kept, which is what is spent a second time. Linux alone says what a process holds.
"""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.data import read_clip
from benchmarks.report import ROOT, Report, options

CLIP, CLIP_FPS = "webcam_mixed.mp4", 30
#: What is asked of a run: MB of memory, and seconds of work that a kill may cost.
MOST_MB, MOST_LOST_S = 1000, 10
#: Seconds from one sample to the next, and to the next line for whoever watches.
SAMPLE_S, TELL_S = 5.0, 300.0
WORK = ("spot", "features")

#: Says how far it is in a file of 12 digits, which a kill leaves as it is. The file is made when
#: the programs are loaded, which is no work that a kill could cost.
_CHILD = """
import sys, cv2, scipy.signal, torch, aumer
work, film, cache, out, told = sys.argv[1:]
place = open(told, "w", encoding="ascii")
def progress(done, total):
    place.seek(0)
    place.write(f"{done:12d}")
    place.flush()
aumer_work = {"spot": aumer.spot, "features": aumer.features}[work]
aumer_work(film, cache=cache, progress=progress, workers=1).save(out, overwrite=True)
"""


@dataclass(frozen=True)
class Sample:
    """What a child holds and has done.

    Attributes:
        work: one of `WORK`.
        start: which start of the child this is, from 0.
        wall_s, cpu_s: since that start.
        memory_mb: resident.
        frame: the last one that was analyzed; 0 before the first.
        cache_mb: on disk.
    """

    work: str
    start: int
    wall_s: float
    cpu_s: float
    memory_mb: float
    frame: int
    cache_mb: float


def film_of(path: Path, frames: int, rate: int) -> None:
    """Make the film where it is not there: one lap is encoded, and its packets are repeated."""
    if path.exists():
        return
    step = CLIP_FPS // rate
    pictures = [
        cv2.cvtColor(
            cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
            cv2.COLOR_RGB2BGR,
        )
        for picture in read_clip(CLIP)[::step]
    ]
    lap, made = path.with_name(f"lap-{path.name}"), path.with_name(f"making-{path.name}")
    size = pictures[0].shape[1::-1]
    writer = cv2.VideoWriter(str(lap), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    for picture in [*pictures, *pictures[-2:0:-1]]:
        writer.write(picture)
    writer.release()
    written = 0
    with av.open(str(made), "w") as film:
        while written < frames:
            with av.open(str(lap)) as source:
                if not film.streams.video:
                    film.add_stream_from_template(source.streams.video[0])
                begun = written
                for packet in source.demux(video=0):
                    if packet.pts is None or written >= frames:  # the end, which is no packet
                        continue
                    one = packet.duration
                    packet.pts = packet.dts = one * (begun + round(packet.pts / one))
                    packet.stream = film.streams.video[0]
                    film.mux(packet)
                    written += 1
    lap.unlink()
    made.replace(path)


def megabytes(folder: Path) -> float:
    """Of all files below a folder, while somebody works in it."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total / 1e6


def sampled(child: subprocess.Popen[bytes], begun: float) -> tuple[float, float, float]:
    """Seconds since the start, CPU seconds, and resident MB; zeros of one that has ended."""
    process = Path("/proc") / str(child.pid)
    times = (process / "stat").read_text().rpartition(")")[2].split()
    cpu = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
    pages = int((process / "statm").read_text().split()[1])
    return time.monotonic() - begun, cpu, pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Run:
    """The work on one film, in a folder; what was sampled is kept beside it.

    Args:
        kills: frames at which the child that spots is killed.
        late: seconds of a core after the last frame, or after a start that finds all frames in the
            cache, at which it is killed.
    """

    def __init__(
        self, place: Path, film: Path, frames: int, kills: list[int], late: list[float]
    ) -> None:
        self._place, self._film, self._kills = place, film, kills
        self._frames, self._late = frames, late
        self._cache, self._told = place / "cache", place / "frame.txt"
        self._table = place / "samples.csv"
        self.samples = list(self._kept())
        #: Frames that were analyzed before a kill, and again after it.
        self.lost: list[int] = []
        #: CPU seconds from each such start to its first frame, and from the very first one.
        self.to_first: list[float] = []
        #: Of each late kill: seconds of a core since the last frame, or since it was loaded, and
        #: those since something was kept, which are spent again.
        self.late_lost: list[tuple[float, float]] = []

    def _kept(self) -> Iterator[Sample]:
        if not self._table.exists():
            return
        with self._table.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if len(row) == len(fields(Sample)) and None not in row.values():
                    yield Sample(
                        row["work"],
                        int(row["start"]),
                        *(float(row[n]) for n in ("wall_s", "cpu_s", "memory_mb")),
                        int(row["frame"]),
                        float(row["cache_mb"]),
                    )

    def _keep(self, sample: Sample) -> None:
        self.samples.append(sample)
        new = not self._table.exists()
        with self._table.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow([one.name for one in fields(Sample)])
            writer.writerow(astuple(sample))

    def of(self, work: str) -> list[Sample]:
        return [s for s in self.samples if s.work == work]

    def do(self, work: str) -> Path:
        """Start the child until it has ended by itself.

        Raises:
            SystemExit: it failed.
        """
        out = self._place / f"out.{'json' if work == 'spot' else 'npz'}"
        while not out.exists():
            start = 1 + max((s.start for s in self.of(work)), default=-1)
            killed = self._once(work, out, start)
            if not killed and not out.exists():
                sys.exit(f"{work} failed; start the same command again to go on")
        return out

    def _after(self) -> list[str]:
        """What is kept of the time after the last frame: that all are there, motion, stages."""
        found = ("*.part/end.npz", "*.npz", "*.stages/*.npz")
        return sorted(str(path) for name in found for path in self._cache.glob(name))

    def _frame(self) -> int:
        try:
            return int(self._told.read_text(encoding="ascii") or 0)
        except (FileNotFoundError, ValueError):
            return 0

    def _once(self, work: str, out: Path, start: int) -> bool:
        """Whether it was killed."""
        before = self._frame() if start else 0
        self._told.unlink(missing_ok=True)
        words = [work, str(self._film), str(self._cache), str(out), str(self._told)]
        begun = told = time.monotonic()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            [sys.executable, "-c", _CHILD, *words], cwd=ROOT, env=environment
        ) as child:
            try:
                first = 0
                since: float | None = None  # CPU seconds up to the last frame
                loaded = 0.0  # and those before it begins
                kept, kept_at = self._after(), 0.0  # and the CPU seconds at which that was so
                killing = work == "spot" and bool(self._kills or self._late)
                while child.poll() is None:
                    try:
                        child.wait(0.05 if killing else SAMPLE_S)
                        break
                    except subprocess.TimeoutExpired:
                        pass
                    frame = self._frame()
                    if frame and not first and work == "spot":
                        first = frame
                        self.to_first.append(sampled(child, begun)[1])
                        if before:
                            self.lost.append(max(0, before - first + 1))
                    if self._kills and work == "spot" and frame >= self._kills[0]:
                        del self._kills[0]
                        child.send_signal(signal.SIGKILL)
                        child.wait()
                        return True
                    wall, cpu, memory = sampled(child, begun)
                    if not self._told.exists():
                        loaded = kept_at = cpu
                    now = self._after()
                    if now != kept:
                        kept, kept_at = now, cpu
                    late = bool(now) or frame >= self._frames
                    if not late:
                        since = cpu
                    after = cpu - (loaded if since is None else since)
                    if work == "spot" and late and self._late and after >= self._late[0]:
                        del self._late[0]
                        child.send_signal(signal.SIGKILL)
                        child.wait()
                        self.late_lost.append((after, min(after, cpu - kept_at)))
                        return True
                    last = self.samples[-1] if self.samples else Sample("", 0, 0, 0, 0, 0, 0)
                    same = (last.work, last.start) == (work, start)
                    if same and wall - last.wall_s < SAMPLE_S:
                        continue
                    held = megabytes(self._cache)
                    sample = Sample(work, start, wall, cpu, memory, frame, held)
                    self._keep(sample)
                    if time.monotonic() - told >= TELL_S:
                        told = time.monotonic()
                        print(
                            f"{work}: frame {frame}, {memory:.0f} MB, {cpu:.0f} s of CPU",
                            file=sys.stderr,
                            flush=True,
                        )
            except BaseException:
                child.kill()
                raise
        return False


def cpu_of(spot: list[Sample], frames: int) -> float:
    """CPU seconds of an analyzed frame."""
    cpu, done = 0.0, 0
    for a, b in pairwise(s for s in spot if 0 < s.frame < frames):
        if a.start == b.start:
            cpu, done = cpu + b.cpu_s - a.cpu_s, done + b.frame - a.frame
    return cpu / max(done, 1)


def tell(report: Report, run: Run, frames: int, rate: int, hours: float) -> None:
    """Memory and time along the film, of all starts together."""
    spot = run.of("spot")
    analyzing = [s for s in spot if 0 < s.frame < frames]
    report.line(f"{'of the film':>12}{'memory':>10}{'CPU of it':>15}{'cache':>10}")
    edges = np.linspace(0, frames, 11)
    for low, high in pairwise(edges):
        part = [s for s in analyzing if low < s.frame <= high]
        if not part:
            continue
        cpu = done = 0.0
        for a, b in pairwise(part):
            if a.start == b.start:
                cpu, done = cpu + b.cpu_s - a.cpu_s, done + b.frame - a.frame
        per_hour = f"{cpu / done * rate * 3600:6.0f} s/hour" if done else ""
        most = max(s.memory_mb for s in part)
        report.line(
            f"{high / frames:11.0%} {most:7.0f} MB{per_hour:>13}{part[-1].cache_mb:7.0f} MB"
        )
    report.line()
    for work in WORK:
        mine = run.of(work)
        if not mine:
            continue
        starts = sorted({s.start for s in mine})
        cpu = sum(max(s.cpu_s for s in mine if s.start == k) for k in starts)
        wall = sum(max(s.wall_s for s in mine if s.start == k) for k in starts)
        most = max(s.memory_mb for s in mine)
        report.line(
            f"{work}: {cpu:.0f} s of CPU ({cpu / hours:.0f} an hour of film), {wall:.0f} s in all, "
            f"{len(starts)} starts; most memory {most:.0f} MB "
            f"({MOST_MB} allowed: {'kept' if most <= MOST_MB else 'not kept'})"
        )
    final = [s for s in spot if s.frame >= frames]
    if final and analyzing:
        first = final[0]
        after = [s for s in final if s.start == first.start]
        report.line(
            f"after the last frame (joining, deciding, writing): "
            f"{after[-1].cpu_s - first.cpu_s:.0f} s of CPU, "
            f"{max(s.memory_mb for s in final):.0f} MB"
        )
        early = [s.memory_mb for s in analyzing if s.frame <= frames / 2 and s.wall_s > 60]
        late = [s.memory_mb for s in analyzing if s.frame > frames / 2 and s.wall_s > 60]
        if early and late:
            report.line(
                f"memory while it analyzes: at most {max(early):.0f} MB in the first half of the "
                f"film, {max(late):.0f} MB in the second"
            )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("place", type=Path, metavar="PLACE", help="folder for film, cache, samples")
    parser.add_argument("--hours", type=float, default=10.0, help="length of the film")
    parser.add_argument("--rate", type=int, default=10, choices=(10, 15, 30), help="frames/s")
    parser.add_argument("--kills", type=int, default=0, help="SIGKILLs while it spots")
    parser.add_argument(
        "--late-kills", type=int, default=0, help="SIGKILLs after the last frame of the film"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    hours, rate = arguments.hours, arguments.rate
    frames = round(hours * 3600 * rate)
    name = f"{hours:g}h-{rate}fps" + (f"-{arguments.kills}kills" if arguments.kills else "")
    place = arguments.place / name
    (place / "cache").mkdir(parents=True, exist_ok=True)
    film = arguments.place / f"film-{hours:g}h-{rate}fps.mp4"
    film_of(film, frames, rate)
    chance = random.Random(arguments.seed)
    kills = sorted(chance.randrange(600, frames) for _ in range(arguments.kills))
    # Seconds of a core: all of it takes about 4 for an hour, and a start goes on where one ended.
    late = [chance.uniform(0, 2 * hours) for _ in range(arguments.late_kills)]
    run = Run(place, film, frames, kills, late)
    made = {work: run.do(work) for work in WORK}

    report = Report(f"{hours:g} hours of film at {rate} frames/s through spot and features")
    report.line(
        f"{frames} frames, 256 x 240, {film.stat().st_size / 1e6:.0f} MB: {CLIP}, forward and back"
    )
    report.line()
    tell(report, run, frames, rate, hours)
    if run.lost:
        most = max(run.lost)
        seconds = most * cpu_of(run.of("spot"), frames)
        is_kept = "kept" if seconds <= MOST_LOST_S else "not kept"
        report.line(
            f"{len(run.lost)} kills: at most {most} frames analyzed again, {seconds:.1f} s of a "
            f"core ({MOST_LOST_S} allowed: {is_kept}): {run.lost}"
        )
        usual, *again = run.to_first
        spent = ", ".join(f"{s:.1f}" for s in again)
        report.line(
            f"CPU up to the first frame: {usual:.1f} s at the first start, at most "
            f"{max(again):.1f} s after a kill ({MOST_LOST_S} allowed): {spent}"
        )
    if run.late_lost:
        most_s = max(lost for _, lost in run.late_lost)
        each = ", ".join(f"{lost:.1f} of {after:.1f}" for after, lost in run.late_lost)
        report.line(
            f"{len(run.late_lost)} kills after the last frame: at most {most_s:.1f} s of a core "
            f"since something was kept ({MOST_LOST_S} allowed: "
            f"{'kept' if most_s <= MOST_LOST_S else 'not kept'}); of the seconds of each start: "
            f"{each}"
        )
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.0f} MB" for path in made.values())
    report.line(f"cache at the end {megabytes(place / 'cache'):.0f} MB; {sizes}")
    if arguments.save:
        report.save(f"hours-{name}.txt")


if __name__ == "__main__":
    main()
