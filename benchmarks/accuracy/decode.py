"""What decoders make of perfect and of noisy scores: the published one and ours, side by side.

    python -m benchmarks.accuracy.decode [--save]

Perfect scores are the targets themselves: the published decoder reads the published targets (in
segments of 256 rows), and, so that cutting is not held against it, ours as well; ours reads ours.
The rows are those of AUW-GCN's tables that have an offset, overlapping ones included; an apex
outside its interval is put half way. F1 is that of a maximum one-to-one matching at IoU >= .5, kind
required, pooled over all videos. Our decoder's constants were tried out on these same tables: on
perfect scores and on noise of the seed below. Nothing here says how well a trained network spots.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from aumer.spotting.auwgcn.decoder import CasmeSqDecoder
from aumer.spotting.auwgcn.targets import published_segments
from aumer.spotting.decode import Decoder
from aumer.spotting.parts import TrackDecoder
from aumer.spotting.targets import TargetEvent, targets
from aumer.testing.decoding import as_scores, counts, length_of, noisy, read_events
from aumer.types import Counts, Expression, FloatArray, Kind, Scores
from benchmarks.data import test_data
from benchmarks.report import Report, options

SETS = {
    "CAS(ME)^2": ("casme_sq_auwgcn.csv", "casme-sq", 30.0),
    "SAMM-LV": ("samm_lv_25fps_auwgcn.csv", "samm-lv", 25.0),
    "CAS(ME)^3": ("casme3_spotting.csv", "casme-sq", 30.0),
}
NOISE = (0.0, 0.1, 0.2, 0.3)
SEEDS = (1, 2, 3)
HOUR = 108_000
#: Kinds as the tables write them.
KIND_OF: dict[str, Kind] = {"1": "macro", "2": "micro"}
Decode = Callable[[Scores], tuple[Expression, ...]]


def read_casme3(table: Path) -> dict[str, tuple[TargetEvent, ...]]:
    """Intervals without apexes, by video; those without an offset are left out."""
    found: dict[str, list[TargetEvent]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            onset, offset = int(row["startFrame"]), int(row["endFrame"])
            if 0 <= onset <= offset:
                apex = onset + round(0.4 * (offset - onset))
                event = TargetEvent(onset, offset, apex, KIND_OF[row["type_idx"]])
                found.setdefault(row["video"], []).append(event)
    return {video: tuple(events) for video, events in found.items()}


def published(events: tuple[TargetEvent, ...], length: int) -> FloatArray:
    """(T, 10) published targets of a whole video; nothing where a segment has no expression."""
    values = targets((), length, 1.0).values
    for segment in published_segments(np.zeros((length, 1, 2)), events):
        rows = values[segment.first : segment.first + len(segment.targets)]
        rows[:] = segment.targets[: len(rows)]
    return values


def decoded(
    decode: Decode,
    perfect: list[tuple[tuple[TargetEvent, ...], FloatArray]],
    rate: float,
    sigma: float,
) -> Counts:
    """Counts over all videos; with noise, summed over the seeds."""
    total = Counts()
    for seed in SEEDS if sigma else SEEDS[:1]:
        rng = np.random.default_rng(seed)
        for events, values in perfect:
            total += counts(decode(as_scores(noisy(values, sigma, rng), rate)), events)
    return total


def accuracy(report: Report) -> None:
    report.line("Noise: normal, of this sigma, added to every track, then cut to [0, 1];")
    report.line(f"counts are summed over seeds {', '.join(map(str, SEEDS))} where there is noise.")
    report.line()
    head = f"{'set':<11}{'noise':>6}  {'decoder':<11}{'targets':<11}"
    report.line(f"{head}{'TP':>6}{'FP':>6}{'FN':>6}{'P':>8}{'R':>8}{'F1':>8}")
    for name, (table, preset, rate) in SETS.items():
        read = read_casme3 if name == "CAS(ME)^3" else read_events
        videos = list(read(test_data() / "annotations" / table).values())
        as_published = [(e, published(e, length_of(e))) for e in videos]
        as_ours = [(e, targets(e, length_of(e), rate).values) for e in videos]
        for sigma in NOISE:
            for decoder, wanted, decode, perfect in (
                ("published", "published", TrackDecoder.named(preset), as_published),
                ("published", "ours", TrackDecoder.named(preset), as_ours),
                ("ours", "ours", Decoder(), as_ours),
            ):
                c = decoded(decode, perfect, rate, sigma)
                report.line(
                    f"{name:<11}{sigma:>6.1f}  {decoder:<11}{wanted:<11}{c.tp:>6}{c.fp:>6}{c.fn:>6}"
                    f"{c.precision:>8.3f}{c.recall:>8.3f}{c.f1:>8.4f}"
                )
    report.line()


def speed(report: Report) -> None:
    """One hour at 30 rows a second; decoders alternate, least time of three."""
    rng = np.random.default_rng(0)
    events, row = [], 60
    while row < HOUR - 300:
        kind, low, high = ("micro", 8, 14) if rng.random() < 0.3 else ("macro", 20, 90)
        duration = int(rng.integers(low, high))
        events.append(TargetEvent(row, row + duration, row + duration // 2, kind))
        row += duration + int(rng.integers(50, 600))
    perfect = targets(events, HOUR, 30.0).values
    report.line(f"One hour, {HOUR} rows, {len(events)} expressions: seconds (least of 3)")
    report.line(f"{'noise':>6}{'published':>12}{'ours':>8}")
    for sigma in NOISE:
        scores = as_scores(noisy(perfect, sigma, rng), 30.0)
        times: dict[str, list[float]] = {"published": [], "ours": []}
        decoders: dict[str, Decode] = {
            "published": CasmeSqDecoder(),
            "ours": Decoder(),
        }
        for _ in range(3):
            for name, decode in decoders.items():
                start = time.perf_counter()
                decode(scores)
                times[name].append(time.perf_counter() - start)
        report.line(f"{sigma:>6.1f}{min(times['published']):>12.2f}{min(times['ours']):>8.2f}")


def main() -> None:
    parser = options(__doc__)
    arguments = parser.parse_args()
    report = Report("Decoding perfect and noisy scores")
    accuracy(report)
    speed(report)
    if arguments.save:
        report.save("decode.txt")


if __name__ == "__main__":
    main()
