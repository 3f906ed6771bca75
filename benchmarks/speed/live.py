"""What a live run costs, how soon it tells, and whether what it calls final is what a batch says.

    python -m benchmarks.speed.live [--minutes 10] [--model combined] [--save]
    python -m benchmarks.speed.live --minutes 10 --replay [--save]
    python -m benchmarks.speed.live --equal 10 [--save]

Films a moving portrait at 640 x 480 and 30 frames a second, which sways, smiles and raises its
brows every 8 seconds, and plays it to `aumer.live` by the clock, as a camera would come; with
`--replay` as fast as it is analyzed, where nothing is dropped, so that what it costs is told
whatever else the machine does. Prints frames, those dropped, by how much the analysis lags, seconds
from offset to first telling, processor time a frame (30 frames/s on two cores leave 67 ms), and
memory by the minute.

With `--equal`, so many simulated minutes of features are told of as they grow, and what was final
is compared with what the same spotter says of the whole.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import aumer
from aumer.pipeline import Spotter
from aumer.streaming.decisions import Decisions
from aumer.types import Expression, Features
from benchmarks.films import FPS, film_video
from benchmarks.memory import held
from benchmarks.report import Report, options

#: Seconds of the film that is repeated.
PIECE_S = 8.0
#: Seconds of features that are forgotten together, and between two decisions, where features grow.
CHUNK_S, EVERY_S = 10, 0.5
#: Arrays of `Features` that have a row for each time.
ROWS = ("values", "times", "frames", "valid", "confidence", "eyelids", "head")


def play(report: Report, minutes: float, model: str, *, realtime: bool) -> None:
    """One run of the film."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "face.mp4"
        film_video(video, PIECE_S, repeat=max(1, round(minutes * 60 / PIECE_S)))
        lags: list[float] = []
        begin, used = time.perf_counter(), time.process_time()
        with aumer.live(video, model=model, realtime=realtime) as run:
            report.line(f"before its first frame, and after filming, {held()[0]:.0f} MB are held")
            report.line(f"{'minute':>6} {'frames':>7} {'dropped':>8} {'memory':>9} {'threads':>8}")
            due = 1.0
            for step in run.steps():
                lags.append(step.lag_s)
                if step.frame.time_s >= 60 * due:
                    memory, threads, _ = held()
                    report.line(
                        f"{due:6.0f} {step.analyzed:7} {step.dropped:8} {memory:6.0f} MB "
                        f"{threads:8}"
                    )
                    due += 1.0
        spent, used = time.perf_counter() - begin, time.process_time() - used
        summary = run.summary
        late = np.array(lags)
        delays = np.array(summary.delays_s or [np.nan])
        report.line()
        report.line(str(summary))
        report.line(
            f"decisions: {len(lags)}; lag of the frame at one: median {np.median(late):.3f} s, "
            f"95 % {np.quantile(late, 0.95):.3f} s, most {late.max():.3f} s"
        )
        report.line(
            f"from offset to first telling ({len(summary.delays_s)}): median "
            f"{np.median(delays):.2f} s, 95 % {np.quantile(delays, 0.95):.2f} s, most "
            f"{delays.max():.2f} s; within .5 s {(delays <= 0.5).mean():.0%}"
        )
        report.line(
            f"processor: {1000 * used / max(1, summary.analyzed):.1f} ms a frame (start included); "
            f"{summary.analyzed / spent:.1f} frames/s; {FPS} frames/s on two cores leave "
            f"{2000 / FPS:.0f} ms"
        )


def rows(features: Features, first: int, after: int) -> Features:
    """Some rows alone."""
    return replace(features, **{name: getattr(features, name)[first:after] for name in ROWS})


def compare(report: Report, minutes: float, model: str) -> None:
    """What is final of growing features, against what is said of the whole."""
    counts = dict.fromkeys(("of the whole", "equal", "a frame off", "else", "told too much"), 0)
    waited: list[float] = []
    with Spotter(model=model) as spotter:
        for seed in range(1, max(2, round(minutes / 5) + 1)):
            (video,) = aumer.simulate_features(1, minutes=min(5.0, minutes), seed=seed)
            features = video.features
            batch = spotter.decide(features)[1]
            decisions, known = Decisions(spotter), []
            first_told: dict[int, float] = {}
            step = round(EVERY_S * features.rate)
            for after in (*range(step, len(features), step), len(features)):
                now = after / features.rate
                first = int(max(0, (now - decisions.keeps_s) // CHUNK_S * CHUNK_S) * features.rate)
                over = after == len(features)
                for one in decisions.step(rows(features, first, after), over=over):
                    first_told.setdefault(one.id, now)
                    if one.event == "final":
                        known.append(one.expression)
                        waited.append(first_told[one.id] - one.expression.offset_s)
            counts["of the whole"] += len(batch)
            for e in batch:
                off = min((_apart(e, other) for other in known), default=99)
                counts["equal" if not off else "a frame off" if off <= 2 else "else"] += 1
            counts["told too much"] += sum(
                all(_apart(e, other) > 2 for other in batch) for e in known
            )
    report.line(
        f"{model}, {minutes:g} simulated minutes: "
        + ", ".join(f"{name} {count}" for name, count in counts.items())
    )
    soon = np.array(waited or [np.nan])
    report.line(
        f"final ones were first told within .5 s of the offset (decisions {EVERY_S} s apart): "
        f"{(soon <= 0.5).mean():.0%}, within 1 s {(soon <= 1).mean():.0%}"
    )


def _apart(one: Expression, other: Expression) -> int:
    """Frames by which the ends differ; of two kinds they are not alike."""
    apart = abs(one.onset - other.onset) + abs(one.offset - other.offset)
    return apart if one.kind == other.kind else 99


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of film")
    parser.add_argument("--model", default="combined")
    parser.add_argument("--replay", action="store_true", help="as fast as it is analyzed")
    parser.add_argument("--equal", type=float, metavar="MINUTES", help="compare with a batch")
    arguments = parser.parse_args()
    how = "compared" if arguments.equal else "replayed" if arguments.replay else "by the clock"
    report = Report(f"Live runs, {how}: {arguments.model}")
    if arguments.equal:
        compare(report, arguments.equal, arguments.model)
    else:
        play(report, arguments.minutes, arguments.model, realtime=not arguments.replay)
    if arguments.save:
        name = "equal" if arguments.equal else "replay" if arguments.replay else "clock"
        report.save(f"live_{name}.txt")


if __name__ == "__main__":
    main()
