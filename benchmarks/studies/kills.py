"""Runs that are killed at random instants: does the same command go on to an equal result?

    python -m benchmarks.studies.kills [--kills N] [--seed S] [--only COMMAND ...] [--save]

Small runs of `aumer spot`, `train` and `bench`, each N times: killed at an instant drawn between
a third of its time (before that, Python imports) and its end, half of them by SIGKILL and half by
SIGTERM, every third a second time as it goes on, and then given again until it is done. A run fails
whose result differs from that of an unbroken one, that left a file in its place that is not whole,
that could not go on, or whose folders hold more than an unbroken run's at the end. Exit code 1 if
any fails.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from aumer.simulate.features import simulate_features, write_features
from benchmarks.films import film_video
from benchmarks.report import ROOT, Report, options

#: What differs between two runs that are the same.
_TIMES = frozenset(("seconds", "training_seconds", "made", "sha256", "command", "last_epoch"))
#: So old that what is temporary may be nobody's (s).
_OLD_S = 7200.0


@dataclass(frozen=True)
class Job:
    """A command that writes into a folder, which is the last of its words.

    Attributes:
        words: of the command line, "@" for the folder of the run.
        result: what is in such a folder, to be compared; raises where a file is not whole.
        begun: files of which one shows that there was something to go on from.
    """

    words: tuple[str, ...]
    result: Callable[[Path], dict[str, Any]]
    begun: str


def plain(value: Any) -> Any:
    """A document without the times that it took."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in _TIMES}
    return [plain(v) for v in value] if isinstance(value, list) else value


def documents(folder: Path) -> dict[str, Any]:
    """Every JSON file of a folder, by its place."""
    found = {}
    for path in sorted(folder.rglob("*.json")):
        text = path.read_text(encoding="utf-8").replace(str(folder), "@")
        found[path.relative_to(folder).as_posix()] = plain(json.loads(text))
    return found


def trained(folder: Path) -> dict[str, Any]:
    """Weights and log."""
    found: dict[str, Any] = {}
    for path in folder.glob("model.safetensors"):
        found |= {name: array.tolist() for name, array in load_file(path).items()}
    for path in folder.glob("log.jsonl"):
        found["log"] = [plain(json.loads(line)) for line in path.read_text().splitlines()]
    return found


#: Of `aumer`'s training, what makes it small: of a training run and of a bench.
SMALL = {
    "epochs": "4",
    "window_s": "5.0",
    "net_overrides.widths": "[8, 8]",
    "net_overrides.kernels": "[1, 3]",
    "net_overrides.dilations": "[1, 2]",
    "net_overrides.graph_width": "2",
}
#: Rows of a video of 15 s: macro, micro, macro; onset, apex, offset at 30 frames a second.
ROWS = ((60, 75, 100, 1, "12"), (200, 205, 212, 2, "1+2"), (330, 350, 390, 1, "4+25"))


def jobs(place: Path) -> dict[str, Job]:
    """Every job, its data made in `place`."""
    film = place / "film.mp4"
    film_video(film, 8.0)
    write_features(place / "features", simulate_features(3, minutes=0.25, seed=3, level="easy"))
    (place / "train.toml").write_text(
        f'output = "out"\n[data]\nsource = "features"\nroot = "{place / "features"}"\n'
    )
    tables = place / "tables"
    tables.mkdir()
    table = ["subject,video_name,start_frame,apex_frame,end_frame,type_idx,au"]
    lengths = ["video,n_frames"]
    for k, number in enumerate((15, 16, 19, 20)):
        lengths.append(f"s{number}/{number}_0401girlcrashing,450")
        subject = f"casme_{number:03d}"
        table += [
            f"{subject},{subject}_0401,{a + 7 * k},{b + 7 * k},{c + 7 * k},{kind},{aus}"
            for a, b, c, kind, aus in ROWS
        ]
    (tables / "casme_sq_auwgcn.csv").write_text("\n".join(table) + "\n")
    (tables / "casme_sq_video_lengths.csv").write_text("\n".join(lengths) + "\n")

    def sets(prefix: str) -> tuple[str, ...]:
        return tuple(word for k, v in SMALL.items() for word in ("--set", f"{prefix}{k}={v}"))

    truths = ("--scoring", "expect_macro=8", "--scoring", "expect_micro=4")
    return {
        "spot": Job(
            (
                *("spot", str(film), "-o", "@/out.json", "--cache", "@/cache", "--overwrite"),
                *("--set", "face.restart_s=1", "--workers", "1"),
            ),
            lambda folder: {k: v for k, v in documents(folder).items() if k == "out.json"},
            "cache/**/*.npz",
        ),
        "train": Job(
            ("train", str(place / "train.toml"), "-o", "@", "--overwrite", *sets("train.")),
            trained,
            "checkpoint.safetensors",
        ),
        "bench": Job(
            (
                *("bench", "sim-casme-sq", "--data", str(tables), "--model", "aumer", "-o", "@"),
                *("--level", "easy", "--seeds", "0", *truths, *sets("")),
            ),
            documents,
            "seed-0/*",
        ),
    }


def started(job: Job, folder: Path) -> subprocess.Popen[bytes]:
    words = [word.replace("@", str(folder)) for word in job.words]
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    place = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "TMPDIR": str(folder.parent / "temporary"),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "aumer", *words],
        env=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finished(job: Job, folder: Path) -> float:
    """Run to the end; the seconds it took.

    Raises:
        RuntimeError: it failed, and what it said.
    """
    begun = time.monotonic()
    with started(job, folder) as process:
        _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {said.decode()[-300:]}")
    return time.monotonic() - begun


def killed(job: Job, folder: Path, after: float, how: signal.Signals) -> bool:
    """Run and kill; False where it was done before."""
    with started(job, folder) as process:
        try:
            process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            process.send_signal(how)
            process.communicate()
    return process.returncode == -how


def held(*folders: Path) -> list[str]:
    """Every file, by its place in one of the folders."""
    return sorted(
        path.relative_to(folder).as_posix()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    )


def aged(*folders: Path) -> None:
    """Make all of it old, as if the next run came hours later."""
    then = time.time() - _OLD_S
    for folder in folders:
        for path in folder.rglob("*"):
            os.utime(path, (then, then))


class Trial:
    """One job, run unbroken once; then killed as often as is asked."""

    def __init__(self, job: Job, place: Path) -> None:
        self._job, self._place = job, place
        (place / "temporary").mkdir(parents=True, exist_ok=True)
        first = self._run("first", lambda folder: finished(job, folder))
        self.unbroken = self._run("unbroken", lambda folder: finished(job, folder))
        if first[1:] != self.unbroken[1:]:
            raise RuntimeError("two unbroken runs differ: nothing can be told of broken ones")

    @property
    def seconds(self) -> float:
        """An unbroken run's."""
        return float(self.unbroken[0])

    def _run(self, name: str, work: Callable[[Path], Any]) -> tuple[Any, dict[str, Any], list[str]]:
        folder = self._place / name
        folder.mkdir()
        try:
            made = work(folder)
            return made, self._job.result(folder), held(folder, self._place / "temporary")
        finally:
            shutil.rmtree(folder)

    def broken(self, instants: list[float], how: signal.Signals) -> tuple[str, bool]:
        """Kill at these instants, one run after the other, and then let it end.

        Returns:
            what is wrong, or ""; and whether there was something to go on from.
        """
        went_on = False

        def work(folder: Path) -> str:
            nonlocal went_on
            for after in instants:
                killed(self._job, folder, after, how)
                aged(folder, self._place / "temporary")
                try:
                    self._job.result(folder)
                except Exception as error:
                    return f"a file that is not whole: {type(error).__name__}: {error}"
                went_on = went_on or any(folder.glob(self._job.begun))
            try:
                finished(self._job, folder)
            except RuntimeError as error:
                return f"does not go on: {error}"
            return ""

        wrong, result, files = self._run("broken", work)
        if not wrong and result != self.unbroken[1]:
            right = self.unbroken[1]
            other = sorted(k for k in {*result, *right} if result.get(k) != right.get(k))
            wrong = f"another result: {', '.join(other)}"
        if not wrong and files != self.unbroken[2]:
            wrong = f"other files: {', '.join(sorted({*files} ^ {*self.unbroken[2]}))}"
        return wrong, went_on


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--kills", type=int, default=30, help="runs of each command (default 30)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="COMMAND", help="these alone")
    arguments = parser.parse_args()
    report = Report("Runs that were killed and given again")
    report.line(
        f"{'command':<9}{'unbroken':>9}{'SIGKILL':>9}{'SIGTERM':>9}{'twice':>7}"
        f"{'went on':>9}{'failed':>8}"
    )
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        every = jobs(place)
        for name in arguments.only or every:
            trial, count = Trial(every[name], place / name), Counter[str]()
            for number in range(arguments.kills):
                chance = random.Random(f"{arguments.seed}/{name}/{number}")
                how = (signal.SIGKILL, signal.SIGTERM)[number % 2]
                twice = number % 3 == 2
                instants = [
                    chance.uniform(trial.seconds / 3, trial.seconds) for _ in range(1 + twice)
                ]
                wrong, went_on = trial.broken(instants, how)
                count.update([how.name, *["twice"] * twice, *["went on"] * went_on])
                if wrong:
                    count["failed"] += 1
                    at = " and ".join(f"{s:.2f} s" for s in instants)
                    print(f"{name}, {how.name} at {at}: {wrong}", file=sys.stderr, flush=True)
            report.line(
                f"{name:<9}{trial.seconds:7.1f} s{count['SIGKILL']:9}{count['SIGTERM']:9}"
                f"{count['twice']:7}{count['went on']:9}{count['failed']:8}"
            )
            failed += count["failed"]
    report.line()
    report.line(f"{failed} failed")
    if arguments.save:
        only = "".join(f"-{name}" for name in arguments.only or ())
        report.save(f"kills{only}.txt")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
