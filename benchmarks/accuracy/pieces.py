"""Clips that begin or end within an expression, and slow cameras: what they cost each spotter.

    python -m benchmarks.accuracy.pieces [--network FILE] [--save]

Simulated subjects that no weights were trained on, as they are; in pieces of 1.5 to 8 s, each a
video of its own, of whose cut expressions at least half is seen (`aumer.training.recordings`); and
as cameras of 15 and 10 frames a second give them. F1 with kind required, IoU .5, counts summed;
brackets: 95 % over resampled subjects. No real face is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from aumer.config import load_settings
from aumer.evaluation.bootstrap import interval
from aumer.simulate.features import simulate_features
from aumer.simulate.population import Population
from aumer.training.recordings import by_camera, separated, spans
from aumer.training.videos import LabeledVideo, from_simulation
from benchmarks.report import Report, options
from benchmarks.simulated import Spots, judged, spotters

SUBJECTS, SEED = 16, 5
SECONDS, GAP_S = (1.5, 8.0), (0.5, 2.0)
CAMERAS = (15, 10)


def sets() -> Iterator[tuple[str, tuple[LabeledVideo, ...]]]:
    wide = from_simulation(Population(SUBJECTS, 730_000).draw())
    hard = from_simulation(
        simulate_features(SUBJECTS, minutes=4.0, seed=830_000, level="hard", rate_per_min=6.0)
    )
    for name, videos in (("wide", wide), ("hard", hard)):
        rng = np.random.default_rng(SEED)
        yield name, videos
        kept = [spans(v, rng, seconds=SECONDS, gap_s=GAP_S) for v in videos]
        pieces = (separated(v, k) for v, k in zip(videos, kept, strict=True))
        yield f"{name}, pieces", tuple(piece for own in pieces for piece in own)
        for fps in CAMERAS:
            yield f"{name}, {fps} fps", tuple(by_camera(v, fps, rng.random()) for v in videos)


def figure(spot: Spots, videos: Sequence[LabeledVideo]) -> str:
    by_subject = groupby(sorted(videos, key=lambda v: v.subject), lambda v: v.subject)
    rows = [judged(spot, list(own)) for _, own in by_subject]
    counts = np.array([(c.tp, c.fp, c.fn) for c in rows], np.int64)

    def f1(n: np.ndarray) -> np.ndarray:
        below = 2 * n[:, 0] + n[:, 1] + n[:, 2]
        return 2 * n[:, 0] / np.maximum(below, 1)

    found = interval(counts, f1, replicates=2000, level=0.95, seed=0)
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--network", type=Path, help="other weights than those that ship")
    asked = parser.parse_args()
    report = Report("Clips cut short, and slow cameras: F1, kind required")
    made = spotters(load_settings(), asked.network)
    report.line(f"{'':14} videos  " + "".join(f"{name:24}" for name in made))
    for name, videos in sets():
        cells = "".join(f"{figure(spot, videos):24}" for spot in made.values())
        report.line(f"{name:14} {len(videos):6}  {cells}")
    if asked.save:
        report.save("pieces.txt")


if __name__ == "__main__":
    main()
