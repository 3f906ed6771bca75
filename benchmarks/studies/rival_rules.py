"""Constants of `zhao-2022-like`: two players in equilibrium, on subjects of no benchmark.

    python -m benchmarks.studies.rival_rules [--save]

As Zhao et al. (2022) have it, one player chooses how the field is read and the other how peaks are
told; both want the mean of the F1 of micro- and of macro-expressions (IoU .5), for by the overall
F1 it pays to give up the few micro-expressions. In turn each takes the best of a grid, the other's
choice being what it is, until neither changes. `he-2021-like` is beside it, whose constants
were not searched for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product

from aumer.evaluation.matching import count
from aumer.simulate.features import simulate_features
from aumer.spotting.rivals.rules import HeSpotter, WaveSettings, WaveSpotter, ZhaoSpotter
from aumer.training.samples import truth_intervals
from aumer.training.videos import LabeledVideo, from_simulation
from aumer.types import KINDS, Counts
from benchmarks.report import Report, options

SUBJECTS, MINUTES, SEED = 10, 2.0, 910_000
FIELD: dict[str, tuple[float, ...]] = {
    "smooth_s": (0.03, 0.05, 0.08, 0.12),
    "window_s": (2.0, 3.0, 4.5),
}
PEAKS: dict[str, tuple[float, ...]] = {
    "height": (0.012, 0.018, 0.025, 0.035, 0.05),
    "foot": (0.02, 0.05, 0.1, 0.2),
}


def mean_f1(spotter: WaveSpotter, videos: Sequence[LabeledVideo]) -> float:
    """Of both kinds."""
    counts: dict[str, list[Counts]] = {kind: [] for kind in KINDS}
    for video in videos:
        spotted = spotter.expressions(video.features)
        for kind, truth in truth_intervals(video).items():
            counts[kind].append(count([e.interval for e in spotted if e.kind == kind], truth))
    return sum(Counts.total(each).f1 for each in counts.values()) / len(KINDS)


def main() -> None:
    asked = options(__doc__).parse_args()
    report = Report("Constants of zhao-2022-like")
    report.line(f"{SUBJECTS} subjects of level medium, {MINUTES:g} minutes each, seed {SEED}")
    videos = from_simulation(
        simulate_features(SUBJECTS, minutes=MINUTES, seed=SEED, level="medium")
    )
    known: dict[WaveSettings, float] = {}

    def f1(settings: WaveSettings) -> float:
        if settings not in known:
            known[settings] = mean_f1(WaveSpotter(settings), videos)
        return known[settings]

    chosen, before = WaveSettings(), None
    while chosen != before:
        before = chosen
        for player, grid in (("field", FIELD), ("peaks", PEAKS)):
            answers = [
                replace(chosen, **dict(zip(grid, values, strict=True)))
                for values in product(*grid.values())
            ]
            chosen = max((chosen, *answers), key=f1)  # of equals what was there
            told = ", ".join(f"{k} {getattr(chosen, k):g}" for k in grid)
            report.line(f"{player}: {told}: mean F1 {f1(chosen):.3f}")
    report.line(f"equilibrium: {asdict(chosen)}")
    report.line(f"as it ships: {chosen == ZhaoSpotter.usual}")
    report.line(f"he-2021-like: mean F1 {f1(HeSpotter.usual):.3f}")
    if asked.save:
        report.save("rival_rules.txt")


if __name__ == "__main__":
    main()
