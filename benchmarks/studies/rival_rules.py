"""Constants of `zhao-2022-like`: two players in equilibrium, on subjects of no benchmark.

    python -m benchmarks.studies.rival_rules [--save]

As Zhao et al. (2022) have it, one player chooses how the field is read and the other how peaks are
told; both want the overall F1 (IoU .5), by which networks' thresholds are chosen here, too: the
mean over the kinds would pay for a micro-expression more with a hundred false ones. In turn each
takes the best of a grid, constant by constant, the other's choice being what it is, until neither
changes; a choice at an end of its grid is said, as a better one may lie beyond. `he-2021-like` is
beside it, whose constants were not searched for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from typing import Any

from aumer.evaluation.matching import count
from aumer.simulate.features import simulate_features
from aumer.spotting.rivals.rules import HeSpotter, WaveSettings, WaveSpotter, ZhaoSpotter
from aumer.training.samples import truth_intervals
from aumer.training.videos import LabeledVideo, from_simulation
from aumer.types import KINDS, Counts
from benchmarks.report import Report, options

SUBJECTS, MINUTES, SEED = 8, 3.0, 910_000
#: Of micro- and macro-expressions where there are two.
FIELD: dict[str, tuple[Any, ...]] = {
    "smooth_s": tuple(product((0.03, 0.05, 0.08), (0.12, 0.16, 0.2, 0.25))),
    "window_s": (2.0, 3.0, 4.5, 6.0),
}
PEAKS: dict[str, tuple[Any, ...]] = {
    "height": tuple(product((0.02, 0.03, 0.045), (0.01, 0.013, 0.016, 0.02))),
    "rois": tuple(product((1, 2, 3), (1, 2, 3))),
    "foot": (0.05, 0.1, 0.2, 0.3),
}


def f1_of(spotter: WaveSpotter, videos: Sequence[LabeledVideo]) -> tuple[float, float, float]:
    """Of micro-, of macro-expressions, and overall."""
    counts: dict[str, list[Counts]] = {kind: [] for kind in KINDS}
    for video in videos:
        spotted = spotter.expressions(video.features)
        for kind, truth in truth_intervals(video).items():
            counts[kind].append(count([e.interval for e in spotted if e.kind == kind], truth))
    micro, macro = (Counts.total(counts[kind]) for kind in KINDS)
    return micro.f1, macro.f1, (micro + macro).f1


def main() -> None:
    asked = options(__doc__).parse_args()
    report = Report("Constants of zhao-2022-like")
    report.line(f"{SUBJECTS} subjects of level medium, {MINUTES:g} minutes each, seed {SEED}")
    videos = from_simulation(
        simulate_features(SUBJECTS, minutes=MINUTES, seed=SEED, level="medium")
    )
    known: dict[WaveSettings, tuple[float, float, float]] = {}

    def figures(settings: WaveSettings) -> tuple[float, float, float]:
        if settings not in known:
            known[settings] = f1_of(WaveSpotter(settings), videos)
        return known[settings]

    def told(settings: WaveSettings) -> str:
        micro, macro, overall = figures(settings)
        return f"F1 {overall:.3f} (micro {micro:.3f}, macro {macro:.3f})"

    chosen, before = WaveSettings(), None
    while chosen != before:
        before = chosen
        for player, grid in (("field", FIELD), ("peaks", PEAKS)):
            # Of equals what was there.
            for name, values in grid.items():
                answers = [replace(chosen, **{name: value}) for value in values]
                chosen = max((chosen, *answers), key=lambda one: figures(one)[2])
            now = ", ".join(f"{k} {getattr(chosen, k)}" for k in grid)
            report.line(f"{player}: {now}: {told(chosen)}")
    report.line(f"equilibrium: {asdict(chosen)}")
    report.line(f"as it ships: {chosen == ZhaoSpotter.usual}")
    for name, grid in (FIELD | PEAKS).items():
        taken = getattr(chosen, name)
        for part, tried in _parts(taken, grid):
            if part in (min(tried), max(tried)):
                report.line(f"at an end of its grid: {name} {part}")
    report.line(f"he-2021-like: {told(HeSpotter.usual)}")
    if asked.save:
        report.save("rival_rules.txt")


def _parts(taken: Any, grid: Sequence[Any]) -> list[tuple[float, list[float]]]:
    """Each number that was taken, with those that were tried for it."""
    if not isinstance(taken, tuple):
        return [(taken, list(grid))]
    return [(part, [each[k] for each in grid]) for k, part in enumerate(taken)]


if __name__ == "__main__":
    main()
